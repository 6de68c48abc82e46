/* What gives way when mbufs run short: windows first, then new connections, then those that stand
 * still. The pool has 4096 mbufs; receiving may hold half of them, sending a third. */
#include "tcp_test.h"

#include "tcp/tcp_internal.h"

#define SHORT  1024u
#define SCARCE 1536u
#define SPENT  1792u

static void large_windows(struct tcp_config *c)
{
    c->rcvbuf_initial = 1 << 19;
    c->keepalive_us = 0;
    c->time_wait_us = SEC;
}

static struct world *world(void)
{
    return world_with(large_windows);
}

/* A connection of a peer, to be come back to. */
struct one {
    struct tcp_conn *c;
    uint32_t iss, seq; /* ours; the peer's next */
    uint16_t port;
};

static void turn_to(struct world *w, const struct one *o)
{
    w->c = o->c;
    w->events = 0;
    w->us_iss = o->iss;
    w->peer_port = o->port;
}

static struct one opened(struct world *w, unsigned n)
{
    struct one o = {.port = (uint16_t)(1000 + n), .seq = 1};

    w->peer_port = o.port;
    w->head = w->tail;
    IN(w, S, .mss = 1460, .ws = 8);
    OUT(w, S | A, 0, 1);
    IN(w, A, 1, 1);
    o.c = w->c;
    o.iss = w->us_iss;
    return o;
}

/* The peer sends `n` full segments that nobody reads. */
static void filled(struct world *w, struct one *o, unsigned n)
{
    turn_to(w, o);
    w->c = NULL; /* whose end is looked at */
    for (; n; n--, o->seq += 1460, w->head = w->tail)
        IN(w, A, o->seq, 1, 1460);
}

static unsigned held(const struct world *w)
{
    return w->t->rx_held + w->t->tx_held;
}

static void the_shares(void **state)
{
    struct world *w = world();

    (void)state;
    assert_int_equal(w->t->rx_soft, SHORT);
    assert_int_equal(w->t->rx_hard / 4 * 3, SCARCE);
    assert_int_equal(w->t->rx_hard / 8 * 7, SPENT);
    assert_true(w->t->tx_max / 8 * 7 > w->t->tx_max / 4 * 3);
    assert_true(w->t->held_max > SPENT);
    world_delete(w);
}

/* Windows stop growing, new ones are refused, idle ones go: in this order. */
static void the_order(void **state)
{
    struct world *w = world();
    struct one o[10];
    unsigned refused_at = 0, reset_at = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        o[i] = opened(w, i);
    w->now += 100 * (uint64_t)SEC;
    for (unsigned i = 0; i < 400 && !reset_at; i++) {
        uint64_t refused = COUNTER(w, drop_pressure);

        filled(w, &o[i % 10], 20);
        w->now += SEC;
        w->peer_port = 999;
        IN(w, S, .mss = 1460);
        if (!refused_at && COUNTER(w, drop_pressure) > refused)
            refused_at = held(w);
        IN(w, R, 1);
        w->head = w->tail;
        if (COUNTER(w, resets_pressure))
            reset_at = i;
        assert_true(refused_at || held(w) < SCARCE);
    }
    assert_true(refused_at >= SCARCE && refused_at < SPENT);
    assert_true(reset_at);
    world_delete(w);
}

static void the_longest_idle_goes(void **state)
{
    struct world *w = world();
    struct one o[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 5; i++) { /* 1750 */
        filled(w, &o[4 - i], 350);
        w->now += (80u >> i) * (uint64_t)SEC;
        run(w);
    }
    w->head = w->tail;
    assert_int_equal(COUNTER(w, resets_pressure), 0);
    turn_to(w, &o[6]);
    for (unsigned i = 0; i < 42; i++, o[6].seq += 1460)
        PUT(w, A, o[6].seq, 1, 1460);
    turn_to(w, &o[4]); /* 155 s */
    for (unsigned i = 0; i < 4; i++)
        run(w);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_NO_MEMORY);
    assert_string_equal(tcp_end_name(w->end), "no_memory");
    assert_int_equal(COUNTER(w, resets_pressure), 1);
    assert_int_equal(tcp_open_conns(w->t), 7);
    assert_int_equal(held(w), 1792 - 350);
    world_delete(w);
}

static bool reset_seen(struct world *w)
{
    bool seen = false;

    while (out_count(w))
        seen |= (out_any(w).flags & R) != 0;
    return seen;
}

/* Nothing is reset that has moved within a second, however full the pool is. */
static void who_moves_stays(void **state)
{
    struct world *w = world();
    struct one o[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 6; i++)
        filled(w, &o[i], 300);
    assert_true(held(w) >= SPENT);
    for (unsigned i = 0; i < 6000; i++) {
        char b[1];

        turn_to(w, &o[i % 6]);
        assert_int_equal(tcp_read(w->c, b, 1), 1);
        w->now += 100 * MS;
        run(w);
    }
    assert_int_equal(COUNTER(w, resets_pressure), 0);
    assert_true(held(w) >= SPENT);
    wait_us(w, 2 * SEC);
    assert_true(COUNTER(w, resets_pressure) > 0);
    assert_true(reset_seen(w));
    assert_true(held(w) < SPENT);
    world_delete(w);
}

