/* The generator of tests/perf/road: callers and vendor of the box in one thread, over two memif
 * ports, on the product's own net, tcp and tls. Its HTTP is the least that can count: requests and
 * answers are files that are sent as they are, what comes is read up to its Content-Length.
 *
 * Its `struct net` is the box's in a mirror: the port that faces the box's inside is its outside
 * (callers connect from addresses of their own through the box as their gateway), the port that
 * faces the box's outside is its inside (the vendor's address lies behind it, as vendors lie behind
 * a router, and port 443 is intercepted there).
 *
 *     generator.c  arguments, the phases of a run, the report
 *     stack.c      ports, net, tcp, tls; the loop and where its time goes
 *     callers.c    connect, ask, wait for the answer, ask again
 *     vendor.c     accept, read a request, answer
 *     message.c    where a message ends */
#ifndef ROAD_H
#define ROAD_H

#include "net/net.h"
#include "tcp/tcp.h"
#include "tls/tls.h"

enum { ROAD_QUEUES_MAX = 2, ROAD_SOURCES = 8, ROAD_BUFFER = 64 << 10, ROAD_BUCKETS = 1 << 17 };

/* ---- messages */

struct road_message {
    bool inside; /* the head is complete, `left` bytes of the body are to come */
    size_t left;
    size_t kept; /* bytes of an incomplete head in `head` */
    char *head;  /* NULL but while a head comes in pieces */
};

enum road_verdict { ROAD_MORE, ROAD_WHOLE, ROAD_BAD };
/* Takes `n` bytes of a message; ROAD_BAD when they are no message or go on behind it. `start`: what
 * its first line must begin with. */
enum road_verdict road_message_take(struct road_message *m, const char *p, size_t n,
                                    const char *start);
void road_message_reset(struct road_message *m);

/* ---- connections */

enum road_state { ROAD_DOWN, ROAD_CONNECT, ROAD_HANDSHAKE, ROAD_IDLE, ROAD_WRITE, ROAD_READ };

struct road_conn {
    struct tcp_conn *tcp;
    struct tls_session *tls;
    struct tls_vendor *own; /* makes a caller's sessions its own; NULL: all share theirs */
    enum road_state state;
    bool vendor, active;
    size_t sent;    /* of the request or answer */
    uint64_t asked; /* TSC */
    struct road_message in;
    struct road_conn *next; /* free vendor connections; callers that are to connect */
};

/* What is counted in a run; set back when it begins. */
struct road_counts {
    uint64_t calls, failures, handshakes, resumed, bytes_up, bytes_down;
    uint64_t cycles_busy, cycles_idle, cycles_others; /* see stack.c */
    uint64_t loops_busy;
    uint32_t latency_us[ROAD_BUCKETS]; /* the last bucket holds all that took longer */
};

struct road_options {
    const char *inside, *outside; /* the box's memif sockets */
    unsigned core, queues;
    unsigned callers, active, pending;
    bool per_call, fresh, has_pin;
    double seconds, warm;
    struct span request, answer, host;
    const char *ca, *vendor_ca, *vendor_key, *first;
    uint8_t pin[32];
    unsigned memory_mib, mbufs;
};

struct road {
    const struct road_options *o;
    struct net_ports *ports;
    struct net_config net_config;
    struct net *net[ROAD_QUEUES_MAX];
    struct tcp *tcp;
    struct tls_shared *shared;
    struct tls *tls;
    uint64_t now_us, tick_us, made;
    struct road_conn *callers, *vendors;
    struct road_conn *to_connect, *free_vendors;
    unsigned nvendors;
    unsigned idle;    /* loops without work in a row */
    unsigned open;    /* callers whose handshake is complete */
    unsigned opening; /* callers between their SYN and the end of their handshake */
    unsigned asking;  /* callers that wait for an answer */
    bool asks;        /* active callers ask */
    bool knows_hop;
    bool closing; /* nobody connects any more */
    bool first_written;
    char why[160]; /* of the latest failure */
    struct road_counts n;
    char buffer[ROAD_BUFFER];
};

/* False after a sentence on standard error. */
bool road_start(struct road *r);
void road_stop(struct road *r);
/* One loop: packets, timers, callers, events, output. Counts where its time went. */
void road_turn(struct road *r);
bool road_linked(void); /* does the box answer on both ports? */

bool callers_new(struct road *r);
/* Opens connections that are due, at most `pending` at one time. Returns how many it began. */
unsigned callers_run(struct road *r);
void callers_begin_asking(struct road *r);
void caller_event(struct road *r, struct road_conn *c, unsigned events);

bool vendor_new(struct road *r);
bool vendor_accept(struct road *r, struct tcp_conn *tcp);
void vendor_event(struct road *r, struct road_conn *c, unsigned events);

/* Both: drives the handshake. False: not complete, or failed (state ROAD_DOWN). */
bool conn_handshake(struct road *r, struct road_conn *c);
/* Writes what is left of `all`. True once all of it is written. */
bool conn_write(struct road *r, struct road_conn *c, struct span all);
/* Gives up on a connection; `why` NULL: in order. */
void conn_end(struct road *r, struct road_conn *c, const char *why);

#endif
