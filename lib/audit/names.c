#include "audit_internal.h"

#include <stdarg.h>
#include <stdio.h>

const char *audit_kind_name(unsigned kind)
{
    switch (kind) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        AUDIT_KINDS(X)
#undef X
    default:
        return NULL;
    }
}

const struct field_info fields_known[FIELDS_KNOWN] = {
#define X(name, number, text, type) [number] = {text, AUDIT_##type},
    AUDIT_FIELDS(X)
#undef X
};

const char *audit_fault_name(enum audit_fault f)
{
    static const char *const names[] = {
        [AUDIT_SOUND] = "sound",           [AUDIT_ALTERED] = "altered",
        [AUDIT_MISSING] = "missing",       [AUDIT_REORDERED] = "reordered",
        [AUDIT_BROKEN] = "broken",         [AUDIT_TRUNCATED] = "truncated",
        [AUDIT_UNREADABLE] = "unreadable",
    };
    return (unsigned)f < sizeof(names) / sizeof(names[0]) ? names[f] : "unknown";
}

int why_set(struct why *w, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->text, sizeof(w->text), fmt, ap);
    va_end(ap);
    return rc;
}
