/* Whose address is whose, and by which way it is reached. A side has a handful of prefixes at most,
 * so a walk over them beats any structure. */
#include "net_internal.h"

struct net_range net_range_of(const struct net_prefix *p)
{
    struct net_addr mask = {{0}}, net;
    struct net_range r;

    for (unsigned i = 0; i < sizeof(mask.b); i++) {
        unsigned left = p->bits > i * 8 ? p->bits - i * 8u : 0;

        mask.b[i] = (uint8_t)(left >= 8 ? 0xff : 0xff00 >> left);
        net.b[i] = (uint8_t)(p->addr.b[i] & mask.b[i]);
    }
    memcpy(r.net, net.b, sizeof(r.net));
    memcpy(r.mask, mask.b, sizeof(r.mask));
    return r;
}

bool net_is_local_on(const struct net *n, enum net_side side, const struct net_addr *a)
{
    const struct net_face *f = &n->face[side];

    for (unsigned i = 0; i < f->nlocal; i++)
        if (net_addr_eq(&f->local[i].addr, a))
            return true;
    return false;
}

bool net_is_local(const struct net *n, const struct net_addr *a)
{
    return net_is_local_on(n, NET_INSIDE, a) || net_is_local_on(n, NET_OUTSIDE, a);
}

bool net_is_broadcast_on(const struct net *n, enum net_side side, const struct net_addr *a)
{
    const struct net_face *f = &n->face[side];

    for (unsigned i = 0; i < f->nlocal; i++) {
        const struct net_local *l = &f->local[i];

        if (l->has_broadcast && (net_addr_eq(&l->low, a) || net_addr_eq(&l->high, a)))
            return true;
    }
    return false;
}

/* The longest of a side's prefixes that holds `a`; NULL if none does. Prefixes of one family never
 * hold addresses of the other: see net_prefix_unfit. */
static const struct net_local *best_prefix(const struct net_face *f, const struct net_addr *a)
{
    const struct net_local *best = NULL;

    for (unsigned i = 0; i < f->nlocal; i++)
        if (net_range_has(&f->local[i].range, a) && (!best || f->local[i].bits > best->bits))
            best = &f->local[i];
    return best;
}

bool net_on_link(const struct net *n, enum net_side side, const struct net_addr *a)
{
    return best_prefix(&n->face[side], a) != NULL;
}

bool net_route(const struct net *n, enum net_side side, const struct net_addr *dst,
               struct net_addr *hop)
{
    const struct net_face *f = &n->face[side];

    if (best_prefix(f, dst)) {
        *hop = *dst;
        return true;
    }
    if (!f->has_gateway[net_family_of(dst)])
        return false;
    *hop = f->gateway[net_family_of(dst)];
    return true;
}

/* RFC 4193: of a site, not of the world. */
static bool is_local_use(const struct net_addr *a)
{
    return (a->b[0] & 0xfe) == 0xfc;
}

static unsigned common_bits(const struct net_addr *a, const struct net_addr *b)
{
    unsigned i = 0;

    while (i < sizeof(a->b) && a->b[i] == b->b[i])
        i++;
    if (i == sizeof(a->b))
        return 128;
    return i * 8 + (unsigned)__builtin_clz((unsigned)(a->b[i] ^ b->b[i])) - 24;
}

/* How well `l` does as our address towards `peer` off the link, by RFC 6724 5: rule 6 (of the
 * policy table's labels only that of RFC 4193 tells our addresses apart), rule 5.5 (the gateway's
 * own prefix), rule 8. */
static unsigned suits(const struct net_face *f, const struct net_local *l,
                      const struct net_addr *peer)
{
    bool by_gateway = f->has_gateway[NET_IP6] && net_range_has(&l->range, &f->gateway[NET_IP6]);
    unsigned bits = RTE_MIN(common_bits(&l->addr, peer), (unsigned)l->bits);

    return (is_local_use(&l->addr) == is_local_use(peer) ? 1024 : 0) + (by_gateway ? 512 : 0) +
           bits;
}

