/* application/x-www-form-urlencoded: pairs, and what is taken out of their escapes. */
#include "body_internal.h"

/* One byte that `p` stands for, and how many bytes it takes; 0 if it is malformed. */
static size_t decode_byte(const char *p, const char *end, char *c)
{
    int high, low;

    *c = *p == '+' ? ' ' : *p;
    if (*p != '%')
        return 1;
    if (end - p < 3)
        return 0;
    high = body_hex_value(p[1]);
    low = body_hex_value(p[2]);
    if (high < 0 || low < 0)
        return 0;
    *c = (char)(high << 4 | low);
    return 3;
}

static size_t plain_length(struct span s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != '%' && s.p[n] != '+')
        n++;
    return n;
}

/* The text of a key or a value: itself if there is nothing to decode, else at the front of what is
 * left of the scratch, which is taken. */
static bool decode(struct body_reader *r, struct span s, struct span *text)
{
    size_t n = plain_length(s);
    const char *p = s.p + n, *end = s.p + s.n;
    char *to = r->scratch;

    *text = s;
    if (n < s.n) {
        if (n > (size_t)(r->scratch_end - to))
            return body_fail(r, BODY_PROBLEM_SCRATCH, s.p);
        if (n)
            memcpy(to, s.p, n);
        for (to += n; p < end; to++) {
            char c;
            size_t used = decode_byte(p, end, &c);

            if (used == 0)
                return body_fail(r, BODY_PROBLEM_MALFORMED, p);
            if (to == r->scratch_end)
                return body_fail(r, BODY_PROBLEM_SCRATCH, p);
            *to = c;
            p += used;
        }
        *text = span_of(r->scratch, (size_t)(to - r->scratch));
        r->scratch = to;
    }
    return body_utf8_valid(*text) || body_fail(r, BODY_PROBLEM_NOT_UTF8, s.p);
}

static bool read_pair(struct body_fields *f, struct span pair)
{
    struct body_reader *r = f->r;
    struct span value = pair, raw_key = span_cut(&value, '='), key, text;
    char *mark = r->scratch;
    struct body_field field;

    if (++f->count > BODY_PAIRS_MAX)
        return body_fail(r, BODY_PROBLEM_TOO_MANY, pair.p);
    if (!value.p)
        value = span_of(pair.p + pair.n, 0);
    if (!decode(r, raw_key, &key) || !decode(r, value, &text))
        return false;
    field = (struct body_field){.kind = BODY_FIELD_TEXT, .raw = value, .text = text};
    if (!body_fields_take(f, key, &field))
        return false;
    if (!f->keep)
        r->scratch = mark;
    return true;
}

bool body_read_form(struct body_reader *r)
{
    struct body_fields f; /* `slots` and `member` are set as they are used */
    struct span rest = r->body;
    const char *semicolon = rest.n ? memchr(rest.p, ';', rest.n) : NULL;

    /* Some readers take ";" for "&", and no writer leaves it unescaped. */
    if (semicolon)
        return body_fail(r, BODY_PROBLEM_MALFORMED, semicolon);
    body_fields_begin(&f, r);
    while (rest.p) {
        struct span pair = span_cut(&rest, '&');
        if (pair.n && !read_pair(&f, pair))
            return false;
    }
    body_settle_form(r);
    return true;
}
