/* Random conditions that the type rules allow. Operands mostly have the type that is wanted, so
 * that not everything is unknown. */
#include "model.h"

#include <stdio.h>
#include <string.h>

const char *const model_names[] = {"i", "tag", "_e2"};

struct gen {
    struct arena *mem;
    uint64_t *seed;
    const struct model_features *f;
    enum model_type var[MODEL_VARS];
    unsigned nvars;
};

static struct model_node *make(struct gen *g, enum model_type t, unsigned depth);

static unsigned pick(struct gen *g, unsigned n)
{
    return model_pick(g->seed, n);
}

static struct model_node *node(struct gen *g, enum model_node_kind kind, enum model_type type)
{
    struct model_node *n = arena_new(g->mem, struct model_node);

    n->kind = kind;
    n->type = type;
    n->zone = "";
    n->plain_call = pick(g, 2);
    return n;
}

static struct model_node *two(struct gen *g, enum model_node_kind kind, enum model_type type,
                              char op, struct model_node *a, struct model_node *b)
{
    struct model_node *n = node(g, kind, type);

    n->op = op;
    n->a = a;
    n->b = b;
    return n;
}

static bool one_in(struct gen *g, unsigned n)
{
    return pick(g, n) == 0;
}

/* ---------------------------------------------------------------- literals */

static struct model_node *number_literal(struct gen *g)
{
    static const char *const some[] = {"0",     "1",      "2",
                                       "3",     "5",      "5.0",
                                       "0.5",   "5e0",    "10",
                                       "1.5",   "-1",     "-0.5",
                                       "7",     "100",    "1E+2",
                                       "33e-1", "-2",     "1e3",
                                       "1e400", "-1e400", "123456789012345678901234567890",
                                       "1e255", "1e-255", "-10",
                                       "15",    "0.1",    "40",
                                       "12",    "0e5",    "18446744073709551616"};
    static const char *const other[] = {"0xff", "0x0",   "0XA",  ".5",
                                        "0x10", ".25e1", "-0x5", "0xFfFfFfFfFfFfFfFf"};
    static const char *const means[] = {"255", "0",   "10", "0.5",
                                        "16",  "2.5", "-5", "18446744073709551615"};
    struct model_node *n = node(g, N_LITERAL, T_NUMBER);
    unsigned k = pick(g, 8);
    bool odd = g->f->literals && one_in(g, 8);

    n->value.kind = M_NUMBER;
    n->value.text = span_cstr(odd ? other[k] : some[pick(g, sizeof(some) / sizeof(some[0]))]);
    model_num_read(g->mem, odd ? span_cstr(means[k]) : n->value.text, &n->value.num);
    return n;
}

static struct model_node *text_of(struct gen *g, struct span s)
{
    struct model_node *n = node(g, N_LITERAL, T_STRING);

    n->value.kind = M_STRING;
    n->value.text = s;
    return n;
}

static struct model_node *text_literal(struct gen *g)
{
    static const char *const some[] = {"",
                                       "a",
                                       "ab",
                                       "b",
                                       "5",
                                       "x y",
                                       "\"q\\",
                                       "'",
                                       "5.0",
                                       "b\n",
                                       "\xc3\xab",
                                       "a.b/c",
                                       "true",
                                       "alice",
                                       "\xf0\x9f\x98\x80",
                                       "05",
                                       "staff",
                                       "\"\"\"'''",
                                       "\a\b\f\r\t\v`?",
                                       "abc5",
                                       "\xef\xbf\xbd",
                                       "-1"};

    return text_of(g, span_cstr(some[pick(g, sizeof(some) / sizeof(some[0]))]));
}

static struct model_node *truth_literal(struct gen *g)
{
    struct model_node *n = node(g, N_LITERAL, T_BOOL);

    n->value.kind = M_BOOL;
    n->value.boolean = pick(g, 2);
    return n;
}

static struct model_node *items(struct gen *g, enum model_type elem)
{
    struct model_node *n = node(g, N_ITEMS, T_LIST);

