/* Rules files -> an immutable rule set, and the decision on one call. See rules/README.md for the
 * language. Knows HTTP heads and bodies as data; nothing of TLS, sockets or threads.
 *
 * A set is loaded on any thread, published whole, then read by all workers at once; nothing in it
 * changes. Deciding allocates nothing: it works in a `struct rules_scratch` of the worker's. */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include "window/window.h"

#include "base/base.h"
#include "body/body.h"
#include "http/http.h"
#include "match/match.h"
#include "net/net.h"

#define RULES_MATCHED_MAX 32 /* matching rules named in a verdict; more are counted */
#define RULES_PARAMS_MAX  16
#define RULES_GROUPS_MAX  64
#define RULES_HASH        32
#define RULES_WINDOWS_MAX 16 /* that the rules on one function may ask for */

struct rules_set;
struct rules_told;
struct rules_expr; /* a compiled expression of the `when` language */

/* ------------------------------------------------------- what the files say */

enum rules_decision { RULES_ALLOW, RULES_HOLD, RULES_BLOCK }; /* ascending strictness */
const char *rules_decision_name(enum rules_decision d);       /* "allow" */
enum rules_mode { RULES_ENFORCE, RULES_REPORT, RULES_OFF };

/* Methods that a connection may list. */
enum rules_identify { RULES_ID_OIDC, RULES_ID_MTLS, RULES_ID_SOURCE };
#define RULES_IDENTIFY_MAX 4
#define RULES_PINS_MAX     16
#define RULES_PIN          32 /* bytes: SHA-256 of a SubjectPublicKeyInfo (RFC 7469 2.4) */

/* Why a call gets an answer of our own: the words that `errors: {status: ...}` may name, with the
 * usual status and the text where a rule gives none. */
#define RULES_CAUSES(X)                                                                            \
    X(none, 0, "")                                                                                 \
    X(blocked_by_rule, 403, "A rule blocks this call.")                                            \
    X(no_rule_allows, 403, "No rule allows this call.")                                            \
    X(approval_denied, 403, "A reviewer denied this call.")                                        \
    X(approval_pending, 403, "This call waits for approval; send it again once it is approved.")   \
    X(approvals_unavailable, 403, "This call needs approval, which cannot be asked for now.")      \
    X(approval_refused, 403, "This call cannot be held for approval.")                             \
    X(approval_superseded, 403, "The rules changed while this call waited.")                       \
    X(identity_required, 401, "The caller is not known.")                                          \
    X(host_not_registered, 403, "No connection is configured for this host.")                      \
    X(host_mismatch, 421, "The Host field and the TLS server name differ.")                        \
    X(bad_request, 400, "The request is malformed.")                                               \
    X(request_timeout, 408, "The request did not arrive in time.")                                 \
    X(credential_unavailable, 503, "The vendor credential is not available.")                      \
    X(audit_unavailable, 503, "The call cannot be recorded, so it was not sent.")                  \
    X(busy, 503, "The appliance has no room for this call.")                                       \
    X(shutting_down, 503, "The appliance is stopping.")                                            \
    X(vendor_unreachable, 502, "The vendor could not be reached.")                                 \
    X(vendor_not_verified, 502, "The vendor's certificate could not be verified.")                 \
    X(vendor_tls, 502, "The TLS connection to the vendor failed.")                                 \
    X(vendor_bad_answer, 502, "The vendor's answer is malformed.")                                 \
    X(vendor_closed, 502, "The vendor closed the connection; whether the call ran is unknown.")    \
    X(vendor_timeout, 504, "The vendor did not answer in time; whether the call ran is unknown.")  \
    X(answer_encoded, 502, "The vendor's answer is encoded and cannot be inspected.")              \
    X(internal, 500, "The appliance failed to handle the call.")

enum {
    RULES_CAUSE_COUNT = 0
#define X(name, status, text) +1
    RULES_CAUSES(X)
#undef X
};

#define RULES_ANSWER_MAX 4096 /* bytes of the body of an answer of ours */
#define RULES_MESSAGE_SHORT                                                                        \
    "See the cause." /* stands for a message with which it would not fit                           \
                      */

/* What is written in a place of an answer. */
enum rules_piece_kind {
    RULES_PIECE_TEXT,     /* `text`, as it is */
    RULES_PIECE_MESSAGE,  /* for a person */
    RULES_PIECE_CAUSE,    /* for a program: "no_rule_allows" */
    RULES_PIECE_STATUS,   /* in digits */
    RULES_PIECE_REASON,   /* the status in words */
    RULES_PIECE_CALL,     /* the call's id */
    RULES_PIECE_KIND,     /* what the vendor's SDK takes for the kind of an error */
    RULES_PIECE_FUNCTION, /* its full name */
    RULES_PIECE_RULE,     /* the rule's id; nothing if there is none */
    RULES_PIECE_OWN       /* the member `turnpike` of a JSON object, whole */
};

