/* When the writer looks: at once for what is wanted or when a ring fills up, soon for the rest. On
 * a tmpfs, so that a commit takes next to nothing. */
#include "audit_test.h"

#include <sys/mount.h>

#define LOOK_MS 5 /* doorbell.c */
#define TRIES   101

static int set_up(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));

    scratch_make(s);
    *state = s;
    return mount("tmpfs", s->dir, "tmpfs", 0, "size=64m");
}

static int tear_down(void **state)
{
    struct scratch *s = *state;

    umount2(s->dir, MNT_DETACH);
    scratch_remove(s);
    free(s);
    return 0;
}

static uint64_t put_quietly(struct audit_ring *r, uint64_t n, size_t size)
{
    struct audit_event e;
    static const char filler[AUDIT_EVENT_MAX];

    assert_true(audit_begin(&e, r, AUDIT_CALL_SETTLED, size + 64, clock_wall_ns()));
    audit_number(&e, AUDIT_F_COUNT, n);
    audit_text(&e, AUDIT_F_BODY, span_of(filler, size));
    return audit_end(&e);
}

static uint64_t us_until_durable(struct audit_ring *r, uint64_t ticket)
{
    uint64_t begun = clock_mono_ns();

    while (audit_durable(r) < ticket)
        assert_true(clock_mono_ns() - begun < 10 * NS_IN_S);
    return (clock_mono_ns() - begun) / 1000;
}

struct times {
    uint64_t quarter, median; /* us: so many were at most that */
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* From an event, or `size` bytes of them, to its being durable; each begins just after the writer
 * has gone to rest. The machine may be busy: of what is to be fast a quarter must be, of what
 * is to be slow a half. */
static struct times times_of(struct audit_ring *r, bool want, bool nudge, size_t size)
{
    uint64_t us[TRIES];

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t ticket;
        size_t used = 0;

        do {
            ticket = put_quietly(r, i, 1000);
            used += 1000;
        } while (used < size);
        if (want)
            audit_want(r, ticket);
        if (nudge)
            audit_nudge(r);
        us[i] = us_until_durable(r, ticket);
        nap_ms(1);
    }
    qsort(us, TRIES, sizeof(*us), by_value);
    return (struct times){us[TRIES / 4], us[TRIES / 2]};
}

static void a_wanted_record_is_written_at_once(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);

    assert_in_range(times_of(audit_ring_of(a, 1), true, true, 0).quarter, 0, 1500);
    audit_stop(a, NS_IN_S);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

/* Nobody waits, so nobody is woken: what a nudge alone does. */
static void others_wait_for_the_next_look(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    struct audit_ring *r = audit_ring_of(a, 0);

    assert_in_range(times_of(r, false, true, 0).median, 2500, 1000000);
    assert_in_range(times_of(r, true, false, 0).median, 2500, 1000000); /* wanted, but not told */
    audit_stop(a, NS_IN_S);
}

static void a_ring_that_fills_up_is_emptied(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit *a;

    c.ring_bytes = MIB;
    a = start_with(&c);
    assert_non_null(a);
    assert_in_range(times_of(audit_ring_of(a, 0), false, true, MIB / 4 + 1000).quarter, 0, 2500);
    audit_stop(a, NS_IN_S);
}

/* However long it took to put them: at most one commit a look, and some at the ends. */
static void others_share_a_commit(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    struct audit_ring *r = audit_ring_of(a, 0);
    uint64_t begun = clock_mono_ns(), before = counter_get(&audit_counters(a)->commits), ms;

    for (uint64_t n = 1; n <= 300; n++) {
        const struct timespec pause = {0, 200000};
        uint64_t ticket = put_quietly(r, n, 100);

        audit_nudge(r);
        nanosleep(&pause, NULL);
        if (n == 300)
            us_until_durable(r, ticket);
    }
    ms = (clock_mono_ns() - begun) / NS_IN_MS;
    assert_in_range(counter_get(&audit_counters(a)->commits) - before, 1, ms / LOOK_MS + 2);
    audit_stop(a, NS_IN_S);
}

static uint64_t wish(struct audit_ring *r, uint64_t n)
{
    uint64_t ticket = put_quietly(r, n, 100);

    audit_want(r, ticket);
    audit_nudge(r);
    return ticket;
}

static void spin_us(uint64_t us)
{
    uint64_t until = clock_mono_ns() + us * 1000;

    while (clock_mono_ns() < until)
        ;
}

/* Of second wishes that come at any moment of what the first one brought about. */
static unsigned late_of(struct audit_ring *r, unsigned count)
{
    unsigned late = 0;

    for (unsigned i = 0; i < count; i++) {
        wish(r, i);
        spin_us(i % 100);
        late += us_until_durable(r, wish(r, i)) >= LOOK_MS * 1000 / 2;
    }
    return late;
}

/* A wish that comes while the writer commits, or goes to rest, is not slept through. One round in
 * which (nearly) none is late will do: others may be the machine's. */
static void no_wish_is_lost(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    unsigned best = UINT_MAX;

    for (unsigned round = 0; round < 5 && best > 6; round++) {
        unsigned late = late_of(audit_ring_of(a, 0), 1000);

        best = late < best ? late : best;
    }
    assert_in_range(best, 0, 6);
    audit_stop(a, NS_IN_S);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_wanted_record_is_written_at_once),
        T(others_wait_for_the_next_look),
        T(a_ring_that_fills_up_is_emptied),
        T(others_share_a_commit),
        T(no_wish_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