    n->nargs = pick(g, 5);
    n->elem = n->nargs ? elem : T_DYN;
    n->args = arena_array(g->mem, struct model_node *, 5);
    for (unsigned i = 0; i < n->nargs; i++)
        n->args[i] = elem == T_NUMBER   ? number_literal(g)
                     : elem == T_STRING ? text_literal(g)
                                        : truth_literal(g);
    return n;
}

/* -------------------------------------------------------------- references */

/* "o.n", "items[0].s", "odd key" */
static void steps(struct gen *g, struct model_node *n, const char *path)
{
    while (*path) {
        struct model_step *s = &n->step[n->nsteps++];
        size_t len = strcspn(path, ".[");

        if (*path == '[') {
            s->is_index = true;
            s->index = (unsigned)(path[1] - '0');
            path += 3;
        } else {
            path += *path == '.';
            len = strcspn(path, ".[");
            s->key = arena_span(g->mem, span_of(path, len));
            path += len;
        }
    }
}

static const char *path_for(struct gen *g, enum model_type t)
{
    static const char *const any[] = {"x",    "odd key", "o",        "N",        "items[0].q",
                                      "o.q",  "l",       "items",    "zz",       "n.x",
                                      "s[0]", "o.S",     "items[3]", "o.tags[0]"};
    static const char *const numbers[] = {"n", "n", "m", "m", "o.n", "items[0].n", "l[0]"};
    static const char *const texts[] = {"s", "s", "u", "u", "o.s", "items[1].s", "l[1]"};
    static const char *const truths[] = {"b", "b", "items[0].b", "o.b"};
    static const char *const lists[] = {"l", "l", "items", "items", "items[0].tags", "o.tags", "x"};

    if (t == T_DYN || one_in(g, 10))
        return any[pick(g, sizeof(any) / sizeof(any[0]))];
    switch (t) {
    case T_NUMBER:
        return numbers[pick(g, 7)];
    case T_STRING:
        return texts[pick(g, 7)];
    case T_BOOL:
        return truths[pick(g, 4)];
    case T_LIST:
        return lists[pick(g, 7)];
    case T_TIME:
        return "t";
    default:
        return "d";
    }
}

static struct model_node *ref(struct gen *g, enum model_ref r, enum model_type t)
{
    struct model_node *n = node(g, N_REF, t);

    n->ref = r;
    return n;
}

/* A variable that may have a value of the type; NULL if none is in sight. */
static struct model_node *variable(struct gen *g, enum model_type t, bool field)
{
    static const char *const fields[] = {
        [T_BOOL] = "b", [T_NUMBER] = "n", [T_STRING] = "s", [T_LIST] = "tags", [T_DYN] = "q"};
    unsigned at = g->nvars ? pick(g, g->nvars) : 0;
    struct model_node *n;

    if (g->nvars && !one_in(g, 3))
        at = g->nvars - 1;
    if (!g->nvars || t == T_TIME || t == T_DURATION)
        return NULL;
    if (g->var[at] != T_DYN && (field || (t != T_DYN && g->var[at] != t)))
        return NULL;
    n = ref(g, R_VARIABLE, g->var[at]);
    n->variable = at;
    if (g->var[at] == T_DYN && (field || one_in(g, 2)))
        steps(g, n, one_in(g, 8) ? "tags[0]" : one_in(g, 12) ? "S" : fields[t]);
    return n;
}

/* Something of the call whose type is known only then; `t` is the type that it mostly has. */
static struct model_node *dynamic(struct gen *g, enum model_type t, bool field)
{
    unsigned k = pick(g, 12);
    struct model_node *n = k < 7 ? variable(g, t, field) : NULL;

    if (n)
        return n;
    n = ref(g, k == 11 ? R_CLAIMS : k == 10 ? R_QUERY : R_BODY, T_DYN);
    if (!field && n->ref == R_BODY && one_in(g, 40))
        return n; /* the whole of it */
    steps(g, n, path_for(g, t));
    return n;
}

static struct model_node *named_text(struct gen *g)
{
    static const enum model_ref refs[] = {R_HEADER, R_HEADER, R_PARAM,          R_CALLER_ID,
                                          R_ISSUER, R_METHOD, R_CONNECTION,     R_FUNCTION,
                                          R_GROUP,  R_WORD,   R_REQUEST_METHOD, R_REQUEST_PATH};
    struct model_node *n = ref(g, refs[pick(g, 12)], T_STRING);

