/* The validators by tables: what is a card, what is an address. */
#include "match_test.h"

#include "match/match_internal.h"

static bool card(const char *text)
{
    uint8_t digit[40];
    unsigned n = 0;

    for (; text[n]; n++)
        digit[n] = (uint8_t)(text[n] - '0');
    return card_number(digit, n);
}

static void test_brands(void **state)
{
    /* Numbers that the brands and processors publish for tests. */
    static const char *const yes[] = {
        "4222222222222",       "4242424242424242", "4111111111111111", "4012888888881881",
        "5555555555554444",    "5105105105105100", "2223003122003222", "2720992593319364",
        "378282246310005",     "371449635398431",  "341111111111111",  "6011111111111117",
        "6011000990139424",    "30569309025904",   "38520000023237",   "36227206271667",
        "3056930009020004",    "3530111333300000", "3566002020360505", "6200000000000005",
        "6205500000000000004", "8171999927660000", "5018000000000009", "6759649826438453",
        "6304000000000000",    "5020620000000000",
    };
    static const char *const no[] = {
        "4242424242424241",  /* check digit */
        "424242424242424",   /* 15 digits are no Visa */
        "42424242424242426", /* nor 17 */
        "1234567812345670",  /* nobody's */
        "0000000000000000",
        "7992739871300000",
        "5655555555554444",
        "2220999999999993", /* just below Mastercard's range */
        "2721000000000004", /* just above */
        "372182246310005",
        "35270000000000000",
        "423242424242",         /* too short */
        "62055000000000000040", /* too long */
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
        if (!card(yes[i]) || !model_card(yes[i], strlen(yes[i])))
            fail_msg("%s is a card", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
        if (card(no[i]))
            fail_msg("%s is no card", no[i]);
}

static void test_luhn(void **state)
{
    (void)state;
    assert_true(luhn_text((const uint8_t *)"7992739871-3", 12));
    assert_false(luhn_text((const uint8_t *)"7992739871-4", 12));
    assert_false(luhn_text((const uint8_t *)"0", 1));
    assert_false(luhn_text((const uint8_t *)"none", 4));
}

struct sample {
    const char *in, *out; /* NULL: left alone */
};

static size_t cut_one(uint64_t *seed, size_t left)
{
    (void)seed;
    (void)left;
    return 1;
}

/* In one piece, and byte by byte. */
static void check(struct rig *r, enum match_syntax syntax, const struct sample *x, size_t n)
{
    uint64_t seed = 0;

    for (size_t i = 0; i < n; i++) {
        const char *want = x[i].out ? x[i].out : x[i].in;
        struct match_found found = {0};
        struct run run;
        char buf[700], bytes[700];
        size_t len = strlen(x[i].in);
        memcpy(buf, x[i].in, len + 1);
        memcpy(bytes, x[i].in, len + 1);
        assert_true(match_buffer(r->w, r->db, &r->policy, syntax, buf, len, &found));
        if (strcmp(buf, want) != 0)
            fail_msg("text     %s\nexpected %s\ngot      %s", x[i].in, want, buf);
        stream_all(r, syntax, bytes, len, cut_one, &seed, &run);
        if (strcmp(bytes, want) != 0)
            fail_msg("text     %s\nexpected %s\nstream   %s", x[i].in, want, bytes);
        same_found(&run.found, &found);
    }
}

static void test_card_text(void **state)
{
    static const struct sample x[] = {
        {"4242424242424242", "************4242"},
        {"4242 4242 4242 4242", "**** **** **** 4242"},
        {"4242-4242-4242-4242.", "****-****-****-4242."},
        {"card=4242424242424242;", "card=************4242;"},
        {"pi_4242424242424242x", "pi_************4242x"},
        {"4242  4242 4242 4242", NULL}, /* two spaces */
        {"4242_4242_4242_4242", NULL},
        {"42424242424242424", NULL}, /* one digit too many */
        {"04242424242424242", NULL},
        {"0.4242424242424242", NULL}, /* a fraction */
        {"4242424242424242.00", "************4242.00"},
        {"No.4242424242424242", "No.************4242"},
        {"4242424242424242 5555555555554444", "************4242 ************4444"},
        {"1 4242424242424242 99", "1 ************4242 99"},
        {"4242424242424242 12/29 123", "************4242 12/29 123"},
        {"12 4242 4242 4242 4242", "12 **** **** **** 4242"},
        {"4242424242424242 - 5555555555554444", "************4242 - ************4444"},
        {"424242424242424242424242424242424242424242424242", NULL},
        {"550e8400-e29b-41d4-a716-446655440000", NULL},
        {"1700000000000 1700000000000000", NULL},
    };
    struct model m = {.card = MATCH_KEEP_LAST4, .mail = MODEL_NONE};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_PLAIN, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

/* The shortest card, wherever it stands. */
static void test_card_places(void **state)
{
    struct model m = {.card = MATCH_KEEP_LAST4, .mail = MODEL_NONE};
    struct rig r;
    char in[80], out[80];

    (void)state;
    rig_up(&r, &m);
    for (size_t at = 0; at < 40; at++) {
        struct sample x = {in, out};
        memset(in, 'x', 60);
        in[16] = '1';
        memcpy(in + at, "4222222222222", 13);
        in[60] = 0;
        strcpy(out, in);
        memset(out + at, '*', 9);
        if (at != 17 && at != 3) /* there the 1 stands beside it */
            check(&r, MATCH_PLAIN, &x, 1);
    }
    rig_down(&r);
}

static void test_mail_text(void **state)
{
    static const struct sample x[] = {
        {"john@example.com", "************.com"},
        {"<john.doe+tag@ex-a.mple.co.uk>", "<************************o.uk>"},
        {"a@b.co", "**b.co"},
        {"mailto:a_b%c@d.org, next", "mailto:*******.org, next"},
        {"to john@example.com.", "to ************.com."},
        {"john@example.com-", "************.com-"},
        {"john@example.com2", NULL},
        {"john@example", NULL},
        {"john@@example.com", NULL},
        {"@example.com", NULL},
        {"...@example.com", NULL},
        {"..j@example.com", "..*********.com"},
        {"john@-a.com", NULL},
        {"john@a-.com", NULL},
        {"john@a..com", NULL},
        {"john@10.0.0.1", NULL},
        {"john@1.2.com", "********.com"},
        {"a@b.co@d.com", "********.com"}, /* each '@' by itself */
        {"x=\"j@a.bc\"", "x=\"**a.bc\""},
    };
    struct model m = {.card = MODEL_NONE, .mail = MATCH_KEEP_LAST4};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_PLAIN, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

static void test_mail_limits(void **state)
{
    struct model m = {.card = MODEL_NONE, .mail = MATCH_KEEP_NONE};
    struct match_found found = {0};
    struct rig r;
    char buf[600];

    (void)state;
    rig_up(&r, &m);
    memset(buf, 'a', 70); /* the 64 nearest characters are the local part */
    memcpy(buf + 70, "@b.com", 7);
    assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_PLAIN, buf, 76, &found));
    for (unsigned i = 0; i < 76; i++)
        assert_int_equal(buf[i], i < 6 ? 'a' : '*');
    memcpy(buf, "j@", 2); /* a label of 63 is one, of 64 is none */
    memset(buf + 2, 'l', 64);
    memcpy(buf + 66, ".com", 5);
    assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_PLAIN, buf, 70, &found));
    assert_int_equal(buf[0], 'j');
    memcpy(buf + 65, ".com ", 6);
    assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_PLAIN, buf, 70, &found));
    assert_string_equal(buf + 60, "********* ");
    rig_down(&r);
}

