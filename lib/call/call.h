/* One vendor call from first byte to last, on the worker it came to: the one place where all the
 * libraries below meet. Owns callers' connections, calls in progress, and the pool of vendor
 * connections.
 *
 * The road of a call: caller's head -> who calls -> body -> decide -> record -> (held: parked until
 * a verdict) -> durable -> vendor connection -> credential -> request -> answer, masked as it
 * streams
 * -> record. */
#ifndef CALL_CALL_H
#define CALL_CALL_H

#include <rte_ring.h>

#include "audit/audit.h"
#include "base/base.h"
#include "hold/hold.h"
#include "identity/identity.h"
#include "match/match.h"
#include "net/net.h"
#include "rules/rules.h"
#include "tcp/tcp.h"
#include "tls/tls.h"
#include "vault/vault.h"

#define CALL_WORKERS_MAX NET_WORKERS_MAX

/* --------------------------------------------------------------- generations */

/* Everything that is replaced whole: rules, callers' keys, credentials, detectors. Immutable, but
 * for the pins. */
struct call_generation {
    uint64_t number; /* 1, 2, ... since the start */
    struct rules_set *rules;
    struct identity_set *identity;
    struct vault *vault;
    struct match_db *match;
    struct match_policy everything; /* all detectors of `match`, nothing kept of what they find */
    struct tls_vendor **vendors;    /* by connection; NULL where TLS to the vendor is as to all */
    struct rules_hits *hits;        /* of each worker, `hits_stride` apart */
    size_t hits_stride;
    unsigned workers;
    struct call_pin {
        _Atomic uint32_t
            held; /* calls in progress on that worker that began under this generation */
    } __attribute__((aligned(64))) pins[CALL_WORKERS_MAX];
};

struct call_sources {
    unsigned workers; /* that will count what rules do */
    const char *rules_directory;
    const char *rules_beside; /* where the files stand that rules name; NULL: in that directory */
    const char *vault_file, *vault_key_file; /* NULL: no vault */
};

/* Reads and compiles everything, checks that each credential named by a connection is in the vault
 * for that connection and can be used as the connection says. NULL after complaints in `d`. Off the
 * road; any thread. */
struct call_generation *call_generation_load(const struct call_sources *s, uint64_t number,
                                             uint64_t now_ns, struct diags *d);
/* No worker may use it any more. */
void call_generation_free(struct call_generation *g);
bool call_generation_pinned(const struct call_generation *g);
/* A worker's own counts, one for each rule in rules_at's order; NULL if nothing is counted. Any
 * thread may read. */
static inline struct rules_hits *call_generation_hits(const struct call_generation *g,
                                                      unsigned worker)
{
    return worker < g->workers ? g->hits + g->hits_stride * worker : NULL;
}

/* ------------------------------------------------------------------ a worker */

struct call_limits {
    unsigned max_callers;            /* connections from callers */
    unsigned max_callers_an_address; /* of one address; of IPv6, one /64 */
    unsigned max_handshakes;         /* callers whose TLS handshake is not complete */
    unsigned max_handshakes_an_address;
    unsigned handshake_share; /* percent of the worker's time for handshakes while calls wait too */
    unsigned max_vendors;     /* connections to vendors, pooled ones included */
    unsigned max_idle_a_host; /* pooled connections for one host */
    size_t memory;            /* bytes of heads, bodies and buffers */
    /* Caller's side. A handshake and a head have that long in all; a body and an answer must move
     * at `rate` bytes a second, looked at every `us`. */
    uint64_t handshake_us, head_us, body_us, read_us, idle_us;
    uint64_t body_rate, read_rate;
    uint64_t connect_us, answer_us, pool_idle_us; /* vendor's side */
};
void call_limits_defaults(struct call_limits *l);