/* Shape of our own answers. Its pieces are written one after another; what is filled in is escaped
 * as the contents of a JSON string, or as XML text. Whatever is filled in, with RULES_MESSAGE_SHORT
 * for a message the body has at most RULES_ANSWER_MAX bytes. */
struct rules_errors {
    struct span type;       /* Content-Type */
    struct span request_id; /* field in which the SDK looks for the request's id; or empty */
    bool xml;
    const struct rules_piece {
        enum rules_piece_kind kind;
        bool number; /* STATUS, RULE: stands alone, as a JSON number; without a rule as null */
        struct span text;
    } * pieces;
    unsigned npieces;
    struct {
        uint16_t status;
        struct span kind;
    } of[RULES_CAUSE_COUNT]; /* by cause, in the order of RULES_CAUSES */
};

/* Does a call wait until its record is on disk? */
enum rules_durability {
    RULES_DURABILITY_UNSAID, /* as the appliance's own configuration says */
    RULES_DURABILITY_STRICT,
    RULES_DURABILITY_RELAXED
};

enum rules_credential_kind {
    RULES_CRED_NONE,
    RULES_CRED_BEARER,
    RULES_CRED_BASIC,
    RULES_CRED_HEADER
};

struct rules_function {
    struct span name; /* "stripe.refund.create" */
    unsigned index;   /* dense over the set, for counters; the unlisted ones included */
    const struct rules_connection *connection;
    struct match_policy mask_audit, mask_caller; /* resolved from `masks`; in audit, pci.card and
                                                    pii.email are masked whatever the files say */
    bool caller_covers_audit; /* mask_caller masks all that mask_audit does, and leaves no more of
                                 it: what the caller gets may stand in the record as it is */
    bool unlisted;            /* connection.unlisted */
    bool needs_body;          /* some rule that may match it reads `body` */
    bool needs_found;         /* and some one asks for found() */
};

struct rules_connection {
    struct span name;
    unsigned index;           /* dense over the set */
    const struct span *hosts; /* lower case */
    unsigned nhosts;
    const struct rules_errors *errors;
    enum rules_durability durability;
    enum rules_identify identify[RULES_IDENTIFY_MAX];
    unsigned nidentify;
    struct {
        enum rules_credential_kind kind;
        struct span secret; /* name in the vault */
        struct span header; /* with RULES_CRED_HEADER: field name */
        struct span user;   /* with RULES_CRED_BASIC: user name, the secret is the password */
    } credential;
    struct span trust; /* PEM file of CAs for this vendor: resolved; empty: the appliance's own */
    struct place trust_place;
    const uint8_t (*pins)[RULES_PIN]; /* one of them must stand in the vendor's chain */
    unsigned npins;
    struct span client_certificate; /* name in the vault: what we show the vendor; empty: nothing */
    const struct span *account_headers; /* part of a held call's digest */
    unsigned naccount_headers;
    const struct span *idempotency; /* fields of which one makes a call safe to repeat; no part of a
                                       held call's digest */
    unsigned nidempotency;
    uint64_t inspect_request;   /* bytes of a request body read whole before the decision, coded and
                                   decoded */
    unsigned inspect_ratio;     /* bytes decoded for each byte coded, at most */
    uint64_t capture;           /* bytes of a body kept in a record, 0 to 16 KiB */
    uint16_t port;              /* of the vendor, default 443 */
    const struct span *upgrade; /* protocols that a caller may change to (RFC 9110 7.8); what passes
                                   then is not looked into */
    unsigned nupgrade;
    uint64_t upgrade_idle_ns; /* after so long without a byte either way it ends */
    const struct rules_function *unlisted;
};

/* Which name of a certificate is the caller's. */
enum rules_cert_id { RULES_CERT_SPIFFE, RULES_CERT_DNS, RULES_CERT_EMAIL, RULES_CERT_SUBJECT };

/* Who may vouch for callers (identity.md): the signer of tokens, or a CA of client certificates.
 * The expressions are evaluated over the token's claims, or over what the certificate says
 * (identity.h). Files are absolute or relative to the rules directory: resolved. */
struct rules_issuer {
    struct span name;      /* key in the file */
    bool certificates;     /* a CA: what concerns tokens is empty, and the other way round */
    struct span issuer;    /* `iss`, exact */
    struct span audience;  /* `aud` must hold it */
    struct span keys_file; /* JWKS */
    struct place keys_place;
    struct span ca_file, crl_file; /* PEM; crl_file empty: revocation is not looked at */
    struct place ca_place, crl_place;
    enum rules_cert_id cert_id;
    const struct rules_expr *caller; /* -> caller.id; NULL: claims.sub */
    const struct rules_group {
        struct span name;              /* "ci"; or "team-*": a prefix put before each element */
        const struct rules_expr *expr; /* bool, or a list of strings with a "*" in the name */
    } * groups;
    unsigned ngroups;
    uint64_t skew_ns; /* clock skew allowed, default 30 s */
};

