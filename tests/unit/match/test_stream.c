/* Databases, workers, what is held back, JSON that stays JSON, and what it costs. */
#include "match_test.h"

#include <jansson.h>
#include <x86intrin.h>

#include "match/match_internal.h"

static const struct model both = {.card = MATCH_KEEP_LAST4, .mail = MATCH_KEEP_LAST4};

/* --------------------------------------------------------------- databases */

static void test_empty(void **state)
{
    struct match_builder *b = match_builder_new();
    char why[256] = "", buf[] = "4242424242424242";
    struct match_db *db = match_builder_compile(b, why);
    struct match_worker *w = match_worker_new(1);
    struct match_policy p = {.detectors = UINT64_MAX};
    struct match_found found = {0};
    struct match_stream *s;

    (void)state;
    assert_non_null(db);
    assert_true(match_worker_adopt(w, db));
    assert_true(match_buffer(w, db, &p, MATCH_JSON, buf, 16, &found));
    assert_string_equal(buf, "4242424242424242");
    s = match_stream_open(w, db, &p, MATCH_PLAIN);
    assert_int_equal(match_stream_scan(s, buf, 0, 16, false), 16);
    assert_int_equal(match_stream_scan(s, buf, 0, 0, true), 0);
    match_stream_close(s);
    match_worker_free(w);
    match_db_free(db);
    match_builder_free(b);
}

static void refused(struct match_builder *b, const char *name, const char *pattern,
                    const char *check, const char *because)
{
    char why[256] = "";

    assert_int_equal(
        match_builder_add_pattern(b, span_cstr(name), span_cstr(pattern), span_cstr(check), why),
        -1);
    if (!strstr(why, because))
        fail_msg("%s: expected \"%s\" in \"%s\"", pattern, because, why);
}

static void test_refused(void **state)
{
    struct match_builder *b = match_builder_new();
    char why[256] = "";

    (void)state;
    assert_int_equal(match_builder_add_known(b, SPAN_LIT("pii.unknown")), -1);
    assert_int_equal(match_builder_add_known(b, SPAN_LIT("pci.card")), 0);
    assert_int_equal(match_builder_add_known(b, SPAN_LIT("pci.card")), 0);
    refused(b, "a", "x*", "", "empty");
    refused(b, "a", "a.*b", "", "no bound");
    refused(b, "a", "a[0-9]{1001}", "", "limit is 1000");
    refused(b, "a", "(", "", "arenthes");
    refused(b, "a", "a(?=b)", "", "upported");
    refused(b, "a", "ab", "mod97", "luhn");
    refused(b, "a", "", "", "empty");
    refused(b, "", "ab", "", "name");
    refused(b, "pci.card", "ab", "", "already");
    assert_int_equal(match_builder_add_pattern(b, SPAN_LIT("acme.id"), SPAN_LIT("E-\\d{7}"),
                                               SPAN_LIT("luhn"), why),
                     1);
    assert_false(match_builder_add_secret(b, SPAN_LIT("s"), SPAN_LIT("1234567")));
    assert_true(match_builder_add_secret(b, SPAN_LIT("s"), SPAN_LIT("12345678")));
    for (unsigned i = 2; i < MATCH_DETECTORS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n.%u", i);
        assert_int_equal(
            match_builder_add_pattern(b, span_cstr(name), SPAN_LIT("ab"), SPAN_NONE, why), i);
    }
    refused(b, "one.more", "ab", "", "too many");
    match_builder_free(b);
}

static void test_names(void **state)
{
    struct model m = both;
    struct rig r;

    (void)state;
    m.pattern[0].text = "E-[0-9]{7}";
    m.patterns = 1;
    rig_up(&r, &m);
    assert_int_equal(match_db_detectors(r.db), 3);
    assert_true(span_eq(match_db_name(r.db, 1), SPAN_LIT("pii.email")));
    assert_null(match_db_name(r.db, 3).p);
    assert_int_equal(match_db_find(r.db, SPAN_LIT("test.0")), 2);
    assert_int_equal(match_db_find(r.db, SPAN_LIT("test")), -1);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("*")), 7);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("p*")), 3);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("pii.*")), 2);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("*.*a*")), 3);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("pci.card")), 1);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("pci")), 0);
    assert_int_equal(match_db_glob(r.db, SPAN_LIT("")), 0);
    rig_down(&r);
}

