/* HyStart++ (RFC 9406): slow start ends when round trips grow, before the path's queue overflows;
 * by way of five rounds of slower growth, in case it was only jitter. */
#include "tcp_internal.h"

#define SAMPLES    8u
#define THRESH_MIN 4000u
#define THRESH_MAX 16000u
#define DIVISOR    4u
#define CSS_ROUNDS 5u

void hystart_begin(struct tcp_conn *c)
{
    c->hystart = (struct tcp_hystart){.done = c->hystart.done};
}

static void round_begin(struct tcp_conn *c)
{
    struct tcp_hystart *h = &c->hystart;

    if (h->css_rounds && h->css_rounds++ >= CSS_ROUNDS) {
        c->ssthresh = c->cwnd;
        h->done = true;
    }
    h->started = true;
    h->last_us = h->now_us;
    h->now_us = UINT32_MAX;
    h->samples = 0;
    h->round_end = c->snd_nxt;
}

/* RFC 9406 4.2: the two comparisons. */
static void judge(struct tcp_hystart *h)
{
    uint32_t thresh;

    if (h->samples < SAMPLES || h->now_us == UINT32_MAX)
        return;
    if (h->css_rounds) {
        if (h->now_us < h->base_us)
            h->css_rounds = 0; /* it was spurious */
        return;
    }
    if (!h->last_us || h->last_us == UINT32_MAX)
        return;
    thresh = u32_min(u32_max(h->last_us / 8, THRESH_MIN), THRESH_MAX);
    if (h->now_us >= h->last_us + thresh) {
        h->base_us = h->now_us;
        h->css_rounds = 1;
    }
}

void hystart_sample(struct tcp_conn *c, uint32_t rtt_us)
{
    struct tcp_hystart *h = &c->hystart;

    if (h->done || c->cwnd >= c->ssthresh)
        return;
    if (!h->started || seq_leq(h->round_end, c->snd_una))
        round_begin(c);
    h->now_us = u32_min(h->now_us, rtt_us);
    if (h->samples < UINT8_MAX)
        h->samples++;
    judge(h);
}

uint32_t hystart_growth(struct tcp_conn *c, uint32_t acked)
{
    return c->hystart.css_rounds && !c->hystart.done ? acked / DIVISOR : acked;
}
