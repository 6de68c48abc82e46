/* Methods and paths to functions: the most specific wins, against a slow obvious search. */
#include "rules_test.h"

#include "rules/rules_internal.h"

static const char *name_of(const struct rules_set *s, const char *method, const char *path,
                           struct rules_params *p)
{
    static char name[200];
    const struct rules_connection *c = rules_connection_for(s, SPAN_LIT("x.example"));
    const struct rules_function *f =
        rules_function_for(s, c, span_cstr(method), span_cstr(path), p);

    snprintf(name, sizeof(name), "%.*s", SPAN_ARG(f->name));
    return name + 2;
}

static void the_most_specific_wins(void **state)
{
    static const char text[] = "connections:\n"
                               "  x:\n"
                               "    hosts: [x.example]\n"
                               "    functions:\n"
                               "      root: GET /\n"
                               "      all: GET /**\n"
                               "      v1: GET /v1/**\n"
                               "      list: [GET /v1/charges, HEAD /v1/charges]\n"
                               "      one: GET /v1/charges/{charge}\n"
                               "      search: GET /v1/charges/search\n"
                               "      capture: GET /v1/charges/{charge}/capture\n"
                               "      refunds: GET /v1/charges/search/refunds\n"
                               "      any: GET /v1/*/x\n"
                               "      anyrest: GET /v1/*/x/**\n"
                               "      pair: GET /{a}/{b}/pair\n"
                               "      create: POST /v1/charges\n"
                               "      odd: PURGE /v1/a%20b\n";
    static const struct {
        const char *method, *path, *want;
    } rows[] = {
        {"GET", "/", "root"},
        {"GET", "/v2", "all"},
        {"GET", "/v2/a/b/c", "all"},
        {"GET", "/v1", "v1"},
        {"GET", "/v1/", "v1"},
        {"GET", "/v1/other", "v1"},
        {"GET", "/v1/charges", "list"},
        {"GET", "/v1/charges/", "list"},
        {"GET", "/v1/charges/ch_1", "one"},
        {"GET", "/v1/charges/ch_1/", "one"},
        {"GET", "/v1/charges/search", "search"},
        {"GET", "/v1/charges/searches", "one"},
        {"GET", "/v1/charges/search/capture", "capture"}, /* no way on from `search` but this */
        {"GET", "/v1/charges/search/refunds", "refunds"},
        {"GET", "/v1/charges/ch_1/refunds", "v1"},
        {"GET", "/v1/charges/ch_1/capture", "capture"},
        {"GET", "/v1/charges/ch_1/capture/more", "v1"},
        {"GET", "/v1/charges/x", "one"}, /* literal `charges` before `*` */
        {"GET", "/v1/refunds/x", "any"},
        {"GET", "/v1/refunds/x/y/z", "anyrest"},
        {"GET", "/v1/b/pair", "v1"}, /* `v1` is the more specific first segment */
        {"GET", "/v2/b/pair", "pair"},
        {"GET", "/v1/charges//x", "unlisted"}, /* an empty segment is nothing's */
        {"GET", "//", "unlisted"},
        {"GET", "/V1/charges", "all"},
        {"GET", "*", "unlisted"},
        {"GET", "", "unlisted"},
        {"POST", "/v1/charges", "create"},
        {"POST", "/v1/charges/", "create"},
        {"POST", "/v1/charges/x", "unlisted"},
        {"HEAD", "/v1/charges", "list"},
        {"HEAD", "/v1/charges/ch_1", "unlisted"}, /* GET does not stand for HEAD */
        {"get", "/v1/charges", "unlisted"},
        {"PURGE", "/v1/a%20b", "odd"},
        {"GET", "/v1/%63harges/se%61rch", "search"}, /* as vendors decode it */
        {"GET", "/v1/charges/%zz", "unlisted"},
        {"DELETE", "/", "unlisted"},
    };
    struct rules_set *s = test_set(text);
    struct rules_params p;
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = name_of(s, rows[i].method, rows[i].path, &p);

        if (strcmp(got, rows[i].want)) {
            printf("%s %s: expected %s, came %s\n", rows[i].method, rows[i].path, rows[i].want,
                   got);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    rules_free(s);
}

static void parameters_are_named(void **state)
{
    struct rules_set *s = test_set("connections:\n"
                                   "  x:\n"
                                   "    hosts: [x.example]\n"
                                   "    functions:\n"
                                   "      f: GET /a/{one}/*/{two}/**\n"
                                   "      g: GET /a/{uno}/b\n");
    struct rules_params p;

    (void)state;
    assert_string_equal(name_of(s, "GET", "/a/1/x/2%2B/rest/of", &p), "f");
    assert_int_equal(p.n, 2);
    assert_true(span_eq(p.p[0].name, SPAN_LIT("one")) && span_eq(p.p[0].value, SPAN_LIT("1")));
    assert_true(span_eq(p.p[1].name, SPAN_LIT("two")) && span_eq(p.p[1].value, SPAN_LIT("2+")));
    assert_string_equal(name_of(s, "GET", "/a/7/b", &p), "g");
    assert_int_equal(p.n, 1);
    assert_true(span_eq(p.p[0].name, SPAN_LIT("uno")) && span_eq(p.p[0].value, SPAN_LIT("7")));
    assert_string_equal(name_of(s, "GET", "/b", &p), "unlisted");
    assert_int_equal(p.n, 0);
    rules_free(s);
}

static void text_around_a_parameter(void **state)
{
    static const struct {
        const char *path, *want, *value;
    } rows[] = {
        {"/x/AC1.json", "json", "AC1"},
        {"/x/AC1.xml", "any", "AC1.xml"},
        {"/x/.json", "any", ".json"}, /* a parameter is never empty */
        {"/x/list.json", "list", ""},
        {"/x/.json.json", "json", ".json"},
        {"/x/v2.json", "vjson", "2"}, /* more text says more */
        {"/x/v2", "version", "2"},
        {"/x/v", "any", "v"},
        {"/x/v.json", "json", "v"}, /* nothing between `v` and `.json` */
        {"/x/V2", "any", "V2"},
        {"/x/AC1%2Ejson", "json", "AC1"}, /* as vendors decode it */
        {"/x/AC%2F1.json", "json", "AC/1"},
        {"/x/a:cancel", "cancel", "a"},
        {"/x/a%3Acancel", "cancel", "a"},
        {"/x/v1/part", "part", "1"}, /* only the pattern leads on */
        {"/x/ab/part", "other", "ab"},
        {"/x/v1.json/part", "part", "1.json"}, /* not by the more specific `v{}.json` */
        {"/x/pq", "front", "q"},               /* as much text: that in front wins */
        {"/x/q", "any", "q"},
        {"/x/ppp", "front", "pp"},
        {"/x/aq", "back", "a"},
        {"/y/abababab", "both", "a"},
        {"/y/ababab", "begin", "ab"}, /* so short that beginning and end share bytes */
    };
    struct rules_set *s = test_set("connections:\n"
                                   "  x:\n"
                                   "    hosts: [x.example]\n"
                                   "    functions:\n"
                                   "      any: GET /x/{all}\n"
                                   "      json: GET /x/{sid}.json\n"
                                   "      list: GET /x/list.json\n"
                                   "      version: GET /x/v{version}\n"
                                   "      vjson: GET /x/v{v}.json\n"
                                   "      cancel: 'GET /x/{id}:cancel'\n"
                                   "      part: GET /x/v{n}/part\n"
                                   "      other: GET /x/{o}/part\n"
                                   "      front: GET /x/p{f}\n"
                                   "      back: 'GET /x/{b}q'\n"
                                   "      begin: 'GET /y/abab{z}'\n"
                                   "      end: 'GET /y/{z}abab'\n"
                                   "      both: 'GET /y/abab{z}bab'\n");
    struct rules_params p;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = name_of(s, "GET", rows[i].path, &p);

        if (strcmp(got, rows[i].want))
            fail_msg("%s: expected %s, came %s", rows[i].path, rows[i].want, got);
        assert_int_equal(p.n, rows[i].value[0] != 0);
        if (p.n && !span_eq(p.p[0].value, span_cstr(rows[i].value)))
            fail_msg("%s: expected the parameter %s, came %.*s", rows[i].path, rows[i].value,
                     SPAN_ARG(p.p[0].value));
    }
    rules_free(s);
}

