/* The insides of lib/call: what a worker owns, and which file does what.
 *
 *     worker.c      the worker: creation, the poll of each loop, generations, statistics
 *     caller.c      a caller's connection: heads, bodies, output, the end
 *     admit.c       who gets a connection, and when handshakes have their turn
 *     peers.c       connections a caller's address
 *     exchange.c    one call: from a parsed head to a decision, parked, resumed, ended
 *     request_body.c  its body: what it is, its bytes, what is judged of them
 *     held.c        messages with the control thread
 *     wait.c        how long a call waits for what, and what it keeps meanwhile
 *     forward.c     the request on its way to the vendor
 *     reply.c       the vendor's answer on its way to the caller, masked
 *     tunnel.c      what passes after the vendor has agreed to an upgrade
 *     vendor.c      vendor connections: set-up, failure, events
 *     pool.c        those that wait for the next call, by host
 *     answer.c      answers of our own, in the vendor's shape
 *     counts.c      what calls count in windows, given back if they are never sent
 *     record.c      what is written to the audit store, masked
 *     queue.c       bytes that wait to be written to a TLS session
 *     generation.c  loading of what is replaced whole
 *
 * Everything runs on the worker that owns it. */
#ifndef CALL_INTERNAL_H
#define CALL_INTERNAL_H

#include <openssl/evp.h>
#include <sys/queue.h>

#include "call/call.h"

#define CALL_ID_TEXT 33 /* 32 hex digits and NUL */

enum {
    HEAD_BLOCK = 16 << 10,  /* first block of a caller's receive buffer; grown for large heads */
    IN_BLOCK = 32 << 10,    /* the same of a vendor's */
    SMALL_BLOCK = 1 << 10,  /* smallest block of an output queue that only waits */
    OUT_BLOCK = 64 << 10,   /* block of an output queue */
    CAPTURE_MAX = 16 << 10, /* bytes of a body in a record (HOLD_BODY_MAX too) */
    CAPTURE_SLACK = 256,    /* read beyond the cap so that a value cut by it is still seen */
    RULES_SCRATCH_BODY = 1024,
    CREDENTIAL_MAX = 4096, /* bytes of a secret that goes into a header field */
    BODY_BLOCK = 4 << 10,  /* first block for a body of unknown length */
    HOLD_BLOCKS = 32,      /* held calls being handed to control at one time */
    LINGER_US = 2 * 1000 * 1000,
    AUDIT_PATIENCE_US = 5 * 1000 * 1000, /* a parked call waits this long for its record */
    AUDIT_DOWN_US = 300 * 1000,          /* this long when the store refuses */
};

/* ------------------------------------------------------------------- queues */

/* Output of a session: [start, ready) may be written, [ready, end) is the window of an answer that
 * is still being looked at. Invariant: start <= ready <= end <= cap. */
struct outq {
    char *p;
    size_t cap, start, ready, end;
    uint64_t flushed; /* bytes that the session has taken since the connection began */
};

bool outq_open(struct outq *q, struct buddy *memory, size_t cap);
void outq_close(struct outq *q, struct buddy *memory);
/* Gives back what it does not need while nothing is to be written: the block, or the most of it if
 * [ready, end) must be kept. */
void outq_shrink(struct outq *q, struct buddy *memory);
/* Moves what is left to the front when that is cheap or needed to have `want` bytes of room. */
void outq_compact(struct outq *q, size_t want);
static inline size_t outq_room(const struct outq *q)
{
    return q->cap - q->end;
}
static inline size_t outq_pending(const struct outq *q)
{
    return q->ready - q->start;
}
/* Writes what may be written. TLS_OK: all of it; else as tls_write. */
enum tls_result outq_flush(struct outq *q, struct tls_session *s);

/* --------------------------------------------------------------- connections */

enum leg_kind { LEG_CALLER, LEG_VENDOR };

/* One side of a call: what a TCP connection's user pointer points to. First in caller and vendor.
 */
struct leg {
    enum leg_kind kind;
    struct tcp_conn *tcp; /* NULL once it is over */
    struct tls_session *tls;
};

enum caller_state {
    CALLER_HANDSHAKE,
    CALLER_HEAD,   /* between calls, or a head is coming in */
    CALLER_CALL,   /* `x` is in progress */
    CALLER_LINGER, /* answered and shut down; what still comes is dropped until the peer ends */
};

