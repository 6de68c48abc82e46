/* From a key of the document to a node of the trie. Keys are chosen by strangers, nodes by our own
 * files: a lookup costs one pass over the key, whatever it is. */
#include "body_internal.h"

/* U+017F and U+212A fold to "s" and "k"; no other character beyond ASCII folds into it. */
static size_t fold_wide(struct span s, char *c)
{
    if (span_starts(s, SPAN_LIT("\xc5\xbf"))) {
        *c = 's';
        return 2;
    }
    if (span_starts(s, SPAN_LIT("\xe2\x84\xaa"))) {
        *c = 'k';
        return 3;
    }
    return 0;
}

size_t body_fold(struct span key, char *out, size_t cap)
{
    size_t n = 0, i = 0;

    while (i < key.n && key.p[i] != '\0') {
        char c = key.p[i];
        size_t wide = (unsigned char)c >= 0x80 ? fold_wide(span_from(key, i), &c) : 0;

        i += wide ? wide : 1;
        if (c == '_' || c == '.' || c == ' ')
            continue;
        if (n == cap)
            return SIZE_MAX;
        out[n++] = ascii_lower(c);
    }
    return n;
}

uint64_t body_key_hash(const struct body_node *parent, struct span folded)
{
    return span_hash(folded) ^ (parent->id * 0x9e3779b97f4a7c15u);
}

uint64_t body_index_hash(const struct body_node *parent, uint32_t index)
{
    return ((parent->id + 1) * 0xd6e8feb86659fd93u) ^ (index * 0x9e3779b97f4a7c15u);
}

static struct body_node *bucket(const struct body_paths *p, uint64_t hash)
{
    return p->buckets[(hash ^ hash >> 32) & (p->nbuckets - 1)];
}

struct body_node *body_find_index(const struct body_paths *p, const struct body_node *parent,
                                  uint32_t index)
{
    uint64_t hash = body_index_hash(parent, index);

    for (struct body_node *n = bucket(p, hash); n; n = n->in_bucket)
        if (n->is_index && n->parent == parent && n->index == index)
            return n;
    return NULL;
}

static bool may_be_child(const struct body_node *parent, struct span key)
{
    char c;

    if (!parent->first)
        return false;
    if (key.n == 0)
        return parent->first & 1;
    c = ascii_lower(key.p[0]);
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return parent->first >> (c & 63) & 1;
    return true;
}

struct body_node *body_find_key(struct body_reader *r, const struct body_node *parent,
                                struct span key)
{
    char buf[BODY_KEY_MAX];
    struct span folded = span_of(buf, 0);
    struct body_node *found = NULL;
    uint64_t hash;

    if (!may_be_child(parent, key))
        return NULL;
    folded.n = body_fold(key, buf, sizeof(buf));
    if (folded.n == SIZE_MAX)
        return NULL;
    hash = body_key_hash(parent, folded);
    for (struct body_node *n = bucket(r->paths, hash); n; n = n->in_bucket) {
        if (n->hash != hash || n->parent != parent || n->is_index || !span_eq(n->folded, folded))
            continue;
        if (span_eq(n->key, key)) {
            found = n;
        } else {
            body_state(r, n)->flags |= BODY_VARIANT;
            r->doubt = true;
        }
    }
    return found;
}
