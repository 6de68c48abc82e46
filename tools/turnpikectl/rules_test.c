/* Fixture calls with what must be decided on them: the *.yaml of DIR/tests. */
#include "ctl.h"
#include "judge.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const struct ctl *c;
    struct judge *judge;
    json_t *failures;
    size_t calls, failed;
    bool colour;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Paths of the fixture files, sorted, in memory of `mem`; the number, or -1 after a complaint. */
static int list(const char *directory, struct arena *mem, char ***out, struct diags *d)
{
    char *tests = arena_printf(mem, "%s/tests", directory), **at;
    DIR *dir = opendir(tests);
    struct dirent *e;
    int n = 0, room = 0;

    if (!dir) {
        diag_error(d, place_of_file(tests),
                   "cannot be read: %s; fixture calls stand in *.yaml here", strerror(errno));
        return -1;
    }
    for (*out = NULL; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || !span_ends(span_cstr(e->d_name), SPAN_LIT(".yaml")))
            continue;
        if (n == room) {
            at = arena_array(mem, char *, room ? room * 2 : 16);
            if (n)
                memcpy(at, *out, (size_t)n * sizeof(*at));
            *out = at;
            room = room ? room * 2 : 16;
        }
        (*out)[n++] = arena_printf(mem, "%s/%s", tests, e->d_name);
    }
    closedir(dir);
    if (n)
        qsort(*out, (size_t)n, sizeof(**out), by_name);
    else
        diag_error(d, place_of_file(tests), "there is no file *.yaml here");
    return n ? n : -1;
}

/* ---------------------------------------------------------------------- one call */

static void say_expected(const struct fixture *x, struct outbuf *o)
{
    outbuf_cstr(o, x->expect.decision < 0
                       ? "a decision"
                       : rules_decision_name((enum rules_decision)x->expect.decision));
    if (x->expect.has_rule)
        outbuf_printf(o, " by rule %lu", x->expect.rule);
    if (x->expect.function.n)
        outbuf_printf(o, " on %.*s", SPAN_ARG(x->expect.function));
    if (x->expect.cause.n)
        outbuf_printf(o, " for %.*s", SPAN_ARG(x->expect.cause));
    if (x->expect.unknown >= 0)
        outbuf_cstr(o, x->expect.unknown ? ", unknown" : ", known");
}

static void say_got(const struct judged *g, struct outbuf *o)
{
    outbuf_cstr(o, rules_decision_name(g->decision));
    if (g->verdict.rule)
        outbuf_printf(o, " by rule %lu (%.*s)", g->verdict.rule->id,
                      SPAN_ARG(g->verdict.rule->name));
    else
        outbuf_printf(o, " (%s)", g->cause);
    if (g->function)
        outbuf_printf(o, " on %.*s", SPAN_ARG(g->function->name));
    if (g->verdict.unknown)
        outbuf_cstr(o, ", its condition is unknown");
}

static bool as_expected(const struct fixture *x, const struct judged *g)
{
    uint64_t rule = g->verdict.rule ? g->verdict.rule->id : 0;

    return (x->expect.decision < 0 || (int)g->decision == x->expect.decision) &&
           (!x->expect.has_rule || rule == x->expect.rule) &&
           (!x->expect.function.n ||
            (g->function && span_eq(g->function->name, x->expect.function))) &&
           (!x->expect.cause.n || span_eq(span_cstr(g->cause), x->expect.cause)) &&
           (x->expect.unknown < 0 || x->expect.unknown == (int)g->verdict.unknown);
}

static void failed(struct run *r, const struct fixture *x, const struct judged *g, unsigned times)
{
    char wanted[512], got[1024];
    struct outbuf w = outbuf_on(wanted, sizeof(wanted)), o = outbuf_on(got, sizeof(got));

    say_expected(x, &w);
    say_got(g, &o);
    r->failed++;
    if (r->c->json) {
        json_array_append_new(
            r->failures, json_pack("{s:s, s:i, s:s%, s:s%, s:s%, s:i}", "file", x->place.file,
                                   "line", (int)x->expect.place.line, "name", x->name.p, x->name.n,
                                   "expected", w.p, w.n, "got", o.p, o.n, "time", (int)times));
        return;
    }
    printf("%s%s:%u: %.*s%s\n", r->colour ? "\033[31m" : "", x->place.file, x->expect.place.line,
           SPAN_ARG(x->name), r->colour ? "\033[0m" : "");
    printf("    expected  %.*s\n    got       %.*s\n", (int)w.n, w.p, (int)o.n, o.p);
    if (x->repeat > 1)
        printf("    the %u. time of %u\n", times, x->repeat);
}

static void run_one(struct run *r, const struct fixture *x)
{
    struct judged g;

    r->calls++;
    for (unsigned i = 1; i <= x->repeat; i++) {
        judge_call(r->judge, &x->call, &g);
        if (!as_expected(x, &g)) {
            failed(r, x, &g, i);
            return;
        }
    }
}

static void run_files(struct run *r, char **paths, int n, struct diags *d)
{
    struct fixtures f;

    for (int i = 0; i < n; i++) {
        if (!fixtures_read(paths[i], r->c->as, true, &f, d))
            continue;
        if (!judge_restart(r->judge))
            diag_error(d, place_of_file(paths[i]), "out of memory");
        for (size_t k = 0; k < f.n && !d->errors; k++)
            run_one(r, &f.at[k]);
        fixtures_free(&f);
    }
}

/* --------------------------------------------------------------------- the result */

/* Rules that no fixture reaches are rules that nobody would miss. */
static json_t *unreached(const struct run *r)
{
    const struct rules_set *s = judge_set(r->judge);
    json_t *out = json_array();

    for (unsigned i = 0; i < rules_count(s); i++)
        if (rules_at(s, i)->mode != RULES_OFF && !counter_get(&judge_hits(r->judge)[i].matched))
            json_array_append_new(out, json_integer((json_int_t)rules_at(s, i)->id));
    return out;
}

static int result(struct run *r)
{
    json_t *rules = unreached(r), *id;
    size_t i;

    if (r->c->json) {
        json_t *o = json_pack("{s:b, s:i, s:i, s:O, s:O}", "ok", r->failed == 0, "calls",
                              (int)r->calls, "failed", (int)r->failed, "failures", r->failures,
                              "rules_not_reached", rules);

        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
    } else {
        printf("%zu calls: %zu as expected, %zu not\n", r->calls, r->calls - r->failed, r->failed);
        if (json_array_size(rules)) {
            printf("rules that no call has matched:");
            json_array_foreach(rules, i, id) printf(" %lld", (long long)json_integer_value(id));
            putchar('\n');
        }
    }
    json_decref(rules);
    return r->failed ? CTL_FAILED : CTL_OK;
}

int ctl_rules_test(const struct ctl *c, const char *directory)
{
    struct run r = {.c = c, .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    struct arena mem = ARENA_INIT;
    struct diags d;
    char **paths;
    int n, code = CTL_FILES;

    diags_init(&d);
    r.judge = judge_open(directory, &d);
    n = list(directory, &mem, &paths, &d);
    r.failures = json_array();
    if (r.judge && n > 0)
        run_files(&r, paths, n, &d);
    if (d.errors)
        ctl_diags(c, &d, false);
    else
        code = result(&r);
    json_decref(r.failures);
    judge_close(r.judge);
    arena_free(&mem);
    diags_free(&d);
    return code;
}
