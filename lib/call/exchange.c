#include <stdio.h>

#include "call/call_internal.h"

/* ---------------------------------------------------------------- the call id */

/* Unique without a lock or a clock: boot, worker, count. */
void exchange_identify_call(struct exchange *x)
{
    struct call_worker *w = x->w;
    struct outbuf o = outbuf_on(x->id, sizeof(x->id) - 1);
    uint64_t n = ((uint64_t)w->c.worker << 48) | (x->number & 0xffffffffffff);
    uint8_t tail[8];

    for (unsigned i = 0; i < 8; i++)
        tail[i] = (uint8_t)(n >> (56 - 8 * i));
    outbuf_hex(&o, w->c.boot, sizeof(w->c.boot));
    outbuf_hex(&o, tail, sizeof(tail));
    x->id[o.n] = 0;
}

static void on_timer(struct wheel_timer *t, uint64_t now_us);

/* ------------------------------------------------------------------- refusing */

/* If the rest of the body has come already the connection can go on, else it must end: what follows
 * could not be told from the next request. */
static void skip_body(struct exchange *x)
{
    struct caller *c = x->caller;
    struct span data;
    enum http_error why;
    size_t used;

    while (!x->upload_done && !x->upload.done) {
        struct span in = span_of(c->in + c->in_pos, c->in_len - c->in_pos);

        if (http_body_next(&x->upload, in, &data, &used, &why) == HTTP_BAD || used == 0)
            break;
        c->in_pos += used;
    }
    if (x->upload.done)
        x->upload_done = true;
    if (!x->upload_done)
        x->close_caller = true;
}

void exchange_refuse(struct exchange *x, enum call_cause cause, const char *cause_name,
                     struct span message)
{
    static const char *const texts[] = {
#define X(name, status, text) text,
        CALL_CAUSES(X)
#undef X
    };

    if (!x->id[0]) {
        wheel_timer_init(&x->timer, on_timer);
        x->number = x->w->next_number++;
        exchange_identify_call(x);
        x->began_us = x->w->now_us;
    }
    x->cause = cause;
    x->cause_name = cause_name ? cause_name : call_cause_name(cause);
    x->status = answer_status(x, cause);
    counter_inc(&x->w->counters.causes[cause]);
    counter_inc(&x->w->counters.answered);
    if (!x->sent)
        counts_give_back(x);
    if (!x->promised) {
        counter_inc(&x->w->counters.blocked);
        if (!record_decided(x, "block", x->cause_name))
            counter_inc(&x->w->counters.refusals_unrecorded);
    }
    skip_body(x);
    exchange_timer(x, x->w->c.limits.read_us);
    x->state = X_OWN;
    answer_own(x, message.n ? message : span_cstr(texts[cause]));
}

/* ----------------------------------------------------------------- beginning */

static bool right_host(const struct exchange *x)
{
    const struct caller *c = x->caller;
    uint16_t port = tcp_local_port(c->leg.tcp);

    return span_ieq(x->head->host, tls_sni(c->leg.tls)) &&
           (x->head->port == 0 || x->head->port == port);
}

static void refuse_host(struct exchange *x, struct span sni)
{
    char text[400];
    int n =
        snprintf(text, sizeof(text),
                 "No connection is configured for the host %.*s. Ask the network team to add it "
                 "to the rules, or send the call elsewhere.",
                 SPAN_ARG(sni));

    exchange_refuse(x, CALL_host_not_registered,
                    tls_ech_offered(x->caller->leg.tls) ? "ech_host_not_registered" : NULL,
                    span_of(text, (size_t)n));
}

static void read_body_or_decide(struct exchange *x)
{
    request_body_classify(x);
    if (x->head->framing == HTTP_BODY_NONE ||
        (x->head->framing == HTTP_BODY_LENGTH && x->head->content_length == 0)) {
        x->upload_done = true;
        exchange_decide(x);
        return;
    }
    EVP_DigestInit_ex2(x->sha_request, x->w->sha256, NULL);
    if (x->stream_up) {
        exchange_decide(x);
    } else {
        x->state = X_BODY;
        if (x->caller->in_pos == x->caller->in_len)
            exchange_say_continue(x);
    }
}

