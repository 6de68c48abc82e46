/* Sessions towards vendors: who is believed, who is not and why, what is resumed. */
#include "world.h"

#include <openssl/err.h>

#include "tls/tls_internal.h"

#define HOST "api.vendor.example"

static struct pki vendor(const char *cn, const char *san)
{
    return pki_make(
        &(struct pki_spec){.cn = cn, .san = san, .issuer = &w.vendor_ca, .purpose = "serverAuth"});
}

static void must_accept(const struct pki *cert, const char *host)
{
    SSL_CTX *ctx = peer_server_ctx(cert, NULL);
    struct link l;

    link_client(&l, w.t, ctx, host);
    link_must_handshake(&l);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* Refused for `e`, the text has `words`, and nothing that we were given to write has left. */
static void must_refuse(const struct pki *cert, const char *host, enum tls_error e,
                        const char *words)
{
    SSL_CTX *ctx = peer_server_ctx(cert, NULL);
    uint64_t failed = counter_get(&tls_counters(w.t)->client_failed);
    uint64_t count = count_errors(e);
    struct link l;
    size_t n;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(ctx, version);
        link_client(&l, w.t, ctx, host);
        assert_int_equal(tls_write(l.s, "secret", 6, &n), TLS_AGAIN);
        assert_int_equal(n, 0);
        link_must_fail(&l, e);
        if (!strstr(tls_error_text(l.s), words))
            fail_msg("expected \"%s\" in: %s", words, tls_error_text(l.s));
        assert_int_equal(tls_write(l.s, "secret", 6, &n), TLS_FAILED);
        assert_int_equal(n, 0);
        assert_true(link_alert(&l) != 0);
        link_free(&l);
    }
    assert_int_equal(counter_get(&tls_counters(w.t)->client_failed), failed + 2);
    assert_int_equal(count_errors(e), count + 2);
    SSL_CTX_free(ctx);
}

static void good_vendor(void **state)
{
    struct pki cert = vendor("x", "DNS:other.example,DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    link_client(&l, w.t, ctx, "API.vendor.example");
    link_must_handshake(&l);
    assert_string_equal(tls_version(l.s), "TLSv1.3");
    assert_string_equal(tls_cipher(l.s), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(SSL_get_servername(l.peer.ssl, TLSEXT_NAMETYPE_host_name), HOST);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

static void wildcards(void **state)
{
    struct pki cert = vendor("x", "DNS:*.vendor.example");

    (void)state;
    must_accept(&cert, HOST);
    must_refuse(&cert, "vendor.example", TLS_ERR_VERIFY_NAME, "mismatch");
    must_refuse(&cert, "a.b.vendor.example", TLS_ERR_VERIFY_NAME, "mismatch");
    pki_free(&cert);
    cert = vendor("x", "DNS:ap*.vendor.example");
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_NAME, "mismatch");
    pki_free(&cert);
}

static void wrong_name(void **state)
{
    struct pki cert = vendor("x", "DNS:api.other.example");

    (void)state;
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_NAME, "CN=x");
    pki_free(&cert);
    /* The common name says nothing, with other names or without any. */
    cert = vendor(HOST, "DNS:api.other.example");
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_NAME, HOST);
    pki_free(&cert);
    cert = vendor(HOST, NULL);
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_NAME, HOST);
    pki_free(&cert);
}

static void wrong_chain(void **state)
{
    struct pki fake_ca = pki_make(&(struct pki_spec){.cn = "Vendor CA", PKI_CA}), cert;

    (void)state;
    cert = pki_make(&(struct pki_spec){.cn = "f", .san = "DNS:" HOST, .issuer = &fake_ca});
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_CHAIN, "CN=Vendor CA");
    pki_free(&cert);
    cert = pki_make(&(struct pki_spec){.cn = "self", .san = "DNS:" HOST});
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_CHAIN, "self");
    pki_free(&cert);
    /* The organisation's own CA is not for vendors. */
    cert = pki_make(&(struct pki_spec){.cn = "own", .san = "DNS:" HOST, .issuer = &w.ca});
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_CHAIN, "Corp CA");
    pki_free(&cert);
    /* A vendor's leaf is no CA. */
    struct pki leaf = vendor("leaf", "DNS:leaf.example");
    cert = pki_make(&(struct pki_spec){.cn = "c", .san = "DNS:" HOST, .issuer = &leaf});
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_CHAIN, "CN=leaf");
    pki_free(&cert);
    pki_free(&leaf);
    pki_free(&fake_ca);
}

