#include "audit_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_PREFIX "segment-"
#define NAME_SUFFIX ".mdb"
#define NAME_DIGITS 16 /* at least; leading zeros up to here */

/* LMDB's lock file for its usual 126 readers. */
#define LOCK_FILE_BYTES 8192

/* "segment-<16 or more digits>.mdb", written the one way that segment_path writes it. */
static bool segment_of_name(const char *name, uint64_t *first)
{
    struct span s = span_cstr(name);
    char canonical[64];

    if (!span_starts(s, SPAN_LIT(NAME_PREFIX)) || !span_ends(s, SPAN_LIT(NAME_SUFFIX)) ||
        s.n < sizeof(NAME_PREFIX NAME_SUFFIX) - 1)
        return false;
    s = span_of(s.p + sizeof(NAME_PREFIX) - 1, s.n - (sizeof(NAME_PREFIX NAME_SUFFIX) - 1));
    if (!span_u64(s, first))
        return false;
    snprintf(canonical, sizeof(canonical), "%s%0*llu%s", NAME_PREFIX, NAME_DIGITS,
             (unsigned long long)*first, NAME_SUFFIX);
    return strcmp(name, canonical) == 0;
}

bool path_join(char out[PATH_MAX], const char *directory, const char *name)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", directory, name);

    return n > 0 && n < PATH_MAX;
}

bool segment_path(char out[PATH_MAX], const char *directory, uint64_t first)
{
    int n = snprintf(out, PATH_MAX, "%s/%s%0*llu%s", directory, NAME_PREFIX, NAME_DIGITS,
                     (unsigned long long)first, NAME_SUFFIX);

    return n > 0 && n < PATH_MAX - 16; /* "-lock" will be put behind it */
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int list_add(struct segment_list *l, size_t *room, uint64_t first)
{
    if (l->count == *room) {
        size_t more = *room ? *room * 2 : 64;
        uint64_t *p = realloc(l->first, more * sizeof(*p));

        if (!p)
            return ENOMEM;
        l->first = p;
        *room = more;
    }
    l->first[l->count++] = first;
    return 0;
}

int segments_list(const char *directory, struct segment_list *l)
{
    DIR *d = opendir(directory);
    struct dirent *entry;
    size_t room = 0;
    uint64_t first;
    int rc = 0;

    *l = (struct segment_list){NULL, 0};
    if (!d)
        return errno;
    for (errno = 0; rc == 0 && (entry = readdir(d)); errno = 0)
        if (segment_of_name(entry->d_name, &first))
            rc = list_add(l, &room, first);
    rc = rc ? rc : errno;
    closedir(d);
    if (rc)
        segments_free(l);
    else if (l->count)
        qsort(l->first, l->count, sizeof(*l->first), by_number);
    return rc;
}

void segments_free(struct segment_list *l)
{
    free(l->first);
    *l = (struct segment_list){NULL, 0};
}

int directory_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0)
        return errno;
    rc = fsync(fd) ? errno : 0;
    close(fd);
    return rc;
}

int directory_make(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(part))
        return n ? ENAMETOOLONG : ENOENT;
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return errno;
        part[i] = path[i];
    }
    return 0;
}

static int write_zeros(int fd, off_t from, off_t to)
{
    static const char zeros[LOCK_FILE_BYTES];

    while (from < to) {
        ssize_t n = pwrite(fd, zeros, (size_t)(to - from), from);

        if (n < 0 && errno != EINTR)
            return errno;
        if (n == 0)
            return ENOSPC;
        from += n > 0 ? n : 0;
    }
    return fsync(fd) ? errno : 0;
}

/* Only ever adds behind the end, so that a lock file in use is not disturbed. Opening and closing
 * it is safe as long as this process has the environment closed (POSIX locks). */
int lock_file_fill(const char *segment)
{
    char path[PATH_MAX];
    struct stat st;
    int fd, rc = 0, n = snprintf(path, sizeof(path), "%s-lock", segment);

    if (n < 0 || n >= (int)sizeof(path))
        return ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (fstat(fd, &st))
        rc = errno;
    else if (st.st_size < LOCK_FILE_BYTES)
        rc = write_zeros(fd, st.st_size, LOCK_FILE_BYTES);
    close(fd);
    return rc;
}

static int rewrite_start(int fd, size_t n)
{
    char *page = malloc(n);
    ssize_t got;
    int rc = 0;

    if (!page)
        return ENOMEM;
    got = pread(fd, page, n, 0);
    if (got < 0)
        rc = errno;
    else if (pwrite(fd, page, (size_t)got, 0) != got)
        rc = errno ? errno : EIO;
    else if (fsync(fd))
        rc = errno;
    free(page);
    return rc;
}

int segment_settle(const char *path)
{
    size_t n = (size_t)sysconf(_SC_PAGESIZE) * 2;
    int fd = open(path, O_RDWR | O_CLOEXEC), rc;

    if (fd < 0)
        return errno;
    rc = rewrite_start(fd, n);
    if (rc == 0) /* so that what is read next comes from the disk, where nobody else maps it */
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return rc;
}

int directory_lock(const char *directory)
{
    char path[PATH_MAX];
    int fd, saved;

    if (!path_join(path, directory, "writer.lock")) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
