/* Blocks are numbered by their first unit of BUDDY_MIN bytes. All bookkeeping lies apart from the
 * region, so that a write past the end of a block cannot lead the allocator astray.
 *
 * Invariants: a block of order o starts at a multiple of 2^o and lies whole in the region; every
 * unit belongs to one block; `tag` of a block's first unit says its order and whether it is free,
 * and is INSIDE for its other units; two free blocks are never each other's buddies. */
#include "base/buddy.h"

#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUDDY_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define BUDDY_ASAN 1
#endif
#ifdef BUDDY_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ORDERS   32
#define NO_UNIT  UINT32_MAX
#define INSIDE   0x00 /* not the first unit of a block */
#define FREE     0x40 /* | order */
#define LIVE     0x80 /* | order */
#define ORDER_OF 0x3f

struct buddy {
    char *region;
    uint32_t units;
    uint32_t orders_free; /* bit o: a free block of order o is there */
    size_t used;          /* units in live blocks */
    uint32_t first[ORDERS];
    uint32_t *next, *prev; /* by first unit, of free blocks only */
    uint8_t *tag;
};

static void list_push(struct buddy *b, uint32_t unit, unsigned order)
{
    uint32_t head = b->first[order];

    b->tag[unit] = (uint8_t)(FREE | order);
    b->prev[unit] = NO_UNIT;
    b->next[unit] = head;
    if (head != NO_UNIT)
        b->prev[head] = unit;
    b->first[order] = unit;
    b->orders_free |= 1u << order;
}

static void list_remove(struct buddy *b, uint32_t unit, unsigned order)
{
    uint32_t next = b->next[unit], prev = b->prev[unit];

    if (prev == NO_UNIT)
        b->first[order] = next;
    else
        b->next[prev] = next;
    if (next != NO_UNIT)
        b->prev[next] = prev;
    if (b->first[order] == NO_UNIT)
        b->orders_free &= ~(1u << order);
    b->tag[unit] = INSIDE;
}

/* The largest block that may start at `unit`. */
static unsigned order_at(const struct buddy *b, uint32_t unit)
{
    unsigned order = unit ? (unsigned)__builtin_ctz(unit) : ORDERS - 1;

    while (((uint64_t)1 << order) > b->units - unit)
        order--;
    return order;
}

static void fill(struct buddy *b)
{
    for (unsigned o = 0; o < ORDERS; o++)
        b->first[o] = NO_UNIT;
    for (uint32_t unit = 0; unit < b->units;) {
        unsigned order = order_at(b, unit);
        list_push(b, unit, order);
        unit += 1u << order;
    }
}

struct buddy *buddy_new(void *region, size_t size)
{
    size_t units = size / BUDDY_MIN;
    struct buddy *b;

    if (units == 0 || units > INT32_MAX)
        return NULL;
    b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->region = region;
    b->units = (uint32_t)units;
    b->next = malloc(units * sizeof(*b->next));
    b->prev = malloc(units * sizeof(*b->prev));
    b->tag = calloc(units, sizeof(*b->tag));
    if (!b->next || !b->prev || !b->tag) {
        buddy_delete(b);
        return NULL;
    }
    fill(b);
    ASAN_POISON_MEMORY_REGION(b->region, units * BUDDY_MIN);
    return b;
}

void buddy_delete(struct buddy *b)
{
    if (!b)
        return;
    ASAN_UNPOISON_MEMORY_REGION(b->region, (size_t)b->units * BUDDY_MIN);
    free(b->next);
    free(b->prev);
    free(b->tag);
    free(b);
}

static unsigned order_for(size_t n)
{
    size_t units = n / BUDDY_MIN + (n % BUDDY_MIN != 0);

    return units <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(units - 1);
}

