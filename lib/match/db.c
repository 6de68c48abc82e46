/* Collecting detectors, and the compiled database. */
#include "match_internal.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct secret {
    uint8_t *p; /* locked */
    size_t n;
};

struct match_builder {
    unsigned count, secrets;
    struct detector det[MATCH_DETECTORS_MAX];
    char *pattern[MATCH_DETECTORS_MAX]; /* of KIND_PATTERN */
    struct secret secret[MATCH_SECRETS_MAX];
};

struct match_builder *match_builder_new(void)
{
    return calloc(1, sizeof(struct match_builder));
}

void match_builder_free(struct match_builder *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->count; i++)
        free(b->pattern[i]);
    for (unsigned i = 0; i < b->secrets; i++)
        locked_free(b->secret[i].p);
    free(b);
}

static int name_find(const struct detector *det, unsigned n, struct span name)
{
    for (unsigned i = 0; i < n; i++)
        if (span_eq(span_cstr(det[i].name), name))
            return (int)i;
    return -1;
}

static int detector_add(struct match_builder *b, struct span name, struct detector d)
{
    if (b->count == MATCH_DETECTORS_MAX || name.n >= NAME_MAX_BYTES)
        return -1;
    memcpy(d.name, name.p, name.n);
    b->det[b->count] = d;
    return (int)b->count++;
}

int match_builder_add_known(struct match_builder *b, struct span name)
{
    int at = name_find(b->det, b->count, name);

    if (at >= 0)
        return b->det[at].kind == KIND_PATTERN ? -1 : at;
    if (span_eq(name, SPAN_LIT("pci.card")))
        return detector_add(b, name, (struct detector){.kind = KIND_CARD});
    if (span_eq(name, SPAN_LIT("pii.email")))
        return detector_add(b, name, (struct detector){.kind = KIND_MAIL});
    return -1;
}

/* Whether Hyperscan takes the pattern both ways; its complaint to `why` if not. */
static bool pattern_compiles(const char *pattern, char why[256])
{
    static const struct {
        unsigned flags, mode;
        const char *what;
    } ways[] = {{0, HS_MODE_STREAM, ""},
                {HS_FLAG_SOM_LEFTMOST, HS_MODE_BLOCK, " (to find where its matches start)"}};

    for (unsigned i = 0; i < 2; i++) {
        hs_compile_error_t *error = NULL;
        hs_database_t *db = NULL;
        if (hs_compile(pattern, ways[i].flags, ways[i].mode, NULL, &db, &error) != HS_SUCCESS) {
            snprintf(why, 256, "%s%s", error ? error->message : "out of memory", ways[i].what);
            hs_free_compile_error(error);
            return false;
        }
        hs_free_database(db);
    }
    return true;
}

/* The most bytes of a match, 0 and `why` if the pattern cannot be used. */
static uint32_t pattern_width(const char *pattern, char why[256])
{
    hs_compile_error_t *error = NULL;
    hs_expr_info_t *info = NULL;
    uint32_t width = 0;

    if (hs_expression_info(pattern, 0, &info, &error) != HS_SUCCESS) {
        snprintf(why, 256, "%s", error ? error->message : "out of memory");
        hs_free_compile_error(error);
        return 0;
    }
    if (info->min_width == 0)
        snprintf(why, 256, "the pattern matches the empty string");
    else if (info->max_width == UINT_MAX)
        snprintf(why, 256, "the pattern has no bound: its matches must have at most %u bytes",
                 PATTERN_REACH);
    else if (info->max_width > PATTERN_REACH)
        snprintf(why, 256, "the pattern matches up to %u bytes, the limit is %u", info->max_width,
                 PATTERN_REACH);
    else
        width = info->max_width;
    free(info);
    return width;
}

static const char *pattern_unfit(const struct match_builder *b, struct span name,
                                 struct span pattern, struct span check)
{
    if (name.n == 0 || name.n >= NAME_MAX_BYTES || memchr(name.p, 0, name.n))
        return "a detector's name has 1 to 63 bytes";
    if (name_find(b->det, b->count, name) >= 0)
        return "there is a detector of this name already";
    if (b->count == MATCH_DETECTORS_MAX)
        return "there are too many detectors";
    if (pattern.n == 0 || memchr(pattern.p, 0, pattern.n))
        return "the pattern is empty or has a NUL byte in it";
    if (check.n && !span_eq(check, SPAN_LIT("luhn")))
        return "unknown check: only \"luhn\" is known";
    return NULL;
}

int match_builder_add_pattern(struct match_builder *b, struct span name, struct span pattern,
                              struct span check, char why[256])
{
    const char *unfit = pattern_unfit(b, name, pattern, check);
    uint32_t width;
    char *text;
    int at;

    if (unfit) {
        snprintf(why, 256, "%s", unfit);
        return -1;
    }
    text = strndup(pattern.p, pattern.n);
    if (!text) {
        snprintf(why, 256, "out of memory");
        return -1;
    }
    width = pattern_width(text, why);
    if (!width || !pattern_compiles(text, why)) {
        free(text);
        return -1;
    }
    at = detector_add(b, name,
                      (struct detector){.kind = KIND_PATTERN, .width = width, .luhn = check.n > 0});
    b->pattern[at] = text;
    return at;
}

bool match_builder_add_secret(struct match_builder *b, struct span name, struct span value)
{
    struct secret *x = &b->secret[b->secrets];

    if (name.n == 0 || value.n < SECRET_MIN || value.n > SECRET_MAX ||
        b->secrets == MATCH_SECRETS_MAX)
        return false;
    x->p = locked_new(value.n);
    if (!x->p)
        return false;
    x->n = value.n;
    memcpy(x->p, value.p, value.n);
    b->secrets++;
    return true;
}

/* ------------------------------------------------------------------- compile */

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
    if (!db->scan)
        return false;
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

void match_db_free(struct match_db *db)
{
    if (!db)
        return;
    locked_free(db->scan);
    hs_free_database(db->som);
    literals_free(db->secrets);
    free(db);
}

/* --------------------------------------------------------------------- names */

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
