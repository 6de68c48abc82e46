/* Which rules are judged for which function, worked out once, so that a decision touches no rule
 * that could not match by its `on`.
 *
 * Rules are laid out one after the other in evaluation order. Each takes the functions that it is
 * on from the class they are in to that class's successor for this rule; functions that went
 * through the same rules end in the same class, and share one plan. */
#include "rules_internal.h"

#include <stdlib.h>

struct class
{
    struct class *before;
    struct class *next; /* the successor made last: for the rule being laid out, or an older one */
    struct rules_pending_rule *rule; /* NULL: the class where all begin */
    unsigned n;
    struct rules_plan *plan;
};

struct planner {
    struct rules_loader *l;
    struct class **of;                    /* by function */
    const struct rules_function **sorted; /* by name */
    struct rules_map by_name;             /* -> struct rules_function */
    struct rules_map params;              /* "function\nparameter" -> anything */
    struct rules_shadows *shadows;
    size_t candidates;
};

static bool names_unlisted(struct span on)
{
    return span_ends(on, SPAN_LIT(".unlisted"));
}

/* A call that is no function is allowed, or let through after approval, only by a rule that names
 * it; a rule that blocks may reach it by a glob. */
static bool reaches(const struct rules_pending_rule *r, struct span on,
                    const struct rules_function *f)
{
    if (f->unlisted && r->pub.then != RULES_BLOCK && !names_unlisted(on))
        return false;
    return rules_glob(on, f->name);
}

static void enter(struct planner *p, struct rules_pending_rule *r, const struct rules_function *f)
{
    struct class *c = p->of[f->index], *next = c->next;

    if (c->rule == r || r->pub.mode == RULES_OFF)
        return;
    rules_shadow_meet(p->shadows, r, f->index);
    if (!next || next->rule != r) {
        next = arena_new(&p->l->tmp, struct class);
        *next = (struct class){.before = c, .rule = r, .n = c->n + 1};
        c->next = next;
    }
    p->of[f->index] = next;
}

static bool has_param(struct planner *p, const struct rules_function *f, struct span name)
{
    struct span key =
        span_cstr(arena_printf(&p->l->tmp, "%.*s\n%.*s", SPAN_ARG(f->name), SPAN_ARG(name)));

    return rules_map_get(&p->params, key) != NULL;
}

static void lay_one(struct planner *p, struct rules_pending_rule *r, const struct rules_function *f,
                    bool *found)
{
    const struct rules_paths *paths = r->when ? &r->when->paths : NULL;

    enter(p, r, f);
    for (unsigned i = 0; paths && i < paths->nparam; i++)
        found[i] = found[i] || has_param(p, f, paths->param[i]);
}

static int by_name(const void *a, const void *b)
{
    return span_cmp((*(const struct rules_function *const *)a)->name,
                    (*(const struct rules_function *const *)b)->name);
}

