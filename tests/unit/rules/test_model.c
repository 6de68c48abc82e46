/* Random conditions about random calls: the flat program against the slow evaluator of model.h.
 *
 * `meson test` runs some tens of thousands. test_rules_model COUNT (or MODEL_COUNT in the
 * environment) runs that many conditions, each about two calls:
 *
 *     build/tests/unit/rules/test_rules_model 1000000
 *
 * Each condition has a seed of its own. A disagreement prints it; TEST_SEED=THAT and a COUNT of 1
 * show it again. */
#include "model.h"
#include "rules_test.h"

#include "rules/rules_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#define COUNT 4000
#else
#define COUNT 40000
#endif

static const struct model_features features = {.math = true,
                                               .ternary = true,
                                               .macros = true,
                                               .lists = true,
                                               .matches = true,
                                               .durations = true,
                                               .getters = true,
                                               .found = true,
                                               .index = true,
                                               .literals = true,
                                               .dyn_time = true,
                                               .windows = true};

static unsigned long count = COUNT;

/* ------------------------------------------------------------- the program */

struct call {
    struct rules_caller caller;
    struct rules_params params;
    struct http_head head;
    struct match_found found;
    struct rules_call call;
};

static void make_call(const struct model_world *w, struct call *c)
{
    static const struct rules_connection connection = {.name = {"x", 1}};
    static const struct rules_function function = {.name = {"x.f", 3}, .connection = &connection};

    memset(c, 0, sizeof(*c));
    c->caller.id = w->id;
    c->caller.issuer = w->issuer;
    c->caller.method = w->method;
    c->caller.claims = w->claims_text;
    c->caller.ngroups = w->ngroups;
    memcpy(c->caller.groups, w->groups, sizeof(w->groups));
    c->params.n = w->has_param;
    c->params.p[0].name = SPAN_LIT("p");
    c->params.p[0].value = w->param;
    c->head.method = SPAN_LIT("POST");
    c->head.path = w->path;
    c->head.query = w->query_text;
    c->head.nfields = w->nheaders;
    for (unsigned i = 0; i < w->nheaders; i++)
        c->head.fields[i] = (struct http_field){
            .name = w->header[i].name, .value = w->header[i].value, .hop = w->header[i].hop};
    match_found_clear(&c->found);
    for (unsigned i = 0; i < 3; i++)
        match_found_add(&c->found, i, w->found[i]);
    c->call = (struct rules_call){.caller = &c->caller,
                                  .function = &function,
                                  .params = &c->params,
                                  .head = &c->head,
                                  .body = w->body_text,
                                  .body_size = w->size,
                                  .found = w->scanned ? &c->found : NULL,
                                  .now_ns = w->now_ns};
}

static enum body_type type_of(const struct model_world *w, enum rules_doc d)
{
    static const enum body_type types[] = {[MODEL_JSON] = BODY_JSON,
                                           [MODEL_FORM] = BODY_FORM,
                                           [MODEL_MULTIPART] = BODY_MULTIPART,
                                           [MODEL_NO_BODY] = BODY_NONE};

    if (d == DOC_BODY)
        return types[w->kind];
    if (d == DOC_CLAIMS)
        return BODY_JSON;
    return w->query_text.n ? BODY_FORM : BODY_NONE;
}

static struct rules_value value_of(struct arena *mem, const struct model_value *v)
{
    char *p = arena_alloc(mem, v->num.n + 40);

    if (v->kind != M_NUMBER)
        return VALUE_OF(VALUE_UNKNOWN);
    memset(p, '0', 2);
    for (unsigned i = 0; i < v->num.n; i++)
        p[2 + i] = (char)('0' + v->num.d[i]);
    p[1] = '.';
    sprintf(p + 2 + v->num.n, "%se%ld", v->num.n ? "" : "0", v->num.point);
    return (struct rules_value){.kind = VALUE_NUMBER, .text = span_cstr(p)};
}

