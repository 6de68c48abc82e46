#include "tls_internal.h"

#include <openssl/x509v3.h>

#define CHAIN_DEPTH 10

/* Called when a session may be resumed later: at the end of a TLS 1.2 handshake, at each ticket of
 * TLS 1.3. Returning 1 keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = tls_session_of(ssl);
    struct tls_host_key key;

    if (SSL_get_verify_result(ssl) != X509_V_OK || !SSL_SESSION_is_resumable(session))
        return 0;
    s->buffers = true;
    tls_host_keep(s->t, tls_host_key(s, &key), session);
    return 1;
}

SSL_CTX *tls_client_context(struct tls *t)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(t->lib, NULL, TLS_client_method());

    if (!ctx)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_verify_callback);
    SSL_CTX_set_cert_verify_callback(ctx, tls_verify_vendor, NULL);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH);
    if (tls_context_common(ctx) &&
        tls_trust_add(t, t->shared->trust, SSL_CTX_get_cert_store(ctx)) &&
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)TLS_ALPN, sizeof(TLS_ALPN) - 1) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* The vendor's own CAs, and the certificate that it will see if it asks for one. */
static bool dress(struct tls_session *s)
{
    const struct tls_vendor_side *x;

    if (!s->vendor)
        return true;
    x = tls_vendor_side_of(s->t, s->vendor);
    return x && (!x->store || SSL_set1_verify_cert_store(s->ssl, x->store) == 1) &&
           (!x->leaf || SSL_use_cert_and_key(s->ssl, x->leaf, x->key, x->chain, 1) == 1);
}

/* RFC 9525: the certificate's dNSName alone says whose it is, wildcards as a whole label only. */
static bool prepare(struct tls_session *s)
{
    struct tls_host_key key;
    SSL_SESSION *session;

    SSL_set_hostflags(s->ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (!SSL_set1_host(s->ssl, s->name) || !SSL_set_tlsext_host_name(s->ssl, s->name) || !dress(s))
        return false;
    SSL_set_connect_state(s->ssl);
    session = tls_host_take(s->t, tls_host_key(s, &key));
    if (session) {
        SSL_set_session(s->ssl, session); /* if it cannot, the handshake is a full one */
        SSL_SESSION_free(session);
    }
    return true;
}

struct tls_session *tls_client(struct tls *t, struct tcp_conn *c, struct span host,
                               const struct tls_vendor *v)
{
    STAGE_SCOPE(t->stages, STAGE_TLS);
    struct tls_session *s = tls_session_new(t, c);
    bool ready;

    if (!s)
        return NULL;
    if (!tls_name_read(host, s->name)) {
        tls_fail(s, TLS_ERR_INTERNAL, "the vendor's host is not a DNS name");
        return s;
    }
    s->name_len = host.n;
    s->vendor = v;
    memcpy(s->vendor_id, tls_vendor_id(v), sizeof(s->vendor_id));
    s->state = TLS_ST_HANDSHAKE;
    s->ssl = tls_session_ssl(s, t->client);
    ready = s->ssl && prepare(s);
    tls_clean_queue();
    if (ready)
        return s;
    tls_free(s);
    return NULL;
}

bool tls_client_settled(struct tls_session *s)
{
    const unsigned char *alpn = NULL;
    unsigned n = 0;

    s->vendor = NULL;
    /* OpenSSL has refused already whatever did not verify. A resumed session carries the result of
     * the handshake that made it. */
    if (SSL_get_verify_result(s->ssl) != X509_V_OK || !SSL_get0_peer_certificate(s->ssl)) {
        tls_fail(s, TLS_ERR_VERIFY_OTHER, "the vendor has not been verified");
        return false;
    }
    /* Not every release of OpenSSL 3.0 checks that the choice was among the offers. */
    SSL_get0_alpn_selected(s->ssl, &alpn, &n);
    if (n && (n != sizeof(TLS_ALPN) - 2 || memcmp(alpn, &TLS_ALPN[1], n) != 0)) {
        tls_fail(s, TLS_ERR_NO_ALPN, "the vendor chose a protocol that was not offered");
        return false;
    }
    return true;
}