static void a_long_silence_does_not_count_before_it_holds(void **state)
{
    struct world *w = world();
    struct one o[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        o[i] = opened(w, i);
    w->now += 5000 * (uint64_t)SEC;
    for (unsigned i = 0; i < 6; i++)
        filled(w, &o[i], 300);
    wait_us(w, 900 * MS);
    assert_int_equal(COUNTER(w, resets_pressure), 0);
    turn_to(w, &o[0]);
    w->events = 0;
    assert_true(held(w) >= SPENT);
    world_delete(w);
}

#define SENDERS 48

/* Sends until its share is spent; returns how many connections that took. */
static unsigned sent_to_all(struct world *w, struct one o[SENDERS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < SENDERS; i++)
        o[i] = opened(w, i);
    w->now += 5000 * (uint64_t)SEC; /* silence before does not count */
    run(w);
    for (; n < SENDERS && w->t->tx_held < w->t->tx_max / 8 * 7; n++) {
        turn_to(w, &o[n]);
        assert_true(writes(w, 0, 256 * 1024) > 0);
        run(w);
        w->head = w->tail;
    }
    assert_true(w->t->tx_held >= w->t->tx_max / 8 * 7);
    return n;
}

static const struct tcp_conn *gone;

static void note_end(struct world *w, struct tcp_conn *c, unsigned events)
{
    (void)w;
    if (!(events & TCP_EV_CLOSED))
        return;
    gone = c;
    assert_int_equal(tcp_end_cause(c), TCP_END_NO_MEMORY);
}

/* The peer takes nothing of what we send, though it answers. */
static void unacknowledged_bytes_count(void **state)
{
    struct world *w = world();
    struct one o[SENDERS];
    unsigned n = sent_to_all(w, o);

    (void)state;
    gone = NULL;
    w->on_event = note_end;
    for (unsigned i = 0; i < 20 && !COUNTER(w, resets_pressure); i++) {
        for (unsigned k = 0; k < n; k++) {
            turn_to(w, &o[k]);
            if (k != 3)
                IN(w, A, 1, 1 + 100 * (i + 1), .wnd = 3000);
        }
        turn_to(w, &o[3]);
        IN(w, A, 1, 1, .wnd = NO_WINDOW);
        w->now += 100 * MS;
        w->head = w->tail;
        run(w);
        assert_true(i > 8 || !COUNTER(w, resets_pressure));
    }
    assert_int_equal(COUNTER(w, resets_pressure), 1);
    assert_ptr_equal(gone, o[3].c);
    world_delete(w);
}

/* Bytes behind a hole, whose first never comes. */
static void runs_count(void **state)
{
    struct world *w = world();
    struct one o[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        o[i] = opened(w, i);
        filled(w, &o[i], 1);
        turn_to(w, &o[i]);
        READS(w, 0, 1460);
        run(w);
        o[i].seq += 1460; /* lost */
    }
    for (unsigned i = 0; i < 6; i++)
        filled(w, &o[i], 300);
    assert_true(held(w) >= SPENT);
    assert_int_equal(tcp_readable(o[0].c), 0);
    w->events = 0;
    wait_us(w, 3 * SEC);
    assert_true(COUNTER(w, resets_pressure) >= 1);
    assert_true(held(w) < SPENT);
    world_delete(w);
}

/* What was not read is lost, and must not look like an orderly end. */
static bool eof_seen;

static void look(struct world *w, struct tcp_conn *c, unsigned events)
{
    (void)w;
    if (events & TCP_EV_CLOSED) {
        eof_seen |= tcp_eof(c);
        assert_int_equal(tcp_readable(c), 0);
    }
}

/* Newcomers are not kept out for long by who does not read, even if he leaves some mbufs. */
static void scarce_for_seconds(void **state)
{
    struct world *w = world();
    struct one o[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 5; i++)
        filled(w, &o[i], 320);
    w->c = NULL;
    assert_true(held(w) >= SCARCE && held(w) < SPENT);
    for (unsigned i = 0; i < 19; i++) {
        w->now += 100 * MS;
        run(w);
    }
    assert_int_equal(COUNTER(w, resets_pressure), 0);
    for (unsigned i = 0; i < 20; i++) {
        w->now += 100 * MS;
        run(w);
    }
    assert_int_equal(COUNTER(w, resets_pressure), 1); /* enough */
    assert_true(held(w) < SCARCE);
    world_delete(w);
}

static void lost_bytes_are_no_eof(void **state)
{
    struct world *w = world();
    struct one o[8];

    (void)state;
    eof_seen = false;
    for (unsigned i = 0; i < 8; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 5; i++)
        filled(w, &o[i], 300);
    turn_to(w, &o[0]); /* half closed by the peer */
    IN(w, F | A, o[0].seq, 1);
    turn_to(w, &o[1]); /* closed both ways, not read */
    tcp_shutdown(w->c);
    run(w);
    IN(w, F | A, o[1].seq, 2);
    filled(w, &o[5], 300);
    assert_true(held(w) >= SPENT);
    w->on_event = look;
    w->c = NULL;
    w->events = 0;
    w->t->pressure_idle = 0; /* all of them go */
    for (unsigned i = 0; i < 6; i++) {
        w->t->rx_hard = 8; /* whatever is held is too much */
        run(w);
    }
    assert_false(eof_seen);
    assert_int_equal(COUNTER(w, resets_pressure), 6);
    assert_int_equal(held(w), 0);
    assert_int_equal(tcp_open_conns(w->t), 2);
    world_delete(w);
}

/* RFC 9293 3.8.6.2.1, RFC 7323 2.4: windows get small, but the right edge never moves left; when
 * there is room again they are as before. */
static void windows_shrink_and_recover(void **state)
{
    struct world *w = world();
    struct one o[8];
    uint32_t edge = 0, smallest = UINT32_MAX, largest = 0, at = 0;
    char waste[1];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 5; i++) /* 1600: scarce */
        filled(w, &o[i], 320);
    turn_to(w, &o[7]);
    for (unsigned i = 0; i < 2000; i++) {
        IN(w, A, o[7].seq, 1, 1000); /* read at once */
        o[7].seq += 1000;
        READS(w, at, 1000);
        at += 1000;
        run(w);
        w->now += 10 * MS;
        for (unsigned k = 0; i % 50 == 0 && k < 5; k++) /* slow, but no standstill */
            (void)tcp_read(o[k].c, waste, 1);
        while (out_count(w)) {
            struct seg s = out_any(w);
            uint32_t wnd = s.wnd << w->t->rcv_scale;

            assert_true(s.ack + wnd + (1u << w->t->rcv_scale) > edge); /* scaling rounds */
            edge = s.ack + wnd;
            smallest = i > 1000 && wnd < smallest ? wnd : smallest;
        }
    }
    assert_true(smallest <= TCP_RCVBUF_SCARCE);
    assert_true(smallest >= 1000);
    for (unsigned i = 0; i < 5; i++)
        tcp_abort(o[i].c);
    w->head = w->tail;
    turn_to(w, &o[7]);
    for (unsigned i = 0; i < 100; i++) {
        IN(w, A, o[7].seq, 1, 1000);
        o[7].seq += 1000;
        READS(w, at, 1000);
        at += 1000;
        run(w);
        w->now += 10 * MS;
        while (out_count(w))
            largest = out_any(w).wnd << w->t->rcv_scale;
    }
    assert_true(largest > 400000);
    world_delete(w);
}

