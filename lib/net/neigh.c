/* The neighbour table: next-hop address to MAC, with the packets that wait for an answer. ARP and
 * neighbour discovery feed it alike; the states are those of RFC 4861 7.3.2 but for DELAY: nothing
 * above tells us that a neighbour has been heard of, so that the first use of a stale entry asks.
 *
 * An entry's life:
 *   ASKING   a request is out; up to NEIGH_PENDING packets wait. Asked again each second (RFC 1122
 *            2.3.2.1: no faster), three times in all, then FAILED.
 *   VALID    the MAC is known and young.
 *   STALE    VALID for 30 s: still used, but the first use asks again (PROBING). Unused for five
 *            minutes: gone.
 *   PROBING  used while we ask the known MAC again, at last everybody; no answer: FAILED.
 *   FAILED   packets are dropped for a second, then the entry goes and the next packet asks anew.
 *
 * The table is bounded. `lru` has the entry used last at its head; one learnt from somebody's
 * request joins at the tail until it is used, so that a flood of made-up askers evicts only itself.
 */
#include "net_internal.h"

#include <rte_random.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>

#define ASK_US    (1 * US_IN_S) /* RFC 4861 10: RETRANS_TIMER, MAX_MULTICAST_SOLICIT */
#define ASK_TRIES 3
#define VALID_US  (30 * US_IN_S) /* REACHABLE_TIME */
#define UNUSED_US (300 * US_IN_S)
#define FAILED_US (1 * US_IN_S)
/* An entry used this lately is not evicted for another. */
#define IN_USE_US (10 * US_IN_S)

enum neigh_state {
    NEIGH_FREE,
    NEIGH_ASKING,
    NEIGH_VALID,
    NEIGH_STALE,
    NEIGH_PROBING,
    NEIGH_FAILED
};

struct neigh {
    LIST_ENTRY(neigh) bucket;
    TAILQ_ENTRY(neigh) lru; /* in `spare` while FREE */
    struct net_addr addr;
    struct rte_ether_addr mac;
    rte_be16_t ether_type; /* of what is sent to it */
    enum net_side side;
    enum neigh_state state;
    unsigned tries;    /* requests sent since ASKING or PROBING began */
    unsigned npending; /* only while ASKING */
    struct rte_mbuf *pending[NEIGH_PENDING];
    uint64_t used_us, asked_us;
    struct wheel_timer timer;
    struct net *net;
};

LIST_HEAD(neigh_bucket, neigh);
TAILQ_HEAD(neigh_queue, neigh);

struct neigh_table {
    struct net *net;
    struct wheel *wheel;
    uint64_t seed; /* of the hash: strangers choose the keys */
    struct neigh_queue lru, spare;
    struct neigh_bucket bucket[NEIGH_BUCKETS];
    struct neigh entry[NEIGH_MAX];
};

static void on_timer(struct wheel_timer *timer, uint64_t now_us);

struct neigh_table *neigh_table_new(struct net *n, uint64_t now_us)
{
    struct neigh_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->wheel = wheel_new(now_us);
    if (!t->wheel) {
        free(t);
        return NULL;
    }
    t->net = n;
    t->seed = rte_rand() | 1;
    TAILQ_INIT(&t->lru);
    TAILQ_INIT(&t->spare);
    for (unsigned i = 0; i < NEIGH_MAX; i++) {
        t->entry[i].net = n;
        wheel_timer_init(&t->entry[i].timer, on_timer);
        TAILQ_INSERT_TAIL(&t->spare, &t->entry[i], lru);
    }
    return t;
}

static struct neigh_bucket *bucket_of(struct neigh_table *t, enum net_side side,
                                      const struct net_addr *a)
{
    uint64_t w[2], h;

    memcpy(w, a->b, sizeof(w));
    h = (w[0] ^ t->seed) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29) ^ w[1] ^ (uint64_t)side) * (t->seed ^ 0xbf58476d1ce4e5b8u);
    h ^= h >> 32;
    h *= 0x94d049bb133111ebu;
    return &t->bucket[(h >> 40) % NEIGH_BUCKETS];
}

static struct neigh *find(struct neigh_table *t, enum net_side side, const struct net_addr *a)
{
    struct neigh *e;

    LIST_FOREACH (e, bucket_of(t, side, a), bucket) {
        if (e->side == side && net_addr_eq(&e->addr, a))
            return e;
    }
    return NULL;
}

static counter *unresolved(const struct neigh *e)
{
    struct net_counters *c = &e->net->count;

    return net_addr_is_v4(&e->addr) ? &c->drop_arp_unresolved : &c->drop_nd_unresolved;
}

