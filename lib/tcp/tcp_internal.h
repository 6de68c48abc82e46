/* What the files of this library share. Nothing outside includes it but its own tests.
 *
 *     tcp.c           a stack's life, the loop's four calls
 *     tcp_conn.c      a connection's life: open, half close, over, free
 *     tcp_table.c     4-tuple to connection or TIME_WAIT record
 *     tcp_port.c      hashes of a 4-tuple: ISN, timestamp offset, local port
 *     tcp_segment.c   headers read and written
 *     tcp_input.c     which connection, and segments that belong to none
 *     tcp_cookie.c    handshakes of which nothing is kept (RFC 4987)
 *     tcp_states.c    segments of connections (RFC 9293 3.10.7.3 and 3.10.7.4)
 *     tcp_ack.c       acknowledgements and windows that come in
 *     tcp_board.c     the scoreboard: what is in flight, lost, arrived out of order
 *     tcp_sack.c      selective acknowledgements that come in (RFC 2018, 2883)
 *     tcp_blocks.c    selective acknowledgements that go out
 *     tcp_rack.c      which segments time has shown to be lost (RFC 8985)
 *     tcp_tlp.c       tail loss probes (RFC 8985 7)
 *     tcp_recover.c   what a loss leads to, and what if there was none
 *     tcp_cc.c        how much may be in flight
 *     tcp_cubic.c     how the window grows after a loss (RFC 9438)
 *     tcp_hystart.c   when slow start has found the path's end (RFC 9406)
 *     tcp_rtt.c       round trips and the retransmission time-out (RFC 6298)
 *     tcp_recv.c      bytes that came, in order and not
 *     tcp_send.c      bytes to send, held until acknowledged
 *     tcp_output.c    what leaves
 *     tcp_timer.c     what time does
 *     tcp_time_wait.c the small records of closed connections
 *     tcp_icmp.c      what routers say (RFC 5927)
 *     tcp_path.c      the largest packet a path takes (RFC 1191, RFC 8201)
 *     tcp_pressure.c  what gives way when mbufs run short
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
#define TCP_SACK_BLOCKS 4u /* that fit in a header (RFC 2018 3) */
#define TCP_BLOCKS_KEPT 8u /* received runs whose order of arrival is remembered */
/* Segments looked at for the blocks of one ACK: what lies further off waits for the next ACK, so
 * that no peer can make us walk a long queue for each of many small segments. */
#define TCP_SACK_WALK      512u
#define TCP_MIN_RTT_WINDOW (300 * US_IN_S)
#define TCP_QUICK_ACKS     16u
#define TCP_POOL_SHARE     4u /* a connection may queue this part of the send mbufs that are left */
#define TCP_RUNS_MAX       128u /* out-of-order runs of one connection */
#define TCP_COPY_MAX       512u /* a received payload up to this size is copied to the one before it */
#define TCP_PORT_LOW       10240u
#define TCP_PORT_TRIES     1024u /* ports looked up for one connection */
#define TCP_PORT_ASKS      16u   /* ports asked about for each: whether they lead back here */
#define TCP_PATHS          256u  /* destinations whose path MTU is remembered */
#define TCP_RCVBUF_SCARCE  8192u /* receive buffer while mbufs are scarce */
#define TCP_PRESSURE_IDLE  (UINT64_C(1024) * US_IN_S) /* who stands still so long is reset first */
#define TCP_NEVER          UINT64_MAX

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

/* Sequence numbers [start, end). */
struct tcp_range {
    uint32_t start, end;
};

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
    bool sack_ok; /* SACK permitted (RFC 2018 2) */
    bool old;     /* was all old data, cut away: only its ACK and timestamp count */
    bool late;    /* an ACK overtaken by another: only what it acknowledges counts */
    uint8_t nsack;
    struct tcp_range sack[TCP_SACK_BLOCKS]; /* as on the wire: not checked */
};

