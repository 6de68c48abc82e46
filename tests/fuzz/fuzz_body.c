/* Bodies and numbers on hostile bytes. The first byte says what the rest is. */
#include <stdint.h>
#include <stdlib.h>

#include "body/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static const char *const wanted[] = {
    "",        "a",      "a.b",      "a.b.c",  "a[0]",   "a[1].b",        "[0]",
    "[1][0]",  "amount", "ab",       "A",      "[\"\"]", "[\"\\u00e4\"]", "a[\"0\"]",
    "a[0][0]", "b.a",    "b[0].a.b", "a.name", "a.type", "a.size",        "a[0].size"};
#define WANTED (sizeof(wanted) / sizeof(wanted[0]))

static struct body_paths *paths(void)
{
    static struct arena mem;
    static struct body_paths *p;

    if (!p) {
        p = body_paths_new(&mem);
        for (size_t i = 0; i < WANTED; i++)
            CHECK(body_paths_add(p, span_cstr(wanted[i])) == (int)i);
    }
    return p;
}

static bool inside(struct span s, struct span of)
{
    return s.n == 0 || (s.p >= of.p && s.p + s.n <= of.p + of.n);
}

static void check_value(const struct body_value *v, struct span body, struct span scratch)
{
    CHECK(v->kind <= BODY_ARRAY);
    CHECK(inside(v->raw, body));
    CHECK(inside(v->text, body) || inside(v->text, scratch));
    CHECK(v->length <= body.n);
    CHECK(!v->duplicate || v->kind == BODY_UNREADABLE);
    if (v->kind == BODY_NUMBER)
        CHECK(body_number_valid(v->text));
    if (v->kind <= BODY_UNREADABLE)
        CHECK(v->raw.n == 0 && v->text.n == 0);
}

static struct body_paths *whole_only(void)
{
    static struct arena mem;
    static struct body_paths *p;

    if (!p) {
        p = body_paths_new(&mem);
        CHECK(body_paths_add(p, SPAN_NONE) == 0);
    }
    return p;
}

/* What stands at a readable path of a JSON document is a JSON document of the same kind and text.
 */
static void check_again(const struct body_value *v)
{
    static char scratch[1 << 20];
    struct body_value whole;
    struct body_values out = {.count = 1, .v = &whole};

    body_read(whole_only(), BODY_JSON, v->raw, span_of(scratch, sizeof(scratch)), &out);
    CHECK(!out.problem && whole.kind == v->kind && whole.length == v->length);
    CHECK(span_eq(whole.text, v->text) && whole.boolean == v->boolean);
}

static void check_document(enum body_type type, struct span body)
{
    char *scratch = malloc(body.n + 1);
    struct body_value values[WANTED];
    struct body_values out = {.count = WANTED, .v = values};

    CHECK(scratch);
    body_read(paths(), type, body, span_of(scratch, body.n), &out);
    CHECK(out.problem != BODY_PROBLEM_SCRATCH); /* as much as the body is always enough */
    CHECK(out.problem_at <= body.n);
    for (size_t i = 0; i < WANTED; i++) {
        check_value(&values[i], body, span_of(scratch, body.n));
        CHECK(!out.problem || values[i].kind == BODY_UNREADABLE);
        if (type == BODY_JSON && values[i].kind > BODY_UNREADABLE)
            check_again(&values[i]);
    }
    free(scratch);
}

/* Parts as they are handed out are those of an accepted body, in their order and without a gap. */
static void check_parts(struct span body)
{
    struct body_value whole;
    struct body_values out = {.count = 1, .v = &whole};
    struct body_parts it;
    struct body_part part;
    const char *at = body.p;
    unsigned parts = 0;
    bool begun = body_parts_begin(&it, body);

    while (begun && body_parts_next(&it, &part)) {
        CHECK(part.head.p == at + it.delimiter.n + 2 && inside(part.content, body));
        CHECK(part.content.p == part.head.p + part.head.n + 4);
        CHECK(!memmem(part.content.p, part.content.n, it.delimiter.p, it.delimiter.n));
        at = part.content.p + part.content.n + 2;
        parts++;
    }
    body_read(whole_only(), BODY_MULTIPART, body, SPAN_NONE, &out);
    CHECK(out.problem || (begun && !it.bad && parts));
    CHECK(out.problem || body.p + body.n - at >= (ptrdiff_t)it.delimiter.n + 2);
}

static void check_numbers(struct span s)
{
    struct span a = span_cut(&s, ','), b = span_cut(&s, ',');
    int ab = 0, ba = 0, aa = 1;
    bool both = body_number_valid(a) && body_number_valid(b);

    CHECK(body_number_cmp(a, b, &ab) == both);
    CHECK(body_number_cmp(b, a, &ba) == both);
    CHECK(ab == -ba);
    CHECK(!body_number_cmp(a, a, &aa) || aa == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span s = span_of(bytes + 1, n ? n - 1 : 0);
    struct arena mem = ARENA_INIT;

    if (n == 0)
        return 0;
    switch (bytes[0] % 6) {
    case 0:
    case 1:
        check_document(BODY_JSON, s);
        break;
    case 2:
        check_document(BODY_FORM, s);
        break;
    case 3:
        check_document(BODY_MULTIPART, s);
        check_parts(s);
        break;
    case 4:
        check_numbers(s);
        break;
    default:
        CHECK(body_paths_add(body_paths_new(&mem), s) <= 0);
        CHECK(body_type_of(s) <= BODY_OTHER);
        arena_free(&mem);
    }
    return 0;
}