/* What a window is counted by must be what the tree says. */
static void check_key(struct arena *mem, const struct model_world *w, const struct rules_expr *key,
                      const struct model_node *n, struct rules_run *run)
{
    struct model_value want = model_eval(mem, w, n);
    struct rules_value got = rules_eval(key, run);
    bool text = want.kind == M_STRING || want.kind == M_FORM, same;
    struct span s;

    if (text)
        same = rules_value_text(&got, &s) && span_eq(s, want.text);
    else if (want.kind == M_NUMBER)
        same = got.kind == VALUE_NUMBER && span_eq(got.text, want.text);
    else
        same = got.kind != VALUE_NUMBER && !rules_value_text(&got, &s);
    if (!same)
        fail_msg("a window's key came as %u: `%.*s`", got.kind, SPAN_ARG(got.text));
}

/* Every window of the program is one of the tree's, by its text; its value is put where the program
 * looks for it. */
static void set_windows(struct arena *mem, const struct model_world *w, const struct rules_expr *e,
                        const struct model_node *tree, struct rules_run *run)
{
    struct rules_value *v = arena_array(mem, struct rules_value, e->nwindows + 1);

    for (unsigned i = 0; i < e->nwindows; i++) {
        const struct rules_window_use *use = &e->windows[i];
        const struct model_node *n;
        struct model_value value = model_window(mem, w, use->text);
        unsigned j = 0;

        while ((n = model_window_at(tree, j)) && !span_eq(model_window_text(mem, n), use->text))
            j++;
        if (!n || use->nkeys != n->nargs)
            fail_msg("no window is written as %.*s", SPAN_ARG(use->text));
        for (unsigned k = 0; k < use->nkeys; k++)
            check_key(mem, w, use->key[k], n->args[k], run);
        v[i] = value_of(mem, &value);
    }
    run->window = v;
}

static enum rules_truth truth_of_value(const struct rules_value *v)
{
    return v->kind == VALUE_BOOL ? truth_of(v->boolean) : TRUTH_UNKNOWN;
}

/* The value lives until the next run. */
static struct rules_value run_program(struct arena *mem, const struct model_world *w,
                                      const struct rules_expr *e, const struct model_node *tree)
{
    static struct rules_run run;
    static struct call c;
    static char text[RULES_TEXT_ROOM], scratch[DOC_COUNT][65536];
    struct body_values doc[DOC_COUNT] = {0};
    struct rules_value v;

    make_call(w, &c);
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        const struct span in[DOC_COUNT] = {w->body_text, w->claims_text, w->query_text};
        struct body_paths *p = body_paths_new(mem);
        uint16_t *slots = arena_array(mem, uint16_t, e->paths.n[d] + 1);

        for (unsigned i = 0; i < e->paths.n[d]; i++)
            slots[i] = (uint16_t)body_paths_add(p, e->paths.path[d][i]);
        doc[d].count = body_paths_count(p);
        doc[d].v = arena_array(mem, struct body_value, doc[d].count + 1);
        body_read(p, type_of(w, d), in[d], span_of(scratch[d], sizeof(scratch[d])), &doc[d]);
        run.slots[d] = slots;
        run.form[d] = body_type_is_form(type_of(w, d));
    }
    run.call = &c.call;
    run.doc = doc;
    run.text = (struct rules_text){text, 0, sizeof(text)};
    if (!rules_run_adopt(&run, &e->needs))
        fail_msg("no memory");
    set_windows(mem, w, e, tree, &run);
    run.loop_steps = run.loop_bytes = 0;
    v = rules_eval(e, &run);
    if (e->constant && truth_of_value(&v) != e->says)
        fail_msg("a constant is said to be %u", e->says);
    return v;
}

static void add_list(struct rules_loader *l, struct arena *mem, const char *name,
                     const char *const *entry, unsigned n, bool numbers)
{
    struct rules_named_list *list = arena_new(mem, struct rules_named_list);
    struct rules_value *items = arena_array(mem, struct rules_value, n);

    for (unsigned i = 0; i < n; i++)
        items[i] = (struct rules_value){.kind = numbers ? VALUE_NUMBER : VALUE_STRING,
                                        .text = span_cstr(entry[i])};
    list->name = span_cstr(name);
    list->elem = numbers ? TYPE_NUMBER : TYPE_STRING;
    list->value = (struct rules_value){.kind = VALUE_TABLE, .n = n};
    list->value.table = rules_table_new(mem, items, n);
    rules_map_put(&l->list_names, mem, list->name, list);
}

