#include "bed.h"

#include <arpa/inet.h>
#include <rte_eal.h>
#include <stdlib.h>
#include <string.h>

struct bed bed;

const uint8_t mac_caller[6] = {0x02, 0, 0, 0, 0, 0x05}, mac_gateway[6] = {0x02, 0, 0, 0, 1, 0xfe};
const uint8_t mac_near[6] = {0x02, 0, 0, 0, 1, 0x35};
const uint8_t mac_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct net_prefix prefix(const char *s)
{
    struct net_prefix p;

    assert_true(net_prefix_parse(span_cstr(s), &p));
    return p;
}

static void add_pass(const char *from, const char *to, uint8_t proto, uint16_t low, uint16_t high)
{
    bed.config.pass[bed.config.npass++] =
        (struct net_passthrough){prefix(from), prefix(to), proto, low, high};
}

static void configure(void)
{
    struct net_side_config *in = &bed.config.side[NET_INSIDE], *out = &bed.config.side[NET_OUTSIDE];

    snprintf(in->port, sizeof(in->port), "in0");
    snprintf(out->port, sizeof(out->port), "out0");
    in->addrs[in->naddrs++] = prefix("10.10.0.1/24");
    in->addrs[in->naddrs++] = prefix("fd00:10::1/64");
    out->addrs[out->naddrs++] = prefix("10.20.0.1/24");
    out->gateway[NET_IP4] = net_addr_v4(GATEWAY);
    out->has_gateway[NET_IP4] = true;
    out->addrs[out->naddrs++] = prefix("2001:db8:20::1/64");
    out->gateway[NET_IP6] = prefix("2001:db8:20::fe").addr;
    out->has_gateway[NET_IP6] = true;
    bed.config.intercept[bed.config.nintercept++] = 443;
    bed.config.intercept[bed.config.nintercept++] = 8443;
    add_pass("10.10.0.0/24", "10.20.0.53/32", IPPROTO_UDP, 53, 53);
    add_pass("10.10.0.0/24", "192.0.2.0/24", IPPROTO_TCP, 0, 65535);
    add_pass("10.10.0.0/24", "192.0.2.0/24", IPPROTO_ICMP, 0, 65535);
    add_pass("10.10.0.0/24", "192.0.2.0/24", IPPROTO_UDP, 1, 65535);
    add_pass("fd00:10::/64", "2001:db8:20::53", IPPROTO_UDP, 53, 53);
    add_pass("fd00:10::/64", "2001:db8:99::/64", IPPROTO_TCP, 0, 65535);
    add_pass("fd00:10::/64", "2001:db8:99::/64", IPPROTO_ICMP, 0, 65535);
    add_pass("fd00:10::/64", "2001:db8:99::/64", IPPROTO_UDP, 1, 65535);
    bed.profile = (struct net_profile){.name = "test",
                                       .driver = "ring",
                                       .workers = 1,
                                       .queues = 1,
                                       .rx_ring = 512,
                                       .tx_ring = 64,
                                       .mtu = 1500,
                                       .mbufs = 8191,
                                       .memory_mib = 64};
}

int bed_start(void **state)
{
    char *argv[NET_EAL_ARGS_MAX];
    struct arena mem = ARENA_INIT;
    bool without;
    int argc;

    (void)state;
    configure();
    argc = net_eal_args(&bed.profile, &bed.config, &mem, argv, &without);
    if (argc == 0 || rte_eal_init(argc, argv) < 0)
        return -1;
    arena_free(&mem);
    bed.ports = net_ports_open(&bed.profile, &bed.config);
    return bed.ports ? 0 : -1;
}

int bed_stop(void **state)
{
    (void)state;
    net_ports_close(bed.ports);
    return rte_eal_cleanup();
}

static void on_segment(void *ctx, const struct net_segment *s)
{
    struct bed *b = ctx;

    assert_true(b->nseen < BED_SEEN);
    b->seen[b->nseen++] = *s;
}

static void on_unreachable(void *ctx, const struct net_unreachable *u)
{
    struct bed *b = ctx;

    assert_true(b->ntold < BED_SEEN);
    b->told[b->ntold++] = *u;
}

int bed_fresh(void **state)
{
    static const struct net_upcalls up = {on_segment, on_unreachable};

    (void)state;
    bed.now = 100 * US_IN_S;
    bed.nseen = bed.ntold = 0;
    bed.n = net_new(bed.ports, 0, &bed.config, &up, &bed, bed.now);
    return bed.n ? 0 : -1;
}

static struct rte_ring *tx_ring(enum net_side side)
{
    struct rte_ring *r = rte_ring_lookup(side == NET_INSIDE ? "in0.tx0" : "out0.tx0");

