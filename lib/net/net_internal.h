/* What the parts of net share with each other and with nobody else.
 *
 * The road of a packet:   net_poll -> net_input (Ethernet) -> net_arp_input
 *                                                          -> ip4_input -> upcall
 *                                                                       -> net_icmp_input
 *                                                                       -> net_pass_forward
 * and out:                net_send_tcp, replies, passthrough -> net_ip_send (route, neighbour)
 *                                                          -> net_tx -> net_flush
 *
 * A handler of a received packet returns NULL when it has taken the mbuf, else the counter that
 * names why the packet ends; whoever called the handler first counts and frees. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mempool.h>

#include "net/net.h"
#include "net/steer.h"

#define NET_BURST     32
#define NET_TX_ROOM   1024 /* packets that wait for a port; a power of two */
#define NET_DATA_ROOM 2112 /* payload of one mbuf, after its headroom, for the usual MTU */
#define NET_TTL       64

/* ------------------------------------------------------------------ ports */

struct net_port {
    uint16_t id;
    uint16_t mtu;
    struct rte_ether_addr mac; /* ours on this wire */
    uint64_t rx_offloads, tx_offloads;
    uint16_t max_segs; /* longest chain that it sends; 1: none */
    uint16_t queues;   /* pairs in use; worker i has pair i */
    bool open;         /* rte_eth_dev_close is owed */
    bool scatter;      /* can spread a received packet over several mbufs */
    uint64_t rss;      /* of RTE_ETH_RSS_*, what it can hash for us; 0: it cannot spread */
    uint8_t rss_key_len;
    uint16_t reta_size;
    struct steer_table steer;
};

struct net_ports {
    struct net_port port[NET_SIDES];
    unsigned workers;
    struct rte_mempool *pool[NET_WORKERS_MAX];
    struct rte_ring *ring[NET_SIDES][2][NET_WORKERS_MAX]; /* driver ring: rx, tx */
    struct mesh_rings mesh;
};

bool net_is_kernel_driver(const char *driver); /* a port of it is an interface of the kernel's */
/* "net_af_packet0": what the EAL calls a side's virtual device. NULL for drivers without one. */
const char *net_vdev_prefix(const char *driver);

/* One port: found by the profile's driver, its limits read, not yet started. False after a logged
 * error. */
bool net_port_find(struct net_ports *ports, enum net_side side, const struct net_profile *p,
                   const struct net_side_config *c);
bool net_port_start(struct net_ports *ports, enum net_side side, const struct net_profile *p);

/* rss.c: how a port spreads what comes in. Nothing to do with one worker. */
struct rte_eth_dev_info;
struct rte_eth_conf;
void rss_limits(struct net_port *port, const struct rte_eth_dev_info *info, const char *driver);
void rss_configure(const struct net_port *port, struct rte_eth_conf *conf);
/* The port runs: fills in its steer table, and hands the port ours if it takes it. */
void rss_started(struct net_port *port, unsigned workers);

/* ----------------------------------------------------------------- routes */

/* All addresses `a` with a & mask == net, as two words each; byte order does not matter for that.
 */
struct net_range {
    uint64_t net[2], mask[2];
};

static inline bool net_range_has(const struct net_range *r, const struct net_addr *a)
{
    uint64_t w[2];

    memcpy(w, a->b, sizeof(w));
    return (w[0] & r->mask[0]) == r->net[0] && (w[1] & r->mask[1]) == r->net[1];
}

struct net_range net_range_of(const struct net_prefix *p);

/* An address of ours with the prefix it stands on. */
struct net_local {
    struct net_addr addr;
    struct net_range range;
    struct net_addr low, high; /* the prefix's all-zeros and all-ones host: IPv4 broadcasts */
    uint8_t bits;
    bool has_broadcast; /* IPv4 with at least two host bits (RFC 3021 for /31) */
};

/* ------------------------------------------------------------- neighbours */

#define NEIGH_MAX     1024
#define NEIGH_BUCKETS 2048
#define NEIGH_PENDING 4

struct neigh_table;

