/* Vendors that are not as all others: pins, CAs of their own, a certificate of ours. */
#include "world.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "tls/tls_internal.h"

#define HOST "api.vendor.example"

static struct pki good, bank_ca, bank, mine;

static int open_all(void **state)
{
    world_open(state);
    good = pki_make(&(struct pki_spec){
        .cn = "x", .san = "DNS:" HOST, .issuer = &w.vendor_ca, .purpose = "serverAuth"});
    bank_ca = pki_make(&(struct pki_spec){.cn = "Bank CA", PKI_CA});
    bank = pki_make(&(struct pki_spec){
        .cn = "x", .san = "DNS:" HOST, .issuer = &bank_ca, .purpose = "serverAuth"});
    mine = pki_make(&(struct pki_spec){.cn = "us", .issuer = &bank_ca, .purpose = "clientAuth"});
    pki_write_certs("bank.pem", (const struct pki *[]){&bank_ca, NULL});
    return 0;
}

static int close_all(void **state)
{
    pki_free(&good);
    pki_free(&bank_ca);
    pki_free(&bank);
    pki_free(&mine);
    return world_close(state);
}

static void pin_of(const struct pki *p, uint8_t out[32])
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(p->key, &der);

    assert_int_equal(EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
}

/* PEM of certificates and a key, as it stands in the vault. */
static struct span pem(char *room, size_t size, const struct pki *cert, const struct pki *above,
                       EVP_PKEY *key, bool encrypted)
{
    BIO *b = BIO_new(BIO_s_mem());
    int n;

    if (cert)
        PEM_write_bio_X509(b, cert->x);
    if (above)
        PEM_write_bio_X509(b, above->x);
    if (key)
        PEM_write_bio_PrivateKey(b, key, encrypted ? EVP_aes_128_cbc() : NULL,
                                 (const unsigned char *)"pw", encrypted ? 2 : 0, NULL, NULL);
    n = BIO_read(b, room, (int)size);
    BIO_free(b);
    return span_of(room, n > 0 ? (size_t)n : 0);
}

static struct tls_vendor *must_make(const struct tls_vendor_config *c)
{
    struct tls_vendor *v;
    struct diags d;

    diags_init(&d);
    v = tls_vendor_load(c, &d);
    if (!v)
        diags_print(&d, stderr, false);
    assert_non_null(v);
    diags_free(&d);
    must_queue_empty();
    return v;
}

static void must_come_to(const struct tls_vendor *v, const struct pki *cert, const char *host,
                         enum tls_error e)
{
    SSL_CTX *ctx = peer_server_ctx(cert, NULL);
    struct link l;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(ctx, version);
        link_vendor(&l, w.t, ctx, host, v);
        if (e == TLS_ERR_NONE) {
            link_must_handshake(&l);
            link_must_say(&l, "hello", "good day");
        } else {
            link_must_fail(&l, e);
            assert_true(link_alert(&l) != 0);
        }
        must_queue_empty();
        link_free(&l);
    }
    SSL_CTX_free(ctx);
}

/* A key of the chain, the vendor's or its CA's, will do; chain and name are asked for as before. */
static void pins(void **state)
{
    uint8_t two[2][32] = {{0}};
    struct tls_vendor_config c = {.pins = (const uint8_t(*)[32])two, .npins = 2};
    const struct pki *right[] = {&good, &w.vendor_ca};
    struct tls_vendor *v;

    (void)state;
    for (int i = 0; i < 2; i++) {
        pin_of(right[i], two[i]);
        v = must_make(&c);
        must_come_to(v, &good, HOST, TLS_ERR_NONE);
        must_come_to(v, &good, "other.vendor.example", TLS_ERR_VERIFY_NAME);
        tls_vendor_free(v);
        memset(two, 0, sizeof(two));
    }
    pin_of(&bank, two[0]);
    pin_of(&bank_ca, two[1]);
    v = must_make(&c);
    must_come_to(v, &good, HOST, TLS_ERR_VERIFY_PIN);
    must_come_to(v, &bank, HOST, TLS_ERR_VERIFY_CHAIN); /* a pin is no anchor */
    tls_vendor_free(v);
}