/* A segment's sequence space (RFC 9293 3.4). */
static inline uint32_t in_span(const struct tcp_in *s)
{
    return s->len + ((s->flags & TH_SYN) != 0) + ((s->flags & TH_FIN) != 0);
}

/* ------------------------------------------------- what an mbuf carries */

/* Our own notes on an mbuf, in a dynamic field. */
union tcp_note {
    struct {
        struct rte_mbuf *next; /* first mbuf of the next run */
        struct rte_mbuf *tail; /* last mbuf of this run; in between, m->next */
        uint32_t seq, end;
    } run; /* in the first mbuf of an out-of-order run */
};

/* ------------------------------------------------------- the send queue */

enum {
    SEG_FIN = 1 << 0,
    SEG_SENT = 1 << 1,
    SEG_SACKED = 1 << 2, /* the peer has it, but may still drop it: it stays in the queue */
    SEG_LOST = 1 << 3,   /* to be sent again */
    SEG_RTX = 1 << 4,    /* sent more than once */
};

/* A segment to send or sent, from the stack's own table. It is always sent as a whole: where a
 * window or a lower MSS cuts it, it becomes two on the same mbuf. One of four: not sent; in flight
 * (SENT alone, in the connection's list of that name); SACKED; LOST (in the list). data_off,
 * data_len and next of the mbuf are the lower layer's while it transmits, so where the bytes stand
 * is here. */
struct tcp_seg {
    TAILQ_ENTRY(tcp_seg) order; /* in flight: by the time sent; lost: by number, nearly */
    struct tcp_seg *next;       /* by sequence number; of the free ones */
    struct rte_mbuf *m;         /* NULL: FIN alone */
    uint64_t sent_at;           /* the last time */
    uint32_t seq;               /* of the first byte not acknowledged */
    uint16_t off, len;          /* where those bytes stand in the buffer, and how many */
    uint8_t flags;
} __attribute__((aligned(64)));
TAILQ_HEAD(tcp_segs, tcp_seg);

static inline uint32_t seg_span(const struct tcp_seg *s)
{
    return s->len + (uint32_t)(s->flags & SEG_FIN);
}

static inline uint32_t seg_end(const struct tcp_seg *s)
{
    return s->seq + seg_span(s);
}

/* ------------------------------------------------------- loss recovery */

/* A block the peer has reported before: up to `end` it is marked, and `at` (NULL: no entry) is the
 * last segment looked at for it, where a block that reaches further goes on. */
struct tcp_sack_seen {
    uint32_t start, end;
    struct tcp_seg *at;
};

/* RFC 8985 5.3. */
struct tcp_rack {
    uint64_t sent_at; /* of the segment sent last among those delivered; 0: none yet */
    uint32_t end;     /* its end */
    uint32_t rtt_us;
    uint32_t min_rtt_us,
        next_min_us; /* of this window of TCP_MIN_RTT_WINDOW and the last; so far */
    uint64_t min_rtt_until;
    uint32_t fack;        /* highest end delivered */
    uint32_t dsack_round; /* with `in_dsack_round` */

    uint8_t mult, persist; /* of the reordering window */
    bool reordering, in_dsack_round;
};

/* RFC 9438 4.1.2, and what RFC 9438 4.9 wants back if the loss was none. Windows in bytes. */
struct tcp_cubic {
    uint64_t epoch_at; /* 0: none has begun */
    uint64_t grown_at; /* last time it was asked to grow */
    uint32_t w_max, k_ms, w_est, w_prior;
    uint32_t est_acked; /* towards w_est's next byte */
    uint64_t grow_part; /* towards cwnd's next byte */
};

/* RFC 9406 4.2. */
struct tcp_hystart {
    uint32_t last_us, now_us; /* least round trips of the last round and of this one */
    uint32_t base_us;         /* with css_rounds */
    uint32_t round_end;
    uint8_t samples, css_rounds; /* css_rounds counts from 1; 0: not in CSS */
    bool done, started;
};

