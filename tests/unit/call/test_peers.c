/* Connections counted by address, against a plain array. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>

#include "call/call_internal.h"

enum { ADDRESSES = 40, MAX = 100, CALLERS = 9, HANDSHAKES = 4, STEPS = 50000 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The first half IPv4, the rest IPv6 of one /64 each. */
static struct net_addr address(unsigned i, uint64_t low)
{
    struct net_addr a = {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, (uint8_t)i}};

    if (i < ADDRESSES / 2)
        a = (struct net_addr){{[10] = 0xff, [11] = 0xff, 10, 10, 0, (uint8_t)i}};
    else
        memcpy(a.b + 8, &low, 8);
    return a;
}

struct model {
    unsigned callers[ADDRESSES], handshakes[ADDRESSES], all;
};

static void take(struct peers *p, struct model *m, unsigned i, const struct net_addr *a)
{
    enum peers_room want = PEERS_TAKEN;

    if (m->all == MAX) /* the worker has no place then, and does not ask */
        return;
    if (m->callers[i] >= CALLERS)
        want = PEERS_CALLERS_FULL;
    else if (m->handshakes[i] >= HANDSHAKES)
        want = PEERS_HANDSHAKES_FULL;
    assert_int_equal(peers_take(p, a, CALLERS, HANDSHAKES), want);
    if (want != PEERS_TAKEN)
        return;
    m->callers[i]++;
    m->handshakes[i]++;
    m->all++;
}

static void test_against_an_array(void **state)
{
    uint64_t seed = getenv("TEST_SEED") ? strtoull(getenv("TEST_SEED"), NULL, 0) : clock_mono_ns();
    struct peers *p = peers_new(MAX);
    struct model m = {0};

    (void)state;
    printf("TEST_SEED=%lu\n", seed);
    assert_non_null(p);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t dice = next_random(&seed);
        unsigned i = (unsigned)(dice >> 8) % ADDRESSES;
        struct net_addr a = address(i, next_random(&seed));

        if (dice % 8 < 4) {
            take(p, &m, i, &a);
        } else if (dice % 8 < 6 && m.handshakes[i]) {
            peers_settled(p, &a);
            m.handshakes[i]--;
        } else if (m.callers[i]) {
            bool in_handshake = m.handshakes[i] == m.callers[i];

            peers_give(p, &a, in_handshake);
            m.handshakes[i] -= in_handshake;
            m.callers[i]--;
            m.all--;
        }
        assert_int_equal(peers_handshakes(p, &a), m.handshakes[i]);
    }
    peers_delete(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
