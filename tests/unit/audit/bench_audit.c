/* Prints what an event costs the thread it happens on, and what the writer can carry. Nothing is
 * asserted: the numbers belong to the machine. */
#include "audit_test.h"

#ifdef __x86_64__
#include <x86intrin.h>
#define CYCLES() __rdtsc()
#else
#define CYCLES() 0
#endif

#define EVENTS 20000u

/* Some 700 bytes of fields, as a typical call.decided has. */
static uint64_t put_typical(struct audit_ring *r, uint64_t n)
{
    static const char body[300] = {'x'}, text[24] = {'t'};
    static const uint8_t sum[32] = {1};
    struct audit_event e;

    if (!audit_begin(&e, r, AUDIT_CALL_DECIDED, 2048, n))
        return 0;
    for (unsigned f = AUDIT_F_CONNECTION; f <= AUDIT_F_CONTENT_TYPE; f++)
        audit_text(&e, f, span_of(text, sizeof(text)));
    audit_text(&e, AUDIT_F_CALL, span_of(text, 20));
    audit_text(&e, AUDIT_F_CALLER, span_of(text, 20));
    audit_text(&e, AUDIT_F_BODY, span_of(body, sizeof(body)));
    audit_bytes(&e, AUDIT_F_BODY_SHA256, sum, sizeof(sum));
    audit_bytes(&e, AUDIT_F_RULES_HASH, sum, sizeof(sum));
    audit_number(&e, AUDIT_F_BODY_SIZE, 300);
    audit_number(&e, AUDIT_F_GENERATION, 1);
    audit_number(&e, AUDIT_F_RULE, 7);
    audit_text(&e, AUDIT_F_DECISION, SPAN_LIT("allow"));
    audit_text(&e, AUDIT_F_CLIENT_ADDRESS, SPAN_LIT("10.10.0.7"));
    audit_number(&e, AUDIT_F_CLIENT_PORT, 40000);
    audit_number(&e, AUDIT_F_DECIDE_US, 40);
    return audit_end(&e);
}

static void encode(void)
{
    struct audit_ring *r = aligned_alloc(CACHE_LINE, sizeof(*r));
    uint64_t cycles = 0, ns = 0, bytes;

    memset(r, 0, sizeof(*r));
    if (!ring_init(r, MIB))
        return;
    for (unsigned round = 0; round < 2; round++) { /* the second, with warm pages, counts */
        uint64_t t = clock_mono_ns(), c = CYCLES(), head = atomic_load(&r->head);

        for (unsigned i = 0; i < EVENTS; i++) {
            put_typical(r, i);
            if (i % 500 == 0) /* as a writer would that keeps up */
                atomic_store(&r->tail, atomic_load(&r->head));
        }
        cycles = CYCLES() - c;
        ns = clock_mono_ns() - t;
        bytes = atomic_load(&r->head) - head;
        atomic_store(&r->tail, atomic_load(&r->head));
    }
    printf("encode: %llu bytes an event in the ring, %llu cycles, %llu ns, %.1f M events/s\n",
           (unsigned long long)bytes / EVENTS, (unsigned long long)cycles / EVENTS,
           (unsigned long long)ns / EVENTS, EVENTS * 1e3 / (double)ns);
    ring_free(r);
    free(r);
}

/* As fast as the writer goes: few, large commits. */
static void carry(const char *dir)
{
    struct audit_config c = config_of(dir);
    struct audit *a;
    uint64_t begun, ticket = 0, ns;
    const struct audit_counters *counters;

    c.ring_bytes = 64 * MIB;
    a = start_with(&c);
    if (!a)
        return;
    counters = audit_counters(a);
    begun = clock_mono_ns();
    for (unsigned i = 0; i < EVENTS * 5; i++)
        while (
            !(ticket = audit_ready(audit_ring_of(a, 0)) ? put_typical(audit_ring_of(a, 0), i) : 0))
            nap_ms(1);
    wait_durable(audit_ring_of(a, 0), ticket, 60000);
    ns = clock_mono_ns() - begun;
    printf("carry:  %.0f events/s to disk, %llu commits, %llu us a commit, %.0f MiB/s\n",
           EVENTS * 5 * 1e9 / (double)ns, (unsigned long long)counter_get(&counters->commits),
           (unsigned long long)counter_get(&counters->fsync_ns) / 1000 /
               counter_get(&counters->commits),
           (double)counter_get(&counters->bytes) / 1048576 * 1e9 / (double)ns);
    audit_stop(a, NS_IN_S);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* One event at a time: what strict durability adds to a lone call. */
static void latency(const char *dir, unsigned pause_us, const char *what)
{
    static uint64_t took[1000];
    struct audit *a = start_on(dir);
    struct audit_ring *r = audit_ring_of(a, 0);
    size_t n = pause_us > 10000 ? 50 : 1000;

    for (size_t i = 0; i < n; i++) {
        uint64_t begun, ticket;

        usleep(pause_us);
        begun = clock_mono_ns();
        ticket = put_typical(r, i);
        audit_want(r, ticket);
        audit_nudge(r);
        while (audit_durable(r) < ticket)
            ;
        took[i] = clock_mono_ns() - begun;
    }
    qsort(took, n, sizeof(took[0]), by_value);
    printf("durable: %s: p50 %llu us, p99 %llu us\n", what, (unsigned long long)took[n / 2] / 1000,
           (unsigned long long)took[n * 99 / 100] / 1000);
    audit_stop(a, NS_IN_S);
}

int main(void)
{
    struct audit_report report;
    struct scratch s;
    uint64_t begun;

    scratch_make(&s);
    encode();
    carry(s.store);
    begun = clock_mono_ns();
    audit_verify(s.store, 0, NULL, NULL, NULL, &report);
    printf("verify: %s, %.0f records/s\n", audit_fault_name(report.fault),
           (double)report.records * 1e9 / (double)(clock_mono_ns() - begun));
    latency(s.store, 100, "an event every 100 us");
    latency(s.store, 50000, "an event every 50 ms");
    scratch_remove(&s);
    return 0;
}
