/* The worker's end of a held call: it hands a masked copy to the control thread, parks, and does
 * what the verdict says. The call itself never leaves the worker. */
#include <stdio.h>

#include "call/call_internal.h"

enum {
    HELD_SLACK_US = 10 * 1000 * 1000
}; /* control keeps the time; this is for when it does not */

static bool send(struct call_worker *w, const struct hold_message *m)
{
    return rte_ring_sp_enqueue_elem(w->c.to_control, (void *)(uintptr_t)m, sizeof(*m)) == 0;
}

void held_tell(struct exchange *x, enum hold_message_type type)
{
    struct hold_message m = {
        .type = type,
        .worker = x->w->c.worker,
        .call = x->number,
        .hold = x->hold,
        .status = x->status,
    };

    if (type == HOLD_MSG_CANCELLED || type == HOLD_MSG_SETTLED)
        x->held_open = false;
    /* The ring has room for several messages a call in progress; control's own deadlines close a
     * record whose end was not heard. */
    if (!send(x->w, &m))
        counter_inc(&x->w->counters.hold_ring_full);
}

static void put_text(char *to, size_t cap, struct span s)
{
    size_t n = s.n < cap - 1 ? s.n : cap - 1;

    if (n)
        memcpy(to, s.p, n);
    to[n] = 0;
}

/* False if they do not fit: with some of them, or none, others could decide. */
static bool put_groups(const struct rules_rule *rule, char *to, size_t cap)
{
    struct outbuf o = outbuf_on(to, cap - 1);

    for (unsigned i = 0; i < rule->nhold_groups; i++) {
        outbuf_span_put(&o, rule->hold_groups[i]);
        outbuf_char(&o, '\n');
    }
    to[o.n] = 0;
    return !o.full;
}

static bool put_digest(struct exchange *x, struct hold_request *r)
{
    struct hold_subject s = {
        .caller = x->asked->who.id,
        .connection = x->connection->name,
        .function = x->function->name,
        .method = x->head->method,
        .path = x->head->path,
        .query = x->head->query,
        .body_type = x->body_problem ? BODY_OTHER : x->body_type,
        .body = x->decoded ? request_body_text(x) : span_of(x->body, x->body_len),
        .coded = x->decoded ? span_of(x->body, x->body_len) : SPAN_NONE,
        .head = x->head,
        .rules_connection = x->connection,
        .secret = x->connection->credential.secret,
        .secret_version = x->secret_version,
        .rule = x->rule,
        .rev = x->rule_rev,
    };

    return hold_digest(&s, r->digest);
}

static void put_idempotency(struct exchange *x, struct hold_request *r)
{
    const struct http_field *f = forward_idempotency(x);
    struct outbuf o = outbuf_on(r->idempotency_key, sizeof(r->idempotency_key) - 1);
    uint8_t hash[32];
    unsigned n = 0;

    if (f && EVP_Digest(f->value.p, f->value.n, hash, &n, x->w->sha256, NULL) == 1)
        outbuf_hex(&o, hash, n);
    r->idempotency_key[o.n] = 0;
}

static void put_what_is_shown(struct exchange *x, struct hold_request *r)
{
    const struct match_policy *p = &x->function->mask_audit;
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);
    struct match_found ignored = {0};
    struct span text = request_body_text(x), body;

    put_text(r->target, sizeof(r->target),
             record_masked(x->w, x->gen, p, MATCH_FORM, x->head->target, sizeof(r->target) - 1,
                           &ignored));
    body =
        record_masked(x->w, x->gen, p, record_syntax(x->body_type), text, HOLD_BODY_MAX, &ignored);
    memcpy(r->body, body.p, body.n);
    r->body_shown = (uint32_t)body.n;
    r->body_size = (uint32_t)(x->decoded ? text.n : x->body_size);
    put_text(r->content_type, sizeof(r->content_type), type ? type->value : SPAN_NONE);
}

static bool fill_request(struct exchange *x, struct hold_request *r)
{
    const struct rules_rule *rule = x->verdict.rule;

    memset(r, 0, offsetof(struct hold_request, body));
    r->wait_ns = rule->wait_ns;
    r->grant_ns = 3600 * NS_IN_S;
    r->rule = rule->id;
    r->rev = rule->rev;
    r->generation = x->generation_number;
    memcpy(r->rules_hash, rules_hash(x->gen->rules), RULES_HASH);
    r->quorum = rule->quorum ? rule->quorum : 1;
    put_text(r->call, sizeof(r->call), span_cstr(x->id));
    put_text(r->caller, sizeof(r->caller), x->asked->who.id);
    put_text(r->connection, sizeof(r->connection), x->connection->name);
    put_text(r->function, sizeof(r->function), x->function->name);
    put_text(r->method, sizeof(r->method), x->head->method);
    put_text(r->rule_name, sizeof(r->rule_name), rule->name);
    put_text(r->message, sizeof(r->message), rule->message);
    put_idempotency(x, r);
    put_what_is_shown(x, r);
    return put_groups(rule, r->groups, sizeof(r->groups)) && put_digest(x, r);
}

