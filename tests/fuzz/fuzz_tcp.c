/* A stack driven by an input: segments at a listener and at connections (their numbers taken from
 * the connection's own state, give or take, so that they get deep), the owner's calls, time, ICMP,
 * a pool that fails, a port that keeps packets. Every byte of both directions is a function of its
 * sequence number, so whatever overlaps, what is read and what is sent can be checked. */
#include <rte_eal.h>
#include <rte_mempool.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/tcp_internal.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define CONNS 6
#define KEPT  32
#define MBUFS 63

struct input {
    const uint8_t *p;
    size_t n;
};

struct fuzz {
    struct tcp *t;
    struct tcp_conn *owned[CONNS]; /* by index of the connection */
    uint32_t got[CONNS];           /* bytes read of each */
    struct rte_mbuf *kept[KEPT];
    unsigned nkept;
    bool keep, refuse;
    struct { /* the last SYN,ACK, perhaps a cookie */
        struct net_addr from, to;
        enum net_side side;
        uint16_t sport, dport;
        uint32_t seq, ack, ts;
    } syn_ack;
    uint64_t now;
    struct input in;
};

static struct rte_mempool *pool;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned take(struct fuzz *z)
{
    if (!z->in.n)
        return 0;
    z->in.n--;
    return *z->in.p++;
}

static unsigned take16(struct fuzz *z)
{
    unsigned hi = take(z);

    return hi << 8 | take(z);
}

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 2654435761u >> 13);
}

static struct net_addr addr(unsigned last)
{
    return (struct net_addr){{[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)last}};
}

/* ------------------------------------------------------------- the wire */

/* A SYN,ACK's options are at fixed places: MSS, perhaps scale, then timestamps. */
static void note_syn_ack(struct fuzz *z, enum net_side side, const struct net_addr *src,
                         const struct net_addr *dst, const struct rte_tcp_hdr *h)
{
    unsigned n = (h->data_off >> 4) * 4u;
    rte_be32_t ts = 0;

    if (n >= 36)
        memcpy(&ts, (const char *)h + n - 8, sizeof(ts));
    z->syn_ack.from = *src;
    z->syn_ack.to = *dst;
    z->syn_ack.side = side;
    z->syn_ack.sport = h->src_port;
    z->syn_ack.dport = h->dst_port;
    z->syn_ack.seq = rte_be_to_cpu_32(h->sent_seq);
    z->syn_ack.ack = rte_be_to_cpu_32(h->recv_ack);
    z->syn_ack.ts = rte_be_to_cpu_32(ts);
}

static void on_send(void *ctx, enum net_side side, const struct net_addr *src,
                    const struct net_addr *dst, struct rte_mbuf *m)
{
    struct fuzz *z = ctx;
    const struct rte_tcp_hdr *h = rte_pktmbuf_mtod(m, const void *);
    uint32_t skip = (h->data_off >> 4) * 4u, seq = rte_be_to_cpu_32(h->sent_seq);

    if (h->tcp_flags == (TH_SYN | TH_ACK))
        note_syn_ack(z, side, src, dst, h);
    MUST(m->data_off >= NET_HEADROOM && m->data_len >= skip && skip >= 20);
    for (const struct rte_mbuf *s = m; s; s = s->next) {
        const uint8_t *p = rte_pktmbuf_mtod(s, const uint8_t *);

        for (uint32_t i = s == m ? skip : 0; i < s->data_len; i++)
            MUST(p[i] == byte_at(seq++));
    }
    memset(rte_pktmbuf_mtod(m, char *) - NET_HEADROOM, 0xee, NET_HEADROOM);
    if (z->keep && z->nkept < KEPT)
        z->kept[z->nkept++] = m;
    else
        rte_pktmbuf_free(m);
}

