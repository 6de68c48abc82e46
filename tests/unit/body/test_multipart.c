/* multipart/form-data: what stands at paths, what is in doubt, what is refused, and where. */
#include "body_test.h"

#define CRLF                     "\r\n"
#define D                        "--B" CRLF
#define END                      CRLF "--B--" CRLF
#define CD                       "Content-Disposition: form-data; "
#define NEXT                     CRLF D
#define TEXT(name, value)        CD "name=\"" name "\"" CRLF CRLF value
#define TYPED(name, type, value) CD "name=\"" name "\"" CRLF "Content-Type: " type CRLF CRLF value
#define FILE_(name, file, value) CD "name=\"" name "\"; filename=\"" file "\"" CRLF CRLF value
#define FILE_TYPED(name, file, type, value)                                                        \
    CD "name=\"" name "\"; filename=\"" file "\"" CRLF "Content-Type: " type CRLF CRLF value
#define A1 TEXT("a", "1")

struct row {
    const char *path, *body, *expected;
};

static const struct row rows[] = {
    {"a", D A1 END, "n:1"},
    {"a", D A1 CRLF "--B--", "n:1"},
    {"a", D TEXT("a", "") END, "s:"},
    {"a", D TEXT("a", "x y+z%20&=;") END, "s:x y+z%20&=;"},
    {"a", D TEXT("a", "line\r\nline\n") END, "s:line\r\nline\n"},
    {"a", D TEXT("a", "\r\n") END, "s:\r\n"},
    {"a", D TEXT("a", "\xc3\xa4") END, "s:\xc3\xa4"},
    {"b", D A1 END, "missing"},
    {"a", D TEXT("b", "1") NEXT A1 NEXT TEXT("c", "2") END, "n:1"},
    {"", D A1 NEXT TEXT("b", "2") END, "object/2"},
    {"[\"\"]", D TEXT("", "1") END, "n:1"},
    {"[\"a b\"]", D TEXT("a b", "1") END, "n:1"},
    {"[\"a;b\"]", D TEXT("a;b", "1") END, "n:1"},
    {"a", D "content-disposition:form-data;name=a" CRLF CRLF "1" END, "n:1"},
    {"a", D "CONTENT-DISPOSITION:  FORM-DATA ;\tNAME=\"a\" " CRLF CRLF "1" END, "n:1"},

    /* written as a number */
    {"a", D TEXT("a", "-1.5e+3") END, "n:-1.5e+3"},
    {"a", D TEXT("a", "+1") END, "s:+1"},
    {"a", D TEXT("a", "01") END, "s:01"},
    {"a", D TEXT("a", " 1") END, "s: 1"},
    {"a", D TEXT("a", "1\r\n") END, "s:1\r\n"},
    {"a", D TEXT("a", "true") END, "s:true"},

    /* nesting, as in forms */
    {"a.b", D TEXT("a[b]", "1") END, "n:1"},
    {"a.b[0]", D TEXT("a[b][0]", "1") END, "n:1"},
    {"a[0].b", D TEXT("a[0][b]", "1") NEXT TEXT("a[1][b]", "2") END, "n:1"},
    {"x[1]", D TEXT("x[]", "1") NEXT TEXT("x[]", "2") END, "n:2"},
    {"x", D TEXT("x[]", "1") NEXT TEXT("x[]", "2") END, "array/2"},

    /* twice, or as two things */
    {"a", D A1 NEXT A1 END, "duplicate"},
    {"a", D A1 NEXT TEXT("a", "2") NEXT TEXT("b", "2") END, "duplicate"},
    {"b", D A1 NEXT TEXT("a", "2") NEXT TEXT("b", "2") END, "n:2"},
    {"a", D A1 NEXT TEXT("A", "2") END, "duplicate"},
    {"a", D TEXT("A", "2") END, "missing"},
    {"a", D A1 NEXT TEXT("a ", "2") END, "duplicate"},
    {"a", D A1 NEXT TEXT("a[]", "2") END, "duplicate"},
    {"a", D A1 NEXT TEXT("a[b]", "2") END, "duplicate"},
    {"a", D TEXT("a[b", "2") END, "duplicate"},
    {"a", D A1 NEXT TEXT("[a]", "2") END, "duplicate"},
    {"x[0].y", D TEXT("x[][y]", "1") NEXT TEXT("x[][z]", "2") END, "duplicate"},
    {"a", D A1 NEXT FILE_("a", "f", "2") END, "duplicate"},
    {"a.size", D A1 NEXT FILE_("a", "f", "2") END, "duplicate"},
    {"a.size", D FILE_("a", "f", "2") NEXT TEXT("a[size]", "9") END, "duplicate"},
    {"a.size", D FILE_("a", "f", "2") NEXT FILE_("a", "g", "2") END, "duplicate"},

    /* files */
    {"a", D FILE_("a", "f.txt", "50000") END, "object/2"},
    {"a", D FILE_TYPED("a", "f.txt", "text/plain", "50000") END, "object/3"},
    {"a.name", D FILE_("a", "f.txt", "50000") END, "s:f.txt"},
    {"a.size", D FILE_("a", "f.txt", "50000") END, "n:5"},
    {"a.size", D FILE_("a", "f.txt", "") END, "n:0"},
    {"a.size", D FILE_("a", "f.txt", "\xff\xfe\0\r\n--A\r\n") END,
     "n:2"}, /* cut by the table's NUL */
    {"a.type", D FILE_("a", "f.txt", "50000") END, "missing"},
    {"a.type", D FILE_TYPED("a", "f", "Image/PNG; x=\"y\"", "1") END, "s:image/png"},
    {"a.other", D FILE_TYPED("a", "f", "image/png", "1") END, "missing"},
    {"a.size.x", D FILE_("a", "f", "1") END, "missing"},
    {"a.Size", D FILE_("a", "f", "1") END, "missing"},
    {"a[1].name", D FILE_("a[]", "f", "1") NEXT FILE_("a[]", "g", "1") END, "s:g"},
    {"docs.id.size", D FILE_("docs[id]", "f", "abc") END, "n:3"},
    {"a.name", D CD "name=a; filename=f.txt" CRLF CRLF "1" END, "s:f.txt"},
    {"a.name", D FILE_("a", "100% sure.pdf", "1") END, "s:100% sure.pdf"},
    {"a.name", D FILE_("a", "a%22b.pdf", "1") END, "duplicate"},
    {"a.size", D FILE_("a", "a%22b.pdf", "1") END, "n:1"},
    {"a", D FILE_("a", "", "1") END, "duplicate"},
    {"a.size", D FILE_("a", "", "1") END, "duplicate"},

    /* types of parts */
    {"a", D TYPED("a", "text/plain; charset=UTF-8", "1") END, "n:1"},
    {"a", D TYPED("a", "text/plain; charset=\"utf8\"", "1") END, "n:1"},
    {"a", D TYPED("a", "text/plain; charset=utf-16", "1") END, "duplicate"},
    {"a", D TYPED("a", "text/plain; charset=us-ascii", "1") END, "duplicate"},
    {"a", D TYPED("a", "text/plain; charset=utf-8; charset=utf-7", "1") END, "duplicate"},
    {"b", D TYPED("a", "text/plain; charset=utf-16", "1") NEXT TEXT("b", "2") END, "n:2"},
    {"a", D TYPED("a", "nonsense", "1") END, "duplicate"},
    {"a", D TYPED("a", "multipart/mixed; boundary=C", "--C\r\n\r\n1\r\n--C--") END, "duplicate"},
    {"a", D FILE_TYPED("a", "f", "multipart/mixed; boundary=C", "1") END, "duplicate"},
    {"a", D TYPED("a", "application/json", "5") END, "s:5"},
    {"a", D TYPED("a", "application/vnd.x+json", "{\"b\": 5}") END, "s:{\"b\": 5}"},
    {"a.b", D TYPED("a", "application/json", "{\"b\": 5}") END, "missing"},
    {"a", D TYPED("a", "application/octet-stream", "5") END, "n:5"},
    {"a", D TEXT("a", "\xff") END, "duplicate"},
    {"a", D TEXT("a", "\xed\xa0\x80") END, "duplicate"},
    {"b", D TEXT("a", "\xff") NEXT TEXT("b", "2") END, "n:2"},
    {"a", D TEXT("_charset_", "UTF-8") NEXT A1 END, "n:1"},

    /* fields of parts */
    {"a", D CD "name=a" CRLF "Content-Transfer-Encoding: 8bit" CRLF CRLF "1" END, "n:1"},
    {"a", D CD "name=a" CRLF "content-transfer-encoding: BINARY" CRLF CRLF "1" END, "n:1"},
    {"a", D "X-Other: 1" CRLF CD "name=a" CRLF "Content-Length: 1" CRLF CRLF "1" END, "n:1"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct reading *r = reading_new();
        const char *end = "\r\n--B--\r\n";
        char body[2000];
        int n = snprintf(body, sizeof(body), "%s%s", rows[i].body,
                         strstr(rows[i].body, "\r\n--B--") ? "" : end);

        want(r, rows[i].path);
        read_with(r, BODY_MULTIPART, span_of(body, (size_t)n), (size_t)n);
        assert_value(r, 0, rows[i].body, rows[i].expected);
        reading_free(r);
    }
}

