/* Acknowledgements and windows that come in (RFC 9293 3.10.7.4, fifth check). */
#include "tcp_internal.h"

void window_received(struct tcp_conn *c, const struct tcp_in *s)
{
    uint32_t wnd = (uint32_t)s->wnd << ((s->flags & TH_SYN) ? 0 : c->snd_scale);
    bool opened;

    if (seq_lt(s->seq, c->snd_wl1) || (s->seq == c->snd_wl1 && seq_lt(s->ack, c->snd_wl2)))
        return;
    opened = seq_lt(c->snd_una + c->snd_wnd, s->ack + wnd);
    c->snd_wnd = wnd;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    c->snd_wnd_max = u32_max(c->snd_wnd_max, wnd);
    if (opened && (c->sq_next || !TAILQ_EMPTY(&c->lost)))
        conn_output_later(c);
    if (opened)
        send_check_room(c);
}

/* Our FIN has been acknowledged. */
static bool fin_acked(struct tcp_conn *c)
{
    switch (c->state) {
    case TCP_FIN_WAIT_1:
        c->state = TCP_FIN_WAIT_2;
        if (conn_orphan(c))
            conn_orphaned(c);
        return true;
    case TCP_CLOSING:
        conn_time_wait(c);
        return false;
    case TCP_LAST_ACK:
        conn_over(c, TCP_END_CLOSED);
        return false;
    default:
        return true;
    }
}

static void rtx_timer_after_ack(struct tcp_conn *c)
{
    if (c->snd_una == c->snd_max) {
        timer_clear(c, TIMER_RTX);
        c->flags &= ~(uint32_t)CF_PERSIST;
    } else if (!(c->flags & CF_PERSIST)) {
        timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
    }
}

/* RFC 5681 2. What answers a window probe looks the same but tells of no loss. */
static bool is_dup_ack(const struct tcp_conn *c, const struct tcp_in *s)
{
    return s->ack == c->snd_una && s->len == 0 && !s->old && !(s->flags & (TH_SYN | TH_FIN)) &&
           c->snd_una != c->snd_max && !(c->flags & CF_PERSIST) &&
           ((uint32_t)s->wnd << c->snd_scale) == c->snd_wnd;
}

/* Something new was acknowledged. False when the connection is over. */
static bool ack_new(struct tcp_conn *c, struct tcp_acking *a)
{
    const struct tcp_in *s = a->in;

    a->acked = s->ack - c->snd_una;
    send_acked(c, s->ack, a);
    c->rtx_count = 0;
    if (c->flags & CF_PERSIST) /* it was a probe's byte: the window is open to us again */
        c->rtx_shift = 0;
    if (s->nsack)
        sack_received(c, a);
    rtt_acked(c, a);
    recover_acked(c, a);
    window_received(c, s);
    rtx_timer_after_ack(c);
    tlp_schedule(c);
    if (c->sq_next)
        conn_output_later(c);
    if ((c->flags & CF_FIN_QUEUED) && s->ack == c->snd_end + 1)
        return fin_acked(c);
    return true;
}

/* Nothing new by number: blocks, a duplicate, a window. */
static void ack_again(struct tcp_conn *c, struct tcp_acking *a)
{
    const struct tcp_in *s = a->in;

    a->dup = is_dup_ack(c, s);
    if (a->dup)
        COUNT(c->t, dup_acks_received);
    if (s->nsack)
        sack_received(c, a);
    if (a->delivered)
        rtt_acked(c, a);
    if (a->dup || s->nsack)
        recover_acked(c, a);
}

bool ack_received(struct tcp_conn *c, const struct tcp_in *s)
{
    struct tcp_acking a = {.in = s};

    if (seq_lt(c->snd_una, s->ack))
        return ack_new(c, &a);
    ack_again(c, &a);
    if (seq_lt(s->ack, c->snd_una))
        return true; /* the rest of it is old news */
    /* A peer that answers probes is alive, however long its window stays shut (RFC 1122 4.2.2.17);
     * but with the owner gone there is nobody whose patience that would serve. */
    if ((c->flags & CF_PERSIST) && (c->flags & CF_OWNED))
        c->rtx_count = 0;
    if (!s->late)
        window_received(c, s);
    return true;
}