/* What a worker is given; all of it outlives the worker. */
struct call_config {
    unsigned worker;
    struct call_limits limits;
    struct call_generation *const *generation; /* the RCU pointer that control replaces */
    const struct tls_shared *tls;
    struct audit_ring *audit;
    bool relaxed; /* connections that do not say: calls do not wait for the disk */
    struct rte_ring *to_control, *from_control; /* of struct hold_message */
    const _Atomic bool *control_alive;          /* false: nothing can be held */
    struct window_table *windows;               /* where calls are counted, by all workers */
    uint8_t boot[8];                            /* random, part of call ids */
};

struct call_worker;

/* NULL when out of memory. `tcp` is attached afterwards since it needs the owner's functions. */
struct call_worker *call_worker_new(const struct call_config *c, uint64_t now_us);
void call_worker_delete(struct call_worker *w);
/* The functions that the worker's TCP stack calls. */
struct tcp_owner call_tcp_owner(struct call_worker *w);
void call_attach(struct call_worker *w, struct tcp *tcp, struct net *net);

/* Once a loop, before tcp_dispatch: takes over a new generation, resumes calls whose record is
 * durable, verdicts, timers. Returns how much it did (0: nothing). Inside an RCU read side. */
unsigned call_poll(struct call_worker *w, uint64_t now_us, uint64_t wall_ns);
/* Earliest time at which call_poll has something to do, but for calls that wait for the disk. */
uint64_t call_next(const struct call_worker *w, uint64_t now_us);
/* For how long the oldest call has waited until its record is on disk; 0: none waits. */
uint64_t call_waits_us(const struct call_worker *w, uint64_t now_us);
/* Shutdown: no new calls; those in progress may end. True when none is left. */
bool call_drain(struct call_worker *w);
/* The number of the generation that the worker uses. Any thread. */
uint64_t call_generation_seen(const struct call_worker *w);

/* ------------------------------------------------------------------ counters */

/* Causes of answers of our own. */
#define CALL_CAUSES(X) RULES_CAUSES(X)

enum call_cause {
#define X(name, status, text) CALL_##name,
    CALL_CAUSES(X)
#undef X
        CALL_CAUSE_COUNT
};
const char *call_cause_name(enum call_cause c);

/* clang-format off */
#define CALL_COUNTERS(X)                                                                          \
    X(requests) X(allowed) X(blocked) X(held) X(forwarded) X(settled) X(answered)                 \
    X(vendor_connects) X(vendor_reused) X(vendor_retries) X(vendor_failed)                        \
    X(vendor_idle_closed) X(callers_accepted) X(callers_refused) X(callers_lost) X(timeouts)      \
    X(audit_waits) X(secrets_masked) X(values_masked) X(plain_http) X(bytes_up) X(bytes_down)     \
    X(upgraded) X(cycles_busy) X(loops_busy) X(refusals_unrecorded) X(hold_ring_full)                         \
    X(refused_full) X(refused_address_full) X(refused_handshakes_full)                            \
    X(refused_address_handshakes_full) X(refused_memory) X(refused_tls) X(evicted_idle)           \
    X(evicted_handshake) X(slow_handshake) X(slow_head) X(slow_body) X(slow_reader)               \
    X(slow_vendor_connect) X(slow_vendor_answer) X(idle_closed)                   \
    X(window_full) X(window_retries)
/* clang-format on */

struct call_counters {
#define X(name) counter name;
    CALL_COUNTERS(X)
#undef X
    counter causes[CALL_CAUSE_COUNT];
} __attribute__((aligned(64)));
struct call_counters *call_counters(struct call_worker *w);
/* Where its time goes: the worker's loop begins, enters and ends. */
struct stages *call_stages(struct call_worker *w);

/* The counters of everything that a worker owns, for whoever shows them. Any thread may read. */
struct call_stats {
    const struct net_counters *net;
    const struct tcp_counters *tcp;
    const struct tls_counters *tls;
    const struct identity_counters *identity;
    const struct call_counters *call;
    const struct stages *stages;
    unsigned callers, vendors; /* open now */
    size_t memory_used, memory_total;
};
void call_stats_of(const struct call_worker *w, struct call_stats *out);

#endif