static void test_json_text(void **state)
{
    static const struct sample x[] = {
        {"{\"n\":\"4242424242424242\"}", "{\"n\":\"************4242\"}"},
        {"{\"n\":4242424242424242}", "{\"n\":1000000000004242}"},
        {"[-4242424242424242]", "[-1000000000004242]"},
        {"[\"\",\"\\\"\",4242424242424242]", "[\"\",\"\\\"\",1000000000004242]"},
        {"[4242424242424242.50]", "[1000000000004242.50]"},
        {"[4242424242424242e3]", "[1000000000004242e3]"},
        {"[\"\\u0034242424242424242\"]", "[\"\\u002a***********4242\"]"},
        {"[\"4242 4242\\u00204242 4242\"]", "[\"**** ****\\u0020**** 4242\"]"},
        {"[\"\\n4242424242424242\\n\"]", "[\"\\n************4242\\n\"]"},
        {"[\"a\\\"4242424242424242\",5555555555554444]",
         "[\"a\\\"************4242\",1000000000004444]"},
        {"[\"a\\\\\",4242424242424242]", "[\"a\\\\\",1000000000004242]"},
        {"[\"john\\u0040example.com\"]", "[\"****\\u002a*******.com\"]"},
        {"[\"\\njohn@example.com\"]", "[\"\\n************.com\"]"},
        {"data: {\"a\": \"x\ndata: {\"a\":4242424242424242}\n",
         "data: {\"a\": \"x\ndata: {\"a\":1000000000004242}\n"}, /* lines stand for themselves */
        {"no json: john@example.com", "no json: ************.com"},
        {"{\"n\":\"\\\\u0034242424242424242\"}", NULL}, /* no escape: u, then 17 digits */
    };
    struct model m = {.card = MATCH_KEEP_LAST4, .mail = MATCH_KEEP_LAST4};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_JSON, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

/* What patterns see of JSON strings is UTF-8, however it is written and cut. */
static void test_json_unicode(void **state)
{
    static const struct sample x[] = {
        {"[\"x\\ud83d\\ude00y\"]", "[\"*\\u002a\\u002a*\"]"},
        {"[\"x\xf0\x9f\x98\x80y\"]", "[\"******\"]"},
        {"[\"x\\ud83d\\ud83dy\"]", NULL}, /* two of three bytes each */
        {"[\"x\\u00e9\\u00C9y\"]", "[\"*\\u002a\\u002a*\"]"},
        {"[\"x\\u20acby\"]", "[\"*\\u002a**\"]"},
        {"[\"x\xe2\x82\xac-y\"]", "[\"******\"]"},
        {"[\"n\xc3\xa9\"]", NULL}, /* half a character is never masked */
    };
    struct model m = {.card = MODEL_NONE,
                      .mail = MODEL_NONE,
                      .pattern_keep = MATCH_KEEP_NONE,
                      .pattern = {{"x[^a]{4}y", false}, {"\\xc3", false}},
                      .patterns = 2};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_JSON, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

/* A pattern that looks at what follows waits for it. */
static void test_line_end(void **state)
{
    static const struct sample x[] = {
        {"xyz\nabc", "xy*\nabc"}, {"xyz\n", "***\n"}, {"xyz", "***"},
        {"xyzz\n", "x***\n"},     {"ab", "**"},       {"ab-ab", "**-**"},
        {"abc ab", "abc **"},
    };
    struct model m = {.card = MODEL_NONE,
                      .mail = MODEL_NONE,
                      .pattern_keep = MATCH_KEEP_NONE,
                      .pattern = {{"(xyz|yzz)$", false}, {"z\\n", false}, {"ab\\b", false}},
                      .patterns = 3};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_PLAIN, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

static void test_form_text(void **state)
{
    static const struct sample x[] = {
        {"card[number]=4242424242424242&x=1", "card[number]=************4242&x=1"},
        {"n=4242+4242+4242+4242", "n=****+****+****+4242"},
        {"n=4242%204242%204242%204242", "n=****%20****%20****%204242"},
        {"n=%34242424242424242&m=", "n=%2A***********4242&m="},
        {"n=%204242424242424242", "n=%20************4242"},
        {"m=john%40example.com&x", "m=****%2A*******.com&x"},
        {"m=a%2Bb%40example.com", "m=*%2A*%2A*******.com"},
        {"/v1/john@example.com?x=%zz%", "/v1/************.com?x=%zz%"},
    };
    struct model m = {.card = MATCH_KEEP_LAST4, .mail = MATCH_KEEP_LAST4};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_FORM, x, sizeof(x) / sizeof(*x));
    rig_down(&r);
}

static void test_keep(void **state)
{
    static const struct sample bin[] = {
        {"[\"4242 4242 4242 4242\"]", "[\"4242 42** **** 4242\"]"},
        {"[4242424242424242]", "[4242421000004242]"},
        {"[4111110000001111]", "[4111110000001111]"}, /* no card to begin with */
        {"j@example.com", "*********.com"},
    };
    static const struct sample none[] = {
        {"[\"4242-4242-4242-4242\"]", "[\"****-****-****-****\"]"},
        {"[4242424242424242]", "[1000000000000000]"},
        {"j@example.com", "*************"},
    };
    struct model m = {.card = MATCH_KEEP_BIN_LAST4, .mail = MATCH_KEEP_BIN_LAST4};
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    check(&r, MATCH_JSON, bin, sizeof(bin) / sizeof(*bin));
    rig_down(&r);
    m.card = m.mail = MATCH_KEEP_NONE;
    rig_up(&r, &m);
    check(&r, MATCH_JSON, none, sizeof(none) / sizeof(*none));
    rig_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brands),      cmocka_unit_test(test_luhn),
        cmocka_unit_test(test_card_text),   cmocka_unit_test(test_mail_text),
        cmocka_unit_test(test_mail_limits), cmocka_unit_test(test_json_text),
        cmocka_unit_test(test_card_places), cmocka_unit_test(test_json_unicode),
        cmocka_unit_test(test_line_end),    cmocka_unit_test(test_form_text),
        cmocka_unit_test(test_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
