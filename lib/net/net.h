/* Ports and packets: Ethernet, ARP, neighbour discovery, IPv4, IPv6, ICMP, routes. One `struct net`
 * a worker; it owns that worker's queue pair on both ports and everything it remembers (neighbours,
 * pending packets), so nothing here takes a lock. Knows nothing of TCP but its port numbers.
 *
 * Addresses are 16 bytes everywhere, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that what stands
 * above treats both families alike. That form never comes from a wire: an IPv6 packet that carries
 * it is dropped. */
#ifndef NET_NET_H
#define NET_NET_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* -------------------------------------------------------------- addresses */

struct net_addr {
    uint8_t b[16];
};

struct net_prefix {
    struct net_addr addr; /* as written, host bits kept: an interface address has them */
    uint8_t bits;         /* 0..128; an IPv4 prefix length plus 96 */
};

#define NET_ADDR_TEXT 46

static inline bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool net_addr_is_v4(const struct net_addr *a);
struct net_addr net_addr_v4(uint32_t host_order);
uint32_t net_addr_to_v4(const struct net_addr *a);               /* host order; `a` must be IPv4 */
bool net_addr_parse(struct span text, struct net_addr *out);     /* "10.0.0.1", "fd00::1" */
bool net_prefix_parse(struct span text, struct net_prefix *out); /* "10.0.0.1/24"; no "/" = host */
bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a);
char *net_addr_text(const struct net_addr *a, char out[NET_ADDR_TEXT]); /* returns `out` */

/* ---------------------------------------------------------- configuration */

enum net_side { NET_INSIDE, NET_OUTSIDE, NET_SIDES };
enum net_family { NET_IP4, NET_IP6, NET_FAMILIES };

#define NET_WORKERS_MAX     16
#define NET_ADDRS_MAX       16
#define NET_INTERCEPT_MAX   32
#define NET_PASSTHROUGH_MAX 64

/* One port as turnpike.yaml describes it. */
struct net_side_config {
    char port[32]; /* interface (or PCI address) that the profile's driver attaches to */
    struct net_prefix addrs[NET_ADDRS_MAX];
    unsigned naddrs;
    /* Next hop for whatever is on no prefix of this side; an IPv6 one may be link-local. */
    struct net_addr gateway[NET_FAMILIES];
    bool has_gateway[NET_FAMILIES];
};

/* An address that a port may be given: a host's own, and with a prefix that cannot be taken for the
 * other family's. NULL if it may, else why not. IPv6 link-local addresses are not given: a port
 * with an IPv6 address makes its own from its MAC (RFC 4291 appendix A). */
const char *net_prefix_unfit(const struct net_prefix *p);

/* Traffic that may cross without being looked into; replies of it pass too. */
struct net_passthrough {
    struct net_prefix from, to;   /* inside address, outside address; of one family */
    uint8_t protocol;             /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP (ICMPv6 with IPv6) */
    uint16_t port_low, port_high; /* destination ports; 0..65535 for protocols that have none */
};

struct net_config {
    struct net_side_config side[NET_SIDES];
    uint16_t intercept[NET_INTERCEPT_MAX];
    unsigned nintercept;
    struct net_passthrough pass[NET_PASSTHROUGH_MAX];
    unsigned npass;
};

enum net_idle { NET_IDLE_ADAPTIVE, NET_IDLE_POLL };

/* A file of drivers-config/: how ports are driven. See drivers-config/README.md for its keys. */
struct net_profile {
    char name[32];
    char driver[32];           /* "af_packet", "af_xdp", "tap", "memif", "ring", or "pci" */
    char devargs[256];         /* appended to the vdev's own, may be empty */
    unsigned workers;          /* worker lcores */
    unsigned queues;           /* queue pairs of a port that are used; at most one a worker */
    unsigned first_core;       /* control runs here, workers on the cores after it (wrapping) */
    unsigned rx_ring, tx_ring; /* descriptors a queue */
    unsigned mtu;
    unsigned mbufs;      /* in the pool of one worker */
    unsigned memory_mib; /* handed to the EAL */
    bool hugepages;      /* false: --no-huge */
    enum net_idle idle;
};