struct refused {
    const char *body, *problem;
    size_t at;
};

#define HEAD_AT 5              /* of the first part */
#define CD_AT   (HEAD_AT + 21) /* the value of its Content-Disposition */
#define PAR_AT  (CD_AT + 11)   /* its first parameter */

static const struct refused refusals[] = {
    {"", "malformed", 0},
    {"-", "malformed", 0},
    {"--\r\n" A1 END, "malformed", 2},
    {"--B", "malformed", 0},
    {"--B\n" CD "name=a\n\n1\n--B--\n", "malformed", 0},
    {"--B \r\n" A1 END, "malformed", 2}, /* padding */
    {" --B\r\n" A1 END, "malformed", 0},
    {"\r\n--B\r\n" A1 END, "malformed", 0}, /* a preamble */
    {"preamble\r\n--B\r\n" A1 END, "malformed", 0},
    {"--B--\r\n", "malformed", 7}, /* no part at all: it is a boundary "B--" */
    {"--B\\\r\n" A1 END, "malformed", 2},
    {"--B\xc3\xa4\r\n" A1 END, "malformed", 2},
    {"--12345678901234567890123456789012345678901234567890123456789012345678901\r\n" A1 END,
     "malformed", 0},

    /* the end */
    {D A1, "malformed", 50},
    {D A1 CRLF "--B", "malformed", 55},
    {D A1 CRLF "--B-", "malformed", 55},
    {D A1 CRLF "--B" CRLF, "malformed", 57},
    {D A1 CRLF "--B--\n", "malformed", 57},
    {D A1 CRLF "--B-- \r\n", "malformed", 57},
    {D A1 CRLF "--B--\r\n\r\n", "malformed", 57},
    {D A1 CRLF "--B--\r\nepilogue", "malformed", 57},
    {D A1 CRLF "--B--\r\n--B\r\n" A1 END, "malformed", 57},
    {D A1 CRLF "--B--" CRLF D TEXT("b", "2") END, "malformed", 57},

    /* delimiters out of place */
    {D TEXT("a", "1--B2") END, "malformed", 50},
    {D TEXT("a", "1\n--B\n") END, "malformed", 51},
    {D TEXT("a", "1\r--B\r") END, "malformed", 51},
    {D TEXT("a", "1\r\n--B2") END, "malformed", 55},
    {D TEXT("a", "1\r\n--B \r\n") END, "malformed", 55},
    {D TEXT("a", "1\r\n--B\n") END, "malformed", 55},
    {D TEXT("a--B", "1") END, "malformed", 44},
    {D CD "name=a" CRLF "--B" CRLF CRLF "1" END, "malformed", 45},
    {D CD "name=a" CRLF CRLF "--B--" CRLF, "malformed", 47}, /* no line for the value */
    {D CRLF D A1 END, "malformed", 7},
    {D CRLF "1" END, "malformed", HEAD_AT},

    /* heads */
    {D "X: y" CRLF CRLF "1" END, "malformed", HEAD_AT},
    {D CD "name=a" CRLF CD "name=a" CRLF CRLF "1" END, "malformed", HEAD_AT + 40 + 21},
    {D CD "name=a" CRLF " folded" CRLF CRLF "1" END, "malformed", HEAD_AT + 40},
    {D CD CRLF " name=a" CRLF CRLF "1" END, "malformed", CD_AT + 10},
    {D CD "name=a" CRLF "no colon" CRLF CRLF "1" END, "malformed", HEAD_AT + 40},
    {D CD "name=a" CRLF "X : y" CRLF CRLF "1" END, "malformed", HEAD_AT + 40},
    {D CD "name=a" CRLF ": y" CRLF CRLF "1" END, "malformed", HEAD_AT + 40},
    {D CD "name=a\nX: y" CRLF CRLF "1" END, "malformed", PAR_AT + 6},
    {D CD "name=a\rX: y" CRLF CRLF "1" END, "malformed", PAR_AT + 6},
    {D CD "name=\"a\x01\"" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD "name=\"a\x7f\"" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD "name=\"a\xff\"" CRLF CRLF "1" END, "not_utf8", HEAD_AT},
    {D FILE_("a", "\xc3", "1") END, "not_utf8", HEAD_AT},
    {D TEXT("_charset_", "iso-8859-1") NEXT A1 END, "not_utf8", 57},
    {D A1 NEXT TEXT("_charset_", "utf-16") END, "not_utf8", 109},

    /* the disposition */
    {D "Content-Disposition: attachment; name=a" CRLF CRLF "1" END, "malformed", CD_AT},
    {D "Content-Disposition: \"form-data\"; name=a" CRLF CRLF "1" END, "malformed", CD_AT},
    {D "Content-Disposition: form-data" CRLF CRLF "1" END, "malformed", CD_AT},
    {D "Content-Disposition: form-data; filename=f" CRLF CRLF "1" END, "malformed", CD_AT},
    {D "Content-Disposition: form-data name=a" CRLF CRLF "1" END, "malformed", CD_AT + 10},
    {D "Content-Disposition:" CRLF CRLF "1" END, "malformed", CD_AT - 1},
    {D CD "name=a;" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD ";name=a" CRLF CRLF "1" END, "malformed", PAR_AT},
    {D CD "name" CRLF CRLF "1" END, "malformed", PAR_AT},
    {D CD "name=" CRLF CRLF "1" END, "malformed", PAR_AT + 5},
    {D CD "name =a" CRLF CRLF "1" END, "malformed", PAR_AT},
    {D CD "name= a" CRLF CRLF "1" END, "malformed", PAR_AT + 5},
    {D CD "name=a[b]" CRLF CRLF "1" END, "malformed", PAR_AT + 9},
    {D CD "name='a'; name=b" CRLF CRLF "1" END, "malformed", PAR_AT + 10},
    {D CD "name=\"a" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD "name=\"a\"b" CRLF CRLF "1" END, "malformed", PAR_AT + 8},
    {D CD "name=\"a\" b" CRLF CRLF "1" END, "malformed", PAR_AT + 9},
    {D CD "name=\"a\\\"b\"" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD "name=\"a\\b\"" CRLF CRLF "1" END, "malformed", PAR_AT + 7},
    {D CD "name=\"a%22\"" CRLF CRLF "1" END, "malformed", CD_AT},
    {D CD "name=\"%61\"" CRLF CRLF "1" END, "malformed", CD_AT},
    {D CD "name=a; name=a" CRLF CRLF "1" END, "malformed", PAR_AT + 8},
    {D CD "name=a; NAME=b" CRLF CRLF "1" END, "malformed", PAR_AT + 8},
    {D CD "name=a; name*=utf-8''b" CRLF CRLF "1" END, "malformed", PAR_AT + 8},
    {D CD "name*0=a; name*1=b" CRLF CRLF "1" END, "malformed", PAR_AT},
    {D CD "name=a; filename*=utf-8''b" CRLF CRLF "1" END, "malformed", PAR_AT + 8},
    {D CD "name=a; filename=f; filename=g" CRLF CRLF "1" END, "malformed", PAR_AT + 20},
    {D CD "name=a; filename=\"C:\\f\"" CRLF CRLF "1" END, "malformed", PAR_AT + 20},
    {D CD "name=a; size=5" CRLF CRLF "1" END, "malformed", PAR_AT + 8},

    /* other fields */
    {D CD "name=a" CRLF "Content-Transfer-Encoding: base64" CRLF CRLF "MQ==" END, "malformed", 72},
    {D CD "name=a" CRLF "Content-Transfer-Encoding: quoted-printable" CRLF CRLF "1" END,
     "malformed", 72},
    {D CD "name=a" CRLF "Content-Transfer-Encoding: 7bit" CRLF
          "Content-Transfer-Encoding: 7bit" CRLF CRLF "1" END,
     "malformed", 105},
    {D CD "name=a" CRLF "Content-Type: text/plain" CRLF "Content-Type: text/plain" CRLF CRLF
          "1" END,
     "malformed", 85},
    {D CD "name=a" CRLF "Content-Encoding: gzip" CRLF CRLF "1" END, "malformed", 63},
    {D CD "name=a" CRLF "Content-Length: 2" CRLF CRLF "1" END, "malformed", 61},
    {D CD "name=a" CRLF "Content-Length: 1" CRLF "Content-Length: 1" CRLF CRLF "1" END, "malformed",
     80},
};

