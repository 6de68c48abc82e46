#include <stdlib.h>
#include <sys/mman.h>
#include <urcu-qsbr.h>

#include "base/log.h"
#include "call/call_internal.h"

void call_limits_defaults(struct call_limits *l)
{
    *l = (struct call_limits){
        .max_callers = 16384,
        .max_callers_an_address = 4096,
        .max_handshakes = 4096,
        .max_handshakes_an_address = 1024,
        .handshake_share = 10,
        .max_vendors = 4096,
        .max_idle_a_host = 1024,
        .memory = (size_t)512 << 20,
        .handshake_us = 10 * US_IN_S,
        .head_us = 20 * US_IN_S,
        .body_us = 30 * US_IN_S,
        .body_rate = 500,
        .read_us = 30 * US_IN_S,
        .read_rate = 500,
        .idle_us = 75 * US_IN_S,
        .connect_us = 10 * US_IN_S,
        .answer_us = 120 * US_IN_S,
        .pool_idle_us = 30 * US_IN_S,
    };
}

const char *call_cause_name(enum call_cause c)
{
    static const char *const names[] = {
#define X(name, status, text) #name,
        CALL_CAUSES(X)
#undef X
    };
    return c < CALL_CAUSE_COUNT ? names[c] : "?";
}

/* ------------------------------------------------------------------ creation */

/* Plain text and credentials pass through this memory: it stays out of core dumps. */
static void *map_region(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    madvise(p, size, MADV_HUGEPAGE);
    madvise(p, size, MADV_DONTDUMP);
    return p;
}

static bool make_slabs(struct call_worker *w)
{
    const struct call_limits *l = &w->c.limits;

    w->callers = calloc(l->max_callers, sizeof(*w->callers));
    w->vendors = calloc(l->max_vendors, sizeof(*w->vendors));
    w->scratch = malloc(CAPTURE_MAX + CAPTURE_SLACK);
    w->peers = peers_new(l->max_callers);
    if (!w->callers || !w->vendors || !w->scratch || !w->peers || !pool_new(w))
        return false;
    for (unsigned i = l->max_callers; i-- > 0;)
        LIST_INSERT_HEAD(&w->free_callers, &w->callers[i], link);
    for (unsigned i = l->max_vendors; i-- > 0;)
        LIST_INSERT_HEAD(&w->free_vendors, &w->vendors[i], link);
    for (unsigned i = 0; i < HOLD_BLOCKS; i++) {
        w->hold_blocks[i] = malloc(sizeof(struct hold_request));
        if (!w->hold_blocks[i])
            return false;
        w->nhold_blocks++;
    }
    return true;
}

/* Callers of a host are asked for a certificate if its connection takes one for an answer. */
static bool asks_certificate(void *arg, struct span name)
{
    const struct call_worker *w = arg;
    const struct rules_connection *c = w->gen ? rules_connection_for(w->gen->rules, name) : NULL;

    for (unsigned i = 0; c && i < c->nidentify; i++)
        if (c->identify[i] == RULES_ID_MTLS)
            return true;
    return false;
}

static bool make_engines(struct call_worker *w, uint64_t now_us)
{
    static const struct tls_limits tls = {.leaf_cache = 4096, .mints_a_second = 500};

    w->tls = tls_new(w->c.tls, &tls);
    if (w->tls) {
        tls_ask_certificates(w->tls, asks_certificate, w);
        tls_measure(w->tls, &w->stages);
    }
    w->memory = buddy_new(w->region, w->region_size);
    w->wheel = wheel_new(now_us);
    w->match = match_worker_new(w->c.limits.max_vendors);
    w->rules = rules_scratch_new();
    if (w->rules)
        rules_scratch_windows(w->rules, w->c.windows);
    w->decoder = body_decoder_new();
    w->identity = identity_worker_new(8192);
    w->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return w->tls && w->memory && w->wheel && w->match && w->rules && w->decoder && w->identity &&
           w->sha256;
}

