/* cmocka.h wants these four before it, whatever order a formatter prefers. */
#ifndef WITH_CMOCKA_H
#define WITH_CMOCKA_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
