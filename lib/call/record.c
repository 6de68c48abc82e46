#include "call/call_internal.h"

enum {
    TARGET_CAP = 4096, /* bytes of a target in a record */
    REFUSALS_A_SECOND = 100,
};

enum match_syntax record_syntax(enum body_type t)
{
    switch (t) {
    case BODY_JSON:
        return MATCH_JSON;
    case BODY_FORM:
        return MATCH_FORM;
    default:
        return MATCH_PLAIN;
    }
}

struct span record_masked(struct call_worker *w, const struct call_generation *g,
                          const struct match_policy *p, enum match_syntax syntax, struct span in,
                          size_t cap, struct match_found *found)
{
    STAGE_SCOPE(&w->stages, STAGE_MATCH);
    size_t n = in.n < cap + CAPTURE_SLACK ? in.n : cap + CAPTURE_SLACK;

    if (n == 0)
        return span_of(w->scratch, 0);
    memcpy(w->scratch, in.p, n);
    if (!match_buffer(w->match, g->match, p, syntax, w->scratch, n, found))
        return span_of(w->scratch, 0);
    return span_of(w->scratch, n < cap ? n : cap);
}

/* Masked, for evidence: `s`, which often is what it was in the last call. */
static struct span masked_again(struct exchange *x, struct record_clean *clean,
                                const struct match_policy *p, enum match_syntax syntax,
                                struct span s, size_t cap)
{
    struct match_found found;
    struct span out;

    if (clean->generation == x->generation_number && clean->function == x->function &&
        span_eq(s, span_of(clean->text, clean->n)))
        return s;
    match_found_clear(&found);
    out = record_masked(x->w, x->gen, p, syntax, s, cap, &found);
    match_found_join(&x->found_request, &found);
    if (x->function && out.n == s.n && s.n <= sizeof(clean->text) && !found.which &&
        !found.secrets) {
        *clean = (struct record_clean){x->generation_number, x->function, s.n, {0}};
        memcpy(clean->text, s.p, s.n);
    }
    return out;
}

void record_digest(struct call_worker *w, EVP_MD_CTX *c, const char *p, size_t n)
{
    STAGE_SCOPE(&w->stages, STAGE_AUDIT);
    EVP_DigestUpdate(c, p, n);
}

/* ------------------------------------------------------------------- the parts */

/* Policy for calls that never got as far as a function. */
static const struct match_policy *audit_policy(const struct exchange *x)
{
    return x->function ? &x->function->mask_audit : &x->gen->everything;
}

static void put_address(struct audit_event *e, enum audit_field address, enum audit_field port,
                        const struct net_addr *a, uint16_t p)
{
    char text[NET_ADDR_TEXT];

    audit_text(e, address, span_cstr(net_addr_text(a, text)));
    audit_number(e, port, p);
}

static void put_some(struct audit_event *e, enum audit_field f, struct span s)
{
    if (s.n)
        audit_text(e, f, s);
}

/* Under which rules: in every event. */
static void put_generation(struct audit_event *e, const struct call_worker *w,
                           const struct call_generation *g)
{
    audit_number(e, AUDIT_F_WORKER, w->c.worker);
    audit_number(e, AUDIT_F_GENERATION, g->number);
    audit_bytes(e, AUDIT_F_RULES_HASH, rules_hash(g->rules), RULES_HASH);
}

static void put_caller(struct audit_event *e, const struct exchange *x)
{
    put_some(e, AUDIT_F_CALLER, x->asked->who.id);
    put_some(e, AUDIT_F_ISSUER, x->asked->who.issuer);
    put_some(e, AUDIT_F_IDENTITY, x->asked->who.method);
    for (unsigned i = 0; i < x->asked->who.ngroups; i++)
        audit_text(e, AUDIT_F_GROUP, x->asked->who.groups[i]);
    if (x->identity) {
        put_some(e, AUDIT_F_SUBJECT, x->identity->subject);
        put_some(e, AUDIT_F_TOKEN_ID, x->identity->token_id);
    }
}

