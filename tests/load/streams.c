/* A vendor for many connections at once. See usage. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] =
    "usage: streams --listen A[-B] --certificate PEM --key PEM [--port P] [--rate N]\n"
    "\n"
    "A TLS server that keeps next to nothing a connection. GET of a path that holds \"/stream\"\n"
    "is answered with an event stream: head and one event, then silence; everything else with a\n"
    "small JSON object, keep-alive. Each SIGUSR1 sends one more event to every open stream;\n"
    "SIGUSR2 prints a JSON line: connections, streams, rss_kib.\n"
    "\n"
    "  --rate N   events a second in all, to the open streams in turn, without being asked (0).\n"
    "             Each event says when it was written: \"at\", microseconds of the machine's\n"
    "             monotonic clock, for `events` to tell how long it was on its way.\n";

enum { BUFFER = 8192, BATCH = 512, EVENTS_A_TURN = 200 };

struct client {
    int fd;
    bool listener, up, stream;
    SSL *ssl;
    char *buffer;
    size_t used;
    struct client *next, **link; /* of the streams */
};

static volatile sig_atomic_t events_asked, report_asked;
static struct client *streams, *due; /* `due`: the next to get the event that goes round */
static unsigned long connections, open_streams;
static unsigned rounds, number;
static struct load_pace pace; /* of the events that nobody asks for */

static void on_signal(int n)
{
    if (n == SIGUSR1)
        events_asked = events_asked + 1;
    else
        report_asked = 1;
}

static void gone(struct client *c)
{
    if (c->stream) {
        if (due == c)
            due = c->next;
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        open_streams--;
    }
    connections--;
    SSL_free(c->ssl);
    close(c->fd);
    free(c->buffer);
    free(c);
}

static bool put(struct client *c, const char *text)
{
    return SSL_write(c->ssl, text, (int)strlen(text)) == (int)strlen(text);
}

static bool put_event(struct client *c)
{
    char text[192], event[128];
    int n = snprintf(event, sizeof(event), "data: {\"n\":%u,\"at\":%.0f}\n\n", number,
                     load_now() * 1e6);

    snprintf(text, sizeof(text), "%x\r\n%s\r\n", (unsigned)n, event);
    return put(c, text);
}

