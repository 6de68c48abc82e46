/* A second, slow reading of the `when` language, for comparison: random trees, the bodies that they
 * are asked about, and an evaluator that walks the tree over what the generator wrote. Numbers are
 * schoolbook decimals, patterns sets of positions, dates the C library's. Nothing here calls the
 * rules or the body library: what both say must be the same.
 *
 *   model_num.c    numbers               model_text.c   strings, patterns, times as text
 *   model_body.c   documents, written    model_gen.c    random trees
 *   model_print.c  trees as text         model_eval.c   what a tree gives */
#ifndef RULES_MODEL_H
#define RULES_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* ----------------------------------------------------------------- numbers */

/* 0.D1D2D3... * 10^point; without leading and trailing zeros, zero has no digits. */
struct model_num {
    bool negative;
    unsigned n;
    const unsigned char *d; /* 0 to 9 each */
    long point;
};

bool model_num_read(struct arena *mem, struct span text,
                    struct model_num *out); /* JSON's grammar */
struct model_num model_num_of(struct arena *mem, long v);
int model_num_cmp(const struct model_num *a, const struct model_num *b);
/* op is one of "+-*" and '/' and '%'; false: unknown. */
bool model_num_do(struct arena *mem, char op, const struct model_num *a, const struct model_num *b,
                  struct model_num *out);
bool model_num_negate(const struct model_num *a, struct model_num *out);

/* ------------------------------------------------------------------ values */

enum model_kind {
    M_UNKNOWN,
    M_MISSING,
    M_NULL,
    M_BOOL,
    M_NUMBER,
    M_STRING,
    M_FORM, /* text in a form that is written as a number */
    M_TIME,
    M_DURATION,
    M_LIST,
    M_OBJECT,
};

typedef __int128 model_ns;

struct model_value {
    enum model_kind kind;
    bool boolean;
    bool literal;     /* a null that the rule says */
    bool apart;       /* a list whose elements cannot be walked: of a form */
    struct span text; /* of strings and form values */
    struct model_num num;
    model_ns ns;
    unsigned n;        /* elements, or members as they were written, also the doubled ones */
    struct span *keys; /* of members */
    struct model_value **item; /* elements, values of members */
};

struct model_step {
    bool is_index;
    unsigned index;
    struct span key;
};

/* The value at a path, as strictly as rules/README.md has it. */
const struct model_value *model_at(const struct model_value *root, const struct model_step *step,
                                   unsigned n);

/* ---------------------------------------------------------------- patterns */

enum model_re_kind { RE_CHAR, RE_ANY, RE_SET, RE_BEGIN, RE_END, RE_SEQ, RE_ALT, RE_REPEAT };

struct model_re {
    enum model_re_kind kind;
    uint32_t from[4], to[4]; /* RE_SET: ranges; RE_CHAR: from[0] */
    unsigned nranges;
    bool negated;
    const char *written;  /* RE_SET: "\\d" and the like */
    unsigned least, most; /* RE_REPEAT; most 0: without end */
    struct model_re *a, *b;
};

struct model_re *model_re_random(struct arena *mem, uint64_t *seed, unsigned depth);
void model_re_print(const struct model_re *re, struct outbuf *o);
bool model_re_found(const struct model_re *re, struct span text); /* valid UTF-8 */

bool model_utf8_valid(struct span s);
bool model_time_read(struct span s, model_ns *out);
bool model_duration_read(struct span s, model_ns *out);

/* Valid ones. */
struct span model_time_text(struct arena *mem, uint64_t *seed);
struct span model_duration_text(struct arena *mem, uint64_t *seed);

enum model_getter {
    G_YEAR,
    G_MONTH,
    G_DATE,
    G_DAY_OF_MONTH,
    G_DAY_OF_WEEK,
    G_DAY_OF_YEAR,
    G_HOURS,
    G_MINUTES,
    G_SECONDS,
    G_MILLISECONDS,
};
extern const char *const model_getters[10];
/* `zone` is empty, "+hh:mm", or a name of the system's zoneinfo. */
long model_time_get(model_ns t, enum model_getter g, const char *zone);

/* ------------------------------------------------------------------- trees */

enum model_type { T_BOOL, T_NUMBER, T_STRING, T_TIME, T_DURATION, T_LIST, T_DYN };

