/* The floor under tests/perf/road: the work that no proxy of one request with 1 KB each way can do
 * without, bare, on the libraries that turnpike uses. See usage. */
#include "floor.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: floor --request FILE --answer FILE --certificate PEM --key PEM [options]\n"
    "\n"
    "Prints as JSON what one proxied request costs at the least, in TSC cycles, part by part:\n"
    "  read_request, write_request, read_answer, write_answer\n"
    "             the four TLS records by SSL_read_ex and SSL_write_ex (TLS 1.3, AES-128-GCM) over "
    "a\n"
    "             BIO that is one memcpy: that between mbuf and OpenSSL\n"
    "  copies     the other one of each record, between port and mbuf\n"
    "  scan_answer  one Hyperscan streaming pass over the answer's body\n"
    "  scan_record  one Hyperscan block pass over the request's body, as for the record\n"
    "  digests    SHA-256 over both bodies\n"
    "Each is the median of batches of 256 requests, spread over --connections pairs of sessions.\n"
    "\n"
    "  --request, --answer FILE   whole HTTP messages\n"
    "  --certificate, --key PEM   of the TLS servers\n"
    "  --pattern P        of a detector beside e-mail; may be repeated\n"
    "  --secrets N        credentials that are looked for, six literals each (0)\n"
    "  --connections N    (64)\n"
    "  --batches N        (100)\n"
    "\n"
    "Exit codes: 0 done; 1 it failed; 64 wrong arguments.\n";

enum { BATCH = 256, BATCHES_MAX = 100000 };

void floor_die(const char *fmt, ...)
{
    va_list ap;

    fputs("floor: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static const char *const part_names[FLOOR_PARTS] = {"read_request", "write_request", "read_answer",
                                                    "write_answer", "copies",        "scan_answer",
                                                    "scan_record",  "digests"};

static struct floor_text file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct floor_text t = {.p = malloc(1 << 20)};
    char *end;

    if (!f || !t.p)
        floor_die("%s cannot be read", path);
    t.n = fread(t.p, 1, 1 << 20, f);
    fclose(f);
    end = memmem(t.p, t.n, "\r\n\r\n", 4);
    if (!end)
        floor_die("%s is no HTTP message", path);
    t.body = (size_t)(end + 4 - t.p);
    if (t.n > FLOOR_RECORD_MAX)
        floor_die("%s: more than one record", path);
    return t;
}

/* Ticks of the TSC in a second, from 50 ms of the kernel's clock. */
static double tsc_hz(void)
{
    struct timespec a, b;
    uint64_t from, to;

    clock_gettime(CLOCK_MONOTONIC, &a);
    from = floor_now();
    do {
        clock_gettime(CLOCK_MONOTONIC, &b);
        to = floor_now();
    } while ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 50000000L);
    return (double)(to - from) * 1e9 /
           (double)((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec);
}

/* What it costs to look at the clock, which every part contains once. */
static uint64_t clock_cost(void)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 1000; i++) {
        uint64_t from = floor_now(), took = floor_now() - from;

        least = took < least ? took : least;
    }
    return least;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(double (*sums)[BATCHES_MAX], unsigned batches)
{
    double all = 0, overhead = (double)clock_cost();

    printf("{\"tsc_hz\":%.0f,\"batches\":%u,\"parts\":{", tsc_hz(), batches);
    for (unsigned k = 0; k < FLOOR_PARTS; k++) {
        double cycles;

        qsort(sums[k], batches, sizeof(double), by_value);
        cycles = sums[k][batches / 2] / BATCH - overhead;
        all += cycles;
        printf("%s\"%s\":%.0f", k ? "," : "", part_names[k], cycles);
    }
    printf("},\"sum\":%.0f}\n", all);
}

/* One request through the pair; each part's time is added to `took`. */
static void request(struct floor *f, struct floor_pair *p, uint64_t took[FLOOR_PARTS])
{
    floor_tls(f, p, took);
    floor_copies(f, took);
    floor_scan(f, took);
    floor_digests(f, took);
}

static void run(struct floor *f, unsigned batches)
{
    static double sums[FLOOR_PARTS][BATCHES_MAX];
    uint64_t waste[FLOOR_PARTS] = {0};

    for (unsigned i = 0; i < 8 * BATCH; i++)
        request(f, &f->pair[i % f->pairs], waste);
    for (unsigned b = 0; b < batches; b++) {
        uint64_t took[FLOOR_PARTS] = {0};

        for (unsigned i = 0; i < BATCH; i++)
            request(f, &f->pair[(b * BATCH + i) % f->pairs], took);
        for (unsigned k = 0; k < FLOOR_PARTS; k++)
            sums[k][b] = (double)took[k];
    }
    report(sums, batches);
}

static const struct option known[] = {
    {"request", 1, NULL, 'r'},     {"answer", 1, NULL, 'a'},
    {"certificate", 1, NULL, 'c'}, {"key", 1, NULL, 'k'},
    {"pattern", 1, NULL, 'p'},     {"secrets", 1, NULL, 's'},
    {"connections", 1, NULL, 'n'}, {"batches", 1, NULL, 'b'},
    {"help", 0, NULL, 'h'},        {NULL, 0, NULL, 0},
};

static void take(int c, struct floor *f, unsigned *batches)
{
    switch (c) {
    case 'r':
        f->request = file(optarg);
        break;
    case 'a':
        f->answer = file(optarg);
        break;
    case 'c':
        f->certificate = optarg;
        break;
    case 'k':
        f->key = optarg;
        break;
    case 'p':
        if (f->patterns == FLOOR_PATTERNS_MAX)
            floor_die("too many patterns");
        f->pattern[f->patterns++] = optarg;
        break;
    case 's':
        f->secrets = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'n':
        f->pairs = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'b':
        *batches = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fputs("Try: floor --help\n", stderr);
        exit(64);
    }
}

int main(int argc, char **argv)
{
    static struct floor f = {.pairs = 64};
    unsigned batches = 100;
    int c;

    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1)
        take(c, &f, &batches);
    if (!f.request.n || !f.answer.n || !f.certificate || !f.key || !f.pairs || !batches ||
        batches > BATCHES_MAX) {
        fputs(usage, stderr);
        return 64;
    }
    floor_tls_start(&f);
    floor_work_start(&f);
    run(&f, batches);
    return 0;
}
