#include "call/call_internal.h"

/* More than this in TCP's queue when a call has ended: the caller is watched until it has read it.
 */
enum { UNREAD_MANY = 32 << 10 };

static void set_timer(struct caller *c, uint64_t after_us)
{
    wheel_start(c->w->wheel, &c->timer, c->w->now_us + after_us);
}

void caller_drop_input(struct caller *c)
{
    if (c->in)
        buddy_free(c->w->memory, c->in);
    c->in = NULL;
    c->in_len = c->in_cap = c->in_pos = c->scanned = 0;
}

/* ------------------------------------------------------------------- the end */

void caller_free(struct caller *c)
{
    struct call_worker *w = c->w;

    wheel_stop(w->wheel, &c->timer);
    admit_gone(c);
    caller_drop_input(c);
    outq_close(&c->out, w->memory);
    if (c->leg.tls)
        tls_free(c->leg.tls);
    if (c->leg.tcp)
        tcp_close(c->leg.tcp);
    LIST_REMOVE(c, link);
    counter_add(&w->ncallers, (uint64_t)-1);
    memset(c, 0, sizeof(*c));
    LIST_INSERT_HEAD(&w->free_callers, c, link);
}

/* The peer cannot be answered any more. */
static void caller_gone(struct caller *c)
{
    struct exchange *x = c->x;

    if (x) {
        counter_inc(&c->w->counters.callers_lost);
        c->x = NULL;
        exchange_caller_gone(x);
    }
    caller_free(c);
}

void caller_abort(struct caller *c)
{
    if (c->leg.tcp)
        tcp_abort(c->leg.tcp);
    c->leg.tcp = NULL;
    caller_gone(c);
}

/* Says goodbye and waits a little for the peer to do so too, so that no reset overtakes what it has
 * not read yet (RFC 9112 9.6). */
static void caller_linger(struct caller *c)
{
    admit_idle(c, false);
    c->state = CALLER_LINGER;
    if (!c->cut)
        tls_shutdown(c->leg.tls);
    tcp_shutdown(c->leg.tcp);
    caller_drop_input(c);
    outq_close(&c->out, c->w->memory);
    set_timer(c, LINGER_US);
}

static void linger_run(struct caller *c)
{
    char waste[4096];

    while (tcp_read(c->leg.tcp, waste, sizeof(waste)))
        ;
    if (tcp_eof(c->leg.tcp))
        caller_free(c);
}

/* ----------------------------------------------------------------- handshake */

static void handshake_failed(struct caller *c)
{
    enum tls_error e = tls_error(c->leg.tls);

    admit_settled(c);
    counter_inc(&c->w->counters.refused_tls);
    record_refused_connection(c, tls_error_name(e), tls_error_text(c->leg.tls));
    counter_inc(&c->w->counters.callers_refused);
    if (e == TLS_ERR_PLAIN_HTTP) {
        counter_inc(&c->w->counters.plain_http);
        answer_plain_http(c);
    }
    /* The alert is queued in TCP already. */
    c->state = CALLER_LINGER;
    tcp_shutdown(c->leg.tcp);
    set_timer(c, LINGER_US);
}

static bool handshake(struct caller *c)
{
    switch (tls_handshake(c->leg.tls)) {
    case TLS_OK:
        admit_settled(c);
        admit_idle(c, true);
        c->state = CALLER_HEAD;
        set_timer(c, c->w->c.limits.head_us);
        return true;
    case TLS_AGAIN:
        return false;
    case TLS_CLOSED:
    case TLS_FAILED:
        handshake_failed(c);
        return true;
    }
    return false;
}

/* --------------------------------------------------------------------- heads */

/* The session ended between calls or inside a head. */
static bool input_over(struct caller *c, enum tls_result r)
{
    if (r == TLS_AGAIN)
        return false;
    if (r == TLS_CLOSED)
        caller_linger(c);
    else
        caller_abort(c);
    return false;
}

static bool refuse_head(struct caller *c, struct exchange *x, enum http_error why)
{
    memset(x->head, 0, offsetof(struct http_head, fields));
    c->x = x;
    x->caller = c;
    x->close_caller = x->upload_done = true;
    c->in_pos = c->in_len;
    c->state = CALLER_CALL;
    wheel_stop(c->w->wheel, &c->timer);
    exchange_refuse(x, CALL_bad_request, http_error_name(why), span_cstr(http_error_text(why)));
    return true;
}

