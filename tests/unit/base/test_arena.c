#include "base_test.h"

#include "base/base.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    uint64_t seed = test_seed(clock_mono_ns());
    struct arena a = ARENA_INIT;
    unsigned char *p[2000];
    size_t n[2000];

    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        n[i] = test_random(&seed) % (i % 50 ? 300 : 200000);
        p[i] = arena_alloc(&a, n[i]);
        assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < n[i]; j++)
            assert_int_equal(p[i][j], 0);
        if (n[i])
            memset(p[i], (int)(i % 255) + 1, n[i]);
    }
    for (size_t i = 0; i < 2000; i++)
        for (size_t j = 0; j < n[i]; j++)
            assert_int_equal(p[i][j], i % 255 + 1);
    arena_free(&a);
    assert_null(a.head);
    assert_int_equal(a.bytes, 0);
}

/* One large object must not push aside a block that still has room. */
static void large_objects_leave_the_head_alone(void **state)
{
    struct arena a = ARENA_INIT;
    char *before = arena_alloc(&a, 16), *after;

    (void)state;
    arena_alloc(&a, 10 << 20);
    after = arena_alloc(&a, 16);
    assert_ptr_equal(after, before + 16);
    arena_free(&a);
}

static void bytes_counts_what_was_handed_out(void **state)
{
    struct arena a = ARENA_INIT;

    (void)state;
    arena_alloc(&a, 1000);
    assert_in_range(a.bytes, 1000, 1016);
    arena_free(&a);
}

static void copies_end_with_nul(void **state)
{
    struct arena a = ARENA_INIT;
    struct span s = arena_span(&a, SPAN_LIT("a\0b"));
    struct span none = arena_span(&a, SPAN_NONE);

    (void)state;
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    assert_int_equal(none.n, 0);
    assert_int_equal(none.p[0], 0);
    assert_string_equal(arena_strdup(&a, span_of("abcdef", 3)), "abc");
    arena_free(&a);
}

static void printf_formats_long_texts_whole(void **state)
{
    struct arena a = ARENA_INIT;
    char *p = arena_printf(&a, "%s-%0*d", "x", 200000, 7);

    (void)state;
    assert_int_equal(strlen(p), 200002);
    assert_int_equal(p[200001], '7');
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(large_objects_leave_the_head_alone),
        cmocka_unit_test(bytes_counts_what_was_handed_out),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(printf_formats_long_texts_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
