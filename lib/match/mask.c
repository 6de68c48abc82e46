/* Masks: planned on raw bytes as matches are decided, written when the bytes leave. Several matches
 * over one byte unite: it is masked if any of them masks it.
 *
 * What masks leave alone, so that the syntax stays: line ends; in JSON the quotes, and outside
 * strings everything but digits; in forms and URLs `&`, `=`, `?` and `#`. What stands outside
 * strings and cannot be JSON (a body that only claims to be) is masked with stars. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "match_internal.h"

static void plan_raw(struct match_worker *w, uint32_t from, uint32_t to, unsigned bits)
{
    for (uint32_t i = from; i < to; i++)
        w->plan[i] |= (uint8_t)bits;
    if (from < w->plan_lo)
        w->plan_lo = from;
    if (to > w->plan_hi)
        w->plan_hi = to;
}

/* JSON is UTF-8: a pattern may match a part of a character, a mask may not. */
static void trim_utf8(const uint8_t *t, uint32_t *from, uint32_t *to)
{
    uint32_t i = *to;

    while (*from < *to && (t[*from] & 0xc0) == 0x80)
        ++*from;
    while (i > *from && (t[i - 1] & 0xc0) == 0x80)
        i--;
    if (i > *from && t[i - 1] >= 0xc0) {
        uint8_t lead = t[--i];
        uint32_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
        if (*to - i < want)
            *to = i;
    }
}

void plan_mark(struct match_stream *s, const struct view *v, uint32_t from, uint32_t to,
               unsigned bits)
{
    if (s->syntax == MATCH_JSON)
        trim_utf8(v->t, &from, &to);
    if (from >= to)
        return;
    for (uint32_t i = from, end; i < to; i = end) {
        uint32_t raw = view_raw(v, i);
        end = view_plain(v, i);
        if (end > i) {
            end = end < to ? end : to;
            plan_raw(s->w, raw, raw + (end - i), bits);
            continue;
        }
        for (end = i + 1; end < v->n && view_atom(v, end) != end; end++)
            ; /* whole atoms */
        plan_raw(s->w, raw, view_raw(v, end), bits);
    }
}

/* A row of letters that may be part of what JSON has outside strings. */
static bool json_word(const uint8_t *t, uint32_t n)
{
    static const char words[] = "true false null E";

    return memmem(words, sizeof(words) - 1, t, n) != NULL;
}

static bool json_outside(uint8_t c)
{
    return is_digit(c) || (c && strchr("+-.{}[]:, \t\r\n", c));
}

unsigned plan_bits(const struct match_stream *s, const uint8_t *t, uint32_t n)
{
    unsigned bits = PLAN_MASK;

    if (s->syntax != MATCH_JSON || memchr(t, '"', n))
        return bits; /* with a quote in it the match lies on both sides of a string's border */
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && is_letter(t[end]); end++)
            ;
        if (end > i ? !json_word(t + i, end - i) : !json_outside(t[end++]))
            return PLAN_MASK | PLAN_STAR;
    }
    return bits;
}

void plan_load(struct match_stream *s)
{
    struct match_worker *w = s->w;

    w->plan_lo = WINDOW_MAX;
    w->plan_hi = 0;
    if (!s->planned)
        return;
    memcpy(w->plan, s->plan, s->held);
    w->plan_lo = 0;
    w->plan_hi = s->held;
}

void plan_save(struct match_stream *s, uint32_t gone, uint32_t n)
{
    struct match_worker *w = s->w;

    s->planned = w->plan_hi > gone;
    if (s->planned)
        memcpy(s->plan, w->plan + gone, n - gone);
    if (w->plan_hi > w->plan_lo)
        memset(w->plan + w->plan_lo, 0, w->plan_hi - w->plan_lo);
}

