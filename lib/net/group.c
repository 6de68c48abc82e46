/* The multicast groups that IPv6 needs on each link, and how the ports come to hear them. */
#include "net_internal.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <rte_ethdev.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct net_addr net_all_nodes = {{0xff, 0x02, [15] = 0x01}};

struct rte_ether_addr net_group_mac(const struct net_addr *group)
{
    const uint8_t *b = group->b;

    return (struct rte_ether_addr){{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

struct net_addr net_solicited_node(const struct net_addr *a)
{
    return (struct net_addr){{0xff, 0x02, [11] = 0x01, [12] = 0xff, a->b[13], a->b[14], a->b[15]}};
}

struct net_prefix net_link_local(const struct rte_ether_addr *mac)
{
    const uint8_t *m = mac->addr_bytes;

    return (struct net_prefix){
        .addr = {{0xfe, 0x80, [8] = m[0] ^ 0x02, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}},
        .bits = 64};
}

/* Ours are ff02::1 and the solicited-node groups of our addresses. */
bool net_in_group(const struct net *n, enum net_side side, const struct net_addr *group)
{
    const struct net_face *f = &n->face[side];

    if (!f->ip6)
        return false;
    for (unsigned i = 0; i < f->nlocal; i++) {
        struct net_addr g = net_solicited_node(&f->local[i].addr);

        if (!net_addr_is_v4(&f->local[i].addr) && net_addr_eq(&g, group))
            return true;
    }
    return net_addr_eq(group, &net_all_nodes);
}

bool net_in_group_mac(const struct net *n, enum net_side side, const struct rte_ether_addr *mac)
{
    const uint8_t *b = mac->addr_bytes;
    struct net_addr group = {{0xff, 0x02, [12] = b[2], b[3], b[4], b[5]}};

    if (b[0] != 0x33 || b[1] != 0x33)
        return false;
    if (b[2] == 0xff)
        group.b[11] = 0x01;
    return net_in_group(n, side, &group);
}

/* ------------------------------------------------------------------- the port */

struct groups {
    struct rte_ether_addr mac[NET_ADDRS_MAX + 2];
    unsigned n;
};

static void add(struct groups *g, const struct net_addr *group)
{
    struct rte_ether_addr mac = net_group_mac(group);

    for (unsigned i = 0; i < g->n; i++)
        if (rte_is_same_ether_addr(&g->mac[i], &mac))
            return;
    g->mac[g->n++] = mac;
}

static struct groups groups_of(const struct net_port *port, const struct net_side_config *c)
{
    struct net_prefix own = net_link_local(&port->mac);
    struct net_addr group = net_solicited_node(&own.addr);
    struct groups g = {.n = 0};

    for (unsigned i = 0; i < c->naddrs && i < NET_ADDRS_MAX; i++) {
        struct net_addr of = net_solicited_node(&c->addrs[i].addr);

        if (!net_addr_is_v4(&c->addrs[i].addr))
            add(&g, &of);
    }
    if (g.n) {
        add(&g, &net_all_nodes);
        add(&g, &group);
    }
    return g;
}

/* The kernel's interface filters for the kernel. A membership of a packet socket makes it let our
 * groups through, and ends with this process, however that ends; switching the interface to
 * promiscuous would outlive it. */
static int join_kernel(struct net_port *port, const char *name, const struct groups *g)
{
    struct packet_mreq r = {.mr_type = PACKET_MR_MULTICAST, .mr_alen = RTE_ETHER_ADDR_LEN};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    r.mr_ifindex = (int)if_nametoindex(name);
    for (unsigned i = 0; i < g->n; i++) {
        memcpy(r.mr_address, &g->mac[i], RTE_ETHER_ADDR_LEN);
        if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &r, sizeof(r)) != 0) {
            int err = -errno;

            close(fd);
            return err;
        }
    }
    port->groups = fd;
    return 0;
}

static int join_device(const struct net_port *port, struct groups *g)
{
    int err = rte_eth_dev_set_mc_addr_list(port->id, g->mac, g->n);

    if (err)
        err = rte_eth_allmulticast_enable(port->id);
    if (err)
        err = rte_eth_promiscuous_enable(port->id);
    return err;
}

bool net_port_join(struct net_port *port, const struct net_profile *p,
                   const struct net_side_config *c)
{
    struct groups g = groups_of(port, c);
    int err = 0;

    if (g.n == 0)
        return true;
    if (strcmp(p->driver, "af_packet") == 0 || strcmp(p->driver, "af_xdp") == 0)
        err = join_kernel(port, c->port, &g);
    else if (strcmp(p->driver, "pci") == 0)
        err = join_device(port, &g);
    /* Rings, memif and our end of a tap have one peer and no filter. */
    if (err)
        log_error("net", "port %s does not take our IPv6 groups: %s", c->port, strerror(-err));
    return err == 0;
}

void net_port_leave(struct net_port *port)
{
    if (port->groups)
        close(port->groups);
    port->groups = 0;
}
