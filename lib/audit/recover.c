/* The store at start-up and after an error: which segment is the last, where the chain ends. */
#include "audit_internal.h"

#include <errno.h>
#include <sys/statvfs.h>

#define COMPLAIN_NS       (2 * NS_IN_S)
#define COMPLAIN_AGAIN_NS (60 * NS_IN_S)

static bool same_head(const struct head *a, const struct head *b)
{
    return a->seq == b->seq && memcmp(a->hash, b->hash, AUDIT_HASH) == 0;
}

static int settle(struct audit *a, uint64_t first, struct why *w)
{
    char path[PATH_MAX];
    int rc;

    if (!segment_path(path, a->directory, first))
        return why_set(w, ENAMETOOLONG, "the directory's name is too long");
    rc = segment_settle(path);
    return rc ? why_set(w, rc, "cannot sync segment %llu: %s", (unsigned long long)first,
                        mdb_strerror(rc))
              : 0;
}

/* The segment before the last one must lead to it, and is closed now if a crash or a full disk came
 * between the making of the one and the closing of the other. */
static int attach_previous(struct audit *a, uint64_t first, struct why *w)
{
    struct segment before = {.env = NULL};
    struct head head, expected = {.seq = a->segment.info.first - 1};
    int rc = segment_open(&before, a->directory, first, a->map_bytes, w);

    memcpy(expected.hash, a->segment.info.previous, AUDIT_HASH);
    if (rc == 0)
        rc = segment_head(&before, &a->hasher, &head, w);
    if (rc == 0 && !same_head(&head, &expected))
        rc = why_set(w, MDB_CORRUPTED, "segment %llu does not follow from the one before it",
                     (unsigned long long)a->segment.info.first);
    if (rc == 0)
        rc = segment_mark_closed(&before, clock_wall_ns(), w);
    segment_close(&before);
    return rc;
}

static int is_closed(struct segment *s, bool *closed, struct why *w)
{
    uint64_t when;
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return why_set(w, rc, "cannot read the last segment: %s", mdb_strerror(rc));
    rc = meta_get_closed(txn, s->meta, &when);
    mdb_txn_abort(txn);
    *closed = rc == 0;
    return rc == 0 || rc == MDB_NOTFOUND
               ? 0
               : why_set(w, rc, "cannot read the last segment: %s", mdb_strerror(rc));
}

static int attach_last(struct audit *a, const struct segment_list *l, struct head *head,
                       struct why *w)
{
    uint64_t last = l->first[l->count - 1];
    bool closed = false;
    int rc = settle(a, last, w);

    if (rc == 0 && l->count > 1)
        rc = settle(a, l->first[l->count - 2], w);
    if (rc == 0)
        rc = segment_open(&a->segment, a->directory, last, a->map_bytes, w);
    if (rc == 0)
        rc = segment_head(&a->segment, &a->hasher, head, w);
    if (rc == 0)
        rc = is_closed(&a->segment, &closed, w);
    if (rc == 0 && closed)
        rc = why_set(w, MDB_CORRUPTED, "the last segment was closed: those after it are missing");
    if (rc == 0 && l->count > 1)
        rc = attach_previous(a, l->first[l->count - 2], w);
    if (rc)
        segment_close(&a->segment);
    return rc;
}

int store_attach(struct audit *a, struct head *head, struct why *w)
{
    struct segment_info begin = {.first = 1, .created_ns = clock_wall_ns()};
    struct segment_list l;
    int rc = segments_list(a->directory, &l);

    if (rc)
        return why_set(w, rc, "cannot list the directory: %s", mdb_strerror(rc));
    if (l.count == 0 && a->head.seq == 0) {
        rc = segment_create(a->directory, &begin, a->map_bytes, w);
        if (rc == 0)
            rc = segments_list(a->directory, &l);
    }
    if (rc == 0)
        rc = l.count ? attach_last(a, &l, head, w)
                     : why_set(w, MDB_CORRUPTED, "the segments are gone");
    segments_free(&l);
    return rc;
}

uint64_t lost_total(const struct audit *a)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < a->ring_count; i++)
        n += atomic_load_explicit(&a->rings[i].lost, memory_order_acquire);
    return n;
}

/* Not at every try, nor at every failure of a disk that comes and goes. */
static void complain(struct audit *a, int rc, const struct why *w)
{
    uint64_t now = clock_mono_ns();
    uint64_t least = a->complained ? COMPLAIN_AGAIN_NS : COMPLAIN_NS;
    struct statvfs fs;
    uint64_t kib = statvfs(a->directory, &fs) ? 0 : fs.f_bavail * (fs.f_frsize / 1024);

    if (a->complained_at && now - a->complained_at < least)
        return;
    a->complained = true;
    a->complained_at = now;
    /* LMDB takes a short write, as on a full disk, for an input/output error: so the space too. */
    log_error("audit",
              "the store takes no records, calls are refused until it does: %s (%llu KiB free)",
              w->text[0] ? w->text : mdb_strerror(rc), (unsigned long long)kib);
}

void store_fail(struct audit *a, int rc, const struct why *w)
{
    segment_close(&a->segment);
    counter_inc(&a->counters.commit_failures);
    a->must_prove = true;
    if (!a->failing) {
        a->failing = true;
        a->complained = false;
        a->failed_since = clock_mono_ns();
        for (unsigned i = 0; i < a->ring_count; i++)
            atomic_store_explicit(&a->rings[i].refusing, true, memory_order_relaxed);
    }
    complain(a, rc, w);
}

/* LMDB writes a transaction to pages that no earlier state uses, so after a failed commit both the
 * state before and, if the error came late, the one attempted can be what is found. Either is well;
 * anything else means that the disk lost what it had confirmed, and then nothing is written. */
bool store_recover(struct audit *a)
{
    struct head found;
    struct why w = {""};
    int rc = store_attach(a, &found, &w);

    if (rc == 0 && !same_head(&found, &a->head)) {
        if (same_head(&found, &a->attempt.head))
            attempt_publish(a);
        else
            rc = why_set(&w, MDB_CORRUPTED, "it ends with record %llu, but %llu was confirmed",
                         (unsigned long long)found.seq, (unsigned long long)a->head.seq);
    }
    if (rc)
        store_fail(a, rc, &w);
    return rc == 0;
}
