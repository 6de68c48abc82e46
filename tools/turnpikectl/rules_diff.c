/* Which recorded calls would be decided otherwise under other rules. Both sets judge the same call,
 * as far as its record tells. Where that is not enough (claims, header fields and what was masked
 * are not in it) a condition that both sets have is taken for what it was at the time, if the call
 * was decided under OLD; else what is not known counts against the call, as it always does. */
#include "ctl.h"
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXAMPLES = 3, PROGRESS_EVERY = 20000 };

/* Calls of one function whose decision changes in one way. */
struct change {
    struct span function;
    enum rules_decision was, is;
    uint64_t was_rule, is_rule, count;
    char example[EXAMPLES][64];
};

/* What one set says of one call, rule by rule. */
struct opinion {
    const struct rules_rule *rule;
    uint64_t text; /* hash of the condition */
    bool yes, unknown;
};

struct view {
    struct opinion *at;
    size_t n, room;
    const struct rules_function *function;
    enum rules_decision decision;
    uint64_t rule; /* the reason; 0: none */
};

struct diff {
    const struct ctl *c;
    struct judge *old, *fresh;
    struct view was, is;
    struct arena mem;
    struct change *at;
    size_t n, room;
    uint64_t calls, same, changed, stricter, cut, otherwise;
};

/* ------------------------------------------------------------------------ judging */

static void on_part(void *ctx, const struct rules_rule *rule, unsigned depth, struct span text,
                    struct span value)
{
    bool yes = span_eq(value, SPAN_LIT("true")), no = span_eq(value, SPAN_LIT("false"));
    struct view *v = ctx;
    struct opinion *more;

    if (depth)
        return;
    if (v->n == v->room) {
        v->room = v->room ? v->room * 2 : 64;
        more = realloc(v->at, v->room * sizeof(*more));
        if (!more) {
            fputs("turnpikectl: out of memory\n", stderr);
            exit(CTL_FAILED);
        }
        v->at = more;
    }
    v->at[v->n++] = (struct opinion){rule, span_hash(text), yes, !yes && !no};
}

static void look(struct judge *j, const struct ctl_call *call, struct view *v)
{
    struct judged g;

    v->n = 0;
    judge_explain(j, call, &g, on_part, v);
    v->function = g.function;
}

/* "1200 hold (unknown)" */
static bool names_rule(struct span text, uint64_t id)
{
    uint64_t n;

    return span_u64(span_cut(&text, ' '), &n) && n == id;
}

static bool matched_then(const struct audit_record *r, uint64_t id)
{
    struct audit_value v;
    size_t at = 0;

    while (audit_next_field(r, &at, &v))
        if ((v.field == AUDIT_F_MATCHED || v.field == AUDIT_F_REPORTED) && names_rule(v.text, id))
            return true;
    return false;
}

/* The call was decided by this very set, and all that matched is in the record. */
static bool decided_by(const struct audit_record *r, const struct rules_set *s)
{
    struct audit_value hash, more;

    return audit_get(r, AUDIT_F_RULES_HASH, &hash) && !audit_get(r, AUDIT_F_MATCHED_MORE, &more) &&
           span_eq(hash.text, span_of(rules_hash(s), RULES_HASH));
}

static bool has_condition(const struct view *v, const struct opinion *o)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->at[i].rule->id == o->rule->id && v->at[i].text == o->text)
            return true;
    return false;
}

/* Rules come strictest first: the first that counts decides. `known`: what OLD said at the time
 * stands in the record. */
static void settle(const struct diff *x, struct view *v, const struct audit_record *r, bool known)
{
    v->decision = RULES_BLOCK;
    v->rule = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct opinion *o = &v->at[i];
        const struct rules_rule *rule = o->rule;
        bool counts = o->yes || (o->unknown && rule->then != RULES_ALLOW);

        if (o->unknown && known && has_condition(&x->was, o))
            counts = matched_then(r, rule->id);
        if (!counts || rule->mode != RULES_ENFORCE ||
            (rule->then == RULES_ALLOW && rule->expires_ns && rule->expires_ns <= r->wall_ns))
            continue;
        v->decision = rule->then;
        v->rule = rule->id;
        return;
    }
}

/* ------------------------------------------------------------------------ counting */

static struct change *change_for(struct diff *x)
{
    const struct view *a = &x->was, *b = &x->is;
    struct span function = b->function   ? b->function->name
                           : a->function ? a->function->name
                                         : SPAN_LIT("(no function)");
    struct change *to;

    for (size_t i = 0; i < x->n; i++) {
        struct change *c = &x->at[i];

        if (c->was == a->decision && c->is == b->decision && c->was_rule == a->rule &&
            c->is_rule == b->rule && span_eq(c->function, function))
            return c;
    }
    if (x->n == x->room) {
        x->room = x->n ? x->n * 2 : 64;
        to = arena_array(&x->mem, struct change, x->room);
        if (x->n)
            memcpy(to, x->at, x->n * sizeof(*to));
        x->at = to;
    }
    x->at[x->n] = (struct change){.function = arena_span(&x->mem, function),
                                  .was = a->decision,
                                  .is = b->decision,
                                  .was_rule = a->rule,
                                  .is_rule = b->rule};
    return &x->at[x->n++];
}

static void note(struct diff *x, const struct audit_record *r)
{
    struct change *c = change_for(x);
    struct audit_value id;

    if (c->count < EXAMPLES && audit_get(r, AUDIT_F_CALL, &id))
        snprintf(c->example[c->count], sizeof(c->example[0]), "%.*s", SPAN_ARG(id.text));
    c->count++;
    x->changed++;
    x->stricter += x->is.decision > x->was.decision;
}

