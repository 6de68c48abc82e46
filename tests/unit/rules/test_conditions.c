/* Conditions in sets: lists, finds, loops and their bounds, patterns on what is not UTF-8, what is
 * known of every call. */
#include "rules_test.h"

#include "rules/rules_internal.h"

static const char head[] = "connections:\n"
                           "  bank:\n"
                           "    hosts: [api.bank.example]\n"
                           "    functions: {pay: POST /pay}\n";

struct world {
    struct rules_set *set;
    struct rules_scratch *x;
    struct test_call t;
    struct rules_verdict v;
};

/* One rule, of `then: block`, with this condition, and the files' other sections. */
static void world_make(struct world *w, const char *more, const char *when)
{
    static char text[1 << 20];

    snprintf(text, sizeof(text),
             "%s%srules:\n  - {id: 1, name: a, on: bank.pay, then: block, when: '%s'}\n", head,
             more, when);
    w->set = test_set(text);
    w->x = rules_scratch_new();
    assert_true(rules_scratch_adopt(w->x, w->set));
    test_call_init(&w->t);
    w->t.head.path = SPAN_LIT("/pay");
    test_route(&w->t, w->set, "api.bank.example");
}

static void world_end(struct world *w)
{
    rules_scratch_free(w->x);
    rules_free(w->set);
}

/* T, F or U */
static char says(struct world *w, const char *body)
{
    test_body(&w->t, BODY_JSON, body);
    rules_decide(w->set, w->x, &w->t.call, &w->v);
    return !w->v.rule ? 'F' : w->v.unknown ? 'U' : 'T';
}

static char once(const char *more, const char *when, const char *body)
{
    static struct world w;
    char got;

    world_make(&w, more, when);
    got = says(&w, body);
    world_end(&w);
    return got;
}

/* The first complaint about a file. */
static void refused(const char *text, const char *want)
{
    struct test_dir t;
    struct diags d;
    struct rules_set *s;

    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", text);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    assert_null(s);
    for (size_t i = 0; i < d.count; i++)
        if (d.items[i].level == DIAG_ERROR && strstr(d.items[i].message, want))
            want = NULL, i = d.count - 1;
    if (want) {
        diags_print(&d, stdout, false);
        fail_msg("expected \"%s\"", want);
    }
    diags_free(&d);
    test_dir_remove(&t);
}

/* ------------------------------------------------------------------- lists */

static const char some_lists[] = "lists:\n"
                                 "  barred: [IR, KP, NO, \"5\"]\n"
                                 "  limits: [10, 20, 3e1]\n"
                                 "  odd-name: [x]\n";
#define USES "(size(lists.barred) + size(lists.limits) + size(lists[\"odd-name\"]) != 8 || (%s))"

static char list_says(const char *when, const char *body)
{
    char text[512];

    snprintf(text, sizeof(text), USES, when);
    return once(some_lists, text, body);
}

static void lists_are_constants_with_a_name(void **state)
{
    (void)state;
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": \"KP\"}"), 'T');
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": \"kp\"}"), 'F');
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": \"NO\"}"), 'T');
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": \"5\"}"), 'T');
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": 5}"), 'U');
    assert_int_equal(list_says("body.c in lists.barred", "{\"c\": null}"), 'U');
    assert_int_equal(list_says("body.c in lists.barred", "{}"), 'U');
    assert_int_equal(list_says("body.n in lists.limits", "{\"n\": 20.0}"), 'T');
    assert_int_equal(list_says("body.n in lists.limits", "{\"n\": 30}"), 'T');
    assert_int_equal(list_says("body.n in lists.limits", "{\"n\": \"20\"}"), 'U');
    assert_int_equal(list_says("body.n in lists.limits", "{\"n\": 21}"), 'F');
    assert_int_equal(list_says("lists.barred[1] == body.c", "{\"c\": \"KP\"}"), 'T');
    assert_int_equal(list_says("lists.barred[9] == body.c", "{\"c\": \"KP\"}"), 'U');
    assert_int_equal(list_says("lists.limits.all(l, body.n < l)", "{\"n\": 9}"), 'T');
    assert_int_equal(list_says("lists.limits.exists(l, body.n == l)", "{\"n\": 9}"), 'F');
    assert_int_equal(list_says("body.c in lists[\"odd-name\"]", "{\"c\": \"x\"}"), 'T');
}

