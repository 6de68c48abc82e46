/* all(), exists() and exists_one(): a part of a program run once for each element of a list. What
 * loops may cost together is counted over a decision; beyond it they are unknown. An element's
 * fields are read by the body library, as strictly as the body itself, when they are first asked
 * for. */
#include "rules_internal.h"

#include <stdlib.h>

/* ------------------------------------------------------------------- room */

static bool frame_adopt(struct rules_frame *f, const struct rules_needs *needs)
{
    size_t room = RULES_ELEMENT_ROOM + needs->state + 64;
    struct body_value *v;
    char *text;

    if (f->values <= needs->values) {
        v = realloc(f->doc.v, (needs->values + 1) * sizeof(*v));
        if (!v)
            return false;
        f->doc.v = v;
        f->values = needs->values + 1;
    }
    if (f->room < room) {
        text = realloc(f->text, room);
        if (!text)
            return false;
        f->text = text;
        f->room = room;
    }
    return true;
}

bool rules_run_adopt(struct rules_run *r, const struct rules_needs *needs)
{
    for (unsigned i = 0; i < needs->loops; i++)
        if (!frame_adopt(&r->frame[i], needs))
            return false;
    for (unsigned i = 0; i < needs->npatterns; i++)
        if (!match_tester_adopt(&r->tester, needs->patterns[i]))
            return false;
    return true;
}

void rules_run_free(struct rules_run *r)
{
    for (unsigned i = 0; i < RULES_LOOPS_MAX; i++) {
        free(r->frame[i].doc.v);
        free(r->frame[i].text);
    }
    match_tester_free(r->tester);
}

/* --------------------------------------------------------------- elements */

/* A list being gone through. */
struct walk {
    const struct rules_value *list;
    struct span rest; /* of a JSON array */
    unsigned i;
};

/* False at the end. */
static bool next(struct walk *w, struct rules_run *r, struct rules_value *out)
{
    size_t before = w->rest.n;
    bool more;

    if (w->list->kind != VALUE_ARRAY) {
        if (w->i == w->list->n)
            return false;
        *out = rules_value_at(w->list, w->i++);
        return true;
    }
    more = rules_json_next(&w->rest, &r->text, out);
    r->loop_bytes += before - w->rest.n;
    return more;
}

static void read_element(struct rules_run *r, struct rules_frame *f)
{
    const struct rules_value *v = &f->element;

    f->read = true;
    f->doc.count = body_paths_count(f->loop->paths);
    if (v->kind == VALUE_OBJECT || v->kind == VALUE_ARRAY) {
        r->loop_bytes += v->text.n;
        body_read(f->loop->paths, BODY_JSON, v->text, span_of(f->text, f->room), &f->doc);
        return;
    }
    /* Nothing lies under a scalar. */
    for (unsigned i = 0; i < f->doc.count; i++)
        f->doc.v[i] =
            (struct body_value){.kind = v->kind == VALUE_UNKNOWN ? BODY_UNREADABLE : BODY_MISSING};
}

struct rules_value rules_loop_variable(struct rules_run *r, unsigned level, unsigned slot)
{
    struct rules_frame *f = &r->frame[level];
    bool container = f->element.kind == VALUE_OBJECT || f->element.kind == VALUE_ARRAY;
    struct rules_value v;
    int at;

    if (slot == RULES_WHOLE && (!container || f->loop->whole < 0))
        return f->element;
    at = slot == RULES_WHOLE ? f->loop->whole : f->loop->slot[slot];
    if (!f->read)
        read_element(r, f);
    rules_value_read(&f->doc.v[at], false, &v);
    return v;
}

/* ------------------------------------------------------------------- loops */

static bool iterable(const struct rules_value *v)
{
    return v->kind == VALUE_ITEMS || v->kind == VALUE_SPANS || v->kind == VALUE_TABLE ||
           (v->kind == VALUE_ARRAY && v->text.n);
}

static bool affordable(struct rules_run *r, const struct rules_loop *loop)
{
    r->loop_steps += 1u + loop->end - loop->start;
    return r->loop_steps <= RULES_LOOP_STEPS && r->loop_bytes <= RULES_LOOP_BYTES;
}

struct tally {
    size_t yes, no, open;
};

static void count(struct tally *t, const struct rules_value *v)
{
    t->open += v->kind != VALUE_BOOL;
    t->yes += v->kind == VALUE_BOOL && v->boolean;
    t->no += v->kind == VALUE_BOOL && !v->boolean;
}

static bool is_settled(enum rules_loop_kind kind, const struct tally *t)
{
    return (kind == LOOP_ALL && t->no) || (kind == LOOP_EXISTS && t->yes);
}

/* all() is && over the elements, exists() is ||; exists_one() absorbs nothing. */
static enum rules_truth verdict(enum rules_loop_kind kind, const struct tally *t)
{
    if (is_settled(kind, t))
        return truth_of(kind == LOOP_EXISTS);
    if (t->open)
        return TRUTH_UNKNOWN;
    return truth_of(kind == LOOP_ALL || (kind == LOOP_EXISTS_ONE && t->yes == 1));
}

enum rules_truth rules_loop_run(const struct rules_expr *e, struct rules_run *r,
                                const struct rules_loop *loop, struct rules_value *end)
{
    struct rules_frame *f = &r->frame[loop->level];
    struct walk w = {.list = &end[-1], .rest = end[-1].text};
    size_t used = r->text.used;
    struct tally t = {0};
    struct rules_value v;

    if (!iterable(w.list) || !f->text)
        return TRUTH_UNKNOWN;
    f->loop = loop;
    while (!is_settled(loop->kind, &t) && next(&w, r, &f->element)) {
        if (!affordable(r, loop))
            return TRUTH_UNKNOWN;
        f->read = false;
        v = rules_eval_element(e, r, loop, end);
        count(&t, &v);
        r->text.used = used;
    }
    return r->loop_bytes > RULES_LOOP_BYTES ? TRUTH_UNKNOWN : verdict(loop->kind, &t);
}
