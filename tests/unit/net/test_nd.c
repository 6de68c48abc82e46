/* Neighbour discovery (RFC 4861), duplicate addresses (RFC 4862 5.4), listener reports (RFC 3810).
 */
#include "bed.h"

#include <string.h>

static const uint8_t mac_liar[6] = {0x02, 0, 0, 0, 0x66, 0x66};

#define SOLICITED 0x40
#define OVERRIDE  0x20
#define OUR_GROUP "ff02::1:ff00:1" /* of fd00:10::1 and 2001:db8:20::1 */

/* The frame ends in that counter and nothing comes of it. */
#define assert_ends(side, f, name)                                                                 \
    do {                                                                                           \
        uint64_t before_ = counted(name);                                                          \
        wire((side), (f));                                                                         \
        assert_count_(#name, counted(name), before_ + 1);                                          \
        nothing_sent();                                                                            \
    } while (0)

static void send_to(const char *dst)
{
    struct net_addr src = a6(OUR_OUT6), to = a6(dst);

    net_send_tcp(bed.n, NET_OUTSIDE, &src, &to, tcp_mbuf(50000, 443, 10));
    net_flush(bed.n);
}

static bool is_nd(const struct frame *f, unsigned type, const char *target)
{
    return get16(f->b + 12) == 0x86dd && f->b[IP + 6] == IPPROTO_ICMPV6 && f->b[L46] == type &&
           memcmp(f->b + L46 + 8, a6(target).b, 16) == 0;
}

/* Every message of ours: hop limit 255, code 0, our MAC as its option (or none from ::). */
static void check_form(enum net_side side, const struct frame *f)
{
    bool bare = memcmp(f->b + IP + 8, a6("::").b, 16) == 0;

    assert_int_equal(f->b[IP + 7], 255);
    assert_int_equal(f->b[L46 + 1], 0);
    assert_int_equal(f->n, L46 + (bare ? 24 : 32));
    if (bare)
        return;
    assert_int_equal(f->b[L46 + 24], f->b[L46] == 135 ? 1 : 2);
    assert_int_equal(f->b[L46 + 25], 1);
    assert_memory_equal(f->b + L46 + 26, bed_mac(side), 6);
}

static void answer_from(const uint8_t *mac, const char *host, unsigned flags)
{
    struct frame f = nd(NET_OUTSIDE, host, OUR_OUT6, 136, flags, host, mac);

    wire(NET_OUTSIDE, &f);
}

static void goes_to(const uint8_t *mac)
{
    struct frame r;

    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_int_equal(r.b[IP + 6], IPPROTO_TCP);
    assert_memory_equal(r.b, mac, 6);
}

/* ------------------------------------------------------------------ answering */

/* RFC 4861 7.2.4: to the asker alone, solicited, override; a router (4.4). */
static void answers_for_us(void **state)
{
    static const char *const to[] = {OUR_GROUP, OUR_IN6};
    struct frame f, r;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(to); i++) {
        f = nd(NET_INSIDE, CALLER6, to[i], 135, 0, OUR_IN6, mac_caller);
        wire(NET_INSIDE, &f);
        assert_true(sent(NET_INSIDE, &r));
        assert_true(is_nd(&r, 136, OUR_IN6));
        check_form(NET_INSIDE, &r);
        assert_memory_equal(r.b, mac_caller, 6);
        assert_int_equal(r.b[L46 + 4], 0x80 | SOLICITED | OVERRIDE);
        assert_memory_equal(r.b + IP + 8, a6(OUR_IN6).b, 16);
        assert_memory_equal(r.b + IP + 24, a6(CALLER6).b, 16);
        nothing_sent();
    }
    assert_counted(nd_received, 2);
    assert_counted(nd_adverts_sent, 2);
}

/* A unicast question may leave the option out (RFC 4861 4.3): the frame's sender is answered. */
static void answers_without_option(void **state)
{
    struct frame f = nd(NET_INSIDE, CALLER6, OUR_IN6, 135, 0, OUR_IN6, NULL), r;

    (void)state;
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_true(is_nd(&r, 136, OUR_IN6));
    assert_memory_equal(r.b, mac_caller, 6);
}

