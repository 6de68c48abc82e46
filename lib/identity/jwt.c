/* Tokens: RFC 7515 (JWS, compact), RFC 7519 (claims), with the cautions of RFC 8725. */
#include "identity_internal.h"

#include <jansson.h>
#include <math.h>

static const struct jwt_algorithm algorithms[] = {
    {"RS256", JWK_RSA, "SHA256", false, 0},    {"RS384", JWK_RSA, "SHA384", false, 0},
    {"RS512", JWK_RSA, "SHA512", false, 0},    {"PS256", JWK_RSA, "SHA256", true, 0},
    {"PS384", JWK_RSA, "SHA384", true, 0},     {"PS512", JWK_RSA, "SHA512", true, 0},
    {"ES256", JWK_P256, "SHA256", false, 64},  {"ES384", JWK_P384, "SHA384", false, 96},
    {"ES512", JWK_P521, "SHA512", false, 132}, {"EdDSA", JWK_ED25519, NULL, false, 0},
};

const struct jwt_algorithm *jwt_algorithm_named(struct span name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (span_eq(name, span_cstr(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

static bool decode_part(struct span part, struct arena *mem, struct span *out)
{
    char *to = arena_alloc(mem, part.n);
    size_t n;

    if (part.n == 0 || !base64_decode(part, true, to, &n))
        return false;
    *out = span_of(to, n);
    return true;
}

/* A member that must be a string where it is there; empty if it is not. */
static bool text_of(json_t *object, const char *name, struct arena *mem, struct span *out)
{
    json_t *v = json_object_get(object, name);

    *out = SPAN_NONE;
    if (!v)
        return true;
    if (!json_is_string(v))
        return false;
    *out = arena_span(mem, span_of(json_string_value(v), json_string_length(v)));
    return true;
}

/* `typ` is advice in RFC 7515, but a token made for another purpose (a logout token, a signed
 * request) says so there: RFC 8725 3.11. */
static bool type_accepted(json_t *header)
{
    json_t *typ = json_object_get(header, "typ");
    struct span s;

    if (!typ)
        return true;
    if (!json_is_string(typ))
        return false;
    s = span_of(json_string_value(typ), json_string_length(typ));
    return span_ieq(s, SPAN_LIT("JWT")) || span_ieq(s, SPAN_LIT("at+jwt")) ||
           span_ieq(s, SPAN_LIT("application/at+jwt")) || span_ieq(s, SPAN_LIT("application/jwt"));
}

/* `jku`, `jwk`, `x5u` and `x5c` would let the sender choose the key and are not looked at; `crit`
 * (RFC 7515 4.1.11) names extensions that must be understood, and we know none. */
static enum identity_cause read_header(json_t *header, struct arena *mem, struct jwt *out)
{
    struct span alg;

    if (!json_is_object(header) || !text_of(header, "alg", mem, &alg) || alg.n == 0 ||
        !text_of(header, "kid", mem, &out->kid))
        return IDENTITY_TOKEN_MALFORMED;
    out->alg = jwt_algorithm_named(alg);
    if (!out->alg)
        return IDENTITY_TOKEN_ALGORITHM;
    if (json_object_get(header, "crit") || json_object_get(header, "b64") || !type_accepted(header))
        return IDENTITY_TOKEN_TYPE;
    return IDENTITY_NONE;
}

static enum identity_cause parse_header(struct arena *mem, struct jwt *out)
{
    json_t *header = json_loadb(out->header.p, out->header.n, JSON_REJECT_DUPLICATES, NULL);
    enum identity_cause why = read_header(header, mem, out);

    json_decref(header);
    return why;
}

enum identity_cause jwt_split(struct span token, struct arena *mem, struct jwt *out)
{
    struct span rest = token, header, payload;
    enum identity_cause why;

    *out = (struct jwt){0};
    if (token.n > IDENTITY_TOKEN_MAX)
        return IDENTITY_TOKEN_TOO_LARGE;
    header = span_cut(&rest, '.');
    payload = span_cut(&rest, '.');
    out->signed_text = span_of(token.p, header.n + 1 + payload.n);
    /* The signature comes last, so that the cause of an unsigned token is its algorithm. */
    if (!rest.p || !decode_part(header, mem, &out->header) ||
        !decode_part(payload, mem, &out->payload))
        return IDENTITY_TOKEN_MALFORMED;
    why = parse_header(mem, out);
    if (why == IDENTITY_NONE && !decode_part(rest, mem, &out->signature))
        why = IDENTITY_TOKEN_MALFORMED;
    return why;
}

/* ------------------------------------------------------------------- claims */

#define SECONDS_MOST (UINT64_MAX / NS_IN_S)

/* NumericDate (RFC 7519 2): seconds, perhaps with a fraction. */
static bool time_of(json_t *claims, const char *name, uint64_t *ns)
{
    json_t *v = json_object_get(claims, name);
    double d;

    *ns = 0;
    if (!v)
        return true;
    if (!json_is_number(v))
        return false;
    if (json_is_integer(v)) {
        json_int_t s = json_integer_value(v);

        *ns = s <= 0 ? 1 : (uint64_t)s > SECONDS_MOST ? UINT64_MAX : (uint64_t)s * NS_IN_S;
        return true;
    }
    d = json_real_value(v);
    if (!isfinite(d))
        return false;
    *ns = d <= 0 ? 1 : d >= (double)SECONDS_MOST ? UINT64_MAX : (uint64_t)(d * (double)NS_IN_S);
    return true;
}

static bool add_audience(json_t *v, struct arena *mem, struct jwt_claims *out)
{
    if (!json_is_string(v) || out->naud == JWT_AUDIENCES_MAX)
        return false;
    out->aud[out->naud++] = arena_span(mem, span_of(json_string_value(v), json_string_length(v)));
    return true;
}

static bool audiences_of(json_t *claims, struct arena *mem, struct jwt_claims *out)
{
    json_t *aud = json_object_get(claims, "aud"), *v;
    size_t i;

    if (!json_is_array(aud))
        return add_audience(aud, mem, out);
    json_array_foreach(aud, i, v) if (!add_audience(v, mem, out)) return false;
    return out->naud > 0;
}

static bool read_claims(json_t *claims, struct arena *mem, struct jwt_claims *out)
{
    return text_of(claims, "iss", mem, &out->iss) && out->iss.n > 0 &&
           text_of(claims, "sub", mem, &out->sub) && text_of(claims, "jti", mem, &out->jti) &&
           audiences_of(claims, mem, out) && time_of(claims, "exp", &out->exp) && out->exp > 0 &&
           time_of(claims, "nbf", &out->nbf) && time_of(claims, "iat", &out->iat);
}

enum identity_cause jwt_claims_read(struct span payload, struct arena *mem, struct jwt_claims *out)
{
    json_error_t error;
    json_t *claims = json_loadb(payload.p, payload.n, JSON_REJECT_DUPLICATES, &error);
    enum identity_cause why = IDENTITY_NONE;

    memset(out, 0, sizeof(*out));
    if (!claims && json_error_code(&error) == json_error_duplicate_key)
        why = IDENTITY_TOKEN_CLAIMS;
    else if (!json_is_object(claims))
        why = IDENTITY_TOKEN_MALFORMED;
    else if (!read_claims(claims, mem, out))
        why = IDENTITY_TOKEN_CLAIMS;
    json_decref(claims);
    return why;
}
