/* Received IPv6 packets: the header (RFC 8200 3), extension headers, who may send to whom. */
#include "net_internal.h"

#include <netinet/in.h>

/* The whole of a chain of extension headers and of the TCP header behind it. */
#define CHAIN_BYTES (sizeof(struct rte_ipv6_hdr) + NET_IP6_CHAIN_MAX + 60)

/* Everything that can be judged alone. Leaves in `p` a packet without the link's padding. A hop
 * limit of 0 is a router's business, not that of the packet's destination. */
static counter *header(struct net *n, struct net_pkt *p)
{
    uint32_t payload;

    if (p->m->pkt_len < sizeof(*p->ip6))
        return &n->count.drop_ip_header;
    payload = rte_be_to_cpu_16(p->ip6->payload_len);
    if (rte_be_to_cpu_32(p->ip6->vtc_flow) >> 28 != 6 || payload > p->m->pkt_len - sizeof(*p->ip6))
        return &n->count.drop_ip_header;
    if (payload == 0 && p->ip6->proto == IPPROTO_HOPOPTS) /* RFC 2675 3 */
        return &n->count.drop_ip6_jumbo;
    mbuf_trim(p->m, (uint32_t)sizeof(*p->ip6) + payload);
    memcpy(p->src.b, p->ip6->src_addr, sizeof(p->src.b));
    memcpy(p->dst.b, p->ip6->dst_addr, sizeof(p->dst.b));
    p->protocol = p->ip6->proto;
    p->l4_off = sizeof(*p->ip6);
    p->l4_len = (uint16_t)payload;
    return NULL;
}

static counter *refused(struct net *n, const struct net_pkt *p, const struct net_ip6_chain *c,
                        enum net_ip6_verdict verdict)
{
    struct net_counters *count = &n->count;

    if (c->tell && p->side == NET_INSIDE && net_source_ok6(n, p->side, &p->src))
        net_icmp_error(n, p, c->what, c->at);
    switch (verdict) {
    case NET_IP6_ROUTING:
        return &count->drop_ip6_routing;
    case NET_IP6_JUMBO:
        return &count->drop_ip6_jumbo;
    case NET_IP6_FRAGMENT:
        return &count->drop_fragment;
    case NET_IP6_NO_NEXT:
        return &count->drop_ip6_no_next;
    default:
        return &count->drop_ip6_extension;
    }
}

static counter *extensions(struct net *n, struct net_pkt *p)
{
    uint16_t head = (uint16_t)RTE_MIN(p->m->pkt_len, CHAIN_BYTES);
    struct rte_mbuf *m = mbuf_pullup(n->pool, p->m, head);
    struct net_ip6_chain c;
    enum net_ip6_verdict verdict;

    if (!m)
        return &n->count.drop_no_mbuf;
    p->m = m;
    p->ip6 = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
    verdict = net_ip6_walk((const uint8_t *)p->ip6, head, &c);
    if (verdict != NET_IP6_GOOD)
        return refused(n, p, &c, verdict);
    p->protocol = c.protocol;
    p->l4_off = (uint16_t)(p->l4_off + c.len);
    p->l4_len = (uint16_t)(p->l4_len - c.len);
    return NULL;
}

/* Two sources that nothing else may have: the unspecified address of who asks whether an address is
 * free (RFC 4862 5.4.2), and ours, of who says that it has it. */
static bool source_ok(const struct net *n, const struct net_pkt *p)
{
    uint8_t type;

    if (net_source_ok6(n, p->side, &p->src))
        return true;
    if (p->protocol != IPPROTO_ICMPV6 || p->l4_len == 0)
        return false;
    type = *(const uint8_t *)net_l4(p);
    return (type == ICMP6_NS && p->group && net_is_unspecified(&p->src)) ||
           (type == ICMP6_NA && net_is_local_on(n, p->side, &p->src));
}

static bool has_chain(uint8_t protocol)
{
    return protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_ICMPV6;
}

static counter *input(struct net *n, struct net_pkt *p)
{
    counter *why = header(n, p);

    if (!why && has_chain(p->protocol))
        why = extensions(n, p);
    if (why)
        return why;
    if (!source_ok(n, p))
        return &n->count.drop_ip_source;
    if (p->group)
        return net_in_group(n, p->side, &p->dst) && p->protocol == IPPROTO_ICMPV6
                   ? net_icmp6_input(n, p)
                   : &n->count.drop_not_ours;
    if (!net_ip6_unicast(&p->dst))
        return &n->count.drop_not_ours;
    return net_deliver6(n, p);
}

void net_ip6_input(struct net *n, enum net_side side, struct rte_mbuf *m, bool group)
{
    struct net_pkt p = {.m = m, .side = side, .family = NET_IP6, .group = group};
    const struct rte_ether_hdr *eth;
    counter *why;

    p.ip6 = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
    eth = (const void *)((const char *)p.ip6 - sizeof(*eth));
    p.from = eth->src_addr;
    why = n->face[side].ip6 ? input(n, &p) : &n->count.drop_ip6_off;
    if (why)
        net_drop(why, p.m);
}
