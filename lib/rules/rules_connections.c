/* `connections`: hosts, the credential, how callers are known, and the functions. */
#include "rules_internal.h"

#include <stdlib.h>

static const char *const connection_keys[] = {"pack",        "hosts",
                                              "errors",      "identify",
                                              "credential",  "functions",
                                              "inspect",     "account_headers",
                                              "idempotency", "capture",
                                              "port",        "trust",
                                              "pins",        "client_certificate",
                                              "upgrade",     "upgrade_idle",
                                              "durability",  NULL};
static const char *const durability_names[] = {"strict", "relaxed", NULL};

#define UPGRADE_IDLE_NS     (600 * NS_IN_S)
#define UPGRADE_IDLE_MAX_NS (24 * 3600 * NS_IN_S)

/* ------------------------------------------------------------------- hosts */

static const char *label_fault(struct span label)
{
    if (label.n == 0)
        return "has an empty label or a dot at its end";
    if (label.n > 63)
        return "has a label of more than 63 bytes";
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return "has a label that begins or ends with `-`";
    return NULL;
}

static const char *host_fault(struct span host)
{
    struct net_addr a;
    struct span rest = host;
    const char *fault = NULL;

    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];

        if (c >= 'A' && c <= 'Z')
            return "must be written in lower case";
        if (c == '*')
            return "must be a whole name; wildcards are not available in this version";
        if (c == ':')
            return "must stand without a port; the vendor's port is `port`";
        if (c == '/')
            return "must be a name alone, without scheme or path";
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return "has a character that no host name has";
    }
    if (host.n > 253)
        return "is longer than 253 bytes";
    if (net_addr_parse(host, &a))
        return "must be a name: a TLS client names hosts, not addresses (RFC 6066 3)";
    while (rest.p && !fault)
        fault = label_fault(span_cut(&rest, '.'));
    return fault;
}

static void read_hosts(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_pending_connection *c)
{
    const struct yaml_node **nodes;
    struct span *hosts;
    const char *fault;

    rules_read_texts(l, n, "hosts", true, false, &hosts, &nodes, &c->pub.nhosts);
    c->pub.hosts = c->pub.nhosts ? hosts : NULL;
    if (c->pub.nhosts > RULES_HOSTS_MAX) {
        diag_error(l->d, yaml_place(yaml_get(n, "hosts")), "at most %d hosts a connection",
                   RULES_HOSTS_MAX);
        c->pub.nhosts = 0;
    }
    for (unsigned i = 0; i < c->pub.nhosts; i++) {
        struct rules_pending_connection *first;

        if (hosts[i].n == 0)
            continue; /* complained about when it was read */
        fault = host_fault(hosts[i]);
        if (fault) {
            diag_error(l->d, yaml_place(nodes[i]), "the host %s", fault);
            continue;
        }
        first = rules_map_put(&l->host_names, &l->tmp, hosts[i], c);
        if (first)
            diag_error(l->d, yaml_place(nodes[i]), "the host `%.*s` is already one of `%.*s`",
                       SPAN_ARG(hosts[i]), SPAN_ARG(first->pub.name));
    }
}

/* ---------------------------------------------------------- who and by what */

static void add_method(struct rules_loader *l, struct rules_connection *c, struct span name,
                       const struct yaml_node *where)
{
    enum rules_identify method;

    if (span_eq(name, SPAN_LIT("oidc")))
        method = RULES_ID_OIDC;
    else if (span_eq(name, SPAN_LIT("mtls")))
        method = RULES_ID_MTLS;
    else if (span_eq(name, SPAN_LIT("source")))
        method = RULES_ID_SOURCE;
    else {
        if (span_eq(name, SPAN_LIT("token")))
            diag_error(l->d, yaml_place(where),
                       "`token` is not available in this version; there are oidc, mtls and source");
        else
            diag_error(l->d, yaml_place(where), "callers are identified by oidc, mtls or source");
        return;
    }
    for (unsigned i = 0; i < c->nidentify; i++) {
        if (c->identify[i] == method) {
            diag_error(l->d, yaml_place(where), "this method is listed twice");
            return;
        }
    }
    c->identify[c->nidentify++] = method;
}

static void read_identify(struct rules_loader *l, const struct yaml_node *n,
                          struct rules_connection *c)
{
    const struct yaml_node **nodes;
    struct span *names;
    unsigned count;

