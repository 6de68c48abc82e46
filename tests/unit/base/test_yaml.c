#include "base_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

/* Parses what must be good. */
static struct yaml_doc *good_n(struct span text)
{
    struct yaml_doc *doc;
    struct diags d;

    diags_init(&d);
    doc = yaml_parse("f", text, &d);
    if (d.count)
        diags_print(&d, stdout, false);
    assert_int_equal(d.count, 0);
    assert_non_null(doc);
    diags_free(&d);
    return doc;
}

static struct yaml_doc *good(const char *text)
{
    return good_n(span_cstr(text));
}

/* Parses what must be bad; the first complaint (by place) must have this head. */
static void bad_n(struct span text, const char *want)
{
    struct diags d;
    char *out = NULL;
    size_t n;
    FILE *to = open_memstream(&out, &n);

    diags_init(&d);
    assert_null(yaml_parse("f", text, &d));
    assert_true(d.errors > 0);
    diags_print(&d, to, false);
    fclose(to);
    if (strncmp(out, want, strlen(want)) != 0)
        fail_msg("expected: %s\ngot: %s", want, out);
    free(out);
    diags_free(&d);
}

static void bad(const char *text, const char *want)
{
    bad_n(span_cstr(text), want);
}

static void is_at(struct place p, unsigned line, unsigned column)
{
    if (p.line != line || p.column != column)
        fail_msg("expected %u:%u, got %u:%u", line, column, p.line, p.column);
}

static void text_is(const struct yaml_node *n, const char *want)
{
    assert_non_null(n);
    assert_int_equal(yaml_kind_of(n), YAML_SCALAR);
    assert_string_equal(yaml_text(n).p, want);
    assert_int_equal(yaml_text(n).n, strlen(want));
}

static void reads_all_kinds(void **state)
{
    struct yaml_doc *doc =
        good("a: 1\nb: [x, 'y''z', \"p\\tq\"]\nc:\n  d: {e: f}\n  g: |\n    one\n"
             "    two\nh: >-\n  fold\n  ed\ni:\nj: plain\n  goes on\n");
    const struct yaml_node *r = yaml_root(doc), *b = yaml_get(r, "b"), *c = yaml_get(r, "c");

    (void)state;
    assert_int_equal(yaml_kind_of(r), YAML_MAPPING);
    assert_int_equal(yaml_count(r), 6);
    text_is(yaml_get(r, "a"), "1");
    text_is(yaml_key_at(r, 1), "b");
    assert_ptr_equal(yaml_at(r, 1), b);
    assert_int_equal(yaml_kind_of(b), YAML_SEQUENCE);
    assert_int_equal(yaml_count(b), 3);
    text_is(yaml_at(b, 1), "y'z");
    text_is(yaml_at(b, 2), "p\tq");
    assert_null(yaml_at(b, 3));
    assert_null(yaml_key_at(b, 0));
    assert_null(yaml_get(b, "x"));
    text_is(yaml_get(yaml_get(c, "d"), "e"), "f");
    text_is(yaml_get(c, "g"), "one\ntwo\n");
    text_is(yaml_get(r, "h"), "fold ed");
    text_is(yaml_get(r, "i"), "");
    text_is(yaml_get(r, "j"), "plain goes on");
    assert_null(yaml_get(r, "none"));
    assert_null(yaml_get(NULL, "a"));
    assert_true(yaml_is_plain(yaml_get(r, "a")));
    assert_false(yaml_is_plain(yaml_at(b, 1)));
    assert_false(yaml_is_plain(b));
    yaml_free(doc);
}

static void nothing_is_an_empty_mapping(void **state)
{
    static const char *const texts[] = {"",           "\n",           "# only words\n",  "---\n",
                                        "---\n...\n", "\xef\xbb\xbf", "%YAML 1.2\n---\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct yaml_doc *doc = good(texts[i]);

        assert_int_equal(yaml_kind_of(yaml_root(doc)), YAML_MAPPING);
        assert_int_equal(yaml_count(yaml_root(doc)), 0);
        is_at(yaml_place(yaml_root(doc)), 1, 1);
        yaml_free(doc);
    }
}

