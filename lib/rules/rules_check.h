/* What the two passes over a tree share: names (rules_names.c) and types (rules_check.c). */
#ifndef RULES_CHECK_H
#define RULES_CHECK_H

#include "rules_internal.h"

struct checker {
    const struct rules_source_text *src;
    enum rules_scope scope;
    struct arena *mem;
    struct rules_paths *paths;
    struct body_paths *probe; /* to ask the body library whether a text is a path */
    bool window;              /* within a window's keys */
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

void rules_visit(struct checker *c, struct rules_ast *n);
/* The slot of a path, taken into the paths of the expression. */
unsigned rules_slot_for(struct checker *c, enum rules_doc doc, struct span path);
/* spent(...) or calls(...) becomes a WINDOW, or there is a complaint. */
void rules_check_window(struct checker *c, struct rules_ast *n);

/* NAME, FIELD or INDEX becomes a REF, or there is a complaint. */
void rules_resolve(struct checker *c, struct rules_ast *n);

#endif
