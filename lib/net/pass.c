/* Passthrough: packets that an entry of the configuration lets cross without being looked into.
 * Stateless: an entry's replies are known by its addresses and by its ports as source ports. A
 * reply never opens a TCP connection, so an entry for calls out is no door in. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_tcp.h>

/* A packet on its way out: what it would be if it were none of the two. */
struct flow {
    enum net_family family;
    const struct net_addr *inside, *outside;
    uint8_t protocol;
    uint16_t port; /* the outside host's */
};

static bool allows(const struct net *n, const struct flow *f)
{
    if (f->protocol == IPPROTO_TCP && net_intercepts(n, f->port))
        return false;
    if (f->protocol == IPPROTO_UDP && f->port == 443) /* QUIC: no entry lets it round the rules */
        return false;
    for (unsigned i = 0; i < n->npass; i++) {
        const struct net_pass *e = &n->pass[i];

        if (e->family == f->family && e->protocol == f->protocol && f->port >= e->low &&
            f->port <= e->high && net_range_has(&e->from, f->inside) &&
            net_range_has(&e->to, f->outside))
            return true;
    }
    return false;
}

static bool opens_connection(const struct net_pkt *p)
{
    const struct rte_tcp_hdr *tcp = net_l4(p);

    return p->protocol == IPPROTO_TCP &&
           (tcp->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG)) == RTE_TCP_SYN_FLAG;
}

bool net_pass_allows(const struct net *n, const struct net_pkt *p)
{
    struct flow out = {p->family, &p->src, &p->dst, p->protocol, p->dport};
    struct flow back = {p->family, &p->dst, &p->src, p->protocol, p->sport};

    if (p->side == NET_INSIDE)
        return allows(n, &out);
    return allows(n, &back) && !opens_connection(p);
}

bool net_pass_allows_error(const struct net *n, const struct net_pkt *p, const struct net_quote *q)
{
    struct flow out = {p->family, &q->src, &q->dst, q->protocol, q->dport};
    struct flow back = {p->family, &q->dst, &q->src, q->protocol, q->sport};

    if (q->protocol == IPPROTO_ICMP || q->protocol == IPPROTO_ICMPV6)
        out.port = back.port = 0;
    /* An error that comes in by the outside is about a packet that went out by it. */
    return p->side == NET_OUTSIDE ? allows(n, &out) : allows(n, &back);
}

static uint8_t hops_left(const struct net_pkt *p)
{
    return p->family == NET_IP4 ? p->ip->time_to_live : p->ip6->hop_limits;
}

/* RFC 1624 equation 3. TTL and protocol share a word. IPv6 has no sum over its header. */
static void count_down(struct net_pkt *p)
{
    struct rte_ipv4_hdr *ip = p->ip;
    uint16_t before, after;

    if (p->family == NET_IP6) {
        p->ip6->hop_limits--;
        return;
    }
    memcpy(&before, &ip->time_to_live, sizeof(before));
    ip->time_to_live--;
    memcpy(&after, &ip->time_to_live, sizeof(after));
    ip->hdr_checksum = cksum_update(ip->hdr_checksum, before, after);
}

/* A segment from a guest of the same host has no checksum yet; the wire needs one. */
static void fill_checksum(struct net_pkt *p)
{
    char *l4 = net_l4(p);
    uint16_t zero = 0, sum;
    size_t field;

    if ((p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE)
        return;
    if (p->protocol == IPPROTO_TCP)
        field = offsetof(struct rte_tcp_hdr, cksum);
    else if (p->protocol == IPPROTO_UDP)
        field = 6;
    else
        return;
    memcpy(l4 + field, &zero, sizeof(zero));
    if (p->family == NET_IP4)
        sum = l4_cksum(p->m, p->ip);
    else
        sum = l4_cksum6(p->m, p->ip6, p->protocol, p->l4_off, p->l4_len);
    if (sum == 0 && p->protocol == IPPROTO_UDP)
        sum = 0xffff; /* RFC 768: zero would say that there is none */
    memcpy(l4 + field, &sum, sizeof(sum));
}

counter *net_pass_forward(struct net *n, struct net_pkt *p)
{
    enum net_side to = net_other(p->side);
    uint16_t mtu = n->face[to].mtu;
    struct net_addr hop;

    if (net_on_link(n, p->side, &p->dst)) /* it would go back where it came from */
        return &n->count.drop_not_ours;
    if (p->family == NET_IP6 && net_is_link_local(&p->src)) /* RFC 4291 2.5.6 */
        return &n->count.drop_ip_source;
    if (hops_left(p) <= 1) {
        net_icmp_error(n, p, NET_TELL_EXPIRED, 0);
        return &n->count.drop_ttl;
    }
    if (p->m->pkt_len > mtu) { /* we do not fragment; with DF or without, the sender shall know */
        net_icmp_error(n, p, NET_TELL_TOO_BIG, mtu);
        return &n->count.drop_too_big;
    }
    if (!net_route(n, to, &p->dst, &hop)) {
        net_icmp_error(n, p, NET_TELL_NO_ROUTE, 0);
        return &n->count.drop_no_route;
    }
    fill_checksum(p);
    count_down(p);
    net_clear_flags(p->m);
    counter_inc(&n->count.passed);
    net_ip_send_or_drop(n, to, &p->dst, p->m);
    return NULL;
}
