#include "maker.h"

#include <openssl/evp.h>

#include "identity/identity_internal.h"

static enum identity_cause verify_at(struct maker *m, struct span token, uint64_t now,
                                     struct identity *out)
{
    return identity_verify_token(m->set, token, now, &m->mem, out);
}

static void cause_is(struct maker *m, struct span token, enum identity_cause want)
{
    struct identity id;
    enum identity_cause got = verify_at(m, token, NOW, &id);

    if (got != want)
        fail_msg("expected %s, got %s for %.*s", identity_cause_name(want),
                 identity_cause_name(got), SPAN_ARG(token));
}

/* Signed well; only the payload differs. */
static void payload_cause_is(struct maker *m, const char *payload, enum identity_cause want)
{
    cause_is(m, maker_token(m, "ES256", KEY_P256, "p256", payload), want);
}

static void header_cause_is(struct maker *m, const char *header, enum identity_cause want)
{
    cause_is(m, maker_sign(m, "ES256", KEY_P256, header, maker_claims(m, "")), want);
}

static void text_is(struct span s, const char *want)
{
    if (!span_eq(s, span_cstr(want)))
        fail_msg("expected \"%s\", got \"%.*s\"", want, SPAN_ARG(s));
}

static const struct {
    const char *alg;
    enum maker_key key;
    const char *kid;
} good[] = {
    {"RS256", KEY_RSA, "rsa"},   {"RS384", KEY_RSA, "rsa"},    {"RS512", KEY_RSA, "rsa"},
    {"PS256", KEY_RSA, "rsa"},   {"PS384", KEY_RSA, "rsa"},    {"PS512", KEY_RSA, "rsa"},
    {"PS256", KEY_RSA2, "rsa2"}, {"ES256", KEY_P256, "p256"},  {"ES384", KEY_P384, "p384"},
    {"ES512", KEY_P521, "p521"}, {"EdDSA", KEY_ED25519, "ed"},
};

static void every_algorithm_is_verified(void **state)
{
    struct maker *m = *state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct span token =
            maker_token(m, good[i].alg, good[i].key, good[i].kid, maker_claims(m, ""));
        struct identity id;

        assert_int_equal(verify_at(m, token, NOW, &id), IDENTITY_NONE);
        text_is(id.caller.id, "alice");
        text_is(id.caller.issuer, "idp");
        text_is(id.caller.method, "oidc");
        text_is(id.caller.claims, maker_claims(m, ""));
        text_is(id.subject, "alice");
        text_is(id.token_id, "id-1");
        assert_int_equal(id.caller.ngroups, 0);
        assert_int_equal(id.expires_ns, (NOW_S + 630) * NS_IN_S);
    }
}

/* Every single character, changed to another of the alphabet. */
static void every_changed_character_is_found(void **state)
{
    struct maker *m = *state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct span token =
            maker_token(m, good[i].alg, good[i].key, good[i].kid, maker_claims(m, ""));
        char *bytes = arena_strdup(&m->mem, token);

        for (size_t at = 0; at < token.n; at += 1 + (i != 7) * 6) {
            struct arena mem = ARENA_INIT;
            char was = bytes[at];
            struct identity id;

            bytes[at] = was == 'A' ? 'B' : 'A';
            if (identity_verify_token(m->set, span_of(bytes, token.n), NOW, &mem, &id) ==
                IDENTITY_NONE)
                fail_msg("%s: character %zu was changed and not found", good[i].alg, at);
            bytes[at] = was;
            arena_free(&mem);
        }
    }
}

