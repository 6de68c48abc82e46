/* Selective acknowledgements, both ways, against slow obvious models: an array of what has come. */
#include "tcp_test.h"

#include <time.h>

#include "tcp/tcp_internal.h"

static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static void seed_print(uint64_t usual)
{
    const char *set = getenv("TEST_SEED");

    seed = set ? strtoull(set, NULL, 0) : usual;
    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
}

/* ------------------------------------------------------------- scoreboard */

#define BYTES 800000u

/* Sequence space from the first byte on: which bytes the peer has ever reported. */
struct model {
    uint8_t told[BYTES + 1];
};

static void model_block(struct model *m, uint32_t una, uint32_t nxt, uint32_t start, uint32_t end)
{
    if (seq_leq(end, start) || seq_leq(start, una) || seq_lt(nxt, end) || end - start > nxt - una)
        return;
    memset(m->told + start, 1, end - start);
}

static bool all_told(const struct model *m, uint32_t start, uint32_t end)
{
    for (uint32_t i = start; i < end; i++)
        if (!m->told[i])
            return false;
    return true;
}

/* RFC 2018 3 and 8: a segment is marked if one block has covered it, or (that much more we may do)
 * several together; never if some byte of it was never told. */
static void board_check(const struct world *w, const struct model *m, bool whole_blocks)
{
    for (const struct tcp_seg *s = w->c->sq_head; s; s = s->next) {
        uint32_t start = s->seq - w->c->iss, end = seg_end(s) - w->c->iss;
        bool told = (s->flags & SEG_SENT) && all_told(m, start, end),
             marked = (s->flags & SEG_SACKED) != 0;

        if (marked && !told)
            fail_msg("segment %u to %u is marked and was never reported", start, end);
        if (whole_blocks && told && !marked)
            fail_msg("segment %u to %u was reported and is not marked", start, end);
    }
}

/* A segment's boundary in the queue, counted from our SYN. */
static uint32_t boundary(const struct world *w)
{
    uint32_t out = w->c->snd_nxt - w->c->snd_una, i = rnd(out / 1460 + 2);
    uint32_t at = w->c->snd_una + i * 1460;

    return (seq_lt(w->c->snd_nxt, at) ? w->c->snd_nxt : at) - w->c->iss;
}

static uint32_t hostile(const struct world *w)
{
    switch (rnd(5)) {
    case 0:
        return rnd(UINT32_MAX) | 1;
    case 1:
        return w->c->snd_nxt - w->c->iss + rnd(3000);
    case 2:
        return w->c->snd_una - w->c->iss + rnd(4);
    case 3:
        return rnd(BYTES) + 1;
    default:
        return boundary(w) + rnd(3);
    }
}

static struct world *sending(uint32_t n)
{
    struct world *w = world_new();

    passive_sack(w);
    w->c->cwnd = w->c->sndbuf = w->t->cfg.sndbuf_max;
    w->t->tx_max *= 2 * TCP_POOL_SHARE; /* one connection may have all of it */
    assert_int_equal(writes(w, 0, n), n);
    for (unsigned i = 0; i < n / 1460 / TCP_BURST + 2; i++)
        run(w);
    w->head = w->tail;
    assert_int_equal(w->c->snd_nxt, w->c->iss + 1 + n);
    return w;
}

static void random_ack(struct world *w, struct model *m, bool whole)
{
    struct seg s = {.flags = A, .seq = 1, .ack = w->c->snd_una - w->c->iss};
    unsigned n = 1 + rnd(4);

    if (rnd(10) == 0)
        s.ack = boundary(w);
    for (unsigned i = 0; i < n; i++) {
        uint32_t start = whole ? boundary(w) : hostile(w),
                 end = whole ? start + 1460 * (1 + rnd(9)) : hostile(w);

        if (whole && seq_lt(w->c->snd_nxt, w->c->iss + end))
            end = w->c->snd_nxt - w->c->iss;
        if (!start || !end)
            start = end = 1;
        s.sack[2 * i] = start;
        s.sack[2 * i + 1] = end;
    }
    /* The first block may be the report of a duplicate (RFC 2883 4), which marks nothing. */
    for (unsigned i = 0; i < n; i++)
        model_block(m, s.ack, w->c->snd_nxt - w->c->iss, s.sack[2 * i], s.sack[2 * i + 1]);
    in(w, s);
    w->head = w->tail;
}

static void scoreboard_against_model(void **state)
{
    static struct model m;

    (void)state;
    seed_print((uint64_t)time(NULL));
    for (unsigned round = 0; round < 20; round++) {
        struct world *w = sending(400 * 1460);

        memset(&m, 0, sizeof(m));
        for (unsigned i = 0; i < 150 && w->c->snd_una != w->c->snd_nxt; i++) {
            random_ack(w, &m, round % 2 == 0);
            board_check(w, &m, false);
            w->now += rnd(200);
        }
        world_delete(w);
    }
}

