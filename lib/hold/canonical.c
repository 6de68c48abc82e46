/* Canonical forms for digests. What runs must be what was approved, so only what cannot change a
 * call's meaning is levelled out: white space, the order of members, how a string is escaped.
 * Numbers stay as they are written: RFC 8785 would round them to doubles, and an approval for
 * 9007199254740993 must not run 9007199254740992. */
#include <stdlib.h>

#include "hold/hold_internal.h"

bool hold_feed(EVP_MD_CTX *md, const void *p, size_t n)
{
    uint8_t length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
    return EVP_DigestUpdate(md, length, sizeof(length)) == 1 &&
           (n == 0 || EVP_DigestUpdate(md, p, n) == 1);
}

bool hold_feed_span(EVP_MD_CTX *md, struct span s)
{
    return hold_feed(md, s.p, s.n);
}

/* --------------------------------------------------------------------- strings */

static unsigned hex4(const char *p)
{
    unsigned v = 0;

    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];

        v = v * 16 + (c <= '9' ? c - 48u : (c | 0x20u) - 87u); /* '0', and 'a' - 10 */
    }
    return v;
}

static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* One escape at s.p[0] == '\\'; returns how many raw bytes it took. A lone surrogate is kept as its
 * three bytes: it only has to differ from everything else. */