struct caller {
    struct leg leg;
    struct call_worker *w;
    enum caller_state state;
    bool peer_eof; /* FIN seen: nothing more will come than what is queued */
    bool cut;      /* ends without close_notify: what was sent is not whole */
    struct exchange *x;
    char *in; /* decrypted bytes, [in_pos, in_len) not consumed; NULL while idle */
    size_t in_len, in_cap, in_pos, scanned;
    struct outq out;
    uint64_t mark; /* bytes that had been delivered when the timer was set for a reader */
    size_t owed;   /* and how many had not */
    struct wheel_timer timer;  /* of the state; in a call: looks whether the answer is being read */
    TAILQ_ENTRY(caller) order; /* in w->half_open or w->idle, oldest first */
    TAILQ_ENTRY(caller) turn;  /* in w->turns: a step of the handshake is due */
    bool half_open, idle, due; /* in which of them */
    bool turned;               /* a step of the handshake has been taken */
    struct net_addr from;      /* as counted in w->peers */
    uint64_t since_us;         /* accepted */
    bool reading;              /* the timer looks after the reader of an answer that has ended */
    LIST_ENTRY(caller) link;
};

enum vendor_state { VENDOR_CONNECT, VENDOR_HANDSHAKE, VENDOR_BUSY, VENDOR_IDLE };

struct vendor {
    struct leg leg;
    struct call_worker *w;
    enum vendor_state state;
    bool reused;        /* has answered a call before this one */
    bool keep;          /* may go back to the pool after this call */
    bool over;          /* TCP has said CLOSED: what it holds may be read until the event returns */
    bool cut;           /* ends without close_notify: what was sent is not whole */
    uint32_t told_s;    /* the vendor's own idle limit as its last answer gave it; 0: not */
    uint64_t idle_us;   /* when it came to the pool */
    struct exchange *x; /* NULL in the pool */
    struct pool_host *host;
    char name[256];  /* SNI, and what the certificate is verified for */
    size_t head_len; /* at the front of `out`: the request's head, which holds the credential */
    char *in;
    size_t in_len, in_cap, in_pos, scanned;
    struct outq out;
    struct wheel_timer timer;
    TAILQ_ENTRY(vendor) idle; /* in host->idle, newest first */
    TAILQ_ENTRY(vendor) aged; /* in w->pooled, newest first */
    LIST_ENTRY(vendor) link;
};

/* What is known of vendor connections that may stand for each other: one host and port, shown the
 * same certificate of ours and held to the same trust. It is kept when its last connection has
 * gone, for what was learned, until another host needs the place. */
struct pool_host {
    uint64_t hash;
    uint16_t port;
    uint8_t id[TLS_VENDOR_ID]; /* what it proved and was shown (tls_vendor_id) */
    unsigned nidle;
    unsigned nvendors; /* connections that point here, in whatever state */
    uint64_t keep_us;  /* how long one may wait here: below the vendor's own limit as learned */
    TAILQ_HEAD(, vendor) idle;
    LIST_ENTRY(pool_host) link; /* in its bucket */
    TAILQ_ENTRY(pool_host)
    unused; /* in w->unused_hosts while nvendors is 0, longest unused first */
    char name[256];
};

#define POOL_HOSTS 1024 /* power of two: places, and buckets */

LIST_HEAD(pool_bucket, pool_host);
TAILQ_HEAD(pool_hosts, pool_host);
TAILQ_HEAD(vendor_queue, vendor);

/* --------------------------------------------------------------------- calls */

enum exchange_state {
    X_BODY,    /* the body is being read for the decision */
    X_RECORD,  /* decided; waits for its record to be durable */
    X_HELD,    /* waits for a verdict */
    X_VENDOR,  /* waits for a vendor connection */
    X_FORWARD, /* request going out, answer coming in */
    X_OWN,     /* an answer of our own is going out */
    X_TUNNEL,  /* upgraded: bytes pass both ways unseen */
};

enum tunnel_way { TUNNEL_UP, TUNNEL_DOWN }; /* to the vendor, to the caller */

