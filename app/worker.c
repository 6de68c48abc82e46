/* A worker's loop: poll, time, verdicts and records, events, output; nothing else happens on its
 * core. */
#include "app.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "base/log.h"

enum {
    /* With little to do, whoever waits for it feels every microsecond, so the worker looks for what
     * comes next for a while before it naps. With much to do, what comes meanwhile is taken up
     * together, which costs a part of what it costs one by one. */
    SHARE_EVERY_US = 1000,
    SHARE_MUCH = 25, /* percent of that time */
    SPIN_US = 100,
    NAP_MUCH_US = 250,
    NAP_LEAST_US = 20,     /* about what a nanosleep costs anyway */
    TIMER_SLACK_NS = 1000, /* the kernel's 50 us would make the shortest nap 70 us */
    NAP_MOST_US = 500,     /* bounds the delay of a first packet after silence */
    WALL_EVERY_US = 250,   /* the wall clock is read this often */
    DRAIN_US = 10 * 1000 * 1000,
    ANNOUNCEMENTS = 3, /* RFC 5227 2.3 has 2, 2 s apart; hosts ignore one that follows too soon */
    ANNOUNCE_EVERY_US = 1500 * 1000,
};

/* Time without a system call: the TSC scaled to microseconds, as 32.32 fixed point. */
struct worker_clock {
    uint64_t tsc0, us0, scale;
    uint64_t wall_ns, wall_at_us;
};

static void clock_start(struct worker_clock *k)
{
    k->scale = (uint64_t)(((unsigned __int128)US_IN_S << 32) / rte_get_tsc_hz());
    k->tsc0 = rte_rdtsc();
    k->us0 = clock_mono_ns() / 1000;
    k->wall_ns = clock_wall_ns();
    k->wall_at_us = k->us0;
}

static uint64_t clock_us_of(const struct worker_clock *k, uint64_t cycles)
{
    return (uint64_t)(((unsigned __int128)cycles * k->scale) >> 32);
}

static uint64_t clock_now(const struct worker_clock *k)
{
    return k->us0 + clock_us_of(k, rte_rdtsc() - k->tsc0);
}

/* clock_gettime is a vDSO call, but still dearer than this. */
static uint64_t clock_wall(struct worker_clock *k, uint64_t now_us)
{
    if (now_us - k->wall_at_us >= WALL_EVERY_US) {
        k->wall_ns = clock_wall_ns();
        k->wall_at_us = now_us;
    }
    return k->wall_ns + (now_us - k->wall_at_us) * 1000;
}

/* ------------------------------------------------------------------------ set-up */

static void on_segment(void *ctx, const struct net_segment *s)
{
    struct app_worker *w = ctx;

    STAGE_SCOPE(w->stages, STAGE_TCP);
    tcp_input(w->tcp, s, w->now_us);
}

static void on_unreachable(void *ctx, const struct net_unreachable *u)
{
    struct app_worker *w = ctx;

    STAGE_SCOPE(w->stages, STAGE_TCP);
    tcp_unreachable(w->tcp, u, w->now_us);
}

static void lower_send(void *ctx, enum net_side side, const struct net_addr *src,
                       const struct net_addr *dst, struct rte_mbuf *m)
{
    struct app_worker *w = ctx;

    STAGE_SCOPE(w->stages, STAGE_OUTPUT);
    net_send_tcp(w->net, side, src, dst, m);
}

static bool lower_reaches(void *ctx, enum net_side side, const struct net_addr *local,
                          const struct net_addr *remote, uint16_t lport, uint16_t rport)
{
    struct app_worker *w = ctx;

    return net_reaches(w->net, side, local, remote, lport, rport);
}

static bool make_tcp(struct app_worker *w, uint64_t now_us)
{
    const struct call_limits *l = &w->call_config.limits;
    struct tcp_owner owner = call_tcp_owner(w->call);
    struct tcp_lower lower = {.ctx = w,
                              .send = lower_send,
                              .reaches = lower_reaches,
                              .pool = net_ports_pool(w->ports, w->index)};
    struct tcp_config c;

    tcp_config_defaults(&c);
    /* Beside those that calls know: handshakes of TCP, and connections that end alone. */
    c.max_conns = l->max_callers + l->max_vendors + c.max_half_open + l->max_callers / 8;
    if (c.max_half_open > c.max_conns / 4) { /* a flood leaves most of a small table to others */
        c.max_half_open = c.max_conns / 4;
        c.syn_cookie_mark = c.max_half_open / 2;
    }
    if (getrandom(c.secret, sizeof(c.secret), 0) != sizeof(c.secret))
        return false;
    for (int side = 0; side < NET_SIDES; side++) {
        lower.mtu[side] = net_mtu(w->net, side);
        lower.linear |= !net_takes_chains(w->net, side);
    }
    w->tcp = tcp_new(&c, &lower, &owner, now_us);
    if (!w->tcp)
        return false;
    for (unsigned i = 0; i < w->config->net.nintercept; i++)
        if (!tcp_listen(w->tcp, NET_INSIDE, w->config->net.intercept[i]))
            return false;
    call_attach(w->call, w->tcp, w->net);
    return true;
}

bool app_worker_init(struct app_worker *w)
{
    static const struct net_upcalls up = {.segment = on_segment, .unreachable = on_unreachable};
    uint64_t now_us = clock_mono_ns() / 1000;

    w->net = net_new(w->ports, w->index, &w->config->net, &up, w, now_us);
    w->call = call_worker_new(&w->call_config, now_us);
    if (w->call)
        w->stages = call_stages(w->call);
    if (w->net && w->call && make_tcp(w, now_us))
        return true;
    log_error("worker", "worker %u: out of memory; lower limits.memory or mbufs", w->index);
    return false;
}

