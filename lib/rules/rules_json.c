/* The elements of a JSON array that the body library has read and found well-formed. Still, every
 * step looks at its bounds: a wrong answer here must never become a read past the end. */
#include "rules_internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct span *s)
{
    while (s->n && is_space(s->p[0]))
        *s = span_from(*s, 1);
}

/* Bytes of a string with its quotes; 0 if it does not end. */
static size_t string_end(struct span s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Bytes of an object or array with its brackets. */
static size_t bracket_end(struct span s)
{
    size_t depth = 0, n;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') {
            n = string_end(span_from(s, i));
            if (n == 0)
                return 0;
            i += n - 1;
        } else if (s.p[i] == '{' || s.p[i] == '[') {
            depth++;
        } else if ((s.p[i] == '}' || s.p[i] == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t word_end(struct span s)
{
    size_t i = 0;

    while (i < s.n && s.p[i] != ',' && s.p[i] != ']' && !is_space(s.p[i]))
        i++;
    return i;
}

static bool hex4(struct span s, uint32_t *cp)
{
    *cp = 0;
    if (s.n < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        char c = ascii_lower(s.p[i]);

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        *cp = *cp << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static char *put_utf8(char *to, uint32_t cp)
{
    if (cp < 0x80) {
        *to++ = (char)cp;
        return to;
    }
    if (cp < 0x800) {
        *to++ = (char)(0xc0 | cp >> 6);
    } else if (cp < 0x10000) {
        *to++ = (char)(0xe0 | cp >> 12);
        *to++ = (char)(0x80 | (cp >> 6 & 63));
    } else {
        *to++ = (char)(0xf0 | cp >> 18);
        *to++ = (char)(0x80 | (cp >> 12 & 63));
        *to++ = (char)(0x80 | (cp >> 6 & 63));
    }
    *to++ = (char)(0x80 | (cp & 63));
    return to;
}

/* `*s` stands after the backslash. The escape is never longer unescaped than written. */
static bool unescape_one(struct span *s, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *known = s->n && s->p[0] ? strchr(from, s->p[0]) : NULL;
    uint32_t cp, low;

    if (known) {
        *(*to)++ = into[known - from];
        *s = span_from(*s, 1);
        return true;
    }
    if (s->n == 0 || s->p[0] != 'u' || !hex4(span_from(*s, 1), &cp))
        return false;
    *s = span_from(*s, 5);
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (s->n < 6 || s->p[0] != '\\' || s->p[1] != 'u' || !hex4(span_from(*s, 2), &low) ||
            low < 0xdc00 || low > 0xdfff)
            return false;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        *s = span_from(*s, 6);
    }
    *to = put_utf8(*to, cp);
    return true;
}

static struct rules_value read_string(struct span raw, struct rules_text *t)
{
    struct span in = span_of(raw.p + 1, raw.n - 2);
    struct rules_value v = {.kind = VALUE_STRING, .text = in};
    char *start, *to;

    if (in.n == 0 || !memchr(in.p, '\\', in.n))
        return v;
    start = to = rules_text_take(t, in.n);
    if (!start)
        return VALUE_OF(VALUE_UNKNOWN);
    while (in.n) {
        char c = in.p[0];

        in = span_from(in, 1);
        if (c != '\\')
            *to++ = c;
        else if (!unescape_one(&in, &to))
            return VALUE_OF(VALUE_UNKNOWN);
    }
    v.text = span_of(start, (size_t)(to - start));
    return v;
}

static struct rules_value read_word(struct span raw)
{
    struct rules_value v = {.kind = VALUE_NUMBER, .text = raw};

    if (span_eq(raw, SPAN_LIT("null")))
        return VALUE_OF(VALUE_NULL);
    if (span_eq(raw, SPAN_LIT("true")) || span_eq(raw, SPAN_LIT("false")))
        return value_bool(raw.n == 4);
    return body_number_valid(raw) ? v : VALUE_OF(VALUE_UNKNOWN);
}

bool rules_json_next(struct span *rest, struct rules_text *t, struct rules_value *out)
{
    size_t n;
    char c;

    if (rest->n && (rest->p[0] == '[' || rest->p[0] == ','))
        *rest = span_from(*rest, 1);
    skip_space(rest);
    if (rest->n == 0 || rest->p[0] == ']')
        return false;
    c = rest->p[0];
    n = c == '"' ? string_end(*rest) : c == '{' || c == '[' ? bracket_end(*rest) : word_end(*rest);
    if (n == 0)
        return false;
    if (c == '"')
        *out = read_string(span_of(rest->p, n), t);
    else if (c == '{' || c == '[') /* how many are in it, the body library tells whoever asks */
        *out = (struct rules_value){.kind = c == '{' ? VALUE_OBJECT : VALUE_ARRAY,
                                    .text = span_of(rest->p, n)};
    else
        *out = read_word(span_of(rest->p, n));
    *rest = span_from(*rest, n);
    skip_space(rest);
    return true;
}
