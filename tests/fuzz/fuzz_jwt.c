/* Any bytes as a token, as one of its parts, or as a key. The first byte says as which. */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "identity/identity_internal.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity_set *set;

static const char rules_text[] = "issuers:\n"
                                 "  idp:\n"
                                 "    issuer: joe\n"
                                 "    audience: turnpike\n"
                                 "    keys: {file: jwks.json}\n"
                                 "    caller: claims.sub\n"
                                 "    groups: {ci: 'claims.a == \"b\"', 't-*': claims.t}\n";

static const char jwks_text[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
                                "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
                                "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[100];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char dir[] = "/tmp/fuzz_jwt.XXXXXX";
    struct diags d;

    (void)argc;
    (void)argv;
    diags_init(&d);
    if (!mkdtemp(dir))
        abort();
    write_file(dir, "rules.yaml", rules_text);
    write_file(dir, "jwks.json", jwks_text);
    set = identity_load(rules_load(dir, 1, &d), &d); /* as long as the process */
    if (!set) {
        diags_print(&d, stderr, false);
        abort();
    }
    diags_free(&d);
    return 0;
}

/* Nobody signed it: whoever is let in here holds no key. */
static void whole_token(struct span s, struct arena *mem)
{
    struct identity id;

    if (identity_verify_token(set, s, 1000 * NS_IN_S, mem, &id) == IDENTITY_NONE)
        abort();
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static struct span encode(struct span s, struct arena *mem)
{
    char *to = arena_alloc(mem, s.n * 4 / 3 + 4);
    size_t n = 0, bits = 0;
    uint32_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        v = v << 8 | (unsigned char)s.p[i];
        for (bits += 8; bits >= 6;)
            to[n++] = alphabet[v >> (bits -= 6) & 63];
    }
    if (bits)
        to[n++] = alphabet[v << (6 - bits) & 63];
    return span_of(to, n);
}

/* What was encoded must come back, and only from its one spelling. */
static void base64(struct span s, struct arena *mem)
{
    char *back = arena_alloc(mem, 2 * s.n + 8);
    struct span text = encode(s, mem);
    size_t n;

    if (!base64_decode(text, true, back, &n) || !span_eq(span_of(back, n), s))
        abort();
    if (base64_decode(s, true, back, &n) && !span_eq(encode(span_of(back, n), mem), s))
        abort();
    base64_decode(s, false, back, &n);
}

static void header(struct span s, struct arena *mem)
{
    struct span text = encode(s, mem);
    struct jwt t;

    whole_token(span_cstr(arena_printf(mem, "%.*s.eyJpc3MiOiJqb2UifQ.AAAA", SPAN_ARG(text))), mem);
    if (jwt_split(span_cstr(arena_printf(mem, "%.*s.e30.AAAA", SPAN_ARG(text))), mem, &t) ==
            IDENTITY_NONE &&
        !t.alg)
        abort();
}

static void payload(struct span s, struct arena *mem)
{
    struct jwt_claims c;

    if (jwt_claims_read(s, mem, &c) == IDENTITY_NONE && (c.naud == 0 || c.exp == 0 || !c.iss.n))
        abort();
}

static void key(struct span s)
{
    enum jwk_type type;
    struct diags d;
    struct yaml_doc *doc;

    diags_init(&d);
    doc = yaml_parse("key", s, &d);
    if (doc)
        EVP_PKEY_free(jwk_public_key(yaml_root(doc), &type, &d));
    yaml_free(doc);
    diags_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena mem = ARENA_INIT;
    struct span s;

    if (size == 0 || size > 20000)
        return 0;
    s = span_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        whole_token(s, &mem);
        break;
    case 1:
        header(s, &mem);
        break;
    case 2:
        payload(s, &mem);
        break;
    case 3:
        base64(s, &mem);
        break;
    default:
        key(s);
    }
    arena_free(&mem);
    return 0;
}
