#include "road.h"

#include <stdlib.h>

bool vendor_new(struct road *r)
{
    r->nvendors = r->o->active * 2 + 4096;
    r->vendors = calloc(r->nvendors, sizeof(*r->vendors));
    for (unsigned i = 0; r->vendors && i < r->nvendors; i++) {
        r->vendors[i].vendor = true;
        r->vendors[i].next = r->free_vendors;
        r->free_vendors = &r->vendors[i];
    }
    return r->vendors && tcp_listen(r->tcp, NET_INSIDE, 443);
}

bool vendor_accept(struct road *r, struct tcp_conn *tcp)
{
    struct road_conn *c = r->free_vendors;

    if (!c)
        return false;
    c->tls = tls_server(r->tls, tcp);
    if (!c->tls)
        return false;
    r->free_vendors = c->next;
    c->tcp = tcp;
    c->state = ROAD_HANDSHAKE;
    tcp_set_user(tcp, c);
    return true;
}

static void answer(struct road *r, struct road_conn *c)
{
    c->state = ROAD_WRITE;
    if (conn_write(r, c, r->o->answer))
        c->state = ROAD_READ;
}

static void requests(struct road *r, struct road_conn *c)
{
    enum tls_result t = TLS_OK;
    size_t got;

    while (c->state == ROAD_READ &&
           (t = tls_read(c->tls, r->buffer, ROAD_BUFFER, &got)) == TLS_OK) {
        enum road_verdict v = road_message_take(&c->in, r->buffer, got, "");

        r->n.bytes_up += got;
        if (v == ROAD_BAD)
            conn_end(r, c, "a request at the vendor is malformed");
        else if (v == ROAD_WHOLE)
            answer(r, c);
    }
    if (t == TLS_CLOSED) /* the box lets a pooled connection go */
        conn_end(r, c, NULL);
    else if (t == TLS_FAILED)
        conn_end(r, c, r->asks ? tls_error_name(tls_error(c->tls)) : NULL);
}

void vendor_event(struct road *r, struct road_conn *c, unsigned events)
{
    if (events & TCP_EV_CLOSED) {
        conn_end(r, c, NULL);
        return;
    }
    if (c->state == ROAD_HANDSHAKE) {
        if (!conn_handshake(r, c))
            return;
        c->state = ROAD_READ;
    }
    if (c->state == ROAD_WRITE && conn_write(r, c, r->o->answer))
        c->state = ROAD_READ;
    if (c->state == ROAD_READ)
        requests(r, c);
}