static void many(struct tcp_config *c)
{
    c->max_conns = 300;
    c->keepalive_us = 0;
}

/* One loop looks at 64 connections, and takes no more than are needed. */
static void work_is_bounded(void **state)
{
    struct world *w = world_with(many);
    struct one o[260];

    (void)state;
    for (unsigned i = 0; i < 260; i++)
        o[i] = opened(w, i);
    for (unsigned i = 0; i < 250; i++)
        filled(w, &o[i], i < 200 ? 3 : 1);
    w->now += 70 * (uint64_t)SEC;
    for (unsigned i = 200; i < 250; i++)
        filled(w, &o[i], 22);
    assert_int_equal(COUNTER(w, resets_pressure), 0);
    w->c = NULL;
    for (unsigned i = 250; held(w) < SPENT; i++)
        for (unsigned k = 0; k < 40 && held(w) < SPENT; k++) {
            turn_to(w, &o[i]);
            PUT(w, A, o[i].seq, 1, 1460);
            o[i].seq += 1460;
        }
    w->t->pressure_hand = 0;
    w->t->pressure_idle = 64 * (uint64_t)SEC;
    w->c = NULL;
    run(w);
    assert_int_equal(COUNTER(w, resets_pressure), 1);
    w->t->rx_hard = 8;
    run(w);
    assert_int_equal(COUNTER(w, resets_pressure), 65);
    run(w);
    assert_int_equal(COUNTER(w, resets_pressure), 129);
    world_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shares),
        cmocka_unit_test(the_order),
        cmocka_unit_test(the_longest_idle_goes),
        cmocka_unit_test(who_moves_stays),
        cmocka_unit_test(a_long_silence_does_not_count_before_it_holds),
        cmocka_unit_test(unacknowledged_bytes_count),
        cmocka_unit_test(runs_count),
        cmocka_unit_test(scarce_for_seconds),
        cmocka_unit_test(lost_bytes_are_no_eof),
        cmocka_unit_test(windows_shrink_and_recover),
        cmocka_unit_test(work_is_bounded),
    };

    return cmocka_run_group_tests_name("tcp/pressure", tests, test_eal, NULL);
}
