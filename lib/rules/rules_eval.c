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

    if (!c)
        return VALUE_OF(VALUE_UNKNOWN);
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
        return (struct rules_value){.kind = VALUE_TIME,
                                    .n = (unsigned)(c->now_ns % RULES_SECOND),
                                    .seconds = (int64_t)(c->now_ns / RULES_SECOND)};
    case REF_DOC:
    case REF_VAR:
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
                             const struct rules_value *b)
{
    switch ((enum rules_op)i->op) {
    case OP_CMP:
        return rules_value_cmp((enum rules_cmp)i->x, a, b);
    default:
        return text_test((enum rules_op)i->op, a, b);
    }
}

/* An array of the call is gone through as loops go through it, and out of the same budget. */
static enum rules_truth search(struct rules_run *r, const struct rules_value *a,
                               const struct rules_value *list)
{
    if (list->kind == VALUE_ARRAY)
        r->loop_bytes += list->text.n;
    return r->loop_bytes > RULES_LOOP_BYTES ? TRUTH_UNKNOWN : rules_value_in(a, list, &r->text);
}

/* Writes no more than a condition's answer needs: this is most of what a program does. */
static void put_truth(struct rules_value *v, enum rules_truth t)
{
    v->kind = t == TRUTH_UNKNOWN ? VALUE_UNKNOWN : VALUE_BOOL;
    v->boolean = t == TRUTH_YES;
    v->literal = false;
}

/* How often the detectors of a set found something. */
static struct rules_value found(struct rules_run *r, match_set detectors)
{
    const struct match_found *f = r->call ? r->call->found : NULL;
    uint64_t n = 0;

    if (!f)
        return VALUE_OF(VALUE_UNKNOWN);
    for (match_set left = detectors & f->which; left; left &= left - 1)
        n += match_found_count(f, (unsigned)__builtin_ctzll(left));
    return rules_value_u64(n, &r->text);
}

static enum rules_truth pattern(struct rules_run *r, const struct rules_value *v,
                                const struct match_regex *regex)
{
    enum match_answer answer;
    struct span s;

    if (!rules_value_text(v, &s) || !r->tester)
        return TRUTH_UNKNOWN;
    answer = match_regex_test(regex, r->tester, s);
    return answer == MATCH_UNSURE ? TRUTH_UNKNOWN : truth_of(answer == MATCH_YES);
}

static struct rules_value text_to_time(enum rules_op op, const struct rules_value *v)
{
    struct span s;

    if (!rules_value_text(v, &s))
        return VALUE_OF(VALUE_UNKNOWN);
    return op == OP_TIMESTAMP ? rules_time_of(s) : rules_duration_of(s);
}

/* What stands apart from the loop, which is hot, and takes the top of the stack or adds to it. */
static __attribute__((noinline)) struct rules_value *rare(const struct rules_expr *e,
                                                          struct rules_run *r,
                                                          const struct rules_instr *i,
                                                          struct rules_value *end)
{
    const struct rules_value *constant = &e->constants[i->arg];

    switch ((enum rules_op)i->op) {
    case OP_WINDOW:
        *end++ = r->window ? r->window[i->arg] : VALUE_OF(VALUE_UNKNOWN);
        break;
    case OP_VAR:
        *end = rules_loop_variable(r, i->x, i->arg);
        end++;
        break;
    case OP_FOUND:
        *end++ = found(r, constant->detectors);
        break;
    case OP_ARITH:
        r->loop_steps += (end[-2].text.n + end[-1].text.n) / RULES_STEP_DIGITS;
        end[-2] = rules_value_arith((enum rules_arith)i->x, &end[-2], &end[-1], &r->text);
        end--;
        break;
    case OP_NEGATE:
        end[-1] = rules_value_negate(&end[-1], &r->text);
        break;
    case OP_SIZE:
        end[-1] = rules_value_size(&end[-1], &r->text);
        break;
    case OP_AT:
        end[-1] = rules_value_at(&end[-1], i->arg);
        break;
    case OP_LOOP:
        put_truth(&end[-1], rules_loop_run(e, r, &e->loops[i->arg], end));
        break;
    case OP_MATCHES:
        put_truth(&end[-1], pattern(r, &end[-1], constant->regex));
        break;
    case OP_GET:
        end[-1] = rules_time_get((enum rules_get)i->x, &end[-1], constant->zone, &r->text);
        break;
    default:
        end[-1] = text_to_time((enum rules_op)i->op, &end[-1]);
        break;
    }
    return end;
}

/* Where a choice goes on; the condition, on top, is taken, or becomes the result if it is unknown.
 */
static unsigned choose(const struct rules_expr *e, const struct rules_instr *i,
                       struct rules_value **end, unsigned pc)
{
    struct rules_value *top = &(*end)[-1];

    if (top->kind != VALUE_BOOL) {
        *top = VALUE_OF(VALUE_UNKNOWN);
        return e->code[i->arg - 1].arg;
    }
    --*end;
    return top->boolean ? pc + 1 : i->arg;
}

