/* How the writer thread sleeps, and who wakes it. It commits all that waits each time that it
 * looks; it looks every few milliseconds by itself, and at once when a call waits for its record.
 * So the records that nobody waits for (how calls ended, relaxed ones) share a sync, instead of
 * having one under way just when the next call wants its own. */
#include "audit_internal.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 5 /* the longest that a record which nobody waits for stays in memory */

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

bool doorbell_open(struct doorbell *d)
{
    d->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return d->fd >= 0;
}

void doorbell_close(struct doorbell *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

void doorbell_rest(struct audit *a)
{
    struct pollfd bell = {.fd = a->bell.fd, .events = POLLIN};
    uint64_t rung;

    atomic_store(&a->bell.asleep, true);
    if (!somebody_waits(a))
        poll(&bell, 1, LOOK_MS);
    atomic_store_explicit(&a->bell.asleep, false, memory_order_relaxed);
    /* A ring while it was awake is kept, and makes it look once more than it would. */
    if ((bell.revents & POLLIN) && read(a->bell.fd, &rung, sizeof(rung)) < 0)
        return; /* the next rest finds it rung still */
}

void doorbell_ring(const struct doorbell *d)
{
    const uint64_t one = 1;

    if (atomic_load(&d->asleep) && write(d->fd, &one, sizeof(one)) < 0)
        return; /* it is rung to the brim */
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
    doorbell_ring(r->bell);
}
