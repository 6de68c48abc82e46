#include "audit_internal.h"

static void put_value(const struct audit_value *v, struct outbuf *o)
{
    if (v->type == AUDIT_NUMBER) {
        outbuf_u64(o, v->number);
    } else if (v->type == AUDIT_BYTES) {
        outbuf_char(o, '"');
        outbuf_hex(o, v->text.p, v->text.n);
        outbuf_char(o, '"');
    } else {
        outbuf_json(o, v->text);
    }
}

/* All values of the list that `v` begins, wherever they stand in the record. */
static void put_list(const struct audit_record *r, size_t at, const struct audit_value *v,
                     struct outbuf *o)
{
    struct audit_value next;

    outbuf_char(o, '[');
    outbuf_json(o, v->text);
    while (audit_next_field(r, &at, &next)) {
        if (next.field != v->field || next.type != AUDIT_LIST)
            continue;
        outbuf_char(o, ',');
        outbuf_json(o, next.text);
    }
    outbuf_char(o, ']');
}

/* Each name once, whatever the record holds: at most REC_DISTINCT_MAX of them, so that a record
 * made to be slow costs little. What is left out for that, or cannot be read, is owned up to. */
static void put_fields(const struct audit_record *r, struct outbuf *o)
{
    struct field_set seen = {.count = 0};
    struct audit_value v;
    bool malformed = false;
    size_t at = 0;

    while (seen.count < REC_DISTINCT_MAX && audit_next_field(r, &at, &v)) {
        if (!field_set_add(&seen, v.field)) {
            malformed |= v.type != AUDIT_LIST;
            continue;
        }
        outbuf_lit(o, ",\"");
        outbuf_cstr(o, v.name);
        outbuf_lit(o, "\":");
        if (v.type == AUDIT_LIST)
            put_list(r, at, &v, o);
        else
            put_value(&v, o);
    }
    if (malformed || at != r->fields.n)
        outbuf_lit(o, ",\"malformed\":true");
}

static void put_kind(unsigned kind, struct outbuf *o)
{
    const char *name = audit_kind_name(kind);

    outbuf_char(o, '"');
    if (name) {
        outbuf_cstr(o, name);
    } else {
        outbuf_char(o, 'k');
        outbuf_u64(o, kind);
    }
    outbuf_char(o, '"');
}

void audit_json(const struct audit_record *r, struct outbuf *o)
{
    char time[CLOCK_TEXT];

    outbuf_lit(o, "{\"schema_version\":1,\"seq\":");
    outbuf_u64(o, r->seq);
    outbuf_lit(o, ",\"time\":\"");
    outbuf_cstr(o, clock_text(r->wall_ns, time));
    outbuf_lit(o, "\",\"boot\":\"");
    outbuf_hex(o, r->boot.p, r->boot.n);
    outbuf_lit(o, "\",\"appliance\":");
    outbuf_json(o, r->appliance);
    outbuf_lit(o, ",\"kind\":");
    put_kind(r->kind, o);
    put_fields(r, o);
    outbuf_lit(o, ",\"previous\":\"");
    outbuf_hex(o, r->previous, AUDIT_HASH);
    outbuf_lit(o, "\",\"hash\":\"");
    outbuf_hex(o, r->hash, AUDIT_HASH);
    outbuf_lit(o, "\"}");
}
