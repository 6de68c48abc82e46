/* turnpike: start-up order, the threads, and the end. */
#include "app.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "base/log.h"

static const char usage[] =
    "usage: turnpike -c FILE [--check] [--json] [--verbose] [-- EAL-ARGUMENTS]\n"
    "\n"
    "The inline egress appliance. Terminates callers' TLS, decides call by call, and\n"
    "speaks to vendors with credentials that callers never see.\n"
    "\n"
    "  -c, --config FILE  turnpike.yaml (required)\n"
    "      --check        read and check every file, start nothing\n"
    "      --json         complaints and log lines as JSON\n"
    "      --verbose      log more\n"
    "      --version      print the version\n"
    "  -h, --help         this text\n"
    "\n"
    "EAL-ARGUMENTS are added to those that the profile gives to DPDK.\n"
    "SIGTERM and SIGINT stop it: new calls are refused, those in progress may end\n"
    "within 10 seconds, the audit store is completed.\n"
    "\n"
    "Exit codes: 0 stopped or checked without complaint; 1 it could not start or\n"
    "run (ports, memory, audit store); 2 a file is wrong, every complaint is printed\n"
    "with file:line:column; 64 wrong arguments.\n";

enum { RING_SLOTS = 1024, STOP_PATIENCE_S = 5 };

struct options {
    const char *config;
    bool check, json, verbose;
    int eal_argc;
    char **eal_argv;
};

/* What main owns, in the order in which it comes to be. */
struct appliance {
    struct options o;
    struct app_config config;
    struct tls_shared *tls;
    struct call_generation *generation; /* the RCU pointer */
    uint64_t set;                       /* of its rules, in the history */
    bool rolled_back;                   /* a rollback before the restart is still in force */
    struct net_ports *ports;
    struct app_windows windows;
    struct audit *audit;
    struct app_worker workers[CALL_WORKERS_MAX];
    struct call_worker *calls[CALL_WORKERS_MAX];
    struct rte_ring *to_control[CALL_WORKERS_MAX], *from_control[CALL_WORKERS_MAX];
    unsigned nworkers;
    struct control *control;
    _Atomic bool control_alive, stop_workers;
    bool eal;
};

static _Atomic bool stop_asked;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop_asked, true);
}

/* ------------------------------------------------------------------------ arguments */

static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"json", no_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'k':
            o->check = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'V':
            puts("turnpike " APP_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs("Try: turnpike --help\n", stderr);
            return APP_USAGE;
        }
    }
    o->eal_argc = argc - optind;
    o->eal_argv = argv + optind;
    if (o->config)
        return -1;
    fputs(usage, stderr);
    return APP_USAGE;
}

static void show(const struct diags *d, bool json)
{
    size_t cap = (size_t)1 << 20;
    char *text;
    struct outbuf o;

    if (!json) {
        diags_print(d, stderr, isatty(STDERR_FILENO));
        return;
    }
    text = malloc(cap);
    if (!text)
        return;
    o = outbuf_on(text, cap);
    diags_json(d, &o);
    fprintf(stdout, "%.*s\n", (int)o.n, o.p);
    free(text);
}

/* --------------------------------------------------------------------------- files */

/* A rollback holds over a restart: the set that it named is loaded, or nothing, for the rules
 * directory holds what somebody rolled back. --check is about the rules directory. */
static struct call_sources first_sources(struct appliance *a, char pinned[PATH_MAX],
                                         struct diags *d)
{
    struct call_sources s = a->config.sources;
    uint64_t set = a->o.check ? 0 : control_history_pinned(a->config.rules_history);

    if (set && control_history_path(a->config.rules_history, set, pinned)) {
        log_warn("app",
                 "the rules were rolled back to set %llu, which is still in force; `turnpikectl "
                 "rules reload` takes the rules directory again",
                 (unsigned long long)set);
        s.rules_beside = s.rules_directory;
        s.rules_directory = pinned;
        a->set = set;
        a->rolled_back = true;
    } else if (set) {
        diag_error(d, place_of_file(a->config.rules_history),
                   "the rules were rolled back to set %llu, which is not there any more; remove "
                   "the file `pinned` in this directory to take the rules directory again",
                   (unsigned long long)set);
    }
    return s;
}

static void keep_in_history(struct appliance *a)
{
    char why[256];

    if (a->set)
        return;
    a->set = control_history_keep(a->config.rules_history, a->generation->rules, "start",
                                  clock_wall_ns(), why);
    if (!a->set)
        log_warn("app", "the history of rules could not be written: %s", why);
}

