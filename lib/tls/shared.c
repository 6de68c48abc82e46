#include "tls_internal.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#define WARN_BEFORE_S (14 * 86400)

int64_t tls_asn1_seconds(const ASN1_TIME *t)
{
    struct tm tm;

    return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : INT64_MIN;
}

X509 *tls_copy_x509(X509 *x, OSSL_LIB_CTX *lib)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    const unsigned char *p = der;
    X509 *copy = n > 0 ? X509_new_ex(lib, NULL) : NULL;

    if (copy && !d2i_X509(&copy, &p, n))
        copy = NULL; /* freed by d2i_X509 */
    OPENSSL_free(der);
    return copy;
}

EVP_PKEY *tls_copy_key(EVP_PKEY *k, OSSL_LIB_CTX *lib)
{
    unsigned char *der = NULL;
    int n = i2d_PrivateKey(k, &der);
    const unsigned char *p = der;
    EVP_PKEY *copy = NULL;

    if (n > 0)
        copy = d2i_PrivateKey_ex(EVP_PKEY_get_base_id(k), NULL, &p, n, lib, NULL);
    OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
    return copy;
}

STACK_OF(X509) * tls_copy_chain(STACK_OF(X509) * from, OSSL_LIB_CTX *lib)
{
    STACK_OF(X509) *to = sk_X509_new_null();

    for (int i = 0; to && i < sk_X509_num(from); i++) {
        X509 *x = tls_copy_x509(sk_X509_value(from, i), lib);

        if (!x || !sk_X509_push(to, x)) {
            X509_free(x);
            sk_X509_pop_free(to, X509_free);
            return NULL;
        }
    }
    return to;
}

/* ---- the CA */

static bool dates_ok(X509 *ca, struct place at, struct diags *d)
{
    int64_t now = (int64_t)(clock_wall_ns() / NS_IN_S);
    int64_t from = tls_asn1_seconds(X509_get0_notBefore(ca));
    int64_t until = tls_asn1_seconds(X509_get0_notAfter(ca));

    if (from == INT64_MIN || until == INT64_MIN)
        diag_error(d, at, "the CA's validity cannot be read");
    else if (now < from)
        diag_error(d, at, "the CA is not valid yet");
    else if (now > until)
        diag_error(d, at, "the CA has expired");
    else {
        if (until - now < WARN_BEFORE_S)
            diag_warning(d, at, "the CA expires in %d days", (int)((until - now) / 86400));
        return true;
    }
    return false;
}

static bool authority_ok(X509 *ca, struct place at, struct diags *d)
{
    if (X509_check_ca(ca) != 1)
        diag_error(d, at,
                   "the first certificate is not a CA (basicConstraints CA:TRUE with "
                   "keyUsage keyCertSign)");
    else if (!(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN))
        diag_error(d, at, "the CA's keyUsage does not include keyCertSign");
    else if (X509_check_purpose(ca, X509_PURPOSE_SSL_SERVER, 1) != 1)
        diag_error(d, at, "the CA's extendedKeyUsage does not include serverAuth");
    else
        return true;
    return false;
}

static bool key_ok(const struct tls_shared *s, const struct tls_shared_config *c, struct diags *d)
{
    struct place at = place_of_file(c->ca_key);
    int type = EVP_PKEY_get_base_id(s->ca_key);

    if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
        diag_error(d, at, "the CA's key must be RSA or EC");
    else if (EVP_PKEY_get_security_bits(s->ca_key) < 112)
        diag_error(d, at, "the CA's key is too weak: RSA 2048 bits or EC P-256 at the least");
    else if (X509_check_private_key(s->ca, s->ca_key) != 1)
        diag_error(d, at, "is not the key of the first certificate in %s", c->ca_certificate);
    else
        return true;
    return false;
}

static bool is_root(X509 *x)
{
    return (X509_get_extension_flags(x) & EXFLAG_SS) != 0;
}

/* The file reads upwards: each certificate issued by the next. Roots stay at home; callers have
 * theirs. */
static bool build_chain(struct tls_shared *s, STACK_OF(X509) * file, struct place at,
                        struct diags *d)
{
    s->chain = sk_X509_new_null();
    for (int i = 0; s->chain && i < sk_X509_num(file); i++) {
        X509 *x = sk_X509_value(file, i);
        X509 *above = i + 1 < sk_X509_num(file) ? sk_X509_value(file, i + 1) : NULL;

        if (above && X509_check_issued(above, x) != X509_V_OK) {
            diag_error(d, at,
                       "certificate %d is not issued by certificate %d: the file must go "
                       "from the issuing CA upwards",
                       i + 1, i + 2);
            return false;
        }
        if (is_root(x))
            continue;
        if (!X509_up_ref(x) || !sk_X509_push(s->chain, x))
            return false;
    }
    return s->chain != NULL;
}

static bool load_ca(struct tls_shared *s, const struct tls_shared_config *c, struct diags *d)
{
    struct place at = place_of_file(c->ca_certificate);
    STACK_OF(X509) *file = sk_X509_new_null();
    bool ok = file && tls_pem_certificates(c->ca_certificate, file, d);

    if (ok) {
        s->ca = sk_X509_value(file, 0);
        X509_up_ref(s->ca);
        bool authority = authority_ok(s->ca, at, d);
        bool dates = dates_ok(s->ca, at, d);
        ok = build_chain(s, file, at, d) && authority && dates;
    }
    s->ca_key = tls_pem_key(c->ca_key, d);
    if (s->ca && s->ca_key)
        ok = key_ok(s, c, d) && ok;
    sk_X509_pop_free(file, X509_free);
    return ok && s->ca_key;
}

struct tls_shared *tls_shared_load(const struct tls_shared_config *c, struct diags *d)
{
    struct tls_shared *s = calloc(1, sizeof(*s));
    bool ca, trust, rest;

    if (!s) {
        diag_error(d, place_of_file(c->ca_certificate), "out of memory");
        return NULL;
    }
    ca = load_ca(s, c, d);
    trust = (s->trust = tls_trust_load(c->vendor_trust, d)) != NULL;
    s->bio = tls_bio_method();
    rest = s->bio && RAND_bytes(s->ticket_seed, sizeof(s->ticket_seed)) == 1;
    if (!rest)
        diag_error(d, place_of_file(c->ca_certificate), "OpenSSL cannot be set up: %s",
                   tls_openssl_reason());
    ERR_clear_error();
    if (ca && trust && rest)
        return s;
    tls_shared_free(s);
    return NULL;
}

void tls_shared_free(struct tls_shared *s)
{
    if (!s)
        return;
    X509_free(s->ca);
    EVP_PKEY_free(s->ca_key);
    sk_X509_pop_free(s->chain, X509_free);
    sk_X509_pop_free(s->trust, X509_free);
    BIO_meth_free(s->bio);
    OPENSSL_cleanse(s->ticket_seed, sizeof(s->ticket_seed));
    free(s);
}
