/* From a builder to a database. */
#include "match_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* The list that hs_compile_multi wants. */
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
    free(p->text);
}

static bool list_new(struct list *p, unsigned room, size_t text)
{
    *p = (struct list){.expression = calloc(room, sizeof(char *)),
                       .flags = calloc(room, sizeof(unsigned)),
                       .id = calloc(room, sizeof(unsigned)),
                       .text = malloc(text + 1)};
    return p->expression && p->flags && p->id && p->text;
}

static void list_add(struct list *p, const char *expression, unsigned flags, unsigned id)
{
    p->expression[p->n] = expression;
    p->flags[p->n] = flags;
    p->id[p->n++] = id;
}

#define TRIGGER_TEXT (TRIGGER_BYTES * 4 + 1)

static void list_add_triggers(struct list *p, const struct literals *l)
{
    char *out = p->text;

    for (unsigned i = 0; i < l->triggers; i++, out += TRIGGER_TEXT) {
        const uint8_t *c = literals_trigger(l, i);
        snprintf(out, TRIGGER_TEXT, "\\x%02x\\x%02x\\x%02x\\x%02x", c[0], c[1], c[2], c[3]);
        list_add(p, out, 0, ID_TRIGGER + i);
    }
}

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
    unsigned triggers = db->secrets ? db->secrets->triggers : 0;
    bool done = false;
    struct list p;

    if (!list_new(&p, b->count + triggers + 1, triggers * TRIGGER_TEXT)) {
        snprintf(why, 256, "out of memory");
        goto out;
    }
    for (unsigned i = 0; i < b->count; i++)
        if (b->det[i].kind != KIND_CARD)
            list_add(&p, b->det[i].kind == KIND_MAIL ? mail_expression : b->pattern[i], 0, i);
    if (triggers)
        list_add_triggers(&p, db->secrets);
    if (p.n) {
        db->scan = list_compile(&p, HS_MODE_STREAM, why);
        db->whole = db->scan ? list_compile(&p, HS_MODE_BLOCK, why) : NULL;
    }
    done = !p.n || db->whole;
out:
    list_free(&p);
    return done;
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
