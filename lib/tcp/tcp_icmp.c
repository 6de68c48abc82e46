/* What routers say about our segments, believed only as far as RFC 5927 allows: the quoted sequence
 * number must be in flight, and an open connection is never ended by ICMP. */
#include "tcp_internal.h"

static bool in_flight(const struct tcp_conn *c, uint32_t seq)
{
    return seq_leq(c->snd_una, seq) && seq_lt(seq, c->snd_max);
}

static bool path_mtu_lowered(struct tcp_conn *c, unsigned mtu)
{
    if (!path_too_big(c, mtu))
        return false;
    if (c->state < TCP_ESTABLISHED)
        return true;
    /* Send it again in smaller pieces; it says nothing about congestion (RFC 1191 6.4). */
    board_all_lost(c, NULL);
    conn_output_later(c);
    return true;
}

void tcp_unreachable(struct tcp *t, const struct net_unreachable *u, uint64_t now_us)
{
    struct tcp_key key = {.local = u->src,
                          .remote = u->dst,
                          .lport = u->sport,
                          .rport = u->dport,
                          .side = (uint8_t)u->side};
    uint32_t ref = table_find(t, &key, key_hash(t, &key));
    struct tcp_conn *c = ref ? conn_of_ref(t, ref) : NULL;

    if (now_us > t->now)
        t->now = now_us;
    if (c && in_flight(c, u->seq)) {
        if (u->too_big && path_mtu_lowered(c, u->mtu))
            return;
        if (!u->too_big && c->state == TCP_SYN_SENT) {
            conn_over(c, TCP_END_UNREACHABLE);
            return;
        }
    }
    COUNT(t, drop_icmp);
}