static const struct net_addr *local_for6(const struct net_face *f, const struct net_addr *peer)
{
    const struct net_local *best = best_prefix(f, peer);

    if (best)
        return &best->addr;
    for (unsigned i = 0; i < f->nlocal; i++) {
        const struct net_local *l = &f->local[i];

        if (!net_addr_is_v4(&l->addr) && !net_is_link_local(&l->addr) &&
            (!best || suits(f, l, peer) > suits(f, best, peer)))
            best = l;
    }
    return best ? &best->addr : NULL;
}

const struct net_addr *net_local_for(const struct net *n, enum net_side side,
                                     const struct net_addr *peer)
{
    const struct net_face *f = &n->face[side];
    const struct net_local *l;

    if (!net_addr_is_v4(peer))
        return local_for6(f, peer);
    l = best_prefix(f, peer);
    if (!l && f->has_gateway[NET_IP4])
        l = best_prefix(f, &f->gateway[NET_IP4]);
    if (l)
        return &l->addr;
    for (unsigned i = 0; i < f->nlocal; i++)
        if (net_addr_is_v4(&f->local[i].addr))
            return &f->local[i].addr;
    return NULL;
}

/* 0/8, 127/8, 169.254/16, multicast and class E with the limited broadcast (RFC 6890): never the
 * address of a host that we could answer. */
static bool martian(uint32_t a)
{
    return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

/* Whether what comes from `src` would by our routes come in by that side. */
static bool from_there(const struct net *n, enum net_side side, const struct net_addr *src,
                       enum net_family family)
{
    const struct net_face *f = &n->face[side], *o = &n->face[net_other(side)];
    const struct net_local *here = best_prefix(f, src), *there = best_prefix(o, src);

    if (there && (!here || there->bits > here->bits))
        return false;
    return here || f->has_gateway[family];
}

bool net_source_ok(const struct net *n, enum net_side side, const struct net_addr *src)
{
    if (martian(net_addr_to_v4(src)) || net_is_local(n, src) || net_is_broadcast_on(n, side, src))
        return false;
    return from_there(n, side, src, NET_IP4);
}

bool net_ip6_unicast(const struct net_addr *a)
{
    uint64_t high;

    memcpy(&high, a->b, sizeof(high));
    return high != 0 && !net_is_multicast6(a);
}

bool net_source_ok6(const struct net *n, enum net_side side, const struct net_addr *src)
{
    if (!net_ip6_unicast(src) || net_is_local(n, src))
        return false;
    if (net_is_link_local(src))
        return net_on_link(n, side, src);
    return from_there(n, side, src, NET_IP6);
}

bool net_source_for(const struct net *n, enum net_side side, const struct net_addr *dst,
                    struct net_addr *src)
{
    bool host = net_addr_is_v4(dst) ? !martian(net_addr_to_v4(dst))
                                    : net_ip6_unicast(dst) && !net_is_link_local(dst);
    const struct net_addr *a;
    struct net_addr hop;

    if (!host || net_is_local(n, dst) || net_is_broadcast_on(n, side, dst) ||
        !net_route(n, side, dst, &hop))
        return false;
    a = net_local_for(n, side, dst);
    if (!a)
        return false;
    *src = *a;
    return true;
}

static const struct net_local *local_of(const struct net_face *f, const struct net_addr *a)
{
    for (unsigned i = 0; i < f->nlocal; i++)
        if (net_addr_eq(&f->local[i].addr, a))
            return &f->local[i];
    return NULL;
}

unsigned net_sources_for(const struct net *n, enum net_side side, const struct net_addr *dst,
                         struct net_addr out[NET_ADDRS_MAX])
{
    const struct net_face *f = &n->face[side];
    const struct net_local *first;
    unsigned count = 1;

    if (!net_source_for(n, side, dst, &out[0]))
        return 0;
    first = local_of(f, &out[0]);
    for (unsigned i = 0; first && i < f->nlocal; i++)
        if (&f->local[i] != first && count < NET_ADDRS_MAX &&
            memcmp(&f->local[i].range, &first->range, sizeof(first->range)) == 0)
            out[count++] = f->local[i].addr;
    return count;
}
