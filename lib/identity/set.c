#include "identity_internal.h"

#include <openssl/x509.h>
#include <stdlib.h>

static bool load_issuers(struct identity_set *s, struct diags *d)
{
    bool ok = true;

    for (unsigned i = 0; i < s->nissuers; i++) {
        struct identity_issuer *issuer = &s->issuers[i];
        const char *file;

        issuer->rule = rules_issuer_at(s->rules, i);
        if (issuer->rule->certificates) {
            ok = identity_authority_load(issuer, d) && ok;
            continue;
        }
        file = arena_strdup(&s->mem, issuer->rule->keys_file);
        /* All issuers are read, so that all complaints are shown at once. */
        if (!jwk_set_load(file, issuer->rule->keys_place, &s->mem, &issuer->keys, d))
            ok = false;
    }
    return ok;
}

struct identity_set *identity_load(const struct rules_set *rules, struct diags *d)
{
    struct identity_set *s = calloc(1, sizeof(*s));

    if (!s) {
        diag_error(d, place_of_file(""), "out of memory");
        return NULL;
    }
    s->rules = rules;
    s->nissuers = rules_issuer_count(rules);
    s->issuers = arena_array(&s->mem, struct identity_issuer, s->nissuers);
    if (load_issuers(s, d))
        return s;
    identity_free(s);
    return NULL;
}

void identity_free(struct identity_set *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->nissuers; i++) {
        jwk_set_free(&s->issuers[i].keys);
        X509_STORE_free(s->issuers[i].store);
    }
    arena_free(&s->mem);
    free(s);
}
