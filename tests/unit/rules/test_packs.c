/* Packs: what a connection takes from one, and what it may not. The packs that are shipped. */
#include "rules_test.h"

#include "rules/rules_internal.h"

#define PACK                                                                                       \
    "packs:\n"                                                                                     \
    "  pay:\n"                                                                                     \
    "    hosts: [api.pay.example]\n"                                                               \
    "    errors: stripe\n"                                                                         \
    "    account_headers: [Pay-Account]\n"                                                         \
    "    idempotency: Pay-Request\n"                                                               \
    "    credential: {as: header, header: X-Pay-Key}\n"                                            \
    "    inspect: {request: 64KiB}\n"                                                              \
    "    port: 8443\n"                                                                             \
    "    functions:\n"                                                                             \
    "      refund.create: POST /v1/refunds\n"                                                      \
    "      read: GET /v1/**\n"

static const struct rules_connection *connection(const struct rules_set *s, const char *host)
{
    const struct rules_connection *c = rules_connection_for(s, span_cstr(host));

    if (!c)
        fail_msg("no connection serves %s", host);
    return c;
}

static void is_function(const struct rules_set *s, const char *host, const char *method,
                        const char *path, const char *want)
{
    struct rules_params p;
    const struct rules_function *f =
        rules_function_for(s, connection(s, host), span_cstr(method), span_cstr(path), &p);

    if (!span_eq(f->name, span_cstr(want)))
        fail_msg("%s %s at %s: expected %s, came %.*s", method, path, host, want,
                 SPAN_ARG(f->name));
}

static void is_text(struct span came, const char *want)
{
    if (!span_eq(came, span_cstr(want)))
        fail_msg("expected %s, came %.*s", want, SPAN_ARG(came));
}

static void what_is_not_said_comes_from_the_pack(void **state)
{
    struct rules_set *s = test_set("connections:\n"
                                   "  live:\n"
                                   "    pack: pay\n"
                                   "    credential: {secret: pay-live}\n"
                                   "    functions:\n"
                                   "      payout.create: POST /v1/payouts\n" PACK);
    const struct rules_connection *c = connection(s, "api.pay.example");

    (void)state;
    is_text(c->name, "live");
    is_text(c->credential.secret, "pay-live");
    is_text(c->credential.header, "X-Pay-Key");
    assert_int_equal(c->credential.kind, RULES_CRED_HEADER);
    assert_int_equal(c->naccount_headers, 1);
    is_text(c->account_headers[0], "Pay-Account");
    assert_int_equal(c->nidempotency, 1);
    is_text(c->idempotency[0], "Pay-Request");
    assert_int_equal(c->inspect_request, 64 << 10);
    assert_int_equal(c->port, 8443);
    is_function(s, "api.pay.example", "POST", "/v1/refunds", "live.refund.create");
    is_function(s, "api.pay.example", "POST", "/v1/payouts", "live.payout.create");
    is_function(s, "api.pay.example", "GET", "/v1/payouts", "live.read");
    is_function(s, "api.pay.example", "POST", "/v1/else", "live.unlisted");
    rules_free(s);
}

static void what_is_said_counts(void **state)
{
    struct rules_set *s = test_set(PACK "connections:\n"
                                        "  live:\n"
                                        "    pack: pay\n"
                                        "    hosts: [a.pay.example, b.pay.example]\n"
                                        "    account_headers: []\n"
                                        "    credential: {secret: s, as: bearer}\n"
                                        "    inspect: {request: 1KiB}\n"
                                        "    port: 443\n"
                                        "  test:\n"
                                        "    pack: pay\n"
                                        "    hosts: test.pay.example\n");
    const struct rules_connection *c = connection(s, "b.pay.example");

    (void)state;
    assert_null(rules_connection_for(s, SPAN_LIT("api.pay.example")));
    assert_int_equal(c->credential.kind, RULES_CRED_BEARER);
    assert_int_equal(c->credential.header.n, 0);
    assert_int_equal(c->naccount_headers, 0);
    assert_int_equal(c->inspect_request, 1 << 10);
    assert_int_equal(c->port, 443);
    is_function(s, "a.pay.example", "POST", "/v1/refunds", "live.refund.create");
    is_function(s, "test.pay.example", "POST", "/v1/refunds", "test.refund.create");
    assert_int_equal(connection(s, "test.pay.example")->credential.kind, RULES_CRED_NONE);
    rules_free(s);
}

