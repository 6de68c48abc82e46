/* Issuers' expressions over claims, sources by address, and the example that is shipped. */
#include "rules_test.h"

static const char issuers[] = "issuers:\n"
                              "  github:\n"
                              "    issuer: https://token.actions.githubusercontent.com\n"
                              "    audience: turnpike\n"
                              "    keys: {file: jwks.json}\n"
                              "    caller: claims.repository + \"@\" + claims.ref\n"
                              "    groups:\n"
                              "      ci: claims.environment == \"production\"\n"
                              "      'team-*': claims.teams\n"
                              "      'fixed-*': '[\"a\", \"b\"]'\n"
                              "    skew: 10s\n"
                              "  plain: {issuer: i, audience: a, keys: {file: /etc/keys.json}}\n";

static void an_issuer_as_written(void **state)
{
    struct rules_set *s = test_set(issuers);
    const struct rules_issuer *g = rules_issuer_at(s, 0), *p = rules_issuer_at(s, 1);

    (void)state;
    assert_int_equal(rules_issuer_count(s), 2);
    assert_true(span_eq(g->name, SPAN_LIT("github")));
    assert_true(span_eq(g->issuer, SPAN_LIT("https://token.actions.githubusercontent.com")));
    assert_true(span_eq(g->audience, SPAN_LIT("turnpike")));
    assert_true(span_starts(g->keys_file, SPAN_LIT("/tmp/rules-test-")));
    assert_true(span_ends(g->keys_file, SPAN_LIT("/jwks.json")));
    assert_int_equal(g->keys_place.line, 5);
    assert_int_equal(g->skew_ns, 10000000000);
    assert_int_equal(g->ngroups, 3);
    assert_true(span_eq(p->keys_file, SPAN_LIT("/etc/keys.json")));
    assert_null(p->caller);
    assert_int_equal(p->skew_ns, 30000000000);
    rules_free(s);
}

static void text_from_claims(void **state)
{
    static const struct {
        const char *claims, *want; /* NULL: no answer */
    } rows[] = {
        {"{\"repository\": \"acme/x\", \"ref\": \"main\"}", "acme/x@main"},
        {"{\"repository\": \"a\\u0063me\", \"ref\": \"\\\"q\\\"\"}", "acme@\"q\""},
        {"{\"repository\": \"acme/x\"}", NULL},
        {"{\"repository\": \"acme/x\", \"ref\": 5}", NULL},
        {"{\"repository\": \"acme/x\", \"ref\": null}", NULL},
        {"{\"repository\": \"a\", \"ref\": \"b\", \"ref\": \"c\"}", NULL},
        {"{\"repository\": \"a\", \"ref\": \"b\"", NULL},
        {"", NULL},
    };
    struct rules_set *s = test_set(issuers);
    const struct rules_expr *e = rules_issuer_at(s, 0)->caller;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena mem = ARENA_INIT;
        struct span out = SPAN_LIT("untouched");
        bool got = rules_expr_text(e, span_cstr(rows[i].claims), &mem, &out);

        if (got != (rows[i].want != NULL) ||
            !span_eq(out, span_cstr(rows[i].want ? rows[i].want : "untouched")))
            fail_msg("%s: expected %s, came %.*s", rows[i].claims,
                     rows[i].want ? rows[i].want : "nothing", SPAN_ARG(out));
        arena_free(&mem);
    }
    rules_free(s);
}

