/* The insides of lib/control: the loop (control.c), the socket (socket.c), what is asked (ask_*.c),
 * reload (reload.c), keys of windows (sweep.c), sets that have run (history.c), what rules did
 * (hits.c), the client's end (client.c). All of it runs on the control thread but the compiler
 * thread in reload.c. */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include <jansson.h>
#include <pthread.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "control/control.h"
#include "hold/hold.h"

enum {
    CLIENTS_MAX = 32,
    REQUEST_MAX = 64 << 10,     /* bytes of one request line */
    CLIENT_IDLE_MS = 60 * 1000, /* a client that neither asks nor reads is dropped */
    GROUPS_MAX = 64,
};

/* Who is at the other end, from the kernel. */
struct peer {
    uid_t uid;
    char name[64];
    char group_names[GROUPS_MAX][64];
    struct span groups[GROUPS_MAX];
    unsigned ngroups;
};

struct client {
    int fd; /* -1: free slot */
    struct peer peer;
    char *in; /* REQUEST_MAX */
    size_t in_len;
    char *out; /* malloc'd, what is still to be written */
    size_t out_len, out_at;
    bool waits_reload;
    bool eof;         /* it asks nothing more, and leaves when it has its answers */
    uint64_t seen_ns; /* of the last progress */
};

/* An older generation that workers may still use. */
struct retired {
    struct call_generation *g;
    STAILQ_ENTRY(retired) next;
};

enum reload_state { RELOAD_IDLE, RELOAD_COMPILING, RELOAD_SPREADING };

struct reload {
    enum reload_state state;
    pthread_t thread;
    struct call_sources sources;
    const char *history;
    char from[PATH_MAX]; /* of a rollback: the earlier set's directory */
    uint64_t set;        /* number in the history: of a rollback's set, or of what was kept */
    char unkept[256];    /* why it was not kept */
    uint64_t number;
    _Atomic bool done;
    struct call_generation *made; /* NULL: refused */
    struct diags diags;
    uint64_t since_ns;
    bool again; /* asked for while one was under way */
    char who[64];
};

/* What a rule did under sets that are gone. */
struct kept_hits {
    uint64_t id, rev, matched, decided, unknown, last_ns;
};

struct control {
    struct control_config c;
    int listener;
    dev_t socket_dev;
    ino_t socket_ino;
    struct client clients[CLIENTS_MAX];
    struct hold_table *holds;
    struct reload reload;
    STAILQ_HEAD(, retired) retired;
    struct kept_hits *kept; /* by id */
    size_t nkept;
    uint64_t set;     /* number in the history of the set that runs */
    bool rolled_back; /* it is not that of the rules directory */
    uint64_t started_ns;
    uint64_t swept_ns;   /* when the last sweep of the windows began */
    unsigned sweep_left; /* places it has not looked at yet */
};

/* socket.c */
bool socket_open(struct control *c, struct diags *d);
void socket_close(struct control *c);
/* One poll of at most `timeout_ms`; serves what is ready. */
void socket_serve(struct control *c, int timeout_ms);
/* Queues an answer and forgets it: takes the reference. */
void client_answer(struct client *k, json_t *answer);

/* ask.c: the answer to one request, NULL if it comes later. */
json_t *ask(struct control *c, struct client *k, const json_t *request);
json_t *ask_failed(int exit_code, const char *error);
json_t *ask_status(struct control *c);                                   /* ask_status.c */
json_t *ask_holds(struct control *c, struct client *k, const char *what, /* ask_holds.c */
                  const json_t *request);

/* history.c */
json_t *history_json(const char *directory, uint64_t running);
/* The newest set kept before that one; 0: there is none. */
uint64_t history_before(const char *directory, uint64_t number);

/* hits.c */
json_t *ask_hits(struct control *c);
/* Adds what the rules of a set that goes have done to what is kept. */
void hits_keep(struct control *c, const struct call_generation *old);

/* sweep.c */
void sweep_tick(struct control *c, uint64_t now_ns);

/* reload.c */
bool reload_start(struct control *c, const char *who);
/* The set of that number in the history, or why not: NULL when it is under way. */
const char *reload_rollback(struct control *c, uint64_t set, const char *who);
void reload_tick(struct control *c, uint64_t now_ns);
void reload_free(struct control *c);

#endif
