/* Finding the token in a request, and the caller behind it, or behind what TLS has seen. */
#include "identity_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* What the fields of a request hold. */
struct found {
    struct span certificates; /* not of the request: of its connection */
    struct span token;
    bool two;       /* different ones */
    bool too_large; /* Basic credentials beyond what is decoded */
    bool other;     /* something stands there that is no token: perhaps a vendor's key */
    size_t decoded; /* bytes of the worker's scratch in use */
};

/* The start of a JSON object in base64url: `{"`, or with the white space that a careless encoder
 * leaves behind the brace. Vendors' keys with two dots are common, those that begin so are not. */
static bool looks_like_jwt(struct span s)
{
    static const char *const starts[] = {"eyJ", "eyA", "ewo", "ewk", "ew0"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (span_starts(s, span_cstr(starts[i])))
            return true;
    return false;
}

static void take(struct found *f, struct span token)
{
    if (f->token.n && !span_eq(f->token, token))
        f->two = true;
    f->token = token;
}

static void take_if_jwt(struct found *f, struct span value)
{
    if (looks_like_jwt(value))
        take(f, value);
    else if (value.n)
        f->other = true;
}

/* RFC 7617: user:password in base64. SDKs put the key in the one or the other. */
static void take_basic(struct identity_worker *w, struct found *f, struct span value)
{
    char *to = w->scratch + f->decoded;
    struct span user, password;
    size_t n;

    if (value.n > sizeof(w->scratch) - f->decoded) {
        f->too_large = true;
        return;
    }
    if (!base64_decode(value, false, to, &n)) {
        f->other = true;
        f->decoded += value.n;
        return;
    }
    f->decoded += n;
    password = span_of(to, n);
    user = span_cut(&password, ':');
    take_if_jwt(f, user);
    take_if_jwt(f, password);
}

/* RFC 9110 11.6.2: scheme, spaces, credentials. */
static void take_authorization(struct identity_worker *w, struct found *f, struct span value)
{
    struct span rest = value, scheme = span_cut(&rest, ' ');

    rest = span_trim(rest);
    if (span_ieq(scheme, SPAN_LIT("Basic")))
        take_basic(w, f, rest);
    else if (span_ieq(scheme, SPAN_LIT("Bearer")))
        take_if_jwt(f, rest);
    else
        take_if_jwt(f, value); /* bare, as some vendors want their key */
}

static bool is_credential_field(const struct rules_connection *c, const struct http_field *field)
{
    return c->credential.kind == RULES_CRED_HEADER && span_ieq(field->name, c->credential.header);
}

bool identity_is_token_field(const struct rules_connection *connection,
                             const struct http_field *field)
{
    return field->id == HTTP_F_TURNPIKE_TOKEN || field->id == HTTP_F_AUTHORIZATION ||
           field->id == HTTP_F_X_API_KEY || is_credential_field(connection, field);
}

static void find_tokens(struct identity_worker *w, const struct rules_connection *c,
                        const struct http_head *head, struct found *f)
{
    for (unsigned i = 0; i < head->nfields; i++) {
        const struct http_field *field = &head->fields[i];

        if (field->id == HTTP_F_TURNPIKE_TOKEN && field->value.n)
            take(f, field->value); /* stands for nothing else, whatever it looks like */
        else if (field->id == HTTP_F_AUTHORIZATION)
            take_authorization(w, f, field->value);
        else if (field->id == HTTP_F_X_API_KEY || is_credential_field(c, field))
            take_if_jwt(f, field->value);
    }
}

/* What is remembered under a hash: the kind is part of what is hashed, so that no token can stand
 * for a certificate. */
struct evidence {
    struct span kind, bytes;
    enum identity_cause (*verify)(const struct identity_set *s, struct span bytes, uint64_t now_ns,
                                  struct arena *mem, struct identity *out);
};

static bool hash_evidence(struct identity_worker *w, const struct evidence *e,
                          uint8_t key[IDENTITY_KEY])
{
    return EVP_DigestInit_ex2(w->digest, w->sha256, NULL) == 1 &&
           EVP_DigestUpdate(w->digest, e->kind.p, e->kind.n) == 1 &&
           EVP_DigestUpdate(w->digest, e->bytes.p, e->bytes.n) == 1 &&
           EVP_DigestFinal_ex(w->digest, key, NULL) == 1;
}

static enum identity_cause first_sight(struct identity_worker *w, const struct evidence *e,
                                       const uint8_t key[IDENTITY_KEY], uint64_t now_ns,
                                       const struct identity **out)
{
    struct arena mem = ARENA_INIT;
    enum identity_cause why;
    struct identity id;

    why = e->verify(w->set, e->bytes, now_ns, &mem, &id);
    if (why == IDENTITY_NONE) {
        counter_inc(&w->counters.verified);
        *out = identity_cache_put(w, key, &id);
        if (!*out) /* no memory for who it is: then nobody knows it */
            why = IDENTITY_CALLER_UNNAMED;
    }
    arena_free(&mem);
    return why;
}

static enum identity_cause by_token(struct identity_worker *w, struct span token, uint64_t now_ns,
                                    const struct identity **out)
{
    const struct evidence e = {SPAN_LIT("token:"), token, identity_verify_token};
    uint8_t key[IDENTITY_KEY];
    bool expired;

    if (token.n > IDENTITY_TOKEN_MAX)
        return IDENTITY_TOKEN_TOO_LARGE;
    if (!hash_evidence(w, &e, key))
        return IDENTITY_TOKEN_SIGNATURE;
    *out = identity_cache_get(w, key, now_ns, &expired);
    if (*out) {
        counter_inc(&w->counters.cache_hits);
        return IDENTITY_NONE;
    }
    if (expired)
        return IDENTITY_TOKEN_EXPIRED;
    return first_sight(w, &e, key, now_ns, out);
}

/* One that has expired in the cache is looked at again: it may be another link of the chain, or a
 * CRL, that ended. */
static enum identity_cause by_certificate(struct identity_worker *w, struct span der,
                                          uint64_t now_ns, const struct identity **out)
{
    const struct evidence e = {SPAN_LIT("certificate:"), der, identity_verify_certificates};
    uint8_t key[IDENTITY_KEY];
    bool expired;

    if (!hash_evidence(w, &e, key))
        return IDENTITY_CERTIFICATE_INVALID;
    *out = identity_cache_get(w, key, now_ns, &expired);
    if (*out) {
        counter_inc(&w->counters.cache_hits);
        return IDENTITY_NONE;
    }
    return first_sight(w, &e, key, now_ns, out);
}

static enum identity_cause by_found(struct identity_worker *w, const struct found *f,
                                    uint64_t now_ns, const struct identity **out)
{
    if (f->two)
        return IDENTITY_TOKEN_TWICE;
    if (f->too_large)
        return IDENTITY_TOKEN_TOO_LARGE;
    return by_token(w, f->token, now_ns, out);
}

static const struct identity *new_source(struct identity_worker *w, const uint8_t *key,
                                         const struct rules_source *source)
{
    struct identity id = {
        .expires_ns = UINT64_MAX,
        .caller = {.id = source->name, .method = SPAN_LIT("source")},
    };

    for (unsigned i = 0; i < source->ngroups && i < RULES_GROUPS_MAX; i++)
        id.caller.groups[id.caller.ngroups++] = source->groups[i];
    return identity_cache_put(w, key, &id);
}

/* Sources are remembered beside tokens, under the place of their entry in the rule set, which no
 * SHA-256 looks like. */
static enum identity_cause by_source(struct identity_worker *w, const struct net_addr *from,
                                     const struct identity **out)
{
    const struct rules_source *source = rules_source_for(w->set->rules, from);
    uint8_t key[IDENTITY_KEY] = {0};
    bool expired;

    if (!source)
        return IDENTITY_SOURCE_UNKNOWN;
    memcpy(key, &source, sizeof(source));
    *out = identity_cache_get(w, key, 0, &expired);
    if (!*out)
        *out = new_source(w, key, source);
    return *out ? IDENTITY_NONE : IDENTITY_CALLER_UNNAMED;
}

/* No method found anything: the cause is what the first of them missed. */
static enum identity_cause nothing_found(const struct rules_connection *c, const struct found *f)
{
    if (c->nidentify && c->identify[0] == RULES_ID_SOURCE)
        return IDENTITY_SOURCE_UNKNOWN;
    if (c->nidentify && c->identify[0] == RULES_ID_MTLS)
        return IDENTITY_CERTIFICATE_MISSING;
    return f->other ? IDENTITY_TOKEN_MALFORMED : IDENTITY_TOKEN_MISSING;
}

static enum identity_cause try_methods(struct identity_worker *w, const struct rules_connection *c,
                                       const struct found *f, const struct net_addr *from,
                                       uint64_t now_ns, const struct identity **out)
{
    for (unsigned i = 0; i < c->nidentify; i++) {
        switch (c->identify[i]) {
        case RULES_ID_OIDC:
            if (f->token.n || f->too_large)
                return by_found(w, f, now_ns, out);
            break;
        case RULES_ID_MTLS:
            if (f->certificates.n)
                return by_certificate(w, f->certificates, now_ns, out);
            break;
        case RULES_ID_SOURCE:
            if (by_source(w, from, out) == IDENTITY_NONE)
                return IDENTITY_NONE;
            break;
        }
    }
    return nothing_found(c, f);
}

enum identity_cause identity_identify(struct identity_worker *w,
                                      const struct rules_connection *connection,
                                      const struct http_head *head, struct span certificates,
                                      const struct net_addr *from, uint64_t now_ns,
                                      const struct identity **out)
{
    struct found f = {.certificates = certificates};
    enum identity_cause why;

    *out = NULL;
    find_tokens(w, connection, head, &f);
    why = w->set ? try_methods(w, connection, &f, from, now_ns, out) : IDENTITY_TOKEN_ISSUER;
    if (f.decoded)
        OPENSSL_cleanse(w->scratch, f.decoded);
    if (why != IDENTITY_NONE)
        counter_inc(&w->counters.refused[why]);
    return why;
}