static void put_connection(struct audit_event *e, const struct exchange *x)
{
    const struct caller *c = x->caller;

    if (!c || !c->leg.tcp)
        return;
    put_address(e, AUDIT_F_CLIENT_ADDRESS, AUDIT_F_CLIENT_PORT, tcp_remote_addr(c->leg.tcp),
                tcp_remote_port(c->leg.tcp));
    put_address(e, AUDIT_F_VENDOR_ADDRESS, AUDIT_F_VENDOR_PORT, tcp_local_addr(c->leg.tcp),
                tcp_local_port(c->leg.tcp));
    put_some(e, AUDIT_F_SNI, tls_sni(c->leg.tls));
    audit_text(e, AUDIT_F_TLS_VERSION, span_cstr(tls_version(c->leg.tls)));
    audit_text(e, AUDIT_F_TLS_CIPHER, span_cstr(tls_cipher(c->leg.tls)));
}

static void put_request(struct audit_event *e, struct exchange *x, const struct match_policy *p)
{
    const struct http_field *type = http_field(x->head, HTTP_F_CONTENT_TYPE);

    if (x->connection)
        audit_text(e, AUDIT_F_CONNECTION, x->connection->name);
    if (x->function)
        audit_text(e, AUDIT_F_FUNCTION, x->function->name);
    put_some(e, AUDIT_F_METHOD, x->head->method);
    put_some(e, AUDIT_F_HOST, x->head->host);
    put_some(e, AUDIT_F_TARGET,
             masked_again(x, &x->w->clean_target, p, MATCH_FORM, x->head->target, TARGET_CAP));
    if (type)
        put_some(e, AUDIT_F_CONTENT_TYPE,
                 masked_again(x, &x->w->clean_type, p, MATCH_PLAIN, type->value, 256));
}

static void put_body(struct audit_event *e, struct exchange *x, const struct match_policy *p)
{
    uint64_t cap = x->connection ? x->connection->capture : 0;
    struct span text = request_body_text(x); /* coded bytes could not be masked */
    enum body_problem problem = x->body_problem ? x->body_problem : x->verdict.body_problem;

    if (x->body_size)
        audit_number(e, AUDIT_F_BODY_SIZE, x->body_size);
    if (problem)
        audit_text(e, AUDIT_F_BODY_PROBLEM, span_cstr(body_problem_name(problem)));
    if (x->body_len == 0)
        return;
    if (!x->body_hashed && x->upload_done && !x->stream_up)
        x->body_hashed = EVP_DigestFinal_ex(x->sha_request, x->body_hash, NULL) == 1;
    if (x->body_hashed)
        audit_bytes(e, AUDIT_F_BODY_SHA256, x->body_hash, sizeof(x->body_hash));
    if (x->decoded)
        audit_number(e, AUDIT_F_BODY_DECODED, text.n);
    if (cap)
        put_some(e, AUDIT_F_BODY,
                 record_masked(x->w, x->gen, p, record_syntax(x->body_type), text, cap,
                               &x->found_request));
}

static void put_verdict(struct audit_event *e, const struct exchange *x)
{
    const struct rules_verdict *v = &x->verdict;
    char text[48];

    if (v->rule) {
        audit_number(e, AUDIT_F_RULE, v->rule->id);
        audit_number(e, AUDIT_F_RULE_REV, v->rule->rev);
        put_some(e, AUDIT_F_MESSAGE, v->rule->message);
        if (v->unknown)
            audit_number(e, AUDIT_F_UNKNOWN, 1);
    }
    for (unsigned i = 0; i < v->nmatched; i++) {
        struct outbuf o = outbuf_on(text, sizeof(text));
        const struct rules_matched *m = &v->matched[i];

        outbuf_u64(&o, m->rule->id);
        outbuf_char(&o, ' ');
        outbuf_cstr(&o, rules_decision_name(m->rule->then));
        outbuf_cstr(&o, m->unknown ? " (unknown)" : "");
        audit_text(e, m->reported ? AUDIT_F_REPORTED : AUDIT_F_MATCHED, outbuf_span(&o));
    }
    if (v->more)
        audit_number(e, AUDIT_F_MATCHED_MORE, v->more);
}

