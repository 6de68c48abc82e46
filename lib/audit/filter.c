#include "audit_internal.h"

/* A name, or the beginning of one before "*". */
static bool name_matches(struct span name, struct span wanted)
{
    if (wanted.n && wanted.p[wanted.n - 1] == '*')
        return span_starts(name, span_of(wanted.p, wanted.n - 1));
    return span_eq(name, wanted);
}

static bool field_matches(const struct audit_record *r, enum audit_field f, struct span wanted)
{
    struct audit_value v;

    return wanted.n == 0 || (audit_get(r, f, &v) && name_matches(v.text, wanted));
}

static bool number_matches(const struct audit_record *r, enum audit_field f, uint64_t wanted)
{
    struct audit_value v;

    return audit_get(r, f, &v) && v.number == wanted;
}

static bool contains(struct span s, struct span wanted)
{
    for (size_t i = 0; i + wanted.n <= s.n; i++)
        if (span_ieq(span_of(s.p + i, wanted.n), wanted))
            return true;
    return false;
}

static bool text_matches(const struct audit_record *r, struct span wanted)
{
    struct audit_value v;
    size_t at = 0;

    if (wanted.n == 0)
        return true;
    while (audit_next_field(r, &at, &v))
        if ((v.type == AUDIT_TEXT || v.type == AUDIT_LIST) && contains(v.text, wanted))
            return true;
    return false;
}

static bool kind_matches(unsigned kind, struct span wanted)
{
    const char *name = audit_kind_name(kind);

    return wanted.n == 0 || (name && name_matches(span_cstr(name), wanted));
}

static bool within(uint64_t v, uint64_t from, uint64_t to)
{
    return v >= from && (to == 0 || v <= to);
}

bool audit_matches(const struct audit_record *r, const struct audit_filter *f)
{
    return within(r->seq, f->from_seq, f->to_seq) && within(r->wall_ns, f->from_ns, f->to_ns) &&
           kind_matches(r->kind, f->kind) && field_matches(r, AUDIT_F_CALLER, f->caller) &&
           field_matches(r, AUDIT_F_CONNECTION, f->connection) &&
           field_matches(r, AUDIT_F_FUNCTION, f->function) &&
           field_matches(r, AUDIT_F_DECISION, f->decision) &&
           field_matches(r, AUDIT_F_CAUSE, f->cause) && field_matches(r, AUDIT_F_CALL, f->call) &&
           (!f->has_rule || number_matches(r, AUDIT_F_RULE, f->rule)) &&
           (!f->has_status || number_matches(r, AUDIT_F_STATUS, f->status)) &&
           text_matches(r, f->text);
}
