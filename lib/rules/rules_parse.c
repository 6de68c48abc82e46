/* Tokens -> a tree, by binding powers (Pratt), in CEL's precedence:
 *   ?: : 0   || : 1   && : 2   == != < <= > >= in : 4   + - : 5   * / % : 6   ! - : 7
 *   . [] () : 8
 * What CEL has and this language has not is refused where it stands. */
#include "rules_internal.h"

struct parser {
    struct rules_lexer lex;
    struct rules_token t; /* the next token, not yet taken */
    struct arena *mem;
    unsigned depth, nodes;
    unsigned end; /* of the token taken last */
};

enum {
    BIND_ALL = -1,
    BIND_CHOOSE = 0,
    BIND_OR = 1,
    BIND_AND = 2,
    BIND_RELATION = 4,
    BIND_ADD = 5,
    BIND_MULTIPLY = 6,
    BIND_UNARY = 7
};

/* Takes what binds closer than `least`. */
static struct rules_ast *expression(struct parser *p, int least);

static void *fail(struct parser *p, unsigned at, const char *why)
{
    if (p->t.kind != TOKEN_BAD) /* that one has been complained about */
        rules_expr_error(p->lex.src, at, "%s", why);
    p->t.kind = TOKEN_BAD;
    return NULL;
}

static void advance(struct parser *p)
{
    p->end = p->t.to;
    p->t = rules_lex(&p->lex);
}

static bool is_punct(const struct parser *p, char c)
{
    return p->t.kind == TOKEN_PUNCT && p->t.punct == c;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->t.kind == TOKEN_NAME && span_eq(p->t.text, span_cstr(word));
}

static bool expect(struct parser *p, char c, const char *why)
{
    if (!is_punct(p, c)) {
        fail(p, p->t.at, why);
        return false;
    }
    advance(p);
    return p->t.kind != TOKEN_BAD;
}

static struct rules_ast *node(struct parser *p, enum rules_ast_kind kind, unsigned at)
{
    struct rules_ast *n;

    if (++p->nodes > RULES_NODES_MAX)
        return fail(p, at, "the expression has too many parts");
    n = arena_new(p->mem, struct rules_ast);
    n->kind = kind;
    n->at = at;
    return n;
}

static struct rules_ast *literal(struct parser *p, struct rules_value v, enum rules_type type)
{
    struct rules_ast *n = node(p, AST_LITERAL, p->t.at);

    if (!n)
        return NULL;
    n->value = v;
    n->type = type;
    advance(p);
    return n;
}

static struct rules_ast *text_literal(struct parser *p, enum rules_value_kind kind,
                                      enum rules_type type)
{
    return literal(p, (struct rules_value){.kind = kind, .text = p->t.text}, type);
}

/* `open` is taken. Elements up to `close`, which is taken too. */
static bool elements(struct parser *p, char close, struct rules_ast *into)
{
    struct rules_list l = {0};
    struct rules_ast *e;

    while (!is_punct(p, close)) {
        e = expression(p, BIND_ALL);
        if (!e)
            return false;
        rules_list_add(&l, p->mem, e);
        if (!is_punct(p, ','))
            break;
        advance(p);
    }
    into->args = (struct rules_ast **)l.at;
    into->nargs = (unsigned)l.n;
    return expect(p, close, close == ')' ? "a `)` is missing here" : "a `]` is missing here");
}

static struct rules_ast *name_or_call(struct parser *p)
{
    static const char *const reserved[] = {
        "as",  "break", "const",   "continue", "else",      "for",  "function", "if",   "import",
        "let", "loop",  "package", "return",   "namespace", "void", "var",      "while"};
    struct rules_token t = p->t;
    struct rules_ast *n;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (is_word(p, reserved[i]) && !is_word(p, "function")) /* a name of ours */
            return fail(p, t.at, "this word is reserved and names nothing");
    if (is_word(p, "in"))
        return fail(p, t.at, "`in` needs a value on its left");
    advance(p);
    n = node(p, is_punct(p, '(') ? AST_CALL : AST_NAME, t.at);
    if (!n)
        return NULL;
    n->text = t.text;
    if (n->kind == AST_NAME)
        return n;
    advance(p);
    return elements(p, ')', n) ? n : NULL;
}

static struct rules_ast *operand(struct parser *p, enum rules_ast_kind kind, unsigned at)
{
    struct rules_ast *n = node(p, kind, at);

