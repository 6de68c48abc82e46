/* A full filesystem: a small tmpfs in a mount namespace of a child's own. */
#include "audit_test.h"

#include <sched.h>
#include <sys/mount.h>

#define SKIPPED 77

struct place_full {
    char dir[64], store[96], ballast[96];
};

static bool mount_small(struct place_full *p)
{
    snprintf(p->dir, sizeof(p->dir), "/tmp/audit-full-XXXXXX");
    if (geteuid() || !mkdtemp(p->dir))
        return false;
    snprintf(p->store, sizeof(p->store), "%s/store", p->dir);
    snprintf(p->ballast, sizeof(p->ballast), "%s/ballast", p->dir);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", p->dir, "tmpfs", 0, "size=24m")) {
        rmdir(p->dir);
        return false;
    }
    return true;
}

static void fill(const struct place_full *p)
{
    static const char block[4096] = {1};
    int fd = open(p->ballast, O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) == sizeof(block))
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static bool wait_ready(const struct audit_ring *r, bool wanted, unsigned ms)
{
    uint64_t until = clock_mono_ns() + ms * NS_IN_MS;

    while (audit_ready(r) != wanted && clock_mono_ns() < until)
        nap_ms(1);
    return audit_ready(r) == wanted;
}

static struct audit *start_small(const struct place_full *p)
{
    struct audit_config c = config_of(p->store);
    struct audit *a;

    c.segment_bytes = MIB;
    a = start_with(&c);
    assert_non_null(a);
    return a;
}

struct tally {
    uint64_t events, gaps, lost;
};

/* Counters in order, and nothing that is not an event or a gap. */
static struct tally tally_of(const char *dir)
{
    struct tally t = {0, 0, 0};
    struct audit_store *store = open_on(dir);
    struct audit_record r;
    struct audit_value v;
    uint64_t before = 0;

    assert_non_null(store);
    for (uint64_t seq = 1; audit_read(store, seq, &r); seq++) {
        assert_true(audit_get(&r, AUDIT_F_COUNT, &v));
        if (r.kind == AUDIT_GAP) {
            t.gaps++;
            t.lost += v.number;
            assert_true(audit_get(&r, AUDIT_F_FROM_NS, &v) && v.number > 0);
            continue;
        }
        assert_true(v.number > before);
        before = v.number;
        t.events++;
    }
    audit_close(store);
    return t;
}

static void events_wait_until_there_is_space(struct place_full *p)
{
    struct audit *a = start_small(p);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t durable, ticket = 0, n = 1;
    struct tally t;

    put_many(r, n, 100, 500);
    n += 100;
    fill(p);
    while (audit_ready(r) && n < 10000)
        ticket = put_event(r, AUDIT_CALL_DECIDED, n++, 2000);
    assert_true(wait_ready(r, false, 5000));
    nap_ms(300);
    assert_false(audit_ready(r)); /* tried again meanwhile, and not ready for that */
    assert_true(counter_get(&audit_counters(a)->commit_failures) >= 2);
    durable = audit_durable(r);
    assert_true(durable < ticket);
    /* What was decided before still says how it ended. */
    for (unsigned i = 0; i < 50; i++)
        assert_true((ticket = put_event(r, AUDIT_CALL_SETTLED, n++, 1000)) > 0);
    nap_ms(150);
    assert_int_equal(audit_durable(r), durable);
    assert_int_equal(unlink(p->ballast), 0);
    assert_true(wait_ready(r, true, 5000));
    assert_true(wait_durable(r, ticket, 5000));
    put_many(r, n, 50, 500);
    n += 50;
    audit_stop(a, NS_IN_S);
    expect_verdict(p->store, AUDIT_SOUND, 0);
    t = tally_of(p->store);
    assert_int_equal(t.events, n - 1);
    assert_int_equal(t.gaps, 0);
}

static void what_does_not_fit_stands_in_a_gap(struct place_full *p)
{
    struct audit *a = start_small(p);
    struct audit_ring *r = audit_ring_of(a, 1);
    uint64_t n = 1, lost = 0, kept = 0;
    struct audit_store *store;
    struct audit_record first_gap;
    struct tally t;

    put_many(r, n, 10, 500);
    n += 10;
    kept = 10;
    fill(p);
    for (; lost < 500; n++)
        if (put_event(r, n % 2 ? AUDIT_CALL_DECIDED : AUDIT_CALL_SETTLED, n, 3000))
            kept++;
        else
            lost++;
    assert_true(wait_ready(r, false, 5000));
    nap_ms(50);
    assert_int_equal(counter_get(&audit_counters(a)->lost), lost);
    assert_int_equal(unlink(p->ballast), 0);
    assert_true(wait_ready(r, true, 5000));
    put_many(r, n, 10, 500);
    kept += 10;
    audit_stop(a, NS_IN_S);
    expect_verdict(p->store, AUDIT_SOUND, 0);
    t = tally_of(p->store);
    assert_int_equal(t.events, kept);
    assert_int_equal(t.lost, lost);
    assert_true(t.gaps >= 1);
    /* It is the first thing after the last record from before. */
    store = open_on(p->store);
    for (uint64_t seq = 11;; seq++) {
        struct audit_value v;

        assert_true(audit_read(store, seq, &first_gap));
        if (first_gap.kind == AUDIT_GAP)
            break;
        assert_true(audit_get(&first_gap, AUDIT_F_COUNT, &v));
        assert_true(v.number < 400); /* was committed before the disk was full */
    }
    audit_close(store);
}

