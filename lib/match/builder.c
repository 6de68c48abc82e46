/* Collecting detectors and credentials. */
#include "match_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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
