/* Selective acknowledgements that come in. They are advice (RFC 2018 8): what they say is marked,
 * and dropped only when snd_una passes it. */
#include "tcp_internal.h"

void sack_forget(struct tcp_conn *c)
{
    for (unsigned i = 0; i < TCP_SACK_BLOCKS; i++)
        c->sack_seen[i].at = NULL;
}

void sack_forget_before(struct tcp_conn *c, uint32_t ack)
{
    for (unsigned i = 0; i < TCP_SACK_BLOCKS; i++)
        if (c->sack_seen[i].at && seq_leq(seg_end(c->sack_seen[i].at), ack))
            c->sack_seen[i].at = NULL;
}

/* ---------------------------------------------------------- duplicates */

/* RFC 2883 4: the first block tells of a duplicate if it lies below the acknowledgement or within
 * the second. Nobody can have received more duplicates than we have sent. */
static bool is_dsack(const struct tcp_conn *c, const struct tcp_in *s)
{
    const struct tcp_range *b = s->sack;

    if (!seq_lt(b[0].start, b[0].end) || b[0].end - b[0].start > u32_max(c->snd_wnd_max, 65535) ||
        seq_lt(c->snd_nxt, b[0].end))
        return false;
    if (seq_leq(b[0].end, s->ack))
        return true;
    return s->nsack > 1 && seq_leq(b[1].start, b[0].start) && seq_leq(b[0].end, b[1].end) &&
           seq_lt(s->ack, b[1].start);
}

static void dsack_received(struct tcp_conn *c, struct tcp_acking *a)
{
    const struct tcp_range *b = a->in->sack;
    struct tcp_undo *u = &c->undo;
    uint32_t n = b->end - b->start;

    COUNT(c->t, dsacks_received);
    if (c->dsack_total == c->rtx_total)
        return;
    c->dsack_total++;
    a->dsack = true;
    rack_dsack(c);
    if (!u->on || seq_lt(b->start, u->marker))
        return;
    u->again -= u32_min(n, u->again);
    c->rack.reordering = true; /* it was late, not lost */
}

/* -------------------------------------------------------------- blocks */

/* RFC 2018 4: data above the acknowledgement that has been sent. */
static bool block_ok(const struct tcp_conn *c, const struct tcp_range *b)
{
    return seq_lt(b->start, b->end) && seq_lt(c->snd_una, b->start) &&
           seq_leq(b->end, c->snd_nxt) && b->end - b->start <= c->snd_nxt - c->snd_una;
}

/* Where a walk for a block that starts at `start` may begin. */
static struct tcp_seg *nearest(const struct tcp_conn *c, uint32_t start)
{
    struct tcp_seg *from = c->sq_head;

    for (unsigned i = 0; i < TCP_SACK_BLOCKS; i++) {
        struct tcp_seg *at = c->sack_seen[i].at;

        if (at && seq_leq(at->seq, start) && seq_lt(from->seq, at->seq))
            from = at;
    }
    return from;
}

/* The entry that holds `start` or ends there. */
static struct tcp_sack_seen *seen_find(struct tcp_conn *c, uint32_t start)
{
    for (unsigned i = 0; i < TCP_SACK_BLOCKS; i++) {
        struct tcp_sack_seen *e = &c->sack_seen[i];

        if (e->at && seq_leq(e->start, start) && seq_leq(start, e->end))
            return e;
    }
    return NULL;
}

static struct tcp_sack_seen *seen_new(struct tcp_conn *c, uint32_t start)
{
    struct tcp_sack_seen *e = &c->sack_seen[c->seen_next++ % TCP_SACK_BLOCKS];

    e->at = nearest(c, start);
    e->start = e->end = start;
    return e;
}

/* Marks what of `e` up to `end` is whole; where the steps run out the next ACK goes on. */
static void mark(struct tcp_conn *c, struct tcp_sack_seen *e, uint32_t end, unsigned *steps,
                 struct tcp_acking *a)
{
    struct tcp_seg *s = e->at;

    for (; s && seq_lt(s->seq, end) && *steps; s = s->next, --*steps) {
        e->at = s;
        if (seq_leq(seg_end(s), e->end) || seq_lt(s->seq, e->start))
            continue; /* on the way there */
        if (seq_lt(end, seg_end(s)))
            return;
        if (!(s->flags & SEG_SACKED))
            board_sacked(c, s, a);
        e->end = seg_end(s);
    }
}

void sack_received(struct tcp_conn *c, struct tcp_acking *a)
{
    const struct tcp_in *in = a->in;
    unsigned steps = TCP_SACK_WALK, i = 0;

    if (in->nsack && is_dsack(c, in)) {
        dsack_received(c, a);
        i = 1;
    }
    for (; i < in->nsack; i++) {
        const struct tcp_range *b = &in->sack[i];
        struct tcp_sack_seen *e;

        if (!block_ok(c, b)) {
            if (seq_lt(c->snd_una, b->end))
                COUNT(c->t, drop_bad_sack);
            continue;
        }
        e = seen_find(c, b->start);
        if (!e)
            e = seen_new(c, b->start);
        if (seq_lt(e->end, b->end))
            mark(c, e, b->end, &steps, a);
    }
}
