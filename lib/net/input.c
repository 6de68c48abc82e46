/* Received frames: Ethernet, the IPv4 header, and whose business the packet is. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>
#include <rte_udp.h>

/* So much of a frame is made one piece before anybody looks: Ethernet, the longest IPv4 header, a
 * TCP header without options; or a TCP header with all its options behind a usual IPv4 header. */
#define HEAD_BYTES (sizeof(struct rte_ether_hdr) + 20 + 60)

#define QUIC_PORT 443

/* ---------------------------------------------------------------- IPv4 */

static bool ip_checksum_ok(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip, uint16_t hlen)
{
    uint64_t port = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

    if (port == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
        return true;
    return rte_raw_cksum(ip, hlen) == 0xffff;
}

/* RFC 791, RFC 1122 3.2.1: everything in the header that can be judged alone. Leaves in `p` a
 * packet without the link's padding. */
static counter *ip4_header(struct net *n, struct net_pkt *p)
{
    struct net_counters *c = &n->count;
    struct rte_ipv4_hdr *ip = p->ip;
    uint16_t hlen, total, frag;

    if (p->m->pkt_len < sizeof(*ip))
        return &c->drop_ip_header;
    hlen = (uint16_t)((ip->version_ihl & 0xf) * 4);
    total = rte_be_to_cpu_16(ip->total_length);
    frag = rte_be_to_cpu_16(ip->fragment_offset);
    if (ip->version_ihl >> 4 != 4 || hlen < sizeof(*ip) || total < hlen || total > p->m->pkt_len)
        return &c->drop_ip_header;
    if (!ip_checksum_ok(p->m, ip, hlen))
        return &c->drop_ip_checksum;
    if (frag & 0x8000) /* reserved, must be zero */
        return &c->drop_ip_header;
    if (hlen != sizeof(*ip))
        return &c->drop_ip_options;
    if (frag & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
        return &c->drop_fragment;
    if (ip->time_to_live == 0)
        return &c->drop_ttl;
    mbuf_trim(p->m, total);
    p->l4_len = (uint16_t)(total - hlen);
    p->src = net_addr_v4(rte_be_to_cpu_32(ip->src_addr));
    p->dst = net_addr_v4(rte_be_to_cpu_32(ip->dst_addr));
    return NULL;
}

/* Whether a single host can be meant: no multicast, no broadcast, no "this host", no loopback. */
static bool unicast(const struct net *n, const struct net_pkt *p)
{
    uint32_t d = rte_be_to_cpu_32(p->ip->dst_addr);

    return d >> 24 != 0 && d >> 24 != 127 && d >> 28 < 0xe &&
           !net_is_broadcast_on(n, NET_INSIDE, &p->dst) &&
           !net_is_broadcast_on(n, NET_OUTSIDE, &p->dst);
}

/* Lengths and ports of TCP and UDP; other protocols have none. */
static counter *l4_header(struct net *n, struct net_pkt *p)
{
    const struct rte_tcp_hdr *tcp = (const void *)(p->ip + 1);
    const struct rte_udp_hdr *udp = (const void *)(p->ip + 1);
    unsigned hlen;

    p->sport = p->dport = 0;
    if (p->ip->next_proto_id == IPPROTO_TCP) {
        hlen = p->l4_len >= sizeof(*tcp) ? (tcp->data_off >> 4) * 4u : 0;
        if (hlen < sizeof(*tcp) || hlen > p->l4_len)
            return &n->count.drop_l4_header;
    } else if (p->ip->next_proto_id == IPPROTO_UDP) {
        hlen = p->l4_len >= sizeof(*udp) ? rte_be_to_cpu_16(udp->dgram_len) : 0;
        if (hlen < sizeof(*udp) || hlen > p->l4_len)
            return &n->count.drop_l4_header;
    } else {
        return NULL;
    }
    p->sport = rte_be_to_cpu_16(udp->src_port);
    p->dport = rte_be_to_cpu_16(udp->dst_port);
    return p->sport && p->dport ? NULL : &n->count.drop_l4_header;
}

/* NONE: the segment never was on a wire (a guest of the same host), its data is right though the
 * field is not filled in. */
static bool tcp_checksum_ok(const struct net_pkt *p)
{
    uint64_t port = p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    if (port == RTE_MBUF_F_RX_L4_CKSUM_GOOD || port == RTE_MBUF_F_RX_L4_CKSUM_NONE)
        return true;
    return l4_cksum(p->m, p->ip) == 0;
}

static counter *segment_up(struct net *n, struct net_pkt *p)
{
    struct net_segment s = {.m = p->m, .src = p->src, .dst = p->dst, .side = p->side};

    if (!tcp_checksum_ok(p))
        return &n->count.drop_l4_checksum;
    s.ecn = p->ip->type_of_service & 3;
    rte_pktmbuf_adj(p->m, sizeof(*p->ip));
    n->up->segment(n->ctx, &s);
    return NULL;
}

/* Nothing of ours and nothing that may cross: a caller is told, so that it fails at once. */
static counter *forbidden(struct net *n, const struct net_pkt *p)
{
    if (p->side == NET_INSIDE)
        net_icmp_error(n, p, ICMP_UNREACHABLE, ICMP_CODE_FORBIDDEN, 0);
    return &n->count.drop_not_intercepted;
}

static counter *from_inside(struct net *n, struct net_pkt *p)
{
    uint8_t proto = p->ip->next_proto_id;

    if (proto == IPPROTO_TCP && net_intercepts(n, p->dport)) {
        if (net_is_local(n, &p->dst) || net_on_link(n, NET_INSIDE, &p->dst))
            return &n->count.drop_not_ours;
        return segment_up(n, p);
    }
    if (proto == IPPROTO_UDP && p->dport == QUIC_PORT) {
        net_icmp_error(n, p, ICMP_UNREACHABLE, ICMP_CODE_PORT, 0);
        return &n->count.drop_udp_quic;
    }
    if (proto == IPPROTO_ICMP)
        return net_icmp_input(n, p);
    if (!net_is_local(n, &p->dst) && net_pass_allows(n, p))
        return net_pass_forward(n, p);
    return forbidden(n, p);
}

static counter *from_outside(struct net *n, struct net_pkt *p)
{
    uint8_t proto = p->ip->next_proto_id;
    bool local = net_is_local_on(n, NET_OUTSIDE, &p->dst);

    if (local && proto == IPPROTO_TCP)
        return segment_up(n, p);
    if (proto == IPPROTO_ICMP)
        return net_icmp_input(n, p);
    if (!net_is_local(n, &p->dst) && net_pass_allows(n, p))
        return net_pass_forward(n, p);
    return local ? &n->count.drop_not_intercepted : &n->count.drop_not_ours;
}

static counter *ip4_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    struct net_pkt p = {.m = m, .side = side, .ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)};
    counter *why = ip4_header(n, &p);

    if (why)
        return why;
    if (!net_source_ok(n, side, &p.src))
        return &n->count.drop_ip_source;
    if (!unicast(n, &p))
        return &n->count.drop_not_ours;
    why = l4_header(n, &p);
    if (why)
        return why;
    return side == NET_INSIDE ? from_inside(n, &p) : from_outside(n, &p);
}

