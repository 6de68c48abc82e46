/* Paths and ports: the path MTU (RFC 1191, RFC 8201, RFC 5927, RFC 4821), the local ports of active
 * opens (RFC 6056). */
#include "tcp_test.h"

#include "tcp/tcp_internal.h"

/* ------------------------------------------------------------ path MTU */

static void told(struct world *w, uint32_t seq, unsigned mtu)
{
    struct net_unreachable u = {.too_big = true,
                                .mtu = (uint16_t)mtu,
                                .src = w->us,
                                .dst = w->peer,
                                .sport = w->us_port,
                                .dport = w->peer_port,
                                .side = w->side,
                                .seq = w->us_iss + seq};

    tcp_unreachable(w->t, &u, w->now);
}

static void too_big(struct world *w, uint32_t seq, unsigned mtu)
{
    told(w, seq, mtu);
    run(w);
}

/* An open connection with 4000 bytes on their way. */
static void sending(struct world *w, bool v6)
{
    uint32_t mss = v6 ? 1440 : 1460;

    IN(w, S, .mss = 9000);
    OUT(w, S | A, 0, 1, .mss = mss);
    IN(w, A, 1, 1);
    writes(w, 0, 4000);
    run(w);
    OUT(w, A, 1, 1, mss);
    OUT(w, A, 1 + mss, 1, mss);
    OUT(w, P | A, 1 + 2 * mss, 1, 4000 - 2 * mss);
}

/* RFC 1191 6.4: what was too big is sent again at once, in pieces that fit. */
static void lowered_by_a_router(void **state)
{
    (void)state;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct world *w = world_new();
        uint32_t mss = v6 ? 1300 - 60 : 1300 - 40, seq = 1;

        if (v6)
            world_v6(w);
        sending(w, v6);
        too_big(w, 1, 1300);
        for (; out_count(w); seq += mss < 4001 - seq ? mss : 4001 - seq)
            assert_true(out_any(w).len <= mss);
        assert_int_equal(COUNTER(w, path_mtu_lowered), 1);
        assert_int_equal(w->c->cwnd, 10 * (v6 ? 1440 : 1460)); /* no congestion */
        IN(w, A, 1, 4001);
        assert_int_equal(tcp_unacked(w->c), 0);
        world_delete(w);
    }
}

/* RFC 5927 7.2: what it quotes must be in flight, and floors hold. */
static void not_believed(void **state)
{
    struct world *w = world_new();

    (void)state;
    sending(w, false);
    IN(w, A, 1, 1461);
    too_big(w, 1, 1000); /* acknowledged */
    too_big(w, 4001, 1000);
    too_big(w, 0u - 100000, 1000);
    w->peer_port++;
    too_big(w, 1461, 1000);
    w->peer_port--;
    too_big(w, 1461, 1500); /* nothing new */
    too_big(w, 1461, 9000);
    assert_int_equal(COUNTER(w, drop_icmp), 6);
    assert_int_equal(COUNTER(w, path_mtu_lowered), 0);
    NONE(w);
    too_big(w, 1461, 68); /* the least that RFC 791 allows: not below 552 */
    OUT(w, A, 1461, 1, 512);
    too_big(w, 1461, 552);
    assert_int_equal(COUNTER(w, drop_icmp), 7);
    world_delete(w);
}

/* RFC 8201 4: less than 1280 is to be discarded. */
static void no_ipv6_path_is_below_1280(void **state)
{
    struct world *w = world_new();

    (void)state;
    world_v6(w);
    sending(w, true);
    too_big(w, 1, 1279);
    too_big(w, 1, 68);
    too_big(w, 1, 0);
    NONE(w);
    assert_int_equal(COUNTER(w, drop_icmp), 3);
    too_big(w, 1, 1280);
    OUT(w, A, 1, 1, 1220);
    world_delete(w);
}

/* RFC 1191 5: routers that do not say how much fits. */
static void plateaus(void **state)
{
    static const unsigned expected[] = {1492, 1006, 552};
    struct world *w = world_new();

    (void)state;
    sending(w, false);
    for (unsigned i = 0; i < 3; i++) {
        w->head = w->tail;
        too_big(w, 1, 0);
        OUT(w, A, 1, 1, expected[i] - 40);
    }
    world_delete(w);
}

static void while_connecting(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0, .mss = 1460);
    too_big(w, 0, 1400);
    IN(w, S | A, 0, 1, .mss = 1460);
    OUT(w, A, 1, 1);
    writes(w, 0, 2000);
    run(w);
    OUT(w, A, 1, 1, 1360);
    world_delete(w);
}

