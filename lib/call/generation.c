#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "call/call_internal.h"

static const struct vault_secret *secret_of(const struct call_generation *g,
                                            const struct rules_connection *c, struct span name,
                                            const char *vault_file, struct diags *d)
{
    const struct vault_secret *s = g->vault ? vault_find(g->vault, name, c->name) : NULL;

    if (!s)
        diag_error(d, place_of_file(vault_file ? vault_file : "vault"),
                   "connection \"%.*s\" needs the secret \"%.*s\", which is not in the vault for "
                   "it; add it with: turnpikectl secret set %.*s --connection %.*s",
                   SPAN_ARG(c->name), SPAN_ARG(name), SPAN_ARG(name), SPAN_ARG(c->name));
    return s;
}

/* A header field holds one line, and not a long one. */
static bool fits_a_field(const struct rules_connection *c, const struct vault_secret *s,
                         const char *vault_file, struct diags *d)
{
    bool plain = s->value.n <= CREDENTIAL_MAX;

    for (size_t i = 0; plain && i < s->value.n; i++)
        plain = (unsigned char)s->value.p[i] >= 0x20 && s->value.p[i] != 0x7f;
    if (!plain)
        diag_error(
            d, place_of_file(vault_file),
            "connection \"%.*s\" sends the secret \"%.*s\" in a header field: it must be one "
            "line of at most %d bytes",
            SPAN_ARG(c->name), SPAN_ARG(s->name), CREDENTIAL_MAX);
    return plain;
}

static bool credentials_complete(const struct call_generation *g, const char *vault_file,
                                 struct diags *d)
{
    bool ok = true;

    for (unsigned i = 0; i < rules_connection_count(g->rules); i++) {
        const struct rules_connection *c = rules_connection_at(g->rules, i);
        const struct vault_secret *s;

        if (c->credential.kind == RULES_CRED_NONE)
            continue;
        s = secret_of(g, c, c->credential.secret, vault_file, d);
        ok = s && fits_a_field(c, s, vault_file, d) && ok;
    }
    return ok;
}

/* ---- what TLS to a vendor has in particular */

static bool load_vendor(struct call_generation *g, const struct rules_connection *c,
                        const char *vault_file, struct diags *d)
{
    const struct vault_secret *s = NULL;
    struct tls_vendor_config t = {
        .trust_place = c->trust_place, .pins = c->pins, .npins = c->npins};
    char trust[1200];

    if (c->trust.n == 0 && c->npins == 0 && c->client_certificate.n == 0)
        return true;
    if (c->client_certificate.n && !(s = secret_of(g, c, c->client_certificate, vault_file, d)))
        return false;
    if (c->trust.n) {
        snprintf(trust, sizeof(trust), "%.*s", SPAN_ARG(c->trust));
        t.trust = trust;
    }
    if (s)
        t.certificate = s->value;
    t.certificate_place = place_of_file(vault_file ? vault_file : "vault");
    g->vendors[c->index] = tls_vendor_load(&t, d);
    if (!g->vendors[c->index])
        diag_error(d, t.certificate_place, "connection \"%.*s\" cannot set up TLS to its vendor",
                   SPAN_ARG(c->name));
    return g->vendors[c->index] != NULL;
}

static bool load_vendors(struct call_generation *g, const char *vault_file, struct diags *d)
{
    unsigned n = rules_connection_count(g->rules);
    bool ok = true;

    g->vendors = calloc(n + 1, sizeof(*g->vendors)); /* a NULL at the end */
    if (!g->vendors) {
        diag_error(d, place_of_file("rules"), "out of memory");
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        ok = load_vendor(g, rules_connection_at(g->rules, i), vault_file, d) && ok;
    return ok;
}

static void free_vendors(struct call_generation *g)
{
    for (unsigned i = 0; g->vendors && i < rules_connection_count(g->rules); i++)
        tls_vendor_free(g->vendors[i]);
    free(g->vendors);
}

/* PEM is never written into a message: a vendor has nothing of it to send back. */
static bool is_pem(struct span value)
{
    return span_starts(value, SPAN_LIT("-----BEGIN "));
}

static bool add_secrets(const struct call_generation *g, struct match_builder *b,
                        const char *vault_file, struct diags *d)
{
    for (unsigned i = 0; g->vault && i < vault_count(g->vault); i++) {
        const struct vault_secret *s = vault_at(g->vault, i);

        if (is_pem(s->value) || match_builder_add_secret(b, s->name, s->value))
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
        if (g->match)
            g->everything.detectors = match_db_glob(g->match, SPAN_LIT("*"));
        else
            diag_error(d, place_of_file(s->rules_directory), "detectors do not compile: %s", why);
    }
    memset(g->everything.keep, MATCH_KEEP_NONE, sizeof(g->everything.keep));
    match_builder_free(b);
    return g->match != NULL;
}

/* Each worker counts on lines of its own. */
static bool make_hits(struct call_generation *g, unsigned workers, const char *where,
                      struct diags *d)
{
    size_t line = 64 / sizeof(*g->hits);

    g->hits_stride = (rules_count(g->rules) + line) / line * line;
    if (workers && !(g->hits = aligned_alloc(64, workers * g->hits_stride * sizeof(*g->hits)))) {
        diag_error(d, place_of_file(where), "out of memory");
        return false;
    }
    if (workers)
        memset(g->hits, 0, workers * g->hits_stride * sizeof(*g->hits));
    g->workers = workers;
    return true;
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
    g->rules = rules_load_beside(s->rules_directory,
                                 s->rules_beside ? s->rules_beside : s->rules_directory, now_ns, d);
    if (s->vault_file)
        g->vault = vault_open(s->vault_file, s->vault_key_file, d);
    if (!g->rules || (s->vault_file && !g->vault))
        goto fail;
    g->identity = identity_load(g->rules, d);
    bool credentials = credentials_complete(g, s->vault_file, d);
    bool vendors = load_vendors(g, s->vault_file, d);
    if (!g->identity || !credentials || !vendors || !compile_detectors(g, s, d) ||
        !make_hits(g, s->workers, s->rules_directory, d))
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
    free_vendors(g);
    free(g->hits);
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
