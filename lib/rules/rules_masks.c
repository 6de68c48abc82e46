/* `detectors` and `masks`: what is found, and where it is hidden. */
#include "rules_internal.h"

#include <stdlib.h>

/* The detectors that the product itself has, in the order in which every database begins. */
static const char *const known[] = {"pci.card", "pii.email"};
#define KNOWN (sizeof(known) / sizeof(known[0]))

/* --------------------------------------------------------------- detectors */

static bool is_own_prefix(struct span name)
{
    return span_starts(name, SPAN_LIT("pci.")) || span_starts(name, SPAN_LIT("pii.")) ||
           span_starts(name, SPAN_LIT("secret."));
}

static void read_detector(struct rules_loader *l, const struct yaml_node *key,
                          const struct yaml_node *n)
{
    static const char *const keys[] = {"pattern", "check", "near", NULL};
    static const char *const checks[] = {"luhn", NULL};
    struct rules_detector *x = arena_new(&l->tmp, struct rules_detector), *first;
    unsigned check;

    x->name = arena_span(&l->set->mem, yaml_text(key));
    x->place = rules_keep_place(l->set, yaml_place(key));
    if (!rules_is_name(x->name, true))
        diag_error(l->d, x->place, "a detector's name is made of words with dots between them");
    else if (is_own_prefix(x->name))
        diag_error(l->d, x->place, "names that begin with pci., pii. or secret. are the product's");
    first = rules_map_put(&l->detector_names, &l->tmp, x->name, x);
    if (first)
        diag_error(l->d, x->place, "the detector `%.*s` is already in %s:%u", SPAN_ARG(x->name),
                   first->place.file, first->place.line);
    else
        rules_list_add(&l->detectors, &l->tmp, x);
    if (!rules_want_mapping(l, n, "a detector"))
        return;
    yaml_only(n, keys, l->d);
    if (rules_read_line(l, n, "pattern", true, 1000, &x->pattern))
        x->place = rules_keep_place(l->set, yaml_place(yaml_get(n, "pattern")));
    if (yaml_read_enum(n, "check", false, checks, &check, l->d))
        x->check = SPAN_LIT("luhn");
    if (yaml_get(n, "near"))
        rules_refuse(l, yaml_get(n, "near"), "`near` is not available in this version");
}