/* RFC 4291 appendix A; asked by a link-local address, as routers do. */
static void answers_for_link_local(void **state)
{
    const uint8_t *m = bed_mac(NET_OUTSIDE);
    char ours[64], group[64];
    struct frame f, r;

    (void)state;
    snprintf(ours, sizeof(ours), "fe80::%02x%02x:%02xff:fe%02x:%02x%02x", m[0] ^ 2, m[1], m[2],
             m[3], m[4], m[5]);
    snprintf(group, sizeof(group), "ff02::1:ff%02x:%02x%02x", m[3], m[4], m[5]);
    f = nd(NET_OUTSIDE, "fe80::fe", group, 135, 0, ours, mac_gateway);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 136, ours));
    assert_memory_equal(r.b + IP + 24, a6("fe80::fe").b, 16);
    f = icmp6(NET_OUTSIDE, "fe80::fe", ours, 128, 0, 1, "ping", 4);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r)); /* asks back, as the MAC was told in a question */
    assert_true(is_nd(&r, 135, "fe80::fe"));
    assert_true(sent(NET_OUTSIDE, &r));
    assert_int_equal(r.b[L46], 129);
}

/* RFC 4862 5.4.3 and RFC 4861 7.2.4: who asks whether our address is free is told, with all. */
static void defends(void **state)
{
    struct frame f = nd(NET_INSIDE, "::", OUR_GROUP, 135, 0, OUR_IN6, NULL), r;

    (void)state;
    memcpy(f.b + 6, mac_liar, 6);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_true(is_nd(&r, 136, OUR_IN6));
    check_form(NET_INSIDE, &r);
    assert_memory_equal(r.b, "\x33\x33\0\0\0\1", 6);
    assert_memory_equal(r.b + IP + 24, a6("ff02::1").b, 16);
    assert_int_equal(r.b[L46 + 4], 0x80 | OVERRIDE);
    assert_counted(address_conflicts, 0);
}

static void silent_for_others(void **state)
{
    struct frame f =
        nd(NET_INSIDE, CALLER6, "ff02::1:ff00:1", 135, 0, "fd00:10::100:1", mac_caller);

    (void)state;
    assert_ends(NET_INSIDE, &f, nd_received); /* the group is ours, the address is not */
    f = nd(NET_INSIDE, CALLER6, OUR_GROUP, 135, 0, OUR_OUT6, mac_caller); /* of the other side */
    assert_ends(NET_INSIDE, &f, nd_received);
    f = nd(NET_INSIDE, CALLER6, "ff02::1:ff00:2", 135, 0, "fd00:10::2", mac_caller);
    assert_ends(NET_INSIDE, &f, drop_not_our_mac);
}

/* ------------------------------------------------------------------ malformed */

enum of { NS, NA };

static struct frame start(enum of which)
{
    return which == NS
               ? nd(NET_OUTSIDE, NEAR6, OUR_GROUP, 135, 0, OUR_OUT6, mac_near)
               : nd(NET_OUTSIDE, NEAR6, OUR_OUT6, 136, SOLICITED | OVERRIDE, NEAR6, mac_near);
}

/* RFC 4861 7.1.1 and 7.1.2, each condition broken alone. */
static void malformed(void **state)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
    } changes[] = {{"hop limit 254", IP + 7, 254},
                   {"hop limit 1", IP + 7, 1},
                   {"code 1", L46 + 1, 1},
                   {"target multicast", L46 + 8, 0xff},
                   {"an option of no length", L46 + 25, 0},
                   {"an option beyond the message", L46 + 25, 2},
                   {"a group's MAC", L46 + 26, 0x03}};

    (void)state;
    for (size_t i = 0; i < RTE_DIM(changes); i++)
        for (enum of which = NS; which <= NA; which++) {
            struct frame f = start(which);
            uint64_t before = counted(drop_nd_bad);

            f.b[changes[i].at] = changes[i].value;
            fix6(&f);
            wire(NET_OUTSIDE, &f);
            if (counted(drop_nd_bad) != before + 1)
                fail_msg("%s: taken (%s)", changes[i].what, which == NS ? "NS" : "NA");
        }
    nothing_sent();
    assert_counted(nd_received, 0);
}

