#include "maker.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <unistd.h>

static EVP_PKEY *all_keys[KEY_COUNT]; /* made once, as RSA takes its time */

static void make_keys(void)
{
    all_keys[KEY_RSA] = EVP_RSA_gen(2048);
    all_keys[KEY_RSA2] = EVP_RSA_gen(3072);
    all_keys[KEY_P256] = EVP_EC_gen("P-256");
    all_keys[KEY_P384] = EVP_EC_gen("P-384");
    all_keys[KEY_P521] = EVP_EC_gen("P-521");
    all_keys[KEY_ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

struct span maker_base64(struct maker *m, struct span s, bool url)
{
    char *to = arena_alloc(&m->mem, s.n * 4 / 3 + 8);
    int n = EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)s.p, (int)s.n);

    for (int i = 0; url && i < n; i++)
        to[i] = to[i] == '+' ? '-' : to[i] == '/' ? '_' : to[i];
    while (url && n && to[n - 1] == '=')
        n--;
    to[n] = '\0';
    return span_of(to, (size_t)n);
}

static const char *number(struct maker *m, EVP_PKEY *key, const char *param, int least)
{
    unsigned char bytes[1200];
    BIGNUM *bn = NULL;
    int n;

    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &bn), 1);
    n = BN_num_bytes(bn) > least ? BN_num_bytes(bn) : least;
    BN_bn2binpad(bn, bytes, n);
    BN_free(bn);
    return maker_base64(m, span_of(bytes, (size_t)n), true).p;
}

static const char *ed25519_x(struct maker *m)
{
    unsigned char x[32];
    size_t n = sizeof(x);

    EVP_PKEY_get_raw_public_key(m->keys[KEY_ED25519], x, &n);
    return maker_base64(m, span_of(x, n), true).p;
}

const char *maker_jwk(struct maker *m, enum maker_key key, const char *kid, const char *more)
{
    static const int size[KEY_COUNT] = {0, 0, 32, 48, 66, 0};
    EVP_PKEY *k = m->keys[key];

    if (key == KEY_ED25519)
        return arena_printf(&m->mem,
                            "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"%s}",
                            kid, ed25519_x(m), more);
    if (key == KEY_RSA || key == KEY_RSA2)
        return arena_printf(&m->mem, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"%s}",
                            kid, number(m, k, OSSL_PKEY_PARAM_RSA_N, 0),
                            number(m, k, OSSL_PKEY_PARAM_RSA_E, 0), more);
    return arena_printf(
        &m->mem, "{\"kty\":\"EC\",\"crv\":\"P-%d\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}",
        key == KEY_P256   ? 256
        : key == KEY_P384 ? 384
                          : 521,
        kid, number(m, k, OSSL_PKEY_PARAM_EC_PUB_X, size[key]),
        number(m, k, OSSL_PKEY_PARAM_EC_PUB_Y, size[key]), more);
}

const char *maker_jwks(struct maker *m)
{
    return arena_printf(&m->mem, "{\"keys\": [\n%s,\n%s,\n%s,\n%s,\n%s,\n%s\n]}\n",
                        maker_jwk(m, KEY_RSA, "rsa", ",\"use\":\"sig\""),
                        maker_jwk(m, KEY_RSA2, "rsa2", ",\"alg\":\"PS256\""),
                        maker_jwk(m, KEY_P256, "p256", ",\"key_ops\":[\"verify\"]"),
                        maker_jwk(m, KEY_P384, "p384", ""), maker_jwk(m, KEY_P521, "p521", ""),
                        maker_jwk(m, KEY_ED25519, "ed", ""));
}

/* ------------------------------------------------------------------ signing */

static struct span raw_ecdsa(struct maker *m, struct span der, int half)
{
    const unsigned char *p = (const unsigned char *)der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    unsigned char *to = arena_alloc(&m->mem, 2 * (size_t)half);

    BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + half, half);
    ECDSA_SIG_free(sig);
    return span_of(to, 2 * (size_t)half);
}

static const char *digest_of(const char *alg)
{
    if (strcmp(alg, "EdDSA") == 0)
        return NULL;
    return strstr(alg, "256") ? "SHA256" : strstr(alg, "384") ? "SHA384" : "SHA512";
}

