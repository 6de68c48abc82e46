/* Callers known by their certificates: names, groups, claims, and everything that makes one bad. */
#include "../tls/pki.h"
#include "maker.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "identity/identity_internal.h"

static struct pki root, middle, other;
static uint64_t now; /* certificates are made by the machine's clock */

struct world {
    struct maker *m;
    struct identity_worker *w;
    struct arena mem;
};

#define RULES                                                                                      \
    "connections:\n"                                                                               \
    "  mtls: {hosts: [a.test], identify: [mtls, oidc]}\n"                                          \
    "  late: {hosts: [b.test], identify: [oidc, mtls]}\n"                                          \
    "  tokens: {hosts: [c.test], identify: [oidc]}\n"                                              \
    "issuers:\n"                                                                                   \
    "  idp: {issuer: 'https://idp.test', audience: turnpike, keys: {file: jwks.json}}\n"

static void load(struct world *w, const char *issuers)
{
    identity_free(w->m->set);
    rules_free(w->m->rules);
    maker_write(w->m, "rules.yaml", arena_printf(&w->m->mem, "%s%s", RULES, issuers));
    w->m->rules = rules_load(w->m->dir, now, &w->m->d);
    w->m->set = w->m->rules ? identity_load(w->m->rules, &w->m->d) : NULL;
    if (!w->m->set)
        diags_print(&w->m->d, stdout, false);
    assert_non_null(w->m->set);
    identity_worker_adopt(w->w, w->m->set);
}

static void write_ca(struct world *w, const char *name, const struct pki *a, const struct pki *b)
{
    FILE *f = fopen(arena_printf(&w->mem, "%s/%s", w->m->dir, name), "w");

    assert_non_null(f);
    PEM_write_X509(f, a->x);
    if (b)
        PEM_write_X509(f, b->x);
    fclose(f);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    void *m;

    if (maker_set_up(&m))
        return -1;
    now = clock_wall_ns();
    w->m = m;
    w->w = identity_worker_new(8);
    if (!root.x) {
        root = pki_make(&(struct pki_spec){.cn = "Root", PKI_CA});
        middle = pki_make(&(struct pki_spec){.cn = "Middle", .issuer = &root, PKI_CA});
        other = pki_make(&(struct pki_spec){.cn = "Other", PKI_CA});
    }
    write_ca(w, "root.pem", &root, NULL);
    write_ca(w, "other.pem", &other, NULL);
    *state = w;
    load(w, "  people: {ca: root.pem, id: email, groups: {ann: '\"ann\" in claims.cn',"
            " all: 'true'}}\n");
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    void *m = w->m;

    identity_worker_free(w->w);
    arena_free(&w->mem);
    free(w);
    return maker_tear_down(&m);
}

/* ---- certificates */

static struct span der(struct world *w, const struct pki *a, const struct pki *b)
{
    unsigned char *to = arena_alloc(&w->mem, 16384), *p = to;

    i2d_X509(a->x, &p);
    if (b)
        i2d_X509(b->x, &p);
    return span_of(to, (size_t)(p - to));
}

#define GOOD .cn = "ann", .san = "email:ann@acme.example", .purpose = "clientAuth"

/* The DER of one made as said, below `issuer`; the root itself is never sent. */
static struct span shown(struct world *w, struct pki_spec spec)
{
    struct pki p = pki_make(&spec);
    struct span s = der(w, &p, spec.issuer == &middle ? &middle : NULL);

    pki_free(&p);
    return s;
}

static enum identity_cause ask(struct world *w, const char *connection, struct span certificates,
                               const char *token, const struct identity **id)
{
    static struct http_head head;
    struct net_addr from = net_addr_v4(0xc0000201);

    head.nfields = 0;
    if (token)
        head.fields[head.nfields++] = (struct http_field){.name = SPAN_LIT("Turnpike-Token"),
                                                          .value = span_cstr(token),
                                                          .id = HTTP_F_TURNPIKE_TOKEN};
    return identity_identify(w->w, maker_connection(w->m, connection), &head, certificates, &from,
                             now, id);
}