void *buddy_alloc(struct buddy *b, size_t n)
{
    unsigned want = order_for(n), order;
    uint32_t unit;
    char *p;

    if (want >= ORDERS || !(b->orders_free >> want))
        return NULL;
    order = want + (unsigned)__builtin_ctz(b->orders_free >> want);
    unit = b->first[order];
    list_remove(b, unit, order);
    while (order > want) {
        order--;
        list_push(b, unit + (1u << order), order);
    }
    b->tag[unit] = (uint8_t)(LIVE | order);
    b->used += (size_t)1 << order;
    p = b->region + (size_t)unit * BUDDY_MIN;
    ASAN_UNPOISON_MEMORY_REGION(p, BUDDY_MIN << order);
    return p;
}

/* The first unit of a live block; anything else is corrupted memory and ends here. */
static uint32_t live_unit(const struct buddy *b, const void *p)
{
    size_t at = (size_t)((uintptr_t)p - (uintptr_t)b->region);

    if ((uintptr_t)p < (uintptr_t)b->region || at % BUDDY_MIN || at / BUDDY_MIN >= b->units ||
        !(b->tag[at / BUDDY_MIN] & LIVE))
        abort();
    return (uint32_t)(at / BUDDY_MIN);
}

size_t buddy_size(const struct buddy *b, const void *p)
{
    return BUDDY_MIN << (b->tag[live_unit(b, p)] & ORDER_OF);
}

/* The buddy of a block if it may be joined: whole in the region, free, and not split. */
static bool buddy_is_free(const struct buddy *b, uint32_t unit, unsigned order)
{
    uint32_t other = unit ^ (1u << order);

    return other < b->units && b->tag[other] == (FREE | order);
}

void buddy_free(struct buddy *b, void *p)
{
    uint32_t unit;
    unsigned order;

    if (!p)
        return;
    unit = live_unit(b, p);
    order = b->tag[unit] & ORDER_OF;
    b->tag[unit] = INSIDE;
    b->used -= (size_t)1 << order;
    ASAN_POISON_MEMORY_REGION(p, BUDDY_MIN << order);
    while (order < ORDERS - 1 && buddy_is_free(b, unit, order)) {
        list_remove(b, unit ^ (1u << order), order);
        unit &= ~(1u << order);
        order++;
    }
    list_push(b, unit, order);
}

size_t buddy_used(const struct buddy *b)
{
    return b->used * BUDDY_MIN;
}

size_t buddy_total(const struct buddy *b)
{
    return (size_t)b->units * BUDDY_MIN;
}

/* Every block starts aligned, ends inside, has nothing in it, and has no free buddy if free. */
static bool blocks_are_sound(const struct buddy *b, size_t free_count[ORDERS])
{
    size_t live = 0;

    for (uint32_t unit = 0; unit < b->units;) {
        unsigned tag = b->tag[unit], order = tag & ORDER_OF;
        uint32_t n = 1u << (order & (ORDERS - 1));

        if (!(tag & (FREE | LIVE)) || order >= ORDERS || unit % n || n > b->units - unit)
            return false;
        for (uint32_t i = 1; i < n; i++)
            if (b->tag[unit + i] != INSIDE)
                return false;
        if ((tag & FREE) && order < ORDERS - 1 && buddy_is_free(b, unit, order))
            return false;
        live += (tag & LIVE) ? n : 0;
        free_count[order] += (tag & FREE) != 0;
        unit += n;
    }
    return live == b->used;
}

static bool list_is_sound(const struct buddy *b, unsigned order, size_t count)
{
    uint32_t prev = NO_UNIT;

    for (uint32_t unit = b->first[order]; unit != NO_UNIT; unit = b->next[unit]) {
        if (count-- == 0 || unit >= b->units || b->tag[unit] != (FREE | order) ||
            b->prev[unit] != prev)
            return false;
        prev = unit;
    }
    return count == 0 && ((b->orders_free >> order & 1) == (b->first[order] != NO_UNIT));
}

bool buddy_check(const struct buddy *b)
{
    size_t free_count[ORDERS] = {0};

    if (!blocks_are_sound(b, free_count))
        return false;
    for (unsigned o = 0; o < ORDERS; o++)
        if (!list_is_sound(b, o, free_count[o]))
            return false;
    return true;
}
