#include "audit_test.h"

#include <jansson.h>

static uint8_t boot[BOOT_BYTES] = {1, 2, 3}, zero_hash[AUDIT_HASH];

struct made {
    uint8_t fields[4096], value[8192];
    uint8_t *p;
    size_t n;
    struct audit_record r;
};

static void add(struct made *m, unsigned number, enum audit_type type, const void *v, size_t n)
{
    m->p = field_put(m->p ? m->p : m->fields, number, type, v, n);
}

static void add_number(struct made *m, unsigned number, uint64_t v)
{
    uint8_t b[8];

    put_be(b, v, 8);
    add(m, number, AUDIT_NUMBER, b, 8);
}

static bool finish(struct made *m, unsigned kind, struct hasher *h)
{
    uint8_t hash[AUDIT_HASH];
    struct record_parts parts = {
        .kind = kind,
        .seq = 7,
        .wall_ns = 1764000000123456789u,
        .boot = boot,
        .previous = zero_hash,
        .appliance = SPAN_LIT("tp-1"),
        .fields = span_of(m->fields, m->p ? (size_t)(m->p - m->fields) : 0),
    };

    assert_true(record_write(m->value, &parts, h, hash));
    m->n = record_size(&parts);
    assert_true(record_is_intact(span_of(m->value, m->n), h));
    return record_parse(span_of(m->value, m->n), &m->r);
}

static void fill_typical(struct made *m)
{
    uint8_t sha[32] = {0xab};

    add(m, AUDIT_F_CALL, AUDIT_TEXT, "c-1", 3);
    add_number(m, AUDIT_F_WORKER, 3);
    add(m, AUDIT_F_MATCHED, AUDIT_LIST, "r\"1", 3);
    add(m, AUDIT_F_CALLER, AUDIT_TEXT, "ci\xff\n", 4);
    add(m, AUDIT_F_BODY_SHA256, AUDIT_BYTES, sha, sizeof(sha));
    add(m, AUDIT_F_MATCHED, AUDIT_LIST, "r2", 2);
    add_number(m, AUDIT_F_STATUS, 200);
}

static json_t *json_of(const struct audit_record *r)
{
    static char text[AUDIT_JSON_MAX];
    struct outbuf o = outbuf_on(text, sizeof(text));
    json_error_t error;
    json_t *j;

    audit_json(r, &o);
    assert_false(o.full);
    j = json_loadb(o.p, o.n, JSON_REJECT_DUPLICATES, &error);
    if (!j)
        fail_msg("not JSON: %s in %.*s", error.text, (int)o.n, o.p);
    return j;
}

static void a_record_comes_back(void **state)
{
    struct hasher h;
    struct made m = {.n = 0};
    struct audit_value v;
    size_t at = 0;
    unsigned seen = 0;

    (void)state;
    assert_true(hasher_init(&h));
    fill_typical(&m);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
    assert_int_equal(m.r.seq, 7);
    assert_int_equal(m.r.kind, AUDIT_CALL_DECIDED);
    assert_true(span_eq(m.r.appliance, SPAN_LIT("tp-1")));
    assert_true(audit_get(&m.r, AUDIT_F_WORKER, &v) && v.number == 3);
    assert_string_equal(v.name, "worker");
    assert_false(audit_get(&m.r, AUDIT_F_HOLD, &v));
    while (audit_next_field(&m.r, &at, &v))
        seen++;
    assert_int_equal(seen, 7);
    hasher_free(&h);
}

/* The hash is that of FORMAT.md, computed here a second way. */
static void the_layout_is_the_documented_one(void **state)
{
    static const uint8_t head[] = {1, 0, 0, 10, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 7};
    struct made m = {.n = 0};
    uint8_t sum[EVP_MAX_MD_SIZE];
    struct hasher h;
    unsigned n;

    (void)state;
    assert_true(hasher_init(&h));
    add_number(&m, AUDIT_F_WORKER, 5);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
    assert_int_equal(m.n, 73 + 4 + 12 + 32);
    assert_memory_equal(m.value, head, sizeof(head));
    assert_memory_equal(m.value + 24, boot, 16);
    assert_int_equal(m.value[72], 4);
    assert_memory_equal(m.value + 73, "tp-1", 4);
    assert_memory_equal(m.value + 77, "\x40\x02\x00\x08\0\0\0\0\0\0\0\x05", 12);
    assert_true(EVP_Digest(m.value, m.n - 32, sum, &n, EVP_sha256(), NULL));
    assert_memory_equal(m.value + m.n - 32, sum, 32);
    hasher_free(&h);
}

