/* What an OpenAPI document says: its operations, and which function each becomes. */
#include "openapi.h"

#include <stdlib.h>

#define REFS_MAX 8 /* of one path item, one leading to the next */

static const char *const methods[][2] = {
    {"get", "GET"},       {"put", "PUT"},         {"post", "POST"},
    {"delete", "DELETE"}, {"options", "OPTIONS"}, {"head", "HEAD"},
    {"patch", "PATCH"},   {"trace", "TRACE"},     {"query", "QUERY"}};

/* ------------------------------------------------------------------- tables */

static struct oa_pair_of *slot_of(const struct oa_table *t, struct span key)
{
    size_t i = span_hash(key) & (t->room - 1);

    while (t->slot[i].value && !span_eq(t->slot[i].key, key))
        i = (i + 1) & (t->room - 1);
    return &t->slot[i];
}

void *oa_find(const struct oa_table *t, struct span key)
{
    return t->room ? slot_of(t, key)->value : NULL;
}

void oa_put(struct oa_table *t, struct arena *mem, struct span key, void *value)
{
    if (t->n * 2 >= t->room) {
        struct oa_table old = *t;

        t->room = old.room ? old.room * 2 : 64;
        t->slot = arena_array(mem, struct oa_pair_of, t->room);
        for (size_t i = 0; i < old.room; i++)
            if (old.slot[i].value)
                *slot_of(t, old.slot[i].key) = old.slot[i];
    }
    *slot_of(t, key) = (struct oa_pair_of){key, value};
    t->n++;
}

/* ----------------------------------------------------------------- remarks */

const char *oa_show(struct oa_import *m, struct span s)
{
    char *p = arena_alloc(&m->mem, 128);

    if (s.n > 120)
        s.n = 120;
    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i];
    for (size_t i = 0; i < s.n; i++)
        if (p[i] < ' ' || p[i] > '~')
            p[i] = '?';
    return p;
}

void oa_note(struct oa_import *m, const char *fmt, ...)
{
    va_list ap;

    if (m->notes.n == OA_NOTES_MAX)
        return;
    va_start(ap, fmt);
    oa_add(&m->notes, &m->mem, arena_vprintf(&m->mem, fmt, ap));
    va_end(ap);
}

/* ----------------------------------------------------------------- $ref */

/* One token of a JSON pointer (RFC 6901), as it stands in a URI's fragment. */
static struct span pointer_token(struct arena *mem, struct span s)
{
    char *p = arena_alloc(mem, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned v = 0;
        char digits[3] = {0};

        if (s.p[i] == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1')) {
            p[n++] = s.p[++i] == '0' ? '~' : '/';
        } else if (s.p[i] == '%' && i + 2 < s.n) {
            memcpy(digits, s.p + i + 1, 2);
            if (sscanf(digits, "%2x", &v) == 1)
                i += 2;
            p[n++] = v ? (char)v : '%';
        } else {
            p[n++] = s.p[i];
        }
    }
    return span_of(p, n);
}

static const struct oa_node *at_pointer(struct oa_import *m, struct span pointer)
{
    const struct oa_node *n = m->root;

    span_cut(&pointer, '/');
    for (unsigned depth = 0; pointer.p && n && depth < OA_DEPTH_MAX; depth++)
        n = oa_get(n, pointer_token(&m->mem, span_cut(&pointer, '/')));
    return pointer.p ? NULL : n;
}

/* The path item that one refers to; NULL with `why` if it cannot be had. */
static const struct oa_node *referred(struct oa_import *m, const struct oa_node *item,
                                      char why[256])
{
    struct span ref = oa_text(item, "$ref");
    const struct oa_node *n = NULL;

    if (span_starts(ref, SPAN_LIT("#/")))
        n = at_pointer(m, ref);
    else
        snprintf(why, 256, "the $ref %s leads out of the document; join its parts into one first",
                 oa_show(m, ref));
    if (span_starts(ref, SPAN_LIT("#/")) && (!n || n->kind != OA_MAP)) {
        snprintf(why, 256, "the $ref %s leads to no path item", oa_show(m, ref));
        n = NULL;
    }
    return n;
}

