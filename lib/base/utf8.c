#include "base/utf8.h"

#include "base_internal.h"

struct utf8_form {
    unsigned char mask, lead; /* a leading byte b has this form if (b & mask) == lead */
    unsigned char n;
    uint32_t least; /* anything smaller in this form is overlong */
};

static const struct utf8_form forms[] = {
    {0x80, 0x00, 1, 0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

static bool is_scalar_value(uint32_t cp)
{
    return cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff);
}

static size_t decode(struct span s, const struct utf8_form *f, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s.p;
    uint32_t v = p[0] & (unsigned char)~f->mask;

    if (s.n < f->n)
        return 0;
    for (size_t i = 1; i < f->n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < f->least || !is_scalar_value(v))
        return 0;
    *cp = v;
    return f->n;
}

size_t utf8_next(struct span s, uint32_t *cp)
{
    if (s.n == 0)
        return 0;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (((unsigned char)s.p[0] & forms[i].mask) == forms[i].lead)
            return decode(s, &forms[i], cp);
    return 0;
}

bool utf8_valid(struct span s)
{
    uint64_t eight;
    uint32_t cp;
    size_t n;

    while (s.n) {
        if (s.n >= sizeof(eight)) { /* most text is ASCII */
            memcpy(&eight, s.p, sizeof(eight));
            if (!(eight & 0x8080808080808080u)) {
                s = span_from(s, sizeof(eight));
                continue;
            }
        }
        n = utf8_next(s, &cp);
        if (n == 0)
            return false;
        s = span_from(s, n);
    }
    return true;
}
