/* Exact decimal arithmetic on numbers as text. Whole numbers of up to 18 digits, which is what most
 * amounts are, take machine words; all else goes digit by digit, and products and quotients in
 * limbs of nine digits. Every step is bounded by RULES_DIGITS. */
#include "rules_internal.h"

#define SMALL_DIGITS 18 /* fit an int64_t, and so do their sums */
#define EXPONENT_MAX ((int64_t)100000000000000000)
#define TEXT_ROOM    (RULES_DIGITS + 64)
#define PLAIN_PLACES 40 /* places before or behind the point that are written out */

/* DIGITS * 10^exponent; the first and the last digit are not zero. Zero has no digits. */
struct decimal {
    bool negative;
    unsigned n;
    int64_t exponent;
    uint8_t digit[RULES_DIGITS]; /* 0..9, the highest first */
};

/* ------------------------------------------------------------------- text */

/* Reads a number as a run of digits; `*n` counts the significant ones, also beyond `room`. */
struct reader {
    struct span s;
    unsigned zeros; /* that may turn out to be the last digits */
    bool point;
};

static bool next_digit(struct reader *r, unsigned *d)
{
    while (r->s.n && r->s.p[0] == '.') {
        r->point = true;
        r->s = span_from(r->s, 1);
    }
    if (r->s.n == 0 || r->s.p[0] < '0' || r->s.p[0] > '9')
        return false;
    *d = (unsigned)(r->s.p[0] - '0');
    r->s = span_from(r->s, 1);
    return true;
}

/* What follows the digits. False beyond EXPONENT_MAX. */
static bool read_exponent(struct span s, int64_t *e)
{
    bool negative;

    *e = 0;
    if (s.n == 0)
        return true;
    s = span_from(s, 1);
    negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = span_from(s, 1);
    for (size_t i = 0; i < s.n; i++) {
        *e = *e * 10 + (s.p[i] - '0');
        if (*e > EXPONENT_MAX)
            return false;
    }
    *e = negative ? -*e : *e;
    return true;
}

/* Zeros count only when a digit follows them. */
static bool take_digit(struct decimal *d, unsigned *zeros, unsigned digit)
{
    if (digit == 0) {
        *zeros += d->n > 0;
        return true;
    }
    if (d->n + *zeros >= RULES_DIGITS)
        return false;
    memset(d->digit + d->n, 0, *zeros);
    d->n += *zeros;
    *zeros = 0;
    d->digit[d->n++] = (uint8_t)digit;
    return true;
}

/* False: too many digits, or too far away. */
static bool read_decimal(struct span s, struct decimal *d)
{
    struct reader r = {.s = s};
    unsigned digit, zeros = 0;
    int64_t e, behind = 0;

    d->negative = s.n && s.p[0] == '-';
    d->n = 0;
    r.s = span_from(s, d->negative);
    while (next_digit(&r, &digit)) {
        if (!take_digit(d, &zeros, digit))
            return false;
        behind += r.point;
    }
    if (d->n == 0) {
        d->negative = false;
        d->exponent = 0;
        return true;
    }
    if (!read_exponent(r.s, &e))
        return false;
    d->exponent = e - behind + zeros;
    return true;
}

static void put_digits(struct outbuf *o, const struct decimal *d, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        outbuf_char(o, (char)('0' + d->digit[i]));
}

static void put_zeros(struct outbuf *o, int64_t n)
{
    while (n-- > 0)
        outbuf_char(o, '0');
}