/* ----------------------------------------------------------------- streams */

static void test_pool(void **state)
{
    struct match_stream *s[5];
    struct rig r, other;
    char text[] = "4242424242424242,";

    (void)state;
    rig_up(&r, &both);
    rig_up(&other, &both);
    assert_null(match_stream_open(r.w, other.db, &other.policy, MATCH_PLAIN)); /* not adopted */
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(s[i] = match_stream_open(r.w, r.db, &r.policy, MATCH_PLAIN));
    assert_null(match_stream_open(r.w, r.db, &r.policy, MATCH_PLAIN));
    match_stream_close(s[2]);
    assert_true(match_worker_adopt(r.w, other.db)); /* older streams stay open */
    assert_non_null(s[2] = match_stream_open(r.w, other.db, &other.policy, MATCH_PLAIN));
    assert_null(match_stream_open(r.w, other.db, &other.policy, MATCH_PLAIN));
    assert_int_equal(match_stream_scan(s[0], text, 0, 8, false), 0);
    assert_int_equal(match_stream_scan(s[2], text, 0, 8, false), 0);
    assert_int_equal(match_stream_scan(s[0], text, 8, 9, false), 17);
    assert_string_equal(text, "************4242,");
    assert_int_equal(match_stream_scan(s[2], text, 7, 9, false), SIZE_MAX); /* held 8 */
    assert_int_equal(match_stream_scan(s[2], text, 8, 9, false), SIZE_MAX); /* and stays so */
    for (unsigned i = 0; i < 4; i++)
        match_stream_close(s[i]);
    match_db_free(r.db); /* a worker may outlive its databases */
    r.db = NULL;
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(s[i] = match_stream_open(r.w, other.db, &other.policy, MATCH_PLAIN));
    match_worker_free(r.w);
    rig_down(&other);
}

static void test_generations(void **state)
{
    struct rig r, old[12];
    struct match_stream *s;
    char text[] = "4242424242424242,";

    (void)state;
    rig_up(&r, &both);
    s = match_stream_open(r.w, r.db, &r.policy, MATCH_PLAIN);
    for (unsigned i = 0; i < 12; i++) {
        rig_up(&old[i], &both);
        assert_true(match_worker_adopt(r.w, old[i].db));
    }
    /* Each stays ready until it is forgotten, with what is open on it. */
    match_stream_close(match_stream_open(r.w, old[0].db, &r.policy, MATCH_PLAIN));
    match_worker_forget(r.w, old[0].db);
    assert_null(match_stream_open(r.w, old[0].db, &r.policy, MATCH_PLAIN));
    match_worker_forget(r.w, old[0].db);
    match_worker_forget(r.w, r.db);
    assert_int_equal(match_stream_scan(s, text, 0, 17, false), 17);
    assert_string_equal(text, "************4242,");
    match_stream_close(s);
    for (unsigned i = 0; i < 12; i++)
        rig_down(&old[i]);
    rig_down(&r);
}

static size_t holds(struct rig *r, enum match_syntax syntax, const char *text)
{
    struct match_stream *s = match_stream_open(r->w, r->db, &r->policy, syntax);
    size_t n = strlen(text), gone;
    char *buf = strdup(text);

    gone = match_stream_scan(s, buf, 0, n, false);
    free(buf);
    match_stream_close(s);
    assert_true(gone <= n);
    return n - gone;
}