    assert_non_null(r);
    return r;
}

int bed_finish(void **state)
{
    void *m;

    (void)state;
    for (unsigned i = 0; i < bed.nseen; i++)
        rte_pktmbuf_free(bed.seen[i].m);
    net_delete(bed.n);
    for (int s = 0; s < NET_SIDES; s++)
        while (rte_ring_dequeue(tx_ring(s), &m) == 0)
            rte_pktmbuf_free(m);
    if (rte_mempool_in_use_count(net_ports_pool(bed.ports, 0)) == 0)
        return 0;
    print_error("%u mbufs lost\n", rte_mempool_in_use_count(net_ports_pool(bed.ports, 0)));
    return -1;
}

const uint8_t *bed_mac(enum net_side side)
{
    return bed.ports->port[side].mac.addr_bytes;
}

/* ------------------------------------------------------------------ bytes */

void put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

void put32(uint8_t *at, uint32_t v)
{
    put16(at, v >> 16);
    put16(at + 2, v & 0xffff);
}

uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

uint16_t sum16(const uint8_t *p, size_t n, uint32_t start)
{
    uint32_t s = start;

    for (size_t i = 0; i < n; i++) {
        s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        s = (s & 0xffff) + (s >> 16);
    }
    return (uint16_t)~s;
}

static uint32_t pseudo(const uint8_t *ip, size_t l4)
{
    uint32_t s = ip[9] + (uint32_t)l4;

    for (unsigned i = 12; i < 20; i += 2)
        s += get16(ip + i);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

void fix_ip(struct frame *f)
{
    put16(f->b + IP + 10, 0);
    put16(f->b + IP + 10, sum16(f->b + IP, 20, 0));
}

struct frame ether(enum net_side side, unsigned type)
{
    struct frame f = {.n = ETH};

    memcpy(f.b, bed_mac(side), 6);
    memcpy(f.b + 6, side == NET_INSIDE ? mac_caller : mac_gateway, 6);
    put16(f.b + 12, type);
    return f;
}

struct frame ip4(enum net_side side, uint32_t src, uint32_t dst, unsigned proto, const void *l4,
                 size_t n)
{
    struct frame f = ether(side, 0x0800);
    uint8_t *ip = f.b + IP;

    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + n));
    put16(ip + 4, 0x1234);
    put16(ip + 6, 0x4000);
    ip[8] = 63;
    ip[9] = (uint8_t)proto;
    put32(ip + 12, src);
    put32(ip + 16, dst);
    fix_ip(&f);
    if (n)
        memcpy(f.b + L4, l4, n);
    f.n = L4 + n;
    return f;
}

struct frame tcp(enum net_side side, uint32_t src, unsigned sport, uint32_t dst, unsigned dport,
                 unsigned flags, size_t payload)
{
    uint8_t t[2048] = {0};
    struct frame f;

    put16(t, sport);
    put16(t + 2, dport);
    put32(t + 4, 0x11223344);
    t[12] = 0x50;
    t[13] = (uint8_t)flags;
    put16(t + 14, 65535);
    for (size_t i = 0; i < payload; i++)
        t[20 + i] = (uint8_t)(i * 7 + 1);
    f = ip4(side, src, dst, IPPROTO_TCP, t, 20 + payload);
    put16(f.b + L4 + 16, sum16(f.b + L4, 20 + payload, pseudo(f.b + IP, 20 + payload)));
    return f;
}

struct frame udp(enum net_side side, uint32_t src, unsigned sport, uint32_t dst, unsigned dport,
                 size_t payload)
{
    uint8_t u[2048] = {0};
    struct frame f;

    put16(u, sport);
    put16(u + 2, dport);
    put16(u + 4, (unsigned)(8 + payload));
    memset(u + 8, 'u', payload);
    f = ip4(side, src, dst, IPPROTO_UDP, u, 8 + payload);
    put16(f.b + L4 + 6, sum16(f.b + L4, 8 + payload, pseudo(f.b + IP, 8 + payload)));
    return f;
}

struct frame icmp(enum net_side side, uint32_t src, uint32_t dst, unsigned type, unsigned code,
                  uint32_t word, const void *body, size_t n)
{
    uint8_t c[2048] = {0};

    c[0] = (uint8_t)type;
    c[1] = (uint8_t)code;
    put32(c + 4, word);
    if (n)
        memcpy(c + 8, body, n);
    put16(c + 2, sum16(c, 8 + n, 0));
    return ip4(side, src, dst, IPPROTO_ICMP, c, 8 + n);
}

