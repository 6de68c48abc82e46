/* Helpers of the body tests. */
#ifndef BODY_TEST_H
#define BODY_TEST_H

/* cmocka.h needs the others before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "body/body.h"

#define MAX_PATHS 64

/* One reading with all that it needs. */
struct reading {
    struct arena mem;
    struct body_paths *paths;
    struct body_value v[MAX_PATHS];
    struct body_values out;
    char *body, *scratch; /* of exactly the size promised, so that the sanitizer sees a step past */
};

static inline struct reading *reading_new(void)
{
    struct reading *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->paths = body_paths_new(&r->mem);
    return r;
}

static inline void reading_free(struct reading *r)
{
    arena_free(&r->mem);
    free(r->body);
    free(r->scratch);
    free(r);
}

static inline void want(struct reading *r, const char *path)
{
    if (body_paths_add(r->paths, span_cstr(path)) < 0)
        fail_msg("not taken as a path: %s", path);
}

/* Paths given with spaces between them. */
static inline struct reading *wanting(const char *list)
{
    struct reading *r = reading_new();
    struct span rest = span_cstr(list);

    while (rest.p) {
        struct span path = span_cut(&rest, ' ');
        if (body_paths_add(r->paths, path) < 0)
            fail_msg("not taken as a path: %.*s", SPAN_ARG(path));
    }
    return r;
}

static inline void read_with(struct reading *r, enum body_type type, struct span body,
                             size_t scratch)
{
    free(r->body);
    free(r->scratch);
    r->body = malloc(body.n ? body.n : 1);
    r->scratch = malloc(scratch ? scratch : 1);
    assert_true(r->body && r->scratch);
    if (body.n)
        memcpy(r->body, body.p, body.n);
    r->out.v = r->v;
    r->out.count = body_paths_count(r->paths);
    assert_true(r->out.count <= MAX_PATHS);
    body_read(r->paths, type, span_of(r->body, body.n), span_of(r->scratch, scratch), &r->out);
}

static inline void read_json(struct reading *r, struct span body)
{
    read_with(r, BODY_JSON, body, body.n);
}

static inline void read_form(struct reading *r, struct span body)
{
    read_with(r, BODY_FORM, body, body.n);
}

static inline const char *kind_name(enum body_kind k)
{
    static const char *const names[] = {"MISSING", "UNREADABLE", "NULL",   "BOOL",
                                        "NUMBER",  "STRING",     "OBJECT", "ARRAY"};
    return names[k];
}

/* A value as one text, for tables: `missing`, `duplicate`, `unreadable`, `null`, `true`, `n:12`,
 * `s:text`, `object/2`, `array/3`. */
static inline void show_value(const struct body_value *v, char *buf, size_t cap)
{
    switch (v->kind) {
    case BODY_MISSING:
        snprintf(buf, cap, "missing");
        break;
    case BODY_UNREADABLE:
        snprintf(buf, cap, v->duplicate ? "duplicate" : "unreadable");
        break;
    case BODY_NULL:
        snprintf(buf, cap, "null");
        break;
    case BODY_BOOL:
        snprintf(buf, cap, v->boolean ? "true" : "false");
        break;
    case BODY_NUMBER:
    case BODY_STRING:
        snprintf(buf, cap, "%c:%.*s", v->kind == BODY_NUMBER ? 'n' : 's', SPAN_ARG(v->text));
        break;
    default:
        snprintf(buf, cap, "%s/%u", v->kind == BODY_OBJECT ? "object" : "array", v->length);
    }
}

static inline void assert_value(struct reading *r, unsigned at, const char *body,
                                const char *expected)
{
    char got[300];

    show_value(&r->v[at], got, sizeof(got));
    if (strcmp(got, expected) != 0)
        fail_msg("%s: path %u: expected %s, got %s (problem %s at %zu)", body, at, expected, got,
                 body_problem_name(r->out.problem), r->out.problem_at);
}

static inline uint64_t test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 0xb0d1e5;

    print_message("TEST_SEED=%#llx\n", (unsigned long long)seed);
    return seed;
}

/* xorshift64*: for test inputs only. */
static inline unsigned test_random(uint64_t *state, unsigned below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (unsigned)((*state * 0x2545f4914f6cdd1du) >> 33) % below;
}

#endif
