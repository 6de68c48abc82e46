/* A stranger's bytes to a server session. The first byte says what is made of the rest: as it is,
 * as the body of one handshake record, or as the extensions of an otherwise good ClientHello, so
 * that the fuzzer reaches the inside without guessing lengths. Every other name is asked for a
 * certificate. The corpus are ClientHellos of OpenSSL, curl, GnuTLS, Node, Python, Go and Java. */
#include "../unit/tls/fake_tcp.h"
#include "../unit/tls/pki.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/tls.h"

static struct tls *worker;
static struct tls_shared *shared;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool ask(void *arg, struct span name)
{
    (void)arg;
    return name.n % 2 == 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct pki ca = pki_make(&(struct pki_spec){.cn = "Fuzz CA", PKI_CA});
    const char *file = pki_write_certs("ca.pem", (const struct pki *[]){&ca, NULL});
    struct tls_shared_config c = {file, pki_write_key("ca.key", &ca, 0600), file};
    struct diags d;

    (void)argc, (void)argv;
    diags_init(&d);
    shared = tls_shared_load(&c, &d);
    diags_print(&d, stderr, false);
    diags_free(&d);
    if (!shared)
        abort();
    worker = tls_new(shared, &(struct tls_limits){.leaf_cache = 16, .mints_a_second = 1000000});
    if (!worker)
        abort();
    tls_ask_certificates(worker, ask, NULL);
    pki_free(&ca);
    pki_cleanup();
    return 0;
}

static void put_u16(struct bytes *b, size_t v)
{
    unsigned char be[2] = {(unsigned char)(v >> 8), (unsigned char)v};

    bytes_put(b, be, 2);
}

static void put_record(struct bytes *b, unsigned char type, size_t n)
{
    bytes_put(b, &type, 1);
    put_u16(b, 0x0301);
    put_u16(b, n);
}

static void put_handshake(struct bytes *b, size_t n)
{
    put_record(b, 22, n + 4);
    bytes_put(b, "\x01\0", 2);
    put_u16(b, n);
}

/* Fixed: TLS 1.2 on paper, random, no session id, three suites of 1.3 and two of 1.2; then
 * supported_versions, groups and algorithms, so that the fuzzed ones decide alone. */
static void put_hello(struct bytes *b, const uint8_t *p, size_t n)
{
    static const char head[] = "\x03\x03"
                               "0123456789abcdef0123456789abcdef"
                               "\0"
                               "\0\x0a\x13\x01\x13\x02\x13\x03\xc0\x2b\xc0\x2f"
                               "\x01\0";
    static const char good[] = "\0\x2b\0\x05\x04\x03\x04\x03\x03"
                               "\0\x0a\0\x06\0\x04\0\x1d\0\x17"
                               "\0\x0d\0\x06\0\x04\x04\x03\x08\x04";

    put_handshake(b, sizeof(head) - 1 + 2 + sizeof(good) - 1 + n);
    bytes_put(b, head, sizeof(head) - 1);
    put_u16(b, sizeof(good) - 1 + n);
    bytes_put(b, good, sizeof(good) - 1);
    bytes_put(b, p, n);
}

static void check(const struct tls_session *s, enum tls_result r)
{
    struct span name = tls_sni(s);

    if (ERR_peek_error())
        abort();
    if ((r == TLS_FAILED) != (tls_error(s) != TLS_ERR_NONE))
        abort();
    if ((r == TLS_FAILED) != (tls_error_text(s)[0] != '\0'))
        abort();
    for (size_t i = 0; i < name.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", name.p[i]))
            abort();
    if (tls_peer_certificates(s).n)
        abort(); /* none is ever shown whole */
}

/* Bytes arrive `step` at a time; the send buffer takes `room` in all. */
static void run(struct tcp_conn *c, size_t step)
{
    struct tls_session *s = tls_server(worker, c);
    enum tls_result r;
    char buf[512];
    size_t got;

    c->in_limit = 0;
    do {
        c->in_limit =
            c->in_limit + step < bytes_count(&c->in) ? c->in_limit + step : bytes_count(&c->in);
        r = tls_read(s, buf, sizeof(buf), &got);
        check(s, r);
    } while (r == TLS_AGAIN && bytes_count(&c->in) && c->in_limit < bytes_count(&c->in));
    c->fin = true;
    r = tls_read(s, buf, sizeof(buf), &got);
    check(s, r);
    tls_shutdown(s);
    tls_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tcp_conn c;
    uint8_t how = n ? p[0] : 0;

    if (n < 1 || n > 16000)
        return 0;
    p++, n--;
    fake_open(&c);
    if (how & 4)
        c.room = 50;
    switch (how & 3) {
    case 0:
        bytes_put(&c.in, p, n);
        break;
    case 1:
        put_record(&c.in, 22, n);
        bytes_put(&c.in, p, n);
        break;
    case 2:
        put_handshake(&c.in, n);
        bytes_put(&c.in, p, n);
        break;
    default:
        put_hello(&c.in, p, n);
    }
    run(&c, how & 8 ? 1u + (how >> 4) : SIZE_MAX / 2);
    fake_close(&c);
    return 0;
}