static char *with(const char *lists, const char *when)
{
    static char text[1 << 20];

    snprintf(text, sizeof(text),
             "%s%srules:\n  - {id: 1, name: a, on: bank.pay, then: block%s%s}\n", head, lists,
             when ? ", when: " : "", when ? when : "");
    return text;
}

static void lists_are_refused(void **state)
{
    static char many[200000];
    size_t n = 0;

    (void)state;
    refused(with("lists: {a: [x]}\n", NULL), "no condition uses the list `a`");
    refused(with("lists: {a: [x, 5]}\n", "body.c in lists.a"), "begins with a string");
    refused(with("lists: {a: [5, \"5\"]}\n", "body.c in lists.a"), "begins with a number");
    refused(with("lists: {a: [5, 5.0]}\n", "body.c in lists.a"), "`5.0` is in this list already");
    refused(with("lists: {a: [x, y, x]}\n", "body.c in lists.a"), "`x` is in this list already");
    refused(with("lists: {a: []}\n", "body.c in lists.a"), "1 to 10000 entries");
    refused(with("lists: {a: x}\n", "body.c in lists.a"), "1 to 10000 entries");
    refused(with("lists: {a: [[x]]}\n", "body.c in lists.a"), "a string or a number");
    refused(with("lists: {a: [\"\"]}\n", "body.c in lists.a"), "a string or a number");
    refused(with("lists: {\"a b\": [x]}\n", NULL), "one word");
    refused(with("lists: [x]\n", NULL), "must be a mapping");
    refused(with("lists: {a: [x]}\n", "5 in lists.a"), "is looked for in a list");
    refused(with("lists: {a: [x]}\n", "lists.a.b == 5"), "is a list and has no parts");
    refused(with("lists: {a: [x]}\n", "body.c in lists.b"), "there is no list `b`");
    n = (size_t)snprintf(many, sizeof(many), "lists:\n  a: [");
    for (unsigned i = 0; i < 10001; i++)
        n += (size_t)snprintf(many + n, sizeof(many) - n, "e%u, ", i);
    snprintf(many + n, sizeof(many) - n, "]\n");
    refused(with(many, "body.c in lists.a"), "1 to 10000 entries");
}

static void a_long_list_costs_no_more(void **state)
{
    static char many[200000];
    static struct world w;
    char body[64];
    size_t n;

    (void)state;
    n = (size_t)snprintf(many, sizeof(many), "lists:\n  a: [");
    for (unsigned i = 0; i < 10000; i++)
        n += (size_t)snprintf(many + n, sizeof(many) - n, "e%u, ", i);
    snprintf(many + n, sizeof(many) - n, "]\n");
    world_make(&w, many, "body.c in lists.a");
    for (unsigned i = 0; i < 10000; i += 7) {
        snprintf(body, sizeof(body), "{\"c\": \"e%u\"}", i);
        assert_int_equal(says(&w, body), 'T');
        snprintf(body, sizeof(body), "{\"c\": \"f%u\"}", i);
        assert_int_equal(says(&w, body), 'F');
    }
    world_end(&w);
}

/* ------------------------------------------------------------------- finds */

static void finds_are_numbers_and_conditions(void **state)
{
    static const char more[] = "detectors: {acme.id: {pattern: \"E-[0-9]{7}\"}}\n";
    static struct match_found found;
    static struct world w;

    (void)state;
    world_make(&w, more, "found(\"acme.*\") > 1 || found(\"pci.card\") && !found(\"pii.email\")");
    assert_true(w.t.call.function->needs_found);
    assert_false(w.t.call.function->needs_body);
    assert_int_equal(says(&w, "{}"), 'U'); /* nobody looked */
    w.t.call.found = &found;
    assert_int_equal(says(&w, "{}"), 'F');
    match_found_add(&found, 0, 1);
    assert_int_equal(says(&w, "{}"), 'T');
    match_found_add(&found, 1, 3);
    assert_int_equal(says(&w, "{}"), 'F');
    match_found_add(&found, 2, 1);
    assert_int_equal(says(&w, "{}"), 'F');
    match_found_add(&found, 2, 1);
    assert_int_equal(says(&w, "{}"), 'T');
    world_end(&w);
    world_make(&w, "", "body.a > 1");
    assert_false(w.t.call.function->needs_found);
    world_end(&w);
}

