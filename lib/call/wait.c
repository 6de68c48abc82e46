/* A call that waits: how long for what, and what it keeps meanwhile. */
#include "call/call_internal.h"

void exchange_vendor_moved(struct exchange *x)
{
    x->stalls = 0;
    if (x->upload_done)
        exchange_timer(x, x->w->c.limits.answer_us);
}

/* What was asked is not needed any more once the answer has begun and the whole request is gone. */
static void forget_request(struct exchange *x)
{
    struct caller *c = x->caller;
    struct buddy *memory = x->w->memory;

    if (!x->head->keep_alive)
        x->close_caller = true;
    if (x->asked != &x->w->forgotten)
        buddy_free(memory, x->asked);
    x->asked = &x->w->forgotten;
    x->head = &x->asked->head;
    if (x->body)
        buddy_free(memory, x->body);
    x->body = NULL;
    if (c->in && c->in_pos == c->in_len) {
        buddy_free(memory, c->in);
        c->in = NULL;
        c->in_len = c->in_cap = c->in_pos = c->scanned = 0;
    }
}

void exchange_rest(struct exchange *x)
{
    struct vendor *v = x->vendor;

    if (x->state != X_FORWARD || !v)
        return;
    if (v->in && v->in_pos == v->in_len) {
        buddy_free(x->w->memory, v->in);
        v->in = NULL;
        v->in_len = v->in_cap = v->in_pos = 0;
    }
    if (!x->head_out || !x->upload_done || v->out.p)
        return;
    reply_rest(x);
    forget_request(x);
}

bool exchange_body_moves(struct exchange *x)
{
    const struct call_limits *l = &x->w->c.limits;
    uint64_t least = l->body_rate * l->body_us / US_IN_S, got = x->upload.total - x->upload_mark;

    if (got == 0 || got < least)
        return false;
    x->upload_mark = x->upload.total;
    exchange_timer(x, l->body_us);
    return true;
}

/* A body that passes as it comes has stopped: is it the caller or the vendor that waits? */
static enum step upload_stopped(struct exchange *x)
{
    const struct call_limits *l = &x->w->c.limits;

    if (exchange_body_moves(x))
        return STEP_WAIT;
    if (x->vendor && outq_pending(&x->vendor->out)) {
        if (++x->stalls * l->body_us < l->answer_us) {
            x->upload_mark = x->upload.total;
            exchange_timer(x, l->body_us);
            return STEP_WAIT;
        }
        counter_inc(&x->w->counters.timeouts);
        counter_inc(&x->w->counters.slow_vendor_answer);
        return reply_vendor_lost(x, CALL_vendor_timeout);
    }
    counter_inc(&x->w->counters.timeouts);
    counter_inc(&x->w->counters.slow_body);
    x->outcome = "request_too_slow";
    caller_abort(x->caller);
    return STEP_DEAD;
}

enum step exchange_answer_late(struct exchange *x)
{
    if (!x->upload_done)
        return upload_stopped(x);
    counter_inc(&x->w->counters.timeouts);
    counter_inc(&x->w->counters.slow_vendor_answer);
    return reply_vendor_lost(x, CALL_vendor_timeout);
}
