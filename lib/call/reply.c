#include "call/call_internal.h"

enum {
    HOLE = 6,  /* "ffff\r\n": the size line of a chunk, four digits always */
    TAIL = 16, /* a chunk's end, the next hole, the last chunk */
    READ_LEAST = 4096,
    INTERIMS_MAX = 32,       /* 1xx answers before the last one */
    INTERIM_ROOM = 32 << 10, /* in the caller's queue, without which one is left out */
};

bool reply_inspects(const struct exchange *x)
{
    return x->function->mask_caller.detectors != 0 || x->gen->vault != NULL;
}

/* --------------------------------------------------------------- losing the vendor */

/* As long as no head is out, the caller's queue holds at most an interim 100: an answer of our own
 * goes behind it. */
enum step reply_vendor_lost(struct exchange *x, enum call_cause cause)
{
    struct vendor *v = x->vendor;
    bool again = cause == CALL_vendor_closed && v && v->reused && !x->answer_begun && !x->retried &&
                 forward_repeatable(x);

    if (x->state == X_TUNNEL)
        return tunnel_vendor_over(x);
    counter_inc(&x->w->counters.vendor_failed);
    if (v) {
        x->vendor = NULL;
        v->x = NULL;
        vendor_close(v);
    }
    if (again) {
        counter_inc(&x->w->counters.vendor_retries);
        x->retried = true;
        vendor_acquire(x, true);
        return STEP_ON;
    }
    if (x->head_out) {
        /* Half an answer has left: only the end of the connection can say that it is not whole. */
        x->outcome = "vendor_truncated";
        caller_abort(x->caller);
        return STEP_DEAD;
    }
    exchange_refuse(x, cause, NULL, SPAN_NONE);
    return STEP_ON;
}

/* The vendor has answered, but what it said cannot be passed on. */
static enum step unusable(struct exchange *x, enum call_cause cause, const char *name)
{
    struct vendor *v = x->vendor;

    x->outcome = "vendor_answer_refused";
    if (x->head_out)
        return reply_vendor_lost(x, cause);
    x->vendor = NULL;
    v->x = NULL;
    vendor_close(v);
    exchange_refuse(x, cause, name, SPAN_NONE);
    return STEP_ON;
}

/* ----------------------------------------------------------------------- the head */

static bool drop_field(const struct http_field *f)
{
    switch (f->id) {
    case HTTP_F_CONTENT_LENGTH:
    case HTTP_F_TRANSFER_ENCODING:
    case HTTP_F_ALT_SVC: /* would lead the caller to QUIC, past us */
        return true;
    default:
        return f->hop;
    }
}

static void write_fields(const struct http_head *h, struct outbuf *o)
{
    for (unsigned i = 0; i < h->nfields; i++)
        if (!drop_field(&h->fields[i]))
            http_write_field(o, h->fields[i].name, h->fields[i].value);
}

static void write_framing(struct exchange *x, const struct http_head *h, struct outbuf *o)
{
    const struct http_field *length = http_field(h, HTTP_F_CONTENT_LENGTH);

    switch (h->framing) {
    case HTTP_BODY_NONE:
        /* An answer to HEAD, or a 304, tells the length that a GET would have had. */
        if (length && h->status != 204)
            http_write_field(o, SPAN_LIT("Content-Length"), length->value);
        break;
    case HTTP_BODY_LENGTH:
        outbuf_lit(o, "Content-Length: ");
        outbuf_u64(o, h->content_length);
        outbuf_lit(o, "\r\n");
        break;
    case HTTP_BODY_CHUNKED:
    case HTTP_BODY_UNTIL_CLOSE:
        x->chunk_out = x->head->minor >= 1;
        if (x->chunk_out)
            outbuf_lit(o, "Transfer-Encoding: chunked\r\n");
        else
            x->close_caller = true;
        break;
    }
}

static void write_persistence(struct exchange *x, struct outbuf *o)
{
    if (!x->upload_done || x->w->draining)
        x->close_caller = true;
    if (x->close_caller || !x->head->keep_alive)
        outbuf_lit(o, "Connection: close\r\n");
    else if (x->head->minor == 0)
        outbuf_lit(o, "Connection: keep-alive\r\n");
}

