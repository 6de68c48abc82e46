/* Strangers on the wire: records cut, forged, empty, early, late and too many; hellos of all sizes;
 * tickets that are too old. */
#include "world.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "tls/tls_internal.h"

#define NAME "api.vendor.example"

/* ---- raw bytes of a client, recorded from OpenSSL's */

struct raw {
    unsigned char p[80000];
    size_t n;
};

static void raw_put(struct raw *r, const void *p, size_t n)
{
    assert_true(n <= sizeof(r->p) - r->n);
    memcpy(r->p + r->n, p, n);
    r->n += n;
}

static void raw_record(struct raw *r, unsigned char type, const void *p, size_t n)
{
    unsigned char head[5] = {type, 3, 1, (unsigned char)(n >> 8), (unsigned char)n};

    raw_put(r, head, sizeof(head));
    raw_put(r, p, n);
}

/* The peer's first flight: one record with a ClientHello. */
static void hello_of(struct link *l, struct raw *hello)
{
    int n;

    SSL_do_handshake(l->peer.ssl);
    n = BIO_read(l->peer.out, hello->p, sizeof(hello->p));
    assert_true(n > 100 && hello->p[0] == 0x16 && hello->p[5] == 1);
    assert_int_equal(n, 5 + (hello->p[3] << 8 | hello->p[4]));
    hello->n = (size_t)n;
}

static void give(struct link *l, const struct raw *r)
{
    bytes_put(&l->tcp.in, r->p, r->n);
}

/* ---- the ClientHello in records of any size (RFC 8446 5.1) */

/* Two records, cut at every byte of the handshake message, each on its own TCP segment. */
static void hello_over_two_records(void **state)
{
    static struct raw hello, cut;
    size_t n = 2;

    (void)state;
    for (size_t at = 1; at < n; at++) {
        struct link l;

        link_server(&l, w.t, w.caller, NAME);
        hello_of(&l, &hello);
        n = hello.n - 5;
        cut.n = 0;
        raw_record(&cut, 0x16, hello.p + 5, at);
        give(&l, &cut);
        if (tls_handshake(l.s) != TLS_AGAIN)
            fail_msg("cut at %zu of %zu: %s", at, n, tls_error_text(l.s));
        cut.n = 0;
        raw_record(&cut, 0x16, hello.p + 5 + at, n - at);
        give(&l, &cut);
        link_must_handshake(&l);
        link_must_say(&l, "hello", "good day");
        link_free(&l);
    }
}

/* As many records as bytes, each in as many segments as it has bytes. */
static void hello_byte_a_record(void **state)
{
    static struct raw hello, cut;
    struct link l;

    (void)state;
    link_server(&l, w.t, w.caller, NAME);
    hello_of(&l, &hello);
    cut.n = 0;
    for (size_t i = 5; i < hello.n; i++)
        raw_record(&cut, 0x16, hello.p + i, 1);
    l.tcp.read_most = 1;
    give(&l, &cut);
    link_must_handshake(&l);
    link_free(&l);
}

/* ---- large hellos */

static size_t padding;

