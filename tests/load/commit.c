/* What one commit of LMDB costs on a disk: the yardstick for what strict audit adds to a call. See
 * usage. */
#include "load.h"

#include <getopt.h>
#include <limits.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: commit DIR [--count N] [--bytes N]\n"
    "\n"
    "Commits one record a transaction, one after the other, to an LMDB file in DIR, opened and\n"
    "synced as the audit store opens and syncs a segment, and prints a JSON line: p50_us, p99_us\n"
    "and mean_us of a transaction from begin to end, count, bytes. The first tenth warms up and "
    "is\n"
    "not counted. The file goes when it is done.\n"
    "\n"
    "  DIR         on the disk in question; must be there\n"
    "  --count N   transactions that count, 1 to 1000000 (1000)\n"
    "  --bytes N   of a record, 1 to 65536 (700)\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit codes: 0 done; 1 the disk or LMDB refused, and it says what; 64 wrong arguments.\n";

/* The map of a segment of 1 GiB, as lib/audit makes it. */
enum { MAP_MIB = 1024 + 128 + 64 };

struct commit {
    char path[PATH_MAX], lock[PATH_MAX + 8];
    unsigned long count, bytes;
    MDB_env *env;
    MDB_dbi records;
    uint64_t seq;
    double *took_us;
};

static void clean(const struct commit *c)
{
    unlink(c->path);
    unlink(c->lock);
}

static void need(const struct commit *c, int rc, const char *what)
{
    if (rc == 0)
        return;
    clean(c);
    load_die("%s: cannot %s: %s", c->path, what, mdb_strerror(rc));
}

/* One transaction with one record behind all others; 0 or an LMDB code. */
static int commit_one(struct commit *c)
{
    uint64_t key = __builtin_bswap64(++c->seq);
    MDB_val k = {sizeof(key), &key}, v = {c->bytes, NULL};
    MDB_txn *txn;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc)
        return rc;
    rc = mdb_put(txn, c->records, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    memset(v.mv_data, (int)c->seq, v.mv_size);
    return mdb_txn_commit(txn);
}

static void open_store(struct commit *c)
{
    MDB_txn *txn;

    need(c, mdb_env_create(&c->env), "begin");
    need(c, mdb_env_set_maxdbs(c->env, 2), "begin");
    need(c, mdb_env_set_mapsize(c->env, (size_t)MAP_MIB << 20), "set the size of the map");
    need(c, mdb_env_open(c->env, c->path, MDB_NOSUBDIR | MDB_NOTLS, 0600), "open the file");
    need(c, mdb_txn_begin(c->env, NULL, 0, &txn), "begin a transaction");
    need(c, mdb_dbi_open(txn, "records", MDB_CREATE, &c->records), "make a database");
    need(c, mdb_txn_commit(txn), "commit");
}

static void measure(struct commit *c)
{
    unsigned long warm = c->count / 10;

    for (unsigned long i = 0; i < warm + c->count; i++) {
        double began = load_now();

        need(c, commit_one(c), "commit");
        if (i >= warm)
            c->took_us[i - warm] = (load_now() - began) * 1e6;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(struct commit *c)
{
    double sum = 0;

    for (unsigned long i = 0; i < c->count; i++)
        sum += c->took_us[i];
    qsort(c->took_us, c->count, sizeof(*c->took_us), by_value);
    printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"mean_us\":%.1f,\"count\":%lu,\"bytes\":%lu}\n",
           c->took_us[(c->count - 1) / 2], c->took_us[(c->count - 1) * 99 / 100],
           sum / (double)c->count, c->count, c->bytes);
}

static unsigned long number(const char *name, const char *text, unsigned long most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end != text && !*end && n >= 1 && n <= most)
        return n;
    fprintf(stderr, "commit: --%s is 1 to %lu\nTry: commit --help\n", name, most);
    exit(64);
}

static void parse(int argc, char **argv, struct commit *c)
{
    static const struct option known[] = {
        {"count", 1, NULL, 'c'}, {"bytes", 1, NULL, 'b'}, {"help", 0, NULL, 'h'}, {0}};
    int o;

    while ((o = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (o) {
        case 'c':
            c->count = number("count", optarg, 1000000);
            break;
        case 'b':
            c->bytes = number("bytes", optarg, 65536);
            break;
        default:
            fputs(usage, o == 'h' ? stdout : stderr);
            exit(o == 'h' ? 0 : 64);
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        exit(64);
    }
}

int main(int argc, char **argv)
{
    static struct commit c = {.count = 1000, .bytes = 700};
    int n;

    parse(argc, argv, &c);
    n = snprintf(c.path, sizeof(c.path), "%s/commit-%d.mdb", argv[optind], (int)getpid());
    if (n >= (int)sizeof(c.path))
        load_die("the directory's name is too long");
    snprintf(c.lock, sizeof(c.lock), "%s-lock", c.path);
    c.took_us = calloc(c.count, sizeof(*c.took_us));
    if (!c.took_us)
        load_die("out of memory");
    open_store(&c);
    measure(&c);
    report(&c);
    mdb_env_close(c.env);
    clean(&c);
    free(c.took_us);
    return 0;
}
