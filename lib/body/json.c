/* JSON in one pass: the grammar is checked to the last byte whatever is wanted, values are kept
 * where the trie has a node (RFC 8259). No recursion: a frame for each container that is open. */
#include "body_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct frame {
    const struct body_node *node; /* NULL: nothing below is wanted */
    const char *start;
    uint32_t count; /* members that are complete */
    bool array;
};

struct walk {
    struct body_reader *r;
    const char *at, *end;
    const struct body_node *node; /* of the value that comes next, or NULL */
    unsigned depth;
    struct frame frames[BODY_DEPTH_MAX];
};

enum step { STEP_BAD, STEP_VALUE, STEP_DONE }; /* DONE: a value is complete */

static enum step malformed(struct walk *w, const char *at)
{
    body_fail(w->r, BODY_PROBLEM_MALFORMED, at);
    return STEP_BAD;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *skip_run_of_space(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i line = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\n')),
                                    _mm_cmpeq_epi8(x, _mm_set1_epi8('\r')));
        __m128i blank = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(' ')),
                                     _mm_cmpeq_epi8(x, _mm_set1_epi8('\t')));
        unsigned at = (unsigned)_mm_movemask_epi8(_mm_or_si128(line, blank));

        if (at != 0xffff)
            return p + __builtin_ctz(~at);
    }
#endif
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* The next byte that is no white space; 0, which no JSON text holds there, at the end. */
static inline char skip_space(struct walk *w)
{
    if (w->at < w->end && (unsigned char)*w->at > ' ')
        return *w->at;
    w->at = skip_run_of_space(w->at, w->end);
    return w->at < w->end ? *w->at : '\0';
}

static struct body_value *wanted(struct walk *w, const struct body_node *node)
{
    return body_value_at(w->r, node);
}

/* A value from `start` to where the walk stands. */
static enum step put(struct walk *w, enum body_kind kind, const char *start)
{
    struct body_value *v = wanted(w, w->node);
    struct span raw = span_of(start, (size_t)(w->at - start));

    if (v)
        *v = (struct body_value){.kind = kind,
                                 .boolean = *start == 't',
                                 .raw = raw,
                                 .text = kind == BODY_NUMBER ? raw : SPAN_NONE};
    return STEP_DONE;
}

static enum step literal(struct walk *w, struct span word, enum body_kind kind)
{
    const char *start = w->at;

    if (!span_starts(span_of(start, (size_t)(w->end - start)), word))
        return malformed(w, start);
    w->at += word.n;
    return put(w, kind, start);
}

static enum step number(struct walk *w)
{
    const char *start = w->at, *end = body_number_end(start, w->end);

    if (!end)
        return malformed(w, start);
    w->at = end;
    return put(w, BODY_NUMBER, start);
}

/* The string that begins at w->at, without its quotes. */
static bool pass_string(struct walk *w, struct span *inside, bool *escaped)
{
    const char *start = w->at + 1, *quote;

    *escaped = false;
    quote = body_string_end(start, w->end, escaped);
    if (quote == w->end || *quote != '"') {
        bool wide = quote < w->end && (unsigned char)*quote >= 0x80;
        return body_fail(w->r, wide ? BODY_PROBLEM_NOT_UTF8 : BODY_PROBLEM_MALFORMED, quote);
    }
    *inside = span_of(start, (size_t)(quote - start));
    w->at = quote + 1;
    return true;
}

/* The text of an escaped string, at the front of what is left of the scratch. */
static bool unescape(struct walk *w, struct span inside, struct span *text)
{
    struct body_reader *r = w->r;

    if (inside.n > (size_t)(r->scratch_end - r->scratch))
        return body_fail(r, BODY_PROBLEM_SCRATCH, inside.p);
    text->p = r->scratch;
    if (!body_unescape(inside, r->scratch, &text->n))
        return body_fail(r, BODY_PROBLEM_MALFORMED, inside.p);
    return true;
}

static enum step string(struct walk *w)
{
    const char *start = w->at;
    struct span inside;
    struct body_value *v;
    bool escaped;

