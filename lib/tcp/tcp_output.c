/* What leaves. An mbuf of the send queue goes down as it is, a reference added and the header
 * written into its own head-room, when nobody else holds it; else (it was sent before and the port
 * has not let go of it, or the bytes start in its middle) a header mbuf goes down with an indirect
 * mbuf on the same bytes behind it. Payload is copied only if the port below cannot take a chain.
 */
#include "tcp_internal.h"

/* What goes into one segment: of a queued one all, or for a probe its first byte. */
struct chunk {
    struct rte_mbuf *m;
    uint32_t seq;
    uint16_t off, len;
    bool fin;
};

enum verdict { SENT, NOTHING, WAIT_CWND, WAIT_WINDOW, NO_MBUF };

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
    if (rte_mbuf_refcnt_read(k->m) == 1)
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

static bool seg_send(struct tcp_conn *c, struct tcp_seg *s)
{
    struct chunk k = {s->m, s->seq, s->off, s->len, (s->flags & SEG_FIN) != 0};

    if (!chunk_send(c, &k))
        return false;
    if ((s->flags & SEG_SENT) && (c->flags & CF_RECOVERY))
        COUNT(c->t, retransmits_fast);
    board_sent(c, s);
    return true;
}

/* --------------------------------------------------------- what to send */

/* In recovery the window opens by less than a segment at a time: any opening lets one go, and
 * prr_out has it smaller next time. */
static bool cwnd_allows(const struct tcp_conn *c, uint32_t n)
{
    uint32_t pipe = board_pipe(c);

    if (c->flags & CF_RECOVERY)
        return pipe < c->cwnd;
    return pipe + n <= c->cwnd;
}

static int32_t window_after(const struct tcp_conn *c, uint32_t seq)
{
    return (int32_t)(c->snd_una + c->snd_wnd - seq);
}

/* These cut `s` where it is larger: its data to a segment, all of it to the window. */
static bool cut_to_mss(struct tcp_conn *c, struct tcp_seg *s)
{
    return s->len <= c->mss || seg_split(c, s, c->mss);
}

static bool cut_to_window(struct tcp_conn *c, struct tcp_seg *s, int32_t wnd)
{
    return seg_span(s) <= (uint32_t)wnd || seg_split(c, s, u32_min((uint32_t)wnd, s->len));
}

/* What a segment takes of cwnd: FIN nothing beyond a full segment, or a window of one segment would
 * hold the last one up for ever. */
static uint32_t cwnd_share(const struct tcp_conn *c, const struct tcp_seg *s)
{
    return u32_min(seg_span(s), c->mss);
}

/* Once more what is lost, the lowest first; beyond the peer's window only if nothing else could
 * make it speak, and that the time-out sees to. */
static enum verdict output_lost(struct tcp_conn *c)
{
    struct tcp_seg *s = TAILQ_FIRST(&c->lost);
    int32_t wnd;

    if (!s)
        return NOTHING;
    wnd = window_after(c, s->seq);
    if (!cwnd_allows(c, cwnd_share(c, s)))
        return WAIT_CWND;
    if (wnd <= 0 || (seg_span(s) > (uint32_t)wnd && s != c->sq_head))
        return WAIT_WINDOW;
    if (!cut_to_mss(c, s) || !cut_to_window(c, s, wnd))
        return NO_MBUF;
    return seg_send(c, s) ? SENT : NO_MBUF;
}

/* So many small segments are out that what a record of each costs matters more than a round trip:
 * Nagle's rule. */
static bool hold_small(const struct tcp_conn *c, const struct tcp_seg *s)
{
    return s->len < c->mss && !(s->flags & SEG_FIN) && !s->next &&
           c->sq_segs > c->t->sq_segs_soft && !TAILQ_EMPTY(&c->flight);
}

/* The sender's silly-window avoidance (RFC 9293 3.8.6.2.1) without Nagle's rule: what is queued in
 * full goes at once, a segment is cut to the window only if the cut is worth half the largest
 * window seen; otherwise the persist timer sees to it. */
static enum verdict output_new(struct tcp_conn *c)
{
    struct tcp_seg *s = c->sq_next;
    uint32_t span;
    int32_t wnd;

