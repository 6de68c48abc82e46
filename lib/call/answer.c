#include "call/call_internal.h"

/* What every shape carries: the call's id, the stable cause, the rule, the approval. */
static void write_own(const struct exchange *x, struct outbuf *o)
{
    outbuf_lit(o, "\"turnpike\":{\"call\":");
    outbuf_json(o, span_cstr(x->id));
    outbuf_lit(o, ",\"cause\":");
    outbuf_json(o, span_cstr(x->cause_name));
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

static const struct rules_errors *shape_of(const struct exchange *x)
{
    return x->connection ? x->connection->errors : rules_errors_usual(x->gen->rules);
}

/* What is filled in there; numbers are in `digits`. */
static struct span filled_in(const struct exchange *x, const struct rules_errors *shape,
                             enum rules_piece_kind kind, struct span message, struct outbuf *digits)
{
    switch (kind) {
    case RULES_PIECE_MESSAGE:
        return message;
    case RULES_PIECE_CAUSE:
        return span_cstr(x->cause_name);
    case RULES_PIECE_STATUS:
        outbuf_u64(digits, x->status);
        return outbuf_span(digits);
    case RULES_PIECE_REASON:
        return span_cstr(http_reason(x->status));
    case RULES_PIECE_CALL:
        return span_cstr(x->id);
    case RULES_PIECE_KIND:
        return shape->of[x->cause].kind;
    case RULES_PIECE_FUNCTION:
        return x->function ? x->function->name : SPAN_NONE;
    case RULES_PIECE_RULE:
        if (x->rule)
            outbuf_u64(digits, x->rule);
        return outbuf_span(digits);
    case RULES_PIECE_TEXT:
    case RULES_PIECE_OWN:
        break;
    }
    return SPAN_NONE;
}

static void write_piece(const struct exchange *x, const struct rules_errors *shape,
                        const struct rules_piece *p, struct span message, struct outbuf *o)
{
    char digits[20];
    struct outbuf number = outbuf_on(digits, sizeof(digits));
    struct span value;

    if (p->kind == RULES_PIECE_TEXT) {
        outbuf_span_put(o, p->text);
        return;
    }
    if (p->kind == RULES_PIECE_OWN) {
        write_own(x, o);
        return;
    }
    value = filled_in(x, shape, p->kind, message, &number);
    if (p->number && value.n == 0)
        outbuf_lit(o, "null");
    else if (shape->xml)
        outbuf_xml(o, value);
    else
        outbuf_json_text(o, value);
}

static void write_body(const struct exchange *x, const struct rules_errors *shape,
                       struct span message, struct outbuf *o)
{
    for (unsigned i = 0; i < shape->npieces; i++)
        write_piece(x, shape, &shape->pieces[i], message, o);
}

/* Does it help to try again soon, whatever status this shape has for it? */
static bool passes(const struct exchange *x)
{
    return rules_errors_usual(x->gen->rules)->of[x->cause].status == 503;
}

static void write_head(struct exchange *x, const struct rules_errors *shape, size_t length,
                       struct outbuf *o)
{
    http_write_status_line(o, x->status, span_cstr(http_reason(x->status)));
    http_write_field(o, SPAN_LIT("Content-Type"), shape->type);
    outbuf_printf(o, "Content-Length: %zu\r\n", length);
    outbuf_lit(o, "Cache-Control: no-store\r\n");
    if (x->status == 401)
        outbuf_lit(o, "WWW-Authenticate: Bearer realm=\"turnpike\"\r\n");
    if (passes(x))
        outbuf_lit(o, "Retry-After: 5\r\n");
    else /* SDKs retry 5xx and some 4xx unless told otherwise */
        outbuf_lit(o, "X-Should-Retry: false\r\nStripe-Should-Retry: false\r\n");
    if (shape->request_id.n)
        http_write_field(o, shape->request_id, span_cstr(x->id));
    outbuf_printf(o, "Turnpike-Call: %s\r\nTurnpike-Decision: block\r\n", x->id);
    if (x->close_caller || !x->head->keep_alive)
        outbuf_lit(o, "Connection: close\r\n");
    outbuf_lit(o, "\r\n");
}

unsigned answer_status(const struct exchange *x, enum call_cause cause)
{
    return shape_of(x)->of[cause].status;
}

void answer_own(struct exchange *x, struct span message)
{
    STAGE_SCOPE(&x->w->stages, STAGE_HTTP);
    const struct rules_errors *shape = shape_of(x);
    struct outq *q = &x->caller->out;
    char body[RULES_ANSWER_MAX];
    struct outbuf b = outbuf_on(body, sizeof(body)), o;

    if (x->w->draining)
        x->close_caller = true;
    write_body(x, shape, message, &b);
    if (b.full) {
        b = outbuf_on(body, sizeof(body));
        write_body(x, shape, SPAN_LIT(RULES_MESSAGE_SHORT), &b);
    }
    if (!outq_open(q, x->w->memory, OUT_BLOCK)) {
        x->close_caller = true; /* no memory even for this: the connection just ends */
        return;
    }
    o = outbuf_on(q->p + q->end, outq_room(q));
    write_head(x, shape, b.n, &o);
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