static void test_refusals(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct refused *row = &refusals[i];
        struct reading *r = wanting("a b");

        read_with(r, BODY_MULTIPART, span_cstr(row->body), strlen(row->body));
        if (strcmp(body_problem_name(r->out.problem), row->problem) != 0 ||
            r->out.problem_at != row->at) {
            print_error("%s\n: expected %s at %zu, got %s at %zu\n", row->body, row->problem,
                        row->at, body_problem_name(r->out.problem), r->out.problem_at);
            wrong++;
        }
        assert_int_equal(r->v[1].kind, BODY_UNREADABLE);
        reading_free(r);
    }
    assert_int_equal(wrong, 0);
}

/* Cut short anywhere, a body is malformed, but where only the last CRLF is missing. */
static void test_truncated_anywhere(void **state)
{
    const char *whole = D A1 NEXT FILE_TYPED("f", "x.png", "image/png", "\x89PNG") END;
    size_t n = strlen(whole);

    (void)state;
    for (size_t cut = 0; cut <= n; cut++) {
        struct reading *r = wanting("a");

        read_with(r, BODY_MULTIPART, span_of(whole, cut), cut);
        if ((r->out.problem == BODY_PROBLEM_NONE) != (cut == n || cut == n - 2))
            fail_msg("cut at %zu of %zu: %s", cut, n, body_problem_name(r->out.problem));
        reading_free(r);
    }
}

