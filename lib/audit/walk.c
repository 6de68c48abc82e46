/* The checking of a whole store, record by record; runs in a process of its own. */
#include "audit_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define BATCH_RECORDS 4096 /* between two looks at the newest state */

struct state {
    struct walk *w;
    struct audit_report *report;
    struct hasher hasher;
    struct head at; /* the last sound record */
    struct segment_view view;
    bool closed; /* the segment being read */
};

static bool fault(struct state *s, enum audit_fault f, uint64_t seq, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static bool fault(struct state *s, enum audit_fault f, uint64_t seq, const char *fmt, ...)
{
    va_list ap;

    s->report->fault = f;
    s->report->first_bad = seq;
    va_start(ap, fmt);
    vsnprintf(s->report->detail, sizeof(s->report->detail), fmt, ap);
    va_end(ap);
    return false;
}

static void count_record(struct state *s, const struct audit_record *r)
{
    struct audit_report *report = s->report;
    struct audit_value v;

    report->records++;
    atomic_store_explicit(&s->w->done, report->records, memory_order_relaxed);
    report->from = report->from ? report->from : r->seq;
    report->to = r->seq;
    memcpy(report->head, r->hash, AUDIT_HASH);
    if (r->kind != AUDIT_GAP)
        return;
    report->gaps++;
    if (audit_get(r, AUDIT_F_COUNT, &v))
        report->lost += v.number;
}

/* A record under another number than the one that is due. */
static bool check_other(struct state *s, uint64_t key, uint64_t due, struct span value)
{
    struct audit_record r;

    if (key < due)
        return fault(s, AUDIT_REORDERED, key,
                     "a record stands under number %llu, where none belongs",
                     (unsigned long long)key);
    if (record_is_intact(value, &s->hasher) && record_parse(value, &r) && r.seq == due)
        return fault(s, AUDIT_REORDERED, due, "record %llu stands under number %llu",
                     (unsigned long long)due, (unsigned long long)key);
    return fault(s, AUDIT_MISSING, due, "records %llu to %llu are missing", (unsigned long long)due,
                 (unsigned long long)key - 1);
}

static bool check_noted(struct state *s, const struct audit_record *r)
{
    const struct walk *w = s->w;

    if (r->seq != w->expect_seq || !w->has_head || memcmp(r->hash, w->expect_head, AUDIT_HASH) == 0)
        return true;
    return fault(s, AUDIT_ALTERED, r->seq,
                 "record %llu is whole, but it is not the one whose hash was noted",
                 (unsigned long long)r->seq);
}

static bool check_record(struct state *s, uint64_t key, struct span value)
{
    unsigned long long due = s->at.seq + 1;
    struct audit_record r;

    if (key != due)
        return check_other(s, key, due, value);
    if (!record_is_intact(value, &s->hasher))
        return fault(s, AUDIT_ALTERED, due, "the bytes of record %llu do not give its hash", due);
    if (!record_parse(value, &r))
        return fault(s, AUDIT_UNREADABLE, due,
                     "record %llu has its hash but not the form of a record", due);
    if (r.seq != due)
        return fault(s, AUDIT_REORDERED, due, "record %llu stands under number %llu",
                     (unsigned long long)r.seq, due);
    if (memcmp(r.previous, s->at.hash, AUDIT_HASH) != 0)
        return fault(s, AUDIT_BROKEN, due, "record %llu does not follow from the one before it",
                     due);
    if (!check_noted(s, &r))
        return false;
    s->at.seq = r.seq;
    memcpy(s->at.hash, r.hash, AUDIT_HASH);
    count_record(s, &r);
    return true;
}

/* From where we are, at most a batch; `*end` when the segment has no more. */
static bool check_batch(struct state *s, MDB_cursor *c, bool *end)
{
    uint8_t key[8];
    MDB_val k = {sizeof(key), key}, v;
    MDB_cursor_op op = s->at.seq < s->view.info.first ? MDB_FIRST : MDB_SET_RANGE;
    int rc = 0;

    put_be(key, s->at.seq + 1, sizeof(key));
    for (unsigned i = 0; i < BATCH_RECORDS; i++, op = MDB_NEXT) {
        atomic_store_explicit(&s->w->at, s->at.seq + 1, memory_order_relaxed);
        rc = mdb_cursor_get(c, &k, &v, op);
        if (rc)
            break;
        if (k.mv_size != sizeof(key))
            return fault(s, AUDIT_UNREADABLE, s->at.seq + 1, "a key is not a record's number");
        if (!check_record(s, get_be(k.mv_data, sizeof(key)), span_of(v.mv_data, v.mv_size)))
            return false;
    }
    if (rc && rc != MDB_NOTFOUND)
        return fault(s, AUDIT_UNREADABLE, s->at.seq + 1, "cannot read on: %s", mdb_strerror(rc));
    *end = rc != 0;
    return true;
}

/* What the segment says of its own end, in the state in which its records ended. */
static bool check_end(struct state *s, bool has_next)
{
    uint64_t when;
    struct head noted;
    int rc = meta_get_head(s->view.txn, s->view.meta, &noted);

    if (rc == 0) {
        rc = meta_get_closed(s->view.txn, s->view.meta, &when);
        s->closed = rc == 0;
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc)
        return fault(s, AUDIT_UNREADABLE, s->at.seq + 1, "cannot read a segment's facts: %s",
                     mdb_strerror(rc));
    if (noted.seq > s->at.seq)
        return fault(s, has_next ? AUDIT_MISSING : AUDIT_TRUNCATED, s->at.seq + 1,
                     "a segment ends with record %llu; %llu was written",
                     (unsigned long long)s->at.seq, (unsigned long long)noted.seq);
    if (noted.seq < s->at.seq || memcmp(noted.hash, s->at.hash, AUDIT_HASH) != 0)
        return fault(s, AUDIT_BROKEN, s->at.seq,
                     "a segment's note of its last record is not that of record %llu",
                     (unsigned long long)s->at.seq);
    return true;
}

static bool check_some(struct state *s, bool has_next, bool *end)
{
    MDB_cursor *c;
    bool sound;
    int rc = view_begin(&s->view);

    if (rc == 0 && (rc = mdb_cursor_open(s->view.txn, s->view.records, &c)))
        view_end(&s->view);
    if (rc)
        return fault(s, AUDIT_UNREADABLE, s->at.seq + 1, "cannot read on: %s", mdb_strerror(rc));
    sound = check_batch(s, c, end);
    mdb_cursor_close(c);
    if (sound && *end)
        sound = check_end(s, has_next);
    view_end(&s->view);
    return sound;
}

/* The first segment behind `first`; false if there is none. */
static bool next_segment(struct state *s, uint64_t first, uint64_t *next)
{
    struct segment_list l;
    bool found = false;

    if (segments_list(s->w->directory, &l))
        return false;
    for (size_t i = 0; !found && i < l.count; i++) {
        found = l.first[i] > first;
        *next = l.first[i];
    }
    segments_free(&l);
    return found;
}

/* All records of the open segment. The writer adds nothing to a segment once the next one is there,
 * so a look at the newest state after having seen the next one is the last that is needed. */
static bool check_records(struct state *s, uint64_t *next, bool *has_next)
{
    uint64_t first = s->view.info.first, before;
    bool end, had_next;

    *has_next = next_segment(s, first, next);
    do {
        had_next = *has_next;
        before = s->at.seq;
        do {
            if (!check_some(s, had_next, &end))
                return false;
        } while (!end);
        *has_next = next_segment(s, first, next);
    } while (*has_next && (!had_next || s->at.seq != before) && !s->closed);
    if (s->closed && !*has_next)
        return fault(s, AUDIT_TRUNCATED, s->at.seq + 1,
                     "the last segment was closed: those after it are missing");
    return true;
}

static bool check_segment(struct state *s, uint64_t first, uint64_t *next, bool *has_next)
{
    unsigned long long due = s->at.seq + 1;
    struct why w = {""};
    bool sound;

    atomic_store_explicit(&s->w->at, due, memory_order_relaxed);
    if (first > due)
        return fault(s, AUDIT_MISSING, due, "no segment has records %llu to %llu", due,
                     (unsigned long long)first - 1);
    if (first < due)
        return fault(s, AUDIT_REORDERED, first, "segment %llu begins within the one before it",
                     (unsigned long long)first);
    if (view_open(&s->view, s->w->directory, first, true, &w))
        return fault(s, AUDIT_UNREADABLE, due, "%s", w.text);
    if (memcmp(s->view.info.previous, s->at.hash, AUDIT_HASH) != 0)
        sound =
            fault(s, AUDIT_BROKEN, due, "segment %llu does not follow from the one before it", due);
    else
        sound = check_records(s, next, has_next);
    view_close(&s->view);
    return sound;
}

/* How far there is to go, for those who watch. */
static void measure(struct state *s, uint64_t last)
{
    struct head head = {.seq = last - 1};
    struct why w;

    atomic_store_explicit(&s->w->at, last, memory_order_relaxed);
    if (view_open(&s->view, s->w->directory, last, true, &w) == 0 && view_begin(&s->view) == 0) {
        if (meta_get_head(s->view.txn, s->view.meta, &head))
            head.seq = last - 1;
        view_end(&s->view);
    }
    view_close(&s->view);
    atomic_store_explicit(&s->w->of, head.seq, memory_order_relaxed);
}

static bool check_all(struct state *s)
{
    struct segment_list l;
    bool has_next = true;
    uint64_t next;
    int rc = segments_list(s->w->directory, &l);

    if (rc)
        return fault(s, AUDIT_UNREADABLE, 1, "cannot read the directory: %s", mdb_strerror(rc));
    if (l.count == 0)
        return fault(s, AUDIT_UNREADABLE, 1, "no audit segments here");
    next = l.first[0];
    measure(s, l.first[l.count - 1]);
    segments_free(&l);
    while (has_next)
        if (!check_segment(s, next, &next, &has_next))
            return false;
    if (s->w->expect_seq > s->at.seq)
        return fault(s, AUDIT_TRUNCATED, s->at.seq + 1,
                     "the store ends with record %llu; %llu was noted as written",
                     (unsigned long long)s->at.seq, (unsigned long long)s->w->expect_seq);
    return true;
}

void walk_store(struct walk *w)
{
    struct state s = {.w = w, .report = &w->report};

    if (!hasher_init(&s.hasher))
        fault(&s, AUDIT_UNREADABLE, 0, "no memory for SHA-256");
    else
        check_all(&s);
    hasher_free(&s.hasher);
    atomic_store_explicit(&w->finished, true, memory_order_release);
}