struct neigh_table *neigh_table_new(struct net *n, uint64_t now_us);
void neigh_table_delete(struct neigh_table *t);
void neigh_advance(struct neigh_table *t, uint64_t now_us);
/* Sends `m`, which starts at its IP header, to the neighbour; asks for its MAC first if need be. */
counter *neigh_send(struct net *n, enum net_side side, const struct net_addr *hop,
                    struct rte_mbuf *m);
/* A reply came. Believed only if we have asked; returns whether. */
bool neigh_reply(struct net *n, enum net_side side, const struct net_addr *addr,
                 const struct rte_ether_addr *mac);
/* Somebody who asks for us has told his own pair; may create an entry. */
void neigh_asker(struct net *n, enum net_side side, const struct net_addr *addr,
                 const struct rte_ether_addr *mac);
/* Somebody announces a pair that we did not ask for: if it contradicts what we know, ask. */
void neigh_announced(struct net *n, enum net_side side, const struct net_addr *addr,
                     const struct rte_ether_addr *mac);

/* --------------------------------------------------------------- a worker */

struct net_txq {
    struct rte_mbuf *m[NET_TX_ROOM];
    uint32_t head, count; /* head: oldest */
};

struct net_face {
    uint16_t port, queue;
    bool has_queue; /* else the worker `via` sends for us, and passes on what comes for us */
    uint8_t via;
    uint16_t mtu;
    uint16_t max_segs; /* longest chain that the port takes; 1: none */
    bool tx_cksum;     /* the port fills in IPv4 and TCP checksums */
    struct rte_ether_addr mac;
    unsigned nlocal;
    bool has_gateway;
    struct net_addr gateway;
    struct net_local local[NET_ADDRS_MAX];
    struct net_txq tx;
};

struct net_pass {
    struct net_range from, to;
    uint16_t low, high;
    uint8_t protocol;
};

/* A token bucket in micro-tokens: one packet costs US_IN_S of them. RFC 1812 4.3.2.8. */
#define ICMP_ERROR_RATE 200 /* a second, and as many at once */
struct net_bucket {
    uint64_t level, at_us;
};

struct net {
    struct net_counters count;
    uint64_t now;
    struct rte_mempool *pool;
    const struct net_upcalls *up;
    void *ctx;
    struct neigh_table *neighbours;
    struct mesh *mesh; /* NULL: this worker is the only one */
    bool learning;     /* the frame in hand is another worker's copy: learn, do not answer */
    struct net_bucket icmp_errors;
    unsigned npass;
    struct net_face face[NET_SIDES];
    uint64_t intercept[65536 / 64]; /* a bit a port */
    struct net_pass pass[NET_PASSTHROUGH_MAX];
};

static inline enum net_side net_other(enum net_side s)
{
    return s == NET_INSIDE ? NET_OUTSIDE : NET_INSIDE;
}

static inline bool net_intercepts(const struct net *n, uint16_t port)
{
    return n->intercept[port / 64] >> (port % 64) & 1;
}

/* A received IPv4 packet whose header has been found good. */
struct net_pkt {
    struct rte_mbuf *m;      /* starts at the IP header, ends where the packet ends */
    struct rte_ipv4_hdr *ip; /* 20 bytes: packets with options go no further */
    struct net_addr src, dst;
    enum net_side side; /* the port it came in by */
    uint16_t l4_len;
    uint16_t sport, dport; /* of TCP and UDP, host order */
};

void net_input(struct net *n, enum net_side side, struct rte_mbuf *m);
counter *net_arp_input(struct net *n, enum net_side side, struct rte_mbuf *m);
void net_arp_request(struct net *n, enum net_side side, const struct net_addr *target,
                     const struct rte_ether_addr *to);
counter *net_icmp_input(struct net *n, struct net_pkt *p);

/* RFC 792 and RFC 1812 4.3: an ICMP error about `p`, to its source, unless the rules forbid it. `p`
 * stays the caller's. `word` is the second word of the ICMP header in host order. */
void net_icmp_error(struct net *n, const struct net_pkt *p, uint8_t type, uint8_t code,
                    uint32_t word);
