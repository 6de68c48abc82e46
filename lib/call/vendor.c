#include <openssl/crypto.h>
#include <stdio.h>

#include "call/call_internal.h"

/* ------------------------------------------------------------------- the pool */

static uint64_t host_hash(struct span name, uint16_t port)
{
    uint64_t h = span_hash(name) ^ ((uint64_t)port * 0x9e3779b97f4a7c15u);

    return h ? h : 1;
}

/* The slot of a host, made if there is none. NULL: too many hosts, this one is not pooled. */
static struct pool_host *pool_host(struct call_worker *w, struct span name, uint16_t port)
{
    uint64_t hash = host_hash(name, port);

    for (uint64_t i = hash;; i++) {
        struct pool_host *h = &w->hosts[i & (POOL_HOSTS - 1)];

        if (h->hash == hash && h->port == port && span_eq(span_cstr(h->name), name))
            return h;
        if (h->hash)
            continue;
        if (w->nhosts >= POOL_HOSTS / 4 * 3 || name.n >= sizeof(h->name))
            return NULL;
        w->nhosts++;
        h->hash = hash;
        h->port = port;
        memcpy(h->name, name.p, name.n);
        h->name[name.n] = 0;
        TAILQ_INIT(&h->idle);
        return h;
    }
}

static void pool_remove(struct vendor *v)
{
    TAILQ_REMOVE(&v->host->idle, v, idle);
    v->host->nidle--;
}

/* Nothing waits to be read: bytes that came before the request would be taken for its answer. */
static bool silent(struct vendor *v)
{
    char waste[256];
    size_t got;

    return tls_read(v->leg.tls, waste, sizeof(waste), &got) == TLS_AGAIN;
}

/* The newest idle connection: it is the likeliest to be still alive. */
static struct vendor *pool_take(struct pool_host *h)
{
    struct vendor *v;

    while (h && (v = TAILQ_FIRST(&h->idle))) {
        if (silent(v)) {
            pool_remove(v);
            wheel_stop(v->w->wheel, &v->timer);
            return v;
        }
        counter_inc(&v->w->counters.vendor_idle_closed);
        vendor_close(v);
    }
    return NULL;
}

/* ------------------------------------------------------------------- life cycle */

static void on_timer(struct wheel_timer *t, uint64_t now_us);

static struct vendor *vendor_new(struct call_worker *w)
{
    struct vendor *v = LIST_FIRST(&w->free_vendors);

    if (!v)
        return NULL;
    LIST_REMOVE(v, link);
    memset(v, 0, sizeof(*v));
    v->leg.kind = LEG_VENDOR;
    v->w = w;
    v->keep = true;
    wheel_timer_init(&v->timer, on_timer);
    LIST_INSERT_HEAD(&w->live_vendors, v, link);
    atomic_fetch_add_explicit(&w->nvendors, 1, memory_order_relaxed);
    return v;
}

void vendor_wipe(struct vendor *v)
{
    if (v->out.p)
        OPENSSL_cleanse(v->out.p, v->head_len);
    v->head_len = 0;
}

static void drop_buffers(struct vendor *v)
{
    if (v->in)
        buddy_free(v->w->memory, v->in);
    v->in = NULL;
    v->in_len = v->in_cap = v->in_pos = v->scanned = 0;
    vendor_wipe(v);
    outq_close(&v->out, v->w->memory);
}

void vendor_close(struct vendor *v)
{
    struct call_worker *w = v->w;

    if (v->state == VENDOR_IDLE)
        pool_remove(v);
    wheel_stop(w->wheel, &v->timer);
    drop_buffers(v);
    if (v->leg.tls) {
        if (!v->over && v->state >= VENDOR_BUSY)
            tls_shutdown(v->leg.tls);
        tls_free(v->leg.tls);
    }
    if (v->leg.tcp && !v->over)
        tcp_close(v->leg.tcp);
    LIST_REMOVE(v, link);
    atomic_fetch_sub_explicit(&w->nvendors, 1, memory_order_relaxed);
    memset(v, 0, sizeof(*v));
    LIST_INSERT_HEAD(&w->free_vendors, v, link);
}

