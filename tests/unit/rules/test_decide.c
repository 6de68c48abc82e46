/* The decision: the strictest wins, unknown counts against the call, nothing matched is a block. */
#include "rules_test.h"

#define CONNECTIONS                                                                                \
    "connections:\n"                                                                               \
    "  stripe:\n"                                                                                  \
    "    hosts: [api.stripe.com]\n"                                                                \
    "    identify: []\n"                                                                           \
    "    functions:\n"                                                                             \
    "      transfer.create: POST /v1/transfers\n"                                                  \
    "      refund.create: POST /v1/refunds\n"                                                      \
    "      charge.capture: POST /v1/charges/{charge}/capture\n"                                    \
    "      read: GET /v1/**\n"                                                                     \
    "  other:\n"                                                                                   \
    "    hosts: [other.example]\n"                                                                 \
    "    identify: []\n"                                                                           \
    "    functions: {read: GET /**}\n"

static struct rules_scratch *scratch_for(const struct rules_set *s)
{
    struct rules_scratch *x = rules_scratch_new();

    assert_non_null(x);
    assert_true(rules_scratch_adopt(x, s));
    return x;
}

static const struct rules_verdict *decide(const struct rules_set *s, const struct rules_call *c)
{
    static struct rules_verdict v;
    struct rules_scratch *x = scratch_for(s);

    memset(&v, 0xa5, sizeof(v));
    rules_decide(s, x, c, &v);
    rules_scratch_free(x);
    return &v;
}

static void expect(const struct rules_set *s, struct test_call *t, enum rules_decision want,
                   uint64_t rule, bool unknown)
{
    const struct rules_verdict *v;

    test_route(t, s, "api.stripe.com");
    v = decide(s, &t->call);
    if (v->decision != want || (v->rule ? v->rule->id : 0) != rule || v->unknown != unknown) {
        printf("%.*s: expected %s by %llu (unknown %d), came %s by %llu (unknown %d)\n",
               SPAN_ARG(t->call.body), rules_decision_name(want), (unsigned long long)rule, unknown,
               rules_decision_name(v->decision), (unsigned long long)(v->rule ? v->rule->id : 0),
               v->unknown);
        fail();
    }
}

static void path(struct test_call *t, const char *method, const char *p)
{
    t->head.method = span_cstr(method);
    t->head.path = span_cstr(p);
}

static const char limits[] =
    CONNECTIONS "rules:\n"
                "  - {id: 10, name: transfers, on: stripe.transfer.create, then: allow}\n"
                "  - {id: 20, name: limit, on: stripe.transfer.create, when: body.amount > 50000, "
                "then: block, message: too much}\n"
                "  - {id: 30, name: small refunds, on: stripe.refund.create, when: body.amount <= "
                "1000, then: allow}\n"
                "  - {id: 31, name: refunds, on: stripe.refund.create, when: body.amount > 1000, "
                "then: hold}\n"
                "  - {id: 40, name: read, on: '*.read', then: allow}\n";

