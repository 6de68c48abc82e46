/* Receive side scaling of a port: made to hash with our key into a table of ours, so that each
 * worker gets from the port what it owns. A port that cannot, or will not, is no mistake: the
 * workers pass on among themselves what the port gets wrong. */
#include "net_internal.h"

#include <rte_ethdev.h>

#define TCP_HASHES (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)

void rss_limits(struct net_port *port, const struct rte_eth_dev_info *info, const char *driver)
{
    unsigned size = info->reta_size, key = info->hash_key_size ? info->hash_key_size : 40;

    if (net_is_kernel_driver(driver) || size < RTE_ETH_RETA_GROUP_SIZE || size > STEER_RETA_MAX ||
        (size & (size - 1)) || key < STEER_KEY_LEAST || key > STEER_KEY_MAX)
        return;
    port->rss = info->flow_type_rss_offloads & TCP_HASHES;
    port->reta_size = (uint16_t)size;
    port->rss_key_len = (uint8_t)key;
    if (port->rss)
        port->rx_offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
}

void rss_configure(const struct net_port *port, struct rte_eth_conf *conf)
{
    if (!port->rss)
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf =
        (struct rte_eth_rss_conf){.rss_key = (uint8_t *)(uintptr_t)steer_key,
                                  .rss_key_len = port->rss_key_len,
                                  .rss_hf = port->rss};
}

/* Some drivers take the key only now, some keep one of their own whatever they are told: what the
 * port says in the end is what counts. */
static size_t key_in_use(const struct net_port *port, uint8_t key[STEER_KEY_MAX])
{
    struct rte_eth_rss_conf conf = {
        .rss_key = key, .rss_key_len = port->rss_key_len, .rss_hf = port->rss};

    memcpy(key, steer_key, STEER_KEY_MAX);
    rte_eth_dev_rss_hash_update(port->id, &conf);
    memset(key, 0, STEER_KEY_MAX);
    if (rte_eth_dev_rss_hash_conf_get(port->id, &conf) == 0)
        for (unsigned i = 0; i < STEER_KEY_LEAST; i++)
            if (key[i])
                return port->rss_key_len;
    memcpy(key, steer_key, STEER_KEY_MAX);
    return STEER_KEY_MAX;
}

static bool set_reta(const struct net_port *port)
{
    struct rte_eth_rss_reta_entry64 reta[STEER_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE] = {0};

    for (unsigned i = 0; i < port->reta_size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &reta[i / RTE_ETH_RETA_GROUP_SIZE];

        group->mask |= (uint64_t)1 << (i % RTE_ETH_RETA_GROUP_SIZE);
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = port->steer.queue[i] % port->queues;
    }
    return rte_eth_dev_rss_reta_update(port->id, reta, port->reta_size) == 0;
}

void rss_started(struct net_port *port, unsigned workers)
{
    uint8_t key[STEER_KEY_MAX];

    if (!port->rss) {
        steer_table_fill(&port->steer, steer_key, STEER_KEY_MAX, STEER_RETA_OWN, workers);
        return;
    }
    steer_table_fill(&port->steer, key, key_in_use(port, key), port->reta_size, workers);
    port->steer.in_port = set_reta(port);
}