/* -------------------------------------------------------------- operations */

static bool good_map(const struct oa_node *n, const char *what, char why[256])
{
    if (n && n->kind == OA_MAP && !n->merges)
        return true;
    snprintf(why, 256,
             n && n->merges ? "%s has a merge key (<<): write the values out" : "%s is no mapping",
             what);
    return false;
}

static bool add_operation(struct oa_import *m, struct span path, const struct oa_node *item,
                          const struct oa_node *n, const char *method, char why[256])
{
    struct oa_operation *op = arena_new(&m->mem, struct oa_operation);

    if (!good_map(n, "an operation", why))
        return false;
    if (m->operations.n == OA_OPERATIONS_MAX) {
        snprintf(why, 256, "more than %d operations", OA_OPERATIONS_MAX);
        return false;
    }
    op->method = span_cstr(method);
    op->path = path;
    op->id = oa_text(n, "operationId");
    op->servers = oa_get(n, SPAN_LIT("servers"));
    if (!op->servers)
        op->servers = oa_get(item, SPAN_LIT("servers"));
    if (!op->servers)
        op->servers = oa_get(m->root, SPAN_LIT("servers"));
    oa_add(&m->operations, &m->mem, op);
    return true;
}

/* What a path item says itself counts before what it refers to. */
static bool read_item(struct oa_import *m, struct span path, const struct oa_node *item,
                      char why[256])
{
    bool seen[sizeof(methods) / sizeof(methods[0])] = {false};

    for (unsigned refs = 0; item; refs++) {
        if (!good_map(item, "a path item", why))
            return false;
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
            const struct oa_node *n = oa_get(item, span_cstr(methods[i][0]));

            if (!n || seen[i])
                continue;
            seen[i] = true;
            if (!add_operation(m, path, item, n, methods[i][1], why))
                return false;
        }
        if (!oa_get(item, SPAN_LIT("$ref")))
            return true;
        if (refs == REFS_MAX) {
            snprintf(why, 256, "the $ref of path %s goes in a circle", oa_show(m, path));
            return false;
        }
        item = referred(m, item, why);
    }
    return false;
}

static bool read_paths(struct oa_import *m, char why[256])
{
    const struct oa_node *paths = oa_get(m->root, SPAN_LIT("paths"));

    if (!paths) {
        snprintf(why, 256, "it has no `paths`");
        return false;
    }
    if (!good_map(paths, "`paths`", why))
        return false;
    for (size_t i = 0; i < paths->n; i++)
        if (!span_starts(paths->pairs[i].key, SPAN_LIT("x-")) &&
            !read_item(m, paths->pairs[i].key, paths->pairs[i].value, why))
            return false;
    return true;
}

/* ------------------------------------------------------------------ routes */

static void add_route(struct oa_import *m, struct oa_table *routes, struct oa_operation *op,
                      struct span base)
{
    struct oa_operation *first;
    struct span shape, key;
    bool wider = false;
    char *path;

    path = oa_template(m, base, op->path, &wider, &shape, &op->left_out);
    if (!path)
        return;
    op->wider = op->wider || wider;
    key = span_cstr(arena_printf(&m->mem, "%.*s %.*s", SPAN_ARG(op->method), SPAN_ARG(shape)));
    first = oa_find(routes, key);
    if (first == op)
        return;
    if (first) {
        op->same = first;
        return;
    }
    oa_put(routes, &m->mem, key, op);
    oa_add(&op->routes, &m->mem, arena_printf(&m->mem, "%.*s %s", SPAN_ARG(op->method), path));
}

/* The bases of servers that many operations share are looked up once. */
struct bases {
    const struct oa_node *servers;
    struct oa_list list;
};

