/* Segments of connections, check by check in the order of RFC 9293 3.10.7.3 and 3.10.7.4, with RFC
 * 7323's PAWS before them and RFC 5961's answers to what might be a blind attack. */
#include "tcp_internal.h"

/* ------------------------------------------------------------ sequence */

/* RFC 7323 5.3. A segment without the option is dropped too (3.2). */
static bool paws_ok(const struct tcp_conn *c, const struct tcp_in *s)
{
    if (!(c->flags & CF_TS))
        return true;
    if (!s->has_ts)
        return false;
    return !seq_lt(s->tsval, c->ts_recent) || c->t->now - c->ts_recent_at > TCP_PAWS_OLD;
}

/* PAWS is there for old data (RFC 7323 5). An ACK without any that the network has put behind
 * another tells with its blocks what has arrived; dropped, each would look like a loss. Believed at
 * the very next number and the ACK that we have, if it can have been sent within a time-out of the
 * newest; clocks tick once a millisecond at most (RFC 7323 5.4). */
static bool overtaken(const struct tcp_conn *c, const struct tcp_in *s)
{
    return c->state >= TCP_ESTABLISHED && s->has_ts && in_span(s) == 0 && (s->flags & TH_ACK) &&
           s->seq == c->rcv_nxt && s->ack == c->snd_una &&
           c->ts_recent - s->tsval <= rto_now(c) / 1000;
}

/* Some of it is new and inside the window. Two things beyond the letter: an ACK that stands right
 * at the edge of a window that its own lost data has filled; and, at a shut window, what stands at
 * rcv_nxt, of which only the ACK will be used (RFC 9293 3.10.7.4, "special allowance"). */
static bool acceptable(const struct tcp_conn *c, const struct tcp_in *s)
{
    uint32_t span = in_span(s);

    if (span == 0)
        return seq_leq(c->rcv_nxt, s->seq) && seq_leq(s->seq, c->rcv_edge);
    return seq_lt(c->rcv_nxt, s->seq + span) &&
           (seq_lt(s->seq, c->rcv_edge) || s->seq == c->rcv_nxt);
}

/* A stray: old data is answered at once, for our ACK may have been lost; what carries none is
 * answered seldom, or two confused ends would answer each other for ever. */
static void answer_stray(struct tcp_conn *c, const struct tcp_in *s)
{
    if (s->len && seq_lt(s->seq, c->rcv_nxt) && c->rcv_nxt - s->seq <= c->rcvbuf)
        blocks_dsack(c, s->seq, s->seq + u32_min(s->len, c->rcv_nxt - s->seq));
    if (s->len || (s->flags & TH_FIN))
        conn_ack_now(c);
    else
        conn_challenge(c);
}

/* RFC 5961 5.2. */
static bool ack_in_range(const struct tcp_conn *c, const struct tcp_in *s)
{
    return (s->flags & TH_ACK) && seq_leq(s->ack, c->snd_max) &&
           seq_leq(c->snd_una - c->snd_wnd_max, s->ack);
}

/* Data that was sent again because our ACK was lost. Cut down to nothing (RFC 9293 3.10.7.4 allows
 * to tailor a segment to the window), so that its own ACK is heard. */
static bool cut_old(struct tcp_conn *c, struct tcp_in *s)
{
    uint32_t behind = c->rcv_nxt - s->seq;

    if (in_span(s) == 0 || behind > u32_max(c->rcvbuf, UINT16_MAX) || in_span(s) > behind ||
        c->state == TCP_SYN_RECEIVED || !ack_in_range(c, s))
        return false;
    COUNT(c->t, drop_duplicate);
    if (s->len)
        blocks_dsack(c, s->seq, s->seq + s->len);
    c->quick_acks = TCP_QUICK_ACKS;
    s->len = 0;
    s->flags &= (uint8_t)~TH_FIN;
    s->old = true;
    conn_ack_now(c);
    return true;
}

static bool sequence_ok(struct tcp_conn *c, struct tcp_in *s)
{
    s->late = !paws_ok(c, s);
    if (s->late && !overtaken(c, s)) {
        COUNT(c->t, drop_paws);
        if (s->has_ts)
            answer_stray(c, s);
        return false;
    }
    if (acceptable(c, s) || cut_old(c, s))
        return true;
    if (seq_leq(s->seq + in_span(s), c->rcv_nxt))
        COUNT(c->t, drop_duplicate);
    else
        COUNT(c->t, drop_out_of_window);
    answer_stray(c, s);
    return false;
}

/* RFC 7323 4.3 (2). Not of what was all old: it may have been sent again for nothing, and what was
 * sent before it and overtaken by it would seem to come from another age. */
