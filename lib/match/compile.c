/* From a builder to a database. */
#include "match_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* The list that hs_compile_multi wants. `text` is locked: it spells out the credentials. */
struct list {
    unsigned n;
    const char **expression;
    unsigned *flags, *id;
    char *text;
};

static void list_free(struct list *p)
{
    free(p->expression);
    free(p->flags);
    free(p->id);
    locked_free(p->text);
}

static bool list_new(struct list *p, unsigned room, size_t text)
{
    *p = (struct list){.expression = calloc(room, sizeof(char *)),
                       .flags = calloc(room, sizeof(unsigned)),
                       .id = calloc(room, sizeof(unsigned)),
                       .text = text ? locked_new(text) : NULL};
    return p->expression && p->flags && p->id && (p->text || !text);
}

static void list_add(struct list *p, const char *expression, unsigned flags, unsigned id)
{
    p->expression[p->n] = expression;
    p->flags[p->n] = flags;
    p->id[p->n++] = id;
}

static void list_add_literals(struct list *p, const struct literals *l)
{
    static const char hex[] = "0123456789abcdef";
    char *out = p->text;

    for (unsigned i = 0; i < l->count; i++) {
        list_add(p, out, 0, ID_LITERAL + i);
        for (unsigned k = 0; k < l->lit[i].n; k++) {
            uint8_t c = l->bytes[l->lit[i].at + k];
            *out++ = '\\';
            *out++ = 'x';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
        *out++ = 0;
    }
}

/* Moves a database into locked memory. Hyperscan's own copy is wiped but for its first bytes, by
 * which hs_free_database knows it. */
static hs_database_t *database_lock(hs_database_t *db)
{
    hs_database_t *locked = NULL;
    char *bytes = NULL;
    size_t n = 0, size = 0;

    if (hs_serialize_database(db, &bytes, &n) == HS_SUCCESS &&
        hs_serialized_database_size(bytes, n, &size) == HS_SUCCESS && (locked = locked_new(size)) &&
        hs_deserialize_database_at(bytes, n, locked) != HS_SUCCESS) {
        locked_free(locked);
        locked = NULL;
    }
    if (bytes)
        explicit_bzero(bytes, n);
    free(bytes);
    if (hs_database_size(db, &size) == HS_SUCCESS)
        explicit_bzero((char *)db + 16, size - 16);
    hs_free_database(db);
    return locked;
}

/* Hyperscan quotes no pattern in its messages, but it may number one: say what is known. */
static hs_database_t *list_compile(const struct list *p, unsigned mode, char why[256])
{
    hs_compile_error_t *error = NULL;
    hs_database_t *db = NULL;

    if (hs_compile_multi(p->expression, p->flags, p->id, p->n, mode, NULL, &db, &error) ==
        HS_SUCCESS)
        return db;
    snprintf(why, 256, "the detectors do not compile together: %s",
             error ? error->message : "out of memory");
    hs_free_compile_error(error);
    return NULL;
}

static bool compile_secrets(const struct match_builder *b, struct match_db *db, char why[256])
{
    if (!b->secrets)
        return true;
    db->secrets = literals_new();
    for (unsigned i = 0; db->secrets && i < b->secrets; i++)
        literals_add_secret(db->secrets, b->secret[i].p, b->secret[i].n);
    if (db->secrets && literals_finish(db->secrets))
        return true;
    snprintf(why, 256, "no locked memory for credentials (RLIMIT_MEMLOCK)");
    return false;
}

static bool compile_scan(const struct match_builder *b, struct match_db *db, char why[256])
{
    unsigned literals = db->secrets ? db->secrets->count : 0;
    size_t text = db->secrets ? db->secrets->used * 4 + literals : 0;
    struct list p;

    if (b->count + literals == 0)
        return true;
    if (!list_new(&p, b->count + literals, text)) {
        snprintf(why, 256, "out of memory");
        list_free(&p);
        return false;
    }
    for (unsigned i = 0; i < b->count; i++)
        if (b->det[i].kind != KIND_CARD)
            list_add(&p, b->det[i].kind == KIND_MAIL ? mail_expression : b->pattern[i], 0, i);
    if (literals)
        list_add_literals(&p, db->secrets);
    if (p.n == 0) {
        list_free(&p);
        return true;
    }
    db->scan = list_compile(&p, HS_MODE_STREAM, why);
    list_free(&p);
    if (!db->scan || !db->secrets)
        return db->scan != NULL;
    db->scan = database_lock(db->scan);
    if (!db->scan)
        snprintf(why, 256, "no locked memory for the database (RLIMIT_MEMLOCK)");
    return db->scan != NULL;
}

static bool compile_som(const struct match_builder *b, struct match_db *db, char why[256])
{
    struct list p;

    for (unsigned i = 0; i < b->count; i++)
        if (b->det[i].kind == KIND_PATTERN)
            db->patterns |= 1ull << i;
    if (!db->patterns)
        return true;
    if (list_new(&p, b->count, 0)) {
        for (unsigned i = 0; i < b->count; i++)
            if (b->det[i].kind == KIND_PATTERN)
                list_add(&p, b->pattern[i], HS_FLAG_SOM_LEFTMOST, i);
        db->som = list_compile(&p, HS_MODE_BLOCK, why);
    } else {
        snprintf(why, 256, "out of memory");
    }
    list_free(&p);
    return db->som != NULL;
}

struct match_db *match_builder_compile(struct match_builder *b, char why[256])
{
    static _Atomic uint64_t serial;
    struct match_db *db = calloc(1, sizeof(*db));

    if (!db) {
        snprintf(why, 256, "out of memory");
        return NULL;
    }
    db->serial = atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed) + 1;
    db->count = b->count;
    memcpy(db->det, b->det, sizeof(db->det));
    if (!compile_secrets(b, db, why) || !compile_scan(b, db, why) || !compile_som(b, db, why)) {
        match_db_free(db);
        return NULL;
    }
    return db;
}
