/* Upgraded connections (RFC 9110 7.8): once the vendor has agreed, bytes pass both ways as they
 * come. Nothing looks into them; they are counted. Each side may end alone: its close_notify is
 * passed on after its last byte, the TCP connections end when both have. */
#include "call/call_internal.h"

enum { ROOM_LEAST = 4096 };

/* ---------------------------------------------------------------- who may, to what */

/* One field with one protocol: of a list the vendor would choose, and we could not tell before. */
bool tunnel_allowed(struct exchange *x)
{
    const struct rules_connection *c = x->connection;
    const struct http_field *f = http_field(x->head, HTTP_F_UPGRADE);

    if (http_field_count(x->head, HTTP_F_UPGRADE) != 1 ||
        !span_eq(x->head->method, SPAN_LIT("GET")) || x->head->framing == HTTP_BODY_CHUNKED ||
        x->head->content_length)
        return false;
    for (unsigned i = 0; i < c->nupgrade; i++)
        if (span_ieq(f->value, c->upgrade[i])) {
            x->upgrade = c->upgrade[i];
            return true;
        }
    return false;
}

bool tunnel_agreed(const struct exchange *x, const struct http_head *h)
{
    const struct http_field *f = http_field(h, HTTP_F_UPGRADE);

    return x->upgrade.n && h->upgrade && http_field_count(h, HTTP_F_UPGRADE) == 1 &&
           span_ieq(f->value, x->upgrade);
}

/* -------------------------------------------------------------------- one direction */

/* A direction as the pump sees it. */
struct pump {
    struct exchange *x;
    struct tunnel *t;
    struct leg *from, *to;
    char *in; /* what came with the head */
    size_t *in_pos, in_len;
    struct outq *q;
    counter *count;
};

static struct pump pump_of(struct exchange *x, enum tunnel_way way)
{
    struct caller *c = x->caller;
    struct vendor *v = x->vendor;
    struct call_counters *n = &x->w->counters;

    if (way == TUNNEL_UP)
        return (struct pump){x,          &x->tunnel[way], &c->leg, &v->leg,     c->in,
                             &c->in_pos, c->in_len,       &v->out, &n->bytes_up};
    return (struct pump){x,          &x->tunnel[way], &v->leg, &c->leg,       v->in,
                         &v->in_pos, v->in_len,       &c->out, &n->bytes_down};
}

static enum tls_result take(struct pump *p, size_t *got)
{
    struct outq *q = p->q;
    size_t left = p->in_len - *p->in_pos;

    if (left == 0)
        return tls_read(p->from->tls, q->p + q->end, outq_room(q), got);
    *got = left < outq_room(q) ? left : outq_room(q);
    memcpy(q->p + q->end, p->in + *p->in_pos, *got);
    *p->in_pos += *got;
    return TLS_OK;
}

/* Takes what has come and what there is room for. False: the source has failed. */
static bool fill(struct pump *p, bool *moved)
{
    struct outq *q = p->q;

    while (!p->t->ended) {
        enum tls_result r;
        size_t got;

        if (!outq_open(q, p->x->w->memory, OUT_BLOCK))
            return false;
        outq_compact(q, ROOM_LEAST);
        if (outq_room(q) < ROOM_LEAST)
            return true;
        r = take(p, &got);
        if (r == TLS_AGAIN)
            return true;
        if (r == TLS_FAILED)
            return false;
        p->t->ended = r == TLS_CLOSED;
        if (r == TLS_OK) {
            q->end += got;
            q->ready = q->end;
            p->t->bytes += got;
            counter_add(p->count, got);
        }
        *moved = true;
    }
    return true;
}

/* An idle direction holds no memory. */
static void rest(struct pump *p)
{
    if (outq_pending(p->q) == 0)
        outq_close(p->q, p->x->w->memory);
    if (p->t->ended && !p->q->p && !p->t->told) {
        p->t->told = true;
        tls_shutdown(p->to->tls);
    }
}

