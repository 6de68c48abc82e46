/* What the load tools share: clock, pace, arguments, sockets, TLS. Tools for tests, not part of the
 * product: they end the process with a sentence when something is wrong. */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

_Noreturn void load_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double load_now(void); /* seconds, monotonic */
/* "10.10.0.100-10.10.0.115" or "10.20.0.10": the first address and how many. */
struct load_range {
    uint32_t first, count;
};
struct load_range load_range_of(const char *text);
/* The address of that index, taken modulo the range. */
struct in_addr load_address(const struct load_range *r, uint64_t i);
unsigned long load_number(const char *text, const char *what);
char *load_file(const char *path); /* without the newline at its end */
void load_raise_files(void);       /* RLIMIT_NOFILE as high as it goes */
void load_non_blocking(int fd);
/* A TCP connection in progress from `src` (0: any) to `dst`. -1: errno. */
int load_connect(struct in_addr src, struct in_addr dst, uint16_t port);
/* Of this process, from /proc. */
long load_rss_kib(void);

/* How many of something may be done by now at `rate` a second (0: no bound), at most `burst` at a
 * time. */
struct load_pace {
    double rate, began;
    uint64_t done;
};
unsigned load_allowed(const struct load_pace *p, unsigned burst);

/* Delays in microseconds, as many as `most`; further ones are left out. */
struct load_delays {
    uint32_t *all;
    unsigned long n, most;
};
struct load_delays load_delays_of(unsigned long most);
void load_note(struct load_delays *d, double seconds);
/* "p50_us":..,"p99_us":..,"max_us":.. for a JSON object; sorts them. */
void load_print_delays(struct load_delays *d);

/* A client context: TLS 1.2 and 1.3, http/1.1, buffers released when idle. `ca` NULL: no
 * verification. `resume`: the newest session is kept for load_client. */
SSL_CTX *load_client_context(const char *ca, bool resume);
SSL *load_client(SSL_CTX *ctx, int fd, const char *name);
#endif
