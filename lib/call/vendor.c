#include <openssl/crypto.h>
#include <stdio.h>

#include "call/call_internal.h"

/* Nothing waits to be read: bytes that came before the request would be taken for its answer. */
bool vendor_silent(struct vendor *v)
{
    char waste[256];
    size_t got;

    return tls_read(v->leg.tls, waste, sizeof(waste), &got) == TLS_AGAIN;
}

/* ------------------------------------------------------------------- life cycle */

static void on_timer(struct wheel_timer *t, uint64_t now_us);

static struct vendor *vendor_new(struct call_worker *w)
{
    struct vendor *v;

    if (LIST_EMPTY(&w->free_vendors) && !pool_evict(w))
        return NULL;
    v = LIST_FIRST(&w->free_vendors);
    LIST_REMOVE(v, link);
    memset(v, 0, sizeof(*v));
    v->leg.kind = LEG_VENDOR;
    v->w = w;
    v->keep = true;
    wheel_timer_init(&v->timer, on_timer);
    LIST_INSERT_HEAD(&w->live_vendors, v, link);
    counter_inc(&w->nvendors);
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
        if (!v->over && !v->cut && v->state >= VENDOR_BUSY)
            tls_shutdown(v->leg.tls);
        tls_free(v->leg.tls);
    }
    if (v->leg.tcp && !v->over)
        tcp_close(v->leg.tcp);
    pool_leave(v);
    LIST_REMOVE(v, link);
    counter_add(&w->nvendors, (uint64_t)-1);
    memset(v, 0, sizeof(*v));
    LIST_INSERT_HEAD(&w->free_vendors, v, link);
}

void vendor_release(struct vendor *v)
{
    bool clean = v->state == VENDOR_BUSY && v->keep && !v->over && v->in_pos == v->in_len &&
                 !outq_pending(&v->out) && !tls_pending(v->leg.tls);

    if (!clean || !pool_put(v)) {
        vendor_close(v);
        return;
    }
    drop_buffers(v);
    v->state = VENDOR_IDLE;
    v->reused = true;
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
    pool_join(v, h);
    v->x = x;
    x->vendor = v;
    counter_inc(&w->counters.vendor_connects);
    wheel_start(w->wheel, &v->timer, w->now_us + w->c.limits.connect_us);
    return true;
}

/* What TLS to this call's vendor has in particular; lives as long as the call's generation. */
static const struct tls_vendor *vendor_tls(const struct exchange *x)
{
    return x->gen->vendors[x->connection->index];
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
    h = pool_host(w, name, tcp_local_port(x->caller->leg.tcp), tls_vendor_id(vendor_tls(x)));
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
                  e == TLS_ERR_VERIFY_NAME || e == TLS_ERR_VERIFY_PIN || e == TLS_ERR_VERIFY_OTHER;
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
        pool_unlearn(v);
        vendor_close(v);
    } else {
        counter_inc(&v->w->counters.timeouts);
        counter_inc(&v->w->counters.slow_vendor_connect);
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
    v->leg.tls = tls_client(v->w->tls, v->leg.tcp, span_cstr(v->name), vendor_tls(v->x));
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
    if (!(events & (TCP_EV_CLOSED | TCP_EV_EOF)) && vendor_silent(v))
        return;
    counter_inc(&v->w->counters.vendor_idle_closed);
    pool_learn(v);
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
    v->w->others++;
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
