/* A test bed for lib/net: the real ports, pools and EAL of the profile `ring`, with the test as the
 * wire on both sides. Packets are made and judged as bytes by code of its own, so that a mistake in
 * lib/net's own helpers shows. */
#ifndef TESTS_NET_BED_H
#define TESTS_NET_BED_H

/* cmocka.h needs these before it, so the order is by hand. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <netinet/in.h>

#include "net/net_internal.h"

#define BED_SEEN 64

struct bed {
    struct net_config config;
    struct net_profile profile;
    struct net_ports *ports;
    struct net *n;
    uint64_t now;
    struct net_segment seen[BED_SEEN];
    unsigned nseen;
    struct net_unreachable told[BED_SEEN];
    unsigned ntold;
};

extern struct bed bed;

int bed_start(void **state);  /* group set-up: EAL and ports */
int bed_stop(void **state);   /* group tear-down; fails if an mbuf is lost */
int bed_fresh(void **state);  /* test set-up: a new worker, clock at 100 s */
int bed_finish(void **state); /* test tear-down: worker gone, every mbuf back in the pool */

/* Hosts on the wires. */
#define CALLER   0x0a0a0005u /* 10.10.0.5 */
#define OUR_IN   0x0a0a0001u /* 10.10.0.1/24 */
#define OUR_OUT  0x0a140001u /* 10.20.0.1/24 */
#define GATEWAY  0x0a1400feu /* 10.20.0.254 */
#define NEAR_OUT 0x0a140035u /* 10.20.0.53, on the outside link */
#define VENDOR   0xc6336407u /* 198.51.100.7, behind the gateway */
#define PASS_NET 0xc0000200u /* 192.0.2.0/24: passthrough of tcp 22 and icmp */
extern const uint8_t mac_caller[6], mac_gateway[6], mac_near[6], mac_all[6];
const uint8_t *bed_mac(enum net_side side); /* ours */

/* A frame as bytes. */
struct frame {
    uint8_t b[4096];
    size_t n;
};

uint16_t sum16(const uint8_t *p, size_t n, uint32_t start); /* RFC 1071, byte by byte */
void put16(uint8_t *at, unsigned v);
void put32(uint8_t *at, uint32_t v);
uint16_t get16(const uint8_t *at);
uint32_t get32(const uint8_t *at);

/* Ethernet from the caller's or the gateway's MAC to ours. */
struct frame ether(enum net_side side, unsigned type);
/* The parts behind it, each with right lengths and checksums. */
struct frame ip4(enum net_side side, uint32_t src, uint32_t dst, unsigned proto, const void *l4,
                 size_t n);
struct frame tcp(enum net_side side, uint32_t src, unsigned sport, uint32_t dst, unsigned dport,
                 unsigned flags, size_t payload);
struct frame udp(enum net_side side, uint32_t src, unsigned sport, uint32_t dst, unsigned dport,
                 size_t payload);
struct frame icmp(enum net_side side, uint32_t src, uint32_t dst, unsigned type, unsigned code,
                  uint32_t word, const void *body, size_t n);
struct frame arp(enum net_side side, unsigned op, const uint8_t *sha, uint32_t spa,
                 const uint8_t *tha, uint32_t tpa);
void fix_ip(struct frame *f); /* the header's checksum, after a change */

/* The same over IPv6. Groups get their MAC; the checksum of the upper protocol is right. */
#define CALLER6  "fd00:10::5"
#define OUR_IN6  "fd00:10::1"     /* /64 */
#define OUR_OUT6 "2001:db8:20::1" /* /64 */
#define GATEWAY6 "2001:db8:20::fe"
#define NEAR6    "2001:db8:20::53"
#define VENDOR6  "2001:db8:ffff::7" /* behind the gateway */
#define PASS6    "2001:db8:99::9"   /* of a passthrough entry's prefix */
struct net_addr a6(const char *text);
struct frame ip6(enum net_side side, const char *src, const char *dst, unsigned proto,
                 const void *l4, size_t n);
struct frame tcp6(enum net_side side, const char *src, unsigned sport, const char *dst,
                  unsigned dport, unsigned flags, size_t payload);
struct frame udp6(enum net_side side, const char *src, unsigned sport, const char *dst,
                  unsigned dport, size_t payload);
struct frame icmp6(enum net_side side, const char *src, const char *dst, unsigned type,
                   unsigned code, uint32_t word, const void *body, size_t n);
/* A neighbour solicitation (135) or advertisement (136), with the MAC as its option and the frame's
 * source, or without (NULL). */
struct frame nd(enum net_side side, const char *src, const char *dst, unsigned type, unsigned flags,
                const char *target, const uint8_t *mac);
void fix6(struct frame *f); /* the upper protocol's checksum, after a change */
/* The checksum over what stands `off` bytes behind the IPv6 header: 0 when right. */
uint16_t sum6(const struct frame *f, size_t off);
/* Teaches the worker the MACs of caller, gateway and near host, as answers to its questions. */
void introduce6(void);

#define ETH 14
#define IP  14
#define L4  34
#define L46 54
#define SYN 0x02
#define ACK 0x10

/* Puts a frame on a wire and lets the worker run once. */
void wire(enum net_side side, const struct frame *f);
/* The same as a chain of mbufs of the given sizes; the last takes the rest. */
void wire_split(enum net_side side, const struct frame *f, const unsigned *sizes, unsigned count);
/* The next frame that the worker sent; false if there is none. Checks what every frame must be:
 * our MAC as source, IPv4 checksum and length right, L4 checksum right. */
bool sent(enum net_side side, struct frame *f);
void nothing_sent(void);
void run(uint64_t us); /* turns the clock in steps of a millisecond, ticking */
/* Teaches the worker the MACs of caller, gateway and near host, as ARP requests do. */
void introduce(void);

/* What a counter has counted since the test began. */
#define counted(name)              counter_get(&net_counters(bed.n)->name)
#define assert_counted(name, want) assert_count_(#name, counted(name), (want))
void assert_count_(const char *name, uint64_t got, uint64_t want);

struct rte_mbuf *tcp_mbuf(unsigned sport, unsigned dport, size_t payload);

#endif
