#include "judge.h"

#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>

struct judge {
    struct rules_set *set;
    struct rules_scratch *scratch;
    struct rules_hits *hits;
    struct window_table *windows;
    struct match_db *db; /* of the set's detectors, for found() */
    struct match_worker *match;
    struct match_found found;
    struct body_decoder *decoder;
};

/* Here nobody else can choose keys so that they collide. */
static const uint8_t window_secret[WINDOW_SECRET] = "turnpikectl";
enum { WINDOW_KEYS = 65536 };

/* ------------------------------------------------------------------------- calls */

void ctl_call_free(struct ctl_call *c)
{
    arena_free(&c->mem);
}

/* What the appliance's codec makes of it, with the framing that the body needs. */
void ctl_call_set(struct ctl_call *c, struct span head, struct span body)
{
    size_t room = head.n + 64, scanned = 0, used;
    struct outbuf o = outbuf_on(arena_alloc(&c->mem, room), room);

    outbuf_span_put(&o, head);
    if (body.n)
        outbuf_printf(&o, "Content-Length: %zu\r\n", body.n);
    outbuf_lit(&o, "\r\n");
    c->body = arena_span(&c->mem, body);
    c->body_size = body.n;
    if (http_parse_request(&c->head, outbuf_span(&o), &scanned, &used, &c->malformed) == HTTP_OK)
        c->malformed = HTTP_ERR_NONE;
    else if (c->malformed == HTTP_ERR_NONE)
        c->malformed = HTTP_ERR_TRUNCATED;
}

static struct span recorded(const struct audit_record *r, enum audit_field f)
{
    struct audit_value v;

    return audit_get(r, f, &v) ? v.text : SPAN_NONE;
}

static uint64_t recorded_number(const struct audit_record *r, enum audit_field f)
{
    struct audit_value v;

    return audit_get(r, f, &v) ? v.number : 0;
}

static enum body_problem problem_named(struct span name)
{
    for (unsigned p = 1; p < BODY_PROBLEM_COUNT; p++)
        if (span_eq(name, span_cstr(body_problem_name((enum body_problem)p))))
            return (enum body_problem)p;
    return BODY_PROBLEM_NONE;
}

static void caller_from_record(struct ctl_call *c, const struct audit_record *r)
{
    struct rules_caller *who = &c->caller;
    struct audit_value v;
    size_t at = 0;

    who->id = arena_span(&c->mem, recorded(r, AUDIT_F_CALLER));
    who->issuer = arena_span(&c->mem, recorded(r, AUDIT_F_ISSUER));
    who->method = arena_span(&c->mem, recorded(r, AUDIT_F_IDENTITY));
    who->claims = SPAN_LIT("?"); /* no JSON: whatever is asked of it is unknown */
    if (!net_addr_parse(recorded(r, AUDIT_F_CLIENT_ADDRESS), &who->address))
        net_addr_parse(SPAN_LIT("192.0.2.1"), &who->address);
    while (audit_next_field(r, &at, &v))
        if (v.field == AUDIT_F_GROUP && who->ngroups < RULES_GROUPS_MAX)
            who->groups[who->ngroups++] = arena_span(&c->mem, v.text);
}

bool ctl_call_from_record(struct ctl_call *c, const struct audit_record *r)
{
    struct span method = recorded(r, AUDIT_F_METHOD), type = recorded(r, AUDIT_F_CONTENT_TYPE),
                body = recorded(r, AUDIT_F_BODY), target = recorded(r, AUDIT_F_TARGET),
                host = recorded(r, AUDIT_F_HOST);
    size_t room = method.n + target.n + host.n + type.n + 128;
    struct outbuf o;

    *c = (struct ctl_call){.mem = ARENA_INIT, .at_ns = r->wall_ns};
    if (r->kind != AUDIT_CALL_DECIDED || !method.n || !recorded(r, AUDIT_F_FUNCTION).n)
        return false;
    caller_from_record(c, r);
    o = outbuf_on(arena_alloc(&c->mem, room), room);
    outbuf_printf(&o, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n", SPAN_ARG(method), SPAN_ARG(target),
                  SPAN_ARG(host));
    if (type.n)
        http_write_field(&o, SPAN_LIT("Content-Type"), type);
    ctl_call_set(c, outbuf_span(&o), body);
    c->body_size = recorded_number(r, AUDIT_F_BODY_SIZE);
    c->recorded = true;
    c->cut = c->body_size > body.n;
    c->problem = problem_named(recorded(r, AUDIT_F_BODY_PROBLEM));
    return c->malformed == HTTP_ERR_NONE;
}

