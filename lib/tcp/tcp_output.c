/* What leaves. An mbuf of the send queue goes down as it is, a reference added and the header
 * written into its own head-room, when nobody else holds it; else (it was sent before and the port
 * has not let go of it, or the bytes start in its middle) a header mbuf goes down with an indirect
 * mbuf on the same bytes behind it. Payload is copied only if the port below cannot take a chain.
 */
#include "tcp_internal.h"

#define NOTE(c, m) (&note_of((c)->t, (m))->send)

/* A segment to be: a part of one queued mbuf, or nothing but FIN. */
struct chunk {
    struct rte_mbuf *m;
    uint32_t seq;
    uint16_t off, len;
    bool fin;
};

enum verdict { SEND, NOTHING, WAIT_CWND, WAIT_WINDOW };

/* ------------------------------------------------------------ sending one */

static struct rte_mbuf *payload_in_place(const struct chunk *k)
{
    struct rte_mbuf *m = k->m;

    rte_mbuf_refcnt_update(m, 1);
    m->data_off = k->off;
    m->data_len = k->len;
    m->pkt_len = k->len;
    m->next = NULL;
    m->nb_segs = 1;
    m->ol_flags = 0;
    return m;
}

static struct rte_mbuf *payload_copied(struct tcp *t, const struct chunk *k)
{
    struct rte_mbuf *m = control_mbuf(t);

    if (!m)
        return NULL;
    memcpy(rte_pktmbuf_mtod(m, char *), (const char *)k->m->buf_addr + k->off, k->len);
    m->data_len = k->len;
    m->pkt_len = k->len;
    return m;
}

static struct rte_mbuf *payload_attached(struct tcp *t, const struct chunk *k)
{
    struct rte_mbuf *h = control_mbuf(t), *i;

    if (!h)
        return NULL;
    i = rte_pktmbuf_alloc(t->lower.pool);
    if (!i) {
        COUNT(t, drop_no_mbuf);
        rte_pktmbuf_free_seg(h);
        return NULL;
    }
    rte_pktmbuf_attach(i, k->m);
    i->ol_flags = RTE_MBUF_F_INDIRECT;
    i->data_off = k->off;
    i->data_len = k->len;
    h->next = i;
    h->nb_segs = 2;
    h->pkt_len = k->len;
    return h;
}

static struct rte_mbuf *payload(struct tcp_conn *c, const struct chunk *k)
{
    if (!k->m)
        return control_mbuf(c->t);
    if (rte_mbuf_refcnt_read(k->m) == 1 && k->seq == NOTE(c, k->m)->seq)
        return payload_in_place(k);
    return c->t->lower.linear ? payload_copied(c->t, k) : payload_attached(c->t, k);
}

static bool chunk_send(struct tcp_conn *c, const struct chunk *k)
{
    struct rte_mbuf *m = payload(c, k);
    uint8_t flags = k->fin ? TH_FIN : 0;

    if (!m)
        return false;
    if (k->len && k->seq + k->len == c->snd_end)
        flags |= TH_PSH;
    segment_send(c, m, k->seq, flags);
    COUNT_ADD(c->t, tx_bytes, k->len);
    c->snd_at = c->t->now;
    return true;
}

/* --------------------------------------------------------- what to send */

static struct chunk chunk_at(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq)
{
    struct chunk k = {.m = m, .seq = seq};
    uint32_t skip, left;

    if (m) {
        skip = seq - NOTE(c, m)->seq;
        left = NOTE(c, m)->len - skip;
        k.off = (uint16_t)(NOTE(c, m)->off + skip);
        k.len = (uint16_t)u32_min(left, c->mss);
    }
    k.fin = (c->flags & CF_FIN_QUEUED) && seq + k.len == c->snd_end;
    return k;
}

/* cwnd less flight, with a segment more for each of the first duplicate ACKs (RFC 3042). */
static int64_t cwnd_room(const struct tcp_conn *c)
{
    int64_t room = (int64_t)c->cwnd - (int64_t)(uint32_t)(c->snd_nxt - c->snd_una);

    if (!(c->flags & (CF_RECOVERY | CF_LOSS)))
        room += (int64_t)c->mss * (c->dup_acks < 2 ? c->dup_acks : 2);
    return room;
}

