/* One reading: what all kinds of documents have in common. */
#include "body_internal.h"

bool body_fail(struct body_reader *r, enum body_problem why, const char *at)
{
    if (!r->problem) {
        r->problem = why;
        r->problem_at = at;
    }
    return false;
}

static void set_all(struct body_values *out, enum body_kind kind)
{
    for (unsigned i = 0; i < out->count; i++)
        out->v[i] = (struct body_value){.kind = kind};
}

void body_unreadable(enum body_problem why, struct body_values *out)
{
    out->problem = why;
    out->problem_at = 0;
    set_all(out, BODY_UNREADABLE);
}

/* Doubt about a place is doubt about all that lies below it. Parents come before children. */
static void settle_doubts(struct body_reader *r)
{
    for (const struct body_node *n = r->paths->root; n; n = n->next) {
        struct body_state *st = body_state(r, n);
        struct body_value *v = body_value_at(r, n);
        bool there = st->flags & (BODY_SEEN | BODY_INNER);

        if (((st->flags & BODY_VARIANT) && there) ||
            (n->parent && (body_state(r, n->parent)->flags & BODY_AGAIN)))
            st->flags |= BODY_AGAIN;
        if (v && (st->flags & BODY_AGAIN))
            *v = (struct body_value){.kind = BODY_UNREADABLE, .duplicate = true};
    }
}

static bool read_document(struct body_reader *r, enum body_type type)
{
    switch (type) {
    case BODY_JSON:
        return r->body.n ? body_read_json(r) : body_fail(r, BODY_PROBLEM_EMPTY, r->body.p);
    case BODY_FORM:
        return body_read_form(r);
    case BODY_MULTIPART:
        return body_read_multipart(r);
    case BODY_NONE:
        return r->body.n == 0 || body_fail(r, BODY_PROBLEM_TYPE, r->body.p);
    default:
        return body_fail(r, BODY_PROBLEM_TYPE, r->body.p);
    }
}

void body_read(const struct body_paths *p, enum body_type type, struct span body,
               struct span scratch, struct body_values *out)
{
    struct body_state state[BODY_NODES_MAX]; /* only the first p->nodes are ever touched */
    struct body_reader r = {.paths = p, .state = state, .out = out, .body = body};

    memset(state, 0, p->nodes * sizeof(state[0]));
    r.scratch = (char *)(uintptr_t)scratch.p; /* a span is read-only by habit, scratch is not */
    r.scratch_end = scratch.n ? r.scratch + scratch.n : r.scratch;
    out->problem = BODY_PROBLEM_NONE;
    out->problem_at = 0;
    set_all(out, BODY_MISSING);
    if (!read_document(&r, type)) {
        body_unreadable(r.problem, out);
        out->problem_at = (size_t)(r.problem_at - body.p);
    } else if (r.doubt) {
        settle_doubts(&r);
    }
}
