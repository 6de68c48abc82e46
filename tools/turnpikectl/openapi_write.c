/* The rules file that an import makes. */
#include "openapi.h"

#include <stdlib.h>

static bool plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("/_{}.~-", c)) || (c == ' ' && i)))
            return false;
    }
    return true;
}

static void put_quoted(struct outbuf *o, struct span s)
{
    outbuf_char(o, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\'')
            outbuf_char(o, '\'');
        outbuf_char(o, s.p[i]);
    }
    outbuf_char(o, '\'');
}

static void put_route(struct outbuf *o, const char *route)
{
    if (plain(span_cstr(route)))
        outbuf_cstr(o, route);
    else
        put_quoted(o, span_cstr(route));
}

/* Words that YAML reads as something else than a text, to programs other than ours. */
static bool is_odd(struct span s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   NULL};

    for (const char *const *w = words; *w; w++)
        if (span_ieq(s, span_cstr(*w)))
            return true;
    return s.p[0] >= '0' && s.p[0] <= '9';
}

static void put_name(struct outbuf *o, struct span name)
{
    if (is_odd(name))
        put_quoted(o, name);
    else
        outbuf_span_put(o, name);
}

static int by_name(const void *a, const void *b)
{
    return span_cmp((*(struct oa_operation *const *)a)->name,
                    (*(struct oa_operation *const *)b)->name);
}

static void put_function(struct outbuf *o, const struct oa_operation *op)
{
    outbuf_lit(o, "      ");
    put_name(o, op->name);
    outbuf_char(o, ':');
    if (op->routes.n == 1) {
        outbuf_char(o, ' ');
        put_route(o, op->routes.at[0]);
        outbuf_lit(o, "\n");
        return;
    }
    outbuf_lit(o, "\n");
    for (size_t i = 0; i < op->routes.n; i++) {
        outbuf_lit(o, "        - ");
        put_route(o, op->routes.at[i]);
        outbuf_lit(o, "\n");
    }
}

static void put_functions(struct outbuf *o, struct oa_import *m)
{
    struct oa_operation **all = arena_array(&m->mem, struct oa_operation *, m->functions + 1);
    size_t n = 0;

    for (size_t i = 0; i < m->operations.n; i++)
        if (((struct oa_operation *)m->operations.at[i])->routes.n)
            all[n++] = m->operations.at[i];
    qsort(all, n, sizeof(struct oa_operation *), by_name);
    outbuf_cstr(o, n ? "    functions:\n" : "    functions: {}\n");
    for (size_t i = 0; i < n; i++)
        put_function(o, all[i]);
}

static void put_remarks(struct outbuf *o, struct oa_import *m)
{
    for (size_t i = 0; i < m->notes.n; i++)
        outbuf_printf(o, "# %s\n", (const char *)m->notes.at[i]);
    for (size_t i = 0; i < m->operations.n; i++) {
        const struct oa_operation *op = m->operations.at[i];
        const char *path = op->same || op->left_out || op->wider ? oa_show(m, op->path) : "";

        if (op->same)
            outbuf_printf(o, "# %.*s %s is the same call as %.*s\n", SPAN_ARG(op->method), path,
                          SPAN_ARG(op->same->name));
        else if (op->left_out)
            outbuf_printf(o, "# %.*s %s is left out: %s\n", SPAN_ARG(op->method), path,
                          op->left_out);
        else if (op->wider)
            outbuf_printf(o, "# %.*s %s: a segment with several parameters became one\n",
                          SPAN_ARG(op->method), path);
    }
}

struct span oa_file(struct oa_import *m, const char *source)
{
    size_t room = ((size_t)1 << 16) + m->notes.n * 1024;
    const struct oa_node *info = oa_get(m->root, SPAN_LIT("info"));
    struct outbuf o;

    for (size_t i = 0; i < m->operations.n; i++) {
        const struct oa_operation *op = m->operations.at[i];

        room += 1024;
        for (size_t k = 0; k < op->routes.n; k++)
            room += 2 * strlen(op->routes.at[k]) + 32;
    }
    o = outbuf_on(arena_alloc(&m->mem, room), room);
    outbuf_printf(&o, "# The functions of %s %s, from %s\n", oa_show(m, oa_text(info, "title")),
                  oa_show(m, oa_text(info, "version")), oa_show(m, span_cstr(source)));
    outbuf_lit(&o,
               "# by turnpikectl rules import openapi. Nothing is allowed until a rule says so.\n");
    put_remarks(&o, m);
    outbuf_printf(&o, "connections:\n  %s:\n    hosts: [", m->connection);
    for (size_t i = 0; i < m->hosts.n; i++)
        outbuf_printf(&o, "%s'%s'", i ? ", " : "", (const char *)m->hosts.at[i]);
    outbuf_lit(&o, "]\n");
    if (m->port && m->port != 443)
        outbuf_printf(&o, "    port: %u\n", m->port);
    put_functions(&o, m);
    return o.full ? SPAN_NONE : outbuf_span(&o);
}