static void places(void **state)
{
    struct yaml_doc *doc =
        good("a: 1\r\nü: \"x\"\n\nlist:\n  - 'y'\n  - {k: v}\r  - é: |\n\n      t\n"
             "none:\nlast: 3");
    const struct yaml_node *r = yaml_root(doc), *list = yaml_get(r, "list");
    struct place p = yaml_place(yaml_get(yaml_at(list, 1), "k"));

    (void)state;
    is_at(yaml_place(r), 1, 1);
    is_at(yaml_place(yaml_get(r, "a")), 1, 4);
    is_at(yaml_place(yaml_key_at(r, 1)), 2, 1);
    is_at(yaml_place(yaml_get(r, "ü")), 2, 4); /* at the quote; columns are characters */
    is_at(yaml_place(list), 5, 3);
    is_at(yaml_place(yaml_at(list, 0)), 5, 5);
    is_at(yaml_place(yaml_at(list, 1)), 6, 5);
    is_at(p, 6, 9);
    assert_string_equal(p.file, "f");
    assert_int_equal(p.text.n, strlen("  - {k: v}"));
    assert_memory_equal(p.text.p, "  - {k: v}", p.text.n);
    is_at(yaml_place(yaml_get(yaml_at(list, 2), "é")), 9, 7);
    is_at(yaml_place(yaml_get(r, "none")), 10, 5); /* behind its key */
    is_at(yaml_place(yaml_get(r, "last")), 11, 7);
    yaml_free(doc);
}

static void byte_order_mark_moves_no_place(void **state)
{
    struct yaml_doc *doc = good("\xef\xbb\xbf"
                                "a: 1\n");

    (void)state;
    is_at(yaml_place(yaml_get(yaml_root(doc), "a")), 1, 4);
    yaml_free(doc);
}

/* For each byte of the text the place that it came from. */
static void places_inside_scalars(void **state)
{
    struct yaml_doc *doc = good("a: plain 'x'\n"
                                "b: 'it''s'\n"
                                "c: \"a\\n\\x41\\u20ac\\U0001F600\\_\\\"z\"\n"
                                "d: |2-\n    two\n\n  three\n"
                                "e: >\n  folded\n  text\n"
                                "f: on\n  two lines\n"
                                "g: [ü, 'üx']\n"
                                "h:\n  - |\n    deep\n");
    const struct yaml_node *r = yaml_root(doc), *n;

    (void)state;
    n = yaml_get(r, "a");
    is_at(yaml_place_in(n, 0), 1, 4);
    is_at(yaml_place_in(n, 6), 1, 10);
    is_at(yaml_place_in(n, 9), 1, 13); /* its end */
    is_at(yaml_place_in(n, 99), 1, 13);
    n = yaml_get(r, "b");
    is_at(yaml_place_in(n, 0), 2, 5);
    is_at(yaml_place_in(n, 2), 2, 7);
    is_at(yaml_place_in(n, 3), 2, 9);
    is_at(yaml_place_in(n, 4), 2, 10);
    n = yaml_get(r, "c");
    is_at(yaml_place_in(n, 1), 3, 6);   /* \n */
    is_at(yaml_place_in(n, 2), 3, 8);   /* \x41 */
    is_at(yaml_place_in(n, 3), 3, 12);  /* the first byte of the euro sign */
    is_at(yaml_place_in(n, 5), 3, 12);  /* and its last */
    is_at(yaml_place_in(n, 6), 3, 18);  /* \U */
    is_at(yaml_place_in(n, 10), 3, 28); /* \_ */
    is_at(yaml_place_in(n, 12), 3, 30); /* \" */
    is_at(yaml_place_in(n, 13), 3, 32); /* z */
    n = yaml_get(r, "d");
    text_is(n, "  two\n\nthree");
    is_at(yaml_place_in(n, 2), 5, 5);
    is_at(yaml_place_in(n, 6), 6, 1);
    is_at(yaml_place_in(n, 7), 7, 3);
    is_at(yaml_place_in(n, 11), 7, 7);
    is_at(yaml_place_in(yaml_get(r, "e"), 5), 9, 3);
    is_at(yaml_place_in(yaml_get(r, "f"), 5), 11, 4);
    n = yaml_get(r, "g");
    is_at(yaml_place_in(yaml_at(n, 1), 2), 13, 10);
    is_at(yaml_place_in(n, 2), 13, 4);
    is_at(yaml_place_in(yaml_at(yaml_get(r, "h"), 0), 3), 16, 8);
    yaml_free(doc);
}

