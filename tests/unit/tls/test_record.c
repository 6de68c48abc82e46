/* Records of connections that OpenSSL has handed over: the keys and bytes of RFC 8448, every suite
 * against OpenSSL, key updates of ours, what must be refused. */
#include "world.h"

#include <stdlib.h>

#include "tls/tls_internal.h"

#define NAME "api.vendor.example"

static void from_hex(const char *hex, uint8_t *out)
{
    unsigned byte;

    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        *out++ = (uint8_t)byte;
}

static void way_of(struct tls_way *way, const char *secret, bool seals)
{
    *way = (struct tls_way){0};
    from_hex(secret, way->secret);
    assert_true(tls_way_open(w.t, tls_suite(w.t, 0x1301), way, seals));
}

/* RFC 8448 3: the application data of the simple handshake. */
static void example_of_the_rfc(void **state)
{
    static const char secret[] = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
    static const char want[] = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9"
                               "819a8a5b46b395bd54a9a20441e"
                               "2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
    uint8_t text[50], record[TLS_HEADER + 51 + TLS_TAG], expected[sizeof(record)], iv[TLS_IV];
    struct tls_way seals, opens;

    (void)state;
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)i;
    way_of(&seals, secret, true);
    way_of(&opens, secret, false);
    from_hex("5b78923dee08579033e523d9", iv);
    assert_memory_equal(seals.iv, iv, TLS_IV);
    assert_int_equal(tls_way_seal(&seals, TLS_TYPE_DATA, text, sizeof(text), record),
                     sizeof(record));
    from_hex(want, expected);
    assert_memory_equal(record, expected, sizeof(record));
    assert_true(tls_way_unseal(&opens, record, record + TLS_HEADER, sizeof(record) - TLS_HEADER,
                               record + TLS_HEADER));
    assert_memory_equal(record + TLS_HEADER, text, sizeof(text));
    assert_int_equal(record[TLS_HEADER + sizeof(text)], TLS_TYPE_DATA);
    tls_way_close(&seals);
    tls_way_close(&opens);
}

/* A record that is not authentic leaves nothing of itself. */
static void forged(void **state)
{
    static const char secret[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    uint8_t record[TLS_HEADER + 6 + TLS_TAG], out[6], zero[6] = {0};
    struct tls_way seals, opens;

    (void)state;
    for (unsigned i = 0; i < sizeof(record); i++) {
        way_of(&seals, secret, true);
        way_of(&opens, secret, false);
        tls_way_seal(&seals, TLS_TYPE_DATA, "hello", 5, record);
        record[i] ^= 1;
        memset(out, 'x', sizeof(out));
        assert_false(
            tls_way_unseal(&opens, record, record + TLS_HEADER, sizeof(record) - TLS_HEADER, out));
        assert_memory_equal(out, zero, sizeof(out));
        assert_int_equal(opens.seq, 0);
        tls_way_close(&seals);
        tls_way_close(&opens);
    }
}

/* ---- against OpenSSL */

static void talk(struct link *l, unsigned rounds)
{
    static unsigned char out[40000], in[sizeof(out)];

    for (unsigned k = 0; k < rounds; k++) {
        size_t n = 1 + (size_t)rand() % sizeof(out), sent = 0, got = 0, part;

        for (size_t i = 0; i < n; i++)
            out[i] = (unsigned char)rand();
        while (sent < n) {
            assert_int_equal(tls_write(l->s, out + sent, n - sent, &part), TLS_OK);
            sent += part;
        }
        link_carry(l);
        while (got < n) {
            int r = SSL_read(l->peer.ssl, in + got, (int)(n - got));

            assert_true(r > 0);
            got += (size_t)r;
        }
        assert_memory_equal(in, out, n);
        for (sent = 0; sent < n; sent += part)
            part = (size_t)SSL_write(l->peer.ssl, out + sent, (int)(n - sent));
        link_carry(l);
        for (got = 0; got < n; got += part)
            assert_int_equal(tls_read(l->s, in + got, 1 + (size_t)rand() % (n - got), &part),
                             TLS_OK);
        assert_memory_equal(in, out, n);
        assert_int_equal(tls_read(l->s, in, sizeof(in), &part), TLS_AGAIN);
    }
}

static void every_suite(void **state)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    SSL_CTX *caller = peer_client_ctx(&w.ca);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct link l;

        assert_int_equal(SSL_CTX_set_ciphersuites(caller, suites[i]), 1);
        link_server(&l, w.t, caller, NAME);
        link_must_handshake(&l);
        assert_true(l.s->own);
        assert_null(l.s->ssl);
        assert_string_equal(tls_cipher(l.s), suites[i]);
        assert_string_equal(tls_version(l.s), "TLSv1.3");
        talk(&l, 40);
        link_free(&l);
    }
    SSL_CTX_free(caller);
}

