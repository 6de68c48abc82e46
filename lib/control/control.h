/* The control plane: one thread on the kernel's own stack that owns held calls, reloads, and the
 * management socket. It never touches a worker's memory: it reads counters and exchanges ring
 * messages.
 *
 * The management protocol: a Unix stream socket, one JSON object a line each way; see PROTOCOL.md
 * beside this file. Who asks is known by the socket's peer credentials. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <limits.h>

#include "call/call.h"

struct control_config {
    const char *socket; /* path; made 0660, root's group "turnpike" if there is one */
    unsigned workers;
    struct call_worker *const *worker;
    struct rte_ring *const *from_worker, *const *to_worker; /* by worker */
    struct call_generation **generation;                    /* the RCU pointer */
    struct call_sources sources;
    const char *history; /* directory of the sets that have run */
    uint64_t set;        /* number there of the set that runs; 0: it could not be kept */
    bool rolled_back;    /* it was put in force by a rollback */
    struct audit *audit;
    struct audit_ring *ring; /* control's own */
    _Atomic bool *alive;     /* set while the thread serves */
    struct window_table *windows;
    const char *version;
    uint64_t tsc_hz; /* of the cycles that workers count */
};

struct control;

/* Binds the socket (refuses if another process answers on it, replaces a stale one). NULL after a
 * complaint. */
struct control *control_new(const struct control_config *c, struct diags *d);
/* Serves until *stop becomes true. Also registers itself with RCU. */
void control_run(struct control *c, const _Atomic bool *stop);
void control_free(struct control *c);

/* ---- the sets that have run, for the start and for rollback; any one thread at a time ---- */

#define CONTROL_HISTORY_KEPT 100 /* sets; older ones are removed */

/* Keeps the files of a set, unless they are those of the newest one kept. Its number, from 1 on; 0
 * and `why` when it could not be written. */
uint64_t control_history_keep(const char *directory, const struct rules_set *s, const char *who,
                              uint64_t now_ns, char why[256]);
/* The set that a rollback put in force, also after a restart, until the next reload; 0: none. */
uint64_t control_history_pinned(const char *directory);
bool control_history_pin(const char *directory, uint64_t number, char why[256]); /* 0: none */
/* Where a set stands. False if it is not there. */
bool control_history_path(const char *directory, uint64_t number, char out[PATH_MAX]);

/* ---- the other end of the socket, for turnpikectl ---- */

/* Sends one request (a JSON object) and returns the answer object, malloc'd text without newline;
 * NULL and `why` filled if the appliance does not answer. */
char *control_ask(const char *socket, const char *request, char why[256]);

#endif
