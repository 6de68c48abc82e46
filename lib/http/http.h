/* HTTP messages and the HTTP/1.1 codec (RFC 9110, 9112): strict, one meaning a message or none.
 * Pure functions over bytes of the caller's: no allocation, no I/O, no clock. Spans in a parsed
 * message point into the buffer it was parsed from, or into its own scratch (the normalised
 * target), and live as long as those. One message, one thread. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/base.h"

#define HTTP_HEAD_MAX         ((size_t)64 << 10) /* header section, request line apart */
#define HTTP_REQUEST_LINE_MAX ((size_t)16 << 10)
#define HTTP_FIELDS_MAX       128
#define HTTP_CHUNK_EXT_MAX    256 /* bytes of extensions a chunk; they are dropped */
#define HTTP_TRAILER_MAX      ((size_t)8 << 10)

/* Why a message is refused. The name (http_error_name) is the stable cause in answers, records and
 * counters; http_error_text says it to a person. */
#define HTTP_ERRORS(X)                                                                             \
    X(NONE, "")                                                                                    \
    X(BAD_START_LINE, "the start line is malformed")                                               \
    X(BAD_METHOD, "the method is not made of upper-case letters")                                  \
    X(BAD_VERSION, "the HTTP version is not 1.0 or 1.1")                                           \
    X(LINE_TOO_LONG, "the request line is over 16 KiB")                                            \
    X(BAD_TARGET, "the request target is malformed")                                               \
    X(AMBIGUOUS_TARGET, "the request target could be read in two ways")                            \
    X(TARGET_FORM, "this form of request target is not served here")                               \
    X(HEAD_TOO_LARGE, "the header section is over 64 KiB")                                         \
    X(TOO_MANY_FIELDS, "there are over 128 header fields")                                         \
    X(BAD_FIELD_NAME, "a header field name is malformed")                                          \
    X(SPACE_BEFORE_COLON, "white space stands before a field's colon")                             \
    X(BAD_FIELD_VALUE, "a header field value holds control characters")                            \
    X(OBS_FOLD, "a header field is folded over lines")                                             \
    X(REPEATED_FIELD, "a header field that may stand once is repeated")                            \
    X(BAD_CONNECTION, "Connection is malformed or names an end-to-end field")                      \
    X(BARE_LF, "a line ends without carriage return")                                              \
    X(BARE_CR, "a carriage return stands alone")                                                   \
    X(NO_HOST, "there is no Host field")                                                           \
    X(BAD_HOST, "the Host field is repeated or malformed")                                         \
    X(BAD_CONTENT_LENGTH, "Content-Length is malformed or repeated")                               \
    X(LENGTH_AND_ENCODING, "Content-Length stands beside Transfer-Encoding")                       \
    X(BAD_TRANSFER_ENCODING, "Transfer-Encoding is not exactly one chunked")                       \
    X(BAD_CHUNK, "a chunk is malformed")                                                           \
    X(CHUNK_TOO_LONG, "a chunk size line is too long")                                             \
    X(BAD_TRAILER, "the trailer section is malformed or too large")                                \
    X(BAD_EXPECT, "the expectation is not 100-continue")                                           \
    X(UPGRADE, "upgrading the connection is not allowed here")                                     \
    X(BAD_STATUS, "the status line is malformed")                                                  \
    X(TRUNCATED, "the message ended early")

enum http_error {
#define X(name, text) HTTP_ERR_##name,
    HTTP_ERRORS(X)
#undef X
        HTTP_ERR_COUNT
};
const char *http_error_name(enum http_error e); /* "bad_chunk" */
const char *http_error_text(enum http_error e);

/* Fields that this program itself looks at. */
#define HTTP_FIELD_IDS(X)                                                                          \
    X(OTHER, "")                                                                                   \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(ALT_SVC, "alt-svc")                                                                          \
    X(AUTHORIZATION, "authorization")                                                              \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_RANGE, "content-range")                                                              \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(COOKIE, "cookie")                                                                            \
    X(DATE, "date")                                                                                \
    X(EXPECT, "expect")                                                                            \
    X(HOST, "host")                                                                                \
    X(IDEMPOTENCY_KEY, "idempotency-key")                                                          \
    X(IF_MATCH, "if-match")                                                                        \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                      \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(IF_RANGE, "if-range")                                                                        \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                  \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(PREFER, "prefer")                                                                            \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(RANGE, "range")                                                                              \
    X(REFERER, "referer")                                                                          \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(TURNPIKE_TOKEN, "turnpike-token")                                                            \
    X(UPGRADE, "upgrade")                                                                          \
    X(USER_AGENT, "user-agent")                                                                    \
    X(X_API_KEY, "x-api-key")

enum http_field_id {
#define X(name, text) HTTP_F_##name,
    HTTP_FIELD_IDS(X)
#undef X
        HTTP_FIELD_COUNT
};

struct http_field {
    struct span name, value; /* value without surrounding white space */
    enum http_field_id id;
    bool hop; /* hop-by-hop (RFC 9110 7.6.1): standing list or named by Connection */
};

/* How the end of the body is known (RFC 9112 6.3). */
enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

