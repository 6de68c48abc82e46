/* Every invariant that can be checked from outside a call. */
#include "tcp_internal.h"

#include <stdio.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "tcp_validate: %s:%d: %s\n", __func__, __LINE__, #cond);               \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

struct totals {
    uint32_t rx, tx, half_open, ready, output, starved, open;
};

static bool chain_valid(const struct rte_mbuf *head, const struct rte_mbuf *tail, uint32_t bytes,
                        uint32_t *mbufs)
{
    uint64_t sum = 0;

    for (const struct rte_mbuf *m = head; m; m = m->next) {
        CHECK(m->next || m == tail);
        CHECK(rte_mbuf_refcnt_read(m) >= 1);
        sum += m->data_len;
        ++*mbufs;
    }
    CHECK(sum == bytes);
    return true;
}

static bool runs_valid(const struct tcp_conn *c, uint32_t *mbufs)
{
    uint32_t runs = 0, last = c->rcv_nxt;

    for (const struct rte_mbuf *r = c->run_head; r;) {
        const union tcp_note *n = note_of(c->t, r);
        uint32_t before = *mbufs;
        const struct rte_mbuf *m = r;
        uint64_t sum = 0;

        CHECK(seq_lt(last, n->run.seq)); /* a gap before each */
        CHECK(seq_lt(n->run.seq, n->run.end));
        CHECK(seq_leq(n->run.end, c->rcv_edge));
        for (; m; m = m->next) {
            sum += m->data_len;
            ++*mbufs;
            CHECK(m->next || m == n->run.tail);
        }
        CHECK(*mbufs > before && sum == n->run.end - n->run.seq);
        CHECK(n->run.next || r == c->run_tail);
        last = n->run.end;
        runs++;
        r = n->run.next;
    }
    CHECK(runs == c->runs && runs <= TCP_RUNS_MAX);
    CHECK((c->run_head != NULL) == (c->run_tail != NULL));
    return true;
}

/* Told blocks are runs that are there, or lie below rcv_nxt by now. */
static bool blocks_valid(const struct tcp_conn *c)
{
    CHECK(c->nblocks <= TCP_BLOCKS_KEPT && c->fresh_blocks <= TCP_BLOCKS_KEPT);
    for (unsigned i = 0; i < c->nblocks; i++) {
        const struct rte_mbuf *r = c->run_head;

        if (seq_leq(c->blocks[i].end, c->rcv_nxt))
            continue;
        while (r && note_of(c->t, r)->run.seq != c->blocks[i].start)
            r = note_of(c->t, r)->run.next;
        CHECK(r && note_of(c->t, r)->run.end == c->blocks[i].end);
    }
    return true;
}

static bool receive_valid(const struct tcp_conn *c, struct totals *all)
{
    uint32_t mbufs = 0;

    CHECK(chain_valid(c->rq_head, c->rq_tail, c->rq_bytes, &mbufs));
    CHECK(runs_valid(c, &mbufs));
    CHECK(mbufs == c->rcv_mbufs && blocks_valid(c));
    CHECK(c->rcvbuf <= c->t->cfg.rcvbuf_max);
    if (!(c->flags & CF_OVER) && c->state >= TCP_SYN_RECEIVED) {
        CHECK(seq_leq(c->rcv_nxt, c->rcv_edge + 1));
        CHECK(seq_leq(c->rcv_acked, c->rcv_nxt));
        CHECK(!(c->flags & CF_FIN_AHEAD) || (c->flags & CF_FIN_RECEIVED) ||
              seq_lt(c->rcv_nxt, c->rcv_fin));
    }
    all->rx += mbufs;
    return true;
}

static bool seg_valid(const struct tcp_conn *c, const struct tcp_seg *s, uint32_t *held)
{
    unsigned state = s->flags & (SEG_SENT | SEG_SACKED | SEG_LOST);

    CHECK(state == 0 || state == SEG_SENT || state == (SEG_SENT | SEG_SACKED) ||
          state == (SEG_SENT | SEG_LOST));
    CHECK(!(s->flags & SEG_RTX) || state);
    CHECK(seg_span(s) > 0);
    CHECK(!(s->flags & SEG_FIN) || (!s->next && (c->flags & CF_FIN_QUEUED)));
    if (s == &c->fin) {
        CHECK(!s->m && s->len == 0 && (s->flags & SEG_FIN));
        return true;
    }
    ++*held;
    /* Its bytes may have been acknowledged before its FIN. */
    CHECK((s->len > 0 || (s->flags & SEG_FIN)) && rte_mbuf_refcnt_read(s->m) >= 1);
    CHECK(s->off >= TCP_HEADROOM && s->off + s->len <= s->m->buf_len);
    return true;
}

