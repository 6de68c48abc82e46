/* Values at paths of forms. */
#include "body_test.h"

struct row {
    const char *path, *body, *expected;
};

static const struct row rows[] = {
    {"a", "a=1", "n:1"},
    {"a", "a=", "s:"},
    {"a", "a", "s:"},
    {"a", "b=1", "missing"},
    {"a", "", "missing"},
    {"a", "&&b=2&a=1&", "n:1"},
    {"a", "a=1=2", "s:1=2"},
    {"a", "a=x+y%20z%2B", "s:x y z+"},
    {"a", "%61=%31", "n:1"},
    {"a", "a=%c3%a4", "s:\xc3\xa4"},
    {"a", "a=\xc3\xa4", "s:\xc3\xa4"},
    {"[\"\"]", "=1", "n:1"},
    {"[\"a b\"]", "a+b=1", "n:1"},
    {"[\"a.b\"]", "a.b=1", "n:1"},
    {"a.b", "a.b=1", "missing"},

    /* what is written as a number */
    {"a", "a=-1.5e%2B3", "n:-1.5e+3"},
    {"a", "a=+1", "s: 1"},
    {"a", "a=%2B1", "s:+1"},
    {"a", "a=01", "s:01"},
    {"a", "a=1.", "s:1."},
    {"a", "a=1%20", "s:1 "},
    {"a", "a=1%00", "s:1"}, /* a string with a NUL, which ends what is shown of it */
    {"a", "a=0x10", "s:0x10"},
    {"a", "a=1,000", "s:1,000"},
    {"a", "a=NaN", "s:NaN"},
    {"a", "a=true", "s:true"},

    /* nesting */
    {"a.b", "a[b]=1", "n:1"},
    {"a.b.c", "a[b][c]=1", "n:1"},
    {"a.b", "a%5Bb%5D=1", "n:1"},
    {"a.b", "a[c]=1", "missing"},
    {"a.b", "a=1", "missing"},
    {"a", "a[b]=1&a[c]=2", "object/2"},
    {"a", "a[b][x]=1&a[c]=2&a[b][y]=3", "object/2"},
    {"a[\"b.c\"]", "a[b.c]=1", "n:1"},
    {"m", "m[%61]=1&m[%62]=2&m[%61]=3", "object/2"},
    {"items[0].price", "items[0][price]=5&items[1][price]=6", "n:5"},
    {"items[1].price", "items[0][price]=5&items[1][price]=6", "n:6"},
    {"items[1].price", "items[1][price]=6&items[0][price]=5", "n:6"},
    {"items[0].price", "items[0][price]=5&items[0][q]=6", "n:5"},
    {"items", "items[0][price]=5&items[0][q]=6&items[1][q]=7", "array/2"},
    {"items[0]", "items[0][price]=5&items[0][q]=6", "object/2"},
    {"items[2]", "items[0]=5&items[1]=6", "missing"},
    {"items[\"0\"]", "items[0]=5", "n:5"},
    {"", "a=1&b[c]=2&b[d]=3", "object/2"},

    /* [] */
    {"x", "x[]=1&x[]=2&x[]=2", "array/3"},
    {"x[0]", "x[]=1&x[]=2", "n:1"},
    {"x[1]", "x[]=1&x[]=2", "n:2"},
    {"x[2]", "x[]=1&x[]=2", "missing"},
    {"x[1].price", "x[][price]=1&x[][price]=2", "n:2"},
    {"x", "x[][price]=1&x[][price]=2", "array/2"},
    {"x[0].price", "x[][price]=1&x[][q]=2", "duplicate"},
    {"x[0].price", "x[][price]=1&x[][q]=2&x[][price]=3&x[][q]=4", "duplicate"},
    {"x[0].price", "x[][price]=1&x[]=2", "duplicate"},
    {"x[0].y[0]", "x[][y][]=1", "duplicate"},
    {"x[0]", "x[]=1&x[0]=2", "duplicate"},
    {"x[0]", "x[]=1&x[y]=2", "duplicate"},
    {"y", "x[]=1&x[y]=2&y=3", "n:3"},

    /* twice, or as two things */
    {"a", "a=1&a=2", "duplicate"},
    {"a", "a=1&a=1", "duplicate"},
    {"a", "a=1&%61=2", "duplicate"},
    {"a", "a=1&a[b]=2", "duplicate"},
    {"a.b", "a=1&a[b]=2", "duplicate"},
    {"a.b", "a[b]=2&a=1", "duplicate"},
    {"a", "a=1&a[]=2", "duplicate"},
    {"a.b", "a[b]=1&a[b]=2", "duplicate"},
    {"a.b", "a[b]=1&a[b][c]=2", "duplicate"},
    {"a.b", "a[b]=1&a[c]=2&a[c]=3", "n:1"},
    {"a", "a=1&A=2", "duplicate"},
    {"a", "A=2", "missing"},
    {"a_b", "a_b=1&a.b=2", "duplicate"},
    {"a_b", "a_b=1&a+b=2", "duplicate"},
    {"a", "a=1&a%00b=2", "duplicate"},
    {"a.b", "a[b]=1&A[b]=2", "duplicate"},

    /* indexes that are read in two ways */
    {"x[0]", "x[1]=5", "duplicate"},
    {"x[1]", "x[1]=5", "duplicate"},
    {"x[0]", "x[0]=5&x[2]=6", "duplicate"},
    {"x[0]", "x[0]=5&x[999999999]=6", "duplicate"},
    {"x[0]", "x[0]=5&x[0]=6", "duplicate"},
    {"x[0]", "x[0]=5&x[y]=6", "duplicate"},
    {"x.y", "x[0]=5&x[y]=6", "n:6"},
    {"x", "x[0]=5&x[y]=6", "object/2"},
    {"x[0]", "x[00]=5", "missing"},
    {"x[0]", "x[-1]=5", "missing"},
    {"x", "x[1]=5&x[3]=6", "array/2"},

    /* brackets out of place */
    {"a", "a[=1", "duplicate"},
    {"a", "a]=1", "duplicate"},
    {"a", "[a]=1", "duplicate"},
    {"a", "a=1&[a=2", "duplicate"},
    {"a.b", "a[b=1", "duplicate"},
    {"a.b", "a[b]c=1", "duplicate"},
    {"a.b", "a][b]=1", "duplicate"},
    {"a.b", "[a][b]=1", "duplicate"},
    {"a.b", "a[[b]]=1", "duplicate"},
    {"a.b", "a[b]]=1", "duplicate"},
    {"a.c", "a[b]x=1&a[c]=2", "n:2"},
    {"b", "a[=1&b=2", "n:2"},

    /* malformed anywhere */
    {"a", "a=1&b=%", "unreadable"},
    {"a", "a=1&b=%4", "unreadable"},
    {"a", "a=1&b=%zz", "unreadable"},
    {"a", "a=1&%=2", "unreadable"},
    {"a", "a=1&b=%ff", "unreadable"},
    {"a", "a=1&%c3=x", "unreadable"},
    {"a", "a=1&b=\xff", "unreadable"},
    {"a", "a=1&b=%c0%af", "unreadable"},
    {"a", "a=1;b=2", "unreadable"},
    {"a", "a=1&b=%3Bx", "n:1"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading *r = reading_new();

        want(r, rows[i].path);
        read_form(r, span_cstr(rows[i].body));
        assert_value(r, 0, rows[i].body, rows[i].expected);
        reading_free(r);
    }
    print_message("%zu rows\n", sizeof(rows) / sizeof(rows[0]));
}

