/* "POST /v1/charges/{charge}/capture": a method and a template of path segments. */
#include "rules_internal.h"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c > 0 && strchr("-._~", c));
}

static int upper_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Paths are looked up in their normal form (RFC 3986 6.2.2): escapes in upper case, and none for
 * characters that need none. A template in another form would never match: say so. */
static const char *text_fault(struct span s)
{
    int high, low;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            high = i + 2 < s.n ? upper_hex(s.p[i + 1]) : -1;
            low = high >= 0 ? upper_hex(s.p[i + 2]) : -1;
            if (low < 0)
                return "has an escape that is not % and two upper-case hexadecimal digits";
            if (is_unreserved(high * 16 + low))
                return "escapes a character that needs no escape";
            i += 2;
        } else if (c == '*') {
            return "has a `*` that is only part of a segment; it takes a whole one";
        } else if (c == '{' || c == '}') {
            return "has a segment with more than one parameter, or a brace without its other";
        } else if (!is_unreserved(c) && !(c > 0 && strchr("!$&'()+,;=:@", c))) {
            return "has a character that must be percent-encoded in a path";
        }
    }
    return NULL;
}

static const char *add_param(struct rules_loader *l, struct rules_route *r, struct span name)
{
    if (!rules_is_name(name, false))
        return "has a parameter whose name is not made of letters, digits, _ and -";
    for (unsigned i = 0; i < r->nparams; i++)
        if (span_eq(r->param[i], name))
            return "names one parameter twice";
    if (r->nparams == RULES_PARAMS_MAX)
        return "has more than 16 parameters";
    r->param[r->nparams] = arena_span(&l->set->mem, name);
    r->param_segment[r->nparams++] = (uint8_t)r->nsegments;
    return NULL;
}

/* Paths are compared decoded, see rules_index_find. A text with faulty escapes is complained about.
 */
static struct span decoded(struct rules_loader *l, struct span s)
{
    char *p = arena_alloc(&l->set->mem, s.n + 1);
    struct outbuf o = outbuf_on(p, s.n);

    return http_percent_decode(&o, s) ? outbuf_span(&o) : arena_span(&l->set->mem, s);
}

static const char *add_text(struct rules_loader *l, struct rules_segment *to, struct span s)
{
    if (span_eq(s, SPAN_LIT(".")) || span_eq(s, SPAN_LIT("..")))
        return "has a segment `.` or `..`, which no path has once it is normalised";
    to->before = decoded(l, s);
    return text_fault(s);
}

/* Text, `{`, a name, `}`, text. */
static const char *add_pattern(struct rules_loader *l, struct rules_route *r,
                               struct rules_segment *to, struct span s)
{
    struct span after = s, before = span_cut(&after, '{'), name = span_cut(&after, '}');
    const char *fault;

    if (!after.p)
        return text_fault(SPAN_LIT("{"));
    to->open = true;
    to->before = decoded(l, before);
    to->after = decoded(l, after);
    fault = add_param(l, r, name);
    fault = fault ? fault : text_fault(before);
    return fault ? fault : text_fault(after);
}

static const char *add_segment(struct rules_loader *l, struct rules_route *r, struct span s)
{
    struct rules_segment *to;
    const char *fault = NULL;

    if (s.n == 0)
        return "has an empty segment or ends in `/`, which means nothing here";
    if (r->rest)
        return "goes on after `**`, which takes everything";
    if (span_eq(s, SPAN_LIT("**"))) {
        r->rest = true;
        return NULL;
    }
    if (r->nsegments == RULES_SEGMENTS_MAX)
        return "has more than 32 segments";
    to = &r->segment[r->nsegments];
    if (span_eq(s, SPAN_LIT("*")))
        to->open = true;
    else if (memchr(s.p, '{', s.n))
        fault = add_pattern(l, r, to, s);
    else
        fault = add_text(l, to, s);
    r->nsegments++;
    return fault;
}

static size_t count(struct span s, char c, size_t most)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n && n < most; i++)
        n += s.p[i] == c;
    return n;
}

/* Room for what a path may have: there are many routes, and few are long. */
static void make_room(struct rules_loader *l, struct rules_route *r, struct span path)
{
    size_t params = count(path, '{', RULES_PARAMS_MAX);

    r->segment =
        arena_array(&l->set->mem, struct rules_segment, count(path, '/', RULES_SEGMENTS_MAX) + 1);
    r->param = arena_array(&l->set->mem, struct span, params + 1);
    r->param_segment = arena_array(&l->set->mem, uint8_t, params + 1);
}

static const char *read_path(struct rules_loader *l, struct rules_route *r, struct span path)
{
    const char *fault = NULL;
    struct span rest = span_from(path, 1);

    if (path.n == 0 || path.p[0] != '/')
        return "must begin with `/`";
    if (path.n > 2048)
        return "is longer than 2048 bytes";
    if (memchr(path.p, '?', path.n) || memchr(path.p, '#', path.n))
        return "has a query; a function is told by its path, the query is read in `when`";
    make_room(l, r, path);
    while (rest.n && rest.p && !fault)
        fault = add_segment(l, r, span_cut(&rest, '/'));
    if (!fault && path.n > 1 && path.p[path.n - 1] == '/')
        fault = add_segment(l, r, SPAN_NONE);
    return fault;
}

static const char *method_fault(struct span m)
{
    if (m.n == 0 || m.n > 20)
        return "a function is written as METHOD /path";
    for (size_t i = 0; i < m.n; i++)
        if (!is_upper(m.p[i]) && m.p[i] != '-')
            return "a method is written in upper case, as in POST /v1/refunds";
    return NULL;
}

struct rules_route *rules_read_route(struct rules_loader *l, const struct yaml_node *where)
{
    struct rules_route *r = arena_new(&l->set->mem, struct rules_route);
    struct span text = yaml_text(where), method = span_cut(&text, ' ');
    const char *fault = method_fault(method);

    if (!fault && !text.p)
        fault = "a function is written as METHOD /path";
    if (fault) {
        diag_error(l->d, yaml_place(where), "%s", fault);
        return NULL;
    }
    text = span_trim(text);
    fault = read_path(l, r, text);
    if (fault) {
        diag_error(l->d, yaml_place_in(where, (size_t)(text.p - yaml_text(where).p)), "the path %s",
                   fault);
        return NULL;
    }
    r->method = arena_span(&l->set->mem, method);
    r->path = arena_span(&l->set->mem, text);
    r->place = rules_keep_place(l->set, yaml_place(where));
    return r;
}
