/* The writer thread. */
#include "audit_internal.h"

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#define NS_IN_US   1000ull
#define RETRY_NS   (100 * NS_IN_MS)
#define SLICE_NS   (10 * NS_IN_MS)
#define SPIN_NS    (30 * NS_IN_US)
#define NAP_MIN_NS (50 * NS_IN_US)
#define NAP_MAX_NS NS_IN_MS
#define READERS_NS NS_IN_S /* how often slots of dead readers are cleared */

static void nap(uint64_t ns)
{
    struct timespec ts = {(time_t)(ns / NS_IN_S), (long)(ns % NS_IN_S)};

    nanosleep(&ts, NULL);
}

/* Yields while events are a few microseconds apart, then sleeps a 64th of the idle time: 50 us
 * after 3 ms, and 1 ms, the most that a first call has to wait for, after 64 ms. */
static void rest(uint64_t idle_ns)
{
    uint64_t ns = idle_ns / 64;

    if (idle_ns < SPIN_NS)
        sched_yield();
    else
        nap(ns < NAP_MIN_NS ? NAP_MIN_NS : ns > NAP_MAX_NS ? NAP_MAX_NS : ns);
}

static bool is_stopping(const struct audit *a)
{
    return atomic_load_explicit(&a->stop, memory_order_acquire);
}

static bool gives_up(const struct audit *a)
{
    return is_stopping(a) && clock_mono_ns() >= atomic_load(&a->give_up_at);
}

static void show_lost(struct audit *a)
{
    uint64_t lost = lost_total(a), shown = counter_get(&a->counters.lost);

    if (lost != shown)
        counter_add(&a->counters.lost, lost - shown);
}

/* Between tries; true when it is time to give up. */
static bool wait_to_retry(struct audit *a)
{
    uint64_t until = clock_mono_ns() + RETRY_NS;

    while (clock_mono_ns() < until) {
        if (gives_up(a))
            return true;
        show_lost(a);
        nap(SLICE_NS);
    }
    return gives_up(a);
}

static void clear_dead_readers(struct audit *a, uint64_t now)
{
    if (now - a->readers_checked_at < READERS_NS)
        return;
    a->readers_checked_at = now;
    mdb_reader_check(a->segment.env, NULL); /* an error only means: not this time */
}

static int step(struct audit *a)
{
    show_lost(a);
    if (!a->segment.env && !store_recover(a))
        return -1;
    return batch_commit(a);
}

void *writer_main(void *audit)
{
    struct audit *a = audit;
    uint64_t busy_at = clock_mono_ns(), now;
    int rc;

    prctl(PR_SET_NAME, "audit-writer");
    prctl(PR_SET_TIMERSLACK, 1000); /* ns; or a nap of 50 us would take 100 */
    for (;;) {
        rc = step(a);
        now = clock_mono_ns();
        if (rc < 0 && wait_to_retry(a))
            break;
        if (rc > 0)
            busy_at = now;
        if (rc < 0)
            continue;
        clear_dead_readers(a, now);
        if (rc == 0) {
            if (is_stopping(a) && !anything_waits(a))
                break;
            rest(now - busy_at);
        }
    }
    show_lost(a);
    segment_close(&a->segment);
    atomic_store_explicit(&a->done, true, memory_order_release);
    return NULL;
}
