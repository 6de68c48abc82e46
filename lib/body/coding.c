/* Content codings by name (RFC 9110 8.4). */
#include "body_internal.h"

static const struct {
    struct span name;
    enum body_coding coding;
} names[] = {
    {{"gzip", 4}, BODY_GZIP},       {{"x-gzip", 6}, BODY_GZIP}, /* RFC 9110 8.4.1.3: the same */
    {{"deflate", 7}, BODY_DEFLATE}, {{"br", 2}, BODY_BROTLI},   {{"zstd", 4}, BODY_ZSTD},
};

static bool add(struct span name, struct body_codings *c)
{
    if (c->n == BODY_CODINGS_MAX)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (span_ieq(name, names[i].name)) {
            c->coding[c->n++] = names[i].coding;
            return true;
        }
    return false;
}

bool body_codings_of(struct span content_encoding, struct body_codings *out)
{
    struct span rest = span_trim(content_encoding);

    out->n = 0;
    if (span_ieq(rest, SPAN_LIT("identity")))
        return true;
    while (rest.p)
        if (!add(span_trim(span_cut(&rest, ',')), out))
            return false;
    return true;
}
