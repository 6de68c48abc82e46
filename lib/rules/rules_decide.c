/* The decision on one call: read once what the candidates look at, run their conditions, and let
 * the strictest that matches win. */
#include "rules_internal.h"

#include <stdlib.h>

/* Scratch for reading a document: its unescaped text and what is noted of its paths. Bodies grow
 * with the sets adopted; tokens and request lines are bounded elsewhere at 16 KiB. */
#define SMALL_ROOM ((size_t)32 << 10)

struct rules_scratch {
    struct body_values doc[DOC_COUNT];
    size_t values[DOC_COUNT]; /* room in doc[].v */
    char *text[DOC_COUNT];
    size_t room[DOC_COUNT]; /* of text[] */
    struct rules_run run;
    struct rules_windows windows;
    uint8_t *shared; /* answers of the plan's shared conjuncts: 0, or the truth and 1 */
    size_t nshared;
};

struct rules_scratch *rules_scratch_new(void)
{
    struct rules_scratch *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        x->room[d] = SMALL_ROOM;
        x->text[d] = malloc(x->room[d]);
    }
    x->run.text = (struct rules_text){malloc(RULES_TEXT_ROOM), 0, RULES_TEXT_ROOM};
    x->run.doc = x->doc;
    if (x->text[DOC_BODY] && x->text[DOC_CLAIMS] && x->text[DOC_QUERY] && x->run.text.p)
        return x;
    rules_scratch_free(x);
    return NULL;
}

void rules_scratch_free(struct rules_scratch *x)
{
    if (!x)
        return;
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        free(x->doc[d].v);
        free(x->text[d]);
    }
    free(x->run.text.p);
    free(x->shared);
    rules_run_free(&x->run);
    free(x);
}

static bool grow_values(struct rules_scratch *x, unsigned d, size_t n)
{
    struct body_value *v;

    if (n <= x->values[d])
        return true;
    v = realloc(x->doc[d].v, n * sizeof(*v));
    if (!v)
        return false;
    x->doc[d].v = v;
    x->values[d] = n;
    return true;
}

static bool grow_text(struct rules_scratch *x, unsigned d, size_t n)
{
    char *p;

    if (n <= x->room[d])
        return true;
    p = realloc(x->text[d], n);
    if (!p)
        return false;
    x->text[d] = p;
    x->room[d] = n;
    return true;
}

static bool grow_shared(struct rules_scratch *x, size_t n)
{
    uint8_t *p = n > x->nshared ? realloc(x->shared, n) : x->shared;

    if (n > x->nshared && !p)
        return false;
    x->shared = p;
    x->nshared = n > x->nshared ? n : x->nshared;
    return true;
}

bool rules_scratch_adopt(struct rules_scratch *x, const struct rules_set *s)
{
    if (!grow_shared(x, s->most_shared))
        return false;
    for (unsigned d = 0; d < DOC_COUNT; d++)
        if (!grow_values(x, d, s->most_paths[d]) ||
            !grow_text(x, d, (d == DOC_BODY ? s->most_body : SMALL_ROOM) + s->most_state[d] + 64))
            return false;
    return rules_run_adopt(&x->run, &s->needs);
}

const struct body_values *rules_scratch_read(struct rules_scratch *x, enum rules_doc d,
                                             const struct body_paths *paths, unsigned npaths,
                                             enum body_type type, struct span text)
{
    x->doc[d].count = npaths;
    body_read(paths, type, text, span_of(x->text[d], x->room[d]), &x->doc[d]);
    return &x->doc[d];
}

struct outbuf rules_scratch_room(struct rules_scratch *x, enum rules_doc d)
{
    return outbuf_on(x->text[d], x->room[d]);
}

void rules_scratch_windows(struct rules_scratch *x, struct window_table *t)
{
    x->windows.table = t;
    x->windows.random = (uintptr_t)x; /* not as another's */
}

