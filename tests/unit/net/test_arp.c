/* Neighbours: what is answered, what is believed, what waits, what is given up. */
#include "bed.h"

#include <string.h>

static const uint8_t mac_liar[6] = {0x02, 0, 0, 0, 0x66, 0x66};

/* A segment to a vendor's neighbour on the outside link. */
static void send_to(uint32_t dst)
{
    struct net_addr src = net_addr_v4(OUR_OUT), to = net_addr_v4(dst);

    net_send_tcp(bed.n, NET_OUTSIDE, &src, &to, tcp_mbuf(50000, 443, 10));
    net_flush(bed.n);
}

static bool is_request(const struct frame *f, uint32_t spa, uint32_t tpa)
{
    return get16(f->b + 12) == 0x0806 && get16(f->b + ETH + 6) == 1 &&
           get32(f->b + ETH + 14) == spa && get32(f->b + ETH + 24) == tpa;
}

static void reply_from(const uint8_t *mac, uint32_t spa)
{
    struct frame f = arp(NET_OUTSIDE, 2, mac, spa, bed_mac(NET_OUTSIDE), OUR_OUT);

    wire(NET_OUTSIDE, &f);
}

static void answers_for_us(void **state)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN), r;

    (void)state;
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r));
    assert_memory_equal(r.b, mac_caller, 6);
    assert_int_equal(get16(r.b + ETH + 6), 2);
    assert_memory_equal(r.b + ETH + 8, bed_mac(NET_INSIDE), 6);
    assert_int_equal(get32(r.b + ETH + 14), OUR_IN);
    assert_memory_equal(r.b + ETH + 18, mac_caller, 6);
    assert_int_equal(get32(r.b + ETH + 24), CALLER);
    nothing_sent();
}

/* RFC 5227: a host that asks whether its address is free is answered, and not remembered. */
static void answers_a_probe(void **state)
{
    struct frame f = arp(NET_OUTSIDE, 1, mac_near, 0, NULL, OUR_OUT), r;

    (void)state;
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_int_equal(get16(r.b + ETH + 6), 2);
}

/* RFC 5227 3: each of our addresses, to everybody, asked for by itself. */
static void announces(void **state)
{
    struct frame r;

    (void)state;
    net_announce(bed.n);
    net_flush(bed.n);
    assert_true(sent(NET_INSIDE, &r));
    assert_true(is_request(&r, OUR_IN, OUR_IN));
    assert_memory_equal(r.b, "\xff\xff\xff\xff\xff\xff", 6);
    assert_memory_equal(r.b + ETH + 8, bed_mac(NET_INSIDE), 6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, OUR_OUT));
}

static void silent_for_others(void **state)
{
    struct frame f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN + 1);

    (void)state;
    wire(NET_INSIDE, &f);
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_OUT); /* of the other side */
    wire(NET_INSIDE, &f);
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, CALLER); /* gratuitous */
    wire(NET_INSIDE, &f);
    nothing_sent();
    assert_counted(arp_received, 3);
}

static void malformed(void **state)
{
    static const struct {
        unsigned at, value;
    } change[] = {{ETH, 6},          {ETH + 2, 0x86dd}, {ETH + 4, 0x0604 + 1},
                  {ETH + 4, 0x0804}, {ETH + 6, 3},      {ETH + 6, 0}};
    struct frame f;
    unsigned n = 0;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(change); i++) {
        f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN);
        put16(f.b + change[i].at, change[i].value);
        wire(NET_INSIDE, &f);
        assert_counted(drop_arp_bad, ++n);
    }
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN);
    f.n = ETH + 27;
    wire(NET_INSIDE, &f);
    assert_counted(drop_arp_bad, ++n);
    f = arp(NET_INSIDE, 1, mac_caller, CALLER, NULL, OUR_IN);
    f.b[ETH + 8 + 5] ^= 1; /* the message names another MAC than the frame */
    wire(NET_INSIDE, &f);
    assert_counted(drop_arp_bad, ++n);
    f = arp(NET_INSIDE, 1, mac_caller, OUR_IN, NULL, OUR_IN); /* somebody is us */
    wire(NET_INSIDE, &f);
    assert_counted(drop_arp_bad, ++n);
    f = arp(NET_INSIDE, 1, mac_caller, VENDOR, NULL, OUR_IN); /* off the link */
    wire(NET_INSIDE, &f);
    assert_counted(drop_arp_bad, ++n);
    f = arp(NET_INSIDE, 1, mac_caller, 0x0a0a00ff, NULL, OUR_IN); /* a broadcast address */
    wire(NET_INSIDE, &f);
    assert_counted(drop_arp_bad, ++n);
    nothing_sent();
}

static void resolves_and_sends_what_waited(void **state)
{
    struct frame r;

    (void)state;
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, NEAR_OUT));
    assert_memory_equal(r.b, mac_all, 6);
    send_to(NEAR_OUT);
    nothing_sent(); /* asked already */
    reply_from(mac_near, NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r));
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_counted(arp_requests_sent, 1);
}

static void far_goes_by_the_gateway(void **state)
{
    struct frame r;

    (void)state;
    send_to(VENDOR);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, GATEWAY));
    reply_from(mac_gateway, GATEWAY);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_gateway, 6);
    assert_int_equal(get32(r.b + IP + 16), VENDOR);
}

static void few_wait(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NEIGH_PENDING + 3; i++)
        send_to(NEAR_OUT);
    assert_counted(drop_arp_unresolved, 3);
}

