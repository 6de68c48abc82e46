#include "app.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKER_MEMORY_LEAST ((size_t)16 << 20)

/* ----------------------------------------------------------------------- paths */

/* A path as written, made relative to the directory of the file that says it. */
static const char *resolve(struct app_config *c, const char *config_path, struct span path)
{
    const char *slash = strrchr(config_path, '/');

    while (path.n > 1 && path.p[path.n - 1] == '/') /* "rules/": complaints name rules/file.yaml */
        path.n--;
    if (path.n && path.p[0] == '/')
        return arena_strdup(&c->mem, path);
    if (!slash)
        return arena_strdup(&c->mem, path);
    return arena_printf(&c->mem, "%.*s/%.*s", (int)(slash - config_path), config_path,
                        SPAN_ARG(path));
}

static const char *read_path(struct app_config *c, const char *file, const struct yaml_node *n,
                             const char *key, bool required, struct diags *d)
{
    struct span s;

    return yaml_read_text(n, key, required, &s, d) ? resolve(c, file, s) : NULL;
}

/* A section that must be a mapping; NULL after a complaint or when it is optional and not there. */
static const struct yaml_node *section(const struct yaml_node *root, const char *key, bool required,
                                       struct diags *d)
{
    const struct yaml_node *n = yaml_get(root, key);

    if (n && yaml_kind_of(n) == YAML_MAPPING)
        return n;
    if (n)
        diag_error(d, yaml_place(n), "\"%s\" must be a mapping", key);
    else if (required)
        diag_error(d, yaml_place(root), "\"%s\" is missing", key);
    return NULL;
}

/* ----------------------------------------------------------------------- ports */

static bool read_address(const struct yaml_node *n, struct net_side_config *s, struct diags *d)
{
    struct net_prefix p;
    const char *unfit;

    if (yaml_kind_of(n) != YAML_SCALAR || !net_prefix_parse(yaml_text(n), &p)) {
        diag_error(d, yaml_place(n),
                   "this is no address with a prefix length, as 10.10.0.1/24 or fd00:10::1/64");
        return false;
    }
    unfit = net_prefix_unfit(&p);
    if (unfit) {
        diag_error(d, yaml_place(n), "%s", unfit);
        return false;
    }
    if (s->naddrs == NET_ADDRS_MAX) {
        diag_error(d, yaml_place(n), "a port has %d addresses at most", NET_ADDRS_MAX);
        return false;
    }
    s->addrs[s->naddrs++] = p;
    return true;
}

static void read_gateway(const struct yaml_node *n, struct net_side_config *s, struct diags *d)
{
    struct net_addr a;
    enum net_family family;

    if (yaml_kind_of(n) != YAML_SCALAR || !net_addr_parse(yaml_text(n), &a)) {
        diag_error(d, yaml_place(n), "this is no address");
        return;
    }
    family = net_addr_is_v4(&a) ? NET_IP4 : NET_IP6;
    if (s->has_gateway[family]) {
        diag_error(d, yaml_place(n), "a port has one gateway of each family at most");
        return;
    }
    s->gateway[family] = a;
    s->has_gateway[family] = true;
}

/* One address, or a list with one of each family. */
static void read_gateways(const struct yaml_node *n, struct net_side_config *s, struct diags *d)
{
    if (yaml_kind_of(n) != YAML_SEQUENCE) {
        read_gateway(n, s, d);
        return;
    }
    if (yaml_count(n) == 0)
        diag_error(d, yaml_place(n), "an empty list of gateways; leave the key out");
    for (size_t i = 0; i < yaml_count(n); i++)
        read_gateway(yaml_at(n, i), s, d);
}

static void read_side(const struct yaml_node *root, const char *key, struct net_side_config *s,
                      struct diags *d)
{
    static const char *const known[] = {"port", "addresses", "gateway", NULL};
    const struct yaml_node *n = section(root, key, true, d), *addrs, *gateway;
    struct span text;

    if (!n)
        return;
    yaml_only(n, known, d);
    if (yaml_read_text(n, "port", true, &text, d)) {
        if (text.n == 0 || text.n >= sizeof(s->port))
            diag_error(d, yaml_place(yaml_get(n, "port")), "a port's name has 1 to %zu bytes",
                       sizeof(s->port) - 1);
        else
            memcpy(s->port, text.p, text.n);
    }
    addrs = yaml_get(n, "addresses");
    if (!addrs || yaml_kind_of(addrs) != YAML_SEQUENCE || yaml_count(addrs) == 0)
        diag_error(d, yaml_place(addrs ? addrs : n),
                   "\"%s\" needs a list of addresses, as [10.10.0.1/24]", key);
    else
        for (size_t i = 0; i < yaml_count(addrs); i++)
            read_address(yaml_at(addrs, i), s, d);
    gateway = yaml_get(n, "gateway");
    if (gateway)
        read_gateways(gateway, s, d);
}

