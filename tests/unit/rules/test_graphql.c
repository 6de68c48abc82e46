/* GraphQL documents: what the grammar lets through, and which fields an operation has at its top.
 */
#include "rules_test.h"

#include "rules/rules_graphql.h"

struct row {
    const char *document, *name, *want; /* "mutation a b"; NULL: refused */
};

#define BLOCK "\"\"\""

static const struct row rows[] = {
    /* operations */
    {"{a}", "", "query a"},
    {"query {a}", "", "query a"},
    {"query Q {a}", "", "query a"},
    {"mutation M {a}", "M", "mutation a"},
    {"subscription {a}", "", "subscription a"},
    {"query A {a} query B {b}", "B", "query b"},
    {"query A {a} mutation B {b}", "A", "query a"},
    {"mutation B {b} query A {a}", "A", "query a"},
    {"query A {a} query B {b}", "", NULL},
    {"query A {a} query B {b}", "C", NULL},
    {"query A {a}", "B", NULL},
    {"query A {a} query A {b}", "A", NULL},
    {"query A {a} mutation A {b}", "A", NULL},
    {"{a} {b}", "", NULL},
    {"{a} mutation A {b}", "A", NULL},
    {"mutation A {b} {a}", "A", NULL},
    {"", "", NULL},
    {"#x", "", NULL},
    {"fragment F on Q {a}", "", NULL},
    {"fragment F on Q {a}", "F", NULL},
    {"query query {a}", "query", "query a"},
    {"mutation fragment {on: on}", "fragment", "mutation on"},
    {"Query {a}", "", NULL},
    {"type T {a: Int}", "", NULL},
    {"schema {query: Q}", "", NULL},
    {"extend type T {a: Int}", "", NULL},
    {"{a} type T {a: Int}", "", NULL},
    /* fields, aliases, what belongs to them */
    {"{a b c}", "", "query a b c"},
    {"{a,b,,c}", "", "query a b c"},
    {"{a a}", "", "query a a"},
    {"{x: a}", "", "query a"},
    {"{a: b b: a}", "", "query b a"},
    {"{x : a (i: 1) @d {b c}}", "", "query a"},
    {"{a{b{c{d}}} e}", "", "query a e"},
    {"{x: y: a}", "", NULL},
    {"{: a}", "", NULL},
    {"{a:}", "", NULL},
    {"{}", "", NULL},
    {"{a{}}", "", NULL},
    {"{a()}", "", NULL},
    {"{a", "", NULL},
    {"{a}}", "", NULL},
    {"{a} b", "", NULL},
    {"{a(}", "", NULL},
    {"{5}", "", NULL},
    {"{a.b}", "", NULL},
    {"{\"a\"}", "", NULL},
    {"{__typename a}", "", "query __typename a"},
    /* values */
    {"{a(i: 1, j: -0, k: 1.5e+3, l: \"s\", m: true, n: null, o: RED, p: $v, q: [1 [2]], r: {x: {y: "
     "1}}, "
     "s: [], t: {})}",
     "", "query a"},
    {"{a(i: 01)}", "", NULL},
    {"{a(i: 1.)}", "", NULL},
    {"{a(i: .5)}", "", NULL},
    {"{a(i: 1e)}", "", NULL},
    {"{a(i: 1x)}", "", NULL},
    {"{a(i: 1.5.6)}", "", NULL},
    {"{a(i: -)}", "", NULL},
    {"{a(i: [)}", "", NULL},
    {"{a(i: {x})}", "", NULL},
    {"{a(i: $)}", "", NULL},
    {"{a(i: \"\\u00e9\\n\\\"}\")}", "", "query a"},
    {"{a(i: \"x)}", "", NULL},
    {"{a(i: \"x\ny\")}", "", NULL},
    {"{a(i: \"\\x\")}", "", NULL},
    {"{a(i: \"\\u00g9\")}", "", NULL},
    {"{a(i: \"\\u{1F600}\")}", "", NULL},
    {"{a(i: \"\\", "", NULL},
    {"{a(i: \"\\u00", "", NULL},
    {"{a(i: \"\", j: \"\")}", "", "query a"},
    {"{a(i: " BLOCK "x } \\u \n b" BLOCK ") c}", "", "query a c"},
    {"{a(i: " BLOCK "x \\" BLOCK " b" BLOCK ") c}", "", NULL},
    /* Old readers: "" " " ]) c(x: [ " " "" */
    {"{a(i: [" BLOCK " \" ]) c(x: [\" " BLOCK "])}", "", NULL},
    {"{a(i: " BLOCK BLOCK ") c}", "", "query a c"},
    {"{a(i: " BLOCK " c}", "", NULL},
    /* variables and directives */
    {"query Q($a: Int, $b: [T!]! = [1 {x: 2}] @d(x: 1), $c: T = E) @e {a}", "", "query a"},
    {"query ($a: Int) {a}", "", "query a"},
    {"query () {a}", "", NULL},
    {"query (a: Int) {a}", "", NULL},
    {"query ($a: Int!!) {a}", "", NULL},
    {"query ($a: [Int) {a}", "", NULL},
    {"query ($a: Int = $b) {a}", "", NULL},
    {"query ($a: Int = [$b]) {a}", "", NULL},
    {"query @d(x: $v) {a}", "", "query a"},
    {"query @ {a}", "", NULL},
    {"{a @skip(if: true) b @include(if: false)}", "", "query a b"},
    /* fragments */
    {"{...F} fragment F on Q {a}", "", "query a"},
    {"fragment F on Q {a ...G} query {b ...F} fragment G on Q {c}", "", "query b a c"},
    {"{...F ...F} fragment F on Q {a}", "", "query a"},
    {"{...F} fragment F on Q {a ...F}", "", "query a"},
    {"{...F} fragment F on Q {a ...G} fragment G on Q {b ...F}", "", "query a b"},
    {"{... on Q {a} ... {b} ... @include(if: true) {c} ... on Q @d {d}}", "", "query a b c d"},
    {"{... {... {... {a}}}}", "", "query a"},
    {"{...F} fragment F on Q {... on Q {x: a}}", "", "query a"},
    {"{a {...F}} fragment F on T {b}", "", "query a"},
    {"{a {...G}}", "", "query a"}, /* not at the top: for the vendor to refuse */
    {"{...G}", "", NULL},
    {"{...F} fragment F on Q {a} fragment F on Q {b}", "", NULL},
    {"{a} fragment on on Q {a}", "", NULL},
    {"{a} fragment F {a}", "", NULL},
    {"{a} fragment F($x: Int) on Q {a}", "", NULL},
    {"{...} fragment F on Q {a}", "", NULL},
    {"{... on}", "", NULL},
    {"{.. F}", "", NULL},
    {"{....F} fragment F on Q {a}", "", NULL},
    /* what is not seen */
    {"\xef\xbb\xbf{a #b}\n}", "", "query a"},
    {"{a #b\r c}", "", "query a c"},
    {"{a #b\xe2\x80\xa8 c}", "", NULL}, /* a line end to some, so that c would be there for them */
    {"{a #b\xc2\x85 c}", "", NULL},
    {"{a #\xc3\xa9\n}", "", "query a"},
    {"{a \xc3\xa9}", "", NULL},
    {"{a\x01}", "", NULL},
    {"{a #\x0b\n}", "", NULL},
    {"{a\x0c}", "", NULL},
    {"{a \xe2\x80\x8b}", "", NULL},
    {"{a;b}", "", NULL},
    {"{a & b}", "", NULL},
    {"{a | b}", "", NULL},
};

