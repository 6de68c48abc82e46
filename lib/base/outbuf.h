/* A bounded writer over memory of the caller's. Writing past the end sets `full` and writes
 * nothing more; a caller checks once at the end. Never allocates. */
#ifndef BASE_OUTBUF_H
#define BASE_OUTBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct outbuf {
    char *p;
    size_t n; /* bytes written, at most cap */
    size_t cap;
    bool full; /* something did not fit: what is there is a prefix */
};

static inline struct outbuf outbuf_on(void *p, size_t cap)
{
    return (struct outbuf){p, 0, cap, false};
}

static inline struct span outbuf_span(const struct outbuf *o)
{
    return span_of(o->p, o->n);
}

static inline void outbuf_put(struct outbuf *o, const void *p, size_t n)
{
    if (o->full || n > o->cap - o->n) {
        o->full = true;
        return;
    }
    if (n)
        memcpy(o->p + o->n, p, n);
    o->n += n;
}

static inline void outbuf_span_put(struct outbuf *o, struct span s)
{
    outbuf_put(o, s.p, s.n);
}

#define outbuf_lit(o, s) outbuf_put((o), (s), sizeof(s) - 1)

void outbuf_char(struct outbuf *o, char c);
void outbuf_cstr(struct outbuf *o, const char *s);
void outbuf_u64(struct outbuf *o, uint64_t v);              /* decimal */
void outbuf_hex(struct outbuf *o, const void *p, size_t n); /* lower case */
void outbuf_printf(struct outbuf *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes. Input that is not UTF-8 becomes U+FFFD, so the output is always
 * valid JSON (RFC 8259). Control bytes, quotes and backslashes are escaped. */
void outbuf_json(struct outbuf *o, struct span s);
/* What stands between the quotes. */
void outbuf_json_text(struct outbuf *o, struct span s);
/* Text of an XML 1.0 document, in or outside an attribute's value. Input that is not UTF-8, and
 * characters that XML has no place for, become U+FFFD. */
void outbuf_xml(struct outbuf *o, struct span s);

#endif