    if ((n->ref == R_GROUP || n->ref == R_WORD) && !g->f->index)
        n->ref = R_CALLER_ID;
    if (n->ref == R_WORD && !g->f->lists)
        n->ref = R_CALLER_ID;
    if (n->ref == R_HEADER)
        steps(g, n, pick(g, 2) ? "x-a" : "X-b");
    if (n->ref == R_PARAM)
        steps(g, n, "p");
    if (n->ref == R_GROUP || n->ref == R_WORD) {
        n->nsteps = 1;
        n->step[0] = (struct model_step){.is_index = true, .index = pick(g, 4)};
    }
    return n;
}

/* A list, and what its elements are. Literals and named ones of type `t`, if it is not dynamic. */
static struct model_node *list(struct gen *g, enum model_type t)
{
    struct model_node *n;

    if (t == T_DYN)
        t = pick(g, 2) ? T_NUMBER : T_STRING;
    if (one_in(g, 2) || t == T_BOOL)
        return one_in(g, 2) ? items(g, t) : dynamic(g, T_LIST, false);
    if (t == T_STRING && (one_in(g, 2) || !g->f->lists)) {
        n = ref(g, R_GROUPS, T_LIST);
    } else if (!g->f->lists) {
        return items(g, t);
    } else {
        n = ref(g, t == T_STRING ? R_WORDS : R_NUMBERS, T_LIST);
    }
    n->elem = t;
    return n;
}

/* ----------------------------------------------------------- typed operands */

static enum model_type scalar_type(struct gen *g)
{
    static const enum model_type types[] = {T_NUMBER, T_NUMBER, T_STRING, T_STRING, T_BOOL};

    return types[pick(g, 5)];
}

/* found() is a number, which is a condition only where nothing but a condition can stand. */
static struct model_node *operand(struct gen *g, enum model_type t, unsigned depth)
{
    struct model_node *n = make(g, t, depth);

    while (t == T_BOOL && n->kind == N_FOUND)
        n = make(g, t, depth);
    return n;
}

static struct model_node *choice(struct gen *g, enum model_type t, unsigned depth)
{
    struct model_node *n = node(g, N_IF, t);

    n->c = make(g, T_BOOL, depth - 1);
    n->a = operand(g, t, depth - 1);
    n->b = operand(g, t, depth - 1);
    if (n->a->type == T_DYN || n->b->type == T_DYN)
        n->type = T_DYN;
    return n;
}

static struct model_node *size(struct gen *g, unsigned depth)
{
    struct model_node *of = pick(g, 2) ? list(g, scalar_type(g)) : make(g, T_STRING, depth);
    struct model_node *n = node(g, N_SIZE, T_NUMBER);

    n->a = of;
    return n;
}

static const char *zone(struct gen *g)
{
    static const char *const zones[] = {
        "Europe/Berlin", "America/New_York",   "+02:00", "-05:30", "UTC",
        "Asia/Kolkata",  "Australia/Lord_Howe"};

    return one_in(g, 2) ? "" : zones[pick(g, 7)];
}

static struct model_node *getter(struct gen *g, unsigned depth)
{
    struct model_node *n = node(g, N_GET, T_NUMBER);

    if (g->f->durations && one_in(g, 3)) {
        n->get = G_HOURS + pick(g, 4);
        n->a = make(g, T_DURATION, depth);
    } else {
        n->get = pick(g, 10);
        n->a = make(g, T_TIME, depth);
        n->zone = zone(g);
    }
    return n;
}

static struct model_node *found(struct gen *g)
{
    static const char *const globs[] = {"pci.card", "pii.email", "acme.id", "p*", "*", "acme.*"};
    struct model_node *n = node(g, N_FOUND, T_NUMBER);

    n->zone = globs[pick(g, 6)];
    return n;
}

/* Keys are counted by what they are before any list is walked: no variables. */
static struct model_node *window(struct gen *g)
{
    static const char *const lengths[] = {"1s", "90m", "1h30m", "24h", "1d", "7d", "3600s"};
    static const char *const keys[] = {"n", "s", "o.s", "x"};
    struct model_node *n = node(g, N_WINDOW, T_NUMBER), *key;