static void cas_of_its_own(void **state)
{
    struct tls_vendor *v = must_make(&(struct tls_vendor_config){.trust = pki_path("bank.pem")});

    (void)state;
    must_come_to(v, &bank, HOST, TLS_ERR_NONE);
    must_come_to(v, &good, HOST, TLS_ERR_VERIFY_CHAIN);
    must_come_to(NULL, &bank, HOST, TLS_ERR_VERIFY_CHAIN);
    must_come_to(NULL, &good, HOST, TLS_ERR_NONE);
    tls_vendor_free(v);
}

static void our_certificate(void **state)
{
    static char room[8192];
    struct tls_vendor *v = must_make(&(struct tls_vendor_config){
        .certificate = pem(room, sizeof(room), &mine, &bank_ca, mine.key, false)});
    SSL_CTX *ctx = peer_server_ctx(&good, NULL);

    (void)state;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), bank_ca.x);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct link l;

        SSL_CTX_set_max_proto_version(ctx, version);
        link_vendor(&l, w.t, ctx, HOST, v);
        link_must_handshake(&l);
        link_must_say(&l, "hello", "good day");
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.peer.ssl), mine.x), 0);
        link_free(&l);
        /* Without one the vendor ends it, and that is what is reported: in TLS 1.3 only behind a
         * handshake that looked complete to us. */
        link_client(&l, w.t, ctx, HOST);
        link_handshake(&l);
        assert_false(l.peer_done);
        link_free(&l);
    }
    SSL_CTX_free(ctx);
    tls_vendor_free(v);
}

/* ---- what is kept apart */

static bool resumes(SSL_CTX *ctx, const struct tls_vendor *v)
{
    struct link l;
    char buf[8];
    bool resumed;
    size_t n;

    link_vendor(&l, w.t, ctx, HOST, v);
    link_must_handshake(&l);
    resumed = tls_resumed(l.s);
    link_must_say(&l, "hello", "good day");
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_AGAIN); /* the tickets */
    link_free(&l);
    return resumed;
}

static void sessions_are_kept_apart(void **state)
{
    uint8_t pin[1][32];
    struct tls_vendor *a, *b;
    SSL_CTX *ctx = peer_server_ctx(&good, NULL);

    (void)state;
    pin_of(&good, pin[0]);
    a = must_make(&(struct tls_vendor_config){.pins = (const uint8_t(*)[32])pin, .npins = 1});
    b = must_make(&(struct tls_vendor_config){.pins = (const uint8_t(*)[32])pin, .npins = 1});
    assert_false(resumes(ctx, NULL));
    assert_true(resumes(ctx, NULL));
    assert_false(resumes(ctx, a));
    assert_true(resumes(ctx, a));
    assert_true(resumes(ctx, b)); /* the next generation's, with the same in it */
    tls_vendor_free(b);
    memset(pin, 0, sizeof(pin));
    b = must_make(&(struct tls_vendor_config){.pins = (const uint8_t(*)[32])pin, .npins = 1});
    /* Pins that have changed are asked for again, whatever was resumable. */
    must_come_to(b, &good, HOST, TLS_ERR_VERIFY_PIN);
    tls_vendor_free(a);
    tls_vendor_free(b);
    SSL_CTX_free(ctx);
}

