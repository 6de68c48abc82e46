/* Sessions over wires of all kinds: cut anywhere, short of room, ended early, full of garbage. */
#include "world.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <time.h>

#include "tls/tls_internal.h"

#define NAME "api.vendor.example"

static void open_link(struct link *l)
{
    link_server(l, w.t, w.caller, NAME);
}

static void open_done(struct link *l)
{
    char buf[8];
    size_t n;

    open_link(l);
    link_must_handshake(l);
    assert_int_equal(tls_read(l->s, buf, sizeof(buf), &n), TLS_AGAIN);
}

/* ---- cuts */

/* The ClientHello arrives in two parts, cut at every place. */
static void hello_cut_everywhere(void **state)
{
    size_t n = 1, at;

    (void)state;
    for (at = 0; at < n; at++) {
        struct link l;

        open_link(&l);
        SSL_do_handshake(l.peer.ssl);
        link_carry(&l);
        n = bytes_count(&l.tcp.in);
        l.tcp.in_limit = at;
        if (tls_handshake(l.s) != TLS_AGAIN)
            fail_msg("after %zu of %zu bytes: %s", at, n, tls_error_text(l.s));
        assert_int_equal(bytes_count(&l.tcp.out), 0);
        l.tcp.in_limit = SIZE_MAX;
        link_must_handshake(&l);
        link_free(&l);
    }
    assert_true(n > 200);
}

static void byte_by_byte(void **state)
{
    struct link l;

    (void)state;
    open_link(&l);
    l.tcp.read_most = 1;
    link_must_handshake(&l);
    link_must_say(&l, "hello", "good day");
    link_free(&l);
}

static void fill(unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)rand();
}

/* Sends `n` bytes to us while the wire does what it likes; what comes out must be the same. */
static void receive(struct link *l, const unsigned char *data, size_t n)
{
    unsigned char buf[20000];
    size_t have = 0, sent = 0, got;

    while (have < n) {
        enum tls_result r = tls_read(l->s, buf, 1 + (size_t)rand() % sizeof(buf), &got);

        must_queue_empty();
        if (r == TLS_OK) {
            assert_true(got > 0 && have + got <= n);
            assert_memory_equal(buf, data + have, got);
            have += got;
            continue;
        }
        assert_int_equal(r, TLS_AGAIN);
        if (bytes_count(&l->tcp.in))
            continue; /* random wires give less than there is */
        assert_true(sent < n);
        int most = (int)(n - sent < 40000 ? n - sent : 40000);
        int put = SSL_write(l->peer.ssl, data + sent, 1 + rand() % most);
        assert_true(put > 0);
        sent += (size_t)put;
        link_carry(l);
    }
    assert_false(tls_pending(l->s));
}

/* The other way, with room for a random number of bytes at a time. */
static void send(struct link *l, const unsigned char *data, size_t n, size_t most_room)
{
    unsigned char buf[20000];
    unsigned char *moved = NULL; /* the same bytes at another place each time */
    size_t put, have = 0, sent = 0;

    while (have < n) {
        if (sent < n) {
            free(moved);
            moved = malloc(n - sent);
            memcpy(moved, data + sent, n - sent);
            enum tls_result r = tls_write(l->s, moved, n - sent, &put);
            must_queue_empty();
            if (r == TLS_OK)
                assert_true(put > 0 && put <= 16384);
            else
                assert_int_equal(r, TLS_AGAIN);
            sent += put;
        }
        l->tcp.room = most_room == SIZE_MAX ? SIZE_MAX : (size_t)rand() % most_room;
        link_carry(l);
        int got;
        while ((got = SSL_read(l->peer.ssl, buf, sizeof(buf))) > 0) {
            assert_true(have + (size_t)got <= n);
            assert_memory_equal(buf, data + have, (size_t)got);
            have += (size_t)got;
        }
        assert_int_equal(SSL_get_error(l->peer.ssl, got), SSL_ERROR_WANT_READ);
        ERR_clear_error();
    }
    free(moved);
}

