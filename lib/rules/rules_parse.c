/* Tokens -> a tree, by binding powers (Pratt), in CEL's precedence:
 *   || : 1   && : 2   == != < <= > >= in : 4   + : 5   ! - : 7   . [] () : 8
 * What CEL has and this version has not is refused where it stands. */
#include "rules_internal.h"

struct parser {
    struct rules_lexer lex;
    struct rules_token t; /* the next token, not yet taken */
    struct arena *mem;
    unsigned depth, nodes;
    unsigned end; /* of the token taken last */
};

enum { BIND_OR = 1, BIND_AND = 2, BIND_RELATION = 4, BIND_ADD = 5, BIND_UNARY = 7 };

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
        e = expression(p, 0);
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

/* CEL folds a minus into the number after it; before anything else it is arithmetic. */
static struct rules_ast *minus(struct parser *p)
{
    unsigned at = p->t.at;
    struct rules_ast *n;

    advance(p);
    if (p->t.kind != TOKEN_NUMBER)
        return fail(p, at, "arithmetic is not available in this version");
    n = text_literal(p, VALUE_NUMBER, TYPE_NUMBER);
    if (!n)
        return NULL;
    n->at = at;
    n->value.text = span_cstr(arena_printf(p->mem, "-%.*s", SPAN_ARG(n->value.text)));
    return n;
}

static struct rules_ast *not_expression(struct parser *p)
{
    struct rules_ast *n = node(p, AST_NOT, p->t.at);

    if (!n)
        return NULL;
    advance(p);
    n->a = expression(p, BIND_UNARY);
    return n->a ? n : NULL;
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
    n = expression(p, 0);
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
        return fail(p, p->t.at, "maps are not available in this version");
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
    n->b = expression(p, 0);
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
    return a;
}

struct operator
{
    enum rules_ast_kind kind;
    enum rules_cmp cmp;
    int bind;
};

/* False if no operator comes next, also after a complaint about one. */
static bool next_operator(struct parser *p, struct operator* op)
{
    static const char relations[] = "ENLG<>";
    static const enum rules_cmp cmps[] = {CMP_EQ, CMP_NE, CMP_LE, CMP_GE, CMP_LT, CMP_GT};
    const char *r;

    if (is_word(p, "in")) {
        *op = (struct operator){AST_IN, CMP_EQ, BIND_RELATION};
        return true;
    }
    if (p->t.kind != TOKEN_PUNCT)
        return false;
    r = strchr(relations, p->t.punct);
    if (p->t.punct == '&')
        *op = (struct operator){AST_AND, CMP_EQ, BIND_AND};
    else if (p->t.punct == '|')
        *op = (struct operator){AST_OR, CMP_EQ, BIND_OR};
    else if (p->t.punct == '+')
        *op = (struct operator){AST_ADD, CMP_EQ, BIND_ADD};
    else if (r)
        *op = (struct operator){AST_CMP, cmps[r - relations], BIND_RELATION};
    else {
        if (strchr("-*/%", p->t.punct))
            fail(p, p->t.at, "arithmetic is not available in this version");
        else if (p->t.punct == '?')
            fail(p, p->t.at, "`? :` is not available in this version");
        return false;
    }
    return true;
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
        n->cmp = op.cmp;
        n->a = a;
        n->b = expression(p, op.bind);
        a = n->b ? ranged(p, n, from) : NULL;
    }
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
    n = expression(&p, 0);
    if (n && p.t.kind != TOKEN_END)
        return fail(&p, p.t.at, "the expression should end here");
    return n;
}
