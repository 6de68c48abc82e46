/* Keys of session tickets. All workers derive them from one seed and the clock, so a ticket given
 * by one worker opens on any other, keys change by themselves, and no worker writes what another
 * reads. A ticket is good with the keys of its own time and the time after. */
#include "tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>

/* HMAC as a PRF in counter mode (NIST SP 800-108): block `i` of an epoch's key material. */
static bool derive_block(struct tls *t, int64_t epoch, unsigned char i, unsigned char out[32])
{
    unsigned char in[8 + 1] = {0};
    size_t n = 0;

    memcpy(in, &epoch, sizeof(epoch));
    in[8] = i;
    return EVP_Q_mac(t->lib, "HMAC", NULL, "SHA256", NULL, t->shared->ticket_seed, TLS_TICKET_SEED,
                     in, sizeof(in), out, 32, &n) &&
           n == 32;
}

static bool derive(struct tls *t, int64_t epoch, struct tls_ticket_key *k)
{
    unsigned char name[32];

    if (!derive_block(t, epoch, 0, name) || !derive_block(t, epoch, 1, k->cipher) ||
        !derive_block(t, epoch, 2, k->mac))
        return false;
    memcpy(k->name, name, sizeof(k->name));
    return true;
}

bool tls_tickets_turn(struct tls *t, int64_t now)
{
    struct tls_tickets *k = &t->tickets, fresh = {.epoch = now / TLS_TICKET_EPOCH_S};
    bool ok;

    if (k->epoch == fresh.epoch)
        return true;
    ok = derive(t, fresh.epoch, &fresh.current) && derive(t, fresh.epoch - 1, &fresh.previous);
    if (ok)
        *k = fresh;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    return ok;
}

static bool start_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
                                          sizeof(k->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, p) == 1;
}

static int seal(struct tls *t, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    const struct tls_ticket_key *k = &t->tickets.current;

    memcpy(name, k->name, sizeof(k->name));
    if (RAND_bytes_ex(t->lib, iv, 16, 0) != 1 ||
        !EVP_EncryptInit_ex2(cipher, t->ticket_cipher, k->cipher, iv, NULL) || !start_mac(mac, k))
        return -1;
    return 1;
}

/* 0: not a key of ours, so a full handshake; 2: good, and a new ticket is due. */
static int unseal(struct tls *t, const unsigned char name[16], const unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct tls_ticket_key *k = &t->tickets.current;
    int good = 2; /* a new one goes out in its place: clients use a ticket of TLS 1.3 once */

    if (memcmp(name, k->name, sizeof(k->name)) != 0) {
        k = &t->tickets.previous;
        if (memcmp(name, k->name, sizeof(k->name)) != 0)
            return 0;
    }
    if (!EVP_DecryptInit_ex2(cipher, t->ticket_cipher, k->cipher, iv, NULL) || !start_mac(mac, k))
        return -1;
    return good;
}

static int ticket_key(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int sealing)
{
    struct tls *t = tls_session_of(ssl)->t;

    return sealing ? seal(t, name, iv, cipher, mac) : unseal(t, name, iv, cipher, mac);
}

bool tls_tickets_setup(SSL_CTX *ctx)
{
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key) == 1;
}