static void test_held(void **state)
{
    struct model m = both;
    struct rig r;

    (void)state;
    m.secret[0] = SPAN_LIT("sk_live_0123456789");
    m.secrets = 1;
    rig_up(&r, &m);
    assert_int_equal(holds(&r, MATCH_JSON, "{\"a\":\"4242424242424242\"}"), 0);
    assert_int_equal(holds(&r, MATCH_JSON, "{\"a\":\"john@example.com\"}"), 0);
    assert_int_equal(holds(&r, MATCH_PLAIN, "john@example.com\n"), 0);
    assert_int_equal(holds(&r, MATCH_PLAIN, "4242424242424242\n"), 0);
    assert_int_equal(holds(&r, MATCH_PLAIN, "4242424242424242"), 16);
    assert_int_equal(holds(&r, MATCH_PLAIN, ": 4242 42-"), 8);
    assert_int_equal(holds(&r, MATCH_PLAIN, ": 4242 42 "), 8);
    assert_int_equal(holds(&r, MATCH_PLAIN, ": 4242 42  "), 0);
    assert_int_equal(holds(&r, MATCH_PLAIN, ": 4242 1111 1111 1111 1111 "), 0);
    assert_int_equal(holds(&r, MATCH_PLAIN, "<a.b@c"), 5);
    assert_int_equal(holds(&r, MATCH_PLAIN, "<a.b@"), 4);
    assert_int_equal(holds(&r, MATCH_PLAIN, "<sk_live_!"), 0);
    assert_int_equal(holds(&r, MATCH_JSON, "\"\\u00"), 4);
    assert_int_equal(holds(&r, MATCH_JSON, "\"\\ud83d\\ude0"), 11);
    assert_int_equal(holds(&r, MATCH_FORM, "x=%"), 1);
    rig_down(&r);
}

/* Longer rows of digits than any card has flow on, and hide no card behind them. */
static void test_long_run(void **state)
{
    struct model m = {.card = MATCH_KEEP_LAST4, .mail = MODEL_NONE};
    struct match_stream *s;
    struct rig r;
    char buf[64];
    size_t held = 0;

    (void)state;
    rig_up(&r, &m);
    s = match_stream_open(r.w, r.db, &r.policy, MATCH_PLAIN);
    for (unsigned i = 0; i < 5000; i++) {
        size_t gone;
        buf[held] = "42"[i % 2];
        gone = match_stream_scan(s, buf, held, 1, false);
        held = held + 1 - gone;
        assert_true(held <= 19);
    }
    assert_int_equal(held, 0);
    memcpy(buf, " 4242424242424242,", 19);
    assert_int_equal(match_stream_scan(s, buf, 0, 18, true), 18);
    assert_string_equal(buf, " ************4242,");
    match_stream_close(s);
    rig_down(&r);
}

/* -------------------------------------------------------------------- JSON */

static const char *random_escape(uint64_t *seed, char c, char out[8])
{
    if (c == '"' || c == '\\' || rnd_below(seed, 12) == 0)
        snprintf(out, 8, "\\u%04x", (unsigned char)c);
    else
        snprintf(out, 8, "%c", c);
    return out;
}

static size_t random_string(uint64_t *seed, char *out)
{
    char text[200], one[8], *p = out;
    struct model m = both;
    size_t n = random_text(seed, &m, MATCH_PLAIN, text, 120);

    *p++ = '"';
    for (size_t i = 0; i < n; i++)
        if (text[i] >= ' ' && text[i] < 127)
            p = stpcpy(p, random_escape(seed, text[i], one));
    *p++ = '"';
    return (size_t)(p - out);
}

static size_t random_json(uint64_t *seed, char *out)
{
    char *p = out, d[40];

    *p++ = '[';
    for (unsigned i = rnd_below(seed, 12); i; i--) {
        switch (rnd_below(seed, 4)) {
        case 0:
            p += random_string(seed, p);
            break;
        case 1:
            random_card(seed, d);
            p += sprintf(p, "%s%s%s", rnd_below(seed, 2) ? "-" : "", d,
                         rnd_below(seed, 2) ? "" : ".25e1");
            break;
        case 2:
            p = stpcpy(p, "{\"a\\\\\\\"\":true}");
            break;
        default:
            p += sprintf(p, "%u", rnd_below(seed, 100000));
        }
        p = stpcpy(p, ",\n ");
    }
    p = stpcpy(p, "null]");
    return (size_t)(p - out);
}

static size_t cut_all(uint64_t *seed, size_t left)
{
    size_t n = 1 + rnd_below(seed, 100);
    return n < left ? n : left;
}

static void must_parse(const char *what, const char *p, size_t n, const char *in)
{
    json_error_t e;
    json_t *j = json_loadb(p, n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &e);

    if (!j)
        fail_msg("%s: %s\nbefore %.*s\nafter  %.*s", what, e.text, (int)n, in, (int)n, p);
    json_decref(j);
}

