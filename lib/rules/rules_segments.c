/* Segments that are text around one parameter, `{sid}.json`: which of them a text fits, which is
 * the more specific, and which sets of them one text can fit.
 *
 * The last is what keeps a lookup at one step a segment: the automaton has a way on for every set
 * that can occur. What a text fits depends on the longest of the patterns' beginnings that it has,
 * the longest of their ends, and, if it is so short that the two overlap, on its length. So the
 * sets are found by trying every beginning with every end, overlapping in every way that makes a
 * text, and once with a byte between them that no pattern has. */
#include "rules_internal.h"

#include <stdlib.h>

bool rules_pattern_fits(const struct rules_segment *p, struct span text)
{
    return text.n > p->before.n + p->after.n && span_starts(text, p->before) &&
           span_ends(text, p->after);
}

int rules_pattern_cmp(const struct rules_segment *a, const struct rules_segment *b)
{
    size_t na = a->before.n + a->after.n, nb = b->before.n + b->after.n;
    int c;

    if (na != nb)
        return na > nb ? -1 : 1;
    if (a->before.n != b->before.n)
        return a->before.n > b->before.n ? -1 : 1;
    c = span_cmp(a->before, b->before);
    return c ? c : span_cmp(a->after, b->after);
}

uint64_t rules_patterns_fit(const struct rules_segment *p, unsigned n, struct span text)
{
    uint64_t set = 0;

    for (unsigned i = 0; i < n; i++)
        if (rules_pattern_fits(&p[i], text))
            set |= UINT64_C(1) << i;
    return set;
}

/* ------------------------------------------------------ sets that can occur */

struct search {
    struct arena *mem;
    const struct rules_segment *p;
    unsigned n;
    struct rules_fit *fits;
    size_t count, room;
    size_t tried;
};

static void keep(struct search *s, uint64_t set, struct span text)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        struct rules_fit *fits = arena_array(s->mem, struct rules_fit, room);

        if (s->count)
            memcpy(fits, s->fits, s->count * sizeof(*fits));
        s->fits = fits;
        s->room = room;
    }
    s->fits[s->count++] = (struct rules_fit){set, arena_span(s->mem, text)};
}

/* A byte that stands in no pattern; -1 if they use them all. */
static int foreign_byte(const struct search *s)
{
    bool used[256] = {false};

    for (unsigned i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->p[i].before.n; k++)
            used[(unsigned char)s->p[i].before.p[k]] = true;
        for (size_t k = 0; k < s->p[i].after.n; k++)
            used[(unsigned char)s->p[i].after.p[k]] = true;
    }
    for (int c = 255; c >= 0; c--) /* no path has bytes over 127 but by escapes */
        if (!used[c])
            return c;
    return -1;
}

static void try_text(struct search *s, struct span text)
{
    uint64_t set = rules_patterns_fit(s->p, s->n, text);

    s->tried++;
    if (set)
        keep(s, set, text);
}

static void try_pair(struct search *s, struct span before, struct span after, char between)
{
    size_t most = before.n < after.n ? before.n : after.n;
    char *text = arena_alloc(s->mem, before.n + after.n + 2);

    memcpy(text, before.p, before.n);
    for (size_t shared = 0; shared <= most; shared++) {
        if (memcmp(before.p + before.n - shared, after.p, shared))
            continue;
        memcpy(text + before.n, after.p + shared, after.n - shared);
        try_text(s, span_of(text, before.n + after.n - shared));
    }
    text[before.n] = between;
    memcpy(text + before.n + 1, after.p, after.n);
    try_text(s, span_of(text, before.n + after.n + 1));
}

static bool seen_before(const struct rules_segment *p, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (span_eq(p[k].before, p[i].before))
            return true;
    return false;
}

static bool seen_after(const struct rules_segment *p, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (span_eq(p[k].after, p[i].after))
            return true;
    return false;
}

static int by_set(const void *a, const void *b)
{
    uint64_t x = ((const struct rules_fit *)a)->set, y = ((const struct rules_fit *)b)->set;

    return (x > y) - (x < y);
}

static void sort_once(struct search *s)
{
    size_t kept = 0;

    if (s->count)
        qsort(s->fits, s->count, sizeof(*s->fits), by_set);
    for (size_t i = 0; i < s->count; i++)
        if (kept == 0 || s->fits[kept - 1].set != s->fits[i].set)
            s->fits[kept++] = s->fits[i];
    s->count = kept;
}

bool rules_patterns_sets(struct arena *mem, const struct rules_segment *p, unsigned n,
                         struct rules_fit **fits, size_t *count, size_t *work)
{
    struct search s = {.mem = mem, .p = p, .n = n};
    int between = foreign_byte(&s);

    for (unsigned i = 0; between >= 0 && i < n; i++)
        for (unsigned k = 0; k < n && !seen_before(p, i); k++)
            if (!seen_after(p, k))
                try_pair(&s, p[i].before, p[k].after, (char)between);
    sort_once(&s);
    *fits = s.fits;
    *count = s.count;
    *work += s.tried;
    return between >= 0;
}
