/* Random documents against other readers: jansson for the grammar and the values, a slow and
 * obvious model for keys that are there twice. */
#include "body_test.h"

#include <jansson.h>

#define DOCUMENTS 3000
#define MUTATIONS 300000

/* ---------------------------------------------------------- values, by jansson */

static json_t *random_string(uint64_t *seed)
{
    static const char *const parts[] = {"a",
                                        "\"",
                                        "\\",
                                        "/",
                                        "\n",
                                        "\x01",
                                        "\x7f",
                                        "\xc3\xa4",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        " ",
                                        "0123456789abcdef"};
    char buf[200] = "";
    unsigned n = test_random(seed, 8);

    for (unsigned i = 0; i < n; i++)
        strcat(buf, parts[test_random(seed, sizeof(parts) / sizeof(parts[0]))]);
    return json_string(buf);
}

static json_t *random_document(uint64_t *seed, unsigned depth)
{
    static const char *const keys[] = {"a",   "bb", "key with space", "\xc3\xa4", "q\"",
                                       "n\n", "zz9"};
    unsigned n = test_random(seed, 5);
    json_t *out;

    switch (test_random(seed, depth < 5 ? 9 : 6)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(test_random(seed, 2));
    case 2:
        return json_integer((json_int_t)test_random(seed, 1u << 30) * test_random(seed, 1u << 30) *
                            (test_random(seed, 2) ? 1 : -1));
    case 3:
        return json_real((double)test_random(seed, 1u << 30) / (1 + test_random(seed, 10000)) *
                         (test_random(seed, 2) ? 1e-30 : 1e20));
    case 4:
    case 5:
        return random_string(seed);
    case 6:
        out = json_array();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(out, random_document(seed, depth + 1));
        return out;
    default:
        out = json_object();
        for (unsigned i = 0; i < n; i++)
            json_object_set_new(out, keys[test_random(seed, 7)], random_document(seed, depth + 1));
        return out;
    }
}

/* A place in the document, or one that is not there: its path, and jansson's value or NULL. */
static const json_t *random_place(uint64_t *seed, const json_t *doc, struct outbuf *path)
{
    while (doc && test_random(seed, 5)) {
        if (json_is_array(doc)) {
            unsigned i = test_random(seed, (unsigned)json_array_size(doc) + 1);

            outbuf_printf(path, "[%u]", i);
            doc = json_array_get(doc, i);
        } else if (json_is_object(doc) && json_object_size(doc)) {
            void *at = json_object_iter((json_t *)(uintptr_t)doc);
            unsigned skip = test_random(seed, (unsigned)json_object_size(doc));

            while (skip--)
                at = json_object_iter_next((json_t *)(uintptr_t)doc, at);
            outbuf_lit(path, "[");
            outbuf_json(path, span_cstr(json_object_iter_key(at)));
            outbuf_lit(path, "]");
            doc = json_object_iter_value(at);
        } else {
            outbuf_lit(path, "[\"none\"]");
            doc = NULL;
        }
    }
    return doc;
}

static bool same_value(const json_t *j, const struct body_value *v)
{
    char text[200];

    if (!j)
        return v->kind == BODY_MISSING;
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return v->kind == BODY_OBJECT && v->length == json_object_size(j);
    case JSON_ARRAY:
        return v->kind == BODY_ARRAY && v->length == json_array_size(j);
    case JSON_STRING:
        return v->kind == BODY_STRING &&
               span_eq(v->text, span_of(json_string_value(j), json_string_length(j)));
    case JSON_INTEGER:
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(j));
        return v->kind == BODY_NUMBER && span_eq(v->text, span_cstr(text));
    case JSON_REAL:
        snprintf(text, sizeof(text), "%.*s", SPAN_ARG(v->text));
        return v->kind == BODY_NUMBER && strtod(text, NULL) == json_real_value(j);
    case JSON_NULL:
        return v->kind == BODY_NULL;
    default:
        return v->kind == BODY_BOOL && v->boolean == json_is_true(j);
    }
}

