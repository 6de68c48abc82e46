/* What is JSON and what is not, by section of RFC 8259: text, and the problem with its place. Rows
 * without a problem are accepted. */
#include "body_test.h"

struct row {
    const char *text;
    const char *problem; /* NULL: accepted */
    size_t at;
};

#define OK(text)                                                                                   \
    {                                                                                              \
        text, NULL, 0                                                                              \
    }
#define BAD(text, at)                                                                              \
    {                                                                                              \
        text, "malformed", at                                                                      \
    }
#define UTF(text, at)                                                                              \
    {                                                                                              \
        text, "not_utf8", at                                                                       \
    }

/* RFC 8259 2: structure, white space, the three literals. */
static const struct row grammar[] = {
    {"", "empty", 0},
    BAD(" ", 1),
    BAD("\t\r\n ", 4),
    OK("null"),
    OK("true"),
    OK("false"),
    OK(" null"),
    OK("null "),
    OK("\tnull"),
    OK("\nnull"),
    OK("\rnull"),
    OK(" \t\r\nnull \t\r\n"),
    OK("                                null                                "),
    BAD("\vnull", 0),
    BAD("\fnull", 0),
    BAD("\bnull", 0),
    BAD("\x01null", 0),
    BAD("\x7fnull", 0),
    BAD("null\v", 4),
    BAD("null\f", 4),
    BAD("\xc2\xa0null", 0),     /* no-break space */
    BAD("\xe2\x80\xa8null", 0), /* line separator */
    BAD("\xe3\x80\x80null", 0), /* ideographic space */
    BAD("null\xc2\xa0", 4),
    BAD("\xef\xbb\xbfnull", 0), /* 8.1: no byte order mark */
    BAD("\xef\xbb\xbf", 0),
    BAD("Null", 0),
    BAD("NULL", 0),
    BAD("True", 0),
    BAD("TRUE", 0),
    BAD("False", 0),
    BAD("n", 0),
    BAD("nul", 0),
    BAD("nulll", 4),
    BAD("nullnull", 4),
    BAD("null null", 5),
    BAD("tru", 0),
    BAD("truee", 4),
    BAD("fals", 0),
    BAD("falsey", 5),
    BAD("nil", 0),
    BAD("none", 0),
    BAD("undefined", 0),
    BAD("NaN", 0),
    BAD("nan", 0),
    BAD("Infinity", 0),
    BAD("-Infinity", 0),
    BAD("inf", 0),
    BAD("yes", 0),
    BAD("/* c */ null", 0),
    BAD("null /* c */", 5),
    BAD("// c\nnull", 0),
    BAD("null // c", 5),
    BAD("# c\nnull", 0),
    BAD("<!-- -->null", 0),
    BAD("null,", 4),
    BAD("null;", 4),
    BAD(",null", 0),
    BAD("(null)", 0),
    BAD("null}", 4),
    BAD("null]", 4),
    BAD("]", 0),
    BAD("}", 0),
    BAD(":", 0),
    BAD(",", 0),
    BAD("'a'", 0),
    BAD("`a`", 0),
    BAD("a", 0),
    BAD(")]}',\nnull", 0), /* what some services put in front */
    BAD("while(1);{}", 0),
    BAD("{}{}", 2),
    BAD("{}\n{}", 3), /* lines of JSON are no JSON text */
    BAD("[][]", 2),
    BAD("\x1e{}", 0), /* RFC 7464 */
    BAD("\"a\" \"b\"", 4),
    BAD("1 2", 2),
    BAD("\\u006eull", 0),
};

