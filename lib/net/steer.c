/* The owner of a flow: Toeplitz hash and redirection table. */
#include "steer.h"

#include "net_internal.h"

#include <rte_byteorder.h>

/* clang-format off */
const uint8_t steer_key[STEER_KEY_MAX] = {
    0x7d, 0x6a, 0xd6, 0xab, 0x5f, 0xfb, 0x49, 0x93, 0x69, 0x3e, 0x4c, 0x07, 0xbe,
    0xca, 0xe9, 0xc7, 0xd6, 0xe1, 0xda, 0xe5, 0x97, 0xac, 0x74, 0xce, 0xe0, 0x5a,
    0xa5, 0xe8, 0xb3, 0x9f, 0xa6, 0xe0, 0xf7, 0x9f, 0x13, 0xd3, 0x48, 0xdb, 0xc0,
    0x67, 0x2c, 0x2e, 0x7f, 0xf2, 0xd2, 0x57, 0xb3, 0xdf, 0xb9, 0xab, 0x86, 0x76,
};
/* clang-format on */

/* Bits i to i + 31 of the key. */
static uint32_t key_window(const uint8_t *key, unsigned i)
{
    uint64_t w = 0;

    for (unsigned k = 0; k < 5; k++)
        w = w << 8 | key[i / 8 + k];
    return (uint32_t)(w >> (8 - i % 8));
}

/* The hash is the exclusive or of the key's windows at the input's one-bits (the highest bit of the
 * first byte is bit 0), so that each half byte adds a value of its own. */
static void fill_parts(struct steer_table *t)
{
    uint8_t key[STEER_TUPLE_MAX + 5] = {0}; /* one byte past the last window is read, not used */

    memcpy(key, t->key, STEER_KEY_LEAST);
    for (unsigned half = 0; half < 2 * STEER_TUPLE_MAX; half++)
        for (unsigned v = 0; v < 16; v++) {
            t->part[half][v] = 0;
            for (unsigned bit = 0; bit < 4; bit++)
                if (v >> (3 - bit) & 1)
                    t->part[half][v] ^= key_window(key, half * 4 + bit);
        }
}

void steer_table_fill(struct steer_table *t, const uint8_t *key, size_t key_len, unsigned size,
                      unsigned queues)
{
    memset(t->key, 0, sizeof(t->key));
    memcpy(t->key, key, RTE_MIN(key_len, sizeof(t->key)));
    fill_parts(t);
    t->mask = (uint16_t)(size - 1);
    for (unsigned i = 0; i < size; i++)
        t->queue[i] = (uint8_t)(i % queues);
}

uint32_t steer_hash(const struct steer_table *t, const struct steer_flow *f)
{
    uint32_t h = 0;

    for (unsigned i = 0; i < f->n; i++)
        h ^= t->part[2 * i][f->b[i] >> 4] ^ t->part[2 * i + 1][f->b[i] & 0xf];
    return h;
}

unsigned steer_owner(const struct steer_table *t, const struct steer_flow *f)
{
    return steer_owner_of(t, steer_hash(t, f));
}

struct steer_flow steer_flow_in(const struct net_addr *local, const struct net_addr *remote,
                                uint16_t lport, uint16_t rport)
{
    bool v4 = net_addr_is_v4(local) && net_addr_is_v4(remote);
    size_t skip = v4 ? 12 : 0, each = 16 - skip;
    struct steer_flow f = {.n = (uint8_t)(2 * each + 4)};
    const uint16_t ports[2] = {rte_cpu_to_be_16(rport), rte_cpu_to_be_16(lport)};

    memcpy(f.b, remote->b + skip, each);
    memcpy(f.b + each, local->b + skip, each);
    memcpy(f.b + 2 * each, ports, sizeof(ports));
    return f;
}
