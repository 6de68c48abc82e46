/* The counters on DPDK's telemetry socket, beside DPDK's own: for whoever collects from it already.
 * Its threads read counters and nothing else. */
#include "app.h"

#include <errno.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_telemetry.h>
#include <stdlib.h>

#include "base/log.h"

/* Commands cannot be taken back, and the socket lives as long as the EAL. Off the road: the lock is
 * for the end, after which there are no workers to look at. */
static struct {
    pthread_mutex_t lock;
    struct call_worker *const *worker; /* NULL: none */
    unsigned nworkers;
    const struct audit *audit;
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef int (*fill_fn)(const char *params, struct rte_tel_data *d);

static int filled(fill_fn fill, const char *params, struct rte_tel_data *d)
{
    int code = -ENOENT;

    pthread_mutex_lock(&shown.lock);
    if (shown.worker)
        code = fill(params, d);
    pthread_mutex_unlock(&shown.lock);
    return code;
}

/* "N" or "N,rest": the counters of worker N, and the rest. False: there is no such worker. */
static bool worker_of(const char *params, struct call_stats *s, struct span *rest)
{
    struct span number;
    uint64_t n;

    *rest = span_cstr(params ? params : "");
    number = span_trim(span_cut(rest, ','));
    if (!span_u64(number, &n) || n >= shown.nworkers)
        return false;
    call_stats_of(shown.worker[n], s);
    return true;
}

/* ------------------------------------------------------------------------ workers */

static int fill_workers(const char *params, struct rte_tel_data *d)
{
    (void)params;
    rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
    for (unsigned i = 0; i < shown.nworkers; i++)
        rte_tel_data_add_array_int(d, (int)i);
    return 0;
}

static int on_workers(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    return filled(fill_workers, params, d);
}

/* ------------------------------------------------------------------------- stages */

static int fill_stages(const char *params, struct rte_tel_data *d)
{
    uint64_t busy, cycles[STAGES];
    struct call_stats s;
    struct span rest;

    if (!worker_of(params, &s, &rest) || rest.n)
        return -EINVAL;
    busy = counter_get(&s.call->cycles_busy);
    stages_share(s.stages, busy, cycles);
    rte_tel_data_start_dict(d);
    for (unsigned i = 0; i < STAGES; i++)
        rte_tel_data_add_dict_u64(d, stage_name(i), cycles[i]);
    rte_tel_data_add_dict_u64(d, "cycles_busy", busy);
    rte_tel_data_add_dict_u64(d, "tsc_hz", rte_get_tsc_hz());
    return 0;
}

static int on_stages(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    return filled(fill_stages, params, d);
}

/* ----------------------------------------------------------------------- counters */

#define X(name) rte_tel_data_add_dict_u64(d, #name, counter_get(&c->name));

static void add_net(const struct call_stats *s, struct rte_tel_data *d)
{
    const struct net_counters *c = s->net;

    NET_COUNTERS(X)
}

static void add_tcp(const struct call_stats *s, struct rte_tel_data *d)
{
    const struct tcp_counters *c = s->tcp;

    TCP_COUNTERS(X)
}

static void add_tls(const struct call_stats *s, struct rte_tel_data *d)
{
    const struct tls_counters *c = s->tls;

    TLS_COUNTERS(X)
    for (unsigned i = 1; i < TLS_ERR_COUNT; i++)
        rte_tel_data_add_dict_u64(d, tls_error_name(i), counter_get(&c->errors[i]));
}

static void add_identity(const struct call_stats *s, struct rte_tel_data *d)
{
    const struct identity_counters *c = s->identity;

    IDENTITY_COUNTERS(X)
    for (unsigned i = 1; i < IDENTITY_CAUSE_COUNT; i++)
        rte_tel_data_add_dict_u64(d, identity_cause_name(i), counter_get(&c->refused[i]));
}

static void add_call(const struct call_stats *s, struct rte_tel_data *d)
{
    const struct call_counters *c = s->call;

    CALL_COUNTERS(X)
    rte_tel_data_add_dict_u64(d, "callers", s->callers);
    rte_tel_data_add_dict_u64(d, "vendors", s->vendors);
}

static void add_causes(const struct call_stats *s, struct rte_tel_data *d)
{
    for (unsigned i = 1; i < CALL_CAUSE_COUNT; i++)
        rte_tel_data_add_dict_u64(d, call_cause_name(i), counter_get(&s->call->causes[i]));
}

static int fill_counters(const char *params, struct rte_tel_data *d)
{
    static const struct {
        const char *name;
        void (*add)(const struct call_stats *, struct rte_tel_data *);
    } groups[] = {{"net", add_net},           {"tcp", add_tcp},   {"tls", add_tls},
                  {"identity", add_identity}, {"call", add_call}, {"causes", add_causes}};
    struct call_stats s;
    struct span group;

    if (!worker_of(params, &s, &group))
        return -EINVAL;
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        if (span_eq(group, span_cstr(groups[i].name))) {
            rte_tel_data_start_dict(d);
            groups[i].add(&s, d);
            return 0;
        }
    return -EINVAL;
}

static int on_counters(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    return filled(fill_counters, params, d);
}

/* -------------------------------------------------------------------------- audit */

static int fill_audit(const char *params, struct rte_tel_data *d)
{
    const struct audit_counters *c = audit_counters(shown.audit);

    (void)params;
    rte_tel_data_start_dict(d);
    AUDIT_COUNTERS(X)
    rte_tel_data_add_dict_u64(d, "last_seq", audit_last_seq(shown.audit));
    return 0;
}
#undef X

static int on_audit(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    return filled(fill_audit, params, d);
}

/* ------------------------------------------------------------------ start and end */

void app_telemetry_start(struct call_worker *const *worker, unsigned n, const struct audit *audit)
{
    static const struct {
        const char *name, *help;
        telemetry_cb fill;
    } commands[] = {
        {"/turnpike/workers", "The workers' numbers. Takes no parameters", on_workers},
        {"/turnpike/stages", "Busy cycles by stage. Parameters: worker", on_stages},
        {"/turnpike/counters",
         "Counters of a group: net, tcp, tls, identity, call, causes. Parameters: worker,group",
         on_counters},
        {"/turnpike/audit", "The audit writer's counters. Takes no parameters", on_audit},
    };

    pthread_mutex_lock(&shown.lock);
    shown.worker = worker;
    shown.nworkers = n;
    shown.audit = audit;
    pthread_mutex_unlock(&shown.lock);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (rte_telemetry_register_cmd(commands[i].name, commands[i].fill, commands[i].help) != 0)
            log_warn("app", "DPDK's telemetry does not take the command %s", commands[i].name);
}

void app_telemetry_end(void)
{
    pthread_mutex_lock(&shown.lock);
    shown.worker = NULL;
    pthread_mutex_unlock(&shown.lock);
}
