/* Raw bytes to decoded text and back. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "match_internal.h"

enum { HEX_SHORT = -1, HEX_BAD = -2 };

static int hex_value(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : HEX_BAD;
}

/* The first `want` hex digits of p[0..n). */
static int hex_run(const uint8_t *p, size_t n, unsigned want)
{
    int v = 0;

    for (unsigned i = 0; i < want; i++) {
        if (i == n)
            return HEX_SHORT;
        int d = hex_value(p[i]);
        if (d < 0)
            return HEX_BAD;
        v = v * 16 + d;
    }
    return v;
}

static void atom_utf8(struct atom *a, unsigned raw_n, uint32_t cp)
{
    a->raw_n = (uint8_t)raw_n;
    a->n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (unsigned i = a->n; i-- > 1; cp >>= 6)
        a->byte[i] = (uint8_t)(0x80 | (cp & 0x3f));
    a->byte[0] = (uint8_t)(a->n == 1 ? cp : (0xf00u >> a->n & 0xffu) | cp);
}

/* After a high surrogate: the low one makes one character of the two, anything else leaves it
 * alone. */
static bool atom_pair(const uint8_t *p, size_t n, bool last, struct atom *a, unsigned high)
{
    int low;

    atom_utf8(a, 6, 0xfffd);
    if (n < 7)
        return last;
    if (p[6] != '\\')
        return true;
    if (n < 8)
        return last;
    if (p[7] != 'u')
        return true;
    low = hex_run(p + 8, n - 8, 4);
    if (low == HEX_SHORT)
        return last;
    if (low >= 0xdc00 && low <= 0xdfff)
        atom_utf8(a, 12, 0x10000 + ((high - 0xd800) << 10) + ((unsigned)low - 0xdc00));
    return true;
}

/* RFC 8259 section 7. A backslash that starts no escape stands for itself. */
static bool atom_json(const uint8_t *p, size_t n, bool last, struct atom *a)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    int u;

    *a = (struct atom){1, 1, {'\\'}};
    if (n < 2)
        return last;
    if (p[1] != 'u') {
        at = p[1] ? strchr(from, p[1]) : NULL;
        if (at)
            *a = (struct atom){2, 1, {(uint8_t)to[at - from]}};
        return true;
    }
    u = hex_run(p + 2, n - 2, 4);
    if (u == HEX_SHORT)
        return last;
    if (u == HEX_BAD)
        return true;
    if (u >= 0xd800 && u <= 0xdbff)
        return atom_pair(p, n, last, a, (unsigned)u);
    atom_utf8(a, 6, u >= 0xdc00 && u <= 0xdfff ? 0xfffd : (uint32_t)u);
    return true;
}

static bool atom_form(const uint8_t *p, size_t n, bool last, struct atom *a)
{
    int u;

    *a = (struct atom){1, 1, {p[0] == '+' ? ' ' : p[0]}};
    if (p[0] != '%')
        return true;
    u = hex_run(p + 1, n - 1, 2);
    if (u == HEX_SHORT)
        return last;
    if (u >= 0)
        *a = (struct atom){3, 1, {(uint8_t)u}};
    return true;
}

bool atom_at(enum match_syntax syntax, const uint8_t *p, size_t n, bool last, struct atom *a)
{
    if (syntax == MATCH_JSON && p[0] == '\\')
        return atom_json(p, n, last, a);
    if (syntax == MATCH_FORM)
        return atom_form(p, n, last, a);
    *a = (struct atom){1, 1, {p[0]}};
    return true;
}

static const uint8_t *find_form(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i percent = _mm_set1_epi8('%'), plus = _mm_set1_epi8('+');

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)p);
        int hit =
            _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, percent), _mm_cmpeq_epi8(x, plus)));
        if (hit)
            return p + __builtin_ctz((unsigned)hit);
    }
#endif
    while (p < end && *p != '%' && *p != '+')
        p++;
    return p;
}

/* The next byte that may start an escape; `end` if there is none. */
static const uint8_t *find_escape(enum match_syntax syntax, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at;

    if (syntax == MATCH_FORM)
        return find_form(p, end);
    at = syntax == MATCH_JSON ? memchr(p, '\\', (size_t)(end - p)) : NULL;
    return at ? at : end;
}

static void view_add(struct view *v, struct view_room *room, uint32_t raw, const struct atom *a)
{
    if (a->raw_n != a->n)
        room->esc[v->escapes++] = (struct escape){(uint16_t)v->n, (uint16_t)raw, a->n, a->raw_n};
    memcpy(room->text + v->n, a->byte, a->n);
    v->n += a->n;
}

void view_build(struct view *v, enum match_syntax syntax, const uint8_t *raw, uint32_t n, bool last,
                struct view_room *room)
{
    const uint8_t *p = raw, *end = raw + n, *at = find_escape(syntax, p, end);
    struct atom a;

    *v = (struct view){
        .t = raw, .n = n, .raw_n = n, .last = last, .esc = room->esc, .hint = &room->hint};
    room->hint = 0;
    if (at == end)
        return;
    v->t = room->text;
    v->n = 0;
    for (;; at = find_escape(syntax, p, end)) {
        memcpy(room->text + v->n, p, (size_t)(at - p));
        v->n += (uint32_t)(at - p);
        p = at;
        if (p == end || !atom_at(syntax, p, (size_t)(end - p), last, &a))
            break;
        view_add(v, room, (uint32_t)(p - raw), &a);
        p += a.raw_n;
    }
    v->raw_n = (uint32_t)(p - raw);
}

/* The last escape that starts at or before decoded byte `i`, NULL if none. */
static const struct escape *escape_before(const struct view *v, uint32_t i)
{
    uint32_t lo = 0, hi = v->escapes;

    if (*v->hint < hi && v->esc[*v->hint].at <= i) {
        lo = *v->hint + 1;
        if (lo == hi || v->esc[lo].at > i)
            hi = lo;
    }
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (v->esc[mid].at <= i)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    *v->hint = lo - 1;
    return &v->esc[lo - 1];
}

uint32_t view_raw(const struct view *v, uint32_t i)
{
    const struct escape *e = escape_before(v, i);

    if (!e)
        return i;
    if (i < (uint32_t)e->at + e->n)
        return e->raw;
    return (uint32_t)e->raw + e->raw_n + (i - e->at - e->n);
}

uint32_t view_atom(const struct view *v, uint32_t i)
{
    const struct escape *e = escape_before(v, i);

    return e && i < (uint32_t)e->at + e->n ? e->at : i;
}

uint32_t view_plain(const struct view *v, uint32_t i)
{
    const struct escape *e = escape_before(v, i);
    const struct escape *next = e ? e + 1 : v->esc;

    if (e && i < (uint32_t)e->at + e->n)
        return i;
    return next < v->esc + v->escapes ? next->at : v->n;
}