/* `sources:` names callers by address, for connections that accept `source`. */
struct rules_source {
    struct span name; /* becomes caller.id */
    struct net_prefix prefix;
    const struct span *groups;
    unsigned ngroups;
};

struct rules_rule {
    uint64_t id, rev;
    struct span name, owner, message;
    enum rules_decision then;
    enum rules_mode mode;
    uint64_t expires_ns; /* wall clock; 0 = never */
    uint64_t wait_ns;    /* hold: how long the caller waits */
    unsigned quorum;     /* hold */
    const struct span *hold_groups;
    unsigned nhold_groups;
    struct place place;
};

/* -------------------------------------------------------------------- a set */

/* Reads every *.yaml of a directory. NULL after complaints in `d` (all of them, of all files).
 * Warnings (a rule about to expire) do not make it fail. `now_ns` is the wall clock. */
struct rules_set *rules_load(const char *directory, uint64_t now_ns, struct diags *d);
/* The same, with the files that rules name (keys, certificates) taken from another directory: an
 * earlier set of rules is judged with the keys of today. */
struct rules_set *rules_load_beside(const char *directory, const char *files, uint64_t now_ns,
                                    struct diags *d);
void rules_free(struct rules_set *s);

/* The files that the set was made of, by name, and what stood in them when they were read. */
unsigned rules_file_count(const struct rules_set *s);
void rules_file_at(const struct rules_set *s, unsigned i, struct span *name, struct span *text);

const uint8_t *rules_hash(const struct rules_set *s); /* SHA-256 over the files, RULES_HASH bytes */
unsigned rules_count(const struct rules_set *s);
const struct rules_rule *rules_at(const struct rules_set *s, unsigned i); /* by ascending id */
unsigned rules_function_count(const struct rules_set *s);
const struct rules_function *rules_function_at(const struct rules_set *s, unsigned i);
unsigned rules_connection_count(const struct rules_set *s);
const struct rules_connection *rules_connection_at(const struct rules_set *s, unsigned i);
/* The shape of answers to calls that belong to no connection. */
const struct rules_errors *rules_errors_usual(const struct rules_set *s);
unsigned rules_issuer_count(const struct rules_set *s);
const struct rules_issuer *rules_issuer_at(const struct rules_set *s, unsigned i);

/* The detectors are declared in the files but the database is compiled once for rules and vault
 * together: rules_load adds nothing by itself. Adds this set's detectors to a builder, in the
 * order that the functions' mask policies count on. False after complaints. */
bool rules_add_detectors(const struct rules_set *s, struct match_builder *b, struct diags *d);

/* --------------------------------------------------------------- the lookups */

/* By host name, lower-cased by the caller; O(1); NULL: no connection serves it. */
const struct rules_connection *rules_connection_for(const struct rules_set *s, struct span host);

struct rules_params {
    const struct rules_told *told; /* NULL: the function is settled; else see rules_function_told */
    unsigned n;
    struct {
        struct span name, value; /* decoded; into the path or into `text` */
    } p[RULES_PARAMS_MAX];
    char text[1024]; /* decoded segments; a path that needs more names no function */
};
/* The function that method and normalised path name: the most specific wins; `unlisted` if none.
 * Never NULL. Cost grows with the path's segments, not with the number of functions. Where bodies
 * tell functions apart it is the one for what nothing else is told by. */
const struct rules_function *rules_function_for(const struct rules_set *s,
                                                const struct rules_connection *c,
                                                struct span method, struct span path,
                                                struct rules_params *params);

/* `source` identity: the caller's name for an address (longest prefix), or NULL. */
const struct rules_source *rules_source_for(const struct rules_set *s, const struct net_addr *a);

/* -------------------------------------------------------------- the decision */

struct rules_caller {
    struct span id, issuer, method; /* method: "oidc", "mtls", "source", "none" */
    struct span groups[RULES_GROUPS_MAX];
    unsigned ngroups;
    struct span claims; /* JSON object, verified; empty if none */
    struct net_addr address;
};
/* Only as many groups as there are. */
static inline void rules_caller_copy(struct rules_caller *to, const struct rules_caller *from)
{
    to->id = from->id;
    to->issuer = from->issuer;
    to->method = from->method;
    to->claims = from->claims;
    to->address = from->address;
    to->ngroups = from->ngroups;
    memcpy(to->groups, from->groups, from->ngroups * sizeof(from->groups[0]));
}

/* What calls did to one rule: it matched, it was the reason of the decision, it matched because its
 * condition was unknown; and when it matched last. One thread writes. */