    if (!pass_string(w, &inside, &escaped))
        return STEP_BAD;
    v = wanted(w, w->node);
    if (!v)
        return STEP_DONE;
    put(w, BODY_STRING, start);
    v->text = inside;
    if (escaped) {
        if (!unescape(w, inside, &v->text))
            return STEP_BAD;
        w->r->scratch += v->text.n;
    }
    return STEP_DONE;
}

/* A wanted node that comes a second time is there twice, or one above it is: a path without wild
 * cards has one place in a document. */
static void enter(struct walk *w, const struct body_node *node)
{
    w->node = node;
    if (node) {
        struct body_state *st = body_state(w->r, node);

        w->r->doubt |= st->flags != 0;
        st->flags |= st->flags & BODY_SEEN ? BODY_AGAIN : BODY_SEEN;
    }
}

/* "key" : with w->at at the quote. */
static enum step member(struct walk *w)
{
    const struct body_node *in = w->frames[w->depth - 1].node;
    struct span key;
    bool escaped;

    if (skip_space(w) != '"')
        return malformed(w, w->at);
    if (!pass_string(w, &key, &escaped))
        return STEP_BAD;
    if (in && in->first) {
        if (escaped && !unescape(w, key, &key))
            return STEP_BAD;
        enter(w, body_find_key(w->r, in, key));
    } else {
        w->node = NULL;
    }
    if (skip_space(w) != ':')
        return malformed(w, w->at);
    w->at++;
    return STEP_VALUE;
}

static enum step element(struct walk *w)
{
    const struct frame *f = &w->frames[w->depth - 1];

    if (f->node && f->count < f->node->elements)
        enter(w, body_find_index(w->r->paths, f->node, f->count));
    else
        w->node = NULL;
    return STEP_VALUE;
}

/* With w->at at the closing bracket. */
static enum step close_container(struct walk *w)
{
    const struct frame *f = &w->frames[--w->depth];
    struct body_value *v = wanted(w, f->node);

    w->at++;
    w->node = f->node;
    put(w, f->array ? BODY_ARRAY : BODY_OBJECT, f->start);
    if (v)
        v->length = f->count;
    return STEP_DONE;
}

static enum step open_container(struct walk *w, bool array)
{
    if (w->depth == BODY_DEPTH_MAX) {
        body_fail(w->r, BODY_PROBLEM_TOO_DEEP, w->at);
        return STEP_BAD;
    }
    w->frames[w->depth++] =
        (struct frame){.node = w->node, .start = w->at, .count = 0, .array = array};
    w->at++;
    if (skip_space(w) == (array ? ']' : '}'))
        return close_container(w);
    return array ? element(w) : member(w);
}

static enum step value(struct walk *w)
{
    switch (skip_space(w)) {
    case '{':
        return open_container(w, false);
    case '[':
        return open_container(w, true);
    case '"':
        return string(w);
    case 't':
        return literal(w, SPAN_LIT("true"), BODY_BOOL);
    case 'f':
        return literal(w, SPAN_LIT("false"), BODY_BOOL);
    case 'n':
        return literal(w, SPAN_LIT("null"), BODY_NULL);
    default:
        return number(w);
    }
}

/* A value inside the innermost container is complete. */
static enum step after_value(struct walk *w)
{
    struct frame *f = &w->frames[w->depth - 1];
    char c = skip_space(w);

    f->count++;
    if (c == (f->array ? ']' : '}'))
        return close_container(w);
    if (c != ',')
        return malformed(w, w->at);
    w->at++;
    return f->array ? element(w) : member(w);
}

bool body_read_json(struct body_reader *r)
{
    struct walk w;
    enum step step = STEP_VALUE;

    w.r = r;
    w.at = r->body.p;
    w.end = w.at + r->body.n;
    w.node = r->paths->root;
    w.depth = 0; /* frames are set as they open */
    while (step == STEP_VALUE) {
        step = value(&w);
        while (step == STEP_DONE && w.depth > 0)
            step = after_value(&w);
    }
    if (step == STEP_DONE && (skip_space(&w) != '\0' || w.at < w.end))
        step = malformed(&w, w.at);
    return step == STEP_DONE;
}
