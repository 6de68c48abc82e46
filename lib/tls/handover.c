/* Where OpenSSL hands a connection over. The handshake is OpenSSL's; once it is complete, what
 * passes on a TLS 1.3 connection are records under two keys, and those are made and read here
 * (data.c), with OpenSSL's ciphers but without the layers that a record goes through in libssl and
 * without the state that each of those touches. A server's SSL is not needed any more and is freed:
 * most of what an idle caller costs. A client's stays for tickets, which OpenSSL makes sessions of.
 *
 * The secrets come by the key log callback, which OpenSSL calls as it installs a key; how many
 * records it has sent or read under that key, by the message callback. What is not TLS 1.3, or
 * still has something in OpenSSL's buffers, stays with OpenSSL. */
#include "tls_internal.h"

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "LABEL CLIENT_RANDOM SECRET": the secret into `w`; false if it is none. */
static bool take_secret(struct span line, struct tls_way *w)
{
    struct span hex = {NULL, 0};

    while (line.p)
        hex = span_cut(&line, ' ');
    if (hex.n == 0 || hex.n % 2 || hex.n / 2 > sizeof(w->secret))
        return false;
    for (size_t i = 0; i < hex.n / 2; i++) {
        int hi = hex_value(hex.p[2 * i]), lo = hex_value(hex.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        w->secret[i] = (uint8_t)(hi << 4 | lo);
    }
    w->seq = 0;
    return true;
}

static void on_key(const SSL *ssl, const char *line)
{
    static const struct span client = {"CLIENT_TRAFFIC_SECRET_0 ", 24},
                             server = {"SERVER_TRAFFIC_SECRET_0 ", 24};
    struct tls_session *s = tls_session_of(ssl);
    struct span l = span_cstr(line);

    if (span_starts(l, s->server ? client : server))
        s->in.known = take_secret(l, &s->in);
    else if (span_starts(l, s->server ? server : client))
        s->out.known = take_secret(l, &s->out);
}

static void on_record(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
    struct tls_session *s = tls_session_of(ssl);

    (void)version, (void)p, (void)n, (void)arg;
    if (type == SSL3_RT_HEADER && s)
        *(sent ? &s->out.seq : &s->in.seq) += 1;
}

void tls_handover_setup(SSL_CTX *ctx)
{
    SSL_CTX_set_keylog_callback(ctx, on_key);
    SSL_CTX_set_msg_callback(ctx, on_record);
}

/* Everything that is asked of a session later and that only OpenSSL knows. */
static void remember(struct tls_session *s)
{
    s->version = SSL_get_version(s->ssl);
    s->cipher = SSL_get_cipher_name(s->ssl);
    s->resumed = SSL_session_reused(s->ssl);
}

static const struct tls_suite *suite_of(const struct tls_session *s)
{
    const SSL_CIPHER *c = SSL_get_current_cipher(s->ssl);

    return c ? tls_suite(s->t, SSL_CIPHER_get_protocol_id(c)) : NULL;
}

static bool may_hand_over(const struct tls_session *s)
{
    return SSL_version(s->ssl) == TLS1_3_VERSION && s->in.known && s->out.known && s->suite &&
           !SSL_has_pending(s->ssl);
}

bool tls_handover(struct tls_session *s)
{
    remember(s);
    s->suite = suite_of(s);
    if (!may_hand_over(s)) {
        OPENSSL_cleanse(&s->in, sizeof(s->in));
        OPENSSL_cleanse(&s->out, sizeof(s->out));
        return true;
    }
    s->fed = s->in.seq;
    if (!tls_way_open(s->t, s->suite, &s->in, false) ||
        !tls_way_open(s->t, s->suite, &s->out, true))
        return false;
    s->own = true;
    if (s->server) {
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(s->ssl);
        s->ssl = NULL;
    } else {
        SSL_set_msg_callback(s->ssl, NULL);
        SSL_free_buffers(s->ssl);
    }
    return true;
}

/* ---- tickets */

/* As OpenSSL has read nothing since, it waits for record `fed` under the first key: the message is
 * sealed so once more, for its eyes only. After the vendor has changed its key tickets are left
 * alone. */
bool tls_feed_openssl(struct tls_session *s, const uint8_t *p, size_t n)
{
    struct tls *t = s->t;
    struct tls_way w = {.ctx = t->feeder, .seq = s->fed};
    unsigned char none[1];
    size_t got;
    int why;

    if (s->in_updated)
        return true;
    memcpy(w.secret, s->in.secret, sizeof(w.secret));
    if (tls_way_key(t, s->suite, &w, true))
        s->feed = span_of((char *)t->write, tls_way_seal(&w, TLS_TYPE_HANDSHAKE, p, n, t->write));
    OPENSSL_cleanse(&w, sizeof(w));
    s->fed++;
    why = SSL_get_error(s->ssl, SSL_read_ex(s->ssl, none, sizeof(none), &got));
    SSL_free_buffers(s->ssl);
    ERR_clear_error();
    s->feed = SPAN_NONE;
    return why == SSL_ERROR_WANT_READ;
}