static void test_bounds(void **state)
{
    enum { PART = sizeof(D CD "name=\"x\"" CRLF CRLF "1" CRLF) - 1 };
    char *body = malloc((size_t)PART * (BODY_PAIRS_MAX + 1) + 100);
    struct reading *r = wanting("a x");

    (void)state;
    assert_non_null(body);
    for (unsigned parts = BODY_PAIRS_MAX; parts <= BODY_PAIRS_MAX + 1; parts++) {
        size_t n = 0;

        for (unsigned i = 0; i < parts; i++, n += PART)
            memcpy(body + n, D CD "name=\"x\"" CRLF CRLF "1" CRLF, PART);
        n += (size_t)sprintf(body + n, "--B--");
        read_with(r, BODY_MULTIPART, span_of(body, n), n);
        assert_string_equal(parts == BODY_PAIRS_MAX ? "none" : "too_many",
                            body_problem_name(r->out.problem));
    }
    assert_int_equal(PART * BODY_PAIRS_MAX, r->out.problem_at - 5);
    free(body);
    reading_free(r);
}

static void read_head_of(struct reading *r, unsigned fields, size_t long_one)
{
    char body[8000];
    int n = sprintf(body, D CD "name=a" CRLF);

    for (unsigned i = 1; i < fields; i++)
        n += sprintf(body + n, "X-%u: y" CRLF, i);
    if (long_one)
        n += sprintf(body + n, "X: %0*d" CRLF, (int)long_one, 0);
    n += sprintf(body + n, CRLF "1" END);
    read_with(r, BODY_MULTIPART, span_of(body, (size_t)n), (size_t)n);
}