    n->op = "sc"[pick(g, 2)];
    n->zone = lengths[pick(g, 7)];
    n->a = ref(g, R_BODY, T_DYN);
    steps(g, n->a, keys[pick(g, 4)]);
    n->nargs = pick(g, 4);
    n->args = arena_array(g->mem, struct model_node *, 4);
    for (unsigned i = 0; i < n->nargs; i++) {
        n->args[i] = key = ref(g,
                               pick(g, 2)   ? R_BODY
                               : pick(g, 2) ? R_CALLER_ID
                                            : R_FUNCTION,
                               T_DYN);
        if (key->ref == R_BODY)
            steps(g, key, keys[pick(g, 4)]);
    }
    return n;
}

static struct model_node *arithmetic(struct gen *g, char op, unsigned depth)
{
    struct model_node *a = make(g, T_NUMBER, depth - 1), *b = make(g, T_NUMBER, depth - 1);
    bool either = op == '+' && a->type == T_DYN && b->type == T_DYN; /* adds or joins */

    return two(g, N_MATH, either ? T_DYN : T_NUMBER, op, a, b);
}

static struct model_node *number(struct gen *g, unsigned depth)
{
    unsigned k = pick(g, 16);
    struct model_node *n;

    if (depth && k < 6 && g->f->math)
        return arithmetic(g, "++-*/%"[k], depth);
    if (depth && k == 6 && g->f->math) {
        n = node(g, N_NEGATE, T_NUMBER);
        n->a = make(g, T_NUMBER, depth - 1);
        return n;
    }
    if (depth && k == 7 && g->f->ternary)
        return choice(g, T_NUMBER, depth);
    if (k == 8)
        return size(g, depth ? depth - 1 : 0);
    if (k == 9 && g->f->getters)
        return getter(g, depth ? depth - 1 : 0);
    if (k == 10 && g->f->found)
        return found(g);
    if (k == 11 && g->f->lists && g->f->index) {
        n = ref(g, R_LIST_NUMBER, T_NUMBER);
        n->nsteps = 1;
        n->step[0] = (struct model_step){.is_index = true, .index = pick(g, 5)};
        return n;
    }
    if (k == 12)
        return one_in(g, 2) ? ref(g, R_REQUEST_SIZE, T_NUMBER) : number_literal(g);
    if (k == 13 && g->f->windows && !g->nvars)
        return window(g);
    return k < 5 ? number_literal(g) : dynamic(g, T_NUMBER, false);
}

/* `+` joins strings or adds, so that two dynamic operands stay dynamic. */
static struct model_node *joined(struct gen *g, unsigned depth)
{
    struct model_node *a = make(g, T_STRING, depth - 1), *b = make(g, T_STRING, depth - 1);
    bool dynamic_both = a->type == T_DYN && b->type == T_DYN;

    return two(g, N_MATH, dynamic_both && g->f->math ? T_DYN : T_STRING, '+', a, b);
}

static struct model_node *text(struct gen *g, unsigned depth)
{
    unsigned k = pick(g, 12);

    if (depth && k < 2 && g->f->math)
        return joined(g, depth);
    if (depth && k == 2 && g->f->ternary)
        return choice(g, T_STRING, depth);
    if (k < 5)
        return named_text(g);
    return k < 8 ? text_literal(g) : dynamic(g, T_STRING, false);
}

static struct model_node *time_of(struct gen *g, unsigned depth)
{
    unsigned k = pick(g, 8);
    struct model_node *n;

    if (depth && k < 2 && g->f->durations) {
        struct model_node *a = make(g, T_TIME, depth - 1), *b = make(g, T_DURATION, depth - 1);

        return one_in(g, 4) ? two(g, N_MATH, T_TIME, '+', b, a)
                            : two(g, N_MATH, T_TIME, pick(g, 2) ? '+' : '-', a, b);
    }
    if (depth && k == 2 && g->f->ternary)
        return choice(g, T_TIME, depth);
    if (k < 4)
        return ref(g, R_NOW, T_TIME);
    n = node(g, N_TIMESTAMP, T_TIME);
    if (k == 4 || !g->f->dyn_time)
        n->a = text_of(g, model_time_text(g->mem, g->seed));
    else
        n->a = dynamic(g, T_TIME, false);
    return n;
}