/* A message head: request or response; what does not apply is empty or 0. */
struct http_head {
    struct span method;
    struct span target; /* as received (after an absolute-form's authority) */
    struct span path;   /* normalised; points into scratch or the buffer; starts with "/" */
    struct span query;  /* after "?", without it; normalised escapes; may be empty */
    bool has_query;     /* "?" was there, even with nothing after it */
    struct span host;   /* Host without port, lower case not applied; [brackets] of IPv6 kept */
    uint16_t port;      /* of Host; 0 if it names none */
    unsigned status;    /* responses */
    struct span reason;
    unsigned minor; /* HTTP/1.minor */
    enum http_framing framing;
    uint64_t content_length; /* with HTTP_BODY_LENGTH */
    bool keep_alive;         /* persistence by version and Connection (RFC 9112 9.3) */
    bool expect_continue;
    bool upgrade; /* a request that asks to leave HTTP/1.1, or a 101 that does so; who calls decides
                   */
    unsigned nfields;
    struct http_field fields[HTTP_FIELDS_MAX];
    char scratch[HTTP_REQUEST_LINE_MAX]; /* the normalised target lives here */
};

enum http_status { HTTP_OK, HTTP_MORE, HTTP_BAD };

/* How a request target is read (RFC 9112 3.2, RFC 3986 6.2.2), so that it has one meaning.
 *
 * Form: origin-form, or absolute-form with https and an authority equal to Host; no other one.
 *
 * Path: escapes of unreserved characters are decoded, the others get upper-case digits, empty
 * segments are merged, dot segments resolved. AMBIGUOUS_TARGET: a dot segment that climbs above the
 * root; ".." together with an empty segment (the order of those two steps would show); ";" and
 * backslash, and escapes of them, of "/" and of control characters; what then still holds "%25"
 * before two hex digits (an escape that was escaped); escapes that are not UTF-8.
 *
 * Query: escapes get upper-case digits, nothing is decoded. AMBIGUOUS_TARGET: "%00", escapes that
 * are not UTF-8.
 *
 * BAD_TARGET: malformed escapes, "#", bytes that are not printable ASCII, and in the path those
 * that RFC 3986 has no place for. */

/* Looks for a whole head at the start of `buf`. `*scanned` remembers how far the search for its end
 * has come between calls with a grown buffer (0 at first), so that slow heads cost O(n). HTTP_OK:
 * `h` is filled, *used is the head's length. HTTP_MORE: incomplete and within bounds so far (bounds
 * and evident malformations are reported as early as they are seen). HTTP_BAD: *why. Empty lines
 * before a request line are skipped (at most 2; RFC 9112 2.2). After HTTP_OK and HTTP_BAD *scanned
 * is 0 again, for the next message. */
enum http_status http_parse_request(struct http_head *h, struct span buf, size_t *scanned,
                                    size_t *used, enum http_error *why);
/* `to_head`: the request was HEAD. For 1xx, 204, 304 and HEAD there is no body, whatever the fields
 * say. */
enum http_status http_parse_response(struct http_head *h, struct span buf, bool to_head,
                                     size_t *scanned, size_t *used, enum http_error *why);

/* The first field with that id, or NULL. */
const struct http_field *http_field(const struct http_head *h, enum http_field_id id);
/* The first end-to-end field of that name, in any case, or NULL. Hop-by-hop fields are not found:
 * they are never sent on, and what is judged must be what is sent. */
const struct http_field *http_field_named(const struct http_head *h, struct span name);
/* How many fields have that id. */
unsigned http_field_count(const struct http_head *h, enum http_field_id id);

/* Takes a body out of its framing, piece by piece. */
struct http_body {
    enum http_framing framing;
    uint64_t left;  /* of the body (LENGTH) or of the chunk (CHUNKED) */
    uint64_t total; /* body bytes given out so far */
    unsigned state, line, ext,
        trailer; /* of the chunked decoder: digits, extension and trailer bytes */
    bool done;
};

void http_body_init(struct http_body *b, const struct http_head *h);
/* Takes bytes from the front of `in`: *data is the next run of body bytes inside `in` (may be
 * empty), *used what was consumed, framing included. Call again with the rest while *used > 0 and
 * not b->done. HTTP_OK, HTTP_MORE (all consumed, not done) or HTTP_BAD with *why. Trailer fields
 * are checked and dropped. For UNTIL_CLOSE call http_body_eof at the end of input. */
enum http_status http_body_next(struct http_body *b, struct span in, struct span *data,
                                size_t *used, enum http_error *why);
/* The peer has ended its side. HTTP_OK if the body may end here, else HTTP_BAD with TRUNCATED. */
enum http_status http_body_eof(struct http_body *b, enum http_error *why);

/* Writing. Each writes whole lines with CRLF into `o` (which may become full). Values were checked
 * when parsed, or come from our own configuration: a control byte in one is refused by setting
 * o->full. */
void http_write_request_line(struct outbuf *o, struct span method, struct span path, bool has_query,
                             struct span query);
void http_write_status_line(struct outbuf *o, unsigned status, struct span reason);
void http_write_field(struct outbuf *o, struct span name, struct span value);
#define HTTP_CHUNK_OVERHEAD 20 /* room for one chunk's size line and its CRLF */
/* `n` of 0 would end the body and is refused by o->full: see http_write_last_chunk. */
void http_write_chunk_start(struct outbuf *o, size_t n);
void http_write_chunk_end(struct outbuf *o);
void http_write_last_chunk(struct outbuf *o);
const char *http_reason(unsigned status); /* the registered phrase, "" if none */

/* Decodes %XX of a normalised path or a part of it, for comparing with what a person wrote:
 * `/a%3Ab` and
 * `/a:b` are two paths to RFC 3986 and one to nearly every server. A normalised path decodes to
 * valid UTF-8 with no control character and with no "/" that was not there. False, and nothing is
 * written, when an escape is malformed or `o` is too small. */
bool http_percent_decode(struct outbuf *o, struct span s);

/* RFC 9110 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT, DELETE. */
bool http_method_idempotent(struct span method);
/* The media type without parameters, lower-cased compare: http_media_is(v, "application/json"). */
bool http_media_is(struct span content_type, const char *media);

#endif
