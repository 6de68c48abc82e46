/* Three ways to show the rates: on a terminal, as lines, as JSON. */
#include "top.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TITLE = 26, COLUMN = 13, NARROW = 80 };

/* A rate in few characters: what is small keeps its fraction. */
static const char *text(double v, char out[32])
{
    snprintf(out, 32, v > 0 && v < 10 ? "%.2f" : "%.0f", v);
    return out;
}

static const char *bytes_text(double v, char out[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    unsigned i = 0;

    for (; v >= 1000 && i < sizeof(units) / sizeof(*units) - 1; i++)
        v /= 1000;
    snprintf(out, 32, "%.*f %s", i ? 1 : 0, v, units[i]);
    return out;
}

/* Of a second's cycles; 0 when there were no requests to share them. */
static double a_request(const struct top_column *c, unsigned rate)
{
    return c->rate[TOP_REQUESTS] > 0 ? c->rate[rate] / c->rate[TOP_REQUESTS] : 0;
}

/* ---------------------------------------------------------------------- the screen */

struct screen {
    const struct top_view *v;
    unsigned columns; /* that fit */
    unsigned lines;   /* left */
};

static void end_line(struct screen *s)
{
    fputs("\033[K\n", stdout); /* and nothing is left of what stood there */
    s->lines--;
}

static void line(struct screen *s, const char *title, unsigned rate,
                 const char *(*show)(const struct top_column *, unsigned, char[32]))
{
    char number[32];

    if (s->lines < 2)
        return;
    printf("%-*s", TITLE, title);
    for (unsigned i = 0; i < s->columns; i++)
        printf("%*s", COLUMN, show(&s->v->column[i], rate, number));
    end_line(s);
}

static const char *show_title(const struct top_column *c, unsigned rate, char out[32])
{
    (void)rate;
    snprintf(out, 32, "%s", c->title);
    return out;
}

static const char *show_rate(const struct top_column *c, unsigned rate, char out[32])
{
    return text(c->rate[rate], out);
}

static const char *show_count(const struct top_column *c, unsigned rate, char out[32])
{
    snprintf(out, 32, "%.0f", c->rate[rate]);
    return out;
}

static const char *show_bytes(const struct top_column *c, unsigned rate, char out[32])
{
    return bytes_text(c->rate[rate], out);
}

static const char *show_a_request(const struct top_column *c, unsigned rate, char out[32])
{
    return c->rate[TOP_REQUESTS] > 0 ? text(a_request(c, rate), out) : "-";
}

static const char *show_busy(const struct top_column *c, unsigned rate, char out[32])
{
    (void)rate;
    snprintf(out, 32, "%.1f %%", 100 * c->busy);
    return out;
}

static struct screen screen_of(const struct top_view *v)
{
    struct winsize w = {0};
    unsigned width, fit;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0)
        w = (struct winsize){.ws_col = NARROW, .ws_row = 24};
    width = w.ws_col > TITLE + COLUMN ? w.ws_col : TITLE + COLUMN;
    fit = (width - TITLE) / COLUMN;
    return (struct screen){v, fit < v->columns ? fit : v->columns, w.ws_row};
}

static void show_head(struct screen *s)
{
    char records[32], commits[32];

    printf("turnpike %s, up %lld s; audit: %s records/s, %s commits/s",
           ctl_text(s->v->status, "version"),
           (long long)json_integer_value(json_object_get(s->v->status, "uptime_s")),
           text(s->v->records, records), text(s->v->commits, commits));
    if (s->columns < s->v->columns)
        printf("; %u more workers in a wider window", s->v->columns - s->columns);
    end_line(s);
}

static void show_refusals(struct screen *s)
{
    json_t *all = s->v->column[0].refusals, *v;
    const char *key;

    if (json_object_size(all) && s->lines > 3)
        line(s, "drops and refusals/s", 0, show_title);
    json_object_foreach(all, key, v)
    {
        char number[32];

        if (s->lines < 2)
            return;
        printf("  %-*.*s", TITLE - 2, TITLE - 3, key);
        for (unsigned i = 0; i < s->columns; i++)
            printf("%*s", COLUMN,
                   text(json_real_value(json_object_get(s->v->column[i].refusals, key)), number));
        end_line(s);
    }
}