/* --------------------------------------------------------------- complaints */

#define ONE "connections:\n  live: {pack: pay}\n"

static const struct row {
    const char *text;
    enum diag_level level;
    unsigned line, column;
    const char *says;
} rows[] = {
    {ONE, DIAG_ERROR, 2, 16, "no file of these rules has `packs`"},
    {PACK "  other: {}\nconnections:\n  live: {pack: pya}\n", DIAG_ERROR, 15, 16,
     "there is no pack `pya`; there are pay, other"},
    {PACK "connections:\n  live: {pack: [pay]}\n", DIAG_ERROR, 14, 16, "there is no pack"},
    {ONE "packs:\n  pay: 5\n", DIAG_ERROR, 4, 8, "a pack must be a mapping"},
    {"packs: []\n", DIAG_ERROR, 1, 8, "`packs` must be a mapping"},
    {ONE "packs:\n  pay: {hosts: [a.example], identify: oidc}\n", DIAG_ERROR, 4, 29, "identify"},
    {ONE "packs:\n  pay: {hosts: [a.example], functions: []}\n", DIAG_ERROR, 4, 40, "`functions`"},
    {ONE "packs:\n  pay: {hosts: [A.example]}\n", DIAG_ERROR, 4, 17, "lower case"},
    {ONE "packs:\n  pay: {}\n", DIAG_ERROR, 2, 16, "leaves them to the connection"},
    {ONE "packs:\n  p.y: {}\n  pay: {hosts: a.example}\n", DIAG_ERROR, 4, 3, "without dots"},
    {ONE "packs:\n  pay: {hosts: a.example, credential: {secret: s, as: bearer}}\n", DIAG_ERROR, 4,
     40, "`secret` belongs to the connection"},
    {ONE "packs:\n  pay: {hosts: a.example, credential: {as: bearer, key: s}}\n", DIAG_ERROR, 4, 52,
     "key"},
    {ONE "packs:\n  pay: {hosts: a.example, functions: {f: GET v1}}\n", DIAG_ERROR, 4, 46,
     "must begin with `/`"},
    {PACK "connections:\n  a: {pack: pay}\n  b: {pack: pay, hosts: b.example}\n", DIAG_ERROR, 14,
     13, "2 connections use the pack `pay`"},
    {PACK "connections:\n  a: {pack: pay, functions: {read: GET /}}\n", DIAG_ERROR, 14, 30,
     "already a function of the pack `pay`"},
    {PACK "connections:\n  a: {pack: pay, functions: {more: GET /v1/**}}\n", DIAG_ERROR, 12, 13,
     "ties with"},
    {PACK "connections:\n  a: {pack: pay, credential: {secret: s, as: header}}\n", DIAG_ERROR, 14,
     30, "`header` is missing"},
    {PACK "connections:\n  a: {pack: pay, credential: {header: X-K}}\n", DIAG_ERROR, 14, 30,
     "`secret` is missing"},
    {PACK "connections:\n  a: {pack: pay}\n", DIAG_WARNING, 14, 13, "none is added"},
    {PACK "connections:\n  a: {hosts: a.example}\n", DIAG_WARNING, 2, 3, "no connection uses"},
};

static bool row_holds(const struct row *r)
{
    struct rules_set *s;
    bool found = false;
    struct test_dir t;
    struct diags d;

    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", r->text);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    for (size_t i = 0; i < d.count; i++)
        found =
            found || (d.items[i].level == r->level && d.items[i].where.line == r->line &&
                      d.items[i].where.column == r->column && strstr(d.items[i].message, r->says));
    found = found && d.errors == (r->level == DIAG_ERROR);
    if (!found) {
        printf("--- expected one at %u:%u \"%s\", came\n", r->line, r->column, r->says);
        diags_print(&d, stdout, false);
    }
    rules_free(s);
    diags_free(&d);
    test_dir_remove(&t);
    return found;
}

static void each_complaint_at_its_place(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        wrong += !row_holds(&rows[i]);
    assert_int_equal(wrong, 0);
}

