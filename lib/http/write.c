/* Writing messages. Whatever is written here can be read by the parser here and means the same. */
#include "http_internal.h"

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is(s.p[i], HTTP_C_TOKEN))
            return false;
    return s.n > 0;
}

static bool is_text(struct span s)
{
    return s.n == 0 || http_text_end(s.p, s.p + s.n) == s.p + s.n;
}

/* No byte that could end a request target or its line, and none outside ASCII. */
static bool is_target_part(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f ||
            (unsigned char)s.p[i] == '#')
            return false;
    return true;
}

void http_write_request_line(struct outbuf *o, struct span method, struct span path, bool has_query,
                             struct span query)
{
    if (!is_token(method) || !path.n || path.p[0] != '/' || !is_target_part(path) ||
        !is_target_part(query) || memchr(path.p, '?', path.n)) {
        o->full = true;
        return;
    }
    outbuf_span_put(o, method);
    outbuf_lit(o, " ");
    outbuf_span_put(o, path);
    if (has_query) {
        outbuf_lit(o, "?");
        outbuf_span_put(o, query);
    }
    outbuf_lit(o, " HTTP/1.1\r\n");
}

void http_write_status_line(struct outbuf *o, unsigned status, struct span reason)
{
    char digits[4] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10), ' '};

    if (status < 100 || status > 599 || !is_text(reason)) {
        o->full = true;
        return;
    }
    outbuf_lit(o, "HTTP/1.1 ");
    outbuf_put(o, digits, sizeof(digits));
    outbuf_span_put(o, reason);
    outbuf_lit(o, "\r\n");
}

void http_write_field(struct outbuf *o, struct span name, struct span value)
{
    if (!is_token(name) || !is_text(value)) {
        o->full = true;
        return;
    }
    outbuf_span_put(o, name);
    outbuf_lit(o, ": ");
    outbuf_span_put(o, value);
    outbuf_lit(o, "\r\n");
}

void http_write_chunk_start(struct outbuf *o, size_t n)
{
    char line[18]; /* sixteen digits and CRLF */
    size_t at = sizeof(line);

    if (n == 0) {
        o->full = true;
        return;
    }
    line[--at] = '\n';
    line[--at] = '\r';
    for (; n; n >>= 4)
        line[--at] = "0123456789abcdef"[n & 15];
    outbuf_put(o, line + at, sizeof(line) - at);
}

void http_write_chunk_end(struct outbuf *o)
{
    outbuf_lit(o, "\r\n");
}

void http_write_last_chunk(struct outbuf *o)
{
    outbuf_lit(o, "0\r\n\r\n");
}
