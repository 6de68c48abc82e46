/* Bytes both ways: order, windows, loss, timers. */
#include "tcp_test.h"

/* ------------------------------------------------------------- receiving */

static void ack_every_second_segment(void **state)
{
    struct world *w = world_new();
    uint32_t seq = 1;

    (void)state;
    passive(w);
    for (unsigned i = 0; i < 16;
         i++, seq += 1460) { /* at first each: the sender's window is small */
        IN(w, A, seq, 1, 1460);
        OUT(w, A, 1, seq + 1460);
    }
    IN(w, A, seq, 1, 1460);
    NONE(w);
    IN(w, A, seq + 1460, 1, 1460);
    OUT(w, A, 1, seq + 2920);
    IN(w, A, seq + 2920, 1, 1460);
    NONE(w);
    OUT_AFTER(w, 40 * MS, A, 1, seq + 4380); /* RFC 9293 3.8.6.3: not later than 500 ms */
    READS(w, 0, seq - 1 + 4380);
    assert_int_equal(COUNTER(w, delayed_acks), 1);
    world_delete(w);
}

static void data_carries_the_ack(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    PUT(w, A | P, 1, 1, 100);
    tcp_dispatch(w->t, w->now);
    writes(w, 0, 50);
    run(w);
    OUT(w, P | A, 1, 101, 50);
    IN(w, A, 101, 51);
    wait_us(w, 300 * MS);
    NONE(w);
    world_delete(w);
}

static void out_of_order(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1001, 1, 1000);
    OUT(w, A, 1, 1);
    IN(w, A, 3001, 1, 1000);
    OUT(w, A, 1, 1);
    assert_int_equal(tcp_readable(w->c), 0);
    IN(w, A, 1, 1, 1000);
    OUT(w, A, 1, 2001); /* RFC 5681 4.2: at once when a gap is filled */
    READS(w, 0, 2000);
    IN(w, A, 2001, 1, 1000);
    OUT(w, A, 1, 4001);
    READS(w, 2000, 2000);
    world_delete(w);
}

/* A burst of segments behind a hole makes as many duplicate ACKs: the sender counts them. */
static void each_segment_behind_a_hole_is_answered(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    for (unsigned i = 1; i <= 5; i++)
        PUT(w, A, 1 + 1000 * i, 1, 1000);
    run(w);
    for (unsigned i = 0; i < 5; i++)
        OUT(w, A, 1, 1);
    NONE(w);
    world_delete(w);
}

static void overlaps(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 101, 1, 100); /* [100, 200) */
    IN(w, A, 301, 1, 100); /* [300, 400) */
    IN(w, A, 151, 1, 100); /* [150, 250) over the first's end */
    IN(w, A, 201, 1, 150); /* [200, 350) over both */
    IN(w, A, 51, 1, 500);  /* [50, 550) over all */
    IN(w, A, 120, 1, 10);  /* within */
    IN(w, A, 51, 1, 500);  /* the same again */
    IN(w, A, 1, 1, 60);    /* fills up to 60 */
    READS(w, 0, 550);
    IN(w, A, 501, 1, 100); /* half old */
    READS(w, 550, 50);
    IN(w, A, 1, 1, 600); /* all old */
    READS(w, 600, 0);
    world_delete(w);
}

static void chains_are_taken(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .len = 1000, .split = 100);
    IN(w, A, 2001, 1, .len = 1000, .split = 300);
    IN(w, A, 501, 1, .len = 1400, .split = 7);
    IN(w, A, 1801, 1, .len = 1400, .split = 250);
    READS(w, 0, 3200);
    world_delete(w);
}

static void fin_out_of_order(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, F | A, 201, 1, 100);
    OUT(w, A, 1, 1);
    IN(w, A, 101, 1, 100);
    OUT(w, A, 1, 1);
    assert_int_equal(w->events, 0);
    IN(w, A, 1, 1, 100);
    OUT(w, A, 1, 302);
    assert_int_equal(w->events, TCP_EV_READABLE | TCP_EV_EOF);
    expect_state(w, "CLOSE_WAIT");
    READS(w, 0, 300);
    world_delete(w);
}

