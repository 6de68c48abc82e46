#include "identity_internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

/* JWS has r and s side by side, each as long as the curve's order (RFC 7518 3.4); OpenSSL wants
 * them in DER. */
static bool ecdsa_to_der(struct span raw, struct arena *mem, struct span *der)
{
    const unsigned char *p = (const unsigned char *)raw.p;
    int half = (int)(raw.n / 2), n;
    BIGNUM *r = BN_bin2bn(p, half, NULL), *s = BN_bin2bn(p + half, half, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    unsigned char *to;

    if (!r || !s || !sig || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return false;
    }
    n = i2d_ECDSA_SIG(sig, NULL);
    if (n > 0) {
        to = arena_alloc(mem, (size_t)n);
        *der = span_of(to, (size_t)n);
        n = i2d_ECDSA_SIG(sig, &to);
    }
    ECDSA_SIG_free(sig);
    return n > 0;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct jwt_algorithm *alg)
{
    if (alg->type != JWK_RSA)
        return true;
    if (!alg->pss)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    /* RFC 7518 3.5: MGF1 with the same hash, the salt as long as the hash. */
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool jwt_signature_good(const struct jwt *t, EVP_PKEY *key, struct arena *mem)
{
    struct span signature = t->signature;
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx;
    bool good;

    if (t->alg->raw && (signature.n != t->alg->raw || !ecdsa_to_der(t->signature, mem, &signature)))
        return false;
    ctx = EVP_MD_CTX_new();
    good = ctx &&
           EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, t->alg->digest, NULL, NULL, key, NULL) == 1 &&
           set_padding(pkey_ctx, t->alg) &&
           EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                            (const unsigned char *)t->signed_text.p, t->signed_text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* of a wrong signature; nobody else is to find it in the queue */
    return good;
}
