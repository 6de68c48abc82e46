/* The head of a part of multipart/form-data (RFC 7578 4): three fields that say something, and
 * others that must say nothing. */
#include "body_internal.h"

#define FIELDS_MAX 16

struct head_reader {
    struct body_part_head *out;
    size_t content_n;
    unsigned fields, dispositions, types, encodings, lengths;
};

static bool bad(struct head_reader *h, enum body_problem why, const char *at)
{
    h->out->problem = why;
    h->out->at = at;
    return false;
}

static bool malformed(struct head_reader *h, const char *at)
{
    return bad(h, BODY_PROBLEM_MALFORMED, at);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span skip_blanks(struct span s)
{
    while (s.n && is_blank(s.p[0]))
        s = span_from(s, 1);
    return s;
}

/* ------------------------------------------------------------- disposition */

/* A token or a quoted string, taken from the front of `s`. Some readers take a backslash in quotes
 * for itself, some for an escape: then even where the string ends is not certain. */
static bool take_value(struct span *s, struct span *value)
{
    size_t n = 0;

    if (s->n && s->p[0] == '"') {
        *s = span_from(*s, 1);
        while (n < s->n && s->p[n] != '"' && s->p[n] != '\\')
            n++;
        *value = span_of(s->p, n);
        *s = span_from(*s, n);
        if (s->n == 0 || s->p[0] != '"')
            return false;
        *s = span_from(*s, 1);
        return true;
    }
    while (n < s->n && s->p[n] != ';' && !is_blank(s->p[n]))
        n++;
    *value = span_of(s->p, n);
    *s = span_from(*s, n);
    return body_is_token(*value);
}

/* `name*`, `filename*` and all that is not known here would be read by some and not by others. */
static bool take_parameter(struct head_reader *h, struct span *rest, bool *named)
{
    struct body_part_head *out = h->out;
    const char *start = rest->p;
    struct span name = *rest, value;
    size_t n = 0;

    while (n < rest->n && rest->p[n] != '=')
        n++;
    name.n = n;
    *rest = span_from(*rest, n);
    if (rest->n == 0)
        return malformed(h, start);
    *rest = span_from(*rest, 1);
    if (!take_value(rest, &value))
        return malformed(h, rest->p);
    if (span_ieq(name, SPAN_LIT("name")) && !*named) {
        *named = true;
        out->name = value;
    } else if (span_ieq(name, SPAN_LIT("filename")) && !out->file) {
        out->file = true;
        out->file_name = value;
    } else {
        return malformed(h, start);
    }
    return true;
}

static bool read_disposition(struct head_reader *h, struct span value)
{
    struct span rest = value, kind = SPAN_NONE;
    bool named = false;

    if (++h->dispositions > 1 || (value.n && value.p[0] == '"') || !take_value(&rest, &kind) ||
        !span_ieq(kind, SPAN_LIT("form-data")))
        return malformed(h, value.p);
    for (rest = skip_blanks(rest); rest.n; rest = skip_blanks(rest)) {
        if (rest.p[0] != ';')
            return malformed(h, rest.p);
        rest = skip_blanks(span_from(rest, 1));
        if (!take_parameter(h, &rest, &named))
            return false;
    }
    if (!named || body_has_escape(h->out->name))
        return malformed(h, value.p);
    return true;
}

/* ------------------------------------------------------------ other fields */

static bool read_type(struct head_reader *h, struct span value)
{
    struct body_part_head *out = h->out;

    if (++h->types > 1)
        return malformed(h, value.p);
    out->unreadable =
        !body_media(value, &out->type, &out->subtype) || span_ieq(out->type, SPAN_LIT("multipart"));
    return true;
}

/* What the part's bytes are decoded with, by those servers that look at it. */
static bool read_transfer_encoding(struct head_reader *h, struct span value)
{
    return (++h->encodings == 1 &&
            (span_ieq(value, SPAN_LIT("7bit")) || span_ieq(value, SPAN_LIT("8bit")) ||
             span_ieq(value, SPAN_LIT("binary")))) ||
           malformed(h, value.p);
}

static bool read_length(struct head_reader *h, struct span value)
{
    uint64_t n;

    return (++h->lengths == 1 && span_u64(value, &n) && n == h->content_n) || malformed(h, value.p);
}

static bool read_field(struct head_reader *h, struct span name, struct span value)
{
    if (span_ieq(name, SPAN_LIT("Content-Disposition")))
        return read_disposition(h, value);
    if (span_ieq(name, SPAN_LIT("Content-Type")))
        return read_type(h, value);
    if (span_ieq(name, SPAN_LIT("Content-Transfer-Encoding")))
        return read_transfer_encoding(h, value);
    if (span_ieq(name, SPAN_LIT("Content-Length")))
        return read_length(h, value);
    if (span_ieq(name, SPAN_LIT("Content-Encoding")))
        return span_ieq(value, SPAN_LIT("identity")) || malformed(h, value.p);
    return true;
}

/* ------------------------------------------------------------------- lines */

static const char *control_in(struct span line)
{
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
            return line.p + i;
    return NULL;
}

/* A line that begins with a blank would go on with the one before it, or be a field of its own. */
static bool read_line(struct head_reader *h, struct span line)
{
    struct span value = line, name = span_cut(&value, ':');
    const char *control = control_in(line);

    if (control)
        return malformed(h, control);
    if (++h->fields > FIELDS_MAX)
        return bad(h, BODY_PROBLEM_TOO_MANY, line.p);
    if (!body_is_token(name) || !value.p)
        return malformed(h, line.p);
    return read_field(h, name, span_trim(value));
}

bool body_part_head_read(struct span head, size_t content_n, struct body_part_head *out)
{
    struct head_reader h = {.out = out, .content_n = content_n};
    struct span rest = head;

    *out = (struct body_part_head){0};
    if (!body_utf8_valid(head))
        return bad(&h, BODY_PROBLEM_NOT_UTF8, head.p);
    while (rest.n) {
        const char *end = memmem(rest.p, rest.n, "\r\n", 2);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;

        if (!read_line(&h, span_of(rest.p, n)))
            return false;
        rest = span_from(rest, end ? n + 2 : n);
    }
    return h.dispositions == 1 || malformed(&h, head.p);
}