static void put_found(struct audit_event *e, const struct exchange *x,
                      const struct match_found *found, const char *where)
{
    char text[160];

    for (match_set left = found->which; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        struct outbuf o = outbuf_on(text, sizeof(text));

        outbuf_span_put(&o, match_db_name(x->gen->match, i));
        outbuf_printf(&o, " %s %u", where, found->count[i]);
        audit_text(e, AUDIT_F_DETECTED, outbuf_span(&o));
        counter_add(&x->w->counters.values_masked, found->count[i]);
    }
    if (found->secrets) {
        struct outbuf o = outbuf_on(text, sizeof(text));

        outbuf_printf(&o, "credential %s %u", where, found->secrets);
        audit_text(e, AUDIT_F_DETECTED, outbuf_span(&o));
        counter_add(&x->w->counters.secrets_masked, found->secrets);
    }
}

static void put_hold(struct audit_event *e, const struct exchange *x)
{
    if (x->hold_id[0])
        audit_text(e, AUDIT_F_HOLD, span_cstr(x->hold_id));
    if (x->reviewer[0])
        audit_text(e, AUDIT_F_REVIEWER, span_cstr(x->reviewer));
}

/* ------------------------------------------------------------------- the events */

bool record_decided(struct exchange *x, const char *decision, const char *cause)
{
    STAGE_SCOPE(&x->w->stages, STAGE_AUDIT);
    const struct match_policy *p = audit_policy(x);
    struct audit_event e;

    if (!audit_begin(&e, x->w->c.audit, AUDIT_CALL_DECIDED, AUDIT_EVENT_MAX, x->w->wall_ns))
        return false;
    match_found_clear(&x->found_request); /* an approved call is recorded a second time */
    audit_text(&e, AUDIT_F_CALL, span_cstr(x->id));
    put_generation(&e, x->w, x->gen);
    put_caller(&e, x);
    put_request(&e, x, p);
    put_body(&e, x, p);
    audit_text(&e, AUDIT_F_DECISION, span_cstr(decision));
    audit_text(&e, AUDIT_F_CAUSE, span_cstr(cause));
    put_verdict(&e, x);
    if (x->relaxed)
        audit_text(&e, AUDIT_F_DURABILITY, SPAN_LIT("relaxed"));
    counts_put_decided(&e, x);
    put_found(&e, x, &x->found_request, "request");
    put_hold(&e, x);
    if (x->connection && x->secret_version) {
        audit_text(&e, AUDIT_F_SECRET, x->connection->credential.secret);
        audit_number(&e, AUDIT_F_SECRET_VERSION, x->secret_version);
    }
    put_connection(&e, x);
    if (x->status)
        audit_number(&e, AUDIT_F_STATUS, x->status);
    audit_number(&e, AUDIT_F_DECIDE_US, x->w->now_us - x->began_us);
    x->ticket = audit_end(&e);
    return x->ticket != 0;
}

static struct span answer_captured(struct exchange *x)
{
    struct span raw = span_of(x->capture, x->capture_len);

    if (x->function->caller_covers_audit)
        return raw; /* masked as it went to the caller */
    return record_masked(x->w, x->gen, &x->function->mask_audit, x->answer_syntax, raw,
                         x->connection->capture, &x->found_answer);
}

static void put_answer(struct audit_event *e, struct exchange *x)
{
    uint8_t hash[32];

    if (x->vendor_status)
        audit_number(e, AUDIT_F_VENDOR_STATUS, x->vendor_status);
    if (x->upgraded) {
        audit_number(e, AUDIT_F_TUNNEL_UP, x->tunnel[TUNNEL_UP].bytes);
        audit_number(e, AUDIT_F_TUNNEL_DOWN, x->tunnel[TUNNEL_DOWN].bytes);
    }
    put_some(e, AUDIT_F_ANSWER_TYPE, span_cstr(x->answer_type));
    if (x->answer_size == 0)
        return;
    audit_number(e, AUDIT_F_ANSWER_SIZE, x->answer_size);
    if (EVP_DigestFinal_ex(x->sha_answer, hash, NULL) == 1)
        audit_bytes(e, AUDIT_F_ANSWER_SHA256, hash, sizeof(hash));
    if (x->capture_len)
        put_some(e, AUDIT_F_ANSWER, answer_captured(x));
}