static void an_amount_over_the_limit_however_it_is_written(void **state)
{
    static const struct {
        enum body_type type;
        const char *body;
        enum rules_decision want;
        uint64_t rule;
        bool unknown;
    } rows[] = {
        {BODY_JSON, "{\"amount\": 50000}", RULES_ALLOW, 10, false},
        {BODY_JSON, "{\"amount\": 50000.0}", RULES_ALLOW, 10, false},
        {BODY_JSON, "{\"amount\": 5e4}", RULES_ALLOW, 10, false},
        {BODY_JSON, "{\"amount\": -1}", RULES_ALLOW, 10, false},
        {BODY_JSON, "{\"amount\": 50001}", RULES_BLOCK, 20, false},
        {BODY_JSON, "{\"amount\": 50000.01}", RULES_BLOCK, 20, false},
        {BODY_JSON, "{\"amount\": 1e9}", RULES_BLOCK, 20, false},
        {BODY_JSON, "{\"amount\": 1e999999999999999999999}", RULES_BLOCK, 20, false},
        {BODY_JSON, "{\"\\u0061mount\": 50001}", RULES_BLOCK, 20, false},
        {BODY_JSON, "{\"amount\": \"1e9\"}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": \"1\"}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": null}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": [1]}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": 1, \"amount\": 2}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": 1, \"amoun\\u0074\": 90000}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{}", RULES_BLOCK, 20, true},
        {BODY_JSON, "{\"amount\": 1", RULES_BLOCK, 20, true},
        {BODY_JSON, "", RULES_BLOCK, 20, true},
        {BODY_JSON, "amount=1", RULES_BLOCK, 20, true},
        {BODY_FORM, "amount=50000", RULES_ALLOW, 10, false},
        {BODY_FORM, "amount=50001", RULES_BLOCK, 20, false},
        {BODY_FORM, "amount=1e9", RULES_BLOCK, 20, false},
        {BODY_FORM, "amount=%35%30%30%30%31", RULES_BLOCK, 20, false},
        {BODY_FORM, "amount=abc", RULES_BLOCK, 20, true},
        {BODY_FORM, "amount=", RULES_BLOCK, 20, true},
        {BODY_FORM, "amount=1&amount=2", RULES_BLOCK, 20, true},
        {BODY_FORM, "amount=%zz", RULES_BLOCK, 20, true},
        {BODY_FORM, "other=1", RULES_BLOCK, 20, true},
        {BODY_OTHER, "{\"amount\": 1}", RULES_BLOCK, 20, true},
        {BODY_NONE, "", RULES_BLOCK, 20, true},
        {BODY_NONE, "{\"amount\": 1}", RULES_BLOCK, 20, true},
    };
    struct rules_set *s = test_set(limits);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_body(&t, rows[i].type, rows[i].body);
        expect(s, &t, rows[i].want, rows[i].rule, rows[i].unknown);
    }
    rules_free(s);
}

static void unknown_is_never_yes(void **state)
{
    struct rules_set *s = test_set(limits);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "POST", "/v1/refunds");
    test_body(&t, BODY_JSON, "{\"amount\": 5}");
    expect(s, &t, RULES_ALLOW, 30, false);
    test_body(&t, BODY_JSON, "{\"amount\": 5000}");
    expect(s, &t, RULES_HOLD, 31, false);
    test_body(&t, BODY_JSON, "{\"amount\": \"5\"}"); /* 30 does not allow, 31 holds */
    expect(s, &t, RULES_HOLD, 31, true);
    for (unsigned p = BODY_PROBLEM_EMPTY; p < BODY_PROBLEM_COUNT; p++) {
        test_body(&t, BODY_JSON, "{\"amount\": 5}");
        t.call.body_problem = (enum body_problem)p;
        expect(s, &t, RULES_HOLD, 31, true);
    }
    rules_free(s);
}

static void a_body_that_nobody_asks_about_stops_nothing(void **state)
{
    struct rules_set *s = test_set(limits);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "GET", "/v1/charges");
    test_body(&t, BODY_JSON, "not json");
    expect(s, &t, RULES_ALLOW, 40, false);
    assert_false(t.call.function->needs_body);
    path(&t, "POST", "/v1/transfers");
    test_route(&t, s, "api.stripe.com");
    assert_true(t.call.function->needs_body);
    rules_free(s);
}

static void nothing_matched_is_a_block(void **state)
{
    struct rules_set *s = test_set(limits);
    struct test_call t;
    const struct rules_verdict *v;

    (void)state;
    test_call_init(&t);
    path(&t, "POST", "/v1/charges/ch_1/capture"); /* a function that no rule is on */
    expect(s, &t, RULES_BLOCK, 0, false);
    path(&t, "DELETE", "/v1/customers/cus_1"); /* no function */
    expect(s, &t, RULES_BLOCK, 0, false);
    v = decide(s, &t.call);
    assert_null(v->rule);
    assert_int_equal(v->nmatched, 0);
    assert_int_equal(v->more, 0);
    rules_free(s);
}

