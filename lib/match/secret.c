/* Credentials that must not come back: the forms they are looked for in, and where such a form may
 * be beginning at the end of a window. */
#include "match_internal.h"

#include <stdlib.h>

struct literals *literals_new(void)
{
    return locked_new(sizeof(struct literals));
}

void literals_free(struct literals *l)
{
    if (!l)
        return;
    locked_free(l->lit);
    locked_free(l->bytes);
    locked_free(l->by_end);
    locked_free(l->group);
    locked_free(l);
}

static void *locked_grow(void *p, size_t used, size_t want)
{
    void *q = locked_new(want);

    if (q && used)
        memcpy(q, p, used);
    if (q)
        locked_free(p);
    return q;
}

static bool literals_room(struct literals *l, size_t n)
{
    size_t cap = l->cap ? l->cap : 4096;
    void *p;

    while (cap - l->used < n)
        cap *= 2;
    if (cap > l->cap) {
        p = locked_grow(l->bytes, l->used, cap);
        if (!p)
            return false;
        l->bytes = p;
        l->cap = cap;
    }
    if (l->count == l->room) {
        unsigned room = l->room ? l->room * 2 : 128;
        p = locked_grow(l->lit, l->count * sizeof(*l->lit), room * sizeof(*l->lit));
        if (!p)
            return false;
        l->lit = p;
        l->room = room;
    }
    return true;
}

static void literal_add(struct literals *l, const uint8_t *p, size_t n)
{
    if (!literals_room(l, n)) {
        l->failed = true;
        return;
    }
    memcpy(l->bytes + l->used, p, n);
    l->lit[l->count++] = (struct literal){(uint32_t)l->used, (uint16_t)n};
    l->used += n;
}

/* One form of a credential. A long one is found by its parts: each is masked where it stands, so
 * the whole is. */
static void form_add(struct literals *l, const uint8_t *p, size_t n)
{
    size_t at = 0;

    if (n < SECRET_MIN)
        return; /* too short to mean anything; only decoding makes forms this short */
    for (; at + LITERAL_MAX < n; at += LITERAL_MAX)
        literal_add(l, p + at, LITERAL_MAX);
    if (at == 0)
        literal_add(l, p, n);
    else
        literal_add(l, p + n - LITERAL_MAX, LITERAL_MAX);
}

/* Text is matched after decoding, so a form that has escapes in it, or what looks like one, is
 * looked for as it reads then. */
static void form_add_decoded(struct literals *l, const uint8_t *p, size_t n, uint8_t *room)
{
    static const enum match_syntax syntax[] = {MATCH_JSON, MATCH_FORM};

    form_add(l, p, n);
    for (unsigned k = 0; k < 2; k++) {
        size_t out = 0;
        struct atom a;
        for (size_t i = 0; i < n; i += a.raw_n) {
            atom_at(syntax[k], p + i, n - i, true, &a);
            memcpy(room + out, a.byte, a.n);
            out += a.n;
        }
        if (out != n || memcmp(room, p, n) != 0)
            form_add(l, room, out);
    }
}

/* Base64 (RFC 4648) of text that has the credential somewhere in it: `ahead` bytes of the first
 * group of three belong to what stands before. Characters that other bytes have a share in are left
 * out. */
static size_t form_base64(uint8_t *out, const uint8_t *p, size_t n, unsigned ahead, bool url)
{
    static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t from = ahead ? ahead + 1 : 0, to = (ahead + n) * 8 / 6;

    for (size_t i = from; i < to; i++) {
        unsigned six = 0;
        for (size_t bit = i * 6; bit < i * 6 + 6; bit++)
            six = six << 1 | (p[bit / 8 - ahead] >> (7 - bit % 8) & 1u);
        uint8_t c = (uint8_t)std[six];
        out[i - from] = !url ? c : c == '+' ? '-' : c == '/' ? '_' : c;
    }
    return to - from;
}

static size_t form_hex(uint8_t *out, const uint8_t *p, size_t n, const char *digits)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = (uint8_t)digits[p[i] >> 4];
        out[2 * i + 1] = (uint8_t)digits[p[i] & 15];
    }
    return 2 * n;
}

/* RFC 3986 section 2.3: all but the unreserved characters escaped. */
static size_t form_percent(uint8_t *out, const uint8_t *p, size_t n, const char *digits, bool plus)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t c = p[i];
        if (is_digit(c) || is_letter(c) || (c && strchr("-._~", c))) {
            out[k++] = c;
        } else if (plus && c == ' ') {
            out[k++] = '+';
        } else {
            out[k++] = '%';
            k += form_hex(out + k, p + i, 1, digits);
        }
    }
    return k;
}

