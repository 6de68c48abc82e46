/* Certificates that callers show. TLS only proves that a caller holds the key of one; whether any
 * CA vouches for it is asked where callers are named, at each call and under the rules of that
 * moment: so a bad certificate is answered inside TLS, and a session that lives long, or is
 * resumed, has no more rights than a new one.
 *
 * OpenSSL seals the client's own certificate into a ticket but not those above it; they travel as
 * the ticket's application data. */
#include "tls_internal.h"

#include <stdlib.h>

/* Chain and dates are judged above. */
static int accept_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)ctx, (void)arg;
    return 1;
}

void tls_ask_certificates(struct tls *t, tls_ask_fn *ask, void *arg)
{
    t->ask = ask;
    t->ask_arg = arg;
}

void tls_peer_ask(struct tls_session *s)
{
    struct tls *t = s->t;

    s->asked = t->ask && t->ask(t->ask_arg, tls_session_name(s));
    SSL_set_verify(s->ssl, s->asked ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
}

struct span tls_peer_certificates(const struct tls_session *s)
{
    return span_of(s->peer, s->peer_len);
}

/* ---- taking down */

static size_t chain_size(STACK_OF(X509) * chain)
{
    size_t n = 0;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        int one = i2d_X509(sk_X509_value(chain, i), NULL);
        n += one > 0 ? (size_t)one : 0;
    }
    return n;
}

/* The certificates above the client's own: as sent now, or as they were when the session that is
 * resumed was made. */
struct above {
    STACK_OF(X509) * chain;
    void *kept;
    size_t n;
};

static struct above above_of(SSL *ssl)
{
    struct above a = {0};

    if (SSL_session_reused(ssl)) {
        if (!SSL_SESSION_get0_ticket_appdata(SSL_get0_session(ssl), &a.kept, &a.n))
            a.n = 0;
        return a;
    }
    a.chain = SSL_get_peer_cert_chain(ssl);
    a.n = a.chain ? chain_size(a.chain) : 0;
    return a;
}

bool tls_peer_capture(struct tls_session *s)
{
    X509 *leaf = SSL_get0_peer_certificate(s->ssl);
    int own = leaf ? i2d_X509(leaf, NULL) : 0;
    struct above a;
    unsigned char *p;

    if (!s->asked || s->peer || own <= 0)
        return true;
    a = above_of(s->ssl);
    s->peer = p = malloc((size_t)own + a.n);
    if (!p)
        return false;
    s->peer_len = (size_t)own + a.n;
    i2d_X509(leaf, &p);
    for (int i = 0; a.chain && i < sk_X509_num(a.chain); i++)
        i2d_X509(sk_X509_value(a.chain, i), &p);
    if (a.kept && a.n)
        memcpy(p, a.kept, a.n);
    counter_inc(&s->t->n.certificates_shown);
    return true;
}

/* ---- tickets */

static int on_seal(SSL *ssl, void *arg)
{
    struct tls_session *s = tls_session_of(ssl);
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    int own = leaf ? i2d_X509(leaf, NULL) : 0;

    (void)arg;
    if (!s->asked || own <= 0)
        return 1;
    if (!tls_peer_capture(s))
        return 0;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), s->peer + own,
                                           s->peer_len - (size_t)own);
}

static SSL_TICKET_RETURN on_unseal(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t n, SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl, (void)session, (void)name, (void)n, (void)arg;
    switch (status) {
    case SSL_TICKET_SUCCESS:
        return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE_RENEW;
    default:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

bool tls_peer_setup(SSL_CTX *ctx)
{
    SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
    SSL_CTX_set_max_cert_list(ctx, TLS_PEER_MAX);
    return SSL_CTX_set_session_ticket_cb(ctx, on_seal, on_unseal, NULL) == 1;
}
