/* Vendors that are not as all others: read once with the rules, made into objects of a worker's
 * own library context at the first connection. */
#include "tls_internal.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define CHAIN_MOST 8 /* certificates of ours that a vendor is shown */

/* ---- what we show: PEM out of the vault. No text of OpenSSL's goes into complaints: it might
 * quote what it read. */

static int no_password(char *buf, int n, int rw, void *arg)
{
    (void)buf, (void)n, (void)rw, (void)arg;
    return -1;
}

static EVP_PKEY *read_key(struct span pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;

    BIO_free(b);
    return k;
}

static bool read_certificates(struct span pem, struct tls_vendor *v)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x;
    bool ok = b && (v->chain = sk_X509_new_null()) &&
              (v->leaf = PEM_read_bio_X509(b, NULL, no_password, NULL));

    while (ok && (x = PEM_read_bio_X509(b, NULL, no_password, NULL))) {
        ok = sk_X509_num(v->chain) < CHAIN_MOST - 1 && sk_X509_push(v->chain, x);
        if (!ok)
            X509_free(x);
    }
    BIO_free(b);
    return ok;
}

static bool certificate_ok(const struct tls_vendor *v, struct place at, struct diags *d)
{
    int64_t now = (int64_t)(clock_wall_ns() / NS_IN_S);

    if (X509_check_private_key(v->leaf, v->key) != 1)
        diag_error(d, at, "the key of the client certificate is not that of its first certificate");
    else if (EVP_PKEY_get_security_bits(v->key) < 112)
        diag_error(d, at,
                   "the key of the client certificate is too weak: RSA 2048 bits or EC P-256 at "
                   "the least");
    else if (X509_check_purpose(v->leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1)
        diag_error(d, at, "the client certificate may not be used by a TLS client (extKeyUsage)");
    else {
        /* The vendor will say so too; a rule set must not fall with one vendor. */
        if (now > tls_asn1_seconds(X509_get0_notAfter(v->leaf)))
            diag_warning(d, at, "the client certificate has expired");
        return true;
    }
    return false;
}

static bool load_certificate(struct tls_vendor *v, const struct tls_vendor_config *c,
                             struct diags *d)
{
    struct place at = c->certificate_place;

    if (c->certificate.n == 0)
        return true;
    if (!read_certificates(c->certificate, v))
        diag_error(d, at,
                   "the secret of a client certificate must be PEM: the certificate, up to %d that "
                   "stand above it, the key",
                   CHAIN_MOST - 1);
    else if (!(v->key = read_key(c->certificate)))
        diag_error(d, at, "the secret of a client certificate holds no private key in plain PEM");
    else
        return certificate_ok(v, at, d);
    return false;
}

/* ---- the id */

static bool digest_part(EVP_MD_CTX *sum, char what, const void *p, size_t n)
{
    uint64_t size = n;

    return EVP_DigestUpdate(sum, &what, 1) == 1 &&
           EVP_DigestUpdate(sum, &size, sizeof(size)) == 1 && EVP_DigestUpdate(sum, p, n) == 1;
}

static bool digest_x509(EVP_MD_CTX *sum, char what, X509 *x)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    bool ok = n > 0 && digest_part(sum, what, der, (size_t)n);

    OPENSSL_free(der);
    return ok;
}

static bool digest_stack(EVP_MD_CTX *sum, char what, STACK_OF(X509) * all)
{
    bool ok = true;

    for (int i = 0; ok && i < sk_X509_num(all); i++)
        ok = digest_x509(sum, what, sk_X509_value(all, i));
    return ok;
}

static bool make_id(struct tls_vendor *v)
{
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    bool ok = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1 &&
              digest_part(sum, 'p', v->pins, v->npins * sizeof(v->pins[0])) &&
              (!v->trust || digest_stack(sum, 't', v->trust)) &&
              (!v->leaf || (digest_x509(sum, 'l', v->leaf) && digest_stack(sum, 'c', v->chain))) &&
              EVP_DigestFinal_ex(sum, v->id, NULL) == 1;

    EVP_MD_CTX_free(sum);
    return ok;
}

const uint8_t *tls_vendor_id(const struct tls_vendor *v)
{
    static const uint8_t none[TLS_VENDOR_ID];

    return v ? v->id : none;
}

/* ---- life */

static bool load_trust(struct tls_vendor *v, const struct tls_vendor_config *c, struct diags *d)
{
    if (!c->trust || (v->trust = tls_trust_load(c->trust, d)))
        return true;
    diag_error(d, c->trust_place, "the CAs of `trust` cannot be read");
    return false;
}

struct tls_vendor *tls_vendor_load(const struct tls_vendor_config *c, struct diags *d)
{
    struct tls_vendor *v = calloc(1, sizeof(*v) + c->npins * sizeof(v->pins[0]));
    bool trust, certificate;

    if (!v) {
        diag_error(d, c->trust_place, "out of memory");
        return NULL;
    }
    v->npins = c->npins;
    if (c->npins)
        memcpy(v->pins, c->pins, c->npins * sizeof(v->pins[0]));
    trust = load_trust(v, c, d);
    certificate = load_certificate(v, c, d);
    if (trust && certificate && make_id(v)) {
        ERR_clear_error();
        return v;
    }
    ERR_clear_error();
    tls_vendor_free(v);
    return NULL;
}

void tls_vendor_free(struct tls_vendor *v)
{
    if (!v)
        return;
    sk_X509_pop_free(v->trust, X509_free);
    X509_free(v->leaf);
    sk_X509_pop_free(v->chain, X509_free);
    EVP_PKEY_free(v->key);
    free(v);
}

/* ---- a worker's own objects */

void tls_vendor_side_drop(void *value)
{
    struct tls_vendor_side *x = value;

    X509_STORE_free(x->store);
    X509_free(x->leaf);
    sk_X509_pop_free(x->chain, X509_free);
    EVP_PKEY_free(x->key);
    free(x);
}

static bool make_store(struct tls *t, const struct tls_vendor *v, struct tls_vendor_side *x)
{
    return !v->trust || ((x->store = X509_STORE_new()) && tls_trust_add(t, v->trust, x->store));
}

static bool make_certificate(struct tls *t, const struct tls_vendor *v, struct tls_vendor_side *x)
{
    return !v->leaf || ((x->leaf = tls_copy_x509(v->leaf, t->lib)) &&
                        (x->chain = tls_copy_chain(v->chain, t->lib)) &&
                        (x->key = tls_copy_key(v->key, t->lib)));
}

const struct tls_vendor_side *tls_vendor_side_of(struct tls *t, const struct tls_vendor *v)
{
    struct span key = span_of(v->id, sizeof(v->id));
    struct tls_vendor_side *x = lru_get(t->vendors, key);

    if (x)
        return x;
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    if (make_store(t, v, x) && make_certificate(t, v, x)) {
        lru_put(t->vendors, key, x);
        return x;
    }
    tls_vendor_side_drop(x);
    return NULL;
}

/* ---- pins */

static bool pin_of(const struct tls *t, X509 *x, uint8_t out[32])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, out, NULL, t->sha256, NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

bool tls_vendor_pinned(const struct tls *t, const struct tls_vendor *v, STACK_OF(X509) * chain)
{
    uint8_t pin[32];

    for (int i = 0; v->npins && i < sk_X509_num(chain); i++) {
        if (!pin_of(t, sk_X509_value(chain, i), pin))
            continue;
        for (unsigned k = 0; k < v->npins; k++)
            if (memcmp(pin, v->pins[k], sizeof(pin)) == 0)
                return true;
    }
    return v->npins == 0;
}
