/* Helpers of the HTTP tests. */
#ifndef HTTP_TEST_H
#define HTTP_TEST_H

/* cmocka.h needs the others before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>

#include "http/http.h"

/* A byte string that may hold NUL, for static tables. */
#define M(s)                                                                                       \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

struct result {
    enum http_status status;
    enum http_error why;
    size_t used;
};

enum side { REQUEST, RESPONSE, HEAD_RESPONSE };

/* Parses a copy of exactly those bytes, so that the address sanitizer sees any step past them. The
 * copy must live as long as `h` is looked at. */
static inline struct result parse_copy(struct http_head *h, enum side side, struct span s,
                                       size_t *scanned, char **copy)
{
    struct result r;

    *copy = malloc(s.n ? s.n : 1);
    assert_non_null(*copy);
    if (s.n)
        memcpy(*copy, s.p, s.n);
    s.p = *copy;
    if (side == REQUEST)
        r.status = http_parse_request(h, s, scanned, &r.used, &r.why);
    else
        r.status = http_parse_response(h, s, side == HEAD_RESPONSE, scanned, &r.used, &r.why);
    return r;
}

static inline struct result parse_whole(struct http_head *h, enum side side, struct span s)
{
    size_t scanned = 0;
    char *copy;
    struct result r = parse_copy(h, side, s, &scanned, &copy);

    free(copy);
    return r;
}

static inline const char *status_name(enum http_status s)
{
    return s == HTTP_OK ? "OK" : s == HTTP_MORE ? "MORE" : "BAD";
}

static inline void fail_result(const char *what, struct span s, struct result want,
                               struct result got)
{
    fail_msg("%s: expected %s %s used %zu, got %s %s used %zu, for \"%.*s\"", what,
             status_name(want.status), http_error_name(want.why), want.used,
             status_name(got.status), http_error_name(got.why), got.used,
             (int)(s.n < 300 ? s.n : 300), s.p);
}

/* Byte by byte, the message must come out as it does whole. */
static inline void check_every_prefix(enum side side, struct span s)
{
    struct http_head *h = malloc(sizeof(*h));
    struct result whole = parse_whole(h, side, s), r = {HTTP_MORE, HTTP_ERR_NONE, 0};
    size_t scanned = 0;

    for (size_t n = 0; n <= s.n && r.status == HTTP_MORE; n++) {
        char *copy;
        r = parse_copy(h, side, span_of(s.p, n), &scanned, &copy);
        free(copy);
        if ((r.status == HTTP_BAD) != (r.why != HTTP_ERR_NONE))
            fail_result("status and cause disagree", span_of(s.p, n), whole, r);
    }
    if (r.status != whole.status || r.why != whole.why || r.used != whole.used)
        fail_result("byte by byte", s, whole, r);
    free(h);
}

static inline void assert_span(const char *what, struct span got, const char *want)
{
    if (!span_eq(got, span_cstr(want)))
        fail_msg("%s: expected \"%s\", got \"%.*s\"", what, want, SPAN_ARG(got));
}

static inline uint64_t test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 0x7e57;

    print_message("TEST_SEED=%#llx\n", (unsigned long long)seed);
    return seed;
}

/* xorshift64*: for test inputs only. */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

#endif
