/* Counters: one thread writes, any thread reads. No read-modify-write, no barrier: a relaxed load
 * and a relaxed store, so that counting costs what a plain increment costs. */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void counter_inc(counter *c)
{
    counter_add(c, 1);
}

static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit((counter *)(uintptr_t)c, memory_order_relaxed);
}

#endif
