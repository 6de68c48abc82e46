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

/* The longest of a side's prefixes that holds `a`; NULL if none does. */
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
    if (!f->has_gateway || net_addr_is_v4(&f->gateway) != net_addr_is_v4(dst))
        return false;
    *hop = f->gateway;
    return true;
}

const struct net_addr *net_local_for(const struct net *n, enum net_side side,
                                     const struct net_addr *peer)
{
    const struct net_face *f = &n->face[side];
    const struct net_local *l = best_prefix(f, peer);
    bool v4 = net_addr_is_v4(peer);

    if (!l && f->has_gateway)
        l = best_prefix(f, &f->gateway);
    if (l && net_addr_is_v4(&l->addr) == v4)
        return &l->addr;
    for (unsigned i = 0; i < f->nlocal; i++)
        if (net_addr_is_v4(&f->local[i].addr) == v4)
            return &f->local[i].addr;
    return NULL;
}

/* 0/8, 127/8, 169.254/16, multicast and class E with the limited broadcast (RFC 6890): never the
 * address of a host that we could answer. */
static bool martian(uint32_t a)
{
    return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

bool net_source_ok(const struct net *n, enum net_side side, const struct net_addr *src)
{
    const struct net_face *f = &n->face[side], *o = &n->face[net_other(side)];
    const struct net_local *here = best_prefix(f, src), *there = best_prefix(o, src);

    if (martian(net_addr_to_v4(src)) || net_is_local(n, src) || net_is_broadcast_on(n, side, src))
        return false;
    if (there && (!here || there->bits > here->bits))
        return false;
    return here || f->has_gateway;
}

bool net_source_for(const struct net *n, enum net_side side, const struct net_addr *dst,
                    struct net_addr *src)
{
    const struct net_addr *a;
    struct net_addr hop;

    if (!net_addr_is_v4(dst) || martian(net_addr_to_v4(dst)) || net_is_local(n, dst) ||
        net_is_broadcast_on(n, side, dst) || !net_route(n, side, dst, &hop))
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
