/* Held calls: what a reviewer decides on, and the states between a worker that parked a call and
 * the people who approve it. The control thread owns every record; workers only exchange fixed
 * messages with it over single-producer single-consumer rings.
 *
 * How a held call goes:
 *     worker: OPEN ------------------------------> control: new record, or attaches to the same
 * digest
 *                      <- OPENED (request block handed back)
 *     reviewer decides, or time runs out
 *                      <- APPROVED | DENIED | PENDING | REFUSED
 *     worker: FORWARDED, then SETTLED ----------->   (after APPROVED)
 *     worker: CANCELLED ------------------------->   (the caller left; also after APPROVED: never
 * runs)
 */
#ifndef HOLD_HOLD_H
#define HOLD_HOLD_H

#include "audit/audit.h"
#include "base/base.h"
#include "http/http.h"
#include "rules/rules.h"

#define HOLD_DIGEST     32
#define HOLD_BODY_MAX   ((size_t)16 << 10) /* of the masked body that a reviewer sees */
#define HOLD_ID_TEXT    24                 /* "h-" and 16 hex digits, NUL */
#define HOLD_QUORUM_MAX 16                 /* reviewers that a rule may ask for */
#define HOLD_OPEN_MAX   4096               /* records that are not at an end */
#define HOLD_CALLER_MAX 64                 /* of them by one caller */
#define HOLD_KEPT_MAX   4096               /* ended records kept for `holds list --all` */

/* --------------------------------------------------------------- the digest */

/* What a call is, for approvals: one changed byte is another call (holds.md). */
struct hold_subject {
    struct span caller, connection, function, method, path, query;
    enum body_type body_type;
    struct span body;
    struct span
        coded; /* the bytes that `body` was decoded from; empty if they are those of `body` */
    const struct http_head *head; /* for the connection's account headers */
    const struct rules_connection *rules_connection;
    struct span secret;
    uint32_t secret_version;
    uint64_t rule, rev;
};

/* SHA-256 over the subject: length-prefixed parts; query pairs sorted; JSON bodies in RFC 8785
 * canonical form, forms as ordered decoded pairs, multipart as its parts in their order without the
 * boundary, anything else raw. Of a coded body also the codings and the bytes as they came: another
 * decoder might make something else of them. A body that cannot be read is taken raw. False if out
 * of memory (hold nothing then: block). Any thread; not on the fast path: held calls only. */
bool hold_digest(const struct hold_subject *s, uint8_t out[HOLD_DIGEST]);

/* ----------------------------------------------------------------- messages */

enum hold_message_type {
    /* worker -> control */
    HOLD_MSG_OPEN,      /* request */
    HOLD_MSG_CANCELLED, /* the caller left or the worker gave up */
    HOLD_MSG_FORWARDED, /* approved and now sent to the vendor */
    HOLD_MSG_SETTLED,   /* status, 0 if the outcome is unknown */
    /* control -> worker */
    HOLD_MSG_OPENED,   /* request handed back; hold id given */
    HOLD_MSG_APPROVED, /* who: run it once, now */
    HOLD_MSG_DENIED,   /* who, reason */
    HOLD_MSG_PENDING,  /* the wait ran out; the record stays open for an approval */
    HOLD_MSG_REFUSED,  /* cannot be held: reason is a cause ("too_many_holds",
                          "idempotency_conflict", "approval_used", "quorum_too_large", "no_memory")
                        */
};

/* What a reviewer sees; everything in it is masked already. A block of the worker's, the control
 * thread's between OPEN and OPENED. Texts are NUL-terminated and cut to fit. */
struct hold_request {
    uint8_t digest[HOLD_DIGEST];
    uint64_t wait_ns;  /* how long the caller waits */
    uint64_t grant_ns; /* how long an approval after that stays good */
    uint64_t rule, rev;
    uint64_t generation; /* of the rules that held that newest call, and their hash */
    uint8_t rules_hash[RULES_HASH];
    unsigned quorum;
    char call[40]; /* id of the newest call that came with this digest */
    char caller[256], connection[128], function[192], method[32], target[2048];
    char rule_name[256], message[512];
    char idempotency_key[256]; /* hex SHA-256 of it, empty if none */
    char groups[512];          /* hold groups, each followed by '\n' */
    char content_type[128];
    uint32_t body_size, body_shown;
    char body[HOLD_BODY_MAX];
};

