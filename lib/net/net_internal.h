/* What the parts of net share with each other and with nobody else.
 *
 * The road of a packet:   net_poll -> net_input (Ethernet) -> net_arp_input
 *                                                          -> ip4_input, net_ip6_input
 *                         -> net_deliver4, net_deliver6 -> upcall
 *                                                       -> net_icmp_input, net_icmp6_input
 *                                                          -> net_nd_input, net_mld_input
 *                                                       -> net_pass_forward
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
    int groups;        /* socket that holds the kernel's interface in our groups; 0: none */
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

/* Makes a started port receive what is sent to the side's IPv6 groups. False after a logged error.
 */
bool net_port_join(struct net_port *port, const struct net_profile *p,
                   const struct net_side_config *c);
void net_port_leave(struct net_port *port);

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

static inline enum net_family net_family_of(const struct net_addr *a)
{
    return net_addr_is_v4(a) ? NET_IP4 : NET_IP6;
}

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
/* An IPv6 host has told its pair in a question of its own (RFC 4861 7.2.3): used, but to be asked
 * back at its first use. */
void neigh_solicitor(struct net *n, enum net_side side, const struct net_addr *addr,
                     const struct rte_ether_addr *mac);
/* A neighbour advertisement (RFC 4861 7.2.5). `mac` is NULL when it named none. */
void neigh_advertised(struct net *n, enum net_side side, const struct net_addr *addr,
                      const struct rte_ether_addr *mac, bool solicited, bool override);
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
    bool has_gateway[NET_FAMILIES];
    bool ip6; /* an IPv6 address was given: IPv6 is spoken here, and the last of `local` is
               * link-local
               */
    struct net_addr gateway[NET_FAMILIES];
    struct net_local local[NET_ADDRS_MAX + 1];
    struct net_txq tx;
};

struct net_pass {
    struct net_range from, to;
    uint16_t low, high;
    uint8_t protocol;
    enum net_family family; /* ::/0 holds the mapped IPv4 addresses, and does not mean them */
};

