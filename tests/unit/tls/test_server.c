/* Sessions towards callers: what a handshake comes to, for every kind of client. */
#include "world.h"

#include <openssl/err.h>

#define NAME "api.vendor.example"

/* ---- handshakes that succeed */

static void must_be(const struct link *l, const char *version, const char *cipher, int key)
{
    EVP_PKEY *leaf = X509_get0_pubkey(SSL_get0_peer_certificate(l->peer.ssl));

    assert_string_equal(tls_version(l->s), version);
    if (cipher)
        assert_string_equal(tls_cipher(l->s), cipher);
    assert_int_equal(EVP_PKEY_get_base_id(leaf), key);
}

static void tls13(void **state)
{
    struct link l;

    (void)state;
    link_server(&l, w.t, w.caller, NAME);
    assert_int_equal(tls_sni(l.s).n, 0);
    assert_string_equal(tls_version(l.s), "");
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    link_must_handshake(&l);
    must_be(&l, "TLSv1.3", "TLS_AES_128_GCM_SHA256", EVP_PKEY_EC);
    assert_true(span_eq(tls_sni(l.s), SPAN_LIT(NAME)));
    assert_false(tls_ech_offered(l.s));
    assert_false(tls_resumed(l.s));
    assert_int_equal(tls_error(l.s), TLS_ERR_NONE);
    assert_string_equal(tls_error_text(l.s), "");
    assert_int_equal(SSL_get_negotiated_group(l.peer.ssl), NID_X25519);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
}

