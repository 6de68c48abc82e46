/* What rules on one function have in common is looked at once: each must still match exactly as if
 * it stood alone. */
#include "rules_test.h"

#define RULES  7
#define BODIES 40

static const char *const pool[] = {
    "body.a == 1",
    "body.b > 5",
    "(body.a == 1 || body.c == 'x')",
    "!(body.b > 5)",
    "has(body.d)",
    "body.flag",
    "body.c in ['x', 'y', 'z']",
    "body.a in body.list",
    "body.list.exists(i, i == body.a)",
    "body.b + 1 > 6",
    "body.c.startsWith('x') && body.b > 5",
    "(has(body.d) ? body.d == 2 : body.a == 1)",
    "request.size > 60",
    "'staff' in caller.groups",
    "body.list[0] == 1",
    "body.c != null",
};
enum { POOL = sizeof(pool) / sizeof(pool[0]) };

static const char *const values[] = {
    "\"a\": 1",     "\"a\": 2",         "\"b\": 9",     "\"b\": \"9\"",    "\"c\": \"x\"",
    "\"c\": \"q\"", "\"c\": null",      "\"d\": 2",     "\"d\": [1]",      "\"flag\": true",
    "\"flag\": 7",  "\"list\": [1, 2]", "\"list\": []", "\"list\": \"1\"",
};
enum { VALUES = sizeof(values) / sizeof(values[0]) };

static const char connection[] =
    "connections:\n  x: {hosts: [x.example], identify: [], functions: {f: POST /f}}\nrules:\n";

/* A condition of its own at some place among some of the pool. */
static void random_when(uint64_t *seed, unsigned id, char out[512])
{
    unsigned n = 1 + (unsigned)(test_random(seed) % 4),
             own = (unsigned)(test_random(seed) % (n + 1));
    char *at = out;

    for (unsigned i = 0; i <= n; i++) {
        at += sprintf(at, "%s", i ? " && " : "");
        at += i == own ? sprintf(at, "body.z != %u", id)
                       : sprintf(at, "%s", pool[test_random(seed) % POOL]);
    }
}

static struct rules_set *set_of(char when[RULES][512], unsigned first, unsigned n)
{
    static const char *const then[] = {"block", "hold", "allow"};
    char text[RULES * 700], *at = text + sprintf(text, "%s", connection);

    for (unsigned i = first; i < first + n; i++)
        at += sprintf(at, "  - {id: %u, name: r, on: x.f, then: %s, when: \"%s\"}\n", i + 1,
                      then[i % 3], when[i]);
    return test_set(text);
}

static void random_body(uint64_t *seed, char out[512])
{
    char *at = out + sprintf(out, "{\"z\": 0");

    for (unsigned i = 0, n = (unsigned)(test_random(seed) % 6); i < n; i++)
        at += sprintf(at, ", %s", values[test_random(seed) % VALUES]); /* now and then twice */
    sprintf(at, "}");
}

static void decide(const struct rules_set *s, const char *body, struct rules_verdict *v)
{
    struct rules_scratch *x = rules_scratch_new();
    struct test_call t;

    assert_true(rules_scratch_adopt(x, s));
    test_call_init(&t);
    t.head.path = SPAN_LIT("/f");
    test_body(&t, BODY_JSON, body);
    test_route(&t, s, "x.example");
    rules_decide(s, x, &t.call, v);
    rules_scratch_free(x);
}

/* "-", "1", "?": does not match, matches, matches because it is unknown */
static char matched(const struct rules_verdict *v, uint64_t id)
{
    for (unsigned i = 0; i < v->nmatched; i++)
        if (v->matched[i].rule->id == id)
            return v->matched[i].unknown ? '?' : '1';
    return '-';
}

static void each_rule_is_as_if_alone(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        char when[RULES][512], body[512];
        struct rules_set *all, *alone[RULES];
        struct rules_verdict together, one;

        for (unsigned i = 0; i < RULES; i++)
            random_when(&seed, i + 1, when[i]);
        all = set_of(when, 0, RULES);
        for (unsigned i = 0; i < RULES; i++)
            alone[i] = set_of(when, i, 1);
        for (unsigned k = 0; k < BODIES; k++) {
            random_body(&seed, body);
            decide(all, body, &together);
            for (unsigned i = 0; i < RULES; i++) {
                decide(alone[i], body, &one);
                if (matched(&one, i + 1) != matched(&together, i + 1))
                    fail_msg("%s on %s: alone %c, together %c", when[i], body, matched(&one, i + 1),
                             matched(&together, i + 1));
            }
        }
        rules_free(all);
        for (unsigned i = 0; i < RULES; i++)
            rules_free(alone[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_rule_is_as_if_alone)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
