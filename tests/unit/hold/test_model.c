/* Random histories against a model that keeps every record in one array and states, for each step,
 * what must be sent and where each record must stand. */
#include "hold_test.h"

enum { DIGESTS = 6, CALLERS = 2, RECORDS_MAX = 4096, STEPS = 20000, ROUNDS = 20, REVIEWERS = 4 };

struct known {
    uint64_t id, call, due;
    unsigned digest, caller, quorum, approvals;
    bool approved_by[REVIEWERS];
    enum hold_state state;
};

struct model {
    struct known k[RECORDS_MAX];
    unsigned n;
    unsigned quorum_of[DIGESTS];
};

static const char *const callers[CALLERS] = {"ci", "cd"};
static const char *const reviewers[REVIEWERS] = {"ann", "bob", "cyd", "ci"};

static bool is_open(enum hold_state s)
{
    return s == HOLD_HELD || s == HOLD_PENDING || s == HOLD_APPROVED || s == HOLD_FORWARDED ||
           s == HOLD_GRANTED;
}

static struct known *find_open(struct model *m, unsigned digest, unsigned caller)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->k[i].digest == digest && m->k[i].caller == caller && is_open(m->k[i].state))
            return &m->k[i];
    return NULL;
}

static struct known *waiting(struct model *m, uint64_t call)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->k[i].call == call && call && is_open(m->k[i].state))
            return &m->k[i];
    return NULL;
}

static void close_known(struct known *k, enum hold_state s)
{
    k->state = s;
    k->call = 0;
}

static void do_open(struct bed *b, struct model *m, struct hold_request *r, uint64_t call,
                    unsigned digest, unsigned caller)
{
    struct known *k = find_open(m, digest, caller);
    enum hold_state was = k ? k->state : HOLD_SETTLED;

    memset(r->digest, (int)(1 + digest), sizeof(r->digest));
    strcpy(r->caller, callers[caller]);
    r->quorum = m->quorum_of[digest];
    say(b, HOLD_MSG_OPEN, call, r);
    if (!k) {
        assert_true(m->n < RECORDS_MAX);
        k = &m->k[m->n++];
        *k = (struct known){.call = call,
                            .due = b->now + WAIT,
                            .digest = digest,
                            .caller = caller,
                            .quorum = r->quorum,
                            .state = HOLD_HELD};
        k->id = hear(b, HOLD_MSG_OPENED, call)->hold;
        return;
    }
    if (was == HOLD_HELD)
        hear(b, HOLD_MSG_REFUSED, k->call);
    assert_int_equal(hear(b, HOLD_MSG_OPENED, call)->hold, k->id);
    if (was == HOLD_APPROVED || was == HOLD_FORWARDED) {
        hear(b, HOLD_MSG_REFUSED, call);
        return;
    }
    k->call = call;
    k->state = was == HOLD_GRANTED ? HOLD_APPROVED : HOLD_HELD;
    k->due = b->now + (was == HOLD_GRANTED ? GRANT : WAIT);
    if (was == HOLD_GRANTED)
        hear(b, HOLD_MSG_APPROVED, call);
}

static void do_tell(struct bed *b, struct model *m, enum hold_message_type type, uint64_t call)
{
    struct known *k = waiting(m, call);

    say(b, type, call, NULL);
    if (!k)
        return;
    if (type == HOLD_MSG_CANCELLED && (k->state == HOLD_HELD || k->state == HOLD_APPROVED))
        close_known(k, HOLD_CANCELLED);
    else if (type == HOLD_MSG_FORWARDED && k->state == HOLD_APPROVED)
        k->state = HOLD_FORWARDED;
    else if (type == HOLD_MSG_SETTLED)
        close_known(k, HOLD_SETTLED);
}

static enum hold_result objection(const struct known *k, unsigned who)
{
    if (k->state != HOLD_HELD && k->state != HOLD_PENDING)
        return HOLD_ENDED;
    return strcmp(reviewers[who], callers[k->caller]) == 0 ? HOLD_OWN_CALL : HOLD_DONE;
}

static void do_approve(struct bed *b, struct known *k, unsigned who)
{
    enum hold_result wanted = objection(k, who);

    if (wanted == HOLD_DONE && k->approved_by[who])
        wanted = HOLD_TWICE;
    else if (wanted == HOLD_DONE && k->approvals + 1 < k->quorum)
        wanted = HOLD_COUNTED;
    assert_int_equal(approve(b, k->id, reviewers[who]), wanted);
    if (wanted != HOLD_DONE && wanted != HOLD_COUNTED)
        return;
    k->approved_by[who] = true;
    k->approvals++;
    if (wanted == HOLD_COUNTED)
        return;
    if (k->state == HOLD_HELD)
        hear(b, HOLD_MSG_APPROVED, k->call);
    k->state = k->state == HOLD_HELD ? HOLD_APPROVED : HOLD_GRANTED;
    k->due = b->now + GRANT;
}

