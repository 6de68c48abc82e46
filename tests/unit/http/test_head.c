/* Heads that are read: what is found in them. */
#include "http_test.h"

#include <strings.h>
#include <time.h>

static struct http_head head;
static char *kept; /* the bytes that `head` points into */

static struct http_head *accept_span(enum side side, struct span s)
{
    size_t scanned = 0;
    struct result r, want = {HTTP_OK, HTTP_ERR_NONE, s.n};

    free(kept);
    r = parse_copy(&head, side, s, &scanned, &kept);
    if (r.status != HTTP_OK || r.used != s.n)
        fail_result("accept", s, want, r);
    assert_int_equal(scanned, 0);
    check_every_prefix(side, s);
    return &head;
}

static struct http_head *accept(enum side side, const char *s)
{
    return accept_span(side, span_cstr(s));
}

static struct http_head *accept_target(const char *target)
{
    char buf[4096];
    int n = snprintf(buf, sizeof(buf), "GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n", target);

    return accept_span(REQUEST, span_of(buf, (size_t)n));
}

static void test_request(void **state)
{
    struct http_head *h;

    (void)state;
    h = accept(REQUEST, "\r\n\r\nPOST /v1/x?a=1 HTTP/1.1\r\nHost: Api.Example:8443\r\n"
                        "Content-Length: 12\r\nX-Empty:\r\nX-Odd: \t a\tb\xff \t\r\n\r\n");
    assert_span("method", h->method, "POST");
    assert_span("target", h->target, "/v1/x?a=1");
    assert_span("path", h->path, "/v1/x");
    assert_span("query", h->query, "a=1");
    assert_true(h->has_query);
    assert_span("host", h->host, "Api.Example");
    assert_int_equal(h->port, 8443);
    assert_int_equal(h->minor, 1);
    assert_int_equal(h->framing, HTTP_BODY_LENGTH);
    assert_int_equal(h->content_length, 12);
    assert_true(h->keep_alive);
    assert_false(h->expect_continue);
    assert_false(h->upgrade);
    assert_int_equal(h->nfields, 4);
    assert_span("empty value", http_field_named(h, SPAN_LIT("x-empty"))->value, "");
    assert_span("trimmed value", http_field_named(h, SPAN_LIT("X-ODD"))->value, "a\tb\xff");
    assert_null(http_field_named(h, SPAN_LIT("x-od")));
    assert_null(http_field(h, HTTP_F_EXPECT));
    assert_int_equal(http_field_count(h, HTTP_F_HOST), 1);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *value, *host;
        unsigned port;
    } hosts[] = {
        {"a", "a", 0},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"[::1]", "[::1]", 0},
        {"[2001:db8::1.2.3.4]:65535", "[2001:db8::1.2.3.4]", 65535},
        {"x_y-1.example", "x_y-1.example", 0},
    };
    char buf[200];

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        snprintf(buf, sizeof(buf), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i].value);
        accept(REQUEST, buf);
        assert_span(hosts[i].value, head.host, hosts[i].host);
        assert_int_equal(head.port, hosts[i].port);
    }
}

struct target {
    const char *in, *path, *query; /* query NULL: none */
};