static bool write_head(struct exchange *x, const struct http_head *h)
{
    STAGE_SCOPE(&x->w->stages, STAGE_HTTP);
    struct outq *q = &x->caller->out;
    struct outbuf o;

    if (!outq_open(q, x->w->memory, OUT_BLOCK))
        return false;
    o = outbuf_on(q->p + q->end, outq_room(q) - TAIL);
    http_write_status_line(&o, h->status, h->reason);
    write_fields(h, &o);
    if (h->status == 101) {
        outbuf_lit(&o, "Connection: Upgrade\r\n");
        http_write_field(&o, SPAN_LIT("Upgrade"), x->upgrade);
    } else {
        write_framing(x, h, &o);
        write_persistence(x, &o);
    }
    http_write_field(&o, SPAN_LIT("Turnpike-Call"), span_cstr(x->id));
    http_write_field(&o, SPAN_LIT("Turnpike-Decision"),
                     x->approved ? SPAN_LIT("approved") : SPAN_LIT("allow"));
    outbuf_lit(&o, "\r\n");
    if (o.full)
        return false;
    q->end += o.n;
    q->ready = q->end;
    if (x->chunk_out)
        q->end += HOLE;
    return true;
}

/* A credential may come back in a field too. Detectors are not asked: a mask in a date or an ETag
 * would harm and protect nobody. */
static bool mask_head(struct exchange *x, char *head, size_t n)
{
    STAGE_SCOPE(&x->w->stages, STAGE_MATCH);
    static const struct match_policy secrets_only;

    return !x->gen->vault || match_buffer(x->w->match, x->gen->match, &secrets_only, MATCH_PLAIN,
                                          head, n, &x->found_answer);
}

/* "timeout=5, max=100": not standard, yet told by most servers that close soon. */
static uint32_t idle_limit_told(const struct http_head *h)
{
    const struct http_field *f = http_field(h, HTTP_F_KEEP_ALIVE);
    struct span rest = f ? f->value : SPAN_NONE;
    uint64_t seconds;

    while (rest.p) {
        struct span s = span_trim(span_cut(&rest, ','));

        if (span_starts(s, SPAN_LIT("timeout=")) && span_u64(span_from(s, 8), &seconds))
            return seconds < 3600 ? (uint32_t)seconds : 3600;
    }
    return 0;
}

static void note_answer(struct exchange *x, const struct http_head *h)
{
    const struct http_field *type = http_field(h, HTTP_F_CONTENT_TYPE);
    struct outbuf o = outbuf_on(x->answer_type, sizeof(x->answer_type) - 1);

    x->status = x->vendor_status = h->status;
    x->answered_us = x->w->now_us;
    if (type)
        outbuf_span_put(&o, type->value);
    x->answer_type[o.n] = 0;
    x->answer_syntax =
        body_type_of(type ? type->value : SPAN_NONE) == BODY_JSON ? MATCH_JSON : MATCH_PLAIN;
    http_body_init(&x->answer, h);
    if (h->framing == HTTP_BODY_NONE || (h->framing == HTTP_BODY_LENGTH && !h->content_length))
        x->answer.done = true;
    else
        EVP_DigestInit_ex2(x->sha_answer, x->w->sha256, NULL);
    x->vendor->told_s = idle_limit_told(h);
    x->vendor->keep = h->keep_alive && h->framing != HTTP_BODY_UNTIL_CLOSE;
}

/* Interim answers are passed on (RFC 9110 15.2), but for 100, which we have given ourselves, and to
 * callers that know none. One that finds no room is left out: the last answer needs it. */
static enum step interim(struct exchange *x, const struct http_head *h, size_t used)
{
    struct vendor *v = x->vendor;
    struct outq *q = &x->caller->out;
    struct outbuf o;

    if (++x->interims > INTERIMS_MAX)
        return unusable(x, CALL_vendor_bad_answer, "too_many_interim_answers");
    if (h->status == 100 || x->head->minor == 0)
        return STEP_ON;
    if (!mask_head(x, v->in + v->in_pos - used, used))
        return unusable(x, CALL_internal, NULL);
    if (!outq_open(q, x->w->memory, OUT_BLOCK) || outq_room(q) < INTERIM_ROOM)
        return STEP_ON;
    o = outbuf_on(q->p + q->end, outq_room(q) - INTERIM_ROOM / 2);
    http_write_status_line(&o, h->status, h->reason);
    write_fields(h, &o);
    outbuf_lit(&o, "\r\n");
    if (!o.full) {
        q->end += o.n;
        q->ready = q->end;
    }
    return STEP_ON;
}

