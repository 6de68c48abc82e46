/* Who is calling: tokens, client certificates and addresses. An identity set is built with each
 * rules generation (keys from the issuers' JWKS files, CAs and CRLs from theirs) and is immutable;
 * a worker keeps a cache of what it has verified. */
#ifndef IDENTITY_IDENTITY_H
#define IDENTITY_IDENTITY_H

#include "base/base.h"
#include "http/http.h"
#include "rules/rules.h"

#define IDENTITY_TOKEN_MAX ((size_t)16 << 10)

struct identity_set;
struct identity_worker;

/* Reads the JWKS files of a rule set (RFC 7517: RSA >= 2048 bits, EC P-256/384/521, Ed25519), and
 * the CAs and CRLs of client certificates. NULL after complaints with file:line:column: unreadable,
 * no usable key, private or symmetric keys in it, duplicate kid, no CA. The rule set must outlive
 * it. */
struct identity_set *identity_load(const struct rules_set *rules, struct diags *d);
void identity_free(struct identity_set *s);

/* Why a caller is not known. Names are stable causes (identity_cause_name), texts are for people.
 */
#define IDENTITY_CAUSES(X)                                                                         \
    X(NONE, "")                                                                                    \
    X(TOKEN_MISSING, "no token was sent where the vendor's key would stand")                       \
    X(TOKEN_TWICE, "more than one token was sent")                                                 \
    X(TOKEN_MALFORMED, "the token is not a JWT")                                                   \
    X(TOKEN_TOO_LARGE, "the token is over 16 KiB")                                                 \
    X(TOKEN_ALGORITHM, "the token's algorithm is not accepted")                                    \
    X(TOKEN_TYPE, "the token's typ or crit header is not accepted")                                \
    X(TOKEN_ISSUER, "the token's issuer is not known")                                             \
    X(TOKEN_KEY, "the token was signed with a key that the issuer does not publish")               \
    X(TOKEN_SIGNATURE, "the token's signature is wrong")                                           \
    X(TOKEN_EXPIRED, "the token has expired")                                                      \
    X(TOKEN_NOT_YET, "the token is not valid yet")                                                 \
    X(TOKEN_AUDIENCE, "the token is for another audience")                                         \
    X(TOKEN_CLAIMS, "the token lacks a claim that is needed, or has it twice")                     \
    X(CALLER_UNNAMED, "the token's claims give no caller name")                                    \
    X(TOO_MANY_GROUPS, "the token's claims give too many groups")                                  \
    X(CERTIFICATE_MISSING, "no client certificate was shown")                                      \
    X(CERTIFICATE_UNTRUSTED, "the client certificate is from no CA that is known")                 \
    X(CERTIFICATE_EXPIRED, "the client certificate, or a CA above it, has expired")                \
    X(CERTIFICATE_NOT_YET, "the client certificate is not valid yet")                              \
    X(CERTIFICATE_REVOKED, "the client certificate has been revoked")                              \
    X(CERTIFICATE_CRL, "whether the client certificate was revoked cannot be said: no valid CRL")  \
    X(CERTIFICATE_PURPOSE, "the certificate, or a CA above it, is not for TLS clients")            \
    X(CERTIFICATE_INVALID, "the client certificate is malformed, weak or badly signed")            \
    X(CERTIFICATE_UNNAMED, "the client certificate does not have exactly one name of the kind "    \
                           "that names callers")                                                   \
    X(SOURCE_UNKNOWN, "the address is not a registered source")

enum identity_cause {
#define X(name, text) IDENTITY_##name,
    IDENTITY_CAUSES(X)
#undef X
        IDENTITY_CAUSE_COUNT
};
const char *identity_cause_name(enum identity_cause c); /* "token_expired" */
const char *identity_cause_text(enum identity_cause c);

/* A caller that has been verified; owned by the worker's cache, or by the set for sources. */
struct identity {
    struct rules_caller caller;
    struct span subject;  /* for the record: `sub`, or the certificate's subject */
    struct span token_id; /* `jti`, or the certificate's SHA-256 in hex */
    uint64_t expires_ns;  /* wall clock; UINT64_MAX for sources */
    unsigned refs;        /* holders; the cache keeps it alive while > 0 */
};

/* A worker's cache of verified tokens and certificates, keyed by their SHA-256: bounded, least
 * recently used goes. NULL: out of memory. */
struct identity_worker *identity_worker_new(unsigned tokens);
void identity_worker_free(struct identity_worker *w);
/* Forgets everything remembered under an older set (identities still held stay valid until put). */
void identity_worker_adopt(struct identity_worker *w, const struct identity_set *s);

/* Finds out who sent a request by the methods that the connection lists, in its order: the first
 * that is present must succeed. Tokens are looked for in Turnpike-Token, Authorization (Bearer;
 * Basic user or password), X-Api-Key, and the connection's own credential header; two different
 * tokens are TOKEN_TWICE. `certificates` are those that the caller has shown in TLS
 * (tls_peer_certificates), empty if none. On success *out holds a reference (identity_put gives it
 * back) and NONE is returned. *out->caller.address is not set here: copy what you need. A first
 * sight of a token or certificate costs signature checks and allocates (bounded by the cache);
 * later ones neither. `now_ns`: wall clock. */
enum identity_cause identity_identify(struct identity_worker *w,
                                      const struct rules_connection *connection,
                                      const struct http_head *head, struct span certificates,
                                      const struct net_addr *from, uint64_t now_ns,
                                      const struct identity **out);
void identity_put(struct identity_worker *w, const struct identity *id);

/* True for fields that carry the caller's token and must not reach the vendor. */
bool identity_is_token_field(const struct rules_connection *connection,
                             const struct http_field *field);

/* One token on its own: for tests and tools. On success fills *out with memory of `mem`. */
enum identity_cause identity_verify_token(const struct identity_set *s, struct span token,
                                          uint64_t now_ns, struct arena *mem, struct identity *out);

/* Client certificates on their own: DER, one behind the other, the caller's own first. The chain is
 * verified against the CAs of the rules (RFC 5280: dates, basicConstraints, clientAuth where
 * extKeyUsage is there, CRLs of the whole chain where a `crl` is configured). Claims are a JSON
 * object: sha256, serial, subject, issuer, spiffe, and the lists uri, dns, email, cn, o, ou. */
enum identity_cause identity_verify_certificates(const struct identity_set *s, struct span der,
                                                 uint64_t now_ns, struct arena *mem,
                                                 struct identity *out);

#define IDENTITY_COUNTERS(X) X(cache_hits) X(verified) X(evicted)
struct identity_counters {
#define X(name) counter name;
    IDENTITY_COUNTERS(X)
#undef X
    counter refused[IDENTITY_CAUSE_COUNT];
} __attribute__((aligned(64)));
const struct identity_counters *identity_counters(const struct identity_worker *w);

#endif
