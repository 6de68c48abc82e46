/* What a tree gives, by the definition: no program, no shortcuts. */
#include "model.h"

#include <string.h>

struct eval {
    struct arena *mem;
    const struct model_world *w;
    struct model_value var[MODEL_VARS];
};

typedef struct model_value value;

static value eval(struct eval *e, const struct model_node *n);

static value of(enum model_kind kind)
{
    return (value){.kind = kind};
}

static value boolean(bool b)
{
    return (value){.kind = M_BOOL, .boolean = b};
}

static value text(struct span s)
{
    return (value){.kind = M_STRING, .text = s};
}

static value number(struct eval *e, long v)
{
    return (value){.kind = M_NUMBER, .num = model_num_of(e->mem, v)};
}

static bool is_text(const value *v)
{
    return v->kind == M_STRING || v->kind == M_FORM;
}

static bool is_number(const value *v)
{
    return v->kind == M_NUMBER || v->kind == M_FORM;
}

static bool is_readable(const value *v)
{
    return v->kind != M_UNKNOWN && v->kind != M_MISSING;
}

/* -------------------------------------------------------------- references */

static value text_or_missing(struct span s)
{
    return s.n ? text(s) : of(M_MISSING);
}

static value header(const struct model_world *w, struct span name)
{
    value v = of(M_MISSING);

    for (unsigned i = 0; i < w->nheaders; i++)
        if (!w->header[i].hop && span_ieq(w->header[i].name, name))
            v = v.kind == M_MISSING ? text(w->header[i].value) : of(M_UNKNOWN);
    return v;
}

static value list_of(struct eval *e, unsigned n, const struct span *from, bool numbers)
{
    value v = of(M_LIST), *one;

    v.n = n;
    v.item = arena_array(e->mem, value *, n + 1);
    for (unsigned i = 0; i < n; i++) {
        v.item[i] = one = arena_new(e->mem, value);
        *one = text(from[i]);
        if (numbers) {
            one->kind = M_NUMBER;
            model_num_read(e->mem, from[i], &one->num);
        }
    }
    return v;
}

static value named_list(struct eval *e, const char *const *from, unsigned n, bool numbers)
{
    struct span all[MODEL_NUMBERS + MODEL_WORDS];

    for (unsigned i = 0; i < n; i++)
        all[i] = span_cstr(from[i]);
    return list_of(e, n, all, numbers);
}

static value at(const value *list, unsigned i)
{
    return i < list->n ? *list->item[i] : of(M_UNKNOWN);
}

static value list_ref(struct eval *e, const struct model_node *n)
{
    value v;

    if (n->ref == R_GROUPS || n->ref == R_GROUP)
        v = list_of(e, e->w->ngroups, e->w->groups, false);
    else if (n->ref == R_WORDS || n->ref == R_WORD)
        v = named_list(e, model_words, MODEL_WORDS, false);
    else
        v = named_list(e, model_numbers, MODEL_NUMBERS, true);
    return n->nsteps ? at(&v, n->step[0].index) : v;
}

static value ref(struct eval *e, const struct model_node *n)
{
    const struct model_world *w = e->w;

    switch (n->ref) {
    case R_BODY:
        return *model_at(w->body, n->step, n->nsteps);
    case R_CLAIMS:
        return *model_at(w->claims, n->step, n->nsteps);
    case R_QUERY:
        return *model_at(w->query, n->step, n->nsteps);
    case R_VARIABLE:
        return *model_at(&e->var[n->variable], n->step, n->nsteps);
    case R_HEADER:
        return header(w, n->step[0].key);
    case R_PARAM:
        return w->has_param ? text(w->param) : of(M_MISSING);
    case R_CALLER_ID:
        return text_or_missing(w->id);
    case R_ISSUER:
        return text_or_missing(w->issuer);
    case R_METHOD:
        return text_or_missing(w->method);
    case R_CONNECTION:
        return text(SPAN_LIT("x"));
    case R_FUNCTION:
        return text(SPAN_LIT("x.f"));
    case R_REQUEST_METHOD:
        return text(SPAN_LIT("POST"));
    case R_REQUEST_PATH:
        return text(w->path);
    case R_REQUEST_SIZE:
        return number(e, (long)w->size);
    case R_NOW:
        return (value){.kind = M_TIME, .ns = w->now_ns};
    default:
        return list_ref(e, n);
    }
}

