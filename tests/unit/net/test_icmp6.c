/* ICMPv6 (RFC 4443): echo, errors handed up, errors sent and not sent. */
#include "bed.h"

#include <string.h>

static void echo(void **state)
{
    static const size_t sizes[] = {0, 1, 56, 57, 1452};
    static const unsigned cut[] = {61, 3, 200};
    static uint8_t body[1452];

    (void)state;
    introduce6();
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)i;
    for (size_t i = 0; i < 2 * RTE_DIM(sizes); i++) {
        size_t n = sizes[i / 2];
        struct frame f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 0, 0xbeef0001, body, n), r;

        if (i % 2)
            wire_split(NET_INSIDE, &f, cut, 3);
        else
            wire(NET_INSIDE, &f);
        assert_true(sent(NET_INSIDE, &r));
        assert_int_equal(r.n, f.n);
        assert_memory_equal(r.b, mac_caller, 6);
        assert_memory_equal(r.b + IP + 8, a6(OUR_IN6).b, 16);
        assert_memory_equal(r.b + IP + 24, a6(CALLER6).b, 16);
        assert_int_equal(r.b[IP + 7], 64);
        assert_int_equal(r.b[L46], 129);
        assert_memory_equal(r.b + L46 + 4, f.b + L46 + 4, 4 + n);
    }
}

/* The answer has none of the question's extension headers. */
static void echo_behind_options(void **state)
{
    struct frame f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 0, 7, "ping", 4), g = f, r;

    (void)state;
    introduce6();
    memcpy(g.b + L46, "\x3a\0\x01\x04\0\0\0\0", 8);
    memcpy(g.b + L46 + 8, f.b + L46, 12);
    g.b[IP + 6] = 60;
    put16(g.b + IP + 4, 20);
    g.n += 8;
    wire(NET_INSIDE, &g);
    assert_true(sent(NET_INSIDE, &r));
    assert_int_equal(r.n, f.n);
    assert_int_equal(r.b[L46], 129);
    assert_memory_equal(r.b + L46 + 4, f.b + L46 + 4, 8);
}

static void refused(void **state)
{
    static uint8_t body[2000];
    struct frame f;

    (void)state;
    introduce6();
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 1, 1, body, 8);
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 1);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 0, 1, body, 8);
    f.b[L46 + 9] ^= 1;
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 2);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 0, 1, body, 8);
    f.b[IP + 8 + 15] ^= 2; /* RFC 4443 2.3: the pseudo header is in the sum */
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_bad, 3);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 128, 0, 1, body, 1453);
    wire(NET_INSIDE, &f);
    assert_counted(drop_too_big, 1);
    f = icmp6(NET_INSIDE, CALLER6, OUR_OUT6, 128, 0, 1, body, 8); /* the far side's address */
    wire(NET_INSIDE, &f);
    assert_counted(drop_not_ours, 1);
    f = icmp6(NET_INSIDE, CALLER6, "ff02::1", 128, 0, 1, body, 8); /* everybody's */
    wire(NET_INSIDE, &f);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 129, 0, 1, body, 8);
    wire(NET_INSIDE, &f);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 139, 0, 1, body, 16); /* node information */
    wire(NET_INSIDE, &f);
    f = icmp6(NET_INSIDE, CALLER6, OUR_IN6, 100, 0, 1, body, 48); /* an error that nobody knows */
    wire(NET_INSIDE, &f);
    assert_counted(drop_icmp_other, 4);
    for (size_t n = 0; n < 8; n++) {
        f = ip6(NET_INSIDE, CALLER6, OUR_IN6, IPPROTO_ICMPV6, body, n);
        wire(NET_INSIDE, &f);
        assert_counted(drop_icmp_bad, 4 + n);
    }
    nothing_sent();
}

/* --------------------------------------------------------------------- received */

static struct frame error_about(enum net_side side, const char *from, const char *to, unsigned type,
                                unsigned code, uint32_t word, const struct frame *quoted,
                                size_t bytes)
{
    return icmp6(side, from, to, type, code, word, quoted->b + IP, bytes);
}

static void unreachable_goes_up(void **state)
{
    struct net_addr src = a6(OUR_OUT6), dst = a6(VENDOR6);
    struct frame q = tcp6(NET_OUTSIDE, OUR_OUT6, 50000, VENDOR6, 443, SYN, 0), f;

    (void)state;
    for (unsigned code = 0; code < 9; code++) {
        f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, code, 0, &q, 48);
        wire(NET_OUTSIDE, &f);
        assert_int_equal(bed.ntold, code + 1);
    }
    assert_true(net_addr_eq(&bed.told[0].src, &src));
    assert_true(net_addr_eq(&bed.told[0].dst, &dst));
    assert_int_equal(bed.told[0].sport, 50000);
    assert_int_equal(bed.told[0].dport, 443);
    assert_int_equal(bed.told[0].seq, 0x11223344);
    assert_int_equal(bed.told[0].side, NET_OUTSIDE);
    assert_false(bed.told[0].too_big);
    assert_counted(icmp_errors_received, 9);
}