/* The queue is one piece of sequence space, what has been sent before what has not. */
static bool send_queue_valid(const struct tcp_conn *c, uint32_t *held)
{
    bool syn = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED;
    uint32_t seq = syn ? c->iss + 1 : c->snd_una, segs = 0;
    const struct tcp_seg *next = NULL, *s;

    for (s = c->sq_head; s; s = s->next, segs++) {
        CHECK(s->seq == seq && seg_valid(c, s, held));
        CHECK(s->next || s == c->sq_tail);
        CHECK(!next || !(s->flags & SEG_SENT));
        if (!next && !(s->flags & SEG_SENT))
            next = s;
        seq = seg_end(s);
    }
    CHECK(next == c->sq_next && segs == c->sq_segs);
    CHECK(!next || syn || next->seq == c->snd_nxt);
    CHECK(next || syn || seq == c->snd_nxt);
    CHECK(seq == c->snd_end + ((c->flags & CF_FIN_QUEUED) ? 1 : 0));
    CHECK((c->sq_head != NULL) == (c->sq_tail != NULL));
    return true;
}

/* Each list holds what is in its state, and the sums are right. */
static bool board_valid(const struct tcp_conn *c)
{
    uint32_t pipe = 0, rtx_out = 0, sacked = 0, sacked_segs = 0, flight = 0, lost = 0;
    const struct tcp_seg *s;

    for (s = c->sq_head; s && (s->flags & SEG_SENT); s = s->next) {
        sacked += s->flags & SEG_SACKED ? seg_span(s) : 0;
        sacked_segs += (s->flags & SEG_SACKED) != 0;
        flight += !(s->flags & (SEG_SACKED | SEG_LOST));
        lost += (s->flags & SEG_LOST) != 0;
    }
    TAILQ_FOREACH (s, &c->flight, order) {
        CHECK((s->flags & (SEG_SENT | SEG_SACKED | SEG_LOST)) == SEG_SENT && flight--);
        pipe += seg_span(s);
        rtx_out += s->flags & SEG_RTX ? seg_span(s) : 0;
    }
    TAILQ_FOREACH (s, &c->lost, order)
        CHECK((s->flags & SEG_LOST) && lost--);
    CHECK(flight == 0 && lost == 0);
    CHECK(rtx_out == c->rtx_out && pipe == c->pipe && sacked == c->sacked &&
          sacked_segs == c->sacked_segs);
    CHECK((c->flags & CF_SACK) || !sacked);
    CHECK(c->dsack_total <= c->rtx_total);
    return true;
}

/* What is remembered of blocks points into the queue. */
static bool seen_valid(const struct tcp_conn *c)
{
    for (unsigned i = 0; i < TCP_SACK_BLOCKS; i++) {
        const struct tcp_seg *s = c->sq_head;

        while (s && s != c->sack_seen[i].at)
            s = s->next;
        CHECK(!c->sack_seen[i].at || (s && (s->flags & SEG_SENT)));
    }
    return true;
}

static bool recovery_valid(const struct tcp_conn *c)
{
    CHECK((c->flags & (CF_RECOVERY | CF_LOSS)) != (CF_RECOVERY | CF_LOSS));
    if (c->flags & (CF_RECOVERY | CF_LOSS))
        CHECK(seq_leq(c->recover, c->snd_nxt));
    CHECK(!(c->flags & CF_FRTO) || (c->flags & CF_LOSS));
    CHECK(!(c->flags & CF_TLP_AGAIN) || (c->flags & CF_TLP));
    CHECK(c->deadline[TIMER_REO] == TCP_NEVER || !TAILQ_EMPTY(&c->flight));
    CHECK(c->sndbuf >= c->t->cfg.sndbuf_initial && c->sndbuf <= c->t->cfg.sndbuf_max);
    return true;
}

/* Something that is owed must have something that makes it happen. */
static bool send_live(const struct tcp_conn *c)
{
    if (c->state >= TCP_ESTABLISHED && c->sq_head)
        CHECK((c->flags & CF_OUTPUT) || c->deadline[TIMER_RTX] != TCP_NEVER);
    if (c->flags & (CF_ACK_NOW | CF_SYN_DUE | CF_TLP_DUE | CF_PROBE_DUE | CF_KEEP_DUE))
        CHECK(c->flags & CF_OUTPUT);
    for (unsigned i = 0; i < TIMERS; i++)
        if (c->deadline[i] != TCP_NEVER)
            CHECK(wheel_running(&c->timer) && c->timer.at_us <= c->deadline[i]);
    return true;
}

