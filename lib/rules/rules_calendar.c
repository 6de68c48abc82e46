/* The parts of a time in a zone, and of a duration. */
#include "rules_internal.h"

#define DAY 86400

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The proleptic Gregorian date of a day counted from 1970-01-01. Years begin in March here, so that
 * the day that some of them have more is their last; 719468 days lie between 0000-03-01 and 1970.
 */
static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t shifted = days + 719468, era = floor_div(shifted, 146097);
    unsigned of_era = (unsigned)(shifted - era * 146097);
    unsigned y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * y + y / 4 - y / 100);
    unsigned m = (5 * of_year + 2) / 153;

    *day = of_year - (153 * m + 2) / 5;
    *month = m < 10 ? m + 2 : m - 10;
    *year = (int64_t)y + era * 400 + (*month < 2);
}

static unsigned day_of_year(int64_t year, unsigned month, unsigned day)
{
    static const unsigned short before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return before[month] + day + (leap && month > 1);
}

static int64_t of_date(enum rules_get what, int64_t days)
{
    unsigned month, day;
    int64_t year;

    if (what == TIME_DAY_OF_WEEK)
        return days + 4 - floor_div(days + 4, 7) * 7; /* 1970-01-01 was a Thursday */
    date_of(days, &year, &month, &day);
    switch (what) {
    case TIME_FULL_YEAR:
        return year;
    case TIME_MONTH:
        return month;
    case TIME_DATE:
        return day + 1;
    case TIME_DAY_OF_MONTH:
        return day;
    default:
        return day_of_year(year, month, day);
    }
}

static int64_t of_time(enum rules_get what, int64_t seconds, unsigned ns)
{
    int64_t days = floor_div(seconds, DAY), of_day = seconds - days * DAY;

    switch (what) {
    case TIME_HOURS:
        return of_day / 3600;
    case TIME_MINUTES:
        return of_day / 60 % 60;
    case TIME_SECONDS:
        return of_day % 60;
    case TIME_MILLISECONDS:
        return ns / 1000000;
    default:
        return of_date(what, days);
    }
}

/* All of it in one unit, toward zero; milliseconds: those below a second. */
static int64_t of_duration(enum rules_get what, int64_t seconds, unsigned ns)
{
    bool negative = seconds < 0;
    int64_t part = ns;

    if (negative && ns) { /* -1 and 750,000,000 is -0.25 */
        seconds++;
        part -= (int64_t)RULES_SECOND;
    }
    switch (what) {
    case TIME_HOURS:
        return seconds / 3600;
    case TIME_MINUTES:
        return seconds / 60;
    case TIME_SECONDS:
        return seconds;
    default:
        return part / 1000000;
    }
}

static struct rules_value number(int64_t v, struct rules_text *t)
{
    struct rules_value u = rules_value_u64(v < 0 ? (uint64_t)-v : (uint64_t)v, t);

    return v < 0 && u.kind == VALUE_NUMBER ? rules_decimal_negate(u.text, t) : u;
}

struct rules_value rules_time_get(enum rules_get what, const struct rules_value *time,
                                  const struct rules_zone *zone, struct rules_text *t)
{
    int64_t seconds = time->seconds;

    if (time->kind == VALUE_DURATION)
        return number(of_duration(what, seconds, time->n), t);
    if (time->kind != VALUE_TIME)
        return VALUE_OF(VALUE_UNKNOWN);
    if (zone)
        seconds += rules_zone_offset(zone, seconds);
    return number(of_time(what, seconds, time->n), t);
}