static void test_json_stays(void **state)
{
    uint64_t seed = rnd_seed();
    char *in = malloc(20000), *out = malloc(20000);

    (void)state;
    for (int keep = MATCH_KEEP_LAST4; keep <= MATCH_KEEP_NONE; keep++) {
        struct model m = {.card = keep, .mail = keep};
        struct rig r;
        m.pattern[0].text = "[0-9]{3,5}|[a-zE\"-]{2,6}|.[^a]4";
        m.patterns = (unsigned)keep % 2;
        m.pattern_keep = keep;
        rig_up(&r, &m);
        for (unsigned i = 0; i < 500; i++) {
            size_t n = random_json(&seed, in);
            struct run run;
            must_parse("the test's own text", in, n, in);
            memcpy(out, in, n);
            stream_all(&r, MATCH_JSON, out, n, cut_all, &seed, &run);
            must_parse("masked", out, n, in);
        }
        rig_down(&r);
    }
    free(in);
    free(out);
}

/* ----------------------------------------------------------------- secrets */

static void test_secret_forms(void **state)
{
    static const char secret[] = "rk_test/51H+long~value";
    struct model m = both;
    struct span form[16];
    struct rig r;

    (void)state;
    m.secret[0] = SPAN_LIT(secret);
    m.secrets = 1;
    rig_up(&r, &m);
    r.policy.detectors = 0; /* whatever the policy says */
    for (unsigned n = model_forms(m.secret[0], form), i = 0; i < n; i++) {
        struct match_found found = {0};
        char buf[300];
        int len = snprintf(buf, sizeof(buf), "{\"a\":\"<%.*s>\"}", SPAN_ARG(form[i]));
        assert_true(match_buffer(r.w, r.db, &r.policy, MATCH_JSON, buf, (size_t)len, &found));
        assert_int_equal(found.secrets, 1);
        for (size_t k = 7; k < 7 + form[i].n; k++)
            assert_int_equal(buf[k], '*');
        assert_string_equal(buf + 7 + form[i].n, ">\"}");
        free((char *)(uintptr_t)form[i].p);
    }
    rig_down(&r);
}

/* One longer than the look-back is masked whole, in base64 too, however it is cut. */
static void test_secret_long(void **state)
{
    static char secret[3000], buf[3100];
    uint64_t seed = rnd_seed();
    struct model m = both;
    struct run run;
    struct rig r;

    (void)state;
    for (unsigned i = 0; i < sizeof(secret); i++)
        secret[i] = (char)('A' + rnd_below(&seed, 26));
    m.secret[0] = span_of(secret, sizeof(secret));
    m.secrets = 1;
    rig_up(&r, &m);
    memset(buf, '.', sizeof(buf));
    memcpy(buf + 50, secret, sizeof(secret));
    stream_all(&r, MATCH_PLAIN, buf, sizeof(buf), cut_all, &seed, &run);
    for (unsigned i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], i >= 50 && i < 3050 ? '*' : '.');
    assert_int_equal(run.found.secrets, 1);
    rig_down(&r);
}

/* How often the credential stands in this process's writable memory: in locked pages that are kept
 * out of core dumps, and elsewhere. It is spelled backwards here. */
static const char backwards[] = "laitnederc-terces-eht-si-siht";

static unsigned copies(const char *p, const char *end)
{
    const size_t n = sizeof(backwards) - 1;
    unsigned found = 0;

    for (; p + n <= end; p++) {
        size_t k = 0;
        while (k < n && p[k] == backwards[n - 1 - k])
            k++;
        found += k == n;
    }
    return found;
}

static void hunt(unsigned *locked, unsigned *loose)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    uintptr_t a, b, from = 0, to = 0;
    char line[512], mode[8], now[8] = "";

    assert_non_null(f);
    *locked = *loose = 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%zx-%zx %7s", &a, &b, mode) == 3) {
            from = a;
            to = b;
            memcpy(now, mode, sizeof(now));
        } else if (strncmp(line, "VmFlags:", 8) == 0 && strncmp(now, "rw", 2) == 0) {
            bool safe = strstr(line, " lo") && strstr(line, " dd");
            *(safe ? locked : loose) += copies((const char *)from, (const char *)to);
        }
    }
    fclose(f);
}