static bool send_valid(const struct tcp_conn *c, struct totals *all)
{
    uint32_t mbufs = 0;

    if (!(c->flags & CF_OVER)) {
        CHECK(send_queue_valid(c, &mbufs));
        CHECK(board_valid(c) && seen_valid(c) && recovery_valid(c));
        CHECK(seq_leq(c->snd_una, c->snd_nxt) && seq_leq(c->snd_nxt, c->snd_max));
        CHECK(seq_leq(c->snd_max, c->snd_end + ((c->flags & CF_FIN_QUEUED) ? 1 : 0)));
        CHECK(c->mss > 0 && c->mss <= c->t->payload_max);
        CHECK(c->state < TCP_ESTABLISHED || c->cwnd >= c->mss);
        CHECK(send_queued(c) <= c->t->cfg.sndbuf_max);
        CHECK(send_live(c));
    } else {
        CHECK(!c->sq_head && !c->run_head && !wheel_running(&c->timer));
        CHECK(!(c->flags & (CF_OUTPUT | CF_STARVED)));
        CHECK(c->flags & CF_OWNED); /* else it would be free */
        CHECK((c->flags & CF_READY) || c->rq_bytes);
    }
    all->tx += mbufs;
    return true;
}

static bool conn_valid(const struct tcp *t, const struct tcp_conn *c, struct totals *all)
{
    uint32_t found = table_find(t, &c->key, c->hash);

    CHECK(c->t == t && c->state <= TCP_TIME_WAIT && c->state != TCP_LISTEN);
    CHECK(key_hash(t, &c->key) == c->hash);
    CHECK((c->flags & CF_OVER) ? found != ref_of_conn(t, c) : found == ref_of_conn(t, c));
    CHECK((c->flags & CF_OVER) || (c->state != TCP_CLOSED && c->state != TCP_TIME_WAIT));
    CHECK(!(c->flags & CF_FIN_RECEIVED) || (c->flags & CF_OVER) || !conn_receives(c));
    CHECK(!c->events || (c->flags & CF_READY));
    all->open++;
    all->half_open += c->state == TCP_SYN_RECEIVED && (c->flags & CF_PASSIVE);
    all->ready += (c->flags & CF_READY) != 0;
    all->output += (c->flags & CF_OUTPUT) != 0;
    all->starved += (c->flags & CF_STARVED) != 0;
    return receive_valid(c, all) && send_valid(c, all);
}

static bool time_wait_valid(const struct tcp *t, uint32_t *count)
{
    uint64_t last = 0;

    for (uint32_t i = t->tw_first; i != TW_NONE; i = t->tws[i].next) {
        const struct tcp_tw *w = &t->tws[i];

        CHECK(w->used && w->expires >= last);
        CHECK(table_find(t, &w->key, w->hash) == ref_of_tw(t, w));
        CHECK(w->next != TW_NONE || t->tw_last == i);
        CHECK(++*count <= t->tw_count);
        last = w->expires;
    }
    CHECK(*count == t->tw_count);
    return true;
}

static bool lists_valid(const struct tcp *t, const struct totals *all)
{
    uint32_t ready = 0, output = 0, starved = 0;
    const struct tcp_conn *c;

    TAILQ_FOREACH (c, &t->ready, ready)
        ready++;
    TAILQ_FOREACH (c, &t->output, output)
        output++;
    TAILQ_FOREACH (c, &t->starved, starved)
        starved++;
    CHECK(ready == t->nready && ready == all->ready);
    CHECK(output == t->noutput && output == all->output);
    CHECK(starved == all->starved);
    return true;
}

bool tcp_validate(const struct tcp *t)
{
    struct totals all = {0};
    uint32_t tws = 0, refs = 0, over = 0;

    for (uint32_t i = 0; i < t->cfg.max_conns; i++) {
        if (!t->conns[i].t)
            continue;
        if (!conn_valid(t, &t->conns[i], &all)) {
            fprintf(stderr, "  connection %u, %s\n", i, tcp_state_name(&t->conns[i]));
            return false;
        }
        over += (t->conns[i].flags & CF_OVER) != 0;
    }
    CHECK(time_wait_valid(t, &tws));
    for (uint32_t i = 0; i <= t->slot_mask; i++)
        refs += t->slots[i].ref != 0;
    CHECK(refs == all.open - over + tws);
    CHECK(all.open == t->open && t->open + t->nfree == t->cfg.max_conns);
    CHECK(all.half_open == t->half_open);
    CHECK(all.rx == t->rx_held && all.tx == t->tx_held);
    return lists_valid(t, &all);
}
