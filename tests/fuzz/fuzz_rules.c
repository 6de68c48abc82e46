/* Rules files and conditions with any bytes in them: complaints or a set that can be used, never
 * more. The first byte says which: even for a condition (up to a NUL byte; what follows is the body
 * that it is run on), odd for a file. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "rules/rules_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char directory[] = "/dev/shm/fuzz-rules-XXXXXX";
static char file[sizeof(directory) + 8];

static void clean_up(void)
{
    unlink(file);
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (!mkdtemp(directory))
        abort();
    snprintf(file, sizeof(file), "%s/a.yaml", directory);
    atexit(clean_up);
    return 0;
}

static const struct rules_connection connection = {.name = {"x", 1}};
static const struct rules_function function = {.name = {"x.f", 3}, .connection = &connection};

static void make_call(struct rules_call *c, struct rules_caller *caller, struct http_head *head,
                      struct span body, bool form)
{
    static struct match_found found;

    *caller = (struct rules_caller){
        .id = {"alice", 5}, .method = {"oidc", 4}, .claims = {"{\"l\": [1, {\"n\": 2}]}", 20}};
    head->method = SPAN_LIT("POST");
    head->path = SPAN_LIT("/a/b");
    head->query = SPAN_LIT("a=1&b=2");
    head->nfields = 1;
    head->fields[0] = (struct http_field){.name = {"X-A", 3}, .value = {"v", 1}};
    match_found_clear(&found);
    match_found_add(&found, 1, 3);
    *c = (struct rules_call){.caller = caller,
                             .function = &function,
                             .head = head,
                             .body = body,
                             .body_type = form ? BODY_FORM : BODY_JSON,
                             .body_size = body.n,
                             .found = body.n % 3 ? &found : NULL,
                             .now_ns = 1};
}

static enum rules_truth said(const struct rules_value *v)
{
    return v->kind == VALUE_BOOL ? truth_of(v->boolean) : TRUTH_UNKNOWN;
}

/* An explanation runs the same program, and tells of each part within its text. */
static void explain(const struct rules_expr *e, struct rules_run *run, enum rules_truth want)
{
    struct rules_trace t = {calloc(e->ncode, sizeof(*t.at))};
    struct rules_value v;

    if (!t.at)
        abort();
    run->trace = &t;
    run->loop_steps = run->loop_bytes = 0;
    v = rules_eval_traced(e, run);
    run->trace = NULL;
    if (said(&v) != want)
        abort();
    for (unsigned i = 0; i < e->nparts; i++)
        if (e->parts[i].from > e->parts[i].to || e->parts[i].to > e->source.n ||
            e->parts[i].pc >= e->ncode)
            abort();
    free(t.at);
}

static void run_expression(const struct rules_expr *e, const struct rules_call *c)
{
    struct rules_value first;
    static struct rules_run run;
    static char text[RULES_TEXT_ROOM], scratch[1 << 17];
    struct arena mem = ARENA_INIT;
    struct body_values doc[DOC_COUNT];
    const struct span in[DOC_COUNT] = {c->body, c->caller->claims, c->head->query};
    const enum body_type type[DOC_COUNT] = {c->body_type, BODY_JSON, BODY_FORM};

    for (unsigned d = 0; d < DOC_COUNT; d++) {
        struct body_paths *p = body_paths_new(&mem);
        uint16_t *slots = arena_array(&mem, uint16_t, e->paths.n[d] + 1);

        for (unsigned i = 0; i < e->paths.n[d]; i++) {
            int at = body_paths_add(p, e->paths.path[d][i]);

            if (at < 0)
                abort(); /* checked when it was compiled */
            slots[i] = (uint16_t)at;
        }
        run.slots[d] = slots;
        run.form[d] = type[d] == BODY_FORM;
        doc[d].count = body_paths_count(p);
        doc[d].v = arena_array(&mem, struct body_value, doc[d].count + 1);
        body_read(p, type[d], in[d], span_of(scratch, sizeof(scratch)), &doc[d]);
    }
    run.call = c;
    run.doc = doc;
    run.text = (struct rules_text){text, 0, sizeof(text)};
    run.loop_steps = run.loop_bytes = 0;
    if (!rules_run_adopt(&run, &e->needs))
        abort();
    first = rules_eval(e, &run);
    if (e->constant && said(&first) != e->says)
        abort();
    explain(e, &run, said(&first));
    arena_free(&mem);
}

static void try_expression(struct span in)
{
    static struct http_head head;
    struct rules_caller caller;
    struct rules_call call;
    struct arena mem = ARENA_INIT;
    struct diags d;
    struct rules_source_text src = {.file = "expr", .d = &d};
    struct rules_expr *e;
    struct span rest = in;

    src.text = span_cut(&rest, 0);
    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_BOOL, &mem);
    if (!e != (d.errors > 0))
        abort();
    if (e) {
        make_call(&call, &caller, &head, rest, rest.n % 2);
        run_expression(e, &call);
    }
    diags_free(&d);
    arena_free(&mem);
}

static void use_set(const struct rules_set *s)
{
    static struct http_head head;
    static struct rules_verdict v;
    struct rules_scratch *x = rules_scratch_new();
    struct rules_caller caller;
    struct rules_params params = {0};
    struct rules_call call;

    make_call(&call, &caller, &head, SPAN_LIT("{\"amount\": 5}"), false);
    call.params = &params;
    if (!x || !rules_scratch_adopt(x, s))
        abort();
    for (unsigned i = 0; i < rules_connection_count(s); i++)
        rules_function_for(s, rules_connection_at(s, i), head.method, head.path, &params);
    for (unsigned i = 0; i < rules_function_count(s); i++) {
        call.function = rules_function_at(s, i);
        rules_decide(s, x, &call, &v);
        if (!v.rule && v.decision != RULES_BLOCK)
            abort();
    }
    rules_scratch_free(x);
}

static void try_file(struct span text)
{
    struct rules_set *s;
    struct diags d;
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n)
        abort();
    close(fd);
    diags_init(&d);
    s = rules_load(directory, 1, &d);
    if (!s != (d.errors > 0))
        abort();
    if (s)
        use_set(s);
    rules_free(s);
    diags_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);

    if (size == 0)
        return 0;
    in = span_from(in, 1);
    if (data[0] % 2)
        try_file(in);
    else
        try_expression(in);
    return 0;
}
