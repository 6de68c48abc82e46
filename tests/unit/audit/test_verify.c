#include "audit_test.h"

#include <signal.h>

#define RECORDS 240u

/* One store for all: three segments; each test spoils a copy of its own. */
static int set_up(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));
    struct audit_config c;
    uint64_t n = 1;

    scratch_make(s);
    c = config_of(s->store);
    c.segment_bytes = MIB;
    for (unsigned round = 0; round < 3; round++) {
        struct audit *a = start_with(&c);

        assert_non_null(a);
        put_many(audit_ring_of(a, 0), n, 60, 400);
        put_many(audit_ring_of(a, 0), n + 60, 20, 60000); /* fills a segment */
        n += 80;
        audit_stop(a, NS_IN_S);
    }
    assert_int_equal(n, RECORDS + 1);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static uint64_t segment_with(const char *dir, uint64_t seq, uint64_t *next)
{
    struct segment_list l;
    uint64_t first = 0;

    assert_int_equal(segments_list(dir, &l), 0);
    *next = 0;
    for (size_t i = 0; i < l.count; i++) {
        if (l.first[i] <= seq)
            first = l.first[i];
        else if (!*next)
            *next = l.first[i];
    }
    segments_free(&l);
    return first;
}

/* --- the file as bytes */

struct image {
    char path[PATH_MAX];
    uint8_t *p;
    size_t n;
};

static struct image image_of(const char *dir, uint64_t seq)
{
    struct image m = {.p = NULL};
    struct stat st;
    uint64_t next;
    int fd;

    assert_true(segment_path(m.path, dir, segment_with(dir, seq, &next)));
    fd = open(m.path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    m.n = (size_t)st.st_size;
    m.p = malloc(m.n);
    assert_int_equal(read(fd, m.p, m.n), m.n);
    close(fd);
    return m;
}

static void write_at(const struct image *m, size_t at, const void *p, size_t n)
{
    int fd = open(m->path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, (off_t)at), n);
    close(fd);
}

/* The stored value of a record, read the ordinary way. */
static size_t value_of(const char *dir, uint64_t seq, uint8_t out[REC_MAX])
{
    struct segment_view v;
    uint8_t key[8];
    uint64_t next;
    struct why w;
    MDB_val k = {8, key}, d;
    size_t n;

    put_be(key, seq, 8);
    assert_int_equal(view_open(&v, dir, segment_with(dir, seq, &next), true, &w), 0);
    assert_int_equal(view_begin(&v), 0);
    assert_int_equal(mdb_get(v.txn, v.records, &k, &d), 0);
    n = d.mv_size;
    memcpy(out, d.mv_data, n);
    view_close(&v);
    return n;
}

/* All places where the bytes stand: pages that were since copied hold old copies too. */
static unsigned flip_all(const struct image *m, const uint8_t *value, size_t n, size_t offset)
{
    unsigned places = 0;

    for (uint8_t *at = m->p; (at = memmem(at, m->n - (size_t)(at - m->p), value, n)); at += n) {
        uint8_t flipped = (uint8_t)(at[offset] ^ 0x10);

        write_at(m, (size_t)(at - m->p) + offset, &flipped, 1);
        places++;
    }
    return places;
}

static void every_byte_of_a_record_is_guarded(void **state)
{
    static const uint64_t seqs[] = {1, 37, 60, 61, 80, 81, 150, RECORDS};
    static uint8_t value[REC_MAX];
    struct scratch *s = *state;

    for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
        size_t n = value_of(s->store, seqs[i], value), step = n > 2000 ? 2999 : 7;

        for (size_t at = 0; at < n; at += step) {
            struct image m;

            copy_store(s);
            m = image_of(s->copy, seqs[i]);
            assert_true(flip_all(&m, value, n, at) > 0);
            free(m.p);
            expect_verdict(s->copy, AUDIT_ALTERED, seqs[i]);
        }
    }
}

/* Any byte of the file: the walk ends, with a verdict, and never calls a store sound whose records
 * are not all as they were. */
