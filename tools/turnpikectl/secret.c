#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vault/vault.h"

/* The value is what stands on standard input, without one newline at its end. */
static bool read_value(char *value, size_t cap, size_t *n)
{
    ssize_t got = file_read_up_to(STDIN_FILENO, value, cap);

    *n = got > 0 ? (size_t)got : 0;
    if (*n && *n < cap && value[*n - 1] == '\n')
        --*n;
    return *n > 0 && *n < cap;
}

static int set(const struct ctl *c, struct diags *d)
{
    char *value = vault_mem_alloc(VAULT_VALUE_MAX + 2);
    uint32_t version = 0;
    size_t n = 0;
    bool ok = false;

    if (!c->connection)
        return ctl_usage("secret set NAME needs --connection: only that connection may use it");
    if (!value)
        return CTL_FAILED;
    if (isatty(STDIN_FILENO))
        fputs("value (end with Ctrl-D): ", stderr);
    if (!read_value(value, VAULT_VALUE_MAX + 2, &n))
        diag_error(d, place_of_file("standard input"), "the value must have 1 to %d bytes",
                   VAULT_VALUE_MAX);
    else
        ok = vault_set(c->vault, c->key_file, span_cstr(c->words[2]), span_cstr(c->connection),
                       span_of(value, n), clock_wall_ns(), &version, d);
    vault_mem_free(value);
    if (ok && c->json)
        printf("{\"ok\":true,\"version\":%u}\n", version);
    else if (ok)
        printf("%s: version %u for %s; turnpikectl rules reload puts it to use\n", c->words[2],
               version, c->connection);
    return ok ? CTL_OK : ctl_diags(c, d, false);
}

static json_t *describe(const struct vault_secret *s)
{
    char text[CLOCK_TEXT];

    return json_pack("{s:s%, s:s%, s:i, s:s}", "name", s->name.p, s->name.n, "connection",
                     s->connection.p, s->connection.n, "version", (int)s->version, "created",
                     clock_text(s->created_ns, text));
}

static int list(const struct ctl *c, struct diags *d)
{
    struct vault *v = vault_open(c->vault, c->key_file, d);
    json_t *all = json_array();

    if (!v) {
        json_decref(all);
        return ctl_diags(c, d, false);
    }
    for (unsigned i = 0; i < vault_count(v); i++) {
        const struct vault_secret *s = vault_at(v, i);
        char text[CLOCK_TEXT];

        json_array_append_new(all, describe(s));
        if (!c->json)
            printf("%-32.*s %-24.*s version %-4u %s\n", SPAN_ARG(s->name), SPAN_ARG(s->connection),
                   s->version, clock_text(s->created_ns, text));
    }
    if (c->json) {
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(all);
    vault_close(v);
    return CTL_OK;
}

static int init(const struct ctl *c, struct diags *d)
{
    bool ok = (access(c->key_file, F_OK) == 0 || vault_key_create(c->key_file, d)) &&
              vault_create(c->vault, c->key_file, d);

    if (ok && !c->json)
        printf("%s made; its key is %s: keep them apart in backups\n", c->vault, c->key_file);
    return ok && !c->json ? CTL_OK : ctl_diags(c, d, ok);
}

int ctl_secret(const struct ctl *c)
{
    const char *what = c->nwords > 1 ? c->words[1] : "";
    struct diags d;
    int code;

    diags_init(&d);
    if (strcmp(what, "init") == 0 && c->nwords == 2)
        code = init(c, &d);
    else if (strcmp(what, "list") == 0 && c->nwords == 2)
        code = list(c, &d);
    else if (strcmp(what, "set") == 0 && c->nwords == 3)
        code = set(c, &d);
    else if (strcmp(what, "remove") == 0 && c->nwords == 3)
        code = ctl_diags(c, &d, vault_remove(c->vault, c->key_file, span_cstr(c->words[2]), &d));
    else
        code = ctl_usage("secret init, list, set NAME or remove NAME");
    diags_free(&d);
    return code;
}