void held_open(struct exchange *x)
{
    struct call_worker *w = x->w;
    struct hold_request *r = w->nhold_blocks ? w->hold_blocks[w->nhold_blocks - 1] : NULL;
    struct hold_message m = {
        .type = HOLD_MSG_OPEN, .worker = w->c.worker, .call = x->number, .request = r};
    bool alive = atomic_load_explicit(w->c.control_alive, memory_order_relaxed);

    if (x->coded && !x->decoded) {
        exchange_refuse(x, CALL_approval_refused, "body_cannot_be_shown", SPAN_NONE);
        return;
    }
    /* A body that passes as it comes cannot be shown whole, so it cannot be approved; no more can
     * what an upgraded connection would carry. */
    if (x->stream_up || x->upgrade.n) {
        exchange_refuse(x, CALL_approval_refused,
                        x->stream_up ? "body_too_large_to_hold" : "upgrade_cannot_be_held",
                        SPAN_NONE);
        return;
    }
    if (!alive || !r || !fill_request(x, r) || !send(w, &m)) {
        exchange_refuse(x, CALL_approvals_unavailable, NULL, SPAN_NONE);
        return;
    }
    w->nhold_blocks--;
    x->state = X_HELD;
    x->held_open = true;
    counter_inc(&w->counters.held);
    exchange_timer(x, x->verdict.rule->wait_ns / 1000 + HELD_SLACK_US);
}

/* ------------------------------------------------------------------- verdicts */

static struct exchange *find_held(struct call_worker *w, uint64_t number)
{
    struct exchange *x;

    LIST_FOREACH (x, &w->calls, link)
        if (x->number == number && x->state == X_HELD)
            return x;
    return NULL;
}

static void refuse_pending(struct exchange *x)
{
    char text[256];
    int n =
        snprintf(text, sizeof(text),
                 "This call waits for approval as %s. Send the same call again once it has been "
                 "approved.",
                 x->hold_id);

    exchange_refuse(x, CALL_approval_pending, NULL, span_of(text, (size_t)n));
}

static void refuse_denied(struct exchange *x, const struct hold_message *m)
{
    char text[400];
    int n = snprintf(text, sizeof(text), "%s denied this call%s%.155s", m->who,
                     m->reason[0] ? ": " : ".", m->reason);

    snprintf(x->reviewer, sizeof(x->reviewer), "%s", m->who);
    exchange_refuse(x, CALL_approval_denied, NULL, span_of(text, (size_t)n));
}

static void verdict(struct exchange *x, const struct hold_message *m)
{
    if (m->hold) {
        x->hold = m->hold;
        hold_id_text(x->hold, x->hold_id);
    }
    switch (m->type) {
    case HOLD_MSG_APPROVED:
        wheel_stop(x->w->wheel, &x->timer);
        exchange_approved(x, m->who);
        break;
    case HOLD_MSG_DENIED:
        x->held_open = false;
        refuse_denied(x, m);
        break;
    case HOLD_MSG_PENDING:
        x->held_open = false;
        refuse_pending(x);
        break;
    case HOLD_MSG_REFUSED:
        x->held_open = false;
        exchange_refuse(x, CALL_approval_refused, NULL, span_cstr(m->reason));
        break;
    default: /* OPENED: only the id */
        return;
    }
    caller_run(x->caller);
}

/* A verdict for a call that is no longer here: control must know that it never ran. */
static void nobody_waits(struct call_worker *w, const struct hold_message *m)
{
    struct hold_message back = {
        .type = HOLD_MSG_CANCELLED, .worker = w->c.worker, .call = m->call, .hold = m->hold};

    if (m->type == HOLD_MSG_APPROVED)
        send(w, &back);
}

unsigned held_poll(struct call_worker *w)
{
    struct hold_message m;
    unsigned n = 0;

    while (n < 64 && rte_ring_sc_dequeue_elem(w->c.from_control, &m, sizeof(m)) == 0) {
        struct exchange *x = find_held(w, m.call);

        if (m.type == HOLD_MSG_OPENED)
            w->hold_blocks[w->nhold_blocks++] = m.request;
        if (x)
            verdict(x, &m);
        else
            nobody_waits(w, &m);
        n++;
    }
    return n;
}
