/* Codings on hostile bytes: the first byte says which, the second how much may come out. What is
 * decoded stays within its bounds and is the same each time, whatever came before it. */
#include <stdint.h>
#include <stdlib.h>

#include "body/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static void check_names(struct span value)
{
    struct body_codings c;

    if (body_codings_of(value, &c))
        CHECK(c.n <= BODY_CODINGS_MAX);
}

struct result {
    enum body_problem problem;
    size_t n;
    char *text;
};

/* Into memory of exactly the size that may be written. */
static struct result decode(struct body_decoder *d, const struct body_codings *c, struct span in,
                            struct body_decode_limits limits)
{
    size_t room = body_decode_room(in.n, limits);
    struct result r = {.text = malloc(room ? room : 1)};
    char *between = malloc(room ? room : 1);

    CHECK(r.text && between && room <= limits.size && room <= in.n * limits.ratio);
    r.problem = body_decode(d, c, in, limits, r.text, between, &r.n);
    CHECK(r.problem < BODY_PROBLEM_COUNT && (r.problem || r.n <= room));
    free(between);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct body_decoder *used;
    struct body_decoder *fresh;
    struct span in = span_of(bytes + 2, n > 2 ? n - 2 : 0);
    struct body_codings c = {.n = 1};
    struct body_decode_limits limits = {.size = 1 << 16};
    struct result first, second;

    if (n < 2)
        return 0;
    if (bytes[0] == 0xff) {
        check_names(in);
        return 0;
    }
    if (!used)
        used = body_decoder_new();
    fresh = body_decoder_new();
    CHECK(used && fresh);
    c.n = 1 + (bytes[0] >> 4 & 1);
    c.coding[0] = (enum body_coding)(bytes[0] & 3);
    c.coding[1] = (enum body_coding)(bytes[0] >> 2 & 3);
    limits.ratio = 1 + bytes[1];
    first = decode(used, &c, in, limits);
    second = decode(fresh, &c, in, limits);
    CHECK(first.problem == second.problem);
    CHECK(first.problem || (first.n == second.n && memcmp(first.text, second.text, first.n) == 0));
    free(first.text);
    free(second.text);
    body_decoder_free(fresh);
    return 0;
}
