/* An arena: many small objects that live and die together (a rule set, a parsed file). Memory comes
 * from malloc in large blocks, so arenas are for set-up and control threads, never for the packet
 * road. One thread at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* newest block; allocation happens here */
    size_t bytes;             /* handed out so far */
};

#define ARENA_INIT ((struct arena){NULL, 0})

/* Zeroed memory aligned for any type. Never NULL: out of memory at set-up ends the process with a
 * message, as no caller could do better. */
void *arena_alloc(struct arena *a, size_t n);
#define arena_new(a, type)      ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc_array((a), (n), sizeof(type)))
void *arena_alloc_array(struct arena *a, size_t count, size_t size);

/* A copy of the bytes; it is followed by a NUL that is not counted. */
struct span arena_span(struct arena *a, struct span s);
char *arena_strdup(struct arena *a, struct span s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

void arena_free(struct arena *a);

#endif
