/* Addresses: text to bytes and back, prefixes. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/net.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool net_addr_is_v4(const struct net_addr *a)
{
    return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

struct net_addr net_addr_v4(uint32_t host_order)
{
    struct net_addr a;
    uint32_t be = htonl(host_order);

    memcpy(a.b, v4_mapped, sizeof(v4_mapped));
    memcpy(a.b + 12, &be, sizeof(be));
    return a;
}

uint32_t net_addr_to_v4(const struct net_addr *a)
{
    uint32_t be;

    memcpy(&be, a->b + 12, sizeof(be));
    return ntohl(be);
}

bool net_addr_parse(struct span text, struct net_addr *out)
{
    char s[NET_ADDR_TEXT];
    struct in_addr v4;
    struct in6_addr v6;

    if (text.n == 0 || text.n >= sizeof(s) || memchr(text.p, '\0', text.n))
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    if (inet_pton(AF_INET, s, &v4) == 1) {
        *out = net_addr_v4(ntohl(v4.s_addr));
        return true;
    }
    if (inet_pton(AF_INET6, s, &v6) == 1) {
        memcpy(out->b, v6.s6_addr, sizeof(out->b));
        return true;
    }
    return false;
}

bool net_prefix_parse(struct span text, struct net_prefix *out)
{
    struct span addr = span_cut(&text, '/');
    struct net_prefix p;
    uint64_t bits;
    bool v4;

    if (!net_addr_parse(addr, &p.addr))
        return false;
    v4 = net_addr_is_v4(&p.addr) && !memchr(addr.p, ':', addr.n);
    if (!text.p)
        bits = v4 ? 32 : 128;
    else if (text.n > 3 || (text.n > 1 && text.p[0] == '0') || !span_u64(text, &bits))
        return false;
    if (bits > (v4 ? 32 : 128))
        return false;
    p.bits = (uint8_t)(bits + (v4 ? 96 : 0));
    *out = p;
    return true;
}

const char *net_prefix_unfit(const struct net_prefix *p)
{
    const uint8_t *b = p->addr.b;

    if (net_addr_is_v4(&p->addr))
        return p->bits < 96 ? "an IPv4 address is written as 10.10.0.1/24" : NULL;
    if (b[0] == 0xff)
        return "this is a multicast address";
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        return "link-local addresses are not given: each port with an IPv6 address has its own";
    if (b[0] == 0) /* reserved, with ::1 and what stands for IPv4 in it (RFC 4291 2.4) */
        return "this IPv6 address cannot be a host's";
    return p->bits < 8 ? "an IPv6 prefix length is 8 to 128 here" : NULL;
}

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;

    if (memcmp(p->addr.b, a->b, whole) != 0)
        return false;
    return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}

/* Every record has two of these, and inet_ntop goes through sprintf. */
static void v4_text(const uint8_t b[4], char out[NET_ADDR_TEXT])
{
    struct outbuf o = outbuf_on(out, NET_ADDR_TEXT - 1);

    for (int i = 0; i < 4; i++) {
        if (i)
            outbuf_char(&o, '.');
        outbuf_u64(&o, b[i]);
    }
    out[o.n] = 0;
}

char *net_addr_text(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
    if (net_addr_is_v4(a))
        v4_text(a->b + 12, out);
    else
        inet_ntop(AF_INET6, a->b, out, NET_ADDR_TEXT);
    return out;
}
