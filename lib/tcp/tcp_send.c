/* Bytes to send, cut into segments, held until acknowledged. */
#include "tcp_internal.h"

#include <stdlib.h>

#define SNDBUF_SHARE      4 /* a quarter free: worth telling the owner */
#define SNDBUF_WINDOWS    4 /* of the peer's: one in flight, the others at hand when it opens */
#define SNDBUF_SEGS_LEAST 8u

/* ----------------------------------------------------------- the table */

bool segs_new(struct tcp *t)
{
    uint32_t n = t->tx_max + t->tx_max / 4; /* the last fifth is for segments that are cut */

    t->segs = aligned_alloc(64, (size_t)n * sizeof(*t->segs));
    if (!t->segs)
        return false;
    memset(t->segs, 0, (size_t)n * sizeof(*t->segs));
    for (uint32_t i = n; i-- > 0; t->seg_free = &t->segs[i])
        t->segs[i].next = t->seg_free;
    return true;
}

static struct tcp_seg *seg_take(struct tcp *t)
{
    struct tcp_seg *s = t->seg_free;

    if (!s)
        return NULL;
    t->seg_free = s->next;
    t->tx_held++;
    *s = (struct tcp_seg){0};
    return s;
}

static void seg_put(struct tcp_conn *c, struct tcp_seg *s)
{
    struct tcp *t = c->t;

    if (s->m)
        rte_pktmbuf_free_seg(s->m);
    c->sq_segs--;
    if (s == &c->fin)
        return;
    s->m = NULL;
    s->next = t->seg_free;
    t->seg_free = s;
    t->tx_held--;
}

static void seg_link(struct tcp_conn *c, struct tcp_seg *s)
{
    if (c->sq_tail)
        c->sq_tail->next = s;
    else
        c->sq_head = s;
    c->sq_tail = s;
    if (!c->sq_next)
        c->sq_next = s;
    if (!c->sq_segs++)
        c->tx_moved_at = c->t->now;
}

/* What stands behind the cut takes its place beside the first part in whatever list that is in. */
static void split_list(struct tcp_conn *c, struct tcp_seg *s, struct tcp_seg *rest)
{
    if (s->flags & SEG_LOST)
        TAILQ_INSERT_AFTER(&c->lost, s, rest, order);
    else if ((s->flags & (SEG_SENT | SEG_SACKED)) == SEG_SENT)
        TAILQ_INSERT_AFTER(&c->flight, s, rest, order);
    else if (s->flags & SEG_SACKED)
        c->sacked_segs++;
}

bool seg_split(struct tcp_conn *c, struct tcp_seg *s, uint32_t n)
{
    struct tcp_seg *rest = n == s->len ? &c->fin : seg_take(c->t);

    if (!rest)
        return false;
    *rest = *s;
    if (rest == &c->fin)
        rest->m = NULL;
    else
        rte_mbuf_refcnt_update(s->m, 1);
    rest->seq += n;
    rest->off = (uint16_t)(rest->off + n);
    rest->len = (uint16_t)(rest->len - n);
    s->len = (uint16_t)n;
    s->flags &= (uint8_t)~SEG_FIN;
    split_list(c, s, rest);
    s->next = rest;
    if (c->sq_tail == s)
        c->sq_tail = rest;
    c->sq_segs++;
    return true;
}

/* ------------------------------------------------------------- writing */

/* More bytes for the last segment as long as it has not been sent. What a reader below may still
 * hold of its mbuf is not touched: bytes are only added behind it. */
static size_t fill_tail(struct tcp_conn *c, const char *p, size_t n)
{
    struct tcp_seg *s = c->sq_tail;
    size_t room, end;

    if (!s || (s->flags & SEG_SENT) || s->len >= c->mss)
        return 0;
    end = (size_t)s->off + s->len;
    room = (size_t)c->mss - s->len;
    if (room > s->m->buf_len - end)
        room = s->m->buf_len - end;
    if (n > room)
        n = room;
    if (!n)
        return 0;
    memcpy((char *)s->m->buf_addr + end, p, n);
    s->len = (uint16_t)(s->len + n);
    c->snd_end += (uint32_t)n;
    return n;
}

static size_t fill_new(struct tcp_conn *c, const char *p, size_t n)
{
    struct tcp *t = c->t;
    struct rte_mbuf *m = t->tx_held < t->tx_max ? rte_pktmbuf_alloc(t->lower.pool) : NULL;
    struct tcp_seg *s = m ? seg_take(t) : NULL;

    if (!s) {
        rte_pktmbuf_free(m);
        COUNT(t, writes_starved);
        return 0;
    }
    if (n > c->mss)
        n = c->mss;
    memcpy((char *)m->buf_addr + TCP_HEADROOM, p, n);
    s->m = m;
    s->seq = c->snd_end;
    s->off = TCP_HEADROOM;
    s->len = (uint16_t)n;
    seg_link(c, s);
    c->snd_end += (uint32_t)n;
    return n;
}

/* FIN rides on the last segment unless that is gone already. */
void send_fin(struct tcp_conn *c)
{
    c->flags |= CF_FIN_QUEUED;
    if (c->sq_tail && !(c->sq_tail->flags & SEG_SENT)) {
        c->sq_tail->flags |= SEG_FIN;
        return;
    }
    c->fin = (struct tcp_seg){.seq = c->snd_end, .flags = SEG_FIN};
    seg_link(c, &c->fin);
}

static void starve(struct tcp_conn *c)
{
    if (c->flags & CF_STARVED)
        return;
    c->flags |= CF_STARVED;
    TAILQ_INSERT_TAIL(&c->t->starved, c, starved);
}