/* A lookup tries each of them. */
static void kinds_of_text_are_bounded(void **state)
{
    char text[8192], *at = text;
    struct test_dir t;
    struct diags d;

    (void)state;
    at += sprintf(at, "connections:\n  x:\n    hosts: [x.example]\n    functions:\n");
    for (unsigned i = 10; i < 10 + RULES_PATTERNS_MAX; i++)
        at += sprintf(at, "      'f%u': 'GET /x/{id}:do%u'\n", i, i);
    rules_free(test_set(text));
    sprintf(at, "      g: 'GET /{x}/{y}:undo'\n"); /* another place, and yet it meets them */
    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", text);
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d));
    assert_int_equal(d.errors, 1);
    assert_non_null(
        strstr(d.items[d.items[0].level == DIAG_WARNING].message, "more than 64 kinds of text"));
    diags_free(&d);
    test_dir_remove(&t);
}

/* ---------------------------------------------------------------- the model */

#define ROUTES 24
#define DEPTH  4

struct model {
    char path[ROUTES][64];
    unsigned n;
};

/* Rank of one template segment: literal, then text around a parameter by how much of it there is
 * and how much stands in front, one segment 2, rest 1, past the end 0. */
static int rank(const char *segment)
{
    const char *open = strchr(segment, '{'), *close = strchr(segment, '}');

    if (strcmp(segment, "**") == 0)
        return 1;
    if (!open)
        return segment[0] ? 1000 : 0;
    return 2 + 20 * (int)(open - segment + (long)strlen(close + 1)) + (int)(open - segment);
}

