#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void load_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

double load_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t address_of(const char *text)
{
    struct in_addr a;

    if (inet_pton(AF_INET, text, &a) != 1)
        load_die("%s is no IPv4 address", text);
    return ntohl(a.s_addr);
}

struct load_range load_range_of(const char *text)
{
    const char *dash = strchr(text, '-');
    char first[32];
    uint32_t from, to;

    snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - text) : (int)strlen(text), text);
    from = address_of(first);
    to = dash ? address_of(dash + 1) : from;
    if (to < from)
        load_die("%s goes backwards", text);
    return (struct load_range){from, to - from + 1};
}

struct in_addr load_address(const struct load_range *r, uint64_t i)
{
    return (struct in_addr){htonl(r->first + (uint32_t)(r->count ? i % r->count : 0))};
}

unsigned long load_number(const char *text, const char *what)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end)
        load_die("%s: \"%s\" is no number", what, text);
    return n;
}

char *load_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char text[16384];
    size_t n;

    if (!f)
        load_die("%s: %s", path, strerror(errno));
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    while (n && text[n - 1] == '\n')
        n--;
    text[n] = 0;
    return strdup(text);
}

void load_raise_files(void)
{
    struct rlimit most = {1u << 20, 1u << 20}, now;

    if (setrlimit(RLIMIT_NOFILE, &most) == 0 || getrlimit(RLIMIT_NOFILE, &now) != 0)
        return;
    now.rlim_cur = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &now);
}

void load_non_blocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int load_connect(struct in_addr src, struct in_addr dst, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = dst};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = src};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if ((src.s_addr == 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0) &&
        (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

long load_rss_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

unsigned load_allowed(const struct load_pace *p, unsigned burst)
{
    double due;

    if (p->rate <= 0)
        return burst;
    due = (load_now() - p->began) * p->rate - (double)p->done;
    if (due <= 0)
        return 0;
    return due < burst ? (unsigned)due : burst;
}

struct load_delays load_delays_of(unsigned long most)
{
    struct load_delays d = {calloc(most, sizeof(*d.all)), 0, most};

    if (!d.all)
        load_die("out of memory");
    return d;
}

void load_note(struct load_delays *d, double seconds)
{
    if (d->n < d->most)
        d->all[d->n++] = seconds > 0 ? (uint32_t)(seconds * 1e6) : 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t part(const struct load_delays *d, double p)
{
    return d->n ? d->all[(unsigned long)((double)(d->n - 1) * p)] : 0;
}

void load_print_delays(struct load_delays *d)
{
    qsort(d->all, d->n, sizeof(*d->all), by_value);
    printf("\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u", part(d, 0.5), part(d, 0.99), part(d, 1));
}

/* ------------------------------------------------------------------------- TLS */

static SSL_SESSION *newest;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

SSL_CTX *load_client_context(const char *ca, bool resume)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x08http/1.1", 9) != 0)
        load_die("no TLS context");
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set1_groups_list(ctx, "X25519");
    if (ca && !SSL_CTX_load_verify_locations(ctx, ca, NULL))
        load_die("%s cannot be read", ca);
    SSL_CTX_set_verify(ctx, ca ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (resume) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    }
    return ctx;
}

SSL *load_client(SSL_CTX *ctx, int fd, const char *name)
{
    SSL *ssl = SSL_new(ctx);

    if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, name) ||
        !SSL_set1_host(ssl, name))
        load_die("no TLS session");
    SSL_set_connect_state(ssl);
    if (newest)
        SSL_set_session(ssl, newest);
    return ssl;
}