static const char *read_one(struct span document, const char *name)
{
    static struct graphql_operation o;
    static const char *const types[] = {"query", "mutation", "subscription"};
    static char text[8192];
    struct outbuf out = outbuf_on(text, sizeof(text) - 1);
    char *exact = malloc(document.n + 1); /* so that a sanitizer sees a byte read behind it */
    bool good;

    memcpy(exact, document.p, document.n);
    good = graphql_read(span_of(exact, document.n), span_cstr(name), &o);
    if (good)
        outbuf_cstr(&out, types[o.type]);
    for (unsigned i = 0; good && i < o.nfields; i++) {
        outbuf_char(&out, ' ');
        outbuf_span_put(&out, o.field[i]);
    }
    free(exact);
    text[out.n] = 0;
    return good ? text : NULL;
}

static void documents(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = read_one(span_cstr(rows[i].document), rows[i].name);

        if (got ? !rows[i].want || strcmp(got, rows[i].want) : rows[i].want != NULL) {
            printf("%s (%s): expected %s, came %s\n", rows[i].document, rows[i].name,
                   rows[i].want ? rows[i].want : "a refusal", got ? got : "a refusal");
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_null(read_one(span_of("{a\0}", 4), ""));
}

/* Every prefix of a document that has one of everything is refused. */
static void no_prefix_passes(void **state)
{
    static const char text[] =
        "query Q($a: [Int!]! = [1] @d) @e(x: \"\\u0041\") {x: a(i: {j: 1.5e3 k: "
        "$a}) {b} ... on T {c} ...F} fragment F on T @g {d # e\n}";

    (void)state;
    assert_string_equal(read_one(span_cstr(text), "Q"), "query a c d");
    for (size_t n = 0; n < sizeof(text) - 1; n++)
        if (read_one(span_of(text, n), "Q"))
            fail_msg("expected a refusal of \"%.*s\"", (int)n, text);
}

static char *repeat(char *at, const char *what, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at += sprintf(at, "%s", what);
    return at;
}

/* Depth, fields, spreads and definitions: up to the bound, and one beyond. */
static void bounds(void **state)
{
    static char text[1 << 16];
    char *at;

    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        at = repeat(text, "{a", GRAPHQL_DEPTH_MAX + over);
        repeat(at, "}", GRAPHQL_DEPTH_MAX + over);
        assert_int_equal(read_one(span_cstr(text), "") == NULL, over);
        at = repeat(text, "{a(i:", 1);
        at = repeat(at, "[", GRAPHQL_DEPTH_MAX - 1 + over);
        at = repeat(at, "]", GRAPHQL_DEPTH_MAX - 1 + over);
        repeat(at, ")}", 1);
        assert_int_equal(read_one(span_cstr(text), "") == NULL, over);
        at = repeat(text, "{", 1);
        at = repeat(at, "a ", GRAPHQL_FIELDS_MAX + over);
        repeat(at, "}", 1);
        assert_int_equal(read_one(span_cstr(text), "") == NULL, over);
        at = repeat(text, "{", 1);
        at = repeat(at, "...F ", GRAPHQL_FIELDS_MAX + over);
        repeat(at, "} fragment F on Q {a}", 1);
        assert_int_equal(read_one(span_cstr(text), "") == NULL, over);
        at = repeat(text, "{a}", 1);
        for (unsigned i = 1; i < GRAPHQL_DEFINITIONS_MAX + over; i++)
            at += sprintf(at, " fragment F%u on Q {a}", i);
        assert_int_equal(read_one(span_cstr(text), "") == NULL, over);
    }
}