static bool no_room(struct caller *c)
{
    counter_inc(&c->w->counters.causes[CALL_busy]);
    counter_inc(&c->w->counters.callers_refused);
    counter_inc(&c->w->counters.refused_memory);
    caller_abort(c);
    return false;
}

/* Tries to parse what is there. False: more is needed, or the caller is gone. */
static bool parse_head(struct caller *c)
{
    struct exchange *x = exchange_new(c->w);
    struct span have = span_of(c->in + c->in_pos, c->in_len - c->in_pos);
    enum http_error why = HTTP_ERR_NONE;
    size_t used = 0;

    if (!x)
        return no_room(c);
    switch (IN_STAGE(&c->w->stages, STAGE_HTTP,
                     http_parse_request(x->head, have, &c->scanned, &used, &why))) {
    case HTTP_MORE:
        exchange_recycle(x);
        return false;
    case HTTP_BAD:
        c->scanned = 0;
        return refuse_head(c, x, why);
    case HTTP_OK:
        break;
    }
    c->scanned = 0;
    c->in_pos += used;
    c->x = x;
    x->caller = c;
    c->state = CALLER_CALL;
    wheel_stop(c->w->wheel, &c->timer);
    exchange_begin(x);
    return true;
}

/* Between calls the unread rest moves to the front, so that a head always starts at in[0]: its
 * spans stay valid for the whole call. */
static void rewind_input(struct caller *c)
{
    if (c->in_pos == 0)
        return;
    memmove(c->in, c->in + c->in_pos, c->in_len - c->in_pos);
    c->in_len -= c->in_pos;
    c->in_pos = 0;
    c->scanned = 0;
}

static bool head(struct caller *c)
{
    enum tls_result r;
    size_t got;

    if (c->in_len > c->in_pos && parse_head(c))
        return true;
    if (c->leg.tcp == NULL || c->state != CALLER_HEAD)
        return false;
    /* Twice the length: once the head is complete, as much again is free for the body. */
    if (!in_reserve(c->w, &c->in, &c->in_cap, c->in_len, c->in_len + 8192, HEAD_BLOCK))
        return no_room(c);
    r = tls_read(c->leg.tls, c->in + c->in_len, c->in_cap - c->in_len, &got);
    if (r != TLS_OK) {
        if (r == TLS_AGAIN && c->in_len == 0)
            caller_drop_input(c);
        return input_over(c, r);
    }
    if (c->in_len == 0) {
        admit_idle(c, false);
        c->reading = false;
        set_timer(c, c->w->c.limits.head_us);
    }
    c->in_len += got;
    if (parse_head(c))
        return true;
    /* The caller may have been refused for want of memory. */
    return c->leg.tcp != NULL && c->state == CALLER_HEAD;
}

/* ------------------------------------------------------------------- the reader */

/* An answer must be taken at a rate while there is some of it to take: what a reader leaves lying
 * is held in the queue here and in TCP's. */
static uint64_t unread(const struct caller *c)
{
    return outq_pending(&c->out) + tcp_unacked(c->leg.tcp);
}

static void watch_reader(struct caller *c)
{
    c->owed = unread(c);
    c->mark = c->out.flushed - tcp_unacked(c->leg.tcp);
    set_timer(c, c->w->c.limits.read_us);
}

static void look_at_reader(struct caller *c)
{
    const struct call_limits *l = &c->w->c.limits;
    uint64_t taken = c->out.flushed - tcp_unacked(c->leg.tcp) - c->mark;
    uint64_t least = l->read_rate * l->read_us / US_IN_S;

    if (c->owed && taken < (least < c->owed ? least : c->owed)) {
        counter_inc(&c->w->counters.timeouts);
        counter_inc(&c->w->counters.slow_reader);
        if (c->x)
            c->x->outcome = "answer_not_read";
        caller_abort(c);
    } else if (c->reading && unread(c) <= UNREAD_MANY) {
        c->reading = false;
        set_timer(c, l->idle_us);
    } else if (c->reading || outq_pending(&c->out)) {
        watch_reader(c);
    }
}

/* --------------------------------------------------------------------- a call */

static enum step own_answer(struct caller *c)
{
    switch (outq_flush(&c->out, c->leg.tls)) {
    case TLS_OK:
        exchange_end(c->x, c->x->sent ? "unknown" : "not_sent");
        return STEP_ON;
    case TLS_AGAIN:
        return STEP_WAIT;
    default:
        caller_abort(c);
        return STEP_DEAD;
    }
}

