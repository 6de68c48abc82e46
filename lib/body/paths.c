/* Paths as people write them, into the trie. */
#include "body_internal.h"

#define FIRST_BUCKETS 8
#define INDEX_DIGITS  9

static uint32_t slot(const struct body_paths *p, uint64_t hash)
{
    return (uint32_t)((hash ^ hash >> 32) & (p->nbuckets - 1));
}

static void link_node(struct body_paths *p, struct body_node *n)
{
    uint32_t at = slot(p, n->hash);

    n->in_bucket = p->buckets[at];
    p->buckets[at] = n;
}

static void grow(struct body_paths *p)
{
    p->nbuckets *= 2;
    p->buckets = arena_array(p->mem, struct body_node *, p->nbuckets);
    for (struct body_node *n = p->root; n; n = n->next)
        link_node(p, n);
}

/* `n` has its parent, key and hash. */
static struct body_node *add_node(struct body_paths *p, struct body_node *n)
{
    n->id = p->nodes++;
    n->path = BODY_NO_PATH;
    *p->last = n;
    p->last = &n->next;
    if (p->nodes > p->nbuckets)
        grow(p); /* links all nodes, this one too */
    else
        link_node(p, n);
    return n;
}

struct body_paths *body_paths_new(struct arena *mem)
{
    struct body_paths *p = arena_new(mem, struct body_paths);

    p->mem = mem;
    p->nbuckets = FIRST_BUCKETS;
    p->buckets = arena_array(mem, struct body_node *, p->nbuckets);
    p->last = &p->root;
    add_node(p, arena_new(mem, struct body_node));
    return p;
}

unsigned body_paths_count(const struct body_paths *p)
{
    return p->paths;
}

static struct body_node *child_by_index(struct body_paths *p, struct body_node *parent,
                                        uint32_t index)
{
    struct body_node *n = body_find_index(p, parent, index);

    if (n)
        return n;
    n = arena_new(p->mem, struct body_node);
    n->parent = parent;
    n->is_index = true;
    n->index = index;
    n->hash = body_index_hash(parent, index);
    if (parent->elements <= index)
        parent->elements = index + 1;
    return add_node(p, n);
}

static struct body_node *child_by_key(struct body_paths *p, struct body_node *parent,
                                      struct span key)
{
    char buf[BODY_KEY_MAX];
    struct span folded = span_of(buf, body_fold(key, buf, sizeof(buf)));
    uint64_t hash = body_key_hash(parent, folded);
    struct body_node *n;

    for (n = p->buckets[slot(p, hash)]; n; n = n->in_bucket)
        if (n->parent == parent && !n->is_index && span_eq(n->key, key))
            return n;
    n = arena_new(p->mem, struct body_node);
    n->parent = parent;
    n->key = arena_span(p->mem, key);
    n->folded = arena_span(p->mem, folded);
    n->hash = hash;
    parent->first |= (uint64_t)1 << (folded.n ? folded.p[0] & 63 : 0);
    return add_node(p, n);
}

/* One step of a path, and what is left of the text. */
struct step {
    struct span rest;
    bool is_index;
    uint32_t index;
    size_t n; /* of the key */
    char key[6 * BODY_KEY_MAX];
};

static bool is_name_byte(char c)
{
    return (unsigned char)c > 0x20 && c != 0x7f && c != '.' && c != '[' && c != ']' && c != '"' &&
           c != '\\';
}

/* name */
static bool read_name(struct step *st)
{
    size_t n = 0;

    while (n < st->rest.n && is_name_byte(st->rest.p[n]))
        n++;
    if (n == 0 || n > BODY_KEY_MAX || !body_utf8_valid(span_of(st->rest.p, n)))
        return false;
    st->is_index = false;
    memcpy(st->key, st->rest.p, n);
    st->n = n;
    st->rest = span_from(st->rest, n);
    return true;
}

/* ["a key"]: a JSON string in brackets. An escape takes at most six bytes for one of the key. */
static bool read_quoted(struct step *st)
{
    struct span s = span_from(st->rest, 2);
    bool escaped = false;
    const char *quote = body_string_end(s.p, s.p + s.n, &escaped);
    struct span inside = span_of(s.p, (size_t)(quote - s.p));

    st->is_index = false;
    st->rest = span_from(s, inside.n + 2);
    if (s.n < inside.n + 2 || quote[0] != '"' || quote[1] != ']' || inside.n > sizeof(st->key))
        return false;
    return body_unescape(inside, st->key, &st->n) && st->n <= BODY_KEY_MAX;
}

/* [0] */
static bool read_index(struct step *st)
{
    struct span rest = span_from(st->rest, 1);
    struct span digits = span_cut(&rest, ']');
    uint64_t v;

    if (!rest.p || digits.n > INDEX_DIGITS || !span_u64(digits, &v) ||
        (digits.n > 1 && digits.p[0] == '0'))
        return false;
    st->is_index = true;
    st->index = (uint32_t)v;
    st->rest = rest;
    return true;
}

/* The next step; `first` is the one that no "." precedes. */
static bool read_step(struct step *st, bool first)
{
    if (span_starts(st->rest, SPAN_LIT("[\"")))
        return read_quoted(st);
    if (span_starts(st->rest, SPAN_LIT("[")))
        return read_index(st);
    if (first)
        return read_name(st);
    if (!span_starts(st->rest, SPAN_LIT(".")))
        return false;
    st->rest = span_from(st->rest, 1);
    return read_name(st);
}

static bool is_path(struct span path)
{
    struct step st = {.rest = path};
    unsigned depth = 0;

    for (; st.rest.n; depth++)
        if (depth == BODY_DEPTH_MAX || !read_step(&st, depth == 0))
            return false;
    return true;
}

/* Nodes that were made before the set was found full stay: they are wanted by nobody. */
static struct body_node *add_steps(struct body_paths *p, struct span path)
{
    struct body_node *n = p->root;
    struct step st = {.rest = path};

    for (bool first = true; n && st.rest.n; first = false) {
        if (p->nodes == BODY_NODES_MAX || !read_step(&st, first))
            return NULL;
        n = st.is_index ? child_by_index(p, n, st.index)
                        : child_by_key(p, n, span_of(st.key, st.n));
    }
    return n;
}

int body_paths_add(struct body_paths *p, struct span path)
{
    struct body_node *n = is_path(path) ? add_steps(p, path) : NULL;

    if (!n || (n->path == BODY_NO_PATH && p->paths == BODY_PATHS_MAX))
        return -1;
    if (n->path == BODY_NO_PATH)
        n->path = p->paths++;
    return (int)n->path;
}
