#include "tls_internal.h"

/* A cursor over hostile bytes: reading past the end yields nothing and marks it bad. */
struct reader {
    const unsigned char *p;
    size_t n;
    bool bad;
};

static struct reader take(struct reader *r, size_t n)
{
    struct reader part = {r->p, n, r->bad};

    if (r->bad || n > r->n) {
        r->bad = true;
        return (struct reader){NULL, 0, true};
    }
    r->p += n;
    r->n -= n;
    return part;
}

static unsigned take_u8(struct reader *r)
{
    struct reader b = take(r, 1);

    return b.bad ? 0 : b.p[0];
}

static unsigned take_u16(struct reader *r)
{
    struct reader b = take(r, 2);

    return b.bad ? 0 : (unsigned)b.p[0] << 8 | b.p[1];
}

bool tls_sni_parse(const unsigned char *p, size_t n, struct span *name)
{
    struct reader all = {p, n, false};
    struct reader list = take(&all, take_u16(&all));
    unsigned type = take_u8(&list);
    struct reader host = take(&list, take_u16(&list));

    *name = SPAN_NONE;
    if (host.bad || all.n || list.n || type != TLSEXT_NAMETYPE_host_name || host.n == 0)
        return false;
    *name = span_of(host.p, host.n);
    return true;
}

/* Whether a list of 16-bit numbers has one for which `wanted` says yes. `prefixed`: by its length.
 */
static bool list_has(const unsigned char *p, size_t n, bool prefixed, bool (*wanted)(unsigned))
{
    struct reader all = {p, n, false};
    struct reader list = prefixed ? take(&all, take_u16(&all)) : all;
    bool found = false;

    while (!list.bad && list.n)
        found = wanted(take_u16(&list)) || found;
    return found && !list.bad;
}

static bool is_p256(unsigned group)
{
    return group == 23; /* secp256r1 */
}

static bool is_ecdsa_p256_sha256(unsigned scheme)
{
    return scheme == 0x0403;
}

/* In TLS 1.2 the hash is not tied to the curve (RFC 5246 7.4.1.4.1). */
static bool is_ecdsa(unsigned scheme)
{
    return scheme == 0x0403 || scheme == 0x0503 || scheme == 0x0603;
}

/* The ECDHE_ECDSA suites of server.c's list: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305. */
static bool is_ecdsa_suite(unsigned suite)
{
    return suite == 0xc02b || suite == 0xc02c || suite == 0xcca9;
}

static void read_ecdsa(SSL *ssl, struct tls_hello *h)
{
    const unsigned char *p;
    size_t n;
    bool group = true, algorithm = false, suite;

    /* No list of groups: any (RFC 8422 4). */
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_groups, &p, &n))
        group = list_has(p, n, true, is_p256);
    h->ecdsa_tls13 = false;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_signature_algorithms, &p, &n)) {
        algorithm = list_has(p, n, true, is_ecdsa);
        h->ecdsa_tls13 = list_has(p, n, true, is_ecdsa_p256_sha256);
    }
    n = SSL_client_hello_get0_ciphers(ssl, &p);
    suite = n && list_has(p, n, false, is_ecdsa_suite);
    h->ecdsa_tls12 = group && algorithm && suite;
}

static enum tls_error read_name(SSL *ssl, char name[TLS_NAME_MAX + 1], int *alert)
{
    const unsigned char *p;
    struct span host;
    size_t n;

    name[0] = '\0';
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n)) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return TLS_ERR_NO_SNI;
    }
    if (!tls_sni_parse(p, n, &host)) {
        *alert = SSL_AD_DECODE_ERROR;
        return TLS_ERR_BAD_SNI;
    }
    if (!tls_name_read(host, name)) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return TLS_ERR_BAD_SNI;
    }
    return TLS_ERR_NONE;
}

enum tls_error tls_hello_read(SSL *ssl, struct tls_hello *h, char name[TLS_NAME_MAX + 1],
                              int *alert)
{
    char again[TLS_NAME_MAX + 1];
    const unsigned char *p;
    enum tls_error e;
    size_t n;

    e = read_name(ssl, h->seen ? again : name, alert);
    /* After a HelloRetryRequest the name must be the same (RFC 8446 4.1.2). */
    if (e == TLS_ERR_NONE && h->seen && strcmp(again, name) != 0) {
        *alert = SSL_AD_ILLEGAL_PARAMETER;
        e = TLS_ERR_BAD_SNI;
    }
    h->seen = true;
    h->ech = SSL_client_hello_get0_ext(ssl, TLS_EXT_ECH, &p, &n) || h->ech;
    read_ecdsa(ssl, h);
    return e;
}