/* A number somewhere in the send queue: the beginning of a segment, now and then beside it. */
static uint32_t queue_seq(struct fuzz *z, const struct tcp_conn *c)
{
    const struct tcp_seg *s = c->sq_head;
    unsigned what = take(z);

    for (unsigned i = what & 0x3f; s && s->next && i; i--)
        s = s->next;
    return (s ? s->seq : c->snd_una) + (what & 0x40 ? (uint32_t)(int16_t)take16(z) : 0);
}

/* RFC 2018 3: up to `most` blocks, mostly of whole segments. */
static unsigned put_sack(struct fuzz *z, uint8_t *o, const struct tcp_conn *c, unsigned most)
{
    unsigned n = 1 + take(z) % most;
    uint8_t *start = o;

    *o++ = 1;
    *o++ = 1;
    *o++ = 5;
    *o++ = (uint8_t)(2 + 8 * n);
    for (unsigned i = 0; i < n; i++, o += 8) {
        const uint32_t block[] = {rte_cpu_to_be_32(queue_seq(z, c)),
                                  rte_cpu_to_be_32(queue_seq(z, c))};
        memcpy(o, block, sizeof(block));
    }
    return (unsigned)(o - start);
}

static unsigned put_options(struct fuzz *z, uint8_t *o, const struct tcp_conn *c, bool syn)
{
    unsigned kind = take(z), n = 0;
    uint32_t tsval = c ? c->ts_recent + (uint32_t)(int8_t)take(z) : 100;
    uint32_t ecr = c ? ts_clock(c->t, c->ts_offset) - take(z) : 0;

    if (syn && (kind & 1)) {
        const uint8_t mss[] = {2, 4, (uint8_t)take(z),    (uint8_t)take(z), 1,
                               3, 3, (uint8_t)(kind >> 4)};
        memcpy(o, mss, 8);
        n = 8;
    }
    if (kind & 2) {
        const uint32_t ts[] = {rte_cpu_to_be_32(0x0101080a), rte_cpu_to_be_32(tsval),
                               rte_cpu_to_be_32(ecr)};
        memcpy(o + n, ts, 12);
        n += 12;
    }
    if (syn && (kind & 0x80)) {
        memcpy(o + n, (const uint8_t[]){1, 1, 4, 2}, 4);
        n += 4;
    } else if (c && (kind & 0xc0) == 0x80) {
        n += put_sack(z, o + n, c, (40 - n - 4) / 8);
    } else if ((kind & 0xc) == 0xc)
        for (unsigned i = 0; i < 8; i++)
            o[n++] = (uint8_t)take(z);
    return n;
}

/* The payload, split into a chain now and then. */
static void put_payload(struct rte_mbuf *m, uint32_t seq, unsigned len, unsigned split)
{
    struct rte_mbuf *to = m;

    for (unsigned i = 0; i < len; i++) {
        if (i && split && i % split == 0 && m->nb_segs < 20) {
            struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

            if (next) {
                to->next = next;
                to = next;
                m->nb_segs++;
            }
        }
        if (!rte_pktmbuf_tailroom(to))
            return;
        rte_pktmbuf_mtod(to, uint8_t *)[to->data_len++] = byte_at(seq + i);
        m->pkt_len++;
    }
}

