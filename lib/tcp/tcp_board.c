/* The scoreboard: where each segment of the send queue is. Four states (struct tcp_seg), two lists,
 * three sums; every change is made here and costs the same however long the queue. */
#include "tcp_internal.h"

void board_init(struct tcp_conn *c)
{
    TAILQ_INIT(&c->flight);
    TAILQ_INIT(&c->lost);
    c->pipe = c->sacked = c->sacked_segs = c->rtx_out = 0;
    sack_forget(c);
}

static bool in_flight(const struct tcp_seg *s)
{
    return (s->flags & (SEG_SENT | SEG_SACKED | SEG_LOST)) == SEG_SENT;
}

/* `s` has just been put into the list. */
static void flight_count(struct tcp_conn *c, const struct tcp_seg *s)
{
    c->pipe += seg_span(s);
    if (s->flags & SEG_RTX)
        c->rtx_out += seg_span(s);
}

void board_remove(struct tcp_conn *c, struct tcp_seg *s)
{
    if (in_flight(s)) {
        TAILQ_REMOVE(&c->flight, s, order);
        c->pipe -= seg_span(s);
        if (s->flags & SEG_RTX)
            c->rtx_out -= seg_span(s);
    } else if (s->flags & SEG_LOST) {
        TAILQ_REMOVE(&c->lost, s, order);
    } else if (s->flags & SEG_SACKED) {
        c->sacked -= seg_span(s);
        c->sacked_segs--;
    }
    s->flags &= (uint8_t) ~(SEG_LOST | SEG_SACKED);
}

static void sent_again(struct tcp_conn *c, struct tcp_seg *s)
{
    struct tcp_undo *u = &c->undo;

    board_remove(c, s);
    s->flags |= SEG_RTX;
    c->rtx_total++;
    u->again += seg_span(s);
    if (!u->stamped || (!u->on && !c->rtx_out)) {
        u->stamped = true;
        u->stamp = ts_clock(c->t, c->ts_offset);
    }
}

void board_sent(struct tcp_conn *c, struct tcp_seg *s)
{
    if (s->flags & SEG_SENT) {
        sent_again(c, s);
    } else {
        s->flags |= SEG_SENT;
        c->sq_next = s->next;
        c->snd_nxt = seg_end(s);
        c->snd_max = seq_max(c->snd_max, c->snd_nxt);
    }
    s->sent_at = c->t->now;
    TAILQ_INSERT_TAIL(&c->flight, s, order);
    flight_count(c, s);
    if (c->flags & CF_RECOVERY)
        c->prr_out += seg_span(s);
}

void board_delivered(struct tcp_conn *c, struct tcp_seg *s, struct tcp_acking *a)
{
    if ((s->flags & (SEG_LOST | SEG_RTX)) == SEG_LOST)
        a->found = true;
    board_remove(c, s);
    rack_delivered(c, s, a->in);
    a->delivered += seg_span(s);
    if (s->flags & SEG_RTX) {
        a->again = true;
        return;
    }
    if (s->sent_at > a->sent_at)
        a->sent_at = s->sent_at;
    if (seq_leq(seg_end(s), c->recover))
        a->original = true;
}

void board_sacked(struct tcp_conn *c, struct tcp_seg *s, struct tcp_acking *a)
{
    board_delivered(c, s, a);
    s->flags |= SEG_SACKED;
    c->sacked += seg_span(s);
    c->sacked_segs++;
    a->sacked += seg_span(s);
}

/* Lost segments are sent again in the order of the list: the lowest first, as far as the place of a
 * new one is found within a few steps from the end. */
static void lost_insert(struct tcp_conn *c, struct tcp_seg *s)
{
    struct tcp_seg *p = TAILQ_FIRST(&c->lost);

    if (p && seq_lt(s->seq, p->seq)) {
        TAILQ_INSERT_HEAD(&c->lost, s, order);
        return;
    }
    p = TAILQ_LAST(&c->lost, tcp_segs);
    for (unsigned i = 0; p && seq_lt(s->seq, p->seq) && i < 32; i++)
        p = TAILQ_PREV(p, tcp_segs, order);
    if (p)
        TAILQ_INSERT_AFTER(&c->lost, p, s, order);
    else
        TAILQ_INSERT_TAIL(&c->lost, s, order);
}

void board_lost(struct tcp_conn *c, struct tcp_seg *s)
{
    board_remove(c, s);
    s->flags |= SEG_LOST;
    lost_insert(c, s);
}

/* They were sent before all that is in flight, or nearly. */
void board_not_lost(struct tcp_conn *c)
{
    struct tcp_seg *s;

    while ((s = TAILQ_LAST(&c->lost, tcp_segs)) != NULL) {
        board_remove(c, s);
        TAILQ_INSERT_HEAD(&c->flight, s, order);
        flight_count(c, s);
    }
}

void board_reneged(struct tcp_conn *c)
{
    for (struct tcp_seg *s = c->sq_head; s && (s->flags & SEG_SENT); s = s->next)
        if (s->flags & SEG_SACKED)
            board_lost(c, s);
    sack_forget(c);
}

void board_all_lost(struct tcp_conn *c,
                    bool (*keep)(const struct tcp_conn *, const struct tcp_seg *))
{
    struct tcp_segs kept = TAILQ_HEAD_INITIALIZER(kept);
    struct tcp_seg *s;

    while ((s = TAILQ_FIRST(&c->flight)) != NULL) {
        if (s == c->sq_head || !keep || !keep(c, s)) {
            board_lost(c, s);
        } else {
            TAILQ_REMOVE(&c->flight, s, order);
            TAILQ_INSERT_TAIL(&kept, s, order);
        }
    }
    TAILQ_CONCAT(&c->flight, &kept, order);
    if (TAILQ_EMPTY(&c->flight))
        timer_clear(c, TIMER_REO);
}

/* Without SACK each duplicate ACK says that some segment has left the network. */
uint32_t board_pipe(const struct tcp_conn *c)
{
    uint32_t left = (uint32_t)c->dup_acks * c->mss;

    return left < c->pipe ? c->pipe - left : 0;
}
