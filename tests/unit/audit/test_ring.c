#include "audit_test.h"

#include <pthread.h>

#define SEED 20261123u

static struct audit_ring *ring_new(size_t bytes)
{
    struct audit_ring *r = aligned_alloc(CACHE_LINE, sizeof(*r));

    assert_non_null(r);
    memset(r, 0, sizeof(*r));
    assert_true(ring_init(r, bytes));
    return r;
}

static void ring_delete(struct audit_ring *r)
{
    ring_free(r);
    free(r);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What a slot says its COUNT is; and that its filler is whole. */
static uint64_t count_of(const struct slot *slot)
{
    struct audit_record r = {.fields = span_of(slot + 1, slot->fields)};
    struct audit_value v;
    size_t at = 0;

    assert_true(audit_get(&r, AUDIT_F_COUNT, &v));
    while (audit_next_field(&r, &at, &v))
        ;
    assert_int_equal(at, slot->fields);
    assert_true(audit_get(&r, AUDIT_F_COUNT, &v));
    return v.number;
}

struct model {
    uint64_t numbers[1 << 16], tickets[1 << 16];
    size_t first, end; /* events in the ring */
};

/* The ring against a plain list of what was put in: nothing lost, reordered or torn, whatever the
 * sizes and however the reader lags. */
static void a_ring_is_a_queue(void **state)
{
    static struct model m;
    struct audit_ring *r = ring_new(MIB);
    uint64_t random = SEED, number = 0, lost = 0;

    (void)state;
    print_message("seed %u\n", SEED);
    for (unsigned step = 0; step < 60000; step++) {
        uint64_t dice = next_random(&random), at = audit_durable(r);

        if (dice % 3) {
            size_t size = next_random(&random) % (dice % 50 == 1 ? 65000 : 2000);
            uint64_t ticket = put_event(r, AUDIT_CALL_SETTLED, number, size);

            if (ticket == 0) {
                lost++;
                assert_int_equal(atomic_load(&r->lost), lost);
                continue;
            }
            m.numbers[m.end % (1 << 16)] = number++;
            m.tickets[m.end++ % (1 << 16)] = ticket;
            continue;
        }
        for (uint64_t n = next_random(&random) % 4; n > 0 && m.first < m.end; n--, m.first++) {
            const struct slot *slot = ring_next(r, &at, atomic_load(&r->head));

            assert_non_null(slot);
            assert_int_equal(count_of(slot), m.numbers[m.first % (1 << 16)]);
            assert_int_equal(at, m.tickets[m.first % (1 << 16)]);
        }
        atomic_store(&r->tail, at);
    }
    assert_true(number > 20000 && lost > 0);
    ring_delete(r);
}

/* The shares: new calls stop at three quarters, refusals at seven eighths, the rest fits after. */
static void head_room_is_kept(void **state)
{
    struct audit_ring *r = ring_new(MIB);
    uint64_t n = 0;
    size_t used;

    (void)state;
    assert_true(audit_ready(r));
    while (audit_ready(r))
        assert_true(put_event(r, AUDIT_CALL_DECIDED, n++, 1000) > 0);
    used = atomic_load(&r->head);
    assert_in_range(used, MIB / 4 * 3, MIB / 4 * 3 + 2000);
    while (put_event(r, AUDIT_CALL_DECIDED, n++, 1000))
        ;
    assert_int_equal(put_event(r, AUDIT_CONNECTION_REFUSED, n, 1000), 0);
    used = atomic_load(&r->head);
    assert_in_range(used, MIB / 8 * 7 - 2000, MIB / 8 * 7);
    while (put_event(r, AUDIT_CALL_SETTLED, n++, 1000))
        ;
    used = atomic_load(&r->head);
    assert_in_range(used, MIB - 2000, MIB);
    assert_int_equal(atomic_load(&r->lost), 3);
    atomic_store(&r->tail, used);
    assert_true(audit_ready(r));
    assert_true(put_event(r, AUDIT_CALL_DECIDED, n++, 1000) > 0);
    atomic_store(&r->refusing, true);
    assert_false(audit_ready(r));
    ring_delete(r);
}

static void events_that_do_not_fit_are_counted_once(void **state)
{
    struct audit_ring *r = ring_new(MIB);
    struct audit_event e;
    static char big[AUDIT_EVENT_MAX];

    (void)state;
    assert_true(audit_begin(&e, r, AUDIT_START, 20, 1000));
    audit_text(&e, AUDIT_F_VERSION, SPAN_LIT("seventeen bytes.."));
    audit_number(&e, AUDIT_F_WORKER, 1); /* after one that did not fit, none does */
    assert_int_equal(audit_end(&e), 0);
    assert_int_equal(audit_end(&e), 0);
    assert_int_equal(atomic_load(&r->lost), 1);
    assert_int_equal(atomic_load(&r->lost_from), 1000);
    assert_true(audit_begin(&e, r, AUDIT_START, 20, 2000));
    audit_text(&e, AUDIT_F_VERSION, SPAN_LIT("sixteen bytes..."));
    assert_true(audit_end(&e) > 0);
    assert_int_equal(audit_end(&e), 0);
    assert_true(audit_begin(&e, r, AUDIT_START, SIZE_MAX, 3000));
    audit_text(&e, AUDIT_F_BODY, span_of(big, sizeof(big)));
    assert_int_equal(audit_end(&e), 0);
    assert_int_equal(atomic_load(&r->lost), 2);
    assert_int_equal(atomic_load(&r->lost_from), 1000);
    assert_int_equal(atomic_load(&r->lost_to), 3000);
    ring_delete(r);
}

static void the_first_value_stands(void **state)
{
    struct audit_ring *r = ring_new(MIB);
    struct audit_event e;
    struct audit_record record;
    struct audit_value v;
    const struct slot *slot;
    uint64_t at = 0;
    size_t step = 0;
    unsigned n = 0;

    (void)state;
    assert_true(audit_begin(&e, r, AUDIT_START, 1000, 1));
    audit_text(&e, AUDIT_F_CALLER, SPAN_LIT("first"));
    audit_text(&e, AUDIT_F_CALLER, SPAN_LIT("second"));
    audit_text(&e, AUDIT_F_GROUP, SPAN_LIT("a"));
    audit_text(&e, AUDIT_F_GROUP, SPAN_LIT("b"));
    audit_number(&e, AUDIT_F_COUNT, 7);
    assert_true(audit_end(&e) > 0);
    slot = ring_next(r, &at, atomic_load(&r->head));
    record = (struct audit_record){.fields = span_of(slot + 1, slot->fields)};
    while (audit_next_field(&record, &step, &v))
        n++;
    assert_int_equal(n, 4);
    assert_true(audit_get(&record, AUDIT_F_CALLER, &v) && span_eq(v.text, SPAN_LIT("first")));
    ring_delete(r);
}

/* A text too long for a length field ends before a character, not within it. */
static void long_text_is_cut_between_characters(void **state)
{
    static char text[70000];
    struct audit_ring *r = ring_new(MIB);
    struct audit_event e;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "\xe2\x82\xac"[i % 3];
    e = (struct audit_event){.ring = r};
    e.start = malloc(70000);
    e.p = e.start;
    e.end = e.start + 70000;
    audit_text(&e, AUDIT_F_BODY, span_of(text, sizeof(text)));
    assert_int_equal(e.p - e.start - 4, 65535 / 3 * 3);
    e.p = e.start;
    e.seen[0] = e.seen[1] = 0;
    audit_text(&e, AUDIT_F_BODY, span_of(text + 1, sizeof(text) - 1));
    assert_int_equal(e.p - e.start - 4, 65534 / 3 * 3 + 2 - (65534 / 3 * 3 + 2 > 65535 ? 3 : 0));
    free(e.start);
    ring_delete(r);
}

struct producer {
    struct audit_ring *ring;
    uint64_t events, wanted;
    pthread_t thread;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    uint64_t random = SEED + (uint64_t)(uintptr_t)p % 1000;

    while (p->events < p->wanted) {
        size_t size = next_random(&random) % 1500;
        uint64_t ticket = put_event(p->ring, AUDIT_CALL_SETTLED, p->events, size);

        p->events += ticket != 0;
        if (ticket == 0)
            nap_ms(1);
        if (p->events % 1000 == 0 && ticket)
            assert_true(wait_durable(p->ring, ticket, 60000));
    }
    return NULL;
}

/* Threads that write as fast as they can, the writer, and the store that comes of it. */
static void producers_and_writer_agree(void **state)
{
    struct scratch s;
    struct producer p[2];
    uint64_t next[2] = {0, 0};
    struct audit *a;
    struct audit_store *store;
    struct audit_record record;
    struct audit_value v;

    (void)state;
    scratch_make(&s);
    a = start_on(s.store);
    for (unsigned i = 0; i < 2; i++) {
        p[i] = (struct producer){.ring = audit_ring_of(a, i), .wanted = 8000};
        assert_int_equal(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
    }
    while (audit_last_seq(a) < 8000)
        nap_ms(1); /* counters and numbers are read from other threads */
    for (unsigned i = 0; i < 2; i++)
        pthread_join(p[i].thread, NULL);
    audit_stop(a, NS_IN_S);
    store = open_on(s.store);
    assert_non_null(store);
    /* Which ring a record came from is not in it: each must be the next of one of the two. */
    for (uint64_t seq = 1; audit_read(store, seq, &record); seq++) {
        if (record.kind == AUDIT_GAP)
            continue;
        assert_true(audit_get(&record, AUDIT_F_COUNT, &v));
        assert_true(v.number == next[0] || v.number == next[1]);
        next[v.number == next[0] ? 0 : 1]++;
    }
    assert_int_equal(next[0] + next[1], 16000);
    audit_close(store);
    expect_verdict(s.store, AUDIT_SOUND, 0);
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_is_a_queue),
        cmocka_unit_test(head_room_is_kept),
        cmocka_unit_test(events_that_do_not_fit_are_counted_once),
        cmocka_unit_test(the_first_value_stands),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(producers_and_writer_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
