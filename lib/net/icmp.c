/* Received ICMP (RFC 792): echo for our own addresses, errors about our segments, and what a
 * passthrough entry lets cross. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_tcp.h>

#define ICMP_HEADER     8
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO       8
#define UNREACH_CODES   16 /* RFC 1812 5.2.7.1: codes 0 to 15 */
#define LEAST_MTU       68 /* RFC 791: every link carries so much */

struct icmp_head {
    uint8_t type, code;
    rte_be16_t cksum;
    rte_be16_t word[2]; /* identifier and sequence; or unused and the next hop's MTU */
} __attribute__((packed));

/* Answers in the request's own mbuf. */
static counter *echo(struct net *n, struct net_pkt *p)
{
    struct icmp_head *icmp = (void *)(p->ip + 1);
    uint32_t size = p->m->pkt_len;

    if (!net_is_local_on(n, p->side, &p->dst))
        return &n->count.drop_not_ours;
    if (icmp->code != 0)
        return &n->count.drop_icmp_bad;
    if (size > n->face[p->side].mtu)
        return &n->count.drop_too_big;
    icmp->type = ICMP_ECHO_REPLY;
    icmp->cksum =
        cksum_update(icmp->cksum, RTE_BE16(ICMP_ECHO << 8), RTE_BE16(ICMP_ECHO_REPLY << 8));
    net_clear_flags(p->m);
    net_ip_header(p->ip, &p->dst, &p->src, IPPROTO_ICMP, p->l4_len);
    counter_inc(&n->count.icmp_echo_replies);
    net_ip_send_or_drop(n, p->side, &p->src, p->m);
    return NULL;
}

/* The packet inside an ICMP error: its header and the first 8 bytes behind it, which RFC 792
 * promises. False if there is less, or it is no first fragment of IPv4. */
static bool read_quote(const struct net_pkt *p, struct net_quote *q)
{
    const uint32_t at = sizeof(*p->ip) + ICMP_HEADER;
    struct rte_ipv4_hdr buf;
    uint8_t l4buf[8];
    const struct rte_ipv4_hdr *ip = rte_pktmbuf_read(p->m, at, sizeof(buf), &buf);
    const uint8_t *l4;
    uint32_t hlen, seq;

    if (!ip || ip->version_ihl >> 4 != 4)
        return false;
    hlen = (ip->version_ihl & 0xfu) * 4;
    if (hlen < sizeof(*ip) || rte_be_to_cpu_16(ip->total_length) < hlen + sizeof(l4buf) ||
        ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
        return false;
    l4 = rte_pktmbuf_read(p->m, at + hlen, sizeof(l4buf), l4buf);
    if (!l4)
        return false;
    memcpy(&seq, l4 + 4, sizeof(seq));
    q->src = net_addr_v4(rte_be_to_cpu_32(ip->src_addr));
    q->dst = net_addr_v4(rte_be_to_cpu_32(ip->dst_addr));
    q->protocol = ip->next_proto_id;
    q->sport = (uint16_t)(l4[0] << 8 | l4[1]);
    q->dport = (uint16_t)(l4[2] << 8 | l4[3]);
    q->seq = rte_be_to_cpu_32(seq);
    return true;
}

/* Outside we speak from our own addresses; inside from the addresses that callers wanted, on
 * intercepted ports. */
bool net_quotes_us(const struct net *n, enum net_side side, const struct net_quote *q)
{
    if (q->protocol != IPPROTO_TCP)
        return false;
    if (side == NET_OUTSIDE)
        return net_is_local_on(n, NET_OUTSIDE, &q->src);
    return net_intercepts(n, q->sport) && !net_is_local(n, &q->src) &&
           !net_on_link(n, NET_INSIDE, &q->src);
}

static counter *unreachable_up(struct net *n, const struct net_pkt *p, const struct net_quote *q)
{
    const struct icmp_head *icmp = (const void *)(p->ip + 1);
    struct net_unreachable u = {.src = q->src,
                                .dst = q->dst,
                                .sport = q->sport,
                                .dport = q->dport,
                                .seq = q->seq,
                                .side = p->side};

    u.too_big = icmp->code == ICMP_CODE_TOO_BIG;
    if (u.too_big)
        u.mtu = rte_be_to_cpu_16(icmp->word[1]);
    /* A smaller MTU than any link may have, or one that our packets kept to, is no router's. */
    if (u.mtu && (u.mtu < LEAST_MTU || u.mtu >= n->face[p->side].mtu))
        return &n->count.drop_icmp_bad;
    n->up->unreachable(n->ctx, &u);
    return &n->count.icmp_errors_received;
}

static counter *error(struct net *n, struct net_pkt *p)
{
    const struct icmp_head *icmp = (const void *)(p->ip + 1);
    struct net_quote q;

    /* The error goes to the sender of what it quotes. */
    if (!read_quote(p, &q) || !net_addr_eq(&q.src, &p->dst))
        return &n->count.drop_icmp_bad;
    if (icmp->type == ICMP_UNREACHABLE && icmp->code >= UNREACH_CODES)
        return &n->count.drop_icmp_bad;
    if (net_quotes_us(n, p->side, &q))
        return icmp->type == ICMP_UNREACHABLE ? unreachable_up(n, p, &q)
                                              : &n->count.drop_icmp_other;
    if (!net_is_local(n, &p->dst) && net_pass_allows_error(n, p, &q))
        return net_pass_forward(n, p);
    return net_is_local(n, &p->dst) ? &n->count.drop_icmp_other : &n->count.drop_not_intercepted;
}

/* Anything that asks or answers, for somebody behind us. */
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

counter *net_icmp_input(struct net *n, struct net_pkt *p)
{
    const struct icmp_head *icmp = (const void *)(p->ip + 1);

    if (p->l4_len < ICMP_HEADER || mbuf_sum(p->m, sizeof(*p->ip), p->l4_len) != 0xffff)
        return &n->count.drop_icmp_bad;
    switch (icmp->type) {
    case ICMP_UNREACHABLE:
    case ICMP_TIME_EXCEEDED:
    case 12: /* parameter problem */
        return error(n, p);
    case 4: /* source quench, deprecated by RFC 6633 */
    case 5: /* redirect: nobody tells us our routes */
        return &n->count.drop_icmp_other;
    case ICMP_ECHO:
        if (net_is_local(n, &p->dst))
            return echo(n, p);
        return transit(n, p);
    default:
        return transit(n, p);
    }
}
