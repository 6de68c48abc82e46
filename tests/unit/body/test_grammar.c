/* What is JSON and what is not: RFC 8259 to the letter. */
#include "body_test.h"

struct text {
    enum body_problem problem;
    const char *p;
    size_t n;
};

#define YES(s)                                                                                     \
    {                                                                                              \
        BODY_PROBLEM_NONE, (s), sizeof(s) - 1                                                      \
    }
#define NO(s)                                                                                      \
    {                                                                                              \
        BODY_PROBLEM_MALFORMED, (s), sizeof(s) - 1                                                 \
    }
#define NOT(why, s)                                                                                \
    {                                                                                              \
        BODY_PROBLEM_##why, (s), sizeof(s) - 1                                                     \
    }

/* clang-format off */
static const struct text texts[] = {
    YES("0"), YES("-0"), YES("1"), YES("-1"), YES("10"), YES("1.0"), YES("0.1"), YES("-0.0"),
    YES("1e1"), YES("1E1"), YES("1e+1"), YES("1e-1"), YES("1.5e10"), YES("0e0"), YES("0E+00"),
    YES("123456789012345678901234567890.123456789012345678901234567890e-999999999999999999999"),
    YES("true"), YES("false"), YES("null"), YES("\"\""), YES("\"a\""), YES("[]"), YES("{}"),
    YES(" \t\r\n1 \t\r\n"), YES("[ ]"), YES("{ }"), YES("[1]"), YES("[1,2]"), YES("[ 1 , 2 ]"),
    YES("[[],{},[[]]]"), YES("{\"a\":1}"), YES("{ \"a\" : 1 , \"b\" : 2 }"), YES("{\"\":1}"),
    YES("{\"a\":1,\"a\":2}"), YES("{\"a\":{\"a\":{}}}"),
    YES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""), YES("\"\\u0000\""), YES("\"\\uABCD\\uabcd\""),
    YES("\"\\ud83d\\ude00\""), YES("\"/\""), YES("\"\x7f\""), YES("\"'\""),
    YES("\"\xc3\xa4\""), YES("\"\xe2\x82\xac\""), YES("\"\xf0\x9f\x98\x80\""),
    YES("\"\xc2\x80\""), YES("\"\xdf\xbf\""), YES("\"\xe0\xa0\x80\""), YES("\"\xed\x9f\xbf\""),
    YES("\"\xee\x80\x80\""), YES("\"\xef\xbf\xbf\""), YES("\"\xf0\x90\x80\x80\""),
    YES("\"\xf4\x8f\xbf\xbf\""), YES("\"\xef\xbb\xbf\""),
    YES("\"0123456789abcdef0123456789abcdef0123456789abcdef\\n0123456789abcdef\xc3\xa4 0123456789\""),
    YES("[\"\\ud800\"]"), YES("{\"\\udc00\":1}"),
    YES("                                        1                                        "),

    NOT(EMPTY, ""), NO(" "), NO("\n"), NO("\xef\xbb\xbf{}"), NO("\0"), NO("{}\0"), NO("1\0"),
    NO("+1"), NO("01"), NO("-01"), NO("00"), NO("-"), NO("--1"), NO("1."), NO(".1"), NO("-.1"),
    NO("1.e1"), NO("1e"), NO("1e+"), NO("1e-"), NO("1e1.5"), NO("0x1"), NO("1_000"), NO("1,000"),
    NO("1 2"), NO("1f"), NO("0e"), NO("NaN"), NO("-NaN"), NO("Infinity"), NO("-Infinity"), NO("inf"),
    NO("1e1e1"), NO("1.1.1"), NO("\xd9\xa1"), NO("- 1"), NO("1 .0"),
    NO("tru"), NO("truE"), NO("True"), NO("truex"), NO("nul"), NO("nulll"), NO("fals"), NO("t"),
    NO("undefined"), NO("true false"), NO("n"), NO("None"),
    NO("\""), NO("\"a"), NO("a\""), NO("'a'"), NO("\"a\"b"), NO("\"a\" \"b\""), NO("\"a\\\""),
    NO("\"\\x41\""), NO("\"\\u\""), NO("\"\\u1\""), NO("\"\\u12\""), NO("\"\\u123\""),
    NO("\"\\u123g\""), NO("\"\\U0041\""), NO("\"\\'\""), NO("\"\\0\""), NO("\"\\a\""), NO("\"\\"),
    NO("\"\\u+123\""), NO("\"\\u 123\""), NO("\"\\\0\""), NO("\"\\\n\""), NO("\"\\u{41}\""),
    NO("\"\x01\""), NO("\"\n\""), NO("\"\t\""), NO("\"\r\""), NO("\"\x1f\""), NO("\"\0\""),
    NO("\"0123456789abcdef\x01\""), NO("\"0123456789abcde\n0123456789abcdef\""),
    NOT(NOT_UTF8, "\"\x80\""), NOT(NOT_UTF8, "\"\xc3\""), NOT(NOT_UTF8, "\"\xc3(\""),
    NOT(NOT_UTF8, "\"\xc0\x80\""), NOT(NOT_UTF8, "\"\xc0\xaf\""), NOT(NOT_UTF8, "\"\xc1\xbf\""),
    NOT(NOT_UTF8, "\"\xe0\x80\xaf\""), NOT(NOT_UTF8, "\"\xe0\x9f\xbf\""),
    NOT(NOT_UTF8, "\"\xed\xa0\x80\""), NOT(NOT_UTF8, "\"\xed\xbf\xbf\""),
    NOT(NOT_UTF8, "\"\xe2\x82\""), NOT(NOT_UTF8, "\"\xf0\x8f\xbf\xbf\""),
    NOT(NOT_UTF8, "\"\xf4\x90\x80\x80\""), NOT(NOT_UTF8, "\"\xf5\x80\x80\x80\""),
    NOT(NOT_UTF8, "\"\xf8\x88\x80\x80\x80\""), NOT(NOT_UTF8, "\"\xff\""), NOT(NOT_UTF8, "\"\xfe\""),
    NOT(NOT_UTF8, "\"\xc3\xa4\xc3\""), NOT(NOT_UTF8, "\"\xf0\x9f\x98"), NOT(NOT_UTF8, "{\"\xff\":1}"),
    NOT(NOT_UTF8, "\"0123456789abcdef\xe4\""),
    NO("\xc3\xa4"), NO("\xff"), NO("[\xc2\xa0]"),
    NO("["), NO("]"), NO("[1"), NO("[1,"), NO("[1,]"), NO("[,1]"), NO("[,]"), NO("[1,,2]"),
    NO("[1 2]"), NO("[1}"), NO("[1]]"), NO("[]1"), NO("[1:2]"), NO("[\"a\":1]"), NO("[][]"), NO("[],"),
    NO("{"), NO("}"), NO("{]"), NO("{1}"), NO("{\"a\"}"), NO("{\"a\":}"), NO("{\"a\":1"),
    NO("{\"a\":1,}"), NO("{,}"), NO("{,\"a\":1}"), NO("{\"a\":1,,\"b\":2}"), NO("{\"a\" 1}"),
    NO("{\"a\"::1}"), NO("{a:1}"), NO("{'a':1}"), NO("{1:1}"), NO("{null:1}"), NO("{\"a\":1]"),
    NO("{\"a\":1}}"), NO("{\"a\":1} {\"b\":2}"), NO("{\"a\":1}x"), NO("{\"a\":1 \"b\":2}"),
    NO("{\"a\",\"b\"}"), NO("{\"a\":1;\"b\":2}"), NO("{\"a\"=1}"), NO("{[]:1}"), NO("{\"a"),
    NO("// x\n1"), NO("1 // x"), NO("/* x */1"), NO("[1/**/]"), NO("#x\n1"), NO("[1\x0b]"),
    NO("[1\x0c]"), NO("\x1e{}"), NO("{}\x1a"), NO("[1\xe2\x80\xa8]"), NO("{}{}"), NO("{}\n{}"),
    NO("<x/>"), NO("a=1&b=2"), NO("!"), NO("\\u0031"), NO("@"),
};
/* clang-format on */

