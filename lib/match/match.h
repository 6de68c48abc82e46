/* Finding and masking sensitive data: detectors compiled into one Hyperscan database (cards have a
 * search of their own), candidates confirmed by validators (Luhn, IIN ranges), masks that keep
 * length and syntax.
 *
 * A database is immutable and shared; a `struct match_worker` (scratch, stream pool) belongs to one
 * thread. Nothing on the road allocates. */
#ifndef MATCH_MATCH_H
#define MATCH_MATCH_H

#include "base/base.h"

#define MATCH_DETECTORS_MAX 64
#define MATCH_SECRETS_MAX   64
#define MATCH_LOOKBACK      1024 /* bytes: no detector matches more, none waits for more */

enum match_keep { MATCH_KEEP_LAST4, MATCH_KEEP_BIN_LAST4, MATCH_KEEP_NONE };

/* A set of detectors by index (the order in which they were added). */
typedef uint64_t match_set;

/* What to mask somewhere: which detectors, and how much of each match stays readable. The first six
 * (the BIN) are for cards; elsewhere BIN_LAST4 means LAST4. Of a pattern's match with fewer than
 * eight bytes no more than half is kept. */
struct match_policy {
    match_set detectors;
    uint8_t keep[MATCH_DETECTORS_MAX]; /* enum match_keep by detector */
};

/* ---------------------------------------------------------------- database */

struct match_builder;
struct match_db;

struct match_builder *match_builder_new(void);
void match_builder_free(struct match_builder *b);

/* The detectors that the product has a validator for: "pci.card" (13-19 digits with single spaces
 * or dashes, IIN and length by brand, Luhn) and "pii.email". Returns the index, -1 if unknown. */
int match_builder_add_known(struct match_builder *b, struct span name);
/* A detector from a rules file: a Hyperscan pattern whose matches have at most 1000 bytes (with
 * what is looked at around them they wait within MATCH_LOOKBACK). For every end its leftmost start
 * counts. `check` is empty or "luhn". -1 and `why` filled (Hyperscan's own words) when refused:
 * matches the empty string, unbounded width, does not compile or is too large for its starts to be
 * found. */
int match_builder_add_pattern(struct match_builder *b, struct span name, struct span pattern,
                              struct span check, char why[256]);
/* A credential that must never come back to a caller: matched raw, in base64 (three alignments),
 * hex and percent form, whatever the policy says, masked whole. 8 to 4096 bytes, else refused with
 * false, as it is when no memory can be locked (RLIMIT_MEMLOCK). The bytes are copied into memory
 * that is locked, not dumped, and wiped with the database; Hyperscan is told four of them. */
bool match_builder_add_secret(struct match_builder *b, struct span name, struct span value);

/* Compiles. Off the road (tens of milliseconds and more). NULL and `why` on failure. A builder with
 * nothing in it gives a database that finds nothing. */
struct match_db *match_builder_compile(struct match_builder *b, char why[256]);
void match_db_free(struct match_db *db); /* no stream may be open on it */

unsigned match_db_detectors(const struct match_db *db);
struct span match_db_name(const struct match_db *db, unsigned detector);
int match_db_find(const struct match_db *db, struct span name); /* index or -1 */
/* Indexes whose name matches a glob: "pci.card", "pii.*", "*". */
match_set match_db_glob(const struct match_db *db, struct span glob);

/* ------------------------------------------------------------------ worker */

struct match_worker;
struct match_stream;

/* `streams`: how many may be open at once; memory is taken here. NULL when out of memory. */
struct match_worker *match_worker_new(unsigned streams);
void match_worker_free(struct match_worker *w);
/* Makes the worker ready for a database (its scratch and stream memory may grow: not on the road;
 * call when a new generation is taken over, while older streams may still be open). False: no
 * memory. */
bool match_worker_adopt(struct match_worker *w, const struct match_db *db);
/* Nothing will be looked for in that database any more: gives its stream memory back, unless a
 * stream is open. Until then it stays ready, whatever else was adopted. Not on the road. */
