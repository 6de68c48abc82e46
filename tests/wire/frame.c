/* Reading and changing frames. Offsets are those of RFC 791, 792, 8200 and 4443. */
#include "badwire.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

enum {
    ETH = 14,
    IP4_LEAST = 20,
    IP6_LEN = 40,
    ICMP_HEAD = 8,
    IP4_QUOTE = 548, /* RFC 1812 4.3.2.3: no more than 576 bytes in all */
};

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t so_far)
{
    for (; len > 1; p += 2, len -= 2)
        so_far += get16(p);
    return len ? so_far + ((uint32_t)p[0] << 8) : so_far;
}

static uint32_t fold(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return ~s & 0xffff;
}

bool frame_ip(const struct frame *f, uint32_t *at, uint32_t *len)
{
    uint32_t room = f->len > ETH ? f->len - ETH : 0, type = room ? get16(f->data + 12) : 0;
    const uint8_t *ip = f->data + ETH;
    *at = ETH;
    if (type == ETHERTYPE_IP && room >= IP4_LEAST)
        *len = get16(ip + 2);
    else if (type == ETHERTYPE_IPV6 && room >= IP6_LEN)
        *len = get16(ip + 4) + IP6_LEN;
    else
        return false;
    return *len <= room && *len >= IP4_LEAST;
}

static bool is_v4(const struct frame *f)
{
    return get16(f->data + 12) == ETHERTYPE_IP;
}

bool frame_is_neighbour(const struct frame *f)
{
    uint32_t at, len;
    if (f->len >= ETH && get16(f->data + 12) == ETHERTYPE_ARP)
        return true;
    if (!frame_ip(f, &at, &len) || is_v4(f) || len <= IP6_LEN)
        return false;
    const uint8_t *ip = f->data + at;
    return ip[6] == IPPROTO_ICMPV6 && ip[IP6_LEN] >= 133 && ip[IP6_LEN] <= 137;
}

static bool header(const struct frame *f, uint32_t *at, uint32_t *len, uint32_t *head,
                   uint32_t *protocol)
{
    if (!frame_ip(f, at, len))
        return false;
    const uint8_t *ip = f->data + *at;
    *head = is_v4(f) ? 4u * (ip[0] & 15) : IP6_LEN;
    *protocol = is_v4(f) ? ip[9] : ip[6];
    return *head >= IP4_LEAST && *head <= *len;
}

/* One byte of the payload is changed: a burst of at most eight bits, which the Internet checksum
 * always finds. Two changes further apart could cancel out. */
bool frame_damage(struct frame *f, uint64_t random)
{
    uint32_t at, len, head, protocol;
    if (!header(f, &at, &len, &head, &protocol) || len == head)
        return false;
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP &&
        protocol != (is_v4(f) ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return false;
    uint8_t bits = (uint8_t)(1 + (random & 0xff) % 255);
    f->data[at + head + (random >> 8) % (len - head)] ^= bits;
    return true;
}

static void swap_ends(const struct frame *f, struct frame *answer)
{
    memcpy(answer->data, f->data + 6, 6);
    memcpy(answer->data + 6, f->data, 6);
    memcpy(answer->data + 12, f->data + 12, 2);
}

/* RFC 1122 3.2.2: not about errors, later fragments or what went to a group. */
static bool may_answer4(const struct frame *f, const uint8_t *ip, uint32_t head, uint32_t len)
{
    bool error = ip[9] == IPPROTO_ICMP && len > head && ip[head] != 0 && ip[head] != 8;
    return (ip[6] & 0x40) && !(get16(ip + 6) & 0x1fff) && !error && !(f->data[0] & 1) &&
           ip[16] < 224;
}

static void too_big4(const struct frame *f, uint32_t mtu, const uint8_t *source,
                     struct frame *answer, uint32_t len)
{
    const uint8_t *was = f->data + ETH;
    uint32_t quote = len < IP4_QUOTE ? len : IP4_QUOTE, total = IP4_LEAST + ICMP_HEAD + quote;
    uint8_t *ip = answer->data + ETH, *icmp = ip + IP4_LEAST;
    memset(ip, 0, IP4_LEAST + ICMP_HEAD);
    ip[0] = 0x45;
    put16(ip + 2, total);
    ip[8] = 64;
    ip[9] = IPPROTO_ICMP;
    memcpy(ip + 12, source ? source : was + 16, 4);
    memcpy(ip + 16, was + 12, 4);
    put16(ip + 10, fold(sum(ip, IP4_LEAST, 0)));
    icmp[0] = 3;
    icmp[1] = 4;
    put16(icmp + 6, mtu);
    memcpy(icmp + ICMP_HEAD, was, quote);
    put16(icmp + 2, fold(sum(icmp, ICMP_HEAD + quote, 0)));
    answer->len = ETH + total;
}

/* RFC 4443 2.4 (e): not about errors. Its exception for groups (e.3) would need an address of ours.
 */
static bool may_answer6(const struct frame *f, const uint8_t *ip)
{
    return !(ip[6] == IPPROTO_ICMPV6 && ip[IP6_LEN] < 128) && !(f->data[0] & 1);
}

static void too_big6(const struct frame *f, uint32_t mtu, const uint8_t *source,
                     struct frame *answer, uint32_t len)
{
    const uint8_t *was = f->data + ETH;
    uint32_t quote = len < WIRE_QUOTE6 ? len : WIRE_QUOTE6, size = ICMP_HEAD + quote;
    uint8_t *ip = answer->data + ETH, *icmp = ip + IP6_LEN;
    memset(ip, 0, IP6_LEN + ICMP_HEAD);
    ip[0] = 0x60;
    put16(ip + 4, size);
    ip[6] = IPPROTO_ICMPV6;
    ip[7] = 64;
    memcpy(ip + 8, source ? source : was + 24, 16);
    memcpy(ip + 24, was + 8, 16);
    icmp[0] = 2;
    put16(icmp + 6, mtu);
    memcpy(icmp + ICMP_HEAD, was, quote);
    uint32_t s = sum(ip + 8, 32, size + IPPROTO_ICMPV6);
    put16(icmp + 2, fold(sum(icmp, size, s)));
    answer->len = ETH + IP6_LEN + size;
}

bool frame_too_big(const struct frame *f, uint32_t mtu, const struct wire_options *o,
                   struct frame *answer)
{
    uint32_t at, len, head, protocol;
    if (!header(f, &at, &len, &head, &protocol))
        return false;
    const uint8_t *ip = f->data + at;
    if (is_v4(f) ? !may_answer4(f, ip, head, len) : !may_answer6(f, ip))
        return false;
    swap_ends(f, answer);
    if (is_v4(f))
        too_big4(f, mtu, o->has_source4 ? o->source4 : NULL, answer, len);
    else
        too_big6(f, mtu, o->has_source6 ? o->source6 : NULL, answer, len);
    return true;
}