/* One direction of an upgraded connection. */
struct tunnel {
    uint64_t bytes; /* taken from the source */
    bool ended;     /* the source has closed its side in order: nothing more will come */
    bool told;      /* and the sink has been told so, after the last byte */
};

/* What is asked, and by whom: needed until the answer has begun. */
struct request {
    struct http_head head;
    struct rules_params params;
    struct rules_caller who;
};

/* One call. The memory is recycled; what a new call must find zero begins with `caller` and ends
 * before `found_request`. */
struct exchange {
    EVP_MD_CTX *sha_request, *sha_answer; /* made once, kept for the next call */
    SLIST_ENTRY(exchange) free;

    struct caller *caller;
    struct vendor *vendor;
    struct call_worker *w;
    struct call_generation *gen; /* pinned */
    enum exchange_state state;

    const struct rules_connection *connection; /* NULL: host not registered */
    const struct rules_function *function;
    const struct identity *identity;
    enum body_type body_type;
    enum body_problem body_problem;
    struct body_codings codings; /* known ones; none if another stands beside them */
    bool coded;                  /* `body` is not its text */
    bool stream_up;    /* the body is larger than what is inspected: it passes as it comes */
    bool upload_done;  /* every byte of the request has been taken from the caller */
    bool promised;     /* call.decided says allow or hold: call.settled must follow */
    bool sent;         /* the vendor may have seen bytes of it */
    bool answer_begun; /* bytes of the vendor's answer have come */
    bool head_out;     /* the answer's head is in the caller's queue */
    bool chunk_out;    /* the answer goes to the caller in chunks */
    bool close_caller; /* the caller's connection ends after this call */
    bool approved;     /* a reviewer said yes: run under `hold` */
    bool retried;
    bool waits_audit;    /* in w->parked */
    bool relaxed;        /* goes without waiting until its record is on disk */
    bool held_open;      /* control has, or will have, a record of it */
    bool upgraded;       /* the vendor has agreed to `upgrade` */
    bool returned;       /* what the verdict counted has been given back */
    unsigned interims;   /* 1xx answers that the vendor has sent */
    struct span upgrade; /* the protocol asked for, as the rules name it; empty: none */
    struct tunnel tunnel[2];

    char *body; /* request body as far as kept */
    size_t body_len, body_cap, body_sent;
    char *decoded; /* the text of a coded body, until the call goes on; NULL: none */
    size_t decoded_len;
    size_t head_len;    /* of the caller's buffer: the head that spans point into */
    uint64_t body_size; /* taken from the framing so far */
    uint8_t body_hash[32];
    bool body_hashed;
    struct http_body upload, answer;
    uint64_t upload_mark; /* upload.total when the timer was set */
    unsigned stalls;      /* how often it has found the vendor in the way */
    struct match_stream *stream;

    uint64_t number; /* part of the call id; control's handle */
    uint64_t generation_number;
    uint64_t ticket; /* of call.decided in the audit ring */
    uint64_t began_us, decided_us, durable_us, sent_us, answered_us;
    enum call_cause cause;
    const char *cause_name; /* finer than `cause` where there is one: "token_expired" */
    const char *outcome;    /* for call.settled, where the end is not what it would seem */
    uint64_t hold;
    uint64_t rule, rule_rev; /* of the verdict, copied: a held call outlives its generation's use */
    unsigned status;         /* of the answer that the caller got */
    unsigned vendor_status;
    uint64_t answer_size;
    char *capture; /* of the answer, as it comes: masked if the caller's masks cover the record's,
                      else raw until it is recorded */
    size_t capture_len, capture_cap;
    enum match_syntax answer_syntax;
    uint32_t secret_version;
    struct span caller_id; /* asked->who.id, for as long as the call */
    struct wheel_timer timer;
    TAILQ_ENTRY(exchange) parked; /* by ticket */
    LIST_ENTRY(exchange) link;    /* in w->calls */
    char id[CALL_ID_TEXT];

    struct request *asked;  /* a block of the worker's memory; w->forgotten once not needed */
    struct http_head *head; /* asked->head */

    /* Of these a new call finds only what says that they are empty. */
    struct match_found found_request, found_answer;
    struct rules_verdict verdict;
    char hold_id[HOLD_ID_TEXT];
    char reviewer[64];
    char answer_type[96];
};

