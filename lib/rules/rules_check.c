/* Types: every name at its place in the paths of a document, and no operation that could never give
 * an answer. What the body, the claims and the query hold is known only later: their type is
 * TYPE_DYN and passes everywhere. */
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
        [TYPE_DURATION] = "a duration",
        [TYPE_LIST] = "a list",
    };
    return names[t];
}

/* ------------------------------------------------------------ true or false */

void rules_want_bool(struct checker *c, struct rules_ast **n)
{
    struct rules_ast *found = *n, *zero, *more;

    if (found->kind != AST_FOUND)
        return;
    zero = arena_new(c->mem, struct rules_ast);
    *zero = (struct rules_ast){.kind = AST_LITERAL, .type = TYPE_NUMBER};
    zero->value = (struct rules_value){.kind = VALUE_NUMBER, .text = SPAN_LIT("0")};
    more = arena_new(c->mem, struct rules_ast);
    *more = (struct rules_ast){
        .kind = AST_CMP, .type = TYPE_BOOL, .cmp = CMP_GT, .a = found, .b = zero};
    more->at = found->at;
    more->from = found->from;
    more->to = found->to;
    *n = more;
}

void rules_visit_bool(struct checker *c, struct rules_ast **n, const char *what)
{
    rules_visit(c, *n);
    rules_want_bool(c, n);
    if (!type_fits((*n)->type, TYPE_BOOL))
        complain(c, (*n)->at, "%s needs true or false, not %s", what, rules_type_name((*n)->type));
}

static void check_logic(struct checker *c, struct rules_ast *n)
{
    const char *op = n->kind == AST_NOT ? "!" : n->kind == AST_AND ? "&&" : "||";

    n->type = TYPE_BOOL;
    rules_visit_bool(c, &n->a, op);
    if (n->b)
        rules_visit_bool(c, &n->b, op);
}