static void lone_fin_out_of_order(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, F | A, 101, 1);
    OUT(w, A, 1, 1);
    IN(w, A, 1, 1, 100);
    OUT(w, A, 1, 102);
    READS(w, 0, 100);
    assert_true(tcp_eof(w->c));
    world_delete(w);
}

/* A FIN in the middle of data that is here already; data behind a FIN. */
static void contradicting_fins(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 101, 1, 100);
    IN(w, F | A, 151, 1, 10); /* [150, 160) and the end: but 160..200 is here */
    IN(w, A, 1, 1, 100);
    READS(w, 0, 200);
    assert_false(tcp_eof(w->c));
    IN(w, F | A, 301, 1);     /* the end is 300 */
    IN(w, A, 251, 1, 200);    /* reaches beyond it: cut */
    IN(w, F | A, 401, 1, 10); /* beyond it: dropped */
    IN(w, A, 201, 1, 50);
    READS(w, 200, 100);
    assert_true(tcp_eof(w->c));
    expect_state(w, "CLOSE_WAIT");
    world_delete(w);
}

static void small_window(struct tcp_config *c)
{
    c->rcvbuf_initial = 32768;
}

static void the_window_closes_and_opens(void **state)
{
    struct world *w = world_with(small_window);
    struct seg s = {0};
    uint32_t seq = 1;

    (void)state;
    passive(w);
    while (seq + 1460 <= 32768) {
        IN(w, A, seq, 1, 1460);
        seq += 1460;
        while (out_count(w)) {
            uint32_t edge = s.ack + s.wnd;
            s = out_any(w);
            assert_true(s.ack + s.wnd >= edge); /* the right edge never moves left */
        }
    }
    wait_us(w, 50 * MS);
    IN(w, A, seq, 1, 32768 + 1 - seq); /* to the last byte of it */
    wait_us(w, 50 * MS);
    while (out_count(w))
        s = out_any(w);
    assert_int_equal(s.wnd, 0);
    assert_int_equal(s.ack, 32769);
    IN(w, A, 32769, 1, 1); /* a probe */
    OUT(w, A, 1, 32769, .wnd = NO_WINDOW);
    assert_int_equal(COUNTER(w, drop_window_full), 1);
    IN(w, A, 32769, 1, 1000); /* a sender that does not care */
    OUT(w, A, 1, 32769, .wnd = NO_WINDOW);
    READS(w, 0, 32768);
    run(w);
    s = out_any(w); /* the update */
    assert_true(s.wnd > 30000);
    IN(w, A, 32769, 1, 1);
    READS(w, 32768, 1);
    world_delete(w);
}