static void wrong_time(void **state)
{
    struct pki cert = pki_make(&(struct pki_spec){.cn = "old",
                                                  .san = "DNS:" HOST,
                                                  .issuer = &w.vendor_ca,
                                                  .from_s = -864000,
                                                  .until_s = -86400});
    (void)state;
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_EXPIRED, "expired");
    pki_free(&cert);
    cert = pki_make(&(struct pki_spec){
        .cn = "young", .san = "DNS:" HOST, .issuer = &w.vendor_ca, .from_s = 86400});
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_EXPIRED, "not yet valid");
    pki_free(&cert);
}

static void wrong_use(void **state)
{
    struct pki cert = pki_make(&(struct pki_spec){
        .cn = "c", .san = "DNS:" HOST, .issuer = &w.vendor_ca, .purpose = "clientAuth"});

    (void)state;
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_OTHER, "purpose");
    pki_free(&cert);
}

/* What stands in a certificate is the other side's: it must not steer a terminal. */
static void hostile_subject(void **state)
{
    struct pki cert = pki_make(&(struct pki_spec){
        .cn = "evil\x1b[2J\r\n\"x\"", .san = "DNS:no.example", .issuer = &w.vendor_ca});
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    link_client(&l, w.t, ctx, HOST);
    link_must_fail(&l, TLS_ERR_VERIFY_NAME);
    for (const char *p = tls_error_text(l.s); *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            fail_msg("byte %02x in the text", (unsigned)(unsigned char)*p);
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

/* Longer than our buffers for it. */
static void long_subject(void **state)
{
    static const char *cn = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct pki cert = vendor(cn, "DNS:no.example");

    (void)state;
    for (int i = 0; i < 20; i++)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.x), "OU", MBSTRING_ASC,
                                   (const unsigned char *)cn, 60, -1, 0);
    X509_sign(cert.x, w.vendor_ca.key, EVP_sha256());
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_NAME, "Vendor CA");
    pki_free(&cert);
}

static void vendor_with_intermediate(void **state)
{
    struct pki middle = pki_make(&(struct pki_spec){.cn = "M", .issuer = &w.vendor_ca, PKI_CA});
    struct pki cert =
        pki_make(&(struct pki_spec){.cn = "x", .san = "DNS:" HOST, .issuer = &middle});
    SSL_CTX *ctx = peer_server_ctx(&cert, (const struct pki *[]){&middle, NULL});
    struct link l;

    (void)state;
    link_client(&l, w.t, ctx, HOST);
    link_must_handshake(&l);
    link_free(&l);
    SSL_CTX_free(ctx);
    must_refuse(&cert, HOST, TLS_ERR_VERIFY_CHAIN, "issuer certificate");
    pki_free(&cert);
    pki_free(&middle);
}

/* Whatever a bundle holds is an anchor: an intermediate alone will do, its root alone too. */
static void anchor_below_the_root(void **state)
{
    struct pki middle = pki_make(&(struct pki_spec){.cn = "M", .issuer = &w.vendor_ca, PKI_CA});
    struct pki cert =
        pki_make(&(struct pki_spec){.cn = "x", .san = "DNS:" HOST, .issuer = &middle});
    struct tls_shared_config c = {
        .ca_certificate = pki_path("ca.pem"),
        .ca_key = pki_path("ca.key"),
        .vendor_trust = pki_write_certs("middle.pem", (const struct pki *[]){&middle, NULL}),
    };
    struct tls_shared *s = must_load(&c);
    struct tls *t = tls_new(s, &(struct tls_limits){4, 4});
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    assert_non_null(t);
    link_client(&l, t, ctx, HOST);
    link_must_handshake(&l);
    link_free(&l);
    SSL_CTX_free(ctx);
    /* And nothing else is: not what the root of that intermediate has signed otherwise. */
    struct pki other = vendor("x", "DNS:" HOST);
    ctx = peer_server_ctx(&other, NULL);
    link_client(&l, t, ctx, HOST);
    link_must_fail(&l, TLS_ERR_VERIFY_CHAIN);
    link_free(&l);
    SSL_CTX_free(ctx);
    tls_delete(t);
    tls_shared_free(s);
    pki_free(&other);
    pki_free(&cert);
    pki_free(&middle);
}