/* Whether `c` occurs an odd number of times. */
static bool odd_count(const uint8_t *p, size_t n, uint8_t c)
{
    bool odd = false;
    size_t i = 0;

#ifdef __SSE2__
    const __m128i want = _mm_set1_epi8((char)c);
    __m128i seen = _mm_setzero_si128();

    for (; i + 16 <= n; i += 16)
        seen = _mm_xor_si128(seen, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + i)), want));
    odd = __builtin_parity((unsigned)_mm_movemask_epi8(seen));
#endif
    for (; i < n; i++)
        odd ^= p[i] == c;
    return odd;
}

struct writer {
    struct match_stream *s;
    const struct view *v;
    uint8_t *raw;
    uint32_t n;
    uint32_t esc; /* escapes before this one are passed */
};

/* Carries the JSON string state over raw [from, to), which starts and ends at atoms. A raw line end
 * cannot be inside a string, so it sets the state right again where lines are JSON each (NDJSON,
 * server-sent events). */
static void pass(struct writer *k, uint32_t from, uint32_t to)
{
    const uint8_t *lf;
    bool odd;

    if (k->s->syntax != MATCH_JSON || from == to)
        return;
    lf = memrchr(k->raw + from, '\n', to - from);
    if (lf) {
        k->s->in_string = false;
        from = (uint32_t)(lf - k->raw) + 1;
    }
    odd = odd_count(k->raw + from, to - from, '"');
    for (; k->esc < k->v->escapes && k->v->esc[k->esc].raw < to; k->esc++) {
        const struct escape *e = &k->v->esc[k->esc];
        odd ^= e->raw >= from && e->raw_n == 2 && k->v->t[e->at] == '"';
    }
    k->s->in_string ^= odd;
}

static void write_json(struct writer *k, uint32_t i, unsigned bits)
{
    struct match_stream *s = k->s;
    uint8_t c = k->raw[i], prev = i ? k->raw[i - 1] : s->prev_raw;

    if (c == '"' || c == '\n') {
        s->in_string = c == '"' && !s->in_string;
        return;
    }
    if (c == '\r')
        return;
    if (s->in_string || (bits & PLAN_STAR))
        k->raw[i] = '*';
    else if (is_digit(c))
        k->raw[i] = (bits & PLAN_ONE) || !is_digit(prev) ? '1' : '0';
    else if (!json_outside(c) && !is_letter(c))
        k->raw[i] = '*';
}

static void write_escape(uint8_t *p, unsigned n)
{
    static const char json[] = "\\u002a\\u002a", form[] = "%2A";

    if (n == 2)
        memset(p, '*', 2);
    else
        memcpy(p, n == 3 ? form : json, n);
}

static void write_plain(enum match_syntax syntax, uint8_t *p)
{
    if (*p == '\r' || *p == '\n')
        return;
    if (syntax == MATCH_FORM && (*p == '&' || *p == '=' || *p == '?' || *p == '#'))
        return;
    *p = '*';
}

/* Masks the atom at `i`; its raw length. */
static uint32_t write_atom(struct writer *k, uint32_t i)
{
    struct atom a;

    atom_at(k->s->syntax, k->raw + i, k->n - i, true, &a);
    while (k->esc < k->v->escapes && k->v->esc[k->esc].raw <= i)
        k->esc++;
    if (a.raw_n > 1)
        write_escape(k->raw + i, a.raw_n);
    else if (k->s->syntax == MATCH_JSON)
        write_json(k, i, k->s->w->plan[i]);
    else
        write_plain(k->s->syntax, k->raw + i);
    return a.raw_n;
}

void plan_write(struct match_stream *s, const struct view *v, uint8_t *raw, uint32_t n)
{
    const uint8_t *plan = s->w->plan;
    uint32_t hi = s->w->plan_hi < n ? s->w->plan_hi : n, done = 0, i = s->w->plan_lo;
    struct writer k = {s, v, raw, n, 0};

    while (i < hi) {
        if (!plan[i]) {
            i++;
            continue;
        }
        pass(&k, done, i);
        done = i += write_atom(&k, i);
    }
    pass(&k, done, n);
    if (n)
        s->prev_raw = raw[n - 1];
}
