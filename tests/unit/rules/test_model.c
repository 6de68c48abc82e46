/* Random conditions on random bodies: the flat program against a slow evaluator that walks the
 * tree, keeps numbers as tenths in an integer, and looks fields up in the table that the body was
 * written from. */
#include "rules_test.h"

#include "rules/rules_internal.h"

#define FIELDS 7
static const char *const names[FIELDS] = {"a", "b", "c", "d", "e", "o.x", "o.y"};

enum kind { UNKNOWN, MISSING, TWICE, NUL, BOOL, NUMBER, STRING, FORM, LIST, OBJECT };

struct value {
    enum kind kind;
    bool boolean, literal;
    long tenths;
    char text[64];
    struct value *items;
    unsigned n;
};

struct world {
    uint64_t seed;
    bool form;
    struct value field[FIELDS];
    struct value list[FIELDS][4];
    char body[4096];
    char expr[8192];
    size_t n;
};

static unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)(test_random(&w->seed) % n);
}

/* -------------------------------------------------------------- the body */

static const char *const strings[] = {"", "a", "ab", "b", "5", "x y", "\\\"q", "\xc3\xab"};

static void random_string(struct world *w, struct value *v)
{
    v->kind = STRING;
    strcpy(v->text, strings[pick(w, w->form ? 6 : 8)]);
}

/* The same number in one of the many ways of writing it. */
static void write_number(struct world *w, long tenths, char *out)
{
    const char *sign = tenths < 0 ? "-" : "";
    long t = labs(tenths);

    switch (pick(w, 4)) {
    case 0:
        sprintf(out, "%s%ld.%ld", sign, t / 10, t % 10);
        break;
    case 1:
        sprintf(out, "%s%lde-1", sign, t);
        break;
    case 2:
        sprintf(out, "%s%ld.%ld00E0", sign, t / 10, t % 10);
        break;
    default:
        sprintf(out, t % 10 ? "%s%ld.%ld" : "%s%ld", sign, t / 10, t % 10);
        break;
    }
}

static void random_number(struct world *w, struct value *v)
{
    v->kind = NUMBER;
    v->tenths = (long)pick(w, 7) * 5 - 10;
    write_number(w, v->tenths, v->text);
}

static void random_scalar(struct world *w, struct value *v)
{
    unsigned k = pick(w, 4);

    *v = (struct value){.kind = k == 3 ? NUL : BOOL, .boolean = pick(w, 2)};
    if (k == 0)
        random_number(w, v);
    else if (k == 1)
        random_string(w, v);
}

static void random_field(struct world *w, unsigned i)
{
    struct value *v = &w->field[i];
    unsigned k = pick(w, 10);

    *v = (struct value){.kind = MISSING};
    if (k == 0)
        return;
    if (w->form) {
        if (k < 5) {
            random_number(w, v);
            v->kind = FORM;
        } else {
            random_string(w, v);
            if (strcmp(v->text, "5") == 0) {
                v->kind = FORM;
                v->tenths = 50;
            }
        }
    } else if (k == 2) {
        v->kind = LIST;
        v->items = w->list[i];
        v->n = pick(w, 4);
        for (unsigned j = 0; j < v->n; j++)
            random_scalar(w, &w->list[i][j]);
    } else if (k == 3) {
        v->kind = OBJECT;
    } else {
        random_scalar(w, v);
    }
    if (k == 1)
        v->kind = TWICE;
}

static size_t put_json(const struct value *v, char *out)
{
    size_t n = 0;

    switch (v->kind) {
    case NUL:
        return (size_t)sprintf(out, "null");
    case BOOL:
        return (size_t)sprintf(out, v->boolean ? "true" : "false");
    case NUMBER:
        return (size_t)sprintf(out, "%s", v->text);
    case STRING:
        return (size_t)sprintf(out, "\"%s\"", v->text);
    case OBJECT:
        return (size_t)sprintf(out, "{\"k\": 1, \"j\": [2]}");
    case LIST:
        n += (size_t)sprintf(out, "[");
        for (unsigned i = 0; i < v->n; i++) {
            n += (size_t)sprintf(out + n, i ? " , " : " ");
            n += put_json(&v->items[i], out + n);
        }
        return n + (size_t)sprintf(out + n, "]");
    default:
        return (size_t)sprintf(out, "1");
    }
}

