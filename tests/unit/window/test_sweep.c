/* A table that fills up, and places that are used again. */
#include "window/window_internal.h"
#include "window_test.h"

static enum window_result put(struct window_table *t, uint64_t n, uint64_t now,
                              struct window_count *c)
{
    uint64_t least, most;
    enum window_result r = window_reserve(t, test_key(t, n), HOUR, 1, now, c, &least, &most);

    if (r == WINDOW_RESERVED)
        window_commit(t, c, now);
    return r;
}

static void test_full_table_says_so(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    struct window_count c;

    (void)state;
    for (uint64_t n = 0; n < 50; n++)
        assert_int_equal(put(t, n, START, &c), WINDOW_RESERVED);
    assert_int_equal(put(t, 50, START, &c), WINDOW_FULL);
    assert_int_equal(put(t, 49, START, &c), WINDOW_RESERVED);
    assert_int_equal(window_keys_in_use(t), 50);
    assert_int_equal(window_keys(t), 50);
    window_table_delete(t);
}

static void test_empty_windows_give_up_their_places(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    struct window_count c, old;

    (void)state;
    for (uint64_t n = 0; n < 50; n++)
        put(t, n, START + (n < 20 ? 0 : 30 * MINUTE), n == 3 ? &old : &c);
    assert_int_equal(window_sweep(t, 1000, START + HOUR), 0);
    assert_int_equal(window_sweep(t, 50, START + 61 * MINUTE), 20);
    assert_int_equal(put(t, 50, START + 61 * MINUTE, &c), WINDOW_FULL); /* somebody may be there */
    window_reclaim(t);
    assert_int_equal(window_keys_in_use(t), 30);
    for (uint64_t n = 50; n < 70; n++)
        assert_int_equal(put(t, n, START + 61 * MINUTE, &c), WINDOW_RESERVED);
    assert_int_equal(put(t, 70, START + 61 * MINUTE, &c), WINDOW_FULL);
    for (uint64_t n = 20; n < 70; n++)
        assert_int_equal(test_sum(t, test_key(t, n), HOUR, START + 61 * MINUTE), 1);
    /* A count of a key that has gone is nobody's. */
    struct window_told told;

    assert_false(window_tell(t, &old, &told));
    window_give_back(t, &old);
    for (uint64_t n = 20; n < 70; n++)
        assert_int_equal(test_sum(t, test_key(t, n), HOUR, START + 61 * MINUTE), 1);
    window_table_delete(t);
}

static void test_a_reservation_keeps_its_place(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    struct window_count c;
    uint64_t least, most;

    (void)state;
    window_reserve(t, test_key(t, 1), HOUR, 1, START, &c, &least, &most);
    assert_int_equal(window_sweep(t, 50, START + DAY), 0);
    window_withdraw(t, &c);
    assert_int_equal(window_sweep(t, 50, START + DAY), 1);
    window_table_delete(t);
}

/* The sweep looks at the buckets of an entry that nobody is on, and then takes it. Whoever was
 * there in between, and has gone again, must be seen. */
static void test_who_came_and_went_is_seen(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    union window_pair seen, dead = {.a = WINDOW_DEAD};
    struct window_entry *e;
    struct window_count c;

    (void)state;
    put(t, 1, START, &c);
    e = window_find(t, test_key(t, 1));
    seen = window_peek(&e->use);
    assert_int_equal(seen.a, 0);
    put(t, 1, START + DAY, &c);
    dead.b = seen.b;
    assert_false(window_swap(&e->use, &seen, dead));
    assert_int_equal(window_sweep(t, 50, START + DAY), 0);
    window_table_delete(t);
}

/* One that is being taken out is found by nobody. */
static void test_who_is_being_taken_out_is_not_found(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    struct window_entry *e, *other;
    struct window_count c;

    (void)state;
    put(t, 1, START, &c);
    e = window_find(t, test_key(t, 1));
    e->use.a = WINDOW_DEAD;
    assert_null(window_find(t, test_key(t, 1)));
    put(t, 1, START, &c);
    other = window_find(t, test_key(t, 1));
    assert_ptr_not_equal(e, other);
    assert_int_equal(test_sum(t, test_key(t, 1), HOUR, START), 1);
    window_table_delete(t);
}

/* A key that comes back while its old place waits for the grace period gets another. */
static void test_comes_back_at_once(void **state)
{
    struct window_table *t = window_table_new(50, test_secret);
    struct window_count c;

    (void)state;
    put(t, 1, START, &c);
    assert_int_equal(window_sweep(t, 50, START + DAY), 1);
    put(t, 1, START + DAY, &c);
    window_reclaim(t);
    assert_int_equal(test_sum(t, test_key(t, 1), HOUR, START + DAY), 1);
    assert_int_equal(window_keys_in_use(t), 1);
    window_table_delete(t);
}

/* Keys that come and go at random, against a plain array. Some chains have several keys: twice as
 * many keys are known as there are chains. */
static void test_model(void **state)
{
    enum { KEYS = 300, PLACES = 128 };
    struct window_table *t = window_table_new(PLACES, test_secret);
    uint64_t random = test_seed(4), now = START, sum[KEYS] = {0}, last[KEYS] = {0};
    struct window_count c;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t k = test_random(&random) % KEYS;

        now += test_random(&random) % MINUTE;
        if (last[k] && last[k] / MINUTE + 60 < now / MINUTE)
            sum[k] = last[k] = 0;
        if (!last[k] && put(t, k, now, &c) == WINDOW_RESERVED) {
            sum[k] = 1;
            last[k] = now;
        }
        if (last[k])
            assert_int_equal(test_sum(t, test_key(t, k), HOUR, now), sum[k]);
        if (test_random(&random) % 8 == 0)
            window_sweep(t, 1 + (unsigned)(test_random(&random) % PLACES), now);
        if (test_random(&random) % 16 == 0)
            window_reclaim(t);
    }
    assert_in_range(window_keys_in_use(t), 1, PLACES);
    window_table_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_table_says_so),
        cmocka_unit_test(test_empty_windows_give_up_their_places),
        cmocka_unit_test(test_a_reservation_keeps_its_place),
        cmocka_unit_test(test_who_came_and_went_is_seen),
        cmocka_unit_test(test_who_is_being_taken_out_is_not_found),
        cmocka_unit_test(test_comes_back_at_once),
        cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