static void read_intercept(const struct yaml_node *root, struct net_config *net, struct diags *d)
{
    const struct yaml_node *n = yaml_get(root, "intercept");

    if (!n) {
        net->intercept[net->nintercept++] = 443;
        return;
    }
    if (yaml_kind_of(n) != YAML_SEQUENCE || yaml_count(n) == 0) {
        diag_error(d, yaml_place(n), "\"intercept\" is a list of TCP ports, as [443]");
        return;
    }
    for (size_t i = 0; i < yaml_count(n); i++) {
        const struct yaml_node *e = yaml_at(n, i);
        uint64_t port;

        if (!span_u64(yaml_text(e), &port) || port == 0 || port > 65535)
            diag_error(d, yaml_place(e), "this is no TCP port");
        else if (net->nintercept == NET_INTERCEPT_MAX)
            diag_error(d, yaml_place(e), "%d ports at most", NET_INTERCEPT_MAX);
        else
            net->intercept[net->nintercept++] = (uint16_t)port;
    }
}

/* ----------------------------------------------------------------- passthrough */

static bool read_prefix(const struct yaml_node *n, const char *key, struct net_prefix *out,
                        struct diags *d)
{
    struct span s;

    if (!yaml_read_text(n, key, true, &s, d))
        return false;
    if (net_prefix_parse(s, out))
        return true;
    diag_error(d, yaml_place(yaml_get(n, key)), "this is no address or prefix");
    return false;
}

static bool read_port_range(const struct yaml_node *n, struct net_passthrough *p, struct diags *d)
{
    struct span s, low;
    uint64_t a, b;

    p->port_low = 0;
    p->port_high = 65535;
    if (!yaml_get(n, "ports"))
        return true;
    if (!yaml_read_text(n, "ports", true, &s, d))
        return false;
    low = span_cut(&s, '-');
    if (!span_u64(low, &a) || (s.p ? !span_u64(s, &b) : !span_u64(low, &b)) || a > b || b > 65535) {
        diag_error(d, yaml_place(yaml_get(n, "ports")), "a port or a range, as 53 or 8000-8099");
        return false;
    }
    p->port_low = (uint16_t)a;
    p->port_high = (uint16_t)b;
    return true;
}

static void read_pass_entry(const struct yaml_node *e, struct net_config *net, struct diags *d)
{
    static const char *const known[] = {"from", "to", "protocol", "ports", NULL};
    static const char *const protocols[] = {"tcp", "udp", "icmp", NULL};
    static const uint8_t numbers[] = {6, 17, 1};
    struct net_passthrough p = {0};
    unsigned protocol = 0;

    if (yaml_kind_of(e) != YAML_MAPPING) {
        diag_error(d, yaml_place(e), "an entry has from, to, protocol and ports");
        return;
    }
    yaml_only(e, known, d);
    if (!read_prefix(e, "from", &p.from, d) || !read_prefix(e, "to", &p.to, d) ||
        !yaml_read_enum(e, "protocol", true, protocols, &protocol, d) || !read_port_range(e, &p, d))
        return;
    if (net_addr_is_v4(&p.from.addr) != net_addr_is_v4(&p.to.addr)) {
        diag_error(d, yaml_place(e), "from and to are of one family, IPv4 or IPv6");
        return;
    }
    if (net->npass == NET_PASSTHROUGH_MAX) {
        diag_error(d, yaml_place(e), "%d passthrough entries at most", NET_PASSTHROUGH_MAX);
        return;
    }
    p.protocol = numbers[protocol];
    net->pass[net->npass++] = p;
}

static void read_passthrough(const struct yaml_node *root, struct net_config *net, struct diags *d)
{
    const struct yaml_node *n = yaml_get(root, "passthrough");

    if (!n)
        return;
    if (yaml_kind_of(n) != YAML_SEQUENCE) {
        diag_error(d, yaml_place(n), "\"passthrough\" is a list; nothing passes by default");
        return;
    }
    for (size_t i = 0; i < yaml_count(n); i++)
        read_pass_entry(yaml_at(n, i), net, d);
}

/* -------------------------------------------------------------- the other sections */

static void read_tls(const char *file, const struct yaml_node *root, struct app_config *c,
                     struct diags *d)
{
    static const char *const known[] = {"certificate", "key", NULL};
    const struct yaml_node *ca = section(root, "ca", true, d);
    struct span trust = SPAN_LIT("system");

    if (ca) {
        yaml_only(ca, known, d);
        c->tls.ca_certificate = read_path(c, file, ca, "certificate", true, d);
        c->tls.ca_key = read_path(c, file, ca, "key", true, d);
    }
    yaml_read_text(root, "vendor_trust", false, &trust, d);
    c->tls.vendor_trust = span_eq(trust, SPAN_LIT("system")) ? "system" : resolve(c, file, trust);
}

