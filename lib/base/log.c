#include "base/log.h"

#include "base_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/outbuf.h"

#define MESSAGE_MAX  2048
#define LOG_LINE_MAX (6 * MESSAGE_MAX + 512) /* a byte grows to at most six */

/* Written before there are threads, only read afterwards. */
static enum log_level most_level = LOG_INFO;
static bool as_json;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level most, bool json)
{
    most_level = most;
    as_json = json;
}

/* A line must stay a line, and a terminal must not be steered by what strangers sent. */
static void put_text(struct outbuf *o, struct span s)
{
    while (s.n) {
        uint32_t cp = 0;
        size_t n = utf8_next(s, &cp);

        if (n && !char_is_control(cp)) {
            outbuf_put(o, s.p, n);
        } else {
            n = 1;
            outbuf_lit(o, "\\x");
            outbuf_hex(o, s.p, 1);
        }
        s = span_from(s, n);
    }
}

static void put_line(struct outbuf *o, const char *level, const char *subsystem,
                     struct span message)
{
    char time[CLOCK_TEXT];

    clock_text(clock_wall_ns(), time);
    if (as_json) {
        outbuf_printf(o, "{\"time\":\"%s\",\"level\":\"%s\",\"subsystem\":", time, level);
        outbuf_json(o, span_cstr(subsystem));
        outbuf_lit(o, ",\"message\":");
        outbuf_json(o, message);
        outbuf_lit(o, "}\n");
    } else {
        outbuf_printf(o, "%s %s %s: ", time, level, subsystem);
        put_text(o, message);
        outbuf_lit(o, "\n");
    }
}

/* A log that nobody reads must not stop the appliance, so failures end here. */
static void write_once(struct span line)
{
    ssize_t n;

    do {
        n = write(STDERR_FILENO, line.p, line.n);
    } while (n < 0 && errno == EINTR);
}

void log_line(enum log_level level, const char *subsystem, const char *fmt, ...)
{
    char message[MESSAGE_MAX], line[LOG_LINE_MAX];
    struct outbuf o = outbuf_on(line, sizeof(line));
    int saved = errno;
    va_list ap;
    int n;

    if (level > most_level)
        return;
    va_start(ap, fmt);
    n = vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n >= sizeof(message))
        n = (int)sizeof(message) - 1;
    put_line(&o, level_names[level], subsystem, span_of(message, (size_t)n));
    write_once(outbuf_span(&o));
    errno = saved;
}