static void refuses_what_a_rules_file_must_not_hold(void **state)
{
    (void)state;
    bad("a: &x 1\nb: *x\n",
        "f:1:5: error: anchors and aliases are not allowed: write the value out\n"
        "    a: &x 1\n        ^\n"
        "f:2:5: error: anchors and aliases are not allowed");
    bad("a: !!str 1\n", "f:1:4: error: tags are not allowed");
    bad("a: ! 1\n", "f:1:4: error: tags are not allowed");
    bad("a: !!map {}\n", "f:1:4: error: tags are not allowed");
    bad("a: {<<: {b: 1}}\n", "f:1:5: error: merge keys are not allowed");
    bad("a: 1\n---\nb: 2\n", "f:2:1: error: only one document a file is allowed");
    bad("a: 1\n...\nfoo", "f:");
    bad("? [1]\n: 2\n", "f:1:3: error: a key must be a text");
    bad("? {a: b}\n: 2\n", "f:1:3: error: a key must be a text");
    bad(": 2\n", "f:1:1: error: a key is missing");
    bad("a: \"x\\0y\"\n", "f:1:5: error: a NUL byte is not allowed in a text");
    bad("[a: 1, 2\nb: 3]\n", "f:1:");
}

/* What libfyaml would make of them holds bytes that are not the file's. */
static void two_quotes_need_double_quotes(void **state)
{
    struct yaml_doc *doc =
        good("a: 'it''s'\nb: ''''\nc: \"''''\"\nd: x''''y\ne: ['', '']\nf: '\''x'\''\n");

    (void)state;
    text_is(yaml_get(yaml_root(doc), "a"), "it's");
    text_is(yaml_get(yaml_root(doc), "b"), "'");
    text_is(yaml_get(yaml_root(doc), "c"), "''''");
    text_is(yaml_get(yaml_root(doc), "d"), "x''''y");
    text_is(yaml_get(yaml_root(doc), "f"), "'x'");
    yaml_free(doc);
    bad("a: 'x == '''''\n", "f:1:5: error: two quotes one after the other");
    bad("'a''''b': 1\n", "f:1:2: error: two quotes one after the other");
}

static void refuses_duplicate_keys(void **state)
{
    char text[4000];
    struct outbuf o = outbuf_on(text, sizeof(text));

    (void)state;
    bad("a: 1\nb: 2\na: 3\n", "f:3:1: error: the key `a` is already there\n    a: 3\n    ^\n");
    bad("x: {a: 1, \"a\": 2}\n", "f:1:11: error: the key `a` is already there");
    for (unsigned i = 0; i < 200; i++) /* enough for the hash table */
        outbuf_printf(&o, "k%u: 1\n", i);
    outbuf_lit(&o, "k150: 1\n");
    bad_n(outbuf_span(&o), "f:201:1: error: the key `k150` is already there");
}

static void large_mappings_find_every_key(void **state)
{
    for (unsigned count = 1; count < 300; count += 1 + count / 20) {
        char text[8000], key[20];
        struct outbuf o = outbuf_on(text, sizeof(text));
        struct yaml_doc *doc;

        (void)state;
        for (unsigned i = 0; i < count; i++)
            outbuf_printf(&o, "key%u: %u\n", i, i);
        doc = good_n(outbuf_span(&o));
        for (unsigned i = 0; i < count; i++) {
            snprintf(key, sizeof(key), "key%u", i);
            text_is(yaml_get(yaml_root(doc), key), key + 3);
        }
        assert_null(yaml_get(yaml_root(doc), "key"));
        assert_null(yaml_get(yaml_root(doc), "key300"));
        yaml_free(doc);
    }
}

