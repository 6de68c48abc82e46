/* Content types and the names of problems. */
#include "body_internal.h"

const char *body_problem_name(enum body_problem p)
{
    static const char *const names[BODY_PROBLEM_COUNT] = {
        [BODY_PROBLEM_NONE] = "none",
        [BODY_PROBLEM_EMPTY] = "empty",
        [BODY_PROBLEM_TOO_LARGE] = "too_large",
        [BODY_PROBLEM_TOO_DEEP] = "too_deep",
        [BODY_PROBLEM_MALFORMED] = "malformed",
        [BODY_PROBLEM_NOT_UTF8] = "not_utf8",
        [BODY_PROBLEM_TYPE] = "type",
        [BODY_PROBLEM_ENCODING] = "encoding",
        [BODY_PROBLEM_TOO_MANY] = "too_many",
        [BODY_PROBLEM_SCRATCH] = "scratch",
        [BODY_PROBLEM_RATIO] = "ratio",
        [BODY_PROBLEM_DECODED_TOO_LARGE] = "decoded_too_large",
        [BODY_PROBLEM_CODED_BAD] = "coded_bad",
        [BODY_PROBLEM_CODED_SHORT] = "coded_short",
        [BODY_PROBLEM_CODED_TRAILING] = "coded_trailing",
        [BODY_PROBLEM_CODED_MEMBERS] = "coded_members",
    };

    return p < BODY_PROBLEM_COUNT ? names[p] : "unknown";
}

/* tchar of RFC 9110 5.6.2. */
bool body_is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');

        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

static struct span unquoted(struct span s)
{
    return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? span_of(s.p + 1, s.n - 2) : s;
}

bool body_is_utf8_name(struct span s)
{
    return span_ieq(s, SPAN_LIT("utf-8")) || span_ieq(s, SPAN_LIT("utf8"));
}

/* Parameters may say utf-8 once and nothing else of the charset. Other parameters (such as
 * "version") have no say in how the bytes are read. */
static bool parameters_ok(struct span rest)
{
    unsigned charsets = 0;

    while (rest.p) {
        struct span value = span_trim(span_cut(&rest, ';'));
        struct span name = span_trim(span_cut(&value, '='));

        if (name.n == 0 && !value.p)
            continue;
        if (!body_is_token(name) || !value.p)
            return false;
        if (span_ieq(name, SPAN_LIT("charset")) &&
            (++charsets > 1 || !body_is_utf8_name(unquoted(span_trim(value)))))
            return false;
    }
    return true;
}

static bool split_media(struct span *rest, struct span *type, struct span *subtype)
{
    *subtype = span_trim(span_cut(rest, ';'));
    *type = span_cut(subtype, '/');
    return body_is_token(*type) && body_is_token(*subtype);
}

bool body_media(struct span value, struct span *type, struct span *subtype)
{
    struct span rest = value;

    return split_media(&rest, type, subtype) && parameters_ok(rest);
}

/* Nothing but a boundary, once, and utf-8: which of two boundaries a server takes decides what the
 * parts are. */
static bool multipart_parameters(struct span rest, struct span *boundary)
{
    unsigned charsets = 0;

    *boundary = SPAN_NONE;
    while (rest.p) {
        struct span value = span_trim(span_cut(&rest, ';')), name = span_cut(&value, '=');
        bool quoted = value.n >= 2 && value.p[0] == '"';
        struct span text = unquoted(value);

        if (!value.p || !(quoted ? text.n < value.n : body_is_token(value)))
            return false;
        if (span_ieq(name, SPAN_LIT("boundary")) && !boundary->p && body_boundary_valid(text))
            *boundary = text;
        else if (!span_ieq(name, SPAN_LIT("charset")) || ++charsets > 1 || !body_is_utf8_name(text))
            return false;
    }
    return boundary->p != NULL;
}

static bool is_multipart(struct span type, struct span subtype)
{
    return span_ieq(type, SPAN_LIT("multipart")) && span_ieq(subtype, SPAN_LIT("form-data"));
}

bool body_boundary_of(struct span content_type, struct span *boundary)
{
    struct span rest = span_trim(content_type), type, subtype;

    return split_media(&rest, &type, &subtype) && is_multipart(type, subtype) &&
           multipart_parameters(rest, boundary);
}

bool body_is_json_media(struct span type, struct span subtype)
{
    return (span_ieq(type, SPAN_LIT("application")) && span_ieq(subtype, SPAN_LIT("json"))) ||
           (subtype.n > 5 && span_ieq(span_from(subtype, subtype.n - 5), SPAN_LIT("+json")));
}

enum body_type body_type_of(struct span content_type)
{
    struct span rest = span_trim(content_type), subtype, type, boundary;
    enum body_type found = BODY_OTHER;

    if (rest.n == 0)
        return BODY_NONE;
    if (!split_media(&rest, &type, &subtype))
        return BODY_OTHER;
    if (is_multipart(type, subtype))
        return multipart_parameters(rest, &boundary) ? BODY_MULTIPART : BODY_OTHER;
    if (span_ieq(type, SPAN_LIT("application")) &&
        span_ieq(subtype, SPAN_LIT("x-www-form-urlencoded")))
        found = BODY_FORM;
    else if (body_is_json_media(type, subtype))
        found = BODY_JSON;
    return found != BODY_OTHER && parameters_ok(rest) ? found : BODY_OTHER;
}
