/* What the tests of the rules library share: sets from text, calls from text. */
#ifndef RULES_TEST_H
#define RULES_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rules/rules.h"

#define TEST_NOW ((uint64_t)1790000000 * 1000000000) /* 2026-09-21 */

static inline uint64_t test_seed(void)
{
    const char *set = getenv("TEST_SEED");
    uint64_t seed = set ? strtoull(set, NULL, 0) : clock_mono_ns();

    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Time of this process alone: measurements on a busy machine. */
static inline uint64_t test_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct test_dir {
    char path[64];
};

static inline void test_dir_make(struct test_dir *t)
{
    strcpy(t->path, "/tmp/rules-test-XXXXXX");
    assert_non_null(mkdtemp(t->path));
}

static inline void test_dir_put(const struct test_dir *t, const char *name, const char *text)
{
    char path[400];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", t->path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void test_dir_remove(const struct test_dir *t)
{
    DIR *dir = opendir(t->path);
    struct dirent *e;
    char path[400];

    assert_non_null(dir);
    while ((e = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", t->path, e->d_name);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlink(path);
    }
    closedir(dir);
    rmdir(t->path);
}

/* A set from one file's text that must load; complaints are printed. */
static inline struct rules_set *test_set(const char *text)
{
    struct test_dir t;
    struct diags d;
    struct rules_set *s;

    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", text);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    if (!s)
        diags_print(&d, stdout, false);
    diags_free(&d);
    test_dir_remove(&t);
    assert_non_null(s);
    return s;
}

/* One call, to be changed before it is decided. */
struct test_call {
    struct rules_caller caller;
    struct rules_params params;
    struct http_head head;
    struct rules_call call;
};

static inline void test_field(struct test_call *t, const char *name, const char *value)
{
    t->head.fields[t->head.nfields++] =
        (struct http_field){.name = span_cstr(name), .value = span_cstr(value)};
}

static inline void test_body(struct test_call *t, enum body_type type, const char *text)
{
    t->call.body_type = type;
    t->call.body = span_cstr(text);
    t->call.body_size = t->call.body.n;
    t->call.body_problem = BODY_PROBLEM_NONE;
}

static inline void test_call_init(struct test_call *t)
{
    memset(t, 0, sizeof(*t));
    t->caller.id = SPAN_LIT("alice");
    t->caller.issuer = SPAN_LIT("https://idp.example");
    t->caller.method = SPAN_LIT("oidc");
    t->caller.groups[0] = SPAN_LIT("finance");
    t->caller.groups[1] = SPAN_LIT("staff");
    t->caller.ngroups = 2;
    t->caller.address = net_addr_v4(0x0a000007);
    t->head.method = SPAN_LIT("POST");
    t->head.path = SPAN_LIT("/v1/transfers");
    t->call.caller = &t->caller;
    t->call.params = &t->params;
    t->call.head = &t->head;
    t->call.now_ns = TEST_NOW;
    test_body(t, BODY_NONE, "");
}

/* Looks up the function by what the head says. */
static inline void test_route(struct test_call *t, const struct rules_set *s, const char *host)
{
    const struct rules_connection *c = rules_connection_for(s, span_cstr(host));

    assert_non_null(c);
    t->call.function = rules_function_for(s, c, t->head.method, t->head.path, &t->params);
}

#endif
