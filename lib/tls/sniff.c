#include "tls_internal.h"

#define HANDSHAKE_RECORD 0x16 /* RFC 8446 5.1; the two-byte header of SSLv2 is not accepted */

/* RFC 9110 9.3, RFC 5789, and the HTTP/2 preface of RFC 9113 3.4. */
static const char *const methods[] = {
    "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI ",
};

enum tls_sniff tls_sniff(const unsigned char *p, size_t n)
{
    if (n == 0)
        return SNIFF_MORE;
    if (p[0] == HANDSHAKE_RECORD)
        return SNIFF_TLS;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        size_t want = strlen(methods[i]);
        if (memcmp(p, methods[i], n < want ? n : want) == 0)
            return n < want ? SNIFF_MORE : SNIFF_HTTP;
    }
    return SNIFF_OTHER;
}
