/* Who gets a connection when many want one, and when their handshakes have their turn.
 *
 * Places: a newcomer finds one free, or takes that of whoever has been idle between calls for the
 * longest. An address has so many places at most, and so many handshakes at one time. When too many
 * handshakes are open, one of the oldest gives way, of the address that has the most of them: a
 * real one is done within a few round trips.
 *
 * Time: a handshake costs as much as many calls. Its steps wait in a queue; handshakes get the time
 * that calls leave, and a share of the other. */
#include "call/call_internal.h"

enum {
    HANDSHAKE_YOUNG_US = 100 * 1000, /* none younger gives way */
    HANDSHAKE_LOOKS = 8,             /* of so many of the oldest the one of the busiest address */
    SAVED_NS = 2 * 1000 * 1000,      /* most time that handshakes can have saved up */
    STEP_MOST_NS = 1000 * 1000,      /* what takes longer has lost its processor meanwhile */
};

/* ----------------------------------------------------------------------- queues */

void admit_later(struct caller *c)
{
    if (c->due)
        return;
    c->due = true;
    /* What has been begun is ended first: it holds a place until then. */
    if (c->turned)
        TAILQ_INSERT_HEAD(&c->w->turns, c, turn);
    else
        TAILQ_INSERT_TAIL(&c->w->turns, c, turn);
}

void admit_settled(struct caller *c)
{
    struct call_worker *w = c->w;

    if (!c->half_open)
        return;
    c->half_open = false;
    TAILQ_REMOVE(&w->half_open, c, order);
    w->nhalf_open--;
    peers_settled(w->peers, &c->from);
}

void admit_idle(struct caller *c, bool idle)
{
    if (c->idle == idle)
        return;
    c->idle = idle;
    if (idle)
        TAILQ_INSERT_TAIL(&c->w->idle, c, order);
    else
        TAILQ_REMOVE(&c->w->idle, c, order);
}

void admit_gone(struct caller *c)
{
    admit_settled(c);
    admit_idle(c, false);
    if (c->due)
        TAILQ_REMOVE(&c->w->turns, c, turn);
    c->due = false;
    peers_give(c->w->peers, &c->from, false);
}

/* ------------------------------------------------------------------------- time */

bool admit_waiting(const struct call_worker *w)
{
    return !TAILQ_EMPTY(&w->turns);
}

static void one_turn(struct call_worker *w)
{
    struct caller *c = TAILQ_FIRST(&w->turns);

    TAILQ_REMOVE(&w->turns, c, turn);
    c->due = false;
    c->turned = true;
    caller_handshake(c);
}

/* What handshakes have earned since the last loop: all of a loop in which there was nothing else to
 * do, their share of the others. */
static void earn(struct call_worker *w)
{
    int64_t passed = (int64_t)(w->now_us - w->turns_at_us) * 1000 - w->turns_ns;
    int64_t share = w->c.limits.handshake_share;

    if (passed > 0)
        w->turns_saved_ns += w->others ? passed * share / (100 - share) : passed;
    if (w->turns_saved_ns > SAVED_NS)
        w->turns_saved_ns = SAVED_NS;
    w->turns_at_us = w->now_us;
    w->turns_ns = 0;
    w->others = 0;
}

unsigned admit_turns(struct call_worker *w)
{
    unsigned n = 0;

    earn(w);
    while (admit_waiting(w) && w->turns_saved_ns > 0) {
        uint64_t began = clock_mono_ns();
        int64_t took;

        one_turn(w);
        took = (int64_t)(clock_mono_ns() - began);
        w->turns_ns += took;
        w->turns_saved_ns -= took < STEP_MOST_NS ? took : STEP_MOST_NS;
        n++;
    }
    return n;
}

/* ----------------------------------------------------------------------- places */

/* The longest idle one makes room. */
static bool evict_idle(struct call_worker *w)
{
    struct caller *c = TAILQ_FIRST(&w->idle);

    if (!c)
        return false;
    counter_inc(&w->counters.evicted_idle);
    tls_shutdown(c->leg.tls);
    caller_free(c);
    return true;
}

static bool evict_handshake(struct call_worker *w)
{
    struct caller *c = TAILQ_FIRST(&w->half_open), *worst = NULL;
    unsigned most = 0;

    for (int i = 0; c && i < HANDSHAKE_LOOKS; i++, c = TAILQ_NEXT(c, order)) {
        unsigned n = peers_handshakes(w->peers, &c->from);

        if (n > most && w->now_us - c->since_us >= HANDSHAKE_YOUNG_US) {
            most = n;
            worst = c;
        }
    }
    if (!worst)
        return false;
    counter_inc(&w->counters.evicted_handshake);
    caller_abort(worst);
    return true;
}

static bool refuse(struct call_worker *w, counter *why)
{
    counter_inc(why);
    counter_inc(&w->counters.callers_refused);
    return false;
}

static bool room(struct call_worker *w, const struct net_addr *from)
{
    const struct call_limits *l = &w->c.limits;
    struct call_counters *n = &w->counters;

    switch (peers_take(w->peers, from, l->max_callers_an_address, l->max_handshakes_an_address)) {
    case PEERS_CALLERS_FULL:
        return refuse(w, &n->refused_address_full);
    case PEERS_HANDSHAKES_FULL:
        return refuse(w, &n->refused_address_handshakes_full);
    case PEERS_TAKEN:
        break;
    }
    if (w->nhalf_open >= l->max_handshakes && !evict_handshake(w))
        refuse(w, &n->refused_handshakes_full);
    else if (LIST_EMPTY(&w->free_callers) && !evict_idle(w) && !evict_handshake(w))
        refuse(w, &n->refused_full);
    else
        return true;
    peers_give(w->peers, from, true);
    return false;
}

bool caller_accept(struct call_worker *w, struct tcp_conn *tcp)
{
    const struct net_addr *from = tcp_remote_addr(tcp);
    struct tls_session *tls;
    struct caller *c;

    if (w->draining || !w->gen) {
        counter_inc(&w->counters.callers_refused);
        return false;
    }
    if (!room(w, from))
        return false;
    tls = tls_server(w->tls, tcp);
    if (!tls) {
        peers_give(w->peers, from, true);
        return refuse(w, &w->counters.refused_memory);
    }
    c = LIST_FIRST(&w->free_callers);
    LIST_REMOVE(c, link);
    memset(c, 0, sizeof(*c));
    c->leg = (struct leg){LEG_CALLER, tcp, tls};
    c->w = w;
    c->state = CALLER_HANDSHAKE;
    c->from = *from;
    c->since_us = w->now_us;
    c->half_open = true;
    TAILQ_INSERT_TAIL(&w->half_open, c, order);
    w->nhalf_open++;
    wheel_timer_init(&c->timer, caller_timer_fired);
    wheel_start(w->wheel, &c->timer, w->now_us + w->c.limits.handshake_us);
    LIST_INSERT_HEAD(&w->live_callers, c, link);
    counter_inc(&w->ncallers);
    counter_inc(&w->counters.callers_accepted);
    tcp_set_user(tcp, &c->leg);
    return true;
}