void rules_read_detectors(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_mapping(l, n, "`detectors`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->detectors.n == MATCH_DETECTORS_MAX - KNOWN) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %zu detectors",
                       MATCH_DETECTORS_MAX - KNOWN);
            return;
        }
        read_detector(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

bool rules_add_detectors(const struct rules_set *s, struct match_builder *b, struct diags *d)
{
    char why[256];
    bool good = true;

    for (size_t i = 0; i < KNOWN; i++) {
        if (match_builder_add_known(b, span_cstr(known[i])) == (int)i)
            continue;
        diag_error(d, place_of_file(known[i]), "this detector cannot be added first");
        good = false;
    }
    for (unsigned i = 0; i < s->ndetectors; i++) {
        const struct rules_detector *x = &s->detectors[i];

        if (match_builder_add_pattern(b, x->name, x->pattern, x->check, why) >= 0)
            continue;
        diag_error(d, x->place, "the pattern of `%.*s` is refused: %s", SPAN_ARG(x->name), why);
        good = false;
    }
    return good;
}

static int by_name(const void *a, const void *b)
{
    return span_cmp(((const struct rules_detector *)a)->name,
                    ((const struct rules_detector *)b)->name);
}

/* Patterns are tried out here, so that one check shows all that is wrong. */
static void finish_detectors(struct rules_loader *l)
{
    struct rules_set *s = l->set;
    struct match_builder *b = NULL;

    s->detectors = arena_array(&s->mem, struct rules_detector, l->detectors.n + 1);
    for (size_t i = 0; i < l->detectors.n; i++) {
        const struct rules_detector *x = l->detectors.at[i];

        if (x->pattern.n)
            s->detectors[s->ndetectors++] = *x;
    }
    if (s->ndetectors == 0)
        return;
    qsort(s->detectors, s->ndetectors, sizeof(*s->detectors), by_name);
    b = match_builder_new();
    if (b)
        rules_add_detectors(s, b, l->d);
    else
        diag_error(l->d, place_of_file(l->directory), "out of memory for detectors");
    match_builder_free(b);
}

/* ------------------------------------------------------------------- masks */

static void read_places(struct rules_loader *l, const struct yaml_node *n,
                        struct rules_pending_mask *m)
{
    const struct yaml_node **nodes;
    struct span *names;
    unsigned count;

    rules_read_texts(l, n, "in", true, false, &names, &nodes, &count);
    for (unsigned i = 0; i < count; i++) {
        if (span_eq(names[i], SPAN_LIT("audit")))
            m->audit = true;
        else if (span_eq(names[i], SPAN_LIT("caller")))
            m->caller = true;
        else if (span_eq(names[i], SPAN_LIT("vendor")))
            rules_refuse(l, nodes[i],
                         "this version cannot mask what goes to the vendor; a call that must not "
                         "carry such data has to be blocked");
        else if (names[i].n)
            rules_refuse(l, nodes[i], "masks stand in audit or caller");
    }
}

static void read_mask(struct rules_loader *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"id", "name", "owner", "on", "find", "in", "keep", NULL};
    static const char *const keeps[] = {"last4", "bin+last4", "none", NULL};
    struct rules_pending_mask *m = arena_new(&l->tmp, struct rules_pending_mask), *first;
    unsigned keep = MATCH_KEEP_LAST4;
    struct span ignored, key;
    uint64_t id;

    if (!rules_want_mapping(l, n, "a mask"))
        return;
    yaml_only(n, keys, l->d);
    m->node = n;
    if (yaml_read_u64(n, "id", true, 1, 1000000000, &id, l->d)) {
        key = span_cstr(arena_printf(&l->tmp, "%llu", (unsigned long long)id));
        first = rules_map_put(&l->mask_ids, &l->tmp, key, m);
        if (first)
            diag_error(l->d, yaml_place(yaml_get(n, "id")),
                       "the mask id %.*s is already taken by %s:%u", SPAN_ARG(key),
                       yaml_place(first->node).file, yaml_place(first->node).line);
    }
    rules_read_line(l, n, "name", false, 200, &ignored);
    rules_read_line(l, n, "owner", false, 200, &ignored);
    read_places(l, n, m);
    yaml_read_enum(n, "keep", false, keeps, &keep, l->d);
    m->keep = (enum match_keep)keep;
    rules_list_add(&l->masks, &l->tmp, m);
}

void rules_read_masks(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_sequence(l, n, "`masks`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->masks.n == RULES_MASKS_MAX) {
            diag_error(l->d, yaml_place(yaml_at(n, i)), "a rule set has at most %d masks",
                       RULES_MASKS_MAX);
            return;
        }
        read_mask(l, yaml_at(n, i));
    }
}

/* --------------------------------------------------------------- resolving */

/* By name rather than by what compiled: a bad pattern is one complaint, not two. */
static match_set detectors_for(const struct rules_loader *l, struct span glob)
{
    match_set set = 0;

    for (size_t i = 0; i < KNOWN; i++)
        if (rules_glob(glob, span_cstr(known[i])))
            set |= (match_set)1 << i;
    for (unsigned i = 0; i < l->set->ndetectors; i++)
        if (rules_glob(glob, l->set->detectors[i].name))
            set |= (match_set)1 << (KNOWN + i);
    return set;
}

static bool is_declared(const struct rules_loader *l, struct span glob)
{
    for (size_t i = 0; i < l->detectors.n; i++)
        if (rules_glob(glob, ((const struct rules_detector *)l->detectors.at[i])->name))
            return true;
    return false;
}

