/* Sums, and how decisions that run at the same time see each other.
 *
 * Why nothing is let through beyond a limit. Let A and B go through in one window, and let A's
 * reservation come before B's in the order in which `use` changed (there is one order, and every
 * change of it is a read-modify-write). When B reserves, A's amount either still stands in `use.a`
 * and so in B's `most`, or A has been decided: A added to its bucket first and took its amount out
 * of `use.a` afterwards (release), and B's reservation reads a value that follows from that one
 * through read-modify-writes only (acquire). So what A did before happens before what B does next,
 * and B finds A's amount in the bucket. It may find it in both for a moment: then `most` is too
 * large, which never lets anything through. Hence B's `most` holds every amount that was reserved
 * before B's and went through.
 *
 * Why a refusal by `least` stands. What is in buckets has gone through, so with it counted first
 * and this call after it, the refusal is what would have come. Whoever was counted meanwhile
 * although he reserved after us saw at least as much as without us, and went through nevertheless.
 *
 * A bucket is a step's number and its sum, changed together, and the number only grows. So a reader
 * who finds the same number before and after he read the sum has read that step's sum. The loads
 * are in order (acquire); that words of 8 bytes may be read of what is changed by 16 is x86-64's.
 */
#include "window/window_internal.h"

static bool reserve(struct window_entry *e, uint64_t amount, uint64_t *before, bool *beyond)
{
    union window_pair seen = window_peek(&e->use), want;

    do {
        if (seen.a == WINDOW_DEAD)
            return false;
        *beyond = amount >= WINDOW_DEAD - seen.a;
        if (*beyond)
            return true;
        want.a = seen.a + amount;
        want.b = seen.b + 1;
    } while (!window_swap(&e->use, &seen, want));
    *before = seen.a;
    return true;
}

/* A step that ends while its sum is read is looked at again. False: it does not come to rest. */
static bool read_bucket(const union window_pair *b, uint64_t now, uint64_t *sum)
{
    for (unsigned i = 0; i < WINDOW_LOOKS; i++) {
        uint64_t step = window_load(&b->a);

        *sum = 0;
        if (!window_live(step, now))
            return true;
        *sum = window_load(&b->b);
        if (window_load(&b->a) == step)
            return *sum != WINDOW_BURST;
    }
    return false;
}

static bool sum_up(const struct window_entry *e, uint64_t now, uint64_t *sum)
{
    uint64_t one;

    *sum = 0;
    for (unsigned i = 0; i < WINDOW_RING; i++)
        if (!read_bucket(&e->bucket[i], now, &one) || __builtin_add_overflow(*sum, one, sum))
            return false;
    return true;
}

static void release(struct window_entry *e, uint64_t amount)
{
    if (amount)
        __atomic_fetch_sub(&e->use.a, amount, __ATOMIC_RELEASE);
}

enum window_result window_reserve(struct window_table *t, struct window_key key, uint64_t length_ns,
                                  uint64_t amount, uint64_t now_ns, struct window_count *c,
                                  uint64_t *least, uint64_t *most)
{
    struct window_entry *e;
    uint64_t before = 0;
    bool beyond = false;
    unsigned tries = 4; /* each a sweep that took the entry just found */

    do {
        e = tries-- ? window_find_or_make(t, key, length_ns) : NULL;
        if (!e)
            return WINDOW_FULL;
    } while (!reserve(e, amount, &before, &beyond));
    if (beyond)
        return WINDOW_BEYOND;
    if (!sum_up(e, now_ns / e->step_ns, least) || __builtin_add_overflow(*least, before, most)) {
        release(e, amount);
        return WINDOW_BEYOND;
    }
    *c = (struct window_count){.entry = (uint32_t)(e - t->entries),
                               .serial = __atomic_load_n(&e->serial, __ATOMIC_RELAXED),
                               .amount = amount};
    return WINDOW_RESERVED;
}

void window_withdraw(struct window_table *t, struct window_count *c)
{
    release(&t->entries[c->entry], c->amount);
}

uint64_t window_add(struct window_entry *e, uint64_t step, uint64_t amount)
{
    union window_pair *b = &e->bucket[step % WINDOW_RING], seen = window_peek(b), want;

    do {
        want = seen;
        if (seen.a < step)
            want = (union window_pair){.a = step};
        if (__builtin_add_overflow(want.b, amount, &want.b))
            want.b = WINDOW_BURST;
    } while (!window_swap(b, &seen, want));
    return want.a;
}

void window_take(struct window_entry *e, uint64_t step, uint64_t amount)
{
    union window_pair *b = &e->bucket[step % WINDOW_RING], seen = window_peek(b), want;

    do {
        if (seen.a != step || seen.b == WINDOW_BURST)
            return;
        want.a = step;
        want.b = seen.b > amount ? seen.b - amount : 0;
    } while (!window_swap(b, &seen, want));
}

void window_commit(struct window_table *t, struct window_count *c, uint64_t now_ns)
{
    struct window_entry *e = &t->entries[c->entry];

    c->step = now_ns / e->step_ns;
    if (c->amount)
        c->step = window_add(e, c->step, c->amount);
    release(e, c->amount);
}

/* Whether it lives is asked before whose it is: window_reclaim changes them the other way round. */
static struct window_entry *still_there(const struct window_table *t, const struct window_count *c)
{
    struct window_entry *e = &t->entries[c->entry];

    if (window_load(&e->use.a) == WINDOW_DEAD ||
        __atomic_load_n(&e->serial, __ATOMIC_ACQUIRE) != c->serial)
        return NULL;
    return e;
}

void window_give_back(struct window_table *t, const struct window_count *c)
{
    struct window_entry *e = still_there(t, c);

    if (e && c->amount)
        window_take(e, c->step, c->amount);
}

bool window_tell(const struct window_table *t, const struct window_count *c,
                 struct window_told *out)
{
    const struct window_entry *e = still_there(t, c);

    if (!e)
        return false;
    *out = (struct window_told){window_key_of(e), e->length_ns, c->step, c->amount};
    return true;
}
