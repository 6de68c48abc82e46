/* IPv6 (RFC 8200): each way in which a packet ends, what goes up, what is sent, what crosses. */
#include "bed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    return tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, SYN, 0);
}

/* ---------------------------------------------------------------------- input */

static void segment_goes_up(void **state)
{
    struct frame f = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, ACK, 100);
    struct net_addr src = a6(CALLER6), dst = a6(VENDOR6);
    struct net_segment *s = &bed.seen[0];

    (void)state;
    put32(f.b + IP, 0x60000000 | 0x3 << 20 | 0xabcde); /* ECN: CE; and a flow label */
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
    assert_true(net_addr_eq(&s->src, &src));
    assert_true(net_addr_eq(&s->dst, &dst));
    assert_int_equal(s->side, NET_INSIDE);
    assert_int_equal(s->ecn, 3);
    assert_int_equal(s->m->pkt_len, 120);
    assert_memory_equal(rte_pktmbuf_mtod(s->m, void *), f.b + L46, 120);
    f = tcp6(NET_OUTSIDE, VENDOR6, 443, OUR_OUT6, 50000, SYN | ACK, 0);
    wire(NET_OUTSIDE, &f);
    assert_int_equal(bed.nseen, 2);
    assert_int_equal(bed.seen[1].side, NET_OUTSIDE);
}

static void padding_is_cut(void **state)
{
    struct frame f = good();

    (void)state;
    memset(f.b + f.n, 0xee, 6);
    f.n += 6;
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
    assert_int_equal(bed.seen[0].m->pkt_len, 20);
}

/* Whatever the mbufs' sizes, the same bytes go up and the TCP header is in one piece, whatever
 * extension headers were before it. */
static void any_chain_goes_up(void **state)
{
    static const unsigned sizes[][4] = {
        {1, 1, 1, 1},   {14, 40, 20, 3}, {13, 42, 1, 50},   {53, 2, 60, 1},  {74, 1, 1, 1},
        {100, 0, 7, 9}, {0, 10, 0, 30},  {110, 70, 70, 70}, {141, 3, 57, 1}, {399, 1, 1, 1}};
    static const size_t chains[] = {0, 8, 128};

    (void)state;
    for (size_t i = 0; i < RTE_DIM(sizes) * RTE_DIM(chains); i++) {
        size_t ext = chains[i % RTE_DIM(chains)];
        struct frame t = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, ACK, 301), f = t;
        struct rte_mbuf *m;
        uint8_t flat[400];
        const void *got;

        if (ext) { /* destination options: padding */
            memset(f.b + L46, 0, ext);
            f.b[IP + 6] = 60;
            f.b[L46] = IPPROTO_TCP;
            f.b[L46 + 1] = (uint8_t)(ext / 8 - 1);
            memcpy(f.b + L46 + ext, t.b + L46, 321);
            put16(f.b + IP + 4, (unsigned)(321 + ext));
            f.n += ext;
        }
        f.n += 5;
        wire_split(NET_INSIDE, &f, sizes[i / RTE_DIM(chains)], 4);
        if (bed.nseen != i + 1)
            fail_msg("sizes %zu behind %zu bytes did not go up", i / RTE_DIM(chains), ext);
        m = bed.seen[i].m;
        rte_mbuf_sanity_check(m, 1);
        assert_int_equal(m->pkt_len, 321);
        assert_true(m->data_len >= 20);
        got = rte_pktmbuf_read(m, 0, 321, flat);
        assert_memory_equal(got, t.b + L46, 321);
    }
}

static void header_drops(void **state)
{
    struct frame f;

    (void)state;
    for (size_t n = ETH; n < L46; n++) { /* cut short */
        f = good();
        f.n = n;
        assert_dropped(NET_INSIDE, &f, drop_ip_header);
    }
    f = good();
    f.b[IP] = 0x40;
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    put16(f.b + IP + 4, 21); /* one more than there is */
    assert_dropped(NET_INSIDE, &f, drop_ip_header);
    f = good();
    memset(f.b, 0xff, 6); /* IPv6 has no broadcast */
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = good();
    f.b[5] ^= 1;
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good();
    memcpy(f.b, "\x33\x33\x00\x00\x00\x02", 6); /* all routers: not a group that we need */
    assert_dropped(NET_INSIDE, &f, drop_not_our_mac);
    f = good();
    memcpy(f.b, "\x33\x33\x00\x00\x00\x01", 6); /* a host's packet in a group's frame */
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    for (size_t n = 0; n < 20; n++) {
        uint8_t t[20] = {0x9c, 0x40, 0x01, 0xbb, [12] = 0x50};

        f = ip6(NET_INSIDE, CALLER6, VENDOR6, IPPROTO_TCP, t, n);
        assert_dropped(NET_INSIDE, &f, drop_l4_header);
    }
    bed.n->face[NET_INSIDE].ip6 = false; /* as where no IPv6 address was given */
    f = good();
    assert_dropped(NET_INSIDE, &f, drop_ip6_off);
}

