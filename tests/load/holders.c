/* Opens many TLS connections, does one call on each and then holds them: idle between calls, or
 * each in an open event stream. See usage. */
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
    "usage: holders --targets A[-B] --name HOST [options]\n"
    "\n"
    "Opens TLS connections, does one call on each, keeps them open. Says when all are up, then\n"
    "obeys lines on its standard input; answers are JSON lines on standard output.\n"
    "\n"
    "  --connections N   how many (1000)\n"
    "  --rate N          new connections a second at most (2000)\n"
    "  --pending N       connections being set up at one time at most (256)\n"
    "  --sources A[-B]   addresses to connect from\n"
    "  --targets A[-B]   addresses to connect to\n"
    "  --port P          (443)\n"
    "  --name HOST       SNI and Host\n"
    "  --path PATH       what to GET (/v1/hold)\n"
    "  --token-file F    bearer token\n"
    "  --stream          the answer is an event stream that stays open after its first event\n"
    "  --no-resume       every handshake a full one\n"
    "  --patience S      seconds for all to be up (600)\n"
    "\n"
    "Lines obeyed: \"call\": another call on each (between calls only); \"events N\": waits until\n"
    "each stream has had N more events; \"report\"; end of input: closes all and ends.\n";

enum state { FREE, CONNECTING, HANDSHAKE, ASKING, ANSWER, HELD };
enum { BUFFER = 4096, BATCH = 512 };
static const char *const failures[] = {"connect", "handshake", "write",
                                       "closed",  "status",    "reset"};
enum failure { F_CONNECT, F_HANDSHAKE, F_WRITE, F_CLOSED, F_STATUS, F_RESET, F_COUNT };

struct holder {
    int fd;
    SSL *ssl;
    enum state state;
    uint32_t used;
    uint32_t events;
    char *buffer; /* while an answer is coming in */
};

struct load {
    unsigned connections, pending_max;
    struct load_range sources, targets;
    uint16_t port;
    const char *name;
    bool stream;
    char request[20000];
    size_t request_n;
    SSL_CTX *ctx;
    int epoll;
    struct holder *all;
    unsigned opened, pending, held, peak;
    unsigned long failed[F_COUNT], calls, events;
    struct load_pace pace;
    double began;
};

static void watch(struct load *l, struct holder *h, int how, uint32_t what)
{
    struct epoll_event e = {.events = what, .data.ptr = h};

    epoll_ctl(l->epoll, how, h->fd, &e);
}

static void drop(struct load *l, struct holder *h, enum failure why)
{
    if (h->state == HELD)
        l->held--;
    else
        l->pending--;
    l->failed[why]++;
    SSL_free(h->ssl);
    close(h->fd);
    free(h->buffer);
    *h = (struct holder){.fd = -1};
}

static void open_one(struct load *l)
{
    unsigned i = l->opened++;
    struct holder *h = &l->all[i];

    h->fd = load_connect(load_address(&l->sources, i), load_address(&l->targets, i / 7), l->port);
    l->pending++;
    if (h->fd < 0) {
        h->fd = dup(0);
        drop(l, h, F_CONNECT);
        return;
    }
    h->state = CONNECTING;
    watch(l, h, EPOLL_CTL_ADD, EPOLLOUT);
}

static void held(struct load *l, struct holder *h)
{
    h->state = HELD;
    l->pending--;
    l->calls++;
    if (++l->held > l->peak)
        l->peak = l->held;
    free(h->buffer);
    h->buffer = NULL;
    h->used = 0;
}

static void ask(struct load *l, struct holder *h)
{
    int n = SSL_write(h->ssl, l->request, (int)l->request_n);

    if (n != (int)l->request_n) { /* a few hundred bytes on a fresh connection always fit */
        drop(l, h, F_WRITE);
        return;
    }
    h->state = ANSWER;
    h->buffer = malloc(BUFFER);
    h->used = 0;
    watch(l, h, EPOLL_CTL_MOD, EPOLLIN);
}

/* Is the answer, or the first event, there? */
static bool whole(const struct load *l, const struct holder *h)
{
    const char *end = strstr(h->buffer, "\r\n\r\n"), *length;

    if (!end)
        return false;
    if (l->stream)
        return strstr(end, "\n\n") != NULL;
    length = strcasestr(h->buffer, "content-length:");
    return !length || h->used >= (size_t)(end + 4 - h->buffer) + strtoul(length + 15, NULL, 10);
}