void vendor_release(struct vendor *v)
{
    struct call_worker *w = v->w;
    bool clean = v->state == VENDOR_BUSY && v->keep && !v->over && v->in_pos == v->in_len &&
                 !outq_pending(&v->out) && !tls_pending(v->leg.tls);

    if (!clean || w->draining || !v->host || v->host->nidle >= w->c.limits.max_idle_a_host) {
        vendor_close(v);
        return;
    }
    drop_buffers(v);
    v->state = VENDOR_IDLE;
    v->reused = true;
    TAILQ_INSERT_HEAD(&v->host->idle, v, idle);
    v->host->nidle++;
    wheel_start(w->wheel, &v->timer, w->now_us + w->c.limits.pool_idle_us);
}

void vendor_drain_pool(struct call_worker *w)
{
    struct vendor *v, *next;

    for (v = LIST_FIRST(&w->live_vendors); v; v = next) {
        next = LIST_NEXT(v, link);
        if (v->state == VENDOR_IDLE)
            vendor_close(v);
    }
}

/* --------------------------------------------------------------------- getting */

static bool vendor_connect(struct exchange *x, struct span name, struct pool_host *h)
{
    struct call_worker *w = x->w;
    const struct tcp_conn *caller = x->caller->leg.tcp;
    const struct net_addr *dst = tcp_local_addr(caller);
    struct net_addr srcs[NET_ADDRS_MAX];
    unsigned n = net_sources_for(w->net, NET_OUTSIDE, dst, srcs);
    struct vendor *v;

    if (!n || !(v = vendor_new(w)))
        return false;
    v->leg.tcp = tcp_connect_from(w->tcp, NET_OUTSIDE, srcs, n, dst, tcp_local_port(caller),
                                  &v->leg, w->now_us);
    if (!v->leg.tcp) {
        vendor_close(v);
        return false;
    }
    memcpy(v->name, name.p, name.n);
    v->name[name.n] = 0;
    v->host = h;
    v->x = x;
    x->vendor = v;
    counter_inc(&w->counters.vendor_connects);
    wheel_start(w->wheel, &v->timer, w->now_us + w->c.limits.connect_us);
    return true;
}

void vendor_acquire(struct exchange *x, bool fresh)
{
    struct call_worker *w = x->w;
    struct span name = tls_sni(x->caller->leg.tls);
    struct pool_host *h;
    struct vendor *v;

    x->state = X_VENDOR;
    if (name.n >= sizeof(v->name)) {
        exchange_refuse(x, CALL_vendor_unreachable, NULL, SPAN_NONE);
        return;
    }
    h = pool_host(w, name, tcp_local_port(x->caller->leg.tcp));
    v = fresh ? NULL : pool_take(h);
    if (v) {
        counter_inc(&w->counters.vendor_reused);
        v->state = VENDOR_BUSY;
        v->x = x;
        x->vendor = v;
        forward_start(x);
    } else if (!vendor_connect(x, name, h)) {
        exchange_refuse(x, CALL_vendor_unreachable, NULL, SPAN_NONE);
    }
}

/* --------------------------------------------------------------------- failing */

static void setup_failed(struct vendor *v, enum call_cause cause, const char *name,
                         const char *detail)
{
    struct exchange *x = v->x;
    struct caller *c = x->caller;
    char text[512];
    int n = snprintf(text, sizeof(text), "%s: %s", v->name, detail);

    counter_inc(&v->w->counters.vendor_failed);
    v->x = NULL;
    x->vendor = NULL;
    vendor_close(v);
    exchange_refuse(x, cause, name,
                    span_of(text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1));
    caller_run(c);
}

