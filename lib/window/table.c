/* Keys to entries. A chain grows only at its head, by a compare-and-swap that fails if the head has
 * changed since the chain was looked through: so no key gets into it twice. Only the sweeping
 * thread takes entries out, so it alone changes `next` of what is in a chain, and at the head it
 * too goes by compare-and-swap. What it has taken out may still have somebody on it, who finds his
 * way on by its `next`; it is free when all workers have been through a quiescent state since.
 *
 * Heads carry a count of their changes, so that an entry that left and came back is not taken for
 * one that stayed. */
#include "window/window_internal.h"

#include <stdlib.h>
#include <sys/mman.h>

static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static size_t entries_size(const struct window_table *t)
{
    return ((size_t)t->keys + 1) * sizeof(*t->entries);
}

struct window_table *window_table_new(unsigned keys, const uint8_t secret[WINDOW_SECRET])
{
    struct window_table *t = aligned_alloc(64, (sizeof(*t) + 63) & ~(size_t)63);

    if (!t)
        return NULL;
    memset(t, 0, sizeof(*t));
    t->keys = keys < 1 ? 1 : keys > WINDOW_KEYS_MAX ? WINDOW_KEYS_MAX : keys;
    for (t->nheads = 1; t->nheads < t->keys;)
        t->nheads *= 2;
    memcpy(t->secret, secret, WINDOW_SECRET);
    t->entries = map(entries_size(t));
    t->heads = map(t->nheads * sizeof(*t->heads));
    if (t->entries && t->heads)
        return t;
    window_table_delete(t);
    return NULL;
}

void window_table_delete(struct window_table *t)
{
    if (!t)
        return;
    if (t->entries)
        munmap(t->entries, entries_size(t));
    if (t->heads)
        munmap(t->heads, t->nheads * sizeof(*t->heads));
    explicit_bzero(t->secret, sizeof(t->secret));
    free(t);
}

unsigned window_keys(const struct window_table *t)
{
    return t->keys;
}

