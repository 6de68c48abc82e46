/* Numbers of a call as windows take them: amounts in millionths, and keys by their value. */
#include "rules_internal.h"

#define EXPONENT_MOST   1000000000000000 /* 10^15: sums with a length stay far below 2^63 */
#define AMOUNT_PLACES   6
#define AMOUNT_MOST     INT64_MAX
#define AMOUNT_DIGITS   19 /* of AMOUNT_MOST */
#define AMOUNT_MILLIONS 1000000

/* 0.DIGITS * 10^point. The first and the last digit are not zero; zero has none. The digits are
 * those of two spans, one after the other. */
struct plain {
    bool negative;
    struct span whole, fraction;
    int64_t point;
};

static struct span cut_zeros(struct span s)
{
    while (s.n && s.p[s.n - 1] == '0')
        s.n--;
    return s;
}

static struct span skip_zeros(struct span s)
{
    while (s.n && s.p[0] == '0')
        s = span_from(s, 1);
    return s;
}

static struct span take_digits(struct span *s)
{
    size_t n = 0;

    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    *s = span_of(s->p + n, s->n - n);
    return span_of(s->p - n, n);
}

static int64_t read_exponent(struct span s)
{
    bool negative = s.n && s.p[0] == '-';
    int64_t v = 0;

    for (size_t i = negative || (s.n && s.p[0] == '+'); i < s.n; i++)
        v = v >= EXPONENT_MOST / 10 ? EXPONENT_MOST : v * 10 + (s.p[i] - '0');
    return negative ? -v : v;
}

static struct plain read_plain(struct span s)
{
    struct plain d = {.negative = s.n && s.p[0] == '-'};
    size_t places;

    s = span_from(s, d.negative);
    d.whole = take_digits(&s);
    if (s.n && s.p[0] == '.') {
        s = span_from(s, 1);
        d.fraction = cut_zeros(take_digits(&s));
    }
    d.point = (int64_t)d.whole.n + read_exponent(span_from(s, 1));
    places = d.whole.n;
    d.whole = skip_zeros(d.whole);
    d.point -= (int64_t)(places - d.whole.n);
    if (d.whole.n == 0) {
        places = d.fraction.n;
        d.fraction = skip_zeros(d.fraction);
        d.point -= (int64_t)(places - d.fraction.n);
    }
    if (d.fraction.n == 0)
        d.whole = cut_zeros(d.whole);
    return d;
}

static char digit_at(const struct plain *d, size_t i)
{
    if (i < d->whole.n)
        return d->whole.p[i];
    i -= d->whole.n;
    return i < d->fraction.n ? d->fraction.p[i] : '0';
}

bool rules_amount_read(struct span number, uint64_t *millionths)
{
    struct plain d = read_plain(number);
    size_t n = d.whole.n + d.fraction.n;
    int64_t whole = d.point + AMOUNT_PLACES; /* digits of the result */
    uint64_t v = 0;

    *millionths = 0;
    if (n == 0)
        return true;
    if (d.negative || whole > AMOUNT_DIGITS)
        return false;
    for (int64_t i = 0; i < whole; i++)
        v = v * 10 + (uint64_t)(digit_at(&d, (size_t)i) - '0');
    *millionths = v + (whole < (int64_t)n); /* what is cut off counts as one more */
    return *millionths <= AMOUNT_MOST;
}

struct span rules_amount_text(uint64_t millionths, char room[RULES_AMOUNT_TEXT])
{
    struct outbuf o = outbuf_on(room, RULES_AMOUNT_TEXT);
    uint64_t part = millionths % AMOUNT_MILLIONS;

    outbuf_u64(&o, millionths / AMOUNT_MILLIONS);
    if (part) {
        outbuf_char(&o, '.');
        for (uint64_t place = AMOUNT_MILLIONS / 10; part; place /= 10) {
            outbuf_char(&o, (char)('0' + part / place));
            part %= place;
        }
    }
    return outbuf_span(&o);
}

void rules_amount_hash(struct window_hash *h, struct span number)
{
    struct plain d = read_plain(number);
    uint64_t n = d.whole.n + d.fraction.n;

    if (n == 0)
        d = (struct plain){0};
    window_hash_put(h, d.negative ? "-" : "+", 1);
    window_hash_put(h, &d.point, sizeof(d.point));
    window_hash_put(h, &n, sizeof(n));
    window_hash_put(h, d.whole.p, d.whole.n);
    window_hash_put(h, d.fraction.p, d.fraction.n);
}
