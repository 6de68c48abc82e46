#include "base/clock.h"

#include <time.h>

#define DAY_S 86400u

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts); /* cannot fail: both clocks always exist on Linux */
    return (uint64_t)ts.tv_sec * NS_IN_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* Days since 1970 to a Gregorian date. The year is taken to begin in March, so that the leap day is
 * its last, and 400 years are 146097 days. gmtime_r would take the time zone's lock. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t z = days + 719468; /* from 0000-03-01 */
    uint64_t era = z / 146097, of_era = z % 146097;
    uint64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    uint64_t m = (5 * of_year + 2) / 153; /* 0 is March */

    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = (unsigned)(y + era * 400 + (*month <= 2));
}

static char *put_digits(char *p, unsigned v, unsigned width)
{
    for (unsigned i = width; i > 0; i--, v /= 10)
        p[i - 1] = (char)('0' + v % 10);
    return p + width;
}

char *clock_text(uint64_t wall_ns, char out[CLOCK_TEXT])
{
    uint64_t s = wall_ns / NS_IN_S;
    unsigned of_day = (unsigned)(s % DAY_S), year, month, day;
    char *p = out;

    civil(s / DAY_S, &year, &month, &day);
    p = put_digits(p, year, 4);
    *p++ = '-';
    p = put_digits(p, month, 2);
    *p++ = '-';
    p = put_digits(p, day, 2);
    *p++ = 'T';
    p = put_digits(p, of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, of_day / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, of_day % 60, 2);
    *p++ = '.';
    p = put_digits(p, (unsigned)(wall_ns % NS_IN_S), 9);
    *p++ = 'Z';
    *p = '\0';
    return out;
}
