/* Values at paths of JSON documents. */
#include "body_test.h"

struct row {
    const char *path, *body, *expected;
};

static const struct row rows[] = {
    {"a", "{\"a\":1}", "n:1"},
    {"a", "{\"b\":1}", "missing"},
    {"a", "{}", "missing"},
    {"a", "[]", "missing"},
    {"a", "1", "missing"},
    {"a", "{\"a\":null}", "null"},
    {"a", "{\"a\":true}", "true"},
    {"a", "{\"a\":false}", "false"},
    {"a", "{\"a\":\"\"}", "s:"},
    {"a", "{\"a\":{}}", "object/0"},
    {"a", "{\"a\":[]}", "array/0"},
    {"a", "{\"a\":{\"b\":1,\"b\":2,\"c\":{\"d\":1}}}", "object/3"},
    {"a", "{\"a\":[1,[2,3],{\"a\":4}]}", "array/3"},
    {"a", "{\"x\":{\"a\":1}}", "missing"},
    {"a", "{\"x\":[{\"a\":1}],\"a\":2}", "n:2"},
    {"a.b", "{\"a\":{\"b\":1}}", "n:1"},
    {"a.b", "{\"a\":1}", "missing"},
    {"a.b", "{\"a\":[{\"b\":1}]}", "missing"},
    {"a.b", "{\"a.b\":1}", "missing"},
    {"[\"a.b\"]", "{\"a.b\":1}", "n:1"},
    {"[\"a\"][\"b\"]", "{\"a\":{\"b\":1}}", "n:1"},
    {"[\"\"]", "{\"\":1}", "n:1"},
    {"[\"\\u00e4\\n\"]", "{\"\xc3\xa4\\n\":1}", "n:1"},
    {"\xc3\xa4", "{\"\\u00E4\":1}", "n:1"},
    {"items[0].price", "{\"items\":[{\"price\":5},{\"price\":6}]}", "n:5"},
    {"items[1].price", "{\"items\":[{\"price\":5},{\"price\":6}]}", "n:6"},
    {"items[2].price", "{\"items\":[{\"price\":5},{\"price\":6}]}", "missing"},
    {"items[0]", "{\"items\":{\"0\":1}}", "missing"},
    {"items[\"0\"]", "{\"items\":[1]}", "missing"},
    {"items[\"0\"]", "{\"items\":{\"0\":1}}", "n:1"},
    {"[0]", "[7]", "n:7"},
    {"[1][1]", "[1,[2,3]]", "n:3"},
    {"", "{\"a\":1,\"b\":2}", "object/2"},
    {"", " [1] ", "array/1"},
    {"", "\"x\"", "s:x"},

    /* escapes */
    {"amount", "{\"\\u0061mount\":1}", "n:1"},
    {"amount", "{\"\\u0061\\u006d\\u006F\\u0075\\u006e\\u0074\":1}", "n:1"},
    {"[\"\\ud83d\\ude00\"]", "{\"\\uD83D\\uDE00\":1}", "n:1"},
    {"[\"\\ud83d\\ude00\"]", "{\"\xf0\x9f\x98\x80\":1}", "n:1"},
    {"a", "{\"a\":\"\\u0041\\n\\\"\\\\\\/\\ud83d\\ude00\xc3\xa4\"}",
     "s:A\n\"\\/\xf0\x9f\x98\x80\xc3\xa4"},
    {"a", "{\"a\":\"\\ud83d\"}", "unreadable"},
    {"a", "{\"a\":\"\\ude00\"}", "unreadable"},
    {"a", "{\"a\":\"\\ude00\\ude00\"}", "unreadable"},
    {"a", "{\"a\":\"\\ud83d\\ud83d\"}", "unreadable"},
    {"a", "{\"a\":\"\\ud83dx\"}", "unreadable"},
    {"a", "{\"a\":\"\\ude00\\ud83d\"}", "unreadable"},
    {"a", "{\"a\":1,\"b\":\"\\ud83d\"}", "n:1"},
    {"a", "{\"a\":1,\"\\ud83d\":2}", "unreadable"},
    {"a", "{\"a\":1,\"b\":{\"\\ud83d\":2}}", "n:1"},

    /* duplicates */
    {"amount", "{\"amount\":1,\"amount\":2}", "duplicate"},
    {"amount", "{\"amount\":1,\"amount\":1}", "duplicate"},
    {"amount", "{\"amount\":1,\"x\":2,\"\\u0061mount\":3}", "duplicate"},
    {"amount", "{\"\\u0061mount\":1,\"amoun\\u0074\":3}", "duplicate"},
    {"amount", "{\"amount\":1,\"x\":{\"amount\":2}}", "n:1"},
    {"x", "{\"amount\":1,\"amount\":2,\"x\":3}", "n:3"},
    {"a.b", "{\"a\":{\"b\":1},\"a\":{}}", "duplicate"},
    {"a.b", "{\"a\":{},\"a\":{\"b\":1}}", "duplicate"},
    {"a.b", "{\"a\":{\"b\":1},\"a\":7}", "duplicate"},
    {"a.b", "{\"a\":{\"b\":1,\"b\":2}}", "duplicate"},
    {"a.b", "{\"a\":{\"c\":1,\"c\":2,\"b\":2}}", "n:2"},
    {"a.b", "{\"a\":[],\"a\":[]}", "duplicate"},
    {"a[0].b", "{\"a\":[{\"b\":1,\"b\":2}]}", "duplicate"},
    {"a[0].b", "{\"a\":[{\"b\":1},{\"b\":2,\"b\":3}]}", "n:1"},
    {"a.b.c", "{\"a\":{\"b\":{\"c\":1}},\"a\":null}", "duplicate"},

    /* keys that some reader takes for the same */
    {"amount", "{\"amount\":1,\"Amount\":2}", "duplicate"},
    {"amount", "{\"AMOUNT\":1,\"amount\":2}", "duplicate"},
    {"amount", "{\"Amount\":2}", "missing"},
    {"amount", "{\"Amount\":2,\"AMOUNT\":3}", "missing"},
    {"user_id", "{\"user_id\":1,\"userId\":2}", "duplicate"},
    {"user_id", "{\"user_id\":1,\"user.id\":2}", "duplicate"},
    {"amount", "{\"amount\":1,\"amount\\u0000x\":2}", "duplicate"},
    {"risk", "{\"risk\":1,\"ri\\u017fk\":2}", "duplicate"},
    {"risk", "{\"risk\":1,\"ris\xe2\x84\xaa\":2}", "duplicate"},
    {"amount", "{\"amount\":1,\"amounts\":2,\"amoun\":3,\"xamount\":4}", "n:1"},
    {"a.b", "{\"a\":{\"b\":1},\"A\":{\"b\":2}}", "duplicate"},

    /* numbers keep their text */
    {"a", "{\"a\":1e400}", "n:1e400"},
    {"a", "{\"a\":-0.00e-5}", "n:-0.00e-5"},
    {"a", "{\"a\":\"1\"}", "s:1"},

    /* a malformation anywhere */
    {"a", "{\"a\":1,\"b\":01}", "unreadable"},
    {"a", "{\"a\":1}x", "unreadable"},
    {"a", "{\"a\":1", "unreadable"},
    {"a", "", "unreadable"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading *r = reading_new();

        want(r, rows[i].path);
        read_json(r, span_cstr(rows[i].body));
        assert_value(r, 0, rows[i].body, rows[i].expected);
        reading_free(r);
    }
    print_message("%zu rows\n", sizeof(rows) / sizeof(rows[0]));
}

