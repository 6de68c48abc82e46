/* br (RFC 7932). */
#include "decode_internal.h"

#include <brotli/decode.h>

static void *give(void *opaque, size_t size)
{
    return buddy_alloc(opaque, size);
}

static void take(void *opaque, void *p)
{
    buddy_free(opaque, p);
}

static enum body_problem failure(const BrotliDecoderState *b)
{
    BrotliDecoderErrorCode why = BrotliDecoderGetErrorCode(b);

    return why <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   why >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? BODY_PROBLEM_SCRATCH
               : BODY_PROBLEM_CODED_BAD;
}

enum body_problem body_decode_brotli(struct body_decode_step *s)
{
    BrotliDecoderState *b = BrotliDecoderCreateInstance(give, take, s->memory);
    size_t left = s->in.n, room = s->cap;
    const uint8_t *in = (const uint8_t *)s->in.p;
    uint8_t *out = (uint8_t *)s->out;
    enum body_problem problem;

    if (!b)
        return BODY_PROBLEM_SCRATCH;
    switch (BrotliDecoderDecompressStream(b, &left, &in, &room, &out, NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        problem = left ? BODY_PROBLEM_CODED_TRAILING : BODY_PROBLEM_NONE;
        break;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        s->full = true;
        problem = BODY_PROBLEM_DECODED_TOO_LARGE;
        break;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        problem = BODY_PROBLEM_CODED_SHORT;
        break;
    default:
        problem = failure(b);
    }
    s->n = s->cap - room;
    BrotliDecoderDestroyInstance(b);
    return problem;
}
