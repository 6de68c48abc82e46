/* Timers in a hierarchical wheel: start, stop and expiry are O(1) whatever the count. Intrusive
 * (a timer lives inside what it times), no allocation after creation, no clock of its own. One
 * thread a wheel. */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wheel;
struct wheel_timer;
typedef void wheel_fn(struct wheel_timer *t, uint64_t now_us);

struct wheel_timer {
    struct wheel_timer *next, **link; /* link is NULL while the timer is stopped */
    uint64_t at_us;                   /* when it is due, exact */
    wheel_fn *fn;
};

/* One tick is 2^10 us (about a millisecond); timers further away than the wheel's span (over a
 * year) are cut to it. A timer never fires early and fires at most one tick late after the
 * wheel_advance that passes it. `now_us` is the starting time. NULL when out of memory. */
struct wheel *wheel_new(uint64_t now_us);
void wheel_delete(struct wheel *w);

/* Zeroed memory plus a function is a stopped timer. */
static inline void wheel_timer_init(struct wheel_timer *t, wheel_fn *fn)
{
    *t = (struct wheel_timer){.fn = fn};
}

static inline bool wheel_running(const struct wheel_timer *t)
{
    return t->link != NULL;
}

/* Starts or moves a timer. A time in the past fires on the next advance. */
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t at_us);
void wheel_stop(struct wheel *w, struct wheel_timer *t);

/* Fires everything due at or before `now_us`, each timer stopped before its function runs, so the
 * function may start it again or free what holds it, and may start and stop others. Returns how
 * many fired. Time never goes back: an earlier `now_us` does nothing. */
size_t wheel_advance(struct wheel *w, uint64_t now_us);
/* No wheel_advance before this time will fire anything; UINT64_MAX when no timer runs. For naps: it
 * may be earlier than the first firing, never later. (It is in whole ticks, as firing is: a time
 * within the tick would have the caller spin out the rest of it.) */
uint64_t wheel_next(const struct wheel *w);

#endif
