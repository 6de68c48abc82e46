/* IPv6 extension headers (RFC 8200 4), strictly: what no honest host sends is refused, so that
 * nothing behind us can read a packet in another way than we do. */
#include "net_internal.h"

#include <netinet/in.h>

#define IP6_HEADER    40
#define NEXT_FIELD    6 /* of the IPv6 header */
#define OPTION_PAD1   0
#define OPTION_JUMBO  0xc2   /* RFC 2675 2 */
#define FRAGMENT_BITS 0xfff9 /* offset and M, not the two reserved bits */

static enum net_ip6_verdict bad(struct net_ip6_chain *c, uint32_t at)
{
    c->at = (uint16_t)at;
    c->tell = false;
    return NET_IP6_EXTENSION;
}

static enum net_ip6_verdict bad_told(struct net_ip6_chain *c, uint32_t at, enum net_tell what)
{
    c->at = (uint16_t)at;
    c->tell = true;
    c->what = what;
    return NET_IP6_EXTENSION;
}

/* RFC 8200 4.2: what an option that is not known wants is in its two high bits. We are not asked to
 * understand any option that forbids to go on, but for the jumbo payload's, which is refused. */
static enum net_ip6_verdict options(const uint8_t *b, uint32_t at, uint32_t end,
                                    struct net_ip6_chain *c)
{
    while (at < end) {
        uint32_t len = b[at] == OPTION_PAD1 ? 1 : at + 1 < end ? 2u + b[at + 1] : 256;

        if (len > end - at)
            return bad(c, at);
        if (b[at] == OPTION_JUMBO)
            return NET_IP6_JUMBO;
        if (b[at] >> 6 > 1)
            return bad_told(c, at, NET_TELL_BAD_OPTION);
        if (b[at] >> 6)
            return bad(c, at);
        at += len;
    }
    return NET_IP6_GOOD;
}

static enum net_ip6_verdict fragment(const uint8_t *b, uint32_t at, struct net_ip6_chain *c)
{
    if ((b[at + 2] << 8 | b[at + 3]) & FRAGMENT_BITS)
        return NET_IP6_FRAGMENT;
    if (c->fragment)
        return bad(c, at);
    c->fragment = true;
    return NET_IP6_GOOD;
}

/* RFC 5095 ended type 0; no other type is for us, and none is needed to cross. */
static enum net_ip6_verdict routing(const uint8_t *b, uint32_t at, struct net_ip6_chain *c)
{
    if (b[at + 3]) /* RFC 8200 4.4: segments left */
        bad_told(c, at + 2, NET_TELL_BAD_HEADER);
    return NET_IP6_ROUTING;
}

/* One extension header of `len` bytes at `at`. `field` is where its number stands. */
static enum net_ip6_verdict one(const uint8_t *b, uint32_t at, uint32_t len, uint32_t field,
                                struct net_ip6_chain *c)
{
    switch (b[field]) {
    case IPPROTO_HOPOPTS:
        if (at != IP6_HEADER) /* RFC 8200 4: first or not at all */
            return bad_told(c, field, NET_TELL_BAD_NEXT);
        return options(b, at + 2, at + len, c);
    case IPPROTO_DSTOPTS:
        return options(b, at + 2, at + len, c);
    case IPPROTO_ROUTING:
        return routing(b, at, c);
    default:
        return fragment(b, at, c);
    }
}

static bool is_extension(uint8_t number)
{
    return number == IPPROTO_HOPOPTS || number == IPPROTO_DSTOPTS || number == IPPROTO_ROUTING ||
           number == IPPROTO_FRAGMENT;
}

/* The chain is bounded in bytes, each header has 8 at least: so is the number of rounds. */
enum net_ip6_verdict net_ip6_walk(const uint8_t *b, uint32_t n, struct net_ip6_chain *c)
{
    uint32_t at = IP6_HEADER, field = NEXT_FIELD, len;
    enum net_ip6_verdict verdict;

    *c = (struct net_ip6_chain){0};
    while (is_extension(b[field])) {
        if (n < at + 8)
            return bad(c, at);
        len = b[field] == IPPROTO_FRAGMENT ? 8 : (b[at + 1] + 1u) * 8;
        if (len > n - at || at + len > IP6_HEADER + NET_IP6_CHAIN_MAX)
            return bad(c, at);
        verdict = one(b, at, len, field, c);
        if (verdict != NET_IP6_GOOD)
            return verdict;
        field = at;
        at += len;
    }
    c->protocol = b[field];
    c->len = (uint16_t)(at - IP6_HEADER);
    return c->protocol == IPPROTO_NONE ? NET_IP6_NO_NEXT : NET_IP6_GOOD;
}
