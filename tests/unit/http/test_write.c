/* What is written is read back as the same, and what could not be is not written. */
#include "http_test.h"

#define ROUNDS 3000

static const char *const texts[] = {
    "a",     "application/json", "x y\tz", "\xc3\xa4", "",
    "100-x", "\"q\\\"\"",        "keep",   ":::",      "0123456789abcdef0123456789abcdef"};
static const char *const paths[] = {"/", "/v1/x", "/a%20b/", "/%C3%A4/~", "/a:b@c", "/.well-known"};
static const char *const queries[] = {"", "a=1", "a[]=%2F&b", "?x;y", "%0A"};

#define PICK(list, r) span_cstr((list)[test_random(r) % (sizeof(list) / sizeof((list)[0]))])

static void test_round_trip(void **state)
{
    struct http_head *h = malloc(sizeof(*h));
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char buf[8192], name[32];
        struct outbuf o = outbuf_on(buf, sizeof(buf));
        struct span path = PICK(paths, &seed), query = PICK(queries, &seed), values[20];
        bool has_query = query.n || test_random(&seed) % 2;
        unsigned n = (unsigned)(test_random(&seed) % 20);
        size_t scanned = 0, used;
        enum http_error why;

        http_write_request_line(&o, SPAN_LIT("M-SEARCH"), path, has_query, query);
        http_write_field(&o, SPAN_LIT("Host"), SPAN_LIT("a.example:1"));
        for (unsigned i = 0; i < n; i++) {
            int len = snprintf(name, sizeof(name), "X-%u", i);
            values[i] = PICK(texts, &seed);
            http_write_field(&o, span_of(name, (size_t)len), values[i]);
        }
        outbuf_lit(&o, "\r\n");
        assert_false(o.full);
        if (http_parse_request(h, outbuf_span(&o), &scanned, &used, &why) != HTTP_OK)
            fail_msg("round %d: %s: %.*s", round, http_error_name(why), SPAN_ARG(outbuf_span(&o)));
        assert_int_equal(used, o.n);
        assert_true(span_eq(h->path, path) && span_eq(h->query, query));
        assert_int_equal(h->has_query, has_query);
        assert_int_equal(h->nfields, n + 1);
        for (unsigned i = 0; i < n; i++)
            assert_true(span_eq(h->fields[i + 1].value, values[i]));
    }
    free(h);
}

static void test_status_line(void **state)
{
    struct http_head *h = malloc(sizeof(*h));
    char buf[100];

    (void)state;
    for (unsigned status = 0; status < 1100; status++) {
        struct outbuf o = outbuf_on(buf, sizeof(buf));
        struct result r;

        http_write_status_line(&o, status, span_cstr(http_reason(status)));
        assert_int_equal(o.full, status < 100 || status > 599);
        if (o.full)
            continue;
        outbuf_lit(&o, "\r\n");
        r = parse_whole(h, RESPONSE, outbuf_span(&o));
        assert_int_equal(r.status, HTTP_OK);
        assert_int_equal(h->status, status);
    }
    free(h);
}

static void refuse_field(struct span name, struct span value)
{
    char buf[100];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    http_write_field(&o, name, value);
    assert_true(o.full);
    assert_int_equal(o.n, 0);
}

static void refuse_line(struct span method, struct span path, struct span query)
{
    char buf[100];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    http_write_request_line(&o, method, path, true, query);
    assert_true(o.full);
    assert_int_equal(o.n, 0);
}

static void test_injection(void **state)
{
    char buf[100];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    (void)state;
    refuse_field(SPAN_LIT("X"), SPAN_LIT("a\r\nY: b"));
    refuse_field(SPAN_LIT("X"), SPAN_LIT("a\nb"));
    refuse_field(SPAN_LIT("X"), SPAN_LIT("a\0b"));
    refuse_field(SPAN_LIT("X"), SPAN_LIT("0123456789abcdef\x7f"));
    refuse_field(SPAN_LIT("X:"), SPAN_LIT("b"));
    refuse_field(SPAN_LIT("X\r\nY"), SPAN_LIT("b"));
    refuse_field(SPAN_LIT(""), SPAN_LIT("b"));
    refuse_line(SPAN_LIT("GET /x"), SPAN_LIT("/"), SPAN_LIT(""));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("/ HTTP/1.1\r\nX: "), SPAN_LIT(""));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("x"), SPAN_LIT(""));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT(""), SPAN_LIT(""));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("/?"), SPAN_LIT(""));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("/"), SPAN_LIT("a b"));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("/"), SPAN_LIT("a#b"));
    refuse_line(SPAN_LIT("GET"), SPAN_LIT("/\xc3\xa4"), SPAN_LIT(""));
    http_write_status_line(&o, 200, SPAN_LIT("a\r\nb"));
    assert_true(o.full);
}

static void test_chunks(void **state)
{
    static const size_t sizes[] = {1, 9, 15, 16, 255, 4096, 65535};
    struct http_head *h = malloc(sizeof(*h));
    char *buf = malloc(200000), *data = malloc(65536);
    struct outbuf o = outbuf_on(buf, 200000);
    struct http_body b;
    size_t total = 0, used;
    enum http_error why;
    struct span in, run;

    (void)state;
    memset(data, 'd', 65536);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t before = o.n;
        http_write_chunk_start(&o, sizes[i]);
        outbuf_put(&o, data, sizes[i]);
        http_write_chunk_end(&o);
        assert_true(o.n - before <= sizes[i] + HTTP_CHUNK_OVERHEAD);
        total += sizes[i];
    }
    http_write_last_chunk(&o);
    assert_false(o.full);
    h->framing = HTTP_BODY_CHUNKED;
    http_body_init(&b, h);
    for (in = outbuf_span(&o); !b.done; in = span_from(in, used))
        assert_int_equal(http_body_next(&b, in, &run, &used, &why), HTTP_OK);
    assert_int_equal(in.n, 0);
    assert_int_equal(b.total, total);

    o.n = 0;
    http_write_chunk_start(&o, SIZE_MAX);
    assert_int_equal(o.n, 18);
    http_write_chunk_start(&o, 0);
    assert_true(o.full);
    free(data);
    free(buf);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_status_line),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