/* Somebody else has an address of ours. Told in net_tick, for the packet road does not log. */
struct net_conflict {
    bool fresh;
    enum net_side side;
    struct net_addr addr;
    struct rte_ether_addr mac;
    uint64_t quiet_until;
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
    struct net_conflict conflict;
    uint64_t mld_at[NET_SIDES]; /* when a report is owed to who asked; 0: none */
    uint64_t flow_seed;
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

/* A received packet whose IP header has been found good. Everything up to the end of a TCP header
 * is in the first segment. */
struct net_pkt {
    struct rte_mbuf *m; /* starts at the IP header, ends where the packet ends */
    union {
        struct rte_ipv4_hdr *ip; /* 20 bytes: packets with options go no further */
        struct rte_ipv6_hdr *ip6;
    };
    struct net_addr src, dst;
    enum net_side side; /* the port it came in by */
    enum net_family family;
    uint8_t protocol;
    bool group;                 /* it came in a frame to one of our IPv6 groups */
    struct rte_ether_addr from; /* the frame's sender; IPv6 only */
    uint16_t l4_off;            /* behind IPv6's extension headers */
    uint16_t l4_len;
    uint16_t sport, dport; /* of TCP and UDP, host order */
};

static inline void *net_l4(const struct net_pkt *p)
{
    return rte_pktmbuf_mtod_offset(p->m, void *, p->l4_off);
}

void net_input(struct net *n, enum net_side side, struct rte_mbuf *m);
counter *net_arp_input(struct net *n, enum net_side side, struct rte_mbuf *m);
void net_arp_request(struct net *n, enum net_side side, const struct net_addr *target,
                     const struct rte_ether_addr *to);
void net_arp_announce(struct net *n, enum net_side side, const struct net_addr *a);
/* `m` starts at the IPv6 header. Always takes it: a long chain of headers may need another mbuf. */
void net_ip6_input(struct net *n, enum net_side side, struct rte_mbuf *m, bool group);
/* Whose business a packet is. */
counter *net_deliver4(struct net *n, struct net_pkt *p);
counter *net_deliver6(struct net *n, struct net_pkt *p);
counter *net_icmp_input(struct net *n, struct net_pkt *p);
counter *net_icmp6_input(struct net *n, struct net_pkt *p);

/* An ICMP error about `p`, to its source, unless the rules forbid it (RFC 1812 4.3, RFC 4443 2.4).
 * `p` stays the caller's. `word` is the MTU of NET_TELL_TOO_BIG, the place of the IPv6 parameter
 * problems, else 0. */
enum net_tell {
    NET_TELL_NO_ROUTE,
    NET_TELL_FORBIDDEN,
    NET_TELL_PORT,
    NET_TELL_TOO_BIG,
    NET_TELL_EXPIRED,
    NET_TELL_BAD_HEADER, /* IPv6 only, as the next two */
    NET_TELL_BAD_NEXT,
    NET_TELL_BAD_OPTION
};
void net_icmp_error(struct net *n, const struct net_pkt *p, enum net_tell what, uint32_t word);
#define ICMP_UNREACHABLE    3
#define ICMP_TIME_EXCEEDED  11
#define ICMP_CODE_NET       0
#define ICMP_CODE_PORT      3
#define ICMP_CODE_TOO_BIG   4
#define ICMP_CODE_FORBIDDEN 13

#define ICMP6_UNREACHABLE    1 /* RFC 4443 3 */
#define ICMP6_TOO_BIG        2
#define ICMP6_TIME_EXCEEDED  3
#define ICMP6_PARAMETER      4
#define ICMP6_CODE_NO_ROUTE  0
#define ICMP6_CODE_FORBIDDEN 1
#define ICMP6_CODE_PORT      4
#define ICMP6_ECHO           128 /* RFC 4443 4; below 128 are errors */
#define ICMP6_ECHO_REPLY     129
#define ICMP6_MLD_QUERY      130 /* RFC 3810 5 */
#define ICMP6_NS             135 /* RFC 4861 4 */
#define ICMP6_NA             136
#define ICMP6_REDIRECT       137
#define ICMP6_MLD_REPORT     143

/* What an ICMP error quotes of the packet it is about. */
struct net_quote {
    struct net_addr src, dst;
    uint8_t protocol;
    uint16_t sport, dport;
    uint32_t seq; /* of TCP */
};

/* Whether the quoted packet can have been a segment of ours. */
bool net_quotes_us(const struct net *n, enum net_side side, const struct net_quote *q);

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
/* The same for IPv6 (RFC 4291 2.5, 2.7). */
bool net_source_ok6(const struct net *n, enum net_side side, const struct net_addr *src);
/* Whether a single host can be meant: no multicast, and nothing below ::1:0:0:0:0, where there are
 * the unspecified address, loopback and the forms that stand for IPv4 (RFC 4291 2.5). */
bool net_ip6_unicast(const struct net_addr *a);

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
/* The same for IPv6 (RFC 8200 3); the traffic class is 0. */
void net_ip6_header(struct rte_ipv6_hdr *ip, const struct net_addr *src, const struct net_addr *dst,
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

/* -------------------------------------------------------------------- IPv6 */

/* The chain of extension headers of a packet (RFC 8200 4), `n` bytes of which are at `b`, from the
 * IPv6 header on. */
struct net_ip6_chain {
    uint8_t protocol; /* of what stands behind it */
    uint16_t len;     /* of the chain */
    uint16_t at;      /* when it is bad: where, from the IPv6 header */
    bool tell;        /* and whether the sender may know (RFC 8200 4.2, 4.4) */
    enum net_tell what;
    bool fragment; /* has a Fragment header, of a packet in one piece (RFC 6946) */
};
#define NET_IP6_CHAIN_MAX 128 /* bytes; RFC 8504 5.3 leaves a limit to the host */

enum net_ip6_verdict {
    NET_IP6_GOOD,
    NET_IP6_EXTENSION, /* malformed, too long, or an option that forbids to go on */
    NET_IP6_ROUTING,
    NET_IP6_JUMBO,
    NET_IP6_FRAGMENT,
    NET_IP6_NO_NEXT
};
enum net_ip6_verdict net_ip6_walk(const uint8_t *b, uint32_t n, struct net_ip6_chain *c);

/* 33:33 and the address's last four bytes (RFC 2464 7). */
struct rte_ether_addr net_group_mac(const struct net_addr *group);
/* ff02::1:ff and the address's last three bytes (RFC 4291 2.7.1). */
struct net_addr net_solicited_node(const struct net_addr *a);
extern const struct net_addr net_all_nodes; /* ff02::1 */
/* fe80::/64 and the modified EUI-64 of the MAC (RFC 2464 5). */
struct net_prefix net_link_local(const struct rte_ether_addr *mac);
static inline bool net_is_link_local(const struct net_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}
static inline bool net_is_multicast6(const struct net_addr *a)
{
    return a->b[0] == 0xff;
}
static inline bool net_is_unspecified(const struct net_addr *a)
{
    return net_addr_eq(a, &(const struct net_addr){{0}});
}
/* Whether we listen to that group on that side. */
bool net_in_group(const struct net *n, enum net_side side, const struct net_addr *group);
bool net_in_group_mac(const struct net *n, enum net_side side, const struct rte_ether_addr *mac);

/* Somebody at `mac` has our address. */
void net_note_conflict(struct net *n, enum net_side side, const struct net_addr *addr,
                       const struct rte_ether_addr *mac);

counter *net_nd_input(struct net *n, struct net_pkt *p);
/* Asks for a neighbour's MAC: the neighbour at `to` alone, or everybody (NULL). */
void net_nd_solicit(struct net *n, enum net_side side, const struct net_addr *target,
                    const struct rte_ether_addr *to);
void net_nd_announce(struct net *n, enum net_side side);
counter *net_mld_input(struct net *n, struct net_pkt *p);
void net_mld_announce(struct net *n, enum net_side side);
void net_mld_tick(struct net *n);
/* A fresh frame for an ICMPv6 message of `len` bytes to a host or group at `to`; the IPv6 header is
 * written, the ICMPv6 message zero. NULL, counted, when there is no mbuf. */
struct rte_mbuf *net_icmp6_frame(struct net *n, enum net_side side, const struct net_addr *src,
                                 const struct net_addr *dst, const struct rte_ether_addr *to,
                                 uint8_t hop_limit, uint16_t len);
/* Fills in its checksum. */
void net_icmp6_seal(struct rte_mbuf *m);

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
/* The same for what stands `off` bytes into an IPv6 packet, of any upper protocol (RFC 8200 8.1).
 */
uint16_t l4_cksum6(const struct rte_mbuf *m, const struct rte_ipv6_hdr *ip, uint8_t protocol,
                   uint32_t off, uint32_t len);
/* RFC 1624 equation 3: the checksum after a 16-bit word has changed. */
uint16_t cksum_update(uint16_t cksum, uint16_t old_word, uint16_t new_word);

#endif
