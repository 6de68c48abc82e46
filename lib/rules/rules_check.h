/* What the two passes over a tree share: names (rules_names.c) and types (rules_check.c). */
#ifndef RULES_CHECK_H
#define RULES_CHECK_H

#include "rules_internal.h"

struct checker {
    const struct rules_source_text *src;
    enum rules_scope scope;
    struct rules_around *around;
    struct arena *mem;
    struct rules_paths *paths;
    struct body_paths *probe; /* to ask the body library whether a text is a path */
    struct rules_ast_loop *loop[RULES_LOOPS_MAX]; /* that we are in, the outermost first */
    unsigned nloops;
    bool window; /* within a window's keys */
    bool bad;
};

#define complain(c, at, ...)                                                                       \
    do {                                                                                           \
        (c)->bad = true;                                                                           \
        rules_expr_error((c)->src, (at), __VA_ARGS__);                                             \
    } while (0)

static inline bool word_is(struct span s, const char *word)
{
    return span_eq(s, span_cstr(word));
}

static inline bool type_fits(enum rules_type t, enum rules_type want)
{
    return t == want || t == TYPE_DYN;
}

static inline bool is_text_literal(const struct rules_ast *n)
{
    return n->kind == AST_LITERAL && n->type == TYPE_STRING;
}

void rules_visit(struct checker *c, struct rules_ast *n);
/* Visits what must give true or false; a number of finds does, too: `*n` is then compared with 0.
 */
void rules_visit_bool(struct checker *c, struct rules_ast **n, const char *what);
void rules_want_bool(struct checker *c, struct rules_ast **n);
/* A call or a method becomes what it stands for, or there is a complaint. */
void rules_check_call(struct checker *c, struct rules_ast *n);
void rules_check_method(struct checker *c, struct rules_ast *n);
/* spent(...) or calls(...) becomes a WINDOW, or there is a complaint. */
void rules_check_window(struct checker *c, struct rules_ast *n);

/* The slot of a path, taken into the paths of the expression. */
unsigned rules_slot_for(struct checker *c, enum rules_doc doc, struct span path);
/* True for the names that conditions begin with. */
bool rules_is_root(struct span name);
/* NAME, FIELD or INDEX becomes a REF, an AT or a LITERAL, or there is a complaint. */
void rules_resolve(struct checker *c, struct rules_ast *n);

#endif
