/* Where a worker's time goes: cycles by stage of the road, at less than 1% of them.
 *
 * Reading the TSC at every change of stage of every loop would cost more than some stages do. One
 * loop in about 32 is measured, picked at random distances so that no rhythm of the traffic falls
 * in step with it; in the others a change of stage is one branch that is predicted well. In a
 * measured loop every cycle belongs to exactly one stage. A loop that found nothing to do leaves no
 * trace.
 *
 * One thread enters stages; any thread reads the counters. */
#ifndef BASE_STAGES_H
#define BASE_STAGES_H

#include <stdbool.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include "base/clock.h"
#endif

#include "base/counter.h"

/* clang-format off */
#define STAGE_NAMES(X)                                                                            \
    X(NET, net)           /* from the port up through IP, and what is the loop's own */           \
    X(TCP, tcp)           /* both ways, timers too */                                             \
    X(TLS, tls)           /* records and handshakes, with taking from and giving to TCP */        \
    X(HTTP, http)         /* heads and framing, read and written */                               \
    X(IDENTITY, identity) /* who is calling */                                                    \
    X(RULES, rules)       /* function and decision, with the parsing of bodies */                 \
    X(MATCH, match)       /* detectors and masks */                                               \
    X(AUDIT, audit)       /* records, and the digests in them */                                  \
    X(CALL, call)         /* the rest of a call */                                                \
    X(OUTPUT, output)     /* from IP down to the port */
/* clang-format on */

enum stage {
#define X(upper, lower) STAGE_##upper,
    STAGE_NAMES(X)
#undef X
        STAGES
};
const char *stage_name(enum stage s); /* "net" */

struct stages {
    bool measured; /* this loop is; the one thing that unmeasured ones look at */
    enum stage now;
    uint64_t since;        /* when `now` began, in cycles */
    uint32_t until;        /* loops that are not measured before the next one that is */
    uint32_t random;       /* never 0 */
    uint64_t loop[STAGES]; /* cycles of this loop */
    counter cycles[STAGES] __attribute__((aligned(64))); /* of measured loops that did something */
    counter loops;                                       /* how many those were */
};

/* For whoever is not told where to count: never measured, never written. */
extern struct stages stages_off;

void stages_init(struct stages *s);
/* Between these two a thread may enter stages. A loop begins in STAGE_NET; it counts if it did
 * something. `now` in cycles. */
static inline void stages_begin(struct stages *s, uint64_t now);
void stages_end(struct stages *s, uint64_t now, bool worked);

/* `all` cycles shared out as the measured ones were; they add up to `all` exactly, to 0 as long as
 * nothing has been measured. Any thread. */
void stages_share(const struct stages *s, uint64_t all, uint64_t out[STAGES]);

/* ---- the insides of what is inlined */

void stages_pick(struct stages *s, uint64_t now);
enum stage stages_change(struct stages *s, enum stage to, uint64_t now);

/* The TSC where there is one; its unit does not matter. */
static inline uint64_t stages_clock(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return clock_mono_ns();
#endif
}

static inline void stages_begin(struct stages *s, uint64_t now)
{
    if (__builtin_expect(s->until-- == 0, 0))
        stages_pick(s, now);
}

/* Returns the stage before, to which the caller goes back when it is done. */
static inline enum stage stage_enter(struct stages *s, enum stage to)
{
    return __builtin_expect(s->measured, 0) ? stages_change(s, to, stages_clock()) : to;
}

struct stage_scope {
    struct stages *stages;
    enum stage before;
};

static inline void stage_leave(const struct stage_scope *scope)
{
    stage_enter(scope->stages, scope->before);
}

/* The rest of the block counts for `stage`, however it is left. */
#define STAGE_PASTE_(a, b) a##b
#define STAGE_PASTE(a, b)  STAGE_PASTE_(a, b)
#define STAGE_SCOPE(stages, stage)                                                                 \
    const struct stage_scope STAGE_PASTE(stage_scope_, __COUNTER__)                                \
        __attribute__((cleanup(stage_leave), unused)) = {(stages), stage_enter((stages), (stage))}

/* The value of an expression whose time counts for `stage`. */
#define IN_STAGE(stages, stage, expression)                                                        \
    ({                                                                                             \
        STAGE_SCOPE(stages, stage);                                                                \
        expression;                                                                                \
    })

#endif
