/* `servers` of an OpenAPI document: hosts of ours, a port, and the paths before all others. */
#include "openapi.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/net.h"

bool oa_host_good(struct span host)
{
    struct span rest = host, label;
    struct net_addr a;

    if (host.n == 0 || host.n > 253 || net_addr_parse(host, &a))
        return false;
    while (rest.p) {
        label = span_cut(&rest, '.');
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!(label.p[i] >= 'a' && label.p[i] <= 'z') &&
                !(label.p[i] >= '0' && label.p[i] <= '9') && label.p[i] != '-' && label.p[i] != '_')
                return false;
    }
    return true;
}

static void add_host(struct oa_import *m, struct span host)
{
    for (size_t i = 0; i < m->hosts.n; i++)
        if (span_eq(span_cstr(m->hosts.at[i]), host))
            return;
    if (m->hosts.n == OA_HOSTS_MAX)
        oa_note(m, "more than %d hosts: %s is left out", OA_HOSTS_MAX, oa_show(m, host));
    else
        oa_add(&m->hosts, &m->mem, arena_strdup(&m->mem, host));
}

/* The URL with the default of each variable. */
static struct span without_variables(struct oa_import *m, const struct oa_node *server,
                                     struct span url)
{
    struct outbuf o = outbuf_on(arena_alloc(&m->mem, OA_TEMPLATE_MAX), OA_TEMPLATE_MAX);
    const struct oa_node *variables = oa_get(server, SPAN_LIT("variables"));
    struct span rest = url, name;

    while (rest.p) {
        outbuf_span_put(&o, span_cut(&rest, '{'));
        if (!rest.p)
            break;
        name = span_cut(&rest, '}');
        outbuf_span_put(&o, oa_text(oa_get(variables, name), "default"));
    }
    oa_note(m,
            "the server %s is a template: taken as %s, the defaults of its variables; see --host",
            oa_show(m, url), oa_show(m, outbuf_span(&o)));
    return outbuf_span(&o);
}

static void add_port(struct oa_import *m, struct span url, struct span text, bool tls)
{
    uint64_t port = 443;

    if (text.p && (!span_u64(text, &port) || port == 0 || port > 65535))
        oa_note(m, "the server %s has no port that can be used", oa_show(m, url));
    else if (!text.p && !tls)
        oa_note(m, "the server %s speaks no TLS; its host is taken with port 443", oa_show(m, url));
    if (m->port && m->port != port)
        oa_note(m, "servers have different ports; %u is taken, a connection has one", m->port);
    else if (port && port <= 65535)
        m->port = (unsigned)port;
}

static void add_authority(struct oa_import *m, struct span url, struct span authority, bool tls)
{
    struct span host, port = authority;
    char *lower;

    host = span_cut(&port, ':');
    lower = arena_strdup(&m->mem, host);
    for (size_t i = 0; i < host.n; i++)
        lower[i] = ascii_lower(lower[i]);
    if (m->host)
        return;
    if (!oa_host_good(span_of(lower, host.n)))
        oa_note(m, "the server %s has no host that a TLS client could name", oa_show(m, url));
    else {
        add_host(m, span_of(lower, host.n));
        add_port(m, url, port, tls);
    }
}

static void add_base(struct oa_import *m, struct oa_list *bases, struct span path)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < bases->n; i++)
        if (span_eq(span_cstr(bases->at[i]), path))
            return;
    oa_add(bases, &m->mem, arena_strdup(&m->mem, path));
}

/* "https://api.x.com:8443/v1", or "/v1" alone: relative to where the document was. */
static void add_server(struct oa_import *m, const struct oa_node *server, struct oa_list *bases)
{
    struct span url = oa_text(server, "url"), rest;
    bool tls = true;
    const char *slash;

    if (memchr(url.p ? url.p : "", '{', url.n))
        url = without_variables(m, server, url);
    rest = url;
    if (span_starts(rest, SPAN_LIT("https://"))) {
        rest = span_from(rest, 8);
    } else if (span_starts(rest, SPAN_LIT("http://"))) {
        rest = span_from(rest, 7);
        tls = false;
    } else if (!span_starts(rest, SPAN_LIT("/")) || span_starts(rest, SPAN_LIT("//"))) {
        oa_note(m, "the server %s is no https URL: it is left out", oa_show(m, url));
        return;
    }
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == '?' || rest.p[i] == '#')
            rest.n = i;
    slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    if (slash != rest.p)
        add_authority(m, url, span_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.n), tls);
    add_base(m, bases, slash ? span_from(rest, (size_t)(slash - rest.p)) : SPAN_LIT(""));
}

bool oa_bases(struct oa_import *m, const struct oa_node *servers, struct oa_list *bases)
{
    for (size_t i = 0; servers && servers->kind == OA_LIST && i < servers->n; i++) {
        add_server(m, servers->items[i], bases);
        if (bases->n > OA_BASES_MAX)
            return false;
    }
    if (bases->n == 0)
        add_base(m, bases, SPAN_LIT(""));
    return true;
}
