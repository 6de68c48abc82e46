/* Names in expressions: what they stand for, and the paths of documents that they read. */
#include "rules_check.h"

struct chain {
    struct span root;
    unsigned at, n;
    const struct rules_ast *link[RULES_DEPTH_MAX + 1]; /* FIELD and INDEX, outermost name first */
};

/* Takes a.b[0].c apart. False if its root is no name, or (by way of parentheses) too far away. */
static bool unchain(const struct rules_ast *n, struct chain *out)
{
    const struct rules_ast *link[RULES_DEPTH_MAX + 1];

    out->n = 0;
    for (; n->kind == AST_FIELD || n->kind == AST_INDEX; n = n->a) {
        if (out->n > RULES_DEPTH_MAX)
            return false;
        link[out->n++] = n;
    }
    for (unsigned i = 0; i < out->n; i++)
        out->link[i] = link[out->n - 1 - i];
    out->root = n->text;
    out->at = n->at;
    return n->kind == AST_NAME;
}

/* The key that a link names: .name or ["name"]; empty p for [3] and for what is computed. */
static struct span link_key(const struct rules_ast *link)
{
    if (link->kind == AST_FIELD)
        return link->text;
    if (link->b->kind == AST_LITERAL && link->b->type == TYPE_STRING)
        return link->b->value.text;
    return SPAN_NONE;
}

static bool is_plain_key(struct span s)
{
    if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char ch = ascii_lower(s.p[i]);

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9') && ch != '_')
            return false;
    }
    return true;
}

static bool put_link(struct checker *c, const struct rules_ast *link, struct outbuf *o)
{
    struct span key = link_key(link);
    uint64_t i;

    if (key.p && is_plain_key(key)) {
        if (o->n)
            outbuf_char(o, '.');
        outbuf_span_put(o, key);
        return true;
    }
    outbuf_char(o, '[');
    if (key.p) {
        outbuf_json(o, key);
    } else if (link->b->type == TYPE_NUMBER && link->b->kind == AST_LITERAL &&
               span_u64(link->b->value.text, &i) && i <= 1000000) {
        outbuf_u64(o, i);
    } else {
        complain(c, link->b->at, "an index must be a string or a whole number, as written");
        return false;
    }
    outbuf_char(o, ']');
    return true;
}

/* The path of links from..n in the body library's words. p == NULL after a complaint. */
static struct span path_text(struct checker *c, const struct chain *ch, unsigned from)
{
    size_t room = 16;
    struct outbuf o;

    for (unsigned i = from; i < ch->n; i++)
        room += 6 * link_key(ch->link[i]).n + 24; /* a control character takes six */
    o = outbuf_on(arena_alloc(c->mem, room), room);
    for (unsigned i = from; i < ch->n; i++)
        if (!put_link(c, ch->link[i], &o))
            return SPAN_NONE;
    return outbuf_span(&o);
}

/* The slot of a path under a loop's variable. */
static unsigned variable_slot(struct checker *c, struct rules_ast_loop *loop, struct span path)
{
    struct span *kept;

    for (size_t i = 0; i < loop->paths.n; i++)
        if (span_eq(*(const struct span *)loop->paths.at[i], path))
            return (unsigned)i;
    kept = arena_new(c->mem, struct span);
    *kept = path;
    rules_list_add(&loop->paths, c->mem, kept);
    return (unsigned)loop->paths.n - 1;
}

unsigned rules_slot_for(struct checker *c, enum rules_doc doc, struct span path)
{
    struct rules_paths *p = c->paths;
    unsigned n = p->n[doc], room;
    struct span *more;

    for (unsigned i = 0; i < n; i++)
        if (span_eq(p->path[doc][i], path))
            return i;
    if (n == p->room[doc]) {
        room = n ? n * 2 : 8;
        more = arena_array(c->mem, struct span, room);
        if (n)
            memcpy(more, p->path[doc], n * sizeof(*more));
        p->path[doc] = more;
        p->room[doc] = room;
    }
    p->path[doc][n] = path;
    return p->n[doc]++;
}