static bool identify(struct exchange *x)
{
    const struct net_addr *from = tcp_remote_addr(x->caller->leg.tcp);
    struct span certificates = tls_peer_certificates(x->caller->leg.tls);
    enum identity_cause why =
        IN_STAGE(&x->w->stages, STAGE_IDENTITY,
                 identity_identify(x->w->identity, x->connection, x->head, certificates, from,
                                   x->w->wall_ns, &x->identity));
    char text[200];

    if (why != IDENTITY_NONE) {
        struct outbuf o = outbuf_on(text, sizeof(text));

        outbuf_lit(&o, "The caller is not known: ");
        outbuf_cstr(&o, identity_cause_text(why));
        outbuf_char(&o, '.');
        x->asked->who.method = SPAN_LIT("none");
        x->asked->who.address = *from;
        exchange_refuse(x, CALL_identity_required, identity_cause_name(why), outbuf_span(&o));
        return false;
    }
    rules_caller_copy(&x->asked->who, &x->identity->caller);
    x->caller_id = x->asked->who.id;
    x->asked->who.address = *from;
    return true;
}

void exchange_timer(struct exchange *x, uint64_t after_us)
{
    wheel_start(x->w->wheel, &x->timer, x->w->now_us + after_us);
}

/* Fields by which some frameworks take another method than the one that was judged. */
static bool overrides_method(const struct http_head *h)
{
    static const struct span names[] = {
        {"X-HTTP-Method-Override", 22}, {"X-HTTP-Method", 13}, {"X-Method-Override", 17}};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (http_field_named(h, names[i]))
            return true;
    return false;
}

void exchange_begin(struct exchange *x)
{
    struct caller *c = x->caller;
    struct span sni = tls_sni(c->leg.tls);

    counter_inc(&x->w->counters.requests);
    wheel_timer_init(&x->timer, on_timer);
    x->number = x->w->next_number++;
    exchange_identify_call(x);
    x->began_us = x->w->now_us;
    x->head_len = c->in_pos;
    http_body_init(&x->upload, x->head);
    x->connection = rules_connection_for(x->gen->rules, sni);
    if (x->connection && x->connection->port != tcp_local_port(c->leg.tcp))
        x->connection = NULL;
    if (!x->connection) {
        refuse_host(x, sni);
        return;
    }
    x->function = x->connection->unlisted;
    if (!right_host(x)) {
        exchange_refuse(x, CALL_host_mismatch, NULL, SPAN_NONE);
        return;
    }
    if (overrides_method(x->head)) {
        exchange_refuse(x, CALL_bad_request, "method_override",
                        SPAN_LIT("A field asks for another method than the request line."));
        return;
    }
    if (x->head->upgrade && !tunnel_allowed(x)) {
        exchange_refuse(x, CALL_bad_request, http_error_name(HTTP_ERR_UPGRADE),
                        span_cstr(http_error_text(HTTP_ERR_UPGRADE)));
        return;
    }
    x->function = IN_STAGE(&x->w->stages, STAGE_RULES,
                           rules_function_for(x->gen->rules, x->connection, x->head->method,
                                              x->head->path, &x->asked->params));
    if (identify(x)) {
        exchange_timer(x, x->w->c.limits.body_us);
        read_body_or_decide(x);
    }
}

/* ------------------------------------------------------------------- deciding */

