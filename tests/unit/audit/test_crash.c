/* kill -9 at random moments: what was reported as durable is there, and the chain goes on. */
#include "audit_test.h"

#include <signal.h>
#include <sys/mman.h>

#define ROUNDS 30u
#define SEED   1u
#define RINGS  2u

/* Shared with the child: for each ring, up to which counter it was told that events are on disk. */
struct told {
    _Atomic uint64_t durable[RINGS];
};

#define PENDING 4096u

struct writer_of_events {
    struct audit_ring *ring;
    uint64_t next;       /* counter of the next event */
    uint64_t first, end; /* tickets not durable yet, by counter */
    uint64_t tickets[PENDING];
};

static void put_some(struct writer_of_events *w, _Atomic uint64_t *durable, unsigned ring)
{
    struct audit_event e;
    static const char filler[3000];

    while (w->end - w->first < PENDING && audit_ready(w->ring)) {
        uint64_t ticket;

        audit_begin(&e, w->ring, AUDIT_CALL_DECIDED, 4000, clock_wall_ns());
        audit_number(&e, AUDIT_F_WORKER, ring);
        audit_number(&e, AUDIT_F_COUNT, w->next);
        audit_text(&e, AUDIT_F_BODY, span_of(filler, w->next * 7919 % sizeof(filler)));
        ticket = audit_end(&e);
        if (!ticket)
            break;
        w->tickets[w->end++ % PENDING] = ticket;
        w->next++;
    }
    while (w->first < w->end && w->tickets[w->first % PENDING] <= audit_durable(w->ring)) {
        w->first++;
        atomic_store(durable, w->next - (w->end - w->first) - 1);
    }
}

static void child_main(const char *dir, struct told *told)
{
    static struct writer_of_events w[RINGS];
    struct audit_config c = config_of(dir);
    struct audit *a;

    c.segment_bytes = 2 * MIB; /* so that kills fall into rolls as well */
    a = start_with(&c);
    if (!a)
        _exit(3);
    for (unsigned i = 0; i < RINGS; i++) {
        w[i].ring = audit_ring_of(a, i);
        w[i].next = atomic_load(&told->durable[i]) + 1;
    }
    for (;;)
        for (unsigned i = 0; i < RINGS; i++)
            put_some(&w[i], &told->durable[i], i);
}

/* Each ring's counters stand in the store in order and without a hole, up to what was told. After a
 * kill, events that were not told may be there too: the next run counts on from what was told, so a
 * counter may step back to there. */
static void expect_all_told(const char *dir, const struct told *told, uint64_t *last_seq)
{
    struct audit_store *store = open_on(dir);
    struct audit_record r;
    struct audit_value ring, count;
    uint64_t next[RINGS] = {1, 1}, best[RINGS] = {0, 0}, seq;

    assert_non_null(store);
    for (seq = 1; audit_read(store, seq, &r); seq++) {
        assert_int_equal(r.kind, AUDIT_CALL_DECIDED);
        assert_true(audit_get(&r, AUDIT_F_WORKER, &ring) && ring.number < RINGS);
        assert_true(audit_get(&r, AUDIT_F_COUNT, &count));
        if (count.number > next[ring.number])
            fail_msg("ring %llu: counter %llu follows %llu", (unsigned long long)ring.number,
                     (unsigned long long)count.number, (unsigned long long)next[ring.number] - 1);
        next[ring.number] = count.number + 1;
        if (count.number > best[ring.number])
            best[ring.number] = count.number;
    }
    assert_true(seq - 1 >= *last_seq);
    *last_seq = seq - 1;
    assert_int_equal(audit_last(store), seq - 1);
    audit_close(store);
    for (unsigned i = 0; i < RINGS; i++)
        if (best[i] < atomic_load(&told->durable[i]))
            fail_msg("ring %u: %llu was told to be durable, %llu is there", i,
                     (unsigned long long)atomic_load(&told->durable[i]),
                     (unsigned long long)best[i]);
}

static uint64_t told_in_all(const struct told *told)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RINGS; i++)
        n += atomic_load(&told->durable[i]);
    return n;
}

/* Until the child has written something, and then some time at random; every sixth round is cut
 * short while it starts. */
static void let_it_run(const struct told *told, unsigned round, uint64_t random)
{
    uint64_t before = told_in_all(told), until = clock_mono_ns() + 20 * NS_IN_S;

    if (round % 6 == 5) {
        nap_ms((unsigned)(random % 12));
        return;
    }
    while (told_in_all(told) == before && clock_mono_ns() < until)
        nap_ms(1);
    nap_ms((unsigned)(random % 80));
}

static void nothing_durable_is_lost(void **state)
{
    struct told *told =
        mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t random = SEED * 0x9e3779b97f4a7c15u, last = 0;
    struct scratch s;

    (void)state;
    scratch_make(&s);
    print_message("seed %u\n", SEED);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            child_main(s.store, told);
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        let_it_run(told, round, random);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status))
            fail_msg("round %u: the child ended by itself, status %x", round, status);
        expect_all_told(s.store, told, &last);
        expect_verdict(s.store, AUDIT_SOUND, 0);
    }
    print_message("%llu records in %u rounds\n", (unsigned long long)last, ROUNDS);
    assert_true(last > ROUNDS);
    munmap(told, sizeof(*told));
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_durable_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