static void older_versions_stay(void **state)
{
    SSL_CTX *caller = peer_client_ctx(&w.ca);
    struct link l;

    (void)state;
    SSL_CTX_set_max_proto_version(caller, TLS1_2_VERSION);
    link_server(&l, w.t, caller, NAME);
    link_must_handshake(&l);
    assert_false(l.s->own);
    assert_non_null(l.s->ssl);
    assert_string_equal(tls_version(l.s), "TLSv1.2");
    link_must_say(&l, "hello", "good day");
    link_free(&l);
    SSL_CTX_free(caller);
}

/* ---- what we do by ourselves */

/* After so many records the key is changed, unasked; seen with a copy of the secret. */
static void own_update(void **state)
{
    static const uint8_t update[] = {24, 0, 0, 1, 0, TLS_TYPE_HANDSHAKE};
    uint8_t record[256], text[256];
    struct tls_way mirror = {0};
    struct link l;
    size_t put, n;

    (void)state;
    link_server(&l, w.t, w.caller, NAME);
    link_must_handshake(&l);
    l.s->out.seq = 1 << 23;
    mirror.seq = l.s->out.seq;
    memcpy(mirror.secret, l.s->out.secret, sizeof(mirror.secret));
    assert_true(tls_way_open(w.t, l.s->suite, &mirror, false));
    assert_int_equal(tls_write(l.s, "hello", 5, &put), TLS_OK);
    n = sizeof(update) + TLS_TAG;
    assert_int_equal(bytes_take(&l.tcp.out, record, TLS_HEADER + n), TLS_HEADER + n);
    assert_true(tls_way_unseal(&mirror, record, record + TLS_HEADER, n, text));
    assert_memory_equal(text, update, sizeof(update));
    assert_true(tls_way_update(w.t, l.s->suite, &mirror, false));
    n = 6 + TLS_TAG;
    assert_int_equal(bytes_take(&l.tcp.out, record, TLS_HEADER + n), TLS_HEADER + n);
    assert_true(tls_way_unseal(&mirror, record, record + TLS_HEADER, n, text));
    assert_memory_equal(text, "hello\x17", 6);
    assert_int_equal(bytes_count(&l.tcp.out), 0);
    tls_way_close(&mirror);
    link_free(&l);
}

/* A vendor's tickets: two messages in one record, one cut over two records, one with a key update
 * behind it. The data that follows is read each time. */
static void tickets(void **state)
{
    static const uint8_t ticket[] = "\x04\x00\x00\x12\x00\x00\x0e\x10\x00\x00\x00\x01\x01\x00"
                                    "\x00\x04tick\x00\x00";
    enum { TICKET = sizeof(ticket) - 1 };
    struct pki cert = pki_make(&(struct pki_spec){.san = "DNS:" NAME, .issuer = &w.vendor_ca});
    SSL_CTX *ctx = peer_server_ctx(&cert, NULL);
    uint8_t text[2 * TICKET + 5], record[256];
    struct tls_way mirror = {0};
    struct link l;
    char buf[64];
    size_t n;

    (void)state;
    link_client(&l, w.t, ctx, NAME);
    link_must_handshake(&l);
    link_must_say(&l, "hello", "good day");
    mirror.seq = l.s->in.seq;
    memcpy(mirror.secret, l.s->in.secret, sizeof(mirror.secret));
    assert_true(tls_way_open(w.t, l.s->suite, &mirror, true));
    memcpy(text, ticket, TICKET);
    memcpy(text + TICKET, ticket, TICKET);
    memcpy(text + 2 * TICKET, "\x18\x00\x00\x01\x00", 5);
    for (unsigned k = 0; k < 3; k++) {
        size_t from[] = {0, 0, TICKET}, cut[] = {2 * TICKET, 7, TICKET + 5},
               to[] = {2 * TICKET, TICKET, 2 * TICKET + 5};

        bytes_put(&l.tcp.in, record,
                  tls_way_seal(&mirror, TLS_TYPE_HANDSHAKE, text + from[k], cut[k], record));
        if (from[k] + cut[k] < to[k])
            bytes_put(&l.tcp.in, record,
                      tls_way_seal(&mirror, TLS_TYPE_HANDSHAKE, text + from[k] + cut[k],
                                   to[k] - from[k] - cut[k], record));
        if (k == 2)
            assert_true(tls_way_update(w.t, l.s->suite, &mirror, true));
        bytes_put(&l.tcp.in, record, tls_way_seal(&mirror, TLS_TYPE_DATA, "data", 4, record));
        if (tls_read(l.s, buf, sizeof(buf), &n) != TLS_OK)
            fail_msg("step %u: %s", k, tls_error_text(l.s));
        assert_int_equal(n, 4);
    }
    tls_way_close(&mirror);
    link_free(&l);
    SSL_CTX_free(ctx);
    pki_free(&cert);
}