struct call_worker *call_worker_new(const struct call_config *c, uint64_t now_us)
{
    struct call_worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);

    if (!w)
        return NULL;
    memset(w, 0, sizeof(*w));
    w->c = *c;
    stages_init(&w->stages);
    w->now_us = w->ticked_us = w->turns_at_us = now_us;
    w->next_number = 1;
    LIST_INIT(&w->free_callers);
    LIST_INIT(&w->live_callers);
    LIST_INIT(&w->free_vendors);
    LIST_INIT(&w->live_vendors);
    SLIST_INIT(&w->free_exchanges);
    TAILQ_INIT(&w->half_open);
    TAILQ_INIT(&w->idle);
    TAILQ_INIT(&w->turns);
    w->forgotten.head.keep_alive = true;
    LIST_INIT(&w->calls);
    TAILQ_INIT(&w->parked);
    w->region_size = c->limits.memory & ~((size_t)(2 << 20) - 1);
    w->region = map_region(w->region_size);
    if (!w->region || !make_slabs(w) || !make_engines(w, now_us)) {
        call_worker_delete(w);
        return NULL;
    }
    return w;
}

static void free_exchanges(struct call_worker *w)
{
    struct exchange *x;

    while ((x = SLIST_FIRST(&w->free_exchanges))) {
        SLIST_REMOVE_HEAD(&w->free_exchanges, free);
        EVP_MD_CTX_free(x->sha_request);
        EVP_MD_CTX_free(x->sha_answer);
        free(x);
    }
}

/* Gives up what is still open, so that nothing outlives the worker. */
static void drop_connections(struct call_worker *w)
{
    struct caller *c;
    struct vendor *v;

    while ((c = LIST_FIRST(&w->live_callers)))
        caller_abort(c);
    while ((v = LIST_FIRST(&w->live_vendors)))
        vendor_close(v);
}

void call_worker_delete(struct call_worker *w)
{
    if (!w)
        return;
    drop_connections(w);
    free_exchanges(w);
    if (w->identity)
        identity_worker_free(w->identity);
    if (w->match)
        match_worker_free(w->match);
    rules_scratch_free(w->rules);
    body_decoder_free(w->decoder);
    if (w->tls)
        tls_delete(w->tls);
    EVP_MD_free(w->sha256);
    if (w->wheel)
        wheel_delete(w->wheel);
    if (w->memory)
        buddy_delete(w->memory);
    if (w->region)
        munmap(w->region, w->region_size);
    for (unsigned i = 0; i < w->nhold_blocks; i++)
        free(w->hold_blocks[i]);
    peers_delete(w->peers);
    free(w->callers);
    free(w->vendors);
    pool_delete(w);
    free(w->scratch);
    free(w);
}

/* ------------------------------------------------------------------- memory */

static struct exchange *exchange_make(void)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->sha_request = EVP_MD_CTX_new();
    x->sha_answer = EVP_MD_CTX_new();
    if (!x->sha_request || !x->sha_answer) {
        EVP_MD_CTX_free(x->sha_request);
        EVP_MD_CTX_free(x->sha_answer);
        free(x);
        return NULL;
    }
    return x;
}

/* Calls in progress on this worker that began under that generation. */
static uint32_t held_here(const struct call_worker *w, struct call_generation *g)
{
    return atomic_load_explicit(&g->pins[w->c.worker].held, memory_order_relaxed);
}

/* Each worker has a pin of its own, so that a plain addition does. */
static void pin(struct exchange *x, uint32_t by, memory_order order)
{
    _Atomic uint32_t *held = &x->gen->pins[x->w->c.worker].held;

    atomic_store_explicit(held, atomic_load_explicit(held, memory_order_relaxed) + by, order);
}

/* The heap is asked only when more calls are in progress than ever before. */
struct exchange *exchange_new(struct call_worker *w)
{
    struct exchange *x = SLIST_FIRST(&w->free_exchanges);
    struct request *asked = buddy_alloc(w->memory, sizeof(*asked));

