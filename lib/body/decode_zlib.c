/* gzip (RFC 1952) and deflate, which is zlib's format (RFC 1950, RFC 9110 8.4.1.2). What some send
 * as deflate, without zlib's head and checksum, is refused: servers differ in whether they read it.
 */
#include "decode_internal.h"

#define ZLIB_CONST /* what is decoded is not written to */
#include <zlib.h>

#define WINDOW_BITS 15
#define GZIP_ONLY   16 /* added to the window's bits */

static void *give(void *opaque, unsigned items, unsigned size)
{
    return buddy_alloc(opaque, (size_t)items * size);
}

static void take(void *opaque, void *p)
{
    buddy_free(opaque, p);
}

static bool begins_gzip(const z_stream *z)
{
    return z->avail_in >= 2 && z->next_in[0] == 0x1f && z->next_in[1] == 0x8b;
}

static enum body_problem outcome(int r, const z_stream *z, bool gzip)
{
    switch (r) {
    case Z_STREAM_END:
        if (z->avail_in == 0)
            return BODY_PROBLEM_NONE;
        return gzip && begins_gzip(z) ? BODY_PROBLEM_CODED_MEMBERS : BODY_PROBLEM_CODED_TRAILING;
    case Z_BUF_ERROR:
    case Z_OK:
        return BODY_PROBLEM_CODED_SHORT;
    case Z_MEM_ERROR:
        return BODY_PROBLEM_SCRATCH;
    default: /* also a stream that asks for a dictionary */
        return BODY_PROBLEM_CODED_BAD;
    }
}

/* The room is used up: is there another byte, or does only the end come? */
static int look_further(z_stream *z, bool *full)
{
    unsigned char one;
    int r;

    z->next_out = &one;
    z->avail_out = 1;
    r = inflate(z, Z_FINISH);
    *full = z->avail_out == 0;
    return r;
}

static enum body_problem inflate_all(struct body_decode_step *s, bool gzip)
{
    z_stream z = {.zalloc = give, .zfree = take, .opaque = s->memory};
    enum body_problem problem;
    int r;

    z.next_in = (const unsigned char *)s->in.p;
    z.avail_in = (unsigned)s->in.n;
    if (inflateInit2(&z, gzip ? WINDOW_BITS + GZIP_ONLY : WINDOW_BITS) != Z_OK)
        return BODY_PROBLEM_SCRATCH;
    z.next_out = (unsigned char *)s->out;
    z.avail_out = (unsigned)s->cap;
    r = inflate(&z, Z_FINISH);
    s->n = s->cap - z.avail_out;
    if (r == Z_BUF_ERROR && z.avail_out == 0)
        r = look_further(&z, &s->full);
    problem = outcome(r, &z, gzip);
    inflateEnd(&z);
    return problem;
}

enum body_problem body_decode_gzip(struct body_decode_step *s)
{
    return inflate_all(s, true);
}

enum body_problem body_decode_deflate(struct body_decode_step *s)
{
    return inflate_all(s, false);
}
