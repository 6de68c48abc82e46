#include "call/call_internal.h"

/* What an SDK of that vendor takes for the kind of an error, by status. */
static const char *kind_of(enum rules_errors shape, unsigned status)
{
    static const struct {
        unsigned status;
        const char *stripe, *openai, *anthropic;
    } kinds[] = {
        {400, "invalid_request_error", "invalid_request_error", "invalid_request_error"},
        {401, "invalid_request_error", "invalid_request_error", "authentication_error"},
        {403, "invalid_request_error", "invalid_request_error", "permission_error"},
        {0, "api_error", "server_error", "api_error"},
    };
    unsigned i = 0;

    while (kinds[i].status && kinds[i].status != status)
        i++;
    if (!kinds[i].status && status < 500)
        i = 0;
    switch (shape) {
    case RULES_ERRORS_STRIPE:
        return kinds[i].stripe;
    case RULES_ERRORS_OPENAI:
        return kinds[i].openai;
    default:
        return kinds[i].anthropic;
    }
}

/* What every shape carries: the call's id, the stable cause, the rule, the approval. */
static void write_own(const struct exchange *x, const char *cause, struct outbuf *o)
{
    outbuf_lit(o, "\"turnpike\":{\"call\":");
    outbuf_json(o, span_cstr(x->id));
    outbuf_lit(o, ",\"cause\":");
    outbuf_json(o, span_cstr(cause));
    if (x->rule) {
        outbuf_lit(o, ",\"rule\":");
        outbuf_u64(o, x->rule);
    }
    if (x->function) {
        outbuf_lit(o, ",\"function\":");
        outbuf_json(o, x->function->name);
    }
    if (x->hold_id[0]) {
        outbuf_lit(o, ",\"approval\":");
        outbuf_json(o, span_cstr(x->hold_id));
    }
    outbuf_char(o, '}');
}

static void write_pair(struct outbuf *o, const char *before, struct span value)
{
    outbuf_cstr(o, before);
    outbuf_json(o, value);
}

static void write_body(const struct exchange *x, unsigned status, const char *cause,
                       struct span message, struct outbuf *o)
{
    enum rules_errors shape = x->connection ? x->connection->errors : RULES_ERRORS_PROBLEM;
    struct span kind = span_cstr(kind_of(shape, status));

    switch (shape) {
    case RULES_ERRORS_STRIPE:
        write_pair(o, "{\"error\":{\"type\":", kind);
        write_pair(o, ",\"code\":", span_cstr(cause));
        write_pair(o, ",\"message\":", message);
        outbuf_lit(o, "},");
        break;
    case RULES_ERRORS_OPENAI:
        write_pair(o, "{\"error\":{\"message\":", message);
        write_pair(o, ",\"type\":", kind);
        write_pair(o, ",\"param\":null,\"code\":", span_cstr(cause));
        outbuf_lit(o, "},");
        break;
    case RULES_ERRORS_ANTHROPIC:
        write_pair(o, "{\"type\":\"error\",\"error\":{\"type\":", kind);
        write_pair(o, ",\"message\":", message);
        outbuf_lit(o, "},");
        break;
    case RULES_ERRORS_TWILIO:
        outbuf_printf(o, "{\"code\":%u", status);
        write_pair(o, ",\"message\":", message);
        outbuf_printf(o, ",\"more_info\":\"\",\"status\":%u,", status);
        break;
    case RULES_ERRORS_PROBLEM: /* RFC 9457 */
        write_pair(o, "{\"type\":\"about:blank\",\"title\":", span_cstr(http_reason(status)));
        outbuf_printf(o, ",\"status\":%u", status);
        write_pair(o, ",\"detail\":", message);
        outbuf_char(o, ',');
        break;
    }
    write_own(x, cause, o);
    outbuf_lit(o, "}\n");
}

static void write_head(struct exchange *x, unsigned status, size_t length, struct outbuf *o)
{
    bool problem = !x->connection || x->connection->errors == RULES_ERRORS_PROBLEM;

    http_write_status_line(o, status, span_cstr(http_reason(status)));
    outbuf_cstr(o, problem ? "Content-Type: application/problem+json\r\n"
                           : "Content-Type: application/json\r\n");
    outbuf_printf(o, "Content-Length: %zu\r\n", length);
    outbuf_lit(o, "Cache-Control: no-store\r\n");
    if (status == 401)
        outbuf_lit(o, "WWW-Authenticate: Bearer realm=\"turnpike\"\r\n");
    if (status == 503)
        outbuf_lit(o, "Retry-After: 5\r\n");
    else /* SDKs retry 5xx and some 4xx unless told otherwise */
        outbuf_lit(o, "X-Should-Retry: false\r\nStripe-Should-Retry: false\r\n");
    outbuf_printf(o, "Turnpike-Call: %s\r\nTurnpike-Decision: block\r\n", x->id);
    if (x->close_caller || !x->head->keep_alive)
        outbuf_lit(o, "Connection: close\r\n");
    outbuf_lit(o, "\r\n");
}

void answer_own(struct exchange *x, unsigned status, const char *cause, struct span message)
{
    STAGE_SCOPE(&x->w->stages, STAGE_HTTP);
    struct outq *q = &x->caller->out;
    char body[4096];
    struct outbuf b = outbuf_on(body, sizeof(body)), o;

    if (x->w->draining)
        x->close_caller = true;
    write_body(x, status, cause, message, &b);
    if (b.full) {
        b = outbuf_on(body, sizeof(body));
        write_body(x, status, cause, SPAN_LIT("See the cause."), &b);
    }
    if (!outq_open(q, x->w->memory, OUT_BLOCK)) {
        x->close_caller = true; /* no memory even for this: the connection just ends */
        return;
    }
    o = outbuf_on(q->p + q->end, outq_room(q));
    write_head(x, status, b.n, &o);
    if (!span_eq(x->head->method, SPAN_LIT("HEAD")))
        outbuf_span_put(&o, outbuf_span(&b));
    q->end += o.n;
    q->ready = q->end;
}

void answer_plain_http(struct caller *c)
{
    static const char body[] = "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                               "\"detail\":\"Plain HTTP to a vendor is refused; use https.\","
                               "\"turnpike\":{\"cause\":\"plain_http\"}}\n";
    char text[512];
    struct outbuf o = outbuf_on(text, sizeof(text));

    http_write_status_line(&o, 400, span_cstr(http_reason(400)));
    outbuf_printf(&o,
                  "Content-Type: application/problem+json\r\nConnection: close\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  sizeof(body) - 1);
    outbuf_lit(&o, body);
    tcp_write(c->leg.tcp, o.p, o.n);
}