static void put_decimal(struct outbuf *o, const struct decimal *d)
{
    int64_t point = (int64_t)d->n + d->exponent; /* digits before it */

    if (d->n == 0) {
        outbuf_char(o, '0');
        return;
    }
    if (d->negative)
        outbuf_char(o, '-');
    if (d->exponent >= 0 && point <= PLAIN_PLACES) {
        put_digits(o, d, 0, d->n);
        put_zeros(o, d->exponent);
    } else if (d->exponent < 0 && point > 0) {
        put_digits(o, d, 0, (unsigned)point);
        outbuf_char(o, '.');
        put_digits(o, d, (unsigned)point, d->n);
    } else if (point <= 0 && point > -PLAIN_PLACES) {
        outbuf_lit(o, "0.");
        put_zeros(o, -point);
        put_digits(o, d, 0, d->n);
    } else {
        put_digits(o, d, 0, 1);
        if (d->n > 1)
            outbuf_char(o, '.');
        put_digits(o, d, 1, d->n);
        outbuf_printf(o, "e%lld", (long long)point - 1);
    }
}

static struct rules_value give_text(struct rules_text *t, const char *p, size_t n)
{
    char *to = rules_text_take(t, n);

    if (!to)
        return VALUE_OF(VALUE_UNKNOWN);
    memcpy(to, p, n);
    return (struct rules_value){.kind = VALUE_NUMBER, .text = span_of(to, n)};
}

static struct rules_value give(struct rules_text *t, const struct decimal *d)
{
    char room[TEXT_ROOM];
    struct outbuf o = outbuf_on(room, sizeof(room));

    put_decimal(&o, d);
    return o.full ? VALUE_OF(VALUE_UNKNOWN) : give_text(t, o.p, o.n);
}

static struct rules_value give_small(struct rules_text *t, int64_t v)
{
    char room[20], *at = room + sizeof(room);
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (v < 0)
        *--at = '-';
    return give_text(t, at, (size_t)(room + sizeof(room) - at));
}

/* Digits of any number, as arithmetic left them; false if too many of them matter. */
static bool normalise(struct decimal *d, const uint8_t *digit, unsigned n, int64_t exponent)
{
    while (n && digit[0] == 0)
        digit++, n--;
    while (n && digit[n - 1] == 0) {
        n--;
        exponent++;
    }
    if (n > RULES_DIGITS)
        return false;
    if (n)
        memcpy(d->digit, digit, n);
    d->n = n;
    d->exponent = n ? exponent : 0;
    d->negative = d->negative && n;
    return true;
}

/* -------------------------------------------------------------------- sums */

#define SUM_PLACES (RULES_DIGITS + 1)

/* Writes digits into places, the first of which stands for 10^top. */
static void spread(uint8_t *places, int64_t top, const struct decimal *d)
{
    memset(places, 0, SUM_PLACES);
    memcpy(places + (top - ((int64_t)d->n + d->exponent - 1)), d->digit, d->n);
}

static void add_places(uint8_t *x, const uint8_t *y)
{
    unsigned carry = 0;

    for (unsigned i = SUM_PLACES; i-- > 0;) {
        unsigned v = x[i] + y[i] + carry;

        carry = v > 9;
        x[i] = (uint8_t)(carry ? v - 10 : v);
    }
}

/* x is not smaller than y. */
static void subtract_places(uint8_t *x, const uint8_t *y)
{
    unsigned borrow = 0;

    for (unsigned i = SUM_PLACES; i-- > 0;) {
        unsigned v = x[i] + 10u - y[i] - borrow;

        borrow = v < 10;
        x[i] = (uint8_t)(borrow ? v : v - 10);
    }
}

static bool sum(const struct decimal *a, const struct decimal *b, struct decimal *out)
{
    int64_t ta = (int64_t)a->n + a->exponent, tb = (int64_t)b->n + b->exponent, low, top;
    uint8_t x[SUM_PLACES], y[SUM_PLACES];

    if (a->n == 0 || b->n == 0) {
        *out = a->n ? *a : *b;
        return true;
    }
    top = ta > tb ? ta : tb;
    low = a->exponent < b->exponent ? a->exponent : b->exponent;
    if (top - low > RULES_DIGITS)
        return false;
    spread(x, top, a); /* one place more than the digits need: the carry's */
    spread(y, top, b);
    if (a->negative == b->negative) {
        out->negative = a->negative;
        add_places(x, y);
        return normalise(out, x, SUM_PLACES, top - RULES_DIGITS);
    }
    if (memcmp(x, y, SUM_PLACES) >= 0) {
        out->negative = a->negative;
        subtract_places(x, y);
        return normalise(out, x, SUM_PLACES, top - RULES_DIGITS);
    }
    out->negative = b->negative;
    subtract_places(y, x);
    return normalise(out, y, SUM_PLACES, top - RULES_DIGITS);
}