static void random_wires(void **state)
{
    static unsigned char data[300000];
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 40; i++) {
        SSL_CTX *ctx = peer_client_ctx(&w.ca);
        size_t n = 1 + (size_t)rand() % sizeof(data);
        struct link l;

        SSL_CTX_set_max_proto_version(ctx, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        fill(data, n);
        link_server(&l, w.t, ctx, NAME);
        l.tcp.random = i % 4 < 2;
        l.tcp.read_most = i % 3 ? 0 : 7;
        while (!(tls_handshake(l.s) == TLS_OK && l.peer_done))
            assert_int_not_equal(link_handshake(&l), TLS_FAILED);
        receive(&l, data, n);
        send(&l, data, n, i % 5 ? 3000 : SIZE_MAX);
        link_free(&l);
        SSL_CTX_free(ctx);
    }
}

/* The server's flight through a send buffer that takes a few bytes at a time. */
static void handshake_without_room(void **state)
{
    struct link l;
    int rounds = 0;

    (void)state;
    open_link(&l);
    l.tcp.room = 0;
    while (!(tls_handshake(l.s) == TLS_OK && l.peer_done)) {
        assert_int_not_equal(link_handshake(&l), TLS_FAILED);
        l.tcp.room = 3;
        assert_true(rounds++ < 10000);
    }
    assert_true(l.tcp.short_writes > 50);
    l.tcp.room = SIZE_MAX;
    link_must_say(&l, "hello", "good day");
    link_free(&l);
}

/* ---- records */

static void records(void **state)
{
    static unsigned char data[70000], buf[70000];
    uint64_t written = counter_get(&tls_counters(w.t)->records_written);
    uint64_t read = counter_get(&tls_counters(w.t)->records_read);
    struct link l;
    size_t n, put;

    (void)state;
    open_done(&l);
    /* A write is one record, and a record is full if there is enough. */
    assert_int_equal(tls_write(l.s, data, sizeof(data), &put), TLS_OK);
    assert_int_equal(put, 16384);
    assert_int_equal(bytes_count(&l.tcp.out), 5 + 16384 + 1 + 16);
    assert_int_equal(tls_write(l.s, data, 1, &put), TLS_OK);
    assert_int_equal(put, 1);
    assert_int_equal(tls_write(l.s, data, 0, &put), TLS_OK);
    assert_int_equal(put, 0);
    assert_int_equal(counter_get(&tls_counters(w.t)->records_written), written + 2);
    /* A large record read in parts. */
    assert_int_equal(SSL_write(l.peer.ssl, data, 16384), 16384);
    link_carry(&l);
    assert_false(tls_pending(l.s));
    assert_int_equal(tls_read(l.s, buf, 1, &n), TLS_OK);
    assert_int_equal(n, 1);
    assert_true(tls_pending(l.s));
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_OK);
    assert_int_equal(n, 16383);
    assert_false(tls_pending(l.s));
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_AGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(counter_get(&tls_counters(w.t)->records_read), read + 1);
    link_free(&l);
}

static void key_update(void **state)
{
    struct link l;

    (void)state;
    open_done(&l);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(l.peer.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                          : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
        link_must_say(&l, "hello", "good day");
    }
    link_free(&l);
}

/* A record that waits half sent is taken up where it stopped. */
static void write_contract(void **state)
{
    static unsigned char data[40000];
    struct link l;
    size_t put;

    (void)state;
    open_done(&l);
    l.tcp.room = 100;
    assert_int_equal(tls_write(l.s, data, 5000, &put), TLS_AGAIN);
    assert_int_equal(put, 0);
    assert_int_equal(bytes_count(&l.tcp.out), 100);
    assert_int_equal(tls_write(l.s, data, 5000, &put), TLS_AGAIN);
    l.tcp.room = SIZE_MAX;
    assert_int_equal(tls_write(l.s, data, sizeof(data), &put), TLS_OK); /* more is no harm */
    assert_int_equal(put, 5000);
    l.tcp.room = 100;
    assert_int_equal(tls_write(l.s, data, 5000, &put), TLS_AGAIN);
    l.tcp.room = SIZE_MAX;
    assert_int_equal(tls_write(l.s, data, 4999, &put), TLS_FAILED);
    must_error(l.s, TLS_ERR_INTERNAL);
    link_free(&l);
}

/* ---- ends */

