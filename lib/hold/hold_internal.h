/* The insides of lib/hold: the digest (digest.c, canonical.c), the table (table.c), its events
 * (events.c). */
#ifndef HOLD_INTERNAL_H
#define HOLD_INTERNAL_H

#include <openssl/evp.h>

#include "hold/hold.h"

/* Feeds a length and the bytes, so that no two lists of parts look alike. */
bool hold_feed(EVP_MD_CTX *md, const void *p, size_t n);
bool hold_feed_span(EVP_MD_CTX *md, struct span s);

/* A JSON document that body_read has found sound: members sorted by key, strings unescaped, white
 * space gone, numbers as they are written. False if out of memory. */
bool hold_feed_json(EVP_MD_CTX *md, struct span json);
/* Pairs of a form or query, decoded; sorted if `sorted`, else in their order. */
bool hold_feed_pairs(EVP_MD_CTX *md, struct span pairs, bool sorted);

/* An event of a record in the audit ring. */
void hold_event(struct audit_ring *ring, enum audit_kind kind, const struct hold_record *r,
                struct span who, struct span reason, uint64_t now_ns);

#endif
