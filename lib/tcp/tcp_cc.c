/* How much may be in flight: slow start and congestion avoidance counted in bytes (RFC 5681, RFC
 * 3465), NewReno's window in fast recovery (RFC 6582), the initial window of RFC 6928.
 * Another algorithm replaces this file; nothing else writes cwnd and ssthresh. */
#include "tcp_internal.h"

#define CWND_MAX (1u << 30)

static uint32_t flight(const struct tcp_conn *c)
{
    return c->snd_max - c->snd_una;
}

/* RFC 6928 2; one segment if the SYN was lost (RFC 5681 3.1). */
static uint32_t initial_window(const struct tcp_conn *c)
{
    uint32_t mss = c->mss;

    if (c->flags & CF_SYN_RESENT)
        return mss;
    return u32_min(10 * mss, u32_max(2 * mss, 14600));
}

static uint32_t half_of_flight(const struct tcp_conn *c)
{
    return u32_max(flight(c) / 2, 2 * (uint32_t)c->mss);
}

void cc_init(struct tcp_conn *c)
{
    c->cwnd = initial_window(c);
    c->ssthresh = CWND_MAX;
    c->cc_acked = 0;
}

/* The window grows only while it is what holds us back, and in slow start by all that was
 * acknowledged, as receivers that acknowledge whole bursts would starve RFC 3465's L = 2; after a
 * time-out by one segment an ACK, since the ACK may cover what had arrived before. */
void cc_acked(struct tcp_conn *c, uint32_t acked)
{
    if (!(c->flags & CF_CWND_LIMITED))
        return;
    if (c->cwnd < c->ssthresh) {
        uint32_t grow = (c->flags & CF_LOSS) ? u32_min(acked, c->mss) : acked;
        c->cwnd = u32_min(c->cwnd + grow, CWND_MAX);
        return;
    }
    c->cc_acked += u32_min(acked, c->cwnd);
    if (c->cc_acked >= c->cwnd) {
        c->cc_acked -= c->cwnd;
        c->cwnd = u32_min(c->cwnd + c->mss, CWND_MAX);
    }
}

void cc_recovery_enter(struct tcp_conn *c)
{
    c->ssthresh = half_of_flight(c);
    c->cwnd = c->ssthresh + TCP_DUP_THRESH * c->mss;
    c->cc_acked = 0;
}

/* A segment has left the network. */
void cc_recovery_dup(struct tcp_conn *c)
{
    c->cwnd = u32_min(c->cwnd + c->mss, CWND_MAX);
}

/* RFC 6582 3.2 step 3, partial acknowledgement. */
void cc_recovery_partial(struct tcp_conn *c, uint32_t acked)
{
    c->cwnd = c->cwnd > acked + c->mss ? c->cwnd - acked : c->mss;
    if (acked >= c->mss)
        c->cwnd += c->mss;
}

/* RFC 6582 3.2 step 3, full acknowledgement, the choice that sends no burst. */
void cc_recovery_exit(struct tcp_conn *c)
{
    c->cwnd = u32_min(c->ssthresh, u32_max(flight(c), c->mss) + c->mss);
    c->cc_acked = 0;
}

/* RFC 5681 3.1 (4): ssthresh follows the first time-out only, cwnd is one segment. */
void cc_timeout(struct tcp_conn *c)
{
    if (c->rtx_count <= 1)
        c->ssthresh = half_of_flight(c);
    c->cwnd = c->mss;
    c->cc_acked = 0;
}

/* RFC 5681 4.1: after an idle RTO the old window says nothing about the path. */
void cc_restart(struct tcp_conn *c)
{
    c->cwnd = u32_min(c->cwnd, initial_window(c));
}
