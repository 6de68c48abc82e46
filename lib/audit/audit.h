/* The evidence: events encoded once by the thread they happen on, into that thread's own ring; one
 * writer thread gives them sequence numbers and the hash chain and commits them to LMDB in groups;
 * readers open the store beside a running appliance, or a copy of it. The encoding is documented to
 * the byte in FORMAT.md beside this file. */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "base/base.h"

#define AUDIT_HASH      32
#define AUDIT_EVENT_MAX ((size_t)64 << 10) /* encoded bytes of one event */
#define AUDIT_RINGS_MAX 64

/* Kinds of event and their numbers in the store: never reused. */
/* clang-format off */
#define AUDIT_KINDS(X)                                  \
    X(START, 1, "start")                                \
    X(STOP, 2, "stop")                                  \
    X(GAP, 3, "audit.gap")                              \
    X(CALL_DECIDED, 10, "call.decided")                 \
    X(CALL_SETTLED, 11, "call.settled")                 \
    X(CONNECTION_REFUSED, 12, "connection.refused")     \
    X(HOLD_OPENED, 20, "hold.opened")                   \
    X(HOLD_APPROVED, 21, "hold.approved")               \
    X(HOLD_DENIED, 22, "hold.denied")                   \
    X(HOLD_PENDING, 23, "hold.pending")                 \
    X(HOLD_EXPIRED, 24, "hold.expired")                 \
    X(HOLD_CANCELLED, 25, "hold.cancelled")             \
    X(HOLD_CONSUMED, 26, "hold.consumed")               \
    X(HOLD_SUPERSEDED, 27, "hold.superseded")           \
    X(HOLD_ATTACHED, 28, "hold.attached")               \
    X(RULES_LOADED, 30, "rules.loaded")                 \
    X(RULES_REFUSED, 31, "rules.refused")               \
    X(SECRET_USED, 40, "secret.used")                   \
    X(SECRET_ECHOED, 41, "secret.echoed")               \
    X(EVIDENCE_READ, 50, "evidence.read")
/* clang-format on */

enum audit_kind {
#define X(name, number, text) AUDIT_##name = number,
    AUDIT_KINDS(X)
#undef X
};
const char *audit_kind_name(unsigned kind); /* "call.decided"; NULL if unknown */

/* Fields: number in the store, name in JSON, type. Text is UTF-8 or made so when shown; BYTES show
 * as lower-case hex; a field may repeat only where LIST. */