/* A reader of single bytes must not make the peer send tiny segments. */
static void receiver_silly_window(void **state)
{
    struct world *w = world_with(small_window);
    struct seg s = {0};
    char b[1400];

    (void)state;
    passive(w);
    for (uint32_t seq = 1; seq < 32769; seq += 1024)
        IN(w, A, seq, 1, 1024);
    wait_us(w, 50 * MS);
    while (out_count(w))
        s = out_any(w);
    assert_int_equal(s.wnd, 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(tcp_read(w->c, b, 1), 1);
    run(w);
    NONE(w);
    IN(w, A, 32769, 1, 1); /* asked, it still says none */
    OUT(w, A, 1, 32769, .wnd = NO_WINDOW);
    assert_int_equal(tcp_read(w->c, b, 24), 24);
    run(w);
    OUT(w, A, 1, 32769, .wnd = 1024);
    world_delete(w);
}

/* The largest window advertised while 4.4 MB are read as fast as they come over a 20 ms path. */
static unsigned largest_window(struct world *w)
{
    static uint8_t buf[1 << 20];
    unsigned largest = 0;
    uint32_t seq = 1;

    IN(w, S, .mss = 1460, .ws = 8);
    OUT(w, S | A, 0, 1);
    w->now += 20 * MS;
    IN(w, A, 1, 1);
    for (unsigned i = 0; i < 3000; i++, seq += 1460) {
        IN(w, A, seq, 1, 1460);
        w->now += 100;
        tcp_read(w->c, buf, sizeof(buf));
        while (out_count(w)) {
            unsigned wnd = out_any(w).wnd << 7;
            largest = wnd > largest ? wnd : largest;
        }
    }
    return largest;
}

static void the_window_grows_with_use(void **state)
{
    struct world *w = world_new();
    unsigned largest = largest_window(w);

    (void)state;
    assert_true(largest > 400000); /* 14.6 MB/s over 20 ms is 292 KB, and twice that is asked for */
    assert_true(largest <= 2 << 20);
    world_delete(w);
}

/* Others that do not read hold a third of the pool: windows stay as they are. */
static void the_window_does_not_grow_when_mbufs_are_scarce(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (unsigned i = 0; w->mbufs - test_pool_free(w->pool) < w->mbufs / 3; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        passive(w);
        for (uint32_t seq = 1; seq < 40 * 1460; seq += 1460)
            IN(w, A, seq, 1, 1460);
        w->head = w->tail;
    }
    w->peer_port = 999;
    assert_true(largest_window(w) <= 65536);
    world_delete(w);
}

/* Single bytes must not hold a buffer of the pool each. */
static void small_segments_do_not_pin_the_pool(void **state)
{
    struct world *w = world_new();
    unsigned free_before = test_pool_free(w->pool);

    (void)state;
    passive(w);
    for (uint32_t i = 0; i < 20000; i++, w->head = w->tail)
        IN(w, A, 1 + i, 1, 1);
    assert_true(free_before - test_pool_free(w->pool) < 20);
    for (uint32_t i = 0; i < 10000; i++, w->head = w->tail) /* every other byte */
        IN(w, A, 20003 + 2 * i, 1, 1);
    assert_true(free_before - test_pool_free(w->pool) < 150);
    assert_true(COUNTER(w, drop_ooo_full) > 9000);
    READS(w, 0, 20000);
    world_delete(w);
}

static void peek_takes_nothing(void **state)
{
    struct world *w = world_new();
    uint8_t buf[300];

    (void)state;
    passive(w);
    IN(w, A, 1, 1, 1460);
    IN(w, A, 1461, 1, 1460);
    assert_int_equal(tcp_peek(w->c, buf, 300), 300);
    assert_int_equal(buf[299], pattern(299, PEER));
    READS(w, 0, 2920);
    assert_int_equal(tcp_peek(w->c, buf, 300), 0);
    world_delete(w);
}

/* --------------------------------------------------------------- sending */

static void small_writes_share_a_segment(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    for (uint32_t i = 0; i < 2000; i += 20)
        assert_int_equal(writes(w, i, 20), 20);
    run(w);
    OUT(w, A, 1, 1, 1460);
    OUT(w, P | A, 1461, 1, 540);
    IN(w, A, 1, 2001);
    assert_int_equal(tcp_unacked(w->c), 0);
    world_delete(w);
}

static void slow_start(void **state)
{
    struct world *w = world_new();
    uint32_t seq = 1;

    (void)state;
    passive(w);
    assert_int_equal(writes(w, 0, 100000), 100000);
    run(w);
    assert_int_equal(out_count(w), 10); /* RFC 6928 */
    for (unsigned i = 0; i < 10; i++, seq += 1460)
        OUT(w, A, seq, 1, 1460);
    IN(w, A, 1, 1 + 2 * 1460);
    assert_int_equal(out_count(w), 4); /* two acknowledged, two more for them */
    for (unsigned i = 0; i < 4; i++, seq += 1460)
        OUT(w, A, seq, 1, 1460);
    world_delete(w);
}

static void the_peers_window_bounds(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = 3000);
    assert_int_equal(writes(w, 0, 10000), 10000);
    run(w);
    OUT(w, A, 1, 1, 1460);
    OUT(w, A, 1461, 1, 1460);
    NONE(w); /* 80 bytes are left: silly */
    IN(w, A, 1, 2921, .wnd = 3000);
    OUT(w, A, 2921, 1, 1460);
    OUT(w, A, 4381, 1, 1460);
    NONE(w);
    world_delete(w);
}