static enum step forward(struct exchange *x)
{
    enum step s = forward_upload(x);

    return s == STEP_WAIT ? reply_run(x) : s;
}

static enum step in_call(struct caller *c)
{
    struct exchange *x = c->x;

    switch (x->state) {
    case X_BODY:
        return exchange_body(x);
    case X_VENDOR:
        return STEP_WAIT;
    case X_RECORD:
    case X_HELD:
        if (!c->peer_eof || x->verdict.decision != RULES_HOLD)
            return STEP_WAIT;
        /* Nobody would see the answer: an approval must not run it. */
        caller_abort(c);
        return STEP_DEAD;
    case X_FORWARD:
        return forward(x);
    case X_OWN:
        return own_answer(c);
    case X_TUNNEL:
        return tunnel_run(x);
    }
    return STEP_WAIT;
}

/* False: it waits, or the caller is gone. */
static bool call_goes_on(struct caller *c)
{
    enum step s = in_call(c);

    if (s != STEP_WAIT)
        return s == STEP_ON;
    exchange_rest(c->x);
    if (outq_pending(&c->out) && !wheel_running(&c->timer))
        watch_reader(c);
    return false;
}

void caller_run(struct caller *c)
{
    bool on = true;

    while (on) {
        switch (c->state) {
        case CALLER_HANDSHAKE:
            admit_later(c);
            return;
        case CALLER_HEAD:
            on = head(c);
            break;
        case CALLER_CALL:
            on = call_goes_on(c);
            break;
        case CALLER_LINGER:
            linger_run(c);
            return;
        }
    }
}

void caller_handshake(struct caller *c)
{
    if (handshake(c))
        caller_run(c);
}

void caller_call_ended(struct caller *c, bool keep_alive)
{
    c->x = NULL;
    if (!keep_alive || c->w->draining) {
        caller_linger(c);
        return;
    }
    rewind_input(c);
    outq_close(&c->out, c->w->memory);
    if (c->in_len == 0)
        caller_drop_input(c);
    c->state = CALLER_HEAD;
    admit_idle(c, c->in_len == 0);
    c->reading = c->in_len == 0 && tcp_unacked(c->leg.tcp) > UNREAD_MANY;
    if (c->reading)
        watch_reader(c);
    else
        set_timer(c, c->in_len ? c->w->c.limits.head_us : c->w->c.limits.idle_us);
}

/* --------------------------------------------------------------------- events */

static void handshake_late(struct caller *c)
{
    counter_inc(&c->w->counters.timeouts);
    counter_inc(&c->w->counters.slow_handshake);
    record_refused_connection(c, "handshake_timeout", "the TLS handshake was too slow");
    caller_abort(c);
}

static void head_late(struct caller *c)
{
    struct exchange *x;

    counter_inc(&c->w->counters.timeouts);
    counter_inc(&c->w->counters.slow_head);
    if (!(x = exchange_new(c->w))) {
        caller_abort(c);
        return;
    }
    memset(x->head, 0, offsetof(struct http_head, fields));
    c->x = x;
    x->caller = c;
    x->close_caller = x->upload_done = true;
    c->state = CALLER_CALL;
    exchange_refuse(x, CALL_request_timeout, NULL, SPAN_NONE);
    caller_run(c);
}

void caller_timer_fired(struct wheel_timer *t, uint64_t now_us)
{
    struct caller *c = (struct caller *)((char *)t - offsetof(struct caller, timer));

    (void)now_us;
    if (c->state == CALLER_LINGER) {
        caller_free(c);
    } else if (c->state == CALLER_HANDSHAKE) {
        handshake_late(c);
    } else if (c->state == CALLER_CALL || c->reading) {
        look_at_reader(c);
    } else if (c->in_len) {
        head_late(c);
    } else {
        counter_inc(&c->w->counters.idle_closed);
        caller_linger(c);
    }
}

void caller_event(struct caller *c, unsigned events)
{
    if (events & TCP_EV_CLOSED) {
        c->leg.tcp = NULL;
        caller_gone(c);
        return;
    }
    if (events & TCP_EV_EOF)
        c->peer_eof = true;
    if (c->state != CALLER_HANDSHAKE)
        c->w->others++;
    caller_run(c);
}
