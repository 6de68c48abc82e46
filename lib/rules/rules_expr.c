/* Expressions over a token's claims, for whoever verifies tokens. Not on the packet road: memory
 * comes from malloc, once a call. */
#include "rules_internal.h"

#include <stdlib.h>

struct job {
    struct rules_run run;
    struct body_values doc[DOC_COUNT];
    struct rules_value result;
    char *unescaped;
};

static void job_end(struct job *j)
{
    if (!j)
        return;
    free(j->doc[DOC_CLAIMS].v);
    free(j->unescaped);
    free(j->run.text.p);
    rules_run_free(&j->run);
    free(j);
}

/* NULL: out of memory, which gives no answer. */
static struct job *job_run(const struct rules_expr *e, struct span claims)
{
    struct job *j = calloc(1, sizeof(*j));
    struct body_values *v = j ? &j->doc[DOC_CLAIMS] : NULL;
    size_t room = claims.n + 64;

    if (!j)
        return NULL;
    v->count = body_paths_count(e->claims);
    v->v = calloc(v->count + 1, sizeof(*v->v));
    for (unsigned i = 0; i < v->count; i++)
        room += rules_path_state(e->paths.path[DOC_CLAIMS][i]);
    j->unescaped = malloc(room);
    j->run.text = (struct rules_text){malloc(RULES_TEXT_ROOM), 0, RULES_TEXT_ROOM};
    if (!v->v || !j->unescaped || !j->run.text.p || !rules_run_adopt(&j->run, &e->needs)) {
        job_end(j);
        return NULL;
    }
    if (v->count)
        body_read(e->claims, BODY_JSON, claims, span_of(j->unescaped, room), v);
    j->run.doc = j->doc;
    j->run.slots[DOC_CLAIMS] = e->slots;
    j->result = rules_eval(e, &j->run);
    return j;
}

bool rules_expr_text(const struct rules_expr *e, struct span claims, struct arena *mem,
                     struct span *out)
{
    struct job *j = job_run(e, claims);
    struct span s;
    bool good = j && rules_value_text(&j->result, &s);

    if (good)
        *out = arena_span(mem, s);
    job_end(j);
    return good;
}

bool rules_expr_bool(const struct rules_expr *e, struct span claims, bool *out)
{
    struct job *j = job_run(e, claims);
    bool good = j && j->result.kind == VALUE_BOOL;

    if (good)
        *out = j->result.boolean;
    job_end(j);
    return good;
}

/* False if an element is no string, or there are more than `room`. */
static bool take_items(const struct rules_value *list, struct rules_text *t, struct arena *mem,
                       struct span *out, unsigned room, unsigned *n)
{
    struct span rest = list->text;
    struct rules_value item;
    bool array = list->kind == VALUE_ARRAY;

    for (unsigned i = 0; array || i < list->n; i++) {
        if (!array)
            item = rules_value_at(list, i);
        else if (!rules_json_next(&rest, t, &item))
            break;
        if (item.kind != VALUE_STRING || *n == room)
            return false;
        out[(*n)++] = arena_span(mem, item.text);
    }
    return true;
}

bool rules_expr_list(const struct rules_expr *e, struct span claims, struct arena *mem,
                     struct span *out, unsigned room, unsigned *n)
{
    struct job *j = job_run(e, claims);
    bool good = j && (j->result.kind == VALUE_ARRAY || j->result.kind == VALUE_ITEMS ||
                      j->result.kind == VALUE_TABLE);

    *n = 0;
    good = good && take_items(&j->result, &j->run.text, mem, out, room, n);
    if (!good)
        *n = 0;
    job_end(j);
    return good;
}
