/* Received frames: each way in which one ends, and what goes up. */
#include "bed.h"

#include <string.h>

/* The frame ends in that counter, nothing goes up, nothing is sent. */
#define assert_dropped(side, f, name)                                                              \
    do {                                                                                           \
        uint64_t before_ = counted(name);                                                          \
        wire((side), (f));                                                                         \
        assert_count_(#name, counted(name), before_ + 1);                                          \
        assert_int_equal(bed.nseen, 0);                                                            \
        nothing_sent();                                                                            \
    } while (0)

static struct frame good(void)
{
    return tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, SYN, 0);
}

static void segment_goes_up(void **state)
{
    struct frame f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, ACK, 100);
    struct net_addr src = net_addr_v4(CALLER), dst = net_addr_v4(VENDOR);
    struct net_segment *s = &bed.seen[0];

    (void)state;
    f.b[IP + 1] = 0x03; /* ECN: CE */
    fix_ip(&f);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
    assert_true(net_addr_eq(&s->src, &src));
    assert_true(net_addr_eq(&s->dst, &dst));
    assert_int_equal(s->side, NET_INSIDE);
    assert_int_equal(s->ecn, 3);
    assert_int_equal(s->m->pkt_len, 120);
    assert_memory_equal(rte_pktmbuf_mtod(s->m, void *), f.b + L4, 120);
    assert_counted(rx_packets, 1);
    assert_counted(rx_bytes, f.n);
}

static void segment_from_outside_goes_up(void **state)
{
    struct frame f = tcp(NET_OUTSIDE, VENDOR, 443, OUR_OUT, 50000, SYN | ACK, 0);

    (void)state;
    wire(NET_OUTSIDE, &f);
    assert_int_equal(bed.nseen, 1);
    assert_int_equal(bed.seen[0].side, NET_OUTSIDE);
}

static void padding_is_cut(void **state)
{
    struct frame f = good();

    (void)state;
    f.n = 60;
    memset(f.b + 54, 0xee, 6);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
    assert_int_equal(bed.seen[0].m->pkt_len, 20);
}

/* Whatever the mbufs' sizes, the same bytes go up and the TCP header is in one piece. */
static void any_chain_goes_up(void **state)
{
    static const unsigned sizes[][4] = {
        {1, 1, 1, 1},   {14, 20, 20, 3}, {13, 22, 1, 50},  {33, 2, 60, 1},    {54, 1, 1, 1},
        {100, 0, 7, 9}, {0, 10, 0, 30},  {70, 70, 70, 70}, {100, 200, 57, 1}, {355, 1, 1, 1}};

    (void)state;
    for (size_t i = 0; i < RTE_DIM(sizes); i++) {
        struct frame f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, ACK, 301);
        struct rte_mbuf *m;
        uint8_t flat[400];
        const void *got;

        f.n += 5; /* trailing bytes that are not the packet's, over a segment's end */
        wire_split(NET_INSIDE, &f, sizes[i], 4);
        assert_int_equal(bed.nseen, i + 1);
        m = bed.seen[i].m;
        rte_mbuf_sanity_check(m, 1);
        assert_int_equal(m->pkt_len, 321);
        assert_true(m->data_len >= 20);
        got = rte_pktmbuf_read(m, 0, 321, flat);
        assert_memory_equal(got, f.b + L4, 321);
    }
}

static void ethernet_drops(void **state)
{
    struct frame f = good();

    (void)state;
    f.n = 13;
    assert_dropped(NET_INSIDE, &f, drop_runt);
    f = good();
    f.b[5] ^= 1;
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good();
    memcpy(f.b, "\x01\x00\x5e\x00\x00\x01", 6);
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good(); /* our own frame, back by a loop */
    memcpy(f.b + 6, bed_mac(NET_INSIDE), 6);
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good();
    f.b[6] |= 1; /* a group as source */
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good(); /* IP in a broadcast frame */
    memset(f.b, 0xff, 6);
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = ether(NET_INSIDE, 0x8100);
    f.n = 64;
    assert_dropped(NET_INSIDE, &f, drop_vlan);
    f = ether(NET_INSIDE, 0x88cc);
    f.n = 64;
    assert_dropped(NET_INSIDE, &f, drop_ethertype);
}

static void ip_header_drops(void **state)
{
    struct frame f;

    (void)state;
    for (size_t n = ETH; n < L4; n++) { /* cut short */
        f = good();
        f.n = n;
        assert_dropped(NET_INSIDE, &f, drop_ip_header);
    }
    f = good();
    f.b[IP] = 0x65;
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    f.b[IP] = 0x44;
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    put16(f.b + IP + 2, 19); /* total length below the header's */
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    put16(f.b + IP + 2, 41); /* one more than there is */
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    put16(f.b + IP + 6, 0x8000);
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    f.b[IP + 10] ^= 0x40;
    assert_dropped(NET_INSIDE, &f, drop_ip_checksum);
    f = good();
    f.b[IP + 8] = 0;
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_ttl);
    f = good();
    put16(f.b + IP + 6, 0x2000);
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_fragment);
    f = good();
    put16(f.b + IP + 6, 0x0001);
    fix_ip(&f);
    assert_dropped(NET_INSIDE, &f, drop_fragment);
}

