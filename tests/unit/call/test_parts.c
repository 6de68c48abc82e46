/* What of a call can be looked at without a wire: output queues, answers of our own, what makes a
 * generation fail to load. The rest is tests/integration's. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "call/call_internal.h"

/* --------------------------------------------------------------------- queues */

static char region[4 << 20] __attribute__((aligned(4096)));

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Random puts, marks, takes and compactions against one long string of what should come out. */
static void test_queue_against_a_string(void **state)
{
    enum { CAP = 4096, STEPS = 20000 };
    uint64_t seed = getenv("TEST_SEED") ? strtoull(getenv("TEST_SEED"), NULL, 0) : clock_mono_ns();
    struct buddy *memory = buddy_new(region, sizeof(region));
    struct outq q = {0};
    uint64_t in = 0, ready = 0, out = 0; /* positions in the endless string: byte i is i mod 251 */

    (void)state;
    printf("TEST_SEED=%lu\n", seed);
    assert_true(outq_open(&q, memory, CAP));
    assert_true(outq_open(&q, memory, CAP)); /* open already: nothing changes */
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t dice = next_random(&seed), n = dice / 16 % 700;

        switch (dice % 5) {
        case 0:
            for (n = n < outq_room(&q) ? n : outq_room(&q); n; n--)
                q.p[q.end++] = (char)(in++ % 251);
            break;
        case 1:
            n = n < q.end - q.ready ? n : q.end - q.ready;
            q.ready += n;
            ready += n;
            break;
        case 2:
            for (n = n < outq_pending(&q) ? n : outq_pending(&q); n; n--)
                assert_int_equal((unsigned char)q.p[q.start++], out++ % 251);
            break;
        case 3:
            outq_compact(&q, n);
            if (outq_room(&q) < n && q.start != 0)
                fail_msg("step %u: %lu bytes wanted, %zu of room, yet not moved", i, n,
                         outq_room(&q));
            break;
        case 4: /* waits, and goes on */
            outq_shrink(&q, memory);
            if (q.p && outq_pending(&q) == 0 && q.cap > SMALL_BLOCK && q.cap >= 4 * q.end)
                fail_msg("step %u: %zu bytes wait in a block of %zu", i, q.end, q.cap);
            assert_true(outq_open(&q, memory, CAP));
            break;
        }
        assert_true(q.start <= q.ready && q.ready <= q.end && q.end <= q.cap);
        assert_int_equal(outq_pending(&q), ready - out);
        assert_int_equal(q.end - q.start, in - out);
    }
    outq_close(&q, memory);
    outq_close(&q, memory);
    assert_int_equal(buddy_used(memory), 0);
    assert_false(outq_open(&q, memory, sizeof(region) * 2));
    assert_null(q.p);
    buddy_delete(memory);
}

/* -------------------------------------------------------------------- answers */

struct bed {
    struct call_worker w;
    struct caller c;
    struct exchange *x;
    struct call_generation gen;
    struct rules_function function;
};

enum { PROBLEM, STRIPE, OPENAI, ANTHROPIC, TWILIO, OWN_JSON, OWN_XML, SHAPES };

/* A connection of each shape, by name in this order. */
static const char shapes_text[] =
    "connections:\n"
    "  c0: {hosts: [c0.test], errors: problem}\n"
    "  c1: {hosts: [c1.test], errors: stripe}\n"
    "  c2: {hosts: [c2.test], errors: openai}\n"
    "  c3: {hosts: [c3.test], errors: anthropic}\n"
    "  c4: {hosts: [c4.test], errors: twilio}\n"
    "  c5:\n"
    "    hosts: [c5.test]\n"
    "    errors:\n"
    "      type: application/vnd.error+json; charset=utf-8\n"
    "      request_id: X-Trace\n"
    "      status: {identity_required: 403, busy: 429}\n"
    "      kind: {4xx: Sender, 429: Slow, 5xx: Receiver}\n"
    "      body:\n"
    "        message: '{{{message}} of {function} by {rule}.'\n"
    "        list: ['{status}', '{rule}', 'as {status}', 1.50, true, null, yes]\n"
    "        deep: {\"a\\tb\": {kind: '{kind}', call: '{call}', reason: '{reason}'}}\n"
    "        '{{x': '{cause}'\n"
    "  c6:\n"
    "    hosts: [c6.test]\n"
    "    errors:\n"
    "      type: text/xml\n"
    "      text: |\n"
    "        <?xml version='1.0'?>\n"
    "        <Error code='{cause}'><Message>{message}</Message><R>{rule}</R>{{}</Error>\n";