/* To take back what was done for a loss that was none (RFC 3522, 4015; RFC 5682; RFC 2883). */
struct tcp_undo {
    struct tcp_cubic cubic;
    struct tcp_hystart hystart;
    uint32_t cwnd, ssthresh; /* before */
    uint32_t marker;         /* snd_una at that time */
    uint32_t again;          /* bytes sent again and not reported as duplicates */
    uint32_t stamp;          /* timestamp of the first of them, if `stamped` */
    bool on, stamped;
};

/* What one ACK has told so far. */
struct tcp_acking {
    const struct tcp_in *in;
    uint32_t acked;     /* bytes snd_una has moved by */
    uint32_t delivered; /* bytes known to have arrived only now */
    uint32_t sacked;    /* of them, selectively */
    uint32_t lost;      /* bytes found lost */
    uint64_t sent_at;   /* of the last segment delivered that was sent only once; 0: none */
    bool again;         /* some of it was sent more than once */
    bool found;         /* some of it was taken for lost, and had not been sent again yet */
    bool dsack;         /* says that something came twice */
    bool original;      /* something delivered was sent only once, before the recovery began */
    bool dup;           /* a duplicate in the sense of RFC 5681 2 */
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
    CF_TLP_DUE = 1 << 8,       /* send a tail loss probe */
    CF_PROBE_DUE = 1 << 9,     /* window probe */
    CF_KEEP_DUE = 1 << 10,     /* keepalive probe */
    CF_PERSIST = 1 << 11,      /* TIMER_RTX is the persist timer */
    CF_TS = 1 << 12,           /* timestamps agreed */
    CF_RECOVERY = 1 << 13,     /* fast recovery, until `recover` */
    CF_LOSS = 1 << 14,         /* after a time-out, until `recover` */
    CF_TIMING = 1 << 15,       /* our SYN is being timed, since rtt_at */
    CF_WANT_WRITE = 1 << 16,   /* a tcp_write was short */
    CF_STARVED = 1 << 17,      /* on the list of those the pool had nothing for */
    CF_READY = 1 << 18,        /* on the ready list */
    CF_OUTPUT = 1 << 19,       /* on the output list */
    CF_SYN_RESENT = 1 << 20,   /* our SYN was sent more than once */
    CF_CWND_LIMITED = 1 << 21, /* the last output was held back by cwnd */
    CF_HAVE_SRTT = 1 << 22,
    CF_WSCALE = 1 << 23,     /* window scaling agreed */
    CF_UNACCEPTED = 1 << 24, /* passive, the owner has not been asked yet */
    CF_SACK = 1 << 25,       /* selective acknowledgement agreed */
    CF_TLP = 1 << 26,        /* a tail loss probe is out, see tlp_end */
    CF_TLP_AGAIN = 1 << 27,  /* and it was something sent before */
    CF_FRTO = 1 << 28,       /* the time-out may prove to have been spurious (RFC 5682) */
    CF_DSACK_DUE = 1 << 29,  /* the next ACK tells what came twice (RFC 2883) */
};

