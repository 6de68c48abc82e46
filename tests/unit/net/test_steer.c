/* The owner of a flow, against Toeplitz as it is defined, and over all numbers of queues. */
#include "bed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The verification suite's key and values (Microsoft, "RSS hashing functions"). */
static const uint8_t ms_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                   0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                   0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                   0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static uint64_t seed;

static uint32_t dice(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static struct net_addr address(const char *text)
{
    struct net_addr a;

    assert_true(net_addr_parse(span_cstr(text), &a));
    return a;
}

static struct steer_table *table(const uint8_t *key, size_t len, unsigned size, unsigned queues)
{
    static struct steer_table t[NET_SIDES];
    static unsigned next;

    next = !next;
    steer_table_fill(&t[next], key, len, size, queues);
    return &t[next];
}

/* ------------------------------------------------------------------ the model */

/* For each one-bit of the input, from the left: the 32 leftmost bits of the key; then the key goes
 * left by one. */
static uint32_t slow_toeplitz(const uint8_t *key, size_t key_len, const uint8_t *in, size_t n)
{
    uint8_t k[STEER_KEY_MAX];
    uint32_t h = 0;

    memcpy(k, key, key_len);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        if (in[bit / 8] & (0x80 >> (bit % 8)))
            h ^= get32(k);
        for (size_t i = 0; i < key_len; i++)
            k[i] = (uint8_t)(k[i] << 1 | (i + 1 < key_len ? k[i + 1] >> 7 : 0));
    }
    return h;
}

/* What a card does with a packet: hash the bytes, look the low bits up in a round-robin table. */
static unsigned slow_queue(const uint8_t *key, size_t key_len, const uint8_t *in, size_t n,
                           unsigned size, unsigned queues)
{
    return slow_toeplitz(key, key_len, in, n) % size % queues;
}

/* ------------------------------------------------------------------ the tests */

static void verification_suite(void **state)
{
    static const struct {
        const char *dst;
        uint16_t dport;
        const char *src;
        uint16_t sport;
        uint32_t hash;
    } v[] = {
        {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x51ccc178},
        {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xc626b0ea},
        {"12.22.207.184", 38024, "24.19.198.95", 12898, 0x5c2b394a},
        {"209.142.163.6", 2217, "38.27.205.30", 48228, 0xafc7327f},
        {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x10e828a2},
        {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x40207d3d},
        {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0xdde51bbf},
        {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251,
         0x02d1feef},
    };

    (void)state;
    for (size_t i = 0; i < RTE_DIM(v); i++) {
        struct net_addr dst = address(v[i].dst), src = address(v[i].src);
        struct steer_flow f = steer_flow_in(&dst, &src, v[i].dport, v[i].sport);
        uint32_t got = steer_hash(table(ms_key, sizeof(ms_key), 128, 4), &f);

        if (got != v[i].hash)
            fail_msg("%s to %s: hash %08x, should be %08x", v[i].src, v[i].dst, got, v[i].hash);
        assert_int_equal(slow_toeplitz(ms_key, sizeof(ms_key), f.b, f.n), v[i].hash);
    }
}

static struct steer_flow random_flow(bool v6)
{
    struct steer_flow f = {.n = v6 ? 36 : 12};

    for (unsigned i = 0; i < f.n; i++)
        f.b[i] = (uint8_t)dice();
    return f;
}

static void any_key(void **state)
{
    uint8_t key[STEER_KEY_MAX];

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        size_t len = round % 2 ? 40 : 52;
        const struct steer_table *t;

        for (size_t i = 0; i < len; i++)
            key[i] = (uint8_t)dice();
        t = table(key, len, 128, 1 + round % 64);
        for (unsigned i = 0; i < 50; i++) {
            struct steer_flow f = random_flow(i % 2);
            uint32_t got = steer_hash(t, &f), want = slow_toeplitz(key, len, f.b, f.n);

            if (got != want)
                fail_msg("seed %lu: hash %08x, should be %08x", seed, got, want);
        }
    }
}

/* A random host of a family: v4 ones as the stack above has them. */
static struct net_addr host(bool v6)
{
    struct net_addr a;

    if (!v6)
        return net_addr_v4(dice());
    for (unsigned i = 0; i < 16; i++)
        a.b[i] = (uint8_t)dice();
    a.b[0] = 0x20;
    return a;
}

