/* `rules`: what is allowed, held and blocked. */
#include "rules_internal.h"

#include <stdlib.h>

#define WARN_BEFORE_NS (14 * 86400 * RULES_SECOND)
#define WAIT_MAX_NS    (900 * RULES_SECOND)
#define MESSAGE_MAX    1000
#define ON_MAX         256 /* globs of one rule */

static const char *const decision_names[] = {"allow", "hold", "block", NULL};
static const char *const mode_names[] = {"enforce", "report", "off", NULL};

const char *rules_decision_name(enum rules_decision d)
{
    return decision_names[d];
}

/* ----------------------------------------------------------------- reading */

static void read_expiry(struct rules_loader *l, const struct yaml_node *n, struct rules_rule *r)
{
    struct span text;
    struct place where;

    if (!yaml_read_text(n, "expires", false, &text, l->d))
        return;
    where = yaml_place(yaml_get(n, "expires"));
    if (!rules_time_parse(text, true, &r->expires_ns))
        diag_error(l->d, where,
                   "`expires` must be a date (2027-01-31, to the end of that day in UTC) or an "
                   "RFC 3339 time");
    else if (r->expires_ns <= l->now_ns)
        diag_warning(l->d, where, "this rule has expired%s",
                     r->then == RULES_ALLOW ? ": it allows nothing any more"
                                            : "; it goes on matching");
    else if (r->expires_ns - l->now_ns < WARN_BEFORE_NS)
        diag_warning(l->d, where, "this rule expires in %u days",
                     (unsigned)((r->expires_ns - l->now_ns) / (86400 * RULES_SECOND)));
}

static void read_hold(struct rules_loader *l, const struct yaml_node *n, struct rules_rule *r)
{
    static const char *const keys[] = {"groups", "quorum", "wait", NULL};
    const struct yaml_node *h = yaml_get(n, "hold"), **nodes;
    uint64_t quorum = 1;
    struct span *groups;

    r->quorum = 1;
    r->wait_ns = 20 * RULES_SECOND;
    if (!h)
        return;
    if (r->then != RULES_HOLD)
        diag_error(l->d, rules_key_place(n, "hold"), "`hold` belongs to a rule with `then: hold`");
    if (!rules_want_mapping(l, h, "`hold`"))
        return;
    yaml_only(h, keys, l->d);
    if (yaml_get(h, "groups") &&
        rules_read_texts(l, h, "groups", false, false, &groups, &nodes, &r->nhold_groups))
        r->hold_groups = groups;
    yaml_read_u64(h, "quorum", false, 1, 16, &quorum, l->d);
    r->quorum = (unsigned)quorum;
    if (yaml_read_duration(h, "wait", false, &r->wait_ns, l->d) && r->wait_ns > WAIT_MAX_NS)
        diag_error(l->d, yaml_place(yaml_get(h, "wait")), "a caller waits at most 15m");
}

static void read_on(struct rules_loader *l, const struct yaml_node *n, struct rules_pending_rule *r)
{
    if (!rules_read_texts(l, n, "on", true, false, &r->on, &r->on_node, &r->non))
        r->non = 0;
    if (r->non > ON_MAX) {
        diag_error(l->d, yaml_place(yaml_get(n, "on")), "a rule is on at most %d names", ON_MAX);
        r->non = 0;
    }
}

static void read_when(struct rules_loader *l, const struct yaml_node *n,
                      struct rules_pending_rule *r)
{
    struct span text;

    if (yaml_read_text(n, "when", false, &text, l->d))
        r->when_node = yaml_get(n, "when");
}

/* What a condition says of every call. Unknown makes a rule match that blocks or holds. */
static void judge_constant(struct rules_loader *l, struct rules_pending_rule *r)
{
    struct place where;

    if (!r->when || !r->when->constant || r->pub.mode == RULES_OFF)
        return;
    where = yaml_place(r->when_node);
    if (rules_always(r))
        diag_warning(l->d, where,
                     "this condition is %s of every call, so that the rule always matches; `when` "
                     "can go",
                     r->when->says == TRUTH_YES ? "true" : "unknown");
    else
        diag_error(l->d, where,
                   "this condition is never true, so that the rule decides nothing; correct it, or "
                   "remove the rule");
    r->bad = r->bad || !rules_always(r);
}

/* When all files are read: a condition may name lists and detectors of any of them. */
static void compile_when(struct rules_loader *l, struct rules_pending_rule *r)
{
    struct rules_source_text src = {.node = r->when_node, .d = l->d};

    if (!r->when_node)
        return;
    src.text = yaml_text(r->when_node);
    r->when = rules_compile_in(&src, l, SCOPE_CALL, TYPE_BOOL, &l->set->mem);
    r->bad = r->bad || !r->when;
    judge_constant(l, r);
}