    if (!s || hold_small(c, s))
        return NOTHING;
    if (!cut_to_mss(c, s))
        return NO_MBUF;
    span = seg_span(s);
    wnd = window_after(c, s->seq);
    if (!cwnd_allows(c, cwnd_share(c, s)))
        return WAIT_CWND;
    if (wnd <= 0 ||
        (span > (uint32_t)wnd && s->len != (uint32_t)wnd && (uint32_t)wnd < c->snd_wnd_max / 2))
        return WAIT_WINDOW;
    if (!cut_to_window(c, s, wnd))
        return NO_MBUF;
    return seg_send(c, s) ? SENT : NO_MBUF;
}

/* RFC 8985 7.3: new data if there is any and the window allows, else the last segment once more. */
static void output_tlp(struct tcp_conn *c)
{
    struct tcp_seg *s = c->sq_next, *last = TAILQ_LAST(&c->flight, tcp_segs);
    bool fresh = s && s->len <= c->mss && (int32_t)seg_span(s) <= window_after(c, s->seq);

    c->flags &= ~(uint32_t)CF_TLP_DUE;
    if (!fresh)
        s = last;
    if (!s || s->len > c->mss || !seg_send(c, s))
        return; /* the time-out will see to it */
    COUNT(c->t, tlp_probes);
    c->tlp_end = c->snd_nxt;
    c->flags |= fresh ? CF_TLP : CF_TLP | CF_TLP_AGAIN;
    timer_set(c, TIMER_RTX, c->t->now + rto_now(c));
}

/* RFC 9293 3.8.6.1: the first byte beyond the window, or, when a sliver is open, what fits it (the
 * override of silly-window avoidance). snd_nxt does not count the byte: if it was refused it goes
 * again with the segment it belongs to. */
static void send_probe(struct tcp_conn *c)
{
    struct tcp_seg *s = c->sq_head;
    struct chunk k;
    int32_t wnd;

    c->flags &= ~(uint32_t)CF_PROBE_DUE;
    if (!s)
        return;
    wnd = window_after(c, s->seq);
    if (wnd > 0) {
        if (cut_to_mss(c, s) && cut_to_window(c, s, wnd) && seg_send(c, s))
            COUNT(c->t, probes_sent);
        return;
    }
    k = (struct chunk){s->m, s->seq, s->off, s->len != 0, s->len == 0};
    if (!chunk_send(c, &k))
        return; /* the timer comes again */
    COUNT(c->t, probes_sent);
    c->snd_max = seq_max(c->snd_max, s->seq + 1);
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
    if (!TAILQ_EMPTY(&c->flight)) {
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

/* A fresh retransmission timer, not what is left of the persist timer. */
static void window_is_open(struct tcp_conn *c)
{
    if (!(c->flags & CF_PERSIST))
        return;
    c->flags &= ~(uint32_t)CF_PERSIST;
    timer_clear(c, TIMER_RTX);
}

static enum verdict output_one(struct tcp_conn *c)
{
    enum verdict v = output_lost(c);

    if (v == NOTHING)
        v = output_new(c);
    if (v == SENT)
        window_is_open(c);
    return v;
}

static void output_data(struct tcp_conn *c)
{
    uint32_t before = c->snd_nxt;
    enum verdict v = NOTHING;

    if (c->snd_una == c->snd_max && c->t->now - c->snd_at > rto_now(c))
        cc_restart(c);
    if (c->flags & CF_PROBE_DUE)
        send_probe(c);
    if (c->flags & CF_TLP_DUE)
        output_tlp(c);
    for (unsigned n = 0; n < TCP_BURST && (v = output_one(c)) == SENT; n++)
        ;
    if (v == WAIT_CWND)
        c->flags |= CF_CWND_LIMITED;
    else if (v == NOTHING || v == WAIT_WINDOW)
        c->flags &= ~(uint32_t)CF_CWND_LIMITED;
    if (v == NO_MBUF || v == SENT)
        conn_output_later(c);
    arm(c, v);
    if (c->snd_nxt != before)
        tlp_schedule(c);
}

/* What is owed and no data has carried. Duplicate ACKs go one by one: data would hide them. */
static void output_acks(struct tcp_conn *c)
{
    unsigned n = c->dup_acks_owed;
    struct rte_mbuf *m;

    if (n && (c->flags & CF_SACK)) /* one tells of all, as far as there is room for blocks */
        n = blocks_acks(c);
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
        rtt_syn_sent(c);
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
