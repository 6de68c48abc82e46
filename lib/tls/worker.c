#include "tls_internal.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdlib.h>

static int64_t wall_now(void)
{
    return (int64_t)(clock_wall_ns() / NS_IN_S);
}

/* A library context of its own: two workers never meet on a lock of OpenSSL's. */
static bool open_library(struct tls *t)
{
    t->lib = OSSL_LIB_CTX_new();
    if (!t->lib)
        return false;
    t->provider = OSSL_PROVIDER_load(t->lib, "default");
    t->sha256 = EVP_MD_fetch(t->lib, "SHA256", NULL);
    t->ticket_cipher = EVP_CIPHER_fetch(t->lib, "AES-256-CBC", NULL);
    t->feeder = EVP_CIPHER_CTX_new();
    return t->provider && t->sha256 && t->ticket_cipher && t->feeder && tls_suites_open(t);
}

static bool open_caches(struct tls *t, const struct tls_limits *l)
{
    uint64_t secret[2];

    if (RAND_bytes_ex(t->lib, (unsigned char *)secret, sizeof(secret), 0) != 1)
        return false;
    t->leaves = lru_new(l->leaf_cache, secret, tls_leaf_drop);
    t->hosts = lru_new(TLS_HOSTS_MAX, secret, tls_host_drop);
    t->vendors = lru_new(TLS_VENDORS_MAX, secret, tls_vendor_side_drop);
    return t->leaves && t->hosts && t->vendors;
}

struct tls *tls_new(const struct tls_shared *s, const struct tls_limits *l)
{
    struct tls *t = aligned_alloc(_Alignof(struct tls), sizeof(*t));
    bool ok;

    if (!t)
        return NULL;
    memset(t, 0, sizeof(*t));
    t->shared = s;
    t->stages = &stages_off;
    t->wall = wall_now();
    t->mints_a_second = l->mints_a_second;
    t->tokens = t->tokens_max = (uint64_t)l->mints_a_second * US_IN_S;
    t->tickets.epoch = -1; /* no keys yet */
    ok = open_library(t) && open_caches(t, l) && tls_tickets_turn(t, t->wall) &&
         tls_mint_init(&t->mint, s, t->lib, t->sha256) && (t->server = tls_server_context(t)) &&
         (t->client = tls_client_context(t));
    ERR_clear_error();
    if (ok)
        return t;
    tls_delete(t);
    return NULL;
}

void tls_delete(struct tls *t)
{
    if (!t)
        return;
    lru_delete(t->leaves);
    lru_delete(t->hosts);
    lru_delete(t->vendors);
    SSL_CTX_free(t->server);
    SSL_CTX_free(t->client);
    tls_mint_free(&t->mint);
    EVP_MD_free(t->sha256);
    EVP_CIPHER_free(t->ticket_cipher);
    EVP_CIPHER_CTX_free(t->feeder);
    tls_suites_close(t);
    tls_blocks_free(t);
    if (t->provider)
        OSSL_PROVIDER_unload(t->provider);
    OSSL_LIB_CTX_free(t->lib);
    OPENSSL_cleanse(&t->tickets, sizeof(t->tickets));
    free(t);
}

void tls_measure(struct tls *t, struct stages *s)
{
    t->stages = s;
}

void tls_tick(struct tls *t, uint64_t now_us)
{
    t->wall = wall_now();
    tls_tickets_turn(t, t->wall); /* if it fails the keys in use serve on */
    tls_leaf_tick(t, now_us);
    ERR_clear_error();
}

const struct tls_counters *tls_counters(const struct tls *t)
{
    return &t->n;
}
