/* Two stacks back to back over a wire that loses, repeats, reorders and delays by a seed, with
 * pools that now and then have nothing: whatever it does, both sides get every byte once and in
 * order, and in the end every mbuf is back. Time is turned by hand. */
#include "tcp_test.h"

#include <rte_mempool.h>
#include <time.h>

#define HELD  256  /* packets that the sender's port has not let go of */
#define WIRE  8192 /* packets under way */
#define PAIRS 3    /* connections at one time */

struct packet {
    struct packet *next; /* spare */
    uint64_t at;
    unsigned to, len;
    struct net_addr src, dst;
    uint8_t data[1500];
};

struct course {
    const char *name;
    unsigned loss, repeat, late; /* in 1000 */
    uint64_t delay_us, jitter_us;
    unsigned fail_every; /* allocations */
    size_t bytes;        /* each way, of each connection */
    bool linear, slow_reader;
    uint32_t sndbuf, rcvbuf;
    unsigned mtu;
};

struct link;

/* One end of one connection. */
struct flow {
    struct link *l;
    struct tcp_conn *c;
    unsigned pair, side;
    size_t sent, got, want;
    bool shut, eof, over;
    enum tcp_end end;
};

struct host {
    struct link *l;
    unsigned side;
    struct tcp *t;
    struct rte_mempool *pool;
    unsigned mbufs;
    struct rte_mbuf *held[HELD];
    unsigned nheld;
};

struct link {
    const struct course *course;
    uint64_t now, seed;
    struct host host[2];
    struct flow flow[2][PAIRS];
    struct packet **wire; /* by no order */
    struct packet *spare; /* freed ones */
    unsigned npackets;
};

