/* mbufs that may be chains: one piece in front, cut ends, sums. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "net_internal.h"

/* Frees what the first `n` bytes stand in and returns what is left: NULL if nothing is. */
static struct rte_mbuf *cut_front(struct rte_mbuf *m, uint32_t n)
{
    while (m && n >= m->data_len) {
        struct rte_mbuf *next = m->next;

        n -= m->data_len;
        if (next) {
            next->pkt_len = m->pkt_len - m->data_len;
            next->nb_segs = (uint16_t)(m->nb_segs - 1);
        }
        m->next = NULL;
        m->nb_segs = 1;
        rte_pktmbuf_free_seg(m);
        m = next;
    }
    if (m) {
        m->data_off = (uint16_t)(m->data_off + n);
        m->data_len = (uint16_t)(m->data_len - n);
        m->pkt_len -= n;
    }
    return m;
}

struct rte_mbuf *mbuf_pullup(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t need)
{
    const uint64_t keep = RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK;
    struct rte_mbuf *h, *rest;

    if (m->data_len >= need)
        return m;
    h = rte_pktmbuf_alloc(pool);
    if (!h)
        return NULL;
    if (need > rte_pktmbuf_tailroom(h) || m->nb_segs >= RTE_MBUF_MAX_NB_SEGS) {
        rte_pktmbuf_free(h);
        return NULL;
    }
    rte_pktmbuf_read(m, 0, need, rte_pktmbuf_mtod(h, void *));
    h->data_len = need;
    h->pkt_len = need;
    h->ol_flags |= m->ol_flags & keep;
    rest = cut_front(m, need);
    if (rest) {
        h->next = rest;
        h->nb_segs = (uint16_t)(rest->nb_segs + 1);
        h->pkt_len += rest->pkt_len;
    }
    return h;
}

void mbuf_trim(struct rte_mbuf *m, uint32_t len)
{
    struct rte_mbuf *s = m;
    uint32_t left = len;
    uint16_t segs = 1;

    if (m->pkt_len <= len)
        return;
    while (left > s->data_len) {
        left -= s->data_len;
        s = s->next;
        segs++;
    }
    s->data_len = (uint16_t)left;
    rte_pktmbuf_free(s->next);
    s->next = NULL;
    m->pkt_len = len;
    m->nb_segs = segs;
}

struct rte_mbuf *mbuf_linear(struct rte_mempool *pool, struct rte_mbuf *m)
{
    struct rte_mbuf *l = rte_pktmbuf_alloc(pool);
    char *to;

    if (!l)
        return NULL;
    to = m->pkt_len <= UINT16_MAX ? rte_pktmbuf_append(l, (uint16_t)m->pkt_len) : NULL;
    if (!to) {
        rte_pktmbuf_free(l);
        return NULL;
    }
    for (const struct rte_mbuf *s = m; s; s = s->next) {
        memcpy(to, rte_pktmbuf_mtod(s, const char *), s->data_len);
        to += s->data_len;
    }
    l->ol_flags |= m->ol_flags & (RTE_MBUF_F_TX_OFFLOAD_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    l->tx_offload = m->tx_offload;
    rte_pktmbuf_free(m);
    return l;
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Sums 32 bits at a time in 64-bit lanes, whose carries are folded once at the end (RFC 1071 2).
 * The sum is much of what a packet costs here. */
#ifdef __SSE2__
/* A whole number of 64 bytes from `p`; moves it behind them. */
static uint64_t sum_blocks(const uint8_t **p, uint32_t *n)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i even = zero, odd = zero;
    uint64_t lane[2];

    for (; *n >= 64; *p += 64, *n -= 64) {
        for (unsigned i = 0; i < 4; i++) {
            __m128i x = _mm_loadu_si128((const __m128i *)*p + i);

            even = _mm_add_epi64(even, _mm_unpacklo_epi32(x, zero));
            odd = _mm_add_epi64(odd, _mm_unpackhi_epi32(x, zero));
        }
    }
    _mm_storeu_si128((__m128i *)lane, _mm_add_epi64(even, odd));
    return lane[0] + lane[1];
}
#else
static uint64_t sum_blocks(const uint8_t **p, uint32_t *n)
{
    uint64_t even = 0, odd = 0, w[4];

    for (; *n >= sizeof(w); *p += sizeof(w), *n -= (uint32_t)sizeof(w)) {
        memcpy(w, *p, sizeof(w));
        even +=
            (w[0] & 0xffffffff) + (w[1] & 0xffffffff) + (w[2] & 0xffffffff) + (w[3] & 0xffffffff);
        odd += (w[0] >> 32) + (w[1] >> 32) + (w[2] >> 32) + (w[3] >> 32);
    }
    return even + odd;
}
#endif

static uint16_t sum_bytes(const uint8_t *p, uint32_t n)
{
    uint64_t sum = sum_blocks(&p, &n), w;
    uint32_t half;

    for (; n >= sizeof(half); p += sizeof(half), n -= (uint32_t)sizeof(half)) {
        memcpy(&half, p, sizeof(half));
        sum += half;
    }
    if (n) {
        w = 0;
        memcpy(&w, p, n);
        sum += w;
    }
    return fold(sum);
}

/* Not rte_raw_cksum_mbuf: that of DPDK 22.11 loses carries when a segment starts at an odd place.
 */
uint16_t mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
    uint64_t sum = 0;
    uint32_t done = 0;

    for (; off >= m->data_len && m->next; m = m->next)
        off -= m->data_len;
    for (; m && done < len; m = m->next, off = 0) {
        uint32_t here = RTE_MIN(m->data_len - off, len - done);
        uint16_t part = sum_bytes(rte_pktmbuf_mtod_offset(m, const uint8_t *, off), here);

        sum += done % 2 ? rte_bswap16(part) : part;
        done += here;
    }
    return fold(sum);
}

uint16_t l4_cksum(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip)
{
    uint32_t len = rte_be_to_cpu_16(ip->total_length) - (uint32_t)sizeof(*ip);
    uint32_t sum = rte_ipv4_phdr_cksum(ip, 0);

    sum += mbuf_sum(m, sizeof(*ip), len);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

uint16_t l4_cksum6(const struct rte_mbuf *m, const struct rte_ipv6_hdr *ip, uint8_t protocol,
                   uint32_t off, uint32_t len)
{
    uint64_t sum = sum_bytes(ip->src_addr, sizeof(ip->src_addr) + sizeof(ip->dst_addr));

    sum += rte_cpu_to_be_16((uint16_t)len) + (uint64_t)rte_cpu_to_be_16(protocol);
    return (uint16_t)~fold(sum + mbuf_sum(m, off, len));
}

uint16_t cksum_update(uint16_t cksum, uint16_t old_word, uint16_t new_word)
{
    uint32_t sum = (uint16_t)~cksum + (uint32_t)(uint16_t)~old_word + new_word;

    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}