static void tls12(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    link_server(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    must_be(&l, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", EVP_PKEY_EC);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* Clients without ECDSA get the RSA leaf, whatever it is that they lack. */
static void rsa_clients(void **state)
{
    static const struct {
        int version;
        const char *suites, *sigalgs, *groups;
        int key;
    } cases[] = {
        {TLS1_3_VERSION, NULL, "rsa_pss_rsae_sha256:rsa_pkcs1_sha256", NULL, EVP_PKEY_RSA},
        {TLS1_3_VERSION, NULL, "ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256:ECDSA+SHA512", NULL,
         EVP_PKEY_RSA},
        {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL, EVP_PKEY_RSA},
        {TLS1_2_VERSION, NULL, "rsa_pkcs1_sha256", NULL, EVP_PKEY_RSA},
        {TLS1_2_VERSION, NULL, NULL, "X25519:P-384", EVP_PKEY_RSA},
        {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, NULL, EVP_PKEY_EC},
        {TLS1_2_VERSION, NULL, "ECDSA+SHA384", NULL, EVP_PKEY_EC},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SSL_CTX *ctx = peer_client_ctx(NULL);
        struct link l;

        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_max_proto_version(ctx, cases[i].version);
        SSL_CTX_set_min_proto_version(ctx, cases[i].version);
        if (cases[i].suites)
            SSL_CTX_set_cipher_list(ctx, cases[i].suites);
        if (cases[i].sigalgs)
            SSL_CTX_set1_sigalgs_list(ctx, cases[i].sigalgs);
        if (cases[i].groups)
            SSL_CTX_set1_groups_list(ctx, cases[i].groups);
        link_server(&l, w.t, ctx, NAME);
        link_must_handshake(&l);
        must_be(&l, cases[i].version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2", NULL, cases[i].key);
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

/* ClientHellos that need a HelloRetryRequest come twice. */
static void hello_retry(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    /* The first group alone gets a key share, and P-521 is none of ours. */
    assert_int_equal(SSL_CTX_set1_groups_list(ctx, "P-521:P-384"), 1);
    link_server(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    assert_int_equal(SSL_get_negotiated_group(l.peer.ssl), NID_secp384r1);
    assert_true(span_eq(tls_sni(l.s), SPAN_LIT(NAME)));
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
}

static void upper_case_sni(void **state)
{
    struct link l;

    (void)state;
    link_server(&l, w.t, w.caller, "API.Vendor.EXAMPLE");
    link_must_handshake(&l);
    assert_true(span_eq(tls_sni(l.s), SPAN_LIT(NAME)));
    link_free(&l);
}

/* ---- ALPN */

static void alpn_is(const char *offer, size_t n, bool ok)
{
    const unsigned char *chosen;
    unsigned len;
    struct link l;

    link_server(&l, w.t, w.caller, NAME);
    assert_int_equal(SSL_set_alpn_protos(l.peer.ssl, (const unsigned char *)offer, (unsigned)n), 0);
    if (ok) {
        link_must_handshake(&l);
        SSL_get0_alpn_selected(l.peer.ssl, &chosen, &len);
        assert_int_equal(len, 8);
        assert_memory_equal(chosen, "http/1.1", 8);
    } else {
        link_must_fail(&l, TLS_ERR_NO_ALPN);
        assert_int_equal(link_alert(&l), SSL_AD_NO_APPLICATION_PROTOCOL);
    }
    link_free(&l);
}

static void alpn(void **state)
{
    (void)state;
    alpn_is("\x08http/1.1", 9, true);
    alpn_is("\x02h2\x08http/1.1", 12, true);
    alpn_is("\x08http/1.1\x02h2", 12, true);
    alpn_is("\x02h2", 3, false);
    alpn_is("\x08http/1.0", 9, false);
    alpn_is("\x09http/1.1x", 10, false);
    alpn_is("\x07http/1.\x01"
            "1",
            10, false);
}

/* ---- names that are refused */

static void sni_is_refused(const char *sni, enum tls_error e, int alert)
{
    struct link l;

    link_server(&l, w.t, w.caller, sni);
    if (sni)
        SSL_set1_host(l.peer.ssl, NULL);
    link_must_fail(&l, e);
    if (link_alert(&l) != alert)
        fail_msg("\"%s\": the peer's reason is %d", sni ? sni : "none", l.peer_reason);
    link_free(&l);
}

static void bad_names(void **state)
{
    uint64_t minted = counter_get(&tls_counters(w.t)->leaves_minted);
    uint64_t failed = counter_get(&tls_counters(w.t)->server_failed);
    uint64_t none = count_errors(TLS_ERR_NO_SNI), bad = count_errors(TLS_ERR_BAD_SNI);

    (void)state;
    sni_is_refused(NULL, TLS_ERR_NO_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("api.vendor.example.", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("10.0.0.1", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("::1", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("a..b", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("*.vendor.example", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("a b", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    sni_is_refused("a\r\nb", TLS_ERR_BAD_SNI, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(counter_get(&tls_counters(w.t)->leaves_minted), minted);
    assert_int_equal(counter_get(&tls_counters(w.t)->server_failed), failed + 8);
    assert_int_equal(count_errors(TLS_ERR_NO_SNI), none + 1);
    assert_int_equal(count_errors(TLS_ERR_BAD_SNI), bad + 7);
}

/* ---- encrypted_client_hello */

static int add_grease(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                      size_t *n, X509 *x, size_t chain, int *alert, void *arg)
{
    (void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert, (void)arg;
    *out = (const unsigned char *)"\0\0\x01\0\x01\x2a\0\0\0\0";
    *n = 10;
    return 1;
}

static void ech(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    assert_int_equal(SSL_CTX_add_custom_ext(ctx, 0xfe0d, SSL_EXT_CLIENT_HELLO, add_grease, NULL,
                                            NULL, NULL, NULL),
                     1);
    link_server(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    assert_true(tls_ech_offered(l.s));
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* ---- clients that cannot or will not */

static void no_common_ground(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    link_server(&l, w.t, ctx, NAME);
    link_must_fail(&l, TLS_ERR_VERSION);
    assert_int_equal(link_alert(&l), SSL_AD_PROTOCOL_VERSION);
    link_free(&l);
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    static const char *const weak[] = {"AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256",
                                       "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, weak[i]), 1);
        link_server(&l, w.t, ctx, NAME);
        link_must_fail(&l, TLS_ERR_NO_SHARED_CIPHER);
        assert_int_equal(link_alert(&l), SSL_AD_HANDSHAKE_FAILURE);
        link_free(&l);
    }
    SSL_CTX_free(ctx);
    ctx = peer_client_ctx(&w.ca);
    SSL_CTX_set1_groups_list(ctx, "P-521");
    link_server(&l, w.t, ctx, NAME);
    link_must_fail(&l, TLS_ERR_NO_SHARED_CIPHER);
    link_free(&l);
    SSL_CTX_free(ctx);
}

static void distrustful_client(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = peer_client_ctx(&w.vendor_ca); /* does not know our CA */
        struct link l;

        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        link_server(&l, w.t, ctx, NAME);
        link_must_fail(&l, TLS_ERR_PEER_REJECTED_CERTIFICATE);
        assert_non_null(strstr(tls_error_text(l.s), "unknown CA"));
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

/* ---- resumption */

static SSL_SESSION *visit(SSL_CTX *ctx, struct tls *t, const char *name, SSL_SESSION *with,
                          bool want)
{
    SSL_SESSION *session;
    struct link l;

    link_server(&l, t, ctx, name);
    if (with)
        SSL_set_session(l.peer.ssl, with);
    link_must_handshake(&l);
    if (tls_resumed(l.s) != want)
        fail_msg("%s to %s: resumed is %d", tls_version(l.s), name, !want);
    assert_int_equal(SSL_session_reused(l.peer.ssl), want);
    link_must_say(&l, "hello", "good day"); /* the peer reads the ticket */
    session = SSL_get1_session(l.peer.ssl);
    assert_true(SSL_SESSION_has_ticket(session));
    tls_shutdown(l.s);
    link_free(&l);
    return session;
}

static void resumption(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls *other =
        tls_new(w.shared, &(struct tls_limits){.leaf_cache = 4, .mints_a_second = 10});

    (void)state;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = peer_client_ctx(&w.ca);
        SSL_SESSION *a, *b, *c, *d;
        uint64_t resumed = counter_get(&tls_counters(w.t)->server_resumed);

        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        a = visit(ctx, w.t, NAME, NULL, false);
        b = visit(ctx, w.t, NAME, a, true);
        assert_int_equal(counter_get(&tls_counters(w.t)->server_resumed), resumed + 1);
        /* Another worker opens it too, and needs no leaf for it. */
        uint64_t minted = counter_get(&tls_counters(other)->leaves_minted);
        c = visit(ctx, other, NAME, b, true);
        assert_int_equal(counter_get(&tls_counters(other)->leaves_minted), minted);
        /* Another name does not (RFC 6066 3). */
        d = visit(ctx, w.t, "other.vendor.example", c, false);
        SSL_SESSION_free(a);
        SSL_SESSION_free(b);
        SSL_SESSION_free(c);
        SSL_SESSION_free(d);
        SSL_CTX_free(ctx);
    }
    tls_delete(other);
}

static void no_early_data(void **state)
{
    SSL_SESSION *a = visit(w.caller, w.t, NAME, NULL, false);

    (void)state;
    assert_int_equal(SSL_SESSION_get_max_early_data(a), 0);
    SSL_SESSION_free(a);
}

/* ---- renegotiation (TLS 1.2) */

static void renegotiation(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;
    char buf[16];
    size_t n;

    (void)state;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    link_server(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    assert_int_equal(SSL_renegotiate(l.peer.ssl), 1);
    SSL_do_handshake(l.peer.ssl);
    ERR_clear_error();
    assert_true(link_carry(&l));
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_FAILED);
    assert_int_equal(n, 0);
    must_error(l.s, TLS_ERR_RENEGOTIATION);
    must_queue_empty();
    assert_int_equal(link_alert(&l), 0);
    assert_int_equal(l.peer_reason, SSL_R_NO_RENEGOTIATION); /* by the warning of that name */
    assert_int_equal(tls_write(l.s, "x", 1, &n), TLS_FAILED);
    link_free(&l);
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls13),
        cmocka_unit_test(tls12),
        cmocka_unit_test(rsa_clients),
        cmocka_unit_test(hello_retry),
        cmocka_unit_test(upper_case_sni),
        cmocka_unit_test(alpn),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(ech),
        cmocka_unit_test(no_common_ground),
        cmocka_unit_test(distrustful_client),
        cmocka_unit_test(resumption),
        cmocka_unit_test(no_early_data),
        cmocka_unit_test(renegotiation),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
