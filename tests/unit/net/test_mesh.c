/* Several workers on the ports of the test bed: whoever receives a packet, its owner handles it. */
#include "bed.h"

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 3

/* What one worker was handed. */
struct heard {
    unsigned segments, unreachable;
    uint16_t sport, dport; /* of the last segment */
};

static struct net *worker[WORKERS];
static struct heard heard[WORKERS];
static unsigned queues;

static void on_segment(void *ctx, const struct net_segment *s)
{
    struct heard *h = ctx;
    uint8_t *ports = rte_pktmbuf_mtod(s->m, uint8_t *);

    h->segments++;
    h->sport = get16(ports);
    h->dport = get16(ports + 2);
    rte_pktmbuf_free(s->m);
}

static void on_unreachable(void *ctx, const struct net_unreachable *u)
{
    struct heard *h = ctx;

    h->unreachable++;
    h->sport = u->sport;
    h->dport = u->dport;
}

/* ------------------------------------------------------------------ the bed */

/* New names each time: the driver's devices of the old ones stay known to the EAL. */
static void name_ports(void)
{
    static unsigned times;

    times++;
    snprintf(bed.config.side[NET_INSIDE].port, sizeof(bed.config.side[0].port), "in%u", times);
    snprintf(bed.config.side[NET_OUTSIDE].port, sizeof(bed.config.side[0].port), "out%u", times);
}

static int reopen(unsigned want)
{
    net_ports_close(bed.ports);
    name_ports();
    bed.profile.workers = WORKERS;
    bed.profile.mbufs = 4095;
    bed.profile.queues = queues = want;
    bed.ports = net_ports_open(&bed.profile, &bed.config);
    return bed.ports ? 0 : -1;
}

static int start(void **state)
{
    return bed_start(state) || reopen(WORKERS);
}

static int fresh(void **state)
{
    static const struct net_upcalls up = {on_segment, on_unreachable};

    (void)state;
    bed.now = 100 * US_IN_S;
    memset(heard, 0, sizeof(heard));
    for (unsigned w = 0; w < WORKERS; w++) {
        worker[w] = net_new(bed.ports, w, &bed.config, &up, &heard[w], bed.now);
        if (!worker[w])
            return -1;
    }
    bed.n = worker[0];
    return 0;
}

static struct rte_ring *ring(enum net_side side, const char *way, unsigned queue)
{
    char name[32];
    struct rte_ring *r;

    snprintf(name, sizeof(name), "%.16s.%s%u", bed.config.side[side].port, way, queue);
    r = rte_ring_lookup(name);
    assert_non_null(r);
    return r;
}

/* Takes what a queue has sent; how many frames, the last in `f`. */
static unsigned taken(enum net_side side, unsigned queue, struct frame *f)
{
    unsigned n = 0;
    void *got;

    while (rte_ring_dequeue(ring(side, "tx", queue), &got) == 0) {
        struct rte_mbuf *m = got;

        f->n = m->pkt_len;
        memcpy(f->b, rte_pktmbuf_read(m, 0, m->pkt_len, f->b), f->n);
        rte_pktmbuf_free(m);
        n++;
    }
    return n;
}

static int finish(void **state)
{
    struct frame f;
    unsigned lost = 0;

    (void)state;
    for (unsigned w = 0; w < WORKERS; w++)
        net_delete(worker[w]);
    for (int s = 0; s < NET_SIDES; s++)
        for (unsigned q = 0; q < queues; q++)
            taken(s, q, &f);
    for (unsigned a = 0; a < WORKERS; a++)
        for (unsigned b = 0; b < WORKERS; b++) /* what was on its way when the workers went */
            if (a != b && rte_ring_count(bed.ports->mesh.ring[a][b]))
                print_error("%u items left between workers %u and %u\n",
                            rte_ring_count(bed.ports->mesh.ring[a][b]), a, b);
    for (unsigned w = 0; w < WORKERS; w++)
        lost += rte_mempool_in_use_count(net_ports_pool(bed.ports, w));
    if (lost)
        print_error("%u mbufs lost\n", lost);
    return lost ? -1 : 0;
}