static size_t put_members(struct world *w, char *out, unsigned from, unsigned to)
{
    size_t n = 0;

    for (unsigned i = from; i < to; i++) {
        const char *name = strchr(names[i], '.') ? strchr(names[i], '.') + 1 : names[i];

        for (int twice = w->field[i].kind == TWICE; twice >= 0 && w->field[i].kind != MISSING;
             twice--) {
            n += (size_t)sprintf(out + n, "%s\"%s\": ", n ? ", " : "", name);
            n += put_json(&w->field[i], out + n);
        }
    }
    return n;
}

static void write_json(struct world *w)
{
    size_t n = (size_t)sprintf(w->body, "{");

    n += put_members(w, w->body + n, 0, 5);
    n += (size_t)sprintf(w->body + n, "%s\"o\": {", n > 1 ? ", " : "");
    n += put_members(w, w->body + n, 5, FIELDS);
    strcpy(w->body + n, "}}");
}

static void write_form(struct world *w)
{
    static const char *const keys[FIELDS] = {"a", "b", "c", "d", "e", "o[x]", "o[y]"};
    size_t n = 0;

    w->body[0] = 0;
    for (unsigned i = 0; i < FIELDS; i++)
        for (int twice = w->field[i].kind == TWICE; twice >= 0 && w->field[i].kind != MISSING;
             twice--) {
            n += (size_t)sprintf(w->body + n, "%s%s=", n ? "&" : "", keys[i]);
            for (const char *p = w->field[i].text; *p; p++)
                n += (size_t)sprintf(w->body + n,
                                     *p == ' '    ? "+"
                                     : pick(w, 9) ? "%c"
                                                  : "%%%02X",
                                     *p);
        }
}

static void random_body(struct world *w)
{
    w->form = pick(w, 3) == 0;
    for (unsigned i = 0; i < FIELDS; i++)
        random_field(w, i);
    if (w->form)
        write_form(w);
    else
        write_json(w);
    /* What the writer escapes for JSON stands unescaped in the model. */
    for (unsigned i = 0; i < FIELDS; i++) {
        if (w->field[i].kind == STRING && w->field[i].text[0] == '\\')
            strcpy(w->field[i].text, "\"q");
        for (unsigned j = 0; w->field[i].kind == LIST && j < w->field[i].n; j++)
            if (w->field[i].items[j].kind == STRING && w->field[i].items[j].text[0] == '\\')
                strcpy(w->field[i].items[j].text, "\"q");
    }
}

/* --------------------------------------------------------- the condition */

static void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    w->n += (size_t)vsnprintf(w->expr + w->n, sizeof(w->expr) - w->n, fmt, ap);
    va_end(ap);
}

static void say_field(struct world *w)
{
    static const char *const ways[FIELDS] = {"body.a",     "body[\"b\"]", "body.c",     "body['d']",
                                             "body[r'e']", "body.o.x",    "body.o['y']"};
    say(w, "%s", ways[pick(w, FIELDS)]);
}

static void say_number(struct world *w)
{
    char text[64];

    write_number(w, (long)pick(w, 7) * 5 - 10, text);
    say(w, "%s", text);
}

static void say_string(struct world *w)
{
    static const char *const literals[] = {"''",  "\"a\"", "'ab'",    "\"b\"",
                                           "'5'", "'x y'", "'\\\"q'", "'\\u00eb'"};
    say(w, "%s", literals[pick(w, 8)]);
}

static void say_text(struct world *w, unsigned depth)
{
    unsigned k = pick(w, 4);

    if (k == 0 && depth) {
        say(w, "(");
        say_text(w, depth - 1);
        say(w, " + ");
        say_text(w, depth - 1);
        say(w, ")");
    } else if (k == 1) {
        say_string(w);
    } else {
        say_field(w);
    }
}

