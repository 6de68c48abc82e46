/* What the parts of the library share: the table, and steps of 16 bytes at once.
 *
 *   table.c  keys to entries, sweeping    count.c    sums, reserving, committing, giving back
 *   hash.c   SipHash                      restore.c  what was counted before a restart */
#ifndef WINDOW_INTERNAL_H
#define WINDOW_INTERNAL_H

#include "window/window.h"

enum {
    WINDOW_LIVE = 60,    /* steps in a length */
    WINDOW_RING = 64,    /* buckets: a length, the step now, and three that clocks may differ by */
    WINDOW_CHAIN = 64,   /* keys looked at before a table is called full */
    WINDOW_LOOKS = 8,    /* at a bucket that changes its step while it is read */
    WINDOW_LIMBO = 1024, /* keys taken out at a time */
};

/* Two words that change together. */
union window_pair {
    struct {
        uint64_t a, b;
    };
    unsigned __int128 whole;
} __attribute__((aligned(16)));

/* Entries are found by chains that begin in `heads`, by number; 0 ends a chain. */
struct window_entry {
    /* Set before it comes into a chain. */
    struct window_key key;
    uint64_t step_ns, length_ns;
    uint32_t serial; /* how often the place was given up */
    uint32_t next;
    /* a: what is reserved and not decided, or DEAD: being taken out, for good; b: reservations made
     * so far, by which the sweeping thread sees that none came in between. */
    union window_pair use;
    /* a: number of the step since 1970, which only grows; b: sum, UINT64_MAX if it did not fit. */
    union window_pair bucket[WINDOW_RING] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

#define WINDOW_DEAD  UINT64_MAX
#define WINDOW_BURST UINT64_MAX /* a sum that did not fit, for good */

struct window_table {
    struct window_entry *entries; /* [0] is not used */
    uint64_t *heads;              /* entry in the lower half, changes so far in the upper */
    unsigned keys, nheads;        /* nheads: a power of two */
    uint8_t secret[WINDOW_SECRET];
    uint64_t blind_ns; /* nothing is known of before; 0: all is */
    /* The sweeping thread's: the place it looks at next, and what it has taken out of chains while
     * others may still be there. */
    uint32_t hand, limbo[WINDOW_LIMBO];
    unsigned nlimbo;
    /* Shared, written when keys come and go. */
    uint64_t free __attribute__((aligned(64))); /* stack of free entries: as a head */
    uint32_t fresh;                             /* entries never used so far begin behind it */
    uint32_t in_use;
};

/* Nothing else writes in between, or nothing is written and *seen is what is there. A full barrier.
 */
static inline bool window_swap(union window_pair *at, union window_pair *seen,
                               union window_pair want)
{
    union window_pair was = {.whole =
                                 __sync_val_compare_and_swap(&at->whole, seen->whole, want.whole)};
    bool done = was.whole == seen->whole;

    *seen = was;
    return done;
}

static inline uint64_t window_load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* Perhaps of two moments: window_swap tells. */
static inline union window_pair window_peek(const union window_pair *at)
{
    union window_pair p;

    p.a = window_load(&at->a);
    p.b = window_load(&at->b);
    return p;
}

static inline uint64_t window_step_ns(uint64_t length_ns)
{
    return (length_ns + WINDOW_LIVE - 1) / WINDOW_LIVE;
}

/* NULL: there is none; there is no place. */
struct window_entry *window_find(struct window_table *t, struct window_key key);
struct window_entry *window_find_or_make(struct window_table *t, struct window_key key,
                                         uint64_t length_ns);

struct window_key window_key_of(const struct window_entry *e);

/* Adds to the bucket of that step, or of a newer one if the clock of another was there before.
 * Returns where. */
uint64_t window_add(struct window_entry *e, uint64_t step, uint64_t amount);
void window_take(struct window_entry *e, uint64_t step, uint64_t amount);

/* Is any step of it in a window that ends now? */
static inline bool window_live(uint64_t step, uint64_t now)
{
    return step + WINDOW_LIVE >= now;
}

#endif