static bool segment_matches(const char *t, const char *p)
{
    const char *open = strchr(t, '{'), *close = strchr(t, '}');
    size_t before, after;

    if (!open)
        return strcmp(t, p) == 0;
    before = (size_t)(open - t);
    after = strlen(close + 1);
    return strlen(p) > before + after && strncmp(t, p, before) == 0 &&
           strcmp(close + 1, p + strlen(p) - after) == 0;
}

static unsigned split(const char *path, char out[DEPTH + 4][16])
{
    unsigned n = 0;

    memset(out, 0, (DEPTH + 4) * sizeof(*out));
    for (const char *p = path; *p;) {
        size_t len;

        p++; /* the slash */
        len = strcspn(p, "/");
        if (len)
            snprintf(out[n++], 16, "%.*s", (int)len, p);
        p += len;
    }
    return n;
}

static bool model_matches(const char *template, const char *path)
{
    char t[DEPTH + 4][16], p[DEPTH + 4][16];
    unsigned nt = split(template, t), np = split(path, p);

    for (unsigned i = 0; i < nt; i++) {
        if (strcmp(t[i], "**") == 0)
            return np >= i;
        if (i >= np || !segment_matches(t[i], p[i]))
            return false;
    }
    return nt == np;
}

static bool more_specific(const char *a, const char *b)
{
    char x[DEPTH + 4][16], y[DEPTH + 4][16];

    split(a, x);
    split(b, y);
    for (unsigned i = 0; i < DEPTH + 4; i++) {
        int rx = rank(x[i]), ry = rank(y[i]);

        /* `/a` beside `/a/` + `**`: that which ends here says more than that which takes all. */
        if (rx == 0 && ry == 1)
            return true;
        if (rx == 1 && ry == 0)
            return false;
        if (rx != ry)
            return rx > ry;
    }
    return false;
}

static const char *model_find(const struct model *m, const char *path)
{
    const char *best = NULL;

    for (unsigned i = 0; i < m->n; i++)
        if (model_matches(m->path[i], path) && (!best || more_specific(m->path[i], best)))
            best = m->path[i];
    return best;
}

static int random_text(uint64_t *seed, char *at, unsigned most)
{
    unsigned n = (unsigned)(test_random(seed) % (most + 1));

    for (unsigned i = 0; i < n; i++)
        at[i] = (char)('a' + test_random(seed) % 2);
    at[n] = 0;
    return (int)n;
}

static int random_pattern(uint64_t *seed, char *at, unsigned i)
{
    char *start = at;

    *at++ = '/';
    at += random_text(seed, at, 3);
    at += sprintf(at, "{p%u}", i);
    at += random_text(seed, at, 3);
    return (int)(at - start);
}

static void random_template(uint64_t *seed, char out[64])
{
    unsigned n = (unsigned)(test_random(seed) % (DEPTH + 1));
    char *at = out;

    for (unsigned i = 0; i < n; i++) {
        unsigned kind = (unsigned)(test_random(seed) % 6);

        if (kind < 3)
            at += sprintf(at, "/%c", (char)('a' + kind));
        else if (kind == 3)
            at += sprintf(at, "/{p%u}", i);
        else
            at += random_pattern(seed, at, i);
    }
    if (n < DEPTH && test_random(seed) % 4 == 0)
        at += sprintf(at, "/**");
    if (at == out)
        strcpy(out, "/");
}

static void random_path(uint64_t *seed, char out[64])
{
    unsigned n = (unsigned)(test_random(seed) % (DEPTH + 2));
    char *at = out;

    strcpy(out, n ? "" : "/");
    for (unsigned i = 0; i < n; i++) {
        at += sprintf(at, "/%c", (char)('a' + test_random(seed) % 4));
        at += random_text(seed, at, 6);
    }
}

static void write_templates(const struct model *m, char *at)
{
    at += sprintf(at, "connections:\n  x:\n    hosts: [x.example]\n    functions:\n");
    for (unsigned i = 0; i < m->n; i++)
        at += sprintf(at, "      'f%02u': 'GET %s'\n", i, m->path[i]);
}

