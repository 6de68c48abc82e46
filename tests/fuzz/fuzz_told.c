/* Calls whose function the body tells. The first byte says which route and which kind of body; up
 * to a NUL byte stands the query, then the body. White space behind a JSON document changes
 * nothing; a field of another name in the query neither. */
#include <stdlib.h>
#include <unistd.h>

#include "rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char text[] = "connections:\n"
                           "  x:\n"
                           "    hosts: [x.example]\n"
                           "    functions:\n"
                           "      a: {at: POST /rpc, jsonrpc: [a, tools/call]}\n"
                           "      b: {at: POST /rpc, mcp: [a, b]}\n"
                           "      rpc: POST /rpc\n"
                           "      c: {at: POST /ql, graphql: [query a, mutation *]}\n"
                           "      d: {at: POST /ql, graphql: mutation b}\n"
                           "      ql: POST /ql\n"
                           "      e: {at: POST /field, form: {a.b: [x, 5]}}\n"
                           "      f: {at: POST /field, json: {a.b: [x, 5, true]}}\n"
                           "      g: {at: POST /field, json: {c: x}}\n"
                           "      field: POST /field\n";
static struct rules_set *set;
static struct rules_scratch *scratch;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char directory[] = "/dev/shm/fuzz-told-XXXXXX", file[sizeof(directory) + 8];
    struct diags d;
    FILE *f;

    (void)argc;
    (void)argv;
    if (!mkdtemp(directory))
        abort();
    snprintf(file, sizeof(file), "%s/a.yaml", directory);
    f = fopen(file, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
    diags_init(&d);
    set = rules_load(directory, 1, &d);
    diags_print(&d, stderr, false);
    diags_free(&d);
    unlink(file);
    rmdir(directory);
    scratch = rules_scratch_new();
    if (!set || !scratch || !rules_scratch_adopt(scratch, set))
        abort();
    return 0;
}

static const struct rules_function *told(unsigned path, enum body_type type, struct span query,
                                         struct span body)
{
    static const struct span paths[] = {{"/rpc", 4}, {"/ql", 3}, {"/field", 6}};
    static struct rules_params params;
    static struct http_head head;
    struct rules_call call = {.params = &params,
                              .head = &head,
                              .body_type = type,
                              .body = body,
                              .body_size = body.n,
                              .now_ns = 1};

    head.method = SPAN_LIT("POST");
    head.path = paths[path];
    head.query = query;
    call.function = rules_function_for(set, rules_connection_for(set, SPAN_LIT("x.example")),
                                       head.method, head.path, &params);
    return rules_function_told(scratch, &call);
}

static struct span joined(struct span a, const char *b)
{
    char *p = malloc(a.n + strlen(b));

    if (a.n)
        memcpy(p, a.p, a.n);
    memcpy(p + a.n, b, strlen(b));
    return span_of(p, a.n + strlen(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum body_type types[] = {BODY_JSON, BODY_FORM, BODY_MULTIPART, BODY_NONE};
    struct span body = span_of(data, size), query, more;
    const struct rules_function *f;
    unsigned path;

    if (size == 0)
        return 0;
    path = data[0] % 3;
    body = span_from(body, 1);
    query = span_cut(&body, '\0');
    if (!body.p)
        return 0;
    f = told(path, types[data[0] / 3 % 4], query, body);
    if (types[data[0] / 3 % 4] == BODY_JSON) {
        more = joined(body, " \n");
        if (told(path, BODY_JSON, query, more) != f)
            abort();
        free((void *)(uintptr_t)more.p);
    }
    more = joined(query, query.n ? "&zz=1" : "zz=1");
    if (told(path, types[data[0] / 3 % 4], more, body) != f)
        abort();
    free((void *)(uintptr_t)more.p);
    return 0;
}