    if (asked && x)
        SLIST_REMOVE_HEAD(&w->free_exchanges, free);
    else if (!asked || !(x = exchange_make())) {
        buddy_free(w->memory, asked);
        return NULL;
    }
    memset((char *)x + offsetof(struct exchange, caller), 0,
           offsetof(struct exchange, found_request) - offsetof(struct exchange, caller));
    match_found_clear(&x->found_request);
    match_found_clear(&x->found_answer);
    x->verdict.decision = RULES_BLOCK;
    x->verdict.rule = NULL;
    x->verdict.nmatched = x->verdict.more = x->verdict.ncounted = 0;
    x->verdict.body_problem = BODY_PROBLEM_NONE;
    x->hold_id[0] = x->reviewer[0] = x->answer_type[0] = 0;
    x->w = w;
    asked->params.n = 0;
    asked->who.id = asked->who.issuer = asked->who.method = asked->who.claims = SPAN_NONE;
    asked->who.ngroups = 0;
    x->asked = asked;
    x->head = &asked->head;
    x->gen = w->gen;
    x->generation_number = w->gen->number;
    pin(x, 1, memory_order_relaxed);
    LIST_INSERT_HEAD(&w->calls, x, link);
    return x;
}

void exchange_recycle(struct exchange *x)
{
    struct call_worker *w = x->w;

    LIST_REMOVE(x, link);
    if (x->asked != &w->forgotten)
        buddy_free(w->memory, x->asked);
    if (x->gen != w->gen && held_here(w, x->gen) == 1)
        match_worker_forget(w->match, x->gen->match); /* the last call under an older set */
    pin(x, (uint32_t)-1, memory_order_release);
    SLIST_INSERT_HEAD(&w->free_exchanges, x, free);
}

bool in_reserve(struct call_worker *w, char **in, size_t *cap, size_t len, size_t want,
                size_t first)
{
    size_t need = len + want;
    char *p;

    if (*in && need <= *cap)
        return true;
    if (need < first)
        need = first;
    p = buddy_alloc(w->memory, need);
    if (!p)
        return false;
    if (*in) {
        memcpy(p, *in, len);
        buddy_free(w->memory, *in);
    }
    *in = p;
    *cap = buddy_size(w->memory, p);
    return true;
}

/* --------------------------------------------------------------- each loop */

/* Not on the road: once a reload. Without memory for the new generation the worker goes on with the
 * old one and control reports that the reload did not complete. */
static bool adopt_generation(struct call_worker *w, struct call_generation *g)
{
    if (!match_worker_adopt(w->match, g->match) || !rules_scratch_adopt(w->rules, g->rules)) {
        log_error("call", "worker %u: no memory for rules generation %lu", w->c.worker, g->number);
        return false;
    }
    identity_worker_adopt(w->identity, g->identity);
    if (w->gen && held_here(w, w->gen) == 0)
        match_worker_forget(w->match, w->gen->match);
    w->gen = g;
    atomic_store_explicit(&w->seen, g->number, memory_order_release);
    return true;
}

/* A call whose record did not become durable in time, or which the store refuses, is not sent. */
static bool parked_too_long(const struct call_worker *w, const struct exchange *x)
{
    uint64_t age = w->now_us - x->decided_us;

    return age > AUDIT_PATIENCE_US || (age > AUDIT_DOWN_US && !audit_ready(w->c.audit));
}

static unsigned resume_parked(struct call_worker *w)
{
    uint64_t durable = audit_durable(w->c.audit);
    unsigned n = 0;
    struct exchange *x;

    while ((x = TAILQ_FIRST(&w->parked))) {
        if (x->ticket <= durable) {
            TAILQ_REMOVE(&w->parked, x, parked);
            x->waits_audit = false;
            exchange_durable(x);
        } else if (parked_too_long(w, x)) {
            struct caller *c = x->caller;

            TAILQ_REMOVE(&w->parked, x, parked);
            x->waits_audit = false;
            exchange_refuse(x, CALL_audit_unavailable, NULL, SPAN_NONE);
            caller_run(c);
        } else {
            break;
        }
        n++;
    }
    return n;
}

