/* What a body says: values at named paths of a JSON document or a form of either kind, with their
 * places in the raw bytes. Used for requests, for tokens' claims, and for whatever else is JSON and
 * not trusted.
 *
 * Three outcomes a path: found, missing, or unreadable; unreadable is whatever could be read in two
 * ways or not at all (a duplicate key on the way, a malformed document, one that is too large). No
 * allocation but from the scratch given; pure; any thread. */
#ifndef BODY_BODY_H
#define BODY_BODY_H

#include "base/base.h"

#define BODY_DEPTH_MAX    64
#define BODY_PATHS_MAX    4096 /* in one compiled set */
#define BODY_PAIRS_MAX    4096 /* pairs of a form, parts of multipart/form-data */
#define BODY_BOUNDARY_MAX 70

/* ------------------------------------------------------------------ paths */

/* A set of paths, compiled once, immutable afterwards and shared by threads. */
struct body_paths;

struct body_paths *body_paths_new(struct arena *mem);
/* Adds "amount", "card.number", "items[0].price", "[\"odd.key\"]" (a JSON string in the brackets);
 * returns its index (the same for the same path) or -1 when the text is no path or the set is full.
 * "" is the whole document. At most BODY_DEPTH_MAX steps of 255 bytes. */
int body_paths_add(struct body_paths *p, struct span path);
unsigned body_paths_count(const struct body_paths *p);

/* ----------------------------------------------------------------- values */

enum body_kind {
    BODY_MISSING,    /* the document is readable and has no such value */
    BODY_UNREADABLE, /* see body_values.problem, or the path is duplicate */
    BODY_NULL,
    BODY_BOOL,
    BODY_NUMBER, /* JSON number, or a form value that is written as one (RFC 8259 grammar) */
    BODY_STRING,
    BODY_OBJECT,
    BODY_ARRAY,
};

struct body_value {
    enum body_kind kind;
    bool boolean;
    bool duplicate;   /* with UNREADABLE: a key on the path is there more than once, or else what
                         stands there can be read in two ways */
    struct span raw;  /* in the body: with quotes and escapes; empty if missing */
    struct span text; /* unescaped string or number's text; into `raw` if nothing was escaped,
                         else into scratch */
    unsigned length;  /* elements of an array, members of an object */
};

enum body_type { BODY_NONE, BODY_JSON, BODY_FORM, BODY_MULTIPART, BODY_OTHER };

/* Are its values written without a type, so that `5` is a number or a text as it is wanted? */
static inline bool body_type_is_form(enum body_type t)
{
    return t == BODY_FORM || t == BODY_MULTIPART;
}

/* Why a whole body is unreadable: stable names for records. */
/* clang-format off */
#define BODY_PROBLEMS(X)                                                                          \
    X(NONE) X(EMPTY) X(TOO_LARGE) X(TOO_DEEP) X(MALFORMED) X(NOT_UTF8) X(TYPE) X(ENCODING)        \
    X(TOO_MANY) X(SCRATCH)                                                                        \
    /* of a coded body: */                                                                        \
    X(RATIO) X(DECODED_TOO_LARGE) X(CODED_BAD) X(CODED_SHORT) X(CODED_TRAILING) X(CODED_MEMBERS)
/* clang-format on */
enum body_problem {
#define X(name) BODY_PROBLEM_##name,
    BODY_PROBLEMS(X)
#undef X
        BODY_PROBLEM_COUNT
};
const char *body_problem_name(enum body_problem p); /* "too_large" */

struct body_values {
    enum body_problem problem; /* not NONE: every value is UNREADABLE */
    size_t problem_at;         /* byte offset of a malformation */
    unsigned count;
    struct body_value *v; /* by path index; memory of the caller's, `count` of them */
};

/* By Content-Type value: application/json and +json (charset absent or utf-8) -> JSON,
 * application/x-www-form-urlencoded -> FORM, multipart/form-data with one good boundary (and no
 * parameter beside it but a charset of utf-8) -> MULTIPART, empty -> NONE, all else OTHER. */
enum body_type body_type_of(struct span content_type);
/* The boundary of a Content-Type for which body_type_of says MULTIPART; false for all others.
 * body_read takes it from the body's first line: before it reads one, its user sees to it that the
 * two are the same (body_boundary_is). */
bool body_boundary_of(struct span content_type, struct span *boundary);
bool body_boundary_is(struct span content_type, struct span body);