static void put_timings(struct audit_event *e, const struct exchange *x)
{
    uint64_t now = x->w->now_us;

    if (x->durable_us)
        audit_number(e, AUDIT_F_AUDIT_US, x->durable_us - x->decided_us);
    if (x->answered_us && x->sent_us)
        audit_number(e, AUDIT_F_VENDOR_US, x->answered_us - x->sent_us);
    audit_number(e, AUDIT_F_TOTAL_US, now - x->began_us);
}

void record_settled(struct exchange *x, const char *outcome)
{
    STAGE_SCOPE(&x->w->stages, STAGE_AUDIT);
    struct audit_event e;
    uint8_t hash[32];

    counter_inc(&x->w->counters.settled);
    if (!audit_begin(&e, x->w->c.audit, AUDIT_CALL_SETTLED, AUDIT_EVENT_MAX, x->w->wall_ns))
        return;
    audit_text(&e, AUDIT_F_CALL, span_cstr(x->id));
    put_generation(&e, x->w, x->gen);
    put_some(&e, AUDIT_F_CALLER, x->caller_id);
    audit_text(&e, AUDIT_F_FUNCTION, x->function->name);
    audit_text(&e, AUDIT_F_OUTCOME, span_cstr(outcome));
    if (x->cause_name)
        audit_text(&e, AUDIT_F_CAUSE, span_cstr(x->cause_name));
    if (x->status)
        audit_number(&e, AUDIT_F_STATUS, x->status);
    if (x->stream_up) {
        audit_number(&e, AUDIT_F_BODY_SIZE, x->upload.total);
        if (EVP_DigestFinal_ex(x->sha_request, hash, NULL) == 1)
            audit_bytes(&e, AUDIT_F_BODY_SHA256, hash, sizeof(hash));
    }
    /* What the stream found for the caller; the capture below is scanned under the record's policy.
     */
    put_found(&e, x, x->stream ? match_stream_found(x->stream) : &x->found_answer, "answer");
    put_answer(&e, x);
    put_hold(&e, x);
    counts_put_settled(&e, x);
    put_timings(&e, x);
    audit_end(&e);
}

/* A port scan must not fill the store: beyond a rate only the counters tell. */
static bool may_record_refusal(struct call_worker *w)
{
    if (w->now_us - w->refused_at_us >= US_IN_S) {
        w->refused_at_us = w->now_us;
        w->refused_tokens = REFUSALS_A_SECOND;
    }
    if (w->refused_tokens == 0)
        return false;
    w->refused_tokens--;
    return true;
}

void record_refused_connection(struct caller *c, const char *cause, const char *detail)
{
    STAGE_SCOPE(&c->w->stages, STAGE_AUDIT);
    struct call_worker *w = c->w;
    struct audit_event e;

    if (!may_record_refusal(w) ||
        !audit_begin(&e, w->c.audit, AUDIT_CONNECTION_REFUSED, 4096, w->wall_ns)) {
        counter_inc(&w->counters.refusals_unrecorded);
        return;
    }
    put_generation(&e, w, w->gen);
    audit_text(&e, AUDIT_F_DECISION, SPAN_LIT("block"));
    audit_text(&e, AUDIT_F_CAUSE, span_cstr(cause));
    put_some(&e, AUDIT_F_DETAIL, span_cstr(detail));
    if (c->leg.tcp) {
        put_address(&e, AUDIT_F_CLIENT_ADDRESS, AUDIT_F_CLIENT_PORT, tcp_remote_addr(c->leg.tcp),
                    tcp_remote_port(c->leg.tcp));
        put_address(&e, AUDIT_F_VENDOR_ADDRESS, AUDIT_F_VENDOR_PORT, tcp_local_addr(c->leg.tcp),
                    tcp_local_port(c->leg.tcp));
    }
    put_some(&e, AUDIT_F_SNI, tls_sni(c->leg.tls));
    audit_end(&e);
}
