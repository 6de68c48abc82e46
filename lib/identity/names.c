#include "identity/identity.h"

static const char *const names[] = {
    [IDENTITY_NONE] = "none",
    [IDENTITY_TOKEN_MISSING] = "token_missing",
    [IDENTITY_TOKEN_TWICE] = "token_twice",
    [IDENTITY_TOKEN_MALFORMED] = "token_malformed",
    [IDENTITY_TOKEN_TOO_LARGE] = "token_too_large",
    [IDENTITY_TOKEN_ALGORITHM] = "token_algorithm",
    [IDENTITY_TOKEN_TYPE] = "token_type",
    [IDENTITY_TOKEN_ISSUER] = "token_issuer",
    [IDENTITY_TOKEN_KEY] = "token_key",
    [IDENTITY_TOKEN_SIGNATURE] = "token_signature",
    [IDENTITY_TOKEN_EXPIRED] = "token_expired",
    [IDENTITY_TOKEN_NOT_YET] = "token_not_yet",
    [IDENTITY_TOKEN_AUDIENCE] = "token_audience",
    [IDENTITY_TOKEN_CLAIMS] = "token_claims",
    [IDENTITY_CALLER_UNNAMED] = "caller_unnamed",
    [IDENTITY_TOO_MANY_GROUPS] = "too_many_groups",
    [IDENTITY_CERTIFICATE_MISSING] = "certificate_missing",
    [IDENTITY_CERTIFICATE_UNTRUSTED] = "certificate_untrusted",
    [IDENTITY_CERTIFICATE_EXPIRED] = "certificate_expired",
    [IDENTITY_CERTIFICATE_NOT_YET] = "certificate_not_yet",
    [IDENTITY_CERTIFICATE_REVOKED] = "certificate_revoked",
    [IDENTITY_CERTIFICATE_CRL] = "certificate_crl",
    [IDENTITY_CERTIFICATE_PURPOSE] = "certificate_purpose",
    [IDENTITY_CERTIFICATE_INVALID] = "certificate_invalid",
    [IDENTITY_CERTIFICATE_UNNAMED] = "certificate_unnamed",
    [IDENTITY_SOURCE_UNKNOWN] = "source_unknown",
};

static const char *const texts[] = {
#define X(name, text) text,
    IDENTITY_CAUSES(X)
#undef X
};

_Static_assert(sizeof(names) == sizeof(texts), "a cause has no name");

const char *identity_cause_name(enum identity_cause c)
{
    return c < IDENTITY_CAUSE_COUNT ? names[c] : "unknown";
}

const char *identity_cause_text(enum identity_cause c)
{
    return c < IDENTITY_CAUSE_COUNT ? texts[c] : "";
}