/* RFC 2018 4: what receivers send: true blocks, the last three that changed. All of it is marked.
 */
static void true_reports_are_marked_in_full(void **state)
{
    static struct model m;
    uint32_t order[400];

    (void)state;
    seed_print((uint64_t)time(NULL));
    for (unsigned round = 0; round < 10; round++) {
        struct world *w = sending(400 * 1460);

        memset(&m, 0, sizeof(m));
        for (uint32_t i = 0; i < 399; i++)
            order[i] = i + 1; /* never the first */
        for (uint32_t i = 0; i < 399; i++) {
            uint32_t j = i + rnd(u32_min(399 - i, 1 + rnd(60))), k = order[j];
            uint32_t start = 1 + k * 1460, end = start + 1460;

            order[j] = order[i];
            memset(m.told + start, 1, 1460);
            while (m.told[start - 1])
                start--;
            while (end <= 400 * 1460 && m.told[end])
                end++;
            IN(w, A, 1, 1, .sack = {start, end});
            w->head = w->tail;
            board_check(w, &m, true);
        }
        assert_int_equal(w->c->sacked, 399 * 1460);
        assert_int_equal(w->c->snd_una, w->c->iss + 1);
        assert_int_equal(w->c->sq_segs, 400); /* nothing is freed before it is acknowledged */
        IN(w, A, 1, 1 + 400 * 1460);
        assert_null(w->c->sq_head);
        world_delete(w);
    }
}

/* One ACK looks at no more than TCP_SACK_WALK segments, but what it could not reach the next do. */
static void a_far_block_is_reached_by_and_by(void **state)
{
    struct world *w = sending(1300 * 1460);
    unsigned acks = 0;

    (void)state;
    while (!w->c->sacked && acks < 10) {
        IN(w, A, 1, 1, .sack = {1 + 1298 * 1460, 1 + 1300 * 1460});
        w->head = w->tail;
        acks++;
    }
    assert_int_equal(w->c->sacked, 2 * 1460);
    assert_int_equal(acks, 1298 / TCP_SACK_WALK + 1);
    world_delete(w);
}

/* ------------------------------------------------------------- receiving */

static void blocks_latest_first(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    IN(w, A, 1001, 1, 1000);
    OUT(w, A, 1, 1, .sack = {1001, 2001});
    IN(w, A, 5001, 1, 1000);
    OUT(w, A, 1, 1, .sack = {5001, 6001, 1001, 2001});
    IN(w, A, 3001, 1, 1000);
    OUT(w, A, 1, 1, .sack = {3001, 4001, 5001, 6001, 1001, 2001});
    IN(w, A, 2001, 1, 1000); /* joins two */
    OUT(w, A, 1, 1, .sack = {1001, 4001, 5001, 6001});
    IN(w, A, 1, 1, 1000);
    OUT(w, A, 1, 4001, .sack = {5001, 6001});
    IN(w, A, 4001, 1, 1000);
    OUT(w, A, 1, 6001);
    assert_int_equal(w->sent[(w->head - 1) % SENT_MAX].s.sack[0], 0);
    world_delete(w);
}

/* RFC 2018 3: three beside timestamps, four without. */
static void as_many_blocks_as_fit(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack_ts(w);
    for (uint32_t i = 0; i < 5; i++)
        IN(w, A, 1001 + 2000 * i, 1, 1000);
    w->head = w->tail - 1;
    OUT(w, A, 1, 1, .sack = {9001, 10001, 7001, 8001, 5001, 6001});
    world_delete(w);
    w = world_new();
    passive_sack(w);
    for (uint32_t i = 0; i < 5; i++)
        IN(w, A, 1001 + 2000 * i, 1, 1000);
    w->head = w->tail - 1;
    OUT(w, A, 1, 1, .sack = {9001, 10001, 7001, 8001, 5001, 6001, 3001, 4001});
    world_delete(w);
}

/* What came in one burst is told by as few ACKs as have room for it, all of it. */
static void a_burst_is_told_in_full(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack_ts(w);
    for (uint32_t i = 0; i < 5; i++)
        PUT(w, A, 1001 + 2000 * i, 1, 1000);
    run(w);
    OUT(w, A, 1, 1, .sack = {9001, 10001, 7001, 8001, 5001, 6001});
    OUT(w, A, 1, 1, .sack = {3001, 4001, 1001, 2001, 9001, 10001});
    NONE(w);
    world_delete(w);
}

