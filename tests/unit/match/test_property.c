/* Stream, buffer and model agree on every byte, whatever the text and wherever it is cut. */
#include "match_test.h"

#define ROOM 9000

static size_t cut_one(uint64_t *seed, size_t left)
{
    (void)seed;
    (void)left;
    return 1;
}

static size_t cut_some(uint64_t *seed, size_t left)
{
    size_t n = rnd_below(seed, 40);
    return n < left ? n : left;
}

static size_t cut_many(uint64_t *seed, size_t left)
{
    size_t n = rnd_below(seed, 6000);
    return n < left ? n : left;
}

static unsigned total(const struct match_found *f, unsigned id)
{
    return match_found_count(f, id);
}

static void compare(struct rig *r, enum match_syntax syntax, uint64_t seed, const char *in,
                    size_t n)
{
    static cut_fn *const cuts[] = {cut_one, cut_some, cut_many};
    char *want = malloc(n + 1), *got = malloc(n + 1);
    struct match_found found = {0};
    struct model_found model;
    struct run run;
    uint64_t cut_seed = seed;

    memcpy(want, in, n);
    memcpy(got, in, n);
    model_mask(&r->m, syntax, want, n, &model);
    assert_true(match_buffer(r->w, r->db, &r->policy, syntax, got, n, &found));
    same_bytes("buffer", seed, in, want, got, n);
    assert_int_equal(total(&found, 0), model.cards);
    assert_int_equal(total(&found, 1), model.mails);
    assert_int_equal(found.secrets > 0, model.secret_bytes > 0);
    for (unsigned i = n > 3000 ? 1 : 0; i < 3; i++) {
        memcpy(got, in, n);
        stream_all(r, syntax, got, n, cuts[i], &cut_seed, &run);
        same_bytes("stream", seed, in, want, got, n);
        same_found(&run.found, &found);
        assert_true(run.held_most <= MATCH_LOOKBACK);
    }
    free(want);
    free(got);
}

static void run_model(const struct model *m, uint64_t seed, unsigned rounds)
{
    struct rig r;
    char *in = malloc(ROOM);

    rig_up(&r, m);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t one = rnd(&seed), s = one;
        enum match_syntax syntax = (enum match_syntax)rnd_below(&s, 3);
        size_t n = random_text(&s, m, syntax, in, rnd_below(&s, 10) ? 700 : ROOM);
        compare(&r, syntax, one, in, n);
    }
    free(in);
    rig_down(&r);
}

static unsigned rounds(void)
{
    const char *s = getenv("MATCH_ROUNDS");
    return s ? (unsigned)atoi(s) : 100;
}

static void test_known(void **state)
{
    uint64_t seed = rnd_seed();

    (void)state;
    for (int keep = MATCH_KEEP_LAST4; keep <= MATCH_KEEP_NONE; keep++) {
        struct model m = {.card = keep, .mail = keep};
        run_model(&m, seed + (unsigned)keep, rounds());
    }
}

static void test_secrets(void **state)
{
    static char big[300];
    struct model m = {.card = MATCH_KEEP_LAST4,
                      .mail = MATCH_KEEP_LAST4,
                      .secret = {SPAN_LIT("sk_live_0123abcDEF"),
                                 SPAN_LIT("p\"q\\n/%41+b c@d.com"),
                                 SPAN_LIT("12345678"),
                                 {big, sizeof(big)}},
                      .secrets = 4};

    (void)state;
    for (unsigned i = 0; i < sizeof(big); i++)
        big[i] = (char)(i % 7 ? 'a' + i % 26 : 33 + i % 90);
    run_model(&m, rnd_seed(), rounds());
}

static void test_patterns(void **state)
{
    struct model m = {.card = MATCH_KEEP_LAST4,
                      .mail = MODEL_NONE,
                      .pattern = {{"E-[0-9]{7}\\b", false},
                                  {"\\b[xyz]{3,12}$", false},
                                  {"\\b[0-9]{6,9}\\b", true},
                                  {"(?i)e[^y]{2,20}x", false}},
                      .patterns = 4};

    (void)state;
    run_model(&m, rnd_seed(), rounds());
    m.pattern[3].text = "4[^:]{995}y";
    m.pattern_keep = MATCH_KEEP_NONE;
    run_model(&m, rnd_seed() + 1, rounds());
}

/* What was masked once is left alone by a second pass. */
static void test_again(void **state)
{
    uint64_t seed = rnd_seed();
    char *in = malloc(ROOM);

    (void)state;
    for (int keep = MATCH_KEEP_LAST4; keep <= MATCH_KEEP_NONE; keep++) {
        struct model m = {.card = keep, .mail = keep};
        struct rig r;
        rig_up(&r, &m);
        for (unsigned i = 0; i < rounds(); i++) {
            char number[40], text[3][80];
            struct match_found found = {0}, again = {0};
            random_card(&seed, number);
            snprintf(text[0], 80, "{\"a\":%s}", number);
            snprintf(text[1], 80, "{\"a\":\"x %s y\"}", number);
            snprintf(text[2], 80, "{\"a\":-%s.50,\"m\":\"jo.e@ex-a%u.org\"}", number, i);
            for (unsigned k = 0; k < 3; k++) {
                size_t n = strlen(text[k]);
                assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_JSON, text[k], n, &found));
                assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_JSON, text[k], n, &again));
                if (again.which)
                    fail_msg("keep %d: found again in %s", keep, text[k]);
            }
            assert_int_equal(match_found_count(&found, 0), 3);
            assert_int_equal(match_found_count(&found, 1), 1);
        }
        rig_down(&r);
    }
    free(in);
}

/* Escapes make a few characters of text many raw bytes: what waits stays within its bound. */
static void test_escapes(void **state)
{
    static const char secret[] = "a-credential-of-some-length-0123456789";
    struct model m = {.card = MATCH_KEEP_LAST4,
                      .mail = MATCH_KEEP_NONE,
                      .secret = {SPAN_LIT(secret)},
                      .secrets = 1,
                      .pattern = {{"<.{300}", false}},
                      .patterns = 1};
    struct rig r;
    char *in = malloc(ROOM);

    (void)state;
    rig_up(&r, &m);
    for (unsigned domain = 60; domain <= 300; domain += 7) {
        size_t n = 0;
        char text[700];
        int len =
            snprintf(text, sizeof(text), "<%064u@%060u.%060u.%060u.%060u.%s 4242 4242 4242 4242 >",
                     1u, 2u, 3u, 4u, 5u, secret);
        memmove(text + domain, ".com", 4);
        for (int i = 0; i < len; i++)
            n += (size_t)sprintf(in + n, "\\u%04x", (unsigned char)text[i]);
        compare(&r, MATCH_JSON, domain, in, n);
    }
    free(in);
    rig_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),    cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_again),
        cmocka_unit_test(test_escapes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    model_done();
    return failed;
}
