/* Names and tables: causes, reason phrases, methods, media types, character classes. */
#include "http_internal.h"

#define T HTTP_C_TOKEN
#define P HTTP_C_PATH
#define Q HTTP_C_QUERY
#define U HTTP_C_UNRESERVED
#define H HTTP_C_HOST

const unsigned char http_class[256] = {
    ['0' ... '9'] = T | P | Q | U | H,
    ['A' ... 'Z'] = T | P | Q | U | H,
    ['a' ... 'z'] = T | P | Q | U | H,
    ['-'] = T | P | Q | U | H,
    ['_'] = T | P | Q | U | H,
    ['.'] = T | P | Q | U,
    ['~'] = T | P | Q | U,
    /* sub-delims of RFC 3986, and ":" "@" */
    ['!'] = T | P | Q,
    ['$'] = T | P | Q,
    ['&'] = T | P | Q,
    ['\''] = T | P | Q,
    ['*'] = T | P | Q,
    ['+'] = T | P | Q,
    ['('] = P | Q,
    [')'] = P | Q,
    [','] = P | Q,
    ['='] = P | Q,
    [':'] = P | Q,
    ['@'] = P | Q,
    ['/'] = P | Q,
    [';'] = Q,
    ['?'] = Q,
    /* not of RFC 3986, yet browsers and SDKs leave them as they are in a query */
    ['['] = Q,
    [']'] = Q,
    ['\\'] = Q,
    ['{'] = Q,
    ['}'] = Q,
    ['^'] = T | Q,
    ['`'] = T | Q,
    ['|'] = T | Q,
    ['#'] = T,
    ['%'] = T,
};

static const char *const error_names[HTTP_ERR_COUNT] = {
    [HTTP_ERR_NONE] = "none",
    [HTTP_ERR_BAD_START_LINE] = "bad_start_line",
    [HTTP_ERR_BAD_METHOD] = "bad_method",
    [HTTP_ERR_BAD_VERSION] = "bad_version",
    [HTTP_ERR_LINE_TOO_LONG] = "line_too_long",
    [HTTP_ERR_BAD_TARGET] = "bad_target",
    [HTTP_ERR_AMBIGUOUS_TARGET] = "ambiguous_target",
    [HTTP_ERR_TARGET_FORM] = "target_form",
    [HTTP_ERR_HEAD_TOO_LARGE] = "head_too_large",
    [HTTP_ERR_TOO_MANY_FIELDS] = "too_many_fields",
    [HTTP_ERR_BAD_FIELD_NAME] = "bad_field_name",
    [HTTP_ERR_SPACE_BEFORE_COLON] = "space_before_colon",
    [HTTP_ERR_BAD_FIELD_VALUE] = "bad_field_value",
    [HTTP_ERR_OBS_FOLD] = "obs_fold",
    [HTTP_ERR_REPEATED_FIELD] = "repeated_field",
    [HTTP_ERR_BAD_CONNECTION] = "bad_connection",
    [HTTP_ERR_BARE_LF] = "bare_lf",
    [HTTP_ERR_BARE_CR] = "bare_cr",
    [HTTP_ERR_NO_HOST] = "no_host",
    [HTTP_ERR_BAD_HOST] = "bad_host",
    [HTTP_ERR_BAD_CONTENT_LENGTH] = "bad_content_length",
    [HTTP_ERR_LENGTH_AND_ENCODING] = "length_and_encoding",
    [HTTP_ERR_BAD_TRANSFER_ENCODING] = "bad_transfer_encoding",
    [HTTP_ERR_BAD_CHUNK] = "bad_chunk",
    [HTTP_ERR_CHUNK_TOO_LONG] = "chunk_too_long",
    [HTTP_ERR_BAD_TRAILER] = "bad_trailer",
    [HTTP_ERR_BAD_EXPECT] = "bad_expect",
    [HTTP_ERR_UPGRADE] = "upgrade",
    [HTTP_ERR_BAD_STATUS] = "bad_status",
    [HTTP_ERR_TRUNCATED] = "truncated",
};

static const char *const error_texts[HTTP_ERR_COUNT] = {
#define X(name, text) [HTTP_ERR_##name] = text,
    HTTP_ERRORS(X)
#undef X
};

const char *http_error_name(enum http_error e)
{
    return e < HTTP_ERR_COUNT ? error_names[e] : "unknown";
}

const char *http_error_text(enum http_error e)
{
    return e < HTTP_ERR_COUNT ? error_texts[e] : "unknown";
}

/* RFC 9110 15, with those of RFC 6585, 7725 and 8297. */
static const char *const phrases[600] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [103] = "Early Hints",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [207] = "Multi-Status",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [305] = "Use Proxy",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [407] = "Proxy Authentication Required",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [423] = "Locked",
    [424] = "Failed Dependency",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [507] = "Insufficient Storage",
    [511] = "Network Authentication Required",
};

const char *http_reason(unsigned status)
{
    return status < 600 && phrases[status] ? phrases[status] : "";
}

bool http_method_idempotent(struct span method)
{
    static const char *const idempotent[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};

    for (size_t i = 0; i < sizeof(idempotent) / sizeof(idempotent[0]); i++)
        if (span_eq(method, span_cstr(idempotent[i])))
            return true;
    return false;
}

bool http_media_is(struct span content_type, const char *media)
{
    struct span rest = content_type;
    struct span type = span_trim(span_cut(&rest, ';'));

    return span_ieq(type, span_cstr(media));
}
