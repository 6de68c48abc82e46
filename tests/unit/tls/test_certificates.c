/* Certificates that callers show: who is asked, what is handed on, what a resumed session
 * remembers. */
#include "world.h"

#include <openssl/err.h>

#include "tls/tls_internal.h"

#define NAME "api.vendor.example"

static struct pki root, middle, client;
static bool asking;
static struct tls *other; /* another worker */

static bool ask(void *arg, struct span name)
{
    (void)arg;
    return asking && span_eq(name, SPAN_LIT(NAME));
}

static int open_all(void **state)
{
    world_open(state);
    root = pki_make(&(struct pki_spec){.cn = "Client root", PKI_CA});
    middle = pki_make(&(struct pki_spec){.cn = "Client CA", .issuer = &root, PKI_CA});
    client = pki_make(&(struct pki_spec){.cn = "ann", .issuer = &middle, .purpose = "clientAuth"});
    other = tls_new(w.shared, &(struct tls_limits){.leaf_cache = 4, .mints_a_second = 100});
    tls_ask_certificates(w.t, ask, NULL);
    tls_ask_certificates(other, ask, NULL);
    return 0;
}

static int close_all(void **state)
{
    tls_delete(other);
    pki_free(&root);
    pki_free(&middle);
    pki_free(&client);
    return world_close(state);
}

static SSL_CTX *caller(int version, bool with_certificate)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);

    SSL_CTX_set_max_proto_version(ctx, version);
    if (with_certificate) {
        assert_int_equal(SSL_CTX_use_cert_and_key(ctx, client.x, client.key, NULL, 1), 1);
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, middle.x), 1);
    }
    return ctx;
}

