/* Vendor credentials: sealed at rest, injected on the way out, never given back. A vault file holds
 * secrets by name, each AES-256-GCM under its own nonce with name, version, connection and header
 * as additional data, under a 32-byte key from a key file. An opened vault is immutable and shared
 * by workers; its values live in memory that is locked, left out of core dumps and wiped. */
#ifndef VAULT_VAULT_H
#define VAULT_VAULT_H

#include "base/base.h"

#define VAULT_NAME_MAX       64  /* lower-case letters, digits, '-', '_', '.' */
#define VAULT_CONNECTION_MAX 128 /* as rules files name them: upper-case letters too */
#define VAULT_VALUE_MAX      16384
#define VAULT_SECRETS_MAX    1024
#define VAULT_KEY            32

struct vault;

struct vault_secret {
    struct span name;
    struct span connection; /* the only connection that may use it */
    uint32_t version;       /* 1, 2, ... by vault_set */
    uint64_t created_ns;    /* wall clock */
    struct span value;      /* never log, print or record it */
};

/* NULL after complaints in `d`: missing, permissions (key and vault file must be 0600 or 0400 and
 * owned by us or root), wrong key, damaged (any flipped bit is found), unknown format version. */
struct vault *vault_open(const char *file, const char *key_file, struct diags *d);
void vault_close(struct vault *v); /* wipes; NULL is allowed */

/* The current version of a secret; NULL if there is none or it is bound to another connection. */
const struct vault_secret *vault_find(const struct vault *v, struct span name,
                                      struct span connection);
unsigned vault_count(const struct vault *v);
const struct vault_secret *vault_at(const struct vault *v, unsigned i); /* by name */

/* File operations of turnpikectl; each rewrites the file atomically (new file, fsync, rename,
 * directory fsync) under a lock file, so that a running appliance sees the old one or the new one.
 * False after complaints. */
bool vault_key_create(const char *key_file, struct diags *d); /* refuses to overwrite */
bool vault_create(const char *file, const char *key_file, struct diags *d);
bool vault_set(const char *file, const char *key_file, struct span name, struct span connection,
               struct span value, uint64_t now_ns, uint32_t *version, struct diags *d);
bool vault_remove(const char *file, const char *key_file, struct span name, struct diags *d);

/* Memory for secrets: mlock'd (a warning is logged once if the limit forbids it), MADV_DONTDUMP,
 * guard pages on both sides, wiped by vault_mem_free. */
void *vault_mem_alloc(size_t n);
void vault_mem_free(void *p);

#endif