/* Later complaints point to where the name begins. */
static void to_ref(struct rules_ast *n, const struct chain *ch, enum rules_ref ref,
                   enum rules_type type)
{
    n->kind = AST_REF;
    n->at = ch->at;
    n->ref = ref;
    n->type = type;
}

/* list[3]: the list's node is made below this one. */
static void to_element(struct checker *c, struct rules_ast *n, const struct rules_ast *list,
                       const struct rules_ast *index)
{
    struct rules_ast *of = arena_new(c->mem, struct rules_ast);
    uint64_t i;

    if (index->kind != AST_LITERAL || index->type != TYPE_NUMBER ||
        !span_u64(index->value.text, &i) || i > UINT16_MAX) {
        complain(c, index->at, "an element is named by a whole number, as written");
        return;
    }
    *of = *list;
    n->kind = AST_AT;
    n->a = of;
    n->b = NULL;
    n->type = list->elem;
    n->slot = (unsigned)i;
}

static void to_doc(struct checker *c, struct rules_ast *n, const struct chain *ch, unsigned from,
                   enum rules_doc doc)
{
    struct span path = path_text(c, ch, from);

    if (!path.p)
        return;
    if (body_paths_add(c->probe, path) < 0) {
        complain(c, n->at, "this is no path that a document could have");
        return;
    }
    to_ref(n, ch, REF_DOC, TYPE_DYN);
    n->doc = doc;
    n->text = path;
    n->slot = rules_slot_for(c, doc, path);
}

static void note_param(struct checker *c, struct span name, unsigned at)
{
    struct rules_paths *p = c->paths;
    struct span *names;
    unsigned *ats;

    for (unsigned i = 0; i < p->nparam; i++)
        if (span_eq(p->param[i], name))
            return;
    names = arena_array(c->mem, struct span, p->nparam + 1);
    ats = arena_array(c->mem, unsigned, p->nparam + 1);
    if (p->nparam) {
        memcpy(names, p->param, p->nparam * sizeof(*names));
        memcpy(ats, p->param_at, p->nparam * sizeof(*ats));
    }
    names[p->nparam] = name;
    ats[p->nparam++] = at;
    p->param = names;
    p->param_at = ats;
}

/* request.headers["x"], params.x: exactly one key. */
static void keyed(struct checker *c, struct rules_ast *n, const struct chain *ch, unsigned from,
                  enum rules_ref ref)
{
    struct span key = ch->n == from + 1 ? link_key(ch->link[from]) : SPAN_NONE;

    if (!key.p || key.n == 0) {
        complain(c, n->at, "exactly one name in text must follow here, as in %s",
                 ref == REF_HEADER ? "request.headers[\"x-name\"]" : "params.name");
        return;
    }
    if (ref == REF_HEADER && !rules_is_token(key)) {
        complain(c, n->at, "this is no header field name");
        return;
    }
    if (ref == REF_PARAM)
        note_param(c, key, n->at);
    to_ref(n, ch, ref, TYPE_STRING);
    n->text = key;
}

struct member {
    const char *name;
    enum rules_ref ref;
    enum rules_type type;
};

/* caller.groups[0] */
static bool group(struct checker *c, struct rules_ast *n, const struct chain *ch)
{
    struct rules_ast list = *n;

    if (!word_is(link_key(ch->link[0]), "groups") || ch->n != 2 || ch->link[1]->kind != AST_INDEX)
        return false;
    to_ref(&list, ch, REF_CALLER_GROUPS, TYPE_LIST);
    list.elem = TYPE_STRING;
    list.from = ch->link[0]->from;
    list.to = ch->link[0]->to;
    to_element(c, n, &list, ch->link[1]->b);
    return true;
}

static bool plain_member(struct checker *c, struct rules_ast *n, const struct chain *ch,
                         const struct member *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!word_is(link_key(ch->link[0]), m[i].name))
            continue;
        if (ch->n > 1) {
            complain(c, ch->link[1]->at, "`%s` is %s and has no parts%s", m[i].name,
                     rules_type_name(m[i].type), m[i].type == TYPE_LIST ? "; use `in`" : "");
            return true;
        }
        to_ref(n, ch, m[i].ref, m[i].type);
        if (m[i].type == TYPE_LIST)
            n->elem = TYPE_STRING;
        return true;
    }
    return false;
}

