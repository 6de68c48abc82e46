/* A connection's life, and what its owner does to it. */
#include "tcp_internal.h"

/* --------------------------------------------------------------- lists */

void conn_output_later(struct tcp_conn *c)
{
    if (c->flags & (CF_OUTPUT | CF_OVER))
        return;
    c->flags |= CF_OUTPUT;
    TAILQ_INSERT_TAIL(&c->t->output, c, output);
    c->t->noutput++;
}

void conn_ack_now(struct tcp_conn *c)
{
    c->flags |= CF_ACK_NOW;
    conn_output_later(c);
}

void conn_challenge(struct tcp_conn *c)
{
    if (c->t->now < c->challenge_at) {
        COUNT(c->t, challenge_acks_limited);
        return;
    }
    c->challenge_at = c->t->now + TCP_CHALLENGE;
    COUNT(c->t, challenge_acks);
    conn_ack_now(c);
}

void conn_event(struct tcp_conn *c, unsigned events)
{
    if (conn_orphan(c))
        return;
    c->events |= (uint8_t)events;
    if (c->flags & CF_READY)
        return;
    c->flags |= CF_READY;
    TAILQ_INSERT_TAIL(&c->t->ready, c, ready);
    c->t->nready++;
}

void conn_ready_remove(struct tcp_conn *c)
{
    if (!(c->flags & CF_READY))
        return;
    c->flags &= ~(uint32_t)CF_READY;
    TAILQ_REMOVE(&c->t->ready, c, ready);
    c->t->nready--;
}

static void starved_remove(struct tcp_conn *c)
{
    if (!(c->flags & CF_STARVED))
        return;
    c->flags &= ~(uint32_t)CF_STARVED;
    TAILQ_REMOVE(&c->t->starved, c, starved);
}

static void output_remove(struct tcp_conn *c)
{
    if (!(c->flags & CF_OUTPUT))
        return;
    c->flags &= ~(uint32_t)CF_OUTPUT;
    TAILQ_REMOVE(&c->t->output, c, output);
    c->t->noutput--;
}

/* --------------------------------------------------------- begin and end */

uint32_t conn_mss_for(const struct tcp_conn *c, unsigned mtu)
{
    uint32_t mss = u32_min(mtu - ip_header_len(&c->key.remote) - 20, c->peer_mss);

    if (c->flags & CF_TS)
        mss -= TCP_OPT_TS_LEN;
    return u32_min(mss, c->t->payload_max);
}

void conn_set_mss(struct tcp_conn *c)
{
    c->mss = (uint16_t)conn_mss_for(c, c->mtu);
}

struct tcp_conn *conn_open(struct tcp *t, const struct tcp_key *key, uint32_t hash, uint32_t iss)
{
    struct tcp_conn *c = &t->conns[t->free_conns[--t->nfree]];

    c->t = t;
    c->key = *key;
    c->hash = hash;
    board_init(c);
    c->iss = c->snd_una = c->snd_nxt = c->snd_max = c->recover = iss;
    c->snd_end = iss + 1;
    c->ts_offset = ts_offset_of(t, key);
    c->rcvbuf = t->cfg.rcvbuf_initial;
    c->sndbuf = t->cfg.sndbuf_initial;
    c->rcv_mss = TCP_MSS_DEFAULT_V4;
    c->quick_acks = TCP_QUICK_ACKS;
    c->rto_us = TCP_RTO_INITIAL;
    path_start(c);
    c->peer_mss = UINT16_MAX;
    conn_set_mss(c);
    c->rcv_at = c->grow_at = t->now;
    for (unsigned i = 0; i < TIMERS; i++)
        c->deadline[i] = TCP_NEVER;
    wheel_timer_init(&c->timer, timer_fired);
    table_insert(t, hash, ref_of_conn(t, c));
    t->open++;
    return c;
}

