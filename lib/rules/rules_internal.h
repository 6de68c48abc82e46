/* What the parts of the rules library share with each other, and with its tests, and with nobody
 * else.
 *
 *   rules_load.c         the directory, the sections, the finished set
 *   rules_connections.c  `connections`           rules_functions.c  methods and path templates
 *   rules_errors.c       `errors`                rules_fields.c     header fields by name
 *   rules_packs.c        `packs`, and what a connection takes from one
 *   rules_index.c        templates -> one automaton a method; the lookup
 *   rules_segments.c     segments that are text around a parameter
 *   rules_tell.c         functions told by what the body says, read and laid out
 *   rules_told.c         the one that a call's body names        rules_graphql.c  GraphQL documents
 *   rules_rules.c        `rules`                 rules_plan.c       candidates a function
 *   rules_shadow.c       rules that never decide
 *   rules_masks.c        `detectors`, `masks`    rules_issuers.c    `issuers`, `sources`
 *   rules_lists.c        `lists`
 *   rules_lex.c rules_parse.c rules_names.c rules_check.c rules_check_calls.c
 *   rules_check_window.c rules_emit.c rules_fold.c             `when` -> a flat program
 *   rules_value.c rules_arith.c rules_decimal.c rules_table.c rules_json.c   values
 *   rules_calendar.c rules_zone.c                              times in zones
 *   rules_eval.c rules_loop.c                                  running a program
 *   rules_decide.c       the decision            rules_expr.c  expressions over claims
 *   rules_explain.c rules_show.c                               a decision part by part
 *   rules_windows.c rules_amount.c                            what is counted over many calls
 *   rules_read.c rules_time.c rules_map.c        keys, dates, tables */
#ifndef RULES_INTERNAL_H
#define RULES_INTERNAL_H

#include "rules_graphql.h"

#include "rules/rules.h"

/* Nanoseconds. Not base/clock.h's NS_PER_S: DPDK's headers define that name again, as an int. */
#define RULES_SECOND ((uint64_t)1000000000)

#define RULES_FILES_MAX       1000
#define RULES_MAX             10000
#define RULES_CONNECTIONS_MAX 500
#define RULES_FUNCTIONS_MAX   20000 /* the unlisted ones apart */
#define RULES_PACKS_MAX       500
#define RULES_HOSTS_MAX       64 /* a connection */
#define RULES_SOURCES_MAX     4096
#define RULES_ISSUERS_MAX     64
#define RULES_MASKS_MAX       1000
#define RULES_SEGMENTS_MAX    32 /* of a path template */
#define RULES_ROUTES_MAX      16 /* of one function */
#define RULES_PATTERNS_MAX    64 /* texts around a parameter, at one place of a connection's paths */
#define RULES_TOLD_FIELDS_MAX 16 /* of the bodies of one route */
#define RULES_TOLD_TEXTS_MAX  256
#define RULES_TOLD_TEXT_MAX   256 /* bytes */
#define RULES_LISTS_MAX       1000
#define RULES_LIST_MAX        10000 /* entries of one list */
#define RULES_MATCHES_MAX     1000  /* patterns that conditions match with */
#define RULES_NAME_MAX        128
#define RULES_IDEMPOTENCY_MAX 8
#define RULES_SHAPES          5          /* of answers, that have a name */
#define RULES_CANDIDATES_MAX  (4u << 20) /* over all plans */

#define RULES_EXPR_MAX  ((size_t)16 << 10) /* bytes of one expression */
#define RULES_NODES_MAX 2000               /* of its tree */
#define RULES_DEPTH_MAX 64                 /* of its parentheses, and of a path */
#define RULES_STACK     96                 /* values that a program may have at once */
#define RULES_TEXT_ROOM ((size_t)64 << 10) /* text that one condition may put together */

struct rules_list {
    void **at;
    size_t n, room;
};
void rules_list_add(struct rules_list *l, struct arena *mem, void *item);

/* ------------------------------------------------------------------ values */

enum __attribute__((packed)) rules_value_kind {
    VALUE_UNKNOWN, /* there, but not to be read in one way; or not computable */
    VALUE_MISSING, /* readable and not there: unknown to everything but has() */
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER, /* `text` is a number in RFC 8259 grammar */
    VALUE_STRING,
    VALUE_FORM,     /* a form value written as a number: a number beside numbers, else a string */
    VALUE_TIME,     /* `seconds` since 1970 and `n` nanoseconds after them, UTC */
    VALUE_DURATION, /* the same; -0.25s is -1 and 750,000,000 */
    VALUE_SPANS,    /* a list of strings: `spans`, `n` */
    VALUE_ITEMS,    /* a list of constants: `items`, `n` */
    VALUE_TABLE,    /* the same, to be searched by hash: `table`, `n` */
    VALUE_ARRAY,    /* a JSON array: `text` is its raw bytes, or no bytes in a form; `n` */
    VALUE_OBJECT,   /* `text` is its raw bytes if it is an element of an array */
};

struct rules_table;

/* Programs copy these often: 32 bytes. */
struct rules_value {
    enum rules_value_kind kind;
    bool boolean; /* of a constant number: it is whole, not negative, and `seconds` holds it, too */
    bool literal; /* a `null` that the rule itself says: a test for null, not a value */
    unsigned n;
    struct span text;
    union {
        const struct span *spans;
        const struct rules_value *items;
        const struct rules_table *table;
        int64_t seconds;
        /* Constants that are no values, for the instructions that use them. */
        const struct rules_zone *zone;
        const struct match_regex *regex;
        match_set detectors;
    };
};