static void every_flipped_byte_shows(void **state)
{
    struct hasher h;
    struct made m = {.n = 0};

    (void)state;
    assert_true(hasher_init(&h));
    fill_typical(&m);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
    for (size_t i = 0; i < m.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            m.value[i] ^= (uint8_t)(1u << bit);
            if (record_is_intact(span_of(m.value, m.n), &h))
                fail_msg("a flip of bit %u of byte %zu does not show", bit, i);
            m.value[i] ^= (uint8_t)(1u << bit);
        }
    hasher_free(&h);
}

static void cut_records_are_refused(void **state)
{
    struct hasher h;
    struct made m = {.n = 0};
    struct audit_record r;

    (void)state;
    assert_true(hasher_init(&h));
    fill_typical(&m);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
    for (size_t n = 0; n < m.n; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees a read behind it */

        memcpy(exact, m.value, n);
        assert_false(record_parse(span_of(exact, n), &r));
        free(exact);
    }
    hasher_free(&h);
}

static void malformed_fields_are_refused(void **state)
{
    struct {
        const char *what;
        unsigned number;
        enum audit_type type;
        size_t n;
        unsigned times;
        bool fine;
    } cases[] = {
        {"text for a number", AUDIT_F_WORKER, AUDIT_TEXT, 8, 1, false},
        {"a number of four bytes", AUDIT_F_WORKER, AUDIT_NUMBER, 4, 1, false},
        {"field 0", 0, AUDIT_TEXT, 1, 1, false},
        {"a text twice", AUDIT_F_CALLER, AUDIT_TEXT, 1, 2, false},
        {"a list twice", AUDIT_F_GROUP, AUDIT_LIST, 1, 2, true},
        {"an unknown text", 9000, AUDIT_TEXT, 1, 1, true},
        {"an unknown text twice", 9000, AUDIT_TEXT, 1, 2, false},
        {"an unknown list twice", 16383, AUDIT_LIST, 0, 2, true},
        {"an unknown number of nine bytes", 9000, AUDIT_NUMBER, 9, 1, false},
    };
    struct hasher h;

    (void)state;
    assert_true(hasher_init(&h));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct made m = {.n = 0};

        for (unsigned t = 0; t < cases[i].times; t++)
            add(&m, cases[i].number, cases[i].type, "123456789", cases[i].n);
        if (finish(&m, AUDIT_START, &h) != cases[i].fine)
            fail_msg("%s: expected %s", cases[i].what, cases[i].fine ? "accepted" : "refused");
        json_decref(json_of(&m.r)); /* JSON in any case */
    }
    hasher_free(&h);
}

/* What bounds the work of showing a record. */
static void too_many_different_fields_are_refused(void **state)
{
    struct hasher h;

    (void)state;
    assert_true(hasher_init(&h));
    for (unsigned n = REC_DISTINCT_MAX - 1; n <= REC_DISTINCT_MAX + 1; n++) {
        struct made m = {.n = 0};
        bool shown_whole;
        json_t *j;

        for (unsigned i = 0; i < n; i++)
            add(&m, 9000 + i, AUDIT_LIST, "x", 1);
        assert_int_equal(finish(&m, AUDIT_START, &h), n <= REC_DISTINCT_MAX);
        j = json_of(&m.r);
        shown_whole = !json_object_get(j, "malformed");
        assert_int_equal(shown_whole, n <= REC_DISTINCT_MAX);
        json_decref(j);
    }
    hasher_free(&h);
}

static const char *text_of(const struct audit_record *r)
{
    static char text[AUDIT_JSON_MAX + 1];
    struct outbuf o = outbuf_on(text, sizeof(text));

    audit_json(r, &o);
    outbuf_char(&o, '\0');
    assert_false(o.full);
    return text;
}

static __attribute__((noinline)) void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected %s in %s", part, text);
}

static void json_holds_what_the_record_holds(void **state)
{
    struct hasher h;
    struct made m = {.n = 0};
    const char *text;

    (void)state;
    assert_true(hasher_init(&h));
    fill_typical(&m);
    add(&m, 9000, AUDIT_BYTES, "\x01\x02", 2);
    add_number(&m, AUDIT_F_FROM_NS, UINT64_MAX);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
    text = text_of(&m.r);
    expect_in(text, "{\"schema_version\":1,\"seq\":7,\"time\":\"2025-11-24T16:00:00.123456789Z\","
                    "\"boot\":\"01020300000000000000000000000000\",\"appliance\":\"tp-1\","
                    "\"kind\":\"call.decided\",\"call\":\"c-1\",\"worker\":3,");
    expect_in(text, "\"matched\":[\"r\\\"1\",\"r2\"],");
    expect_in(text, "\"caller\":\"ci\xef\xbf\xbd\\n\",");
    expect_in(text, "\"body_sha256\":\"ab00");
    expect_in(text, "\"from_ns\":18446744073709551615,");
    expect_in(text, "\"f9000\":\"0102\",");
    assert_null(strstr(text, "malformed"));
    m.r.fields.n--;
    m.r.kind = 777;
    text = text_of(&m.r);
    expect_in(text, "\"kind\":\"k777\",");
    expect_in(text, "\"malformed\":true,");
    hasher_free(&h);
}

