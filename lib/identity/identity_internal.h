/* The inside of the identity library: tokens taken apart, keys, and what a set holds. */
#ifndef IDENTITY_INTERNAL_H
#define IDENTITY_INTERNAL_H

#include <openssl/types.h>

#include "identity/identity.h"

#define IDENTITY_NAME_MAX  512 /* bytes of a caller's or a group's name */
#define IDENTITY_KEYS_MAX  256 /* in one JWKS file */
#define IDENTITY_RSA_LEAST 2048
#define IDENTITY_RSA_MOST  8192 /* a check costs the square of it */

enum jwk_type { JWK_RSA, JWK_P256, JWK_P384, JWK_P521, JWK_ED25519 };

struct jwt_algorithm {
    const char *name; /* RFC 7518 3.1, RFC 8037 3.1 */
    enum jwk_type type;
    const char *digest; /* NULL: the algorithm has its own */
    bool pss;
    size_t raw; /* bytes of an ECDSA signature, r and s side by side; 0 for others */
};

/* NULL: not accepted. `none` and the HS family are not among them. */
const struct jwt_algorithm *jwt_algorithm_named(struct span name);

struct jwk {
    struct span kid;                  /* empty: none */
    const struct jwt_algorithm *only; /* the key's `alg`; NULL: any that fits its type */
    enum jwk_type type;
    EVP_PKEY *key;
};

struct jwk_set {
    struct jwk *keys;
    unsigned count;
};

/* Reads a JWKS file (RFC 7517) into memory of `mem`; the keys are freed by jwk_set_free. False
 * after complaints. */
bool jwk_set_load(const char *file, struct place used_at, struct arena *mem, struct jwk_set *out,
                  struct diags *d);
void jwk_set_free(struct jwk_set *s);
/* The key that must have signed: by kid, or the only one that fits. NULL: there is none. */
const struct jwk *jwk_set_find(const struct jwk_set *s, struct span kid,
                               const struct jwt_algorithm *alg);
/* One public key of a JWKS; NULL after complaints, or for kinds that are passed over. */
EVP_PKEY *jwk_public_key(const struct yaml_node *n, enum jwk_type *type, struct diags *d);

/* A token taken apart (RFC 7515 3.1, compact form); nothing of it is to be believed before its
 * signature is checked. Spans point into the token or the arena. */
struct jwt {
    struct span signed_text; /* header.payload as sent */
    struct span signature;   /* decoded */
    struct span header, payload;
    const struct jwt_algorithm *alg;
    struct span kid;
};
enum identity_cause jwt_split(struct span token, struct arena *mem, struct jwt *out);
bool jwt_signature_good(const struct jwt *t, EVP_PKEY *key, struct arena *mem);

#define JWT_AUDIENCES_MAX 64

/* The registered claims (RFC 7519 4.1). Times are nanoseconds since 1970, cut to what 64 bits hold;
 * a time that is not there is 0 (and `exp` must be there). */
struct jwt_claims {
    struct span iss, sub, jti;
    struct span aud[JWT_AUDIENCES_MAX];
    unsigned naud;
    uint64_t exp, nbf, iat;
};
enum identity_cause jwt_claims_read(struct span payload, struct arena *mem, struct jwt_claims *out);

/* RFC 4648, strict: no white space, no bits left over. base64url without padding, base64 with it.
 * The decoded bytes to `to`, which has room for the encoded length; false: not that. */
bool base64_decode(struct span s, bool url, char *to, size_t *n);

struct identity_issuer {
    const struct rules_issuer *rule;
    struct jwk_set keys; /* of tokens */
    X509_STORE *store;   /* of certificates: anchors, CRLs, and what is asked of a chain */
    int64_t crl_until;   /* earliest nextUpdate, seconds; INT64_MAX: none */
};

/* ---- authority.c */
bool identity_authority_load(struct identity_issuer *i, struct diags *d);
int64_t identity_asn1_seconds(const ASN1_TIME *t); /* since 1970; INT64_MIN: not readable */

/* ---- verify.c */
/* Names go into rules, records and screens: no control bytes, no endless ones. */
bool identity_is_name(struct span s);
/* The groups that the claims give. False: too many. */
bool identity_add_groups(struct rules_caller *caller, const struct rules_issuer *r,
                         struct span claims, struct arena *mem);

struct identity_set {
    struct arena mem;
    const struct rules_set *rules;
    struct identity_issuer *issuers;
    unsigned nissuers;
};

/* identify.c's view of the cache. */
struct identity_worker {
    const struct identity_set *set;
    struct identity_entry **buckets;
    size_t mask;
    unsigned room, count;
    struct identity_entry *newest, *oldest;
    EVP_MD_CTX *digest;
    EVP_MD *sha256;
    struct identity_counters counters;
    char scratch[IDENTITY_TOKEN_MAX]; /* of Basic credentials, one request at a time */
};

#define IDENTITY_KEY 32

/* The identity under a key, with a reference; NULL. One that has expired is forgotten: *expired. */
const struct identity *identity_cache_get(struct identity_worker *w,
                                          const uint8_t key[IDENTITY_KEY], uint64_t now_ns,
                                          bool *expired);
/* Copies an identity into the cache; it comes back with a reference. NULL: out of memory. */
const struct identity *identity_cache_put(struct identity_worker *w,
                                          const uint8_t key[IDENTITY_KEY],
                                          const struct identity *id);

#endif
