/* How the writer thread sleeps, and who wakes it. It commits all that waits each time that it
 * looks; it looks every few milliseconds by itself, and at once when a call waits for its record.
 * So the records that nobody waits for (how calls ended, relaxed ones) share a sync, instead of
 * having one under way just when the next call wants its own. */
#include "audit_internal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS                                                                                    \
    (5 * NS_IN_MS) /* the longest that a record which nobody waits for stays in memory */

/* Sleeping is told before the last look at the rings, a wish before the look at whether it sleeps;
 * all four in one order (seq_cst), so at least one side sees the other. */
static bool somebody_waits(const struct audit *a)
{
    for (unsigned i = 0; i < a->ring_count; i++)
        if (atomic_load(&a->rings[i].wanted) >
            atomic_load_explicit(&a->rings[i].tail, memory_order_relaxed))
            return true;
    return atomic_load(&a->stop);
}

void doorbell_rest(struct audit *a)
{
    const struct timespec most = {0, LOOK_NS};

    atomic_store(&a->asleep, 1);
    if (!somebody_waits(a))
        syscall(SYS_futex, &a->asleep, FUTEX_WAIT_PRIVATE, 1, &most, NULL, 0);
    atomic_store_explicit(&a->asleep, 0, memory_order_relaxed);
}

void doorbell_ring(_Atomic uint32_t *asleep)
{
    if (!atomic_load(asleep))
        return;
    atomic_store_explicit(asleep, 0, memory_order_relaxed); /* the others need not ring too */
    syscall(SYS_futex, asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void audit_want(struct audit_ring *r, uint64_t ticket)
{
    r->want = ticket;
}

/* A ring that nobody waits for must not fill up between two looks of the writer. */
static bool fills_up(struct audit_ring *r, uint64_t head)
{
    if (head - r->tail_seen > r->size / 4)
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    return head - r->tail_seen > r->size / 4;
}

void audit_nudge(struct audit_ring *r)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

    if (fills_up(r, head))
        r->want = head;
    if (r->want == r->told)
        return;
    r->told = r->want;
    atomic_store(&r->wanted, r->told);
    doorbell_ring(r->asleep);
}
