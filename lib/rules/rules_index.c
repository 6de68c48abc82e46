/* Path templates -> a deterministic automaton over path segments, one for each method.
 *
 * The templates first make a trie, in which a segment may lead on by its text, by patterns such as
 * `{name}.json`, by `{name}`, or into `**`. Several of these ways may be open at once, and the most
 * specific that ends well must win, compared from left to right. The subset construction keeps the
 * open ways as an ordered list, most specific first, and makes one state of each list that can
 * occur; then a lookup takes exactly one step a segment, whatever stands in the path. */
#include "rules_internal.h"

#include <stdlib.h>

#define WORK_MAX (4u << 20) /* states and edges of one connection */

struct edge {
    struct span text;
    const struct state *to;
};

/* The way on for texts that fit just these patterns. */
struct fit {
    uint64_t set;
    const struct state *to;
};

struct state {
    const struct rules_route *accept; /* if the path ends here */
    const struct edge *edges;         /* by text */
    size_t nedges;
    const struct rules_segment *patterns; /* for texts without an edge */
    unsigned npatterns;
    const struct fit *fits; /* by set */
    size_t nfits;
    const struct state *other; /* any other segment; NULL: no template goes on */
};

struct rules_index {
    struct rules_map methods; /* -> struct state */
};

struct trie {
    struct rules_map literals;
    struct rules_list children; /* those of `literals` */
    struct rules_list patterns; /* struct trie, most specific first */
    struct rules_segment by;    /* what leads here */
    struct trie *param, *rest;
    struct rules_route *end;
    bool loops; /* `**`: stays, whatever comes */
};

struct builder {
    struct rules_loader *l;
    struct rules_map tries;  /* method -> struct trie */
    struct rules_list roots; /* their methods' first routes, beside the tries */
    struct rules_list ends;  /* one route for each end of a trie */
    struct rules_map states; /* list of open ways, as bytes -> struct state */
    size_t work;
    bool crowded; /* too many patterns at one place */
};

/* --------------------------------------------------------------- the trie */

static struct trie *new_child(struct builder *b, const struct rules_segment *by)
{
    struct trie *c = arena_new(&b->l->tmp, struct trie);

    c->by = *by;
    return c;
}

static struct trie *literal_child(struct builder *b, struct trie *t, const struct rules_segment *by)
{
    struct trie *c = rules_map_get(&t->literals, by->before);

    if (c)
        return c;
    c = new_child(b, by);
    rules_map_put(&t->literals, &b->l->tmp, by->before, c);
    rules_list_add(&t->children, &b->l->tmp, c);
    return c;
}

static struct trie *pattern_child(struct builder *b, struct trie *t, const struct rules_segment *by)
{
    struct trie *c = NULL;
    size_t at = 0;

    while (at < t->patterns.n && rules_pattern_cmp((c = t->patterns.at[at], &c->by), by) < 0)
        at++;
    if (at < t->patterns.n && rules_pattern_cmp(&c->by, by) == 0)
        return c;
    c = new_child(b, by);
    if (t->patterns.n == RULES_PATTERNS_MAX) {
        b->crowded = true;
        return c;
    }
    rules_list_add(&t->patterns, &b->l->tmp, c);
    memmove(t->patterns.at + at + 1, t->patterns.at + at,
            (t->patterns.n - 1 - at) * sizeof(*t->patterns.at));
    t->patterns.at[at] = c;
    return c;
}

static struct trie *child(struct builder *b, struct trie *t, const struct rules_segment *by)
{
    if (!by->open)
        return literal_child(b, t, by);
    if (rules_is_pattern(by))
        return pattern_child(b, t, by);
    if (!t->param)
        t->param = new_child(b, by);
    return t->param;
}

static void complain_tie(struct builder *b, const struct rules_route *r,
                         const struct rules_route *first)
{
    diag_error(b->l->d, r->place,
               "`%.*s %.*s` of %.*s ties with `%.*s %.*s` of %.*s (%s:%u): neither path is more "
               "specific",
               SPAN_ARG(r->method), SPAN_ARG(r->path), SPAN_ARG(r->owner->name),
               SPAN_ARG(first->method), SPAN_ARG(first->path), SPAN_ARG(first->owner->name),
               first->place.file, first->place.line);
}