static enum step switch_protocols(struct exchange *x, const struct http_head *h, size_t used)
{
    if (!tunnel_agreed(x, h) || x->vendor->out.p) /* agreed before all of it was sent */
        return unusable(x, CALL_vendor_bad_answer, "vendor_switched_protocols");
    x->status = x->vendor_status = h->status;
    x->answered_us = x->w->now_us;
    if (!mask_head(x, x->vendor->in + x->vendor->in_pos - used, used))
        return unusable(x, CALL_internal, NULL);
    if (!write_head(x, h))
        return unusable(x, CALL_vendor_bad_answer, "vendor_head_too_large");
    tunnel_begin(x);
    return STEP_ON;
}

static enum step head_complete(struct exchange *x, size_t used)
{
    const struct http_head *h = &x->w->answer_head;
    struct vendor *v = x->vendor;

    if (h->status == 101)
        return switch_protocols(x, h, used);
    if (h->status < 200)
        return interim(x, h, used);
    if (http_field(h, HTTP_F_CONTENT_ENCODING) && h->framing != HTTP_BODY_NONE &&
        reply_inspects(x) &&
        !span_ieq(http_field(h, HTTP_F_CONTENT_ENCODING)->value, SPAN_LIT("identity")))
        return unusable(x, CALL_answer_encoded, NULL);
    note_answer(x, h);
    if (!mask_head(x, v->in + v->in_pos - used, used))
        return unusable(x, CALL_internal, NULL);
    if (!write_head(x, h))
        return unusable(x, CALL_vendor_bad_answer, "vendor_head_too_large");
    x->head_out = true;
    return STEP_ON;
}

/* Parses what there is. STEP_WAIT: more is needed. */
static enum step parse_head(struct exchange *x)
{
    struct vendor *v = x->vendor;
    bool to_head = span_eq(x->head->method, SPAN_LIT("HEAD"));

    while (v->in_pos < v->in_len && !x->head_out) {
        struct span in = span_of(v->in + v->in_pos, v->in_len - v->in_pos);
        enum http_error why;
        size_t used;
        enum step s;

        switch (IN_STAGE(
            &x->w->stages, STAGE_HTTP,
            http_parse_response(&x->w->answer_head, in, to_head, &v->scanned, &used, &why))) {
        case HTTP_MORE:
            return STEP_WAIT;
        case HTTP_BAD:
            return unusable(x, CALL_vendor_bad_answer, http_error_name(why));
        case HTTP_OK:
            break;
        }
        v->in_pos += used;
        v->scanned = 0;
        s = head_complete(x, used);
        if (s != STEP_ON || x->state != X_FORWARD)
            return s;
    }
    return x->head_out ? STEP_ON : STEP_WAIT;
}

/* ----------------------------------------------------------------------- the body */

/* Most answers are small: a stream that says little costs little. */
static bool capture_grow(struct exchange *x, size_t want)
{
    struct buddy *memory = x->w->memory;
    size_t cap = want * 2;
    char *p;

    if (want <= x->capture_cap)
        return true;
    p = buddy_alloc(memory, cap);
    if (!p)
        return false;
    if (x->capture) {
        memcpy(p, x->capture, x->capture_len);
        buddy_free(memory, x->capture);
    }
    x->capture = p;
    x->capture_cap = buddy_size(memory, p);
    return true;
}

static void capture(struct exchange *x, const char *p, size_t n, size_t cap)
{
    size_t room = cap - x->capture_len;

    if (n > room)
        n = room;
    if (n == 0 || !capture_grow(x, x->capture_len + n))
        return;
    memcpy(x->capture + x->capture_len, p, n);
    x->capture_len += n;
}

static void took(struct exchange *x, const char *p, size_t n)
{
    size_t cap = x->connection->capture;

    record_digest(x->w, x->sha_answer, p, n);
    x->answer_size += n;
    counter_add(&x->w->counters.bytes_down, n);
    if (cap && !x->function->caller_covers_audit)
        capture(x, p, n, cap + CAPTURE_SLACK);
}