static void say_comparison(struct world *w, unsigned depth)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    const char *op = ops[pick(w, 6)];

    switch (pick(w, 6)) {
    case 0:
        say_field(w);
        say(w, " %s ", op);
        say_number(w);
        break;
    case 1:
        say_text(w, depth);
        say(w, " %s ", op);
        say_text(w, depth);
        break;
    case 2:
        say_field(w);
        say(w, pick(w, 2) ? " == null" : " != null");
        break;
    case 3:
        say_field(w);
        say(w, pick(w, 2) ? " == true" : " < true");
        break;
    case 4:
        say(w, "size(");
        say_field(w);
        say(w, ") %s ", op);
        say_number(w);
        break;
    default:
        say_field(w);
        say(w, " %s ", op);
        say_field(w);
        break;
    }
}

static void say_in(struct world *w)
{
    bool numbers = pick(w, 2);

    say_field(w);
    say(w, " in ");
    if (pick(w, 2)) {
        say_field(w);
        return;
    }
    say(w, "[");
    for (unsigned i = 0, n = pick(w, 4); i < n; i++) {
        say(w, i ? ", " : "");
        if (numbers)
            say_number(w);
        else
            say_string(w);
    }
    say(w, "]");
}

static void say_condition(struct world *w, unsigned depth);

static void say_leaf(struct world *w, unsigned depth)
{
    static const char *const tests[] = {"startsWith", "endsWith", "contains"};

    switch (pick(w, 6)) {
    case 0:
        say(w, "has(");
        say_field(w);
        say(w, ")");
        break;
    case 1:
        say_field(w);
        say(w, ".%s(", tests[pick(w, 3)]);
        say_text(w, depth);
        say(w, ")");
        break;
    case 2:
        say_in(w);
        break;
    case 3:
        if (pick(w, 2))
            say_field(w);
        else
            say(w, pick(w, 2) ? "true" : "false");
        break;
    default:
        say_comparison(w, depth);
        break;
    }
}

static void say_condition(struct world *w, unsigned depth)
{
    unsigned k = pick(w, 8);

    if (depth == 0 || k < 2) {
        say_leaf(w, depth);
    } else if (k == 2) {
        say(w, "!(");
        say_condition(w, depth - 1);
        say(w, ")");
    } else if (k == 3) {
        say(w, "(");
        say_condition(w, depth - 1);
        say(w, ")");
    } else { /* precedence sorts these out, in the tree for both evaluators */
        say_condition(w, depth - 1);
        say(w, k < 6 ? " && " : " || ");
        say_condition(w, depth - 1);
    }
}

/* ---------------------------------------------------------- the evaluator */

static struct value truth(int t)
{
    return t < 0 ? (struct value){.kind = UNKNOWN} : (struct value){.kind = BOOL, .boolean = t};
}

static bool is_text(const struct value *v)
{
    return v->kind == STRING || v->kind == FORM;
}

static bool is_number(const struct value *v)
{
    return v->kind == NUMBER || v->kind == FORM;
}

/* -2: unknown; 2: other, without order; else -1, 0, 1. */
static int model_compare(const struct value *a, const struct value *b)
{
    if (a->kind <= TWICE || b->kind <= TWICE)
        return -2;
    if (a->kind == NUL && b->kind == NUL)
        return 0;
    if ((a->kind == NUL && a->literal) || (b->kind == NUL && b->literal))
        return 2;
    if (is_number(a) && is_number(b))
        return (a->tenths > b->tenths) - (a->tenths < b->tenths);
    if (is_text(a) && is_text(b)) {
        int c = strcmp(a->text, b->text);

        return (c > 0) - (c < 0);
    }
    if (a->kind == BOOL && b->kind == BOOL)
        return (int)a->boolean - (int)b->boolean;
    return -2;
}