static void answer(struct load *l, struct holder *h)
{
    for (;;) {
        int n = SSL_read(h->ssl, h->buffer + h->used, (int)(BUFFER - 1 - h->used));

        if (n <= 0) {
            int why = SSL_get_error(h->ssl, n);

            if (why != SSL_ERROR_WANT_READ)
                drop(l, h, why == SSL_ERROR_ZERO_RETURN ? F_CLOSED : F_RESET);
            return;
        }
        h->used += (unsigned)n;
        h->buffer[h->used] = 0;
        if (h->used > 12 && strncmp(h->buffer + 9, "200", 3) != 0) {
            drop(l, h, F_STATUS);
            return;
        }
        if (whole(l, h)) {
            held(l, h);
            return;
        }
    }
}

static void event(struct load *l, struct holder *h)
{
    char text[BUFFER];
    int n;

    while ((n = SSL_read(h->ssl, text, sizeof(text) - 1)) > 0) {
        text[n] = 0;
        for (const char *p = text; (p = strstr(p, "data:")); p++) {
            h->events++;
            l->events++;
        }
    }
    n = SSL_get_error(h->ssl, n);
    if (n != SSL_ERROR_WANT_READ)
        drop(l, h, n == SSL_ERROR_ZERO_RETURN ? F_CLOSED : F_RESET);
}

static void handshake(struct load *l, struct holder *h)
{
    int n = SSL_do_handshake(h->ssl), why;

    if (n == 1) {
        ask(l, h);
        return;
    }
    why = SSL_get_error(h->ssl, n);
    if (why == SSL_ERROR_WANT_READ)
        watch(l, h, EPOLL_CTL_MOD, EPOLLIN);
    else if (why == SSL_ERROR_WANT_WRITE)
        watch(l, h, EPOLL_CTL_MOD, EPOLLOUT);
    else
        drop(l, h, F_HANDSHAKE);
}

static void on_ready(struct load *l, struct holder *h, uint32_t what)
{
    if (h->state == CONNECTING) {
        if (what & (EPOLLERR | EPOLLHUP)) {
            drop(l, h, F_CONNECT);
            return;
        }
        h->ssl = load_client(l->ctx, h->fd, l->name);
        h->state = HANDSHAKE;
    }
    if (h->state == HANDSHAKE)
        handshake(l, h);
    else if (h->state == ANSWER)
        answer(l, h);
    else if (h->state == HELD)
        event(l, h);
    ERR_clear_error();
}

/* One round of the loop. */
static void turn(struct load *l, int wait_ms)
{
    struct epoll_event e[BATCH];
    int n;

    while (l->opened < l->connections && l->pending < l->pending_max && load_allowed(&l->pace, 1)) {
        l->pace.done++;
        open_one(l);
    }
    n = epoll_wait(l->epoll, e, BATCH, wait_ms);
    for (int i = 0; i < n; i++)
        on_ready(l, e[i].data.ptr, e[i].events);
}

static void report(const struct load *l, const char *what)
{
    printf("{\"what\":\"%s\",\"asked\":%u,\"held\":%u,\"peak\":%u,\"pending\":%u,\"calls\":%lu,"
           "\"events\":%lu,\"seconds\":%.2f,\"rss_kib\":%ld,\"failed\":{",
           what, l->connections, l->held, l->peak, l->pending, l->calls, l->events,
           load_now() - l->began, load_rss_kib());
    for (int i = 0; i < F_COUNT; i++)
        printf("%s\"%s\":%lu", i ? "," : "", failures[i], l->failed[i]);
    puts("}}");
    fflush(stdout);
}

static void call_all(struct load *l, double patience)
{
    double until = load_now() + patience;

    l->calls = 0;
    for (unsigned i = 0; i < l->connections; i++) {
        struct holder *h = &l->all[i];

        if (h->state != HELD)
            continue;
        l->held--;
        l->pending++;
        ask(l, h);
        while (l->pending >= l->pending_max && load_now() < until)
            turn(l, 10);
    }
    while (l->pending && load_now() < until)
        turn(l, 10);
}

static void await_events(struct load *l, uint32_t n, double patience)
{
    double until = load_now() + patience;
    unsigned missing;

    do {
        turn(l, 50);
        missing = 0;
        for (unsigned i = 0; i < l->connections; i++)
            missing += l->all[i].state == HELD && l->all[i].events < n;
    } while (missing && load_now() < until);
    printf("{\"what\":\"missing\",\"streams\":%u}\n", missing);
}