/* RFC 1191 6.3, RFC 8201 4: after ten minutes paths may have changed. */
static void raised_again(void **state)
{
    struct world *w = world_new();

    (void)state;
    sending(w, false);
    too_big(w, 1, 1300);
    w->head = w->tail;
    IN(w, A, 1, 4001);
    w->now += 599 * (uint64_t)SEC;
    writes(w, 4000, 2000);
    run(w);
    OUT(w, A, 4001, 1, 1260);
    OUT(w, P | A, 5261, 1, 740);
    w->now += 2 * SEC;
    IN(w, A, 1, 6001);
    assert_int_equal(COUNTER(w, path_mtu_raised), 1);
    writes(w, 6000, 2000);
    run(w);
    OUT(w, A, 6001, 1, 1460);
    OUT(w, P | A, 7461, 1, 540);
    too_big(w, 6001, 1300); /* it had not */
    OUT(w, A, 6001, 1, 1260);
    world_delete(w);
}

/* Not while the congestion window would not let a larger segment go. */
static void raised_when_it_can_be_used(void **state)
{
    struct world *w = world_new();

    (void)state;
    sending(w, false);
    too_big(w, 1, 552);
    wait_us(w, SEC);
    w->head = w->tail;
    assert_int_equal(w->c->cwnd, 512);
    w->c->mtu_until = w->now;
    IN(w, A, 1, 513);
    assert_int_equal(w->c->mtu, 552);
    for (uint32_t ack = 1025; ack < 4001 && w->c->mtu == 552; ack += 512)
        IN(w, A, 1, ack);
    assert_int_equal(w->c->mtu, 1500);
    world_delete(w);
}

/* The next connection to the same place starts right, others are not concerned. */
static void remembered_by_destination(void **state)
{
    struct world *w = world_new();

    (void)state;
    sending(w, false);
    too_big(w, 1, 1300);
    w->head = w->tail;
    w->peer_port++;
    IN(w, S, .mss = 9000);
    OUT(w, S | A, 0, 1, .mss = 1460); /* RFC 6691: of the link, not of the path */
    assert_int_equal(w->t->conns[1].mtu, 1300);
    w->peer_port++;
    w->peer.b[15]++;
    IN(w, S, .mss = 9000);
    assert_int_equal(w->t->conns[2].mtu, 1500);
    w->now += 300 * (uint64_t)SEC; /* the second is learnt later */
    PUT(w, S, .mss = 9000);
    tcp_output(w->t, w->now); /* the first's timers wait: this is another peer */
    told(w, 0, 1200);
    w->peer_port++;
    w->peer.b[15]--;
    w->now += 301 * (uint64_t)SEC;
    PUT(w, S, .mss = 9000);
    assert_int_equal(w->t->conns[3].mtu, 1500);
    w->peer_port++;
    w->peer.b[15]++;
    PUT(w, S, .mss = 9000);
    assert_int_equal(w->t->conns[4].mtu, 1200);
    w->side = NET_OUTSIDE; /* another road */
    assert_non_null(tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now));
    assert_int_equal(w->t->conns[5].mtu, 1500);
    world_delete(w);
}

/* Many destinations: bounded, and what is found is never another's. */
static void many_destinations(void **state)
{
    struct world *w = world_new();
    unsigned right = 0;

    (void)state;
    w->side = NET_OUTSIDE;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 400; i++) {
            w->peer.b[15] = (uint8_t)i;
            w->peer.b[14] = (uint8_t)(i >> 8);
            w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
            run(w);
            OUT(w, S, 0, 0);
            if (round) {
                assert_true(w->c->mtu == 1500 || w->c->mtu == 900 + i);
                right += w->c->mtu != 1500;
            } else {
                too_big(w, 0, 900 + i);
            }
            tcp_abort(w->c);
        }
    }
    assert_true(right > 100 && right <= TCP_PATHS);
    world_delete(w);
}

/* `n` bytes are written behind the first 4000, and everything is acknowledged. */
static void all_arrives(struct world *w, uint32_t n)
{
    uint32_t done = 0;

    while (done < n || w->c->snd_una != w->c->snd_end) {
        done += (uint32_t)writes(w, 4000 + done, n - done);
        run(w);
        w->head = w->tail;
        IN(w, A, 1, w->c->snd_nxt - w->us_iss);
    }
    w->head = w->tail;
}

/* RFC 4821 7.7: full-sized segments vanish and no router says why. */
static void black_hole(void **state)
{
    struct world *w = world_new();
    uint64_t again;

    (void)state;
    sending(w, false);
    while (COUNTER(w, retransmits_timeout) < 2)
        wait_us(w, MS);
    OUT(w, A, 1, 1, 1460);
    OUT(w, A, 1, 1, 1460);
    while (COUNTER(w, retransmits_timeout) < 4)
        wait_us(w, MS);
    OUT(w, A, 1, 1, 1240);
    OUT(w, A, 1, 1, 1240);
    assert_int_equal(COUNTER(w, path_mtu_guessed), 1);
    assert_int_equal(w->t->paths_until, 0); /* not yet known to be the reason */
    while (COUNTER(w, retransmits_timeout) < 5)
        wait_us(w, MS);
    OUT(w, A, 1, 1, 536);
    IN(w, A, 1, 537); /* an outage would end like this too */
    assert_int_equal(w->t->paths_until, 0);
    all_arrives(w, 60000);
    assert_int_equal(w->c->mtu, 1500);
    again = COUNTER(w, retransmits_timeout);
    writes(w, 64000, 20000);
    while (COUNTER(w, retransmits_timeout) < again + 4)
        wait_us(w, MS);
    assert_int_equal(w->c->mtu, 1280);
    IN(w, A, 1, w->c->snd_una - w->us_iss + 1240); /* once more: that it was */
    assert_int_equal(w->c->mtu, 1280);
    w->peer_port++;
    w->head = w->tail;
    IN(w, S, .mss = 9000);
    assert_int_equal(w->t->conns[1].mtu, 1280);
    world_delete(w);
}

