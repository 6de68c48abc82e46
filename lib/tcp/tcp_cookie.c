/* SYN cookies (RFC 4987 3.6): while too many handshakes are half open a SYN is answered without
 * keeping anything of it; what must be known of it later is in our sequence number and timestamp,
 * which the peer's ACK brings back.
 *
 *     our ISN        31     low bit of a counter of 64 s
 *                    30-28  class of the peer's MSS
 *                    27-0   keyed hash of 4-tuple, peer's ISN, counter, class and options
 *     our timestamp  31-5   the connection's clock
 *                    4      SACK permitted
 *                    3-0    the peer's window scale; 15: not offered
 *
 * Without timestamps there is no place for scale and SACK, so they are not agreed. The timestamp is
 * never ahead of the clock that the connection will use, so that it only ever moves on. Sixteen of
 * the 2^32 numbers are good at a time for a 4-tuple and a peer's ISN; where timestamps are used a
 * guess must also hit two minutes of a clock whose offset is secret. */
#include "tcp_hash.h"
#include "tcp_internal.h"

#define COOKIE_TICK     (UINT64_C(64) * US_IN_S)
#define COOKIE_LIFE     (2 * COOKIE_TICK) /* a cookie of the counter before is still good */
#define COOKIE_MAC      0x0fffffffu
#define COOKIE_OPTIONS  0x1fu
#define COOKIE_SACK     0x10u
#define COOKIE_NO_SCALE 0x0fu
#define COOKIE_NO_TS    0xffu /* instead of the options: none were kept */

/* What peers announce: the smallest at all, the two defaults, tunnels, IPv6, Ethernet, jumbo. */
static const uint16_t mss_classes[8] = {TCP_MSS_FLOOR, 536, 1220, 1360, 1400, 1440, 1460, 8940};

static uint32_t mss_class(uint32_t mss)
{
    uint32_t k = RTE_DIM(mss_classes) - 1;

    while (k && mss_classes[k] > mss)
        k--;
    return k;
}

static uint32_t cookie_isn(const struct tcp *t, const struct tcp_key *key, uint32_t peer_isn,
                           uint64_t tick, uint32_t mss, uint32_t options)
{
    struct tcp_words k = key_words(key);
    uint64_t w[TCP_KEY_WORDS + 2];

    memcpy(w, k.w, sizeof(k.w));
    w[TCP_KEY_WORDS] = tick;
    w[TCP_KEY_WORDS + 1] = (uint64_t)peer_isn << 32 | mss << 8 | options;
    return (uint32_t)(tick & 1) << 31 | mss << 28 |
           ((uint32_t)siphash(t->key_cookie, w, RTE_DIM(w), 2, 4) & COOKIE_MAC);
}

static uint32_t options_of(const struct tcp_in *syn)
{
    if (!syn->has_ts)
        return COOKIE_NO_TS;
    return (syn->sack_ok ? COOKIE_SACK : 0) |
           (syn->wscale >= 0 ? (uint32_t)syn->wscale : COOKIE_NO_SCALE);
}

/* The latest time not after now whose low bits are the options. */
static uint32_t timestamp_with(const struct tcp *t, const struct tcp_key *key, uint32_t options)
{
    uint32_t now = ts_clock(t, ts_offset_of(t, key));
    uint32_t ts = (now & ~COOKIE_OPTIONS) | (options & COOKIE_OPTIONS);

    return seq_leq(ts, now) ? ts : ts - COOKIE_OPTIONS - 1;
}

static uint32_t default_mss(const struct tcp_key *key)
{
    return addr_is_v4(&key->remote) ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
}

void cookie_send(struct tcp *t, const struct tcp_in *syn)
{
    uint32_t mss = mss_class(syn->mss ? syn->mss : default_mss(&syn->key));
    uint32_t options = options_of(syn);
    uint32_t iss = cookie_isn(t, &syn->key, syn->seq, t->now / COOKIE_TICK, mss, options);

    segment_send_cookie(t, syn, iss, syn->has_ts ? timestamp_with(t, &syn->key, options) : 0);
    t->cookies_until = t->now + COOKIE_LIFE;
    COUNT(t, syn_cookies_sent);
}

bool cookies_expected(const struct tcp *t)
{
    return t->now < t->cookies_until;
}

/* Is the segment the answer to a cookie of ours, the peer's first after its SYN? */
static bool cookie_good(const struct tcp *t, const struct tcp_in *s)
{
    uint32_t iss = s->ack - 1, age;
    uint64_t tick = t->now / COOKIE_TICK;

    if ((tick & 1) != iss >> 31)
        tick--;
    if (s->has_ts) {
        age = ts_clock(t, ts_offset_of(t, &s->key)) - s->tsecr;
        if (age > COOKIE_LIFE / US_IN_MS + COOKIE_OPTIONS)
            return false;
    }
    return iss == cookie_isn(t, &s->key, s->seq - 1, tick, iss >> 28 & 7,
                             s->has_ts ? s->tsecr & COOKIE_OPTIONS : COOKIE_NO_TS);
}

/* The SYN as far as it was kept. */
static struct tcp_in syn_of(const struct tcp_in *ack)
{
    struct tcp_in syn = {.key = ack->key,
                         .seq = ack->seq - 1,
                         .wnd = ack->wnd,
                         .flags = TH_SYN,
                         .mss = mss_classes[(ack->ack - 1) >> 28 & 7],
                         .wscale = -1,
                         .has_ts = ack->has_ts,
                         .tsval = ack->tsval};
    uint32_t options = ack->tsecr & COOKIE_OPTIONS;

    if (!ack->has_ts)
        return syn;
    syn.sack_ok = (options & COOKIE_SACK) != 0;
    if ((options & COOKIE_NO_SCALE) != COOKIE_NO_SCALE)
        syn.wscale = (int8_t)(options & COOKIE_NO_SCALE);
    return syn;
}

bool cookie_received(struct tcp *t, struct tcp_in *s, uint32_t hash)
{
    struct tcp_in syn = syn_of(s);
    struct tcp_conn *c;

    if (!cookie_good(t, s)) {
        COUNT(t, syn_cookies_bad);
        return false;
    }
    if (!room_for_conn(t))
        return true; /* the peer will send it again, or what follows it */
    COUNT(t, syn_cookies_ok);
    c = conn_open(t, &s->key, hash, s->ack - 1);
    c->state = TCP_SYN_RECEIVED;
    c->flags |= CF_PASSIVE | CF_UNACCEPTED;
    conn_agree_options(c, &syn);
    c->snd_nxt = c->snd_max = c->iss + 1; /* as if the SYN,ACK had been its own */
    c->rcv_acked = c->rcv_nxt;
    t->half_open++;
    input_conn(c, s);
    return true;
}
