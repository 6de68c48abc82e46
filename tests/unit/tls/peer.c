#include "peer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

SSL_CTX *peer_client_ctx(const struct pki *ca)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (ca)
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->x);
    return ctx;
}

SSL_CTX *peer_server_ctx(const struct pki *cert, const struct pki *const *chain)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert->x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
    for (; chain && *chain; chain++)
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, (*chain)->x), 1);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"peer", 4);
    return ctx;
}

static void open_peer(struct link *l, SSL_CTX *ctx)
{
    fake_open(&l->tcp);
    l->peer.ssl = SSL_new(ctx);
    l->peer.in = BIO_new(BIO_s_mem());
    l->peer.out = BIO_new(BIO_s_mem());
    assert_non_null(l->peer.ssl);
    SSL_set_bio(l->peer.ssl, l->peer.in, l->peer.out);
    l->peer_done = false;
    l->peer_reason = 0;
}

void link_server(struct link *l, struct tls *t, SSL_CTX *client, const char *sni)
{
    open_peer(l, client);
    SSL_set_connect_state(l->peer.ssl);
    if (sni) {
        SSL_set_tlsext_host_name(l->peer.ssl, sni);
        SSL_set_hostflags(l->peer.ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        SSL_set1_host(l->peer.ssl, sni);
    }
    l->s = tls_server(t, &l->tcp);
    assert_non_null(l->s);
}

void link_client(struct link *l, struct tls *t, SSL_CTX *server, const char *host)
{
    link_vendor(l, t, server, host, NULL);
}

void link_vendor(struct link *l, struct tls *t, SSL_CTX *server, const char *host,
                 const struct tls_vendor *v)
{
    open_peer(l, server);
    SSL_set_accept_state(l->peer.ssl);
    l->s = tls_client(t, &l->tcp, span_cstr(host), v);
    assert_non_null(l->s);
}

void link_free(struct link *l)
{
    tls_free(l->s);
    /* So that the peer's session stays good for resumption. */
    SSL_set_shutdown(l->peer.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(l->peer.ssl);
    fake_close(&l->tcp);
    ERR_clear_error();
}

bool link_carry(struct link *l)
{
    unsigned char buf[4096];
    bool moved = false;
    size_t n;
    int got;

    while ((n = bytes_take(&l->tcp.out, buf, sizeof(buf)))) {
        assert_int_equal(BIO_write(l->peer.in, buf, (int)n), (int)n);
        moved = true;
    }
    while ((got = BIO_read(l->peer.out, buf, sizeof(buf))) > 0) {
        bytes_put(&l->tcp.in, buf, (size_t)got);
        moved = true;
    }
    return moved;
}

void must_queue_empty(void)
{
    unsigned long e = ERR_peek_error();

    if (e)
        fail_msg("OpenSSL's error queue holds \"%s\"", ERR_error_string(e, NULL));
}

static void peer_failed(struct link *l, int ret)
{
    if (SSL_get_error(l->peer.ssl, ret) == SSL_ERROR_SSL && !l->peer_reason)
        l->peer_reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
}

static void peer_handshake(struct link *l)
{
    int ret;

    ERR_clear_error();
    ret = SSL_do_handshake(l->peer.ssl);
    l->peer_done = ret == 1;
    if (ret != 1)
        peer_failed(l, ret);
}

enum tls_result link_handshake(struct link *l)
{
    enum tls_result r;
    bool moved;

    do {
        peer_handshake(l);
        moved = link_carry(l);
        r = tls_handshake(l->s);
        must_queue_empty();
        moved = link_carry(l) || moved;
    } while (moved);
    return r;
}

void link_must_handshake(struct link *l)
{
    enum tls_result r = link_handshake(l);

    if (r != TLS_OK)
        fail_msg("handshake: result %d, %s: %s; peer: %s", r, tls_error_name(tls_error(l->s)),
                 tls_error_text(l->s),
                 ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, l->peer_reason)));
    if (!l->peer_done)
        fail_msg("handshake: the peer has not completed it (reason %d)", l->peer_reason);
}

void must_error(const struct tls_session *s, enum tls_error e)
{
    if (tls_error(s) != e)
        fail_msg("expected the cause %s, got %s: %s", tls_error_name(e),
                 tls_error_name(tls_error(s)), tls_error_text(s));
    if (!tls_error_text(s)[0])
        fail_msg("%s has no text", tls_error_name(e));
}

void link_must_fail(struct link *l, enum tls_error e)
{
    enum tls_result r = link_handshake(l);

    if (r != TLS_FAILED)
        fail_msg("expected a failure (%s), got result %d", tls_error_name(e), r);
    must_error(l->s, e);
    assert_int_equal(tls_handshake(l->s), TLS_FAILED);
}

int link_alert(struct link *l)
{
    char c;

    link_carry(l);
    ERR_clear_error();
    if (!l->peer_reason) {
        int ret = SSL_read(l->peer.ssl, &c, 1);
        if (ret <= 0)
            peer_failed(l, ret);
    }
    return l->peer_reason > SSL_AD_REASON_OFFSET ? l->peer_reason - SSL_AD_REASON_OFFSET : 0;
}

void link_must_say(struct link *l, const char *from_peer, const char *from_us)
{
    char buf[256];
    size_t n = 0;
    int got;

    assert_int_equal(SSL_write(l->peer.ssl, from_peer, (int)strlen(from_peer)),
                     (int)strlen(from_peer));
    link_carry(l);
    assert_int_equal(tls_read(l->s, buf, sizeof(buf), &n), TLS_OK);
    assert_int_equal(n, strlen(from_peer));
    assert_memory_equal(buf, from_peer, n);
    assert_int_equal(tls_write(l->s, from_us, strlen(from_us), &n), TLS_OK);
    assert_int_equal(n, strlen(from_us));
    link_carry(l);
    got = SSL_read(l->peer.ssl, buf, sizeof(buf));
    assert_int_equal(got, (int)strlen(from_us));
    assert_memory_equal(buf, from_us, (size_t)got);
    must_queue_empty();
}

struct tls_shared *must_load(const struct tls_shared_config *c)
{
    struct diags d;
    struct tls_shared *s;

    diags_init(&d);
    s = tls_shared_load(c, &d);
    if (!s)
        diags_print(&d, stderr, false);
    assert_non_null(s);
    assert_int_equal(d.errors, 0);
    diags_free(&d);
    return s;
}
