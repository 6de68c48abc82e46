/* Codings: what is taken off, and what is refused. */
#include "body_test.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#define ROOM ((size_t)40 << 20)

static struct body_decoder *decoder;
static char *out, *between, *plain, *coded, *coded_again;

static const struct body_decode_limits usual = {.size = 1 << 20, .ratio = 100};

static int set_up(void **state)
{
    (void)state;
    decoder = body_decoder_new();
    out = malloc(ROOM);
    between = malloc(ROOM);
    plain = malloc(ROOM);
    coded = malloc(ROOM);
    coded_again = malloc(ROOM);
    return decoder && out && between && plain && coded && coded_again ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    body_decoder_free(decoder);
    free(out);
    free(between);
    free(plain);
    free(coded);
    free(coded_again);
    return 0;
}

/* ------------------------------------------------------------------- encoders */

static size_t deflate_into(int bits, struct span in, char *to)
{
    z_stream z = {0};
    size_t n;

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)in.p;
    z.avail_in = (unsigned)in.n;
    z.next_out = (unsigned char *)to;
    z.avail_out = (unsigned)ROOM;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    n = z.total_out;
    deflateEnd(&z);
    return n;
}

static size_t brotli_into(bool large, struct span in, char *to)
{
    BrotliEncoderState *b = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    size_t left = in.n, room = ROOM;
    const uint8_t *from = (const uint8_t *)in.p;
    uint8_t *at = (uint8_t *)to;

    assert_non_null(b);
    BrotliEncoderSetParameter(b, BROTLI_PARAM_QUALITY, 5);
    if (large) {
        BrotliEncoderSetParameter(b, BROTLI_PARAM_LARGE_WINDOW, 1);
        BrotliEncoderSetParameter(b, BROTLI_PARAM_LGWIN, 26);
    }
    assert_true(
        BrotliEncoderCompressStream(b, BROTLI_OPERATION_FINISH, &left, &from, &room, &at, NULL));
    assert_true(BrotliEncoderIsFinished(b));
    BrotliEncoderDestroyInstance(b);
    return ROOM - room;
}

static size_t zstd_into(int window, struct span in, char *to)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_inBuffer from = {in.p, in.n, 0};
    ZSTD_outBuffer into = {to, ROOM, 0};

    assert_non_null(z);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, window);
    assert_false(ZSTD_isError(ZSTD_compressStream2(z, &into, &from, ZSTD_e_continue)));
    while (ZSTD_compressStream2(z, &into, &from, ZSTD_e_end) != 0)
        ;
    ZSTD_freeCCtx(z);
    return into.pos;
}

static size_t encode(enum body_coding c, struct span in, char *to)
{
    switch (c) {
    case BODY_GZIP:
        return deflate_into(31, in, to);
    case BODY_DEFLATE:
        return deflate_into(15, in, to);
    case BODY_BROTLI:
        return brotli_into(false, in, to);
    default:
        return zstd_into(0, in, to);
    }
}

static const char *coding_name(enum body_coding c)
{
    static const char *const names[] = {"gzip", "deflate", "br", "zstd"};

    return names[c];
}

/* --------------------------------------------------------------------- helpers */

static enum body_problem decode_with(enum body_coding c, struct span in,
                                     struct body_decode_limits limits, size_t *n)
{
    struct body_codings list = {.n = 1, .coding = {c}};

    /* Of exactly the size promised, so that the sanitizer sees a step past. */
    char *copy = malloc(in.n ? in.n : 1), *room = malloc(body_decode_room(in.n, limits) + 1);
    enum body_problem problem;

    assert_true(copy && room);
    if (in.n)
        memcpy(copy, in.p, in.n);
    problem = body_decode(decoder, &list, span_of(copy, in.n), limits, room, NULL, n);
    if (problem == BODY_PROBLEM_NONE)
        memcpy(out, room, *n);
    free(copy);
    free(room);
    return problem;
}

static void expect_problem(const char *what, enum body_coding c, struct span in,
                           struct body_decode_limits limits, const char *expected)
{
    size_t n = 0;
    const char *got = body_problem_name(decode_with(c, in, limits, &n));

    if (strcmp(got, expected) != 0)
        fail_msg("%s of %s: expected %s, got %s", coding_name(c), what, expected, got);
}

static struct span fill(size_t n, uint64_t seed)
{
    size_t at = 0;

    while (at < n)
        at += (size_t)snprintf(plain + at, 64, "{\"id\": %u, \"amount\": %u}, ",
                               test_random(&seed, 1000000), test_random(&seed, 100000));
    return span_of(plain, n);
}

#define EACH_CODING(c) for (enum body_coding c = BODY_GZIP; c <= BODY_ZSTD; c++)

