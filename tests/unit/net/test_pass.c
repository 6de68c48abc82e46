/* Passthrough: what an entry lets cross, both ways, and what it does not. */
#include "bed.h"

#include <string.h>

#define PASS_HOST (PASS_NET + 9)

/* The frame crosses: TTL one less, everything else as it was. */
static void crosses(enum net_side side, const struct frame *f, const uint8_t *to)
{
    enum net_side out = side == NET_INSIDE ? NET_OUTSIDE : NET_INSIDE;
    struct frame want = *f, r;

    wire(side, f);
    assert_true(sent(out, &r));
    assert_memory_equal(r.b, to, 6);
    want.b[IP + 8]--;
    fix_ip(&want);
    assert_int_equal(r.n, f->n);
    assert_memory_equal(r.b + IP, want.b + IP, f->n - ETH);
    assert_int_equal(bed.nseen, 0);
    nothing_sent();
}

static void stays(enum net_side side, const struct frame *f)
{
    uint64_t passed = counted(passed);
    struct frame r;

    wire(side, f);
    assert_int_equal(counted(passed), passed);
    assert_false(sent(side == NET_INSIDE ? NET_OUTSIDE : NET_INSIDE, &r));
    while (sent(side, &r)) /* the caller may be told */
        assert_int_equal(r.b[IP + 9], IPPROTO_ICMP);
}

static void out_and_back(void **state)
{
    struct frame f;

    (void)state;
    introduce();
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, 30);
    crosses(NET_INSIDE, &f, mac_near);
    f = udp(NET_OUTSIDE, NEAR_OUT, 53, CALLER, 5000, 300);
    crosses(NET_OUTSIDE, &f, mac_caller);
    f = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 22, SYN, 0);
    crosses(NET_INSIDE, &f, mac_gateway);
    f = tcp(NET_OUTSIDE, PASS_HOST, 22, CALLER, 40000, SYN | ACK, 0);
    crosses(NET_OUTSIDE, &f, mac_caller);
    f = icmp(NET_INSIDE, CALLER, PASS_HOST, 8, 0, 1, "ping", 4);
    crosses(NET_INSIDE, &f, mac_gateway);
    f = icmp(NET_OUTSIDE, PASS_HOST, CALLER, 0, 0, 1, "ping", 4);
    crosses(NET_OUTSIDE, &f, mac_caller);
    assert_counted(passed, 6);
}

static void not_named(void **state)
{
    struct frame f;

    (void)state;
    introduce();
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 54, 30);
    stays(NET_INSIDE, &f);
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT + 1, 53, 30);
    stays(NET_INSIDE, &f);
    f = tcp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, SYN, 0);
    stays(NET_INSIDE, &f);
    f = udp(NET_OUTSIDE, NEAR_OUT, 54, CALLER, 5000, 30);
    stays(NET_OUTSIDE, &f);
    f = udp(NET_OUTSIDE, NEAR_OUT, 5000, CALLER, 53, 30); /* as destination port it is no reply */
    stays(NET_OUTSIDE, &f);
    f = udp(NET_OUTSIDE, GATEWAY, 53, CALLER, 5000, 30);
    stays(NET_OUTSIDE, &f);
    f = ip4(NET_INSIDE, CALLER, PASS_HOST, 47, "GRE", 3);
    stays(NET_INSIDE, &f);
}

/* An entry as wide as it can be still is no way round the rules, and no door in. */
static void never_passes(void **state)
{
    struct frame f;

    (void)state;
    introduce();
    f = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 443, SYN, 0);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1); /* intercepted, not passed */
    nothing_sent();
    f = udp(NET_INSIDE, CALLER, 40000, PASS_HOST, 443, 1200);
    stays(NET_INSIDE, &f);
    f = udp(NET_OUTSIDE, PASS_HOST, 443, CALLER, 40000, 1200);
    stays(NET_OUTSIDE, &f);
    f = tcp(NET_OUTSIDE, PASS_HOST, 443, CALLER, 40000, ACK, 10);
    stays(NET_OUTSIDE, &f);
    f = tcp(NET_OUTSIDE, PASS_HOST, 22, CALLER, 40000, SYN, 0); /* a connection from outside */
    stays(NET_OUTSIDE, &f);
    f = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 22, ACK, 100);
    put16(f.b + IP + 6, 0x2000);
    fix_ip(&f);
    stays(NET_INSIDE, &f);
    assert_counted(drop_fragment, 1);
}

