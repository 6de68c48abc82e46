#include "road.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

/* A pause longer than this between loops was not the generator's: another thread had the core. */
#define OTHERS_US  20
#define IDLE_SPINS 8 /* loops without work before a sleep */

/* ---------------------------------------------------------------- DPDK, ports */

static bool start_eal(const struct road_options *o)
{
    char core[32], memory[16], vendor[320], callers[320];
    char *argv[] = {"generator", "--in-memory",    "--file-prefix=road",
                    "--no-pci",  "--iova-mode=va", "--log-level=*:warning",
                    "-m",        memory,           core,
                    vendor,      callers,          NULL};

    snprintf(core, sizeof(core), "--lcores=0@%u", o->core);
    snprintf(memory, sizeof(memory), "%u", o->memory_mib);
    /* Ids are those of the box's ports: 0 inside, 1 outside. The addresses stay the same from run
     * to run, as the box remembers its neighbours. */
    snprintf(
        vendor, sizeof(vendor),
        "--vdev=net_memif%d,role=client,id=1,mac=02:00:00:00:00:01,socket-abstract=no,socket=%s",
        NET_INSIDE, o->outside);
    snprintf(
        callers, sizeof(callers),
        "--vdev=net_memif%d,role=client,id=0,mac=02:00:00:00:00:02,socket-abstract=no,socket=%s",
        NET_OUTSIDE, o->inside);
    if (rte_eal_init(11, argv) >= 0)
        return true;
    fprintf(stderr, "generator: DPDK did not start: %s; are there %u MiB of free hugepages?\n",
            rte_strerror(rte_errno), o->memory_mib);
    return false;
}

static void configure_net(struct net_config *c)
{
    struct net_side_config *vendor = &c->side[NET_INSIDE], *callers = &c->side[NET_OUTSIDE];
    char text[32];

    snprintf(vendor->port, sizeof(vendor->port), "vendor");
    snprintf(callers->port, sizeof(callers->port), "callers");
    net_prefix_parse(SPAN_LIT("10.20.0.254/24"), &vendor->addrs[vendor->naddrs++]);
    for (unsigned i = 0; i < ROAD_SOURCES; i++) {
        snprintf(text, sizeof(text), "10.10.0.%u/24", 2 + i);
        net_prefix_parse(span_cstr(text), &callers->addrs[callers->naddrs++]);
    }
    net_addr_parse(SPAN_LIT("10.10.0.1"), &callers->gateway[NET_IP4]);
    callers->has_gateway[NET_IP4] = true;
    c->intercept[c->nintercept++] = 443;
}

static bool open_ports(struct road *r)
{
    struct net_profile p = {.name = "road",
                            .driver = "memif",
                            .workers = r->o->queues,
                            .queues = r->o->queues,
                            .rx_ring = 1024,
                            .tx_ring = 1024,
                            .mtu = 1500,
                            .mbufs = r->o->mbufs};

    configure_net(&r->net_config);
    r->ports = net_ports_open(&p, &r->net_config);
    return r->ports != NULL;
}

bool road_linked(void)
{
    struct rte_eth_link link;

    for (uint16_t id = 0; id < NET_SIDES; id++)
        if (rte_eth_link_get_nowait(id, &link) != 0 || link.link_status != RTE_ETH_LINK_UP)
            return false;
    return true;
}

/* ------------------------------------------------------------------- net, tcp */

static void on_segment(void *ctx, const struct net_segment *s)
{
    struct road *r = ctx;

    tcp_input(r->tcp, s, r->now_us);
}

static void on_unreachable(void *ctx, const struct net_unreachable *u)
{
    struct road *r = ctx;

    tcp_unreachable(r->tcp, u, r->now_us);
}

/* Of several queues the one that the box's worker for this connection polls: the hash and the table
 * of both ends are the same, so this does what a card with RSS does for the box. */
