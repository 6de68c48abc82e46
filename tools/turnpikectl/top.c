/* The live view: asks for the counters, waits, asks again, shows what moved. */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const double interval_least = 0.1, interval_most = 3600;

struct plan {
    double interval;     /* seconds */
    unsigned long count; /* 0: until it is ended */
    bool terminal;
};

static int read_plan(const struct ctl *c, struct plan *p)
{
    char *end;

    *p = (struct plan){.interval = 1, .terminal = !c->json && isatty(STDOUT_FILENO)};
    if (c->nwords > 1)
        return ctl_usage("top takes no word \"%s\"", c->words[1]);
    if (c->interval) {
        p->interval = strtod(c->interval, &end);
        if (end == c->interval || *end || !(p->interval >= interval_least) ||
            p->interval > interval_most)
            return ctl_usage("--interval wants seconds from %g to %g, not \"%s\"", interval_least,
                             interval_most, c->interval);
    }
    if (c->count) {
        uint64_t n;

        if (!span_u64(span_cstr(c->count), &n) || n == 0)
            return ctl_usage("--count wants a number from 1 on, not \"%s\"", c->count);
        p->count = n;
    }
    return CTL_OK;
}

static void wait_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};

    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    while (nanosleep(&t, &t) != 0)
        ;
}

static json_t *ask(const struct ctl *c, int *code)
{
    return ctl_ask(c, json_pack("{s:s}", "do", "status"), code);
}

static void show(const struct ctl *c, const struct plan *p, const struct top_view *v)
{
    if (c->json)
        top_show_json(v);
    else if (p->terminal)
        top_show_screen(v);
    else
        top_show_lines(v);
}

/* Shows what moved since `*last`, which the answer replaces. True: it could be compared. */
static bool step(const struct ctl *c, const struct plan *p, json_t **last, int *code)
{
    json_t *now = ask(c, code);
    struct top_view v;
    bool ok = now && top_rates(*last, now, &v);

    if (ok) {
        show(c, p, &v);
        top_view_free(&v);
    }
    json_decref(*last);
    *last = now;
    return ok;
}

int ctl_top(const struct ctl *c)
{
    struct plan p;
    int code = read_plan(c, &p);
    json_t *last;

    if (code != CTL_OK || !(last = ask(c, &code)))
        return code;
    if (p.terminal)
        fputs("\033[2J\033[Hmeasuring ...\n", stdout);
    fflush(stdout);
    for (unsigned long n = 0; last && (p.count == 0 || n < p.count);) {
        wait_for(p.interval);
        n += step(c, &p, &last, &code);
    }
    json_decref(last);
    return code;
}
