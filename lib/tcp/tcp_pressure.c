/* What gives way when mbufs run short, in this order (shares of the pool are set in tcp.c):
 *
 *     short     windows stop growing and what they had grown is given up as they are used
 *     scarce    new connections are refused, windows fall to a few segments
 *     spent     connections that hold mbufs and get nowhere are reset, those that have stood still
 *               longest first; likewise when mbufs have been scarce for seconds, or who does not
 *               read could keep newcomers out
 *
 * An advertised right edge never moves left (RFC 9293 3.8.6.2.1, RFC 7323 2.4): a smaller buffer
 * only means that the edge stays where it is while data comes. */
#include "tcp_internal.h"

#define LOOK_AT     64u                     /* connections in one loop */
#define IDLE_LEAST  (UINT64_C(1) * US_IN_S) /* nobody goes who has stood still no longer */
#define SCARCE_MOST (UINT64_C(2) * US_IN_S)

bool pressure_short(const struct tcp *t)
{
    return t->rx_held >= t->rx_soft;
}

bool pressure_scarce(const struct tcp *t)
{
    return t->rx_held + t->tx_held >= t->held_max || t->rx_held >= t->rx_hard / 4 * 3 ||
           t->tx_held >= t->tx_max / 4 * 3;
}

bool pressure_spent(const struct tcp *t)
{
    return t->rx_held >= t->rx_hard / 8 * 7 || t->tx_held >= t->tx_max / 8 * 7;
}

void pressure_fit_window(struct tcp_conn *c)
{
    const struct tcp *t = c->t;
    uint32_t most;

    if (pressure_scarce(t))
        most = u32_min(t->cfg.rcvbuf_initial, TCP_RCVBUF_SCARCE);
    else if (pressure_short(t))
        most = t->cfg.rcvbuf_initial;
    else
        most = u32_max(c->rcvbuf, t->cfg.rcvbuf_initial);
    if (c->rcvbuf > most || c->rcvbuf < t->cfg.rcvbuf_initial)
        c->rcvbuf = most;
}

/* How long what it holds has not moved; 0 if it holds nothing. */
static uint64_t stood_still(const struct tcp_conn *c)
{
    uint64_t rx = c->rcv_mbufs ? c->t->now - c->rx_moved_at : 0;
    uint64_t tx = c->sq_segs ? c->t->now - c->tx_moved_at : 0;

    return rx > tx ? rx : tx;
}

/* Its mbufs are free when this returns; what was not read is lost, and does not end in a FIN. */
static void give_up(struct tcp_conn *c)
{
    COUNT(c->t, resets_pressure);
    c->flags &= ~(uint32_t)CF_FIN_RECEIVED;
    recv_free(c);
    if (!(c->flags & CF_OVER)) {
        conn_reset(c, TCP_END_NO_MEMORY);
        return;
    }
    c->end = TCP_END_NO_MEMORY;
    conn_event(c, TCP_EV_CLOSED);
}

/* Must somebody go? */
static bool must_relieve(struct tcp *t)
{
    if (!pressure_scarce(t))
        t->scarce_at = TCP_NEVER;
    else if (t->scarce_at == TCP_NEVER)
        t->scarce_at = t->now;
    return pressure_spent(t) || (t->scarce_at != TCP_NEVER && t->now - t->scarce_at >= SCARCE_MOST);
}

void pressure_relieve(struct tcp *t)
{
    if (!must_relieve(t)) {
        t->pressure_idle = TCP_PRESSURE_IDLE;
        return;
    }
    for (unsigned i = 0; i < LOOK_AT && must_relieve(t); i++) {
        struct tcp_conn *c = &t->conns[t->pressure_hand];

        if (c->t && stood_still(c) >= t->pressure_idle)
            give_up(c);
        if (++t->pressure_hand < t->cfg.max_conns)
            continue;
        t->pressure_hand = 0;
        if (t->pressure_idle > IDLE_LEAST)
            t->pressure_idle /= 2;
    }
}
