#include "tls_internal.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>

static const char *const names[] = {
    [TLS_ERR_NONE] = "none",
    [TLS_ERR_NOT_TLS] = "not_tls",
    [TLS_ERR_PLAIN_HTTP] = "plain_http",
    [TLS_ERR_NO_SNI] = "no_sni",
    [TLS_ERR_BAD_SNI] = "bad_sni",
    [TLS_ERR_VERSION] = "version",
    [TLS_ERR_NO_SHARED_CIPHER] = "no_shared_cipher",
    [TLS_ERR_MINT_LIMIT] = "mint_limit",
    [TLS_ERR_MINT_FAILED] = "mint_failed",
    [TLS_ERR_PEER_ALERT] = "peer_alert",
    [TLS_ERR_PEER_REJECTED_CERTIFICATE] = "peer_rejected_certificate",
    [TLS_ERR_BAD_RECORD] = "bad_record",
    [TLS_ERR_TRUNCATED] = "truncated",
    [TLS_ERR_TCP_ENDED] = "tcp_ended",
    [TLS_ERR_RENEGOTIATION] = "renegotiation",
    [TLS_ERR_VERIFY_CHAIN] = "verify_chain",
    [TLS_ERR_VERIFY_EXPIRED] = "verify_expired",
    [TLS_ERR_VERIFY_NAME] = "verify_name",
    [TLS_ERR_VERIFY_PIN] = "verify_pin",
    [TLS_ERR_VERIFY_OTHER] = "verify_other",
    [TLS_ERR_NO_ALPN] = "no_alpn",
    [TLS_ERR_PROTOCOL] = "protocol",
    [TLS_ERR_INTERNAL] = "internal",
    [TLS_ERR_BAD_CERTIFICATE] = "bad_certificate",
    [TLS_ERR_HANDSHAKE_TOO_LARGE] = "handshake_too_large",
};

_Static_assert(sizeof(names) / sizeof(names[0]) == TLS_ERR_COUNT, "every cause has a name");

const char *tls_error_name(enum tls_error e)
{
    return (unsigned)e < TLS_ERR_COUNT ? names[e] : "unknown";
}

/* OpenSSL reports an alert of the peer's as a reason of its own: 1000 and the alert's number. */
static enum tls_error cause_of_alert(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
        return TLS_ERR_PEER_REJECTED_CERTIFICATE;
    case SSL_AD_PROTOCOL_VERSION:
        return TLS_ERR_VERSION;
    default:
        return TLS_ERR_PEER_ALERT;
    }
}

static enum tls_error cause_of_reason(int reason)
{
    switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return TLS_ERR_TRUNCATED;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_INAPPROPRIATE_FALLBACK:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_BAD_LEGACY_VERSION:
        return TLS_ERR_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_CIPHERS_SPECIFIED:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_MISSING_SIGALGS_EXTENSION:
    case SSL_R_MISSING_SUPPORTED_GROUPS_EXTENSION:
        return TLS_ERR_NO_SHARED_CIPHER;
    case SSL_R_DECRYPTION_FAILED:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_RECORD:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_RECORD_TOO_SMALL:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return TLS_ERR_BAD_RECORD;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_ERR_NO_ALPN;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return TLS_ERR_VERIFY_OTHER;
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_CERT_LENGTH_MISMATCH:
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
    case ERR_R_ASN1_LIB:
        return TLS_ERR_BAD_CERTIFICATE;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
        return TLS_ERR_HANDSHAKE_TOO_LARGE;
    case ERR_R_MALLOC_FAILURE:
    case ERR_R_INTERNAL_ERROR:
        return TLS_ERR_INTERNAL;
    default:
        return TLS_ERR_PROTOCOL;
    }
}

void tls_blame_alert(struct tls_session *s, int alert)
{
    tls_blame(s, cause_of_alert(alert), "the peer sent the alert \"%s\"",
              SSL_alert_desc_string_long(alert));
}

static void blame_reason(struct tls_session *s, unsigned long e)
{
    int reason = ERR_GET_REASON(e);
    const char *text = ERR_reason_error_string(e);

    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255)
        tls_blame_alert(s, reason - SSL_AD_REASON_OFFSET);
    else
        tls_blame(s, cause_of_reason(reason), "%s", text ? text : "TLS failed");
}

/* What TLS itself says first; what lies beneath it (ASN.1, EVP) only if TLS says nothing. */
void tls_blame_openssl(struct tls_session *s)
{
    unsigned long e, tls = 0, other = 0;

    while ((e = ERR_get_error())) {
        if (ERR_GET_LIB(e) == ERR_LIB_SSL)
            tls = tls ? tls : e;
        else
            other = other ? other : e;
    }
    if (tls)
        blame_reason(s, tls);
    else if (other)
        tls_blame(s, TLS_ERR_PROTOCOL, "%s", ERR_reason_error_string(other));
    else
        tls_blame(s, TLS_ERR_INTERNAL, "TLS failed without a reason");
}
