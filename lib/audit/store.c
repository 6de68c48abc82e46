/* Reading. Every read takes the newest state and lets go of it before it returns, with the record
 * copied: a reader that rests between two calls never keeps the writer from reusing pages. */
#include "audit_internal.h"

#include <errno.h>
#include <stdlib.h>

struct audit_store {
    char *directory;
    struct segment_list list;
    struct segment_view view; /* one segment at a time */
    size_t length;            /* of the value in the buffer */
    uint8_t buffer[REC_MAX];
};

static void refresh(struct audit_store *s)
{
    struct segment_list l;

    if (segments_list(s->directory, &l))
        return; /* what was known stays */
    segments_free(&s->list);
    s->list = l;
}

/* The segment that has `seq` or would have it: the last one that does not begin behind it. */
static bool place_of(const struct audit_store *s, uint64_t seq, size_t *index)
{
    size_t low = 0, high = s->list.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->list.first[mid] <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    *index = low - 1;
    return low > 0;
}

static bool look_at(struct audit_store *s, size_t index, struct why *w)
{
    uint64_t first = s->list.first[index];

    if (s->view.env && s->view.info.first == first)
        return true;
    view_close(&s->view);
    return view_open(&s->view, s->directory, first, false, w) == 0;
}

/* Begins to read a segment; opened anew if its map has grown since. */
static bool begin(struct audit_store *s, size_t index)
{
    struct why w;

    if (!look_at(s, index, &w))
        return false;
    if (view_begin(&s->view) == 0)
        return true;
    view_close(&s->view);
    return look_at(s, index, &w) && view_begin(&s->view) == 0;
}

static bool keep(struct audit_store *s, const MDB_val *v)
{
    s->length = v->mv_size < sizeof(s->buffer) ? v->mv_size : sizeof(s->buffer);
    memcpy(s->buffer, v->mv_data, s->length);
    return v->mv_size <= sizeof(s->buffer);
}

/* Copies the value at exactly `seq`. */
static bool fetch(struct audit_store *s, size_t index, uint64_t seq)
{
    uint8_t key[8];
    MDB_val k = {sizeof(key), key}, v;
    bool found;

    put_be(key, seq, sizeof(key));
    if (!begin(s, index))
        return false;
    found = mdb_get(s->view.txn, s->view.records, &k, &v) == 0 && keep(s, &v);
    view_end(&s->view);
    return found;
}

/* Copies the first value at or behind `*seq` in one segment, and tells its number. */
static bool fetch_from(struct audit_store *s, size_t index, uint64_t *seq)
{
    MDB_cursor *c;
    uint8_t key[8];
    MDB_val k = {sizeof(key), key}, v;
    bool found = false;

    put_be(key, *seq, sizeof(key));
    if (!begin(s, index))
        return false;
    if (mdb_cursor_open(s->view.txn, s->view.records, &c) == 0) {
        found = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE) == 0 && k.mv_size == sizeof(key);
        if (found) {
            *seq = get_be(k.mv_data, sizeof(key));
            keep(s, &v);
        }
        mdb_cursor_close(c);
    }
    view_end(&s->view);
    return found;
}

static bool fetch_known(struct audit_store *s, uint64_t *seq)
{
    size_t i;

    if (!place_of(s, *seq, &i))
        i = 0;
    for (; i < s->list.count; i++)
        if (fetch_from(s, i, seq))
            return true;
    return false;
}

struct audit_store *audit_open(const char *directory, struct diags *d)
{
    struct audit_store *s = calloc(1, sizeof(*s));
    struct place where = place_of_file(directory);
    struct why w;
    int rc = s ? 0 : ENOMEM;

    if (rc == 0)
        rc = (s->directory = strdup(directory)) ? segments_list(directory, &s->list) : ENOMEM;
    if (rc)
        diag_error(d, where, "cannot read the audit store: %s", strerror(rc));
    else if (s->list.count == 0)
        diag_error(d, where, "no audit segments here");
    else if (!look_at(s, s->list.count - 1, &w))
        diag_error(d, where, "%s", w.text);
    else
        return s;
    audit_close(s);
    return NULL;
}

void audit_close(struct audit_store *s)
{
    if (!s)
        return;
    view_close(&s->view);
    segments_free(&s->list);
    free(s->directory);
    free(s);
}

/* The stores are const to callers, who change nothing by asking; what is known of the directory may
 * still be brought up to date. They all come from audit_open, so they are not const objects. */
static struct audit_store *mutable_store(const struct audit_store *s)
{
    return (struct audit_store *)(uintptr_t)s;
}

uint64_t audit_first(const struct audit_store *s)
{
    uint64_t last = audit_last(s);

    return s->list.count && last >= s->list.first[0] ? s->list.first[0] : 0;
}

uint64_t audit_last(const struct audit_store *store)
{
    struct audit_store *s = mutable_store(store);
    struct head head = {.seq = 0};

    refresh(s);
    if (s->list.count == 0)
        return 0;
    if (!begin(s, s->list.count - 1))
        return s->list.first[s->list.count - 1] - 1;
    if (meta_get_head(s->view.txn, s->view.meta, &head))
        head.seq = s->list.first[s->list.count - 1] - 1;
    view_end(&s->view);
    return head.seq;
}

bool audit_read(struct audit_store *s, uint64_t seq, struct audit_record *r)
{
    size_t i;

    if (!place_of(s, seq, &i) || !fetch(s, i, seq)) {
        refresh(s); /* a new segment may have begun */
        if (!place_of(s, seq, &i) || !fetch(s, i, seq))
            return false;
    }
    return record_parse(span_of(s->buffer, s->length), r);
}

bool audit_read_from(struct audit_store *s, uint64_t seq, struct audit_record *r)
{
    size_t i;

    if (!place_of(s, seq, &i) || !fetch(s, i, seq)) { /* nearly always there */
        if (!fetch_known(s, &seq)) {
            refresh(s);
            if (!fetch_known(s, &seq))
                return false;
        }
    }
    if (!record_parse(span_of(s->buffer, s->length), r))
        *r = (struct audit_record){.seq = seq, .fields = SPAN_LIT("?")};
    return true;
}