/* Files are read in the order of their names; packs come first all the same. */
static void a_pack_may_stand_in_a_later_file(void **state)
{
    struct test_dir t;
    struct diags d;
    struct rules_set *s;

    (void)state;
    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", "connections:\n  live: {pack: pay, credential: {secret: s}}\n");
    test_dir_put(&t, "b.yaml", PACK);
    test_dir_put(&t, "c.yaml", "packs:\n  pay: {}\n");
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d));
    assert_int_equal(d.errors, 1);
    assert_non_null(strstr(d.items[0].message, "the pack `pay` is already in"));
    diags_free(&d);
    test_dir_put(&t, "c.yaml", "rules: []\n");
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    assert_non_null(s);
    is_function(s, "api.pay.example", "POST", "/v1/refunds", "live.refund.create");
    rules_free(s);
    diags_free(&d);
    test_dir_remove(&t);
}

/* ------------------------------------------------------------ what is shipped */

#define SHIPPED RULES_EXAMPLE "/../packs"

static char *whole_file(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* Copies a pack to where it is read, and writes a connection that uses it. */
static void use_pack(const struct test_dir *t, const char *file, char *connections)
{
    char path[400], name[100];
    const char *text;

    snprintf(path, sizeof(path), "%s/%s", SHIPPED, file);
    text = whole_file(path);
    test_dir_put(t, file, text);
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - 5), file);
    sprintf(connections + strlen(connections),
            "  %s:\n    pack: %s\n    credential: {secret: s%s}\n", name, name,
            strstr(text, "{as: basic}") ? ", user: u" : "");
    if (!strstr(text, "\n    hosts:"))
        sprintf(connections + strlen(connections), "    hosts: %s.example\n", name);
}

static unsigned use_all(const struct test_dir *t)
{
    static char connections[1 << 16];
    DIR *dir = opendir(SHIPPED);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(dir);
    strcpy(connections,
           "issuers:\n  ci: {issuer: i, audience: a, keys: {file: j}}\nconnections:\n");
    while ((e = readdir(dir))) {
        if (!span_ends(span_cstr(e->d_name), SPAN_LIT(".yaml")))
            continue;
        use_pack(t, e->d_name, connections);
        n++;
    }
    closedir(dir);
    test_dir_put(t, "zz-connections.yaml", connections);
    return n;
}

static void check_shipped(const struct rules_set *s)
{
    unsigned count[RULES_CONNECTIONS_MAX] = {0};

    for (unsigned i = 0; i < rules_function_count(s); i++) {
        const struct rules_function *f = rules_function_at(s, i);

        count[f->connection->index] += !f->unlisted;
        for (size_t k = 0; k < f->name.n; k++)
            if (f->name.p[k] >= 'A' && f->name.p[k] <= 'Z')
                fail_msg("%.*s is not in lower case", SPAN_ARG(f->name));
    }
    for (unsigned i = 0; i < rules_connection_count(s); i++) {
        const struct rules_connection *c = rules_connection_at(s, i);

        if (count[i] < 10 || count[i] > 60)
            fail_msg("%.*s has %u functions", SPAN_ARG(c->name), count[i]);
        if (c->errors == rules_errors_usual(s))
            fail_msg("%.*s has no errors of its own", SPAN_ARG(c->name));
        if (c->credential.kind == RULES_CRED_NONE)
            fail_msg("%.*s has no credential", SPAN_ARG(c->name));
    }
}

static void all_that_are_shipped_load_together(void **state)
{
    struct test_dir t;
    struct diags d;
    struct rules_set *s;
    unsigned n;

    (void)state;
    test_dir_make(&t);
    n = use_all(&t);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    if (d.count)
        diags_print(&d, stdout, false);
    assert_int_equal(d.count, 0);
    assert_int_equal(rules_connection_count(s), n);
    assert_true(n >= 22);
    check_shipped(s);
    printf("%u packs, %u functions\n", n, rules_function_count(s) - n);
    is_function(s, "api.stripe.com", "POST", "/v1/refunds", "stripe.refund.create");
    is_function(s, "api.twilio.com", "DELETE", "/2010-04-01/Accounts/AC1/Messages/SM1.json",
                "twilio.message.delete");
    is_function(s, "generativelanguage.googleapis.com", "POST",
                "/v1beta/models/gemini-2.5-pro:generateContent", "gemini.content.generate");
    rules_free(s);
    diags_free(&d);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_comes_from_the_pack),
        cmocka_unit_test(what_is_said_counts),
        cmocka_unit_test(each_complaint_at_its_place),
        cmocka_unit_test(a_pack_may_stand_in_a_later_file),
        cmocka_unit_test(all_that_are_shipped_load_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
