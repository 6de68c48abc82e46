/* What was counted before a restart. */
#include "window/window_internal.h"

bool window_restore(struct window_table *t, const struct window_told *told, uint64_t now_ns)
{
    uint64_t step_ns = window_step_ns(told->length_ns);
    struct window_entry *e;

    if (!told->amount || !window_live(told->step, now_ns / step_ns))
        return true;
    e = window_find_or_make(t, told->key, told->length_ns);
    if (!e)
        return false;
    window_add(e, told->step, told->amount);
    return true;
}

void window_restore_back(struct window_table *t, const struct window_told *told)
{
    struct window_entry *e = window_find(t, told->key);

    if (e)
        window_take(e, told->step, told->amount);
}

void window_forget(struct window_table *t, uint64_t now_ns)
{
    t->blind_ns = now_ns;
}

bool window_forgot(const struct window_table *t, uint64_t length_ns, uint64_t now_ns)
{
    return t->blind_ns && now_ns < t->blind_ns + length_ns + window_step_ns(length_ns);
}