/* Takes out what no path is left for, the last one first: each template has a line of its own. */
static void drop_unreached(struct model *m, const struct diags *d)
{
    for (size_t i = d->count; i-- > 0;) {
        unsigned at = d->items[i].where.line - 5;

        if (d->items[i].level != DIAG_ERROR)
            continue;
        assert_non_null(strstr(d->items[i].message, "no path is left"));
        m->n--;
        memmove(m->path[at], m->path[at + 1], (m->n - at) * sizeof(m->path[0]));
    }
}

static void check_unreached(uint64_t *seed, const struct model *m, const char *template)
{
    char path[64];

    for (unsigned i = 0; i < 1000; i++) {
        random_path(seed, path);
        if (model_find(m, path) == template)
            fail_msg("%s is told to be reached by no path, and %s reaches it", template, path);
    }
}

/* What is said to be reached by no path must not be reached by any in the slow search either. */
static struct rules_set *load_reached(uint64_t *seed, struct model *m)
{
    static char text[8192];
    const struct model all = *m;
    struct test_dir t;
    struct diags d;

    write_templates(m, text);
    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", text);
    diags_init(&d);
    rules_free(rules_load(t.path, TEST_NOW, &d));
    drop_unreached(m, &d);
    for (size_t i = 0; i < d.count; i++)
        if (d.items[i].level == DIAG_ERROR)
            check_unreached(seed, &all, all.path[d.items[i].where.line - 5]);
    diags_free(&d);
    test_dir_remove(&t);
    write_templates(m, text);
    return test_set(text);
}

static struct rules_set *model_set(uint64_t *seed, struct model *m)
{
    m->n = 0;
    while (m->n < ROUTES) {
        bool twin = false;

        random_template(seed, m->path[m->n]);
        for (unsigned i = 0; i < m->n; i++)
            twin = twin || strcmp(m->path[m->n], m->path[i]) == 0;
        m->n += !twin;
    }
    return load_reached(seed, m);
}

static void against_a_slow_search(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned round = 0; round < 120; round++) {
        struct model m;
        struct rules_set *s = model_set(&seed, &m);

        for (unsigned i = 0; i < 400; i++) {
            struct rules_params p;
            char path[64];
            const char *want, *got;

            random_path(&seed, path);
            want = model_find(&m, path);
            got = name_of(s, "GET", path, &p);
            if (!want) {
                assert_string_equal(got, "unlisted");
                continue;
            }
            if (strcmp(m.path[atoi(got + 1)], want)) {
                printf("%s: expected %s, came %s (%s)\n", path, want, got, m.path[atoi(got + 1)]);
                fail();
            }
        }
        rules_free(s);
    }
}

/* Twenty thousand functions, and a path that keeps every way open. */
static void a_lookup_costs_by_segments(void **state)
{
    char *text = malloc(4 << 20), *at = text;
    struct rules_params p;
    struct rules_set *s;
    uint64_t start;

    (void)state;
    at += sprintf(at, "connections:\n  x:\n    hosts: [x.example]\n    functions:\n");
    for (unsigned i = 0; i < 19988; i++)
        at += sprintf(at, "      f%u: GET /v1/r%u/{id}/part%u\n", i, i % 5000, i);
    for (unsigned i = 0; i < 12; i++) {
        at += sprintf(at, "      deep%u: GET /", i);
        for (unsigned k = 0; k < 12; k++)
            at += sprintf(at, "%s/", k == i ? "{q}" : "a");
        at += sprintf(at, "end\n");
    }
    start = test_cpu_ns();
    s = test_set(text);
    printf("%u functions loaded in %.0f ms\n", rules_function_count(s),
           (double)(test_cpu_ns() - start) / 1e6);
    assert_string_equal(name_of(s, "GET", "/v1/r17/x/part17", &p), "f17");
    assert_string_equal(name_of(s, "GET", "/a/a/a/a/a/a/a/a/a/a/a/a/end", &p), "deep11");
    assert_string_equal(name_of(s, "GET", "/z/a/a/a/a/a/a/a/a/a/a/a/end", &p), "deep0");
    start = test_cpu_ns();
    for (unsigned i = 0; i < 100000; i++)
        name_of(s, "GET", "/v1/r17/x/part17", &p);
    printf("%.0f ns a lookup of 4 segments\n", (double)(test_cpu_ns() - start) / 1e5);
    rules_free(s);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_wins),  cmocka_unit_test(parameters_are_named),
        cmocka_unit_test(text_around_a_parameter), cmocka_unit_test(kinds_of_text_are_bounded),
        cmocka_unit_test(against_a_slow_search),   cmocka_unit_test(a_lookup_costs_by_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
