#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES ((size_t)64 << 10)
#define ALIGN       alignof(max_align_t)

struct arena_block {
    struct arena_block *older;
    size_t used, room;
    alignas(max_align_t) char data[];
};

static _Noreturn void out_of_memory(size_t n)
{
    fprintf(stderr, "turnpike: out of memory (%zu bytes were wanted)\n", n);
    abort();
}

/* calloc, as fresh pages come zeroed from the system and need no second pass. */
static struct arena_block *block_new(size_t room)
{
    struct arena_block *b;

    if (room > SIZE_MAX - sizeof(*b))
        out_of_memory(room);
    b = calloc(1, sizeof(*b) + room);
    if (!b)
        out_of_memory(room);
    b->room = room;
    return b;
}

/* A large object gets a block of its own behind the head, so that the room left in the head is
 * not thrown away. */
static struct arena_block *block_for(struct arena *a, size_t n)
{
    struct arena_block *b;

    if (a->head && a->head->room - a->head->used >= n)
        return a->head;
    b = block_new(n > BLOCK_BYTES / 4 ? n : BLOCK_BYTES);
    if (a->head && b->room != BLOCK_BYTES) {
        b->older = a->head->older;
        a->head->older = b;
    } else {
        b->older = a->head;
        a->head = b;
    }
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_block *b;
    size_t size;
    void *p;

    if (n > SIZE_MAX - ALIGN)
        out_of_memory(n);
    /* An empty object gets an address of its own too. */
    size = ((n ? n : 1) + ALIGN - 1) / ALIGN * ALIGN;
    b = block_for(a, size);
    p = b->data + b->used;
    b->used += size;
    a->bytes += size;
    return p;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n))
        out_of_memory(SIZE_MAX);
    return arena_alloc(a, n);
}

char *arena_strdup(struct arena *a, struct span s)
{
    char *p;

    if (s.n == SIZE_MAX)
        out_of_memory(s.n);
    p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct span arena_span(struct arena *a, struct span s)
{
    return span_of(arena_strdup(a, s), s.n);
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    char *text, *copy;
    int n = vasprintf(&text, fmt, ap);

    if (n < 0)
        out_of_memory(0);
    copy = arena_strdup(a, span_of(text, (size_t)n));
    free(text);
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *p;

    va_start(ap, fmt);
    p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void arena_free(struct arena *a)
{
    for (struct arena_block *b = a->head, *older; b; b = older) {
        older = b->older;
        free(b);
    }
    *a = ARENA_INIT;
}
