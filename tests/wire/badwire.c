#include "badwire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER = 16 << 20, /* of each socket: over a second of 100 Mbit/s while the machine is busy */
    LATE_NS = 2 * NS_PER_MS,
    CONTROL = 64,
};

/* One interface: what it reads goes to `onward`, what comes out of the other's goes out here. */
struct side {
    int fd;
    struct direction onward;
    struct frame *batch[WIRE_BATCH]; /* frames to read into, from the pool */
    struct mmsghdr messages[WIRE_BATCH];
    struct iovec pieces[WIRE_BATCH];
    char control[WIRE_BATCH][CONTROL] __attribute__((aligned(8)));
};

struct wire {
    struct wire_options options;
    struct pool pool;
    struct side side[2];
    int signals;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static int configure(int fd)
{
    int bad = set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (!bad)
        bad = set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (!bad && set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER))
        bad = set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER);
    if (!bad && set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER))
        bad = set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER);
    return bad;
}

static int attach(int fd, unsigned interface)
{
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)interface};
    struct packet_mreq all = {.mr_ifindex = (int)interface, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
        return -errno;
    return bind(fd, (struct sockaddr *)&at, sizeof(at)) ? -errno : 0;
}

static int side_open(struct side *s, const char *name)
{
    unsigned interface = if_nametoindex(name);
    if (!interface) {
        fprintf(stderr, "badwire: %s: %s\n", name, strerror(errno));
        return EX_NOINPUT;
    }
    /* Protocol 0: nothing is received before the socket is bound to its interface. */
    s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int bad = s->fd < 0 ? -errno : configure(s->fd);
    if (!bad)
        bad = attach(s->fd, interface);
    if (bad) {
        fprintf(stderr, "badwire: %s: packet socket: %s\n", name, strerror(-bad));
        return EX_OSERR;
    }
    return 0;
}

static int signals_open(struct wire *w)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    w->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return w->signals < 0 ? -errno : 0;
}

static int wire_open(struct wire *w)
{
    int bad = pool_open(&w->pool);
    for (uint32_t i = 0; i < 2 && !bad; i++) {
        struct direction *d = &w->side[i].onward;
        d->faults = w->options.faults[i];
        d->options = &w->options;
        d->pool = &w->pool;
        d->back = &w->side[1 - i].onward;
        d->side = i;
        bad = queue_open(&d->queue);
    }
    if (!bad)
        bad = signals_open(w);
    if (bad) {
        fprintf(stderr, "badwire: %s\n", strerror(-bad));
        return EX_OSERR;
    }
    /* Else the kernel adds 50 us to each wait. */
    prctl(PR_SET_TIMERSLACK, 1000ul);
    int code = side_open(&w->side[0], w->options.name[0]);
    return code ? code : side_open(&w->side[1], w->options.name[1]);
}

static void wire_close(struct wire *w)
{
    for (int i = 0; i < 2; i++) {
        queue_close(&w->side[i].onward.queue);
        if (w->side[i].fd >= 0)
            close(w->side[i].fd);
    }
    if (w->signals >= 0)
        close(w->signals);
    pool_close(&w->pool);
}

/* The kernel's own stamp: how long this process had to wait for a CPU is not part of the delay. */
static int64_t arrival(struct msghdr *m, int64_t now, int64_t wall)
{
    struct timespec t;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&t, CMSG_DATA(c), sizeof(t));
        int64_t age = wall - ((int64_t)t.tv_sec * 1000000000ll + t.tv_nsec);
        return age > 0 && age < 1000 * NS_PER_MS ? now - age : now;
    }
    return now;
}

/* Puts a frame of the pool under each message; fewer when the pool runs out. */
static unsigned prepare(struct side *s, struct pool *pool)
{
    unsigned n = 0;
    for (; n < WIRE_BATCH; n++) {
        if (!s->batch[n])
            s->batch[n] = pool_take(pool);
        if (!s->batch[n])
            break;
        s->pieces[n] = (struct iovec){s->batch[n]->data, WIRE_FRAME_MAX};
        s->messages[n].msg_hdr = (struct msghdr){.msg_iov = &s->pieces[n],
                                                 .msg_iovlen = 1,
                                                 .msg_control = s->control[n],
                                                 .msg_controllen = CONTROL};
    }
    return n;
}

/* An interface that is down for a while is a cut wire, no reason to end. */
static bool passing(int error)
{
    return error == EAGAIN || error == EINTR || error == ENETDOWN || error == ENOBUFS ||
           error == ENXIO;
}

/* Returns how many frames were read, or -errno. */
static int side_read(struct side *s, struct pool *pool)
{
    unsigned room = prepare(s, pool);
    int got = room ? recvmmsg(s->fd, s->messages, room, MSG_TRUNC, NULL) : 0;
    if (got < 0)
        return passing(errno) ? 0 : -errno;
    int64_t now = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME);
    for (int i = 0; i < got; i++) {
        struct frame *f = s->batch[i];
        if (s->messages[i].msg_len > WIRE_FRAME_MAX) {
            s->onward.counters.oversize++;
            continue;
        }
        s->batch[i] = NULL;
        f->len = s->messages[i].msg_len;
        direction_take(&s->onward, f, arrival(&s->messages[i].msg_hdr, now, wall));
    }
    return got;
}

static void count_sent(struct wire_counters *c, const struct frame *f, int64_t now)
{
    int64_t late = now - f->due;
    c->carried++;
    c->bytes += f->len;
    if (late > LATE_NS)
        c->late++;
    if (late > 0 && (uint64_t)late / 1000 > c->late_max_us)
        c->late_max_us = (uint64_t)late / 1000;
}