static void the_strictest_wins_then_the_lowest_id(void **state)
{
    struct rules_set *s =
        test_set(CONNECTIONS "rules:\n"
                             "  - {id: 9, name: n, on: stripe.*, then: block, when: "
                             "'request.size > 100'}\n"
                             "  - {id: 8, name: n, on: stripe.*, then: block, when: "
                             "'request.size >= 101'}\n"
                             "  - {id: 1, name: n, on: '*', then: allow}\n"
                             "  - {id: 5, name: n, on: stripe.*, then: hold, when: "
                             "'request.size > 10'}\n"
                             "  - {id: 4, name: n, on: stripe.*, then: hold, when: "
                             "'request.size >= 11'}\n"
                             "  - {id: 3, name: n, on: '*', then: hold, when: "
                             "'request.size > 9999'}\n");
    static const uint64_t all[] = {8, 9, 4, 5, 1};
    const struct rules_verdict *v;
    struct test_call t;

    (void)state;
    test_call_init(&t);
    expect(s, &t, RULES_ALLOW, 1, false);
    t.call.body_size = 50;
    expect(s, &t, RULES_HOLD, 4, false);
    t.call.body_size = 500;
    expect(s, &t, RULES_BLOCK, 8, false);
    v = decide(s, &t.call);
    assert_int_equal(v->nmatched, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(v->matched[i].rule->id, all[i]);
    rules_free(s);
}

static void reports_decide_nothing_and_off_is_off(void **state)
{
    struct rules_set *s = test_set(
        CONNECTIONS
        "rules:\n"
        "  - {id: 1, name: n, on: stripe.read, then: allow}\n"
        "  - {id: 2, name: n, on: stripe.*, then: block, mode: report}\n"
        "  - {id: 3, name: n, on: stripe.*, then: block, mode: 'off'}\n"
        "  - {id: 4, name: n, on: stripe.*, then: hold, mode: report, when: body.amount > 1}\n"
        "  - {id: 5, name: n, on: stripe.transfer.create, then: allow, mode: report}\n");
    const struct rules_verdict *v;
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "GET", "/v1/x");
    expect(s, &t, RULES_ALLOW, 1, false);
    v = decide(s, &t.call);
    assert_int_equal(v->nmatched, 3);
    assert_int_equal(v->matched[0].rule->id, 2);
    assert_true(v->matched[0].reported && !v->matched[0].unknown);
    assert_int_equal(v->matched[1].rule->id, 4);
    assert_true(v->matched[1].reported && v->matched[1].unknown);
    assert_int_equal(v->matched[2].rule->id, 1);
    assert_false(v->matched[2].reported);
    path(&t, "POST", "/v1/transfers");
    expect(s, &t, RULES_BLOCK, 0, false); /* an allow that only reports allows nothing */
    assert_int_equal(rules_count(s), 5);
    rules_free(s);
}

static void an_expired_rule_stops_allowing_and_keeps_blocking(void **state)
{
    struct rules_set *s =
        test_set(CONNECTIONS "rules:\n"
                             "  - {id: 1, name: n, on: stripe.read, then: allow, expires: "
                             "'2026-09-22T00:00:00Z'}\n"
                             "  - {id: 2, name: n, on: stripe.refund.create, then: hold, "
                             "expires: 2026-09-01}\n"
                             "  - {id: 3, name: n, on: stripe.transfer.create, then: block, "
                             "expires: 2026-09-01}\n"
                             "  - {id: 4, name: n, on: stripe.transfer.create, then: allow}\n");
    const uint64_t end = rules_at(s, 0)->expires_ns;
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "GET", "/v1/x");
    t.call.now_ns = end - 1;
    expect(s, &t, RULES_ALLOW, 1, false);
    t.call.now_ns = end;
    expect(s, &t, RULES_BLOCK, 0, false);
    path(&t, "POST", "/v1/refunds");
    expect(s, &t, RULES_HOLD, 2, false);
    path(&t, "POST", "/v1/transfers");
    expect(s, &t, RULES_BLOCK, 3, false);
    rules_free(s);
}