static const struct oa_list *bases_of(struct oa_import *m, struct bases *last,
                                      const struct oa_node *servers)
{
    if (last->servers != servers || last->list.n == 0) {
        *last = (struct bases){.servers = servers};
        if (!oa_bases(m, servers, &last->list))
            return NULL;
    }
    return &last->list;
}

static bool add_routes(struct oa_import *m, char why[256])
{
    const struct oa_node *usual = oa_get(m->root, SPAN_LIT("servers"));
    struct bases common = {0}, other = {0};
    struct oa_table routes = {0};

    for (size_t i = 0; i < m->operations.n; i++) {
        struct oa_operation *op = m->operations.at[i];
        const struct oa_list *bases =
            bases_of(m, op->servers == usual ? &common : &other, op->servers);

        if (!bases) {
            snprintf(why, 256, "more than %d different base paths", OA_BASES_MAX);
            return false;
        }
        for (size_t k = 0; k < bases->n && !op->left_out; k++)
            add_route(m, &routes, op, span_cstr(bases->at[k]));
        m->functions += op->routes.n > 0;
        m->shared += op->same != NULL;
        m->left_out += op->left_out != NULL;
        m->wider += op->wider;
    }
    return true;
}

/* -------------------------------------------------------------- credentials */

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' || s.p[i] == '_'))
            return false;
    return s.n > 0 && s.n < 128;
}

static void note_scheme(struct oa_import *m, struct span name, const struct oa_node *n)
{
    struct span type = oa_text(n, "type"), scheme = oa_text(n, "scheme"), in = oa_text(n, "in");
    const char *what = "it cannot be added by the appliance", *shown = oa_show(m, name);

    if (span_eq(type, SPAN_LIT("http")) && span_ieq(scheme, SPAN_LIT("bearer")))
        what = "credential: {secret: NAME, as: bearer}";
    else if (span_eq(type, SPAN_LIT("http")) && span_ieq(scheme, SPAN_LIT("basic")))
        what = "credential: {secret: NAME, as: basic, user: USER}";
    else if (span_eq(type, SPAN_LIT("oauth2")) || span_eq(type, SPAN_LIT("openIdConnect")))
        what = "credential: {secret: NAME, as: bearer}, with a token that is kept fresh";
    else if (span_eq(type, SPAN_LIT("apiKey")) && span_eq(in, SPAN_LIT("header")) &&
             is_token(oa_text(n, "name")))
        what = arena_printf(&m->mem, "credential: {secret: NAME, as: header, header: %.*s}",
                            SPAN_ARG(oa_text(n, "name")));
    oa_note(m, "security scheme %s: %s", shown, what);
}

static void note_security(struct oa_import *m)
{
    const struct oa_node *schemes =
        oa_get(oa_get(m->root, SPAN_LIT("components")), SPAN_LIT("securitySchemes"));

    for (size_t i = 0; schemes && schemes->kind == OA_MAP && i < schemes->n && i < 16; i++)
        note_scheme(m, schemes->pairs[i].key, schemes->pairs[i].value);
}

bool oa_plan(struct oa_import *m, struct span text, char why[256])
{
    struct span version;

    m->root = oa_read(text, &m->mem, why);
    if (!m->root)
        return false;
    version = oa_text(m->root, "openapi");
    if (!good_map(m->root, "the document", why))
        return false;
    if (!span_starts(version, SPAN_LIT("3.0")) && !span_starts(version, SPAN_LIT("3.1"))) {
        snprintf(why, 256,
                 version.n ? "it is OpenAPI %s, not 3.0 or 3.1"
                           : "it does not say `openapi: 3.0` or 3.1%s",
                 oa_show(m, version));
        return false;
    }
    if (m->host)
        oa_add(&m->hosts, &m->mem, arena_strdup(&m->mem, span_cstr(m->host)));
    if (!read_paths(m, why) || !add_routes(m, why))
        return false;
    if (m->hosts.n == 0) {
        snprintf(why, 256, "its `servers` name no host that can be used; say it with --host");
        return false;
    }
    note_security(m);
    oa_name_all(m);
    return true;
}
