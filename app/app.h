/* The appliance's own parts: configuration, workers, start and stop. Not a library: main.c puts
 * them together. */
#ifndef APP_APP_H
#define APP_APP_H

#include "base/base.h"
#include "call/call.h"
#include "control/control.h"
#include "net/net.h"

#define APP_VERSION "0.1.0"

/* Exit codes of turnpike, documented in --help. */
enum app_exit {
    APP_OK = 0,
    APP_FAILED = 1, /* something outside the files: a port, memory, the audit store */
    APP_CONFIG = 2, /* a file is wrong: every complaint has been printed */
    APP_USAGE = 64,
};

/* turnpike.yaml. Strings are owned by `mem`; relative paths are relative to the file's directory.
 */
struct app_config {
    struct arena mem;
    struct yaml_doc *doc;
    struct net_profile profile;
    struct net_config net;
    struct tls_shared_config tls;
    struct call_sources sources;
    struct call_limits limits;
    const char *audit_directory;
    uint64_t audit_segment, audit_ring;
    unsigned window_keys;
    bool audit_relaxed; /* for connections that do not say */
    const char *control_socket;
    const char *rules_history; /* directory of the sets of rules that have run */
    const char *appliance;     /* name in records */
};

/* False after complaints in `d`; everything is checked before anything starts. */
bool app_config_load(const char *path, struct app_config *c, struct diags *d);
void app_config_free(struct app_config *c);

/* The windows of rules: their table, and the secret that it hashes keys with. */
struct app_windows {
    struct window_table *table;
    uint8_t secret[WINDOW_SECRET];
    bool fresh; /* the secret is not in its file yet */
};

/* Makes the table and counts into it what the audit store says of the last `longest_ns`; before the
 * store has a writer. What cannot be read back makes windows unknown until their length has passed.
 * `stop` ends a long reading. False after complaints. */
bool app_windows_open(struct app_windows *w, const struct app_config *c, uint64_t longest_ns,
                      const _Atomic bool *stop);
/* Keeps the secret, now that the store's directory is there. False after complaints. */
bool app_windows_keep(struct app_windows *w, const struct app_config *c);
void app_windows_close(struct app_windows *w);

/* One worker: its lcore runs app_worker_main until `stop`. */
struct app_worker {
    unsigned index;
    const struct app_config *config;
    struct net_ports *ports;
    struct call_config call_config;
    struct net *net;
    struct tcp *tcp;
    struct call_worker *call;
    struct stages *stages; /* of `call` */
    const _Atomic bool *stop;
    uint64_t announce_at;
    unsigned announced; /* how often our addresses have been announced */
    uint64_t now_us;    /* of this loop */
    uint64_t busy_us;   /* of the last one that had something to do */
    uint64_t looked_us; /* when its share of busy time was looked at, and cycles until then */
    uint64_t looked_busy;
    bool much;                /* it had so much to do that what comes is taken up together */
    struct app_worker *peers; /* all workers, this one too */
    unsigned npeers;
    _Atomic bool drained __attribute__((aligned(64))); /* no call in progress; read by the peers */
};

/* Makes everything that the worker owns; on the main lcore, before it starts. */
bool app_worker_init(struct app_worker *w);
int app_worker_main(void *arg); /* an lcore function */
void app_worker_free(struct app_worker *w);

/* The counters of `n` workers and of the audit store on DPDK's telemetry socket, from now until
 * app_telemetry_end, after which none of them is looked at. */
void app_telemetry_start(struct call_worker *const *worker, unsigned n, const struct audit *audit);
void app_telemetry_end(void);

#endif
