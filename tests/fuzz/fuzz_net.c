/* Arbitrary frames through the worker part of lib/net: parsers of both families, ARP, neighbour
 * discovery, ICMP, passthrough, output.
 *
 * The input is a run of records: one byte that says by which side the frame comes, where it is cut
 * into mbufs, whether its checksums are made right and whether time passes; two bytes of length;
 * the frame. Addresses the worker knows are written over the frame when the record asks, so that
 * the fuzzer need not guess MACs and sums. Whatever comes, every mbuf must come back. */
#include <netinet/in.h>
#include <rte_eal.h>
#include <rte_tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_internal.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net_config config;
static struct net_ports *ports;
static struct net *worker;

enum {
    FROM_OUTSIDE = 1,
    FIX_MAC = 2,
    FIX_SUMS = 4,
    FIX_ADDRS = 8,
    SPLIT = 16,
    TIME = 32,
    NO_CHAINS = 64,
    ANNOUNCE = 128
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static struct net_prefix prefix(const char *s)
{
    struct net_prefix p;

    must(net_prefix_parse(span_cstr(s), &p), s);
    return p;
}

/* What goes up is what net.h promises; it is answered, so that output is fuzzed too. */
static void on_segment(void *ctx, const struct net_segment *s)
{
    const struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod(s->m, const struct rte_tcp_hdr *);
    struct net_addr src = s->dst, dst = s->src;

    (void)ctx;
    rte_mbuf_sanity_check(s->m, 1);
    must(s->m->data_len >= sizeof(*tcp), "TCP header in pieces");
    must(s->m->data_len >= (tcp->data_off >> 4) * 4, "TCP options in pieces");
    must(tcp->src_port && tcp->dst_port, "port 0");
    must(net_addr_is_v4(&s->src) == net_addr_is_v4(&s->dst), "two families");
    must(net_addr_is_v4(&s->src) || (net_ip6_unicast(&s->src) && net_ip6_unicast(&s->dst)),
         "no host's address");
    net_send_tcp(worker, s->side, &src, &dst, s->m);
}

static void on_unreachable(void *ctx, const struct net_unreachable *u)
{
    (void)ctx;
    must(net_addr_is_v4(&u->src) == net_addr_is_v4(&u->dst), "two families");
    must(!u->mtu ||
             (u->too_big && u->mtu >= (net_addr_is_v4(&u->src) ? 68 : 1280) && u->mtu < 1500),
         "a mtu that cannot be");
}

static void configure(void)
{
    struct net_side_config *in = &config.side[NET_INSIDE], *out = &config.side[NET_OUTSIDE];

    snprintf(in->port, sizeof(in->port), "in0");
    snprintf(out->port, sizeof(out->port), "out0");
    in->addrs[in->naddrs++] = prefix("10.10.0.1/24");
    out->addrs[out->naddrs++] = prefix("10.20.0.1/24");
    in->addrs[in->naddrs++] = prefix("fd00:10::1/64");
    out->addrs[out->naddrs++] = prefix("2001:db8:20::1/64");
    out->gateway[NET_IP6] = prefix("2001:db8:20::fe").addr;
    out->has_gateway[NET_IP6] = true;
    out->gateway[NET_IP4] = net_addr_v4(0x0a1400fe);
    out->has_gateway[NET_IP4] = true;
    config.intercept[config.nintercept++] = 443;
    for (unsigned i = 0; i < 6; i++)
        config.pass[config.npass++] = (struct net_passthrough){
            prefix(i < 3 ? "10.10.0.0/24" : "fd00:10::/64"),
            prefix(i < 3 ? "192.0.2.0/24" : "2001:db8:99::/64"),
            (uint8_t[]){IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP}[i % 3], 0, 65535};
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct net_profile p = {.driver = "ring",
                            .workers = 1,
                            .queues = 1,
                            .rx_ring = 64,
                            .tx_ring = 64,
                            .mtu = 1500,
                            .mbufs = 4095,
                            .memory_mib = 64};
    struct arena mem = ARENA_INIT;
    char *eal[NET_EAL_ARGS_MAX];
    bool without;
    int n;

    (void)argc;
    (void)argv;
    configure();
    n = net_eal_args(&p, &config, &mem, eal, &without);
    must(n > 0 && rte_eal_init(n, eal) >= 0, "no EAL");
    arena_free(&mem);
    ports = net_ports_open(&p, &config);
    must(ports, "no ports");
    return 0;
}

static void put16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

/* One of a few addresses that lead somewhere, by what the fuzzer wrote. */
static uint32_t known_addr(uint8_t pick)
{
    static const uint32_t addrs[] = {0x0a0a0005, 0x0a0a0001, 0x0a140001, 0x0a1400fe,
                                     0xc6336407, 0xc0000209, 0x0a0a00ff, 0x0a140035};

    return rte_cpu_to_be_32(addrs[pick % RTE_DIM(addrs)]);
}

static void known_addr6(uint8_t *at)
{
    static const char *const addrs[] = {
        "fd00:10::5",  "fd00:10::1",     "2001:db8:20::1", "2001:db8:20::fe",
        "2001:db8::7", "2001:db8:99::9", "ff02::1:ff00:1", "ff02::1",
        "::",          "fe80::fe",       "2001:db8:20::53"};

    memcpy(at, prefix(addrs[at[15] % RTE_DIM(addrs)]).addr.b, 16);
}

/* A target of neighbour discovery too, and a frame for a group in one. */
static void fix_addrs6(uint8_t *f, size_t n)
{
    known_addr6(f + 22);
    known_addr6(f + 38);
    if (n >= 78 && f[20] == IPPROTO_ICMPV6 && (f[54] == 135 || f[54] == 136)) {
        known_addr6(f + 62);
        f[21] = 255;
        f[55] = 0;
    }
    if (f[38] == 0xff) {
        f[0] = f[1] = 0x33;
        memcpy(f + 2, f + 50, 4);
    }
}

static void fix_addrs(uint8_t *f, size_t n)
{
    uint32_t a;

    if (n >= 54 && f[12] == 0x86 && f[13] == 0xdd)
        fix_addrs6(f, n);

    if (n >= 34 && f[12] == 8 && f[13] == 0) {
        a = known_addr(f[26]);
        memcpy(f + 26, &a, 4);
        a = known_addr(f[30]);
        memcpy(f + 30, &a, 4);
    }
    if (n >= 42 && f[12] == 8 && f[13] == 6) {
        memcpy(f + 22, f + 6, 6);
        a = known_addr(f[28]);
        memcpy(f + 28, &a, 4);
        a = known_addr(f[38]);
        memcpy(f + 38, &a, 4);
    }
}

/* Of what stands behind a good chain of extension headers, too. */
static void fix_sums6(uint8_t *f, size_t n)
{
    struct rte_ipv6_hdr *ip = (void *)(f + 14);
    struct net_ip6_chain c;
    struct rte_mbuf *m;
    uint16_t zero = 0;
    uint32_t off;
    size_t field;

    f[14] = (uint8_t)(0x60 | (f[14] & 0xf));
    ip->payload_len = rte_cpu_to_be_16((uint16_t)(n - 54));
    if (net_ip6_walk(f + 14, (uint32_t)n - 14, &c) != NET_IP6_GOOD)
        return;
    off = 54u + c.len;
    field = off + (c.protocol == IPPROTO_TCP ? 16u : c.protocol == IPPROTO_ICMPV6 ? 2 : 6);
    if (n < field + 2)
        return;
    memcpy(f + field, &zero, sizeof(zero));
    m = rte_pktmbuf_alloc(net_ports_pool(ports, 0));
    must(m && n <= 2000, "no mbuf");
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), f, n);
    put16(f + field, l4_cksum6(m, ip, c.protocol, off, (uint32_t)n - off));
    rte_pktmbuf_free(m);
}

