/* A decision told part by part, as people read it. */
#include "rules_test.h"

static const char rules_text[] =
    "connections:\n"
    "  bank:\n"
    "    hosts: [api.bank.example]\n"
    "    functions: {pay: POST /pay}\n"
    "lists:\n"
    "  barred: [IR, KP]\n"
    "rules:\n"
    "  - {id: 1, name: a, on: bank.pay, then: allow}\n"
    "  - {id: 2, name: b, on: bank.pay, then: block,\n"
    "     when: 'body.amount > 50000 && (body.country in lists.barred || body.note == \"x\")'}\n"
    "  - {id: 3, name: c, on: bank.pay, then: hold,\n"
    "     when: 'has(body.items) && body.items.exists(i, i.price * 2 > 10)'}\n"
    "  - {id: 4, name: d, on: bank.pay, then: hold, mode: report,\n"
    "     when: '(body.big ? body.amount : 5) > body.missing'}\n";

static char told[4096];

static void tell(void *ctx, const struct rules_rule *rule, unsigned depth, struct span text,
                 struct span value)
{
    size_t n = strlen(told);

    (void)ctx;
    snprintf(told + n, sizeof(told) - n, "%llu %u %.*s: %.*s\n", (unsigned long long)rule->id,
             depth, SPAN_ARG(text), SPAN_ARG(value));
}

static void explain(const char *body, struct rules_verdict *v)
{
    struct rules_set *s = test_set(rules_text);
    struct rules_scratch *x = rules_scratch_new();
    struct rules_verdict same;
    struct test_call t;

    test_call_init(&t);
    t.head.path = SPAN_LIT("/pay");
    test_route(&t, s, "api.bank.example");
    test_body(&t, BODY_JSON, body);
    assert_true(rules_scratch_adopt(x, s));
    told[0] = 0;
    rules_explain(s, x, &t.call, v, tell, NULL);
    rules_decide(s, x, &t.call, &same);
    assert_int_equal(v->decision, same.decision);
    assert_int_equal(v->rule->id, same.rule->id);
    assert_int_equal(v->nmatched, same.nmatched);
    assert_int_equal(v->unknown, same.unknown);
    rules_scratch_free(x);
    rules_free(s);
}

static void all_parts_are_told(void **state)
{
    struct rules_verdict v;

    (void)state;
    explain("{\"amount\": 60000, \"country\": \"KP\", \"items\": [{\"price\": 1}, {\"price\": 6},"
            " {\"price\": 7}], \"big\": false}",
            &v);
    assert_int_equal(v.decision, RULES_BLOCK);
    assert_string_equal(
        told, "2 0 body.amount > 50000 && (body.country in lists.barred || body.note == \"x\"): "
              "true\n"
              "2 1 body.amount > 50000: true\n"
              "2 2 body.amount: 60000\n"
              "2 1 body.country in lists.barred || body.note == \"x\": true\n"
              "2 2 body.country in lists.barred: true\n"
              "2 3 body.country: \"KP\"\n"
              "2 2 body.note == \"x\": not evaluated\n"
              "2 3 body.note: not evaluated\n"
              "3 0 has(body.items) && body.items.exists(i, i.price * 2 > 10): true\n"
              "3 1 has(body.items): true\n"
              "3 2 body.items: [3 elements]\n"
              "3 1 body.items.exists(i, i.price * 2 > 10): true\n"
              "3 2 body.items: [3 elements]\n"
              "3 2 i.price * 2 > 10: true\n"
              "3 3 i.price * 2: 12\n"
              "3 4 i.price: 6\n"
              "4 0 (body.big ? body.amount : 5) > body.missing: unknown\n"
              "4 1 body.big ? body.amount : 5: 5\n"
              "4 2 body.big: false\n"
              "4 2 body.amount: not evaluated\n"
              "4 1 body.missing: missing\n"
              "1 0 : true\n");
}

static void what_was_not_needed_is_not_evaluated(void **state)
{
    struct rules_verdict v;

    (void)state;
    explain("{\"amount\": 5, \"amount\": 6, \"country\": \"\\u00c4\", \"items\": 5}", &v);
    assert_int_equal(v.decision, RULES_BLOCK);
    assert_true(v.unknown);
    assert_non_null(strstr(told, "2 0 body.amount > 50000 && (body.country in lists.barred || "
                                 "body.note == \"x\"): unknown\n"));
    assert_non_null(strstr(told, "2 2 body.amount: unknown\n"));
    assert_non_null(strstr(told, "2 2 body.country in lists.barred: false\n"));
    assert_non_null(strstr(told, "2 3 body.country: \"\xc3\x84\"\n"));
    assert_non_null(strstr(told, "2 3 body.note: missing\n"));
    assert_non_null(strstr(told, "3 1 body.items.exists(i, i.price * 2 > 10): unknown\n"));
    assert_non_null(strstr(told, "3 2 i.price * 2 > 10: not evaluated\n"));
    assert_non_null(strstr(told, "4 1 body.big ? body.amount : 5: unknown\n"));
    assert_non_null(strstr(told, "4 2 body.big: missing\n"));
}

static void long_texts_are_cut(void **state)
{
    static char body[2048];
    struct rules_verdict v;
    char many[1001];

    (void)state;
    memset(many, 'a', sizeof(many) - 1);
    many[sizeof(many) - 1] = 0;
    snprintf(body, sizeof(body), "{\"amount\": 60000, \"country\": \"%s\"}", many);
    explain(body, &v);
    many[80] = 0;
    snprintf(body, sizeof(body), "2 3 body.country: \"%s\"...\n", many);
    assert_non_null(strstr(told, body));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_told),
        cmocka_unit_test(what_was_not_needed_is_not_evaluated),
        cmocka_unit_test(long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