static size_t unescape_one(struct span s, char *to, size_t *put)
{
    static const char from[] = "bfnrt", what[] = "\b\f\n\r\t";
    const char *at;
    unsigned c;

    if (s.n < 6 || s.p[1] != 'u') {
        at = s.n > 1 ? memchr(from, s.p[1], 5) : NULL;
        to[0] = at ? what[at - from] : s.n > 1 ? s.p[1] : '\\';
        *put = 1;
        return s.n > 1 ? 2 : 1;
    }
    c = hex4(s.p + 2);
    if (c >= 0xd800 && c < 0xdc00 && s.n >= 12 && s.p[6] == '\\' && s.p[7] == 'u') {
        unsigned low = hex4(s.p + 8);

        if (low >= 0xdc00 && low < 0xe000) {
            *put = put_utf8(to, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
            return 12;
        }
    }
    *put = put_utf8(to, c);
    return 6;
}

/* The text of a string between its quotes; malloc'd, never longer than the raw text. */
static char *unescape(struct span raw, size_t *n)
{
    char *out = malloc(raw.n + 1);
    size_t k = 0;

    if (!out)
        return NULL;
    while (raw.n) {
        size_t took = 1, put = 1;

        if (raw.p[0] == '\\')
            took = unescape_one(raw, out + k, &put);
        else
            out[k] = raw.p[0];
        k += put;
        raw = span_from(raw, took);
    }
    *n = k;
    return out;
}

/* ------------------------------------------------------------------------ JSON */

struct member {
    char *key; /* unescaped, malloc'd; NULL in arrays */
    size_t key_n, order;
    struct span value;
};

struct members {
    struct member *m;
    size_t n, room;
};

static void members_free(struct members *v)
{
    for (size_t i = 0; i < v->n; i++)
        free(v->m[i].key);
    free(v->m);
}

static struct member *members_add(struct members *v)
{
    if (v->n == v->room) {
        size_t room = v->room ? v->room * 2 : 16;
        struct member *m = realloc(v->m, room * sizeof(*m));

        if (!m)
            return NULL;
        v->m = m;
        v->room = room;
    }
    v->m[v->n] = (struct member){.order = v->n};
    return &v->m[v->n++];
}

static void skip_space(struct span *s)
{
    while (s->n && memchr(" \t\r\n", s->p[0], 4))
        *s = span_from(*s, 1);
}

/* Takes a string; returns what stands between its quotes. */
static struct span take_string(struct span *s)
{
    size_t i = 1;
    struct span raw;

    while (i < s->n && s->p[i] != '"')
        i += s->p[i] == '\\' ? 2 : 1;
    if (i > s->n)
        i = s->n;
    raw = span_of(s->p + 1, i - 1);
    *s = span_from(*s, i + 1);
    return raw;
}

/* Takes one value, whatever it is, by counting brackets outside strings. */
static struct span take_value(struct span *s)
{
    struct span start;
    size_t depth = 0;

    skip_space(s);
    start = *s;
    do {
        char c = s->n ? s->p[0] : 0;

        if (c == 0)
            break;
        if (c == '"') {
            take_string(s);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        *s = span_from(*s, 1);
        /* A number or a literal ends before what cannot be part of it. */
        if (depth == 0 && c != '}' && c != ']')
            while (s->n && !memchr(",]} \t\r\n", s->p[0], 7))
                *s = span_from(*s, 1);
    } while (depth);
    return span_of(start.p, start.n - s->n);
}

static bool collect(struct span in, bool object, struct members *out)
{
    in = span_from(in, 1);
    skip_space(&in);
    while (in.n && in.p[0] != '}' && in.p[0] != ']') {
        struct member *m = members_add(out);

        if (!m)
            return false;
        if (object) {
            m->key = unescape(take_string(&in), &m->key_n);
            if (!m->key)
                return false;
            skip_space(&in);
            in = span_from(in, 1); /* the colon */
        }
        m->value = take_value(&in);
        skip_space(&in);
        if (in.n && in.p[0] == ',')
            in = span_from(in, 1);
        skip_space(&in);
    }
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int c = span_cmp(span_of(x->key, x->key_n), span_of(y->key, y->key_n));

    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static bool feed_string(EVP_MD_CTX *md, struct span value)
{
    struct span s = value;
    size_t n;
    char *text = unescape(take_string(&s), &n);
    bool ok = text && EVP_DigestUpdate(md, "S", 1) == 1 && hold_feed(md, text, n);

    free(text);
    return ok;
}

/* Depth is bounded by BODY_DEPTH_MAX: body_read has accepted the document. */
static bool feed_value(EVP_MD_CTX *md, struct span v);

static bool feed_members(EVP_MD_CTX *md, struct span v, bool object)
{
    struct members all = {0};
    bool ok = collect(v, object, &all);

    if (ok && object && all.n)
        qsort(all.m, all.n, sizeof(*all.m), by_key);
    ok = ok && EVP_DigestUpdate(md, object ? "O" : "A", 1) == 1 && hold_feed(md, NULL, 0);
    for (size_t i = 0; ok && i < all.n; i++) {
        if (object)
            ok = hold_feed(md, all.m[i].key, all.m[i].key_n);
        ok = ok && feed_value(md, all.m[i].value);
    }
    ok = ok && EVP_DigestUpdate(md, "E", 1) == 1;
    members_free(&all);
    return ok;
}

static bool feed_value(EVP_MD_CTX *md, struct span v)
{
    skip_space(&v);
    if (v.n == 0)
        return true;
    switch (v.p[0]) {
    case '{':
        return feed_members(md, v, true);
    case '[':
        return feed_members(md, v, false);
    case '"':
        return feed_string(md, v);
    default:
        return EVP_DigestUpdate(md, "L", 1) == 1 && hold_feed_span(md, v);
    }
}

bool hold_feed_json(EVP_MD_CTX *md, struct span json)
{
    return feed_value(md, take_value(&json));
}

/* ----------------------------------------------------------------------- pairs */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decode_form(struct span s, size_t *n)
{
    char *out = malloc(s.n + 1);
    size_t k = 0;

    for (size_t i = 0; out && i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 &&
            hex_digit(s.p[i + 2]) >= 0) {
            out[k++] = (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]));
            i += 2;
        } else {
            out[k++] = s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    *n = k;
    return out;
}

static size_t name_length(struct span pair)
{
    const char *equals = memchr(pair.p, '=', pair.n);

    return equals ? (size_t)(equals - pair.p) : pair.n;
}

/* `rest` starts at the "=", if there is one: `a` and `a=` are two things to some servers. */
static bool feed_pair_value(EVP_MD_CTX *md, struct span rest)
{
    size_t n;
    char *text;
    bool ok;

    if (rest.n == 0)
        return EVP_DigestUpdate(md, "N", 1) == 1;
    text = decode_form(span_from(rest, 1), &n);
    ok = text && EVP_DigestUpdate(md, "V", 1) == 1 && hold_feed(md, text, n);
    free(text);
    return ok;
}

/* Sorted by name alone: of two values of one name, servers take the first or the last. */
bool hold_feed_pairs(EVP_MD_CTX *md, struct span pairs, bool sorted)
{
    struct members all = {0};
    bool ok = true;

    while (ok && pairs.p && pairs.n) {
        struct span pair = span_cut(&pairs, '&');
        struct member *m;

        if (pair.n == 0)
            continue;
        m = members_add(&all);
        ok = m != NULL;
        if (ok) {
            m->value = span_from(pair, name_length(pair));
            m->key = decode_form(span_of(pair.p, name_length(pair)), &m->key_n);
            ok = m->key != NULL;
        }
    }
    if (ok && sorted && all.n)
        qsort(all.m, all.n, sizeof(*all.m), by_key);
    for (size_t i = 0; ok && i < all.n; i++)
        ok = hold_feed(md, all.m[i].key, all.m[i].key_n) && feed_pair_value(md, all.m[i].value);
    members_free(&all);
    return ok && EVP_DigestUpdate(md, "E", 1) == 1;
}
