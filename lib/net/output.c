/* Packets on their way out: headers, checksums, the burst. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <rte_tcp.h>

/* ------------------------------------------------------------------ burst */

/* The port looks at what it is to finish (some drivers need pseudo header sums or contexts); a
 * packet that it refuses is dropped here, not at the head of the queue for ever. Returns how many
 * of the first `want` may go. */
static uint16_t prepare(struct net *n, struct net_face *f, struct rte_mbuf **m, uint16_t want)
{
    uint16_t ready;

    if (!f->tx_cksum)
        return want;
    ready = rte_eth_tx_prepare(f->port, f->queue, m, want);
    if (ready == 0) {
        net_drop(&n->count.drop_tx_refused, m[0]);
        f->tx.head = (f->tx.head + 1) % NET_TX_ROOM;
        f->tx.count--;
    }
    return ready;
}

/* Hands over up to a burst of packets; false when the port takes no more. */
static bool send_some(struct net *n, struct net_face *f)
{
    struct net_txq *q = &f->tx;
    uint32_t run = RTE_MIN(q->count, NET_TX_ROOM - q->head);
    uint16_t want = (uint16_t)RTE_MIN(run, (uint32_t)NET_BURST), sent;
    struct rte_mbuf **m = &q->m[q->head];
    uint32_t size[NET_BURST];
    uint64_t bytes = 0;

    if (!f->has_queue) {
        sent = (uint16_t)mesh_hand_over(n, f, m, want);
        q->head = (q->head + sent) % NET_TX_ROOM;
        q->count -= sent;
        return sent == want && q->count > 0;
    }
    want = prepare(n, f, m, want);
    if (want == 0)
        return q->count > 0;
    for (uint16_t i = 0; i < want; i++)
        size[i] = m[i]->pkt_len;
    sent = rte_eth_tx_burst(f->port, f->queue, m, want);
    for (uint16_t i = 0; i < sent; i++)
        bytes += size[i];
    counter_add(&n->count.tx_packets, sent);
    counter_add(&n->count.tx_bytes, bytes);
    q->head = (q->head + sent) % NET_TX_ROOM;
    q->count -= sent;
    return sent == want && q->count > 0;
}

static void flush(struct net *n, struct net_face *f)
{
    while (f->tx.count && send_some(n, f))
        ;
}

void net_flush(struct net *n)
{
    flush(n, &n->face[NET_INSIDE]);
    flush(n, &n->face[NET_OUTSIDE]);
}

void net_tx(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    struct net_face *f = &n->face[side];
    struct net_txq *q = &f->tx;

    if (q->count == NET_TX_ROOM)
        flush(n, f);
    if (q->count == NET_TX_ROOM) {
        net_drop(&n->count.drop_tx_full, m);
        return;
    }
    q->m[(q->head + q->count) % NET_TX_ROOM] = m;
    q->count++;
    if (q->count == NET_BURST)
        send_some(n, f);
}

/* --------------------------------------------------------------------- IP */

void net_ip_header(struct rte_ipv4_hdr *ip, const struct net_addr *src, const struct net_addr *dst,
                   uint8_t protocol, uint16_t payload)
{
    ip->version_ihl = RTE_IPV4_VHL_DEF;
    ip->type_of_service = 0;
    ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + payload));
    ip->packet_id = 0; /* RFC 6864 4.1: of no use in a packet that is never cut */
    ip->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
    ip->time_to_live = NET_TTL;
    ip->next_proto_id = protocol;
    ip->hdr_checksum = 0;
    ip->src_addr = rte_cpu_to_be_32(net_addr_to_v4(src));
    ip->dst_addr = rte_cpu_to_be_32(net_addr_to_v4(dst));
    ip->hdr_checksum = rte_ipv4_cksum(ip);
}

void net_ip6_header(struct rte_ipv6_hdr *ip, const struct net_addr *src, const struct net_addr *dst,
                    uint8_t protocol, uint16_t payload)
{
    ip->vtc_flow = RTE_BE32(6u << 28);
    ip->payload_len = rte_cpu_to_be_16(payload);
    ip->proto = protocol;
    ip->hop_limits = NET_TTL;
    memcpy(ip->src_addr, src->b, sizeof(ip->src_addr));
    memcpy(ip->dst_addr, dst->b, sizeof(ip->dst_addr));
}

/* What the port cannot gather it gets in one piece. An indirect mbuf counts as such: drivers that
 * lend their buffers to the kernel (af_xdp) find the data by the mbuf's own address. */
static bool needs_copy(const struct net_face *f, const struct rte_mbuf *m)
{
    return m->nb_segs > f->max_segs || (f->max_segs == 1 && !RTE_MBUF_DIRECT(m));
}

counter *net_ip_send(struct net *n, enum net_side side, const struct net_addr *dst,
                     struct rte_mbuf *m)
{
    struct net_addr hop;

    if (!net_route(n, side, dst, &hop))
        return &n->count.drop_no_route;
    return neigh_send(n, side, &hop, m);
}

void net_ip_send_or_drop(struct net *n, enum net_side side, const struct net_addr *dst,
                         struct rte_mbuf *m)
{
    counter *why;