struct frame arp(enum net_side side, unsigned op, const uint8_t *sha, uint32_t spa,
                 const uint8_t *tha, uint32_t tpa)
{
    struct frame f = ether(side, 0x0806);
    uint8_t *a = f.b + ETH;

    memcpy(f.b, op == 1 ? mac_all : tha, 6);
    memcpy(f.b + 6, sha, 6);
    put16(a, 1);
    put16(a + 2, 0x0800);
    a[4] = 6;
    a[5] = 4;
    put16(a + 6, op);
    memcpy(a + 8, sha, 6);
    put32(a + 14, spa);
    if (tha)
        memcpy(a + 18, tha, 6);
    put32(a + 24, tpa);
    f.n = ETH + 28 + 18; /* Ethernet's padding to 60 bytes */
    return f;
}

/* ------------------------------------------------------------------- IPv6 */

struct net_addr a6(const char *text)
{
    struct net_addr a;

    assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
    return a;
}

uint16_t sum6(const struct frame *f, size_t off)
{
    const uint8_t *ip = f->b + IP;
    size_t l4 = f->n - L46 - off;
    uint8_t proto = off ? f->b[L46] : ip[6];
    uint32_t s = proto + (uint32_t)l4;

    for (unsigned i = 8; i < 40; i += 2)
        s += get16(ip + i);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return sum16(f->b + L46 + off, l4, s);
}

struct frame ip6(enum net_side side, const char *src, const char *dst, unsigned proto,
                 const void *l4, size_t n)
{
    struct frame f = ether(side, 0x86dd);
    uint8_t *ip = f.b + IP;

    ip[0] = 0x60;
    put16(ip + 4, (unsigned)n);
    ip[6] = (uint8_t)proto;
    ip[7] = 63;
    memcpy(ip + 8, a6(src).b, 16);
    memcpy(ip + 24, a6(dst).b, 16);
    if (ip[24] == 0xff) {
        put16(f.b, 0x3333);
        memcpy(f.b + 2, ip + 36, 4);
    }
    if (n)
        memcpy(f.b + L46, l4, n);
    f.n = L46 + n;
    return f;
}

void fix6(struct frame *f)
{
    size_t at = f->b[IP + 6] == IPPROTO_TCP ? 16 : f->b[IP + 6] == IPPROTO_UDP ? 6 : 2;

    put16(f->b + L46 + at, 0);
    put16(f->b + L46 + at, sum6(f, 0));
}

struct frame tcp6(enum net_side side, const char *src, unsigned sport, const char *dst,
                  unsigned dport, unsigned flags, size_t payload)
{
    struct frame v4 = tcp(side, 0, sport, 0, dport, flags, payload);
    struct frame f = ip6(side, src, dst, IPPROTO_TCP, v4.b + L4, 20 + payload);

    fix6(&f);
    return f;
}

struct frame udp6(enum net_side side, const char *src, unsigned sport, const char *dst,
                  unsigned dport, size_t payload)
{
    struct frame v4 = udp(side, 0, sport, 0, dport, payload);
    struct frame f = ip6(side, src, dst, IPPROTO_UDP, v4.b + L4, 8 + payload);

    fix6(&f);
    return f;
}

struct frame icmp6(enum net_side side, const char *src, const char *dst, unsigned type,
                   unsigned code, uint32_t word, const void *body, size_t n)
{
    struct frame v4 = icmp(side, 0, 0, type, code, word, body, n);
    struct frame f = ip6(side, src, dst, IPPROTO_ICMPV6, v4.b + L4, 8 + n);

    fix6(&f);
    return f;
}

struct frame nd(enum net_side side, const char *src, const char *dst, unsigned type, unsigned flags,
                const char *target, const uint8_t *mac)
{
    uint8_t body[24] = {0};
    struct frame f;

    memcpy(body, a6(target).b, 16);
    body[16] = type == 135 ? 1 : 2;
    body[17] = 1;
    if (mac)
        memcpy(body + 18, mac, 6);
    f = icmp6(side, src, dst, type, 0, flags << 24, body, mac ? 24 : 16);
    f.b[IP + 7] = 255;
    if (mac)
        memcpy(f.b + 6, mac, 6);
    return f;
}

static void introduce_one(enum net_side side, const char *host, const uint8_t *mac)
{
    const char *us = side == NET_INSIDE ? OUR_IN6 : OUR_OUT6;
    struct frame f = icmp6(side, host, us, 128, 0, 1, "ping", 4), r;

    wire(side, &f);
    assert_true(sent(side, &r));
    assert_int_equal(r.b[L46], 135);
    f = nd(side, host, us, 136, 0x60, host, mac);
    wire(side, &f);
    assert_true(sent(side, &r));
    assert_int_equal(r.b[L46], 129);
}

