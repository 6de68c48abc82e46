/* Codings taken off a body that has come whole. The libraries below get their memory from a region
 * that was mapped with the decoder: on the road nothing is asked of the system. */
#include "body_internal.h"
#include "decode_internal.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Brotli keeps the largest blocks: a window of 16 MiB with a little beside it, and the half of that
 * which it grew out of; powers of two. Pages that no stream needs are never touched. */
#define REGION ((size_t)64 << 20)

struct body_decoder {
    void *region;
    struct buddy *memory;
};

struct body_decoder *body_decoder_new(void)
{
    struct body_decoder *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->region = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d->region == MAP_FAILED)
        d->region = NULL;
    else
        madvise(d->region, REGION, MADV_DONTDUMP); /* plain text passes through it */
    d->memory = d->region ? buddy_new(d->region, REGION) : NULL;
    if (!d->memory) {
        body_decoder_free(d);
        return NULL;
    }
    return d;
}

void body_decoder_free(struct body_decoder *d)
{
    if (!d)
        return;
    if (d->memory)
        buddy_delete(d->memory);
    if (d->region)
        munmap(d->region, REGION);
    free(d);
}

size_t body_decode_room(size_t coded, struct body_decode_limits limits)
{
    size_t most = coded > limits.size / limits.ratio ? limits.size : coded * limits.ratio;

    return most < limits.size ? most : limits.size;
}

static enum body_problem take_off(enum body_coding coding, struct body_decode_step *s)
{
    switch (coding) {
    case BODY_GZIP:
        return body_decode_gzip(s);
    case BODY_DEFLATE:
        return body_decode_deflate(s);
    case BODY_BROTLI:
        return body_decode_brotli(s);
    default:
        return body_decode_zstd(s);
    }
}

enum body_problem body_decode(struct body_decoder *d, const struct body_codings *codings,
                              struct span in, struct body_decode_limits limits, char *out,
                              char *between, size_t *n)
{
    size_t room = body_decode_room(in.n, limits);
    struct body_decode_step s = {.memory = d->memory, .in = in, .cap = room};

    /* The last that was put on comes off first. */
    for (unsigned left = codings->n; left > 0; left--) {
        enum body_problem problem;

        s.out = left > 1 ? between : out;
        s.n = 0;
        s.full = false;
        problem = take_off(codings->coding[left - 1], &s);
        if (s.full)
            problem = room < limits.size ? BODY_PROBLEM_RATIO : BODY_PROBLEM_DECODED_TOO_LARGE;
        if (problem)
            return problem;
        s.in = span_of(s.out, s.n);
    }
    *n = s.n;
    return BODY_PROBLEM_NONE;
}
