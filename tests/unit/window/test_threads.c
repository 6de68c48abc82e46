/* Threads that decide at the same time: never more than the limit, the limit exactly in units, and
 * no refusal that calls one after the other could not have got. Fit for -fsanitize=thread. */
#include "window_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 4, TRIES = 100000 };

struct race {
    struct window_table *t;
    struct window_key key;
    uint64_t limit, most_amount; /* amounts are 1 to most_amount */
    _Atomic unsigned ready;
};

struct runner {
    struct race *race;
    uint64_t random, passed, least_refused;
    unsigned unsure;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    struct race *race = r->race;
    struct window_count c;

    r->least_refused = UINT64_MAX;
    atomic_fetch_add(&race->ready, 1);
    while (atomic_load(&race->ready) < THREADS)
        sched_yield();
    while (r->least_refused > 1) {
        uint64_t amount = 1 + test_random(&r->random) % race->most_amount;
        enum outcome o = UNSURE;

        for (unsigned tries = 0; o == UNSURE && tries < TRIES; tries++) {
            o = test_decide(race->t, race->key, HOUR, amount, race->limit, START, &c);
            if (o == UNSURE)
                sched_yield(); /* there are more threads than processors */
        }
        r->unsure += o == UNSURE;
        if (o == YES)
            r->passed += amount;
        if (o == NO && amount < r->least_refused)
            r->least_refused = amount;
    }
    return NULL;
}

static void race_once(struct window_table *t, uint64_t n, uint64_t limit, uint64_t most_amount)
{
    struct race race = {.t = t, .key = test_key(t, n), .limit = limit, .most_amount = most_amount};
    struct runner r[THREADS];
    uint64_t passed = 0, refused = UINT64_MAX;

    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct runner){.race = &race, .random = n * THREADS + i};
        pthread_create(&r[i].thread, NULL, run, &r[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
        passed += r[i].passed;
        refused = r[i].least_refused < refused ? r[i].least_refused : refused;
        assert_int_equal(r[i].unsure, 0);
    }
    /* Threads end when they have been refused a unit, so all of the limit must be used. */
    assert_int_equal(passed, limit);
    assert_int_equal(refused, 1);
    assert_int_equal(test_sum(t, race.key, HOUR, START), limit);
}

static void test_units_up_to_the_limit(void **state)
{
    struct window_table *t = window_table_new(1000, test_secret);

    (void)state;
    for (uint64_t n = 0; n < 200; n++)
        race_once(t, n, n % 4 ? n : 2000, 1);
    window_table_delete(t);
}

static void test_amounts_up_to_the_limit(void **state)
{
    struct window_table *t = window_table_new(1000, test_secret);

    (void)state;
    for (uint64_t n = 0; n < 200; n++)
        race_once(t, n, 10000, 400);
    window_table_delete(t);
}

/* ------------------------------------------------------------ keys that come and go */

enum { KEYS = 8, PLACES = 32, LIMIT = 5, LOG = 40000 };

struct passed {
    uint64_t key, at;
};

struct world {
    struct window_table *t;
    _Atomic uint64_t now;
    _Atomic bool stop;
    struct worker {
        struct world *w;
        _Atomic uint64_t quiet; /* times it has been in no decision */
        uint64_t random;
        struct passed log[LOG];
        unsigned n, full;
        pthread_t thread;
    } worker[THREADS];
};

/* Half of the keys in one hour, the others in the next: they come back just when their windows are
 * empty, and the sweep is upon them. */
static uint64_t key_at(uint64_t now, uint64_t *random)
{
    return 2 * (test_random(random) % (KEYS / 2)) + now / HOUR % 2;
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct world *w = me->w;

    while (!atomic_load(&w->stop) && me->n < LOG) {
        uint64_t now = atomic_load(&w->now), key = key_at(now, &me->random), least, most;
        struct window_count c;
        enum window_result r =
            window_reserve(w->t, test_key(w->t, key), HOUR, 1, now, &c, &least, &most);

        if (r == WINDOW_RESERVED && most < LIMIT) {
            window_commit(w->t, &c, now);
            if (test_random(&me->random) % 4)
                me->log[me->n++] = (struct passed){key, now};
            else
                window_give_back(w->t, &c);
        } else if (r == WINDOW_RESERVED) {
            window_withdraw(w->t, &c);
        }
        me->full += r == WINDOW_FULL;
        atomic_fetch_add(&me->quiet, 1);
        if (test_random(&me->random) % 256 == 0)
            sched_yield();
    }
    atomic_store(&me->quiet, UINT64_MAX);
    return NULL;
}

/* Every worker ends the decision it is in: the grace period. */
static void wait_for_all(struct world *w)
{
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t quiet = atomic_load(&w->worker[i].quiet);

        while (quiet != UINT64_MAX && atomic_load(&w->worker[i].quiet) == quiet)
            sched_yield();
    }
}

static int by_key_and_time(const void *a, const void *b)
{
    const struct passed *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void check_log(struct world *w)
{
    struct passed *all = malloc(sizeof(w->worker[0].log) * THREADS);
    size_t n = 0;

    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < w->worker[i].n; k++)
            all[n++] = w->worker[i].log[k];
    qsort(all, n, sizeof(*all), by_key_and_time);
    for (size_t i = 0; i + LIMIT < n; i++)
        if (all[i].key == all[i + LIMIT].key && all[i + LIMIT].at - all[i].at < HOUR)
            fail_msg("key %lu: more than %d within %lu s", all[i].key, LIMIT,
                     (all[i + LIMIT].at - all[i].at) / SECOND);
    assert_true(n > KEYS * LIMIT);
    free(all);
}

static void test_places_that_change_hands(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned taken_out = 0;

    (void)state;
    w->t = window_table_new(PLACES, test_secret);
    atomic_store(&w->now, START);
    for (unsigned i = 0; i < THREADS; i++) {
        w->worker[i].w = w;
        w->worker[i].random = i;
        pthread_create(&w->worker[i].thread, NULL, work, &w->worker[i]);
    }
    for (unsigned i = 0; i < 1500; i++) {
        taken_out += window_sweep(w->t, PLACES, atomic_load(&w->now));
        wait_for_all(w);
        window_reclaim(w->t);
        atomic_fetch_add(&w->now, 3 * MINUTE); /* so their clocks differ by three steps at most */
    }
    atomic_store(&w->stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(w->worker[i].thread, NULL);
    check_log(w);
    assert_true(taken_out > KEYS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(w->worker[i].full, 0); /* all keys, and all being taken out, have room */
    window_table_delete(w->t);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_up_to_the_limit),
        cmocka_unit_test(test_amounts_up_to_the_limit),
        cmocka_unit_test(test_places_that_change_hands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