static char *dump(uint64_t *seed, const json_t *doc)
{
    size_t flags = JSON_ENCODE_ANY | JSON_PRESERVE_ORDER;

    if (test_random(seed, 2))
        flags |= JSON_ENSURE_ASCII;
    if (test_random(seed, 2))
        flags |= JSON_ESCAPE_SLASH;
    flags |= test_random(seed, 2) ? JSON_COMPACT : JSON_INDENT(test_random(seed, 30));
    return json_dumps(doc, flags);
}

static void test_values(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned round = 0; round < DOCUMENTS; round++) {
        json_t *doc = random_document(&seed, 0);
        char *text = dump(&seed, doc), buf[2000];
        const json_t *place[10];
        struct reading *r = reading_new();
        int at[10];

        for (unsigned i = 0; i < 10; i++) {
            struct outbuf path = outbuf_on(buf, sizeof(buf));

            place[i] = random_place(&seed, doc, &path);
            at[i] = body_paths_add(r->paths, outbuf_span(&path));
            assert_true(at[i] >= 0);
        }
        read_json(r, span_cstr(text));
        assert_int_equal(r->out.problem, BODY_PROBLEM_NONE);
        for (unsigned i = 0; i < 10; i++)
            if (!same_value(place[i], &r->v[at[i]]))
                fail_msg("round %u, path %d: got %s \"%.*s\" in\n%s", round, at[i],
                         kind_name(r->v[at[i]].kind), SPAN_ARG(r->v[at[i]].text), text);
        reading_free(r);
        free(text);
        json_decref(doc);
    }
}

/* ---------------------------------------------------------- grammar, by jansson */

/* What jansson refuses beyond the grammar: numbers that do not fit, surrogates that stand alone. */
static bool is_its_own_limit(const json_error_t *e)
{
    enum json_error_code code = json_error_code(e);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_null_character || strstr(e->text, "Unicode");
}

/* No NUL is put in: jansson passes over one that follows a number. */
static void mutate(uint64_t *seed, char *text, size_t *n)
{
    static const char bytes[] = "{}[]:,\"\\/ \t\n0123456789.eE+-truefalsn\x01\x80\xc3\xa4\xff";
    unsigned at = test_random(seed, (unsigned)*n);

    switch (test_random(seed, 3)) {
    case 0:
        text[at] = bytes[test_random(seed, sizeof(bytes) - 1)];
        break;
    case 1:
        memmove(text + at, text + at + 1, *n - at - 1);
        *n -= *n > 1;
        break;
    default:
        memmove(text + at + 1, text + at, *n - at);
        text[at] = bytes[test_random(seed, sizeof(bytes) - 1)];
        *n += 1;
    }
}

static void check_grammar(struct reading *r, struct span text, unsigned round)
{
    json_error_t error;
    json_t *doc = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    read_json(r, text);
    if ((doc != NULL) != (r->out.problem == BODY_PROBLEM_NONE) &&
        !(!doc && is_its_own_limit(&error)))
        fail_msg("round %u: jansson says %s, here %s at %zu:\n%.*s", round,
                 doc ? "yes" : error.text, body_problem_name(r->out.problem), r->out.problem_at,
                 SPAN_ARG(text));
    json_decref(doc);
}

static void test_grammar(void **state)
{
    uint64_t seed = test_seed();
    struct reading *r = reading_new();
    char *buf = malloc(1 << 20), *text = NULL;
    unsigned accepted = 0;

    (void)state;
    for (unsigned round = 0; round < MUTATIONS; round++) {
        unsigned times = 1 + test_random(&seed, 3);
        size_t n;

        if (round % 50 == 0) {
            json_t *doc = random_document(&seed, 3);

            free(text);
            text = dump(&seed, doc);
            json_decref(doc);
        }
        n = strlen(text);
        memcpy(buf, text, n);
        while (times--)
            mutate(&seed, buf, &n);
        check_grammar(r, span_of(buf, n), round);
        accepted += r->out.problem == BODY_PROBLEM_NONE;
    }
    print_message("%u mutated documents, %u of them JSON\n", MUTATIONS, accepted);
    free(text);
    free(buf);
    reading_free(r);
}

/* ------------------------------------------------------- duplicates, by a model */