static void syntax_errors_have_a_place(void **state)
{
    (void)state;
    bad("a: [1, 2\nb: 3\n", "f:");
    bad("ok: 1\n\ta: 1\n", "f:2:1: error: tabs are not allowed: use spaces");
    bad("? [1]:\t? 2\n", "f:1:7: error: tabs are not allowed: use spaces");
    bad("ok: 1\na: \"x\n", "f:2:5: error: double-quoted scalar without closing quote\n    a: \"x\n"
                           "        ^\n");
    bad("a: b: c\n", "f:1:5: error: ");
    bad("a: 1\n b: 2\n", "f:1:4: error: ");
    bad("a: \"\\q\"\n", "f:1:5: error: invalid escape 'q'");
    bad("}", "f:1:1: error: ");
    bad("@x", "f:1:1: error: ");
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    bad("ok: 1\na: \xff\n", "f:2:4: error: not UTF-8");
    bad("a: \xc0\xaf\n", "f:1:4: error: not UTF-8");
    bad_n(SPAN_LIT("a: x\0y\n"), "f:1:5: error: the character U+0000 is not allowed here");
    bad_n(SPAN_LIT("\xff\xfe"
                   "a\0:\0"),
          "f:1:1: error: not UTF-8"); /* UTF-16 */
    bad("a: \x1b[0m\n", "f:1:4: error: the character U+001B is not allowed here");
    bad("a: \xe2\x80\xae\n", "f:1:4: error: the character U+202E is not allowed here");
    bad("a: x\xef\xbb\xbf\n", "f:1:5: error: the character U+FEFF is not allowed here");
}

static void depth_is_bounded(void **state)
{
    char text[200];
    struct yaml_doc *doc;

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    doc = good_n(span_of(text, 128));
    yaml_free(doc);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    bad_n(span_of(text, 130), "f:1:");
}

static void size_is_bounded(void **state)
{
    char *text = malloc(YAML_FILE_MAX + 1);

    (void)state;
    memset(text, '\n', YAML_FILE_MAX + 1);
    yaml_free(good_n(span_of(text, YAML_FILE_MAX)));
    bad_n(span_of(text, YAML_FILE_MAX + 1), "f: error: larger than 16 MiB");
    free(text);
}

static void files(void **state)
{
    char dir[] = "/tmp/yaml.XXXXXX", path[64], fifo[64];
    struct yaml_doc *doc;
    struct diags d;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.yaml", dir);
    snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    diags_init(&d);
    assert_null(yaml_load(path, &d));
    assert_null(yaml_load(dir, &d));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_null(yaml_load(fifo, &d)); /* and does not wait for a writer */
    assert_int_equal(d.errors, 3);
    f = fopen(path, "w");
    fputs("a: 1\n", f);
    fclose(f);
    doc = yaml_load(path, &d);
    assert_non_null(doc);
    assert_string_equal(yaml_place(yaml_root(doc)).file, path);
    yaml_free(doc);
    assert_int_equal(truncate(path, (off_t)YAML_FILE_MAX + 1), 0);
    assert_null(yaml_load(path, &d));
    assert_string_equal(d.items[3].message, "larger than 16 MiB");
    unlink(path);
    unlink(fifo);
    rmdir(dir);
    diags_free(&d);
}

/* libfyaml must not talk to the terminal by itself. */
static void nothing_goes_to_standard_error(void **state)
{
    int saved = dup(STDERR_FILENO), pipes[2];
    struct diags d;
    char c;

    (void)state;
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    dup2(pipes[1], STDERR_FILENO);
    diags_init(&d);
    assert_null(yaml_parse("f", SPAN_LIT("a: [\n\"b"), &d));
    assert_null(yaml_parse("f", SPAN_LIT("{a: 1, a: 2, *x: &y 3"), &d));
    diags_free(&d);
    dup2(saved, STDERR_FILENO);
    assert_int_equal(read(pipes[0], &c, 1), -1);
    close(saved);
    close(pipes[0]);
    close(pipes[1]);
}

static const char readers_text[] =
    "text: word\nquoted: '5'\nnum: 42\nneg: -1\nyes: true\nno: false\n"
    "maybe: yes\nt: 20s\nms: 50ms\nlong: 400000000d\nsize: 16KiB\n"
    "bytes: 512\nkb: 5KB\nlist: [1]\nnull: ~\nempty:\nmode: fast\n"
    "modes: fsat\nbig: 18446744073709551616\nstr: '20s'\n";

struct readers {
    struct yaml_doc *doc;
    const struct yaml_node *root;
    struct diags d;
};

static void complains(struct readers *r, bool result, const char *message)
{
    assert_false(result);
    assert_true(r->d.count > 0);
    assert_string_equal(r->d.items[r->d.count - 1].message, message);
}