static void caller_name(struct checker *c, struct rules_ast *n, const struct chain *ch)
{
    static const struct member members[] = {
        {"id", REF_CALLER_ID, TYPE_STRING},         {"issuer", REF_CALLER_ISSUER, TYPE_STRING},
        {"method", REF_CALLER_METHOD, TYPE_STRING}, {"address", REF_CALLER_ADDRESS, TYPE_STRING},
        {"groups", REF_CALLER_GROUPS, TYPE_LIST},
    };

    if (ch->n > 0 && word_is(link_key(ch->link[0]), "claims"))
        to_doc(c, n, ch, 1, DOC_CLAIMS);
    else if (ch->n > 0 && group(c, n, ch))
        return;
    else if (ch->n == 0 || !plain_member(c, n, ch, members, sizeof(members) / sizeof(members[0])))
        complain(c, n->at, "`caller` has id, issuer, method, groups, claims and address");
}

static void request_name(struct checker *c, struct rules_ast *n, const struct chain *ch)
{
    static const struct member members[] = {
        {"method", REF_REQUEST_METHOD, TYPE_STRING},
        {"path", REF_REQUEST_PATH, TYPE_STRING},
        {"size", REF_REQUEST_SIZE, TYPE_NUMBER},
    };
    struct span first = ch->n ? link_key(ch->link[0]) : SPAN_NONE;

    if (word_is(first, "headers"))
        keyed(c, n, ch, 1, REF_HEADER);
    else if (word_is(first, "query") && ch->n > 1)
        to_doc(c, n, ch, 1, DOC_QUERY);
    else if (word_is(first, "query"))
        complain(c, n->at, "name what the query must hold, as in request.query[\"x\"]");
    else if (ch->n == 0 || !plain_member(c, n, ch, members, sizeof(members) / sizeof(members[0])))
        complain(c, n->at, "`request` has method, path, query, headers and size");
}

static void whole_name(struct checker *c, struct rules_ast *n, const struct chain *ch,
                       enum rules_ref ref, enum rules_type type)
{
    if (ch->n)
        complain(c, ch->link[0]->at, "`%.*s` is %s and has no parts", SPAN_ARG(ch->root),
                 rules_type_name(type));
    else
        to_ref(n, ch, ref, type);
}

/* lists.NAME, lists.NAME[0]: what the files say is a constant. */
static void list_name(struct checker *c, struct rules_ast *n, const struct chain *ch)
{
    struct span name = ch->n ? link_key(ch->link[0]) : SPAN_NONE;
    struct rules_loader *l = c->around->l;
    struct rules_named_list *found = name.p && l ? rules_map_get(&l->list_names, name) : NULL;
    struct rules_ast list = {.kind = AST_LITERAL, .at = ch->at, .type = TYPE_LIST};

    if (!name.p) {
        complain(c, ch->at, "name one of the lists, as in lists.countries");
        return;
    }
    if (!found) {
        complain(c, ch->at, "there is no list `%.*s` under `lists`", SPAN_ARG(name));
        return;
    }
    found->used = true;
    list.value = found->value;
    list.elem = found->elem;
    list.from = ch->link[0]->from;
    list.to = ch->link[0]->to;
    if (ch->n == 2 && ch->link[1]->kind == AST_INDEX)
        to_element(c, n, &list, ch->link[1]->b);
    else if (ch->n > 1)
        complain(c, ch->link[1]->at, "`%.*s` is a list and has no parts; use `in`", SPAN_ARG(name));
    else
        *n = list;
}

/* The variable of a loop around, the innermost first. */
static struct rules_ast_loop *variable(struct checker *c, struct span name)
{
    for (unsigned i = c->nloops; i-- > 0;)
        if (span_eq(c->loop[i]->variable, name))
            return c->loop[i];
    return NULL;
}

static void to_variable(struct checker *c, struct rules_ast *n, const struct chain *ch,
                        struct rules_ast_loop *loop)
{
    struct span path = path_text(c, ch, 0);

