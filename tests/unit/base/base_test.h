/* cmocka wants these four before it. */
#ifndef BASE_TEST_H
#define BASE_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A seed for property tests: TEST_SEED if set, else from the clock; printed so that a failure can
 * be repeated. */
static inline uint64_t test_seed(uint64_t now)
{
    const char *set = getenv("TEST_SEED");
    uint64_t seed = set ? strtoull(set, NULL, 0) : now;

    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