static struct model_node *duration(struct gen *g, unsigned depth)
{
    unsigned k = pick(g, 8);
    struct model_node *n;

    if (depth && k < 2)
        return two(g, N_MATH, T_DURATION, pick(g, 2) ? '+' : '-', make(g, T_DURATION, depth - 1),
                   make(g, T_DURATION, depth - 1));
    if (depth && k == 2)
        return two(g, N_MATH, T_DURATION, '-', make(g, T_TIME, depth - 1),
                   make(g, T_TIME, depth - 1));
    if (depth && k == 3 && g->f->ternary)
        return choice(g, T_DURATION, depth);
    n = node(g, N_TO_DURATION, T_DURATION);
    n->a = k < 6 ? text_of(g, model_duration_text(g->mem, g->seed)) : dynamic(g, T_DURATION, false);
    return n;
}

/* --------------------------------------------------------------- conditions */

static struct model_node *comparison(struct gen *g, unsigned depth)
{
    static const enum model_type types[] = {T_NUMBER, T_NUMBER, T_NUMBER, T_STRING,
                                            T_STRING, T_BOOL,   T_TIME,   T_DURATION};
    enum model_type t = types[pick(g, g->f->durations ? 8 : 7)];
    char op = "=!<L>G="[pick(g, 7)];
    struct model_node *n;

    if (one_in(g, 10)) {
        n = node(g, N_LITERAL, T_DYN);
        n->value.kind = M_NULL;
        n->value.literal = true;
        op = "=!"[pick(g, 2)];
        if (one_in(g, 4))
            return two(g, N_CMP, T_BOOL, op, n, dynamic(g, T_DYN, true));
        return two(g, N_CMP, T_BOOL, op, dynamic(g, T_DYN, true), n);
    }
    if (one_in(g, 10))
        return two(g, N_CMP, T_BOOL, op, dynamic(g, T_DYN, true), dynamic(g, T_DYN, true));
    if (one_in(g, 10) && t != T_TIME && t != T_DURATION)
        return two(g, N_CMP, T_BOOL, op, dynamic(g, T_DYN, true), operand(g, t, depth));
    return two(g, N_CMP, T_BOOL, op, operand(g, t, depth), operand(g, t, depth));
}

static struct model_node *inside(struct gen *g, unsigned depth)
{
    enum model_type t = scalar_type(g);
    struct model_node *a = one_in(g, 3) ? dynamic(g, T_DYN, true) : operand(g, t, depth);

    return two(g, N_IN, T_BOOL, 0, a, list(g, t));
}

static struct model_node *matches(struct gen *g, unsigned depth)
{
    struct model_node *n = node(g, N_MATCHES, T_BOOL);

    n->a = make(g, T_STRING, depth);
    do
        n->re = model_re_random(g->mem, g->seed, 3);
    while (model_re_found(n->re, SPAN_NONE) && pick(g, 8));
    return n;
}

static struct model_node *macro(struct gen *g, unsigned depth)
{
    struct model_node *n = node(g, N_MACRO, T_BOOL);

    n->op = "ae1e"[pick(g, 4)];
    n->a = list(g, scalar_type(g));
    n->variable = g->nvars;
    g->var[g->nvars++] = n->a->type == T_LIST ? n->a->elem : T_DYN;
    n->b = make(g, T_BOOL, depth - 1);
    g->nvars--;
    return n;
}

static struct model_node *test(struct gen *g, unsigned depth)
{
    struct model_node *n, *a;

