/* One expression, run on the documents of one call as a decision runs it. */
#ifndef RULES_EXPR_BENCH_H
#define RULES_EXPR_BENCH_H

#include "rules/rules_internal.h"

struct expr_bench {
    struct arena mem;
    struct body_values doc[DOC_COUNT];
    struct rules_run run;
    char text[RULES_TEXT_ROOM];
    char scratch[DOC_COUNT][65536];
};

static inline void expr_bench_read(struct expr_bench *b, const struct rules_expr *e,
                                   const struct rules_call *c)
{
    const struct span text[DOC_COUNT] = {c->body, c->caller->claims, c->head->query};
    const enum body_type type[DOC_COUNT] = {c->body_type, BODY_JSON, BODY_FORM};

    for (unsigned d = 0; d < DOC_COUNT; d++) {
        struct body_paths *p = body_paths_new(&b->mem);
        uint16_t *slots = arena_array(&b->mem, uint16_t, e->paths.n[d] + 1);

        for (unsigned i = 0; i < e->paths.n[d]; i++)
            slots[i] = (uint16_t)body_paths_add(p, e->paths.path[d][i]);
        b->run.slots[d] = slots;
        b->run.form[d] = type[d] == BODY_FORM;
        b->doc[d].count = body_paths_count(p);
        b->doc[d].v = arena_array(&b->mem, struct body_value, b->doc[d].count + 1);
        if (d == DOC_BODY && c->body_problem != BODY_PROBLEM_NONE)
            body_unreadable(c->body_problem, &b->doc[d]);
        else
            body_read(p, type[d], text[d], span_of(b->scratch[d], sizeof(b->scratch[d])),
                      &b->doc[d]);
    }
    b->run.doc = b->doc;
    b->run.call = c;
    b->run.text = (struct rules_text){b->text, 0, sizeof(b->text)};
}

#endif