/* ------------------------------------------------------- products, quotients */

#define LIMB       1000000000u
#define LIMB_PLACE 9
#define LIMBS      64 /* of two operands' digits together, and one to spare */

/* The lowest limb first; no zero limb at the top. */
struct natural {
    unsigned n;
    uint32_t limb[LIMBS];
};

/* The digits followed by `zeros` zeros. */
static void to_natural(const struct decimal *d, unsigned zeros, struct natural *out)
{
    static const uint32_t tens[LIMB_PLACE] = {1,      10,      100,      1000,     10000,
                                              100000, 1000000, 10000000, 100000000};
    unsigned places = d->n + zeros;

    out->n = (places + LIMB_PLACE - 1) / LIMB_PLACE;
    memset(out->limb, 0, sizeof(out->limb));
    for (unsigned i = 0; i < d->n; i++) {
        unsigned place = places - 1 - i;

        out->limb[place / LIMB_PLACE] += d->digit[i] * tens[place % LIMB_PLACE];
    }
    while (out->n && out->limb[out->n - 1] == 0)
        out->n--;
}

/* False if too many digits matter. */
static bool from_natural(const struct natural *x, int64_t exponent, struct decimal *out)
{
    uint8_t digit[LIMBS * LIMB_PLACE], *at = digit;

    for (unsigned i = x->n; i-- > 0;) {
        uint32_t v = x->limb[i];

        for (unsigned k = LIMB_PLACE; k-- > 0; v /= 10)
            at[k] = (uint8_t)(v % 10);
        at += LIMB_PLACE;
    }
    return normalise(out, digit, (unsigned)(at - digit), exponent);
}

static void multiply(const struct natural *a, const struct natural *b, struct natural *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < a->n; i++) {
        uint64_t carry = 0;

        for (unsigned k = 0; k < b->n; k++) {
            carry += out->limb[i + k] + (uint64_t)a->limb[i] * b->limb[k];
            out->limb[i + k] = (uint32_t)(carry % LIMB);
            carry /= LIMB;
        }
        out->limb[i + b->n] = (uint32_t)carry;
    }
    out->n = a->n + b->n;
    while (out->n && out->limb[out->n - 1] == 0)
        out->n--;
}

