#include "base_test.h"

#include <time.h>

#include "base/base.h"

#define JSON(in, out)                                                                              \
    {                                                                                              \
        {(in), sizeof(in) - 1}, (out)                                                              \
    }

static const struct {
    struct span in;
    const char *out;
} cases[] = {
    JSON("", "\"\""),
    JSON("plain", "\"plain\""),
    JSON("a\"b\\c/", "\"a\\\"b\\\\c/\""),
    JSON("\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\""),
    JSON("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\\u007f\""),
    JSON("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\""),
    JSON("\xff", "\"\xef\xbf\xbd\""),
    JSON("\xc3", "\"\xef\xbf\xbd\""),                                 /* cut short */
    JSON("\xc3(", "\"\xef\xbf\xbd(\""),                               /* no follower */
    JSON("\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""),                 /* overlong NUL */
    JSON("\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""), /* overlong */
    JSON("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""), /* surrogate */
    JSON("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""), /* > 10FFFF */
    JSON("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""),
    JSON("\xf8\x88\x80\x80\x80",
         "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""),
    JSON("\x80x", "\"\xef\xbf\xbdx\""),
    JSON("\xe2\x82\"", "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\""), /* the quote is not swallowed */
};

static void json_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char buf[200];
        struct outbuf o = outbuf_on(buf, sizeof(buf));

        outbuf_json(&o, cases[i].in);
        assert_false(o.full);
        buf[o.n] = '\0';
        assert_string_equal(buf, cases[i].out);
    }
}

static void xml_text(void **state)
{
    static const struct {
        struct span in;
        const char *out;
    } texts[] = {
        JSON("", ""),
        JSON("a<b>&\"c' \t\n", "a&lt;b&gt;&amp;&quot;c&apos; \t\n"),
        JSON("\0\x0b\x1f", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
        JSON("\xc3\xbc\xf0\x9f\x98\x80", "\xc3\xbc\xf0\x9f\x98\x80"),
        JSON("\xff<", "\xef\xbf\xbd&lt;"),
        JSON("\xef\xbf\xbf", "\xef\xbf\xbd"), /* U+FFFF is in no document */
        JSON("\xc3", "\xef\xbf\xbd"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char buf[200];
        struct outbuf o = outbuf_on(buf, sizeof(buf));

        outbuf_xml(&o, texts[i].in);
        assert_false(o.full);
        buf[o.n] = '\0';
        assert_string_equal(buf, texts[i].out);
        o = outbuf_on(buf, o.n ? o.n - 1 : 0);
        outbuf_xml(&o, texts[i].in);
        assert_int_equal(o.full, texts[i].in.n != 0);
    }
}

/* Whatever fits must be a prefix, and not a byte behind the end may change. */
static void every_size_is_safe(void **state)
{
    const char *want = "12ab\"\\n\xef\xbf\xbd\"x=18446744073709551615;end";

    (void)state;
    for (size_t cap = 0; cap <= strlen(want) + 2; cap++) {
        char buf[100];
        struct outbuf o = outbuf_on(buf, cap);

        memset(buf, '#', sizeof(buf));
        outbuf_hex(&o, "\x12\xab", 2);
        outbuf_json(&o, SPAN_LIT("\n\xff"));
        outbuf_printf(&o, "%c=", 'x');
        outbuf_u64(&o, UINT64_MAX);
        outbuf_char(&o, ';');
        outbuf_cstr(&o, "end");
        assert_int_equal(o.full, cap < strlen(want));
        assert_true(o.n <= cap);
        assert_memory_equal(buf, want, o.n);
        for (size_t i = cap; i < sizeof(buf); i++)
            assert_int_equal(buf[i], '#');
    }
}

static void nothing_follows_what_did_not_fit(void **state)
{
    char buf[4];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    (void)state;
    outbuf_lit(&o, "ab");
    outbuf_lit(&o, "cde");
    outbuf_char(&o, 'f');
    outbuf_printf(&o, "g");
    outbuf_u64(&o, 1);
    outbuf_hex(&o, "h", 1);
    assert_true(o.full);
    assert_int_equal(o.n, 2);
}

static void printf_of_any_length(void **state)
{
    char buf[2000];

    (void)state;
    for (int n = 0; n < 1500; n++) {
        struct outbuf o = outbuf_on(buf, (size_t)n + 1);

        outbuf_printf(&o, "%*s", n, "x");
        assert_int_equal(o.full, false);
        assert_int_equal(o.n, n ? n : 1);
    }
    for (int n = 2; n < 1500; n++) {
        struct outbuf o = outbuf_on(buf, (size_t)n - 1);

        outbuf_printf(&o, "%*s", n, "x");
        assert_int_equal(o.full, true);
        assert_int_equal(o.n, 0);
    }
}

static void numbers(void **state)
{
    char buf[64];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    (void)state;
    outbuf_u64(&o, 0);
    outbuf_char(&o, ' ');
    outbuf_u64(&o, 10203);
    outbuf_char(&o, '\0');
    assert_string_equal(buf, "0 10203");
}

static void clock_text_is_rfc3339(void **state)
{
    char out[CLOCK_TEXT];

    (void)state;
    assert_string_equal(clock_text(0, out), "1970-01-01T00:00:00.000000000Z");
    assert_string_equal(clock_text(1795435080123456789ull, out), "2026-11-23T11:58:00.123456789Z");
    assert_string_equal(clock_text(951782399ull * NS_IN_S, out), "2000-02-28T23:59:59.000000000Z");
    assert_string_equal(clock_text(951782400ull * NS_IN_S, out), "2000-02-29T00:00:00.000000000Z");
    assert_string_equal(clock_text(4107542400ull * NS_IN_S, out), "2100-03-01T00:00:00.000000000Z");
    assert_string_equal(clock_text(UINT64_MAX, out), "2554-07-21T23:34:33.709551615Z");
}

/* Every day of five centuries against the C library. */
static void clock_text_agrees_with_gmtime(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 213000; day++) {
        time_t t = (time_t)(day * 86400 + day % 86400);
        char out[CLOCK_TEXT], want[CLOCK_TEXT];
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000000000Z", &tm);
        assert_string_equal(clock_text((uint64_t)t * NS_IN_S, out), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_strings),          cmocka_unit_test(xml_text),
        cmocka_unit_test(every_size_is_safe),    cmocka_unit_test(nothing_follows_what_did_not_fit),
        cmocka_unit_test(printf_of_any_length),  cmocka_unit_test(numbers),
        cmocka_unit_test(clock_text_is_rfc3339), cmocka_unit_test(clock_text_agrees_with_gmtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
