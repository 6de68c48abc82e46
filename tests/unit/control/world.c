// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *world_rules;

/* A P-256 public key, in the place of the issuer's. */
static const char jwks[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"alg\":\"ES256\",\"use\":\"sig\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

void world_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void shell(const char *fmt, const char *a, const char *b)
{
    char command[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof(command), fmt, a, b);
#pragma GCC diagnostic pop
    assert_int_equal(system(command), 0);
}

static void make_vault(struct world *w, struct diags *d)
{
    static const char *const names[] = {"payments", "special", "impostor"};

    assert_true(vault_key_create(w->key, d));
    assert_true(vault_create(w->vault, w->key, d));
    for (unsigned i = 0; i < 3; i++) {
        char secret[64];
        uint32_t version;

        snprintf(secret, sizeof(secret), "%s-live", names[i]);
        assert_true(vault_set(w->vault, w->key, span_cstr(secret), span_cstr(names[i]),
                              SPAN_LIT("sk_live_0123456789"), clock_wall_ns(), &version, d));
    }
}

static void make_files(struct world *w, struct diags *d)
{
    char path[160];

    strcpy(w->dir, "/tmp/control-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->rules, sizeof(w->rules), "%s/rules", w->dir);
    snprintf(w->socket, sizeof(w->socket), "%s/control.sock", w->dir);
    snprintf(w->store, sizeof(w->store), "%s/store", w->dir);
    snprintf(w->history, sizeof(w->history), "%s/history", w->dir);
    snprintf(w->vault, sizeof(w->vault), "%s/vault", w->dir);
    snprintf(w->key, sizeof(w->key), "%s/key", w->dir);
    shell("cp -r %s %s", world_rules, w->rules);
    snprintf(path, sizeof(path), "%s/jwks.json", w->rules);
    world_write(path, jwks);
    make_vault(w, d);
}

static struct call_sources sources(const struct world *w)
{
    return (struct call_sources){.workers = 2,
                                 .rules_directory = w->rules,
                                 .vault_file = w->vault,
                                 .vault_key_file = w->key};
}

static void *run(void *arg)
{
    struct world *w = arg;

    control_run(w->control, &w->stop);
    return NULL;
}

struct control *world_control(struct world *w, struct diags *d)
{
    const struct control_config c = {.socket = w->socket,
                                     .generation = &w->generation,
                                     .sources = sources(w),
                                     .history = w->history,
                                     .audit = w->audit,
                                     .ring = audit_ring_of(w->audit, 0),
                                     .alive = &w->alive,
                                     .windows = w->windows,
                                     .version = "test"};

    return control_new(&c, d);
}

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct call_sources s;
    struct diags d;

    diags_init(&d);
    make_files(w, &d);
    const struct audit_config a = {.directory = w->store,
                                   .appliance = "test",
                                   .rings = 1,
                                   .ring_bytes = 1 << 20,
                                   .segment_bytes = 1 << 20};
    w->audit = audit_start(&a, &d);
    s = sources(w);
    w->generation = call_generation_load(&s, 1, clock_wall_ns(), &d);
    w->windows = window_table_new(100, (const uint8_t[WINDOW_SECRET]){0});
    w->control = w->audit && w->generation ? world_control(w, &d) : NULL;
    diags_print(&d, stderr, false);
    assert_non_null(w->control);
    diags_free(&d);
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
    *state = w;
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;

    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    assert_false(atomic_load(&w->alive));
    control_free(w->control);
    assert_int_equal(access(w->socket, F_OK), -1);
    call_generation_free(w->generation);
    audit_stop(w->audit, NS_IN_S);
    window_table_delete(w->windows);
    shell("rm -rf %s%s", w->dir, "");
    free(w);
    return 0;
}

json_t *world_ask(const struct world *w, const char *request)
{
    char why[256];
    char *text = control_ask(w->socket, request, why);
    json_t *o;

    if (!text)
        fail_msg("%s: %s", request, why);
    o = json_loads(text, 0, NULL);
    assert_non_null(o);
    free(text);
    return o;
}
