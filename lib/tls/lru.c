/* Nodes in one array, linked by index: a hash chain and a ring in order of use. Index 0 is the
 * ring's head and never holds a key. */
#include "tls_internal.h"

#include <stdlib.h>

struct node {
    uint32_t chain;        /* next in the bucket; 0 ends it. Next free node while free */
    uint32_t newer, older; /* the ring */
    uint32_t bucket;
    void *value;
    uint16_t len; /* LRU_KEY_MAX fits */
    char key[LRU_KEY_MAX];
};

struct lru {
    struct node *nodes; /* [0..max] */
    uint32_t *buckets;
    uint32_t mask;
    uint32_t free; /* first free node; 0 = none */
    unsigned count;
    uint64_t secret[2];
    lru_drop_fn *drop;
};

_Static_assert(LRU_KEY_MAX <= UINT16_MAX, "a key's length is kept in two bytes");

/* ---- SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash that strangers cannot steer */

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

static void sip_round(struct sip *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = rotl(v->b, 13) ^ v->a;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a = rotl(v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = rotl(v->b, 17) ^ v->c;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c = rotl(v->c, 32);
}

static void sip_word(struct sip *v, uint64_t m)
{
    v->d ^= m;
    sip_round(v);
    sip_round(v);
    v->a ^= m;
}

/* Little-endian machines only, like the rest of the packet road. */
static uint64_t sip_hash(const uint64_t k[2], struct span s)
{
    struct sip v = {k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du,
                    k[0] ^ 0x6c7967656e657261u, k[1] ^ 0x7465646279746573u};
    uint64_t m = 0;
    size_t i;

    for (i = 0; i + 8 <= s.n; i += 8) {
        memcpy(&m, s.p + i, 8);
        sip_word(&v, m);
    }
    m = 0;
    if (s.n > i)
        memcpy(&m, s.p + i, s.n - i);
    sip_word(&v, m | (uint64_t)s.n << 56);
    v.c ^= 0xff;
    for (i = 0; i < 4; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

/* ---- the map */

struct lru *lru_new(unsigned max, const uint64_t secret[2], lru_drop_fn *drop)
{
    struct lru *l = calloc(1, sizeof(*l));
    uint32_t buckets = 1;

    if (!l)
        return NULL;
    if (max == 0)
        max = 1;
    while (buckets < 2 * (uint64_t)max && buckets < 1u << 30)
        buckets *= 2;
    l->nodes = calloc((size_t)max + 1, sizeof(*l->nodes));
    l->buckets = calloc(buckets, sizeof(*l->buckets));
    if (!l->nodes || !l->buckets) {
        lru_delete(l);
        return NULL;
    }
    l->mask = buckets - 1;
    l->drop = drop;
    memcpy(l->secret, secret, sizeof(l->secret));
    for (uint32_t i = 1; i <= max; i++)
        l->nodes[i].chain = i < max ? i + 1 : 0;
    l->free = 1;
    return l;
}

void lru_delete(struct lru *l)
{
    if (!l)
        return;
    if (l->nodes)
        while (l->count)
            lru_remove_oldest(l);
    free(l->nodes);
    free(l->buckets);
    free(l);
}

static uint32_t bucket_of(const struct lru *l, struct span key)
{
    return (uint32_t)sip_hash(l->secret, key) & l->mask;
}

/* The link that points to the key's node, or to 0 at the end of its bucket. */
static uint32_t *find(struct lru *l, uint32_t bucket, struct span key)
{
    uint32_t *at = &l->buckets[bucket];

    while (*at) {
        struct node *n = &l->nodes[*at];
        if (span_eq(span_of(n->key, n->len), key))
            break;
        at = &n->chain;
    }
    return at;
}

static void ring_out(struct lru *l, uint32_t i)
{
    struct node *n = &l->nodes[i];

    l->nodes[n->newer].older = n->older;
    l->nodes[n->older].newer = n->newer;
}

/* The head's `older` is the most recent node, its `newer` the least. */
static void ring_in(struct lru *l, uint32_t i)
{
    struct node *n = &l->nodes[i];

    n->newer = 0;
    n->older = l->nodes[0].older;
    l->nodes[n->older].newer = i;
    l->nodes[0].older = i;
}

void *lru_get(struct lru *l, struct span key)
{
    uint32_t i = *find(l, bucket_of(l, key), key);

    if (!i)
        return NULL;
    ring_out(l, i);
    ring_in(l, i);
    return l->nodes[i].value;
}

static void unlink_node(struct lru *l, uint32_t *link)
{
    uint32_t i = *link;
    struct node *n = &l->nodes[i];

    *link = n->chain;
    ring_out(l, i);
    l->drop(n->value);
    n->value = NULL;
    n->chain = l->free;
    l->free = i;
    l->count--;
}

static void insert(struct lru *l, uint32_t bucket, struct span key, void *value)
{
    uint32_t i = l->free;
    struct node *n = &l->nodes[i];

    l->free = n->chain;
    n->chain = l->buckets[bucket];
    l->buckets[bucket] = i;
    n->bucket = bucket;
    n->value = value;
    n->len = (uint16_t)key.n;
    memcpy(n->key, key.p, key.n);
    ring_in(l, i);
    l->count++;
}

bool lru_put(struct lru *l, struct span key, void *value)
{
    uint32_t bucket = bucket_of(l, key);
    uint32_t *link = find(l, bucket, key);
    bool evicted = false;

    if (*link) {
        unlink_node(l, link);
    } else if (!l->free) {
        lru_remove_oldest(l);
        evicted = true;
    }
    insert(l, bucket, key, value);
    return evicted;
}

void lru_remove(struct lru *l, struct span key)
{
    uint32_t *link = find(l, bucket_of(l, key), key);

    if (*link)
        unlink_node(l, link);
}

void *lru_oldest(const struct lru *l)
{
    return l->nodes[l->nodes[0].newer].value;
}

void lru_remove_oldest(struct lru *l)
{
    uint32_t i = l->nodes[0].newer;
    uint32_t *link = &l->buckets[l->nodes[i].bucket];

    if (!i)
        return;
    while (*link != i)
        link = &l->nodes[*link].chain;
    unlink_node(l, link);
}

unsigned lru_count(const struct lru *l)
{
    return l->count;
}
