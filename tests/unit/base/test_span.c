#include "base_test.h"

#include "base/base.h"

static void compares(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_NONE, SPAN_LIT("")));
    assert_true(span_eq(SPAN_LIT("a\0b"), SPAN_LIT("a\0b")));
    assert_false(span_eq(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")));
    assert_true(span_ieq(SPAN_LIT("Az[@`{\xc3"), SPAN_LIT("aZ[@`{\xc3")));
    assert_false(span_ieq(SPAN_LIT("["), SPAN_LIT("{"))); /* 0x20 apart, and no letters */
    assert_false(span_ieq(SPAN_LIT("@"), SPAN_LIT("`")));
    assert_true(span_cmp(SPAN_LIT("ab"), SPAN_LIT("abc")) < 0);
    assert_true(span_cmp(SPAN_LIT("b"), SPAN_LIT("abc")) > 0);
    assert_true(span_cmp(SPAN_LIT("\x80"), SPAN_LIT("a")) > 0); /* bytes are unsigned */
    assert_int_equal(span_cmp(SPAN_NONE, SPAN_LIT("")), 0);
}

static void prefixes_and_suffixes(void **state)
{
    (void)state;
    assert_true(span_starts(SPAN_LIT("abc"), SPAN_LIT("ab")));
    assert_true(span_starts(SPAN_LIT("abc"), SPAN_NONE));
    assert_false(span_starts(SPAN_LIT("a"), SPAN_LIT("ab")));
    assert_true(span_ends(SPAN_LIT("abc"), SPAN_LIT("bc")));
    assert_false(span_ends(SPAN_LIT("c"), SPAN_LIT("bc")));
    assert_int_equal(span_from(SPAN_LIT("abc"), 2).n, 1);
    assert_int_equal(span_from(SPAN_LIT("abc"), 3).n, 0);
    assert_int_equal(span_from(SPAN_LIT("abc"), 4).n, 0);
    assert_true(span_eq(span_trim(SPAN_LIT(" \t a b\t ")), SPAN_LIT("a b")));
    assert_int_equal(span_trim(SPAN_LIT(" \t ")).n, 0);
}

static void cuts(void **state)
{
    struct span s = SPAN_LIT("a,,b");

    (void)state;
    assert_true(span_eq(span_cut(&s, ','), SPAN_LIT("a")));
    assert_int_equal(span_cut(&s, ',').n, 0);
    assert_true(span_eq(span_cut(&s, ','), SPAN_LIT("b")));
    assert_null(s.p);
    s = SPAN_LIT("a,"); /* an empty last piece is a piece */
    span_cut(&s, ',');
    assert_non_null(s.p);
    assert_int_equal(span_cut(&s, ',').n, 0);
    assert_null(s.p);
}

static void whole_numbers(void **state)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1e3",
                                      "1.0",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(span_u64(span_cstr(bad[i]), &v));
    assert_int_equal(v, 7);
    assert_true(span_u64(SPAN_LIT("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_true(span_u64(SPAN_LIT("000"), &v));
    assert_int_equal(v, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(cuts),
        cmocka_unit_test(whole_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
