/* SipHash-2-4-128: the reference's vectors, OpenSSL's SIPHASH, and pieces of any size. */
#include "../base/base_test.h"
#include "window/window.h"

#include <openssl/evp.h>

static const uint8_t secret[WINDOW_SECRET] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static struct window_key hash_in_pieces(const struct window_table *t, const uint8_t *p, size_t n,
                                        size_t piece)
{
    struct window_hash h;

    window_hash_begin(&h, t);
    for (size_t at = 0; at < n; at += piece)
        window_hash_put(&h, p + at, n - at < piece ? n - at : piece);
    return window_hash_end(&h);
}

static void test_reference_vectors(void **state)
{
    /* Of the input 00 01 02 ..., by its length; bytes of the output in order. */
    static const uint8_t want[3][16] = {{0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6,
                                         0x72, 0x14, 0xc7, 0x55, 0x02, 0x93},
                                        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76,
                                         0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45},
                                        {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3,
                                         0x8b, 0xde, 0xf6, 0x0a, 0xff, 0xe4}};
    struct window_table *t = window_table_new(1, secret);

    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        struct window_key k = hash_in_pieces(t, secret, n, 1);

        assert_memory_equal(&k, want[n], 16);
    }
    window_table_delete(t);
}

static void openssl_siphash(const uint8_t *p, size_t n, uint8_t out[16])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *c = EVP_MAC_CTX_new(mac);
    size_t got = 0;

    assert_int_equal(EVP_MAC_init(c, secret, sizeof(secret), NULL), 1);
    assert_int_equal(EVP_MAC_update(c, p, n), 1);
    assert_int_equal(EVP_MAC_final(c, out, &got, 16), 1);
    assert_int_equal(got, 16);
    EVP_MAC_CTX_free(c);
    EVP_MAC_free(mac);
}

static void test_any_length_in_any_pieces(void **state)
{
    struct window_table *t = window_table_new(1, secret);
    uint64_t random = test_seed(1);
    uint8_t data[600], want[16];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)test_random(&random);
    for (size_t n = 0; n < sizeof(data); n++) {
        struct window_key k = hash_in_pieces(t, data, n, 1 + test_random(&random) % 40);

        openssl_siphash(data, n, want);
        assert_memory_equal(&k, want, 16);
    }
    window_table_delete(t);
}

static void test_texts_keep_apart(void **state)
{
    struct window_table *t = window_table_new(1, secret);
    struct window_key a, b;
    struct window_hash h;

    (void)state;
    window_hash_begin(&h, t);
    window_hash_text(&h, SPAN_LIT("ab"));
    window_hash_text(&h, SPAN_LIT("c"));
    a = window_hash_end(&h);
    window_hash_begin(&h, t);
    window_hash_text(&h, SPAN_LIT("a"));
    window_hash_text(&h, SPAN_LIT("bc"));
    b = window_hash_end(&h);
    assert_memory_not_equal(&a, &b, sizeof(a));
    window_table_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_vectors),
        cmocka_unit_test(test_any_length_in_any_pieces),
        cmocka_unit_test(test_texts_keep_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