/* The sender's silly-window avoidance (RFC 9293 3.8.6.2.1) without Nagle's rule: what is queued in
 * full goes at once, a segment is cut to the window only if the cut is worth half the largest
 * window seen; otherwise the persist timer sees to it. */
static enum verdict chunk_next(struct tcp_conn *c, struct chunk *k)
{
    int32_t wnd = (int32_t)(c->snd_una + c->snd_wnd - c->snd_nxt);
    int64_t cwnd = cwnd_room(c);

    if (!c->sq_next && (!(c->flags & CF_FIN_QUEUED) || c->snd_nxt != c->snd_end))
        return NOTHING;
    *k = chunk_at(c, c->sq_next, c->snd_nxt);
    if (k->len + (k->fin && !k->len) > cwnd)
        return WAIT_CWND;
    if (k->fin && k->len && k->len + 1 > wnd)
        k->fin = false;
    if (k->len + k->fin <= wnd)
        return SEND;
    if (wnd <= 0 || k->len <= wnd || (uint32_t)wnd < c->snd_wnd_max / 2)
        return WAIT_WINDOW;
    k->len = (uint16_t)wnd;
    k->fin = false;
    return SEND;
}

static void sent(struct tcp_conn *c, const struct chunk *k)
{
    uint32_t end = k->seq + k->len + k->fin;

    if (seq_lt(c->snd_max, end)) {
        if (c->snd_nxt == c->snd_max)
            rtt_start(c, end);
        c->snd_max = end;
    }
    c->snd_nxt = end;
    if (c->sq_next && seq_leq(NOTE(c, c->sq_next)->seq + NOTE(c, c->sq_next)->len, end))
        c->sq_next = NOTE(c, c->sq_next)->next;
}

/* The segment at snd_una once more; snd_nxt stays. */
static bool send_again(struct tcp_conn *c)
{
    struct chunk k = chunk_at(c, c->sq_head, c->snd_una);

    c->flags &= ~(uint32_t)CF_RETRANSMIT;
    if (!c->sq_head && !k.fin)
        return true;
    /* Nothing that was not sent before: it might exceed the window. */
    k.len = (uint16_t)u32_min(k.len, c->snd_max - c->snd_una);
    k.fin = k.fin && seq_lt(c->snd_una + k.len, c->snd_max);
    if (!k.len && !k.fin)
        return true;
    if (chunk_send(c, &k)) {
        timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
        return true;
    }
    c->flags |= CF_RETRANSMIT;
    return false;
}

/* RFC 9293 3.8.6.1: the first byte beyond the window, or, when a sliver is open, what fits it (the
 * override of silly-window avoidance). snd_nxt does not count the byte: if it was refused it goes
 * again with the segment it belongs to. */
static void send_probe(struct tcp_conn *c)
{
    int32_t wnd = (int32_t)(c->snd_una + c->snd_wnd - c->snd_nxt);
    struct chunk k;

    c->flags &= ~(uint32_t)CF_PROBE_DUE;
    if (!c->sq_next && (!(c->flags & CF_FIN_QUEUED) || c->snd_nxt != c->snd_end))
        return;
    k = chunk_at(c, c->sq_next, c->snd_nxt);
    if (k.len) {
        k.len = (uint16_t)u32_min(k.len, wnd > 1 ? (uint32_t)wnd : 1);
        k.fin = false;
    }
    if (!chunk_send(c, &k))
        return; /* the timer comes again */
    COUNT(c->t, probes_sent);
    if (wnd > 0)
        sent(c, &k);
    else
        c->snd_max = seq_max(c->snd_max, k.seq + k.len + k.fin);
}

/* RFC 9293 3.8.4: a segment that the peer has seen already, so that it must answer. */
static void send_keepalive(struct tcp_conn *c)
{
    struct rte_mbuf *m = control_mbuf(c->t);

    c->flags &= ~(uint32_t)CF_KEEP_DUE;
    if (m) {
        COUNT(c->t, keepalives_sent);
        segment_send(c, m, c->snd_una - 1, 0);
    }
}