/* A frame comes in by one queue. */
static void arrives(enum net_side side, unsigned queue, const struct frame *f)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, queue));

    assert_non_null(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->b, f->n);
    assert_int_equal(rte_ring_enqueue(ring(side, "rx", queue), m), 0);
}

static void loop(unsigned w)
{
    net_poll(worker[w], bed.now);
    net_flush(worker[w]);
}

/* Long enough for a packet to be passed on, handled, and its answer handed over and sent. */
static void loops(void)
{
    for (unsigned i = 0; i < 3 * WORKERS; i++)
        loop(i % WORKERS);
}

static uint64_t total(size_t offset)
{
    uint64_t sum = 0;

    for (unsigned w = 0; w < WORKERS; w++)
        sum += counter_get((const counter *)((const char *)net_counters(worker[w]) + offset));
    return sum;
}
#define total_of(name)           total(offsetof(struct net_counters, name))
#define assert_total(name, want) assert_count_(#name " of all", total_of(name), (want))

static unsigned owner_of(enum net_side side, uint32_t local, unsigned lport, uint32_t remote,
                         unsigned rport)
{
    struct net_addr l = net_addr_v4(local), r = net_addr_v4(remote);
    unsigned owner = WORKERS;

    for (unsigned w = 0; w < WORKERS; w++)
        if (net_reaches(worker[w], side, &l, &r, (uint16_t)lport, (uint16_t)rport)) {
            assert_int_equal(owner, WORKERS); /* one and no more */
            owner = w;
        }
    assert_true(owner < WORKERS);
    return owner;
}

static void meet_hosts(void)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN), got;

    arrives(NET_INSIDE, 0, &f);
    f = arp(NET_OUTSIDE, 1, mac_gateway, GATEWAY, NULL, OUR_OUT);
    arrives(NET_OUTSIDE, 0, &f);
    loops();
    assert_int_equal(taken(NET_INSIDE, 0, &got), 1);
    assert_int_equal(taken(NET_OUTSIDE, 0, &got), 1);
}

/* ------------------------------------------------------------------ the tests */

/* Each flow, by whatever queue, comes to the worker that says that it reaches it, and to no other.
 */
static void segments(void **state)
{
    unsigned count[WORKERS] = {0}, passed = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        enum net_side side = i % 2;
        unsigned port = 40000 + i, queue = i / 2 % queues, owner;
        struct frame f = side == NET_INSIDE ? tcp(side, CALLER, port, VENDOR, 443, SYN, 0)
                                            : tcp(side, VENDOR, 443, OUR_OUT, port, ACK, 9);

        owner = side == NET_INSIDE ? owner_of(side, VENDOR, 443, CALLER, port)
                                   : owner_of(side, OUR_OUT, port, VENDOR, 443);
        arrives(side, queue, &f);
        loops();
        count[owner]++;
        passed += owner != queue;
        for (unsigned w = 0; w < WORKERS; w++)
            if (heard[w].segments != count[w])
                fail_msg("port %u, owner %u: worker %u has %u segments, should have %u", port,
                         owner, w, heard[w].segments, count[w]);
        assert_int_equal(side == NET_INSIDE ? heard[owner].sport : heard[owner].dport, port);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        assert_true(count[w] > 300 / WORKERS / 2);
    assert_total(respread, passed);
    assert_total(rx_packets, 300);
    assert_total(drop_spread_full, 0);
}

/* In bursts, from all queues at once, nothing is lost or comes out of order within its flow. */
static void bursts(void **state)
{
    unsigned wanted[WORKERS] = {0};

    (void)state;
    for (unsigned i = 0; i < 180; i++) {
        struct frame f = tcp(NET_INSIDE, CALLER, 20000 + i, VENDOR, 443, SYN, 0);

        wanted[owner_of(NET_INSIDE, VENDOR, 443, CALLER, 20000 + i)]++;
        arrives(NET_INSIDE, i % queues, &f);
    }
    for (unsigned i = 0; i < 10; i++)
        loops();
    for (unsigned w = 0; w < WORKERS; w++)
        assert_int_equal(heard[w].segments, wanted[w]);
}