static void reads_numbers_and_words(void **state)
{
    struct readers r = {.doc = good(readers_text)};
    struct span text = SPAN_LIT("kept");
    bool flag = true;
    uint64_t v = 7;

    (void)state;
    r.root = yaml_root(r.doc);
    diags_init(&r.d);
    assert_true(yaml_read_text(r.root, "quoted", true, &text, &r.d));
    assert_true(span_eq(text, SPAN_LIT("5")));
    complains(&r, yaml_read_text(r.root, "list", true, &text, &r.d), "`list`: expected a text");
    complains(&r, yaml_read_text(r.root, "null", false, &text, &r.d), "`null`: expected a text");
    complains(&r, yaml_read_text(r.root, "empty", false, &text, &r.d), "`empty`: expected a text");
    complains(&r, yaml_read_text(r.root, "gone", true, &text, &r.d),
              "`gone` is missing: expected a text");
    assert_true(span_eq(text, SPAN_LIT("5")));
    assert_true(yaml_read_bool(r.root, "no", true, &flag, &r.d));
    assert_false(flag);
    assert_true(yaml_read_bool(r.root, "yes", true, &flag, &r.d));
    assert_true(flag);
    complains(&r, yaml_read_bool(r.root, "maybe", true, &flag, &r.d),
              "`maybe`: expected true or false");
    complains(&r, yaml_read_u64(r.root, "quoted", true, 0, 9, &v, &r.d),
              "`quoted`: expected a whole number");
    complains(&r, yaml_read_u64(r.root, "neg", true, 0, 9, &v, &r.d),
              "`neg`: expected a whole number");
    complains(&r, yaml_read_u64(r.root, "big", true, 0, UINT64_MAX, &v, &r.d),
              "`big`: expected a whole number");
    complains(&r, yaml_read_u64(r.root, "num", true, 1, 41, &v, &r.d),
              "`num`: expected a whole number from 1 to 41");
    complains(&r, yaml_read_u64(r.root, "num", true, 43, 99, &v, &r.d),
              "`num`: expected a whole number from 43 to 99");
    is_at(r.d.items[r.d.count - 1].where, 3, 6);
    assert_int_equal(v, 7);
    assert_true(yaml_read_u64(r.root, "num", true, 42, 42, &v, &r.d));
    assert_int_equal(v, 42);
    r.d.count = 0;
    assert_false(yaml_read_u64(r.root, "gone", false, 0, 9, &v, &r.d));
    assert_int_equal(r.d.count, 0);
    diags_free(&r.d);
    yaml_free(r.doc);
}

static void reads_times_sizes_and_choices(void **state)
{
    static const char *const modes[] = {"slow", "fast", NULL};
    struct readers r = {.doc = good(readers_text)};
    unsigned choice = 9;
    uint64_t v = 7;

    (void)state;
    r.root = yaml_root(r.doc);
    diags_init(&r.d);
    assert_true(yaml_read_duration(r.root, "t", true, &v, &r.d));
    assert_int_equal(v, 20 * NS_IN_S);
    assert_true(yaml_read_duration(r.root, "ms", true, &v, &r.d));
    assert_int_equal(v, 50 * NS_IN_MS);
    complains(&r, yaml_read_duration(r.root, "num", true, &v, &r.d),
              "`num`: expected a time such as 50ms, 20s, 5m, 24h or 2d");
    complains(&r, yaml_read_duration(r.root, "long", true, &v, &r.d),
              "`long`: expected a time such as 50ms, 20s, 5m, 24h or 2d");
    complains(&r, yaml_read_duration(r.root, "str", true, &v, &r.d),
              "`str`: expected a time such as 50ms, 20s, 5m, 24h or 2d");
    assert_int_equal(v, 50 * NS_IN_MS);
    assert_true(yaml_read_size(r.root, "size", true, &v, &r.d));
    assert_int_equal(v, 16384);
    assert_true(yaml_read_size(r.root, "bytes", true, &v, &r.d));
    assert_int_equal(v, 512);
    complains(&r, yaml_read_size(r.root, "kb", true, &v, &r.d),
              "`kb`: expected a size such as 512, 16KiB, 1MiB or 2GiB");
    assert_true(yaml_read_enum(r.root, "mode", true, modes, &choice, &r.d));
    assert_int_equal(choice, 1);
    complains(&r, yaml_read_enum(r.root, "modes", true, modes, &choice, &r.d),
              "`modes`: expected one of slow, fast; did you mean `fast`?");
    complains(&r, yaml_read_enum(r.root, "text", true, modes, &choice, &r.d),
              "`text`: expected one of slow, fast");
    complains(&r, yaml_read_enum(r.root, "gone", true, modes, &choice, &r.d),
              "`gone` is missing: expected one of slow, fast");
    assert_int_equal(choice, 1);
    diags_free(&r.d);
    yaml_free(r.doc);
}

