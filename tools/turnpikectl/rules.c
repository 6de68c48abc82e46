#include "rules/rules.h"

#include "ctl.h"

#include <stdio.h>

#include "identity/identity.h"

/* What a reload would check, but for the vault: that is the appliance's. */
static bool check_all(struct rules_set *set, const char *directory, struct diags *d)
{
    struct match_builder *b = match_builder_new();
    struct match_db *db = NULL;
    struct identity_set *id = identity_load(set, d);
    char why[256] = "out of memory";

    if (b && rules_add_detectors(set, b, d)) {
        db = match_builder_compile(b, why);
        if (!db)
            diag_error(d, place_of_file(directory), "detectors do not compile: %s", why);
    }
    match_builder_free(b);
    if (db)
        match_db_free(db);
    if (id)
        identity_free(id);
    return id && db && d->errors == 0;
}

static int check(const struct ctl *c, const char *directory)
{
    struct rules_set *set;
    struct diags d;
    bool ok;
    int code;

    diags_init(&d);
    set = rules_load(directory, clock_wall_ns(), &d);
    ok = set && check_all(set, directory, &d);
    code = ctl_diags(c, &d, ok);
    if (ok && !c->json)
        printf("%s: %u rules, %u functions, %u connections: no complaint\n", directory,
               rules_count(set), rules_function_count(set), rules_connection_count(set));
    if (set)
        rules_free(set);
    diags_free(&d);
    return code;
}

int ctl_rules(const struct ctl *c)
{
    const char *what = c->nwords > 1 ? c->words[1] : "";

    if (strcmp(what, "check") == 0 && c->nwords == 3)
        return check(c, c->words[2]);
    if (strcmp(what, "test") == 0 && c->nwords == 3)
        return ctl_rules_test(c, c->words[2]);
    if (strcmp(what, "explain") == 0 && c->nwords == 3)
        return ctl_rules_explain(c, c->words[2]);
    if (strcmp(what, "diff") == 0 && c->nwords == 4)
        return ctl_rules_diff(c, c->words[2], c->words[3]);
    if (strcmp(what, "reload") == 0 && c->nwords == 2)
        return ctl_rules_reload(c);
    if (strcmp(what, "rollback") == 0 && c->nwords <= 3)
        return ctl_rules_rollback(c, c->nwords == 3 ? c->words[2] : NULL);
    if (strcmp(what, "history") == 0 && c->nwords == 2)
        return ctl_rules_history(c);
    if (strcmp(what, "hits") == 0 && c->nwords == 2)
        return ctl_rules_hits(c);
    if (strcmp(what, "import") == 0)
        return ctl_rules_import(c);
    return ctl_usage("rules check DIR, test DIR, explain DIR, diff OLD NEW, reload, rollback [N], "
                     "history, hits or import");
}