match_set rules_detectors_for(const struct rules_loader *l, struct span glob, bool *declared)
{
    match_set set = 0;

    if (l) {
        *declared = is_declared(l, glob);
        return detectors_for(l, glob);
    }
    for (size_t i = 0; i < KNOWN; i++)
        if (rules_glob(glob, span_cstr(known[i])))
            set |= (match_set)1 << i;
    return set;
}

static match_set read_find(struct rules_loader *l, const struct yaml_node *n)
{
    const struct yaml_node **nodes;
    struct span *globs;
    unsigned count;
    match_set all = 0;

    rules_read_texts(l, n, "find", true, false, &globs, &nodes, &count);
    for (unsigned i = 0; i < count; i++) {
        match_set some = rules_glob_valid(globs[i]) ? detectors_for(l, globs[i]) : 0;

        if (!some && globs[i].n && !is_declared(l, globs[i]))
            diag_error(l->d, yaml_place(nodes[i]), "`%.*s` finds no known detector",
                       SPAN_ARG(globs[i]));
        all |= some;
    }
    return all;
}

/* How little a mask leaves: where two meet, the one that leaves less counts. */
static unsigned strictness(enum match_keep k)
{
    return k == MATCH_KEEP_NONE ? 2 : k == MATCH_KEEP_LAST4 ? 1 : 0;
}

static void add(struct match_policy *p, match_set detectors, enum match_keep keep)
{
    for (unsigned i = 0; i < MATCH_DETECTORS_MAX; i++) {
        match_set one = (match_set)1 << i;

        if (!(detectors & one))
            continue;
        if (!(p->detectors & one) || strictness(keep) > strictness((enum match_keep)p->keep[i]))
            p->keep[i] = (uint8_t)keep;
        p->detectors |= one;
    }
}

static bool covers(const struct match_policy *p, const struct match_policy *other)
{
    if (other->detectors & ~p->detectors)
        return false;
    for (unsigned i = 0; i < MATCH_DETECTORS_MAX; i++)
        if ((other->detectors >> i & 1) &&
            strictness((enum match_keep)p->keep[i]) < strictness((enum match_keep)other->keep[i]))
            return false;
    return true;
}

static size_t apply(struct rules_loader *l, const struct rules_pending_mask *m, struct span on,
                    match_set find)
{
    struct rules_set *s = l->set;
    size_t hits = 0;

    for (unsigned i = 0; i < s->nfunctions; i++) {
        if (!rules_glob(on, s->functions[i].name))
            continue;
        hits++;
        if (m->audit)
            add(&s->functions[i].mask_audit, find, m->keep);
        if (m->caller)
            add(&s->functions[i].mask_caller, find, m->keep);
    }
    return hits;
}

static void finish_mask(struct rules_loader *l, const struct rules_pending_mask *m)
{
    match_set find = read_find(l, m->node);
    const struct yaml_node **nodes;
    struct span *on;
    unsigned count;

    rules_read_texts(l, m->node, "on", true, false, &on, &nodes, &count);
    for (unsigned i = 0; i < count; i++)
        if (on[i].n && (!rules_glob_valid(on[i]) || apply(l, m, on[i], find) == 0))
            diag_error(l->d, yaml_place(nodes[i]), "`%.*s` is the name of no function",
                       SPAN_ARG(on[i]));
}

void rules_finish_masks(struct rules_loader *l)
{
    match_set floor = ((match_set)1 << KNOWN) - 1;

    finish_detectors(l);
    for (size_t i = 0; i < l->masks.n; i++)
        finish_mask(l, l->masks.at[i]);
    /* Evidence never holds a whole card number or address, whatever the files say or leave out. */
    for (unsigned i = 0; i < l->set->nfunctions; i++) {
        struct rules_function *f = &l->set->functions[i];

        add(&f->mask_audit, floor & ~f->mask_audit.detectors, MATCH_KEEP_LAST4);
        f->caller_covers_audit = covers(&f->mask_caller, &f->mask_audit);
    }
}
