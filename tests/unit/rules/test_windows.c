/* Conditions over what many calls have come to: what counts, whose it is, and exactly how much
 * passes. */
#include "rules_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "rules/rules_internal.h"

#define CONNECTIONS                                                                                \
    "connections:\n"                                                                               \
    "  stripe:\n"                                                                                  \
    "    hosts: [api.stripe.com]\n"                                                                \
    "    identify: []\n"                                                                           \
    "    functions:\n"                                                                             \
    "      transfer.create: POST /v1/transfers\n"                                                  \
    "      refund.create: POST /v1/refunds\n"                                                      \
    "      read: GET /v1/**\n"                                                                     \
    "rules:\n"                                                                                     \
    "  - {id: 1, name: all, on: stripe.*, then: allow}\n"

#define HOUR ((uint64_t)3600 * RULES_SECOND)
#define NOW  (HOUR * 480000)

static const uint8_t secret[WINDOW_SECRET] = {1};

struct bed {
    struct rules_set *s;
    struct rules_scratch *x;
    struct window_table *t;
    struct test_call call;
    struct rules_verdict v;
};

static struct bed *bed_with(const char *rules, unsigned keys)
{
    struct bed *b = calloc(1, sizeof(*b));
    char text[8192];

    snprintf(text, sizeof(text), CONNECTIONS "%s", rules);
    b->s = test_set(text);
    b->x = rules_scratch_new();
    b->t = window_table_new(keys, secret);
    assert_true(rules_scratch_adopt(b->x, b->s));
    rules_scratch_windows(b->x, b->t);
    test_call_init(&b->call);
    b->call.call.now_ns = NOW;
    test_body(&b->call, BODY_JSON, "{\"amount\": 10}");
    return b;
}

static void bed_end(struct bed *b)
{
    rules_scratch_free(b->x);
    window_table_delete(b->t);
    rules_free(b->s);
    free(b);
}

static enum rules_decision decide(struct bed *b)
{
    test_route(&b->call, b->s, "api.stripe.com");
    memset(&b->v, 0xa5, sizeof(b->v));
    rules_decide(b->s, b->x, &b->call.call, &b->v);
    return b->v.decision;
}

static enum rules_decision decide_body(struct bed *b, enum body_type type, const char *body)
{
    test_body(&b->call, type, body);
    return decide(b);
}

#define EXPECT(b, n, want)                                                                         \
    do {                                                                                           \
        for (unsigned expect_i = 0; expect_i < (n); expect_i++)                                    \
            if (decide(b) != (want))                                                               \
                fail_msg("call %u of %u: %s", expect_i, (unsigned)(n),                             \
                         rules_decision_name((b)->v.decision));                                    \
    } while (0)

/* ------------------------------------------------------------------- amounts */

