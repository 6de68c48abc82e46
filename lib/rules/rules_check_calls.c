/* Functions and methods of conditions. */
#include "rules_check.h"

#define PATTERN_MAX 1000 /* bytes of a pattern */

static void need_string(struct checker *c, const struct rules_ast *n, const char *what)
{
    if (!type_fits(n->type, TYPE_STRING))
        complain(c, n->at, "%s needs a string, not %s", what, rules_type_name(n->type));
}

/* --------------------------------------------------------------- functions */

static void check_has(struct checker *c, struct rules_ast *n)
{
    struct rules_ast *of = n->args[0];

    if (of->kind != AST_FIELD && of->kind != AST_INDEX && of->kind != AST_NAME) {
        complain(c, of->at, "has() needs a name, as in has(body.amount)");
        return;
    }
    rules_resolve(c, of);
    n->kind = AST_HAS;
    n->a = of;
    n->type = TYPE_BOOL;
}

static void check_size(struct checker *c, struct rules_ast *n, struct rules_ast *of)
{
    rules_visit(c, of);
    n->kind = AST_SIZE;
    n->a = of;
    n->type = TYPE_NUMBER;
    if (of->type != TYPE_LIST && !type_fits(of->type, TYPE_STRING))
        complain(c, of->at, "size() needs a string or a list, not %s", rules_type_name(of->type));
}

/* timestamp(...) and duration(...): done here for text as written. */
static void check_conversion(struct checker *c, struct rules_ast *n)
{
    bool time = word_is(n->text, "timestamp");
    struct rules_ast *of = n->args[0];

    rules_visit(c, of);
    n->kind = time ? AST_TIMESTAMP : AST_DURATION;
    n->type = time ? TYPE_TIME : TYPE_DURATION;
    n->a = of;
    if (is_text_literal(of)) {
        n->kind = AST_LITERAL;
        n->value = time ? rules_time_of(of->value.text) : rules_duration_of(of->value.text);
    }
    if (!type_fits(of->type, TYPE_STRING) ||
        (n->kind == AST_LITERAL && n->value.kind == VALUE_UNKNOWN))
        complain(c, of->at, "%s",
                 time ? "timestamp() needs a time as written in RFC 3339, as in "
                        "timestamp(\"2027-01-31T00:00:00Z\")"
                      : "duration() needs hours, minutes and seconds, as in "
                        "duration(\"1h30m\") or duration(\"250ms\")");
}

static void check_found(struct checker *c, struct rules_ast *n)
{
    struct rules_ast *of = n->args[0];
    bool declared = false;
    match_set set;

    if (c->scope != SCOPE_CALL) {
        complain(c, n->at, "found() looks at a call; there is none here");
        return;
    }
    if (!is_text_literal(of) || !rules_glob_valid(of->value.text)) {
        complain(c, of->at,
                 "found() needs a detector's name as written, as in "
                 "found(\"pci.card\") or found(\"secret.*\")");
        return;
    }
    set = rules_detectors_for(c->around->l, of->value.text, &declared);
    if (!set && !declared)
        complain(c, of->at, "`%.*s` finds no known detector", SPAN_ARG(of->value.text));
    c->around->found = c->around->names = true;
    n->kind = AST_FOUND;
    n->type = TYPE_NUMBER;
    n->value = (struct rules_value){.kind = VALUE_NUMBER, .detectors = set};
}

static bool has_room(struct checker *c, const struct rules_ast *n)
{
    size_t before = c->around->l ? c->around->l->patterns.n : 0;

    if (before + c->around->patterns.n < RULES_MATCHES_MAX)
        return true;
    complain(c, n->at, "the conditions of a rule set match with at most %d patterns",
             RULES_MATCHES_MAX);
    return false;
}

/* matches(text, "pattern"), text.matches("pattern") */
static void check_matches(struct checker *c, struct rules_ast *n, struct rules_ast *text,
                          const struct rules_ast *pattern)
{
    struct match_regex *re;
    char why[256];

    rules_visit(c, text);
    need_string(c, text, "matches()");
    n->kind = AST_MATCHES;
    n->type = TYPE_BOOL;
    n->a = text;
    if (!is_text_literal(pattern) || pattern->value.text.n > PATTERN_MAX) {
        complain(c, pattern->at, "the pattern must be a string as written, of at most %d bytes",
                 PATTERN_MAX);
        return;
    }
    if (!has_room(c, n))
        return;
    re = match_regex_new(c->around->mem, pattern->value.text, why);
    if (!re) {
        complain(c, pattern->at, "this pattern is refused: %s", why);
        return;
    }
    rules_list_add(&c->around->patterns, c->mem, re);
    n->value = (struct rules_value){.kind = VALUE_STRING, .regex = re};
}

