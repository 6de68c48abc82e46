/* What strangers send: blind resets, SYNs and data, old duplicates, floods, damaged headers. */
#include "tcp_test.h"

#include <rte_tcp.h>

static void blind_reset(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, R, 2); /* in the window, not the next number: RFC 5961 3.2 */
    OUT(w, A, 1, 1);
    IN(w, R, 60000);
    NONE(w);         /* limited */
    IN(w, R, 70000); /* outside */
    IN(w, R, 0u - 5);
    NONE(w);
    assert_non_null(w->c);
    assert_int_equal(COUNTER(w, drop_blind_reset), 4);
    assert_int_equal(COUNTER(w, challenge_acks), 1);
    assert_int_equal(COUNTER(w, challenge_acks_limited), 1);
    wait_us(w, 501 * MS);
    IN(w, R, 2);
    OUT(w, A, 1, 1);
    IN(w, R, 1); /* what the peer says to that if it means it */
    assert_int_equal(w->end, TCP_END_RESET);
    world_delete(w);
}

static void blind_syn(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, S, 500); /* RFC 5961 4.2, whatever its number */
    OUT(w, A, 1, 1);
    IN(w, S, 0u - 1000);
    NONE(w);
    IN(w, S | A, 1, 1);
    NONE(w);
    expect_state(w, "ESTABLISHED");
    assert_int_equal(COUNTER(w, drop_blind_syn), 3);
    IN(w, A, 1, 1, 10);
    READS(w, 0, 10);
    world_delete(w);
}

static void blind_data(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 1000);
    run(w);
    OUT(w, P | A, 1, 1, 1000);
    IN(w, A, 1, 1002, 100); /* acknowledges what was not sent: RFC 5961 5.2 */
    OUT(w, A, 1001, 1);
    IN(w, A, 1, 0u - 70000, 100); /* older than any window */
    NONE(w);
    assert_int_equal(tcp_readable(w->c), 0);
    assert_int_equal(COUNTER(w, drop_bad_ack), 2);
    IN(w, A, 1, 0u - 1000, 100); /* old, but might be: the data counts */
    assert_int_equal(tcp_readable(w->c), 100);
    assert_int_equal(tcp_unacked(w->c), 1000);
    IN(w, 0, 101, 0, 100); /* no ACK at all */
    assert_int_equal(tcp_readable(w->c), 100);
    world_delete(w);
}

static void outside_the_window(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 66000, 1, 100);
    OUT(w, A, 1, 1);
    IN(w, A, 0u - 100, 1, 100);
    OUT(w, A, 1, 1);
    IN(w, A, 70000, 1); /* without data: not at every one */
    OUT(w, A, 1, 1);
    IN(w, A, 70000, 1);
    NONE(w);
    assert_int_equal(COUNTER(w, drop_out_of_window), 3);
    assert_int_equal(COUNTER(w, drop_duplicate), 1);
    world_delete(w);
}

static void paws(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_ts(w);
    IN(w, A, 1, 1, 100, .ts = 1005);
    IN(w, A, 101, 1, 100, .ts = 1004); /* RFC 7323 5: an old duplicate */
    OUT(w, A, 1, 101, .ecr = 1005);
    assert_int_equal(COUNTER(w, drop_paws), 1);
    IN(w, A, 101, 1, 100, .ts = 1005);
    OUT_AFTER(w, 40 * MS, A, 1, 201);
    READS(w, 0, 200);
    w->ts = 0;
    IN(w, A, 201, 1, 100); /* without: RFC 7323 3.2 */
    assert_int_equal(tcp_readable(w->c), 0);
    assert_int_equal(COUNTER(w, drop_paws), 2);
    w->now += 25 * 86400 * (uint64_t)SEC; /* RFC 7323 5.5: too old to judge by */
    IN(w, A, 201, 1, 100, .ts = 3);
    assert_int_equal(tcp_readable(w->c), 100);
    IN(w, R, 301, .ts = 1); /* resets are not judged by it */
    assert_int_equal(w->end, TCP_END_RESET);
    world_delete(w);
}

/* A segment out of order must not move ts_recent (RFC 7323 4.3): the echo would hide delay. */
static void the_echo_is_of_the_first_unacknowledged(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_ts(w);
    IN(w, A, 101, 1, 100, .ts = 1007);
    OUT(w, A, 1, 1, .ecr = 1000);
    IN(w, A, 1, 1, 100, .ts = 1008);
    OUT(w, A, 1, 201, .ecr = 1008);
    world_delete(w);
}

