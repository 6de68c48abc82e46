/* ICMP errors that we send (RFC 1812 4.3, RFC 4443 2.4): when, to whom, how many. */
#include "net_internal.h"

#include <netinet/in.h>

#define ICMP_HEADER 8
#define MOST_BYTES4 576 /* RFC 1812 4.3.2.3; for IPv6 the least MTU (RFC 4443 2.4 (c)) */

static bool allowed_now(struct net_bucket *b, uint64_t now)
{
    const uint64_t most = ICMP_ERROR_RATE * US_IN_S;
    uint64_t passed = RTE_MIN(now - b->at_us, US_IN_S); /* so that the product cannot wrap */

    b->level = RTE_MIN(b->level + passed * ICMP_ERROR_RATE, most);
    b->at_us = now;
    if (b->level < US_IN_S)
        return false;
    b->level -= US_IN_S;
    return true;
}

/* RFC 1812 4.3.2.7: never about an ICMP error (types that we do not know may be one). Broadcasts,
 * fragments and sources that are no single host do not come so far. */
static bool may_be_about4(const struct net_pkt *p)
{
    uint8_t type;

    if (p->protocol != IPPROTO_ICMP)
        return true;
    if (p->l4_len == 0)
        return false;
    type = *(const uint8_t *)net_l4(p);
    return type == 0 || type == 8; /* echo and its reply */
}

/* RFC 4443 2.4 (e): never about an error or a redirect, nor about what came to a group. Where the
 * chain of extension headers is what is wrong, what stands behind it is not known: such a packet is
 * none of the two for us, and its sender is a caller of ours. */
static bool may_be_about6(const struct net_pkt *p)
{
    uint8_t type;

    if (p->group || net_is_multicast6(&p->dst))
        return false;
    if (p->protocol != IPPROTO_ICMPV6)
        return true;
    if (p->l4_len == 0)
        return false;
    type = *(const uint8_t *)net_l4(p);
    return type >= ICMP6_ECHO && type != ICMP6_REDIRECT;
}

static void put_be16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

struct icmp_kind {
    uint8_t type, code;
};

/* The first bytes of an error: an ICMP header without its sum, and so much of the packet that the
 * whole has `most` bytes at most with an IP header of `ip_bytes`. NULL when there is no mbuf. */
static struct rte_mbuf *start(struct net *n, const struct net_pkt *p, uint16_t ip_bytes,
                              uint16_t most, struct icmp_kind kind, uint32_t word)
{
    uint16_t quoted = (uint16_t)RTE_MIN(p->m->pkt_len, (uint32_t)most - ip_bytes - ICMP_HEADER);
    struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
    const void *what;
    uint8_t *icmp;

    if (!m)
        return NULL;
    icmp = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ip_bytes + ICMP_HEADER + quoted)) + ip_bytes;
    what = rte_pktmbuf_read(p->m, 0, quoted, icmp + ICMP_HEADER);
    if (what != icmp + ICMP_HEADER)
        memcpy(icmp + ICMP_HEADER, what, quoted);
    icmp[0] = kind.type;
    icmp[1] = kind.code;
    put_be16(icmp + 2, 0);
    put_be16(icmp + 4, word >> 16);
    put_be16(icmp + 6, word);
    return m;
}

static struct rte_mbuf *build4(struct net *n, const struct net_pkt *p, const struct net_addr *from,
                               enum net_tell what, uint32_t word)
{
    static const struct icmp_kind kinds[] = {
        [NET_TELL_NO_ROUTE] = {ICMP_UNREACHABLE, ICMP_CODE_NET},
        [NET_TELL_FORBIDDEN] = {ICMP_UNREACHABLE, ICMP_CODE_FORBIDDEN},
        [NET_TELL_PORT] = {ICMP_UNREACHABLE, ICMP_CODE_PORT},
        [NET_TELL_TOO_BIG] = {ICMP_UNREACHABLE, ICMP_CODE_TOO_BIG},
        [NET_TELL_EXPIRED] = {ICMP_TIME_EXCEEDED, 0},
    };
    struct rte_mbuf *m = start(n, p, sizeof(*p->ip), MOST_BYTES4, kinds[what], word);
    struct rte_ipv4_hdr *ip;
    uint16_t len, sum;

    if (!m)
        return NULL;
    ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
    len = (uint16_t)(m->pkt_len - sizeof(*ip));
    sum = (uint16_t)~rte_raw_cksum(ip + 1, len);
    memcpy((uint8_t *)(ip + 1) + 2, &sum, sizeof(sum));
    net_ip_header(ip, from, &p->src, IPPROTO_ICMP, len);
    return m;
}

static struct rte_mbuf *build6(struct net *n, const struct net_pkt *p, const struct net_addr *from,
                               enum net_tell what, uint32_t word)
{
    static const struct icmp_kind kinds[] = {
        [NET_TELL_NO_ROUTE] = {ICMP6_UNREACHABLE, ICMP6_CODE_NO_ROUTE},
        [NET_TELL_FORBIDDEN] = {ICMP6_UNREACHABLE, ICMP6_CODE_FORBIDDEN},
        [NET_TELL_PORT] = {ICMP6_UNREACHABLE, ICMP6_CODE_PORT},
        [NET_TELL_TOO_BIG] = {ICMP6_TOO_BIG, 0},
        [NET_TELL_EXPIRED] = {ICMP6_TIME_EXCEEDED, 0},
        [NET_TELL_BAD_HEADER] = {ICMP6_PARAMETER, 0},
        [NET_TELL_BAD_NEXT] = {ICMP6_PARAMETER, 1},
        [NET_TELL_BAD_OPTION] = {ICMP6_PARAMETER, 2},
    };
    struct rte_mbuf *m = start(n, p, sizeof(*p->ip6), RTE_IPV6_MIN_MTU, kinds[what], word);
    struct rte_ipv6_hdr *ip;
    uint16_t len, sum;

    if (!m)
        return NULL;
    ip = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
    len = (uint16_t)(m->pkt_len - sizeof(*ip));
    net_ip6_header(ip, from, &p->src, IPPROTO_ICMPV6, len);
    sum = l4_cksum6(m, ip, IPPROTO_ICMPV6, sizeof(*ip), len);
    memcpy((uint8_t *)(ip + 1) + 2, &sum, sizeof(sum));
    return m;
}

void net_icmp_error(struct net *n, const struct net_pkt *p, enum net_tell what, uint32_t word)
{
    const struct net_addr *from = net_local_for(n, p->side, &p->src);
    bool v4 = p->family == NET_IP4;
    struct rte_mbuf *m;

    if (!from || !(v4 ? may_be_about4(p) : may_be_about6(p)))
        return;
    if (!allowed_now(&n->icmp_errors, n->now)) {
        counter_inc(&n->count.icmp_errors_limited);
        return;
    }
    m = v4 ? build4(n, p, from, what, word) : build6(n, p, from, what, word);
    if (!m) {
        counter_inc(&n->count.drop_no_mbuf);
        return;
    }
    counter_inc(&n->count.icmp_errors_sent);
    net_ip_send_or_drop(n, p->side, &p->src, m);
}
