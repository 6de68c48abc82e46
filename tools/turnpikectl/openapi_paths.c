/* Paths of an OpenAPI document as path templates of ours (lib/rules/rules_functions.c): escapes in
 * their one form, at most one parameter in a segment. */
#include "openapi.h"

#define SEGMENTS_MAX 32
#define PARAMS_MAX   16
#define NAME_MAX_    48

struct template
{
    struct oa_import *m;
    struct outbuf text, shape;
    const char *name[PARAMS_MAX];
    unsigned nnames, nsegments;
    bool wider;
    const char *why;
};

static void both(struct template *t, const char *s)
{
    outbuf_cstr(&t->text, s);
    outbuf_cstr(&t->shape, s);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* A quote could: but libfyaml 0.7.12 misreads two of them in a quoted text. */
static bool stands_for_itself(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~!$&()+,;=:@", c));
}

static void put_text(struct template *t, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        int high = c == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex(s.p[i + 2]) : -1;
        char escape[4];

        if (low >= 0) {
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c == 0)
            t->why = "it has a NUL byte";
        snprintf(escape, sizeof(escape), stands_for_itself(c) ? "%c" : "%%%02X", c);
        both(t, escape);
    }
}

/* `{+path}`, `{path*}` and the like (RFC 6570) are names with a sign. */
static void put_name(struct outbuf *o, struct span s)
{
    for (size_t i = 0; i < s.n && o->n < NAME_MAX_; i++) {
        char c = s.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || (c == '-' && o->n && o->p[o->n - 1] != '_');

        if (good)
            outbuf_char(o, c);
        else if (o->n && o->p[o->n - 1] != '_')
            outbuf_char(o, '_');
    }
}

static bool taken(const struct template *t, const char *name)
{
    for (unsigned i = 0; i < t->nnames; i++)
        if (strcmp(t->name[i], name) == 0)
            return true;
    return false;
}

static void put_param(struct template *t, struct span names)
{
    char base[NAME_MAX_ + 8], *name;
    struct outbuf o = outbuf_on(base, NAME_MAX_ + 1);

    put_name(&o, names);
    if (o.n == 0)
        outbuf_char(&o, 'p');
    name = arena_strdup(&t->m->mem, outbuf_span(&o));
    for (unsigned i = 2; taken(t, name); i++)
        name = arena_printf(&t->m->mem, "%.*s_%u", SPAN_ARG(outbuf_span(&o)), i);
    if (t->nnames == PARAMS_MAX) {
        t->why = "it has more than 16 parameters";
        return;
    }
    t->name[t->nnames++] = name;
    outbuf_printf(&t->text, "{%s}", name);
    outbuf_lit(&t->shape, "{}");
}

/* Several parameters become one that takes them all, with what stands between them. */
static void put_segment(struct template *t, struct span s)
{
    const char *open = memchr(s.p, '{', s.n), *close = open ? memrchr(s.p, '}', s.n) : NULL;
    struct span names;

    if (++t->nsegments > SEGMENTS_MAX)
        t->why = "it has more than 32 segments";
    both(t, "/");
    if (!open || !close || close < open) {
        if (span_eq(s, SPAN_LIT(".")) || span_eq(s, SPAN_LIT("..")))
            t->why = "it has a segment `.` or `..`";
        put_text(t, s);
        return;
    }
    names = span_of(open + 1, (size_t)(close - open) - 1);
    t->wider = t->wider || (names.n && memchr(names.p, '{', names.n));
    put_text(t, span_of(s.p, (size_t)(open - s.p)));
    put_param(t, names);
    put_text(t, span_from(s, (size_t)(close - s.p) + 1));
}

static void put_path(struct template *t, struct span path)
{
    struct span rest = span_from(path, 1), s;

    while (rest.p && rest.n && !t->why) {
        s = span_cut(&rest, '/');
        if (s.n)
            put_segment(t, s);
        else
            t->why = "it has an empty segment";
    }
}

/* Not the `?` of `{?page}`. */
static struct span before_query(struct span path)
{
    unsigned depth = 0;

    for (size_t i = 0; i < path.n; i++) {
        depth += path.p[i] == '{';
        depth -= depth && path.p[i] == '}';
        if (!depth && (path.p[i] == '?' || path.p[i] == '#'))
            path.n = i;
        if (path.p[i] == '{' && i + 1 < path.n && path.p[i + 1] == '?')
            path.n = i; /* RFC 6570 3.2.8: a query */
    }
    return path;
}

char *oa_template(struct oa_import *m, struct span base, struct span path, bool *wider,
                  struct span *shape, const char **why)
{
    size_t room = OA_TEMPLATE_MAX;
    struct template t = {.m = m};

    t.text = outbuf_on(arena_alloc(&m->mem, room + 1), room);
    t.shape = outbuf_on(arena_alloc(&m->mem, room + 1), room);
    path = before_query(path);
    if (path.n == 0 || path.p[0] != '/')
        t.why = "it does not begin with `/`";
    if (base.n)
        put_path(&t, base);
    if (!t.why)
        put_path(&t, path);
    if (t.nsegments == 0)
        both(&t, "/");
    if (t.text.full || t.shape.full)
        t.why = "it is longer than 2048 bytes";
    *wider = t.wider;
    *shape = outbuf_span(&t.shape);
    *why = t.why;
    return t.why ? NULL : arena_strdup(&m->mem, outbuf_span(&t.text));
}
