#include "ctl.h"

#include <stdio.h>

static long long number(const json_t *o, const char *group, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(o, group), key));
}

/* Only what is not zero: a page of zeros hides what matters. */
static void print_counters(const char *title, const json_t *o, bool (*wanted)(const char *))
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        if (json_is_integer(v) && json_integer_value(v) && (!wanted || wanted(key)))
            printf("  %-10s %-24s %lld\n", title, key, (long long)json_integer_value(v));
    }
}

static bool is_drop(const char *name)
{
    return strncmp(name, "drop_", 5) == 0;
}

static bool is_window(const char *name)
{
    return strncmp(name, "window_", 7) == 0;
}

static bool is_spread(const char *name)
{
    return strcmp(name, "respread") == 0 || strcmp(name, "tx_handed_over") == 0;
}

static void print_worker(const char *title, const json_t *w)
{
    long long cycles = number(w, "call", "cycles_busy"), calls = number(w, "call", "settled");

    printf("%s: %lld callers, %lld vendor connections, %lld of %lld MiB\n", title,
           (long long)json_integer_value(json_object_get(w, "callers")),
           (long long)json_integer_value(json_object_get(w, "vendors")),
           (long long)json_integer_value(json_object_get(w, "memory_used")) >> 20,
           (long long)json_integer_value(json_object_get(w, "memory_total")) >> 20);
    printf("  calls      %lld asked, %lld allowed, %lld blocked, %lld held, %lld settled",
           number(w, "call", "requests"), number(w, "call", "allowed"),
           number(w, "call", "blocked"), number(w, "call", "held"), calls);
    if (calls)
        printf(", %lld busy cycles a call", cycles / calls);
    putchar('\n');
    printf("  pool       %lld vendor connections made, %lld used again, %lld closed idle\n",
           number(w, "call", "vendor_connects"), number(w, "call", "vendor_reused"),
           number(w, "call", "vendor_idle_closed"));
    print_counters("spread", json_object_get(w, "net"), is_spread);
    print_counters("refused", json_object_get(json_object_get(w, "call"), "causes"), NULL);
    print_counters("windows", json_object_get(w, "call"), is_window);
    print_counters("net", json_object_get(w, "net"), is_drop);
    print_counters("tcp", json_object_get(w, "tcp"), is_drop);
}

/* Adds up numbers, and those of objects within. */
static void add_up(json_t *sum, const json_t *o)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        json_t *so_far = json_object_get(sum, key);

        if (json_is_integer(v)) {
            json_object_set_new(sum, key,
                                json_integer(json_integer_value(so_far) + json_integer_value(v)));
        } else if (json_is_object(v)) {
            if (!so_far) {
                json_object_set_new(sum, key, json_object());
                so_far = json_object_get(sum, key);
            }
            add_up(so_far, v);
        }
    }
}

static void print_workers(const json_t *workers)
{
    json_t *sum = json_object(), *w;
    char title[32];
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)workers, i, w)
    {
        snprintf(title, sizeof(title), "worker %zu", i);
        print_worker(title, w);
        add_up(sum, w);
    }
    if (json_array_size(workers) > 1) {
        snprintf(title, sizeof(title), "all %zu workers", json_array_size(workers));
        print_worker(title, sum);
    }
    json_decref(sum);
}

int ctl_status(const struct ctl *c)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s}", "do", "status"), &code);

    if (!a)
        return code;
    if (c->json) {
        json_dumpf(a, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        printf("turnpike %s, up %lld s, generation %lld (%lld rules, %lld functions)\n",
               ctl_text(a, "version"),
               (long long)json_integer_value(json_object_get(a, "uptime_s")),
               (long long)json_integer_value(json_object_get(a, "generation")),
               (long long)json_integer_value(json_object_get(a, "rules")),
               (long long)json_integer_value(json_object_get(a, "functions")));
        printf("rules %s, set %lld%s\n", ctl_text(a, "rules_hash"),
               (long long)json_integer_value(json_object_get(a, "set")),
               json_is_true(json_object_get(a, "rolled_back")) ? " (rolled back to)" : "");
        printf("audit: %lld records, %lld commits, %lld failed, %lld lost\n",
               number(a, "audit", "last_seq"), number(a, "audit", "commits"),
               number(a, "audit", "commit_failures"), number(a, "audit", "lost"));
        printf("windows: %lld of %lld keys in use\n", number(a, "windows", "in_use"),
               number(a, "windows", "keys"));
        print_workers(json_object_get(a, "workers"));
    }
    json_decref(a);
    return CTL_OK;
}