static void close_notify(void **state)
{
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    open_done(&l);
    assert_int_equal(SSL_write(l.peer.ssl, "bye", 3), 3);
    SSL_shutdown(l.peer.ssl);
    link_carry(&l);
    l.tcp.fin = true;
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_OK);
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_CLOSED);
        must_queue_empty();
    }
    assert_int_equal(tls_error(l.s), TLS_ERR_NONE);
    /* Our side is still open (RFC 8446 6.1). */
    assert_int_equal(tls_write(l.s, "late", 4, &n), TLS_OK);
    tls_shutdown(l.s);
    link_carry(&l);
    assert_int_equal(SSL_read(l.peer.ssl, buf, sizeof(buf)), 4);
    assert_int_equal(SSL_read(l.peer.ssl, buf, sizeof(buf)), 0);
    assert_true(SSL_get_shutdown(l.peer.ssl) & SSL_RECEIVED_SHUTDOWN);
    link_free(&l);
}

static void truncation(void **state)
{
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    for (int half = 0; half < 2; half++) {
        open_done(&l);
        assert_int_equal(SSL_write(l.peer.ssl, "bye", 3), 3);
        link_carry(&l);
        if (half)
            bytes_put(&l.tcp.in, "\x17\x03\x03\x00", 4);
        l.tcp.fin = true;
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_OK);
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_FAILED);
        must_error(l.s, TLS_ERR_TRUNCATED);
        must_queue_empty();
        link_free(&l);
    }
    open_link(&l);
    SSL_do_handshake(l.peer.ssl);
    link_carry(&l);
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    l.tcp.fin = true;
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_TRUNCATED);
    link_free(&l);
    open_link(&l);
    l.tcp.fin = true;
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_TRUNCATED);
    link_free(&l);
}

static void reset(void **state)
{
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    open_link(&l);
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    l.tcp.end = TCP_END_RESET;
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_TCP_ENDED);
    link_free(&l);
    open_link(&l);
    SSL_do_handshake(l.peer.ssl);
    link_carry(&l);
    l.tcp.end = TCP_END_RESET;
    assert_int_equal(tls_handshake(l.s), TLS_FAILED);
    must_error(l.s, TLS_ERR_TCP_ENDED);
    link_free(&l);
    for (int writing = 0; writing < 2; writing++) {
        open_done(&l);
        l.tcp.end = TCP_END_RESET;
        if (writing)
            assert_int_equal(tls_write(l.s, "x", 1, &n), TLS_FAILED);
        else
            assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_FAILED);
        must_error(l.s, TLS_ERR_TCP_ENDED);
        assert_non_null(strstr(tls_error_text(l.s), "reset"));
        must_queue_empty();
        link_free(&l);
    }
}

/* ---- what is not TLS */

static void first_bytes_are(const char *p, size_t n, enum tls_error e)
{
    struct tcp_conn c;
    struct tls_session *s;

    fake_open(&c);
    bytes_put(&c.in, p, n);
    s = tls_server(w.t, &c);
    c.in_limit = 0;
    while (tls_handshake(s) == TLS_AGAIN && c.in_limit < n)
        c.in_limit++;
    if (tls_error(s) == TLS_ERR_NONE) {
        c.end = TCP_END_RESET;
        tls_handshake(s);
    }
    must_error(s, e);
    assert_int_equal(bytes_count(&c.out), 0); /* no alert */
    tls_free(s);
    fake_close(&c);
}

static void not_tls(void **state)
{
    uint64_t http = count_errors(TLS_ERR_PLAIN_HTTP);

    (void)state;
    first_bytes_are("GET / HTTP/1.1\r\n\r\n", 18, TLS_ERR_PLAIN_HTTP);
    first_bytes_are("POST /v1 HTTP/1.1\r\n", 19, TLS_ERR_PLAIN_HTTP);
    first_bytes_are("PRI * HTTP/2.0\r\n\r\nSM", 20, TLS_ERR_PLAIN_HTTP);
    assert_int_equal(count_errors(TLS_ERR_PLAIN_HTTP), http + 3);
    first_bytes_are("SSH-2.0-OpenSSH_9.2\r\n", 21, TLS_ERR_NOT_TLS);
    first_bytes_are("\x80\x2e\x01\x03\x01", 5, TLS_ERR_NOT_TLS);
    first_bytes_are("\x15\x03\x01\x00\x02\x01\x00", 7, TLS_ERR_NOT_TLS);
    first_bytes_are("\0", 1, TLS_ERR_NOT_TLS);
    first_bytes_are("PO", 2, TLS_ERR_TCP_ENDED); /* too little to say */
}

