/* Received frames: Ethernet and the IPv4 header. */
#include "net_internal.h"

/* So much of a frame is made one piece before anybody looks: Ethernet, the longest IPv4 header, a
 * TCP header without options; or a TCP header with all its options behind an IPv6 header. */
#define HEAD_BYTES (sizeof(struct rte_ether_hdr) + 40 + 60)

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
    p->protocol = ip->next_proto_id;
    p->l4_off = sizeof(*ip);
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
    return net_deliver4(n, &p);
}

/* -------------------------------------------------------------- Ethernet */

/* A frame to neither us nor everybody: IPv6 to one of our groups, or not for us. */
static counter *group_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);

    if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV6) ||
        !net_in_group_mac(n, side, &eth->dst_addr))
        return &n->count.drop_not_our_mac;
    rte_pktmbuf_adj(m, sizeof(*eth));
    net_ip6_input(n, side, m, true);
    return NULL;
}

/* Frames for us alone, broadcasts where ARP needs them, and groups where IPv6 does. Frames from our
 * own address are echoes of what we sent. */
static counter *ether_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    const struct rte_ether_addr *mac = &n->face[side].mac;
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    bool mine = rte_is_same_ether_addr(&eth->dst_addr, mac);

    if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
        return &n->count.drop_vlan;
    if (rte_is_same_ether_addr(&eth->src_addr, mac) || !rte_is_unicast_ether_addr(&eth->src_addr))
        return &n->count.drop_not_our_mac;
    if (!mine && !rte_is_broadcast_ether_addr(&eth->dst_addr))
        return group_input(n, side, m);
    switch (rte_be_to_cpu_16(eth->ether_type)) {
    case RTE_ETHER_TYPE_ARP:
        return net_arp_input(n, side, m);
    case RTE_ETHER_TYPE_IPV4:
        if (!mine) /* RFC 1122 3.3.6 */
            return &n->count.drop_not_ours;
        rte_pktmbuf_adj(m, sizeof(*eth));
        return ip4_input(n, side, m);
    case RTE_ETHER_TYPE_IPV6:
        if (!mine)
            return &n->count.drop_not_ours;
        rte_pktmbuf_adj(m, sizeof(*eth));
        net_ip6_input(n, side, m, false);
        return NULL;
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
