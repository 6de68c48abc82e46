/* Message heads: finding the end of one in a stream, and the start line (RFC 9112 2 to 4). */
#include "http_internal.h"

#define MAX_EMPTY_LINES 2

/* The search for the empty line. Every error it reports depends only on the bytes up to a certain
 * one, so a head comes out the same in whatever pieces it arrives. */
struct search {
    struct span buf;
    size_t start;   /* of the start line */
    size_t section; /* of the header section; 0 while not known */
};

/* The bounds, for a head of which [start, upto) has come. The start line is looked for once a call
 * and not once a line. */
static enum http_error check_bounds(struct search *s, size_t upto)
{
    const char *lf;

    if (upto - s->start <= HTTP_REQUEST_LINE_MAX + 1)
        return HTTP_ERR_NONE;
    if (!s->section) {
        lf = memchr(s->buf.p + s->start, '\n', HTTP_REQUEST_LINE_MAX + 2);
        if (!lf)
            return HTTP_ERR_LINE_TOO_LONG;
        s->section = (size_t)(lf - s->buf.p) + 1;
    }
    if (upto > s->section && upto - s->section > HTTP_HEAD_MAX)
        return HTTP_ERR_HEAD_TOO_LARGE;
    return HTTP_ERR_NONE;
}

/* On HTTP_OK *end is the place after the empty line. */
static enum http_status find_end(struct search *s, size_t *scanned, size_t *end,
                                 enum http_error *why)
{
    const char *p = s->buf.p;
    size_t at = *scanned > s->start ? *scanned : s->start;
    const char *lf;

    while (at < s->buf.n && (lf = memchr(p + at, '\n', s->buf.n - at))) {
        at = (size_t)(lf - p) + 1;
        *why = check_bounds(s, at);
        if (!*why && (at < s->start + 2 || lf[-1] != '\r'))
            *why = HTTP_ERR_BARE_LF;
        if (*why)
            return HTTP_BAD;
        if (at >= s->start + 4 && lf[-2] == '\n') {
            *end = at;
            return HTTP_OK;
        }
    }
    *why = check_bounds(s, s->buf.n);
    if (*why)
        return HTTP_BAD;
    *scanned = s->buf.n;
    return HTTP_MORE;
}

/* What can be said of the first bytes, so that a peer who speaks something else is answered at
 * once:
 * `*start` is the place of the start line. */
static enum http_status skip_empty(struct span buf, unsigned most, size_t *start,
                                   enum http_error *why)
{
    size_t at = 0;

    for (unsigned lines = 0; at < buf.n && buf.p[at] == '\r'; lines++, at += 2) {
        if (at + 1 == buf.n)
            return HTTP_MORE;
        if (buf.p[at + 1] != '\n')
            *why = HTTP_ERR_BARE_CR;
        else if (lines == most)
            *why = HTTP_ERR_BAD_START_LINE;
        if (*why)
            return HTTP_BAD;
    }
    *start = at;
    return at < buf.n ? HTTP_OK : HTTP_MORE;
}

static bool parse_version(struct span s, unsigned *minor)
{
    if (s.n != 8 || memcmp(s.p, "HTTP/1.", 7) != 0 || (s.p[7] != '0' && s.p[7] != '1'))
        return false;
    *minor = (unsigned)(s.p[7] - '0');
    return true;
}

/* Methods are case-sensitive, and all registered ones are of upper-case letters and "-". A server
 * that takes "post" for POST would do what no rule for POST has seen; of other tokens ("P*T") some
 * take each and some none. */
static bool is_method(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return s.n > 0;
}

/* method SP target SP version, with single spaces (RFC 9112 3). */
static enum http_error parse_request_line(struct http_parse *ps, struct span line)
{
    struct http_head *h = ps->h;
    struct span rest = line, target;