static void read_vault(const char *file, const struct yaml_node *root, struct app_config *c,
                       struct diags *d)
{
    static const char *const known[] = {"file", "key_file", NULL};
    const struct yaml_node *n = section(root, "vault", false, d);

    if (!n)
        return;
    yaml_only(n, known, d);
    c->sources.vault_file = read_path(c, file, n, "file", true, d);
    c->sources.vault_key_file = read_path(c, file, n, "key_file", true, d);
}

static void read_audit(const char *file, const struct yaml_node *root, struct app_config *c,
                       struct diags *d)
{
    static const char *const known[] = {"directory", "durability", "segment", "ring", NULL};
    static const char *const durabilities[] = {"strict", "relaxed", NULL};
    const struct yaml_node *n = section(root, "audit", true, d);
    unsigned durability = 0;

    c->audit_segment = (uint64_t)1 << 30;
    c->audit_ring = (uint64_t)16 << 20;
    if (!n)
        return;
    yaml_only(n, known, d);
    c->audit_directory = read_path(c, file, n, "directory", true, d);
    yaml_read_enum(n, "durability", false, durabilities, &durability, d);
    c->audit_relaxed = durability == 1;
    yaml_read_size(n, "segment", false, &c->audit_segment, d);
    yaml_read_size(n, "ring", false, &c->audit_ring, d);
    if (c->audit_ring < (1u << 20) || c->audit_ring > (1u << 30) ||
        (c->audit_ring & (c->audit_ring - 1)))
        diag_error(d, yaml_place(n), "audit.ring is a power of two from 1MiB to 1GiB");
    if (c->audit_segment < ((uint64_t)1 << 20) || c->audit_segment > ((uint64_t)1 << 40))
        diag_error(d, yaml_place(n), "audit.segment is from 1MiB to 1024GiB");
}

static void read_count(const struct yaml_node *n, const char *key, uint64_t least, uint64_t most,
                       unsigned *out, struct diags *d)
{
    uint64_t v;

    if (yaml_read_u64(n, key, false, least, most, &v, d))
        *out = (unsigned)v;
}

static void read_time(const struct yaml_node *n, const char *key, uint64_t *out_us, struct diags *d)
{
    uint64_t ns;

    if (!yaml_read_duration(n, key, false, &ns, d))
        return;
    if (ns < NS_IN_S || ns > 86400 * NS_IN_S)
        diag_error(d, yaml_place(yaml_get(n, key)), "limits.%s is from 1s to 24h", key);
    else
        *out_us = ns / 1000;
}

static void read_rate(const struct yaml_node *n, const char *key, uint64_t *out, struct diags *d)
{
    uint64_t v;

    if (!yaml_read_size(n, key, false, &v, d))
        return;
    if (v > (1u << 30))
        diag_error(d, yaml_place(yaml_get(n, key)), "limits.%s is 1GiB a second at most", key);
    else
        *out = v;
}

static void read_places(const struct yaml_node *n, struct call_limits *l, struct diags *d)
{
    uint64_t v;

    read_count(n, "callers", 16, 1000000, &l->max_callers, d);
    read_count(n, "callers_per_address", 1, 1000000, &l->max_callers_an_address, d);
    read_count(n, "handshakes", 16, 1000000, &l->max_handshakes, d);
    read_count(n, "handshakes_per_address", 1, 1000000, &l->max_handshakes_an_address, d);
    read_count(n, "handshake_share", 1, 90, &l->handshake_share, d);
    read_count(n, "vendors", 16, 1000000, &l->max_vendors, d);
    read_count(n, "idle_vendors_per_host", 0, 100000, &l->max_idle_a_host, d);
    if (!yaml_read_size(n, "memory", false, &v, d))
        return;
    if (v < ((uint64_t)64 << 20) || v > ((uint64_t)64 << 30))
        diag_error(d, yaml_place(yaml_get(n, "memory")), "limits.memory is 64MiB to 64GiB");
    else
        l->memory = v;
}