static void unknown_keys_are_named_with_the_nearest(void **state)
{
    static const char *const known[] = {"audience", "issuer", "keys", NULL};
    struct yaml_doc *doc = good("issuer: a\naudiense: b\nKeys: c\ncolour: d\n");
    struct diags d;

    (void)state;
    diags_init(&d);
    yaml_only(yaml_root(doc), known, &d);
    yaml_only(yaml_get(yaml_root(doc), "issuer"), known, &d);
    yaml_only(NULL, known, &d);
    assert_int_equal(d.count, 3);
    assert_string_equal(d.items[0].message,
                        "`audiense` is not known here; did you mean `audience`?");
    is_at(d.items[0].where, 2, 1);
    assert_string_equal(d.items[1].message, "`Keys` is not known here; did you mean `keys`?");
    assert_string_equal(d.items[2].message,
                        "`colour` is not known here; known: audience, issuer, keys");
    diags_free(&d);
    yaml_free(doc);
}

static void mappings_are_joined(void **state)
{
    static const char *const deep[] = {"both", NULL};
    char text[400] = "both: {x: 1, y: 2}\nflat: {x: 1}\nown: 1\n", *at = text;
    struct yaml_doc *over = good(text), *under;
    const struct yaml_node *n;

    (void)state;
    for (unsigned i = 0; i < 20; i++) /* enough for a table */
        at += sprintf(at, "k%u: %u\n", i, i);
    strcpy(at, "own: 2\nflat: {y: 9}\nboth:\n  y: 8\n  z: 3\n");
    under = good(text);
    n = yaml_join(yaml_root(over), yaml_root(under), deep);
    assert_int_equal(yaml_count(n), 23);
    text_is(yaml_get(n, "own"), "1");
    text_is(yaml_get(n, "k19"), "19");
    is_at(yaml_place(yaml_get(n, "k19")), 20, 6);
    text_is(yaml_get(yaml_get(n, "both"), "x"), "1");
    text_is(yaml_get(yaml_get(n, "both"), "y"), "2");
    text_is(yaml_get(yaml_get(n, "both"), "z"), "3");
    assert_int_equal(yaml_count(yaml_get(n, "both")), 3);
    assert_null(yaml_get(yaml_get(n, "flat"), "y"));
    assert_null(yaml_get(n, "k20"));
    for (size_t i = 0; i < yaml_count(n); i++)
        assert_ptr_equal(yaml_get(n, yaml_text(yaml_key_at(n, i)).p), yaml_at(n, i));
    assert_int_equal(yaml_count(yaml_root(over)), 3); /* as they were */
    assert_int_equal(yaml_count(yaml_get(yaml_root(over), "both")), 2);
    yaml_free(over);
    yaml_free(under);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_kinds),
        cmocka_unit_test(nothing_is_an_empty_mapping),
        cmocka_unit_test(places),
        cmocka_unit_test(byte_order_mark_moves_no_place),
        cmocka_unit_test(places_inside_scalars),
        cmocka_unit_test(refuses_what_a_rules_file_must_not_hold),
        cmocka_unit_test(two_quotes_need_double_quotes),
        cmocka_unit_test(refuses_duplicate_keys),
        cmocka_unit_test(large_mappings_find_every_key),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(files),
        cmocka_unit_test(nothing_goes_to_standard_error),
        cmocka_unit_test(reads_numbers_and_words),
        cmocka_unit_test(reads_times_sizes_and_choices),
        cmocka_unit_test(unknown_keys_are_named_with_the_nearest),
        cmocka_unit_test(mappings_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
