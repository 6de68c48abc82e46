/* The BIO between OpenSSL and a TCP connection: bytes go from received mbufs into OpenSSL's record
 * buffer and from there into send mbufs, nothing between. One BIO serves both directions. */
#include "tls_internal.h"

#include <openssl/bio.h>

/* Empty records, warnings and fragments cost a stranger little and are no handshake. */
static bool too_much(struct tls_session *s, size_t got)
{
    if (!s->server || s->state != TLS_ST_HANDSHAKE)
        return false;
    s->taken += (uint32_t)got;
    if (s->taken <= TLS_HANDSHAKE_MAX)
        return false;
    tls_blame(s, TLS_ERR_HANDSHAKE_TOO_LARGE, "the client's handshake is over %u KiB",
              TLS_HANDSHAKE_MAX >> 10);
    return true;
}

/* Once it has handed over, OpenSSL sees what it is fed and nothing of the connection. */
static int feed_read(BIO *b, struct tls_session *s, char *buf, size_t n, size_t *got)
{
    *got = n < s->feed.n ? n : s->feed.n;
    if (*got == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(buf, s->feed.p, *got);
    s->feed = span_from(s->feed, *got);
    return 1;
}

static int bio_read(BIO *b, char *buf, size_t n, size_t *got)
{
    struct tls_session *s = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (s->own)
        return feed_read(b, s, buf, n, got);
    *got = tcp_read(s->conn, buf, n);
    if (*got && !too_much(s, *got))
        return 1;
    if (*got) {
        *got = 0;
        return 0;
    }
    if (tcp_eof(s->conn))
        s->eof = true;
    else if (tcp_end_cause(s->conn) != TCP_END_NONE)
        s->ended = true;
    else
        BIO_set_retry_read(b);
    return 0;
}

static int bio_write(BIO *b, const char *buf, size_t n, size_t *put)
{
    struct tls_session *s = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (s->own) { /* an alert about what it was fed: ours goes out, not its */
        *put = n;
        return 1;
    }
    if (tcp_end_cause(s->conn) != TCP_END_NONE) {
        s->ended = true;
        *put = 0;
        return 0;
    }
    *put = tcp_write(s->conn, buf, n);
    if (*put)
        return 1;
    BIO_set_retry_write(b);
    return 0;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    const struct tls_session *s = BIO_get_data(b);

    (void)num, (void)ptr;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_EOF:
        return s->eof;
    case BIO_CTRL_PENDING:
        return (long)tcp_readable(s->conn);
    default:
        return 0;
    }
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

BIO_METHOD *tls_bio_method(void)
{
    int index = BIO_get_new_index();
    BIO_METHOD *m = BIO_meth_new((index == -1 ? 0 : index) | BIO_TYPE_SOURCE_SINK, "tcp_conn");

    if (m && BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}