static void zero_window_is_probed(void **state)
{
    struct world *w = world_new();
    uint64_t after = 200 * MS;

    (void)state;
    passive(w);
    assert_int_equal(writes(w, 0, 1000), 1000);
    run(w);
    OUT(w, P | A, 1, 1, 1000);
    IN(w, A, 1, 1001, .wnd = NO_WINDOW);
    assert_int_equal(writes(w, 1000, 2000), 2000);
    run(w);
    NONE(w);
    for (unsigned i = 0; i < 20; i++) { /* far more often than data_retries: it is answered */
        OUT_AFTER(w, after, A, 1001, 1, 1);
        IN(w, A, 1, 1001, .wnd = NO_WINDOW);
        after = after * 2 < 60 * (uint64_t)SEC ? after * 2 : 60 * (uint64_t)SEC;
    }
    NONE(w);
    IN(w, A, 1, 1001, .wnd = 5000);
    OUT(w, A, 1001, 1, 1460);
    OUT(w, P | A, 2461, 1, 540);
    IN(w, A, 1, 3001);
    assert_int_equal(tcp_unacked(w->c), 0);
    assert_int_equal(COUNTER(w, probes_sent), 20);
    world_delete(w);
}

static void a_probe_may_be_taken(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = NO_WINDOW);
    assert_int_equal(writes(w, 0, 2000), 2000);
    run(w);
    NONE(w);
    OUT_AFTER(w, 200 * MS, A, 1, 1, 1);
    IN(w, A, 1, 2, .wnd = NO_WINDOW); /* took the byte, has no more room */
    NONE(w);
    OUT_AFTER(w, 200 * MS, A, 2, 1, 1);
    IN(w, A, 1, 3, .wnd = 4000);
    OUT(w, A, 3, 1, 1458);
    OUT(w, P | A, 1461, 1, 540);
    world_delete(w);
}

static void unanswered_probes_end(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = NO_WINDOW);
    writes(w, 0, 2000);
    run(w);
    wait_us(w, 300 * (uint64_t)SEC);
    assert_int_equal(out_count(w), 9);
    assert_null(w->c);
    assert_int_equal(w->end, TCP_END_TIMEOUT);
    world_delete(w);
}

/* A window smaller than a segment that stays so: the persist timer lets it be used. */
static void a_small_window_is_used_in_the_end(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = 500);
    writes(w, 0, 1000);
    run(w);
    NONE(w);
    OUT_AFTER(w, 200 * MS, A, 1, 1, 500);
    IN(w, A, 1, 501, .wnd = 500);
    OUT(w, P | A, 501, 1, 500);
    world_delete(w);
}

static void fin_waits_for_the_window(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 100);
    run(w);
    OUT(w, P | A, 1, 1, 100);
    IN(w, A, 1, 101, .wnd = NO_WINDOW);
    tcp_shutdown(w->c);
    run(w);
    NONE(w);
    OUT_AFTER(w, 200 * MS, F | A, 101, 1);
    IN(w, A, 1, 101, .wnd = NO_WINDOW);
    IN(w, A, 1, 101, .wnd = 1000);
    OUT(w, F | A, 101, 1);
    IN(w, A, 1, 102);
    expect_state(w, "FIN_WAIT_2");
    world_delete(w);
}