static void amounts_are_read_in_millionths(void **state)
{
    static const struct {
        const char *text;
        uint64_t want; /* UINT64_MAX: none */
    } rows[] = {
        {"0", 0},
        {"-0", 0},
        {"0.000e5", 0},
        {"-0.0", 0},
        {"1", 1000000},
        {"1.5", 1500000},
        {"1e3", 1000000000},
        {"12.5E-1", 1250000},
        {"0.000001", 1},
        {"0.0000001", 1},
        {"1.0000001", 1000001},
        {"1.9999999", 2000000},
        {"1e-400", 1},
        {"1e-99999999999999999999999", 1},
        {"100e-2", 1000000},
        {"0.00012e4", 1200000},
        {"9223372036854.775807", INT64_MAX},
        {"9223372036854.7758070000", INT64_MAX},
        {"9223372036854.7758071", UINT64_MAX},
        {"9223372036854775807e-6", INT64_MAX},
        {"9223372036854.775808", UINT64_MAX},
        {"99999999999999", UINT64_MAX},
        {"1e13", UINT64_MAX},
        {"1e400", UINT64_MAX},
        {"1e99999999999999999999999", UINT64_MAX},
        {"-1", UINT64_MAX},
        {"-0.0000001", UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t got = 0;

        if (!rules_amount_read(span_cstr(rows[i].text), &got))
            got = UINT64_MAX;
        if (got != rows[i].want)
            fail_msg("%s: %lu instead of %lu", rows[i].text, got, rows[i].want);
    }
}

static void amounts_are_written_without_zeros(void **state)
{
    char room[RULES_AMOUNT_TEXT];

    (void)state;
    assert_true(span_eq(rules_amount_text(0, room), SPAN_LIT("0")));
    assert_true(span_eq(rules_amount_text(1000000, room), SPAN_LIT("1")));
    assert_true(span_eq(rules_amount_text(10500000, room), SPAN_LIT("10.5")));
    assert_true(span_eq(rules_amount_text(1, room), SPAN_LIT("0.000001")));
    assert_true(span_eq(rules_amount_text(UINT64_MAX, room), SPAN_LIT("18446744073709.551615")));
}

/* ------------------------------------------------------------------- decisions */

static const char ten_calls[] =
    "  - {id: 2, name: calls, on: stripe.transfer.create, when: 'calls(\"1h\", caller.id) >= 10', "
    "then: block}\n";

static void so_many_calls_and_no_more(void **state)
{
    struct bed *b = bed_with(ten_calls, 100);

    (void)state;
    EXPECT(b, 10, RULES_ALLOW);
    EXPECT(b, 5, RULES_BLOCK); /* which do not count */
    assert_int_equal(b->v.rule->id, 2);
    assert_false(b->v.unknown);
    assert_int_equal(b->v.ncounted, 0);
    b->call.call.now_ns = NOW + HOUR + HOUR / 60;
    EXPECT(b, 10, RULES_ALLOW);
    EXPECT(b, 1, RULES_BLOCK);
    b->call.caller.id = SPAN_LIT("another");
    EXPECT(b, 10, RULES_ALLOW);
    bed_end(b);
}

static void amounts_add_up(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: spent, on: stripe.transfer.create, when: "
                             "'spent(\"body.amount\", \"24h\", caller.id) >= 100', then: block}\n",
                             100);

    (void)state;
    EXPECT(b, 9, RULES_ALLOW);
    assert_int_equal(decide_body(b, BODY_JSON, "{\"amount\": 9.999999}"), RULES_ALLOW);
    assert_int_equal(decide_body(b, BODY_FORM, "amount=0.0000001"), RULES_ALLOW); /* rounded up */
    EXPECT(b, 1, RULES_BLOCK);
    bed_end(b);
}

static void an_amount_that_cannot_be_counted_is_unknown(void **state)
{
    static const char *const bodies[] = {"{\"amount\": -1}",
                                         "{\"amount\": 1e13}",
                                         "{\"amount\": \"5\"}",
                                         "{}",
                                         "{\"amount\": 1, \"amount\": 1}",
                                         "not"};
    struct bed *b = bed_with("  - {id: 2, name: spent, on: stripe.transfer.create, when: "
                             "'spent(\"body.amount\", \"24h\") >= 100', then: block}\n"
                             "  - {id: 3, name: held, on: stripe.refund.create, when: "
                             "'spent(\"body.amount\", \"24h\") >= 100', then: hold}\n",
                             100);

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(decide_body(b, BODY_JSON, bodies[i]), RULES_BLOCK);
        assert_true(b->v.unknown);
    }
    b->call.head.path = SPAN_LIT("/v1/refunds");
    assert_int_equal(decide_body(b, BODY_JSON, "{\"amount\": -5}"), RULES_HOLD);
    assert_int_equal(b->v.ncounted, 0);
    assert_int_equal(window_keys_in_use(b->t), 0);
    bed_end(b);
}

static void one_value_is_one_key_however_it_is_written(void **state)
{
    static const struct {
        enum body_type type;
        const char *body;
    } same[] = {{BODY_JSON, "{\"to\": 5}"},
                {BODY_JSON, "{\"to\": 5.0}"},
                {BODY_JSON, "{\"to\": 50e-1}"},
                {BODY_JSON, "{\"to\": 0.5E1}"},
                {BODY_JSON, "{\"to\": \"5\"}"},
                {BODY_JSON, "{\"to\": \"5.00\"}"},
                {BODY_FORM, "to=5"},
                {BODY_FORM, "to=0.05e2"},
                {BODY_JSON, "{\"t\\u006f\": 5}"},
                {BODY_JSON, "{\"to\": 5.000000000000000000000}"}},
      others[] = {{BODY_JSON, "{\"to\": 50}"},       {BODY_JSON, "{\"to\": -5}"},
                  {BODY_JSON, "{\"to\": 0.5}"},      {BODY_JSON, "{\"to\": \"05\"}"},
                  {BODY_JSON, "{\"to\": \"five\"}"}, {BODY_JSON, "{\"to\": 55}"},
                  {BODY_JSON, "{\"to\": 0}"},        {BODY_JSON, "{\"to\": \"\"}"}};
    struct bed *b = bed_with("  - {id: 2, name: to, on: stripe.transfer.create, when: "
                             "'calls(\"1h\", body.to) >= 10', then: block}\n",
                             100);

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_int_equal(decide_body(b, same[i].type, same[i].body), RULES_ALLOW);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_int_equal(decide_body(b, same[i].type, same[i].body), RULES_BLOCK);
    assert_int_equal(window_keys_in_use(b->t), 1);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(decide_body(b, others[i].type, others[i].body), RULES_ALLOW);
    assert_int_equal(window_keys_in_use(b->t), 1 + sizeof(others) / sizeof(others[0]));
    bed_end(b);
}

