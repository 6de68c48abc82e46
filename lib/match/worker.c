/* What belongs to one thread: scratch, streams, and for every database that was taken over the
 * Hyperscan stream states for all of them, so that opening one is a reset. */
#include "match_internal.h"

#include <stdlib.h>

struct match_worker *match_worker_new(unsigned streams)
{
    struct match_worker *w = calloc(1, sizeof(*w) + streams * sizeof(w->streams[0]));

    if (!w)
        return NULL;
    w->cold = calloc(streams + 1u, sizeof(*w->cold));
    if (!w->cold) {
        free(w);
        return NULL;
    }
    w->count = streams;
    w->own.plan = w->own_cold.plan;
    w->own.history = w->own_cold.history;
    for (unsigned i = 0; i < streams; i++) {
        w->streams[i].plan = w->cold[i].plan;
        w->streams[i].history = w->cold[i].history;
        w->streams[i].next_free = w->free;
        w->free = &w->streams[i];
    }
    return w;
}

/* Closing a stream with no callback does not look at its database, which may be gone. */
static void slot_free(struct slot *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < t->free; i++)
        hs_close_stream(t->stream[i], NULL, NULL, NULL);
    if (t->own)
        hs_close_stream(t->own, NULL, NULL, NULL);
    free(t->stream);
    free(t);
}

void match_worker_free(struct match_worker *w)
{
    if (!w)
        return;
    for (unsigned i = 0; i < w->count; i++)
        if (w->streams[i].slot)
            match_stream_close(&w->streams[i]);
    while (w->slots) {
        struct slot *t = w->slots;
        w->slots = t->next;
        slot_free(t);
    }
    hs_free_scratch(w->scratch);
    free(w->cold); /* each stream wiped its own when it was closed */
    explicit_bzero(w, sizeof(*w) + w->count * sizeof(w->streams[0]));
    free(w);
}

struct slot *slot_find(struct match_worker *w, const struct match_db *db)
{
    struct slot *t = w->slots;

    while (t && t->serial != db->serial)
        t = t->next;
    return t;
}

static struct slot *slot_new(const struct match_worker *w, const struct match_db *db)
{
    struct slot *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->serial = db->serial;
    t->count = w->count;
    if (!db->scan) {
        t->free = 0;
        return t;
    }
    t->stream = calloc(w->count + 1u, sizeof(hs_stream_t *));
    if (!t->stream || hs_open_stream(db->scan, 0, &t->own) != HS_SUCCESS)
        goto fail;
    for (; t->free < w->count; t->free++)
        if (hs_open_stream(db->scan, 0, &t->stream[t->free]) != HS_SUCCESS)
            goto fail;
    return t;
fail:
    slot_free(t);
    return NULL;
}

/* The scratch for all databases so far; the old one stays when there is no memory. */
static bool scratch_grow(struct match_worker *w, const struct match_db *db)
{
    hs_scratch_t *scratch = NULL;

    if (!db->scan)
        return true;
    if (w->scratch && hs_clone_scratch(w->scratch, &scratch) != HS_SUCCESS)
        return false;
    if (hs_alloc_scratch(db->scan, &scratch) != HS_SUCCESS ||
        hs_alloc_scratch(db->whole, &scratch) != HS_SUCCESS)
        return false;
    if (db->som && hs_alloc_scratch(db->som, &scratch) != HS_SUCCESS)
        return false;
    hs_free_scratch(w->scratch);
    w->scratch = scratch;
    return true;
}

void match_worker_forget(struct match_worker *w, const struct match_db *db)
{
    struct slot **at = &w->slots, *t;

    while (*at && (*at)->serial != db->serial)
        at = &(*at)->next;
    t = *at;
    if (!t || t->open)
        return;
    *at = t->next;
    slot_free(t);
}

bool match_worker_adopt(struct match_worker *w, const struct match_db *db)
{
    struct slot *t;

    if (slot_find(w, db))
        return true;
    if (!scratch_grow(w, db))
        return false;
    t = slot_new(w, db);
    if (!t)
        return false;
    t->next = w->slots;
    w->slots = t;
    return true;
}

struct match_stream *match_stream_open(struct match_worker *w, const struct match_db *db,
                                       const struct match_policy *p, enum match_syntax syntax)
{
    struct slot *t = slot_find(w, db);
    struct match_stream *s = w->free;
    hs_stream_t *hs = NULL;

    if (!t || !s || (t->stream && !t->free))
        return NULL;
    if (t->stream)
        hs = t->stream[t->free - 1];
    w->free = s->next_free;
    if (!stream_start(s, w, db, p, syntax, hs)) {
        s->next_free = w->free;
        w->free = s;
        return NULL;
    }
    t->free -= t->stream != NULL;
    t->open++;
    s->slot = t;
    return s;
}

void match_stream_close(struct match_stream *s)
{
    struct match_worker *w;
    struct slot *t;

    if (!s)
        return;
    w = s->w;
    t = s->slot;
    if (t->stream)
        t->stream[t->free++] = s->hs;
    t->open--;
    s->slot = NULL;
    if (s->history_n)
        explicit_bzero(s->history, s->history_n);
    s->next_free = w->free;
    w->free = s;
}
