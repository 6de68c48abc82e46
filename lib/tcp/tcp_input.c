/* Which connection a segment belongs to, and what becomes of those that belong to none
 * (RFC 9293 3.10.7.1 and 3.10.7.2). */
#include "tcp_internal.h"

static bool listens(const struct tcp *t, const struct tcp_key *key)
{
    for (unsigned i = 0; t->listening && i < t->nlisteners; i++)
        if (t->listeners[i].port == key->lport && t->listeners[i].side == key->side)
            return true;
    return false;
}

/* May another connection begin? Counts why not. */
static bool room_for_syn(struct tcp *t)
{
    if (t->half_open >= t->cfg.max_half_open)
        COUNT(t, drop_half_open_full);
    else if (!t->nfree)
        COUNT(t, drop_table_full);
    else if (t->rx_held + t->tx_held >= t->held_max)
        COUNT(t, drop_pressure);
    else
        return true;
    return false;
}

void conn_agree_options(struct tcp_conn *c, const struct tcp_in *syn)
{
    if (syn->has_ts) {
        c->flags |= CF_TS;
        c->ts_recent = syn->tsval;
        c->ts_recent_at = c->t->now;
    }
    if (syn->wscale >= 0) {
        c->flags |= CF_WSCALE;
        c->snd_scale = (uint8_t)syn->wscale;
        c->rcv_scale = c->t->rcv_scale;
    }
    if (syn->sack_ok)
        c->flags |= CF_SACK;
    if (syn->mss)
        c->peer_mss = syn->mss > TCP_MSS_FLOOR ? syn->mss : TCP_MSS_FLOOR;
    else
        c->peer_mss = addr_is_v4(&c->key.remote) ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    conn_set_mss(c);
    c->irs = syn->seq;
    c->rcv_nxt = syn->seq + 1;
    c->rcv_acked = syn->seq;
    c->rcv_edge = c->rcv_nxt + u32_min(c->rcvbuf, UINT16_MAX);
    c->snd_wnd = syn->wnd;
    c->snd_wnd_max = syn->wnd;
    c->snd_wl1 = syn->seq;
    c->snd_wl2 = c->iss;
}

/* A new half-open connection. Data on the SYN is not acknowledged: the peer sends it again. */
static void passive_open(struct tcp *t, struct tcp_in *s, uint32_t hash, const uint32_t *above)
{
    uint32_t iss = isn_of(t, &s->key);
    struct tcp_conn *c;

    /* RFC 6191 2: above everything the last connection of this 4-tuple has sent. */
    if (above && seq_leq(iss, *above))
        iss = *above + 64000;
    c = conn_open(t, &s->key, hash, iss);
    c->state = TCP_SYN_RECEIVED;
    c->flags |= CF_PASSIVE | CF_UNACCEPTED | CF_SYN_DUE;
    conn_agree_options(c, s);
    t->half_open++;
    conn_output_later(c);
}

void input_listen(struct tcp *t, struct tcp_in *s, uint32_t hash, const uint32_t *above)
{
    bool self = net_addr_eq(&s->key.local, &s->key.remote) && s->key.lport == s->key.rport;

    if ((s->flags & (TH_RST | TH_ACK | TH_SYN)) != TH_SYN || !listens(t, &s->key)) {
        COUNT(t, drop_no_listener);
        segment_send_reset(t, s);
        return;
    }
    if (self || s->key.rport == 0) {
        COUNT(t, drop_header);
        return;
    }
    if (room_for_syn(t))
        passive_open(t, s, hash, above);
}

void tcp_input(struct tcp *t, const struct net_segment *seg, uint64_t now_us)
{
    struct tcp_in s;
    struct tcp_conn *c;
    uint32_t hash, ref;

    if (now_us > t->now)
        t->now = now_us;
    COUNT(t, rx_segments);
    /* SYN with FIN is nothing any endpoint sends. */
    if (!segment_parse(seg, &s) || (s.flags & (TH_SYN | TH_FIN)) == (TH_SYN | TH_FIN)) {
        COUNT(t, drop_header);
        rte_pktmbuf_free(seg->m);
        return;
    }
    hash = key_hash(t, &s.key);
    ref = table_find(t, &s.key, hash);
    c = ref ? conn_of_ref(t, ref) : NULL;
    if (c && c->state == TCP_SYN_SENT)
        input_syn_sent(c, &s);
    else if (c)
        input_conn(c, &s);
    else if (ref)
        tw_input(t, tw_of_ref(t, ref), &s);
    else
        input_listen(t, &s, hash, NULL);
    if (s.m)
        segment_drop(&s);
}