static const struct target targets[] = {
    {"/", "/", NULL},
    {"/?", "/", ""},
    {"//", "/", NULL},
    {"///a///b//", "/a/b/", NULL},
    {"/.", "/", NULL},
    {"/./", "/", NULL},
    {"/a/.", "/a/", NULL},
    {"/a/./b", "/a/b", NULL},
    {"/a/..", "/", NULL},
    {"/a/b/..", "/a/", NULL},
    {"/a/b/../c", "/a/c", NULL},
    {"/a/b/../../c/", "/c/", NULL},
    {"/a/%2e%2E/c", "/c", NULL},
    {"/a/.%2e/c", "/c", NULL},
    {"/a/%2e/c", "/a/c", NULL},
    {"/a/.../c", "/a/.../c", NULL},
    {"/.well-known/x", "/.well-known/x", NULL},
    {"/a/..b/.c/d..", "/a/..b/.c/d..", NULL},
    {"/%61%7e%2D%5f%30", "/a~-_0", NULL},
    {"/a%3ab%40", "/a%3Ab%40", NULL},
    {"/%c3%a4%E2%82%ac%f0%9f%98%80", "/%C3%A4%E2%82%AC%F0%9F%98%80", NULL},
    {"/100%25", "/100%25", NULL},
    {"/100%25xy", "/100%25xy", NULL},
    {"/a%20b+c", "/a%20b+c", NULL},
    {"/a:b@c!$&'()*+,=~", "/a:b@c!$&'()*+,=~", NULL},
    {"/a?b=%2f%5c;x=1&c[]=[\\]{}|^`'", "/a", "b=%2F%5C;x=1&c[]=[\\]{}|^`'"},
    {"/a?b?c=//../d", "/a", "b?c=//../d"},
    {"/a?u=https%3a%2f%2fb%252fc", "/a", "u=https%3A%2F%2Fb%252fc"},
    {"/%61?x=%c3%a4%0a%41", "/a", "x=%C3%A4%0A%41"},
    {"https://a.example", "/", NULL},
    {"https://a.example?x", "/", "x"},
    {"HTTPS://A.EXAMPLE:443/b/../c?x", "/c", "x"},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        const struct target *t = &targets[i];

        accept_target(t->in);
        assert_span(t->in, head.path, t->path);
        assert_int_equal(head.has_query, t->query != NULL);
        assert_span(t->in, head.query, t->query ? t->query : "");
        accept_target(t->path); /* normal form is a fixed point */
        assert_span(t->in, head.path, t->path);
    }
}