/* Each way in which a record can grow most. */
static void json_stays_within_its_bound(void **state)
{
    static uint8_t bytes[AUDIT_EVENT_MAX];
    struct audit_record r = {.boot = span_of(boot, BOOT_BYTES), .seq = UINT64_MAX};
    static char appliance[255];

    (void)state;
    r.appliance = span_of(appliance, sizeof(appliance)); /* of NULs: six characters each */
    for (unsigned number = 1; number < FIELDS_KNOWN + 200; number++) {
        const struct field_info *info = field_info(number);
        uint8_t *p = bytes;

        while ((size_t)(p - bytes) + FIELD_HEAD + 8 <= sizeof(bytes))
            if (info->name && info->type == AUDIT_LIST)
                p = field_put(p, number, AUDIT_LIST, "", 0);
            else
                p = field_put(p, number + (unsigned)(p - bytes) / 4 % 256, AUDIT_TEXT, "", 0);
        r.fields = span_of(bytes, (size_t)(p - bytes));
        assert_true(strlen(text_of(&r)) <= AUDIT_JSON_MAX);
    }
    memset(bytes, 0, sizeof(bytes));
    field_put(bytes, AUDIT_F_BODY, AUDIT_TEXT, NULL, 0);
    put_be(bytes + 2, sizeof(bytes) - FIELD_HEAD, 2);
    r.fields = span_of(bytes, sizeof(bytes));
    assert_true(strlen(text_of(&r)) > (AUDIT_EVENT_MAX - 8) * 6);
}

static bool passes(const struct made *m, struct audit_filter f)
{
    return audit_matches(&m->r, &f);
}

static void filters_narrow(void **state)
{
    struct hasher h;
    struct made m = {.n = 0};

    (void)state;
    assert_true(hasher_init(&h));
    add(&m, AUDIT_F_CALLER, AUDIT_TEXT, "ci/deploy", 9);
    add(&m, AUDIT_F_FUNCTION, AUDIT_TEXT, "stripe.transfer.create", 22);
    add(&m, AUDIT_F_MESSAGE, AUDIT_TEXT, "Over the Limit", 14);
    add_number(&m, AUDIT_F_RULE, 0);
    add_number(&m, AUDIT_F_STATUS, 403);
    assert_true(finish(&m, AUDIT_CALL_DECIDED, &h));
#define F(...) passes(&m, (struct audit_filter){__VA_ARGS__})
    assert_true(F(0));
    assert_true(F(.from_seq = 7, .to_seq = 7));
    assert_false(F(.from_seq = 8));
    assert_false(F(.to_seq = 6));
    assert_true(F(.from_ns = m.r.wall_ns, .to_ns = m.r.wall_ns));
    assert_false(F(.from_ns = m.r.wall_ns + 1));
    assert_true(F(.kind = SPAN_LIT("call.*")));
    assert_false(F(.kind = SPAN_LIT("call")));
    assert_true(F(.caller = SPAN_LIT("ci/deploy")));
    assert_true(F(.caller = SPAN_LIT("ci/*")));
    assert_false(F(.caller = SPAN_LIT("ci")));
    assert_true(F(.caller = SPAN_LIT("*")));
    assert_false(F(.connection = SPAN_LIT("*"))); /* not there at all */
    assert_true(F(.function = SPAN_LIT("stripe.*"), .has_status = true, .status = 403));
    assert_false(F(.has_status = true, .status = 200));
    assert_true(F(.has_rule = true, .rule = 0));
    assert_false(F(.has_rule = true, .rule = 1));
    assert_true(F(.text = SPAN_LIT("the limit")));
    assert_true(F(.text = SPAN_LIT("Over the Limit")));
    assert_false(F(.text = SPAN_LIT("Over the Limits")));
    assert_false(F(.call = SPAN_LIT("x")));
#undef F
    hasher_free(&h);
}

static void numbers_and_names_are_used_once(void **state)
{
    static const unsigned numbers[] = {
#define X(name, number, text, type) number,
        AUDIT_FIELDS(X)
#undef X
    };
    static const char *const names[] = {
#define X(name, number, text, type) text,
        AUDIT_FIELDS(X)
#undef X
            "schema_version",
        "seq",
        "time",
        "boot",
        "appliance",
        "kind",
        "hash",
        "previous",
        "malformed",
    };
    size_t n = sizeof(numbers) / sizeof(numbers[0]), all = sizeof(names) / sizeof(names[0]);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_true(numbers[i] > 0 && numbers[i] < FIELDS_KNOWN);
        for (size_t j = i + 1; j < n; j++)
            assert_int_not_equal(numbers[i], numbers[j]);
    }
    for (size_t i = 0; i < all; i++)
        for (size_t j = i + 1; j < all; j++)
            assert_string_not_equal(names[i], names[j]);
}

