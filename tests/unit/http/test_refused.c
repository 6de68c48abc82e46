/* Heads that must be refused, each with its cause, whole and byte by byte. */
#include "http_test.h"

struct refused {
    enum side side;
    enum http_error why;
    struct {
        const char *p;
        size_t n;
    } bytes;
};

#define Q(why, s)                                                                                  \
    {                                                                                              \
        REQUEST, HTTP_ERR_##why, M(s)                                                              \
    }
#define R(why, s)                                                                                  \
    {                                                                                              \
        RESPONSE, HTTP_ERR_##why, M(s)                                                             \
    }
/* A request that is right but for these field lines, or this target. */
#define QF(why, s)    Q(why, "POST /x HTTP/1.1\r\nHost: a.example\r\n" s "\r\n")
#define QT(why, s)    Q(why, "GET " s " HTTP/1.1\r\nHost: a.example\r\n\r\n")
#define RF(why, s)    R(why, "HTTP/1.1 200 OK\r\n" s "\r\n")
#define QHOST(why, s) Q(why, "GET / HTTP/1.1\r\nHost: " s "\r\n\r\n")

static const struct refused refused[] = {
    /* start lines */
    Q(BARE_LF, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BARE_LF, "GET / HTTP/1.1\nHost: a\n\n"),
    Q(BARE_LF, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    Q(BARE_LF, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    Q(BARE_CR, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    Q(BARE_CR, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BARE_CR, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "\tGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "\x16\x03\x01\x02\x00\x01"),
    Q(BAD_METHOD, "\0GET / HTTP/1.1\r\n\r\n"),
    Q(BAD_METHOD, "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "Post / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_METHOD, "\xc3\x84 / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET /\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    Q(BAD_START_LINE, "GET / \r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1.1\t\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    Q(BAD_VERSION, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),

    /* targets: form */
    QT(TARGET_FORM, "*"),
    Q(TARGET_FORM, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    Q(TARGET_FORM, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    Q(TARGET_FORM, "CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    QT(TARGET_FORM, "a.example:443"),
    QT(TARGET_FORM, "http://a.example/"),
    QT(TARGET_FORM, "ftp://a.example/"),
    QT(TARGET_FORM, "https:/a.example/"),
    QT(TARGET_FORM, "x/y"),
    QT(AMBIGUOUS_TARGET, "https://b.example/"),
    QT(AMBIGUOUS_TARGET, "https://a.example:8443/"),
    QT(BAD_TARGET, "https://"),
    QT(BAD_TARGET, "https:///x"),
    QT(BAD_TARGET, "https://u@a.example/"),
    QT(BAD_TARGET, "https://a.example:0/"),
    QT(BAD_TARGET, "https://a.example#x"),

    /* targets: bytes and escapes */
    QT(BAD_TARGET, "/a#b"),
    QT(BAD_TARGET, "/a?b#c"),
    QT(BAD_TARGET, "/a\0b"),
    QT(BAD_TARGET, "/a\x01"),
    QT(BAD_TARGET, "/a\x7f"),
    QT(BAD_TARGET, "/a\tb"),
    QT(BAD_TARGET, "/\xc3\xa4"),
    QT(BAD_TARGET, "/?\xc3\xa4"),
    QT(BAD_TARGET, "/?a\x01"),
    QT(BAD_TARGET, "/?a\0b"),
    QT(BAD_TARGET, "/a\"b"),
    QT(BAD_TARGET, "/a<b>"),
    QT(BAD_TARGET, "/a{b}"),
    QT(BAD_TARGET, "/a|b"),
    QT(BAD_TARGET, "/a[b]"),
    QT(BAD_TARGET, "/a%"),
    QT(BAD_TARGET, "/a%4"),
    QT(BAD_TARGET, "/a%4g"),
    QT(BAD_TARGET, "/a%u002f"),
    QT(BAD_TARGET, "/?a=%"),
    QT(BAD_TARGET, "/?a=%f"),
    QT(BAD_TARGET, "/?a=%zz"),

    /* targets: two readings */
    QT(AMBIGUOUS_TARGET, "/a%2fb"),
    QT(AMBIGUOUS_TARGET, "/a%2Fb"),
    QT(AMBIGUOUS_TARGET, "/a%5cb"),
    QT(AMBIGUOUS_TARGET, "/a\\b"),
    QT(AMBIGUOUS_TARGET, "/a%00"),
    QT(AMBIGUOUS_TARGET, "/a%0d%0ab"),
    QT(AMBIGUOUS_TARGET, "/a%7f"),
    QT(AMBIGUOUS_TARGET, "/a%c2%85"),
    QT(AMBIGUOUS_TARGET, "/a;b"),
    QT(AMBIGUOUS_TARGET, "/a/..;/b"),
    QT(AMBIGUOUS_TARGET, "/a%3bb"),
    QT(AMBIGUOUS_TARGET, "/a%252fb"),
    QT(AMBIGUOUS_TARGET, "/a%252e%252e/b"),
    QT(AMBIGUOUS_TARGET, "/a%25%32f"),
    QT(AMBIGUOUS_TARGET, "/a%25%32%66b"),
    QT(AMBIGUOUS_TARGET, "/%25x%25D%44"),
    QT(AMBIGUOUS_TARGET, "/.."),
    QT(AMBIGUOUS_TARGET, "/../a"),
    QT(AMBIGUOUS_TARGET, "/a/../../b"),
    QT(AMBIGUOUS_TARGET, "/%2e%2e/a"),
    QT(AMBIGUOUS_TARGET, "/a/%2E./../b"),
    QT(AMBIGUOUS_TARGET, "/a//../b"),
    QT(AMBIGUOUS_TARGET, "/a/../b//c"),
    QT(AMBIGUOUS_TARGET, "/a%ff"),
    QT(AMBIGUOUS_TARGET, "/a%c3"),
    QT(AMBIGUOUS_TARGET, "/a%c3b"),
    QT(AMBIGUOUS_TARGET, "/a%c3%41"),
    QT(AMBIGUOUS_TARGET, "/a%c0%af"),
    QT(AMBIGUOUS_TARGET, "/a%e0%80%af"),
    QT(AMBIGUOUS_TARGET, "/a%ed%a0%80"),
    QT(AMBIGUOUS_TARGET, "/a%f4%90%80%80"),
    QT(AMBIGUOUS_TARGET, "/a%f5%80%80%80"),
    QT(AMBIGUOUS_TARGET, "/a%80"),
    QT(AMBIGUOUS_TARGET, "/a%e2%82"),
    QT(AMBIGUOUS_TARGET, "/?a=%00"),
    QT(AMBIGUOUS_TARGET, "/?a=%c0%af"),
    QT(AMBIGUOUS_TARGET, "/?a=%e4"),

    /* field lines */
    QF(OBS_FOLD, "X: a\r\n b\r\n"),
    QF(OBS_FOLD, "X: a\r\n\tb\r\n"),
    Q(OBS_FOLD, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    QF(SPACE_BEFORE_COLON, "Content-Length : 5\r\n"),
    QF(SPACE_BEFORE_COLON, "Content-Length\t: 5\r\n"),
    QF(BAD_FIELD_NAME, ": x\r\n"),
    QF(BAD_FIELD_NAME, "X\r\n"),
    QF(BAD_FIELD_NAME, "X y: z\r\n"),
    QF(BAD_FIELD_NAME, "X(y): z\r\n"),
    QF(BAD_FIELD_NAME, "X\0: z\r\n"),
    QF(BAD_FIELD_NAME, "X\xff: z\r\n"),
    QF(BAD_FIELD_NAME, "\"X\": z\r\n"),
    QF(BAD_FIELD_VALUE, "X: a\0b\r\n"),
    QF(BAD_FIELD_VALUE, "X: a\x08\r\n"),
    QF(BAD_FIELD_VALUE, "X: 0123456789abcdef0123456789abcdef\x1b[2J\r\n"),
    QF(BAD_FIELD_VALUE, "X: \x7f\r\n"),
    QF(BARE_CR, "X: a\rb: c\r\n"),
    QF(BARE_CR, "X: a\r\r\n"),
    QF(BARE_LF, "X: a\nTransfer-Encoding: chunked\r\n"),

    /* who is asked */
    Q(NO_HOST, "GET / HTTP/1.1\r\n\r\n"),
    Q(NO_HOST, "GET / HTTP/1.0\r\n\r\n"),
    Q(NO_HOST, "GET https://a.example/ HTTP/1.1\r\n\r\n"),
    QF(BAD_HOST, "Host: b.example\r\n"),
    QF(BAD_HOST, "host: a.example\r\n"),
    QHOST(BAD_HOST, ""),
    QHOST(BAD_HOST, "a.example."),
    QHOST(BAD_HOST, ".a"),
    QHOST(BAD_HOST, "a..b"),
    QHOST(BAD_HOST, "a b"),
    QHOST(BAD_HOST, "a,b"),
    QHOST(BAD_HOST, "a/b"),
    QHOST(BAD_HOST, "u@a"),
    QHOST(BAD_HOST, "a%2eb"),
    QHOST(BAD_HOST, "a:"),
    QHOST(BAD_HOST, "a:0"),
    QHOST(BAD_HOST, "a:0443"),
    QHOST(BAD_HOST, "a:65536"),
    QHOST(BAD_HOST, "a:+443"),
    QHOST(BAD_HOST, "a:443:443"),
    QHOST(BAD_HOST, ":443"),
    QHOST(BAD_HOST, "::1"),
    QHOST(BAD_HOST, "[]"),
    QHOST(BAD_HOST, "[::1"),
    QHOST(BAD_HOST, "[::1]x"),
    QHOST(BAD_HOST, "[fe80::1%25eth0]"),
    QHOST(BAD_HOST, "[v1.x]"),
    QHOST(BAD_HOST, "\xc3\xa4.example"),

    /* framing */
    QF(BAD_CONTENT_LENGTH, "Content-Length: 5\r\nContent-Length: 5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 5, 5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: +5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: -5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 0x5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 5 5\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 5.0\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 010\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length:\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: \"5\"\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 9223372036854775808\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: 18446744073709551617\r\n"),
    QF(BAD_CONTENT_LENGTH, "Content-Length: \xd9\xa5\r\n"),
    QF(LENGTH_AND_ENCODING, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    QF(LENGTH_AND_ENCODING, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
    QF(LENGTH_AND_ENCODING, "Transfer-Encoding: x\r\nContent-Length: 0\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: gzip, chunked\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: chunked, chunked\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: identity\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: xchunked\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: chunked;x=y\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: \"chunked\"\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: chunked,\r\n"),
    QF(BAD_TRANSFER_ENCODING, "Transfer-Encoding:\r\n"),
    QF(BAD_FIELD_VALUE, "Transfer-Encoding: \x0b"
                        "chunked\r\n"),
    Q(BAD_TRANSFER_ENCODING, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),

    /* what else has one meaning or none */
    QF(REPEATED_FIELD, "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
    QF(REPEATED_FIELD, "Content-Type: application/json\r\ncontent-type: text/plain\r\n"),
    QF(REPEATED_FIELD, "Idempotency-Key: a\r\nIdempotency-Key: a\r\n"),
    QF(REPEATED_FIELD, "X-Api-Key: a\r\nX-Api-Key: a\r\n"),
    QF(REPEATED_FIELD, "Turnpike-Token: a\r\nTurnpike-Token: b\r\n"),
    QF(BAD_EXPECT, "Expect: 200-ok\r\n"),
    QF(BAD_EXPECT, "Expect: 100-continue\r\nExpect: 100-continue\r\n"),
    QF(BAD_EXPECT, "Expect:\r\n"),
    QF(BAD_CONNECTION, "Connection: close, Authorization\r\n"),
    QF(BAD_CONNECTION, "Connection: host\r\n"),
    QF(BAD_CONNECTION, "Connection: keep-alive\r\nConnection: Content-Length\r\n"),
    QF(BAD_CONNECTION, "Connection: content-type\r\n"),
    QF(BAD_CONNECTION, "Connection: clo se\r\n"),
    QF(BAD_CONNECTION, "Connection: close;x\r\n"),
    QF(BAD_CONNECTION, "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,"
                       "A,B,C,D,E,F,G\r\n"),

    /* responses */
    R(BAD_START_LINE, "\r\nHTTP/1.1 200 OK\r\n\r\n"),
    R(BARE_LF, "HTTP/1.1 200 OK\n\n"),
    R(BAD_STATUS, "ICY 200 OK\r\n\r\n"),
    R(BAD_STATUS, "http/1.1 200 OK\r\n\r\n"),
    R(BAD_STATUS, "HTP/1.1 200 OK\r\n\r\n"),
    R(BAD_VERSION, "HTTP/2 200 OK\r\n\r\n"),
    R(BAD_VERSION, "HTTP/1.11 200 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1  200 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 20 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 0200 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 099 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 600 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 +20 OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 200\tOK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 200OK\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 200 O\0K\r\n\r\n"),
    R(BAD_STATUS, "HTTP/1.1 200 \x1bK\r\n\r\n"),
    R(BARE_CR, "HTTP/1.1 200 O\rK\r\n\r\n"),
    R(BAD_STATUS, "\x15\x03\x01"),
    RF(OBS_FOLD, "X: a\r\n b\r\n"),
    RF(BAD_CONTENT_LENGTH, "Content-Length: 5\r\nContent-Length: 5\r\n"),
    RF(BAD_CONTENT_LENGTH, "Content-Length: 5, 5\r\n"),
    RF(LENGTH_AND_ENCODING, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    RF(BAD_TRANSFER_ENCODING, "Transfer-Encoding: gzip\r\n"),
    RF(BAD_CONNECTION, "Connection: set-cookie\r\n"),
    R(BAD_TRANSFER_ENCODING, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
};

static void test_table(void **state)
{
    struct http_head *h = malloc(sizeof(*h));

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct refused *t = &refused[i];
        struct span s = span_of(t->bytes.p, t->bytes.n);
        struct result want = {HTTP_BAD, t->why, 0}, got = parse_whole(h, t->side, s);

        if (got.status != HTTP_BAD || got.why != t->why || got.used != 0)
            fail_result("table", s, want, got);
        check_every_prefix(t->side, s);
    }
    print_message("%zu hostile heads\n", sizeof(refused) / sizeof(refused[0]));
    free(h);
}

/* Bounds: the last size that passes, and the first that does not. */
static struct result parse_sized(size_t line, size_t section, unsigned fields)
{
    static const char host[] = "Host: a\r\n";
    size_t cap = line + section + 6 * fields + 64;
    char *buf = malloc(cap);
    struct outbuf o = outbuf_on(buf, cap);
    struct http_head *h = malloc(sizeof(*h));
    struct result r;
    size_t start;

    outbuf_lit(&o, "GET /");
    while (o.n < line - 9)
        outbuf_lit(&o, "x");
    outbuf_lit(&o, " HTTP/1.1\r\n");
    start = o.n;
    outbuf_put(&o, host, sizeof(host) - 1);
    for (unsigned i = 1; i < fields; i++)
        outbuf_lit(&o, "A: b\r\n");
    if (section) {
        outbuf_lit(&o, "B: ");
        while (o.n - start < section - 4)
            outbuf_lit(&o, "x");
        outbuf_lit(&o, "\r\n");
    }
    outbuf_lit(&o, "\r\n");
    assert_false(o.full);
    r = parse_whole(h, REQUEST, outbuf_span(&o));
    if (line + section < 2000)
        check_every_prefix(REQUEST, outbuf_span(&o));
    free(h);
    free(buf);
    return r;
}

static void assert_bounds(struct result got, enum http_error want)
{
    if (got.why != want || got.status != (want ? HTTP_BAD : HTTP_OK))
        fail_msg("expected %s, got %s", http_error_name(want), http_error_name(got.why));
}

static void test_bounds(void **state)
{
    (void)state;
    assert_bounds(parse_sized(HTTP_REQUEST_LINE_MAX, 0, 1), HTTP_ERR_NONE);
    assert_bounds(parse_sized(HTTP_REQUEST_LINE_MAX + 1, 0, 1), HTTP_ERR_LINE_TOO_LONG);
    assert_bounds(parse_sized(100, HTTP_HEAD_MAX, 1), HTTP_ERR_NONE);
    assert_bounds(parse_sized(100, HTTP_HEAD_MAX + 1, 1), HTTP_ERR_HEAD_TOO_LARGE);
    assert_bounds(parse_sized(HTTP_REQUEST_LINE_MAX, HTTP_HEAD_MAX, 1), HTTP_ERR_NONE);
    assert_bounds(parse_sized(HTTP_REQUEST_LINE_MAX, HTTP_HEAD_MAX + 1, 1),
                  HTTP_ERR_HEAD_TOO_LARGE);
    assert_bounds(parse_sized(100, 0, HTTP_FIELDS_MAX), HTTP_ERR_NONE);
    assert_bounds(parse_sized(100, 0, HTTP_FIELDS_MAX + 1), HTTP_ERR_TOO_MANY_FIELDS);
}

/* A head without end is given up as soon as it is too large, and not before. */
static void test_endless(void **state)
{
    size_t cap = HTTP_HEAD_MAX + HTTP_REQUEST_LINE_MAX, scanned = 0, used, n;
    struct http_head *h = malloc(sizeof(*h));
    char *buf = malloc(cap);
    enum http_error why;

    (void)state;
    memset(buf, 'A', cap);
    for (n = 1; http_parse_request(h, span_of(buf, n), &scanned, &used, &why) == HTTP_MORE; n++)
        ;
    assert_int_equal(why, HTTP_ERR_LINE_TOO_LONG);
    assert_int_equal(n, HTTP_REQUEST_LINE_MAX + 2);

    memcpy(buf, "GET / HTTP/1.1\r\n", 16);
    scanned = 0;
    for (n = 1; http_parse_request(h, span_of(buf, n), &scanned, &used, &why) == HTTP_MORE; n++)
        ;
    assert_int_equal(why, HTTP_ERR_HEAD_TOO_LARGE);
    assert_int_equal(n, 16 + HTTP_HEAD_MAX + 1);
    free(buf);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