/* RFC 792 errors go to whoever owns the segment that they quote, not to whom they hash. */
static void errors(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        unsigned port = 30000 + i, before[WORKERS];
        struct frame q = tcp(NET_OUTSIDE, OUR_OUT, port, VENDOR, 443, ACK, 0);
        struct frame f = icmp(NET_OUTSIDE, GATEWAY, OUR_OUT, 3, 1, 0, q.b + IP, 28);
        unsigned owner = owner_of(NET_OUTSIDE, OUR_OUT, port, VENDOR, 443);

        for (unsigned w = 0; w < WORKERS; w++)
            before[w] = heard[w].unreachable;
        arrives(NET_OUTSIDE, i % queues, &f);
        loops();
        for (unsigned w = 0; w < WORKERS; w++)
            assert_int_equal(heard[w].unreachable - before[w], w == owner);
        assert_int_equal(heard[owner].sport, port);
    }
}

/* A question for our address is answered once, and all workers know who asked. */
static void asker(void **state)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN), got;
    unsigned queue = queues - 1;

    (void)state;
    arrives(NET_INSIDE, queue, &f);
    loops();
    for (unsigned q = 0; q < queues; q++)
        assert_int_equal(taken(NET_INSIDE, q, &got), q == queue);
    assert_total(arp_replies_sent, 1);
    for (unsigned w = 0; w < WORKERS; w++) {
        struct net_addr us = net_addr_v4(VENDOR), to = net_addr_v4(CALLER);

        net_send_tcp(worker[w], NET_INSIDE, &us, &to, tcp_mbuf(443, 40000 + w, 0));
        loops();
        assert_int_equal(taken(NET_INSIDE, w % queues, &got), 1);
        assert_int_equal(get16(got.b + 12), 0x0800); /* no question first */
        assert_memory_equal(got.b, mac_caller, 6);
        assert_int_equal(get16(got.b + L4 + 2), 40000 + w);
    }
    assert_total(arp_requests_sent, 0);
}

/* A worker asks; the answer comes to another one. */
static void answer(void **state)
{
    struct net_addr us = net_addr_v4(OUR_OUT), to = net_addr_v4(NEAR_OUT);
    struct frame f, got;
    unsigned asks = WORKERS - 1;

    (void)state;
    net_send_tcp(worker[asks], NET_OUTSIDE, &us, &to, tcp_mbuf(50000, 443, 0));
    loops();
    assert_int_equal(taken(NET_OUTSIDE, asks % queues, &got), 1);
    assert_int_equal(get16(got.b + 12), 0x0806);
    f = arp(NET_OUTSIDE, 2, mac_near, NEAR_OUT, bed_mac(NET_OUTSIDE), OUR_OUT);
    arrives(NET_OUTSIDE, 0, &f);
    loops();
    assert_int_equal(taken(NET_OUTSIDE, asks % queues, &got), 1);
    assert_int_equal(get16(got.b + 12), 0x0800);
    assert_memory_equal(got.b, mac_near, 6);
}

/* Echo is answered by whoever got it; passthrough crosses where it came. */
static void stays(void **state)
{
    struct frame got;

    (void)state;
    meet_hosts();
    for (unsigned q = 0; q < queues; q++) {
        struct frame f = icmp(NET_INSIDE, CALLER, OUR_IN, 8, 0, q, "x", 1);

        arrives(NET_INSIDE, q, &f);
        loops();
        for (unsigned w = 0; w < WORKERS; w++)
            assert_int_equal(counter_get(&net_counters(worker[w])->icmp_echo_replies), w <= q);
        assert_int_equal(taken(NET_INSIDE, q, &got), 1);
        for (unsigned port = 1; port < 20; port++) {
            f = tcp(NET_INSIDE, CALLER, 1000 + port, PASS_NET + 1, 22, ACK, 0);
            arrives(NET_INSIDE, q, &f);
            f = tcp(NET_OUTSIDE, PASS_NET + 1, 22, CALLER, 1000 + port, ACK, 0);
            arrives(NET_OUTSIDE, q, &f);
        }
        loops();
        assert_int_equal(taken(NET_OUTSIDE, q, &got), 19);
        assert_int_equal(taken(NET_INSIDE, q, &got), 19);
    }
    assert_total(respread, 0);
}