SLIST_HEAD(exchange_free, exchange);
TAILQ_HEAD(exchange_queue, exchange);
TAILQ_HEAD(caller_queue, caller);
LIST_HEAD(exchange_list, exchange);
LIST_HEAD(caller_list, caller);
LIST_HEAD(vendor_list, vendor);

struct call_worker {
    struct call_config c;
    struct tcp *tcp;
    struct net *net;
    struct tls *tls;
    struct buddy *memory;
    void *region;
    size_t region_size;
    struct wheel *wheel;
    struct match_worker *match;
    struct rules_scratch *rules;
    struct body_decoder *decoder;
    struct identity_worker *identity;
    struct call_generation *gen; /* the one for new calls */
    _Atomic uint64_t seen;       /* its number, for control */
    uint64_t now_us, wall_ns;    /* of this loop */
    uint64_t next_number, ticked_us;
    bool draining;
    counter ncallers, nvendors; /* open now; read by control */

    struct caller *callers; /* slab */
    struct vendor *vendors;
    struct caller_list free_callers, live_callers;
    struct caller_queue half_open, idle; /* in their handshake; between calls: oldest first */
    struct caller_queue turns;           /* handshakes that can go on */
    unsigned nhalf_open;
    struct peers *peers;
    int64_t turns_saved_ns; /* time that handshakes may take; below 0 when one took more */
    int64_t turns_ns;       /* time they took in the last loop */
    uint64_t turns_at_us;   /* when that was */
    unsigned others;        /* events that were not of a handshake, this loop */
    struct vendor_list free_vendors, live_vendors;
    struct exchange_free free_exchanges;
    struct exchange_list calls;
    struct exchange_queue parked;
    struct pool_host *hosts; /* slab of POOL_HOSTS */
    struct pool_bucket *host_buckets;
    struct pool_hosts unused_hosts;
    struct vendor_queue pooled; /* all pooled connections */

    /* Short texts that were last found to hold nothing to mask: most calls say the same again. */
    struct record_clean {
        uint64_t generation; /* of the masks; 0: nothing yet */
        const struct rules_function *function;
        size_t n;
        char text[128];
    } clean_target, clean_type;
    struct match_found found; /* in the request that is being decided, where a rule asks */

    EVP_MD *sha256;
    struct request forgotten;     /* stands for one that has been given back: keep-alive */
    struct http_head answer_head; /* of the answer that is being parsed: used up in one step */
    char *scratch;                /* CAPTURE_MAX + CAPTURE_SLACK, for masking */
    struct hold_request *hold_blocks[HOLD_BLOCKS];
    unsigned nhold_blocks;
    uint64_t refused_tokens, refused_at_us; /* bound on connection.refused records */
    struct call_counters counters;
    struct stages stages;
};

/* worker.c */
struct exchange *exchange_new(struct call_worker *w);
void exchange_recycle(struct exchange *x);
/* Grows a receive buffer so that `want` bytes fit after `len`. False: no memory. */
bool in_reserve(struct call_worker *w, char **in, size_t *cap, size_t len, size_t want,
                size_t first);

/* peers.c */
struct peers;
enum peers_room { PEERS_TAKEN, PEERS_CALLERS_FULL, PEERS_HANDSHAKES_FULL };
/* `max`: connections in all. NULL when out of memory. */
struct peers *peers_new(unsigned max);
void peers_delete(struct peers *p);
/* One more connection of that address, in its handshake. */
enum peers_room peers_take(struct peers *p, const struct net_addr *a, unsigned callers_max,
                           unsigned handshakes_max);
unsigned peers_handshakes(struct peers *p, const struct net_addr *a);
void peers_settled(struct peers *p, const struct net_addr *a); /* its handshake is over */
void peers_give(struct peers *p, const struct net_addr *a, bool in_handshake);

/* admit.c */
bool caller_accept(struct call_worker *w, struct tcp_conn *tcp);
void admit_later(struct caller *c); /* a step of its handshake is due */
/* Steps of handshakes, as many as have their turn in this loop. Returns how many there were. */
unsigned admit_turns(struct call_worker *w);
bool admit_waiting(const struct call_worker *w);
void admit_settled(struct caller *c); /* the handshake is over, either way */
void admit_gone(struct caller *c);    /* the connection is about to be freed */
void admit_idle(struct caller *c, bool idle);

