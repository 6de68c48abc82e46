#include "base/outbuf.h"

#include "base_internal.h"

#include <stdio.h>

void outbuf_char(struct outbuf *o, char c)
{
    outbuf_put(o, &c, 1);
}

void outbuf_cstr(struct outbuf *o, const char *s)
{
    outbuf_span_put(o, span_cstr(s));
}

void outbuf_u64(struct outbuf *o, uint64_t v)
{
    char digits[20]; /* 2^64 - 1 has twenty */
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    outbuf_put(o, digits + at, sizeof(digits) - at);
}

void outbuf_hex(struct outbuf *o, const void *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *bytes = p;

    if (o->full || n > (o->cap - o->n) / 2) {
        o->full = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        o->p[o->n++] = hex[bytes[i] >> 4];
        o->p[o->n++] = hex[bytes[i] & 15];
    }
}

/* vsnprintf wants room for a NUL that we do not keep: short texts take a detour, so that one that
 * fits exactly is not refused. */
void outbuf_printf(struct outbuf *o, const char *fmt, ...)
{
    char small[512];
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0 || o->full || (size_t)n > o->cap - o->n) {
        o->full = true;
    } else if ((size_t)n < sizeof(small)) {
        outbuf_put(o, small, (size_t)n);
    } else if ((size_t)n == o->cap - o->n) {
        o->full = true;
    } else {
        vsnprintf(o->p + o->n, o->cap - o->n, fmt, again);
        o->n += (size_t)n;
    }
    va_end(again);
}

static void json_escape(struct outbuf *o, unsigned char c)
{
    static const char short_form[] = "\b\t\n\f\r\"\\";
    static const char short_name[] = "btnfr\"\\";
    const char *at = c ? strchr(short_form, c) : NULL;
    char two[2] = {'\\', 0};

    if (at) {
        two[1] = short_name[at - short_form];
        outbuf_put(o, two, 2);
        return;
    }
    outbuf_lit(o, "\\u00");
    outbuf_hex(o, &c, 1);
}

/* Bytes that go into a JSON string as they are. */
static bool json_is_plain(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u < 0x7f && u != '"' && u != '\\';
}

void outbuf_json_text(struct outbuf *o, struct span s)
{
    while (s.n && !o->full) {
        size_t n = 0;
        uint32_t cp;

        while (n < s.n && json_is_plain(s.p[n]))
            n++;
        outbuf_put(o, s.p, n);
        s = span_from(s, n);
        if (!s.n)
            break;
        n = utf8_next(s, &cp);
        if (n == 0)
            outbuf_lit(o, "\xef\xbf\xbd"); /* one U+FFFD a bad byte */
        else if (n == 1)
            json_escape(o, (unsigned char)s.p[0]);
        else
            outbuf_put(o, s.p, n);
        s = span_from(s, n ? n : 1);
    }
}

void outbuf_json(struct outbuf *o, struct span s)
{
    outbuf_char(o, '"');
    outbuf_json_text(o, s);
    outbuf_char(o, '"');
}

/* XML 1.0, 2.2 and 2.4. */
static const char *xml_escape(uint32_t c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\t':
    case '\n':
    case '\r':
        return NULL;
    default:
        return c < 0x20 || c == 0xfffe || c == 0xffff ? "\xef\xbf\xbd" : NULL;
    }
}

void outbuf_xml(struct outbuf *o, struct span s)
{
    while (s.n && !o->full) {
        uint32_t cp = 0;
        size_t n = utf8_next(s, &cp);
        const char *instead = n ? xml_escape(cp) : "\xef\xbf\xbd";

        n = n ? n : 1;
        if (instead)
            outbuf_cstr(o, instead);
        else
            outbuf_put(o, s.p, n);
        s = span_from(s, n);
    }
}
