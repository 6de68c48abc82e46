/* multipart/form-data (RFC 7578, RFC 2046 5.1.1): from delimiter to delimiter. Readers differ in
 * what they forgive, so nothing is forgiven: the delimiter has its two places and no other, lines
 * end in CRLF, and nothing stands before the first delimiter or after the last. */
#include "body_internal.h"

#define HEAD_MAX 4096 /* bytes of a part's head */

static bool parts_bad(struct body_parts *it, const char *at)
{
    it->bad = at;
    return false;
}

static bool is_boundary_char(char c)
{
    char low = ascii_lower(c);

    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("'()+_,-./:=? ", c));
}

bool body_boundary_valid(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_boundary_char(s.p[i]))
            return false;
    return s.n > 0 && s.n <= BODY_BOUNDARY_MAX && s.p[s.n - 1] != ' ';
}

bool body_parts_begin(struct body_parts *it, struct span body)
{
    struct span line =
        span_of(body.p, body.n < BODY_BOUNDARY_MAX + 3 ? body.n : BODY_BOUNDARY_MAX + 3);
    const char *end = line.n ? memchr(line.p, '\r', line.n) : NULL;

    *it = (struct body_parts){.rest = body};
    if (!end || !span_starts(body, SPAN_LIT("--")))
        return parts_bad(it, body.p);
    it->delimiter = span_of(body.p, (size_t)(end - body.p));
    if (!body_boundary_valid(span_from(it->delimiter, 2)))
        return parts_bad(it, body.p + 2);
    it->rest = span_from(body, it->delimiter.n);
    if (!span_starts(it->rest, SPAN_LIT("\r\n")))
        return parts_bad(it, it->rest.p);
    it->rest = span_from(it->rest, 2);
    return true;
}

bool body_boundary_is(struct span content_type, struct span body)
{
    struct body_parts it;
    struct span boundary;

    return body_boundary_of(content_type, &boundary) && body_parts_begin(&it, body) &&
           span_eq(span_from(it.delimiter, 2), boundary);
}

/* What follows a delimiter: another part, or the end. */
static bool after_delimiter(struct body_parts *it)
{
    if (span_starts(it->rest, SPAN_LIT("\r\n"))) {
        it->rest = span_from(it->rest, 2);
        return true;
    }
    if (!span_starts(it->rest, SPAN_LIT("--")))
        return parts_bad(it, it->rest.p);
    it->rest = span_from(it->rest, 2);
    it->done = true;
    return it->rest.n == 0 || span_eq(it->rest, SPAN_LIT("\r\n")) || parts_bad(it, it->rest.p);
}

bool body_parts_next(struct body_parts *it, struct body_part *out)
{
    struct span part = it->rest, delimiter = it->delimiter;
    size_t most = part.n < HEAD_MAX + 4 ? part.n : HEAD_MAX + 4;
    const char *blank, *next;

    if (it->done || it->bad)
        return false;
    blank = memmem(part.p, most, "\r\n\r\n", 4);
    if (!blank)
        return parts_bad(it, part.p);
    out->head = span_of(part.p, (size_t)(blank - part.p));
    next = memmem(part.p, part.n, delimiter.p, delimiter.n);
    if (!next)
        return parts_bad(it, part.p + part.n);
    if (next < blank + 6 || next[-2] != '\r' || next[-1] != '\n')
        return parts_bad(it, next);
    out->content = span_of(blank + 4, (size_t)(next - 2 - (blank + 4)));
    it->rest = span_from(part, (size_t)(next - part.p) + delimiter.n);
    return after_delimiter(it);
}

/* -------------------------------------------------------------------- fields */

/* Browsers write some characters of a file name as "%22", and few servers read that back. */
bool body_has_escape(struct span s)
{
    for (size_t i = 0; i + 2 < s.n; i++)
        if (s.p[i] == '%' && body_hex_value(s.p[i + 1]) >= 0 && body_hex_value(s.p[i + 2]) >= 0)
            return true;
    return false;
}

/* With an empty file name the part is a text to some readers, a file or nothing to others. */
static void file_field(const struct body_part_head *h, struct span content, struct body_field *f)
{
    f->kind = h->file_name.n == 0 || h->unreadable ? BODY_FIELD_DOUBT : BODY_FIELD_FILE;
    f->raw = h->file_name;
    f->text = content;
    f->odd_name = body_has_escape(h->file_name);
    f->type = h->type;
    f->subtype = h->subtype;
}

static void text_field(const struct body_part_head *h, struct span content, struct body_field *f)
{
    f->kind = body_is_json_media(h->type, h->subtype) ? BODY_FIELD_STRING : BODY_FIELD_TEXT;
    f->raw = f->text = content;
    if (h->unreadable || !body_utf8_valid(content))
        f->kind = BODY_FIELD_DOUBT;
}

static bool take_part(struct body_fields *f, const struct body_part *part)
{
    struct body_reader *r = f->r;
    struct body_part_head h;
    struct body_field field = {0};
    char *mark = r->scratch;

    if (++f->count > BODY_PAIRS_MAX)
        return body_fail(r, BODY_PROBLEM_TOO_MANY, part->head.p);
    if (!body_part_head_read(part->head, part->content.n, &h))
        return body_fail(r, h.problem, h.at);
    /* RFC 7578 4.6: a part that says what charset all the others are in. */
    if (span_eq(h.name, SPAN_LIT("_charset_")) && !body_is_utf8_name(part->content))
        return body_fail(r, BODY_PROBLEM_NOT_UTF8, part->content.p);
    if (h.file)
        file_field(&h, part->content, &field);
    else
        text_field(&h, part->content, &field);
    if (!body_fields_take(f, h.name, &field))
        return false;
    if (!f->keep)
        r->scratch = mark;
    return true;
}

bool body_read_multipart(struct body_reader *r)
{
    struct body_fields f; /* `slots` and `member` are set as they are used */
    struct body_parts it;
    struct body_part part;

    if (!body_parts_begin(&it, r->body))
        return body_fail(r, BODY_PROBLEM_MALFORMED, it.bad);
    body_fields_begin(&f, r);
    while (body_parts_next(&it, &part))
        if (!take_part(&f, &part))
            return false;
    if (it.bad)
        return body_fail(r, BODY_PROBLEM_MALFORMED, it.bad);
    body_settle_form(r);
    return true;
}
