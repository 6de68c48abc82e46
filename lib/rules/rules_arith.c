/* Arithmetic on values: which kinds go together. */
#include "rules_internal.h"

static bool is_number(const struct rules_value *v)
{
    return v->kind == VALUE_NUMBER || v->kind == VALUE_FORM;
}

static bool is_time(const struct rules_value *v)
{
    return v->kind == VALUE_TIME || v->kind == VALUE_DURATION;
}

static struct rules_value join(struct span s, struct span u, struct rules_text *t)
{
    char *p = u.n > SIZE_MAX - s.n ? NULL : rules_text_take(t, s.n + u.n);

    if (!p)
        return VALUE_OF(VALUE_UNKNOWN);
    if (s.n)
        memcpy(p, s.p, s.n);
    if (u.n)
        memcpy(p + s.n, u.p, u.n);
    return (struct rules_value){.kind = VALUE_STRING, .text = span_of(p, s.n + u.n)};
}

struct rules_value rules_value_arith(enum rules_arith op, const struct rules_value *a,
                                     const struct rules_value *b, struct rules_text *t)
{
    struct span s, u;

    /* Two form values that are written as numbers: a sum, or one text after the other? */
    if (op == ARITH_ADD && a->kind == VALUE_FORM && b->kind == VALUE_FORM)
        return VALUE_OF(VALUE_UNKNOWN);
    if (is_number(a) && is_number(b))
        return rules_decimal(op, a->text, b->text, t);
    if (op == ARITH_ADD && rules_value_text(a, &s) && rules_value_text(b, &u))
        return join(s, u, t);
    if (is_time(a) && is_time(b))
        return rules_time_arith(op, a, b);
    return VALUE_OF(VALUE_UNKNOWN);
}

struct rules_value rules_value_negate(const struct rules_value *a, struct rules_text *t)
{
    return is_number(a) ? rules_decimal_negate(a->text, t) : VALUE_OF(VALUE_UNKNOWN);
}