static void test_texts(void **state)
{
    struct reading *plain = reading_new(), *whole = wanting("");

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct span s = span_of(texts[i].p, texts[i].n);

        read_json(plain, s);
        if (plain->out.problem != texts[i].problem)
            fail_msg("%.*s: expected %s, got %s at %zu", SPAN_ARG(s),
                     body_problem_name(texts[i].problem), body_problem_name(plain->out.problem),
                     plain->out.problem_at);
        read_json(whole, s);
        assert_int_equal(whole->out.problem, texts[i].problem);
        if (texts[i].problem) {
            assert_value(whole, 0, texts[i].p, "unreadable");
            assert_true(whole->out.problem_at <= s.n);
        }
    }
    print_message("%zu texts\n", sizeof(texts) / sizeof(texts[0]));
    reading_free(plain);
    reading_free(whole);
}

/* No text stays JSON when its end is cut off, unless it is a bare number or ends in white space. */
static void test_every_prefix(void **state)
{
    static const char text[] = "{\"a\":[1,-2.5e+10,true,null,\"x\\u00e4\\ud83d\\ude00\xc3\xa4\"],"
                               "\"b\":{\"c\":false}}";
    struct reading *r = wanting("a[1] b.c");

    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        read_json(r, span_of(text, n));
        if (!r->out.problem)
            fail_msg("accepted: %.*s", (int)n, text);
    }
    read_json(r, span_of(text, sizeof(text) - 1));
    assert_value(r, 0, text, "n:-2.5e+10");
    assert_value(r, 1, text, "false");
    reading_free(r);
}

