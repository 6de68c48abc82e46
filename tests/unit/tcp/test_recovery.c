/* Loss recovery and congestion control, case by case from the RFCs; CUBIC against the formulas. */
#include "tcp_test.h"

#include "tcp/tcp_internal.h"

static uint32_t mss = 1460;
#define M mss

/* The number of the n-th segment's first byte. */
static uint32_t at(uint32_t n)
{
    return 1 + n * M;
}

/* `n` segments in flight over a path of 20 ms, cwnd no larger. */
static struct world *in_flight(uint32_t n, bool ts)
{
    struct world *w = world_new();

    if (ts)
        passive_sack_ts(w);
    else
        passive_sack(w);
    mss = w->c->mss;
    w->c->cwnd = n * M;
    assert_int_equal(writes(w, 0, 60 * M), 60 * M);
    for (unsigned i = 0; i < 4; i++)
        run(w);
    assert_int_equal(out_count(w), n);
    w->head = w->tail;
    w->now += 20 * MS;
    return w;
}

static unsigned again_count(struct world *w, uint32_t n)
{
    unsigned again = 0;

    while (out_count(w))
        again += out_any(w).seq < at(n);
    return again;
}

/* RFC 8985 6.2 step 4: without reordering seen three segments reported are enough, at once; RFC
 * 9937: cwnd ends at ssthresh, RFC 9438 4.6: seven tenths. */
static void sack_recovery(void **state)
{
    struct world *w = in_flight(20, false);

    (void)state;
    IN(w, A, 1, 1, .sack = {at(1), at(2)});
    IN(w, A, 1, 1, .sack = {at(1), at(3)});
    assert_int_equal(again_count(w, 1), 0);
    IN(w, A, 1, 1, .sack = {at(1), at(4)});
    OUT(w, A, 1, 1, M);
    assert_int_equal(w->c->ssthresh, 14 * M);
    for (uint32_t i = 5; i <= 20; i++)
        IN(w, A, 1, 1, .sack = {at(1), at(i)});
    /* PRR: seven for ten delivered, the retransmission and what slow start sent before counted. */
    assert_in_range(out_count(w), 9, 14);
    assert_int_equal(again_count(w, 20), 0);
    IN(w, A, 1, at(22)); /* all that was out, two sent by limited transmit (RFC 3042) included */
    assert_int_equal(w->c->cwnd, 14 * M);
    assert_false(w->c->flags & CF_RECOVERY);
    assert_int_equal(COUNTER(w, retransmits_fast), 1);
    world_delete(w);
}

/* RFC 7323 5 is against old data: an ACK that another has overtaken still tells what has arrived,
 * but only one that can be no older than a time-out, and not what the window is. */
static void overtaken_ack(void **state)
{
    struct world *w = in_flight(20, true);
    uint32_t ts = w->c->ts_recent, wnd;

    (void)state;
    IN(w, A, 1, 1, .ts = ts + 30, .sack = {at(1), at(3)});
    wnd = w->c->snd_wnd;
    IN(w, A, 1, 1, .ts = ts + 20, .wnd = 100, .sack = {at(1), at(2)});
    IN(w, A, 1, 1, .ts = ts + 20, .sack = {at(4), at(5)});
    assert_int_equal(COUNTER(w, drop_paws), 0);
    assert_int_equal(w->c->sacked_segs, 3);
    assert_int_equal(w->c->snd_wnd, wnd);
    assert_int_equal(w->c->ts_recent, ts + 30);
    IN(w, A, 1, 1, .ts = ts + 30 - 1 - w->c->rto_us / 1000, .sack = {at(6), at(7)});
    assert_int_equal(COUNTER(w, drop_paws), 1);
    IN(w, A, 1, at(1), .ts = ts + 20); /* something new is never old */
    assert_int_equal(COUNTER(w, drop_paws), 2);
    assert_int_equal(w->c->sacked_segs, 3);
    world_delete(w);
}

