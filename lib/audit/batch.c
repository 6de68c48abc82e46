/* From the rings into one transaction. */
#include "audit_internal.h"

#include <errno.h>

/* Of records in one transaction; far below what LMDB can carry in one. */
#define BATCH_BYTES    ((uint64_t)4 << 20)
#define RING_SHARE_MIN ((uint64_t)128 << 10)
#define DAY_NS         (86400 * NS_IN_S)

struct batch {
    struct audit *a;
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static uint64_t ring_head(const struct audit_ring *r)
{
    /* Acquire: pairs with audit_end; the event is whole. */
    return atomic_load_explicit(&r->head, memory_order_acquire);
}

static uint64_t ring_tail(const struct audit_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed); /* ours */
}

static uint64_t ring_untold(const struct audit_ring *r)
{
    return atomic_load_explicit(&r->lost, memory_order_acquire) -
           atomic_load_explicit(&r->lost_told, memory_order_relaxed);
}

bool anything_waits(const struct audit *a)
{
    for (unsigned i = 0; i < a->ring_count; i++)
        if (ring_head(&a->rings[i]) != ring_tail(&a->rings[i]) || ring_untold(&a->rings[i]))
            return true;
    return false;
}

/* Straight into LMDB's page: the only copy between ring and disk. */
static int put_record(struct batch *b, unsigned kind, uint64_t wall_ns, struct span fields)
{
    struct audit *a = b->a;
    struct attempt *t = &a->attempt;
    uint8_t key[8];
    struct record_parts parts = {
        .kind = kind,
        .seq = t->head.seq + 1,
        .wall_ns = wall_ns,
        .boot = a->boot,
        .previous = t->head.hash,
        .appliance = span_cstr(a->appliance),
        .fields = fields,
    };
    MDB_val k = {sizeof(key), key}, v = {record_size(&parts), NULL};
    int rc;

    put_be(key, parts.seq, sizeof(key));
    rc = mdb_cursor_put(b->cursor, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc)
        return rc;
    if (!record_write(v.mv_data, &parts, &a->hasher, t->head.hash))
        return ENOMEM;
    t->head.seq = parts.seq;
    t->events++;
    t->bytes += v.mv_size;
    return 0;
}

static uint8_t *put_number(uint8_t *p, enum audit_field f, uint64_t v)
{
    uint8_t bytes[8];

    put_be(bytes, v, sizeof(bytes));
    return field_put(p, f, AUDIT_NUMBER, bytes, sizeof(bytes));
}

/* What ring `i` lost since it was last told, if anything. */
static int put_gap(struct batch *b, unsigned i)
{
    struct audit_ring *r = &b->a->rings[i];
    uint64_t count = ring_untold(r);
    struct span why = b->a->failing ? SPAN_LIT("the store took no records and the ring was full")
                                    : SPAN_LIT("the ring was full");
    uint8_t fields[256], *p = fields;

    if (count == 0)
        return 0;
    p = put_number(p, AUDIT_F_WORKER, i);
    p = put_number(p, AUDIT_F_COUNT, count);
    p = put_number(p, AUDIT_F_FROM_NS, atomic_load_explicit(&r->lost_from, memory_order_relaxed));
    p = put_number(p, AUDIT_F_TO_NS, atomic_load_explicit(&r->lost_to, memory_order_relaxed));
    p = field_put(p, AUDIT_F_DETAIL, AUDIT_TEXT, why.p, why.n);
    b->a->attempt.told[i] += count;
    b->a->attempt.gaps++;
    return put_record(b, AUDIT_GAP, clock_wall_ns(), span_of(fields, (size_t)(p - fields)));
}

static int put_ring(struct batch *b, unsigned i, uint64_t share)
{
    const struct audit_ring *r = &b->a->rings[i];
    uint64_t head = ring_head(r), at = b->a->attempt.tails[i], from = at;
    const struct slot *slot;
    int rc = 0;

    while (rc == 0 && at - from < share && (slot = ring_next(r, &at, head)))
        rc = put_record(b, slot->kind, slot->wall_ns, span_of(slot + 1, slot->fields));
    b->a->attempt.tails[i] = at;
    return rc;
}

/* Gaps first: after a time without records they are what a reader should meet. Then each ring up to
 * its share, a different one first each time. */
static int put_all(struct batch *b)
{
    struct audit *a = b->a;
    uint64_t share = BATCH_BYTES / a->ring_count;
    int rc = 0;

    share = share > RING_SHARE_MIN ? share : RING_SHARE_MIN;
    for (unsigned i = 0; rc == 0 && i < a->ring_count; i++)
        rc = put_gap(b, i);
    for (unsigned i = 0; rc == 0 && i < a->ring_count; i++)
        rc = put_ring(b, (a->turn + i) % a->ring_count, share);
    a->turn++;
    return rc;
}

