#include "vault_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool complain(const char *file, struct diags *d, const char *what)
{
    diag_error(d, place_of_file(file), "%s: %s", what, strerrordesc_np(errno));
    return false;
}

static bool check_stat(const char *file, const struct stat *st, struct diags *d)
{
    unsigned mode = st->st_mode & 07777;

    if (!S_ISREG(st->st_mode))
        diag_error(d, place_of_file(file), "not a regular file");
    else if (mode != 0600 && mode != 0400)
        diag_error(d, place_of_file(file), "its mode is %04o: it must be 0600 or 0400", mode);
    else if (st->st_uid != geteuid() && st->st_uid != 0)
        diag_error(d, place_of_file(file), "it belongs to another user (%u)", st->st_uid);
    else
        return true;
    return false;
}

static ssize_t read_checked(int fd, const char *file, void *buf, size_t room, struct diags *d)
{
    ssize_t n = file_read_up_to(fd, buf, room);
    char more;

    if (n < 0) {
        complain(file, d, "cannot be read");
    } else if ((size_t)n == room && file_read_up_to(fd, &more, 1) != 0) {
        diag_error(d, place_of_file(file), "too large: more than %zu bytes", room);
        return -1;
    }
    return n;
}

ssize_t vault_file_read(const char *file, void *buf, size_t room, struct vault_stat *out,
                        struct diags *d)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = -1;
    struct stat st;

    if (fd < 0) {
        complain(file, d, "cannot be opened");
        return -1;
    }
    if (fstat(fd, &st))
        complain(file, d, "cannot be read");
    else if (check_stat(file, &st, d))
        n = read_checked(fd, file, buf, room, d);
    close(fd);
    if (n >= 0 && out)
        *out = (struct vault_stat){st.st_mode & 07777, st.st_uid, st.st_gid};
    return n;
}

static bool write_all(int fd, struct span s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s = span_from(s, (size_t)n);
    }
    return true;
}

/* A name is on disk only when its directory is. */
static bool sync_directory(const char *file)
{
    char copy[PATH_MAX];
    int fd, result;

    if (strlen(file) >= sizeof(copy)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(copy, file);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    result = fsync(fd);
    close(fd);
    return result == 0;
}

/* A new file with everything on disk; it is removed again on failure. The mode is set on the open
 * file, as the umask would cut the one given to open. */
static bool write_new(const char *file, struct span bytes, const struct vault_stat *st)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok;
    int why;

    if (fd < 0)
        return false;
    ok = write_all(fd, bytes) && fchmod(fd, st->mode) == 0 &&
         ((st->uid == geteuid() && st->gid == getegid()) || fchown(fd, st->uid, st->gid) == 0) &&
         fsync(fd) == 0;
    why = errno;
    close(fd);
    if (!ok)
        unlink(file);
    errno = why;
    return ok;
}

bool vault_file_create(const char *file, struct span bytes, struct diags *d)
{
    struct vault_stat mine = {0600, geteuid(), getegid()};

    if (!write_new(file, bytes, &mine))
        return complain(file, d, "cannot be created");
    return sync_directory(file) || complain(file, d, "its directory cannot be synced");
}

bool vault_file_replace(const char *file, struct span bytes, const struct vault_stat *st,
                        struct diags *d)
{
    struct arena mem = ARENA_INIT;
    char *fresh = arena_printf(&mem, "%s.new", file);
    bool ok = true;

    unlink(fresh); /* left by a run that was killed: we hold the lock, nobody else writes it */
    if (!write_new(fresh, bytes, st)) {
        ok = complain(fresh, d, "cannot be written");
    } else if (rename(fresh, file)) {
        ok = complain(file, d, "cannot be replaced");
        unlink(fresh);
    } else if (!sync_directory(file)) {
        ok = complain(file, d, "its directory cannot be synced");
    }
    arena_free(&mem);
    return ok;
}

/* The lock file stays: were it removed, two could hold "the" lock on two files of one name. */
int vault_file_lock(const char *file, struct diags *d)
{
    struct arena mem = ARENA_INIT;
    char *name = arena_printf(&mem, "%s.lock", file);
    int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int result = -1;

    if (fd >= 0)
        do {
            result = flock(fd, LOCK_EX);
        } while (result && errno == EINTR);
    if (result)
        complain(name, d, "cannot be locked");
    if (result && fd >= 0)
        close(fd);
    arena_free(&mem);
    return result ? -1 : fd;
}

void vault_file_unlock(int lock)
{
    close(lock);
}

uint8_t *vault_key_read(const char *key_file, struct diags *d)
{
    uint8_t *key = vault_mem_alloc(VAULT_KEY);
    ssize_t n;

    if (!key) {
        diag_error(d, place_of_file(key_file), "no memory for the key");
        return NULL;
    }
    n = vault_file_read(key_file, key, VAULT_KEY, NULL, d);
    if (n == VAULT_KEY)
        return key;
    if (n >= 0)
        diag_error(d, place_of_file(key_file), "not a key: it must hold %d bytes", VAULT_KEY);
    vault_mem_free(key);
    return NULL;
}