/* The peer takes back a window over what is in flight. */
static void a_window_taken_back(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 5000);
    run(w);
    assert_int_equal(out_count(w), 4);
    while (out_count(w))
        out_any(w);
    IN(w, A, 1, 1, .wnd = NO_WINDOW);
    for (unsigned i = 0; i < 15; i++) {
        wait_us(w, 70 * (uint64_t)SEC);
        IN(w, A, 1, 1, .wnd = NO_WINDOW);
    }
    assert_non_null(w->c);
    while (out_count(w))
        out_any(w);
    IN(w, A, 1, 1, .wnd = 6000); /* it was not congestion: all goes at once */
    OUT(w, A, 1, 1, 1460);
    OUT(w, A, 1461, 1, 1460);
    OUT(w, A, 2921, 1, 1460);
    OUT(w, P | A, 4381, 1, 620);
    world_delete(w);
}

static void retransmission_time_out(void **state)
{
    struct world *w = world_new();
    uint64_t rto;

    (void)state;
    IN(w, S, .mss = 1460);
    OUT(w, S | A, 0, 1);
    w->now += 100 * MS;
    IN(w, A, 1, 1); /* SRTT 100, RTTVAR 50: RTO 300 ms (RFC 6298 2.2) */
    rto = 300 * MS;
    writes(w, 0, 4000);
    run(w);
    OUT(w, A, 1, 1, 1460);
    OUT(w, A, 1461, 1, 1460);
    OUT(w, P | A, 2921, 1, 1080);
    for (unsigned i = 0; i < 2; i++, rto *= 2) /* RFC 6298 5.5 */
        OUT_AFTER(w, rto, A, 1, 1, 1460);      /* one: cwnd is a segment */
    IN(w, A, 1, 1461);
    OUT(w, A, 1461, 1, 1460); /* slow start again */
    OUT(w, P | A, 2921, 1, 1080);
    IN(w, A, 1, 4001);
    NONE(w);
    wait_us(w, 10 * SEC);
    NONE(w);
    assert_int_equal(COUNTER(w, retransmits_timeout), 2);
    world_delete(w);
}

/* The timer of data long acknowledged must not fall on what is sent later. */
static void each_flight_has_a_fresh_timer(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    for (uint32_t i = 0; i < 5; i++) {
        writes(w, i * 100, 100);
        run(w);
        OUT(w, P | A, 1 + i * 100, 1, 100);
        wait_us(w, 150 * MS);
        NONE(w);
        IN(w, A, 1, 101 + i * 100);
    }
    assert_int_equal(COUNTER(w, retransmits_timeout), 0);
    world_delete(w);
}

/* After a time-out snd_nxt lies behind what the peer has: an ACK there would be out of its window.
 * And beyond the window a peer would not look at it either. */
static void pure_acks_stand_where_the_peer_looks(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 4000);
    run(w);
    w->head = w->tail;
    OUT_AFTER(w, 200 * MS, A, 1, 1, 1460);
    IN(w, A, 101, 1, 100); /* out of order: wants an ACK */
    OUT(w, A, 4001, 1);
    IN(w, A, 201, 4001, .wnd = NO_WINDOW);
    NONE(w);
    writes(w, 4000, 100);
    run(w);
    OUT_AFTER(w, 200 * MS, A, 4001, 1, 1); /* a probe, refused */
    IN(w, A, 201, 4001, 100, .wnd = NO_WINDOW);
    OUT(w, A, 4001, 1);
    world_delete(w);
}

/* What is sent again is what was sent, though there is more in the mbuf. */
static void a_retransmission_keeps_to_the_window(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = 700);
    writes(w, 0, 1400);
    run(w);
    NONE(w);
    OUT_AFTER(w, 200 * MS, A, 1, 1, 700);
    for (unsigned i = 0; i < 3; i++)
        IN(w, A, 1, 1, .wnd = 700);
    OUT(w, A, 1, 1, 700);
    NONE(w);
    world_delete(w);
}

