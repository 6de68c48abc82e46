/* Content types and the names of problems. */
#include "body_internal.h"

const char *body_problem_name(enum body_problem p)
{
    static const char *const names[BODY_PROBLEM_COUNT] = {
        [BODY_PROBLEM_NONE] = "none",           [BODY_PROBLEM_EMPTY] = "empty",
        [BODY_PROBLEM_TOO_LARGE] = "too_large", [BODY_PROBLEM_TOO_DEEP] = "too_deep",
        [BODY_PROBLEM_MALFORMED] = "malformed", [BODY_PROBLEM_NOT_UTF8] = "not_utf8",
        [BODY_PROBLEM_TYPE] = "type",           [BODY_PROBLEM_ENCODING] = "encoding",
        [BODY_PROBLEM_TOO_MANY] = "too_many",   [BODY_PROBLEM_SCRATCH] = "scratch",
    };

    return p < BODY_PROBLEM_COUNT ? names[p] : "unknown";
}

/* tchar of RFC 9110 5.6.2. */
static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');

        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

static bool is_utf8_name(struct span s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = span_of(s.p + 1, s.n - 2);
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
        if (!is_token(name) || !value.p)
            return false;
        if (span_ieq(name, SPAN_LIT("charset")) &&
            (++charsets > 1 || !is_utf8_name(span_trim(value))))
            return false;
    }
    return true;
}

enum body_type body_type_of(struct span content_type)
{
    struct span rest = span_trim(content_type), subtype, type;
    enum body_type found = BODY_OTHER;

    if (rest.n == 0)
        return BODY_NONE;
    subtype = span_trim(span_cut(&rest, ';'));
    type = span_cut(&subtype, '/');
    if (!is_token(type) || !is_token(subtype))
        return BODY_OTHER;
    if (span_ieq(type, SPAN_LIT("application")) &&
        span_ieq(subtype, SPAN_LIT("x-www-form-urlencoded")))
        found = BODY_FORM;
    else if (span_ieq(type, SPAN_LIT("application")) && span_ieq(subtype, SPAN_LIT("json")))
        found = BODY_JSON;
    else if (subtype.n > 5 && span_ieq(span_from(subtype, subtype.n - 5), SPAN_LIT("+json")))
        found = BODY_JSON;
    return found != BODY_OTHER && parameters_ok(rest) ? found : BODY_OTHER;
}
