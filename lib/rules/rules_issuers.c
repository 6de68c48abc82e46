/* `issuers` and `sources`: who may say who is calling. */
#include "rules_internal.h"

#include <stdlib.h>

#define SKEW_MAX_NS (300 * RULES_SECOND)

/* ----------------------------------------------------------------- issuers */

static void read_keys(struct rules_loader *l, const struct yaml_node *n, struct rules_issuer *x)
{
    static const char *const keys[] = {"file", NULL};
    const struct yaml_node *k = yaml_get(n, "keys");

    if (!k) {
        diag_error(l->d, yaml_place(n), "`keys` is missing; write keys: {file: jwks.json}");
        return;
    }
    x->keys_place = rules_keep_place(l->set, yaml_place(k));
    if (yaml_kind_of(k) != YAML_MAPPING) {
        rules_refuse(l, k,
                     "keys by discovery or from a URL are not available in this version; write "
                     "keys: {file: jwks.json}");
        return;
    }
    yaml_only(k, keys, l->d);
    rules_read_file(l, k, "file", true, &x->keys_file, &x->keys_place);
}

static const struct rules_expr *read_expr(struct rules_loader *l, const struct yaml_node *n,
                                          enum rules_type want)
{
    struct rules_source_text src = {.node = n, .d = l->d};
    struct arena *mem = &l->set->mem;
    struct rules_expr *e;
    uint16_t *slots;
    unsigned count;

    if (yaml_kind_of(n) != YAML_SCALAR) {
        diag_error(l->d, yaml_place(n), "this must be an expression over `claims`");
        return NULL;
    }
    src.text = yaml_text(n);
    e = rules_compile(&src, SCOPE_CLAIMS, want, mem);
    if (!e)
        return NULL;
    count = e->paths.n[DOC_CLAIMS];
    slots = arena_array(mem, uint16_t, count + 1);
    e->claims = body_paths_new(mem);
    for (unsigned i = 0; i < count; i++)
        slots[i] = (uint16_t)body_paths_add(e->claims, e->paths.path[DOC_CLAIMS][i]);
    e->slots = slots;
    return e;
}

static void read_group(struct rules_loader *l, struct rules_group *g, const struct yaml_node *key,
                       const struct yaml_node *n)
{
    const char *star;
    bool list;

    g->name = arena_span(&l->set->mem, yaml_text(key));
    star = g->name.n ? memchr(g->name.p, '*', g->name.n) : NULL;
    list = star != NULL;
    if (g->name.n == 0 || g->name.n > RULES_NAME_MAX || (star && star != g->name.p + g->name.n - 1))
        diag_error(l->d, yaml_place(key),
                   "a group's name is one word; a `*` may stand at its end only");
    g->expr = read_expr(l, n, list ? TYPE_LIST : TYPE_BOOL);
}

static void read_groups(struct rules_loader *l, const struct yaml_node *n, struct rules_issuer *x)
{
    const struct yaml_node *g = yaml_get(n, "groups");
    struct rules_group *groups;

    if (!g || !rules_want_mapping(l, g, "`groups`"))
        return;
    if (yaml_count(g) > RULES_GROUPS_MAX) {
        diag_error(l->d, yaml_place(g), "at most %d groups an issuer", RULES_GROUPS_MAX);
        return;
    }
    groups = arena_array(&l->set->mem, struct rules_group, yaml_count(g) + 1);
    for (size_t i = 0; i < yaml_count(g); i++)
        read_group(l, &groups[i], yaml_key_at(g, i), yaml_at(g, i));
    x->groups = groups;
    x->ngroups = (unsigned)yaml_count(g);
}

static void no_twin(struct rules_loader *l, struct rules_map *m, struct span key, void *value,
                    struct place where, const char *what)
{
    if (rules_map_put(m, &l->tmp, key, value))
        diag_error(l->d, where, "%s `%.*s` is there twice", what, SPAN_ARG(key));
}

/* A CA of client certificates, told by `ca`. */
static void read_authority(struct rules_loader *l, const struct yaml_node *n,
                           struct rules_issuer *x)
{
    static const char *const keys[] = {"ca", "crl", "id", "groups", NULL};
    static const char *const ids[] = {"spiffe", "dns", "email", "subject", NULL};
    unsigned id = RULES_CERT_SPIFFE;