void literals_add_secret(struct literals *l, const uint8_t *p, size_t n)
{
    static const char *const hex[] = {"0123456789abcdef", "0123456789ABCDEF"};
    uint8_t *form = locked_new(6 * n), *room = form + 3 * n; /* percent form is the longest */

    if (!form) {
        l->failed = true;
        return;
    }
    form_add_decoded(l, p, n, room);
    for (unsigned k = 0; k < 6; k++) {
        size_t len = form_base64(form, p, n, k % 3, k > 2);
        form_add_decoded(l, form, len, room);
    }
    for (unsigned k = 0; k < 2; k++) {
        form_add(l, form, form_hex(form, p, n, hex[k]));
        form_add(l, form, form_percent(form, p, n, hex[k], false));
        form_add(l, form, form_percent(form, p, n, hex[k], true));
    }
    locked_free(form);
}

static int literal_order(const void *a, const void *b, void *bytes)
{
    const struct literal *x = a, *y = b;
    const char *base = bytes;

    return span_cmp(span_of(base + x->at, x->n), span_of(base + y->at, y->n));
}

static const uint8_t *literal_end(const struct literals *l, uint32_t at)
{
    return l->bytes + l->lit[at].at + l->lit[at].n - TRIGGER_BYTES;
}

static int end_order(const void *a, const void *b, void *literals)
{
    const struct literals *l = literals;
    const uint32_t *x = a, *y = b;
    int c = memcmp(literal_end(l, *x), literal_end(l, *y), TRIGGER_BYTES);

    return c ? c : (*x > *y) - (*x < *y);
}

const uint8_t *literals_trigger(const struct literals *l, unsigned k)
{
    return literal_end(l, l->by_end[l->group[k]]);
}

static bool group_by_end(struct literals *l)
{
    l->by_end = locked_new(l->count * sizeof(uint32_t));
    l->group = locked_new((l->count + 1u) * sizeof(uint32_t));
    if (!l->by_end || !l->group)
        return false;
    for (unsigned i = 0; i < l->count; i++)
        l->by_end[i] = i;
    qsort_r(l->by_end, l->count, sizeof(uint32_t), end_order, l);
    for (unsigned i = 0; i < l->count; i++)
        if (!i || memcmp(literal_end(l, l->by_end[i - 1]), literal_end(l, l->by_end[i]),
                         TRIGGER_BYTES) != 0)
            l->group[l->triggers++] = i;
    l->group[l->triggers] = l->count;
    return true;
}

static void note_start(struct literals *l, const uint8_t *p, uint32_t n)
{
    uint32_t pair = (uint32_t)p[0] << 8 | p[1];

    if (n > l->longest)
        l->longest = n;
    l->first[p[0]] = true;
    l->pair[pair / 64] |= 1ull << pair % 64;
    for (uint32_t k = 0; k + 1 < n; k++)
        l->alphabet[p[k]] = true;
}

bool literals_finish(struct literals *l)
{
    unsigned n = 0;

    if (l->failed)
        return false;
    qsort_r(l->lit, l->count, sizeof(*l->lit), literal_order, l->bytes);
    for (unsigned i = 0; i < l->count; i++)
        if (!n || literal_order(&l->lit[n - 1], &l->lit[i], l->bytes))
            l->lit[n++] = l->lit[i];
    l->count = n;
    for (unsigned i = 0; i < n; i++)
        note_start(l, l->bytes + l->lit[i].at, l->lit[i].n);
    return group_by_end(l);
}

/* Whether some literal starts with t[0..n) and is longer. */
static bool literal_begins(const struct literals *l, const uint8_t *t, uint32_t n)
{
    unsigned lo = 0, hi = l->count;
    struct span want = span_of(t, n);

    if (n == 1)
        return l->first[t[0]];
    if (!(l->pair[t[0] * 4 + t[1] / 64] >> t[1] % 64 & 1))
        return false;
    while (lo < hi) { /* the first literal that comes after t[0..n) */
        unsigned mid = (lo + hi) / 2;
        const struct literal *x = &l->lit[mid];
        if (span_cmp(span_of(l->bytes + x->at, x->n), want) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->count && l->lit[lo].n > n && memcmp(l->bytes + l->lit[lo].at, t, n) == 0;
}

uint32_t literals_tail(const struct literals *l, const uint8_t *t, uint32_t n)
{
    uint32_t i = n;

    while (i > 0 && n - i + 1 < l->longest && l->alphabet[t[i - 1]])
        i--;
    while (i < n && !literal_begins(l, t + i, n - i))
        i++;
    return i;
}

static void secret_found(struct match_stream *s, const struct view *v, uint32_t from, uint32_t end)
{
    if (s->base + from >= s->secret_next)
        s->found.secrets++;
    if (s->base + end >= s->secret_next)
        s->secret_next = s->base + end + 1; /* parts of one that stand side by side count once */
    plan_mark(s, v, from, end, plan_bits(s, v->t + from, end - from));
}

/* A literal whose start has left the window was no literal: its beginning would have been held. */
void secret_seen(struct match_stream *s, const struct view *v, unsigned trigger, uint32_t end)
{
    const struct literals *l = s->db->secrets;

    for (uint32_t i = l->group[trigger]; i < l->group[trigger + 1]; i++) {
        const struct literal *x = &l->lit[l->by_end[i]];
        if (x->n <= end && memcmp(v->t + end - x->n, l->bytes + x->at, x->n) == 0)
            secret_found(s, v, end - x->n, end);
    }
}