static void cause_is(struct world *w, struct span certificates, enum identity_cause want)
{
    const struct identity *id;
    enum identity_cause why = ask(w, "mtls", certificates, NULL, &id);

    if (why != want)
        fail_msg("expected %s, got %s", identity_cause_name(want), identity_cause_name(why));
    if (why == IDENTITY_NONE)
        identity_put(w->w, id);
}

static void caller_is(struct world *w, struct span certificates, const char *want)
{
    const struct identity *id;
    enum identity_cause why = ask(w, "mtls", certificates, NULL, &id);

    if (why != IDENTITY_NONE)
        fail_msg("expected %s, got %s", want, identity_cause_name(why));
    if (!span_eq(id->caller.id, span_cstr(want)))
        fail_msg("expected %s, got %.*s", want, SPAN_ARG(id->caller.id));
    identity_put(w->w, id);
}

/* ---- who */

static void what_a_certificate_says(void **state)
{
    struct world *w = *state;
    struct span s = shown(w, (struct pki_spec){GOOD, .issuer = &middle});
    const struct identity *id;
    const char *claims;

    assert_int_equal(ask(w, "mtls", s, NULL, &id), IDENTITY_NONE);
    assert_true(span_eq(id->caller.id, SPAN_LIT("ann@acme.example")));
    assert_true(span_eq(id->caller.issuer, SPAN_LIT("people")));
    assert_true(span_eq(id->caller.method, SPAN_LIT("mtls")));
    assert_true(span_eq(id->subject, SPAN_LIT("CN=ann")));
    assert_int_equal(id->token_id.n, 64);
    assert_int_equal(id->caller.ngroups, 2);
    claims = arena_strdup(&w->mem, id->caller.claims);
    assert_non_null(strstr(claims, "\"subject\":\"CN=ann\""));
    assert_non_null(strstr(claims, "\"issuer\":\"CN=Middle\""));
    assert_non_null(strstr(claims, "\"email\":[\"ann@acme.example\"]"));
    assert_non_null(strstr(claims, "\"cn\":[\"ann\"],\"o\":[],\"ou\":[]}"));
    assert_non_null(strstr(claims, "\"sha256\":\""));
    identity_put(w->w, id);
}

static void each_kind_of_name(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *id, *san, *want;
    } cases[] = {
        {"email", "email:ann@acme.example,DNS:x.test", "ann@acme.example"},
        {"email", "DNS:x.test", NULL},
        {"email", "email:a@b.test,email:c@d.test", NULL},
        {"dns", "DNS:x.test,URI:https://x.test/", "x.test"},
        {"dns", "DNS:x.test,DNS:y.test", NULL},
        {"spiffe", "URI:spiffe://acme.test/ci,DNS:x.test", "spiffe://acme.test/ci"},
        {"spiffe", "URI:spiffe://acme.test/ci,URI:https://x.test/", NULL},
        {"spiffe", "URI:spiffe://", NULL},
        {"spiffe", "URI:https://acme.test/ci", NULL},
        {"spiffe", NULL, NULL},
        {"subject", NULL, "CN=ann"},
        {"subject", "DNS:x.test,DNS:y.test", "CN=ann"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct span s = shown(
            w, (struct pki_spec){
                   .cn = "ann", .san = cases[i].san, .issuer = &root, .purpose = "clientAuth"});

        load(w, arena_printf(&w->mem, "  x: {ca: root.pem, id: %s}\n", cases[i].id));
        if (cases[i].want)
            caller_is(w, s, cases[i].want);
        else
            cause_is(w, s, IDENTITY_CERTIFICATE_UNNAMED);
    }
    /* No subject is no name. */
    load(w, "  x: {ca: root.pem, id: subject}\n");
    cause_is(w, shown(w, (struct pki_spec){.san = "DNS:x.test", .issuer = &root}),
             IDENTITY_CERTIFICATE_UNNAMED);
}

