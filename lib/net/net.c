/* A worker's net: made from the configuration, polled, ticked. */
#include "net_internal.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_random.h>
#include <stdlib.h>

#define CONFLICT_QUIET_US (10 * US_IN_S)

static struct net_local make_local(const struct net_prefix *p)
{
    struct net_local l = {.addr = p->addr, .range = net_range_of(p), .bits = p->bits};

    memcpy(l.low.b, l.range.net, sizeof(l.low.b));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t w = l.range.net[i] | ~l.range.mask[i];

        memcpy(l.high.b + i * sizeof(w), &w, sizeof(w));
    }
    l.has_broadcast = net_addr_is_v4(&p->addr) && p->bits >= 96 && p->bits <= 126;
    return l;
}

static void set_face(struct net_face *f, const struct net_port *port,
                     const struct net_side_config *c, unsigned worker)
{
    const uint64_t cksum = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

    f->port = port->id;
    f->queue = (uint16_t)worker;
    f->has_queue = worker < port->queues;
    f->via = (uint8_t)(worker % port->queues);
    f->mtu = port->mtu;
    f->mac = port->mac;
    f->tx_cksum = (port->tx_offloads & cksum) == cksum;
    f->max_segs = port->max_segs;
    memcpy(f->has_gateway, c->has_gateway, sizeof(f->has_gateway));
    memcpy(f->gateway, c->gateway, sizeof(f->gateway));
    for (unsigned i = 0; i < c->naddrs && i < NET_ADDRS_MAX; i++) {
        f->local[f->nlocal++] = make_local(&c->addrs[i]);
        f->ip6 |= !net_addr_is_v4(&c->addrs[i].addr);
    }
    if (f->ip6) {
        struct net_prefix own = net_link_local(&f->mac);

        f->local[f->nlocal++] = make_local(&own);
    }
}

static struct net_pass make_pass(const struct net_passthrough *p)
{
    struct net_pass e = {.from = net_range_of(&p->from),
                         .to = net_range_of(&p->to),
                         .low = p->port_low,
                         .high = p->port_high,
                         .protocol = p->protocol,
                         .family = net_family_of(&p->from.addr)};

    if (e.family == NET_IP6 && e.protocol == IPPROTO_ICMP)
        e.protocol = IPPROTO_ICMPV6;
    return e;
}

static void set_rules(struct net *n, const struct net_config *c)
{
    for (unsigned i = 0; i < c->nintercept && i < NET_INTERCEPT_MAX; i++)
        n->intercept[c->intercept[i] / 64] |= (uint64_t)1 << (c->intercept[i] % 64);
    for (unsigned i = 0; i < c->npass && i < NET_PASSTHROUGH_MAX; i++)
        n->pass[n->npass++] = make_pass(&c->pass[i]);
}

struct net *net_new(struct net_ports *ports, unsigned worker, const struct net_config *c,
                    const struct net_upcalls *up, void *ctx, uint64_t now_us)
{
    struct net *n = rte_zmalloc("net", sizeof(*n), RTE_CACHE_LINE_SIZE);

    if (!n)
        return NULL;
    n->now = now_us;
    n->up = up;
    n->ctx = ctx;
    n->flow_seed = rte_rand();
    n->pool = net_ports_pool(ports, worker);
    n->icmp_errors = (struct net_bucket){ICMP_ERROR_RATE * US_IN_S, now_us};
    for (unsigned s = 0; s < NET_SIDES; s++)
        set_face(&n->face[s], &ports->port[s], &c->side[s], worker);
    set_rules(n, c);
    n->neighbours = neigh_table_new(n, now_us);
    if (ports->workers > 1)
        n->mesh = mesh_new(&ports->mesh, worker, ports->port);
    if (!n->neighbours || (ports->workers > 1 && !n->mesh)) {
        net_delete(n);
        return NULL;
    }
    return n;
}

void net_delete(struct net *n)
{
    if (!n)
        return;
    neigh_table_delete(n->neighbours);
    mesh_delete(n->mesh);
    for (unsigned s = 0; s < NET_SIDES; s++) {
        struct net_txq *q = &n->face[s].tx;

        for (; q->count; q->count--, q->head = (q->head + 1) % NET_TX_ROOM)
            rte_pktmbuf_free(q->m[q->head]);
    }
    rte_free(n);
}

static unsigned poll_side(struct net *n, enum net_side side)
{
    const struct net_face *f = &n->face[side];
    struct rte_mbuf *m[NET_BURST];
    uint16_t got = f->has_queue ? rte_eth_rx_burst(f->port, f->queue, m, NET_BURST) : 0;
    uint64_t bytes = 0;

    if (got == 0)
        return 0;
    for (uint16_t i = 0; i < got; i++)
        rte_prefetch0(rte_pktmbuf_mtod(m[i], const void *));
    for (uint16_t i = 0; i < got; i++) {
        bytes += m[i]->pkt_len;
        if (!n->mesh || !mesh_pass(n, side, m[i]))
            net_input(n, side, m[i]);
    }
    counter_add(&n->count.rx_packets, got);
    counter_add(&n->count.rx_bytes, bytes);
    return got;
}

unsigned net_poll(struct net *n, uint64_t now_us)
{
    unsigned got;

    n->now = now_us;
    got = poll_side(n, NET_INSIDE) + poll_side(n, NET_OUTSIDE);
    return n->mesh ? got + mesh_exchange(n) : got;
}

void net_note_conflict(struct net *n, enum net_side side, const struct net_addr *addr,
                       const struct rte_ether_addr *mac)
{
    struct net_conflict *c = &n->conflict;

    counter_inc(&n->count.address_conflicts);
    if (c->fresh || n->now < c->quiet_until)
        return;
    *c = (struct net_conflict){.fresh = true, .side = side, .addr = *addr, .mac = *mac};
}

static void tell_conflict(struct net *n)
{
    struct net_conflict *c = &n->conflict;
    char addr[NET_ADDR_TEXT], mac[RTE_ETHER_ADDR_FMT_SIZE];

    rte_ether_format_addr(mac, sizeof(mac), &c->mac);
    log_error("net", "%s: another host, at %s, has our address %s",
              c->side == NET_INSIDE ? "inside" : "outside", mac, net_addr_text(&c->addr, addr));
    c->fresh = false;
    c->quiet_until = n->now + CONFLICT_QUIET_US;
}

void net_tick(struct net *n, uint64_t now_us)
{
    n->now = now_us;
    neigh_advance(n->neighbours, now_us);
    net_mld_tick(n);
    if (n->conflict.fresh)
        tell_conflict(n);
}

void net_announce(struct net *n)
{
    for (unsigned side = 0; side < NET_SIDES; side++) {
        const struct net_face *f = &n->face[side];

        for (unsigned i = 0; i < f->nlocal; i++)
            if (net_addr_is_v4(&f->local[i].addr))
                net_arp_announce(n, side, &f->local[i].addr);
        if (f->ip6) {
            net_mld_announce(n, side);
            net_nd_announce(n, side);
        }
    }
}

bool net_takes_chains(const struct net *n, enum net_side side)
{
    return n->face[side].max_segs > 1;
}

unsigned net_mtu(const struct net *n, enum net_side side)
{
    return n->face[side].mtu;
}

const struct net_counters *net_counters(const struct net *n)
{
    return &n->count;
}
