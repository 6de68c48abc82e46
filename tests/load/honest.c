/* Honest callers: keep-alive connections that ask, wait for the answer and ask again. See usage. */
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
    "usage: honest --target A --name HOST [options]\n"
    "\n"
    "Calls over keep-alive TLS connections for some seconds, then prints a JSON line: calls,\n"
    "failures, connects, those of them that resumed a session, calls a second, latency in\n"
    "microseconds.\n"
    "\n"
    "  --connections N   (16)\n"
    "  --close           a new connection for each call, which resumes the session of the one\n"
    "                    before if it brought a ticket: tickets are used once\n"
    "  --rate N          calls a second in all; 0: as fast as answers come (0)\n"
    "  --seconds S       (5)\n"
    "  --source A        address to connect from\n"
    "  --target A        address to connect to\n"
    "  --port P          (443)\n"
    "  --name HOST       SNI and Host\n"
    "  --path PATH       (/v1/bench)\n"
    "  --token-file F    bearer token\n";

enum { BUFFER = 16384, BATCH = 64, SAMPLES = 1 << 20, RETRY_MS = 100 };
enum state { DOWN, CONNECTING, HANDSHAKE, READY, ANSWER };

struct caller {
    int fd;
    SSL *ssl;
    SSL_SESSION *session; /* of its last connection, with --close */
    enum state state;
    double asked, retry_at;
    size_t used;
    char buffer[BUFFER];
};

struct load {
    unsigned connections;
    bool close;
    struct load_range source, target;
    uint16_t port;
    const char *name;
    double seconds, began;
    char request[20000];
    size_t request_n;
    SSL_CTX *ctx;
    int epoll;
    struct caller *all;
    struct load_pace pace;
    unsigned long calls, failures, connects, resumed;
    struct load_delays delays;
};

static void watch(struct load *l, struct caller *c, int how, uint32_t what)
{
    struct epoll_event e = {.events = what, .data.ptr = c};

    epoll_ctl(l->epoll, how, c->fd, &e);
}

static void failed(struct load *l, struct caller *c)
{
    l->failures++;
    SSL_free(c->ssl);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->ssl = NULL;
    c->state = DOWN;
    c->retry_at = load_now() + RETRY_MS * 1e-3;
}

static void close_one(struct caller *c)
{
    SSL_SESSION_free(c->session);
    c->session = SSL_get1_session(c->ssl);
    SSL_shutdown(c->ssl); /* without it the session would not be good again */
    SSL_free(c->ssl);
    close(c->fd);
    c->fd = -1;
    c->ssl = NULL;
    c->state = DOWN;
    c->retry_at = 0;
}

