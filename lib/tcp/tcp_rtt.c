/* Round trips and the retransmission time-out (RFC 6298). One segment at a time is timed to the
 * microsecond; when retransmission has spoilt that (Karn's rule), the echoed timestamp serves
 * (RFC 7323 4), to the millisecond. */
#include "tcp_internal.h"

static void rtt_sample(struct tcp_conn *c, uint32_t rtt)
{
    uint32_t diff;

    rtt = u32_max(rtt, 1);
    if (c->flags & CF_HAVE_SRTT) {
        diff = rtt > c->srtt_us ? rtt - c->srtt_us : c->srtt_us - rtt;
        c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + diff / 4;
        c->srtt_us = c->srtt_us - c->srtt_us / 8 + rtt / 8;
    } else {
        c->flags |= CF_HAVE_SRTT;
        c->srtt_us = rtt;
        c->rttvar_us = rtt / 2;
    }
    c->rto_us = u32_min(c->srtt_us + u32_max(4 * c->rttvar_us, TCP_RTO_VAR_MIN), TCP_RTO_MAX);
    c->rtx_shift = 0;
}

/* Not while a hole is being mended: the ACK would wait for that, not for the path. Whoever sends
 * anything again clears CF_TIMING for the same reason. */
void rtt_start(struct tcp_conn *c, uint32_t end)
{
    if (c->flags & (CF_TIMING | CF_RECOVERY | CF_LOSS))
        return;
    c->flags |= CF_TIMING;
    c->rtt_seq = end;
    c->rtt_at = c->t->now;
}

/* The peer has acknowledged something new. */
void rtt_ack(struct tcp_conn *c, const struct tcp_in *s)
{
    uint32_t ms;

    if (c->flags & CF_TIMING) {
        if (seq_lt(s->ack, c->rtt_seq))
            return;
        c->flags &= ~(uint32_t)CF_TIMING;
        rtt_sample(c, (uint32_t)(c->t->now - c->rtt_at < TCP_RTO_MAX ? c->t->now - c->rtt_at
                                                                     : TCP_RTO_MAX));
    } else if ((c->flags & CF_TS) && s->has_ts && s->tsecr) {
        ms = ts_clock(c->t, c->ts_offset) - s->tsecr;
        if (ms <= TCP_RTO_MAX / 1000) /* else the echo is an invention */
            rtt_sample(c, u32_max(ms, 1) * 1000);
    }
}

uint32_t rto_now(const struct tcp_conn *c)
{
    uint64_t rto = (uint64_t)c->rto_us << c->rtx_shift;

    return rto < TCP_RTO_MAX ? (uint32_t)rto : TCP_RTO_MAX;
}