struct rules_hits {
    counter matched, decided, unknown, last_ns;
};

struct rules_call {
    const struct rules_caller *caller;
    const struct rules_function *function;
    const struct rules_params *params;
    const struct http_head *head;
    enum body_type body_type;
    struct span body;                /* whole, or empty with body_problem set */
    enum body_problem body_problem;  /* why the body cannot be read; NONE if it can */
    uint64_t body_size;              /* as sent, also when it was not kept */
    uint64_t now_ns;                 /* wall clock */
    struct rules_hits *hits;         /* counted by rules_at's order; NULL: nowhere */
    const struct match_found *found; /* what was found in the request; NULL: it was not scanned */
};

struct rules_scratch;

/* The function of a call whose body is there, to be put into call->function before the decision.
 * `call->function` and `call->params` come from rules_function_for. Where the body tells functions
 * apart: the one that it names; the plain one of the route, if it can be read in one way and names
 * no other; else `unlisted`. Never NULL. Takes as long as reading the body. */
const struct rules_function *rules_function_told(struct rules_scratch *x,
                                                 const struct rules_call *call);

struct rules_verdict {
    enum rules_decision decision;
    const struct rules_rule
        *rule;         /* lowest id of the strictest that matched; NULL: nothing matched */
    bool unknown;      /* that rule matched because its condition was unknown */
    unsigned nmatched; /* all that matched, strictest first then by id; report mode too */
    struct rules_matched {
        const struct rules_rule *rule;
        bool unknown, reported; /* reported: mode `report`, took no part */
    } matched[RULES_MATCHED_MAX];
    unsigned more;                  /* matching rules beyond RULES_MATCHED_MAX */
    enum body_problem body_problem; /* why the body could not be read, if a rule looked at it */
    /* Where the call counts from now on, if it is not blocked. If it is never sent, whoever decides
     * that gives it back: window_give_back. */
    struct window_count counted[RULES_WINDOWS_MAX];
    unsigned ncounted;
    unsigned window_tries; /* how often another's undecided call stood in the way */
    bool window_full;      /* a window was unknown because the table had no place for it */
};

/* Memory for one decision at a time, fit for any set. One a worker. NULL: out of memory. */
struct rules_scratch *rules_scratch_new(void);
void rules_scratch_free(struct rules_scratch *x);
/* Grows the scratch for a set. Not on the road. False: no memory. */
bool rules_scratch_adopt(struct rules_scratch *x, const struct rules_set *s);
/* Where calls are counted; shared by all who decide. Without it every window is unknown. */
void rules_scratch_windows(struct rules_scratch *x, struct window_table *t);
/* The longest window that a rule of the set asks for; 0: none does. */
uint64_t rules_longest_window(const struct rules_set *s);

/* With windows it also counts the call, in all windows of the rules on its function that are not
 * `off`, if it is not blocked. If others decide in the same windows at the same time, the decision
 * is what it would be had one call come after the other; should they stand in its way
 * RULES_WINDOW_TRIES times, the stricter of what may have been is taken. */
#define RULES_WINDOW_TRIES 16
void rules_decide(const struct rules_set *s, struct rules_scratch *x, const struct rules_call *call,
                  struct rules_verdict *v);

/* Told of a part of a rule's condition: depth 0 is the whole, its parts follow with their parts,
 * each with its text in the file and what it gave: `true`, `60000`, `"usd"`, `unknown`, `missing`,
 * `[3 elements]`, `not evaluated` (nobody needed it). Of what is asked of a list's elements the
 * last one asked is told. A rule without `when` is told with text "" and value `true`. The spans
 * are the set's or are gone after the call. */
typedef void rules_explain_fn(void *ctx, const struct rules_rule *rule, unsigned depth,
                              struct span text, struct span value);
/* Judges as rules_decide does, and tells of every rule that is judged for the function, in the
 * order of their strictness. Not on the road. */
void rules_explain(const struct rules_set *s, struct rules_scratch *x,
                   const struct rules_call *call, struct rules_verdict *v, rules_explain_fn *tell,
                   void *ctx);

/* Expressions over a token's claims (issuers). `claims` is a JSON object. Return false if the
 * result is unknown or of another type. Text goes to `out` (arena of the caller's). Not on the
 * packet road. A list that holds anything but strings, or more of them than `room`, is false too,
 * with *n = 0: a caller with some of its groups is not the caller that the token names. */
bool rules_expr_text(const struct rules_expr *e, struct span claims, struct arena *mem,
                     struct span *out);
bool rules_expr_bool(const struct rules_expr *e, struct span claims, bool *out);
bool rules_expr_list(const struct rules_expr *e, struct span claims, struct arena *mem,
                     struct span *out, unsigned room, unsigned *n);

#endif
