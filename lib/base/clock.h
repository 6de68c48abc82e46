/* Time. Libraries that keep timers take `now` as an argument, so that tests can turn the clock;
 * only the edges of the program ask these functions. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_IN_S  1000000000ull
#define NS_IN_MS 1000000ull
#define US_IN_S  1000000ull
#define US_IN_MS 1000ull

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void); /* CLOCK_REALTIME: nanoseconds since 1970, UTC */

/* "2026-11-23T11:58:00.123456789Z" with NUL, 31 bytes; returns `out`. */
#define CLOCK_TEXT 31
char *clock_text(uint64_t wall_ns, char out[CLOCK_TEXT]);

#endif
