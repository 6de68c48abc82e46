/* Conditions of every construct on hostile bodies: one set of rules, compiled at the start, decides
 * on whatever comes. The first byte says what the rest is: a body of a type, claims or a query.
 *
 * Whatever comes, the decision is the same a second time, is what rules_explain finds, and blocks:
 * the first rule's condition is true of every call. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "rules/rules_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* clang-format off */
static const char *const conditions[] = {
    "size(function) > 0",
    "body.n + body.m * 2 - body.o.n / 3 > 1e2",
    "body.n % 7 == body.m % -3 || -body.n < body[0]",
    "(body.n > 5 ? body.s : body.u) + body.s != 'x'",
    "body.s + body.u + body.x == body.l[0]",
    "body.items.exists(i, i.n > 5 && has(i.s))",
    "body.items.all(i, i.tags.exists(t, t == 'a' || t in lists.words))",
    "body.items.exists_one(i, i.n * i.q > 10 && !(i.s in caller.groups))",
    "body.items.exists(i, i.tags.all(t, body.l.exists(j, j == t || body.n == j)))",
    "body.exists(i, i == 5 || i.n == 5 || size(i) > 2)",
    "body.all(i, i.all(j, j.all(k, k != 1)))",
    "body.l.exists(i, i.s.matches('^a.*b$') || matches(i, 'b+c'))",
    "body.s.matches('(?i)transfer|re.und$')",
    "body.n in lists.numbers || body.s in lists.words || body.x in [1, 2.5, 5e4]",
    "body.x in body.l || body.l[1] in body.items[0].tags",
    "timestamp(body.t) > now - duration('24h') && timestamp(body.t).getHours('Europe/Berlin') < 8",
    "timestamp(body.t).getDayOfYear('America/New_York') > timestamp(body.s).getFullYear()",
    "timestamp(body.t) - timestamp(body.s) > duration(body.d) + duration('1.5s')",
    "duration(body.d).getMilliseconds() > 5",
    "found('pci.*') > 2 || found('*')",
    "spent('body.n', '24h', caller.id, body.s) + body.n > 1000",
    "calls('1h', body.x, body.l[0]) >= 600",
    "caller.claims.items.exists(i, i.n > 5 && i.tags.exists(t, t.startsWith('a')))",
    "request.query['n'] + request.query.s == body.s",
    "request.query.l[0].contains(caller.claims.s) || size(body) > size(body.o)",
    "has(body.o.n) && !has(body['odd.key']) || body.N == null",
};
/* clang-format on */
#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

static char directory[] = "/dev/shm/fuzz-conditions-XXXXXX";
static char file[sizeof(directory) + 8];
static struct rules_set *set;
static struct rules_scratch *scratch;

static struct span files(char *room, size_t n)
{
    struct outbuf o = outbuf_on(room, n);

    outbuf_cstr(&o, "connections: {x: {hosts: [h.example], functions: {f: POST /a/b}}}\n"
                    "lists: {words: [a, b, x y], numbers: [1, 2.5, 5e4, 1e400]}\n"
                    "rules:\n");
    for (unsigned i = 0; i < CONDITIONS; i++)
        outbuf_printf(&o, "  - {id: %u, name: n, on: x.f, then: %s, when: \"%s\"}\n", i + 1,
                      i ? "hold, hold: {groups: [a]}" : "block", conditions[i]);
    if (o.full)
        abort();
    return outbuf_span(&o);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char room[16384];
    struct span text = files(room, sizeof(room));
    struct diags d;
    int fd;

    (void)argc;
    (void)argv;
    if (!mkdtemp(directory))
        abort();
    snprintf(file, sizeof(file), "%s/a.yaml", directory);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n)
        abort();
    close(fd);
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

static void make_call(struct rules_call *c, struct rules_caller *caller, struct http_head *head,
                      struct match_found *found, uint8_t what, struct span in)
{
    static const enum body_type types[] = {BODY_JSON, BODY_JSON, BODY_FORM, BODY_MULTIPART};
    static const struct rules_params params;

    *caller = (struct rules_caller){.id = {"alice", 5}, .method = {"oidc", 4}, .claims = {"{}", 2}};
    caller->groups[0] = SPAN_LIT("a");
    caller->ngroups = 1;
    head->method = SPAN_LIT("POST");
    head->path = SPAN_LIT("/a/b");
    head->query = SPAN_LIT("n=1&s=a&l[]=x");
    head->nfields = 0;
    match_found_clear(found);
    match_found_add(found, 0, what >> 5);
    *c = (struct rules_call){.caller = caller,
                             .params = &params,
                             .head = head,
                             .body = SPAN_LIT("{}"),
                             .body_type = BODY_JSON,
                             .found = what & 16 ? found : NULL,
                             .now_ns = (uint64_t)1790000000 * RULES_SECOND};
    if (what % 8 == 7) {
        head->query = in;
    } else if (what % 8 == 6) {
        caller->claims = in;
    } else {
        c->body = in;
        c->body_type = types[what % 4];
    }
    c->body_size = c->body.n;
}

static void tell(void *ctx, const struct rules_rule *rule, unsigned depth, struct span text,
                 struct span value)
{
    size_t *sum = ctx;

    (void)rule;
    *sum += depth;
    for (size_t i = 0; i < text.n; i++)
        *sum += (unsigned char)text.p[i];
    for (size_t i = 0; i < value.n; i++)
        *sum += (unsigned char)value.p[i];
}

static void check_same(const struct rules_verdict *a, const struct rules_verdict *b)
{
    if (a->decision != b->decision || a->rule != b->rule || a->unknown != b->unknown ||
        a->nmatched != b->nmatched || a->more != b->more)
        abort();
    for (unsigned i = 0; i < a->nmatched; i++)
        if (a->matched[i].rule != b->matched[i].rule ||
            a->matched[i].unknown != b->matched[i].unknown)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    static struct rules_verdict first, again, explained;
    static struct rules_params params;
    struct match_found found;
    struct rules_caller caller;
    struct rules_call call;
    size_t sum = 0;

    if (size == 0)
        return 0;
    make_call(&call, &caller, &head, &found, data[0], span_of(data + 1, size - 1));
    if (call.caller->claims.n > 16384 || head.query.n > 16384 || size > 1 << 20)
        return 0; /* longer ones are refused before they come here */
    call.function = rules_function_for(set, rules_connection_for(set, SPAN_LIT("h.example")),
                                       head.method, head.path, &params);
    rules_decide(set, scratch, &call, &first);
    rules_decide(set, scratch, &call, &again);
    rules_explain(set, scratch, &call, &explained, tell, &sum);
    check_same(&first, &again);
    check_same(&first, &explained);
    if (first.decision != RULES_BLOCK || !first.rule || first.unknown)
        abort();
    return 0;
}
