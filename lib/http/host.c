/* The authority of a request: the Host field and an absolute-form target (RFC 9110 7.2). */
#include "http_internal.h"

#define NAME_MAX_BYTES  253 /* RFC 1035 2.3.4, without the last dot */
#define LABEL_MAX_BYTES 63

/* Labels of letters, digits, "-" and "_", none empty: so no trailing dot, under which a name would
 * pass for another one. IPv4 addresses have this shape, too. */
static bool is_name(struct span s)
{
    size_t label = 0;

    if (s.n == 0 || s.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!http_is(s.p[i], HTTP_C_HOST) || ++label > LABEL_MAX_BYTES) {
            return false;
        }
    }
    return label > 0;
}

/* [RFC 5952 text]: whether it is an address is for who uses it; here nothing else may look like
 * one. */
static bool is_ipv6(struct span s)
{
    unsigned colons = 0;

    if (s.n < 4 || s.n > 47 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    for (size_t i = 1; i < s.n - 1; i++) {
        colons += s.p[i] == ':';
        if (s.p[i] != ':' && s.p[i] != '.' && http_hex(s.p[i]) < 0)
            return false;
    }
    return colons >= 2;
}

static bool parse_port(struct span s, uint16_t *port)
{
    uint64_t v;

    if (s.n > 5 || !span_u64(s, &v) || v == 0 || v > 65535 || s.p[0] == '0')
        return false;
    *port = (uint16_t)v;
    return true;
}

enum http_error http_parse_host(struct span value, struct span *host, uint16_t *port)
{
    const char *colon = value.n ? memrchr(value.p, ':', value.n) : NULL;
    struct span name = value;

    *port = 0;
    if (colon && value.p[value.n - 1] != ']') {
        name.n = (size_t)(colon - value.p);
        if (!parse_port(span_from(value, name.n + 1), port))
            return HTTP_ERR_BAD_HOST;
    }
    if (!is_name(name) && !is_ipv6(name))
        return HTTP_ERR_BAD_HOST;
    *host = name;
    return HTTP_ERR_NONE;
}