/* Masks the window; returns how many of its bytes may leave, SIZE_MAX if it cannot be scanned. */
static size_t inspect(struct exchange *x, char *window, size_t held, size_t added)
{
    STAGE_SCOPE(&x->w->stages, STAGE_MATCH);
    bool last = x->answer.done;

    if (!reply_inspects(x))
        return held + added;
    if (!x->stream) {
        if (last && held == 0)
            return match_buffer(x->w->match, x->gen->match, &x->function->mask_caller,
                                x->answer_syntax, window, added, &x->found_answer)
                       ? added
                       : SIZE_MAX;
        x->stream = match_stream_open(x->w->match, x->gen->match, &x->function->mask_caller,
                                      x->answer_syntax);
        if (!x->stream)
            return SIZE_MAX;
    }
    return match_stream_scan(x->stream, window, held, added, last);
}

/* Makes the first `n` bytes of the window ready to leave, as a chunk if need be. */
static void publish(struct exchange *x, struct outq *q, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    char *hole = q->p + q->ready, *window = hole + HOLE;
    size_t rest;

    if (!x->chunk_out) {
        q->ready += n;
        return;
    }
    rest = q->end - q->ready - HOLE - n;
    if (n) {
        for (int i = 0; i < 4; i++)
            hole[i] = hex[(n >> (12 - 4 * i)) & 15];
        memcpy(hole + 4, "\r\n", 2);
        memmove(window + n + 2 + HOLE, window + n, rest);
        memcpy(window + n, "\r\n", 2);
        q->ready += HOLE + n + 2;
        q->end = q->ready + HOLE + rest;
    }
    if (x->answer.done) {
        memcpy(q->p + q->ready, "0\r\n\r\n", 5);
        q->ready += 5;
        q->end = q->ready;
    }
}

static enum step window_grew(struct exchange *x, size_t added)
{
    struct outq *q = &x->caller->out;
    size_t hole = x->chunk_out ? HOLE : 0;
    char *window = q->p + q->ready + hole;
    size_t held = q->end - q->ready - hole;
    size_t ready;

    q->end += added;
    ready = inspect(x, window, held, added);
    if (ready == SIZE_MAX)
        return unusable(x, CALL_internal, "answer_not_inspected");
    if (x->function->caller_covers_audit)
        capture(x, window, ready, x->connection->capture);
    publish(x, q, ready);
    return STEP_ON;
}

/* Body bytes that came with the head, or that stand in chunks: they are copied into the window. */
static enum step take_buffered(struct exchange *x)
{
    struct vendor *v = x->vendor;
    struct outq *q = &x->caller->out;
    size_t added = 0;

    while (v->in_pos < v->in_len && !x->answer.done && outq_room(q) > added + TAIL) {
        size_t room = outq_room(q) - added - TAIL;
        struct span in = span_of(v->in + v->in_pos, v->in_len - v->in_pos), data;
        enum http_error why;
        size_t used;

        if (in.n > room)
            in.n = room;
        if (IN_STAGE(&x->w->stages, STAGE_HTTP,
                     http_body_next(&x->answer, in, &data, &used, &why)) == HTTP_BAD)
            return unusable(x, CALL_vendor_bad_answer, http_error_name(why));
        if (used == 0)
            break;
        v->in_pos += used;
        if (data.n) {
            memcpy(q->p + q->end + added, data.p, data.n);
            took(x, data.p, data.n);
            added += data.n;
        }
    }
    if (v->in_pos == v->in_len)
        v->in_pos = v->in_len = 0;
    return added || x->answer.done ? window_grew(x, added) : STEP_ON;
}

/* Body bytes with no framing of their own are read straight into the window. */
static enum step read_direct(struct exchange *x, enum tls_result *r)
{
    struct outq *q = &x->caller->out;
    size_t n = outq_room(q) - TAIL, used;
    struct span data;
    enum http_error why;

    if (x->answer.framing == HTTP_BODY_LENGTH && n > x->answer.left)
        n = x->answer.left;
    *r = tls_read(x->vendor->leg.tls, q->p + q->end, n, &used);
    if (*r != TLS_OK)
        return STEP_WAIT;
    if (http_body_next(&x->answer, span_of(q->p + q->end, used), &data, &used, &why) == HTTP_BAD)
        return unusable(x, CALL_vendor_bad_answer, http_error_name(why));
    took(x, data.p, data.n);
    return window_grew(x, data.n);
}

