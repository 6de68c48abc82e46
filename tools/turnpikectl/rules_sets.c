/* The set that runs, those that have run, and what rules have done: asked of the appliance. */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static int print_json(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
    return CTL_OK;
}

/* After a reload or a rollback. */
static int print_in_use(const struct ctl *c, json_t *a)
{
    if (c->json)
        return print_json(a);
    fputs(ctl_text(a, "text"), stderr); /* warnings */
    if (*ctl_text(a, "history"))
        fprintf(stderr, "turnpikectl: warning: the history could not be written: %s\n",
                ctl_text(a, "history"));
    printf("generation %lld in use by every worker (set %lld, rules %.12s)\n",
           number(a, "generation"), number(a, "set"), ctl_text(a, "rules_hash"));
    json_decref(a);
    return CTL_OK;
}

int ctl_rules_reload(const struct ctl *c)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s}", "do", "rules.reload"), &code);

    return a ? print_in_use(c, a) : code;
}

int ctl_rules_rollback(const struct ctl *c, const char *set)
{
    json_t *request = json_pack("{s:s}", "do", "rules.rollback");
    int code = CTL_OK;
    uint64_t n;
    json_t *a;

    if (set && (!span_u64(span_cstr(set), &n) || n == 0 || n > INT64_MAX)) {
        json_decref(request);
        return ctl_usage("rules rollback [N], with N as `turnpikectl rules history` shows it");
    }
    if (set)
        json_object_set_new(request, "set", json_integer((json_int_t)n));
    a = ctl_ask(c, request, &code);
    if (!a)
        return code;
    code = print_in_use(c, a);
    if (!c->json)
        printf("The rules directory is as it was: mend it, then `turnpikectl rules reload`. Until "
               "then this set\nholds, also after a restart.\n");
    return code;
}

int ctl_rules_history(const struct ctl *c)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s}", "do", "rules.history"), &code), *set;
    size_t i;

    if (!a)
        return code;
    if (c->json)
        return print_json(a);
    printf("   SET  FIRST LOADED          BY            RULES  FUNCTIONS  HASH\n");
    json_array_foreach(json_object_get(a, "sets"), i, set)
    {
        printf("%6lld  %.19sZ  ", number(set, "set"), ctl_text(set, "loaded"));
        ctl_print_clean(ctl_text(set, "by"));
        for (size_t pad = strlen(ctl_text(set, "by")); pad < 12; pad++)
            putchar(' ');
        printf("  %5lld  %9lld  %.12s%s%s\n", number(set, "rules"), number(set, "functions"),
               ctl_text(set, "rules_hash"),
               json_is_true(json_object_get(set, "running")) ? "  running" : "",
               json_is_true(json_object_get(set, "pinned")) ? " (rolled back to)" : "");
    }
    json_decref(a);
    return CTL_OK;
}

static void print_hits(const json_t *r, bool colour)
{
    bool never = number(r, "matched") == 0 && strcmp(ctl_text(r, "mode"), "off") != 0;

    printf("%s%10lld  %-5s %-7s %10lld %10lld %10lld  %-20.19s  ",
           never && colour ? "\033[33m" : "", number(r, "id"), ctl_text(r, "then"),
           ctl_text(r, "mode"), number(r, "matched"), number(r, "decided"), number(r, "unknown"),
           never ? "never" : ctl_text(r, "last"));
    ctl_print_clean(ctl_text(r, "name"));
    puts(never && colour ? "\033[0m" : "");
}

int ctl_rules_hits(const struct ctl *c)
{
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s}", "do", "rules.hits"), &code), *rule;
    size_t i;

    if (!a)
        return code;
    if (c->json)
        return print_json(a);
    printf("since %.19sZ; a rule with another rev counts anew\n", ctl_text(a, "since"));
    printf(
        "        ID  THEN  MODE       MATCHED    DECIDED    UNKNOWN  LAST (UTC)            NAME\n");
    json_array_foreach(json_object_get(a, "rules"), i, rule)
    {
        if (!c->never || number(rule, "matched") == 0)
            print_hits(rule, colour);
    }
    json_decref(a);
    return CTL_OK;
}