    if (!n)
        return NULL;
    n->a = expression(p, BIND_UNARY);
    return n->a ? n : NULL;
}

/* CEL folds a minus into the number after it; before anything else it is arithmetic. */
static struct rules_ast *minus(struct parser *p)
{
    unsigned at = p->t.at;
    struct rules_ast *n;

    advance(p);
    if (is_punct(p, '!'))
        return fail(p, p->t.at, "`-` does not go before `!`; put parentheses between them");
    if (p->t.kind != TOKEN_NUMBER)
        return operand(p, AST_NEGATE, at);
    n = text_literal(p, VALUE_NUMBER, TYPE_NUMBER);
    if (!n)
        return NULL;
    n->at = at;
    n->value.text = span_cstr(arena_printf(p->mem, "-%.*s", SPAN_ARG(n->value.text)));
    return n;
}

static struct rules_ast *not_expression(struct parser *p)
{
    unsigned at = p->t.at;

    advance(p);
    if (is_punct(p, '-'))
        return fail(p, p->t.at, "`!` does not go before `-`; put parentheses between them");
    return operand(p, AST_NOT, at);
}

static struct rules_ast *list(struct parser *p)
{
    struct rules_ast *n = node(p, AST_LIST, p->t.at);

    if (!n)
        return NULL;
    advance(p);
    return elements(p, ']', n) ? n : NULL;
}

static struct rules_ast *parentheses(struct parser *p)
{
    struct rules_ast *n;

    advance(p);
    n = expression(p, BIND_ALL);
    return n && expect(p, ')', "a `)` is missing here") ? n : NULL;
}

static struct rules_ast *value(struct parser *p)
{
    struct rules_value null = {.kind = VALUE_NULL, .literal = true};

    if (p->t.kind == TOKEN_NUMBER)
        return text_literal(p, VALUE_NUMBER, TYPE_NUMBER);
    if (p->t.kind == TOKEN_STRING)
        return text_literal(p, VALUE_STRING, TYPE_STRING);
    if (is_word(p, "true") || is_word(p, "false"))
        return literal(p, value_bool(p->t.text.n == 4), TYPE_BOOL);
    if (is_word(p, "null"))
        return literal(p, null, TYPE_NULL);
    if (p->t.kind == TOKEN_NAME)
        return name_or_call(p);
    if (is_punct(p, '!'))
        return not_expression(p);
    if (is_punct(p, '-'))
        return minus(p);
    if (is_punct(p, '('))
        return parentheses(p);
    if (is_punct(p, '['))
        return list(p);
    if (is_punct(p, '{'))
        return fail(p, p->t.at, "there are no maps here; the body is read by its fields");
    return fail(p, p->t.at,
                p->t.kind == TOKEN_END ? "the expression ends too early"
                                       : "a value is missing here");
}

/* Where a node stands is known when all of it has been taken. */
static struct rules_ast *ranged(const struct parser *p, struct rules_ast *n, unsigned from)
{
    if (n) {
        n->from = from;
        n->to = p->end;
    }
    return n;
}

static struct rules_ast *primary(struct parser *p)
{
    unsigned from = p->t.at;
    bool inside = is_punct(p, '(');
    struct rules_ast *n = value(p);

    return inside ? n : ranged(p, n, from);
}

/* a.name, a.name(args) */
static struct rules_ast *selection(struct parser *p, struct rules_ast *a)
{
    struct rules_ast *n;
    unsigned at;

    advance(p);
    at = p->t.at;
    if (p->t.kind != TOKEN_NAME || is_word(p, "in") || is_word(p, "true") || is_word(p, "false") ||
        is_word(p, "null"))
        return fail(p, at, "a field name must follow the dot; write [\"name\"] for odd ones");
    n = node(p, AST_FIELD, at);
    if (!n)
        return NULL;
    n->a = a;
    n->text = p->t.text;
    advance(p);
    if (!is_punct(p, '('))
        return n;
    n->kind = AST_METHOD;
    advance(p);
    return elements(p, ')', n) ? n : NULL;
}

static struct rules_ast *indexing(struct parser *p, struct rules_ast *a)
{
    struct rules_ast *n = node(p, AST_INDEX, p->t.at);

    if (!n)
        return NULL;
    advance(p);
    n->a = a;
    n->b = expression(p, BIND_ALL);
    return n->b && expect(p, ']', "a `]` is missing here") ? n : NULL;
}

