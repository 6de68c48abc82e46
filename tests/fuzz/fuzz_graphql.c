/* GraphQL documents with any bytes in them. Up to the first NUL byte stands the operation's name.
 * What is read must say the same with a comment before it and an unused fragment behind it. */
#include <stdlib.h>

#include "rules/rules_graphql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct graphql_operation *a, const struct graphql_operation *b)
{
    bool same = a->type == b->type && a->nfields == b->nfields;

    for (unsigned i = 0; same && i < a->nfields; i++)
        same = span_eq(a->field[i], b->field[i]);
    return same;
}

/* A line before it, and a fragment that nobody uses behind it, change nothing. */
static void check_framed(struct span document, struct span name, const struct graphql_operation *o)
{
    static struct graphql_operation other;
    static const char before[] = "\xef\xbb\xbf,#{\"\n", after[] = "\n,fragment Unused_ on X{y:z}#";
    char *p = malloc(document.n + sizeof(before) + sizeof(after));
    struct outbuf out = outbuf_on(p, document.n + sizeof(before) + sizeof(after));

    outbuf_lit(&out, before);
    outbuf_span_put(&out, document);
    outbuf_lit(&out, after);
    if (graphql_read(outbuf_span(&out), name, &other) && !same(o, &other))
        abort();
    free(p);
}

static void check_fields(struct span document, const struct graphql_operation *o)
{
    if (o->nfields == 0 || o->nfields > GRAPHQL_FIELDS_MAX || o->type >= GRAPHQL_TYPES)
        abort();
    for (unsigned i = 0; i < o->nfields; i++)
        if (o->field[i].n == 0 || o->field[i].p < document.p ||
            o->field[i].p + o->field[i].n > document.p + document.n)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct graphql_operation o;
    struct span all = span_of(data, size), name = span_cut(&all, '\0');

    if (!all.p || !graphql_read(all, name, &o))
        return 0;
    check_fields(all, &o);
    check_framed(all, name, &o);
    return 0;
}
