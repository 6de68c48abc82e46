/* What the files of this library share. Nothing outside includes it but its own tests.
 *
 *     tcp.c           a stack's life, the loop's four calls
 *     tcp_conn.c      a connection's life: open, half close, over, free
 *     tcp_table.c     4-tuple to connection or TIME_WAIT record
 *     tcp_port.c      hashes of a 4-tuple: ISN, timestamp offset, local port
 *     tcp_segment.c   headers read and written
 *     tcp_input.c     which connection, and segments that belong to none
 *     tcp_states.c    segments of connections (RFC 9293 3.10.7.3 and 3.10.7.4)
 *     tcp_ack.c       acknowledgements and windows that come in
 *     tcp_recover.c   what is lost and when to send it again
 *     tcp_cc.c        how much may be in flight
 *     tcp_rtt.c       round trips and the retransmission time-out (RFC 6298)
 *     tcp_recv.c      bytes that came, in order and not
 *     tcp_send.c      bytes to send, held until acknowledged
 *     tcp_output.c    what leaves
 *     tcp_timer.c     what time does
 *     tcp_time_wait.c the small records of closed connections
 *     tcp_icmp.c      what routers say (RFC 5927)
 *     tcp_validate.c  invariants, for tests */
#ifndef TCP_INTERNAL_H
#define TCP_INTERNAL_H

#include <sys/queue.h>

#include "tcp/tcp.h"

/* ------------------------------------------------------------- numbers */

/* Space before a payload for every header in front of it: 60 is TCP's longest. */
#define TCP_HEADER_MAX 60
#define TCP_HEADROOM   128
_Static_assert(TCP_HEADROOM >= NET_HEADROOM + TCP_HEADER_MAX, "headers must fit");

#define TCP_OPT_TS_LEN     12 /* padded (RFC 7323 A) */
#define TCP_MSS_FLOOR      64 /* a smaller MSS option is a way to make us send headers */
#define TCP_MSS_DEFAULT_V4 536u
#define TCP_MSS_DEFAULT_V6 1220u
#define TCP_MTU_FLOOR_V4   552u /* no believed ICMP takes the path MTU below (RFC 5927 7.2) */
#define TCP_MTU_FLOOR_V6   1280u

#define TCP_RTO_INITIAL 1000000u  /* RFC 6298 2.1 */
#define TCP_RTO_SYN     3000000u  /* RFC 6298 5.7 */
#define TCP_RTO_MAX     60000000u /* RFC 6298 2.5 */
/* RFC 6298 2.4 asks for a floor of 1 s with clocks of its day in mind; like the other stacks in
 * use we keep only the variance term from falling below what delayed ACKs need. */
#define TCP_RTO_VAR_MIN 200000u
#define TCP_DELACK      40000u
#define TCP_CHALLENGE   500000u /* least time between two challenge ACKs of a connection */
#define TCP_PAWS_OLD    (UINT64_C(24) * 86400 * US_IN_S) /* RFC 7323 5.5 */
#define TCP_KEEP_PROBES 9u
#define TCP_DUP_THRESH  3u
#define TCP_BURST                                                                                  \
    32u /* segments of one connection in one tcp_output: the port's ring is finite                 \
         */
#define TCP_POOL_SHARE 4u   /* a connection may queue this part of the send mbufs that are left */
#define TCP_RUNS_MAX   128u /* out-of-order runs of one connection */
#define TCP_COPY_MAX   512u /* a received payload up to this size is copied to the one before it */
#define TCP_PORT_LOW   10240u
#define TCP_PORT_TRIES 1024u
#define TCP_NEVER      UINT64_MAX

/* ----------------------------------------------------- sequence numbers */

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_leq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t u32_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ------------------------------------------------------------ segments */

enum {
    TH_FIN = 0x01,
    TH_SYN = 0x02,
    TH_RST = 0x04,
    TH_PSH = 0x08,
    TH_ACK = 0x10,
};

/* What makes a connection. Hashed and compared as words: the padding is always zero. */
struct tcp_key {
    struct net_addr local, remote;
    uint16_t lport, rport; /* host order */
    uint8_t side, zero[3];
} __attribute__((aligned(8)));
#define TCP_KEY_WORDS 5
_Static_assert(sizeof(struct tcp_key) == 8 * TCP_KEY_WORDS, "the key has no hidden bytes");

/* A received segment, its header read. */
struct tcp_in {
    struct rte_mbuf *m; /* starts at the payload; NULL once somebody has taken it */
    struct tcp_key key;
    uint32_t seq, ack;
    uint32_t len; /* payload bytes */
    uint32_t tsval, tsecr;
    uint16_t wnd; /* as on the wire, not scaled */
    uint16_t mss; /* 0: no option */
    uint8_t flags;
    int8_t wscale; /* -1: no option */
    bool has_ts;
    bool old; /* was all old data, cut away: only its ACK and timestamp count */
};