/* A worker that does not take what is passed to it costs those packets, and nothing else. */
static void full(void **state)
{
    unsigned port = 40000, sent = 0;
    struct frame f;

    (void)state;
    while (owner_of(NET_INSIDE, VENDOR, 443, CALLER, port) != 1)
        port++;
    f = tcp(NET_INSIDE, CALLER, port, VENDOR, 443, ACK, 0);
    for (; sent < MESH_SLOTS + 31; sent++) {
        arrives(NET_INSIDE, 0, &f);
        loop(0);
    }
    assert_total(drop_spread_full, sent - (MESH_SLOTS - 1));
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN); /* nor may such take the last room */
    arrives(NET_INSIDE, 0, &f);
    loop(0);
    assert_total(drop_spread_full, sent - (MESH_SLOTS - 1) + 1);
    for (unsigned i = 0; i < MESH_SLOTS; i++)
        loop(1);
    assert_int_equal(heard[1].segments, MESH_SLOTS - 1);
    loops();
}

/* Copies for learning take half of a ring at most. */
static void flood(void **state)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN), got;

    (void)state;
    for (unsigned i = 0; i < MESH_SLOTS; i++) {
        arrives(NET_INSIDE, 0, &f);
        loop(0);
        taken(NET_INSIDE, 0, &got);
    }
    for (unsigned w = 1; w < WORKERS; w++)
        assert_int_equal(rte_ring_count(bed.ports->mesh.ring[0][w]), MESH_SLOTS / 2);
    for (unsigned i = 0; i < 20; i++)
        loops();
}

/* What was on its way when workers end is freed with the ports. */
static void left_behind(void **state)
{
    struct frame f;
    unsigned port = 40000;

    (void)state;
    while (owner_of(NET_INSIDE, VENDOR, 443, CALLER, port) != 2)
        port++;
    f = tcp(NET_INSIDE, CALLER, port, VENDOR, 443, ACK, 0);
    arrives(NET_INSIDE, 0, &f);
    loop(0);
    assert_int_equal(rte_ring_count(bed.ports->mesh.ring[0][2]), 1);
    for (unsigned w = 0; w < WORKERS; w++)
        net_delete(worker[w]);
    memset(worker, 0, sizeof(worker));
    assert_int_equal(reopen(queues), 0);
}

/* Beyond the first, workers have no queue here; what they send goes out by the others', in order.
 */
static void handed_over(void **state)
{
    struct net_addr us = net_addr_v4(OUR_OUT), to = net_addr_v4(VENDOR);
    struct frame got;

    (void)state;
    meet_hosts();
    for (unsigned i = 0; i < 100; i++)
        net_send_tcp(worker[2], NET_OUTSIDE, &us, &to, tcp_mbuf(1000 + i, 443, 0));
    net_flush(worker[2]);
    assert_int_equal(counter_get(&net_counters(worker[2])->tx_handed_over), 100);
    for (unsigned i = 0; i < 100;) {
        struct rte_ring *r = ring(NET_OUTSIDE, "tx", 0);
        void *m;

        loop(0);
        assert_true(rte_ring_count(r) > 0);
        for (; rte_ring_dequeue(r, &m) == 0; i++) {
            assert_int_equal(get16(rte_pktmbuf_mtod_offset((struct rte_mbuf *)m, uint8_t *, L4)),
                             1000 + i);
            rte_pktmbuf_free(m);
        }
    }
    assert_int_equal(taken(NET_OUTSIDE, 0, &got), 0);
    assert_int_equal(counter_get(&net_counters(worker[2])->tx_packets), 0);
}

/* DPDK's null device takes a key and a table as a port does that hashes. `first` names two new
 * ones. */