/* Every length but the right one. */
static void malformed_lengths(void **state)
{
    (void)state;
    for (enum of which = NS; which <= NA; which++)
        for (size_t n = 8; n < 32; n++) {
            struct frame f = start(which);

            if (n == 24) /* without the option: fine */
                continue;
            put16(f.b + IP + 4, (unsigned)n);
            f.n = L46 + n;
            fix6(&f);
            assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
        }
}

static void with_options(struct frame *f, const void *options, size_t n)
{
    memcpy(f->b + L46 + 24, options, n);
    f->n = L46 + 24 + n;
    put16(f->b + IP + 4, (unsigned)(24 + n));
    fix6(f);
}

static void options(void **state)
{
    static const struct {
        const char *what;
        size_t n;
        uint8_t b[32];
        bool good;
    } cases[] = {
        {"the address twice", 16, {1, 1, 2, 0, 0, 0, 1, 0x35, 1, 1, 2, 0, 0, 0, 1, 0x35}, false},
        {"an address of 14 bytes", 16, {1, 2, 2, 0, 0, 0, 1, 0x35}, false},
        {"half an option at the end", 9, {1, 1, 2, 0, 0, 0, 1, 0x35, 14}, false},
        {"a MAC of zeros", 8, {1, 1}, false},
        {"RFC 3971: a nonce, then the address",
         16,
         {14, 1, 9, 9, 9, 9, 9, 9, 1, 1, 2, 0, 0, 0, 1, 0x35},
         true},
        {"unknown, then the address",
         24,
         {253, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 0x35},
         true},
        {"a target's address in a question", 8, {2, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, true},
    };

    (void)state;
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        struct frame f = start(NS), r;
        bool answered;

        with_options(&f, cases[i].b, cases[i].n);
        wire(NET_OUTSIDE, &f);
        answered = sent(NET_OUTSIDE, &r);
        if (answered != cases[i].good)
            fail_msg("%s: %s", cases[i].what, answered ? "answered" : "refused");
    }
}

/* Long messages are looked at to a bound, in pieces too. */
static void long_messages(void **state)
{
    static const unsigned sizes[] = {100, 7, 300, 1};
    uint8_t many[1400] = {0};
    struct frame f = start(NS), r;

    (void)state;
    for (size_t i = 0; i < sizeof(many); i += 8) {
        many[i] = 253;
        many[i + 1] = 1;
    }
    with_options(&f, many, 1280 - 24);
    wire_split(NET_OUTSIDE, &f, sizes, 4);
    assert_true(sent(NET_OUTSIDE, &r));
    with_options(&f, many, 1288 - 24);
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
}

static void who_may_say_it(void **state)
{
    struct frame f;

    (void)state;
    f = nd(NET_OUTSIDE, "::", OUR_GROUP, 135, 0, OUR_OUT6, mac_near); /* 7.1.1: :: has no MAC */
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = nd(NET_OUTSIDE, "::", "ff02::1", 135, 0, OUR_OUT6, NULL); /* 7.1.1: only to the group */
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = nd(NET_OUTSIDE, "::", OUR_OUT6, 135, 0, OUR_OUT6, NULL);
    assert_ends(NET_OUTSIDE, &f, drop_ip_source);
    f = nd(NET_OUTSIDE, VENDOR6, OUR_OUT6, 135, 0, OUR_OUT6, mac_liar); /* off the link */
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = nd(NET_OUTSIDE, VENDOR6, OUR_OUT6, 136, SOLICITED, NEAR6, mac_liar);
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = nd(NET_OUTSIDE, NEAR6, "ff02::1", 136, SOLICITED | OVERRIDE, NEAR6, mac_near); /* 7.1.2 */
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = nd(NET_OUTSIDE, OUR_OUT6, "ff02::1", 136, OVERRIDE, NEAR6, mac_liar); /* in our name */
    assert_ends(NET_OUTSIDE, &f, drop_nd_bad);
    f = start(NS);
    f.b[L46 + 3] ^= 1;
    assert_ends(NET_OUTSIDE, &f, drop_icmp_bad);
}