static void must_have_shown(const struct tls_session *s)
{
    struct span got = tls_peer_certificates(s);
    const unsigned char *p = (const unsigned char *)got.p, *end = p + got.n;
    X509 *a = d2i_X509(NULL, &p, end - p), *b = a ? d2i_X509(NULL, &p, end - p) : NULL;

    if (!a || !b || p != end || X509_cmp(a, client.x) || X509_cmp(b, middle.x))
        fail_msg("%s%s: %zu bytes, not the client's certificate and the one above it",
                 tls_version(s), tls_resumed(s) ? ", resumed" : "", got.n);
    X509_free(a);
    X509_free(b);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void asked_and_shown(void **state)
{
    (void)state;
    asking = true;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = caller(versions[i], true);
        uint64_t asked = counter_get(&tls_counters(w.t)->certificates_asked);
        uint64_t shown = counter_get(&tls_counters(w.t)->certificates_shown);
        struct link l;

        link_server(&l, w.t, ctx, NAME);
        assert_int_equal(tls_peer_certificates(l.s).n, 0);
        link_must_handshake(&l);
        must_have_shown(l.s);
        link_must_say(&l, "hello", "good day");
        assert_int_equal(counter_get(&tls_counters(w.t)->certificates_asked), asked + 1);
        assert_int_equal(counter_get(&tls_counters(w.t)->certificates_shown), shown + 1);
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

/* Nothing is taken from those who were not asked, nor are those turned away who have nothing. */
static void not_asked_or_not_shown(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        bool has = i & 1, other_name = i & 2;
        SSL_CTX *ctx = caller(versions[i / 4], has);
        struct link l;

        asking = other_name || !has;
        link_server(&l, w.t, ctx, other_name ? "other.vendor.example" : NAME);
        link_must_handshake(&l);
        assert_int_equal(tls_peer_certificates(l.s).n, 0);
        link_must_say(&l, "hello", "good day");
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

static SSL_SESSION *visit(SSL_CTX *ctx, struct tls *t, SSL_SESSION *with, bool want, bool shown)
{
    SSL_SESSION *session;
    struct link l;

    link_server(&l, t, ctx, NAME);
    if (with)
        SSL_set_session(l.peer.ssl, with);
    link_must_handshake(&l);
    if (tls_resumed(l.s) != want)
        fail_msg("%s: resumed is %d", tls_version(l.s), !want);
    if (shown)
        must_have_shown(l.s);
    else
        assert_int_equal(tls_peer_certificates(l.s).n, 0);
    link_must_say(&l, "hello", "good day"); /* the peer reads the ticket */
    session = SSL_get1_session(l.peer.ssl);
    tls_shutdown(l.s);
    link_free(&l);
    SSL_SESSION_free(with);
    return session;
}

/* A ticket holds the whole chain, on every worker and through every renewal. */
static void resumed_with_the_chain(void **state)
{
    (void)state;
    asking = true;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = caller(versions[i], true);
        SSL_SESSION *s = visit(ctx, w.t, NULL, false, true);

        for (int k = 0; k < 4; k++)
            s = visit(ctx, k % 2 ? w.t : other, s, true, true);
        SSL_SESSION_free(s);
        SSL_CTX_free(ctx);
    }
}

/* When a name begins to be asked, or ceases to, old sessions end: else a caller could go on without
 * a certificate, or with one that nobody wants, for as long as its tickets live. */
static void asking_ends_sessions(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = caller(versions[i], true);
        SSL_SESSION *s;

        asking = false;
        s = visit(ctx, w.t, NULL, false, false);
        s = visit(ctx, w.t, s, true, false);
        asking = true;
        s = visit(ctx, w.t, s, false, true);
        asking = false;
        s = visit(ctx, w.t, s, false, false);
        SSL_SESSION_free(s);
        SSL_CTX_free(ctx);
    }
}

/* In TLS 1.2 the proof passes in the clear: the last bit of its signature is turned. */
static void damage_proof(struct link *l)
{
    unsigned char buf[8192];
    size_t n = bytes_take(&l->tcp.in, buf, sizeof(buf)), at = 0;
    bool done = false;

    while (at + 9 < n && buf[at] == 0x16) {
        size_t size = (size_t)buf[at + 3] << 8 | buf[at + 4];

        if (buf[at + 5] == 15) { /* certificate_verify, RFC 5246 7.4 */
            buf[at + 5 + size - 1] ^= 1;
            done = true;
        }
        at += 5 + size;
    }
    assert_true(done);
    bytes_put(&l->tcp.in, buf, n);
}

static void a_proof_that_is_wrong(void **state)
{
    SSL_CTX *ctx = caller(TLS1_2_VERSION, true);
    struct link l;

    (void)state;
    asking = true;
    link_server(&l, w.t, ctx, NAME);
    SSL_do_handshake(l.peer.ssl);
    link_carry(&l);
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    link_carry(&l);
    SSL_do_handshake(l.peer.ssl);
    link_carry(&l);
    damage_proof(&l);
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_BAD_CERTIFICATE);
    assert_int_equal(tls_peer_certificates(l.s).n, 0);
    must_queue_empty();
    assert_int_equal(link_alert(&l), SSL_AD_DECRYPT_ERROR);
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* What is shown is bounded: it goes into a ticket, and into the session's memory. */
static void a_chain_that_is_too_long(void **state)
{
    (void)state;
    asking = true;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = caller(versions[i], true);
        struct link l;

        for (size_t n = 0; n < TLS_PEER_MAX; n += (size_t)i2d_X509(middle.x, NULL))
            assert_int_equal(SSL_CTX_add1_chain_cert(ctx, middle.x), 1);
        link_server(&l, w.t, ctx, NAME);
        link_must_fail(&l, TLS_ERR_HANDSHAKE_TOO_LARGE);
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

/* No CA of ours, expired, self-signed: whatever it is, that is judged above, inside TLS. */
static void strangers_are_handed_on(void **state)
{
    struct pki stranger = pki_make(&(struct pki_spec){.cn = "x", .from_s = -9000, .until_s = -60});

    (void)state;
    asking = true;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = caller(versions[i], false);
        struct link l;

        assert_int_equal(SSL_CTX_use_cert_and_key(ctx, stranger.x, stranger.key, NULL, 1), 1);
        link_server(&l, w.t, ctx, NAME);
        link_must_handshake(&l);
        assert_int_equal(tls_peer_certificates(l.s).n, i2d_X509(stranger.x, NULL));
        link_must_say(&l, "hello", "good day");
        link_free(&l);
        SSL_CTX_free(ctx);
    }
    pki_free(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_and_shown),         cmocka_unit_test(not_asked_or_not_shown),
        cmocka_unit_test(resumed_with_the_chain),  cmocka_unit_test(asking_ends_sessions),
        cmocka_unit_test(a_proof_that_is_wrong),   cmocka_unit_test(a_chain_that_is_too_long),
        cmocka_unit_test(strangers_are_handed_on),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
