/* Held calls one after the other: each edge of the diagram in hold.h, and each bound. */
#include "hold_test.h"

static void test_approve_forward_settle(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    state_is(b, id, HOLD_HELD);
    assert_int_equal(hold_next(b->t), b->now + WAIT);
    assert_int_equal(approve(b, id, "ann"), HOLD_DONE);
    assert_string_equal(hear(b, HOLD_MSG_APPROVED, 7)->who, "ann");
    state_is(b, id, HOLD_APPROVED);
    say(b, HOLD_MSG_FORWARDED, 7, NULL);
    state_is(b, id, HOLD_FORWARDED);
    say(b, HOLD_MSG_SETTLED, 7, NULL);
    state_is(b, id, HOLD_SETTLED);
    assert_int_equal(hold_find(b->t, id)->status, 200);
    assert_int_equal(approve(b, id, "bob"), HOLD_ENDED);
    assert_int_equal(deny(b, id, "bob"), HOLD_ENDED);
    silence(b);
    free(r);
    bed_free(b);
}

static void test_deny(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);
    const struct hold_message *m;

    (void)state;
    assert_int_equal(deny(b, id, "ann"), HOLD_DONE);
    m = hear(b, HOLD_MSG_DENIED, 7);
    assert_string_equal(m->who, "ann");
    assert_string_equal(m->reason, "no");
    state_is(b, id, HOLD_DENIED);
    assert_int_equal(approve(b, id, "bob"), HOLD_ENDED);
    /* The same call once more is a new question. */
    assert_int_not_equal(open_hold(b, 8, r), id);
    free(r);
    bed_free(b);
}

static void test_pending_then_granted_runs_once(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    b->now += WAIT - 1;
    hold_tick(b->t, b->now);
    silence(b);
    b->now += 1;
    hold_tick(b->t, b->now);
    hear(b, HOLD_MSG_PENDING, 7);
    state_is(b, id, HOLD_PENDING);
    assert_int_equal(approve(b, id, "ann"), HOLD_DONE);
    state_is(b, id, HOLD_GRANTED);
    silence(b); /* nobody waits */
    assert_int_equal(open_hold(b, 8, r), id);
    assert_string_equal(hear(b, HOLD_MSG_APPROVED, 8)->who, "ann");
    /* While it runs, and afterwards, the grant is gone. */
    assert_int_equal(open_hold(b, 9, r), id);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 9)->reason, "approval_used");
    say(b, HOLD_MSG_SETTLED, 8, NULL);
    assert_int_not_equal(open_hold(b, 10, r), id);
    silence(b);
    free(r);
    bed_free(b);
}

static void test_deny_takes_a_grant_back(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    b->now += WAIT;
    hold_tick(b->t, b->now);
    hear(b, HOLD_MSG_PENDING, 7);
    assert_int_equal(approve(b, id, "ann"), HOLD_DONE);
    assert_int_equal(approve(b, id, "bob"), HOLD_ENDED);
    assert_int_equal(deny(b, id, "bob"), HOLD_DONE);
    state_is(b, id, HOLD_DENIED);
    assert_int_not_equal(open_hold(b, 8, r), id);
    silence(b); /* no verdict: it is held afresh */
    free(r);
    bed_free(b);
}

static void test_expiry(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1), *other = request_new("ci", 2);
    uint64_t pending = open_hold(b, 7, r), granted = open_hold(b, 8, other);

    (void)state;
    b->now += WAIT;
    hold_tick(b->t, b->now);
    b->wire.read = b->wire.n;
    b->now += GRANT - 5 * SECOND;
    assert_int_equal(approve(b, granted, "ann"), HOLD_DONE);
    b->now += 5 * SECOND;
    hold_tick(b->t, b->now);
    state_is(b, pending, HOLD_EXPIRED);
    state_is(b, granted, HOLD_GRANTED); /* its limit counts from the approval */
    b->now += GRANT;
    hold_tick(b->t, b->now);
    state_is(b, granted, HOLD_EXPIRED);
    assert_int_equal(approve(b, pending, "ann"), HOLD_ENDED);
    assert_int_equal(hold_next(b->t), UINT64_MAX);
    silence(b);
    free(r);
    free(other);
    bed_free(b);
}

