/* Neighbour discovery (RFC 4861): answers for our own addresses, questions for our next hops, the
 * announcement of both (7.2.6) and the question whether anybody has them (RFC 4862 5.4). What is
 * believed is in neigh.c; here is who may say it.
 *
 * Routes are given by hand: router advertisements, solicitations and redirects are not listened
 * to. */
#include "net_internal.h"

#include <netinet/in.h>

#define HOP_LIMIT       255 /* RFC 4861 7.1: so the sender is on the link */
#define ND_HEADER       24
#define ND_MAX          1280 /* bytes of a message that are looked at; longer ones are refused */
#define FLAG_ROUTER     0x80 /* we forward: RFC 4861 4.4 */
#define FLAG_SOLICITED  0x40
#define FLAG_OVERRIDE   0x20
#define OPTION_SOURCE   1
#define OPTION_TARGET   2
#define LINK_ADDR_BYTES 8 /* the option with a MAC (RFC 2464 6) */

struct nd {
    uint8_t type, flags;
    struct net_addr target;
    struct rte_ether_addr mac; /* of the option that the type may have */
    bool has_mac;
};

/* ------------------------------------------------------------------ sending */

/* A message with its target and, if there are `options`, our MAC; to be sealed. */
static struct rte_mbuf *message(struct net *n, enum net_side side, uint8_t type, uint8_t flags,
                                const struct net_addr *target, const struct net_addr *src,
                                const struct net_addr *dst, const struct rte_ether_addr *to)
{
    bool option = !net_is_unspecified(src);
    uint16_t len = option ? ND_HEADER + LINK_ADDR_BYTES : ND_HEADER;
    struct rte_mbuf *m = net_icmp6_frame(n, side, src, dst, to, HOP_LIMIT, len);
    uint8_t *b;

    if (!m)
        return NULL;
    b = rte_pktmbuf_mtod_offset(m, uint8_t *,
                                sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr));
    b[0] = type;
    b[4] = flags;
    memcpy(b + 8, target->b, sizeof(target->b));
    if (option) {
        b[24] = type == ICMP6_NS ? OPTION_SOURCE : OPTION_TARGET;
        b[25] = 1;
        memcpy(b + 26, n->face[side].mac.addr_bytes, RTE_ETHER_ADDR_LEN);
    }
    return m;
}

static void emit(struct net *n, enum net_side side, struct rte_mbuf *m, counter *sent)
{
    if (!m)
        return;
    net_icmp6_seal(m);
    counter_inc(sent);
    net_tx(n, side, m);
}

void net_nd_solicit(struct net *n, enum net_side side, const struct net_addr *target,
                    const struct rte_ether_addr *to)
{
    const struct net_addr *from = net_local_for(n, side, target);
    struct net_addr group = net_solicited_node(target);
    struct rte_ether_addr mac = net_group_mac(&group);

    if (from)
        emit(n, side,
             message(n, side, ICMP6_NS, 0, target, from, to ? target : &group, to ? to : &mac),
             &n->count.nd_solicits_sent);
}

/* RFC 4862 5.4.2: from the unspecified address. */
static void ask_whether_free(struct net *n, enum net_side side, const struct net_addr *a)
{
    static const struct net_addr unspecified;
    struct net_addr group = net_solicited_node(a);
    struct rte_ether_addr mac = net_group_mac(&group);

    emit(n, side, message(n, side, ICMP6_NS, 0, a, &unspecified, &group, &mac),
         &n->count.nd_solicits_sent);
}

static void tell_everybody(struct net *n, enum net_side side, const struct net_addr *a)
{
    struct rte_ether_addr mac = net_group_mac(&net_all_nodes);

    emit(n, side,
         message(n, side, ICMP6_NA, FLAG_ROUTER | FLAG_OVERRIDE, a, a, &net_all_nodes, &mac),
         &n->count.nd_adverts_sent);
}

void net_nd_announce(struct net *n, enum net_side side)
{
    const struct net_face *f = &n->face[side];

    for (unsigned i = 0; i < f->nlocal; i++) {
        if (net_addr_is_v4(&f->local[i].addr))
            continue;
        ask_whether_free(n, side, &f->local[i].addr);
        tell_everybody(n, side, &f->local[i].addr);
    }
}

/* ---------------------------------------------------------------- receiving */