/* RFC 8259 4 */
static const struct row objects[] = {
    OK("{}"),
    OK("{ }"),
    OK("{\n\t\r }"),
    OK("{\"\":0}"),
    OK("{\"a\":0}"),
    OK("{\"a\" : 0}"),
    OK(" { \"a\" : 0 , \"b\" : 1 } "),
    OK("{\"a\":{},\"b\":[]}"),
    OK("{\"a\":0,\"a\":1}"), /* "should be unique": seen, and told of the path */
    OK("{\"\\u0000\":0}"),
    OK("{\"a b\":0,\"a.b\":1}"),
    OK("{\"\\\"\":0}"),
    OK("{\"\xc3\xa4\":0}"),
    OK("{\"a\":{\"b\":{\"c\":{\"d\":null}}}}"),
    BAD("{", 1),
    BAD("{ ", 2),
    BAD("{\"", 2),
    BAD("{\"a", 3),
    BAD("{\"a\"", 4),
    BAD("{\"a\" ", 5),
    BAD("{\"a\":", 5),
    BAD("{\"a\": ", 6),
    BAD("{\"a\":0", 6),
    BAD("{\"a\":0,", 7),
    BAD("{\"a\":0,\"", 8),
    BAD("{\"a\":0,}", 7),
    BAD("{\"a\":0, }", 8),
    BAD("{,\"a\":0}", 1),
    BAD("{,}", 1),
    BAD("{\"a\":0,,\"b\":1}", 7),
    BAD("{\"a\":0 \"b\":1}", 7),
    BAD("{\"a\":0;\"b\":1}", 6),
    BAD("{\"a\"}", 4),
    BAD("{\"a\",\"b\"}", 4),
    BAD("{\"a\":}", 5),
    BAD("{\"a\":,\"b\":0}", 5),
    BAD("{\"a\"::0}", 5),
    BAD("{\"a\"=0}", 4),
    BAD("{\"a\"=>0}", 4),
    BAD("{\"a\" 0}", 5),
    BAD("{:0}", 1),
    BAD("{a:0}", 1),
    BAD("{'a':0}", 1),
    BAD("{0:0}", 1),
    BAD("{null:0}", 1),
    BAD("{true:0}", 1),
    BAD("{[]:0}", 1),
    BAD("{{}:0}", 1),
    BAD("{\"a\":0]", 6),
    BAD("{\"a\":[0}", 7),
    BAD("{\"a\":0}}", 7),
    BAD("{\"a\":0},", 7),
    BAD("{\"a\":0}x", 7),
    BAD("{\"a\":0)", 6),
    BAD("{\"a\":/**/0}", 5),
    BAD("{/**/\"a\":0}", 1),
    BAD("{\"a\":0/**/}", 6),
    BAD("{\"a\":0,//\n\"b\":1}", 7),
    BAD("{...}", 1),
    BAD("{\"a\":...}", 5),
    BAD("{\"a\":b}", 5),
    BAD("{\"a\":'b'}", 5),
    BAD("{\"a\":undefined}", 5),
    BAD("{\"a\":function(){}}", 5),
    BAD("{\"a\":new Date()}", 5),
    BAD("{\"a\\x\":0}", 3),
    BAD("{\"a\n\":0}", 3),
    UTF("{\"\xff\":0}", 2),
    UTF("{\"a\":\"\xff\"}", 6),
};

/* RFC 8259 5 */
static const struct row arrays[] = {
    OK("[]"),
    OK("[ ]"),
    OK("[\n]"),
    OK("[0]"),
    OK("[ 0 ]"),
    OK("[0,1]"),
    OK("[0 ,1 , 2]"),
    OK("[null,true,false,\"\",0,{},[]]"),
    OK("[[[[]]]]"),
    OK("[[],[[]],[[],[]]]"),
    BAD("[", 1),
    BAD("[[", 2),
    BAD("[[]", 3),
    BAD("[0", 2),
    BAD("[0,", 3),
    BAD("[0,]", 3),
    BAD("[0, ]", 4),
    BAD("[,]", 1),
    BAD("[,0]", 1),
    BAD("[0,,1]", 3),
    BAD("[0 1]", 3),
    BAD("[0;1]", 2),
    BAD("[0:1]", 2),
    BAD("[\"a\":0]", 4),
    BAD("[0}", 2),
    BAD("[}", 1),
    BAD("[]]", 2),
    BAD("[],", 2),
    BAD("[0,\n", 4),
    BAD("[a]", 1),
    BAD("[']", 1),
    BAD("[0,...]", 3),
    BAD("[1,2,3", 6),
    BAD("[\"a\"", 4),
    BAD("[\"a\",", 5),
    BAD("[\"a", 3),
    BAD("[nul]", 1),
    BAD("[nulll]", 5),
    BAD("[truefalse]", 5),
    BAD("[(0)]", 1),
    BAD("[0\0]", 2),
};