/* The key decides what a token may be signed with, not the token. */
static void algorithms_are_not_confused(void **state)
{
    struct maker *m = *state;
    const char *claims = maker_claims(m, "");
    const char *body =
        arena_printf(&m->mem, "%s.%s", maker_base64(m, SPAN_LIT("{\"alg\":\"none\"}"), true).p,
                     maker_base64(m, span_cstr(claims), true).p);

    cause_is(m, span_cstr(arena_printf(&m->mem, "%s.", body)), IDENTITY_TOKEN_ALGORITHM);
    cause_is(m, span_cstr(body), IDENTITY_TOKEN_MALFORMED);
    header_cause_is(m, "{\"alg\":\"HS256\",\"kid\":\"p256\"}", IDENTITY_TOKEN_ALGORITHM);
    header_cause_is(m, "{\"alg\":\"es256\",\"kid\":\"p256\"}", IDENTITY_TOKEN_ALGORITHM);
    header_cause_is(m, "{\"alg\":\"NONE\",\"kid\":\"p256\"}", IDENTITY_TOKEN_ALGORITHM);
    header_cause_is(m, "{\"alg\":\"RS256\",\"kid\":\"p256\"}", IDENTITY_TOKEN_KEY);
    header_cause_is(m, "{\"alg\":\"ES384\",\"kid\":\"p256\"}", IDENTITY_TOKEN_KEY);
    cause_is(m, maker_token(m, "RS256", KEY_RSA2, "rsa2", claims), IDENTITY_TOKEN_KEY);
    cause_is(m, maker_token(m, "RS256", KEY_RSA2, "rsa", claims), IDENTITY_TOKEN_SIGNATURE);
    cause_is(m, maker_sign(m, "RS256", KEY_RSA, "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", claims),
             IDENTITY_TOKEN_SIGNATURE);
    cause_is(m, maker_sign(m, "RS256", KEY_RSA, "{\"alg\":\"RS384\",\"kid\":\"rsa\"}", claims),
             IDENTITY_TOKEN_SIGNATURE);
}

/* The same numbers in another spelling: a second token with the same meaning. */
static void ecdsa_signatures_have_one_length(void **state)
{
    struct maker *m = *state;
    struct span token = maker_token(m, "ES256", KEY_P256, "p256", maker_claims(m, ""));
    char padded[66] = {0};
    struct jwt t;

    assert_int_equal(jwt_split(token, &m->mem, &t), IDENTITY_NONE);
    assert_int_equal(t.signature.n, 64);
    memcpy(padded + 1, t.signature.p, 32);
    memcpy(padded + 34, t.signature.p + 32, 32);
    cause_is(m,
             span_cstr(arena_printf(&m->mem, "%.*s.%s", SPAN_ARG(t.signed_text),
                                    maker_base64(m, span_of(padded, 66), true).p)),
             IDENTITY_TOKEN_SIGNATURE);
}

static void keys_are_found_by_kid_or_alone(void **state)
{
    struct maker *m = *state;

    header_cause_is(m, "{\"alg\":\"ES256\"}", IDENTITY_NONE); /* the only P-256 key */
    header_cause_is(m, "{\"alg\":\"ES256\",\"kid\":\"gone\"}", IDENTITY_TOKEN_KEY);
    header_cause_is(m, "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", IDENTITY_TOKEN_KEY);
    header_cause_is(m, "{\"alg\":\"ES256\",\"kid\":5}", IDENTITY_TOKEN_MALFORMED);
    cause_is(m, maker_sign(m, "PS256", KEY_RSA, "{\"alg\":\"PS256\"}", maker_claims(m, "")),
             IDENTITY_TOKEN_KEY); /* two could be meant */
    cause_is(m, maker_sign(m, "RS256", KEY_RSA, "{\"alg\":\"RS256\"}", maker_claims(m, "")),
             IDENTITY_NONE); /* the other RSA key is for PS256 only */
}

static void headers_say_what_the_token_is_for(void **state)
{
    struct maker *m = *state;

    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", IDENTITY_NONE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":\"jwt\"}", IDENTITY_NONE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", IDENTITY_NONE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":\"JWE\"}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"typ\":7}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"crit\":[]}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"b64\":false}", IDENTITY_TOKEN_TYPE);
    header_cause_is(m, "{\"alg\":\"ES256\",\"alg\":\"ES256\"}", IDENTITY_TOKEN_MALFORMED);
    header_cause_is(m, "{}", IDENTITY_TOKEN_MALFORMED);
    header_cause_is(m, "[]", IDENTITY_TOKEN_MALFORMED);
    header_cause_is(m, "{\"alg\":null}", IDENTITY_TOKEN_MALFORMED);
    header_cause_is(m, "{\"alg\":\"ES256\"} x", IDENTITY_TOKEN_MALFORMED);
}

