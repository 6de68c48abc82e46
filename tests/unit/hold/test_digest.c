/* The digest: equal for what cannot change a call's meaning, different for one changed byte. */
#include "hold_test.h"

struct call {
    struct hold_subject s;
    struct http_head head;
    struct rules_connection connection;
    struct span accounts[2];
};

static struct call *call_new(void)
{
    struct call *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    c->accounts[0] = SPAN_LIT("Stripe-Account");
    c->accounts[1] = SPAN_LIT("X-Tenant");
    c->connection.account_headers = c->accounts;
    c->connection.naccount_headers = 2;
    c->head.nfields = 3;
    c->head.fields[0] =
        (struct http_field){.name = SPAN_LIT("stripe-account"), .value = SPAN_LIT("acct_1")};
    c->head.fields[1] =
        (struct http_field){.name = SPAN_LIT("User-Agent"), .value = SPAN_LIT("curl")};
    c->head.fields[2] = (struct http_field){.name = SPAN_LIT("X-Tenant"), .value = SPAN_LIT("t")};
    c->s = (struct hold_subject){
        .caller = SPAN_LIT("acme/shop@main"),
        .connection = SPAN_LIT("payments"),
        .function = SPAN_LIT("payments.refund.create"),
        .method = SPAN_LIT("POST"),
        .path = SPAN_LIT("/v1/refunds"),
        .query = SPAN_LIT("expand=charge&limit=1"),
        .body_type = BODY_JSON,
        .body = SPAN_LIT("{\"amount\": 100, \"to\": [\"a\", {\"b\": null}], \"n\": -1.50e3}"),
        .head = &c->head,
        .rules_connection = &c->connection,
        .secret = SPAN_LIT("payments-live"),
        .secret_version = 3,
        .rule = 300,
        .rev = 2,
    };
    return c;
}

static void digest_of(const struct call *c, uint8_t out[HOLD_DIGEST])
{
    assert_true(hold_digest(&c->s, out));
}

static bool bodies_equal(enum body_type t, const char *a, const char *b)
{
    struct call *c = call_new();
    uint8_t one[HOLD_DIGEST], two[HOLD_DIGEST];

    c->s.body_type = t;
    c->s.body = span_cstr(a);
    digest_of(c, one);
    c->s.body = span_cstr(b);
    digest_of(c, two);
    free(c);
    return memcmp(one, two, HOLD_DIGEST) == 0;
}

static bool queries_equal(const char *a, const char *b)
{
    struct call *c = call_new();
    uint8_t one[HOLD_DIGEST], two[HOLD_DIGEST];

    c->s.query = span_cstr(a);
    digest_of(c, one);
    c->s.query = span_cstr(b);
    digest_of(c, two);
    free(c);
    return memcmp(one, two, HOLD_DIGEST) == 0;
}

static void same(enum body_type t, const char *a, const char *b)
{
    if (!bodies_equal(t, a, b))
        fail_msg("these should have one digest:\n%s\n%s", a, b);
}

static void differ(enum body_type t, const char *a, const char *b)
{
    if (bodies_equal(t, a, b))
        fail_msg("these should have two digests:\n%s\n%s", a, b);
}

static void test_json_that_means_the_same(void **state)
{
    (void)state;
    same(BODY_JSON, "{\"a\":1,\"b\":[1,2]}", " {\n\t\"b\" : [ 1 ,2 ] , \"a\":1 }\r\n");
    same(BODY_JSON, "{\"a\":\"/\"}", "{\"a\":\"\\/\"}");
    same(BODY_JSON, "{\"a\":\"\xc3\xa9\"}", "{\"a\":\"\\u00E9\"}");
    same(BODY_JSON, "{\"a\":\"\xf0\x9f\x98\x80\"}", "{\"a\":\"\\ud83d\\uDE00\"}");
    same(BODY_JSON, "{\"\\u0061\":1}", "{\"a\":1}");
    same(BODY_JSON, "{\"x\":{\"b\":1,\"a\":{}}}", "{\"x\":{\"a\":{},\"b\":1}}");
    same(BODY_JSON, "\"\\n\\t\\b\\f\\r\"", "\"\\u000a\\u0009\\u0008\\u000c\\u000d\"");
    same(BODY_JSON, "[]", "[ ]");
}

static void test_json_that_does_not(void **state)
{
    static const char *const all[] = {
        "{\"a\":1}",
        "{\"a\":\"1\"}",
        "{\"a\":1.0}",
        "{\"a\":1e0}",
        "{\"a\":2}",
        "{\"b\":1}",
        "{\"a\":[1]}",
        "{\"a\":{\"a\":1}}",
        "{\"a\":true}",
        "{\"a\":false}",
        "{\"a\":null}",
        "{\"a\":\"null\"}",
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "[1,2]",
        "[2,1]",
        "[12]",
        "[[1],2]",
        "[[1,2]]",
        "[1,[2]]",
        "[\"1\",\"2\"]",
        "[\"1,2\"]",
        "{\"a\":1,\"b\":2}",
        "{\"a\":2,\"b\":1}",
        "{\"ab\":12}",
        "{\"a\":9007199254740993}",
        "{\"a\":9007199254740992}",
        "{\"a\":\"x\"}",
        "{\"a\":\"X\"}",
        "{\"a\":\"x \"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\\\u0000\"}",
        "{\"a\":\"\"}",
        "{\"\":\"a\"}",
        "{\"a\":\"\",\"b\":\"\"}",
        "0",
        "-0",
        "\"0\"",
        "",
    };
    unsigned n = sizeof(all) / sizeof(*all);

    (void)state;
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = i + 1; k < n; k++)
            differ(BODY_JSON, all[i], all[k]);
}