    h->method = span_cut(&rest, ' ');
    if (!is_method(h->method))
        return HTTP_ERR_BAD_METHOD;
    target = span_cut(&rest, ' ');
    if (!rest.p || target.n == 0)
        return HTTP_ERR_BAD_START_LINE;
    if (!parse_version(rest, &h->minor))
        return span_starts(rest, SPAN_LIT("HTTP/")) ? HTTP_ERR_BAD_VERSION
                                                    : HTTP_ERR_BAD_START_LINE;
    if (span_eq(h->method, SPAN_LIT("CONNECT")))
        return HTTP_ERR_TARGET_FORM;
    return http_parse_target(ps, target);
}

/* version SP 3DIGIT SP [reason] (RFC 9112 4). The space before an empty reason is often left out,
 * which leaves no doubt about anything. */
static enum http_error parse_status_line(struct http_head *h, struct span line)
{
    struct span rest = line;
    struct span version = span_cut(&rest, ' ');
    struct span digits = span_cut(&rest, ' ');
    uint64_t status;

    if (!parse_version(version, &h->minor))
        return span_starts(version, SPAN_LIT("HTTP/")) ? HTTP_ERR_BAD_VERSION : HTTP_ERR_BAD_STATUS;
    if (digits.n != 3 || !span_u64(digits, &status) || status < 100 || status > 599)
        return HTTP_ERR_BAD_STATUS;
    if (rest.n && http_text_end(rest.p, rest.p + rest.n) != rest.p + rest.n)
        return HTTP_ERR_BAD_STATUS;
    h->status = (unsigned)status;
    h->reason = rest;
    return HTTP_ERR_NONE;
}

struct kind {
    bool request, to_head;
};

/* `head` is a whole one: lines with CRLF, the last of them empty. */
static enum http_error parse_head(struct http_parse *ps, struct span head, struct kind k)
{
    const char *lf = memchr(head.p, '\n', head.n);
    struct span line = span_of(head.p, (size_t)(lf - head.p) - 1);
    enum http_error e;

    if (memchr(line.p, '\r', line.n))
        return HTTP_ERR_BARE_CR;
    e = k.request ? parse_request_line(ps, line) : parse_status_line(ps->h, line);
    if (!e)
        e = http_parse_fields(ps, lf + 1, head.p + head.n);
    if (!e)
        e = k.request ? http_settle_request(ps) : http_settle_response(ps, k.to_head);
    return e;
}

/* A first byte that begins no start line: TLS, binary, a newline. */
static enum http_error check_first(char c, bool request)
{
    if (c == '\n')
        return HTTP_ERR_BARE_LF;
    if (request)
        return http_is(c, HTTP_C_TOKEN) ? HTTP_ERR_NONE : HTTP_ERR_BAD_METHOD;
    return c == 'H' ? HTTP_ERR_NONE : HTTP_ERR_BAD_STATUS;
}

static enum http_status parse(struct http_head *h, struct span buf, struct kind k, size_t *scanned,
                              size_t *used, enum http_error *why)
{
    struct search s = {.buf = buf};
    struct http_parse ps = {.h = h};
    enum http_status st;
    size_t end = 0;

    *used = 0;
    *why = HTTP_ERR_NONE;
    st = skip_empty(buf, k.request ? MAX_EMPTY_LINES : 0, &s.start, why);
    if (st == HTTP_OK)
        *why = check_first(buf.p[s.start], k.request);
    if (st == HTTP_OK && !*why)
        st = find_end(&s, scanned, &end, why);
    if (st == HTTP_MORE)
        return HTTP_MORE;
    *scanned = 0;
    if (!*why) {
        memset(h, 0, offsetof(struct http_head, fields));
        *why = parse_head(&ps, span_of(buf.p + s.start, end - s.start), k);
    }
    if (*why)
        return HTTP_BAD;
    *used = end;
    return HTTP_OK;
}

enum http_status http_parse_request(struct http_head *h, struct span buf, size_t *scanned,
                                    size_t *used, enum http_error *why)
{
    return parse(h, buf, (struct kind){.request = true}, scanned, used, why);
}

enum http_status http_parse_response(struct http_head *h, struct span buf, bool to_head,
                                     size_t *scanned, size_t *used, enum http_error *why)
{
    return parse(h, buf, (struct kind){.to_head = to_head}, scanned, used, why);
}