/* ---- other ways to fail */

/* A vendor that asks to renegotiate (TLS 1.2) is told no, and the session goes on. */
static void renegotiation(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    link_client(&l, w.t, ctx, HOST);
    link_must_handshake(&l);
    assert_int_equal(SSL_renegotiate(l.peer.ssl), 1);
    SSL_do_handshake(l.peer.ssl);
    ERR_clear_error();
    assert_true(link_carry(&l));
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_AGAIN);
    must_queue_empty();
    assert_int_equal(bytes_count(&l.tcp.out), 5 + 8 + 2 + 16); /* one encrypted alert */
    assert_int_equal(l.tcp.out.p[l.tcp.out.at], 0x15);
    assert_int_equal(tls_write(l.s, "on", 2, &n), TLS_OK);
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

static void old_vendor(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    link_client(&l, w.t, ctx, HOST);
    link_must_fail(&l, TLS_ERR_VERSION);
    link_free(&l);
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-SHA");
    link_client(&l, w.t, ctx, HOST);
    link_must_fail(&l, TLS_ERR_PEER_ALERT);
    assert_non_null(strstr(tls_error_text(l.s), "handshake failure"));
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                     const unsigned char *in, unsigned inlen, void *arg)
{
    (void)ssl, (void)in, (void)inlen;
    assert_int_equal(inlen, 9);
    assert_memory_equal(in, "\x08http/1.1", 9);
    *out = (const unsigned char *)arg;
    *outlen = (unsigned char)strlen(arg);
    return SSL_TLSEXT_ERR_OK;
}

static void alpn(void **state)
{
    static char h2[] = "h2", h1[] = "http/1.1";
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    SSL_CTX_set_alpn_select_cb(ctx, choose_h2, h1);
    link_client(&l, w.t, ctx, HOST);
    link_must_handshake(&l);
    link_free(&l);
    SSL_CTX_set_alpn_select_cb(ctx, choose_h2, h2);
    link_client(&l, w.t, ctx, HOST);
    assert_int_equal(link_handshake(&l), TLS_FAILED);
    /* Later releases of OpenSSL 3.0 refuse it themselves, as a protocol error. */
    assert_true(tls_error(l.s) == TLS_ERR_NO_ALPN || tls_error(l.s) == TLS_ERR_PROTOCOL);
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

static void bad_hosts(void **state)
{
    static const char *const hosts[] = {"", "10.0.0.1", "a b", "a.example."};
    struct tcp_conn c;

    (void)state;
    for (int i = 0; i < 4; i++) {
        fake_open(&c);
        struct tls_session *s = tls_client(w.t, &c, span_cstr(hosts[i]), NULL);
        assert_non_null(s);
        assert_int_equal(tls_handshake(s), TLS_FAILED);
        must_error(s, TLS_ERR_INTERNAL);
        assert_int_equal(bytes_count(&c.out), 0);
        assert_string_equal(tls_version(s), "");
        assert_string_equal(tls_cipher(s), "");
        assert_false(tls_pending(s));
        tls_shutdown(s);
        tls_free(s);
        fake_close(&c);
    }
}

/* ---- resumption */

/* One visit to the vendor; whether it was resumed. */
static bool visit(struct tls *t, SSL_CTX *ctx, const char *host)
{
    struct link l;
    bool resumed;

    link_client(&l, t, ctx, host);
    link_must_handshake(&l);
    link_must_say(&l, "ticket comes first", "good day");
    resumed = tls_resumed(l.s);
    assert_int_equal(SSL_session_reused(l.peer.ssl), resumed);
    link_free(&l);
    return resumed;
}

static struct tls *fresh_worker(void)
{
    struct tls *t = tls_new(w.shared, &(struct tls_limits){4, 4});

    assert_non_null(t);
    return t;
}

static void resumption(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST ",DNS:b.example");

    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
        struct tls *t = fresh_worker();

        SSL_CTX_set_max_proto_version(ctx, version);
        assert_false(visit(t, ctx, HOST));
        assert_true(visit(t, ctx, HOST));
        assert_true(visit(t, ctx, HOST));
        assert_false(visit(t, ctx, "b.example")); /* another name, another session */
        assert_int_equal(counter_get(&tls_counters(t)->client_handshakes), 4);
        assert_int_equal(counter_get(&tls_counters(t)->client_resumed), 2);
        SSL_CTX_free(ctx);
        tls_delete(t);
    }
    pki_free(&cert);
}

