/* What a peer that has the keys can send after the handshake: records of any type and content, cut
 * over the wire anywhere, some of them forged or not sealed at all. Whatever is delivered must be
 * what was sealed as data, in order, before the first thing that must end the connection; and all
 * of it if there was no such thing.
 *
 * The input: one byte for the role, the reader's room and how the wire is cut; then for each record
 * one byte for what it is, two for its length, and up to 64 of its content, which are repeated. */
#include "../unit/tls/fake_tcp.h"
#include "../unit/tls/pki.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/tls_internal.h"

enum { TEXT_MOST = 16500, RECORDS_MOST = 40 };

static struct tls *worker;
static struct tls_shared *shared;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

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
    worker = shared ? tls_new(shared, &(struct tls_limits){.leaf_cache = 16}) : NULL;
    if (!worker)
        abort();
    pki_free(&ca);
    pki_cleanup();
    return 0;
}

/* As a handshake would leave it. Tickets of a vendor are looked at but go to no OpenSSL. */
static struct tls_session *session(struct tcp_conn *c, bool server, struct tls_way *peer)
{
    struct tls_session *s = tls_server(worker, c);

    if (!s)
        abort();
    s->server = server;
    s->own = s->in_updated = true;
    s->state = TLS_ST_OPEN;
    s->suite = tls_suite(worker, 0x1301);
    memset(s->in.secret, 1, sizeof(s->in.secret));
    memset(s->out.secret, 2, sizeof(s->out.secret));
    *peer = s->in;
    if (!tls_way_open(worker, s->suite, &s->in, false) ||
        !tls_way_open(worker, s->suite, &s->out, true) ||
        !tls_way_open(worker, s->suite, peer, true))
        abort();
    return s;
}

struct sent {
    struct bytes wire, data; /* what goes over the wire; what may be delivered at most */
    bool over;               /* something has been sent that ends the connection, or may */
    bool dead;               /* that must: what follows is never delivered */
};

/* A record of a length that no honest peer sends is sealed all the same. */
static void put_sealed(struct sent *t, struct tls_way *peer, uint8_t type, const uint8_t *text,
                       size_t n, bool forge)
{
    static uint8_t record[TLS_HEADER + TEXT_MOST + 1 + TLS_TAG];
    size_t all = tls_way_seal(peer, type, text, n, record);

    if (!all)
        abort();
    if (forge)
        record[all - 1 - n % TLS_TAG] ^= 1;
    bytes_put(&t->wire, record, all);
    if (type == TLS_TYPE_DATA && n && n <= TLS_RECORD_MAX && !forge && !t->dead)
        bytes_put(&t->data, text, n);
    t->dead |= forge || n > TLS_RECORD_MAX;
    t->over |= t->dead;
}

static void put_update(struct sent *t, struct tls_session *s, struct tls_way *peer, bool asks)
{
    const uint8_t message[] = {24, 0, 0, 1, asks};

    put_sealed(t, peer, TLS_TYPE_HANDSHAKE, message, sizeof(message), false);
    if (!tls_way_update(worker, s->suite, peer, true))
        abort();
}

static void put_record(struct sent *t, struct tls_session *s, struct tls_way *peer, uint8_t what,
                       const uint8_t *text, size_t n)
{
    switch (what & 7) {
    case 0:
    case 1:
    case 2:
        put_sealed(t, peer, TLS_TYPE_DATA, text, n, false);
        t->over |= n == 0; /* too many of them end it */
        break;
    case 3:
        put_update(t, s, peer, what & 8);
        break;
    case 4:
        put_sealed(t, peer, TLS_TYPE_ALERT, text, n, false);
        t->over = true;
        break;
    case 5:
        put_sealed(t, peer, TLS_TYPE_HANDSHAKE, text, n, false);
        t->over = true;
        break;
    case 6:
        bytes_put(&t->wire, text, n);
        t->over = true;
        t->dead |= n >= TLS_HEADER && text[0] != TLS_TYPE_DATA;
        break;
    default:
        /* Type 0 would be padding (RFC 8446 5.4): what stands before it is the type then. */
        put_sealed(t, peer, what >> 3 & 31 ? what >> 3 & 31 : 99, text, n, what & 128);
        t->over = true;
    }
}

static void compose(struct sent *t, struct tls_session *s, struct tls_way *peer, const uint8_t *p,
                    size_t n)
{
    static uint8_t text[TEXT_MOST];

    for (unsigned k = 0; k < RECORDS_MOST && n >= 3; k++) {
        size_t len = ((size_t)p[1] << 8 | p[2]) % TEXT_MOST, have = n - 3 < 64 ? n - 3 : 64;

        have = have < len ? have : len;
        for (size_t i = 0; i < len; i++)
            text[i] = have ? p[3 + i % have] : 'x';
        put_record(t, s, peer, p[0], text, len);
        p += 3 + have;
        n -= 3 + have;
    }
}

/* Reads what has come; what is delivered must follow in `data`. */
static enum tls_result read_all(struct tls_session *s, struct bytes *data, size_t room)
{
    static uint8_t buf[20000], want[sizeof(buf)];
    enum tls_result r;
    size_t got;

    while ((r = tls_read(s, buf, room, &got)) == TLS_OK) {
        if (got == 0 || got > room || bytes_take(data, want, got) != got ||
            memcmp(buf, want, got) != 0)
            abort();
    }
    if ((r == TLS_FAILED) != (tls_error(s) != TLS_ERR_NONE) || ERR_peek_error())
        abort();
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const size_t rooms[] = {1, 100, 16384, 20000};
    enum tls_result r = TLS_AGAIN;
    struct sent t = {0};
    struct tls_way peer;
    struct tls_session *s;
    struct tcp_conn c;
    size_t put, step;

    if (n < 1 || n > 4096)
        return 0;
    fake_open(&c);
    s = session(&c, p[0] & 1, &peer);
    step = p[0] & 8 ? 1u + (p[0] >> 4) * 700u : SIZE_MAX / 2;
    compose(&t, s, &peer, p + 1, n - 1);
    bytes_put(&c.in, t.wire.p, t.wire.n);
    for (c.in_limit = 0; r == TLS_AGAIN && bytes_count(&c.in);) {
        c.in_limit =
            c.in_limit + step < bytes_count(&c.in) ? c.in_limit + step : bytes_count(&c.in);
        r = read_all(s, &t.data, rooms[p[0] >> 1 & 3]);
        if (r == TLS_AGAIN && tls_write(s, "answer", 6, &put) != TLS_OK)
            abort();
    }
    if (!t.over && (bytes_count(&t.data) || r == TLS_FAILED))
        abort();
    tls_shutdown(s);
    tls_free(s);
    tls_way_close(&peer);
    bytes_free(&t.wire);
    bytes_free(&t.data);
    fake_close(&c);
    return 0;
}