/* What stands in the files beside the condition. */
static struct rules_loader *files(struct arena *mem)
{
    struct rules_loader *l = arena_new(mem, struct rules_loader);

    l->set = arena_new(mem, struct rules_set);
    l->set->detectors = arena_new(mem, struct rules_detector);
    l->set->detectors[0].name = SPAN_LIT("acme.id");
    l->set->ndetectors = 1;
    add_list(l, mem, "words", model_words, MODEL_WORDS, false);
    add_list(l, mem, "numbers", model_numbers, MODEL_NUMBERS, true);
    return l;
}

/* NULL after the complaints were printed. */
static struct rules_expr *compile(struct span text, bool condition, struct arena *mem)
{
    struct diags d;
    struct rules_source_text src = {.text = text, .file = "expr", .d = &d};
    struct rules_loader *l = files(mem);
    struct rules_expr *e;

    diags_init(&d);
    e = rules_compile_in(&src, l, SCOPE_CALL, condition ? TYPE_BOOL : TYPE_DYN, mem);
    arena_free(&l->tmp);
    if (!e)
        diags_print(&d, stdout, false);
    diags_free(&d);
    return e;
}

/* ---------------------------------------------------------------- the race */

static bool is_condition(const struct model_node *n)
{
    return n->type == T_BOOL || n->kind == N_FOUND;
}

static struct model_value expected(struct arena *mem, const struct model_world *w,
                                   const struct model_node *n)
{
    return is_condition(n) ? model_truth(mem, w, n) : model_eval(mem, w, n);
}

static bool same_number(struct arena *mem, struct span text, const struct model_num *want)
{
    struct model_num n;

    return model_num_read(mem, text, &n) && model_num_cmp(&n, want) == 0;
}

static bool agree(struct arena *mem, const struct rules_value *got, const struct model_value *want)
{
    static const enum rules_value_kind kinds[] = {
        [M_NULL] = VALUE_NULL,         [M_BOOL] = VALUE_BOOL,    [M_NUMBER] = VALUE_NUMBER,
        [M_STRING] = VALUE_STRING,     [M_FORM] = VALUE_FORM,    [M_TIME] = VALUE_TIME,
        [M_DURATION] = VALUE_DURATION, [M_OBJECT] = VALUE_OBJECT};

    if (want->kind == M_UNKNOWN || want->kind == M_MISSING)
        return got->kind == VALUE_UNKNOWN || got->kind == VALUE_MISSING;
    if (want->kind == M_LIST)
        return got->kind >= VALUE_SPANS && got->kind < VALUE_OBJECT && got->n == want->n;
    if (got->kind != kinds[want->kind])
        return false;
    if (want->kind == M_NUMBER)
        return same_number(mem, got->text, &want->num);
    if (want->kind == M_STRING || want->kind == M_FORM)
        return span_eq(got->text, want->text);
    if (want->kind == M_TIME || want->kind == M_DURATION)
        return (model_ns)got->seconds * 1000000000 + got->n == want->ns;
    return want->kind != M_BOOL || got->boolean == want->boolean;
}

static struct span printed(struct arena *mem, const struct model_node *n, uint64_t seed)
{
    static char room[RULES_EXPR_MAX];
    struct outbuf o = outbuf_on(room, sizeof(room));

    model_print(n, seed, &features, &o);
    return o.full ? SPAN_NONE : arena_span(mem, outbuf_span(&o));
}

static bool disagrees(struct arena *mem, const struct model_world *w, const struct model_node *n,
                      uint64_t seed)
{
    struct span text = printed(mem, n, seed);
    struct rules_expr *e = compile(text, is_condition(n), mem);
    struct model_value want = expected(mem, w, n);
    struct rules_value got;

    if (!e)
        return false;
    got = run_program(mem, w, e, n);
    return !agree(mem, &got, &want);
}

/* The smallest part on which they still disagree. */
static const struct model_node *shrunk(struct arena *mem, const struct model_world *w,
                                       const struct model_node *n, uint64_t seed)
{
    const struct model_node *less;

    for (unsigned i = 0; (less = model_smaller(mem, n, i)); i++)
        if (disagrees(mem, w, less, seed))
            return shrunk(mem, w, less, seed);
    return n;
}

