/* What the parts of the match library share with each other and with nobody else.
 *
 * How a window is read. Raw bytes are cut into atoms: a plain byte, or an escape of the syntax
 * (`\u0034`, `\n`, `%34`). A `struct view` is the decoded text of all complete atoms of a window
 * with a way back to the raw bytes. Hyperscan and the validators see decoded text only; masks are
 * planned on raw bytes and written when the bytes leave. Windows begin and end at atoms.
 *
 * Why a stream equals one piece. Every decision (card, e-mail, credential, pattern) depends on a
 * bounded stretch of decoded text. Whatever cannot be decided yet because that stretch reaches the
 * end of the window is held back and decided in a later step, on the same bytes. */
#ifndef MATCH_INTERNAL_H
#define MATCH_INTERNAL_H

#include <hs/hs.h>

#include "match/match.h"

#define PIECE      4096u /* new raw bytes looked at in one step */
#define WINDOW_MAX (MATCH_LOOKBACK + PIECE)
#define NOWHERE    UINT32_MAX

/* A pattern's mask reaches at most this many raw bytes back from the match's end: with the
 * undecided atom (12) and the cut one (11) behind it, what is held stays within MATCH_LOOKBACK.
 * Only text written mostly in escapes gets there. */
#define PATTERN_REACH 1000u

/* Decoded text before the window that a pattern may still look at. */
#define HISTORY_MAX (MATCH_LOOKBACK + 2u)

/* ------------------------------------------------------------- locked memory */

/* Zeroed pages that are never swapped and never dumped; NULL when they cannot be had. */
void *locked_new(size_t n);
/* Wipes and gives back. NULL is allowed. */
void locked_free(void *p);

/* -------------------------------------------------------------- credentials */

#define SECRET_MIN  8u
#define SECRET_MAX  4096u
#define LITERAL_MAX 128u /* longer forms are cut into literals of this size */

struct literal {
    uint32_t at; /* in literals.bytes */
    uint16_t n;
};

/* Hyperscan is told the last bytes of a literal only: what it is given leaves traces in memory that
 * nobody wipes. The rest is compared here. */
#define TRIGGER_BYTES 4u

/* All forms of all credentials, in locked memory; `lit` is sorted by its bytes, without twins. */
struct literals {
    unsigned count, room;
    struct literal *lit;
    uint8_t *bytes;
    size_t used, cap;
    uint32_t longest;
    bool failed; /* memory ran out: the set is not complete */
    /* Literals with the same last bytes: trigger k stands for by_end[group[k] .. group[k + 1]). */
    unsigned triggers;
    uint32_t *by_end, *group;
    /* For the test "could this suffix be the start of a literal": bytes that occur in one, and
     * the pairs that one starts with. */
    bool alphabet[256], first[256];
    uint64_t pair[65536 / 64];
};

struct literals *literals_new(void);
void literals_free(struct literals *l);
void literals_add_secret(struct literals *l, const uint8_t *p, size_t n);
/* Sorts and builds the prefix test. False when memory ran out at any point. */
bool literals_finish(struct literals *l);
/* Where the longest suffix of t[0..n) starts that is the beginning of a literal, but no whole one.
 */
uint32_t literals_tail(const struct literals *l, const uint8_t *t, uint32_t n);
/* The TRIGGER_BYTES of trigger k. */
const uint8_t *literals_trigger(const struct literals *l, unsigned k);

/* ------------------------------------------------------------------ database */

enum kind { KIND_CARD, KIND_MAIL, KIND_PATTERN };

#define NAME_MAX_BYTES 64u

struct detector {
    enum kind kind;
    uint32_t width; /* of a pattern: the most decoded bytes of a match */
    bool luhn;
    char name[NAME_MAX_BYTES];
};

struct match_db {
    uint64_t serial; /* unlike its address never used again */
    unsigned count;
    struct detector det[MATCH_DETECTORS_MAX];
    match_set patterns;
    hs_database_t *scan;  /* stream mode, ends only: tells where to look; NULL: nothing for it */
    hs_database_t *whole; /* the same in block mode, for what is there in one piece */
    hs_database_t *som;   /* block mode with starts: patterns only, run where `scan` saw one */
    struct literals *secrets;
};