/* --- against the published schema: the part of JSON Schema that it uses */

static json_t *schema_of(json_t *schema, const char *name)
{
    json_t *found = json_object_get(json_object_get(schema, "properties"), name);
    json_t *patterns = json_object_get(schema, "patternProperties");

    if (!found && name[0] == 'f' && strspn(name + 1, "0123456789") == strlen(name + 1))
        found = json_object_get(patterns, "^f[0-9]+$");
    return found;
}

static bool is_type(const json_t *v, const char *type)
{
    return strcmp(type, "integer") == 0   ? json_is_integer(v)
           : strcmp(type, "string") == 0  ? json_is_string(v)
           : strcmp(type, "array") == 0   ? json_is_array(v)
           : strcmp(type, "boolean") == 0 ? json_is_boolean(v)
                                          : false;
}

static void expect_valid(json_t *schema, json_t *v)
{
    json_t *required = json_object_get(schema, "required"), *name, *value;
    const char *key;
    size_t i;

    json_array_foreach(required, i, name) if (!json_object_get(v, json_string_value(name)))
        fail_msg("required member %s is not there", json_string_value(name));
    json_object_foreach(v, key, value)
    {
        json_t *is = schema_of(schema, key);
        const char *type = json_string_value(json_object_get(is, "type"));

        if (!is)
            fail_msg("member %s is not in the schema", key);
        if (type && !is_type(value, type))
            fail_msg("member %s is not of type %s", key, type);
    }
}

static json_t *load_schema(void)
{
    json_error_t error;
    json_t *schema = json_load_file(AUDIT_SCHEMA, JSON_REJECT_DUPLICATES, &error);

    if (!schema)
        fail_msg("%s: %s", AUDIT_SCHEMA, error.text);
    return schema;
}

static void records_are_as_the_schema_says(void **state)
{
    struct hasher h;
    struct made typical = {.n = 0}, empty = {.n = 0}, newer = {.n = 0};
    struct made *all[] = {&typical, &empty, &newer};
    json_t *schema = load_schema();

    (void)state;
    assert_true(hasher_init(&h));
    fill_typical(&typical);
    add(&newer, 9000, AUDIT_LIST, "x", 1);
    add_number(&newer, 9001, 4);
    assert_true(finish(&typical, AUDIT_CALL_DECIDED, &h));
    assert_true(finish(&empty, AUDIT_STOP, &h));
    assert_true(finish(&newer, 4000, &h));
    for (size_t i = 0; i < 3; i++) {
        json_t *j = json_of(&all[i]->r);

        expect_valid(schema, j);
        json_decref(j);
    }
    json_decref(schema);
    hasher_free(&h);
}

static void the_schema_has_every_field_and_kind(void **state)
{
    static const char *const types[] = {"string", "integer", "string", "array"};
    json_t *schema = load_schema();
    json_t *kinds = json_object_get(
        json_array_get(json_object_get(schema_of(schema, "kind"), "anyOf"), 0), "enum");
    size_t known = 0;

    (void)state;
    for (unsigned number = 1; number < FIELDS_KNOWN; number++) {
        const struct field_info *info = field_info(number);
        json_t *is = info->name ? schema_of(schema, info->name) : NULL;

        if (info->name &&
            (!is || strcmp(json_string_value(json_object_get(is, "type")), types[info->type]) != 0))
            fail_msg("field %s is not in the schema as %s", info->name, types[info->type]);
    }
    for (unsigned kind = 0; kind < 1000; kind++) {
        const char *name = audit_kind_name(kind);
        json_t *one;
        size_t i;

        json_array_foreach(kinds, i, one) if (name && strcmp(name, json_string_value(one)) == 0)
            known++;
        if (name && known == 0)
            fail_msg("kind %s is not in the schema", name);
    }
    assert_int_equal(known, json_array_size(kinds));
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(every_flipped_byte_shows),
        cmocka_unit_test(cut_records_are_refused),
        cmocka_unit_test(malformed_fields_are_refused),
        cmocka_unit_test(too_many_different_fields_are_refused),
        cmocka_unit_test(json_holds_what_the_record_holds),
        cmocka_unit_test(json_stays_within_its_bound),
        cmocka_unit_test(filters_narrow),
        cmocka_unit_test(numbers_and_names_are_used_once),
        cmocka_unit_test(records_are_as_the_schema_says),
        cmocka_unit_test(the_schema_has_every_field_and_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