/* The same key twice: servers take the first or the last, so their order counts. */
static void test_duplicate_keys(void **state)
{
    (void)state;
    differ(BODY_JSON, "{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}");
    differ(BODY_JSON, "{\"a\":1,\"\\u0061\":2}", "{\"a\":2,\"a\":1}");
    differ(BODY_JSON, "{\"a\":1,\"a\":1}", "{\"a\":1}");
    differ(BODY_FORM, "a=1&a=2", "a=2&a=1");
}

static void test_malformed_is_taken_raw(void **state)
{
    (void)state;
    differ(BODY_JSON, "{\"a\":1,}", "{\"a\":1, }");
    differ(BODY_JSON, "{\"a\":1} x", "{\"a\":1}  x");
    differ(BODY_JSON, "{\"a\"", "{\"a\" ");
    differ(BODY_JSON, "{\"a\":\"\\u00", "{\"a\":\"\\u0");
    differ(BODY_JSON, "nul", "null");
    differ(BODY_OTHER, "{\"a\":1}", "{\"a\": 1}");
}

/* What one reading of the body takes for the other must not have its digest. */
static void test_body_types(void **state)
{
    struct call *c = call_new();
    uint8_t one[HOLD_DIGEST], two[HOLD_DIGEST];

    (void)state;
    c->s.body = SPAN_LIT("a=1");
    for (unsigned t = BODY_NONE; t <= BODY_OTHER; t++)
        for (unsigned u = t + 1; u <= BODY_OTHER; u++) {
            c->s.body_type = t;
            digest_of(c, one);
            c->s.body_type = u;
            digest_of(c, two);
            if ((t == BODY_FORM) != (u == BODY_FORM))
                assert_memory_not_equal(one, two, HOLD_DIGEST);
        }
    free(c);
}

static void test_forms(void **state)
{
    (void)state;
    same(BODY_FORM, "a=1+2&b=x", "a=1%202&b=%78");
    same(BODY_FORM, "a=%c3%A9", "a=\xc3\xa9");
    differ(BODY_FORM, "a=1&b=2", "b=2&a=1"); /* in their order */
    differ(BODY_FORM, "a=1&b=2", "a=1%26b=2");
    differ(BODY_FORM, "a=1", "a%3D1");
    differ(BODY_FORM, "a=1", "a=1&a=1");
    differ(BODY_FORM, "a=", "a");
    differ(BODY_FORM, "ab=c", "a=bc");
    differ(BODY_FORM, "a=%2", "a=%02");
}

#define PART(boundary, name, value)                                                                \
    "--" boundary "\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" value "\r\n"

static void test_multipart(void **state)
{
    (void)state;
    same(BODY_MULTIPART, PART("x", "a", "1") PART("x", "b", "2") "--x--",
         PART("yy", "a", "1") PART("yy", "b", "2") "--yy--\r\n");
    differ(BODY_MULTIPART, PART("x", "a", "1") "--x--", PART("x", "a", "2") "--x--");
    differ(BODY_MULTIPART, PART("x", "a", "1") "--x--", PART("x", "b", "1") "--x--");
    differ(BODY_MULTIPART, PART("x", "a", "1") PART("x", "b", "2") "--x--",
           PART("x", "b", "2") PART("x", "a", "1") "--x--");
    differ(BODY_MULTIPART, PART("x", "a", "1") PART("x", "a", "1") "--x--",
           PART("x", "a", "1") "--x--");
    /* what cannot be read is what it is, byte for byte */
    differ(BODY_MULTIPART, PART("x", "a", "1") "--x", PART("y", "a", "1") "--y");
}

/* Of a coded body both its text and the bytes that it was decoded from are approved. */
static void test_coded(void **state)
{
    static const struct {
        const char *body, *coded;
    } all[] = {{"{\"a\":1}", ""}, {"{\"a\":1}", "x"}, {"{\"a\":1}", "y"}, {"{\"a\":2}", "x"}};
    enum { N = sizeof(all) / sizeof(*all) };
    struct call *c = call_new();
    uint8_t digest[N][HOLD_DIGEST];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        c->s.body = span_cstr(all[i].body);
        c->s.coded = span_cstr(all[i].coded);
        digest_of(c, digest[i]);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(digest[i], digest[k], HOLD_DIGEST);
    }
    free(c);
}

