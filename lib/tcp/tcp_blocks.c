/* Selective acknowledgements that go out: the runs received out of order, the latest first (RFC
 * 2018 4), and before them what came twice (RFC 2883). The runs stand sorted in their own list; the
 * order in which they came is kept here for as many as several ACKs can tell. */
#include "tcp_internal.h"

#include <rte_byteorder.h>

static void block_remove(struct tcp_conn *c, unsigned i)
{
    c->nblocks--;
    memmove(&c->blocks[i], &c->blocks[i + 1], (c->nblocks - i) * sizeof(c->blocks[0]));
}

/* The run [start, end) has begun, grown, or taken others in: it goes to the front. */
void blocks_add(struct tcp_conn *c, uint32_t start, uint32_t end)
{
    for (unsigned i = c->nblocks; i-- > 0;)
        if (seq_leq(start, c->blocks[i].start) && seq_leq(c->blocks[i].end, end)) {
            if (i < c->fresh_blocks)
                c->fresh_blocks--;
            block_remove(c, i);
        }
    if (c->nblocks == TCP_BLOCKS_KEPT)
        c->nblocks--;
    memmove(&c->blocks[1], &c->blocks[0], c->nblocks * sizeof(c->blocks[0]));
    c->blocks[0] = (struct tcp_range){start, end};
    c->nblocks++;
    c->fresh_blocks = (uint8_t)u32_min(c->fresh_blocks + 1u, TCP_BLOCKS_KEPT);
}

void blocks_dsack(struct tcp_conn *c, uint32_t start, uint32_t end)
{
    if (!(c->flags & CF_SACK))
        return;
    c->dsack = (struct tcp_range){start, end};
    c->flags |= CF_DSACK_DUE;
}

void blocks_clear(struct tcp_conn *c)
{
    c->nblocks = c->fresh_blocks = 0;
}

/* What the stream has reached is acknowledged without. */
static void drop_reached(struct tcp_conn *c)
{
    for (unsigned i = c->nblocks; i-- > 0;)
        if (seq_leq(c->blocks[i].end, c->rcv_nxt))
            block_remove(c, i);
    c->fresh_blocks = (uint8_t)u32_min(c->fresh_blocks, c->nblocks);
}

static unsigned blocks_due(const struct tcp_conn *c)
{
    return c->nblocks + ((c->flags & CF_DSACK_DUE) != 0);
}

unsigned blocks_len(struct tcp_conn *c, unsigned room)
{
    unsigned n;

    if (!blocks_due(c))
        return 0;
    drop_reached(c);
    n = blocks_due(c);
    if (!n || room < 12)
        return 0;
    return 4 + 8 * u32_min(n, (room - 4) / 8);
}

static uint8_t *range_put(uint8_t *o, struct tcp_range r)
{
    uint32_t be[2] = {rte_cpu_to_be_32(r.start), rte_cpu_to_be_32(r.end)};

    memcpy(o, be, sizeof(be));
    return o + sizeof(be);
}

/* The blocks told go to the back, so that a second ACK of the same moment tells the others. */
static void rotate(struct tcp_conn *c, unsigned n)
{
    struct tcp_range told[TCP_SACK_BLOCKS];

    memcpy(told, c->blocks, n * sizeof(told[0]));
    memmove(c->blocks, c->blocks + n, (c->nblocks - n) * sizeof(told[0]));
    memcpy(c->blocks + c->nblocks - n, told, n * sizeof(told[0]));
}

uint8_t *blocks_put(struct tcp_conn *c, uint8_t *o, unsigned len)
{
    unsigned n = (len - 4) / 8, fresh = c->fresh_blocks;
    const uint8_t head[4] = {1, 1, 5, (uint8_t)(len - 2)};

    memcpy(o, head, sizeof(head));
    o += sizeof(head);
    COUNT(c->t, sacks_sent);
    if (c->flags & CF_DSACK_DUE) {
        c->flags &= ~(uint32_t)CF_DSACK_DUE;
        COUNT(c->t, dsacks_sent);
        o = range_put(o, c->dsack);
        n--;
    }
    for (unsigned i = 0; i < n; i++)
        o = range_put(o, c->blocks[i]);
    c->fresh_blocks = (uint8_t)(fresh > n ? fresh - n : 0);
    if (c->fresh_blocks)
        rotate(c, n);
    return o;
}

unsigned blocks_acks(const struct tcp_conn *c)
{
    unsigned each = (c->flags & CF_TS) ? TCP_SACK_BLOCKS - 1 : TCP_SACK_BLOCKS;
    unsigned n = c->fresh_blocks + ((c->flags & CF_DSACK_DUE) != 0);

    return n > each ? (n + each - 1) / each : 1;
}
