/* What rules have done since the start: the workers' counts of the running set, of those that calls
 * still use, and what was kept of those that have gone. A rule is the same as long as its id and
 * rev are. */
#include <stdlib.h>

#include "control/control_internal.h"

static void add(struct kept_hits *to, const struct call_generation *g, unsigned rule)
{
    for (unsigned w = 0; w < g->workers; w++) {
        const struct rules_hits *h = &call_generation_hits(g, w)[rule];
        uint64_t last = counter_get(&h->last_ns);

        to->matched += counter_get(&h->matched);
        to->decided += counter_get(&h->decided);
        to->unknown += counter_get(&h->unknown);
        to->last_ns = last > to->last_ns ? last : to->last_ns;
    }
}

/* Rules and what is kept both stand in the order of their ids. */
static int order(const struct kept_hits *h, const struct rules_rule *r)
{
    if (h->id != r->id)
        return h->id < r->id ? -1 : 1;
    return (h->rev > r->rev) - (h->rev < r->rev);
}

static const struct kept_hits *find_kept(const struct control *c, const struct rules_rule *r)
{
    size_t low = 0, high = c->nkept;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int o = order(&c->kept[mid], r);

        if (o == 0)
            return &c->kept[mid];
        if (o < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static const struct rules_rule *find_rule(const struct rules_set *s, uint64_t id, unsigned *at)
{
    unsigned low = 0, high = rules_count(s);

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (rules_at(s, mid)->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return low < rules_count(s) && rules_at(s, low)->id == id ? rules_at(s, low) : NULL;
}

/* Sets hold each id once: rules that have left the running set are forgotten with it. */
void hits_keep(struct control *c, const struct call_generation *old)
{
    const struct rules_set *now = (*c->c.generation)->rules;
    unsigned n = rules_count(now), at;
    struct kept_hits *kept = calloc(n + 1, sizeof(*kept));
    size_t used = 0;

    if (!kept)
        return; /* what is kept stays as it was: counts are told too low, never wrongly */
    for (unsigned i = 0; i < n; i++) {
        const struct rules_rule *r = rules_at(now, i), *same = find_rule(old->rules, r->id, &at);
        const struct kept_hits *before = find_kept(c, r);
        struct kept_hits sum = before ? *before : (struct kept_hits){.id = r->id, .rev = r->rev};

        if (same && same->rev == r->rev)
            add(&sum, old, at);
        if (sum.matched)
            kept[used++] = sum;
    }
    free(c->kept);
    c->kept = kept;
    c->nkept = used;
}

static struct kept_hits hits_of(const struct control *c, const struct rules_rule *r, unsigned at)
{
    const struct kept_hits *before = find_kept(c, r);
    struct kept_hits sum = before ? *before : (struct kept_hits){.id = r->id, .rev = r->rev};
    const struct rules_rule *same;
    const struct retired *old;
    unsigned there;

    add(&sum, *c->c.generation, at);
    STAILQ_FOREACH (old, &c->retired, next) {
        same = find_rule(old->g->rules, r->id, &there);
        if (same && same->rev == r->rev)
            add(&sum, old->g, there);
    }
    return sum;
}

static const char *mode_name(const struct rules_rule *r)
{
    return r->mode == RULES_ENFORCE ? "enforce" : r->mode == RULES_REPORT ? "report" : "off";
}

json_t *ask_hits(struct control *c)
{
    const struct rules_set *s = (*c->c.generation)->rules;
    json_t *rules = json_array();
    char when[CLOCK_TEXT];

    for (unsigned i = 0; i < rules_count(s); i++) {
        const struct rules_rule *r = rules_at(s, i);
        struct kept_hits h = hits_of(c, r, i);
        json_t *o = json_pack("{s:I, s:I, s:s%, s:s, s:s, s:I, s:I, s:I}", "id", (json_int_t)r->id,
                              "rev", (json_int_t)r->rev, "name", r->name.p, r->name.n, "then",
                              rules_decision_name(r->then), "mode", mode_name(r), "matched",
                              (json_int_t)h.matched, "decided", (json_int_t)h.decided, "unknown",
                              (json_int_t)h.unknown);

        if (o && h.last_ns)
            json_object_set_new(o, "last", json_string(clock_text(h.last_ns, when)));
        if (o)
            json_array_append_new(rules, o);
    }
    return json_pack("{s:b, s:s, s:I, s:o}", "ok", 1, "since", clock_text(c->started_ns, when),
                     "generation", (json_int_t)(*c->c.generation)->number, "rules", rules);
}