enum pumped {
    PUMPED,
    SOURCE_FAILED,
    SINK_FAILED,
};

static enum pumped pump(struct pump *p)
{
    bool moved;

    do {
        size_t before;
        enum tls_result r;

        moved = false;
        if (!fill(p, &moved))
            return SOURCE_FAILED;
        before = outq_pending(p->q);
        r = p->q->p ? outq_flush(p->q, p->to->tls) : TLS_OK;
        if (r == TLS_FAILED || r == TLS_CLOSED)
            return SINK_FAILED;
        if (before > outq_pending(p->q))
            exchange_timer(p->x, p->x->connection->upgrade_idle_ns / 1000);
    } while (moved);
    rest(p);
    return PUMPED;
}

/* ------------------------------------------------------------------------- the end */

/* The vendor's side is over, in order or not; what it has said is still on its way to the caller.
 */
static void drop_vendor(struct exchange *x)
{
    struct vendor *v = x->vendor;

    v->cut = !x->tunnel[TUNNEL_UP].told;
    x->vendor = NULL;
    v->x = NULL;
    vendor_close(v);
}

static enum step finish(struct exchange *x)
{
    struct caller *c = x->caller;

    c->cut = !x->tunnel[TUNNEL_DOWN].ended;
    if (c->cut && !x->outcome)
        x->outcome = "vendor_truncated";
    exchange_end(x, "ok");
    return STEP_ON;
}

/* Only the caller's queue is left to be written. */
static enum step drain(struct exchange *x)
{
    struct caller *c = x->caller;

    switch (c->out.p ? outq_flush(&c->out, c->leg.tls) : TLS_OK) {
    case TLS_OK:
        return finish(x);
    case TLS_AGAIN:
        return STEP_WAIT;
    default:
        caller_abort(c);
        return STEP_DEAD;
    }
}

static enum step caller_failed(struct exchange *x)
{
    x->vendor->cut = true;
    caller_abort(x->caller);
    return STEP_DEAD;
}

enum step tunnel_run(struct exchange *x)
{
    struct pump up, down;
    enum pumped r;

    if (!x->vendor)
        return drain(x);
    /* Down first: the vendor's last words, should the way up turn out to be broken. */
    down = pump_of(x, TUNNEL_DOWN);
    r = pump(&down);
    if (r == SINK_FAILED)
        return caller_failed(x);
    if (r == PUMPED) {
        up = pump_of(x, TUNNEL_UP);
        r = pump(&up);
        if (r == SOURCE_FAILED)
            return caller_failed(x);
    }
    if (r != PUMPED) {
        drop_vendor(x);
        return STEP_ON;
    }
    if (!x->tunnel[TUNNEL_UP].told || !x->tunnel[TUNNEL_DOWN].told)
        return STEP_WAIT;
    drop_vendor(x);
    return STEP_ON;
}

enum step tunnel_vendor_over(struct exchange *x)
{
    drop_vendor(x);
    return STEP_ON;
}

void tunnel_stop(struct exchange *x, const char *outcome)
{
    x->outcome = outcome;
    if (x->vendor)
        x->vendor->cut = true;
    x->caller->cut = true;
    exchange_end(x, outcome);
}

/* --------------------------------------------------------------------- the beginning */

/* The head is done with, and with it the receive buffers, but for what came behind it. */
void tunnel_begin(struct exchange *x)
{
    struct caller *c = x->caller;

    memset(x->head, 0, offsetof(struct http_head, fields));
    if (c->in_pos == c->in_len)
        caller_drop_input(c);
    x->upgraded = true;
    x->head_out = x->close_caller = true;
    x->vendor->keep = false;
    x->state = X_TUNNEL;
    counter_inc(&x->w->counters.upgraded);
    exchange_timer(x, x->connection->upgrade_idle_ns / 1000);
}