static void syn_again_in_syn_received(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S);
    OUT(w, S | A, 0, 1);
    IN(w, S);
    OUT(w, S | A, 0, 1); /* ours was lost */
    IN(w, S, 30000);     /* the peer has begun anew: back to LISTEN */
    NONE(w);
    assert_int_equal(tcp_open_conns(w->t), 0);
    w->peer_iss += 30000;
    passive(w);
    world_delete(w);
}

static void bad_ack_in_syn_received(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S);
    OUT(w, S | A, 0, 1);
    IN(w, A, 1, 2);
    OUT(w, R, 2, 0);
    IN(w, A, 1, 0);
    OUT(w, R, 0, 0);
    IN(w, R, 500);
    assert_int_equal(tcp_open_conns(w->t), 1);
    w->head = w->tail;
    IN(w, R, 1);
    NONE(w);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void data_with_the_handshakes_ack(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S, .len = 50); /* data on SYN: not taken, not acknowledged */
    OUT(w, S | A, 0, 1);
    IN(w, A, 51, 1, 50); /* the ACK of the handshake was lost; out of order too */
    OUT(w, A, 1, 1);
    assert_int_equal(w->accepts, 1);
    IN(w, F | A, 1, 1, 50);
    READS(w, 0, 100);
    world_delete(w);
}

static void half_open_is_bounded(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        IN(w, S);
    }
    assert_int_equal(out_count(w), 8);
    assert_int_equal(COUNTER(w, drop_half_open_full), 12);
    assert_int_equal(tcp_open_conns(w->t), 8);
    world_delete(w);
}

static void the_table_is_bounded(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        passive(w);
    }
    w->peer_port = 5000;
    IN(w, S);
    NONE(w);
    assert_int_equal(COUNTER(w, drop_table_full), 1);
    assert_null(tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now));
    assert_int_equal(tcp_open_conns(w->t), 64);
    tcp_abort(w->c);
    w->head = w->tail;
    passive(w);
    world_delete(w);
}

static void time_wait(struct world *w)
{
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, F | A, 1, 2);
    OUT(w, A, 2, 2);
    assert_null(w->c);
}

static void time_wait_reuse_by_timestamp(void **state)
{
    struct world *w = world_new();
    uint32_t last;

    (void)state;
    passive_ts(w);
    time_wait(w);
    last = w->us_iss + 2;
    IN(w, S, 0u - 5, .ts = 1000); /* RFC 6191: neither newer by clock nor by number */
    OUT(w, A, 2, 2);
    IN(w, S, 0u - 5, .ts = 1001);
    assert_int_equal(COUNTER(w, time_wait_reused), 1);
    assert_int_equal(out_any(w).flags, S | A);
    assert_true((int32_t)(w->us_iss - last) > 0); /* above all that was sent before */
    world_delete(w);
}

static void time_wait_reuse_by_number(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    time_wait(w);
    IN(w, S, 1);
    OUT(w, A, 2, 2);
    IN(w, S, 3);
    assert_int_equal(out_any(w).flags, S | A);
    world_delete(w);
}

static void time_wait_assassination(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    time_wait(w);
    IN(w, R, 2); /* RFC 1337 */
    NONE(w);
    IN(w, A, 2, 2);
    NONE(w);
    IN(w, A, 1, 2, 5); /* an old duplicate is answered, but not each */
    OUT(w, A, 2, 2);
    IN(w, A, 1, 2, 5);
    NONE(w);
    assert_int_equal(COUNTER(w, drop_time_wait), 4);
    world_delete(w);
}

static void the_oldest_time_wait_goes(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        w->events = 0;
        passive(w);
        time_wait(w);
        w->now += MS;
    }
    assert_int_equal(COUNTER(w, time_wait_evicted), 24);
    w->peer_port = 1000;
    w->events = 0;
    IN(w, A, 2, 2);
    OUT(w, R, 2, 0);
    world_delete(w);
}

static void isns_differ(void **state)
{
    struct world *w = world_new();
    uint32_t first;

    (void)state;
    IN(w, S);
    first = w->us_iss;
    w->peer_port++;
    IN(w, S);
    assert_true(w->us_iss - first > 1000 && first - w->us_iss > 1000);
    w->peer_port--;
    IN(w, R, 1);
    w->now += 4000;
    IN(w, S);
    assert_int_equal(w->us_iss - first, 1000); /* RFC 6528: the 4 us clock */
    world_delete(w);
}