static void test_bounds_of_a_head(void **state)
{
    struct reading *r = wanting("a");

    (void)state;
    read_head_of(r, 16, 0);
    assert_value(r, 0, "16 fields", "n:1");
    read_head_of(r, 17, 0);
    assert_string_equal("too_many", body_problem_name(r->out.problem));
    read_head_of(r, 1, 4096 - 38 - 2 - 3);
    assert_value(r, 0, "4096 bytes", "n:1");
    read_head_of(r, 1, 4096 - 38 - 2 - 3 + 1);
    assert_string_equal("malformed", body_problem_name(r->out.problem));
    reading_free(r);
}

/* Many parts and many delimiters that are almost one cost one pass. */
static void test_work_is_bounded(void **state)
{
    size_t n = (size_t)4 << 20;
    char *body = malloc(n + 100), boundary[71];
    struct reading *r = wanting("a");
    clock_t began;
    size_t head;

    (void)state;
    assert_non_null(body);
    memset(boundary, '-', sizeof(boundary) - 1);
    boundary[68] = 'x';
    boundary[70] = '\0';
    head = (size_t)sprintf(body, "--%s" CRLF CD "name=a" CRLF CRLF, boundary);
    memset(body + head, '-', n - head);
    began = clock();
    read_with(r, BODY_MULTIPART, span_of(body, n), n);
    assert_string_equal("malformed", body_problem_name(r->out.problem));
    if (clock() - began > CLOCKS_PER_SEC)
        fail_msg("4 MiB of dashes took %ld ms", (long)((clock() - began) * 1000 / CLOCKS_PER_SEC));
    free(body);
    reading_free(r);
}

