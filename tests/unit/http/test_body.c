/* The body decoder: every way to cut the input gives the same output. */
#include "http_test.h"

struct outcome {
    enum http_status status;
    enum http_error why;
    size_t used;
    char data[512];
    size_t n;
};

static struct http_body start(enum http_framing framing, uint64_t length)
{
    struct http_head *h = malloc(sizeof(*h));
    struct http_body b;

    h->framing = framing;
    h->content_length = length;
    http_body_init(&b, h);
    free(h);
    return b;
}

/* Feeds one piece to its end; checks what the declaration promises of each call. */
static void feed(struct http_body *b, struct span piece, struct outcome *out)
{
    char *copy = malloc(piece.n ? piece.n : 1);
    struct span in = span_of(copy, piece.n), data;
    size_t used;

    if (piece.n)
        memcpy(copy, piece.p, piece.n);
    do {
        out->status = http_body_next(b, in, &data, &used, &out->why);
        if (out->status == HTTP_BAD)
            break;
        assert_true(used <= in.n);
        assert_true(data.n == 0 || (data.p >= in.p && data.p + data.n <= in.p + used));
        assert_true(out->n + data.n <= sizeof(out->data));
        memcpy(out->data + out->n, data.p, data.n);
        out->n += data.n;
        out->used += used;
        in = span_from(in, used);
        assert_true(out->status != HTTP_MORE || (in.n == 0 && !b->done));
    } while (used > 0 && !b->done);
    free(copy);
}

static struct outcome decode(enum http_framing f, uint64_t len, struct span in, size_t piece)
{
    struct outcome out = {.status = HTTP_MORE};
    struct http_body b = start(f, len);

    if (in.n == 0)
        feed(&b, in, &out);
    for (size_t at = 0; at < in.n && out.status != HTTP_BAD && !b.done; at += piece)
        feed(&b, span_of(in.p + at, piece < in.n - at ? piece : in.n - at), &out);
    if (out.status != HTTP_BAD)
        assert_int_equal(b.total, out.n);
    return out;
}

static void assert_same(const char *what, const struct outcome *a, const struct outcome *b)
{
    bool used_same = a->status == HTTP_BAD || a->used == b->used;

    /* What was given out before an error may differ with the cuts; that there is one may not. */
    if (a->status != b->status || a->why != b->why || !used_same ||
        (a->status != HTTP_BAD && (a->n != b->n || memcmp(a->data, b->data, a->n) != 0)))
        fail_msg("%s: status %d/%d why %s/%s used %zu/%zu n %zu/%zu", what, a->status, b->status,
                 http_error_name(a->why), http_error_name(b->why), a->used, b->used, a->n, b->n);
}

struct chunked {
    enum http_status status;
    enum http_error why;
    struct {
        const char *p;
        size_t n;
    } in;
    const char *data;
    size_t rest; /* bytes after the body */
};

#define OK(in, data, rest)                                                                         \
    {                                                                                              \
        HTTP_OK, HTTP_ERR_NONE, M(in), data, rest                                                  \
    }
#define MORE(in, data)                                                                             \
    {                                                                                              \
        HTTP_MORE, HTTP_ERR_NONE, M(in), data, 0                                                   \
    }
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct chunked cases[] = {
    OK("0\r\n\r\n", "", 0),
    OK("000\r\n\r\n", "", 0),
    OK("5\r\nhello\r\n0\r\n\r\nGET", "hello", 3),
    OK("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!", 0),
    OK("A\r\n0123456789\r\na;x=\"y z\";q\r\nabcdefghij\r\n0;z\r\n\r\n", "0123456789abcdefghij", 0),
    OK("0000000000000003\r\na\r\n\r\n0\r\n\r\n", "a\r\n", 0),
    OK("3\r\n0\r\n\r\n0\r\nA: b\r\nC:\r\nD: \t x\xff\r\n\r\n", "0\r\n", 0),
    OK("1;" X64 X64 X64 X64 "\r\nx\r\n1;" X64 "\r\ny\r\n0\r\n\r\n", "xy", 0),
    MORE("", ""),
    MORE("5\r\nhel", "hel"),
    MORE("5\r\nhello", "hello"),
    MORE("5\r\nhello\r\n0\r\n", "hello"),
    MORE("5\r\nhello\r\n0\r\n\r", "hello"),
    MORE("0\r\nA: b\r\n", ""),
    MORE("7fffffffffffffff\r\nab", "ab"),
};

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct chunked *c = &cases[i];
        struct span in = span_of(c->in.p, c->in.n);
        struct outcome want = {.status = c->status, .why = c->why, .used = in.n - c->rest};

        if (c->data)
            memcpy(want.data, c->data, want.n = strlen(c->data));
        for (size_t piece = in.n ? in.n : 1; piece > 0; piece--) {
            struct outcome got = decode(HTTP_BODY_CHUNKED, 0, in, piece);
            assert_same(c->in.p, &want, &got);
        }
    }
}