static struct rules_ast *postfix(struct parser *p)
{
    unsigned links = 0, from = p->t.at;
    struct rules_ast *a = primary(p);

    while (a && (is_punct(p, '.') || is_punct(p, '['))) {
        if (++links > RULES_DEPTH_MAX)
            return fail(p, p->t.at, "this path is too deep");
        a = ranged(p, is_punct(p, '.') ? selection(p, a) : indexing(p, a), from);
    }
    if (a && is_punct(p, '{'))
        return fail(p, p->t.at, "there are no messages here; only values of the call");
    return a;
}

struct operator
{
    enum rules_ast_kind kind;
    int bind;
    unsigned which; /* enum rules_cmp, enum rules_arith */
};

/* False if no operator comes next. */
static bool next_operator(const struct parser *p, struct operator* op)
{
    static const struct {
        char punct;
        struct operator op;
    } all[] = {
        {'|', {AST_OR, BIND_OR, 0}},
        {'&', {AST_AND, BIND_AND, 0}},
        {'E', {AST_CMP, BIND_RELATION, CMP_EQ}},
        {'N', {AST_CMP, BIND_RELATION, CMP_NE}},
        {'<', {AST_CMP, BIND_RELATION, CMP_LT}},
        {'L', {AST_CMP, BIND_RELATION, CMP_LE}},
        {'>', {AST_CMP, BIND_RELATION, CMP_GT}},
        {'G', {AST_CMP, BIND_RELATION, CMP_GE}},
        {'+', {AST_ARITH, BIND_ADD, ARITH_ADD}},
        {'-', {AST_ARITH, BIND_ADD, ARITH_SUB}},
        {'*', {AST_ARITH, BIND_MULTIPLY, ARITH_MUL}},
        {'/', {AST_ARITH, BIND_MULTIPLY, ARITH_DIV}},
        {'%', {AST_ARITH, BIND_MULTIPLY, ARITH_MOD}},
    };

    if (is_word(p, "in")) {
        *op = (struct operator){AST_IN, BIND_RELATION, 0};
        return true;
    }
    for (size_t i = 0; p->t.kind == TOKEN_PUNCT && i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].punct != p->t.punct)
            continue;
        *op = all[i].op;
        return true;
    }
    return false;
}

/* `a` is taken. CEL wants parentheses around a choice that is chosen, not around the last one. */
static struct rules_ast *choice(struct parser *p, struct rules_ast *a)
{
    struct rules_ast *n = node(p, AST_CHOOSE, p->t.at);

    if (!n)
        return NULL;
    advance(p);
    n->a = a;
    n->b = expression(p, BIND_CHOOSE);
    if (!n->b || !expect(p, ':', "a `:` is missing here, as in condition ? one : other"))
        return NULL;
    n->c = expression(p, BIND_ALL);
    return n->c ? n : NULL;
}

static struct rules_ast *operations(struct parser *p, int least)
{
    unsigned from = p->t.at;
    struct rules_ast *a = postfix(p), *n;
    struct operator op;

    while (a && next_operator(p, &op) && op.bind > least) {
        n = node(p, op.kind, p->t.at);
        if (!n)
            return NULL;
        advance(p);
        n->cmp = (enum rules_cmp)op.which;
        n->arith = (enum rules_arith)op.which;
        n->a = a;
        n->b = expression(p, op.bind);
        a = n->b ? ranged(p, n, from) : NULL;
    }
    if (a && least == BIND_ALL && is_punct(p, '?'))
        a = ranged(p, choice(p, a), from);
    return p->t.kind == TOKEN_BAD ? NULL : a;
}

static struct rules_ast *expression(struct parser *p, int least)
{
    struct rules_ast *n;

    if (++p->depth > RULES_DEPTH_MAX)
        return fail(p, p->t.at, "the expression is nested too deep");
    n = operations(p, least);
    p->depth--;
    return n;
}

struct rules_ast *rules_parse(const struct rules_source_text *src, struct arena *mem)
{
    struct parser p = {.lex = {.src = src, .mem = mem}, .mem = mem};
    struct rules_ast *n;

    if (src->text.n > RULES_EXPR_MAX) {
        rules_expr_error(src, 0, "an expression may have at most %zu bytes", RULES_EXPR_MAX);
        return NULL;
    }
    advance(&p);
    n = expression(&p, BIND_ALL);
    if (n && p.t.kind != TOKEN_END)
        return fail(&p, p.t.at, "the expression should end here");
    return n;
}