static void do_deny(struct bed *b, struct known *k, unsigned who)
{
    enum hold_result wanted = k->state == HOLD_GRANTED ? HOLD_DONE : objection(k, who);

    assert_int_equal(deny(b, k->id, reviewers[who]), wanted);
    if (wanted != HOLD_DONE)
        return;
    if (k->state == HOLD_HELD)
        hear(b, HOLD_MSG_DENIED, k->call);
    close_known(k, HOLD_DENIED);
}

static int by_call(const void *a, const void *b)
{
    const struct hold_message *x = a, *y = b;

    return (x->call > y->call) - (x->call < y->call);
}

/* Several may end in one tick, in an order that does not matter: the messages are sorted. */
static void do_time(struct bed *b, struct model *m, uint64_t passes)
{
    uint64_t told[RECORDS_MAX];
    unsigned n = 0;

    b->now += passes;
    hold_tick(b->t, b->now);
    for (unsigned i = 0; i < m->n; i++) {
        struct known *k = &m->k[i];

        if (!is_open(k->state) || k->due > b->now)
            continue;
        if (k->state == HOLD_HELD) {
            told[n++] = k->call;
            k->call = 0;
            k->state = HOLD_PENDING;
            k->due = b->now + GRANT;
        } else {
            close_known(k, k->state == HOLD_FORWARDED ? HOLD_SETTLED : HOLD_EXPIRED);
        }
    }
    assert_int_equal(b->wire.n - b->wire.read, n);
    qsort(b->wire.sent + b->wire.read, n, sizeof(*b->wire.sent), by_call);
    for (unsigned i = 0; i < n; i++) {
        unsigned least = i;

        for (unsigned k = i + 1; k < n; k++)
            least = told[k] < told[least] ? k : least;
        uint64_t swap = told[i];
        told[i] = told[least];
        told[least] = swap;
        hear(b, HOLD_MSG_PENDING, told[i]);
    }
}

static void check(struct bed *b, const struct model *m)
{
    uint64_t first = UINT64_MAX;

    silence(b);
    for (unsigned i = 0; i < m->n; i++) {
        const struct known *k = &m->k[i];
        const struct hold_record *r = hold_find(b->t, k->id);

        assert_non_null(r);
        if (r->state != k->state || r->approvals != k->approvals || r->call != k->call)
            fail_msg("record %u: expected %s, %u approvals, call %lu; it is %s, %u, %lu", i,
                     hold_state_name(k->state), k->approvals, k->call, hold_state_name(r->state),
                     r->approvals, r->call);
        if (is_open(k->state) && k->due < first)
            first = k->due;
    }
    assert_true(hold_next(b->t) == first);
}

static void step(struct bed *b, struct model *m, struct hold_request *r, uint64_t *seed,
                 uint64_t *calls)
{
    uint64_t dice = test_random(seed) % 100, pick = test_random(seed);
    struct known *k = m->n ? &m->k[m->n - 1 - pick % (m->n < 12 ? m->n : 12)] : NULL;
    unsigned who = (unsigned)(test_random(seed) % REVIEWERS);

    if (dice < 30 || !k)
        do_open(b, m, r, ++*calls, (unsigned)(pick % DIGESTS), (unsigned)(pick / 16 % CALLERS));
    else if (dice < 45)
        do_tell(b, m, HOLD_MSG_CANCELLED + (unsigned)(pick / 64 % 3), k->call);
    else if (dice < 50)
        do_tell(b, m, HOLD_MSG_CANCELLED + (unsigned)(pick / 64 % 3), 1 + pick % *calls);
    else if (dice < 75)
        do_approve(b, k, who);
    else if (dice < 83)
        do_deny(b, k, who);
    else if (dice < 98)
        do_time(b, m, pick % (12 * SECOND));
    else
        do_time(b, m, pick % (2 * GRANT));
    check(b, m);
}

static void test_random_histories(void **state)
{
    uint64_t seed = test_seed();
    struct model *m = malloc(sizeof(*m));
    struct hold_request *r = request_new("ci", 0);

    (void)state;
    assert_non_null(m);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct bed *b = bed_new();
        uint64_t calls = 0;

        m->n = 0;
        for (unsigned i = 0; i < DIGESTS; i++)
            m->quorum_of[i] = 1 + (unsigned)(test_random(&seed) % 3);
        for (unsigned i = 0; i < STEPS / ROUNDS; i++)
            step(b, m, r, &seed, &calls);
        bed_free(b);
    }
    free(r);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_histories)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