static int model_cmp(enum rules_cmp op, const struct value *a, const struct value *b)
{
    int c = model_compare(a, b);

    if (c == -2)
        return -1;
    if (op == CMP_EQ || op == CMP_NE)
        return (c == 0) == (op == CMP_EQ);
    if (c == 2)
        return -1;
    return op == CMP_LT ? c < 0 : op == CMP_LE ? c <= 0 : op == CMP_GT ? c > 0 : c >= 0;
}

static int model_in(const struct value *a, const struct value *list)
{
    bool open = false;

    if (a->kind <= TWICE || list->kind != LIST)
        return -1;
    for (unsigned i = 0; i < list->n; i++) {
        int c = model_compare(a, &list->items[i]);

        if (c == 0)
            return 1;
        open = open || c == -2;
    }
    return open ? -1 : 0;
}

static double number_of(const char *text)
{
    return strtod(text, NULL);
}

static struct value literal_of(const struct rules_value *r, struct value *items)
{
    struct value v = {.kind = NUL, .literal = true};

    if (r->kind == VALUE_BOOL)
        v = truth(r->boolean);
    else if (r->kind == VALUE_ITEMS)
        v = (struct value){.kind = LIST, .items = items, .n = r->n};
    else if (r->kind != VALUE_NULL)
        v.kind = r->kind == VALUE_NUMBER ? NUMBER : STRING;
    if (v.kind == NUMBER || v.kind == STRING)
        snprintf(v.text, sizeof(v.text), "%.*s", SPAN_ARG(r->text));
    if (v.kind == NUMBER) {
        double tenths = number_of(v.text) * 10;

        v.tenths = (long)(tenths < 0 ? tenths - 0.5 : tenths + 0.5);
    }
    for (unsigned i = 0; v.kind == LIST && i < v.n; i++)
        items[i] = literal_of(&r->items[i], NULL);
    return v;
}

static struct value field_of(const struct world *w, struct span path)
{
    for (unsigned i = 0; i < FIELDS; i++)
        if (span_eq(path, span_cstr(names[i])))
            return w->field[i];
    fail_msg("no field %.*s", SPAN_ARG(path));
    return truth(-1);
}

static struct value model_size(const struct value *v)
{
    struct value out = {.kind = NUMBER};

    if (v->kind == LIST)
        out.tenths = v->n * 10;
    else if (v->kind == OBJECT)
        out.tenths = 20;
    else if (is_text(v))
        out.tenths = (long)strlen(v->text) * 10 - (strchr(v->text, '\xc3') ? 10 : 0);
    else
        return truth(-1);
    return out;
}

static struct value model_add(const struct value *a, const struct value *b)
{
    struct value v = {.kind = STRING};

    if (!is_text(a) || !is_text(b))
        return truth(-1);
    snprintf(v.text, sizeof(v.text), "%.31s%.31s", a->text, b->text);
    return v;
}

static struct value model_text(enum rules_ast_kind k, const struct value *a, const struct value *b)
{
    size_t n = strlen(a->text), m = strlen(b->text);

    if (!is_text(a) || !is_text(b))
        return truth(-1);
    if (k == AST_CONTAINS)
        return truth(strstr(a->text, b->text) != NULL);
    if (m > n)
        return truth(0);
    return truth(strncmp(k == AST_STARTS ? a->text : a->text + n - m, b->text, m) == 0);
}

static int truth_value(const struct value *v)
{
    return v->kind == BOOL ? v->boolean : -1;
}

static struct value model_logic(const struct value *a, const struct value *b, int by)
{
    int x = truth_value(a), y = truth_value(b);

    if (x == by || y == by)
        return truth(by);
    return truth(x < 0 || y < 0 ? -1 : !by);
}

static struct value walk(const struct world *w, const struct rules_ast *n, struct value *items)
{
    struct value room_a[8], room_b[8], a, b;

