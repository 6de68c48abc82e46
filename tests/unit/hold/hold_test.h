/* What the tests of held calls share: a table with a recording `send`, requests, reviewers. */
#ifndef HOLD_TEST_H
#define HOLD_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hold/hold.h"

#define SECOND ((uint64_t)1000000000)
#define WAIT   (20 * SECOND)
#define GRANT  (3600 * SECOND)

/* What workers have been sent. */
struct wire {
    struct hold_message *sent;
    unsigned n, room, read;
    unsigned capacity; /* messages that the rings still take */
};

static inline bool wire_send(void *ctx, uint32_t worker, const struct hold_message *m)
{
    struct wire *w = ctx;

    if (w->capacity == 0)
        return false;
    w->capacity--;
    if (w->n == w->room) {
        w->room = w->room ? w->room * 2 : 64;
        w->sent = realloc(w->sent, w->room * sizeof(*w->sent));
        assert_non_null(w->sent);
    }
    assert_int_equal(worker, m->worker);
    w->sent[w->n++] = *m;
    return true;
}

struct bed {
    struct hold_table *t;
    struct wire wire;
    uint64_t now;
};

static inline struct bed *bed_new(void)
{
    struct bed *b = calloc(1, sizeof(*b));
    struct hold_out out = {.ctx = &b->wire, .send = wire_send};

    assert_non_null(b);
    b->wire.capacity = UINT32_MAX;
    b->now = 1000 * SECOND;
    b->t = hold_table_new(&out);
    assert_non_null(b->t);
    return b;
}

static inline void bed_free(struct bed *b)
{
    hold_table_free(b->t);
    free(b->wire.sent);
    free(b);
}

static inline struct hold_request *request_new(const char *caller, uint8_t digest)
{
    struct hold_request *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    memset(r->digest, digest, sizeof(r->digest));
    r->wait_ns = WAIT;
    r->grant_ns = GRANT;
    r->quorum = 1;
    snprintf(r->caller, sizeof(r->caller), "%s", caller);
    strcpy(r->groups, "finance\n");
    return r;
}

static inline void say(struct bed *b, enum hold_message_type type, uint64_t call,
                       struct hold_request *r)
{
    struct hold_message m = {.type = type, .worker = 3, .call = call, .request = r, .status = 200};

    hold_receive(b->t, &m, b->now);
}

/* The next message that has been sent, which must be of that type and for that call. */
static inline const struct hold_message *hear(struct bed *b, enum hold_message_type type,
                                              uint64_t call)
{
    const struct hold_message *m;

    if (b->wire.read == b->wire.n)
        fail_msg("expected message %d for call %lu, but nothing was sent", type, call);
    m = &b->wire.sent[b->wire.read++];
    if (m->type != (uint32_t)type || m->call != call)
        fail_msg("expected message %d for call %lu, got %u for %lu (%s)", type, call, m->type,
                 m->call, m->reason);
    return m;
}

static inline void silence(struct bed *b)
{
    if (b->wire.read != b->wire.n)
        fail_msg("expected no message, got %u for call %lu (%s)", b->wire.sent[b->wire.read].type,
                 b->wire.sent[b->wire.read].call, b->wire.sent[b->wire.read].reason);
}

/* Opens a hold; returns its id. */
static inline uint64_t open_hold(struct bed *b, uint64_t call, struct hold_request *r)
{
    const struct hold_message *m;

    say(b, HOLD_MSG_OPEN, call, r);
    m = hear(b, HOLD_MSG_OPENED, call);
    assert_ptr_equal(m->request, r);
    return m->hold;
}

static const struct span finance[] = {SPAN_LIT("finance")};

static inline struct hold_reviewer reviewer(const char *name)
{
    return (struct hold_reviewer){.name = span_cstr(name), .groups = finance, .ngroups = 1};
}

static inline enum hold_result approve(struct bed *b, uint64_t id, const char *name)
{
    struct hold_reviewer by = reviewer(name);

    return hold_approve(b->t, id, &by, SPAN_LIT("fine"), b->now);
}

static inline enum hold_result deny(struct bed *b, uint64_t id, const char *name)
{
    struct hold_reviewer by = reviewer(name);

    return hold_deny(b->t, id, &by, SPAN_LIT("no"), b->now);
}

static inline void state_is(struct bed *b, uint64_t id, enum hold_state wanted)
{
    const struct hold_record *r = hold_find(b->t, id);

    assert_non_null(r);
    assert_string_equal(hold_state_name(r->state), hold_state_name(wanted));
}

/* splitmix64 */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t test_seed(void)
{
    const char *set = getenv("TEST_SEED");
    uint64_t seed = set ? strtoull(set, NULL, 0) : clock_mono_ns();

    printf("TEST_SEED=%lu\n", seed);
    return seed;
}

#endif