/* Worker messages may get lost; a record must not stand open for good because of it. */
static void test_forwarded_without_an_end(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1), *other = request_new("ci", 2);
    uint64_t sent = open_hold(b, 7, r), unheard = open_hold(b, 8, other);

    (void)state;
    approve(b, sent, "ann");
    approve(b, unheard, "ann");
    say(b, HOLD_MSG_FORWARDED, 7, NULL);
    b->now += GRANT;
    hold_tick(b->t, b->now);
    state_is(b, sent, HOLD_SETTLED);
    assert_int_equal(hold_find(b->t, sent)->status, 0);
    state_is(b, unheard, HOLD_EXPIRED);
    free(r);
    free(other);
    bed_free(b);
}

static void test_caller_leaves(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    say(b, HOLD_MSG_CANCELLED, 7, NULL);
    state_is(b, id, HOLD_CANCELLED);
    assert_int_equal(approve(b, id, "ann"), HOLD_ENDED);
    silence(b);
    /* The approval and the leaving cross on the wire. */
    id = open_hold(b, 8, r);
    assert_int_equal(approve(b, id, "ann"), HOLD_DONE);
    hear(b, HOLD_MSG_APPROVED, 8);
    say(b, HOLD_MSG_CANCELLED, 8, NULL);
    state_is(b, id, HOLD_CANCELLED);
    say(b, HOLD_MSG_FORWARDED, 8, NULL);
    state_is(b, id, HOLD_CANCELLED);
    assert_int_not_equal(open_hold(b, 9, r), id);
    silence(b);
    free(r);
    bed_free(b);
}

static void test_retry_replaces_the_waiting_call(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id;

    (void)state;
    strcpy(r->call, "first");
    id = open_hold(b, 7, r);
    b->now += 5 * SECOND;
    strcpy(r->call, "second");
    say(b, HOLD_MSG_OPEN, 8, r);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 7)->reason, "replaced_by_retry");
    assert_int_equal(hear(b, HOLD_MSG_OPENED, 8)->hold, id);
    assert_int_equal(hold_find(b->t, id)->attached, 2);
    assert_string_equal(hold_find(b->t, id)->request.call, "second");
    assert_int_equal(hold_find(b->t, id)->deadline_ns, b->now + WAIT);
    say(b, HOLD_MSG_CANCELLED, 7, NULL); /* the first one's end is not the second one's */
    state_is(b, id, HOLD_HELD);
    approve(b, id, "ann");
    hear(b, HOLD_MSG_APPROVED, 8);
    silence(b);
    free(r);
    bed_free(b);
}

static void test_another_caller_shares_nothing(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1), *other = request_new("cd", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    assert_int_not_equal(open_hold(b, 8, other), id);
    assert_int_equal(hold_find(b->t, id)->attached, 1);
    free(r);
    free(other);
    bed_free(b);
}

static void test_quorum(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id;
    char name[16];

    (void)state;
    r->quorum = HOLD_QUORUM_MAX;
    id = open_hold(b, 7, r);
    for (unsigned i = 0; i + 1 < HOLD_QUORUM_MAX; i++) {
        snprintf(name, sizeof(name), "r%u", i);
        assert_int_equal(approve(b, id, name), HOLD_COUNTED);
        assert_int_equal(approve(b, id, name), HOLD_TWICE);
        state_is(b, id, HOLD_HELD);
    }
    silence(b);
    assert_int_equal(approve(b, id, "last"), HOLD_DONE);
    hear(b, HOLD_MSG_APPROVED, 7);
    assert_int_equal(hold_find(b->t, id)->approvals, HOLD_QUORUM_MAX);
    free(r);
    bed_free(b);
}

/* "r1" is not "r10", and the other way round. */
static void test_twice_is_by_whole_name(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id;

    (void)state;
    r->quorum = 3;
    id = open_hold(b, 7, r);
    assert_int_equal(approve(b, id, "r10"), HOLD_COUNTED);
    assert_int_equal(approve(b, id, "r1"), HOLD_COUNTED);
    assert_int_equal(approve(b, id, "r100"), HOLD_DONE);
    free(r);
    bed_free(b);
}