/* The hash's input for a packet from one host to another, written down anew. */
static size_t packet_bytes(uint8_t *b, const struct net_addr *src, unsigned sport,
                           const struct net_addr *dst, unsigned dport, bool v6)
{
    size_t a = v6 ? 16 : 4;

    memcpy(b, src->b + 16 - a, a);
    memcpy(b + a, dst->b + 16 - a, a);
    put16(b + 2 * a, sport);
    put16(b + 2 * a + 2, dport);
    return 2 * a + 4;
}

/* One proxied connection: the worker that the port gives the caller's segments to opens the vendor
 * leg from the first port that comes back to it; the port gives it the answers, too. */
static unsigned pair_up(const struct steer_table *in, const struct steer_table *out,
                        const uint8_t *out_key, unsigned size, unsigned queues, bool v6)
{
    struct net_addr caller = host(v6), vendor = host(v6), ours = host(v6);
    unsigned cport = 1024 + dice() % 60000, port = 1024 + dice() % 64512, tries = 0, owner;
    uint8_t b[STEER_TUPLE_MAX];
    struct steer_flow f;
    size_t n = packet_bytes(b, &caller, cport, &vendor, 443, v6);

    owner = slow_queue(steer_key, STEER_KEY_MAX, b, n, size, queues);
    f = steer_flow_in(&vendor, &caller, 443, (uint16_t)cport);
    assert_int_equal(steer_owner(in, &f), owner);
    do {
        port = 1024 + (port - 1023) % 64512;
        f = steer_flow_in(&ours, &vendor, (uint16_t)port, 443);
        if (++tries > 4096)
            fail_msg("seed %lu: none of 4096 ports comes back to worker %u of %u", seed, owner,
                     queues);
    } while (steer_owner(out, &f) != owner);
    n = packet_bytes(b, &vendor, 443, &ours, port, v6);
    if (slow_queue(out_key, 40, b, n, size, queues) != owner)
        fail_msg("seed %lu: %u queues, table of %u: the answer to port %u goes to worker %u, "
                 "should go to %u",
                 seed, queues, size, port, slow_queue(out_key, 40, b, n, size, queues), owner);
    return tries;
}

/* Both ports by our key, and the outside one by a key of its own. */
static void pairing(void **state)
{
    static const unsigned sizes[] = {64, 128, 512};
    unsigned worst = 0;

    (void)state;
    for (unsigned queues = 1; queues <= 64; queues++)
        for (size_t s = 0; s < RTE_DIM(sizes); s++)
            for (unsigned own = 0; own < 2; own++) {
                const uint8_t *key = own ? ms_key : steer_key;
                const struct steer_table *in = table(steer_key, STEER_KEY_MAX, sizes[s], queues);
                const struct steer_table *out = table(key, 40, sizes[s], queues);

                for (unsigned i = 0; i < 60; i++) {
                    unsigned tries = pair_up(in, out, key, sizes[s], queues, i % 2);

                    worst = RTE_MAX(worst, tries);
                }
            }
    print_message("at most %u ports tried\n", worst);
}

/* Our key is fixed: that it spreads well is checked once. Ports of one caller in a row, and callers
 * in a row. */
static void even(void **state)
{
    enum { QUEUES = 8, FLOWS = 16384 };
    const struct steer_table *t = table(steer_key, STEER_KEY_MAX, 128, QUEUES);
    struct net_addr vendor = net_addr_v4(VENDOR);

    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        unsigned count[QUEUES] = {0};

        for (unsigned i = 0; i < FLOWS; i++) {
            struct net_addr caller = net_addr_v4(CALLER + (way ? i : 0));
            struct steer_flow f =
                steer_flow_in(&vendor, &caller, 443, (uint16_t)(way ? 40000 : 32768 + i));

            count[steer_owner(t, &f)]++;
        }
        for (unsigned q = 0; q < QUEUES; q++)
            if (count[q] < FLOWS / QUEUES * 8 / 10 || count[q] > FLOWS / QUEUES * 12 / 10)
                fail_msg("worker %u of %u has %u of %u flows", q, QUEUES, count[q], FLOWS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verification_suite),
        cmocka_unit_test(any_key),
        cmocka_unit_test(pairing),
        cmocka_unit_test(even),
    };
    const char *given = getenv("TEST_SEED");

    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("TEST_SEED=%lu\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
