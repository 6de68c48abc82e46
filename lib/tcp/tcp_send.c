/* Bytes to send, each mbuf one segment's payload, held until acknowledged. The note on an mbuf says
 * where its bytes stand, as the lower layer moves data_off when it puts its headers in front. */
#include "tcp_internal.h"

#define NOTE(c, m) (&note_of((c)->t, (m))->send)

/* ------------------------------------------------------------- writing */

/* More bytes for the last mbuf: as long as none of it has been sent, for then it goes out whole; or
 * when so many small ones are queued already that mbufs matter more. What a reader below may still
 * hold is not touched: bytes are only added behind it. */
static size_t fill_tail(struct tcp_conn *c, const char *p, size_t n)
{
    struct rte_mbuf *m = c->sq_tail;
    size_t room, end;

    if (!m || NOTE(c, m)->len >= c->mss)
        return 0;
    if (seq_lt(NOTE(c, m)->seq, c->snd_max) && c->sq_mbufs < c->t->sq_mbufs_soft)
        return 0;
    end = (size_t)NOTE(c, m)->off + NOTE(c, m)->len;
    room = (size_t)c->mss - NOTE(c, m)->len;
    if (room > m->buf_len - end)
        room = m->buf_len - end;
    if (n > room)
        n = room;
    if (!n)
        return 0;
    memcpy((char *)m->buf_addr + end, p, n);
    NOTE(c, m)->len = (uint16_t)(NOTE(c, m)->len + n);
    if (!c->sq_next)
        c->sq_next = m;
    c->snd_end += (uint32_t)n;
    return n;
}

static size_t fill_new(struct tcp_conn *c, const char *p, size_t n)
{
    struct tcp *t = c->t;
    struct rte_mbuf *m = t->tx_held < t->tx_max ? rte_pktmbuf_alloc(t->lower.pool) : NULL;

    if (!m) {
        COUNT(t, writes_starved);
        return 0;
    }
    if (n > c->mss)
        n = c->mss;
    memcpy((char *)m->buf_addr + TCP_HEADROOM, p, n);
    NOTE(c, m)->next = NULL;
    NOTE(c, m)->seq = c->snd_end;
    NOTE(c, m)->off = TCP_HEADROOM;
    NOTE(c, m)->len = (uint16_t)n;
    if (c->sq_tail)
        NOTE(c, c->sq_tail)->next = m;
    else
        c->sq_head = m;
    c->sq_tail = m;
    if (!c->sq_next)
        c->sq_next = m;
    c->sq_mbufs++;
    t->tx_held++;
    c->snd_end += (uint32_t)n;
    return n;
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

/* What one connection may queue: a fixed part of what the pool has left, so that peers who read
 * nothing, however many, cannot take the last of it from those who read (Choudhury and Hahne 1998).
 * The floor keeps something in flight, whose ACK asks again. */
static uint32_t send_most(const struct tcp_conn *c)
{
    const struct tcp *t = c->t;
    uint64_t left = t->tx_held < t->tx_max ? t->tx_max - t->tx_held : 0;
    uint64_t share = left / TCP_POOL_SHARE * c->mss;
    uint32_t most = share < t->cfg.sndbuf_max ? (uint32_t)share : t->cfg.sndbuf_max;
    uint32_t floor = u32_min(2u * c->mss, t->cfg.sndbuf_max);

    return u32_max(most, floor);
}

size_t tcp_write_room(const struct tcp_conn *c)
{
    uint32_t queued = send_queued(c), most = send_most(c);

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
    if (tcp_write_room(c) < send_most(c) / 4)
        return;
    c->flags &= ~(uint32_t)CF_WANT_WRITE;
    conn_event(c, TCP_EV_WRITABLE);
}

static void free_head(struct tcp_conn *c)
{
    struct rte_mbuf *m = c->sq_head;

    c->sq_head = NOTE(c, m)->next;
    if (!c->sq_head)
        c->sq_tail = NULL;
    if (c->sq_next == m)
        c->sq_next = c->sq_head;
    c->sq_mbufs--;
    c->t->tx_held--;
    rte_pktmbuf_free_seg(m);
}

/* Everything before `ack` has arrived. Moves snd_una. */
void send_acked(struct tcp_conn *c, uint32_t ack)
{
    struct rte_mbuf *m;

    while ((m = c->sq_head) != NULL && seq_leq(NOTE(c, m)->seq + NOTE(c, m)->len, ack))
        free_head(c);
    if (m && seq_lt(NOTE(c, m)->seq, ack)) {
        uint32_t n = ack - NOTE(c, m)->seq;

        NOTE(c, m)->seq = ack;
        NOTE(c, m)->off = (uint16_t)(NOTE(c, m)->off + n);
        NOTE(c, m)->len = (uint16_t)(NOTE(c, m)->len - n);
    }
    c->snd_una = ack;
    c->snd_nxt = seq_max(c->snd_nxt, ack);
    /* The ACK may have passed snd_nxt after a time-out. */
    while (c->sq_next && seq_leq(NOTE(c, c->sq_next)->seq + NOTE(c, c->sq_next)->len, c->snd_nxt))
        c->sq_next = NOTE(c, c->sq_next)->next;
    send_check_room(c);
}

void send_rewind(struct tcp_conn *c)
{
    c->snd_nxt = c->snd_una;
    c->sq_next = c->sq_head;
}

void send_free(struct tcp_conn *c)
{
    while (c->sq_head)
        free_head(c);
}