/* NULL if it does not load. */
static struct rules_set *shapes_load(const char *text)
{
    char dir[] = "/tmp/call-test-XXXXXX", path[64];
    struct rules_set *s;
    struct diags d;
    FILE *f;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.yaml", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    diags_init(&d);
    s = rules_load(dir, clock_wall_ns(), &d);
    diags_free(&d);
    unlink(path);
    rmdir(dir);
    return s;
}

static struct bed *bed_new(unsigned shape)
{
    struct bed *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->gen.rules = shapes_load(shapes_text);
    assert_non_null(b->gen.rules);
    b->x = calloc(1, sizeof(*b->x));
    assert_non_null(b->x);
    b->x->head = calloc(1, sizeof(*b->x->head));
    assert_non_null(b->x->head);
    b->w.memory = buddy_new(region, sizeof(region));
    b->c.w = &b->w;
    b->c.x = b->x;
    b->function.name = SPAN_LIT("payments.refund.create");
    b->x->w = &b->w;
    b->x->caller = &b->c;
    b->x->gen = &b->gen;
    b->x->connection = rules_connection_at(b->gen.rules, shape);
    b->x->function = &b->function;
    b->x->rule = 300;
    b->x->head->method = SPAN_LIT("POST");
    b->x->head->keep_alive = true;
    strcpy(b->x->id, "0123456789abcdef0123456789abcdef");
    return b;
}

static void bed_free(struct bed *b)
{
    outq_close(&b->c.out, b->w.memory);
    assert_int_equal(buddy_used(b->w.memory), 0);
    buddy_delete(b->w.memory);
    rules_free(b->gen.rules);
    free(b->x->head);
    free(b->x);
    free(b);
}

/* As exchange_refuse does it. */
static void refuse(struct bed *b, enum call_cause cause, struct span message)
{
    b->x->cause = cause;
    b->x->cause_name = call_cause_name(cause);
    b->x->status = answer_status(b->x, cause);
    answer_own(b->x, message);
}

/* The answer in the queue, as a client would read it. */
static json_t *parse(struct bed *b, unsigned status, struct http_head *h)
{
    struct outq *q = &b->c.out;
    bool to_head = span_eq(b->x->head->method, SPAN_LIT("HEAD"));
    size_t scanned = 0, used;
    enum http_error why;
    json_error_t e;
    json_t *o;

    assert_non_null(q->p);
    assert_int_equal(
        http_parse_response(h, span_of(q->p, q->ready), to_head, &scanned, &used, &why), HTTP_OK);
    assert_int_equal(h->status, status);
    if (to_head) {
        assert_int_equal(used, q->ready);
        return NULL;
    }
    assert_int_equal(h->framing, HTTP_BODY_LENGTH);
    assert_int_equal(h->content_length, q->ready - used);
    o = json_loadb(q->p + used, q->ready - used, JSON_REJECT_DUPLICATES, &e);
    if (!o)
        fail_msg("not JSON: %s: %.*s", e.text, (int)(q->ready - used), q->p + used);
    return o;
}

static const char *const messages[] = {
    "",
    "plain",
    "with \"quotes\", a \\ and\nlines\r\n\r\nHTTP/1.1 200 OK",
    "\x01\x02\x1f\x7f",
    "caf\xc3\xa9 \xf0\x9f\x98\x80",
    "cut in a character \xc3",
    "\xff\xfe\x80",
    "</script>{\"turnpike\":1}",
};

static const char *message_of(const json_t *o, unsigned shape)
{
    const json_t *e = json_object_get(o, "error");

    if (shape == PROBLEM)
        return json_string_value(json_object_get(o, "detail"));
    return json_string_value(json_object_get(shape >= TWILIO ? o : e, "message"));
}

static void test_every_shape_is_json(void **state)
{
    (void)state;
    for (unsigned shape = PROBLEM; shape <= OWN_JSON; shape++)
        for (unsigned cause = 1; cause < CALL_CAUSE_COUNT; cause++)
            for (unsigned m = 0; m < sizeof(messages) / sizeof(*messages); m++) {
                struct bed *b = bed_new(shape);
                struct http_head *h = calloc(1, sizeof(*h));
                json_t *o, *own;

                refuse(b, cause, span_cstr(messages[m]));
                o = parse(b, b->x->status, h);
                assert_non_null(message_of(o, shape));
                if (shape != OWN_JSON && (m < 2 || m == 4))
                    assert_string_equal(message_of(o, shape), messages[m]);
                own = json_object_get(o, "turnpike");
                assert_string_equal(json_string_value(json_object_get(own, "cause")),
                                    call_cause_name(cause));
                assert_string_equal(json_string_value(json_object_get(own, "call")), b->x->id);
                assert_int_equal(json_integer_value(json_object_get(own, "rule")), 300);
                json_decref(o);
                free(h);
                bed_free(b);
            }
}