enum tcp_timer { TIMER_RTX, TIMER_REO, TIMER_TLP, TIMER_ACK, TIMER_KEEP, TIMERS };

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
    uint32_t snd_nxt; /* after the last segment sent */
    uint32_t snd_max; /* beyond it only by a window probe's byte */
    uint32_t snd_end; /* after the last byte queued: where FIN would stand */
    uint32_t snd_wnd; /* scaled */
    uint32_t snd_wl1, snd_wl2;
    uint32_t snd_wnd_max;
    struct tcp_seg *sq_head, *sq_tail; /* by sequence number */
    struct tcp_seg *sq_next;           /* starts at snd_nxt; NULL when all has been sent */
    uint32_t sq_segs;
    uint16_t mss;      /* payload bytes a segment, options allowed for */
    uint8_t rtx_shift; /* back-off of the retransmission time-out */

    /* Line 3: congestion, round trips. */
    uint32_t cwnd __attribute__((aligned(64)));
    uint32_t ssthresh;
    uint32_t pipe;   /* bytes of the segments in flight (RFC 6675 4) */
    uint32_t sndbuf; /* bytes that may be queued; grows with cwnd */
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t sacked;              /* bytes marked SACKED */
    struct tcp_segs flight, lost; /* see struct tcp_seg */

    /* Line 4: times and lists. */
    uint64_t deadline[TIMERS] __attribute__((aligned(64)));
    struct tcp_rack rack;
    struct tcp_cubic cubic;
    struct tcp_hystart hystart;

    /* Touched when something is lost. */
    uint32_t recover;                        /* RFC 6582 */
    uint32_t prr_delivered, prr_out, prr_fs; /* RFC 9937 5: fs is RecoverFS */
    uint64_t recover_at;                     /* when recovery began */
    uint32_t rtx_total, dsack_total;         /* segments sent again, and told to be duplicates */
    uint32_t tlp_end;                        /* with CF_TLP */
    uint32_t rtx_out;              /* bytes of those in flight that were sent more than once */
    uint32_t sacked_segs;          /* marked SACKED */
    uint16_t dup_acks;             /* without SACK */
    uint8_t nblocks, fresh_blocks; /* of `blocks`; news since the last ACK */
    uint8_t quick_acks;            /* segments still to be acknowledged at once */
    uint8_t seen_next;             /* of sack_seen: the next to be overwritten */
    struct tcp_undo undo;
    struct tcp_sack_seen sack_seen[TCP_SACK_BLOCKS];
    struct tcp_range blocks[TCP_BLOCKS_KEPT]; /* runs received, the latest first (RFC 2018 4) */
    struct tcp_range dsack;                   /* with CF_DSACK_DUE */
    struct tcp_seg fin;                       /* FIN that no data carries */

    /* RFC 6298 with many samples a round trip. */
    uint32_t rtt_seq; /* where the round ends */
    uint32_t mdev_us, mdev_max_us;
    uint64_t rtt_at;

    struct wheel_timer timer; /* at the earliest deadline or before it */
    TAILQ_ENTRY(tcp_conn) ready, output;

    /* Cold. */
    TAILQ_ENTRY(tcp_conn) starved;
    void *user;
    uint64_t rcv_at;       /* last segment from the peer */
    uint64_t mtu_until;    /* the path MTU is believed; then the link's is tried again */
    uint64_t rx_moved_at;  /* the owner last took bytes, or the first came that wait */
    uint64_t tx_moved_at;  /* snd_una last moved, or the first of what is queued was written */
    uint64_t snd_at;       /* last data sent */
    uint64_t ts_recent_at; /* when ts_recent was taken */
    uint64_t challenge_at; /* no challenge ACK before */
    uint64_t grow_at;      /* start of the receive-window measurement */
    uint32_t grow_bytes;   /* read by the owner since */
    uint32_t grow_before;  /* read in the measurement before */
    uint32_t iss, irs;
    uint32_t orphan_una; /* snd_una when the orphan timer was set: it must have moved since */
    uint32_t ts_offset;
    uint16_t mtu, peer_mss;
    uint8_t rtx_count;  /* time-outs since the peer last acknowledged anything */
    uint8_t keep_count; /* keepalive probes not answered */
    uint8_t end;        /* enum tcp_end */
    bool mtu_guess;     /* the path MTU is our own guess, and nothing has come through yet */
    uint8_t mtu_proofs; /* guesses that something came through after */
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

/* The path MTU towards a destination. */
struct tcp_path {
    struct net_addr dst;
    uint64_t until;
    uint16_t mtu;
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
    uint64_t key_table[2], key_isn[2], key_ts[2], key_port[2], key_cookie[2], key_path[2];

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
    uint64_t pressure_idle; /* who stands still so long is reset next */
    uint64_t scarce_at;     /* since when mbufs are scarce; TCP_NEVER: they are not */
    uint32_t pressure_hand; /* the connection to be looked at next */
    uint32_t tx_soft;       /* from here on send buffers are the initial ones */
    uint32_t sq_segs_soft;  /* of one connection: from here on only full segments leave */
    struct tcp_seg *segs, *seg_free;
    uint32_t rcv_mbufs_max;