static void retransmissions_end(void **state)
{
    struct world *w = world_new();
    uint64_t start;

    (void)state;
    passive(w);
    writes(w, 0, 100);
    start = w->now;
    run(w);
    while (w->c && w->now < start + 1000 * (uint64_t)SEC)
        wait_us(w, 100 * MS);
    assert_int_equal(w->end, TCP_END_TIMEOUT);
    assert_true(w->now - start > 100 * (uint64_t)SEC); /* RFC 9293 3.8.3 R2 */
    assert_int_equal(out_count(w), 10);
    world_delete(w);
}

static void fast_retransmit(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 20 * 1460);
    run(w);
    assert_int_equal(out_count(w), 10);
    while (out_count(w))
        out_any(w);
    IN(w, A, 1, 1);            /* the first was lost */
    OUT(w, A, 14601, 1, 1460); /* limited transmit */
    IN(w, A, 1, 1);
    OUT(w, A, 16061, 1, 1460);
    IN(w, A, 1, 1);
    OUT(w, A, 1, 1, 1460); /* the third: there it is again */
    assert_int_equal(COUNTER(w, retransmits_fast), 1);
    NONE(w);
    for (unsigned i = 0; i < 8; i++)
        IN(w, A, 1, 1);
    while (out_count(w))
        assert_true(out_any(w).seq > 16061); /* inflation lets new data go */
    IN(w, A, 1, 4381);                       /* partial: the fourth was lost too */
    OUT(w, A, 4381, 1, 1460);
    while (out_count(w))
        assert_true(out_any(w).seq > 16061);
    IN(w, A, 1, 17521);
    assert_int_equal(COUNTER(w, retransmits_fast), 2);
    assert_int_equal(COUNTER(w, retransmits_timeout), 0);
    world_delete(w);
}

/* Window updates and data are no duplicate ACKs. */
static void what_is_no_duplicate_ack(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    writes(w, 0, 1000);
    run(w);
    OUT(w, P | A, 1, 1, 1000);
    for (unsigned i = 0; i < 5; i++)
        IN(w, A, 1, 1, .wnd = 50000 + i);
    for (uint32_t i = 0; i < 5; i++)
        IN(w, A, 1 + i * 10, 1, 10, .wnd = 50004);
    for (uint32_t i = 0; i < 5; i++) { /* sent again because our ACK was lost */
        IN(w, A, 1 + i * 10, 1, 10, .wnd = 50004);
        OUT(w, A, 1001, 51);
    }
    assert_int_equal(COUNTER(w, dup_acks_received), 0);
    world_delete(w);
}

/* The port still holds a segment that must go again: its bytes in flight stay as they are. */
static void retransmission_while_the_port_holds_it(void **state)
{
    struct world *w = world_new();
    const struct rte_mbuf *first;
    uint8_t before[64];

    (void)state;
    passive(w);
    w->keep = true;
    writes(w, 0, 1000);
    run(w);
    OUT(w, P | A, 1, 1, 1000);
    assert_false(w->sent[(w->head - 1) % SENT_MAX].chained);
    first = w->kept[0];
    memcpy(before, rte_pktmbuf_mtod(first, void *), 64);
    wait_us(w, 3 * SEC);
    assert_true(out_count(w) >= 2);
    while (out_count(w)) {
        assert_true(w->sent[w->head % SENT_MAX].chained);
        OUT(w, P | A, 1, 1, 1000);
    }
    assert_memory_equal(before, rte_pktmbuf_mtod(first, void *), 64);
    IN(w, A, 1, 501); /* part of it */
    while (w->nkept)
        rte_pktmbuf_free(w->kept[--w->nkept]);
    wait_us(w, 8 * SEC);
    OUT(w, P | A, 501, 1, 500);
    assert_false(w->sent[(w->head - 1) % SENT_MAX].chained);
    IN(w, A, 1, 1001);
    world_delete(w);
}

