#include "road.h"

#include <errno.h>
#include <getopt.h>
#include <rte_cycles.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static const char usage[] =
    "usage: generator --inside SOCKET --outside SOCKET --request FILE --answer FILE --host NAME\n"
    "                 --ca PEM --vendor-ca PEM --vendor-key PEM [options]\n"
    "\n"
    "Callers (10.10.0.2 to 10.10.0.9) and the vendor (10.30.0.10, behind 10.20.0.254) of a "
    "turnpike\n"
    "whose ports are memif, in one thread. Connects --callers connections, lets --active of them "
    "ask\n"
    "for --warm and then --seconds seconds, and prints JSON lines: \"open\" when all are "
    "connected,\n"
    "\"start\" and \"end\" around the seconds that count. Then it closes all and ends.\n"
    "\n"
    "  --inside, --outside SOCKET   of the box's ports\n"
    "  --request, --answer FILE     whole HTTP messages with Content-Length, sent as they are\n"
    "  --host NAME        SNI, and the name that the certificate must have\n"
    "  --ca PEM           that callers trust: the organisation's\n"
    "  --vendor-ca PEM, --vendor-key PEM   from which the vendor's certificate is minted\n"
    "  --callers N        connections (64)\n"
    "  --active N         how many of them ask; the others stay open and idle (all)\n"
    "  --pending N        handshakes of callers at one time (64)\n"
    "  --per-call         a new connection for each call\n"
    "  --pin HEX          SHA-256 of the CA's SubjectPublicKeyInfo: each caller keeps sessions of "
    "its\n"
    "                     own to resume, not a few for all of them\n"
    "  --fresh            with --pin: no handshake of a caller resumes\n"
    "  --seconds S        (5)\n"
    "  --warm S           (1)\n"
    "  --core N           (0)\n"
    "  --queues N         queues of each port, 1 or 2: the box's workers (1)\n"
    "  --memory N         MiB of hugepages (320)\n"
    "  --mbufs N          a queue (65536)\n"
    "  --first FILE       with one active caller: its first answer, head and body\n"
    "\n"
    "Exit codes: 0 done, failures are counted in the report; 1 it could not start or connect; 64\n"
    "wrong arguments.\n";

enum { GIVE_UP_FAILURES = 20000, LINK_PATIENCE_S = 15, CLOSE_AT_ONCE = 128 };

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *fmt, ...)
{
    va_list ap;

    fputs("generator: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static double seconds_now(void)
{
    return (double)clock_mono_ns() * 1e-9;
}

/* ------------------------------------------------------------------- arguments */

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "generator: %s\nTry: generator --help\n", what);
    exit(64);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
    uint64_t v;

    if (!span_u64(span_cstr(text), &v) || v < least || v > most)
        refuse("a number is none, or out of range");
    return (unsigned)v;
}

static struct span file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = malloc(16 << 20);
    size_t n;

    if (!f || !text)
        die("%s: %s", path, strerror(errno));
    n = fread(text, 1, 16 << 20, f);
    fclose(f);
    return span_of(text, n);
}

static void pin(const char *text, uint8_t out[32])
{
    for (unsigned i = 0; i < 32; i++)
        if (sscanf(text + 2 * i, "%2hhx", &out[i]) != 1 || strlen(text) != 64)
            refuse("--pin wants 64 hex digits");
}

static const struct option known[] = {
    {"inside", 1, NULL, 'i'},    {"outside", 1, NULL, 'o'},    {"request", 1, NULL, 'r'},
    {"answer", 1, NULL, 'a'},    {"host", 1, NULL, 'n'},       {"ca", 1, NULL, 't'},
    {"vendor-ca", 1, NULL, 'v'}, {"vendor-key", 1, NULL, 'k'}, {"callers", 1, NULL, 'c'},
    {"active", 1, NULL, 'A'},    {"pending", 1, NULL, 'p'},    {"per-call", 0, NULL, 'P'},
    {"pin", 1, NULL, 'N'},       {"fresh", 0, NULL, 'f'},      {"seconds", 1, NULL, 's'},
    {"warm", 1, NULL, 'w'},      {"core", 1, NULL, 'C'},       {"queues", 1, NULL, 'q'},
    {"memory", 1, NULL, 'm'},    {"mbufs", 1, NULL, 'b'},      {"first", 1, NULL, 'F'},
    {"help", 0, NULL, 'h'},      {NULL, 0, NULL, 0},
};

static void take_text(int c, const char *text, struct road_options *o)
{
    switch (c) {
    case 'i':
        o->inside = text;
        break;
    case 'o':
        o->outside = text;
        break;
    case 'r':
        o->request = file(text);
        break;
    case 'a':
        o->answer = file(text);
        break;
    case 'n':
        o->host = span_cstr(text);
        break;
    case 't':
        o->ca = text;
        break;
    case 'v':
        o->vendor_ca = text;
        break;
    case 'k':
        o->vendor_key = text;
        break;
    case 'F':
        o->first = text;
        break;
    default:
        o->has_pin = true;
        pin(text, o->pin);
    }
}

static void take_number(int c, const char *text, struct road_options *o)
{
    switch (c) {
    case 'c':
        o->callers = number(text, 1, 1000000);
        break;
    case 'A':
        o->active = number(text, 1, 1000000);
        break;
    case 'p':
        o->pending = number(text, 1, 4096);
        break;
    case 's':
        o->seconds = strtod(text, NULL);
        break;
    case 'w':
        o->warm = strtod(text, NULL);
        break;
    case 'C':
        o->core = number(text, 0, 1023);
        break;
    case 'q':
        o->queues = number(text, 1, ROAD_QUEUES_MAX);
        break;
    case 'm':
        o->memory_mib = number(text, 64, 65536);
        break;
    default:
        o->mbufs = number(text, 4096, 1 << 22);
    }
}