static void obey(struct load *l, double patience)
{
    struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL};
    char line[64];
    size_t n = 0;

    (void)in;
    load_non_blocking(0);
    for (;;) {
        ssize_t got = read(0, line + n, sizeof(line) - 1 - n);
        char *end;

        if (got == 0)
            return;
        n += got > 0 ? (size_t)got : 0;
        line[n] = 0;
        end = strchr(line, '\n');
        if (!end) {
            turn(l, 20);
            continue;
        }
        n = 0;
        if (strncmp(line, "call", 4) == 0)
            call_all(l, patience);
        else if (strncmp(line, "events ", 7) == 0)
            await_events(l, (uint32_t)strtoul(line + 7, NULL, 10), patience);
        report(l, "report");
    }
}

static void prepare(struct load *l, const char *path, const char *token)
{
    int n = snprintf(l->request, sizeof(l->request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
                     path, l->name, token ? "Authorization: Bearer " : "", token ? token : "",
                     token ? "\r\n" : "");

    if (n <= 0 || n >= (int)sizeof(l->request))
        load_die("the request is too long");
    l->request_n = (size_t)n;
    l->all = calloc(l->connections, sizeof(*l->all));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->all || l->epoll < 0)
        load_die("out of memory");
    l->began = l->pace.began = load_now();
}

int main(int argc, char **argv)
{
    enum {
        O_CONNECTIONS = 1,
        O_RATE,
        O_PENDING,
        O_SOURCES,
        O_TARGETS,
        O_PORT,
        O_NAME,
        O_PATH,
        O_TOKEN,
        O_STREAM,
        O_FULL,
        O_PATIENCE,
        O_HELP
    };
    static const struct option known[] = {
        {"connections", 1, NULL, O_CONNECTIONS},
        {"rate", 1, NULL, O_RATE},
        {"pending", 1, NULL, O_PENDING},
        {"sources", 1, NULL, O_SOURCES},
        {"targets", 1, NULL, O_TARGETS},
        {"port", 1, NULL, O_PORT},
        {"name", 1, NULL, O_NAME},
        {"path", 1, NULL, O_PATH},
        {"token-file", 1, NULL, O_TOKEN},
        {"stream", 0, NULL, O_STREAM},
        {"no-resume", 0, NULL, O_FULL},
        {"patience", 1, NULL, O_PATIENCE},
        {"help", 0, NULL, O_HELP},
        {NULL, 0, NULL, 0},
    };
    struct load l = {.connections = 1000, .pending_max = 256, .port = 443, .pace = {.rate = 2000}};
    const char *path = "/v1/hold", *token = NULL;
    double patience = 600;
    bool full = false;
    int c;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (c) {
        case O_CONNECTIONS:
            l.connections = (unsigned)load_number(optarg, "connections");
            break;
        case O_RATE:
            l.pace.rate = (double)load_number(optarg, "rate");
            break;
        case O_PENDING:
            l.pending_max = (unsigned)load_number(optarg, "pending");
            break;
        case O_SOURCES:
            l.sources = load_range_of(optarg);
            break;
        case O_TARGETS:
            l.targets = load_range_of(optarg);
            break;
        case O_PORT:
            l.port = (uint16_t)load_number(optarg, "port");
            break;
        case O_NAME:
            l.name = optarg;
            break;
        case O_PATH:
            path = optarg;
            break;
        case O_TOKEN:
            token = load_file(optarg);
            break;
        case O_STREAM:
            l.stream = true;
            break;
        case O_FULL:
            full = true;
            break;
        case O_PATIENCE:
            patience = (double)load_number(optarg, "patience");
            break;
        default:
            fputs(usage, c == O_HELP || c == 'h' ? stdout : stderr);
            return c == '?' ? 64 : 0;
        }
    }
    if (!l.targets.count || !l.name)
        load_die("%s", usage);
    signal(SIGPIPE, SIG_IGN);
    load_raise_files();
    l.ctx = load_client_context(NULL, !full);
    prepare(&l, path, token);
    while ((l.opened < l.connections || l.pending) && load_now() - l.began < patience)
        turn(&l, 5);
    report(&l, "up");
    obey(&l, patience);
    return 0;
}
