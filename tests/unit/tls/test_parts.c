/* The small parts that need no session: names, the first bytes, server_name, the bounded map, the
 * names of causes. */
#include "with_cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tls/tls_internal.h"

/* ---- names */

static void name_is(const char *in, const char *want)
{
    char out[TLS_NAME_MAX + 1];
    bool ok = tls_name_read(span_cstr(in), out);

    if (ok != (want != NULL))
        fail_msg("\"%s\": expected %s", in, want ? "a name" : "a refusal");
    assert_string_equal(out, want ? want : "");
}

static void names(void **state)
{
    char label63[64], label64[65], longest[255], label_max[300];

    (void)state;
    name_is("api.stripe.com", "api.stripe.com");
    name_is("API.Stripe.COM", "api.stripe.com");
    name_is("localhost", "localhost");
    name_is("_acme.my-host.example", "_acme.my-host.example");
    name_is("xn--bcher-kva.example", "xn--bcher-kva.example");
    name_is("1.2.3.com", "1.2.3.com");
    name_is("3com.x4", "3com.x4");
    name_is("a.0xfg", "a.0xfg");
    name_is("", NULL);
    name_is(".", NULL);
    name_is("a.", NULL);
    name_is(".a", NULL);
    name_is("a..b", NULL);
    name_is("-a.b", NULL);
    name_is("a-.b", NULL);
    name_is("a.-", NULL);
    name_is("a b.c", NULL);
    name_is("a/b", NULL);
    name_is("*.example.com", NULL);
    name_is("b\xc3\xbc"
            "cher.example",
            NULL);
    name_is("1.2.3.4", NULL);
    name_is("2130706433", NULL);
    name_is("a.0x7f", NULL);
    name_is("a.0X7F", NULL);
    name_is("a.0x", NULL);
    name_is("::1", NULL);
    name_is("[::1]", NULL);
    name_is("a:443", NULL);
    memset(label63, 'a', 63), label63[63] = '\0';
    memset(label64, 'a', 64), label64[64] = '\0';
    name_is(label63, label63);
    name_is(label64, NULL);
    snprintf(longest, sizeof(longest), "%s.%s.%s.%.61s", label63, label63, label63, label63);
    assert_int_equal(strlen(longest), 253);
    name_is(longest, longest);
    snprintf(label_max, sizeof(label_max), "%s.%s.%s.%.62s", label63, label63, label63, label63);
    name_is(label_max, NULL);
    char out[TLS_NAME_MAX + 1];
    assert_false(tls_name_read(span_of("a\0b", 3), out));
}

/* ---- server_name */

static void sni_is(const char *hex_free, size_t n, const char *want)
{
    struct span name;
    /* A heap copy of the exact size, so that reading past the end is seen. */
    unsigned char *p = malloc(n ? n : 1);

    memcpy(p, hex_free, n);
    assert_int_equal(tls_sni_parse(p, n, &name), want != NULL);
    if (want) {
        assert_int_equal(name.n, strlen(want));
        assert_memory_equal(name.p, want, name.n);
    }
    free(p);
}

static void server_names(void **state)
{
    static const char good[] = "\0\x06\0\0\x03"
                               "a.b";

    (void)state;
    sni_is(good, sizeof(good) - 1, "a.b");
    for (size_t n = 0; n < sizeof(good) - 1; n++)
        sni_is(good, n, NULL);
    sni_is("\0\x06\0\0\x03"
           "a.bX",
           9, NULL); /* after the list */
    sni_is("\0\x07\0\0\x03"
           "a.bX",
           9, NULL); /* inside the list */
    sni_is("\0\x0a\0\0\x02"
           "a.\0\0\x02"
           "b.",
           12, NULL); /* two names */
    sni_is("\0\x06\x01\0\x03"
           "a.b",
           8, NULL);                 /* another type */
    sni_is("\0\x03\0\0\0", 5, NULL); /* an empty name */
    sni_is("\0\0", 2, NULL);         /* an empty list */
    sni_is("\xff\xff\0\xff\xff"
           "a",
           6, NULL);
}

/* ---- the first bytes */

static enum tls_sniff sniff(const char *p, size_t n)
{
    return tls_sniff((const unsigned char *)p, n);
}