    if (!path.p)
        return;
    if (ch->n && loop->elem != TYPE_DYN) {
        complain(c, ch->link[0]->at, "`%.*s` is %s and has no parts", SPAN_ARG(ch->root),
                 rules_type_name(loop->elem));
        return;
    }
    if (body_paths_add(c->probe, path) < 0) {
        complain(c, n->at, "this is no path that an element could have");
        return;
    }
    to_ref(n, ch, REF_VAR, loop->elem);
    n->level = loop->level;
    if (loop->elem == TYPE_DYN)
        n->slot = variable_slot(c, loop, path);
    if (ch->n == 0)
        n->slot = RULES_WHOLE;
}

static const char *const roots[] = {"caller", "connection", "function", "request", "params",
                                    "body",   "lists",      "now",      "claims",  "found",
                                    "spent",  "calls",      NULL};

bool rules_is_root(struct span name)
{
    for (size_t i = 0; roots[i]; i++)
        if (word_is(name, roots[i]))
            return true;
    return false;
}

static void unknown_name(struct checker *c, const struct chain *ch)
{
    if (word_is(ch->root, "claims") && c->scope == SCOPE_CALL)
        complain(c, ch->at, "there is no name `claims` here; write caller.claims");
    else if (word_is(ch->root, "found"))
        complain(c, ch->at, "`found` is a function: found(\"pci.card\")");
    else if (word_is(ch->root, "spent") || word_is(ch->root, "calls"))
        complain(c, ch->at, "`%.*s` is a function: spent(\"body.amount\", \"24h\", caller.id)",
                 SPAN_ARG(ch->root));
    else
        complain(c, ch->at, "there is no name `%.*s`; there are %s", SPAN_ARG(ch->root),
                 c->scope == SCOPE_CLAIMS
                     ? "only `claims` here"
                     : "caller, connection, function, request, params, body, lists and now");
}

static void call_name(struct checker *c, struct rules_ast *n, const struct chain *ch)
{
    if (word_is(ch->root, "body"))
        to_doc(c, n, ch, 0, DOC_BODY);
    else if (word_is(ch->root, "caller"))
        caller_name(c, n, ch);
    else if (word_is(ch->root, "request"))
        request_name(c, n, ch);
    else if (word_is(ch->root, "params"))
        keyed(c, n, ch, 0, REF_PARAM);
    else if (word_is(ch->root, "lists"))
        list_name(c, n, ch);
    else if (word_is(ch->root, "connection"))
        whole_name(c, n, ch, REF_CONNECTION, TYPE_STRING);
    else if (word_is(ch->root, "function"))
        whole_name(c, n, ch, REF_FUNCTION, TYPE_STRING);
    else if (word_is(ch->root, "now"))
        whole_name(c, n, ch, REF_NOW, TYPE_TIME);
    else
        unknown_name(c, ch);
}

/* [1, 2][0], (c ? a : b)[0] */
static void index_list(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n->a);
    if (n->a->type == TYPE_LIST)
        to_element(c, n, n->a, n->b);
    else
        complain(c, n->at, "only caller, request, params, body and claims have parts");
}

void rules_resolve(struct checker *c, struct rules_ast *n)
{
    struct rules_ast_loop *loop;
    struct chain ch;

    if (!unchain(n, &ch)) {
        if (n->kind == AST_INDEX && n->a->kind != AST_FIELD && n->a->kind != AST_INDEX)
            index_list(c, n);
        else
            complain(c, n->at, "only caller, request, params, body and claims have parts");
        return;
    }
    loop = variable(c, ch.root);
    if (loop) {
        to_variable(c, n, &ch, loop);
    } else if (c->scope == SCOPE_CLAIMS) {
        if (word_is(ch.root, "claims"))
            to_doc(c, n, &ch, 0, DOC_CLAIMS);
        else
            unknown_name(c, &ch);
    } else {
        call_name(c, n, &ch);
    }
    c->around->names = c->around->names || n->kind == AST_REF || n->kind == AST_AT;
}
