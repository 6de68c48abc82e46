/* A worker's memory of who showed which token. An entry is one block: the identity and all that its
 * spans point at, so that nothing of a rule set needs to live as long as it. */
#include "identity_internal.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct identity_entry {
    struct identity id; /* first: identity_put gets back from it to the entry */
    uint8_t key[IDENTITY_KEY];
    struct identity_entry *next;          /* in its bucket */
    struct identity_entry *newer, *older; /* by last use */
    bool cached;                          /* false: only its holders still know it */
    char text[];
};

struct identity_worker *identity_worker_new(unsigned tokens)
{
    struct identity_worker *w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);
    size_t buckets = 16;

    if (!w)
        return NULL;
    memset(w, 0, sizeof(*w));
    while (buckets < 2 * (size_t)tokens)
        buckets *= 2;
    w->room = tokens ? tokens : 1;
    w->mask = buckets - 1;
    w->buckets = calloc(buckets, sizeof(struct identity_entry *));
    w->digest = EVP_MD_CTX_new();
    w->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!w->buckets || !w->digest || !w->sha256) {
        identity_worker_free(w);
        return NULL;
    }
    return w;
}

static struct identity_entry **bucket_of(struct identity_worker *w, const uint8_t *key)
{
    uint64_t h;

    memcpy(&h, key, sizeof(h)); /* of a SHA-256: as good as random */
    return &w->buckets[h & w->mask];
}

static void unlink_by_use(struct identity_worker *w, struct identity_entry *e)
{
    *(e->newer ? &e->newer->older : &w->newest) = e->older;
    *(e->older ? &e->older->newer : &w->oldest) = e->newer;
}

static void link_newest(struct identity_worker *w, struct identity_entry *e)
{
    e->newer = NULL;
    e->older = w->newest;
    *(w->newest ? &w->newest->newer : &w->oldest) = e;
    w->newest = e;
}

static void forget(struct identity_worker *w, struct identity_entry *e)
{
    struct identity_entry **at = bucket_of(w, e->key);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_by_use(w, e);
    w->count--;
    e->cached = false;
    if (e->id.refs == 0)
        free(e);
}

void identity_worker_free(struct identity_worker *w)
{
    if (!w)
        return;
    while (w->newest)
        forget(w, w->newest);
    free(w->buckets);
    EVP_MD_CTX_free(w->digest);
    EVP_MD_free(w->sha256);
    free(w);
}

void identity_worker_adopt(struct identity_worker *w, const struct identity_set *s)
{
    while (w->newest)
        forget(w, w->newest);
    w->set = s;
}

const struct identity *identity_cache_get(struct identity_worker *w,
                                          const uint8_t key[IDENTITY_KEY], uint64_t now_ns,
                                          bool *expired)
{
    struct identity_entry *e = *bucket_of(w, key);

    *expired = false;
    while (e && memcmp(e->key, key, IDENTITY_KEY) != 0)
        e = e->next;
    if (!e)
        return NULL;
    if (now_ns >= e->id.expires_ns) {
        *expired = true;
        forget(w, e);
        return NULL;
    }
    unlink_by_use(w, e);
    link_newest(w, e);
    e->id.refs++;
    return &e->id;
}

static size_t text_bytes(const struct identity *id)
{
    const struct rules_caller *c = &id->caller;
    size_t n = c->id.n + c->issuer.n + c->method.n + c->claims.n + id->subject.n + id->token_id.n;

    for (unsigned i = 0; i < c->ngroups; i++)
        n += c->groups[i].n;
    return n;
}

static void move(struct span *s, char **at)
{
    if (s->n)
        memcpy(*at, s->p, s->n);
    *s = span_of(*at, s->n);
    *at += s->n;
}

static struct identity_entry *entry_new(const struct identity *id)
{
    struct identity_entry *e = calloc(1, sizeof(*e) + text_bytes(id));
    struct rules_caller *c;
    char *at;

    if (!e)
        return NULL;
    e->id = *id;
    at = e->text;
    c = &e->id.caller;
    move(&c->id, &at);
    move(&c->issuer, &at);
    move(&c->method, &at);
    move(&c->claims, &at);
    move(&e->id.subject, &at);
    move(&e->id.token_id, &at);
    for (unsigned i = 0; i < c->ngroups; i++)
        move(&c->groups[i], &at);
    return e;
}

const struct identity *identity_cache_put(struct identity_worker *w,
                                          const uint8_t key[IDENTITY_KEY],
                                          const struct identity *id)
{
    struct identity_entry *e = entry_new(id), **bucket = bucket_of(w, key);

    if (!e)
        return NULL;
    if (w->count == w->room) {
        counter_inc(&w->counters.evicted);
        forget(w, w->oldest);
    }
    memcpy(e->key, key, IDENTITY_KEY);
    e->next = *bucket;
    *bucket = e;
    link_newest(w, e);
    w->count++;
    e->cached = true;
    e->id.refs = 1;
    return &e->id;
}

void identity_put(struct identity_worker *w, const struct identity *id)
{
    struct identity_entry *e = (struct identity_entry *)(uintptr_t)id;

    (void)w;
    if (!e)
        return;
    e->id.refs--;
    if (e->id.refs == 0 && !e->cached)
        free(e);
}

const struct identity_counters *identity_counters(const struct identity_worker *w)
{
    return &w->counters;
}
