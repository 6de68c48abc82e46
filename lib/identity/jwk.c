/* One public key of a JWKS: RFC 7517, 7518 section 6, 8037 section 2. */
#include "identity_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#define NUMBER_MAX (IDENTITY_RSA_MOST / 8 + 8) /* bytes of the longest number in a key */

struct number {
    unsigned char bytes[NUMBER_MAX];
    size_t n;
};

static bool read_number(const struct yaml_node *n, const char *name, struct number *out,
                        struct diags *d)
{
    char decoded[2 * NUMBER_MAX];
    struct span text;

    if (!yaml_read_text(n, name, true, &text, d))
        return false;
    if (text.n == 0 || text.n > sizeof(decoded) || !base64_decode(text, true, decoded, &out->n) ||
        out->n > NUMBER_MAX) {
        diag_error(d, yaml_place(yaml_get(n, name)), "`%s`: expected base64url, at most %d bytes",
                   name, NUMBER_MAX);
        return false;
    }
    memcpy(out->bytes, decoded, out->n);
    return true;
}

static EVP_PKEY *key_from(const char *kind, OSSL_PARAM_BLD *b)
{
    OSSL_PARAM *params = b ? OSSL_PARAM_BLD_to_param(b) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL), *check = NULL;
    EVP_PKEY *key = NULL;

    if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
        check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!check || EVP_PKEY_public_check(check) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *rsa_from(const struct number *modulus, const struct number *exponent)
{
    BIGNUM *n = BN_bin2bn(modulus->bytes, (int)modulus->n, NULL);
    BIGNUM *e = BN_bin2bn(exponent->bytes, (int)exponent->n, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (n && e && b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        key = key_from("RSA", b);
    OSSL_PARAM_BLD_free(b);
    BN_free(n);
    BN_free(e);
    return key;
}

static size_t bits(const struct number *v)
{
    size_t skip = 0;

    while (skip < v->n && v->bytes[skip] == 0)
        skip++;
    if (skip == v->n)
        return 0;
    return 8 * (v->n - skip) - (size_t)(__builtin_clz(v->bytes[skip]) - 24);
}

static EVP_PKEY *read_rsa(const struct yaml_node *n, struct diags *d)
{
    struct number modulus, exponent;
    EVP_PKEY *key;

    if (!read_number(n, "n", &modulus, d) || !read_number(n, "e", &exponent, d))
        return NULL;
    if (bits(&modulus) < IDENTITY_RSA_LEAST || bits(&modulus) > IDENTITY_RSA_MOST) {
        diag_error(d, yaml_place(yaml_get(n, "n")),
                   "an RSA key of %zu bits is not accepted: %d to %d", bits(&modulus),
                   IDENTITY_RSA_LEAST, IDENTITY_RSA_MOST);
        return NULL;
    }
    if (bits(&exponent) < 2 || bits(&exponent) > 64) {
        diag_error(d, yaml_place(yaml_get(n, "e")), "this RSA exponent is not accepted");
        return NULL;
    }
    key = rsa_from(&modulus, &exponent);
    if (!key)
        diag_error(d, yaml_place(n), "these numbers are no RSA key");
    return key;
}

struct curve {
    const char *crv, *group;
    enum jwk_type type;
    size_t n; /* bytes of a coordinate, always in full (RFC 7518 6.2.1.2) */
};

static const struct curve curves[] = {
    {"P-256", "P-256", JWK_P256, 32},
    {"P-384", "P-384", JWK_P384, 48},
    {"P-521", "P-521", JWK_P521, 66},
};

static EVP_PKEY *ec_from(const struct curve *c, const struct number *x, const struct number *y)
{
    unsigned char point[1 + 2 * 66] = {4}; /* uncompressed (SEC 1, 2.3.3) */
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    memcpy(point + 1, x->bytes, c->n);
    memcpy(point + 1 + c->n, y->bytes, c->n);
    if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * c->n) == 1)
        key = key_from("EC", b);
    OSSL_PARAM_BLD_free(b);
    return key;
}

static EVP_PKEY *read_ec(const struct yaml_node *n, const struct curve *c, struct diags *d)
{
    struct number x, y;
    EVP_PKEY *key = NULL;

    if (!read_number(n, "x", &x, d) || !read_number(n, "y", &y, d))
        return NULL;
    if (x.n == c->n && y.n == c->n)
        key = ec_from(c, &x, &y);
    if (!key)
        diag_error(d, yaml_place(n), "x and y are no point of %s", c->crv);
    return key;
}

static EVP_PKEY *read_ed25519(const struct yaml_node *n, struct diags *d)
{
    EVP_PKEY *key = NULL;
    struct number x;

    if (!read_number(n, "x", &x, d))
        return NULL;
    if (x.n == 32)
        key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x.bytes, x.n);
    if (!key)
        diag_error(d, yaml_place(yaml_get(n, "x")), "`x`: expected 32 bytes");
    return key;
}

static EVP_PKEY *read_curve(const struct yaml_node *n, bool ec, enum jwk_type *type,
                            struct diags *d)
{
    struct span crv;

    if (!yaml_read_text(n, "crv", true, &crv, d))
        return NULL;
    for (size_t i = 0; ec && i < sizeof(curves) / sizeof(curves[0]); i++)
        if (span_eq(crv, span_cstr(curves[i].crv))) {
            *type = curves[i].type;
            return read_ec(n, &curves[i], d);
        }
    if (!ec && span_eq(crv, SPAN_LIT("Ed25519"))) {
        *type = JWK_ED25519;
        return read_ed25519(n, d);
    }
    diag_warning(d, yaml_place(yaml_get(n, "crv")), "keys of the curve `%.*s` are passed over",
                 SPAN_ARG(crv));
    return NULL;
}

EVP_PKEY *jwk_public_key(const struct yaml_node *n, enum jwk_type *type, struct diags *d)
{
    struct span kty;

    if (!yaml_read_text(n, "kty", true, &kty, d))
        return NULL;
    if (span_eq(kty, SPAN_LIT("RSA"))) {
        *type = JWK_RSA;
        return read_rsa(n, d);
    }
    if (span_eq(kty, SPAN_LIT("EC")) || span_eq(kty, SPAN_LIT("OKP")))
        return read_curve(n, kty.n == 2, type, d);
    /* RFC 7517 5: a set may hold kinds that are not known yet. */
    diag_warning(d, yaml_place(yaml_get(n, "kty")), "keys of the type `%.*s` are passed over",
                 SPAN_ARG(kty));
    return NULL;
}
