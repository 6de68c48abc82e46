/* Exact comparison of decimal numbers, against a slow model that writes both out. */
#include "body_test.h"

struct row {
    const char *a;
    int order;
    const char *b;
};

static const struct row rows[] = {
    {"0", 0, "-0"},
    {"0", 0, "0.000e99"},
    {"-0.0e-5", 0, "0e5"},
    {"1", 0, "1.0"},
    {"50000", 0, "5e4"},
    {"50000", 0, "50000.0"},
    {"50000", 0, "0.5E5"},
    {"50000", 0, "500000000e-4"},
    {"50000", 0, "5.0000e+0004"},
    {"0.00001", 0, "1e-5"},
    {"50001", 1, "5e4"},
    {"50000.0000000000000000000000000000001", 1, "5e4"},
    {"49999.9999999999999999999999999999999", -1, "5e4"},
    {"1e400", 1, "1e399"},
    {"1e400", 1, "9.99e399"},
    {"-1e400", -1, "-1e399"},
    {"1e-400", -1, "1e-399"},
    {"1e-400", 1, "0"},
    {"-1e-400", -1, "0"},
    {"-1", -1, "1"},
    {"-1", -1, "0"},
    {"-2", -1, "-1"},
    {"10", 1, "9"},
    {"-10", -1, "-9"},
    {"123", -1, "1230"},
    {"9007199254740993", 1, "9007199254740992"},
    {"18446744073709551616", 1, "18446744073709551615"},
    {"0.1", 1, "0.09999999999999999999999999999999999999"},
    {"0.30000000000000004", 1, "0.3"},
    {"12345678901234567890.5", 0, "1234567890123456789050e-2"},
    {"1e999999999999999999", 1, "1e999999999999999998"},
    {"1e1000000000000000000", 0, "1e1000000000000000001"},
    {"1e999999999999999999", -1, "1e9999999999999999999"},
    {"1e1000000000000000000", 0, "1e9223372036854775809"},
    {"1e-9223372036854775809", 0, "1e-18446744073709551617"},
    {"1e99999999999999999999999999", 1, "1e5"},
    {"1e-99999999999999999999999999", -1, "1e-5"},
    {"0e99999999999999999999999999", 0, "0"},
    {"0e99999999999999999999999999", -1, "1e-99999999999999999999999999"},
    {"1e0000000000000000000000000000002", 0, "100"},
};

static void assert_order(struct span a, struct span b, int expected)
{
    int order = 7;

    if (!body_number_cmp(a, b, &order) || order != expected)
        fail_msg("%.*s to %.*s: expected %d, got %d", SPAN_ARG(a), SPAN_ARG(b), expected, order);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_order(span_cstr(rows[i].a), span_cstr(rows[i].b), rows[i].order);
        assert_order(span_cstr(rows[i].b), span_cstr(rows[i].a), -rows[i].order);
        assert_order(span_cstr(rows[i].a), span_cstr(rows[i].a), 0);
    }
}

