/* TCP endpoints (RFC 9293), one stack a worker, share-nothing: connection table, timers, loss
 * recovery, buffers. Looks like non-blocking sockets to what stands above. No allocation after
 * tcp_new but mbufs from the worker's pool.
 *
 * How it is driven, once a loop:
 *     net_poll -> tcp_input for each segment     (state changes, data queued, events marked)
 *     tcp_advance                                (timers)
 *     tcp_dispatch                               (events handed to the owner, each connection once)
 *     tcp_output                                 (everything owed is sent: data with its ACK on it)
 * The owner's calls (tcp_read, tcp_write, ...) only mark what is owed; packets leave in tcp_output,
 * so a burst of calls makes as few segments as it can.
 *
 * All functions: the worker that owns the stack. Times are microseconds of the worker's clock. */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include "base/base.h"
#include "net/net.h"

struct tcp;
struct tcp_conn;

struct tcp_config {
    unsigned max_conns;     /* connections of all states, TIME_WAIT apart */
    unsigned max_time_wait; /* small records; the oldest goes when there are more */
    unsigned max_half_open; /* SYN_RECEIVED at one time; more SYNs are dropped and counted */
    /* From so many half-open connections on a SYN is answered with a cookie and takes no memory
     * (RFC 4987). 0: always; more than max_half_open: never. */
    unsigned syn_cookie_mark;
    uint32_t rcvbuf_initial; /* bytes of receive window at first */
    uint32_t rcvbuf_max;     /* grown up to here while the owner keeps up (RFC 7323 scale) */
    uint32_t sndbuf_initial; /* bytes queued to send, acknowledged or not; all there is when mbufs
                                are scarce. 0 or more than sndbuf_max: sndbuf_max */
    uint32_t sndbuf_max;     /* grown up to here with the congestion window */
    uint32_t time_wait_us;   /* 2 MSL */
    uint32_t syn_retries, data_retries; /* RFC 9293 3.8.3: R2 as counts */
    uint32_t fin_timeout_us;            /* FIN_WAIT_2 with the owner gone */
    uint32_t keepalive_us;              /* idle time before the first probe; 0 = none */
    uint8_t secret[32];                 /* RFC 6528 ISNs; random a boot */
};

/* Defaults fit for production. `secret` is left zero: fill it. */
void tcp_config_defaults(struct tcp_config *c);

/* Where segments go: net_send_tcp in the appliance, a list in tests. */
struct tcp_lower {
    void *ctx;
    /* As net_send_tcp: consumes `m`, whose data starts at the TCP header with checksum zero and
     * NET_HEADROOM bytes before it. */
    void (*send)(void *ctx, enum net_side side, const struct net_addr *src,
                 const struct net_addr *dst, struct rte_mbuf *m);
    struct rte_mempool *pool;
    /* Would segments of this connection come to this worker? NULL: always. */
    bool (*reaches)(void *ctx, enum net_side side, const struct net_addr *local,
                    const struct net_addr *remote, uint16_t lport, uint16_t rport);
    unsigned mtu[NET_SIDES];
    bool linear; /* one-mbuf segments only, for ports that take no chains: what is sent again while
                    the port still holds it is copied */
};

/* What has happened to a connection since its last event; several at once are usual. */
enum tcp_event {
    TCP_EV_CONNECTED = 1 << 0, /* an active open has succeeded */
    TCP_EV_READABLE = 1 << 1,  /* there are bytes, or more bytes */
    TCP_EV_WRITABLE = 1 << 2,  /* after a short tcp_write: there is room again */
    TCP_EV_EOF = 1 << 3,       /* the peer's FIN has been reached in sequence */
    TCP_EV_CLOSED = 1 << 4,    /* over: reset, timed out, refused, or closed both ways. The last
                                  event; the connection is valid until this call returns and the
                                  owner must forget it. After an orderly close it comes only when
                                  everything has been read. Not sent after tcp_close or tcp_abort. */
};

/* Why a connection ended. */
enum tcp_end {
    TCP_END_NONE,
    TCP_END_CLOSED,      /* orderly */
    TCP_END_RESET,       /* by the peer */
    TCP_END_REFUSED,     /* RST to our SYN */
    TCP_END_TIMEOUT,     /* retransmissions spent */
    TCP_END_UNREACHABLE, /* hard ICMP error while connecting */
    TCP_END_ABORTED,     /* by us */
    TCP_END_NO_MEMORY,   /* it held mbufs, got nowhere, and they were needed */
};
const char *tcp_end_name(enum tcp_end e);

struct tcp_owner {
    void *ctx;
    /* A passive open has completed its handshake. Sets the connection's user pointer and returns
     * true to keep it; false resets it. */
    bool (*accept)(void *ctx, struct tcp_conn *c);
    /* `events` is a set of enum tcp_event. */
    void (*event)(void *ctx, struct tcp_conn *c, void *user, unsigned events);
};

/* NULL when out of memory, when the configuration makes no sense (no connections, a buffer of
 * nothing or over 1 GiB, rcvbuf_initial over rcvbuf_max, an MTU under 552) or the pool's buffers
 * are too small for a segment. After rte_eal_init. */
struct tcp *tcp_new(const struct tcp_config *c, const struct tcp_lower *lower,
                    const struct tcp_owner *owner, uint64_t now_us);
/* Frees everything, sends nothing. */
void tcp_delete(struct tcp *t);

/* Accept connections that come in by `side` for a destination port, whatever the destination
 * address. At most NET_INTERCEPT_MAX. */
bool tcp_listen(struct tcp *t, enum net_side side, uint16_t port);
/* New SYNs are answered with RST from now on (shutdown); open connections go on. */
void tcp_listen_stop(struct tcp *t);