static void show(const char *what, const struct rules_value *v)
{
    printf("%s: kind %u, %s, `%.*s`, %lld.%09u\n", what, v->kind, v->boolean ? "true" : "false",
           SPAN_ARG(v->text), (long long)v->seconds, v->n);
}

/* As the program would hold it. */
static struct rules_value shown(struct arena *mem, const struct model_value *v)
{
    static const enum rules_value_kind kinds[] = {
        VALUE_UNKNOWN, VALUE_MISSING, VALUE_NULL,     VALUE_BOOL,  VALUE_NUMBER, VALUE_STRING,
        VALUE_FORM,    VALUE_TIME,    VALUE_DURATION, VALUE_ARRAY, VALUE_OBJECT};
    struct rules_value out = {.kind = kinds[v->kind], .boolean = v->boolean, .text = v->text};

    if (v->kind == M_NUMBER)
        out.text = value_of(mem, v).text;
    if (v->kind == M_TIME || v->kind == M_DURATION) {
        out.seconds = (int64_t)(v->ns / 1000000000 - (v->ns % 1000000000 < 0));
        out.n = (unsigned)(v->ns - (model_ns)out.seconds * 1000000000);
    }
    return out;
}

static void report(struct arena *mem, const struct model_world *w, const struct model_node *n,
                   uint64_t seed)
{
    const struct model_node *least = shrunk(mem, w, n, seed);
    struct span text = printed(mem, least, seed), all = printed(mem, n, seed);
    struct model_value want = expected(mem, w, least);
    struct rules_value value = shown(mem, &want);

    printf("TEST_SEED=%llu: `%.*s`\nin `%.*s`\nbody (%s) %.*s\nclaims %.*s\nquery %.*s\n",
           (unsigned long long)seed, SPAN_ARG(text), SPAN_ARG(all),
           w->kind == MODEL_JSON        ? "JSON"
           : w->kind == MODEL_FORM      ? "form"
           : w->kind == MODEL_MULTIPART ? "multipart"
                                        : "none",
           SPAN_ARG(w->body_text), SPAN_ARG(w->claims_text), SPAN_ARG(w->query_text));
    show("expected", &value);
    value = run_program(mem, w, compile(text, is_condition(least), mem), least);
    show("came", &value);
    fail_msg("the program and the tree disagree");
}

static void one_expression(uint64_t seed, unsigned long *seen)
{
    static struct model_world w;
    struct arena mem = ARENA_INIT;
    uint64_t state = seed;
    struct model_node *n = model_pick(&state, 4) ? model_condition(&mem, &state, &features)
                                                 : model_operand(&mem, &state, &features);
    struct span text = printed(&mem, n, seed);
    struct rules_expr *e = text.p ? compile(text, is_condition(n), &mem) : NULL;

    if (text.p && !e)
        fail_msg("TEST_SEED=%llu: `%.*s` is refused", (unsigned long long)seed, SPAN_ARG(text));
    for (unsigned i = 0; e && i < 2; i++) {
        struct model_value want;
        struct rules_value got;

        model_world_make(&w, seed ^ (uint64_t)(i + 1) << 60);
        want = expected(&mem, &w, n);
        got = run_program(&mem, &w, e, n);
        if (!agree(&mem, &got, &want))
            report(&mem, &w, n, seed);
        seen[got.kind == VALUE_BOOL ? got.boolean : got.kind <= VALUE_MISSING ? 2 : 3]++;
    }
    arena_free(&mem);
}

static void the_program_says_what_the_tree_says(void **state)
{
    unsigned long seen[4] = {0};
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned long i = 0; i < count; i++)
        one_expression(seed + i * 0xd1342543de82ef95u, seen);
    printf("false %lu, true %lu, unknown %lu, other values %lu\n", seen[0], seen[1], seen[2],
           seen[3]);
    for (unsigned i = 0; i < 4 && count >= 1000; i++)
        assert_true(seen[i] > count / 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_program_says_what_the_tree_says)};
    const char *said = argc > 1 ? argv[1] : getenv("MODEL_COUNT");

    if (said)
        count = strtoul(said, NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
