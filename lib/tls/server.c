#include "tls_internal.h"

/* ECDHE and AEAD only; AES-128-GCM first, which is cheapest with AES-NI. */
#define SUITES_12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS    "X25519:P-256:P-384"
#define SIGALGS                                                                                    \
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"                \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"                                 \
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                                    \
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512"
#define OPTIONS                                                                                    \
    (SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |           \
     SSL_OP_ENABLE_MIDDLEBOX_COMPAT)

bool tls_context_common(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx)); /* the machine's openssl.cnf has no say */
    SSL_CTX_set_options(ctx, OPTIONS);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    tls_handover_setup(ctx);
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_max_cert_list(ctx, 65536);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
           SSL_CTX_set_cipher_list(ctx, SUITES_12) && SSL_CTX_set_ciphersuites(ctx, SUITES_13) &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) && SSL_CTX_set1_sigalgs_list(ctx, SIGALGS);
}

/* ---- callbacks; each finds its session through the SSL */

/* Sessions are resumed for the name that they were made for (RFC 6066 3), so the name stands in the
 * session's context; and for a client that was asked for a certificate then as now. */
static bool bind_session(SSL *ssl, struct tls_session *s)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[TLS_NAME_MAX + 2];
    unsigned n = 0;

    memcpy(text, s->name, s->name_len);
    text[s->name_len] = s->asked ? '+' : '-';
    return EVP_Digest(text, s->name_len + 1, hash, &n, s->t->sha256, NULL) == 1 &&
           SSL_set_session_id_context(ssl, hash, n) == 1;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_session *s = tls_session_of(ssl);
    enum tls_error e = tls_hello_read(ssl, &s->hello, s->name, alert);

    (void)arg;
    s->name_len = strlen(s->name);
    if (e != TLS_ERR_NONE) {
        tls_blame(s, e, "%s",
                  e == TLS_ERR_NO_SNI ? "the ClientHello names no server (no server_name extension)"
                                      : "the ClientHello's server_name is not one DNS name");
        return SSL_CLIENT_HELLO_ERROR;
    }
    tls_peer_ask(s);
    if (bind_session(ssl, s))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Called for full handshakes only: a resumed session costs no leaf. */
static int on_certificate(SSL *ssl, void *arg)
{
    struct tls_session *s = tls_session_of(ssl);
    const struct tls_mint *m = &s->t->mint;
    bool ecdsa = SSL_version(ssl) >= TLS1_3_VERSION ? s->hello.ecdsa_tls13 : s->hello.ecdsa_tls12;
    enum tls_leaf_type type = ecdsa ? TLS_LEAF_ECDSA : TLS_LEAF_RSA;
    enum tls_error why = TLS_ERR_NONE;
    X509 *leaf = tls_leaf_for(s->t, type, tls_session_name(s), &why);

    (void)arg;
    if (!leaf) {
        tls_blame(s, why, "%s",
                  why == TLS_ERR_MINT_LIMIT ? "too many new leaf certificates at this time"
                                            : "no leaf certificate could be minted");
        return 0;
    }
    return SSL_use_cert_and_key(ssl, leaf, m->key[type], m->chain, 1);
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                   const unsigned char *in, unsigned inlen, void *arg)
{
    (void)arg;
    /* OpenSSL has checked that the list is well-formed; the bound here costs nothing. */
    for (unsigned i = 0; i < inlen; i += 1u + in[i]) {
        if (inlen - i >= sizeof(TLS_ALPN) - 1 &&
            memcmp(in + i, TLS_ALPN, sizeof(TLS_ALPN) - 1) == 0) {
            *out = in + i + 1;
            *outlen = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    tls_blame(tls_session_of(ssl), TLS_ERR_NO_ALPN, "the client does not offer http/1.1 in ALPN");
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL answers a renegotiation with a warning and goes on; this is how to know. */
static void on_info(const SSL *ssl, int where, int ret)
{
    if (where == SSL_CB_WRITE_ALERT && (ret & 0xff) == SSL_AD_NO_RENEGOTIATION)
        tls_session_of(ssl)->renegotiation = true;
}

/* The extension is known to us only by its number; registering it makes OpenSSL keep it. */
static int on_ech(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t n,
                  X509 *x, size_t chain, int *alert, void *arg)
{
    (void)ssl, (void)type, (void)context, (void)in, (void)n, (void)x, (void)chain, (void)alert;
    (void)arg;
    return 1;
}

SSL_CTX *tls_server_context(struct tls *t)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(t->lib, NULL, TLS_server_method());

    if (!ctx)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: no server state */
    SSL_CTX_set_timeout(ctx, TLS_TICKET_EPOCH_S);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_info_callback(ctx, on_info);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (tls_context_common(ctx) && SSL_CTX_set_num_tickets(ctx, 1) &&
        SSL_CTX_set_max_early_data(ctx, 0) && tls_tickets_setup(ctx) && tls_peer_setup(ctx) &&
        SSL_CTX_add_custom_ext(ctx, TLS_EXT_ECH, SSL_EXT_CLIENT_HELLO, NULL, NULL, NULL, on_ech,
                               NULL))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
