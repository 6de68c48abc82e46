/* A form has no order but that of its pairs: what a container is shows once all have come. */
#include "body_internal.h"

/* Kinds of keys that no two readers take in the same way. Lists by index must be whole: some
 * readers close the gaps, others keep them. */
static bool is_ambiguous(const struct body_state *st, const struct body_node *n)
{
    bool empty = st->flags & BODY_EMPTY, digit = st->flags & BODY_DIGIT,
         name = st->flags & BODY_NAME;

    if ((st->flags & BODY_SEEN) && (st->flags & BODY_INNER))
        return true;
    if (empty && (digit || name))
        return true;
    return n->elements > 0 && digit && !name && st->highest + 1 != st->members;
}

/* Beside names an index is only a name: `x[0]=1&x[y]=2` is no list. */
static bool is_element_of_object(struct body_reader *r, const struct body_node *n)
{
    unsigned both = BODY_DIGIT | BODY_NAME;

    return n->is_index && (body_state(r, n->parent)->flags & both) == both;
}

static void settle_container(struct body_reader *r, const struct body_node *n)
{
    const struct body_state *st = body_state(r, n);
    struct body_value *v = body_value_at(r, n);
    bool object = !n->parent || (st->flags & BODY_NAME);

    if (v)
        *v = (struct body_value){.kind = object ? BODY_OBJECT : BODY_ARRAY,
                                 .raw = n->parent ? SPAN_NONE : r->body,
                                 .length = st->members};
}

void body_settle_form(struct body_reader *r)
{
    body_state(r, r->paths->root)->flags |= BODY_INNER;
    for (const struct body_node *n = r->paths->root; n; n = n->next) {
        struct body_state *st = body_state(r, n);

        if (is_ambiguous(st, n) || is_element_of_object(r, n)) {
            st->flags |= BODY_AGAIN;
            r->doubt = true;
        } else if (st->flags & BODY_INNER) {
            settle_container(r, n);
        }
    }
}