static bool serve(struct client *c, const char *path)
{
    static const char stream[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                 "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

    if (!strstr(path, "/stream"))
        return put(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: 11\r\n\r\n{\"ok\":true}");
    c->stream = true;
    c->next = streams;
    c->link = &streams;
    if (streams)
        streams->link = &c->next;
    streams = c;
    open_streams++;
    return put(c, stream) && put_event(c);
}

/* One request at a time, without a body: what turnpike sends of the holders' calls. */
static bool requests(struct client *c)
{
    char *end, *space;

    c->buffer[c->used] = 0;
    while ((end = strstr(c->buffer, "\r\n\r\n"))) {
        char path[256] = "";
        size_t n = (size_t)(end + 4 - c->buffer);

        space = strchr(c->buffer, ' ');
        if (space)
            snprintf(path, sizeof(path), "%.*s", (int)strcspn(space + 1, " \r"), space + 1);
        memmove(c->buffer, c->buffer + n, c->used - n + 1);
        c->used -= n;
        if (!serve(c, path))
            return false;
    }
    return c->used < BUFFER - 1;
}

static bool readable(struct client *c)
{
    int n;

    if (!c->buffer && !(c->buffer = malloc(BUFFER)))
        return false;
    while ((n = SSL_read(c->ssl, c->buffer + c->used, (int)(BUFFER - 1 - c->used))) > 0) {
        c->used += (size_t)n;
        if (!requests(c))
            return false;
    }
    if (c->used == 0) {
        free(c->buffer);
        c->buffer = NULL;
    }
    return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
}

static void on_ready(struct client *c)
{
    bool ok = true;

    if (!c->up) {
        int n = SSL_do_handshake(c->ssl);

        c->up = n == 1;
        ok = c->up || SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
    }
    if (ok && c->up)
        ok = readable(c);
    ERR_clear_error();
    if (!ok)
        gone(c);
}

static void accept_some(int epoll, const struct client *l, SSL_CTX *ctx)
{
    for (int i = 0; i < 64; i++) {
        struct epoll_event e = {.events = EPOLLIN};
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct client *c;

        if (fd < 0)
            return;
        c = calloc(1, sizeof(*c));
        c->fd = fd;
        c->ssl = SSL_new(ctx);
        if (!c->ssl || !SSL_set_fd(c->ssl, fd))
            load_die("no TLS session");
        SSL_set_accept_state(c->ssl);
        connections++;
        e.data.ptr = c;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static void send_events(void)
{
    if (!due && rounds < (unsigned)events_asked) {
        rounds++;
        number++;
        due = streams;
    }
    for (int i = 0; i < EVENTS_A_TURN && due; i++) {
        struct client *c = due;

        due = c->next;
        if (!put_event(c))
            gone(c);
    }
    ERR_clear_error();
}

static void send_paced_events(void)
{
    unsigned n = load_allowed(&pace, EVENTS_A_TURN);

    pace.done += n; /* also those that nobody is there for */
    for (; n && streams; n--) {
        struct client *c = due ? due : streams;

        due = c->next;
        if (!put_event(c))
            gone(c);
    }
    ERR_clear_error();
}

static int listen_on(struct in_addr a, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = a};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
        load_die("%s:%u: %s", inet_ntoa(a), port, strerror(errno));
    return fd;
}

static SSL_CTX *context(const char *certificate, const char *key)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        load_die("%s and %s make no TLS context", certificate, key);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"streams", 7);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    return ctx;
}

static int patience(void)
{
    if (pace.rate > 0)
        return 1;
    return due || rounds < (unsigned)events_asked ? 0 : 100;
}

static _Noreturn void serve_all(int epoll, SSL_CTX *ctx)
{
    for (;;) {
        struct epoll_event e[BATCH];
        int n = epoll_wait(epoll, e, BATCH, patience());

        for (int i = 0; i < n; i++) {
            struct client *c = e[i].data.ptr;

            if (c->listener)
                accept_some(epoll, c, ctx);
            else
                on_ready(c);
        }
        if (pace.rate > 0)
            send_paced_events();
        else
            send_events();
        if (report_asked) {
            report_asked = 0;
            printf("{\"connections\":%lu,\"streams\":%lu,\"rss_kib\":%ld}\n", connections,
                   open_streams, load_rss_kib());
            fflush(stdout);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"listen", 1, NULL, 'l'}, {"certificate", 1, NULL, 'c'},
                                          {"key", 1, NULL, 'k'},    {"port", 1, NULL, 'p'},
                                          {"rate", 1, NULL, 'r'},   {"help", 0, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *certificate = NULL, *key = NULL;
    struct load_range at = {0, 0};
    uint16_t port = 443;
    int c, epoll;
    SSL_CTX *ctx;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (c) {
        case 'l':
            at = load_range_of(optarg);
            break;
        case 'c':
            certificate = optarg;
            break;
        case 'k':
            key = optarg;
            break;
        case 'p':
            port = (uint16_t)load_number(optarg, "port");
            break;
        case 'r':
            pace = (struct load_pace){.rate = (double)load_number(optarg, "rate"),
                                      .began = load_now()};
            break;
        default:
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 64;
        }
    }
    if (!at.count || !certificate || !key)
        load_die("%s", usage);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    load_raise_files();
    ctx = context(certificate, key);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < at.count; i++) {
        struct client *l = calloc(1, sizeof(*l));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};

        l->listener = true;
        l->fd = listen_on(load_address(&at, i), port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &e);
    }
    serve_all(epoll, ctx);
}