static void malformed_tokens(void **state)
{
    struct maker *m = *state;
    struct span t = maker_token(m, "ES256", KEY_P256, "p256", maker_claims(m, ""));
    const char *wrong[] = {"",    ".",     "..",    "...",       "a.b.c",        "e30.e30.e30",
                           "e30", "e30.e", "=.=.=", "e30 .e30.", "eyJ.eyJ.eyJ.x"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cause_is(m, span_cstr(wrong[i]), IDENTITY_TOKEN_MALFORMED);
    for (size_t cut = 0; cut < t.n; cut++) {
        struct identity id;

        assert_int_not_equal(verify_at(m, span_of(t.p, cut), NOW, &id), IDENTITY_NONE);
    }
    cause_is(m, span_cstr(arena_printf(&m->mem, "%s=", t.p)), IDENTITY_TOKEN_MALFORMED);
    cause_is(m, span_cstr(arena_printf(&m->mem, "%s.", t.p)), IDENTITY_TOKEN_MALFORMED);
    cause_is(m, span_cstr(arena_printf(&m->mem, " %s", t.p)), IDENTITY_TOKEN_MALFORMED);
    cause_is(m, span_cstr(arena_printf(&m->mem, "%sAA", t.p)), IDENTITY_TOKEN_SIGNATURE);
}

static void size_is_bounded(void **state)
{
    struct maker *m = *state;
    char *filler = arena_alloc(&m->mem, 12001);

    memset(filler, 'x', 12000);
    payload_cause_is(m, maker_claims(m, arena_printf(&m->mem, ",\"f\":\"%.*s\"", 11000, filler)),
                     IDENTITY_NONE);
    cause_is(m, span_cstr(arena_printf(&m->mem, "%s%s.x.y", filler, filler)),
             IDENTITY_TOKEN_TOO_LARGE);
}

/* Claims that are good but for what stands in `format`, whose %llu's are seconds. */
#define CLAIMS(...) arena_printf(&m->mem, __VA_ARGS__)
#define BASE        "\"iss\":\"https://idp.test\",\"sub\":\"alice\""

static void times_have_skew_and_edges(void **state)
{
    struct maker *m = *state;
    struct span t =
        maker_token(m, "ES256", KEY_P256, "p256",
                    CLAIMS("{" BASE ",\"aud\":\"turnpike\",\"nbf\":%llu,\"iat\":%llu,\"exp\":%llu}",
                           NOW_S, NOW_S - 10, NOW_S + 100));
    struct identity id;

    assert_int_equal(verify_at(m, t, (NOW_S - 30) * NS_IN_S, &id), IDENTITY_NONE);
    assert_int_equal(verify_at(m, t, (NOW_S - 30) * NS_IN_S - 1, &id), IDENTITY_TOKEN_NOT_YET);
    assert_int_equal(verify_at(m, t, (NOW_S + 130) * NS_IN_S - 1, &id), IDENTITY_NONE);
    assert_int_equal(verify_at(m, t, (NOW_S + 130) * NS_IN_S, &id), IDENTITY_TOKEN_EXPIRED);
    payload_cause_is(m,
                     CLAIMS("{" BASE ",\"aud\":\"turnpike\",\"iat\":%llu,\"exp\":%llu}", NOW_S + 31,
                            NOW_S + 100),
                     IDENTITY_TOKEN_NOT_YET);
    payload_cause_is(m, CLAIMS("{" BASE ",\"aud\":\"turnpike\",\"exp\":%llu.75}", NOW_S + 1),
                     IDENTITY_NONE);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":-5}", IDENTITY_TOKEN_EXPIRED);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":0}", IDENTITY_TOKEN_EXPIRED);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":1e300}", IDENTITY_NONE);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":9223372036854775807}",
                     IDENTITY_NONE);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"nbf\":1e300,\"exp\":1e300}",
                     IDENTITY_TOKEN_NOT_YET);
}

static void claims_that_are_needed(void **state)
{
    struct maker *m = *state;
    enum identity_cause claims = IDENTITY_TOKEN_CLAIMS;

    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\"}", claims);
    payload_cause_is(m, "{" BASE ",\"exp\":9999999999}", claims);
    payload_cause_is(m, "{\"aud\":\"turnpike\",\"exp\":9999999999}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":\"9999999999\"}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":null}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike\",\"exp\":9999999999,\"nbf\":\"1\"}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":[],\"exp\":9999999999}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":[1],\"exp\":9999999999}", claims);
    payload_cause_is(m, "{" BASE ",\"aud\":{\"turnpike\":1},\"exp\":9999999999}", claims);
    payload_cause_is(m, maker_claims(m, ",\"sub\":\"bob\""), claims);         /* twice */
    payload_cause_is(m, maker_claims(m, ",\"x\":{\"a\":1,\"a\":2}"), claims); /* inside too */
    payload_cause_is(m, "{\"iss\":5,\"aud\":\"turnpike\",\"exp\":9999999999}", claims);
    payload_cause_is(m, "[]", IDENTITY_TOKEN_MALFORMED);
    payload_cause_is(m, "not json", IDENTITY_TOKEN_MALFORMED);
    payload_cause_is(m, maker_claims(m, ",\"x\":\"\xff\""), IDENTITY_TOKEN_MALFORMED);
}

