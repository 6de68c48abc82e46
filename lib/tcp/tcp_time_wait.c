/* TIME_WAIT: what is left of a connection that we closed first, a record of a line and a half. All
 * wait equally long, so they stand in a list by expiry; a repeated FIN sends one back to its end.
 */
#include "tcp_internal.h"

#define REPLY_EVERY 100000u /* microseconds */

void tw_new(struct tcp *t)
{
    t->tw_first = t->tw_last = TW_NONE;
    t->tw_free = TW_NONE;
    for (uint32_t i = t->cfg.max_time_wait; i-- > 0;) {
        t->tws[i].next = t->tw_free;
        t->tw_free = i;
    }
}

static void list_remove(struct tcp *t, struct tcp_tw *w)
{
    *(w->prev == TW_NONE ? &t->tw_first : &t->tws[w->prev].next) = w->next;
    *(w->next == TW_NONE ? &t->tw_last : &t->tws[w->next].prev) = w->prev;
}

static void list_append(struct tcp *t, struct tcp_tw *w)
{
    uint32_t i = (uint32_t)(w - t->tws);

    w->expires = t->now + t->cfg.time_wait_us;
    w->prev = t->tw_last;
    w->next = TW_NONE;
    *(t->tw_last == TW_NONE ? &t->tw_first : &t->tws[t->tw_last].next) = i;
    t->tw_last = i;
}

void tw_remove(struct tcp *t, struct tcp_tw *w)
{
    table_remove(t, w->hash, ref_of_tw(t, w));
    list_remove(t, w);
    w->used = false;
    w->next = t->tw_free;
    t->tw_free = (uint32_t)(w - t->tws);
    t->tw_count--;
}

static struct tcp_tw *tw_take(struct tcp *t)
{
    struct tcp_tw *w;

    if (t->tw_free == TW_NONE && t->tw_first != TW_NONE) {
        COUNT(t, time_wait_evicted);
        tw_remove(t, &t->tws[t->tw_first]);
    }
    if (t->tw_free == TW_NONE)
        return NULL;
    w = &t->tws[t->tw_free];
    t->tw_free = w->next;
    t->tw_count++;
    return w;
}

void tw_add(struct tcp_conn *c)
{
    struct tcp *t = c->t;
    struct tcp_tw *w = tw_take(t);
    int32_t wnd = (int32_t)(c->rcv_edge - c->rcv_nxt);

    if (!w) { /* configured without any */
        table_remove(t, c->hash, ref_of_conn(t, c));
        return;
    }
    w->key = c->key;
    w->hash = c->hash;
    w->snd_nxt = c->snd_max;
    w->rcv_nxt = c->rcv_nxt;
    w->ts_recent = c->ts_recent;
    w->ts_offset = c->ts_offset;
    w->has_ts = (c->flags & CF_TS) != 0;
    w->wnd = wnd > 0 ? (uint16_t)u32_min((uint32_t)wnd >> c->rcv_scale, UINT16_MAX) : 0;
    w->used = true;
    w->reply_at = 0;
    list_append(t, w);
    table_replace(t, c->hash, ref_of_conn(t, c), ref_of_tw(t, w));
}

void tw_advance(struct tcp *t)
{
    while (t->tw_first != TW_NONE && t->tws[t->tw_first].expires <= t->now)
        tw_remove(t, &t->tws[t->tw_first]);
}

/* RFC 6191 2, RFC 9293 3.6.1: certainly a new connection and no old duplicate. */
static bool newer_syn(const struct tcp_tw *w, const struct tcp_in *s)
{
    if ((s->flags & (TH_SYN | TH_ACK | TH_RST)) != TH_SYN)
        return false;
    if (w->has_ts && s->has_ts && s->tsval != w->ts_recent)
        return seq_lt(w->ts_recent, s->tsval);
    return seq_lt(w->rcv_nxt, s->seq);
}

static void tw_reply(struct tcp *t, struct tcp_tw *w)
{
    uint32_t ts[2] = {ts_clock(t, w->ts_offset), w->ts_recent};

    if (t->now < w->reply_at)
        return;
    w->reply_at = t->now + REPLY_EVERY;
    segment_send_bare(t, &w->key, w->snd_nxt, w->rcv_nxt, TH_ACK, w->wnd, w->has_ts ? ts : NULL);
}

void tw_input(struct tcp *t, struct tcp_tw *w, struct tcp_in *s)
{
    uint32_t above = w->snd_nxt, hash = w->hash;

    if (newer_syn(w, s)) {
        COUNT(t, time_wait_reused);
        tw_remove(t, w);
        input_listen(t, s, hash, &above);
        return;
    }
    COUNT(t, drop_time_wait);
    if (s->flags & TH_RST)
        return; /* RFC 1337 3: no reset may cut the wait short */
    if (in_span(s) == 0)
        return;
    if ((s->flags & TH_FIN) && s->seq + in_span(s) == w->rcv_nxt) {
        list_remove(t, w);
        list_append(t, w);
    }
    tw_reply(t, w);
}