/* What a shape fills in, against the whole text. */
static void says(unsigned shape, enum call_cause cause, uint64_t rule, const char *message,
                 unsigned status, const char *type, const char *body)
{
    struct bed *b = bed_new(shape);
    struct http_head *h = calloc(1, sizeof(*h));
    struct outq *q = &b->c.out;
    size_t scanned = 0, used;
    enum http_error why;

    b->x->rule = rule;
    refuse(b, cause, span_cstr(message));
    assert_int_equal(http_parse_response(h, span_of(q->p, q->ready), false, &scanned, &used, &why),
                     HTTP_OK);
    assert_int_equal(h->status, status);
    q->p[q->ready] = 0;
    assert_string_equal(q->p + used, body);
    assert_true(span_eq(http_field(h, HTTP_F_CONTENT_TYPE)->value, span_cstr(type)));
    free(h);
    bed_free(b);
}

#define ID "0123456789abcdef0123456789abcdef"
#define OWN_AS(cause, rule)                                                                        \
    "\"turnpike\":{\"call\":\"" ID "\",\"cause\":\"" cause "\"" rule                               \
    ",\"function\":\"payments.refund.create\"}}\n"

static void test_what_shapes_say(void **state)
{
    (void)state;
    says(STRIPE, CALL_blocked_by_rule, 7, "no", 403, "application/json",
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"blocked_by_rule\","
         "\"message\":\"no\"}," OWN_AS("blocked_by_rule", ",\"rule\":7"));
    says(OPENAI, CALL_busy, 0, "no", 503, "application/json",
         "{\"error\":{\"message\":\"no\",\"type\":\"server_error\",\"param\":null,"
         "\"code\":\"busy\"}," OWN_AS("busy", ""));
    says(ANTHROPIC, CALL_no_rule_allows, 0, "no", 403, "application/json",
         "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"no\"},"
         "\"message\":\"no\",\"request_id\":\"" ID "\"," OWN_AS("no_rule_allows", ""));
    says(TWILIO, CALL_identity_required, 0, "no", 401, "application/json",
         "{\"code\":401,\"message\":\"no\",\"more_info\":\"\",\"status\":401,"
         "\"details\":{\"call\":\"" ID
         "\",\"cause\":\"identity_required\"}," OWN_AS("identity_required", ""));
    says(PROBLEM, CALL_internal, 0, "no", 500, "application/problem+json",
         "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
         "\"detail\":\"no\"," OWN_AS("internal", ""));
    says(OWN_JSON, CALL_identity_required, 0, "a\"b\n", 403,
         "application/vnd.error+json; charset=utf-8",
         "{\"message\":\"{a\\\"b\\n} of payments.refund.create by .\","
         "\"list\":[403,null,\"as 403\",1.50,true,null,\"yes\"],"
         "\"deep\":{\"a\\tb\":{\"kind\":\"Sender\",\"call\":\"" ID
         "\",\"reason\":\"Forbidden\"}},\"{x\":\"identity_required\"," OWN_AS("identity_required",
                                                                              ""));
    says(OWN_JSON, CALL_busy, 12, "", 429, "application/vnd.error+json; charset=utf-8",
         "{\"message\":\"{} of payments.refund.create by 12.\","
         "\"list\":[429,12,\"as 429\",1.50,true,null,\"yes\"],"
         "\"deep\":{\"a\\tb\":{\"kind\":\"Slow\",\"call\":\"" ID
         "\",\"reason\":\"Too Many Requests\"}},\"{x\":\"busy\"," OWN_AS("busy", ",\"rule\":12"));
    says(OWN_XML, CALL_no_rule_allows, 0, "a<b> & \"c\" 'd' \x01\xff]]>", 403, "text/xml",
         "<?xml version='1.0'?>\n<Error code='no_rule_allows'><Message>a&lt;b&gt; &amp; "
         "&quot;c&quot; &apos;d&apos; \xef\xbf\xbd\xef\xbf\xbd]]&gt;</Message><R></R>{}</Error>\n");
}