/* A call that is no function: only a rule that names it lets it through; a glob may block it. */
static void unlisted_must_be_named(void **state)
{
    static const struct {
        const char *rule;
        enum rules_decision want;
        uint64_t by;
    } rows[] = {
        {"on: '*', then: allow", RULES_BLOCK, 0},
        {"on: stripe.*, then: allow", RULES_BLOCK, 0},
        {"on: stripe.u*, then: block", RULES_BLOCK, 1},
        {"on: stripe.unlisted, then: allow", RULES_ALLOW, 1},
        {"on: '*.unlisted', then: allow", RULES_ALLOW, 1},
        {"on: stripe.*, then: hold", RULES_BLOCK, 0},
        {"on: stripe.unlisted, then: hold", RULES_HOLD, 1},
        {"on: '*', then: block", RULES_BLOCK, 1},
    };
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "DELETE", "/v1/everything");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[2000];
        struct rules_set *s;

        snprintf(text, sizeof(text), CONNECTIONS "rules:\n  - {id: 1, name: n, %s}\n",
                 rows[i].rule);
        s = test_set(text);
        expect(s, &t, rows[i].want, rows[i].by, false);
        rules_free(s);
    }
}

static void conditions_see_the_whole_call(void **state)
{
    struct rules_set *s = test_set(
        CONNECTIONS "rules:\n"
                    "  - id: 1\n"
                    "    name: captures\n"
                    "    on: [stripe.charge.capture, stripe.read]\n"
                    "    then: allow\n"
                    "    when: >\n"
                    "      params.charge.startsWith(\"ch_\") &&\n"
                    "      \"finance\" in caller.groups && caller.claims.level >= 3 &&\n"
                    "      request.query[\"dry\"] == \"1\" && request.headers[\"x-mode\"] == "
                    "\"test\"\n");
    struct test_call t;

    (void)state;
    test_call_init(&t);
    path(&t, "POST", "/v1/charges/ch_7/capture");
    expect(s, &t, RULES_BLOCK, 0, false);
    t.caller.claims = SPAN_LIT("{\"level\": 3}");
    t.head.query = SPAN_LIT("dry=1");
    test_field(&t, "X-Mode", "test");
    expect(s, &t, RULES_ALLOW, 1, false);
    t.caller.claims = SPAN_LIT("{\"level\": 3, \"level\": 3}");
    expect(s, &t, RULES_BLOCK, 0, false);
    t.caller.claims = SPAN_LIT("{\"level\": 3}");
    t.head.query = SPAN_LIT("dry=1&dry=1");
    expect(s, &t, RULES_BLOCK, 0, false);
    rules_free(s);
}

static void more_matches_than_a_verdict_names(void **state)
{
    char text[20000], *at = text;
    const struct rules_verdict *v;
    struct rules_set *s;
    struct test_call t;

    (void)state;
    at += sprintf(at, CONNECTIONS "rules:\n");
    for (unsigned i = 1; i <= 50; i++)
        at += sprintf(at, "  - {id: %u, name: n, on: '*', then: %s, when: request.size < %u}\n", i,
                      i == 50 ? "block" : "allow", i);
    s = test_set(text);
    test_call_init(&t);
    expect(s, &t, RULES_BLOCK, 50, false);
    v = decide(s, &t.call);
    assert_int_equal(v->nmatched, RULES_MATCHED_MAX);
    assert_int_equal(v->more, 50 - RULES_MATCHED_MAX);
    rules_free(s);
}

