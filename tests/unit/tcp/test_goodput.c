/* Goodput of one stack sending to another over a path of 20 ms that drops, delays and repeats by a
 * seed: every byte arrives, and as many in a given time as theory says, or nearly. */
#include "tcp_test.h"

#include <rte_mempool.h>

#define RTT_US  20000u
#define PACKETS 65536u
#define MSS     1448u

struct packet {
    uint64_t at, serial;
    unsigned to, len;
    uint8_t *data;
};

struct path {
    const char *name;
    unsigned loss, late, repeat; /* in 10000; of the data's direction */
    unsigned late_us;            /* at most */
    unsigned mbit;               /* of the path's narrowest link; its queue holds 40 ms */
    unsigned seconds;
    unsigned ack_loss; /* in 10000 */
    bool no_sack, no_ts;
};

struct sim;

struct end {
    struct sim *w;
    unsigned side;
    struct tcp *t;
    struct tcp_conn *c;
    struct rte_mempool *pool;
    unsigned mbufs;
    uint64_t bytes; /* written or read */
};

struct sim {
    const struct path *path;
    struct end end[2];
    uint64_t now, seed, serial, link_free;
    struct packet *heap; /* by time */
    unsigned n, most;
};

static uint64_t rnd(struct sim *w)
{
    uint64_t z = w->seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(struct sim *w, unsigned per_10000)
{
    return rnd(w) % 10000 < per_10000;
}

/* ------------------------------------------------------------------ path */

static bool before(const struct packet *a, const struct packet *b)
{
    return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

static void heap_put(struct sim *w, struct packet p)
{
    unsigned i = w->n++;

    assert_true(w->n <= PACKETS);
    p.serial = w->serial++;
    for (; i && before(&p, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = p;
}

static struct packet heap_take(struct sim *w)
{
    struct packet first = w->heap[0], last = w->heap[--w->n];
    unsigned i = 0, child;

    while ((child = 2 * i + 1) < w->n) {
        if (child + 1 < w->n && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

/* When a packet comes out at the other end; 0: never. Data queues for the link. */
static uint64_t arrival(struct sim *w, unsigned from, unsigned len)
{
    const struct path *k = w->path;
    uint64_t at;

    if (from == 1)
        return chance(w, k->ack_loss) ? 0 : w->now + RTT_US / 2;
    if (chance(w, k->loss))
        return 0;
    w->link_free = w->link_free > w->now ? w->link_free : w->now;
    if (w->link_free - w->now > 40 * MS)
        return 0;
    w->link_free += (len + 40) * 8 / k->mbit + 1;
    at = w->link_free + RTT_US / 2;
    return chance(w, k->late) ? at + rnd(w) % (k->late_us + 1) : at;
}

/* A peer that knows no SACK (or no timestamps) is one that cannot see the option on the SYN. */
static void hide_options(const struct path *k, uint8_t *h)
{
    unsigned n = (h[12] >> 4) * 4u;

    for (unsigned i = 20; (h[13] & S) && i < n && h[i];) {
        unsigned len = h[i] == 1 ? 1 : h[i + 1];

        if ((h[i] == 4 && k->no_sack) || (h[i] == 8 && k->no_ts))
            memset(h + i, 1, len);
        i += len;
    }
}

static void on_send(void *ctx, enum net_side side, const struct net_addr *src,
                    const struct net_addr *dst, struct rte_mbuf *m)
{
    struct end *e = ctx;
    struct sim *w = e->w;
    unsigned copies = 1 + (e->side == 0 && chance(w, w->path->repeat));

    (void)side, (void)src, (void)dst;
    for (unsigned i = 0; i < copies; i++) {
        struct packet p = {
            .at = arrival(w, e->side, m->pkt_len), .to = !e->side, .len = m->pkt_len};
        uint8_t *to;

        if (!p.at)
            continue;
        to = p.data = malloc(p.len);
        assert_non_null(to);
        for (const struct rte_mbuf *s = m; s; to += s->data_len, s = s->next)
            memcpy(to, rte_pktmbuf_mtod(s, void *), s->data_len);
        hide_options(w->path, p.data);
        heap_put(w, p);
    }
    rte_pktmbuf_free(m);
}

static void deliver(struct sim *w)
{
    static const struct net_addr addr[2] = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                            {{[10] = 0xff, 0xff, 10, 0, 0, 2}}};
    struct packet p = heap_take(w);
    struct end *e = &w->end[p.to];
    struct net_segment s = {.src = addr[!p.to], .dst = addr[p.to], .side = NET_INSIDE};

    s.m = rte_pktmbuf_alloc(e->pool);
    assert_non_null(s.m);
    memcpy(rte_pktmbuf_append(s.m, (uint16_t)p.len), p.data, p.len);
    free(p.data);
    tcp_input(e->t, &s, w->now);
}

/* ---------------------------------------------------------------- owners */

static void send_more(struct end *e)
{
    uint8_t buf[8192];
    size_t took;

    do {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = pattern((uint32_t)(e->bytes + i), US);
        took = tcp_write(e->c, buf, sizeof(buf));
        e->bytes += took;
    } while (took == sizeof(buf));
}

static void take_all(struct end *e)
{
    uint8_t buf[8192];
    size_t n;

    while ((n = tcp_read(e->c, buf, sizeof(buf))) > 0) {
        for (size_t i = 0; i < n; i++)
            if (buf[i] != pattern((uint32_t)(e->bytes + i), US))
                fail_msg("byte %llu differs", (unsigned long long)(e->bytes + i));
        e->bytes += n;
    }
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
    struct end *e = ctx;

    (void)user;
    assert_ptr_equal(e->c, c);
    assert_false(events & TCP_EV_CLOSED);
    if (e->side == 0)
        send_more(e);
    else
        take_all(e);
}

static bool on_accept(void *ctx, struct tcp_conn *c)
{
    struct end *e = ctx;

    e->c = c;
    return true;
}

/* ------------------------------------------------------------------- run */

static void end_new(struct sim *w, unsigned side)
{
    struct end *e = &w->end[side];
    struct tcp_owner owner = {.ctx = e, .accept = on_accept, .event = on_event};
    struct tcp_lower lower = {.ctx = e, .send = on_send, .mtu = {1500, 1500}};
    struct tcp_config c;

    tcp_config_defaults(&c);
    c.max_conns = 4;
    c.max_time_wait = 4;
    *e = (struct end){.w = w, .side = side, .pool = test_pool(20000)};
    e->mbufs = test_pool_free(e->pool);
    lower.pool = e->pool;
    e->t = tcp_new(&c, &lower, &owner, w->now);
    assert_non_null(e->t);
    assert_true(tcp_listen(e->t, NET_INSIDE, 443));
}

static void step(struct sim *w, bool check)
{
    for (unsigned s = 0; s < 2; s++) {
        struct tcp *t = w->end[s].t;

        tcp_advance(t, w->now);
        tcp_dispatch(t, w->now);
        tcp_output(t, w->now);
        if (check)
            assert_true(tcp_validate(t));
    }
}

static void clock_turn(struct sim *w)
{
    uint64_t next = w->n ? w->heap[0].at : UINT64_MAX;

    for (unsigned s = 0; s < 2; s++) {
        uint64_t t = tcp_next_timer(w->end[s].t);
        next = t < next ? t : next;
    }
    assert_true(next != UINT64_MAX);
    w->now = next > w->now ? next : w->now + 20;
}

static void end_delete(struct end *e)
{
    tcp_delete(e->t);
    assert_int_equal(test_pool_free(e->pool), e->mbufs);
    rte_mempool_free(e->pool);
}

static void report(const struct sim *w, double mbit)
{
    const struct tcp_counters *c = tcp_counters(w->end[0].t);
#define N(name) (unsigned long long)counter_get(&c->name)

    printf("  %-16s %7.2f Mbit/s; again %llu, time-outs %llu, recoveries %llu, undone %llu, probes "
           "%llu\n",
           w->path->name, mbit, N(retransmits_fast), N(retransmits_timeout), N(recoveries),
           N(recoveries_undone), N(tlp_probes));
    fflush(stdout);
#undef N
}

/* Mbit/s of payload read by the receiver. */
static double goodput(const struct path *k, uint64_t seed)
{
    struct net_addr from = {{[10] = 0xff, 0xff, 10, 0, 0, 1}};
    struct net_addr to = {{[10] = 0xff, 0xff, 10, 0, 0, 2}};
    struct sim w = {.path = k, .now = 7 * SEC, .seed = seed};
    uint64_t start = w.now;
    double mbit;

    w.heap = malloc(PACKETS * sizeof(*w.heap));
    assert_non_null(w.heap);
    end_new(&w, 0);
    end_new(&w, 1);
    w.end[0].c = tcp_connect(w.end[0].t, NET_INSIDE, &from, &to, 443, NULL, w.now);
    assert_non_null(w.end[0].c);
    for (unsigned i = 0; w.now < start + k->seconds * (uint64_t)SEC; i++) {
        step(&w, i % 512 == 0);
        clock_turn(&w);
        while (w.n && w.heap[0].at <= w.now)
            deliver(&w);
    }
    mbit = (double)w.end[1].bytes * 8 / (double)(w.now - start);
    report(&w, mbit);
    if (!k->late && !k->repeat) /* what was taken for lost was lost */
        assert_int_equal(counter_get(&tcp_counters(w.end[0].t)->recoveries_undone), 0);
    while (w.n)
        free(heap_take(&w).data);
    free(w.heap);
    end_delete(&w.end[0]);
    end_delete(&w.end[1]);
    return mbit;
}

static uint64_t seed_of(uint64_t usual)
{
    const char *set = getenv("TEST_SEED");

    return set ? strtoull(set, NULL, 0) : usual;
}

static void expect_at_least(const char *what, double got, double floor)
{
    if (got < floor)
        fail_msg("%s: expected at least %.2f Mbit/s, came %.2f", what, floor, got);
}

/* Mbit/s of the window that RFC 9438 5.1 and RFC 5681 lead to expect: the square root of 3/2p
 * segments each round trip. */
static double response(double p)
{
    double w2 = 1.5 / p, w = w2;

    for (unsigned i = 0; i < 40; i++)
        w = (w + w2 / w) / 2;
    return w * MSS * 8 / RTT_US;
}

/* ---------------------------------------------------------------- tests */

static void a_clean_path_is_filled(void **state)
{
    static const struct path k = {"clean", .mbit = 200, .seconds = 4};

    (void)state;
    expect_at_least(k.name, goodput(&k, seed_of(1)), 0.85 * 200);
}

/* RFC 9438 5.1, RFC 5681: the response function. */
static void random_loss(void **state)
{
    static const struct path paths[] = {
        {"loss 0.1%", .loss = 10, .mbit = 200, .seconds = 30},
        {"loss 1%", .loss = 100, .mbit = 200, .seconds = 40},
        {"loss 5%", .loss = 500, .mbit = 200, .seconds = 60},
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        expect_at_least(paths[i].name, goodput(&paths[i], seed_of(10 + i)),
                        (i == 2 ? 0.7 : 0.9) * response(paths[i].loss / 10000.0));
}

/* RFC 8985 6.2.4: reordering is no loss. */
static void reordering(void **state)
{
    static const struct path in_order = {"in order", .mbit = 100, .seconds = 5};
    static const struct path paths[] = {
        {"late 10% 2 ms", .late = 1000, .late_us = 2000, .mbit = 100, .seconds = 5},
        {"late 10% 5 ms", .late = 1000, .late_us = 5000, .mbit = 100, .seconds = 5},
        /* Here what is late is also too old for PAWS once anything was sent again for nothing. */
        {"late 10% 15 ms", .late = 1000, .late_us = 15000, .mbit = 100, .seconds = 5},
    };
    double whole = goodput(&in_order, seed_of(20));

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        expect_at_least(paths[i].name, goodput(&paths[i], seed_of(21 + i)),
                        (i == 2 ? 0.5 : 0.8) * whole);
}

/* Segments that come twice, ACKs that do not come. */
static void repeats_and_lost_acks(void **state)
{
    static const struct path paths[] = {
        {"repeat 10%", .repeat = 1000, .mbit = 100, .seconds = 4},
        {"ACKs lost 20%", .ack_loss = 2000, .mbit = 100, .seconds = 4},
    };

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        expect_at_least(paths[i].name, goodput(&paths[i], seed_of(30 + i)), 0.75 * 100);
}

/* RFC 6582: NewReno mends one segment a round trip. */
static void without_sack(void **state)
{
    static const struct path paths[] = {
        {"no SACK 0.1%", .loss = 10, .mbit = 200, .seconds = 30, .no_sack = true},
        {"no SACK 1%", .loss = 100, .mbit = 200, .seconds = 40, .no_sack = true},
        {"no SACK, no TS", .loss = 100, .mbit = 200, .seconds = 40, .no_sack = true, .no_ts = true},
        {"no TS 1%", .loss = 100, .mbit = 200, .seconds = 40, .no_ts = true},
    };

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        expect_at_least(paths[i].name, goodput(&paths[i], seed_of(40 + i)),
                        (i == 3 ? 0.9 : 0.6) * response(paths[i].loss / 10000.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_path_is_filled),
        cmocka_unit_test(random_loss),
        cmocka_unit_test(reordering),
        cmocka_unit_test(repeats_and_lost_acks),
        cmocka_unit_test(without_sack),
    };

    return cmocka_run_group_tests_name("tcp/goodput", tests, test_eal, NULL);
}
