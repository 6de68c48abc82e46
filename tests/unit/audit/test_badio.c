/* A disk that fails: this program's own pwrite, writev, fdatasync and fsync stand before the C
 * library's for LMDB too, and fail when told to. */
#include "audit_test.h"

#include <sys/syscall.h>
#include <sys/uio.h>

#define SEED 7u

enum fail {
    FAIL_NOTHING,
    FAIL_SYNC,          /* fdatasync: data pages may not be on disk */
    FAIL_WRITE,         /* data pages not written */
    FAIL_SHORT,         /* half of them written */
    FAIL_META,          /* the meta page not written */
    FAIL_META_LATE,     /* written, but reported as failed */
    FAIL_META_FOR_GOOD, /* the same, and LMDB's attempt to take it back fails too */
    FAIL_FSYNC,         /* of our own fsyncs; with a failing sync, as nothing else leads there */
    FAIL_KINDS
};

static _Atomic int failing; /* enum fail */
static _Atomic uint64_t failures;

/* Symbol names by hand: with 64-bit offsets the C library's headers rename pwrite. */
ssize_t bad_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite");
ssize_t bad_writev(int fd, const struct iovec *v, int n) __asm__("writev");
int bad_fdatasync(int fd) __asm__("fdatasync");
int bad_fsync(int fd) __asm__("fsync");

static int fail_with(int error)
{
    atomic_fetch_add(&failures, 1);
    errno = error;
    return -1;
}

static bool is_meta(int fd, off_t at)
{
    return at < 8192 && (fcntl(fd, F_GETFL) & O_DSYNC);
}

