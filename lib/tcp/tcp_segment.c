/* TCP headers: read with every bound checked first, and written. */
#include "tcp_internal.h"

#include <rte_byteorder.h>
#include <rte_tcp.h>

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_TS = 8
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint8_t *put8(uint8_t *p, unsigned v)
{
    *p = (uint8_t)v;
    return p + 1;
}

static uint8_t *put16(uint8_t *p, unsigned v)
{
    return put8(put8(p, v >> 8), v);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    return put16(put16(p, v >> 16), v & 0xffff);
}

/* ------------------------------------------------------------- reading */

/* RFC 2018 3. The numbers are checked where they are used. */
static bool sack_read(const uint8_t *o, unsigned len, struct tcp_in *in)
{
    if (len == 0 || len % 8 || len / 8 > TCP_SACK_BLOCKS)
        return false;
    in->nsack = (uint8_t)(len / 8);
    for (unsigned i = 0; i < in->nsack; i++)
        in->sack[i] = (struct tcp_range){get32(o + 8 * i), get32(o + 8 * i + 4)};
    return true;
}

/* One known option; false if its length is not its own. `o` points at kind. */
static bool option_read(const uint8_t *o, unsigned len, struct tcp_in *in)
{
    switch (o[0]) {
    case OPT_MSS:
        if (len != 4)
            return false;
        in->mss = get16(o + 2);
        return true;
    case OPT_WSCALE:
        if (len != 3)
            return false;
        in->wscale = (int8_t)(o[2] < 14 ? o[2] : 14); /* RFC 7323 2.3 */
        return true;
    case OPT_SACK_OK:
        if (len != 2)
            return false;
        in->sack_ok = true;
        return true;
    case OPT_SACK:
        return sack_read(o + 2, len - 2, in);
    case OPT_TS:
        if (len != 10)
            return false;
        in->has_ts = true;
        in->tsval = get32(o + 2);
        in->tsecr = get32(o + 6);
        return true;
    default:
        return true;
    }
}

static bool options_read(const uint8_t *o, unsigned n, struct tcp_in *in)
{
    /* What nearly every segment of an open connection has (RFC 7323 A). */
    if (n == TCP_OPT_TS_LEN && get32(o) == 0x0101080a)
        return option_read(o + 2, 10, in);
    for (unsigned i = 0; i < n && o[i] != OPT_END;) {
        if (o[i] == OPT_NOP) {
            i++;
            continue;
        }
        if (n - i < 2 || o[i + 1] < 2 || o[i + 1] > n - i)
            return false;
        if (!option_read(o + i, o[i + 1], in))
            return false;
        i += o[i + 1];
    }
    return true;
}

bool segment_parse(const struct net_segment *s, struct tcp_in *in)
{
    const struct rte_tcp_hdr *h = rte_pktmbuf_mtod(s->m, const struct rte_tcp_hdr *);
    unsigned hlen;

    if (s->m->data_len < sizeof(*h))
        return false;
    hlen = (h->data_off >> 4) * 4u;
    if (hlen < sizeof(*h) || hlen > s->m->data_len)
        return false;
    in->m = s->m;
    in->key = (struct tcp_key){.local = s->dst,
                               .remote = s->src,
                               .lport = rte_be_to_cpu_16(h->dst_port),
                               .rport = rte_be_to_cpu_16(h->src_port),
                               .side = (uint8_t)s->side};
    in->seq = rte_be_to_cpu_32(h->sent_seq);
    in->ack = rte_be_to_cpu_32(h->recv_ack);
    in->wnd = rte_be_to_cpu_16(h->rx_win);
    in->flags = h->tcp_flags;
    in->len = s->m->pkt_len - hlen;
    in->mss = 0;
    in->wscale = -1;
    in->has_ts = false;
    in->sack_ok = false;
    in->nsack = 0;
    in->old = false;
    in->late = false;
    if (hlen > sizeof(*h) &&
        !options_read((const uint8_t *)(h + 1), hlen - (unsigned)sizeof(*h), in))
        return false;
    s->m->data_off = (uint16_t)(s->m->data_off + hlen);
    s->m->data_len = (uint16_t)(s->m->data_len - hlen);
    s->m->pkt_len -= hlen;
    return true;
}

/* ------------------------------------------------------------- writing */

struct rte_mbuf *control_mbuf(struct tcp *t)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(t->lower.pool);

    if (!m) {
        COUNT(t, drop_no_mbuf);
        return NULL;
    }
    m->data_off = TCP_HEADROOM;
    return m;
}

/* Makes room for a header before the data and fills in all but the options. */
static uint8_t *header_put(const struct tcp_key *key, struct rte_mbuf *m, unsigned hlen,
                           uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd)
{
    struct rte_tcp_hdr *h;

    m->data_off = (uint16_t)(m->data_off - hlen);
    m->data_len = (uint16_t)(m->data_len + hlen);
    m->pkt_len += hlen;
    h = rte_pktmbuf_mtod(m, struct rte_tcp_hdr *);
    h->src_port = rte_cpu_to_be_16(key->lport);
    h->dst_port = rte_cpu_to_be_16(key->rport);
    h->sent_seq = rte_cpu_to_be_32(seq);
    h->recv_ack = rte_cpu_to_be_32(ack);
    h->data_off = (uint8_t)(hlen / 4 << 4);
    h->tcp_flags = flags;
    h->rx_win = rte_cpu_to_be_16(wnd);
    h->cksum = 0;
    h->tcp_urp = 0;
    return (uint8_t *)(h + 1);
}

