/* Segments as readers have them: read-only, beside a writer, or of a copy where nothing may be
 * written. */
#include "audit_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_TRIES 5

/* How to open a segment, by its lock file. */
enum locking { LOCKED, UNLOCKED, FORBIDDEN };

/* Does a writer or reader in another process hold it? Without a right to look: yes. */
static bool is_held(const char *lock)
{
    struct flock look = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = open(lock, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return true;
    rc = fcntl(fd, F_GETLK, &look);
    close(fd);
    return rc || look.l_type != F_UNLCK;
}

/* A writer makes the lock file before its segment appears, so where there is none nobody writes,
 * and none is made in what may be evidence on its way to a court. A lock file that we may not write
 * is passed by if nobody holds it. */
static enum locking locking_of(const char *lock)
{
    if (access(lock, F_OK) && errno == ENOENT)
        return UNLOCKED;
    if (access(lock, R_OK | W_OK) == 0 || errno == EROFS)
        return LOCKED; /* LMDB itself goes without on a read-only filesystem */
    return is_held(lock) ? FORBIDDEN : UNLOCKED;
}

/* Has this process the file open? Opening it again would end, on close, the POSIX locks of the
 * first. */
static bool is_open_here(const char *path)
{
    struct stat wanted, st;
    struct dirent *entry;
    bool found = false;
    DIR *d;

    if (stat(path, &wanted))
        return false;
    d = opendir("/proc/self/fd");
    while (d && !found && (entry = readdir(d))) {
        uint64_t fd;

        if (span_u64(span_cstr(entry->d_name), &fd) && fstat((int)fd, &st) == 0)
            found = st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino;
    }
    if (d)
        closedir(d);
    return found;
}

static int open_once(struct segment_view *v, const char *path, unsigned flags)
{
    int rc = mdb_env_create(&v->env);

    if (rc) {
        v->env = NULL;
        return rc;
    }
    rc = mdb_env_set_maxdbs(v->env, 2);
    if (rc == 0)
        rc = mdb_env_open(v->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOTLS | flags, 0600);
    if (rc) {
        mdb_env_close(v->env);
        v->env = NULL;
    }
    return rc;
}

/* LMDB says that opening can fail while another process opens or closes at the same moment. */
static int open_patiently(struct segment_view *v, const char *path, unsigned flags)
{
    const struct timespec nap = {0, 2000000};
    int rc = open_once(v, path, flags);

    for (unsigned i = 1; i < OPEN_TRIES && (rc == EAGAIN || rc == MDB_INVALID); i++) {
        nanosleep(&nap, NULL);
        rc = open_once(v, path, flags);
    }
    return rc;
}

static int open_databases(struct segment_view *v, uint64_t first)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, "records", 0, &v->records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", 0, &v->meta);
    if (rc == 0)
        rc = meta_get_info(txn, v->meta, &v->info);
    if (rc == 0 && v->info.first != first)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        rc = mdb_txn_commit(txn); /* keeps the handles */
    else
        mdb_txn_abort(txn);
    if (rc == 0)
        rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &v->txn);
    if (rc == 0)
        mdb_txn_reset(v->txn);
    return rc;
}

int view_open(struct segment_view *v, const char *directory, uint64_t first, bool alone,
              struct why *w)
{
    char path[PATH_MAX], lock[PATH_MAX + 8];
    enum locking locking;
    int rc;

    *v = (struct segment_view){.env = NULL};
    if (!segment_path(path, directory, first))
        return why_set(w, ENAMETOOLONG, "the directory's name is too long");
    if (!alone && is_open_here(path))
        return why_set(w, EBUSY, "segment %llu is open in this process already",
                       (unsigned long long)first);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    locking = locking_of(lock);
    if (locking == FORBIDDEN)
        return why_set(w, EACCES, "segment %llu is in use and %s", (unsigned long long)first,
                       "its lock file may not be written");
    rc = open_patiently(v, path, locking == UNLOCKED ? MDB_NOLOCK : 0);
    if (rc == 0)
        rc = open_databases(v, first);
    if (rc == 0)
        return 0;
    view_close(v);
    return why_set(w, rc, "cannot open segment %llu: %s", (unsigned long long)first,
                   mdb_strerror(rc));
}

void view_close(struct segment_view *v)
{
    if (v->txn)
        mdb_txn_abort(v->txn);
    if (v->env)
        mdb_env_close(v->env);
    *v = (struct segment_view){.env = NULL};
}

int view_begin(struct segment_view *v)
{
    return mdb_txn_renew(v->txn);
}

void view_end(struct segment_view *v)
{
    mdb_txn_reset(v->txn);
}
