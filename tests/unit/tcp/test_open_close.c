/* Connections begin and end. */
#include "tcp_test.h"

static void passive_open(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    assert_int_equal(w->accepts, 1);
    assert_int_equal(COUNTER(w, accepted), 1);
    assert_int_equal(tcp_remote_port(w->c), 33333);
    assert_int_equal(tcp_local_port(w->c), 443);
    assert_true(net_addr_eq(tcp_remote_addr(w->c), &w->peer));
    world_delete(w);
}

static void active_open(void **state)
{
    struct world *w = world_new();

    (void)state;
    active(w);
    assert_true(tcp_local_port(w->c) >= 10240);
    world_delete(w);
}

static void options_are_agreed(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S, .mss = 1400, .ws = 8, .ts = 77);
    OUT(w, S | A, 0, 1, .mss = 1460, .ws = 8, .ecr = 77);
    IN(w, A, 1, 1, .ts = 78);
    assert_int_equal(writes(w, 0, 3000), 3000);
    run(w);
    OUT(w, A, 1, 1, 1388, .ecr = 78); /* RFC 6691: the option's bytes come out of the MSS */
    OUT(w, A, 1389, 1, 1388);
    OUT(w, P | A, 2777, 1, 224);
    world_delete(w);
}

static void no_options_no_options(void **state)
{
    struct world *w = world_new();
    struct seg s;

    (void)state;
    IN(w, S);
    s = out_any(w);
    assert_int_equal(s.flags, S | A);
    assert_int_equal(s.ts | s.ws, 0);
    IN(w, A, 1, 1);
    assert_int_equal(writes(w, 0, 600), 600);
    run(w);
    OUT(w, A, 1, 1, 536); /* RFC 9293 3.7.1 */
    OUT(w, A, 537, 1, 64);
    world_delete(w);
}

static void a_tiny_mss_is_not_taken(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S, .mss = 1);
    OUT(w, S | A, 0, 1);
    IN(w, A, 1, 1);
    writes(w, 0, 100);
    run(w);
    OUT(w, A, 1, 1, 64);
    OUT(w, A, 65, 1, 36);
    world_delete(w);
}

static void orderly_close_by_the_peer(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, F | A, 1, 1);
    OUT(w, A, 1, 2);
    assert_int_equal(w->events, TCP_EV_EOF);
    assert_true(tcp_eof(w->c));
    expect_state(w, "CLOSE_WAIT");
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 2);
    expect_state(w, "LAST_ACK");
    IN(w, A, 2, 2);
    NONE(w);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_CLOSED);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void orderly_close_by_us(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    expect_state(w, "FIN_WAIT_1");
    IN(w, A, 1, 2);
    expect_state(w, "FIN_WAIT_2");
    IN(w, A | P, 1, 2, 10); /* half closed: the peer still sends */
    READS(w, 0, 10);
    OUT_AFTER(w, 40 * MS, A, 2, 11);
    IN(w, F | A, 11, 2);
    OUT(w, A, 2, 12);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_CLOSED);
    /* TIME_WAIT answers the FIN again. */
    w->now += 200 * MS;
    IN(w, F | A, 11, 2);
    OUT(w, A, 2, 12);
    w->now += 61 * SEC;
    run(w);
    IN(w, F | A, 11, 2); /* over: unknown */
    OUT(w, R, 2, 0);
    world_delete(w);
}

static void data_after_the_peers_half_close(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, F | A | P, 1, 1, 100);
    OUT(w, A, 1, 102);
    READS(w, 0, 100);
    assert_int_equal(writes(w, 0, 2000), 2000);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, A, 1, 102, 1460);
    OUT(w, P | F | A, 1461, 102, 540);
    IN(w, A, 102, 2002);
    assert_int_equal(w->end, TCP_END_CLOSED);
    world_delete(w);
}

static void closed_is_told_after_the_last_byte(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, F | A | P, 1, 2, 50);
    OUT(w, A, 2, 52);
    assert_int_equal(w->events, TCP_EV_READABLE | TCP_EV_EOF);
    assert_non_null(w->c);
    assert_false(tcp_eof(w->c));
    READS(w, 0, 50);
    assert_true(tcp_eof(w->c));
    run(w);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_CLOSED);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void simultaneous_close(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, F | A, 1, 1); /* sent before it saw ours */
    OUT(w, A, 2, 2);
    expect_state(w, "CLOSING");
    IN(w, A, 2, 2);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_CLOSED);
    world_delete(w);
}

static void simultaneous_open(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
    IN(w, S, 0, .mss = 1460);
    OUT(w, S | A, 0, 1);
    expect_state(w, "SYN_RECEIVED");
    IN(w, S | A, 0, 1, .mss = 1460);
    assert_int_equal(w->events, TCP_EV_CONNECTED);
    expect_state(w, "ESTABLISHED");
    assert_int_equal(writes(w, 0, 10), 10);
    run(w);
    OUT(w, P | A, 1, 1, 10);
    world_delete(w);
}