/* One scratch for sets of very different size, as a worker keeps it over reloads. */
static void a_scratch_serves_every_set_that_it_adopted(void **state)
{
    struct rules_set *small = test_set(CONNECTIONS), *large = test_set(limits);
    struct rules_scratch *x = rules_scratch_new();
    struct rules_verdict v;
    struct test_call t;

    (void)state;
    test_call_init(&t);
    test_body(&t, BODY_JSON, "{\"amount\": 60000}");
    for (unsigned i = 0; i < 4; i++) {
        struct rules_set *s = i % 2 ? large : small;

        assert_true(rules_scratch_adopt(x, s));
        test_route(&t, s, "api.stripe.com");
        rules_decide(s, x, &t.call, &v);
        assert_int_equal(v.decision, RULES_BLOCK);
        assert_int_equal(v.rule ? v.rule->id : 0, i % 2 ? 20 : 0);
    }
    rules_scratch_free(x);
    rules_free(small);
    rules_free(large);
}

/* Ten thousand rules cost only what may match: the function's own. */
static void what_a_decision_costs(void **state)
{
    char *text = malloc(4 << 20), *at = text;
    static struct rules_verdict v;
    struct rules_scratch *x;
    struct rules_set *s;
    struct test_call t;
    uint64_t start;

    (void)state;
    at += sprintf(at, CONNECTIONS "rules:\n");
    for (unsigned i = 0; i < 9980; i++)
        at += sprintf(at,
                      "  - {id: %u, name: n, on: stripe.refund.create, then: block, when: "
                      "'body.f%u == %u'}\n",
                      i + 100, i % 1000, i);
    for (unsigned i = 0; i < 20; i++)
        at += sprintf(at,
                      "  - {id: %u, name: n, on: stripe.transfer.create, then: %s, when: "
                      "'body.f%u > %u && caller.id == \"alice\"'}\n",
                      i + 1, i ? "block" : "allow", i % 10, i ? 1000 + i : 0);
    start = test_cpu_ns();
    s = test_set(text);
    printf("%u rules loaded in %.0f ms\n", rules_count(s), (double)(test_cpu_ns() - start) / 1e6);
    x = scratch_for(s);
    test_call_init(&t);
    test_body(&t, BODY_JSON,
              "{\"f0\": 10, \"f1\": 11, \"f2\": 12, \"f3\": 13, \"f4\": 14, \"f5\": 15,"
              " \"f6\": 16, \"f7\": 17, \"f8\": 18, \"f9\": 19, \"note\": \"of no interest\"}");
    test_route(&t, s, "api.stripe.com");
    start = test_cpu_ns();
    for (unsigned i = 0; i < 200000; i++)
        rules_decide(s, x, &t.call, &v);
    printf("%.0f ns a decision: 20 candidates, 10 fields, %zu bytes of JSON\n",
           (double)(test_cpu_ns() - start) / 2e5, t.call.body.n);
    assert_int_equal(v.decision, RULES_ALLOW);
    assert_int_equal(v.rule->id, 1);
    path(&t, "GET", "/v1/x");
    test_route(&t, s, "api.stripe.com");
    start = test_cpu_ns();
    for (unsigned i = 0; i < 200000; i++)
        rules_decide(s, x, &t.call, &v);
    printf("%.0f ns a decision without candidates\n", (double)(test_cpu_ns() - start) / 2e5);
    rules_scratch_free(x);
    rules_free(s);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_amount_over_the_limit_however_it_is_written),
        cmocka_unit_test(unknown_is_never_yes),
        cmocka_unit_test(a_body_that_nobody_asks_about_stops_nothing),
        cmocka_unit_test(nothing_matched_is_a_block),
        cmocka_unit_test(the_strictest_wins_then_the_lowest_id),
        cmocka_unit_test(reports_decide_nothing_and_off_is_off),
        cmocka_unit_test(an_expired_rule_stops_allowing_and_keeps_blocking),
        cmocka_unit_test(unlisted_must_be_named),
        cmocka_unit_test(conditions_see_the_whole_call),
        cmocka_unit_test(more_matches_than_a_verdict_names),
        cmocka_unit_test(a_scratch_serves_every_set_that_it_adopted),
        cmocka_unit_test(what_a_decision_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