/* A SAN's bytes are the CA's to choose: what no name can hold makes the certificate none. */
static void hostile_names(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *p;
        size_t n;
    } names[] = {{"a@b.test\0@c", 11}, {"a@b\n", 4}, {"a\xc3\xa9@b", 5}, {"", 0}, {"a b", 3}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct pki p = pki_make(&(struct pki_spec){.cn = "x", .issuer = &root});
        GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
        GENERAL_NAME *g = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();

        ASN1_STRING_set(text, names[i].p, (int)names[i].n);
        GENERAL_NAME_set0_value(g, GEN_EMAIL, text);
        sk_GENERAL_NAME_push(all, g);
        X509_add1_ext_i2d(p.x, NID_subject_alt_name, all, 0, 0);
        X509_sign(p.x, root.key, EVP_sha256());
        GENERAL_NAMES_free(all);
        cause_is(w, der(w, &p, NULL), IDENTITY_CERTIFICATE_INVALID);
        pki_free(&p);
    }
}

/* ---- good and bad */

static void chains(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &middle});
    struct pki stranger = pki_make(&(struct pki_spec){GOOD, .issuer = &other});

    caller_is(w, der(w, &leaf, &middle), "ann@acme.example");
    cause_is(w, der(w, &leaf, NULL), IDENTITY_CERTIFICATE_UNTRUSTED);
    cause_is(w, der(w, &stranger, NULL), IDENTITY_CERTIFICATE_UNTRUSTED);
    cause_is(w, der(w, &stranger, &other), IDENTITY_CERTIFICATE_UNTRUSTED);
    load(w, "  people: {ca: root.pem, id: email}\n"
            "  strangers: {ca: other.pem, id: subject}\n");
    caller_is(w, der(w, &stranger, NULL), "CN=ann"); /* each CA with the names that it is for */
    caller_is(w, der(w, &leaf, &middle), "ann@acme.example");
    pki_free(&leaf);
    pki_free(&stranger);
}

static void causes(void **state)
{
    struct world *w = *state;
    struct pki odd_ca = pki_make(
        &(struct pki_spec){.cn = "Servers", .issuer = &root, .purpose = "serverAuth", PKI_CA});
    struct pki no_ca = pki_make(&(struct pki_spec){.cn = "x", .issuer = &root});
    struct pki p;

    caller_is(w, shown(w, (struct pki_spec){GOOD, .issuer = &root}), "ann@acme.example");
    caller_is(w, shown(w, (struct pki_spec){.san = "email:b@c.test", .cn = "b", .issuer = &root}),
              "b@c.test"); /* no extKeyUsage: for anything */
    cause_is(w, shown(w, (struct pki_spec){GOOD, .issuer = &root, .from_s = -900, .until_s = -1}),
             IDENTITY_CERTIFICATE_EXPIRED);
    cause_is(w, shown(w, (struct pki_spec){GOOD, .issuer = &root, .from_s = 900}),
             IDENTITY_CERTIFICATE_NOT_YET);
    cause_is(
        w,
        shown(w,
              (struct pki_spec){.san = "email:b@c.test", .issuer = &root, .purpose = "serverAuth"}),
        IDENTITY_CERTIFICATE_PURPOSE);
    cause_is(w, shown(w, (struct pki_spec){GOOD, .issuer = &root, .rsa = true, .rsa_bits = 1024}),
             IDENTITY_CERTIFICATE_INVALID);
    cause_is(w, shown(w, (struct pki_spec){GOOD}), IDENTITY_CERTIFICATE_UNTRUSTED);
    p = pki_make(&(struct pki_spec){GOOD, .issuer = &odd_ca});
    cause_is(w, der(w, &p, &odd_ca), IDENTITY_CERTIFICATE_PURPOSE);
    pki_free(&p);
    p = pki_make(&(struct pki_spec){GOOD, .issuer = &no_ca});
    cause_is(w, der(w, &p, &no_ca), IDENTITY_CERTIFICATE_INVALID);
    pki_free(&p);
    pki_free(&odd_ca);
    pki_free(&no_ca);
}