static void insert(struct builder *b, struct rules_route *r)
{
    struct trie *t = rules_map_get(&b->tries, r->method);

    if (!t) {
        t = arena_new(&b->l->tmp, struct trie);
        rules_map_put(&b->tries, &b->l->tmp, r->method, t);
        rules_list_add(&b->roots, &b->l->tmp, r);
    }
    for (unsigned i = 0; i < r->nsegments; i++)
        t = child(b, t, &r->segment[i]);
    if (r->rest) {
        if (!t->rest)
            t->rest = arena_new(&b->l->tmp, struct trie);
        t = t->rest;
        t->loops = true;
    }
    if (!t->end) {
        t->end = r;
        rules_list_add(&b->ends, &b->l->tmp, r);
        rules_told_begin(b->l, r);
    } else if (!rules_told_join(b->l, t->end, r)) {
        complain_tie(b, r, t->end->told ? t->end->told->plain : t->end);
    }
}

/* --------------------------------------------------------- the automaton */

/* Open ways, most specific first. Nothing after a `**` can ever win, so it closes the list. */
struct ways {
    const struct trie **at;
    size_t n;
    bool closed;
};

static struct ways ways_new(struct builder *b, size_t room)
{
    return (struct ways){arena_array(&b->l->tmp, const struct trie *, room), 0, false};
}

static void open_way(struct ways *w, const struct trie *t)
{
    if (!t || w->closed)
        return;
    w->at[w->n++] = t;
    if (!t->loops && t->rest)
        w->at[w->n++] = t->rest;
    w->closed = t->loops || t->rest;
}

/* Each way leads on to at most its text, its patterns, its parameter, and the `**` of all. */
static size_t room_after(const struct ways *from)
{
    size_t room = 0;

    for (size_t i = 0; i < from->n; i++)
        room += 2 * (from->at[i]->patterns.n + 2);
    return room;
}

/* `label`: the text is one of the edges. No text: one that fits nothing. */
static struct ways step(struct builder *b, const struct ways *from, struct span text, bool label)
{
    struct ways to = ways_new(b, room_after(from));

    for (size_t i = 0; i < from->n; i++) {
        const struct trie *t = from->at[i];

        if (label)
            open_way(&to, rules_map_get(&t->literals, text));
        for (size_t k = 0; k < t->patterns.n && text.p; k++) {
            const struct trie *c = t->patterns.at[k];

            if (rules_pattern_fits(&c->by, text))
                open_way(&to, c);
        }
        open_way(&to, t->param);
        if (t->loops)
            open_way(&to, t);
    }
    return to;
}

static int by_text(const void *a, const void *b)
{
    return span_cmp(((const struct edge *)a)->text, ((const struct edge *)b)->text);
}

/* Every text that one of the ways knows, once, in order. */
static struct edge *labels(struct builder *b, const struct ways *w, size_t *count)
{
    size_t room = 0, n = 0, kept = 0;
    struct edge *e;

    for (size_t i = 0; i < w->n; i++)
        room += w->at[i]->children.n;
    e = arena_array(&b->l->set->mem, struct edge, room ? room : 1);
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->at[i]->children.n; k++)
            e[n++].text = ((const struct trie *)w->at[i]->children.at[k])->by.before;
    if (n)
        qsort(e, n, sizeof(*e), by_text);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !span_eq(e[kept - 1].text, e[i].text))
            e[kept++] = e[i];
    *count = kept;
    return e;
}

/* Every pattern that one of the ways knows, once. */
static const struct rules_segment *patterns(struct builder *b, const struct ways *w,
                                            unsigned *count)
{
    struct rules_segment *p;
    unsigned n = 0;

    for (size_t i = 0; i < w->n; i++)
        n += (unsigned)w->at[i]->patterns.n;
    *count = 0;
    p = arena_array(&b->l->set->mem, struct rules_segment, n ? n : 1);
    for (size_t i = 0; i < w->n; i++) {
        for (size_t k = 0; k < w->at[i]->patterns.n; k++) {
            const struct rules_segment *by = &((const struct trie *)w->at[i]->patterns.at[k])->by;
            unsigned j = 0;

            while (j < *count && rules_pattern_cmp(&p[j], by))
                j++;
            if (j == *count)
                p[(*count)++] = *by;
        }
    }
    return p;
}