static void open_one(struct load *l, struct caller *c)
{
    l->connects++;
    c->fd = load_connect(load_address(&l->source, 0), load_address(&l->target, 0), l->port);
    if (c->fd < 0) {
        failed(l, c);
        return;
    }
    c->state = CONNECTING;
    watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void ask(struct load *l, struct caller *c)
{
    c->asked = load_now();
    c->used = 0;
    c->state = ANSWER;
    l->pace.done++;
    if (SSL_write(c->ssl, l->request, (int)l->request_n) != (int)l->request_n)
        failed(l, c);
}

static bool whole(struct caller *c)
{
    char *end, *length;

    c->buffer[c->used] = 0;
    end = strstr(c->buffer, "\r\n\r\n");
    if (!end)
        return false;
    length = strcasestr(c->buffer, "content-length:");
    return c->used >= (size_t)(end + 4 - c->buffer) + (length ? strtoul(length + 15, NULL, 10) : 0);
}

static void answer(struct load *l, struct caller *c)
{
    int n;

    while ((n = SSL_read(c->ssl, c->buffer + c->used, (int)(BUFFER - 1 - c->used))) > 0) {
        c->used += (size_t)n;
        if (!whole(c))
            continue;
        if (strncmp(c->buffer, "HTTP/1.1 200", 12) != 0) {
            failed(l, c);
            return;
        }
        l->calls++;
        load_note(&l->delays, load_now() - c->asked);
        c->state = READY;
        if (l->close)
            close_one(c);
        return;
    }
    if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
        failed(l, c);
}

static void on_ready(struct load *l, struct caller *c, uint32_t what)
{
    if (c->state == CONNECTING) {
        if (what & (EPOLLERR | EPOLLHUP)) {
            failed(l, c);
            return;
        }
        c->ssl = load_client(l->ctx, c->fd, l->name);
        if (l->close)
            SSL_set_session(c->ssl,
                            c->session && SSL_SESSION_is_resumable(c->session) ? c->session : NULL);
        c->state = HANDSHAKE;
        watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    }
    if (c->state == HANDSHAKE) {
        int n = SSL_do_handshake(c->ssl);

        if (n == 1) {
            c->state = READY;
            l->resumed += SSL_session_reused(c->ssl) == 1;
        } else if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
            failed(l, c);
    } else if (c->state == ANSWER) {
        answer(l, c);
    } else if (c->state == READY) {
        char waste[64];
        int n = SSL_read(c->ssl, waste, sizeof(waste)); /* tickets, or the end */

        if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
            failed(l, c);
    }
    ERR_clear_error();
}

static void turn(struct load *l)
{
    struct epoll_event e[BATCH];
    int n;

    for (unsigned i = 0; i < l->connections; i++) {
        struct caller *c = &l->all[i];

        if (c->state == DOWN && load_now() >= c->retry_at)
            open_one(l, c);
        else if (c->state == READY && load_allowed(&l->pace, 1))
            ask(l, c);
    }
    n = epoll_wait(l->epoll, e, BATCH, 1);
    for (int i = 0; i < n; i++)
        on_ready(l, e[i].data.ptr, e[i].events);
}

static void report(struct load *l)
{
    double took = load_now() - l->began;

    printf("{\"calls\":%lu,\"failures\":%lu,\"connects\":%lu,\"resumed\":%lu,\"seconds\":%.2f,"
           "\"rate\":%.1f,",
           l->calls, l->failures, l->connects, l->resumed, took, (double)l->calls / took);
    load_print_delays(&l->delays);
    puts("}");
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"connections", 1, NULL, 'c'}, {"rate", 1, NULL, 'r'},   {"seconds", 1, NULL, 's'},
        {"source", 1, NULL, 'f'},      {"target", 1, NULL, 't'}, {"port", 1, NULL, 'p'},
        {"name", 1, NULL, 'n'},        {"path", 1, NULL, 'u'},   {"token-file", 1, NULL, 'k'},
        {"close", 0, NULL, 'o'},       {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0},
    };
    struct load l = {.connections = 16, .port = 443, .seconds = 5};
    const char *path = "/v1/bench", *token = NULL;
    int c, n;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            l.connections = (unsigned)load_number(optarg, "connections");
            break;
        case 'o':
            l.close = true;
            break;
        case 'r':
            l.pace.rate = (double)load_number(optarg, "rate");
            break;
        case 's':
            l.seconds = (double)load_number(optarg, "seconds");
            break;
        case 'f':
            l.source = load_range_of(optarg);
            break;
        case 't':
            l.target = load_range_of(optarg);
            break;
        case 'p':
            l.port = (uint16_t)load_number(optarg, "port");
            break;
        case 'n':
            l.name = optarg;
            break;
        case 'u':
            path = optarg;
            break;
        case 'k':
            token = load_file(optarg);
            break;
        default:
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 64;
        }
    }
    if (!l.target.count || !l.name)
        load_die("%s", usage);
    n = snprintf(l.request, sizeof(l.request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s\r\n", path,
                 l.name, l.close ? "Connection: close\r\n" : "",
                 token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
    if (n <= 0 || n >= (int)sizeof(l.request))
        load_die("the request is too long");
    l.request_n = (size_t)n;
    signal(SIGPIPE, SIG_IGN);
    load_raise_files();
    l.ctx = load_client_context(NULL, true);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.all = calloc(l.connections, sizeof(*l.all));
    l.delays = load_delays_of(SAMPLES);
    if (!l.all || l.epoll < 0)
        load_die("out of memory");
    l.began = l.pace.began = load_now();
    while (load_now() - l.began < l.seconds)
        turn(&l);
    report(&l);
    return 0;
}