static void timestamp_note(struct tcp_conn *c, const struct tcp_in *s)
{
    if (!s->old && (c->flags & CF_TS) && seq_leq(c->ts_recent, s->tsval) &&
        seq_leq(s->seq, c->rcv_acked)) {
        c->ts_recent = s->tsval;
        c->ts_recent_at = c->t->now;
    }
}

/* ---------------------------------------------------------- RST and SYN */

/* What a reset means where we are. With both FINs on their way and all data acknowledged it only
 * says that the peer's TIME_WAIT has ended before our last ACK came through (RFC 9293 3.10.7.4: no
 * error in CLOSING and LAST-ACK). */
static enum tcp_end reset_means(const struct tcp_conn *c)
{
    if (c->state == TCP_SYN_RECEIVED)
        return TCP_END_REFUSED;
    if ((c->state == TCP_CLOSING || c->state == TCP_LAST_ACK) && send_queued(c) == 0)
        return TCP_END_CLOSED;
    return TCP_END_RESET;
}

/* RFC 5961 3.2: only the very next number resets; others inside the window might be guesses. */
static void reset_received(struct tcp_conn *c, const struct tcp_in *s)
{
    if (s->seq != c->rcv_nxt) {
        COUNT(c->t, drop_blind_reset);
        if (seq_lt(c->rcv_nxt, s->seq) && seq_lt(s->seq, c->rcv_edge))
            conn_challenge(c);
        return;
    }
    COUNT(c->t, resets_received);
    conn_over(c, reset_means(c));
}

/* SYNs while in SYN_RECEIVED. True if the segment is to be looked at further. */
static bool syn_in_syn_received(struct tcp_conn *c, struct tcp_in *s)
{
    if (s->seq == c->irs) {
        if (s->flags & TH_ACK) { /* simultaneous open: the peer's SYN,ACK repeats its SYN */
            s->flags &= (uint8_t)~TH_SYN;
            s->seq++;
            return true;
        }
        COUNT(c->t, drop_duplicate); /* our SYN,ACK was lost */
        if ((c->flags & CF_TS) && s->has_ts && seq_leq(c->ts_recent, s->tsval))
            c->ts_recent = s->tsval; /* or the peer would take its time-out for a round trip */
        c->flags |= CF_SYN_DUE | CF_SYN_RESENT;
        c->flags &= ~(uint32_t)CF_TIMING;
        conn_output_later(c);
        return false;
    }
    COUNT(c->t, drop_blind_syn);
    /* Back to LISTEN: the peer has begun anew, and its next SYN will be welcome. */
    if ((c->flags & CF_PASSIVE) && acceptable(c, s) && paws_ok(c, s))
        conn_over(c, TCP_END_RESET);
    else
        conn_challenge(c);
    return false;
}

/* -------------------------------------------------------------- SYN_SENT */

static void text_received(struct tcp_conn *c, struct tcp_in *s);

static void syn_sent_established(struct tcp_conn *c, struct tcp_in *s)
{
    c->snd_una = s->ack;
    c->snd_wl2 = s->ack;
    rtt_syn_acked(c, s);
    conn_established(c);
    conn_ack_now(c);
    s->flags &= (uint8_t)~TH_SYN;
    s->seq++;
    if (s->len)
        text_received(c, s);
}

void input_syn_sent(struct tcp_conn *c, struct tcp_in *s)
{
    bool acked = (s->flags & TH_ACK) && s->ack == c->snd_max && c->snd_max != c->iss;

    if ((s->flags & TH_ACK) && !acked) {
        COUNT(c->t, drop_bad_ack);
        segment_send_reset(c->t, s);
        return;
    }
    if (s->flags & TH_RST) {
        if (!acked) {
            COUNT(c->t, drop_blind_reset);
            return;
        }
        COUNT(c->t, resets_received);
        conn_over(c, TCP_END_REFUSED);
        return;
    }
    if (!(s->flags & TH_SYN)) {
        COUNT(c->t, drop_out_of_window);
        return;
    }
    c->rcv_at = c->t->now;
    conn_agree_options(c, s);
    if (acked) {
        syn_sent_established(c, s);
        return;
    }
    c->state = TCP_SYN_RECEIVED; /* simultaneous open */
    c->flags |= CF_SYN_DUE;
    conn_output_later(c);
}

/* --------------------------------------------------------- data and FIN */