    x->certificates = true;
    yaml_only(n, keys, l->d);
    rules_read_file(l, n, "ca", true, &x->ca_file, &x->ca_place);
    rules_read_file(l, n, "crl", false, &x->crl_file, &x->crl_place);
    yaml_read_enum(n, "id", true, ids, &id, l->d);
    x->cert_id = (enum rules_cert_id)id;
}

static void read_token_issuer(struct rules_loader *l, const struct yaml_node *n,
                              struct rules_issuer *x)
{
    static const char *const keys[] = {"issuer", "audience", "keys", "caller",
                                       "groups", "skew",     NULL};

    x->skew_ns = 30 * RULES_SECOND;
    yaml_only(n, keys, l->d);
    if (rules_read_line(l, n, "issuer", true, 1000, &x->issuer))
        no_twin(l, &l->issuer_urls, x->issuer, x, yaml_place(yaml_get(n, "issuer")),
                "an issuer with `iss`");
    rules_read_line(l, n, "audience", true, 1000, &x->audience);
    read_keys(l, n, x);
    if (yaml_get(n, "caller"))
        x->caller = read_expr(l, yaml_get(n, "caller"), TYPE_STRING);
    if (yaml_read_duration(n, "skew", false, &x->skew_ns, l->d) && x->skew_ns > SKEW_MAX_NS)
        diag_error(l->d, yaml_place(yaml_get(n, "skew")), "at most 5m of clock skew are allowed");
}

static void read_issuer(struct rules_loader *l, const struct yaml_node *key,
                        const struct yaml_node *n)
{
    struct rules_issuer *x = arena_new(&l->tmp, struct rules_issuer);

    x->name = arena_span(&l->set->mem, yaml_text(key));
    if (!rules_is_name(x->name, true))
        diag_error(l->d, yaml_place(key), "an issuer's name is made of letters, digits, `_`, `-`");
    no_twin(l, &l->issuer_names, x->name, x, yaml_place(key), "the issuer");
    if (!rules_want_mapping(l, n, "an issuer"))
        return;
    if (yaml_get(n, "ca"))
        read_authority(l, n, x);
    else
        read_token_issuer(l, n, x);
    read_groups(l, n, x);
    rules_list_add(&l->issuers, &l->tmp, x);
}