/* Several holes are mended in one round trip, each segment sent again once. */
static void all_holes_in_one_round_trip(void **state)
{
    struct world *w = in_flight(20, false);

    (void)state;
    for (uint32_t i = 1; i < 20; i += 2)
        IN(w, A, 1, 1, .sack = {at(i), at(i + 1), i > 2 ? at(i - 2) : 0, at(i - 1)});
    assert_int_equal(COUNTER(w, retransmits_fast), again_count(w, 20));
    assert_in_range(COUNTER(w, retransmits_fast), 6, 10);
    world_delete(w);
}

/* RFC 8985 6.2.1 with reordering seen: a quarter of the least round trip is waited for. */
static void the_reordering_window(void **state)
{
    struct world *w = in_flight(20, false);

    (void)state;
    IN(w, A, 1, 1, .sack = {at(1), at(2)});
    IN(w, A, 1, at(2)); /* the first was late */
    assert_true(w->c->rack.reordering);
    w->head = w->tail;
    for (uint32_t i = 4; i < 10; i++)
        IN(w, A, 1, at(2), .sack = {at(3), at(i)});
    assert_int_equal(again_count(w, 20), 0);
    OUT_AFTER(w, 5 * MS, A, at(2), 1, M);
    assert_int_equal(COUNTER(w, recoveries), 1);
    world_delete(w);
}

/* RFC 1191 6.3: when a router says that all of it was too big, there is nothing left to wait for.
 */
static void too_big_while_waiting(void **state)
{
    struct world *w = in_flight(20, false);
    struct net_unreachable u = {.too_big = true, .mtu = 1000, .side = w->side};

    (void)state;
    u.src = w->us;
    u.dst = w->peer;
    u.sport = w->us_port;
    u.dport = w->peer_port;
    IN(w, A, 1, 1, .sack = {at(1), at(2)});
    IN(w, A, 1, at(2));
    w->head = w->tail;
    for (uint32_t i = 4; i < 10; i++)
        IN(w, A, 1, at(2), .sack = {at(3), at(i)});
    assert_true(w->c->deadline[TIMER_REO] != TCP_NEVER);
    u.seq = w->c->snd_una;
    tcp_unreachable(w->t, &u, w->now);
    assert_true(w->c->deadline[TIMER_REO] == TCP_NEVER);
    assert_true(tcp_validate(w->t));
    w->head = w->tail;
    world_delete(w);
}

/* RFC 8985 3.1: a retransmission that is lost too is found by what was sent after it. */
static void a_lost_retransmission(void **state)
{
    struct world *w = in_flight(20, false);
    unsigned sent = 0;

    (void)state;
    IN(w, A, 1, 1, .sack = {at(1), at(4)});
    OUT(w, A, 1, 1, M);
    w->now += 1 * MS;
    for (uint32_t i = 5; i <= 20; i++)
        IN(w, A, 1, 1, .sack = {at(1), at(i)});
    w->head = w->tail; /* new data has gone, after the retransmission */
    w->now += 20 * MS;
    IN(w, A, 1, 1, .sack = {at(1), at(21)});
    while (out_count(w))
        sent += out_any(w).seq == 1;
    assert_int_equal(sent, 1);
    assert_int_equal(COUNTER(w, retransmits_timeout), 0);
    world_delete(w);
}

/* RFC 8985 7.2, 7.3: after two round trips new data if there is any; 7.4: nothing was lost. */
static void a_probe_of_new_data(void **state)
{
    struct world *w = in_flight(5, false);

    (void)state;
    OUT_AFTER(w, 20 * MS, A, at(5), 1, M); /* 20 of the 40 have passed */
    NONE(w);
    assert_int_equal(COUNTER(w, tlp_probes), 1);
    IN(w, A, 1, at(6));
    assert_int_equal(w->c->ssthresh, 1u << 30);
    assert_false(w->c->flags & CF_TLP);
    world_delete(w);
}

/* 7.3: else the last segment; its ACK mends the tail, and 7.4.2: that was congestion. */
static void a_probe_mends_the_tail(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    writes(w, 0, 5 * M);
    run(w);
    w->head = w->tail;
    w->now += 20 * MS;
    IN(w, A, 1, at(4));
    NONE(w);
    /* One is out: its ACK may be delayed, but a time-out is not waited for longer. */
    OUT_AFTER(w, 220 * MS, P | A, at(4), 1, M);
    assert_int_equal(COUNTER(w, tlp_probes), 1);
    w->now += 20 * MS;
    IN(w, A, 1, at(5));
    writes(w, 5 * M, M);
    run(w);
    w->now += 20 * MS;
    IN(w, A, 1, at(6));
    assert_int_equal(COUNTER(w, tlp_recovered), 1);
    assert_true(w->c->ssthresh < 1u << 30);
    assert_int_equal(COUNTER(w, retransmits_timeout), 0);
    world_delete(w);
}

