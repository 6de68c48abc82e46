/* A request's body: what it is said to be, its bytes as they come, and what the decision is made
 * on. What is forwarded are always the bytes as they came. */
#include "call/call_internal.h"

/* ---------------------------------------------------------------- what it is */

/* Two fields are a list that some servers join and others do not. */
static void classify_coding(struct exchange *x)
{
    const struct http_field *coding = http_field(x->head, HTTP_F_CONTENT_ENCODING);

    if (!coding)
        return;
    if (http_field_count(x->head, HTTP_F_CONTENT_ENCODING) > 1 ||
        !body_codings_of(coding->value, &x->codings)) {
        x->codings.n = 0;
        x->body_problem = BODY_PROBLEM_ENCODING;
    }
    x->coded = x->codings.n > 0 || x->body_problem == BODY_PROBLEM_ENCODING;
}

void request_body_classify(struct exchange *x)
{
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);

    x->body_type = body_type_of(type ? type->value : SPAN_NONE);
    if (http_field_count(x->head, HTTP_F_CONTENT_TYPE) > 1)
        x->body_problem = BODY_PROBLEM_TYPE;
    classify_coding(x);
    if (x->head->framing == HTTP_BODY_LENGTH &&
        x->head->content_length > x->connection->inspect_request) {
        x->body_problem = BODY_PROBLEM_TOO_LARGE;
        x->stream_up = true;
        x->body_size = x->head->content_length;
    }
}

/* ------------------------------------------------------------- what is judged */

/* Keeps no more memory than what was decoded needs. */
static void shrink_decoded(struct exchange *x, size_t room)
{
    struct buddy *memory = x->w->memory;
    char *p = x->decoded_len <= room / 2 ? buddy_alloc(memory, x->decoded_len) : NULL;

    if (!p)
        return;
    memcpy(p, x->decoded, x->decoded_len);
    buddy_free(memory, x->decoded);
    x->decoded = p;
}

/* False: no memory. A bomb costs no more than a good body of the greatest size does. */
static bool decode(struct exchange *x)
{
    STAGE_SCOPE(&x->w->stages, STAGE_RULES);
    struct buddy *memory = x->w->memory;
    struct body_decode_limits limits = {.size = x->connection->inspect_request,
                                        .ratio = x->connection->inspect_ratio};
    size_t room = body_decode_room(x->body_len, limits);
    char *out = buddy_alloc(memory, room), *between = NULL;
    enum body_problem problem = BODY_PROBLEM_NONE;
    bool there = out != NULL;

    if (x->codings.n > 1) {
        between = buddy_alloc(memory, room);
        there = there && between;
    }
    if (there)
        problem = body_decode(x->w->decoder, &x->codings, span_of(x->body, x->body_len), limits,
                              out, between, &x->decoded_len);
    buddy_free(memory, between);
    if (there && !problem) {
        x->decoded = out;
        shrink_decoded(x, room);
    } else {
        buddy_free(memory, out);
    }
    if (!x->body_problem)
        x->body_problem = problem;
    return there;
}

/* A multipart body is read by the delimiter that it begins with. */
static bool boundary_agrees(const struct exchange *x)
{
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);

    return type && body_boundary_is(type->value, request_body_text(x));
}

bool request_body_open(struct exchange *x)
{
    bool whole = x->upload_done && x->body_problem != BODY_PROBLEM_TOO_LARGE;

    if (x->codings.n && x->body_len == 0 && !x->body_problem)
        x->body_problem = BODY_PROBLEM_CODED_SHORT;
    if (x->codings.n && x->body_len && whole && !decode(x))
        return false;
    if (!x->body_problem && x->body_type == BODY_MULTIPART && request_body_text(x).n &&
        !boundary_agrees(x))
        x->body_problem = BODY_PROBLEM_MALFORMED;
    return true;
}

struct span request_body_text(const struct exchange *x)
{
    return x->coded ? span_of(x->decoded, x->decoded ? x->decoded_len : 0)
                    : span_of(x->body, x->body_len);
}

struct span request_body_seen(const struct exchange *x)
{
    return x->body_problem ? SPAN_NONE : request_body_text(x);
}

void request_body_close(struct exchange *x)
{
    if (x->decoded)
        buddy_free(x->w->memory, x->decoded);
    x->decoded = NULL;
}

/* -------------------------------------------------------------------- reading */

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