struct hold_message {
    uint32_t type; /* enum hold_message_type */
    uint32_t worker;
    uint64_t call; /* the worker's own number for the call; control only hands it back */
    uint64_t hold; /* 0 in OPEN */
    struct hold_request *request;
    uint32_t status;
    char who[64];
    char reason[156];
};
_Static_assert(sizeof(struct hold_message) % 4 == 0,
               "an rte_ring element is a multiple of 4 bytes");

/* ---------------------------------------------------- the table: control thread */

enum hold_state {
    HOLD_HELD,
    HOLD_PENDING,
    HOLD_APPROVED,
    HOLD_FORWARDED,
    HOLD_GRANTED,
    HOLD_SETTLED,
    HOLD_DENIED,
    HOLD_EXPIRED,
    HOLD_CANCELLED,
    HOLD_SUPERSEDED,
};
const char *hold_state_name(enum hold_state s);

struct hold_record {
    uint64_t id;
    enum hold_state state;
    uint64_t opened_ns, deadline_ns, grant_until_ns, ended_ns; /* wall clock */
    uint32_t worker;   /* where the newest waiting call is parked */
    uint64_t call;     /* its number there; 0: nobody waits */
    unsigned attached; /* calls that came with this digest */
    unsigned approvals;
    char approvers[HOLD_QUORUM_MAX][64];
    char who[64], reason[156]; /* of the end */
    uint32_t status;
    struct hold_request request; /* a copy */
};

struct hold_table;
/* Where the table's messages to workers go, and its events. */
struct hold_out {
    void *ctx;
    /* False: the worker's ring is full; the table tries again on the next hold_tick. */
    bool (*send)(void *ctx, uint32_t worker, const struct hold_message *m);
    struct audit_ring *audit; /* may be NULL in tests */
};

struct hold_table *hold_table_new(const struct hold_out *out);
void hold_table_free(struct hold_table *t);

/* A message from a worker. Always answers OPEN with OPENED and, sooner or later, one verdict. */
void hold_receive(struct hold_table *t, const struct hold_message *m, uint64_t now_ns);
/* Deadlines and grants; a few times a second is enough, and at hold_next. */
void hold_tick(struct hold_table *t, uint64_t now_ns);
uint64_t hold_next(const struct hold_table *t);

enum hold_result {
    HOLD_DONE,          /* the state changed */
    HOLD_COUNTED,       /* approved, but the quorum is not complete */
    HOLD_NO_SUCH,       /* no record with that id */
    HOLD_ENDED,         /* it has ended or been decided already */
    HOLD_TWICE,         /* this reviewer has approved it before */
    HOLD_OWN_CALL,      /* the reviewer is the caller */
    HOLD_NOT_A_REVIEWER /* not in a group that may decide */
};
const char *hold_result_text(enum hold_result r);

struct hold_reviewer {
    struct span name;
    const struct span *groups;
    unsigned ngroups;
    bool any_group; /* root on the control socket */
};
enum hold_result hold_approve(struct hold_table *t, uint64_t id, const struct hold_reviewer *by,
                              struct span reason, uint64_t now_ns);
enum hold_result hold_deny(struct hold_table *t, uint64_t id, const struct hold_reviewer *by,
                           struct span reason, uint64_t now_ns);

/* Records by ascending id, open ones or all that are kept. `at` starts at 0. NULL at the end. */
const struct hold_record *hold_next_record(const struct hold_table *t, bool all, uint64_t *at);
const struct hold_record *hold_find(const struct hold_table *t, uint64_t id);
char *hold_id_text(uint64_t id, char out[HOLD_ID_TEXT]);
bool hold_id_parse(struct span text, uint64_t *id);

#endif