/* 7.4.2: a duplicate reported: the original had arrived. */
static void a_probe_for_nothing(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    writes(w, 0, 2 * M);
    run(w);
    w->head = w->tail;
    OUT_AFTER(w, 40 * MS, P | A, at(1), 1, M);
    IN(w, A, 1, at(2));
    IN(w, A, 1, at(2), .sack = {at(1), at(2)});
    writes(w, 2 * M, M);
    run(w);
    IN(w, A, 1, at(3));
    assert_int_equal(COUNTER(w, tlp_recovered), 0);
    assert_int_equal(w->c->ssthresh, 1u << 30);
    world_delete(w);
}

/* RFC 3522, 4015: the ACK echoes what was sent before the retransmission. */
static void undone_by_timestamps(void **state)
{
    struct world *w = in_flight(20, true);
    uint32_t before = w->sent[(w->head - 1) % SENT_MAX].s.ts, cwnd = w->c->cwnd;

    (void)state;
    IN(w, A, 1, 1, .ecr = before, .sack = {at(1), at(4)});
    assert_true(w->c->flags & CF_RECOVERY);
    assert_int_equal(again_count(w, 1), 1);
    w->now += 1 * MS;
    IN(w, A, 1, at(6), .ecr = before);
    assert_false(w->c->flags & CF_RECOVERY);
    assert_true(w->c->cwnd >= cwnd);
    assert_int_equal(w->c->ssthresh, 1u << 30);
    assert_int_equal(COUNTER(w, recoveries_undone), 1);
    world_delete(w);
}

/* RFC 2883, RFC 3708: everything sent again has come twice, told after recovery is over. */
static void undone_by_duplicates(void **state)
{
    struct world *w = in_flight(20, false);

    (void)state;
    IN(w, A, 1, 1, .sack = {at(1), at(4)});
    IN(w, A, 1, at(20));
    assert_int_equal(w->c->ssthresh, 14 * M);
    IN(w, A, 1, at(20), .sack = {1, at(1)});
    assert_int_equal(w->c->ssthresh, 1u << 30);
    assert_true(w->c->cwnd >= 20 * M);
    assert_int_equal(w->c->rack.mult, 1);    /* RFC 8985 6.2 step 4 */
    IN(w, A, 1, at(20), .sack = {1, at(1)}); /* more often than it was sent: not believed */
    assert_int_equal(w->c->dsack_total, 1);
    world_delete(w);
}

/* RFC 5682 3.1: after a time-out something arrives that was sent only once. */
static void a_spurious_time_out(void **state)
{
    struct world *w = in_flight(20, false);

    (void)state;
    while (!(w->c->flags & CF_LOSS))
        wait_us(w, MS);
    w->head = w->tail;
    assert_true(w->c->cwnd <= 2 * M);
    IN(w, A, 1, at(2)); /* the first, sent again, and the second, which was not */
    assert_false(w->c->flags & CF_LOSS);
    assert_true(w->c->cwnd >= 20 * M);
    assert_int_equal(COUNTER(w, recoveries_undone), 1);
    assert_int_equal(again_count(w, 20), 0); /* nothing more is sent again */
    world_delete(w);
}

/* RFC 2018 8: a peer that has dropped what it reported gets it again after the time-out. */
static void a_peer_that_reneges(void **state)
{
    struct world *w = in_flight(10, false);
    uint32_t seq = at(1);

    (void)state;
    IN(w, A, 1, 1, .sack = {at(1), at(10)});
    w->head = w->tail;
    IN(w, A, 1, at(1)); /* and no more: at(1) was told to be there */
    w->head = w->tail;
    assert_int_equal(w->c->sq_head->seq - w->c->iss, at(1));
    for (unsigned i = 0; i < 5000 && seq < at(10); i++) {
        wait_us(w, MS);
        while (out_count(w)) {
            struct seg s = out_any(w);
            if (s.seq == seq)
                seq += M;
        }
        IN(w, A, 1, seq);
    }
    assert_true(seq >= at(10));
    world_delete(w);
}