/* Digits alone, so few that they fit. */
static inline bool small_number(struct span s, int64_t *out)
{
    int64_t v = 0;

    if (s.n == 0 || s.n > 18)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

        if (d > 9)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

static inline bool ordered(enum rules_cmp op, int64_t a, int64_t b)
{
    switch (op) {
    case CMP_EQ:
        return a == b;
    case CMP_NE:
        return a != b;
    case CMP_LT:
        return a < b;
    case CMP_LE:
        return a <= b;
    case CMP_GT:
        return a > b;
    case CMP_GE:
        return a >= b;
    }
    return false;
}

/* A value of a document beside a constant. Small whole numbers, and whether two strings are the
 * same, are settled here; all else as everywhere. */
static inline enum rules_truth doc_cmp(enum rules_cmp op, const struct body_value *v, bool form,
                                       const struct rules_value *constant)
{
    struct rules_value read;
    int64_t n;

    if (v->kind == BODY_NUMBER && constant->kind == VALUE_NUMBER && constant->boolean &&
        small_number(v->text, &n))
        return truth_of(ordered(op, n, constant->seconds));
    if (v->kind == BODY_STRING && constant->kind == VALUE_STRING && op <= CMP_NE)
        return truth_of(span_eq(v->text, constant->text) == (op == CMP_EQ));
    rules_value_read(v, form, &read);
    return rules_value_cmp(op, &read, constant);
}

static inline void both(struct rules_value *a, const struct rules_value *b, bool by)
{
    if (a->kind == VALUE_BOOL && b->kind == VALUE_BOOL)
        a->boolean = by ? a->boolean || b->boolean : a->boolean && b->boolean;
    else
        put_truth(a, logic(a, b, by));
}

static void show(struct rules_trace *t, unsigned pc, const struct rules_value *v)
{
    struct outbuf o = outbuf_on(t->at[pc].text, sizeof(t->at[pc].text));

    rules_value_show(v, &o);
    t->at[pc].n = (uint8_t)o.n;
}

static inline bool pushes(enum rules_op op)
{
    return op == OP_CONST || op == OP_REF || op == OP_DOC || op == OP_VAR;
}

/* `element`: runs for one element of a list; what it takes in is counted. `traced`: what each
 * instruction gives is noted. Both are known where this is expanded. */
static inline __attribute__((always_inline)) struct rules_value
execute(const struct rules_expr *e, struct rules_run *r, unsigned pc, unsigned stop,
        struct rules_value *end, const bool element, const bool traced)
{
    while (pc < stop) {
        const struct rules_instr *i = &e->code[pc];
        unsigned next = pc + 1;

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
        case OP_DOC_CMP: {
            const struct body_value *v = &r->doc[i->x & 3].v[r->slots[i->x & 3][i->arg]];
            bool form = r->form[i->x & 3];

            if (element)
                r->loop_bytes += v->text.n;
            if (traced) {
                rules_value_read(v, form, end);
                show(r->trace, pc, end);
            }
            put_truth(end++,
                      doc_cmp((enum rules_cmp)(i->x >> 2), v, form, &e->constants[i[1].arg]));
            pc++;
            next++;
            break;
        }
        case OP_AND:
        case OP_OR:
            both(&end[-2], &end[-1], i->op == OP_OR);
            end--;
            break;
        case OP_JUMP_FALSE:
        case OP_JUMP_TRUE:
            if (settled(&end[-1], i->op == OP_JUMP_TRUE))
                next = i->arg;
            break;
        case OP_CHOOSE:
            next = choose(e, i, &end, pc);
            break;
        case OP_SKIP:
            next = i->arg;
            break;
        case OP_JOIN:
            break;
        case OP_HAS:
            put_truth(&end[-1], has(&end[-1]));
            break;
        case OP_NOT:
            put_truth(&end[-1], not(&end[-1]));
            break;
        case OP_CMP:
        case OP_STARTS:
        case OP_ENDS:
        case OP_CONTAINS:
            put_truth(&end[-2], test(i, &end[-2], &end[-1]));
            end--;
            break;
        case OP_IN:
            put_truth(&end[-2], search(r, &end[-2], &end[-1]));
            end--;
            break;
        default:
            end = rare(e, r, i, end);
            if (i->op == OP_LOOP)
                next = e->loops[i->arg].end;
            break;
        }
        if (element && pushes((enum rules_op)i->op))
            r->loop_bytes += end[-1].text.n;
        /* A jump over && or || gives what that would have given. A choice has no value yet. */
        if (traced && i->op != OP_CHOOSE && i->op != OP_SKIP)
            show(r->trace, pc, &end[-1]);
        if (traced && next != pc + 1 && (i->op == OP_JUMP_FALSE || i->op == OP_JUMP_TRUE))
            show(r->trace, next - 1, &end[-1]);
        pc = next;
    }
    return end[-1];
}

struct rules_value rules_eval(const struct rules_expr *e, struct rules_run *r)
{
    r->text.used = 0;
    return execute(e, r, 0, e->ncode, r->stack, false, false);
}

enum rules_truth rules_eval_conjunct(const struct rules_expr *e, struct rules_run *r,
                                     const struct rules_conjunct *c)
{
    struct rules_value v;

    r->text.used = 0;
    v = execute(e, r, c->start, c->stop, r->stack, false, false);
    return v.kind == VALUE_BOOL ? truth_of(v.boolean) : TRUTH_UNKNOWN;
}

struct rules_value rules_eval_traced(const struct rules_expr *e, struct rules_run *r)
{
    r->text.used = 0;
    return execute(e, r, 0, e->ncode, r->stack, false, true);
}

struct rules_value rules_eval_element(const struct rules_expr *e, struct rules_run *r,
                                      const struct rules_loop *loop, struct rules_value *end)
{
    if (r->trace)
        return execute(e, r, loop->start, loop->end, end, true, true);
    return execute(e, r, loop->start, loop->end, end, true, false);
}
