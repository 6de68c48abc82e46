#include <stdlib.h>

#include "base/log.h"
#include "call/call_internal.h"

static bool credentials_complete(const struct call_generation *g, const char *vault_file,
                                 struct diags *d)
{
    bool ok = true;

    for (unsigned i = 0; i < rules_connection_count(g->rules); i++) {
        const struct rules_connection *c = rules_connection_at(g->rules, i);

        if (c->credential.kind == RULES_CRED_NONE)
            continue;
        if (g->vault && vault_find(g->vault, c->credential.secret, c->name))
            continue;
        diag_error(d, place_of_file(vault_file ? vault_file : "vault"),
                   "connection \"%.*s\" needs the secret \"%.*s\", which is not in the vault for "
                   "it; add it with: turnpikectl secret set %.*s --connection %.*s",
                   SPAN_ARG(c->name), SPAN_ARG(c->credential.secret),
                   SPAN_ARG(c->credential.secret), SPAN_ARG(c->name));
        ok = false;
    }
    return ok;
}

static bool add_secrets(const struct call_generation *g, struct match_builder *b,
                        const char *vault_file, struct diags *d)
{
    for (unsigned i = 0; g->vault && i < vault_count(g->vault); i++) {
        const struct vault_secret *s = vault_at(g->vault, i);

        if (match_builder_add_secret(b, s->name, s->value))
            continue;
        diag_error(d, place_of_file(vault_file),
                   "the secret \"%.*s\" cannot be watched for in answers: it must have at least 8 "
                   "bytes, and there may be %d secrets at most",
                   SPAN_ARG(s->name), MATCH_SECRETS_MAX);
        return false;
    }
    return true;
}

static bool compile_detectors(struct call_generation *g, const struct call_sources *s,
                              struct diags *d)
{
    struct match_builder *b = match_builder_new();
    char why[256] = "out of memory";
    bool ok = b && rules_add_detectors(g->rules, b, d) && add_secrets(g, b, s->vault_file, d);

    if (ok) {
        g->match = match_builder_compile(b, why);
        if (!g->match)
            diag_error(d, place_of_file(s->rules_directory), "detectors do not compile: %s", why);
    }
    match_builder_free(b);
    return g->match != NULL;
}

struct call_generation *call_generation_load(const struct call_sources *s, uint64_t number,
                                             uint64_t now_ns, struct diags *d)
{
    struct call_generation *g = aligned_alloc(64, sizeof(*g));

    if (!g) {
        diag_error(d, place_of_file(s->rules_directory), "out of memory");
        return NULL;
    }
    memset(g, 0, sizeof(*g));
    g->number = number;
    g->rules = rules_load(s->rules_directory, now_ns, d);
    if (s->vault_file)
        g->vault = vault_open(s->vault_file, s->vault_key_file, d);
    if (!g->rules || (s->vault_file && !g->vault))
        goto fail;
    g->identity = identity_load(g->rules, d);
    if (!g->identity || !credentials_complete(g, s->vault_file, d) || !compile_detectors(g, s, d))
        goto fail;
    return g;
fail:
    call_generation_free(g);
    return NULL;
}

void call_generation_free(struct call_generation *g)
{
    if (!g)
        return;
    if (g->match)
        match_db_free(g->match);
    if (g->identity)
        identity_free(g->identity);
    vault_close(g->vault);
    if (g->rules)
        rules_free(g->rules);
    free(g);
}

bool call_generation_pinned(const struct call_generation *g)
{
    for (unsigned i = 0; i < CALL_WORKERS_MAX; i++)
        if (atomic_load_explicit(&((struct call_generation *)(uintptr_t)g)->pins[i].held,
                                 memory_order_acquire))
            return true;
    return false;
}
