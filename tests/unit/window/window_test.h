/* What the window tests share: keys by number, and decisions as lib/rules makes them. */
#ifndef WINDOW_TEST_H
#define WINDOW_TEST_H

#include "../base/base_test.h"
#include "window/window.h"

#define SECOND ((uint64_t)1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  (DAY * 20000) /* a day in 2024 */

static const uint8_t test_secret[WINDOW_SECRET] = {7, 7, 7};

static inline struct window_key test_key(const struct window_table *t, uint64_t n)
{
    struct window_hash h;

    window_hash_begin(&h, t);
    window_hash_put(&h, &n, sizeof(n));
    return window_hash_end(&h);
}

enum outcome { YES, NO, UNSURE };

/* May `amount` pass beside a limit? *c says where it was counted. */
static inline enum outcome test_decide(struct window_table *t, struct window_key key,
                                       uint64_t length, uint64_t amount, uint64_t limit,
                                       uint64_t now, struct window_count *c)
{
    uint64_t least, most;

    if (window_reserve(t, key, length, amount, now, c, &least, &most) != WINDOW_RESERVED)
        return UNSURE;
    if (most + amount <= limit) {
        window_commit(t, c, now);
        return YES;
    }
    window_withdraw(t, c);
    return least + amount > limit ? NO : UNSURE;
}

/* What a window holds. */
static inline uint64_t test_sum(struct window_table *t, struct window_key key, uint64_t length,
                                uint64_t now)
{
    struct window_count c;
    uint64_t least = 0, most = 0;

    assert_int_equal(window_reserve(t, key, length, 0, now, &c, &least, &most), WINDOW_RESERVED);
    window_withdraw(t, &c);
    assert_int_equal(least, most);
    return least;
}

static inline void test_count(struct window_table *t, struct window_key key, uint64_t length,
                              uint64_t amount, uint64_t now, struct window_count *c)
{
    uint64_t least, most;

    assert_int_equal(window_reserve(t, key, length, amount, now, c, &least, &most),
                     WINDOW_RESERVED);
    window_commit(t, c, now);
}

#endif