/* -------------------------------------------------------------- Ethernet */

/* Frames for us alone, and broadcasts where ARP needs them. Frames from our own address are echoes
 * of what we sent. */
static counter *ether_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    const struct rte_ether_addr *mac = &n->face[side].mac;
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    bool mine = rte_is_same_ether_addr(&eth->dst_addr, mac);

    if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
        return &n->count.drop_vlan;
    if ((!mine && !rte_is_broadcast_ether_addr(&eth->dst_addr)) ||
        rte_is_same_ether_addr(&eth->src_addr, mac) || !rte_is_unicast_ether_addr(&eth->src_addr))
        return &n->count.drop_not_our_mac;
    switch (rte_be_to_cpu_16(eth->ether_type)) {
    case RTE_ETHER_TYPE_ARP:
        return net_arp_input(n, side, m);
    case RTE_ETHER_TYPE_IPV4:
        if (!mine) /* RFC 1122 3.3.6 */
            return &n->count.drop_not_ours;
        rte_pktmbuf_adj(m, sizeof(*eth));
        return ip4_input(n, side, m);
    case RTE_ETHER_TYPE_IPV6:
        return &n->count.drop_ipv6;
    case RTE_ETHER_TYPE_VLAN:
    case RTE_ETHER_TYPE_QINQ:
        return &n->count.drop_vlan;
    default:
        return &n->count.drop_ethertype;
    }
}

void net_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    uint16_t head = (uint16_t)RTE_MIN(m->pkt_len, HEAD_BYTES);
    struct rte_mbuf *whole;
    counter *why;

    if (m->pkt_len < sizeof(struct rte_ether_hdr)) {
        net_drop(&n->count.drop_runt, m);
        return;
    }
    whole = mbuf_pullup(n->pool, m, head);
    if (!whole) {
        net_drop(&n->count.drop_no_mbuf, m);
        return;
    }
    why = ether_input(n, side, whole);
    if (why)
        net_drop(why, whole);
}