/* RFC 8259 6 */
static const struct row numbers[] = {
    OK("0"),
    OK("-0"),
    OK("1"),
    OK("-1"),
    OK("10"),
    OK("1234567890"),
    OK("123456789012345678901234567890123456789012345678901234567890"),
    OK("0.0"),
    OK("-0.0"),
    OK("0.000000000000000000000000000000000000000000000000000000001"),
    OK("1.5"),
    OK("1.50"),
    OK("0e0"),
    OK("0E0"),
    OK("1e1"),
    OK("1E1"),
    OK("1e+1"),
    OK("1e-1"),
    OK("1E+1"),
    OK("1E-1"),
    OK("1e00"),
    OK("1e01"),
    OK("1.0e1"),
    OK("-1.5E-05"),
    OK("1e999999999999999999999999"),
    OK("-1e-999999999999999999999999"),
    OK("[0,1]"),
    OK("0 "),
    BAD("-", 0),
    BAD("+", 0),
    BAD("+1", 0),
    BAD("+0", 0),
    BAD("--1", 0),
    BAD("-+1", 0),
    BAD("- 1", 0),
    BAD("-a", 0),
    BAD("00", 1),
    BAD("01", 1),
    BAD("-00", 2),
    BAD("-01", 2),
    BAD("000000000000000000000001", 1),
    BAD("1.", 0),
    BAD("-1.", 0),
    BAD(".5", 0),
    BAD("-.5", 0),
    BAD(".", 0),
    BAD("1.e1", 0),
    BAD("1..5", 0),
    BAD("1.5.5", 3),
    BAD("1.-5", 0),
    BAD("1e", 0),
    BAD("1E", 0),
    BAD("1e+", 0),
    BAD("1e-", 0),
    BAD("1e+-1", 0),
    BAD("1ee1", 0),
    BAD("1e1e1", 3),
    BAD("1e1.5", 3),
    BAD("1e 1", 0),
    BAD("1 e1", 2),
    BAD("e1", 0),
    BAD("0x10", 1),
    BAD("0X10", 1),
    BAD("0b1", 1),
    BAD("0o7", 1),
    BAD("1_000", 1),
    BAD("1,000", 1),
    BAD("1'000", 1),
    BAD("1 000", 2),
    BAD("1f", 1),
    BAD("1L", 1),
    BAD("1n", 1),
    BAD("1u", 1),
    BAD("1%", 1),
    BAD("$1", 0),
    BAD("1/2", 1),
    BAD("1+1", 1),
    BAD("1-1", 1),
    BAD("-NaN", 0),
    BAD("-inf", 0),
    BAD("1\v", 1),
    BAD("\xef\xbc\x91", 0), /* FULLWIDTH DIGIT ONE */
    BAD("\xd9\xa1", 0),     /* ARABIC-INDIC DIGIT ONE */
    BAD("1\xef\xbc\x91", 1),
    BAD("\xe2\x88\x92"
        "1",
        0), /* MINUS SIGN */
    BAD("[1.]", 1),
    BAD("[-]", 1),
    BAD("[01]", 2),
    BAD("{\"a\":1.}", 5),
    BAD("{\"a\":1e}", 5),
    BAD("{\"a\":+1}", 5),
    BAD("1234567890123456789012345678901x", 31),
    BAD("1.234567890123456789012345678901x", 32),
    BAD("1e23456789012345678901234567890x", 31),
};

