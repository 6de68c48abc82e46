/* Values: comparing, joining, measuring. Whatever does not fit together gives UNKNOWN. */
#include "rules_internal.h"

enum order {
    ORDER_UNKNOWN,
    ORDER_LESS,
    ORDER_SAME,
    ORDER_MORE,
    ORDER_OTHER /* not same, no order */
};

char *rules_text_take(struct rules_text *t, size_t n)
{
    char *p = t->p + t->used;

    if (n > t->room - t->used)
        return NULL;
    t->used += n;
    return p;
}

bool rules_value_text(const struct rules_value *v, struct span *out)
{
    *out = v->text;
    return v->kind == VALUE_STRING || v->kind == VALUE_FORM;
}

static bool value_number(const struct rules_value *v)
{
    return v->kind == VALUE_NUMBER || v->kind == VALUE_FORM;
}

static enum order order_of(int c)
{
    return c < 0 ? ORDER_LESS : c > 0 ? ORDER_MORE : ORDER_SAME;
}

/* Most amounts and limits are short whole numbers; digits alone need no decimal arithmetic. */
static enum order compare_numbers(struct span a, struct span b)
{
    uint64_t x, y;
    int c;

    if (span_u64(a, &x) && span_u64(b, &y))
        return order_of((x > y) - (x < y));
    return body_number_cmp(a, b, &c) ? order_of(c) : ORDER_UNKNOWN;
}

static bool readable(const struct rules_value *v)
{
    return v->kind != VALUE_UNKNOWN && v->kind != VALUE_MISSING;
}

/* A `null` that the rule writes tests any readable value. A null that the call brings equals
 * another null and is unknown beside everything else. */
static enum order compare_null(const struct rules_value *a, const struct rules_value *b)
{
    if (a->kind == b->kind)
        return ORDER_SAME;
    return a->literal || b->literal ? ORDER_OTHER : ORDER_UNKNOWN;
}

static enum order compare(const struct rules_value *a, const struct rules_value *b)
{
    struct span s, t;

    if (!readable(a) || !readable(b))
        return ORDER_UNKNOWN;
    if (a->kind == VALUE_NULL || b->kind == VALUE_NULL)
        return compare_null(a, b);
    /* Before strings: two form values that are both written as numbers compare as numbers. */
    if (value_number(a) && value_number(b))
        return compare_numbers(a->text, b->text);
    if (rules_value_text(a, &s) && rules_value_text(b, &t))
        return order_of(span_cmp(s, t));
    if (a->kind == VALUE_BOOL && b->kind == VALUE_BOOL)
        return order_of((int)a->boolean - (int)b->boolean);
    if ((a->kind == VALUE_TIME || a->kind == VALUE_DURATION) && a->kind == b->kind)
        return a->seconds != b->seconds ? order_of(a->seconds < b->seconds ? -1 : 1)
                                        : order_of((a->n > b->n) - (a->n < b->n));
    return ORDER_UNKNOWN;
}

enum rules_truth rules_value_cmp(enum rules_cmp op, const struct rules_value *a,
                                 const struct rules_value *b)
{
    enum order o = compare(a, b);

    if (o == ORDER_UNKNOWN || (o == ORDER_OTHER && op != CMP_EQ && op != CMP_NE))
        return TRUTH_UNKNOWN;
    switch (op) {
    case CMP_EQ:
        return truth_of(o == ORDER_SAME);
    case CMP_NE:
        return truth_of(o != ORDER_SAME);
    case CMP_LT:
        return truth_of(o == ORDER_LESS);
    case CMP_LE:
        return truth_of(o != ORDER_MORE);
    case CMP_GT:
        return truth_of(o == ORDER_MORE);
    case CMP_GE:
        return truth_of(o != ORDER_LESS);
    }
    return TRUTH_UNKNOWN;
}

/* What stands in a list so far: an element that is the same settles it, one that cannot be compared
 * leaves it open. */
struct search {
    bool found, open;
};

static void search_one(struct search *s, const struct rules_value *a, const struct rules_value *e)
{
    enum order o = compare(a, e);

    s->found = s->found || o == ORDER_SAME;
    s->open = s->open || o == ORDER_UNKNOWN;
}

