/* Decimal numbers of any size, as text (RFC 8259 6). */
#include "body_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EXPONENT_MOST 1000000000000000000 /* 10^18: sums with a length stay far below 2^63 */

static const char *digits_end(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        /* Moves "0" to the least signed value, so that one comparison finds the digits. */
        __m128i x = _mm_add_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
                                 _mm_set1_epi8((char)(0x80 - '0')));
        unsigned at = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(x, _mm_set1_epi8(-128 + 10)));

        if (at != 0xffff)
            return p + __builtin_ctz(~at);
    }
#endif
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* One digit at least; NULL if there is none. */
static const char *some_digits(const char *p, const char *end)
{
    const char *q = digits_end(p, end);

    return q == p ? NULL : q;
}

/* The parts of a number, as they are written. */
struct decimal {
    bool negative;
    struct span whole, fraction; /* digits */
    struct span exponent;        /* with its sign; empty if there is none */
};

static inline const char *parse_exponent(struct decimal *d, const char *p, const char *end)
{
    const char *q = p + 1;

    if (q < end && (*q == '+' || *q == '-'))
        q++;
    q = some_digits(q, end);
    if (q)
        d->exponent = span_of(p + 1, (size_t)(q - p) - 1);
    return q;
}

/* The place after the number, or NULL. */
static inline const char *parse_decimal(struct decimal *d, const char *p, const char *end)
{
    const char *q;

    *d = (struct decimal){.negative = p < end && *p == '-'};
    p += d->negative;
    q = p < end && *p == '0' ? p + 1 : some_digits(p, end);
    if (!q)
        return NULL;
    d->whole = span_of(p, (size_t)(q - p));
    if (q < end && *q == '.') {
        p = q + 1;
        q = some_digits(p, end);
        if (!q)
            return NULL;
        d->fraction = span_of(p, (size_t)(q - p));
    }
    return q < end && (*q == 'e' || *q == 'E') ? parse_exponent(d, q, end) : q;
}

const char *body_number_end(const char *p, const char *end)
{
    struct decimal d;

    return parse_decimal(&d, p, end);
}

bool body_number_valid(struct span s)
{
    return s.n > 0 && body_number_end(s.p, s.p + s.n) == s.p + s.n;
}

static int64_t exponent_of(struct span s)
{
    bool negative = s.n && s.p[0] == '-';
    int64_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '-' || s.p[i] == '+')
            continue;
        v = v > EXPONENT_MOST / 10 ? EXPONENT_MOST : v * 10 + (s.p[i] - '0');
    }
    if (v > EXPONENT_MOST)
        v = EXPONENT_MOST;
    return negative ? -v : v;
}

static struct span skip_zeros(struct span s)
{
    static const char zeros[16] = "0000000000000000";

    while (s.n >= sizeof(zeros) && memcmp(s.p, zeros, sizeof(zeros)) == 0)
        s = span_from(s, sizeof(zeros));
    while (s.n && s.p[0] == '0')
        s = span_from(s, 1);
    return s;
}

/* 0.DIGITS * 10^point with a first digit that is not zero; the digits are those of two spans, one
 * after the other. Zero has none. */
struct normal {
    int sign; /* -1, 0, 1 */
    int64_t point;
    struct span digits[2];
};

static struct normal normalise(const struct decimal *d)
{
    struct normal n = {.sign = d->negative ? -1 : 1, .digits = {d->whole, d->fraction}};

    n.point = (int64_t)d->whole.n;
    if (d->whole.p[0] == '0') { /* then it is "0" */
        n.digits[0] = skip_zeros(d->fraction);
        n.digits[1] = SPAN_NONE;
        n.point = -(int64_t)(d->fraction.n - n.digits[0].n);
    }
    if (n.digits[0].n == 0)
        n.sign = 0;
    n.point += exponent_of(d->exponent);
    return n;
}

static bool parse_normal(struct span s, struct normal *n)
{
    struct decimal d;

    if (s.n == 0 || parse_decimal(&d, s.p, s.p + s.n) != s.p + s.n)
        return false;
    *n = normalise(&d);
    return true;
}

/* What comes next of two runs of digits, with an end as long as the other lasts taken for zeros. */
static int cmp_digits(struct span a[2], struct span b[2])
{
    unsigned i = 0, j = 0;

    for (;;) {
        size_t run;
        int c;

        while (i < 2 && a[i].n == 0)
            i++;
        while (j < 2 && b[j].n == 0)
            j++;
        if (i == 2 || j == 2)
            break;
        run = a[i].n < b[j].n ? a[i].n : b[j].n;
        c = memcmp(a[i].p, b[j].p, run);
        if (c)
            return c < 0 ? -1 : 1;
        a[i] = span_from(a[i], run);
        b[j] = span_from(b[j], run);
    }
    for (; i < 2; i++)
        if (skip_zeros(a[i]).n)
            return 1;
    for (; j < 2; j++)
        if (skip_zeros(b[j]).n)
            return -1;
    return 0;
}

bool body_number_cmp(struct span a, struct span b, int *order)
{
    struct normal x, y;

    if (!parse_normal(a, &x) || !parse_normal(b, &y))
        return false;
    if (x.sign != y.sign || x.sign == 0)
        *order = (x.sign > y.sign) - (x.sign < y.sign);
    else if (x.point != y.point)
        *order = x.point > y.point ? x.sign : -x.sign;
    else
        *order = x.sign * cmp_digits(x.digits, y.digits);
    return true;
}
