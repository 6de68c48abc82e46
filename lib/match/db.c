/* A compiled database: its end, and its names. */
#include "match_internal.h"

#include <stdlib.h>

void match_db_free(struct match_db *db)
{
    if (!db)
        return;
    hs_free_database(db->scan);
    hs_free_database(db->whole);
    hs_free_database(db->som);
    literals_free(db->secrets);
    free(db);
}

int name_find(const struct detector *det, unsigned n, struct span name)
{
    for (unsigned i = 0; i < n; i++)
        if (span_eq(span_cstr(det[i].name), name))
            return (int)i;
    return -1;
}

unsigned match_db_detectors(const struct match_db *db)
{
    return db->count;
}

struct span match_db_name(const struct match_db *db, unsigned detector)
{
    return detector < db->count ? span_cstr(db->det[detector].name) : SPAN_NONE;
}

int match_db_find(const struct match_db *db, struct span name)
{
    return name_find(db->det, db->count, name);
}

/* '*' stands for any bytes; the last one seen is tried again further on. */
static bool glob_matches(struct span glob, struct span s)
{
    size_t g = 0, i = 0, star = SIZE_MAX, from = 0;

    while (i < s.n) {
        if (g < glob.n && glob.p[g] == '*') {
            star = g++;
            from = i;
        } else if (g < glob.n && glob.p[g] == s.p[i]) {
            g++, i++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (g < glob.n && glob.p[g] == '*')
        g++;
    return g == glob.n;
}

match_set match_db_glob(const struct match_db *db, struct span glob)
{
    match_set set = 0;

    for (unsigned i = 0; i < db->count; i++)
        if (glob_matches(glob, span_cstr(db->det[i].name)))
            set |= 1ull << i;
    return set;
}