static void options_drop(void **state)
{
    uint8_t t[64] = {1, 1, 1, 0}; /* no-operation, end: then TCP */
    struct frame f = ip4(NET_INSIDE, CALLER, VENDOR, IPPROTO_TCP, t, sizeof(t));

    (void)state;
    f.b[IP] = 0x46;
    put16(f.b + IP + 10, 0);
    put16(f.b + IP + 10, sum16(f.b + IP, 24, 0));
    assert_dropped(NET_INSIDE, &f, drop_ip_options);
    f.b[IP] = 0x4f; /* 60 bytes of header */
    put16(f.b + IP + 10, 0);
    put16(f.b + IP + 10, sum16(f.b + IP, 60, 0));
    assert_dropped(NET_INSIDE, &f, drop_ip_options);
}

static void source_drops(void **state)
{
    static const uint32_t bad[] = {
        0x00000000, 0x00000001, 0x7f000001, 0xa9fe0101, 0xe0000001, 0xf0000001,
        0xffffffff, OUR_IN,     OUR_OUT,    0x0a0a0000, 0x0a0a00ff, /* ours, and broadcasts of the
                                                                       link */
        NEAR_OUT,   /* an outside neighbour, inside */
        0x0a0b0005, /* on no prefix, and inside has no gateway */
    };
    struct frame f;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(bad); i++) {
        f = tcp(NET_INSIDE, bad[i], 40000, VENDOR, 443, SYN, 0);
        assert_dropped(NET_INSIDE, &f, drop_ip_source);
    }
    f = tcp(NET_OUTSIDE, CALLER, 443, OUR_OUT, 50000, SYN | ACK, 0);
    assert_dropped(NET_OUTSIDE, &f, drop_ip_source);
}

/* A link within the other side's wider one belongs to its own side. */
static void longest_prefix_says_whose(void **state)
{
    struct net_local *wide = &bed.n->face[NET_INSIDE].local[0];
    struct frame f = tcp(NET_INSIDE, NEAR_OUT, 40000, VENDOR, 443, SYN, 0);

    (void)state;
    wide->range = net_range_of(&(struct net_prefix){net_addr_v4(OUR_IN), 96 + 8});
    wide->bits = 96 + 8;
    assert_dropped(NET_INSIDE, &f, drop_ip_source);
    f = tcp(NET_INSIDE, 0x0a630001, 40000, VENDOR, 443, SYN, 0);
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
}

/* RFC 3021: a link of two addresses has no broadcast; nor has a host alone. */
static void two_on_a_link(void **state)
{
    struct net_prefix before = bed.config.side[NET_INSIDE].addrs[0];
    struct frame f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, SYN, 0);

    assert_true(net_prefix_parse(SPAN_LIT("10.10.0.4/31"), &bed.config.side[NET_INSIDE].addrs[0]));
    net_delete(bed.n);
    assert_int_equal(bed_fresh(state), 0);
    wire(NET_INSIDE, &f);
    bed.config.side[NET_INSIDE].addrs[0] = before;
    assert_int_equal(bed.nseen, 1);
}

static void destination_drops(void **state)
{
    static const uint32_t bad[] = {0x00000000, 0x7f000001, 0xe0000001, 0xffffffff,
                                   0x0a0a00ff, 0x0a1400ff, 0x0a140000};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(bad); i++) {
        f = tcp(NET_INSIDE, CALLER, 40000, bad[i], 443, SYN, 0);
        assert_dropped(NET_INSIDE, &f, drop_not_ours);
    }
    f = tcp(NET_INSIDE, CALLER, 40000, OUR_IN, 443, SYN, 0);
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = tcp(NET_INSIDE, CALLER, 40000, OUR_OUT, 443, SYN, 0);
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = tcp(NET_INSIDE, CALLER, 40000, CALLER + 1, 443, SYN, 0); /* a neighbour of the caller's */
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = tcp(NET_OUTSIDE, VENDOR, 443, CALLER, 50000, ACK, 0); /* past us to the caller */
    assert_dropped(NET_OUTSIDE, &f, drop_not_ours);
    f = tcp(NET_OUTSIDE, VENDOR, 443, OUR_IN, 50000, ACK, 0); /* the inside address, outside */
    assert_dropped(NET_OUTSIDE, &f, drop_not_ours);
    f = udp(NET_OUTSIDE, VENDOR, 53, OUR_OUT, 50000, 8);
    assert_dropped(NET_OUTSIDE, &f, drop_not_intercepted);
}

