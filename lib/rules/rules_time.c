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

/* Days from 1970-01-01, before it negative. */
static bool date(struct span *s, int64_t *days)
{
    unsigned y, m, d;

    if (!digits(s, 4, &y) || !skip(s, '-') || !digits(s, 2, &m) || !skip(s, '-') ||
        !digits(s, 2, &d))
        return false;
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > days_in(y, m))
        return false;
    *days = (int64_t)(y - 1) * 365 + (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400 - 719162 + d - 1;
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

#define YEAR_1    (-62135596800) /* 0001-01-01T00:00:00Z */
#define YEAR_9999 253402300799   /* its last second */

static bool time_of_day(struct span *s, int64_t *seconds)
{
    unsigned h, m, sec;

    if (!skip(s, 'T') || !digits(s, 2, &h) || !skip(s, ':') || !digits(s, 2, &m) || !skip(s, ':') ||
        !digits(s, 2, &sec) || h > 23 || m > 59 || sec > 59)
        return false;
    *seconds = h * 3600 + m * 60 + sec;
    return true;
}

bool rules_time_read(struct span text, int64_t *seconds, uint32_t *ns)
{
    int64_t days, day, off;
    uint64_t part;

    if (!date(&text, &days) || !time_of_day(&text, &day) || !fraction(&text, &part) ||
        !zone(&text, &off) || text.n)
        return false;
    *seconds = days * 86400 + day - off;
    *ns = (uint32_t)part;
    return *seconds >= YEAR_1 && *seconds <= YEAR_9999;
}

/* 2500: far enough for people, and nanoseconds since 1970 still fit 64 bits. */
#define SECONDS_OF_2500 16725225600

bool rules_time_parse(struct span text, bool date_only_ok, uint64_t *ns)
{
    struct span rest = text;
    int64_t days, seconds;
    uint32_t part = 0;

    if (date_only_ok && date(&rest, &days) && rest.n == 0)
        seconds = (days + 1) * 86400;
    else if (!rules_time_read(text, &seconds, &part))
        return false;
    if (seconds < 0 || seconds > SECONDS_OF_2500 + 366 * 86400)
        return false;
    *ns = (uint64_t)seconds * NS_IN_S + part;
    return true;
}

/* --------------------------------------------------------------- durations */

#define DURATION_MAX 315576000000 /* seconds */

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {{"ns", 1},
             {"us", 1000},
             {"\xc2\xb5s", 1000}, /* the micro sign, and the Greek letter */
             {"\xce\xbcs", 1000},
             {"ms", 1000000},
             {"s", NS_IN_S},
             {"m", 60 * NS_IN_S},
             {"h", 3600 * NS_IN_S},
             {"d", 86400 * NS_IN_S}};

/* Digits on both sides of a point, one at least. The fraction counts in 10^-18. */
static bool amount(struct span *s, uint64_t *whole, uint64_t *part)
{
    uint64_t unit = NS_IN_S * NS_IN_S;
    size_t before = s->n, points;

    *whole = *part = 0;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = span_from(*s, 1)) {
        if (*whole > UINT64_MAX / 20)
            return false;
        *whole = *whole * 10 + (uint64_t)(s->p[0] - '0');
    }
    points = skip(s, '.');
    for (; points && s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = span_from(*s, 1)) {
        unit /= 10;
        *part += (uint64_t)(s->p[0] - '0') * unit;
    }
    return before - s->n > points;
}

static const struct unit *unit_of(struct span *s, bool days)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) - !days; i++) {
        struct span name = span_cstr(units[i].name);

        if (!span_starts(*s, name))
            continue;
        *s = span_from(*s, name.n);
        return &units[i];
    }
    return NULL;
}

bool rules_duration_parse(struct span text, bool days, int64_t *seconds, uint32_t *ns)
{
    bool negative = text.n && text.p[0] == '-';
    __int128 all = 0, most = (__int128)DURATION_MAX * (int64_t)NS_IN_S;
    uint64_t whole, part;

    if (negative || (text.n && text.p[0] == '+'))
        text = span_from(text, 1);
    *seconds = 0;
    *ns = 0;
    if (span_eq(text, SPAN_LIT("0")))
        return true;
    if (text.n == 0)
        return false;
    while (text.n) {
        const struct unit *u = amount(&text, &whole, &part) ? unit_of(&text, days) : NULL;

        if (!u)
            return false;
        all += (__int128)whole * u->ns + (__int128)part * u->ns / (NS_IN_S * NS_IN_S);
        if (all > most)
            return false;
    }
    all = negative ? -all : all;
    *seconds = (int64_t)(all / (int64_t)NS_IN_S);
    all -= (__int128)*seconds * (int64_t)NS_IN_S;
    if (all < 0) {
        (*seconds)--;
        all += (int64_t)NS_IN_S;
    }
    *ns = (uint32_t)all;
    return true;
}

/* -------------------------------------------------------------- arithmetic */

static struct rules_value settle(enum rules_value_kind kind, int64_t seconds, int64_t ns)
{
    int64_t least = kind == VALUE_TIME ? YEAR_1 : -DURATION_MAX;
    int64_t most = kind == VALUE_TIME ? YEAR_9999 : DURATION_MAX;

    if (ns < 0 || ns >= (int64_t)NS_IN_S) {
        seconds += ns < 0 ? -1 : 1;
        ns += ns < 0 ? (int64_t)NS_IN_S : -(int64_t)NS_IN_S;
    }
    if (seconds < least || seconds > most)
        return VALUE_OF(VALUE_UNKNOWN);
    return (struct rules_value){.kind = kind, .n = (unsigned)ns, .seconds = seconds};
}

struct rules_value rules_time_arith(enum rules_arith op, const struct rules_value *a,
                                    const struct rules_value *b)
{
    bool ta = a->kind == VALUE_TIME, tb = b->kind == VALUE_TIME;

    if (op == ARITH_ADD && !(ta && tb))
        return settle(ta || tb ? VALUE_TIME : VALUE_DURATION, a->seconds + b->seconds,
                      (int64_t)a->n + b->n);
    if (op == ARITH_SUB && (ta || !tb))
        return settle(ta && !tb ? VALUE_TIME : VALUE_DURATION, a->seconds - b->seconds,
                      (int64_t)a->n - b->n);
    return VALUE_OF(VALUE_UNKNOWN);
}

struct rules_value rules_time_of(struct span text)
{
    int64_t seconds;
    uint32_t ns;

    if (!rules_time_read(text, &seconds, &ns))
        return VALUE_OF(VALUE_UNKNOWN);
    return (struct rules_value){.kind = VALUE_TIME, .n = ns, .seconds = seconds};
}

struct rules_value rules_duration_of(struct span text)
{
    int64_t seconds;
    uint32_t ns;

    if (!rules_duration_parse(text, false, &seconds, &ns))
        return VALUE_OF(VALUE_UNKNOWN);
    return (struct rules_value){.kind = VALUE_DURATION, .n = ns, .seconds = seconds};
}
