/* Why a call is decided as it is: every rule that was looked at, every part of its condition, and
 * the value of each. The call comes from a fixture file or, by its id, from the audit store. */
#include "ctl.h"
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VALUE_COLUMN = 76 };

struct part {
    unsigned depth;
    struct span text, value;
};

/* What one rule was told to be. */
struct told {
    const struct rules_rule *rule;
    struct part *parts;
    size_t n, room;
};

struct explanation {
    const struct ctl *c;
    struct arena mem;
    struct told *rules;
    size_t n, room;
    bool colour;
};

static void *grow(struct arena *mem, void *from, size_t n, size_t *room, size_t size)
{
    void *to;

    if (n < *room)
        return from;
    *room = n ? n * 2 : 8;
    to = arena_alloc_array(mem, *room, size);
    if (n)
        memcpy(to, from, n * size);
    return to;
}

static void on_part(void *ctx, const struct rules_rule *rule, unsigned depth, struct span text,
                    struct span value)
{
    struct explanation *e = ctx;
    struct told *t = e->n ? &e->rules[e->n - 1] : NULL;

    if (!t || t->rule != rule) {
        e->rules = grow(&e->mem, e->rules, e->n, &e->room, sizeof(*e->rules));
        t = &e->rules[e->n++];
        *t = (struct told){.rule = rule};
    }
    t->parts = grow(&e->mem, t->parts, t->n, &t->room, sizeof(*t->parts));
    t->parts[t->n++] = (struct part){depth, arena_span(&e->mem, text), arena_span(&e->mem, value)};
}

/* --------------------------------------------------------------------- to people */

static void print_clean(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        putchar((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i]);
}

static const char *colour_of(const struct explanation *e, struct span value)
{
    if (!e->colour)
        return "";
    if (span_eq(value, SPAN_LIT("true")))
        return "\033[32m";
    if (span_eq(value, SPAN_LIT("false")))
        return "\033[31m";
    if (span_eq(value, SPAN_LIT("unknown")) || span_eq(value, SPAN_LIT("missing")))
        return "\033[33m";
    return span_eq(value, SPAN_LIT("not evaluated")) ? "\033[2m" : "";
}

static void print_part(const struct explanation *e, const struct part *p)
{
    size_t column = 6 + 2 * p->depth + p->text.n;

    printf("      %*s", (int)(2 * p->depth), "");
    print_clean(p->text);
    printf("%*s%s", column < VALUE_COLUMN ? (int)(VALUE_COLUMN - column) : 2, "",
           colour_of(e, p->value));
    print_clean(p->value);
    puts(e->colour ? "\033[0m" : "");
}

static const struct rules_matched *match_of(const struct judged *g, const struct rules_rule *r)
{
    for (unsigned i = 0; i < g->verdict.nmatched; i++)
        if (g->verdict.matched[i].rule == r)
            return &g->verdict.matched[i];
    return NULL;
}

static const char *outcome_of(const struct judged *g, const struct rules_rule *r)
{
    const struct rules_matched *m = match_of(g, r);

    if (!m)
        return "does not match";
    if (m->reported)
        return m->unknown ? "would match, unknown (report)" : "would match (report)";
    if (g->verdict.rule == r)
        return m->unknown ? "decides: its condition is unknown" : "decides";
    return m->unknown ? "matches, unknown" : "matches";
}

static void print_rule(const struct explanation *e, const struct judged *g, const struct told *t)
{
    const struct rules_rule *r = t->rule;
    bool bold = e->colour && g->verdict.rule == r;

    printf("\n%s%lu %s: ", bold ? "\033[1m" : "", r->id, rules_decision_name(r->then));
    print_clean(r->name);
    printf(": %s%s\n", outcome_of(g, r), bold ? "\033[0m" : "");
    for (size_t i = 0; i < t->n; i++)
        if (t->parts[i].text.n)
            print_part(e, &t->parts[i]);
}

static void print_call(const struct ctl_call *c, const struct judged *g, struct span name)
{
    printf("call      ");
    if (name.n) {
        print_clean(name);
        printf(": ");
    }
    print_clean(c->head.method);
    printf(" https://");
    print_clean(c->head.host);
    print_clean(c->head.target);
    printf("\ncaller    ");
    print_clean(c->caller.id.n ? c->caller.id : SPAN_LIT("(not known)"));
    printf(" (");
    print_clean(c->caller.method);
    putchar(')');
    for (unsigned i = 0; i < c->caller.ngroups; i++) {
        printf(i ? ", " : " in ");
        print_clean(c->caller.groups[i]);
    }
    printf("\nfunction  ");
    print_clean(g->function ? g->function->name : SPAN_LIT("(none)"));
    printf("\ndecision  %s, %s", rules_decision_name(g->decision), g->cause);
    if (g->verdict.rule)
        printf(", rule %lu", g->verdict.rule->id);
    putchar('\n');
}

/* ------------------------------------------------------------------- to machines */

static json_t *text(struct span s)
{
    json_t *o = json_stringn(s.p ? s.p : "", s.n);

    return o ? o : json_string("(not UTF-8)");
}