unsigned call_poll(struct call_worker *w, uint64_t now_us, uint64_t wall_ns)
{
    struct call_generation *g = rcu_dereference(*w->c.generation);
    unsigned n = 0;

    w->now_us = now_us;
    w->wall_ns = wall_ns;
    if (g != w->gen && adopt_generation(w, g))
        n++;
    if (!TAILQ_EMPTY(&w->parked))
        n += resume_parked(w);
    n += held_poll(w);
    n += (unsigned)wheel_advance(w->wheel, now_us);
    n += admit_turns(w);
    if (now_us - w->ticked_us >= US_IN_S) {
        w->ticked_us = now_us;
        tls_tick(w->tls, now_us);
    }
    return n;
}

uint64_t call_next(const struct call_worker *w, uint64_t now_us)
{
    return admit_waiting(w) ? now_us : wheel_next(w->wheel);
}

uint64_t call_waits_us(const struct call_worker *w, uint64_t now_us)
{
    const struct exchange *x = TAILQ_FIRST(&w->parked);

    return x ? now_us - x->decided_us : 0;
}

/* Nobody will hear of an approval any more, and an upgraded connection has no end of its own. */
static void end_waiting(struct call_worker *w)
{
    struct exchange *x = LIST_FIRST(&w->calls);

    while (x) {
        struct exchange *next = LIST_NEXT(x, link);

        if (x->state == X_HELD) {
            struct caller *c = x->caller;

            held_tell(x, HOLD_MSG_CANCELLED);
            exchange_refuse(x, CALL_shutting_down, NULL, SPAN_NONE);
            caller_run(c);
            next = LIST_FIRST(&w->calls);
        } else if (x->state == X_TUNNEL) {
            tunnel_stop(x, "shutting_down");
            next = LIST_FIRST(&w->calls);
        }
        x = next;
    }
}

bool call_drain(struct call_worker *w)
{
    struct caller *c, *next;

    if (!w->draining) {
        w->draining = true;
        tcp_listen_stop(w->tcp);
        pool_drain(w);
    }
    end_waiting(w);
    for (c = LIST_FIRST(&w->live_callers); c; c = next) {
        next = LIST_NEXT(c, link);
        if (c->state == CALLER_HANDSHAKE || (c->state == CALLER_HEAD && c->in_len == c->in_pos))
            caller_abort(c);
    }
    return LIST_EMPTY(&w->calls) && LIST_EMPTY(&w->live_callers);
}

uint64_t call_generation_seen(const struct call_worker *w)
{
    return atomic_load_explicit(&((struct call_worker *)(uintptr_t)w)->seen, memory_order_acquire);
}

/* ------------------------------------------------------------------ the edges */

static bool on_accept(void *ctx, struct tcp_conn *tcp)
{
    struct call_worker *w = ctx;

    STAGE_SCOPE(&w->stages, STAGE_CALL);
    return caller_accept(w, tcp);
}

static void on_event(void *ctx, struct tcp_conn *tcp, void *user, unsigned events)
{
    struct call_worker *w = ctx;
    struct leg *leg = user;

    STAGE_SCOPE(&w->stages, STAGE_CALL);
    (void)tcp;
    if (leg->kind == LEG_CALLER)
        caller_event((struct caller *)leg, events);
    else
        vendor_event((struct vendor *)leg, events);
}

struct tcp_owner call_tcp_owner(struct call_worker *w)
{
    return (struct tcp_owner){.ctx = w, .accept = on_accept, .event = on_event};
}

void call_attach(struct call_worker *w, struct tcp *tcp, struct net *net)
{
    w->tcp = tcp;
    w->net = net;
}

struct call_counters *call_counters(struct call_worker *w)
{
    return &w->counters;
}

struct stages *call_stages(struct call_worker *w)
{
    return &w->stages;
}

void call_stats_of(const struct call_worker *w, struct call_stats *out)
{
    *out = (struct call_stats){
        .net = w->net ? net_counters(w->net) : NULL,
        .tcp = w->tcp ? tcp_counters(w->tcp) : NULL,
        .tls = tls_counters(w->tls),
        .identity = identity_counters(w->identity),
        .call = &w->counters,
        .stages = &w->stages,
        .callers = (unsigned)counter_get(&w->ncallers),
        .vendors = (unsigned)counter_get(&w->nvendors),
        .memory_used = buddy_used(w->memory),
        .memory_total = buddy_total(w->memory),
    };
}
