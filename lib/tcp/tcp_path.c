/* What is known of the largest packet a path takes. It begins with the link's MTU or what another
 * connection has learnt of the destination; a router's word lowers it (RFC 1191, RFC 8201), so does
 * silence towards full-sized segments alone, twice over (RFC 4821 7.7, black holes); after ten
 * minutes the link's MTU is tried again, for paths change (RFC 1191 6.3, RFC 8201 4). */
#include "tcp_hash.h"
#include "tcp_internal.h"

#define PATH_LIFE  (UINT64_C(600) * US_IN_S)
#define GUESS_HIGH 1280u /* what IPv6 asks of every link, and tunnels hold to */
#define GUESS_LOW  576u  /* what every IPv4 host takes (RFC 1122 3.3.3) */
#define TRIES_HIGH 3u    /* time-outs in a row before the first guess, and before the second */
#define TRIES_LOW  5u
#define PROOFS     2u /* an outage that ends looks like one black hole, not like two */

static uint16_t link_mtu(const struct tcp_conn *c)
{
    return (uint16_t)u32_min(c->t->lower.mtu[c->key.side], UINT16_MAX);
}

/* Keyed, so that nobody can aim at the entry of another. */
static struct tcp_path *path_of(struct tcp_conn *c)
{
    uint64_t w[2];

    memcpy(w, &c->key.remote, sizeof(w));
    return &c->t->paths[siphash(c->t->key_path, w, 2, 1, 3) % TCP_PATHS];
}

void path_start(struct tcp_conn *c)
{
    struct tcp *t = c->t;
    const struct tcp_path *p;

    c->mtu = link_mtu(c);
    c->mtu_until = TCP_NEVER;
    if (t->now >= t->paths_until)
        return;
    p = path_of(c);
    if (t->now >= p->until || p->mtu >= c->mtu || p->side != c->key.side ||
        !net_addr_eq(&p->dst, &c->key.remote))
        return;
    c->mtu = p->mtu;
    c->mtu_until = p->until;
}

static void path_remember(struct tcp_conn *c)
{
    struct tcp_path *p = path_of(c);

    *p = (struct tcp_path){
        .dst = c->key.remote, .side = c->key.side, .mtu = c->mtu, .until = c->mtu_until};
    c->t->paths_until = c->mtu_until;
}

static void lower(struct tcp_conn *c, unsigned mtu)
{
    c->mtu = (uint16_t)mtu;
    c->mtu_until = c->t->now + PATH_LIFE;
    conn_set_mss(c);
    COUNT(c->t, path_mtu_lowered);
}

/* Routers older than RFC 1191 do not say: the next lower of its plateaus. */
static unsigned mtu_below(unsigned mtu)
{
    static const unsigned plateaus[] = {8166, 4352, 2002, 1492, 1006};

    for (unsigned i = 0; i < RTE_DIM(plateaus); i++)
        if (plateaus[i] < mtu)
            return plateaus[i];
    return 0;
}

bool path_too_big(struct tcp_conn *c, unsigned mtu)
{
    bool v4 = addr_is_v4(&c->key.remote);

    if (!v4 && mtu < TCP_MTU_FLOOR_V6) /* RFC 8201 4: to be discarded */
        return false;
    if (!mtu)
        mtu = mtu_below(c->mtu);
    if (v4 && mtu < TCP_MTU_FLOOR_V4)
        mtu = TCP_MTU_FLOOR_V4;
    if (mtu >= c->mtu)
        return false;
    lower(c, mtu);
    c->mtu_guess = false;
    path_remember(c);
    return true;
}

static unsigned guess(const struct tcp_conn *c)
{
    if (c->rtx_count >= TRIES_LOW && addr_is_v4(&c->key.remote))
        return GUESS_LOW;
    return c->rtx_count >= TRIES_HIGH ? GUESS_HIGH : c->mtu;
}

void path_timeout(struct tcp_conn *c)
{
    unsigned mtu = guess(c);
    uint32_t len;

    if (mtu >= c->mtu || !c->sq_head)
        return;
    len = u32_min(c->sq_head->len, c->mss);
    if (len <= conn_mss_for(c, mtu)) /* its size is not what holds it up */
        return;
    lower(c, mtu);
    c->mtu_guess = true;
    COUNT(c->t, path_mtu_guessed);
}

void path_acked(struct tcp_conn *c)
{
    if (c->mtu_guess) { /* smaller ones come through: do full ones vanish again? */
        c->mtu_guess = false;
        if (++c->mtu_proofs < PROOFS)
            c->mtu_until = c->t->now;
        else
            path_remember(c);
    }
    /* A window of less than a segment would hold it up for ever: then later. */
    if (c->t->now < c->mtu_until || c->cwnd < conn_mss_for(c, link_mtu(c)))
        return;
    c->mtu = link_mtu(c);
    c->mtu_until = TCP_NEVER;
    conn_set_mss(c);
    COUNT(c->t, path_mtu_raised);
}