/* Twice the document, twice the time: nothing in it makes the reader go over it again and again. */
static void time_is_linear(void **state)
{
    static const char *const parts[] = {"a{b ...F} ", "...{...F} ", "b(i:[[1]]) ", "#\n"};
    char *text = malloc(2 << 20);

    (void)state;
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t took[2];

        for (unsigned k = 0; k < 2; k++) {
            unsigned n = (unsigned)((k ? 1 << 20 : 1 << 16) / strlen(parts[i]));
            char *at = repeat(text, "{a ", 1);
            uint64_t start;

            at = repeat(at, parts[i], n);
            at = repeat(at, "} ", 1);
            for (unsigned f = 0; f < 250; f++)
                at += sprintf(at, "fragment %s%u on Q {a ...F} ", f == 249 ? "F" : "G", f);
            start = test_cpu_ns();
            read_one(span_of(text, (size_t)(at - text)), "");
            took[k] = test_cpu_ns() - start;
        }
        printf("%s: %.2f ms for 64 KiB, %.2f ms for 1 MiB\n", parts[i], (double)took[0] / 1e6,
               (double)took[1] / 1e6);
        assert_true(took[1] < 64 * took[0] + 50000000);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(no_prefix_passes),
        cmocka_unit_test(bounds),
        cmocka_unit_test(time_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
