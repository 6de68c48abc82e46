/* Addresses and prefixes: text both ways, membership against an obvious model. */
#include "bed.h"

#include <stdlib.h>
#include <time.h>

static void parses_and_prints(void **state)
{
    static const char *const same[] = {"10.0.0.1", "255.255.255.255",       "0.0.0.0", "fd00::1",
                                       "::",       "2001:db8::ff00:42:8329"};
    char text[NET_ADDR_TEXT];
    struct net_addr a;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(same); i++) {
        assert_true(net_addr_parse(span_cstr(same[i]), &a));
        assert_string_equal(net_addr_text(&a, text), same[i]);
    }
    assert_true(net_addr_parse(SPAN_LIT("10.1.2.3"), &a));
    assert_true(net_addr_is_v4(&a));
    assert_int_equal(net_addr_to_v4(&a), 0x0a010203);
    assert_true(net_addr_parse(SPAN_LIT("fd00::1"), &a));
    assert_false(net_addr_is_v4(&a));
}

static void refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0",
                                      "10.0.0.256",
                                      "10.0.0.1 ",
                                      " 1.1.1.1",
                                      "010.0.0.1x",
                                      "1.2.3.4.5",
                                      "fd00::1::2",
                                      "fd00::g",
                                      "10.0.0.1/",
                                      "10.0.0.1/33",
                                      "10.0.0.1/+8",
                                      "10.0.0.1/08",
                                      "fd00::/129",
                                      "10.0.0.1/8/8",
                                      "/8"};
    struct net_prefix p;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(bad); i++)
        if (net_prefix_parse(span_cstr(bad[i]), &p))
            fail_msg("\"%s\" was taken for a prefix", bad[i]);
    assert_false(net_prefix_parse(SPAN_LIT("10.0.0.1\0"), &p));
}

static void prefix_bits(void **state)
{
    struct net_prefix p;

    (void)state;
    assert_true(net_prefix_parse(SPAN_LIT("10.0.0.1/24"), &p));
    assert_int_equal(p.bits, 120);
    assert_true(net_prefix_parse(SPAN_LIT("10.0.0.1"), &p));
    assert_int_equal(p.bits, 128);
    assert_true(net_prefix_parse(SPAN_LIT("0.0.0.0/0"), &p));
    assert_int_equal(p.bits, 96);
    assert_true(net_prefix_parse(SPAN_LIT("fd00::/8"), &p));
    assert_int_equal(p.bits, 8);
    assert_true(net_prefix_parse(SPAN_LIT("::/0"), &p));
    assert_int_equal(p.bits, 0);
}

/* Bit by bit. */
static bool model_has(const struct net_prefix *p, const struct net_addr *a)
{
    for (unsigned i = 0; i < p->bits; i++)
        if ((p->addr.b[i / 8] ^ a->b[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

static void prefix_against_model(void **state)
{
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    srand(seed);
    for (unsigned round = 0; round < 200000; round++) {
        struct net_prefix p;
        struct net_addr a;
        bool want;

        for (unsigned i = 0; i < 16; i++)
            a.b[i] = p.addr.b[i] = (uint8_t)rand();
        p.bits = (uint8_t)(rand() % 129);
        if (rand() % 4) { /* else equal */
            unsigned bit = (unsigned)rand() % 128;
            a.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        }
        want = model_has(&p, &a);
        if (net_prefix_has(&p, &a) != want ||
            net_range_has(&(struct net_range[]){net_range_of(&p)}[0], &a) != want)
            fail_msg("seed %u round %u: /%u", seed, round, p.bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_prints),
        cmocka_unit_test(refuses),
        cmocka_unit_test(prefix_bits),
        cmocka_unit_test(prefix_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