static void judge(struct exchange *x)
{
    STAGE_SCOPE(&x->w->stages, STAGE_RULES);
    struct rules_call call = {
        .caller = &x->asked->who,
        .function = x->function,
        .params = &x->asked->params,
        .head = x->head,
        .body_type = x->body_type,
        .body = request_body_seen(x),
        .body_problem = x->body_problem,
        .body_size = x->body_size,
        .now_ns = x->w->wall_ns,
        .hits = call_generation_hits(x->gen, x->w->c.worker),
    };

    call.function = x->function = rules_function_told(x->w->rules, &call);
    if (x->function->needs_found)
        call.found = detect_request(x);
    rules_decide(x->gen->rules, x->w->rules, &call, &x->verdict);
    counts_note(x);
    if (x->verdict.rule) {
        x->rule = x->verdict.rule->id;
        x->rule_rev = x->verdict.rule->rev;
    }
}

static bool credential_there(struct exchange *x)
{
    const struct vault_secret *s;

    if (x->connection->credential.kind == RULES_CRED_NONE)
        return true;
    s = x->gen->vault
            ? vault_find(x->gen->vault, x->connection->credential.secret, x->connection->name)
            : NULL;
    if (!s)
        return false;
    x->secret_version = s->version;
    return true;
}

/* Waits until the record is on disk: nothing leaves before. */
static void park(struct exchange *x)
{
    x->promised = true;
    x->state = X_RECORD;
    x->waits_audit = true;
    x->decided_us = x->w->now_us;
    counter_inc(&x->w->counters.audit_waits);
    audit_want(x->w->c.audit, x->ticket);
    TAILQ_INSERT_TAIL(&x->w->parked, x, parked);
}

static void go(struct exchange *x)
{
    x->state = X_VENDOR;
    request_body_close(x);
    counter_inc(&x->w->counters.allowed);
    vendor_acquire(x, false);
}

static void promise(struct exchange *x, const char *decision, const char *cause)
{
    if (!audit_ready(x->w->c.audit) || !record_decided(x, decision, cause)) {
        x->relaxed = false; /* a refusal is nothing that has left */
        exchange_refuse(x, CALL_audit_unavailable, NULL, SPAN_NONE);
    } else if (x->relaxed) {
        x->promised = true;
        go(x);
    } else {
        park(x);
    }
}

static bool is_relaxed(const struct exchange *x)
{
    enum rules_durability said = x->connection->durability;

    return said == RULES_DURABILITY_UNSAID ? x->w->c.relaxed : said == RULES_DURABILITY_RELAXED;
}

void exchange_decide(struct exchange *x)
{
    const struct rules_rule *rule;

    wheel_stop(x->w->wheel, &x->timer);
    if (!request_body_open(x)) {
        exchange_refuse(x, CALL_busy, NULL, SPAN_NONE);
        return;
    }
    judge(x);
    rule = x->verdict.rule;
    if (x->w->draining)
        exchange_refuse(x, CALL_shutting_down, NULL, SPAN_NONE);
    else if (x->verdict.decision == RULES_BLOCK)
        exchange_refuse(x, rule ? CALL_blocked_by_rule : CALL_no_rule_allows, NULL,
                        rule ? rule->message : SPAN_NONE);
    else if (!credential_there(x))
        exchange_refuse(x, CALL_credential_unavailable, NULL, SPAN_NONE);
    else if (x->verdict.decision == RULES_HOLD)
        promise(x, "hold", "held_by_rule");
    else {
        x->relaxed = is_relaxed(x);
        promise(x, "allow", "allowed_by_rule");
    }
}

/* ------------------------------------------------------------------- going on */

void exchange_durable(struct exchange *x)
{
    struct caller *c = x->caller;

    if (x->verdict.decision == RULES_HOLD && !x->approved)
        held_open(x);
    else {
        x->durable_us = x->w->now_us;
        go(x);
    }
    caller_run(c);
}

/* What was approved must still be what would run: other rules or another credential supersede it.
 */
