#include "vault_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

static const unsigned char *bytes(struct span s)
{
    return (const unsigned char *)s.p;
}

static bool add_aad(EVP_CIPHER_CTX *ctx, const struct vault_box *box)
{
    for (size_t i = 0; i < sizeof(box->aad) / sizeof(box->aad[0]); i++) {
        int n;

        if (box->aad[i].n > INT32_MAX)
            return false;
        if (box->aad[i].n &&
            EVP_CipherUpdate(ctx, NULL, &n, bytes(box->aad[i]), (int)box->aad[i].n) != 1)
            return false;
    }
    return true;
}

/* Key, nonce (12 bytes, GCM's default) and additional data. NULL when the library fails. */
static EVP_CIPHER_CTX *start(const struct vault_box *box, int sealing)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (ctx &&
        EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), box->key, box->nonce, sealing, NULL) == 1 &&
        add_aad(ctx, box))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

static bool update(EVP_CIPHER_CTX *ctx, struct span from, uint8_t *to)
{
    int n;

    return from.n == 0 || (from.n <= VAULT_VALUE_MAX &&
                           EVP_CipherUpdate(ctx, to, &n, bytes(from), (int)from.n) == 1);
}

bool vault_box_seal(const struct vault_box *box, struct span plain, uint8_t *sealed,
                    uint8_t tag[VAULT_TAG])
{
    EVP_CIPHER_CTX *ctx = start(box, 1);
    uint8_t none[16];
    int n;
    bool ok;

    ok = ctx && update(ctx, plain, sealed) && EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VAULT_TAG, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool vault_box_open(const struct vault_box *box, struct span sealed, const uint8_t tag[VAULT_TAG],
                    uint8_t *plain)
{
    EVP_CIPHER_CTX *ctx = start(box, 0);
    uint8_t none[16], want[VAULT_TAG];
    int n;
    bool ok;

    memcpy(want, tag, sizeof(want));
    ok = ctx && update(ctx, sealed, plain) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, VAULT_TAG, want) == 1 &&
         EVP_CipherFinal_ex(ctx, none, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok && sealed.n)
        OPENSSL_cleanse(plain, sealed.n); /* it was decrypted before it was known to be bad */
    return ok;
}

bool vault_key_check(const uint8_t key[VAULT_KEY], const uint8_t id[VAULT_ID], uint8_t out[16])
{
    static const char label[] = "turnpike vault key check";
    uint8_t text[sizeof(label) + VAULT_ID], mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    memcpy(text, label, sizeof(label));
    memcpy(text + sizeof(label), id, VAULT_ID);
    if (!HMAC(EVP_sha256(), key, VAULT_KEY, text, sizeof(text), mac, &n) || n < 16)
        return false;
    memcpy(out, mac, 16);
    return true;
}

bool vault_random(void *out, size_t n)
{
    return n <= INT32_MAX && RAND_priv_bytes(out, (int)n) == 1;
}