enum model_node_kind {
    N_LITERAL,
    N_ITEMS, /* args: literals */
    N_REF,   /* ref, step */
    N_NOT,
    N_NEGATE,
    N_AND,
    N_OR,
    N_IF,  /* c ? a : b */
    N_CMP, /* op: one of = ! < L > G */
    N_IN,
    N_MATH, /* op: one of + - * / % */
    N_HAS,
    N_SIZE,
    N_TEST, /* op: s(tartsWith) e(ndsWith) c(ontains) */
    N_MATCHES,
    N_TIMESTAMP,
    N_TO_DURATION,
    N_GET,
    N_FOUND,
    N_MACRO,  /* op: a(ll) e(xists) 1; a: the list, b: the condition */
    N_WINDOW, /* op: s(pent) c(alls); zone: its length; args: keys; a: the amount */
};

enum model_ref {
    R_BODY,
    R_CLAIMS,
    R_QUERY,
    R_HEADER,
    R_PARAM,
    R_CALLER_ID,
    R_ISSUER,
    R_METHOD,
    R_GROUPS,
    R_GROUP, /* step[0]: caller.groups[n] */
    R_CONNECTION,
    R_FUNCTION,
    R_REQUEST_METHOD,
    R_REQUEST_PATH,
    R_REQUEST_SIZE,
    R_NOW,
    R_WORDS,   /* lists.words */
    R_NUMBERS, /* lists.numbers */
    R_WORD,    /* lists.words[n] */
    R_LIST_NUMBER,
    R_VARIABLE,
};

#define MODEL_STEPS 4
#define MODEL_VARS  3

struct model_node {
    enum model_node_kind kind;
    enum model_type type, elem;
    char op;
    bool plain_call; /* size(x), matches(x, re) rather than x.size() */
    struct model_node *a, *b, *c;
    struct model_node **args;
    unsigned nargs;
    struct model_value value;
    enum model_ref ref;
    unsigned variable; /* of R_VARIABLE, and the one that a macro binds */
    struct model_step step[MODEL_STEPS];
    unsigned nsteps;
    struct model_re *re;
    enum model_getter get;
    const char *zone; /* "" is UTC, unsaid; also the glob of found */
};

/* ------------------------------------------------------------------- world */

enum model_body_kind { MODEL_JSON, MODEL_FORM, MODEL_MULTIPART, MODEL_NO_BODY };

#define MODEL_GROUPS  4
#define MODEL_HEADERS 5
#define MODEL_WORDS   5
#define MODEL_NUMBERS 6

extern const char *const model_words[MODEL_WORDS];     /* lists.words */
extern const char *const model_numbers[MODEL_NUMBERS]; /* lists.numbers */
extern const char *const model_names[];                /* of variables */
extern const char *const model_detectors[3];           /* the order of found[] */

/* What a condition is asked about. */
struct model_world {
    struct arena mem; /* of all below */
    uint64_t seed;
    enum model_body_kind kind;
    bool cut; /* the body ends too early: nothing in it can be read */
    struct model_value *body, *claims, *query;
    struct span body_text, claims_text, query_text;
    unsigned ngroups;
    struct span groups[MODEL_GROUPS], id, issuer, method, param, path;
    bool has_param;
    unsigned nheaders;
    struct {
        struct span name, value;
        bool hop;
    } header[MODEL_HEADERS];
    uint64_t now_ns, size;
    bool scanned;
    unsigned found[3];
};

/* What a window has counted: any number that its text and the call decide, or unknown. */
struct model_value model_window(struct arena *mem, const struct model_world *w, struct span text);

/* What may be generated. */
struct model_features {
    bool math, ternary, macros, lists, matches, durations, getters, found, index, literals,
        dyn_time, windows;
};

unsigned model_pick(uint64_t *seed, unsigned n);
void model_world_make(struct model_world *w, uint64_t seed);

/* A condition; every node stands in `mem`. */
struct model_node *model_condition(struct arena *mem, uint64_t *seed,
                                   const struct model_features *f);
/* Any other expression: of a number, a string, a time or a duration. */
struct model_node *model_operand(struct arena *mem, uint64_t *seed, const struct model_features *f);
/* Smaller trees that a disagreement may be shown on: the n-th part, NULL past the last. */
struct model_node *model_smaller(struct arena *mem, const struct model_node *n, unsigned which);

/* `seed` decides spaces, superfluous parentheses and which of several spellings. */
void model_print(const struct model_node *n, uint64_t seed, const struct model_features *f,
                 struct outbuf *o);

/* A window as its identity is written: spent("body.n","60s",caller.id). */
struct span model_window_text(struct arena *mem, const struct model_node *n);
/* The n-th window in a tree; NULL past the last. */
const struct model_node *model_window_at(const struct model_node *n, unsigned which);

struct model_value model_eval(struct arena *mem, const struct model_world *w,
                              const struct model_node *n);
/* The same where a condition stands: true, false or unknown, and some finds are true. */
struct model_value model_truth(struct arena *mem, const struct model_world *w,
                               const struct model_node *n);

#endif
