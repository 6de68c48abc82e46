/* Received ICMPv6 (RFC 4443): echo for our own addresses, errors about our segments, what a
 * passthrough entry lets cross; neighbour discovery and MLD go on to their own files. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_tcp.h>

#define ICMP_HEADER     8
#define UNREACH_CODES   9    /* RFC 4443 3.1, RFC 6550 6.7.1, RFC 8883: codes 0 to 8 */
#define LEAST_MTU       1280 /* RFC 8200 5: every link carries so much */
#define QUOTED_L4_BYTES 8    /* ports and sequence number */

struct icmp6_head {
    uint8_t type, code;
    rte_be16_t cksum;
    rte_be32_t word; /* the next hop's MTU; identifier and sequence; or unused */
} __attribute__((packed));

/* ------------------------------------------------------------------ sending */

struct rte_mbuf *net_icmp6_frame(struct net *n, enum net_side side, const struct net_addr *src,
                                 const struct net_addr *dst, const struct rte_ether_addr *to,
                                 uint8_t hop_limit, uint16_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
    struct rte_ether_hdr *eth;
    struct rte_ipv6_hdr *ip;

    if (!m) {
        counter_inc(&n->count.drop_no_mbuf);
        return NULL;
    }
    eth = (void *)rte_pktmbuf_append(m, (uint16_t)(sizeof(*eth) + sizeof(*ip) + len));
    ip = (void *)(eth + 1);
    eth->dst_addr = *to;
    eth->src_addr = n->face[side].mac;
    eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6);
    net_ip6_header(ip, src, dst, IPPROTO_ICMPV6, len);
    ip->hop_limits = hop_limit;
    memset(ip + 1, 0, len);
    return m;
}

void net_icmp6_seal(struct rte_mbuf *m)
{
    const uint32_t off = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr);
    const struct rte_ipv6_hdr *ip =
        rte_pktmbuf_mtod_offset(m, const struct rte_ipv6_hdr *, sizeof(struct rte_ether_hdr));
    struct icmp6_head *icmp = rte_pktmbuf_mtod_offset(m, struct icmp6_head *, off);

    icmp->cksum = l4_cksum6(m, ip, IPPROTO_ICMPV6, off, m->pkt_len - off);
}

/* --------------------------------------------------------------------- echo */

/* Answers in the request's own mbuf, without its extension headers. */
static counter *echo(struct net *n, struct net_pkt *p)
{
    struct icmp6_head *icmp = net_l4(p);
    struct rte_ipv6_hdr *ip;

    if (!net_is_local_on(n, p->side, &p->dst))
        return &n->count.drop_not_ours;
    if (icmp->code != 0)
        return &n->count.drop_icmp_bad;
    if (p->l4_len + sizeof(*ip) > n->face[p->side].mtu)
        return &n->count.drop_too_big;
    icmp->type = ICMP6_ECHO_REPLY;
    icmp->cksum =
        cksum_update(icmp->cksum, RTE_BE16(ICMP6_ECHO << 8), RTE_BE16(ICMP6_ECHO_REPLY << 8));
    net_clear_flags(p->m);
    ip = (void *)rte_pktmbuf_adj(p->m, (uint16_t)(p->l4_off - sizeof(*ip)));
    net_ip6_header(ip, &p->dst, &p->src, IPPROTO_ICMPV6, p->l4_len);
    counter_inc(&n->count.icmp_echo_replies);
    net_ip_send_or_drop(n, p->side, &p->src, p->m);
    return NULL;
}

/* ------------------------------------------------------------------- errors */

/* The packet inside an error: its header, extension headers, and what tells its flow and place in
 * it. False if that is not all there, or it is a fragment. */
static bool read_quote(const struct net_pkt *p, struct net_quote *q)
{
    uint8_t copy[sizeof(struct rte_ipv6_hdr) + NET_IP6_CHAIN_MAX + QUOTED_L4_BYTES];
    const uint32_t there = (uint32_t)p->l4_len - ICMP_HEADER;
    const uint32_t want = RTE_MIN(there, (uint32_t)sizeof(copy));
    const uint8_t *b = rte_pktmbuf_read(p->m, p->l4_off + ICMP_HEADER, want, copy), *l4;
    struct net_ip6_chain c;
    uint32_t seq;

    if (want < sizeof(struct rte_ipv6_hdr) || !b || b[0] >> 4 != 6 ||
        net_ip6_walk(b, want, &c) != NET_IP6_GOOD ||
        sizeof(struct rte_ipv6_hdr) + c.len + QUOTED_L4_BYTES > want)
        return false;
    l4 = b + sizeof(struct rte_ipv6_hdr) + c.len;
    memcpy(q->src.b, b + 8, sizeof(q->src.b));
    memcpy(q->dst.b, b + 24, sizeof(q->dst.b));
    q->protocol = c.protocol;
    q->sport = (uint16_t)(l4[0] << 8 | l4[1]);
    q->dport = (uint16_t)(l4[2] << 8 | l4[3]);
    memcpy(&seq, l4 + 4, sizeof(seq));
    q->seq = rte_be_to_cpu_32(seq);
    return net_ip6_unicast(&q->src) && net_ip6_unicast(&q->dst);
}

