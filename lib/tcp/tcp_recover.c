/* What a loss leads to. Segments are marked lost by RACK (RFC 8985), without SACK by duplicate ACKs
 * (RFC 6582), and by time-outs; in fast recovery what may be sent follows proportional rate
 * reduction (RFC 9937). And if it turns out that nothing was lost, it is taken back: by the echoed
 * timestamps (RFC 3522, 4015), by duplicates reported (RFC 2883), after a time-out also by the
 * arrival of what was sent only once (RFC 5682). */
#include "tcp_internal.h"

/* --------------------------------------------------------------- undoing */

/* What an earlier recovery has sent again and nobody has acknowledged yet counts with this one's.
 */
static void undo_prepare(struct tcp_conn *c)
{
    bool stamped = c->undo.stamped && c->rtx_out;

    c->undo = (struct tcp_undo){.cubic = c->cubic,
                                .hystart = c->hystart,
                                .cwnd = c->cwnd,
                                .ssthresh = c->ssthresh,
                                .marker = c->snd_una,
                                .again = c->rtx_out,
                                .stamp = c->undo.stamp,
                                .stamped = stamped,
                                .on = true};
}

/* What has moved snd_una was sent before anything was sent again (RFC 3522 3.2 step 5). */
static bool acked_first_sending(const struct tcp_conn *c, const struct tcp_acking *a)
{
    return a->acked && c->undo.stamped && (c->flags & CF_TS) && a->in->has_ts && a->in->tsecr &&
           seq_lt(a->in->tsecr, c->undo.stamp);
}

/* All that was sent again has come twice. That may be told when the recovery is over already. */
static bool all_came_twice(const struct tcp_conn *c, const struct tcp_acking *a)
{
    return c->undo.on && c->undo.stamped && c->undo.again == 0 && a->dsack;
}

static bool may_undo(const struct tcp_conn *c, const struct tcp_acking *a)
{
    if (!c->undo.on)
        return false;
    return (a->found && !c->undo.stamped) || all_came_twice(c, a) || acked_first_sending(c, a);
}

static void recovery_over(struct tcp_conn *c)
{
    c->flags &= ~(uint32_t)(CF_RECOVERY | CF_LOSS | CF_FRTO);
    c->dup_acks = 0;
}

static void undo(struct tcp_conn *c)
{
    board_not_lost(c);
    cc_undo(c);
    if (c->flags & CF_RECOVERY)
        c->rack.reordering = true;
    c->undo.on = false;
    c->rtx_shift = 0;
    COUNT(c->t, recoveries_undone);
    if (c->flags & (CF_RECOVERY | CF_LOSS))
        recovery_over(c);
}

/* --------------------------------------------------------- fast recovery */

/* RFC 9937 5: RecoverFS is what the ACKs of this recovery can still tell to have been delivered. */
static void recovery_enter(struct tcp_conn *c, const struct tcp_acking *a)
{
    undo_prepare(c);
    cc_congestion(c);
    c->recover = c->snd_nxt;
    c->recover_at = c->t->now;
    c->prr_delivered = c->prr_out = 0;
    c->prr_fs = u32_max(c->snd_nxt - c->snd_una + a->delivered - c->sacked, c->mss);
    c->flags |= CF_RECOVERY;
    c->flags &= ~(uint32_t)(CF_TLP | CF_TLP_AGAIN | CF_TLP_DUE);
    timer_clear(c, TIMER_TLP);
    COUNT(c->t, recoveries);
}

/* RFC 9937 5. The forced first segment is the fast retransmission. */
static void prr(struct tcp_conn *c, const struct tcp_acking *a)
{
    uint32_t pipe = board_pipe(c), more;
    int64_t room;

    c->prr_delivered += a->delivered;
    if (pipe > c->ssthresh) {
        room = (int64_t)(((uint64_t)c->prr_delivered * c->ssthresh + c->prr_fs - 1) / c->prr_fs) -
               c->prr_out;
    } else {
        more = c->prr_delivered > c->prr_out ? c->prr_delivered - c->prr_out : 0;
        room = u32_max(more, a->delivered);
        if (a->acked && !a->lost)
            room += c->mss;
        if (room > (int64_t)(c->ssthresh - pipe))
            room = c->ssthresh - pipe;
    }
    if (!c->prr_out && room < c->mss)
        room = c->mss;
    cc_set(c, pipe + (room > 0 ? (uint32_t)room : 0));
}

/* RFC 6582 3.2 step 3, full acknowledgement; PRR ends at ssthresh. */
static void recovery_exit(struct tcp_conn *c)
{
    cc_set(c, c->ssthresh);
    recovery_over(c);
    rack_recovered(c);
}

static void in_recovery(struct tcp_conn *c, struct tcp_acking *a)
{
    if (may_undo(c, a))
        undo(c);
    else if (seq_leq(c->recover, c->snd_una))
        recovery_exit(c);
    else
        prr(c, a);
}

/* ---------------------------------------------------------- without SACK */

