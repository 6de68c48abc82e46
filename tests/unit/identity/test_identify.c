#include "maker.h"

#include "identity/identity_internal.h"

struct fixture {
    struct maker *m;
    struct identity_worker *w;
    struct http_head head;
    struct span certificates;
    struct net_addr from;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    void *m;

    if (maker_set_up(&m))
        return -1;
    f->m = m;
    f->w = identity_worker_new(4);
    f->from = net_addr_v4(0xc0000201); /* 192.0.2.1: no source */
    identity_worker_adopt(f->w, f->m->set);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *m = f->m;

    identity_worker_free(f->w);
    free(f);
    return maker_tear_down(&m);
}

static void field(struct fixture *f, enum http_field_id id, const char *name, const char *value)
{
    f->head.fields[f->head.nfields++] =
        (struct http_field){.name = span_cstr(name), .value = span_cstr(value), .id = id};
}

static enum identity_cause identify(struct fixture *f, const char *connection,
                                    const struct identity **id)
{
    return identity_identify(f->w, maker_connection(f->m, connection), &f->head, f->certificates,
                             &f->from, NOW, id);
}

static void caller_is(struct fixture *f, const char *connection, const char *want)
{
    const struct identity *id;
    enum identity_cause why = identify(f, connection, &id);

    if (why != IDENTITY_NONE)
        fail_msg("expected %s, got %s", want, identity_cause_name(why));
    if (!span_eq(id->caller.id, span_cstr(want)))
        fail_msg("expected %s, got %.*s", want, SPAN_ARG(id->caller.id));
    identity_put(f->w, id);
    f->head.nfields = 0;
}

static void cause_is(struct fixture *f, const char *connection, enum identity_cause want)
{
    uint64_t before = counter_get(&identity_counters(f->w)->refused[want]);
    const struct identity *id;
    enum identity_cause why = identify(f, connection, &id);

    if (why != want)
        fail_msg("expected %s, got %s", identity_cause_name(want), identity_cause_name(why));
    assert_null(id);
    assert_int_equal(counter_get(&identity_counters(f->w)->refused[want]), before + 1);
    f->head.nfields = 0;
}

static const char *token_of(struct fixture *f, const char *sub)
{
    return maker_token(f->m, "ES256", KEY_P256, "p256",
                       arena_printf(&f->m->mem,
                                    "{\"iss\":\"https://idp.test\",\"aud\":\"turnpike\","
                                    "\"sub\":\"%s\",\"exp\":%llu}",
                                    sub, NOW_S + 60))
        .p;
}

static const char *basic(struct fixture *f, const char *user, const char *password)
{
    const char *text = arena_printf(&f->m->mem, "%s:%s", user, password);

    return arena_printf(&f->m->mem, "Basic %s", maker_base64(f->m, span_cstr(text), false).p);
}

static const char *bearer(struct fixture *f, const char *token)
{
    return arena_printf(&f->m->mem, "Bearer %s", token);
}

static void tokens_are_found_wherever_a_key_would_stand(void **state)
{
    struct fixture *f = *state;
    const char *t = token_of(f, "alice");

    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t);
    caller_is(f, "both", "alice");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", bearer(f, t));
    caller_is(f, "both", "alice");
    field(f, HTTP_F_AUTHORIZATION, "authorization", arena_printf(&f->m->mem, "bEARER   %s", t));
    caller_is(f, "both", "alice");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, t, ""));
    caller_is(f, "both", "alice");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, "ACxxxx", t));
    caller_is(f, "both", "alice");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", t);
    caller_is(f, "both", "alice");
    field(f, HTTP_F_X_API_KEY, "X-Api-Key", t);
    caller_is(f, "both", "alice");
    field(f, HTTP_F_OTHER, "dd-api-key", t);
    caller_is(f, "tokens", "alice");
    field(f, HTTP_F_OTHER, "dd-api-key", t); /* not this connection's field */
    cause_is(f, "both", IDENTITY_TOKEN_MISSING);
}

static void the_same_token_may_be_there_twice(void **state)
{
    struct fixture *f = *state;
    const char *t = token_of(f, "alice"), *other = token_of(f, "bob");

    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", bearer(f, t));
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, t, t));
    field(f, HTTP_F_X_API_KEY, "X-Api-Key", "sk_dummy");
    caller_is(f, "both", "alice");
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", bearer(f, other));
    cause_is(f, "both", IDENTITY_TOKEN_TWICE);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, t, other));
    cause_is(f, "both", IDENTITY_TOKEN_TWICE);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, "x", t));
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, "x", other));
    cause_is(f, "both", IDENTITY_TOKEN_TWICE);
}