/* The number that a pure ACK bears: the highest sent, since after a time-out snd_nxt lies behind
 * what the peer has; but never beyond its window, where it would not look. */
uint32_t conn_ack_seq(const struct tcp_conn *c)
{
    uint32_t edge = c->snd_una + c->snd_wnd;

    return seq_lt(edge, c->snd_max) ? edge : c->snd_max;
}

/* ---------------------------------------------------------- a connection */

/* The timer that what is queued needs, once output has done what it could. */
static void arm(struct tcp_conn *c, enum verdict v)
{
    if (c->snd_nxt != c->snd_una) {
        c->flags &= ~(uint32_t)CF_PERSIST;
        if (c->deadline[TIMER_RTX] == TCP_NEVER)
            timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
    } else if (v == WAIT_WINDOW && !(c->flags & CF_PERSIST)) {
        c->flags |= CF_PERSIST;
        c->rtx_shift = 0;
        c->rtx_count = 0;
        timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
    }
}

static void window_is_open(struct tcp_conn *c)
{
    if (!(c->flags & CF_PERSIST))
        return;
    /* A fresh retransmission timer, not what is left of the other. */
    c->flags &= ~(uint32_t)CF_PERSIST;
    timer_clear(c, TIMER_RTX);
}

static void output_data(struct tcp_conn *c)
{
    enum verdict v = NOTHING;
    struct chunk k;
    bool mbufs = true;

    if (c->snd_una == c->snd_max && c->t->now - c->snd_at > rto_now(c))
        cc_restart(c);
    if (c->flags & CF_RETRANSMIT)
        mbufs = send_again(c);
    if (c->flags & CF_PROBE_DUE)
        send_probe(c);
    for (unsigned n = 0; mbufs && n < TCP_BURST && (v = chunk_next(c, &k)) == SEND; n++) {
        window_is_open(c);
        mbufs = chunk_send(c, &k);
        if (mbufs)
            sent(c, &k);
    }
    if (v == WAIT_CWND)
        c->flags |= CF_CWND_LIMITED;
    else if (v != SEND)
        c->flags &= ~(uint32_t)CF_CWND_LIMITED;
    if (!mbufs || v == SEND)
        conn_output_later(c);
    arm(c, v);
}

/* What is owed and no data has carried. Duplicate ACKs go one by one: data would hide them. */
static void output_acks(struct tcp_conn *c)
{
    unsigned n = c->dup_acks_owed;
    struct rte_mbuf *m;

    if (!n && (c->flags & CF_ACK_NOW))
        n = 1;
    c->dup_acks_owed = 0;
    for (; n; n--) {
        m = control_mbuf(c->t);
        if (!m) {
            c->dup_acks_owed = (uint8_t)n;
            conn_output_later(c);
            return;
        }
        segment_send(c, m, conn_ack_seq(c), 0);
    }
}

static void output_syn(struct tcp_conn *c)
{
    struct rte_mbuf *m;

    if (!(c->flags & CF_SYN_DUE)) {
        if (c->state == TCP_SYN_RECEIVED)
            output_acks(c);
        return;
    }
    m = control_mbuf(c->t);
    if (!m) {
        conn_output_later(c);
        return;
    }
    c->flags &= ~(uint32_t)CF_SYN_DUE;
    c->dup_acks_owed = 0;
    if (c->snd_max == c->iss)
        rtt_start(c, c->iss + 1);
    c->snd_nxt = c->snd_max = c->iss + 1;
    segment_send_syn(c, m);
    if (c->deadline[TIMER_RTX] == TCP_NEVER)
        timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
}

void conn_output(struct tcp_conn *c)
{
    if (c->state < TCP_ESTABLISHED) {
        output_syn(c);
        return;
    }
    if (c->flags & CF_KEEP_DUE)
        send_keepalive(c);
    output_data(c);
    output_acks(c);
}
