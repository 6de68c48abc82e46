/* The request target: one form, one reading (see http.h for the rules). */
#include "http_internal.h"

/* Where a normalised part is written. It is never longer than what it was made of, so that path and
 * query together fit http_head.scratch. */
struct out {
    char *p;
    size_t n;
};

static int escape_at(const char *p, const char *end)
{
    int high, low;

    if (end - p < 3 || *p != '%')
        return -1;
    high = http_hex(p[1]);
    low = http_hex(p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static void put_escapes(struct out *o, const char *p, size_t count)
{
    for (size_t i = 0; i < 3 * count; i++) {
        char c = p[i];
        o->p[o->n++] = (char)(c >= 'a' && c <= 'f' ? c - 0x20 : c);
    }
}

/* The least and the most that may follow the leading byte of a UTF-8 sequence (RFC 3629 4). */
static bool second_byte_ok(int lead, int second)
{
    int least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    int most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

    return second >= least && second <= most;
}

/* How many escapes from `p` on make up one UTF-8 sequence of two bytes or more; 0 if they do not.
 */
static size_t utf8_escapes(const char *p, const char *end)
{
    int lead = escape_at(p, end);
    size_t n = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;

    if (n == 0 || (size_t)(end - p) < 3 * n || !second_byte_ok(lead, escape_at(p + 3, end)))
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((escape_at(p + 3 * i, end) & ~0x3f) != 0x80)
            return 0;
    return n;
}

static enum http_error wide_escape(struct out *o, const char **at, const char *end)
{
    size_t n = utf8_escapes(*at, end);

    if (n == 0)
        return HTTP_ERR_AMBIGUOUS_TARGET;
    put_escapes(o, *at, n);
    *at += 3 * n;
    return HTTP_ERR_NONE;
}

/* C0, DEL, C1 as "%C2%80" to "%C2%9F". */
static bool is_control(int v, const char *p, const char *end)
{
    return v < 0x20 || v == 0x7f || (v == 0xc2 && escape_at(p + 3, end) < 0xa0);
}

static enum http_error path_escape(struct out *o, const char **at, const char *end)
{
    int v = escape_at(*at, end);

    if (v < 0)
        return HTTP_ERR_BAD_TARGET;
    if (is_control(v, *at, end) || v == '/' || v == '\\' || v == ';')
        return HTTP_ERR_AMBIGUOUS_TARGET;
    if (v >= 0x80)
        return wide_escape(o, at, end);
    if (http_is((char)v, HTTP_C_UNRESERVED))
        o->p[o->n++] = (char)v;
    else
        put_escapes(o, *at, 1);
    *at += 3;
    return HTTP_ERR_NONE;
}

/* An escape that was escaped is one to who decodes twice. It is looked for in what was decoded, as
 * "%25%32f" is "%252f". */
static bool holds_escaped_escape(struct span s)
{
    const char *at;

    while (s.n >= 5 && (at = memmem(s.p, s.n, "%25", 3))) {
        s = span_from(s, (size_t)(at - s.p) + 3);
        if (s.n >= 2 && http_hex(s.p[0]) >= 0 && http_hex(s.p[1]) >= 0)
            return true;
    }
    return false;
}

static enum http_error decode_path(struct out *o, struct span path)
{
    const char *p = path.p, *end = p + path.n;

    while (p < end) {
        enum http_error e = HTTP_ERR_NONE;

        if (http_is(*p, HTTP_C_PATH))
            o->p[o->n++] = *p++;
        else if (*p == '%')
            e = path_escape(o, &p, end);
        else
            e = *p == ';' || *p == '\\' ? HTTP_ERR_AMBIGUOUS_TARGET : HTTP_ERR_BAD_TARGET;
        if (e)
            return e;
    }
    return holds_escaped_escape(span_of(o->p, o->n)) ? HTTP_ERR_AMBIGUOUS_TARGET : HTTP_ERR_NONE;
}

struct resolve {
    struct out o;
    bool merged, climbed; /* an empty segment was left out; ".." was seen */
};

/* One segment, which begins after the "/" at `s.p[-1]`. Output goes to the same memory as input,
 * and never overtakes it. */
static enum http_error resolve_segment(struct resolve *r, struct span s, bool last)
{
    bool dots = span_eq(s, SPAN_LIT(".."));

    if (dots && r->o.n == 0)
        return HTTP_ERR_AMBIGUOUS_TARGET;
    if (dots)
        while (r->o.p[--r->o.n] != '/')
            ;
    r->climbed |= dots;
    r->merged |= s.n == 0 && !last;
    if (s.n == 0 || dots || span_eq(s, SPAN_LIT("."))) {
        if (last)
            r->o.p[r->o.n++] = '/';
        return HTTP_ERR_NONE;
    }
    memmove(r->o.p + r->o.n, s.p - 1, s.n + 1);
    r->o.n += s.n + 1;
    return HTTP_ERR_NONE;
}

/* RFC 3986 5.2.4, and empty segments merged. The path begins with "/". */
static enum http_error resolve_path(struct out *o)
{
    struct resolve r = {.o = {o->p, 0}};
    struct span rest = span_of(o->p + 1, o->n - 1);

    while (rest.p) {
        struct span segment = span_cut(&rest, '/');
        enum http_error e = resolve_segment(&r, segment, !rest.p);
        if (e)
            return e;
    }
    *o = r.o;
    return r.merged && r.climbed ? HTTP_ERR_AMBIGUOUS_TARGET : HTTP_ERR_NONE;
}

/* Whether the path is normal as it stands: the usual case, and then it is not copied. */
static bool path_is_normal(struct span path)
{
    char before = 0;

    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (!http_is(c, HTTP_C_PATH) || (before == '/' && (c == '/' || c == '.')))
            return false;
        before = c;
    }
    return true;
}

static enum http_error normalise_path(struct http_head *h, struct span path, size_t *used)
{
    struct out o = {h->scratch, 0};
    enum http_error e;

    *used = 0;
    h->path = path.n ? path : SPAN_LIT("/");
    if (path_is_normal(path))
        return HTTP_ERR_NONE;
    e = decode_path(&o, path);
    if (!e)
        e = resolve_path(&o);
    h->path = span_of(o.p, o.n);
    *used = o.n;
    return e;
}

static enum http_error normalise_query(struct http_head *h, struct span query, char *to)
{
    struct out o = {to, 0};
    const char *p = query.p, *end = p + query.n;

    h->query = query;
    while (p < end && http_is(*p, HTTP_C_QUERY))
        p++;
    if (p == end)
        return HTTP_ERR_NONE;
    o.n = (size_t)(p - query.p);
    memcpy(o.p, query.p, o.n);
    while (p < end) {
        enum http_error e = HTTP_ERR_NONE;
        int v;

        if (http_is(*p, HTTP_C_QUERY)) {
            o.p[o.n++] = *p++;
            continue;
        }
        v = escape_at(p, end);
        if (v < 0)
            return HTTP_ERR_BAD_TARGET;
        if (v == 0)
            return HTTP_ERR_AMBIGUOUS_TARGET;
        if (v >= 0x80) {
            e = wide_escape(&o, &p, end);
        } else {
            put_escapes(&o, p, 1);
            p += 3;
        }
        if (e)
            return e;
    }
    h->query = span_of(o.p, o.n);
    return HTTP_ERR_NONE;
}

/* https://authority[/path][?query] (RFC 9112 3.2.2). The authority is compared once Host is known.
 */
static enum http_error split_absolute(struct http_parse *ps, struct span *target)
{
    const struct span scheme = SPAN_LIT("https://");
    struct span rest = *target;
    size_t n = 0;

    if (rest.n < scheme.n || !span_ieq(span_of(rest.p, scheme.n), scheme))
        return HTTP_ERR_TARGET_FORM;
    rest = span_from(rest, scheme.n);
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    ps->authority = span_of(rest.p, n);
    *target = span_from(rest, n);
    return HTTP_ERR_NONE;
}

enum http_error http_parse_target(struct http_parse *ps, struct span target)
{
    struct http_head *h = ps->h;
    enum http_error e = HTTP_ERR_NONE;
    struct span path, query;
    size_t used;

    if (target.p[0] != '/')
        e = split_absolute(ps, &target);
    if (e)
        return e;
    h->target = target;
    query = target;
    path = span_cut(&query, '?');
    h->has_query = query.p != NULL;
    e = normalise_path(h, path, &used);
    if (!e && h->has_query)
        e = normalise_query(h, query, h->scratch + used);
    return e;
}

bool http_percent_decode(struct outbuf *o, struct span s)
{
    const char *p = s.p, *end = p + s.n;
    size_t n = o->n;

    for (const char *q = p; q < end; q++)
        if (*q == '%' && escape_at(q, end) < 0)
            return false;
    while (p < end && !o->full) {
        char c = *p == '%' ? (char)escape_at(p, end) : *p;
        outbuf_put(o, &c, 1);
        p += *p == '%' ? 3 : 1;
    }
    if (o->full)
        o->n = n;
    return !o->full;
}