static void a_linear_port_gets_no_chains(void **state)
{
    struct world *w = world_new();

    (void)state;
    tcp_delete(w->t);
    w->lower.linear = true;
    w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
    tcp_listen(w->t, NET_INSIDE, 443);
    passive(w);
    w->keep = true;
    writes(w, 0, 1000);
    run(w);
    OUT(w, P | A, 1, 1, 1000);
    wait_us(w, 3 * SEC);
    assert_true(out_count(w) >= 2);
    while (out_count(w)) {
        assert_false(w->sent[w->head % SENT_MAX].chained);
        OUT(w, P | A, 1, 1, 1000);
    }
    world_delete(w);
}

static void the_send_buffer_is_bounded(void **state)
{
    struct world *w = world_new();
    uint32_t seq = 1;

    (void)state;
    passive(w);
    assert_int_equal(writes(w, 0, 300000), 4 * 60000); /* the window of the peer */
    assert_int_equal(tcp_write_room(w->c), 0);
    assert_int_equal(writes(w, 0, 1), 0);
    run(w);
    while (!(w->events & TCP_EV_WRITABLE)) {
        while (out_count(w))
            seq = out_any(w).seq + 1460;
        IN(w, A, 1, seq);
        assert_true(seq < 100000);
    }
    assert_true(tcp_write_room(w->c) >= 64 * 1024);
    assert_true(seq > 65536);
    world_delete(w);
}

/* Who lets little come is held little for, and gets more when he takes more. */
static void a_small_window_holds_little(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = 1000);
    assert_int_equal(writes(w, 0, 300000), 8 * 1460);
    run(w);
    w->head = w->tail;
    w->events = 0;
    IN(w, A, 1, 1, .wnd = 50000);
    assert_true(w->events & TCP_EV_WRITABLE);
    assert_int_equal(tcp_write_room(w->c), 4 * 50000 - 8 * 1460);
    world_delete(w);
}

static void slow_down(struct tcp_config *c)
{
    c->sndbuf_max = 8192;
}

/* Many tiny writes, each sent alone, must not take an mbuf each for ever: from some number on they
 * wait until what is out is acknowledged, or make a full segment. */
static void tiny_segments_are_bounded(void **state)
{
    struct world *w = world_with(slow_down);
    unsigned before = test_pool_free(w->pool);

    (void)state;
    passive(w);
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_equal(writes(w, i, 1), 1);
        run(w);
    }
    assert_true(before - test_pool_free(w->pool) < 20);
    for (uint32_t i = 0; i < 16; i++)
        OUT(w, P | A, 1 + i, 1, 1);
    NONE(w);
    IN(w, A, 1, 17);
    OUT(w, P | A, 17, 1, 384);
    IN(w, A, 1, 401);
    assert_int_equal(test_pool_free(w->pool), before);
    world_delete(w);
}

static void restart_after_idle(void **state)
{
    struct world *w = world_new();
    uint32_t seq = 1;

    (void)state;
    passive(w);
    IN(w, A, 1, 1, .wnd = 65535);
    for (unsigned i = 0; i < 10; i++) {
        writes(w, seq - 1, 60000);
        seq += 60000;
        run(w);
        while (out_count(w)) {
            struct seg s = out_any(w);
            IN(w, A, 1, s.seq + s.len, .wnd = 65535);
        }
    }
    wait_us(w, 5 * SEC);
    writes(w, seq - 1, 60000);
    run(w);
    assert_int_equal(out_count(w), 10); /* RFC 5681 4.1 */
    world_delete(w);
}