static const struct state *state_for(struct builder *b, const struct ways *w);

static const struct state *after(struct builder *b, const struct ways *w, struct span text,
                                 bool label)
{
    struct ways to;

    if (b->work >= WORK_MAX)
        return NULL;
    to = step(b, w, text, label);
    return state_for(b, &to);
}

static void fill_patterns(struct builder *b, const struct ways *w, struct state *s)
{
    struct rules_fit *fits;
    struct fit *to;

    s->patterns = patterns(b, w, &s->npatterns);
    if (s->npatterns == 0)
        return;
    if (s->npatterns > RULES_PATTERNS_MAX ||
        !rules_patterns_sets(&b->l->tmp, s->patterns, s->npatterns, &fits, &s->nfits, &b->work)) {
        b->crowded = true;
        s->npatterns = 0;
        return;
    }
    s->fits = to = arena_array(&b->l->set->mem, struct fit, s->nfits);
    for (size_t i = 0; i < s->nfits; i++)
        to[i] = (struct fit){fits[i].set, after(b, w, fits[i].text, false)};
}

static void accept(struct state *s, const struct ways *w)
{
    for (size_t i = 0; i < w->n && !s->accept; i++) {
        s->accept = w->at[i]->end;
        if (s->accept)
            w->at[i]->end->reached = true;
    }
}

/* NULL when there is no open way, or too much work (b->work tells). */
static const struct state *state_for(struct builder *b, const struct ways *w)
{
    struct span key = span_of(w->at, w->n * sizeof(*w->at));
    struct state *s = w->n ? rules_map_get(&b->states, key) : NULL;
    struct edge *e;

    if (w->n == 0 || s)
        return s;
    s = arena_new(&b->l->set->mem, struct state);
    rules_map_put(&b->states, &b->l->tmp, key, s);
    accept(s, w);
    s->edges = e = labels(b, w, &s->nedges);
    b->work += s->nedges + 1;
    for (size_t i = 0; i < s->nedges; i++)
        e[i].to = after(b, w, e[i].text, true);
    fill_patterns(b, w, s);
    s->other = after(b, w, SPAN_NONE, false);
    return s;
}

static void build_method(struct builder *b, struct rules_index *x, struct span method)
{
    struct ways w = ways_new(b, 2);
    const struct state *start;

    open_way(&w, rules_map_get(&b->tries, method));
    b->states = (struct rules_map){0};
    start = state_for(b, &w);
    rules_map_put(&x->methods, &b->l->set->mem, method, (void *)(uintptr_t)start);
}

/* -------------------------------------------------------------- the lookup */

static const struct state *by_patterns(const struct state *s, struct span text)
{
    uint64_t set = rules_patterns_fit(s->patterns, s->npatterns, text);
    size_t low = 0, high = s->nfits;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->fits[mid].set == set)
            return s->fits[mid].to;
        if (s->fits[mid].set < set)
            low = mid + 1;
        else
            high = mid;
    }
    return set ? NULL : s->other; /* all sets are known: the NULL is only caution */
}

static const struct state *next_state(const struct state *s, struct span text)
{
    size_t low = 0, high = s->nedges;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = span_cmp(s->edges[mid].text, text);

        if (c == 0)
            return s->edges[mid].to;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return s->npatterns ? by_patterns(s, text) : s->other;
}

/* A segment as vendors understand it: `a%3Ab` is `a:b` to them, so it must be to the templates.
 * False if there is no room left for it. */
static bool decoded(struct span *segment, struct outbuf *room)
{
    struct outbuf o = outbuf_on(room->p + room->n, room->cap - room->n);

    if (!segment->n || !memchr(segment->p, '%', segment->n))
        return true;
    if (!http_percent_decode(&o, *segment) || o.full)
        return false;
    *segment = outbuf_span(&o);
    room->n += o.n;
    return true;
}

