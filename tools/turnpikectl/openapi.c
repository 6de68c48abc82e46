/* rules import openapi: the command. */
#include "openapi.h"

#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "rules/rules.h"

static bool read_document(struct oa_import *m, const char *path, struct span *text, char why[256])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *p = arena_alloc(&m->mem, OA_FILE_MAX + 1);
    ssize_t n = fd < 0 ? -1 : file_read_up_to(fd, p, OA_FILE_MAX + 1);

    if (n < 0)
        snprintf(why, 256, "it cannot be read: %s", strerrordesc_np(errno));
    if (fd >= 0)
        close(fd);
    *text = span_of(p, n < 0 ? 0 : (size_t)n);
    return n >= 0;
}

/* What is written is what `rules check` takes: it is read first, as a rules directory is. */
static bool loads(const char *directory, struct span file, struct diags *d)
{
    char *path = NULL;
    struct rules_set *s = NULL;
    FILE *f;

    if (asprintf(&path, "%s/import.yaml", directory) < 0)
        return false;
    f = fopen(path, "we");
    if (f && fwrite(file.p, 1, file.n, f) == file.n && fclose(f) == 0)
        s = rules_load(directory, clock_wall_ns(), d);
    unlink(path);
    free(path);
    if (s)
        rules_free(s);
    return s != NULL;
}

static bool good_for_us(struct span file)
{
    char directory[] = "/tmp/turnpikectl-XXXXXX";
    struct diags d;
    bool good;

    if (!mkdtemp(directory)) {
        fprintf(stderr, "turnpikectl: no directory to check the file in: %s\n",
                strerrordesc_np(errno));
        return false;
    }
    diags_init(&d);
    good = loads(directory, file, &d);
    if (!good)
        diags_print(&d, stderr, false);
    diags_free(&d);
    rmdir(directory);
    return good;
}

static int write_file(const struct ctl *c, struct span file)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (c->force ? O_TRUNC : O_EXCL);
    int fd;
    FILE *f;
    bool good;

    if (!c->output)
        return fwrite(file.p, 1, file.n, stdout) == file.n && fflush(stdout) == 0 ? CTL_OK
                                                                                  : CTL_FAILED;
    fd = open(c->output, flags, 0644);
    f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        fprintf(stderr,
                errno == EEXIST ? "turnpikectl: %s is there already; --force replaces it\n"
                                : "turnpikectl: %s cannot be written\n",
                c->output);
        if (fd >= 0)
            close(fd);
        return CTL_FAILED;
    }
    good = fwrite(file.p, 1, file.n, f) == file.n;
    good = fclose(f) == 0 && good;
    if (!good)
        fprintf(stderr, "turnpikectl: %s cannot be written: %s\n", c->output,
                strerrordesc_np(errno));
    return good ? CTL_OK : CTL_FAILED;
}

static void remark(const struct oa_import *m, const struct oa_operation *op, FILE *to)
{
    const char *path = oa_show((struct oa_import *)(uintptr_t)m, op->path);

    if (op->same)
        fprintf(to, "turnpikectl: %.*s %s is the same call as %.*s\n", SPAN_ARG(op->method), path,
                SPAN_ARG(op->same->name));
    else if (op->left_out)
        fprintf(to, "turnpikectl: %.*s %s is left out: %s\n", SPAN_ARG(op->method), path,
                op->left_out);
}

static void tell(const struct oa_import *m)
{
    size_t shown = 0;

    for (size_t i = 0; i < m->notes.n; i++)
        fprintf(stderr, "turnpikectl: %s\n", (const char *)m->notes.at[i]);
    for (size_t i = 0; i < m->operations.n && shown < OA_NOTES_MAX; i++) {
        const struct oa_operation *op = m->operations.at[i];

        shown += op->same || op->left_out;
        remark(m, op, stderr);
    }
    if (m->shared + m->left_out > shown)
        fprintf(stderr, "turnpikectl: ... and %zu more, see the file\n",
                m->shared + m->left_out - shown);
}

static json_t *remarks_json(struct oa_import *m, bool shared)
{
    json_t *list = json_array();

    for (size_t i = 0; i < m->operations.n; i++) {
        const struct oa_operation *op = m->operations.at[i];

        if (shared ? !op->same : !op->left_out)
            continue;
        json_array_append_new(
            list, json_pack("{s:o, s:s, s:o}", "method", json_stringn(op->method.p, op->method.n),
                            "path", oa_show(m, op->path), shared ? "function" : "why",
                            shared ? json_stringn(op->same->name.p, op->same->name.n)
                                   : json_string(op->left_out)));
    }
    return list;
}

static void tell_json(const struct ctl *c, struct oa_import *m)
{
    json_t *hosts = json_array(), *notes = json_array(), *all;

    for (size_t i = 0; i < m->hosts.n; i++)
        json_array_append_new(hosts, json_string(m->hosts.at[i]));
    for (size_t i = 0; i < m->notes.n; i++)
        json_array_append_new(notes, json_string(m->notes.at[i]));
    all = json_pack("{s:b, s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "ok", 1, "connection",
                    m->connection, "file", c->output, "hosts", hosts, "operations",
                    (json_int_t)m->operations.n, "functions", (json_int_t)m->functions, "wider",
                    (json_int_t)m->wider, "same", remarks_json(m, true), "left_out",
                    remarks_json(m, false), "notes", notes);
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

static int refuse(const struct ctl *c, const char *path, const char *why)
{
    if (c->json) {
        json_t *j = json_pack("{s:b, s:s}", "ok", 0, "error", why);

        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
    } else {
        fprintf(stderr, "turnpikectl: %s: %s\n", path, why);
    }
    return CTL_FILES;
}

static int import(const struct ctl *c, struct oa_import *m, const char *path)
{
    const char *name = strrchr(path, '/');
    char why[256] = "it cannot be understood";
    struct span text, file;
    int code;

    if (!read_document(m, path, &text, why) || !oa_plan(m, text, why))
        return refuse(c, path, why);
    file = oa_file(m, name ? name + 1 : path);
    if (!file.p || !good_for_us(file))
        return refuse(c, path, "its functions make no rules file that could be used");
    code = write_file(c, file);
    if (code != CTL_OK)
        return code;
    if (c->json)
        tell_json(c, m);
    else
        tell(m);
    return m->shared || m->left_out ? CTL_PARTLY : CTL_OK;
}

static bool connection_good(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return n > 0 && n <= 48 && s[n] == '\0' && s[0] != '-';
}

int ctl_rules_import(const struct ctl *c)
{
    struct oa_import m = {.mem = ARENA_INIT, .connection = c->connection, .host = c->host};
    int code;

    if (c->nwords != 4 || strcmp(c->words[2], "openapi") != 0 || !c->connection)
        return ctl_usage("rules import openapi SPEC --connection NAME [--host H] [--output FILE]");
    if (!connection_good(c->connection))
        return ctl_usage("a connection's name is up to 48 letters, digits, _ and -");
    if (c->host && !oa_host_good(span_cstr(c->host)))
        return ctl_usage("--host is a name in lower case, without scheme, port or path");
    if (c->json && !c->output)
        return ctl_usage("with --json the file needs a name: --output FILE");
    code = import(c, &m, c->words[3]);
    arena_free(&m.mem);
    return code;
}