static void header(struct world *w, const uint8_t *tcp, unsigned n)
{
    struct net_segment s = {.src = w->peer, .dst = w->us, .side = w->side};

    s.m = rte_pktmbuf_alloc(w->pool);
    assert_non_null(s.m);
    memcpy(rte_pktmbuf_append(s.m, (uint16_t)n), tcp, n);
    tcp_input(w->t, &s, w->now);
    run(w);
}

static void damaged_headers(void **state)
{
    struct world *w = world_new();
    static const uint8_t opts[][8] = {
        {2, 0},
        {2, 1},
        {2, 3, 1},
        {2, 5, 1, 1, 1},
        {1, 1, 1, 1, 1, 1, 1, 8},
        {8, 11},
        {3, 4, 1, 1},
        {8, 10, 1, 1, 1, 1, 1, 1},
        {30, 255},
    };
    uint8_t h[60] = {0x80, 0, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, S, 1, 1};

    (void)state;
    for (unsigned n = 0; n < 20; n++)
        header(w, h, n);
    h[12] = 0x40; /* too short to be one */
    header(w, h, 60);
    h[12] = 0xf0; /* longer than the segment */
    header(w, h, 59);
    h[12] = 0x70;
    for (unsigned i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
        memcpy(h + 20, opts[i], 8);
        header(w, h, 28);
    }
    assert_int_equal(COUNTER(w, drop_header), 22 + 9);
    NONE(w);
    memcpy(h + 20, (const uint8_t[]){1, 254, 4, 9, 9, 0, 2, 0}, 8); /* unknown; nothing after 0 */
    header(w, h, 28);
    assert_int_equal(out_count(w), 1);
    world_delete(w);
}

static void a_segment_to_itself(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->us = w->peer;
    w->peer_port = 443;
    IN(w, S);
    NONE(w);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void tiny_pool_share(struct tcp_config *c)
{
    c->rcvbuf_initial = 1 << 20;
}

/* Many readers that do not read: data is dropped before the pool is empty, new ones are refused. */
static void unread_data_is_bounded(void **state)
{
    struct world *w = world_with(tiny_pool_share);
    unsigned before = test_pool_free(w->pool);
    uint32_t iss[50];

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        IN(w, S, .mss = 1460, .ws = 8);
        OUT(w, S | A, 0, 1);
        iss[i] = w->us_iss;
        IN(w, A, 1, 1);
    }
    for (unsigned i = 0; i < 50; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        w->us_iss = iss[i];
        for (uint32_t seq = 1; seq < 200 * 1460; seq += 1460, w->head = w->tail)
            IN(w, A, seq, 1, 1460);
        w->head = w->tail;
        if (before - test_pool_free(w->pool) >= before / 2)
            break;
    }
    assert_true(test_pool_free(w->pool) > before / 2 - 50);
    assert_true(COUNTER(w, drop_window_full) > 0);
    w->peer_port = 999;
    IN(w, S);
    assert_int_equal(COUNTER(w, drop_pressure), 1);
    NONE(w);
    world_delete(w);
}

static void ports_differ_by_destination(void **state)
{
    struct world *w = world_new();
    struct tcp_conn *a, *b, *c;
    struct net_addr elsewhere = w->peer;
    unsigned pa, pb, pc;

    (void)state;
    elsewhere.b[15]++;
    a = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    b = tcp_connect(w->t, NET_OUTSIDE, &w->us, &elsewhere, 443, w, w->now);
    c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    pa = tcp_local_port(a), pb = tcp_local_port(b), pc = tcp_local_port(c);
    assert_true(pa != pb && pa != pc);
    assert_true(pa >= 10240 && pb >= 10240 && pc >= 10240);
    world_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blind_reset),
        cmocka_unit_test(blind_syn),
        cmocka_unit_test(blind_data),
        cmocka_unit_test(outside_the_window),
        cmocka_unit_test(paws),
        cmocka_unit_test(the_echo_is_of_the_first_unacknowledged),
        cmocka_unit_test(syn_again_in_syn_received),
        cmocka_unit_test(bad_ack_in_syn_received),
        cmocka_unit_test(data_with_the_handshakes_ack),
        cmocka_unit_test(half_open_is_bounded),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(time_wait_reuse_by_timestamp),
        cmocka_unit_test(time_wait_reuse_by_number),
        cmocka_unit_test(time_wait_assassination),
        cmocka_unit_test(the_oldest_time_wait_goes),
        cmocka_unit_test(isns_differ),
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(a_segment_to_itself),
        cmocka_unit_test(unread_data_is_bounded),
        cmocka_unit_test(ports_differ_by_destination),
    };

    return cmocka_run_group_tests_name("tcp/attack", tests, test_eal, NULL);
}