/* Two cuts at every pair of places. */
static void test_two_cuts(void **state)
{
    const struct span in =
        SPAN_LIT("5;e\r\nhello\r\nb\r\n\r\n0\r\n\r\n0\r\nx\r\n0\r\nT: v\r\n\r\n");
    struct outcome want = decode(HTTP_BODY_CHUNKED, 0, in, in.n);

    (void)state;
    assert_int_equal(want.status, HTTP_OK);
    assert_int_equal(want.n, 16);
    for (size_t a = 0; a <= in.n; a++)
        for (size_t b = a; b <= in.n; b++) {
            struct outcome got = {.status = HTTP_MORE};
            struct http_body body = start(HTTP_BODY_CHUNKED, 0);

            feed(&body, span_of(in.p, a), &got);
            feed(&body, span_of(in.p + a, b - a), &got);
            feed(&body, span_from(in, b), &got);
            assert_same("two cuts", &want, &got);
        }
}

static void test_trailer_bound(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        size_t n = 3 + HTTP_TRAILER_MAX + extra, used;
        char *in = malloc(n);
        struct http_body b = start(HTTP_BODY_CHUNKED, 0);
        enum http_error why;
        struct span data;

        memset(in, 'x', n);
        memcpy(in, "0\r\nA:", 5);
        memcpy(in + n - 4, "\r\n\r\n", 4);
        assert_int_equal(http_body_next(&b, span_of(in, n), &data, &used, &why),
                         extra ? HTTP_BAD : HTTP_OK);
        assert_int_equal(why, extra ? HTTP_ERR_BAD_TRAILER : HTTP_ERR_NONE);
        free(in);
    }
}

static void test_length(void **state)
{
    struct outcome o;

    (void)state;
    for (size_t piece = 1; piece <= 8; piece++) {
        o = decode(HTTP_BODY_LENGTH, 5, SPAN_LIT("helloGET"), piece);
        assert_int_equal(o.status, HTTP_OK);
        assert_int_equal(o.used, 5);
        assert_memory_equal(o.data, "hello", 5);
        o = decode(HTTP_BODY_LENGTH, 9, SPAN_LIT("helloGET"), piece);
        assert_int_equal(o.status, HTTP_MORE);
        assert_int_equal(o.used, 8);
        o = decode(HTTP_BODY_UNTIL_CLOSE, 0, SPAN_LIT("helloGET"), piece);
        assert_int_equal(o.status, HTTP_MORE);
        assert_int_equal(o.n, 8);
    }
    o = decode(HTTP_BODY_NONE, 0, SPAN_LIT("GET"), 3);
    assert_int_equal(o.used, 0);
    o = decode(HTTP_BODY_LENGTH, 0, SPAN_LIT("GET"), 3);
    assert_int_equal(o.used, 0);
}

static void test_eof(void **state)
{
    struct http_body b = start(HTTP_BODY_UNTIL_CLOSE, 0);
    enum http_error why;

    (void)state;
    assert_int_equal(http_body_eof(&b, &why), HTTP_OK);
    assert_true(b.done);
    b = start(HTTP_BODY_LENGTH, 1);
    assert_int_equal(http_body_eof(&b, &why), HTTP_BAD);
    assert_int_equal(why, HTTP_ERR_TRUNCATED);
    b = start(HTTP_BODY_CHUNKED, 0);
    assert_int_equal(http_body_eof(&b, &why), HTTP_BAD);
    b = start(HTTP_BODY_NONE, 0);
    assert_int_equal(http_body_eof(&b, &why), HTTP_OK);
    assert_int_equal(why, HTTP_ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),       cmocka_unit_test(test_two_cuts),
        cmocka_unit_test(test_trailer_bound), cmocka_unit_test(test_length),
        cmocka_unit_test(test_eof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
