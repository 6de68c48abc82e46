/* ARP (RFC 826): answers for our own addresses, questions for our next hops. What is believed is in
 * neigh.c; here is who may say it. */
#include "net_internal.h"

#include <rte_arp.h>

struct arp {
    enum net_side side;
    const struct rte_ether_hdr *eth;
    const struct rte_arp_hdr *hdr;
    struct net_addr spa, tpa; /* sender's and target's protocol address */
};

/* A frame with an ARP message for everybody (`to` NULL) or one host. NULL when there is no mbuf. */
static struct rte_mbuf *arp_frame(struct net *n, enum net_side side, uint16_t op,
                                  const struct net_addr *spa, const struct rte_ether_addr *to,
                                  const struct net_addr *tpa)
{
    static const struct rte_ether_addr all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
    struct rte_ether_hdr *eth;
    struct rte_arp_hdr *a;

    if (!m)
        return NULL;
    eth = (void *)rte_pktmbuf_append(m, sizeof(*eth) + sizeof(*a));
    a = (void *)(eth + 1);
    eth->dst_addr = to ? *to : all;
    eth->src_addr = n->face[side].mac;
    eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
    a->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
    a->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
    a->arp_hlen = RTE_ETHER_ADDR_LEN;
    a->arp_plen = 4;
    a->arp_opcode = rte_cpu_to_be_16(op);
    a->arp_data.arp_sha = n->face[side].mac;
    a->arp_data.arp_sip = rte_cpu_to_be_32(net_addr_to_v4(spa));
    memset(&a->arp_data.arp_tha, 0, sizeof(a->arp_data.arp_tha));
    if (op == RTE_ARP_OP_REPLY)
        a->arp_data.arp_tha = *to;
    a->arp_data.arp_tip = rte_cpu_to_be_32(net_addr_to_v4(tpa));
    return m;
}

void net_arp_request(struct net *n, enum net_side side, const struct net_addr *target,
                     const struct rte_ether_addr *to)
{
    const struct net_addr *from = net_local_for(n, side, target);
    struct rte_mbuf *m;

    if (!from)
        return;
    m = arp_frame(n, side, RTE_ARP_OP_REQUEST, from, to, target);
    if (!m) {
        counter_inc(&n->count.drop_no_mbuf);
        return;
    }
    counter_inc(&n->count.arp_requests_sent);
    net_tx(n, side, m);
}

/* RFC 5227 3: sender and target are the address itself. */
void net_arp_announce(struct net *n, enum net_side side, const struct net_addr *a)
{
    struct rte_mbuf *m = arp_frame(n, side, RTE_ARP_OP_REQUEST, a, NULL, a);

    if (m)
        net_tx(n, side, m);
}

static void answer(struct net *n, const struct arp *a)
{
    struct rte_mbuf *m;

    if (n->learning) /* the worker that received it answers */
        return;
    m = arp_frame(n, a->side, RTE_ARP_OP_REPLY, &a->tpa, &a->hdr->arp_data.arp_sha, &a->spa);
    if (!m) {
        counter_inc(&n->count.drop_no_mbuf);
        return;
    }
    counter_inc(&n->count.arp_replies_sent);
    net_tx(n, a->side, m);
}

/* Ethernet over IPv4, and no lie that shows in the message itself. */
static bool well_formed(const struct arp *a)
{
    const struct rte_arp_hdr *h = a->hdr;

    return h->arp_hardware == RTE_BE16(RTE_ARP_HRD_ETHER) &&
           h->arp_protocol == RTE_BE16(RTE_ETHER_TYPE_IPV4) && h->arp_hlen == RTE_ETHER_ADDR_LEN &&
           h->arp_plen == 4 && rte_is_same_ether_addr(&h->arp_data.arp_sha, &a->eth->src_addr) &&
           rte_is_valid_assigned_ether_addr(&h->arp_data.arp_sha);
}

/* The sender's pair may become a neighbour: on this link, and not one of our own addresses, which
 * somebody else has or says so. 0.0.0.0 is an address probe (RFC 5227): it claims nothing. */
static bool may_be_neighbour(const struct net *n, const struct arp *a)
{
    return net_on_link(n, a->side, &a->spa) && net_source_ok(n, a->side, &a->spa);
}

static counter *request(struct net *n, const struct arp *a)
{
    const struct rte_ether_addr *mac = &a->hdr->arp_data.arp_sha;
    bool probe = net_addr_to_v4(&a->spa) == 0;

    if (!probe && !may_be_neighbour(n, a))
        return &n->count.drop_arp_bad;
    if (!net_is_local_on(n, a->side, &a->tpa)) {
        neigh_announced(n, a->side, &a->spa, mac);
        return &n->count.arp_received;
    }
    answer(n, a);
    if (!probe)
        neigh_asker(n, a->side, &a->spa, mac);
    return &n->count.arp_received;
}

static counter *reply(struct net *n, const struct arp *a)
{
    const struct rte_ether_addr *mac = &a->hdr->arp_data.arp_sha;

    if (!may_be_neighbour(n, a))
        return &n->count.drop_arp_bad;
    if (rte_is_same_ether_addr(&a->eth->dst_addr, &n->face[a->side].mac) &&
        net_is_local_on(n, a->side, &a->tpa) && neigh_reply(n, a->side, &a->spa, mac))
        return &n->count.arp_received;
    neigh_announced(n, a->side, &a->spa, mac);
    return &n->count.arp_received;
}

counter *net_arp_input(struct net *n, enum net_side side, struct rte_mbuf *m)
{
    struct arp a = {.side = side};

    if (m->data_len < sizeof(*a.eth) + sizeof(*a.hdr))
        return &n->count.drop_arp_bad;
    a.eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    a.hdr = (const void *)(a.eth + 1);
    a.spa = net_addr_v4(rte_be_to_cpu_32(a.hdr->arp_data.arp_sip));
    a.tpa = net_addr_v4(rte_be_to_cpu_32(a.hdr->arp_data.arp_tip));
    if (!well_formed(&a))
        return &n->count.drop_arp_bad;
    if (a.hdr->arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST))
        return request(n, &a);
    if (a.hdr->arp_opcode == RTE_BE16(RTE_ARP_OP_REPLY))
        return reply(n, &a);
    return &n->count.drop_arp_bad;
}