static void test_message_that_is_too_long(void **state)
{
    char *text = malloc(8000);

    (void)state;
    memset(text, '"', 8000); /* each of them two bytes when written, or six */
    for (unsigned shape = PROBLEM; shape < SHAPES; shape++)
        for (size_t n = 600; n < 8000; n += 211) {
            struct bed *b = bed_new(shape);
            struct http_head *h = calloc(1, sizeof(*h));
            struct outq *q = &b->c.out;

            refuse(b, CALL_blocked_by_rule, span_of(text, n));
            if (shape != OWN_XML)
                json_decref(parse(b, 403, h));
            assert_true(span_ends(span_of(q->p, q->ready),
                                  shape == OWN_XML ? SPAN_LIT("</Error>\n") : SPAN_LIT("}}\n")));
            free(h);
            bed_free(b);
        }
    free(text);
}

/* The longest template that loads must fit with the longest that can be filled in. */
static void test_the_longest_template(void **state)
{
    char name[258], text[RULES_ANSWER_MAX + 500], *body;
    unsigned n = RULES_ANSWER_MAX;

    (void)state;
    memset(name, 'f', sizeof(name));
    for (struct rules_set *s = NULL; !s; n--) {
        int at = snprintf(text, sizeof(text),
                          "connections: {c: {hosts: [c.test], errors: {body: {m: '{message}', f: "
                          "'{function}', r: '{reason}', c: '{cause}', x: '");

        memset(text + at, 'x', n);
        strcpy(text + at + n, "'}}}}\n");
        s = shapes_load(text);
        if (s) {
            struct bed *b = bed_new(PROBLEM);
            struct http_head *h = calloc(1, sizeof(*h));

            b->function.name = span_of(name, sizeof(name) - 1);
            b->x->connection = rules_connection_at(s, 0);
            b->x->rule = INT64_MAX;
            body = strcpy(malloc(2000), "");
            memset(body, '"', 1999);
            refuse(b, CALL_credential_unavailable, span_of(body, 1999));
            json_decref(parse(b, 503, h));
            free(body);
            free(h);
            bed_free(b);
            rules_free(s);
            break;
        }
        assert_true(n > 2000);
    }
    assert_true(n < RULES_ANSWER_MAX);
}

static void test_answer_behind_a_continue(void **state)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct bed *b = bed_new(PROBLEM);
    struct outq *q = &b->c.out;

    (void)state;
    assert_true(outq_open(q, b->w.memory, OUT_BLOCK));
    memcpy(q->p, interim, sizeof(interim) - 1);
    q->ready = q->end = sizeof(interim) - 1;
    refuse(b, CALL_blocked_by_rule, SPAN_LIT("no"));
    assert_memory_equal(q->p, interim, sizeof(interim) - 1);
    assert_memory_equal(q->p + sizeof(interim) - 1, "HTTP/1.1 403 ", 13);
    bed_free(b);
}

static void test_what_the_head_says(void **state)
{
    struct bed *b = bed_new(STRIPE);
    struct http_head *h = calloc(1, sizeof(*h));

    (void)state;
    b->x->head->method = SPAN_LIT("HEAD");
    refuse(b, CALL_blocked_by_rule, SPAN_LIT("no"));
    assert_null(parse(b, 403, h));
    assert_true(h->keep_alive);
    assert_true(span_eq(http_field_named(h, SPAN_LIT("X-Should-Retry"))->value, SPAN_LIT("false")));
    assert_true(span_eq(http_field_named(h, SPAN_LIT("Request-Id"))->value, span_cstr(b->x->id)));
    outq_close(&b->c.out, b->w.memory);
    b->x->head->method = SPAN_LIT("GET");
    b->x->close_caller = true;
    refuse(b, CALL_busy, SPAN_LIT("no"));
    json_decref(parse(b, 503, h));
    assert_false(h->keep_alive);
    assert_non_null(http_field_named(h, SPAN_LIT("Retry-After")));
    free(h);
    bed_free(b);
}