/* RFC 8200 3: a hop limit of 0 ends what is forwarded, not what has arrived. */
static void hop_limit_of_zero(void **state)
{
    struct frame f = good();

    (void)state;
    f.b[IP + 7] = 0;
    wire(NET_INSIDE, &f);
    assert_int_equal(bed.nseen, 1);
}

/* RFC 4291 2.5, 2.7. The mapped ones would be taken for IPv4 by everything above. */
static void source_drops(void **state)
{
    static const char *const bad[] = {"::",
                                      "::1",
                                      "::10.10.0.5",
                                      "::ffff:10.10.0.5",
                                      "::ffff:0:10.10.0.5",
                                      "ff02::1",
                                      "ff0e::5",
                                      OUR_IN6,
                                      OUR_OUT6,
                                      NEAR6,
                                      "fe80:0:0:1::5", /* RFC 4291 2.5.6: 54 zero bits */
                                      "2001:db8:77::1"};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(bad); i++) {
        uint64_t before = counted(drop_ip_source);

        f = tcp6(NET_INSIDE, bad[i], 40000, VENDOR6, 443, SYN, 0);
        wire(NET_INSIDE, &f);
        if (counted(drop_ip_source) != before + 1 || bed.nseen)
            fail_msg("a segment from %s was taken", bad[i]);
    }
    nothing_sent();
    f = tcp6(NET_OUTSIDE, CALLER6, 443, OUR_OUT6, 50000, SYN | ACK, 0);
    assert_dropped(NET_OUTSIDE, &f, drop_ip_source);
    f = udp6(NET_OUTSIDE, OUR_OUT6, 136 << 8, VENDOR6, 53, 10); /* begins like an advertisement */
    assert_dropped(NET_OUTSIDE, &f, drop_ip_source);
}

static void destination_drops(void **state)
{
    static const char *const bad[] = {"::",       "::1",      "::ffff:198.51.100.7",
                                      OUR_IN6,    OUR_OUT6,   "fd00:10::77",
                                      "fe80::77", "::8.8.8.8"};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(bad); i++) {
        uint64_t before = counted(drop_not_ours);

        f = tcp6(NET_INSIDE, CALLER6, 40000, bad[i], 443, SYN, 0);
        wire(NET_INSIDE, &f);
        if (counted(drop_not_ours) != before + 1 || bed.nseen)
            fail_msg("a segment to %s was taken", bad[i]);
    }
    nothing_sent();
    f = tcp6(NET_INSIDE, CALLER6, 40000, "ff02::1", 443, SYN, 0);
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = tcp6(NET_INSIDE, CALLER6, 40000, "ff0e::1", 443, SYN, 0);
    memcpy(f.b, bed_mac(NET_INSIDE), 6); /* a group's packet in a frame to us */
    assert_dropped(NET_INSIDE, &f, drop_not_ours);
    f = tcp6(NET_OUTSIDE, VENDOR6, 443, CALLER6, 50000, ACK, 0);
    assert_dropped(NET_OUTSIDE, &f, drop_not_ours);
    f = tcp6(NET_OUTSIDE, VENDOR6, 443, OUR_IN6, 50000, ACK, 0);
    assert_dropped(NET_OUTSIDE, &f, drop_not_ours);
    f = udp6(NET_OUTSIDE, VENDOR6, 53, OUR_OUT6, 50000, 8);
    assert_dropped(NET_OUTSIDE, &f, drop_not_intercepted);
}