static void keep_patterns(struct rules_loader *l)
{
    struct rules_set *s = l->set;
    const struct match_regex **p =
        arena_array(&s->mem, const struct match_regex *, l->patterns.n + 1);

    for (size_t i = 0; i < l->patterns.n; i++)
        p[i] = l->patterns.at[i];
    s->needs.patterns = p;
    s->needs.npatterns = (unsigned)l->patterns.n;
}

static void add_needs(struct rules_needs *to, const struct rules_needs *n)
{
    to->loops = n->loops > to->loops ? n->loops : to->loops;
    to->values = n->values > to->values ? n->values : to->values;
    to->state = n->state > to->state ? n->state : to->state;
}

static void read_id(struct rules_loader *l, const struct yaml_node *n, struct rules_pending_rule *r)
{
    struct rules_pending_rule *first;
    struct span key;

    r->pub.rev = 1;
    yaml_read_u64(n, "rev", false, 1, 1000000000, &r->pub.rev, l->d);
    if (!yaml_read_u64(n, "id", true, 1, 1000000000, &r->pub.id, l->d))
        return;
    key = span_cstr(arena_printf(&l->tmp, "%llu", (unsigned long long)r->pub.id));
    first = rules_map_put(&l->rule_ids, &l->tmp, key, r);
    if (first)
        diag_error(l->d, yaml_place(yaml_get(n, "id")),
                   "the rule id %.*s is already taken by %s:%u", SPAN_ARG(key),
                   first->pub.place.file, first->pub.place.line);
}

static void read_rule(struct rules_loader *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"id",   "rev",  "name", "owner",   "expires", "on",
                                       "when", "then", "hold", "message", "mode",    NULL};
    struct rules_pending_rule *r = arena_new(&l->tmp, struct rules_pending_rule);
    unsigned then = RULES_BLOCK, mode = RULES_ENFORCE;
    size_t errors = l->d->errors;

    if (!rules_want_mapping(l, n, "a rule"))
        return;
    r->node = n;
    r->pub.place = rules_keep_place(l->set, yaml_place(n));
    yaml_only(n, keys, l->d);
    read_id(l, n, r);
    rules_read_line(l, n, "name", true, 200, &r->pub.name);
    rules_read_line(l, n, "owner", false, 200, &r->pub.owner);
    rules_read_line(l, n, "message", false, MESSAGE_MAX, &r->pub.message);
    yaml_read_enum(n, "then", true, decision_names, &then, l->d);
    yaml_read_enum(n, "mode", false, mode_names, &mode, l->d);
    r->pub.then = (enum rules_decision)then;
    r->pub.mode = (enum rules_mode)mode;
    read_expiry(l, n, &r->pub);
    read_hold(l, n, &r->pub);
    read_on(l, n, r);
    read_when(l, n, r);
    r->bad = l->d->errors > errors;
    rules_list_add(&l->rules, &l->tmp, r);
}

void rules_read_rules(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_sequence(l, n, "`rules`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->rules.n == RULES_MAX) {
            diag_error(l->d, yaml_place(yaml_at(n, i)), "a rule set has at most %d rules",
                       RULES_MAX);
            return;
        }
        read_rule(l, yaml_at(n, i));
    }
}

/* ------------------------------------------------------------ finished form */

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(struct rules_pending_rule *const *)a)->pub.id,
             y = (*(struct rules_pending_rule *const *)b)->pub.id;

    return (x > y) - (x < y);
}

static int by_strictness(const void *a, const void *b)
{
    enum rules_decision x = (*(struct rules_pending_rule *const *)a)->pub.then,
                        y = (*(struct rules_pending_rule *const *)b)->pub.then;

    return x != y ? (int)y - (int)x : by_id(a, b);
}

void rules_finish_rules(struct rules_loader *l)
{
    struct rules_set *s = l->set;
    struct rules_pending_rule **r = (struct rules_pending_rule **)l->rules.at;
    size_t n = l->rules.n;

    s->rules = arena_array(&s->mem, struct rules_rule, n + 1);
    s->nrules = (unsigned)n;
    if (n)
        qsort(r, n, sizeof(*r), by_id);
    for (size_t i = 0; i < n; i++) {
        s->rules[i] = r[i]->pub;
        r[i]->final = &s->rules[i];
        compile_when(l, r[i]);
        if (r[i]->when)
            add_needs(&s->needs, &r[i]->when->needs);
    }
    keep_patterns(l);
    if (n)
        qsort(r, n, sizeof(*r), by_strictness);
    rules_build_plans(l, r, n);
}
