/* usage: rules_scale [--guard] [RULES...]
 *
 * Makes a set of each size (10 100 1000 10000), loads it, and has calls looked up and decided: over
 * and over the same one, and each of all functions in turn, which finds little of a large set in
 * the caches. Times are of this process alone. --guard: two sizes, exit 1 if a bound is broken that
 * any machine keeps. */
#include "scale.h"

#include <malloc.h>
#include <time.h>

#define NOW         ((uint64_t)1790000000 * 1000000000)
#define SAME_ROUNDS 300000
#define CALLS       4096
#define LOADS       3

struct result {
    struct scale made;
    double load_ms, same_ns, spread_ns;
    size_t bytes;
};

struct call {
    struct span host, method, path;
    enum body_type type;
    struct span body;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static struct rules_set *load(const char *directory)
{
    struct rules_set *s;
    struct diags d;

    diags_init(&d);
    s = rules_load(directory, NOW, &d);
    if (!s) {
        diags_print(&d, stderr, false);
        exit(1);
    }
    diags_free(&d);
    return s;
}

/* ------------------------------------------------------------------ calls */

static void make_calls(struct arena *mem, struct call *calls, unsigned connections)
{
    static const char body[] = "{\"amount\": 2500, \"currency\": \"usd\", \"customer\": \"cus_1\", "
                               "\"metadata\": {\"order\": \"6735\"}, \"description\": \"a chair\"}";

    for (unsigned i = 0; i < CALLS; i++) {
        unsigned mixed = i * 2654435761u, kind = i % 4;
        struct call *c = &calls[i];

        c->host = span_cstr(arena_printf(mem, "c%u.example", (mixed >> 12) % connections));
        c->method = kind < 2 ? SPAN_LIT("POST") : kind == 2 ? SPAN_LIT("GET") : SPAN_LIT("DELETE");
        c->path = span_cstr(arena_printf(mem, "/v1/res0%s",
                                         kind == 0   ? ""
                                         : kind == 1 ? "/obj_1/capture"
                                                     : "/obj_1"));
        c->type = kind < 2 ? BODY_JSON : BODY_NONE;
        c->body = kind < 2 ? SPAN_LIT(body) : SPAN_NONE;
    }
}

static void decide(const struct rules_set *s, struct rules_scratch *x, const struct call *c,
                   struct rules_verdict *v)
{
    static struct rules_caller caller;
    static struct rules_params params;
    static struct http_head head;
    struct rules_call call = {.caller = &caller,
                              .params = &params,
                              .head = &head,
                              .body_type = c->type,
                              .body = c->body,
                              .body_size = c->body.n,
                              .now_ns = NOW};
    const struct rules_connection *to = rules_connection_for(s, c->host);

    if (!to) {
        fprintf(stderr, "no connection for %.*s\n", SPAN_ARG(c->host));
        exit(1);
    }
    caller.id = SPAN_LIT("repo:acme/shop@main");
    caller.method = SPAN_LIT("oidc");
    caller.groups[0] = SPAN_LIT("ci");
    caller.ngroups = 1;
    caller.claims = SPAN_LIT("{\"sub\":\"repo:acme/shop\",\"team\":\"team-1\",\"kind\":\"ci\"}");
    caller.address = net_addr_v4(0x0a000007);
    head.method = c->method;
    head.path = c->path;
    call.function = rules_function_for(s, to, c->method, c->path, &params);
    call.function = rules_function_told(x, &call);
    rules_decide(s, x, &call, v);
}

/* The least of a few runs: what else ran on the machine only adds. */
static double time_calls(const struct rules_set *s, struct rules_scratch *x,
                         const struct call *calls, unsigned ncalls)
{
    static struct rules_verdict v;
    double best = 0;

    for (unsigned run = 0; run < 5; run++) {
        uint64_t start = cpu_ns();
        double took;

        for (unsigned i = 0; i < SAME_ROUNDS / 5; i++)
            decide(s, x, &calls[i % ncalls], &v);
        took = (double)(cpu_ns() - start) / (SAME_ROUNDS / 5);
        best = run == 0 || took < best ? took : best;
    }
    return best;
}

/* ---------------------------------------------------------------- measuring */

static void measure_calls(const struct rules_set *s, struct result *r)
{
    static struct call calls[CALLS];
    struct rules_scratch *x = rules_scratch_new();
    struct arena mem = ARENA_INIT;

    if (!x || !rules_scratch_adopt(x, s))
        exit(1);
    make_calls(&mem, calls, r->made.connections);
    r->same_ns = time_calls(s, x, calls, 4);
    r->spread_ns = time_calls(s, x, calls, CALLS);
    arena_free(&mem);
    rules_scratch_free(x);
}

static struct result measure(unsigned rules)
{
    char directory[] = "/tmp/rules-scale-XXXXXX";
    struct result r = {0};
    struct rules_set *s = NULL;

    if (!mkdtemp(directory))
        exit(1);
    r.made = scale_make(directory, rules);
    for (unsigned i = 0; i < LOADS; i++) {
        size_t before;
        uint64_t start;
        double took;

        rules_free(s);
        before = in_use();
        start = cpu_ns();
        s = load(directory);
        took = (double)(cpu_ns() - start) / 1e6;
        r.load_ms = i == 0 || took < r.load_ms ? took : r.load_ms;
        r.bytes = in_use() - before;
    }
    measure_calls(s, &r);
    rules_free(s);
    scale_remove(directory);
    return r;
}

static void print(const struct result *r)
{
    printf("%8u %12u %10u %10.1f %12.0f %12.0f %10.2f\n", r->made.rules, r->made.connections,
           r->made.functions, r->load_ms, r->same_ns, r->spread_ns, (double)r->bytes / (1 << 20));
    fflush(stdout);
}

static int guard(void)
{
    struct result small = measure(10), large = measure(10000);

    print(&small);
    print(&large);
    if (large.load_ms > 10000)
        printf("expected 10000 rules to load within 10 s\n");
    if (large.same_ns > 2 * small.same_ns)
        printf("expected a call under 10000 rules to cost no more than twice one under 10\n");
    return large.load_ms > 10000 || large.same_ns > 2 * small.same_ns;
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {10, 100, 1000, 10000};
    struct result r;

    printf("%8s %12s %10s %10s %12s %12s %10s\n", "rules", "connections", "functions", "load, ms",
           "same, ns", "spread, ns", "MiB");
    if (argc > 1 && strcmp(argv[1], "--guard") == 0)
        return guard();
    for (int i = 1; i < argc; i++) {
        r = measure((unsigned)strtoul(argv[i], NULL, 10));
        print(&r);
    }
    for (unsigned i = 0; argc == 1 && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        r = measure(sizes[i]);
        print(&r);
    }
    return 0;
}