static void test_problems(void **state)
{
    struct reading *r = wanting("a");

    (void)state;
    read_form(r, SPAN_LIT("a=1&b=%zz"));
    assert_int_equal(r->out.problem, BODY_PROBLEM_MALFORMED);
    assert_int_equal(r->out.problem_at, 6);
    read_form(r, SPAN_LIT("a=1&b=%ff"));
    assert_int_equal(r->out.problem, BODY_PROBLEM_NOT_UTF8);
    read_with(r, BODY_FORM, SPAN_LIT("a=%41%42"), 1);
    assert_int_equal(r->out.problem, BODY_PROBLEM_SCRATCH);
    read_with(r, BODY_FORM, SPAN_LIT("a=AB"), 0);
    assert_value(r, 0, "nothing to decode", "s:AB");
    reading_free(r);
}

static void test_places(void **state)
{
    struct reading *r = wanting("a b");

    (void)state;
    read_form(r, SPAN_LIT("a=%41b&b=12"));
    assert_true(span_eq(r->v[0].raw, SPAN_LIT("%41b")));
    assert_int_equal(r->v[0].raw.p - r->body, 2);
    assert_int_equal(r->v[1].raw.p - r->body, 9);
    assert_true(r->v[1].text.p == r->v[1].raw.p);
    reading_free(r);
}

static void test_too_many(void **state)
{
    size_t cap = (BODY_PAIRS_MAX + 2) * 12;
    char *body = malloc(cap);
    struct reading *r = wanting("x m");

    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        struct outbuf o = outbuf_on(body, cap);

        for (unsigned i = 0; i < BODY_PAIRS_MAX + extra; i++)
            outbuf_lit(&o, "&x[]=1");
        read_form(r, outbuf_span(&o));
        assert_int_equal(r->out.problem, extra ? BODY_PROBLEM_TOO_MANY : BODY_PROBLEM_NONE);
    }
    /* distinct members of one wanted container */
    for (unsigned n = 2047; n < 2050; n++) {
        struct outbuf o = outbuf_on(body, cap);
        char text[24];

        for (unsigned i = 0; i < n; i++) {
            int len = snprintf(text, sizeof(text), "m[k%u]=&", i);
            outbuf_put(&o, text, (size_t)len);
        }
        assert_false(o.full);
        read_form(r, outbuf_span(&o));
        assert_int_equal(r->out.problem, n > 2048 ? BODY_PROBLEM_TOO_MANY : BODY_PROBLEM_NONE);
        if (n <= 2048)
            assert_int_equal(r->v[1].length, n);
    }
    reading_free(r);
    free(body);
}

