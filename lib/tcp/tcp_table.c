/* 4-tuple to connection: open addressing with linear probing, at most half full, so that a lookup
 * touches one line of slots and one connection. A removal closes the gap it leaves, hence no
 * tombstones. The hash is keyed: nobody outside can aim at a slot. */
#include "tcp_hash.h"
#include "tcp_internal.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Zeroed and touched now, so that nothing faults later. */
static void *slab(size_t n)
{
    size_t align = n >= (2u << 20) ? 2u << 20 : 64;
    size_t size = (n + align - 1) / align * align;
    void *p = aligned_alloc(align, size);

    if (!p)
        return NULL;
    if (align > 64)
        (void)madvise(p, size, MADV_HUGEPAGE);
    memset(p, 0, size);
    return p;
}

bool table_new(struct tcp *t)
{
    uint64_t refs = (uint64_t)t->cfg.max_conns + t->cfg.max_time_wait, size = 64;

    if (refs > UINT32_MAX / 4)
        return false;
    while (size < refs * 2)
        size *= 2;
    t->slot_mask = (uint32_t)(size - 1);
    t->slots = slab(size * sizeof(*t->slots));
    t->conns = slab(t->cfg.max_conns * sizeof(*t->conns));
    t->tws = slab((t->cfg.max_time_wait + 1) * sizeof(*t->tws));
    t->free_conns = slab(t->cfg.max_conns * sizeof(*t->free_conns));
    if (!t->slots || !t->conns || !t->tws || !t->free_conns)
        return false;
    for (uint32_t i = 0; i < t->cfg.max_conns; i++)
        t->free_conns[i] = t->cfg.max_conns - 1 - i;
    t->nfree = t->cfg.max_conns;
    return true;
}

void table_delete(struct tcp *t)
{
    free(t->slots);
    free(t->conns);
    free(t->tws);
    free(t->free_conns);
}

uint32_t key_hash(const struct tcp *t, const struct tcp_key *key)
{
    struct tcp_words k = key_words(key);

    return (uint32_t)siphash(t->key_table, k.w, TCP_KEY_WORDS, 1, 3);
}

uint32_t ref_of_conn(const struct tcp *t, const struct tcp_conn *c)
{
    return (uint32_t)(c - t->conns) + 1;
}

uint32_t ref_of_tw(const struct tcp *t, const struct tcp_tw *w)
{
    return (uint32_t)(w - t->tws) + 1 + t->cfg.max_conns;
}

struct tcp_conn *conn_of_ref(const struct tcp *t, uint32_t ref)
{
    return ref - 1 < t->cfg.max_conns ? &t->conns[ref - 1] : NULL;
}

struct tcp_tw *tw_of_ref(const struct tcp *t, uint32_t ref)
{
    return ref > t->cfg.max_conns ? &t->tws[ref - 1 - t->cfg.max_conns] : NULL;
}

static const struct tcp_key *key_of_ref(const struct tcp *t, uint32_t ref)
{
    const struct tcp_conn *c = conn_of_ref(t, ref);

    return c ? &c->key : &tw_of_ref(t, ref)->key;
}

uint32_t table_find(const struct tcp *t, const struct tcp_key *key, uint32_t hash)
{
    for (uint32_t i = hash & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        const struct tcp_slot *s = &t->slots[i];

        if (!s->ref)
            return 0;
        if (s->hash == hash && key_eq(key_of_ref(t, s->ref), key))
            return s->ref;
    }
}

void table_insert(struct tcp *t, uint32_t hash, uint32_t ref)
{
    uint32_t i = hash & t->slot_mask;

    while (t->slots[i].ref)
        i = (i + 1) & t->slot_mask;
    t->slots[i] = (struct tcp_slot){hash, ref};
}

static uint32_t slot_of(const struct tcp *t, uint32_t hash, uint32_t ref)
{
    uint32_t i = hash & t->slot_mask;

    while (t->slots[i].ref != ref)
        i = (i + 1) & t->slot_mask;
    return i;
}

void table_replace(struct tcp *t, uint32_t hash, uint32_t ref, uint32_t with)
{
    t->slots[slot_of(t, hash, ref)].ref = with;
}

void table_remove(struct tcp *t, uint32_t hash, uint32_t ref)
{
    uint32_t hole = slot_of(t, hash, ref), mask = t->slot_mask;

    /* What stands behind the hole moves into it unless that would take it before its home. */
    for (uint32_t i = (hole + 1) & mask; t->slots[i].ref; i = (i + 1) & mask) {
        uint32_t home = t->slots[i].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct tcp_slot){0, 0};
}