static void time_exceeded(void **state)
{
    struct frame f, r;

    (void)state;
    introduce();
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, 30);
    f.b[IP + 8] = 1;
    fix_ip(&f);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_int_equal(r.b[L4], 11);
    assert_memory_equal(r.b + L4 + 8, f.b + IP, 58);
    assert_counted(drop_ttl, 1);
    nothing_sent();
}

static void too_big_to_pass(void **state)
{
    struct frame f, r;

    (void)state;
    introduce();
    bed.n->face[NET_OUTSIDE].mtu = 1400;
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, 1401 - 28);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_int_equal(get16(r.b + L4), 3 << 8 | 4);
    assert_int_equal(get32(r.b + L4 + 4), 1400);
    assert_counted(drop_too_big, 1);
    f = udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, 1400 - 28);
    crosses(NET_INSIDE, &f, mac_near);
}

/* Without a gateway there is no way to what is off the link. */
static void no_route(void **state)
{
    struct frame f, r;

    (void)state;
    introduce();
    bed.n->face[NET_OUTSIDE].has_gateway[NET_IP4] = false;
    f = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 22, SYN, 0);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_int_equal(get16(r.b + L4), 3 << 8 | 0);
    assert_counted(drop_no_route, 1);
}

/* Errors about what crossed cross too (path MTU needs them); about anything else they do not. */
static void errors_cross(void **state)
{
    struct frame q, f;

    (void)state;
    introduce();
    q = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 22, ACK, 100);
    f = icmp(NET_OUTSIDE, GATEWAY, CALLER, 3, 4, 1300, q.b + IP, 28);
    crosses(NET_OUTSIDE, &f, mac_caller);
    f = icmp(NET_OUTSIDE, GATEWAY, CALLER, 11, 0, 0, q.b + IP, 28);
    crosses(NET_OUTSIDE, &f, mac_caller);
    q = udp(NET_OUTSIDE, NEAR_OUT, 53, CALLER, 5000, 30);
    f = icmp(NET_INSIDE, CALLER, NEAR_OUT, 3, 3, 0, q.b + IP, 28);
    crosses(NET_INSIDE, &f, mac_near);
    q = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 22, ACK, 100);
    f = icmp(NET_OUTSIDE, GATEWAY, CALLER, 3, 4, 1300, q.b + IP, 28);
    stays(NET_OUTSIDE, &f);
    q = tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 443, ACK, 100);
    f = icmp(NET_OUTSIDE, GATEWAY, CALLER, 3, 4, 1300, q.b + IP, 28);
    stays(NET_OUTSIDE, &f);
}

/* From a guest of the same host a packet comes without a checksum; it leaves with one. */
static void checksum_is_filled_in(void **state)
{
    struct frame want, f, r;

    (void)state;
    introduce();
    for (unsigned i = 0; i < 2; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

        want = i ? tcp(NET_INSIDE, CALLER, 40000, PASS_HOST, 22, ACK, 101)
                 : udp(NET_INSIDE, CALLER, 5000, NEAR_OUT, 53, 31);
        f = want;
        put16(f.b + L4 + (i ? 16 : 6), 0x1111);
        memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
        m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
        net_input(bed.n, NET_INSIDE, m);
        net_flush(bed.n);
        assert_true(sent(NET_OUTSIDE, &r));
        assert_memory_equal(r.b + L4, want.b + L4, want.n - L4);
    }
}

/* RFC 1624: updating gives what computing gives, for every old sum and many words. */
static void update_against_model(void **state)
{
    (void)state;
    for (unsigned word = 0; word < 65536; word += 251)
        for (unsigned other = 0; other < 65536; other += 4099) {
            uint8_t b[4];
            uint16_t before, got;

            put16(b, word);
            put16(b + 2, other);
            before = sum16(b, 4, 0);
            put16(b, word ^ 0x0100);
            got = cksum_update(before, (uint16_t)word, (uint16_t)(word ^ 0x0100));
            if (got != sum16(b, 4, 0))
                fail_msg("%04x %04x: %04x, should be %04x", word, other, got, sum16(b, 4, 0));
        }
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(out_and_back),         t(not_named), t(never_passes), t(time_exceeded),
        t(too_big_to_pass),      t(no_route),  t(errors_cross), t(checksum_is_filled_in),
        t(update_against_model),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