static void audience_and_issuer_are_exact(void **state)
{
    struct maker *m = *state;

    payload_cause_is(m, "{" BASE ",\"aud\":[\"a\",\"turnpike\"],\"exp\":9999999999}",
                     IDENTITY_NONE);
    payload_cause_is(m, "{" BASE ",\"aud\":\"turnpike2\",\"exp\":9999999999}",
                     IDENTITY_TOKEN_AUDIENCE);
    payload_cause_is(m, "{" BASE ",\"aud\":[\"Turnpike\"],\"exp\":9999999999}",
                     IDENTITY_TOKEN_AUDIENCE);
    payload_cause_is(m, "{\"iss\":\"https://idp.test/\",\"aud\":\"turnpike\",\"exp\":9999999999}",
                     IDENTITY_TOKEN_ISSUER);
    payload_cause_is(m, "{\"iss\":\"https://evil.test\",\"aud\":\"turnpike\",\"exp\":9999999999}",
                     IDENTITY_TOKEN_ISSUER);
}

static void callers_are_named_by_their_claims(void **state)
{
    struct maker *m = *state;
    struct identity id;
    struct span t;

    payload_cause_is(m, "{\"iss\":\"https://idp.test\",\"aud\":\"turnpike\",\"exp\":9999999999}",
                     IDENTITY_CALLER_UNNAMED);
    payload_cause_is(m,
                     "{\"iss\":\"https://idp.test\",\"sub\":\"a\\nb\",\"aud\":\"turnpike\","
                     "\"exp\":9999999999}",
                     IDENTITY_CALLER_UNNAMED);
    maker_load(m, "    caller: claims.repo + \"@\" + claims.ref\n"
                  "    groups: {ci: 'claims.env == \"prod\"', 'team-*': claims.teams}\n");
    payload_cause_is(m, maker_claims(m, ""), IDENTITY_CALLER_UNNAMED);
    payload_cause_is(m, maker_claims(m, ",\"repo\":5,\"ref\":\"main\""), IDENTITY_CALLER_UNNAMED);
    t = maker_token(m, "ES256", KEY_P256, "p256",
                    maker_claims(m, ",\"repo\":\"org/app\",\"ref\":\"main\",\"env\":\"prod\","
                                    "\"teams\":[\"pay\",\"x\",\"pay\"]"));
    assert_int_equal(verify_at(m, t, NOW, &id), IDENTITY_NONE);
    text_is(id.caller.id, "org/app@main");
    text_is(id.subject, "alice");
    assert_int_equal(id.caller.ngroups, 3);
    text_is(id.caller.groups[0], "ci");
    text_is(id.caller.groups[1], "team-pay");
    text_is(id.caller.groups[2], "team-x");
    t = maker_token(m, "ES256", KEY_P256, "p256",
                    maker_claims(m, ",\"repo\":\"a\",\"ref\":\"b\",\"env\":\"test\",\"teams\":7"));
    assert_int_equal(verify_at(m, t, NOW, &id), IDENTITY_NONE);
    assert_int_equal(id.caller.ngroups, 0);
}

static void groups_are_bounded(void **state)
{
    struct maker *m = *state;
    char *list = arena_alloc(&m->mem, 4000);
    struct outbuf o = outbuf_on(list, 4000);

    maker_load(m, "    groups: {'t-*': claims.teams}\n");
    for (unsigned i = 0; i < RULES_GROUPS_MAX; i++)
        outbuf_printf(&o, "%s\"g%u\"", i ? "," : "", i);
    payload_cause_is(m, maker_claims(m, CLAIMS(",\"teams\":[%.*s]", SPAN_ARG(outbuf_span(&o)))),
                     IDENTITY_NONE);
    payload_cause_is(
        m, maker_claims(m, CLAIMS(",\"teams\":[%.*s,\"more\"]", SPAN_ARG(outbuf_span(&o)))),
        IDENTITY_TOO_MANY_GROUPS);
}