/* A full last segment with FIN leaves though cwnd has room for its bytes alone. */
static void fin_needs_no_window(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    w->c->cwnd = M;
    assert_int_equal(w->c->mss, M);
    assert_int_equal(writes(w, 0, M), M);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | P | A, 1, 1, M);
    world_delete(w);
}

/* A window that shuts over a probe ends what was known of it. */
static void window_shut_after_a_probe(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    assert_int_equal(writes(w, 0, M), M);
    while (COUNTER(w, tlp_probes) == 0)
        wait_us(w, MS);
    assert_true(w->c->flags & CF_TLP_AGAIN);
    IN(w, A, 1, 1, .wnd = NO_WINDOW);
    while (!(w->c->flags & CF_PERSIST))
        wait_us(w, MS);
    assert_false(w->c->flags & (CF_TLP | CF_TLP_AGAIN));
    w->head = w->tail;
    world_delete(w);
}

/* RFC 9438 4.2 at the end of 4.2: not while the application is what limits. */
static void no_growth_without_use(void **state)
{
    struct world *w = world_new();
    uint32_t cwnd;

    (void)state;
    passive_sack(w);
    cwnd = w->c->cwnd;
    for (uint32_t i = 0; i < 50; i++) {
        writes(w, i * M, M);
        run(w);
        w->now += 20 * MS;
        IN(w, A, 1, at(i + 1));
    }
    assert_int_equal(w->c->cwnd, cwnd);
    world_delete(w);
}

/* RFC 9406 4.2: round trips that grow end slow start, first by slower growth. */
static void slow_start_ends_before_the_queue_does(void **state)
{
    struct world *w = world_new();
    uint64_t rtt = 20 * MS;
    uint32_t acked = 0, sent = 0;

    (void)state;
    passive_sack(w);
    for (unsigned round = 0; round<14; round++, rtt += round> 3 ? 6 * MS : 0) {
        assert_true(w->c->ssthresh == 1u << 30 || round > 5);
        writes(w, sent, 3000 * M);
        for (unsigned i = 0; i < 60; i++)
            run(w);
        w->head = w->tail;
        sent = w->c->snd_end - w->c->iss - 1;
        w->now += rtt;
        for (uint32_t end = w->c->snd_nxt - w->c->iss; acked + 2 * M < end; acked += 2 * M)
            put(w, (struct seg){.flags = A, .seq = 1, .ack = 1 + acked + 2 * M});
    }
    assert_true(w->c->ssthresh < 1u << 30);
    assert_int_equal(COUNTER(w, recoveries), 0);
    world_delete(w);
}

/* The send buffer follows the window. */
static void the_send_buffer_grows(void **state)
{
    struct world *w = world_new();
    uint32_t acked = 0;

    (void)state;
    passive_sack(w);
    for (unsigned i = 0; i < 400; i++) {
        writes(w, w->c->snd_end - w->c->iss - 1, 4 << 20);
        run(w);
        w->head = w->tail;
        w->now += 500;
        acked = w->c->snd_nxt - w->c->iss;
        IN(w, A, 1, acked);
    }
    assert_true(w->c->sndbuf > 1 << 20);
    assert_true(w->c->sndbuf <= w->t->cfg.sndbuf_max);
    world_delete(w);
}

/* ----------------------------------------------------------------- CUBIC */

static void the_cube_root_is_exact(void **state)
{
    uint64_t n = 1;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t r = cubic_root(n);

        assert_true(r * r * r <= n);
        assert_true(r >= 2642245 || (r + 1) * (r + 1) * (r + 1) > n);
        n = n * 6364136223846793005u + 1442695040888963407u;
        n >>= i % 60;
    }
    assert_int_equal(cubic_root(0), 0);
    assert_int_equal(cubic_root(UINT64_MAX), 2642245);
    assert_int_equal(cubic_root(26), 2);
    assert_int_equal(cubic_root(27), 3);
}

static double cube(double x)
{
    return x * x * x;
}

