/* GraphQL: what one operation of an executable document asks for at its top level (GraphQL
 * specification, October 2021: 2 Language, 6.3.2 CollectFields). No allocation; steps are linear in
 * the document; any thread. */
#ifndef RULES_GRAPHQL_H
#define RULES_GRAPHQL_H

#include "base/base.h"

#define GRAPHQL_FIELDS_MAX      256 /* of the top level of one operation; and as many spreads */
#define GRAPHQL_DEFINITIONS_MAX 256 /* operations and fragments of a document */
#define GRAPHQL_DEPTH_MAX       64  /* of selections and values in each other */

enum graphql_type { GRAPHQL_QUERY, GRAPHQL_MUTATION, GRAPHQL_SUBSCRIPTION, GRAPHQL_TYPES };

struct graphql_operation {
    enum graphql_type type;
    struct span field[GRAPHQL_FIELDS_MAX]; /* names, not aliases; into the document; may repeat */
    unsigned nfields;                      /* at least 1 */
};

/* Reads the whole document and the operation of that name; no name: the only one. Fields count
 * whatever `@skip` and `@include` say, and those of fragments whatever type they are on. False if
 * the document is no executable one in strict grammar, or the operation cannot be told for sure: a
 * name that is there twice or not at all, an operation without a name beside others, a fragment
 * that is not there, a quote in a block string, more of anything than the bounds above. */
bool graphql_read(struct span document, struct span name, struct graphql_operation *out);
/* "query", "mutation" or "subscription"; false if it is none. */
bool graphql_type_of(struct span word, enum graphql_type *type);

#endif