/* A segment's sequence space (RFC 9293 3.4). */
static inline uint32_t in_span(const struct tcp_in *s)
{
    return s->len + ((s->flags & TH_SYN) != 0) + ((s->flags & TH_FIN) != 0);
}

/* ------------------------------------------------- what an mbuf carries */

/* Our own notes on an mbuf, in a dynamic field, since data_off, data_len and next are the lower
 * layer's while it transmits. */
union tcp_note {
    struct {
        struct rte_mbuf *next; /* of the send queue */
        uint32_t seq;          /* of the first byte not acknowledged */
        uint16_t off, len;     /* where those bytes stand in the buffer, and how many */
    } send;
    struct {
        struct rte_mbuf *next; /* first mbuf of the next run */
        struct rte_mbuf *tail; /* last mbuf of this run; in between, m->next */
        uint32_t seq, end;
    } run; /* in the first mbuf of an out-of-order run */
};

/* ---------------------------------------------------------- connection */

enum tcp_state {
    TCP_CLOSED,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_TIME_WAIT,
};

enum {
    CF_PASSIVE = 1 << 0,      /* came from a listener */
    CF_OWNED = 1 << 1,        /* the owner knows it, and has not closed it */
    CF_OVER = 1 << 2,         /* out of the table; waits only for its owner to be told */
    CF_FIN_QUEUED = 1 << 3,   /* FIN stands at snd_end */
    CF_FIN_AHEAD = 1 << 4,    /* the peer's FIN is known (rcv_fin) but not reached */
    CF_FIN_RECEIVED = 1 << 5, /* reached: rcv_nxt counts it */
    CF_ACK_NOW = 1 << 6,
    CF_SYN_DUE = 1 << 7,       /* (re)send our SYN */
    CF_RETRANSMIT = 1 << 8,    /* resend the segment at snd_una */
    CF_PROBE_DUE = 1 << 9,     /* window probe */
    CF_KEEP_DUE = 1 << 10,     /* keepalive probe */
    CF_PERSIST = 1 << 11,      /* TIMER_RTX is the persist timer */
    CF_TS = 1 << 12,           /* timestamps agreed */
    CF_RECOVERY = 1 << 13,     /* NewReno fast recovery, until `recover` */
    CF_LOSS = 1 << 14,         /* after a time-out, until `recover` */
    CF_TIMING = 1 << 15,       /* rtt_seq is being timed */
    CF_WANT_WRITE = 1 << 16,   /* a tcp_write was short */
    CF_STARVED = 1 << 17,      /* on the list of those the pool had nothing for */
    CF_READY = 1 << 18,        /* on the ready list */
    CF_OUTPUT = 1 << 19,       /* on the output list */
    CF_SYN_RESENT = 1 << 20,   /* our SYN was sent more than once */
    CF_CWND_LIMITED = 1 << 21, /* the last output was held back by cwnd */
    CF_HAVE_SRTT = 1 << 22,
    CF_WSCALE = 1 << 23,     /* window scaling agreed */
    CF_UNACCEPTED = 1 << 24, /* passive, the owner has not been asked yet */
};

enum tcp_timer { TIMER_RTX, TIMER_ACK, TIMER_KEEP, TIMERS };

struct tcp_conn {
    /* Line 0: found by lookup. */
    struct tcp_key key;
    uint32_t hash;
    uint32_t flags;
    struct tcp *t;
    uint8_t state;  /* enum tcp_state */
    uint8_t events; /* owed to the owner; only on the ready list */
    uint8_t snd_scale, rcv_scale;
    uint32_t ts_recent;

    /* Line 1: receiving. rcv_nxt <= rcv_edge unless FIN was the last byte of the window. */
    uint32_t rcv_nxt __attribute__((aligned(64)));
    uint32_t rcv_edge;                    /* furthest right edge ever advertised */
    uint32_t rcv_acked;                   /* last ACK sent (RFC 7323 Last.ACK.sent) */
    uint32_t rcv_fin;                     /* with CF_FIN_AHEAD */
    struct rte_mbuf *rq_head, *rq_tail;   /* in order, linked by m->next */
    struct rte_mbuf *run_head, *run_tail; /* out of order, see union tcp_note */
    uint32_t rq_bytes;                    /* in order, not read */
    uint32_t rcvbuf;                      /* what the window is cut from */
    uint32_t rcv_mbufs; /* held in both queues: each costs the pool the same, however full */
    uint16_t rcv_mss;   /* largest payload seen: what "full-sized" means for delayed ACKs */
    uint8_t dup_acks_owed;
    uint8_t runs;