static void fill_params(const struct rules_route *r, const struct span *segment,
                        struct rules_params *out)
{
    out->n = r->nparams;
    for (unsigned i = 0; i < r->nparams; i++) {
        const struct rules_segment *by = &r->segment[r->param_segment[i]];
        struct span whole = segment[r->param_segment[i]];

        out->p[i].name = r->param[i];
        out->p[i].value = span_of(whole.p + by->before.n, whole.n - by->before.n - by->after.n);
    }
}

const struct rules_route *rules_index_find(const struct rules_index *x, struct span method,
                                           struct span path, struct rules_params *params)
{
    const struct state *s = rules_map_get(&x->methods, method);
    struct outbuf room = outbuf_on(params->text, sizeof(params->text));
    struct span segment[RULES_SEGMENTS_MAX], rest, one;
    unsigned n = 0;
    bool root = path.n == 1;

    params->n = 0;
    if (!s || path.n == 0 || path.p[0] != '/')
        return NULL;
    if (!root && path.p[path.n - 1] == '/') /* many vendors take it for the same path */
        path.n--;
    rest = span_from(path, 1);
    while (rest.p && !root) {
        one = span_cut(&rest, '/');
        if (one.n == 0 || !decoded(&one, &room) || !(s = next_state(s, one)))
            return NULL;
        if (n < RULES_SEGMENTS_MAX)
            segment[n++] = one;
    }
    if (s->accept)
        fill_params(s->accept, segment, params);
    return s->accept;
}

/* --------------------------------------------- routes that no path leads to */

/* Text that fits the segment, and no other one but by chance of the same text around it. */
static struct span sample(struct builder *b, const struct rules_segment *by)
{
    if (!by->open)
        return by->before;
    return span_cstr(
        arena_printf(&b->l->tmp, "%.*s\1%.*s", SPAN_ARG(by->before), SPAN_ARG(by->after)));
}

/* What a path of the route's own is taken by. */
static const struct state *walk(struct builder *b, const struct rules_index *x,
                                const struct rules_route *r)
{
    const struct state *s = rules_map_get(&x->methods, r->method);

    for (unsigned i = 0; s && i < r->nsegments; i++)
        s = next_state(s, sample(b, &r->segment[i]));
    return s;
}

static void complain_unreached(struct builder *b, const struct rules_index *x)
{
    for (size_t i = 0; i < b->ends.n; i++) {
        const struct rules_route *r = b->ends.at[i], *by, *more = NULL;
        const struct state *s = r->reached ? NULL : walk(b, x, r);

        if (!s || !s->accept)
            continue;
        by = s->accept;
        if (r->rest && s->other && s->other->accept != by)
            more = s->other->accept;
        diag_error(b->l->d, r->place,
                   "no path is left for `%.*s %.*s` of %.*s beside `%.*s` of %.*s (%s:%u)%s%.*s%s: "
                   "the more specific one wins",
                   SPAN_ARG(r->method), SPAN_ARG(r->path), SPAN_ARG(r->owner->name),
                   SPAN_ARG(by->path), SPAN_ARG(by->owner->name), by->place.file, by->place.line,
                   more ? " and `" : "", more ? (int)more->path.n : 0, more ? more->path.p : "",
                   more ? "`" : "");
    }
}

struct rules_index *rules_index_build(struct rules_loader *l, struct rules_route **routes, size_t n,
                                      struct place where)
{
    struct builder b = {.l = l};
    struct rules_index *x = arena_new(&l->set->mem, struct rules_index);

    for (size_t i = 0; i < n; i++)
        insert(&b, routes[i]);
    for (size_t i = 0; i < b.roots.n; i++)
        build_method(&b, x, ((const struct rules_route *)b.roots.at[i])->method);
    if (b.crowded)
        diag_error(l->d, where,
                   "this connection has more than %d kinds of text around a parameter at one place "
                   "of its paths",
                   RULES_PATTERNS_MAX);
    if (b.work < WORK_MAX && !b.crowded)
        complain_unreached(&b, x);
    if (b.work < WORK_MAX)
        return x;
    diag_error(l->d, where, "the paths of this connection overlap in too many ways");
    return NULL;
}