static void read_limits(const struct yaml_node *root, struct call_limits *l, struct diags *d)
{
    static const char *const known[] = {"callers",
                                        "callers_per_address",
                                        "handshakes",
                                        "handshakes_per_address",
                                        "handshake_share",
                                        "vendors",
                                        "memory",
                                        "idle_vendors_per_host",
                                        "handshake_time",
                                        "head_time",
                                        "body_time",
                                        "body_rate",
                                        "read_time",
                                        "read_rate",
                                        "idle_time",
                                        "connect_time",
                                        "answer_time",
                                        "pool_time",
                                        NULL};
    const struct yaml_node *n = section(root, "limits", false, d);

    call_limits_defaults(l);
    if (!n)
        return;
    yaml_only(n, known, d);
    read_places(n, l, d);
    read_time(n, "handshake_time", &l->handshake_us, d);
    read_time(n, "head_time", &l->head_us, d);
    read_time(n, "body_time", &l->body_us, d);
    read_rate(n, "body_rate", &l->body_rate, d);
    read_time(n, "read_time", &l->read_us, d);
    read_rate(n, "read_rate", &l->read_rate, d);
    read_time(n, "idle_time", &l->idle_us, d);
    read_time(n, "connect_time", &l->connect_us, d);
    read_time(n, "answer_time", &l->answer_us, d);
    read_time(n, "pool_time", &l->pool_idle_us, d);
}

static void read_windows(const struct yaml_node *root, struct app_config *c, struct diags *d)
{
    static const char *const known[] = {"keys", NULL};
    const struct yaml_node *n = section(root, "windows", false, d);

    c->window_keys = 65536;
    if (!n)
        return;
    yaml_only(n, known, d);
    read_count(n, "keys", 16, WINDOW_KEYS_MAX, &c->window_keys, d);
}

/* Beside the audit store, if nothing else is said. */
static void read_history(const char *file, const struct yaml_node *root, struct app_config *c,
                         struct diags *d)
{
    const char *slash = c->audit_directory ? strrchr(c->audit_directory, '/') : NULL;

    if (yaml_get(root, "rules_history"))
        c->rules_history = read_path(c, file, root, "rules_history", true, d);
    else if (slash)
        c->rules_history = arena_printf(&c->mem, "%.*s/rules-history",
                                        (int)(slash - c->audit_directory), c->audit_directory);
    else
        c->rules_history = "rules-history";
}

/* Each worker gets an equal part of the limits, and must be able to work with it. */
static void check_shares(const struct yaml_node *root, const struct app_config *c, struct diags *d)
{
    const struct yaml_node *n = yaml_get(root, "limits");
    size_t least = WORKER_MEMORY_LEAST * c->profile.workers;

    if (c->limits.memory < least)
        diag_error(d, yaml_place(n ? n : root),
                   "limits.memory is shared by %u workers, which need %zuMiB each; write %zuMiB or "
                   "more",
                   c->profile.workers, WORKER_MEMORY_LEAST >> 20, least >> 20);
}

static void read_names(const char *file, const struct yaml_node *root, struct app_config *c,
                       struct diags *d)
{
    static const char *const known[] = {"socket", NULL};
    const struct yaml_node *n = section(root, "control", false, d);
    struct span name;
    char host[HOST_NAME_MAX + 1] = "turnpike";

    c->control_socket = "/run/turnpike/control.sock";
    if (n) {
        yaml_only(n, known, d);
        if (yaml_get(n, "socket"))
            c->control_socket = read_path(c, file, n, "socket", true, d);
    }
    gethostname(host, sizeof(host) - 1);
    c->appliance = arena_strdup(&c->mem, span_cstr(host));
    if (yaml_read_text(root, "appliance", false, &name, d))
        c->appliance = arena_strdup(&c->mem, name);
}

bool app_config_load(const char *path, struct app_config *c, struct diags *d)
{
    static const char *const known[] = {
        "profile",      "inside",        "outside", "intercept", "passthrough", "ca",
        "vendor_trust", "rules",         "vault",   "audit",     "control",     "limits",
        "appliance",    "rules_history", "windows", NULL};
    const struct yaml_node *root;
    const char *profile;

    memset(c, 0, sizeof(*c));
    c->doc = yaml_load(path, d);
    if (!c->doc)
        return false;
    root = yaml_root(c->doc);
    if (yaml_kind_of(root) != YAML_MAPPING) {
        diag_error(d, yaml_place(root), "turnpike.yaml is a mapping; see README.md");
        return false;
    }
    yaml_only(root, known, d);
    profile = read_path(c, path, root, "profile", true, d);
    if (profile)
        net_profile_load(profile, &c->profile, d);
    read_side(root, "inside", &c->net.side[NET_INSIDE], d);
    read_side(root, "outside", &c->net.side[NET_OUTSIDE], d);
    read_intercept(root, &c->net, d);
    read_passthrough(root, &c->net, d);
    read_tls(path, root, c, d);
    c->sources.rules_directory = read_path(c, path, root, "rules", true, d);
    read_vault(path, root, c, d);
    read_audit(path, root, c, d);
    read_history(path, root, c, d);
    read_limits(root, &c->limits, d);
    read_windows(root, c, d);
    read_names(path, root, c, d);
    check_shares(root, c, d);
    c->sources.workers = c->profile.workers;
    return d->errors == 0;
}

void app_config_free(struct app_config *c)
{
    yaml_free(c->doc);
    arena_free(&c->mem);
}
