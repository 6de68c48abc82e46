/* A timer's place follows from the highest 6-bit digit in which its tick differs from the present
 * one: level 0 holds this block of 64 ticks, level 1 this block of 64 blocks, and so on. So every
 * occupied slot lies ahead of the present digit of its level, every timer of a level is due before
 * any of the level above, and the next thing to do is always the first occupied slot of the lowest
 * occupied level. Reaching a slot of level 0 fires it, reaching any other spreads its timers over
 * the levels below; a timer is moved at most LEVELS - 1 times in its life.
 *
 * Ticks are rounded up, which is why nothing fires early. */
#include "base/wheel.h"

#include <stdlib.h>

#define TICK_SHIFT 10
#define LEVEL_BITS 6
#define SLOTS      (1u << LEVEL_BITS)
#define LEVELS     9 /* 54 bits of ticks: all of a 64-bit microsecond clock */
#define TICK_MAX   ((UINT64_C(1) << (LEVEL_BITS * LEVELS)) - 1)

struct wheel {
    uint64_t now_us;            /* of the last advance */
    uint64_t tick;              /* every timer in a slot has a tick after this one */
    struct wheel_timer *due;    /* started for a time that was already past */
    struct wheel_timer *firing; /* taken from its slot, function not yet run */
    uint64_t used[LEVELS];      /* bit s: slot s is not empty */
    struct wheel_timer *slot[LEVELS][SLOTS];
};

struct wheel *wheel_new(uint64_t now_us)
{
    struct wheel *w = calloc(1, sizeof(*w));

    if (w) {
        w->now_us = now_us;
        w->tick = now_us >> TICK_SHIFT;
    }
    return w;
}

void wheel_delete(struct wheel *w)
{
    free(w);
}

static void push(struct wheel_timer **list, struct wheel_timer *t)
{
    t->next = *list;
    t->link = list;
    if (t->next)
        t->next->link = &t->next;
    *list = t;
}

static void unlink_timer(struct wheel_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

/* Moves a whole list; the destination must be empty. */
static void take(struct wheel_timer **from, struct wheel_timer **to)
{
    *to = *from;
    *from = NULL;
    if (*to)
        (*to)->link = to;
}

static uint64_t tick_of(uint64_t at_us)
{
    uint64_t tick = (at_us >> TICK_SHIFT) + ((at_us & ((1u << TICK_SHIFT) - 1)) != 0);

    return tick < TICK_MAX ? tick : TICK_MAX;
}

/* `tick` must be after the wheel's. */
static void place(struct wheel *w, struct wheel_timer *t, uint64_t tick)
{
    unsigned level = (63 - (unsigned)__builtin_clzll(tick ^ w->tick)) / LEVEL_BITS;
    unsigned slot = (unsigned)(tick >> (level * LEVEL_BITS)) & (SLOTS - 1);

    push(&w->slot[level][slot], t);
    w->used[level] |= UINT64_C(1) << slot;
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t at_us)
{
    uint64_t tick = tick_of(at_us);

    if (t->link)
        wheel_stop(w, t);
    t->at_us = at_us;
    if (at_us <= w->now_us || tick <= w->tick)
        push(&w->due, t);
    else
        place(w, t, tick);
}

void wheel_stop(struct wheel *w, struct wheel_timer *t)
{
    struct wheel_timer **link = t->link, **slots = &w->slot[0][0];

    if (!link)
        return;
    unlink_timer(t);
    if (!*link && link >= slots && link < slots + LEVELS * SLOTS) {
        size_t i = (size_t)(link - slots);
        w->used[i / SLOTS] &= ~(UINT64_C(1) << (i % SLOTS));
    }
}

/* The slot that is reached first and the tick at which it is. */
static struct wheel_timer **first_slot(struct wheel *w, unsigned *level, uint64_t *tick)
{
    for (unsigned l = 0; l < LEVELS; l++) {
        unsigned shift = l * LEVEL_BITS;
        uint64_t slot;

        if (!w->used[l])
            continue;
        slot = (unsigned)__builtin_ctzll(w->used[l]);
        *level = l;
        *tick = ((w->tick >> shift) & ~(uint64_t)(SLOTS - 1)) << shift | slot << shift;
        return &w->slot[l][slot];
    }
    return NULL;
}

static size_t fire(struct wheel *w, uint64_t now_us)
{
    struct wheel_timer *t;
    size_t n = 0;

    while ((t = w->firing) != NULL) {
        unlink_timer(t);
        t->fn(t, now_us);
        n++;
    }
    return n;
}

/* Spreads the timers of a slot that has been reached; those of this very tick are to fire. */
static void cascade(struct wheel *w, struct wheel_timer **slot)
{
    struct wheel_timer *list, *t;

    take(slot, &list);
    while ((t = list) != NULL) {
        uint64_t tick = tick_of(t->at_us);

        unlink_timer(t);
        if (tick <= w->tick)
            push(&w->firing, t);
        else
            place(w, t, tick);
    }
}

size_t wheel_advance(struct wheel *w, uint64_t now_us)
{
    uint64_t target = now_us >> TICK_SHIFT, tick;
    struct wheel_timer **slot;
    unsigned level;
    size_t n;

    if (now_us < w->now_us)
        return 0;
    w->now_us = now_us;
    take(&w->due, &w->firing);
    n = fire(w, now_us);
    while ((slot = first_slot(w, &level, &tick)) != NULL && tick <= target) {
        w->tick = tick;
        w->used[level] &= ~(UINT64_C(1) << ((size_t)(slot - w->slot[level])));
        cascade(w, slot);
        n += fire(w, now_us);
    }
    w->tick = target;
    return n;
}

uint64_t wheel_next(const struct wheel *w)
{
    unsigned level;
    uint64_t tick;

    if (w->due)
        return w->now_us;
    if (!first_slot((struct wheel *)(uintptr_t)w, &level, &tick))
        return UINT64_MAX;
    return tick << TICK_SHIFT;
}
