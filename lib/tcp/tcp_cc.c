/* How much may be in flight: slow start (RFC 5681, RFC 3465, RFC 9406), then CUBIC (RFC 9438), the
 * initial window of RFC 6928. Nothing else writes cwnd and ssthresh. */
#include "tcp_internal.h"

#define CWND_MAX (1u << 30)

/* RFC 6928 2; one segment if the SYN was lost (RFC 5681 3.1). */
static uint32_t initial_window(const struct tcp_conn *c)
{
    uint32_t mss = c->mss;

    if (c->flags & CF_SYN_RESENT)
        return mss;
    return u32_min(10 * mss, u32_max(2 * mss, 14600));
}

void cc_init(struct tcp_conn *c)
{
    c->cwnd = initial_window(c);
    c->ssthresh = CWND_MAX;
    c->cubic = (struct tcp_cubic){0};
    c->hystart = (struct tcp_hystart){0};
}

void cc_set(struct tcp_conn *c, uint32_t cwnd)
{
    c->cwnd = u32_min(u32_max(cwnd, c->mss), CWND_MAX);
}

/* The window grows only while it is what holds us back, and in slow start by all that was
 * delivered, as receivers that acknowledge whole bursts would starve RFC 3465's L = 2. */
void cc_acked(struct tcp_conn *c, uint32_t acked)
{
    if (!acked)
        return;
    if (!(c->flags & CF_CWND_LIMITED)) {
        cubic_idle(&c->cubic, c->t->now);
        return;
    }
    if (c->cwnd < c->ssthresh) {
        uint32_t grow = u32_min(hystart_growth(c, acked), c->ssthresh - c->cwnd);

        cc_set(c, c->cwnd + grow);
    } else {
        cc_set(c, cubic_acked(&c->cubic, c->cwnd, c->mss, acked, c->srtt_us, c->t->now));
    }
    send_buffer_grow(c);
}

/* RFC 9438 4.6. */
static uint32_t reduced(const struct tcp_conn *c)
{
    return u32_max((uint32_t)((uint64_t)c->cwnd * 7 / 10), 2 * (uint32_t)c->mss);
}

void cc_congestion(struct tcp_conn *c)
{
    cubic_congestion(&c->cubic, c->cwnd);
    c->ssthresh = reduced(c);
    c->hystart.done = true;
}

/* RFC 5681 3.1: ssthresh follows the first time-out only, and not the recovery that has failed; of
 * what might still be on its way nothing is sent again. */
void cc_timeout(struct tcp_conn *c)
{
    if (c->rtx_count <= 1 && !(c->flags & CF_RECOVERY))
        cc_congestion(c);
    c->cubic.epoch_at = 0;
    cc_set(c, c->pipe + c->mss);
}

/* RFC 4015 3, RFC 9438 4.9. */
void cc_undo(struct tcp_conn *c)
{
    cc_set(c, u32_max(c->cwnd, c->undo.cwnd));
    c->ssthresh = u32_max(c->ssthresh, c->undo.ssthresh);
    c->cubic = c->undo.cubic;
    c->hystart = c->undo.hystart;
}

/* RFC 5681 4.1: after an idle RTO the old window says nothing about the path. */
void cc_restart(struct tcp_conn *c)
{
    c->cwnd = u32_min(c->cwnd, initial_window(c));
    c->cubic.epoch_at = 0;
    hystart_begin(c);
}
