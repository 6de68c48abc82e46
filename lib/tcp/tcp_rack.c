/* RACK (RFC 8985 6): a segment is lost if one sent sufficiently later has been delivered. "In
 * flight" is a list by the time sent, so a look for losses ends at the first segment that may still
 * come, and each segment is passed once for each time it was sent. */
#include "tcp_internal.h"

#define PERSIST  16u
#define MULT_MAX 64u /* the window ends at a round trip anyway */

/* RFC 8985 6.2 "RACK_sent_after". */
static bool sent_after(uint64_t at1, uint32_t end1, uint64_t at2, uint32_t end2)
{
    return at1 > at2 || (at1 == at2 && seq_lt(end2, end1));
}

/* ---------------------------------------------------------- deliveries */

/* The least round trip of the last five minutes, as an estimate from below: the least of this
 * window and the one before (6.2 step 1). */
static void min_rtt_update(struct tcp_rack *r, uint32_t rtt, uint64_t now)
{
    if (now >= r->min_rtt_until) {
        r->min_rtt_us = r->next_min_us ? r->next_min_us : rtt;
        r->next_min_us = rtt;
        r->min_rtt_until = now + TCP_MIN_RTT_WINDOW;
    }
    r->next_min_us = u32_min(r->next_min_us, rtt);
    r->min_rtt_us = u32_min(r->min_rtt_us, rtt);
}

/* Is it the first sending that has been acknowledged, not the last (6.2 step 2)? */
static bool ambiguous(const struct tcp_conn *c, const struct tcp_seg *s, const struct tcp_in *in,
                      uint32_t rtt)
{
    uint32_t sent_ms = (uint32_t)(s->sent_at / 1000) + c->ts_offset;

    if (!(s->flags & SEG_RTX))
        return false;
    if ((c->flags & CF_TS) && in->has_ts && in->tsecr && seq_lt(in->tsecr, sent_ms))
        return true;
    return rtt < c->rack.min_rtt_us;
}

void rack_delivered(struct tcp_conn *c, const struct tcp_seg *s, const struct tcp_in *in)
{
    struct tcp_rack *r = &c->rack;
    uint64_t ago = c->t->now - s->sent_at;
    uint32_t rtt = ago < TCP_RTO_MAX ? u32_max((uint32_t)ago, 1) : TCP_RTO_MAX, end = seg_end(s);

    /* Step 3: something first sent long before what has arrived. */
    if (!r->sent_at || seq_lt(r->fack, end))
        r->fack = end;
    else if (seq_lt(end, r->fack) && !(s->flags & SEG_RTX))
        r->reordering = true;
    if (ambiguous(c, s, in, rtt))
        return;
    if (!(s->flags & SEG_RTX))
        min_rtt_update(r, rtt, c->t->now);
    if (!r->sent_at || sent_after(s->sent_at, end, r->sent_at, r->end)) {
        r->sent_at = s->sent_at;
        r->end = end;
        r->rtt_us = rtt;
    }
}

/* ---------------------------------------------------- reordering window */

/* Step 4: wider by a quarter of the least round trip for each round in which something was sent
 * again for nothing, for 16 recoveries that were not undone. */
void rack_dsack(struct tcp_conn *c)
{
    struct tcp_rack *r = &c->rack;

    if (r->in_dsack_round)
        return;
    r->in_dsack_round = true;
    r->dsack_round = c->snd_nxt;
    r->mult = (uint8_t)u32_min(r->mult + 1u, MULT_MAX);
    r->persist = PERSIST;
}

void rack_recovered(struct tcp_conn *c)
{
    struct tcp_rack *r = &c->rack;

    if (r->persist && --r->persist == 0)
        r->mult = 0;
}

static uint32_t reorder_window(const struct tcp_conn *c)
{
    const struct tcp_rack *r = &c->rack;

    if (!r->reordering &&
        ((c->flags & (CF_RECOVERY | CF_LOSS)) || c->sacked_segs >= TCP_DUP_THRESH))
        return 0;
    return u32_min((r->mult + 1u) * (r->min_rtt_us / 4), c->srtt_us);
}

/* ------------------------------------------------------------ detection */

static int64_t time_left(const struct tcp_conn *c, const struct tcp_seg *s)
{
    return (int64_t)(s->sent_at + c->rack.rtt_us + reorder_window(c)) - (int64_t)c->t->now;
}

/* After a time-out: too early to call it lost? */
bool rack_maybe_there(const struct tcp_conn *c, const struct tcp_seg *s)
{
    return (c->flags & CF_SACK) && c->rack.sent_at && time_left(c, s) > 0;
}

/* Step 5. */
void rack_detect(struct tcp_conn *c, struct tcp_acking *a)
{
    struct tcp_rack *r = &c->rack;
    struct tcp_seg *s;
    int64_t left;

    if (r->in_dsack_round && seq_leq(r->dsack_round, c->snd_una))
        r->in_dsack_round = false;
    timer_clear(c, TIMER_REO);
    if (!(c->flags & CF_SACK) || !r->sent_at)
        return;
    while ((s = TAILQ_FIRST(&c->flight)) != NULL &&
           sent_after(r->sent_at, r->end, s->sent_at, seg_end(s))) {
        left = time_left(c, s);
        if (left > 0) {
            timer_set(c, TIMER_REO, c->t->now + (uint64_t)left);
            return;
        }
        a->lost += seg_span(s);
        board_lost(c, s);
    }
}