/* ------------------------------------------------------------------------- judging */

void judge_close(struct judge *j)
{
    if (!j)
        return;
    rules_scratch_free(j->scratch);
    window_table_delete(j->windows);
    match_worker_free(j->match);
    if (j->db)
        match_db_free(j->db);
    body_decoder_free(j->decoder);
    free(j->hits);
    rules_free(j->set);
    free(j);
}

bool judge_restart(struct judge *j)
{
    window_table_delete(j->windows);
    j->windows = window_table_new(WINDOW_KEYS, window_secret);
    rules_scratch_windows(j->scratch, j->windows);
    return j->windows != NULL;
}

static bool open_detectors(struct judge *j, const char *directory, struct diags *d)
{
    struct match_builder *b = match_builder_new();
    char why[256] = "out of memory";

    if (b && rules_add_detectors(j->set, b, d)) {
        j->db = match_builder_compile(b, why);
        if (!j->db)
            diag_error(d, place_of_file(directory), "detectors do not compile: %s", why);
    }
    match_builder_free(b);
    j->match = match_worker_new(1);
    return j->db && j->match && match_worker_adopt(j->match, j->db);
}

struct judge *judge_open(const char *directory, struct diags *d)
{
    struct judge *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->set = rules_load(directory, clock_wall_ns(), d);
    if (j->set) {
        j->scratch = rules_scratch_new();
        j->hits = calloc(rules_count(j->set) + 1, sizeof(*j->hits));
        j->decoder = body_decoder_new();
        if (j->scratch && j->hits && j->decoder && rules_scratch_adopt(j->scratch, j->set) &&
            judge_restart(j) && open_detectors(j, directory, d))
            return j;
        if (d->errors == 0)
            diag_error(d, place_of_file(directory), "out of memory");
    }
    judge_close(j);
    return NULL;
}

const struct rules_set *judge_set(const struct judge *j)
{
    return j->set;
}

const struct rules_hits *judge_hits(const struct judge *j)
{
    return j->hits;
}

/* ------------------------------------------------- what lib/call does before it asks the rules */

/* *text is the decoded body, which is to be freed; SPAN_NONE if there is none. */
static enum body_problem decode(struct judge *j, const struct ctl_call *c,
                                const struct rules_connection *of, struct body_codings *codings,
                                struct span *text)
{
    struct body_decode_limits limits = {of->inspect_request, of->inspect_ratio};
    size_t room = body_decode_room(c->body.n, limits), n;
    char *out = malloc(room + 1), *between = malloc(room + 1);
    enum body_problem problem = BODY_PROBLEM_SCRATCH;

    if (c->body.n == 0)
        problem = BODY_PROBLEM_CODED_SHORT;
    else if (out && between)
        problem = body_decode(j->decoder, codings, c->body, limits, out, between, &n);
    free(between);
    if (problem)
        free(out);
    *text = problem ? SPAN_NONE : span_of(out, n);
    return problem;
}

static void classify(struct judge *j, const struct ctl_call *c, struct rules_call *call,
                     struct span *decoded)
{
    const struct rules_connection *of = call->function->connection;
    const struct http_field *type = http_field(&c->head, HTTP_F_CONTENT_TYPE);
    const struct http_field *coding = http_field(&c->head, HTTP_F_CONTENT_ENCODING);
    struct body_codings codings = {0};

    call->body_type = body_type_of(type ? type->value : SPAN_NONE);
    call->body_problem = c->problem;
    call->body_size = c->body_size;
    call->body = c->body;
    if (http_field_count(&c->head, HTTP_F_CONTENT_TYPE) > 1)
        call->body_problem = BODY_PROBLEM_TYPE;
    if (coding && (http_field_count(&c->head, HTTP_F_CONTENT_ENCODING) > 1 ||
                   !body_codings_of(coding->value, &codings)))
        call->body_problem = BODY_PROBLEM_ENCODING;
    /* A record tells no more than `capture` bytes of a body, however it was coded. */
    if (c->body_size > of->inspect_request ||
        (c->recorded && (c->body_size > c->body.n || c->body.n >= of->capture)))
        call->body_problem = c->body_size ? BODY_PROBLEM_TOO_LARGE : call->body_problem;
    if (codings.n && !call->body_problem) {
        call->body_problem = decode(j, c, of, &codings, decoded);
        call->body = *decoded;
    }
    if (!call->body_problem && call->body_type == BODY_MULTIPART && call->body.n &&
        !body_boundary_is(type->value, call->body))
        call->body_problem = BODY_PROBLEM_MALFORMED;
    if (call->body_problem)
        call->body = SPAN_NONE;
}

