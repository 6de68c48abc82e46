/* The function that a body names, where method and path alone do not say it. A body that could be
 * read in two ways, by us or by the vendor, names none. */
#include "rules_internal.h"

/* What was found at all the places that are looked at. */
struct heard {
    const struct rules_route *route;
    bool doubt;   /* it could be read in two ways, or names two functions */
    bool missing; /* a place is empty */
};

static void hear(struct heard *h, const struct rules_route *r)
{
    if (!r)
        return;
    h->doubt |= h->route && h->route->function != r->function;
    h->route = r;
}

/* NULL for another text; then it must not look like one that is known. */
static const struct rules_route *look_up(struct heard *h, const struct rules_told_texts *t,
                                         struct span text)
{
    const struct rules_route *r = rules_map_get(&t->exact, text);
    char room[RULES_TOLD_TEXT_MAX];

    if (!r && rules_map_get(&t->alike, rules_told_alike(text, room)))
        h->doubt = true;
    return r;
}

/* --------------------------------------------------------- a field's value */

/* A whole number as everybody writes it. */
static bool is_whole(struct span s)
{
    if (s.n && s.p[0] == '-')
        s = span_from(s, 1);
    if (s.n == 0 || s.n > 18 || (s.p[0] == '0' && s.n > 1))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

bool rules_told_word(struct span s)
{
    return span_eq(s, SPAN_LIT("true")) || span_eq(s, SPAN_LIT("false")) ||
           (is_whole(s) && !span_eq(s, SPAN_LIT("-0")));
}

static void hear_word(struct heard *h, const struct rules_told_field *f, struct span word)
{
    if (f->words.n == 0 || !rules_told_word(word))
        h->doubt = true;
    else
        hear(h, rules_map_get(&f->words, word));
}

static void hear_field(struct heard *h, const struct rules_told_field *f,
                       const struct body_value *v, bool form)
{
    switch (v->kind) {
    case BODY_MISSING:
        h->missing = true;
        break;
    case BODY_BOOL:
        hear_word(h, f, v->boolean ? SPAN_LIT("true") : SPAN_LIT("false"));
        break;
    case BODY_NUMBER:
        if (form)
            hear(h, look_up(h, &f->texts, v->text));
        else
            hear_word(h, f, v->text);
        break;
    case BODY_STRING:
        h->doubt |= f->texts.exact.n == 0;
        hear(h, look_up(h, &f->texts, v->text));
        break;
    default:
        h->doubt = true;
    }
}

static void hear_fields(struct heard *h, const struct rules_told_doc *doc,
                        const struct body_value *v, bool form)
{
    for (size_t i = 0; i < doc->fields.n; i++) {
        const struct rules_told_field *f = doc->fields.at[i];

        hear_field(h, f, &v[f->slot], form);
    }
}

/* ------------------------------------------------------- JSON-RPC 2.0, MCP */

static bool says(const struct body_value *v, struct span text)
{
    return v->kind == BODY_STRING && span_eq(v->text, text);
}

/* A tool that is known comes before the method by which all of them are called. */
static const struct rules_route *hear_method(struct heard *h, const struct rules_told *t,
                                             const struct body_value *v)
{
    const struct body_value *method = &v[t->method], *tool = &v[t->tool];
    const struct rules_route *r = NULL;

    if (!t->mcp || !span_eq(method->text, RULES_MCP_CALL))
        return look_up(h, &t->methods, method->text);
    if (tool->kind == BODY_STRING)
        r = look_up(h, &t->tools, tool->text);
    else
        h->doubt = true;
    return r ? r : rules_map_get(&t->methods.exact, method->text);
}

static void hear_rpc(struct heard *h, const struct rules_told *t, const struct body_value *v)
{
    const struct body_value *version = &v[t->version], *method = &v[t->method];

    if (version->kind == BODY_MISSING && method->kind == BODY_MISSING)
        h->missing = true;
    else if (!says(version, SPAN_LIT("2.0")) || method->kind != BODY_STRING)
        h->doubt = true;
    else
        hear(h, hear_method(h, t, v));
}

/* ----------------------------------------------------------------- GraphQL */

/* All fields must be one function's, or none of them any's. */
static void hear_operation(struct heard *h, const struct rules_told_graphql *g,
                           const struct graphql_operation *o)
{
    bool known = false, other = false;

    for (unsigned i = 0; i < o->nfields; i++) {
        const struct rules_route *r = rules_map_get(&g->fields[o->type], o->field[i]);

        if (!r && o->nfields > 1 && span_eq(o->field[i], SPAN_LIT("__typename")))
            continue; /* it asks for nothing and may stand beside anything */
        if (!r)
            r = g->any[o->type];
        hear(h, r);
        known |= r != NULL;
        other |= r == NULL;
    }
    h->doubt |= known && other;
}

/* A vendor may take a document that it has for the one that is sent. */
static bool names_stored(const struct rules_told_graphql *g, const struct body_value *v)
{
    return v[g->stored[0]].kind != BODY_MISSING || v[g->stored[1]].kind != BODY_MISSING;
}

static void hear_graphql(struct heard *h, const struct rules_told_graphql *g,
                         const struct body_value *v)
{
    const struct body_value *query = &v[g->query], *name = &v[g->name];
    bool no_name = name->kind == BODY_MISSING || name->kind == BODY_NULL;
    struct graphql_operation o;

    if (query->kind == BODY_MISSING && no_name && !names_stored(g, v))
        h->missing = true;
    else if (query->kind != BODY_STRING || names_stored(g, v) ||
             (!no_name && name->kind != BODY_STRING) || !graphql_read(query->text, name->text, &o))
        h->doubt = true;
    else
        hear_operation(h, g, &o);
}

/* ---------------------------------------------------------------- the call */

/* Servers differ in whether a query's field stands for one of the body, or the other way round. The
 * places are put before the query: what is then there once is not in it, under any look-alike. */
static bool query_speaks(struct rules_scratch *x, const struct rules_told_doc *doc,
                         struct span query)
{
    struct outbuf o = rules_scratch_room(x, DOC_CLAIMS);
    const struct body_values *v;
    bool speaks = false;

    if (query.n == 0)
        return false;
    outbuf_span_put(&o, doc->query);
    outbuf_span_put(&o, query);
    if (o.full)
        return true;
    v = rules_scratch_read(x, DOC_QUERY, doc->paths, doc->npaths, BODY_FORM, outbuf_span(&o));
    for (unsigned i = 0; i < v->count; i++)
        speaks |= v->v[i].kind != BODY_STRING;
    return speaks;
}

const struct rules_function *rules_function_told(struct rules_scratch *x,
                                                 const struct rules_call *call)
{
    const struct rules_told *t = call->params->told;
    const struct rules_function *unlisted = call->function->connection->unlisted;
    const struct rules_told_doc *doc;
    const struct body_values *v;
    struct heard h = {0};
    bool json = call->body_type == BODY_JSON;

    if (!t)
        return call->function;
    doc = json ? &t->json : &t->form;
    if (call->body_problem || !doc->paths || query_speaks(x, doc, call->head->query))
        return unlisted;
    v = rules_scratch_read(x, DOC_BODY, doc->paths, doc->npaths, call->body_type, call->body);
    if (v->problem)
        return unlisted;
    hear_fields(&h, doc, v->v, !json);
    if (json && t->rpc)
        hear_rpc(&h, t, v->v);
    if (json && t->graphql.wanted)
        hear_graphql(&h, &t->graphql, v->v);
    if (h.doubt || (!h.route && h.missing))
        return unlisted;
    return h.route ? h.route->function : call->function;
}