struct secret {
    uint8_t *p; /* locked */
    size_t n;
};

struct match_builder {
    unsigned count, secrets;
    struct detector det[MATCH_DETECTORS_MAX];
    char *pattern[MATCH_DETECTORS_MAX]; /* of KIND_PATTERN */
    struct secret secret[MATCH_SECRETS_MAX];
};

int name_find(const struct detector *det, unsigned n, struct span name); /* index or -1 */

/* Ids in `scan`: a detector's index, or this plus a trigger. */
#define ID_TRIGGER MATCH_DETECTORS_MAX

extern const char mail_expression[];

/* ---------------------------------------------------------------------- view */

struct atom {
    uint8_t raw_n, n; /* raw bytes, decoded bytes */
    uint8_t byte[4];
};

/* The atom at p[0..n), n > 0. False: it may go on past n, so it cannot be told yet; with `last` it
 * always can. */
bool atom_at(enum match_syntax syntax, const uint8_t *p, size_t n, bool last, struct atom *a);

struct escape {
    uint16_t at, raw; /* decoded and raw offset */
    uint8_t n, raw_n;
};

struct view {
    const uint8_t *t; /* decoded */
    uint32_t n;
    uint32_t raw_n;   /* raw bytes of complete atoms */
    uint32_t escapes; /* none: t is the window itself */
    bool last;        /* nothing follows */
    const struct escape *esc;
    uint32_t *hint; /* the escape that was asked for last: most questions are about neighbours */
};

struct view_room {
    uint8_t text[WINDOW_MAX];
    uint32_t hint;
    struct escape esc[WINDOW_MAX / 2];
};

void view_build(struct view *v, enum match_syntax syntax, const uint8_t *raw, uint32_t n, bool last,
                struct view_room *room);
/* Raw offset of the atom that decoded byte `i` came from; raw_n for i == n. */
uint32_t view_raw(const struct view *v, uint32_t i);
/* The first decoded byte of that atom. */
uint32_t view_atom(const struct view *v, uint32_t i);
/* The end of the plain bytes from `i` on; `i` itself if it came from an escape. */
uint32_t view_plain(const struct view *v, uint32_t i);

/* -------------------------------------------------------------------- worker */

struct slot;

/* Scanning state; offsets are of decoded bytes from the window's start unless said otherwise. */
struct match_stream {
    struct match_worker *w;
    struct slot *slot; /* NULL: not open */
    const struct match_db *db;
    hs_stream_t *hs; /* NULL: nothing to scan for, or `whole` */
    bool whole;      /* all of it is there: one step, no Hyperscan stream */
    match_set set, patterns;
    const uint8_t *keep;
    enum match_syntax syntax;
    bool failed, ended;
    bool idle;      /* nothing to look for */
    bool in_string; /* JSON: the window starts inside a string */
    bool cards, mail;
    unsigned card_id, mail_id;
    uint8_t prev[2];       /* decoded bytes before the window, nearest first */
    uint8_t prev_raw;      /* raw byte before the window, as it left */
    uint64_t base;         /* decoded bytes before the window */
    uint32_t held;         /* raw bytes that wait with the caller */
    uint32_t held_text;    /* of them decoded, and seen by Hyperscan */
    uint32_t card_done;    /* every card that starts before this is decided */
    uint32_t card_open;    /* a start that is not decided, or NOWHERE */
    uint32_t mail_open;    /* an '@' that is not decided, or NOWHERE */
    uint32_t reach;        /* widest pattern */
    uint64_t pattern_seen; /* absolute: the last end that Hyperscan told of */
    uint64_t pattern_done; /* absolute: ends up to here are decided */
    uint64_t secret_next;  /* absolute: one that starts before this was counted already */
    uint32_t history_n;
    bool planned; /* `plan` is not all zero */
    struct match_found found;
    /* Absolute end of the last match counted, of those in found.which. */
    uint64_t pattern_end[MATCH_DETECTORS_MAX];
    uint8_t *plan;    /* MATCH_LOOKBACK, for the bytes held */
    uint8_t *history; /* HISTORY_MAX: decoded bytes before the window, for patterns */
    struct match_stream *next_free;
};

