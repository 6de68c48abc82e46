/* SYN cookies: RFC 4987 3.6. */
#include "tcp_test.h"

#include <rte_cycles.h>

#include "tcp/tcp_internal.h"

static void always(struct tcp_config *c)
{
    c->syn_cookie_mark = 0;
    c->secret[3] = 77;
}

static void from_three_on(struct tcp_config *c)
{
    c->syn_cookie_mark = 3;
    c->secret[3] = 78;
}

/* The peer's SYN is answered and forgotten. */
static struct seg cookie(struct world *w, struct seg syn)
{
    unsigned had = tcp_open_conns(w->t);
    struct seg s;

    syn.flags = S;
    in(w, syn);
    s = out_any(w);
    NONE(w);
    assert_int_equal(s.flags, S | A);
    assert_int_equal(s.ack, syn.seq + 1);
    assert_int_equal(tcp_open_conns(w->t), had);
    return s;
}

static unsigned class_of(unsigned mss, bool v6)
{
    static const unsigned classes[] = {8940, 1460, 1440, 1400, 1360, 1220, 536, 64};
    unsigned i = 0;

    if (!mss)
        mss = v6 ? 1220 : 536; /* RFC 9293 3.7.1 */
    while (i < 7 && classes[i] > mss)
        i++;
    return classes[i];
}

/* What the peer has offered is there again after its ACK. */
static void offered(struct world *w, struct seg syn, bool v6)
{
    bool ts = syn.ts != 0;
    struct seg s = cookie(w, syn);
    const struct tcp_conn *c;

    assert_int_equal(s.mss, v6 ? 1440 : 1460); /* RFC 6691: our own */
    assert_int_equal(s.ws, ts && syn.ws ? w->t->rcv_scale + 1 : 0);
    assert_int_equal(s.sack_ok, ts && syn.sack_ok);
    assert_int_equal(s.ts != 0, ts);
    assert_int_equal(s.ecr, syn.ts);
    IN(w, A, 1, 1, .ts = ts ? syn.ts + 9 : 0, .ecr = s.ts, .wnd = 1000);
    NONE(w);
    expect_state(w, "ESTABLISHED");
    c = w->c;
    assert_int_equal(c->peer_mss, class_of(syn.mss, v6));
    assert_int_equal(!!(c->flags & CF_TS), ts);
    assert_int_equal(!!(c->flags & CF_WSCALE), ts && syn.ws);
    assert_int_equal(!!(c->flags & CF_SACK), ts && syn.sack_ok);
    assert_int_equal(c->snd_wnd, 1000u << (ts && syn.ws ? syn.ws - 1 : 0));
    assert_int_equal(c->rcv_scale, ts && syn.ws ? w->t->rcv_scale : 0);
    assert_int_equal(c->rcv_edge - c->rcv_nxt, s.wnd); /* what the cookie promised */
    if (ts)
        assert_int_equal(c->ts_recent, syn.ts + 9);
    tcp_abort(w->c);
    w->head = w->tail;
    w->c = NULL;
}

static void every_option_combination(void **state)
{
    static const unsigned mss[] = {0, 1, 64, 535, 536, 1219, 1300, 1380, 1452, 1460, 8960, 65535};

    (void)state;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct world *w = world_with(always);

        if (v6)
            world_v6(w);
        for (unsigned i = 0; i < 12 * 16 * 4; i++) {
            struct seg syn = {
                .mss = mss[i % 12], .ws = i / 12 % 16, .sack_ok = i / 192 & 1, .ts = i / 384 & 1};

            w->now += 777; /* every position of the clock's low bits */
            syn.ts *= 12345;
            offered(w, syn, v6);
        }
        assert_int_equal(COUNTER(w, syn_cookies_ok), 768);
        assert_int_equal(COUNTER(w, syn_cookies_bad), 0);
        world_delete(w);
    }
}

static void bytes_flow(void **state)
{
    struct world *w = world_with(always);
    struct seg s;

    (void)state;
    s = cookie(w, (struct seg){.mss = 1460, .ws = 8, .ts = 500});
    IN(w, A | P, 1, 1, 100, .ts = 501, .ecr = s.ts); /* the bare ACK was lost */
    READS(w, 0, 100);
    assert_int_equal(w->accepts, 1);
    assert_int_equal(writes(w, 0, 3000), 3000);
    run(w);
    OUT(w, A, 1, 101, 1448, .ecr = 501);
    OUT(w, A, 1449, 101, 1448);
    OUT(w, P | A, 2897, 101, 104);
    IN(w, F | A, 101, 3001, 10, .ts = 502, .ecr = s.ts);
    OUT(w, A, 3001, 112);
    READS(w, 100, 10);
    expect_state(w, "CLOSE_WAIT");
    world_delete(w);
}