/* RFC 8200 8.1: the pseudo header's bytes and all others, whatever the chain. */
static void checksum_drops(void **state)
{
    static const unsigned sizes[] = {75, 3, 1};
    struct frame f = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, ACK, 41);
    uint64_t flips = 0;

    (void)state;
    for (size_t bit = 0; bit < 61 * 8; bit++) {
        size_t at = L46 + bit / 8;

        if (at < L46 + 4 || at == L46 + 12) /* ports and data offset lead elsewhere */
            continue;
        f.b[at] ^= (uint8_t)(1 << bit % 8);
        if (bit % 2)
            wire(NET_INSIDE, &f);
        else
            wire_split(NET_INSIDE, &f, sizes, 3);
        f.b[at] ^= (uint8_t)(1 << bit % 8);
        assert_counted(drop_l4_checksum, ++flips);
    }
    for (size_t at = IP + 8; at < IP + 40;
         at++) { /* the last bytes of the source, the destination */
        if (at < IP + 8 + 15)
            continue;
        f.b[at] ^= 0x40;
        wire(NET_INSIDE, &f);
        f.b[at] ^= 0x40;
        assert_counted(drop_l4_checksum, ++flips);
    }
    assert_int_equal(bed.nseen, 0);
    wire_split(NET_INSIDE, &f, sizes, 3);
    assert_int_equal(bed.nseen, 1);
}

static void port_checksum_words(void **state)
{
    struct frame f = tcp6(NET_INSIDE, CALLER6, 40000, VENDOR6, 443, ACK, 10);
    const uint64_t words[] = {RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_NONE,
                              RTE_MBUF_F_RX_L4_CKSUM_BAD, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN};

    (void)state;
    f.b[L46 + 16] ^= 0xff;
    for (size_t i = 0; i < RTE_DIM(words); i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

        memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
        m->ol_flags |= words[i];
        net_input(bed.n, NET_INSIDE, m);
    }
    assert_int_equal(bed.nseen, 2);
    assert_counted(drop_l4_checksum, 2);
}

/* ---------------------------------------------------------- extension headers */

struct ext {
    const char *what;
    uint8_t first; /* Next Header of the IPv6 header */
    size_t n;
    uint8_t b[160];
    enum { UP, EXTENSION, ROUTING, JUMBO, FRAGMENT, NO_NEXT } ends;
    int told; /* parameter problem's code, -1: nobody is told */
    unsigned pointer;
};

#define TCP 6
/* clang-format off */
static const struct ext exts[] = {
    {"hop-by-hop of padding", 0, 8, {TCP, 0, 1, 4}, UP, -1, 0},
    {"hop-by-hop of six Pad1", 0, 8, {TCP, 0}, UP, -1, 0},
    {"router alert", 0, 8, {TCP, 0, 5, 2, 0, 0, 1, 0}, UP, -1, 0},
    {"destination options", 60, 8, {TCP, 0, 1, 4}, UP, -1, 0},
    {"two of destination options", 60, 16, {60, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4}, UP, -1, 0},
    {"hop-by-hop, then destination", 0, 16, {60, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4}, UP, -1, 0},
    {"unknown option to be skipped", 60, 8, {TCP, 0, 0x1e, 4}, UP, -1, 0},
    {"as long as it may be", 60, 128, {TCP, 15}, UP, -1, 0},
    {"RFC 6946: fragment header of a whole packet", 44, 8, {TCP, 0, 0, 0, 1, 2, 3, 4}, UP, -1, 0},
    {"the same with reserved bits", 44, 8, {TCP, 0xff, 0, 6, 1, 2, 3, 4}, UP, -1, 0},

    {"RFC 8200 4: hop-by-hop not first", 60, 16, {0, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4}, EXTENSION, 1, 40},
    {"hop-by-hop twice", 0, 16, {0, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4}, EXTENSION, 1, 40},
    {"hop-by-hop behind a fragment header", 44, 16, {0, 0, 0, 0, 0, 0, 0, 0, TCP, 0, 1, 4}, EXTENSION, 1, 40},
    {"two fragment headers", 44, 16, {44, 0, 0, 0, 0, 0, 0, 0, TCP}, EXTENSION, -1, 0},
    {"longer than the packet", 60, 8, {TCP, 7}, EXTENSION, -1, 0},
    {"longer than we read", 60, 136, {TCP, 16}, EXTENSION, -1, 0},
    {"an option beyond its header", 60, 8, {TCP, 0, 1, 5}, EXTENSION, -1, 0},
    {"an option without its length", 60, 8, {TCP, 0, 0, 0, 0, 0, 0, 1}, EXTENSION, -1, 0},
    {"the last option beyond its header", 0, 8, {TCP, 0, 1, 2, 0, 0, 1, 1}, EXTENSION, -1, 0},
    {"RFC 8200 4.2: option 01, drop", 60, 8, {TCP, 0, 0x41, 4}, EXTENSION, -1, 0},
    {"option 10, drop and tell", 60, 8, {TCP, 0, 1, 0, 0x81, 2}, EXTENSION, 2, 44},
    {"option 11, drop and tell", 0, 8, {TCP, 0, 0, 0xc1, 3}, EXTENSION, 2, 43},
    {"RFC 2675: jumbo payload", 0, 8, {TCP, 0, 0xc2, 4, 0, 1, 0, 0}, JUMBO, -1, 0},
    {"the same as destination option", 60, 8, {TCP, 0, 0xc2, 4, 0, 1, 0, 0}, JUMBO, -1, 0},
    {"RFC 5095: routing type 0", 43, 24, {TCP, 2, 0, 1}, ROUTING, 0, 42},
    {"routing type 0 at its end", 43, 24, {TCP, 2, 0, 0}, ROUTING, -1, 0},
    {"routing type 4", 43, 24, {TCP, 2, 4, 1}, ROUTING, 0, 42},
    {"routing behind hop-by-hop", 0, 16, {43, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 3, 2}, ROUTING, 0, 50},
    {"first fragment", 44, 8, {TCP, 0, 0, 1, 1, 2, 3, 4}, FRAGMENT, -1, 0},
    {"later fragment", 44, 8, {TCP, 0, 0, 8, 1, 2, 3, 4}, FRAGMENT, -1, 0},
    {"last fragment", 44, 8, {TCP, 0, 0xff, 0xf8, 1, 2, 3, 4}, FRAGMENT, -1, 0},
    {"nothing follows", 59, 0, {0}, NO_NEXT, -1, 0},
    {"nothing follows the options", 60, 8, {59, 0, 1, 4}, NO_NEXT, -1, 0},
};
/* clang-format on */