static int add_padding(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                       size_t *n, X509 *x, size_t chain, int *alert, void *arg)
{
    static unsigned char zeros[65000];

    (void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert, (void)arg;
    *out = zeros;
    *n = padding;
    return 1;
}

static void large_hellos(void **state)
{
    static const size_t sizes[] = {500, 8000, 8500, 20000, 32000};
    static struct raw hello, cut;
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    for (unsigned type = 0x2a2a; type <= 0x3a3a; type += 0x1010)
        SSL_CTX_add_custom_ext(ctx, type, SSL_EXT_CLIENT_HELLO, add_padding, NULL, NULL, NULL,
                               NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        padding = sizes[i];
        link_server(&l, w.t, ctx, NAME);
        link_must_handshake(&l);
        link_free(&l);
    }
    /* What is bounded is what is read, whatever it is wrapped in. */
    padding = 6000;
    link_server(&l, w.t, ctx, NAME);
    hello_of(&l, &hello);
    cut.n = 0;
    for (size_t i = 5; i < hello.n; i++)
        raw_record(&cut, 0x16, hello.p + i, 1);
    assert_true(cut.n > TLS_HANDSHAKE_MAX + 1000);
    give(&l, &cut);
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_HANDSHAKE_TOO_LARGE);
    assert_true(l.tcp.in.at <= TLS_HANDSHAKE_MAX + 5);
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* ---- before and during the handshake */

struct piece {
    const char *p;
    size_t n;
};
#define PIECE(s)                                                                                   \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

/* `pieces` again and again between the two halves of a ClientHello, or before it, or behind it. */
static void must_end(const struct piece *piece, unsigned times, int where, const char *what)
{
    static struct raw hello, all;
    enum tls_result r;
    struct link l;

    link_server(&l, w.t, w.caller, NAME);
    hello_of(&l, &hello);
    all.n = 0;
    if (where == 1)
        raw_record(&all, 0x16, hello.p + 5, 50);
    if (where == 2)
        raw_put(&all, hello.p, hello.n);
    for (unsigned i = 0; i < times; i++)
        raw_put(&all, piece->p, piece->n);
    give(&l, &all);
    r = tls_handshake(l.s);
    must_queue_empty();
    if (r != TLS_FAILED)
        fail_msg("%s (%d): result %d after %zu of %zu bytes", what, where, r, l.tcp.in.at, all.n);
    assert_true(tls_error_text(l.s)[0]);
    link_free(&l);
}

static void hostile_handshakes(void **state)
{
    static const struct {
        struct piece piece;
        unsigned times;
        bool at[3]; /* before, within, behind the ClientHello */
        const char *what;
    } cases[] = {
        {PIECE("\x14\x03\x03\x00\x01\x01"), 1, {true, true, false}, "a ChangeCipherSpec too early"},
        {PIECE("\x14\x03\x03\x00\x01\x02"), 1, {true, true, true}, "a bad ChangeCipherSpec"},
        {PIECE("\x14\x03\x03\x00\x02\x01\x01"), 1, {true, true, true}, "a long ChangeCipherSpec"},
        {PIECE("\x14\x03\x03\x00\x01\x01"), 1000, {true, true, true}, "a flood of them"},
        {PIECE("\x16\x03\x01\x00\x00"), 1000, {true, true, true}, "empty handshake records"},
        {PIECE("\x17\x03\x03\x00\x00"), 1000, {true, true, true}, "empty data records"},
        {PIECE("\x17\x03\x03\x00\x05hello"), 1, {true, true, true}, "data in the clear"},
        {PIECE("\x15\x03\x01\x00\x02\x01\x5a"), 100, {true, true, true}, "a flood of warnings"},
        {PIECE("\x15\x03\x01\x00\x02\x02\x28"), 1, {true, true, true}, "a fatal alert"},
        {PIECE("\x15\x03\x01\x00\x01\x02"), 1, {true, true, true}, "half an alert"},
        {PIECE("\x15\x03\x01\x00\x03\x02\x28\x28"), 1, {true, true, true}, "an alert and a half"},
        {PIECE("\x18\x03\x01\x00\x03\x01\x40\x00"), 1, {true, true, true}, "a heartbeat"},
        {PIECE("\x16\x03\x01\x48\x01"), 1, {true, true, true}, "a record that is too long"},
        {PIECE("\x16\x02\x01\x00\x01\x00"), 1, {true, true, true}, "a record of SSL 2"},
        {PIECE("\xff\xff\xff\xff\xff\xff\xff\xff"), 1, {true, true, true}, "noise"},
        {PIECE("GET / HTTP/1.1\r\n\r\n"), 1, {true, true, true}, "HTTP"},
        {PIECE("\x16\x03\x01\x00\x04\x14\x00\x00\x00"), 1, {true, false, true}, "Finished"},
        {PIECE("\x16\x03\x01\x00\x04\x18\x00\x00\x01"), 1, {true, false, true}, "KeyUpdate"},
        {PIECE("\x16\x03\x01\x00\x05\x10\xff\xff\xff\xff"), 1, {true, false, true}, "a giant"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int where = 0; where < 3; where++)
            if (cases[i].at[where])
                must_end(&cases[i].piece, cases[i].times, where, cases[i].what);
}

/* ---- after it */

static void open_done(struct link *l, int version)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);

    SSL_CTX_set_max_proto_version(ctx, version);
    link_server(l, w.t, ctx, NAME);
    link_must_handshake(l);
    SSL_CTX_free(ctx);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* What is not encrypted has no place in a session, whatever it says. */
static void clear_text_afterwards(void **state)
{
    static const struct piece pieces[] = {
        PIECE("\x17\x03\x03\x00\x05hello"),
        PIECE("\x15\x03\x03\x00\x02\x01\x00"), /* a forged close_notify */
        PIECE("\x15\x03\x03\x00\x02\x02\x28"),
        PIECE("\x16\x03\x03\x00\x04\x00\x00\x00\x00"),
        PIECE("\x17\x03\x03\x48\x01"),
        PIECE("\x17\x03\x00\x00\x20zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
        PIECE("\x14\x03\x03\x00\x01\x01"),
        PIECE("\x17\x03\x03\x00\x00"),
        PIECE("GET / HTTP/1.1\r\n\r\n"),
    };
    char buf[64];
    size_t n;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(pieces) / sizeof(pieces[0]); i++) {
        const struct piece *p = &pieces[i / 2];
        struct link l;
        enum tls_result r = TLS_AGAIN;

        open_done(&l, versions[i % 2]);
        for (int k = 0; k < 100 && r == TLS_AGAIN; k++) {
            bytes_put(&l.tcp.in, p->p, p->n);
            r = tls_read(l.s, buf, sizeof(buf), &n);
        }
        if (r != TLS_FAILED)
            fail_msg("piece %zu over %s: result %d", i / 2, tls_version(l.s), r);
        assert_int_equal(n, 0);
        must_queue_empty();
        assert_int_equal(tls_write(l.s, "x", 1, &n), TLS_FAILED);
        link_free(&l);
    }
}

/* New keys again and again: the peer pays for each, and is owed one answer at a time. */
static void many_key_updates(void **state)
{
    char buf[64];
    size_t n;
    struct link l;

    (void)state;
    open_done(&l, TLS1_3_VERSION);
    for (int k = 0; k < 2000; k++) {
        enum tls_result r;

        assert_int_equal(SSL_key_update(l.peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        SSL_do_handshake(l.peer.ssl);
        ERR_clear_error();
        link_carry(&l);
        r = tls_read(l.s, buf, sizeof(buf), &n);
        if (r != TLS_AGAIN)
            fail_msg("update %d: result %d, %s", k, r, tls_error_text(l.s));
        assert_true(bytes_count(&l.tcp.out) < 100);
        link_carry(&l);
        SSL_read(l.peer.ssl, buf, sizeof(buf));
        ERR_clear_error();
    }
    link_must_say(&l, "hello", "good day");
    link_free(&l);
}

/* The peer asks for new keys again and again and reads nothing: what we owe it stays bounded. */
static void key_updates_unread(void **state)
{
    char buf[64];
    size_t n;
    struct link l;

    (void)state;
    open_done(&l, TLS1_3_VERSION);
    while (tls_read(l.s, buf, sizeof(buf), &n) == TLS_OK)
        ;
    link_carry(&l);
    l.tcp.room = 0;
    for (int k = 0; k < 2000; k++) {
        unsigned char part[4096];
        int got;

        if (SSL_key_update(l.peer.ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
            break;
        SSL_do_handshake(l.peer.ssl);
        ERR_clear_error();
        while ((got = BIO_read(l.peer.out, part, sizeof(part))) > 0)
            bytes_put(&l.tcp.in, part, (size_t)got);
        if (tls_read(l.s, buf, sizeof(buf), &n) == TLS_FAILED)
            break;
        assert_int_equal(bytes_count(&l.tcp.out), 0);
    }
    must_queue_empty();
    link_free(&l);
}

/* Vendors change keys too. */
static void key_updates_of_a_vendor(void **state)
{
    struct pki cert = pki_make(&(struct pki_spec){.san = "DNS:" NAME, .issuer = &w.vendor_ca});
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    struct link l;

    (void)state;
    link_client(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(SSL_key_update(l.peer.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                          : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
        link_must_say(&l, "hello", "good day");
    }
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

/* A vendor's answer that ends with TCP alone has not ended in order. */
static void truncated_vendor(void **state)
{
    struct pki cert = pki_make(&(struct pki_spec){.san = "DNS:" NAME, .issuer = &w.vendor_ca});
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    char buf[64];
    size_t n;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct link l;

        SSL_CTX_set_max_proto_version(ctx, versions[i / 2]);
        link_client(&l, w.t, ctx, NAME);
        link_must_handshake(&l);
        assert_int_equal(SSL_write(l.peer.ssl, "bye", 3), 3);
        if (i % 2)
            SSL_shutdown(l.peer.ssl);
        link_carry(&l);
        l.tcp.fin = true;
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_OK);
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), i % 2 ? TLS_CLOSED : TLS_FAILED);
        if (i % 2 == 0)
            must_error(l.s, TLS_ERR_TRUNCATED);
        link_free(&l);
    }
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

/* ---- old clients of TLS 1.2 */

/* No extended master secret, no renegotiation_info, nothing that came later: still a client of
 * TLS 1.2 (RFC 5246 7.4.1.2), and the answer is a ServerHello. */
static void bare_client(void **state)
{
    static const char body[] =
        "\x03\x03"
        "0123456789abcdef0123456789abcdef"
        "\x00"
        "\x00\x04\xc0\x2b\xc0\x2f"
        "\x01\x00"
        "\x00\x2e"
        "\x00\x00\x00\x17\x00\x15\x00\x00\x12" NAME "\x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17"
        "\x00\x0d\x00\x06\x00\x04\x04\x03\x04\x01";
    static const char message[] = "\x01\x00\x00";
    static struct raw hello;
    unsigned char all[4 + sizeof(body)];
    struct tls_session *s;
    struct tcp_conn c;

    (void)state;
    _Static_assert(sizeof(NAME) - 1 == 0x12, "the lengths above are NAME's");
    memcpy(all, message, 3);
    all[3] = (unsigned char)(sizeof(body) - 1);
    memcpy(all + 4, body, sizeof(body) - 1);
    all[4 + 2 + 32 + 1 + 6 + 2 + 1] = (unsigned char)(sizeof(body) - 1 - (2 + 32 + 1 + 6 + 2 + 2));
    hello.n = 0;
    raw_record(&hello, 0x16, all, 4 + sizeof(body) - 1);
    fake_open(&c);
    bytes_put(&c.in, hello.p, hello.n);
    s = tls_server(w.t, &c);
    if (tls_handshake(s) != TLS_AGAIN)
        fail_msg("%s: %s", tls_error_name(tls_error(s)), tls_error_text(s));
    assert_true(bytes_count(&c.out) > 500);
    assert_int_equal(c.out.p[c.out.at], 0x16);
    assert_int_equal(c.out.p[c.out.at + 5], 2);
    tls_free(s);
    fake_close(&c);
}

/* TLS 1.3's ServerHello repeats the client's legacy_session_id, so that boxes on the way see a
 * resumption (RFC 8446 4.1.3, D.4), and a ChangeCipherSpec follows. */
static void session_id_comes_back(void **state)
{
    static struct raw hello;
    struct link l;
    const unsigned char *out;

    (void)state;
    link_server(&l, w.t, w.caller, NAME);
    hello_of(&l, &hello);
    assert_int_equal(hello.p[5 + 4 + 2 + 32], 32);
    give(&l, &hello);
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    out = l.tcp.out.p + l.tcp.out.at;
    assert_int_equal(out[5], 2);
    assert_memory_equal(out + 5 + 4 + 2 + 32, hello.p + 5 + 4 + 2 + 32, 33);
    out += 5 + (out[3] << 8 | out[4]);
    assert_memory_equal(out, "\x14\x03\x03\x00\x01\x01", 6);
    link_free(&l);
}

static void no_extended_master_secret(void **state)
{
    SSL_CTX *ctx = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    link_server(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(ctx);
}

/* ---- tickets grow old */

static SSL_SESSION *visit(SSL_CTX *ctx, struct tls *t, SSL_SESSION *with, bool want)
{
    SSL_SESSION *session;
    struct link l;

    link_server(&l, t, ctx, NAME);
    if (with)
        SSL_set_session(l.peer.ssl, with);
    link_must_handshake(&l);
    if (tls_resumed(l.s) != want)
        fail_msg("%s: resumed is %d", tls_version(l.s), !want);
    link_must_say(&l, "hello", "good day"); /* the peer reads the ticket */
    session = SSL_get1_session(l.peer.ssl);
    tls_shutdown(l.s);
    link_free(&l);
    return session;
}

/* A ticket of worker `a` opens on worker `b`, now and after one change of keys, not after two; all
 * workers change by the clock alone. */
static void tickets_over_epochs(void **state)
{
    const struct tls_limits few = {.leaf_cache = 4, .mints_a_second = 1000};

    (void)state;
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = peer_client_ctx(&w.ca);
        struct tls *a = tls_new(w.shared, &few), *b = tls_new(w.shared, &few);
        int64_t now = a->wall;
        SSL_SESSION *old, *s[4];

        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        old = visit(ctx, a, NULL, false);
        s[0] = visit(ctx, b, old, true);
        assert_true(tls_tickets_turn(b, now + TLS_TICKET_EPOCH_S));
        s[1] = visit(ctx, b, old, true);
        /* `a` has not turned yet: what `b` seals now is ahead of it, and a full handshake. */
        s[2] = visit(ctx, a, s[1], false);
        assert_true(tls_tickets_turn(a, now + TLS_TICKET_EPOCH_S));
        SSL_SESSION_free(s[2]);
        s[2] = visit(ctx, a, s[1], true);
        assert_true(tls_tickets_turn(b, now + 2 * TLS_TICKET_EPOCH_S));
        s[3] = visit(ctx, b, old, false);
        SSL_SESSION_free(s[3]);
        s[3] = visit(ctx, b, s[2], true); /* renewed meanwhile */
        for (int k = 0; k < 4; k++)
            SSL_SESSION_free(s[k]);
        SSL_SESSION_free(old);
        tls_delete(a);
        tls_delete(b);
        SSL_CTX_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_over_two_records), cmocka_unit_test(hello_byte_a_record),
        cmocka_unit_test(large_hellos),           cmocka_unit_test(hostile_handshakes),
        cmocka_unit_test(clear_text_afterwards),  cmocka_unit_test(many_key_updates),
        cmocka_unit_test(key_updates_unread),     cmocka_unit_test(key_updates_of_a_vendor),
        cmocka_unit_test(truncated_vendor),       cmocka_unit_test(bare_client),
        cmocka_unit_test(session_id_comes_back),  cmocka_unit_test(no_extended_master_secret),
        cmocka_unit_test(tickets_over_epochs),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