ssize_t bad_pwrite(int fd, const void *p, size_t n, off_t at)
{
    int f = atomic_load(&failing);

    if (f == FAIL_WRITE && at >= 8192)
        return fail_with(EIO);
    if (f == FAIL_META && is_meta(fd, at))
        return fail_with(EIO);
    if (f == FAIL_META_FOR_GOOD && at < 8192 && !is_meta(fd, at))
        return fail_with(EIO);
    if ((f == FAIL_META_LATE || f == FAIL_META_FOR_GOOD) && is_meta(fd, at)) {
        (void)!syscall(SYS_pwrite64, fd, p, n, at);
        return fail_with(EIO);
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t bad_writev(int fd, const struct iovec *v, int n)
{
    int f = atomic_load(&failing);

    if (f == FAIL_WRITE)
        return fail_with(EIO);
    if (f == FAIL_SHORT && n > 1) {
        atomic_fetch_add(&failures, 1);
        return syscall(SYS_writev, fd, v, n / 2);
    }
    return syscall(SYS_writev, fd, v, n);
}

int bad_fdatasync(int fd)
{
    int f = atomic_load(&failing);

    return f == FAIL_SYNC || f == FAIL_FSYNC ? fail_with(EIO) : (int)syscall(SYS_fdatasync, fd);
}

int bad_fsync(int fd)
{
    return atomic_load(&failing) == FAIL_FSYNC ? fail_with(EIO) : (int)syscall(SYS_fsync, fd);
}

static const char *const fail_names[] = {
    "nothing", "sync", "write", "short write", "meta", "meta late", "meta for good", "fsync",
};

static int set_up(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));

    scratch_make(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    atomic_store(&failing, FAIL_NOTHING);
    scratch_remove(*state);
    free(*state);
    return 0;
}

/* Each counter once, in order. */
static void expect_each_once(const char *dir, uint64_t last)
{
    struct audit_store *store = open_on(dir);
    struct audit_record r;
    struct audit_value v;

    assert_non_null(store);
    assert_int_equal(audit_last(store), last);
    for (uint64_t seq = 1; seq <= last; seq++) {
        assert_true(audit_read(store, seq, &r));
        assert_true(audit_get(&r, AUDIT_F_COUNT, &v));
        if (v.number != seq)
            fail_msg("record %llu holds event %llu", (unsigned long long)seq,
                     (unsigned long long)v.number);
    }
    audit_close(store);
    expect_verdict(dir, AUDIT_SOUND, 0);
}

static uint64_t put_few(struct audit_ring *r, uint64_t *n, unsigned count)
{
    uint64_t ticket = 0;

    while (count--) {
        ticket = put_event(r, AUDIT_CALL_DECIDED, *n, 300 + *n % 7 * 400);
        ++*n;
        assert_true(ticket > 0);
    }
    return ticket;
}

static void each_failure_is_survived(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t n = 1;

    for (int f = FAIL_SYNC; f < FAIL_KINDS; f++) {
        uint64_t before = counter_get(&audit_counters(a)->commit_failures), ticket;
        uint64_t durable, until = clock_mono_ns() + 5 * NS_IN_S;

        ticket = put_few(r, &n, 20);
        assert_true(wait_durable(r, ticket, 5000));
        durable = audit_durable(r);
        atomic_store(&failing, f);
        ticket = put_few(r, &n, 20);
        while (counter_get(&audit_counters(a)->commit_failures) == before &&
               clock_mono_ns() < until)
            nap_ms(1);
        if (audit_ready(r))
            fail_msg("%s: calls are accepted", fail_names[f]);
        nap_ms(120);
        /* What LMDB could not take back was found to be written; nothing else may be durable. */
        if (f != FAIL_META_FOR_GOOD && audit_durable(r) != durable)
            fail_msg("%s: an event became durable", fail_names[f]);
        atomic_store(&failing, FAIL_NOTHING);
        if (!wait_durable(r, ticket, 5000))
            fail_msg("%s: not recovered", fail_names[f]);
        while (!audit_ready(r) && clock_mono_ns() < until + 10 * NS_IN_S)
            nap_ms(1);
        assert_true(audit_ready(r));
    }
    audit_stop(a, NS_IN_S);
    expect_each_once(s->store, n - 1);
}

/* Failures of all kinds at any moment, through rolls: each event once and in order. */
static void failures_at_any_moment(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    uint64_t n = 1, random = SEED * 0x9e3779b97f4a7c15u, ticket = 0;
    struct audit_ring *r;
    struct audit *a;

    print_message("seed %u\n", SEED);
    c.segment_bytes = MIB;
    a = start_with(&c);
    assert_non_null(a);
    r = audit_ring_of(a, 0);
    for (unsigned round = 0; round < 60; round++) {
        uint64_t until;

        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        until = clock_mono_ns() + (random >> 20) % 20 * NS_IN_MS;
        while (clock_mono_ns() < until) {
            ticket = put_few(r, &n, 5);
            wait_durable(r, ticket, 3);
        }
        atomic_store(&failing, (int)(random % FAIL_KINDS));
        ticket = put_few(r, &n, 10);
        nap_ms((unsigned)(random >> 40) % 12);
        atomic_store(&failing, FAIL_NOTHING);
        assert_true(wait_durable(r, ticket, 10000));
    }
    print_message("%llu failures, %llu events, %llu new segments\n",
                  (unsigned long long)atomic_load(&failures), (unsigned long long)n - 1,
                  (unsigned long long)counter_get(&audit_counters(a)->segments));
    assert_true(atomic_load(&failures) > 20);
    audit_stop(a, NS_IN_S);
    expect_each_once(s->store, n - 1);
}

/* A disk that forgets what it confirmed: the writer must not go on as if nothing were. */
static void a_store_that_went_back_is_not_written(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    struct audit_ring *r = audit_ring_of(a, 0);
    char now[PATH_MAX], before[PATH_MAX + 16];
    uint64_t n = 1, ticket;

    assert_true(segment_path(now, s->store, 1));
    snprintf(before, sizeof(before), "%s-before", now);
    assert_true(wait_durable(r, put_few(r, &n, 20), 5000));
    copy_file(now, before);
    assert_true(wait_durable(r, put_few(r, &n, 20), 5000));
    atomic_store(&failing, FAIL_SYNC);
    ticket = put_few(r, &n, 5);
    while (audit_ready(r))
        nap_ms(1);
    assert_int_equal(rename(before, now), 0);
    atomic_store(&failing, FAIL_NOTHING);
    nap_ms(400);
    assert_false(audit_ready(r));
    assert_true(audit_durable(r) < ticket);
    audit_stop(a, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(each_failure_is_survived),
        T(failures_at_any_moment),
        T(a_store_that_went_back_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