/* ------------------------------------------------------------------- loops */

static char *array_of(const char *element, unsigned n)
{
    size_t each = strlen(element) + 1;
    char *s = malloc(n * each + 64), *at = stpcpy(s, "{\"a\": [");

    for (unsigned i = 0; i < n; i++) {
        at = stpcpy(at, element);
        *at++ = ',';
    }
    strcpy(at - (n > 0), "], \"b\": [1,2,3,4,5,6,7,8,9,10]}");
    return s;
}

static char loop_says(struct world *w, const char *element, unsigned n)
{
    char *body = array_of(element, n), got = says(w, body);

    free(body);
    return got;
}

static void loops_spend_from_a_budget(void **state)
{
    static char text[8193];
    static struct world w;

    (void)state;
    world_make(&w, "", "body.a.exists(x, x == 2)");
    assert_int_equal(loop_says(&w, "1", 1000), 'F');
    assert_int_equal(loop_says(&w, "1", 50000), 'F');
    assert_int_equal(loop_says(&w, "1", 70000), 'U');
    assert_int_equal(loop_says(&w, "1", 1000), 'F'); /* each decision has its own */
    world_end(&w);
    world_make(&w, "", "body.a.exists(x, body.b.exists(y, x == y))");
    assert_int_equal(loop_says(&w, "11", 1000), 'F');
    assert_int_equal(loop_says(&w, "11", 10000), 'U');
    world_end(&w);
    /* Bytes: every element is looked for in a long text. */
    world_make(&w, "", "body.a.exists(x, request.headers[\"x-a\"].contains(x))");
    memset(text, 'y', sizeof(text) - 1);
    test_field(&w.t, "x-a", text);
    assert_int_equal(loop_says(&w, "\"z\"", 500), 'F');
    assert_int_equal(loop_says(&w, "\"z\"", 520), 'U');
    world_end(&w);
}

static void an_element_is_read_strictly(void **state)
{
    static struct world w;
    static char body[200000];
    size_t n;

    (void)state;
    world_make(&w, "", "body.a.exists(i, i.p == \"x\\n\" && i.q.r > 1)");
    assert_int_equal(says(&w, "{\"a\": [{\"p\": \"x\\n\", \"q\": {\"r\": 2}}]}"), 'T');
    assert_int_equal(says(&w, "{\"a\": [{\"p\": \"x\\n\", \"q\": {\"r\": 2, \"r\": 2}}]}"), 'U');
    assert_int_equal(says(&w, "{\"a\": [{\"p\": \"x\\n\", \"q\": {\"r\": 2}, \"Q\": 1}]}"), 'U');
    assert_int_equal(says(&w, "{\"a\": [{\"p\": \"\\ud800\", \"q\": {\"r\": 2}}]}"), 'U');
    assert_int_equal(says(&w, "{\"a\": [5, null, [], {\"p\": \"x\"}]}"), 'U');
    /* Unescaped text of one element has its bound. */
    n = (size_t)snprintf(body, sizeof(body), "{\"a\": [{\"p\": \"\\n");
    memset(body + n, 'y', RULES_ELEMENT_ROOM + 1000);
    strcpy(body + n + RULES_ELEMENT_ROOM + 1000, "\", \"q\": {\"r\": 2}}]}");
    assert_int_equal(says(&w, body), 'U');
    world_end(&w);
}

/* A form's elements stand apart. */
static void a_form_has_no_lists(void **state)
{
    static struct world w;

    (void)state;
    world_make(&w, "", "body.a.exists(x, x == \"1\")");
    test_body(&w.t, BODY_FORM, "a[]=1&a[]=2");
    rules_decide(w.set, w.x, &w.t.call, &w.v);
    assert_true(w.v.unknown);
    world_end(&w);
}

/* ------------------------------------------------------------------ values */

static char form_says(const char *when)
{
    static struct world w;

    world_make(&w, "", when);
    test_body(&w.t, BODY_FORM, "a=5&b=7&t=x");
    rules_decide(w.set, w.x, &w.t.call, &w.v);
    world_end(&w);
    return !w.v.rule ? 'F' : w.v.unknown ? 'U' : 'T';
}