static void test_connection(void **state)
{
    static const struct {
        const char *version, *fields;
        bool keep_alive, upgrade;
    } cases[] = {
        {"1.1", "", true, false},
        {"1.0", "", false, false},
        {"1.1", "Connection: close\r\n", false, false},
        {"1.1", "Connection: Keep-Alive, CLOSE\r\n", false, false},
        {"1.1", "Connection: , ,keep-alive,\r\n", true, false},
        {"1.0", "Connection: keep-alive\r\n", true, false},
        {"1.0", "Connection: x\r\nConnection: keep-alive\r\n", true, false},
        {"1.0", "Proxy-Connection: keep-alive\r\n", false, false},
        {"1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true, true},
        {"1.1", "Upgrade: websocket\r\n", true, false},
        {"1.1", "Connection: upgrade\r\n", true, false},
        {"1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false, false},
    };
    char buf[300];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(buf, sizeof(buf), "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", cases[i].version,
                 cases[i].fields);
        accept(REQUEST, buf);
        if (head.keep_alive != cases[i].keep_alive || head.upgrade != cases[i].upgrade)
            fail_msg("HTTP/%s \"%s\": keep_alive %d, upgrade %d", cases[i].version, cases[i].fields,
                     head.keep_alive, head.upgrade);
    }
}

static void test_hop_by_hop(void **state)
{
    static const char *const hops[] = {
        "Connection",          "Keep-Alive", "TE",      "Proxy-Connection",
        "Proxy-Authorization", "Trailer",    "Upgrade", "X-Named"};
    struct http_head *h;
    unsigned n = 0;

    (void)state;
    h = accept(REQUEST, "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
                        "Trailer: x\r\nUpgrade: h2c\r\nProxy-Connection: close\r\nX-Kept: a\r\n"
                        "Proxy-Authorization: x\r\nConnection: x-named, TE\r\nX-Named: 1\r\n"
                        "Authorization: y\r\n\r\n");
    for (unsigned i = 0; i < h->nfields; i++) {
        bool want = false;
        for (size_t j = 0; j < sizeof(hops) / sizeof(hops[0]); j++)
            want |= span_ieq(h->fields[i].name, span_cstr(hops[j]));
        if (h->fields[i].hop != want)
            fail_msg("%.*s: hop is %d", SPAN_ARG(h->fields[i].name), h->fields[i].hop);
        n += want;
    }
    assert_int_equal(n, 8);
    assert_null(http_field_named(h, SPAN_LIT("X-Named")));
    assert_non_null(http_field_named(h, SPAN_LIT("x-kept")));
    assert_non_null(http_field(h, HTTP_F_TE));
}

static void test_expect(void **state)
{
    (void)state;
    accept(REQUEST, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                    "Content-Length: 1\r\n\r\n");
    assert_true(head.expect_continue);
    accept(REQUEST, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Transfer-Encoding: Chunked\r\n\r\n");
    assert_true(head.expect_continue);
    assert_int_equal(head.framing, HTTP_BODY_CHUNKED);
    accept(REQUEST, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_false(head.expect_continue);
    accept(REQUEST, "PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Content-Length: 1\r\n\r\n");
    assert_false(head.expect_continue);
}

static void test_every_known_field(void **state)
{
    static const char *const names[] = {
#define X(name, text) text,
        HTTP_FIELD_IDS(X)
#undef X
    };
    char buf[400];

    (void)state;
    for (unsigned id = 1; id < HTTP_FIELD_COUNT; id++) {
        char upper[64];
        size_t n = strlen(names[id]);

        for (size_t i = 0; i <= n; i++)
            upper[i] = (char)(names[id][i] >= 'a' ? names[id][i] - 0x20 : names[id][i]);
        snprintf(buf, sizeof(buf), "HTTP/1.1 304 x\r\n%s:%s\r\nx%s: b\r\n%.*s: c\r\n\r\n", upper,
                 id == HTTP_F_TRANSFER_ENCODING ? "chunked" : "7", names[id], (int)n - 1,
                 names[id]);
        accept(RESPONSE, buf);
        if (head.fields[0].id != id || head.fields[1].id || head.fields[2].id)
            fail_msg("%s: got ids %d, %d, %d", upper, head.fields[0].id, head.fields[1].id,
                     head.fields[2].id);
    }
}

static void test_responses(void **state)
{
    static const struct {
        enum side side;
        const char *text;
        enum http_framing framing;
        uint64_t length;
        bool keep_alive;
    } cases[] = {
        {RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_LENGTH, 5, true},
        {RESPONSE, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", HTTP_BODY_LENGTH, 0, true},
        {RESPONSE, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_CHUNKED, 0,
         true},
        {RESPONSE, "HTTP/1.1 200 All right\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
        {RESPONSE, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0,
         false},
        {RESPONSE, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
         HTTP_BODY_LENGTH, 1, true},
        {RESPONSE, "HTTP/1.1 100 Continue\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {RESPONSE, "HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n", HTTP_BODY_NONE, 0, false},
        {RESPONSE, "HTTP/1.1 204 No\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {RESPONSE, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {RESPONSE, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_NONE, 0,
         false},
        {RESPONSE, "HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {HEAD_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {HEAD_RESPONSE, "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {HEAD_RESPONSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_NONE, 0,
         true},
        {RESPONSE, "HTTP/1.1 599 \xe4\t\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
         HTTP_BODY_LENGTH, 1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        accept(cases[i].side, cases[i].text);
        if (head.framing != cases[i].framing || head.content_length != cases[i].length ||
            head.keep_alive != cases[i].keep_alive)
            fail_msg("%s: framing %d, length %llu, keep_alive %d", cases[i].text, head.framing,
                     (unsigned long long)head.content_length, head.keep_alive);
    }
    assert_int_equal(head.status, 599);
    assert_span("reason", head.reason, "\xe4\t");
}

/* Two requests in one buffer: the second is untouched by the first. */
static void test_pipelined(void **state)
{
    const struct span two = SPAN_LIT("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n"
                                     "Host: b\r\n\r\n");
    size_t scanned = 0, used;
    enum http_error why;

    (void)state;
    assert_int_equal(http_parse_request(&head, two, &scanned, &used, &why), HTTP_OK);
    assert_span("first", head.path, "/1");
    assert_int_equal(used, two.n / 2);
    assert_int_equal(http_parse_request(&head, span_from(two, used), &scanned, &used, &why),
                     HTTP_OK);
    assert_span("second", head.path, "/2");
    assert_int_equal(used, two.n / 2);
}

static void test_names(void **state)
{
    static const char *const upper[] = {
#define X(name, text) #name,
        HTTP_ERRORS(X)
#undef X
    };

    (void)state;
    for (unsigned e = 0; e < HTTP_ERR_COUNT; e++) {
        const char *name = http_error_name((enum http_error)e);
        assert_int_equal(strcasecmp(name, upper[e]), 0);
        for (const char *c = name; *c; c++)
            assert_true(*c == '_' || (*c >= 'a' && *c <= 'z'));
        assert_true(e == 0 || strlen(http_error_text((enum http_error)e)) > 5);
    }
    assert_string_equal(http_error_name(HTTP_ERR_BAD_CHUNK), "bad_chunk");
    assert_string_equal(http_reason(404), "Not Found");
    assert_string_equal(http_reason(599), "");
    assert_string_equal(http_reason(1000), "");
    assert_true(http_method_idempotent(SPAN_LIT("DELETE")));
    assert_false(http_method_idempotent(SPAN_LIT("POST")));
    assert_false(http_method_idempotent(SPAN_LIT("get")));
    assert_true(http_media_is(SPAN_LIT("Application/JSON ; charset=x"), "application/json"));
    assert_false(http_media_is(SPAN_LIT("application/jsonp"), "application/json"));
}

static void test_percent_decode(void **state)
{
    char buf[16];
    struct outbuf o = outbuf_on(buf, sizeof(buf));

    (void)state;
    assert_true(http_percent_decode(&o, SPAN_LIT("a%3Ab%c3%A4+")));
    assert_span("decoded", outbuf_span(&o), "a:b\xc3\xa4+");
    assert_false(http_percent_decode(&o, SPAN_LIT("a%3")));
    assert_false(http_percent_decode(&o, SPAN_LIT("a%3g")));
    assert_false(http_percent_decode(&o, SPAN_LIT("0123456789abcdef")));
    assert_int_equal(o.n, 6);
}

static const char typical[] =
    "POST /v1/charges/ch_3MmlLrLkdIwHu7ix0snN0B15/capture?expand[]=customer HTTP/1.1\r\n"
    "Host: api.stripe.com\r\nUser-Agent: Stripe/v1 PythonBindings/5.4.0\r\n"
    "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJyZXBvOmFjbWUvYXBp"
    "OnJlZjpyZWZzL2hlYWRzL21haW4iLCJhdWQiOiJ0dXJucGlrZSJ9.c2lnbmF0dXJlc2lnbmF0dXJlc2ln\r\n"
    "Idempotency-Key: 6d5f3a3c-45a2-4b4a-9d0f-6bb7c1d6f9a7\r\n"
    "Stripe-Version: 2022-11-15\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: 27\r\n\r\n";

static double parse_many(unsigned rounds, size_t *used)
{
    struct timespec a, b;
    enum http_error why;

    clock_gettime(CLOCK_MONOTONIC, &a);
    for (unsigned i = 0; i < rounds; i++) {
        size_t scanned = 0;
        assert_true(http_parse_request(&head, SPAN_LIT(typical), &scanned, used, &why) == HTTP_OK);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / rounds;
}

/* Printed, not asserted: how long a usual head takes, on a machine that may be busy. */
static void test_speed(void **state)
{
    double best = 1e9;
    size_t used = 0;

    (void)state;
    for (int batch = 0; batch < 100; batch++) {
        double ns = parse_many(1000, &used);
        best = ns < best ? ns : best;
    }
    print_message("a head of %zu bytes, 10 fields: %.0f ns, %.2f ns a byte\n", used, best,
                  best / (double)used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_targets),        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_hop_by_hop),     cmocka_unit_test(test_expect),
        cmocka_unit_test(test_responses),      cmocka_unit_test(test_every_known_field),
        cmocka_unit_test(test_pipelined),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_percent_decode), cmocka_unit_test(test_speed),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    free(kept);
    return rc;
}