static void test_many_paths(void **state)
{
    static const char body[] =
        "{\"id\":\"x\",\"card\":{\"number\":\"42\",\"exp\":{\"y\":30}},"
        "\"items\":[{\"price\":5,\"q\":[1,2]},{\"price\":\"6\"}],\"dup\":1,\"dup\":{\"in\":1}}";
    struct reading *r = wanting("id card card.number card.exp.y items items[1].price items[0].q[1] "
                                "dup dup.in none.at.all ");

    (void)state;
    read_json(r, SPAN_LIT(body));
    assert_value(r, 0, body, "s:x");
    assert_value(r, 1, body, "object/2");
    assert_value(r, 2, body, "s:42");
    assert_value(r, 3, body, "n:30");
    assert_value(r, 4, body, "array/2");
    assert_value(r, 5, body, "s:6");
    assert_value(r, 6, body, "n:2");
    assert_value(r, 7, body, "duplicate");
    assert_value(r, 8, body, "duplicate");
    assert_value(r, 9, body, "missing");
    assert_value(r, 10, body, "object/5");
    reading_free(r);
}

/* That both of two keys are wanted does not tell what a lenient reader makes of them: rules are
 * merged without knowing of each other. */
static void test_wanted_variants(void **state)
{
    struct reading *r = wanting("a.id a.ID");

    (void)state;
    read_json(r, SPAN_LIT("{\"a\":{\"id\":1,\"ID\":2}}"));
    assert_value(r, 0, "both", "duplicate");
    assert_value(r, 1, "both", "duplicate");
    read_json(r, SPAN_LIT("{\"a\":{\"ID\":2}}"));
    assert_value(r, 0, "the other", "missing");
    assert_value(r, 1, "alone", "n:2");
    read_json(r, SPAN_LIT("{\"a\":{\"id\":1,\"ID\":2,\"Id\":3}}"));
    assert_value(r, 0, "third", "duplicate");
    assert_value(r, 1, "third", "duplicate");
    reading_free(r);
}

