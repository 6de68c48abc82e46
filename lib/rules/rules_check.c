/* Names and types. A tree that passes has only names that exist, each at its place in the paths of
 * a document, and no operation that could never give an answer. What the body, the claims and the
 * query hold is known only later: their type is TYPE_DYN and passes everywhere. */
#include "rules_check.h"

const char *rules_type_name(enum rules_type t)
{
    static const char *const names[] = {
        [TYPE_DYN] = "a value of the call",
        [TYPE_BOOL] = "true or false",
        [TYPE_NUMBER] = "a number",
        [TYPE_STRING] = "a string",
        [TYPE_NULL] = "null",
        [TYPE_TIME] = "a time",
        [TYPE_LIST] = "a list",
    };
    return names[t];
}

static bool fits(enum rules_type t, enum rules_type want)
{
    return t == want || t == TYPE_DYN;
}

/* --------------------------------------------------------------- functions */

static void need_string(struct checker *c, const struct rules_ast *n, const char *what)
{
    if (!fits(n->type, TYPE_STRING))
        complain(c, n->at, "%s needs a string, not %s", what, rules_type_name(n->type));
}

static void check_has(struct checker *c, struct rules_ast *n)
{
    struct rules_ast *of = n->args[0];

    if (of->kind != AST_FIELD && of->kind != AST_INDEX && of->kind != AST_NAME) {
        complain(c, of->at, "has() needs a name, as in has(body.amount)");
        return;
    }
    rules_resolve(c, of);
    n->kind = AST_HAS;
    n->a = of;
    n->type = TYPE_BOOL;
}

static void check_size(struct checker *c, struct rules_ast *n, struct rules_ast *of)
{
    rules_visit(c, of);
    n->kind = AST_SIZE;
    n->a = of;
    n->type = TYPE_NUMBER;
    if (of->type != TYPE_LIST && !fits(of->type, TYPE_STRING))
        complain(c, of->at, "size() needs a string or a list, not %s", rules_type_name(of->type));
}

static void check_timestamp(struct checker *c, struct rules_ast *n)
{
    struct rules_ast *of = n->args[0];
    uint64_t ns;

    if (of->kind != AST_LITERAL || of->type != TYPE_STRING ||
        !rules_time_parse(of->value.text, false, &ns)) {
        complain(c, of->at,
                 "timestamp() needs a time as written in RFC 3339, as in "
                 "timestamp(\"2027-01-31T00:00:00Z\")");
        return;
    }
    n->kind = AST_LITERAL;
    n->type = TYPE_TIME;
    n->value = (struct rules_value){.kind = VALUE_TIME, .ns = ns};
}

static bool one_of(struct span s, const char *const *names)
{
    for (; *names; names++)
        if (word_is(s, *names))
            return true;
    return false;
}

static bool is_later(struct span name)
{
    static const char *const later[] = {
        "found",      "matches",  "all",        "exists",       "map",        "filter",
        "exists_one", "duration", "int",        "uint",         "double",     "string",
        "bool",       "bytes",    "type",       "getHours",     "getMinutes", "dyn",
        "getMonth",   "getDay",   "lowerAscii", "getDayOfWeek", NULL};
    return one_of(name, later);
}

static void check_call(struct checker *c, struct rules_ast *n)
{
    static const char *const mine[] = {"has", "size", "timestamp", NULL};

    if (one_of(n->text, mine) && n->nargs != 1)
        complain(c, n->at, "%.*s() takes one argument", SPAN_ARG(n->text));
    else if (word_is(n->text, "has"))
        check_has(c, n);
    else if (word_is(n->text, "size"))
        check_size(c, n, n->args[0]);
    else if (word_is(n->text, "timestamp"))
        check_timestamp(c, n);
    else if (word_is(n->text, "spent") || word_is(n->text, "calls"))
        rules_check_window(c, n);
    else if (is_later(n->text))
        complain(c, n->at, "%.*s() is not available in this version", SPAN_ARG(n->text));
    else
        complain(c, n->at, "there is no function %.*s()", SPAN_ARG(n->text));
}

static void check_method(struct checker *c, struct rules_ast *n)
{
    static const struct {
        const char *name;
        enum rules_ast_kind kind;
    } tests[] = {{"startsWith", AST_STARTS}, {"endsWith", AST_ENDS}, {"contains", AST_CONTAINS}};

    if (word_is(n->text, "size") && n->nargs == 0) {
        check_size(c, n, n->a);
        return;
    }
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (!word_is(n->text, tests[i].name))
            continue;
        rules_visit(c, n->a);
        n->kind = tests[i].kind;
        n->type = TYPE_BOOL;
        if (n->nargs != 1) {
            complain(c, n->at, ".%s() takes one argument", tests[i].name);
            return;
        }
        n->b = n->args[0];
        rules_visit(c, n->b);
        need_string(c, n->a, "this test");
        need_string(c, n->b, "this test");
        return;
    }
    complain(c, n->at,
             is_later(n->text) ? ".%.*s() is not available in this version"
                               : "there is no function .%.*s()",
             SPAN_ARG(n->text));
}

