/* Rates from the counters of two answers. */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>

#include "identity/identity.h"
#include "tls/tls.h"

static double value(const json_t *o, const char *key)
{
    return (double)json_integer_value(json_object_get(o, key));
}

static double moved(const json_t *before, const json_t *after, const char *group, const char *key)
{
    return value(json_object_get(after, group), key) - value(json_object_get(before, group), key);
}

/* ------------------------------------------------------------------------ stages */

/* Busy cycles by stage. One loop in 32 was measured: the shares of those in this interval, or, if
 * it had none, what the shares of all time make of it. */
static void stage_cycles(const json_t *before, const json_t *after, double busy, double out[STAGES])
{
    double sum = 0;

    for (unsigned i = 0; i < STAGES; i++)
        sum += out[i] = moved(before, after, "stages_measured", stage_name(i));
    for (unsigned i = 0; i < STAGES; i++) {
        if (sum > 0)
            out[i] *= busy / sum;
        else
            out[i] = moved(before, after, "stages", stage_name(i));
        if (out[i] < 0)
            out[i] = 0;
    }
}

/* ------------------------------------------------------------- drops and refusals */

static bool among(const char *key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

/* Beside these, the groups hold nothing but causes. */
static bool is_cause(const char *group, const char *key)
{
#define X(name) #name,
    static const char *const tls[] = {TLS_COUNTERS(X)};
    static const char *const identity[] = {IDENTITY_COUNTERS(X)};
#undef X

    if (strcmp(group, "tls") == 0)
        return !among(key, tls, sizeof(tls) / sizeof(*tls));
    return !among(key, identity, sizeof(identity) / sizeof(*identity));
}

static bool is_refusal(const char *group, const char *key)
{
    static const char *const prefixes[] = {"drop_", "refused_",        "evicted_",
                                           "slow_", "resets_pressure", "window_"};

    if (strcmp(group, "causes") == 0)
        return true;
    if (strcmp(group, "tls") == 0 || strcmp(group, "identity") == 0)
        return is_cause(group, key);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void note(json_t *to, const char *group, const char *key, double rate)
{
    char name[80];

    snprintf(name, sizeof(name), "%s.%s", group, key);
    json_object_set_new(to, name, json_real(json_real_value(json_object_get(to, name)) + rate));
}

static void group_refusals(const json_t *before, const json_t *after, const char *group,
                           double seconds, json_t *out, json_t *all)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)json_object_get(after, group), key, v)
    {
        double n =
            json_is_integer(v) && is_refusal(group, key) ? moved(before, after, group, key) : 0;

        if (n > 0) {
            note(out, group, key, n / seconds);
            note(all, group, key, n / seconds);
        }
    }
}

static void refusals(const json_t *before, const json_t *after, double seconds, json_t *out,
                     json_t *all)
{
    static const char *const groups[] = {"net", "tcp", "tls", "identity", "call"};

    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        group_refusals(before, after, groups[i], seconds, out, all);
    group_refusals(json_object_get(before, "call"), json_object_get(after, "call"), "causes",
                   seconds, out, all);
}

static int larger_first(const void *a, const void *b)
{
    double x = json_real_value(*(json_t *const *)a), y = json_real_value(*(json_t *const *)b);

    return (x < y) - (x > y);
}

/* Objects keep the order in which they were filled. Takes the reference. */
static json_t *sorted(json_t *o)
{
    size_t n = json_object_size(o), i = 0;
    json_t **list = calloc(n + 1, sizeof(*list)), *out = json_object(), *v;
    const char *key;

    if (!list)
        return o;
    json_object_foreach(o, key, v) list[i++] = v;
    qsort(list, n, sizeof(*list), larger_first);
    for (i = 0; i < n; i++)
        json_object_foreach(o, key, v) if (v == list[i]) json_object_set(out, key, v);
    free(list);
    json_decref(o);
    return out;
}

/* ----------------------------------------------------------------------- columns */

static void worker_column(const json_t *before, const json_t *after, double seconds,
                          struct top_column *c)
{
    static const struct {
        enum top_rate rate;
        const char *key;
    } of_call[] = {{TOP_REQUESTS, "requests"},  {TOP_ALLOWED, "allowed"},
                   {TOP_BLOCKED, "blocked"},    {TOP_HELD, "held"},
                   {TOP_CYCLES, "cycles_busy"}, {TOP_UP, "bytes_up"},
                   {TOP_DOWN, "bytes_down"}};

    for (size_t i = 0; i < sizeof(of_call) / sizeof(*of_call); i++)
        c->rate[of_call[i].rate] = moved(before, after, "call", of_call[i].key) / seconds;
    stage_cycles(before, after, c->rate[TOP_CYCLES], &c->rate[TOP_STAGE]);
    c->rate[TOP_CALLERS] = value(after, "callers");
    c->rate[TOP_VENDORS] = value(after, "vendors");
}

static void add(struct top_column *all, const struct top_column *c)
{
    for (unsigned i = 0; i < TOP_RATES; i++)
        all->rate[i] += c->rate[i];
    all->busy += c->busy;
}

/* Counters that went back are those of another run. */
static bool same_run(const json_t *before, const json_t *after)
{
    const json_t *b = json_object_get(before, "workers"), *a = json_object_get(after, "workers");

    if (json_array_size(b) != json_array_size(a) ||
        value(after, "uptime_s") < value(before, "uptime_s"))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (moved(json_array_get(b, i), json_array_get(a, i), "call", "cycles_busy") < 0)
            return false;
    return value(after, "mono_ns") > value(before, "mono_ns");
}

static void fill(const json_t *before, const json_t *after, struct top_view *v)
{
    const json_t *b = json_object_get(before, "workers"), *a = json_object_get(after, "workers");
    double hz = value(after, "tsc_hz");
    struct top_column *all = &v->column[0];

    snprintf(all->title, sizeof(all->title), "all");
    for (unsigned i = 1; i < v->columns; i++) {
        struct top_column *c = &v->column[i];
        const json_t *wb = json_array_get(b, i - 1), *wa = json_array_get(a, i - 1);

        snprintf(c->title, sizeof(c->title), "worker %u", i - 1);
        worker_column(wb, wa, v->seconds, c);
        c->busy = hz > 0 ? c->rate[TOP_CYCLES] / hz : 0;
        refusals(wb, wa, v->seconds, c->refusals, all->refusals);
        c->refusals = sorted(c->refusals);
        add(all, c);
    }
    all->refusals = sorted(all->refusals);
}

bool top_rates(const json_t *before, const json_t *after, struct top_view *v)
{
    unsigned n = (unsigned)json_array_size(json_object_get(after, "workers")) + 1;

    *v = (struct top_view){.status = after};
    if (!same_run(before, after))
        return false;
    v->column = calloc(n, sizeof(*v->column));
    if (!v->column)
        return false;
    v->columns = n;
    for (unsigned i = 0; i < n; i++)
        v->column[i].refusals = json_object();
    v->seconds = (value(after, "mono_ns") - value(before, "mono_ns")) / (double)NS_IN_S;
    v->records = moved(before, after, "audit", "last_seq") / v->seconds;
    v->commits = moved(before, after, "audit", "commits") / v->seconds;
    fill(before, after, v);
    return true;
}

void top_view_free(struct top_view *v)
{
    for (unsigned i = 0; i < v->columns; i++)
        json_decref(v->column[i].refusals);
    free(v->column);
}