void app_worker_free(struct app_worker *w)
{
    call_worker_delete(w->call);
    if (w->tcp)
        tcp_delete(w->tcp);
    if (w->net)
        net_delete(w->net);
}

/* ------------------------------------------------------------------------- the loop */

static void announce(struct app_worker *w, uint64_t now_us)
{
    if (w->index != 0 || w->announced == ANNOUNCEMENTS || now_us < w->announce_at)
        return;
    w->announced++;
    w->announce_at = now_us + ANNOUNCE_EVERY_US;
    net_announce(w->net);
}

static unsigned one_loop(struct app_worker *w, struct worker_clock *k)
{
    uint64_t now_us = w->now_us = clock_now(k);
    unsigned work = net_poll(w->net, now_us);

    net_tick(w->net, now_us);
    announce(w, now_us);
    stage_enter(w->stages, STAGE_TCP);
    tcp_advance(w->tcp, now_us);
    stage_enter(w->stages, STAGE_CALL);
    work += call_poll(w->call, now_us, clock_wall(k, now_us));
    stage_enter(w->stages, STAGE_TCP);
    work += tcp_dispatch(w->tcp, now_us);
    audit_nudge(w->call_config.audit); /* the disk takes longest, so it begins first */
    work += tcp_output(w->tcp, now_us);
    stage_enter(w->stages, STAGE_OUTPUT);
    net_flush(w->net);
    return work;
}

/* The longer nothing has happened, or the oldest of the calls that wait for the disk has waited,
 * the longer. */
static uint64_t nap_most(const struct app_worker *w, uint64_t now_us)
{
    uint64_t idle = now_us - w->busy_us, waits = call_waits_us(w->call, now_us);
    uint64_t us = (waits && waits < idle ? waits : idle) / 8;

    if (w->much)
        return NAP_MUCH_US;
    return us < NAP_LEAST_US ? NAP_LEAST_US : us < NAP_MOST_US ? us : NAP_MOST_US;
}

/* Sleeps as long as nothing is due; offline to RCU, so that a reload never waits for it. */
static void nap(struct app_worker *w, const struct worker_clock *k)
{
    uint64_t now_us = clock_now(k), us = nap_most(w, now_us);
    uint64_t due = call_next(w->call, now_us), timer = tcp_next_timer(w->tcp);
    struct timespec t = {0};

    if (timer < due)
        due = timer;
    if (due <= now_us + NAP_LEAST_US)
        us = NAP_LEAST_US;
    else if (due - now_us < us)
        us = due - now_us;
    t.tv_nsec = (long)us * 1000;
    urcu_qsbr_thread_offline();
    nanosleep(&t, NULL);
    urcu_qsbr_thread_online();
}

/* True if the loop did something: its cycles count. */
static bool measured_loop(struct app_worker *w, struct worker_clock *k)
{
    struct call_counters *c = call_counters(w->call);
    uint64_t from = rte_rdtsc(), to;
    bool worked;

    stages_begin(w->stages, from);
    urcu_qsbr_quiescent_state();
    worked = one_loop(w, k) != 0;
    to = rte_rdtsc();
    stages_end(w->stages, to, worked);
    if (worked) {
        counter_add(&c->cycles_busy, to - from);
        counter_inc(&c->loops_busy);
    }
    return worked;
}

static bool all_drained(const struct app_worker *w)
{
    for (unsigned i = 0; i < w->npeers; i++)
        if (!atomic_load_explicit(&w->peers[i].drained, memory_order_relaxed))
            return false;
    return true;
}

/* True while the worker must go on: not told to stop, or calls are still in progress. Calls of any
 * worker: segments of another one's connections may come in by this one's queue. */
static bool keep_on(struct app_worker *w, const struct worker_clock *k, uint64_t *stop_at)
{
    if (!atomic_load_explicit(w->stop, memory_order_relaxed))
        return true;
    if (*stop_at == 0)
        *stop_at = clock_now(k) + DRAIN_US;
    atomic_store_explicit(&w->drained, call_drain(w->call), memory_order_relaxed);
    return !all_drained(w) && clock_now(k) < *stop_at;
}

/* How much of the last millisecond or more went into loops that had something to do. */
static void look_at_share(struct app_worker *w, const struct worker_clock *k)
{
    uint64_t busy = counter_get(&call_counters(w->call)->cycles_busy);

    if (w->now_us - w->looked_us < SHARE_EVERY_US)
        return;
    w->much =
        clock_us_of(k, busy - w->looked_busy) * 100 >= SHARE_MUCH * (w->now_us - w->looked_us);
    w->looked_busy = busy;
    w->looked_us = w->now_us;
}

/* After a loop that found nothing to do. */
static bool may_nap(const struct app_worker *w)
{
    return w->much || w->now_us - w->busy_us >= SPIN_US;
}

int app_worker_main(void *arg)
{
    struct app_worker *w = arg;
    bool adaptive = w->config->profile.idle == NET_IDLE_ADAPTIVE;
    uint64_t stop_at = 0;
    struct worker_clock k;

    clock_start(&k);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    urcu_qsbr_register_thread();
    while (keep_on(w, &k, &stop_at)) {
        bool worked = measured_loop(w, &k);

        look_at_share(w, &k);
        if (worked)
            w->busy_us = w->now_us;
        else if (adaptive && may_nap(w))
            nap(w, &k);
    }
    for (int i = 0; i < 8; i++) /* last FINs and alerts */
        one_loop(w, &k);
    urcu_qsbr_unregister_thread();
    return 0;
}