static void a_key_that_cannot_be_read_is_unknown(void **state)
{
    static const char *const bodies[] = {
        "{}",           "{\"to\": null}", "{\"to\": [5]}",
        "{\"to\": {}}", "{\"to\": true}", "{\"to\": 5, \"to\": 5}"};
    struct bed *b = bed_with("  - {id: 2, name: to, on: stripe.transfer.create, when: "
                             "'calls(\"1h\", body.to) >= 10', then: block}\n",
                             100);

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(decide_body(b, BODY_JSON, bodies[i]), RULES_BLOCK);
        assert_true(b->v.unknown);
    }
    bed_end(b);
}

static void held_calls_count_and_can_be_given_back(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: held, on: stripe.transfer.create, when: "
                             "'calls(\"1h\") >= 2', then: hold}\n"
                             "  - {id: 3, name: calls, on: stripe.transfer.create, when: "
                             "'calls(\"1h\") >= 3', then: block}\n",
                             100);

    (void)state;
    EXPECT(b, 2, RULES_ALLOW);
    EXPECT(b, 1, RULES_HOLD);
    assert_int_equal(b->v.ncounted, 1);
    window_give_back(b->t, &b->v.counted[0]);
    EXPECT(b, 1, RULES_HOLD);
    EXPECT(b, 1, RULES_BLOCK);
    bed_end(b);
}

static void rules_that_report_count_and_those_that_are_off_do_not(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: calls, on: stripe.transfer.create, when: "
                             "'calls(\"1h\") >= 2', then: block, mode: report}\n"
                             "  - {id: 3, name: calls, on: stripe.transfer.create, when: "
                             "'calls(\"2h\") >= 1', then: block, mode: 'off'}\n",
                             100);

    (void)state;
    EXPECT(b, 2, RULES_ALLOW);
    assert_int_equal(b->v.nmatched, 1);
    assert_int_equal(b->v.ncounted, 1);
    EXPECT(b, 1, RULES_ALLOW);
    assert_int_equal(b->v.nmatched, 2);
    assert_true(b->v.matched[0].reported);
    assert_int_equal(window_keys_in_use(b->t), 1);
    bed_end(b);
}

/* What is written alike is one window, on whatever function: a call counts once in it. */
static void windows_that_say_the_same_are_one(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: a, on: stripe.transfer.create, when: "
                             "'calls(\"1h\",caller.id) >= 4', then: block}\n"
                             "  - {id: 3, name: b, on: 'stripe.*', when: "
                             "'calls( \"60m\", caller . id ) >= 4', then: block}\n",
                             100);

    (void)state;
    EXPECT(b, 2, RULES_ALLOW);
    assert_int_equal(b->v.ncounted, 1);
    b->call.head.path = SPAN_LIT("/v1/refunds");
    EXPECT(b, 2, RULES_ALLOW);
    EXPECT(b, 1, RULES_BLOCK);
    bed_end(b);
}

static void several_windows_in_one_condition(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: a, on: stripe.transfer.create, when: "
                             "'calls(\"1m\") >= 3 || calls(\"1h\", caller.id) >= 5', then: block}\n"
                             "  - {id: 3, name: b, on: stripe.transfer.create, when: "
                             "'calls(\"1h\", caller.id) >= 4 && calls(\"1m\") < 3', then: hold}\n",
                             100);

    (void)state;
    EXPECT(b, 3, RULES_ALLOW);
    assert_int_equal(b->v.ncounted, 2);
    EXPECT(b, 1, RULES_BLOCK);
    b->call.call.now_ns = NOW + HOUR / 30;
    EXPECT(b, 1, RULES_ALLOW);
    EXPECT(b, 1, RULES_HOLD);
    EXPECT(b, 1, RULES_BLOCK);
    bed_end(b);
}

