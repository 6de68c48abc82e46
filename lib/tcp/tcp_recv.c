/* Bytes that came. In order they wait as they were received, a chain of mbufs; out of order they
 * wait in runs, each a chain without gaps, sorted, with a gap of at least a byte between two runs.
 * (The runs are what SACK would report.)
 *
 * An mbuf costs the pool its whole buffer however little is in it, so small payloads are copied to
 * the end of the one before, and mbufs are counted, per connection and in all, not only bytes. */
#include "tcp_internal.h"

#include <rte_prefetch.h>

#define RUN(c, m) (&note_of((c)->t, (m))->run)

/* ------------------------------------------------------------- chains */

/* Frees one mbuf of a chain. */
static void piece_free(struct rte_mbuf *m)
{
    m->next = NULL;
    m->nb_segs = 1;
    rte_pktmbuf_free_seg(m);
}

/* Frees the first `n` bytes; returns how many mbufs went. *m is NULL when nothing is left. */
uint32_t chain_cut(struct rte_mbuf **m, uint32_t n)
{
    uint32_t freed = 0;

    while (*m && n >= (*m)->data_len) {
        struct rte_mbuf *next = (*m)->next;

        n -= (*m)->data_len;
        piece_free(*m);
        *m = next;
        freed++;
    }
    if (*m && n) {
        (*m)->data_off = (uint16_t)((*m)->data_off + n);
        (*m)->data_len = (uint16_t)((*m)->data_len - n);
    }
    return freed;
}

/* Keeps the first `keep` bytes, at least one, of a received packet. */
void chain_trim(struct rte_mbuf *m, uint32_t keep)
{
    while (keep > m->data_len) {
        keep -= m->data_len;
        m = m->next;
    }
    m->data_len = (uint16_t)keep;
    while (m->next) {
        struct rte_mbuf *next = m->next;

        m->next = next->next;
        piece_free(next);
    }
}

static uint32_t chain_free(struct rte_mbuf *m)
{
    uint32_t n = 0;

    while (m) {
        struct rte_mbuf *next = m->next;

        piece_free(m);
        m = next;
        n++;
    }
    return n;
}

static struct rte_mbuf *chain_last(struct rte_mbuf *m, uint32_t *count)
{
    *count = 1;
    while (m->next) {
        m = m->next;
        ++*count;
    }
    return m;
}

static void held_add(struct tcp_conn *c, uint32_t n)
{
    if (!c->rcv_mbufs)
        c->rx_moved_at = c->t->now;
    c->rcv_mbufs += n;
    c->t->rx_held += n;
}

static void held_sub(struct tcp_conn *c, uint32_t n)
{
    c->rcv_mbufs -= n;
    c->t->rx_held -= n;
}

/* True if the payload was copied behind what `tail` holds (and the segment's mbufs are free). */
static bool copied_to(struct rte_mbuf *tail, struct rte_mbuf *m, uint32_t len)
{
    if (len > TCP_COPY_MAX || !RTE_MBUF_DIRECT(tail) || rte_mbuf_refcnt_read(tail) != 1 ||
        rte_pktmbuf_tailroom(tail) < len)
        return false;
    for (struct rte_mbuf *p = m; p; p = p->next) {
        memcpy((char *)tail->buf_addr + tail->data_off + tail->data_len,
               rte_pktmbuf_mtod(p, const char *), p->data_len);
        tail->data_len = (uint16_t)(tail->data_len + p->data_len);
    }
    chain_free(m);
    return true;
}

/* May the pool spare the mbufs of one more segment for this connection? */
static bool may_hold(const struct tcp_conn *c)
{
    return c->rcv_mbufs < c->t->rcv_mbufs_max && c->t->rx_held < c->t->rx_hard;
}

/* ----------------------------------------------------------- in order */

static void rq_link(struct tcp_conn *c, struct rte_mbuf *head, struct rte_mbuf *tail)
{
    if (c->rq_tail)
        c->rq_tail->next = head;
    else
        c->rq_head = head;
    c->rq_tail = tail;
}

static void rcv_advance(struct tcp_conn *c, uint32_t n)
{
    c->rcv_nxt += n;
    c->rq_bytes += n;
    COUNT_ADD(c->t, rx_bytes, n);
}