void match_worker_forget(struct match_worker *w, const struct match_db *db);

/* ------------------------------------------------------------- one pattern */

/* A pattern that is tested against whole texts, with RE2's meaning as far as Hyperscan knows it:
 * searched anywhere, UTF-8, `.` is no line end, `$` is the end of the text. Immutable, shared. */
struct match_regex;
/* In memory of the arena's, with which it ends. NULL and `why` in Hyperscan's words. */
struct match_regex *match_regex_new(struct arena *mem, struct span pattern, char why[256]);

/* Scratch of one thread for any number of patterns. `*t` is NULL at first. False: no memory; what
 * was adopted before may then give MATCH_UNSURE. Not on the road. */
struct match_tester;
bool match_tester_adopt(struct match_tester **t, const struct match_regex *re);
void match_tester_free(struct match_tester *t);

enum match_answer { MATCH_NO, MATCH_YES, MATCH_UNSURE }; /* UNSURE: the text is not UTF-8 */
enum match_answer match_regex_test(const struct match_regex *re, struct match_tester *t,
                                   struct span text);

/* What was found. The value itself is never kept. */
struct match_found {
    match_set which;                     /* detectors that found something */
    uint32_t secrets;                    /* credentials seen coming back */
    uint32_t count[MATCH_DETECTORS_MAX]; /* of those in `which`; the others' mean nothing */
};

static inline void match_found_clear(struct match_found *f)
{
    f->which = 0;
    f->secrets = 0;
}
static inline uint32_t match_found_count(const struct match_found *f, unsigned detector)
{
    return f->which >> detector & 1 ? f->count[detector] : 0;
}
static inline void match_found_add(struct match_found *f, unsigned detector, uint32_t n)
{
    if (!(f->which >> detector & 1))
        f->count[detector] = 0;
    f->which |= (match_set)1 << detector;
    f->count[detector] += n;
}
static inline void match_found_join(struct match_found *f, const struct match_found *more)
{
    f->secrets += more->secrets;
    for (match_set left = more->which; left; left &= left - 1)
        match_found_add(f, (unsigned)__builtin_ctzll(left), more->count[__builtin_ctzll(left)]);
}

/* What the bytes are, as far as masks must keep their syntax. */
enum match_syntax {
    MATCH_PLAIN, /* '*' */
    MATCH_JSON,  /* '*' inside strings; bare numbers stay JSON numbers: first digit '1', then '0'.
                  * Also for NDJSON and server-sent events: every line starts outside strings. */
    MATCH_FORM,  /* x-www-form-urlencoded or a URL: decoded for matching, escapes stay whole */
};

/* Masks a whole buffer in place and adds what it found. Length never changes. False if the scan
 * failed (treat the buffer as unreadable and drop it). */
bool match_buffer(struct match_worker *w, const struct match_db *db, const struct match_policy *p,
                  enum match_syntax syntax, char *buf, size_t n, struct match_found *found);

/* A stream masks bytes as they pass. NULL when all streams are in use. The policy and the
 * database must outlive the stream. */
struct match_stream *match_stream_open(struct match_worker *w, const struct match_db *db,
                                       const struct match_policy *p, enum match_syntax syntax);
void match_stream_close(struct match_stream *s);

/* `window` holds the bytes that were held back by the last call (`held` of them, unchanged by the
 * caller) followed by `added` new ones. Masks in place whatever is complete; returns how many bytes
 * from the window's start are final and may leave. What remains (at most MATCH_LOOKBACK bytes, and
 * only bytes that could be the start of a match) is to be moved to the front of the next window.
 * With `last` everything is final. A match is masked exactly as if the stream had come in one
 * piece, however it was cut. Returns SIZE_MAX if the scan failed: nothing of the window may leave.
 */
size_t match_stream_scan(struct match_stream *s, char *window, size_t held, size_t added,
                         bool last);
const struct match_found *match_stream_found(const struct match_stream *s);

#endif
