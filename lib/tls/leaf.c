#include "tls_internal.h"

#include <stdlib.h>

#define FRESH_S       86400 /* a leaf with less life left than this is minted anew */
#define MINT          1000000u
#define FORGET_A_TICK 64 /* bound on one tick's work */

struct leaf {
    X509 *x;
    int64_t until; /* seconds since 1970 */
};

void tls_leaf_drop(void *value)
{
    struct leaf *l = value;

    X509_free(l->x);
    free(l);
}

/* A leaf cut short by the CA's own end cannot be bettered. */
static bool stale(const struct tls *t, const struct leaf *l)
{
    return l->until - t->wall < FRESH_S && l->until < t->mint.ca_until;
}

static bool dead(const struct tls *t, const struct leaf *l)
{
    return l->until <= t->wall;
}

static bool take_token(struct tls *t)
{
    if (t->tokens < MINT) {
        counter_inc(&t->n.mints_limited);
        return false;
    }
    t->tokens -= MINT;
    return true;
}

static struct leaf *mint(struct tls *t, enum tls_leaf_type type, struct span name)
{
    struct leaf *l = malloc(sizeof(*l));

    if (!l)
        return NULL;
    l->x = tls_mint_leaf(&t->mint, type, name, t->wall, &l->until);
    if (!l->x) {
        free(l);
        return NULL;
    }
    counter_inc(&t->n.leaves_minted);
    return l;
}

static struct span cache_key(char buf[LRU_KEY_MAX], enum tls_leaf_type type, struct span name)
{
    buf[0] = (char)type;
    memcpy(buf + 1, name.p, name.n);
    return span_of(buf, name.n + 1);
}

X509 *tls_leaf_for(struct tls *t, enum tls_leaf_type type, struct span name, enum tls_error *why)
{
    char buf[LRU_KEY_MAX];
    struct span key = cache_key(buf, type, name);
    struct leaf *old = lru_get(t->leaves, key), *l;

    if (old && !stale(t, old) && !dead(t, old))
        return old->x;
    if (!take_token(t)) {
        *why = TLS_ERR_MINT_LIMIT;
        return old && !dead(t, old) ? old->x : NULL; /* stale is better than none */
    }
    l = mint(t, type, name);
    if (!l) {
        *why = TLS_ERR_MINT_FAILED;
        return NULL;
    }
    if (lru_put(t->leaves, key, l))
        counter_inc(&t->n.leaves_evicted);
    return l->x;
}

/* The bucket holds one second's worth. */
static void refill(struct tls *t, uint64_t now_us)
{
    uint64_t us = now_us - t->tick_us;

    if (us >= US_IN_S) {
        t->tokens = t->tokens_max;
        return;
    }
    t->tokens += us * t->mints_a_second; /* a mint is a million of them: one a microsecond */
    if (t->tokens > t->tokens_max)
        t->tokens = t->tokens_max;
}

void tls_leaf_tick(struct tls *t, uint64_t now_us)
{
    if (now_us > t->tick_us) {
        if (t->tick_us)
            refill(t, now_us);
        t->tick_us = now_us;
    }
    for (int i = 0; i < FORGET_A_TICK; i++) {
        const struct leaf *l = lru_oldest(t->leaves);
        if (!l || !dead(t, l))
            break;
        lru_remove_oldest(t->leaves);
        counter_inc(&t->n.leaves_evicted);
    }
}
