/* JSON strings and UTF-8: finding the end of one, and taking the escapes out (RFC 8259 7, 8). */
#include "body_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

int body_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `p`, or -1. */
static int hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = body_hex_value(p[i]);
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* RFC 3629 4: the leading byte tells the length, and narrows what may come second. */
size_t body_utf8_len(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned char c = u[0];
    size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    unsigned char least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

    if (n == 0 || (size_t)(end - p) < n || u[1] < least || u[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool body_utf8_valid(struct span s)
{
    const char *p = s.p, *end = p + s.n;

    while (p < end) {
        size_t n = (unsigned char)*p < 0x80 ? 1 : body_utf8_len(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

/* The first byte that does not simply stand for itself: a quote, a backslash, a control character,
 * or one that is not ASCII. */
static const char *plain_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'),
                  space = _mm_set1_epi8(' ');

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: bytes from 0x80 on are less than a space, too. */
        __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash));
        unsigned at = (unsigned)_mm_movemask_epi8(_mm_or_si128(odd, _mm_cmplt_epi8(x, space)));

        if (at)
            return p + __builtin_ctz(at);
    }
#endif
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

/* The length of the escape at `p`, 0 if it is none. Surrogates are looked at only when the string
 * is wanted: the grammar does not forbid lone ones. */
static size_t escape_len(const char *p, const char *end)
{
    if (end - p < 2)
        return 0;
    if (p[1] == 'u')
        return hex4(p + 2, end) < 0 ? 0 : 6;
    return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
}

const char *body_string_end(const char *p, const char *end, bool *escaped)
{
    for (;;) {
        size_t n = 0;

        p = plain_end(p, end);
        if (p == end || *p == '"')
            return p;
        if (*p == '\\') {
            n = escape_len(p, end);
            *escaped = true;
        } else if ((unsigned char)*p >= 0x80) {
            n = body_utf8_len(p, end);
        }
        if (n == 0)
            return p;
        p += n;
        while (p < end && (unsigned char)*p >= 0x80 && (n = body_utf8_len(p, end)) != 0)
            p += n;
    }
}

static size_t put_utf8(char *out, int cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

/* The character of "\uXXXX" or of a surrogate pair at `p`; -1 for a lone surrogate. */
static int unicode_escape(const char **at, const char *end)
{
    const char *p = *at;
    int high = hex4(p + 2, end), low;

    *at = p + 6;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return -1;
    low = hex4(p + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *at = p + 12;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static char short_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

bool body_unescape(struct span s, char *out, size_t *n)
{
    const char *p = s.p, *end = p + s.n;
    char *to = out;

    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((escape ? escape : end) - p);
        int cp;

        memcpy(to, p, run);
        to += run;
        p += run;
        if (p == end)
            break;
        if (p[1] != 'u') {
            *to++ = short_escape(p[1]);
            p += 2;
            continue;
        }
        cp = unicode_escape(&p, end);
        if (cp < 0)
            return false;
        to += put_utf8(to, cp);
    }
    *n = (size_t)(to - out);
    return true;
}
