/* What was counted before a restart, as it was written down. */
#include "window/window_internal.h"

#define HALF_DIGITS 16

void window_told_put(const struct window_told *told, struct outbuf *o)
{
    outbuf_printf(o, "%016llx%016llx %llu %llu %llu", (unsigned long long)told->key.half[0],
                  (unsigned long long)told->key.half[1],
                  (unsigned long long)(told->length_ns / NS_IN_S), (unsigned long long)told->step,
                  (unsigned long long)told->amount);
}

static bool read_half(struct span s, uint64_t *half)
{
    *half = 0;
    for (size_t i = 0; i < s.n; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *at = memchr(digits, s.p[i], sizeof(digits) - 1);

        if (!at)
            return false;
        *half = *half << 4 | (uint64_t)(at - digits);
    }
    return true;
}

bool window_told_read(struct span text, struct window_told *told)
{
    struct span key = span_cut(&text, ' '), length = span_cut(&text, ' '),
                step = span_cut(&text, ' ');
    uint64_t seconds;

    if (key.n != 2 * HALF_DIGITS || !read_half(span_of(key.p, HALF_DIGITS), &told->key.half[0]) ||
        !read_half(span_from(key, HALF_DIGITS), &told->key.half[1]) ||
        !span_u64(length, &seconds) || !span_u64(step, &told->step) ||
        !span_u64(text, &told->amount))
        return false;
    told->length_ns = seconds * NS_IN_S;
    return seconds > 0 && seconds <= WINDOW_LENGTH_MAX / NS_IN_S;
}

uint32_t window_fingerprint(const struct window_table *t)
{
    struct window_hash h;

    window_hash_begin(&h, t);
    window_hash_text(&h, SPAN_LIT("fingerprint"));
    return (uint32_t)window_hash_end(&h).half[0];
}

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
