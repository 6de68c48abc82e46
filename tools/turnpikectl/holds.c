#include "ctl.h"

#include <stdio.h>

static void dump(const json_t *a)
{
    json_dumpf(a, stdout, JSON_COMPACT);
    putchar('\n');
}

static int list(const struct ctl *c)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s, s:b}", "do", "holds.list", "all", c->all), &code), *h;
    size_t i;

    if (!a)
        return code;
    if (c->json) {
        dump(a);
    } else if (json_array_size(json_object_get(a, "holds")) == 0) {
        puts("no held calls");
    } else {
        printf("%-20s %-10s %-28s %-32s %s\n", "ID", "STATE", "CALLER", "FUNCTION", "DEADLINE");
        json_array_foreach(json_object_get(a, "holds"), i, h)
            printf("%-20s %-10s %-28s %-32s %s\n", ctl_text(h, "id"), ctl_text(h, "state"),
                   ctl_text(h, "caller"), ctl_text(h, "function"), ctl_text(h, "deadline"));
    }
    json_decref(a);
    return CTL_OK;
}

static void row(const json_t *a, const char *title, const char *key)
{
    if (!*ctl_text(a, key))
        return;
    printf("%-11s", title);
    ctl_print_clean(ctl_text(a, key));
    putchar('\n');
}

static int show(const struct ctl *c, const char *id)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c, json_pack("{s:s, s:s}", "do", "holds.show", "id", id), &code);

    if (!a)
        return code;
    if (c->json) {
        dump(a);
    } else {
        row(a, "id", "id");
        row(a, "state", "state");
        row(a, "caller", "caller");
        row(a, "function", "function");
        printf("%-11s", "request");
        ctl_print_clean(ctl_text(a, "method"));
        putchar(' ');
        ctl_print_clean(ctl_text(a, "target"));
        putchar('\n');
        printf("%-11s%lld %s\n", "rule", (long long)json_integer_value(json_object_get(a, "rule")),
               ctl_text(a, "rule_name"));
        row(a, "message", "message");
        row(a, "opened", "opened");
        row(a, "deadline", "deadline");
        row(a, "decided by", "decided_by");
        row(a, "reason", "reason");
        printf("%-11s%lld bytes, %s\n", "body",
               (long long)json_integer_value(json_object_get(a, "body_size")),
               ctl_text(a, "content_type"));
        ctl_print_clean(ctl_text(a, "body"));
        putchar('\n');
    }
    json_decref(a);
    return CTL_OK;
}

static int decide(const struct ctl *c, const char *what, const char *id)
{
    int code = CTL_OK;
    json_t *a = ctl_ask(c,
                        json_pack("{s:o, s:s, s:s}", "do", json_sprintf("holds.%s", what), "id", id,
                                  "reason", c->reason ? c->reason : ""),
                        &code);

    if (!a)
        return code;
    if (c->json)
        dump(a);
    else
        printf("%s: %s (%s)\n", id, ctl_text(a, "result"), ctl_text(a, "state"));
    json_decref(a);
    return CTL_OK;
}

int ctl_holds(const struct ctl *c)
{
    const char *what = c->nwords > 1 ? c->words[1] : "";

    if (strcmp(what, "list") == 0 && c->nwords == 2)
        return list(c);
    if (c->nwords != 3)
        return ctl_usage("holds list, or: holds show|approve|deny ID");
    if (strcmp(what, "show") == 0)
        return show(c, c->words[2]);
    if (strcmp(what, "approve") == 0 || strcmp(what, "deny") == 0)
        return decide(c, what, c->words[2]);
    return ctl_usage("there is no command \"holds %s\"", what);
}