static struct frame extended(const struct ext *e)
{
    struct frame t = good(), f = t;

    f.b[IP + 6] = e->first;
    memcpy(f.b + L46, e->b, e->n);
    memcpy(f.b + L46 + e->n, t.b + L46, 20);
    f.n += e->n;
    put16(f.b + IP + 4, (unsigned)(20 + e->n));
    return f;
}

static uint64_t ended_in(const struct ext *e)
{
    switch (e->ends) {
    case EXTENSION:
        return counted(drop_ip6_extension);
    case ROUTING:
        return counted(drop_ip6_routing);
    case JUMBO:
        return counted(drop_ip6_jumbo);
    case FRAGMENT:
        return counted(drop_fragment);
    case NO_NEXT:
        return counted(drop_ip6_no_next);
    default:
        return bed.nseen;
    }
}

static void extension_headers(void **state)
{
    (void)state;
    introduce6();
    for (size_t i = 0; i < RTE_DIM(exts); i++) {
        const struct ext *e = &exts[i];
        struct frame f = extended(e), r;
        uint64_t before = ended_in(e);
        bool told;

        wire(NET_INSIDE, &f);
        if (ended_in(e) != before + 1)
            fail_msg("%s did not end as it should", e->what);
        told = sent(NET_INSIDE, &r);
        if (told != (e->told >= 0))
            fail_msg("%s: the caller was %stold", e->what, told ? "" : "not ");
        if (told && (get16(r.b + L46) != (4 << 8 | e->told) || get32(r.b + L46 + 4) != e->pointer))
            fail_msg("%s: told %04x at %u", e->what, get16(r.b + L46), get32(r.b + L46 + 4));
    }
}

/* Each cut of each chain: nothing beyond the packet is read, nothing is taken for TCP. */
static void extension_headers_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < RTE_DIM(exts); i++)
        for (size_t left = 0; left < exts[i].n + 20; left++) {
            struct frame f = extended(&exts[i]);

            put16(f.b + IP + 4, (unsigned)left);
            f.n = L46 + left;
            wire(NET_INSIDE, &f);
            assert_int_equal(bed.nseen, 0);
        }
}

static void jumbogram(void **state)
{
    struct frame f = extended(&exts[0]);

    (void)state;
    put16(f.b + IP + 4, 0);
    assert_dropped(NET_INSIDE, &f, drop_ip6_jumbo);
}

