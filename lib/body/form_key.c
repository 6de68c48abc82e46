/* Keys of forms: `a[b][][0]` into steps. What is no such key is read by each server in its own way:
 * the step is ODD then, and the place it was reached at is in doubt. */
#include "body_internal.h"

#define INDEX_DIGITS 9

static struct body_step named(struct span name)
{
    struct body_step st = {.kind = BODY_STEP_NAME, .name = name};
    uint64_t v;

    if (name.n <= INDEX_DIGITS && span_u64(name, &v) && (name.n == 1 || name.p[0] != '0')) {
        st.kind = BODY_STEP_INDEX;
        st.index = (uint32_t)v;
    }
    return st;
}

static bool is_bracket(char c)
{
    return c == '[' || c == ']';
}

/* The name before the brackets. Some readers leave out brackets that come before it: so the name is
 * in doubt, and not what stands in them. */
struct body_step body_first_step(struct span *key)
{
    struct body_step st;
    bool odd = false;
    size_t n = 0;

    while (key->n && is_bracket(key->p[0])) {
        *key = span_from(*key, 1);
        odd = true;
    }
    while (n < key->n && !is_bracket(key->p[n]))
        n++;
    st = (struct body_step){.kind = BODY_STEP_NAME, .name = span_of(key->p, n)};
    *key = span_from(*key, n);
    if (odd)
        st.kind = BODY_STEP_ODD;
    return st;
}

/* `[name]`, `[0]` or `[]`. */
struct body_step body_next_step(struct span *rest)
{
    struct body_step st = {.kind = BODY_STEP_ODD};
    struct span inside = *rest, before;

    if (rest->n == 0)
        return (struct body_step){.kind = BODY_STEP_END};
    if (rest->p[0] != '[')
        return st;
    inside = span_from(inside, 1);
    before = span_cut(&inside, ']');
    if (!inside.p || (before.n && memchr(before.p, '[', before.n)))
        return st;
    *rest = inside;
    if (before.n == 0)
        return (struct body_step){.kind = BODY_STEP_EMPTY};
    return named(before);
}
