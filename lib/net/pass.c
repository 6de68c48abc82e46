/* Passthrough: packets that an entry of the configuration lets cross without being looked into.
 * Stateless: an entry's replies are known by its addresses and by its ports as source ports. A
 * reply never opens a TCP connection, so an entry for calls out is no door in. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_tcp.h>

/* A packet on its way out: what it would be if it were none of the two. */
struct flow {
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

        if (e->protocol == f->protocol && f->port >= e->low && f->port <= e->high &&
            net_range_has(&e->from, f->inside) && net_range_has(&e->to, f->outside))
            return true;
    }
    return false;
}

static bool opens_connection(const struct net_pkt *p)
{
    const struct rte_tcp_hdr *tcp = (const void *)(p->ip + 1);

    return p->ip->next_proto_id == IPPROTO_TCP &&
           (tcp->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG)) == RTE_TCP_SYN_FLAG;
}

bool net_pass_allows(const struct net *n, const struct net_pkt *p)
{
    struct flow out = {&p->src, &p->dst, p->ip->next_proto_id, p->dport};
    struct flow back = {&p->dst, &p->src, p->ip->next_proto_id, p->sport};

    if (p->side == NET_INSIDE)
        return allows(n, &out);
    return allows(n, &back) && !opens_connection(p);
}

bool net_pass_allows_error(const struct net *n, const struct net_pkt *p, const struct net_quote *q)
{
    struct flow out = {&q->src, &q->dst, q->protocol, q->dport};
    struct flow back = {&q->dst, &q->src, q->protocol, q->sport};

    if (q->protocol == IPPROTO_ICMP)
        out.port = back.port = 0;
    /* An error that comes in by the outside is about a packet that went out by it. */
    return p->side == NET_OUTSIDE ? allows(n, &out) : allows(n, &back);
}

/* RFC 1624 equation 3. TTL and protocol share a word. */
static void count_down(struct rte_ipv4_hdr *ip)
{
    uint16_t before, after;

    memcpy(&before, &ip->time_to_live, sizeof(before));
    ip->time_to_live--;
    memcpy(&after, &ip->time_to_live, sizeof(after));
    ip->hdr_checksum = cksum_update(ip->hdr_checksum, before, after);
}

/* A segment from a guest of the same host has no checksum yet; the wire needs one. */
static void fill_checksum(struct net_pkt *p)
{
    char *l4 = (char *)(p->ip + 1);
    uint16_t zero = 0, sum;
    size_t field;

    if ((p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE)
        return;
    if (p->ip->next_proto_id == IPPROTO_TCP)
        field = offsetof(struct rte_tcp_hdr, cksum);
    else if (p->ip->next_proto_id == IPPROTO_UDP)
        field = 6;
    else
        return;
    memcpy(l4 + field, &zero, sizeof(zero));
    sum = l4_cksum(p->m, p->ip);
    if (sum == 0 && p->ip->next_proto_id == IPPROTO_UDP)
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
    if (p->ip->time_to_live <= 1) {
        net_icmp_error(n, p, ICMP_TIME_EXCEEDED, 0, 0);
        return &n->count.drop_ttl;
    }
    if (p->m->pkt_len > mtu) { /* we do not fragment; with DF or without, the sender shall know */
        net_icmp_error(n, p, ICMP_UNREACHABLE, ICMP_CODE_TOO_BIG, mtu);
        return &n->count.drop_too_big;
    }
    if (!net_route(n, to, &p->dst, &hop)) {
        net_icmp_error(n, p, ICMP_UNREACHABLE, ICMP_CODE_NET, 0);
        return &n->count.drop_no_route;
    }
    fill_checksum(p);
    count_down(p->ip);
    net_clear_flags(p->m);
    counter_inc(&n->count.passed);
    net_ip_send_or_drop(n, to, &p->dst, p->m);
    return NULL;
}