static void nest(char *buf, unsigned depth, const char *open, const char *close)
{
    *buf = '\0';
    for (unsigned i = 0; i < depth; i++)
        strcat(buf, open);
    strcat(buf, "1");
    for (unsigned i = 0; i < depth; i++)
        strcat(buf, close);
}

static void test_depth(void **state)
{
    struct reading *r = reading_new();
    size_t n = 1 << 20;
    char buf[2000], *many = malloc(n);

    (void)state;
    for (unsigned depth = BODY_DEPTH_MAX - 1; depth < BODY_DEPTH_MAX + 3; depth++) {
        enum body_problem expected =
            depth > BODY_DEPTH_MAX ? BODY_PROBLEM_TOO_DEEP : BODY_PROBLEM_NONE;

        nest(buf, depth, "[", "]");
        read_json(r, span_cstr(buf));
        assert_int_equal(r->out.problem, expected);
        nest(buf, depth, "{\"a\":", "}");
        read_json(r, span_cstr(buf));
        assert_int_equal(r->out.problem, expected);
    }
    memset(many, '[', n);
    read_json(r, span_of(many, n));
    assert_int_equal(r->out.problem, BODY_PROBLEM_TOO_DEEP);
    assert_int_equal(r->out.problem_at, BODY_DEPTH_MAX);
    free(many);
    reading_free(r);
}

static void test_types(void **state)
{
    static const struct {
        const char *content_type;
        enum body_type type;
    } types[] = {
        {"", BODY_NONE},
        {" ", BODY_NONE},
        {"application/json", BODY_JSON},
        {"Application/JSON", BODY_JSON},
        {"application/json;", BODY_JSON},
        {"application/json; charset=utf-8", BODY_JSON},
        {"application/json;charset=\"UTF-8\"", BODY_JSON},
        {"application/json ; version=2", BODY_JSON},
        {"application/problem+json", BODY_JSON},
        {"application/vnd.x+JSON; q=1", BODY_JSON},
        {"application/x-www-form-urlencoded", BODY_FORM},
        {"application/x-www-form-urlencoded; charset=utf-8", BODY_FORM},
        {"application/json; charset=utf-16", BODY_OTHER},
        {"application/json; charset=iso-8859-1", BODY_OTHER},
        {"application/json; charset=utf-8; charset=utf-7", BODY_OTHER},
        {"application/json; charset=utf-8; charset=utf-8", BODY_OTHER},
        {"application/json; charset", BODY_OTHER},
        {"application/json; =utf-8", BODY_OTHER},
        {"application/json, text/plain", BODY_OTHER},
        {"application/json text/plain", BODY_OTHER},
        {"application/jsonx", BODY_OTHER},
        {"application/", BODY_OTHER},
        {"application", BODY_OTHER},
        {"/json", BODY_OTHER},
        {"+json", BODY_OTHER},
        {"application/+json", BODY_OTHER},
        {"text/json", BODY_OTHER},
        {"text/plain", BODY_OTHER},
        {"multipart/form-data; boundary=x", BODY_MULTIPART},
        {"text/x-www-form-urlencoded", BODY_OTHER},
        {"application/x-www-form-urlencoded; charset=utf-16", BODY_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (body_type_of(span_cstr(types[i].content_type)) != types[i].type)
            fail_msg("\"%s\": expected %d, got %d", types[i].content_type, types[i].type,
                     body_type_of(span_cstr(types[i].content_type)));
}

static void test_other_kinds(void **state)
{
    struct reading *r = wanting("a");

    (void)state;
    read_with(r, BODY_NONE, SPAN_LIT(""), 0);
    assert_int_equal(r->out.problem, BODY_PROBLEM_NONE);
    assert_value(r, 0, "no body", "missing");
    read_with(r, BODY_NONE, SPAN_LIT("{}"), 0);
    assert_int_equal(r->out.problem, BODY_PROBLEM_TYPE);
    read_with(r, BODY_OTHER, SPAN_LIT("{\"a\":1}"), 0);
    assert_int_equal(r->out.problem, BODY_PROBLEM_TYPE);
    assert_value(r, 0, "other", "unreadable");
    read_with(r, BODY_FORM, SPAN_LIT(""), 0);
    assert_int_equal(r->out.problem, BODY_PROBLEM_NONE);
    assert_value(r, 0, "empty form", "missing");
    body_unreadable(BODY_PROBLEM_TOO_LARGE, &r->out);
    assert_value(r, 0, "too large", "unreadable");
    assert_string_equal(body_problem_name(r->out.problem), "too_large");
    for (unsigned i = 0; i < BODY_PROBLEM_COUNT; i++)
        assert_true(strlen(body_problem_name((enum body_problem)i)) >= 4);
    reading_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),       cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_types),
        cmocka_unit_test(test_other_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
