#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "match/match_internal.h" /* the shipped expression for e-mail addresses */

enum { LITERALS_A_SECRET = 6, SEGMENT = 1448 };

static void check(hs_error_t e)
{
    if (e != HS_SUCCESS)
        floor_die("Hyperscan: error %d", e);
}

/* ---- set-up */

static hs_database_t *compile(const char *const *all, const unsigned *ids, unsigned n,
                              unsigned mode)
{
    hs_compile_error_t *error = NULL;
    hs_database_t *db = NULL;

    if (hs_compile_multi(all, NULL, ids, n, mode, NULL, &db, &error) != HS_SUCCESS)
        floor_die("%s", error ? error->message : "Hyperscan: out of memory");
    return db;
}

static void start_scans(struct floor *f)
{
    unsigned room = 1 + f->patterns + f->secrets * LITERALS_A_SECRET, n = 0;
    const char **all = calloc(room, sizeof(*all));
    unsigned *ids = calloc(room, sizeof(*ids));
    char *text = calloc(room, 8);

    if (!all || !ids || !text)
        floor_die("out of memory");
    all[n++] = mail_expression;
    for (unsigned i = 0; i < f->patterns; i++)
        all[n++] = f->pattern[i];
    for (unsigned i = 0; n < room; i++, n++) { /* four bytes of a credential that nobody says */
        snprintf(text + i * 8ul, 8, "Q%c%c%c", 'A' + (int)(i % 26), 'a' + (int)(i / 26 % 26), 'Z');
        all[n] = text + i * 8ul;
    }
    for (unsigned i = 0; i < n; i++)
        ids[i] = i;
    f->stream_db = compile(all, ids, n, HS_MODE_STREAM);
    f->block_db = compile(all, ids, n, HS_MODE_BLOCK);
    check(hs_alloc_scratch(f->stream_db, &f->scratch));
    check(hs_alloc_scratch(f->block_db, &f->scratch));
    check(hs_open_stream(f->stream_db, 0, &f->stream));
    free(all);
    free(ids);
    free(text);
}

void floor_work_start(struct floor *f)
{
    start_scans(f);
    f->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    f->digest = EVP_MD_CTX_new();
    f->port = calloc(FLOOR_BUFFERS, FLOOR_BUFFER);
    f->mbuf = calloc(FLOOR_BUFFERS, FLOOR_BUFFER);
    if (!f->sha256 || !f->digest || !f->port || !f->mbuf)
        floor_die("out of memory");
}

/* ---- the work */

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *arg)
{
    struct floor *f = arg;

    (void)id, (void)from, (void)to, (void)flags;
    f->matches++;
    return 0;
}

void floor_scan(struct floor *f, uint64_t took[FLOOR_PARTS])
{
    uint64_t t[3];

    t[0] = floor_now();
    check(hs_scan_stream(f->stream, f->answer.p + f->answer.body,
                         (unsigned)(f->answer.n - f->answer.body), 0, f->scratch, on_match, f));
    check(hs_reset_stream(f->stream, 0, f->scratch, on_match, f));
    t[1] = floor_now();
    check(hs_scan(f->block_db, f->request.p + f->request.body,
                  (unsigned)(f->request.n - f->request.body), 0, f->scratch, on_match, f));
    t[2] = floor_now();
    took[FLOOR_SCAN_ANSWER] += t[1] - t[0];
    took[FLOOR_SCAN_RECORD] += t[2] - t[1];
}

/* Every segment of a record from or to a buffer of the port's, all in turn as rings have it. */
static void copy(struct floor *f, size_t n, int in)
{
    for (size_t at = 0; at < n; at += SEGMENT, f->at = (f->at + 1) % FLOOR_BUFFERS) {
        size_t part = n - at < SEGMENT ? n - at : SEGMENT;

        if (in)
            memcpy(f->mbuf[f->at], f->port[f->at], part);
        else
            memcpy(f->port[f->at], f->mbuf[f->at], part);
        __asm__ volatile("" ::: "memory");
    }
}

void floor_copies(struct floor *f, uint64_t took[FLOOR_PARTS])
{
    uint64_t from = floor_now();

    copy(f, f->request_record, 1);
    copy(f, f->request_record, 0);
    copy(f, f->answer_record, 1);
    copy(f, f->answer_record, 0);
    took[FLOOR_COPIES] += floor_now() - from;
}

static void sha256(struct floor *f, const struct floor_text *t)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n;

    if (EVP_DigestInit_ex2(f->digest, f->sha256, NULL) != 1 ||
        EVP_DigestUpdate(f->digest, t->p + t->body, t->n - t->body) != 1 ||
        EVP_DigestFinal_ex(f->digest, sum, &n) != 1)
        floor_die("no digest");
}

void floor_digests(struct floor *f, uint64_t took[FLOOR_PARTS])
{
    uint64_t from = floor_now();

    sha256(f, &f->request);
    sha256(f, &f->answer);
    took[FLOOR_DIGESTS] += floor_now() - from;
}