static void a_bad_token_is_not_followed_by_the_address(void **state)
{
    struct fixture *f = *state;

    f->from = net_addr_v4(0x0a010203);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "Bearer eyJub3QgYSB0b2tlbg");
    cause_is(f, "both", IDENTITY_TOKEN_MALFORMED);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", "anything");
    cause_is(f, "both", IDENTITY_TOKEN_MALFORMED);
    /* A vendor's key is no token: such machines are known by their address. */
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "Bearer SG.abcdef.ghijkl");
    caller_is(f, "both", "one");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "Bearer sk_live_x");
    cause_is(f, "tokens", IDENTITY_TOKEN_MALFORMED);
    cause_is(f, "tokens", IDENTITY_TOKEN_MISSING);
}

static void sources_by_longest_prefix(void **state)
{
    struct fixture *f = *state;
    const struct identity *id;

    cause_is(f, "machines", IDENTITY_SOURCE_UNKNOWN);
    f->from = net_addr_v4(0x0a010203);
    caller_is(f, "machines", "one");
    f->from = net_addr_v4(0x0a010204);
    caller_is(f, "machines", "batch");
    assert_int_equal(identify(f, "machines", &id), IDENTITY_NONE);
    assert_true(span_eq(id->caller.method, SPAN_LIT("source")));
    assert_int_equal(id->caller.ngroups, 1);
    assert_true(span_eq(id->caller.groups[0], SPAN_LIT("machines")));
    assert_int_equal(id->expires_ns, UINT64_MAX);
    identity_put(f->w, id);
    /* A connection that lists no tokens does not look at them. */
    field(f, HTTP_F_AUTHORIZATION, "Authorization", bearer(f, token_of(f, "alice")));
    caller_is(f, "machines", "batch");
}

static void a_token_is_verified_once(void **state)
{
    struct fixture *f = *state;
    const struct identity_counters *c = identity_counters(f->w);
    const char *t = token_of(f, "alice");

    for (unsigned i = 0; i < 10; i++) {
        field(f, HTTP_F_AUTHORIZATION, "Authorization", bearer(f, t));
        caller_is(f, "both", "alice");
    }
    assert_int_equal(counter_get(&c->verified), 1);
    assert_int_equal(counter_get(&c->cache_hits), 9);
}

static void the_least_recently_used_goes(void **state)
{
    struct fixture *f = *state;
    const struct identity_counters *c = identity_counters(f->w);
    const char *names[] = {"a", "b", "c", "d", "e"}, *t[5];

    for (unsigned i = 0; i < 5; i++)
        t[i] = token_of(f, names[i]);
    for (unsigned i = 0; i < 4; i++) {
        field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t[i]);
        caller_is(f, "both", names[i]);
    }
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t[0]); /* used again: b is oldest now */
    caller_is(f, "both", "a");
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t[4]);
    caller_is(f, "both", "e");
    assert_int_equal(counter_get(&c->evicted), 1);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t[0]);
    caller_is(f, "both", "a");
    assert_int_equal(counter_get(&c->verified), 5);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t[1]);
    caller_is(f, "both", "b");
    assert_int_equal(counter_get(&c->verified), 6);
}

/* What a caller holds stays what it was, whatever happens to the cache and to the rules. */
static void held_identities_outlive_everything(void **state)
{
    struct fixture *f = *state;
    const struct identity *held[6];

    maker_load(f->m, "    groups: {before: 'true'}\n");
    identity_worker_adopt(f->w, f->m->set);
    for (unsigned i = 0; i < 6; i++) {
        f->head.nfields = 0;
        field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token",
              token_of(f, arena_printf(&f->m->mem, "caller-%u", i)));
        assert_int_equal(identify(f, "both", &held[i]), IDENTITY_NONE);
    }
    maker_load(f->m, "    groups: {after: 'true'}\n");
    identity_worker_adopt(f->w, f->m->set);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(
            span_eq(held[i]->caller.id, span_cstr(arena_printf(&f->m->mem, "caller-%u", i))));
        assert_true(span_eq(held[i]->caller.issuer, SPAN_LIT("idp")));
        assert_int_equal(held[i]->caller.ngroups, 1);
        assert_true(span_eq(held[i]->caller.groups[0], SPAN_LIT("before")));
        identity_put(f->w, held[i]);
    }
}

