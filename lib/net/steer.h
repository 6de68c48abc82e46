/* Which worker a packet belongs to, and how it gets there.
 *
 * A connection lives on one worker. The owner of a packet is found by the hash that ports with RSS
 * use (Toeplitz over addresses and ports as they stand in the received packet) and by the port's
 * redirection table, so that the software and a port that does it in hardware agree. A worker opens
 * a connection from a local port whose answers hash to itself: net_reaches.
 *
 * Whatever a worker receives for another one it passes on through a mesh of rings, one for each
 * pair of workers and direction, each with one producer and one consumer. Ports that spread as we
 * do never need it; for all others (the kernel's fan-out, a port with another idea of a hash) it is
 * the way.
 *
 *     steer.c   the hash, the table, the owner of a flow
 *     flow.c    the flow that a received frame belongs to
 *     mesh.c    a worker's ends of the rings */
#ifndef NET_STEER_H
#define NET_STEER_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "net/net.h"

struct net_face;
struct net_port;

enum {
    STEER_KEY_MAX = 52,    /* cards want 40 or 52 bytes */
    STEER_KEY_LEAST = 40,  /* as much as IPv6 needs: 36 bytes and one word */
    STEER_RETA_MAX = 2048, /* entries of the largest redirection table that is used */
    STEER_RETA_OWN = 128,  /* entries where the port has no table */
    STEER_TUPLE_MAX = 36,  /* two IPv6 addresses and two ports */
    MESH_SLOTS = 1024,     /* of a ring between two workers */
    MESH_SLOT_BYTES = 16,
};

/* Source, destination, source port, destination port in network order, as they stand in a packet
 * that we receive: the hash's input (12 bytes for IPv4, 36 for IPv6). */
struct steer_flow {
    uint8_t b[STEER_TUPLE_MAX];
    uint8_t n;
};

/* How the packets of one port are spread. Immutable once the port runs; all workers read it. */
struct steer_table {
    uint32_t part[2 * STEER_TUPLE_MAX][16]; /* the hash of each value of each half byte */
    uint16_t mask;                          /* entries of `queue` less one */
    uint8_t queue[STEER_RETA_MAX];          /* the worker: each polls the queue of its number */
    uint8_t key[STEER_KEY_MAX];
    bool in_port; /* the port does the same in hardware */
};

extern const uint8_t steer_key[STEER_KEY_MAX]; /* ours; fixed, so that a flow's way can be retold */

/* Fills in the table: round robin over `queues`. `size` is a power of two up to STEER_RETA_MAX;
 * `key` has STEER_KEY_LEAST bytes at least. */
void steer_table_fill(struct steer_table *t, const uint8_t *key, size_t key_len, unsigned size,
                      unsigned queues);
uint32_t steer_hash(const struct steer_table *t, const struct steer_flow *f);
static inline unsigned steer_owner_of(const struct steer_table *t, uint32_t hash)
{
    return t->queue[hash & t->mask];
}
unsigned steer_owner(const struct steer_table *t, const struct steer_flow *f);
/* The flow of what comes in for a connection of ours. */
struct steer_flow steer_flow_in(const struct net_addr *local, const struct net_addr *remote,
                                uint16_t lport, uint16_t rport);

/* ---- flow.c */

enum flow_kind {
    FLOW_NONE,   /* whoever received it handles it */
    FLOW_TCP,    /* a TCP segment */
    FLOW_QUOTED, /* an ICMP error; the flow is that of the answers to the segment it quotes */
    FLOW_LEARN,  /* a neighbour tells its address: all workers must hear of it */
};
/* What a frame is, from its headers alone; nothing in it is believed for more than the choice of
 * who looks at it. */
enum flow_kind flow_of(const struct rte_mbuf *m, struct steer_flow *f);

/* ---- mesh.c */

struct mesh; /* a worker's ends of the rings */
struct mesh_rings {
    unsigned workers;
    struct rte_ring *ring[NET_WORKERS_MAX][NET_WORKERS_MAX]; /* from, to */
};

/* Rings for every pair; false when out of memory (what was made is freed by mesh_rings_free). */
bool mesh_rings_make(struct mesh_rings *r, unsigned workers);
void mesh_rings_free(struct mesh_rings *r);

struct mesh *mesh_new(const struct mesh_rings *r, unsigned self, const struct net_port *ports);
void mesh_delete(struct mesh *x);
/* Passes on what another worker owns: true, and the packet is no longer the caller's. False: it is
 * the caller's to handle. A frame that all must hear of is copied to the others, too. */
bool mesh_pass(struct net *n, enum net_side side, struct rte_mbuf *m);
/* Frames for the worker that has a queue of the face's port: how many of them went. */
unsigned mesh_hand_over(struct net *n, const struct net_face *f, struct rte_mbuf *const *m,
                        unsigned count);
/* Sends off what has been passed on and handles what others have passed to us. Once a loop; returns
 * how many packets came. */
unsigned mesh_exchange(struct net *n);

#endif
