/* What time does. A connection has five deadlines and one timer in the wheel. Most deadlines are
 * put off by every segment, so the timer is left where it is when a deadline moves away, and looks
 * at them when it fires.
 *
 *     TIMER_RTX   SYN and SYN,ACK again             1 s, doubling, syn_retries times
 *                 first byte not acknowledged again  RTO, doubling, data_retries times
 *                 window probe (CF_PERSIST)          RTO, doubling to 60 s, while it is answered
 *     TIMER_REO   what was overtaken counts as lost  RACK's round trip and reordering window
 *     TIMER_TLP   tail loss probe, once a tail       two round trips, with one segment out 200 ms
 * more TIMER_ACK   delayed ACK                        40 ms TIMER_KEEP  keepalive keepalive_us,
 * then an eighth of it, 9 times orphan: no progress, or waiting    fin_timeout_us for the peer's
 * FIN (TIME_WAIT records wait time_wait_us in a list of their own: tcp_time_wait.c) */
#include "tcp_internal.h"

#define SHIFT_MAX 12

void timer_set(struct tcp_conn *c, enum tcp_timer which, uint64_t at)
{
    c->deadline[which] = at;
    if (!wheel_running(&c->timer) || at < c->timer.at_us)
        wheel_start(c->t->wheel, &c->timer, at);
}

void timer_set_sooner(struct tcp_conn *c, enum tcp_timer which, uint64_t at)
{
    if (at < c->deadline[which])
        timer_set(c, which, at);
}

static void rtx_back_off(struct tcp_conn *c)
{
    c->rtx_count++;
    if (c->rtx_shift < SHIFT_MAX)
        c->rtx_shift++;
    timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
}

static bool given_up(struct tcp_conn *c, uint32_t retries)
{
    if (c->rtx_count < retries)
        return false;
    conn_over(c, TCP_END_TIMEOUT);
    return true;
}

static bool syn_again(struct tcp_conn *c)
{
    if (given_up(c, c->t->cfg.syn_retries))
        return false;
    rtx_back_off(c);
    c->flags |= CF_SYN_DUE | CF_SYN_RESENT;
    c->flags &= ~(uint32_t)CF_TIMING;
    COUNT(c->t, retransmits_timeout);
    conn_output_later(c);
    return true;
}

/* False when the connection is over; so are the others below. */
static bool rtx_due(struct tcp_conn *c)
{
    if (c->state < TCP_ESTABLISHED)
        return syn_again(c);
    if (c->snd_una == c->snd_max && !(c->flags & CF_PERSIST))
        return true;
    if (given_up(c, c->t->cfg.data_retries))
        return false;
    rtx_back_off(c);
    if (c->snd_wnd == 0 && !(c->flags & CF_PERSIST)) {
        /* The peer has taken its window back over what was in flight: that is not congestion. */
        c->flags |= CF_PERSIST;
        c->flags &= ~(uint32_t)(CF_RECOVERY | CF_TLP | CF_TLP_AGAIN | CF_TLP_DUE);
        board_all_lost(c, NULL);
    }
    if (c->flags & CF_PERSIST) {
        c->flags |= CF_PROBE_DUE;
        conn_output_later(c);
    } else {
        path_timeout(c);
        recover_timeout(c);
    }
    return true;
}

static bool ack_due(struct tcp_conn *c)
{
    COUNT(c->t, delayed_acks);
    conn_ack_now(c);
    return true;
}

/* An orphan must get somewhere: its peer could hold it for ever with a shut window or by never
 * sending its FIN. */
static bool orphan_due(struct tcp_conn *c)
{
    if (c->state == TCP_FIN_WAIT_2) {
        conn_over(c, TCP_END_TIMEOUT);
        return false;
    }
    if (c->snd_una == c->orphan_una) {
        conn_reset(c, TCP_END_TIMEOUT);
        return false;
    }
    conn_orphaned(c);
    return true;
}

static bool keep_due(struct tcp_conn *c)
{
    uint64_t idle = c->t->now - c->rcv_at, after = c->t->cfg.keepalive_us;

    if (conn_orphan(c))
        return orphan_due(c);
    if (idle < after || c->snd_una != c->snd_max || c->sq_next) {
        /* Not idle, or the retransmission timer is the judge. */
        c->keep_count = 0;
        timer_set(c, TIMER_KEEP, (idle < after ? c->rcv_at : c->t->now) + after);
        return true;
    }
    if (c->keep_count >= TCP_KEEP_PROBES) {
        conn_reset(c, TCP_END_TIMEOUT);
        return false;
    }
    c->keep_count++;
    c->flags |= CF_KEEP_DUE;
    conn_output_later(c);
    timer_set(c, TIMER_KEEP, c->t->now + after / 8);
    return true;
}

static bool take_due(struct tcp_conn *c, enum tcp_timer which)
{
    if (c->deadline[which] > c->t->now)
        return false;
    timer_clear(c, which);
    return true;
}

void timer_fired(struct wheel_timer *w, uint64_t now_us)
{
    struct tcp_conn *c = (struct tcp_conn *)((uintptr_t)w - offsetof(struct tcp_conn, timer));
    uint64_t next = TCP_NEVER;

    (void)now_us; /* the stack's own clock has been set to it */
    if (take_due(c, TIMER_REO))
        recover_reorder_due(c);
    if (take_due(c, TIMER_TLP)) /* where both are due it stands in the time-out's place */
        tlp_due(c);
    if (take_due(c, TIMER_RTX) && !rtx_due(c))
        return;
    if (take_due(c, TIMER_KEEP) && !keep_due(c))
        return;
    if (take_due(c, TIMER_ACK))
        ack_due(c);
    for (unsigned i = 0; i < TIMERS; i++)
        if (c->deadline[i] < next)
            next = c->deadline[i];
    if (next != TCP_NEVER && (!wheel_running(&c->timer) || next < c->timer.at_us))
        wheel_start(c->t->wheel, &c->timer, next);
}