static void close_in_simultaneous_open(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
    IN(w, S, 0, .mss = 1460);
    OUT(w, S | A, 0, 1);
    tcp_close(w->c);
    IN(w, S | A, 0, 1, .mss = 1460);
    OUT(w, F | A, 1, 1);
    IN(w, F | A, 1, 2);
    OUT(w, A, 2, 2);
    assert_int_equal(tcp_open_conns(w->t), 0);
    assert_int_equal(w->events, 0);
    world_delete(w);
}

static void refused(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
    IN(w, R | A, 0, 77); /* not our number */
    assert_non_null(w->c);
    IN(w, R | A, 0, 1);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_REFUSED);
    world_delete(w);
}

static void a_bad_syn_ack_is_reset(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
    IN(w, S | A, 0, 5000);
    OUT(w, R, 5000, 0);
    expect_state(w, "SYN_SENT");
    IN(w, S | A, 0, 1);
    OUT(w, A, 1, 1);
    world_delete(w);
}

static void connect_times_out(void **state)
{
    struct world *w = world_new();
    uint64_t start;

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    start = w->now;
    OUT(w, S, 0, 0);
    for (unsigned i = 0; i < 5; i++)
        OUT_AFTER(w, (1u << i) * (uint64_t)SEC, S, 0, 0);
    wait_us(w, 33 * SEC);
    NONE(w);
    assert_int_equal(w->end, TCP_END_TIMEOUT);
    assert_true(w->now - start < 66 * (uint64_t)SEC);
    world_delete(w);
}

static void half_open_goes_away(void **state)
{
    struct world *w = world_new();

    (void)state;
    IN(w, S);
    OUT(w, S | A, 0, 1);
    wait_us(w, 70 * (uint64_t)SEC);
    assert_int_equal(out_count(w), 5);
    assert_int_equal(tcp_open_conns(w->t), 0);
    assert_int_equal(w->accepts, 0);
    world_delete(w);
}

static void the_owner_may_refuse(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->refuse = true;
    IN(w, S);
    OUT(w, S | A, 0, 1);
    IN(w, A, 1, 1);
    OUT(w, R | A, 1, 1);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void reset_by_the_peer(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A | P, 1, 1, 100);
    IN(w, R, 101);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_RESET);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void abort_resets(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 100);
    run(w);
    OUT(w, P | A, 1, 1, 100);
    tcp_abort(w->c);
    OUT(w, R | A, 101, 1);
    assert_int_equal(tcp_open_conns(w->t), 0);
    assert_int_equal(w->events, 0);
    world_delete(w);
}

