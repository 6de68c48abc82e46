#include "ctl.h"

#include <stdlib.h>
#include <time.h>

bool ctl_time(const char *text, uint64_t *ns)
{
    static const char units[] = "smhd";
    static const uint64_t seconds[] = {1, 60, 3600, 86400};
    size_t n = strlen(text);
    const char *unit = n ? strchr(units, text[n - 1]) : NULL;
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t v;

    if (end && (strcmp(end, "Z") == 0 || *end == 0)) {
        *ns = (uint64_t)timegm(&tm) * NS_IN_S;
        return true;
    }
    if (!unit || *unit == 0 || !span_u64(span_of(text, n - 1), &v) || v > UINT32_MAX)
        return false;
    *ns = clock_wall_ns() - v * seconds[unit - units] * NS_IN_S;
    return true;
}
