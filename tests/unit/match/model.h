/* The slow, obvious reading of what the match library promises: one function over a whole buffer,
 * with no Hyperscan for what it can tell itself, no windows, no state. */
#ifndef MATCH_TEST_MODEL_H
#define MATCH_TEST_MODEL_H

#include "match/match.h"

#define MODEL_SECRETS 8
#define MODEL_NONE    -1

struct model_pattern {
    const char *text;
    bool luhn;
};

struct model {
    int card, mail; /* enum match_keep, or MODEL_NONE: not looked for */
    struct span secret[MODEL_SECRETS];
    unsigned secrets;
    struct model_pattern pattern[4];
    int pattern_keep;
    unsigned patterns;
};

struct model_found {
    unsigned cards, mails;
    unsigned secret_bytes; /* raw bytes masked for a credential */
};

void model_mask(const struct model *m, enum match_syntax syntax, char *buf, size_t n,
                struct model_found *found);
void model_done(void); /* frees what is kept between calls */
bool model_card(const char *digits, size_t n);

/* All forms of a credential, for texts that have it somewhere: how many, each malloc'd. */
unsigned model_forms(struct span secret, struct span form[16]);

#endif