static void form_values_compute(void **state)
{
    (void)state;
    assert_int_equal(form_says("body.a + 1 == 6"), 'T');
    assert_int_equal(form_says("1 + body.a == 6"), 'T');
    assert_int_equal(form_says("body.a + \"1\" == \"51\""), 'T');
    assert_int_equal(form_says("body.a + body.b == 12"), 'U'); /* or "57"? */
    assert_int_equal(form_says("body.a * body.b == 35"), 'T');
    assert_int_equal(form_says("body.b - body.a == 2"), 'T');
    assert_int_equal(form_says("-body.a == -5"), 'T');
    assert_int_equal(form_says("body.t + body.a == \"x5\""), 'T');
    assert_int_equal(form_says("body.t * 2 == 5"), 'U');
    assert_int_equal(form_says("body.a in [1,2,3,4,5,6,7,8,9,10]"), 'T');
    assert_int_equal(form_says("body.a.matches(\"^[0-9]$\")"), 'T');
}

static void a_pattern_wants_utf8(void **state)
{
    static struct world w;

    (void)state;
    world_make(&w, "", "request.headers[\"x-a\"].matches(\"^a+$\")");
    test_field(&w.t, "x-a", "aaa");
    assert_int_equal(says(&w, "{}"), 'T');
    w.t.head.fields[0].value = SPAN_LIT("aab");
    assert_int_equal(says(&w, "{}"), 'F');
    w.t.head.fields[0].value = SPAN_LIT("aa\xff");
    assert_int_equal(says(&w, "{}"), 'U');
    w.t.head.fields[0].value = SPAN_LIT("aaaaaaaaaaaaaaaa\xc3");
    assert_int_equal(says(&w, "{}"), 'U');
    world_end(&w);
}

/* '!': says nothing of every call. */
static char constant(const char *text)
{
    struct arena mem = ARENA_INIT;
    struct diags d;
    struct rules_source_text src = {span_cstr(text), NULL, "expr", &d};
    struct rules_expr *e;
    char got;

    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_BOOL, &mem);
    assert_non_null(e);
    got = !e->constant ? '!' : "FTU"[e->says];
    diags_free(&d);
    arena_free(&mem);
    return got;
}

static void constants_are_known(void **state)
{
    (void)state;
    assert_int_equal(constant("true"), 'T');
    assert_int_equal(constant("1 > 2"), 'F');
    assert_int_equal(constant("1 / 0 > 2"), 'U');
    assert_int_equal(constant("body.a > 2"), '!');
    assert_int_equal(constant("body.a > 2 && false"), 'F');
    assert_int_equal(constant("body.a > 2 || 1 < 2"), 'T');
    assert_int_equal(constant("body.a > 2 || 1 > 2"), '!');
    assert_int_equal(constant("[1, 2].exists(x, x > 1)"), 'T');
    assert_int_equal(constant("[1, 2].exists(x, x > body.a)"), '!');
    assert_int_equal(constant("now > timestamp(\"2000-01-01T00:00:00Z\")"), '!');
    assert_int_equal(constant("duration(\"1h\") > duration(\"1m\")"), 'T');
    assert_int_equal(constant("calls(\"1h\") > 2"), '!');
    assert_int_equal(constant("found(\"pci.card\")"), '!');
    assert_int_equal(constant("\"abc\".matches(\"b\")"), 'T');
    assert_int_equal(constant("has(body.a) || !has(body.a)"), '!'); /* unreadable: unknown */
    assert_int_equal(constant("true ? body.a : false"), '!');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_constants_with_a_name),
        cmocka_unit_test(lists_are_refused),
        cmocka_unit_test(a_long_list_costs_no_more),
        cmocka_unit_test(finds_are_numbers_and_conditions),
        cmocka_unit_test(loops_spend_from_a_budget),
        cmocka_unit_test(an_element_is_read_strictly),
        cmocka_unit_test(a_form_has_no_lists),
        cmocka_unit_test(form_values_compute),
        cmocka_unit_test(a_pattern_wants_utf8),
        cmocka_unit_test(constants_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