static counter *unreachable_up(struct net *n, const struct net_pkt *p, const struct net_quote *q)
{
    const struct icmp6_head *icmp = net_l4(p);
    struct net_unreachable u = {.src = q->src,
                                .dst = q->dst,
                                .sport = q->sport,
                                .dport = q->dport,
                                .seq = q->seq,
                                .side = p->side};

    if (icmp->type == ICMP6_TOO_BIG) {
        uint32_t mtu = rte_be_to_cpu_32(icmp->word);

        /* RFC 8201 4; and what our packets kept to is too big for no router. */
        if (mtu < LEAST_MTU || mtu >= n->face[p->side].mtu)
            return &n->count.drop_icmp_bad;
        u.too_big = true;
        u.mtu = (uint16_t)mtu;
    }
    n->up->unreachable(n->ctx, &u);
    return &n->count.icmp_errors_received;
}

static bool known_code(const struct icmp6_head *icmp)
{
    if (icmp->type == ICMP6_UNREACHABLE)
        return icmp->code < UNREACH_CODES;
    return true; /* RFC 4443 3.2: a receiver ignores that of packet too big */
}

static counter *error(struct net *n, struct net_pkt *p)
{
    const struct icmp6_head *icmp = net_l4(p);
    bool local = net_is_local(n, &p->dst);
    struct net_quote q;

    /* The error goes to the sender of what it quotes. */
    if (!read_quote(p, &q) || !net_addr_eq(&q.src, &p->dst) || !known_code(icmp))
        return &n->count.drop_icmp_bad;
    if (net_quotes_us(n, p->side, &q))
        return icmp->type == ICMP6_UNREACHABLE || icmp->type == ICMP6_TOO_BIG
                   ? unreachable_up(n, p, &q)
                   : &n->count.drop_icmp_other;
    if (!local && net_pass_allows_error(n, p, &q))
        return net_pass_forward(n, p);
    return local ? &n->count.drop_icmp_other : &n->count.drop_not_intercepted;
}

/* Echo between hosts on both sides of us. Everything else that asks or answers belongs to a link or
 * to nobody that we know (RFC 4890 4.3). */
static counter *transit(struct net *n, struct net_pkt *p)
{
    if (net_is_local(n, &p->dst))
        return &n->count.drop_icmp_other;
    if (net_pass_allows(n, p))
        return net_pass_forward(n, p);
    if (p->side == NET_OUTSIDE)
        return &n->count.drop_not_ours;
    net_icmp_error(n, p, NET_TELL_FORBIDDEN, 0);
    return &n->count.drop_not_intercepted;
}

/* What may come to a group: to us and to others on the link. */
static counter *to_group(struct net *n, struct net_pkt *p, uint8_t type)
{
    if (type == ICMP6_NS || type == ICMP6_NA)
        return net_nd_input(n, p);
    return type == ICMP6_MLD_QUERY ? net_mld_input(n, p) : &n->count.drop_icmp_other;
}

static counter *to_host(struct net *n, struct net_pkt *p, uint8_t type)
{
    switch (type) {
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
    case ICMP6_TIME_EXCEEDED:
    case ICMP6_PARAMETER:
        return error(n, p);
    case ICMP6_NS:
    case ICMP6_NA:
        return net_nd_input(n, p);
    case ICMP6_ECHO:
        return net_is_local(n, &p->dst) ? echo(n, p) : transit(n, p);
    case ICMP6_ECHO_REPLY:
        return transit(n, p);
    default: /* redirects and advertisements too: nobody tells us our routes */
        return &n->count.drop_icmp_other;
    }
}

counter *net_icmp6_input(struct net *n, struct net_pkt *p)
{
    const struct icmp6_head *icmp = net_l4(p);

    if (p->l4_len < ICMP_HEADER ||
        l4_cksum6(p->m, p->ip6, IPPROTO_ICMPV6, p->l4_off, p->l4_len) != 0)
        return &n->count.drop_icmp_bad;
    return p->group ? to_group(n, p, icmp->type) : to_host(n, p, icmp->type);
}
