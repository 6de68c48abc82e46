/* From a token to a caller: the order of RFC 7519 7.2, and nothing of a claim is believed before
 * the signature. */
#include "identity_internal.h"

static bool has_audience(const struct jwt_claims *c, struct span audience)
{
    for (unsigned i = 0; i < c->naud; i++)
        if (span_eq(c->aud[i], audience))
            return true;
    return false;
}

/* The rules name an `iss` once. */
static const struct identity_issuer *issuer_of(const struct identity_set *s, struct span iss)
{
    for (unsigned i = 0; i < s->nissuers; i++)
        if (!s->issuers[i].rule->certificates && span_eq(s->issuers[i].rule->issuer, iss))
            return &s->issuers[i];
    return NULL;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static enum identity_cause check_claims(const struct jwt_claims *c, const struct rules_issuer *r,
                                        uint64_t now_ns)
{
    if (!has_audience(c, r->audience))
        return IDENTITY_TOKEN_AUDIENCE;
    if (now_ns >= plus(c->exp, r->skew_ns))
        return IDENTITY_TOKEN_EXPIRED;
    if (c->nbf > plus(now_ns, r->skew_ns) || c->iat > plus(now_ns, r->skew_ns))
        return IDENTITY_TOKEN_NOT_YET;
    return IDENTITY_NONE;
}

/* The bytes are UTF-8 as JSON is. */
bool identity_is_name(struct span s)
{
    if (s.n == 0 || s.n > IDENTITY_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool name_caller(const struct rules_issuer *r, const struct jwt_claims *c,
                        struct span payload, struct arena *mem, struct span *id)
{
    if (!r->caller)
        *id = c->sub;
    else if (!rules_expr_text(r->caller, payload, mem, id))
        return false;
    return identity_is_name(*id);
}

static bool add_group(struct rules_caller *caller, struct span name)
{
    for (unsigned i = 0; i < caller->ngroups; i++)
        if (span_eq(caller->groups[i], name))
            return true;
    if (caller->ngroups == RULES_GROUPS_MAX)
        return false;
    caller->groups[caller->ngroups++] = name;
    return true;
}

/* "team-*": each element of the list behind what stands before the star. An element that is no name
 * makes no group: it cannot be in a rule. */
static bool add_listed(struct rules_caller *caller, const struct rules_group *g, struct span claims,
                       struct arena *mem)
{
    struct span prefix = span_of(g->name.p, g->name.n - 1);
    unsigned room = (unsigned)(claims.n / 3 + 1), n = 0; /* an element takes three bytes: "", */
    struct span *items = arena_array(mem, struct span, room);

    if (!rules_expr_list(g->expr, claims, mem, items, room, &n))
        return true;
    for (unsigned i = 0; i < n; i++) {
        const char *name = arena_printf(mem, "%.*s%.*s", SPAN_ARG(prefix), SPAN_ARG(items[i]));

        if (identity_is_name(items[i]) && identity_is_name(span_cstr(name)) &&
            !add_group(caller, span_cstr(name)))
            return false;
    }
    return true;
}

bool identity_add_groups(struct rules_caller *caller, const struct rules_issuer *r,
                         struct span claims, struct arena *mem)
{
    for (unsigned i = 0; i < r->ngroups; i++) {
        const struct rules_group *g = &r->groups[i];
        bool in = false;

        if (span_ends(g->name, SPAN_LIT("*"))) {
            if (!add_listed(caller, g, claims, mem))
                return false;
        } else if (rules_expr_bool(g->expr, claims, &in) && in && !add_group(caller, g->name)) {
            return false;
        }
    }
    return true;
}

static enum identity_cause describe(const struct rules_issuer *r, const struct jwt *t,
                                    const struct jwt_claims *c, struct arena *mem,
                                    struct identity *out)
{
    *out = (struct identity){
        .subject = c->sub,
        .token_id = c->jti,
        .expires_ns = plus(c->exp, r->skew_ns),
        .caller = {.issuer = r->name, .method = SPAN_LIT("oidc"), .claims = t->payload},
    };
    if (!name_caller(r, c, t->payload, mem, &out->caller.id))
        return IDENTITY_CALLER_UNNAMED;
    if (!identity_add_groups(&out->caller, r, t->payload, mem))
        return IDENTITY_TOO_MANY_GROUPS;
    return IDENTITY_NONE;
}

enum identity_cause identity_verify_token(const struct identity_set *s, struct span token,
                                          uint64_t now_ns, struct arena *mem, struct identity *out)
{
    const struct identity_issuer *issuer;
    const struct jwk *key;
    struct jwt_claims claims;
    enum identity_cause why;
    struct jwt t;

    why = jwt_split(token, mem, &t);
    if (why == IDENTITY_NONE)
        why = jwt_claims_read(t.payload, mem, &claims);
    if (why != IDENTITY_NONE)
        return why;
    issuer = issuer_of(s, claims.iss);
    if (!issuer)
        return IDENTITY_TOKEN_ISSUER;
    key = jwk_set_find(&issuer->keys, t.kid, t.alg);
    if (!key)
        return IDENTITY_TOKEN_KEY;
    if (!jwt_signature_good(&t, key->key, mem))
        return IDENTITY_TOKEN_SIGNATURE;
    why = check_claims(&claims, issuer->rule, now_ns);
    return why == IDENTITY_NONE ? describe(issuer->rule, &t, &claims, mem, out) : why;
}