static void gives_up(void **state)
{
    struct frame r;
    unsigned asked = 0;

    (void)state;
    send_to(NEAR_OUT);
    run(10 * US_IN_S);
    while (sent(NET_OUTSIDE, &r))
        asked += is_request(&r, OUR_OUT, NEAR_OUT);
    assert_int_equal(asked, 3);
    assert_counted(drop_arp_unresolved, 1);
    send_to(NEAR_OUT); /* and asks anew when somebody wants it */
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, NEAR_OUT));
}

/* While a failure is fresh, nobody waits and nobody is asked. */
static void failure_is_remembered_for_a_second(void **state)
{
    struct frame r;

    (void)state;
    send_to(NEAR_OUT);
    run(3 * US_IN_S + 500 * US_IN_MS);
    while (sent(NET_OUTSIDE, &r))
        ;
    send_to(NEAR_OUT);
    nothing_sent();
    assert_counted(drop_arp_unresolved, 2);
}

static void unasked_reply_is_not_believed(void **state)
{
    struct frame r;

    (void)state;
    reply_from(mac_liar, NEAR_OUT);
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, NEAR_OUT)); /* so it had not been learnt */
    reply_from(mac_near, NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    reply_from(mac_liar, NEAR_OUT); /* nor does a second one replace the first */
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
}

/* A contradicting announcement makes us ask everybody; the owner's answer decides. */
static void announcement_makes_us_ask(void **state)
{
    struct frame f = arp(NET_OUTSIDE, 1, mac_liar, NEAR_OUT, NULL, NEAR_OUT), r;

    (void)state;
    introduce();
    run(2 * US_IN_S);
    wire(NET_OUTSIDE, &f);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, NEAR_OUT));
    assert_memory_equal(r.b, mac_all, 6);
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6); /* meanwhile the old one */
    reply_from(mac_liar, NEAR_OUT);
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_liar, 6);
    assert_counted(arp_requests_sent, 1);
}

static void asker_is_learnt(void **state)
{
    struct frame r;

    (void)state;
    introduce();
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_counted(arp_requests_sent, 0);
}

/* After 30 s an entry in use is asked again, first its owner alone. */
static void stale_is_asked_again(void **state)
{
    struct frame r;

    (void)state;
    introduce();
    run(31 * US_IN_S);
    nothing_sent();
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_true(is_request(&r, OUR_OUT, NEAR_OUT));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r)); /* the packet did not wait */
    run(4 * US_IN_S);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_all, 6); /* at last everybody */
    nothing_sent();
}

static void unused_is_forgotten(void **state)
{
    struct frame r;

    (void)state;
    introduce();
    run(331 * US_IN_S);
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_all, 6);
    nothing_sent();
}

/* Made-up askers push out each other, not the neighbours in use. */
static void flood_of_askers(void **state)
{
    struct frame f, r;

    (void)state;
    bed.n->face[NET_INSIDE].local[0].range = net_range_of(
        &(struct net_prefix){net_addr_v4(OUR_IN), 96 + 8}); /* a wide link, for many hosts */
    introduce();
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    for (uint32_t i = 0; i < 5 * NEIGH_MAX; i++) {
        f = arp(NET_INSIDE, 1, mac_liar, 0x0a500000 + i * 7, NULL, OUR_IN);
        wire(NET_INSIDE, &f);
        assert_true(sent(NET_INSIDE, &r));
    }
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_memory_equal(r.b, mac_near, 6);
    f = icmp(NET_INSIDE, 0x0a500000 + (5 * NEIGH_MAX - 1) * 7, OUR_IN, 8, 0, 1, "ping", 4);
    wire(NET_INSIDE, &f);
    assert_true(sent(NET_INSIDE, &r)); /* the newest of them is known */
    assert_memory_equal(r.b, mac_liar, 6);
}

/* Many unanswered next hops at once: bounded, counted, and recovering. */
static void table_is_bounded(void **state)
{
    struct frame r;

    (void)state;
    bed.n->face[NET_OUTSIDE].local[0].range =
        net_range_of(&(struct net_prefix){net_addr_v4(OUR_OUT), 96 + 8});
    for (uint32_t i = 0; i < NEIGH_MAX + 10; i++) {
        send_to(0x0a600000 + i);
        while (sent(NET_OUTSIDE, &r))
            ;
    }
    assert_counted(drop_neighbours_full, 10);
    for (unsigned i = 0; i < 200; i++) { /* the wire takes what we ask */
        run(50 * US_IN_MS);
        while (sent(NET_OUTSIDE, &r))
            ;
    }
    send_to(NEAR_OUT);
    assert_true(sent(NET_OUTSIDE, &r));
    assert_counted(drop_neighbours_full, 10);
}

#define t(f) cmocka_unit_test_setup_teardown(f, bed_fresh, bed_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(answers_for_us),
        t(answers_a_probe),
        t(announces),
        t(silent_for_others),
        t(malformed),
        t(resolves_and_sends_what_waited),
        t(far_goes_by_the_gateway),
        t(few_wait),
        t(gives_up),
        t(failure_is_remembered_for_a_second),
        t(unasked_reply_is_not_believed),
        t(announcement_makes_us_ask),
        t(asker_is_learnt),
        t(stale_is_asked_again),
        t(unused_is_forgotten),
        t(flood_of_askers),
        t(table_is_bounded),
    };

    return cmocka_run_group_tests(tests, bed_start, bed_stop);
}