static void any_byte_of_a_file_may_be_damaged(void **state)
{
    struct scratch *s = *state;
    struct image m;
    struct audit_report whole, r;
    unsigned verdicts[AUDIT_UNREADABLE + 1] = {0};
    uint64_t random = 88172645463325252u;

    copy_store(s);
    assert_true(audit_verify(s->copy, 0, NULL, NULL, NULL, &whole));
    m = image_of(s->copy, 1);
    for (unsigned i = 0; i < 1500; i++) {
        size_t at;
        uint8_t b;

        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        at = i % 3 == 0   ? random % 8192                            /* LMDB's meta pages */
             : i % 3 == 1 ? random % 40 * 4096 + (random >> 40) % 64 /* heads of pages */
                          : random % m.n;
        b = (uint8_t)(m.p[at] ^ (1u << (random >> 61)));
        write_at(&m, at, &b, 1);
        if (audit_verify(s->copy, RECORDS, whole.head, NULL, NULL, &r))
            assert_true(r.records == RECORDS && r.gaps == 0);
        else
            assert_true(r.first_bad >= 1 && r.first_bad <= RECORDS && r.detail[0]);
        verdicts[r.fault]++;
        write_at(&m, at, &m.p[at], 1);
    }
    for (unsigned f = 0; f <= AUDIT_UNREADABLE; f++)
        print_message("  %s: %u\n", audit_fault_name(f), verdicts[f]);
    assert_true(verdicts[AUDIT_UNREADABLE] > 0 && verdicts[AUDIT_ALTERED] > 0);
    free(m.p);
    expect_verdict(s->copy, AUDIT_SOUND, 0);
}

/* A file cut short: reading behind its end is a SIGBUS, in the child. */
static void a_cut_file_is_unreadable(void **state)
{
    struct scratch *s = *state;
    struct image m;
    struct audit_report r;
    uint64_t next, first = segment_with(s->store, 81, &next);

    for (size_t part = 0; part < 8; part++) {
        copy_store(s);
        m = image_of(s->copy, 81);
        assert_int_equal(truncate(m.path, (off_t)(m.n * part / 8)), 0);
        assert_false(audit_verify(s->copy, 0, NULL, NULL, NULL, &r));
        assert_int_equal(r.fault, AUDIT_UNREADABLE);
        assert_in_range(r.first_bad, first, next - 1);
        free(m.p);
    }
}

/* --- through LMDB, as somebody with its tools would do it */

struct edit {
    struct segment seg;
    MDB_txn *txn;
};

static struct edit edit_begin(const char *dir, uint64_t seq)
{
    struct edit e = {.txn = NULL};
    uint64_t next;
    struct why w;

    assert_int_equal(segment_open(&e.seg, dir, segment_with(dir, seq, &next), 0, &w), 0);
    assert_int_equal(mdb_txn_begin(e.seg.env, NULL, 0, &e.txn), 0);
    return e;
}

static void edit_end(struct edit *e)
{
    assert_int_equal(mdb_txn_commit(e->txn), 0);
    segment_close(&e->seg);
}

static void edit_delete(struct edit *e, uint64_t seq)
{
    uint8_t key[8];
    MDB_val k = {8, key};

    put_be(key, seq, 8);
    assert_int_equal(mdb_del(e->txn, e->seg.records, &k, NULL), 0);
}

static void edit_put(struct edit *e, uint64_t seq, const uint8_t *value, size_t n)
{
    uint8_t key[8];
    MDB_val k = {8, key}, v = {n, (void *)(uintptr_t)value};

    put_be(key, seq, 8);
    assert_int_equal(mdb_put(e->txn, e->seg.records, &k, &v, 0), 0);
}

static void deleted_records_are_missing(void **state)
{
    static const uint64_t runs[][2] = {{1, 1},   {1, 5},   {30, 30},  {77, 77},
                                       {80, 80}, {81, 81}, {100, 104}};
    struct scratch *s = *state;

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        struct edit e;

        copy_store(s);
        e = edit_begin(s->copy, runs[i][0]);
        for (uint64_t seq = runs[i][0]; seq <= runs[i][1]; seq++)
            edit_delete(&e, seq);
        edit_end(&e);
        expect_verdict(s->copy, AUDIT_MISSING, runs[i][0]);
    }
}

static void swapped_records_are_reordered(void **state)
{
    static uint8_t one[REC_MAX], other[REC_MAX];
    static const uint64_t pairs[][2] = {{5, 6}, {1, 59}, {82, 100}};
    struct scratch *s = *state;

    for (size_t i = 0; i < 3; i++) {
        size_t n = value_of(s->store, pairs[i][0], one), m = value_of(s->store, pairs[i][1], other);
        struct edit e;

        copy_store(s);
        e = edit_begin(s->copy, pairs[i][0]);
        edit_put(&e, pairs[i][0], other, m);
        edit_put(&e, pairs[i][1], one, n);
        edit_end(&e);
        expect_verdict(s->copy, AUDIT_REORDERED, pairs[i][0]);
    }
}

