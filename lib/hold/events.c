#include "hold/hold_internal.h"

static void put(struct audit_event *e, enum audit_field f, struct span s)
{
    if (s.n)
        audit_text(e, f, s);
}

void hold_event(struct audit_ring *ring, enum audit_kind kind, const struct hold_record *r,
                struct span who, struct span reason, uint64_t now_ns)
{
    const struct hold_request *q = &r->request;
    char id[HOLD_ID_TEXT];
    struct audit_event e;

    if (!ring || !audit_begin(&e, ring, kind, 8192, now_ns))
        return;
    audit_text(&e, AUDIT_F_HOLD, span_cstr(hold_id_text(r->id, id)));
    put(&e, AUDIT_F_CALL, span_cstr(q->call));
    audit_number(&e, AUDIT_F_GENERATION, q->generation);
    audit_bytes(&e, AUDIT_F_RULES_HASH, q->rules_hash, sizeof(q->rules_hash));
    put(&e, AUDIT_F_CALLER, span_cstr(q->caller));
    put(&e, AUDIT_F_CONNECTION, span_cstr(q->connection));
    put(&e, AUDIT_F_FUNCTION, span_cstr(q->function));
    put(&e, AUDIT_F_METHOD, span_cstr(q->method));
    put(&e, AUDIT_F_TARGET, span_cstr(q->target));
    audit_number(&e, AUDIT_F_RULE, q->rule);
    audit_number(&e, AUDIT_F_RULE_REV, q->rev);
    audit_bytes(&e, AUDIT_F_DIGEST, q->digest, sizeof(q->digest));
    put(&e, AUDIT_F_REVIEWER, who);
    put(&e, AUDIT_F_REASON, reason);
    audit_end(&e);
}
