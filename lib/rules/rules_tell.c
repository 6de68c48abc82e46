/* Functions told by what the body says, as the files write them:
 *
 *     refund: {at: POST /mcp, mcp: create_refund}
 *
 * Routes of the same method and path that their bodies tell apart share one end of the index; what
 * they are told by is laid out there for rules_told.c. */
#include "rules_internal.h"

static const char *const kind_names[] = {"jsonrpc", "mcp", "graphql", "form", "json", NULL};
static const enum rules_tell_kind kinds[] = {TELL_JSONRPC, TELL_MCP, TELL_GRAPHQL, TELL_FORM,
                                             TELL_JSON};

/* ----------------------------------------------------------------- reading */

/* Words of a path into the body. Keys that need quotes are left out: such a place could not be
 * written into a query in one way. */
static bool is_field(struct span s)
{
    struct span rest = s, word;

    while (rest.p) {
        word = span_cut(&rest, '.');
        if (word.n == 0)
            return false;
        for (size_t i = 0; i < word.n; i++)
            if (!rules_is_name(span_of(&word.p[i], 1), false) &&
                (word.p[i] == 0 || !strchr("-$@:", word.p[i])))
                return false;
    }
    return s.n <= RULES_NAME_MAX;
}

/* The mapping that holds the texts, and the key that they are under. */
static const struct yaml_node *texts_of(struct rules_loader *l, struct rules_tell *t,
                                        const struct yaml_node *n, const char **key)
{
    const struct yaml_node *v = yaml_get(n, *key);

    if (t->kind != TELL_FORM && t->kind != TELL_JSON)
        return n;
    if (yaml_kind_of(v) != YAML_MAPPING || yaml_count(v) != 1) {
        diag_error(l->d, yaml_place(v),
                   "`%s` names one field and what it must say, as in {action: delete}", *key);
        return NULL;
    }
    t->field = arena_span(&l->set->mem, yaml_text(yaml_key_at(v, 0)));
    if (!is_field(t->field)) {
        diag_error(l->d, yaml_place(yaml_key_at(v, 0)),
                   "a field is written as `action` or `data.type`");
        return NULL;
    }
    *key = t->field.p;
    return v;
}

static bool read_texts(struct rules_loader *l, struct rules_tell *t, const struct yaml_node *n,
                       const char *key)
{
    const struct yaml_node *in = texts_of(l, t, n, &key);
    struct span *values;
    bool good = in && rules_read_texts(l, in, key, true, false, &values, &t->nodes, &t->nvalues);

    if (!good)
        return false;
    t->values = values;
    if (t->nvalues > RULES_TOLD_TEXTS_MAX) {
        diag_error(l->d, yaml_place(yaml_get(in, key)), "a function is told by at most %d texts",
                   RULES_TOLD_TEXTS_MAX);
        return false;
    }
    for (unsigned i = 0; i < t->nvalues; i++) {
        if (values[i].n <= RULES_TOLD_TEXT_MAX)
            continue;
        diag_error(l->d, yaml_place(t->nodes[i]),
                   "a text that tells a function has at most %d bytes", RULES_TOLD_TEXT_MAX);
        good = false;
    }
    return good;
}

/* The one key beside `at`; NULL after a complaint. */
static const char *kind_of(struct rules_loader *l, const struct yaml_node *n,
                           enum rules_tell_kind *kind)
{
    const char *key = NULL;

    for (unsigned i = 0; kind_names[i]; i++) {
        if (!yaml_get(n, kind_names[i]))
            continue;
        if (key) {
            diag_error(l->d, rules_key_place(n, kind_names[i]),
                       "a function is told by `%s` or by `%s`; write two entries for both", key,
                       kind_names[i]);
            return NULL;
        }
        key = kind_names[i];
        *kind = kinds[i];
    }
    if (!key && yaml_count(n) == (yaml_get(n, "at") != NULL)) /* not a key that is only misspelt */
        diag_error(l->d, yaml_place(n),
                   "what tells this function is missing: expected one of jsonrpc, mcp, graphql, "
                   "form, json");
    return key;
}

static bool has_no_body(struct span method)
{
    return span_eq(method, SPAN_LIT("GET")) || span_eq(method, SPAN_LIT("HEAD"));
}

struct rules_route *rules_read_told_route(struct rules_loader *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"at", "jsonrpc", "mcp", "graphql", "form", "json", NULL};
    struct rules_tell *t = arena_new(&l->set->mem, struct rules_tell);
    const char *key = kind_of(l, n, &t->kind);
    struct rules_route *r = NULL;
    struct span at;

    yaml_only(n, keys, l->d);
    if (yaml_read_text(n, "at", true, &at, l->d))
        r = rules_read_route(l, yaml_get(n, "at"));
    if (!key || !read_texts(l, t, n, key) || !r)
        return NULL;
    if (has_no_body(r->method)) {
        diag_error(l->d, yaml_place(yaml_get(n, "at")),
                   "a %.*s has no body that could tell its function", SPAN_ARG(r->method));
        return NULL;
    }
    r->tell = t;
    return r;
}

