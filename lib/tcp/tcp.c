/* A stack's life and the loop's calls. */
#include "tcp_internal.h"

#include <rte_mbuf_dyn.h>
#include <rte_prefetch.h>
#include <stdlib.h>

void tcp_config_defaults(struct tcp_config *c)
{
    *c = (struct tcp_config){
        .max_conns = 65536,
        .max_time_wait = 65536,
        .max_half_open = 4096,
        .syn_cookie_mark = 2048,
        .rcvbuf_initial = 64 * 1024,
        .rcvbuf_max = 6 * 1024 * 1024,
        .sndbuf_initial = 256 * 1024,
        .sndbuf_max = 4 * 1024 * 1024,
        .time_wait_us = 60 * 1000000u,
        .syn_retries = 5,
        .data_retries = 9, /* over 100 s (RFC 9293 3.8.3) from the shortest RTO on */
        .fin_timeout_us = 60 * 1000000u,
        .keepalive_us = 600 * 1000000u,
    };
}

const char *tcp_end_name(enum tcp_end e)
{
    static const char *const names[] = {
        [TCP_END_NONE] = "none",       [TCP_END_CLOSED] = "closed",
        [TCP_END_RESET] = "reset",     [TCP_END_REFUSED] = "refused",
        [TCP_END_TIMEOUT] = "timeout", [TCP_END_UNREACHABLE] = "unreachable",
        [TCP_END_ABORTED] = "aborted", [TCP_END_NO_MEMORY] = "no_memory",
    };

    return (unsigned)e < RTE_DIM(names) ? names[e] : "unknown";
}

/* Every stack of the process shares the field: registering it again finds it. */
static int note_register(void)
{
    static const struct rte_mbuf_dynfield field = {
        .name = "turnpike_tcp_note",
        .size = sizeof(union tcp_note),
        .align = _Alignof(union tcp_note),
    };

    return rte_mbuf_dynfield_register(&field);
}

/* RFC 7323 2.3: as much scale as the largest window needs. */
static uint8_t scale_for(uint32_t rcvbuf_max)
{
    uint8_t scale = 0;

    while (scale < 14 && (rcvbuf_max >> scale) > UINT16_MAX)
        scale++;
    return scale;
}

/* Shares of the pool. The rest is the port's rings and what is on its way through them. */
static void set_limits(struct tcp *t)
{
    uint32_t size = t->lower.pool->size;

    t->rx_soft = size / 4;
    t->rx_hard = size / 2;
    t->tx_max = size / 3;
    t->tx_soft = size / 6;
    t->held_max = size / 2;
    t->pressure_idle = TCP_PRESSURE_IDLE;
    t->scarce_at = TCP_NEVER;
    if (!t->cfg.sndbuf_initial || t->cfg.sndbuf_initial > t->cfg.sndbuf_max)
        t->cfg.sndbuf_initial = t->cfg.sndbuf_max;
    t->sq_segs_soft = t->cfg.sndbuf_initial / 1024 + 8;
    t->rcv_mbufs_max = t->cfg.rcvbuf_max / (TCP_COPY_MAX / 2) + TCP_RUNS_MAX;
    t->rcv_scale = scale_for(t->cfg.rcvbuf_max);
}

static bool config_ok(const struct tcp_config *c, const struct tcp_lower *l)
{
    unsigned room = rte_pktmbuf_data_room_size(l->pool);

    return c->max_conns && c->rcvbuf_initial && c->rcvbuf_initial <= c->rcvbuf_max &&
           c->rcvbuf_max <= 1u << 30 && c->sndbuf_max && c->sndbuf_max <= 1u << 30 &&
           l->mtu[NET_INSIDE] >= TCP_MTU_FLOOR_V4 && l->mtu[NET_OUTSIDE] >= TCP_MTU_FLOOR_V4 &&
           room > TCP_HEADROOM + TCP_MSS_DEFAULT_V6;
}

struct tcp *tcp_new(const struct tcp_config *c, const struct tcp_lower *lower,
                    const struct tcp_owner *owner, uint64_t now_us)
{
    struct tcp *t;
    int off = note_register();

    if (off < 0 || !config_ok(c, lower))
        return NULL;
    t = aligned_alloc(64, sizeof(*t));
    if (!t)
        return NULL;
    memset(t, 0, sizeof(*t));
    t->cfg = *c;
    t->lower = *lower;
    t->owner = *owner;
    t->now = now_us;
    t->note_off = off;
    t->payload_max = (uint16_t)(rte_pktmbuf_data_room_size(lower->pool) - TCP_HEADROOM);
    t->listening = true;
    TAILQ_INIT(&t->ready);
    TAILQ_INIT(&t->output);
    TAILQ_INIT(&t->starved);
    keys_derive(t);
    set_limits(t);
    t->wheel = wheel_new(now_us);
    if (!t->wheel || !table_new(t) || !segs_new(t)) {
        tcp_delete(t);
        return NULL;
    }
    tw_new(t);
    return t;
}

