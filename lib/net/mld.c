/* Multicast listener reports (RFC 3810): a switch that snoops (RFC 4541) sends a group's frames
 * only where somebody has asked for them, and neighbour discovery lives on such groups. All our
 * groups are in one report: at the start (5.1.5 is met by announcing more than once) and when a
 * querier asks. A querier of version 1 ignores it; it knows that such hosts exist (8.3.2). */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_random.h>

#define HOP_BY_HOP      8
#define REPORT_HEADER   8
#define RECORD          20
#define QUERY_MIN       24
#define MODE_IS_EXCLUDE 2 /* 5.2.12: of no sources, so: from all */
#define TO_EXCLUDE      4

static const struct net_addr all_mld_routers = {{0xff, 0x02, [15] = 0x16}};

static uint16_t put_records(const struct net_face *f, uint8_t type, uint8_t *at)
{
    uint16_t count = 0;

    for (unsigned i = 0; i < f->nlocal; i++) {
        struct net_addr group = net_solicited_node(&f->local[i].addr);

        if (net_addr_is_v4(&f->local[i].addr))
            continue;
        at[0] = type;
        memcpy(at + 4, group.b, sizeof(group.b));
        at += RECORD;
        count++;
    }
    return count;
}

static unsigned count_groups(const struct net_face *f)
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->nlocal; i++)
        count += !net_addr_is_v4(&f->local[i].addr);
    return count;
}

/* RFC 3810 5: hop limit 1, from a link-local address, behind a router alert (RFC 2711). */
static void report(struct net *n, enum net_side side, uint8_t type)
{
    static const uint8_t alert[HOP_BY_HOP] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
    const struct net_face *f = &n->face[side];
    const struct rte_ether_addr to = net_group_mac(&all_mld_routers);
    const uint16_t len = (uint16_t)(REPORT_HEADER + count_groups(f) * RECORD);
    struct rte_mbuf *m = net_icmp6_frame(n, side, &f->local[f->nlocal - 1].addr, &all_mld_routers,
                                         &to, 1, (uint16_t)(HOP_BY_HOP + len));
    const uint32_t off = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr);
    struct rte_ipv6_hdr *ip;
    uint16_t sum;
    uint8_t *b;

    if (!m)
        return;
    ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, sizeof(struct rte_ether_hdr));
    ip->proto = IPPROTO_HOPOPTS;
    b = (uint8_t *)(ip + 1);
    memcpy(b, alert, sizeof(alert));
    b += HOP_BY_HOP;
    b[0] = ICMP6_MLD_REPORT;
    b[7] = (uint8_t)put_records(f, type, b + REPORT_HEADER);
    sum = l4_cksum6(m, ip, IPPROTO_ICMPV6, off + HOP_BY_HOP, len);
    memcpy(b + 2, &sum, sizeof(sum));
    counter_inc(&n->count.mld_reports_sent);
    net_tx(n, side, m);
}

void net_mld_announce(struct net *n, enum net_side side)
{
    report(n, side, TO_EXCLUDE);
}

/* 5.1.3: the greatest delay in milliseconds, from half a second on as a floating point number. */
static uint32_t max_delay(uint16_t code)
{
    if (code < 32768)
        return code;
    return ((code & 0xfffu) | 0x1000u) << ((code >> 12 & 7) + 3);
}

/* 6.2: hop limit 1, from a link-local address, behind a hop-by-hop header. Whatever the query asks
 * for is answered with all we have. */
counter *net_mld_input(struct net *n, struct net_pkt *p)
{
    const uint8_t *b = net_l4(p);
    uint64_t delay;

    if (p->l4_len < QUERY_MIN || p->ip6->hop_limits != 1 || p->ip6->proto != IPPROTO_HOPOPTS ||
        !net_is_link_local(&p->src))
        return &n->count.drop_icmp_bad;
    delay = rte_rand_max(max_delay((uint16_t)(b[4] << 8 | b[5])) * (uint64_t)US_IN_MS + 1);
    if (n->mld_at[p->side] == 0)
        n->mld_at[p->side] = n->now + delay + 1;
    return &n->count.mld_received;
}

void net_mld_tick(struct net *n)
{
    for (unsigned side = 0; side < NET_SIDES; side++)
        if (n->mld_at[side] && n->now >= n->mld_at[side]) {
            n->mld_at[side] = 0;
            report(n, side, MODE_IS_EXCLUDE);
        }
}
