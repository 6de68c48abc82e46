#include "model.h"

#include <ctype.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>

/* Decoded text; every byte knows the raw atom that it came from. */
struct text {
    unsigned char *c;
    size_t *raw, *raw_n;
    size_t n;
};

struct work {
    const struct model *m;
    enum match_syntax syntax;
    unsigned char *buf;
    size_t n;
    struct text t;
    unsigned char *plan; /* by raw byte: 1 mask, 2 one, 4 star */
    struct model_found *found;
};

static void text_add(struct text *t, unsigned c, size_t raw, size_t raw_n)
{
    t->c[t->n] = (unsigned char)c;
    t->raw[t->n] = raw;
    t->raw_n[t->n++] = raw_n;
}

static int hex_at(const unsigned char *p, size_t n, size_t at, unsigned digits)
{
    char s[8] = "";

    if (n < digits || at > n - digits)
        return -1;
    memcpy(s, p + at, digits);
    for (unsigned i = 0; i < digits; i++)
        if (!isxdigit((unsigned char)s[i]))
            return -1;
    return (int)strtol(s, NULL, 16);
}

static void text_utf8(struct text *t, unsigned cp, size_t raw, size_t raw_n)
{
    if (cp < 0x80) {
        text_add(t, cp, raw, raw_n);
    } else if (cp < 0x800) {
        text_add(t, 0xc0 | cp >> 6, raw, raw_n);
        text_add(t, 0x80 | (cp & 63), raw, raw_n);
    } else if (cp < 0x10000) {
        text_add(t, 0xe0 | cp >> 12, raw, raw_n);
        text_add(t, 0x80 | (cp >> 6 & 63), raw, raw_n);
        text_add(t, 0x80 | (cp & 63), raw, raw_n);
    } else {
        text_add(t, 0xf0 | cp >> 18, raw, raw_n);
        text_add(t, 0x80 | (cp >> 12 & 63), raw, raw_n);
        text_add(t, 0x80 | (cp >> 6 & 63), raw, raw_n);
        text_add(t, 0x80 | (cp & 63), raw, raw_n);
    }
}

static size_t json_escape(struct text *t, const unsigned char *p, size_t n, size_t i)
{
    static const char *const two[] = {"\"\"", "\\\\", "//", "b\b", "f\f", "n\n", "r\r", "t\t"};
    int u, low;

    for (unsigned k = 0; k < 8; k++)
        if (i + 1 < n && p[i + 1] == two[k][0]) {
            text_add(t, (unsigned char)two[k][1], i, 2);
            return 2;
        }
    if (i + 1 < n && p[i + 1] == 'u' && (u = hex_at(p, n, i + 2, 4)) >= 0) {
        if (u < 0xd800 || u > 0xdfff) {
            text_utf8(t, (unsigned)u, i, 6);
            return 6;
        }
        if (u < 0xdc00 && i + 7 < n && p[i + 6] == '\\' && p[i + 7] == 'u' &&
            (low = hex_at(p, n, i + 8, 4)) >= 0xdc00 && low <= 0xdfff) {
            text_utf8(t, 0x10000u + (unsigned)(u - 0xd800) * 1024 + (unsigned)(low - 0xdc00), i,
                      12);
            return 12;
        }
        text_utf8(t, 0xfffd, i, 6);
        return 6;
    }
    text_add(t, '\\', i, 1);
    return 1;
}

static void decode(struct text *t, enum match_syntax syntax, const unsigned char *p, size_t n)
{
    *t = (struct text){calloc(n + 1, 1), calloc(n + 1, sizeof(size_t)),
                       calloc(n + 1, sizeof(size_t)), 0};
    for (size_t i = 0; i < n;) {
        int x = syntax == MATCH_FORM && p[i] == '%' ? hex_at(p, n, i + 1, 2) : -1;
        if (syntax == MATCH_JSON && p[i] == '\\') {
            i += json_escape(t, p, n, i);
        } else if (x >= 0) {
            text_add(t, (unsigned)x, i, 3);
            i += 3;
        } else {
            text_add(t, syntax == MATCH_FORM && p[i] == '+' ? ' ' : p[i], i, 1);
            i++;
        }
    }
}

/* ---------------------------------------------------------------- planning */

static bool part_of(const char *word, const unsigned char *t, size_t n)
{
    for (size_t at = 0; at + n <= strlen(word); at++)
        if (memcmp(word + at, t, n) == 0)
            return true;
    return false;
}

static bool json_legal(const unsigned char *t, size_t n)
{
    for (size_t i = 0, e; i < n; i = e) {
        for (e = i; e < n && isalpha(t[e]); e++)
            ;
        if (e == i) {
            if (!t[i] || !strchr("0123456789+-.{}[]:, \t\r\n", t[i]))
                return false;
            e++;
        } else if (!part_of("true", t + i, e - i) && !part_of("false", t + i, e - i) &&
                   !part_of("null", t + i, e - i) && !part_of("E", t + i, e - i)) {
            return false;
        }
    }
    return true;
}

