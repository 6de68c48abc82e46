/* Decimals as in school: digit by digit, with carries. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MOST 256 /* of an operand or a result, and of what + and - span */
#define QUOTIENT    40

static struct model_num normal(bool negative, const unsigned char *d, unsigned n, long point)
{
    while (n && d[0] == 0) {
        d++;
        n--;
        point--;
    }
    while (n && d[n - 1] == 0)
        n--;
    return (struct model_num){negative && n, n, d, n ? point : 0};
}

static unsigned take_digits(struct span text, size_t *at, unsigned char *d)
{
    unsigned n = 0;

    for (; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; (*at)++)
        d[n++] = (unsigned char)(text.p[*at] - '0');
    return n;
}

static bool take_exponent(struct span text, size_t *at, long *e)
{
    size_t start;
    bool negative = false;

    *e = 0;
    if (*at == text.n || (text.p[*at] != 'e' && text.p[*at] != 'E'))
        return true;
    (*at)++;
    if (*at < text.n && (text.p[*at] == '+' || text.p[*at] == '-'))
        negative = text.p[(*at)++] == '-';
    for (start = *at; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; (*at)++)
        *e = *e * 10 + (text.p[*at] - '0');
    if (negative)
        *e = -*e;
    return *at > start;
}

bool model_num_read(struct arena *mem, struct span text, struct model_num *out)
{
    unsigned char *d = arena_alloc(mem, text.n + 1);
    bool negative = text.n && text.p[0] == '-';
    size_t at = negative;
    unsigned whole = take_digits(text, &at, d), part = 0;
    long e;

    if (whole == 0 || (whole > 1 && d[0] == 0))
        return false;
    if (at < text.n && text.p[at] == '.') {
        at++;
        part = take_digits(text, &at, d + whole);
        if (part == 0)
            return false;
    }
    if (!take_exponent(text, &at, &e) || at != text.n)
        return false;
    *out = normal(negative, d, whole + part, (long)whole + e);
    return true;
}

struct model_num model_num_of(struct arena *mem, long v)
{
    struct model_num n = {0};

    model_num_read(mem, span_cstr(arena_printf(mem, "%ld", v)), &n);
    return n;
}

static int digit(const struct model_num *a, long place) /* of 10^place */
{
    long i = a->point - 1 - place;

    return i >= 0 && i < (long)a->n ? a->d[i] : 0;
}

static int cmp_size(const struct model_num *a, const struct model_num *b)
{
    unsigned n = a->n > b->n ? a->n : b->n;

    if (!a->n || !b->n)
        return (a->n > 0) - (b->n > 0);
    if (a->point != b->point)
        return a->point > b->point ? 1 : -1;
    for (unsigned i = 0; i < n; i++) {
        int x = i < a->n ? a->d[i] : 0, y = i < b->n ? b->d[i] : 0;

        if (x != y)
            return x > y ? 1 : -1;
    }
    return 0;
}

int model_num_cmp(const struct model_num *a, const struct model_num *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? cmp_size(b, a) : cmp_size(a, b);
}

static long lowest(const struct model_num *a)
{
    return a->point - (long)a->n;
}

static bool add(struct arena *mem, const struct model_num *a, const struct model_num *b,
                struct model_num *out)
{
    long top, low;
    unsigned n;
    unsigned char *d;
    int carry = 0;

    if (!a->n || !b->n) {
        *out = a->n ? *a : *b;
        return true;
    }
    top = a->point > b->point ? a->point : b->point;
    low = lowest(a) < lowest(b) ? lowest(a) : lowest(b);
    if (top - low > DIGITS_MOST)
        return false;
    n = (unsigned)(top - low) + 1;
    d = arena_alloc(mem, n);
    if (a->negative != b->negative && cmp_size(a, b) < 0)
        return add(mem, b, a, out);
    for (long place = low; place <= top; place++) {
        int s = digit(a, place) + carry +
                (a->negative == b->negative ? digit(b, place) : -digit(b, place));

        carry = s < 0 ? -1 : s / 10;
        d[n - 1 - (unsigned)(place - low)] = (unsigned char)(s - carry * 10);
    }
    *out = normal(a->negative, d, n, top + 1);
    return true;
}

static void multiply(struct arena *mem, const struct model_num *a, const struct model_num *b,
                     struct model_num *out)
{
    unsigned n = a->n + b->n;
    unsigned *sum = arena_array(mem, unsigned, n + 1), carry = 0;
    unsigned char *d = arena_alloc(mem, n + 1);