static struct span signature(struct maker *m, const char *alg, EVP_PKEY *key, struct span text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    unsigned char *to = arena_alloc(&m->mem, 1024);
    size_t n = 1024;

    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, digest_of(alg), NULL, NULL, key, NULL), 1);
    if (alg[0] == 'P') {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, to, &n, (const unsigned char *)text.p, text.n), 1);
    EVP_MD_CTX_free(ctx);
    if (alg[0] == 'E' && alg[1] == 'S')
        return raw_ecdsa(m, span_of(to, n), (EVP_PKEY_get_bits(key) + 7) / 8);
    return span_of(to, n);
}

struct span maker_sign(struct maker *m, const char *alg, enum maker_key key, const char *header,
                       const char *payload)
{
    const char *text = arena_printf(&m->mem, "%s.%s", maker_base64(m, span_cstr(header), true).p,
                                    maker_base64(m, span_cstr(payload), true).p);
    struct span sig = signature(m, alg, m->keys[key], span_cstr(text));

    return span_cstr(arena_printf(&m->mem, "%s.%s", text, maker_base64(m, sig, true).p));
}

struct span maker_token(struct maker *m, const char *alg, enum maker_key key, const char *kid,
                        const char *payload)
{
    return maker_sign(m, alg, key,
                      arena_printf(&m->mem, "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid), payload);
}

const char *maker_claims(struct maker *m, const char *more)
{
    return arena_printf(&m->mem,
                        "{\"iss\":\"https://idp.test\",\"aud\":\"turnpike\",\"sub\":\"alice\","
                        "\"jti\":\"id-1\",\"iat\":%llu,\"exp\":%llu%s}",
                        NOW_S - 60, NOW_S + 600, more);
}

/* -------------------------------------------------------------------- rules */

void maker_write(struct maker *m, const char *name, const char *text)
{
    FILE *f = fopen(arena_printf(&m->mem, "%s/%s", m->dir, name), "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char rules_head[] = "sources:\n"
                                 "  batch: {address: 10.1.2.0/24, groups: [machines]}\n"
                                 "  one: {address: 10.1.2.3}\n"
                                 "connections:\n"
                                 "  both: {hosts: [both.test], identify: [oidc, source]}\n"
                                 "  tokens:\n"
                                 "    hosts: [tokens.test]\n"
                                 "    identify: [oidc]\n"
                                 "    credential: {as: header, header: DD-Api-Key, secret: s}\n"
                                 "  machines: {hosts: [machines.test], identify: [source]}\n";

void maker_load(struct maker *m, const char *issuer_more)
{
    maker_write(
        m, "rules.yaml",
        arena_printf(&m->mem,
                     "issuers:\n  idp:\n    issuer: https://idp.test\n    audience: turnpike\n"
                     "    keys: {file: jwks.json}\n%s%s",
                     issuer_more, rules_head));
    identity_free(m->set);
    rules_free(m->rules);
    m->set = NULL;
    m->rules = rules_load(m->dir, NOW, &m->d);
    if (m->rules)
        m->set = identity_load(m->rules, &m->d);
    if (!m->set)
        diags_print(&m->d, stdout, false);
    assert_non_null(m->set);
}

const struct rules_connection *maker_connection(struct maker *m, const char *name)
{
    for (unsigned i = 0; i < rules_connection_count(m->rules); i++)
        if (span_eq(rules_connection_at(m->rules, i)->name, span_cstr(name)))
            return rules_connection_at(m->rules, i);
    fail_msg("no connection %s", name);
    return NULL;
}

int maker_set_up(void **state)
{
    struct maker *m = calloc(1, sizeof(*m));

    if (!all_keys[0])
        make_keys();
    memcpy(m->keys, all_keys, sizeof(m->keys));
    strcpy(m->dir, "/tmp/identity.XXXXXX");
    if (!mkdtemp(m->dir))
        return -1;
    diags_init(&m->d);
    maker_write(m, "jwks.json", maker_jwks(m));
    *state = m;
    maker_load(m, "");
    return 0;
}

int maker_tear_down(void **state)
{
    struct maker *m = *state;
    const char *command = arena_printf(&m->mem, "rm -rf %s", m->dir);
    int result = system(command);

    identity_free(m->set);
    rules_free(m->rules);
    diags_free(&m->d);
    arena_free(&m->mem);
    free(m);
    return result;
}
