/*     floor.c       arguments, batches, the report
 *     floor_tls.c   two legs of TLS and the four records of a request
 *     floor_work.c  copies, scans, digests */
#ifndef FLOOR_H
#define FLOOR_H

#include <hs/hs.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <x86intrin.h>

enum { FLOOR_RECORD_MAX = 16 << 10, FLOOR_WIRE = 32 << 10, FLOOR_PATTERNS_MAX = 16 };
enum { FLOOR_BUFFERS = 1024, FLOOR_BUFFER = 2048 };

enum floor_part {
    FLOOR_READ_REQUEST,
    FLOOR_WRITE_REQUEST,
    FLOOR_READ_ANSWER,
    FLOOR_WRITE_ANSWER,
    FLOOR_COPIES,
    FLOOR_SCAN_ANSWER,
    FLOOR_SCAN_RECORD,
    FLOOR_DIGESTS,
    FLOOR_PARTS
};

struct floor_text {
    char *p;
    size_t n, body; /* where the body begins */
};

struct floor_wire { /* bytes on their way in one direction */
    char b[FLOOR_WIRE];
    size_t from, to;
};

struct floor_leg { /* the proxy's end of a TLS connection, and its peer's */
    SSL *own, *peer;
    struct floor_wire in, out; /* as the proxy sees them */
};

struct floor_pair {
    struct floor_leg caller, vendor;
};

struct floor {
    struct floor_text request, answer;
    const char *certificate, *key;
    const char *pattern[FLOOR_PATTERNS_MAX];
    unsigned patterns, secrets, pairs;
    struct floor_pair *pair;
    hs_database_t *stream_db, *block_db;
    hs_stream_t *stream;
    hs_scratch_t *scratch;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    char (*port)[FLOOR_BUFFER], (*mbuf)[FLOOR_BUFFER]; /* FLOOR_BUFFERS each */
    unsigned at;
    size_t request_record, answer_record; /* their sizes on the wire */
    unsigned long matches;
    char plain[FLOOR_RECORD_MAX];
};

static inline uint64_t floor_now(void)
{
    return __rdtsc();
}

_Noreturn void floor_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void floor_tls_start(struct floor *f);
void floor_tls(struct floor *f, struct floor_pair *p, uint64_t took[FLOOR_PARTS]);

void floor_work_start(struct floor *f);
void floor_copies(struct floor *f, uint64_t took[FLOOR_PARTS]);
void floor_scan(struct floor *f, uint64_t took[FLOOR_PARTS]);
void floor_digests(struct floor *f, uint64_t took[FLOOR_PARTS]);

#endif
