/* The sets of rules that have run, each in a directory of its own: the rules files as they were
 * read, and set.json, which says when and by whom. A set is written beside its place and renamed,
 * so that it is there whole or not at all. `pinned` names the set that a rollback put in force. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control_internal.h"

#define NEW_SET ".new"
#define PINNED  "pinned"
#define ABOUT   "set.json"

static bool failed(char why[256], const char *path)
{
    snprintf(why, 256, "%.200s: %s", path, strerror(errno));
    return false;
}

static bool join(char out[PATH_MAX], const char *directory, const char *name)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", directory, name);

    return n > 0 && n < PATH_MAX;
}

/* Sets are named by their number, six digits at least. */
static bool set_path(char out[PATH_MAX], const char *directory, uint64_t number)
{
    char name[32];

    snprintf(name, sizeof(name), "%06llu", (unsigned long long)number);
    return join(out, directory, name);
}

static bool is_set(const char *name, uint64_t *number)
{
    char canonical[32];

    if (!span_u64(span_cstr(name), number) || *number == 0)
        return false;
    snprintf(canonical, sizeof(canonical), "%06llu", (unsigned long long)*number);
    return strcmp(canonical, name) == 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The numbers of the sets that are there, ascending; at most `room`, the rest is not looked at. */
static unsigned list(const char *directory, uint64_t *out, unsigned room)
{
    DIR *d = opendir(directory);
    struct dirent *e;
    unsigned n = 0;

    while (d && n < room && (e = readdir(d)))
        n += is_set(e->d_name, &out[n]);
    if (d)
        closedir(d);
    if (n)
        qsort(out, n, sizeof(*out), by_number);
    return n;
}

/* ----------------------------------------------------------------------- writing */

static bool sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

static bool write_file(const char *directory, struct span name, struct span text, char why[256])
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%.*s", directory, SPAN_ARG(name)), fd;
    bool good = true;

    if (n <= 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return failed(why, directory);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    while (fd >= 0 && good && text.n) {
        ssize_t k = write(fd, text.p, text.n);

        if (k > 0)
            text = span_from(text, (size_t)k);
        else
            good = k < 0 && errno == EINTR;
    }
    good = fd >= 0 && good && fsync(fd) == 0;
    if (!good)
        failed(why, path);
    if (fd >= 0)
        close(fd);
    return good;
}

/* A set is flat: files, no directories. */
static void remove_set(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char file[PATH_MAX];

    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            join(file, path, e->d_name))
            unlink(file);
    if (d)
        closedir(d);
    rmdir(path);
}

static json_t *about(const struct rules_set *s, uint64_t number, const char *who, uint64_t now_ns)
{
    char hash[2 * RULES_HASH + 1], when[CLOCK_TEXT];
    struct outbuf o = outbuf_on(hash, sizeof(hash) - 1);

    outbuf_hex(&o, rules_hash(s), RULES_HASH);
    hash[o.n] = 0;
    return json_pack("{s:I, s:s, s:s, s:s, s:i, s:i, s:i}", "set", (json_int_t)number, "rules_hash",
                     hash, "loaded", clock_text(now_ns, when), "by", who, "files",
                     (int)rules_file_count(s), "rules", (int)rules_count(s), "functions",
                     (int)rules_function_count(s));
}

static bool write_set(const char *path, const struct rules_set *s, json_t *said, char why[256])
{
    char *text = json_dumps(said, JSON_COMPACT);
    bool good = text != NULL;

    remove_set(path); /* what an earlier attempt left */
    if (!good || mkdir(path, 0700) != 0) {
        free(text);
        return failed(why, path);
    }
    for (unsigned i = 0; good && i < rules_file_count(s); i++) {
        struct span name, body;

        rules_file_at(s, i, &name, &body);
        good = write_file(path, name, body, why);
    }
    good = good && write_file(path, SPAN_LIT(ABOUT), span_cstr(text), why);
    free(text);
    return good && (sync_directory(path) || failed(why, path));
}

static json_t *read_about(const char *directory, uint64_t number)
{
    char path[PATH_MAX], file[PATH_MAX];

    if (!set_path(path, directory, number) || !join(file, path, ABOUT))
        return NULL;
    return json_load_file(file, 0, NULL);
}

