/* The inside of a YAML document, for the yaml_*.c files. */
#ifndef BASE_YAML_INTERNAL_H
#define BASE_YAML_INTERNAL_H

#include "base/yaml.h"

#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX ((size_t)4 << 20)

enum yaml_style { YAML_PLAIN, YAML_SINGLE_QUOTED, YAML_DOUBLE_QUOTED, YAML_LITERAL, YAML_FOLDED };

/* How many keys a mapping has before looking one up goes by hash. */
#define YAML_LINEAR_MAX 8

struct yaml_node {
    struct yaml_doc *doc;
    enum yaml_kind kind;
    enum yaml_style style;
    uint32_t at, end; /* bytes in the document's text; of quoted scalars without the quotes */
    struct span scalar;
    /* Sequences: the items. Mappings: key, value, key, value ... */
    struct yaml_node **items;
    size_t count;    /* of items or of pairs */
    uint32_t *slots; /* larger mappings: pair number + 1, 0 for none, open addressing */
    uint32_t slot_mask;
};

struct yaml_doc {
    struct arena mem;
    const char *name;
    struct span text;
    uint32_t *lines; /* where each line begins; there is always one */
    size_t line_count;
    struct yaml_node *root;
};

/* yaml_place.c */
void yaml_index_lines(struct yaml_doc *doc);
/* A place in numbers, as the parser names it; a line past the end is the last line's end. */
struct place yaml_place_line(const struct yaml_doc *doc, unsigned line, unsigned column);
size_t yaml_line_of(const struct yaml_doc *doc, size_t at); /* from 0 */

/* yaml_build.c: parses doc->text into doc->root; false after complaints. */
bool yaml_build(struct yaml_doc *doc, struct diags *d);

/* yaml.c: the value under a key; at most `pairs` pairs are looked at when there are no slots. */
struct yaml_node *yaml_find(const struct yaml_node *n, struct span key, size_t pairs);

/* yaml_join.c: the table of a mapping that has all its pairs; then each pair, once. */
void yaml_make_slots(struct yaml_node *n);
void yaml_add_slot(struct yaml_node *n, uint32_t pair);

#endif
