#include "tls_internal.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_session *tls_session_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* ---- failure */

__attribute__((format(printf, 3, 0))) static void note(struct tls_session *s, enum tls_error e,
                                                       const char *fmt, va_list ap)
{
    if (s->error != TLS_ERR_NONE)
        return;
    s->error = e;
    vsnprintf(s->text, sizeof(s->text), fmt, ap);
}

void tls_blame(struct tls_session *s, enum tls_error e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(s, e, fmt, ap);
    va_end(ap);
}

enum tls_result tls_fail(struct tls_session *s, enum tls_error e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(s, e, fmt, ap);
    va_end(ap);
    s->state = TLS_ST_FAILED;
    counter_inc(s->server ? &s->t->n.server_failed : &s->t->n.client_failed);
    counter_inc(&s->t->n.errors[s->error]);
    return TLS_FAILED;
}

/* An orderly result of OpenSSL's, or the reason why there is none. */
static enum tls_result settle(struct tls_session *s, int ret)
{
    int why = SSL_get_error(s->ssl, ret);

    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();
        return TLS_AGAIN;
    }
    if (why == SSL_ERROR_ZERO_RETURN && s->state == TLS_ST_OPEN) {
        ERR_clear_error();
        return TLS_CLOSED;
    }
    if (why == SSL_ERROR_ZERO_RETURN)
        tls_blame(s, TLS_ERR_PEER_ALERT, "the peer closed during the handshake");
    if (s->ended && !ERR_peek_error())
        tls_blame(s, TLS_ERR_TCP_ENDED, "the TCP connection ended (%s)",
                  tcp_end_name(tcp_end_cause(s->conn)));
    if (s->eof && !ERR_peek_error())
        tls_blame(s, TLS_ERR_TRUNCATED, "the TCP connection ended without close_notify");
    tls_blame_openssl(s);
    return tls_fail(s, TLS_ERR_INTERNAL, "TLS failed");
}

/* ---- life */

struct tls_session *tls_session_new(struct tls *t, struct tcp_conn *c)
{
    struct tls_session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->t = t;
    s->conn = c;
    return s;
}

SSL *tls_session_ssl(struct tls_session *s, SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    BIO *bio = BIO_new(s->t->shared->bio);

    if (ssl && bio && SSL_set_app_data(ssl, s)) {
        BIO_set_data(bio, s);
        SSL_set_bio(ssl, bio, bio);
        return ssl;
    }
    BIO_free(bio);
    SSL_free(ssl);
    return NULL;
}

struct tls_session *tls_server(struct tls *t, struct tcp_conn *c)
{
    struct tls_session *s = tls_session_new(t, c);

    if (s)
        s->server = true;
    return s;
}

void tls_free(struct tls_session *s)
{
    if (!s)
        return;
    STAGE_SCOPE(s->t->stages, STAGE_TLS);
    /* Without this OpenSSL takes a session that was not closed both ways for a broken one and would
     * not resume it. Failed ones stay marked (RFC 8446 6.2). */
    tls_data_close(s);
    if (s->ssl && s->state == TLS_ST_OPEN)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    tls_clean_queue();
    free(s->peer);
    free(s);
}

/* ---- handshake */

/* A look at the first bytes; what is not TLS gets no alert from us. */
static enum tls_result sniff(struct tls_session *s)
{
    size_t n = s->sniffed;

    n += tcp_peek(s->conn, s->head + n, sizeof(s->head) - n);
    switch (tls_sniff(s->head, n)) {
    case SNIFF_TLS:
        break;
    case SNIFF_HTTP:
        return tls_fail(s, TLS_ERR_PLAIN_HTTP, "the client speaks HTTP without TLS");
    case SNIFF_OTHER:
        return tls_fail(s, TLS_ERR_NOT_TLS, "the client's first bytes are not TLS");
    case SNIFF_MORE:
        /* Whatever it is, it is not TLS, which shows with the first byte. Taken, so that the end of
         * TCP behind it is seen. */
        s->sniffed += (uint8_t)tcp_read(s->conn, s->head + s->sniffed, n - s->sniffed);
        if (tcp_eof(s->conn))
            return tls_fail(s, TLS_ERR_TRUNCATED, "the client left before a ClientHello");
        if (tcp_end_cause(s->conn) != TCP_END_NONE)
            return tls_fail(s, TLS_ERR_TCP_ENDED, "the TCP connection ended (%s)",
                            tcp_end_name(tcp_end_cause(s->conn)));
        return TLS_AGAIN;
    }
    s->ssl = tls_session_ssl(s, s->t->server);
    if (!s->ssl) {
        tls_clean_queue();
        return tls_fail(s, TLS_ERR_INTERNAL, "out of memory");
    }
    SSL_set_accept_state(s->ssl);
    s->state = TLS_ST_HANDSHAKE;
    return TLS_OK;
}

static void count_handshake(const struct tls_session *s)
{
    struct tls_counters *n = &s->t->n;

    counter_inc(s->server ? &n->server_handshakes : &n->client_handshakes);
    if (s->asked)
        counter_inc(&n->certificates_asked);
    if (s->resumed)
        counter_inc(s->server ? &n->server_resumed : &n->client_resumed);
}

static enum tls_result handshake(struct tls_session *s)
{
    int ret;

