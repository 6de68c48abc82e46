/* One window with a clock of our own: how it slides, what is given back, what does not fit. */
#include "window_test.h"

struct fixture {
    struct window_table *t;
    struct window_key key;
    struct window_count c;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->t = window_table_new(100, test_secret);
    f->key = test_key(f->t, 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    window_table_delete(f->t);
    free(f);
    return 0;
}

static void test_begins_empty_and_adds_up(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(test_sum(f->t, f->key, HOUR, START), 0);
    for (unsigned i = 0; i < 10; i++)
        test_count(f->t, f->key, HOUR, 5, START + i * SECOND, &f->c);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + MINUTE), 50);
    assert_int_equal(test_sum(f->t, test_key(f->t, 2), HOUR, START), 0);
}

/* A window of an hour slides by minutes: what is counted in a minute stands until the sixtieth
 * minute after it has ended. */
static void test_slides_by_steps(void **state)
{
    struct fixture *f = *state;

    test_count(f->t, f->key, HOUR, 3, START, &f->c);
    test_count(f->t, f->key, HOUR, 4, START + MINUTE - 1, &f->c);
    test_count(f->t, f->key, HOUR, 5, START + MINUTE, &f->c);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + HOUR), 12);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + HOUR + MINUTE - 1), 12);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + HOUR + MINUTE), 5);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + HOUR + 2 * MINUTE - 1), 5);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + HOUR + 2 * MINUTE), 0);
}

static void test_long_idle(void **state)
{
    struct fixture *f = *state;

    test_count(f->t, f->key, HOUR, 3, START, &f->c);
    for (unsigned days = 1; days < 100; days += 7) {
        assert_int_equal(test_sum(f->t, f->key, HOUR, START + days * DAY), 0);
        test_count(f->t, f->key, HOUR, days, START + days * DAY, &f->c);
        assert_int_equal(test_sum(f->t, f->key, HOUR, START + days * DAY + 59 * MINUTE), days);
    }
}

/* Against a list of what was counted: all of the last length is there, nothing that is a step older
 * than that. Lengths that are no multiple of 60 ns too. */
static void test_covers_the_length_and_a_step(void **state)
{
    static const uint64_t lengths[] = {SECOND, 7 * SECOND, HOUR, DAY, 31 * DAY};
    struct fixture *f = *state;
    uint64_t random = test_seed(3), at[500], amount[500];

    for (unsigned k = 0; k < sizeof(lengths) / sizeof(*lengths); k++) {
        uint64_t length = lengths[k], now = START, step = (length + 59) / 60;
        struct window_key key = test_key(f->t, 100 + k);

        for (unsigned i = 0; i < 500; i++) {
            uint64_t inner = 0, outer = 0, sum;

            now += test_random(&random) % (length / (1 + test_random(&random) % 60));
            for (unsigned j = 0; j < i; j++) {
                inner += at[j] + length >= now ? amount[j] : 0;
                outer += at[j] + length + step >= now ? amount[j] : 0;
            }
            sum = test_sum(f->t, key, length, now);
            assert_in_range(sum, inner, outer);
            at[i] = now;
            amount[i] = test_random(&random) % 1000;
            test_count(f->t, key, length, amount[i], now, &f->c);
        }
    }
}

static void test_clocks_that_differ_count_all(void **state)
{
    struct fixture *f = *state;

    test_count(f->t, f->key, HOUR, 1, START + 2 * MINUTE, &f->c); /* ahead of us */
    test_count(f->t, f->key, HOUR, 2, START, &f->c);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START), 3);
    /* A bucket that has gone on to a newer step takes what comes late. */
    test_count(f->t, f->key, HOUR, 4, START + 64 * MINUTE, &f->c);
    test_count(f->t, f->key, HOUR, 8, START, &f->c);
    assert_int_equal(f->c.step, (START + 64 * MINUTE) / MINUTE);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + 64 * MINUTE), 12);
    /* A clock that was set back by a day loses nothing. */
    assert_int_equal(test_sum(f->t, f->key, HOUR, START - DAY), 15 - 2);
}

static void test_reservations_stand_in_most(void **state)
{
    struct fixture *f = *state;
    struct window_count a, b;
    uint64_t least, most;

    test_count(f->t, f->key, HOUR, 10, START, &f->c);
    window_reserve(f->t, f->key, HOUR, 5, START, &a, &least, &most);
    assert_int_equal(least, 10);
    assert_int_equal(most, 10);
    window_reserve(f->t, f->key, HOUR, 7, START, &b, &least, &most);
    assert_int_equal(least, 10);
    assert_int_equal(most, 15);
    window_withdraw(f->t, &a);
    window_commit(f->t, &b, START);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START), 17);
}

static void test_gives_back_where_it_counted(void **state)
{
    struct fixture *f = *state;
    struct window_count a, b;

    test_count(f->t, f->key, HOUR, 5, START, &a);
    test_count(f->t, f->key, HOUR, 7, START + 10 * MINUTE, &b);
    window_give_back(f->t, &a);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + 10 * MINUTE), 7);
    /* What has left the window is not taken from what came after. */
    test_count(f->t, f->key, HOUR, 9, START + 74 * MINUTE, &a);
    window_give_back(f->t, &b);
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + 74 * MINUTE), 9);
}