/* ------------------------------------------------------------- comparisons */

enum { UNORDERED = 2, UNCOMPARABLE = 3 };

static int sign(model_ns a, model_ns b)
{
    return (a > b) - (a < b);
}

static int compare(const value *a, const value *b)
{
    if (!is_readable(a) || !is_readable(b))
        return UNCOMPARABLE;
    if (a->kind == M_NULL && b->kind == M_NULL)
        return 0;
    if ((a->kind == M_NULL && a->literal) || (b->kind == M_NULL && b->literal))
        return UNORDERED;
    if (is_number(a) && is_number(b))
        return model_num_cmp(&a->num, &b->num);
    if (is_text(a) && is_text(b)) {
        size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
        int c = n ? memcmp(a->text.p, b->text.p, n) : 0;

        return c ? sign(c, 0) : sign((model_ns)a->text.n, (model_ns)b->text.n);
    }
    if (a->kind == M_BOOL && b->kind == M_BOOL)
        return (int)a->boolean - (int)b->boolean;
    if (a->kind == b->kind && (a->kind == M_TIME || a->kind == M_DURATION))
        return sign(a->ns, b->ns);
    return UNCOMPARABLE;
}

static value relation(char op, const value *a, const value *b)
{
    int c = compare(a, b);

    if (c == UNCOMPARABLE)
        return of(M_UNKNOWN);
    if (op == '=' || op == '!')
        return boolean((c == 0) == (op == '='));
    if (c == UNORDERED)
        return of(M_UNKNOWN);
    return boolean(op == '<' ? c < 0 : op == 'L' ? c <= 0 : op == '>' ? c > 0 : c >= 0);
}

static value inside(const value *a, const value *list)
{
    bool open = false;

    if (!is_readable(a) || list->kind != M_LIST || list->apart)
        return of(M_UNKNOWN);
    for (unsigned i = 0; i < list->n; i++) {
        int c = compare(a, list->item[i]);

        if (c == 0)
            return boolean(true);
        open = open || c == UNCOMPARABLE;
    }
    return open ? of(M_UNKNOWN) : boolean(false);
}

/* -------------------------------------------------------------- operations */

/* CEL's: the years 1 to 9999, and durations of some ten thousand years. */
static bool in_range(const value *v)
{
    model_ns second = 1000000000, length = 315576000000 * second;

    if (v->kind == M_TIME)
        return v->ns >= -62135596800 * second && v->ns < 253402300800 * second;
    return v->kind != M_DURATION || (v->ns >= -length && v->ns <= length);
}

static value join(struct eval *e, struct span a, struct span b)
{
    char *p = arena_alloc(e->mem, a.n + b.n + 1);

    memcpy(p, a.p, a.n);
    memcpy(p + a.n, b.p, b.n);
    return text(span_of(p, a.n + b.n));
}

static value math(struct eval *e, char op, const value *a, const value *b)
{
    value v = of(M_NUMBER);
    bool a_span = a->kind == M_DURATION, b_span = b->kind == M_DURATION;

    if (op == '+' && a->kind == M_FORM && b->kind == M_FORM)
        return of(M_UNKNOWN);
    if (is_number(a) && is_number(b))
        return model_num_do(e->mem, op, &a->num, &b->num, &v.num) ? v : of(M_UNKNOWN);
    if (op == '+' && is_text(a) && is_text(b))
        return join(e, a->text, b->text);
    v.ns = op == '+' ? a->ns + b->ns : a->ns - b->ns;
    if (op != '+' && op != '-')
        return of(M_UNKNOWN);
    if ((a_span && b_span) || (op == '-' && a->kind == M_TIME && b->kind == M_TIME))
        v.kind = M_DURATION;
    else if ((a->kind == M_TIME && b_span) || (op == '+' && a_span && b->kind == M_TIME))
        v.kind = M_TIME;
    else
        v.kind = M_UNKNOWN;
    return in_range(&v) ? v : of(M_UNKNOWN);
}