static void the_first_segment_may_end_it(void **state)
{
    struct world *w = world_with(always);

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    IN(w, F | A, 1, 1, 20);
    OUT(w, A, 1, 22);
    READS(w, 0, 20);
    assert_true(tcp_eof(w->c));
    world_delete(w);
}

/* RFC 7323 4.1, 5.4: our clock moves on from what the cookie said; the peer's is watched. */
static void clocks_stay_sane(void **state)
{
    struct world *w = world_with(always);
    uint32_t last;
    struct seg s;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        w->now += 1234;
        s = cookie(w, (struct seg){.mss = 1460, .ws = 1 + i % 15, .sack_ok = i & 1, .ts = 900});
        last = s.ts;
        IN(w, A, 1, 1, .ts = 901, .ecr = s.ts);
        IN(w, A, 1, 1, 5, .ts = 902, .ecr = s.ts);
        writes(w, 0, 10);
        run(w);
        s = out_any(w);
        assert_true(s.ts - last < 32);
        assert_int_equal(s.ecr, 902);
        IN(w, A, 6, 11, .ts = 903, .ecr = s.ts);
        IN(w, A, 6, 11, 10, .ts = 902, .ecr = s.ts); /* PAWS */
        assert_int_equal(tcp_readable(w->c), 5);
        assert_int_equal(COUNTER(w, drop_paws), i + 1);
        tcp_abort(w->c);
        w->head = w->tail;
        w->c = NULL;
    }
    world_delete(w);
}

/* Whatever is off by however little: RST, nothing opened, counted. */
static void forged(struct world *w, struct seg s)
{
    uint64_t bad = COUNTER(w, syn_cookies_bad);

    in(w, s);
    OUT(w, R, s.ack, 0);
    NONE(w);
    assert_int_equal(COUNTER(w, syn_cookies_bad), bad + 1);
    assert_int_equal(tcp_open_conns(w->t), 0);
}

static void forged_acks(void **state)
{
    struct world *w = world_with(always);
    struct seg s = cookie(w, (struct seg){.mss = 1460, .ws = 8, .ts = 500, .sack_ok = true});
    struct seg good = {.flags = A, .seq = 1, .ack = 1, .ts = 501, .ecr = s.ts}, f;

    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        f = good, f.ack = ((w->us_iss + 1) ^ 1u << bit) - w->us_iss;
        forged(w, f);
        f = good, f.seq = ((w->peer_iss + 1) ^ 1u << bit) - w->peer_iss;
        forged(w, f);
    }
    for (unsigned bit = 0; bit < 5; bit++) { /* other options than were agreed */
        f = good, f.ecr ^= 1u << bit;
        forged(w, f);
    }
    f = good, f.ecr += 64; /* from the future */
    forged(w, f);
    f = good, f.ecr -= 160 * 1024; /* older than any cookie */
    forged(w, f);
    f = good, f.ts = f.ecr = 0; /* no timestamp any more */
    forged(w, f);
    w->peer_port++;
    forged(w, good);
    w->peer_port--;
    w->peer.b[15]++;
    forged(w, good);
    w->peer.b[15]--;
    w->us.b[15]++;
    forged(w, good);
    w->us.b[15]--;
    w->us_port++; /* no listener there: not even looked at */
    in(w, good);
    OUT(w, R, 1, 0);
    w->us_port--;
    in(w, good);
    expect_state(w, "ESTABLISHED");
    assert_int_equal(COUNTER(w, syn_cookies_ok), 1);
    world_delete(w);
}

static void a_cookie_without_timestamps_stays_without(void **state)
{
    struct world *w = world_with(always);

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    forged(w, (struct seg){.flags = A, .seq = 1, .ack = 1, .ts = 501, .ecr = 17});
    IN(w, A, 1, 1);
    expect_state(w, "ESTABLISHED");
    world_delete(w);
}

