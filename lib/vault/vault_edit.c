/* What turnpikectl does to a vault's files. */
#include "vault_internal.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool vault_key_create(const char *key_file, struct diags *d)
{
    uint8_t *key = vault_mem_alloc(VAULT_KEY);
    bool ok = false;

    if (!key)
        diag_error(d, place_of_file(key_file), "no memory for the key");
    else if (!vault_random(key, VAULT_KEY))
        diag_error(d, place_of_file(key_file), "the system gives no random bytes");
    else
        ok = vault_file_create(key_file, span_of(key, VAULT_KEY), d);
    vault_mem_free(key);
    return ok;
}

/* Seals the contents into memory of malloc; the caller frees `*bytes`. */
static bool encode(const struct vault_contents *c, const uint8_t *key, const char *file,
                   uint8_t **bytes, struct span *out, struct diags *d)
{
    size_t room = VAULT_HEADER + (size_t)c->count * VAULT_ENTRY_MAX + VAULT_SEAL;
    size_t n = 0;

    *bytes = malloc(room);
    if (*bytes)
        n = vault_encode(c, key, *bytes, room);
    if (n == 0) {
        diag_error(d, place_of_file(file), "cannot be sealed");
        return false;
    }
    *out = span_of(*bytes, n);
    return true;
}

static bool create_locked(const char *file, const uint8_t *key, struct diags *d)
{
    struct vault_contents c = {.serial = 1};
    uint8_t *bytes = NULL;
    struct span out;
    bool ok;

    if (!vault_random(c.id, sizeof(c.id))) {
        diag_error(d, place_of_file(file), "the system gives no random bytes");
        return false;
    }
    ok = encode(&c, key, file, &bytes, &out, d) && vault_file_create(file, out, d);
    free(bytes);
    return ok;
}

bool vault_create(const char *file, const char *key_file, struct diags *d)
{
    uint8_t *key = vault_key_read(key_file, d);
    int lock = key ? vault_file_lock(file, d) : -1;
    bool ok = lock >= 0 && create_locked(file, key, d);

    if (lock >= 0)
        vault_file_unlock(lock);
    vault_mem_free(key);
    return ok;
}

/* One rewrite: the vault as it is, and what is to stand in its place. */
struct edit {
    const char *file;
    uint8_t *key;
    int lock;
    struct vault_stat st;
    struct vault *v;
    struct vault_secret *secrets; /* room for one more than there are */
    unsigned count;
};

static bool edit_begin(struct edit *e, const char *file, const char *key_file, struct diags *d)
{
    *e = (struct edit){.file = file, .lock = -1};
    e->key = vault_key_read(key_file, d);
    if (e->key)
        e->lock = vault_file_lock(file, d);
    if (e->lock >= 0)
        e->v = vault_load(file, e->key, &e->st, d);
    if (!e->v)
        return false;
    e->secrets = arena_array(&e->v->mem, struct vault_secret, e->v->count + 1);
    memcpy(e->secrets, e->v->secrets, e->v->count * sizeof(*e->secrets));
    e->count = e->v->count;
    return true;
}

static bool edit_write(struct edit *e, struct diags *d)
{
    struct vault_contents c = {
        .serial = e->v->serial + 1,
        .secrets = e->secrets,
        .count = e->count,
    };
    uint8_t *bytes = NULL;
    struct span out;
    bool ok;

    memcpy(c.id, e->v->id, VAULT_ID);
    ok =
        encode(&c, e->key, e->file, &bytes, &out, d) && vault_file_replace(e->file, out, &e->st, d);
    free(bytes);
    return ok;
}

static void edit_end(struct edit *e)
{
    vault_close(e->v);
    if (e->lock >= 0)
        vault_file_unlock(e->lock);
    vault_mem_free(e->key);
}

/* Credentials go into header fields, where a line end would begin a new field; only PEM (RFC 7468),
 * which never does, has lines. */
static bool value_valid(struct span value)
{
    bool pem = span_starts(value, SPAN_LIT("-----BEGIN "));

    if (value.n == 0 || value.n > VAULT_VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        bool line_end = value.p[i] == '\n' || value.p[i] == '\r';

        if (((unsigned char)value.p[i] < 0x20 && !(pem && line_end)) || value.p[i] == 0x7f)
            return false;
    }
    return true;
}

/* The texts must not show what was given: it may be the value in the wrong place. */
static bool check_arguments(const char *file, struct span name, struct span connection,
                            struct span value, struct diags *d)
{
    struct place where = place_of_file(file);

    if (!vault_name_valid(name))
        diag_error(d, where, "a secret's name must be 1 to %d of: a-z 0-9 - _ .", VAULT_NAME_MAX);
    else if (!vault_connection_valid(connection))
        diag_error(d, where, "a connection's name must be 1 to %d of: A-Z a-z 0-9 - _ .",
                   VAULT_CONNECTION_MAX);
    else if (!value_valid(value))
        diag_error(d, where,
                   "a value must be 1 to %d bytes without control characters; only PEM has lines",
                   VAULT_VALUE_MAX);
    else
        return true;
    return false;
}

/* Puts a new version in its place; false after complaints. */
static bool edit_set(struct edit *e, const struct vault_secret *fresh, uint32_t *version,
                     struct diags *d)
{
    bool found;
    unsigned i = vault_index(e->v, fresh->name, &found);
    struct vault_secret *s = &e->secrets[i];

    if (found && !span_eq(s->connection, fresh->connection)) {
        diag_error(d, place_of_file(e->file),
                   "`%.*s` is bound to the connection `%.*s`: remove it first",
                   SPAN_ARG(fresh->name), SPAN_ARG(s->connection));
        return false;
    }
    if (found ? s->version == UINT32_MAX : e->count == VAULT_SECRETS_MAX) {
        diag_error(d, place_of_file(e->file), "the vault is full");
        return false;
    }
    *version = found ? s->version + 1 : 1;
    if (!found) {
        memmove(s + 1, s, (e->count - i) * sizeof(*s));
        e->count++;
    }
    *s = *fresh;
    s->version = *version;
    return true;
}

bool vault_set(const char *file, const char *key_file, struct span name, struct span connection,
               struct span value, uint64_t now_ns, uint32_t *version, struct diags *d)
{
    struct vault_secret fresh = {name, connection, 0, now_ns, value};
    struct edit e;
    bool ok;

    if (!check_arguments(file, name, connection, value, d))
        return false;
    ok = edit_begin(&e, file, key_file, d) && edit_set(&e, &fresh, version, d) && edit_write(&e, d);
    edit_end(&e);
    return ok;
}

static bool edit_remove(struct edit *e, struct span name, struct diags *d)
{
    bool found;
    unsigned i = vault_index(e->v, name, &found);

    if (!found) {
        diag_error(d, place_of_file(e->file), "there is no such secret");
        return false;
    }
    e->count--;
    memmove(&e->secrets[i], &e->secrets[i + 1], (e->count - i) * sizeof(*e->secrets));
    return true;
}

bool vault_remove(const char *file, const char *key_file, struct span name, struct diags *d)
{
    struct edit e;
    bool ok;

    ok = edit_begin(&e, file, key_file, d) && edit_remove(&e, name, d) && edit_write(&e, d);
    edit_end(&e);
    return ok;
}