static unsigned bits_for(const struct work *w, size_t from, size_t to)
{
    const unsigned char *t = w->t.c + from;

    if (w->syntax == MATCH_JSON && !memchr(t, '"', to - from) && !json_legal(t, to - from))
        return 5;
    return 1;
}

static void mark(struct work *w, size_t from, size_t to, unsigned bits)
{
    const unsigned char *t = w->t.c;

    if (w->syntax == MATCH_JSON) { /* whole UTF-8 characters */
        while (from < to && (t[from] & 0xc0) == 0x80)
            from++;
        for (size_t back = 1; back <= 3 && to - from >= back; back++) {
            unsigned char c = t[to - back];
            if (c >= 0xc0) {
                if (back < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u))
                    to -= back;
                break;
            }
            if (c < 0x80)
                break;
        }
    }
    for (size_t i = from; i < to; i++)
        for (size_t k = 0; k < w->t.raw_n[i]; k++)
            w->plan[w->t.raw[i] + k] |= (unsigned char)bits;
}

static bool luhn(const char *d, size_t n)
{
    int sum = 0;

    for (size_t i = 0; i < n; i++) {
        int v = d[i] - '0';
        if ((n - i) % 2 == 0)
            v = v * 2 / 10 + v * 2 % 10;
        sum += v;
    }
    return sum % 10 == 0;
}

bool model_card(const char *digits, size_t n)
{
    static const struct {
        const char *from, *to, *lengths;
    } brand[] = {
        {"4", "4", "13 16 19"},
        {"51", "55", "16"},
        {"2221", "2720", "16"},
        {"34", "34", "15"},
        {"37", "37", "15"},
        {"6011", "6011", "16 17 18 19"},
        {"644", "649", "16 17 18 19"},
        {"65", "65", "16 17 18 19"},
        {"300", "305", "14 15 16 17 18 19"},
        {"3095", "3095", "14 15 16 17 18 19"},
        {"36", "36", "14 15 16 17 18 19"},
        {"38", "39", "14 15 16 17 18 19"},
        {"3528", "3589", "16 17 18 19"},
        {"62", "62", "16 17 18 19"},
        {"81", "81", "16 17 18 19"},
        {"50", "50", "13 14 15 16 17 18 19"},
        {"56", "58", "13 14 15 16 17 18 19"},
        {"6", "6", "13 14 15 16 17 18 19"},
        {"2200", "2204", "16 17 18 19"},
        {"82", "82", "16"},
        {"9792", "9792", "16"},
    };
    char len[4];

    snprintf(len, sizeof(len), "%zu", n);
    for (size_t i = 0; i < sizeof(brand) / sizeof(*brand); i++) {
        size_t k = strlen(brand[i].from);
        if (n >= 13 && memcmp(digits, brand[i].from, k) >= 0 &&
            memcmp(digits, brand[i].to, k) <= 0 && strstr(brand[i].lengths, len))
            return luhn(digits, n);
    }
    return false;
}

/* Whether [from, to) is written as a card; its digits to `d`. */
static size_t card_shape(const struct work *w, size_t from, size_t to, char d[40])
{
    const unsigned char *t = w->t.c;
    size_t n = 0;

    if (!isdigit(t[from]) || !isdigit(t[to - 1]))
        return 0;
    if ((from && isdigit(t[from - 1])) || (to < w->t.n && isdigit(t[to])))
        return 0;
    if (from > 1 && t[from - 1] == '.' && isdigit(t[from - 2]))
        return 0;
    for (size_t i = from; i < to; i++) {
        if (isdigit(t[i]))
            d[n++] = (char)t[i];
        else if ((t[i] != ' ' && t[i] != '-') || !isdigit(t[i + 1]))
            return 0;
    }
    return n;
}

static void mask_card(struct work *w, size_t from, size_t to, const char *d, size_t n)
{
    size_t lo = w->m->card == MATCH_KEEP_BIN_LAST4 ? 6 : 0, at = 0;
    size_t hi = w->m->card == MATCH_KEEP_NONE ? n : n - 4;
    char zero[40];

    memcpy(zero, d, n);
    memset(zero + 6, '0', n - 10);
    for (size_t i = from; i < to; i++) {
        if (!isdigit(w->t.c[i]))
            continue;
        if (at >= lo && at < hi)
            mark(w, i, i + 1, lo && at == lo && luhn(zero, n) ? 3 : 1);
        at++;
    }
    w->found->cards++;
}