static uint8_t *timestamps_put(uint8_t *o, uint32_t value, uint32_t echo)
{
    return put32(put32(put32(o, 0x0101080a), value), echo);
}

static void hand_down(struct tcp *t, const struct tcp_key *key, struct rte_mbuf *m)
{
    COUNT(t, tx_segments);
    t->lower.send(t->lower.ctx, (enum net_side)key->side, &key->local, &key->remote, m);
}

/* Every segment carries our ACK, so nothing is owed any more. */
static void ack_sent(struct tcp_conn *c)
{
    c->flags &= ~(uint32_t)CF_ACK_NOW;
    c->rcv_acked = c->rcv_nxt;
    timer_clear(c, TIMER_ACK);
}

void segment_send(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags)
{
    bool ts = (c->flags & CF_TS) != 0;
    unsigned hlen = ts ? 20 + TCP_OPT_TS_LEN : 20, sack = 0;
    uint8_t *o;

    /* Blocks where they fit: full segments have no room, and then an ACK of its own goes out. */
    if (c->flags & CF_SACK)
        sack = blocks_len(c, u32_min(60 - hlen, m->pkt_len < c->mss ? c->mss - m->pkt_len : 0));
    hlen += sack;
    o = header_put(&c->key, m, hlen, seq, c->rcv_nxt, flags | TH_ACK, recv_window(c));
    if (ts)
        o = timestamps_put(o, ts_clock(c->t, c->ts_offset), c->ts_recent);
    if (sack)
        blocks_put(c, o, sack);
    ack_sent(c);
    hand_down(c->t, &c->key, m);
}

static uint32_t mss_offered(const struct tcp *t, const struct tcp_key *key)
{
    return t->lower.mtu[key->side] - ip_header_len(&key->remote) - 20; /* RFC 6691 */
}

/* SYN in SYN_SENT, offering all we know; SYN,ACK in SYN_RECEIVED with what the peer offered too. */
void segment_send_syn(struct tcp_conn *c, struct rte_mbuf *m)
{
    struct tcp *t = c->t;
    bool first = c->state == TCP_SYN_SENT;
    bool ts = first || (c->flags & CF_TS), ws = first || (c->flags & CF_WSCALE);
    bool sack = first || (c->flags & CF_SACK);
    unsigned hlen = 20 + 4 + (ws ? 4 : 0) + (ts ? TCP_OPT_TS_LEN : 0) + (sack ? 4 : 0);
    uint16_t wnd = (uint16_t)u32_min(c->rcvbuf, UINT16_MAX); /* never scaled: RFC 7323 2.2 */
    uint8_t *o = header_put(&c->key, m, hlen, c->iss, first ? 0 : c->rcv_nxt,
                            first ? TH_SYN : TH_SYN | TH_ACK, wnd);

    o = put16(put8(put8(o, OPT_MSS), 4), mss_offered(t, &c->key));
    if (ws)
        o = put8(put8(put8(put8(o, OPT_NOP), OPT_WSCALE), 3), t->rcv_scale);
    if (ts)
        o = timestamps_put(o, ts_clock(t, c->ts_offset), first ? 0 : c->ts_recent);
    if (sack)
        put16(put16(o, OPT_NOP << 8 | OPT_NOP), OPT_SACK_OK << 8 | 2);
    if (!first) {
        c->rcv_edge = seq_max(c->rcv_edge, c->rcv_nxt + wnd);
        ack_sent(c);
    }
    hand_down(t, &c->key, m);
}

void segment_send_cookie(struct tcp *t, const struct tcp_in *syn, uint32_t iss, uint32_t tsval)
{
    bool ts = syn->has_ts, ws = ts && syn->wscale >= 0;
    unsigned hlen = 20 + 4 + (ws ? 4 : 0) + (ts ? TCP_OPT_TS_LEN : 0);
    struct rte_mbuf *m = control_mbuf(t);
    uint8_t *o;

    if (!m)
        return;
    o = header_put(&syn->key, m, hlen, iss, syn->seq + 1, TH_SYN | TH_ACK,
                   (uint16_t)u32_min(t->cfg.rcvbuf_initial, UINT16_MAX));
    o = put16(put8(put8(o, OPT_MSS), 4), mss_offered(t, &syn->key));
    if (ws)
        o = put8(put8(put8(put8(o, OPT_NOP), OPT_WSCALE), 3), t->rcv_scale);
    if (ts) {
        o = timestamps_put(o, tsval, syn->tsval);
        if (syn->sack_ok) /* in the place of the padding */
            put8(put8(o - TCP_OPT_TS_LEN, OPT_SACK_OK), 2);
    }
    hand_down(t, &syn->key, m);
}

void segment_send_bare(struct tcp *t, const struct tcp_key *key, uint32_t seq, uint32_t ack,
                       uint8_t flags, uint16_t wnd, const uint32_t ts[2])
{
    struct rte_mbuf *m = control_mbuf(t);
    uint8_t *o;

    if (!m)
        return;
    o = header_put(key, m, ts ? 20 + TCP_OPT_TS_LEN : 20, seq, ack, flags, wnd);
    if (ts)
        timestamps_put(o, ts[0], ts[1]);
    hand_down(t, key, m);
}

void segment_send_reset(struct tcp *t, const struct tcp_in *s)
{
    if (s->flags & TH_RST)
        return;
    COUNT(t, resets_sent);
    if (s->flags & TH_ACK)
        segment_send_bare(t, &s->key, s->ack, 0, TH_RST, 0, NULL);
    else
        segment_send_bare(t, &s->key, 0, s->seq + in_span(s), TH_RST | TH_ACK, 0, NULL);
}