/* ---- what must be refused */

struct bad {
    const char *what;
    uint8_t type;
    const char *text;
    size_t n;
    int alert;
};

/* Sealed as the caller would: by one who has the keys and breaks the rules. */
static void rule_breakers(void **state)
{
    static const struct bad bad[] = {
        {"no content", 0, "", 0, SSL_AD_UNEXPECTED_MESSAGE},
        {"an unknown type", 99, "x", 1, SSL_AD_UNEXPECTED_MESSAGE},
        {"change_cipher_spec", 20, "\x01", 1, SSL_AD_UNEXPECTED_MESSAGE},
        {"half an alert", 21, "\x02", 1, SSL_AD_DECODE_ERROR},
        {"two alerts", 21, "\x01\x00\x01\x00", 4, SSL_AD_DECODE_ERROR},
        {"an empty handshake message", 22, "", 0, SSL_AD_UNEXPECTED_MESSAGE},
        {"a ticket from a client", 22, "\x04\x00\x00\x00", 4, SSL_AD_UNEXPECTED_MESSAGE},
        {"a ClientHello", 22, "\x01\x00\x00\x00", 4, SSL_AD_UNEXPECTED_MESSAGE},
        {"a key update of another length", 22, "\x18\x00\x00\x02\x00\x00", 6, SSL_AD_DECODE_ERROR},
        {"a key update that wants what is not", 22, "\x18\x00\x00\x01\x02", 5, SSL_AD_DECODE_ERROR},
        {"data behind a key update", 22, "\x18\x00\x00\x01\x00\x18", 6, SSL_AD_DECODE_ERROR},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t record[TLS_HEADER + 64 + TLS_TAG];
        struct tls_way mirror = {0};
        struct link l;
        char buf[64];
        size_t n;

        link_server(&l, w.t, w.caller, NAME);
        link_must_handshake(&l);
        memcpy(mirror.secret, l.s->in.secret, sizeof(mirror.secret));
        assert_true(tls_way_open(w.t, l.s->suite, &mirror, true));
        bytes_put(&l.tcp.in, record,
                  tls_way_seal(&mirror, bad[i].type, bad[i].text, bad[i].n, record));
        if (tls_read(l.s, buf, sizeof(buf), &n) != TLS_FAILED)
            fail_msg("%s is taken", bad[i].what);
        must_error(l.s, TLS_ERR_BAD_RECORD);
        if (link_alert(&l) != bad[i].alert)
            fail_msg("%s: alert %d, expected %d", bad[i].what, link_alert(&l), bad[i].alert);
        tls_way_close(&mirror);
        link_free(&l);
    }
}

/* Records that say nothing come for nothing: only so many. */
static void silence_is_bounded(void **state)
{
    uint8_t record[TLS_HEADER + 1 + TLS_TAG];
    struct tls_way mirror = {0};
    struct link l;
    char buf[64];
    size_t n;
    enum tls_result r = TLS_AGAIN;
    unsigned k;

    (void)state;
    link_server(&l, w.t, w.caller, NAME);
    link_must_handshake(&l);
    memcpy(mirror.secret, l.s->in.secret, sizeof(mirror.secret));
    assert_true(tls_way_open(w.t, l.s->suite, &mirror, true));
    for (k = 0; k < 100 && r == TLS_AGAIN; k++) {
        bytes_put(&l.tcp.in, record, tls_way_seal(&mirror, TLS_TYPE_DATA, NULL, 0, record));
        r = tls_read(l.s, buf, sizeof(buf), &n);
    }
    assert_int_equal(r, TLS_FAILED);
    assert_int_equal(k, 33);
    must_error(l.s, TLS_ERR_BAD_RECORD);
    tls_way_close(&mirror);
    link_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_rfc), cmocka_unit_test(forged),
        cmocka_unit_test(every_suite),        cmocka_unit_test(older_versions_stay),
        cmocka_unit_test(own_update),         cmocka_unit_test(tickets),
        cmocka_unit_test(rule_breakers),      cmocka_unit_test(silence_is_bounded),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
