/* A stack on a fake clock, segments put in and taken out by hand. Sequence numbers in scripts are
 * relative: 0 is the SYN of whoever sends. */
#ifndef TCP_TEST_H
#define TCP_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/tcp.h"

enum { F = 1, S = 2, R = 4, P = 8, A = 16 };

#define MS  1000u
#define SEC 1000000u

/* One segment of a script. Fields left out are zero, which means: no such option, no data. */
struct seg {
    unsigned flags;
    uint32_t seq, ack; /* relative */
    uint32_t len;
    unsigned wnd; /* as on the wire; on input 0 stands for 60000, NO_WINDOW for 0 */
    unsigned mss;
    unsigned ws;      /* scale + 1 */
    uint32_t ts, ecr; /* ts != 0: a timestamp option */
    unsigned fill;    /* xor'ed into the payload pattern */
    uint32_t sack[8]; /* relative numbers in pairs, to the first 0; compared on output if given */
    bool sack_ok;     /* SACK permitted */
    unsigned split;   /* on input: so many bytes of payload in each mbuf of a chain; 0: one mbuf */
};
#define NO_WINDOW 0x10000u

#define SENT_MAX 4096
struct sent {
    struct seg s; /* absolute numbers */
    uint8_t data[1500];
    bool chained;
};

struct world {
    struct tcp *t;
    struct rte_mempool *pool;
    unsigned mbufs; /* in the pool at the start */
    uint64_t now;
    struct tcp_config cfg;
    struct tcp_lower lower;
    struct tcp_owner owner;

    struct sent *sent;
    unsigned head, tail;             /* taken, put */
    struct rte_mbuf *kept[SENT_MAX]; /* what the port has not let go of */
    unsigned nkept;
    bool keep; /* the port keeps its references */

    struct net_addr us, peer;
    uint16_t us_port, peer_port;
    enum net_side side;
    uint32_t us_iss, peer_iss;
    uint32_t ts; /* put on input segments of scripts that give none, if not 0 */

    struct tcp_conn *c; /* the last accepted or connected */
    unsigned events;    /* all that came, ORed */
    unsigned calls;     /* of the event function */
    enum tcp_end end;
    bool refuse; /* accept returns false */
    void (*on_event)(struct world *w, struct tcp_conn *c, unsigned events);
    unsigned accepts;
};

int test_eal(void **state); /* group set-up */
struct rte_mempool *test_pool(unsigned n);
void test_pool_fail(unsigned every); /* one allocation in so many fails; 0: none */
unsigned test_pool_free(const struct rte_mempool *pool);

struct world *world_new(void);
/* With a changed configuration. */
struct world *world_with(void (*change)(struct tcp_config *c));
void world_v6(struct world *w); /* both addresses are IPv6 from now on */
/* Fails if a single mbuf is missing. */
void world_delete(struct world *w);

void run(struct world *w);                  /* advance, dispatch, output; validated */
void wait_us(struct world *w, uint64_t us); /* in steps of a millisecond */
void put(struct world *w, struct seg s);    /* one segment in, no run */
void in(struct world *w, struct seg s);     /* one segment in, and run */
#define IN(w, ...)  in((w), (struct seg){.flags = __VA_ARGS__})
#define PUT(w, ...) put((w), (struct seg){.flags = __VA_ARGS__})

/* The next segment out must have these flags, numbers and length; window and options are compared
 * if given. PSH is compared only if given. The payload must be the pattern. */
void out_at(struct world *w, struct seg s, const char *file, int line);
#define OUT(w, ...) out_at((w), (struct seg){.flags = __VA_ARGS__}, __FILE__, __LINE__)
/* Waits for the next segment out; fails unless it comes between `least` and three ticks later. */
void out_after_at(struct world *w, uint64_t least, struct seg s, const char *file, int line);
#define OUT_AFTER(w, least, ...)                                                                   \
    out_after_at((w), (least), (struct seg){.flags = __VA_ARGS__}, __FILE__, __LINE__)
void none_at(struct world *w, const char *file, int line);
#define NONE(w) none_at((w), __FILE__, __LINE__)
unsigned out_count(struct world *w); /* how many wait to be looked at */
struct seg out_any(struct world *w); /* takes one, numbers relative */

/* The pattern: byte `seq` of a direction, counted from the first after SYN. */
uint8_t pattern(uint32_t seq, unsigned fill);
#define US   0u
#define PEER 0x55u
/* Reads everything and checks that it is the peer's bytes [from, from + n). */
void reads_at(struct world *w, uint32_t from, size_t n, const char *file, int line);
#define READS(w, from, n) reads_at((w), (from), (n), __FILE__, __LINE__)
/* Writes our bytes [from, from + n). Returns how many were taken. */
size_t writes(struct world *w, uint32_t from, size_t n);
void expect_state(struct world *w, const char *name);
#define COUNTER(w, name) counter_get(&tcp_counters((w)->t)->name)

/* Handshakes. The peer's window is 60000, MSS 1460, no other option. */
void passive(struct world *w);
void passive_ts(struct world *w); /* with timestamps; the peer's clock starts at 1000 */
void active(struct world *w);
void passive_sack(struct world *w); /* with SACK, a window of 60000 << 8, `rtt` 20 ms */
void passive_sack_ts(struct world *w);

#endif
