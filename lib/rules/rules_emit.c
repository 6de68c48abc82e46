/* A checked tree -> a flat program for a stack machine. && and || evaluate their right side only
 * when the left one does not settle the matter; the jump leads to the instruction after AND/OR. Of
 * a choice one branch is run. What a loop asks of its elements stands right after it. */
#include "rules_internal.h"

#define TABLE_LEAST 8 /* shorter lists are searched faster from end to end */

struct emitter {
    const struct rules_source_text *src;
    struct arena *mem;
    struct rules_instr *code;
    struct rules_value *constants;
    struct rules_loop *loops;
    struct rules_part *parts;
    struct rules_conjunct *conjuncts;
    unsigned ncode, nconstants, nloops, nparts, nconjuncts, depth, deepest;
    unsigned inside; /* how deep in the tree */
    bool top;        /* nothing but && above */
    struct rules_needs needs;
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
    if (v.kind != VALUE_ITEMS)
        return v;
    items = arena_array(e->mem, struct rules_value, v.n ? v.n : 1);
    for (unsigned i = 0; i < v.n; i++)
        items[i] = keep(e, v.items[i]);
    v.items = items;
    if (v.n > TABLE_LEAST && items[0].kind != VALUE_BOOL) {
        v.kind = VALUE_TABLE;
        v.table = rules_table_new(e->mem, items, v.n);
    }
    return v;
}

static unsigned constant(struct emitter *e, struct rules_value v)
{
    uint64_t whole;

    if (v.kind == VALUE_NUMBER && span_u64(v.text, &whole) && whole <= INT64_MAX) {
        v.boolean = true;
        v.seconds = (int64_t)whole;
    }
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
    if (n->ref == REF_VAR) {
        put(e, OP_VAR, n->level, n->slot, 1);
        return;
    }
    if (n->ref == REF_HEADER || n->ref == REF_PARAM)
        arg = constant(e, (struct rules_value){.kind = VALUE_STRING, .text = n->text});
    put(e, OP_REF, n->ref, arg, 1);
}

static void emit_logic(struct emitter *e, const struct rules_ast *n)
{
    bool and = n->kind == AST_AND, top = e->top;
    unsigned jump;

    emit(e, n->a);
    e->top = top;
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

static void emit_choice(struct emitter *e, const struct rules_ast *n)
{
    unsigned branch, skip;

    emit(e, n->a);
    branch = put(e, OP_CHOOSE, 0, 0, -1);
    emit(e, n->b);
    skip = put(e, OP_SKIP, 0, 0, -1);
    e->code[branch].arg = (uint16_t)e->ncode;
    emit(e, n->c);
    e->code[skip].arg = (uint16_t)put(e, OP_JOIN, 0, 0, 0);
}

static void loop_paths(struct emitter *e, const struct rules_ast_loop *l, struct rules_loop *to)
{
    uint16_t *slot = arena_array(e->mem, uint16_t, l->paths.n + 1);
    size_t state = 0;

    to->whole = -1;
    to->slot = slot;
    if (l->paths.n == 0)
        return;
    to->paths = body_paths_new(e->mem);
    for (size_t i = 0; i < l->paths.n; i++) {
        struct span path = *(const struct span *)l->paths.at[i];

        slot[i] = (uint16_t)body_paths_add(to->paths, path); /* the checker has tried it */
        state += rules_path_state(path);
        if (path.n == 0)
            to->whole = slot[i];
    }
    if (e->needs.values < l->paths.n)
        e->needs.values = (unsigned)l->paths.n;
    if (e->needs.state < state)
        e->needs.state = state;
}

static void emit_loop(struct emitter *e, const struct rules_ast *n)
{
    const struct rules_ast_loop *l = n->loop;
    unsigned at = e->nloops++;
    struct rules_loop *to = &e->loops[at];

    *to = (struct rules_loop){.kind = l->kind, .level = (uint8_t)l->level};
    loop_paths(e, l, to);
    if (e->needs.loops <= l->level)
        e->needs.loops = l->level + 1;
    emit(e, n->a);
    put(e, OP_LOOP, 0, at, 0);
    to->start = (uint16_t)e->ncode;
    emit(e, n->b);
    to->end = (uint16_t)e->ncode;
    e->depth--; /* what the element gave is counted, not kept */
}

static bool is_doc_test(const struct rules_ast *n)
{
    return n->kind == AST_CMP && n->a->kind == AST_REF && n->a->ref == REF_DOC &&
           n->b->kind == AST_LITERAL;
}

/* The part that is the document's value has the first instruction, the test the second. */
static void emit_doc_test(struct emitter *e, const struct rules_ast *n)
{
    e->parts[e->nparts++] = (struct rules_part){(uint16_t)n->a->from, (uint16_t)n->a->to,
                                                (uint16_t)e->inside, (uint16_t)e->ncode};
    put(e, OP_DOC_CMP, n->a->doc | (unsigned)n->cmp << 2, n->a->slot, 1);
    put(e, OP_CONST, 0, constant(e, n->b->value), 0);
}

/* The operands that there are, then the instruction. */
static void emit_operation(struct emitter *e, const struct rules_ast *n)
{
    static const uint8_t ops[] = {
        [AST_NOT] = OP_NOT,           [AST_CMP] = OP_CMP,       [AST_IN] = OP_IN,
        [AST_ARITH] = OP_ARITH,       [AST_NEGATE] = OP_NEGATE, [AST_HAS] = OP_HAS,
        [AST_SIZE] = OP_SIZE,         [AST_STARTS] = OP_STARTS, [AST_ENDS] = OP_ENDS,
        [AST_CONTAINS] = OP_CONTAINS, [AST_AT] = OP_AT,         [AST_MATCHES] = OP_MATCHES,
        [AST_FOUND] = OP_FOUND,       [AST_GET] = OP_GET,       [AST_TIMESTAMP] = OP_TIMESTAMP,
        [AST_DURATION] = OP_DURATION,
    };
    unsigned x = n->kind == AST_CMP     ? (unsigned)n->cmp
                 : n->kind == AST_ARITH ? (unsigned)n->arith
                                        : (unsigned)n->get;
    unsigned arg = 0;

    if (n->a)
        emit(e, n->a);
    if (n->b)
        emit(e, n->b);
    if (n->kind == AST_MATCHES || n->kind == AST_FOUND || n->kind == AST_GET)
        arg = constant(e, n->value);
    else if (n->kind == AST_AT)
        arg = n->slot;
    put(e, (enum rules_op)ops[n->kind], x, arg, n->b ? -1 : n->a ? 0 : 1);
}

static void emit_node(struct emitter *e, const struct rules_ast *n)
{
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
    case AST_CHOOSE:
        emit_choice(e, n);
        break;
    case AST_LOOP:
        emit_loop(e, n);
        break;
    case AST_WINDOW:
        put(e, OP_WINDOW, 0, window_index(e, n->window), 1);
        break;
    default:
        if (is_doc_test(n))
            emit_doc_test(e, n);
        else
            emit_operation(e, n);
        break;
    }
}

