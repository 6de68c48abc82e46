#include "vault/vault.h"

#include "vault_internal.h"

#include <stdlib.h>

static bool is_mark(char c)
{
    return c == '-' || c == '_' || c == '.';
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool vault_name_valid(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_lower_or_digit(name.p[i]) && !is_mark(name.p[i]))
            return false;
    return name.n > 0 && name.n <= VAULT_NAME_MAX;
}

bool vault_connection_valid(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_lower_or_digit(ascii_lower(name.p[i])) && !is_mark(name.p[i]))
            return false;
    return name.n > 0 && name.n <= VAULT_CONNECTION_MAX;
}

struct vault *vault_load(const char *file, const uint8_t key[VAULT_KEY], struct vault_stat *st,
                         struct diags *d)
{
    char *bytes = malloc(VAULT_FILE_MAX);
    struct vault *v = NULL;
    ssize_t n;

    if (!bytes) {
        diag_error(d, place_of_file(file), "out of memory");
        return NULL;
    }
    n = vault_file_read(file, bytes, VAULT_FILE_MAX, st, d);
    if (n >= 0)
        v = vault_decode(span_of(bytes, (size_t)n), key, file, d);
    free(bytes);
    return v;
}

struct vault *vault_open(const char *file, const char *key_file, struct diags *d)
{
    uint8_t *key = vault_key_read(key_file, d);
    struct vault *v = key ? vault_load(file, key, NULL, d) : NULL;

    vault_mem_free(key);
    return v;
}

void vault_close(struct vault *v)
{
    if (!v)
        return;
    vault_mem_free(v->values);
    arena_free(&v->mem);
    free(v);
}

unsigned vault_index(const struct vault *v, struct span name, bool *found)
{
    unsigned low = 0, high = v->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int c = span_cmp(v->secrets[middle].name, name);

        if (c == 0) {
            *found = true;
            return middle;
        }
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

const struct vault_secret *vault_find(const struct vault *v, struct span name,
                                      struct span connection)
{
    bool found;
    unsigned i = vault_index(v, name, &found);

    return found && span_eq(v->secrets[i].connection, connection) ? &v->secrets[i] : NULL;
}

unsigned vault_count(const struct vault *v)
{
    return v->count;
}

const struct vault_secret *vault_at(const struct vault *v, unsigned i)
{
    return i < v->count ? &v->secrets[i] : NULL;
}
