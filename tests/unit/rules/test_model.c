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

static const struct model_features features = {.math = false};

static unsigned long count = COUNT;

/* ------------------------------------------------------------- the program */

struct call {
    struct rules_caller caller;
    struct rules_params params;
    struct http_head head;
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
    c->call = (struct rules_call){.caller = &c->caller,
                                  .function = &function,
                                  .params = &c->params,
                                  .head = &c->head,
                                  .body = w->body_text,
                                  .body_size = w->size,
                                  .now_ns = w->now_ns};
}

static enum body_type type_of(const struct model_world *w, enum rules_doc d)
{
    if (d == DOC_BODY)
        return w->kind == MODEL_JSON ? BODY_JSON : w->kind == MODEL_FORM ? BODY_FORM : BODY_NONE;
    if (d == DOC_CLAIMS)
        return BODY_JSON;
    return w->query_text.n ? BODY_FORM : BODY_NONE;
}

static char run_program(const struct model_world *w, const struct rules_expr *e)
{
    static struct rules_run run;
    static struct call c;
    static char text[RULES_TEXT_ROOM], scratch[DOC_COUNT][65536];
    struct body_values doc[DOC_COUNT] = {0};
    struct arena mem = ARENA_INIT;
    struct rules_value v;

    make_call(w, &c);
    for (unsigned d = 0; d < DOC_COUNT; d++) {
        const struct span in[DOC_COUNT] = {w->body_text, w->claims_text, w->query_text};
        struct body_paths *p = body_paths_new(&mem);
        uint16_t *slots = arena_array(&mem, uint16_t, e->paths.n[d] + 1);

        for (unsigned i = 0; i < e->paths.n[d]; i++)
            slots[i] = (uint16_t)body_paths_add(p, e->paths.path[d][i]);
        doc[d].count = body_paths_count(p);
        doc[d].v = arena_array(&mem, struct body_value, doc[d].count + 1);
        body_read(p, type_of(w, d), in[d], span_of(scratch[d], sizeof(scratch[d])), &doc[d]);
        run.slots[d] = slots;
        run.form[d] = type_of(w, d) == BODY_FORM;
    }
    run.call = &c.call;
    run.doc = doc;
    run.text = (struct rules_text){text, 0, sizeof(text)};
    v = rules_eval(e, &run);
    arena_free(&mem);
    return v.kind != VALUE_BOOL ? 'U' : v.boolean ? 'T' : 'F';
}

/* NULL after the complaints were printed. */
static struct rules_expr *compile(struct span text, struct arena *mem)
{
    struct diags d;
    struct rules_source_text src = {.text = text, .file = "expr", .d = &d};
    struct rules_expr *e;

    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_BOOL, mem);
    if (!e)
        diags_print(&d, stdout, false);
    diags_free(&d);
    return e;
}

/* ---------------------------------------------------------------- the race */

static struct span printed(struct arena *mem, const struct model_node *n, uint64_t seed)
{
    struct outbuf o = outbuf_on(arena_alloc(mem, RULES_EXPR_MAX), RULES_EXPR_MAX);

    model_print(n, seed, &features, &o);
    return o.full ? SPAN_NONE : outbuf_span(&o);
}

/* What the program says, 'X' if it is refused; 0 if the condition is too long. */
static char ask(struct arena *mem, const struct model_world *w, const struct model_node *n,
                uint64_t seed)
{
    struct span text = printed(mem, n, seed);
    struct rules_expr *e = text.p ? compile(text, mem) : NULL;

    return !text.p ? 0 : !e ? 'X' : run_program(w, e);
}

/* The smallest tree below on which they still disagree. */
static const struct model_node *shrunk(struct arena *mem, const struct model_world *w,
                                       const struct model_node *n, uint64_t seed)
{
    for (unsigned i = 0;; i++) {
        const struct model_node *less = model_smaller(mem, n, i);
        char got = less ? ask(mem, w, less, seed) : 0;

        if (!less)
            return n;
        if (got && got != model_truth(mem, w, less))
            return shrunk(mem, w, less, seed);
    }
}

static void disagree(struct arena *mem, const struct model_world *w, const struct model_node *n,
                     uint64_t seed)
{
    const struct model_node *least = shrunk(mem, w, n, seed);
    struct span text = printed(mem, least, seed), all = printed(mem, n, seed);

    printf("TEST_SEED=%llu: `%.*s`\nin `%.*s`\nbody (%s) %.*s\nclaims %.*s\nquery %.*s\n",
           (unsigned long long)seed, SPAN_ARG(text), SPAN_ARG(all),
           w->kind == MODEL_JSON   ? "JSON"
           : w->kind == MODEL_FORM ? "form"
                                   : "none",
           SPAN_ARG(w->body_text), SPAN_ARG(w->claims_text), SPAN_ARG(w->query_text));
    fail_msg("expected %c, came %c", model_truth(mem, w, least), ask(mem, w, least, seed));
}

static void one_condition(uint64_t seed, unsigned long *seen)
{
    static struct model_world w;
    struct arena mem = ARENA_INIT;
    uint64_t state = seed;
    struct model_node *n = model_condition(&mem, &state, &features);
    struct span text = printed(&mem, n, seed);
    struct rules_expr *e = text.p ? compile(text, &mem) : NULL;

    if (text.p && !e)
        fail_msg("TEST_SEED=%llu: `%.*s` is refused", (unsigned long long)seed, SPAN_ARG(text));
    for (unsigned i = 0; e && i < 2; i++) {
        char want, got;

        model_world_make(&w, seed ^ (uint64_t)(i + 1) << 60);
        want = model_truth(&mem, &w, n);
        got = run_program(&w, e);
        if (want != got)
            disagree(&mem, &w, n, seed);
        seen[(unsigned)got]++;
    }
    arena_free(&mem);
}

static void the_program_says_what_the_tree_says(void **state)
{
    unsigned long seen[128] = {0}, all;
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned long i = 0; i < count; i++)
        one_condition(seed + i * 0xd1342543de82ef95u, seen);
    all = seen['T'] + seen['F'] + seen['U'];
    printf("true %lu, false %lu, unknown %lu\n", seen['T'], seen['F'], seen['U']);
    if (count >= 1000)
        assert_true(seen['T'] > all / 10 && seen['F'] > all / 10 && seen['U'] > all / 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_program_says_what_the_tree_says)};
    const char *said = argc > 1 ? argv[1] : getenv("MODEL_COUNT");

    if (said)
        count = strtoul(said, NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
