/* The floor that every other library stands on: no packets, no TLS, no policy.
 *
 * Include this header; the parts below can be read one at a time. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include "base/arena.h"
#include "base/buddy.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/log.h"
#include "base/outbuf.h"
#include "base/span.h"
#include "base/stages.h"
#include "base/utf8.h"
#include "base/wheel.h"
#include "base/yaml.h"

#endif