/* The peer's FIN has been reached. */
static void fin_received(struct tcp_conn *c)
{
    c->rcv_nxt++;
    c->flags |= CF_FIN_RECEIVED;
    recv_free_runs(c);
    conn_ack_now(c);
    conn_event(c, TCP_EV_EOF);
    if (c->state == TCP_ESTABLISHED)
        c->state = TCP_CLOSE_WAIT;
    else if (c->state == TCP_FIN_WAIT_1)
        c->state = TCP_CLOSING;
    else
        conn_time_wait(c);
}

/* Cuts what lies beyond the window or beyond a FIN that is known. False if nothing is left. */
static bool text_cut(struct tcp_conn *c, struct tcp_in *s)
{
    uint32_t edge = c->rcv_edge, keep;

    if ((c->flags & CF_FIN_AHEAD) && seq_lt(c->rcv_fin, edge))
        edge = c->rcv_fin;
    if (seq_leq(s->seq + s->len, edge))
        return true;
    keep = seq_lt(s->seq, edge) ? edge - s->seq : 0;
    s->flags &= (uint8_t)~TH_FIN;
    s->len = keep;
    COUNT(c->t, drop_window_full);
    if (keep)
        chain_trim(s->m, keep);
    else
        conn_ack_now(c);
    return keep != 0;
}

/* Notes where the FIN stands. One that contradicts data already here is not believed. */
static void fin_note(struct tcp_conn *c, const struct tcp_in *s)
{
    uint32_t at = s->seq + s->len;

    if (!(s->flags & TH_FIN) || (c->flags & CF_FIN_AHEAD) || seq_lt(at, c->rcv_nxt))
        return;
    if (c->run_tail && seq_lt(at, note_of(c->t, c->run_tail)->run.end))
        return;
    c->flags |= CF_FIN_AHEAD;
    c->rcv_fin = at;
}

static void text_received(struct tcp_conn *c, struct tcp_in *s)
{
    bool fresh;

    if (!conn_receives(c)) {
        COUNT(c->t, drop_duplicate);
        return;
    }
    if (!text_cut(c, s))
        return;
    fresh = s->len && seq_lt(c->rcv_nxt, s->seq + s->len);
    if (fresh && conn_orphan(c)) {
        /* RFC 9293 3.6.1: nobody will ever read it, and the peer should know. */
        COUNT(c->t, drop_after_close);
        conn_reset(c, TCP_END_ABORTED);
        return;
    }
    fin_note(c, s);
    if (fresh)
        recv_data(c, s);
    else
        conn_ack_now(c); /* FIN alone, perhaps ahead of its time */
    if ((c->flags & CF_FIN_AHEAD) && c->rcv_nxt == c->rcv_fin)
        fin_received(c);
}

/* ------------------------------------------------------------- the rest */

/* SYN_RECEIVED becomes ESTABLISHED. */
static bool handshake_ack(struct tcp_conn *c, struct tcp_in *s)
{
    if (s->ack != c->snd_max || c->snd_max == c->iss) {
        COUNT(c->t, drop_bad_ack);
        segment_send_reset(c->t, s);
        return false;
    }
    c->snd_una = s->ack;
    rtt_syn_acked(c, s);
    window_received(c, s);
    conn_established(c);
    return true;
}

static bool ack_ok(struct tcp_conn *c, struct tcp_in *s)
{
    if (c->state == TCP_SYN_RECEIVED)
        return handshake_ack(c, s);
    if (ack_in_range(c, s))
        return true;
    COUNT(c->t, drop_bad_ack);
    conn_challenge(c);
    return false;
}

void input_conn(struct tcp_conn *c, struct tcp_in *s)
{
    uint32_t una = c->snd_una;

    if (s->flags & TH_RST) {
        reset_received(c, s);
        return;
    }
    if (s->flags & TH_SYN) {
        if (c->state != TCP_SYN_RECEIVED) {
            COUNT(c->t, drop_blind_syn); /* RFC 5961 4.2 */
            conn_challenge(c);
            return;
        }
        if (!syn_in_syn_received(c, s))
            return;
    }
    if (!sequence_ok(c, s))
        return;
    if (!(s->flags & TH_ACK)) {
        COUNT(c->t, drop_bad_ack);
        return;
    }
    if (!ack_ok(c, s))
        return;
    timestamp_note(c, s);
    c->rcv_at = c->t->now;
    if (!(c->flags & CF_SACK)) /* RFC 2018 3: not without both having agreed */
        s->nsack = 0;
    if (!ack_received(c, s))
        return;
    if (c->snd_una != una) {
        c->tx_moved_at = c->t->now;
        path_acked(c);
    }
    if (s->len || (s->flags & TH_FIN))
        text_received(c, s);
}
