/* What the fields of a whole head mean together: where the body ends, who is asked, what must be
 * refused because it has two meanings (RFC 9112 6.3, 11.2). */
#include "http_internal.h"

/* Fields of a request which say one thing; the first and the last of two could be read by two
 * readers. Those of framing have causes of their own. If-Match and If-None-Match are lists, which
 * some servers take in one line only. */
#define SINGLE_FIELDS                                                                              \
    (HTTP_BIT(AUTHORIZATION) | HTTP_BIT(CONTENT_RANGE) | HTTP_BIT(CONTENT_TYPE) | HTTP_BIT(DATE) | \
     HTTP_BIT(IDEMPOTENCY_KEY) | HTTP_BIT(IF_MATCH) | HTTP_BIT(IF_MODIFIED_SINCE) |                \
     HTTP_BIT(IF_NONE_MATCH) | HTTP_BIT(IF_RANGE) | HTTP_BIT(IF_UNMODIFIED_SINCE) |                \
     HTTP_BIT(PROXY_AUTHORIZATION) | HTTP_BIT(RANGE) | HTTP_BIT(REFERER) |                         \
     HTTP_BIT(TURNPIKE_TOKEN) | HTTP_BIT(USER_AGENT) | HTTP_BIT(X_API_KEY))

/* Digits only, without leading zeros (some read those as octal), within 63 bits (some count in
 * signed integers). */
static bool parse_length(struct span s, uint64_t *out)
{
    return span_u64(s, out) && *out <= INT64_MAX && (s.n == 1 || s.p[0] != '0');
}

static enum http_error settle_length(struct http_parse *ps)
{
    const struct http_field *f = http_parsed(ps, HTTP_F_CONTENT_LENGTH);

    if ((ps->repeated & HTTP_BIT(CONTENT_LENGTH)) ||
        !parse_length(f->value, &ps->h->content_length))
        return HTTP_ERR_BAD_CONTENT_LENGTH;
    ps->h->framing = HTTP_BODY_LENGTH;
    return HTTP_ERR_NONE;
}

/* HTTP/1.0 has no transfer codings: its readers would take the body for something else (RFC 9112
 * 6.1). */
static enum http_error settle_coding(struct http_parse *ps)
{
    const struct http_field *f = http_parsed(ps, HTTP_F_TRANSFER_ENCODING);

    if (ps->seen & HTTP_BIT(CONTENT_LENGTH))
        return HTTP_ERR_LENGTH_AND_ENCODING;
    if ((ps->repeated & HTTP_BIT(TRANSFER_ENCODING)) || ps->h->minor == 0 ||
        !span_ieq(f->value, SPAN_LIT("chunked")))
        return HTTP_ERR_BAD_TRANSFER_ENCODING;
    ps->h->framing = HTTP_BODY_CHUNKED;
    return HTTP_ERR_NONE;
}

static enum http_error settle_framing(struct http_parse *ps)
{
    if (ps->seen & HTTP_BIT(TRANSFER_ENCODING))
        return settle_coding(ps);
    if (ps->seen & HTTP_BIT(CONTENT_LENGTH))
        return settle_length(ps);
    return HTTP_ERR_NONE;
}

/* RFC 9110 10.1.1: HTTP/1.0 knows no expectations; 100 is no use where no body follows. */
static enum http_error settle_expect(struct http_parse *ps)
{
    const struct http_field *f = http_parsed(ps, HTTP_F_EXPECT);
    struct http_head *h = ps->h;

    if (!f || h->minor == 0)
        return HTTP_ERR_NONE;
    if ((ps->repeated & HTTP_BIT(EXPECT)) || !span_ieq(f->value, SPAN_LIT("100-continue")))
        return HTTP_ERR_BAD_EXPECT;
    h->expect_continue = h->framing == HTTP_BODY_CHUNKED ||
                         (h->framing == HTTP_BODY_LENGTH && h->content_length > 0);
    return HTTP_ERR_NONE;
}

/* The authority of an absolute-form target must be that of Host, or two servers could be meant. */
static enum http_error settle_host(struct http_parse *ps)
{
    const struct http_field *f = http_parsed(ps, HTTP_F_HOST);
    struct http_head *h = ps->h;
    enum http_error e;
    struct span host;
    uint16_t port;

    if (!f)
        return HTTP_ERR_NO_HOST;
    if (ps->repeated & HTTP_BIT(HOST))
        return HTTP_ERR_BAD_HOST;
    e = http_parse_host(f->value, &h->host, &h->port);
    if (e || !ps->authority.p)
        return e;
    if (http_parse_host(ps->authority, &host, &port))
        return HTTP_ERR_BAD_TARGET;
    if (!span_ieq(host, h->host) || (port ? port : 443) != (h->port ? h->port : 443))
        return HTTP_ERR_AMBIGUOUS_TARGET;
    return HTTP_ERR_NONE;
}

enum http_error http_settle_request(struct http_parse *ps)
{
    enum http_error e = settle_host(ps);

    if (!e && (ps->repeated & SINGLE_FIELDS))
        e = HTTP_ERR_REPEATED_FIELD;
    if (!e)
        e = settle_framing(ps);
    if (!e)
        e = settle_expect(ps);
    if (!e)
        e = http_settle_connection(ps);
    return e;
}

/* RFC 9112 6.3: these end with their head. One that announces a body all the same (but for HEAD and
 * 304, which describe what GET would bring) comes from a server that may send it: what follows on
 * the connection cannot be trusted to be the next response. */
static void settle_bodiless(struct http_head *h, bool describes)
{
    bool announced = h->framing == HTTP_BODY_CHUNKED ||
                     (h->framing == HTTP_BODY_LENGTH && h->content_length > 0);

    if (announced && !describes)
        h->keep_alive = false;
    h->framing = HTTP_BODY_NONE;
    h->content_length = 0;
}

enum http_error http_settle_response(struct http_parse *ps, bool to_head)
{
    struct http_head *h = ps->h;
    bool framed = ps->seen & (HTTP_BIT(CONTENT_LENGTH) | HTTP_BIT(TRANSFER_ENCODING));
    enum http_error e = settle_framing(ps);

    if (!e)
        e = http_settle_connection(ps);
    if (e)
        return e;
    h->upgrade = h->upgrade && h->status == 101;
    if (h->status < 200 || h->status == 204 || h->status == 304 || to_head) {
        settle_bodiless(h, to_head || h->status == 304);
    } else if (!framed) {
        h->framing = HTTP_BODY_UNTIL_CLOSE;
        h->keep_alive = false;
    }
    return HTTP_ERR_NONE;
}