    if (!yaml_get(n, "identify")) {
        c->identify[c->nidentify++] = RULES_ID_OIDC;
        return;
    }
    rules_read_texts(l, n, "identify", false, true, &names, &nodes, &count);
    for (unsigned i = 0; i < count; i++)
        if (names[i].n)
            add_method(l, c, names[i], nodes[i]);
}

static void read_header_name(struct rules_loader *l, const struct yaml_node *n,
                             struct rules_connection *c)
{
    if (!rules_read_line(l, n, "header", true, RULES_NAME_MAX, &c->credential.header))
        return;
    if (!rules_is_token(c->credential.header) || rules_field_is_ours(c->credential.header))
        diag_error(l->d, yaml_place(yaml_get(n, "header")),
                   "`header` must be a field name that a credential may stand in");
}

static void read_user(struct rules_loader *l, const struct yaml_node *n, struct rules_connection *c)
{
    if (rules_read_line(l, n, "user", true, RULES_NAME_MAX, &c->credential.user) &&
        memchr(c->credential.user.p, ':', c->credential.user.n)) /* RFC 7617 2 */
        diag_error(l->d, yaml_place(yaml_get(n, "user")), "a user name has no colon");
}

static void unwanted(struct rules_loader *l, const struct yaml_node *n, const char *key,
                     const char *kind)
{
    if (yaml_get(n, key))
        diag_error(l->d, rules_key_place(n, key), "`%s` belongs to `as: %s`", key, kind);
}

static void read_credential(struct rules_loader *l, const struct yaml_node *n,
                            struct rules_connection *c)
{
    static const char *const keys[] = {"secret", "as", "user", "header", NULL};
    static const char *const kinds[] = {"bearer", "basic", "header", NULL};
    unsigned kind = 0;

    if (!n || !rules_want_mapping(l, n, "`credential`"))
        return;
    yaml_only(n, keys, l->d);
    if (rules_read_line(l, n, "secret", true, RULES_NAME_MAX, &c->credential.secret) &&
        !rules_is_name(c->credential.secret, true))
        diag_error(l->d, yaml_place(yaml_get(n, "secret")),
                   "a secret's name is made of letters, digits, `_`, `-` and dots");
    if (!yaml_read_enum(n, "as", true, kinds, &kind, l->d))
        return;
    c->credential.kind = (enum rules_credential_kind)(RULES_CRED_BEARER + kind);
    if (c->credential.kind == RULES_CRED_BASIC)
        read_user(l, n, c);
    else
        unwanted(l, n, "user", "basic");
    if (c->credential.kind == RULES_CRED_HEADER)
        read_header_name(l, n, c);
    else
        unwanted(l, n, "header", "header");
}

/* ------------------------------------------------------------------ bodies */

static void read_sizes(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c)
{
    static const char *const keys[] = {"request", "ratio", NULL};
    const struct yaml_node *inspect = yaml_get(n, "inspect");
    uint64_t port = 443, ratio = 100;

    c->inspect_request = 1u << 20;
    c->capture = 16u << 10;
    if (inspect && rules_want_mapping(l, inspect, "`inspect`")) {
        yaml_only(inspect, keys, l->d);
        yaml_read_u64(inspect, "ratio", false, 1, 10000, &ratio, l->d);
        if (yaml_read_size(inspect, "request", false, &c->inspect_request, l->d) &&
            c->inspect_request > (16u << 20))
            diag_error(l->d, yaml_place(yaml_get(inspect, "request")),
                       "at most 16MiB of a request are read before the decision");
    }
    if (yaml_read_size(n, "capture", false, &c->capture, l->d) && c->capture > (16u << 10))
        diag_error(l->d, yaml_place(yaml_get(n, "capture")),
                   "at most 16KiB of a body are kept in a record");
    yaml_read_u64(n, "port", false, 1, 65535, &port, l->d);
    c->port = (uint16_t)port;
    c->inspect_ratio = (unsigned)ratio;
}

/* HTTP/2 and TLS inside an upgraded connection would be calls that no rule sees. */
static bool carries_calls(struct span protocol)
{
    static const char *const names[] = {"h2c", "h2", "http", "tls", "connect-udp", NULL};

    for (unsigned i = 0; names[i]; i++)
        if (span_ieq(protocol, span_cstr(names[i])))
            return true;
    return false;
}

static void read_upgrade(struct rules_loader *l, const struct yaml_node *n,
                         struct rules_connection *c)
{
    const struct yaml_node **nodes;
    struct span *names;

