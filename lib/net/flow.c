/* The flow of a received frame: no more of the headers than the choice of a worker needs. Frames
 * that are not plainly what they seem stay with whoever received them, and are judged there. */
#include "net_internal.h"
#include "steer.h"

#include <netinet/in.h>

enum {
    LOOK_BYTES = 256,   /* so much of a frame is looked at */
    EXTENSIONS_MAX = 4, /* IPv6 extension headers that are walked */
    PORTS = 4,          /* bytes of both ports */
    V6_HEADER = 40,
    ND_SOLICIT = 135,
    ND_ADVERT = 136,
    ND_HOP_LIMIT = 255,
};

/* Bytes that are there to be looked at. */
struct look {
    const uint8_t *p;
    uint32_t n;
};

static struct look skip(struct look l, uint32_t n)
{
    return n <= l.n ? (struct look){l.p + n, l.n - n} : (struct look){NULL, 0};
}

/* What stands behind an IP header: TCP, ICMP or nothing of interest. */
struct upper {
    struct look l;
    const uint8_t *src, *dst;
    unsigned bytes; /* of an address */
    uint8_t protocol, hop_limit;
};

static bool upper4(struct look l, struct upper *u)
{
    uint32_t hlen = l.n >= 20 ? (l.p[0] & 0xfu) * 4 : 0;

    if (hlen < 20 || l.p[0] >> 4 != 4 || (l.p[6] & 0x3f) != 0 || l.p[7] != 0) /* a fragment */
        return false;
    *u = (struct upper){skip(l, hlen), l.p + 12, l.p + 16, 4, l.p[9], l.p[8]};
    return true;
}

static bool is_extension(uint8_t next)
{
    return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

static bool upper6(struct look l, struct upper *u)
{
    if (l.n < V6_HEADER || l.p[0] >> 4 != 6)
        return false;
    *u = (struct upper){skip(l, V6_HEADER), l.p + 8, l.p + 24, 16, l.p[6], l.p[7]};
    for (unsigned i = 0; is_extension(u->protocol); i++) {
        if (i == EXTENSIONS_MAX || u->l.n < 2)
            return false;
        u->protocol = u->l.p[0];
        u->l = skip(u->l, (u->l.p[1] + 1u) * 8);
    }
    return true;
}

static bool upper_of(struct look l, bool v6, struct upper *u)
{
    return v6 ? upper6(l, u) : upper4(l, u);
}

/* `back`: the flow of the answers to what has these headers. */
static enum flow_kind tcp_flow(const struct upper *u, bool back, struct steer_flow *f)
{
    unsigned a = u->bytes;
    uint8_t *ports = f->b + 2 * a;

    if (u->protocol != IPPROTO_TCP || u->l.n < PORTS)
        return FLOW_NONE;
    memcpy(f->b, back ? u->dst : u->src, a);
    memcpy(f->b + a, back ? u->src : u->dst, a);
    memcpy(ports, u->l.p + (back ? 2 : 0), 2);
    memcpy(ports + 2, u->l.p + (back ? 0 : 2), 2);
    f->n = (uint8_t)(2 * a + PORTS);
    return back ? FLOW_QUOTED : FLOW_TCP;
}

static bool is_error(bool v6, uint8_t type)
{
    if (v6) /* RFC 4443 2.1: errors have the high bit clear */
        return type >= 1 && type <= 4;
    return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == 12;
}

static enum flow_kind icmp_flow(const struct upper *u, bool v6, struct steer_flow *f)
{
    struct upper quoted;
    uint8_t type;

    if (u->l.n < 8)
        return FLOW_NONE;
    type = u->l.p[0];
    if (v6 && (type == ND_SOLICIT || type == ND_ADVERT) && u->hop_limit == ND_HOP_LIMIT)
        return FLOW_LEARN;
    if (!is_error(v6, type) || !upper_of(skip(u->l, 8), v6, &quoted))
        return FLOW_NONE;
    return tcp_flow(&quoted, true, f);
}

enum flow_kind flow_of(const struct rte_mbuf *m, struct steer_flow *f)
{
    uint8_t buf[LOOK_BYTES];
    uint32_t n = RTE_MIN(m->pkt_len, (uint32_t)LOOK_BYTES);
    struct look l = {rte_pktmbuf_read(m, 0, n, buf), n};
    struct upper u;
    unsigned type;
    bool v6;

    if (!l.p || n < sizeof(struct rte_ether_hdr))
        return FLOW_NONE;
    type = (unsigned)(l.p[12] << 8 | l.p[13]);
    if (type == RTE_ETHER_TYPE_ARP)
        return FLOW_LEARN;
    v6 = type == RTE_ETHER_TYPE_IPV6;
    if (!v6 && type != RTE_ETHER_TYPE_IPV4)
        return FLOW_NONE;
    if (!upper_of(skip(l, sizeof(struct rte_ether_hdr)), v6, &u))
        return FLOW_NONE;
    if (u.protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
        return icmp_flow(&u, v6, f);
    return tcp_flow(&u, false, f);
}