/* What is no answer to a SYN,ACK does not open anything. */
static void other_segments(void **state)
{
    struct world *w = world_with(always);

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    IN(w, S | A, 1, 1);
    OUT(w, R, 1, 0);
    IN(w, R | A, 1, 1);
    IN(w, 0, 1, .len = 10);
    OUT(w, R | A, 0u - w->us_iss, 11);
    assert_int_equal(tcp_open_conns(w->t), 0);
    assert_int_equal(COUNTER(w, syn_cookies_bad), 0);
    tcp_listen_stop(w->t);
    IN(w, A, 1, 1);
    OUT(w, R, 1, 0);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

/* A cookie lives for two periods of 64 s at most, one at least. */
static void age(void **state)
{
    struct world *w = world_with(always);
    unsigned lived[2] = {0, 0};

    (void)state;
    for (unsigned start = 0; start < 64; start += 9) {
        for (unsigned after = 1; after < 140; after += 3) {
            uint32_t iss, peer_iss = w->peer_iss += 1000000;

            w->now = (2000 * (uint64_t)64 + start) * SEC;
            cookie(w, (struct seg){.mss = 1460});
            iss = w->us_iss;
            w->now += after * (uint64_t)SEC;
            w->peer_port++;
            cookie(w, (struct seg){.mss = 1460}); /* so that cookies are expected */
            w->peer_port--;
            w->us_iss = iss, w->peer_iss = peer_iss;
            IN(w, A, 1, 1);
            if (w->c) {
                assert_true(start + after < 128);
                lived[after > 64]++;
                tcp_abort(w->c);
                w->c = NULL;
            } else {
                assert_true(start + after >= 128);
            }
            w->head = w->tail;
            tcp_delete(w->t); /* the clock goes back */
            w->t = tcp_new(&w->cfg, &w->lower, &w->owner, 0);
            assert_true(tcp_listen(w->t, NET_INSIDE, 443));
        }
    }
    assert_true(lived[0] && lived[1]);
    world_delete(w);
}

/* Without a flood no ACK is compared with anything. */
static void only_while_some_are_out(void **state)
{
    struct world *w = world_with(always);

    (void)state;
    w->now = 2000 * (uint64_t)64 * SEC;
    IN(w, A, 1, 1);
    OUT(w, R, 1, 0);
    assert_int_equal(COUNTER(w, syn_cookies_bad), 0);
    cookie(w, (struct seg){.mss = 1460});
    w->now += 127 * (uint64_t)SEC;
    forged(w, (struct seg){.flags = A, .seq = 1, .ack = 2});
    w->now += 2 * SEC;
    IN(w, A, 1, 2);
    OUT(w, R, 2, 0);
    assert_int_equal(COUNTER(w, syn_cookies_bad), 1);
    world_delete(w);
}

static void from_the_mark_on(void **state)
{
    struct world *w = world_with(from_three_on);

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        w->peer_port = (uint16_t)(1000 + i);
        IN(w, S, .mss = 1460);
        assert_int_equal(tcp_open_conns(w->t), i < 3 ? i + 1 : 3);
        assert_int_equal(COUNTER(w, syn_cookies_sent), i < 3 ? 0 : i - 2);
    }
    IN(w, A, 1, 1); /* the last of them */
    assert_int_equal(w->accepts, 1);
    assert_int_equal(COUNTER(w, drop_half_open_full), 0);
    world_delete(w);
}

static void handshake_of(struct world *w, uint16_t port)
{
    struct seg s;

    w->peer_port = port;
    w->c = NULL;
    s = cookie(w, (struct seg){.mss = 1460, .ws = 8, .ts = 4000, .sack_ok = true});
    IN(w, A | P, 1, 1, 50, .ts = 4001, .ecr = s.ts);
    READS(w, 0, 50);
    tcp_abort(w->c);
    w->head = w->tail;
}

/* RFC 4987 3.6: a flood costs a reply each and nothing else, and is no hindrance to others. */
static void flood(void **state)
{
    const struct net_addr honest = {{[10] = 0xff, 0xff, 192, 0, 2, 9}};
    struct world *w = world_with(from_three_on);
    const struct net_addr first = w->peer;
    uint64_t start, cycles = 0;
    unsigned before;

    (void)state;
    for (unsigned i = 0; i < 3; i++, w->peer_port++)
        IN(w, S, .mss = 1460);
    before = test_pool_free(w->pool);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t from = i * 2654435761u;

        w->peer = first;
        memcpy(&w->peer.b[12], &from, 4);
        w->peer_port = (uint16_t)(i | 1);
        w->head = w->tail;
        start = rte_rdtsc();
        PUT(w, S, .mss = 1460);
        cycles += rte_rdtsc() - start;
        assert_int_equal(out_count(w), 1);
        if (i % 4096)
            continue;
        w->now += 5 * MS;
        w->head = w->tail;
        w->peer = honest;
        handshake_of(w, 5000);
    }
    assert_int_equal(tcp_open_conns(w->t), 3);
    assert_int_equal(COUNTER(w, syn_cookies_sent), 100000 + 25);
    assert_int_equal(COUNTER(w, accepted), 25);
    assert_int_equal(test_pool_free(w->pool), before);
    printf("  %llu cycles a SYN, the test's own work and every invariant included\n",
           (unsigned long long)(cycles / 100000));
    w->peer = first;
    w->head = w->tail;
    wait_us(w, 70 * (uint64_t)SEC); /* only the three that are remembered are sent again */
    assert_int_equal(out_count(w), 15);
    assert_int_equal(tcp_open_conns(w->t), 0);
    world_delete(w);
}