static void parse(int argc, char **argv, struct road_options *o)
{
    int c;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else if (c == 'P') {
            o->per_call = true;
        } else if (c == 'f') {
            o->fresh = true;
        } else if (c == '?') {
            refuse("wrong arguments");
        } else if (strchr("iorantvkFN", c)) {
            take_text(c, optarg, o);
        } else {
            take_number(c, optarg, o);
        }
    }
    if (!o->inside || !o->outside || !o->request.n || !o->answer.n || !o->host.n || !o->ca ||
        !o->vendor_ca || !o->vendor_key)
        refuse("an argument is missing");
    if (o->fresh && !o->has_pin)
        refuse("--fresh needs --pin");
    if (!o->active || o->active > o->callers)
        o->active = o->callers;
}

/* ---------------------------------------------------------------------- phases */

static void turn_for(struct road *r, double s)
{
    double until = seconds_now() + s;

    while (seconds_now() < until) {
        for (int i = 0; i < 64; i++)
            road_turn(r);
        if (r->n.failures > GIVE_UP_FAILURES)
            die("%lu failures, the latest: %s", r->n.failures, r->why);
    }
}

static void link_up(struct road *r)
{
    double until = seconds_now() + LINK_PATIENCE_S;

    while (!road_linked()) {
        if (seconds_now() > until)
            die("the box's memif ports %s and %s do not answer", r->o->inside, r->o->outside);
        r->closing = true; /* nobody connects before there is a wire */
        turn_for(r, 0.01);
    }
    for (unsigned i = 0; i < r->o->queues; i++)
        net_announce(r->net[i]);
    turn_for(r, 0.2);
    r->closing = false;
}

static void open_all(struct road *r)
{
    double began = seconds_now(), seen = began;
    unsigned open = 0;

    while (r->open < r->o->callers) {
        turn_for(r, 0.02);
        if (r->open > open) {
            open = r->open;
            seen = seconds_now();
        } else if (seconds_now() - seen > 10) {
            die("only %u of %u callers could connect; the latest failure: %s", r->open,
                r->o->callers, r->why[0] ? r->why : "none");
        }
    }
    printf("{\"what\":\"open\",\"connections\":%u,\"seconds\":%.2f,\"failures\":%lu}\n", r->open,
           seconds_now() - began, r->n.failures);
    fflush(stdout);
}

static uint32_t part(const struct road_counts *n, double share)
{
    uint64_t want = (uint64_t)((double)n->calls * share), seen = 0;

    for (uint32_t us = 0; us < ROAD_BUCKETS; us++)
        if ((seen += n->latency_us[us]) > want)
            return us;
    return ROAD_BUCKETS;
}

static void report(const struct road *r, double took)
{
    const struct road_counts *n = &r->n;
    double all = took * (double)rte_get_tsc_hz();

    printf("{\"what\":\"end\",\"calls\":%lu,\"failures\":%lu,\"handshakes\":%lu,\"resumed\":%lu,"
           "\"seconds\":%.4f,\"rate\":%.1f,\"bytes_up\":%lu,\"bytes_down\":%lu,\"p50_us\":%u,"
           "\"p99_us\":%u,\"busy\":%.4f,\"idle\":%.4f,\"others\":%.4f,\"loops_busy\":%lu,"
           "\"why\":\"%s\"}\n",
           n->calls, n->failures, n->handshakes, n->resumed, took, (double)n->calls / took,
           n->bytes_up, n->bytes_down, part(n, 0.5), part(n, 0.99), (double)n->cycles_busy / all,
           (double)n->cycles_idle / all, (double)n->cycles_others / all, n->loops_busy, r->why);
    fflush(stdout);
}

static void measure(struct road *r)
{
    double began;

    callers_begin_asking(r);
    turn_for(r, r->o->warm);
    printf("{\"what\":\"start\",\"tsc_hz\":%lu,\"failures\":%lu,\"why\":\"%s\"}\n",
           rte_get_tsc_hz(), r->n.failures, r->why);
    fflush(stdout);
    memset(&r->n, 0, sizeof(r->n));
    began = seconds_now();
    turn_for(r, r->o->seconds);
    report(r, seconds_now() - began);
}

/* Calls end, then connections, a few a loop so that no ring overflows: the box must not be left
 * with connections whose caller is gone. */
static void close_all(struct road *r)
{
    double until = seconds_now() + 2;

    r->closing = true;
    r->asks = false;
    while (r->asking && seconds_now() < until)
        turn_for(r, 0.001);
    for (unsigned i = 0; i < r->o->callers; i++) {
        if (r->callers[i].tcp)
            conn_end(r, &r->callers[i], "the end");
        if (i % CLOSE_AT_ONCE == 0)
            road_turn(r);
    }
    for (unsigned i = 0; i < r->nvendors; i++)
        if (r->vendors[i].tcp)
            conn_end(r, &r->vendors[i], "the end");
    turn_for(r, 0.1);
}

int main(int argc, char **argv)
{
    static struct road_options o = {.callers = 64,
                                    .pending = 64,
                                    .seconds = 5,
                                    .warm = 1,
                                    .queues = 1,
                                    .memory_mib = 320,
                                    .mbufs = 65536};
    static struct road r;

    parse(argc, argv, &o);
    r.o = &o;
    log_setup(LOG_WARN, false);
    if (!road_start(&r))
        return 1;
    link_up(&r);
    open_all(&r);
    measure(&r);
    close_all(&r);
    road_stop(&r);
    return 0;
}