static void one(struct diff *x, const struct audit_record *r)
{
    struct ctl_call call;
    struct audit_value said;
    bool known = decided_by(r, judge_set(x->old));

    if (ctl_call_from_record(&call, r)) {
        look(x->old, &call, &x->was);
        look(x->fresh, &call, &x->is);
        settle(x, &x->was, r, known);
        settle(x, &x->is, r, known);
        x->calls++;
        x->cut += call.cut;
        x->otherwise += audit_get(r, AUDIT_F_DECISION, &said) &&
                        !span_eq(said.text, span_cstr(rules_decision_name(x->was.decision)));
        if (x->was.decision != x->is.decision)
            note(x, r);
        else
            x->same++;
    }
    ctl_call_free(&call);
}

static bool read_store(struct diff *x, uint64_t since, uint64_t until, struct diags *d)
{
    bool tell = !x->c->json && isatty(STDERR_FILENO);
    struct audit_store *s = audit_open(x->c->directory, d);
    struct audit_record r;
    uint64_t last;

    if (!s)
        return false;
    last = audit_last(s);
    for (uint64_t at = audit_first(s); audit_read_from(s, at, &r); at = r.seq + 1) {
        if (tell && r.seq % PROGRESS_EVERY == 0)
            fprintf(stderr, "\rrecord %lu of %lu", r.seq, last);
        if (r.kind == AUDIT_CALL_DECIDED && r.wall_ns >= since && (!until || r.wall_ns <= until))
            one(x, &r);
    }
    if (tell)
        fprintf(stderr, "\r%40s\r", "");
    audit_close(s);
    return true;
}

/* ----------------------------------------------------------------------- showing */

static int by_count(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    return (x->count < y->count) - (x->count > y->count);
}

static void print_side(enum rules_decision d, uint64_t rule)
{
    printf("%s (", rules_decision_name(d));
    if (rule)
        printf("rule %lu)", rule);
    else
        printf("no rule)");
}

static void print_change(const struct change *c, bool colour)
{
    printf("%s%10lu  %.*s: ",
           !colour          ? ""
           : c->is > c->was ? "\033[31m"
                            : "\033[32m",
           c->count, SPAN_ARG(c->function));
    print_side(c->was, c->was_rule);
    printf(" -> ");
    print_side(c->is, c->is_rule);
    puts(colour ? "\033[0m" : "");
    printf("            as in");
    for (unsigned i = 0; i < EXAMPLES && c->example[i][0]; i++)
        printf(" %s", c->example[i]);
    putchar('\n');
}

static void print_text(const struct diff *x)
{
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

    for (size_t i = 0; i < x->n; i++)
        print_change(&x->at[i], colour);
    printf(
        "%lu recorded calls: %lu decided as before, %lu otherwise (%lu more strictly, %lu less)\n",
        x->calls, x->same, x->changed, x->stricter, x->changed - x->stricter);
    if (x->cut)
        printf("%lu of them were recorded with a part of their body only: what rules ask of it is "
               "unknown\n",
               x->cut);
    if (x->otherwise)
        printf(
            "%lu were decided otherwise at the time than OLD decides now: under other rules, or by "
            "what is not in\ntheir records\n",
            x->otherwise);
}

static json_t *change_json(const struct change *c)
{
    json_t *examples = json_array();

    for (unsigned i = 0; i < EXAMPLES && c->example[i][0]; i++)
        json_array_append_new(examples, json_string(c->example[i]));
    return json_pack("{s:s%, s:s, s:I, s:s, s:I, s:I, s:o}", "function", c->function.p,
                     c->function.n, "was", rules_decision_name(c->was), "was_rule",
                     (json_int_t)c->was_rule, "is", rules_decision_name(c->is), "is_rule",
                     (json_int_t)c->is_rule, "calls", (json_int_t)c->count, "examples", examples);
}

static void print_json(const struct diff *x)
{
    json_t *changes = json_array(), *o;

    for (size_t i = 0; i < x->n; i++)
        json_array_append_new(changes, change_json(&x->at[i]));
    o = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "ok", x->changed == 0, "calls",
                  (json_int_t)x->calls, "same", (json_int_t)x->same, "changed",
                  (json_int_t)x->changed, "stricter", (json_int_t)x->stricter, "cut",
                  (json_int_t)x->cut, "decided_otherwise_then", (json_int_t)x->otherwise, "changes",
                  changes);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

int ctl_rules_diff(const struct ctl *c, const char *old, const char *fresh)
{
    struct diff x = {.c = c, .mem = ARENA_INIT};
    uint64_t since = 0, until = 0;
    struct diags d;
    int code = CTL_FILES;

    if ((c->since && !ctl_time(c->since, &since)) || (c->until && !ctl_time(c->until, &until)))
        return ctl_usage("a time looks like 2026-11-23T10:00:00Z or 7d");
    diags_init(&d);
    x.old = judge_open(old, &d);
    x.fresh = judge_open(fresh, &d);
    if (x.old && x.fresh && read_store(&x, since, until, &d)) {
        if (x.n)
            qsort(x.at, x.n, sizeof(*x.at), by_count);
        c->json ? print_json(&x) : print_text(&x);
        code = x.changed ? CTL_FAILED : CTL_OK;
    } else {
        ctl_diags(c, &d, false);
    }
    judge_close(x.old);
    judge_close(x.fresh);
    free(x.was.at);
    free(x.is.at);
    arena_free(&x.mem);
    diags_free(&d);
    return code;
}