/* False after complaints in `d`. */
bool net_profile_load(const char *path, struct net_profile *out, struct diags *d);

#define NET_EAL_ARGS_MAX 64
/* The EAL's argument vector for a profile (argv[0] included, NULL-terminated, strings from `mem`).
 * If hugepages are asked for and too few are free, --no-huge is used and `*without_huge` set so
 * that the program can say what that costs. Returns argc; 0 after a logged error if a port's name
 * holds a character that would be read as another device argument. */
int net_eal_args(const struct net_profile *p, const struct net_config *c, struct arena *mem,
                 char *argv[NET_EAL_ARGS_MAX], bool *without_huge);

/* ------------------------------------------------------------------ ports */

struct net_ports;

/* Configures and starts both ports after rte_eal_init: a queue pair for each worker, or for the
 * first of them if the port has not so many; the others send through those. With several workers
 * also what spreads connections over them: the port itself where it can, else the workers among
 * themselves (counter `respread`). Joins the ports' IPv6 groups. NULL after a logged error: a
 * gateway on no prefix of its side, an mtu too small for IPv6 (1280), a port that is not there or
 * does not start. Control thread. */
struct net_ports *net_ports_open(const struct net_profile *p, const struct net_config *c);
void net_ports_close(struct net_ports *ports);
struct rte_mempool *net_ports_pool(const struct net_ports *ports, unsigned worker);

/* --------------------------------------------------------------- a worker */

struct net;

/* A TCP segment for us: `m` starts at the TCP header and holds exactly the IP payload; the whole
 * TCP header is in its first segment; data offset and ports are sane; its checksum has been found
 * right (by the port or in software). */
struct net_segment {
    struct rte_mbuf *m; /* now the receiver's */
    struct net_addr src, dst;
    enum net_side side; /* the port it came in by */
    uint8_t ecn;        /* the IP header's ECN bits (RFC 3168) */
};

/* A valid ICMP error about a TCP segment that we might have sent (the quoted addresses and ports
 * are in our direction: src is ours). The receiver checks `seq` against its window before believing
 * it (RFC 5927). */
struct net_unreachable {
    struct net_addr src, dst;
    uint16_t sport, dport;
    uint32_t seq;
    enum net_side side;
    bool too_big; /* fragmentation needed; IPv6: packet too big */
    uint16_t mtu; /* with too_big: below the port's, 68 at least (IPv6: 1280); 0: IPv4, not said */
};

struct net_upcalls {
    void (*segment)(void *ctx, const struct net_segment *s);
    void (*unreachable)(void *ctx, const struct net_unreachable *u);
};

/* Every way in which a packet ends here. */
/* clang-format off */
#define NET_COUNTERS(X)                                                                           \
    X(rx_packets) X(rx_bytes) X(tx_packets) X(tx_bytes) X(drop_runt) X(drop_ethertype)            \
    X(drop_not_our_mac) X(drop_vlan) X(drop_ip_header) X(drop_ip_checksum) X(drop_ip_options)     \
    X(drop_ip_source) X(drop_ttl) X(drop_ip6_off) X(drop_ip6_extension) X(drop_ip6_routing)       \
    X(drop_ip6_jumbo) X(drop_ip6_no_next) X(drop_fragment) X(drop_l4_header)                      \
    X(drop_l4_checksum) X(drop_udp_quic) X(drop_not_intercepted) X(drop_not_ours)                 \
    X(drop_arp_bad) X(drop_arp_unresolved) X(drop_nd_bad) X(drop_nd_unresolved)                   \
    X(address_conflicts) X(drop_no_route) X(drop_neighbours_full)                                 \
    X(drop_icmp_bad) X(drop_icmp_other) X(drop_too_big) X(drop_no_mbuf) X(drop_tx_full)           \
    X(drop_tx_refused) X(arp_received) X(arp_requests_sent) X(arp_replies_sent)                   \
    X(nd_received) X(nd_solicits_sent) X(nd_adverts_sent) X(mld_received) X(mld_reports_sent)     \
    X(icmp_echo_replies) X(icmp_errors_received) X(icmp_errors_sent) X(icmp_errors_limited)       \
    X(passed) X(respread) X(tx_handed_over) X(drop_spread_full)