static void handshake_failed(struct vendor *v)
{
    enum tls_error e = tls_error(v->leg.tls);
    bool verify = e == TLS_ERR_VERIFY_CHAIN || e == TLS_ERR_VERIFY_EXPIRED ||
                  e == TLS_ERR_VERIFY_NAME || e == TLS_ERR_VERIFY_OTHER;
    char text[300];

    snprintf(text, sizeof(text),
             verify
                 ? "the vendor's certificate could not be verified, so no credential was sent: %s"
                 : "the TLS handshake with the vendor failed: %s",
             tls_error_text(v->leg.tls));
    setup_failed(v, verify ? CALL_vendor_not_verified : CALL_vendor_tls,
                 verify ? "vendor_not_verified" : NULL, text);
}

static const char *connect_error(const struct vendor *v)
{
    switch (tcp_end_cause(v->leg.tcp)) {
    case TCP_END_REFUSED:
        return "the vendor refused the connection";
    case TCP_END_UNREACHABLE:
        return "no route to the vendor";
    case TCP_END_NO_MEMORY:
        return "this worker ran short of packet memory";
    case TCP_END_RESET:
        return "the vendor reset the connection";
    default:
        return "the vendor does not answer";
    }
}

static void on_timer(struct wheel_timer *t, uint64_t now_us)
{
    struct vendor *v = (struct vendor *)((char *)t - offsetof(struct vendor, timer));

    (void)now_us;
    if (v->state == VENDOR_IDLE) {
        counter_inc(&v->w->counters.vendor_idle_closed);
        vendor_close(v);
    } else {
        counter_inc(&v->w->counters.timeouts);
        setup_failed(v, CALL_vendor_unreachable, NULL, "the vendor does not answer");
    }
}

/* ---------------------------------------------------------------------- events */

static void handshake(struct vendor *v)
{
    struct exchange *x = v->x;

    switch (tls_handshake(v->leg.tls)) {
    case TLS_OK:
        wheel_stop(v->w->wheel, &v->timer);
        v->state = VENDOR_BUSY;
        forward_start(x);
        caller_run(x->caller);
        break;
    case TLS_AGAIN:
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        handshake_failed(v);
        break;
    }
}

static void connected(struct vendor *v)
{
    v->leg.tls = tls_client(v->w->tls, v->leg.tcp, span_cstr(v->name));
    if (!v->leg.tls) {
        setup_failed(v, CALL_busy, NULL, "there is no memory for a TLS session");
        return;
    }
    v->state = VENDOR_HANDSHAKE;
    handshake(v);
}

/* A pooled connection may only bring TLS's own messages (tickets, key updates). */
static void idle_event(struct vendor *v, unsigned events)
{
    if (!(events & (TCP_EV_CLOSED | TCP_EV_EOF)) && silent(v))
        return;
    counter_inc(&v->w->counters.vendor_idle_closed);
    vendor_close(v);
}

/* What came before the end may still complete the answer. */
static void busy_closed(struct vendor *v)
{
    struct exchange *x = v->x;
    struct caller *c = x->caller;
    uint64_t number = x->number;

    caller_run(c);
    /* Unless the call has ended, or goes on with another connection (in the same memory even). */
    if (c->x == x && x->number == number && x->vendor == v && v->over &&
        reply_vendor_lost(x, CALL_vendor_closed) != STEP_DEAD)
        caller_run(c);
}

void vendor_event(struct vendor *v, unsigned events)
{
    if (events & TCP_EV_CLOSED)
        v->over = true;
    switch (v->state) {
    case VENDOR_CONNECT:
        if (v->over)
            setup_failed(v, CALL_vendor_unreachable, NULL, connect_error(v));
        else if (events & TCP_EV_CONNECTED)
            connected(v);
        break;
    case VENDOR_HANDSHAKE:
        if (v->over)
            setup_failed(v, CALL_vendor_unreachable, NULL, connect_error(v));
        else
            handshake(v);
        break;
    case VENDOR_BUSY:
        if (v->over)
            busy_closed(v);
        else
            caller_run(v->x->caller);
        break;
    case VENDOR_IDLE:
        idle_event(v, events);
        break;
    }
}