/* What few streams ever use: apart from them, so that its pages stay untouched. */
struct stream_cold {
    uint8_t plan[MATCH_LOOKBACK], history[HISTORY_MAX];
};

struct slot {
    uint64_t serial;
    unsigned open; /* streams in use */
    unsigned count, free;
    hs_stream_t **stream; /* [0 .. free) are free; NULL for an empty database */
    hs_stream_t *own;     /* for match_buffer */
    struct slot *next;
};

struct match_worker {
    hs_scratch_t *scratch;
    struct match_stream *free;
    struct slot *slots; /* newest first */
    unsigned count;
    struct view view; /* of the step that runs */
    /* Masks planned for the step's raw bytes; all zero between steps. Only [lo, hi) may be set. */
    uint32_t plan_lo, plan_hi;
    uint8_t plan[WINDOW_MAX];
    struct view_room room;
    uint8_t joined[HISTORY_MAX + WINDOW_MAX]; /* history and view in one, for `som` */
    struct match_stream own;                  /* for match_buffer */
    struct stream_cold own_cold, *cold;       /* one a stream */
    struct match_stream streams[];
};

bool stream_start(struct match_stream *s, struct match_worker *w, const struct match_db *db,
                  const struct match_policy *p, enum match_syntax syntax, hs_stream_t *hs);
struct slot *slot_find(struct match_worker *w, const struct match_db *db);

/* ---------------------------------------------------------------- validators */

bool luhn_digits(const uint8_t *digit, unsigned n); /* values 0..9 */
bool luhn_text(const uint8_t *t, size_t n);         /* the digits in it; at least two */
bool card_number(const uint8_t *digit, unsigned n); /* brand, length, Luhn */

/* Decides all cards that can be. */
void card_find(struct match_stream *s, const struct view *v);
/* The first decoded byte that may still belong to a card. */
uint32_t card_tail(struct match_stream *s, const struct view *v);

/* Hyperscan saw an '@' between characters that may stand there; `end` is one behind the second. */
void mail_seen(struct match_stream *s, const struct view *v, uint32_t end);
void mail_resume(struct match_stream *s, const struct view *v);
uint32_t mail_tail(const struct match_stream *s, const struct view *v);

void secret_seen(struct match_stream *s, const struct view *v, unsigned trigger, uint32_t end);

void pattern_seen(struct match_stream *s, uint64_t end);
/* Decides all pattern matches whose surroundings are known. False: the scan failed. */
bool pattern_decide(struct match_stream *s, const struct view *v);
uint32_t pattern_tail(const struct match_stream *s, const struct view *v);
/* Before `gone` decoded bytes leave the window. */
void pattern_remember(struct match_stream *s, const struct view *v, uint32_t gone);

/* --------------------------------------------------------------------- masks */

/* Bits of a plan. */
enum { PLAN_MASK = 1, PLAN_ONE = 2, PLAN_STAR = 4 };

/* Plans a mask over decoded [from, to). */
void plan_mark(struct match_stream *s, const struct view *v, uint32_t from, uint32_t to,
               unsigned bits);
/* The bits for a match over these bytes: whether a mask outside JSON strings may write stars. */
unsigned plan_bits(const struct match_stream *s, const uint8_t *t, uint32_t n);
/* Takes over what was planned for the bytes held, and gives back what stays planned. */
void plan_load(struct match_stream *s);
void plan_save(struct match_stream *s, uint32_t gone, uint32_t n);
/* Writes the masks of raw [0, n) and carries the JSON string state over it. */
void plan_write(struct match_stream *s, const struct view *v, uint8_t *raw, uint32_t n);

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool is_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

#endif
