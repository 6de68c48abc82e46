/* Tail loss probes (RFC 8985 7): when the ACKs of the last segments fail to come, one more segment
 * makes the peer say what it has, long before the retransmission time-out. */
#include "tcp_internal.h"

#define ONE_ACK_DELAY 200000u /* WCDelAckT: a lone segment's ACK may be delayed (7.2) */
#define FIRST_PTO     1000000u

/* 7.2: not while anything is known to be missing, and one probe a tail. */
static bool wanted(const struct tcp_conn *c)
{
    return (c->flags & CF_SACK) &&
           !(c->flags & (CF_RECOVERY | CF_LOSS | CF_TLP | CF_PERSIST | CF_TLP_DUE)) &&
           c->sacked == 0 && !TAILQ_EMPTY(&c->flight) && TAILQ_EMPTY(&c->lost);
}

void tlp_schedule(struct tcp_conn *c)
{
    uint64_t pto = FIRST_PTO;

    timer_clear(c, TIMER_TLP);
    if (!wanted(c))
        return;
    if (c->flags & CF_HAVE_SRTT) {
        pto = 2 * (uint64_t)c->srtt_us;
        if (TAILQ_FIRST(&c->flight) == TAILQ_LAST(&c->flight, tcp_segs))
            pto += ONE_ACK_DELAY;
    }
    /* Where the time-out comes first, the probe stands in its place. */
    if (c->deadline[TIMER_RTX] != TCP_NEVER && c->deadline[TIMER_RTX] < c->t->now + pto) {
        timer_set(c, TIMER_TLP, c->deadline[TIMER_RTX]);
        return;
    }
    timer_set(c, TIMER_TLP, c->t->now + pto);
}

void tlp_due(struct tcp_conn *c)
{
    if (!wanted(c))
        return;
    c->flags |= CF_TLP_DUE;
    timer_set(c, TIMER_RTX, c->t->now + rto_now(c)); /* 7.3 */
    conn_output_later(c);
}

/* 7.4.2: what the probe's fate tells. If it was new data, RACK sees to the rest; if it was the last
 * segment once more and nobody tells of a duplicate, the probe has mended a loss, which congestion
 * control would else never hear of. */
void tlp_acked(struct tcp_conn *c, const struct tcp_acking *a)
{
    const struct tcp_in *in = a->in;

    if (!(c->flags & CF_TLP) || seq_lt(in->ack, c->tlp_end))
        return;
    if ((c->flags & CF_TLP_AGAIN) && !a->dsack) {
        if (in->ack == c->tlp_end && (a->acked || !a->dup || a->sacked))
            return; /* the original or the probe: the next one tells */
        if (in->ack != c->tlp_end && !(c->flags & (CF_RECOVERY | CF_LOSS))) {
            cc_congestion(c);
            cc_set(c, c->ssthresh);
            COUNT(c->t, tlp_recovered);
        }
    }
    c->flags &= ~(uint32_t)(CF_TLP | CF_TLP_AGAIN);
}
