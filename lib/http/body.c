/* Message bodies out of their framing (RFC 9112 6 and 7). */
#include "http_internal.h"

#define SIZE_DIGITS_MAX 16

/* Where the chunked decoder stands. After each byte of framing it is in exactly one of these. */
enum {
    AT_SIZE, /* digits of a chunk size */
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,    /* b->left bytes of it are to come */
    AT_DATA_CR, /* after a chunk's data */
    AT_DATA_LF,
    AT_TRAILER, /* start of a trailer line */
    AT_NAME,
    AT_VALUE,
    AT_VALUE_LF,
    AT_LAST_LF,
    AT_END,
};

void http_body_init(struct http_body *b, const struct http_head *h)
{
    memset(b, 0, sizeof(*b));
    b->framing = h->framing;
    b->left = h->framing == HTTP_BODY_LENGTH ? h->content_length : 0;
    b->state = AT_SIZE;
    b->done = h->framing == HTTP_BODY_NONE || (h->framing == HTTP_BODY_LENGTH && b->left == 0);
}

/* The body's length must fit 63 bits in sum as Content-Length does. */
static enum http_error size_digit(struct http_body *b, int digit)
{
    if (++b->line > SIZE_DIGITS_MAX)
        return HTTP_ERR_CHUNK_TOO_LONG;
    if (b->left >> 59)
        return HTTP_ERR_BAD_CHUNK;
    b->left = b->left << 4 | (uint64_t)digit;
    return b->left > (uint64_t)INT64_MAX - b->total ? HTTP_ERR_BAD_CHUNK : HTTP_ERR_NONE;
}

static enum http_error at_size(struct http_body *b, char c)
{
    int digit = http_hex(c);

    if (digit >= 0)
        return size_digit(b, digit);
    if (b->line == 0 || (c != ';' && c != '\r'))
        return HTTP_ERR_BAD_CHUNK;
    b->state = c == ';' ? AT_EXTENSION : AT_SIZE_LF;
    return HTTP_ERR_NONE;
}

/* Extensions are dropped; so nothing but their extent matters, and that no reader could see the
 * line's end elsewhere. */
static enum http_error at_extension(struct http_body *b, char c)
{
    if (c == '\r') {
        b->state = AT_SIZE_LF;
        return HTTP_ERR_NONE;
    }
    if (!http_is_text(c) || (unsigned char)c >= 0x80)
        return HTTP_ERR_BAD_CHUNK;
    return ++b->ext > HTTP_CHUNK_EXT_MAX ? HTTP_ERR_CHUNK_TOO_LONG : HTTP_ERR_NONE;
}

static enum http_error expect(struct http_body *b, char c, char wanted, unsigned next)
{
    if (c != wanted)
        return b->state >= AT_TRAILER ? HTTP_ERR_BAD_TRAILER : HTTP_ERR_BAD_CHUNK;
    b->state = next;
    return HTTP_ERR_NONE;
}

static enum http_error at_trailer(struct http_body *b, char c)
{
    if (++b->trailer > HTTP_TRAILER_MAX)
        return HTTP_ERR_BAD_TRAILER;
    switch (b->state) {
    case AT_TRAILER:
        b->state = c == '\r' ? AT_LAST_LF : AT_NAME;
        return c == '\r' || http_is(c, HTTP_C_TOKEN) ? HTTP_ERR_NONE : HTTP_ERR_BAD_TRAILER;
    case AT_NAME:
        b->state = c == ':' ? AT_VALUE : AT_NAME;
        return c == ':' || http_is(c, HTTP_C_TOKEN) ? HTTP_ERR_NONE : HTTP_ERR_BAD_TRAILER;
    case AT_VALUE:
        b->state = c == '\r' ? AT_VALUE_LF : AT_VALUE;
        return c == '\r' || http_is_text(c) ? HTTP_ERR_NONE : HTTP_ERR_BAD_TRAILER;
    case AT_VALUE_LF:
        return expect(b, c, '\n', AT_TRAILER);
    default:
        b->done = c == '\n';
        return expect(b, c, '\n', AT_END);
    }
}

static enum http_error framing_byte(struct http_body *b, char c)
{
    switch (b->state) {
    case AT_SIZE:
        return at_size(b, c);
    case AT_EXTENSION:
        return at_extension(b, c);
    case AT_SIZE_LF:
        return expect(b, c, '\n', b->left ? AT_DATA : AT_TRAILER);
    case AT_DATA_CR:
        return expect(b, c, '\r', AT_DATA_LF);
    case AT_DATA_LF:
        b->line = 0;
        b->ext = 0;
        return expect(b, c, '\n', AT_SIZE);
    default:
        return at_trailer(b, c);
    }
}

/* Up to `n` bytes of data at `p`: how many belong to the body. */
static size_t take_data(struct http_body *b, size_t n)
{
    size_t run = n < b->left ? n : (size_t)b->left;

    b->left -= run;
    b->total += run;
    return run;
}

/* Framing, one run of data, and framing again up to the next data: a body in one piece of memory
 * that has one chunk costs one call. */
static enum http_error next_chunked(struct http_body *b, struct span in, struct span *data,
                                    size_t *used)
{
    size_t at = 0;

    while (at < in.n && !b->done) {
        enum http_error e;

        if (b->state == AT_DATA) {
            if (data->n)
                break;
            *data = span_of(in.p + at, take_data(b, in.n - at));
            at += data->n;
            b->state = b->left ? AT_DATA : AT_DATA_CR;
            continue;
        }
        e = framing_byte(b, in.p[at]);
        if (e)
            return e;
        at++;
    }
    *used = at;
    return HTTP_ERR_NONE;
}

enum http_status http_body_next(struct http_body *b, struct span in, struct span *data,
                                size_t *used, enum http_error *why)
{
    *data = span_of(in.p, 0);
    *used = 0;
    *why = HTTP_ERR_NONE;
    if (b->done)
        return HTTP_OK;
    if (b->framing == HTTP_BODY_CHUNKED) {
        *why = next_chunked(b, in, data, used);
        if (*why)
            return HTTP_BAD;
    } else {
        if (b->framing == HTTP_BODY_UNTIL_CLOSE)
            b->left = in.n;
        data->n = *used = take_data(b, in.n);
        b->done = b->framing == HTTP_BODY_LENGTH && b->left == 0;
    }
    return b->done || *used < in.n ? HTTP_OK : HTTP_MORE;
}

enum http_status http_body_eof(struct http_body *b, enum http_error *why)
{
    if (b->framing == HTTP_BODY_UNTIL_CLOSE)
        b->done = true;
    *why = b->done ? HTTP_ERR_NONE : HTTP_ERR_TRUNCATED;
    return b->done ? HTTP_OK : HTTP_BAD;
}
