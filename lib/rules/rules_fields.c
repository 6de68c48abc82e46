/* Header fields that a connection names: `account_headers` and `idempotency`. */
#include "rules_internal.h"

bool rules_field_is_ours(struct span name)
{
    static const char *const names[] = {"host",
                                        "content-length",
                                        "transfer-encoding",
                                        "connection",
                                        "te",
                                        "trailer",
                                        "upgrade",
                                        "expect",
                                        "proxy-authorization",
                                        "keep-alive",
                                        "date",
                                        "proxy-connection",
                                        "turnpike-token",
                                        "content-type",
                                        NULL};

    for (unsigned i = 0; names[i]; i++)
        if (span_ieq(name, span_cstr(names[i])))
            return true;
    return false;
}

static void read_account_headers(struct rules_loader *l, const struct yaml_node *n,
                                 struct rules_connection *c)
{
    const struct yaml_node **nodes;
    struct span *names;

    if (!yaml_get(n, "account_headers"))
        return;
    rules_read_texts(l, n, "account_headers", false, true, &names, &nodes, &c->naccount_headers);
    c->account_headers = names;
    for (unsigned i = 0; i < c->naccount_headers; i++)
        if (names[i].n && !rules_is_token(names[i]))
            diag_error(l->d, yaml_place(nodes[i]), "this is no header field name");
}

/* Such a field must be the caller's own, and reach the vendor as it came. */
static const char *unfit(const struct rules_connection *c, unsigned i)
{
    struct span name = c->idempotency[i];

    if (!rules_is_token(name))
        return "this is no header field name";
    if (rules_field_is_ours(name) || span_ieq(name, SPAN_LIT("authorization")) ||
        span_ieq(name, SPAN_LIT("x-api-key")) || span_ieq(name, c->credential.header))
        return "this field says something else than that a call may be repeated";
    for (unsigned k = 0; k < c->naccount_headers; k++)
        if (span_ieq(name, c->account_headers[k]))
            return "this field is one of `account_headers`: it is part of what a reviewer approves";
    for (unsigned k = 0; k < i; k++)
        if (span_ieq(name, c->idempotency[k]))
            return "this field is listed twice";
    return NULL;
}

static void read_idempotency(struct rules_loader *l, const struct yaml_node *n,
                             struct rules_connection *c)
{
    static const struct span usual = {"Idempotency-Key", 15};
    const struct yaml_node **nodes;
    struct span *names;
    const char *fault;

    if (!yaml_get(n, "idempotency")) {
        c->idempotency = &usual;
        c->nidempotency = 1;
        return;
    }
    rules_read_texts(l, n, "idempotency", false, true, &names, &nodes, &c->nidempotency);
    c->idempotency = names;
    if (c->nidempotency > RULES_IDEMPOTENCY_MAX)
        diag_error(l->d, yaml_place(yaml_get(n, "idempotency")), "at most %d fields",
                   RULES_IDEMPOTENCY_MAX);
    for (unsigned i = 0; i < c->nidempotency; i++)
        if (names[i].n && (fault = unfit(c, i)))
            diag_error(l->d, yaml_place(nodes[i]), "%s", fault);
}

void rules_read_fields(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c)
{
    read_account_headers(l, n, c);
    read_idempotency(l, n, c);
}