/* Where the first name stands that is not before `text`. */
static unsigned first_from(const struct planner *p, struct span text)
{
    unsigned low = 0, high = p->l->set->nfunctions;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (span_cmp(p->sorted[mid]->name, text) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Only names that begin as the glob does are looked at: most globs are of one connection. */
static size_t lay_glob(struct planner *p, struct rules_pending_rule *r, struct span on, bool *found)
{
    const char *star = memchr(on.p, '*', on.n);
    struct span before = span_of(on.p, star ? (size_t)(star - on.p) : on.n);
    const struct rules_function *f;
    size_t hits = 0;

    if (!star) {
        f = rules_map_get(&p->by_name, on);
        if (f)
            lay_one(p, r, f, found);
        return f != NULL;
    }
    for (unsigned i = first_from(p, before); i < p->l->set->nfunctions; i++) {
        f = p->sorted[i];
        if (!span_starts(f->name, before))
            break;
        if (!reaches(r, on, f))
            continue;
        lay_one(p, r, f, found);
        hits++;
    }
    return hits;
}

static void complain_params(struct planner *p, const struct rules_pending_rule *r,
                            const bool *found)
{
    const struct rules_paths *paths = &r->when->paths;
    struct rules_source_text src = {yaml_text(r->when_node), r->when_node, NULL, p->l->d};

    for (unsigned i = 0; i < paths->nparam; i++)
        if (!found[i])
            rules_expr_error(&src, paths->param_at[i],
                             "no function of this rule has a path parameter `%.*s`",
                             SPAN_ARG(paths->param[i]));
}

static void lay_rule(struct planner *p, struct rules_pending_rule *r)
{
    unsigned nparam = r->when ? r->when->paths.nparam : 0;
    bool *found = arena_array(&p->l->tmp, bool, nparam + 1);
    size_t hits = 0, here;

    for (unsigned i = 0; i < r->non; i++) {
        here = rules_glob_valid(r->on[i]) ? lay_glob(p, r, r->on[i], found) : 0;
        if (here == 0)
            diag_error(p->l->d, yaml_place(r->on_node[i]), "`%.*s` is no function%s",
                       SPAN_ARG(r->on[i]),
                       memchr(r->on[i].p, '*', r->on[i].n) ? "'s name and matches none" : "");
        hits += here;
    }
    if (hits && nparam)
        complain_params(p, r, found);
    rules_shadow_settle(p->shadows, r);
}

/* ---------------------------------------------------------------- the plans */

static const uint16_t *join_paths(struct planner *p, struct rules_plan *plan,
                                  const struct rules_pending_rule *r, enum rules_doc d)
{
    struct arena *mem = &p->l->set->mem;
    unsigned n = r->when ? r->when->paths.n[d] : 0;
    uint16_t *slots;

    if (n == 0)
        return NULL;
    if (!plan->paths[d])
        plan->paths[d] = body_paths_new(mem);
    slots = arena_array(mem, uint16_t, n);
    for (unsigned i = 0; i < n; i++) {
        struct span path = r->when->paths.path[d][i];
        unsigned before = body_paths_count(plan->paths[d]);
        int at = body_paths_add(plan->paths[d], path);

        if (body_paths_count(plan->paths[d]) > before)
            plan->state[d] += rules_path_state(path);
        if (at < 0) {
            diag_error(p->l->d, r->pub.place,
                       "the rules on one function look at more than %d places", BODY_PATHS_MAX);
            break;
        }
        slots[i] = (uint16_t)at;
    }
    return slots;
}

static unsigned plan_window(struct planner *p, struct rules_plan *plan,
                            const struct rules_pending_rule *r, const struct rules_candidate *c,
                            const struct rules_window_use *use)
{
    struct rules_plan_window *w;

    for (unsigned i = 0; i < plan->nwindows; i++)
        if (span_eq(plan->windows[i].use->text, use->text))
            return i;
    if (plan->nwindows == RULES_WINDOWS_MAX) {
        diag_error(p->l->d, r->pub.place, "the rules on one function ask for more than %d windows",
                   RULES_WINDOWS_MAX);
        return 0;
    }
    if (!plan->windows)
        plan->windows = arena_array(&p->l->set->mem, struct rules_plan_window, RULES_WINDOWS_MAX);
    w = &plan->windows[plan->nwindows];
    w->use = use;
    memcpy(w->slots, c->slots, sizeof(w->slots));
    if (use->length_ns > p->l->set->longest_window)
        p->l->set->longest_window = use->length_ns;
    return plan->nwindows++;
}

static const uint8_t *join_windows(struct planner *p, struct rules_plan *plan,
                                   const struct rules_pending_rule *r,
                                   const struct rules_candidate *c)
{
    unsigned n = r->when ? r->when->nwindows : 0;
    uint8_t *window;

    if (n == 0)
        return NULL;
    window = arena_array(&p->l->set->mem, uint8_t, n);
    for (unsigned i = 0; i < n; i++)
        window[i] = (uint8_t)plan_window(p, plan, r, c, &r->when->windows[i]);
    return window;
}

/* What says the same is the same: the rules on one function look at one call. Only what does not
 * depend on how often it is run is run once. */
static const uint16_t *share_conjuncts(struct planner *p, struct rules_plan *plan,
                                       struct rules_map *known, const struct rules_expr *when)
{
    unsigned n = when ? when->nconjuncts : 0;
    uint16_t *shared = arena_array(&p->l->set->mem, uint16_t, n ? n : 1);

    for (unsigned i = 0; i < n; i++) {
        const struct rules_conjunct *c = &when->conjuncts[i];
        struct span text = span_of(when->source.p + c->from, (size_t)(c->to - c->from));
        uintptr_t place = plan->nshared + 1;

        shared[i] = RULES_NOT_SHARED;
        if (!c->plain || (plan->nshared == RULES_NOT_SHARED && !rules_map_get(known, text)))
            continue;
        place = (uintptr_t)rules_map_put(known, &p->l->tmp, text, (void *)place);
        shared[i] = (uint16_t)(place ? place - 1 : plan->nshared++);
    }
    return shared;
}

static void measure(struct rules_set *s, struct rules_plan *plan)
{
    if (plan->nshared > s->most_shared)
        s->most_shared = plan->nshared;
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        plan->npaths[d] = plan->paths[d] ? body_paths_count(plan->paths[d]) : 0;
        if (plan->npaths[d] > s->most_paths[d])
            s->most_paths[d] = plan->npaths[d];
        if (plan->state[d] > s->most_state[d])
            s->most_state[d] = plan->state[d];
    }
    plan->needs_body = plan->npaths[DOC_BODY] > 0;
}

static struct rules_plan *make_plan(struct planner *p, const struct class *c)
{
    struct rules_plan *plan = arena_new(&p->l->set->mem, struct rules_plan);
    struct rules_candidate *candidates;
    struct rules_map conjuncts = {0};

    plan->n = c->n;
    candidates = arena_array(&p->l->set->mem, struct rules_candidate, c->n + 1);
    plan->candidates = candidates;
    for (; c->rule; c = c->before) {
        struct rules_candidate *at = &candidates[c->n - 1];

        at->rule = c->rule->final;
        at->when = c->rule->when;
        plan->needs_found = plan->needs_found || (at->when && at->when->needs_found);
        for (unsigned d = 0; d < DOC_COUNT; d++)
            at->slots[d] = join_paths(p, plan, c->rule, (enum rules_doc)d);
        at->window = join_windows(p, plan, c->rule, at);
        at->shared = share_conjuncts(p, plan, &conjuncts, at->when);
    }
    measure(p->l->set, plan);
    return plan;
}

static bool assign(struct planner *p, struct rules_function *f)
{
    struct class *c = p->of[f->index];

    if (!c->plan) {
        p->candidates += c->n;
        if (p->candidates > RULES_CANDIDATES_MAX)
            return false;
        c->plan = make_plan(p, c);
    }
    p->l->set->plan[f->index] = c->plan;
    f->needs_body = c->plan->needs_body;
    f->needs_found = c->plan->needs_found;
    return true;
}

static void prepare(struct planner *p)
{
    struct rules_set *s = p->l->set;
    struct class *start = arena_new(&p->l->tmp, struct class);

    p->of = arena_array(&p->l->tmp, struct class *, s->nfunctions + 1);
    p->sorted = arena_array(&p->l->tmp, const struct rules_function *, s->nfunctions + 1);
    for (unsigned i = 0; i < s->nfunctions; i++) {
        p->of[i] = start;
        p->sorted[i] = &s->functions[i];
        rules_map_put(&p->by_name, &p->l->tmp, s->functions[i].name, &s->functions[i]);
    }
    if (s->nfunctions)
        qsort(p->sorted, s->nfunctions, sizeof(*p->sorted), by_name);
}

static void note_route(struct planner *p, const struct rules_route *r)
{
    for (unsigned i = 0; i < r->nparams; i++)
        rules_map_put(&p->params, &p->l->tmp,
                      span_cstr(arena_printf(&p->l->tmp, "%.*s\n%.*s", SPAN_ARG(r->function->name),
                                             SPAN_ARG(r->param[i]))),
                      r->function);
}

static void note_params(struct planner *p)
{
    for (size_t i = 0; i < p->l->connections.n; i++) {
        const struct rules_pending_connection *c = p->l->connections.at[i];

        for (size_t k = 0; k < c->functions.n; k++) {
            const struct rules_pending_function *f = c->functions.at[k];

            for (unsigned j = 0; j < f->nroutes; j++)
                note_route(p, f->routes[j]);
        }
    }
}

void rules_build_plans(struct rules_loader *l, struct rules_pending_rule **rules, size_t n)
{
    struct planner p = {.l = l};

    prepare(&p);
    p.shadows = rules_shadows_new(l, rules, n);
    note_params(&p);
    for (size_t i = 0; i < n; i++)
        lay_rule(&p, rules[i]);
    if (l->d->errors)
        return; /* what is there cannot be used, and may lack parts */
    for (unsigned i = 0; i < l->set->nfunctions; i++) {
        if (!assign(&p, &l->set->functions[i])) {
            diag_error(l->d, place_of_file(l->directory),
                       "rules and functions make more than %u different pairs",
                       RULES_CANDIDATES_MAX);
            return;
        }
    }
}
