/* ICMP errors that we send (RFC 1812 4.3): when, to whom, how many. */
#include "net_internal.h"

#include <netinet/in.h>

#define QUOTE_BYTES (576 - 20 - 8) /* RFC 1812 4.3.2.3: the whole error within 576 bytes */

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
static bool may_be_about(const struct net_pkt *p)
{
    uint8_t type;

    if (p->ip->next_proto_id != IPPROTO_ICMP)
        return true;
    if (p->l4_len == 0)
        return false;
    type = *(const uint8_t *)(p->ip + 1);
    return type == 0 || type == 8; /* echo and its reply */
}

static void put_be16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static struct rte_mbuf *build(struct net *n, const struct net_pkt *p, const struct net_addr *from,
                              uint8_t type, uint8_t code, uint32_t word)
{
    uint16_t quoted = (uint16_t)RTE_MIN(p->m->pkt_len, (uint32_t)QUOTE_BYTES);
    struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
    struct rte_ipv4_hdr *ip;
    uint8_t *icmp;
    const void *what;
    uint16_t sum;

    if (!m)
        return NULL;
    ip = (void *)rte_pktmbuf_append(m, (uint16_t)(sizeof(*ip) + 8 + quoted));
    icmp = (uint8_t *)(ip + 1);
    what = rte_pktmbuf_read(p->m, 0, quoted, icmp + 8);
    if (what != icmp + 8)
        memcpy(icmp + 8, what, quoted);
    icmp[0] = type;
    icmp[1] = code;
    put_be16(icmp + 2, 0);
    put_be16(icmp + 4, word >> 16);
    put_be16(icmp + 6, word);
    sum = (uint16_t)~rte_raw_cksum(icmp, 8u + quoted);
    memcpy(icmp + 2, &sum, sizeof(sum));
    net_ip_header(ip, from, &p->src, IPPROTO_ICMP, (uint16_t)(8 + quoted));
    return m;
}

void net_icmp_error(struct net *n, const struct net_pkt *p, uint8_t type, uint8_t code,
                    uint32_t word)
{
    const struct net_addr *from = net_local_for(n, p->side, &p->src);
    struct rte_mbuf *m;

    if (!from || !may_be_about(p))
        return;
    if (!allowed_now(&n->icmp_errors, n->now)) {
        counter_inc(&n->count.icmp_errors_limited);
        return;
    }
    m = build(n, p, from, type, code, word);
    if (!m) {
        counter_inc(&n->count.drop_no_mbuf);
        return;
    }
    counter_inc(&n->count.icmp_errors_sent);
    net_ip_send_or_drop(n, p->side, &p->src, m);
}