static bool rq_append(struct tcp_conn *c, struct rte_mbuf *m, uint32_t len)
{
    uint32_t count;
    struct rte_mbuf *tail;

    if (!c->rq_tail || !copied_to(c->rq_tail, m, len)) {
        if (!may_hold(c)) {
            COUNT(c->t, drop_window_full);
            rte_pktmbuf_free(m);
            return false;
        }
        tail = chain_last(m, &count);
        held_add(c, count);
        rq_link(c, m, tail);
    }
    rcv_advance(c, len);
    return true;
}

/* Runs that the stream has reached join it. */
static void runs_join(struct tcp_conn *c)
{
    struct rte_mbuf *m;

    while ((m = c->run_head) != NULL && seq_leq(RUN(c, m)->seq, c->rcv_nxt)) {
        uint32_t seq = RUN(c, m)->seq, end = RUN(c, m)->end;
        struct rte_mbuf *tail = RUN(c, m)->tail, *next = RUN(c, m)->next;

        c->run_head = next;
        if (!next)
            c->run_tail = NULL;
        c->runs--;
        if (seq_lt(seq, c->rcv_nxt))
            blocks_dsack(c, seq, seq_lt(end, c->rcv_nxt) ? end : c->rcv_nxt);
        if (seq_leq(end, c->rcv_nxt)) {
            held_sub(c, chain_free(m));
            continue;
        }
        held_sub(c, chain_cut(&m, c->rcv_nxt - seq));
        rq_link(c, m, tail);
        rcv_advance(c, end - c->rcv_nxt);
    }
}

/* --------------------------------------------------------- out of order */

/* `r` takes in the runs behind it that it has come to touch; where both hold the same bytes those
 * of the later run go. */
static void run_absorb(struct tcp_conn *c, struct rte_mbuf *r)
{
    struct rte_mbuf *n;

    while ((n = RUN(c, r)->next) != NULL && seq_leq(RUN(c, n)->seq, RUN(c, r)->end)) {
        uint32_t seq = RUN(c, n)->seq, end = RUN(c, n)->end;
        struct rte_mbuf *tail = RUN(c, n)->tail;

        RUN(c, r)->next = RUN(c, n)->next;
        c->runs--;
        if (seq_lt(seq, RUN(c, r)->end))
            blocks_dsack(c, seq, seq_lt(end, RUN(c, r)->end) ? end : RUN(c, r)->end);
        if (seq_leq(end, RUN(c, r)->end)) {
            held_sub(c, chain_free(n));
            continue;
        }
        held_sub(c, chain_cut(&n, RUN(c, r)->end - seq));
        RUN(c, r)->tail->next = n;
        RUN(c, r)->tail = tail;
        RUN(c, r)->end = end;
    }
    if (!RUN(c, r)->next)
        c->run_tail = r;
}

/* [seq, end) starts within or right behind run `r` and reaches further. */
static bool run_extend(struct tcp_conn *c, struct rte_mbuf *r, struct rte_mbuf *m, uint32_t seq,
                       uint32_t end)
{
    uint32_t count;

    chain_cut(&m, RUN(c, r)->end - seq);
    if (!copied_to(RUN(c, r)->tail, m, end - RUN(c, r)->end)) {
        if (!may_hold(c)) {
            chain_free(m);
            return false;
        }
        RUN(c, r)->tail->next = m;
        RUN(c, r)->tail = chain_last(m, &count);
        held_add(c, count);
    }
    RUN(c, r)->end = end;
    return true;
}

static bool run_insert(struct tcp_conn *c, struct rte_mbuf *prev, struct rte_mbuf *m, uint32_t seq,
                       uint32_t end)
{
    uint32_t count;
    struct rte_mbuf *next = prev ? RUN(c, prev)->next : c->run_head, *tail;

    if (c->runs >= TCP_RUNS_MAX || !may_hold(c)) {
        chain_free(m);
        return false;
    }
    tail = chain_last(m, &count);
    held_add(c, count);
    RUN(c, m)->next = next;
    RUN(c, m)->tail = tail;
    RUN(c, m)->seq = seq;
    RUN(c, m)->end = end;
    if (prev)
        RUN(c, prev)->next = m;
    else
        c->run_head = m;
    c->runs++;
    return true;
}

/* The last run that starts at or before `seq`; most segments belong to the last of all. */
static struct rte_mbuf *run_before(struct tcp_conn *c, uint32_t seq)
{
    struct rte_mbuf *prev = NULL;

    if (c->run_tail && seq_leq(RUN(c, c->run_tail)->seq, seq))
        return c->run_tail;
    for (struct rte_mbuf *r = c->run_head; r && seq_leq(RUN(c, r)->seq, seq); r = RUN(c, r)->next)
        prev = r;
    return prev;
}

