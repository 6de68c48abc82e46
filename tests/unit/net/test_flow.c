/* What flow_of makes of a frame: bytes in, kind and hash input out. */
#include "bed.h"

#include <string.h>

static const uint8_t v6_caller[16] = {0xfd, 0, 0, 0x10, [15] = 5};
static const uint8_t v6_vendor[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7};

static enum flow_kind look(const struct frame *f, struct steer_flow *out)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));
    enum flow_kind kind;

    assert_non_null(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->b, f->n);
    memset(out, 0, sizeof(*out));
    kind = flow_of(m, out);
    rte_pktmbuf_free(m);
    return kind;
}

static void is(const struct frame *f, enum flow_kind want)
{
    struct steer_flow got;

    assert_int_equal(look(f, &got), want);
}

static void is_flow(const struct frame *f, enum flow_kind kind, const void *src, const void *dst,
                    size_t a, unsigned sport, unsigned dport)
{
    uint8_t want[STEER_TUPLE_MAX];
    struct steer_flow got;

    memcpy(want, src, a);
    memcpy(want + a, dst, a);
    put16(want + 2 * a, sport);
    put16(want + 2 * a + 2, dport);
    assert_int_equal(look(f, &got), kind);
    assert_int_equal(got.n, 2 * a + 4);
    assert_memory_equal(got.b, want, got.n);
}

static void be32(uint8_t out[4], uint32_t v)
{
    put32(out, v);
}

static void v4(void **state)
{
    struct frame f = tcp(NET_INSIDE, CALLER, 40001, VENDOR, 443, SYN, 10);
    uint8_t s[4], d[4];

    (void)state;
    be32(s, CALLER);
    be32(d, VENDOR);
    is_flow(&f, FLOW_TCP, s, d, 4, 40001, 443);
    put16(f.b + IP + 6, 0x4000); /* DF is no fragment */
    is_flow(&f, FLOW_TCP, s, d, 4, 40001, 443);
    put16(f.b + IP + 6, 0x2000);
    is(&f, FLOW_NONE);
    put16(f.b + IP + 6, 0x0001);
    is(&f, FLOW_NONE);
    f = udp(NET_INSIDE, CALLER, 1, VENDOR, 443, 10);
    is(&f, FLOW_NONE);
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN);
    is(&f, FLOW_LEARN);
    f = ether(NET_INSIDE, 0x8100);
    is(&f, FLOW_NONE);
}

/* The answers to what is quoted: source and destination change places. */
static void v4_quoted(void **state)
{
    struct frame q = tcp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 443, ACK, 0), f;
    uint8_t s[4], d[4];

    (void)state;
    be32(s, VENDOR);
    be32(d, OUR_OUT);
    for (unsigned type = 0; type < 256; type++) {
        f = icmp(NET_OUTSIDE, GATEWAY, OUR_OUT, type, 1, 0, q.b + IP, 28);
        if (type == 3 || type == 11 || type == 12)
            is_flow(&f, FLOW_QUOTED, s, d, 4, 443, 50000);
        else
            is(&f, FLOW_NONE);
    }
    q = udp(NET_OUTSIDE, OUR_OUT, 50000, VENDOR, 53, 0);
    f = icmp(NET_OUTSIDE, GATEWAY, OUR_OUT, 3, 1, 0, q.b + IP, 28);
    is(&f, FLOW_NONE);
}

/* An IPv6 frame: `ext` are extension headers, each of 8 bytes, the last before `next`. */
static struct frame ip6_with(const uint8_t *ext, unsigned next, unsigned count, const void *l4,
                             size_t n)
{
    struct frame f = ether(NET_INSIDE, 0x86dd);
    uint8_t *ip = f.b + IP, *p = ip + 40;

    memset(ip, 0, 40);
    ip[0] = 0x60;
    put16(ip + 4, (unsigned)(8 * count + n));
    ip[6] = (uint8_t)(count ? ext[0] : next);
    ip[7] = 255;
    memcpy(ip + 8, v6_caller, 16);
    memcpy(ip + 24, v6_vendor, 16);
    for (unsigned i = 0; i < count; i++, p += 8) {
        memset(p, 0, 8);
        p[0] = (uint8_t)(i + 1 < count ? ext[i + 1] : next);
    }
    memcpy(p, l4, n);
    f.n = (size_t)(p - f.b) + n;
    return f;
}