static void test_queries(void **state)
{
    (void)state;
    assert_true(queries_equal("a=1&b=2", "b=2&a=1"));
    assert_true(queries_equal("a=%41", "a=A"));
    assert_true(queries_equal("a%3Db=1&a=b", "a=b&a%3Db=1"));
    assert_false(queries_equal("a=1&a=2", "a=2&a=1"));
    assert_false(queries_equal("a=1&b=2", "a=2&b=1"));
    assert_false(queries_equal("a=1", "a=1&a=1"));
    assert_false(queries_equal("a", "a="));
    assert_false(queries_equal("a=b&c", "a=b%26c"));
    assert_false(queries_equal("a==b", "a=b"));
    assert_false(queries_equal("", "a"));
}

#define CHANGED(what)                                                                              \
    do {                                                                                           \
        struct call *c = call_new();                                                               \
        uint8_t before[HOLD_DIGEST], after[HOLD_DIGEST];                                           \
        digest_of(c, before);                                                                      \
        what;                                                                                      \
        digest_of(c, after);                                                                       \
        if (memcmp(before, after, HOLD_DIGEST) == 0)                                               \
            fail_msg("another digest expected after: %s", #what);                                  \
        free(c);                                                                                   \
    } while (0)

static void test_every_part_counts(void **state)
{
    (void)state;
    CHANGED(c->s.caller = SPAN_LIT("acme/shop@dev"));
    CHANGED(c->s.connection = SPAN_LIT("payment"));
    CHANGED(c->s.function = SPAN_LIT("payments.refund.creat"));
    CHANGED(c->s.method = SPAN_LIT("PUT"));
    CHANGED(c->s.path = SPAN_LIT("/v1/refunds/"));
    CHANGED(c->s.query = SPAN_NONE);
    CHANGED(c->s.body = SPAN_NONE);
    CHANGED(c->s.secret = SPAN_LIT("payments-test"));
    CHANGED(c->s.secret_version++);
    CHANGED(c->s.rule++);
    CHANGED(c->s.rev++);
    CHANGED(c->head.fields[0].value = SPAN_LIT("acct_2"));
    CHANGED(c->head.fields[0].name = SPAN_LIT("other"));
    CHANGED(c->head.fields[2].name = SPAN_LIT("stripe-account"));
    CHANGED(c->head.fields[0].hop = true); /* named by Connection: not sent on */
    CHANGED(c->head.nfields = 0);
    CHANGED(c->accounts[1] = SPAN_LIT("X-Other"));
    /* The same bytes, cut elsewhere. */
    CHANGED((c->s.caller = SPAN_LIT("acme/shop@mainp"), c->s.connection = SPAN_LIT("ayments")));
    CHANGED((c->s.method = SPAN_LIT("POST/"), c->s.path = SPAN_LIT("v1/refunds")));
    CHANGED((c->s.rule = c->s.rev, c->s.rev = 300));
}

static void test_what_does_not_count(void **state)
{
    struct call *c = call_new();
    uint8_t before[HOLD_DIGEST], after[HOLD_DIGEST];

    (void)state;
    digest_of(c, before);
    c->head.fields[1].value = SPAN_LIT("stripe-python");
    c->head.fields[0].name = SPAN_LIT("STRIPE-ACCOUNT");
    c->s.query = SPAN_LIT("limit=1&expand=charge");
    c->s.body = SPAN_LIT("{\"n\":-1.50e3,\"to\":[\"\\u0061\",{\"b\":null}],\"amount\":100}");
    digest_of(c, after);
    assert_memory_equal(before, after, HOLD_DIGEST);
    free(c);
}

/* Any single changed byte of a sound document is another call, unless it was white space. */
static void test_one_byte(void **state)
{
    static const char text[] = "{\"amount\":10050,\"to\":\"acct\\u00e9\",\"l\":[true,\"x\",{}]}";
    struct call *c = call_new();
    uint64_t seed = test_seed();
    uint8_t one[HOLD_DIGEST], two[HOLD_DIGEST];
    char copy[sizeof(text)];

    (void)state;
    c->s.body = span_cstr(text);
    digest_of(c, one);
    for (unsigned i = 0; i < 20000; i++) {
        size_t at = test_random(&seed) % (sizeof(text) - 1);

        memcpy(copy, text, sizeof(text));
        copy[at] = (char)(test_random(&seed) & 0xff);
        if (copy[at] == text[at] || (copy[at] == 'E' && text[at] == 'e'))
            continue; /* the digit of an escape has two cases */
        c->s.body = span_of(copy, sizeof(text) - 1);
        digest_of(c, two);
        if (memcmp(one, two, HOLD_DIGEST) == 0)
            fail_msg("byte %zu changed to 0x%02x: the digest did not", at, copy[at] & 0xff);
    }
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_that_means_the_same),
        cmocka_unit_test(test_json_that_does_not),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_malformed_is_taken_raw),
        cmocka_unit_test(test_body_types),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_coded),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_every_part_counts),
        cmocka_unit_test(test_what_does_not_count),
        cmocka_unit_test(test_one_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