/* Too little is known of the call, as when its head is malformed. */
static void test_answer_without_a_connection(void **state)
{
    struct bed *b = bed_new(STRIPE);
    struct http_head *h = calloc(1, sizeof(*h));
    json_t *o;

    (void)state;
    b->x->connection = NULL;
    b->x->function = NULL;
    b->x->rule = 0;
    memset(b->x->head, 0, sizeof(*b->x->head));
    refuse(b, CALL_bad_request, SPAN_LIT("no"));
    o = parse(b, 400, h);
    assert_string_equal(json_string_value(json_object_get(o, "detail")), "no");
    assert_null(json_object_get(json_object_get(o, "turnpike"), "rule"));
    assert_false(h->keep_alive);
    json_decref(o);
    free(h);
    bed_free(b);
}

static void test_no_memory_for_an_answer(void **state)
{
    struct bed *b = bed_new(STRIPE);
    char *all[1024];
    unsigned n = 0;

    (void)state;
    while (n < 1024 && (all[n] = buddy_alloc(b->w.memory, 4096)))
        n++;
    refuse(b, CALL_blocked_by_rule, SPAN_LIT("no"));
    assert_null(b->c.out.p);
    assert_true(b->x->close_caller);
    while (n)
        buddy_free(b->w.memory, all[--n]);
    bed_free(b);
}

static void test_causes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALL_CAUSE_COUNT; i++)
        for (unsigned k = i + 1; k < CALL_CAUSE_COUNT; k++)
            assert_string_not_equal(call_cause_name(i), call_cause_name(k));
    assert_string_equal(call_cause_name(CALL_CAUSE_COUNT), "?");
}

/* ---------------------------------------------------------------- call ids */

static void test_ids_differ(void **state)
{
    struct bed *b = bed_new(PROBLEM);
    char first[CALL_ID_TEXT];

    (void)state;
    memset(b->w.c.boot, 0xa5, sizeof(b->w.c.boot));
    b->x->number = 1;
    exchange_identify_call(b->x);
    assert_string_equal(b->x->id, "a5a5a5a5a5a5a5a50000000000000001");
    strcpy(first, b->x->id);
    b->w.c.worker = 2;
    exchange_identify_call(b->x);
    assert_string_equal(b->x->id, "a5a5a5a5a5a5a5a50002000000000001");
    bed_free(b);
}

/* ---------------------------------------------------------------- generations */

static void load_fails(const char *rules, const char *wanted)
{
    char dir[] = "/tmp/call-test-XXXXXX", path[64];
    struct call_sources s = {.rules_directory = dir};
    bool said = false;
    struct diags d;
    FILE *f;

    diags_init(&d);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.yaml", dir);
    f = fopen(path, "w");
    fputs(rules, f);
    fclose(f);
    assert_null(call_generation_load(&s, 1, clock_wall_ns(), &d));
    for (size_t i = 0; i < d.count; i++)
        said = said || strstr(d.items[i].message, wanted);
    if (!said) {
        diags_print(&d, stderr, false);
        fail_msg("expected a complaint with: %s", wanted);
    }
    unlink(path);
    rmdir(dir);
    diags_free(&d);
}

static void test_generation_that_does_not_load(void **state)
{
    (void)state;
    load_fails("connections:\n"
               "  pay:\n"
               "    hosts: [a.test]\n"
               "    identify: [source]\n"
               "    credential: {secret: pay-live, as: bearer}\n"
               "    functions: {read: GET /**}\n"
               "sources:\n"
               "  ci: {address: 10.0.0.0/8}\n",
               "turnpikectl secret set pay-live --connection pay");
    load_fails("nonsense: 1\n", "nonsense");
}

static void test_pins(void **state)
{
    struct call_generation *g = aligned_alloc(64, sizeof(*g));

    (void)state;
    memset(g, 0, sizeof(*g));
    assert_false(call_generation_pinned(g));
    for (unsigned i = 0; i < CALL_WORKERS_MAX; i++) {
        atomic_store(&g->pins[i].held, 1);
        assert_true(call_generation_pinned(g));
        atomic_store(&g->pins[i].held, 0);
    }
    assert_false(call_generation_pinned(g));
    call_generation_free(g);
    call_generation_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_against_a_string),
        cmocka_unit_test(test_every_shape_is_json),
        cmocka_unit_test(test_what_shapes_say),
        cmocka_unit_test(test_message_that_is_too_long),
        cmocka_unit_test(test_the_longest_template),
        cmocka_unit_test(test_answer_behind_a_continue),
        cmocka_unit_test(test_what_the_head_says),
        cmocka_unit_test(test_answer_without_a_connection),
        cmocka_unit_test(test_no_memory_for_an_answer),
        cmocka_unit_test(test_causes),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_generation_that_does_not_load),
        cmocka_unit_test(test_pins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