static void test_content_types(void **state)
{
    static const struct {
        const char *type;
        enum body_type expected;
        const char *boundary;
    } types[] = {
        {"multipart/form-data; boundary=B", BODY_MULTIPART, "B"},
        {"Multipart/Form-Data;BOUNDARY=B", BODY_MULTIPART, "B"},
        {"multipart/form-data; boundary=\"B\"", BODY_MULTIPART, "B"},
        {"multipart/form-data; boundary=\"B c(?)=:/\"", BODY_MULTIPART, "B c(?)=:/"},
        {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", BODY_MULTIPART,
         "----WebKitFormBoundary7MA4YWxkTrZu0gW"},
        {"multipart/form-data; charset=utf-8; boundary=B", BODY_MULTIPART, "B"},
        {"multipart/form-data; boundary=B; charset=UTF-8", BODY_MULTIPART, "B"},
        {"multipart/form-data", BODY_OTHER, NULL},
        {"multipart/form-data;", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=\"\"", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=\"B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B\"", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=\"B \"", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B c", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B:c", BODY_OTHER, NULL}, /* no token, so in quotes only */
        {"multipart/form-data; boundary =B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary= B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; boundary=B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; boundary=C", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; Boundary=C", BODY_OTHER, NULL},
        {"multipart/form-data; boundary*=utf-8''B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B;", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; charset=utf-16", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; charset=utf-8; charset=utf-8", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B; x=y", BODY_OTHER, NULL},
        {"multipart/form-data; x=\"; boundary=C\"; boundary=B", BODY_OTHER, NULL},
        {"multipart/form-data, multipart/form-data; boundary=B", BODY_OTHER, NULL},
        {"multipart/form-data; boundary=B\\", BODY_OTHER, NULL},
        {"multipart/mixed; boundary=B", BODY_OTHER, NULL},
        {"multipart/form-data; "
         "boundary=1234567890123456789012345678901234567890123456789012345678901234567890",
         BODY_MULTIPART, "1234567890123456789012345678901234567890123456789012345678901234567890"},
        {"multipart/form-data; "
         "boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
         BODY_OTHER, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct span boundary = SPAN_NONE, type = span_cstr(types[i].type);

        if (body_type_of(type) != types[i].expected ||
            body_boundary_of(type, &boundary) != (types[i].boundary != NULL))
            fail_msg("%s: type %d, expected %d", types[i].type, body_type_of(type),
                     types[i].expected);
        if (types[i].boundary && !span_eq(boundary, span_cstr(types[i].boundary)))
            fail_msg("%s: boundary %.*s", types[i].type, SPAN_ARG(boundary));
    }
}

static void test_boundary_is_that_of_the_body(void **state)
{
    struct span type = SPAN_LIT("multipart/form-data; boundary=B");

    (void)state;
    assert_true(body_boundary_is(type, SPAN_LIT(D A1 END)));
    assert_false(body_boundary_is(type, SPAN_LIT("--C\r\n" A1 "\r\n--C--")));
    assert_false(body_boundary_is(type, SPAN_LIT("--Bx\r\n")));
    assert_false(body_boundary_is(type, SPAN_LIT("")));
    assert_false(body_boundary_is(SPAN_LIT("application/json"), SPAN_LIT(D A1 END)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_bounds_of_a_head),
        cmocka_unit_test(test_work_is_bounded),
        cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_boundary_is_that_of_the_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
