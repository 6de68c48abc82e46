#include "identity_internal.h"

static int digit(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

/* Padding must be what the length calls for (RFC 4648 section 4). */
static bool strip_padding(struct span *s)
{
    if (s->n % 4)
        return false;
    for (unsigned i = 0; i < 2 && s->n && s->p[s->n - 1] == '='; i++)
        s->n--;
    return true;
}

bool base64_decode(struct span s, bool url, char *to, size_t *n)
{
    uint32_t bits = 0;
    unsigned have = 0;

    *n = 0;
    if (!url && !strip_padding(&s))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int v = digit(s.p[i], url);

        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[(*n)++] = (char)(bits >> have & 0xff);
        }
    }
    /* A lone digit says less than a byte; bits left over would let one text have two spellings. */
    return s.n % 4 != 1 && (bits & ((1u << have) - 1)) == 0;
}