static void a_full_table_blocks(void **state)
{
    struct bed *b = bed_with(ten_calls, 2);
    static const char *const ids[] = {"a", "b", "c"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        b->call.caller.id = span_cstr(ids[i]);
        EXPECT(b, 1, i < 2 ? RULES_ALLOW : RULES_BLOCK);
        assert_int_equal(b->v.window_full, i == 2);
    }
    assert_true(b->v.unknown);
    bed_end(b);
}

static void without_a_table_or_a_past_windows_are_unknown(void **state)
{
    struct bed *b = bed_with(ten_calls, 100);

    (void)state;
    window_forget(b->t, NOW - HOUR / 2);
    EXPECT(b, 1, RULES_BLOCK);
    assert_true(b->v.unknown);
    b->call.call.now_ns = NOW + HOUR;
    EXPECT(b, 1, RULES_ALLOW);
    rules_scratch_windows(b->x, NULL);
    EXPECT(b, 1, RULES_BLOCK);
    assert_true(b->v.unknown);
    bed_end(b);
}

/* ------------------------------------------------------------ in each other's way */

static void who_has_reserved_stands_in_the_way_at_the_limit_only(void **state)
{
    struct bed *b = bed_with(ten_calls, 100);
    struct window_told told;
    struct window_count other;
    uint64_t least, most;

    (void)state;
    EXPECT(b, 5, RULES_ALLOW);
    assert_true(window_tell(b->t, &b->v.counted[0], &told));
    window_reserve(b->t, told.key, told.length_ns, told.amount, NOW, &other, &least, &most);
    EXPECT(b, 4, RULES_ALLOW);
    assert_int_equal(b->v.window_tries, 0);
    EXPECT(b, 1, RULES_BLOCK); /* 9 count, and one may */
    assert_int_equal(b->v.window_tries, RULES_WINDOW_TRIES);
    window_withdraw(b->t, &other);
    EXPECT(b, 1, RULES_ALLOW);
    window_reserve(b->t, told.key, told.length_ns, told.amount, NOW, &other, &least, &most);
    EXPECT(b, 1, RULES_BLOCK); /* 10 count, whatever the other does */
    assert_int_equal(b->v.window_tries, 0);
    bed_end(b);
}

enum { THREADS = 4, LIMIT = 500, ROUNDS = 20 };

struct runner {
    struct bed *bed;
    struct rules_scratch *x;
    struct test_call call;
    _Atomic unsigned *ready;
    unsigned allowed, tries;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    struct rules_verdict v = {.decision = RULES_ALLOW};

    atomic_fetch_add(r->ready, 1);
    while (atomic_load(r->ready) < THREADS)
        sched_yield();
    while (v.decision == RULES_ALLOW) {
        rules_decide(r->bed->s, r->x, &r->call.call, &v);
        r->allowed += v.decision == RULES_ALLOW;
        r->tries += v.window_tries;
        /* Who has been stopped in a decision by the system may have stood in our way all along. */
        if (v.decision == RULES_BLOCK && v.window_tries == RULES_WINDOW_TRIES) {
            v.decision = RULES_ALLOW;
            sched_yield();
        }
    }
    return NULL;
}

static void threads_pass_the_limit_exactly(void **state)
{
    struct bed *b = bed_with("  - {id: 2, name: calls, on: stripe.transfer.create, when: "
                             "'calls(\"1h\", caller.id) >= 500 || calls(\"24h\") >= 100000', "
                             "then: block}\n",
                             100);
    char id[20];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct runner r[THREADS] = {0};
        _Atomic unsigned ready = 0;
        unsigned allowed = 0;

        snprintf(id, sizeof(id), "%u", round);
        for (unsigned i = 0; i < THREADS; i++) {
            r[i].bed = b;
            r[i].ready = &ready;
            r[i].x = rules_scratch_new();
            assert_true(rules_scratch_adopt(r[i].x, b->s));
            rules_scratch_windows(r[i].x, b->t);
            test_call_init(&r[i].call);
            r[i].call.call.now_ns = NOW;
            r[i].call.caller.id = span_cstr(id);
            test_route(&r[i].call, b->s, "api.stripe.com");
            pthread_create(&r[i].thread, NULL, run, &r[i]);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(r[i].thread, NULL);
            allowed += r[i].allowed;
            rules_scratch_free(r[i].x);
        }
        assert_int_equal(allowed, LIMIT);
    }
    bed_end(b);
}