/* caller.c */
/* Takes the next step of the handshake and what follows from it. */
void caller_handshake(struct caller *c);
void caller_timer_fired(struct wheel_timer *t, uint64_t now_us);
void caller_event(struct caller *c, unsigned events);
/* Goes on as far as it can: reads, writes, starts and ends calls. */
void caller_run(struct caller *c);
/* The call is over and its answer is in the queue or gone. */
void caller_call_ended(struct caller *c, bool keep_alive);
/* Ends the connection at once, with a reset. */
void caller_abort(struct caller *c);
void caller_free(struct caller *c);
/* Gives back the receive buffer: nothing points into it any more. */
void caller_drop_input(struct caller *c);

/* exchange.c */
/* None of these frees the caller; after exchange_end the exchange is gone. */
void exchange_begin(struct exchange *x); /* a head has been parsed into x->head */
/* The body has come as far as it is read before the decision. */
void exchange_decide(struct exchange *x);
void exchange_durable(struct exchange *x); /* the record of the decision is on disk */
void exchange_approved(struct exchange *x, const char *who);
/* Fills x->id. */
void exchange_identify_call(struct exchange *x);
void exchange_caller_gone(struct exchange *x);
/* Answered to the last byte or abandoned: records the outcome and frees the call. */
void exchange_end(struct exchange *x, const char *outcome);
/* Refuses with an answer of our own; records the decision if none has been recorded. */
void exchange_refuse(struct exchange *x, enum call_cause cause, const char *cause_name,
                     struct span message);
void exchange_timer(struct exchange *x, uint64_t after_us);

/* request_body.c */
/* From the head: type, and what makes a body unreadable before its first byte. */
void request_body_classify(struct exchange *x);
/* Reads the body as far as it has come. STEP_DEAD: the session failed. */
enum step exchange_body(struct exchange *x);
/* Before the decision: takes codings off. False: no memory. */
bool request_body_open(struct exchange *x);
/* The text of the body, for a record or a reviewer: without its codings; empty if they could not be
 * taken off. What is forwarded is x->body. */
struct span request_body_text(const struct exchange *x);
/* The same for a decision: also empty if it cannot be read (x->body_problem). */
struct span request_body_seen(const struct exchange *x);
/* Nobody needs the decoded text any more. */
void request_body_close(struct exchange *x);
/* Fills the caller's buffer behind the head with what has come. TLS_OK: there are bytes. */
enum tls_result exchange_refill(struct exchange *x);
/* An interim 100 to a caller that waits for one before it sends the body. */
void exchange_say_continue(struct exchange *x);

/* held.c */
void held_open(struct exchange *x);
void held_tell(struct exchange *x, enum hold_message_type type);
unsigned held_poll(struct call_worker *w);

/* vendor.c */
/* A pooled (unless `fresh`) or new connection for the call; if none can be had the call is refused.
 */
void vendor_acquire(struct exchange *x, bool fresh);
void vendor_event(struct vendor *v, unsigned events);
void vendor_release(struct vendor *v); /* to the pool if it may, else closed */
void vendor_close(struct vendor *v);
bool vendor_silent(struct vendor *v); /* nothing has come that waits to be read */
/* Wipes the head of a request out of the queue. */
void vendor_wipe(struct vendor *v);

/* pool.c */
bool pool_new(struct call_worker *w);
void pool_delete(struct call_worker *w);
/* The host's place, made if there is none. NULL: every place is in use; such a host is not pooled.
 */
struct pool_host *pool_host(struct call_worker *w, struct span name, uint16_t port,
                            const uint8_t *id);
/* A new connection belongs to `h` (which may be NULL) until pool_leave. */
void pool_join(struct vendor *v, struct pool_host *h);
void pool_leave(struct vendor *v);
/* The newest idle connection that is still alive: taken out, or NULL. */
struct vendor *pool_take(struct pool_host *h);
/* False: it cannot be kept, and nothing has changed. */
bool pool_put(struct vendor *v);
/* Out of the pool, for closing or use. */
void pool_remove(struct vendor *v);
/* The vendor has ended a connection that waited here: the next ones must not wait so long. */
void pool_learn(const struct vendor *v);
/* One has waited as long as may be, and was still alive: perhaps the limit is not so short. */
void pool_unlearn(const struct vendor *v);
/* Closes the longest idle connection, of whatever host. False: there is none. */
bool pool_evict(struct call_worker *w);
void pool_drain(struct call_worker *w);