/* Sends `count` frames; what the interface does not take at once is lost and counted. */
static int send_batch(int fd, struct frame **frames, uint32_t count, struct wire_counters *c,
                      int64_t now)
{
    struct mmsghdr messages[WIRE_BATCH];
    struct iovec pieces[WIRE_BATCH];
    memset(messages, 0, sizeof(messages[0]) * count);
    for (uint32_t i = 0; i < count; i++) {
        pieces[i] = (struct iovec){frames[i]->data, frames[i]->len};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (uint32_t at = 0; at < count;) {
        int sent = sendmmsg(fd, messages + at, count - at, 0);
        if (sent <= 0 && !passing(errno))
            return -errno;
        if (sent <= 0) {
            c->unsent++;
            at++;
            continue;
        }
        for (int i = 0; i < sent; i++)
            count_sent(c, frames[at++], now);
    }
    return 0;
}

static int side_write(struct wire *w, struct direction *d, int fd)
{
    struct frame *out[WIRE_BATCH];
    uint32_t count;
    do {
        int64_t now = clock_ns(CLOCK_MONOTONIC);
        count = direction_due(d, now, out, WIRE_BATCH);
        int bad = count ? send_batch(fd, out, count, &d->counters, now) : 0;
        for (uint32_t i = 0; i < count; i++)
            pool_give(&w->pool, out[i]);
        if (bad)
            return bad;
    } while (count == WIRE_BATCH);
    return 0;
}

static void count_missed(struct side *s)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof(stats);
    if (!getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
        s->onward.counters.missed += stats.tp_drops; /* reading sets it to zero */
}

static void print_direction(const char *name, const struct wire_counters *c)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"carried", c->carried},
        {"bytes", c->bytes},
        {"exempt", c->exempt},
        {"lost", c->lost},
        {"damaged", c->damaged},
        {"duplicated", c->duplicated},
        {"reordered", c->reordered},
        {"too_big", c->too_big},
        {"icmp", c->icmp},
        {"queue_drops", c->queue_drops},
        {"oversize", c->oversize},
        {"missed", c->missed},
        {"unsent", c->unsent},
        {"late", c->late},
        {"late_max_us", c->late_max_us},
    };
    printf("\"%s\":{", name);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        printf("%s\"%s\":%llu", i ? "," : "", all[i].name, (unsigned long long)all[i].value);
    printf("}");
}

static void print_counters(struct wire *w)
{
    printf("{");
    for (int i = 0; i < 2; i++) {
        count_missed(&w->side[i]);
        print_direction(i ? "b_to_a" : "a_to_b", &w->side[i].onward.counters);
        printf(i ? "}\n" : ",");
    }
    fflush(stdout);
}

/* True when it is time to end. */
static bool take_signals(struct wire *w)
{
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGUSR1)
            return true;
        print_counters(w);
    }
    return false;
}

static int work(struct wire *w, bool *busy)
{
    *busy = false;
    for (int i = 0; i < 2; i++) {
        int got = side_read(&w->side[i], &w->pool);
        if (got < 0)
            return got;
        *busy = *busy || got == WIRE_BATCH;
    }
    for (int i = 0; i < 2; i++) {
        int bad = side_write(w, &w->side[i].onward, w->side[1 - i].fd);
        if (bad)
            return bad;
    }
    return 0;
}

static int64_t next_due(const struct wire *w)
{
    int64_t a = direction_next(&w->side[0].onward), b = direction_next(&w->side[1].onward);
    return a < b ? a : b;
}

static struct timespec span(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    return (struct timespec){ns / 1000000000ll, ns % 1000000000ll};
}

/* Until a frame comes or is due, but not before the tick is over: under load that makes batches. */
static void wait_for_work(struct wire *w, int64_t woke)
{
    struct pollfd polled[3] = {{.fd = w->signals, .events = POLLIN}};
    int64_t tick = (int64_t)(w->options.tick_us * 1000);
    struct timespec rest = span(woke + tick - clock_ns(CLOCK_MONOTONIC));
    if (rest.tv_sec || rest.tv_nsec)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    /* With the pool spent nothing could be read: only sending helps. */
    for (int i = 0; i < 2; i++)
        polled[1 + i] = (struct pollfd){
            .fd = w->pool.free || w->side[i].batch[0] ? w->side[i].fd : -1, .events = POLLIN};
    int64_t due = next_due(w);
    struct timespec wait = span(due - clock_ns(CLOCK_MONOTONIC));
    ppoll(polled, 3, due == INT64_MAX ? NULL : &wait, NULL);
}

static int wire_run(struct wire *w)
{
    printf("{\"ready\":true}\n");
    fflush(stdout);
    while (!take_signals(w)) {
        int64_t woke = clock_ns(CLOCK_MONOTONIC);
        bool busy;
        int bad = work(w, &busy);
        if (bad) {
            fprintf(stderr, "badwire: %s\n", strerror(-bad));
            print_counters(w);
            return EX_IOERR;
        }
        if (!busy)
            wait_for_work(w, woke);
    }
    print_counters(w);
    return 0;
}

int main(int argc, char **argv)
{
    static struct wire w = {.side = {{.fd = -1}, {.fd = -1}}, .signals = -1};
    bool done;
    int code = options_parse(argc, argv, &w.options, &done);
    if (code || done)
        return code;
    code = wire_open(&w);
    if (!code)
        code = wire_run(&w);
    wire_close(&w);
    return code;
}
