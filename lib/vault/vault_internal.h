/* The inside of the vault: its file, how it is sealed, and how files that matter are read and
 * replaced. */
#ifndef VAULT_INTERNAL_H
#define VAULT_INTERNAL_H

#include "vault/vault.h"

#define VAULT_FORMAT 1
#define VAULT_ID     16
#define VAULT_NONCE  12
#define VAULT_TAG    16

/* The file, all numbers big-endian:
 *
 *   header   magic[8] format:4 id[16] serial:8 count:4 key_check[16]
 *   secret*  name_len:1 name connection_len:1 connection version:4 created_ns:8 value_len:2
 *            nonce[12] sealed[value_len] tag[16]
 *   seal     nonce[12] tag[16]
 *
 * A secret's additional data is the header, its own bytes before the nonce, and "S"; the seal's is
 * everything before it, and "F". So no bit can be changed, and no secret be moved, dropped or taken
 * from an older file without being found. key_check says "wrong key" apart from "damaged". Secrets
 * stand in ascending order of their names. */
#define VAULT_HEADER (8 + 4 + VAULT_ID + 8 + 4 + 16)
#define VAULT_SEAL   (VAULT_NONCE + VAULT_TAG)
#define VAULT_ENTRY_MAX                                                                            \
    (1 + VAULT_NAME_MAX + 1 + VAULT_CONNECTION_MAX + 4 + 8 + 2 + VAULT_NONCE + VAULT_VALUE_MAX +   \
     VAULT_TAG)
#define VAULT_FILE_MAX (VAULT_HEADER + (size_t)VAULT_SECRETS_MAX * VAULT_ENTRY_MAX + VAULT_SEAL)

struct vault {
    struct arena mem;
    uint8_t id[VAULT_ID];
    uint64_t serial; /* one more with every rewrite */
    struct vault_secret *secrets;
    unsigned count;
    char *values; /* vault_mem, read-only once filled; NULL if there are none */
};

/* What a vault holds when it is written. */
struct vault_contents {
    uint8_t id[VAULT_ID];
    uint64_t serial;
    const struct vault_secret *secrets;
    unsigned count;
};

/* vault_format.c. `file` is for complaints. */
struct vault *vault_decode(struct span bytes, const uint8_t key[VAULT_KEY], const char *file,
                           struct diags *d);
/* Seals into `to` (VAULT_FILE_MAX is always enough); the length, 0 on failure of the library. */
size_t vault_encode(const struct vault_contents *c, const uint8_t key[VAULT_KEY], uint8_t *to,
                    size_t room);

/* vault_seal.c: AES-256-GCM over several pieces of additional data. */
struct vault_box {
    const uint8_t *key;
    const uint8_t *nonce;
    struct span aad[3];
};
bool vault_box_seal(const struct vault_box *box, struct span plain, uint8_t *sealed,
                    uint8_t tag[VAULT_TAG]);
bool vault_box_open(const struct vault_box *box, struct span sealed, const uint8_t tag[VAULT_TAG],
                    uint8_t *plain);
bool vault_key_check(const uint8_t key[VAULT_KEY], const uint8_t id[VAULT_ID], uint8_t out[16]);
bool vault_random(void *out, size_t n);

/* vault_file.c. */
struct vault_stat {
    unsigned mode, uid, gid;
};
/* Reads a whole file that only its owner (us or root) may read, into `buf`. The length, or -1 after
 * complaints. More than `room` bytes is a complaint. `st` may be NULL. */
ssize_t vault_file_read(const char *file, void *buf, size_t room, struct vault_stat *st,
                        struct diags *d);
/* Puts `bytes` in the file's place: a new file with the mode and owner of `st`, synced, renamed. */
bool vault_file_replace(const char *file, struct span bytes, const struct vault_stat *st,
                        struct diags *d);
/* Creates a file that must not be there yet. */
bool vault_file_create(const char *file, struct span bytes, struct diags *d);
/* Waits for the lock beside the file; the descriptor that holds it, or -1 after complaints. */
int vault_file_lock(const char *file, struct diags *d);
void vault_file_unlock(int lock);
/* The key, in vault_mem; NULL after complaints. */
uint8_t *vault_key_read(const char *key_file, struct diags *d);

/* vault_mem.c: no more writing to it, until vault_mem_free. */
void vault_mem_seal(void *p);

/* vault.c */
bool vault_name_valid(struct span name);
bool vault_connection_valid(struct span name);
struct vault *vault_load(const char *file, const uint8_t key[VAULT_KEY], struct vault_stat *st,
                         struct diags *d);
/* The index of a name, or where it would stand. */
unsigned vault_index(const struct vault *v, struct span name, bool *found);

#endif