/* The pool has mbufs again: some of those that went short may try. */
void send_feed_starved(struct tcp *t)
{
    for (unsigned i = 0; i < TCP_BURST && t->tx_held < t->tx_max; i++) {
        struct tcp_conn *c = TAILQ_FIRST(&t->starved);

        if (!c)
            return;
        TAILQ_REMOVE(&t->starved, c, starved);
        c->flags &= ~(uint32_t)CF_STARVED;
        send_check_room(c);
    }
}

static bool may_write(const struct tcp_conn *c)
{
    return !(c->flags & (CF_OVER | CF_FIN_QUEUED)) && c->state != TCP_CLOSED;
}

/* What one connection may queue: its buffer, which when mbufs get fewer is the one it began with;
 * no more than a few of the peer's windows, so that a peer who reads little holds little; and at
 * most a fixed part of what the pool has left, so that peers who read nothing, however many, cannot
 * take the last of it from those who read (Choudhury and Hahne 1998). The floor keeps something in
 * flight, whose ACK asks again. */
static uint32_t sndbuf_now(const struct tcp_conn *c)
{
    const struct tcp *t = c->t;
    uint64_t left = t->tx_held < t->tx_max ? t->tx_max - t->tx_held : 0;
    uint64_t share = left / TCP_POOL_SHARE * c->mss,
             windows = SNDBUF_WINDOWS * (uint64_t)c->snd_wnd;
    uint32_t most = t->tx_held < t->tx_soft ? c->sndbuf : u32_min(c->sndbuf, t->cfg.sndbuf_initial);

    if (c->state >= TCP_ESTABLISHED && windows < most)
        most = u32_max((uint32_t)windows, u32_min(SNDBUF_SEGS_LEAST * c->mss, most));
    if (share < most)
        most = (uint32_t)share;
    return u32_max(most, u32_min(2u * c->mss, t->cfg.sndbuf_max));
}

/* A window in flight, as much again sent while the first byte of it is mended, and as much waiting,
 * so that the owner has time to bring more. */
void send_buffer_grow(struct tcp_conn *c)
{
    uint32_t most = c->t->cfg.sndbuf_max;

    if (c->sndbuf < most && c->cwnd > c->sndbuf / 3)
        c->sndbuf = c->cwnd < most / 3 ? 3 * c->cwnd : most;
}

size_t tcp_write_room(const struct tcp_conn *c)
{
    uint32_t queued = send_queued(c), most = sndbuf_now(c);

    return may_write(c) && queued < most ? most - queued : 0;
}

size_t tcp_write(struct tcp_conn *c, const void *buf, size_t n)
{
    size_t room = tcp_write_room(c), want = n < room ? n : room, done, got;

    if (!may_write(c) || n == 0)
        return 0;
    done = want ? fill_tail(c, buf, want) : 0;
    while (done < want) {
        got = fill_new(c, (const char *)buf + done, want - done);
        if (!got) {
            starve(c);
            break;
        }
        done += got;
    }
    if (done < n)
        c->flags |= CF_WANT_WRITE;
    if (done && c->state >= TCP_ESTABLISHED)
        conn_output_later(c);
    return done;
}

size_t tcp_unacked(const struct tcp_conn *c)
{
    return (c->flags & CF_OVER) ? 0 : send_queued(c);
}

/* ----------------------------------------------------- acknowledgement */

void send_check_room(struct tcp_conn *c)
{
    if (!(c->flags & CF_WANT_WRITE) || (c->flags & CF_STARVED))
        return;
    if (tcp_write_room(c) < sndbuf_now(c) / SNDBUF_SHARE)
        return;
    c->flags &= ~(uint32_t)CF_WANT_WRITE;
    conn_event(c, TCP_EV_WRITABLE);
}

static void free_head(struct tcp_conn *c)
{
    struct tcp_seg *s = c->sq_head;

    c->sq_head = s->next;
    if (!c->sq_head)
        c->sq_tail = NULL;
    if (c->sq_next == s)
        c->sq_next = c->sq_head;
    seg_put(c, s);
}

/* What a window probe has brought over before its turn, or the beginning of a segment. */
static void trim_head(struct tcp_conn *c, uint32_t ack)
{
    struct tcp_seg *s = c->sq_head;
    uint32_t n = ack - s->seq;

    if (s->flags & SEG_SACKED)
        c->sacked -= n;
    else if ((s->flags & (SEG_SENT | SEG_LOST)) == SEG_SENT) {
        c->pipe -= n;
        c->rtx_out -= s->flags & SEG_RTX ? n : 0;
    }
    s->seq = ack;
    s->off = (uint16_t)(s->off + n);
    s->len = (uint16_t)(s->len - n);
}

void send_acked(struct tcp_conn *c, uint32_t ack, struct tcp_acking *a)
{
    struct tcp_seg *s;

    sack_forget_before(c, ack);
    while ((s = c->sq_head) != NULL && seq_leq(seg_end(s), ack)) {
        if (s->flags & SEG_SACKED)
            board_remove(c, s);
        else if (s->flags & SEG_SENT)
            board_delivered(c, s, a);
        free_head(c);
    }
    if (s && seq_lt(s->seq, ack)) {
        if (!(s->flags & SEG_SACKED))
            a->delivered += ack - s->seq;
        trim_head(c, ack);
    }
    c->snd_una = ack;
    c->snd_nxt = seq_max(c->snd_nxt, ack);
    send_check_room(c);
}

void send_free(struct tcp_conn *c)
{
    while (c->sq_head)
        free_head(c);
    board_init(c);
}