static void search_array(struct search *s, const struct rules_value *a, struct span raw,
                         struct rules_text *t)
{
    size_t used = t->used;
    struct rules_value e;

    while (!s->found && rules_json_next(&raw, t, &e)) {
        search_one(s, a, &e);
        t->used = used;
    }
}

static enum rules_truth in_table(const struct rules_value *a, const struct rules_table *t)
{
    int64_t at = rules_table_find(t, a);

    return at == -2 ? TRUTH_UNKNOWN : truth_of(at >= 0);
}

enum rules_truth rules_value_in(const struct rules_value *a, const struct rules_value *list,
                                struct rules_text *t)
{
    struct search s = {false, false};
    struct rules_value e;

    if (!readable(a))
        return TRUTH_UNKNOWN;
    if (list->kind == VALUE_TABLE)
        return in_table(a, list->table);
    if (list->kind == VALUE_ITEMS) {
        for (unsigned i = 0; i < list->n && !s.found; i++)
            search_one(&s, a, &list->items[i]);
    } else if (list->kind == VALUE_SPANS) {
        for (unsigned i = 0; i < list->n && !s.found; i++) {
            e = (struct rules_value){.kind = VALUE_STRING, .text = list->spans[i]};
            search_one(&s, a, &e);
        }
    } else if (list->kind == VALUE_ARRAY && list->text.n) {
        search_array(&s, a, list->text, t);
    } else {
        s.open = true;
    }
    return !s.found && s.open ? TRUTH_UNKNOWN : truth_of(s.found);
}

struct rules_value rules_value_u64(uint64_t v, struct rules_text *t)
{
    struct outbuf o = outbuf_on(rules_text_take(t, 20), 20);

    if (!o.p)
        return VALUE_OF(VALUE_UNKNOWN);
    outbuf_u64(&o, v);
    return (struct rules_value){.kind = VALUE_NUMBER, .text = outbuf_span(&o)};
}

/* Code points, as CEL counts: bytes that do not continue a character. */
static uint64_t characters(struct span s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

struct rules_value rules_value_size(const struct rules_value *a, struct rules_text *t)
{
    struct span s;

    if (rules_value_text(a, &s))
        return rules_value_u64(characters(s), t);
    if (a->kind == VALUE_ITEMS || a->kind == VALUE_SPANS || a->kind == VALUE_TABLE ||
        a->kind == VALUE_ARRAY || a->kind == VALUE_OBJECT)
        return rules_value_u64(a->n, t);
    return VALUE_OF(VALUE_UNKNOWN);
}

struct rules_value rules_value_at(const struct rules_value *list, unsigned i)
{
    if (i >= list->n)
        return VALUE_OF(VALUE_UNKNOWN);
    switch (list->kind) {
    case VALUE_SPANS:
        return (struct rules_value){.kind = VALUE_STRING, .text = list->spans[i]};
    case VALUE_ITEMS:
        return list->items[i];
    case VALUE_TABLE:
        return rules_table_items(list->table)[i];
    default:
        return VALUE_OF(VALUE_UNKNOWN);
    }
}

/* By body_kind. A number in a form is text that is written as a number. */
static const enum rules_value_kind kinds[] = {
    [BODY_MISSING] = VALUE_MISSING, [BODY_UNREADABLE] = VALUE_UNKNOWN, [BODY_NULL] = VALUE_NULL,
    [BODY_BOOL] = VALUE_BOOL,       [BODY_NUMBER] = VALUE_NUMBER,      [BODY_STRING] = VALUE_STRING,
    [BODY_OBJECT] = VALUE_OBJECT,   [BODY_ARRAY] = VALUE_ARRAY,
};

void rules_value_read(const struct body_value *v, bool form, struct rules_value *out)
{
    out->kind = form && v->kind == BODY_NUMBER ? VALUE_FORM : kinds[v->kind];
    out->boolean = v->boolean;
    out->literal = false;
    out->n = v->length;
    out->text = v->text;
    if (v->kind == BODY_ARRAY) /* a form's elements stand apart from each other */
        out->text = form ? SPAN_NONE : v->raw;
}