void top_show_screen(const struct top_view *v)
{
    struct screen s = screen_of(v);

    fputs("\033[H", stdout);
    show_head(&s);
    line(&s, "", 0, show_title);
    line(&s, "requests/s", TOP_REQUESTS, show_rate);
    line(&s, "  allowed", TOP_ALLOWED, show_rate);
    line(&s, "  blocked", TOP_BLOCKED, show_rate);
    line(&s, "  held", TOP_HELD, show_rate);
    line(&s, "busy, of a core", 0, show_busy);
    line(&s, "cycles a request", TOP_CYCLES, show_a_request);
    for (unsigned i = 0; i < STAGES; i++) {
        char title[TITLE];

        snprintf(title, sizeof(title), "  %s", stage_name(i));
        line(&s, title, TOP_STAGE + i, show_a_request);
    }
    line(&s, "callers", TOP_CALLERS, show_count);
    line(&s, "vendor connections", TOP_VENDORS, show_count);
    line(&s, "bytes up/s", TOP_UP, show_bytes);
    line(&s, "bytes down/s", TOP_DOWN, show_bytes);
    show_refusals(&s);
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* ------------------------------------------------------------------------- lines */

static void print_column(const struct top_column *c)
{
    char n[8][32];
    const char *key;
    json_t *v;

    printf("%s: %s requests/s (%s allowed, %s blocked, %s held), busy %.1f %%, %.0f callers, "
           "%.0f vendor connections, %s/s up, %s/s down",
           c->title, text(c->rate[TOP_REQUESTS], n[0]), text(c->rate[TOP_ALLOWED], n[1]),
           text(c->rate[TOP_BLOCKED], n[2]), text(c->rate[TOP_HELD], n[3]), 100 * c->busy,
           c->rate[TOP_CALLERS], c->rate[TOP_VENDORS], bytes_text(c->rate[TOP_UP], n[4]),
           bytes_text(c->rate[TOP_DOWN], n[5]));
    if (c->rate[TOP_REQUESTS] > 0) {
        printf(", %s cycles a request", text(a_request(c, TOP_CYCLES), n[6]));
        for (unsigned i = 0; i < STAGES; i++)
            printf("%s%s %s", i ? ", " : " (", stage_name(i),
                   text(a_request(c, TOP_STAGE + i), n[7]));
        putchar(')');
    }
    json_object_foreach(c->refusals, key, v)
        printf(", %s %s/s", key, text(json_real_value(v), n[7]));
    putchar('\n');
}

void top_show_lines(const struct top_view *v)
{
    char records[32], commits[32];

    printf("audit: %s records/s, %s commits/s\n", text(v->records, records),
           text(v->commits, commits));
    for (unsigned i = 0; i < v->columns; i++)
        print_column(&v->column[i]);
    fflush(stdout);
}

/* -------------------------------------------------------------------------- JSON */

static json_t *cycles_json(const struct top_column *c)
{
    json_t *stages;

    if (c->rate[TOP_REQUESTS] <= 0)
        return json_null();
    stages = json_object();
    for (unsigned i = 0; i < STAGES; i++)
        json_object_set_new(stages, stage_name(i), json_real(a_request(c, TOP_STAGE + i)));
    return stages;
}

static json_t *column_json(const struct top_column *c)
{
    json_t *cycles = c->rate[TOP_REQUESTS] > 0 ? json_real(a_request(c, TOP_CYCLES)) : json_null();

    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:i, s:i, s:f, s:f, s:O}", "requests",
                     c->rate[TOP_REQUESTS], "allowed", c->rate[TOP_ALLOWED], "blocked",
                     c->rate[TOP_BLOCKED], "held", c->rate[TOP_HELD], "busy", c->busy,
                     "cycles_a_request", cycles, "stages", cycles_json(c), "callers",
                     (int)c->rate[TOP_CALLERS], "vendors", (int)c->rate[TOP_VENDORS], "bytes_up",
                     c->rate[TOP_UP], "bytes_down", c->rate[TOP_DOWN], "refusals", c->refusals);
}

void top_show_json(const struct top_view *v)
{
    json_t *workers = json_array(), *o;

    for (unsigned i = 1; i < v->columns; i++)
        json_array_append_new(workers, column_json(&v->column[i]));
    o = json_pack("{s:b, s:f, s:O, s:{s:f, s:f}, s:o, s:o}", "ok", 1, "seconds", v->seconds,
                  "uptime_s", json_object_get(v->status, "uptime_s"), "audit", "records",
                  v->records, "commits", v->commits, "all", column_json(&v->column[0]), "workers",
                  workers);
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}
