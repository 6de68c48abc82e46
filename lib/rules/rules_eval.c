/* Running a program: a loop over its instructions, each a bounded step on a bounded stack. */
#include "rules_internal.h"

static struct rules_value text_value(struct span s)
{
    return (struct rules_value){.kind = VALUE_STRING, .text = s};
}

/* A caller that showed no identity has no id and no issuer: not there, rather than "". */
static struct rules_value text_or_missing(struct span s)
{
    return s.n ? text_value(s) : VALUE_OF(VALUE_MISSING);
}

static struct rules_value header(const struct http_head *h, struct span name)
{
    const struct http_field *found = NULL;

    for (unsigned i = 0; i < h->nfields; i++) {
        /* A field of this connection alone is not sent on: what it says decides nothing. */
        if (h->fields[i].hop || !span_ieq(h->fields[i].name, name))
            continue;
        if (found)
            return VALUE_OF(VALUE_UNKNOWN);
        found = &h->fields[i];
    }
    return found ? text_value(found->value) : VALUE_OF(VALUE_MISSING);
}

static struct rules_value param(const struct rules_params *p, struct span name)
{
    for (unsigned i = 0; p && i < p->n; i++)
        if (span_eq(p->p[i].name, name))
            return text_value(p->p[i].value);
    return VALUE_OF(VALUE_MISSING);
}

static struct rules_value address(const struct rules_caller *c, struct rules_text *t)
{
    char *p = rules_text_take(t, NET_ADDR_TEXT);

    return p ? text_value(span_cstr(net_addr_text(&c->address, p))) : VALUE_OF(VALUE_UNKNOWN);
}

static struct rules_value groups(const struct rules_caller *c)
{
    struct rules_value v = {.kind = VALUE_SPANS, .n = c->ngroups};

    v.spans = c->groups;
    return v;
}

static struct rules_value reference(struct rules_run *r, enum rules_ref ref, struct span name)
{
    const struct rules_call *c = r->call;

    switch (ref) {
    case REF_HEADER:
        return header(c->head, name);
    case REF_PARAM:
        return param(c->params, name);
    case REF_CALLER_ID:
        return text_or_missing(c->caller->id);
    case REF_CALLER_ISSUER:
        return text_or_missing(c->caller->issuer);
    case REF_CALLER_METHOD:
        return text_or_missing(c->caller->method);
    case REF_CALLER_ADDRESS:
        return address(c->caller, &r->text);
    case REF_CALLER_GROUPS:
        return groups(c->caller);
    case REF_CONNECTION:
        return text_value(c->function->connection->name);
    case REF_FUNCTION:
        return text_value(c->function->name);
    case REF_REQUEST_METHOD:
        return text_value(c->head->method);
    case REF_REQUEST_PATH:
        return text_value(c->head->path);
    case REF_REQUEST_SIZE:
        return rules_value_u64(c->body_size, &r->text);
    case REF_NOW:
        return (struct rules_value){.kind = VALUE_TIME, .ns = c->now_ns};
    case REF_DOC:
        break;
    }
    return VALUE_OF(VALUE_UNKNOWN);
}

static bool settled(const struct rules_value *v, bool as)
{
    return v->kind == VALUE_BOOL && v->boolean == as;
}

/* CEL's logic for errors, which unknown follows: one operand that settles the matter is enough
 * (`false` for &&, `true` for ||), on whichever side it stands. */
static enum rules_truth logic(const struct rules_value *a, const struct rules_value *b, bool by)
{
    if (settled(a, by) || settled(b, by))
        return truth_of(by);
    if (settled(a, !by) && settled(b, !by))
        return truth_of(!by);
    return TRUTH_UNKNOWN;
}

static enum rules_truth text_test(enum rules_op op, const struct rules_value *a,
                                  const struct rules_value *b)
{
    struct span s, t;

    if (!rules_value_text(a, &s) || !rules_value_text(b, &t))
        return TRUTH_UNKNOWN;
    if (op == OP_STARTS)
        return truth_of(span_starts(s, t));
    if (op == OP_ENDS)
        return truth_of(span_ends(s, t));
    return truth_of(t.n == 0 || (s.n >= t.n && memmem(s.p, s.n, t.p, t.n)));
}

static enum rules_truth has(const struct rules_value *v)
{
    return v->kind == VALUE_UNKNOWN ? TRUTH_UNKNOWN : truth_of(v->kind != VALUE_MISSING);
}

static enum rules_truth not(const struct rules_value *v) {
    return v->kind == VALUE_BOOL ? truth_of(!v->boolean) : TRUTH_UNKNOWN;
}

static enum rules_truth test(const struct rules_instr *i, const struct rules_value *a,
                             const struct rules_value *b, struct rules_text *t)
{
    switch ((enum rules_op)i->op) {
    case OP_AND:
    case OP_OR:
        return logic(a, b, i->op == OP_OR);
    case OP_CMP:
        return rules_value_cmp((enum rules_cmp)i->x, a, b);
    case OP_IN:
        return rules_value_in(a, b, t);
    default:
        return text_test((enum rules_op)i->op, a, b);
    }
}

/* Writes no more than a condition's answer needs: this is most of what a program does. */
static void put_truth(struct rules_value *v, enum rules_truth t)
{
    v->kind = t == TRUTH_UNKNOWN ? VALUE_UNKNOWN : VALUE_BOOL;
    v->boolean = t == TRUTH_YES;
    v->literal = false;
}

struct rules_value rules_eval(const struct rules_expr *e, struct rules_run *r)
{
    struct rules_value *end = r->stack; /* past the last value; the emitter has bounded it */

    r->text.used = 0;
    for (unsigned pc = 0; pc < e->ncode; pc++) {
        const struct rules_instr *i = &e->code[pc];

        switch ((enum rules_op)i->op) {
        case OP_CONST:
            *end++ = e->constants[i->arg];
            break;
        case OP_REF:
            *end++ = reference(r, (enum rules_ref)i->x, e->constants[i->arg].text);
            break;
        case OP_DOC:
            rules_value_read(&r->doc[i->x].v[r->slots[i->x][i->arg]], r->form[i->x], end++);
            break;
        case OP_JUMP_FALSE:
        case OP_JUMP_TRUE:
            if (settled(&end[-1], i->op == OP_JUMP_TRUE))
                pc = i->arg - 1u;
            break;
        case OP_WINDOW:
            *end++ = r->window ? r->window[i->arg] : VALUE_OF(VALUE_UNKNOWN);
            break;
        case OP_HAS:
            put_truth(&end[-1], has(&end[-1]));
            break;
        case OP_NOT:
            put_truth(&end[-1], not(&end[-1]));
            break;
        case OP_SIZE:
            end[-1] = rules_value_size(&end[-1], &r->text);
            break;
        case OP_ADD:
            end[-2] = rules_value_add(&end[-2], &end[-1], &r->text);
            end--;
            break;
        default:
            put_truth(&end[-2], test(i, &end[-2], &end[-1], &r->text));
            end--;
            break;
        }
    }
    return end[-1];
}