/* In place; the last carry becomes a limb of its own, also if it is zero. */
static void scale(struct natural *x, uint32_t by)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < x->n; i++) {
        carry += (uint64_t)x->limb[i] * by;
        x->limb[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
    x->limb[x->n++] = (uint32_t)carry;
}

/* In place; gives the remainder. */
static uint32_t divide_small(struct natural *x, uint32_t by)
{
    uint64_t left = 0;

    for (unsigned i = x->n; i-- > 0;) {
        left = left * LIMB + x->limb[i];
        x->limb[i] = (uint32_t)(left / by);
        left %= by;
    }
    while (x->n && x->limb[x->n - 1] == 0)
        x->n--;
    return (uint32_t)left;
}

/* Takes q times v from u at limb `at`. True if that was too much by one v. */
static bool take_off(struct natural *u, const struct natural *v, unsigned at, uint64_t q)
{
    uint64_t carry = 0;
    int64_t left, borrow = 0;

    for (unsigned i = 0; i < v->n; i++) {
        carry += q * v->limb[i];
        left = (int64_t)u->limb[at + i] - (int64_t)(carry % LIMB) - borrow;
        carry /= LIMB;
        borrow = left < 0;
        u->limb[at + i] = (uint32_t)(left + (borrow ? (int64_t)LIMB : 0));
    }
    left = (int64_t)u->limb[at + v->n] - (int64_t)carry - borrow;
    u->limb[at + v->n] = (uint32_t)(left < 0 ? left + (int64_t)LIMB : left);
    return left < 0;
}

static void put_back(struct natural *u, const struct natural *v, unsigned at)
{
    uint32_t carry = 0;

    for (unsigned i = 0; i < v->n; i++) {
        uint32_t sum_of = u->limb[at + i] + v->limb[i] + carry;

        carry = sum_of >= LIMB;
        u->limb[at + i] = carry ? sum_of - LIMB : sum_of;
    }
    u->limb[at + v->n] = (u->limb[at + v->n] + carry) % LIMB;
}

/* Long division by limbs (Knuth, The Art of Computer Programming 4.3.1, D): u becomes the
 * remainder. v has two limbs at least, u one more than its digits need. */
static void divide_long(struct natural *u, const struct natural *v, struct natural *q)
{
    uint64_t high = v->limb[v->n - 1], low = v->limb[v->n - 2];

    q->n = u->n - v->n;
    for (unsigned at = q->n; at-- > 0;) {
        uint64_t two = (uint64_t)u->limb[at + v->n] * LIMB + u->limb[at + v->n - 1];
        uint64_t guess = two / high, left = two % high;

        while (guess >= LIMB || guess * low > left * LIMB + u->limb[at + v->n - 2]) {
            guess--;
            left += high;
            if (left >= LIMB)
                break;
        }
        if (take_off(u, v, at, guess)) {
            guess--;
            put_back(u, v, at);
        }
        q->limb[at] = (uint32_t)guess;
    }
}

/* u / v; v is not zero. u becomes the remainder. */
static void divide(struct natural *u, struct natural *v, struct natural *q)
{
    uint32_t by;

    memset(q, 0, sizeof(*q));
    if (v->n == 1) {
        *q = *u;
        by = divide_small(q, v->limb[0]);
        *u = (struct natural){.n = by != 0, .limb = {by}};
        return;
    }
    if (u->n < v->n)
        return;
    by = LIMB / (v->limb[v->n - 1] + 1);
    scale(u, by);
    scale(v, by);
    v->n--; /* scaled so that it takes no further limb */
    divide_long(u, v, q);
    while (q->n && q->limb[q->n - 1] == 0)
        q->n--;
    divide_small(u, by);
}

static bool product(const struct decimal *a, const struct decimal *b, struct decimal *out)
{
    struct natural x, y, z;

    to_natural(a, 0, &x);
    to_natural(b, 0, &y);
    multiply(&x, &y, &z);
    out->negative = a->negative != b->negative;
    return from_natural(&z, a->exponent + b->exponent, out);
}

static void cut(struct decimal *d)
{
    uint8_t digit[RULES_QUOTIENT];

    if (d->n <= RULES_QUOTIENT)
        return;
    memcpy(digit, d->digit, sizeof(digit));
    normalise(d, digit, sizeof(digit), d->exponent + (d->n - RULES_QUOTIENT));
}

static bool quotient(const struct decimal *a, const struct decimal *b, struct decimal *out)
{
    struct natural u, v, q;
    unsigned zeros;

    if (b->n == 0)
        return false;
    /* So many zeros behind the dividend that the whole quotient has the digits wanted. */
    zeros = RULES_QUOTIENT + b->n > a->n ? RULES_QUOTIENT + b->n - a->n : 0;
    to_natural(a, zeros, &u);
    to_natural(b, 0, &v);
    divide(&u, &v, &q);
    out->negative = a->negative != b->negative;
    if (!from_natural(&q, a->exponent - b->exponent - zeros, out))
        return false;
    cut(out);
    return true;
}

static bool remainder_of(const struct decimal *a, const struct decimal *b, struct decimal *out)
{
    struct natural u, v, q;

    if (b->n == 0 || a->exponent < 0 || b->exponent < 0)
        return false;
    if ((int64_t)a->n + a->exponent > RULES_DIGITS)
        return false;
    if ((int64_t)b->n + b->exponent > (int64_t)a->n + a->exponent) {
        *out = *a;
        return true;
    }
    to_natural(a, (unsigned)a->exponent, &u);
    to_natural(b, (unsigned)b->exponent, &v);
    divide(&u, &v, &q);
    out->negative = a->negative;
    return from_natural(&u, 0, out);
}

/* ------------------------------------------------------------ small numbers */

static bool small(struct span s, int64_t *v)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t u;

    s = span_from(s, negative);
    if (s.n > SMALL_DIGITS || !span_u64(s, &u))
        return false;
    *v = negative ? -(int64_t)u : (int64_t)u;
    return true;
}