/* RFC 8259 7, 8.1, 8.2: strings, escapes, UTF-8 (RFC 3629). */
static const struct row strings[] = {
    OK("\"\""),
    OK("\"a\""),
    OK("\" \""),
    OK("\"'\""),
    OK("\"/\""),
    OK("\"\x7f\""), /* DEL is no control character of RFC 8259 */
    OK("\"\\\"\""),
    OK("\"\\\\\""),
    OK("\"\\/\""),
    OK("\"\\b\\f\\n\\r\\t\""),
    OK("\"\\u0000\""),
    OK("\"\\u0041\\u00e4\\u20AC\""),
    OK("\"\\uABCD\\uabcd\\uAbCd\""),
    OK("\"\\uD83D\\uDE00\""),
    OK("\"\\ud800\""), /* lone ones are grammar; wanted, they are no text */
    OK("\"\\udc00\""),
    OK("\"\\ud800\\ud800\""),
    OK("\"\\\\u0041\""),
    OK("\"\xc2\x80\""),
    OK("\"\xdf\xbf\""),
    OK("\"\xe0\xa0\x80\""),
    OK("\"\xed\x9f\xbf\""),
    OK("\"\xee\x80\x80\""),
    OK("\"\xef\xbf\xbf\""),
    OK("\"\xef\xbb\xbf\""), /* inside it is a character like others */
    OK("\"\xf0\x90\x80\x80\""),
    OK("\"\xf4\x8f\xbf\xbf\""),
    OK("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    OK("\"0123456789abcdef0123456789abcdef0123456789abcdef\""),
    BAD("\"", 1),
    BAD("\"a", 2),
    BAD("\"\\\"", 3),
    BAD("\"\\", 1),
    BAD("\"a\\", 2),
    BAD("\"a\"b", 3),
    BAD("\"\"\"", 2),
    BAD("\"\\x41\"", 1),
    BAD("\"\\'\"", 1),
    BAD("\"\\a\"", 1),
    BAD("\"\\v\"", 1),
    BAD("\"\\0\"", 1),
    BAD("\"\\1\"", 1),
    BAD("\"\\e\"", 1),
    BAD("\"\\ \"", 1),
    BAD("\"\\\n\"", 1),
    BAD("\"\\B\"", 1),
    BAD("\"\\N\"", 1),
    BAD("\"\\U00000041\"", 1),
    BAD("\"\\u\"", 1),
    BAD("\"\\u0\"", 1),
    BAD("\"\\u00\"", 1),
    BAD("\"\\u004\"", 1),
    BAD("\"\\u004g\"", 1),
    BAD("\"\\u00 1\"", 1),
    BAD("\"\\u-041\"", 1),
    BAD("\"\\u+041\"", 1),
    BAD("\"\\u{41}\"", 1),
    BAD("\"\\u0x41\"", 1),
    BAD("\"\\u", 1),
    BAD("\"\\u004", 1),
    BAD("\"\\ud83d\\u\"", 7),
    BAD("\"\\ud83d\\", 7),
    BAD("\"ab\\q\"", 3),
    BAD("\"\x01\"", 1),
    BAD("\"\b\"", 1),
    BAD("\"\t\"", 1),
    BAD("\"\n\"", 1),
    BAD("\"\r\"", 1),
    BAD("\"\x1f\"", 1),
    BAD("\"\x1b[0m\"", 1),
    BAD("\"0123456789abcde\x1f\"", 16),
    BAD("\"0123456789abcdef\x1f\"", 17),
    BAD("\"0123456789abcdef0123456789abcdef\n\"", 33),
    BAD("\"0123456789abcdef0123456789abcdef", 33),
    BAD("\xc3\xa4", 0),
    BAD("\xff", 0),
    UTF("\"\x80\"", 1),
    UTF("\"\xbf\"", 1),
    UTF("\"\xc0\x80\"", 1), /* more bytes than it takes */
    UTF("\"\xc0\xaf\"", 1),
    UTF("\"\xc1\xbf\"", 1),
    UTF("\"\xe0\x80\x80\"", 1),
    UTF("\"\xe0\x9f\xbf\"", 1),
    UTF("\"\xf0\x80\x80\x80\"", 1),
    UTF("\"\xf0\x8f\xbf\xbf\"", 1),
    UTF("\"\xed\xa0\x80\"", 1), /* surrogates */
    UTF("\"\xed\xbf\xbf\"", 1),
    UTF("\"\xed\xa0\xbd\xed\xb8\x80\"", 1),
    UTF("\"\xf4\x90\x80\x80\"", 1), /* beyond U+10FFFF */
    UTF("\"\xf5\x80\x80\x80\"", 1),
    UTF("\"\xf8\x88\x80\x80\x80\"", 1),
    UTF("\"\xfc\x84\x80\x80\x80\x80\"", 1),
    UTF("\"\xfe\"", 1),
    UTF("\"\xff\"", 1),
    UTF("\"\xc3\"", 1), /* cut */
    UTF("\"\xe2\x82\"", 1),
    UTF("\"\xf0\x9f\x98\"", 1),
    UTF("\"\xc3", 1),
    UTF("\"\xe2\x82", 1),
    UTF("\"a\xc3\x28\"", 2),
    UTF("\"\xe2\x28\xa1\"", 1),
    UTF("\"\xe2\x82\x28\"", 1),
    UTF("\"\xf0\x28\x8c\xbc\"", 1),
    UTF("\"\xf0\x90\x28\xbc\"", 1),
    UTF("\"\xf0\x90\x8c\x28\"", 1),
    UTF("\"\xc3\xa4\xc3\"", 3),
    UTF("\"0123456789abcde\xff\"", 16),
    UTF("\"0123456789abcdef\xe4\"", 17), /* ISO 8859-1 */
    UTF("[\"\xff\"]", 2),
    UTF("{\"a\":\"b\",\"\xe4\":1}", 10),
};

