/* Start, stop, and what is known from outside of the writer thread. */
#include "audit_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RING_MIN     ((size_t)1 << 20)
#define MAP_SPARE    ((uint64_t)64 << 20) /* on top of an eighth: many times the largest batch */
#define JOIN_MORE_NS (5 * NS_IN_S)        /* beyond its patience, for a sync that does not return */

/* The kernel's boot id: "xxxxxxxx-xxxx-..." as 16 bytes. */
static bool read_boot_id(uint8_t out[BOOT_BYTES])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    unsigned nibbles = 0, digit;
    int c;

    memset(out, 0, BOOT_BYTES);
    while (f && nibbles < 2 * BOOT_BYTES && (c = fgetc(f)) != EOF) {
        if (c == '-')
            continue;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a' + 10);
        else
            break;
        out[nibbles / 2] = (uint8_t)(out[nibbles / 2] << 4 | digit);
        nibbles++;
    }
    if (f)
        fclose(f);
    return nibbles == 2 * BOOT_BYTES;
}

static bool config_is_sound(const struct audit_config *c, struct diags *d)
{
    struct place where = place_of_file(c->directory);
    size_t errors = d->errors;

    if (c->ring_bytes < RING_MIN || (c->ring_bytes & (c->ring_bytes - 1)) ||
        c->ring_bytes > UINT32_MAX)
        diag_error(d, where, "a ring must be a power of two from 1 MiB to 2 GiB");
    if (c->rings == 0 || c->rings > AUDIT_RINGS_MAX)
        diag_error(d, where, "there must be 1 to %u rings", AUDIT_RINGS_MAX);
    if (c->segment_bytes < SEGMENT_MIN || c->segment_bytes > (uint64_t)1 << 40)
        diag_error(d, where, "a segment must be 1 MiB to 1 TiB");
    if (strlen(c->appliance) > REC_APPLIANCE_MAX)
        diag_error(d, where, "the appliance's name is longer than %zu bytes", REC_APPLIANCE_MAX);
    return d->errors == errors;
}

static bool make_rings(struct audit *a, const struct audit_config *c)
{
    size_t bytes = c->rings * sizeof(*a->rings);

    a->rings = aligned_alloc(CACHE_LINE, bytes);
    if (!a->rings || !doorbell_open(&a->bell))
        return false;
    memset(a->rings, 0, bytes);
    for (; a->ring_count < c->rings; a->ring_count++) {
        if (!ring_init(&a->rings[a->ring_count], c->ring_bytes))
            return false;
        a->rings[a->ring_count].bell = &a->bell;
    }
    return true;
}

static void audit_free(struct audit *a)
{
    doorbell_close(&a->bell);
    for (unsigned i = 0; i < a->ring_count; i++)
        ring_free(&a->rings[i]);
    free(a->rings);
    segment_close(&a->segment);
    hasher_free(&a->hasher);
    if (a->lock >= 0)
        close(a->lock);
    free(a->directory);
    free(a->appliance);
    free(a);
}

static struct audit *audit_new(const struct audit_config *c)
{
    struct audit *a = aligned_alloc(CACHE_LINE, sizeof(*a));

    if (!a)
        return NULL;
    memset(a, 0, sizeof(*a));
    a->bell.fd = -1;
    a->lock = -1;
    a->directory = strdup(c->directory);
    a->appliance = strdup(c->appliance);
    a->segment_bytes = c->segment_bytes;
    /* Whole pages: LMDB asks for it. */
    a->map_bytes = (c->segment_bytes + c->segment_bytes / 8 + MAP_SPARE) & ~(SEGMENT_MIN - 1);
    if (a->directory && a->appliance && hasher_init(&a->hasher) && make_rings(a, c))
        return a;
    audit_free(a);
    return NULL;
}

static bool take_directory(struct audit *a, struct diags *d)
{
    struct place where = place_of_file(a->directory);
    int rc = directory_make(a->directory);

    if (rc) {
        diag_error(d, where, "cannot make the audit directory: %s", strerror(rc));
        return false;
    }
    a->lock = directory_lock(a->directory);
    if (a->lock < 0 && errno == EWOULDBLOCK)
        diag_error(d, where, "another process is writing to this audit store");
    else if (a->lock < 0)
        diag_error(d, where, "cannot lock the audit store: %s", strerror(errno));
    return a->lock >= 0;
}

static bool open_store(struct audit *a, struct diags *d)
{
    struct why w = {""};

    if (!take_directory(a, d))
        return false;
    if (store_attach(a, &a->head, &w)) {
        diag_error(d, place_of_file(a->directory), "%s", w.text);
        return false;
    }
    atomic_store(&a->last_seq, a->head.seq);
    return true;
}

/* Signals are for other threads. */
static int start_thread(struct audit *a)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&a->thread, NULL, writer_main, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

struct audit *audit_start(const struct audit_config *c, struct diags *d)
{
    struct place where = place_of_file(c->directory);
    struct audit *a;

    if (!config_is_sound(c, d))
        return NULL;
    a = audit_new(c);
    if (!a) {
        diag_error(d, where, "no memory for the audit rings");
        return NULL;
    }
    if (!read_boot_id(a->boot))
        diag_error(d, where, "cannot read the kernel's boot id");
    else if (!open_store(a, d))
        ; /* it said why */
    else if (start_thread(a))
        diag_error(d, where, "cannot start the audit writer's thread");
    else
        return a;
    audit_free(a);
    return NULL;
}

static uint64_t events_waiting(const struct audit *a)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < a->ring_count; i++) {
        const struct audit_ring *r = &a->rings[i];
        uint64_t at = atomic_load(&r->tail), head = atomic_load(&r->head);

        while (ring_next(r, &at, head))
            n++;
    }
    return n;
}

/* False if it still hangs in the kernel some time after the deadline. */
static bool join_writer(struct audit *a, uint64_t deadline)
{
    const struct timespec nap = {0, NS_IN_MS};

    while (!atomic_load_explicit(&a->done, memory_order_acquire)) {
        if (clock_mono_ns() > deadline + JOIN_MORE_NS)
            return false;
        nanosleep(&nap, NULL);
    }
    return pthread_join(a->thread, NULL) == 0;
}

void audit_stop(struct audit *a, uint64_t patience_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t deadline = patience_ns < UINT64_MAX / 4 - now ? now + patience_ns : UINT64_MAX / 4;
    uint64_t waiting, untold;

    if (!a)
        return;
    atomic_store(&a->give_up_at, deadline);
    atomic_store(&a->stop, true);
    doorbell_ring(&a->bell);
    if (!join_writer(a, deadline)) {
        /* The thread hangs in the kernel with our memory in its hands: it stays as it is. */
        log_error("audit", "the disk does not answer; %llu events are lost",
                  (unsigned long long)events_waiting(a));
        return;
    }
    waiting = events_waiting(a);
    untold = lost_total(a);
    for (unsigned i = 0; i < a->ring_count; i++)
        untold -= atomic_load(&a->rings[i].lost_told);
    if (waiting || untold)
        log_error("audit", "the store took no records until the end: %llu events are lost",
                  (unsigned long long)(waiting + untold));
    audit_free(a);
}

struct audit_ring *audit_ring_of(struct audit *a, unsigned i)
{
    return i < a->ring_count ? &a->rings[i] : NULL;
}

const struct audit_counters *audit_counters(const struct audit *a)
{
    return &a->counters;
}

uint64_t audit_last_seq(const struct audit *a)
{
    return atomic_load_explicit(&a->last_seq, memory_order_acquire);
}
