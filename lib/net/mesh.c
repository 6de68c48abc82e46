/* Packets that came to one worker and belong to another. */
#include "net_internal.h"
#include "steer.h"

#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <stdio.h>

enum {
    TAKE_MOST = 2 * NET_BURST, /* from one worker a loop: what it can have received in one */
    LEARN_BYTES = 128,         /* of a frame that all must hear of: ARP and ND with one option */
    HASHES_CHECKED = 64,       /* hashes of the port's that are compared before they are believed */
};

/* What travels. */
enum mesh_kind {
    MESH_RECEIVED, /* a frame that the other worker owns */
    MESH_LEARN,    /* a copy: to be learnt from, not answered */
    MESH_SEND,     /* a whole frame for a port that we have no queue of */
};

struct mesh_item {
    struct rte_mbuf *m;
    uint32_t side, kind;
};
_Static_assert(sizeof(struct mesh_item) == MESH_SLOT_BYTES, "the size of a slot");

struct mesh_out {
    unsigned n;
    struct mesh_item item[NET_BURST];
};

struct mesh {
    unsigned self, workers;
    const struct steer_table *table[NET_SIDES];
    unsigned agreed[NET_SIDES]; /* hashes of the port's found right so far */
    bool doubted[NET_SIDES];    /* one was wrong: its hashes are not used */
    struct rte_ring *to[NET_WORKERS_MAX], *from[NET_WORKERS_MAX];
    struct mesh_out out[NET_WORKERS_MAX];
};

/* ------------------------------------------------------------------- rings */

bool mesh_rings_make(struct mesh_rings *r, unsigned workers)
{
    char name[RTE_RING_NAMESIZE];

    r->workers = workers;
    for (unsigned from = 0; from < workers; from++)
        for (unsigned to = 0; to < workers; to++) {
            if (from == to)
                continue;
            snprintf(name, sizeof(name), "mesh%u-%u", from, to);
            r->ring[from][to] =
                rte_ring_create_elem(name, MESH_SLOT_BYTES, MESH_SLOTS, (int)SOCKET_ID_ANY,
                                     RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (!r->ring[from][to])
                return false;
        }
    return true;
}

void mesh_rings_free(struct mesh_rings *r)
{
    struct mesh_item it;

    for (unsigned from = 0; from < r->workers; from++)
        for (unsigned to = 0; to < r->workers; to++) {
            struct rte_ring *ring = r->ring[from][to];

            while (ring && rte_ring_sc_dequeue_elem(ring, &it, sizeof(it)) == 0)
                rte_pktmbuf_free(it.m);
            rte_ring_free(ring);
        }
}

struct mesh *mesh_new(const struct mesh_rings *r, unsigned self, const struct net_port *ports)
{
    struct mesh *x = rte_zmalloc("mesh", sizeof(*x), RTE_CACHE_LINE_SIZE);

    if (!x)
        return NULL;
    x->self = self;
    x->workers = r->workers;
    for (unsigned s = 0; s < NET_SIDES; s++)
        x->table[s] = &ports[s].steer;
    for (unsigned w = 0; w < r->workers; w++) {
        x->to[w] = r->ring[self][w];
        x->from[w] = r->ring[w][self];
    }
    return x;
}

void mesh_delete(struct mesh *x)
{
    if (!x)
        return;
    for (unsigned w = 0; w < x->workers; w++)
        for (unsigned i = 0; i < x->out[w].n; i++)
            rte_pktmbuf_free(x->out[w].item[i].m);
    rte_free(x);
}

/* --------------------------------------------------------------------- out */

static void send_off(struct net *n, struct mesh *x, unsigned to)
{
    struct mesh_out *o = &x->out[to];
    unsigned sent =
        rte_ring_sp_enqueue_burst_elem(x->to[to], o->item, sizeof(o->item[0]), o->n, NULL);

    for (unsigned i = sent; i < o->n; i++)
        net_drop(&n->count.drop_spread_full, o->item[i].m);
    o->n = 0;
}

static void put(struct net *n, unsigned to, const struct mesh_item *it)
{
    struct mesh_out *o = &n->mesh->out[to];

    o->item[o->n++] = *it;
    if (o->n == NET_BURST)
        send_off(n, n->mesh, to);
}

/* Half of each ring is closed to these copies, so that a flood of ARP takes no segment's place. */
static void teach(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    struct mesh *x = n->mesh;
    uint32_t len = RTE_MIN(m->pkt_len, (uint32_t)LEARN_BYTES);

    for (unsigned w = 0; w < x->workers; w++) {
        struct mesh_item it = {.side = side, .kind = MESH_LEARN};

        if (w == x->self)
            continue;
        if (rte_ring_count(x->to[w]) + x->out[w].n >= MESH_SLOTS / 2) {
            counter_inc(&n->count.drop_spread_full);
            continue;
        }
        it.m = rte_pktmbuf_copy(m, n->pool, 0, len);
        if (it.m)
            put(n, w, &it);
        else
            counter_inc(&n->count.drop_no_mbuf);
    }
}

/* Only what ends here has an owner; what crosses is nobody's and goes its way from where it came.
 */
static bool is_ours(const struct net *n, enum net_side side, const struct steer_flow *f)
{
    const struct net_face *face = &n->face[side];
    size_t a = (f->n - 4u) / 2;

    if (side == NET_INSIDE)
        return net_intercepts(n, (uint16_t)(f->b[f->n - 2] << 8 | f->b[f->n - 1]));
    for (unsigned i = 0; i < face->nlocal; i++)
        if (memcmp(face->local[i].addr.b + 16 - a, f->b + a, a) == 0)
            return true;
    return false;
}

/* A port's hash saves ours, once it has been found to be the same. */
static uint32_t hash_of(struct mesh *x, enum net_side side, const struct rte_mbuf *m,
                        const struct steer_flow *f)
{
    uint32_t own;

    if (!x->table[side]->in_port || x->doubted[side] || !(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH))
        return steer_hash(x->table[side], f);
    if (x->agreed[side] >= HASHES_CHECKED)
        return m->hash.rss;
    own = steer_hash(x->table[side], f);
    if (own == m->hash.rss)
        x->agreed[side]++;
    else
        x->doubted[side] = true;
    return own;
}

static bool for_us(const struct net *n, enum net_side side, const struct rte_mbuf *m)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);

    return m->data_len >= sizeof(*eth) &&
           (rte_is_multicast_ether_addr(&eth->dst_addr) ||
            rte_is_same_ether_addr(&eth->dst_addr, &n->face[side].mac));
}

