/* zstd: one frame (RFC 8878) with a window as RFC 9659 allows it. It is decoded into its place, so
 * that the window takes no memory of its own. */
#define ZSTD_STATIC_LINKING_ONLY /* for a decoder in given memory */
#include "decode_internal.h"

#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_MAX ((size_t)8 << 20)

static enum body_problem failure(size_t r)
{
    return ZSTD_getErrorCode(r) == ZSTD_error_srcSize_wrong ? BODY_PROBLEM_CODED_SHORT
                                                            : BODY_PROBLEM_CODED_BAD;
}

static bool begins_frame(struct span s)
{
    return span_starts(s, SPAN_LIT("\x28\xb5\x2f\xfd")) ||
           (s.n >= 4 && (s.p[0] & 0xf0) == 0x50 && memcmp(s.p + 1, "\x2a\x4d\x18", 3) == 0);
}

/* Is it one frame of a kind that is read, from the first byte to the last? */
static enum body_problem check_frame(struct body_decode_step *s)
{
    ZSTD_frameHeader h;
    size_t r = ZSTD_getFrameHeader(&h, s->in.p, s->in.n);

    if (ZSTD_isError(r))
        return BODY_PROBLEM_CODED_BAD;
    if (r > 0)
        return BODY_PROBLEM_CODED_SHORT;
    if (h.frameType != ZSTD_frame || h.dictID || h.windowSize > WINDOW_MAX)
        return BODY_PROBLEM_CODED_BAD;
    if (h.frameContentSize != ZSTD_CONTENTSIZE_UNKNOWN && h.frameContentSize > s->cap) {
        s->full = true;
        return BODY_PROBLEM_DECODED_TOO_LARGE;
    }
    r = ZSTD_findFrameCompressedSize(s->in.p, s->in.n);
    if (ZSTD_isError(r))
        return failure(r);
    if (r == s->in.n)
        return BODY_PROBLEM_NONE;
    return begins_frame(span_from(s->in, r)) ? BODY_PROBLEM_CODED_MEMBERS
                                             : BODY_PROBLEM_CODED_TRAILING;
}

static enum body_problem decode_frame(struct body_decode_step *s, void *workspace, size_t size)
{
    ZSTD_DCtx *z = ZSTD_initStaticDCtx(workspace, size);
    size_t r;

    if (!z)
        return BODY_PROBLEM_SCRATCH;
    r = ZSTD_decompressDCtx(z, s->out, s->cap, s->in.p, s->in.n);
    if (!ZSTD_isError(r)) {
        s->n = r;
        return BODY_PROBLEM_NONE;
    }
    s->full = ZSTD_getErrorCode(r) == ZSTD_error_dstSize_tooSmall;
    return failure(r);
}

enum body_problem body_decode_zstd(struct body_decode_step *s)
{
    enum body_problem problem = check_frame(s);
    size_t size = ZSTD_estimateDCtxSize();
    void *workspace;

    if (problem)
        return problem;
    workspace = buddy_alloc(s->memory, size);
    if (!workspace)
        return BODY_PROBLEM_SCRATCH;
    problem = decode_frame(s, workspace, size);
    buddy_free(s->memory, workspace);
    return problem;
}
