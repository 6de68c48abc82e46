/* ICMP: echo, errors handed up, errors sent and not sent. */
#include "bed.h"

#include <string.h>

static void echo(void **state)
{
    static const size_t sizes[] = {0, 1, 56, 57, 1472};
    static uint8_t body[1472];

    (void)state;
    introduce();
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)i;
    for (size_t i = 0; i < RTE_DIM(sizes); i++) {
        struct frame f = icmp(NET_INSIDE, CALLER, OUR_IN, 8, 0, 0xbeef0001, body, sizes[i]), r;

        wire(NET_INSIDE, &f);
        assert_true(sent(NET_INSIDE, &r));
        assert_int_equal(r.n, f.n);
        assert_memory_equal(r.b, mac_caller, 6);
        assert_int_equal(get32(r.b + IP + 12), OUR_IN);
        assert_int_equal(get32(r.b + IP + 16), CALLER);
        assert_int_equal(r.b[L4], 0);
        assert_memory_equal(r.b + L4 + 4, f.b + L4 + 4, 4 + sizes[i]);
    }
    assert_counted(icmp_echo_replies, RTE_DIM(sizes));
}

static void echo_over_a_chain(void **state)
{
    static const unsigned sizes[] = {41, 3, 200};
    static uint8_t body[700];
    struct frame f, r;

    (void)state;
    introduce();
    memset(body, 0xa5, sizeof(body));
    f = icmp(NET_OUTSIDE, NEAR_OUT, OUR_OUT, 8, 0, 1, body, sizeof(body));
    wire_split(NET_OUTSIDE, &f, sizes, 3);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_memory_equal(r.b + L4 + 8, body, sizeof(body));
}

static void echo_refused(void **state)
{
    static uint8_t body[2000];
    struct frame f;

    (void)state;
    introduce();
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 8, 1, 1, body, 8);
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 1);
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 8, 0, 1, body, 8);
    f.b[L4 + 9] ^= 1;
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 2);
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 8, 0, 1, body, 1473);
    wire(NET_INSIDE, &f);
    assert_counted(drop_too_big, 1);
    f = icmp(NET_INSIDE, CALLER, OUR_OUT, 8, 0, 1, body, 8); /* the far side's address */
    wire(NET_INSIDE, &f);
    assert_counted(drop_not_ours, 1);
    f = ip4(NET_INSIDE, CALLER, OUR_IN, IPPROTO_ICMP, "\x08\0\xf7\xff\0\0\0", 7);
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 3);
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 13, 0, 1, body, 12); /* timestamp */
    wire(NET_INSIDE, &f);
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 5, 1, CALLER + 1, body, 28); /* redirect */
    wire(NET_INSIDE, &f);
    f = icmp(NET_INSIDE, CALLER, OUR_IN, 4, 0, 0, body, 28);
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_other, 3);
    nothing_sent();
}

/* An error about our segment src:sport -> dst:dport, from `from`. */
static struct frame error_about(enum net_side side, uint32_t from, unsigned type, unsigned code,
                                uint32_t word, const struct frame *quoted, size_t bytes)
{
    uint32_t to = get32(quoted->b + IP + 12);

    return icmp(side, from, to, type, code, word, quoted->b + IP, bytes);
}

static void unreachable_goes_up(void **state)
{
    struct net_addr src = net_addr_v4(OUR_OUT), dst = net_addr_v4(VENDOR);
    struct frame q = tcp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 443, SYN, 0), f;

    (void)state;
    f = error_about(NET_OUTSIDE, GATEWAY, 3, 1, 0, &q, 28);
    wire(NET_OUTSIDE, &f);
    assert_int_equal(bed.ntold, 1);
    assert_true(net_addr_eq(&bed.told[0].src, &src));
    assert_true(net_addr_eq(&bed.told[0].dst, &dst));
    assert_int_equal(bed.told[0].sport, 50000);
    assert_int_equal(bed.told[0].dport, 443);
    assert_int_equal(bed.told[0].seq, 0x11223344);
    assert_int_equal(bed.told[0].side, NET_OUTSIDE);
    assert_false(bed.told[0].too_big);
    assert_counted(icmp_errors_received, 1);
}

/* Inside, what we send carries the vendor's address; an error about it comes to that address. */
static void unreachable_from_inside(void **state)
{
    struct frame q = tcp(NET_INSIDE, VENDOR, 443, CALLER, 40000, SYN | ACK, 0), f;

    (void)state;
    f = error_about(NET_INSIDE, CALLER, 3, 3, 0, &q, 28);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.ntold, 1);
    assert_int_equal(bed.told[0].side, NET_INSIDE);
    assert_int_equal(bed.told[0].sport, 443);
    q = tcp(NET_INSIDE, VENDOR, 80, CALLER, 40000, SYN | ACK, 0); /* no port of ours */
    f = error_about(NET_INSIDE, CALLER, 3, 3, 0, &q, 28);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.ntold, 1);
    assert_counted(drop_not_intercepted, 1);
    nothing_sent(); /* never an error about an error */
}

static void too_big_goes_up(void **state)
{
    static const struct {
        unsigned mtu;
        bool good;
    } cases[] = {{0, true}, {67, false}, {68, true}, {1400, true}, {1499, true}, {1500, false}};
    struct frame q = tcp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 443, ACK, 1000), f;
    unsigned good = 0;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        f = error_about(NET_OUTSIDE, GATEWAY, 3, 4, cases[i].mtu, &q, 28);
        wire(NET_OUTSIDE, &f);
        good += cases[i].good;
        if (bed.ntold != good)
            fail_msg("an mtu of %u was %s", cases[i].mtu, cases[i].good ? "refused" : "believed");
        if (cases[i].good) {
            assert_true(bed.told[good - 1].too_big);
            assert_int_equal(bed.told[good - 1].mtu, cases[i].mtu);
        }
    }
}