static void test_secret_memory(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    (void)state;
    (void)hunt;
    skip(); /* its shadow memory is terabytes */
#else
    unsigned locked, loose;
    const size_t n = sizeof(backwards) - 1;
    char *value = malloc(n), why[256];
    struct match_builder *b = match_builder_new();
    struct match_worker *w = match_worker_new(1);
    struct match_db *db;

    (void)state;
    for (size_t i = 0; i < n; i++)
        value[i] = backwards[n - 1 - i];
    assert_true(match_builder_add_secret(b, SPAN_LIT("s"), span_of(value, n)));
    hunt(&locked, &loose);
    assert_int_equal(locked, 1);
    assert_int_equal(loose, 1); /* ours: the search sees what there is */
    explicit_bzero(value, n);
    db = match_builder_compile(b, why);
    match_builder_free(b);
    assert_true(match_worker_adopt(w, db));
    hunt(&locked, &loose);
    assert_int_not_equal(locked, 0);
    assert_int_equal(loose, 0);
    match_worker_free(w);
    match_db_free(db);
    hunt(&locked, &loose);
    assert_int_equal(locked + loose, 0);
    free(value);
#endif
}

/* -------------------------------------------------------------------- cost */

static void cost(struct rig *r, const char *what, enum match_syntax syntax, const char *text,
                 size_t n)
{
    char buf[2048];
    uint64_t best = UINT64_MAX;

    for (unsigned round = 0; round < 200; round++) {
        uint64_t start, end;
        memcpy(buf, text, n);
        start = __rdtsc();
        struct match_stream *s = match_stream_open(r->w, r->db, &r->policy, syntax);
        size_t gone = match_stream_scan(s, buf, 0, n, true);
        match_stream_close(s);
        end = __rdtsc();
        assert_int_equal(gone, n);
        if (end - start < best)
            best = end - start;
    }
    print_message("  %-28s %5zu bytes: %6llu cycles, %.2f a byte\n", what, n,
                  (unsigned long long)best, (double)best / (double)n);
}

static void cost_texts(struct rig *r)
{
    static const char item[] = "{\"id\":\"ch_3MmlLrLkdIwHu7ix0snN0B15\",\"object\":\"charge\","
                               "\"amount\":1099,\"created\":1679090539,\"paid\":true,"
                               "\"description\":\"Two tickets for the evening show\"},\n";
    static const char hard[] = "{\"t\":\"a line\\nand \\\"one\\\" more\",\"n\":4242424242424242,"
                               "\"m\":\"john@example.com\",\"u\":\"\\u00e9\"},\n";
    char text[2048];
    size_t n = 0, k = 0;

    for (; n + sizeof(item) <= 1100; n += sizeof(item) - 1)
        memcpy(text + n, item, sizeof(item) - 1);
    cost(r, "JSON", MATCH_JSON, text, n);
    cost(r, "plain", MATCH_PLAIN, text, n);
    for (; k + sizeof(hard) <= 1100; k += sizeof(hard) - 1)
        memcpy(text + k, hard, sizeof(hard) - 1);
    cost(r, "JSON, escapes and matches", MATCH_JSON, text, k);
    cost(r, "one short chunk", MATCH_JSON, item, 40);
}

static void test_cost(void **state)
{
    struct model m = both;
    struct rig r;

    (void)state;
    rig_up(&r, &m);
    cost_texts(&r);
    rig_down(&r);
    m.secret[0] = SPAN_LIT("sk_live_51HabcdefghijklmnopQRST");
    m.secret[1] = SPAN_LIT("xoxb-123456789012-abcdefghijkl");
    m.secrets = 2;
    rig_up(&r, &m);
    print_message("  with two credentials:\n");
    cost_texts(&r);
    rig_down(&r);
    m.pattern[0].text = "E-[0-9]{7}\\b";
    m.patterns = 1;
    rig_up(&r, &m);
    print_message("  and one pattern:\n");
    cost_texts(&r);
    rig_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_pool),
        cmocka_unit_test(test_generations),   cmocka_unit_test(test_held),
        cmocka_unit_test(test_long_run),      cmocka_unit_test(test_json_stays),
        cmocka_unit_test(test_secret_forms),  cmocka_unit_test(test_secret_long),
        cmocka_unit_test(test_secret_memory), cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