/* From outside nobody is told what we do not understand. */
static void outside_is_not_told(void **state)
{
    struct frame t = tcp6(NET_OUTSIDE, VENDOR6, 443, OUR_OUT6, 50000, ACK, 0), f = t;

    (void)state;
    introduce6();
    f.b[IP + 6] = 60;
    memcpy(f.b + L46, "\x06\0\xc1\x04\0\0\0\0", 8);
    memcpy(f.b + L46 + 8, t.b + L46, 20);
    put16(f.b + IP + 4, 28);
    f.n += 8;
    assert_dropped(NET_OUTSIDE, &f, drop_ip6_extension);
}

/* A walk over any bytes ends, within them. Compared with a walk that takes one header at a time off
 * the front of the packet. */
static int model_walk(const uint8_t *b, size_t n, uint8_t *proto, size_t *len)
{
    uint8_t next = b[6];
    size_t at = 40;

    while (next == 0 || next == 60 || next == 44 || next == 43) {
        size_t size = next == 44 ? 8 : n - at >= 2 ? (b[at + 1] + (size_t)1) * 8 : 8;

        if (next == 43 || n - at < 8 || size > n - at || at + size > 168)
            return -1;
        if (next == 44 && ((b[at + 2] << 8 | b[at + 3]) & ~6))
            return -1;
        if (next == 0 && at != 40)
            return -1;
        next = b[at];
        at += size;
    }
    *proto = next;
    *len = at - 40;
    return next == 59 ? -1 : 0;
}

static void walk_against_model(void **state)
{
    unsigned seed = (unsigned)time(NULL), good_ones = 0;
    static const uint8_t kinds[] = {0, 60, 44, 43, 59, 6, 17, 58};

    (void)state;
    srand(seed);
    for (unsigned round = 0; round < 300000; round++) {
        size_t n = 40 + (size_t)rand() % 200, len = 0;
        struct net_ip6_chain c;
        uint8_t b[240] = {0}, proto = 0;
        enum net_ip6_verdict v;

        b[6] = kinds[(size_t)rand() % RTE_DIM(kinds)];
        for (size_t at = 40; at + 8 <= n; at += 8) { /* options are Pad1 or skipped; see `exts` */
            b[at] = kinds[(size_t)rand() % RTE_DIM(kinds)];
            b[at + 1] = (uint8_t)(rand() % 8 ? 0 : rand() % 20);
            b[at + 3] = (uint8_t)(rand() % 8 ? 0 : 6);
            if (b[at + 3] && b[at + 1] == 0) /* an option's type: it must fit */
                b[at + 4] = 3;
            if (b[at + 3] && b[at + 1])
                b[at + 3] = 0;
        }
        v = net_ip6_walk(b, (uint32_t)n, &c);
        if (model_walk(b, n, &proto, &len) == 0) {
            if (v == NET_IP6_GOOD && (c.protocol != proto || c.len != len))
                fail_msg("seed %u round %u: %u after %u, should be %u after %zu", seed, round,
                         c.protocol, c.len, proto, len);
            good_ones += v == NET_IP6_GOOD;
        } else if (v == NET_IP6_GOOD) {
            fail_msg("seed %u round %u: a bad chain was taken", seed, round);
        }
    }
    if (good_ones < 1000)
        fail_msg("seed %u: only %u good chains of 300000", seed, good_ones);
}

/* --------------------------------------------------------------------- output */

static void send_from(const char *src, const char *dst, struct rte_mbuf *m)
{
    struct net_addr s = a6(src), d = a6(dst);

    net_send_tcp(bed.n, NET_OUTSIDE, &s, &d, m);
    net_flush(bed.n);
}