static struct net *queue_of(struct road *r, enum net_side side, const struct net_addr *src,
                            const struct net_addr *dst, const struct rte_mbuf *m)
{
    const struct rte_tcp_hdr *h = rte_pktmbuf_mtod(m, const struct rte_tcp_hdr *);
    uint16_t sport = rte_be_to_cpu_16(h->src_port), dport = rte_be_to_cpu_16(h->dst_port);

    if (r->o->queues > 1 && !net_reaches(r->net[0], side, dst, src, dport, sport))
        return r->net[1];
    return r->net[0];
}

static void lower_send(void *ctx, enum net_side side, const struct net_addr *src,
                       const struct net_addr *dst, struct rte_mbuf *m)
{
    net_send_tcp(queue_of(ctx, side, src, dst, m), side, src, dst, m);
}

static bool on_accept(void *ctx, struct tcp_conn *c)
{
    return vendor_accept(ctx, c);
}

static void on_event(void *ctx, struct tcp_conn *t, void *user, unsigned events)
{
    struct road_conn *c = user;

    (void)t;
    if (c->vendor)
        vendor_event(ctx, c, events);
    else
        caller_event(ctx, c, events);
}

static bool make_tcp(struct road *r)
{
    const struct tcp_owner owner = {.ctx = r, .accept = on_accept, .event = on_event};
    struct tcp_lower lower = {.ctx = r, .send = lower_send, .pool = net_ports_pool(r->ports, 0)};
    struct tcp_config c;

    tcp_config_defaults(&c);
    c.max_conns = r->o->callers + r->o->active * 2 + 16384;
    c.sndbuf_max = 256 << 10;
    c.time_wait_us = 100 * 1000; /* ports must come back; nothing is late on this wire */
    if (getrandom(c.secret, sizeof(c.secret), 0) != sizeof(c.secret))
        return false;
    for (int side = 0; side < NET_SIDES; side++) {
        lower.mtu[side] = net_mtu(r->net[0], side);
        lower.linear |= !net_takes_chains(r->net[0], side);
    }
    r->tcp = tcp_new(&c, &lower, &owner, r->now_us);
    return r->tcp != NULL;
}

static bool make_nets(struct road *r)
{
    static const struct net_upcalls up = {.segment = on_segment, .unreachable = on_unreachable};

    for (unsigned i = 0; i < r->o->queues; i++)
        if (!(r->net[i] = net_new(r->ports, i, &r->net_config, &up, r, r->now_us)))
            return false;
    return true;
}

static bool make_tls(struct road *r)
{
    const struct tls_shared_config c = {
        .ca_certificate = r->o->vendor_ca, .ca_key = r->o->vendor_key, .vendor_trust = r->o->ca};
    const struct tls_limits limits = {.leaf_cache = 16, .mints_a_second = 100};
    struct diags d;

    diags_init(&d);
    r->shared = tls_shared_load(&c, &d);
    diags_print(&d, stderr, false);
    diags_free(&d);
    r->tls = r->shared ? tls_new(r->shared, &limits) : NULL;
    return r->tls != NULL;
}

bool road_start(struct road *r)
{
    r->now_us = clock_mono_ns() / 1000;
    prctl(PR_SET_TIMERSLACK, 1);
    if (!start_eal(r->o) || !open_ports(r))
        return false;
    if (make_nets(r) && make_tcp(r) && make_tls(r) && callers_new(r) && vendor_new(r))
        return true;
    fputs("generator: out of memory or no TLS\n", stderr);
    return false;
}

void road_stop(struct road *r)
{
    for (unsigned i = 0; i < r->o->callers; i++)
        tls_vendor_free(r->callers[i].own);
    free(r->callers);
    free(r->vendors);
    tls_delete(r->tls);
    tls_shared_free(r->shared);
    tcp_delete(r->tcp);
    for (unsigned i = 0; i < r->o->queues; i++)
        net_delete(r->net[i]);
    net_ports_close(r->ports);
    rte_eal_cleanup();
}

/* ---------------------------------------------------------------- connections */

