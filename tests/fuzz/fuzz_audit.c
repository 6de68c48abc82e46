/* Stored values and encoded fields of any bytes: parsing stays in bounds, the JSON is well formed,
 * and a filter can be asked. */
#include <stdlib.h>

#include "audit/audit.h"
#include "audit/audit_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One object, strings closed, nesting balanced, no control bytes. */
static void check_json(struct span s)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20)
            abort();
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth == 0 && i + 1 != s.n)
            abort();
    }
    if (in_string || depth != 0)
        abort();
}

static void use(const struct audit_record *r)
{
    static char text[AUDIT_JSON_MAX];
    struct outbuf o = outbuf_on(text, sizeof(text));
    struct audit_filter f = {.caller = SPAN_LIT("a*"), .text = SPAN_LIT("x"), .has_rule = true};
    struct audit_filter any = {.text = SPAN_LIT("zz")};
    struct audit_value v;

    audit_json(r, &o);
    if (o.full)
        abort();
    check_json(outbuf_span(&o));
    audit_matches(r, &f);
    audit_matches(r, &any);
    audit_get(r, AUDIT_F_DETAIL, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t boot[BOOT_BYTES];
    struct audit_record r;
    size_t n = size < AUDIT_EVENT_MAX ? size : AUDIT_EVENT_MAX;

    if (record_parse(span_of(data, size), &r)) {
        size_t at = 0;
        struct audit_value v;

        while (audit_next_field(&r, &at, &v))
            ;
        if (at != r.fields.n)
            abort(); /* what was accepted can be walked to its end */
        use(&r);
    }
    r = (struct audit_record){.fields = span_of(data, n), .boot = span_of(boot, sizeof(boot))};
    if (n)
        r.kind = data[0];
    use(&r);
    return 0;
}