static void header(void **state)
{
    struct frame a, b;

    (void)state;
    introduce6();
    send_from(OUR_OUT6, VENDOR6, tcp_mbuf(50000, 443, 101));
    assert_true(sent(NET_OUTSIDE, &a));
    assert_memory_equal(a.b, mac_gateway, 6);
    assert_int_equal(a.n, L46 + 121);
    assert_int_equal(get32(a.b + IP) >> 20, 0x600);
    assert_int_equal(a.b[IP + 6], IPPROTO_TCP);
    assert_int_equal(a.b[IP + 7], 64);
    assert_memory_equal(a.b + IP + 8, a6(OUR_OUT6).b, 16);
    assert_memory_equal(a.b + IP + 24, a6(VENDOR6).b, 16);
    send_from(OUR_OUT6, VENDOR6, tcp_mbuf(50000, 443, 7)); /* RFC 6437 3: the flow's label stays */
    assert_true(sent(NET_OUTSIDE, &b));
    assert_int_equal(get32(a.b + IP), get32(b.b + IP));
    send_from(OUR_OUT6, NEAR6, tcp_mbuf(50001, 443, 0));
    assert_true(sent(NET_OUTSIDE, &b));
    assert_memory_equal(b.b, mac_near, 6);
    assert_int_not_equal(get32(a.b + IP), get32(b.b + IP));
}

static void offloaded(void **state)
{
    struct rte_mbuf *m;
    uint8_t *b;
    void *got = NULL;

    (void)state;
    introduce6();
    bed.n->face[NET_OUTSIDE].tx_cksum = true;
    send_from(OUR_OUT6, NEAR6, tcp_mbuf(50000, 443, 9));
    assert_int_equal(rte_ring_dequeue(rte_ring_lookup("out0.tx0"), &got), 0);
    m = got;
    b = rte_pktmbuf_mtod(m, uint8_t *);
    assert_int_equal(m->ol_flags & (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_IPV4), 0);
    assert_true(m->ol_flags & RTE_MBUF_F_TX_IPV6);
    assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_TCP_CKSUM);
    assert_int_equal(m->l2_len, 14);
    assert_int_equal(m->l3_len, 40);
    assert_int_equal(m->l4_len, 20);
    /* the pseudo header's sum: adding the rest gives 0 */
    assert_int_equal(get16(b + L46 + 16), (uint16_t)~sum16(b + IP + 8, 32, IPPROTO_TCP + 29));
    rte_pktmbuf_free(m);
}

static void output_refused(void **state)
{
    struct rte_mbuf *m;
    struct frame r;

    (void)state;
    introduce6();
    send_from(OUR_OUT6, NEAR6, tcp_mbuf(1, 2, 1441));
    assert_counted(drop_too_big, 1);
    send_from(OUR_OUT6, NEAR6, tcp_mbuf(1, 2, 1440));
    assert_counted(drop_too_big, 1);
    assert_true(sent(NET_OUTSIDE, &r));
    m = tcp_mbuf(1, 2, 0);
    m->data_off = 53;
    send_from(OUR_OUT6, NEAR6, m);
    assert_counted(drop_no_mbuf, 1);
    send_from("::ffff:10.20.0.1", NEAR6, tcp_mbuf(1, 2, 0)); /* two families */
    send_from(OUR_OUT6, "::ffff:10.20.0.53", tcp_mbuf(1, 2, 0));
    assert_counted(drop_no_route, 2);
    bed.n->face[NET_OUTSIDE].has_gateway[NET_IP6] = false; /* that of IPv4 is no help */
    send_from(OUR_OUT6, VENDOR6, tcp_mbuf(1, 2, 0));
    assert_counted(drop_no_route, 3);
    nothing_sent();
}

/* Whatever the pieces, gathered or copied: see sent for the checksum. */
static void any_chain_out(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    uint8_t payload[1400];
    struct frame r;

    (void)state;
    srand(seed);
    introduce6();
    for (unsigned round = 0; round < 1000; round++) {
        struct rte_mbuf *m = tcp_mbuf(50000, 443, 0), *part;
        size_t n = (size_t)rand() % sizeof(payload), at = 0, take;

        bed.n->face[NET_OUTSIDE].max_segs = (uint16_t)(round % 2 ? UINT16_MAX : 1);
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)rand();
        for (; at < n; at += take) {
            take = RTE_MIN((size_t)rand() % 400 + 1, n - at);
            part = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));
            memcpy(rte_pktmbuf_append(part, (uint16_t)take), payload + at, take);
            assert_int_equal(rte_pktmbuf_chain(m, part), 0);
        }
        send_from(OUR_OUT6, NEAR6, m);
        assert_true(sent(NET_OUTSIDE, &r));
        assert_int_equal(r.n, L46 + 20 + n);
        if (memcmp(r.b + L46 + 20, payload, n) != 0)
            fail_msg("seed %u round %u: other bytes", seed, round);
    }
}