/* Two tickets came: two connections at a time may use them, each once. */
static void tickets_are_used_once(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct tls *t = fresh_worker();
    struct link l[3];

    (void)state;
    SSL_CTX_set_num_tickets(ctx, 2);
    assert_false(visit(t, ctx, HOST));
    for (int i = 0; i < 3; i++)
        link_client(&l[i], t, ctx, HOST);
    for (int i = 0; i < 3; i++) {
        link_must_handshake(&l[i]);
        assert_int_equal(tls_resumed(l[i].s), i < 2);
    }
    for (int i = 0; i < 3; i++)
        link_free(&l[i]);
    SSL_CTX_free(ctx);
    tls_delete(t);
    pki_free(&cert);
}

/* Sessions grow old with the worker's clock, and a failed connection's are not used again. */
static void sessions_end(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct tls *t = fresh_worker();
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    assert_false(visit(t, ctx, HOST));
    t->wall += 3700;
    assert_false(visit(t, ctx, HOST));
    tls_tick(t, 1);
    tls_delete(t);
    t = fresh_worker();
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    assert_false(visit(t, ctx, HOST));
    link_client(&l, t, ctx, HOST);
    link_must_handshake(&l);
    assert_true(tls_resumed(l.s));
    bytes_put(&l.tcp.in,
              "\x17\x03\x03\x00\x20"
              "................................",
              37);
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_FAILED);
    must_error(l.s, TLS_ERR_BAD_RECORD);
    link_free(&l);
    assert_false(visit(t, ctx, HOST));
    SSL_CTX_free(ctx);
    tls_delete(t);
    pki_free(&cert);
}

/* However many tickets a vendor sends. */
static void sessions_are_bounded(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST);
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct tls *t = fresh_worker();
    struct link l[6];
    int resumed = 0;

    (void)state;
    SSL_CTX_set_num_tickets(ctx, 20);
    assert_false(visit(t, ctx, HOST));
    for (int i = 0; i < 6; i++)
        link_client(&l[i], t, ctx, HOST);
    for (int i = 0; i < 6; i++) {
        link_must_handshake(&l[i]);
        resumed += tls_resumed(l[i].s);
        link_free(&l[i]);
    }
    assert_int_equal(resumed, 4);
    SSL_CTX_free(ctx);
    tls_delete(t);
    pki_free(&cert);
}

/* A vendor whose ticket keys are somebody else's: the certificate is looked at again. */
static void resumption_refused(void **state)
{
    struct pki cert = vendor("x", "DNS:" HOST), bad = vendor("x", "DNS:other.example");
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL), *other = peer_server_ctx(&bad, NULL);
    struct tls *t = fresh_worker();
    struct link l;

    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(other, version);
        visit(t, ctx, HOST);
        link_client(&l, t, other, HOST);
        link_must_fail(&l, TLS_ERR_VERIFY_NAME);
        link_free(&l);
    }
    SSL_CTX_free(ctx);
    SSL_CTX_free(other);
    tls_delete(t);
    pki_free(&cert);
    pki_free(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_vendor),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(wrong_name),
        cmocka_unit_test(wrong_chain),
        cmocka_unit_test(wrong_time),
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(hostile_subject),
        cmocka_unit_test(long_subject),
        cmocka_unit_test(vendor_with_intermediate),
        cmocka_unit_test(anchor_below_the_root),
        cmocka_unit_test(renegotiation),
        cmocka_unit_test(old_vendor),
        cmocka_unit_test(alpn),
        cmocka_unit_test(bad_hosts),
        cmocka_unit_test(resumption),
        cmocka_unit_test(tickets_are_used_once),
        cmocka_unit_test(sessions_end),
        cmocka_unit_test(sessions_are_bounded),
        cmocka_unit_test(resumption_refused),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