#define ICMP_UNREACHABLE    3
#define ICMP_TIME_EXCEEDED  11
#define ICMP_CODE_NET       0
#define ICMP_CODE_PORT      3
#define ICMP_CODE_TOO_BIG   4
#define ICMP_CODE_FORBIDDEN 13

/* What an ICMP error quotes of the packet it is about. */
struct net_quote {
    struct net_addr src, dst;
    uint8_t protocol;
    uint16_t sport, dport;
    uint32_t seq; /* of TCP */
};

/* An entry that lets the packet (or an ICMP error about such a packet) cross. */
bool net_pass_allows(const struct net *n, const struct net_pkt *p);
bool net_pass_allows_error(const struct net *n, const struct net_pkt *p, const struct net_quote *q);
counter *net_pass_forward(struct net *n, struct net_pkt *p);

/* The next hop towards `dst` out of a side; false: none. */
bool net_route(const struct net *n, enum net_side side, const struct net_addr *dst,
               struct net_addr *hop);
/* An address of ours on that side which a host at `peer` can answer; NULL if the side has none. */
const struct net_addr *net_local_for(const struct net *n, enum net_side side,
                                     const struct net_addr *peer);
bool net_is_local_on(const struct net *n, enum net_side side, const struct net_addr *a);
/* Whether `a` is a broadcast address of one of that side's prefixes. */
bool net_is_broadcast_on(const struct net *n, enum net_side side, const struct net_addr *a);
bool net_on_link(const struct net *n, enum net_side side, const struct net_addr *a);
/* RFC 1812 5.3.7, 5.3.8: an address that a packet from that side may carry as its source. */
bool net_source_ok(const struct net *n, enum net_side side, const struct net_addr *src);

/* `m` starts at a complete IP header. Finds the way and sends; takes `m` unless it returns a
 * counter. */
counter *net_ip_send(struct net *n, enum net_side side, const struct net_addr *dst,
                     struct rte_mbuf *m);
/* The same, with the drop counted and the mbuf freed here. */
void net_ip_send_or_drop(struct net *n, enum net_side side, const struct net_addr *dst,
                         struct rte_mbuf *m);
/* Writes a header for `payload` bytes, checksum included. */
void net_ip_header(struct rte_ipv4_hdr *ip, const struct net_addr *src, const struct net_addr *dst,
                   uint8_t protocol, uint16_t payload);
/* `m` is a whole frame. Always takes it. */
void net_tx(struct net *n, enum net_side side, struct rte_mbuf *m);

/* For a received packet that is sent on: what the port said about it is no order to the next. */
static inline void net_clear_flags(struct rte_mbuf *m)
{
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
}

static inline void net_drop(counter *why, struct rte_mbuf *m)
{
    counter_inc(why);
    rte_pktmbuf_free(m);
}

/* ------------------------------------------------------------------ mbufs */

/* The first `need` bytes (at most the packet's length and a mbuf's room) in one piece. Returns the
 * packet's new head, NULL if there is no mbuf (`m` is left alone then). */
struct rte_mbuf *mbuf_pullup(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t need);
/* Cuts the packet's end so that `len` bytes stay, at least one of them in the first segment. */
void mbuf_trim(struct rte_mbuf *m, uint32_t len);
/* Copies a chain into one fresh mbuf and frees it; NULL if there is none or it does not fit (`m` is
 * left alone then). */
struct rte_mbuf *mbuf_linear(struct rte_mempool *pool, struct rte_mbuf *m);
/* The Internet checksum (RFC 1071) of `len` bytes from `off` on, not complemented, any segments.
 * The bytes must be there. */
uint16_t mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len);
/* The checksum of a TCP or UDP packet over IPv4 (its field included: 0 when that is right), to be
 * written into the field when that was zero. `m` starts at the IP header. */
uint16_t l4_cksum(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip);
/* RFC 1624 equation 3: the checksum after a 16-bit word has changed. */
uint16_t cksum_update(uint16_t cksum, uint16_t old_word, uint16_t new_word);

#endif