static void read_document(struct rules_scratch *x, const struct rules_plan *p, enum rules_doc d,
                          enum body_type type, struct span text)
{
    x->run.form[d] = body_type_is_form(type);
    x->doc[d].count = p->npaths[d];
    if (p->npaths[d])
        rules_scratch_read(x, d, p->paths[d], p->npaths[d], type, text);
}

static void read_documents(struct rules_scratch *x, const struct rules_plan *p,
                           const struct rules_call *c)
{
    struct span claims = c->caller->claims;

    if (c->body_problem == BODY_PROBLEM_NONE) {
        read_document(x, p, DOC_BODY, c->body_type, c->body);
    } else {
        x->doc[DOC_BODY].count = p->npaths[DOC_BODY];
        body_unreadable(c->body_problem, &x->doc[DOC_BODY]);
    }
    read_document(x, p, DOC_CLAIMS, claims.n ? BODY_JSON : BODY_NONE, claims);
    read_document(x, p, DOC_QUERY, c->head->query.n ? BODY_FORM : BODY_NONE, c->head->query);
}

static void run_on(struct rules_scratch *x, const struct rules_candidate *c)
{
    for (unsigned d = 0; d < DOC_COUNT; d++)
        x->run.slots[d] = c->slots[d];
    x->run.window = c->window ? rules_windows_of(&x->windows, c) : NULL;
}

/* Many rules on a function ask the same beside what is their own: that is looked at once. */
static enum rules_truth conjunct(struct rules_scratch *x, const struct rules_candidate *c,
                                 unsigned i)
{
    uint8_t *kept = c->shared[i] == RULES_NOT_SHARED ? NULL : &x->shared[c->shared[i]];
    enum rules_truth t;

    if (kept && *kept)
        return (enum rules_truth)(*kept - 1);
    t = rules_eval_conjunct(c->when, &x->run, &c->when->conjuncts[i]);
    if (kept)
        *kept = (uint8_t)(t + 1);
    return t;
}

/* As && joins them: one that is false settles it, whatever else is unknown. */
static enum rules_truth condition(struct rules_scratch *x, const struct rules_candidate *c)
{
    enum rules_truth all = TRUTH_YES, t;

    run_on(x, c);
    for (unsigned i = 0; i < c->when->nconjuncts; i++) {
        t = conjunct(x, c, i);
        if (t == TRUTH_NO)
            return TRUTH_NO;
        all = t == TRUTH_UNKNOWN ? TRUTH_UNKNOWN : all;
    }
    return all;
}

/* Unknown counts against the call: it makes a rule that blocks or holds match, and never one that
 * allows. */
static bool matches(struct rules_scratch *x, const struct rules_candidate *c, uint64_t now_ns,
                    bool *unknown)
{
    const struct rules_rule *rule = c->rule;
    enum rules_truth t;

    *unknown = false;
    if (rule->then == RULES_ALLOW && rule->expires_ns && now_ns >= rule->expires_ns)
        return false;
    if (!c->when)
        return true;
    t = condition(x, c);
    *unknown = t == TRUTH_UNKNOWN;
    return *unknown ? rule->then != RULES_ALLOW : t == TRUTH_YES;
}

/* What is to be decided, by which rules. */
struct matter {
    const struct rules_set *set;
    const struct rules_plan *plan;
    const struct rules_call *call;
    struct rules_scratch *x;
};

static void hit(const struct matter *m, const struct rules_rule *rule, bool decided, bool unknown)
{
    struct rules_hits *h = &m->call->hits[rule - m->set->rules];

    counter_inc(&h->matched);
    counter_add(&h->decided, decided);
    counter_add(&h->unknown, unknown);
    atomic_store_explicit(&h->last_ns, m->call->now_ns, memory_order_relaxed);
}

/* Candidates come strictest first and by id, so the first that counts is the reason. */
static void note(struct rules_verdict *v, const struct rules_rule *rule, bool unknown)
{
    bool reported = rule->mode == RULES_REPORT;

    if (v->nmatched < RULES_MATCHED_MAX)
        v->matched[v->nmatched++] = (struct rules_matched){rule, unknown, reported};
    else
        v->more++;
    if (reported || v->rule)
        return;
    v->rule = rule;
    v->decision = rule->then;
    v->unknown = unknown;
}

