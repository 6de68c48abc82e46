/* Dates and times as people write them (RFC 3339), to nanoseconds since 1970, UTC. */
#include "rules_internal.h"

static bool digits(struct span *s, size_t n, unsigned *out)
{
    uint64_t v;

    if (s->n < n || !span_u64(span_of(s->p, n), &v))
        return false;
    *out = (unsigned)v;
    *s = span_from(*s, n);
    return true;
}

static bool skip(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = span_from(*s, 1);
    return true;
}

static unsigned days_in(unsigned y, unsigned m)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0) ? 29 : days[m - 1];
}

static bool date(struct span *s, uint64_t *days)
{
    unsigned y, m, d;

    if (!digits(s, 4, &y) || !skip(s, '-') || !digits(s, 2, &m) || !skip(s, '-') ||
        !digits(s, 2, &d))
        return false;
    /* 2500: far enough for people, and nanoseconds since 1970 still fit 64 bits. */
    if (y < 1970 || y > 2500 || m < 1 || m > 12 || d < 1 || d > days_in(y, m))
        return false;
    *days = d - 1;
    for (unsigned i = 1970; i < y; i++)
        *days += days_in(i, 2) == 29 ? 366 : 365;
    for (unsigned i = 1; i < m; i++)
        *days += days_in(y, i);
    return true;
}

static bool fraction(struct span *s, uint64_t *ns)
{
    uint64_t unit = NS_IN_S;

    *ns = 0;
    if (!skip(s, '.'))
        return true;
    while (s->n && s->p[0] >= '0' && s->p[0] <= '9' && unit > 1) {
        unit /= 10;
        *ns += (uint64_t)(s->p[0] - '0') * unit;
        *s = span_from(*s, 1);
    }
    return unit < NS_IN_S;
}

static bool zone(struct span *s, int64_t *seconds)
{
    unsigned h, m;
    char sign = s->n ? s->p[0] : 0;

    *seconds = 0;
    if (skip(s, 'Z'))
        return true;
    if ((!skip(s, '+') && !skip(s, '-')) || !digits(s, 2, &h) || !skip(s, ':') ||
        !digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *seconds = (int64_t)(h * 3600 + m * 60) * (sign == '-' ? -1 : 1);
    return true;
}

bool rules_time_parse(struct span text, bool date_only_ok, uint64_t *ns)
{
    unsigned h, m, sec;
    uint64_t days, part;
    int64_t off, all;

    if (!date(&text, &days))
        return false;
    if (text.n == 0 && date_only_ok) {
        *ns = (days + 1) * 86400 * NS_IN_S;
        return true;
    }
    if (!skip(&text, 'T') || !digits(&text, 2, &h) || !skip(&text, ':') || !digits(&text, 2, &m) ||
        !skip(&text, ':') || !digits(&text, 2, &sec) || h > 23 || m > 59 || sec > 59)
        return false;
    if (!fraction(&text, &part) || !zone(&text, &off) || text.n)
        return false;
    all = (int64_t)(days * 86400 + h * 3600 + m * 60 + sec) - off;
    if (all < 0)
        return false;
    *ns = (uint64_t)all * NS_IN_S + part;
    return true;
}