static void check_choose(struct checker *c, struct rules_ast *n)
{
    enum rules_type a, b;

    rules_visit_bool(c, &n->a, "?");
    rules_visit(c, n->b);
    rules_visit(c, n->c);
    a = n->b->type;
    b = n->c->type;
    n->type = a == b ? a : TYPE_DYN;
    n->elem = n->b->elem == n->c->elem ? n->b->elem : TYPE_DYN;
    if (a != b && a != TYPE_DYN && b != TYPE_DYN)
        complain(c, n->at, "one branch gives %s, the other %s", rules_type_name(a),
                 rules_type_name(b));
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

static bool is_time(enum rules_type t)
{
    return t == TYPE_TIME || t == TYPE_DURATION;
}

static void check_cmp(struct checker *c, struct rules_ast *n)
{
    bool equality = n->cmp == CMP_EQ || n->cmp == CMP_NE;
    enum rules_type a, b;

    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_BOOL;
    a = n->a->type;
    b = n->b->type;
    if (a == TYPE_LIST || b == TYPE_LIST)
        complain(c, n->at, "lists are not compared; use `in`");
    else if ((a == TYPE_NULL || b == TYPE_NULL) && !equality)
        complain(c, n->at, "null has no order; use == or !=");
    else if ((is_time(a) && b == TYPE_DYN) || (is_time(b) && a == TYPE_DYN))
        complain(c, n->at, "%s",
                 a == TYPE_TIME || b == TYPE_TIME
                     ? "a time is compared with now or timestamp(...); a value of "
                       "the call needs timestamp() around it"
                     : "a duration is compared with durations; a value of the call "
                       "needs duration() around it");
    else if (a != b && a != TYPE_DYN && b != TYPE_DYN)
        complain(c, n->at, "%s is compared with %s", rules_type_name(a), rules_type_name(b));
}

static void check_in(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_BOOL;
    if (!type_fits(n->b->type, TYPE_LIST))
        complain(c, n->b->at, "`in` needs a list on its right, not %s",
                 rules_type_name(n->b->type));
    else if (n->a->type == TYPE_LIST || n->a->type == TYPE_NULL || is_time(n->a->type))
        complain(c, n->a->at, "%s cannot be in a list", rules_type_name(n->a->type));
    else if (n->b->type == TYPE_LIST && n->a->type != TYPE_DYN && n->b->elem != TYPE_DYN &&
             n->a->type != n->b->elem)
        complain(c, n->at, "%s is looked for in a list whose elements are each %s",
                 rules_type_name(n->a->type), rules_type_name(n->b->elem));
}

static const char *const arith_signs[] = {"+", "-", "*", "/", "%"};

/* time + duration, time - duration, time - time, duration +- duration */
static bool time_result(const struct rules_ast *n, enum rules_type *out)
{
    enum rules_type a = n->a->type, b = n->b->type;

    if (!is_time(a) || !is_time(b) || (n->arith != ARITH_ADD && n->arith != ARITH_SUB))
        return false;
    if (n->arith == ARITH_ADD) {
        *out = a == b ? a : TYPE_TIME;
        return a == TYPE_DURATION || b == TYPE_DURATION;
    }
    *out = a == b ? TYPE_DURATION : TYPE_TIME;
    return a == TYPE_TIME || b == TYPE_DURATION;
}

static bool arith_result(const struct rules_ast *n, enum rules_type *out)
{
    enum rules_type a = n->a->type, b = n->b->type, some = a == TYPE_DYN ? b : a;

    if (is_time(a) || is_time(b))
        return time_result(n, out);
    *out = n->arith == ARITH_ADD ? some : TYPE_NUMBER;
    if (a != b && a != TYPE_DYN && b != TYPE_DYN)
        return false;
    return some == TYPE_DYN || some == TYPE_NUMBER ||
           (some == TYPE_STRING && n->arith == ARITH_ADD);
}

/* Arithmetic on what the rule itself says is done once. */
static void fold_arith(struct checker *c, struct rules_ast *n)
{
    const struct rules_ast *a = n->a, *b = n->b;
    size_t room = a->value.text.n + (b ? b->value.text.n : 0) + 2 * RULES_DIGITS;
    struct rules_text t = {arena_alloc(c->mem, room), 0, room};
    struct rules_value v;

    if (a->kind != AST_LITERAL || (b && b->kind != AST_LITERAL))
        return;
    v = b ? rules_value_arith(n->arith, &a->value, &b->value, &t)
          : rules_value_negate(&a->value, &t);
    if (v.kind == VALUE_UNKNOWN)
        return;
    n->kind = AST_LITERAL;
    n->value = v;
}

static void check_arith(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    rules_visit(c, n->b);
    n->type = TYPE_DYN;
    if (arith_result(n, &n->type)) {
        fold_arith(c, n);
        return;
    }
    if ((is_time(n->a->type) && n->b->type == TYPE_DYN) ||
        (is_time(n->b->type) && n->a->type == TYPE_DYN))
        complain(c, n->at, "a value of the call needs timestamp() or duration() around it here");
    else
        complain(c, n->at, "%s %s %s is not defined", rules_type_name(n->a->type),
                 arith_signs[n->arith], rules_type_name(n->b->type));
}

static void check_negate(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    n->type = TYPE_NUMBER;
    if (!type_fits(n->a->type, TYPE_NUMBER))
        complain(c, n->at, "- needs a number, not %s", rules_type_name(n->a->type));
    else
        fold_arith(c, n);
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
    case AST_CHOOSE:
        check_choose(c, n);
        break;
    case AST_CMP:
        check_cmp(c, n);
        break;
    case AST_IN:
        check_in(c, n);
        break;
    case AST_ARITH:
        check_arith(c, n);
        break;
    case AST_NEGATE:
        check_negate(c, n);
        break;
    case AST_CALL:
        rules_check_call(c, n);
        break;
    case AST_METHOD:
        rules_check_method(c, n);
        break;
    default:
        break; /* literals, and what only this pass makes */
    }
}

bool rules_check(const struct rules_source_text *src, enum rules_scope scope, enum rules_type want,
                 struct rules_around *around, struct arena *mem, struct rules_ast **ast,
                 struct rules_paths *paths)
{
    struct checker c = {.src = src, .scope = scope, .around = around, .mem = mem, .paths = paths};

    c.probe = body_paths_new(mem);
    rules_visit(&c, *ast);
    if (want == TYPE_BOOL)
        rules_want_bool(&c, ast);
    return !c.bad;
}
