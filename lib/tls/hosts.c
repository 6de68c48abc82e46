/* Sessions that vendors let us resume, by name. A session is here only if its handshake verified
 * the vendor, and only for that name. TLS 1.3 tickets are used once (RFC 8446 C.4); a TLS 1.2
 * session is used again until it is replaced. */
#include "tls_internal.h"

#include <stdlib.h>

#define SESSIONS_A_HOST 4
/* However long the vendor allows: chains are verified afresh at least this often. */
#define SESSION_LIFE_S 3600

struct host {
    unsigned n;
    SSL_SESSION *session[SESSIONS_A_HOST]; /* [0..n), newest last */
};

void tls_host_drop(void *value)
{
    struct host *h = value;

    for (unsigned i = 0; i < h->n; i++)
        SSL_SESSION_free(h->session[i]);
    free(h);
}

static void forget(struct host *h, unsigned i)
{
    SSL_SESSION_free(h->session[i]);
    h->n--;
    memmove(&h->session[i], &h->session[i + 1], (h->n - i) * sizeof(h->session[0]));
}

static bool used_once(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

static bool usable(const struct tls *t, const SSL_SESSION *session)
{
    int64_t age = t->wall - (int64_t)SSL_SESSION_get_time(session);
    int64_t life = (int64_t)SSL_SESSION_get_timeout(session);

    if (life > SESSION_LIFE_S)
        life = SESSION_LIFE_S;
    /* The session's time is the clock's, ours that of the last tick: it may be a little ahead. */
    return SSL_SESSION_is_resumable(session) && age > -60 && age < life;
}

struct span tls_host_key(const struct tls_session *s, struct tls_host_key *room)
{
    memcpy(room->p, s->name, s->name_len);
    room->p[s->name_len] = '\0';
    memcpy(room->p + s->name_len + 1, s->vendor_id, sizeof(s->vendor_id));
    return span_of(room->p, s->name_len + 1 + sizeof(s->vendor_id));
}

static struct host *host_of(struct tls *t, struct span name)
{
    struct host *h = lru_get(t->hosts, name);

    if (h)
        return h;
    h = calloc(1, sizeof(*h));
    if (h)
        lru_put(t->hosts, name, h);
    return h;
}

void tls_host_keep(struct tls *t, struct span name, SSL_SESSION *session)
{
    struct host *h = host_of(t, name);

    if (!h) {
        SSL_SESSION_free(session);
        return;
    }
    while (h->n && (h->n == SESSIONS_A_HOST || !used_once(session) || !used_once(h->session[0])))
        forget(h, 0);
    h->session[h->n++] = session;
}

SSL_SESSION *tls_host_take(struct tls *t, struct span name)
{
    struct host *h = lru_get(t->hosts, name);

    while (h && h->n) {
        SSL_SESSION *session = h->session[h->n - 1];

        if (!usable(t, session)) {
            forget(h, h->n - 1);
            continue;
        }
        if (used_once(session))
            h->n--;
        else
            SSL_SESSION_up_ref(session);
        return session;
    }
    return NULL;
}
