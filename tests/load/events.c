/* Callers that read event streams and tell how long each event was on its way. See usage. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const char usage[] =
    "usage: events --target A --name HOST [options]\n"
    "\n"
    "Opens event streams whose events carry \"at\", the time of the machine's monotonic clock in\n"
    "microseconds when they were written (`streams --rate`), and prints a JSON line: streams,\n"
    "events, failures, seconds, delay in microseconds.\n"
    "\n"
    "  --streams N       (16)\n"
    "  --warm S          seconds that are not counted, at the beginning (1)\n"
    "  --seconds S       (5)\n"
    "  --target A        address to connect to\n"
    "  --port P          (443)\n"
    "  --name HOST       SNI and Host\n"
    "  --path PATH       (/v1/stream)\n"
    "  --token-file F    bearer token\n"
    "\n"
    "Exit codes: 0 reported; 1 it could not run; 64 wrong arguments.\n";

enum { BUFFER = 16384, BATCH = 64, SAMPLES = 1 << 21 };
enum state { CONNECTING, HANDSHAKE, HEAD, OPEN, FAILED };

struct stream {
    int fd;
    SSL *ssl;
    enum state state;
    size_t used;
    char buffer[BUFFER + 1];
};

struct load {
    unsigned streams, open, failures;
    struct load_range target;
    uint16_t port;
    const char *name;
    double warm, seconds, count_from;
    char request[20000];
    int request_n, epoll;
    SSL_CTX *ctx;
    struct stream *all;
    struct load_delays delays;
};

static void failed(struct load *l, struct stream *s)
{
    if (s->state == OPEN)
        l->open--;
    l->failures++;
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
    s->state = FAILED;
}

static void open_one(struct load *l, struct stream *s)
{
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = s};

    s->fd = load_connect((struct in_addr){0}, load_address(&l->target, 0), l->port);
    if (s->fd < 0)
        load_die("no connection: %s", strerror(errno));
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &e);
}

static void note(struct load *l, double at, double now)
{
    if (now >= l->count_from)
        load_note(&l->delays, now - at * 1e-6);
}

/* Events that are whole, whatever the chunks they came in; what is left waits for more. */
static void events(struct load *l, struct stream *s)
{
    double now = load_now();
    char *from = s->buffer, *end, *at;

    s->buffer[s->used] = 0;
    while ((end = strstr(from, "}\n\n"))) {
        *end = 0;
        at = strstr(from, "\"at\":");
        if (at)
            note(l, strtod(at + 5, NULL), now);
        from = end + 3;
    }
    s->used -= (size_t)(from - s->buffer);
    memmove(s->buffer, from, s->used);
}

static bool head(struct load *l, struct stream *s)
{
    char *end;

    s->buffer[s->used] = 0;
    end = strstr(s->buffer, "\r\n\r\n");
    if (!end)
        return true;
    if (strncmp(s->buffer, "HTTP/1.1 200", 12) != 0)
        return false;
    s->used -= (size_t)(end + 4 - s->buffer);
    memmove(s->buffer, end + 4, s->used);
    s->state = OPEN;
    l->open++;
    return true;
}

static void readable(struct load *l, struct stream *s)
{
    int n;

    while ((n = SSL_read(s->ssl, s->buffer + s->used, (int)(BUFFER - s->used))) > 0) {
        s->used += (size_t)n;
        if (s->state == HEAD && !head(l, s)) {
            failed(l, s);
            return;
        }
        if (s->state == OPEN)
            events(l, s);
    }
    if (s->used == BUFFER || SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ)
        failed(l, s);
}

static void connected(struct load *l, struct stream *s)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

    s->ssl = load_client(l->ctx, s->fd, l->name);
    s->state = HANDSHAKE;
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &e);
}

static void handshake(struct load *l, struct stream *s)
{
    int n = SSL_do_handshake(s->ssl);

    if (n == 1 && SSL_write(s->ssl, l->request, l->request_n) == l->request_n)
        s->state = HEAD;
    else if (n == 1 || SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ)
        failed(l, s);
}

static void on_ready(struct load *l, struct stream *s, uint32_t what)
{
    if (s->state == CONNECTING && (what & (EPOLLERR | EPOLLHUP)))
        failed(l, s);
    else if (s->state == CONNECTING)
        connected(l, s);
    if (s->state == HANDSHAKE)
        handshake(l, s);
    else if (s->state == HEAD || s->state == OPEN)
        readable(l, s);
    ERR_clear_error();
}

static void run(struct load *l, double seconds)
{
    double until = load_now() + seconds;

    while (load_now() < until) {
        struct epoll_event e[BATCH];
        int n = epoll_wait(l->epoll, e, BATCH, 20);

        for (int i = 0; i < n; i++)
            on_ready(l, e[i].data.ptr, e[i].events);
    }
}

static void report(struct load *l)
{
    printf("{\"streams\":%u,\"events\":%lu,\"failures\":%u,\"seconds\":%.2f,", l->open, l->delays.n,
           l->failures, l->seconds);
    load_print_delays(&l->delays);
    puts("}");
}

static void prepare(struct load *l, const char *path, const char *token)
{
    l->request_n = snprintf(
        l->request, sizeof(l->request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", path, l->name,
        token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
    if (l->request_n <= 0 || l->request_n >= (int)sizeof(l->request))
        load_die("the request is too long");
    signal(SIGPIPE, SIG_IGN);
    load_raise_files();
    l->ctx = load_client_context(NULL, false);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->all = calloc(l->streams, sizeof(*l->all));
    l->delays = load_delays_of(SAMPLES);
    if (!l->all || l->epoll < 0)
        load_die("out of memory");
}

static bool take(struct load *l, int c, const char **path, const char **token)
{
    switch (c) {
    case 'c':
        l->streams = (unsigned)load_number(optarg, "streams");
        return true;
    case 'w':
        l->warm = (double)load_number(optarg, "warm");
        return true;
    case 's':
        l->seconds = (double)load_number(optarg, "seconds");
        return true;
    case 't':
        l->target = load_range_of(optarg);
        return true;
    case 'p':
        l->port = (uint16_t)load_number(optarg, "port");
        return true;
    case 'n':
        l->name = optarg;
        return true;
    case 'u':
        *path = optarg;
        return true;
    case 'k':
        *token = load_file(optarg);
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"streams", 1, NULL, 'c'}, {"warm", 1, NULL, 'w'},       {"seconds", 1, NULL, 's'},
        {"target", 1, NULL, 't'},  {"port", 1, NULL, 'p'},       {"name", 1, NULL, 'n'},
        {"path", 1, NULL, 'u'},    {"token-file", 1, NULL, 'k'}, {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct load l = {.streams = 16, .port = 443, .warm = 1, .seconds = 5};
    const char *path = "/v1/stream", *token = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (!take(&l, c, &path, &token)) {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 64;
        }
    }
    if (!l.target.count || !l.name) {
        fputs(usage, stderr);
        return 64;
    }
    prepare(&l, path, token);
    for (unsigned i = 0; i < l.streams; i++)
        open_one(&l, &l.all[i]);
    l.count_from = load_now() + l.warm;
    run(&l, l.warm + l.seconds);
    report(&l);
    return 0;
}
