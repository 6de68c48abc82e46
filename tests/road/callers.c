#include "road.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

/* Of sessions: lib/tls remembers those of 1,024 hosts and the objects of 512 vendors. */
#define OWNERS 256

static void to_connect(struct road *r, struct road_conn *c)
{
    c->next = r->to_connect;
    r->to_connect = c;
}

bool callers_new(struct road *r)
{
    r->callers = calloc(r->o->callers, sizeof(*r->callers));
    if (!r->callers)
        return false;
    for (unsigned i = r->o->callers; i-- > 0;) { /* the active ones are opened last */
        r->callers[i].active = i >= r->o->callers - r->o->active;
        to_connect(r, &r->callers[i]);
    }
    return true;
}

/* ---------------------------------------------------------------- connecting */

/* lib/tls keeps sessions by host and by what is particular to a vendor. Pins are: the CA's, which
 * must be in the chain, and a number; who has the same number resumes the same sessions, and nobody
 * any if it is new for each connection. */
static struct tls_vendor *numbered(struct road *r, uint64_t number)
{
    uint8_t pins[2][32] = {0};
    const struct tls_vendor_config c = {.pins = pins, .npins = 2};
    struct tls_vendor *v;
    struct diags d;

    memcpy(pins[0], r->o->pin, 32);
    memcpy(pins[1], &number, sizeof(number));
    diags_init(&d);
    v = tls_vendor_load(&c, &d);
    diags_free(&d);
    return v;
}

static bool begin_tls(struct road *r, struct road_conn *c)
{
    if (r->o->has_pin && !c->own &&
        !(c->own = numbered(r, r->o->fresh ? r->made : (uint64_t)(c - r->callers) % OWNERS)))
        return false;
    c->tls = tls_client(r->tls, c->tcp, r->o->host, c->own);
    return c->tls != NULL;
}

static bool connect_one(struct road *r, struct road_conn *c)
{
    struct net_addr srcs[ROAD_SOURCES], dst;
    unsigned n = 0;

    net_addr_parse(SPAN_LIT("10.30.0.10"), &dst);
    for (unsigned i = 0; i < ROAD_SOURCES; i++)
        srcs[n++] = r->net_config.side[NET_OUTSIDE].addrs[(r->made + i) % ROAD_SOURCES].addr;
    r->made++;
    c->tcp = tcp_connect_from(r->tcp, NET_OUTSIDE, srcs, n, &dst, 443, c, r->now_us);
    if (!c->tcp || !begin_tls(r, c)) {
        conn_end(r, c, "no place for another caller");
        return false;
    }
    c->state = ROAD_CONNECT;
    r->opening++;
    return true;
}

unsigned callers_run(struct road *r)
{
    /* One goes ahead: until the next hop's address is known only a few packets wait for it. */
    unsigned begun = 0, pending = r->knows_hop ? r->o->pending : 1;

    while (!r->closing && r->to_connect && r->opening < pending) {
        struct road_conn *c = r->to_connect;

        r->to_connect = c->next;
        if (!connect_one(r, c))
            break;
        begun++;
    }
    return begun;
}

/* -------------------------------------------------------------------- asking */

static void ask(struct road *r, struct road_conn *c)
{
    c->asked = rte_rdtsc();
    c->state = ROAD_WRITE;
    r->asking++;
    if (conn_write(r, c, r->o->request))
        c->state = ROAD_READ;
}

void callers_begin_asking(struct road *r)
{
    r->asks = true;
    for (unsigned i = 0; i < r->o->callers; i++)
        if (r->callers[i].active && r->callers[i].state == ROAD_IDLE)
            ask(r, &r->callers[i]);
}

static void answered(struct road *r, struct road_conn *c)
{
    uint64_t us = (rte_rdtsc() - c->asked) * 1000000 / rte_get_tsc_hz();

    r->n.latency_us[us < ROAD_BUCKETS ? us : ROAD_BUCKETS - 1]++;
    r->n.calls++;
    r->asking--;
    c->state = ROAD_IDLE;
    if (r->o->per_call)
        conn_end(r, c, NULL);
    else if (r->asks)
        ask(r, c);
}

/* What callers were answered first is kept, so that whoever runs this can look at it. */
static void keep_first(struct road *r, const char *p, size_t n, bool whole)
{
    FILE *f;

    if (r->first_written || !r->o->first || r->o->active != 1)
        return;
    f = fopen(r->o->first, "ab");
    if (f) {
        fwrite(p, 1, n, f);
        fclose(f);
    }
    r->first_written = whole;
}

static void answers(struct road *r, struct road_conn *c)
{
    enum tls_result t = TLS_OK;
    size_t got;

    while (c->state >= ROAD_IDLE &&
           (t = tls_read(c->tls, r->buffer, ROAD_BUFFER, &got)) == TLS_OK) {
        enum road_verdict v = c->state == ROAD_READ
                                  ? road_message_take(&c->in, r->buffer, got, "HTTP/1.1 200 ")
                                  : ROAD_BAD;

        r->n.bytes_down += got;
        keep_first(r, r->buffer, got, v == ROAD_WHOLE);
        if (v == ROAD_BAD) {
            if (r->n.failures == 0)
                fprintf(stderr, "generator: the first answer that is not as it should be:\n%.*s\n",
                        (int)(got < 600 ? got : 600), r->buffer);
            conn_end(r, c, "an answer is malformed or not 200");
        } else if (v == ROAD_WHOLE) {
            answered(r, c);
        }
    }
    if (t == TLS_CLOSED || t == TLS_FAILED)
        conn_end(r, c, t == TLS_CLOSED ? "closed by the box" : tls_error_name(tls_error(c->tls)));
}

/* -------------------------------------------------------------------- events */

static void shook_hands(struct road *r, struct road_conn *c)
{
    r->knows_hop = true;
    r->opening--;
    r->open++;
    r->n.handshakes++;
    r->n.resumed += tls_resumed(c->tls);
    c->state = ROAD_IDLE;
    if (c->active && r->asks)
        ask(r, c);
}

void caller_event(struct road *r, struct road_conn *c, unsigned events)
{
    if (events & TCP_EV_CLOSED) {
        conn_end(r, c, tcp_end_name(tcp_end_cause(c->tcp)));
        return;
    }
    if (c->state == ROAD_CONNECT && (events & TCP_EV_CONNECTED))
        c->state = ROAD_HANDSHAKE;
    if (c->state == ROAD_HANDSHAKE && conn_handshake(r, c))
        shook_hands(r, c);
    if (c->state == ROAD_WRITE && conn_write(r, c, r->o->request))
        c->state = ROAD_READ;
    if (c->state >= ROAD_IDLE)
        answers(r, c);
}