/* RFC 4861 4.6: every option has a length, and all of them fill the message. The option that counts
 * comes once. */
static bool read_options(const uint8_t *b, uint32_t n, struct nd *d)
{
    uint8_t wanted = d->type == ICMP6_NS ? OPTION_SOURCE : OPTION_TARGET;

    for (uint32_t at = ND_HEADER, len; at < n; at += len) {
        len = n - at >= 2 ? b[at + 1] * 8u : 0;
        if (len == 0 || len > n - at)
            return false;
        if (b[at] != wanted)
            continue;
        if (len != LINK_ADDR_BYTES || d->has_mac)
            return false;
        memcpy(&d->mac, b + at + 2, sizeof(d->mac));
        d->has_mac = true;
        if (!rte_is_valid_assigned_ether_addr(&d->mac))
            return false;
    }
    return true;
}

/* RFC 4861 7.1.1, 7.1.2 but for the checksum, which has been looked at. RFC 6980: not behind a
 * Fragment header; no host has a reason for another. */
static bool read_message(const struct net_pkt *p, const uint8_t *b, struct nd *d)
{
    if (p->ip6->hop_limits != HOP_LIMIT || p->l4_off != sizeof(*p->ip6) || b[1] != 0)
        return false;
    d->type = b[0];
    d->flags = b[4];
    memcpy(d->target.b, b + 8, sizeof(d->target.b));
    return net_ip6_unicast(&d->target) && read_options(b, p->l4_len, d);
}

/* RFC 4861 7.2.4. Who has no address yet is told with everybody. */
static void answer(struct net *n, const struct net_pkt *p, const struct nd *d)
{
    const uint8_t flags = FLAG_ROUTER | FLAG_SOLICITED | FLAG_OVERRIDE;

    if (net_is_unspecified(&p->src))
        tell_everybody(n, p->side, &d->target);
    else
        emit(n, p->side,
             message(n, p->side, ICMP6_NA, flags, &d->target, &d->target, &p->src,
                     d->has_mac ? &d->mac : &p->from),
             &n->count.nd_adverts_sent);
}

static bool may_solicit(const struct net *n, const struct net_pkt *p, const struct nd *d)
{
    struct net_addr group = net_solicited_node(&d->target);

    if (net_is_unspecified(&p->src))
        return net_addr_eq(&p->dst, &group) && !d->has_mac;
    return net_on_link(n, p->side, &p->src);
}

static counter *solicitation(struct net *n, const struct net_pkt *p, const struct nd *d)
{
    if (!may_solicit(n, p, d))
        return &n->count.drop_nd_bad;
    if (!net_is_local_on(n, p->side, &d->target))
        return &n->count.nd_received;
    if (d->has_mac)
        neigh_solicitor(n, p->side, &p->src, &d->mac);
    if (!n->learning) /* the worker that received it answers */
        answer(n, p, d);
    return &n->count.nd_received;
}

static counter *advertisement(struct net *n, const struct net_pkt *p, const struct nd *d)
{
    bool solicited = d->flags & FLAG_SOLICITED;

    if ((p->group && solicited) || !net_on_link(n, p->side, &p->src))
        return &n->count.drop_nd_bad;
    if (net_is_local_on(n, p->side, &d->target)) {
        if (!n->learning)
            net_note_conflict(n, p->side, &d->target, d->has_mac ? &d->mac : &p->from);
        return &n->count.nd_received;
    }
    if (net_is_local(n, &p->src))
        return &n->count.drop_nd_bad;
    neigh_advertised(n, p->side, &d->target, d->has_mac ? &d->mac : NULL, solicited,
                     d->flags & FLAG_OVERRIDE);
    return &n->count.nd_received;
}

counter *net_nd_input(struct net *n, struct net_pkt *p)
{
    struct nd d = {.has_mac = false};
    uint8_t copy[ND_MAX];
    const uint8_t *b;

    if (p->l4_len < ND_HEADER || p->l4_len > sizeof(copy))
        return &n->count.drop_nd_bad;
    b = rte_pktmbuf_read(p->m, p->l4_off, p->l4_len, copy);
    if (!b || !read_message(p, b, &d))
        return &n->count.drop_nd_bad;
    return d.type == ICMP6_NS ? solicitation(n, p, &d) : advertisement(n, p, &d);
}