static void test_places(void **state)
{
    static const char body[] = "  { \"a\" : \"x\\u0041y\" , \"b\" : -1.5 ,\"c\":[ 1 ] } ";
    static const char *const raw[] = {"\"x\\u0041y\"", "-1.5", "[ 1 ]",
                                      "{ \"a\" : \"x\\u0041y\" , \"b\" : -1.5 ,\"c\":[ 1 ] }"};
    struct reading *r = wanting("a b c ");

    (void)state;
    read_json(r, SPAN_LIT(body));
    for (unsigned i = 0; i < 4; i++) {
        size_t at = (size_t)(r->v[i].raw.p - r->body);

        assert_true(span_eq(r->v[i].raw, span_cstr(raw[i])));
        assert_int_equal(at, (size_t)(strstr(body, raw[i]) - body));
    }
    assert_true(r->v[1].text.p == r->v[1].raw.p);
    read_json(r, SPAN_LIT("{\"a\":\"xy\"}"));
    assert_true(r->v[0].text.p == r->v[0].raw.p + 1); /* nothing escaped: no copy */
    reading_free(r);
}

static void test_scratch(void **state)
{
    static const char body[] = "{\"a\":\"\\u0041\\u0042\",\"\\u0062\":\"\\n\"}";
    struct reading *r = wanting("a b");
    bool was_spent = false;

    (void)state;
    for (size_t n = sizeof(body); n-- > 0;) {
        read_with(r, BODY_JSON, SPAN_LIT(body), n);
        if (r->out.problem == BODY_PROBLEM_NONE) {
            assert_false(was_spent);
            assert_value(r, 0, body, "s:AB");
            assert_value(r, 1, body, "s:\n");
        } else {
            was_spent = true;
            assert_int_equal(r->out.problem, BODY_PROBLEM_SCRATCH);
            assert_value(r, 0, body, "unreadable");
        }
    }
    assert_true(was_spent);
    read_with(r, BODY_JSON, SPAN_LIT("{\"a\":\"x\"}"), 0);
    assert_value(r, 0, "no escapes, no scratch", "s:x");
    reading_free(r);
}

static void test_path_texts(void **state)
{
    static const char *const bad[] = {
        ".",         ".a",          "a.",        "a..b",           "a[",    "a]",
        "a[]",       "a[x]",        "a[-1]",     "a[01]",          "a[1",   "a[\"x]",
        "a[\"x\"",   "a[\"\\x\"]",  "a b",       "a\tb",           "a[1]b", "a.[1]",
        "a\"b",      "a[\"\xff\"]", "\xff",      "a[\"\\ud800\"]", "a\\b",  "[1234567890]",
        "a[\"x\"]y", "\n",          "a[\"x\" ]", "a[ 1]",
    };
    struct reading *r = reading_new();
    char deep[400] = "a";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (body_paths_add(r->paths, span_cstr(bad[i])) >= 0)
            fail_msg("taken as a path: %s", bad[i]);
    assert_int_equal(body_paths_count(r->paths), 0);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("a.b[0]")), 0);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("")), 1);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("a[\"\\u0062\"][0]")), 0);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("a.b")), 2);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("[\"\"]")), 3);
    assert_int_equal(body_paths_count(r->paths), 4);
    for (unsigned i = 1; i < BODY_DEPTH_MAX; i++)
        strcat(deep, "[0]");
    assert_int_equal(body_paths_add(r->paths, span_cstr(deep)), 4);
    strcat(deep, "[0]");
    assert_int_equal(body_paths_add(r->paths, span_cstr(deep)), -1);
    reading_free(r);
}