/* RFC 6724 5, with three prefixes on the outside link. */
static void source_choice(void **state)
{
    struct net_side_config *out = &bed.config.side[NET_OUTSIDE], before = *out;
    static const struct {
        const char *dst, *src;
    } cases[] = {
        {NEAR6, OUR_OUT6}, /* on the link */
        {"fd00:99::7", "fd00:99::1"},
        {"2001:db8:21::7", "2001:db8:21::1"},
        {VENDOR6, OUR_OUT6},            /* the gateway's prefix */
        {"2001:db8:21:1::7", OUR_OUT6}, /* even where another is longer in common */
        {"fd77::7", "fd00:99::1"},      /* a site's to a site's */
        {"198.51.100.7", "10.20.0.1"},
    };
    static const char *const none[] = {"::", "::1", "ff02::1", "fe80::5", OUR_OUT6, OUR_IN6};
    char text[NET_ADDR_TEXT];
    struct net_addr a, src;

    assert_true(net_prefix_parse(SPAN_LIT("fd00:99::1/64"), &out->addrs[out->naddrs++]));
    assert_true(net_prefix_parse(SPAN_LIT("2001:db8:21::1/64"), &out->addrs[out->naddrs++]));
    net_delete(bed.n);
    assert_int_equal(bed_fresh(state), 0);
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        assert_true(net_addr_parse(span_cstr(cases[i].dst), &a));
        assert_true(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
        assert_string_equal(net_addr_text(&src, text), cases[i].src);
    }
    for (size_t i = 0; i < RTE_DIM(none); i++) {
        a = a6(none[i]);
        if (net_source_for(bed.n, NET_OUTSIDE, &a, &src))
            fail_msg("there is a source towards %s", none[i]);
    }
    a = a6(VENDOR6);
    assert_false(net_source_for(bed.n, NET_INSIDE, &a, &src)); /* no gateway there */
    *out = before;
}

/* A gateway is often known by its link-local address only; our source is global all the same. */
static void link_local_gateway(void **state)
{
    struct net_side_config *out = &bed.config.side[NET_OUTSIDE], before = *out;
    struct net_addr a = a6(VENDOR6), src, want = a6(OUR_OUT6);
    struct frame r;

    out->gateway[NET_IP6] = a6("fe80::fe");
    net_delete(bed.n);
    assert_int_equal(bed_fresh(state), 0);
    *out = before;
    assert_true(net_source_for(bed.n, NET_OUTSIDE, &a, &src));
    assert_true(net_addr_eq(&src, &want));
    send_from(OUR_OUT6, VENDOR6, tcp_mbuf(50000, 443, 0));
    assert_true(sent(NET_OUTSIDE, &r));
    assert_int_equal(r.b[L46], 135);
    assert_memory_equal(r.b + L46 + 8, a6("fe80::fe").b, 16);
}

/* ---------------------------------------------------------------- passthrough */

static void crosses(enum net_side side, const struct frame *f, const uint8_t *to)
{
    enum net_side out = side == NET_INSIDE ? NET_OUTSIDE : NET_INSIDE;
    struct frame want = *f, r;

    wire(side, f);
    assert_true(sent(out, &r));
    assert_memory_equal(r.b, to, 6);
    want.b[IP + 7]--;
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
        assert_int_equal(r.b[IP + 6], IPPROTO_ICMPV6);
}

static void out_and_back(void **state)
{
    struct frame f;

    (void)state;
    introduce6();
    f = udp6(NET_INSIDE, CALLER6, 5000, NEAR6, 53, 30);
    crosses(NET_INSIDE, &f, mac_near);
    f = udp6(NET_OUTSIDE, NEAR6, 53, CALLER6, 5000, 300);
    crosses(NET_OUTSIDE, &f, mac_caller);
    f = tcp6(NET_INSIDE, CALLER6, 40000, PASS6, 22, SYN, 0);
    crosses(NET_INSIDE, &f, mac_gateway);
    f = tcp6(NET_OUTSIDE, PASS6, 22, CALLER6, 40000, SYN | ACK, 0);
    crosses(NET_OUTSIDE, &f, mac_caller);
    f = icmp6(NET_INSIDE, CALLER6, PASS6, 128, 0, 1, "ping", 4);
    crosses(NET_INSIDE, &f, mac_gateway);
    f = icmp6(NET_OUTSIDE, PASS6, CALLER6, 129, 0, 1, "ping", 4);
    crosses(NET_OUTSIDE, &f, mac_caller);
    assert_counted(passed, 6);
}