/* Everything that is read from files is read and checked before anything starts. */
static int load(struct appliance *a)
{
    char pinned[PATH_MAX];
    struct call_sources sources;
    struct diags d;
    bool ok;

    diags_init(&d);
    ok = app_config_load(a->o.config, &a->config, &d);
    if (ok) {
        a->tls = tls_shared_load(&a->config.tls, &d);
        sources = first_sources(a, pinned, &d);
        a->generation = call_generation_load(&sources, 1, clock_wall_ns(), &d);
        ok = a->tls && a->generation && d.errors == 0;
    }
    show(&d, a->o.json);
    diags_free(&d);
    if (ok && a->o.check && !a->o.json)
        printf("%s: %u rules, %u functions, %u connections: no complaint\n", a->o.config,
               rules_count(a->generation->rules), rules_function_count(a->generation->rules),
               rules_connection_count(a->generation->rules));
    return ok ? APP_OK : APP_CONFIG;
}

/* ------------------------------------------------------------------------- start-up */

/* OpenSSL takes and gives back buffers of 16 KiB a record: the heap must not be handed to the
 * system and back each time. */
static void keep_heap(void)
{
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

/* Keys and callers' data are in this process: no core dump, no ptrace by others. */
static void harden(void)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        log_warn("app", "core dumps could not be turned off: %s", strerror(errno));
}

static bool start_eal(struct appliance *a)
{
    char *argv[NET_EAL_ARGS_MAX + 64];
    bool without_huge = false;
    int argc =
        net_eal_args(&a->config.profile, &a->config.net, &a->config.mem, argv, &without_huge);

    if (a->o.eal_argc > 60) {
        log_error("app", "too many EAL arguments");
        return false;
    }
    for (int i = 0; i < a->o.eal_argc; i++)
        argv[argc++] = a->o.eal_argv[i];
    argv[argc] = NULL;
    if (without_huge)
        log_warn("app", "no huge pages are free: running without, which costs throughput; "
                        "drivers-config/host-setup reserves them");
    if (rte_eal_init(argc, argv) < 0) {
        log_error("app", "DPDK did not start: %s", rte_strerror(rte_errno));
        return false;
    }
    a->eal = true;
    return true;
}

static bool start_audit(struct appliance *a)
{
    struct audit_config c = {
        .directory = a->config.audit_directory,
        .appliance = a->config.appliance,
        .ring_bytes = a->config.audit_ring,
        .rings = a->nworkers + 1,
        .segment_bytes = a->config.audit_segment,
    };
    struct diags d;

    diags_init(&d);
    a->audit = audit_start(&c, &d);
    show(&d, a->o.json);
    diags_free(&d);
    return a->audit != NULL;
}

/* The windows first: the store can be read as long as it has no writer. */
static bool start_records(struct appliance *a)
{
    return app_windows_open(&a->windows, &a->config, rules_longest_window(a->generation->rules),
                            &stop_asked) &&
           start_audit(a) && app_windows_keep(&a->windows, &a->config);
}

static struct rte_ring *make_ring(const char *what, unsigned worker)
{
    char name[RTE_RING_NAMESIZE];

