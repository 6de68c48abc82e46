#include "base_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

/* The slow model: one byte a unit says to which live block it belongs, and the answer to "may this
 * be had?" is found by trying every aligned place. A buddy allocator that joins greedily can place
 * a block wherever the model can. */
#define UNITS  203 /* no power of two */
#define BLOCKS 64

struct model {
    unsigned char owner[UNITS]; /* 0: free */
};

static size_t units_for(size_t n)
{
    size_t units = 1;

    while (units * BUDDY_MIN < n)
        units *= 2;
    return units;
}

static bool run_is_free(const struct model *m, size_t at, size_t units)
{
    for (size_t i = 0; i < units; i++)
        if (at + i >= UNITS || m->owner[at + i])
            return false;
    return true;
}

static bool model_can(const struct model *m, size_t units)
{
    for (size_t at = 0; at + units <= UNITS; at += units)
        if (run_is_free(m, at, units))
            return true;
    return false;
}

struct live {
    char *p;
    size_t units;
    unsigned char fill;
};

static void check_fill(const struct live *l)
{
    for (size_t i = 0; i < l->units * BUDDY_MIN; i++)
        if ((unsigned char)l->p[i] != l->fill)
            fail_msg("byte %zu of a live block was overwritten", i);
}

static void step_alloc(struct buddy *b, char *region, struct model *m, struct live *l, size_t n,
                       unsigned char id)
{
    size_t units = units_for(n), at;
    bool can = model_can(m, units);
    char *p = buddy_alloc(b, n);

    if ((p != NULL) != can)
        fail_msg("alloc of %zu: expected %s, got %p", n, can ? "a block" : "NULL", (void *)p);
    if (!p)
        return;
    assert_int_equal((size_t)(p - region) % BUDDY_MIN, 0);
    at = (size_t)(p - region) / BUDDY_MIN;
    if (!run_is_free(m, at, units))
        fail_msg("alloc of %zu: units %zu.. are in use or out of the region", n, at);
    assert_int_equal(buddy_size(b, p), units * BUDDY_MIN);
    memset(m->owner + at, id, units);
    memset(p, id, units * BUDDY_MIN);
    *l = (struct live){p, units, id};
}

static void step_free(struct buddy *b, char *region, struct model *m, struct live *l)
{
    check_fill(l);
    memset(m->owner + (size_t)(l->p - region) / BUDDY_MIN, 0, l->units);
    buddy_free(b, l->p);
    *l = (struct live){0};
}

static size_t model_used(const struct model *m)
{
    size_t n = 0;

    for (size_t i = 0; i < UNITS; i++)
        n += m->owner[i] != 0;
    return n * BUDDY_MIN;
}

static void agrees_with_the_model(void **state)
{
    uint64_t seed = test_seed(clock_mono_ns());
    char *region = aligned_alloc(BUDDY_MIN, UNITS * BUDDY_MIN);
    struct buddy *b = buddy_new(region, UNITS * BUDDY_MIN);
    struct live live[BLOCKS] = {0};
    struct model m = {0};

    (void)state;
    assert_int_equal(buddy_total(b), UNITS * BUDDY_MIN);
    for (unsigned i = 0; i < 20000; i++) {
        size_t at = test_random(&seed) % BLOCKS;
        size_t n = test_random(&seed) % (BUDDY_MIN << test_random(&seed) % 9);

        if (live[at].p)
            step_free(b, region, &m, &live[at]);
        else
            step_alloc(b, region, &m, &live[at], n, (unsigned char)(at + 1));
        assert_true(buddy_check(b));
        assert_int_equal(buddy_used(b), model_used(&m));
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (live[i].p)
            step_free(b, region, &m, &live[i]);
    assert_int_equal(buddy_used(b), 0);
    assert_non_null(buddy_alloc(b, 128 * BUDDY_MIN)); /* all joined again */
    buddy_delete(b);
    free(region);
}

static void spends_the_region_to_the_last_unit(void **state)
{
    char *region = aligned_alloc(BUDDY_MIN, UNITS * BUDDY_MIN);
    struct buddy *b = buddy_new(region, UNITS * BUDDY_MIN);
    unsigned got = 0;

    (void)state;
    while (buddy_alloc(b, 1))
        got++;
    assert_int_equal(got, UNITS);
    assert_int_equal(buddy_used(b), buddy_total(b));
    buddy_delete(b);
    free(region);
}

static void sizes_at_the_edges(void **state)
{
    char *region = aligned_alloc(BUDDY_MIN, 8 * BUDDY_MIN);
    struct buddy *b = buddy_new(region, 8 * BUDDY_MIN);
    void *p = buddy_alloc(b, 0);

    (void)state;
    assert_int_equal(buddy_size(b, p), BUDDY_MIN);
    buddy_free(b, p);
    buddy_free(b, NULL);
    assert_null(buddy_alloc(b, SIZE_MAX));
    assert_null(buddy_alloc(b, SIZE_MAX / 2 + 2));
    assert_null(buddy_alloc(b, 8 * BUDDY_MIN + 1));
    assert_non_null(p = buddy_alloc(b, 4 * BUDDY_MIN + 1));
    assert_int_equal(buddy_size(b, p), 8 * BUDDY_MIN);
    buddy_delete(b);
    assert_null(buddy_new(region, BUDDY_MIN - 1));
    buddy_delete(NULL);
    free(region);
}

/* Runs in a child, as the answer to corrupted memory is the end of the process. */
static void must_abort(void (*fn)(struct buddy *, char *))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char *region = aligned_alloc(BUDDY_MIN, 8 * BUDDY_MIN);
        struct buddy *b = buddy_new(region, 8 * BUDDY_MIN);
        struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        fn(b, region);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void free_twice(struct buddy *b, char *region)
{
    void *p = buddy_alloc(b, 1);

    (void)region;
    buddy_free(b, p);
    buddy_free(b, p);
}

static void free_inside(struct buddy *b, char *region)
{
    char *p = buddy_alloc(b, 2 * BUDDY_MIN);

    (void)region;
    buddy_free(b, p + BUDDY_MIN);
}

static void free_unaligned(struct buddy *b, char *region)
{
    char *p = buddy_alloc(b, 1);

    (void)region;
    buddy_free(b, p + 1);
}

static void free_before(struct buddy *b, char *region)
{
    buddy_free(b, region - BUDDY_MIN);
}

static void free_behind(struct buddy *b, char *region)
{
    buddy_free(b, region + 8 * BUDDY_MIN);
}

static void foreign_pointers_abort(void **state)
{
    (void)state;
    must_abort(free_twice);
    must_abort(free_inside);
    must_abort(free_unaligned);
    must_abort(free_before);
    must_abort(free_behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(spends_the_region_to_the_last_unit),
        cmocka_unit_test(sizes_at_the_edges),
        cmocka_unit_test(foreign_pointers_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
