/* What the most costly bodies cost: conditions that loop over them in each other, on bodies of as
 * many bytes as are read before a decision. The loops' budget ends them; what a decision takes
 * stays within a few readings of its body and a fixed time on top. */
#include "rules_test.h"

#include "rules/rules_internal.h"

#define BODY   ((size_t)1 << 20)
#define ROUNDS 5
#define TENS   "98765432109876543210"
#define DIGITS TENS TENS TENS TENS TENS TENS TENS TENS TENS TENS TENS TENS /* 240 */

struct bench {
    struct rules_set *set;
    struct rules_scratch *x;
    struct test_call call;
    char *body;
};

static char *filled(const char *head, const char *element, const char *tail)
{
    char *p = malloc(BODY + 1);
    size_t n = strlen(head), k = strlen(element), t = strlen(tail);

    assert_non_null(p);
    memcpy(p, head, n);
    for (; n + k + 1 + t < BODY; n += k + 1) {
        memcpy(p + n, element, k);
        p[n + k] = ',';
    }
    strcpy(p + n - 1, tail);
    return p;
}

static void open_bench(struct bench *b, const char *when, unsigned rules, char *body)
{
    char *text = malloc(4096 + rules * (strlen(when) + 200));
    size_t n = (size_t)sprintf(text, "connections: {x: {hosts: [h.example], functions: {f: "
                                     "POST /v1/transfers}}}\nrules:\n");

    for (unsigned i = 0; i < rules; i++)
        n +=
            (size_t)sprintf(text + n,
                            "  - {id: %u, name: n, on: x.f, then: hold, hold: {groups: [a]}, when: "
                            "'%s && %u != size(function)'}\n",
                            i + 1, when, i + 100);
    b->set = test_set(text);
    free(text);
    b->x = rules_scratch_new();
    assert_true(b->x && rules_scratch_adopt(b->x, b->set));
    test_call_init(&b->call);
    test_route(&b->call, b->set, "h.example");
    test_body(&b->call, BODY_JSON, body);
    b->body = body;
}

static void close_bench(struct bench *b)
{
    rules_scratch_free(b->x);
    rules_free(b->set);
    free(b->body);
}

/* CPU time of the quickest of some decisions, in nanoseconds. */
static uint64_t decide(struct bench *b, struct rules_verdict *v)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = test_cpu_ns(), took;

        rules_decide(b->set, b->x, &b->call.call, v);
        took = test_cpu_ns() - start;
        best = took < best ? took : best;
    }
    return best;
}

static const struct {
    const char *what, *head, *element, *tail, *when;
    unsigned rules;
} cases[] = {
    {"empty arrays", "{\"l\":[", "[]", "]}", "body.l.exists(i, i.exists(j, j.exists(k, k > 5)))",
     1},
    {"arrays of numbers", "{\"l\":[", "[1,2,3,4,5,6,7]", "]}",
     "body.l.exists(i, i.exists(j, i.exists(k, j + k > 50)))", 1},
    {"numbers", "{\"l\":[", "1", "]}", "body.l.exists(i, body.l.exists(j, i + j > 5))", 1},
    {"objects", "{\"l\":[", "{\"n\":1,\"s\":\"\\u0061\"}", "]}",
     "body.l.exists(i, i.n > 5 || i.s == \"x\")", 1},
    {"objects, each with each", "{\"l\":[", "{\"n\":1,\"s\":\"\\u0061\"}", "]}",
     "body.l.exists(i, body.l.exists(j, i.n > 5 && j.n > 5 || i.s + j.s == \"x\"))", 1},
    {"one large element", "{\"l\":[[", "1", "]]}",
     "body.l.exists(i, i.exists(j, i.exists(k, k + j > 5 && i[0] == 3)))", 1},
    {"one large string", "{\"l\":[[\"", "abcdefgh\\u0061", "\"]]}",
     "body.l.exists(i, i.exists(j, j.matches(\"x.*y.*z\") || i.exists(k, k == j + \"x\")))", 1},
    {"long numbers", "{\"l\":[", "123456789012345678901234567890123456789012345678901234567890e-30",
     "]}", "body.l.exists(i, body.l.exists(j, i * j / (i + j) % 7 > 5))", 1},
    {"numbers at the bound", "{\"l\":[", DIGITS, "]}",
     "body.l.exists(i, body.l.exists(j, i / j % 7 > 5))", 1},
    {"products", "{\"l\":[", "99999999999", "]}",
     "body.l.exists(i, body.l.exists(j, i * j * i * j > 5e99))", 1},
    {"sums", "{\"l\":[", DIGITS ".5", "]}", "body.l.exists(i, body.l.exists(j, i + j - i > 5e299))",
     1},
    {"zeros", "{\"l\":[1,", "0", "],\"n\":0.0000000}",
     "body.l.exists(i, body.l.exists(j, i * j * i * j > 5e99))", 1},
    {"twenty rules", "{\"l\":[", "{\"n\":1,\"s\":\"\\u0061\"}", "]}",
     "body.l.exists(i, body.l.exists(j, i.n > 5 && j.n > 5 || i.s + j.s == \"x\"))", 20},
    {"twenty lookups", "{\"l\":[", "\"\\u0061bc\"", "]}", "\"x\" in body.l", 20},
    {"twenty patterns", "{\"l\":\"", "abcdefgh\\u0061", "\"}", "body.l.matches(\"x.*y.*z\")", 20},
};

/* Times of a machine and a build are told by what it takes to read a megabyte of small numbers:
 * some 3 ms. */
static uint64_t yardstick(void)
{
    struct rules_verdict v;
    struct bench b;
    uint64_t took;

    open_bench(&b, "body.l == 1", 1, filled("{\"l\":[", "1", "]}"));
    took = decide(&b, &v);
    close_bench(&b);
    return took;
}

static void the_worst_bodies_are_bounded(void **state)
{
    uint64_t most = yardstick() * 8;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rules_verdict v;
        struct bench plain, b;
        uint64_t reading, all;

        open_bench(&plain, "body.l == 1", 1,
                   filled(cases[i].head, cases[i].element, cases[i].tail));
        open_bench(&b, cases[i].when, cases[i].rules,
                   filled(cases[i].head, cases[i].element, cases[i].tail));
        reading = decide(&plain, &v);
        all = decide(&b, &v);
        printf("%-24s reading %7.3f ms, decision %7.3f ms, %s\n", cases[i].what,
               (double)reading / 1e6, (double)all / 1e6,
               !v.rule     ? "false"
               : v.unknown ? "unknown"
                           : "true");
        close_bench(&plain);
        close_bench(&b);
        if (all > most)
            fail_msg("that is more than %.3f ms", (double)most / 1e6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_worst_bodies_are_bounded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
