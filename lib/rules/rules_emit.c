/* A checked tree -> a flat program for a stack machine. && and || evaluate their right side only
 * when the left one does not settle the matter; the jump leads to the instruction after AND/OR. */
#include "rules_internal.h"

struct emitter {
    const struct rules_source_text *src;
    struct arena *mem;
    struct rules_instr *code;
    struct rules_value *constants;
    unsigned ncode, nconstants, depth, deepest;
    struct rules_list windows; /* struct rules_ast_window */
};

static unsigned put(struct emitter *e, enum rules_op op, unsigned x, unsigned arg, int effect)
{
    e->depth = (unsigned)((int)e->depth + effect);
    if (e->depth > e->deepest)
        e->deepest = e->depth;
    e->code[e->ncode] = (struct rules_instr){(uint8_t)op, (uint8_t)x, (uint16_t)arg};
    return e->ncode++;
}

static struct rules_value keep(struct emitter *e, struct rules_value v)
{
    struct rules_value *items;

    v.text = v.text.p ? arena_span(e->mem, v.text) : v.text;
    if (v.kind == VALUE_ITEMS) {
        items = arena_array(e->mem, struct rules_value, v.n ? v.n : 1);
        for (unsigned i = 0; i < v.n; i++)
            items[i] = keep(e, v.items[i]);
        v.items = items;
    }
    return v;
}

static unsigned constant(struct emitter *e, struct rules_value v)
{
    e->constants[e->nconstants] = keep(e, v);
    return e->nconstants++;
}

static void emit(struct emitter *e, const struct rules_ast *n);

static void emit_ref(struct emitter *e, const struct rules_ast *n)
{
    unsigned arg = 0;

    if (n->ref == REF_DOC) {
        put(e, OP_DOC, n->doc, n->slot, 1);
        return;
    }
    if (n->ref == REF_HEADER || n->ref == REF_PARAM)
        arg = constant(e, (struct rules_value){.kind = VALUE_STRING, .text = n->text});
    put(e, OP_REF, n->ref, arg, 1);
}

static void emit_logic(struct emitter *e, const struct rules_ast *n)
{
    bool and = n->kind == AST_AND;
    unsigned jump;

    emit(e, n->a);
    jump = put(e, and? OP_JUMP_FALSE : OP_JUMP_TRUE, 0, 0, 0);
    emit(e, n->b);
    put(e, and? OP_AND : OP_OR, 0, 0, -1);
    e->code[jump].arg = (uint16_t)e->ncode;
}

/* The same window twice is one. */
static unsigned window_index(struct emitter *e, const struct rules_ast_window *w)
{
    for (size_t i = 0; i < e->windows.n; i++)
        if (span_eq(((const struct rules_ast_window *)e->windows.at[i])->text, w->text))
            return (unsigned)i;
    rules_list_add(&e->windows, e->mem, (void *)(uintptr_t)w);
    return (unsigned)e->windows.n - 1;
}

static void emit_two(struct emitter *e, const struct rules_ast *n, enum rules_op op)
{
    emit(e, n->a);
    emit(e, n->b);
    put(e, op, n->cmp, 0, -1);
}

static void emit_one(struct emitter *e, const struct rules_ast *n, enum rules_op op)
{
    emit(e, n->a);
    put(e, op, 0, 0, 0);
}

static void emit(struct emitter *e, const struct rules_ast *n)
{
    static const uint8_t two[] = {
        [AST_CMP] = OP_CMP,       [AST_IN] = OP_IN,     [AST_ADD] = OP_ADD,
        [AST_STARTS] = OP_STARTS, [AST_ENDS] = OP_ENDS, [AST_CONTAINS] = OP_CONTAINS};
    switch (n->kind) {
    case AST_LITERAL:
        put(e, OP_CONST, 0, constant(e, n->value), 1);
        break;
    case AST_REF:
        emit_ref(e, n);
        break;
    case AST_AND:
    case AST_OR:
        emit_logic(e, n);
        break;
    case AST_WINDOW:
        put(e, OP_WINDOW, 0, window_index(e, n->window), 1);
        break;
    case AST_NOT:
        emit_one(e, n, OP_NOT);
        break;
    case AST_HAS:
        emit_one(e, n, OP_HAS);
        break;
    case AST_SIZE:
        emit_one(e, n, OP_SIZE);
        break;
    default:
        emit_two(e, n, two[n->kind]);
        break;
    }
}