/* Reads the body and fills out->v (out->v and out->count = body_paths_count given by the caller).
 * `scratch` holds unescaped strings; when it is spent, problem is SCRATCH; one as large as the body
 * always suffices. Takes up to 200 KiB of stack.
 *
 * JSON: strict RFC 8259, valid UTF-8, no BOM, depth cap, one value and nothing after it. The whole
 * document is always validated. Duplicate keys are seen after unescaping, also where one of the two
 * lies outside the wanted sub-path but on its way, and for keys that a lenient reader takes for the
 * same: but for letter case, "_", "." and " ", or what follows a NUL. Such a key alone is MISSING.
 * A lone surrogate in a wanted string, or in a key beside a wanted one, is MALFORMED.
 *
 * Form: `a=1&b[c]=2&d[]=3&e[0]=4`, with Stripe's and Rails' nesting; '+' and %XX decoded; a bad
 * escape, a bare ";" or invalid UTF-8 is MALFORMED/NOT_UTF8. A container's `raw` is empty, but the
 * whole document's. Duplicate, as servers disagree: the same key twice (except `x[]`); `x` beside
 * `x[...]`; `x[]` beside `x[0]` or `x[y]`; `x[][y]` beside `x[][z]`; a wanted element of a list
 * with gaps
 * (`x[1]` without `x[0]`) or beside names; brackets out of place (`x[y`, `x[y]z`, `[x]`) at the
 * name before them.
 *
 * Multipart (RFC 7578): fields by the same keys as a form's, with the same rules for what is there
 * twice. A part with a file name is an object with the strings `name` and `type` (the media type,
 * in lower case, without parameters; MISSING where the part has none) and the number `size`; its
 * bytes are no value, and nor is what stands in them. A part of a JSON type that is no file is a
 * string: its fields are not looked into. In doubt (UNREADABLE, `duplicate`): an empty file name, a
 * part of multipart/..., of another charset than utf-8, or a text that is not UTF-8; of a file's
 * name, one with %XX in it. All else that servers read in different ways is MALFORMED: a byte
 * before the first delimiter or after the last but for one CRLF; a delimiter that does not stand on
 * its own line, or the text of one anywhere else; lines that do not end in CRLF or are folded; a
 * part without exactly one Content-Disposition of form-data with exactly one name, with a parameter
 * beside `name` and `filename`, a backslash in either or %XX in a name; a transfer or content
 * encoding; a Content-Length that is not the part's; TOO_MANY: more than 16 fields of a part.
 *
 * BODY_NONE: TYPE unless the body is empty, then every path is MISSING. BODY_OTHER: TYPE. */
void body_read(const struct body_paths *p, enum body_type type, struct span body,
               struct span scratch, struct body_values *out);

/* The parts of a multipart body, from the first to the last, for those who want them as they are.
 * The delimiter is "--" and the boundary. `bad` is where the body is malformed: what was given out
 * before is then worth nothing. Heads are not looked into. */
struct body_part {
    struct span head; /* its fields, each but the last with its CRLF */
    struct span content;
};
struct body_parts {
    struct span delimiter, rest;
    const char *bad;
    bool done;
};
bool body_parts_begin(struct body_parts *it, struct span body);
/* False: there are no more, or `bad` is set. */
bool body_parts_next(struct body_parts *it, struct body_part *out);

/* Marks every path unreadable for a cause found elsewhere (too large, encoded). */
void body_unreadable(enum body_problem why, struct body_values *out);

/* ---------------------------------------------------------------- codings */

enum body_coding {
    BODY_GZIP,    /* RFC 1952 */
    BODY_DEFLATE, /* RFC 1950 (RFC 9110 8.4.1.2); without zlib's head and checksum: CODED_BAD */
    BODY_BROTLI,  /* RFC 7932; large windows: CODED_BAD */
    BODY_ZSTD,    /* RFC 8878, windows of up to 8 MiB (RFC 9659); no dictionary, no other frames */
};

#define BODY_CODINGS_MAX 2

/* What a body was coded with, in the order in which it was. */
struct body_codings {
    unsigned n; /* 0: not coded */
    enum body_coding coding[BODY_CODINGS_MAX];
};

/* A Content-Encoding value: "identity", or one or two of gzip, x-gzip, deflate, br, zstd in
 * whatever case. False for all else (ENCODING): others, more of them, an empty element, `identity`
 * beside another. */
bool body_codings_of(struct span content_encoding, struct body_codings *out);

/* Takes codings off. It has 64 MiB of address space of its own, of which pages are used as a stream
 * needs them, and asks the system for nothing after it was made. One thread. */
struct body_decoder;
struct body_decoder *body_decoder_new(void); /* NULL when out of memory */
void body_decoder_free(struct body_decoder *d);

struct body_decode_limits {
    size_t size;    /* bytes decoded, */
    unsigned ratio; /* and that for each byte coded; at least 1 */
};
/* The bytes that a body of that coded size may have at most. */
size_t body_decode_room(size_t coded, struct body_decode_limits limits);

/* Decodes a whole body into `out`; `between`, for the step between two codings, is not used for
 * one. Both have body_decode_room bytes. *n is the size of what was decoded. No more is ever
 * decoded than may be, so that a bomb costs what a good body of the greatest size costs. Problems:
 * RATIO, DECODED_TOO_LARGE  more than `limits` at either step; whichever of the two is the smaller
 * CODED_SHORT               the stream does not end
 * CODED_BAD                 it is none, its checksum is wrong, or it needs what is refused above
 * CODED_TRAILING            bytes after its end
 * CODED_MEMBERS             another gzip member or zstd frame after its end
 * SCRATCH                   it needs more memory than the decoder has */
enum body_problem body_decode(struct body_decoder *d, const struct body_codings *codings,
                              struct span in, struct body_decode_limits limits, char *out,
                              char *between, size_t *n);

/* ---------------------------------------------------------------- numbers */

/* Exact comparison of two decimal numbers in RFC 8259 grammar, of any size, with no float and no
 * allocation: "50000", "5e4", "50000.0" are equal; "1e400" > "1e399". Exponents beyond 10^18 in
 * magnitude saturate. False if one is not a number; else *order is -1, 0, 1. */
bool body_number_cmp(struct span a, struct span b, int *order);
bool body_number_valid(struct span s);

#endif
