/* What `top` shows: rates between two answers to "status", a column a worker and one for all of
 * them. top_rates.c computes them, top_show.c shows them, top.c asks and waits. */
#ifndef TOP_H
#define TOP_H

#include "ctl.h"

/* All but connections are a second; cycles are made into those a request when they are shown. */
enum top_rate {
    TOP_REQUESTS,
    TOP_ALLOWED,
    TOP_BLOCKED,
    TOP_HELD,
    TOP_CYCLES, /* busy ones */
    TOP_STAGE,  /* the first of STAGES: of the busy ones */
    TOP_CALLERS = TOP_STAGE + STAGES,
    TOP_VENDORS,
    TOP_UP,
    TOP_DOWN,
    TOP_RATES
};

struct top_column {
    char title[24]; /* "all", "worker 0" */
    double rate[TOP_RATES];
    double busy;      /* cores that were not idle: 0.5 is half of one */
    json_t *refusals; /* name -> a second; those that moved, largest first */
};

struct top_view {
    double seconds;          /* that it tells of */
    double records, commits; /* of the audit store, a second */
    unsigned columns;        /* [0] is all */
    struct top_column *column;
    const json_t *status; /* the later answer */
};

/* False: the answers cannot be compared (the appliance has been started anew), or no memory. */
bool top_rates(const json_t *before, const json_t *after, struct top_view *v);
void top_view_free(struct top_view *v);

void top_show_screen(const struct top_view *v); /* a table, over what the terminal showed before */
void top_show_lines(const struct top_view *v);  /* a line a worker */
void top_show_json(const struct top_view *v);   /* one object on a line */

#endif