/* RFC 2883 4.1: a duplicate below, and 4.2: within what is out of order; 4.3: in part. */
static void duplicates_are_told(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    IN(w, A, 1, 1, 1000);
    wait_us(w, 50 * MS);
    w->head = w->tail;
    IN(w, A, 1, 1, 1000);
    OUT(w, A, 1, 1001, .sack = {1, 1001});
    IN(w, A, 2001, 1, 1000);
    OUT(w, A, 1, 1001, .sack = {2001, 3001});
    IN(w, A, 2001, 1, 1000);
    OUT(w, A, 1, 1001, .sack = {2001, 3001, 2001, 3001});
    IN(w, A, 2501, 1, 1000);
    OUT(w, A, 1, 1001, .sack = {2501, 3001, 2001, 3501});
    IN(w, A, 501, 1, 1000); /* half old, half new */
    OUT(w, A, 1, 1501, .sack = {501, 1001, 2001, 3501});
    assert_int_equal(COUNTER(w, dsacks_sent), 4);
    world_delete(w);
}

/* Data with room for it carries blocks; a full segment does not, and an ACK goes beside it. */
static void data_carries_blocks_where_they_fit(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive_sack(w);
    IN(w, A, 1001, 1, 1000);
    OUT(w, A, 1, 1, .sack = {1001, 2001});
    writes(w, 0, 100);
    run(w);
    OUT(w, P | A, 1, 1, 100, .sack = {1001, 2001});
    writes(w, 100, 1460);
    run(w);
    OUT(w, P | A, 101, 1, 1460);
    assert_int_equal(w->sent[(w->head - 1) % SENT_MAX].s.sack[0], 0);
    world_delete(w);
}

/* RFC 2018 3: blocks of a peer that has not agreed to them say nothing. */
static void unasked_blocks_are_not_read(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    assert_int_equal(writes(w, 0, 6000), 6000);
    run(w);
    w->head = w->tail;
    IN(w, A, 1, 1, .sack = {1461, 2921});
    IN(w, A, 1, 1, .sack = {1, 500});
    assert_int_equal(w->c->sacked, 0);
    assert_int_equal(COUNTER(w, dsacks_received), 0);
    world_delete(w);
}

/* RFC 2018 2: not to a peer that has not said it knows them. */
static void no_blocks_unasked(void **state)
{
    struct world *w = world_new();

    (void)state;
    passive(w);
    IN(w, A, 1001, 1, 1000);
    OUT(w, A, 1, 1);
    assert_int_equal(w->sent[(w->head - 1) % SENT_MAX].s.sack[0], 0);
    assert_false(w->sent[(w->head - 2) % SENT_MAX].s.sack_ok);
    world_delete(w);
}

/* Every block is a whole run of what has come above the ACK; the first holds what came last, but
 * for the report of a duplicate. */
static void blocks_check(const struct seg *s, const uint8_t *have, uint32_t from, uint32_t len,
                         bool dup)
{
    for (unsigned i = dup ? 2 : 0; i < 8 && s->sack[i]; i += 2) {
        uint32_t start = s->sack[i], end = s->sack[i + 1];

        if (start >= end || start <= s->ack || have[start - 1] || have[end])
            fail_msg("block %u to %u is no run above %u", start, end, s->ack);
        for (uint32_t b = start; b < end; b++)
            if (!have[b])
                fail_msg("byte %u of block %u to %u never came", b, start, end);
    }
    if (s->ack >= from + len)
        return;
    if (s->sack[dup ? 2 : 0] > from || s->sack[dup ? 3 : 1] < from + len)
        fail_msg("%u to %u came last, the first block is %u to %u", from, from + len, s->sack[0],
                 s->sack[1]);
}

static void blocks_against_model(void **state)
{
    static uint8_t have[70000];

    (void)state;
    seed_print((uint64_t)time(NULL));
    for (unsigned round = 0; round < 20; round++) {
        struct world *w = world_new();

        memset(have, 0, sizeof(have));
        passive_sack(w);
        for (unsigned i = 0; i < 100; i++) {
            uint32_t from = 1 + 100 * rnd(300), len = 100 * (1 + rnd(10)), old = 0;
            struct seg s;

            for (uint32_t b = from; b < from + len; b++)
                old += have[b];
            memset(have + from, 1, len);
            IN(w, A, from, 1, len);
            if (!out_count(w))
                continue; /* in order: may be delayed */
            s = out_any(w);
            while (out_count(w))
                out_any(w);
            assert_true(!old || s.sack[0]);
            blocks_check(&s, have, from, len, old != 0);
        }
        world_delete(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scoreboard_against_model),
        cmocka_unit_test(true_reports_are_marked_in_full),
        cmocka_unit_test(a_far_block_is_reached_by_and_by),
        cmocka_unit_test(blocks_latest_first),
        cmocka_unit_test(as_many_blocks_as_fit),
        cmocka_unit_test(a_burst_is_told_in_full),
        cmocka_unit_test(duplicates_are_told),
        cmocka_unit_test(data_carries_blocks_where_they_fit),
        cmocka_unit_test(no_blocks_unasked),
        cmocka_unit_test(unasked_blocks_are_not_read),
        cmocka_unit_test(blocks_against_model),
    };

    return cmocka_run_group_tests_name("tcp/sack", tests, test_eal, NULL);
}
