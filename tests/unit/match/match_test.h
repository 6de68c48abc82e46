/* What the tests of lib/match share. */
#ifndef MATCH_TEST_H
#define MATCH_TEST_H

/* cmocka.h wants these first. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "match/match.h"

struct rig {
    struct model m;
    struct match_db *db;
    struct match_worker *w;
    struct match_policy policy;
};

void rig_up(struct rig *r, const struct model *m);
void rig_down(struct rig *r);

/* A pseudo-random sequence (splitmix64), and where it starts: MATCH_SEED or the clock. */
uint64_t rnd(uint64_t *seed);
unsigned rnd_below(uint64_t *seed, unsigned n);
uint64_t rnd_seed(void);

/* Sends text through a stream; `cut` gives the size of the next chunk. What was held at most and at
 * the end is noted. */
struct run {
    size_t held_most, held_end;
    struct match_found found;
};
typedef size_t cut_fn(uint64_t *seed, size_t left);
void stream_all(struct rig *r, enum match_syntax syntax, char *buf, size_t n, cut_fn *cut,
                uint64_t *seed, struct run *run);

/* Random text full of what detectors look for and of what looks like it. */
size_t random_text(uint64_t *seed, const struct model *m, enum match_syntax syntax, char *out,
                   size_t room);
/* A number that some brand could have issued. */
size_t random_card(uint64_t *seed, char out[40]);

/* Stops the test when not the same was found as often. */
void same_found(const struct match_found *a, const struct match_found *b);
/* Stops the test with both texts when they differ. */
void same_bytes(const char *what, uint64_t seed, const char *in, const char *want, const char *got,
                size_t n);

#endif