/* The bytes come from a stranger: none but the ones that were signed will do. */
static void damaged(void **state)
{
    struct world *w = *state;
    struct span good = shown(w, (struct pki_spec){GOOD, .issuer = &middle});
    char *copy = arena_alloc(&w->mem, good.n + 16);
    const struct identity *id;

    for (size_t bit = 0; bit < good.n * 8; bit += 11) {
        memcpy(copy, good.p, good.n);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        if (ask(w, "mtls", span_of(copy, good.n), NULL, &id) == IDENTITY_NONE)
            fail_msg("accepted with bit %zu turned", bit);
    }
    for (size_t n = 1; n < good.n; n += 7)
        if (ask(w, "mtls", span_of(good.p, n), NULL, &id) == IDENTITY_NONE)
            fail_msg("accepted %zu of %zu bytes", n, good.n);
    memcpy(copy, good.p, good.n);
    memset(copy + good.n, 0, 16);
    cause_is(w, span_of(copy, good.n + 16), IDENTITY_CERTIFICATE_INVALID);
    caller_is(w, good, "ann@acme.example");
}

static void more_certificates_than_anybody_needs(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &root});
    unsigned char *to = arena_alloc(&w->mem, 64 << 10), *p = to;

    i2d_X509(leaf.x, &p);
    for (int i = 0; i < 20; i++)
        i2d_X509(middle.x, &p);
    cause_is(w, span_of(to, (size_t)(p - to)), IDENTITY_CERTIFICATE_INVALID);
    pki_free(&leaf);
}

/* ---- revocation */

static void write_crls(struct world *w, const struct pki *const *issuers, X509 *revoked, long until)
{
    FILE *f = fopen(arena_printf(&w->mem, "%s/crl.pem", w->m->dir), "w");

    assert_non_null(f);
    for (; *issuers; issuers++) {
        X509_CRL *crl = X509_CRL_new();
        ASN1_TIME *t = X509_gmtime_adj(NULL, -3600);

        X509_CRL_set_version(crl, 1);
        X509_CRL_set_issuer_name(crl, X509_get_subject_name((*issuers)->x));
        X509_CRL_set1_lastUpdate(crl, t);
        X509_gmtime_adj(t, until);
        X509_CRL_set1_nextUpdate(crl, t);
        if (revoked) {
            X509_REVOKED *r = X509_REVOKED_new();
            X509_gmtime_adj(t, -60);
            X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked));
            X509_REVOKED_set_revocationDate(r, t);
            X509_CRL_add0_revoked(crl, r);
        }
        X509_CRL_sign(crl, (*issuers)->key, EVP_sha256());
        PEM_write_X509_CRL(f, crl);
        X509_CRL_free(crl);
        ASN1_TIME_free(t);
    }
    fclose(f);
}

#define WITH_CRL "  people: {ca: root.pem, crl: crl.pem, id: email}\n"

