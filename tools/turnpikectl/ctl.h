/* turnpikectl: everything that people do with a turnpike but running it. One file a group of
 * commands. */
#ifndef CTL_H
#define CTL_H

#include <jansson.h>

#include "base/base.h"

/* Exit codes, documented in --help. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_FILES = 2,
    CTL_FORBIDDEN = 3,
    CTL_NO_SUCH = 4,
    CTL_PARTLY = 5,
    CTL_AUDIT_FAULT = 10, /* plus enum audit_fault - 1 */
    CTL_USAGE = 64,
};

/* What stands on the command line: words first, options anywhere. */
struct ctl {
    const char *words[8];
    unsigned nwords;
    bool json, all, follow, never, force;
    const char *socket, *directory, *vault, *key_file, *connection, *reason;
    const char *output, *host;
    const char *interval, *count;
    /* audit filters, as written */
    const char *kind, *caller, *function, *decision, *cause, *call, *text, *since, *until, *head;
    const char *as, *name; /* rules: the caller, the call of a file */
    const char *rule, *status, *from_seq, *to_seq, *limit;
};

/* Each returns an exit code; words[0] is the group's name. */
int ctl_status(const struct ctl *c);
int ctl_top(const struct ctl *c);
int ctl_holds(const struct ctl *c);
int ctl_rules(const struct ctl *c);
int ctl_rules_import(const struct ctl *c);
int ctl_audit(const struct ctl *c);
int ctl_rules_reload(const struct ctl *c);
int ctl_rules_rollback(const struct ctl *c, const char *set); /* NULL: the one before */
int ctl_rules_history(const struct ctl *c);
int ctl_rules_hits(const struct ctl *c);
int ctl_rules_test(const struct ctl *c, const char *directory);
int ctl_rules_explain(const struct ctl *c, const char *directory);
int ctl_rules_diff(const struct ctl *c, const char *old, const char *fresh);
int ctl_secret(const struct ctl *c);

/* "2026-11-23T10:00:00Z", or how long ago: "15m". */
bool ctl_time(const char *text, uint64_t *ns);

/* A complaint about the command line: CTL_USAGE. */
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints complaints (to stdout as JSON with --json) and gives the exit code for `ok`. */
int ctl_diags(const struct ctl *c, const struct diags *d, bool ok);

/* Asks the appliance; prints the failure and sets *exit when the answer is not "ok". NULL then.
 * Takes the reference to `request`. */
json_t *ctl_ask(const struct ctl *c, json_t *request, int *exit);
const char *ctl_text(const json_t *o, const char *key); /* "" if missing */
/* Text from elsewhere on a terminal: control bytes are shown as '?'. */
void ctl_print_clean(const char *s);

#endif