static void no_black_hole_for_small_segments(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 500);
    run(w);
    OUT(w, P | A, 1, 1, 500);
    wait_us(w, 60 * (uint64_t)SEC);
    assert_true(COUNTER(w, retransmits_timeout) > 5);
    assert_int_equal(COUNTER(w, path_mtu_guessed), 0);
    world_delete(w);
}

/* --------------------------------------------------------------- ports */

static unsigned asked, one_in;

/* As Toeplitz would: some function of the 4-tuple. */
static bool one_in_so_many(void *ctx, enum net_side side, const struct net_addr *local,
                           const struct net_addr *remote, uint16_t lport, uint16_t rport)
{
    struct world *w = ctx;

    asked++;
    assert_int_equal(side, NET_OUTSIDE);
    assert_true(net_addr_eq(local, &w->us) && net_addr_eq(remote, &w->peer));
    assert_int_equal(rport, 443);
    return one_in && (lport * 2654435761u >> 12) % one_in == 3 % one_in;
}

static void vendors(struct tcp_config *c)
{
    c->max_conns = 60000;
}

/* A stack that asks, and 600 connections each of whose ports leads back. */
static void ports_lead_back(void **state)
{
    static const unsigned workers[] = {1, 2, 16, 64};

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct world *w = world_with(vendors);

        tcp_delete(w->t);
        w->lower.reaches = one_in_so_many;
        w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
        one_in = workers[k];
        asked = 0;
        for (unsigned i = 0; i < 600; i++) {
            struct tcp_conn *c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);

            assert_non_null(c);
            assert_true(tcp_local_port(c) >= 10240);
            assert_int_equal((tcp_local_port(c) * 2654435761u >> 12) % one_in, 3 % one_in);
        }
        assert_true(asked < 600 * one_in * 3);
        world_delete(w);
    }
}

static void no_port_leads_back(void **state)
{
    struct world *w = world_with(vendors);

    (void)state;
    tcp_delete(w->t);
    w->lower.reaches = one_in_so_many;
    w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
    one_in = 0;
    asked = 0;
    assert_null(tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now));
    assert_int_equal(asked, TCP_PORT_TRIES * TCP_PORT_ASKS);
    assert_int_equal(COUNTER(w, ports_spent), 1);
    world_delete(w);
}

/* More than 64k ports towards one place: the next address when those of the first are spent. */
static void a_pool_of_addresses(void **state)
{
    struct world *w = world_with(vendors);
    struct net_addr srcs[2] = {w->us, w->us};
    unsigned first = 0, second = 0;

    (void)state;
    srcs[1].b[15]++;
    w->cfg.max_conns = 120000;
    tcp_delete(w->t);
    w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
    for (;;) {
        struct tcp_conn *c = tcp_connect_from(w->t, NET_OUTSIDE, srcs, 2, &w->peer, 443, w, w->now);

        if (!c)
            break;
        if (net_addr_eq(tcp_local_addr(c), &srcs[0]))
            first++;
        else
            second++;
        assert_true(second == 0 || first > 50000);
        if (second)
            assert_true(net_addr_eq(tcp_local_addr(c), &srcs[1]) || first <= 55296);
    }
    assert_true(first > 54000 && second > 54000);
    assert_true(first <= 55296 && second <= 55296);
    assert_int_equal(COUNTER(w, ports_spent), 1);
    assert_int_equal(tcp_open_conns(w->t), first + second);
    w->head = w->tail;
    tcp_delete(w->t);
    w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
    world_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowered_by_a_router),
        cmocka_unit_test(not_believed),
        cmocka_unit_test(no_ipv6_path_is_below_1280),
        cmocka_unit_test(plateaus),
        cmocka_unit_test(while_connecting),
        cmocka_unit_test(raised_again),
        cmocka_unit_test(raised_when_it_can_be_used),
        cmocka_unit_test(remembered_by_destination),
        cmocka_unit_test(many_destinations),
        cmocka_unit_test(black_hole),
        cmocka_unit_test(no_black_hole_for_small_segments),
        cmocka_unit_test(ports_lead_back),
        cmocka_unit_test(no_port_leads_back),
        cmocka_unit_test(a_pool_of_addresses),
    };

    return cmocka_run_group_tests_name("tcp/path", tests, test_eal, NULL);
}