static void segment(struct fuzz *z)
{
    static const uint8_t flags[] = {TH_SYN,          TH_ACK,          TH_ACK, TH_ACK,
                                    TH_ACK | TH_FIN, TH_SYN | TH_ACK, TH_RST, TH_ACK | TH_PSH};
    unsigned who = take(z), what = take(z), opts;
    struct tcp_conn *c = &z->t->conns[who % CONNS];
    struct net_segment s = {.side = NET_INSIDE, .src = addr(2), .dst = addr(1)};
    struct rte_tcp_hdr h = {.dst_port = RTE_BE16(443),
                            .src_port = rte_cpu_to_be_16((uint16_t)(1000 + who % 8))};
    uint32_t seq = 0, ack = 0;
    uint8_t o[40];

    if (!c->t || (c->flags & CF_OVER))
        c = NULL;
    if (c && who < 240) {
        seq = (what & 0x80 ? c->rcv_edge : c->rcv_nxt) +
              (uint32_t)(int16_t)(what & 0x40 ? take16(z) : 0);
        ack = (what & 0x20 ? c->snd_una : c->snd_max) +
              (uint32_t)(int16_t)(what & 0x10 ? take16(z) : 0);
        s.src = c->key.remote;
        s.dst = c->key.local;
        s.side = (enum net_side)c->key.side;
        h.src_port = rte_cpu_to_be_16(c->key.rport);
        h.dst_port = rte_cpu_to_be_16(c->key.lport);
    } else {
        seq = take16(z);
    }
    h.tcp_flags = what & 8 ? (uint8_t)take(z) : flags[what & 7];
    h.sent_seq = rte_cpu_to_be_32(seq);
    h.recv_ack = rte_cpu_to_be_32(ack);
    h.rx_win = rte_cpu_to_be_16((uint16_t)(what & 4 ? 60000 : take16(z)));
    opts = put_options(z, o, c, h.tcp_flags & TH_SYN);
    h.data_off = (uint8_t)((20 + opts) / 4 << 4);
    s.m = rte_pktmbuf_alloc(pool);
    if (!s.m)
        return;
    memcpy(rte_pktmbuf_append(s.m, (uint16_t)(20 + opts)), &h, 20);
    memcpy(rte_pktmbuf_mtod_offset(s.m, void *, 20), o, opts);
    put_payload(s.m, seq + ((h.tcp_flags & TH_SYN) ? 1 : 0),
                (who & 1) ? take16(z) % 1461 : take(z) % 4, take(z));
    tcp_input(z->t, &s, z->now);
}

/* The same ACK several times over: a way into fast recovery that chance seldom finds. */
static void same_acks(struct fuzz *z)
{
    struct tcp_conn *c = &z->t->conns[take(z) % CONNS];
    unsigned n = take(z) % 8, hlen;

    for (unsigned i = 0; i < n && c->t && !(c->flags & CF_OVER); i++) {
        struct net_segment s = {.src = c->key.remote, .dst = c->key.local};
        struct rte_tcp_hdr h = {.src_port = rte_cpu_to_be_16(c->key.rport),
                                .dst_port = rte_cpu_to_be_16(c->key.lport),
                                .sent_seq = rte_cpu_to_be_32(c->rcv_nxt),
                                .recv_ack = rte_cpu_to_be_32(c->snd_una),
                                .rx_win = rte_cpu_to_be_16((uint16_t)(c->snd_wnd >> c->snd_scale)),
                                .tcp_flags = TH_ACK};
        uint32_t ts[] = {rte_cpu_to_be_32(0x0101080a), rte_cpu_to_be_32(c->ts_recent), 0};
        uint8_t sack[28];

        hlen = (c->flags & CF_TS) ? 32 : 20;
        if (c->flags & CF_SACK)
            hlen += put_sack(z, sack, c, 3);
        h.data_off = (uint8_t)(hlen / 4 << 4);
        s.side = (enum net_side)c->key.side;
        s.m = rte_pktmbuf_alloc(pool);
        if (!s.m)
            return;
        memcpy(rte_pktmbuf_append(s.m, (uint16_t)hlen), &h, sizeof(h));
        if (c->flags & CF_TS)
            memcpy(rte_pktmbuf_mtod_offset(s.m, void *, 20), ts, sizeof(ts));
        if (c->flags & CF_SACK)
            memcpy(rte_pktmbuf_mtod_offset(s.m, void *, (c->flags & CF_TS) ? 32 : 20), sack,
                   hlen - ((c->flags & CF_TS) ? 32 : 20));
        tcp_input(z->t, &s, z->now);
    }
}

