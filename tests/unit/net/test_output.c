/* What is sent: headers, checksums over any chain, one piece where the port wants it, the burst. */
#include "bed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void send_out(uint32_t dst, struct rte_mbuf *m)
{
    struct net_addr src = net_addr_v4(OUR_OUT), to = net_addr_v4(dst);

    net_send_tcp(bed.n, NET_OUTSIDE, &src, &to, m);
    net_flush(bed.n);
}

static void header(void **state)
{
    struct frame r;

    (void)state;
    introduce();
    send_out(NEAR_OUT, tcp_mbuf(50000, 443, 100));
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_int_equal(r.n, L4 + 120);
    assert_int_equal(get16(r.b + IP + 4), 0);
    assert_int_equal(get16(r.b + IP + 6), 0x4000);
    assert_int_equal(r.b[IP + 8], 64);
    assert_int_equal(get32(r.b + IP + 12), OUR_OUT);
    assert_int_equal(get32(r.b + IP + 16), NEAR_OUT);
    assert_counted(tx_packets, 4); /* and three ARP replies */
}

static struct rte_mbuf *piece(const uint8_t *p, size_t n)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

    assert_non_null(m);
    if (n)
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), p, n);
    return m;
}

/* A segment of `n` payload bytes over random pieces; some of them indirect, as retransmissions are.
 */
static struct rte_mbuf *random_chain(const uint8_t *payload, size_t n)
{
    struct rte_mbuf *head = tcp_mbuf(50000, 443, 0), *m, *direct;
    size_t at = 0, take;

    while (at < n) {
        take = (size_t)rand() % (rand() % 3 ? 500 : 4);
        if (take > n - at)
            take = n - at;
        m = piece(payload + at, take);
        if (rand() % 2) {
            direct = m;
            m = rte_pktmbuf_clone(direct, net_ports_pool(bed.ports, 0));
            rte_pktmbuf_free(direct);
        }
        assert_int_equal(rte_pktmbuf_chain(head, m), 0);
        at += take;
    }
    return head;
}

/* The bytes and the checksum (see sent) are right whatever the pieces, gathered or copied. */
static void any_chain(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    uint8_t payload[1460];
    struct frame r;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    introduce();
    for (unsigned round = 0; round < 2000; round++) {
        size_t n = (size_t)rand() % (sizeof(payload) + 1);

        bed.n->face[NET_OUTSIDE].max_segs = (uint16_t)(round % 3 ? UINT16_MAX : 1 + rand() % 3);
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)(rand() % 2 ? 0xff : rand());
        send_out(NEAR_OUT, random_chain(payload, n));
        assert_true(sent(NET_OUTSIDE, &r));
        assert_int_equal(r.n, L4 + 20 + n);
        assert_memory_equal(r.b + L4 + 20, payload, n);
    }
}

/* Looks at the mbuf itself: one segment where the port takes no chains. */
static void one_piece(void **state)
{
    static uint8_t payload[1000];
    struct rte_mbuf *m, *direct;
    void *got = NULL;

    (void)state;
    introduce();
    bed.n->face[NET_OUTSIDE].max_segs = 1;
    send_out(NEAR_OUT, random_chain(payload, sizeof(payload)));
    assert_int_equal(rte_ring_dequeue(rte_ring_lookup("out0.tx0"), &got), 0);
    m = got;
    assert_int_equal(m->nb_segs, 1);
    assert_true(RTE_MBUF_DIRECT(m));
    rte_pktmbuf_free(m);
    direct = tcp_mbuf(50000, 443, 10);
    m = rte_pktmbuf_clone(direct, net_ports_pool(bed.ports, 0));
    rte_pktmbuf_free(direct);
    send_out(NEAR_OUT, m);
    assert_int_equal(rte_ring_dequeue(rte_ring_lookup("out0.tx0"), &got), 0);
    m = got;
    assert_true(RTE_MBUF_DIRECT(m));
    rte_pktmbuf_free(m);
    bed.n->face[NET_OUTSIDE].max_segs = UINT16_MAX; /* and no needless copy */
    m = random_chain(payload, sizeof(payload));
    send_out(NEAR_OUT, m);
    assert_int_equal(rte_ring_dequeue(rte_ring_lookup("out0.tx0"), &got), 0);
    assert_ptr_equal(got, m);
    rte_pktmbuf_free(m);
}

/* The port is told what it needs to finish the checksums. */
static void offloaded(void **state)
{
    struct rte_mbuf *m;
    uint8_t *b;
    void *got = NULL;

    (void)state;
    introduce();
    bed.n->face[NET_OUTSIDE].tx_cksum = true;
    send_out(NEAR_OUT, tcp_mbuf(50000, 443, 9));
    assert_int_equal(rte_ring_dequeue(rte_ring_lookup("out0.tx0"), &got), 0);
    m = got;
    b = rte_pktmbuf_mtod(m, uint8_t *);
    assert_true(m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_TCP_CKSUM);
    assert_true(m->ol_flags & RTE_MBUF_F_TX_IPV4);
    assert_int_equal(m->l2_len, 14);
    assert_int_equal(m->l3_len, 20);
    assert_int_equal(m->l4_len, 20);
    assert_int_equal(get16(b + IP + 10), 0);
    put16(b + L4 + 16, get16(b + L4 + 16)); /* the pseudo header's sum: adding the rest gives 0 */
    assert_int_equal(get16(b + L4 + 16), (uint16_t)~sum16(b + IP + 12, 8, IPPROTO_TCP + 29));
    rte_pktmbuf_free(m);
}

