/* SipHash-2-4 with 128 bits of output (Aumasson, Bernstein: SipHash: a fast short-input PRF). */
#include "window/window_internal.h"

#include <string.h>

static uint64_t rotl(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static void rounds(uint64_t v[4], unsigned n)
{
    while (n--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static uint64_t load_le(const uint8_t *p)
{
    uint64_t w = 0;

    for (unsigned i = 8; i-- > 0;)
        w = w << 8 | p[i];
    return w;
}

void window_hash_begin(struct window_hash *h, const struct window_table *t)
{
    uint64_t k0 = load_le(t->secret), k1 = load_le(t->secret + 8);

    h->v[0] = k0 ^ 0x736f6d6570736575;
    h->v[1] = k1 ^ 0x646f72616e646f6d ^ 0xee;
    h->v[2] = k0 ^ 0x6c7967656e657261;
    h->v[3] = k1 ^ 0x7465646279746573;
    h->tail = h->n = 0;
}

static void word(struct window_hash *h, uint64_t m)
{
    h->v[3] ^= m;
    rounds(h->v, 2);
    h->v[0] ^= m;
}

void window_hash_put(struct window_hash *h, const void *p, size_t n)
{
    const uint8_t *q = p;

    while (n && h->n % 8 == 0 && n >= 8) {
        word(h, load_le(q));
        h->n += 8;
        q += 8;
        n -= 8;
    }
    for (; n; n--) {
        h->tail |= (uint64_t)*q++ << (8 * (h->n++ % 8));
        if (h->n % 8 == 0) {
            word(h, h->tail);
            h->tail = 0;
        }
    }
}

void window_hash_text(struct window_hash *h, struct span s)
{
    uint64_t n = s.n;

    window_hash_put(h, &n, sizeof(n));
    window_hash_put(h, s.p, s.n);
}

struct window_key window_hash_end(struct window_hash *h)
{
    struct window_key key;

    word(h, h->tail | h->n << 56);
    h->v[2] ^= 0xee;
    rounds(h->v, 4);
    key.half[0] = h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
    h->v[1] ^= 0xdd;
    rounds(h->v, 4);
    key.half[1] = h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
    return key;
}