static json_t *rule_json(const struct judged *g, const struct told *t)
{
    const struct rules_matched *m = match_of(g, t->rule);
    json_t *parts = json_array();

    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(parts,
                              json_pack("{s:i, s:o, s:o}", "depth", (int)t->parts[i].depth, "text",
                                        text(t->parts[i].text), "value", text(t->parts[i].value)));
    return json_pack("{s:I, s:o, s:s, s:b, s:b, s:b, s:b, s:o}", "id", (json_int_t)t->rule->id,
                     "name", text(t->rule->name), "then", rules_decision_name(t->rule->then),
                     "matched", m != NULL, "unknown", m && m->unknown, "reported", m && m->reported,
                     "decided", g->verdict.rule == t->rule, "condition", parts);
}

static json_t *explanation_json(const struct explanation *e, const struct judged *g,
                                struct span name)
{
    json_t *rules = json_array();

    for (size_t i = 0; i < e->n; i++)
        json_array_append_new(rules, rule_json(g, &e->rules[i]));
    return json_pack("{s:o, s:o, s:s, s:s, s:o}", "name", text(name), "function",
                     text(g->function ? g->function->name : SPAN_NONE), "decision",
                     rules_decision_name(g->decision), "cause", g->cause, "rules", rules);
}

/* ---------------------------------------------------------------------- one call */

static void explain(const struct ctl *c, struct judge *j, const struct ctl_call *call,
                    struct span name, json_t *all)
{
    struct explanation e = {
        .c = c, .mem = ARENA_INIT, .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    struct judged g;

    judge_explain(j, call, &g, on_part, &e);
    if (c->json) {
        json_array_append_new(all, explanation_json(&e, &g, name));
    } else {
        print_call(call, &g, name);
        for (size_t i = 0; i < e.n; i++)
            print_rule(&e, &g, &e.rules[i]);
        if (e.n == 0 && g.function)
            printf("\nno rule is on this function\n");
        putchar('\n');
    }
    arena_free(&e.mem);
}

static int from_file(const struct ctl *c, struct judge *j, json_t *all, struct diags *d)
{
    struct fixtures f;
    size_t shown = 0;

    if (!fixtures_read(c->call, c->as, false, &f, d))
        return CTL_FILES;
    for (size_t i = 0; i < f.n; i++) {
        if (c->name && !span_eq(f.at[i].name, span_cstr(c->name)))
            continue;
        explain(c, j, &f.at[i].call, f.at[i].name, all);
        shown++;
    }
    fixtures_free(&f);
    if (shown)
        return CTL_OK;
    fprintf(stderr, "turnpikectl: %s has no call of that name\n", c->call);
    return CTL_NO_SUCH;
}

static void print_recorded(const struct audit_record *r, const struct ctl_call *call)
{
    struct audit_value decision, rule;

    printf("As recorded: of the header fields only Content-Type is known, claims are not, and the "
           "body is\nmasked%s. ",
           call->cut ? " and cut short" : "");
    if (audit_get(r, AUDIT_F_DECISION, &decision)) {
        printf("Decided at the time: ");
        print_clean(decision.text);
        if (audit_get(r, AUDIT_F_RULE, &rule))
            printf(", rule %lu", rule.number);
        putchar('.');
    }
    printf("\n\n");
}

static int from_store(const struct ctl *c, struct judge *j, json_t *all, struct diags *d)
{
    struct audit_filter want = {.kind = SPAN_LIT("call.decided"), .call = span_cstr(c->call)};
    struct audit_store *s = audit_open(c->directory, d);
    struct audit_record r;
    struct ctl_call call;
    int code = CTL_NO_SUCH;

    if (!s)
        return CTL_FILES;
    for (uint64_t at = audit_first(s); code == CTL_NO_SUCH && audit_read_from(s, at, &r);
         at = r.seq + 1) {
        if (!audit_matches(&r, &want) || !ctl_call_from_record(&call, &r))
            continue;
        if (!c->json)
            print_recorded(&r, &call);
        explain(c, j, &call, SPAN_NONE, all);
        ctl_call_free(&call);
        code = CTL_OK;
    }
    audit_close(s);
    if (code)
        fprintf(stderr, "turnpikectl: %s is no file, and no call in %s\n", c->call, c->directory);
    return code;
}

int ctl_rules_explain(const struct ctl *c, const char *directory)
{
    struct judge *j;
    struct diags d;
    int code = CTL_FILES;
    json_t *all;

    if (!c->call)
        return ctl_usage("rules explain DIR --call FILE [--as CALLER] [--name NAME], or --call ID");
    all = json_array();
    diags_init(&d);
    j = judge_open(directory, &d);
    if (j)
        code = access(c->call, F_OK) == 0 ? from_file(c, j, all, &d) : from_store(c, j, all, &d);
    if (code == CTL_FILES)
        ctl_diags(c, &d, false);
    if (code == CTL_OK && c->json) {
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(all);
    judge_close(j);
    diags_free(&d);
    return code;
}