/* RFC 6980 5: nothing behind a Fragment header; nor behind any other. */
static void behind_extension_headers(void **state)
{
    static const uint8_t kinds[] = {44, 60, 0};

    (void)state;
    for (size_t i = 0; i < RTE_DIM(kinds); i++) {
        struct frame f = start(NS), g = f;

        memset(g.b + L46, 0, 8);
        g.b[L46] = IPPROTO_ICMPV6;
        memcpy(g.b + L46 + 8, f.b + L46, f.n - L46);
        g.b[IP + 6] = kinds[i];
        g.n += 8;
        put16(g.b + IP + 4, (unsigned)(g.n - L46));
        assert_ends(NET_OUTSIDE, &g, drop_nd_bad);
    }
}

/* Routes are given by hand. */
static void routers_are_not_listened_to(void **state)
{
    static const unsigned types[] = {133, 134, 137};
    uint8_t body[40] = {0};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(types); i++) {
        f = icmp6(NET_OUTSIDE, "fe80::fe", "ff02::1", types[i], 0, 0, body, sizeof(body));
        f.b[IP + 7] = 255;
        assert_ends(NET_OUTSIDE, &f, drop_icmp_other);
        f = icmp6(NET_OUTSIDE, "fe80::fe", OUR_OUT6, types[i], 0, 0, body, sizeof(body));
        f.b[IP + 7] = 255;
        assert_ends(NET_OUTSIDE, &f, drop_icmp_other);
    }
}

/* --------------------------------------------------------------------- asking */

/* RFC 4861 7.2.2, 4.3: to the solicited-node group, from our address on that link. */
static void resolves_and_sends_what_waited(void **state)
{
    struct frame r;

    (void)state;
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    check_form(NET_OUTSIDE, &r);
    assert_memory_equal(r.b, "\x33\x33\xff\x00\x00\x53", 6);
    assert_memory_equal(r.b + IP + 8, a6(OUR_OUT6).b, 16);
    assert_memory_equal(r.b + IP + 24, a6("ff02::1:ff00:53").b, 16);
    send_to(NEAR6);
    nothing_sent(); /* asked already */
    answer_from(mac_near, NEAR6, SOLICITED | OVERRIDE);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(sent(NET_OUTSIDE, &r));
        assert_memory_equal(r.b, mac_near, 6);
        assert_int_equal(get16(r.b + 12), 0x86dd);
    }
    goes_to(mac_near);
    assert_counted(nd_solicits_sent, 1);
}

static void far_goes_by_the_gateway(void **state)
{
    struct frame r;

    (void)state;
    send_to(VENDOR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, GATEWAY6));
    answer_from(mac_gateway, GATEWAY6, SOLICITED | OVERRIDE | 0x80);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_gateway, 6);
}

/* RFC 4861 10: three questions, a second apart; then what waits is dropped, and the next packet
 * asks anew. */
static void gives_up(void **state)
{
    struct frame r;
    unsigned asked = 0;

    (void)state;
    for (unsigned i = 0; i < NEIGH_PENDING + 3; i++)
        send_to(NEAR6);
    assert_counted(drop_nd_unresolved, 3);
    run(10 * US_IN_S);
    while (sent(NET_OUTSIDE, &r))
        asked += is_nd(&r, 135, NEAR6);
    assert_int_equal(asked, 3);
    assert_counted(drop_nd_unresolved, 3 + NEIGH_PENDING);
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    assert_counted(drop_arp_unresolved, 0);
}

/* RFC 4861 7.2.5: an answer without a MAC resolves nothing. */
static void answer_without_option(void **state)
{
    struct frame r, f = nd(NET_OUTSIDE, NEAR6, OUR_OUT6, 136, SOLICITED, NEAR6, NULL);

    (void)state;
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_ends(NET_OUTSIDE, &f, nd_received);
    answer_from(mac_near, NEAR6, SOLICITED);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
}