static uint64_t rnd(struct link *l)
{
    uint64_t z = l->seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(struct link *l, unsigned per_1000)
{
    return rnd(l) % 1000 < per_1000;
}

/* ------------------------------------------------------------------ wire */

static void wire_add(struct link *l, unsigned to, const struct net_addr *src,
                     const struct net_addr *dst, const struct rte_mbuf *m)
{
    struct packet *p;
    uint8_t *at;

    if (chance(l, l->course->loss) || l->npackets == WIRE)
        return;
    p = l->spare ? l->spare : malloc(sizeof(*p));
    assert_non_null(p);
    l->spare = l->spare ? p->next : NULL;
    l->wire[l->npackets++] = p;
    p->to = to;
    p->src = *src;
    p->dst = *dst;
    p->len = m->pkt_len;
    p->at = l->now + l->course->delay_us;
    if (chance(l, l->course->late))
        p->at += rnd(l) % (l->course->jitter_us + 1);
    assert_true(m->pkt_len <= sizeof(p->data));
    at = p->data;
    for (; m; m = m->next) {
        memcpy(at, rte_pktmbuf_mtod(m, void *), m->data_len);
        at += m->data_len;
    }
}

/* As a port: puts headers in front, and lets go of packets later. */
static void on_send(void *ctx, enum net_side side, const struct net_addr *src,
                    const struct net_addr *dst, struct rte_mbuf *m)
{
    struct host *h = ctx;
    struct link *l = h->l;
    unsigned i;

    (void)side;
    wire_add(l, !h->side, src, dst, m);
    if (chance(l, l->course->repeat))
        wire_add(l, !h->side, src, dst, m);
    assert_true(m->nb_segs == 1 || !l->course->linear);
    assert_non_null(rte_pktmbuf_prepend(m, NET_HEADROOM));
    memset(rte_pktmbuf_mtod(m, void *), 0xee, NET_HEADROOM);
    if (h->nheld < HELD && chance(l, 300)) {
        h->held[h->nheld++] = m;
        return;
    }
    if (h->nheld && chance(l, 300)) {
        i = (unsigned)(rnd(l) % h->nheld);
        rte_pktmbuf_free(h->held[i]);
        h->held[i] = h->held[--h->nheld];
    }
    rte_pktmbuf_free(m);
}

static void deliver(struct link *l, const struct packet *p)
{
    struct host *h = &l->host[p->to];
    struct net_segment s = {.src = p->src, .dst = p->dst, .side = NET_INSIDE};

    s.m = rte_pktmbuf_alloc(h->pool);
    if (!s.m)
        return;
    memcpy(rte_pktmbuf_append(s.m, (uint16_t)p->len), p->data, p->len);
    tcp_input(h->t, &s, l->now);
}

/* In the order of arrival times. */
static int packet_cmp(const void *a, const void *b)
{
    const struct packet *p = *(struct packet *const *)a, *q = *(struct packet *const *)b;

    return (p->at > q->at) - (p->at < q->at);
}

static void wire_run(struct link *l)
{
    struct packet *due[WIRE];
    unsigned n = 0, kept = 0;

    for (unsigned i = 0; i < l->npackets; i++) {
        if (l->wire[i]->at <= l->now)
            due[n++] = l->wire[i];
        else
            l->wire[kept++] = l->wire[i];
    }
    l->npackets = kept;
    qsort(due, n, sizeof(struct packet *), packet_cmp);
    for (unsigned i = 0; i < n; i++) {
        deliver(l, due[i]);
        due[i]->next = l->spare;
        l->spare = due[i];
    }
}

/* ---------------------------------------------------------------- owners */

static uint8_t byte_of(unsigned side, unsigned pair, size_t at)
{
    return pattern((uint32_t)at, side * 0x55 + pair * 0x11);
}

static void flow_write(struct flow *f)
{
    uint8_t buf[5000];

    while (f->c && !f->shut) {
        size_t n = f->want - f->sent, took;

        n = n < sizeof(buf) ? n : 1 + rnd(f->l) % sizeof(buf);
        if (n == 0) {
            tcp_shutdown(f->c);
            f->shut = true;
            return;
        }
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_of(f->side, f->pair, f->sent + i);
        took = tcp_write(f->c, buf, n);
        f->sent += took;
        if (took < n)
            return;
    }
}

static void flow_read(struct flow *f)
{
    uint8_t buf[4096], expected[4096];
    size_t n, most = f->l->course->slow_reader ? 1 + rnd(f->l) % 700 : sizeof(buf);

    while (f->c && (n = tcp_read(f->c, buf, most)) > 0) {
        for (size_t i = 0; i < n; i++)
            expected[i] = byte_of(!f->side, f->pair, f->got + i);
        assert_memory_equal(buf, expected, n);
        f->got += n;
        if (f->l->course->slow_reader)
            break;
    }
    if (f->c && tcp_eof(f->c) && !f->eof) {
        assert_int_equal(f->got, f->want);
        f->eof = true;
    }
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
    struct flow *f = user;

    (void)ctx;
    assert_ptr_equal(f->c, c);
    assert_false(f->over);
    if (events & (TCP_EV_READABLE | TCP_EV_EOF))
        flow_read(f);
    if (events & (TCP_EV_CONNECTED | TCP_EV_WRITABLE))
        flow_write(f);
    if (events & TCP_EV_CLOSED) {
        f->over = true;
        f->end = tcp_end_cause(c);
        f->c = NULL;
    }
}

/* Which pair it is, the caller's source address says. */
static bool on_accept(void *ctx, struct tcp_conn *c)
{
    struct host *h = ctx;
    struct flow *f = &h->l->flow[h->side][tcp_remote_addr(c)->b[15]];

    assert_null(f->c);
    f->c = c;
    tcp_set_user(c, f);
    flow_write(f);
    return true;
}

/* ------------------------------------------------------------------- run */

static void host_new(struct link *l, unsigned side)
{
    const struct course *k = l->course;
    struct host *h = &l->host[side];
    struct tcp_lower lower = {.ctx = h, .send = on_send, .mtu = {k->mtu, k->mtu}};
    struct tcp_owner owner = {.ctx = h, .accept = on_accept, .event = on_event};
    struct tcp_config c;

    h->l = l;
    h->side = side;
    h->pool = test_pool(4096);
    h->mbufs = test_pool_free(h->pool);
    tcp_config_defaults(&c);
    c.max_conns = 16;
    c.max_time_wait = 16;
    c.sndbuf_max = k->sndbuf;
    c.rcvbuf_max = k->rcvbuf;
    c.rcvbuf_initial = k->rcvbuf < 65536 ? k->rcvbuf : 65536;
    c.data_retries = 20; /* by chance many in a row may be lost */
    c.syn_retries = 12;
    c.time_wait_us = 600 * SEC; /* longer than any run of losses */
    c.secret[0] = (uint8_t)l->seed;
    lower.pool = h->pool;
    lower.linear = k->linear;
    h->t = tcp_new(&c, &lower, &owner, l->now);
    assert_non_null(h->t);
    assert_true(tcp_listen(h->t, NET_INSIDE, 443));
}

static void host_delete(struct host *h)
{
    assert_int_equal(tcp_open_conns(h->t), 0);
    while (h->nheld)
        rte_pktmbuf_free(h->held[--h->nheld]);
    assert_int_equal(test_pool_free(h->pool), h->mbufs);
    tcp_delete(h->t);
    rte_mempool_free(h->pool);
}

static void step(struct link *l)
{
    wire_run(l);
    for (unsigned s = 0; s < 2; s++) {
        struct tcp *t = l->host[s].t;

        assert_true(tcp_validate(t));
        tcp_advance(t, l->now);
        tcp_dispatch(t, l->now);
        for (unsigned i = 0; i < PAIRS && l->course->slow_reader; i++)
            if (l->flow[s][i].c)
                flow_read(&l->flow[s][i]);
        assert_true(tcp_validate(t));
        tcp_output(t, l->now);
        assert_true(tcp_validate(t));
    }
}

/* To the next thing that will happen, as an idle loop would nap. */
static void clock_turn(struct link *l)
{
    uint64_t next = UINT64_MAX, least = l->course->slow_reader ? 200 : UINT64_MAX;

    for (unsigned s = 0; s < 2; s++) {
        uint64_t t = tcp_next_timer(l->host[s].t);
        next = t < next ? t : next;
    }
    for (unsigned i = 0; i < l->npackets; i++)
        next = l->wire[i]->at < next ? l->wire[i]->at : next;
    if (next <= l->now)
        next = l->now + 20;
    if (least != UINT64_MAX && next > l->now + least)
        next = l->now + least;
    assert_true(next != UINT64_MAX);
    l->now = next;
}

static bool all_over(const struct link *l)
{
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        if (!l->flow[i / PAIRS][i % PAIRS].over)
            return false;
    return true;
}

static void connect_all(struct link *l)
{
    struct net_addr from = {{[10] = 0xff, 0xff, 10, 0, 0, 0}};
    struct net_addr to = {{[10] = 0xff, 0xff, 10, 1, 0, 1}};

    for (unsigned i = 0; i < PAIRS; i++) {
        struct flow *f = &l->flow[0][i];

        from.b[15] = (uint8_t)i;
        f->c = tcp_connect(l->host[0].t, NET_INSIDE, &from, &to, 443, f, l->now);
        assert_non_null(f->c);
    }
}

static void report(struct link *l)
{
    const struct tcp_counters *c = tcp_counters(l->host[0].t);

    printf("  %-12s %8.3f s, fast %llu, timeouts %llu, ooo %llu, no mbuf %llu\n", l->course->name,
           (double)(l->now - 5000000) / 1e6, (unsigned long long)counter_get(&c->retransmits_fast),
           (unsigned long long)counter_get(&c->retransmits_timeout),
           (unsigned long long)counter_get(&c->out_of_order),
           (unsigned long long)counter_get(&c->drop_no_mbuf));
    fflush(stdout);
}

static void course_run(const struct course *k, uint64_t seed)
{
    struct link *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->wire = malloc(WIRE * sizeof(struct packet *));
    assert_non_null(l->wire);
    l->course = k;
    l->now = 5000000;
    l->seed = seed;
    for (unsigned s = 0; s < 2; s++) {
        host_new(l, s);
        for (unsigned i = 0; i < PAIRS; i++)
            l->flow[s][i] = (struct flow){.l = l, .pair = i, .side = s, .want = k->bytes};
    }
    test_pool_fail(k->fail_every);
    connect_all(l);
    for (step(l); !all_over(l); step(l)) {
        assert_true(l->now < 20000 * (uint64_t)SEC);
        clock_turn(l);
    }
    for (unsigned i = 0; i < 2 * PAIRS; i++) {
        struct flow *f = &l->flow[i / PAIRS][i % PAIRS];
        assert_int_equal(f->end, TCP_END_CLOSED);
        assert_int_equal(f->got, k->bytes);
        assert_int_equal(f->sent, k->bytes);
    }
    report(l);
    test_pool_fail(0);
    host_delete(&l->host[0]);
    host_delete(&l->host[1]);
    while (l->npackets)
        free(l->wire[--l->npackets]);
    for (struct packet *p; (p = l->spare) != NULL; free(p))
        l->spare = p->next;
    free(l->wire);
    free(l);
}

static void courses(void **state)
{
    static const struct course all[] = {
        {"clean", 0, 0, 0, 1000, 0, 0, 4 << 20, false, false, 262144, 1 << 20, 1500},
        {"slow reader", 0, 0, 0, 500, 0, 0, 300000, false, true, 65536, 20000, 1500},
        {"reorder", 0, 0, 300, 500, 2000, 0, 2 << 20, false, false, 262144, 1 << 20, 1500},
        {"repeat", 0, 300, 100, 500, 500, 0, 2 << 20, false, false, 262144, 262144, 1500},
        {"loss 1%", 10, 0, 0, 300, 0, 0, 2 << 20, false, false, 262144, 1 << 20, 1500},
        {"loss 10%", 100, 0, 0, 300, 0, 0, 500000, false, false, 131072, 131072, 1500},
        {"all", 50, 50, 200, 300, 3000, 0, 500000, false, false, 131072, 131072, 1500},
        {"linear", 50, 50, 200, 300, 3000, 0, 500000, true, false, 131072, 131072, 1500},
        {"poor", 10, 10, 50, 300, 1000, 7, 1 << 20, false, false, 131072, 131072, 1500},
        {"very poor", 30, 10, 50, 300, 1000, 6, 200000, false, false, 65536, 65536, 1500},
        {"poor linear", 10, 10, 50, 300, 1000, 8, 500000, true, false, 65536, 65536, 1500},
        {"tiny windows", 20, 10, 50, 200, 500, 0, 100000, false, false, 3000, 2000, 1500},
        {"small mtu", 20, 10, 50, 200, 500, 0, 300000, false, true, 30000, 30000, 576},
    };
    const char *set = getenv("TEST_SEED"), *rounds = getenv("TEST_ROUNDS");
    uint64_t seed = set ? strtoull(set, NULL, 0) : (uint64_t)time(NULL);

    (void)state;
    for (unsigned r = 0; r < (rounds ? (unsigned)atoi(rounds) : 1); r++, seed++) {
        printf("TEST_SEED=%llu\n", (unsigned long long)seed);
        for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
            course_run(&all[i], seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(courses)};

    return cmocka_run_group_tests_name("tcp/wire", tests, test_eal, NULL);
}
