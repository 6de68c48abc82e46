/* What the parts of the base library share with each other and with nobody else. */
#ifndef BASE_INTERNAL_H
#define BASE_INTERNAL_H

#include <stdint.h>

#include "base/span.h"

/* The first character of well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF): its length, and the character to `*cp`. 0 when the bytes are not UTF-8 or
 * there are none. */
size_t utf8_next(struct span s, uint32_t *cp);

/* C0, DEL and C1: characters that steer a terminal instead of being shown by it. */
static inline bool char_is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

#endif