void rules_read_issuers(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_mapping(l, n, "`issuers`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->issuers.n == RULES_ISSUERS_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d issuers",
                       RULES_ISSUERS_MAX);
            return;
        }
        read_issuer(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

/* ----------------------------------------------------------------- sources */

/* Sixteen bytes of address and one of length: no padding between them. */
static struct span prefix_key(const struct net_prefix *p)
{
    _Static_assert(sizeof(*p) == 17, "a prefix is compared as bytes");
    return span_of(p, sizeof(*p));
}

static bool bits_after(const struct net_prefix *p)
{
    for (unsigned bit = p->bits; bit < 128; bit++)
        if (p->addr.b[bit / 8] & (0x80u >> bit % 8))
            return true;
    return false;
}

static void read_address(struct rules_loader *l, const struct yaml_node *n, struct rules_source *x)
{
    struct span text;
    struct place where;

    if (!yaml_read_text(n, "address", true, &text, l->d))
        return;
    where = yaml_place(yaml_get(n, "address"));
    if (!net_prefix_parse(text, &x->prefix))
        diag_error(l->d, where, "`address` must be an address or prefix, as in 10.0.0.0/24");
    else if (bits_after(&x->prefix))
        diag_error(l->d, where, "this prefix has bits set after its length");
    else if (rules_map_put(&l->source_prefixes, &l->tmp,
                           arena_span(&l->tmp, prefix_key(&x->prefix)), x))
        diag_error(l->d, where, "another source has the same address");
}

static void read_source(struct rules_loader *l, const struct yaml_node *key,
                        const struct yaml_node *n)
{
    static const char *const keys[] = {"address", "groups", NULL};
    struct rules_source *x = arena_new(&l->tmp, struct rules_source);
    const struct yaml_node **nodes;
    struct span *groups;

    x->name = arena_span(&l->set->mem, yaml_text(key));
    if (x->name.n == 0 || x->name.n > RULES_NAME_MAX)
        diag_error(l->d, yaml_place(key), "a source's name has 1 to %d bytes", RULES_NAME_MAX);
    no_twin(l, &l->source_names, x->name, x, yaml_place(key), "the source");
    if (!rules_want_mapping(l, n, "a source"))
        return;
    yaml_only(n, keys, l->d);
    read_address(l, n, x);
    if (yaml_get(n, "groups") &&
        rules_read_texts(l, n, "groups", false, true, &groups, &nodes, &x->ngroups))
        x->groups = groups;
    if (x->ngroups > RULES_GROUPS_MAX)
        diag_error(l->d, yaml_place(yaml_get(n, "groups")), "at most %d groups a source",
                   RULES_GROUPS_MAX);
    rules_list_add(&l->sources, &l->tmp, x);
}

void rules_read_sources(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_mapping(l, n, "`sources`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->sources.n == RULES_SOURCES_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d sources",
                       RULES_SOURCES_MAX);
            return;
        }
        read_source(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

/* ------------------------------------------------------------ finished form */

static int by_issuer_name(const void *a, const void *b)
{
    return span_cmp(((const struct rules_issuer *)a)->name, ((const struct rules_issuer *)b)->name);
}

static int by_length(const void *a, const void *b)
{
    const struct rules_source *x = a, *y = b;

    return x->prefix.bits != y->prefix.bits ? (int)y->prefix.bits - (int)x->prefix.bits
                                            : span_cmp(x->name, y->name);
}

static void index_sources(struct rules_set *s)
{
    for (unsigned i = 0; i < s->nsources; i++) {
        struct rules_source *x = &s->sources[i];

        rules_map_put(&s->by_prefix, &s->mem, prefix_key(&x->prefix), x);
        if (s->nlengths == 0 || s->length[s->nlengths - 1] != x->prefix.bits)
            s->length[s->nlengths++] = x->prefix.bits;
    }
}

static size_t count_issuers(const struct rules_loader *l, bool certificates)
{
    size_t n = 0;

    for (size_t i = 0; i < l->issuers.n; i++)
        n += ((const struct rules_issuer *)l->issuers.at[i])->certificates == certificates;
    return n;
}

static void warn_unusable(struct rules_loader *l)
{
    const struct {
        const char *method, *missing;
        size_t n;
    } needs[] = {
        [RULES_ID_OIDC] = {"oidc", "`issuers`", count_issuers(l, false)},
        [RULES_ID_MTLS] = {"mtls", "`issuers` with a `ca`", count_issuers(l, true)},
        [RULES_ID_SOURCE] = {"source", "`sources`", l->sources.n},
    };

    for (size_t i = 0; i < l->connections.n; i++) {
        const struct rules_pending_connection *c = l->connections.at[i];

        for (unsigned k = 0; k < c->pub.nidentify; k++)
            if (needs[c->pub.identify[k]].n == 0)
                diag_warning(l->d, c->place, "callers are identified by %s, but there are no %s",
                             needs[c->pub.identify[k]].method, needs[c->pub.identify[k]].missing);
    }
}

void rules_finish_issuers(struct rules_loader *l)
{
    struct rules_set *s = l->set;

    s->nissuers = (unsigned)l->issuers.n;
    s->issuers = arena_array(&s->mem, struct rules_issuer, s->nissuers + 1);
    for (unsigned i = 0; i < s->nissuers; i++)
        s->issuers[i] = *(const struct rules_issuer *)l->issuers.at[i];
    s->nsources = (unsigned)l->sources.n;
    s->sources = arena_array(&s->mem, struct rules_source, s->nsources + 1);
    for (unsigned i = 0; i < s->nsources; i++)
        s->sources[i] = *(const struct rules_source *)l->sources.at[i];
    qsort(s->issuers, s->nissuers, sizeof(*s->issuers), by_issuer_name);
    qsort(s->sources, s->nsources, sizeof(*s->sources), by_length);
    index_sources(s);
    warn_unusable(l);
}

static void mask(struct net_prefix *p, unsigned bits)
{
    p->bits = (uint8_t)bits;
    for (unsigned i = 0; i < sizeof(p->addr.b); i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

        if (keep < 8)
            p->addr.b[i] &= (uint8_t)(0xff00u >> keep);
    }
}

/* One look a prefix length that is in use, the longest first. */
const struct rules_source *rules_source_for(const struct rules_set *s, const struct net_addr *a)
{
    const struct rules_source *x;
    struct net_prefix p = {.addr = *a};

    for (unsigned i = 0; i < s->nlengths; i++) {
        if (s->length[i] < 96 && net_addr_is_v4(a)) /* ::/0 holds the mapped ones, and does not mean
                                                       them */
            break;
        mask(&p, s->length[i]);
        x = rules_map_get(&s->by_prefix, prefix_key(&p));
        if (x)
            return x;
    }
    return NULL;
}
