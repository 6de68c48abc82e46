/* CAs of client certificates, read with the rules: anchors and lists of what has been revoked. */
#include "identity_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#define CERTIFICATES_MAX 1024 /* of one file; CRLs too */
#define CHAIN_DEPTH      8
#define SECURITY_LEVEL   2 /* RSA 2048, EC P-224, SHA-224 and better, along the whole chain */

int64_t identity_asn1_seconds(const ASN1_TIME *t)
{
    struct tm tm;

    return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : INT64_MIN;
}

/* A CRL is published by those certificates that it can speak about: those below a CA. That the
 * anchor itself still stands is said by the rules that name it. */
static int revocation(int ok, X509_STORE_CTX *ctx)
{
    int top = sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) - 1;

    return ok || (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNABLE_TO_GET_CRL &&
                  X509_STORE_CTX_get_error_depth(ctx) == top);
}

static BIO *open_file(struct span path, struct place at, struct diags *d)
{
    BIO *b = BIO_new_file(path.p, "r");

    if (!b)
        diag_error(d, at, "%.*s cannot be read", SPAN_ARG(path));
    return b;
}

/* The end of a PEM file, or something in it that is none. */
static bool ended_well(void)
{
    unsigned long e = ERR_peek_last_error();
    bool ok = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return ok;
}

static bool add_anchor(struct identity_issuer *i, X509 *x, struct diags *d)
{
    if (X509_check_ca(x) < 1) {
        diag_error(d, i->rule->ca_place, "%.*s holds a certificate that is not a CA's",
                   SPAN_ARG(i->rule->ca_file));
        return false;
    }
    return X509_STORE_add_cert(i->store, x) == 1;
}

static bool load_anchors(struct identity_issuer *i, struct diags *d)
{
    BIO *b = open_file(i->rule->ca_file, i->rule->ca_place, d);
    unsigned n = 0;
    bool ok = b != NULL, all;
    X509 *x;

    while (ok && n < CERTIFICATES_MAX && (x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        ok = add_anchor(i, x, d);
        X509_free(x);
        n++;
    }
    all = ended_well();
    BIO_free(b);
    if (ok && (n == 0 || !all)) {
        diag_error(d, i->rule->ca_place, "%.*s is not a PEM file of 1 to %d certificates",
                   SPAN_ARG(i->rule->ca_file), CERTIFICATES_MAX);
        return false;
    }
    return ok;
}

static bool add_crl(struct identity_issuer *i, X509_CRL *crl, struct diags *d)
{
    int64_t until = identity_asn1_seconds(X509_CRL_get0_nextUpdate(crl));

    if (until != INT64_MIN && until < i->crl_until)
        i->crl_until = until;
    if (until != INT64_MIN && until < (int64_t)(clock_wall_ns() / NS_IN_S))
        diag_warning(d, i->rule->crl_place,
                     "%.*s is out of date: certificates of that CA will be refused",
                     SPAN_ARG(i->rule->crl_file));
    return X509_STORE_add_crl(i->store, crl) == 1;
}

static bool load_crls(struct identity_issuer *i, struct diags *d)
{
    BIO *b;
    unsigned n = 0;
    bool ok, all;
    X509_CRL *crl;

    i->crl_until = INT64_MAX;
    if (i->rule->crl_file.n == 0)
        return true;
    b = open_file(i->rule->crl_file, i->rule->crl_place, d);
    ok = b != NULL;
    while (ok && n < CERTIFICATES_MAX && (crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL))) {
        ok = add_crl(i, crl, d);
        X509_CRL_free(crl);
        n++;
    }
    all = ended_well();
    BIO_free(b);
    if (ok && (n == 0 || !all)) {
        diag_error(d, i->rule->crl_place, "%.*s is not a PEM file of 1 to %d CRLs",
                   SPAN_ARG(i->rule->crl_file), CERTIFICATES_MAX);
        return false;
    }
    return ok;
}

bool identity_authority_load(struct identity_issuer *i, struct diags *d)
{
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN; /* what the file names is an anchor */
    X509_VERIFY_PARAM *p;

    i->store = X509_STORE_new();
    if (!i->store) {
        diag_error(d, i->rule->ca_place, "out of memory");
        return false;
    }
    if (i->rule->crl_file.n)
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    X509_STORE_set_verify_cb(i->store, revocation);
    p = X509_STORE_get0_param(i->store);
    if (!X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_CLIENT) ||
        !X509_VERIFY_PARAM_set_flags(p, flags))
        return false;
    X509_VERIFY_PARAM_set_depth(p, CHAIN_DEPTH);
    X509_VERIFY_PARAM_set_auth_level(p, SECURITY_LEVEL);
    bool anchors = load_anchors(i, d), crls = load_crls(i, d);
    return anchors && crls;
}