/* Inside, what we send carries the vendor's address; an error about it comes to that address. */
static void unreachable_from_inside(void **state)
{
    struct frame q = tcp6(NET_INSIDE, VENDOR6, 443, CALLER6, 40000, SYN | ACK, 0), f;

    (void)state;
    f = error_about(NET_INSIDE, CALLER6, VENDOR6, 1, 4, 0, &q, 48);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.ntold, 1);
    assert_int_equal(bed.told[0].side, NET_INSIDE);
    q = tcp6(NET_INSIDE, VENDOR6, 80, CALLER6, 40000, SYN | ACK, 0); /* no port of ours */
    f = error_about(NET_INSIDE, CALLER6, VENDOR6, 1, 4, 0, &q, 48);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.ntold, 1);
    nothing_sent(); /* never an error about an error */
}

/* RFC 8201 4: below 1280 is no MTU; and nothing that we kept to. */
static void too_big_goes_up(void **state)
{
    static const struct {
        uint32_t mtu;
        bool good;
    } cases[] = {{0, false},     {68, false},         {1279, false},
                 {1280, true},   {1499, true},        {1500, false},
                 {66816, false}, {0xffffffff, false}, {65536 + 1400, false}};
    struct frame q = tcp6(NET_OUTSIDE, OUR_OUT6, 50000, VENDOR6, 443, ACK, 1000), f;
    unsigned good = 0;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 2, 0, cases[i].mtu, &q, 1060);
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
    struct frame q = tcp6(NET_OUTSIDE, OUR_OUT6, 50000, VENDOR6, 443, SYN, 0), f, c;
    unsigned bad = 0;

    (void)state;
    for (size_t n = 0; n < 48; n++) { /* cut short */
        f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 0, 0, &q, n);
        wire(NET_OUTSIDE, &f);
        assert_counted(drop_icmp_bad, ++bad);
    }
    c = q;
    c.b[IP] = 0x45;
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 0, 0, &c, 48);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    c = q;
    c.b[IP + 6] = 60; /* options beyond the quote */
    c.b[L46 + 1] = 9;
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 0, 0, &c, 60);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    c = tcp6(NET_OUTSIDE, NEAR6, 50000, VENDOR6, 443, SYN, 0); /* not sent by whom it comes to */
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 0, 0, &c, 48);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    c = tcp6(NET_OUTSIDE, OUR_OUT6, 50000, "::ffff:198.51.100.7", 443, SYN, 0);
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 0, 0, &c, 48);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 9, 0, &q, 48);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_bad, ++bad);
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 3, 0, 0, &q, 48); /* time exceeded: no news */
    wire(NET_OUTSIDE, &f);
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 4, 0, 40, &q, 48);
    wire(NET_OUTSIDE, &f);
    q = udp6(NET_OUTSIDE, OUR_OUT6, 50000, VENDOR6, 53, 10);
    f = error_about(NET_OUTSIDE, GATEWAY6, OUR_OUT6, 1, 4, 0, &q, 48);
    wire(NET_OUTSIDE, &f);
    assert_counted(drop_icmp_other, 3);
    assert_int_equal(bed.ntold, 0);
    nothing_sent();
}

/* ------------------------------------------------------------------------- sent */

static void check_error(const struct frame *about, unsigned type, unsigned code, uint32_t word)
{
    struct frame r;
    size_t quoted = RTE_MIN(about->n - ETH, (size_t)1280 - 48); /* RFC 4443 2.4 (c) */

    assert_true(sent(NET_INSIDE, &r));
    assert_memory_equal(r.b, mac_caller, 6);
    assert_memory_equal(r.b + IP + 8, a6(OUR_IN6).b, 16);
    assert_memory_equal(r.b + IP + 24, a6(CALLER6).b, 16);
    assert_int_equal(get16(r.b + L46), type << 8 | code);
    assert_int_equal(get32(r.b + L46 + 4), word);
    assert_int_equal(r.n, L46 + 8 + quoted);
    assert_memory_equal(r.b + L46 + 8, about->b + IP, quoted);
}

static void callers_are_told(void **state)
{
    struct frame f;

    (void)state;
    introduce6();
    f = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 80, SYN, 0);
    wire(NET_INSIDE, &f);
    check_error(&f, 1, 1, 0);
    assert_counted(drop_not_intercepted, 1);
    f = udp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, 1300);
    wire(NET_INSIDE, &f);
    check_error(&f, 1, 4, 0);
    assert_counted(drop_udp_quic, 1);
    f = icmp6(NET_INSIDE, CALLER6, VENDOR6, 128, 0, 1, "ping", 4);
    wire(NET_INSIDE, &f);
    check_error(&f, 1, 1, 0);
    f = ip6(NET_INSIDE, CALLER6, VENDOR6, 47, "GRE", 3);
    wire(NET_INSIDE, &f);
    check_error(&f, 1, 1, 0);
    assert_counted(icmp_errors_sent, 4);
}