/* False: it takes more. */
static bool small_result(enum rules_arith op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case ARITH_ADD:
        *out = a + b;
        return true;
    case ARITH_SUB:
        *out = a - b;
        return true;
    case ARITH_MUL:
        return !__builtin_mul_overflow(a, b, out);
    case ARITH_DIV:
        if (b == 0 || a % b)
            return false;
        *out = a / b;
        return true;
    case ARITH_MOD:
        if (b == 0)
            return false;
        *out = a % b;
        return true;
    }
    return false;
}

struct rules_value rules_decimal(enum rules_arith op, struct span a, struct span b,
                                 struct rules_text *t)
{
    struct decimal x, y, z = {0};
    int64_t i, k, both;
    bool good;

    if (small(a, &i) && small(b, &k) && small_result(op, i, k, &both))
        return give_small(t, both);
    if (!read_decimal(a, &x) || !read_decimal(b, &y))
        return VALUE_OF(VALUE_UNKNOWN);
    if (op == ARITH_SUB)
        y.negative = !y.negative && y.n;
    if (op == ARITH_ADD || op == ARITH_SUB)
        good = sum(&x, &y, &z);
    else if (op == ARITH_MUL)
        good = product(&x, &y, &z);
    else
        good = op == ARITH_DIV ? quotient(&x, &y, &z) : remainder_of(&x, &y, &z);
    return good ? give(t, &z) : VALUE_OF(VALUE_UNKNOWN);
}

struct rules_value rules_decimal_negate(struct span a, struct rules_text *t)
{
    struct decimal d;

    if (!read_decimal(a, &d))
        return VALUE_OF(VALUE_UNKNOWN);
    d.negative = !d.negative && d.n;
    return give(t, &d);
}

/* -------------------------------------------------------------------- hash */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* The digits that matter and the place of the first one; numbers of any length and exponent. */
uint64_t rules_decimal_hash(struct span a)
{
    struct reader r = {.s = a};
    bool negative = a.n && a.p[0] == '-', any = false;
    int64_t place = 0, e;
    uint64_t h = 0x9e3779b97f4a7c15u;
    unsigned digit, zeros = 0;

    r.s = span_from(a, negative);
    while (next_digit(&r, &digit)) {
        place += any && !r.point; /* digits before the point, after the first that counts */
        if (digit == 0 && any)
            zeros++;
        if (digit) {
            while (zeros) {
                h = mix(h, 0);
                zeros--;
            }
            h = mix(h, digit);
        }
        if (digit == 0 && !any)
            place -= r.point;
        else if (!any) {
            any = true;
            place -= r.point;
        }
    }
    if (!any)
        return 0;
    if (!read_exponent(r.s, &e) || place + e > EXPONENT_MAX / 2 || place + e < -EXPONENT_MAX / 2)
        return h; /* all that are so far away are compared */
    return mix(mix(h, (uint64_t)(place + e)), negative);
}