static bool still_the_same(const struct exchange *x)
{
    const struct call_generation *now = x->w->gen;
    const struct vault_secret *s;

    if (now == x->gen)
        return true;
    if (memcmp(rules_hash(now->rules), rules_hash(x->gen->rules), RULES_HASH) != 0)
        return false;
    if (x->connection->credential.kind == RULES_CRED_NONE)
        return true;
    s = now->vault ? vault_find(now->vault, x->connection->credential.secret, x->connection->name)
                   : NULL;
    return s && s->version == x->secret_version;
}

void exchange_approved(struct exchange *x, const char *who)
{
    snprintf(x->reviewer, sizeof(x->reviewer), "%s", who);
    if (!still_the_same(x)) {
        held_tell(x, HOLD_MSG_CANCELLED);
        exchange_refuse(x, CALL_approval_superseded, NULL, SPAN_NONE);
        return;
    }
    x->approved = true;
    promise(x, "allow", "approved");
}

/* ---------------------------------------------------------------------- ending */

static void on_timer(struct wheel_timer *t, uint64_t now_us)
{
    struct exchange *x = (struct exchange *)((char *)t - offsetof(struct exchange, timer));
    struct caller *c = x->caller;

    (void)now_us;
    switch (x->state) {
    case X_BODY:
        if (exchange_body_moves(x))
            return;
        counter_inc(&x->w->counters.timeouts);
        counter_inc(&x->w->counters.slow_body);
        exchange_refuse(x, CALL_request_timeout, "body_too_slow", SPAN_NONE);
        break;
    case X_HELD:
        counter_inc(&x->w->counters.timeouts);
        held_tell(x, HOLD_MSG_CANCELLED);
        exchange_refuse(x, CALL_approvals_unavailable, NULL, SPAN_NONE);
        break;
    case X_FORWARD:
        if (exchange_answer_late(x) == STEP_DEAD)
            return;
        break;
    case X_VENDOR:
    case X_RECORD:
        break; /* the vendor connection and the audit queue keep their own time */
    case X_OWN:
        counter_inc(&x->w->counters.timeouts);
        counter_inc(&x->w->counters.slow_reader);
        caller_abort(c);
        return;
    case X_TUNNEL:
        tunnel_stop(x, "upgrade_idle");
        break;
    }
    caller_run(c);
}

static void let_go_of_vendor(struct exchange *x)
{
    struct vendor *v = x->vendor;

    if (!v)
        return;
    x->vendor = NULL;
    v->x = NULL;
    vendor_release(v);
}

static void free_parts(struct exchange *x)
{
    struct call_worker *w = x->w;

    wheel_stop(w->wheel, &x->timer);
    if (x->waits_audit)
        TAILQ_REMOVE(&w->parked, x, parked);
    let_go_of_vendor(x);
    if (x->stream)
        match_stream_close(x->stream);
    if (x->identity)
        identity_put(w->identity, x->identity);
    request_body_close(x);
    if (x->body)
        buddy_free(w->memory, x->body);
    if (x->capture)
        buddy_free(w->memory, x->capture);
}

void exchange_end(struct exchange *x, const char *outcome)
{
    struct caller *c = x->caller;
    bool keep = x->head->keep_alive && !x->close_caller && x->upload_done;

    if (!x->sent)
        counts_give_back(x);
    if (x->promised)
        record_settled(x, x->outcome ? x->outcome : outcome);
    if (x->held_open)
        held_tell(x, x->sent ? HOLD_MSG_SETTLED : HOLD_MSG_CANCELLED);
    free_parts(x);
    exchange_recycle(x);
    if (c)
        caller_call_ended(c, keep);
}

void exchange_caller_gone(struct exchange *x)
{
    x->caller = NULL;
    if (x->vendor)
        x->vendor->keep = false;
    if (!x->promised && x->id[0] && x->state == X_BODY) {
        x->cause = CALL_bad_request;
        record_decided(x, "block", "caller_gone");
    }
    exchange_end(x, x->sent ? "caller_gone" : "not_sent");
}