/* -------------------------------------------------------------- laying out */

static unsigned want(struct rules_loader *l, struct rules_told_doc *doc, const char *path)
{
    struct rules_set *s = l->set;
    struct span text = span_cstr(path);
    unsigned before;
    int at;

    if (!doc->paths)
        doc->paths = body_paths_new(&s->mem);
    before = body_paths_count(doc->paths);
    at = body_paths_add(doc->paths, text); /* made of words: it is a path, and there are few */
    doc->npaths = body_paths_count(doc->paths);
    if (doc->npaths == before)
        return (unsigned)at;
    doc->state += rules_path_state(text);
    for (unsigned d = DOC_BODY; d < DOC_COUNT; d++) {
        if (s->most_paths[d] < doc->npaths)
            s->most_paths[d] = doc->npaths;
        if (s->most_state[d] < doc->state + doc->query.n)
            s->most_state[d] = doc->state + doc->query.n;
    }
    return (unsigned)at;
}

/* "data.type" -> "data[type]=&" behind what is there. */
static void want_query(struct rules_loader *l, struct rules_told_doc *doc, struct span path)
{
    struct span word = span_cut(&path, '.');
    char *text = arena_printf(&l->tmp, "%.*s%.*s", SPAN_ARG(doc->query), SPAN_ARG(word));

    while (path.p) {
        word = span_cut(&path, '.');
        text = arena_printf(&l->tmp, "%s[%.*s]", text, SPAN_ARG(word));
    }
    doc->query = span_cstr(arena_printf(&l->set->mem, "%s=&", text));
}

static unsigned want_place(struct rules_loader *l, struct rules_told_doc *doc, const char *path)
{
    want_query(l, doc, span_cstr(path));
    return want(l, doc, path);
}

static void complain_same(struct rules_loader *l, const struct rules_route *r, unsigned i,
                          const struct rules_route *first)
{
    diag_error(l->d, yaml_place(r->tell->nodes[i]),
               "`%.*s` tells %.*s too (%s:%u): a call would be both", SPAN_ARG(r->tell->values[i]),
               SPAN_ARG(first->owner->name), first->place.file, first->place.line);
}

struct span rules_told_alike(struct span text, char *room)
{
    const char *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
    size_t n = 0;

    if (nul)
        text.n = (size_t)(nul - text.p);
    while (text.n && (unsigned char)text.p[0] <= ' ')
        text = span_from(text, 1);
    while (text.n && (unsigned char)text.p[text.n - 1] <= ' ')
        text.n--;
    if (text.n > RULES_TOLD_TEXT_MAX)
        return SPAN_NONE;
    for (; n < text.n; n++)
        room[n] = ascii_lower(text.p[n]);
    return span_of(room, n);
}

static void put_alike(struct rules_loader *l, struct rules_told_texts *t, struct span text,
                      struct rules_route *r)
{
    char room[RULES_TOLD_TEXT_MAX];

    rules_map_put(&t->alike, &l->set->mem, arena_span(&l->set->mem, rules_told_alike(text, room)),
                  r);
}

static void put_text(struct rules_loader *l, struct rules_told_texts *t, struct rules_route *r,
                     unsigned i)
{
    struct rules_route *first = rules_map_put(&t->exact, &l->set->mem, r->tell->values[i], r);

    if (first)
        complain_same(l, r, i, first);
    else
        put_alike(l, t, r->tell->values[i], r);
}

static bool is_word(const struct yaml_node *n)
{
    struct span s = yaml_text(n);

    return yaml_is_plain(n) && (body_number_valid(s) || span_eq(s, SPAN_LIT("true")) ||
                                span_eq(s, SPAN_LIT("false")) || span_eq(s, SPAN_LIT("null")));
}

/* Unquoted: JSON's own true, false and whole numbers. Numbers that can be written in several ways
 * are not looked for. */
static void put_word(struct rules_loader *l, struct rules_told_field *f, struct rules_route *r,
                     unsigned i)
{
    struct span s = r->tell->values[i];
    struct rules_route *first;

    if (span_eq(s, SPAN_LIT("null")) || !rules_told_word(s)) {
        diag_error(l->d, yaml_place(r->tell->nodes[i]),
                   "a function is told by a text, true, false, or a whole number of at most 18 "
                   "digits; put a text into quotes");
        return;
    }
    first = rules_map_put(&f->words, &l->set->mem, s, r);
    if (first)
        complain_same(l, r, i, first);
}

static struct rules_told_field *field_of(struct rules_loader *l, struct rules_told_doc *doc,
                                         const struct rules_route *r)
{
    struct span path = r->tell->field;
    struct rules_told_field *f;

    for (size_t i = 0; i < doc->fields.n; i++) {
        f = doc->fields.at[i];
        if (span_eq(f->path, path))
            return f;
    }
    if (doc->fields.n == RULES_TOLD_FIELDS_MAX) {
        diag_error(l->d, r->place, "one route is told by at most %d fields", RULES_TOLD_FIELDS_MAX);
        return NULL;
    }
    f = arena_new(&l->set->mem, struct rules_told_field);
    f->path = path;
    f->slot = want_place(l, doc, path.p);
    rules_list_add(&doc->fields, &l->set->mem, f);
    return f;
}