unsigned window_keys_in_use(const struct window_table *t)
{
    return __atomic_load_n(&t->in_use, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- heads */

static uint32_t number_of(uint64_t head)
{
    return (uint32_t)head;
}

static uint64_t head_after(uint64_t head, uint32_t entry)
{
    return ((head >> 32) + 1) << 32 | entry;
}

static bool head_swap(uint64_t *at, uint64_t *seen, uint32_t entry)
{
    return __atomic_compare_exchange_n(at, seen, head_after(*seen, entry), false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static uint32_t next_of(const struct window_entry *e)
{
    return __atomic_load_n(&e->next, __ATOMIC_ACQUIRE);
}

static void set_next(struct window_entry *e, uint32_t next)
{
    __atomic_store_n(&e->next, next, __ATOMIC_RELEASE);
}

static uint64_t *head_of(const struct window_table *t, struct window_key key)
{
    return &t->heads[key.half[0] & (t->nheads - 1)];
}

/* ----------------------------------------------------------- free places */

static void push_free(struct window_table *t, uint32_t entry)
{
    uint64_t head = window_load(&t->free);

    do {
        set_next(&t->entries[entry], number_of(head));
    } while (!head_swap(&t->free, &head, entry));
}

static uint32_t pop_fresh(struct window_table *t)
{
    uint32_t used = __atomic_load_n(&t->fresh, __ATOMIC_RELAXED);

    do {
        if (used == t->keys)
            return 0;
    } while (!__atomic_compare_exchange_n(&t->fresh, &used, used + 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return used + 1;
}

static uint32_t pop_free(struct window_table *t)
{
    uint64_t head = window_load(&t->free);

    while (number_of(head)) {
        uint32_t entry = number_of(head);

        if (head_swap(&t->free, &head, next_of(&t->entries[entry])))
            return entry;
    }
    return pop_fresh(t);
}

/* ------------------------------------------------------------- looking up */

static bool is_dead(const struct window_entry *e)
{
    return window_load(&e->use.a) == WINDOW_DEAD;
}

/* By words of their own: the sweeping thread looks at places that are just being taken. */
static void set_key(struct window_entry *e, struct window_key key)
{
    __atomic_store_n(&e->key.half[0], key.half[0], __ATOMIC_RELAXED);
    __atomic_store_n(&e->key.half[1], key.half[1], __ATOMIC_RELAXED);
}

struct window_key window_key_of(const struct window_entry *e)
{
    return (struct window_key){{__atomic_load_n(&e->key.half[0], __ATOMIC_RELAXED),
                                __atomic_load_n(&e->key.half[1], __ATOMIC_RELAXED)}};
}

static bool same_key(struct window_key a, struct window_key b)
{
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

/* `*length`: how many were looked at. */
static struct window_entry *look(const struct window_table *t, uint64_t head, struct window_key key,
                                 unsigned *length)
{
    uint32_t i = number_of(head);

    for (*length = 0; i && *length < WINDOW_CHAIN; ++*length) {
        struct window_entry *e = &t->entries[i];

        if (same_key(window_key_of(e), key) && !is_dead(e))
            return e;
        i = next_of(e);
    }
    return NULL;
}

struct window_entry *window_find(struct window_table *t, struct window_key key)
{
    unsigned length;

    return look(t, window_load(head_of(t, key)), key, &length);
}

struct window_entry *window_find_or_make(struct window_table *t, struct window_key key,
                                         uint64_t length_ns)
{
    uint64_t *at = head_of(t, key), head = window_load(at);
    struct window_entry *mine = NULL, *e;
    uint32_t number = 0;
    unsigned length;

    for (;;) {
        e = look(t, head, key, &length);
        if (e || length == WINDOW_CHAIN)
            break;
        if (!mine) {
            number = pop_free(t);
            if (!number)
                return NULL;
            mine = &t->entries[number];
            set_key(mine, key);
            mine->length_ns = length_ns;
            mine->step_ns = window_step_ns(length_ns);
        }
        set_next(mine, number_of(head));
        if (head_swap(at, &head, number)) {
            __atomic_fetch_add(&t->in_use, 1, __ATOMIC_RELAXED);
            return mine;
        }
    }
    if (mine)
        push_free(t, number);
    return e;
}

/* ----------------------------------------------------------------- sweeping */

static bool is_empty(const struct window_entry *e, uint64_t now)
{
    for (unsigned i = 0; i < WINDOW_RING; i++)
        if (window_live(window_load(&e->bucket[i].a), now))
            return false;
    return true;
}

/* A reservation that was decided before `b` was read has left its amount in a bucket by the time at
 * which `a` is seen to be 0; one that comes later changes `b`, and the swap fails. */
static bool kill_empty(struct window_entry *e, uint64_t now)
{
    union window_pair seen, dead = {.a = WINDOW_DEAD};

    seen.b = dead.b = window_load(&e->use.b);
    seen.a = window_load(&e->use.a);
    return seen.a == 0 && is_empty(e, now) && window_swap(&e->use, &seen, dead);
}

static void unlink_entry(struct window_table *t, uint32_t number)
{
    struct window_entry *e = &t->entries[number], *before;
    uint64_t *at = head_of(t, window_key_of(e)), head = window_load(at);

    while (number_of(head) == number)
        if (head_swap(at, &head, next_of(e)))
            return;
    for (before = &t->entries[number_of(head)]; next_of(before) != number;)
        before = &t->entries[next_of(before)];
    set_next(before, next_of(e));
}

static bool is_chained(const struct window_table *t, uint32_t number)
{
    const struct window_entry *e = &t->entries[number];
    uint32_t i = number_of(window_load(head_of(t, window_key_of(e))));

    while (i && i != number)
        i = next_of(&t->entries[i]);
    return i == number;
}

unsigned window_sweep(struct window_table *t, unsigned most, uint64_t now_ns)
{
    unsigned before = t->nlimbo, fresh = __atomic_load_n(&t->fresh, __ATOMIC_RELAXED);

    for (; most && fresh && t->nlimbo < WINDOW_LIMBO; most--) {
        struct window_entry *e;

        t->hand = t->hand >= fresh ? 1 : t->hand + 1;
        e = &t->entries[t->hand];
        if (!is_chained(t, t->hand) || !kill_empty(e, now_ns / e->step_ns))
            continue;
        unlink_entry(t, t->hand);
        t->limbo[t->nlimbo++] = t->hand;
    }
    return t->nlimbo - before;
}

/* The serial first: who finds the entry alive finds its new serial. */
void window_reclaim(struct window_table *t)
{
    for (; t->nlimbo; t->nlimbo--) {
        struct window_entry *e = &t->entries[t->limbo[t->nlimbo - 1]];

        memset(e->bucket, 0, sizeof(e->bucket));
        __atomic_fetch_add(&e->serial, 1, __ATOMIC_RELEASE);
        __atomic_store_n(&e->use.a, 0, __ATOMIC_RELEASE);
        __atomic_fetch_sub(&t->in_use, 1, __ATOMIC_RELAXED);
        push_free(t, t->limbo[t->nlimbo - 1]);
    }
}