static void revoked(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &middle});
    struct pki bob = pki_make(&(struct pki_spec){GOOD, .issuer = &middle});
    const struct pki *both[] = {&root, &middle, NULL}, *one[] = {&root, NULL};
    struct span s = der(w, &leaf, &middle);

    write_crls(w, both, NULL, 3600);
    load(w, WITH_CRL);
    caller_is(w, s, "ann@acme.example");
    write_crls(w, both, leaf.x, 3600);
    caller_is(w, s, "ann@acme.example"); /* until the file is read again */
    load(w, WITH_CRL);
    cause_is(w, s, IDENTITY_CERTIFICATE_REVOKED);
    caller_is(w, der(w, &bob, &middle), "ann@acme.example");
    write_crls(w, both, middle.x, 3600); /* a whole CA */
    load(w, WITH_CRL);
    cause_is(w, der(w, &bob, &middle), IDENTITY_CERTIFICATE_REVOKED);
    write_crls(w, one, NULL, 3600); /* nobody says what the CA below has revoked */
    load(w, WITH_CRL);
    cause_is(w, s, IDENTITY_CERTIFICATE_CRL);
    write_crls(w, both, NULL, -60);
    load(w, WITH_CRL);
    cause_is(w, s, IDENTITY_CERTIFICATE_CRL);
    write_crls(w, (const struct pki *[]){&other, NULL}, NULL, 3600);
    load(w, WITH_CRL);
    cause_is(w, s, IDENTITY_CERTIFICATE_CRL);
    pki_free(&leaf);
    pki_free(&bob);
}

/* An anchor below the root needs no list of the root's. */
static void anchor_below_the_root(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &middle});

    write_ca(w, "middle.pem", &middle, NULL);
    load(w, "  people: {ca: middle.pem, id: email}\n");
    caller_is(w, der(w, &leaf, NULL), "ann@acme.example");
    write_crls(w, (const struct pki *[]){&middle, NULL}, NULL, 3600);
    load(w, "  people: {ca: middle.pem, crl: crl.pem, id: email}\n");
    caller_is(w, der(w, &leaf, NULL), "ann@acme.example");
    write_crls(w, (const struct pki *[]){&middle, NULL}, leaf.x, 3600);
    load(w, "  people: {ca: middle.pem, crl: crl.pem, id: email}\n");
    cause_is(w, der(w, &leaf, &middle), IDENTITY_CERTIFICATE_REVOKED);
    pki_free(&leaf);
}

/* ---- beside other methods, and remembered */

static void the_first_that_is_present(void **state)
{
    struct world *w = *state;
    struct span good = shown(w, (struct pki_spec){GOOD, .issuer = &root});
    struct span bad = shown(w, (struct pki_spec){GOOD, .issuer = &other});
    const char *claims = arena_printf(
        &w->m->mem,
        "{\"iss\":\"https://idp.test\",\"aud\":\"turnpike\",\"sub\":\"bob\",\"exp\":%llu}",
        (unsigned long long)(now / NS_IN_S + 60));
    const char *token = maker_token(w->m, "ES256", KEY_P256, "p256", claims).p;
    const struct identity *id;

    assert_int_equal(ask(w, "mtls", bad, token, &id), IDENTITY_CERTIFICATE_UNTRUSTED);
    assert_int_equal(ask(w, "mtls", good, token, &id), IDENTITY_NONE);
    assert_true(span_eq(id->caller.method, SPAN_LIT("mtls")));
    identity_put(w->w, id);
    assert_int_equal(ask(w, "mtls", SPAN_NONE, token, &id), IDENTITY_NONE);
    assert_true(span_eq(id->caller.id, SPAN_LIT("bob")));
    identity_put(w->w, id);
    assert_int_equal(ask(w, "mtls", SPAN_NONE, NULL, &id), IDENTITY_CERTIFICATE_MISSING);
    assert_int_equal(ask(w, "late", bad, token, &id), IDENTITY_NONE);
    assert_true(span_eq(id->caller.id, SPAN_LIT("bob")));
    identity_put(w->w, id);
    assert_int_equal(ask(w, "late", bad, NULL, &id), IDENTITY_CERTIFICATE_UNTRUSTED);
    assert_int_equal(ask(w, "late", good, "junk", &id), IDENTITY_TOKEN_MALFORMED);
    /* Who does not list certificates does not look at them. */
    assert_int_equal(ask(w, "tokens", good, NULL, &id), IDENTITY_TOKEN_MISSING);
}