static void test_a_quorum_that_cannot_be_counted_is_refused(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);

    (void)state;
    r->quorum = HOLD_QUORUM_MAX + 1;
    assert_int_equal(open_hold(b, 7, r), 0);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 7)->reason, "quorum_too_large");
    assert_int_equal(hold_next(b->t), UINT64_MAX);
    free(r);
    bed_free(b);
}

static void test_who_may_decide(void **state)
{
    static const struct span others[] = {SPAN_LIT("fin"), SPAN_LIT("finance2"), SPAN_LIT("")};
    struct hold_reviewer by = {.name = SPAN_LIT("eve"), .groups = others, .ngroups = 3};
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    char longest[65];
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    assert_int_equal(hold_approve(b->t, id, &by, SPAN_NONE, b->now), HOLD_NOT_A_REVIEWER);
    assert_int_equal(hold_deny(b->t, id, &by, SPAN_NONE, b->now), HOLD_NOT_A_REVIEWER);
    assert_int_equal(approve(b, id, "ci"), HOLD_OWN_CALL);
    assert_int_equal(deny(b, id, "ci"), HOLD_OWN_CALL);
    assert_int_equal(approve(b, id + 1, "ann"), HOLD_NO_SUCH);
    memset(longest, 'x', 64);
    longest[64] = 0;
    assert_int_equal(approve(b, id, longest), HOLD_NOT_A_REVIEWER);
    state_is(b, id, HOLD_HELD);
    silence(b);
    by.any_group = true;
    assert_int_equal(hold_approve(b->t, id, &by, SPAN_NONE, b->now), HOLD_DONE);
    free(r);
    bed_free(b);
}

static void test_ceilings(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 0), *other = request_new("cd", 1);
    uint64_t first = 0;

    (void)state;
    for (unsigned i = 0; i < HOLD_CALLER_MAX; i++) {
        uint64_t id;

        memcpy(r->digest, &i, sizeof(i));
        id = open_hold(b, 100 + i, r);
        assert_int_not_equal(id, 0);
        first = first ? first : id;
    }
    memset(r->digest, 0xee, sizeof(r->digest));
    assert_int_equal(open_hold(b, 1000, r), 0);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 1000)->reason, "too_many_holds");
    assert_int_not_equal(open_hold(b, 1001, other), 0); /* nobody else's trouble */
    deny(b, first, "ann");
    hear(b, HOLD_MSG_DENIED, 100);
    assert_int_not_equal(open_hold(b, 1002, r), 0);
    free(r);
    free(other);
    bed_free(b);
}

static void test_open_max(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 0);

    (void)state;
    for (unsigned i = 0; i < HOLD_OPEN_MAX; i++) {
        memcpy(r->digest, &i, sizeof(i));
        snprintf(r->caller, sizeof(r->caller), "ci-%u", i / 32);
        assert_int_not_equal(open_hold(b, 1 + i, r), 0);
    }
    strcpy(r->caller, "one more");
    assert_int_equal(open_hold(b, 99999, r), 0);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 99999)->reason, "too_many_holds");
    free(r);
    bed_free(b);
}

static void test_idempotency_conflict(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1), *other = request_new("ci", 2);
    uint64_t id;

    (void)state;
    strcpy(r->idempotency_key, "aa");
    strcpy(other->idempotency_key, "aa");
    id = open_hold(b, 7, r);
    assert_int_equal(open_hold(b, 8, other), 0);
    assert_string_equal(hear(b, HOLD_MSG_REFUSED, 8)->reason, "idempotency_conflict");
    state_is(b, id, HOLD_HELD);
    strcpy(other->caller, "cd"); /* keys are each caller's own */
    assert_int_not_equal(open_hold(b, 9, other), 0);
    silence(b);
    free(r);
    free(other);
    bed_free(b);
}