/* A member of a random object, with its inside; names are few, so that they come twice. */
struct member {
    const char *name;
    unsigned n; /* members of the object that it holds; 0: it holds a number */
    struct member *inside;
};

static const char *const names[] = {"a", "b", "A", "a_", "c"};
#define NAMES 5
#define STEPS 3

/* The class of names that a lenient reader does not tell apart. */
static unsigned class_of(const char *name)
{
    return name[0] == 'b' ? 1 : name[0] == 'c' ? 2 : 0;
}

static void make_members(uint64_t *seed, struct member *m, unsigned depth)
{
    m->n = depth < STEPS && test_random(seed, 4) ? test_random(seed, 5) : 0;
    m->inside = m->n ? calloc(m->n, sizeof(*m->inside)) : NULL;
    for (unsigned i = 0; i < m->n; i++) {
        m->inside[i].name = names[test_random(seed, NAMES)];
        make_members(seed, &m->inside[i], depth + 1);
    }
}

static void free_members(struct member *m)
{
    for (unsigned i = 0; i < m->n; i++)
        free_members(&m->inside[i]);
    free(m->inside);
}

static void write_members(uint64_t *seed, const struct member *m, struct outbuf *o)
{
    if (m->n == 0) {
        outbuf_lit(o, "1");
        return;
    }
    outbuf_lit(o, "{");
    for (unsigned i = 0; i < m->n; i++) {
        const char *name = m->inside[i].name;

        outbuf_lit(o, "\"");
        for (; *name; name++)
            if (test_random(seed, 3))
                outbuf_put(o, name, 1);
            else
                outbuf_printf(o, "\\u%04x", *name);
        outbuf_lit(o, "\":");
        write_members(seed, &m->inside[i], o);
        if (i + 1 < m->n)
            outbuf_lit(o, ",");
    }
    outbuf_lit(o, "}");
}

struct wanted {
    const char *step[STEPS];
    unsigned steps;
};

static enum body_kind model(const struct member *m, const struct wanted *w)
{
    for (unsigned s = 0; s < w->steps; s++) {
        const struct member *found = NULL;
        unsigned exact = 0, variants = 0;

        for (unsigned i = 0; i < m->n; i++) {
            const char *name = m->inside[i].name;

            if (strcmp(name, w->step[s]) == 0) {
                found = &m->inside[i];
                exact++;
            } else if (class_of(name) == class_of(w->step[s])) {
                variants++;
            }
        }
        if (exact > 1 || (exact && variants))
            return BODY_UNREADABLE;
        if (!exact)
            return BODY_MISSING;
        m = found;
    }
    return m->n ? BODY_OBJECT : BODY_NUMBER;
}

static void check_duplicates(uint64_t *seed, unsigned round)
{
    struct member root = {0};
    struct wanted all[6];
    struct reading *r = reading_new();
    char buf[20000];
    struct outbuf o = outbuf_on(buf, sizeof(buf));
    int at[6];

    for (unsigned i = 0; i < 6; i++) {
        char text[50] = "";

        all[i].steps = 1 + test_random(seed, STEPS);
        for (unsigned s = 0; s < all[i].steps; s++) {
            all[i].step[s] = names[test_random(seed, NAMES)];
            sprintf(text + strlen(text), "%s%s", s ? "." : "", all[i].step[s]);
        }
        at[i] = body_paths_add(r->paths, span_cstr(text));
    }
    make_members(seed, &root, 0);
    write_members(seed, &root, &o);
    read_json(r, outbuf_span(&o));
    assert_int_equal(r->out.problem, BODY_PROBLEM_NONE);
    for (unsigned i = 0; i < 6; i++) {
        enum body_kind expected = model(&root, &all[i]);
        const struct body_value *v = &r->v[at[i]];

        if (v->kind != expected || v->duplicate != (expected == BODY_UNREADABLE))
            fail_msg("round %u, path %u of %u steps: expected %s, got %s in %.*s", round, i,
                     all[i].steps, kind_name(expected), kind_name(v->kind),
                     SPAN_ARG(outbuf_span(&o)));
    }
    free_members(&root);
    reading_free(r);
}

static void test_duplicates(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (unsigned round = 0; round < 50000; round++)
        check_duplicates(&seed, round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_duplicates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