/* Too little to say what it is, and nothing more to come: over at once. */
static void first_bytes_and_fin(void **state)
{
    static const char *const starts[] = {"P", "PO", "GET", "OPTION", "\x16"};

    (void)state;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (int late = 0; late < 2; late++) {
            struct tcp_conn c;
            struct tls_session *s;

            fake_open(&c);
            bytes_put(&c.in, starts[i], strlen(starts[i]));
            s = tls_server(w.t, &c);
            if (late)
                assert_int_equal(tls_handshake(s), TLS_AGAIN);
            c.fin = true;
            if (tls_handshake(s) != TLS_FAILED)
                fail_msg("\"%s\" and FIN (%d): no failure", starts[i], late);
            must_error(s, TLS_ERR_TRUNCATED);
            tls_free(s);
            fake_close(&c);
        }
    }
}

static void bytes_fail(const char *p, size_t n, enum tls_error e, bool alert)
{
    struct tcp_conn c;
    struct tls_session *s;

    fake_open(&c);
    bytes_put(&c.in, p, n);
    s = tls_server(w.t, &c);
    assert_int_equal(tls_handshake(s), TLS_FAILED);
    must_queue_empty();
    must_error(s, e);
    assert_int_equal(bytes_count(&c.out), alert ? 7 : 0);
    if (alert)
        assert_int_equal(c.out.p[0], 0x15);
    tls_free(s);
    fake_close(&c);
}

static void broken_records(void **state)
{
    struct link l;
    unsigned char copy[2000], buf[16];
    size_t n, got;

    (void)state;
    bytes_fail("\x16\x09\x09\x00\x05zzzzz", 10, TLS_ERR_BAD_RECORD, false);
    bytes_fail("\x16\x03\x01\xff\xff", 5, TLS_ERR_BAD_RECORD, true);
    bytes_fail("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, TLS_ERR_PROTOCOL, true);
    bytes_fail("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10, TLS_ERR_PROTOCOL, true);
    bytes_fail("\x16\x03\x01\x00\x05\x01\xff\xff\xff\x03", 10, TLS_ERR_HANDSHAKE_TOO_LARGE, true);
    /* One flipped bit anywhere in a record. */
    for (size_t bit = 0; bit < 8 * 27; bit += 5) {
        open_done(&l);
        SSL_write(l.peer.ssl, "hello", 5);
        n = (size_t)BIO_read(l.peer.out, copy, sizeof(copy));
        assert_int_equal(n, 27);
        copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
        bytes_put(&l.tcp.in, copy, n);
        l.tcp.fin = true;
        assert_int_equal(tls_read(l.s, buf, sizeof(buf), &got), TLS_FAILED);
        assert_int_equal(got, 0);
        must_queue_empty();
        if (bit >= 40)
            must_error(l.s, TLS_ERR_BAD_RECORD);
        link_free(&l);
    }
}

/* An error that somebody else has left on this thread is not ours. */
static void foreign_errors(void **state)
{
    struct link l;
    char buf[8];
    size_t n;

    (void)state;
    open_done(&l);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    assert_int_equal(tls_read(l.s, buf, sizeof(buf), &n), TLS_AGAIN);
    l.tcp.room = 0;
    assert_int_equal(tls_write(l.s, buf, sizeof(buf), &n), TLS_AGAIN);
    l.tcp.room = SIZE_MAX;
    link_must_say(&l, "hello", "good day");
    ERR_clear_error();
    link_free(&l);
    open_link(&l);
    SSL_do_handshake(l.peer.ssl);
    link_carry(&l);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    assert_int_equal(tls_handshake(l.s), TLS_AGAIN);
    must_queue_empty();
    link_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_cut_everywhere),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(random_wires),
        cmocka_unit_test(handshake_without_room),
        cmocka_unit_test(records),
        cmocka_unit_test(key_update),
        cmocka_unit_test(write_contract),
        cmocka_unit_test(close_notify),
        cmocka_unit_test(truncation),
        cmocka_unit_test(reset),
        cmocka_unit_test(not_tls),
        cmocka_unit_test(first_bytes_and_fin),
        cmocka_unit_test(broken_records),
        cmocka_unit_test(foreign_errors),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