static void cards(struct work *w)
{
    char d[40];

    for (size_t i = 0; i < w->t.n; i++)
        for (size_t len = 37; len >= 13; len--) {
            size_t n = i + len <= w->t.n ? card_shape(w, i, i + len, d) : 0;
            if (n >= 13 && n <= 19 && model_card(d, n)) {
                mask_card(w, i, i + len, d, n);
                i += len - 1;
                break;
            }
        }
}

static bool domain_shape(const unsigned char *d, size_t n)
{
    size_t labels = 0;

    for (size_t i = 0, e; i <= n; i = e + 1, labels++) {
        for (e = i; e < n && d[e] != '.'; e++)
            if (!isalnum(d[e]) && d[e] != '-')
                return false;
        if (e == i || e - i > 63 || d[i] == '-' || d[e - 1] == '-')
            return false;
        if (e == n) {
            for (size_t k = i; k < e; k++)
                if (!isalpha(d[k]))
                    return false;
            return labels > 0 && e - i >= 2;
        }
    }
    return false;
}

static void mails(struct work *w)
{
    const struct text *t = &w->t;

    for (size_t at = 0; at < t->n; at++) {
        size_t from = at, to = at + 1;
        bool alnum = false;
        if (t->c[at] != '@')
            continue;
        while (from && at - from < 64 &&
               (isalnum(t->c[from - 1]) || (t->c[from - 1] && strchr("._%+-", t->c[from - 1]))))
            alnum |= isalnum(t->c[--from]) != 0;
        while (from < at && t->c[from] == '.')
            from++;
        if (!alnum)
            continue;
        for (size_t e = at + 2; e <= t->n && e - at - 1 <= 253; e++)
            if (t->raw[e - 1] < t->raw[at + 1] + 600 && (e == t->n || !isalnum(t->c[e])) &&
                domain_shape(t->c + at + 1, e - at - 1))
                to = e;
        if (to == at + 1)
            continue;
        mark(w, from, w->m->mail == MATCH_KEEP_NONE ? to : to - 4, bits_for(w, from, to));
        w->found->mails++;
    }
}