/* clang-format off */
#define AUDIT_FIELDS(X)                                 \
    X(CALL, 1, "call", TEXT)                            \
    X(WORKER, 2, "worker", NUMBER)                      \
    X(GENERATION, 3, "generation", NUMBER)              \
    X(RULES_HASH, 4, "rules_hash", BYTES)               \
    X(CALLER, 10, "caller", TEXT)                       \
    X(ISSUER, 11, "issuer", TEXT)                       \
    X(IDENTITY, 12, "identity", TEXT)                   \
    X(GROUP, 13, "groups", LIST)                        \
    X(SUBJECT, 14, "subject", TEXT)                     \
    X(TOKEN_ID, 15, "token_id", TEXT)                   \
    X(CONNECTION, 20, "connection", TEXT)               \
    X(FUNCTION, 21, "function", TEXT)                   \
    X(METHOD, 22, "method", TEXT)                       \
    X(HOST, 23, "host", TEXT)                           \
    X(TARGET, 24, "target", TEXT)                       \
    X(CONTENT_TYPE, 25, "content_type", TEXT)           \
    X(BODY, 26, "body", TEXT)                           \
    X(BODY_SIZE, 27, "body_size", NUMBER)               \
    X(BODY_SHA256, 28, "body_sha256", BYTES)            \
    X(BODY_PROBLEM, 29, "body_problem", TEXT)           \
    X(DECISION, 30, "decision", TEXT)                   \
    X(CAUSE, 31, "cause", TEXT)                         \
    X(RULE, 32, "rule", NUMBER)                         \
    X(RULE_REV, 33, "rule_rev", NUMBER)                 \
    X(MATCHED, 34, "matched", LIST)                     \
    X(UNKNOWN, 35, "unknown", NUMBER)                   \
    X(MESSAGE, 36, "message", TEXT)                     \
    X(REPORTED, 37, "would_have", LIST)                 \
    X(DURABILITY, 38, "durability", TEXT)               \
    X(MATCHED_MORE, 39, "matched_more", NUMBER)         \
    X(COUNTED, 45, "counted", LIST)                     \
    X(COUNTED_KEY, 46, "counted_key", NUMBER)           \
    X(RETURNED, 47, "returned", LIST)                   \
    X(DETECTED, 40, "detected", LIST)                   \
    X(SECRET, 41, "secret", TEXT)                       \
    X(SECRET_VERSION, 42, "secret_version", NUMBER)     \
    X(BODY_DECODED, 48, "body_decoded", NUMBER)         \
    X(CLIENT_ADDRESS, 50, "client_address", TEXT)       \
    X(CLIENT_PORT, 51, "client_port", NUMBER)           \
    X(VENDOR_ADDRESS, 52, "vendor_address", TEXT)       \
    X(VENDOR_PORT, 53, "vendor_port", NUMBER)           \
    X(TLS_VERSION, 54, "tls_version", TEXT)             \
    X(TLS_CIPHER, 55, "tls_cipher", TEXT)               \
    X(SNI, 56, "sni", TEXT)                             \
    X(STATUS, 60, "status", NUMBER)                     \
    X(OUTCOME, 61, "outcome", TEXT)                     \
    X(ANSWER, 62, "answer", TEXT)                       \
    X(ANSWER_SIZE, 63, "answer_size", NUMBER)           \
    X(ANSWER_SHA256, 64, "answer_sha256", BYTES)        \
    X(ANSWER_TYPE, 65, "answer_type", TEXT)             \
    X(VENDOR_STATUS, 66, "vendor_status", NUMBER)       \
    X(TUNNEL_UP, 67, "tunnel_up", NUMBER)               \
    X(TUNNEL_DOWN, 68, "tunnel_down", NUMBER)           \
    X(DECIDE_US, 70, "decide_us", NUMBER)               \
    X(AUDIT_US, 71, "audit_us", NUMBER)                 \
    X(VENDOR_US, 72, "vendor_us", NUMBER)               \
    X(TOTAL_US, 73, "total_us", NUMBER)                 \
    X(HOLD, 80, "hold", TEXT)                           \
    X(REVIEWER, 81, "reviewer", TEXT)                   \
    X(REASON, 82, "reason", TEXT)                       \
    X(DIGEST, 83, "digest", BYTES)                      \
    X(COUNT, 90, "count", NUMBER)                       \
    X(FROM_NS, 91, "from_ns", NUMBER)                   \
    X(TO_NS, 92, "to_ns", NUMBER)                       \
    X(VERSION, 93, "version", TEXT)                     \
    X(DETAIL, 94, "detail", TEXT)
/* clang-format on */

enum audit_field {
#define X(name, number, text, type) AUDIT_F_##name = number,
    AUDIT_FIELDS(X)
#undef X
};
enum audit_type { AUDIT_TEXT, AUDIT_NUMBER, AUDIT_BYTES, AUDIT_LIST };

/* ------------------------------------------------------------------ writing */

struct audit;      /* the writer and its rings */
struct audit_ring; /* one producer's own */

struct audit_config {
    const char *directory;  /* made if missing, 0700 */
    const char *appliance;  /* name in every record, e.g. the host name */
    size_t ring_bytes;      /* a ring, power of two, at least 1 MiB */
    unsigned rings;         /* producers: workers first, then control */
    uint64_t segment_bytes; /* a new segment file from this size on (and each UTC day) */
};

