/* JWKS files (RFC 7517 section 5). JSON is read as the YAML that it is, for the places. */
#include "identity_internal.h"

#include <openssl/evp.h>

/* Members that only a private key has (RFC 7518 6.2.2, 6.3.2), or a symmetric one (6.4). */
static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", NULL};

static bool holds_private(const struct yaml_node *n, struct diags *d)
{
    for (unsigned i = 0; private_members[i]; i++) {
        const struct yaml_node *v = yaml_get(n, private_members[i]);

        if (!v)
            continue;
        diag_error(
            d, yaml_place(v),
            "this is a private or symmetric key (`%s`): an issuer publishes public keys only",
            private_members[i]);
        return true;
    }
    return false;
}

static bool list_has(const struct yaml_node *list, struct span what)
{
    for (size_t i = 0; i < yaml_count(list); i++)
        if (span_eq(yaml_text(yaml_at(list, i)), what))
            return true;
    return false;
}

/* Sets hold keys for encryption too; these are none of ours. */
static bool is_for_signatures(const struct yaml_node *n)
{
    const struct yaml_node *use = yaml_get(n, "use"), *ops = yaml_get(n, "key_ops");

    if (use && !span_eq(yaml_text(use), SPAN_LIT("sig")))
        return false;
    return !ops || (yaml_kind_of(ops) == YAML_SEQUENCE && list_has(ops, SPAN_LIT("verify")));
}

/* The key's own algorithm; false: one that no token may have. */
static bool read_algorithm(const struct yaml_node *n, const struct jwt_algorithm **out,
                           struct diags *d)
{
    struct span alg;

    *out = NULL;
    if (!yaml_get(n, "alg"))
        return true;
    if (!yaml_read_text(n, "alg", true, &alg, d))
        return false;
    *out = jwt_algorithm_named(alg);
    if (!*out)
        diag_warning(d, yaml_place(yaml_get(n, "alg")),
                     "keys of the algorithm `%.*s` are passed over", SPAN_ARG(alg));
    return *out != NULL;
}

static bool kid_is_new(const struct jwk_set *s, struct span kid, const struct yaml_node *n,
                       struct diags *d)
{
    for (unsigned i = 0; kid.n && i < s->count; i++)
        if (span_eq(s->keys[i].kid, kid)) {
            diag_error(d, yaml_place(yaml_get(n, "kid")), "the kid `%.*s` is already there",
                       SPAN_ARG(kid));
            return false;
        }
    return true;
}

static void add_key(const struct yaml_node *n, struct arena *mem, struct jwk_set *out,
                    struct diags *d)
{
    struct jwk key = {0};
    struct span kid = SPAN_NONE;

    if (yaml_kind_of(n) != YAML_MAPPING) {
        diag_error(d, yaml_place(n), "expected a key: {\"kty\": ...}");
        return;
    }
    if (holds_private(n, d) || !is_for_signatures(n) || !read_algorithm(n, &key.only, d))
        return;
    if (yaml_get(n, "kid") && !yaml_read_text(n, "kid", true, &kid, d))
        return;
    if (!kid_is_new(out, kid, n, d))
        return;
    key.kid = arena_span(mem, kid);
    key.key = jwk_public_key(n, &key.type, d);
    if (key.key && key.only && key.only->type != key.type) {
        diag_error(d, yaml_place(yaml_get(n, "alg")), "`%s` does not fit the key's type",
                   key.only->name);
        EVP_PKEY_free(key.key);
        key.key = NULL;
    }
    if (key.key)
        out->keys[out->count++] = key;
}

static void read_keys(const struct yaml_node *root, struct arena *mem, struct jwk_set *out,
                      struct diags *d)
{
    const struct yaml_node *keys = yaml_get(root, "keys");

    if (!keys || yaml_kind_of(keys) != YAML_SEQUENCE) {
        diag_error(d, yaml_place(root), "not a JWKS: expected {\"keys\": [...]}");
        return;
    }
    if (yaml_count(keys) > IDENTITY_KEYS_MAX) {
        diag_error(d, yaml_place(keys), "more than %d keys", IDENTITY_KEYS_MAX);
        return;
    }
    out->keys = arena_array(mem, struct jwk, yaml_count(keys));
    for (size_t i = 0; i < yaml_count(keys); i++)
        add_key(yaml_at(keys, i), mem, out, d);
}

/* YAML reads more than JSON; a JWKS is JSON (RFC 7517 5), and what is not was damaged on its way.
 */
static bool is_json(const struct yaml_doc *doc, struct diags *d)
{
    struct arena mem = ARENA_INIT;
    struct body_paths *none = body_paths_new(&mem);
    struct body_values values = {0};

    body_read(none, BODY_JSON, yaml_source(doc), SPAN_NONE, &values);
    arena_free(&mem);
    if (values.problem == BODY_PROBLEM_NONE)
        return true;
    diag_error(d, yaml_place_at(doc, values.problem_at), "this is not JSON from here on (%s)",
               body_problem_name(values.problem));
    return false;
}

bool jwk_set_load(const char *file, struct place used_at, struct arena *mem, struct jwk_set *out,
                  struct diags *d)
{
    size_t errors = d->errors;
    struct yaml_doc *doc = yaml_load(file, d);
    bool readable = doc && is_json(doc, d);

    *out = (struct jwk_set){0};
    if (readable)
        read_keys(yaml_root(doc), mem, out, d);
    yaml_free(doc);
    if (!readable)
        diag_error(d, used_at, "the issuer's keys cannot be read");
    else if (out->count == 0)
        diag_error(d, used_at, "`%s` holds no usable key", file);
    if (d->errors == errors)
        return true;
    jwk_set_free(out);
    return false;
}

void jwk_set_free(struct jwk_set *s)
{
    for (unsigned i = 0; i < s->count; i++)
        EVP_PKEY_free(s->keys[i].key);
    *s = (struct jwk_set){0};
}

static bool fits(const struct jwk *k, const struct jwt_algorithm *alg)
{
    return k->type == alg->type && (!k->only || k->only == alg);
}

const struct jwk *jwk_set_find(const struct jwk_set *s, struct span kid,
                               const struct jwt_algorithm *alg)
{
    const struct jwk *only = NULL;

    for (unsigned i = 0; i < s->count; i++) {
        const struct jwk *k = &s->keys[i];

        if (!fits(k, alg) || (kid.n && !span_eq(k->kid, kid)))
            continue;
        if (only) /* a token without a kid, and more than one key that could be meant */
            return NULL;
        only = k;
    }
    return only;
}