static void verified_once(void **state)
{
    struct world *w = *state;
    const struct identity_counters *c = identity_counters(w->w);
    struct span s = shown(w, (struct pki_spec){GOOD, .issuer = &root, .until_s = 600});
    uint64_t began = now;

    for (int i = 0; i < 10; i++)
        caller_is(w, s, "ann@acme.example");
    assert_int_equal(counter_get(&c->verified), 1);
    assert_int_equal(counter_get(&c->cache_hits), 9);
    now = began + 590 * NS_IN_S;
    caller_is(w, s, "ann@acme.example");
    assert_int_equal(counter_get(&c->verified), 1);
    now = began + 610 * NS_IN_S; /* what is remembered ends with the certificate */
    cause_is(w, s, IDENTITY_CERTIFICATE_EXPIRED);
    now = began;
    load(w, "  people: {ca: other.pem, id: email}\n");
    cause_is(w, s, IDENTITY_CERTIFICATE_UNTRUSTED);
}

static void revocation_lists_end(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &root});
    uint64_t began = now;

    write_crls(w, (const struct pki *[]){&root, NULL}, NULL, 300);
    load(w, WITH_CRL);
    caller_is(w, der(w, &leaf, NULL), "ann@acme.example");
    now = began + 310 * NS_IN_S;
    cause_is(w, der(w, &leaf, NULL), IDENTITY_CERTIFICATE_CRL);
    now = began;
    pki_free(&leaf);
}

/* ---- what is refused when it is loaded */

static void refused(struct world *w, const char *issuers, const char *words)
{
    struct rules_set *rules;
    struct identity_set *set;
    struct diags d;
    bool said = false;

    diags_init(&d);
    maker_write(w->m, "rules.yaml", arena_printf(&w->mem, "%s%s", RULES, issuers));
    rules = rules_load(w->m->dir, now, &d);
    assert_non_null(rules);
    set = identity_load(rules, &d);
    for (size_t i = 0; i < d.count; i++)
        said = said || (strstr(d.items[i].message, words) && d.items[i].where.line == 7);
    if (set || !said) {
        diags_print(&d, stdout, false);
        fail_msg("%s: no complaint at line 7 says \"%s\"", issuers, words);
    }
    diags_free(&d);
    rules_free(rules);
}

static void bad_files(void **state)
{
    struct world *w = *state;
    struct pki leaf = pki_make(&(struct pki_spec){GOOD, .issuer = &root});

    write_ca(w, "leaf.pem", &leaf, NULL);
    write_ca(w, "mixed.pem", &root, &leaf);
    maker_write(w->m, "empty.pem", "");
    maker_write(w->m, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    refused(w, "  x: {ca: none.pem, id: dns}\n", "cannot be read");
    refused(w, "  x: {ca: empty.pem, id: dns}\n", "PEM file");
    refused(w, "  x: {ca: cut.pem, id: dns}\n", "PEM file");
    refused(w, "  x: {ca: jwks.json, id: dns}\n", "PEM file");
    refused(w, "  x: {ca: leaf.pem, id: dns}\n", "not a CA");
    refused(w, "  x: {ca: mixed.pem, id: dns}\n", "not a CA");
    refused(w, "  x: {ca: root.pem, crl: none.pem, id: dns}\n", "cannot be read");
    refused(w, "  x: {ca: root.pem, crl: root.pem, id: dns}\n", "CRLs");
    pki_free(&leaf);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_certificate_says),
        TEST(each_kind_of_name),
        TEST(hostile_names),
        TEST(chains),
        TEST(causes),
        TEST(damaged),
        TEST(more_certificates_than_anybody_needs),
        TEST(revoked),
        TEST(anchor_below_the_root),
        TEST(the_first_that_is_present),
        TEST(verified_once),
        TEST(revocation_lists_end),
        TEST(bad_files),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    pki_free(&root);
    pki_free(&middle);
    pki_free(&other);
    return failed;
}