/* The third segment of a handshake, whether anything is remembered of the first two or not. */
static void answer_syn_ack(struct fuzz *z)
{
    unsigned what = take(z), hlen = what & 1 ? 32 : 20;
    struct net_segment s = {.src = z->syn_ack.to, .dst = z->syn_ack.from, .side = z->syn_ack.side};
    struct rte_tcp_hdr h = {.src_port = z->syn_ack.dport,
                            .dst_port = z->syn_ack.sport,
                            .rx_win = RTE_BE16(5000),
                            .data_off = (uint8_t)(hlen / 4 << 4),
                            .tcp_flags = what & 2 ? TH_ACK | TH_FIN : TH_ACK};
    uint32_t seq = z->syn_ack.ack + (what & 4 ? take(z) : 0);
    uint32_t ack = z->syn_ack.seq + 1 + ((what & 0x18) == 0x18 ? take16(z) << 16 : 0);
    uint32_t ts[] = {rte_cpu_to_be_32(0x0101080a), rte_cpu_to_be_32(101),
                     rte_cpu_to_be_32(z->syn_ack.ts + ((what & 0x60) == 0x60 ? take(z) : 0))};

    h.sent_seq = rte_cpu_to_be_32(seq);
    h.recv_ack = rte_cpu_to_be_32(ack);
    s.m = rte_pktmbuf_alloc(pool);
    if (!s.m)
        return;
    memcpy(rte_pktmbuf_append(s.m, (uint16_t)hlen), &h, sizeof(h));
    if (hlen == 32)
        memcpy(rte_pktmbuf_mtod_offset(s.m, void *, 20), ts, sizeof(ts));
    put_payload(s.m, seq, what & 0x80 ? take16(z) % 1461 : 0, 0);
    tcp_input(z->t, &s, z->now);
}

static void unreachable(struct fuzz *z)
{
    struct tcp_conn *c = &z->t->conns[take(z) % CONNS];
    struct net_unreachable u;

    if (!c->t)
        return;
    u = (struct net_unreachable){.src = c->key.local,
                                 .dst = c->key.remote,
                                 .sport = c->key.lport,
                                 .dport = c->key.rport,
                                 .seq = c->snd_una + take(z),
                                 .side = (enum net_side)c->key.side,
                                 .too_big = take(z) & 1,
                                 .mtu = (uint16_t)take16(z)};
    tcp_unreachable(z->t, &u, z->now);
}

/* ------------------------------------------------------------- the owner */

static void owner_read(struct fuzz *z, unsigned i, size_t n)
{
    uint8_t buf[4096];

    n = tcp_read(z->owned[i], buf, n < sizeof(buf) ? n : sizeof(buf));
    for (size_t k = 0; k < n; k++)
        MUST(buf[k] == byte_at(z->owned[i]->irs + 1 + z->got[i]++));
}

static void owner_write(struct fuzz *z, unsigned i, size_t n)
{
    uint8_t buf[4096];
    uint32_t seq = z->owned[i]->snd_end;

    n = n < sizeof(buf) ? n : sizeof(buf);
    for (size_t k = 0; k < n; k++)
        buf[k] = byte_at(seq + (uint32_t)k);
    tcp_write(z->owned[i], buf, n);
}

static void owner_act(struct fuzz *z)
{
    unsigned what = take(z), i = take(z) % CONNS;
    struct tcp_conn *c = z->owned[i];

    if (what % 8 == 7 && z->t->nfree) {
        struct net_addr src = addr(1), dst = addr(3);

        c = tcp_connect(z->t, NET_OUTSIDE, &src, &dst, 443, NULL, z->now);
        if (c) {
            z->owned[c - z->t->conns] = c;
            z->got[c - z->t->conns] = 0;
        }
        return;
    }
    if (!c)
        return;
    if (what % 8 < 3) {
        owner_read(z, i, take16(z));
    } else if (what % 8 < 5) {
        owner_write(z, i, take16(z));
    } else if (what % 8 == 5) {
        tcp_shutdown(c);
    } else {
        z->owned[i] = NULL;
        if (what & 8)
            tcp_close(c);
        else
            tcp_abort(c);
    }
}

