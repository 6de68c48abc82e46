#include "base/stages.h"

#include <string.h>

enum { DISTANCES = 64 }; /* from one measured loop to the next: 1 to 63, 32 on average */

struct stages stages_off;

const char *stage_name(enum stage s)
{
    static const char *const names[] = {
#define X(upper, lower) #lower,
        STAGE_NAMES(X)
#undef X
    };
    return s < STAGES ? names[s] : "?";
}

void stages_init(struct stages *s)
{
    memset(s, 0, sizeof(*s));
    s->random = 2463534242u;
}

/* xorshift32 (Marsaglia): it goes through every value but 0. */
static uint32_t next_random(struct stages *s)
{
    uint32_t x = s->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return s->random = x;
}

void stages_pick(struct stages *s, uint64_t now)
{
    s->until = next_random(s) % (DISTANCES - 1);
    memset(s->loop, 0, sizeof(s->loop));
    s->now = STAGE_NET;
    s->since = now;
    s->measured = true;
}

enum stage stages_change(struct stages *s, enum stage to, uint64_t now)
{
    enum stage before = s->now;

    s->loop[before] += now - s->since;
    s->since = now;
    s->now = to;
    return before;
}

void stages_end(struct stages *s, uint64_t now, bool worked)
{
    if (!s->measured)
        return;
    stages_change(s, STAGE_NET, now);
    s->measured = false;
    if (!worked)
        return;
    for (unsigned i = 0; i < STAGES; i++)
        counter_add(&s->cycles[i], s->loop[i]);
    counter_inc(&s->loops);
}

/* Shares of sums, so that what rounding takes from one stage the next one gets. */
void stages_share(const struct stages *s, uint64_t all, uint64_t out[STAGES])
{
    uint64_t cycles[STAGES], sum = 0, so_far = 0, given = 0;

    for (unsigned i = 0; i < STAGES; i++)
        sum += cycles[i] = counter_get(&s->cycles[i]);
    for (unsigned i = 0; i < STAGES; i++) {
        uint64_t upto;

        so_far += cycles[i];
        upto = sum ? (uint64_t)((unsigned __int128)so_far * all / sum) : 0;
        out[i] = upto - given;
        given = upto;
    }
}