static void check_null_ports(unsigned first, unsigned want_queues)
{
    struct rte_eth_rss_reta_entry64 reta[2] = {{.mask = UINT64_MAX}, {.mask = UINT64_MAX}};
    uint8_t key[40];
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = sizeof(key)};
    struct net_profile p = bed.profile;
    struct net_config c = bed.config;
    struct net_ports *ports;

    snprintf(p.driver, sizeof(p.driver), "pci");
    p.queues = want_queues;
    for (unsigned s = 0; s < NET_SIDES; s++) {
        snprintf(c.side[s].port, sizeof(c.side[s].port), "net_null%u", first + s);
        assert_int_equal(rte_eal_hotplug_add("vdev", c.side[s].port, ""), 0);
    }
    ports = net_ports_open(&p, &c);
    assert_non_null(ports);
    for (unsigned s = 0; s < NET_SIDES; s++) {
        const struct net_port *port = &ports->port[s];

        assert_true(port->steer.in_port);
        assert_int_equal(rte_eth_dev_rss_hash_conf_get(port->id, &conf), 0);
        assert_memory_equal(key, steer_key, sizeof(key));
        assert_int_equal(rte_eth_dev_rss_reta_query(port->id, reta, 128), 0);
        for (unsigned i = 0; i < 128; i++) {
            assert_int_equal(steer_owner_of(&port->steer, i), i % WORKERS);
            assert_int_equal(reta[i / 64].reta[i % 64], i % WORKERS % want_queues);
        }
    }
    net_ports_close(ports);
}

/* A port that hashes itself is given our key and our table; with fewer queues than workers the
 * first ones get the others' share, to pass it on. */
static void in_port(void **state)
{
    (void)state;
    net_ports_close(bed.ports);
    bed.ports = NULL;
    check_null_ports(0, WORKERS);
    check_null_ports(2, 2);
    assert_int_equal(reopen(queues), 0);
}

/* A port's hash is believed once it has been found right, and not if it ever was wrong. */
static void port_hash(void **state)
{
    unsigned right = 0, wrong = 0;

    (void)state;
    bed.ports->port[NET_INSIDE].steer.in_port = true;
    bed.ports->port[NET_OUTSIDE].steer.in_port = true;
    for (unsigned i = 0; i < 200; i++) {
        enum net_side side = i % 2;
        unsigned port = 40000 + i;
        struct frame f = side == NET_INSIDE ? tcp(side, CALLER, port, VENDOR, 443, SYN, 0)
                                            : tcp(side, VENDOR, 443, OUR_OUT, port, ACK, 9);
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));
        struct steer_flow flow;
        unsigned owner = side == NET_INSIDE ? owner_of(side, VENDOR, 443, CALLER, port)
                                            : owner_of(side, OUR_OUT, port, VENDOR, 443);

        memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
        assert_int_equal(flow_of(m, &flow), FLOW_TCP);
        m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
        m->hash.rss = steer_hash(&bed.ports->port[side].steer, &flow);
        if (i == 21) /* the outside port is wrong once, early */
            m->hash.rss ^= 0x55555555;
        else if (i >= 180) /* by now the inside port's word counts, the other's does not */
            m->hash.rss++;
        if (side == NET_INSIDE && i >= 180)
            owner = steer_owner_of(&bed.ports->port[side].steer, m->hash.rss);
        assert_int_equal(rte_ring_enqueue(ring(side, "rx", 0), m), 0);
        right = heard[owner].segments;
        loops();
        wrong += heard[owner].segments != right + 1;
    }
    assert_int_equal(wrong, 0);
    bed.ports->port[NET_INSIDE].steer.in_port = bed.ports->port[NET_OUTSIDE].steer.in_port = false;
}

static int one_queue(void **state)
{
    (void)state;
    return reopen(1);
}

static int two_queues(void **state)
{
    (void)state;
    return reopen(2);
}

#define t(f) cmocka_unit_test_setup_teardown(f, fresh, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {t(segments),
                                       t(bursts),
                                       t(errors),
                                       t(asker),
                                       t(answer),
                                       t(stays),
                                       t(full),
                                       t(flood),
                                       t(left_behind),
                                       t(port_hash),
                                       cmocka_unit_test(in_port)};
    const struct CMUnitTest fewer[] = {t(segments), t(bursts), t(errors),
                                       t(asker),    t(answer), t(stays)};
    const struct CMUnitTest alone[] = {t(handed_over), t(segments), t(asker), t(answer)};
    int bad = cmocka_run_group_tests_name("three queues", tests, start, NULL);

    bad += cmocka_run_group_tests_name("two queues", fewer, two_queues, NULL);
    bad += cmocka_run_group_tests_name("one queue", alone, one_queue, bed_stop);
    return bad;
}
