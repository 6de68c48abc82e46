#include "audit_internal.h"

bool hasher_init(struct hasher *h)
{
    h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    h->ctx = EVP_MD_CTX_new();
    return h->md && h->ctx;
}

void hasher_free(struct hasher *h)
{
    EVP_MD_CTX_free(h->ctx);
    EVP_MD_free(h->md);
    *h = (struct hasher){NULL, NULL};
}

bool hasher_sum(struct hasher *h, const void *p, size_t n, uint8_t out[AUDIT_HASH])
{
    return EVP_DigestInit_ex2(h->ctx, h->md, NULL) && EVP_DigestUpdate(h->ctx, p, n) &&
           EVP_DigestFinal_ex(h->ctx, out, NULL);
}

bool field_set_add(struct field_set *s, unsigned number)
{
    uint64_t bit = (uint64_t)1 << (number % 64);

    if (s->bits[number / 64] & bit)
        return false;
    s->bits[number / 64] |= bit;
    s->count++;
    return true;
}

bool record_write(uint8_t *out, const struct record_parts *in, struct hasher *h,
                  uint8_t hash[AUDIT_HASH])
{
    size_t hashed = record_size(in) - AUDIT_HASH;

    out[REC_VERSION] = AUDIT_FORMAT;
    out[REC_RESERVED] = 0;
    put_be(out + REC_KIND, in->kind, 2);
    put_be(out + REC_FIELDS_LEN, in->fields.n, 4);
    put_be(out + REC_SEQ, in->seq, 8);
    put_be(out + REC_WALL, in->wall_ns, 8);
    memcpy(out + REC_BOOT, in->boot, BOOT_BYTES);
    memcpy(out + REC_PREVIOUS, in->previous, AUDIT_HASH);
    out[REC_APPLIANCE_LEN] = (uint8_t)in->appliance.n;
    if (in->appliance.n)
        memcpy(out + REC_APPLIANCE, in->appliance.p, in->appliance.n);
    if (in->fields.n)
        memcpy(out + REC_APPLIANCE + in->appliance.n, in->fields.p, in->fields.n);
    if (!hasher_sum(h, out, hashed, hash))
        return false;
    memcpy(out + hashed, hash, AUDIT_HASH);
    return true;
}

bool record_is_intact(struct span value, struct hasher *h)
{
    uint8_t hash[AUDIT_HASH];

    return value.n >= REC_OVERHEAD && value.n <= REC_MAX &&
           hasher_sum(h, value.p, value.n - AUDIT_HASH, hash) &&
           memcmp(hash, value.p + value.n - AUDIT_HASH, AUDIT_HASH) == 0;
}

/* Every field in its form, none twice that may not be, nothing left over. */
static bool fields_are_well_formed(const struct audit_record *r)
{
    struct field_set seen = {.count = 0};
    struct audit_value v;
    size_t at = 0;

    while (audit_next_field(r, &at, &v))
        if (!field_set_add(&seen, v.field) && v.type != AUDIT_LIST)
            return false;
    return at == r->fields.n && seen.count <= REC_DISTINCT_MAX;
}

bool record_parse(struct span value, struct audit_record *r)
{
    const uint8_t *p = (const uint8_t *)value.p;
    size_t appliance, fields;

    *r = (struct audit_record){.seq = 0};
    if (value.n < REC_OVERHEAD || value.n > REC_MAX)
        return false;
    if (p[REC_VERSION] != AUDIT_FORMAT || p[REC_RESERVED] != 0)
        return false;
    appliance = p[REC_APPLIANCE_LEN];
    fields = get_be(p + REC_FIELDS_LEN, 4);
    if (fields > AUDIT_EVENT_MAX || value.n != REC_OVERHEAD + appliance + fields)
        return false;
    r->kind = (unsigned)get_be(p + REC_KIND, 2);
    r->seq = get_be(p + REC_SEQ, 8);
    r->wall_ns = get_be(p + REC_WALL, 8);
    r->boot = span_of(p + REC_BOOT, BOOT_BYTES);
    r->appliance = span_of(p + REC_APPLIANCE, appliance);
    r->fields = span_of(p + REC_APPLIANCE + appliance, fields);
    memcpy(r->previous, p + REC_PREVIOUS, AUDIT_HASH);
    memcpy(r->hash, p + value.n - AUDIT_HASH, AUDIT_HASH);
    return fields_are_well_formed(r);
}

/* "f<number>" */
static const char *name_unknown(struct audit_value *v)
{
    struct outbuf o = outbuf_on(v->other, sizeof(v->other));

    outbuf_char(&o, 'f');
    outbuf_u64(&o, v->field);
    outbuf_char(&o, '\0');
    return v->other;
}

bool audit_next_field(const struct audit_record *r, size_t *at, struct audit_value *v)
{
    struct span rest = span_from(r->fields, *at);
    const struct field_info *info;
    unsigned tag;
    size_t n;

    if (rest.n < FIELD_HEAD)
        return false;
    tag = (unsigned)get_be(rest.p, 2);
    n = get_be(rest.p + 2, 2);
    v->field = tag & FIELD_NUMBER_MAX;
    v->type = tag >> 14;
    info = field_info(v->field);
    if (n > rest.n - FIELD_HEAD || v->field == 0)
        return false;
    if ((v->type == AUDIT_NUMBER && n != 8) || (info->name && info->type != v->type))
        return false;
    v->name = info->name ? info->name : name_unknown(v);
    v->text = v->type == AUDIT_NUMBER ? SPAN_NONE : span_of(rest.p + FIELD_HEAD, n);
    v->number = v->type == AUDIT_NUMBER ? get_be(rest.p + FIELD_HEAD, 8) : 0;
    *at += FIELD_HEAD + n;
    return true;
}

bool audit_get(const struct audit_record *r, enum audit_field f, struct audit_value *v)
{
    size_t at = 0;

    while (audit_next_field(r, &at, v))
        if (v->field == (unsigned)f)
            return true;
    return false;
}