/* A few pages only when a new segment is due: it ends while the file is made, while the lock file
 * is filled (a hole in that would be a SIGBUS), while the old one is closed, or just not. */
static void a_roll_waits_for_space(struct place_full *p)
{
    struct audit *a = start_small(p);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t n = 1, ticket;
    struct tally t;
    struct stat st;

    for (off_t pages = 0; pages < 12; pages++) {
        uint64_t until;

        while (segment_used(&a->segment) < MIB) /* read while the writer rests */
            put_many(r, n++, 1, 9000);
        fill(p);
        assert_int_equal(stat(p->ballast, &st), 0);
        assert_int_equal(truncate(p->ballast, st.st_size - pages * 4096), 0);
        ticket = put_event(r, AUDIT_CALL_DECIDED, n++, 100);
        assert_true(ticket > 0);
        until = clock_mono_ns() + 5 * NS_IN_S;
        while (audit_ready(r) && audit_durable(r) < ticket && clock_mono_ns() < until)
            nap_ms(1);
        if (pages == 0) {
            nap_ms(250);
            assert_false(audit_ready(r));
            assert_true(audit_durable(r) < ticket);
        }
        assert_int_equal(unlink(p->ballast), 0);
        assert_true(wait_durable(r, ticket, 5000));
        assert_true(wait_ready(r, true, 5000));
        put_many(r, n++, 1, 100);
    }
    assert_true(counter_get(&audit_counters(a)->segments) >= 6);
    audit_stop(a, NS_IN_S);
    expect_verdict(p->store, AUDIT_SOUND, 0);
    t = tally_of(p->store);
    assert_int_equal(t.events, n - 1);
}

/* Space comes and goes, a few pages at a time, so that it ends in every possible place: while a
 * segment is made, its lock file filled, the old one closed, pages or their meta page written. */
static void space_may_end_anywhere(struct place_full *p)
{
    static const off_t left[] = {0, 4096, 8192, 12288, 16384, 20480, 24576, 32768, 49152};
    struct audit *a = start_small(p);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t n = 1, ticket = 1;
    struct tally t;
    struct stat st;

    for (unsigned round = 0; round < 27; round++) {
        unsigned before = (unsigned)counter_get(&audit_counters(a)->commit_failures);

        /* Every third begins just before a roll. */
        while (round % 3 == 0 && segment_used(&a->segment) < MIB - 40000 && n < 3000)
            put_many(r, n++, 1, 3000);
        fill(p);
        assert_int_equal(stat(p->ballast, &st), 0);
        assert_int_equal(truncate(p->ballast, st.st_size - left[round % 9]), 0);
        while (counter_get(&audit_counters(a)->commit_failures) == before && audit_ready(r)) {
            assert_true((ticket = put_event(r, AUDIT_CALL_DECIDED, n++, 900)) > 0);
            nap_ms(1);
        }
        assert_int_equal(unlink(p->ballast), 0);
        assert_true(wait_durable(r, ticket, 5000));
        if (n > 2500)
            break; /* the tmpfs has room for so many */
    }
    audit_stop(a, NS_IN_S);
    expect_verdict(p->store, AUDIT_SOUND, 0);
    t = tally_of(p->store);
    assert_int_equal(t.events, n - 1);
    assert_int_equal(t.gaps, 0);
}

static void stopping_on_a_full_disk_ends(struct place_full *p)
{
    struct audit *a = start_small(p);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t begun, kept;
    struct tally t;

    put_many(r, 1, 10, 500);
    fill(p);
    for (uint64_t n = 11; n < 200; n++)
        put_event(r, AUDIT_CALL_SETTLED, n, 2000);
    assert_true(wait_ready(r, false, 5000));
    begun = clock_mono_ns();
    audit_stop(a, 300 * NS_IN_MS);
    assert_in_range((clock_mono_ns() - begun) / NS_IN_MS, 300, 3000);
    assert_int_equal(unlink(p->ballast), 0);
    kept = tally_of(p->store).events;
    assert_true(kept >= 10 && kept < 200);
    a = start_small(p);
    put_many(audit_ring_of(a, 0), 200, 10, 500);
    audit_stop(a, NS_IN_S);
    expect_verdict(p->store, AUDIT_SOUND, 0);
    t = tally_of(p->store);
    assert_int_equal(t.events, kept + 10);
}

/* In a child: its mounts end with it. */
static void in_small_place(void (*test)(struct place_full *))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct place_full p;

        if (!mount_small(&p))
            _exit(SKIPPED);
        test(&p);
        umount2(p.dir, MNT_DETACH);
        rmdir(p.dir);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("SKIPPED: no right to mount (not root)\n");
        skip();
    }
    assert_int_equal(status, 0);
}

#define IN_SMALL_PLACE(name)                                                                       \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        in_small_place(name);                                                                      \
    }
IN_SMALL_PLACE(events_wait_until_there_is_space)
IN_SMALL_PLACE(what_does_not_fit_stands_in_a_gap)
IN_SMALL_PLACE(a_roll_waits_for_space)
IN_SMALL_PLACE(space_may_end_anywhere)
IN_SMALL_PLACE(stopping_on_a_full_disk_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_wait_until_there_is_space),
        cmocka_unit_test(test_what_does_not_fit_stands_in_a_gap),
        cmocka_unit_test(test_a_roll_waits_for_space),
        cmocka_unit_test(test_space_may_end_anywhere),
        cmocka_unit_test(test_stopping_on_a_full_disk_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