    switch (pick(g, 10)) {
    case 0:
    case 1:
        n = node(g, N_HAS, T_BOOL);
        n->a = one_in(g, 8) ? named_text(g) : dynamic(g, pick(g, 2) ? T_DYN : T_NUMBER, true);
        if (n->a->ref == R_GROUP || n->a->ref == R_WORD)
            n->a = dynamic(g, T_DYN, true);
        return n;
    case 2:
        a = make(g, T_STRING, depth);
        return two(g, N_TEST, T_BOOL, "sec"[pick(g, 3)], a, make(g, T_STRING, depth));
    case 3:
        return inside(g, depth);
    case 4:
        return one_in(g, 4) ? truth_literal(g) : dynamic(g, T_BOOL, true);
    case 5:
        if (g->f->matches && one_in(g, 3))
            return matches(g, depth);
        return g->f->found && one_in(g, 3) ? found(g) : inside(g, depth);
    default:
        return comparison(g, depth);
    }
}

static struct model_node *truth(struct gen *g, unsigned depth)
{
    unsigned k = depth ? pick(g, 14) : 0;
    struct model_node *n;

    if (k < 3)
        return test(g, depth ? depth - 1 : 0);
    if (k == 3) {
        n = node(g, N_NOT, T_BOOL);
        n->a = make(g, T_BOOL, depth - 1);
        return n;
    }
    if (k == 4 && g->f->ternary)
        return choice(g, T_BOOL, depth);
    if (k < 8 && g->f->macros && g->nvars < MODEL_VARS)
        return macro(g, depth);
    return two(g, k & 1 ? N_AND : N_OR, T_BOOL, 0, make(g, T_BOOL, depth - 1),
               make(g, T_BOOL, depth - 1));
}

static struct model_node *make(struct gen *g, enum model_type t, unsigned depth)
{
    switch (t) {
    case T_BOOL:
        return truth(g, depth);
    case T_NUMBER:
        return number(g, depth);
    case T_STRING:
        return text(g, depth);
    case T_TIME:
        return time_of(g, depth);
    case T_DURATION:
        return duration(g, depth);
    case T_LIST:
        return list(g, T_DYN);
    default:
        return dynamic(g, T_DYN, false);
    }
}

struct model_node *model_condition(struct arena *mem, uint64_t *seed,
                                   const struct model_features *f)
{
    struct gen g = {.mem = mem, .seed = seed, .f = f};

    return make(&g, T_BOOL, 1 + model_pick(seed, 5));
}

struct model_node *model_operand(struct arena *mem, uint64_t *seed, const struct model_features *f)
{
    static const enum model_type types[] = {T_NUMBER, T_NUMBER, T_NUMBER,  T_STRING,
                                            T_TIME,   T_TIME,   T_DURATION};
    struct gen g = {.mem = mem, .seed = seed, .f = f};

    return make(&g, types[model_pick(seed, 7)], 1 + model_pick(seed, 3));
}

/* --------------------------------------------------------------- shrinking */

static bool is_closed(const struct model_node *n, unsigned bound)
{
    if (!n)
        return true;
    if (n->kind == N_REF && n->ref == R_VARIABLE)
        return bound >> n->variable & 1;
    return is_closed(n->a, bound) && is_closed(n->c, bound) &&
           is_closed(n->b, n->kind == N_MACRO ? bound | 1u << n->variable : bound);
}

static struct model_node *nth(struct model_node *n, unsigned *left, bool root)
{
    struct model_node *kids[3] = {n->a, n->b, n->c}, *got;

    if (!root && n->type != T_LIST && n->kind != N_LITERAL && is_closed(n, 0) && (*left)-- == 0)
        return n;
    for (unsigned i = 0; i < 3; i++) {
        got = kids[i] ? nth(kids[i], left, false) : NULL;
        if (got)
            return got;
    }
    return NULL;
}

struct model_node *model_smaller(struct arena *mem, const struct model_node *n, unsigned which)
{
    struct model_node *copy = arena_new(mem, struct model_node);

    *copy = *n;
    return nth(copy, &which, true);
}

const struct model_node *model_window_at(const struct model_node *n, unsigned which)
{
    const struct model_node *kids[3] = {n->a, n->b, n->c}, *got;

    if (n->kind == N_WINDOW)
        return which ? NULL : n;
    for (unsigned i = 0; i < 3; i++) {
        unsigned held = 0;

        while (kids[i] && (got = model_window_at(kids[i], held))) {
            if (held++ == which)
                return got;
        }
        which -= held;
    }
    return NULL;
}
