/* Segments as the writer has them. */
#include "audit_internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define NEW_NAME "new-segment.mdb"
#define SOUNDED  64 /* records at the end that are checked before the writer goes on from there */

static const char *lmdb_text(int rc)
{
    return mdb_strerror(rc);
}

static int env_open(MDB_env **env, const char *path, unsigned flags, uint64_t map_bytes)
{
    int rc = mdb_env_create(env);

    if (rc) {
        *env = NULL;
        return rc;
    }
    rc = mdb_env_set_maxdbs(*env, 2);
    if (rc == 0 && map_bytes)
        rc = mdb_env_set_mapsize(*env, map_bytes);
    if (rc == 0)
        rc = mdb_env_open(*env, path, MDB_NOSUBDIR | flags, 0600);
    if (rc) {
        mdb_env_close(*env);
        *env = NULL;
    }
    return rc;
}

static int write_first_facts(MDB_env *env, const struct segment_info *info)
{
    struct head head = {.seq = info->first - 1};
    MDB_dbi records, meta;
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);

    if (rc)
        return rc;
    memcpy(head.hash, info->previous, AUDIT_HASH);
    rc = mdb_dbi_open(txn, "records", MDB_CREATE, &records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta);
    if (rc == 0)
        rc = meta_put_info(txn, meta, info);
    if (rc == 0)
        rc = meta_put_head(txn, meta, &head);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int make_aside(const char *path, const struct segment_info *info, uint64_t map_bytes)
{
    MDB_env *env;
    int rc;

    if (unlink(path) && errno != ENOENT)
        return errno;
    rc = env_open(&env, path, MDB_NOLOCK, map_bytes); /* nobody else knows the name */
    if (rc)
        return rc;
    rc = write_first_facts(env, info);
    mdb_env_close(env);
    return rc;
}

/* Made whole under another name and then renamed, so that a segment's name never stands for half a
 * segment; its lock file first, as a reader takes a segment without one to have no writer. */
int segment_create(const char *directory, const struct segment_info *info, uint64_t map_bytes,
                   struct why *w)
{
    char aside[PATH_MAX], path[PATH_MAX];
    int rc;

    if (!path_join(aside, directory, NEW_NAME) || !segment_path(path, directory, info->first))
        return why_set(w, ENAMETOOLONG, "the directory's name is too long");
    rc = make_aside(aside, info, map_bytes);
    if (rc == 0)
        rc = lock_file_fill(path);
    if (rc == 0 && rename(aside, path))
        rc = errno;
    if (rc)
        unlink(aside);
    else
        rc = directory_sync(directory);
    return rc ? why_set(w, rc, "cannot make a new segment: %s", lmdb_text(rc)) : 0;
}

static int open_databases(struct segment *s, uint64_t first)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, "records", 0, &s->records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", 0, &s->meta);
    if (rc == 0)
        rc = meta_get_info(txn, s->meta, &s->info);
    if (rc == 0 && s->info.first != first)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        rc = mdb_txn_commit(txn); /* keeps the handles */
    else
        mdb_txn_abort(txn);
    return rc;
}

int segment_open(struct segment *s, const char *directory, uint64_t first, uint64_t map_bytes,
                 struct why *w)
{
    char path[PATH_MAX];
    int rc;

    if (!segment_path(path, directory, first))
        return why_set(w, ENAMETOOLONG, "the directory's name is too long");
    rc = access(path, F_OK) ? errno : lock_file_fill(path);
    if (rc == 0)
        rc = env_open(&s->env, path, MDB_NOTLS, map_bytes);
    if (rc == 0)
        rc = open_databases(s, first);
    if (rc == 0)
        return 0;
    segment_close(s);
    return why_set(w, rc, "cannot open segment %llu: %s", (unsigned long long)first, lmdb_text(rc));
}

void segment_close(struct segment *s)
{
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
}

int segment_mark_closed(struct segment *s, uint64_t now, struct why *w)
{
    uint64_t when;
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (rc == 0) {
        rc = meta_get_closed(txn, s->meta, &when);
        if (rc == MDB_NOTFOUND)
            rc = meta_put_closed(txn, s->meta, now);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    return rc ? why_set(w, rc, "cannot close a segment: %s", lmdb_text(rc)) : 0;
}

uint64_t segment_used(const struct segment *s)
{
    MDB_envinfo info;
    MDB_stat stat;

    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

/* One step back along the chain: the record under the cursor must be number `head`, whole, and have
 * its hash; `head` becomes what it follows. */
static int step_back(MDB_cursor *c, MDB_cursor_op op, struct hasher *h, struct head *head)
{
    struct audit_record r;
    struct span value;
    MDB_val k, v;
    int rc = mdb_cursor_get(c, &k, &v, op);

    if (rc)
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    value = span_of(v.mv_data, v.mv_size);
    if (k.mv_size != 8 || get_be(k.mv_data, 8) != head->seq || !record_is_intact(value, h) ||
        !record_parse(value, &r) || r.seq != head->seq ||
        memcmp(r.hash, head->hash, AUDIT_HASH) != 0)
        return MDB_CORRUPTED;
    head->seq--;
    memcpy(head->hash, r.previous, AUDIT_HASH);
    return 0;
}

static int sound_end(struct segment *s, MDB_txn *txn, struct hasher *h, struct head at)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(txn, s->records, &c);

    if (rc)
        return rc;
    for (unsigned i = 0; rc == 0 && i < SOUNDED && at.seq >= s->info.first; i++)
        rc = step_back(c, i ? MDB_PREV : MDB_LAST, h, &at);
    if (rc == 0 && at.seq == s->info.first - 1) { /* reached the start: nothing may be before it */
        rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
        rc = rc == MDB_NOTFOUND                                        ? 0
             : rc                                                      ? rc
             : k.mv_size == 8 && get_be(k.mv_data, 8) == s->info.first ? 0
                                                                       : MDB_CORRUPTED;
        if (rc == 0 && memcmp(at.hash, s->info.previous, AUDIT_HASH) != 0)
            rc = MDB_CORRUPTED;
    }
    mdb_cursor_close(c);
    return rc;
}

int segment_head(struct segment *s, struct hasher *h, struct head *out, struct why *w)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (rc == 0) {
        rc = meta_get_head(txn, s->meta, out);
        if (rc == 0 && out->seq < s->info.first - 1)
            rc = MDB_CORRUPTED;
        if (rc == 0)
            rc = sound_end(s, txn, h, *out);
        mdb_txn_abort(txn);
    }
    return rc ? why_set(w, rc, "the end of segment %llu is not what was written: %s",
                        (unsigned long long)s->info.first, lmdb_text(rc))
              : 0;
}