static void fix_sums(uint8_t *f, size_t n)
{
    struct rte_ipv4_hdr *ip = (void *)(f + 14);
    size_t l4 = n - 34, field;
    uint16_t sum;

    if (n >= 54 && n <= 2000 && f[12] == 0x86 && f[13] == 0xdd)
        fix_sums6(f, n);
    if (n < 34 || f[12] != 8 || f[13] != 0)
        return;
    ip->version_ihl = 0x45;
    ip->total_length = rte_cpu_to_be_16((uint16_t)(n - 14));
    ip->hdr_checksum = 0;
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    field = ip->next_proto_id == IPPROTO_TCP ? 16 : ip->next_proto_id == IPPROTO_ICMP ? 2 : 6;
    if (l4 < field + 2)
        return;
    put16(f + 34 + field, 0);
    if (ip->next_proto_id == IPPROTO_ICMP)
        sum = (uint16_t)~rte_raw_cksum(f + 34, l4);
    else
        sum = rte_ipv4_udptcp_cksum(ip, f + 34);
    put16(f + 34 + field, sum);
}

static void free_exact(void *buf, void *shared)
{
    free(buf);
    free(shared);
}

/* An mbuf over malloc'd memory that ends where the data ends, so that the sanitizer sees a byte
 * read too far; EAL memory hides that. */
