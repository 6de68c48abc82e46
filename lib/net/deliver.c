/* Whose business a packet with a good IP header is: a segment for the layer above, ICMP, something
 * that a passthrough entry lets cross, or nobody's. Written once for both families and compiled for
 * each, so that neither pays for asking which it is. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define QUIC_PORT 443

#define FOR_FAMILY static inline __attribute__((always_inline))

/* Lengths and ports of TCP and UDP; other protocols have none. */
static counter *l4_header(struct net *n, struct net_pkt *p, const void *l4)
{
    const struct rte_tcp_hdr *tcp = l4;
    const struct rte_udp_hdr *udp = l4;
    unsigned hlen;

    p->sport = p->dport = 0;
    if (p->protocol == IPPROTO_TCP) {
        hlen = p->l4_len >= sizeof(*tcp) ? (tcp->data_off >> 4) * 4u : 0;
        if (hlen < sizeof(*tcp) || hlen > p->l4_len)
            return &n->count.drop_l4_header;
    } else if (p->protocol == IPPROTO_UDP) {
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
FOR_FAMILY bool tcp_checksum_ok(const struct net_pkt *p, enum net_family family)
{
    uint64_t port = p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    if (port == RTE_MBUF_F_RX_L4_CKSUM_GOOD || port == RTE_MBUF_F_RX_L4_CKSUM_NONE)
        return true;
    if (family == NET_IP4)
        return l4_cksum(p->m, p->ip) == 0;
    return l4_cksum6(p->m, p->ip6, IPPROTO_TCP, p->l4_off, p->l4_len) == 0;
}

FOR_FAMILY counter *segment_up(struct net *n, struct net_pkt *p, enum net_family family)
{
    struct net_segment s = {.m = p->m, .src = p->src, .dst = p->dst, .side = p->side};

    if (!tcp_checksum_ok(p, family))
        return &n->count.drop_l4_checksum;
    if (family == NET_IP4)
        s.ecn = p->ip->type_of_service & 3;
    else
        s.ecn = rte_be_to_cpu_32(p->ip6->vtc_flow) >> RTE_IPV6_HDR_TC_SHIFT & 3;
    rte_pktmbuf_adj(p->m, family == NET_IP4 ? sizeof(*p->ip) : p->l4_off);
    n->up->segment(n->ctx, &s);
    return NULL;
}

/* Nothing of ours and nothing that may cross: a caller is told, so that it fails at once. */
static counter *forbidden(struct net *n, const struct net_pkt *p)
{
    if (p->side == NET_INSIDE)
        net_icmp_error(n, p, NET_TELL_FORBIDDEN, 0);
    return &n->count.drop_not_intercepted;
}

FOR_FAMILY counter *icmp_input(struct net *n, struct net_pkt *p, enum net_family family)
{
    return family == NET_IP4 ? net_icmp_input(n, p) : net_icmp6_input(n, p);
}

FOR_FAMILY counter *from_inside(struct net *n, struct net_pkt *p, enum net_family family)
{
    if (p->protocol == IPPROTO_TCP && net_intercepts(n, p->dport)) {
        if (net_is_local(n, &p->dst) || net_on_link(n, NET_INSIDE, &p->dst))
            return &n->count.drop_not_ours;
        return segment_up(n, p, family);
    }
    if (p->protocol == IPPROTO_UDP && p->dport == QUIC_PORT) {
        net_icmp_error(n, p, NET_TELL_PORT, 0);
        return &n->count.drop_udp_quic;
    }
    if (p->protocol == (family == NET_IP4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return icmp_input(n, p, family);
    if (!net_is_local(n, &p->dst) && net_pass_allows(n, p))
        return net_pass_forward(n, p);
    return forbidden(n, p);
}

FOR_FAMILY counter *from_outside(struct net *n, struct net_pkt *p, enum net_family family)
{
    bool local = net_is_local_on(n, NET_OUTSIDE, &p->dst);

    if (local && p->protocol == IPPROTO_TCP)
        return segment_up(n, p, family);
    if (p->protocol == (family == NET_IP4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return icmp_input(n, p, family);
    if (!net_is_local(n, &p->dst) && net_pass_allows(n, p))
        return net_pass_forward(n, p);
    return local ? &n->count.drop_not_intercepted : &n->count.drop_not_ours;
}

counter *net_deliver4(struct net *n, struct net_pkt *p)
{
    counter *why = l4_header(n, p, p->ip + 1);

    if (why)
        return why;
    return p->side == NET_INSIDE ? from_inside(n, p, NET_IP4) : from_outside(n, p, NET_IP4);
}

counter *net_deliver6(struct net *n, struct net_pkt *p)
{
    counter *why = l4_header(n, p, net_l4(p));

    if (why)
        return why;
    return p->side == NET_INSIDE ? from_inside(n, p, NET_IP6) : from_outside(n, p, NET_IP6);
}
