#include "control/control_internal.h"

static json_t *wall(uint64_t ns)
{
    char text[CLOCK_TEXT];

    return ns ? json_string(clock_text(ns, text)) : json_null();
}

/* Bytes that may not be UTF-8 (a cut body): shown as far as they are text. */
static json_t *text_of(const char *p, size_t n)
{
    char shown[HOLD_BODY_MAX * 6 + 3]; /* \u001f for each byte at worst */
    struct outbuf o = outbuf_on(shown, sizeof(shown));
    json_t *s = json_stringn(p, n), *quoted;

    if (s)
        return s;
    outbuf_json(&o, span_of(p, n));
    quoted = o.full ? NULL : json_loadb(o.p, o.n, JSON_DECODE_ANY, NULL);
    return quoted ? quoted : json_string("");
}

/* Texts are cut to fit by bytes, so their ends may not be UTF-8; a call must not vanish for it. */
static json_t *text(const char *s)
{
    return text_of(s, strlen(s));
}

static json_t *approvers(const struct hold_record *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < r->approvals; i++)
        json_array_append_new(list, json_string(r->approvers[i]));
    return list;
}

static json_t *groups(const char *lines)
{
    struct span left = span_cstr(lines);
    json_t *list = json_array();

    while (left.p && left.n) {
        struct span one = span_cut(&left, '\n');

        if (one.n)
            json_array_append_new(list, json_stringn(one.p, one.n));
    }
    return list;
}

static json_t *describe(const struct hold_record *r, bool whole)
{
    const struct hold_request *q = &r->request;
    char id[HOLD_ID_TEXT];
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:i, s:o, s:i}", "id",
        hold_id_text(r->id, id), "state", hold_state_name(r->state), "call", q->call, "caller",
        text(q->caller), "function", text(q->function), "method", text(q->method), "target",
        text(q->target), "rule", (json_int_t)q->rule, "rule_name", text(q->rule_name), "message",
        text(q->message), "opened", wall(r->opened_ns), "deadline",
        wall(r->state == HOLD_HELD ? r->deadline_ns : r->grant_until_ns), "quorum", (int)q->quorum,
        "approvers", approvers(r), "attempts", (int)r->attached);

    if (!o)
        return json_object();
    json_object_set_new(o, "groups", groups(q->groups));
    if (r->who[0])
        json_object_set_new(o, "decided_by", json_string(r->who));
    if (r->reason[0])
        json_object_set_new(o, "reason", text(r->reason));
    if (r->status)
        json_object_set_new(o, "status", json_integer(r->status));
    json_object_set_new(o, "content_type", text(q->content_type));
    json_object_set_new(o, "body_size", json_integer(q->body_size));
    if (whole)
        json_object_set_new(o, "body", text_of(q->body, q->body_shown));
    return o;
}

static json_t *list(struct control *c, bool all)
{
    const struct hold_record *r;
    json_t *holds = json_array();
    uint64_t at = 0;

    while ((r = hold_next_record(c->holds, all, &at)))
        json_array_append_new(holds, describe(r, false));
    return json_pack("{s:b, s:o}", "ok", 1, "holds", holds);
}

static json_t *decide(struct control *c, const struct client *k, uint64_t id, bool approve,
                      struct span reason)
{
    const struct hold_reviewer by = {.name = span_cstr(k->peer.name),
                                     .groups = k->peer.groups,
                                     .ngroups = k->peer.ngroups,
                                     .any_group = k->peer.uid == 0};
    uint64_t now_ns = clock_wall_ns();
    enum hold_result r = approve ? hold_approve(c->holds, id, &by, reason, now_ns)
                                 : hold_deny(c->holds, id, &by, reason, now_ns);

    if (r != HOLD_DONE && r != HOLD_COUNTED)
        return ask_failed(r == HOLD_NO_SUCH ? 4 : 3, hold_result_text(r));
    return json_pack("{s:b, s:s, s:s}", "ok", 1, "result", hold_result_text(r), "state",
                     hold_state_name(hold_find(c->holds, id)->state));
}

json_t *ask_holds(struct control *c, struct client *k, const char *what, const json_t *request)
{
    const char *text = json_string_value(json_object_get(request, "id"));
    const char *reason = json_string_value(json_object_get(request, "reason"));
    uint64_t id;

    if (strcmp(what, "list") == 0)
        return list(c, json_is_true(json_object_get(request, "all")));
    if (!text || !hold_id_parse(span_cstr(text), &id))
        return ask_failed(64, "an id looks like h-0123456789abcdef");
    if (strcmp(what, "approve") == 0 || strcmp(what, "deny") == 0)
        return decide(c, k, id, what[0] == 'a', span_cstr(reason ? reason : ""));
    if (strcmp(what, "show") == 0) {
        const struct hold_record *r = hold_find(c->holds, id);
        json_t *o;

        if (!r)
            return ask_failed(4, hold_result_text(HOLD_NO_SUCH));
        o = describe(r, true);
        json_object_set_new(o, "ok", json_true());
        return o;
    }
    return ask_failed(64, "holds: list, show, approve or deny");
}