static struct rte_mbuf *piece(const uint8_t *p, size_t n)
{
    struct rte_mbuf_ext_shared_info *shared = calloc(1, sizeof(*shared));
    uint8_t *buf = malloc(RTE_PKTMBUF_HEADROOM + n);
    struct rte_mbuf *m = rte_pktmbuf_alloc(net_ports_pool(ports, 0));

    must(m && buf && shared, "no mbuf");
    shared->free_cb = free_exact;
    shared->fcb_opaque = shared;
    rte_mbuf_ext_refcnt_set(shared, 1);
    if (n)
        memcpy(buf + RTE_PKTMBUF_HEADROOM, p, n);
    rte_pktmbuf_attach_extbuf(m, buf, RTE_BAD_IOVA, (uint16_t)(RTE_PKTMBUF_HEADROOM + n), shared);
    m->data_off = RTE_PKTMBUF_HEADROOM;
    m->data_len = (uint16_t)n;
    m->pkt_len = (uint32_t)n;
    return m;
}

static struct rte_mbuf *chain(const uint8_t *f, size_t n, unsigned first)
{
    struct rte_mbuf *head = NULL, *m;

    for (size_t at = 0, take; !head || at < n; at += take) {
        take = RTE_MIN(first && at / first < 40 ? first : 2000u, n - at);
        m = piece(f + at, take);
        if (!head)
            head = m;
        else
            must(rte_pktmbuf_chain(head, m) == 0, "no chain");
    }
    return head;
}

static void one_frame(uint8_t how, uint8_t *f, size_t n)
{
    enum net_side side = how & FROM_OUTSIDE ? NET_OUTSIDE : NET_INSIDE;

    if (how & FIX_MAC && n >= 12) {
        if (!(n > 13 && f[13] == 6 && f[0] & 1)) /* a request for everybody may stay one */
            memcpy(f, worker->face[side].mac.addr_bytes, 6);
        f[6] &= 0xfe;
    }
    if (how & FIX_ADDRS)
        fix_addrs(f, n);
    if (how & FIX_SUMS)
        fix_sums(f, n);
    worker->face[side].max_segs = how & NO_CHAINS ? 1 : UINT16_MAX;
    net_input(worker, side, chain(f, n, how & SPLIT ? 1 + n % 61 : 0));
}

static void drain(const char *name)
{
    struct rte_ring *r = rte_ring_lookup(name);
    void *m;

    while (rte_ring_dequeue(r, &m) == 0) {
        rte_mbuf_sanity_check(m, 1);
        rte_pktmbuf_free(m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct net_upcalls up = {on_segment, on_unreachable};
    uint64_t now = 100 * US_IN_S;
    uint8_t frame[4096];

    worker = net_new(ports, 0, &config, &up, NULL, now);
    must(worker, "no worker");
    while (size >= 3) {
        uint8_t how = data[0];
        size_t n = (size_t)(data[1] << 8 | data[2]) % sizeof(frame);

        data += 3;
        size -= 3;
        n = RTE_MIN(n, size);
        memcpy(frame, data, n);
        data += n;
        size -= n;
        one_frame(how, frame, n);
        if (how & ANNOUNCE)
            net_announce(worker);
        if (how & TIME) {
            now += 700 * US_IN_MS;
            net_tick(worker, now);
        }
        net_flush(worker);
        drain("in0.tx0");
        drain("out0.tx0");
    }
    net_delete(worker);
    must(rte_mempool_in_use_count(net_ports_pool(ports, 0)) == 0, "an mbuf is lost");
    return 0;
}