/* What a step of a call came to. */
enum step {
    STEP_WAIT, /* something must happen first */
    STEP_ON,   /* the call's state has changed, or it has ended and the caller lives: look again */
    STEP_DEAD, /* the caller's connection is gone, and the call with it */
};

/* wait.c */
/* The vendor's side has moved: it has its time again, unless the caller's body sets the pace. */
void exchange_vendor_moved(struct exchange *x);
/* Nothing moves: gives back what a call that only waits does not need. */
void exchange_rest(struct exchange *x);
/* Has the body moved at its rate since the timer was set? Then it is set again. */
bool exchange_body_moves(struct exchange *x);
/* The timer of a call that has been forwarded has fired: who is it that does not move? */
enum step exchange_answer_late(struct exchange *x);

/* forward.c */
void forward_start(struct exchange *x); /* x->vendor is verified: composes the request */
enum step forward_upload(struct exchange *x);
/* The field that makes the request safe to repeat: the first of the connection's list that is sent
 * on, once and with something in it. NULL: there is none. */
const struct http_field *forward_idempotency(const struct exchange *x);
/* May the request be sent a second time (RFC 9110 9.2.2)? */
bool forward_repeatable(const struct exchange *x);

/* reply.c */
/* Nothing is to be read or written: gives back what the queue does not need. */
void reply_rest(struct exchange *x);
/* Must the answer be readable, since something in it may have to be masked? */
bool reply_inspects(const struct exchange *x);
enum step reply_run(struct exchange *x);
/* The vendor's side of the call has failed: tries again where that is safe, else answers. */
enum step reply_vendor_lost(struct exchange *x, enum call_cause cause);

/* tunnel.c */
/* Is the upgrade that the request asks for one that the connection allows? Notes which. */
bool tunnel_allowed(struct exchange *x);
/* Does the 101 agree to what was asked for? */
bool tunnel_agreed(const struct exchange *x, const struct http_head *h);
/* The 101 is in the caller's queue: from here on bytes pass. */
void tunnel_begin(struct exchange *x);
enum step tunnel_run(struct exchange *x);
/* The vendor's TCP connection is over. */
enum step tunnel_vendor_over(struct exchange *x);
/* Ends both sides, now. The caller may be gone afterwards. */
void tunnel_stop(struct exchange *x, const char *outcome);

/* answer.c */
/* The status that an answer of our own has for a cause. */
unsigned answer_status(const struct exchange *x, enum call_cause cause);
/* Composes an answer of our own in the caller's queue, for the cause and status in `x`. */
void answer_own(struct exchange *x, struct span message);
void answer_plain_http(struct caller *c);

/* counts.c */
void counts_note(struct exchange *x); /* the verdict is there: the worker's counters */
/* The call will not be sent: what it counted in windows is taken out again. */
void counts_give_back(struct exchange *x);
void counts_put_decided(struct audit_event *e, const struct exchange *x);
void counts_put_settled(struct audit_event *e, const struct exchange *x);

/* record.c */
bool record_decided(struct exchange *x, const char *decision, const char *cause);
/* Bytes of a body, for the digest in its record. */
void record_digest(struct call_worker *w, EVP_MD_CTX *c, const char *p, size_t n);
void record_settled(struct exchange *x, const char *outcome);
void record_refused_connection(struct caller *c, const char *cause, const char *detail);
/* Masks a copy of `in` for evidence: at most `cap` bytes, in w->scratch. Empty if it failed. */
struct span record_masked(struct call_worker *w, const struct call_generation *g,
                          const struct match_policy *p, enum match_syntax syntax, struct span in,
                          size_t cap, struct match_found *found);
enum match_syntax record_syntax(enum body_type t);
/* Looks for everything that is to be found in path, query, fields and body; NULL if some of it
 * could not be looked through. Good until the next call is decided. */
const struct match_found *detect_request(struct exchange *x);

#endif
