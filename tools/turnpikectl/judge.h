/* Judging calls away from the road, as the appliance would: a set of rules, and calls that come
 * from fixture files or from the audit store. For `rules test`, `explain` and `diff`. */
#ifndef CTL_JUDGE_H
#define CTL_JUDGE_H

#include "audit/audit.h"
#include "rules/rules.h"

/* A call as far as rules can see it. Spans point into `mem`, or into the head's own scratch. */
struct ctl_call {
    struct arena mem;
    struct http_head head;
    struct rules_caller caller;
    struct span body;
    bool recorded; /* it comes from the audit store, */
    bool cut;      /* with a part of its body only */
    enum body_problem problem;
    uint64_t body_size, at_ns;
    enum http_error malformed; /* the head cannot be read: nothing else counts */
};

/* Makes `c` of a request: `head` is the head's text without its end, `body` what follows. Both are
 * copied. */
void ctl_call_set(struct ctl_call *c, struct span head, struct span body);
void ctl_call_free(struct ctl_call *c);

/* A recorded call (call.decided), as far as the record tells: the body as captured and masked, no
 * header fields but Content-Type, and no claims, which are unknown then. False: it is no such
 * record, or was refused before there was a function. */
bool ctl_call_from_record(struct ctl_call *c, const struct audit_record *r);

struct judge;

/* Loads a directory's rules; NULL after complaints. */
struct judge *judge_open(const char *directory, struct diags *d);
void judge_close(struct judge *j);
const struct rules_set *judge_set(const struct judge *j);
/* What the calls judged so far did, by rules_at's order. */
const struct rules_hits *judge_hits(const struct judge *j);
/* Windows count from nothing again. False: out of memory. */
bool judge_restart(struct judge *j);

struct judged {
    enum rules_decision decision;
    const char *cause;                     /* as answers and records name it: "blocked_by_rule" */
    const struct rules_function *function; /* NULL: the call did not get so far */
    struct rules_verdict verdict;
};

void judge_call(struct judge *j, const struct ctl_call *c, struct judged *out);
/* The same, telling the conditions of all rules that were looked at, part by part. */
void judge_explain(struct judge *j, const struct ctl_call *c, struct judged *out,
                   rules_explain_fn *tell, void *ctx);

/* ---------------------------------------------------------------- fixtures */

struct fixture {
    struct span name, as;
    struct ctl_call call;
    struct place place;
    unsigned repeat;
    struct { /* what is expected; what was not said is empty or -1 */
        int decision, unknown;
        struct span function, cause;
        uint64_t rule;
        bool has_rule;
        struct place place;
    } expect;
};

struct fixtures {
    struct arena mem;
    struct fixture *at;
    size_t n;
};

/* Reads a file of calls. `as` names another caller of the file for all of them (NULL: as written).
 * What is expected must be said if `expect`. False after complaints. */
bool fixtures_read(const char *path, const char *as, bool expect, struct fixtures *f,
                   struct diags *d);
void fixtures_free(struct fixtures *f);

#endif