    c->upgrade_idle_ns = UPGRADE_IDLE_NS;
    if (!yaml_get(n, "upgrade")) {
        if (yaml_get(n, "upgrade_idle"))
            diag_error(l->d, rules_key_place(n, "upgrade_idle"),
                       "`upgrade_idle` belongs to `upgrade`");
        return;
    }
    rules_read_texts(l, n, "upgrade", false, true, &names, &nodes, &c->nupgrade);
    c->upgrade = names;
    for (unsigned i = 0; i < c->nupgrade; i++) {
        if (names[i].n && !rules_is_token(names[i]))
            diag_error(l->d, yaml_place(nodes[i]), "this is no protocol name, as websocket is one");
        else if (carries_calls(names[i]))
            diag_error(l->d, yaml_place(nodes[i]),
                       "calls inside `%.*s` would pass unjudged; it cannot be allowed",
                       SPAN_ARG(names[i]));
    }
    if (yaml_read_duration(n, "upgrade_idle", false, &c->upgrade_idle_ns, l->d) &&
        (c->upgrade_idle_ns < NS_IN_S || c->upgrade_idle_ns > UPGRADE_IDLE_MAX_NS))
        diag_error(l->d, yaml_place(yaml_get(n, "upgrade_idle")), "an idle time is from 1s to 24h");
}

/* --------------------------------------------------------------- functions */

static struct rules_pending_function *
new_function(struct rules_loader *l, struct rules_pending_connection *c, struct span name)
{
    struct rules_pending_function *f = arena_new(&l->tmp, struct rules_pending_function);

    f->name =
        span_cstr(arena_printf(&l->set->mem, "%.*s.%.*s", SPAN_ARG(c->pub.name), SPAN_ARG(name)));
    f->connection = c;
    f->unlisted = span_eq(name, SPAN_LIT("unlisted"));
    rules_list_add(&c->functions, &l->tmp, f);
    l->nfunctions += !f->unlisted;
    return f;
}

static void add_route(struct rules_loader *l, struct rules_pending_function *f,
                      const struct yaml_node *n)
{
    struct rules_route *r;

    if (yaml_kind_of(n) == YAML_SEQUENCE)
        diag_error(l->d, yaml_place(n), "a function is written as METHOD /path");
    else if (f->nroutes == RULES_ROUTES_MAX)
        diag_error(l->d, yaml_place(n), "a function has at most %d paths", RULES_ROUTES_MAX);
    else if ((r = yaml_kind_of(n) == YAML_MAPPING ? rules_read_told_route(l, n)
                                                  : rules_read_route(l, n))) {
        r->owner = f;
        f->routes[f->nroutes++] = r;
    }
}

static void read_function(struct rules_loader *l, struct rules_pending_connection *c,
                          const struct yaml_node *key, const struct yaml_node *value)
{
    struct rules_pending_function *f;

    if (!rules_is_name(yaml_text(key), true)) {
        diag_error(l->d, yaml_place(key),
                   "a function's name is made of words of letters, digits, `_` and `-`, with dots "
                   "between them");
        return;
    }
    if (span_eq(yaml_text(key), SPAN_LIT("unlisted"))) {
        diag_error(l->d, yaml_place(key),
                   "`unlisted` is the name of every call that is no function; choose another");
        return;
    }
    f = new_function(l, c, yaml_text(key));
    if (yaml_kind_of(value) != YAML_SEQUENCE) {
        add_route(l, f, value);
        return;
    }
    if (yaml_count(value) == 0)
        diag_error(l->d, yaml_place(value), "a function needs a METHOD /path");
    for (size_t i = 0; i < yaml_count(value); i++)
        add_route(l, f, yaml_at(value, i));
}

static void read_functions(struct rules_loader *l, const struct yaml_node *n,
                           struct rules_pending_connection *c)
{
    new_function(l, c, SPAN_LIT("unlisted"));
    if (!n || !rules_want_mapping(l, n, "`functions`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->nfunctions >= RULES_FUNCTIONS_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d functions",
                       RULES_FUNCTIONS_MAX);
            return;
        }
        read_function(l, c, yaml_key_at(n, i), yaml_at(n, i));
    }
}

static void read_durability(struct rules_loader *l, const struct yaml_node *n,
                            struct rules_connection *c)
{
    unsigned said;

    if (yaml_read_enum(n, "durability", false, durability_names, &said, l->d))
        c->durability = said ? RULES_DURABILITY_RELAXED : RULES_DURABILITY_STRICT;
}

