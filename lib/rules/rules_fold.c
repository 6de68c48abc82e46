/* Conditions that say the same of every call: the program is run on a call of which nothing can be
 * read. All that the language has keeps a known result when an unknown operand becomes known, so
 * what is known then is known of every call. */
#include "rules_internal.h"

#include <stdlib.h>

#define FOLD_TEXT ((size_t)8 << 10) /* a result that needs more is left to the calls */

struct bench {
    struct rules_run run;
    struct body_value unreadable;
    struct body_values doc[DOC_COUNT];
    uint16_t slots[RULES_NODES_MAX]; /* every path leads to the one value */
    char text[FOLD_TEXT];
};

void rules_expr_fold(struct rules_expr *e, bool names)
{
    struct bench *b = e->type == TYPE_BOOL ? calloc(1, sizeof(*b)) : NULL;
    struct rules_value v;

    if (!b)
        return;
    b->unreadable.kind = BODY_UNREADABLE;
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        b->doc[d] = (struct body_values){.count = 1, .v = &b->unreadable};
        b->run.slots[d] = b->slots;
    }
    b->run.doc = b->doc;
    b->run.text = (struct rules_text){b->text, 0, sizeof(b->text)};
    if (rules_run_adopt(&b->run, &e->needs)) {
        v = rules_eval(e, &b->run);
        e->constant = v.kind == VALUE_BOOL || !names;
        e->says = v.kind == VALUE_BOOL ? truth_of(v.boolean) : TRUTH_UNKNOWN;
    }
    rules_run_free(&b->run);
    free(b);
}