static bool one_of(struct span s, const char *const *names)
{
    for (; *names; names++)
        if (word_is(s, *names))
            return true;
    return false;
}

/* CEL's, which have no meaning or no use here. */
static const char *instead_of(struct span name)
{
    static const struct {
        const char *name, *instead;
    } all[] = {
        {"int", "numbers have one type; leave it out"},
        {"uint", "numbers have one type; leave it out"},
        {"double", "numbers have one type; leave it out"},
        {"string", "write what is compared as a string"},
        {"bytes", "there are no bytes here"},
        {"bool", "write == true"},
        {"dyn", "values of the call pass everywhere; leave it out"},
        {"type", "use has(), and compare: what is of another type is unknown"},
        {"map", "use all() or exists()"},
        {"filter", "use all(), exists() or exists_one()"},
        {"all", "write list.all(x, condition)"},
        {"exists", "write list.exists(x, condition)"},
        {"exists_one", "write list.exists_one(x, condition)"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (word_is(name, all[i].name))
            return all[i].instead;
    return NULL;
}

static void no_such(struct checker *c, const struct rules_ast *n, const char *dot)
{
    const char *instead = instead_of(n->text);

    complain(c, n->at, "there is no function %s%.*s()%s%s", dot, SPAN_ARG(n->text),
             instead ? "; " : "", instead ? instead : "");
}

void rules_check_call(struct checker *c, struct rules_ast *n)
{
    static const char *const one[] = {"has", "size", "timestamp", "duration", "found", NULL};

    if (one_of(n->text, one) && n->nargs != 1)
        complain(c, n->at, "%.*s() takes one argument", SPAN_ARG(n->text));
    else if (word_is(n->text, "has"))
        check_has(c, n);
    else if (word_is(n->text, "size"))
        check_size(c, n, n->args[0]);
    else if (word_is(n->text, "timestamp") || word_is(n->text, "duration"))
        check_conversion(c, n);
    else if (word_is(n->text, "found"))
        check_found(c, n);
    else if (word_is(n->text, "spent") || word_is(n->text, "calls"))
        rules_check_window(c, n);
    else if (word_is(n->text, "matches") && n->nargs == 2)
        check_matches(c, n, n->args[0], n->args[1]);
    else if (word_is(n->text, "matches"))
        complain(c, n->at, "write matches(text, \"pattern\") or text.matches(\"pattern\")");
    else
        no_such(c, n, "");
}

/* ----------------------------------------------------------------- methods */

static bool check_test(struct checker *c, struct rules_ast *n)
{
    static const struct {
        const char *name;
        enum rules_ast_kind kind;
    } tests[] = {{"startsWith", AST_STARTS}, {"endsWith", AST_ENDS}, {"contains", AST_CONTAINS}};

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (!word_is(n->text, tests[i].name))
            continue;
        rules_visit(c, n->a);
        n->kind = tests[i].kind;
        n->type = TYPE_BOOL;
        if (n->nargs != 1) {
            complain(c, n->at, ".%s() takes one argument", tests[i].name);
            return true;
        }
        n->b = n->args[0];
        rules_visit(c, n->b);
        need_string(c, n->a, "this test");
        need_string(c, n->b, "this test");
        return true;
    }
    return false;
}

static const struct rules_zone *find_zone(struct checker *c, const struct rules_ast *n)
{
    struct rules_loader *l = c->around->l;
    const struct rules_zone *z;
    const char *why;

    if (!is_text_literal(n)) {
        complain(c, n->at, "a zone is written as \"Europe/Berlin\", \"+02:00\" or \"UTC\"");
        return NULL;
    }
    z = l ? rules_map_get(&l->zones, n->value.text) : NULL;
    if (z)
        return z;
    z = rules_zone_read(c->around->mem, n->value.text, &why);
    if (!z)
        complain(c, n->at, "%s", why);
    else if (l)
        rules_map_put(&l->zones, &l->tmp, arena_span(&l->tmp, n->value.text), (void *)(uintptr_t)z);
    return z;
}

static void check_getter(struct checker *c, struct rules_ast *n, enum rules_get get)
{
    rules_visit(c, n->a);
    n->kind = AST_GET;
    n->type = TYPE_NUMBER;
    n->get = get;
    n->value = VALUE_OF(VALUE_NULL);
    if (n->a->type != TYPE_TIME && n->a->type != TYPE_DURATION)
        complain(c, n->at, ".%.*s() needs a time%s, not %s", SPAN_ARG(n->text),
                 get >= TIME_HOURS ? " or a duration" : "",
                 n->a->type == TYPE_DYN ? "a value of the call: write timestamp(...) around it"
                                        : rules_type_name(n->a->type));
    else if (n->a->type == TYPE_DURATION && get < TIME_HOURS)
        complain(c, n->at, "a duration has hours, minutes, seconds and milliseconds");
    else if (n->nargs > 1 || (n->nargs && n->a->type == TYPE_DURATION))
        complain(c, n->at, ".%.*s() takes %s", SPAN_ARG(n->text),
                 n->a->type == TYPE_DURATION ? "no argument on a duration" : "one zone at most");
    else if (n->nargs)
        n->value.zone = find_zone(c, n->args[0]);
}

static bool check_get(struct checker *c, struct rules_ast *n)
{
    static const char *const names[] = {
        [TIME_FULL_YEAR] = "getFullYear",
        [TIME_MONTH] = "getMonth",
        [TIME_DATE] = "getDate",
        [TIME_DAY_OF_MONTH] = "getDayOfMonth",
        [TIME_DAY_OF_WEEK] = "getDayOfWeek",
        [TIME_DAY_OF_YEAR] = "getDayOfYear",
        [TIME_HOURS] = "getHours",
        [TIME_MINUTES] = "getMinutes",
        [TIME_SECONDS] = "getSeconds",
        [TIME_MILLISECONDS] = "getMilliseconds",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!word_is(n->text, names[i]))
            continue;
        check_getter(c, n, (enum rules_get)i);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------- loops */

static void enter_loop(struct checker *c, struct rules_ast *n, enum rules_loop_kind kind)
{
    const struct rules_ast *variable = n->args[0];
    struct rules_ast_loop *loop = arena_new(c->mem, struct rules_ast_loop);

    if (variable->kind != AST_NAME || rules_is_root(variable->text)) {
        complain(c, variable->at,
                 variable->kind == AST_NAME ? "this name is taken; call the element otherwise"
                                            : "the first argument names the element, as in "
                                              "list.exists(x, x > 5)");
        return;
    }
    if (c->nloops == RULES_LOOPS_MAX) {
        complain(c, n->at, "at most %d of all(), exists() and exists_one() stand in each other",
                 RULES_LOOPS_MAX);
        return;
    }
    *loop = (struct rules_ast_loop){.kind = kind,
                                    .level = c->nloops,
                                    .variable = variable->text,
                                    .elem = n->a->type == TYPE_LIST ? n->a->elem : TYPE_DYN};
    c->loop[c->nloops++] = loop;
    n->loop = loop;
    n->b = n->args[1];
    rules_visit_bool(c, &n->b, "what is asked of each element");
    c->nloops--;
}

static bool check_loop(struct checker *c, struct rules_ast *n)
{
    static const char *const names[] = {"all", "exists", "exists_one"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!word_is(n->text, names[i]))
            continue;
        rules_visit(c, n->a);
        n->kind = AST_LOOP;
        n->type = TYPE_BOOL;
        if (n->nargs != 2)
            complain(c, n->at, "write .%s(x, condition)", names[i]);
        else if (!type_fits(n->a->type, TYPE_LIST))
            complain(c, n->at, ".%s() needs a list, not %s", names[i], rules_type_name(n->a->type));
        else
            enter_loop(c, n, (enum rules_loop_kind)i);
        return true;
    }
    return false;
}

void rules_check_method(struct checker *c, struct rules_ast *n)
{
    if (word_is(n->text, "size") && n->nargs == 0)
        check_size(c, n, n->a);
    else if (word_is(n->text, "matches") && n->nargs == 1)
        check_matches(c, n, n->a, n->args[0]);
    else if (word_is(n->text, "matches"))
        complain(c, n->at, ".matches() takes one argument");
    else if (!check_test(c, n) && !check_get(c, n) && !check_loop(c, n))
        no_such(c, n, ".");
}