static void test_valid(void **state)
{
    static const char *const good[] = {"0",   "-0",   "1",          "1.5",
                                       "1e5", "1E-5", "10.010e+10", "12345678901234567890123"};
    static const char *const bad[] = {
        "",    "+1",    "01",  "1.",  ".5",  "1e",    "e5",
        " 1",  "1 ",    "--1", "-",   "0x1", "1,0",   "1e+",
        "Inf", "1e5.0", "00",  "-01", "1-",  "1.5.5", "12345678901234567890123x"};
    int order;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(body_number_valid(span_cstr(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (body_number_valid(span_cstr(bad[i])))
            fail_msg("taken as a number: %s", bad[i]);
        assert_false(body_number_cmp(span_cstr(bad[i]), SPAN_LIT("1"), &order));
        assert_false(body_number_cmp(SPAN_LIT("1"), span_cstr(bad[i]), &order));
    }
    assert_false(body_number_valid(SPAN_NONE));
    assert_false(body_number_valid(SPAN_LIT("1\0")));
}

/* The model: each number as 400 digits with the point in the middle. */
#define WIDE 400

static void write_out(const char *s, char digits[WIDE], bool *negative)
{
    const char *e = strpbrk(s, "eE");
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    const char *p = s + (*s == '-'), *end = e ? e : s + strlen(s),
               *point = memchr(s, '.', strlen(s));
    long at = WIDE / 2 - exponent - (long)((point ? point : end) - p);

    *negative = *s == '-';
    memset(digits, '0', WIDE);
    for (; p < end; p++) {
        if (*p == '.')
            continue;
        if (*p != '0') {
            assert_true(at >= 0 && at < WIDE);
            digits[at] = *p;
        }
        at++;
    }
}

static int model_cmp(const char *a, const char *b)
{
    char x[WIDE], y[WIDE], zero[WIDE];
    bool negative_a, negative_b;
    int c;

    memset(zero, '0', WIDE);
    write_out(a, x, &negative_a);
    write_out(b, y, &negative_b);
    negative_a = negative_a && memcmp(x, zero, WIDE) != 0;
    negative_b = negative_b && memcmp(y, zero, WIDE) != 0;
    if (negative_a != negative_b)
        return negative_a ? -1 : 1;
    c = memcmp(x, y, WIDE);
    c = (c > 0) - (c < 0);
    return negative_a ? -c : c;
}

static void random_number(uint64_t *seed, char *buf)
{
    /* Few digits and small exponents, so that equal numbers in other words are common. */
    const char *digits = test_random(seed, 2) ? "0010" : "0123456789";
    unsigned kinds = (unsigned)strlen(digits), whole = 1 + test_random(seed, 40),
             fraction = test_random(seed, 40);
    unsigned n = 0;

    if (test_random(seed, 3) == 0)
        buf[n++] = '-';
    if (test_random(seed, 3) == 0)
        buf[n++] = '0';
    else
        for (unsigned i = 0; i < whole; i++)
            buf[n++] =
                i == 0 ? (char)('1' + test_random(seed, 9)) : digits[test_random(seed, kinds)];
    if (fraction > 10) {
        buf[n++] = '.';
        for (unsigned i = 10; i < fraction; i++)
            buf[n++] = digits[test_random(seed, kinds)];
    }
    buf[n] = '\0';
    if (test_random(seed, 2))
        sprintf(
            buf + n, "%c%s%u", "eE" [test_random(seed, 2)],
            (const char *[]) { "", "+", "-" }[test_random(seed, 3)], test_random(seed, 100));
}

/* The same number in other words: the point moved, zeros added. */
static void reword(uint64_t *seed, const char *in, char *out)
{
    const char *e = strpbrk(in, "eE");
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    int n = (int)(e ? e - in : (long)strlen(in));
    unsigned zeros = test_random(seed, 20);
    bool point = memchr(in, '.', (size_t)n) != NULL;

    sprintf(out, "%.*s%s%.*s", n, in, point ? "" : ".0", (int)zeros, "00000000000000000000");
    if (!point && in[n - 1] != '-' && test_random(seed, 2) && strcmp(in, "0") && strcmp(in, "-0") &&
        in[in[0] == '-'] != '0') {
        sprintf(out, "%.*s%.*s", n, in, (int)zeros, "00000000000000000000");
        exponent -= (long)zeros;
    }
    sprintf(out + strlen(out), "e%ld", exponent);
}

static void test_random_numbers(void **state)
{
    uint64_t seed = test_seed();
    unsigned equal = 0;

    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        char a[200], b[200];

        random_number(&seed, a);
        if (test_random(&seed, 2))
            random_number(&seed, b);
        else
            reword(&seed, a, b);
        assert_order(span_cstr(a), span_cstr(b), model_cmp(a, b));
        equal += model_cmp(a, b) == 0;
    }
    assert_true(equal > 20000);
}

/* A hostile number as large as a body is compared in time that is linear and short. */
static void test_large(void **state)
{
    size_t n = 1 << 20;
    char *a = malloc(n), *b = malloc(n);

    (void)state;
    memset(a, '0', n);
    memset(b, '9', n);
    memcpy(a, "50000.", 6);
    assert_order(span_of(a, n), SPAN_LIT("5e4"), 0);
    a[n - 1] = '1';
    assert_order(span_of(a, n), SPAN_LIT("5e4"), 1);
    assert_order(span_of(b, n), span_of(b, n - 1), 1);
    assert_order(span_of(b, n), span_of(b, n), 0);
    memset(a, '0', n);
    memcpy(a, "0.", 2);
    assert_order(span_of(a, n), SPAN_LIT("0"), 0);
    a[n - 1] = '1';
    assert_order(span_of(a, n), SPAN_LIT("1e-1048574"), 0);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