static void test_sums_that_do_not_fit(void **state)
{
    struct fixture *f = *state;
    struct window_count a;
    uint64_t least, most, huge = UINT64_MAX / 2 + 10;

    assert_int_equal(window_reserve(f->t, f->key, HOUR, huge, START, &a, &least, &most),
                     WINDOW_RESERVED);
    assert_int_equal(window_reserve(f->t, f->key, HOUR, huge, START, &f->c, &least, &most),
                     WINDOW_BEYOND); /* two reservations */
    window_commit(f->t, &a, START);
    test_count(f->t, f->key, HOUR, huge, START + MINUTE, &f->c);
    assert_int_equal(window_reserve(f->t, f->key, HOUR, 0, START + MINUTE, &f->c, &least, &most),
                     WINDOW_BEYOND); /* two buckets */
    assert_int_equal(test_sum(f->t, f->key, HOUR, START + 61 * MINUTE), huge);

    struct window_key other = test_key(f->t, 2);

    test_count(f->t, other, HOUR, huge, START, &a);
    test_count(f->t, other, HOUR, huge, START, &a); /* one bucket */
    window_give_back(f->t, &a);
    assert_int_equal(window_reserve(f->t, other, HOUR, 0, START, &f->c, &least, &most),
                     WINDOW_BEYOND);
    assert_int_equal(test_sum(f->t, other, HOUR, START + 2 * HOUR), 0);
}

static struct window_told as_text(const struct window_told *told)
{
    char text[128];
    struct outbuf o = outbuf_on(text, sizeof(text));
    struct window_told again;

    window_told_put(told, &o);
    assert_true(window_told_read(outbuf_span(&o), &again));
    assert_memory_equal(&again, told, sizeof(again));
    return again;
}

static void test_reads_only_what_was_told(void **state)
{
    static const char *const bad[] = {"",
                                      "00112233445566778899aabbccddeeff",
                                      "00112233445566778899aabbccddeeff 60 1",
                                      "00112233445566778899aabbccddeeff 60 1 x",
                                      "00112233445566778899aabbccddeeff 60 1 2 3",
                                      "00112233445566778899aabbccddeeff 0 1 2",
                                      "00112233445566778899aabbccddeeff 99999999999 1 2",
                                      "00112233445566778899aabbccddeef 60 1 2",
                                      "00112233445566778899aabbccddeefg 60 1 2",
                                      "00112233445566778899AABBCCDDEEFF 60 1 2"};
    struct window_told told;

    (void)state;
    assert_true(window_told_read(SPAN_LIT("00112233445566778899aabbccddeeff 60 1 2"), &told));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (window_told_read(span_cstr(bad[i]), &told))
            fail_msg("accepted: %s", bad[i]);
}

static void test_secrets_have_fingerprints(void **state)
{
    struct fixture *f = *state;
    struct window_table *other = window_table_new(1, (const uint8_t[WINDOW_SECRET]){1, 2}),
                        *same = window_table_new(1, test_secret);

    assert_int_not_equal(window_fingerprint(f->t), window_fingerprint(other));
    assert_int_equal(window_fingerprint(f->t), window_fingerprint(same));
    window_table_delete(other);
    window_table_delete(same);
}

static void test_tells_and_restores(void **state)
{
    struct fixture *f = *state;
    struct window_table *after = window_table_new(100, test_secret);
    struct window_told told[3];

    for (unsigned i = 0; i < 3; i++) {
        test_count(f->t, f->key, HOUR, 1 + i, START + i * 20 * MINUTE, &f->c);
        assert_true(window_tell(f->t, &f->c, &told[i]));
        told[i] = as_text(&told[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(window_restore(after, &told[i], START + 70 * MINUTE));
    assert_int_equal(test_sum(after, f->key, HOUR, START + 70 * MINUTE), 5);
    window_restore_back(after, &told[0]);
    window_restore_back(after, &told[1]);
    assert_int_equal(test_sum(after, f->key, HOUR, START + 70 * MINUTE), 3);
    assert_int_equal(test_sum(after, f->key, HOUR, START + 101 * MINUTE), 0);
    window_table_delete(after);
}

static void test_what_is_not_known_any_more(void **state)
{
    struct fixture *f = *state;

    assert_false(window_forgot(f->t, HOUR, START));
    window_forget(f->t, START);
    assert_true(window_forgot(f->t, HOUR, START + HOUR));
    assert_false(window_forgot(f->t, HOUR, START + HOUR + MINUTE));
    assert_true(window_forgot(f->t, DAY, START + HOUR + MINUTE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(test_begins_empty_and_adds_up),
        T(test_slides_by_steps),
        T(test_long_idle),
        T(test_covers_the_length_and_a_step),
        T(test_clocks_that_differ_count_all),
        T(test_reservations_stand_in_most),
        T(test_gives_back_where_it_counted),
        T(test_sums_that_do_not_fit),
        T(test_reads_only_what_was_told),
        T(test_secrets_have_fingerprints),
        T(test_tells_and_restores),
        T(test_what_is_not_known_any_more),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