static void bad_quotes(void **state)
{
    struct frame q = tcp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 443, SYN, 0), f, c;
    unsigned bad = 0;

    (void)state;
    for (size_t n = 0; n < 28; n++) { /* cut short */
        f = error_about(NET_OUTSIDE, GATEWAY, 3, 1, 0, &q, n);
        wire(NET_OUTSIDE, &f);
        assert_counted(drop_icmp_bad, ++bad);
    }
    c = q;
    c.b[IP] = 0x65;
    f = error_about(NET_OUTSIDE, GATEWAY, 3, 1, 0, &c, 28);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    c = q;
    put16(c.b + IP + 6, 1); /* a later fragment quotes no ports */
    f = error_about(NET_OUTSIDE, GATEWAY, 3, 1, 0, &c, 28);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    f = icmp(NET_OUTSIDE, GATEWAY, OUR_OUT, 3, 1, 0, /* quotes a packet that was not ours */
             tcp(NET_OUTSIDE, NEAR_OUT, 50000, VENDOR, 443, SYN, 0).b + IP, 28);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    f = error_about(NET_OUTSIDE, GATEWAY, 3, 16, 0, &q, 28);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    f = error_about(NET_OUTSIDE, GATEWAY, 11, 0, 0, &q, 28); /* time exceeded: no news */
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_other, 1);
    q = udp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 53, 10);
    f = error_about(NET_OUTSIDE, GATEWAY, 3, 3, 0, &q, 28);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_other, 2);
    assert_int_equal(bed.ntold, 0);
}

static void check_error(const struct frame *about, unsigned type, unsigned code)
{
    struct frame r;
    size_t quoted = RTE_MIN(about->n - ETH, (size_t)548);

    assert_true(sent(NET_INSIDE, &r));
    assert_memory_equal(r.b, mac_caller, 6);
    assert_int_equal(get32(r.b + IP + 12), OUR_IN);
    assert_int_equal(get32(r.b + IP + 16), CALLER);
    assert_int_equal(r.b[L4], type);
    assert_int_equal(r.b[L4 + 1], code);
    assert_int_equal(r.n, L4 + 8 + quoted);
    assert_memory_equal(r.b + L4 + 8, about->b + IP, quoted);
}

static void callers_are_told(void **state)
{
    struct frame f;

    (void)state;
    introduce();
    f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 80, SYN, 0);
    wire(NET_INSIDE, &f);
    check_error(&f, 3, 13);
    assert_counted(drop_not_intercepted, 1);
    f = udp(NET_INSIDE, CALLER, 40000, VENDOR, 443, 1200);
    wire(NET_INSIDE, &f);
    check_error(&f, 3, 3);
    assert_counted(drop_udp_quic, 1);
    f = icmp(NET_INSIDE, CALLER, VENDOR, 8, 0, 1, "ping", 4);
    wire(NET_INSIDE, &f);
    check_error(&f, 3, 13);
    f = ip4(NET_INSIDE, CALLER, VENDOR, 47, "GRE", 3);
    wire(NET_INSIDE, &f);
    check_error(&f, 3, 13);
    assert_counted(icmp_errors_sent, 4);
}

/* RFC 1812 4.3.2.7, and the outside is told nothing. */
static void nobody_else_is_told(void **state)
{
    struct frame q = udp(NET_INSIDE, CALLER, 1, VENDOR, 53, 1), f;

    (void)state;
    introduce();
    for (unsigned type = 3; type <= 12; type++) {
        if (type == 8)
            continue;
        f = icmp(NET_INSIDE, CALLER, VENDOR, type, 0, 0, q.b + IP, 28);
        wire(NET_INSIDE, &f);
    }
    f = udp(NET_INSIDE, CALLER, 1, 0x0a0a00ff, 53, 1);
    wire(NET_INSIDE, &f);
    f = udp(NET_INSIDE, CALLER, 1, 0xe00000fb, 5353, 1);
    wire(NET_INSIDE, &f);
    f = udp(NET_INSIDE, CALLER, 1, VENDOR, 53, 1);
    put16(f.b + IP + 6, 0x2000);
    fix_ip(&f);
    wire(NET_INSIDE, &f);
    f = udp(NET_OUTSIDE, VENDOR, 53, OUR_OUT, 50000, 1);
    wire(NET_OUTSIDE, &f);
    f = udp(NET_OUTSIDE, VENDOR, 53, CALLER, 50000, 1);
    wire(NET_OUTSIDE, &f);
    nothing_sent();
    assert_counted(icmp_errors_sent, 0);
}

static void errors_are_limited(void **state)
{
    struct frame f, r;
    unsigned got = 0;

    (void)state;
    introduce();
    f = udp(NET_INSIDE, CALLER, 40000, VENDOR, 80, 10);
    for (unsigned i = 0; i < 1000; i++) {
        wire(NET_INSIDE, &f);
        got += sent(NET_INSIDE, &r);
    }
    assert_int_equal(got, ICMP_ERROR_RATE);
    assert_counted(icmp_errors_limited, 1000 - got);
    bed.now += US_IN_S / 10;
    for (unsigned i = 0; i < 100; i++) {
        wire(NET_INSIDE, &f);
        got += sent(NET_INSIDE, &r);
    }
    assert_int_equal(got, ICMP_ERROR_RATE + ICMP_ERROR_RATE / 10);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(echo),
        t(echo_over_a_chain),
        t(echo_refused),
        t(unreachable_goes_up),
        t(unreachable_from_inside),
        t(too_big_goes_up),
        t(bad_quotes),
        t(callers_are_told),
        t(nobody_else_is_told),
        t(errors_are_limited),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