static void groups_from_claims(void **state)
{
    static const struct {
        const char *claims;
        int n; /* -1: no answer */
        const char *last;
    } rows[] = {
        {"{\"teams\": [\"risk\", \"o\\u0070s\"]}", 2, "ops"},
        {"{\"teams\": []}", 0, NULL},
        {"{\"teams\": [\"a\",\"b\",\"c\",\"d\"]}", 4, "d"},
        {"{\"teams\": [\"a\",\"b\",\"c\",\"d\",\"e\"]}", -1, NULL}, /* no room */
        {"{\"teams\": [\"a\", 5]}", -1, NULL},
        {"{\"teams\": [\"a\", [\"b\"]]}", -1, NULL},
        {"{\"teams\": \"a\"}", -1, NULL},
        {"{\"teams\": {\"a\": 1}}", -1, NULL},
        {"{}", -1, NULL},
        {"{\"teams\": [\"a\"], \"teams\": [\"b\"]}", -1, NULL},
    };
    struct rules_set *s = test_set(issuers);
    const struct rules_issuer *g = rules_issuer_at(s, 0);
    struct arena mem = ARENA_INIT;
    struct span out[4];
    unsigned n;
    bool yes;

    (void)state;
    assert_true(
        rules_expr_bool(g->groups[0].expr, SPAN_LIT("{\"environment\": \"production\"}"), &yes));
    assert_true(yes);
    assert_true(rules_expr_bool(g->groups[0].expr, SPAN_LIT("{\"environment\": \"dev\"}"), &yes));
    assert_false(yes);
    assert_false(rules_expr_bool(g->groups[0].expr, SPAN_LIT("{}"), &yes));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool got = rules_expr_list(g->groups[1].expr, span_cstr(rows[i].claims), &mem, out, 4, &n);

        if (got != (rows[i].n >= 0) || n != (got ? (unsigned)rows[i].n : 0) ||
            (rows[i].last && !span_eq(out[n - 1], span_cstr(rows[i].last))))
            fail_msg("%s: expected %d, came %d %u", rows[i].claims, rows[i].n, got, n);
    }
    assert_true(rules_expr_list(g->groups[2].expr, SPAN_LIT("{}"), &mem, out, 4, &n));
    assert_int_equal(n, 2);
    assert_true(span_eq(out[1], SPAN_LIT("b")));
    arena_free(&mem);
    rules_free(s);
}

static void the_longest_prefix_names_the_source(void **state)
{
    static const struct {
        const char *address, *want;
    } rows[] = {
        {"10.1.2.3", "host"},    {"10.1.2.4", "net"},  {"10.1.3.4", "site"},
        {"10.2.3.4", "all"},     {"fd00:1::5", "six"}, {"fd00:2::5", NULL},
        {"fd00:1:0:1::5", NULL}, {"10.1.2.0", "net"},  {"10.1.2.255", "net"},
    };
    struct rules_set *s = test_set("sources:\n"
                                   "  all: {address: 0.0.0.0/0}\n"
                                   "  host: {address: 10.1.2.3, groups: [a, b]}\n"
                                   "  net: {address: 10.1.2.0/24}\n"
                                   "  site: {address: 10.1.0.0/16}\n"
                                   "  six: {address: 'fd00:1::/64'}\n");

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rules_source *x;
        struct net_addr a;

        assert_true(net_addr_parse(span_cstr(rows[i].address), &a));
        x = rules_source_for(s, &a);
        if (!x != !rows[i].want || (x && !span_eq(x->name, span_cstr(rows[i].want))))
            fail_msg("%s: expected %s, came %.*s", rows[i].address,
                     rows[i].want ? rows[i].want : "none", x ? (int)x->name.n : 4,
                     x ? x->name.p : "none");
        if (x && span_eq(x->name, SPAN_LIT("host")))
            assert_int_equal(x->ngroups, 2);
    }
    rules_free(s);
}

/* ------------------------------------------------------------- the example */

static struct rules_set *example(void)
{
    struct diags d;
    struct rules_set *s;

    diags_init(&d);
    s = rules_load(RULES_EXAMPLE, TEST_NOW, &d);
    if (d.count)
        diags_print(&d, stdout, false);
    assert_non_null(s);
    assert_int_equal(d.count, 0); /* no warning either */
    diags_free(&d);
    return s;
}

