/* CUBIC (RFC 9438) in whole numbers: windows in bytes, times in milliseconds. C is 0.4 segments a
 * second cubed, beta is 0.7. */
#include "tcp_internal.h"

#define SPAN_MS 100000 /* further from K than this the curve only says "much more" */

uint32_t cubic_root(uint64_t n)
{
    uint64_t root = 0;

    for (int bit = 21; bit >= 0; bit--) {
        uint64_t next = root | UINT64_C(1) << bit;

        if (next <= 2642245 && next * next * next <= n) /* the cube of one more does not fit */
            root = next;
    }
    return (uint32_t)root;
}

/* 4.6 and 4.7: fast convergence. */
void cubic_congestion(struct tcp_cubic *q, uint32_t cwnd)
{
    q->w_prior = cwnd;
    q->w_max = cwnd < q->w_max ? (uint32_t)((uint64_t)cwnd * 17 / 20) : cwnd;
    q->epoch_at = 0;
}

/* 4.2: K is the cube root of (w_max - cwnd_epoch) / C. */
static void epoch_begin(struct tcp_cubic *q, uint32_t cwnd, uint32_t mss, uint64_t now)
{
    uint64_t below = q->w_max > cwnd ? q->w_max - cwnd : 0;

    q->epoch_at = q->grown_at = now;
    q->k_ms = cubic_root(below * 2500000000u / mss);
    if (!below)
        q->w_max = cwnd;
    q->w_est = cwnd;
    q->est_acked = 0;
    q->grow_part = 0;
}

/* 4.2, figure 1. */
static uint32_t w_cubic(const struct tcp_cubic *q, uint32_t mss, uint64_t t_ms)
{
    int64_t d = (int64_t)t_ms - q->k_ms;
    uint64_t a = d < 0 ? (uint64_t)-d : (uint64_t)d, bytes;

    if (a > SPAN_MS)
        a = SPAN_MS;
    bytes = a * a * a / 1000 * mss / 2500000;
    if (d < 0)
        return bytes < q->w_max ? q->w_max - (uint32_t)bytes : 0;
    return bytes < (1u << 30) - q->w_max ? q->w_max + (uint32_t)bytes : 1u << 30;
}

/* 4.3: what Reno would have, 9/17 of a segment a window until it has got back to w_prior, then one.
 */
static void est_acked(struct tcp_cubic *q, uint32_t cwnd, uint32_t mss, uint32_t acked)
{
    uint64_t need = q->w_est < q->w_prior ? (uint64_t)cwnd * 17 / 9 : cwnd;

    q->est_acked += acked;
    if (q->est_acked >= need) {
        q->est_acked -= (uint32_t)need;
        q->w_est += mss;
    }
}

/* 4.4, 4.5: towards the curve a round trip from now, at most half as much again in that time. */
static uint32_t towards(struct tcp_cubic *q, uint32_t cwnd, uint32_t target, uint32_t acked)
{
    uint32_t grow;

    target = u32_min(target, cwnd + cwnd / 2);
    if (target > cwnd)
        q->grow_part += (uint64_t)(target - cwnd) * acked;
    grow = (uint32_t)(q->grow_part / cwnd);
    q->grow_part %= cwnd;
    return cwnd + grow;
}

uint32_t cubic_acked(struct tcp_cubic *q, uint32_t cwnd, uint32_t mss, uint32_t acked,
                     uint32_t rtt_us, uint64_t now_us)
{
    uint64_t t_ms;

    if (!q->epoch_at)
        epoch_begin(q, cwnd, mss, now_us);
    q->grown_at = now_us;
    acked = u32_min(acked, cwnd);
    est_acked(q, cwnd, mss, acked);
    t_ms = (now_us - q->epoch_at) / 1000;
    if (w_cubic(q, mss, t_ms) < q->w_est)
        return u32_max(cwnd, q->w_est);
    return towards(q, cwnd, w_cubic(q, mss, t_ms + rtt_us / 1000), acked);
}

/* 5.8: the time in which the window was not what held us back does not count. */
void cubic_idle(struct tcp_cubic *q, uint64_t now_us)
{
    if (!q->epoch_at)
        return;
    q->epoch_at += now_us - q->grown_at;
    q->grown_at = now_us;
}