static void path_mtu(void **state)
{
    struct world *w = world_new();
    struct net_unreachable u = {.too_big = true, .mtu = 1000, .dport = 33333, .sport = 443};

    (void)state;
    passive(w);
    u.src = w->us, u.dst = w->peer, u.side = w->side;
    writes(w, 0, 4000);
    run(w);
    OUT(w, A, 1, 1, 1460);
    OUT(w, A, 1461, 1, 1460);
    OUT(w, P | A, 2921, 1, 1080);
    u.seq = w->us_iss + 5000; /* never sent */
    tcp_unreachable(w->t, &u, w->now);
    run(w);
    NONE(w);
    u.seq = w->us_iss + 1;
    tcp_unreachable(w->t, &u, w->now);
    run(w);
    OUT(w, A, 1, 1, 960);
    OUT(w, A, 961, 1, 500); /* the rest of the first mbuf */
    OUT(w, A, 1461, 1, 960);
    OUT(w, A, 2421, 1, 500);
    OUT(w, A, 2921, 1, 960);
    OUT(w, P | A, 3881, 1, 120);
    u.mtu = 68; /* RFC 5927 7.2: a floor */
    tcp_unreachable(w->t, &u, w->now);
    run(w);
    OUT(w, A, 1, 1, 512);
    u.too_big = false;
    tcp_unreachable(w->t, &u, w->now);
    assert_non_null(w->c); /* never ends an open connection */
    world_delete(w);
}

static void unreachable_ends_a_connect(void **state)
{
    struct world *w = world_new();
    struct net_unreachable u = {.dport = 443};

    (void)state;
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
    u.src = w->us, u.dst = w->peer, u.side = w->side, u.sport = w->us_port;
    u.seq = w->us_iss + 1;
    tcp_unreachable(w->t, &u, w->now);
    run(w);
    assert_non_null(w->c);
    u.seq = w->us_iss;
    tcp_unreachable(w->t, &u, w->now);
    run(w);
    assert_int_equal(w->end, TCP_END_UNREACHABLE);
    world_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ack_every_second_segment),
        cmocka_unit_test(data_carries_the_ack),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(each_segment_behind_a_hole_is_answered),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(chains_are_taken),
        cmocka_unit_test(fin_out_of_order),
        cmocka_unit_test(lone_fin_out_of_order),
        cmocka_unit_test(contradicting_fins),
        cmocka_unit_test(the_window_closes_and_opens),
        cmocka_unit_test(receiver_silly_window),
        cmocka_unit_test(the_window_grows_with_use),
        cmocka_unit_test(the_window_does_not_grow_when_mbufs_are_scarce),
        cmocka_unit_test(small_segments_do_not_pin_the_pool),
        cmocka_unit_test(peek_takes_nothing),
        cmocka_unit_test(small_writes_share_a_segment),
        cmocka_unit_test(slow_start),
        cmocka_unit_test(the_peers_window_bounds),
        cmocka_unit_test(zero_window_is_probed),
        cmocka_unit_test(a_probe_may_be_taken),
        cmocka_unit_test(unanswered_probes_end),
        cmocka_unit_test(a_small_window_is_used_in_the_end),
        cmocka_unit_test(fin_waits_for_the_window),
        cmocka_unit_test(a_window_taken_back),
        cmocka_unit_test(retransmission_time_out),
        cmocka_unit_test(each_flight_has_a_fresh_timer),
        cmocka_unit_test(pure_acks_stand_where_the_peer_looks),
        cmocka_unit_test(a_retransmission_keeps_to_the_window),
        cmocka_unit_test(retransmissions_end),
        cmocka_unit_test(fast_retransmit),
        cmocka_unit_test(what_is_no_duplicate_ack),
        cmocka_unit_test(retransmission_while_the_port_holds_it),
        cmocka_unit_test(a_linear_port_gets_no_chains),
        cmocka_unit_test(the_send_buffer_is_bounded),
        cmocka_unit_test(a_small_window_holds_little),
        cmocka_unit_test(tiny_segments_are_bounded),
        cmocka_unit_test(restart_after_idle),
        cmocka_unit_test(path_mtu),
        cmocka_unit_test(unreachable_ends_a_connect),
    };

    return cmocka_run_group_tests_name("tcp/data", tests, test_eal, NULL);
}
