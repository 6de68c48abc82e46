#include <openssl/crypto.h>
#include <stdlib.h>

#include "call/call_internal.h"

/* ----------------------------------------------------------- the request's head */

/* Fields that are not the caller's to send, or that we write ourselves. An answer that is to be
 * masked must come plain and whole, so no codings and no ranges are asked for. */
static bool drop_field(const struct exchange *x, const struct http_field *f)
{
    if (f->hop || identity_is_token_field(x->connection, f))
        return true;
    switch (f->id) {
    case HTTP_F_HOST:
    case HTTP_F_CONTENT_LENGTH:
    case HTTP_F_TRANSFER_ENCODING:
    case HTTP_F_EXPECT:
    case HTTP_F_PROXY_AUTHORIZATION:
        return true;
    case HTTP_F_AUTHORIZATION:
        return x->connection->credential.kind != RULES_CRED_NONE;
    case HTTP_F_ACCEPT_ENCODING:
    case HTTP_F_RANGE:
    case HTTP_F_IF_RANGE:
        return reply_inspects(x);
    default:
        return x->connection->credential.kind == RULES_CRED_HEADER &&
               span_ieq(f->name, x->connection->credential.header);
    }
}

static void write_host(const struct exchange *x, struct outbuf *o)
{
    outbuf_lit(o, "Host: ");
    outbuf_span_put(o, x->head->host);
    if (x->head->port) {
        outbuf_char(o, ':');
        outbuf_u64(o, x->head->port);
    }
    outbuf_lit(o, "\r\n");
}

static void write_basic(struct span user, struct span password, struct outbuf *o)
{
    char plain[512 + CREDENTIAL_MAX], text[sizeof(plain) * 4 / 3 + 8];
    struct outbuf p = outbuf_on(plain, sizeof(plain));
    int n;

    outbuf_span_put(&p, user);
    outbuf_char(&p, ':');
    outbuf_span_put(&p, password);
    n = p.full ? 0 : EVP_EncodeBlock((unsigned char *)text, (unsigned char *)plain, (int)p.n);
    if (n <= 0)
        o->full = true;
    outbuf_lit(o, "Authorization: Basic ");
    outbuf_put(o, text, n > 0 ? (size_t)n : 0);
    outbuf_lit(o, "\r\n");
    OPENSSL_cleanse(plain, sizeof(plain));
    OPENSSL_cleanse(text, sizeof(text));
}

/* The moment at which the vendor's credential joins the call: the connection is verified, the
 * record is durable, or need not be. False: it has gone since the decision. */
static bool write_credential(const struct exchange *x, struct outbuf *o)
{
    const struct rules_connection *c = x->connection;
    const struct vault_secret *s;

    if (c->credential.kind == RULES_CRED_NONE)
        return true;
    s = vault_find(x->gen->vault, c->credential.secret, c->name);
    if (!s)
        return false;
    switch (c->credential.kind) {
    case RULES_CRED_BEARER:
        outbuf_lit(o, "Authorization: Bearer ");
        outbuf_span_put(o, s->value);
        outbuf_lit(o, "\r\n");
        break;
    case RULES_CRED_BASIC:
        write_basic(c->credential.user, s->value, o);
        break;
    case RULES_CRED_HEADER:
        http_write_field(o, c->credential.header, s->value);
        break;
    case RULES_CRED_NONE:
        break;
    }
    return true;
}

static void write_framing(const struct exchange *x, struct outbuf *o)
{
    if (x->head->framing == HTTP_BODY_CHUNKED && x->stream_up) {
        outbuf_lit(o, "Transfer-Encoding: chunked\r\n");
    } else if (x->head->framing != HTTP_BODY_NONE) {
        outbuf_lit(o, "Content-Length: ");
        outbuf_u64(o, x->stream_up ? x->head->content_length : x->body_len);
        outbuf_lit(o, "\r\n");
    }
}

static bool write_head(struct exchange *x, struct outbuf *o)
{
    STAGE_SCOPE(&x->w->stages, STAGE_HTTP);
    const struct http_head *h = x->head;

    http_write_request_line(o, h->method, h->path, h->has_query, h->query);
    write_host(x, o);
    for (unsigned i = 0; i < h->nfields; i++)
        if (!drop_field(x, &h->fields[i]))
            http_write_field(o, h->fields[i].name, h->fields[i].value);
    if (reply_inspects(x))
        outbuf_lit(o, "Accept-Encoding: identity\r\n");
    write_framing(x, o);
    if (x->upgrade.n) {
        outbuf_lit(o, "Connection: Upgrade\r\n");
        http_write_field(o, SPAN_LIT("Upgrade"), x->upgrade);
    }
    if (!write_credential(x, o))
        return false;
    outbuf_lit(o, "\r\n");
    return !o->full;
}

/* ----------------------------------------------------------------------- sending */

/* As much of the kept body as fits goes behind the head: one record, one segment for a small call.
 */
static void queue_body(struct exchange *x)
{
    struct outq *q = &x->vendor->out;
    size_t n = x->body_len - x->body_sent;
    bool chunk = x->stream_up && x->head->framing == HTTP_BODY_CHUNKED;
    size_t overhead = chunk ? HTTP_CHUNK_OVERHEAD : 0;
    struct outbuf o = outbuf_on(q->p + q->end, outq_room(q));

    if (n > 0 && outq_room(q) > overhead) {
        n = n < outq_room(q) - overhead ? n : outq_room(q) - overhead;
        if (chunk)
            http_write_chunk_start(&o, n);
        outbuf_put(&o, x->body + x->body_sent, n);
        if (chunk)
            http_write_chunk_end(&o);
        x->body_sent += n;
        counter_add(&x->w->counters.bytes_up, n);
    }
    q->end += o.n;
    q->ready = q->end;
}