static size_t count(const struct rules_ast *n)
{
    return 1 + (n->a ? count(n->a) : 0) + (n->b ? count(n->b) : 0);
}

static struct rules_paths keep_paths(struct arena *mem, const struct rules_paths *from)
{
    struct rules_paths p = {.nparam = from->nparam};

    for (unsigned d = 0; d < DOC_COUNT; d++) {
        p.n[d] = from->n[d];
        p.path[d] = arena_array(mem, struct span, p.n[d] ? p.n[d] : 1);
        for (unsigned i = 0; i < p.n[d]; i++)
            p.path[d][i] = arena_span(mem, from->path[d][i]);
    }
    p.param = arena_array(mem, struct span, p.nparam ? p.nparam : 1);
    p.param_at = arena_array(mem, unsigned, p.nparam ? p.nparam : 1);
    for (unsigned i = 0; i < p.nparam; i++) {
        p.param[i] = arena_span(mem, from->param[i]);
        p.param_at[i] = from->param_at[i];
    }
    return p;
}

static bool emit_windows(struct emitter *e, struct rules_expr *x);

/* A program over paths that are kept already. NULL after a complaint. */
static struct rules_expr *program(const struct rules_source_text *src, struct arena *mem,
                                  const struct rules_ast *ast, const struct rules_paths *kept)
{
    struct emitter e = {.src = src, .mem = mem};
    struct rules_expr *x;

    /* A node makes at most two instructions and one constant. */
    e.code = arena_array(mem, struct rules_instr, count(ast) * 2);
    e.constants = arena_array(mem, struct rules_value, count(ast));
    emit(&e, ast);
    if (e.deepest > RULES_STACK) {
        rules_expr_error(src, 0, "the expression is nested too deep");
        return NULL;
    }
    x = arena_new(mem, struct rules_expr);
    x->code = e.code;
    x->ncode = e.ncode;
    x->constants = e.constants;
    x->paths = *kept;
    x->type = ast->type;
    return emit_windows(&e, x) ? x : NULL;
}

/* Windows do not stand in each other's keys: this goes one level deep. */
static bool emit_windows(struct emitter *e, struct rules_expr *x)
{
    struct rules_window_use *use =
        arena_array(e->mem, struct rules_window_use, e->windows.n ? e->windows.n : 1);

    for (size_t i = 0; i < e->windows.n; i++) {
        const struct rules_ast_window *w = e->windows.at[i];
        const struct rules_expr **key =
            arena_array(e->mem, const struct rules_expr *, w->nkeys ? w->nkeys : 1);

        for (unsigned k = 0; k < w->nkeys; k++) {
            key[k] = program(e->src, e->mem, w->key[k], &x->paths);
            if (!key[k])
                return false;
        }
        use[i] = (struct rules_window_use){.kind = w->kind,
                                           .amount = w->amount,
                                           .length_ns = w->length_ns,
                                           .key = key,
                                           .nkeys = w->nkeys,
                                           .text = arena_span(e->mem, w->text)};
    }
    x->windows = use;
    x->nwindows = (unsigned)e->windows.n;
    return true;
}

struct rules_expr *rules_emit(const struct rules_source_text *src, struct arena *mem,
                              const struct rules_ast *ast, const struct rules_paths *paths)
{
    struct rules_paths kept = keep_paths(mem, paths);

    return program(src, mem, ast, &kept);
}

static bool gives(const struct rules_source_text *src, const struct rules_ast *ast,
                  enum rules_type want)
{
    if (want == TYPE_DYN || ast->type == TYPE_DYN || ast->type == want)
        return true;
    rules_expr_error(src, ast->at, "this must give %s; it gives %s", rules_type_name(want),
                     rules_type_name(ast->type));
    return false;
}

struct rules_expr *rules_compile(const struct rules_source_text *src, enum rules_scope scope,
                                 enum rules_type want, struct arena *mem)
{
    struct arena tmp = ARENA_INIT;
    struct rules_paths paths = {0};
    struct rules_ast *ast = rules_parse(src, &tmp);
    struct rules_expr *x = NULL;

    if (ast && rules_check(src, scope, &tmp, ast, &paths) && gives(src, ast, want))
        x = rules_emit(src, mem, ast, &paths);
    arena_free(&tmp);
    return x;
}
