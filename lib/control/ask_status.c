#include "control/control_internal.h"

#define X(name) json_object_set_new(o, #name, json_integer((json_int_t)counter_get(&c->name)));

static json_t *net_json(const struct net_counters *c)
{
    json_t *o = json_object();

    NET_COUNTERS(X)
    return o;
}

static json_t *tcp_json(const struct tcp_counters *c)
{
    json_t *o = json_object();

    TCP_COUNTERS(X)
    return o;
}

static json_t *tls_json(const struct tls_counters *c)
{
    json_t *o = json_object();

    TLS_COUNTERS(X)
    for (unsigned i = 1; i < TLS_ERR_COUNT; i++)
        json_object_set_new(o, tls_error_name(i),
                            json_integer((json_int_t)counter_get(&c->errors[i])));
    return o;
}

static json_t *identity_json(const struct identity_counters *c)
{
    json_t *o = json_object();

    IDENTITY_COUNTERS(X)
    for (unsigned i = 1; i < IDENTITY_CAUSE_COUNT; i++)
        json_object_set_new(o, identity_cause_name(i),
                            json_integer((json_int_t)counter_get(&c->refused[i])));
    return o;
}

static json_t *call_json(const struct call_counters *c)
{
    json_t *o = json_object(), *causes = json_object();

    CALL_COUNTERS(X)
    for (unsigned i = 1; i < CALL_CAUSE_COUNT; i++)
        json_object_set_new(causes, call_cause_name(i),
                            json_integer((json_int_t)counter_get(&c->causes[i])));
    json_object_set_new(o, "causes", causes);
    return o;
}

static json_t *audit_json_of(const struct audit *a)
{
    const struct audit_counters *c = audit_counters(a);
    json_t *o = json_object();

    AUDIT_COUNTERS(X)
    json_object_set_new(o, "last_seq", json_integer((json_int_t)audit_last_seq(a)));
    return o;
}
#undef X

/* All of the worker's busy cycles, shared out as the measured ones were. */
static json_t *stages_json(const struct stages *s, uint64_t busy)
{
    json_t *o = json_object();
    uint64_t cycles[STAGES];

    stages_share(s, busy, cycles);
    for (unsigned i = 0; i < STAGES; i++)
        json_object_set_new(o, stage_name(i), json_integer((json_int_t)cycles[i]));
    return o;
}

/* What was measured: for whoever wants the shares of an interval, not of all time. */
static json_t *measured_json(const struct stages *s)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < STAGES; i++)
        json_object_set_new(o, stage_name(i), json_integer((json_int_t)counter_get(&s->cycles[i])));
    json_object_set_new(o, "loops", json_integer((json_int_t)counter_get(&s->loops)));
    return o;
}

static json_t *worker_json(const struct call_worker *w)
{
    struct call_stats s;
    json_t *call;
    uint64_t busy;

    call_stats_of(w, &s);
    call = call_json(s.call);
    busy = (uint64_t)json_integer_value(json_object_get(call, "cycles_busy"));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:I, s:I, s:I}", "net",
                     net_json(s.net), "tcp", tcp_json(s.tcp), "tls", tls_json(s.tls), "identity",
                     identity_json(s.identity), "call", call, "stages", stages_json(s.stages, busy),
                     "stages_measured", measured_json(s.stages), "callers", (int)s.callers,
                     "vendors", (int)s.vendors, "memory_used", (json_int_t)s.memory_used,
                     "memory_total", (json_int_t)s.memory_total, "generation",
                     (json_int_t)call_generation_seen(w));
}

static json_t *windows_json(const struct window_table *t)
{
    return json_pack("{s:I, s:I}", "keys", (json_int_t)window_keys(t), "in_use",
                     (json_int_t)window_keys_in_use(t));
}

json_t *ask_status(struct control *c)
{
    const struct call_generation *g = *c->c.generation;
    char hash[2 * RULES_HASH + 1];
    struct outbuf o = outbuf_on(hash, sizeof(hash) - 1);
    json_t *workers = json_array();
    const struct retired *old;
    int retired = 0;

    STAILQ_FOREACH (old, &c->retired, next)
        retired++;
    outbuf_hex(&o, rules_hash(g->rules), RULES_HASH);
    hash[o.n] = 0;
    for (unsigned i = 0; i < c->c.workers; i++)
        json_array_append_new(workers, worker_json(c->c.worker[i]));
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:b, s:i, s:s, s:i, s:i, s:I, s:I, s:I, s:o, s:o, s:o}", "ok", 1,
        "version", c->c.version, "generation", (json_int_t)g->number, "set", (json_int_t)c->set,
        "rolled_back", c->rolled_back, "retired", retired, "rules_hash", hash, "rules",
        (int)rules_count(g->rules), "functions", (int)rules_function_count(g->rules), "uptime_s",
        (json_int_t)((clock_wall_ns() - c->started_ns) / NS_IN_S), "mono_ns",
        (json_int_t)clock_mono_ns(), "tsc_hz", (json_int_t)c->c.tsc_hz, "audit",
        audit_json_of(c->c.audit), "windows", windows_json(c->c.windows), "workers", workers);
}
