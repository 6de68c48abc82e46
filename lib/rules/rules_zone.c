/* Time zones: fixed offsets, and the system's files (TZif, RFC 8536) with the rule in their footer
 * for what lies after the last change they list. Files are read when rules are loaded; whatever is
 * not as the RFC says makes the zone unknown. */
#include "rules_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define ZONES      "/usr/share/zoneinfo/"
#define FILE_MAX   ((size_t)64 << 10)
#define HEADER     44
#define OFFSET_MAX (26 * 3600) /* RFC 8536 3.2: -25:59:59 .. 25:59:59 */
#define DAY        86400

/* When in a year the clocks change, by standard time or by the other: POSIX TZ, with RFC 8536 3.3.1
 * (hours from -167 to 167). */
struct change {
    enum { CHANGE_MONTH, CHANGE_JULIAN, CHANGE_DAY } kind;
    int month, week, day; /* MONTH: 1-12, 1-5, 0-6; JULIAN: 1-365 without leap days; DAY: 0-365 */
    int32_t seconds;
};

struct rules_zone {
    const int64_t *at;     /* changes, ascending */
    const int32_t *offset; /* from at[i] on */
    unsigned n;
    int32_t before;    /* the first of them */
    bool rule, summer; /* after the last change `rule` holds, with summer time or without */
    int32_t standard, other;
    struct change start, end;
};

/* ------------------------------------------------------------------ changes */

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* The first day of a year, counted from 1970-01-01; years from 1 on. */
static int64_t year_start(int64_t y)
{
    int64_t b = y - 1;

    return b * 365 + b / 4 - b / 100 + b / 400 - 719162;
}

static int64_t year_of(int64_t seconds)
{
    int64_t days = seconds / DAY - (seconds % DAY < 0), y = 1970 + days / 366;

    while (year_start(y) > days)
        y--;
    while (year_start(y + 1) <= days)
        y++;
    return y;
}

static int64_t month_day(const struct change *c, int64_t y)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t first = year_start(y), day;
    int length;

    for (int m = 0; m < c->month - 1; m++)
        first += days[m] + (m == 1 && is_leap(y));
    length = days[c->month - 1] + (c->month == 2 && is_leap(y));
    day = (c->day - (first + 4) % 7 + 14) % 7 + (int64_t)(c->week - 1) * 7;
    while (day >= length) /* week 5 is the last that there is */
        day -= 7;
    return first + day;
}

/* The second of a year at which the clocks change, as those clocks count that it ends for. */
static int64_t change_in(const struct change *c, int64_t y)
{
    int64_t day;

    if (c->kind == CHANGE_MONTH)
        day = month_day(c, y);
    else if (c->kind == CHANGE_DAY)
        day = year_start(y) + c->day;
    else
        day = year_start(y) + c->day - 1 + (c->day > 59 && is_leap(y));
    return day * DAY + c->seconds;
}

static int32_t by_rule(const struct rules_zone *z, int64_t seconds)
{
    int64_t y = year_of(seconds + z->standard), start, end;
    bool summer;

    if (!z->summer)
        return z->standard;
    start = change_in(&z->start, y) - z->standard;
    end = change_in(&z->end, y) - z->other;
    summer = start < end ? seconds >= start && seconds < end : seconds >= start || seconds < end;
    return summer ? z->other : z->standard;
}

int32_t rules_zone_offset(const struct rules_zone *z, int64_t seconds)
{
    unsigned low = 0, high = z->n;

    if (z->n == 0 || seconds < z->at[0])
        return z->n || !z->rule ? z->before : by_rule(z, seconds);
    if (seconds >= z->at[z->n - 1])
        return z->rule ? by_rule(z, seconds) : z->offset[z->n - 1];
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;

        if (seconds >= z->at[middle])
            low = middle;
        else
            high = middle;
    }
    return z->offset[low];
}

/* ------------------------------------------------------------------- footer */

static bool skip(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = span_from(*s, 1);
    return true;
}