static void drop_pending(struct neigh *e)
{
    for (unsigned i = 0; i < e->npending; i++)
        net_drop(unresolved(e), e->pending[i]);
    e->npending = 0;
}

static void remove_entry(struct neigh_table *t, struct neigh *e)
{
    drop_pending(e);
    wheel_stop(t->wheel, &e->timer);
    LIST_REMOVE(e, bucket);
    TAILQ_REMOVE(&t->lru, e, lru);
    e->state = NEIGH_FREE;
    TAILQ_INSERT_HEAD(&t->spare, e, lru);
}

void neigh_table_delete(struct neigh_table *t)
{
    struct neigh *e;

    if (!t)
        return;
    while ((e = TAILQ_FIRST(&t->lru)))
        remove_entry(t, e);
    wheel_delete(t->wheel);
    free(t);
}

/* A spare entry, or the one that nobody has used for longest. */
static struct neigh *take_spare(struct neigh_table *t)
{
    struct neigh *e = TAILQ_FIRST(&t->spare);

    if (e)
        return e;
    e = TAILQ_LAST(&t->lru, neigh_queue);
    if (t->net->now < e->used_us + IN_USE_US)
        return NULL;
    remove_entry(t, e);
    return e;
}

static struct neigh *new_entry(struct neigh_table *t, enum net_side side, const struct net_addr *a)
{
    struct neigh *e = take_spare(t);

    if (!e)
        return NULL;
    TAILQ_REMOVE(&t->spare, e, lru);
    e->side = side;
    e->addr = *a;
    e->ether_type =
        net_addr_is_v4(a) ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
    e->npending = 0;
    e->used_us = 0;
    e->asked_us = 0;
    LIST_INSERT_HEAD(bucket_of(t, side, a), e, bucket);
    TAILQ_INSERT_TAIL(&t->lru, e, lru);
    return e;
}

static void mark_used(struct neigh_table *t, struct neigh *e)
{
    e->used_us = t->net->now;
    if (TAILQ_FIRST(&t->lru) != e) {
        TAILQ_REMOVE(&t->lru, e, lru);
        TAILQ_INSERT_HEAD(&t->lru, e, lru);
    }
}

/* Asks: the neighbour alone while its MAC may still be right, else everybody. */
static void ask(struct neigh *e)
{
    struct net *n = e->net;
    bool known = e->state == NEIGH_PROBING && e->tries + 1 < ASK_TRIES;

    e->tries++;
    e->asked_us = n->now;
    wheel_start(n->neighbours->wheel, &e->timer, n->now + ASK_US);
    if (net_addr_is_v4(&e->addr))
        net_arp_request(n, e->side, &e->addr, known ? &e->mac : NULL);
    else
        net_nd_solicit(n, e->side, &e->addr, known ? &e->mac : NULL);
}

static void start_asking(struct neigh *e, enum neigh_state state)
{
    e->state = state;
    e->tries = 0;
    ask(e);
}

static void put_ether(struct net *n, const struct neigh *e, struct rte_mbuf *m)
{
    struct rte_ether_hdr *eth = (void *)rte_pktmbuf_prepend(m, sizeof(*eth));

    if (!eth) {
        net_drop(&n->count.drop_no_mbuf, m);
        return;
    }
    eth->dst_addr = e->mac;
    eth->src_addr = n->face[e->side].mac;
    eth->ether_type = e->ether_type;
    net_tx(n, e->side, m);
}

static void queue_pending(struct neigh *e, struct rte_mbuf *m)
{
    if (e->npending == NEIGH_PENDING) { /* the newest are worth most (RFC 1122 2.3.2.2) */
        net_drop(unresolved(e), e->pending[0]);
        memmove(e->pending, e->pending + 1, (NEIGH_PENDING - 1) * sizeof(e->pending[0]));
        e->npending--;
    }
    e->pending[e->npending++] = m;
}

counter *neigh_send(struct net *n, enum net_side side, const struct net_addr *hop,
                    struct rte_mbuf *m)
{
    struct neigh_table *t = n->neighbours;
    struct neigh *e = find(t, side, hop);

    if (!e) {
        e = new_entry(t, side, hop);
        if (!e)
            return &n->count.drop_neighbours_full;
        start_asking(e, NEIGH_ASKING);
    } else if (e->state == NEIGH_STALE) {
        start_asking(e, NEIGH_PROBING);
    }
    mark_used(t, e);
    if (e->state == NEIGH_FAILED)
        return unresolved(e);
    if (e->state == NEIGH_ASKING)
        queue_pending(e, m);
    else
        put_ether(n, e, m);
    return NULL;
}