static void ids(void **state)
{
    static char room[8192];
    static const uint8_t none[TLS_VENDOR_ID];
    uint8_t pin[2][32] = {{1}, {2}};
    struct span certificate = pem(room, sizeof(room), &mine, NULL, mine.key, false);
    const struct tls_vendor_config c[] = {
        {.pins = (const uint8_t(*)[32])pin, .npins = 1},
        {.pins = (const uint8_t(*)[32])pin, .npins = 2},
        {.trust = pki_path("bank.pem")},
        {.trust = pki_path("bank.pem"), .certificate = certificate},
        {.certificate = certificate},
    };

    (void)state;
    assert_memory_equal(tls_vendor_id(NULL), none, TLS_VENDOR_ID);
    for (size_t i = 0; i < 5; i++) {
        struct tls_vendor *a = must_make(&c[i]);

        assert_memory_not_equal(tls_vendor_id(a), none, TLS_VENDOR_ID);
        for (size_t k = 0; k < 5; k++) {
            struct tls_vendor *b = must_make(&c[k]);

            if ((memcmp(tls_vendor_id(a), tls_vendor_id(b), TLS_VENDOR_ID) == 0) != (i == k))
                fail_msg("ids of %zu and %zu", i, k);
            tls_vendor_free(b);
        }
        tls_vendor_free(a);
    }
}

/* ---- what is refused when it is loaded */

static void refused(const struct tls_vendor_config *c, const char *words)
{
    struct diags d;
    bool said = false;

    diags_init(&d);
    assert_null(tls_vendor_load(c, &d));
    for (size_t i = 0; i < d.count; i++) {
        said = said || strstr(d.items[i].message, words);
        assert_null(strstr(d.items[i].message, "BEGIN"));
    }
    if (!said) {
        diags_print(&d, stderr, false);
        fail_msg("no complaint says \"%s\"", words);
    }
    assert_true(d.errors > 0);
    must_queue_empty();
    diags_free(&d);
}

static void bad_ones(void **state)
{
    static char room[16384];
    struct pki server = pki_make(&(struct pki_spec){.cn = "s", .purpose = "serverAuth"});
    struct pki weak = pki_make(&(struct pki_spec){.cn = "w", .rsa = true, .rsa_bits = 1024});
#define PEM(...) (&(struct tls_vendor_config){.certificate = pem(room, sizeof(room), __VA_ARGS__)})

    (void)state;
    refused(&(struct tls_vendor_config){.certificate = SPAN_LIT("sk_live_123")}, "must be PEM");
    refused(&(struct tls_vendor_config){.certificate = SPAN_LIT("-----BEGIN CERTIFICATE-----\n")},
            "must be PEM");
    refused(PEM(NULL, NULL, mine.key, false), "must be PEM");
    refused(PEM(&mine, NULL, NULL, false), "no private key");
    refused(PEM(&mine, NULL, mine.key, true), "no private key");
    refused(PEM(&mine, NULL, good.key, false), "not that of its first certificate");
    refused(PEM(&server, NULL, server.key, false), "TLS client");
    refused(PEM(&weak, NULL, weak.key, false), "too weak");
    refused(&(struct tls_vendor_config){.trust = "/nonexistent.pem"}, "`trust`");
    pki_free(&server);
    pki_free(&weak);
}

/* A worker keeps the objects of so many vendors and makes those of others anew. */
static void more_than_are_kept(void **state)
{
    struct tls_vendor *v;
    uint8_t pin[1][32];

    (void)state;
    pin_of(&good, pin[0]);
    for (unsigned i = 0; i < TLS_VENDORS_MAX + 50; i++) {
        struct tls_vendor fake = {.id = {(uint8_t)i, (uint8_t)(i >> 8), 1}};

        assert_non_null(tls_vendor_side_of(w.t, &fake));
        assert_true(lru_count(w.t->vendors) <= TLS_VENDORS_MAX);
    }
    v = must_make(&(struct tls_vendor_config){.pins = (const uint8_t(*)[32])pin, .npins = 1});
    must_come_to(v, &good, HOST, TLS_ERR_NONE);
    tls_vendor_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pins),
        cmocka_unit_test(cas_of_its_own),
        cmocka_unit_test(our_certificate),
        cmocka_unit_test(sessions_are_kept_apart),
        cmocka_unit_test(ids),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(more_than_are_kept),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