/* What passthrough cannot forward (RFC 4443 3.1 to 3.3). */
static void passing_fails(void **state)
{
    struct frame f;

    (void)state;
    introduce6();
    for (unsigned hops = 0; hops < 2; hops++) {
        f = udp6(NET_INSIDE, CALLER6, 5000, NEAR6, 53, 30);
        f.b[IP + 7] = (uint8_t)hops;
        wire(NET_INSIDE, &f);
        check_error(&f, 3, 0, 0);
    }
    assert_counted(drop_ttl, 2);
    bed.n->face[NET_OUTSIDE].mtu = 1400;
    f = udp6(NET_INSIDE, CALLER6, 5000, NEAR6, 53, 1401 - 48);
    wire(NET_INSIDE, &f);
    check_error(&f, 2, 0, 1400);
    assert_counted(drop_too_big, 1);
    bed.n->face[NET_OUTSIDE].has_gateway[NET_IP6] = false;
    f = tcp6(NET_INSIDE, CALLER6, 40000, PASS6, 22, SYN, 0);
    wire(NET_INSIDE, &f);
    check_error(&f, 1, 0, 0);
    assert_counted(drop_no_route, 1);
    nothing_sent();
}

/* Errors about what crossed cross too; about anything else they do not. */
static void errors_cross(void **state)
{
    struct frame q, f, r;

    (void)state;
    introduce6();
    q = tcp6(NET_INSIDE, CALLER6, 40000, PASS6, 22, ACK, 100);
    f = error_about(NET_OUTSIDE, GATEWAY6, CALLER6, 2, 0, 1300, &q, 160);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_memory_equal(r.b + L46, f.b + L46, f.n - L46);
    q = icmp6(NET_INSIDE, CALLER6, PASS6, 128, 0, 1, "ping", 4);
    f = error_about(NET_OUTSIDE, GATEWAY6, CALLER6, 3, 0, 0, &q, 52);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    q = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 22, ACK, 100);
    f = error_about(NET_OUTSIDE, GATEWAY6, CALLER6, 2, 0, 1300, &q, 160);
    wire(NET_OUTSIDE, &f);
    q = tcp6(NET_INSIDE, CALLER6, 40000, PASS6, 443, ACK, 100);
    f = error_about(NET_OUTSIDE, GATEWAY6, CALLER6, 2, 0, 1300, &q, 160);
    wire(NET_OUTSIDE, &f);
    nothing_sent();
    assert_counted(passed, 2);
}

/* RFC 4443 2.4 (e), and the outside is told nothing. */
static void nobody_else_is_told(void **state)
{
    struct frame q = udp6(NET_INSIDE, CALLER6, 1, VENDOR6, 53, 1), f;

    (void)state;
    introduce6();
    for (unsigned type = 0; type < 128; type++) {
        f = icmp6(NET_INSIDE, CALLER6, VENDOR6, type, 0, 0, q.b + IP, 48);
        wire(NET_INSIDE, &f);
    }
    f = icmp6(NET_INSIDE, CALLER6, VENDOR6, 137, 0, 0, q.b + IP, 48);
    wire(NET_INSIDE, &f);
    f = udp6(NET_INSIDE, CALLER6, 1, "ff02::1", 443, 1);
    wire(NET_INSIDE, &f);
    f = udp6(NET_INSIDE, CALLER6, 1, "ff0e::1", 443, 1);
    memcpy(f.b, bed_mac(NET_INSIDE), 6);
    wire(NET_INSIDE, &f);
    f = ip6(NET_INSIDE, CALLER6, "ff02::1", 60, "\x11\0\x81\x04\0\0\0\0",
            8); /* an option to tell */
    wire(NET_INSIDE, &f);
    f = udp6(NET_INSIDE, "::", 1, VENDOR6, 443, 1);
    wire(NET_INSIDE, &f);
    f = ip6(NET_INSIDE, "::", VENDOR6, 60, "\x11\0\x81\x04\0\0\0\0", 8);
    wire(NET_INSIDE, &f);
    f = udp6(NET_OUTSIDE, VENDOR6, 53, OUR_OUT6, 50000, 1);
    wire(NET_OUTSIDE, &f);
    f = udp6(NET_OUTSIDE, VENDOR6, 53, CALLER6, 50000, 1);
    wire(NET_OUTSIDE, &f);
    nothing_sent();
    assert_counted(icmp_errors_sent, 0);
}

/* RFC 4443 2.4 (f); one bucket for both families. */
static void errors_are_limited(void **state)
{
    struct frame f, v4, r;
    unsigned got = 0;

    (void)state;
    introduce();
    introduce6();
    f = udp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 80, 10);
    v4 = udp(NET_INSIDE, CALLER, 40000, VENDOR, 80, 10);
    for (unsigned i = 0; i < 1000; i++) {
        wire(NET_INSIDE, i % 2 ? &f : &v4);
        got += sent(NET_INSIDE, &r);
    }
    assert_int_equal(got, ICMP_ERROR_RATE);
    assert_counted(icmp_errors_limited, 1000 - got);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(echo),
        t(echo_behind_options),
        t(refused),
        t(unreachable_goes_up),
        t(unreachable_from_inside),
        t(too_big_goes_up),
        t(bad_quotes),
        t(callers_are_told),
        t(passing_fails),
        t(errors_cross),
        t(nobody_else_is_told),
        t(errors_are_limited),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