/* The pair is believed: use it. */
static void settle(struct neigh *e, const struct rte_ether_addr *mac)
{
    struct net *n = e->net;
    unsigned npending = e->npending;

    e->mac = *mac;
    e->state = NEIGH_VALID;
    e->npending = 0;
    wheel_start(n->neighbours->wheel, &e->timer, n->now + VALID_US);
    for (unsigned i = 0; i < npending; i++)
        put_ether(n, e, e->pending[i]);
}

bool neigh_reply(struct net *n, enum net_side side, const struct net_addr *addr,
                 const struct rte_ether_addr *mac)
{
    struct neigh *e = find(n->neighbours, side, addr);

    if (!e || (e->state != NEIGH_ASKING && e->state != NEIGH_PROBING))
        return false;
    settle(e, mac);
    return true;
}

void neigh_asker(struct net *n, enum net_side side, const struct net_addr *addr,
                 const struct rte_ether_addr *mac)
{
    struct neigh *e = find(n->neighbours, side, addr);

    if (!e)
        e = new_entry(n->neighbours, side, addr);
    if (e)
        settle(e, mac);
}

/* Known, but to be asked back at its first use. */
static void settle_stale(struct neigh *e, const struct rte_ether_addr *mac)
{
    settle(e, mac);
    e->state = NEIGH_STALE;
    wheel_start(e->net->neighbours->wheel, &e->timer, e->net->now + UNUSED_US);
}

void neigh_solicitor(struct net *n, enum net_side side, const struct net_addr *addr,
                     const struct rte_ether_addr *mac)
{
    struct neigh *e = find(n->neighbours, side, addr);

    if (!e)
        e = new_entry(n->neighbours, side, addr);
    else if ((e->state == NEIGH_VALID || e->state == NEIGH_STALE || e->state == NEIGH_PROBING) &&
             rte_is_same_ether_addr(&e->mac, mac))
        return; /* nothing new */
    if (e)
        settle_stale(e, mac);
}

/* Stricter than RFC 4861 7.2.5 in one thing: an unasked advertisement with another MAC makes us ask
 * everybody, and is not believed before. */
void neigh_advertised(struct net *n, enum net_side side, const struct net_addr *addr,
                      const struct rte_ether_addr *mac, bool solicited, bool override)
{
    struct neigh *e = find(n->neighbours, side, addr);

    if (!e || (e->state == NEIGH_ASKING && !mac))
        return;
    if (e->state == NEIGH_ASKING && !solicited)
        settle_stale(e, mac);
    else if (e->state == NEIGH_ASKING)
        settle(e, mac);
    else if (!mac || rte_is_same_ether_addr(&e->mac, mac)) {
        if (solicited && e->state == NEIGH_PROBING)
            settle(e, &e->mac);
    } else if (solicited && override && e->state == NEIGH_PROBING)
        settle(e, mac);
    else
        neigh_announced(n, side, addr, mac);
}

void neigh_announced(struct net *n, enum net_side side, const struct net_addr *addr,
                     const struct rte_ether_addr *mac)
{
    struct neigh *e = find(n->neighbours, side, addr);

    if (!e || (e->state != NEIGH_VALID && e->state != NEIGH_STALE) ||
        rte_is_same_ether_addr(&e->mac, mac) || n->now < e->asked_us + ASK_US)
        return;
    /* The address may have moved (a router's failover) or somebody lies: the owner of the address
     * will answer a question to everybody. */
    e->state = NEIGH_PROBING;
    e->tries = ASK_TRIES - 1;
    ask(e);
}

static void fail(struct neigh *e)
{
    drop_pending(e);
    e->state = NEIGH_FAILED;
    wheel_start(e->net->neighbours->wheel, &e->timer, e->net->now + FAILED_US);
}

static void on_timer(struct wheel_timer *timer, uint64_t now_us)
{
    struct neigh *e = (void *)((char *)timer - offsetof(struct neigh, timer));
    struct neigh_table *t = e->net->neighbours;

    switch (e->state) {
    case NEIGH_ASKING:
    case NEIGH_PROBING:
        if (e->tries < ASK_TRIES)
            ask(e);
        else
            fail(e);
        break;
    case NEIGH_VALID:
        e->state = NEIGH_STALE;
        wheel_start(t->wheel, &e->timer, now_us + UNUSED_US);
        break;
    case NEIGH_STALE:
    case NEIGH_FAILED:
    case NEIGH_FREE:
        remove_entry(t, e);
        break;
    }
}

void neigh_advance(struct neigh_table *t, uint64_t now_us)
{
    wheel_advance(t->wheel, now_us);
}
