#include "maker.h"

#include <openssl/evp.h>

#include "identity/identity_internal.h"

/* Loads a JWKS with this text; the number of keys, -1 if it is refused. */
static int keys_of(struct maker *m, const char *text)
{
    struct place used = place_of_file("rules.yaml");
    struct jwk_set set;
    int count;

    diags_free(&m->d);
    maker_write(m, "test.json", text);
    if (!jwk_set_load(arena_printf(&m->mem, "%s/test.json", m->dir), used, &m->mem, &set, &m->d))
        return -1;
    count = (int)set.count;
    jwk_set_free(&set);
    return count;
}

static void refused(struct maker *m, const char *text, unsigned line, unsigned column,
                    const char *want)
{
    int count = keys_of(m, text);

    if (count >= 0)
        fail_msg("expected to be refused with \"%s\", got %d keys", want, count);
    for (size_t i = 0; i < m->d.count; i++)
        if (strstr(m->d.items[i].message, want)) {
            assert_int_equal(m->d.items[i].where.line, line);
            assert_int_equal(m->d.items[i].where.column, column);
            return;
        }
    diags_print(&m->d, stdout, false);
    fail_msg("expected \"%s\"", want);
}

static const char *set_of(struct maker *m, const char *key)
{
    return arena_printf(&m->mem, "{\"keys\": [\n%s]}", key);
}

static void reads_all_kinds_of_keys(void **state)
{
    struct maker *m = *state;

    assert_int_equal(keys_of(m, maker_jwks(m)), 6);
    assert_int_equal(m->d.count, 0);
}

static void passes_over_keys_that_are_not_for_us(void **state)
{
    struct maker *m = *state;
    const char *text = arena_printf(
        &m->mem,
        "{\"keys\": [%s, %s, %s, {\"kty\":\"AKP\"}, {\"kty\":\"EC\",\"crv\":\"secp256k1\"}, %s]}",
        maker_jwk(m, KEY_RSA, "enc", ",\"use\":\"enc\""),
        maker_jwk(m, KEY_RSA, "wrap", ",\"key_ops\":[\"wrapKey\"]"),
        maker_jwk(m, KEY_RSA, "oaep", ",\"alg\":\"RSA-OAEP\""),
        maker_jwk(m, KEY_P256, "good", ",\"x5c\":[\"MIIB\\/+=\"]"));

    assert_int_equal(keys_of(m, text), 1);
    assert_int_equal(m->d.errors, 0);
    assert_int_equal(m->d.count, 3);
}

static void refuses_private_and_symmetric_keys(void **state)
{
    struct maker *m = *state;
    const char *key = maker_jwk(m, KEY_P256, "a", ",\"d\":\"AAAA\"");

    refused(m, set_of(m, key), 2, (unsigned)strlen(key) - 6, "private or symmetric key (`d`)");
    refused(m, set_of(m, "{\"kty\":\"oct\",\"k\":\"AAAA\"}"), 2, 18, "key (`k`)");
    refused(m, set_of(m, maker_jwk(m, KEY_RSA, "a", ",\n\"p\":\"AAAA\"")), 3, 5, "key (`p`)");
}

static void refuses_keys_that_are_none(void **state)
{
    struct maker *m = *state;
    EVP_PKEY *rsa = m->keys[KEY_RSA];

    refused(m, "", 1, 1, "not JSON");
    refused(m, "keys: []", 1, 1, "not JSON"); /* YAML, and no JWKS for that */
    refused(m, "{\"keys\":\n [{kty: RSA}]}", 2, 4, "not JSON");
    refused(m, "[]", 1, 1, "not a JWKS");
    refused(m, "{\"keys\": {}}", 1, 1, "not a JWKS");
    refused(m, "{\"keys\": []}", 0, 0, "no usable key");
    refused(m, "{\"keys\": [5]}", 1, 11, "expected a key");
    refused(m, "{\"keys\": [{}]}", 1, 11, "`kty` is missing");
    refused(m, "{\"keys\": [\n", 2, 1, "without a closing");
    refused(m, set_of(m, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}"), 2, 29,
            "an RSA key of 17 bits is not accepted");
    refused(m, set_of(m, "{\"kty\":\"RSA\",\"e\":\"AQAB\"}"), 2, 1, "`n` is missing");
    refused(m, set_of(m, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"a=\"}"), 2, 29, "base64url");
    refused(m, set_of(m, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}"), 2, 34,
            "32 bytes");
    refused(m, set_of(m, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}"), 2, 1,
            "no point of P-256");
    refused(m,
            set_of(m, "{\"kty\":\"EC\",\"crv\":\"P-256\","
                      "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                      "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5b0\"}"),
            2, 1, "no point of P-256");
    refused(m, set_of(m, maker_jwk(m, KEY_P256, "a", ",\n\"alg\":\"RS256\"")), 3, 7,
            "`RS256` does not fit");
    m->keys[KEY_RSA] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    refused(m, set_of(m, maker_jwk(m, KEY_RSA, "a", "")), 2, 28, "of 1024 bits is not accepted");
    EVP_PKEY_free(m->keys[KEY_RSA]);
    m->keys[KEY_RSA] = rsa;
}

static void refuses_kids_and_members_that_are_twice_there(void **state)
{
    struct maker *m = *state;
    const char *a = maker_jwk(m, KEY_P256, "same", ""), *b = maker_jwk(m, KEY_RSA, "same", "");

    refused(m, arena_printf(&m->mem, "{\"keys\": [%s,\n%s]}", a, b), 2, 20,
            "the kid `same` is already there");
    refused(m, set_of(m, maker_jwk(m, KEY_P256, "a", ",\n\"kty\":\"EC\"")), 3, 1,
            "the key `kty` is already there");
}

static void says_which_issuer_has_no_keys(void **state)
{
    struct maker *m = *state;

    maker_write(m, "jwks.json", "{\"keys\": []}");
    diags_free(&m->d);
    assert_null(identity_load(m->rules, &m->d));
    assert_int_equal(m->d.errors, 1);
    assert_non_null(strstr(m->d.items[0].where.file, "rules.yaml"));
    assert_int_equal(m->d.items[0].where.line, 5);
    maker_write(m, "jwks.json", maker_jwks(m));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, maker_set_up, maker_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_all_kinds_of_keys),
        TEST(passes_over_keys_that_are_not_for_us),
        TEST(refuses_private_and_symmetric_keys),
        TEST(refuses_keys_that_are_none),
        TEST(refuses_kids_and_members_that_are_twice_there),
        TEST(says_which_issuer_has_no_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