/* RFC 9438 4.2: over 20 ms and 100 ms, windows of 100 to 5000 segments: within 3 % of the curve (or
 * of Reno's line where that is higher) for twice the time it takes to come back. */
static void the_curve(void **state)
{
    static const struct {
        double window, rtt;
    } cases[] = {{100, .02}, {1000, .02}, {5000, .02}, {500, .1}, {3000, .1}};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        double max = cases[i].window * M, start = 0.7 * max, k, est = start, t = 0;
        struct tcp_cubic q = {0};
        uint32_t cwnd = (uint32_t)start;

        cubic_congestion(&q, (uint32_t)max);
        for (k = 0; 0.4 * cube(k) * M < max - start; k += 1e-4)
            ;
        cubic_acked(&q, cwnd, M, 1, (uint32_t)(cases[i].rtt * 1e6), 1000000);
        for (; t < 2 * k; t += cases[i].rtt) {
            double curve = 0.4 * M * cube(t - k) + max, expected;
            uint32_t had = cwnd;

            for (uint32_t acked = 0; acked < had; acked += 2 * M)
                cwnd = cubic_acked(&q, cwnd, M, 2 * M, (uint32_t)(cases[i].rtt * 1e6),
                                   1000000 + (uint64_t)(t * 1e6));
            est += (est < max ? 9.0 / 17 : 1) * M * had / cwnd;
            expected = curve > est ? curve : est;
            if (t > 4 * cases[i].rtt && (cwnd < 0.97 * expected || cwnd > 1.06 * expected + 4 * M))
                fail_msg("window %.0f rtt %.2f: after %.2f s expected %.0f, came %u",
                         cases[i].window, cases[i].rtt, t, expected, cwnd);
        }
    }
}

/* 4.7: a second loss below the last window lets go of more. */
static void fast_convergence(void **state)
{
    struct tcp_cubic q = {0};

    (void)state;
    cubic_congestion(&q, 100000);
    assert_int_equal(q.w_max, 100000);
    cubic_congestion(&q, 90000);
    assert_int_equal(q.w_max, 76500);
    cubic_congestion(&q, 80000);
    assert_int_equal(q.w_max, 80000);
}

/* No numbers a peer can bring about make it overflow. */
static void the_extremes(void **state)
{
    struct tcp_cubic q = {0};
    uint32_t cwnd = 1u << 30;

    (void)state;
    cubic_congestion(&q, cwnd);
    for (uint64_t now = 1; now < UINT64_C(1) << 45; now *= 3) {
        uint32_t next = cubic_acked(&q, cwnd, 64, 1u << 30, 60000000, now);

        assert_true(next >= cwnd && next <= cwnd + cwnd / 2 + 64);
    }
    q = (struct tcp_cubic){0};
    for (uint64_t now = 1; now < UINT64_C(1) << 45; now *= 3)
        assert_true(cubic_acked(&q, 64, 64, 64, 1, now) >= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sack_recovery),
        cmocka_unit_test(overtaken_ack),
        cmocka_unit_test(all_holes_in_one_round_trip),
        cmocka_unit_test(the_reordering_window),
        cmocka_unit_test(fin_needs_no_window),
        cmocka_unit_test(window_shut_after_a_probe),
        cmocka_unit_test(too_big_while_waiting),
        cmocka_unit_test(a_lost_retransmission),
        cmocka_unit_test(a_probe_of_new_data),
        cmocka_unit_test(a_probe_mends_the_tail),
        cmocka_unit_test(a_probe_for_nothing),
        cmocka_unit_test(undone_by_timestamps),
        cmocka_unit_test(undone_by_duplicates),
        cmocka_unit_test(a_spurious_time_out),
        cmocka_unit_test(a_peer_that_reneges),
        cmocka_unit_test(no_growth_without_use),
        cmocka_unit_test(slow_start_ends_before_the_queue_does),
        cmocka_unit_test(the_send_buffer_grows),
        cmocka_unit_test(the_cube_root_is_exact),
        cmocka_unit_test(the_curve),
        cmocka_unit_test(fast_convergence),
        cmocka_unit_test(the_extremes),
    };

    return cmocka_run_group_tests_name("tcp/recovery", tests, test_eal, NULL);
}
