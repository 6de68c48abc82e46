/* Round trips and the retransmission time-out (RFC 6298). Every ACK that tells of something sent
 * only once gives a sample to the microsecond; when all of it was sent again (Karn's rule), the
 * echoed timestamp serves (RFC 7323 4), to the millisecond. With so many samples the smoothing of
 * the variance goes by round trips: its greatest sample counts (RFC 7323 G would spread it). */
#include "tcp_internal.h"

static void variance_sample(struct tcp_conn *c, uint32_t rtt)
{
    uint32_t diff = rtt > c->srtt_us ? rtt - c->srtt_us : c->srtt_us - rtt;

    c->mdev_us = c->mdev_us - c->mdev_us / 4 + diff / 4;
    c->mdev_max_us = u32_max(c->mdev_max_us, c->mdev_us);
    c->rttvar_us = u32_max(c->rttvar_us, c->mdev_max_us);
    if (seq_lt(c->rtt_seq, c->snd_una)) {
        c->rttvar_us -= (c->rttvar_us - c->mdev_max_us) / 4;
        c->mdev_max_us = 0;
        c->rtt_seq = c->snd_nxt;
    }
}

static void rtt_sample(struct tcp_conn *c, uint32_t rtt)
{
    rtt = u32_max(rtt, 1);
    if (c->flags & CF_HAVE_SRTT) {
        variance_sample(c, rtt);
        c->srtt_us = c->srtt_us - c->srtt_us / 8 + rtt / 8;
    } else {
        c->flags |= CF_HAVE_SRTT;
        c->srtt_us = rtt;
        c->rttvar_us = c->mdev_us = rtt / 2;
        c->rtt_seq = c->snd_nxt;
    }
    c->rto_us = u32_min(c->srtt_us + u32_max(4 * c->rttvar_us, TCP_RTO_VAR_MIN), TCP_RTO_MAX);
    c->rtx_shift = 0;
}

static uint32_t since(const struct tcp_conn *c, uint64_t at)
{
    return c->t->now - at < TCP_RTO_MAX ? (uint32_t)(c->t->now - at) : TCP_RTO_MAX;
}

static void echo_sample(struct tcp_conn *c, const struct tcp_in *s)
{
    uint32_t ms;

    if (!(c->flags & CF_TS) || !s->has_ts || !s->tsecr)
        return;
    ms = ts_clock(c->t, c->ts_offset) - s->tsecr;
    if (ms <= TCP_RTO_MAX / 1000) /* else the echo is an invention */
        rtt_sample(c, u32_max(ms, 1) * 1000);
}

/* Whoever sends our SYN again clears CF_TIMING (Karn). */
void rtt_syn_sent(struct tcp_conn *c)
{
    c->flags |= CF_TIMING;
    c->rtt_at = c->t->now;
}

void rtt_syn_acked(struct tcp_conn *c, const struct tcp_in *s)
{
    if (c->flags & CF_TIMING)
        rtt_sample(c, since(c, c->rtt_at));
    else
        echo_sample(c, s);
    c->flags &= ~(uint32_t)CF_TIMING;
}

void rtt_acked(struct tcp_conn *c, const struct tcp_acking *a)
{
    uint32_t rtt;

    /* Without SACK an ACK that ends a mending has waited for that. */
    if (a->sent_at && ((c->flags & CF_SACK) || !a->again)) {
        rtt = since(c, a->sent_at);
        rtt_sample(c, rtt);
        hystart_sample(c, rtt);
    } else if (a->acked) {
        echo_sample(c, a->in);
    }
}

uint32_t rto_now(const struct tcp_conn *c)
{
    uint64_t rto = (uint64_t)c->rto_us << c->rtx_shift;

    return rto < TCP_RTO_MAX ? (uint32_t)rto : TCP_RTO_MAX;
}