static void add_field(struct rules_loader *l, struct rules_told_doc *doc, struct rules_route *r)
{
    struct rules_told_field *f = field_of(l, doc, r);

    for (unsigned i = 0; f && i < r->tell->nvalues; i++) {
        if (r->tell->kind == TELL_JSON && is_word(r->tell->nodes[i]))
            put_word(l, f, r, i);
        else
            put_text(l, &f->texts, r, i);
    }
}

static void add_rpc(struct rules_loader *l, struct rules_told *t, struct rules_route *r)
{
    struct rules_told_texts *texts = r->tell->kind == TELL_MCP ? &t->tools : &t->methods;

    if (!t->rpc) {
        t->rpc = true;
        t->version = want_place(l, &t->json, "jsonrpc");
        t->method = want_place(l, &t->json, "method");
    }
    if (r->tell->kind == TELL_MCP && !t->mcp) {
        t->mcp = true;
        t->tool = want_place(l, &t->json, "params.name");
        put_alike(l, &t->methods, RULES_MCP_CALL, r);
    }
    for (unsigned i = 0; i < r->tell->nvalues; i++)
        put_text(l, texts, r, i);
}

/* "mutation createRefund", "query *" */
static bool graphql_field(struct span text, enum graphql_type *type, struct span *name)
{
    struct span word = span_cut(&text, ' ');

    *name = span_trim(text);
    if (!graphql_type_of(word, type) || name->n == 0)
        return false;
    if (span_eq(*name, SPAN_LIT("*")))
        return true;
    for (size_t i = 0; i < name->n; i++)
        if (name->p[i] == '-' || !rules_is_name(span_of(&name->p[i], 1), false))
            return false;
    return name->p[0] < '0' || name->p[0] > '9';
}

static void put_graphql(struct rules_loader *l, struct rules_told_graphql *g, struct rules_route *r,
                        unsigned i)
{
    struct rules_route *first;
    enum graphql_type type;
    struct span name;

    if (!graphql_field(r->tell->values[i], &type, &name)) {
        diag_error(l->d, yaml_place(r->tell->nodes[i]),
                   "a GraphQL field is written as `mutation createRefund`, with query, mutation or "
                   "subscription before its name, or before `*` for all others");
        return;
    }
    if (name.p[0] == '*') {
        first = g->any[type];
        g->any[type] = r;
    } else {
        first = rules_map_put(&g->fields[type], &l->set->mem, name, r);
    }
    if (first)
        complain_same(l, r, i, first);
}

static void add_graphql(struct rules_loader *l, struct rules_told *t, struct rules_route *r)
{
    struct rules_told_graphql *g = &t->graphql;

    if (!g->wanted) {
        g->wanted = true;
        g->query = want_place(l, &t->json, "query");
        g->name = want_place(l, &t->json, "operationName");
        g->stored[0] = want_place(l, &t->json, "extensions.persistedQuery");
        g->stored[1] = want_place(l, &t->json, "documentId");
    }
    for (unsigned i = 0; i < r->tell->nvalues; i++)
        put_graphql(l, g, r, i);
}

static void add(struct rules_loader *l, struct rules_told *t, struct rules_route *r)
{
    switch (r->tell->kind) {
    case TELL_JSONRPC:
    case TELL_MCP:
        add_rpc(l, t, r);
        break;
    case TELL_GRAPHQL:
        add_graphql(l, t, r);
        break;
    case TELL_FORM:
        add_field(l, &t->form, r);
        break;
    case TELL_JSON:
        add_field(l, &t->json, r);
        break;
    }
}

void rules_told_begin(struct rules_loader *l, struct rules_route *first)
{
    if (!first->tell)
        return;
    first->told = arena_new(&l->set->mem, struct rules_told);
    add(l, first->told, first);
}

bool rules_told_join(struct rules_loader *l, struct rules_route *first, struct rules_route *r)
{
    if (!r->tell && (!first->told || first->told->plain))
        return false;
    if (!first->told) {
        first->told = arena_new(&l->set->mem, struct rules_told);
        first->told->plain = first;
    }
    if (!span_eq(first->path, r->path)) {
        diag_error(l->d, r->place,
                   "`%.*s` is `%.*s` of %.*s (%s:%u): write both alike, so that the names of its "
                   "parameters do not hang on the body",
                   SPAN_ARG(r->path), SPAN_ARG(first->path), SPAN_ARG(first->owner->name),
                   first->place.file, first->place.line);
        return true;
    }
    if (r->tell)
        add(l, first->told, r);
    else
        first->told->plain = r;
    return true;
}
