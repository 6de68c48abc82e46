/* The header section: lines into fields (RFC 9112 5). */
#include "http_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HOP_FIELDS                                                                                 \
    (HTTP_BIT(CONNECTION) | HTTP_BIT(KEEP_ALIVE) | HTTP_BIT(PROXY_AUTHENTICATE) |                  \
     HTTP_BIT(PROXY_AUTHORIZATION) | HTTP_BIT(PROXY_CONNECTION) | HTTP_BIT(TE) |                   \
     HTTP_BIT(TRAILER) | HTTP_BIT(TRANSFER_ENCODING) | HTTP_BIT(UPGRADE))

#define MAX_OPTIONS 32 /* of Connection: what they name is searched for among the fields */

static const struct span known[HTTP_FIELD_COUNT] = {
#define X(name, text) [HTTP_F_##name] = {text, sizeof(text) - 1},
    HTTP_FIELD_IDS(X)
#undef X
};

#define LONGEST_NAME 19
static const unsigned char by_length[LONGEST_NAME + 1][5] = {
    [2] = {HTTP_F_TE},
    [4] = {HTTP_F_HOST, HTTP_F_DATE},
    [5] = {HTTP_F_RANGE},
    [6] = {HTTP_F_COOKIE, HTTP_F_EXPECT, HTTP_F_PREFER},
    [7] = {HTTP_F_TRAILER, HTTP_F_UPGRADE, HTTP_F_ALT_SVC, HTTP_F_REFERER},
    [8] = {HTTP_F_IF_RANGE, HTTP_F_IF_MATCH},
    [9] = {HTTP_F_X_API_KEY},
    [10] = {HTTP_F_USER_AGENT, HTTP_F_CONNECTION, HTTP_F_KEEP_ALIVE, HTTP_F_SET_COOKIE},
    [12] = {HTTP_F_CONTENT_TYPE},
    [13] = {HTTP_F_AUTHORIZATION, HTTP_F_IF_NONE_MATCH, HTTP_F_CONTENT_RANGE},
    [14] = {HTTP_F_CONTENT_LENGTH, HTTP_F_TURNPIKE_TOKEN},
    [15] = {HTTP_F_ACCEPT_ENCODING, HTTP_F_IDEMPOTENCY_KEY},
    [16] = {HTTP_F_CONTENT_ENCODING, HTTP_F_PROXY_CONNECTION},
    [17] = {HTTP_F_TRANSFER_ENCODING, HTTP_F_IF_MODIFIED_SINCE},
    [18] = {HTTP_F_PROXY_AUTHENTICATE},
    [19] = {HTTP_F_PROXY_AUTHORIZATION, HTTP_F_IF_UNMODIFIED_SINCE},
};

/* `name` is a token, so that setting bit 5 maps no other byte to a letter, a digit or "-". */
static bool same_name(const char *name, struct span lower)
{
    for (size_t i = 0; i < lower.n; i++)
        if ((name[i] | 0x20) != lower.p[i])
            return false;
    return true;
}

enum http_field_id http_field_id_of(struct span name)
{
    if (name.n > LONGEST_NAME)
        return HTTP_F_OTHER;
    for (const unsigned char *id = by_length[name.n]; *id != HTTP_F_OTHER; id++)
        if (same_name(name.p, known[*id]))
            return (enum http_field_id) * id;
    return HTTP_F_OTHER;
}

const char *http_text_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i last_ctl = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
                  del = _mm_set1_epi8(0x7f);

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, last_ctl), x);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), low), _mm_cmpeq_epi8(x, del));
        unsigned at = (unsigned)_mm_movemask_epi8(bad);

        if (at)
            return p + __builtin_ctz(at);
    }
#endif
    while (p < end && http_is_text(*p))
        p++;
    return p;
}

/* Why the line at `p`, whose token characters end at `q`, has no field name. */
static enum http_error bad_name(const char *p, const char *q, const char *end)
{
    const char *after = q;

    while (after < end && (*after == ' ' || *after == '\t'))
        after++;
    if (q > p && after > q && after < end && *after == ':')
        return HTTP_ERR_SPACE_BEFORE_COLON;
    return HTTP_ERR_BAD_FIELD_NAME;
}

static enum http_error add_field(struct http_parse *ps, struct span name, struct span value)
{
    struct http_head *h = ps->h;
    struct http_field *f;
    uint64_t bit;

