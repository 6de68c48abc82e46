/* The small database of facts beside the records of a segment. */
#include "audit_internal.h"

#define INFO_BYTES 48 /* first, created, previous */
#define HEAD_BYTES 40 /* seq, hash */

static MDB_val key_of(const char *key)
{
    return (MDB_val){strlen(key), (void *)(uintptr_t)key};
}

int meta_get(MDB_txn *txn, MDB_dbi meta, const char *key, void *out, size_t n)
{
    MDB_val k = key_of(key), v;
    int rc = mdb_get(txn, meta, &k, &v);

    if (rc)
        return rc;
    if (v.mv_size != n)
        return MDB_CORRUPTED;
    memcpy(out, v.mv_data, n);
    return 0;
}

int meta_put(MDB_txn *txn, MDB_dbi meta, const char *key, const void *value, size_t n)
{
    MDB_val k = key_of(key), v = {n, (void *)(uintptr_t)value};

    return mdb_put(txn, meta, &k, &v, 0);
}

int meta_get_info(MDB_txn *txn, MDB_dbi meta, struct segment_info *out)
{
    uint8_t b[INFO_BYTES], format[4];
    int rc = meta_get(txn, meta, KEY_FORMAT, format, sizeof(format));

    if (rc)
        return rc;
    if (get_be(format, 4) != AUDIT_FORMAT)
        return MDB_VERSION_MISMATCH;
    rc = meta_get(txn, meta, KEY_SEGMENT, b, sizeof(b));
    if (rc)
        return rc;
    out->first = get_be(b, 8);
    out->created_ns = get_be(b + 8, 8);
    memcpy(out->previous, b + 16, AUDIT_HASH);
    return 0;
}

int meta_put_info(MDB_txn *txn, MDB_dbi meta, const struct segment_info *info)
{
    uint8_t b[INFO_BYTES], format[4];
    int rc;

    put_be(format, AUDIT_FORMAT, 4);
    put_be(b, info->first, 8);
    put_be(b + 8, info->created_ns, 8);
    memcpy(b + 16, info->previous, AUDIT_HASH);
    rc = meta_put(txn, meta, KEY_FORMAT, format, sizeof(format));
    return rc ? rc : meta_put(txn, meta, KEY_SEGMENT, b, sizeof(b));
}

int meta_get_head(MDB_txn *txn, MDB_dbi meta, struct head *out)
{
    uint8_t b[HEAD_BYTES];
    int rc = meta_get(txn, meta, KEY_HEAD, b, sizeof(b));

    if (rc)
        return rc;
    out->seq = get_be(b, 8);
    memcpy(out->hash, b + 8, AUDIT_HASH);
    return 0;
}

int meta_put_head(MDB_txn *txn, MDB_dbi meta, const struct head *head)
{
    uint8_t b[HEAD_BYTES];

    put_be(b, head->seq, 8);
    memcpy(b + 8, head->hash, AUDIT_HASH);
    return meta_put(txn, meta, KEY_HEAD, b, sizeof(b));
}

int meta_get_closed(MDB_txn *txn, MDB_dbi meta, uint64_t *when)
{
    uint8_t b[8];
    int rc = meta_get(txn, meta, KEY_CLOSED, b, sizeof(b));

    if (rc == 0)
        *when = get_be(b, 8);
    return rc;
}

int meta_put_closed(MDB_txn *txn, MDB_dbi meta, uint64_t when)
{
    uint8_t b[8];

    put_be(b, when, 8);
    return meta_put(txn, meta, KEY_CLOSED, b, sizeof(b));
}