static void the_example_decides_as_it_says(void **state)
{
    static const struct {
        const char *host, *method, *path;
        enum body_type type;
        const char *body;
        const char *function;
        enum rules_decision want;
        uint64_t rule;
    } rows[] = {
        {"api.stripe.com", "GET", "/v1/charges/ch_1", BODY_NONE, "", "stripe.charge.read",
         RULES_ALLOW, 1000},
        {"api.stripe.com", "GET", "/v1/disputes", BODY_NONE, "", "stripe.read", RULES_ALLOW, 1000},
        {"api.stripe.com", "POST", "/v1/transfers", BODY_FORM, "amount=500&currency=usd",
         "stripe.transfer.create", RULES_ALLOW, 1100},
        {"api.stripe.com", "POST", "/v1/transfers", BODY_FORM, "amount=50001&currency=usd",
         "stripe.transfer.create", RULES_BLOCK, 1110},
        {"api.stripe.com", "POST", "/v1/transfers", BODY_FORM, "amount=500&currency=jpy",
         "stripe.transfer.create", RULES_BLOCK, 1120},
        {"api.stripe.com", "POST", "/v1/transfers", BODY_FORM, "currency=usd",
         "stripe.transfer.create", RULES_BLOCK, 1110},
        {"api.stripe.com", "POST", "/v1/refunds", BODY_FORM, "charge=ch_1", "stripe.refund.create",
         RULES_HOLD, 1200},
        {"api.stripe.com", "POST", "/v1/payouts", BODY_FORM, "amount=5", "stripe.payout.create",
         RULES_HOLD, 1300},
        {"api.stripe.com", "POST", "/v1/payouts", BODY_FORM, "amount=5000000",
         "stripe.payout.create", RULES_BLOCK, 0},
        {"api.stripe.com", "DELETE", "/v1/customers/cus_1", BODY_NONE, "", "stripe.customer.delete",
         RULES_BLOCK, 0},
        {"api.stripe.com", "POST", "/v1/webhook_endpoints", BODY_NONE, "", "stripe.unlisted",
         RULES_BLOCK, 0},
        {"api.openai.com", "POST", "/v1/chat/completions", BODY_JSON, "{\"model\": \"gpt-5-mini\"}",
         "openai.chat.create", RULES_ALLOW, 2010},
        {"api.openai.com", "POST", "/v1/chat/completions", BODY_JSON, "{\"model\": \"gpt-5\"}",
         "openai.chat.create", RULES_BLOCK, 0},
        {"api.openai.com", "POST", "/v1/files", BODY_OTHER, "--x", "openai.file.create", RULES_HOLD,
         2030},
        {"api.anthropic.com", "POST", "/v1/messages", BODY_JSON, "{\"max_tokens\": 1024}",
         "anthropic.message.create", RULES_ALLOW, 2020},
        {"api.anthropic.com", "POST", "/v1/messages", BODY_JSON, "{\"max_tokens\": 100000}",
         "anthropic.message.create", RULES_BLOCK, 0},
        {"api.twilio.com", "POST", "/2010-04-01/Accounts/AC1/Messages.json", BODY_FORM,
         "To=%2B49301&Body=hi", "twilio.message.create", RULES_BLOCK, 0}, /* not of group ci */
    };
    struct rules_set *s = example();
    struct rules_scratch *x = rules_scratch_new();
    static struct rules_verdict v;
    struct test_call t;

    (void)state;
    assert_true(rules_scratch_adopt(x, s));
    test_call_init(&t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        t.head.method = span_cstr(rows[i].method);
        t.head.path = span_cstr(rows[i].path);
        test_body(&t, rows[i].type, rows[i].body);
        test_route(&t, s, rows[i].host);
        assert_true(span_eq(t.call.function->name, span_cstr(rows[i].function)));
        rules_decide(s, x, &t.call, &v);
        if (v.decision != rows[i].want || (v.rule ? v.rule->id : 0) != rows[i].rule)
            fail_msg("%s %s: expected %s by %llu, came %s by %llu", rows[i].function, rows[i].body,
                     rules_decision_name(rows[i].want), (unsigned long long)rows[i].rule,
                     rules_decision_name(v.decision),
                     (unsigned long long)(v.rule ? v.rule->id : 0));
    }
    rules_scratch_free(x);
    rules_free(s);
}

/* The YAML in rules/README.md, block by block a file of one set: what is told is what works. */
static void the_readme_tells_the_truth(void **state)
{
    static char text[65536];
    FILE *f = fopen(RULES_EXAMPLE "/../README.md", "r");
    unsigned blocks = 0;
    struct test_dir t;
    struct rules_set *s;
    struct diags d;
    char name[16], *at = text, *end;

    (void)state;
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    test_dir_make(&t);
    while ((at = strstr(at, "```yaml\n"))) {
        at += 8;
        end = strstr(at, "```");
        assert_non_null(end);
        *end = 0;
        snprintf(name, sizeof(name), "%u.yaml", blocks++);
        test_dir_put(&t, name, at);
        at = end + 1;
    }
    assert_true(blocks >= 3);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    diags_print(&d, stdout, false);
    assert_non_null(s);
    assert_int_equal(d.count, 0);
    rules_free(s);
    diags_free(&d);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_issuer_as_written),
        cmocka_unit_test(text_from_claims),
        cmocka_unit_test(groups_from_claims),
        cmocka_unit_test(the_longest_prefix_names_the_source),
        cmocka_unit_test(the_example_decides_as_it_says),
        cmocka_unit_test(the_readme_tells_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