/* ------------------------------------------------------------------------- reading */

static enum step vendor_ended(struct exchange *x, enum tls_result r)
{
    enum http_error why;

    if (x->head_out && r == TLS_CLOSED && http_body_eof(&x->answer, &why) == HTTP_OK) {
        x->answer.done = true;
        return window_grew(x, 0);
    }
    return reply_vendor_lost(x, CALL_vendor_closed);
}

static enum step read_framed(struct exchange *x, enum tls_result *r)
{
    struct vendor *v = x->vendor;
    size_t got;

    if (v->in_pos == v->in_len) /* interim answers do not pile up */
        v->in_pos = v->in_len = 0;
    if (!in_reserve(x->w, &v->in, &v->in_cap, v->in_len, v->in_len + READ_LEAST, IN_BLOCK))
        return unusable(x, CALL_busy, NULL);
    *r = tls_read(v->leg.tls, v->in + v->in_len, v->in_cap - v->in_len, &got);
    if (*r != TLS_OK)
        return STEP_WAIT;
    v->in_len += got;
    x->answer_begun = true;
    return STEP_ON;
}

/* One step of reading. STEP_WAIT: nothing has come. */
static enum step fill(struct exchange *x)
{
    struct vendor *v = x->vendor;
    enum tls_result r = TLS_OK;
    enum step s;

    if (x->head_out && v->in_pos < v->in_len)
        return take_buffered(x);
    if (x->head_out && x->answer.framing != HTTP_BODY_CHUNKED)
        s = read_direct(x, &r);
    else
        s = read_framed(x, &r);
    if (r == TLS_AGAIN)
        return STEP_WAIT;
    if (r != TLS_OK)
        return vendor_ended(x, r);
    if (s != STEP_ON || x->state != X_FORWARD)
        return s;
    exchange_vendor_moved(x);
    if (x->head_out)
        return STEP_ON;
    s = parse_head(x);
    return s == STEP_WAIT ? STEP_ON : s;
}

static enum step finish(struct exchange *x)
{
    struct vendor *v = x->vendor;

    if (!x->upload_done || outq_pending(&v->out) || v->in_pos < v->in_len)
        v->keep = false;
    exchange_end(x, x->vendor_status < 400 ? "ok" : "vendor_error");
    return STEP_ON;
}

void reply_rest(struct exchange *x)
{
    struct outq *q = &x->caller->out;

    if (outq_pending(q))
        return;
    if (x->chunk_out && !x->answer.done && q->end == q->ready + HOLE)
        q->end = q->ready;
    outq_shrink(q, x->w->memory);
}

static bool reply_wakes(struct exchange *x)
{
    struct outq *q = &x->caller->out;
    bool rested = !q->p;

    if (!outq_open(q, x->w->memory, OUT_BLOCK))
        return false;
    if (rested && x->chunk_out && !x->answer.done)
        q->end = q->ready + HOLE;
    return true;
}

/* Reads while there is something to read and room for it. */
static enum step fill_all(struct exchange *x)
{
    struct outq *q = &x->caller->out;

    while (!x->head_out || !x->answer.done) {
        enum step s;

        if (x->head_out && !reply_wakes(x))
            return unusable(x, CALL_busy, NULL);
        if (q->p) {
            outq_compact(q, READ_LEAST + TAIL + MATCH_LOOKBACK);
            if (outq_room(q) < READ_LEAST + TAIL)
                return STEP_WAIT;
        }
        s = fill(x);
        if (s != STEP_ON || x->state != X_FORWARD)
            return s;
    }
    return STEP_WAIT;
}

enum step reply_run(struct exchange *x)
{
    struct caller *c = x->caller;
    struct outq *q = &c->out;

    for (;;) {
        size_t before;
        enum step s = fill_all(x);

        if (s == STEP_DEAD || (s == STEP_ON && x->state != X_FORWARD))
            return s;
        before = q->p ? outq_pending(q) : 0;
        switch (q->p ? outq_flush(q, c->leg.tls) : TLS_OK) {
        case TLS_OK:
            break;
        case TLS_AGAIN:
            return STEP_WAIT;
        default:
            caller_abort(c);
            return STEP_DEAD;
        }
        if (x->head_out && x->answer.done && !outq_pending(q))
            return finish(x);
        if (before == 0)
            return STEP_WAIT;
    }
}
