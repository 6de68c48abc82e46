/* UTF-8 (RFC 3629). Pure; any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/span.h"

/* No overlong forms, no surrogates, nothing cut short. */
bool utf8_valid(struct span s);

#endif