void tcp_input(struct tcp *t, const struct net_segment *s, uint64_t now_us);
void tcp_unreachable(struct tcp *t, const struct net_unreachable *u, uint64_t now_us);
void tcp_advance(struct tcp *t, uint64_t now_us);
/* Calls the owner. Returns how many connections had events. Events raised by the owner's own calls
 * meanwhile are delivered in the same pass if they concern a connection still in the list, else
 * the next. */
unsigned tcp_dispatch(struct tcp *t, uint64_t now_us);
/* Returns how many segments went down. */
unsigned tcp_output(struct tcp *t, uint64_t now_us);
/* Earliest time at which a timer may be due (UINT64_MAX: none): how long a nap may be. */
uint64_t tcp_next_timer(const struct tcp *t);

/* An active open. The local port is chosen by the stack (RFC 6056 algorithm 3: per-destination hash
 * and a counter) among those that lead back to this worker; NULL if the table or the ports are
 * spent. CONNECTED or CLOSED follows. */
struct tcp_conn *tcp_connect(struct tcp *t, enum net_side side, const struct net_addr *src,
                             const struct net_addr *dst, uint16_t dport, void *user,
                             uint64_t now_us);
/* Likewise from the first of `n` addresses that has a port left towards `dst`. */
struct tcp_conn *tcp_connect_from(struct tcp *t, enum net_side side, const struct net_addr *srcs,
                                  unsigned n, const struct net_addr *dst, uint16_t dport,
                                  void *user, uint64_t now_us);

void tcp_set_user(struct tcp_conn *c, void *user);
void *tcp_user(const struct tcp_conn *c);

/* Bytes in order that wait to be read. */
size_t tcp_readable(const struct tcp_conn *c);
/* Copies out up to `n` bytes and frees the mbufs that are spent; opens the window (silly-window
 * avoidance, RFC 9293 3.8.6.2.2). 0: nothing now (ask tcp_eof). */
size_t tcp_read(struct tcp_conn *c, void *buf, size_t n);
/* Up to `n` of the bytes that wait, without taking them: for a look at what protocol this is. */
size_t tcp_peek(const struct tcp_conn *c, void *buf, size_t n);
/* The FIN has come and everything before it has been read. */
bool tcp_eof(const struct tcp_conn *c);

/* Queues up to `n` bytes, copied into mbufs of one segment each so that none is copied again, not
 * even to retransmit. Short (down to 0) when the send buffer or the pool is spent: WRITABLE follows
 * when at least a quarter of the buffer is free. */
size_t tcp_write(struct tcp_conn *c, const void *buf, size_t n);
size_t tcp_write_room(const struct tcp_conn *c);
/* Bytes queued or in flight, not yet acknowledged. */
size_t tcp_unacked(const struct tcp_conn *c);
/* Half close: FIN after what is queued. Reading goes on. */
void tcp_shutdown(struct tcp_conn *c);
/* The owner is done and forgets the connection: unread data or data that still comes makes it a
 * reset (RFC 9293 3.6.1), else FIN after what is queued and the stack finishes alone. */
void tcp_close(struct tcp_conn *c);
/* Reset now; the owner forgets it. */
void tcp_abort(struct tcp_conn *c);

enum tcp_end tcp_end_cause(const struct tcp_conn *c);
const struct net_addr *tcp_local_addr(const struct tcp_conn *c);
const struct net_addr *tcp_remote_addr(const struct tcp_conn *c);
uint16_t tcp_local_port(const struct tcp_conn *c);
uint16_t tcp_remote_port(const struct tcp_conn *c);
enum net_side tcp_side(const struct tcp_conn *c);
const char *tcp_state_name(const struct tcp_conn *c);

// clang-format off
#define TCP_COUNTERS(X)                                                                           \
    X(rx_segments) X(tx_segments) X(rx_bytes) X(tx_bytes) X(accepted) X(connected) X(closed)      \
    X(resets_sent) X(resets_received) X(refused) X(timeouts) X(retransmits_fast)                  \
    X(retransmits_timeout) X(probes_sent) X(keepalives_sent) X(dup_acks_received)                 \
    X(out_of_order) X(challenge_acks) X(challenge_acks_limited) X(time_wait_reused)               \
    X(time_wait_evicted) X(delayed_acks) X(drop_header) X(drop_no_listener) X(drop_table_full)    \
    X(drop_half_open_full) X(drop_time_wait) X(drop_out_of_window) X(drop_paws)                   \
    X(drop_bad_ack) X(drop_blind_reset) X(drop_blind_syn) X(drop_ooo_full) X(drop_no_mbuf)        \
    X(drop_duplicate) X(drop_window_full) X(drop_after_close) X(drop_icmp) X(drop_pressure)       \
    X(ports_spent) X(writes_starved) X(syn_cookies_sent) X(syn_cookies_ok) X(syn_cookies_bad)     \
    X(resets_pressure) X(path_mtu_lowered) X(path_mtu_raised) X(path_mtu_guessed) X(recoveries)   \
    X(recoveries_undone) X(tlp_probes) X(tlp_recovered) X(dsacks_received) X(dsacks_sent)         \
    X(sacks_sent) X(drop_bad_sack)
// clang-format on

struct tcp_counters {
#define X(name) counter name;
    TCP_COUNTERS(X)
#undef X
} __attribute__((aligned(64)));

const struct tcp_counters *tcp_counters(const struct tcp *t);
unsigned tcp_open_conns(const struct tcp *t);

/* For tests: checks every invariant of a connection or of all, false and a message on stderr when
 * one is broken. */
bool tcp_validate(const struct tcp *t);

#endif