static void read_connection(struct rules_loader *l, const struct yaml_node *key,
                            const struct yaml_node *own)
{
    const struct yaml_node *n;
    struct rules_pending_connection *c = arena_new(&l->tmp, struct rules_pending_connection),
                                    *first;

    c->pub.name = arena_span(&l->set->mem, yaml_text(key));
    c->node = own;
    c->place = yaml_place(key);
    if (!rules_is_name(c->pub.name, false)) {
        diag_error(l->d, c->place,
                   "a connection's name is made of letters, digits, `_` and `-`, without dots");
        return;
    }
    first = rules_map_put(&l->connection_names, &l->tmp, c->pub.name, c);
    if (first) {
        diag_error(l->d, c->place, "the connection `%.*s` is already in %s:%u",
                   SPAN_ARG(c->pub.name), first->place.file, first->place.line);
        return;
    }
    rules_list_add(&l->connections, &l->tmp, c);
    if (!rules_want_mapping(l, own, "a connection"))
        return;
    yaml_only(own, connection_keys, l->d);
    n = rules_use_pack(l, own);
    if (rules_hosts_said(l, own))
        read_hosts(l, n, c);
    rules_read_errors(l, n, &c->pub);
    read_durability(l, n, &c->pub);
    read_identify(l, n, &c->pub);
    if (yaml_get(own, "credential")) /* without its secret a pack's says nothing */
        read_credential(l, yaml_get(n, "credential"), &c->pub);
    rules_read_vendor_tls(l, n, &c->pub);
    rules_read_fields(l, n, &c->pub);
    read_upgrade(l, n, &c->pub);
    read_sizes(l, n, &c->pub);
    read_functions(l, yaml_get(n, "functions"), c);
}

void rules_read_connections(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_mapping(l, n, "`connections`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->connections.n == RULES_CONNECTIONS_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d connections",
                       RULES_CONNECTIONS_MAX);
            return;
        }
        read_connection(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

/* ------------------------------------------------------------ finished form */

static int by_connection_name(const void *a, const void *b)
{
    return span_cmp((*(struct rules_pending_connection *const *)a)->pub.name,
                    (*(struct rules_pending_connection *const *)b)->pub.name);
}

static int by_function_name(const void *a, const void *b)
{
    return span_cmp((*(struct rules_pending_function *const *)a)->name,
                    (*(struct rules_pending_function *const *)b)->name);
}

static void sort(struct rules_list *l, int (*by)(const void *, const void *))
{
    if (l->n)
        qsort(l->at, l->n, sizeof(*l->at), by);
}

static void finish_function(struct rules_loader *l, struct rules_connection *c,
                            struct rules_pending_function *p, struct rules_list *routes)
{
    struct rules_function *f = &l->set->functions[l->set->nfunctions];

    *f = (struct rules_function){
        .name = p->name, .index = l->set->nfunctions++, .connection = c, .unlisted = p->unlisted};
    p->final = f;
    if (p->unlisted)
        c->unlisted = f;
    for (unsigned i = 0; i < p->nroutes; i++) {
        p->routes[i]->function = f;
        rules_list_add(routes, &l->tmp, p->routes[i]);
    }
}

static void finish_connection(struct rules_loader *l, struct rules_pending_connection *p)
{
    struct rules_set *s = l->set;
    struct rules_connection *c = &s->connections[s->nconnections];
    struct rules_list routes = {0};

    *c = p->pub;
    c->index = s->nconnections;
    sort(&p->functions, by_function_name);
    for (size_t i = 0; i < p->functions.n; i++)
        finish_function(l, c, p->functions.at[i], &routes);
    for (unsigned i = 0; i < c->nhosts; i++)
        rules_map_put(&s->hosts, &s->mem, c->hosts[i], c);
    s->index[s->nconnections++] =
        rules_index_build(l, (struct rules_route **)routes.at, routes.n, p->place);
}

void rules_finish_connections(struct rules_loader *l)
{
    struct rules_set *s = l->set;
    size_t n = l->connections.n, functions = 0;

    sort(&l->connections, by_connection_name);
    for (size_t i = 0; i < n; i++)
        functions += ((struct rules_pending_connection *)l->connections.at[i])->functions.n;
    s->connections = arena_array(&s->mem, struct rules_connection, n + 1);
    s->index = arena_array(&s->mem, const struct rules_index *, n + 1);
    s->functions = arena_array(&s->mem, struct rules_function, functions + 1);
    s->plan = arena_array(&s->mem, const struct rules_plan *, functions + 1);
    for (size_t i = 0; i < n; i++)
        finish_connection(l, l->connections.at[i]);
}