/* Texts with NUL bytes, and other encodings. */
static const struct {
    const char *text;
    size_t n, at;
} with_nul[] = {
    {"\0", 1, 0},           {"\0null", 5, 0},         {"null\0", 5, 4},
    {"{}\0", 3, 2},         {"{\0}", 3, 1},           {"[0\0]", 4, 2},
    {"\"\0\"", 3, 1},       {"\"a\0b\"", 5, 2},       {"1\0", 2, 1},
    {"{\"a\"\0:1}", 8, 4},  {"{\"a\":\0001}", 8, 5},  {"{\"a\":1\0,\"a\":2}", 14, 6},
    {"n\0u\0l\0l\0", 8, 0}, /* UTF-16LE */
    {"\0n\0u\0l\0l", 8, 0}, /* UTF-16BE */
    {"{\0}\0", 4, 1},       {"\xff\xfe{\0}\0", 6, 0}, {"\xfe\xff\0{\0}", 6, 0},
    {"1\0\0\0", 4, 1}, /* UTF-32LE */
};

static unsigned wrong;

static void check(struct span text, const char *problem, size_t at)
{
    struct reading *r = wanting("zz");
    const char *expected = problem ? problem : "none", *got;

    read_json(r, text);
    got = body_problem_name(r->out.problem);
    if (strcmp(got, expected) != 0 || r->out.problem_at != at) {
        print_error("%.*s: expected %s at %zu, got %s at %zu\n", SPAN_ARG(text), expected, at, got,
                    r->out.problem_at);
        wrong++;
    }
    reading_free(r);
}

static void check_all(const struct row *rows, size_t n)
{
    wrong = 0;
    for (size_t i = 0; i < n; i++)
        check(span_cstr(rows[i].text), rows[i].problem, rows[i].at);
    print_message("%zu texts\n", n);
    assert_int_equal(wrong, 0);
}

#define SECTION(name)                                                                              \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_all(name, sizeof(name) / sizeof(*name));                                             \
    }
SECTION(grammar)
SECTION(objects)
SECTION(arrays)
SECTION(numbers)
SECTION(strings)

static void test_nul(void **state)
{
    (void)state;
    wrong = 0;
    for (size_t i = 0; i < sizeof(with_nul) / sizeof(*with_nul); i++)
        check(span_of(with_nul[i].text, with_nul[i].n), "malformed", with_nul[i].at);
    assert_int_equal(wrong, 0);
}

static void test_there_are_enough(void **state)
{
    size_t n = sizeof(grammar) / sizeof(*grammar) + sizeof(objects) / sizeof(*objects) +
               sizeof(arrays) / sizeof(*arrays) + sizeof(numbers) / sizeof(*numbers) +
               sizeof(strings) / sizeof(*strings) + sizeof(with_nul) / sizeof(*with_nul);

    (void)state;
    print_message("%zu in all\n", n);
    assert_true(n >= 300);
}

/* The same rows where they are not the whole: what is refused stays so in an array's second place,
 * after a string that ends beyond a block of 16 bytes, at the place that much further on. */
static void test_further_on(void **state)
{
    static const char before[] = "[\"0123456789abcdef0123456789\", ";
    static const struct {
        const struct row *rows;
        size_t n;
    } all[] = {{numbers, sizeof(numbers) / sizeof(*numbers)},
               {strings, sizeof(strings) / sizeof(*strings)},
               {objects, sizeof(objects) / sizeof(*objects)}};

    (void)state;
    wrong = 0;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < all[k].n; i++) {
            const struct row *row = &all[k].rows[i];
            char text[400];
            int n =
                snprintf(text, sizeof(text), "%s%s%s", before, row->text, row->problem ? "" : "]");

            if (row->problem && strchr(",]", row->text[row->at]))
                continue; /* there it may go on, and fails elsewhere */
            check(span_of(text, (size_t)n), row->problem,
                  row->problem ? row->at + sizeof(before) - 1 : 0);
        }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),    cmocka_unit_test(test_objects),
        cmocka_unit_test(test_arrays),     cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_nul),
        cmocka_unit_test(test_further_on), cmocka_unit_test(test_there_are_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