/* ----------------------------------------------------------------------- tests */

static void test_names(void **state)
{
    static const struct {
        const char *value, *expected; /* NULL: refused */
    } rows[] = {
        {"identity", ""},
        {"IDENTITY", ""},
        {"gzip", "gzip "},
        {"x-gzip", "gzip "},
        {" GZip\t", "gzip "},
        {"deflate", "deflate "},
        {"br", "br "},
        {"zstd", "zstd "},
        {"gzip, br", "gzip br "},
        {"gzip,gzip", "gzip gzip "},
        {"br ,\tzstd", "br zstd "},
        {"", NULL},
        {",", NULL},
        {"gzip,", NULL},
        {",gzip", NULL},
        {"gzip,,br", NULL},
        {"gzip br", NULL},
        {"gzip;q=1", NULL},
        {"\"gzip\"", NULL},
        {"gzip\v", NULL},
        {"identity, gzip", NULL},
        {"gzip, identity", NULL},
        {"identity, identity", NULL},
        {"gzip, br, zstd", NULL},
        {"gzip, gzip, gzip", NULL},
        {"compress", NULL},
        {"x-compress", NULL},
        {"x-br", NULL},
        {"x-deflate", NULL},
        {"aes128gcm", NULL},
        {"dcb", NULL},
        {"*", NULL},
        {"none", NULL},
        {"gzi", NULL},
        {"gzipp", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct body_codings c;
        char text[64] = "";
        bool ok = body_codings_of(span_cstr(rows[i].value), &c);

        for (unsigned k = 0; ok && k < c.n; k++)
            sprintf(text + strlen(text), "%s ", coding_name(c.coding[k]));
        if (ok != (rows[i].expected != NULL) || (ok && strcmp(text, rows[i].expected) != 0))
            fail_msg("\"%s\": expected %s, got %s", rows[i].value,
                     rows[i].expected ? rows[i].expected : "a refusal", ok ? text : "a refusal");
    }
}

static void test_round_trips(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 100, 4095, 65536, 300000, 1 << 20};
    struct body_decode_limits wide = {.size = 1 << 20, .ratio = 1000000};

    (void)state;
    EACH_CODING(c)
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct span in = fill(sizes[i], 7);
        size_t n = 0, m = encode(c, in, coded);

        expect_problem("a round trip", c, span_of(coded, m), wide, "none");
        decode_with(c, span_of(coded, m), wide, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(out, plain, n);
    }
}

static void test_two_codings(void **state)
{
    struct span in = fill(50000, 3);
    size_t n;

    (void)state;
    EACH_CODING(a)
    EACH_CODING(b)
    {
        struct body_codings both = {.n = 2, .coding = {a, b}}, wrong = {.n = 2, {b, a}};
        size_t once = encode(a, in, coded);
        size_t twice = encode(b, span_of(coded, once), coded_again);
        struct span body = span_of(coded_again, twice);

        assert_int_equal(body_decode(decoder, &both, body, usual, out, between, &n),
                         BODY_PROBLEM_NONE);
        assert_int_equal(n, in.n);
        assert_memory_equal(out, plain, n);
        if (a != b)
            assert_int_not_equal(body_decode(decoder, &wrong, body, usual, out, between, &n),
                                 BODY_PROBLEM_NONE);
        both.n = 1;
        both.coding[0] = b; /* half undone, it is not what was written */
        if (body_decode(decoder, &both, body, usual, out, between, &n) == BODY_PROBLEM_NONE)
            assert_int_equal(n, once);
    }
}

/* The bound is exact, and says which of the two it is. */
static void test_bounds(void **state)
{
    (void)state;
    EACH_CODING(c)
    {
        struct span in = fill(100000, 5);
        size_t m = encode(c, in, coded);
        struct span body = span_of(coded, m);

        expect_problem("just what may be", c, body,
                       (struct body_decode_limits){.size = 100000, .ratio = 1000}, "none");
        expect_problem("one byte too many", c, body,
                       (struct body_decode_limits){.size = 99999, .ratio = 1000},
                       "decoded_too_large");
        expect_problem(
            "a ratio that is kept", c, body,
            (struct body_decode_limits){.size = 1 << 20, .ratio = (unsigned)(100000 / m) + 1},
            "none");
        expect_problem(
            "a ratio that is not kept", c, body,
            (struct body_decode_limits){.size = 1 << 20, .ratio = (unsigned)(100000 / m)}, "ratio");
        expect_problem("nothing that may be", c, body,
                       (struct body_decode_limits){.size = 0, .ratio = 100}, "decoded_too_large");
    }
}