/* Opens the store (finds the last segment and the chain's head, checks that they agree), starts the
 * writer thread and records nothing yet. NULL after complaints in `d`. */
struct audit *audit_start(const struct audit_config *c, struct diags *d);
/* Drains what is in the rings, commits, stops the thread. If the disk refuses, gives up after
 * `patience_ns`, logs how many events are lost. */
void audit_stop(struct audit *a, uint64_t patience_ns);
struct audit_ring *audit_ring_of(struct audit *a, unsigned i);

/* --- one producer thread a ring; no lock, no system call (but audit_nudge), no allocation --- */

/* An event being encoded straight into the ring. */
struct audit_event {
    struct audit_ring *ring;
    uint8_t *p, *end; /* where the next field goes; end of what was reserved */
    uint8_t *start;
    uint64_t seen[2]; /* bit n: field n stands in the event already */
    bool full;        /* a field did not fit: audit_end discards the event */
};

/* Is the store taking records? False from a failed commit until one succeeds, and when less than a
 * quarter of the ring is free: that quarter is kept for what calls already decided have still to
 * say. Half of it (an eighth of the ring) is closed to call.decided and connection.refused, so that
 * a flood of refusals cannot crowd out the rest. Relaxed loads of one line; ask before promising
 * anything to a caller. */
bool audit_ready(const struct audit_ring *r);
/* Reserves up to `most` bytes (at most AUDIT_EVENT_MAX) for fields, each of them four bytes and its
 * value (a number is eight), and stamps kind and wall time. False: no room; the event is counted as
 * lost and will stand in the next audit.gap, and what follows on it does nothing. */
bool audit_begin(struct audit_event *e, struct audit_ring *r, enum audit_kind kind, size_t most,
                 uint64_t wall_ns);
/* The function must be that of the field's type (text for TEXT and LIST). A second value for a
 * field that is not a LIST is left out: the first stands. Text is cut at 65,535 bytes. */
void audit_text(struct audit_event *e, enum audit_field f, struct span s);
void audit_number(struct audit_event *e, enum audit_field f, uint64_t v);
void audit_bytes(struct audit_event *e, enum audit_field f, const void *p, size_t n);
/* Publishes the event; returns its ticket (> 0), or 0 if it did not fit (counted as lost). */
uint64_t audit_end(struct audit_event *e);
/* Every event of this ring with a ticket up to this one is on disk. One acquire load. */
uint64_t audit_durable(const struct audit_ring *r);
/* Somebody waits for that ticket, the ring's newest: audit_nudge will say so. Without this an event
 * is on disk some 5 ms later, and a sync. */
void audit_want(struct audit_ring *r, uint64_t ticket);
/* Behind what a thread had to do, once a loop: tells the writer of tickets that are wanted, or that
 * the ring fills up. If the writer sleeps this is a system call (it never sleeps while it has
 * something to write that is wanted); if nothing is new it is a few loads. */
void audit_nudge(struct audit_ring *r);

/* clang-format off */
#define AUDIT_COUNTERS(X)                                                                         \
    X(events) X(bytes) X(commits) X(commit_failures) X(lost) X(gaps) X(segments) X(fsync_ns)
/* clang-format on */

struct audit_counters {
#define X(name) counter name;
    AUDIT_COUNTERS(X)
#undef X
};
const struct audit_counters *audit_counters(const struct audit *a);
uint64_t audit_last_seq(const struct audit *a);

/* ------------------------------------------------------------------ reading */

struct audit_store;

/* Opens a directory read-only: of a running appliance, of a stopped one, or a copy; it changes
 * nothing but reader slots in lock files that are there already. New segments are found as they
 * appear. NULL after complaints. One thread a store. LMDB allows a file to be open once a process:
 * not in the process of the store's own writer, nor twice in one (segments open elsewhere in the
 * process read as absent); audit_verify has no such bound. */