/* Our SYN,ACK was lost, or the peer was impatient: both answers are good. */
static void a_syn_again(void **state)
{
    struct world *w = world_with(always);
    struct seg s;

    (void)state;
    s = cookie(w, (struct seg){.mss = 1460, .ws = 8, .ts = 500});
    w->now += SEC;
    cookie(w, (struct seg){.mss = 1460, .ws = 8, .ts = 1500});
    IN(w, A, 1, 1, .ts = 1501, .ecr = s.ts); /* of the first */
    expect_state(w, "ESTABLISHED");
    IN(w, A | P, 1, 1, 10, .ts = 1502, .ecr = s.ts);
    READS(w, 0, 10);
    world_delete(w);
}

static void no_room_when_it_comes_back(void **state)
{
    struct world *w = world_with(always);
    struct tcp_conn *c[64];
    struct net_addr to = w->peer;

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    to.b[15]++;
    for (unsigned i = 0; i < 64; i++) {
        c[i] = tcp_connect(w->t, NET_OUTSIDE, &w->us, &to, 443, w, w->now);
        assert_non_null(c[i]);
    }
    PUT(w, A, 1, 1);
    NONE(w); /* no reset: it may be heard yet */
    assert_int_equal(COUNTER(w, drop_table_full), 1);
    PUT(w, S, 5000, .mss = 1460); /* and no promises */
    NONE(w);
    assert_int_equal(COUNTER(w, syn_cookies_sent), 1);
    tcp_abort(c[7]);
    PUT(w, A | P, 1, 1, 10);
    tcp_dispatch(w->t, w->now);
    READS(w, 0, 10);
    for (unsigned i = 0; i < 64; i++)
        if (i != 7)
            tcp_abort(c[i]);
    world_delete(w);
}

/* RFC 6191: the number must stand above those of the last connection, which a cookie cannot. */
static void time_wait_is_reused_with_state(void **state)
{
    struct world *w = world_with(always);
    uint32_t last;

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    IN(w, A, 1, 1);
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, 1);
    IN(w, F | A, 1, 2);
    OUT(w, A, 2, 2);
    last = w->us_iss + 2;
    IN(w, S, 3, .mss = 1460);
    assert_int_equal(out_any(w).flags, S | A);
    assert_true((int32_t)(w->us_iss - last) > 0);
    assert_int_equal(tcp_open_conns(w->t), 1);
    assert_int_equal(COUNTER(w, syn_cookies_sent), 1);
    world_delete(w);
}

/* Other secrets, other cookies: they cannot be worked out. */
static void cookies_are_keyed(void **state)
{
    struct world *w = world_with(always), *v = world_with(from_three_on);
    uint32_t iss;

    (void)state;
    cookie(w, (struct seg){.mss = 1460});
    iss = w->us_iss;
    for (unsigned i = 0; i < 4; i++, v->peer_port++)
        IN(v, S, .mss = 1460);
    v->head = v->tail;
    v->peer_port = w->peer_port;
    v->us_iss = iss;
    v->peer.b[15]++; /* a 4-tuple with no state there */
    IN(v, A, 1, 1);
    OUT(v, R, 1, 0);
    assert_int_equal(COUNTER(v, syn_cookies_bad), 1);
    world_delete(w);
    world_delete(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_combination),
        cmocka_unit_test(bytes_flow),
        cmocka_unit_test(the_first_segment_may_end_it),
        cmocka_unit_test(clocks_stay_sane),
        cmocka_unit_test(forged_acks),
        cmocka_unit_test(a_cookie_without_timestamps_stays_without),
        cmocka_unit_test(other_segments),
        cmocka_unit_test(age),
        cmocka_unit_test(only_while_some_are_out),
        cmocka_unit_test(from_the_mark_on),
        cmocka_unit_test(flood),
        cmocka_unit_test(a_syn_again),
        cmocka_unit_test(no_room_when_it_comes_back),
        cmocka_unit_test(time_wait_is_reused_with_state),
        cmocka_unit_test(cookies_are_keyed),
    };

    return cmocka_run_group_tests_name("tcp/cookie", tests, test_eal, NULL);
}