static void does_not_cross(void **state)
{
    static const unsigned types[] = {130, 131, 133, 134, 135, 136, 137, 139, 143, 151, 200};
    struct frame f;

    (void)state;
    introduce6();
    f = udp6(NET_INSIDE, CALLER6, 5000, NEAR6, 54, 30);
    stays(NET_INSIDE, &f);
    f = udp6(NET_INSIDE, CALLER6, 5000, PASS6, 443, 1200); /* QUIC */
    stays(NET_INSIDE, &f);
    assert_counted(drop_udp_quic, 1);
    f = udp6(NET_OUTSIDE, PASS6, 443, CALLER6, 5000, 1200);
    stays(NET_OUTSIDE, &f);
    f = tcp6(NET_OUTSIDE, PASS6, 22, CALLER6, 40000, SYN, 0); /* a connection from outside */
    stays(NET_OUTSIDE, &f);
    f = tcp6(NET_OUTSIDE, PASS6, 443, CALLER6, 40000, ACK, 10);
    stays(NET_OUTSIDE, &f);
    f = ip6(NET_INSIDE, CALLER6, PASS6, 47, "GRE", 3);
    stays(NET_INSIDE, &f);
    f = ip6(NET_INSIDE, CALLER6, PASS6, 50, "an ESP packet's bytes", 21);
    stays(NET_INSIDE, &f);
    f = udp6(NET_INSIDE, "fe80::5", 5000, NEAR6, 53, 30); /* RFC 4291 2.5.6 */
    stays(NET_INSIDE, &f);
    for (size_t i = 0; i < RTE_DIM(types); i++) { /* RFC 4890 4.3: of a link, or unknown */
        f = icmp6(NET_INSIDE, CALLER6, PASS6, types[i], 0, 0, "0123456789abcdefghij", 20);
        stays(NET_INSIDE, &f);
    }
}

/* ::/0 holds the mapped addresses; an entry with it is none for IPv4. */
static void everything_of_one_family(void **state)
{
    struct net_passthrough *e = &bed.config.pass[0], before = *e;
    struct frame f;

    *e = (struct net_passthrough){.protocol = IPPROTO_UDP, .port_high = 65535};
    net_delete(bed.n);
    assert_int_equal(bed_fresh(state), 0);
    *e = before;
    introduce();
    introduce6();
    f = udp(NET_INSIDE, CALLER, 5000, VENDOR, 53, 30);
    wire(NET_INSIDE, &f);
    assert_counted(drop_not_intercepted, 1);
    assert_counted(passed, 0);
    assert_true(sent(NET_INSIDE, &f));
    f = udp6(NET_INSIDE, CALLER6, 5000, VENDOR6, 53, 30);
    crosses(NET_INSIDE, &f, mac_gateway);
}

/* From a guest of the same host a packet comes without a checksum; it leaves with one. */
static void checksum_is_filled_in(void **state)
{
    struct frame want, f, r;

    (void)state;
    introduce6();
    for (unsigned i = 0; i < 2; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

        want = i ? tcp6(NET_INSIDE, CALLER6, 40000, PASS6, 22, ACK, 101)
                 : udp6(NET_INSIDE, CALLER6, 5000, NEAR6, 53, 31);
        f = want;
        put16(f.b + L46 + (i ? 16 : 6), 0x1111);
        memcpy(rte_pktmbuf_append(m, (uint16_t)f.n), f.b, f.n);
        m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
        net_input(bed.n, NET_INSIDE, m);
        net_flush(bed.n);
        assert_true(sent(NET_OUTSIDE, &r));
        assert_memory_equal(r.b + L46, want.b + L46, want.n - L46);
    }
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(segment_goes_up),     t(padding_is_cut),           t(any_chain_goes_up),
        t(header_drops),        t(hop_limit_of_zero),        t(source_drops),
        t(destination_drops),   t(checksum_drops),           t(port_checksum_words),
        t(extension_headers),   t(extension_headers_cut),    t(jumbogram),
        t(outside_is_not_told), t(walk_against_model),       t(header),
        t(offloaded),           t(output_refused),           t(any_chain_out),
        t(source_choice),       t(link_local_gateway),       t(out_and_back),
        t(does_not_cross),      t(everything_of_one_family), t(checksum_is_filled_in),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