static void ooo_add(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint32_t end)
{
    struct rte_mbuf *prev = run_before(c, seq), *grown = prev;
    bool kept;

    COUNT(c->t, out_of_order);
    if (prev && seq_lt(seq, RUN(c, prev)->end))
        blocks_dsack(c, seq, seq_lt(end, RUN(c, prev)->end) ? end : RUN(c, prev)->end);
    if (prev && seq_leq(end, RUN(c, prev)->end)) {
        COUNT(c->t, drop_duplicate);
        chain_free(m);
        blocks_add(c, RUN(c, prev)->seq, RUN(c, prev)->end);
        return;
    }
    if (prev && seq_leq(seq, RUN(c, prev)->end)) {
        kept = run_extend(c, prev, m, seq, end);
    } else {
        kept = run_insert(c, prev, m, seq, end);
        grown = m;
    }
    if (!kept) {
        COUNT(c->t, drop_ooo_full);
        return;
    }
    run_absorb(c, grown);
    blocks_add(c, RUN(c, grown)->seq, RUN(c, grown)->end);
}

/* ------------------------------------------------------------- arrival */

/* Beyond RFC 9293 3.8.6.3 full segments are acknowledged one by one while the sender's window is
 * small: at the start, and after anything was out of order. */
static bool quick_ack(struct tcp_conn *c, uint32_t len)
{
    if (!c->quick_acks || len < c->mss)
        return false;
    c->quick_acks--;
    return true;
}

static void data_in_order(struct tcp_conn *c, uint32_t len)
{
    runs_join(c);
    if (quick_ack(c, len) || c->rcv_nxt - c->rcv_acked >= 2u * c->rcv_mss)
        conn_ack_now(c);
    else if (!(c->flags & CF_ACK_NOW))
        timer_set_sooner(c, TIMER_ACK, c->t->now + TCP_DELACK);
    conn_event(c, TCP_EV_READABLE);
}

bool recv_data(struct tcp_conn *c, struct tcp_in *s)
{
    struct rte_mbuf *m = s->m;
    bool gap = c->run_head != NULL;

    s->m = NULL;
    if (s->len > c->rcv_mss)
        c->rcv_mss = (uint16_t)u32_min(s->len, UINT16_MAX);
    if (seq_lt(c->rcv_nxt, s->seq)) {
        ooo_add(c, m, s->seq, s->seq + s->len);
        /* RFC 5681 4.2: at once, one for each. */
        if (c->dup_acks_owed < UINT8_MAX)
            c->dup_acks_owed++;
        c->quick_acks = TCP_QUICK_ACKS;
        conn_ack_now(c);
        return false;
    }
    if (s->seq != c->rcv_nxt)
        blocks_dsack(c, s->seq, c->rcv_nxt);
    chain_cut(&m, c->rcv_nxt - s->seq); /* some of it is left: the caller has seen to that */
    if (!rq_append(c, m, s->seq + s->len - c->rcv_nxt)) {
        conn_ack_now(c);
        return false;
    }
    if (gap) { /* RFC 5681 4.2: a segment that fills part of a gap, at once */
        c->dup_acks_owed = 0;
        conn_ack_now(c);
    }
    data_in_order(c, s->len);
    return true;
}

void recv_free_runs(struct tcp_conn *c)
{
    for (struct rte_mbuf *r = c->run_head, *next; r; r = next) {
        next = RUN(c, r)->next;
        held_sub(c, chain_free(r));
    }
    c->run_head = c->run_tail = NULL;
    c->runs = 0;
    blocks_clear(c);
}

void recv_free(struct tcp_conn *c)
{
    recv_free_runs(c);
    held_sub(c, chain_free(c->rq_head));
    c->rq_head = c->rq_tail = NULL;
    c->rq_bytes = 0;
}

/* -------------------------------------------------------------- window */

static uint32_t rcv_room(const struct tcp_conn *c)
{
    return c->rcvbuf > c->rq_bytes ? c->rcvbuf - c->rq_bytes : 0;
}

/* RFC 9293 3.8.6.2.2: the right edge moves in steps worth having. It never moves left, but for what
 * scaling rounds off (RFC 7323 2.4), and that much is still accepted: rcv_edge remembers. */