static bool on_accept(void *ctx, struct tcp_conn *c)
{
    struct fuzz *z = ctx;
    size_t i = (size_t)(c - z->t->conns);

    if (z->refuse)
        return false;
    MUST(!z->owned[i]);
    z->owned[i] = c;
    z->got[i] = 0;
    return true;
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
    struct fuzz *z = ctx;
    size_t i = (size_t)(c - z->t->conns);

    (void)user;
    MUST(z->owned[i] == c);
    if (events & TCP_EV_CLOSED)
        z->owned[i] = NULL;
    else if (take(z) & 1)
        owner_act(z);
}

/* ------------------------------------------------------------------- run */

static void loop(struct fuzz *z)
{
    tcp_advance(z->t, z->now);
    MUST(tcp_validate(z->t));
    tcp_dispatch(z->t, z->now);
    MUST(tcp_validate(z->t));
    tcp_output(z->t, z->now);
}

static void turn(struct fuzz *z)
{
    static const uint64_t us[] = {10,      1000,     50000,     300000,
                                  2000000, 70000000, 700000000, 3000000000000};

    z->now += us[take(z) % RTE_DIM(us)];
    loop(z);
}

static void port(struct fuzz *z)
{
    unsigned what = take(z);

    z->keep = what & 1;
    z->refuse = (what & 0xf0) == 0xf0;
    while (z->nkept && !z->keep)
        rte_pktmbuf_free(z->kept[--z->nkept]);
}

static void act(struct fuzz *z)
{
    switch (take(z) % 9) {
    case 0 ... 2:
        segment(z);
        break;
    case 3:
        same_acks(z);
        break;
    case 4:
        loop(z);
        break;
    case 5:
        turn(z);
        break;
    case 6:
        owner_act(z);
        break;
    case 7:
        answer_syn_ack(z);
        break;
    default:
        if (take(z) & 1)
            unreachable(z);
        else
            port(z);
    }
    MUST(tcp_validate(z->t));
}

static void set_up(void)
{
    char *argv[] = {"fuzz", "--no-huge", "--no-pci",       "-m",          "64",    "--no-shconf",
                    "-l",   "0",         "--no-telemetry", "--log-level", "error", NULL};

    MUST(rte_eal_init((int)RTE_DIM(argv) - 1, argv) >= 0);
    /* Few: it runs dry now and then. */
    pool = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, 2048 + 128, SOCKET_ID_ANY);
    MUST(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz z = {.now = 1000000, .in = {data, size}};
    struct tcp_lower lower = {.ctx = &z, .send = on_send, .mtu = {1500, 1500}};
    struct tcp_owner owner = {.ctx = &z, .accept = on_accept, .event = on_event};
    struct tcp_config c;

    if (!pool)
        set_up();
    tcp_config_defaults(&c);
    c.max_conns = CONNS;
    c.max_time_wait = 3;
    c.max_half_open = 4;
    c.syn_cookie_mark = take(&z) % 6; /* always, at times, never */
    c.rcvbuf_initial = 1u << (10 + take(&z) % 7);
    c.rcvbuf_max = 4 * c.rcvbuf_initial;
    c.sndbuf_max = 1u << (9 + take(&z) % 8);
    lower.pool = pool;
    lower.linear = take(&z) & 1;
    z.t = tcp_new(&c, &lower, &owner, z.now);
    MUST(z.t && tcp_listen(z.t, NET_INSIDE, 443));
    while (z.in.n)
        act(&z);
    tcp_delete(z.t);
    while (z.nkept)
        rte_pktmbuf_free(z.kept[--z.nkept]);
    MUST(rte_mempool_avail_count(pool) == MBUFS);
    return 0;
}
