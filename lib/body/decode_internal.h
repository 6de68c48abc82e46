/* What the decoders of codings share: see decode.c. */
#ifndef BODY_DECODE_INTERNAL_H
#define BODY_DECODE_INTERNAL_H

#include "body/body.h"

/* One coding taken off: from the first byte of `in` to its last, which must be that of the stream.
 * At most `cap` bytes are written. */
struct body_decode_step {
    struct buddy *memory; /* for what the library keeps while it decodes */
    struct span in;
    char *out;
    size_t cap;
    size_t n;  /* bytes written, if there is no problem */
    bool full; /* there are more than `cap` bytes: which bound that is, the caller knows */
};

enum body_problem body_decode_gzip(struct body_decode_step *s);
enum body_problem body_decode_deflate(struct body_decode_step *s);
enum body_problem body_decode_brotli(struct body_decode_step *s);
enum body_problem body_decode_zstd(struct body_decode_step *s);

#endif