static bool number(struct span *s, int least, int most, int *out)
{
    size_t n = 0;

    for (*out = 0; n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        *out = *out * 10 + (s->p[n] - '0');
    *s = span_from(*s, n);
    return n > 0 && *out >= least && *out <= most;
}

/* [+-]hh[:mm[:ss]] */
static bool clock_time(struct span *s, int hours, int32_t *seconds)
{
    bool negative = skip(s, '-');
    int h, m = 0, sec = 0;

    if (!negative)
        skip(s, '+');
    if (!number(s, 0, hours, &h))
        return false;
    if (skip(s, ':') && (!number(s, 0, 59, &m) || (skip(s, ':') && !number(s, 0, 59, &sec))))
        return false;
    *seconds = (h * 3600 + m * 60 + sec) * (negative ? -1 : 1);
    return true;
}

/* CET or <+03> */
static bool abbreviation(struct span *s)
{
    bool quoted = skip(s, '<');
    size_t n = 0;

    for (; n < s->n; n++) {
        char c = ascii_lower(s->p[n]);
        bool letter = c >= 'a' && c <= 'z';

        if (!letter && !(quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-')))
            break;
    }
    *s = span_from(*s, n);
    return n >= 3 && (!quoted || skip(s, '>'));
}

static bool change_rule(struct span *s, struct change *c)
{
    bool good;

    *c = (struct change){.seconds = 7200};
    if (!skip(s, ','))
        return false;
    if (skip(s, 'M')) {
        c->kind = CHANGE_MONTH;
        good = number(s, 1, 12, &c->month) && skip(s, '.') && number(s, 1, 5, &c->week) &&
               skip(s, '.') && number(s, 0, 6, &c->day);
    } else if (skip(s, 'J')) {
        c->kind = CHANGE_JULIAN;
        good = number(s, 1, 365, &c->day);
    } else {
        c->kind = CHANGE_DAY;
        good = number(s, 0, 365, &c->day);
    }
    return good && (!skip(s, '/') || clock_time(s, 167, &c->seconds));
}

/* POSIX counts offsets west of Greenwich; so does nobody else. */
static bool footer(struct span s, struct rules_zone *z)
{
    if (s.n == 0)
        return true;
    if (!abbreviation(&s) || !clock_time(&s, 24, &z->standard))
        return false;
    z->standard = -z->standard;
    z->rule = true;
    if (s.n == 0)
        return true;
    z->summer = true;
    if (!abbreviation(&s))
        return false;
    z->other = z->standard + 3600;
    if (s.n && s.p[0] != ',') {
        if (!clock_time(&s, 24, &z->other))
            return false;
        z->other = -z->other;
    }
    return change_rule(&s, &z->start) && change_rule(&s, &z->end) && s.n == 0;
}

/* --------------------------------------------------------------------- file */

struct counts {
    uint32_t isut, isstd, leap, time, type, chars;
};

static int64_t big_endian(const char *p, unsigned n)
{
    uint64_t v = n && (p[0] & 0x80) ? UINT64_MAX : 0;

    for (unsigned i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return (int64_t)v;
}

/* A header; `s` moves behind it. Version 1 alone has no 64-bit times and no footer. */
static bool header(struct span *s, struct counts *c)
{
    uint32_t *const at[] = {&c->isut, &c->isstd, &c->leap, &c->time, &c->type, &c->chars};

    if (s->n < HEADER || memcmp(s->p, "TZif", 4) != 0 || s->p[4] < '2' || s->p[4] > '4')
        return false;
    for (unsigned i = 0; i < 6; i++) {
        *at[i] = (uint32_t)big_endian(s->p + 20 + 4 * i, 4);
        if (*at[i] > FILE_MAX)
            return false;
    }
    *s = span_from(*s, HEADER);
    return c->type >= 1 && c->type <= 256 && c->chars >= 1 &&
           (c->isut == 0 || c->isut == c->type) && (c->isstd == 0 || c->isstd == c->type);
}

/* Bytes of the data that a header announces, with times of `wide` bytes. */
static size_t data_size(const struct counts *c, unsigned wide)
{
    return (size_t)c->time * wide + c->time + (size_t)c->type * 6 + c->chars +
           (size_t)c->leap * (wide + 4) + c->isstd + c->isut;
}

static bool offsets(const struct counts *c, const char *types, int32_t *out)
{
    for (uint32_t i = 0; i < c->type; i++) {
        int64_t v = big_endian(types + 6 * i, 4);

        if (v <= -OFFSET_MAX || v >= OFFSET_MAX)
            return false;
        out[i] = (int32_t)v;
    }
    return true;
}

static bool changes(struct arena *mem, const struct counts *c, struct span data,
                    struct rules_zone *z)
{
    const char *index = data.p + (size_t)c->time * 8;
    int64_t *at = arena_array(mem, int64_t, c->time + 1);
    int32_t *offset = arena_array(mem, int32_t, c->time + 1), of[256];

    if (!offsets(c, index + c->time, of))
        return false;
    for (uint32_t i = 0; i < c->time; i++) {
        at[i] = big_endian(data.p + (size_t)i * 8, 8);
        if ((unsigned char)index[i] >= c->type || (i && at[i] <= at[i - 1]))
            return false;
        offset[i] = of[(unsigned char)index[i]];
    }
    z->at = at;
    z->offset = offset;
    z->n = c->time;
    z->before = of[0];
    return true;
}

static bool read_tzif(struct arena *mem, struct span s, struct rules_zone *z)
{
    struct counts c;
    size_t n;

    if (!header(&s, &c) || data_size(&c, 4) > s.n)
        return false;
    s = span_from(s, data_size(&c, 4));
    if (!header(&s, &c) || c.leap) /* the appliance's clock counts no leap seconds */
        return false;
    n = data_size(&c, 8);
    if (n > s.n || s.n - n < 2 || !changes(mem, &c, span_of(s.p, n), z))
        return false;
    s = span_from(s, n);
    if (s.p[0] != '\n' || s.p[s.n - 1] != '\n')
        return false;
    return footer(span_of(s.p + 1, s.n - 2), z);
}

/* Words of a path below ZONES: nothing that leads out of it. */
static bool zone_name(struct span s)
{
    bool start = true;

    if (s.n == 0 || s.n > 64)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);

        if (c == '/' && !start) {
            start = true;
            continue;
        }
        if (!(c >= 'a' && c <= 'z') &&
            (start || (!(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '+')))
            return false;
        start = false;
    }
    return !start;
}

static bool read_file(struct span name, char *room, size_t *n)
{
    char path[sizeof(ZONES) + 64];
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), ZONES "%.*s", SPAN_ARG(name));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    for (*n = 0; *n < FILE_MAX; *n += (size_t)got) {
        got = read(fd, room + *n, FILE_MAX - *n);
        if (got <= 0)
            break;
    }
    close(fd);
    return *n > 0 && *n < FILE_MAX;
}

/* +hh:mm */
static bool fixed(struct span s, struct rules_zone *z)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t h, m;

    if (s.n != 6 || (!negative && s.p[0] != '+') || s.p[3] != ':' ||
        !span_u64(span_of(s.p + 1, 2), &h) || !span_u64(span_of(s.p + 4, 2), &m) || h > 23 ||
        m > 59)
        return false;
    z->before = (int32_t)(h * 3600 + m * 60) * (negative ? -1 : 1);
    return true;
}

const struct rules_zone *rules_zone_read(struct arena *mem, struct span name, const char **why)
{
    struct rules_zone *z = arena_new(mem, struct rules_zone);
    struct arena tmp = ARENA_INIT;
    char *room;
    size_t n;

    *why = NULL;
    if (span_eq(name, SPAN_LIT("UTC")) || fixed(name, z))
        return z;
    if (!zone_name(name)) {
        *why = "a zone is written as \"Europe/Berlin\", \"+02:00\" or \"UTC\"";
        return NULL;
    }
    room = arena_alloc(&tmp, FILE_MAX);
    if (!read_file(name, room, &n))
        *why = "this machine has no such zone (tzdata, " ZONES ")";
    else if (!read_tzif(mem, span_of(room, n), z))
        *why = "the zone's file cannot be read as RFC 8536 says";
    arena_free(&tmp);
    return *why ? NULL : z;
}
