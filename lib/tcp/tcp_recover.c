/* What is lost and when it is sent again: NewReno (RFC 6582) with limited transmit (RFC 3042), and
 * going back to the first byte not acknowledged after a time-out. Scoreboards (SACK, RACK) take
 * this file's place; notes on the queued mbufs have room for them. */
#include "tcp_internal.h"

static void recovery_enter(struct tcp_conn *c)
{
    cc_recovery_enter(c);
    c->recover = c->snd_max;
    c->flags |= CF_RECOVERY | CF_RETRANSMIT;
    c->flags &= ~(uint32_t)CF_TIMING; /* Karn */
    COUNT(c->t, retransmits_fast);
    conn_output_later(c);
}

void recover_dup_ack(struct tcp_conn *c)
{
    COUNT(c->t, dup_acks_received);
    if (c->flags & CF_RECOVERY) {
        cc_recovery_dup(c);
        conn_output_later(c);
        return;
    }
    if (c->dup_acks < UINT8_MAX)
        c->dup_acks++;
    if (c->dup_acks < TCP_DUP_THRESH)
        conn_output_later(c); /* limited transmit: output allows a segment for each */
    else if (c->dup_acks == TCP_DUP_THRESH && seq_lt(c->recover, c->snd_una))
        recovery_enter(c);
}

/* Something new was acknowledged: snd_una has moved. */
void recover_ack(struct tcp_conn *c, uint32_t acked)
{
    bool reached = seq_leq(c->recover, c->snd_una);

    c->dup_acks = 0;
    if (!(c->flags & CF_RECOVERY)) {
        cc_acked(c, acked);
        if (reached)
            c->flags &= ~(uint32_t)CF_LOSS;
        return;
    }
    if (!reached) {
        /* The next hole starts right here: one segment a round trip. */
        cc_recovery_partial(c, acked);
        c->flags |= CF_RETRANSMIT;
        COUNT(c->t, retransmits_fast);
        conn_output_later(c);
        return;
    }
    cc_recovery_exit(c);
    c->flags &= ~(uint32_t)(CF_RECOVERY | CF_RETRANSMIT);
    /* Nothing was sent twice for nothing, so duplicate ACKs from here on mean a new loss. */
    c->recover = c->snd_una - 1;
}

void recover_timeout(struct tcp_conn *c)
{
    cc_timeout(c);
    c->recover = c->snd_max;
    c->dup_acks = 0;
    c->flags &= ~(uint32_t)(CF_RECOVERY | CF_RETRANSMIT | CF_TIMING);
    c->flags |= CF_LOSS;
    COUNT(c->t, retransmits_timeout);
    send_rewind(c);
    conn_output_later(c);
}
