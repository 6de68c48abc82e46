/* How many connections each caller's address has, and how many of them are in their handshake. */
#include <stdlib.h>
#include <sys/random.h>

#include "call/call_internal.h"

struct peer {
    uint64_t who[2];
    unsigned callers, handshakes;
    uint32_t next; /* of the bucket, or of the free ones; 0 ends */
};

struct peers {
    uint64_t key[2];
    uint32_t mask, free;
    uint32_t *bucket; /* index of a peer, 0: none */
    struct peer peer[];
};

struct peers *peers_new(unsigned max)
{
    struct peers *p = calloc(1, sizeof(*p) + ((size_t)max + 1) * sizeof(p->peer[0]));
    uint32_t buckets = 1024;

    if (!p)
        return NULL;
    while (buckets < max)
        buckets *= 2;
    p->bucket = calloc(buckets, sizeof(*p->bucket));
    p->mask = buckets - 1;
    for (uint32_t i = max; i > 0; i--) {
        p->peer[i].next = p->free;
        p->free = i;
    }
    if (p->bucket && getrandom(p->key, sizeof(p->key), 0) == sizeof(p->key))
        return p;
    peers_delete(p);
    return NULL;
}

void peers_delete(struct peers *p)
{
    if (!p)
        return;
    free(p->bucket);
    free(p);
}

/* Whoever has one IPv6 address has the 2^64 around it as well (RFC 6177): they count as one. */
static void who_is(const struct net_addr *a, uint64_t who[2])
{
    memcpy(who, a->b, 16);
    if (!net_addr_is_v4(a))
        who[1] = 0;
}

/* Keyed, as the addresses are chosen by strangers. */
static uint32_t bucket_of(const struct peers *p, const uint64_t who[2])
{
    unsigned __int128 m = (unsigned __int128)(who[0] ^ p->key[0]) * (who[1] ^ p->key[1]);

    return (uint32_t)((uint64_t)m ^ (uint64_t)(m >> 64)) & p->mask;
}

static uint32_t *find(struct peers *p, const uint64_t who[2])
{
    uint32_t *at = &p->bucket[bucket_of(p, who)];

    while (*at && (p->peer[*at].who[0] != who[0] || p->peer[*at].who[1] != who[1]))
        at = &p->peer[*at].next;
    return at;
}

static struct peer *make(struct peers *p, uint32_t *at, const uint64_t who[2])
{
    uint32_t i = p->free;

    if (i == 0)
        return NULL;
    p->free = p->peer[i].next;
    p->peer[i] = (struct peer){.who = {who[0], who[1]}};
    *at = i;
    return &p->peer[i];
}

enum peers_room peers_take(struct peers *p, const struct net_addr *a, unsigned callers_max,
                           unsigned handshakes_max)
{
    uint64_t who[2];
    uint32_t *at;
    struct peer *e;

    who_is(a, who);
    at = find(p, who);
    e = *at ? &p->peer[*at] : make(p, at, who);
    if (!e)
        return PEERS_CALLERS_FULL;
    if (e->callers >= callers_max)
        return PEERS_CALLERS_FULL;
    if (e->handshakes >= handshakes_max)
        return PEERS_HANDSHAKES_FULL;
    e->callers++;
    e->handshakes++;
    return PEERS_TAKEN;
}

unsigned peers_handshakes(struct peers *p, const struct net_addr *a)
{
    uint64_t who[2];

    who_is(a, who);
    return p->peer[*find(p, who)].handshakes; /* 0 is nobody, with none */
}

void peers_settled(struct peers *p, const struct net_addr *a)
{
    uint64_t who[2];

    who_is(a, who);
    p->peer[*find(p, who)].handshakes--;
}

void peers_give(struct peers *p, const struct net_addr *a, bool in_handshake)
{
    uint64_t who[2];
    uint32_t *at, i;

    who_is(a, who);
    at = find(p, who);
    i = *at;
    p->peer[i].handshakes -= in_handshake;
    if (--p->peer[i].callers)
        return;
    *at = p->peer[i].next;
    p->peer[i].next = p->free;
    p->free = i;
}