static void test_bombs(void **state)
{
    clock_t began = clock();

    (void)state;
    memset(plain, ' ', 32 << 20);
    EACH_CODING(c)
    {
        struct body_codings twice = {.n = 2, .coding = {c, c}};
        size_t m = encode(c, span_of(plain, 32 << 20), coded), n;

        assert_true(m < 40000);
        expect_problem("a bomb", c, span_of(coded, m), usual,
                       m * usual.ratio < usual.size ? "ratio" : "decoded_too_large");
        expect_problem("a bomb within a wide ratio", c, span_of(coded, m),
                       (struct body_decode_limits){.size = 16 << 20, .ratio = 1000000},
                       "decoded_too_large");
        m = encode(c, span_of(coded, m), coded_again);
        assert_int_not_equal(
            body_decode(decoder, &twice, span_of(coded_again, m), usual, out, between, &n),
            BODY_PROBLEM_NONE);
    }
    print_message("bombs: %ld ms with their making\n", (clock() - began) * 1000 / CLOCKS_PER_SEC);
}

static void test_truncated_anywhere(void **state)
{
    struct span in = fill(3000, 11);

    (void)state;
    EACH_CODING(c)
    {
        size_t m = encode(c, in, coded);

        for (size_t cut = 0; cut < m; cut++) {
            size_t n;
            enum body_problem got = decode_with(c, span_of(coded, cut), usual, &n);

            /* So short that it may hold less than it does is a matter of ratio. */
            if (got != BODY_PROBLEM_CODED_SHORT && !(got == BODY_PROBLEM_RATIO && cut * 100 < 3000))
                fail_msg("%s cut at %zu of %zu: %s", coding_name(c), cut, m,
                         body_problem_name(got));
        }
    }
}

/* Every byte changed in several ways: refused, or decoded to the same (a time stamp, a hint).
 * Brotli has no checksum: there it is only bounded. */
static void test_corrupted_anywhere(void **state)
{
    struct span in = fill(2000, 13);
    unsigned same[4] = {0};

    (void)state;
    EACH_CODING(c)
    {
        size_t m = encode(c, in, coded);

        for (size_t at = 0; at < m; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                size_t n = 0;

                coded[at] ^= (char)(1u << bit);
                if (decode_with(c, span_of(coded, m), usual, &n) == BODY_PROBLEM_NONE) {
                    assert_true(n <= usual.size);
                    if (c != BODY_BROTLI && (n != in.n || memcmp(out, plain, n) != 0))
                        fail_msg("%s: bit %u of byte %zu is not seen", coding_name(c), bit, at);
                    same[c]++;
                }
                coded[at] ^= (char)(1u << bit);
            }
    }
    print_message("changes without effect: gzip %u, deflate %u, zstd %u; br decoded %u\n",
                  same[BODY_GZIP], same[BODY_DEFLATE], same[BODY_ZSTD], same[BODY_BROTLI]);
}

static void test_after_the_end(void **state)
{
    struct span in = fill(500, 17);

    (void)state;
    EACH_CODING(c)
    {
        size_t m = encode(c, in, coded);

        coded[m] = '\0';
        expect_problem("a stream and a NUL", c, span_of(coded, m + 1), usual, "coded_trailing");
        memcpy(coded + m, "trailing", 8);
        expect_problem("a stream and text", c, span_of(coded, m + 8), usual, "coded_trailing");
        memcpy(coded + m, coded, m);
        expect_problem("two streams", c, span_of(coded, 2 * m), usual,
                       c == BODY_GZIP || c == BODY_ZSTD ? "coded_members" : "coded_trailing");
    }
}

static void test_what_is_no_stream(void **state)
{
    (void)state;
    EACH_CODING(c)
    {
        expect_problem("nothing", c, SPAN_LIT(""), usual, "coded_short");
        expect_problem("JSON", c, SPAN_LIT("{\"amount\": 60000}"), usual, "coded_bad");
        EACH_CODING(other)
        {
            size_t n, m = encode(other, fill(3000, 19), coded);

            if (other != c)
                assert_int_not_equal(decode_with(c, span_of(coded, m), usual, &n),
                                     BODY_PROBLEM_NONE);
        }
    }
}

static void test_deflate_without_zlib(void **state)
{
    size_t m = deflate_into(-15, fill(500, 23), coded);

    (void)state;
    expect_problem("raw deflate", BODY_DEFLATE, span_of(coded, m), usual, "coded_bad");
    expect_problem("raw deflate", BODY_GZIP, span_of(coded, m), usual, "coded_bad");
}