void tcp_delete(struct tcp *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; t->open && i < t->cfg.max_conns; i++) {
        struct tcp_conn *c = &t->conns[i];

        if (!c->t)
            continue;
        if (!(c->flags & CF_OVER))
            send_free(c);
        recv_free(c);
    }
    table_delete(t);
    free(t->segs);
    wheel_delete(t->wheel);
    explicit_bzero(t, sizeof(*t));
    free(t);
}

bool tcp_listen(struct tcp *t, enum net_side side, uint16_t port)
{
    if (t->nlisteners >= RTE_DIM(t->listeners) || port == 0)
        return false;
    t->listeners[t->nlisteners++] = (struct tcp_listener){port, (uint8_t)side};
    return true;
}

void tcp_listen_stop(struct tcp *t)
{
    t->listening = false;
}

static void set_now(struct tcp *t, uint64_t now_us)
{
    if (now_us > t->now)
        t->now = now_us;
}

void tcp_advance(struct tcp *t, uint64_t now_us)
{
    set_now(t, now_us);
    wheel_advance(t->wheel, t->now);
    tw_advance(t);
    pressure_relieve(t);
    if (!TAILQ_EMPTY(&t->starved))
        send_feed_starved(t);
}

uint64_t tcp_next_timer(const struct tcp *t)
{
    uint64_t next = wheel_next(t->wheel);

    if (t->noutput || t->nready)
        return t->now;
    if ((!TAILQ_EMPTY(&t->starved) || pressure_spent(t)) && next > t->now + US_IN_MS)
        next = t->now + US_IN_MS;
    if (t->tw_first != TW_NONE && t->tws[t->tw_first].expires < next)
        next = t->tws[t->tw_first].expires;
    return next;
}

/* ------------------------------------------------------------ dispatch */

/* False if the owner does not want it, or has closed it already. */
static bool accepted(struct tcp *t, struct tcp_conn *c)
{
    c->flags &= ~(uint32_t)CF_UNACCEPTED;
    c->flags |= CF_OWNED;
    if (!t->owner.accept(t->owner.ctx, c)) {
        if (t->current == c)
            tcp_abort(c);
        return false;
    }
    COUNT(t, accepted);
    return t->current == c && (c->flags & CF_OWNED);
}

/* The owner may do anything to any connection meanwhile, also end this one: t->current tells. */
static void deliver(struct tcp *t, struct tcp_conn *c)
{
    unsigned events;

    t->current = c;
    if ((c->flags & CF_UNACCEPTED) && !accepted(t, c))
        return;
    events = c->events;
    c->events = 0;
    conn_ready_remove(c); /* if accepting raised more, it is in `events` */
    if (events)
        t->owner.event(t->owner.ctx, c, c->user, events);
    if (t->current == c && (events & TCP_EV_CLOSED))
        conn_free(c);
}

unsigned tcp_dispatch(struct tcp *t, uint64_t now_us)
{
    unsigned n = t->nready, done = 0;
    struct tcp_conn *c, *next;

    set_now(t, now_us);
    for (; done < n && (c = TAILQ_FIRST(&t->ready)) != NULL; done++) {
        next = TAILQ_NEXT(c, ready);
        if (next)
            rte_prefetch0(next);
        conn_ready_remove(c);
        deliver(t, c);
    }
    t->current = NULL;
    return done;
}

/* -------------------------------------------------------------- output */

unsigned tcp_output(struct tcp *t, uint64_t now_us)
{
    uint64_t before = counter_get(&t->counters.tx_segments);
    struct tcp_conn *c, *next;

    set_now(t, now_us);
    for (unsigned n = t->noutput; n && (c = TAILQ_FIRST(&t->output)) != NULL; n--) {
        next = TAILQ_NEXT(c, output);
        if (next) {
            rte_prefetch0(&next->rcv_nxt);
            rte_prefetch0(&next->snd_una);
        }
        TAILQ_REMOVE(&t->output, c, output);
        c->flags &= ~(uint32_t)CF_OUTPUT;
        t->noutput--;
        conn_output(c);
    }
    return (unsigned)(counter_get(&t->counters.tx_segments) - before);
}

const struct tcp_counters *tcp_counters(const struct tcp *t)
{
    return &t->counters;
}

unsigned tcp_open_conns(const struct tcp *t)
{
    return t->open;
}
