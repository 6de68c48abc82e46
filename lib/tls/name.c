#include "tls_internal.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* RFC 952/1123 letters, digits, hyphen inside; underscore too, which names of services carry. */
static bool label_ok(struct span l)
{
    if (l.n == 0 || l.n > 63 || l.p[0] == '-' || l.p[l.n - 1] == '-')
        return false;
    for (size_t i = 0; i < l.n; i++)
        if (!is_alnum(l.p[i]) && l.p[i] != '-' && l.p[i] != '_')
            return false;
    return true;
}

/* Resolvers and URL parsers read a name whose last label is a number, decimal or 0x..., as IPv4. */
static bool label_is_number(struct span l)
{
    bool hex = l.n >= 2 && l.p[0] == '0' && l.p[1] == 'x';

    for (size_t i = hex ? 2 : 0; i < l.n; i++) {
        bool digit = l.p[i] >= '0' && l.p[i] <= '9';
        if (!digit && !(hex && l.p[i] >= 'a' && l.p[i] <= 'f'))
            return false;
    }
    return true;
}

static bool labels_ok(struct span name)
{
    struct span last;

    do {
        last = span_cut(&name, '.');
        if (!label_ok(last))
            return false;
    } while (name.p);
    return !label_is_number(last);
}

bool tls_name_read(struct span in, char out[TLS_NAME_MAX + 1])
{
    out[0] = '\0';
    if (in.n == 0 || in.n > TLS_NAME_MAX)
        return false;
    for (size_t i = 0; i < in.n; i++)
        out[i] = ascii_lower(in.p[i]);
    out[in.n] = '\0';
    if (labels_ok(span_of(out, in.n)))
        return true;
    out[0] = '\0';
    return false;
}