static void first_bytes(void **state)
{
    static const char *const http[] = {"GET / H",   "HEAD / ", "POST /x",   "PUT /xx", "DELETE /",
                                       "OPTIONS *", "PATCH /", "CONNECT a", "TRACE /", "PRI * H"};
    static const char *const other[] = {"get / H",      "GEX",      "SSH-2.0",  "EHLO a", "GET\t/",
                                        "\x80\x2e\x01", "\x15\x03", "\x17\x03", "\n",     " GET "};
    (void)state;
    assert_int_equal(sniff("", 0), SNIFF_MORE);
    assert_int_equal(sniff("\x16", 1), SNIFF_TLS);
    for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++) {
        const char *space = strchr(http[i], ' ');
        for (size_t n = 1; n <= strlen(http[i]); n++)
            if (sniff(http[i], n) != (http[i] + n > space ? SNIFF_HTTP : SNIFF_MORE))
                fail_msg("\"%.*s\" is judged wrongly", (int)n, http[i]);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        if (sniff(other[i], strlen(other[i])) != SNIFF_OTHER)
            fail_msg("\"%s\" is judged wrongly", other[i]);
}

/* ---- the bounded map, against the obvious one */

#define MODEL_MAX 7

struct model {
    int key[MODEL_MAX]; /* most recent first */
    int *value[MODEL_MAX];
    unsigned n;
};

static int alive;

static void drop_int(void *v)
{
    alive--;
    free(v);
}

static int *new_int(int v)
{
    int *p = malloc(sizeof(*p));

    *p = v;
    alive++;
    return p;
}

static unsigned model_find(const struct model *m, int key)
{
    unsigned i;

    for (i = 0; i < m->n && m->key[i] != key; i++)
        ;
    return i;
}

static void model_remove(struct model *m, unsigned i)
{
    m->n--;
    memmove(&m->key[i], &m->key[i + 1], (m->n - i) * sizeof(m->key[0]));
    memmove(&m->value[i], &m->value[i + 1], (m->n - i) * sizeof(m->value[0]));
}

static void model_front(struct model *m, int key, int *value)
{
    memmove(&m->key[1], &m->key[0], m->n * sizeof(m->key[0]));
    memmove(&m->value[1], &m->value[0], m->n * sizeof(m->value[0]));
    m->key[0] = key;
    m->value[0] = value;
    m->n++;
}

/* Keys of all lengths around the hash's 8-byte words. */
static struct span key_text(char buf[64], int key)
{
    return span_of(buf, (size_t)snprintf(buf, 64, "%.*s%d", key % 20, "aaaaaaaaaaaaaaaaaaaa", key));
}

static void map_step(struct lru *l, struct model *m, unsigned max)
{
    char buf[64];
    int key = rand() % 20;
    struct span k = key_text(buf, key);
    unsigned at = model_find(m, key);

    switch (rand() % 5) {
    case 0:
    case 1: {
        int *v = new_int(rand());
        bool full = at == m->n && m->n == max;
        assert_int_equal(lru_put(l, k, v), full);
        if (full)
            m->n--;
        else if (at < m->n)
            model_remove(m, at);
        model_front(m, key, v);
        break;
    }
    case 2:
        lru_remove(l, k);
        if (at < m->n)
            model_remove(m, at);
        break;
    case 3:
        if (rand() % 4 == 0) {
            lru_remove_oldest(l);
            if (m->n)
                m->n--;
            break;
        } /* fall through */
    default: {
        int *v = lru_get(l, k);
        assert_ptr_equal(v, at < m->n ? m->value[at] : NULL);
        if (v) {
            model_remove(m, at);
            model_front(m, key, v);
        }
    }
    }
    assert_int_equal(lru_count(l), m->n);
    assert_int_equal(alive, m->n);
    assert_ptr_equal(lru_oldest(l), m->n ? m->value[m->n - 1] : NULL);
}

static void map(void **state)
{
    uint64_t secret[2] = {1, 2};
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (unsigned max = 0; max <= MODEL_MAX; max++) {
        struct lru *l = lru_new(max, secret, drop_int);
        struct model m = {.n = 0};

        for (int i = 0; i < 20000; i++)
            map_step(l, &m, max ? max : 1);
        lru_delete(l);
        assert_int_equal(alive, 0);
    }
}

/* ---- causes */

static void causes(void **state)
{
    static const char *const want[] = {
#define X(name) #name,
        TLS_ERRORS(X)
#undef X
    };

    (void)state;
    for (unsigned i = 0; i < TLS_ERR_COUNT; i++)
        assert_true(span_ieq(span_cstr(tls_error_name((enum tls_error)i)), span_cstr(want[i])));
    assert_string_equal(tls_error_name(TLS_ERR_VERIFY_NAME), "verify_name");
    assert_string_equal(tls_error_name(TLS_ERR_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(server_names), cmocka_unit_test(first_bytes),
        cmocka_unit_test(map),   cmocka_unit_test(causes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
