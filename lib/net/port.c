/* One port: found, its limits read, configured, started. */
#include "net_internal.h"

#include <errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <string.h>

static const char *const side_name[NET_SIDES] = {"inside", "outside"};

static const struct {
    const char *driver, *vdev;
    bool kernel;
} drivers[] = {
    {"af_packet", "net_af_packet", true}, {"af_xdp", "net_af_xdp", true}, {"tap", "net_tap", true},
    {"memif", "net_memif", false},        {"ring", NULL, false},          {"pci", NULL, false},
};

bool net_is_kernel_driver(const char *driver)
{
    for (size_t i = 0; i < RTE_DIM(drivers); i++)
        if (strcmp(drivers[i].driver, driver) == 0)
            return drivers[i].kernel;
    return false;
}

const char *net_vdev_prefix(const char *driver)
{
    for (size_t i = 0; i < RTE_DIM(drivers); i++)
        if (strcmp(drivers[i].driver, driver) == 0)
            return drivers[i].vdev;
    return NULL;
}

/* ------------------------------------------------------------- driver ring */

static struct rte_ring *make_ring(const char *port, const char *way, unsigned queue, unsigned size)
{
    char name[RTE_RING_NAMESIZE];

    snprintf(name, sizeof(name), "%.16s.%s%u", port, way, queue);
    return rte_ring_create(name, rte_align32pow2(size), (int)SOCKET_ID_ANY,
                           RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* A port over rings of our own, "<port>.rx0" and "<port>.tx0" and so on: whoever is in this process
 * finds them by these names and is the wire. */
static bool make_ring_port(struct net_ports *ports, enum net_side side, const struct net_profile *p,
                           const char *port, uint16_t *id)
{
    struct rte_ring **rx = ports->ring[side][0], **tx = ports->ring[side][1];
    int made;

    for (unsigned q = 0; q < p->queues; q++) {
        rx[q] = make_ring(port, "rx", q, p->rx_ring);
        tx[q] = make_ring(port, "tx", q, p->tx_ring);
        if (!rx[q] || !tx[q])
            return false;
    }
    made = rte_eth_from_rings(port, rx, p->queues, tx, p->queues, 0);
    if (made < 0)
        return false;
    *id = (uint16_t)made;
    return true;
}

/* ------------------------------------------------------------------- find */

static bool find_id(struct net_ports *ports, enum net_side side, const struct net_profile *p,
                    const char *port, uint16_t *id)
{
    const char *prefix = net_vdev_prefix(p->driver);
    char name[64];

    if (strcmp(p->driver, "ring") == 0)
        return make_ring_port(ports, side, p, port, id);
    if (prefix)
        snprintf(name, sizeof(name), "%s%d", prefix, (int)side);
    else
        snprintf(name, sizeof(name), "%s", port);
    return rte_eth_dev_get_port_by_name(name, id) == 0;
}

/* Checksums are left to hardware only: where a driver of the kernel's interfaces offers them it
 * does them in software, and tap's goes wrong on chains with segments of odd length (DPDK 22.11).
 */
static void read_limits(struct net_port *port, const struct rte_eth_dev_info *info,
                        const char *driver)
{
    const uint64_t tx_sums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    const uint64_t rx_sums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    uint16_t segs = info->tx_desc_lim.nb_mtu_seg_max;

    port->scatter = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    if (!net_is_kernel_driver(driver))
        port->rx_offloads = info->rx_offload_capa & rx_sums;
    if (!net_is_kernel_driver(driver) && (info->tx_offload_capa & tx_sums) == tx_sums)
        port->tx_offloads |= tx_sums;
    port->max_segs = 1;
    if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) {
        port->tx_offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
        port->max_segs = segs ? segs : UINT16_MAX;
    }
}

/* A port over rings has no address of its own. A tap has the kernel's interface at its other end,
 * and the driver gives both ends one address. A bridge or a host at that end needs ours to be
 * another. */
static void own_mac(struct net_port *port, const char *driver)
{
    rte_eth_macaddr_get(port->id, &port->mac);
    if (rte_is_zero_ether_addr(&port->mac))
        rte_eth_random_addr(port->mac.addr_bytes);
    if (strcmp(driver, "tap") != 0)
        return;
    port->mac.addr_bytes[0] = (uint8_t)(port->mac.addr_bytes[0] | RTE_ETHER_LOCAL_ADMIN_ADDR);
    port->mac.addr_bytes[5] ^= 1;
}

bool net_port_find(struct net_ports *ports, enum net_side side, const struct net_profile *p,
                   const struct net_side_config *c)
{
    struct net_port *port = &ports->port[side];
    struct rte_eth_dev_info info;
    unsigned most;
    int err;

    if (!find_id(ports, side, p, c->port, &port->id)) {
        log_error("net", "%s: no port %s of driver %s", side_name[side], c->port, p->driver);
        return false;
    }
    port->open = true;
    port->mtu = (uint16_t)p->mtu;
    err = rte_eth_dev_info_get(port->id, &info);
    if (err) {
        log_error("net", "%s: %s: %s", side_name[side], c->port, strerror(-err));
        return false;
    }
    most = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
    port->queues = (uint16_t)RTE_MIN(p->queues, most);
    if (port->queues == 0) {
        log_error("net", "%s: %s has no queues", side_name[side], c->port);
        return false;
    }
    read_limits(port, &info, p->driver);
    if (p->workers > 1)
        rss_limits(port, &info, p->driver);
    own_mac(port, p->driver);
    return true;
}

/* ------------------------------------------------------------------ start */

static int set_mtu(const struct net_port *port)
{
    uint16_t mtu = 0;
    int err;

    if (rte_eth_dev_get_mtu(port->id, &mtu) == 0 && mtu == port->mtu)
        return 0;
    err = rte_eth_dev_set_mtu(port->id, port->mtu);
    return err == -ENOTSUP ? 0 : err; /* rings and the like carry any size */
}

static int start(struct net_ports *ports, struct net_port *port, const struct net_profile *p)
{
    struct rte_eth_conf conf = {.rxmode.offloads = port->rx_offloads,
                                .txmode.offloads = port->tx_offloads};
    uint16_t rx = (uint16_t)p->rx_ring, tx = (uint16_t)p->tx_ring, queues = port->queues;
    int room = rte_pktmbuf_data_room_size(ports->pool[0]) - RTE_PKTMBUF_HEADROOM;
    int err;

    if (port->scatter && port->mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN > room)
        conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
    rss_configure(port, &conf);
    err = rte_eth_dev_configure(port->id, queues, queues, &conf);
    if (err && port->rss) { /* it says that it could hash, and does not take how */
        port->rss = 0;
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
        err = rte_eth_dev_configure(port->id, queues, queues, &conf);
    }
    if (!err)
        err = set_mtu(port);
    if (!err)
        err = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
    for (uint16_t q = 0; q < queues && !err; q++) {
        unsigned socket = (unsigned)rte_eth_dev_socket_id(port->id);

        err = rte_eth_rx_queue_setup(port->id, q, rx, socket, NULL, ports->pool[q]);
        if (!err)
            err = rte_eth_tx_queue_setup(port->id, q, tx, socket, NULL);
    }
    return err ? err : rte_eth_dev_start(port->id);
}

bool net_port_start(struct net_ports *ports, enum net_side side, const struct net_profile *p)
{
    struct net_port *port = &ports->port[side];
    char mac[RTE_ETHER_ADDR_FMT_SIZE];
    int err = start(ports, port, p);

    if (err) {
        log_error("net", "%s: port does not start: %s", side_name[side], strerror(-err));
        return false;
    }
    rss_started(port, p->workers);
    rte_ether_format_addr(mac, sizeof(mac), &port->mac);
    log_info("net", "%s: %s, driver %s, mtu %u, checksums %s, chains of %u", side_name[side], mac,
             p->driver, port->mtu,
             port->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM ? "by the port" : "in software",
             port->max_segs);
    if (p->workers > 1)
        log_info("net", "%s: %u queues for %u workers, connections are spread %s", side_name[side],
                 port->queues, p->workers, port->steer.in_port ? "by the port" : "in software");
    return true;
}