void introduce6(void)
{
    introduce_one(NET_INSIDE, CALLER6, mac_caller);
    introduce_one(NET_OUTSIDE, GATEWAY6, mac_gateway);
    introduce_one(NET_OUTSIDE, NEAR6, mac_near);
}

/* ------------------------------------------------------------------- wire */

static void hand_over(enum net_side side, struct rte_mbuf *m)
{
    struct rte_ring *r = rte_ring_lookup(side == NET_INSIDE ? "in0.rx0" : "out0.rx0");

    assert_non_null(r);
    assert_int_equal(rte_ring_enqueue(r, m), 0);
    assert_int_equal(net_poll(bed.n, bed.now), 1);
    net_flush(bed.n);
}

void wire_split(enum net_side side, const struct frame *f, const unsigned *sizes, unsigned count)
{
    struct rte_mbuf *head = NULL;
    size_t at = 0;

    for (unsigned i = 0; i <= count; i++) {
        size_t left = f->n - at, take = i < count && sizes[i] < left ? sizes[i] : left;
        struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

        assert_non_null(m);
        memcpy(rte_pktmbuf_append(m, (uint16_t)take), f->b + at, take);
        at += take;
        if (!head)
            head = m;
        else
            assert_int_equal(rte_pktmbuf_chain(head, m), 0);
    }
    hand_over(side, head);
}

void wire(enum net_side side, const struct frame *f)
{
    wire_split(side, f, NULL, 0);
}

static void check_sent6(const struct frame *f)
{
    const uint8_t *ip = f->b + IP;
    size_t off = ip[6] == 0 ? 8 : 0; /* the router alert of a listener report */

    assert_int_equal(ip[0] >> 4, 6);
    assert_int_equal(get16(ip + 4), f->n - L46);
    assert_int_equal(sum6(f, off), 0);
}

static void check_sent(enum net_side side, const struct frame *f)
{
    const uint8_t *ip = f->b + IP;
    size_t l4 = f->n - L4;

    assert_memory_equal(f->b + 6, bed_mac(side), 6);
    if (get16(f->b + 12) == 0x86dd)
        check_sent6(f);
    if (get16(f->b + 12) != 0x0800)
        return;
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(get16(ip + 2), f->n - ETH);
    assert_int_equal(sum16(ip, 20, 0), 0);
    if (ip[9] == IPPROTO_TCP || ip[9] == IPPROTO_UDP)
        assert_int_equal(sum16(f->b + L4, l4, pseudo(ip, l4)), 0);
    if (ip[9] == IPPROTO_ICMP)
        assert_int_equal(sum16(f->b + L4, l4, 0), 0);
}

bool sent(enum net_side side, struct frame *f)
{
    struct rte_mbuf *m;
    void *got;

    if (rte_ring_dequeue(tx_ring(side), &got) != 0)
        return false;
    m = got;
    rte_mbuf_sanity_check(m, 1);
    assert_true(m->pkt_len <= sizeof(f->b));
    f->n = 0;
    for (struct rte_mbuf *s = m; s; s = s->next) {
        memcpy(f->b + f->n, rte_pktmbuf_mtod(s, void *), s->data_len);
        f->n += s->data_len;
    }
    assert_int_equal(f->n, m->pkt_len);
    rte_pktmbuf_free(m);
    check_sent(side, f);
    return true;
}

void nothing_sent(void)
{
    struct frame f;

    assert_false(sent(NET_INSIDE, &f));
    assert_false(sent(NET_OUTSIDE, &f));
}

void run(uint64_t us)
{
    for (uint64_t end = bed.now + us; bed.now < end;) {
        bed.now += RTE_MIN(end - bed.now, US_IN_MS);
        net_tick(bed.n, bed.now);
    }
    net_flush(bed.n);
}

void introduce(void)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN), got;

    wire(NET_INSIDE, &f);
    f = arp(NET_OUTSIDE, 1, mac_gateway, GATEWAY, NULL, OUR_OUT);
    wire(NET_OUTSIDE, &f);
    f = arp(NET_OUTSIDE, 1, mac_near, NEAR_OUT, NULL, OUR_OUT);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_INSIDE, &got));
    assert_true(sent(NET_OUTSIDE, &got));
    assert_true(sent(NET_OUTSIDE, &got));
}

void assert_count_(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s is %lu, should be %lu", name, got, want);
}

struct rte_mbuf *tcp_mbuf(unsigned sport, unsigned dport, size_t payload)
{
    struct frame f = tcp(NET_INSIDE, 0, sport, 0, dport, ACK, payload);
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(bed.ports, 0));

    assert_non_null(m);
    put16(f.b + L4 + 16, 0);
    memcpy(rte_pktmbuf_append(m, (uint16_t)(20 + payload)), f.b + L4, 20 + payload);
    return m;
}