/* ------------------------------------------------------------------- what it costs */

enum { COST_LOOPS = 20000 };

static const char without_windows[] =
    "  - {id: 2, name: a, on: stripe.transfer.create, when: 'body.amount > 50000', then: block}\n";
static const char with_windows[] =
    "  - {id: 2, name: a, on: stripe.transfer.create, when: 'body.amount > 50000 || "
    "calls(\"1h\", caller.id) > 1000000000', then: block}\n";

static void *decide_often(void *arg)
{
    struct runner *r = arg;
    struct rules_verdict v;

    for (unsigned i = 0; i < COST_LOOPS; i++) {
        rules_decide(r->bed->s, r->x, &r->call.call, &v);
        r->tries += v.window_tries;
    }
    return NULL;
}

/* Processor time of one decision, by so many threads at once. */
static unsigned cost(const char *rules, unsigned threads)
{
    struct bed *b = bed_with(rules, 100);
    struct runner r[THREADS] = {0};
    uint64_t began = 0;

    for (unsigned i = 0; i < threads; i++) {
        r[i].bed = b;
        r[i].x = rules_scratch_new();
        assert_true(rules_scratch_adopt(r[i].x, b->s));
        rules_scratch_windows(r[i].x, b->t);
        test_call_init(&r[i].call);
        r[i].call.call.now_ns = NOW;
        test_body(&r[i].call, BODY_JSON, "{\"amount\": 10}");
        test_route(&r[i].call, b->s, "api.stripe.com");
        decide_often(&r[i]);
    }
    began = test_cpu_ns();
    for (unsigned i = 0; i < threads; i++)
        pthread_create(&r[i].thread, NULL, decide_often, &r[i]);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(r[i].thread, NULL);
    began = test_cpu_ns() - began;
    for (unsigned i = 0; i < threads; i++)
        rules_scratch_free(r[i].x);
    bed_end(b);
    return (unsigned)(began / (COST_LOOPS * threads));
}

static void what_a_window_costs(void **state)
{
    unsigned without = cost(without_windows, 1), with = cost(with_windows, 1),
             together = cost(with_windows, 2);

    (void)state;
    printf("%u ns a decision without windows, %u with one, %u with one that two threads share\n",
           without, with, together);
}

static void too_many_windows_are_an_error(void **state)
{
    char text[8192], *p = text;
    struct test_dir dir;
    struct diags d;

    (void)state;
    p += sprintf(p,
                 CONNECTIONS "  - {id: 2, name: many, on: stripe.read, then: block, when: 'false");
    for (unsigned i = 1; i <= RULES_WINDOWS_MAX + 1; i++)
        p += sprintf(p, " || calls(\"%us\") > 1", i);
    sprintf(p, "'}\n");
    test_dir_make(&dir);
    test_dir_put(&dir, "a.yaml", text);
    diags_init(&d);
    assert_null(rules_load(dir.path, TEST_NOW, &d));
    assert_int_equal(d.errors, 1);
    assert_non_null(strstr(d.items[0].message, "ask for more than 16 windows"));
    diags_free(&d);
    test_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_read_in_millionths),
        cmocka_unit_test(amounts_are_written_without_zeros),
        cmocka_unit_test(so_many_calls_and_no_more),
        cmocka_unit_test(amounts_add_up),
        cmocka_unit_test(an_amount_that_cannot_be_counted_is_unknown),
        cmocka_unit_test(one_value_is_one_key_however_it_is_written),
        cmocka_unit_test(a_key_that_cannot_be_read_is_unknown),
        cmocka_unit_test(held_calls_count_and_can_be_given_back),
        cmocka_unit_test(rules_that_report_count_and_those_that_are_off_do_not),
        cmocka_unit_test(windows_that_say_the_same_are_one),
        cmocka_unit_test(several_windows_in_one_condition),
        cmocka_unit_test(a_full_table_blocks),
        cmocka_unit_test(without_a_table_or_a_past_windows_are_unknown),
        cmocka_unit_test(who_has_reserved_stands_in_the_way_at_the_limit_only),
        cmocka_unit_test(threads_pass_the_limit_exactly),
        cmocka_unit_test(what_a_window_costs),
        cmocka_unit_test(too_many_windows_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