void conn_established(struct tcp_conn *c)
{
    struct tcp *t = c->t;

    if (c->flags & CF_PASSIVE)
        t->half_open--;
    else
        COUNT(t, connected);
    c->state = (c->flags & CF_FIN_QUEUED) ? TCP_FIN_WAIT_1 : TCP_ESTABLISHED;
    c->rtx_count = 0;
    if (!(c->flags & CF_HAVE_SRTT))
        c->rto_us = (c->flags & CF_SYN_RESENT) ? TCP_RTO_SYN : TCP_RTO_INITIAL;
    c->rtx_shift = 0;
    c->dup_acks_owed = 0;
    c->flags &= ~(uint32_t)CF_SYN_DUE;
    c->snd_at = t->now;
    cc_init(c);
    timer_clear(c, TIMER_RTX);
    if (conn_orphan(c))
        conn_orphaned(c);
    else if (t->cfg.keepalive_us)
        timer_set(c, TIMER_KEEP, t->now + t->cfg.keepalive_us);
    conn_event(c, (c->flags & CF_PASSIVE) ? 0 : TCP_EV_CONNECTED);
    if (c->sq_next)
        conn_output_later(c);
}

/* Takes a connection off everything but its owner: it neither sends nor is found any more. What has
 * arrived in order stays readable. */
static void conn_detach(struct tcp_conn *c)
{
    if (c->state == TCP_SYN_RECEIVED && (c->flags & CF_PASSIVE))
        c->t->half_open--;
    wheel_stop(c->t->wheel, &c->timer);
    output_remove(c);
    starved_remove(c);
    send_free(c);
    recv_free_runs(c);
    c->flags |= CF_OVER;
}

void conn_free(struct tcp_conn *c)
{
    struct tcp *t = c->t;

    conn_ready_remove(c);
    recv_free(c);
    if (t->current == c)
        t->current = NULL;
    memset(c, 0, sizeof(*c));
    t->free_conns[t->nfree++] = (uint32_t)(c - t->conns);
    t->open--;
}

static void conn_finish(struct tcp_conn *c, enum tcp_end why)
{
    c->end = (uint8_t)why;
    if (why == TCP_END_CLOSED)
        COUNT(c->t, closed);
    else if (why == TCP_END_TIMEOUT)
        COUNT(c->t, timeouts);
    else if (why == TCP_END_REFUSED)
        COUNT(c->t, refused);
    if (!(c->flags & CF_OWNED)) {
        conn_free(c);
        return;
    }
    /* After an orderly end the last bytes are read first: tcp_read tells the rest. */
    if (why != TCP_END_CLOSED || !c->rq_bytes)
        conn_event(c, TCP_EV_CLOSED);
}

void conn_over(struct tcp_conn *c, enum tcp_end why)
{
    table_remove(c->t, c->hash, ref_of_conn(c->t, c));
    conn_detach(c);
    c->state = TCP_CLOSED;
    conn_finish(c, why);
}

void conn_reset(struct tcp_conn *c, enum tcp_end why)
{
    if (c->state != TCP_SYN_SENT) {
        COUNT(c->t, resets_sent);
        segment_send_bare(c->t, &c->key, conn_ack_seq(c), c->rcv_nxt, TH_RST | TH_ACK, 0, NULL);
    }
    conn_over(c, why);
}

void conn_time_wait(struct tcp_conn *c)
{
    struct rte_mbuf *m = (c->flags & CF_ACK_NOW) ? control_mbuf(c->t) : NULL;

    if (m) /* the ACK of the FIN that brought us here: the record sends only answers */
        segment_send(c, m, conn_ack_seq(c), 0);
    tw_add(c);
    conn_detach(c);
    c->state = TCP_TIME_WAIT;
    conn_finish(c, TCP_END_CLOSED);
}

void conn_orphaned(struct tcp_conn *c)
{
    c->orphan_una = c->snd_una;
    timer_set(c, TIMER_KEEP, c->t->now + c->t->cfg.fin_timeout_us);
}

/* ------------------------------------------------------ the owner's calls */

/* Only the last address is worth a long search. */
static bool port_from(struct tcp *t, struct tcp_key *key, uint32_t *hash,
                      const struct net_addr *srcs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        key->local = srcs[i];
        if (port_choose(t, key, hash, i + 1 < n ? TCP_PORT_TRIES / 16 : TCP_PORT_TRIES))
            return true;
    }
    COUNT(t, ports_spent);
    return false;
}