    struct tcp_listener listeners[NET_INTERCEPT_MAX];
    unsigned nlisteners;
    bool listening;
    uint32_t next_port;
    uint64_t cookies_until; /* a cookie we have sent may still come back */

    uint64_t paths_until; /* some path may still be remembered */
    struct tcp_path paths[TCP_PATHS];

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
/* Fills in key->lport and *hash with a free 4-tuple, looked for so often. */
bool port_choose(struct tcp *t, struct tcp_key *key, uint32_t *hash, unsigned tries);

/* tcp_segment.c */
bool segment_parse(const struct net_segment *s, struct tcp_in *in);
/* Puts a header before the data of `m` and hands it down. */
void segment_send(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags);
void segment_send_syn(struct tcp_conn *c, struct rte_mbuf *m);
/* A control segment of no connection. `ts` is NULL or {value, echo}. */
void segment_send_bare(struct tcp *t, const struct tcp_key *key, uint32_t seq, uint32_t ack,
                       uint8_t flags, uint16_t wnd, const uint32_t ts[2]);
/* SYN,ACK with a cookie, in answer to a SYN of which nothing is kept. */
void segment_send_cookie(struct tcp *t, const struct tcp_in *syn, uint32_t iss, uint32_t tsval);
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
/* The payload of a segment on a path of this MTU. */
uint32_t conn_mss_for(const struct tcp_conn *c, unsigned mtu);
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
/* Is there memory for another connection? Counts why not. */
bool room_for_conn(struct tcp *t);

/* tcp_cookie.c */
void cookie_send(struct tcp *t, const struct tcp_in *syn);
/* Cookies have been sent lately: only then is one looked for. */
bool cookies_expected(const struct tcp *t);
/* An ACK of no connection. False if it brings no good cookie; else it has been dealt with. */
bool cookie_received(struct tcp *t, struct tcp_in *s, uint32_t hash);

/* tcp_ack.c */
/* False when the connection is over. */
bool ack_received(struct tcp_conn *c, const struct tcp_in *s);
void window_received(struct tcp_conn *c, const struct tcp_in *s);

/* tcp_board.c */
void board_init(struct tcp_conn *c);
void board_sent(struct tcp_conn *c, struct tcp_seg *s); /* for the first time or again */
/* `s` has arrived: leaves what list it is in. The caller marks it SACKED or frees it. */
void board_delivered(struct tcp_conn *c, struct tcp_seg *s, struct tcp_acking *a);
void board_sacked(struct tcp_conn *c, struct tcp_seg *s, struct tcp_acking *a);
void board_lost(struct tcp_conn *c, struct tcp_seg *s);
void board_remove(struct tcp_conn *c, struct tcp_seg *s); /* from its list and the sums */
void board_not_lost(struct tcp_conn *c);                  /* all that was, is in flight again */
/* The peer has thrown away what it had reported (RFC 2018 8). */
void board_reneged(struct tcp_conn *c);
/* All in flight is lost, but what `keep` says might still be on its way. */
void board_all_lost(struct tcp_conn *c,
                    bool (*keep)(const struct tcp_conn *, const struct tcp_seg *));
uint32_t board_pipe(const struct tcp_conn *c); /* bytes in flight, as far as can be told */

/* tcp_sack.c */
void sack_received(struct tcp_conn *c, struct tcp_acking *a);
void sack_forget(struct tcp_conn *c);
void sack_forget_before(struct tcp_conn *c, uint32_t ack); /* before segments are freed */

/* tcp_blocks.c */
void blocks_add(struct tcp_conn *c, uint32_t start, uint32_t end); /* a run has begun or grown */
void blocks_dsack(struct tcp_conn *c, uint32_t start, uint32_t end);
void blocks_clear(struct tcp_conn *c);
/* Writes up to `room` bytes of options; how many. Call once the data below rcv_nxt is known. */
unsigned blocks_len(struct tcp_conn *c, unsigned room);
uint8_t *blocks_put(struct tcp_conn *c, uint8_t *o, unsigned len);
unsigned blocks_acks(const struct tcp_conn *c); /* ACKs needed to tell all that is new */

/* tcp_rack.c */
void rack_delivered(struct tcp_conn *c, const struct tcp_seg *s, const struct tcp_in *in);
void rack_dsack(struct tcp_conn *c);
void rack_recovered(struct tcp_conn *c);
void rack_detect(struct tcp_conn *c, struct tcp_acking *a);
bool rack_maybe_there(const struct tcp_conn *c, const struct tcp_seg *s);

/* tcp_tlp.c */
void tlp_schedule(struct tcp_conn *c);
void tlp_due(struct tcp_conn *c);
void tlp_acked(struct tcp_conn *c, const struct tcp_acking *a);

/* tcp_recover.c */
void recover_acked(struct tcp_conn *c, struct tcp_acking *a);
void recover_reorder_due(struct tcp_conn *c);
void recover_timeout(struct tcp_conn *c);

/* tcp_cc.c */
void cc_init(struct tcp_conn *c);
void cc_acked(struct tcp_conn *c, uint32_t acked);
void cc_congestion(struct tcp_conn *c); /* ssthresh follows; cwnd is the caller's */
void cc_timeout(struct tcp_conn *c);
void cc_set(struct tcp_conn *c, uint32_t cwnd);
void cc_undo(struct tcp_conn *c);
void cc_restart(struct tcp_conn *c);

/* tcp_cubic.c */
void cubic_congestion(struct tcp_cubic *q, uint32_t cwnd);
/* The window after `acked` more bytes. */
uint32_t cubic_acked(struct tcp_cubic *q, uint32_t cwnd, uint32_t mss, uint32_t acked,
                     uint32_t rtt_us, uint64_t now_us);
void cubic_idle(struct tcp_cubic *q, uint64_t now_us); /* it was not the window that held us back */
uint32_t cubic_root(uint64_t n);                       /* the integer below it */

/* tcp_hystart.c */
void hystart_begin(struct tcp_conn *c);
void hystart_sample(struct tcp_conn *c, uint32_t rtt_us);
uint32_t hystart_growth(struct tcp_conn *c, uint32_t acked); /* bytes slow start may add */

/* tcp_rtt.c */
void rtt_syn_sent(struct tcp_conn *c);
void rtt_syn_acked(struct tcp_conn *c, const struct tcp_in *s);
void rtt_acked(struct tcp_conn *c, const struct tcp_acking *a);
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
/* Everything before `ack` has arrived. Moves snd_una. */
void send_acked(struct tcp_conn *c, uint32_t ack, struct tcp_acking *a);
void send_free(struct tcp_conn *c);
bool segs_new(struct tcp *t);
/* Makes `s` end after `n` bytes of its data; what follows becomes a segment of its own in the same
 * state. n < seg_span(s). False if the table is spent. */
bool seg_split(struct tcp_conn *c, struct tcp_seg *s, uint32_t n);
void send_fin(struct tcp_conn *c); /* queues FIN */
void send_buffer_grow(struct tcp_conn *c);
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

/* tcp_path.c */
void path_start(struct tcp_conn *c); /* sets mtu */
/* A router says so (0: not how much fits). False if that is nothing new or not to be believed. */
bool path_too_big(struct tcp_conn *c, unsigned mtu);
void path_timeout(struct tcp_conn *c); /* of data, counted in rtx_count */
void path_acked(struct tcp_conn *c);   /* snd_una has moved */

/* tcp_pressure.c */
bool pressure_short(const struct tcp *t);
bool pressure_scarce(const struct tcp *t);
bool pressure_spent(const struct tcp *t);
/* The receive buffer that can be spared: before a window is worked out. */
void pressure_fit_window(struct tcp_conn *c);
void pressure_relieve(struct tcp *t);

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
