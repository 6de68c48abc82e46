/* The wheel against a plain array of due times. */
#include "base_test.h"

#include <time.h>

#include "base/wheel.h"

#define TICK 1024u
#define N    400

struct entry {
    struct wheel_timer timer;
    bool running;    /* what the model says */
    uint64_t at;     /* likewise */
    uint64_t fired;  /* how often the wheel fired it */
    unsigned action; /* what its function does to others: 0 nothing */
};

struct world {
    struct wheel *wheel;
    struct entry e[N];
    uint64_t now, random;
    unsigned early, late, not_running;
};

static struct world *world;

static uint64_t rnd(struct world *w)
{
    return test_random(&w->random);
}

/* Distances of every level: from within a tick to years. */
static uint64_t random_distance(struct world *w)
{
    return rnd(w) & ((UINT64_C(1) << (rnd(w) % 50)) - 1);
}

static void start(struct world *w, struct entry *e, uint64_t at)
{
    wheel_start(w->wheel, &e->timer, at);
    e->running = true;
    e->at = at;
}

static void on_fire(struct wheel_timer *t, uint64_t now)
{
    struct entry *e = (struct entry *)t, *other = &world->e[rnd(world) % N];

    world->early += e->at > now;
    world->not_running += !e->running || wheel_running(t);
    e->running = false;
    e->fired++;
    if (e->action == 1) { /* itself again */
        start(world, e, now + 1 + random_distance(world));
    } else if (e->action == 2) { /* stops another, perhaps one about to fire */
        wheel_stop(world->wheel, &other->timer);
        other->running = false;
    } else if (e->action == 3) { /* moves another, perhaps to the past */
        start(world, other, rnd(world) % 4 ? now + 1 + random_distance(world) : now / 2);
    }
}

static uint64_t model_first(const struct world *w)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < N; i++)
        if (w->e[i].running && w->e[i].at < first)
            first = w->e[i].at;
    return first;
}

static void check(struct world *w)
{
    uint64_t first = model_first(w), next = wheel_next(w->wheel);

    for (unsigned i = 0; i < N; i++)
        assert_int_equal(wheel_running(&w->e[i].timer), w->e[i].running);
    if (first == UINT64_MAX) {
        assert_true(next == UINT64_MAX);
        return;
    }
    /* A nap until `next` never oversleeps a firing. */
    assert_true(next <= (first + TICK - 1 > w->now ? first + TICK - 1 : w->now));
}

static void advance(struct world *w, uint64_t to)
{
    uint64_t before[N], next = wheel_next(w->wheel), fired = 0;
    size_t n;

    for (unsigned i = 0; i < N; i++)
        before[i] = w->e[i].fired;
    w->now = to;
    n = wheel_advance(w->wheel, to);
    for (unsigned i = 0; i < N; i++) {
        struct entry *e = &w->e[i];
        fired += e->fired - before[i];
        if (e->running && e->at + TICK <= to)
            w->late++;
    }
    assert_int_equal(n, fired);
    if (next > to)
        assert_int_equal(n, 0);
    assert_int_equal(w->early, 0);
    assert_int_equal(w->not_running, 0);
}

static struct world *world_new(uint64_t now, uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->now = now;
    w->random = seed;
    w->wheel = wheel_new(now);
    assert_non_null(w->wheel);
    for (unsigned i = 0; i < N; i++)
        wheel_timer_init(&w->e[i].timer, on_fire);
    return world = w;
}

static void world_delete(struct world *w)
{
    wheel_delete(w->wheel);
    free(w);
}

static void random_walk(uint64_t now, uint64_t seed, bool callbacks)
{
    struct world *w = world_new(now, seed);

    for (unsigned i = 0; i < N; i++)
        w->e[i].action = callbacks ? i % 4 : 0;
    for (unsigned step = 0; step < 3000; step++) {
        struct entry *e = &w->e[rnd(w) % N];
        unsigned what = (unsigned)(rnd(w) % 8);

        if (what < 4) {
            start(w, e, w->now + random_distance(w));
        } else if (what < 5) {
            wheel_stop(w->wheel, &e->timer);
            e->running = false;
        } else {
            advance(w, w->now + random_distance(w) / 16);
            if (!callbacks)
                assert_int_equal(w->late, 0);
        }
        check(w);
    }
    world_delete(w);
}

static void against_the_model(void **state)
{
    uint64_t seed = test_seed((uint64_t)time(NULL));

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        random_walk(0, seed + i, false);
        random_walk(UINT64_C(1700000000000000) + i, seed + 100 + i, false);
        random_walk((UINT64_C(1) << 46) - 3000, seed + 200 + i, true);
    }
}

static void fires_within_a_tick(void **state)
{
    struct world *w = world_new(5000, 1);

    (void)state;
    for (uint64_t d = 1; d < 200000; d = d * 3 + 1) {
        struct entry *e = &w->e[0];
        uint64_t at = w->now + d, count = e->fired;

        start(w, e, at);
        advance(w, at - 1);
        assert_int_equal(e->fired, count);
        advance(w, at + TICK - 1);
        assert_int_equal(e->fired, count + 1);
    }
    world_delete(w);
}

static void the_past_fires_on_the_next_advance(void **state)
{
    struct world *w = world_new(1000000, 1);

    (void)state;
    start(w, &w->e[0], 10);
    start(w, &w->e[1], 1000000);
    assert_true(wheel_next(w->wheel) <= 1000000);
    assert_int_equal(wheel_advance(w->wheel, 1000000), 2);
    world_delete(w);
}

static void time_never_goes_back(void **state)
{
    struct world *w = world_new(1000000, 1);

    (void)state;
    start(w, &w->e[0], 10);
    assert_int_equal(wheel_advance(w->wheel, 999999), 0);
    assert_true(wheel_running(&w->e[0].timer));
    world_delete(w);
}

static void the_end_of_time_is_far(void **state)
{
    struct world *w = world_new(0, 1);

    (void)state;
    start(w, &w->e[0], UINT64_MAX);
    advance(w, UINT64_C(3) * 365 * 86400 * 1000000);
    assert_true(wheel_running(&w->e[0].timer));
    wheel_stop(w->wheel, &w->e[0].timer);
    assert_true(wheel_next(w->wheel) == UINT64_MAX);
    world_delete(w);
}

/* A firing timer may free what holds it. */
static void free_self(struct wheel_timer *t, uint64_t now)
{
    (void)now;
    free(t);
}

static void a_timer_may_free_itself(void **state)
{
    struct wheel *w = wheel_new(0);

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct wheel_timer *t = malloc(sizeof(*t));
        assert_non_null(t);
        wheel_timer_init(t, free_self);
        wheel_start(w, t, 5000);
    }
    assert_int_equal(wheel_advance(w, 10000), 10);
    wheel_delete(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_within_a_tick),
        cmocka_unit_test(the_past_fires_on_the_next_advance),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(the_end_of_time_is_far),
        cmocka_unit_test(a_timer_may_free_itself),
        cmocka_unit_test(against_the_model),
    };

    return cmocka_run_group_tests_name("base/wheel", tests, NULL, NULL);
}