    for (unsigned i = 0; i < a->n; i++)
        for (unsigned j = 0; j < b->n; j++)
            sum[i + j + 1] += (unsigned)a->d[i] * b->d[j];
    for (unsigned i = n; i-- > 0;) {
        sum[i] += carry;
        d[i] = (unsigned char)(sum[i] % 10);
        carry = sum[i] / 10;
    }
    *out = normal(a->negative != b->negative, d, n, a->point + b->point);
}

/* A whole number, least digit last, that is kept below ten times the divisor. */
struct rest {
    unsigned char d[2 * DIGITS_MOST + 8];
    unsigned n;
};

static void rest_push(struct rest *r, unsigned char digit)
{
    if (r->n == 0 && digit == 0)
        return;
    r->d[r->n++] = digit;
}

static int rest_cmp(const struct rest *r, const unsigned char *b, unsigned n)
{
    if (r->n != n)
        return r->n > n ? 1 : -1;
    return memcmp(r->d, b, n);
}

static void rest_subtract(struct rest *r, const unsigned char *b, unsigned n)
{
    int borrow = 0;
    unsigned zeros = 0;

    for (unsigned i = 0; i < r->n; i++) {
        int s = r->d[r->n - 1 - i] - borrow - (i < n ? b[n - 1 - i] : 0);

        borrow = s < 0;
        r->d[r->n - 1 - i] = (unsigned char)(s + 10 * borrow);
    }
    while (zeros < r->n && r->d[zeros] == 0)
        zeros++;
    r->n -= zeros;
    memmove(r->d, r->d + zeros, r->n);
}

static unsigned char rest_divide(struct rest *r, const unsigned char *b, unsigned n)
{
    unsigned char q = 0;

    for (; rest_cmp(r, b, n) >= 0; q++)
        rest_subtract(r, b, n);
    return q;
}

static bool divide(struct arena *mem, const struct model_num *a, const struct model_num *b,
                   struct model_num *out)
{
    unsigned most = DIGITS_MOST * 2 + QUOTIENT + 8, n = 0, told = 0;
    unsigned char *d = arena_alloc(mem, most);
    struct rest r = {.n = 0};

    if (!b->n)
        return false;
    while (told < QUOTIENT && (n < a->n || r.n)) {
        rest_push(&r, n < a->n ? a->d[n] : 0);
        d[n] = rest_divide(&r, b->d, b->n);
        told += told || d[n];
        n++;
    }
    /* 0.A / 0.B: the first digit of the quotient stands for A's first digit over all of B. */
    *out = normal(a->negative != b->negative, d, n, a->point - b->point + (long)b->n);
    return true;
}

static bool is_whole(const struct model_num *a)
{
    return lowest(a) >= 0;
}

static bool remainder_of(struct arena *mem, const struct model_num *a, const struct model_num *b,
                         struct model_num *out)
{
    struct rest r = {.n = 0};
    unsigned char *whole, *d;
    long low;

    if (!is_whole(a) || !is_whole(b) || !b->n)
        return false;
    if (!a->n) {
        *out = *a;
        return true;
    }
    if (a->point > DIGITS_MOST)
        return false;
    if (b->point > a->point) {
        *out = *a;
        return true;
    }
    whole = arena_alloc(mem, (size_t)b->point);
    memcpy(whole, b->d, b->n);
    for (long i = a->point - 1; i >= 0; i--) {
        rest_push(&r, (unsigned char)digit(a, i));
        rest_divide(&r, whole, (unsigned)b->point);
    }
    low = (long)r.n;
    d = arena_alloc(mem, r.n + 1);
    memcpy(d, r.d, r.n);
    *out = normal(a->negative, d, r.n, low);
    return true;
}

bool model_num_negate(const struct model_num *a, struct model_num *out)
{
    *out = *a;
    out->negative = a->n && !a->negative;
    return a->n <= DIGITS_MOST;
}

bool model_num_do(struct arena *mem, char op, const struct model_num *a, const struct model_num *b,
                  struct model_num *out)
{
    struct model_num minus;
    bool good = true;

    if (a->n > DIGITS_MOST || b->n > DIGITS_MOST)
        return false;
    if (op == '+') {
        good = add(mem, a, b, out);
    } else if (op == '-') {
        model_num_negate(b, &minus);
        good = add(mem, a, &minus, out);
    } else if (op == '*') {
        multiply(mem, a, b, out);
    } else if (op == '/') {
        good = divide(mem, a, b, out);
    } else {
        good = remainder_of(mem, a, b, out);
    }
    return good && out->n <= DIGITS_MOST;
}
