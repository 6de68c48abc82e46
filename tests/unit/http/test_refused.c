/* Messages that must be refused, each with its cause, whole and byte by byte; bounds. */
#include "http_test.h"

/* ---------------------------------------------------------------- the table's file */

#define MESSAGE_MAX 131072

struct row {
    char cause[32], kind[16];
    char bytes[MESSAGE_MAX];
    size_t n;
    unsigned line;
};

static void put(struct row *r, char c)
{
    if (r->n == MESSAGE_MAX)
        fail_msg("hostile.txt:%u: the message is too long", r->line);
    r->bytes[r->n++] = c;
}

static const char *unescape(struct row *r, const char *p);

/* \{N*TEXT}; TEXT may hold another one. */
static const char *repeat(struct row *r, const char *p)
{
    char *text;
    unsigned long times = strtoul(p, &text, 10);
    size_t from = r->n, n;

    for (p = text + 1; *p && *p != '}';)
        p = unescape(r, p);
    n = r->n - from;
    if (*text != '*' || *p != '}' || times == 0)
        fail_msg("hostile.txt:%u: malformed repetition", r->line);
    for (unsigned long i = 1; i < times; i++)
        for (size_t k = 0; k < n; k++)
            put(r, r->bytes[from + k]);
    return p + 1;
}

static const char *unescape(struct row *r, const char *p)
{
    static const char from[] = "rnt\\\"", to[] = "\r\n\t\\\"";
    const char *at;

    if (*p != '\\') {
        put(r, *p);
        return p + 1;
    }
    if (p[1] == '{')
        return repeat(r, p + 2);
    if (p[1] == 'x' && p[2] && p[3]) {
        char hex[3] = {p[2], p[3], 0};
        put(r, (char)strtoul(hex, NULL, 16));
        return p + 4;
    }
    at = p[1] ? strchr(from, p[1]) : NULL;
    if (!at)
        fail_msg("hostile.txt:%u: unknown escape", r->line);
    put(r, to[at - from]);
    return p + 2;
}

/* The next row. False at the end of the file. */
static bool next_row(FILE *f, struct row *r)
{
    static char line[8192];
    int at = 0;

    do {
        if (!fgets(line, sizeof(line), f))
            return false;
        r->line++;
    } while (line[0] == '#' || line[0] == '\n');
    if (sscanf(line, "%31s %15s \"%n", r->cause, r->kind, &at) != 2 || at == 0)
        fail_msg("hostile.txt:%u: expected cause, kind and bytes", r->line);
    r->n = 0;
    for (const char *p = line + at; strcmp(p, "\"\n") != 0;) {
        if (*p == 0)
            fail_msg("hostile.txt:%u: no quote at the end", r->line);
        p = unescape(r, p);
    }
    return true;
}

/* ------------------------------------------------------------------------- heads */

static const struct kind {
    const char *name, *before, *after;
    enum side side;
} kinds[] = {
    {"request", "", "", REQUEST},
    {"field", "POST /x HTTP/1.1\r\nHost: a.example\r\n", "\r\n", REQUEST},
    {"target", "GET ", " HTTP/1.1\r\nHost: a.example\r\n\r\n", REQUEST},
    {"host", "GET / HTTP/1.1\r\nHost: ", "\r\n\r\n", REQUEST},
    {"answer", "", "", RESPONSE},
    {"answer-field", "HTTP/1.1 200 OK\r\n", "\r\n", RESPONSE},
};

static void check_head(const struct row *r, const struct kind *k)
{
    static char buf[MESSAGE_MAX + 128];
    struct outbuf o = outbuf_on(buf, sizeof(buf));
    struct http_head *h = malloc(sizeof(*h));
    struct result got;

    outbuf_cstr(&o, k->before);
    outbuf_put(&o, r->bytes, r->n);
    outbuf_cstr(&o, k->after);
    got = parse_whole(h, k->side, outbuf_span(&o));
    if (got.status != HTTP_BAD || strcmp(http_error_name(got.why), r->cause) != 0 || got.used != 0)
        fail_msg("hostile.txt:%u: expected BAD %s, got %s %s, used %zu", r->line, r->cause,
                 status_name(got.status), http_error_name(got.why), got.used);
    if (o.n < 2000)
        check_every_prefix(k->side, outbuf_span(&o));
    free(h);
}

/* ------------------------------------------------------------------------ chunks */

static enum http_error decode(struct span in, size_t piece)
{
    struct http_head *h = malloc(sizeof(*h));
    enum http_error why = HTTP_ERR_NONE;
    struct http_body b;
    struct span data;
    size_t used;

    h->framing = HTTP_BODY_CHUNKED;
    http_body_init(&b, h);
    free(h);
    for (size_t at = 0; at < in.n && !b.done; at += used) {
        size_t n = piece < in.n - at ? piece : in.n - at;
        char *copy = malloc(n);
        enum http_status st;

        memcpy(copy, in.p + at, n);
        st = http_body_next(&b, span_of(copy, n), &data, &used, &why);
        free(copy);
        if (st == HTTP_BAD)
            return why;
    }
    return HTTP_ERR_NONE;
}

static void check_chunks(const struct row *r)
{
    struct span in = span_of(r->bytes, r->n);

    for (size_t piece = r->n; piece > 0; piece = piece > 64 ? piece / 2 : piece - 1) {
        enum http_error why = decode(in, piece);

        if (strcmp(http_error_name(why), r->cause) != 0)
            fail_msg("hostile.txt:%u: in pieces of %zu: expected %s, got %s", r->line, piece,
                     r->cause, http_error_name(why));
    }
}

static void check_row(const struct row *r)
{
    if (strcmp(r->kind, "chunks") == 0) {
        check_chunks(r);
        return;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(r->kind, kinds[i].name) == 0) {
            check_head(r, &kinds[i]);
            return;
        }
    fail_msg("hostile.txt:%u: no such kind: %s", r->line, r->kind);
}

static const char *table; /* its path: the program's argument */

static void test_table(void **state)
{
    FILE *f = fopen(table, "r");
    struct row *r = calloc(1, sizeof(*r));
    unsigned rows = 0;

    (void)state;
    if (!f)
        fail_msg("%s cannot be read", table);
    for (; next_row(f, r); rows++)
        check_row(r);
    print_message("%u hostile messages\n", rows);
    assert_true(rows >= 250);
    free(r);
    fclose(f);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_endless),
    };

    table = argc > 1 ? argv[1] : "tests/http/hostile.txt";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