static bool look(struct judge *j, enum match_syntax syntax, struct span in)
{
    struct match_policy all = {.detectors = match_db_glob(j->db, SPAN_LIT("*"))};
    char *copy = malloc(in.n + 1);
    bool good;

    if (!copy)
        return false;
    if (in.n)
        memcpy(copy, in.p, in.n);
    good = in.n == 0 || match_buffer(j->match, j->db, &all, syntax, copy, in.n, &j->found);
    free(copy);
    return good;
}

static bool is_identity(const struct http_field *f)
{
    return f->id == HTTP_F_AUTHORIZATION || f->id == HTTP_F_TURNPIKE_TOKEN ||
           f->id == HTTP_F_X_API_KEY;
}

static void detect(struct judge *j, const struct ctl_call *c, struct rules_call *call)
{
    enum match_syntax body = call->body_type == BODY_JSON   ? MATCH_JSON
                             : call->body_type == BODY_FORM ? MATCH_FORM
                                                            : MATCH_PLAIN;
    bool good = !call->body_problem;

    match_found_clear(&j->found);
    good = good && look(j, MATCH_FORM, c->head.target) && look(j, body, call->body);
    for (unsigned i = 0; good && i < c->head.nfields; i++)
        if (!c->head.fields[i].hop && !is_identity(&c->head.fields[i]))
            good = look(j, MATCH_PLAIN, c->head.fields[i].value);
    if (good)
        call->found = &j->found;
}

static const char *cause_of(const struct rules_verdict *v)
{
    if (v->decision == RULES_ALLOW)
        return "allowed_by_rule";
    if (v->decision == RULES_HOLD)
        return "held_by_rule";
    return v->rule ? "blocked_by_rule" : "no_rule_allows";
}

/* What is judged, and what it needs for as long. */
struct matter {
    struct rules_params params;
    struct rules_call call;
    struct span decoded;
};

/* False: the call does not get as far as the rules. */
static bool begin(struct judge *j, const struct ctl_call *c, struct matter *m, struct judged *out)
{
    const struct rules_connection *connection;

    *out = (struct judged){.decision = RULES_BLOCK};
    m->decoded = SPAN_NONE;
    if (c->malformed) {
        out->cause = http_error_name(c->malformed);
        return false;
    }
    connection = rules_connection_for(j->set, c->head.host);
    if (!connection || (c->head.port && c->head.port != connection->port)) {
        out->cause = "host_not_registered";
        return false;
    }
    m->call = (struct rules_call){.caller = &c->caller,
                                  .params = &m->params,
                                  .head = &c->head,
                                  .now_ns = c->at_ns,
                                  .hits = j->hits};
    m->call.function =
        rules_function_for(j->set, connection, c->head.method, c->head.path, &m->params);
    classify(j, c, &m->call, &m->decoded);
    m->call.function = out->function = rules_function_told(j->scratch, &m->call);
    if (out->function->needs_found)
        detect(j, c, &m->call);
    return true;
}

static void end(struct matter *m, struct judged *out)
{
    free((char *)(uintptr_t)m->decoded.p);
    out->decision = out->verdict.decision;
    out->cause = cause_of(&out->verdict);
}

void judge_call(struct judge *j, const struct ctl_call *c, struct judged *out)
{
    struct matter m;

    if (!begin(j, c, &m, out))
        return;
    rules_decide(j->set, j->scratch, &m.call, &out->verdict);
    end(&m, out);
}

void judge_explain(struct judge *j, const struct ctl_call *c, struct judged *out,
                   rules_explain_fn *tell, void *ctx)
{
    struct matter m;

    if (!begin(j, c, &m, out))
        return;
    rules_explain(j->set, j->scratch, &m.call, &out->verdict, tell, ctx);
    end(&m, out);
}