    if (h->nfields == HTTP_FIELDS_MAX)
        return HTTP_ERR_TOO_MANY_FIELDS;
    f = &h->fields[h->nfields];
    f->name = name;
    f->value = value;
    f->id = http_field_id_of(name);
    bit = (uint64_t)1 << f->id;
    f->hop = (bit & HOP_FIELDS) != 0;
    if (ps->seen & bit)
        ps->repeated |= bit;
    else
        ps->first[f->id] = (unsigned char)h->nfields;
    ps->seen |= bit;
    h->nfields++;
    return HTTP_ERR_NONE;
}

/* One line from `*at` on. Each line in [*at, end) ends with CRLF, and the last one is empty: no
 * loop over tokens or text can pass the end. */
static enum http_error parse_line(struct http_parse *ps, const char **at, const char *end)
{
    const char *p = *at, *q = p, *v;

    if (*p == ' ' || *p == '\t')
        return HTTP_ERR_OBS_FOLD;
    while (http_is(*q, HTTP_C_TOKEN))
        q++;
    if (q == p || *q != ':')
        return bad_name(p, q, end);
    v = http_text_end(q + 1, end);
    if (*v != '\r')
        return HTTP_ERR_BAD_FIELD_VALUE;
    if (v[1] != '\n')
        return HTTP_ERR_BARE_CR;
    *at = v + 2;
    return add_field(ps, span_of(p, (size_t)(q - p)),
                     span_trim(span_of(q + 1, (size_t)(v - q) - 1)));
}

enum http_error http_parse_fields(struct http_parse *ps, const char *p, const char *end)
{
    while (end - p > 2) {
        enum http_error e = parse_line(ps, &p, end);
        if (e)
            return e;
    }
    return HTTP_ERR_NONE;
}

/* What Connection names is dropped before the message is sent on. Were it a field with a meaning
 * from end to end (Authorization, Content-Type, ...), a caller could have a field judged that the
 * vendor never sees: refused. */
static enum http_error nominate(struct http_parse *ps, struct span option)
{
    struct http_head *h = ps->h;
    enum http_field_id id = http_field_id_of(option);

    if (id != HTTP_F_OTHER)
        return HOP_FIELDS >> id & 1 ? HTTP_ERR_NONE : HTTP_ERR_BAD_CONNECTION;
    for (unsigned i = 0; i < h->nfields; i++)
        if (h->fields[i].id == HTTP_F_OTHER && span_ieq(h->fields[i].name, option))
            h->fields[i].hop = true;
    return HTTP_ERR_NONE;
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is(s.p[i], HTTP_C_TOKEN))
            return false;
    return s.n > 0;
}

struct options {
    unsigned count;
    bool close, keep_alive, upgrade;
};

static enum http_error connection_option(struct http_parse *ps, struct options *o, struct span s)
{
    if (!is_token(s) || ++o->count > MAX_OPTIONS)
        return HTTP_ERR_BAD_CONNECTION;
    if (span_ieq(s, SPAN_LIT("close"))) {
        o->close = true;
        return HTTP_ERR_NONE;
    }
    o->keep_alive |= span_ieq(s, SPAN_LIT("keep-alive"));
    o->upgrade |= span_ieq(s, SPAN_LIT("upgrade"));
    return nominate(ps, s);
}

/* RFC 9110 7.6.1, RFC 9112 9.3. An Upgrade field that Connection does not name has no meaning
 * (RFC 9110 7.8), nor has one in HTTP/1.0. */
enum http_error http_settle_connection(struct http_parse *ps)
{
    struct http_head *h = ps->h;
    struct options o = {0};

    for (unsigned i = 0; (ps->seen & HTTP_BIT(CONNECTION)) && i < h->nfields; i++) {
        struct span rest = h->fields[i].value;

        while (h->fields[i].id == HTTP_F_CONNECTION && rest.p) {
            struct span option = span_trim(span_cut(&rest, ','));
            enum http_error e = option.n ? connection_option(ps, &o, option) : HTTP_ERR_NONE;
            if (e)
                return e;
        }
    }
    h->keep_alive = !o.close && (h->minor >= 1 || o.keep_alive);
    h->upgrade = o.upgrade && h->minor >= 1 && (ps->seen & HTTP_BIT(UPGRADE));
    return HTTP_ERR_NONE;
}

const struct http_field *http_field(const struct http_head *h, enum http_field_id id)
{
    for (unsigned i = 0; i < h->nfields; i++)
        if (h->fields[i].id == id)
            return &h->fields[i];
    return NULL;
}

const struct http_field *http_field_named(const struct http_head *h, struct span name)
{
    for (unsigned i = 0; i < h->nfields; i++)
        if (!h->fields[i].hop && span_ieq(h->fields[i].name, name))
            return &h->fields[i];
    return NULL;
}

unsigned http_field_count(const struct http_head *h, enum http_field_id id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < h->nfields; i++)
        n += h->fields[i].id == id;
    return n;
}
