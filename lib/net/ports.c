/* Both ports of the appliance and the workers' mbuf pools. */
#include "net_internal.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <stdlib.h>

#define POOL_CACHE 256

/* Room for a frame of the largest MTU where a port cannot spread it over several mbufs. */
static uint16_t data_room(const struct net_ports *ports, const struct net_profile *p)
{
    unsigned frame = p->mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 8; /* 8: two VLAN tags */

    for (unsigned s = 0; s < NET_SIDES; s++)
        if (!ports->port[s].scatter && frame > NET_DATA_ROOM)
            return (uint16_t)(RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(frame, 64u));
    return RTE_PKTMBUF_HEADROOM + NET_DATA_ROOM;
}

static bool make_pools(struct net_ports *ports, const struct net_profile *p)
{
    uint16_t room = data_room(ports, p);

    for (unsigned w = 0; w < p->workers; w++) {
        unsigned lcore = w + 1; /* as net_eal_args lays them out */
        int socket =
            rte_lcore_is_enabled(lcore) ? (int)rte_lcore_to_socket_id(lcore) : SOCKET_ID_ANY;
        char name[RTE_MEMPOOL_NAMESIZE];

        snprintf(name, sizeof(name), "net_pool%u", w);
        ports->pool[w] = rte_pktmbuf_pool_create(name, p->mbufs, POOL_CACHE, 0, room, socket);
        if (!ports->pool[w]) {
            log_error("net", "no memory for %u mbufs of %u bytes a worker: %s", p->mbufs, room,
                      rte_strerror(rte_errno));
            return false;
        }
    }
    return true;
}

/* On one of the side's prefixes; or link-local, where IPv6 is spoken. */
static bool is_reachable(const struct net_side_config *c, const struct net_addr *gateway)
{
    bool link_local = net_is_link_local(gateway);

    for (unsigned i = 0; i < c->naddrs; i++)
        if (net_prefix_has(&c->addrs[i], gateway) ||
            (link_local && !net_addr_is_v4(&c->addrs[i].addr)))
            return true;
    return false;
}

/* Addresses that a neighbour could never resolve are a mistake that would look like silence. */
static bool check_side(const struct net_side_config *c, const struct net_profile *p)
{
    char text[NET_ADDR_TEXT];

    for (unsigned i = 0; i < c->naddrs && p->mtu < RTE_IPV6_MIN_MTU; i++)
        if (!net_addr_is_v4(&c->addrs[i].addr)) { /* RFC 8200 5 */
            log_error("net", "port %s: IPv6 needs an mtu of %u, the profile has %u", c->port,
                      RTE_IPV6_MIN_MTU, p->mtu);
            return false;
        }

    for (unsigned f = 0; f < NET_FAMILIES; f++)
        if (c->has_gateway[f] && !is_reachable(c, &c->gateway[f])) {
            log_error("net", "port %s: the gateway %s is on none of its prefixes", c->port,
                      net_addr_text(&c->gateway[f], text));
            return false;
        }
    return true;
}

struct net_ports *net_ports_open(const struct net_profile *p, const struct net_config *c)
{
    struct net_ports *ports = calloc(1, sizeof(*ports));

    if (!ports || p->workers == 0 || p->workers > NET_WORKERS_MAX) {
        log_error("net", "no memory, or a number of workers that cannot be: %u", p->workers);
        free(ports);
        return NULL;
    }
    ports->workers = p->workers;
    for (unsigned s = 0; s < NET_SIDES; s++)
        if (!check_side(&c->side[s], p) || !net_port_find(ports, s, p, &c->side[s]))
            goto fail;
    if (!make_pools(ports, p))
        goto fail;
    if (!mesh_rings_make(&ports->mesh, p->workers)) {
        log_error("net", "no memory for the rings between %u workers", p->workers);
        goto fail;
    }
    for (unsigned s = 0; s < NET_SIDES; s++)
        if (!net_port_start(ports, s, p) || !net_port_join(&ports->port[s], p, &c->side[s]))
            goto fail;
    return ports;
fail:
    net_ports_close(ports);
    return NULL;
}

static void drain(struct rte_ring *r)
{
    void *m;

    while (r && rte_ring_dequeue(r, &m) == 0)
        rte_pktmbuf_free(m);
    rte_ring_free(r);
}

void net_ports_close(struct net_ports *ports)
{
    if (!ports)
        return;
    for (unsigned s = 0; s < NET_SIDES; s++) {
        if (!ports->port[s].open)
            continue;
        net_port_leave(&ports->port[s]);
        rte_eth_dev_stop(ports->port[s].id);
        rte_eth_dev_close(ports->port[s].id);
    }
    for (unsigned s = 0; s < NET_SIDES; s++)
        for (unsigned w = 0; w < ports->workers; w++) {
            drain(ports->ring[s][0][w]);
            drain(ports->ring[s][1][w]);
        }
    mesh_rings_free(&ports->mesh);
    for (unsigned w = 0; w < ports->workers; w++)
        rte_mempool_free(ports->pool[w]);
    free(ports);
}

struct rte_mempool *net_ports_pool(const struct net_ports *ports, unsigned worker)
{
    return ports->pool[worker];
}