struct tcp_conn *tcp_connect_from(struct tcp *t, enum net_side side, const struct net_addr *srcs,
                                  unsigned n, const struct net_addr *dst, uint16_t dport,
                                  void *user, uint64_t now_us)
{
    struct tcp_key key = {.remote = *dst, .rport = dport, .side = (uint8_t)side};
    struct tcp_conn *c;
    uint32_t hash;

    if (now_us > t->now)
        t->now = now_us;
    if (!t->nfree) {
        COUNT(t, drop_table_full);
        return NULL;
    }
    if (!port_from(t, &key, &hash, srcs, n))
        return NULL;
    c = conn_open(t, &key, hash, isn_of(t, &key));
    c->state = TCP_SYN_SENT;
    c->flags |= CF_OWNED | CF_SYN_DUE;
    c->user = user;
    conn_output_later(c);
    return c;
}

struct tcp_conn *tcp_connect(struct tcp *t, enum net_side side, const struct net_addr *src,
                             const struct net_addr *dst, uint16_t dport, void *user,
                             uint64_t now_us)
{
    return tcp_connect_from(t, side, src, 1, dst, dport, user, now_us);
}

void tcp_shutdown(struct tcp_conn *c)
{
    if (c->flags & (CF_OVER | CF_FIN_QUEUED))
        return;
    send_fin(c);
    if (c->state == TCP_ESTABLISHED)
        c->state = TCP_FIN_WAIT_1;
    else if (c->state == TCP_CLOSE_WAIT)
        c->state = TCP_LAST_ACK;
    if (c->state >= TCP_ESTABLISHED)
        conn_output_later(c);
}

static void disown(struct tcp_conn *c)
{
    conn_ready_remove(c);
    c->flags &= ~(uint32_t)(CF_OWNED | CF_UNACCEPTED | CF_WANT_WRITE);
    c->events = 0;
    c->user = NULL;
}

void tcp_close(struct tcp_conn *c)
{
    if (c->rq_bytes || c->state == TCP_SYN_SENT || (c->flags & CF_OVER)) {
        tcp_abort(c);
        return;
    }
    disown(c);
    tcp_shutdown(c);
    conn_orphaned(c);
}

void tcp_abort(struct tcp_conn *c)
{
    disown(c);
    if (c->flags & CF_OVER)
        conn_free(c);
    else
        conn_reset(c, TCP_END_ABORTED);
}

void tcp_set_user(struct tcp_conn *c, void *user)
{
    c->user = user;
}

void *tcp_user(const struct tcp_conn *c)
{
    return c->user;
}

enum tcp_end tcp_end_cause(const struct tcp_conn *c)
{
    return (enum tcp_end)c->end;
}

const struct net_addr *tcp_local_addr(const struct tcp_conn *c)
{
    return &c->key.local;
}

const struct net_addr *tcp_remote_addr(const struct tcp_conn *c)
{
    return &c->key.remote;
}

uint16_t tcp_local_port(const struct tcp_conn *c)
{
    return c->key.lport;
}

uint16_t tcp_remote_port(const struct tcp_conn *c)
{
    return c->key.rport;
}

enum net_side tcp_side(const struct tcp_conn *c)
{
    return (enum net_side)c->key.side;
}

const char *tcp_state_name(const struct tcp_conn *c)
{
    static const char *const names[] = {
        [TCP_CLOSED] = "CLOSED",           [TCP_LISTEN] = "LISTEN",
        [TCP_SYN_SENT] = "SYN_SENT",       [TCP_SYN_RECEIVED] = "SYN_RECEIVED",
        [TCP_ESTABLISHED] = "ESTABLISHED", [TCP_FIN_WAIT_1] = "FIN_WAIT_1",
        [TCP_FIN_WAIT_2] = "FIN_WAIT_2",   [TCP_CLOSE_WAIT] = "CLOSE_WAIT",
        [TCP_CLOSING] = "CLOSING",         [TCP_LAST_ACK] = "LAST_ACK",
        [TCP_TIME_WAIT] = "TIME_WAIT",
    };

    return names[c->state];
}