/* 7.2.5: what nobody has asked for makes no entry, and changes none. */
static void unasked_is_not_believed(void **state)
{
    struct frame r;

    (void)state;
    answer_from(mac_liar, NEAR6, SOLICITED | OVERRIDE);
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6)); /* so it had not been learnt */
    answer_from(mac_near, NEAR6, SOLICITED | OVERRIDE);
    assert_true(sent(NET_OUTSIDE, &r));
    answer_from(mac_liar, NEAR6,
                SOLICITED | OVERRIDE); /* nor does a second one replace the first */
    goes_to(mac_near);
}

/* An unasked answer while we ask is used, but asked back (7.2.5: STALE). */
static void unsolicited_while_asking(void **state)
{
    struct frame r;

    (void)state;
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    answer_from(mac_near, NEAR6, OVERRIDE);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    assert_memory_equal(r.b, mac_near, 6); /* the neighbour alone */
    assert_memory_equal(r.b + IP + 24, a6(NEAR6).b, 16);
    assert_true(sent(NET_OUTSIDE, &r));
}

/* A router's failover: an announcement with another MAC makes us ask everybody, the answer decides.
 * Without the override flag it is a proxy's, and the owner's stays (7.2.5). */
static void announcement_makes_us_ask(void **state)
{
    struct frame f = nd(NET_OUTSIDE, NEAR6, "ff02::1", 136, OVERRIDE, NEAR6, mac_liar), r;
    uint64_t before;

    (void)state;
    introduce6();
    run(2 * US_IN_S);
    before = counted(nd_solicits_sent);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    assert_memory_equal(r.b, "\x33\x33\xff\x00\x00\x53", 6);
    goes_to(mac_near);                       /* meanwhile the old one */
    answer_from(mac_liar, NEAR6, SOLICITED); /* no override */
    goes_to(mac_near);
    answer_from(mac_liar, NEAR6, SOLICITED | OVERRIDE);
    goes_to(mac_liar);
    assert_counted(nd_solicits_sent, before + 1);
}

/* 7.2.3: the asker's pair is used at once, and asked back at its first use. */
static void asker_is_learnt(void **state)
{
    struct frame f = nd(NET_OUTSIDE, NEAR6, OUR_GROUP, 135, 0, OUR_OUT6, mac_near), r;

    (void)state;
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    answer_from(mac_near, NEAR6, SOLICITED);
    goes_to(mac_near);
    f = nd(NET_OUTSIDE, NEAR6, OUR_GROUP, 135, 0, OUR_OUT6, mac_liar); /* its card was changed */
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_liar, 6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_liar, 6);
}

/* After 30 s (REACHABLE_TIME) an entry in use is asked again, first its owner alone. */
static void stale_is_asked_again(void **state)
{
    struct frame r;

    (void)state;
    introduce6();
    run(31 * US_IN_S);
    nothing_sent();
    send_to(NEAR6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_nd(&r, 135, NEAR6));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r)); /* the packet did not wait */
    run(4 * US_IN_S);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, "\x33\x33\xff\x00\x00\x53", 6); /* at last everybody */
    nothing_sent();
}

/* ------------------------------------------------------------------- our own */

/* RFC 4862 5.4.2 and RFC 4861 7.2.6 for each address, the link-local one too; RFC 3810 before. */
static void announces(void **state)
{
    struct frame r;
    unsigned asked = 0, told = 0, reports = 0;

    (void)state;
    net_announce(bed.n);
    net_flush(bed.n);
    while (sent(NET_INSIDE, &r)) {
        if (get16(r.b + 12) != 0x86dd)
            continue;
        if (r.b[IP + 6] == 0) {
            assert_int_equal(r.b[IP + 7], 1);
            assert_memory_equal(r.b, "\x33\x33\0\0\0\x16", 6);
            assert_int_equal(r.b[IP + 8], 0xfe);
            assert_memory_equal(r.b + L46, "\x3a\0\x05\x02\0\0", 6);
            assert_int_equal(r.b[L46 + 8], 143);
            assert_int_equal(get16(r.b + L46 + 14), 2);
            assert_memory_equal(r.b + L46 + 20, a6(OUR_GROUP).b, 16);
            reports++;
            continue;
        }
        check_form(NET_INSIDE, &r);
        if (r.b[L46] == 135) {
            assert_memory_equal(r.b + IP + 8, a6("::").b, 16);
            asked++;
        } else {
            assert_int_equal(r.b[L46 + 4], 0x80 | OVERRIDE);
            assert_memory_equal(r.b, "\x33\x33\0\0\0\x01", 6);
            assert_memory_equal(r.b + IP + 8, r.b + L46 + 8, 16);
            told++;
        }
    }
    assert_int_equal(asked, 2);
    assert_int_equal(told, 2);
    assert_int_equal(reports, 1);
}