    snprintf(name, sizeof(name), "%s-%u", what, worker);
    return rte_ring_create_elem(name, sizeof(struct hold_message), RING_SLOTS, SOCKET_ID_ANY,
                                RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static unsigned share(unsigned all, unsigned workers)
{
    return (all + workers - 1) / workers;
}

/* The limits in turnpike.yaml are those of the whole appliance. */
static struct call_limits worker_share(const struct call_limits *all, unsigned workers)
{
    struct call_limits l = *all;

    l.max_callers = share(all->max_callers, workers);
    l.max_callers_an_address = share(all->max_callers_an_address, workers);
    l.max_handshakes = share(all->max_handshakes, workers);
    l.max_handshakes_an_address = share(all->max_handshakes_an_address, workers);
    l.max_vendors = share(all->max_vendors, workers);
    l.max_idle_a_host = share(all->max_idle_a_host, workers);
    l.memory = all->memory / workers;
    return l;
}

static bool start_worker(struct appliance *a, unsigned i, const uint8_t boot[8])
{
    struct app_worker *w = &a->workers[i];

    a->to_control[i] = make_ring("to-control", i);
    a->from_control[i] = make_ring("from-control", i);
    if (!a->to_control[i] || !a->from_control[i]) {
        log_error("app", "no memory for worker %u's rings", i);
        return false;
    }
    w->index = i;
    w->config = &a->config;
    w->ports = a->ports;
    w->stop = &a->stop_workers;
    w->peers = a->workers;
    w->npeers = a->nworkers;
    w->call_config = (struct call_config){
        .worker = i,
        .limits = worker_share(&a->config.limits, a->nworkers),
        .generation = &a->generation,
        .tls = a->tls,
        .audit = audit_ring_of(a->audit, i),
        .relaxed = a->config.audit_relaxed,
        .to_control = a->to_control[i],
        .from_control = a->from_control[i],
        .control_alive = &a->control_alive,
        .windows = a->windows.table,
    };
    memcpy(w->call_config.boot, boot, 8);
    if (!app_worker_init(w))
        return false;
    a->calls[i] = w->call;
    return true;
}

static bool start_workers(struct appliance *a)
{
    uint8_t boot[8];

    if (getrandom(boot, sizeof(boot), 0) != sizeof(boot))
        return false;
    for (unsigned i = 0; i < a->nworkers; i++)
        if (!start_worker(a, i, boot))
            return false;
    return true;
}

static bool start_control(struct appliance *a)
{
    struct control_config c = {
        .socket = a->config.control_socket,
        .workers = a->nworkers,
        .worker = a->calls,
        .from_worker = a->to_control,
        .to_worker = a->from_control,
        .generation = &a->generation,
        .sources = a->config.sources,
        .history = a->config.rules_history,
        .set = a->set,
        .rolled_back = a->rolled_back,
        .audit = a->audit,
        .ring = audit_ring_of(a->audit, a->nworkers),
        .alive = &a->control_alive,
        .windows = a->windows.table,
        .version = APP_VERSION,
        .tsc_hz = rte_get_tsc_hz(),
    };
    struct diags d;

    diags_init(&d);
    a->control = control_new(&c, &d);
    show(&d, a->o.json);
    diags_free(&d);
    return a->control != NULL;
}

static void record(struct appliance *a, enum audit_kind kind, const char *detail)
{
    struct audit_event e;

    if (!audit_begin(&e, audit_ring_of(a->audit, a->nworkers), kind, 1024, clock_wall_ns()))
        return;
    audit_text(&e, AUDIT_F_VERSION, SPAN_LIT(APP_VERSION));
    audit_number(&e, AUDIT_F_GENERATION, a->generation->number);
    audit_bytes(&e, AUDIT_F_RULES_HASH, rules_hash(a->generation->rules), RULES_HASH);
    audit_text(&e, AUDIT_F_DETAIL, span_cstr(detail));
    audit_end(&e);
}

static bool start(struct appliance *a)
{
    a->nworkers = a->config.profile.workers;
    harden();
    if (!start_eal(a))
        return false;
    a->ports = net_ports_open(&a->config.profile, &a->config.net);
    keep_in_history(a);
    if (!a->ports || !start_records(a) || !start_workers(a) || !start_control(a))
        return false;
    app_telemetry_start(a->calls, a->nworkers, a->audit);
    return true;
}

/* -------------------------------------------------------------------------- the run */

static void run(struct appliance *a)
{
    unsigned lcore, i = 0;

    record(a, AUDIT_START, a->config.profile.name);
    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        if (i < a->nworkers)
            rte_eal_remote_launch(app_worker_main, &a->workers[i++], lcore);
    }
    log_info("app", "turnpike %s serves: %s and %s by %s, %u worker(s), control on %s", APP_VERSION,
             a->config.net.side[NET_INSIDE].port, a->config.net.side[NET_OUTSIDE].port,
             a->config.profile.driver, a->nworkers, a->config.control_socket);
    control_run(a->control, &stop_asked);
    log_info("app", "stopping: calls in progress may end");
    atomic_store(&a->stop_workers, true);
    rte_eal_mp_wait_lcore();
    record(a, AUDIT_STOP, "asked to stop");
}

static void stop(struct appliance *a)
{
    app_telemetry_end();
    /* Calls that did not end in time end here, under the sets of rules that control still keeps. */
    for (unsigned i = 0; i < a->nworkers; i++)
        app_worker_free(&a->workers[i]);
    if (a->control)
        control_free(a->control);
    if (a->audit)
        audit_stop(a->audit, STOP_PATIENCE_S * NS_IN_S);
    app_windows_close(&a->windows);
    if (a->ports)
        net_ports_close(a->ports);
    call_generation_free(a->generation);
    tls_shared_free(a->tls);
    if (a->eal)
        rte_eal_cleanup();
    app_config_free(&a->config);
}

int main(int argc, char **argv)
{
    static struct appliance a;
    struct sigaction on_stop = {.sa_handler = on_signal};
    int code = parse_options(argc, argv, &a.o);

    if (code >= 0)
        return code;
    keep_heap();
    log_setup(a.o.verbose ? LOG_DEBUG : LOG_INFO, a.o.json);
    code = load(&a);
    if (code == APP_OK && !a.o.check) {
        sigaction(SIGTERM, &on_stop, NULL);
        sigaction(SIGINT, &on_stop, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        code = APP_FAILED;
        if (start(&a)) {
            run(&a);
            code = APP_OK;
        }
    }
    stop(&a);
    if (code == APP_OK && !a.o.check)
        log_info("app", "stopped");
    return code;
}