static void test_full_ring_keeps_order(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1), *other = request_new("ci", 2);
    uint64_t id;

    (void)state;
    id = open_hold(b, 7, r);
    b->wire.capacity = 0;
    approve(b, id, "ann");
    say(b, HOLD_MSG_OPEN, 8, other);
    silence(b);
    assert_int_equal(hold_next(b->t), 0); /* as soon as may be */
    b->wire.capacity = 1;
    hold_tick(b->t, b->now);
    hear(b, HOLD_MSG_APPROVED, 7);
    silence(b);
    b->wire.capacity = 0;
    b->now += WAIT;
    hold_tick(b->t, b->now); /* call 8's wait runs out before it has heard of its record */
    b->wire.capacity = UINT32_MAX;
    hold_tick(b->t, b->now);
    assert_ptr_equal(hear(b, HOLD_MSG_OPENED, 8)->request, other);
    hear(b, HOLD_MSG_PENDING, 8);
    silence(b);
    free(r);
    free(other);
    bed_free(b);
}

/* Ended records are bounded, oldest end first: the one decided just now can always be shown. */
static void test_kept_bound(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 0), *old = request_new("cd", 1);
    uint64_t oldest = open_hold(b, 1, old), first = 0, at = 0;
    unsigned kept = 0;

    (void)state;
    for (unsigned i = 0; i < HOLD_KEPT_MAX; i++) {
        uint64_t id;

        memcpy(r->digest, &i, sizeof(i));
        id = open_hold(b, 10 + i, r);
        first = first ? first : id;
        deny(b, id, "ann");
        hear(b, HOLD_MSG_DENIED, 10 + i);
    }
    assert_non_null(hold_find(b->t, first));
    assert_int_equal(deny(b, oldest, "ann"), HOLD_DONE);
    state_is(b, oldest, HOLD_DENIED);
    assert_null(hold_find(b->t, first));
    while (hold_next_record(b->t, true, &at))
        kept++;
    assert_int_equal(kept, HOLD_KEPT_MAX);
    at = 0;
    assert_null(hold_next_record(b->t, false, &at));
    free(r);
    free(old);
    bed_free(b);
}

static void test_messages_out_of_place(void **state)
{
    struct bed *b = bed_new();
    struct hold_request *r = request_new("ci", 1);
    uint64_t id = open_hold(b, 7, r);

    (void)state;
    say(b, HOLD_MSG_FORWARDED, 7, NULL); /* never approved */
    state_is(b, id, HOLD_HELD);
    say(b, HOLD_MSG_SETTLED, 99, NULL);
    say(b, HOLD_MSG_CANCELLED, 0, NULL);
    say(b, (enum hold_message_type)77, 7, NULL);
    say(b, HOLD_MSG_APPROVED, 7, NULL); /* not a worker's to say */
    state_is(b, id, HOLD_HELD);
    silence(b);
    free(r);
    bed_free(b);
}

static void test_ids(void **state)
{
    char text[HOLD_ID_TEXT];
    uint64_t id;

    (void)state;
    assert_true(hold_id_parse(span_cstr(hold_id_text(UINT64_MAX, text)), &id));
    assert_true(id == UINT64_MAX);
    assert_true(hold_id_parse(span_cstr(hold_id_text(0xabc, text)), &id));
    assert_int_equal(id, 0xabc);
    assert_false(hold_id_parse(SPAN_LIT("h-00000000000000000"), &id));
    assert_false(hold_id_parse(SPAN_LIT("h-000000000000000"), &id));
    assert_false(hold_id_parse(SPAN_LIT("h-000000000000000G"), &id));
    assert_false(hold_id_parse(SPAN_LIT("x-0000000000000000"), &id));
    assert_false(hold_id_parse(SPAN_NONE, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_approve_forward_settle),
        cmocka_unit_test(test_deny),
        cmocka_unit_test(test_pending_then_granted_runs_once),
        cmocka_unit_test(test_deny_takes_a_grant_back),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_forwarded_without_an_end),
        cmocka_unit_test(test_caller_leaves),
        cmocka_unit_test(test_retry_replaces_the_waiting_call),
        cmocka_unit_test(test_another_caller_shares_nothing),
        cmocka_unit_test(test_quorum),
        cmocka_unit_test(test_twice_is_by_whole_name),
        cmocka_unit_test(test_a_quorum_that_cannot_be_counted_is_refused),
        cmocka_unit_test(test_who_may_decide),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_open_max),
        cmocka_unit_test(test_idempotency_conflict),
        cmocka_unit_test(test_full_ring_keeps_order),
        cmocka_unit_test(test_kept_bound),
        cmocka_unit_test(test_messages_out_of_place),
        cmocka_unit_test(test_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