/* A random document without doubts, written as JSON and as a form: both say the same at every path.
 */
struct twin {
    uint64_t *seed;
    struct outbuf json, form;
    struct reading *r;
};

static void form_text(struct outbuf *o, const char *s)
{
    for (; *s; s++) {
        if (*s == ' ')
            outbuf_lit(o, "+");
        else if ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9'))
            outbuf_put(o, s, 1);
        else
            outbuf_printf(o, "%%%02x", (unsigned char)*s);
    }
}

static void twin_value(struct twin *t, const char *path, const char *key, unsigned depth);

static void twin_children(struct twin *t, const char *path, const char *key, unsigned depth,
                          bool array)
{
    static const char *const names[] = {"alpha", "b c", "gamma%", "d&e=", "\xc3\xa4", "z"};
    unsigned n = 1 + test_random(t->seed, 4);

    outbuf_cstr(&t->json, array ? "[" : "{");
    for (unsigned i = 0; i < n; i++) {
        char sub_path[400], sub_key[400];

        if (i)
            outbuf_lit(&t->json, ",");
        if (array) {
            snprintf(sub_path, sizeof(sub_path), "%s[%u]", path, i);
            snprintf(sub_key, sizeof(sub_key), "%s[%u]", key, i);
        } else {
            snprintf(sub_path, sizeof(sub_path), "%s[\"%s\"]", path, names[i]);
            snprintf(sub_key, sizeof(sub_key), *key ? "%s[%s]" : "%s%s", key, names[i]);
            outbuf_json(&t->json, span_cstr(names[i]));
            outbuf_lit(&t->json, ":");
        }
        twin_value(t, sub_path, sub_key, depth + 1);
    }
    outbuf_cstr(&t->json, array ? "]" : "}");
}

static void twin_value(struct twin *t, const char *path, const char *key, unsigned depth)
{
    static const char *const texts[] = {"", "x y", "100", "%&=+;", "\xe2\x82\xac", "[a]"};
    bool inner = depth == 0 || (depth < 4 && test_random(t->seed, 2));

    if (body_paths_count(t->r->paths) < MAX_PATHS - 1 && depth > 0)
        want(t->r, path);
    if (inner) {
        twin_children(t, path, key, depth, depth > 0 && test_random(t->seed, 2));
        return;
    }
    {
        const char *text = texts[test_random(t->seed, 6)];

        outbuf_json(&t->json, span_cstr(text));
        if (t->form.n)
            outbuf_lit(&t->form, "&");
        form_text(&t->form, key);
        outbuf_lit(&t->form, "=");
        form_text(&t->form, text);
    }
}

static void compare_twins(struct twin *t, unsigned round)
{
    struct body_value v[MAX_PATHS];
    unsigned n;
    char *json;

    read_json(t->r, outbuf_span(&t->json));
    assert_int_equal(t->r->out.problem, BODY_PROBLEM_NONE);
    n = t->r->out.count;
    memcpy(v, t->r->v, sizeof(v));
    json = t->r->body; /* the values of the first reading point into these */
    t->r->body = NULL;
    free(t->r->scratch);
    t->r->scratch = NULL;
    read_form(t->r, outbuf_span(&t->form));
    assert_int_equal(t->r->out.problem, BODY_PROBLEM_NONE);
    for (unsigned i = 0; i < n; i++) {
        const struct body_value *f = &t->r->v[i];
        bool same = f->kind == v[i].kind || (f->kind == BODY_NUMBER && v[i].kind == BODY_STRING);

        if (!same || f->length != v[i].length || !span_eq(f->text, v[i].text))
            fail_msg("round %u, path %u: JSON %s, form %s\n%.*s\n%.*s", round, i,
                     kind_name(v[i].kind), kind_name(f->kind), SPAN_ARG(outbuf_span(&t->json)),
                     SPAN_ARG(outbuf_span(&t->form)));
    }
    free(json);
}

static void test_twins(void **state)
{
    uint64_t seed = test_seed();
    size_t cap = 1 << 20;
    char *a = malloc(cap), *b = malloc(cap);

    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        struct twin t = {.seed = &seed, .json = outbuf_on(a, cap), .form = outbuf_on(b, cap)};

        t.r = reading_new();
        twin_value(&t, "", "", 0);
        assert_false(t.json.full || t.form.full);
        compare_twins(&t, round);
        reading_free(t.r);
    }
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_problems),
        cmocka_unit_test(test_places), cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_twins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