static size_t base64(struct span s, unsigned ahead, const char *last2, char *out)
{
    unsigned char in[512] = {0};
    size_t bits = (ahead + s.n) * 8, k = 0;
    char abc[65];

    snprintf(abc, sizeof(abc), "%s%s",
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", last2);
    memcpy(in + ahead, s.p, s.n);
    for (size_t b = 0; b + 6 <= bits; b += 6) {
        unsigned v = 0;
        for (size_t i = b; i < b + 6; i++)
            v = v * 2 + (in[i / 8] >> (7 - i % 8) & 1u);
        if (b >= ahead * 8) /* no bit of what stands before */
            out[k++] = abc[v];
    }
    return k;
}

unsigned model_forms(struct span s, struct span form[16])
{
    unsigned k = 0;
    char *p;

    form[k++] = span_of(strndup(s.p, s.n), s.n);
    for (unsigned i = 0; i < 6; i++) {
        p = calloc(2, s.n + 8);
        form[k].n = base64(s, i % 3, i < 3 ? "+/" : "-_", p);
        form[k++].p = p;
    }
    for (unsigned i = 0; i < 4; i++) {
        size_t n = 0;
        p = calloc(3, s.n + 8);
        for (size_t j = 0; j < s.n; j++) {
            unsigned char c = (unsigned char)s.p[j];
            if (i < 2)
                n += (size_t)sprintf(p + n, i ? "%02X" : "%02x", c);
            else if (isalnum(c) || strchr("-._~", c))
                p[n++] = (char)c;
            else
                n += (size_t)sprintf(p + n, i == 2 ? "%%%02X" : "%%%02x", c);
        }
        form[k++] = span_of(p, n);
    }
    return k;
}

static void secret_form(struct work *w, const unsigned char *p, size_t n)
{
    if (n < 8)
        return;
    for (size_t part = n > 128 ? 128 : n, at = 0;;) {
        for (size_t i = 0; i + part <= w->t.n; i++)
            if (memcmp(w->t.c + i, p + at, part) == 0)
                mark(w, i, i + part, bits_for(w, i, i + part));
        if (at + part >= n)
            break;
        at = at + 2 * part <= n ? at + part : n - part;
    }
}

static void secrets(struct work *w)
{
    for (unsigned i = 0; i < w->m->secrets; i++) {
        struct span form[16];
        unsigned n = model_forms(w->m->secret[i], form);
        for (unsigned k = 0; k < n; k++) {
            secret_form(w, (const unsigned char *)form[k].p, form[k].n);
            for (int x = MATCH_JSON; x <= MATCH_FORM && k < 7; x++) {
                struct text t;
                decode(&t, (enum match_syntax)x, (const unsigned char *)form[k].p, form[k].n);
                secret_form(w, t.c, t.n);
                free(t.c);
                free(t.raw);
                free(t.raw_n);
            }
            free((char *)(uintptr_t)form[k].p);
        }
    }
}

struct pattern_work {
    struct work *w;
    bool luhn;
};

static int pattern_match(unsigned id, unsigned long long from, unsigned long long to,
                         unsigned flags, void *arg)
{
    const struct pattern_work *p = arg;
    struct work *w = p->w;
    size_t n = to - from, keep = n < 8 ? n / 2 : 4, k = 0;
    size_t end = to == w->t.n ? w->n : w->t.raw[to];
    unsigned bits = bits_for(w, from, to);
    char *d = calloc(n + 1, 1);

    (void)id;
    (void)flags;
    for (size_t i = from; i < to; i++)
        if (isdigit(w->t.c[i]))
            d[k++] = (char)w->t.c[i];
    if (!p->luhn || (k > 1 && luhn(d, k))) {
        while (end - w->t.raw[from] > 1000)
            from++;
        mark(w, from, w->m->pattern_keep == MATCH_KEEP_NONE ? to : to - keep, bits);
    }
    free(d);
    return 0;
}

/* Compiling is slow: once for every pattern. */
static struct {
    const char *text;
    hs_database_t *db;
} known[16];
static hs_scratch_t *room;

void model_done(void)
{
    for (unsigned i = 0; known[i].text; i++)
        hs_free_database(known[i].db);
    hs_free_scratch(room);
}

static hs_database_t *pattern_database(const char *text, hs_scratch_t **scratch)
{
    hs_compile_error_t *e;
    unsigned i = 0;

    while (known[i].text && strcmp(known[i].text, text) != 0)
        i++;
    if (!known[i].text) {
        known[i].text = text;
        hs_compile(text, HS_FLAG_SOM_LEFTMOST, HS_MODE_BLOCK, NULL, &known[i].db, &e);
        hs_alloc_scratch(known[i].db, &room);
    }
    *scratch = room;
    return known[i].db;
}

static void patterns(struct work *w)
{
    for (unsigned i = 0; i < w->m->patterns; i++) {
        struct pattern_work p = {w, w->m->pattern[i].luhn};
        hs_scratch_t *scratch;
        hs_database_t *db = pattern_database(w->m->pattern[i].text, &scratch);
        hs_scan(db, (const char *)w->t.c, (unsigned)w->t.n, 0, scratch, pattern_match, &p);
    }
}

/* ----------------------------------------------------------------- writing */

static void write_one(struct work *w, size_t i, bool in_string, unsigned bits)
{
    unsigned char *c = w->buf + i;

    if (*c == '\n' || *c == '\r' || (w->syntax == MATCH_JSON && *c == '"'))
        return;
    if (w->syntax == MATCH_FORM && strchr("&=?#", *c) && *c)
        return;
    if (w->syntax != MATCH_JSON || in_string || bits & 4)
        *c = '*';
    else if (isdigit(*c))
        *c = bits & 2 || i == 0 || !isdigit(w->buf[i - 1]) ? '1' : '0';
    else if (!isalpha(*c) && (!*c || !strchr("+-.{}[]:, \t\r\n", *c)))
        *c = '*';
}

static void write_all(struct work *w)
{
    bool in_string = false;
    size_t raw_n;

    for (size_t i = 0, k = 0; k < w->t.n; i += raw_n) {
        unsigned bits = w->plan[i];
        raw_n = w->t.raw_n[k];
        bool quote = raw_n == 1 && w->buf[i] == '"', lf = w->buf[i] == '\n';
        while (k < w->t.n && w->t.raw[k] == i)
            k++;
        if (bits && raw_n == 1)
            write_one(w, i, in_string, bits);
        else if (bits)
            memcpy(w->buf + i, raw_n == 2 ? "**" : raw_n == 3 ? "%2A" : "\\u002a\\u002a", raw_n);
        in_string = lf ? false : in_string ^ quote;
    }
}

void model_mask(const struct model *m, enum match_syntax syntax, char *buf, size_t n,
                struct model_found *found)
{
    struct work w = {m, syntax, (unsigned char *)buf, n, {0}, calloc(n + 1, 1), found};

    *found = (struct model_found){0};
    decode(&w.t, syntax, w.buf, n);
    secrets(&w);
    for (size_t i = 0; i < n; i++)
        found->secret_bytes += w.plan[i] != 0;
    if (m->card != MODEL_NONE)
        cards(&w);
    if (m->mail != MODEL_NONE)
        mails(&w);
    patterns(&w);
    write_all(&w);
    free(w.plan);
    free(w.t.c);
    free(w.t.raw);
    free(w.t.raw_n);
}