static void attempt_begin(struct audit *a)
{
    struct attempt *t = &a->attempt;

    t->head = a->head;
    t->events = t->bytes = t->gaps = 0;
    for (unsigned i = 0; i < a->ring_count; i++) {
        t->tails[i] = ring_tail(&a->rings[i]);
        t->told[i] = atomic_load_explicit(&a->rings[i].lost_told, memory_order_relaxed);
    }
}

void attempt_publish(struct audit *a)
{
    const struct attempt *t = &a->attempt;

    a->head = t->head;
    atomic_store_explicit(&a->last_seq, t->head.seq, memory_order_release);
    counter_add(&a->counters.events, t->events);
    counter_add(&a->counters.bytes, t->bytes);
    counter_add(&a->counters.gaps, t->gaps);
    counter_inc(&a->counters.commits);
    for (unsigned i = 0; i < a->ring_count; i++) {
        /* Release: pairs with count_lost, and with audit_durable and has_room. */
        atomic_store_explicit(&a->rings[i].lost_told, t->told[i], memory_order_release);
        atomic_store_explicit(&a->rings[i].tail, t->tails[i], memory_order_release);
    }
}

static int write_batch(struct audit *a)
{
    struct batch b = {.a = a};
    uint64_t begun;
    int rc = mdb_txn_begin(a->segment.env, NULL, 0, &b.txn);

    if (rc)
        return rc;
    attempt_begin(a);
    rc = mdb_cursor_open(b.txn, a->segment.records, &b.cursor);
    if (rc == 0) {
        rc = put_all(&b);
        mdb_cursor_close(b.cursor);
    }
    if (rc == 0)
        rc = meta_put_head(b.txn, a->segment.meta, &a->attempt.head);
    if (rc) {
        mdb_txn_abort(b.txn);
        return rc;
    }
    begun = clock_mono_ns();
    rc = mdb_txn_commit(b.txn);
    counter_add(&a->counters.fsync_ns, clock_mono_ns() - begun);
    return rc;
}

/* A new segment takes over before the old one is marked as closed: so a closed segment always has
 * a successor, and a missing one shows. */
static int roll(struct audit *a, struct why *w)
{
    struct segment_info info = {.first = a->head.seq + 1, .created_ns = clock_wall_ns()};
    int rc;

    memcpy(info.previous, a->head.hash, AUDIT_HASH);
    rc = segment_create(a->directory, &info, a->map_bytes, w);
    if (rc == 0)
        rc = segment_mark_closed(&a->segment, info.created_ns, w);
    if (rc)
        return rc;
    segment_close(&a->segment);
    rc = segment_open(&a->segment, a->directory, info.first, a->map_bytes, w);
    if (rc == 0)
        counter_inc(&a->counters.segments);
    return rc;
}

static bool roll_is_due(const struct audit *a)
{
    const struct segment_info *info = &a->segment.info;

    if (a->head.seq < info->first) /* nothing in it yet */
        return false;
    /* Later days only: a clock that jumps to and fro must not make segment after segment. */
    return segment_used(&a->segment) >= a->segment_bytes ||
           clock_wall_ns() / DAY_NS > info->created_ns / DAY_NS;
}

static void taking_records(struct audit *a)
{
    uint64_t ms = (clock_mono_ns() - a->failed_since) / NS_IN_MS;

    a->must_prove = false;
    if (!a->failing)
        return;
    a->failing = false;
    for (unsigned i = 0; i < a->ring_count; i++)
        atomic_store_explicit(&a->rings[i].refusing, false, memory_order_relaxed);
    if (!a->complained)
        return;
    log_info("audit", "the store takes records again after %llu ms; %llu events lost so far",
             (unsigned long long)ms, (unsigned long long)lost_total(a));
}

int batch_commit(struct audit *a)
{
    struct why w = {""};
    int rc = 0;

    if (!a->must_prove && !anything_waits(a))
        return 0;
    if (roll_is_due(a))
        rc = roll(a, &w);
    if (rc == 0) {
        rc = write_batch(a);
        if (rc == MDB_MAP_FULL && a->head.seq >= a->segment.info.first) {
            /* A reader that pins old pages can bring this about before the size does. */
            rc = roll(a, &w);
            rc = rc ? rc : write_batch(a);
        }
    }
    if (rc) {
        store_fail(a, rc, &w);
        return -1;
    }
    attempt_publish(a);
    taking_records(a);
    return 1;
}