/* RFC 4862 5.4.4: somebody has our address. It stays ours; it is counted and told. */
static void conflict(void **state)
{
    struct frame f = nd(NET_INSIDE, OUR_IN6, "ff02::1", 136, OVERRIDE, OUR_IN6, mac_liar), r;

    (void)state;
    net_announce(bed.n);
    net_flush(bed.n);
    while (sent(NET_INSIDE, &r) || sent(NET_OUTSIDE, &r))
        ;
    assert_ends(NET_INSIDE, &f, address_conflicts);
    f = nd(NET_INSIDE, CALLER6, OUR_IN6, 136, SOLICITED, OUR_IN6, mac_liar);
    assert_ends(NET_INSIDE, &f, address_conflicts);
    assert_true(bed.n->conflict.fresh);
    run(US_IN_S); /* the log has it */
    assert_false(bed.n->conflict.fresh);
    wire(NET_INSIDE, &f);
    assert_counted(address_conflicts, 3);
    assert_false(bed.n->conflict.fresh); /* once in a while is enough */
    run(10 * US_IN_S);
    wire(NET_INSIDE, &f);
    assert_true(bed.n->conflict.fresh);
    f = nd(NET_INSIDE, CALLER6, OUR_GROUP, 135, 0, OUR_IN6, mac_caller);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r)); /* still answered */
}

/* ------------------------------------------------------------------- listeners */

static struct frame query(const char *src, unsigned delay_ms, bool alert)
{
    uint8_t b[8 + 28] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0, 130};
    uint8_t *q = b + (alert ? 0 : 8);
    struct frame f;

    put16(b + 12, delay_ms);
    f = ip6(NET_OUTSIDE, src, "ff02::1", alert ? 0 : IPPROTO_ICMPV6, q, alert ? 36 : 28);
    f.b[IP + 7] = 1;
    q = f.b + L46 + (alert ? 8 : 0);
    put16(q + 2, 0);
    put16(q + 2, sum6(&f, alert ? 8 : 0));
    return f;
}

/* RFC 3810 6.2: within the time that the querier gives, once. */
static void querier_is_answered(void **state)
{
    struct frame f = query("fe80::fe", 1000, true), r;

    (void)state;
    wire(NET_OUTSIDE, &f);
    wire(NET_OUTSIDE, &f);
    assert_counted(mld_received, 2);
    run(1001 * US_IN_MS);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_int_equal(r.b[L46 + 8], 143);
    assert_int_equal(r.b[L46 + 16], 2); /* the state, not a change */
    nothing_sent();
    f = query("fe80::fe", 1000, false); /* no router alert */
    assert_ends(NET_OUTSIDE, &f, drop_icmp_bad);
    f = query(NEAR6, 1000, true);
    assert_ends(NET_OUTSIDE, &f, drop_icmp_bad);
    f = query("fe80::fe", 1000, true);
    f.b[IP + 7] = 2;
    assert_ends(NET_OUTSIDE, &f, drop_icmp_bad);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(answers_for_us),
        t(answers_without_option),
        t(answers_for_link_local),
        t(defends),
        t(silent_for_others),
        t(malformed),
        t(malformed_lengths),
        t(options),
        t(long_messages),
        t(who_may_say_it),
        t(behind_extension_headers),
        t(routers_are_not_listened_to),
        t(resolves_and_sends_what_waited),
        t(far_goes_by_the_gateway),
        t(gives_up),
        t(answer_without_option),
        t(unasked_is_not_believed),
        t(unsolicited_while_asking),
        t(announcement_makes_us_ask),
        t(asker_is_learnt),
        t(stale_is_asked_again),
        t(announces),
        t(conflict),
        t(querier_is_answered),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
