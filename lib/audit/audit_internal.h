/* What the parts of the audit library share with each other and with nobody else. */
#ifndef AUDIT_INTERNAL_H
#define AUDIT_INTERNAL_H

#include <endian.h>
#include <limits.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "audit/audit.h"

#define AUDIT_FORMAT     1u
#define CACHE_LINE       64
#define FIELDS_KNOWN     128   /* field numbers of this version are below */
#define FIELD_NUMBER_MAX 16383 /* what the encoding can hold */
#define SEGMENT_MIN      ((uint64_t)1 << 20)

/* --- bytes, big-endian */

/* The low `n` bytes of v, 1 to 8. */
static inline void put_be(uint8_t *p, uint64_t v, unsigned n)
{
    uint64_t be = htobe64(v << (64 - 8 * n));

    memcpy(p, &be, n);
}

static inline uint64_t get_be(const void *p, unsigned n)
{
    uint64_t be = 0;

    memcpy(&be, p, n);
    return be64toh(be) >> (64 - 8 * n);
}

/* --- why something failed, for people */

struct why {
    char text[256];
};

/* Sets the text and returns `rc`. */
int why_set(struct why *w, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* --- names (names.c) */

struct field_info {
    const char *name; /* NULL: not known */
    enum audit_type type;
};
extern const struct field_info fields_known[FIELDS_KNOWN];
/* Never NULL; a number that is not known gives an entry without a name. */
static inline const struct field_info *field_info(unsigned number)
{
    return &fields_known[number < FIELDS_KNOWN ? number : 0];
}

/* --- rings (ring.c) */

/* Ahead of every event in a ring; slots are multiples of 8 bytes and never wrap. */
struct slot {
    uint32_t bytes; /* of the slot, this head included */
    uint16_t kind;  /* 0: nothing here, the next slot is at the ring's start */
    uint16_t zero;
    uint64_t wall_ns;
    uint32_t fields; /* encoded bytes behind the head */
    uint32_t zero2;
};

/* Producers read it, and only the writer writes it: what wakes the writer is a system call. */
struct doorbell {
    _Alignas(CACHE_LINE) _Atomic bool asleep; /* the writer sleeps, or will */
    int fd;                                   /* eventfd; -1: not open */
};

/* Positions count bytes since the start and are taken modulo the size for the place in memory. A
 * ticket is the position behind its event; `tail` is moved only when what is before it is on disk,
 * so it is both the freed space and the durable mark. */
struct audit_ring {
    uint8_t *mem;
    size_t size;
    size_t mapped;

    /* the producer's line: only it writes */
    _Alignas(CACHE_LINE) _Atomic uint64_t head; /* release; pairs with the writer's acquire */
    uint64_t tail_seen;                         /* its last look at tail */
    _Atomic uint64_t lost;                      /* release, behind the two below */
    _Atomic uint64_t lost_from, lost_to;
    uint64_t want, told;     /* the last ticket that somebody waits for; as the writer was told */
    _Atomic uint64_t wanted; /* what it was told */
    struct doorbell *bell;   /* NULL: there is no writer */

    /* the writer thread's line */
    _Alignas(CACHE_LINE) _Atomic uint64_t tail; /* release; pairs with audit_durable */
    _Atomic bool refusing;
    _Atomic uint64_t lost_told; /* of `lost`, how many stand in a gap on disk */
};

bool ring_init(struct audit_ring *r, size_t bytes);
void ring_free(struct audit_ring *r);
/* The event at `*at`, before `head`; steps over it. NULL at head. */
const struct slot *ring_next(const struct audit_ring *r, uint64_t *at, uint64_t head);

/* --- records (record.c) */

/* Offsets in a stored value; see FORMAT.md. */
enum {
    REC_VERSION = 0,
    REC_RESERVED = 1,
    REC_KIND = 2,
    REC_FIELDS_LEN = 4,
    REC_SEQ = 8,
    REC_WALL = 16,
    REC_BOOT = 24,
    REC_PREVIOUS = 40,
    REC_APPLIANCE_LEN = 72,
    REC_APPLIANCE = 73,
};
#define REC_OVERHEAD      ((size_t)REC_APPLIANCE + AUDIT_HASH)
#define REC_APPLIANCE_MAX ((size_t)255)
#define REC_MAX           (REC_OVERHEAD + REC_APPLIANCE_MAX + AUDIT_EVENT_MAX)
#define REC_DISTINCT_MAX  256 /* different fields in one record */
#define BOOT_BYTES        16

struct hasher {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};
bool hasher_init(struct hasher *h);
void hasher_free(struct hasher *h);
bool hasher_sum(struct hasher *h, const void *p, size_t n, uint8_t out[AUDIT_HASH]);

/* All of a record but its hash, which follows from it. */
struct record_parts {
    unsigned kind;
    uint64_t seq, wall_ns;
    const uint8_t *boot, *previous;
    struct span appliance, fields;
};
static inline size_t record_size(const struct record_parts *in)
{
    return REC_OVERHEAD + in->appliance.n + in->fields.n;
}
/* Writes record_size() bytes, the hash among them, and gives the hash. False: no memory in
 * libcrypto.*/
bool record_write(uint8_t *out, const struct record_parts *in, struct hasher *h,
                  uint8_t hash[AUDIT_HASH]);
/* Takes a stored value apart; checks every length and the fields, not the hash. */
bool record_parse(struct span value, struct audit_record *r);
/* Do the bytes give the hash behind them? */
bool record_is_intact(struct span value, struct hasher *h);
/* Appends one encoded field of at most 65,535 bytes; the caller has seen to room. */
#define FIELD_HEAD ((size_t)4)
static inline uint8_t *field_put(uint8_t *p, unsigned number, enum audit_type type,
                                 const void *value, size_t n)
{
    put_be(p, (uint64_t)type << 14 | number, 2);
    put_be(p + 2, n, 2);
    if (n)
        memcpy(p + FIELD_HEAD, value, n);
    return p + FIELD_HEAD + n;
}

/* A set of field numbers. */
struct field_set {
    uint64_t bits[(FIELD_NUMBER_MAX + 1) / 64];
    unsigned count;
};
/* False if it was there. */
bool field_set_add(struct field_set *s, unsigned number);

/* --- files of a store (files.c) */

struct segment_list {
    uint64_t *first; /* sorted */
    size_t count;
};
/* 0 or errno. A directory without segments is an empty list. */
int segments_list(const char *directory, struct segment_list *l);
void segments_free(struct segment_list *l);
/* False when the path is too long. */
bool segment_path(char out[PATH_MAX], const char *directory, uint64_t first);
bool path_join(char out[PATH_MAX], const char *directory, const char *name);

int directory_make(const char *path); /* with parents, 0700; 0 or errno */
int directory_sync(const char *path); /* 0 or errno */
/* Gives a segment's lock file real blocks before LMDB maps it: a hole touched on a full disk would
 * be a SIGBUS. 0 or errno. */
int lock_file_fill(const char *segment);
/* Rewrites LMDB's two meta pages as they read and syncs the file; see FORMAT.md, "After an error".
 * The environment must be closed. 0 or errno. */
int segment_settle(const char *path);
/* Held by the writer as long as the descriptor is open. -1 with errno, EWOULDBLOCK if another has
 * it.*/
int directory_lock(const char *directory);

/* --- segments (segment.c): LMDB for the writer; segment_read.c: for readers */

struct head {
    uint64_t seq;             /* of the last record; 0: none yet */
    uint8_t hash[AUDIT_HASH]; /* its hash; zero: none yet */
};

struct segment_info {
    uint64_t first; /* number of its first record */
    uint64_t created_ns;
    uint8_t previous[AUDIT_HASH]; /* hash of the record before it */
};

struct segment {
    MDB_env *env; /* NULL: not open */
    MDB_dbi records, meta;
    struct segment_info info;
};

#define KEY_FORMAT  "format"
#define KEY_SEGMENT "segment"
#define KEY_HEAD    "head"
#define KEY_CLOSED  "closed"

/* These return 0, an errno or an LMDB code, and say why. */
int segment_create(const char *directory, const struct segment_info *info, uint64_t map_bytes,
                   struct why *w);
int segment_open(struct segment *s, const char *directory, uint64_t first, uint64_t map_bytes,
                 struct why *w);
void segment_close(struct segment *s);
/* Marks a segment as complete: one that is marked has a successor. */
int segment_mark_closed(struct segment *s, uint64_t now, struct why *w);
/* The last record, after checking that the records before it lead to it and that the head that was
 * noted is this one. */
int segment_head(struct segment *s, struct hasher *h, struct head *out, struct why *w);
uint64_t segment_used(const struct segment *s); /* bytes of the file that were ever in use */

/* The facts beside the records (segment_meta.c). */
int meta_get(MDB_txn *txn, MDB_dbi meta, const char *key, void *out, size_t n);
int meta_put(MDB_txn *txn, MDB_dbi meta, const char *key, const void *value, size_t n);
int meta_get_info(MDB_txn *txn, MDB_dbi meta, struct segment_info *out);
int meta_put_info(MDB_txn *txn, MDB_dbi meta, const struct segment_info *info);
int meta_get_head(MDB_txn *txn, MDB_dbi meta, struct head *out);
int meta_put_head(MDB_txn *txn, MDB_dbi meta, const struct head *head);
int meta_get_closed(MDB_txn *txn, MDB_dbi meta, uint64_t *when); /* MDB_NOTFOUND: it is open */
int meta_put_closed(MDB_txn *txn, MDB_dbi meta, uint64_t when);

/* A segment open read-only. */
struct segment_view {
    MDB_env *env; /* NULL: not open */
    MDB_txn *txn; /* reset between uses, so that nothing is pinned */
    MDB_dbi records, meta;
    struct segment_info info;
};
/* `alone`: no other part of this process can have it open (a child of its own). */
int view_open(struct segment_view *v, const char *directory, uint64_t first, bool alone,
              struct why *w);
void view_close(struct segment_view *v);
int view_begin(struct segment_view *v); /* the newest state */
void view_end(struct segment_view *v);

/* --- the writer (writer.c, batch.c, recover.c) */

/* What a commit was about to make true. LMDB can fail after the change became visible, so after an
 * error the store is compared with both the state before and this one. */
struct attempt {
    struct head head;
    uint64_t tails[AUDIT_RINGS_MAX];
    uint64_t told[AUDIT_RINGS_MAX];
    uint64_t events, bytes, gaps;
};

struct audit {
    char *directory, *appliance;
    uint64_t segment_bytes, map_bytes;
    uint8_t boot[BOOT_BYTES];
    struct audit_ring *rings;
    unsigned ring_count;
    int lock;

    /* the writer thread's own */
    struct hasher hasher;
    struct segment segment;
    struct head head; /* on disk */
    struct attempt attempt;
    bool failing, must_prove; /* must_prove: a commit is due though nothing may wait */
    bool roll_due;
    unsigned turn;   /* which ring is drained first */
    bool complained; /* of the failure at hand */
    uint64_t failed_since, complained_at, readers_checked_at;

    _Alignas(CACHE_LINE) struct audit_counters counters;
    _Atomic uint64_t last_seq;

    _Alignas(CACHE_LINE) _Atomic bool stop;
    _Atomic uint64_t give_up_at; /* monotonic */
    _Atomic bool done;           /* the thread's last act */
    pthread_t thread;
    struct doorbell bell;
};

void *writer_main(void *audit);
/* Until somebody waits for a record, the writer is to stop, or some milliseconds are over
 * (doorbell.c). */
void doorbell_rest(struct audit *a);
bool doorbell_open(struct doorbell *d);
void doorbell_close(struct doorbell *d);
/* Wakes the writer if it sleeps. Any thread. */
void doorbell_ring(const struct doorbell *d);
/* Finds the last segment and the chain's head; makes the first segment in an empty directory. */
int store_attach(struct audit *a, struct head *head, struct why *w);
/* One transaction for all that waits. 1: committed, 0: nothing to do, -1: failed and said so. */
int batch_commit(struct audit *a);
/* After a failure: true when the store is open again and agrees with us. */
bool store_recover(struct audit *a);
/* Refuses new calls, closes the segment, complains. */
void store_fail(struct audit *a, int rc, const struct why *w);
/* Makes the attempt true for everybody. */
void attempt_publish(struct audit *a);
bool anything_waits(const struct audit *a);
uint64_t lost_total(const struct audit *a);

/* --- verify (verify.c, walk.c) */

/* Shared between the walk's process and the one that asked. */
struct walk {
    const char *directory;
    uint64_t expect_seq;
    bool has_head;
    uint8_t expect_head[AUDIT_HASH];
    _Atomic uint64_t at;   /* the number being read */
    _Atomic uint64_t done; /* records checked */
    _Atomic uint64_t of;
    _Atomic bool finished;
    struct audit_report report;
};
void walk_store(struct walk *w);

#endif