static unsigned distinct(const value *v)
{
    unsigned n = 0;

    for (unsigned i = 0, j; i < v->n; i++) {
        for (j = 0; j < i && !span_eq(v->keys[i], v->keys[j]); j++)
            ;
        n += j == i;
    }
    return n;
}

static value size(struct eval *e, const value *v)
{
    long n = 0;

    if (v->kind == M_OBJECT || v->kind == M_LIST)
        return number(e, v->kind == M_OBJECT && v->apart ? distinct(v) : v->n);
    if (!is_text(v))
        return of(M_UNKNOWN);
    for (size_t i = 0; i < v->text.n; i++)
        n += ((unsigned char)v->text.p[i] & 0xc0) != 0x80;
    return number(e, n);
}

static value test(char op, const value *a, const value *b)
{
    struct span s = a->text, t = b->text;

    if (!is_text(a) || !is_text(b))
        return of(M_UNKNOWN);
    for (size_t i = 0; i + t.n <= s.n; i++)
        if ((op == 'c' || (op == 's' && i == 0) || (op == 'e' && i + t.n == s.n)) &&
            memcmp(s.p + i, t.p, t.n) == 0)
            return boolean(true);
    return boolean(false);
}

static value get(struct eval *e, const struct model_node *n, const value *v)
{
    model_ns unit = n->get == G_HOURS ? 3600 : n->get == G_MINUTES ? 60 : 1;

    if (v->kind == M_TIME)
        return number(e, model_time_get(v->ns, n->get, n->zone));
    if (v->kind != M_DURATION)
        return of(M_UNKNOWN);
    if (n->get == G_MILLISECONDS)
        return number(e, (long)(v->ns / 1000000 % 1000));
    return number(e, (long)(v->ns / (unit * 1000000000)));
}

static bool glob(const char *g, const char *s)
{
    if (*g == '*')
        return glob(g + 1, s) || (*s && glob(g, s + 1));
    return *g == *s && (!*g || glob(g + 1, s + 1));
}

static value found(struct eval *e, const char *g)
{
    long n = 0;

    if (!e->w->scanned)
        return of(M_UNKNOWN);
    for (unsigned i = 0; i < 3; i++)
        n += glob(g, model_detectors[i]) ? e->w->found[i] : 0;
    return number(e, n);
}

static value parsed(enum model_node_kind kind, const value *v)
{
    value out = of(kind == N_TIMESTAMP ? M_TIME : M_DURATION);
    bool good = is_text(v) && (kind == N_TIMESTAMP ? model_time_read(v->text, &out.ns)
                                                   : model_duration_read(v->text, &out.ns));

    return good && in_range(&out) ? out : of(M_UNKNOWN);
}

struct model_value model_window(struct arena *mem, const struct model_world *w, struct span text)
{
    uint64_t h = span_hash(text) ^ w->seed;
    struct eval e = {.mem = mem, .w = w};
    unsigned v = model_pick(&h, 12);

    return v ? number(&e, v) : of(M_UNKNOWN);
}

/* -------------------------------------------------------------- conditions */

static value condition(struct eval *e, const struct model_node *n)
{
    value v = eval(e, n);

    if (n->kind == N_FOUND && v.kind == M_NUMBER)
        return boolean(v.num.n > 0);
    return v.kind == M_BOOL ? v : of(M_UNKNOWN);
}

static value logic(const value *a, const value *b, bool by)
{
    if ((a->kind == M_BOOL && a->boolean == by) || (b->kind == M_BOOL && b->boolean == by))
        return boolean(by);
    return a->kind == M_BOOL && b->kind == M_BOOL ? boolean(!by) : of(M_UNKNOWN);
}

