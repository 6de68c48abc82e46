#include "audit_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

static int set_up(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));

    scratch_make(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static size_t segments_of(const char *dir)
{
    struct segment_list l;
    size_t n;

    assert_int_equal(segments_list(dir, &l), 0);
    n = l.count;
    segments_free(&l);
    return n;
}

/* All records are there, in order, with the counter 1, 2, 3 ... in them. */
static void expect_counted(const char *dir, uint64_t last)
{
    struct audit_store *store = open_on(dir);
    struct audit_record r;
    struct audit_value v;

    assert_non_null(store);
    assert_int_equal(audit_first(store), last ? 1 : 0);
    assert_int_equal(audit_last(store), last);
    for (uint64_t seq = 1; seq <= last; seq++) {
        assert_true(audit_read_from(store, seq, &r));
        assert_int_equal(r.seq, seq);
        assert_true(audit_get(&r, AUDIT_F_COUNT, &v));
        assert_int_equal(v.number, seq);
    }
    assert_false(audit_read(store, last + 1, &r));
    assert_false(audit_read_from(store, last + 1, &r));
    assert_false(audit_read(store, 0, &r));
    assert_true(last == 0 || (audit_read(store, 1, &r) && r.seq == 1));
    audit_close(store);
}

static void an_empty_store_is_sound(void **state)
{
    struct scratch *s = *state;

    audit_stop(start_on(s->store), NS_IN_S);
    expect_counted(s->store, 0);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static void restarts_go_on_with_the_chain(void **state)
{
    struct scratch *s = *state;

    for (uint64_t round = 0; round < 4; round++) {
        struct audit *a = start_on(s->store);

        assert_int_equal(audit_last_seq(a), round * 100);
        put_many(audit_ring_of(a, 0), round * 100 + 1, 100, 300);
        assert_int_equal(audit_last_seq(a), round * 100 + 100);
        assert_int_equal(counter_get(&audit_counters(a)->events), 100);
        audit_stop(a, NS_IN_S);
    }
    assert_int_equal(segments_of(s->store), 1);
    expect_counted(s->store, 400);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static void stopping_drains(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);

    for (uint64_t n = 1; n <= 500; n++)
        assert_true(put_event(audit_ring_of(a, 1), AUDIT_CALL_SETTLED, n, 900) > 0);
    audit_stop(a, 0);
    expect_counted(s->store, 500);
}

static void segments_follow_each_other(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit *a;

    c.segment_bytes = MIB;
    a = start_with(&c);
    assert_non_null(a);
    put_many(audit_ring_of(a, 0), 1, 3000, 1500);
    assert_true(counter_get(&audit_counters(a)->segments) >= 3);
    audit_stop(a, NS_IN_S);
    assert_true(segments_of(s->store) >= 4);
    a = start_with(&c);
    assert_non_null(a);
    put_many(audit_ring_of(a, 0), 3001, 1000, 1500);
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, 4000);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

/* Should the map be full before the size is reached: a new segment, and no call refused for it. */
static void a_full_map_begins_a_segment(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    uint64_t used;

    put_many(audit_ring_of(a, 0), 1, 50, 300);
    nap_ms(100); /* the writer rests: LMDB wants no transaction while the map changes */
    used = segment_used(&a->segment);
    assert_int_equal(mdb_env_set_mapsize(a->segment.env, used + (64 << 10)), 0);
    put_many(audit_ring_of(a, 0), 51, 200, 3000);
    assert_int_equal(counter_get(&audit_counters(a)->segments), 1);
    assert_int_equal(counter_get(&audit_counters(a)->commit_failures), 0);
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, 250);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static void large_events_come_back(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    uint64_t n = 1;

    for (size_t size = 1; size < AUDIT_EVENT_MAX - 64; size = size * 5 / 4 + 1, n++) {
        uint64_t ticket = put_event(audit_ring_of(a, 0), AUDIT_CALL_SETTLED, n, size);

        assert_true(ticket && wait_durable(audit_ring_of(a, 0), ticket, 60000));
    }
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, n - 1);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static void one_writer_a_store(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit *a = start_on(s->store);

    print_message("(a refusal follows)\n");
    assert_null(start_with(&c));
    audit_stop(a, NS_IN_S);
}

static void wrong_settings_are_refused(void **state)
{
    static const char long_name[300] = {[0 ... 298] = 'x'};
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store), bad[] = {c, c, c, c, c, c, c};

    bad[0].ring_bytes = MIB + 1;
    bad[1].ring_bytes = MIB / 2;
    bad[2].rings = 0;
    bad[3].rings = AUDIT_RINGS_MAX + 1;
    bad[4].segment_bytes = 1000;
    bad[5].appliance = long_name;
    bad[6].directory = "/proc/no/such";
    print_message("(seven refusals follow)\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(start_with(&bad[i]));
}

static bool is_marked_closed(const char *dir, uint64_t first)
{
    struct segment_view v;
    uint64_t when;
    struct why w;
    int rc;

    assert_int_equal(view_open(&v, dir, first, true, &w), 0);
    assert_int_equal(view_begin(&v), 0);
    rc = meta_get_closed(v.txn, v.meta, &when);
    assert_true(rc == 0 || rc == MDB_NOTFOUND);
    view_close(&v);
    return rc == 0;
}

/* Half of a roll: the next segment is there, the one before is not closed. */
static void a_roll_cut_short_is_finished(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    struct segment_info info = {.first = 101, .created_ns = clock_wall_ns()};
    struct audit_store *store;
    struct audit_record r;
    struct why w;

    put_many(audit_ring_of(a, 0), 1, 100, 300);
    audit_stop(a, NS_IN_S);
    store = open_on(s->store);
    assert_true(audit_read(store, 100, &r));
    memcpy(info.previous, r.hash, AUDIT_HASH);
    audit_close(store);
    assert_int_equal(segment_create(s->store, &info, 64 * MIB, &w), 0);
    expect_verdict(s->store, AUDIT_SOUND, 0);
    assert_false(is_marked_closed(s->store, 1));
    a = start_on(s->store);
    put_many(audit_ring_of(a, 0), 101, 50, 300);
    audit_stop(a, NS_IN_S);
    assert_true(is_marked_closed(s->store, 1));
    assert_false(is_marked_closed(s->store, 101));
    expect_counted(s->store, 150);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static void a_closed_last_segment_is_not_continued(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit *a = start_on(s->store);
    struct segment segment = {.env = NULL};
    struct why w;

    put_many(audit_ring_of(a, 0), 1, 10, 300);
    audit_stop(a, NS_IN_S);
    assert_int_equal(segment_open(&segment, s->store, 1, 0, &w), 0);
    assert_int_equal(segment_mark_closed(&segment, 1, &w), 0);
    segment_close(&segment);
    print_message("(a refusal follows)\n");
    assert_null(start_with(&c));
    expect_verdict(s->store, AUDIT_TRUNCATED, 11);
}

/* One byte of a record among the last, or the note of the last one: nothing is written behind that.
 */
static void an_altered_end_is_not_continued(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit *a = start_on(s->store);
    uint8_t key[8], value[REC_MAX];
    MDB_val k = {8, key}, v;
    struct segment segment = {.env = NULL};
    MDB_txn *txn;
    struct why w;

    put_many(audit_ring_of(a, 0), 1, 100, 300);
    audit_stop(a, NS_IN_S);
    put_be(key, 70, 8);
    print_message("(a refusal follows)\n");
    for (unsigned flip = 0; flip < 2; flip++) { /* and back again */
        assert_int_equal(segment_open(&segment, s->store, 1, 0, &w), 0);
        assert_int_equal(mdb_txn_begin(segment.env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_get(txn, segment.records, &k, &v), 0);
        memcpy(value, v.mv_data, v.mv_size);
        value[100] ^= 1;
        v.mv_data = value;
        assert_int_equal(mdb_put(txn, segment.records, &k, &v, 0), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        segment_close(&segment);
        a = start_with(&c);
        assert_int_equal(a != NULL, flip);
    }
    put_many(audit_ring_of(a, 0), 101, 10, 300);
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, 110);
}

/* --- beside a writer */

/* Follows the store from another process until it has seen `last`; 0 if all was in order. */
static int follow(const char *dir, uint64_t last)
{
    struct audit_store *store = NULL;
    struct audit_record r;
    struct audit_value v;
    uint64_t until = clock_mono_ns() + 120 * NS_IN_S;

    for (uint64_t seq = 1; seq <= last && clock_mono_ns() < until;) {
        struct diags d;

        diags_init(&d);
        if (!store)
            store = audit_open(dir, &d);
        diags_free(&d);
        if (!store || audit_last(store) < seq || !audit_read_from(store, seq, &r)) {
            nap_ms(1);
            continue;
        }
        if (r.seq != seq || !audit_get(&r, AUDIT_F_COUNT, &v) || v.number != seq)
            return 1;
        seq++;
    }
    if (!store || audit_last(store) != last)
        return 2;
    audit_close(store);
    return 0;
}

static void readers_follow_a_running_writer(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    struct audit_report report;
    struct audit *a;
    int status;
    pid_t reader = fork();

    if (reader == 0)
        _exit(follow(s->store, 4000));
    c.segment_bytes = MIB;
    a = start_with(&c);
    assert_non_null(a);
    put_many(audit_ring_of(a, 0), 1, 2000, 1500);
    if (!audit_verify(s->store, 0, NULL, NULL, NULL,
                      &report)) /* beside the writer, in its process */
        fail_msg("%s at %llu: %s", audit_fault_name(report.fault),
                 (unsigned long long)report.first_bad, report.detail);
    assert_true(report.records >= 2000);
    put_many(audit_ring_of(a, 0), 2001, 2000, 1500);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    audit_stop(a, NS_IN_S);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

/* In the middle of a read, for ever. */
static int read_without_end(const char *dir)
{
    struct segment_view v;
    struct why w;

    return view_open(&v, dir, 1, true, &w) || view_begin(&v);
}

/* Between two reads. */
static int read_one(const char *dir)
{
    struct audit_store *store = open_on(dir);
    struct audit_record r;

    return !store || !audit_read(store, 1, &r);
}

static pid_t start_reader(const char *dir, int (*read_something)(const char *))
{
    int pipe_fd[2];
    char byte;
    pid_t reader;

    assert_int_equal(pipe(pipe_fd), 0);
    reader = fork();
    if (reader == 0) {
        if (read_something(dir))
            _exit(1);
        (void)!write(pipe_fd[1], "x", 1);
        pause();
    }
    close(pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    close(pipe_fd[0]);
    return reader;
}

/* 300 commits of a record of some 250 bytes. With pages pinned, each of them would take its five
 * pages anew. */
static void expect_pages_reused(struct audit *a, uint64_t *n)
{
    uint64_t used = segment_used(&a->segment); /* the writer rests */

    for (unsigned i = 0; i < 300; i++)
        put_many(audit_ring_of(a, 0), (*n)++, 1, 100);
    used = segment_used(&a->segment) - used;
    if (used > (uint64_t)300 * 1024)
        fail_msg("the file grew by %llu bytes", (unsigned long long)used);
}

static void readers_at_rest_pin_nothing(void **state)
{
    struct scratch *s = *state;
    struct audit_config c = config_of(s->store);
    pid_t reader;
    struct audit *a;
    uint64_t n = 1;

    a = start_with(&c);
    assert_non_null(a);
    put_many(audit_ring_of(a, 0), n++, 1, 100);
    audit_stop(a, NS_IN_S);
    reader =
        start_reader(s->store, read_one); /* before the writer: it must not inherit its files */
    a = start_on(s->store);
    put_many(audit_ring_of(a, 0), n, 20, 100);
    n += 20;
    expect_pages_reused(a, &n);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, n - 1);
}

/* A reader killed in the middle of a read must not pin pages for ever. */
static void dead_readers_are_cleared(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    uint64_t n = 1, until;
    pid_t reader;

    put_many(audit_ring_of(a, 0), n, 100, 100);
    n += 100;
    reader = start_reader(s->store, read_without_end);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    until = clock_mono_ns() + 2500 * NS_IN_MS; /* the writer looks every second */
    while (clock_mono_ns() < until) {
        put_many(audit_ring_of(a, 0), n++, 1, 100);
        nap_ms(1);
    }
    expect_pages_reused(a, &n);
    audit_stop(a, NS_IN_S);
    expect_verdict(s->store, AUDIT_SOUND, 0);
}

static bool has_lock_file(const char *dir)
{
    struct dirent *e;
    bool found = false;
    DIR *d = opendir(dir);

    while ((e = readdir(d)))
        found |= strstr(e->d_name, "lock") != NULL;
    closedir(d);
    return found;
}

static void a_copy_is_read_without_a_trace(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);

    put_many(audit_ring_of(a, 0), 1, 200, 700);
    audit_stop(a, NS_IN_S);
    copy_store(s);
    expect_counted(s->copy, 200);
    expect_verdict(s->copy, AUDIT_SOUND, 0);
    assert_false(has_lock_file(s->copy));
}

/* With its lock files, on a filesystem mounted read-only: in a mount namespace of a child's own. */
static void a_read_only_filesystem_is_read(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);
    int status;
    pid_t child;

    put_many(audit_ring_of(a, 0), 1, 200, 700);
    audit_stop(a, NS_IN_S);
    child = fork();
    if (child == 0) {
        if (geteuid() || unshare(CLONE_NEWNS) ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount(s->store, s->store, NULL, MS_BIND, NULL) ||
            mount(NULL, s->store, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
            _exit(77);
        expect_counted(s->store, 200);
        expect_verdict(s->store, AUDIT_SOUND, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("SKIPPED: no right to mount (not root)\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void what_is_not_a_store_is_refused(void **state)
{
    struct scratch *s = *state;

    print_message("(two refusals follow)\n");
    assert_null(open_on("/nonexistent"));
    assert_null(open_on(s->dir));
    expect_verdict("/nonexistent", AUDIT_UNREADABLE, 1);
    expect_verdict(s->dir, AUDIT_UNREADABLE, 1);
}

/* LMDB's locks would be lost: better no reader than a broken writer. */
static void the_writers_process_is_not_let_in_twice(void **state)
{
    struct scratch *s = *state;
    struct audit *a = start_on(s->store);

    print_message("(a refusal follows)\n");
    assert_null(open_on(s->store));
    put_many(audit_ring_of(a, 0), 1, 10, 100);
    audit_stop(a, NS_IN_S);
    expect_counted(s->store, 10);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_empty_store_is_sound),
        T(restarts_go_on_with_the_chain),
        T(stopping_drains),
        T(segments_follow_each_other),
        T(a_full_map_begins_a_segment),
        T(large_events_come_back),
        T(one_writer_a_store),
        T(wrong_settings_are_refused),
        T(a_roll_cut_short_is_finished),
        T(a_closed_last_segment_is_not_continued),
        T(an_altered_end_is_not_continued),
        T(readers_follow_a_running_writer),
        T(readers_at_rest_pin_nothing),
        T(dead_readers_are_cleared),
        T(a_copy_is_read_without_a_trace),
        T(a_read_only_filesystem_is_read),
        T(what_is_not_a_store_is_refused),
        T(the_writers_process_is_not_let_in_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
