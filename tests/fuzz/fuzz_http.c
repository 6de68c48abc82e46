/* The HTTP codec on hostile bytes: any cutting of the input gives what the whole gives, what is
 * accepted is within the bounds, and what is written again reads the same. */
#include <stdint.h>
#include <stdlib.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static struct http_head whole, pieces, again;

struct result {
    enum http_status status;
    enum http_error why;
    size_t used;
};

static struct result parse(struct http_head *h, unsigned side, struct span s, size_t *scanned)
{
    struct result r;

    if (side == 0)
        r.status = http_parse_request(h, s, scanned, &r.used, &r.why);
    else
        r.status = http_parse_response(h, s, side == 1, scanned, &r.used, &r.why);
    CHECK(r.used <= s.n && (r.status == HTTP_BAD) == (r.why != HTTP_ERR_NONE));
    return r;
}

static struct result parse_pieces(unsigned side, struct span s, uint64_t cuts)
{
    struct result r = {HTTP_MORE, HTTP_ERR_NONE, 0};
    size_t scanned = 0;

    for (size_t at = 0; at <= s.n && r.status == HTTP_MORE; at++) {
        cuts = cuts * 6364136223846793005u + 1442695040888963407u;
        if (at == s.n || cuts >> 61 == 0)
            r = parse(&pieces, side, span_of(s.p, at), &scanned);
    }
    return r;
}

/* The decoded bytes as a running hash: enough to tell two outputs apart. */
struct decoded {
    enum http_status status;
    enum http_error why;
    uint64_t hash, total;
    size_t used;
};

static void decode_piece(struct http_body *b, struct span in, struct decoded *d)
{
    struct span data;
    size_t used;

    do {
        d->status = http_body_next(b, in, &data, &used, &d->why);
        if (d->status == HTTP_BAD)
            return;
        CHECK(used <= in.n && data.n <= used);
        CHECK(!data.n || (data.p >= in.p && data.p + data.n <= in.p + used));
        for (size_t i = 0; i < data.n; i++)
            d->hash = (d->hash ^ (unsigned char)data.p[i]) * 0x100000001b3u;
        d->used += used;
        in = span_from(in, used);
    } while (used && !b->done);
    d->total = b->total;
    CHECK(b->done || in.n == 0);
}

static struct decoded decode(const struct http_head *h, struct span in, uint64_t cuts)
{
    struct decoded d = {.status = HTTP_MORE};
    struct http_body b;
    size_t from = 0;

    http_body_init(&b, h);
    for (size_t at = 0; at <= in.n && !b.done && d.status != HTTP_BAD; at++) {
        cuts = cuts * 6364136223846793005u + 1442695040888963407u;
        if (at == in.n || cuts >> 62 == 0) {
            decode_piece(&b, span_of(in.p + from, at - from), &d);
            from = at;
        }
    }
    return d;
}

static void check_body(const struct http_head *h, struct span rest, uint64_t cuts)
{
    struct decoded a = {.status = HTTP_MORE}, b = decode(h, rest, cuts);
    struct http_body body;

    http_body_init(&body, h);
    if (!body.done)
        decode_piece(&body, rest, &a);
    else
        a.status = b.status;
    CHECK(a.status == b.status && a.why == b.why);
    CHECK(a.status == HTTP_BAD || (a.hash == b.hash && a.used == b.used && a.total == b.total));
}

static void check_rewrite(const struct http_head *h)
{
    static char buf[HTTP_REQUEST_LINE_MAX + HTTP_HEAD_MAX + 4096];
    struct outbuf o = outbuf_on(buf, sizeof(buf));
    size_t scanned = 0;
    struct result r;

    http_write_request_line(&o, h->method, h->path, h->has_query, h->query);
    for (unsigned i = 0; i < h->nfields; i++)
        http_write_field(&o, h->fields[i].name, h->fields[i].value);
    outbuf_lit(&o, "\r\n");
    CHECK(!o.full);
    r = parse(&again, 0, outbuf_span(&o), &scanned);
    if (h->minor == 0 || r.why == HTTP_ERR_HEAD_TOO_LARGE)
        return; /* 1.0 was written as 1.1; ": " may be longer than ":" was */
    CHECK(r.status == HTTP_OK && r.used == o.n);
    CHECK(span_eq(again.path, h->path) && span_eq(again.query, h->query));
    CHECK(again.has_query == h->has_query && again.framing == h->framing);
    CHECK(again.nfields == h->nfields && again.content_length == h->content_length);
    for (unsigned i = 0; i < h->nfields; i++)
        CHECK(span_eq(again.fields[i].value, h->fields[i].value) &&
              again.fields[i].id == h->fields[i].id && again.fields[i].hop == h->fields[i].hop);
}

/* What every accepted path promises. */
static void check_path(struct span path)
{
    char before = 0;

    CHECK(path.n && path.p[0] == '/');
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        CHECK(c > 0x20 && c < 0x7f && c != '#' && c != '?' && c != ';' && c != '\\');
        CHECK(!(before == '/' && c == '/'));
        before = c;
    }
    while (path.p) {
        struct span segment = span_cut(&path, '/');
        CHECK(!span_eq(segment, SPAN_LIT(".")) && !span_eq(segment, SPAN_LIT("..")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    unsigned side;
    struct result a, b;
    size_t scanned = 0;
    struct span s;

    if (n < 2)
        return 0;
    side = bytes[0] % 3;
    s = span_of(bytes + 2, n - 2);
    a = parse(&whole, side, s, &scanned);
    b = parse_pieces(side, s, bytes[1]);
    CHECK(a.status == b.status && a.why == b.why && a.used == b.used);
    if (a.status != HTTP_OK)
        return 0;
    if (side == 0) {
        check_path(whole.path);
        check_rewrite(&whole);
    }
    check_body(&whole, span_from(s, a.used), bytes[1]);
    return 0;
}