static value choose(struct eval *e, const struct model_node *n)
{
    value c = condition(e, n->c);

    if (c.kind != M_BOOL)
        return of(M_UNKNOWN);
    return eval(e, c.boolean ? n->a : n->b);
}

static value macro(struct eval *e, const struct model_node *n)
{
    value list = eval(e, n->a), one;
    unsigned yes = 0, no = 0, open = 0;

    if (list.kind != M_LIST || list.apart)
        return of(M_UNKNOWN);
    for (unsigned i = 0; i < list.n; i++) {
        e->var[n->variable] = *list.item[i];
        one = condition(e, n->b);
        yes += one.kind == M_BOOL && one.boolean;
        no += one.kind == M_BOOL && !one.boolean;
        open += one.kind != M_BOOL;
    }
    if (n->op == 'a')
        return no ? boolean(false) : open ? of(M_UNKNOWN) : boolean(true);
    if (n->op == 'e')
        return yes ? boolean(true) : open ? of(M_UNKNOWN) : boolean(false);
    return open ? of(M_UNKNOWN) : boolean(yes == 1);
}

static value items(struct eval *e, const struct model_node *n)
{
    value v = of(M_LIST);

    v.n = n->nargs;
    v.item = arena_array(e->mem, value *, n->nargs + 1);
    for (unsigned i = 0; i < n->nargs; i++)
        v.item[i] = &n->args[i]->value;
    return v;
}

static value eval_one(struct eval *e, const struct model_node *n)
{
    value a = n->kind == N_NOT ? condition(e, n->a) : eval(e, n->a), v = of(M_NUMBER);

    switch (n->kind) {
    case N_NOT:
        return a.kind == M_BOOL ? boolean(!a.boolean) : a;
    case N_NEGATE:
        return is_number(&a) && model_num_negate(&a.num, &v.num) ? v : of(M_UNKNOWN);
    case N_HAS:
        return a.kind == M_UNKNOWN ? a : boolean(a.kind != M_MISSING);
    case N_SIZE:
        return size(e, &a);
    case N_MATCHES:
        if (!is_text(&a) || !model_utf8_valid(a.text))
            return of(M_UNKNOWN);
        return boolean(model_re_found(n->re, a.text));
    case N_GET:
        return get(e, n, &a);
    default:
        return parsed(n->kind, &a);
    }
}

static value eval(struct eval *e, const struct model_node *n)
{
    value a, b;

    switch (n->kind) {
    case N_LITERAL:
        return n->value;
    case N_ITEMS:
        return items(e, n);
    case N_REF:
        return ref(e, n);
    case N_IF:
        return choose(e, n);
    case N_FOUND:
        return found(e, n->zone);
    case N_WINDOW:
        return model_window(e->mem, e->w, model_window_text(e->mem, n));
    case N_MACRO:
        return macro(e, n);
    case N_AND:
    case N_OR:
        a = condition(e, n->a);
        b = condition(e, n->b);
        return logic(&a, &b, n->kind == N_OR);
    case N_CMP:
    case N_IN:
    case N_MATH:
    case N_TEST:
        a = eval(e, n->a);
        b = eval(e, n->b);
        break;
    default:
        return eval_one(e, n);
    }
    return n->kind == N_CMP    ? relation(n->op, &a, &b)
           : n->kind == N_IN   ? inside(&a, &b)
           : n->kind == N_MATH ? math(e, n->op, &a, &b)
                               : test(n->op, &a, &b);
}

struct model_value model_eval(struct arena *mem, const struct model_world *w,
                              const struct model_node *n)
{
    struct eval e = {.mem = mem, .w = w};

    return eval(&e, n);
}

struct model_value model_truth(struct arena *mem, const struct model_world *w,
                               const struct model_node *n)
{
    struct eval e = {.mem = mem, .w = w};

    return condition(&e, n);
}