bool mesh_pass(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    struct mesh *x = n->mesh;
    struct steer_flow f;
    unsigned owner;

    switch (flow_of(m, &f)) {
    case FLOW_LEARN:
        if (for_us(n, side, m))
            teach(n, side, m);
        return false;
    case FLOW_TCP:
        if (!is_ours(n, side, &f))
            return false;
        owner = steer_owner_of(x->table[side], hash_of(x, side, m, &f));
        break;
    case FLOW_QUOTED:
        if (!is_ours(n, side, &f))
            return false;
        owner = steer_owner(x->table[side], &f);
        break;
    default:
        return false;
    }
    if (owner == x->self)
        return false;
    counter_inc(&n->count.respread);
    put(n, owner, &(struct mesh_item){.m = m, .side = side});
    return true;
}

unsigned mesh_hand_over(struct net *n, const struct net_face *f, struct rte_mbuf *const *m,
                        unsigned count)
{
    uint32_t side = f == &n->face[NET_INSIDE] ? NET_INSIDE : NET_OUTSIDE;
    struct mesh_item it[NET_BURST];
    unsigned sent;

    for (unsigned i = 0; i < count; i++)
        it[i] = (struct mesh_item){.m = m[i], .side = side, .kind = MESH_SEND};
    sent = rte_ring_sp_enqueue_burst_elem(n->mesh->to[f->via], it, sizeof(it[0]), count, NULL);
    counter_add(&n->count.tx_handed_over, sent);
    return sent;
}

/* ---------------------------------------------------------------------- in */

static void handle(struct net *n, const struct mesh_item *it)
{
    if (it->kind == MESH_SEND) {
        net_tx(n, it->side, it->m);
        return;
    }
    n->learning = it->kind == MESH_LEARN;
    net_input(n, it->side, it->m);
    n->learning = false;
}

static unsigned take(struct net *n, struct rte_ring *from)
{
    struct mesh_item it[TAKE_MOST];
    unsigned got = rte_ring_sc_dequeue_burst_elem(from, it, sizeof(it[0]), TAKE_MOST, NULL);

    for (unsigned i = 0; i < got; i++)
        rte_prefetch0(it[i].m);
    for (unsigned i = 0; i < got; i++)
        rte_prefetch0(rte_pktmbuf_mtod(it[i].m, const void *));
    for (unsigned i = 0; i < got; i++)
        handle(n, &it[i]);
    return got;
}

unsigned mesh_exchange(struct net *n)
{
    struct mesh *x = n->mesh;
    unsigned got = 0;

    for (unsigned w = 0; w < x->workers; w++)
        if (x->out[w].n)
            send_off(n, x, w);
    for (unsigned w = 0; w < x->workers; w++)
        if (w != x->self)
            got += take(n, x->from[w]);
    return got;
}

bool net_reaches(const struct net *n, enum net_side side, const struct net_addr *local,
                 const struct net_addr *remote, uint16_t lport, uint16_t rport)
{
    struct steer_flow f;

    if (!n->mesh)
        return true;
    f = steer_flow_in(local, remote, lport, rport);
    return steer_owner(n->mesh->table[side], &f) == n->mesh->self;
}