/* The examples of the RFCs, signed by others. */
static void examples_of_the_rfcs(void **state)
{
    static const struct {
        const char *key, *token;
    } vectors[] = {
        /* RFC 7515 A.2 */
        {"{kty: RSA, e: AQAB, n: ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
         "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGz"
         "jb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
         "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9g"
         "b54h4FRWyuXpoQ}",
         "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcG"
         "xlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj"
         "5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZL"
         "grnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e"
         "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVr"
         "Bp0igcN_IoypGlUPQGe77Rw"},
        /* RFC 7515 A.3 */
        {"{kty: EC, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "
         "y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}",
         "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcG"
         "xlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa"
         "8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
        /* RFC 8037 A.4 */
        {"{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}",
         "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09"
         "PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    };
    struct maker *m = *state;

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct yaml_doc *doc = yaml_parse("key", span_cstr(vectors[i].key), &m->d);
        enum jwk_type type;
        EVP_PKEY *key = jwk_public_key(yaml_root(doc), &type, &m->d);
        struct jwt t;

        assert_non_null(key);
        assert_int_equal(jwt_split(span_cstr(vectors[i].token), &m->mem, &t), IDENTITY_NONE);
        assert_int_equal(t.alg->type, type);
        if (!jwt_signature_good(&t, key, &m->mem))
            fail_msg("example %zu is not verified", i);
        t.signed_text.n--;
        assert_false(jwt_signature_good(&t, key, &m->mem));
        EVP_PKEY_free(key);
        yaml_free(doc);
    }
}

static void base64_is_strict(void **state)
{
    static const struct {
        const char *text;
        bool url, good;
        const char *bytes;
    } cases[] = {
        {"", true, true, ""},
        {"Zg", true, true, "f"},
        {"Zm8", true, true, "fo"},
        {"Zm9v", true, true, "foo"},
        {"Zg==", false, true, "f"},
        {"Zm8=", false, true, "fo"},
        {"Zg==", true, false, ""},
        {"Zg", false, false, ""},
        {"Zg=", false, false, ""},
        {"Z", true, false, ""},
        {"Zh", true, false, ""},
        {"Zm9", true, false, ""},
        {"Zm 9v", true, false, ""},
        {"Zm9v\n", true, false, ""},
        {"-_-_", true, true, "\xfb\xff\xbf"},
        {"+/+/", true, false, ""},
        {"+/+/", false, true, "\xfb\xff\xbf"},
        {"-_-_", false, false, ""},
        {"Zm=v", true, false, ""},
        {"Z===", false, false, ""},
        {"====", false, false, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char to[16];
        size_t n;
        bool got = base64_decode(span_cstr(cases[i].text), cases[i].url, to, &n);

        if (got != cases[i].good)
            fail_msg("\"%s\": expected %d, got %d", cases[i].text, cases[i].good, got);
        if (got)
            text_is(span_of(to, n), cases[i].bytes);
    }
}

static void causes_have_names(void **state)
{
    static const char *const upper[] = {
#define X(name, text) #name,
        IDENTITY_CAUSES(X)
#undef X
    };

    (void)state;
    for (unsigned i = 0; i < IDENTITY_CAUSE_COUNT; i++) {
        assert_true(span_ieq(span_cstr(upper[i]), span_cstr(identity_cause_name(i))));
        assert_true(i == 0 || strlen(identity_cause_text(i)) > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, maker_set_up, maker_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_algorithm_is_verified),
        TEST(every_changed_character_is_found),
        TEST(algorithms_are_not_confused),
        TEST(ecdsa_signatures_have_one_length),
        TEST(keys_are_found_by_kid_or_alone),
        TEST(headers_say_what_the_token_is_for),
        TEST(malformed_tokens),
        TEST(size_is_bounded),
        TEST(times_have_skew_and_edges),
        TEST(claims_that_are_needed),
        TEST(audience_and_issuer_are_exact),
        TEST(callers_are_named_by_their_claims),
        TEST(groups_are_bounded),
        TEST(examples_of_the_rfcs),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(causes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
