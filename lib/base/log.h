/* The log: one line an event on standard error, "time level subsystem: message". Never from the
 * packet road (it makes a system call); never with a secret, a token, a body or a header value. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Set once at start-up, before other threads exist. JSON lines instead of text if `json`. */
void log_setup(enum log_level most, bool json);

/* Thread-safe: a line is one write(2). Control bytes in the message are escaped. */
void log_line(enum log_level level, const char *subsystem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(sub, ...) log_line(LOG_ERROR, (sub), __VA_ARGS__)
#define log_warn(sub, ...)  log_line(LOG_WARN, (sub), __VA_ARGS__)
#define log_info(sub, ...)  log_line(LOG_INFO, (sub), __VA_ARGS__)
#define log_debug(sub, ...) log_line(LOG_DEBUG, (sub), __VA_ARGS__)

#endif