/* `hits`: it is the last word, and counted. */
static void judge(const struct matter *m, struct rules_verdict *v, bool hits)
{
    const struct rules_plan *p = m->plan;

    v->decision = RULES_BLOCK;
    v->rule = NULL;
    v->unknown = false;
    v->nmatched = v->more = 0;
    m->x->run.loop_steps = m->x->run.loop_bytes = 0;
    if (p->nshared)
        memset(m->x->shared, 0, p->nshared);
    for (unsigned i = 0; i < p->n; i++) {
        const struct rules_rule *rule = p->candidates[i].rule, *before = v->rule;
        bool unknown;

        if (!matches(m->x, &p->candidates[i], m->call->now_ns, &unknown))
            continue;
        note(v, rule, unknown);
        if (hits)
            hit(m, rule, v->rule != before, unknown);
    }
}

/* ------------------------------------------------------------------- windows */

static void judge_by(const struct matter *m, bool most, struct rules_verdict *v, bool hits)
{
    rules_windows_show(&m->x->windows, m->plan, m->call->now_ns, most);
    judge(m, v, hits);
}

/* Both ways of counting what others have reserved lead to one decision. */
static bool is_settled(const struct matter *m, struct rules_verdict *v)
{
    judge_by(m, true, v, false);
    judge_by(m, false, &m->x->windows.least, false);
    return v->decision == m->x->windows.least.decision;
}

/* Reserves, and withdraws again, until the others there make no difference. False: they still do.
 */
static bool reserve(const struct matter *m, struct rules_verdict *v)
{
    struct rules_windows *w = &m->x->windows;

    rules_windows_read(w, m->plan, &m->x->run);
    while (rules_windows_reserve(w, m->plan, m->call->now_ns, v) && !is_settled(m, v)) {
        if (++v->window_tries == RULES_WINDOW_TRIES)
            return false;
        rules_windows_withdraw(w, m->plan);
        rules_windows_pause(w, v->window_tries);
    }
    return true;
}

static void judge_with_windows(const struct matter *m, struct rules_verdict *v)
{
    struct rules_windows *w = &m->x->windows;
    bool most = reserve(m, v) || v->decision > w->least.decision;

    judge_by(m, most, v, m->call->hits != NULL);
    if (v->decision == RULES_BLOCK)
        rules_windows_withdraw(w, m->plan);
    else
        rules_windows_commit(w, m->plan, m->call->now_ns, v);
}

void rules_decide(const struct rules_set *s, struct rules_scratch *x, const struct rules_call *call,
                  struct rules_verdict *v)
{
    const struct matter m = {s, s->plan[call->function->index], call, x};

    v->ncounted = v->window_tries = 0;
    v->window_full = false;
    x->run.call = call;
    x->run.loop_steps = x->run.loop_bytes = 0;
    read_documents(x, m.plan, call);
    v->body_problem = m.plan->npaths[DOC_BODY] ? x->doc[DOC_BODY].problem : BODY_PROBLEM_NONE;
    if (m.plan->nwindows == 0)
        judge(&m, v, call->hits != NULL);
    else
        judge_with_windows(&m, v);
    x->run.call = NULL;
}

/* The documents are still read, and windows show what the decision saw. */
void rules_explain(const struct rules_set *s, struct rules_scratch *x,
                   const struct rules_call *call, struct rules_verdict *v, rules_explain_fn *tell,
                   void *ctx)
{
    const struct rules_plan *p = s->plan[call->function->index];

    rules_decide(s, x, call, v);
    x->run.call = call;
    x->run.loop_steps = x->run.loop_bytes = 0;
    for (unsigned i = 0; i < p->n; i++) {
        run_on(x, &p->candidates[i]);
        rules_expr_explain(&p->candidates[i], &x->run, tell, ctx);
    }
    x->run.call = NULL;
}