static bool says_hash(const json_t *said, const struct rules_set *s)
{
    char hash[2 * RULES_HASH + 1];
    struct outbuf o = outbuf_on(hash, sizeof(hash) - 1);
    const char *have = json_string_value(json_object_get(said, "rules_hash"));

    outbuf_hex(&o, rules_hash(s), RULES_HASH);
    hash[o.n] = 0;
    return have && strcmp(have, hash) == 0;
}

static void drop_old(const char *directory, const uint64_t *have, unsigned n, uint64_t keep)
{
    char path[PATH_MAX];

    for (unsigned i = 0; i < n && n - i >= CONTROL_HISTORY_KEPT; i++)
        if (have[i] != keep && set_path(path, directory, have[i]))
            remove_set(path);
}

uint64_t control_history_keep(const char *directory, const struct rules_set *s, const char *who,
                              uint64_t now_ns, char why[256])
{
    uint64_t have[2 * CONTROL_HISTORY_KEPT], number = 1;
    char fresh[PATH_MAX], path[PATH_MAX];
    unsigned n;
    json_t *said;
    bool good;

    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return failed(why, directory);
    n = list(directory, have, 2 * CONTROL_HISTORY_KEPT);
    if (n) {
        said = read_about(directory, have[n - 1]);
        good = said && says_hash(said, s);
        json_decref(said);
        if (good)
            return have[n - 1];
        number = have[n - 1] + 1;
    }
    if (!join(fresh, directory, NEW_SET) || !set_path(path, directory, number))
        return failed(why, directory);
    said = about(s, number, who, now_ns);
    good = said && write_set(fresh, s, said, why) &&
           ((rename(fresh, path) == 0 && sync_directory(directory)) || failed(why, path));
    json_decref(said);
    if (!good)
        return 0;
    drop_old(directory, have, n, control_history_pinned(directory));
    return number;
}

/* ----------------------------------------------------------------------- pinning */

uint64_t control_history_pinned(const char *directory)
{
    char path[PATH_MAX], text[32] = "";
    uint64_t number = 0;
    FILE *f;

    if (!join(path, directory, PINNED) || !(f = fopen(path, "re")))
        return 0;
    if (!fgets(text, sizeof(text), f) || !span_u64(span_cstr(text), &number))
        number = 0;
    fclose(f);
    return number;
}

bool control_history_pin(const char *directory, uint64_t number, char why[256])
{
    char path[PATH_MAX], fresh[PATH_MAX], text[32];

    if (!join(path, directory, PINNED) || !join(fresh, directory, PINNED ".new"))
        return failed(why, directory);
    if (number == 0)
        return unlink(path) == 0 || errno == ENOENT || failed(why, path);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return write_file(directory, SPAN_LIT(PINNED ".new"), span_cstr(text), why) &&
           ((rename(fresh, path) == 0 && sync_directory(directory)) || failed(why, path));
}

bool control_history_path(const char *directory, uint64_t number, char out[PATH_MAX])
{
    struct stat st;

    return set_path(out, directory, number) && stat(out, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ----------------------------------------------------------------------- showing */

json_t *history_json(const char *directory, uint64_t running)
{
    uint64_t have[2 * CONTROL_HISTORY_KEPT], pinned = control_history_pinned(directory);
    unsigned n = list(directory, have, 2 * CONTROL_HISTORY_KEPT);
    json_t *sets = json_array();

    for (unsigned i = 0; i < n; i++) {
        json_t *said = read_about(directory, have[i]);

        if (!said)
            continue;
        json_object_set_new(said, "running", json_boolean(have[i] == running));
        json_object_set_new(said, "pinned", json_boolean(have[i] == pinned));
        json_array_append_new(sets, said);
    }
    return sets;
}

uint64_t history_before(const char *directory, uint64_t number)
{
    uint64_t have[2 * CONTROL_HISTORY_KEPT];
    unsigned n = list(directory, have, 2 * CONTROL_HISTORY_KEPT);

    while (n && have[n - 1] >= number)
        n--;
    return n ? have[n - 1] : 0;
}