struct audit_store *audit_open(const char *directory, struct diags *d);
void audit_close(struct audit_store *s);
uint64_t audit_first(const struct audit_store *s); /* 0: empty */
uint64_t audit_last(const struct audit_store *s);

struct audit_record {
    uint64_t seq, wall_ns;
    unsigned kind;
    struct span boot; /* 16 bytes */
    struct span appliance;
    struct span fields; /* encoded; walk with audit_next_field */
    uint8_t hash[AUDIT_HASH], previous[AUDIT_HASH];
};

/* Reads one record; false if there is none or it is malformed. Spans are valid until the next
 * call on the store. */
bool audit_read(struct audit_store *s, uint64_t seq, struct audit_record *r);
/* The first record at or after seq (skips nothing but what is not there). False at the end. A
 * record that is there but malformed comes with its number, kind 0 and fields that no walk accepts
 * (in JSON: "malformed": true), so that an export says so instead of ending. */
bool audit_read_from(struct audit_store *s, uint64_t seq, struct audit_record *r);

struct audit_value {
    unsigned field;
    enum audit_type type;
    const char *name; /* "f<number>" fields of a newer version are shown as such */
    char other[8];    /* where `name` points then: not to be copied apart from it */
    struct span text; /* TEXT, LIST, BYTES */
    uint64_t number;
};
/* Walks fields: `*at` starts at 0. False at the end or on malformed bytes. */
bool audit_next_field(const struct audit_record *r, size_t *at, struct audit_value *v);
bool audit_get(const struct audit_record *r, enum audit_field f, struct audit_value *v);

/* A filter: what is empty or 0 does not narrow. Names may end in "*". Bounds are inclusive. `text`
 * is looked for in every text field, ASCII letters without regard to case. */
struct audit_filter {
    uint64_t from_ns, to_ns, from_seq, to_seq;
    struct span kind, caller, connection, function, decision, cause, call, text;
    uint64_t rule, status;
    bool has_rule, has_status;
};
bool audit_matches(const struct audit_record *r, const struct audit_filter *f);

/* One line of JSON without the newline: schema_version, seq, time, boot, appliance, kind, the
 * fields by name, hash, previous. Valid JSON whatever the record holds. */
void audit_json(const struct audit_record *r, struct outbuf *o);
#define AUDIT_JSON_MAX (AUDIT_EVENT_MAX * 6 + 4096)

/* ------------------------------------------------------------------- verify */

enum audit_fault {
    AUDIT_SOUND,
    AUDIT_ALTERED,   /* a record's bytes do not give its hash */
    AUDIT_MISSING,   /* a sequence number is not there */
    AUDIT_REORDERED, /* a record stands under another number than its own */
    AUDIT_BROKEN,    /* a record does not follow from the one before it */
    AUDIT_TRUNCATED, /* the end is before what the store (or `head`) says was written */
    AUDIT_UNREADABLE /* a segment cannot be opened or a record not parsed */
};
const char *audit_fault_name(enum audit_fault f);

struct audit_report {
    enum audit_fault fault;
    uint64_t first_bad; /* sequence number, with a fault */
    uint64_t records, from, to, gaps, lost;
    uint8_t head[AUDIT_HASH]; /* hash of the last sound record */
    char detail[256];
};
/* Checks every record and the chain, up to the first fault. `expect_seq` and `expect_head`: what
 * somebody noted off the box (0 and NULL: nothing); a record there with another hash is ALTERED.
 * `progress` may be NULL. True if sound. The work is done in a child process, so that damaged pages
 * of LMDB (which have no checksums of their own) cannot take the caller down. */
bool audit_verify(const char *directory, uint64_t expect_seq, const uint8_t *expect_head,
                  void (*progress)(void *ctx, uint64_t done, uint64_t of), void *ctx,
                  struct audit_report *report);

#endif
