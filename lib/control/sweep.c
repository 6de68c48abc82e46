/* Keys of windows that are empty give up their places: all are looked at once a minute, or as soon
 * as half the table is in use, a slice a loop. */
#include <urcu-qsbr.h>

#include "control/control_internal.h"

enum { SWEEP_S = 60, SWEEP_FULL_S = 1, SWEEP_SLICE = 512 };

static bool is_due(const struct control *c, uint64_t now_ns)
{
    bool full = window_keys_in_use(c->c.windows) > window_keys(c->c.windows) / 2;

    return now_ns - c->swept_ns >= (full ? SWEEP_FULL_S : SWEEP_S) * NS_IN_S;
}

void sweep_tick(struct control *c, uint64_t now_ns)
{
    if (c->sweep_left == 0 && is_due(c, now_ns)) {
        c->sweep_left = window_keys(c->c.windows);
        c->swept_ns = now_ns;
    }
    if (c->sweep_left == 0)
        return;
    c->sweep_left -= c->sweep_left < SWEEP_SLICE ? c->sweep_left : SWEEP_SLICE;
    if (window_sweep(c->c.windows, SWEEP_SLICE, now_ns) == 0)
        return;
    urcu_qsbr_synchronize_rcu();
    window_reclaim(c->c.windows);
}
