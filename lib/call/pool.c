/* Vendor connections that wait for the next call, by host and port: used last-in first-out, closed
 * before the vendor would close them, capped for a host and in all. */
#include <stdlib.h>

#include "call/call_internal.h"

enum { KEEP_LEAST_US = 1000 * 1000 };

static uint64_t host_hash(struct span name, uint16_t port)
{
    return span_hash(name) ^ ((uint64_t)port * 0x9e3779b97f4a7c15u);
}

bool pool_new(struct call_worker *w)
{
    TAILQ_INIT(&w->idle);
    TAILQ_INIT(&w->unused_hosts);
    w->hosts = calloc(POOL_HOSTS, sizeof(*w->hosts));
    w->host_buckets = calloc(POOL_HOSTS, sizeof(*w->host_buckets));
    if (!w->hosts || !w->host_buckets)
        return false;
    for (unsigned i = 0; i < POOL_HOSTS; i++) {
        TAILQ_INIT(&w->hosts[i].idle);
        TAILQ_INSERT_TAIL(&w->unused_hosts, &w->hosts[i], unused);
    }
    return true;
}

void pool_delete(struct call_worker *w)
{
    free(w->hosts);
    free(w->host_buckets);
}

/* --------------------------------------------------------------------- hosts */

static struct pool_bucket *bucket_of(struct call_worker *w, uint64_t hash)
{
    return &w->host_buckets[(hash ^ hash >> 32) & (POOL_HOSTS - 1)];
}

/* The place that has been unused for longest, be it that it never had a host. */
static struct pool_host *host_make(struct call_worker *w, uint64_t hash, struct span name,
                                   uint16_t port)
{
    struct pool_host *h = TAILQ_FIRST(&w->unused_hosts);

    if (!h || name.n >= sizeof(h->name))
        return NULL;
    if (h->name[0])
        LIST_REMOVE(h, link);
    TAILQ_REMOVE(&w->unused_hosts, h, unused);
    TAILQ_INSERT_TAIL(&w->unused_hosts, h, unused);
    h->hash = hash;
    h->port = port;
    h->keep_us = w->c.limits.pool_idle_us;
    memcpy(h->name, name.p, name.n);
    h->name[name.n] = 0;
    LIST_INSERT_HEAD(bucket_of(w, hash), h, link);
    return h;
}

struct pool_host *pool_host(struct call_worker *w, struct span name, uint16_t port)
{
    uint64_t hash = host_hash(name, port);
    struct pool_host *h;

    LIST_FOREACH (h, bucket_of(w, hash), link)
        if (h->hash == hash && h->port == port && span_eq(span_cstr(h->name), name))
            return h;
    return host_make(w, hash, name, port);
}

void pool_join(struct vendor *v, struct pool_host *h)
{
    v->host = h;
    if (h && h->nvendors++ == 0)
        TAILQ_REMOVE(&v->w->unused_hosts, h, unused);
}

void pool_leave(struct vendor *v)
{
    struct pool_host *h = v->host;

    v->host = NULL;
    if (h && --h->nvendors == 0)
        TAILQ_INSERT_TAIL(&v->w->unused_hosts, h, unused);
}

/* ------------------------------------------------------------- how long to wait */

/* Three quarters of what the vendor was seen to wait: what is on its way when it closes, and the
 * difference of two clocks, must fit the rest. Who closes almost at once does not do so for
 * idleness.
 */
void pool_learn(const struct vendor *v)
{
    uint64_t waited = v->w->now_us - v->idle_us, keep = waited - waited / 4;

    if (waited >= KEEP_LEAST_US && keep < v->host->keep_us)
        v->host->keep_us = keep;
}

/* A vendor may have closed for another reason, or have been given a longer limit. */
void pool_unlearn(const struct vendor *v)
{
    struct pool_host *h = v->host;
    uint64_t most = v->w->c.limits.pool_idle_us;

    h->keep_us += h->keep_us / 64;
    if (h->keep_us > most)
        h->keep_us = most;
}

static uint64_t keep_for(const struct vendor *v)
{
    uint64_t told = (uint64_t)v->told_s * US_IN_S / 4 * 3;

    return told && told < v->host->keep_us ? told : v->host->keep_us;
}

/* --------------------------------------------------------------- idle connections */

void pool_remove(struct vendor *v)
{
    TAILQ_REMOVE(&v->host->idle, v, idle);
    TAILQ_REMOVE(&v->w->idle, v, aged);
    v->host->nidle--;
}

bool pool_put(struct vendor *v)
{
    struct call_worker *w = v->w;

    if (w->draining || !v->host || v->host->nidle >= w->c.limits.max_idle_a_host)
        return false;
    TAILQ_INSERT_HEAD(&v->host->idle, v, idle);
    TAILQ_INSERT_HEAD(&w->idle, v, aged);
    v->host->nidle++;
    v->idle_us = w->now_us;
    wheel_start(w->wheel, &v->timer, w->now_us + keep_for(v));
    return true;
}

/* The newest is the likeliest to be still alive. */
struct vendor *pool_take(struct pool_host *h)
{
    struct vendor *v;

    while (h && (v = TAILQ_FIRST(&h->idle))) {
        if (vendor_silent(v)) {
            pool_remove(v);
            wheel_stop(v->w->wheel, &v->timer);
            return v;
        }
        counter_inc(&v->w->counters.vendor_idle_closed);
        vendor_close(v);
    }
    return NULL;
}

bool pool_evict(struct call_worker *w)
{
    struct vendor *v = TAILQ_LAST(&w->idle, vendor_queue);

    if (!v)
        return false;
    counter_inc(&w->counters.vendor_idle_closed);
    vendor_close(v);
    return true;
}

void pool_drain(struct call_worker *w)
{
    struct vendor *v;

    while ((v = TAILQ_FIRST(&w->idle)))
        vendor_close(v);
}