bool conn_handshake(struct road *r, struct road_conn *c)
{
    switch (tls_handshake(c->tls)) {
    case TLS_OK:
        return true;
    case TLS_AGAIN:
        return false;
    default:
        conn_end(r, c, tls_error_text(c->tls));
        return false;
    }
}

bool conn_write(struct road *r, struct road_conn *c, struct span all)
{
    while (c->sent < all.n) {
        size_t put;
        enum tls_result t = tls_write(c->tls, all.p + c->sent, all.n - c->sent, &put);

        if (t == TLS_AGAIN)
            return false;
        if (t != TLS_OK) {
            conn_end(r, c, tls_error_name(tls_error(c->tls)));
            return false;
        }
        c->sent += put;
    }
    c->sent = 0;
    return true;
}

static void forget(struct road *r, struct road_conn *c)
{
    if (!c->vendor) {
        r->opening -= c->state == ROAD_CONNECT || c->state == ROAD_HANDSHAKE;
        r->open -= c->state >= ROAD_IDLE;
        r->asking -= c->state >= ROAD_WRITE;
    }
    if (c->tls)
        tls_free(c->tls);
    if (r->o->fresh) {
        tls_vendor_free(c->own);
        c->own = NULL;
    }
    road_message_reset(&c->in);
    c->tls = NULL;
    c->tcp = NULL;
    c->sent = 0;
    c->state = ROAD_DOWN;
    c->next = c->vendor ? r->free_vendors : r->to_connect;
    *(c->vendor ? &r->free_vendors : &r->to_connect) = c;
}

void conn_end(struct road *r, struct road_conn *c, const char *why)
{
    bool over = c->tcp && tcp_end_cause(c->tcp) != TCP_END_NONE;

    if (why && !r->closing) {
        r->n.failures += !c->vendor;
        snprintf(r->why, sizeof(r->why), "%s: %s", c->vendor ? "vendor" : "caller", why);
    }
    if (c->tcp && !over && why) {
        tcp_abort(c->tcp);
    } else if (c->tcp && !over) {
        tls_shutdown(c->tls);
        tcp_close(c->tcp);
    }
    forget(r, c);
}

/* -------------------------------------------------------------------- the loop */

static unsigned one_loop(struct road *r)
{
    unsigned work = 0;

    r->now_us = clock_mono_ns() / 1000;
    for (unsigned i = 0; i < r->o->queues; i++) {
        work += net_poll(r->net[i], r->now_us);
        net_tick(r->net[i], r->now_us);
    }
    if (r->now_us >= r->tick_us) {
        tls_tick(r->tls, r->now_us);
        r->tick_us = r->now_us + US_IN_S;
    }
    tcp_advance(r->tcp, r->now_us);
    work += callers_run(r);
    work += tcp_dispatch(r->tcp, r->now_us);
    work += tcp_output(r->tcp, r->now_us);
    for (unsigned i = 0; i < r->o->queues; i++)
        net_flush(r->net[i]);
    return work;
}

/* The core is shared with the box's control thread and audit writer, which get it whenever there is
 * nothing to do here: by a sleep, as a yield is only among threads of one session where the kernel
 * has autogroups. `busy` may contain time that the kernel gave to them in the middle of a loop: for
 * the question whether the core was full it makes no difference. */
void road_turn(struct road *r)
{
    const struct timespec moment = {.tv_nsec = 1000}; /* some 5 us with the least timer slack */
    uint64_t from = rte_rdtsc(), now, pause = 0;
    unsigned work = one_loop(r);

    now = rte_rdtsc();
    if (work) {
        r->n.cycles_busy += now - from;
        r->n.loops_busy++;
        r->idle = 0;
        return;
    }
    if (++r->idle > IDLE_SPINS) {
        nanosleep(&moment, NULL);
        pause = rte_rdtsc() - now;
    }
    *(pause > OTHERS_US * rte_get_tsc_hz() / US_IN_S ? &r->n.cycles_others : &r->n.cycles_idle) +=
        pause;
    r->n.cycles_idle += now - from;
}