/* A full set: every path is found, the one too many is refused, and lookups stay right. */
static void test_full_set(void **state)
{
    struct body_value *v = calloc(BODY_PATHS_MAX, sizeof(*v));
    struct body_values out = {.count = BODY_PATHS_MAX, .v = v};
    char *body = malloc(BODY_PATHS_MAX * 20), path[32];
    struct outbuf o = outbuf_on(body, BODY_PATHS_MAX * 20);
    struct reading *r = reading_new();

    (void)state;
    outbuf_lit(&o, "{\"x\":0");
    for (unsigned i = 0; i < BODY_PATHS_MAX; i++) {
        int n = snprintf(path, sizeof(path), "field%u", i);

        assert_int_equal(body_paths_add(r->paths, span_of(path, (size_t)n)), i);
        n = snprintf(path, sizeof(path), ",\"field%u\":%u", i, i);
        outbuf_put(&o, path, (size_t)n);
    }
    outbuf_lit(&o, "}");
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("more")), -1);
    assert_int_equal(body_paths_add(r->paths, SPAN_LIT("field7")), 7);
    body_read(r->paths, BODY_JSON, outbuf_span(&o), SPAN_NONE, &out);
    for (unsigned i = 0; i < BODY_PATHS_MAX; i++) {
        uint64_t got = 0;

        assert_true(v[i].kind == BODY_NUMBER && span_u64(v[i].text, &got));
        assert_int_equal(got, i);
    }
    reading_free(r);
    free(body);
    free(v);
}

/* Printed, not asserted. */
static void speed_of(const char *what, const char *unit, size_t times)
{
    size_t n = strlen(unit), size = n * times + 2;
    char *body = malloc(size);
    struct reading *r = wanting("amount card.number items[0].price");
    struct timespec a, b;
    double best = 0;

    body[0] = '[';
    for (size_t i = 0; i < times; i++)
        memcpy(body + 1 + i * n, unit, n);
    body[size - 2] = ']'; /* over the last comma */
    r->out.v = r->v;
    r->out.count = body_paths_count(r->paths);
    for (int round = 0; round < 10; round++) {
        double seconds;

        clock_gettime(CLOCK_MONOTONIC, &a);
        body_read(r->paths, BODY_JSON, span_of(body, size - 1), SPAN_NONE, &r->out);
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        if ((double)size / seconds / 1e9 > best)
            best = (double)size / seconds / 1e9;
    }
    assert_int_equal(r->out.problem, BODY_PROBLEM_NONE);
    print_message("%s: %.2f GB/s\n", what, best);
    free(body);
    reading_free(r);
}

static void test_speed(void **state)
{
    (void)state;
    speed_of("records",
             "{\"id\":\"ch_3MmlLrLkdIwHu7ix0snN0B15\",\"object\":\"charge\",\"amount\":1099,"
             "\"captured\":true,\"created\":1679090539,\"currency\":\"usd\",\"customer\":null,"
             "\"description\":\"My First Test Charge (created for API docs)\",\"metadata\":{},"
             "\"billing_details\":{\"address\":{\"city\":null,\"country\":null},\"email\":null}},",
             3000);
    speed_of("text",
             "\"The quick brown fox jumps over the lazy dog, and then it goes back home and sleeps "
             "until the next morning.\\nAnd so on, as long as the text may be.\",",
             6000);
    speed_of("numbers", "[0.123456,-12,3.14159265358979,1e10,42],", 20000);
    speed_of("indented", "{\n            \"a\": 1,\n            \"b\": \"two\"\n        },", 10000);
    speed_of("cyrillic",
             "\"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xd0\xbc\xd0\xb8\xd1\x80\",",
             20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_many_paths),
        cmocka_unit_test(test_places),   cmocka_unit_test(test_wanted_variants),
        cmocka_unit_test(test_scratch),  cmocka_unit_test(test_path_texts),
        cmocka_unit_test(test_full_set), cmocka_unit_test(test_speed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