    tls_clean_queue();
    ret = SSL_do_handshake(s->ssl);
    if (ret != 1)
        return settle(s, ret);
    tls_clean_queue();
    if (!s->server && !tls_client_settled(s))
        return TLS_FAILED;
    if (s->server && !tls_peer_capture(s))
        return tls_fail(s, TLS_ERR_INTERNAL, "out of memory");
    if (!tls_handover(s))
        return tls_fail(s, TLS_ERR_INTERNAL, "out of memory");
    s->state = TLS_ST_OPEN;
    s->buffers = true;
    count_handshake(s);
    return TLS_OK;
}

enum tls_result tls_handshake(struct tls_session *s)
{
    STAGE_SCOPE(s->t->stages, STAGE_TLS);
    enum tls_result r;

    switch (s->state) {
    case TLS_ST_SNIFF:
        r = sniff(s);
        return r == TLS_OK ? handshake(s) : r;
    case TLS_ST_HANDSHAKE:
        return handshake(s);
    case TLS_ST_OPEN:
        return TLS_OK;
    case TLS_ST_FAILED:
        break;
    }
    return TLS_FAILED;
}

/* ---- data */

static enum tls_result refused_renegotiation(struct tls_session *s)
{
    tls_clean_queue();
    return tls_fail(s, TLS_ERR_RENEGOTIATION, "the client asked to renegotiate");
}

/* Neither in OpenSSL nor in TCP is there anything to act on: worth asking first, as reading until
 * there is no more ends here each time. */
static bool nothing_to_read(const struct tls_session *s)
{
    return tcp_readable(s->conn) == 0 && !SSL_has_pending(s->ssl) && !SSL_want_write(s->ssl) &&
           !SSL_get_shutdown(s->ssl) && !tcp_eof(s->conn) && tcp_end_cause(s->conn) == TCP_END_NONE;
}

/* OpenSSL gives its buffers back after each record of data. But a ticket of TLS 1.3 makes it set
 * one up for an answer that it never writes, and that one it would keep. */
static void give_back_buffers(struct tls_session *s)
{
    if (s->buffers)
        SSL_free_buffers(s->ssl);
    s->buffers = false;
}

enum tls_result tls_read(struct tls_session *s, void *buf, size_t n, size_t *got)
{
    STAGE_SCOPE(s->t->stages, STAGE_TLS);
    bool fresh;
    int ret;

    *got = 0;
    if (s->state != TLS_ST_OPEN) {
        enum tls_result r = tls_handshake(s);
        if (r != TLS_OK)
            return r;
    }
    if (s->own)
        return tls_data_read(s, buf, n, got);
    tls_clean_queue();
    if (nothing_to_read(s)) {
        give_back_buffers(s);
        return TLS_AGAIN;
    }
    fresh = SSL_pending(s->ssl) == 0;
    ret = SSL_read_ex(s->ssl, buf, n, got);
    if (s->renegotiation) {
        *got = 0;
        return refused_renegotiation(s);
    }
    if (ret != 1) {
        s->buffers = true;
        return settle(s, ret);
    }
    if (fresh)
        counter_inc(&s->t->n.records_read);
    return TLS_OK;
}

/* OpenSSL wants at least as many bytes again as it was given before it had to wait. */
static size_t write_size(const struct tls_session *s, size_t n)
{
    if (s->retry)
        return s->retry;
    return n < TLS_RECORD_MAX ? n : TLS_RECORD_MAX;
}

enum tls_result tls_write(struct tls_session *s, const void *buf, size_t n, size_t *put)
{
    STAGE_SCOPE(s->t->stages, STAGE_TLS);
    size_t size = write_size(s, n);
    enum tls_result r;
    int ret;

    *put = 0;
    r = tls_handshake(s);
    if (r != TLS_OK)
        return r;
    if (n == 0)
        return TLS_OK;
    if (size > n)
        return tls_fail(s, TLS_ERR_INTERNAL, "a write was taken up again with fewer bytes");
    if (s->own)
        return tls_data_write(s, buf, n, put);
    tls_clean_queue();
    ret = SSL_write_ex(s->ssl, buf, size, put);
    if (ret == 1) {
        s->retry = 0;
        counter_inc(&s->t->n.records_written);
        return TLS_OK;
    }
    r = settle(s, ret);
    s->retry = r == TLS_AGAIN ? size : 0;
    return r;
}

void tls_shutdown(struct tls_session *s)
{
    if (s->state != TLS_ST_OPEN)
        return;
    if (s->own) {
        tls_data_shutdown(s);
        return;
    }
    STAGE_SCOPE(s->t->stages, STAGE_TLS);
    tls_clean_queue();
    SSL_shutdown(s->ssl);
    tls_clean_queue();
}

bool tls_pending(const struct tls_session *s)
{
    return s->own ? s->rest > 0 : s->ssl && SSL_pending(s->ssl) > 0;
}

/* ---- what there is to know */

enum tls_error tls_error(const struct tls_session *s)
{
    return s->state == TLS_ST_FAILED ? s->error : TLS_ERR_NONE;
}

const char *tls_error_text(const struct tls_session *s)
{
    return s->state == TLS_ST_FAILED ? s->text : "";
}

struct span tls_sni(const struct tls_session *s)
{
    return tls_session_name(s);
}

bool tls_ech_offered(const struct tls_session *s)
{
    return s->hello.ech;
}

const char *tls_version(const struct tls_session *s)
{
    return s->version ? s->version : s->ssl ? SSL_get_version(s->ssl) : "";
}

const char *tls_cipher(const struct tls_session *s)
{
    const char *name = s->cipher ? s->cipher : s->ssl ? SSL_get_cipher_name(s->ssl) : NULL;

    return name ? name : "";
}

bool tls_resumed(const struct tls_session *s)
{
    return s->resumed && s->state == TLS_ST_OPEN;
}