static void l4_drops(void **state)
{
    struct frame f;

    (void)state;
    for (size_t n = 0; n < 20; n++) {
        uint8_t t[20] = {0x9c, 0x40, 0x01, 0xbb, [12] = 0x50};

        f = ip4(NET_INSIDE, CALLER, VENDOR, IPPROTO_TCP, t, n);
        assert_dropped(NET_INSIDE, &f, drop_l4_header);
    }
    f = good();
    f.b[L4 + 12] = 0x40;
    assert_dropped(NET_INSIDE, &f, drop_l4_header);
    f = good();
    f.b[L4 + 12] = 0x60; /* options beyond the packet */
    assert_dropped(NET_INSIDE, &f, drop_l4_header);
    f = tcp(NET_INSIDE, CALLER, 0, VENDOR, 443, SYN, 0);
    assert_dropped(NET_INSIDE, &f, drop_l4_header);
    f = udp(NET_INSIDE, CALLER, 5, NEAR_OUT, 53, 4);
    put16(f.b + L4 + 4, 13);
    assert_dropped(NET_INSIDE, &f, drop_l4_header);
    put16(f.b + L4 + 4, 7);
    assert_dropped(NET_INSIDE, &f, drop_l4_header);
}

/* Every single flipped bit of a segment is found, whatever the chain. */
static void checksum_drops(void **state)
{
    static const unsigned sizes[] = {55, 3, 1};
    struct frame f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, ACK, 41);
    uint64_t flips = 0;

    (void)state;
    for (size_t bit = 0; bit < 61 * 8; bit++) {
        size_t at = L4 + bit / 8;

        if (at < L4 + 4 || at == L4 + 12) /* ports and data offset lead elsewhere */
            continue;
        f.b[at] ^= (uint8_t)(1 << bit % 8);
        if (bit % 2)
            wire(NET_INSIDE, &f);
        else
            wire_split(NET_INSIDE, &f, sizes, 3);
        f.b[at] ^= (uint8_t)(1 << bit % 8);
        assert_counted(drop_l4_checksum, ++flips);
    }
    assert_int_equal(bed.nseen, 0);
    wire_split(NET_INSIDE, &f, sizes, 3);
    assert_int_equal(bed.nseen, 1);
}

/* The port's own word on checksums is taken: good saves the work, bad or silent does not. */
static void port_checksum_words(void **state)
{
    struct frame f = tcp(NET_INSIDE, CALLER, 40000, VENDOR, 443, ACK, 10);
    const uint64_t words[] = {RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_NONE,
                              RTE_MBUF_F_RX_L4_CKSUM_BAD, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN};

    (void)state;
    f.b[L4 + 16] ^= 0xff;
    for (size_t i = 0; i < RTE_DIM(words); i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

        memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
        m->ol_flags |= words[i];
        net_input(bed.n, NET_INSIDE, m);
    }
    assert_int_equal(bed.nseen, 2);
    assert_counted(drop_l4_checksum, 2);
}

static void no_mbuf_for_pullup(void **state)
{
    struct rte_mempool *pool = net_ports_pool(bed.ports, 0);
    static struct rte_mbuf *all[8191];
    struct frame f = good();
    struct rte_mbuf *a = rte_pktmbuf_alloc(pool), *b = rte_pktmbuf_alloc(pool);
    unsigned got = 0;

    (void)state;
    memcpy(rte_pktmbuf_append(a, 10), f.b, 10);
    memcpy(rte_pktmbuf_append(b, (uint16_t)(f.n - 10)), f.b + 10, f.n - 10);
    assert_int_equal(rte_pktmbuf_chain(a, b), 0);
    while (got < RTE_DIM(all) && (all[got] = rte_pktmbuf_alloc(pool)))
        got++;
    net_input(bed.n, NET_INSIDE, a);
    while (got)
        rte_pktmbuf_free(all[--got]);
    assert_counted(drop_no_mbuf, 1);
    assert_int_equal(bed.nseen, 0);
}

static void vlan_taken_off_by_the_port(void **state)
{
    struct frame f = good();
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

    (void)state;
    memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
    m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    net_input(bed.n, NET_INSIDE, m);
    assert_counted(drop_vlan, 1);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(segment_goes_up),
        t(segment_from_outside_goes_up),
        t(padding_is_cut),
        t(any_chain_goes_up),
        t(ethernet_drops),
        t(ip_header_drops),
        t(options_drop),
        t(source_drops),
        t(longest_prefix_says_whose),
        t(two_on_a_link),
        t(destination_drops),
        t(l4_drops),
        t(checksum_drops),
        t(port_checksum_words),
        t(no_mbuf_for_pullup),
        t(vlan_taken_off_by_the_port),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
