/* Rules that can never decide anything, since another one does so before them on every call that
 * they are on. Found while the rules are laid out in the order in which they are evaluated: what
 * was laid on a function before is what comes before. */
#include "rules_internal.h"

struct met {
    uint64_t key; /* the condition and the function; 0: empty */
    const struct rules_pending_rule *rule;
};

struct rules_shadows {
    struct rules_loader *l;
    struct rules_map conditions; /* texts that several rules have -> struct condition */
    const struct rules_pending_rule **always; /* by function: the first without a condition */
    struct met *met;                          /* by condition and function: the first */
    size_t nmet, room;
};

struct condition {
    uint64_t number;
    bool shared;
};

/* Takes part in decisions, for ever. */
static bool lasts(const struct rules_pending_rule *r)
{
    return r->pub.mode == RULES_ENFORCE && r->pub.expires_ns == 0;
}

bool rules_always(const struct rules_pending_rule *r)
{
    return !r->when ||
           (r->when->constant && (r->when->says == TRUTH_YES ||
                                  (r->when->says == TRUTH_UNKNOWN && r->pub.then != RULES_ALLOW)));
}

static struct span text_of(const struct rules_pending_rule *r)
{
    return span_trim(yaml_text(r->when_node));
}

struct rules_shadows *rules_shadows_new(struct rules_loader *l, struct rules_pending_rule **rules,
                                        size_t n)
{
    struct rules_shadows *s = arena_new(&l->tmp, struct rules_shadows);
    struct condition *c, *first;

    s->l = l;
    s->always =
        arena_array(&l->tmp, const struct rules_pending_rule *, (size_t)l->set->nfunctions + 1);
    for (size_t i = 0; i < n; i++) {
        if (!rules[i]->when || rules[i]->pub.mode != RULES_ENFORCE || rules[i]->bad)
            continue;
        c = arena_new(&l->tmp, struct condition);
        c->number = i + 1;
        first = rules_map_put(&s->conditions, &l->tmp, text_of(rules[i]), c);
        if (first)
            first->shared = true;
    }
    return s;
}

/* ------------------------------------------- conditions met on functions */

static struct met *slot_of(const struct rules_shadows *s, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (s->room - 1);

    while (s->met[i].key && s->met[i].key != key)
        i = (i + 1) & (s->room - 1);
    return &s->met[i];
}

static void grow(struct rules_shadows *s)
{
    struct rules_shadows old = *s;

    s->room = old.room ? old.room * 2 : 1024;
    s->met = arena_array(&s->l->tmp, struct met, s->room);
    for (size_t i = 0; i < old.room; i++)
        if (old.met[i].key)
            *slot_of(s, old.met[i].key) = old.met[i];
}

/* The first rule with the condition of `r` on that function; `r` itself if there was none. */
static const struct rules_pending_rule *
first_with(struct rules_shadows *s, const struct rules_pending_rule *r, unsigned function)
{
    const struct condition *c = rules_map_get(&s->conditions, text_of(r));
    uint64_t key;
    struct met *m;

    if (!c || !c->shared)
        return r;
    if (s->nmet * 2 >= s->room)
        grow(s);
    key = c->number << 32 | function;
    m = slot_of(s, key);
    if (!m->key && lasts(r)) {
        *m = (struct met){key, r};
        s->nmet++;
    }
    return m->key ? m->rule : r;
}

/* ------------------------------------------------------------------ shadows */

static bool same_hold(const struct rules_rule *a, const struct rules_rule *b)
{
    bool same =
        a->quorum == b->quorum && a->wait_ns == b->wait_ns && a->nhold_groups == b->nhold_groups;

    for (unsigned i = 0; same && i < a->nhold_groups; i++)
        same = span_eq(a->hold_groups[i], b->hold_groups[i]);
    return same;
}

/* `first` comes before `r` in the order of evaluation. */
static bool leaves_nothing(const struct rules_pending_rule *first,
                           const struct rules_pending_rule *r)
{
    return first && first != r &&
           (first->pub.then != r->pub.then || r->pub.then != RULES_HOLD ||
            same_hold(&first->pub, &r->pub));
}

void rules_shadow_meet(struct rules_shadows *s, struct rules_pending_rule *r, unsigned function)
{
    const struct rules_pending_rule *always = s->always[function], *same = NULL;

    if (r->pub.mode != RULES_ENFORCE || r->bad)
        return;
    if (!rules_always(r))
        same = first_with(s, r, function);
    else if (!always && lasts(r))
        s->always[function] = r;
    if (leaves_nothing(always, r))
        r->shadow = always;
    else if (leaves_nothing(same, r))
        r->shadow = same;
    else
        r->matters = true;
}

void rules_shadow_settle(struct rules_shadows *s, const struct rules_pending_rule *r)
{
    const struct rules_pending_rule *by = r->shadow;
    bool expired =
        r->pub.then == RULES_ALLOW && r->pub.expires_ns && r->pub.expires_ns <= s->l->now_ns;

    if (r->matters || !by || expired)
        return;
    diag_error(s->l->d, r->pub.place,
               "rule %llu can never decide anything: rule %llu (%s:%u) %s, %s; remove one of them, "
               "or narrow its `on`",
               (unsigned long long)r->pub.id, (unsigned long long)by->pub.id, by->pub.place.file,
               by->pub.place.line,
               by->pub.then != r->pub.then
                   ? "is stricter and on the same calls"
                   : "does the same, has the lower id and is on the same calls",
               rules_always(by) ? "whatever they say" : "under the same `when`");
}