uint16_t recv_window(struct tcp_conn *c)
{
    uint32_t room, field;
    int32_t promised = (int32_t)(c->rcv_edge - c->rcv_nxt);
    uint32_t wnd = promised > 0 ? (uint32_t)promised : 0;

    pressure_fit_window(c);
    room = rcv_room(c);
    if (room > wnd && room - wnd >= u32_min(c->rcvbuf / 2, c->rcv_mss))
        wnd = room;
    field = u32_min(wnd >> c->rcv_scale, UINT16_MAX);
    c->rcv_edge = seq_max(c->rcv_edge, c->rcv_nxt + (field << c->rcv_scale));
    return (uint16_t)field;
}

/* An ACK only to open the window: when the peer may be waiting for it, or a good part is free. */
static bool window_update_due(const struct tcp_conn *c)
{
    uint32_t wnd = c->rcv_edge - c->rcv_nxt, room = rcv_room(c), gain;

    if (!conn_receives(c) || (int32_t)wnd < 0 || room <= wnd)
        return false;
    gain = room - wnd;
    if (wnd < 2u * c->rcv_mss)
        return gain >= u32_min(c->rcvbuf / 2, c->rcv_mss);
    return gain >= u32_max(c->rcvbuf / 4, 2u * c->rcv_mss);
}

/* The buffer grows to twice what the owner reads in a round trip, so that the window never holds
 * back a peer whose data is wanted, and by as much again as it reads more than in the round trip
 * before: the peer's window doubles while we measure. Not while mbufs are scarce. */
static void rcvbuf_grow(struct tcp_conn *c, uint32_t n)
{
    struct tcp *t = c->t;
    uint32_t rtt = (c->flags & CF_HAVE_SRTT) ? c->srtt_us : 100000, more;
    uint64_t want;

    c->grow_bytes += n;
    if (t->now - c->grow_at < rtt)
        return;
    more = c->grow_bytes > c->grow_before ? c->grow_bytes - c->grow_before : 0;
    want = 2 * (uint64_t)c->grow_bytes + 2 * (uint64_t)more + 16u * c->rcv_mss;
    if (!pressure_short(t) && want > c->rcvbuf)
        c->rcvbuf = want < t->cfg.rcvbuf_max ? (uint32_t)want : t->cfg.rcvbuf_max;
    c->grow_at = t->now;
    c->grow_before = c->grow_bytes;
    c->grow_bytes = 0;
}

/* ------------------------------------------------------------- reading */

size_t tcp_readable(const struct tcp_conn *c)
{
    return c->rq_bytes;
}

bool tcp_eof(const struct tcp_conn *c)
{
    return (c->flags & CF_FIN_RECEIVED) && c->rq_bytes == 0;
}

size_t tcp_peek(const struct tcp_conn *c, void *buf, size_t n)
{
    size_t done = 0;

    for (struct rte_mbuf *m = c->rq_head; m && done < n; m = m->next) {
        size_t take = m->data_len < n - done ? m->data_len : n - done;

        memcpy((char *)buf + done, rte_pktmbuf_mtod(m, const char *), take);
        done += take;
    }
    return done;
}

/* What of the first mbuf is read; whole mbufs are freed. */
static size_t read_piece(struct tcp_conn *c, char *to, size_t n)
{
    struct rte_mbuf *m = c->rq_head, *next = m->next;

    if (next)
        rte_prefetch0(rte_pktmbuf_mtod(next, const char *));
    if (n < m->data_len) {
        memcpy(to, rte_pktmbuf_mtod(m, const char *), n);
        m->data_off = (uint16_t)(m->data_off + n);
        m->data_len = (uint16_t)(m->data_len - n);
        return n;
    }
    n = m->data_len;
    memcpy(to, rte_pktmbuf_mtod(m, const char *), n);
    piece_free(m);
    held_sub(c, 1);
    c->rq_head = next;
    if (!next)
        c->rq_tail = NULL;
    return n;
}

size_t tcp_read(struct tcp_conn *c, void *buf, size_t n)
{
    size_t done = 0;

    while (done < n && c->rq_head)
        done += read_piece(c, (char *)buf + done, n - done);
    if (!done)
        return 0;
    c->rq_bytes -= (uint32_t)done;
    c->rx_moved_at = c->t->now;
    if (c->flags & CF_OVER) {
        /* Closed both ways while bytes were waiting: the end is told after the last of them. */
        if (!c->rq_bytes)
            conn_event(c, TCP_EV_CLOSED);
        return done;
    }
    rcvbuf_grow(c, (uint32_t)done);
    pressure_fit_window(c);
    if (window_update_due(c))
        conn_ack_now(c);
    return done;
}
