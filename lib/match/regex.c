/* One pattern tested against a text that is there as a whole: for conditions, not for streams. */
#include "match_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct match_regex {
    hs_database_t *db; /* memory of the arena's */
};

struct match_tester {
    hs_scratch_t *scratch;
};

/* Hyperscan's `$` also matches before a line end that is last, RE2's does not: it is written `\z`,
 * but for where (?m) makes both the end of a line. */
struct rewriter {
    struct span s;
    size_t at;
    struct outbuf *o;
    bool in_class;
    unsigned depth;
    bool multiline[64]; /* by depth of parentheses */
};

static bool has_at(const struct rewriter *w, const char *text)
{
    return span_starts(span_from(w->s, w->at), span_cstr(text));
}

static void copy(struct rewriter *w, size_t n)
{
    struct span rest = span_from(w->s, w->at);

    n = n < rest.n ? n : rest.n;
    outbuf_put(w->o, rest.p, n);
    w->at += n;
}

/* Flags after "(?" up to ')' or ':'. */
static bool flags_multiline(const struct rewriter *w, bool now)
{
    bool on = true;

    for (size_t i = w->at; i < w->s.n && w->s.p[i] != ')' && w->s.p[i] != ':'; i++) {
        if (w->s.p[i] == '-')
            on = false;
        else if (w->s.p[i] == 'm')
            now = on;
    }
    return now;
}

static bool is_flags(const struct rewriter *w)
{
    size_t i = w->at;

    while (i < w->s.n && (is_letter((uint8_t)w->s.p[i]) || w->s.p[i] == '-'))
        i++;
    return i < w->s.n && (w->s.p[i] == ')' || w->s.p[i] == ':');
}

/* Past an opening parenthesis. Flags with no colon hold from here on in the group around. */
static bool rewrite_group(struct rewriter *w)
{
    bool now = w->multiline[w->depth];
    size_t end;

    copy(w, 1);
    if (has_at(w, "?#")) { /* a comment */
        while (w->at < w->s.n && w->s.p[w->at] != ')')
            w->at++;
        outbuf_lit(w->o, "?:)");
        w->at += w->at < w->s.n;
        return true;
    }
    if (w->depth + 1 == sizeof(w->multiline) / sizeof(w->multiline[0]))
        return false;
    w->multiline[w->depth + 1] = now;
    if (has_at(w, "?")) {
        copy(w, 1);
        if (is_flags(w)) {
            now = flags_multiline(w, now);
            end = w->at;
            while (w->s.p[end] != ')' && w->s.p[end] != ':')
                end++;
            copy(w, end - w->at);
            if (has_at(w, ")"))
                w->multiline[w->depth] = now;
            else
                w->multiline[w->depth + 1] = now;
        }
    }
    w->depth++;
    return true;
}

static void rewrite_escape(struct rewriter *w)
{
    if (has_at(w, "\\Q")) {
        while (w->at < w->s.n && !has_at(w, "\\E"))
            copy(w, 1);
    }
    copy(w, 2);
}

static void rewrite_class(struct rewriter *w)
{
    copy(w, 1);
    if (has_at(w, "^"))
        copy(w, 1);
    if (has_at(w, "]"))
        copy(w, 1);
    while (w->at < w->s.n && !has_at(w, "]")) {
        if (has_at(w, "[:") || has_at(w, "\\"))
            copy(w, 2);
        else
            copy(w, 1);
        if (has_at(w, ":]"))
            copy(w, 2);
    }
    copy(w, 1);
}

/* False if groups stand too deep in each other. */
static bool rewrite(struct rewriter *w)
{
    while (w->at < w->s.n) {
        char c = w->s.p[w->at];

        if (c == '\\') {
            rewrite_escape(w);
        } else if (c == '[') {
            rewrite_class(w);
        } else if (c == '(') {
            if (!rewrite_group(w))
                return false;
        } else if (c == '$' && !w->multiline[w->depth]) {
            outbuf_lit(w->o, "\\z");
            w->at++;
        } else {
            w->depth -= c == ')' && w->depth;
            copy(w, 1);
        }
    }
    return true;
}

/* Into memory of the arena, which nobody has to take apart. */
static hs_database_t *keep(struct arena *mem, const hs_database_t *db)
{
    hs_database_t *to = NULL;
    char *bytes = NULL;
    size_t n = 0, room = 0;

    if (hs_serialize_database(db, &bytes, &n) == HS_SUCCESS &&
        hs_serialized_database_size(bytes, n, &room) == HS_SUCCESS) {
        to = arena_alloc(mem, room);
        if (hs_deserialize_database_at(bytes, n, to) != HS_SUCCESS)
            to = NULL;
    }
    free(bytes);
    return to;
}

struct match_regex *match_regex_new(struct arena *mem, struct span pattern, char why[256])
{
    struct arena tmp = ARENA_INIT;
    size_t room = 2 * pattern.n + 16;
    struct outbuf o = outbuf_on(arena_alloc(&tmp, room), room);
    struct rewriter w = {.s = pattern, .o = &o};
    struct match_regex *re = NULL;
    hs_compile_error_t *error = NULL;
    hs_database_t *db = NULL, *kept;

    if (memchr(pattern.p, 0, pattern.n)) {
        snprintf(why, 256, "the pattern holds a NUL; write \\x00");
    } else if (!rewrite(&w)) {
        snprintf(why, 256, "its groups stand too deep in each other");
    } else {
        outbuf_char(&o, 0);
        if (hs_compile(o.p, HS_FLAG_UTF8 | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY, HS_MODE_BLOCK,
                       NULL, &db, &error) != HS_SUCCESS)
            snprintf(why, 256, "%s", error ? error->message : "out of memory");
        hs_free_compile_error(error);
    }
    kept = db ? keep(mem, db) : NULL;
    if (db && !kept)
        snprintf(why, 256, "out of memory");
    if (kept) {
        re = arena_new(mem, struct match_regex);
        re->db = kept;
    }
    hs_free_database(db);
    arena_free(&tmp);
    return re;
}

bool match_tester_adopt(struct match_tester **t, const struct match_regex *re)
{
    if (!*t)
        *t = calloc(1, sizeof(**t));
    return *t && hs_alloc_scratch(re->db, &(*t)->scratch) == HS_SUCCESS;
}

void match_tester_free(struct match_tester *t)
{
    if (!t)
        return;
    hs_free_scratch(t->scratch);
    free(t);
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *ctx)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)ctx = true;
    return 1;
}

enum match_answer match_regex_test(const struct match_regex *re, struct match_tester *t,
                                   struct span text)
{
    bool found = false;
    hs_error_t e;

    if (text.n > UINT32_MAX || !utf8_valid(text))
        return MATCH_UNSURE;
    e = hs_scan(re->db, text.n ? text.p : "", (unsigned)text.n, 0, t->scratch, on_match, &found);
    if (e != HS_SUCCESS && e != HS_SCAN_TERMINATED)
        return MATCH_UNSURE;
    return found ? MATCH_YES : MATCH_NO;
}