static void a_record_under_another_number_is_reordered(void **state)
{
    static uint8_t value[REC_MAX];
    struct scratch *s = *state;
    struct edit e;
    size_t n = value_of(s->store, RECORDS, value);

    copy_store(s);
    e = edit_begin(s->copy, RECORDS);
    edit_delete(&e, RECORDS);
    edit_put(&e, RECORDS + 5, value, n);
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_REORDERED, RECORDS);
    copy_store(s);
    e = edit_begin(s->copy, 81);
    edit_put(&e, 3, value, n); /* before the segment's own first */
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_REORDERED, 3);
}

/* Rewritten with a hash of its own that is right: then the next one does not follow. */
static void a_forged_record_breaks_the_chain(void **state)
{
    static uint8_t value[REC_MAX];
    struct scratch *s = *state;
    struct hasher h;
    static const uint64_t forged[] = {10, 80}; /* the second is the last of its segment */

    assert_true(hasher_init(&h));
    for (unsigned i = 0; i < 2; i++) {
        size_t n = value_of(s->store, forged[i], value);
        uint64_t next, first = segment_with(s->store, forged[i], &next);
        bool last = next == forged[i] + 1;
        struct edit e;

        assert_true(first > 0);
        value[REC_WALL + 7] ^= 1;
        assert_true(hasher_sum(&h, value, n - AUDIT_HASH, value + n - AUDIT_HASH));
        copy_store(s);
        e = edit_begin(s->copy, forged[i]);
        edit_put(&e, forged[i], value, n);
        edit_end(&e);
        /* The end of a segment is noted apart, so there the forged one itself is named. */
        expect_verdict(s->copy, AUDIT_BROKEN, last ? forged[i] : forged[i] + 1);
    }
    hasher_free(&h);
}

/* A segment that was moved here from another store, or whose facts were changed. */
static void a_segment_must_follow_by_its_facts(void **state)
{
    struct scratch *s = *state;
    struct segment_info info;
    uint64_t next;
    struct edit e;

    copy_store(s);
    e = edit_begin(s->copy, 100);
    info = e.seg.info;
    info.previous[5] ^= 1;
    assert_int_equal(info.first, segment_with(s->copy, 100, &next));
    assert_int_equal(meta_put_info(e.txn, e.seg.meta, &info), 0);
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_BROKEN, info.first);
}

static void a_whole_record_of_no_known_form_is_unreadable(void **state)
{
    static uint8_t value[REC_MAX];
    struct scratch *s = *state;
    size_t n = value_of(s->store, 20, value);
    struct audit_store *store;
    struct audit_record r;
    struct hasher h;
    struct edit e;

    assert_true(hasher_init(&h));
    value[REC_VERSION] = 9;
    assert_true(hasher_sum(&h, value, n - AUDIT_HASH, value + n - AUDIT_HASH));
    hasher_free(&h);
    copy_store(s);
    e = edit_begin(s->copy, 20);
    edit_put(&e, 20, value, n);
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_UNREADABLE, 20);
    store = open_on(s->copy);
    assert_false(audit_read(store, 20, &r));
    assert_true(audit_read_from(store, 20, &r)); /* and an export is not stopped by it */
    assert_true(r.seq == 20 && r.kind == 0);
    assert_true(audit_read_from(store, 21, &r) && r.seq == 21 && r.kind != 0);
    audit_close(store);
}

/* --- the end */

static void a_cut_tail_shows(void **state)
{
    struct scratch *s = *state;
    struct head head = {.seq = RECORDS - 10};
    static uint8_t value[REC_MAX];
    struct audit_report whole, r;
    struct edit e;
    size_t n;

    assert_true(audit_verify(s->store, 0, NULL, NULL, NULL, &whole));
    copy_store(s);
    e = edit_begin(s->copy, RECORDS);
    for (uint64_t seq = RECORDS - 9; seq <= RECORDS; seq++)
        edit_delete(&e, seq);
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_TRUNCATED, RECORDS - 9);

    /* Done with care, nothing on the box tells; what was noted elsewhere does. */
    n = value_of(s->copy, RECORDS - 10, value);
    memcpy(head.hash, value + n - AUDIT_HASH, AUDIT_HASH);
    e = edit_begin(s->copy, RECORDS);
    assert_int_equal(meta_put_head(e.txn, e.seg.meta, &head), 0);
    edit_end(&e);
    expect_verdict(s->copy, AUDIT_SOUND, 0);
    assert_false(audit_verify(s->copy, RECORDS, whole.head, NULL, NULL, &r));
    assert_int_equal(r.fault, AUDIT_TRUNCATED);
    assert_int_equal(r.first_bad, RECORDS - 9);
}

