/* Makes issuers, keys, tokens and rule sets for the tests, with code of its own: nothing here calls
 * what is tested. */
#ifndef IDENTITY_TEST_MAKER_H
#define IDENTITY_TEST_MAKER_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <openssl/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/identity.h"

#define NOW_S 1795435080ull /* 2026-11-23T11:58:00Z */
#define NOW   (NOW_S * NS_IN_S)

enum maker_key { KEY_RSA, KEY_RSA2, KEY_P256, KEY_P384, KEY_P521, KEY_ED25519, KEY_COUNT };

struct maker {
    struct arena mem;
    char dir[40];
    EVP_PKEY *keys[KEY_COUNT];
    struct diags d;
    struct rules_set *rules;
    struct identity_set *set;
};

/* Keys once; a rules directory with the issuer "idp", its JWKS and three connections. */
int maker_set_up(void **state);
int maker_tear_down(void **state);

void maker_write(struct maker *m, const char *name, const char *text);
/* Loads the directory anew; fails the test if it does not load. */
void maker_load(struct maker *m, const char *issuer_more);
const struct rules_connection *maker_connection(struct maker *m, const char *name);

struct span maker_base64(struct maker *m, struct span s, bool url);
/* One JWK; `more` is put before the closing brace, e.g. ",\"alg\":\"RS256\"". */
const char *maker_jwk(struct maker *m, enum maker_key key, const char *kid, const char *more);
/* A JWKS with all keys, kids "rsa", "rsa2", "p256", "p384", "p521", "ed". */
const char *maker_jwks(struct maker *m);

/* Signs as `alg` says (any of the ten) with the key. */
struct span maker_sign(struct maker *m, const char *alg, enum maker_key key, const char *header,
                       const char *payload);
/* The same with {"alg":alg,"kid":kid} as header. */
struct span maker_token(struct maker *m, const char *alg, enum maker_key key, const char *kid,
                        const char *payload);
/* Claims that are good now, with `more` before the closing brace. */
const char *maker_claims(struct maker *m, const char *more);

#endif