    /* Line 2: sending. snd_una <= snd_nxt <= snd_max <= snd_end + 1. */
    uint32_t snd_una __attribute__((aligned(64)));
    uint32_t snd_nxt; /* next to send; falls back to snd_una on a time-out */
    uint32_t snd_max; /* highest ever sent */
    uint32_t snd_end; /* after the last byte queued: where FIN would stand */
    uint32_t snd_wnd; /* scaled */
    uint32_t snd_wl1, snd_wl2;
    uint32_t snd_wnd_max;
    struct rte_mbuf *sq_head, *sq_tail; /* linked by notes */
    struct rte_mbuf *sq_next;           /* holds snd_nxt; NULL when all has been sent */
    uint32_t sq_mbufs;
    uint16_t mss; /* payload bytes a segment, options allowed for */
    uint8_t dup_acks;
    uint8_t rtx_shift; /* back-off of the retransmission time-out */

    /* Line 3: congestion, round trips, times. */
    uint32_t cwnd __attribute__((aligned(64)));
    uint32_t ssthresh;
    uint32_t cc_acked; /* acknowledged since cwnd last grew, in congestion avoidance */
    uint32_t recover;  /* RFC 6582 */
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t rtt_seq;
    uint64_t rtt_at;
    uint64_t deadline[TIMERS];

    /* Line 4: lists. */
    struct wheel_timer timer; /* at the earliest deadline or before it */
    TAILQ_ENTRY(tcp_conn) ready, output;

    /* Cold. */
    TAILQ_ENTRY(tcp_conn) starved;
    void *user;
    uint64_t rcv_at;       /* last segment from the peer */
    uint64_t snd_at;       /* last data sent */
    uint64_t ts_recent_at; /* when ts_recent was taken */
    uint64_t challenge_at; /* no challenge ACK before */
    uint64_t grow_at;      /* start of the receive-window measurement */
    uint32_t grow_bytes;   /* read by the owner since */
    uint32_t iss, irs;
    uint32_t orphan_una; /* snd_una when the orphan timer was set: it must have moved since */
    uint32_t ts_offset;
    uint16_t mtu, peer_mss;
    uint8_t rtx_count;  /* time-outs since the peer last acknowledged anything */
    uint8_t keep_count; /* keepalive probes not answered */
    uint8_t end;        /* enum tcp_end */
} __attribute__((aligned(64)));

/* ----------------------------------------------------------- TIME_WAIT */

struct tcp_tw {
    struct tcp_key key;
    uint32_t hash;
    uint32_t prev, next; /* indexes, by expiry; TW_NONE ends */
    uint32_t snd_nxt, rcv_nxt;
    uint32_t ts_recent, ts_offset;
    uint16_t wnd; /* as last sent */
    bool has_ts, used;
    uint64_t expires;
    uint64_t reply_at; /* no reply to what carries no data before */
};
#define TW_NONE UINT32_MAX

/* --------------------------------------------------------------- stack */

/* `ref` 0 is empty; 1 .. max_conns are connections, above them TIME_WAIT records. */
struct tcp_slot {
    uint32_t hash, ref;
};

struct tcp_listener {
    uint16_t port;
    uint8_t side;
};

TAILQ_HEAD(tcp_list, tcp_conn);

struct tcp {
    struct tcp_config cfg;
    struct tcp_lower lower;
    struct tcp_owner owner;
    uint64_t now;         /* latest time anybody told us */
    int note_off;         /* of union tcp_note in an mbuf */
    uint16_t payload_max; /* that fits a buffer of the pool behind TCP_HEADROOM */
    uint8_t rcv_scale;

    struct tcp_slot *slots;
    uint32_t slot_mask;
    uint64_t key_table[2], key_isn[2], key_ts[2], key_port[2];

    struct tcp_conn *conns;
    uint32_t *free_conns; /* a stack of indexes */
    uint32_t nfree, open, half_open;
    struct tcp_tw *tws;
    uint32_t tw_free, tw_first, tw_last, tw_count;

    struct tcp_list ready, output, starved;
    uint32_t nready, noutput;
    struct tcp_conn *current; /* whose event is being delivered; NULL once it is freed */

    struct wheel *wheel;
    uint32_t rx_held, tx_held; /* mbufs in receive and send queues */
    uint32_t rx_soft, rx_hard; /* windows stop growing; data is dropped */
    uint32_t held_max;         /* of both: no new connections */
    uint32_t tx_max;
    uint32_t sq_mbufs_soft; /* of one connection: from here on tails are filled up */
    uint32_t rcv_mbufs_max;

