/* What the parts of the HTTP library share with each other and with nobody else. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "http/http.h"

/* Character classes (RFC 9110 5.6.2, RFC 3986 2 and 3.3). */
enum {
    HTTP_C_TOKEN = 1,      /* tchar */
    HTTP_C_UNRESERVED = 4, /* needs no escape anywhere */
    HTTP_C_PATH = 8,       /* stands for itself in a path; "/" too, but not "%" and not ";" */
    HTTP_C_QUERY = 16,     /* stands for itself in a query, as clients send it; not "%" */
    HTTP_C_HOST = 32,      /* of a registered name: letters, digits, "-", "_" */
};
extern const unsigned char http_class[256];

static inline bool http_is(char c, unsigned classes)
{
    return (http_class[(unsigned char)c] & classes) != 0;
}

/* One hex digit's value, -1 if it is none. */
static inline int http_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Tab, space and above, without DEL: what a field value or a reason phrase may hold. */
static inline bool http_is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/* The first byte in [p, end) that is no text; `end` if there is none. */
const char *http_text_end(const char *p, const char *end);

enum http_field_id http_field_id_of(struct span name);

/* A head being parsed. What fields came is kept by id, so that their meaning can be settled after
 * the last one without another search. `first` is defined for ids in `seen` only. */
struct http_parse {
    struct http_head *h;
    struct span authority; /* of an absolute-form target */
    uint64_t seen, repeated;
    unsigned char first[HTTP_FIELD_COUNT];
};
_Static_assert(HTTP_FIELD_COUNT <= 64, "one bit a field id");
_Static_assert(HTTP_FIELDS_MAX <= 256, "a field's place fits a byte");

#define HTTP_BIT(id) ((uint64_t)1 << HTTP_F_##id)

static inline const struct http_field *http_parsed(const struct http_parse *ps,
                                                   enum http_field_id id)
{
    return ps->seen >> id & 1 ? &ps->h->fields[ps->first[id]] : NULL;
}

/* The parts, in the order in which they run. Each returns HTTP_ERR_NONE or the cause. */
enum http_error http_parse_target(struct http_parse *ps, struct span target);
enum http_error http_parse_fields(struct http_parse *ps, const char *p, const char *end);
enum http_error http_parse_host(struct span value, struct span *host, uint16_t *port);
enum http_error http_settle_connection(struct http_parse *ps);
enum http_error http_settle_request(struct http_parse *ps);
enum http_error http_settle_response(struct http_parse *ps, bool to_head);

#endif
