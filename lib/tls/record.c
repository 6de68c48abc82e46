/* One direction of a TLS 1.3 connection: its key, and single records under it (RFC 8446 5). */
#include "tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#define LABEL_MAX 16

/* ---- keys */

static bool suite_open(struct tls *t, struct tls_suite *u, uint16_t id, const char *cipher,
                       const char *digest, uint8_t secret)
{
    *u = (struct tls_suite){.id = id, .digest = digest, .secret = secret};
    u->cipher = EVP_CIPHER_fetch(t->lib, cipher, NULL);
    return u->cipher != NULL;
}

bool tls_suites_open(struct tls *t)
{
    EVP_MAC *hmac = EVP_MAC_fetch(t->lib, "HMAC", NULL);

    t->hmac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    return t->hmac && suite_open(t, &t->suites[0], 0x1301, "AES-128-GCM", "SHA256", 32) &&
           suite_open(t, &t->suites[1], 0x1302, "AES-256-GCM", "SHA384", 48) &&
           suite_open(t, &t->suites[2], 0x1303, "ChaCha20-Poly1305", "SHA256", 32);
}

void tls_suites_close(struct tls *t)
{
    for (unsigned i = 0; i < TLS_SUITES; i++)
        EVP_CIPHER_free(t->suites[i].cipher);
    EVP_MAC_CTX_free(t->hmac);
}

const struct tls_suite *tls_suite(const struct tls *t, uint16_t id)
{
    for (unsigned i = 0; i < TLS_SUITES; i++)
        if (t->suites[i].id == id)
            return &t->suites[i];
    return NULL;
}

/* HKDF-Expand-Label (RFC 8446 7.1) without a context, of no more bytes than one HMAC gives: the
 * first block of RFC 5869 2.3 is all of it. */
static bool expand(struct tls *t, const struct tls_suite *u, const uint8_t *secret,
                   const char *label, uint8_t *out, size_t n)
{
    uint8_t info[2 + 1 + 6 + LABEL_MAX + 1 + 1], whole[EVP_MAX_MD_SIZE];
    size_t len = strlen(label), at = 0, got;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)u->digest, 0),
        OSSL_PARAM_construct_end()};
    bool ok;

    info[at++] = 0;
    info[at++] = (uint8_t)n;
    info[at++] = (uint8_t)(6 + len);
    memcpy(info + at, "tls13 ", 6);
    memcpy(info + at + 6, label, len);
    at += 6 + len;
    info[at++] = 0; /* no context */
    info[at++] = 1; /* the first block */
    ok = EVP_MAC_init(t->hmac, secret, u->secret, params) == 1 &&
         EVP_MAC_update(t->hmac, info, at) == 1 &&
         EVP_MAC_final(t->hmac, whole, &got, sizeof(whole)) == 1 && got >= n;
    if (ok)
        memcpy(out, whole, n);
    OPENSSL_cleanse(whole, sizeof(whole));
    return ok;
}

/* RFC 8446 7.3. */
bool tls_way_key(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals)
{
    uint8_t key[EVP_MAX_KEY_LENGTH];
    bool ok = expand(t, u, w->secret, "key", key, (size_t)EVP_CIPHER_get_key_length(u->cipher)) &&
              expand(t, u, w->secret, "iv", w->iv, sizeof(w->iv)) &&
              EVP_CipherInit_ex2(w->ctx, u->cipher, key, w->iv, seals, NULL) == 1;

    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

bool tls_way_open(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals)
{
    w->ctx = EVP_CIPHER_CTX_new();
    return w->ctx && tls_way_key(t, u, w, seals);
}

void tls_way_close(struct tls_way *w)
{
    EVP_CIPHER_CTX_free(w->ctx);
    OPENSSL_cleanse(w, sizeof(*w));
}

bool tls_way_update(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals)
{
    w->seq = 0;
    return expand(t, u, w->secret, "traffic upd", w->secret, u->secret) &&
           tls_way_key(t, u, w, seals);
}

/* ---- records */

/* RFC 8446 5.3. */
static void nonce_of(const struct tls_way *w, uint64_t seq, uint8_t nonce[TLS_IV])
{
    memcpy(nonce, w->iv, TLS_IV);
    for (unsigned i = 0; i < 8; i++)
        nonce[TLS_IV - 1 - i] ^= (uint8_t)(seq >> (8 * i));
}

static void put_header(uint8_t *p, size_t n)
{
    p[0] = TLS_TYPE_DATA;
    p[1] = 3;
    p[2] = 3;
    p[3] = (uint8_t)(n >> 8);
    p[4] = (uint8_t)n;
}

static size_t seal(EVP_CIPHER_CTX *ctx, const uint8_t nonce[TLS_IV], uint8_t type, const void *p,
                   size_t n, uint8_t *out)
{
    uint8_t *body = out + TLS_HEADER;
    int a = 0, b = 0, c = 0;

    put_header(out, n + 1 + TLS_TAG);
    if (EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, NULL, &a, out, TLS_HEADER) != 1 ||
        (n && EVP_EncryptUpdate(ctx, body, &b, p, (int)n) != 1) ||
        EVP_EncryptUpdate(ctx, body + n, &c, &type, 1) != 1 ||
        EVP_EncryptFinal_ex(ctx, body + n + 1, &a) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, body + n + 1) != 1)
        return 0;
    return TLS_HEADER + n + 1 + TLS_TAG;
}

size_t tls_way_seal(struct tls_way *w, uint8_t type, const void *p, size_t n, uint8_t *out)
{
    uint8_t nonce[TLS_IV];
    size_t all;

    nonce_of(w, w->seq, nonce);
    all = seal(w->ctx, nonce, type, p, n, out);
    w->seq += all != 0;
    return all;
}

bool tls_way_unseal(struct tls_way *w, const uint8_t header[TLS_HEADER], uint8_t *in, size_t n,
                    uint8_t *out)
{
    uint8_t nonce[TLS_IV];
    size_t text = n - TLS_TAG;
    int a = 0;

    nonce_of(w, w->seq, nonce);
    if (EVP_DecryptInit_ex2(w->ctx, NULL, NULL, nonce, NULL) != 1 ||
        EVP_DecryptUpdate(w->ctx, NULL, &a, header, TLS_HEADER) != 1 ||
        EVP_DecryptUpdate(w->ctx, out, &a, in, (int)text) != 1 ||
        EVP_CIPHER_CTX_ctrl(w->ctx, EVP_CTRL_AEAD_SET_TAG, TLS_TAG, in + text) != 1 ||
        EVP_DecryptFinal_ex(w->ctx, out + text, &a) != 1) {
        OPENSSL_cleanse(out, text); /* what was not authenticated is nobody's to see */
        return false;
    }
    w->seq++;
    return true;
}