/* A search through a constant is all that `in` may do: one through the call's own array is paid
 * for. */
static bool is_plain(const struct rules_instr *code, unsigned start, unsigned stop)
{
    for (unsigned i = start; i < stop; i++)
        switch ((enum rules_op)code[i].op) {
        case OP_LOOP:
        case OP_ARITH:
        case OP_WINDOW:
            return false;
        case OP_IN:
            if (code[i - 1].op != OP_CONST)
                return false;
            break;
        default:
            break;
        }
    return true;
}

static struct rules_conjunct *conjunct_begin(struct emitter *e, const struct rules_ast *n)
{
    struct rules_conjunct *c = &e->conjuncts[e->nconjuncts++];

    *c = (struct rules_conjunct){
        .start = (uint16_t)e->ncode, .from = (uint16_t)n->from, .to = (uint16_t)n->to};
    return c;
}

static void conjunct_end(struct emitter *e, struct rules_conjunct *c)
{
    c->stop = (uint16_t)e->ncode;
    c->plain = is_plain(e->code, c->start, c->stop);
}

/* What the rule itself says as it stands explains itself. */
static void emit(struct emitter *e, const struct rules_ast *n)
{
    struct rules_conjunct *conjunct = e->top && n->kind != AST_AND ? conjunct_begin(e, n) : NULL;
    struct rules_part *part = NULL;
    unsigned loop = e->nloops;

    e->top = e->top && n->kind == AST_AND;
    if (n->kind != AST_LITERAL || e->inside == 0) {
        part = &e->parts[e->nparts++];
        *part = (struct rules_part){(uint16_t)n->from, (uint16_t)n->to, (uint16_t)e->inside, 0};
    }
    e->inside++;
    emit_node(e, n);
    e->inside--;
    if (conjunct)
        conjunct_end(e, conjunct);
    if (part) /* a loop's value is there before what it asks of its elements */
        part->pc = (uint16_t)((n->kind == AST_LOOP ? e->loops[loop].start : e->ncode) - 1);
}