    struct tcp_listener listeners[NET_INTERCEPT_MAX];
    unsigned nlisteners;
    bool listening;
    uint32_t next_port;

    struct tcp_counters counters;
};

#define COUNT(t, name)        counter_inc(&(t)->counters.name)
#define COUNT_ADD(t, name, n) counter_add(&(t)->counters.name, (n))

static inline union tcp_note *note_of(const struct tcp *t, const struct rte_mbuf *m)
{
    return (union tcp_note *)((uintptr_t)m + (uintptr_t)t->note_off);
}

static inline bool addr_is_v4(const struct net_addr *a)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(a->b, prefix, sizeof(prefix)) == 0;
}

static inline unsigned ip_header_len(const struct net_addr *a)
{
    return addr_is_v4(a) ? 20 : 40;
}

struct tcp_words {
    uint64_t w[TCP_KEY_WORDS];
};

static inline struct tcp_words key_words(const struct tcp_key *key)
{
    struct tcp_words k;

    memcpy(k.w, key, sizeof(k.w));
    return k;
}

static inline bool key_eq(const struct tcp_key *a, const struct tcp_key *b)
{
    struct tcp_words ka = key_words(a), kb = key_words(b);
    const uint64_t *x = ka.w, *y = kb.w;

    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

/* Milliseconds: the timestamp clock (RFC 7323 5.4). */
static inline uint32_t ts_clock(const struct tcp *t, uint32_t offset)
{
    return (uint32_t)(t->now / 1000) + offset;
}

/* tcp_table.c */
bool table_new(struct tcp *t);
void table_delete(struct tcp *t);
uint32_t key_hash(const struct tcp *t, const struct tcp_key *key);
/* 0 when there is none. */
uint32_t table_find(const struct tcp *t, const struct tcp_key *key, uint32_t hash);
void table_insert(struct tcp *t, uint32_t hash, uint32_t ref);
void table_remove(struct tcp *t, uint32_t hash, uint32_t ref);
void table_replace(struct tcp *t, uint32_t hash, uint32_t ref, uint32_t with);
uint32_t ref_of_conn(const struct tcp *t, const struct tcp_conn *c);
uint32_t ref_of_tw(const struct tcp *t, const struct tcp_tw *w);
struct tcp_conn *conn_of_ref(const struct tcp *t, uint32_t ref); /* NULL: not a connection */
struct tcp_tw *tw_of_ref(const struct tcp *t, uint32_t ref);

/* tcp_port.c */
void keys_derive(struct tcp *t);
uint32_t isn_of(const struct tcp *t, const struct tcp_key *key);
uint32_t ts_offset_of(const struct tcp *t, const struct tcp_key *key);
/* Fills in key->lport and *hash with a free 4-tuple. */
bool port_choose(struct tcp *t, struct tcp_key *key, uint32_t *hash);

/* tcp_segment.c */
bool segment_parse(const struct net_segment *s, struct tcp_in *in);
/* Puts a header before the data of `m` and hands it down. */
void segment_send(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags);
void segment_send_syn(struct tcp_conn *c, struct rte_mbuf *m);
/* A control segment of no connection. `ts` is NULL or {value, echo}. */
void segment_send_bare(struct tcp *t, const struct tcp_key *key, uint32_t seq, uint32_t ack,
                       uint8_t flags, uint16_t wnd, const uint32_t ts[2]);
/* RST in answer to a segment that belongs to nothing (RFC 9293 3.10.7.1). */
void segment_send_reset(struct tcp *t, const struct tcp_in *s);
struct rte_mbuf *control_mbuf(struct tcp *t);
static inline void segment_drop(struct tcp_in *s)
{
    rte_pktmbuf_free(s->m);
    s->m = NULL;
}

/* tcp_conn.c */
/* Takes a free one (there must be) and enters it in the table. */
struct tcp_conn *conn_open(struct tcp *t, const struct tcp_key *key, uint32_t hash, uint32_t iss);
void conn_free(struct tcp_conn *c);
/* The connection has ended: tells the owner or frees it. The caller must not touch it again. */
void conn_over(struct tcp_conn *c, enum tcp_end why);
void conn_reset(struct tcp_conn *c, enum tcp_end why); /* RST to the peer, then conn_over */
void conn_time_wait(struct tcp_conn *c);               /* likewise ends it for the caller */
void conn_established(struct tcp_conn *c);
void conn_event(struct tcp_conn *c, unsigned events);
void conn_ready_remove(struct tcp_conn *c);
void conn_orphaned(struct tcp_conn *c); /* starts the orphan timer */
void conn_output_later(struct tcp_conn *c);
void conn_ack_now(struct tcp_conn *c);
/* A challenge ACK or an answer to a stray segment, not more often than TCP_CHALLENGE. */
void conn_challenge(struct tcp_conn *c);
/* Works out mss anew from mtu, peer_mss and the options agreed (RFC 6691). */
void conn_set_mss(struct tcp_conn *c);

/* The owner has closed it and the stack finishes alone. */
static inline bool conn_orphan(const struct tcp_conn *c)
{
    return !(c->flags & (CF_OWNED | CF_UNACCEPTED));
}

/* More data may come from the peer. */
static inline bool conn_receives(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 || c->state == TCP_FIN_WAIT_2;
}

/* tcp_states.c */
void input_syn_sent(struct tcp_conn *c, struct tcp_in *s);
void input_conn(struct tcp_conn *c, struct tcp_in *s);
/* tcp_input.c */
/* A segment without a connection. `above`: our sequence numbers of the 4-tuple's last one. */
void input_listen(struct tcp *t, struct tcp_in *s, uint32_t hash, const uint32_t *above);
void conn_agree_options(struct tcp_conn *c, const struct tcp_in *syn);

/* tcp_ack.c */
/* False when the connection is over. */
bool ack_received(struct tcp_conn *c, const struct tcp_in *s);
void window_received(struct tcp_conn *c, const struct tcp_in *s);

/* tcp_recover.c */
void recover_dup_ack(struct tcp_conn *c);
void recover_ack(struct tcp_conn *c, uint32_t acked);
void recover_timeout(struct tcp_conn *c);

/* tcp_cc.c */
void cc_init(struct tcp_conn *c);
void cc_acked(struct tcp_conn *c, uint32_t acked);
void cc_recovery_enter(struct tcp_conn *c);
void cc_recovery_dup(struct tcp_conn *c);
void cc_recovery_partial(struct tcp_conn *c, uint32_t acked);
void cc_recovery_exit(struct tcp_conn *c);
void cc_timeout(struct tcp_conn *c);
void cc_restart(struct tcp_conn *c);

/* tcp_rtt.c */
void rtt_start(struct tcp_conn *c, uint32_t end);
void rtt_ack(struct tcp_conn *c, const struct tcp_in *s);
uint32_t rto_now(const struct tcp_conn *c); /* with back-off */

/* tcp_recv.c */
/* Takes the payload of a segment cut to the window: keeps it or drops it and counts why. True if
 * rcv_nxt moved. */
bool recv_data(struct tcp_conn *c, struct tcp_in *s);
void recv_free(struct tcp_conn *c);
void recv_free_runs(struct tcp_conn *c);
/* The window to advertise now, as the header holds it; notes what has been promised. */
uint16_t recv_window(struct tcp_conn *c);
uint32_t chain_cut(struct rte_mbuf **m, uint32_t n); /* frees the first bytes; how many mbufs */
void chain_trim(struct rte_mbuf *m, uint32_t keep);  /* one packet: drops the end */

/* tcp_send.c */
void send_acked(struct tcp_conn *c, uint32_t ack);
void send_free(struct tcp_conn *c);
void send_rewind(struct tcp_conn *c); /* snd_nxt back to snd_una */
void send_check_room(struct tcp_conn *c);
void send_feed_starved(struct tcp *t);
/* Bytes queued, sent or not. */
static inline uint32_t send_queued(const struct tcp_conn *c)
{
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
        return c->snd_end - c->iss - 1;
    return seq_lt(c->snd_una, c->snd_end) ? c->snd_end - c->snd_una : 0;
}

/* tcp_output.c */
void conn_output(struct tcp_conn *c); /* of a connection that is not over */
uint32_t conn_ack_seq(const struct tcp_conn *c);

/* tcp_timer.c */
wheel_fn timer_fired;
void timer_set(struct tcp_conn *c, enum tcp_timer which, uint64_t at);
void timer_set_sooner(struct tcp_conn *c, enum tcp_timer which, uint64_t at);
static inline void timer_clear(struct tcp_conn *c, enum tcp_timer which)
{
    c->deadline[which] = TCP_NEVER;
}

/* tcp_time_wait.c */
void tw_new(struct tcp *t);
void tw_add(struct tcp_conn *c); /* takes the connection's place in the table */
void tw_remove(struct tcp *t, struct tcp_tw *w);
void tw_input(struct tcp *t, struct tcp_tw *w, struct tcp_in *s);
void tw_advance(struct tcp *t);

#endif