static void a_new_set_is_asked_again(void **state)
{
    struct fixture *f = *state;
    const char *t = token_of(f, "alice");

    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t);
    caller_is(f, "both", "alice");
    maker_write(f->m, "jwks.json",
                arena_printf(&f->m->mem, "{\"keys\":[%s]}", maker_jwk(f->m, KEY_P384, "p256", "")));
    maker_load(f->m, "");
    identity_worker_adopt(f->w, f->m->set);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", t);
    cause_is(f, "both", IDENTITY_TOKEN_KEY);
}

static void cached_tokens_expire(void **state)
{
    struct fixture *f = *state;
    const struct rules_connection *c = maker_connection(f->m, "both");
    const struct identity *id;
    uint64_t end = (NOW_S + 60 + 30) * NS_IN_S;

    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", token_of(f, "alice"));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            identity_identify(f->w, c, &f->head, f->certificates, &f->from, end - 1, &id),
            IDENTITY_NONE);
        identity_put(f->w, id);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(identity_identify(f->w, c, &f->head, f->certificates, &f->from, end, &id),
                         IDENTITY_TOKEN_EXPIRED);
}

static void large_and_broken_values(void **state)
{
    struct fixture *f = *state;
    char *large = arena_alloc(&f->m->mem, 40000);

    memset(large, 'e', 39999);
    memcpy(large, "eyJ", 3);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", large);
    cause_is(f, "both", IDENTITY_TOKEN_TOO_LARGE);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, large, ""));
    cause_is(f, "both", IDENTITY_TOKEN_TOO_LARGE);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "Basic !!!!");
    cause_is(f, "both", IDENTITY_TOKEN_MALFORMED);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "Basic");
    cause_is(f, "both", IDENTITY_TOKEN_MISSING);
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "");
    cause_is(f, "both", IDENTITY_TOKEN_MISSING);
    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", "");
    cause_is(f, "both", IDENTITY_TOKEN_MISSING);
    for (unsigned i = 0; i < 100; i++) /* many, each within bounds */
        field(f, HTTP_F_AUTHORIZATION, "Authorization",
              basic(f, "user", "password-of-some-length"));
    cause_is(f, "both", IDENTITY_TOKEN_MALFORMED);
}

/* Each is within bounds, all of them together are not. */
static void many_large_credentials(void **state)
{
    struct fixture *f = *state;
    char *large = arena_alloc(&f->m->mem, 5001);

    memset(large, 'x', 5000);
    for (unsigned i = 0; i < 10; i++)
        field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, large, ""));
    cause_is(f, "both", IDENTITY_TOKEN_TOO_LARGE);
}

/* The credentials that were decoded do not stay behind. */
static void scratch_is_wiped(void **state)
{
    struct fixture *f = *state;

    field(f, HTTP_F_AUTHORIZATION, "Authorization", basic(f, "canary-user", "canary-password"));
    cause_is(f, "both", IDENTITY_TOKEN_MALFORMED);
    assert_null(memmem(f->w->scratch, sizeof(f->w->scratch), "canary", 6));
}

static void token_fields_do_not_reach_the_vendor(void **state)
{
    struct fixture *f = *state;
    const struct rules_connection *c = maker_connection(f->m, "tokens");

    field(f, HTTP_F_TURNPIKE_TOKEN, "Turnpike-Token", "");
    field(f, HTTP_F_AUTHORIZATION, "Authorization", "");
    field(f, HTTP_F_X_API_KEY, "X-Api-Key", "");
    field(f, HTTP_F_OTHER, "DD-API-KEY", "");
    for (unsigned i = 0; i < 4; i++)
        assert_true(identity_is_token_field(c, &f->head.fields[i]));
    assert_false(identity_is_token_field(maker_connection(f->m, "both"), &f->head.fields[3]));
    field(f, HTTP_F_USER_AGENT, "User-Agent", "");
    assert_false(identity_is_token_field(c, &f->head.fields[4]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tokens_are_found_wherever_a_key_would_stand),
        TEST(the_same_token_may_be_there_twice),
        TEST(a_bad_token_is_not_followed_by_the_address),
        TEST(sources_by_longest_prefix),
        TEST(a_token_is_verified_once),
        TEST(the_least_recently_used_goes),
        TEST(held_identities_outlive_everything),
        TEST(a_new_set_is_asked_again),
        TEST(cached_tokens_expire),
        TEST(large_and_broken_values),
        TEST(many_large_credentials),
        TEST(scratch_is_wiped),
        TEST(token_fields_do_not_reach_the_vendor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
