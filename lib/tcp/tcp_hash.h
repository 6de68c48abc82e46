/* SipHash (Aumasson, Bernstein 2012) over a few 64-bit words. Strangers choose the addresses and
 * ports that are hashed here, so every hash is keyed with the stack's secret. */
#ifndef TCP_HASH_H
#define TCP_HASH_H

#include <stdint.h>

static inline uint64_t sip_rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = sip_rotl(v[1], 13) ^ v[0], v[0] = sip_rotl(v[0], 32);
    v[2] += v[3], v[3] = sip_rotl(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = sip_rotl(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = sip_rotl(v[1], 17) ^ v[2], v[2] = sip_rotl(v[2], 32);
}

/* SipHash-c-d of `n` words: 1-3 for tables, 2-4 where the value itself is shown to strangers. */
static inline __attribute__((always_inline)) uint64_t
siphash(const uint64_t key[2], const uint64_t *words, unsigned n, unsigned c, unsigned d)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};

    for (unsigned i = 0; i <= n; i++) {
        uint64_t w = i < n ? words[i] : (uint64_t)(n * 8) << 56;

        v[3] ^= w;
        for (unsigned r = 0; r < c; r++)
            sip_round(v);
        v[0] ^= w;
    }
    v[2] ^= 0xff;
    for (unsigned r = 0; r < d; r++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
