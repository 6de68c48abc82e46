/* usage: rules_decide [ROUNDS]
 *
 * What a decision costs: a function with 20 candidates whose conditions look at 10 fields of a JSON
 * body of some 500 bytes, all of them to their end, and then what reading alone costs, with one
 * candidate that looks at the same fields. Nanoseconds of this process and cycles of the clock's
 * counter, the best of some passes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "rules/rules.h"

#define NOW        ((uint64_t)1790000000 * 1000000000)
#define CANDIDATES 20
#define PASSES     7

static const char body[] =
    "{\"id\": \"tr_1PqX2b3c4d5e6f7g8h9i\", \"object\": \"transfer\", \"amount\": 48250, \"fee\": "
    "125, "
    "\"currency\": \"usd\", \"country\": \"DE\", \"description\": \"Invoice 2026-0917 for "
    "services\", "
    "\"livemode\": true, \"account\": {\"number\": \"DE89370400440532013000\", \"holder\": "
    "\"Example "
    "GmbH\", \"verified\": true}, \"metadata\": {\"order\": \"o-77120\", \"team\": \"payments\", "
    "\"ticket\": \"OPS-4411\"}, \"items\": [{\"sku\": \"A-100\", \"price\": 48000, \"count\": 1}, "
    "{\"sku\": \"S-2\", \"price\": 250, \"count\": 1}], \"statement\": \"EXAMPLE 0917\"}";

static void write_rules(FILE *f, unsigned candidates)
{
    fprintf(f, "connections:\n  bank:\n    hosts: [api.bank.example]\n"
               "    functions: {pay: POST /v1/pay}\nrules:\n");
    for (unsigned i = 0; i < candidates; i++)
        fprintf(f,
                "  - id: %u\n    name: a\n    on: bank.pay\n    then: hold\n"
                "    when: >-\n      body.amount > %u && body.fee < 1000 && body.currency == 'usd'"
                " && body.country in ['DE', 'FR', 'NL'] && body.livemode &&"
                " body.account.holder != 'x' && body.account.verified &&"
                " body.metadata.team.startsWith('pay') && has(body.metadata.order) &&"
                " body.items[0].price > %u\n",
                i + 1, i, 90000 + i);
}

static struct rules_set *load(unsigned candidates)
{
    char directory[] = "/tmp/rules-decide-XXXXXX", path[64];
    struct rules_set *s = NULL;
    struct diags d;
    FILE *f;

    if (!mkdtemp(directory))
        return NULL;
    snprintf(path, sizeof(path), "%s/a.yaml", directory);
    f = fopen(path, "w");
    if (f) {
        write_rules(f, candidates);
        fclose(f);
        diags_init(&d);
        s = rules_load(directory, NOW, &d);
        if (!s)
            diags_print(&d, stdout, false);
        diags_free(&d);
    }
    unlink(path);
    rmdir(directory);
    return s;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void make_call(const struct rules_set *s, struct rules_call *c)
{
    static struct rules_caller caller = {.id = {"alice", 5}, .method = {"oidc", 4}};
    static struct http_head head = {.method = {"POST", 4}, .path = {"/v1/pay", 7}};
    static struct rules_params params;

    *c = (struct rules_call){.caller = &caller,
                             .params = &params,
                             .head = &head,
                             .body_type = BODY_JSON,
                             .body = span_cstr(body),
                             .body_size = sizeof(body) - 1,
                             .now_ns = NOW};
    c->function = rules_function_for(s, rules_connection_at(s, 0), head.method, head.path, &params);
}

/* False: the set cannot be used, or the conditions were not run to their end. */
static bool measure(unsigned candidates, unsigned rounds, double *ns, double *cycles)
{
    struct rules_set *s = load(candidates);
    struct rules_scratch *x = s ? rules_scratch_new() : NULL;
    static struct rules_verdict v;
    struct rules_call call;
    bool good = x && rules_scratch_adopt(x, s);

    *ns = *cycles = 1e9;
    if (good)
        make_call(s, &call);
    for (unsigned pass = 0; good && pass < PASSES; pass++) {
        uint64_t began = cpu_ns(), clock = __rdtsc();

        for (unsigned i = 0; i < rounds; i++)
            rules_decide(s, x, &call, &v);
        clock = __rdtsc() - clock;
        began = cpu_ns() - began;
        *ns = (double)began / rounds < *ns ? (double)began / rounds : *ns;
        *cycles = (double)clock / rounds < *cycles ? (double)clock / rounds : *cycles;
        good = v.nmatched == 0 && v.decision == RULES_BLOCK;
    }
    rules_scratch_free(x);
    rules_free(s);
    return good;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    double ns, cycles, one_ns, one_cycles;

    if (rounds == 0 || !measure(CANDIDATES, rounds, &ns, &cycles) ||
        !measure(1, rounds, &one_ns, &one_cycles)) {
        printf("the decision is not what it should be\n");
        return 1;
    }
    printf("%u candidates of 10 fields, body of %zu bytes: %.0f ns, %.0f cycles a decision\n",
           CANDIDATES, sizeof(body) - 1, ns, cycles);
    printf("1 candidate: %.0f ns, %.0f cycles; each more: %.1f ns\n", one_ns, one_cycles,
           (ns - one_ns) / (CANDIDATES - 1));
    return 0;
}
