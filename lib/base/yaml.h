/* YAML files (libfyaml), read whole, with the place of every node kept. Anchors, aliases, tags and
 * merge keys are refused, and so are tabs and characters that do not show: a rules file means what
 * it shows. Documents are immutable after loading and stay in memory until freed. One thread. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/diag.h"

struct yaml_doc;
struct yaml_node; /* owned by its document */

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

#define YAML_FILE_MAX ((size_t)16 << 20)

/* NULL after complaints in `d`: unreadable, too large, not UTF-8, a syntax error, a duplicate key,
 * an alias. An empty file is an empty mapping. */
struct yaml_doc *yaml_load(const char *path, struct diags *d);
struct yaml_doc *yaml_parse(const char *name, struct span text, struct diags *d);
void yaml_free(struct yaml_doc *doc);
const struct yaml_node *yaml_root(const struct yaml_doc *doc);
/* The text that was read, and the place of a byte in it, for files that must be JSON and no more.
 */
struct span yaml_source(const struct yaml_doc *doc);
struct place yaml_place_at(const struct yaml_doc *doc, size_t at);

enum yaml_kind yaml_kind_of(const struct yaml_node *n);
struct place yaml_place(const struct yaml_node *n);
/* The place of a byte within a scalar that stands on one line, for complaints inside expressions;
 * for other scalars the place of the scalar. */
struct place yaml_place_in(const struct yaml_node *n, size_t offset);

/* Scalars: the text after YAML's own unescaping, NUL after it. Empty span for other kinds. */
struct span yaml_text(const struct yaml_node *n);
bool yaml_is_plain(const struct yaml_node *n); /* not quoted: `true`, `5`, not "true" */

/* Mappings and sequences, in file order; O(1). For mappings yaml_key_at is the key node. */
size_t yaml_count(const struct yaml_node *n);
const struct yaml_node *yaml_at(const struct yaml_node *n, size_t i);
const struct yaml_node *yaml_key_at(const struct yaml_node *n, size_t i);
/* The value under a key; NULL if there is none or `n` is NULL or no mapping. */
const struct yaml_node *yaml_get(const struct yaml_node *n, const char *key);

/* The pairs of one mapping and, after them, those of another whose keys it does not have. Under a
 * key of `deep` (NULL-terminated) that has a mapping in both, those two are joined so as well.
 * Belongs to the document of `over`, which complaints about the whole of it name; every value keeps
 * its own place, so the other document must live as long. */
const struct yaml_node *yaml_join(const struct yaml_node *over, const struct yaml_node *under,
                                  const char *const *deep);

/* Readers that complain in `d` with the key's name and what was expected. `n` is a mapping.
 * Return true if the key is there and good; false if it is missing (a complaint only if
 * `required`) or bad (always a complaint). The output is untouched on false. */
bool yaml_read_text(const struct yaml_node *n, const char *key, bool required, struct span *out,
                    struct diags *d);
bool yaml_read_u64(const struct yaml_node *n, const char *key, bool required, uint64_t least,
                   uint64_t most, uint64_t *out, struct diags *d);
bool yaml_read_bool(const struct yaml_node *n, const char *key, bool required, bool *out,
                    struct diags *d);
/* "20s", "5m", "24h", "50ms", "2d" to nanoseconds. */
bool yaml_read_duration(const struct yaml_node *n, const char *key, bool required, uint64_t *ns,
                        struct diags *d);
/* "16KiB", "1MiB", "2GiB", or plain bytes. */
bool yaml_read_size(const struct yaml_node *n, const char *key, bool required, uint64_t *bytes,
                    struct diags *d);
/* One of `names` (NULL-terminated), its index to `out`. */
bool yaml_read_enum(const struct yaml_node *n, const char *key, bool required,
                    const char *const *names, unsigned *out, struct diags *d);
/* Complains about every key of the mapping that is not in `known` (NULL-terminated), naming the
 * nearest known one when it is close. */
void yaml_only(const struct yaml_node *n, const char *const *known, struct diags *d);

#endif