static void test_gzip_heads(void **state)
{
    size_t m = encode(BODY_GZIP, fill(500, 29), coded);
    static const char named[] = "\x1f\x8b\x08\x08\0\0\0\0\0\x03name";
    char *at = coded_again;

    (void)state;
    memcpy(at, named, sizeof(named)); /* with its NUL */
    memcpy(at + sizeof(named), coded + 10, m - 10);
    expect_problem("a file name", BODY_GZIP, span_of(at, sizeof(named) + m - 10), usual, "none");
    coded[3] = 0x20;
    expect_problem("a reserved flag", BODY_GZIP, span_of(coded, m), usual, "coded_bad");
    coded[3] = 0;
    coded[2] = 7;
    expect_problem("another method", BODY_GZIP, span_of(coded, m), usual, "coded_bad");
    coded[2] = 8;
    coded[m - 1] ^= 1;
    expect_problem("a wrong length", BODY_GZIP, span_of(coded, m), usual, "coded_bad");
    coded[m - 1] ^= 1;
    coded[m - 8] ^= 1;
    expect_problem("a wrong checksum", BODY_GZIP, span_of(coded, m), usual, "coded_bad");
}

static void test_deflate_dictionary(void **state)
{
    z_stream z = {0};
    struct span in = fill(200, 31);

    (void)state;
    assert_int_equal(deflateInit(&z, 9), Z_OK);
    assert_int_equal(deflateSetDictionary(&z, (const unsigned char *)"amount", 6), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)in.p;
    z.avail_in = (unsigned)in.n;
    z.next_out = (unsigned char *)coded;
    z.avail_out = (unsigned)ROOM;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    expect_problem("a dictionary", BODY_DEFLATE, span_of(coded, z.total_out), usual, "coded_bad");
    deflateEnd(&z);
}

static void test_windows(void **state)
{
    struct body_decode_limits wide = {.size = 16 << 20, .ratio = 1000};
    struct span in = fill(12 << 20, 37);
    size_t n, m = brotli_into(true, in, coded);

    (void)state;
    expect_problem("a large window", BODY_BROTLI, span_of(coded, m), wide, "coded_bad");
    m = zstd_into(23, in, coded);
    expect_problem("a window of 8 MiB", BODY_ZSTD, span_of(coded, m), wide, "none");
    m = zstd_into(24, in, coded);
    expect_problem("a window of 16 MiB", BODY_ZSTD, span_of(coded, m), wide, "coded_bad");
    m = brotli_into(false, in, coded);
    assert_int_equal(decode_with(BODY_BROTLI, span_of(coded, m), wide, &n), BODY_PROBLEM_NONE);
    assert_int_equal(n, in.n);
}

static void test_other_zstd_frames(void **state)
{
    size_t m = encode(BODY_ZSTD, fill(300, 41), coded);
    char *at = coded_again;

    (void)state;
    memcpy(at, "\x50\x2a\x4d\x18\x04\0\0\0skip", 12);
    expect_problem("a frame to be skipped", BODY_ZSTD, span_of(at, 12), usual, "coded_bad");
    memcpy(at + 12, coded, m);
    expect_problem("a frame after one", BODY_ZSTD, span_of(at, 12 + m), usual, "coded_bad");
    memcpy(coded + m, at, 12);
    expect_problem("one after a frame", BODY_ZSTD, span_of(coded, m + 12), usual, "coded_members");
    memcpy(at, "\x28\xb5\x2f\xfd\x01\x00\x07\x01\x00\x00", 10); /* names dictionary 7 */
    expect_problem("a dictionary", BODY_ZSTD, span_of(at, 10), usual, "coded_bad");
    memcpy(at, "\x27\xb5\x2f\xfd\x00\x00\x00\x00\x00\x00", 10);
    expect_problem("an older format", BODY_ZSTD, span_of(at, 10), usual, "coded_bad");
}

/* Nothing is kept from one body to the next, whatever became of it. */
static void test_memory_is_given_back(void **state)
{
    struct span in = fill(200000, 43);
    size_t n;

    (void)state;
    for (unsigned round = 0; round < 300; round++)
        EACH_CODING(c)
        {
            size_t m = encode(c, span_of(in.p, 20000), coded);

            coded[m / 2] ^= (char)(round % 3 == 1 ? 1 : 0);
            decode_with(c, span_of(coded, round % 3 == 2 ? m / 2 : m), usual, &n);
        }
    EACH_CODING(c)
    expect_problem("one more", c, span_of(coded, encode(c, in, coded)), usual, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_two_codings),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_corrupted_anywhere),
        cmocka_unit_test(test_after_the_end),
        cmocka_unit_test(test_what_is_no_stream),
        cmocka_unit_test(test_deflate_without_zlib),
        cmocka_unit_test(test_gzip_heads),
        cmocka_unit_test(test_deflate_dictionary),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_other_zstd_frames),
        cmocka_unit_test(test_memory_is_given_back),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