static void what_was_noted_must_be_there(void **state)
{
    struct scratch *s = *state;
    static uint8_t value[REC_MAX];
    uint8_t noted[AUDIT_HASH];
    struct audit_report r;
    size_t n = value_of(s->store, 100, value);

    memcpy(noted, value + n - AUDIT_HASH, AUDIT_HASH);
    assert_true(audit_verify(s->store, 100, noted, NULL, NULL, &r));
    noted[0] ^= 1;
    assert_false(audit_verify(s->store, 100, noted, NULL, NULL, &r));
    assert_int_equal(r.fault, AUDIT_ALTERED);
    assert_int_equal(r.first_bad, 100);
    assert_true(audit_verify(s->store, RECORDS, NULL, NULL, NULL, &r));
    assert_false(audit_verify(s->store, RECORDS + 1, NULL, NULL, NULL, &r));
    assert_int_equal(r.fault, AUDIT_TRUNCATED);
    assert_int_equal(r.first_bad, RECORDS + 1);
}

static void missing_segments_show(void **state)
{
    struct scratch *s = *state;
    struct segment_list l;
    char path[PATH_MAX];

    assert_int_equal(segments_list(s->store, &l), 0);
    assert_true(l.count >= 3);
    for (size_t i = 0; i < l.count; i++) {
        copy_store(s);
        assert_true(segment_path(path, s->copy, l.first[i]));
        assert_int_equal(unlink(path), 0);
        expect_verdict(s->copy, i + 1 < l.count ? AUDIT_MISSING : AUDIT_TRUNCATED, l.first[i]);
    }
    segments_free(&l);
}

static void foreign_segments_show(void **state)
{
    struct scratch *s = *state;
    char from[PATH_MAX], to[PATH_MAX];

    copy_store(s); /* one under another's name */
    assert_true(segment_path(from, s->copy, 1));
    assert_true(segment_path(to, s->copy, RECORDS + 1));
    copy_file(from, to);
    expect_verdict(s->copy, AUDIT_UNREADABLE, RECORDS + 1);
    copy_store(s);
    assert_true(segment_path(to, s->copy, 50));
    copy_file(from, to);
    expect_verdict(s->copy, AUDIT_REORDERED, 50);
    copy_store(s); /* nothing but noise */
    assert_int_equal(truncate(from, 0), 0);
    expect_verdict(s->copy, AUDIT_UNREADABLE, 1);
}

struct seen {
    uint64_t calls, done, of;
};

static void see(void *ctx, uint64_t done, uint64_t of)
{
    struct seen *seen = ctx;

    assert_true(done >= seen->done);
    *seen = (struct seen){seen->calls + 1, done, of};
}

static void a_sound_store_is_counted(void **state)
{
    struct scratch *s = *state;
    struct seen seen = {0, 0, 0};
    struct audit_report r;

    assert_true(audit_verify(s->store, 0, NULL, see, &seen, &r));
    assert_int_equal(r.records, RECORDS);
    assert_int_equal(r.from, 1);
    assert_int_equal(r.to, RECORDS);
    assert_int_equal(seen.done, RECORDS);
    assert_int_equal(seen.of, RECORDS);
    assert_true(seen.calls > 0);
}

/* Somebody who collects all children of the process must not make a verdict of sound, or of crash.
 */
static void children_may_be_collected_elsewhere(void **state)
{
    struct scratch *s = *state;

    signal(SIGCHLD, SIG_IGN);
    expect_verdict(s->store, AUDIT_SOUND, 0);
    signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_is_counted),
        cmocka_unit_test(every_byte_of_a_record_is_guarded),
        cmocka_unit_test(deleted_records_are_missing),
        cmocka_unit_test(swapped_records_are_reordered),
        cmocka_unit_test(a_record_under_another_number_is_reordered),
        cmocka_unit_test(a_forged_record_breaks_the_chain),
        cmocka_unit_test(a_segment_must_follow_by_its_facts),
        cmocka_unit_test(a_whole_record_of_no_known_form_is_unreadable),
        cmocka_unit_test(a_cut_tail_shows),
        cmocka_unit_test(what_was_noted_must_be_there),
        cmocka_unit_test(missing_segments_show),
        cmocka_unit_test(foreign_segments_show),
        cmocka_unit_test(a_cut_file_is_unreadable),
        cmocka_unit_test(any_byte_of_a_file_may_be_damaged),
        cmocka_unit_test(children_may_be_collected_elsewhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
