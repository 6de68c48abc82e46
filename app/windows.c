/* Windows across a restart: the secret in its file, and what the audit store tells of them.
 *
 * A record says what its call counted under which secret. If it is another than ours, or if
 * something in the time that matters cannot be read, nobody knows what has been spent: then windows
 * are unknown until their length has passed, so that a lost file or a damaged store never gives
 * anybody his limit a second time. */
#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define KEY_FILE "window.key"

enum { PROGRESS_S = 5, PROGRESS_EVERY = 4096 /* records between two looks at the clock */ };

/* Events of different threads, and clocks that were set, are a little out of order. */
static const uint64_t slack_ns = 600 * NS_IN_S;

/* ------------------------------------------------------------------ the secret */

static bool key_path(char out[PATH_MAX], const struct app_config *c)
{
    int n = snprintf(out, PATH_MAX, "%s/" KEY_FILE, c->audit_directory);

    return n > 0 && n < PATH_MAX;
}

static bool read_secret(struct app_windows *w, const struct app_config *c)
{
    char path[PATH_MAX];
    uint8_t more[WINDOW_SECRET + 1];
    int fd = key_path(path, c) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ssize_t n;

    if (fd < 0 && errno == ENOENT) {
        w->fresh = true;
        return getrandom(w->secret, sizeof(w->secret), 0) == sizeof(w->secret);
    }
    n = fd < 0 ? -1 : file_read_up_to(fd, more, sizeof(more));
    if (fd >= 0)
        close(fd);
    if (n == WINDOW_SECRET)
        memcpy(w->secret, more, sizeof(w->secret));
    else
        log_error("app", "%s: %s", path, n < 0 ? strerror(errno) : "it must have 16 bytes");
    explicit_bzero(more, sizeof(more));
    return n == WINDOW_SECRET;
}

static bool write_whole(int fd, const void *p, size_t n)
{
    return write(fd, p, n) == (ssize_t)n && fsync(fd) == 0;
}

static void sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

bool app_windows_keep(struct app_windows *w, const struct app_config *c)
{
    char path[PATH_MAX];
    int fd;
    bool ok;

    if (!w->fresh)
        return true;
    fd = key_path(path, c) ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    ok = fd >= 0 && write_whole(fd, w->secret, sizeof(w->secret));
    if (!ok)
        log_error("app", "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!ok && fd >= 0)
        unlink(path);
    sync_directory(c->audit_directory);
    w->fresh = !ok;
    return ok;
}

/* --------------------------------------------------------------- reading back */

struct reading {
    struct window_table *table;
    struct audit_store *store;
    uint64_t now_ns, told_ns; /* `told_ns`: when progress was last told */
    uint64_t records, counted, returned;
    uint32_t fingerprint;
    const char *doubt; /* why not all is known; NULL: all is */
};

static void take_told(struct reading *r, unsigned field, struct span text)
{
    struct window_told told;

    if (!window_told_read(text, &told)) {
        r->doubt = "a record is malformed";
    } else if (field == AUDIT_F_RETURNED) {
        window_restore_back(r->table, &told);
        r->returned++;
    } else {
        if (!window_restore(r->table, &told, r->now_ns))
            r->doubt = "there are more keys than windows.keys";
        r->counted++;
    }
}

static void take_record(struct reading *r, const struct audit_record *record)
{
    struct audit_value v;
    size_t at = 0;

    if (record->kind == 0)
        r->doubt = "a record cannot be read";
    if (record->kind != AUDIT_CALL_DECIDED && record->kind != AUDIT_CALL_SETTLED)
        return;
    if (audit_get(record, AUDIT_F_COUNTED_KEY, &v) && v.number != r->fingerprint) {
        r->doubt = KEY_FILE " is not the one that they were counted with";
        return;
    }
    while (audit_next_field(record, &at, &v))
        if (v.field == AUDIT_F_COUNTED || v.field == AUDIT_F_RETURNED)
            take_told(r, v.field, v.text);
}

/* The first record that may matter, by halving: the earliest one not known to be older. */
static uint64_t first_since(struct audit_store *s, uint64_t since_ns)
{
    uint64_t low = audit_first(s), high = audit_last(s) + 1;
    struct audit_record record;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (audit_read(s, middle, &record) && record.wall_ns < since_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tell_progress(struct reading *r, uint64_t at, uint64_t last)
{
    uint64_t now_ns = clock_mono_ns();

    if (now_ns - r->told_ns < PROGRESS_S * NS_IN_S)
        return;
    r->told_ns = now_ns;
    log_info("app", "windows: %lu records read back, %lu to go", r->records, last - at);
}

static void read_store(struct reading *r, uint64_t since_ns, const _Atomic bool *stop)
{
    uint64_t last = audit_last(r->store), seq;
    struct audit_record record;

    if (audit_first(r->store) == 0)
        return;
    seq = first_since(r->store, since_ns);
    r->told_ns = clock_mono_ns();
    for (; seq <= last && audit_read_from(r->store, seq, &record); seq = record.seq + 1) {
        if (record.seq != seq)
            r->doubt = "records are missing";
        take_record(r, &record);
        if (++r->records % PROGRESS_EVERY)
            continue;
        tell_progress(r, seq, last);
        if (atomic_load_explicit(stop, memory_order_relaxed))
            break;
    }
    if (seq <= last)
        r->doubt = "the store was not read to its end";
}

/* A directory without segments has no past. One whose segments cannot be opened is complained of by
 * the store's writer; nothing starts then. */
static void read_back(struct app_windows *w, const struct app_config *c, uint64_t longest_ns,
                      const _Atomic bool *stop)
{
    struct reading r = {.table = w->table, .now_ns = clock_wall_ns()};
    uint64_t began_ns = clock_mono_ns();
    struct diags d;

    diags_init(&d);
    r.store = audit_open(c->audit_directory, &d);
    diags_free(&d);
    if (!r.store)
        return;
    r.fingerprint = window_fingerprint(w->table);
    read_store(&r, r.now_ns - longest_ns - longest_ns / 60 - slack_ns, stop);
    audit_close(r.store);
    if (r.doubt) {
        window_forget(w->table, r.now_ns);
        log_warn("app",
                 "windows: what was counted before is not known for certain: %s; conditions with "
                 "spent() or calls() are unknown until their window's length has passed",
                 r.doubt);
    }
    log_info("app", "windows: %lu records read back in %llu ms, %lu amounts, %lu returned, %u keys",
             r.records, (clock_mono_ns() - began_ns) / NS_IN_MS, r.counted, r.returned,
             window_keys_in_use(w->table));
}

bool app_windows_open(struct app_windows *w, const struct app_config *c, uint64_t longest_ns,
                      const _Atomic bool *stop)
{
    if (!read_secret(w, c))
        return false;
    w->table = window_table_new(c->window_keys, w->secret);
    if (!w->table) {
        log_error("app", "no memory for windows.keys: %u", c->window_keys);
        return false;
    }
    if (longest_ns)
        read_back(w, c, longest_ns, stop);
    return true;
}

void app_windows_close(struct app_windows *w)
{
    window_table_delete(w->table);
    explicit_bzero(w->secret, sizeof(w->secret));
}