/* clang-format on */

struct net_counters {
#define X(name) counter name;
    NET_COUNTERS(X)
#undef X
} __attribute__((aligned(64)));

/* NULL when out of memory. `c` must outlive it. Called on the worker or before it starts. */
struct net *net_new(struct net_ports *ports, unsigned worker, const struct net_config *c,
                    const struct net_upcalls *up, void *ctx, uint64_t now_us);
void net_delete(struct net *n);

/* One burst from each port: answers ARP, neighbour discovery and echo, drops and counts, hands
 * segments up. Returns how many packets came. Worker only, like all below. */
unsigned net_poll(struct net *n, uint64_t now_us);

/* Sends `m`, whose data starts at the TCP header (checksum field zero; head-room for Ethernet and
 * IP kept free: NET_HEADROOM bytes), may be a chain, and may share its data with other mbufs but
 * not its first segment's head-room. Fills in the checksum, IP, Ethernet; resolves the next hop
 * (queues a few packets meanwhile); puts it in the burst. Always consumes `m`. */
#define NET_HEADROOM 64
void net_send_tcp(struct net *n, enum net_side side, const struct net_addr *src,
                  const struct net_addr *dst, struct rte_mbuf *m);
/* Hands the burst to the ports. Call once a loop. */
void net_flush(struct net *n);
/* Questions to neighbours again, their ageing, a log line about an address that somebody else has;
 * at most once a millisecond is enough. */
void net_tick(struct net *n, uint64_t now_us);

/* Tells both links which MAC address ours have (RFC 5227, RFC 4861 7.2.6): whoever remembers
 * another one, of an earlier run or of the host that this one replaces, learns better. Joins our
 * multicast groups (RFC 3810) and asks whether anybody has our IPv6 addresses (RFC 4862 5.4). At
 * the start, and again a little later.
 *
 * The addresses are in use meanwhile, and stay so if somebody else has one: they were given by
 * hand, and a host of the link must not be able to end the service by claiming one. The conflict is
 * counted (address_conflicts) and logged as an error, with the other's MAC, at most each 10 s. */
void net_announce(struct net *n);

/* Does the port send chains of mbufs? If not they are copied into one first. */
bool net_takes_chains(const struct net *n, enum net_side side);
unsigned net_mtu(const struct net *n, enum net_side side); /* largest IP packet */
/* Our source address for a connection out of that side towards `dst`, of its family: on its prefix,
 * else by RFC 6724 5 rules 6, 5.5 and 8. False if there is no route. */
bool net_source_for(const struct net *n, enum net_side side, const struct net_addr *dst,
                    struct net_addr *src);
/* Likewise a pool: that address first, then all others of ours on the same prefix, as the
 * configuration has them; each has 64k ports of its own towards `dst`. Returns how many, 0 if there
 * is no route. */
unsigned net_sources_for(const struct net *n, enum net_side side, const struct net_addr *dst,
                         struct net_addr out[NET_ADDRS_MAX]);
bool net_is_local(const struct net *n, const struct net_addr *a);
/* Would segments of this connection come to this worker? True with one worker. A connection that we
 * open needs a local port for which this holds. */
bool net_reaches(const struct net *n, enum net_side side, const struct net_addr *local,
                 const struct net_addr *remote, uint16_t lport, uint16_t rport);
const struct net_counters *net_counters(const struct net *n);

#endif
