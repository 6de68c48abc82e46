/* The connection table against a plain array, and the hash against its published vectors. */
#include "tcp_test.h"

#include <time.h>

#include "tcp/tcp_hash.h"
#include "tcp/tcp_internal.h"

#define KEYS 3000

struct entry {
    struct tcp_key key;
    uint32_t hash, ref;
    bool in;
};

static uint64_t seed;

static uint64_t rnd(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static struct tcp *stack_new(unsigned conns)
{
    struct tcp *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    t->cfg.max_conns = conns;
    t->cfg.max_time_wait = 16;
    assert_true(table_new(t));
    return t;
}

static void stack_delete(struct tcp *t)
{
    table_delete(t);
    free(t);
}

/* Hashes of few bits make long runs, which is where removal could go wrong. */
static void against_an_array(unsigned hash_bits)
{
    struct tcp *t = stack_new(KEYS);
    struct entry *e = calloc(KEYS, sizeof(*e));

    assert_non_null(e);
    for (uint32_t i = 0; i < KEYS; i++) {
        e[i].key.remote.b[15] = (uint8_t)i;
        e[i].key.rport = (uint16_t)(i >> 8);
        e[i].hash = (uint32_t)rnd() & ((1u << hash_bits) - 1);
        if (i % 3 == 0)
            e[i].hash |= t->slot_mask << 3; /* runs that wrap around the end */
        e[i].ref = i + 1;
        t->conns[i].key = e[i].key;
    }
    for (unsigned step = 0; step < 20000; step++) {
        struct entry *x = &e[rnd() % KEYS], *y = &e[rnd() % KEYS];

        if (x->in)
            table_remove(t, x->hash, x->ref);
        else
            table_insert(t, x->hash, x->ref);
        x->in = !x->in;
        assert_int_equal(table_find(t, &y->key, y->hash), y->in ? y->ref : 0);
        if (step % 1000 == 0)
            for (unsigned i = 0; i < KEYS; i++)
                assert_int_equal(table_find(t, &e[i].key, e[i].hash), e[i].in ? e[i].ref : 0);
    }
    free(e);
    stack_delete(t);
}

static void table(void **state)
{
    const char *set = getenv("TEST_SEED");

    (void)state;
    seed = set ? strtoull(set, NULL, 0) : (uint64_t)time(NULL);
    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    against_an_array(31);
    against_an_array(8);
    against_an_array(2);
}

/* SipHash-2-4 of the reference: key 00..0f, messages 00.. of 0, 8 and 16 bytes. */
static void hash_vectors(void **state)
{
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    const uint64_t words[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

    (void)state;
    assert_true(siphash(key, words, 0, 2, 4) == 0x726fdb47dd0e0e31u);
    assert_true(siphash(key, words, 1, 2, 4) == 0x93f5f5799a932462u);
    assert_true(siphash(key, words, 2, 2, 4) == 0x3f2acc7f57c29bdbu);
}

static void every_part_of_the_key_counts(void **state)
{
    struct tcp *t = stack_new(4);
    struct tcp_key key = {0};
    uint32_t first;

    (void)state;
    t->cfg.secret[0] = 1;
    keys_derive(t);
    first = key_hash(t, &key);
    for (unsigned i = 0; i < 37; i++) {
        ((uint8_t *)&key)[i] ^= 1;
        assert_true(key_hash(t, &key) != first);
        ((uint8_t *)&key)[i] ^= 1;
    }
    t->cfg.secret[0] = 2;
    keys_derive(t);
    assert_true(key_hash(t, &key) != first);
    stack_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_vectors),
        cmocka_unit_test(every_part_of_the_key_counts),
        cmocka_unit_test(table),
    };

    return cmocka_run_group_tests_name("tcp/table", tests, NULL, NULL);
}