/* RFC 6582 3.2 step 2: not for what is left of a recovery that has just ended. */
static void reno_dup(struct tcp_conn *c, struct tcp_acking *a)
{
    if (c->dup_acks >= u32_min(c->sq_segs + TCP_DUP_THRESH, UINT16_MAX))
        return; /* more than were ever in flight */
    a->delivered = u32_min(c->mss, board_pipe(c));
    c->dup_acks++;
    if ((c->flags & (CF_RECOVERY | CF_LOSS)) || c->dup_acks != TCP_DUP_THRESH ||
        !seq_lt(c->recover, c->snd_una) || TAILQ_EMPTY(&c->flight))
        return;
    a->lost = seg_span(c->sq_head);
    board_lost(c, c->sq_head);
    recovery_enter(c, a);
}

/* Each partial acknowledgement shows the next hole (step 3). The duplicate ACKs before it have told
 * of all it covers but the segment that was sent again. */
static void reno_acked(struct tcp_conn *c, struct tcp_acking *a)
{
    uint32_t told = u32_min(c->dup_acks, (a->acked + c->mss - 1) / c->mss - 1);
    struct tcp_seg *s = c->sq_head;

    a->delivered -= u32_min(told * c->mss, a->delivered);
    c->dup_acks = (c->flags & CF_RECOVERY) ? (uint16_t)(c->dup_acks - told) : 0;
    if (!(c->flags & CF_RECOVERY) || seq_leq(c->recover, c->snd_una) || !s)
        return;
    if ((s->flags & (SEG_SENT | SEG_LOST)) == SEG_SENT && s->sent_at <= c->recover_at) {
        a->lost = seg_span(s);
        board_lost(c, s);
    }
}

/* ---------------------------------------------------------- after an ACK */

static void in_loss(struct tcp_conn *c, struct tcp_acking *a)
{
    if (may_undo(c, a) || ((c->flags & CF_FRTO) && a->original && (c->flags & CF_SACK))) {
        undo(c);
        return;
    }
    cc_acked(c, (c->flags & CF_SACK) ? a->delivered : u32_min(a->acked, c->mss));
    if (seq_leq(c->recover, c->snd_una)) {
        recovery_over(c);
        rack_recovered(c);
    }
}

/* A look for losses, and what follows from them. */
static void detect(struct tcp_conn *c, struct tcp_acking *a)
{
    rack_detect(c, a);
    if (!(c->flags & (CF_RECOVERY | CF_LOSS)) && !TAILQ_EMPTY(&c->lost))
        recovery_enter(c, a);
}

/* An ACK has been taken in: snd_una has moved, blocks are marked, or it was a duplicate. */
void recover_acked(struct tcp_conn *c, struct tcp_acking *a)
{
    if (a->dup && !(c->flags & CF_SACK))
        reno_dup(c, a);
    else if (a->acked && !(c->flags & CF_SACK))
        reno_acked(c, a);
    tlp_acked(c, a);
    detect(c, a);
    if (c->flags & CF_RECOVERY)
        in_recovery(c, a);
    else if (c->flags & CF_LOSS)
        in_loss(c, a);
    else if (all_came_twice(c, a))
        undo(c);
    else if (a->acked || c->rack.reordering) /* else it may be a loss (RFC 3042 2) */
        cc_acked(c, (c->flags & CF_SACK) ? a->delivered : a->acked);
    if (!TAILQ_EMPTY(&c->lost) || c->sq_next)
        conn_output_later(c);
}

/* The reordering timer: no ACK has come meanwhile. */
void recover_reorder_due(struct tcp_conn *c)
{
    struct tcp_acking a = {0};

    detect(c, &a);
    if (c->flags & CF_RECOVERY)
        prr(c, &a);
    conn_output_later(c);
}

/* RFC 6298 5.4 to 5.6; RFC 8985 6.3. A head that was reported as received and yet is not
 * acknowledged after so long: the peer has dropped it (RFC 2018 8). */
void recover_timeout(struct tcp_conn *c)
{
    bool recovering = (c->flags & CF_RECOVERY) != 0;

    c->flags &= ~(uint32_t)(CF_FRTO | CF_TLP | CF_TLP_AGAIN | CF_TLP_DUE);
    timer_clear(c, TIMER_REO);
    timer_clear(c, TIMER_TLP);
    if (recovering)
        c->undo.on = false;
    else if (c->rtx_count <= 1)
        undo_prepare(c);
    if (!recovering)
        c->flags |= CF_FRTO;
    if (c->sq_head && (c->sq_head->flags & SEG_SACKED)) {
        board_reneged(c);
        c->undo.on = false;
        c->flags &= ~(uint32_t)CF_FRTO;
    }
    c->dup_acks = 0;
    board_all_lost(c, rack_maybe_there);
    cc_timeout(c);
    c->recover = c->snd_nxt;
    c->recover_at = c->t->now;
    c->flags &= ~(uint32_t)CF_RECOVERY;
    c->flags |= CF_LOSS;
    COUNT(c->t, retransmits_timeout);
    conn_output_later(c);
}
