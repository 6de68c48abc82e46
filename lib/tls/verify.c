/* Why a vendor's certificate was refused, in words: taken down while OpenSSL still knows which
 * certificate of the chain it was. */
#include "tls_internal.h"

#include <openssl/x509v3.h>

static enum tls_error cause_of(int error)
{
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return TLS_ERR_VERIFY_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_ERR_VERIFY_EXPIRED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
        return TLS_ERR_VERIFY_CHAIN;
    default:
        return TLS_ERR_VERIFY_OTHER;
    }
}

/* RFC 2253 escapes whatever is not printable ASCII: the names are the other side's words. */
static void name_text(const X509_NAME *name, char *out, size_t room)
{
    BIO *b = BIO_new(BIO_s_mem());
    int n = 0;

    if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(b, out, (int)room - 1);
    out[n > 0 ? n : 0] = '\0';
    BIO_free(b);
}

int tls_verify_callback(int ok, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = tls_session_of(ssl);
    const X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    char subject[72] = "", issuer[72] = "";

    if (ok)
        return 1;
    if (x) {
        name_text(X509_get_subject_name(x), subject, sizeof(subject));
        name_text(X509_get_issuer_name(x), issuer, sizeof(issuer));
    }
    tls_blame(s, cause_of(error), "%s (subject \"%s\", issuer \"%s\")",
              X509_verify_cert_error_string(error), subject, issuer);
    return 0;
}

int tls_verify_vendor(X509_STORE_CTX *ctx, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = tls_session_of(ssl);

    (void)arg;
    if (X509_verify_cert(ctx) != 1)
        return 0;
    if (!s->vendor || tls_vendor_pinned(s->t, s->vendor, X509_STORE_CTX_get0_chain(ctx)))
        return 1;
    tls_blame(s, TLS_ERR_VERIFY_PIN, "no key of the vendor's chain is among the pinned ones");
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}
