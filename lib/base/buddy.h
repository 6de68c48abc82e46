/* A buddy allocator over one fixed region: a worker's memory for heads, bodies and buffers. It
 * never asks the system for more, so it is the bound: when it is spent the call is refused. All
 * operations take at most log2(region / smallest) steps. One thread; no locks. */
#ifndef BASE_BUDDY_H
#define BASE_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDDY_MIN ((size_t)1024) /* smallest block; requests are rounded up to a power of two */

struct buddy;

/* Manages `size` bytes at `region` (both multiples of BUDDY_MIN; size need not be a power of two).
 * The bookkeeping is malloc'd apart from the region. NULL when out of memory or size is too
 * small. The region stays the caller's and must outlive the allocator. */
struct buddy *buddy_new(void *region, size_t size);
void buddy_delete(struct buddy *b);

/* A block of at least `n` bytes, aligned to BUDDY_MIN, not zeroed; NULL when none is free. */
void *buddy_alloc(struct buddy *b, size_t n);
/* The usable size of a block. */
size_t buddy_size(const struct buddy *b, const void *p);
/* NULL is allowed. A pointer that is not a live block aborts the process: it is memory
 * corruption.*/
void buddy_free(struct buddy *b, void *p);

size_t buddy_used(const struct buddy *b);  /* bytes in live blocks, rounded sizes */
size_t buddy_total(const struct buddy *b); /* bytes of the region */
bool buddy_check(const struct buddy *b);   /* full consistency check, for tests */

#endif