void forward_start(struct exchange *x)
{
    struct vendor *v = x->vendor;
    struct outbuf o;

    x->state = X_FORWARD;
    x->body_sent = 0;
    if (!outq_open(&v->out, x->w->memory, OUT_BLOCK * 2)) {
        exchange_refuse(x, CALL_busy, NULL, SPAN_NONE);
        return;
    }
    o = outbuf_on(v->out.p, v->out.cap);
    if (!write_head(x, &o)) {
        v->head_len = o.n;
        exchange_refuse(x, CALL_credential_unavailable, NULL, SPAN_NONE);
        return;
    }
    v->out.end = v->out.ready = v->head_len = o.n;
    v->scanned = 0;
    counter_inc(&x->w->counters.forwarded);
    if (x->approved)
        held_tell(x, HOLD_MSG_FORWARDED);
    x->sent = true;
    x->sent_us = x->w->now_us;
    queue_body(x);
    x->upload_mark = x->upload.total;
    exchange_timer(x, x->upload_done ? x->w->c.limits.answer_us : x->w->c.limits.body_us);
    exchange_say_continue(x);
}

/* One more piece of a body that passes as it comes. False: nothing has come, or no room. */
static enum step stream_piece(struct exchange *x)
{
    struct caller *c = x->caller;
    struct outq *q = &x->vendor->out;
    bool chunk = x->head->framing == HTTP_BODY_CHUNKED;
    struct span data, in;
    enum http_error why;
    struct outbuf o;
    size_t used;

    in = span_of(c->in + c->in_pos, c->in_len - c->in_pos);
    if (in.n > outq_room(q) - 2 * HTTP_CHUNK_OVERHEAD)
        in.n = outq_room(q) - 2 * HTTP_CHUNK_OVERHEAD;
    if (IN_STAGE(&x->w->stages, STAGE_HTTP, http_body_next(&x->upload, in, &data, &used, &why)) ==
        HTTP_BAD) {
        x->outcome = "request_malformed";
        caller_abort(c);
        return STEP_DEAD;
    }
    c->in_pos += used;
    o = outbuf_on(q->p + q->end, outq_room(q));
    if (data.n) {
        if (chunk)
            http_write_chunk_start(&o, data.n);
        outbuf_span_put(&o, data);
        if (chunk)
            http_write_chunk_end(&o);
        record_digest(x->w, x->sha_request, data.p, data.n);
        counter_add(&x->w->counters.bytes_up, data.n);
    }
    if (x->upload.done) {
        x->upload_done = true;
        exchange_vendor_moved(x);
        x->body_size = x->upload.total;
        if (chunk)
            http_write_last_chunk(&o);
    }
    q->end += o.n;
    q->ready = q->end;
    return STEP_ON;
}

/* Takes from the caller what the vendor's queue has room for. */
static enum step stream_body(struct exchange *x)
{
    struct outq *q = &x->vendor->out;

    while (!x->upload_done) {
        enum tls_result r;
        enum step s;

        outq_compact(q, IN_BLOCK);
        if (outq_room(q) < 4096)
            return STEP_WAIT;
        r = exchange_refill(x);
        if (r == TLS_AGAIN)
            return STEP_WAIT;
        if (r != TLS_OK) {
            caller_abort(x->caller);
            return STEP_DEAD;
        }
        s = stream_piece(x);
        if (s == STEP_DEAD)
            return s;
    }
    return STEP_WAIT;
}

static bool all_queued(const struct exchange *x)
{
    return x->body_sent == x->body_len && (!x->stream_up || x->upload_done);
}

/* What has been queued is written. True: all of the request is on its way. */
static bool flushed(struct exchange *x)
{
    struct outq *q = &x->vendor->out;

    if (!all_queued(x))
        return false;
    vendor_wipe(x->vendor);
    outq_close(q, x->w->memory);
    return true;
}

enum step forward_upload(struct exchange *x)
{
    struct outq *q = &x->vendor->out;

    while (q->p) {
        size_t pending;

        if (x->body_sent < x->body_len)
            queue_body(x);
        else if (x->stream_up && stream_body(x) == STEP_DEAD)
            return STEP_DEAD;
        pending = outq_pending(q);
        /* If the session has failed an early answer may still wait to be read: reply_run finds out.
         */
        if (outq_flush(q, x->vendor->leg.tls) != TLS_OK || flushed(x))
            return STEP_WAIT;
        if (pending == 0)
            return STEP_WAIT;
        exchange_vendor_moved(x);
    }
    return STEP_WAIT;
}

/* NULL too if it is there twice: which of them the vendor takes is not known. */
static const struct http_field *only_field(const struct http_head *h, struct span name)
{
    const struct http_field *found = NULL;

    for (unsigned i = 0; i < h->nfields; i++) {
        if (!span_ieq(h->fields[i].name, name))
            continue;
        if (found)
            return NULL;
        found = &h->fields[i];
    }
    return found && !found->hop && found->value.n ? found : NULL;
}

const struct http_field *forward_idempotency(const struct exchange *x)
{
    const struct http_field *f = NULL;

    for (unsigned i = 0; !f && i < x->connection->nidempotency; i++)
        f = only_field(x->head, x->connection->idempotency[i]);
    return f;
}

bool forward_repeatable(const struct exchange *x)
{
    return !x->stream_up &&
           (http_method_idempotent(x->head->method) || forward_idempotency(x) != NULL);
}