/* --------------------------------------------------------------- operators */

static void check_list(struct checker *c, struct rules_ast *n)
{
    struct rules_value *items = arena_array(c->mem, struct rules_value, n->nargs ? n->nargs : 1);

    n->type = TYPE_LIST;
    n->elem = n->nargs ? n->args[0]->type : TYPE_DYN;
    for (unsigned i = 0; i < n->nargs; i++) {
        const struct rules_ast *e = n->args[i];

        if (e->kind != AST_LITERAL || e->type == TYPE_NULL) {
            complain(c, e->at, "a list may hold only strings, numbers, true and false as written");
            return;
        }
        if (e->type != n->elem) {
            complain(c, e->at, "this list begins with %s; here is %s", rules_type_name(n->elem),
                     rules_type_name(e->type));
            return;
        }
        items[i] = e->value;
    }
    n->kind = AST_LITERAL;
    n->value = (struct rules_value){.kind = VALUE_ITEMS, .n = n->nargs, .items = items};
}

static void check_logic(struct checker *c, struct rules_ast *n)
{
    const char *op = n->kind == AST_NOT ? "!" : n->kind == AST_AND ? "&&" : "||";
    struct rules_ast *side[2] = {n->a, n->b};

    n->type = TYPE_BOOL;
    for (unsigned i = 0; i < 2 && side[i]; i++) {
        rules_visit(c, side[i]);
        if (!fits(side[i]->type, TYPE_BOOL))
            complain(c, side[i]->at, "%s needs true or false, not %s", op,
                     rules_type_name(side[i]->type));
    }
}

static void check_cmp(struct checker *c, struct rules_ast *n)
{
    enum rules_type a, b;
    bool equality = n->cmp == CMP_EQ || n->cmp == CMP_NE;

    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_BOOL;
    a = n->a->type;
    b = n->b->type;
    if (a == TYPE_LIST || b == TYPE_LIST)
        complain(c, n->at, "lists are not compared; use `in`");
    else if ((a == TYPE_NULL || b == TYPE_NULL) && !equality)
        complain(c, n->at, "null has no order; use == or !=");
    else if ((a == TYPE_TIME && b == TYPE_DYN) || (a == TYPE_DYN && b == TYPE_TIME))
        complain(c, n->at, "a time is compared with now or timestamp(\"...\") only");
    else if ((n->a->kind == AST_ADD && b == TYPE_NUMBER) ||
             (n->b->kind == AST_ADD && a == TYPE_NUMBER))
        complain(c, n->at, "+ joins strings; arithmetic is not available in this version");
    else if (a != b && a != TYPE_DYN && b != TYPE_DYN)
        complain(c, n->at, "%s is compared with %s", rules_type_name(a), rules_type_name(b));
}

static void check_in(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_BOOL;
    if (!fits(n->b->type, TYPE_LIST))
        complain(c, n->b->at, "`in` needs a list on its right, not %s",
                 rules_type_name(n->b->type));
    else if (n->a->type == TYPE_LIST || n->a->type == TYPE_NULL)
        complain(c, n->a->at, "%s cannot be in a list", rules_type_name(n->a->type));
    else if (n->b->type == TYPE_LIST && n->a->type != TYPE_DYN && n->b->elem != TYPE_DYN &&
             n->a->type != n->b->elem)
        complain(c, n->at, "%s is looked for in a list whose elements are each %s",
                 rules_type_name(n->a->type), rules_type_name(n->b->elem));
}

static void check_add(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_STRING;
    if (n->a->type == TYPE_NUMBER || n->b->type == TYPE_NUMBER) {
        complain(c, n->at, "arithmetic is not available in this version; + joins strings");
        return;
    }
    need_string(c, n->a, "+");
    need_string(c, n->b, "+");
}

void rules_visit(struct checker *c, struct rules_ast *n)
{
    switch (n->kind) {
    case AST_NAME:
    case AST_FIELD:
    case AST_INDEX:
        rules_resolve(c, n);
        break;
    case AST_LIST:
        check_list(c, n);
        break;
    case AST_NOT:
    case AST_AND:
    case AST_OR:
        check_logic(c, n);
        break;
    case AST_CMP:
        check_cmp(c, n);
        break;
    case AST_IN:
        check_in(c, n);
        break;
    case AST_ADD:
        check_add(c, n);
        break;
    case AST_CALL:
        check_call(c, n);
        break;
    case AST_METHOD:
        check_method(c, n);
        break;
    default:
        break; /* literals, and what only this pass makes */
    }
}

bool rules_check(const struct rules_source_text *src, enum rules_scope scope, struct arena *mem,
                 struct rules_ast *ast, struct rules_paths *paths)
{
    struct checker c = {.src = src, .scope = scope, .mem = mem, .paths = paths};

    c.probe = body_paths_new(mem);
    rules_visit(&c, ast);
    return !c.bad;
}
