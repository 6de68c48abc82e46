/* A decision part by part, for people: judges as rules_decide does, and tells what each part of
 * each condition gave. Not on the road. */
#include "rules_internal.h"

#include <stdlib.h>

static struct span shown(const struct rules_shown *s)
{
    return s->n ? span_of(s->text, s->n) : SPAN_LIT("not evaluated");
}

static void tell_parts(const struct rules_candidate *c, const struct rules_trace *t,
                       rules_explain_fn *tell, void *ctx)
{
    const struct rules_expr *e = c->when;

    for (unsigned i = 0; i < e->nparts; i++) {
        const struct rules_part *p = &e->parts[i];
        struct span text = span_of(e->source.p + p->from, p->to - p->from);

        tell(ctx, c->rule, p->depth, text, t ? shown(&t->at[p->pc]) : SPAN_LIT("not evaluated"));
    }
}

void rules_expr_explain(const struct rules_candidate *c, struct rules_run *r,
                        rules_explain_fn *tell, void *ctx)
{
    struct rules_trace t = {NULL};

    if (!c->when) {
        tell(ctx, c->rule, 0, SPAN_NONE, SPAN_LIT("true"));
        return;
    }
    t.at = calloc(c->when->ncode, sizeof(*t.at));
    if (t.at) {
        r->trace = &t;
        rules_eval_traced(c->when, r);
        r->trace = NULL;
    }
    tell_parts(c, t.at ? &t : NULL, tell, ctx);
    free(t.at);
}