    if (n->kind == AST_LITERAL)
        return literal_of(&n->value, items);
    if (n->kind == AST_REF)
        return field_of(w, n->text);
    a = walk(w, n->a, room_a);
    if (n->kind == AST_HAS)
        return truth(a.kind == TWICE ? -1 : a.kind != MISSING);
    if (n->kind == AST_NOT)
        return truth(truth_value(&a) < 0 ? -1 : !a.boolean);
    if (n->kind == AST_SIZE)
        return model_size(&a);
    b = walk(w, n->b, room_b);
    switch (n->kind) {
    case AST_AND:
        return model_logic(&a, &b, 0);
    case AST_OR:
        return model_logic(&a, &b, 1);
    case AST_CMP:
        return truth(model_cmp(n->cmp, &a, &b));
    case AST_IN:
        return truth(model_in(&a, &b));
    case AST_ADD:
        return model_add(&a, &b);
    default:
        return model_text(n->kind, &a, &b);
    }
}

/* --------------------------------------------------------------- the race */

static char run_program(struct world *w, const struct rules_expr *e, struct arena *mem)
{
    static struct rules_run run;
    static char text[RULES_TEXT_ROOM], scratch[65536];
    struct body_paths *p = body_paths_new(mem);
    uint16_t slots[FIELDS + 1];
    struct body_value values[FIELDS + 1];
    struct body_values doc[DOC_COUNT] = {0};
    struct rules_value v;

    for (unsigned i = 0; i < e->paths.n[DOC_BODY]; i++)
        slots[i] = (uint16_t)body_paths_add(p, e->paths.path[DOC_BODY][i]);
    doc[DOC_BODY].count = body_paths_count(p);
    doc[DOC_BODY].v = values;
    body_read(p, w->form ? BODY_FORM : BODY_JSON, span_cstr(w->body),
              span_of(scratch, sizeof(scratch)), &doc[DOC_BODY]);
    assert_int_equal(doc[DOC_BODY].problem, BODY_PROBLEM_NONE);
    run.doc = doc;
    run.slots[DOC_BODY] = slots;
    run.form[DOC_BODY] = w->form;
    run.text = (struct rules_text){text, 0, sizeof(text)};
    v = rules_eval(e, &run);
    return v.kind != VALUE_BOOL ? 'U' : v.boolean ? 'T' : 'F';
}

static char run_one(struct world *w)
{
    struct arena mem = ARENA_INIT;
    struct diags d;
    struct rules_source_text src = {span_cstr(w->expr), NULL, "expr", &d};
    struct rules_paths paths = {0};
    struct rules_ast *ast;
    struct rules_expr *e;
    struct value items[8], v;
    char want, got;

    diags_init(&d);
    ast = rules_parse(&src, &mem);
    if (!ast || !rules_check(&src, SCOPE_CALL, &mem, ast, &paths)) {
        diags_print(&d, stdout, false);
        fail_msg("`%s` is refused", w->expr);
    }
    e = rules_emit(&src, &mem, ast, &paths);
    assert_non_null(e);
    v = walk(w, ast, items);
    want = truth_value(&v) < 0 ? 'U' : v.boolean ? 'T' : 'F';
    got = run_program(w, e, &mem);
    if (want != got)
        fail_msg("`%s` on %s: expected %c, came %c", w->expr, w->body, want, got);
    diags_free(&d);
    arena_free(&mem);
    return got;
}

static void the_program_says_what_the_tree_says(void **state)
{
    static struct world w;
    unsigned seen[128] = {0};

    (void)state;
    w.seed = test_seed();
    for (unsigned round = 0; round < 60000; round++) {
        if (round % 4 == 0)
            random_body(&w);
        w.n = 0;
        say_condition(&w, 1 + pick(&w, 4));
        assert_true(w.n < sizeof(w.expr));
        seen[(unsigned)run_one(&w)]++;
    }
    printf("true %u, false %u, unknown %u\n", seen['T'], seen['F'], seen['U']);
    assert_true(seen['T'] > 5000 && seen['F'] > 5000 && seen['U'] > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_program_says_what_the_tree_says)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
