/* `packs`: what connections to one vendor have in common, written once. A connection that names a
 * pack is read as if it said itself what it leaves to the pack; so nothing else knows of packs. */
#include "rules_internal.h"

struct pack {
    struct span name;
    const struct yaml_node *node; /* NULL if it is no mapping */
    struct place place;
    unsigned users; /* connections that name it */
};

static const char *const pack_keys[] = {"hosts",       "errors",     "account_headers",
                                        "idempotency", "credential", "inspect",
                                        "port",        "functions",  NULL};

static void check_pack(struct rules_loader *l, const struct pack *p)
{
    static const char *const keys[] = {"as", "user", "header", NULL};
    const struct yaml_node *credential = yaml_get(p->node, "credential");

    yaml_only(p->node, pack_keys, l->d);
    if (!credential)
        return;
    if (yaml_get(credential, "secret"))
        diag_error(l->d, rules_key_place(credential, "secret"),
                   "a pack says what kind of credential the vendor takes; `secret` belongs to the "
                   "connection");
    else if (rules_want_mapping(l, credential, "`credential`"))
        yaml_only(credential, keys, l->d);
}

static void read_pack(struct rules_loader *l, const struct yaml_node *key,
                      const struct yaml_node *n)
{
    struct pack *p = arena_new(&l->tmp, struct pack), *first;

    p->name = yaml_text(key);
    p->place = yaml_place(key);
    if (!rules_is_name(p->name, false)) {
        diag_error(l->d, p->place,
                   "a pack's name is made of letters, digits, `_` and `-`, without dots");
        return;
    }
    first = rules_map_put(&l->pack_names, &l->tmp, p->name, p);
    if (first) {
        diag_error(l->d, p->place, "the pack `%.*s` is already in %s:%u", SPAN_ARG(p->name),
                   first->place.file, first->place.line);
        return;
    }
    rules_list_add(&l->packs, &l->tmp, p);
    if (!rules_want_mapping(l, n, "a pack"))
        return;
    p->node = n;
    check_pack(l, p);
}

void rules_read_packs(struct rules_loader *l, const struct yaml_node *root)
{
    const struct yaml_node *n = yaml_get(root, "packs");

    if (!n || !rules_want_mapping(l, n, "`packs`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->packs.n == RULES_PACKS_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d packs",
                       RULES_PACKS_MAX);
            return;
        }
        read_pack(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

void rules_count_packs(struct rules_loader *l, const struct yaml_node *root)
{
    const struct yaml_node *n = yaml_get(root, "connections"), *name;
    struct pack *p;

    for (size_t i = 0; n && yaml_kind_of(n) == YAML_MAPPING && i < yaml_count(n); i++) {
        name = yaml_get(yaml_at(n, i), "pack");
        p = name ? rules_map_get(&l->pack_names, yaml_text(name)) : NULL;
        if (p)
            p->users++;
    }
}

/* ------------------------------------------------------------- connections */

static void no_such_pack(struct rules_loader *l, const struct yaml_node *name)
{
    char list[1024];
    struct outbuf o = outbuf_on(list, sizeof(list));

    for (size_t i = 0; i < l->packs.n && o.n < sizeof(list) - RULES_NAME_MAX - 8; i++)
        outbuf_printf(&o, "%s%.*s", i ? ", " : "",
                      SPAN_ARG(((const struct pack *)l->packs.at[i])->name));
    if (l->packs.n)
        diag_error(l->d, yaml_place(name), "there is no pack `%.*s`; there are %.*s",
                   SPAN_ARG(yaml_text(name)), SPAN_ARG(outbuf_span(&o)));
    else
        diag_error(l->d, yaml_place(name),
                   "there is no pack `%.*s`: no file of these rules has `packs`",
                   SPAN_ARG(yaml_text(name)));
}

/* The pack that a connection names; NULL if it names none, or none that can be used. */
static const struct pack *pack_of(const struct rules_loader *l, const struct yaml_node *n)
{
    const struct yaml_node *name = yaml_get(n, "pack");
    const struct pack *p = name ? rules_map_get(&l->pack_names, yaml_text(name)) : NULL;

    return p && p->node ? p : NULL;
}

/* A name in both would be one function that means two things. */
static void check_functions(struct rules_loader *l, const struct yaml_node *own,
                            const struct pack *p)
{
    const struct yaml_node *theirs = yaml_get(p->node, "functions"), *key;

    if (!own || yaml_kind_of(own) != YAML_MAPPING || !theirs ||
        !rules_want_mapping(l, theirs, "`functions`"))
        return;
    for (size_t i = 0; i < yaml_count(theirs); i++) {
        key = yaml_key_at(theirs, i);
        if (yaml_get(own, yaml_text(key).p))
            diag_error(l->d, rules_key_place(own, yaml_text(key).p),
                       "`%.*s` is already a function of the pack `%.*s` (%s:%u); choose another "
                       "name",
                       SPAN_ARG(yaml_text(key)), SPAN_ARG(p->name), yaml_place(key).file,
                       yaml_place(key).line);
    }
}

const struct yaml_node *rules_use_pack(struct rules_loader *l, const struct yaml_node *n)
{
    static const char *const functions[] = {"functions", NULL};
    static const char *const both[] = {"functions", "credential", NULL};
    const struct yaml_node *name = yaml_get(n, "pack"), *credential = yaml_get(n, "credential");
    const struct pack *p = pack_of(l, n);

    if (name && !rules_map_get(&l->pack_names, yaml_text(name)))
        no_such_pack(l, name);
    if (!p)
        return n;
    check_functions(l, yaml_get(n, "functions"), p);
    if (!credential && yaml_get(p->node, "credential"))
        diag_warning(l->d, yaml_place(name),
                     "the pack `%.*s` knows what kind of credential the vendor takes, but this "
                     "connection has no `credential: {secret: NAME}`: none is added",
                     SPAN_ARG(p->name));
    /* A connection that says its own kind does not mean the field or the user of another. */
    return yaml_join(n, p->node, yaml_get(credential, "as") ? functions : both);
}

bool rules_hosts_said(struct rules_loader *l, const struct yaml_node *n)
{
    const struct yaml_node *name = yaml_get(n, "pack");
    const struct pack *p = pack_of(l, n);

    if (!name || yaml_get(n, "hosts"))
        return true;
    if (p && p->users > 1)
        diag_error(l->d, yaml_place(name),
                   "%u connections use the pack `%.*s`: each must say its own `hosts`", p->users,
                   SPAN_ARG(p->name));
    else if (p && !yaml_get(p->node, "hosts"))
        diag_error(l->d, yaml_place(name),
                   "`hosts` is missing: the pack `%.*s` leaves them to the connection",
                   SPAN_ARG(p->name));
    else
        return p != NULL; /* else there is a complaint about the pack */
    return false;
}

void rules_finish_packs(struct rules_loader *l)
{
    for (size_t i = 0; i < l->packs.n; i++) {
        const struct pack *p = l->packs.at[i];

        if (p->users == 0)
            diag_warning(l->d, p->place,
                         "no connection uses the pack `%.*s`; its functions are not looked at",
                         SPAN_ARG(p->name));
    }
}
