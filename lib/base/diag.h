/* Complaints about files that people write: what is wrong, where (file:line:column), and the line
 * with a caret. All complaints of one check are collected and shown together. One thread. */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/outbuf.h"

enum diag_level { DIAG_ERROR, DIAG_WARNING };

/* A place in a file. Lines and columns count from 1; 0 means the file as a whole. Strings are
 * owned by whoever parsed the file (an arena or a yaml_doc) and must outlive the place's use. */
struct place {
    const char *file;
    unsigned line, column;
    struct span text; /* the line itself, without its end; empty when not known */
};

struct diag_item {
    enum diag_level level;
    struct place where;
    const char *message;
};

struct diags {
    struct arena mem;
    struct diag_item *items;
    size_t count, room; /* items[0 .. count) */
    size_t errors;      /* how many complaints were errors, kept or not */
    size_t dropped;     /* complaints that came after DIAG_MAX: counted, not kept */
};

#define DIAG_MAX 200

void diags_init(struct diags *d);
void diags_free(struct diags *d);

/* Adds a complaint; the message says what is wrong and, where that helps, what to write. The place
 * and its text are copied. */
void diag_at(struct diags *d, enum diag_level level, struct place where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define diag_error(d, where, ...)   diag_at((d), DIAG_ERROR, (where), __VA_ARGS__)
#define diag_warning(d, where, ...) diag_at((d), DIAG_WARNING, (where), __VA_ARGS__)

static inline struct place place_of_file(const char *file)
{
    return (struct place){file, 0, 0, SPAN_NONE};
}

/* "file:line:column: error: message", then the line and a caret under the column. Sorted by file
 * and line; colours if `colour`. */
void diags_print(const struct diags *d, FILE *to, bool colour);
/* One JSON array of {level, file, line, column, message}. */
void diags_json(const struct diags *d, struct outbuf *to);

#endif