    if (needs_copy(&n->face[side], m)) {
        struct rte_mbuf *l = mbuf_linear(n->pool, m);

        if (!l) {
            net_drop(&n->count.drop_no_mbuf, m);
            return;
        }
        m = l;
    }
    why = net_ip_send(n, side, dst, m);
    if (why)
        net_drop(why, m);
}

/* -------------------------------------------------------------------- TCP */

static void offload_checksums(struct rte_mbuf *m, struct rte_ipv4_hdr *ip, struct rte_tcp_hdr *tcp)
{
    m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
    m->l2_len = sizeof(struct rte_ether_hdr);
    m->l3_len = sizeof(*ip);
    m->l4_len = (tcp->data_off >> 4) * 4u;
    ip->hdr_checksum = 0;
    tcp->cksum = rte_ipv4_phdr_cksum(ip, m->ol_flags);
}

/* Whether a segment can have an IP header of `hlen` bytes before it. */
static counter *unfit(struct net *n, const struct net_face *f, const struct rte_mbuf *m,
                      uint32_t hlen)
{
    if (m->data_len < sizeof(struct rte_tcp_hdr))
        return &n->count.drop_l4_header;
    if (m->pkt_len + hlen > f->mtu)
        return &n->count.drop_too_big;
    if (rte_pktmbuf_headroom(m) < hlen + sizeof(struct rte_ether_hdr))
        return &n->count.drop_no_mbuf;
    return NULL;
}

static counter *send_tcp4(struct net *n, enum net_side side, const struct net_addr *src,
                          const struct net_addr *dst, struct rte_mbuf *m)
{
    const struct net_face *f = &n->face[side];
    struct rte_ipv4_hdr *ip;
    struct rte_tcp_hdr *tcp;
    counter *why = unfit(n, f, m, sizeof(*ip));

    if (why)
        return why;
    tcp = rte_pktmbuf_mtod(m, struct rte_tcp_hdr *);
    ip = (void *)rte_pktmbuf_prepend(m, sizeof(*ip));
    net_ip_header(ip, src, dst, IPPROTO_TCP, (uint16_t)(m->pkt_len - sizeof(*ip)));
    net_clear_flags(m);
    if (f->tx_cksum)
        offload_checksums(m, ip, tcp);
    else
        tcp->cksum = l4_cksum(m, ip);
    return NULL;
}

/* RFC 6437 3: one label for all packets of a flow, that strangers cannot guess, so that routers
 * which spread by it keep the flow together. */
static uint32_t flow_label(const struct net *n, const struct rte_ipv6_hdr *ip, uint32_t ports)
{
    uint64_t w[4], h = n->flow_seed ^ ports;

    memcpy(w, ip->src_addr, sizeof(w)); /* and the destination, which follows */
    for (unsigned i = 0; i < RTE_DIM(w); i++)
        h = (h ^ w[i] ^ h >> 31) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 44);
}

static void offload_checksum6(struct rte_mbuf *m, const struct rte_ipv6_hdr *ip,
                              struct rte_tcp_hdr *tcp)
{
    m->ol_flags |= RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM;
    m->l2_len = sizeof(struct rte_ether_hdr);
    m->l3_len = sizeof(*ip);
    m->l4_len = (tcp->data_off >> 4) * 4u;
    tcp->cksum = rte_ipv6_phdr_cksum(ip, m->ol_flags);
}

static counter *send_tcp6(struct net *n, enum net_side side, const struct net_addr *src,
                          const struct net_addr *dst, struct rte_mbuf *m)
{
    const struct net_face *f = &n->face[side];
    uint16_t len = (uint16_t)m->pkt_len;
    struct rte_ipv6_hdr *ip;
    struct rte_tcp_hdr *tcp;
    counter *why = unfit(n, f, m, sizeof(*ip));
    uint32_t ports;

    if (why)
        return why;
    tcp = rte_pktmbuf_mtod(m, struct rte_tcp_hdr *);
    ip = (void *)rte_pktmbuf_prepend(m, sizeof(*ip));
    net_ip6_header(ip, src, dst, IPPROTO_TCP, len);
    memcpy(&ports, tcp, sizeof(ports));
    ip->vtc_flow |= rte_cpu_to_be_32(flow_label(n, ip, ports));
    net_clear_flags(m);
    if (f->tx_cksum)
        offload_checksum6(m, ip, tcp);
    else
        tcp->cksum = l4_cksum6(m, ip, IPPROTO_TCP, sizeof(*ip), len);
    return NULL;
}

static counter *send_tcp(struct net *n, enum net_side side, const struct net_addr *src,
                         const struct net_addr *dst, struct rte_mbuf *m)
{
    bool v4 = net_addr_is_v4(dst);

    if (net_addr_is_v4(src) != v4)
        return &n->count.drop_no_route; /* there is no way from one family to the other */
    return v4 ? send_tcp4(n, side, src, dst, m) : send_tcp6(n, side, src, dst, m);
}

void net_send_tcp(struct net *n, enum net_side side, const struct net_addr *src,
                  const struct net_addr *dst, struct rte_mbuf *m)
{
    counter *why = send_tcp(n, side, src, dst, m);

    if (why)
        net_drop(why, m);
    else
        net_ip_send_or_drop(n, side, dst, m);
}