static void close_with_unread_data_resets(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A | P, 1, 1, 100);
    tcp_close(w->c);
    OUT(w, R | A, 1, 101);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void data_after_close_resets(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_close(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, A, 1, 2);
    IN(w, A | P, 1, 2, 100);
    OUT(w, R | A, 2, 1);
    assert_int_equal(COUNTER(w, drop_after_close), 1);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void an_orphan_in_fin_wait_2_is_forgotten(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_close(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, A, 1, 2);
    wait_us(w, 59 * (uint64_t)SEC);
    assert_int_equal(tcp_open_conns(w->t), 1);
    wait_us(w, 2 * SEC);
    assert_int_equal(tcp_open_conns(w->t), 0);
    NONE(w);
    world_delete(w);
}

/* A slow reader may take its time; one that stops does not hold us. */
static void an_orphan_must_get_somewhere(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    assert_int_equal(writes(w, 0, 65000), 65000);
    tcp_close(w->c);
    run(w);
    for (unsigned i = 0; i < 10; i++) {
        wait_us(w, 50 * (uint64_t)SEC);
        IN(w, A, 1, 1 + 1460 * (i + 1), .wnd = 1460);
    }
    assert_int_equal(tcp_open_conns(w->t), 1);
    for (unsigned i = 0; i < 200 && tcp_open_conns(w->t); i++) {
        wait_us(w, SEC);
        IN(w, A, 1, 14601, .wnd = NO_WINDOW);
    }
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

static void shutdown_before_connected(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    assert_int_equal(writes(w, 0, 20), 20);
    tcp_shutdown(w->c);
    assert_int_equal(writes(w, 20, 20), 0);
    run(w);
    OUT(w, S, 0, 0);
    IN(w, S | A, 0, 1);
    OUT(w, P | F | A, 1, 1, 20);
    expect_state(w, "FIN_WAIT_1");
    world_delete(w);
}

static void listen_stop(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    tcp_listen_stop(w->t);
    IN(w, A | P, 1, 1, 10);
    READS(w, 0, 10);
    w->peer_port = 44444;
    IN(w, S);
    OUT(w, R | A, 0u - w->us_iss, 1);
    assert_int_equal(COUNTER(w, drop_no_listener), 1);
    world_delete(w);
}

static void what_belongs_to_nothing(void **state)
{
    struct world *w = world_new();

    (void)state;
    w->us_port = 80;
    IN(w, S); /* no listener */
    OUT(w, R | A, 0, 1);
    w->us_port = 443;
    IN(w, A, 5, 9); /* no connection */
    OUT(w, R, 9, 0);
    IN(w, A, 5, 9, 100);
    OUT(w, R, 9, 0);
    IN(w, R, 5);
    NONE(w);
    IN(w, S | F, 0);
    NONE(w);
    w->side = NET_OUTSIDE; /* the listener is inside */
    IN(w, S);
    OUT(w, R | A, 0, 1);
    world_delete(w);
}

static void keepalive(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    OUT_AFTER(w, 600 * (uint64_t)SEC, A, 0, 1); /* one behind: must be answered */
    IN(w, A, 1, 1);
    OUT_AFTER(w, 600 * (uint64_t)SEC, A, 0, 1);
    for (unsigned i = 1; i < 9; i++)
        OUT_AFTER(w, 75 * (uint64_t)SEC, A, 0, 1);
    assert_non_null(w->c);
    wait_us(w, 76 * (uint64_t)SEC);
    OUT(w, R | A, 1, 1);
    assert_int_equal(w->end, TCP_END_TIMEOUT);
    world_delete(w);
}

/* The owner closes, aborts and opens from within events. */
static struct tcp_conn *other;

static void reenter(struct world *w, struct tcp_conn *c, unsigned events)
{
    char buf[64];

    if (events & TCP_EV_READABLE) {
        assert_int_equal(tcp_read(c, buf, sizeof(buf)), 10);
        if (other) {
            tcp_abort(other);
            other = NULL;
        }
        tcp_abort(c);
        w->c = NULL;
        /* Takes the memory that has just become free. */
        w->side = NET_OUTSIDE;
        w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
        assert_non_null(w->c);
    }
}

static void the_owner_may_do_anything_in_an_event(void **state)
{
    struct world *w = world_new();
    uint32_t iss;

    (void)state;
    passive(w);
    other = w->c;
    iss = w->us_iss;
    w->peer_port++;
    passive(w);
    w->on_event = reenter;
    PUT(w, A | P, 1, 1, 10);
    w->peer_port--;
    w->us_iss = iss;
    PUT(w, A | P, 1, 1, 10); /* its event is dropped with it */
    tcp_dispatch(w->t, w->now);
    assert_true(tcp_validate(w->t));
    assert_int_equal(tcp_open_conns(w->t), 1);
    assert_int_equal(w->calls, 1);
    world_delete(w);
}

static void close_when_told_closed(struct world *w, struct tcp_conn *c, unsigned events)
{
    if (events & TCP_EV_CLOSED) {
        w->end = tcp_end_cause(c);
        tcp_close(c);
        w->c = NULL;
    }
}

static void close_in_the_closed_event(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    w->on_event = close_when_told_closed;
    IN(w, R, 1);
    assert_int_equal(tcp_open_conns(w->t), 0);
    assert_int_equal(w->end, TCP_END_RESET);
    world_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passive_open),
        cmocka_unit_test(active_open),
        cmocka_unit_test(options_are_agreed),
        cmocka_unit_test(no_options_no_options),
        cmocka_unit_test(a_tiny_mss_is_not_taken),
        cmocka_unit_test(orderly_close_by_the_peer),
        cmocka_unit_test(orderly_close_by_us),
        cmocka_unit_test(data_after_the_peers_half_close),
        cmocka_unit_test(closed_is_told_after_the_last_byte),
        cmocka_unit_test(simultaneous_close),
        cmocka_unit_test(simultaneous_open),
        cmocka_unit_test(close_in_simultaneous_open),
        cmocka_unit_test(refused),
        cmocka_unit_test(a_bad_syn_ack_is_reset),
        cmocka_unit_test(connect_times_out),
        cmocka_unit_test(half_open_goes_away),
        cmocka_unit_test(the_owner_may_refuse),
        cmocka_unit_test(reset_by_the_peer),
        cmocka_unit_test(abort_resets),
        cmocka_unit_test(close_with_unread_data_resets),
        cmocka_unit_test(data_after_close_resets),
        cmocka_unit_test(an_orphan_in_fin_wait_2_is_forgotten),
        cmocka_unit_test(an_orphan_must_get_somewhere),
        cmocka_unit_test(shutdown_before_connected),
        cmocka_unit_test(listen_stop),
        cmocka_unit_test(what_belongs_to_nothing),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(the_owner_may_do_anything_in_an_event),
        cmocka_unit_test(close_in_the_closed_event),
    };

    return cmocka_run_group_tests_name("tcp/open_close", tests, test_eal, NULL);
}