static size_t count(const struct rules_ast *n)
{
    return n ? 1 + count(n->a) + count(n->b) + count(n->c) : 0;
}

static size_t count_conjuncts(const struct rules_ast *n)
{
    return n->kind == AST_AND ? count_conjuncts(n->a) + count_conjuncts(n->b) : 1;
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

static const void *keep_array(struct arena *mem, const void *from, size_t n, size_t size)
{
    void *to = arena_alloc_array(mem, n ? n : 1, size);

    if (n)
        memcpy(to, from, n * size);
    return to;
}

/* Of what there was room for as much as there is: a set has many programs, and those of one
 * function shall lie close together. */
static void keep_program(struct rules_expr *x, const struct emitter *e)
{
    x->ncode = e->ncode;
    x->nconjuncts = e->nconjuncts;
    x->nparts = e->nparts;
    x->code = keep_array(e->mem, e->code, e->ncode, sizeof(*e->code));
    x->conjuncts = keep_array(e->mem, e->conjuncts, e->nconjuncts, sizeof(*e->conjuncts));
    x->constants = keep_array(e->mem, e->constants, e->nconstants, sizeof(*e->constants));
    x->loops = keep_array(e->mem, e->loops, e->nloops, sizeof(*e->loops));
    x->parts = keep_array(e->mem, e->parts, e->nparts, sizeof(*e->parts));
}

/* A program over paths that are kept already. NULL after a complaint. */
static struct rules_expr *program(const struct rules_source_text *src, struct arena *mem,
                                  const struct rules_ast *ast, const struct rules_paths *kept)
{
    struct emitter e = {.src = src, .mem = mem, .top = true};
    struct rules_expr *x = arena_new(mem, struct rules_expr);
    struct arena tmp = ARENA_INIT;
    size_t n = count(ast);

    /* A node makes at most three instructions and one constant. */
    e.code = arena_array(&tmp, struct rules_instr, n * 3);
    e.constants = arena_array(&tmp, struct rules_value, n);
    e.loops = arena_array(&tmp, struct rules_loop, n);
    e.parts = arena_array(&tmp, struct rules_part, n);
    e.conjuncts = arena_array(&tmp, struct rules_conjunct, count_conjuncts(ast));
    emit(&e, ast);
    keep_program(x, &e);
    arena_free(&tmp);
    if (e.deepest > RULES_STACK) {
        rules_expr_error(src, 0, "the expression is nested too deep");
        return NULL;
    }
    x->needs = e.needs;
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

static const struct match_regex *const *keep_patterns(struct arena *mem, const struct rules_list *l)
{
    const struct match_regex **p = arena_array(mem, const struct match_regex *, l->n + 1);

    for (size_t i = 0; i < l->n; i++)
        p[i] = l->at[i];
    return p;
}

struct rules_expr *rules_emit(const struct rules_source_text *src, struct arena *mem,
                              const struct rules_ast *ast, const struct rules_paths *paths,
                              const struct rules_around *around)
{
    struct rules_paths kept = keep_paths(mem, paths);
    struct rules_expr *x = program(src, mem, ast, &kept);

    if (!x)
        return NULL;
    x->source = arena_span(mem, src->text);
    x->needs_found = around->found;
    x->needs.patterns = keep_patterns(mem, &around->patterns);
    x->needs.npatterns = (unsigned)around->patterns.n;
    return x;
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

/* The set's scratch must be fit for the pattern. */
static void tell_patterns(struct rules_loader *l, const struct rules_around *around)
{
    for (size_t i = 0; l && i < around->patterns.n; i++)
        rules_list_add(&l->patterns, &l->tmp, around->patterns.at[i]);
}

struct rules_expr *rules_compile_in(const struct rules_source_text *src, struct rules_loader *l,
                                    enum rules_scope scope, enum rules_type want, struct arena *mem)
{
    struct arena tmp = ARENA_INIT;
    struct rules_paths paths = {0};
    struct rules_around around = {.l = l, .mem = mem};
    struct rules_ast *ast = rules_parse(src, &tmp);
    struct rules_expr *x = NULL;

    if (ast && rules_check(src, scope, want, &around, &tmp, &ast, &paths) && gives(src, ast, want))
        x = rules_emit(src, mem, ast, &paths, &around);
    if (x) {
        rules_expr_fold(x, around.names);
        tell_patterns(l, &around);
    }
    arena_free(&tmp);
    return x;
}

struct rules_expr *rules_compile(const struct rules_source_text *src, enum rules_scope scope,
                                 enum rules_type want, struct arena *mem)
{
    return rules_compile_in(src, NULL, scope, want, mem);
}