static void refused(void **state)
{
    struct net_addr v6, v4 = net_addr_v4(NEAR_OUT);
    struct rte_mbuf *m;

    (void)state;
    introduce();
    assert_true(net_addr_parse(SPAN_LIT("fd00::1"), &v6));
    net_send_tcp(bed.n, NET_OUTSIDE, &v6, &v4, tcp_mbuf(1, 2, 0));
    net_send_tcp(bed.n, NET_OUTSIDE, &v4, &v6, tcp_mbuf(1, 2, 0));
    assert_counted(drop_no_route, 2);
    send_out(NEAR_OUT, tcp_mbuf(1, 2, 1461));
    assert_counted(drop_too_big, 1);
    send_out(NEAR_OUT, tcp_mbuf(1, 2, 1460));
    assert_counted(drop_too_big, 1);
    m = tcp_mbuf(1, 2, 0);
    rte_pktmbuf_trim(m, 1);
    send_out(NEAR_OUT, m);
    assert_counted(drop_l4_header, 1);
    m = tcp_mbuf(1, 2, 0);
    m->data_off = 33;
    send_out(NEAR_OUT, m);
    assert_counted(drop_no_mbuf, 1);
    bed.n->face[NET_OUTSIDE].has_gateway[NET_IP4] = false;
    send_out(VENDOR, tcp_mbuf(1, 2, 0));
    assert_counted(drop_no_route, 3);
}

/* The port's ring takes 63 frames; what does not fit waits in order, and the bound is counted. */
static void burst_waits(void **state)
{
    const unsigned many = NET_TX_ROOM + 63 + 7;
    struct net_addr src = net_addr_v4(OUR_OUT), to = net_addr_v4(NEAR_OUT);
    struct frame r;
    unsigned got = 0;

    (void)state;
    introduce();
    for (unsigned i = 0; i < many; i++)
        net_send_tcp(bed.n, NET_OUTSIDE, &src, &to, tcp_mbuf(1 + i, 443, 0));
    net_flush(bed.n);
    assert_counted(drop_tx_full, 7);
    while (sent(NET_OUTSIDE, &r)) {
        assert_int_equal(get16(r.b + L4), ++got);
        net_flush(bed.n);
    }
    assert_int_equal(got, many - 7);
    assert_counted(tx_packets, got + 3);
}

/* A pool of outside addresses: those of the prefix by which the vendor is reached, no others. */
static void source_pool(void **state)
{
    static const uint32_t more[] = {0x0a140007, 0x0a1e0001, 0x0a140009};
    struct net_side_config *out = &bed.config.side[NET_OUTSIDE];
    unsigned had = out->naddrs;
    struct net_addr a = net_addr_v4(VENDOR), srcs[NET_ADDRS_MAX];

    (void)state;
    assert_int_equal(net_sources_for(bed.n, NET_OUTSIDE, &a, srcs), 1);
    assert_int_equal(net_addr_to_v4(&srcs[0]), OUR_OUT);
    assert_int_equal(net_sources_for(bed.n, NET_INSIDE, &a, srcs), 0);
    for (unsigned i = 0; i < 3; i++)
        out->addrs[out->naddrs++] = (struct net_prefix){net_addr_v4(more[i]), 96 + 24};
    bed_finish(NULL);
    bed_fresh(NULL);
    assert_int_equal(net_sources_for(bed.n, NET_OUTSIDE, &a, srcs), 3);
    assert_int_equal(net_addr_to_v4(&srcs[0]), OUR_OUT);
    assert_int_equal(net_addr_to_v4(&srcs[1]), more[0]);
    assert_int_equal(net_addr_to_v4(&srcs[2]), more[2]);
    a = net_addr_v4(0x0a1e0005); /* on the other prefix's link */
    assert_int_equal(net_sources_for(bed.n, NET_OUTSIDE, &a, srcs), 1);
    assert_int_equal(net_addr_to_v4(&srcs[0]), more[1]);
    out->naddrs = had;
}

static void source_choice(void **state)
{
    struct net_addr a, src;

    (void)state;
    a = net_addr_v4(VENDOR);
    assert_true(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
    assert_int_equal(net_addr_to_v4(&src), OUR_OUT);
    assert_false(net_source_for(bed.n, NET_INSIDE, &a, &src)); /* no gateway there */
    a = net_addr_v4(OUR_OUT);
    assert_false(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
    a = net_addr_v4(0x0a1400ff);
    assert_false(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
    a = net_addr_v4(0xe0000001);
    assert_false(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
    assert_int_equal(net_mtu(bed.n, NET_INSIDE), 1500);
    a = net_addr_v4(OUR_IN);
    assert_true(net_is_local(bed.n, &a));
}

/* mbuf_sum against a sum byte by byte, at every offset and length of a ragged chain. */
static void sum_against_model(void **state)
{
    static const unsigned sizes[] = {7, 1, 0, 2, 31, 1, 64, 5};
    struct rte_mbuf *m = piece(NULL, 0);
    uint8_t flat[111];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(flat); i++)
        flat[i] = (uint8_t)(0xff - i % 5);
    for (size_t i = 0; i < RTE_DIM(sizes); n += sizes[i++])
        assert_int_equal(rte_pktmbuf_chain(m, piece(flat + n, sizes[i])), 0);
    assert_int_equal(n, sizeof(flat));
    for (uint32_t off = 0; off < n; off++)
        for (uint32_t len = 1; off + len <= n; len++) {
            uint16_t got = rte_bswap16(mbuf_sum(m, off, len));
            uint16_t want = (uint16_t)~sum16(flat + off, len, 0);

            if (got % 0xffff != want % 0xffff)
                fail_msg("off %u len %u: %04x, should be %04x", off, len, got, want);
        }
    rte_pktmbuf_free(m);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(header),  t(sum_against_model), t(any_chain),     t(one_piece),   t(offloaded),
        t(refused), t(burst_waits),       t(source_choice), t(source_pool),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