static void v6(void **state)
{
    static const uint8_t ext[] = {0, 43, 60, 60, 60}, fragment[] = {44};
    struct frame q = tcp(NET_INSIDE, CALLER, 40001, VENDOR, 443, SYN, 0), f;
    uint8_t back[80] = {3}, nd[24] = {135};

    (void)state;
    for (unsigned count = 0; count <= 4; count++) {
        f = ip6_with(ext, IPPROTO_TCP, count, q.b + L4, 20);
        is_flow(&f, FLOW_TCP, v6_caller, v6_vendor, 16, 40001, 443);
    }
    f = ip6_with(ext, IPPROTO_TCP, 5, q.b + L4, 20);
    is(&f, FLOW_NONE);
    f = ip6_with(fragment, IPPROTO_TCP, 1, q.b + L4, 20);
    is(&f, FLOW_NONE);
    f = ip6_with(NULL, IPPROTO_TCP, 0, q.b + L4, 20);
    memcpy(back + 8, f.b + IP, 60);
    f = ip6_with(NULL, IPPROTO_ICMPV6, 0, back, 68);
    is_flow(&f, FLOW_QUOTED, v6_vendor, v6_caller, 16, 443, 40001);
    back[0] = 128;
    f = ip6_with(NULL, IPPROTO_ICMPV6, 0, back, 68);
    is(&f, FLOW_NONE);
    f = ip6_with(NULL, IPPROTO_ICMPV6, 0, nd, sizeof(nd));
    is(&f, FLOW_LEARN);
    f.b[IP + 7] = 64; /* RFC 4861 7.1.1: from another link, so nobody's neighbour */
    is(&f, FLOW_NONE);
}

/* Cut anywhere, in one piece and in two: never a flow of bytes that did not come. */
static void cut(void **state)
{
    static const uint8_t ext[] = {0, 60};
    struct frame q = tcp(NET_INSIDE, CALLER, 40001, VENDOR, 443, SYN, 0);
    struct frame all[3] = {q, ip6_with(ext, IPPROTO_TCP, 2, q.b + L4, 20), q};
    size_t need[3] = {L4 + 4, 14 + 40 + 16 + 4, 14 + 20 + 8 + 20 + 4};

    (void)state;
    all[2] = icmp(NET_INSIDE, GATEWAY, OUR_OUT, 3, 1, 0, q.b + IP, 28);
    for (unsigned k = 0; k < 3; k++)
        for (size_t n = 1; n < all[k].n; n++) {
            struct frame f = all[k];
            struct steer_flow got;

            f.n = n;
            if ((look(&f, &got) == FLOW_NONE) != (n < need[k]))
                fail_msg("frame %u cut to %zu bytes", k, n);
        }
}

static void chains(void **state)
{
    struct frame q = tcp(NET_INSIDE, CALLER, 40001, VENDOR, 443, SYN, 100);

    (void)state;
    for (size_t at = 14; at < 60; at++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));
        struct rte_mbuf *tail = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));
        struct steer_flow f;

        memcpy(rte_pktmbuf_append(m, (uint16_t)at), q.b, at);
        memcpy(rte_pktmbuf_append(tail, (uint16_t)(q.n - at)), q.b + at, q.n - at);
        assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
        assert_int_equal(flow_of(m, &f), FLOW_TCP);
        assert_memory_equal(f.b, q.b + IP + 12, 12);
        rte_pktmbuf_free(m);
    }
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {t(v4), t(v4_quoted), t(v6), t(cut), t(chains)};

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
