/* A request's body: what it is said to be, its bytes as they come, and what the decision is made
 * on. What is forwarded are always the bytes as they came. */
#include "call/call_internal.h"

/* Before its first byte: what the head says of it. */
void request_body_classify(struct exchange *x)
{
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);
    const struct http_field *coding = http_field(x->head, HTTP_F_CONTENT_ENCODING);

    x->body_type = body_type_of(type ? type->value : SPAN_NONE);
    if (http_field_count(x->head, HTTP_F_CONTENT_TYPE) > 1)
        x->body_problem = BODY_PROBLEM_TYPE;
    if (coding && !span_ieq(coding->value, SPAN_LIT("identity")))
        x->body_problem = BODY_PROBLEM_ENCODING;
    if (x->head->framing == HTTP_BODY_LENGTH &&
        x->head->content_length > x->connection->inspect_request) {
        x->body_problem = BODY_PROBLEM_TOO_LARGE;
        x->stream_up = true;
        x->body_size = x->head->content_length;
    }
}

/* A multipart body is read by the delimiter that it begins with. */
static bool boundary_agrees(const struct exchange *x)
{
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);

    return type && body_boundary_is(type->value, span_of(x->body, x->body_len));
}

void request_body_open(struct exchange *x)
{
    if (!x->body_problem && x->body_type == BODY_MULTIPART && x->body_len && !boundary_agrees(x))
        x->body_problem = BODY_PROBLEM_MALFORMED;
}

struct span request_body_seen(const struct exchange *x)
{
    return x->body_problem ? SPAN_NONE : span_of(x->body, x->body_len);
}

void exchange_say_continue(struct exchange *x)
{
    struct outq *q = &x->caller->out;
    struct outbuf o;

    if (!x->head->expect_continue || x->upload_done || !outq_open(q, x->w->memory, OUT_BLOCK))
        return;
    o = outbuf_on(q->p + q->end, outq_room(q));
    outbuf_lit(&o, "HTTP/1.1 100 Continue\r\n\r\n");
    if (o.full)
        return;
    q->end += o.n;
    q->ready = q->end;
    x->head->expect_continue = false;
    outq_flush(q, x->caller->leg.tls);
}

/* -------------------------------------------------------------------- reading */

static bool body_grow(struct exchange *x, size_t want)
{
    struct buddy *memory = x->w->memory;
    size_t cap = x->body_cap ? x->body_cap : BODY_BLOCK;
    char *p;

    if (want <= x->body_cap)
        return true;
    while (cap < want)
        cap *= 2;
    p = buddy_alloc(memory, cap);
    if (!p)
        return false;
    if (x->body) {
        memcpy(p, x->body, x->body_len);
        buddy_free(memory, x->body);
    }
    x->body = p;
    x->body_cap = buddy_size(memory, p);
    return true;
}

static bool body_take(struct exchange *x, struct span data)
{
    if (data.n == 0)
        return true;
    if (!body_grow(x, x->body_len + data.n))
        return false;
    memcpy(x->body + x->body_len, data.p, data.n);
    record_digest(x->w, x->sha_request, data.p, data.n);
    x->body_len += data.n;
    x->body_size += data.n;
    return true;
}

enum tls_result exchange_refill(struct exchange *x)
{
    struct caller *c = x->caller;
    enum tls_result r;
    size_t got;

    if (c->in_pos < c->in_len)
        return TLS_OK;
    c->in_pos = c->in_len = x->head_len;
    r = tls_read(c->leg.tls, c->in + c->in_len, c->in_cap - c->in_len, &got);
    if (r == TLS_OK)
        c->in_len += got;
    return r;
}

/* Consumes what the caller's buffer holds. False once the call has left X_BODY. */
static bool body_consume(struct exchange *x)
{
    struct caller *c = x->caller;

    while (!x->upload.done && c->in_pos < c->in_len) {
        struct span data;
        enum http_error why;
        size_t used;
        struct span in = span_of(c->in + c->in_pos, c->in_len - c->in_pos);

        if (IN_STAGE(&x->w->stages, STAGE_HTTP,
                     http_body_next(&x->upload, in, &data, &used, &why)) == HTTP_BAD) {
            x->close_caller = x->upload_done = true;
            exchange_refuse(x, CALL_bad_request, http_error_name(why),
                            span_cstr(http_error_text(why)));
            return false;
        }
        c->in_pos += used;
        if (!body_take(x, data)) {
            exchange_refuse(x, CALL_busy, NULL, SPAN_NONE);
            return false;
        }
        if (x->body_len > x->connection->inspect_request) {
            x->body_problem = BODY_PROBLEM_TOO_LARGE;
            x->upload_done = x->upload.done;
            x->stream_up = !x->upload_done;
            exchange_decide(x);
            return false;
        }
        if (used == 0)
            break;
    }
    if (!x->upload.done)
        return true;
    x->upload_done = true;
    exchange_decide(x);
    return false;
}

enum step exchange_body(struct exchange *x)
{
    for (;;) {
        enum tls_result r;

        if (!body_consume(x))
            return STEP_ON;
        r = exchange_refill(x);
        if (r == TLS_AGAIN)
            return STEP_WAIT;
        if (r != TLS_OK) {
            caller_abort(x->caller);
            return STEP_DEAD;
        }
    }
}
