/* Stages with a clock that the test turns: who gets which cycles, which loops are measured, and
 * that the parts add up to the whole. */
#include "base_test.h"

#include <time.h>

#include "base/stages.h"

/* Begins loops until one is measured; returns how many came before it. */
static unsigned to_measured(struct stages *s, uint64_t now)
{
    unsigned n = 0;

    while (stages_begin(s, now), !s->measured) {
        stages_end(s, now + 1000000, true);
        n++;
    }
    return n;
}

static uint64_t cycles(const struct stages *s, enum stage stage)
{
    return counter_get(&s->cycles[stage]);
}

static uint64_t sum(const struct stages *s)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < STAGES; i++)
        n += cycles(s, i);
    return n;
}

/* A record is written inside TLS inside a call inside TCP: each gets its own. */
static void test_nesting(void **state)
{
    struct stages s;
    enum stage tcp, call, tls;

    (void)state;
    stages_init(&s);
    to_measured(&s, 100);
    tcp = stages_change(&s, STAGE_TCP, 103);   /* net 3 */
    call = stages_change(&s, STAGE_CALL, 110); /* tcp 7 */
    tls = stages_change(&s, STAGE_TLS, 121);   /* call 11 */
    assert_int_equal(tcp, STAGE_NET);
    assert_int_equal(call, STAGE_TCP);
    assert_int_equal(tls, STAGE_CALL);
    assert_int_equal(stages_change(&s, tls, 151), STAGE_TLS);   /* tls 30 */
    assert_int_equal(stages_change(&s, call, 156), STAGE_CALL); /* call 5 */
    assert_int_equal(stages_change(&s, tcp, 158), STAGE_TCP);   /* tcp 2 */
    stages_end(&s, 159, true);                                  /* net 1 */
    assert_int_equal(cycles(&s, STAGE_NET), 4);
    assert_int_equal(cycles(&s, STAGE_TCP), 9);
    assert_int_equal(cycles(&s, STAGE_CALL), 16);
    assert_int_equal(cycles(&s, STAGE_TLS), 30);
    assert_int_equal(sum(&s), 59);
    assert_int_equal(counter_get(&s.loops), 1);
}

static int leaves_early(struct stages *s, enum stage *inside, bool early)
{
    STAGE_SCOPE(s, STAGE_AUDIT);
    *inside = s->now;
    if (early)
        return 1;
    return IN_STAGE(s, STAGE_MATCH, (*inside = s->now, 2));
}

/* However a block is left, the stage before it goes on; expressions keep their value. */
static void test_scopes(void **state)
{
    struct stages s;
    enum stage inside;

    (void)state;
    stages_init(&s);
    to_measured(&s, stages_clock());
    assert_int_equal(leaves_early(&s, &inside, true), 1);
    assert_int_equal(inside, STAGE_AUDIT);
    assert_int_equal(s.now, STAGE_NET);
    assert_int_equal(leaves_early(&s, &inside, false), 2);
    assert_int_equal(inside, STAGE_MATCH);
    assert_int_equal(s.now, STAGE_NET);
    stages_end(&s, stages_clock(), true);
}

/* What was measured in a loop that found nothing to do goes nowhere, not into the next one either.
 */
static void test_idle(void **state)
{
    struct stages s;

    (void)state;
    stages_init(&s);
    to_measured(&s, 0);
    stages_change(&s, STAGE_TCP, 50);
    stages_end(&s, 70, false);
    assert_int_equal(sum(&s), 0);
    assert_int_equal(counter_get(&s.loops), 0);
    to_measured(&s, 1000);
    stages_change(&s, STAGE_TLS, 1001);
    stages_end(&s, 1003, true);
    assert_int_equal(cycles(&s, STAGE_NET), 1);
    assert_int_equal(cycles(&s, STAGE_TCP), 0);
    assert_int_equal(cycles(&s, STAGE_TLS), 2);
}

/* Outside a measured loop nothing is written, whatever is entered. */
static void test_not_measured(void **state)
{
    static struct stages before;
    struct stages s;

    (void)state;
    stages_init(&s);
    to_measured(&s, 0);
    stages_end(&s, 5, true);
    before = s;
    assert_int_equal(stage_enter(&s, STAGE_TLS), STAGE_TLS);
    {
        STAGE_SCOPE(&s, STAGE_RULES);
    }
    stages_end(&s, 100, true);
    assert_memory_equal(&s, &before, sizeof(s));
    stage_enter(&stages_off, STAGE_TLS);
    memset(&before, 0, sizeof(before));
    assert_memory_equal(&stages_off, &before, sizeof(before));
}

/* One loop in 32, at distances of 1 to 63; a rhythm in the traffic is seen as what it is: every
 * loop number that divides by n is of one kind, and gets one n-th of what is measured. */
static void test_sampling(void **state)
{
    enum { LOOPS = 1 << 20 };
    static const unsigned rhythms[] = {2, 3, 8, 31, 32, 33, 64};

    (void)state;
    for (size_t r = 0; r < sizeof(rhythms) / sizeof(*rhythms); r++) {
        unsigned n = rhythms[r], last = 0, measured = 0, heavy = 0;
        struct stages s;

        stages_init(&s);
        for (unsigned i = 1; i <= LOOPS; i++) {
            stages_begin(&s, i);
            if (s.measured) {
                assert_in_range(i - last, 1, 63);
                last = i;
                measured++;
                heavy += i % n == 0;
            }
            stages_end(&s, i, true);
        }
        assert_in_range(measured, LOOPS / 32 * 98 / 100, LOOPS / 32 * 102 / 100);
        assert_in_range(heavy, measured / n * 85 / 100, measured / n * 115 / 100);
        assert_int_equal(counter_get(&s.loops), measured);
    }
}

/* Shares add up to the whole, in the measured proportion, at any size of it. */
static void test_share(void **state)
{
    uint64_t seed = test_seed((uint64_t)time(NULL)), out[STAGES];
    struct stages s;

    (void)state;
    stages_init(&s);
    stages_share(&s, 12345, out);
    for (unsigned i = 0; i < STAGES; i++)
        assert_int_equal(out[i], 0);
    for (int round = 0; round < 1000; round++) {
        uint64_t all = test_random(&seed) >> test_random(&seed) % 64, total = 0;

        stages_init(&s);
        for (unsigned i = 0; i < STAGES; i++)
            counter_add(&s.cycles[i], test_random(&seed) >> (8 + test_random(&seed) % 56));
        if (sum(&s) == 0)
            continue;
        stages_share(&s, all, out);
        for (unsigned i = 0; i < STAGES; i++) {
            unsigned __int128 exact = (unsigned __int128)all * cycles(&s, i) / sum(&s);

            assert_true(out[i] <= (uint64_t)exact + 1 && out[i] + 1 >= (uint64_t)exact);
            total += out[i];
        }
        assert_true(total == all);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(stage_name(STAGE_NET), "net");
    assert_string_equal(stage_name(STAGE_OUTPUT), "output");
    assert_string_equal(stage_name(STAGES), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nesting),  cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_idle),     cmocka_unit_test(test_not_measured),
        cmocka_unit_test(test_sampling), cmocka_unit_test(test_share),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
