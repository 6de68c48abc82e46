/* The writer thread. */
#include "audit_internal.h"

#include <sys/prctl.h>
#include <time.h>

#define RETRY_NS   (100 * NS_IN_MS)
#define SLICE_NS   (10 * NS_IN_MS)
#define READERS_NS NS_IN_S /* how often slots of dead readers are cleared */

static void nap(uint64_t ns)
{
    struct timespec ts = {(time_t)(ns / NS_IN_S), (long)(ns % NS_IN_S)};

    nanosleep(&ts, NULL);
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
    int rc;

    prctl(PR_SET_NAME, "audit-writer");
    for (;;) {
        rc = step(a);
        if (rc < 0 && wait_to_retry(a))
            break;
        if (rc < 0)
            continue;
        clear_dead_readers(a, clock_mono_ns());
        if (rc == 0 && is_stopping(a) && !anything_waits(a))
            break;
        doorbell_rest(a);
    }
    show_lost(a);
    segment_close(&a->segment);
    atomic_store_explicit(&a->done, true, memory_order_release);
    return NULL;
}