#define VALUE_OF(k) ((struct rules_value){.kind = (k)})

static inline struct rules_value value_bool(bool b)
{
    return (struct rules_value){.kind = VALUE_BOOL, .boolean = b};
}

enum rules_cmp { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

/* What a condition says. */
enum rules_truth { TRUTH_NO, TRUTH_YES, TRUTH_UNKNOWN };

static inline enum rules_truth truth_of(bool b)
{
    return b ? TRUTH_YES : TRUTH_NO;
}

/* Text that a running condition makes: nothing is freed, it is emptied before each condition. */
struct rules_text {
    char *p;
    size_t used, room;
};
char *rules_text_take(struct rules_text *t, size_t n); /* NULL when spent */

enum rules_truth rules_value_cmp(enum rules_cmp op, const struct rules_value *a,
                                 const struct rules_value *b);
enum rules_truth rules_value_in(const struct rules_value *a, const struct rules_value *list,
                                struct rules_text *t);
struct rules_value rules_value_size(const struct rules_value *a, struct rules_text *t);
enum rules_arith { ARITH_ADD, ARITH_SUB, ARITH_MUL, ARITH_DIV, ARITH_MOD };
/* Numbers, strings (+), times and durations. */
struct rules_value rules_value_arith(enum rules_arith op, const struct rules_value *a,
                                     const struct rules_value *b, struct rules_text *t);
struct rules_value rules_value_negate(const struct rules_value *a, struct rules_text *t);
/* Element `i` of a list, from 0; UNKNOWN beyond the end, and for a list that is a JSON array. */
struct rules_value rules_value_at(const struct rules_value *list, unsigned i);
bool rules_value_text(const struct rules_value *v, struct span *out); /* STRING or FORM */
struct rules_value rules_value_u64(uint64_t v, struct rules_text *t);
void rules_value_read(const struct body_value *v, bool form, struct rules_value *out);

/* Exact decimal arithmetic on texts in RFC 8259 grammar, with no float. UNKNOWN if an operand or
 * the result has more than RULES_DIGITS significant digits, if a sum or a whole division would go
 * over more than RULES_DIGITS places, or an exponent is beyond 10^17. A quotient is cut after
 * RULES_QUOTIENT significant digits; a remainder needs whole numbers and has the dividend's sign;
 * by zero is UNKNOWN. */
#define RULES_DIGITS   256
#define RULES_QUOTIENT 40
struct rules_value rules_decimal(enum rules_arith op, struct span a, struct span b,
                                 struct rules_text *t);
struct rules_value rules_decimal_negate(struct span a, struct rules_text *t);
/* The same for all ways to write one number. */
uint64_t rules_decimal_hash(struct span a);

/* Constant lists of strings or of numbers, searched by hash. */
struct rules_table *rules_table_new(struct arena *mem, const struct rules_value *items, unsigned n);
const struct rules_value *rules_table_items(const struct rules_table *t);
/* An item that equals `a` (index into the items), or -1; -2: `a` is of another type. */
int64_t rules_table_find(const struct rules_table *t, const struct rules_value *a);

/* Times and durations: the sum, or UNKNOWN beyond CEL's range (the years 1 to 9999). */
struct rules_value rules_time_arith(enum rules_arith op, const struct rules_value *a,
                                    const struct rules_value *b);
struct rules_value rules_time_of(struct span text);     /* RFC 3339; UNKNOWN if it is none */
struct rules_value rules_duration_of(struct span text); /* UNKNOWN if it is none */

/* Getters of a time, and those of them that a duration has too. */
enum rules_get {
    TIME_FULL_YEAR,
    TIME_MONTH,
    TIME_DATE,
    TIME_DAY_OF_MONTH,
    TIME_DAY_OF_WEEK,
    TIME_DAY_OF_YEAR,
    TIME_HOURS,
    TIME_MINUTES,
    TIME_SECONDS,
    TIME_MILLISECONDS,
};
/* `zone` NULL: UTC. */
struct rules_value rules_time_get(enum rules_get what, const struct rules_value *time,
                                  const struct rules_zone *zone, struct rules_text *t);

/* A time zone: "Europe/Berlin" from the system's files (TZif, RFC 8536), "+02:00" or "UTC". NULL
 * and `why`. Immutable. */
const struct rules_zone *rules_zone_read(struct arena *mem, struct span name, const char **why);
int32_t rules_zone_offset(const struct rules_zone *z, int64_t seconds); /* east of UTC, seconds */

/* A value as people read it: `true`, `unknown`, `60000`, `"usd"`, `[3 elements]`. Cut if it is
 * long. */
void rules_value_show(const struct rules_value *v, struct outbuf *o);

/* Takes one element from a JSON array that has been validated. `*rest` starts as the whole array
 * with its brackets. Strings are unescaped into `t`. False at the end. */
bool rules_json_next(struct span *rest, struct rules_text *t, struct rules_value *out);

/* -------------------------------------------------------------- expressions */

/* Documents that an expression may look into, each through one set of compiled paths. */
enum rules_doc { DOC_BODY, DOC_CLAIMS, DOC_QUERY, DOC_COUNT };

/* The body library notes some bytes in its scratch for each step of a path. A step is written with
 * at least one byte. */
static inline size_t rules_path_state(struct span path)
{
    return 32 * (path.n + 1);
}

enum rules_type {
    TYPE_DYN, /* known only when the call is there */
    TYPE_BOOL,
    TYPE_NUMBER,
    TYPE_STRING,
    TYPE_NULL,
    TYPE_TIME,
    TYPE_DURATION,
    TYPE_LIST, /* `elem` says of what */
};

/* What a name in an expression stands for. */
enum rules_ref {
    REF_DOC, /* doc, slot */
    REF_HEADER,
    REF_PARAM,
    REF_CALLER_ID,
    REF_CALLER_ISSUER,
    REF_CALLER_METHOD,
    REF_CALLER_ADDRESS,
    REF_CALLER_GROUPS,
    REF_CONNECTION,
    REF_FUNCTION,
    REF_REQUEST_METHOD,
    REF_REQUEST_PATH,
    REF_REQUEST_SIZE,
    REF_NOW,
    REF_VAR, /* level, slot: the variable of a loop, or what lies under it */
};

/* Windows count over many calls: what calls to the same keys said together, or how many there were,
 * in a stretch of time that ends now. */
enum rules_window_kind { WINDOW_SPENT, WINDOW_CALLS };

enum rules_ast_kind {
    AST_LITERAL, /* value */
    AST_LIST,    /* args: literals */
    AST_NAME,    /* text */
    AST_FIELD,   /* a, text */
    AST_INDEX,   /* a, b */
    AST_REF,     /* what NAME, FIELD and INDEX become when checked: ref, doc, slot, text */
    AST_NOT,
    AST_AND,
    AST_OR,
    AST_CMP, /* cmp */
    AST_IN,
    AST_ARITH, /* arith */
    AST_NEGATE,
    AST_CHOOSE, /* a ? b : c */
    AST_CALL,   /* text(args) */
    AST_METHOD, /* a.text(args) */
    /* What CALL and METHOD become when checked; operands in a, b. */
    AST_HAS,
    AST_SIZE,
    AST_STARTS,
    AST_ENDS,
    AST_CONTAINS,
    AST_WINDOW,    /* window */
    AST_AT,        /* element `slot` of the list a */
    AST_LOOP,      /* loop; a is the list, b what is asked of each element */
    AST_MATCHES,   /* a; value.regex */
    AST_FOUND,     /* value.detectors */
    AST_GET,       /* a; get, value.zone */
    AST_TIMESTAMP, /* a: text */
    AST_DURATION,
};

struct rules_ast {
    enum rules_ast_kind kind;
    unsigned at;       /* byte in the expression, for complaints */
    unsigned from, to; /* where all of it stands; parentheses around it are not in it */
    enum rules_type type, elem;
    struct rules_ast *a, *b, *c;
    struct rules_ast **args;
    unsigned nargs;
    enum rules_cmp cmp;
    enum rules_arith arith;
    enum rules_get get;
    struct span text;
    struct rules_value value;
    enum rules_ref ref;
    enum rules_doc doc;
    unsigned slot, level;
    const struct rules_ast_window *window;
    struct rules_ast_loop *loop;
};

struct rules_ast_window {
    enum rules_window_kind kind;
    unsigned amount; /* SPENT: slot in DOC_BODY */
    uint64_t length_ns;
    struct rules_ast **key;
    unsigned nkeys;
    struct span text;
};

enum rules_loop_kind { LOOP_ALL, LOOP_EXISTS, LOOP_EXISTS_ONE };

#define RULES_LOOPS_MAX 4       /* one in the other */
#define RULES_WHOLE     0xffffu /* the slot of a variable itself */

struct rules_ast_loop {
    enum rules_loop_kind kind;
    unsigned level; /* how many loops are around it */
    struct span variable;
    enum rules_type elem;
    struct rules_list paths; /* struct span: what lies under the variable, by slot */
};

/* Where an expression stands, and where complaints go. */
struct rules_source_text {
    struct span text;
    const struct yaml_node *node; /* NULL: `file` names the place */
    const char *file;
    struct diags *d;
};
void rules_expr_error(const struct rules_source_text *src, unsigned at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

enum rules_token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_PUNCT, TOKEN_BAD };

/* Punctuators by their characters: '&' stands for &&, '|' for ||, 'E' ==, 'N' !=, 'L' <=, 'G' >=.
 */
struct rules_token {
    enum rules_token_kind kind;
    char punct;
    unsigned at, to;
    struct span text; /* a string's is unescaped */
};

struct rules_lexer {
    const struct rules_source_text *src;
    struct arena *mem;
    size_t pos;
};
/* TOKEN_BAD after a complaint. */
struct rules_token rules_lex(struct rules_lexer *l);

/* NULL after a complaint. */
struct rules_ast *rules_parse(const struct rules_source_text *src, struct arena *mem);

enum rules_scope { SCOPE_CALL, SCOPE_CLAIMS }; /* names of a rule; of an issuer */

/* The paths that one expression reads, by document: the slot is the place in the list. */
struct rules_paths {
    struct span *path[DOC_COUNT];
    unsigned n[DOC_COUNT], room[DOC_COUNT];
    struct span *param; /* names of path parameters it uses, with where */
    unsigned *param_at;
    unsigned nparam;
};

struct rules_loader;

/* What conditions may name beside the call: the lists and detectors of the files being loaded. */
struct rules_around {
    struct rules_loader *l;     /* NULL: no lists, and only the product's own detectors */
    struct arena *mem;          /* of the program: for zones and patterns */
    struct rules_list patterns; /* struct match_regex */
    bool found;                 /* found() is used */
    bool names;                 /* some name is: the result may depend on the call */
};

/* Resolves names, checks types, fills `paths`. A result that is wanted to be true or false may be a
 * number of finds. False after complaints. */
bool rules_check(const struct rules_source_text *src, enum rules_scope scope, enum rules_type want,
                 struct rules_around *around, struct arena *mem, struct rules_ast **ast,
                 struct rules_paths *paths);
const char *rules_type_name(enum rules_type t); /* "a number" */

enum rules_op {
    OP_CONST, /* arg: constant */
    OP_REF,   /* x: enum rules_ref; arg: constant holding the name (HEADER, PARAM) */
    OP_DOC,   /* x: enum rules_doc; arg: slot */
    OP_HAS,
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_JUMP_FALSE, /* arg: where to, if the top is false; the top stays */
    OP_JUMP_TRUE,
    OP_CMP,     /* x: enum rules_cmp */
    OP_DOC_CMP, /* OP_DOC and, with the constant of the instruction that follows, OP_CMP: most of
                   what conditions do. x: enum rules_doc, and the enum rules_cmp from bit 2 on */
    OP_IN,
    OP_ARITH, /* x: enum rules_arith */
    OP_NEGATE,
    OP_CHOOSE, /* arg: where to, if the top is false; the instruction before that is the SKIP which
                  ends the other branch. Unknown goes where that one leads */
    OP_SKIP,   /* arg: where to */
    OP_JOIN,   /* both branches end here */
    OP_SIZE,
    OP_STARTS,
    OP_ENDS,
    OP_CONTAINS,
    OP_WINDOW,  /* arg: index in the run's window[] */
    OP_AT,      /* arg: which element */
    OP_LOOP,    /* arg: index in loops[]; what is asked of each element follows */
    OP_VAR,     /* x: level; arg: slot or RULES_WHOLE */
    OP_MATCHES, /* arg: constant */
    OP_FOUND,   /* arg: constant */
    OP_GET,     /* x: enum rules_get; arg: constant */
    OP_TIMESTAMP,
    OP_DURATION,
};

struct rules_instr {
    uint8_t op, x;
    uint16_t arg;
};

#define RULES_WINDOW_KEYS_MAX   8
#define RULES_WINDOW_LENGTH_MAX (31 * 86400 * RULES_SECOND)

/* One use of a window in a condition. Its keys are programs of their own over the paths of the
 * condition, so that the same slots serve. */
struct rules_window_use {
    enum rules_window_kind kind;
    unsigned amount; /* SPENT: the condition's slot in DOC_BODY */
    uint64_t length_ns;
    const struct rules_expr *const *key;
    unsigned nkeys;
    struct span text; /* spent("body.amount","86400s",caller.id): says what it counts, whatever
                         spaces and unit it was written with */
};

/* all(), exists(), exists_one(): code[start .. end) is run for each element. */
struct rules_loop {
    enum rules_loop_kind kind;
    uint8_t level;
    uint16_t start, end;
    struct body_paths *paths; /* under the variable; NULL: only the variable itself is used */
    const uint16_t *slot;     /* by slot of the variable's paths: index in `paths` */
    int whole;                /* index of the path "" in `paths`, -1 if it is not asked for */
};

/* What a run must have room for beside the documents. */
struct rules_needs {
    unsigned loops;  /* one in the other */
    unsigned values; /* of one loop's paths */
    size_t state;
    const struct match_regex *const *patterns;
    unsigned npatterns;
};

/* A part of the expression: where it stands, how deep, and the instruction that gives its value. */
struct rules_part {
    uint16_t from, to;
    uint16_t depth, pc;
};

/* Jumps lead forward only: a program of n instructions takes at most n steps, and as many again for
 * each element of what it loops over, which rules_run bounds. */
/* One of the conditions that && joins at the top: `a && (b || c) && d` has three. Each is a stretch
 * of the program that can be run alone. */
struct rules_conjunct {
    uint16_t start, stop; /* instructions */
    uint16_t from, to;    /* in the source */
    bool plain; /* takes nothing from a decision's budget and asks for no window: it gives the same
                   however often it is run for one call */
};

struct rules_expr {
    const struct rules_instr *code;
    unsigned ncode;
    const struct rules_conjunct *conjuncts; /* one at least */
    unsigned nconjuncts;
    const struct rules_value *constants;
    struct rules_paths paths;
    struct body_paths *claims; /* issuers' expressions: their own compiled paths */
    const uint16_t *slots;
    const struct rules_window_use *windows; /* each once, in the order in which they stand */
    unsigned nwindows;
    enum rules_type type;
    const struct rules_loop *loops;
    struct rules_needs needs;
    bool needs_found;
    bool constant; /* says `says` of every call */
    enum rules_truth says;
    struct span source;             /* cold: for explanations */
    const struct rules_part *parts; /* the whole first, then each part before its parts */
    unsigned nparts;
};

/* NULL when it needs more stack or constants than a program may have (after a complaint). */
struct rules_expr *rules_emit(const struct rules_source_text *src, struct arena *mem,
                              const struct rules_ast *ast, const struct rules_paths *paths,
                              const struct rules_around *around);
/* Finds out whether the program says the same of every call, and what. */
void rules_expr_fold(struct rules_expr *e, bool names);

/* Text to program: parse, check, emit. `want` is what it must give (TYPE_DYN passes for all).
 * NULL after complaints. */
struct rules_expr *rules_compile(const struct rules_source_text *src, enum rules_scope scope,
                                 enum rules_type want, struct arena *mem);
/* The same with what the files being loaded say around it. */
struct rules_expr *rules_compile_in(const struct rules_source_text *src, struct rules_loader *l,
                                    enum rules_scope scope, enum rules_type want,
                                    struct arena *mem);

/* What all loops of one decision may cost together, with what `in` looks through of the call's own
 * arrays; beyond it a condition is unknown. */
#define RULES_LOOP_STEPS   250000            /* instructions run for elements */
#define RULES_STEP_DIGITS  4                 /* of operands: arithmetic takes as long as one more */
#define RULES_LOOP_BYTES   ((size_t)4 << 20) /* of elements and of what is done with them */
#define RULES_ELEMENT_ROOM ((size_t)64 << 10) /* unescaped text of one element */

/* A loop that runs. */
struct rules_frame {
    const struct rules_loop *loop;
    struct rules_value element;
    bool read; /* `doc` holds what lies under the element */
    struct body_values doc;
    unsigned values; /* room in doc.v */
    char *text;
    size_t room;
};

struct rules_trace;

/* What an expression runs on. */
struct rules_run {
    const struct rules_call *call;    /* NULL for issuers' expressions */
    const struct body_values *doc;    /* by enum rules_doc */
    const uint16_t *slots[DOC_COUNT]; /* expression's slot -> index into doc[].v */
    bool form[DOC_COUNT];             /* the document is a form */
    const struct rules_value *window; /* by index in the expression's windows[]; NULL: unknown */
    struct rules_text text;
    size_t loop_steps, loop_bytes; /* spent so far; back to 0 for each decision */
    struct rules_frame frame[RULES_LOOPS_MAX];
    struct match_tester *tester;
    struct rules_trace *trace; /* NULL but for explanations */
    struct rules_value stack[RULES_STACK];
};
struct rules_value rules_eval(const struct rules_expr *e, struct rules_run *r);
enum rules_truth rules_eval_conjunct(const struct rules_expr *e, struct rules_run *r,
                                     const struct rules_conjunct *c);
/* Gives a run (zeroed at first) room for loops and patterns; what it had stays. False: no memory.
 * Not on the road. */
bool rules_run_adopt(struct rules_run *r, const struct rules_needs *needs);
void rules_run_free(struct rules_run *r); /* what rules_run_adopt took */

/* Runs [from, to) for one element; `end` is past the last value of the stack. */
struct rules_value rules_eval_element(const struct rules_expr *e, struct rules_run *r,
                                      const struct rules_loop *loop, struct rules_value *end);
enum rules_truth rules_loop_run(const struct rules_expr *e, struct rules_run *r,
                                const struct rules_loop *loop, struct rules_value *end);
struct rules_value rules_loop_variable(struct rules_run *r, unsigned level, unsigned slot);

/* What each instruction gave when it ran last, as text. */
struct rules_trace {
    struct rules_shown {
        uint8_t n; /* 0: it did not run */
        char text[127];
    } * at; /* by instruction */
};
struct rules_value rules_eval_traced(const struct rules_expr *e, struct rules_run *r);
struct rules_candidate;
/* Runs the candidate's condition and tells its parts; the run's slots are the candidate's. */
void rules_expr_explain(const struct rules_candidate *c, struct rules_run *r,
                        rules_explain_fn *tell, void *ctx);

/* ---------------------------------------------------------------- tables */

struct rules_map_entry {
    struct span key;
    void *value;
};
/* A table by text; memory of an arena; built, then only read. */
struct rules_map {
    struct rules_map_entry *slot;
    size_t n, room; /* room: 0 or a power of two */
};
/* NULL if it was put in; else what was there, unchanged. */
void *rules_map_put(struct rules_map *m, struct arena *mem, struct span key, void *value);
void *rules_map_get(const struct rules_map *m, struct span key);

/* -------------------------------------------------------------- the set */

#define RULES_NOT_SHARED UINT16_MAX

struct rules_candidate {
    const struct rules_rule *rule;
    const struct rules_expr *when; /* NULL: always */
    const uint16_t *shared;        /* by conjunct: which of the plan's it is, or RULES_NOT_SHARED */
    const uint16_t *slots[DOC_COUNT];
    const uint8_t *window; /* condition's window -> index into the plan's */
};

/* A window that conditions ask for; those that say the same are one. */
struct rules_plan_window {
    const struct rules_window_use *use;
    const uint16_t *slots[DOC_COUNT]; /* of the condition in which it stands */
};

/* What is judged for a function; functions under the same rules share one. */
struct rules_plan {
    const struct rules_candidate *candidates; /* strictest first, then by id */
    unsigned n;
    struct body_paths *paths[DOC_COUNT]; /* NULL: that document is not looked into */
    unsigned npaths[DOC_COUNT];
    size_t state[DOC_COUNT];           /* scratch that reading takes beside the texts */
    struct rules_plan_window *windows; /* room for RULES_WINDOWS_MAX, if there are any */
    unsigned nwindows;
    unsigned nshared; /* different conjuncts whose answer is kept for the other candidates */
    bool needs_body, needs_found;
};

struct rules_detector {
    struct span name, pattern, check;
    struct place place;
};

/* A segment of a path template: text, or text around one parameter. */
struct rules_segment {
    struct span before, after; /* text alone: all of it is `before` */
    bool open;                 /* at least one byte of any kind stands between the two */
};

/* What of a body tells functions of one route apart. */
enum rules_tell_kind { TELL_JSONRPC, TELL_MCP, TELL_GRAPHQL, TELL_FORM, TELL_JSON };

/* What one function is told by: any of some values at one place. */
struct rules_tell {
    enum rules_tell_kind kind;
    struct span field; /* TELL_FORM, TELL_JSON: words with dots between */
    const struct span *values;
    const struct yaml_node **nodes; /* theirs; until loading is over */
    unsigned nvalues;
};

/* Texts, each naming a route; and texts that some servers may take for one of them. */
struct rules_told_texts {
    struct rules_map exact, alike; /* -> struct rules_route */
};

struct rules_told_field {
    struct span path;
    unsigned slot;
    struct rules_told_texts texts;
    struct rules_map words; /* JSON's whole numbers and true, false -> struct rules_route */
};

/* The places that are looked at in a JSON document, or in a form. */
struct rules_told_doc {
    struct body_paths *paths; /* NULL: nothing of such a body is looked at */
    unsigned npaths;
    size_t state;             /* as in a plan */
    struct rules_list fields; /* struct rules_told_field */
    struct span query;        /* the same places as a query would have them, each once */
};

/* Top-level fields of GraphQL operations. */
struct rules_told_graphql {
    bool wanted;
    unsigned query, name,
        stored[2]; /* slots of `json`; `stored`: which of the vendor's documents */
    struct rules_map fields[GRAPHQL_TYPES]; /* -> struct rules_route */
    struct rules_route *any[GRAPHQL_TYPES]; /* for all others; NULL: none */
};

/* Functions of one route that only the body tells apart. */
struct rules_told {
    const struct rules_route *plain; /* for what no other is told by; NULL: none */
    struct rules_told_doc json, form;
    bool rpc, mcp;
    unsigned version, method, tool; /* slots of `json` */
    struct rules_told_texts methods, tools;
    struct rules_told_graphql graphql;
};

/* One way to reach a function. */
struct rules_route {
    struct rules_tell *tell; /* NULL: method and path say it */
    struct rules_told *told; /* what the functions of this route are told by, on the first of them
                                alone; NULL: there is one */
    struct rules_function *function; /* set when the functions have found their places */
    struct rules_pending_function *owner;
    struct span method, path;
    struct rules_segment *segment;
    unsigned nsegments;
    bool rest;          /* ends in `**` */
    struct span *param; /* names */
    uint8_t *param_segment;
    unsigned nparams;
    bool reached; /* some path ends here */
    struct place place;
};

struct rules_index; /* by method */

struct rules_file {
    struct span name, text;
};

struct rules_set {
    struct arena mem;
    struct rules_file *files; /* by name */
    unsigned nfiles;
    uint8_t hash[RULES_HASH];
    struct rules_rule *rules;
    unsigned nrules;
    struct rules_connection *connections;
    const struct rules_index **index; /* by connection */
    unsigned nconnections;
    struct rules_function *functions;
    const struct rules_plan **plan; /* by function */
    unsigned nfunctions;
    struct rules_issuer *issuers;
    unsigned nissuers;
    struct rules_source *sources; /* longest prefix first */
    unsigned nsources;
    struct rules_map by_prefix; /* -> struct rules_source */
    uint8_t length[129];        /* prefix lengths in use, the longest first */
    unsigned nlengths;
    struct rules_detector *detectors; /* by name, after the known ones */
    unsigned ndetectors;
    struct rules_map hosts; /* -> struct rules_connection */
    const struct rules_errors *shapes[RULES_SHAPES];
    unsigned most_paths[DOC_COUNT];
    size_t most_state[DOC_COUNT];
    size_t most_body;
    unsigned most_shared;
    uint64_t longest_window;  /* ns */
    struct rules_needs needs; /* of its conditions */
};

/* ------------------------------------------------------------------ windows */

#define RULES_AMOUNT_TEXT 32

/* `number` is one in RFC 8259 grammar. What is behind the sixth place is rounded up. False:
 * negative, or more than 9,223,372,036,854.775807. */
bool rules_amount_read(struct span number, uint64_t *millionths);
struct span rules_amount_text(uint64_t millionths, char room[RULES_AMOUNT_TEXT]);
/* Equal for equal values, however they are written. */
void rules_amount_hash(struct window_hash *h, struct span number);

/* What a scratch keeps of the windows of the decision that it works on, by place in the plan. */
struct rules_windows {
    struct window_table *table; /* NULL: all are unknown */
    struct rules_window_now {
        bool readable, reserved;
        struct window_key key;
        uint64_t amount, least, most;
        struct window_count count;
        char text[RULES_AMOUNT_TEXT];
    } now[RULES_WINDOWS_MAX];
    struct rules_value value[RULES_WINDOWS_MAX];
    struct rules_value shown[RULES_WINDOWS_MAX]; /* by place in the condition */
    struct rules_verdict least;                  /* the verdict by what is counted only */
    uint64_t random;
};

/* Whose they are, and what the call would add. */
void rules_windows_read(struct rules_windows *w, const struct rules_plan *p, struct rules_run *r);
/* True: others have reserved there too. Commit or withdraw must follow. */
bool rules_windows_reserve(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                           struct rules_verdict *v);
/* Sets the values that conditions see: with what others have reserved or without. */
void rules_windows_show(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                        bool most);
const struct rules_value *rules_windows_of(struct rules_windows *w,
                                           const struct rules_candidate *c);
void rules_windows_withdraw(struct rules_windows *w, const struct rules_plan *p);
void rules_windows_commit(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                          struct rules_verdict *v);
void rules_windows_pause(struct rules_windows *w, unsigned tries);

/* -------------------------------------------------------------- loading */

struct rules_pending_function {
    struct span name; /* full */
    struct rules_pending_connection *connection;
    struct rules_route *routes[RULES_ROUTES_MAX];
    unsigned nroutes;
    struct rules_function *final;
    bool unlisted;
};

struct rules_pending_connection {
    struct rules_connection pub;
    struct rules_list functions; /* rules_pending_function */
    const struct yaml_node *node;
    struct place place;
};

struct rules_pending_rule {
    struct rules_rule pub;
    const struct yaml_node *node;
    struct span *on;
    const struct yaml_node **on_node;
    unsigned non;
    const struct rules_expr *when;
    const struct yaml_node *when_node;
    struct rules_rule *final;
    bool bad; /* it was complained about: nothing is concluded from what it seems to say */
    const struct rules_pending_rule *shadow; /* one that decides instead, on some function */
    bool matters;                            /* on some function none does */
};

struct rules_pending_mask {
    const struct yaml_node *node;
    const struct yaml_node *on, *find;
    bool audit, caller;
    enum match_keep keep;
};

/* An entry of `lists`. */
struct rules_named_list {
    struct span name;
    struct place place;
    struct rules_value value; /* TABLE */
    enum rules_type elem;
    bool used;
};

struct rules_loader {
    struct rules_set *set;
    struct arena tmp; /* lives until loading is over */
    struct diags *d;
    const char *directory;
    const char *beside; /* where the files stand that rules name */
    uint64_t now_ns;
    struct rules_list docs; /* struct yaml_doc */
    struct rules_list packs, connections, rules, masks, issuers, sources, detectors;
    struct rules_list lists;    /* struct rules_named_list */
    struct rules_list patterns; /* struct match_regex, of all conditions */
    struct rules_map list_names, zones;
    struct rules_map pack_names, connection_names, host_names, rule_ids, mask_ids, issuer_names,
        issuer_urls, source_names, source_prefixes, detector_names;
    struct rules_function **all; /* the finished functions, in order */
    size_t nfunctions;
};

/* The packs of one file, `root`; when all are read, how many connections of a file use each. Both
 * before any connection is read. */
void rules_read_packs(struct rules_loader *l, const struct yaml_node *root);
void rules_count_packs(struct rules_loader *l, const struct yaml_node *root);
/* The mapping of a connection, with what it takes from its pack; itself if it has none. */
const struct yaml_node *rules_use_pack(struct rules_loader *l, const struct yaml_node *n);
/* False after a complaint: the connection's pack leaves the hosts to it. */
bool rules_hosts_said(struct rules_loader *l, const struct yaml_node *n);
void rules_finish_packs(struct rules_loader *l); /* names those that nobody uses */
void rules_read_connections(struct rules_loader *l, const struct yaml_node *n);
void rules_read_rules(struct rules_loader *l, const struct yaml_node *n);
void rules_read_masks(struct rules_loader *l, const struct yaml_node *n);
void rules_read_detectors(struct rules_loader *l, const struct yaml_node *n);
void rules_read_vendor_tls(struct rules_loader *l, const struct yaml_node *n,
                           struct rules_connection *c);
/* The shapes that have a name: before any connection. */
void rules_read_shapes(struct rules_loader *l);
void rules_read_errors(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c);
/* `account_headers`, `idempotency`: when the credential is known. */
void rules_read_fields(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c);
/* A field that HTTP itself needs, or that says how a body is read: nobody's to choose. */
bool rules_field_is_ours(struct span name);
void rules_read_issuers(struct rules_loader *l, const struct yaml_node *n);
void rules_read_lists(struct rules_loader *l, const struct yaml_node *n);
void rules_read_sources(struct rules_loader *l, const struct yaml_node *n);

/* NULL after a complaint. `where` is the scalar "METHOD /path". */
struct rules_route *rules_read_route(struct rules_loader *l, const struct yaml_node *where);
/* As rules_read_route for {at: METHOD /path, jsonrpc: eth_call}. */
struct rules_route *rules_read_told_route(struct rules_loader *l, const struct yaml_node *n);
/* Two routes of the same method and path. False if nothing tells them apart. `first` is the one
 * that the index will find. */
bool rules_told_join(struct rules_loader *l, struct rules_route *first, struct rules_route *r);
/* A route that has something to tell, before any other joins it. */
void rules_told_begin(struct rules_loader *l, struct rules_route *first);
/* `text` as a lenient server may read it: no case, no space around it, nothing after NUL. Empty if
 * it does not fit RULES_TOLD_TEXT_MAX bytes of `room`. */
struct span rules_told_alike(struct span text, char *room);
/* true, false, or a whole number that is written as everybody writes it. */
bool rules_told_word(struct span s);
#define RULES_MCP_CALL SPAN_LIT("tools/call")

/* From pending to final, in this order. */
void rules_finish_connections(struct rules_loader *l); /* functions, index, hosts */
void rules_finish_rules(struct rules_loader *l);       /* rules, conditions, plans */
void rules_finish_masks(struct rules_loader *l);
void rules_finish_issuers(struct rules_loader *l);
void rules_finish_lists(struct rules_loader *l); /* after the conditions that use them */

/* Detectors whose names match; `l` NULL: of the product's own. `*declared`: the files have one that
 * matches, though it may not have compiled. */
match_set rules_detectors_for(const struct rules_loader *l, struct span glob, bool *declared);

/* Which rules matter: told of each rule and function in the order of evaluation, then of each rule
 * once more when all its functions are known. */
struct rules_shadows *rules_shadows_new(struct rules_loader *l, struct rules_pending_rule **rules,
                                        size_t n);
void rules_shadow_meet(struct rules_shadows *s, struct rules_pending_rule *r, unsigned function);
void rules_shadow_settle(struct rules_shadows *s, const struct rules_pending_rule *r);
/* It matches every call that it is on, but for its expiry. */
bool rules_always(const struct rules_pending_rule *r);

void rules_build_plans(struct rules_loader *l, struct rules_pending_rule **rules, size_t n);

/* An automaton for routes of one connection; complains about routes that tie. NULL if it would
 * become too large (after a complaint). */
struct rules_index *rules_index_build(struct rules_loader *l, struct rules_route **routes, size_t n,
                                      struct place where);
const struct rules_route *rules_index_find(const struct rules_index *x, struct span method,
                                           struct span path, struct rules_params *params);

/* Patterns: open segments with text. The one with more text is the more specific, then the one with
 * more of it in front: negative if that is `a`, 0 only if they are the same. */
static inline bool rules_is_pattern(const struct rules_segment *s)
{
    return s->open && s->before.n + s->after.n;
}
bool rules_pattern_fits(const struct rules_segment *p, struct span text);
int rules_pattern_cmp(const struct rules_segment *a, const struct rules_segment *b);
/* Which of up to 64 patterns a text fits, a bit each. */
uint64_t rules_patterns_fit(const struct rules_segment *p, unsigned n, struct span text);

struct rules_fit {
    uint64_t set;
    struct span text; /* one that fits these and no others */
};
/* Every set but the empty one that some text fits, ascending. Adds to `*work` how many texts were
 * tried. False if the patterns use every byte there is. */
bool rules_patterns_sets(struct arena *mem, const struct rules_segment *p, unsigned n,
                         struct rules_fit **fits, size_t *count, size_t *work);

/* Reads a document with the scratch of one decision; what it gives lasts until the same document
 * is read again. */
const struct body_values *rules_scratch_read(struct rules_scratch *x, enum rules_doc d,
                                             const struct body_paths *paths, unsigned npaths,
                                             enum body_type type, struct span text);
/* Its memory for the texts of a document that is not read at that moment. */
struct outbuf rules_scratch_room(struct rules_scratch *x, enum rules_doc d);

/* Readers. Each complains where it must. */
bool rules_is_name(struct span s, bool dots);
bool rules_glob(struct span glob, struct span name); /* `*` is any run of characters */
bool rules_glob_valid(struct span glob);
bool rules_is_token(struct span s); /* RFC 9110 5.6.2 */
/* Scalars under `key`: one, or a sequence of them. False if the key is missing or after complaints.
 * Empty sequences only if `empty`. */
bool rules_read_texts(struct rules_loader *l, const struct yaml_node *n, const char *key,
                      bool required, bool empty, struct span **out, const struct yaml_node ***nodes,
                      unsigned *count);
bool rules_want_mapping(struct rules_loader *l, const struct yaml_node *n, const char *what);
bool rules_want_sequence(struct rules_loader *l, const struct yaml_node *n, const char *what);
/* Text without control characters; copied into the set. */
bool rules_read_line(struct rules_loader *l, const struct yaml_node *n, const char *key,
                     bool required, size_t most, struct span *out);
/* The name of a file: beside the rules, or absolute. */
bool rules_read_file(struct rules_loader *l, const struct yaml_node *n, const char *key,
                     bool required, struct span *file, struct place *where);
struct place rules_keep_place(struct rules_set *s, struct place p);
struct place rules_key_place(const struct yaml_node *n, const char *key);
/* A key that this version knows of and refuses. */
void rules_refuse(struct rules_loader *l, const struct yaml_node *n, const char *why);

/* A duration as CEL and Go write it: "1h30m", "-1.5s", "250ms", "0"; with `days` also "7d". What is
 * finer than a nanosecond is cut. *ns is 0 .. 999,999,999, also for a negative one. False: it is
 * none, or beyond CEL's range of 315,576,000,000 seconds. */
bool rules_duration_parse(struct span text, bool days, int64_t *seconds, uint32_t *ns);

/* An RFC 3339 time of the years 1 to 9999: seconds since 1970 and what is below them. Digits beyond
 * nanoseconds are refused. */
bool rules_time_read(struct span text, int64_t *seconds, uint32_t *ns);

/* "2027-01-31" (to the end of that day, UTC) or an RFC 3339 time. */
bool rules_time_parse(struct span text, bool date_only_ok, uint64_t *ns);

#endif
