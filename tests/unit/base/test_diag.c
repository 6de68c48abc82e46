#include "base_test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"

static char *printed(const struct diags *d, bool colour)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);

    diags_print(d, to, colour);
    fclose(to);
    return text;
}

static struct place at(const char *file, unsigned line, unsigned column, const char *text)
{
    return (struct place){file, line, column, span_cstr(text)};
}

static void sorts_by_place_and_keeps_the_order_of_one_place(void **state)
{
    struct diags d;
    char *text;

    (void)state;
    diags_init(&d);
    diag_error(&d, at("b", 1, 1, ""), "six");
    diag_error(&d, at("a", 10, 1, ""), "five");
    diag_warning(&d, at("a", 9, 12, ""), "four");
    diag_error(&d, at("a", 9, 2, ""), "two");
    diag_error(&d, at("a", 9, 2, ""), "three");
    diag_error(&d, place_of_file("a"), "one");
    assert_int_equal(d.errors, 5);
    assert_int_equal(d.count, 6);
    text = printed(&d, false);
    assert_string_equal(text, "a: error: one\n"
                              "a:9:2: error: two\n"
                              "a:9:2: error: three\n"
                              "a:9:12: warning: four\n"
                              "a:10:1: error: five\n"
                              "b:1:1: error: six\n");
    free(text);
    diags_free(&d);
}

static void caret_stands_under_its_character(void **state)
{
    struct diags d;
    char *text;

    (void)state;
    diags_init(&d);
    diag_error(&d, at("f", 1, 5, "\tü\t€x"), "here");
    diag_error(&d, at("f", 2, 3, "ab"), "at the end");
    diag_error(&d, at("f", 3, 9, "ab"), "past the end");
    text = printed(&d, false);
    assert_string_equal(text, "f:1:5: error: here\n    \tü\t€x\n    \t \t ^\n"
                              "f:2:3: error: at the end\n    ab\n      ^\n"
                              "f:3:9: error: past the end\n    ab\n");
    free(text);
    diags_free(&d);
}

static void the_terminal_is_not_steered(void **state)
{
    struct diags d;
    char *text;

    (void)state;
    diags_init(&d);
    diag_error(&d, at("f\x1b", 1, 1, "\x1b[2J\x07\x7f\xc2\x9b\xff"), "say %s", "\x1b]0;x\n");
    text = printed(&d, false);
    assert_string_equal(text, "f?:1:1: error: say ?]0;x?\n    ?[2J????\n    ^\n");
    free(text);
    diags_free(&d);
}

static void places_are_copied(void **state)
{
    char file[] = "name", line[] = "line";
    struct diags d;

    (void)state;
    diags_init(&d);
    diag_error(&d, at(file, 1, 1, line), "x");
    memset(file, '#', 4);
    memset(line, '#', 4);
    assert_string_equal(d.items[0].where.file, "name");
    assert_memory_equal(d.items[0].where.text.p, "line", 4);
    diags_free(&d);
}

static void more_than_can_be_kept_are_counted(void **state)
{
    struct diags d;
    char *text;

    (void)state;
    diags_init(&d);
    for (unsigned i = 0; i < DIAG_MAX + 7; i++)
        diag_error(&d, at("f", i + 1, 1, ""), "x");
    assert_int_equal(d.count, DIAG_MAX);
    assert_int_equal(d.errors, DIAG_MAX + 7);
    text = printed(&d, false);
    assert_non_null(strstr(text, "f:200:1: error: x\nand 7 more\n"));
    free(text);
    diags_free(&d);
    assert_int_equal(d.count, 0);
}

static void json(void **state)
{
    char buf[500];
    struct outbuf o = outbuf_on(buf, sizeof(buf));
    struct diags d;

    (void)state;
    diags_init(&d);
    diags_json(&d, &o);
    diag_warning(&d, at("f\"", 7, 3, "line"), "a \xff b");
    diag_error(&d, place_of_file("e"), "c");
    diags_json(&d, &o);
    outbuf_char(&o, '\0');
    assert_string_equal(buf, "[][{\"level\":\"error\",\"file\":\"e\",\"line\":0,\"column\":0,"
                             "\"message\":\"c\"},{\"level\":\"warning\",\"file\":\"f\\\"\","
                             "\"line\":7,\"column\":3,\"message\":\"a \xef\xbf\xbd b\"}]");
    diags_free(&d);
}

/* What one call of log_line writes to standard error. */
static size_t logged(char *buf, size_t room, const char *message, bool as_json)
{
    int saved = dup(STDERR_FILENO), pipes[2];
    ssize_t n;

    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    log_setup(LOG_INFO, as_json);
    dup2(pipes[1], STDERR_FILENO);
    log_info("test", "%s", message);
    log_debug("test", "not shown");
    dup2(saved, STDERR_FILENO);
    n = read(pipes[0], buf, room - 1);
    close(pipes[0]);
    close(pipes[1]);
    close(saved);
    assert_true(n > 0);
    buf[n] = '\0';
    return (size_t)n;
}

static void log_is_one_line_an_event(void **state)
{
    char buf[32768], *huge = malloc(5000);

    (void)state;
    logged(buf, sizeof(buf), "a\nb\x1b[0m\xff ü", false);
    assert_string_equal(buf + CLOCK_TEXT - 1, " info test: a\\x0ab\\x1b[0m\\xff ü\n");
    logged(buf, sizeof(buf), "a\n\"", true);
    assert_string_equal(buf + strlen("{\"time\":\"") + CLOCK_TEXT - 1,
                        "\",\"level\":\"info\",\"subsystem\":\"test\",\"message\":\"a\\n\\\"\"}\n");
    memset(huge, '\x01', 4999);
    huge[4999] = '\0';
    logged(buf, sizeof(buf), huge, true);
    assert_string_equal(buf + strlen(buf) - 9, "\\u0001\"}\n"); /* cut, but whole JSON */
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_by_place_and_keeps_the_order_of_one_place),
        cmocka_unit_test(caret_stands_under_its_character),
        cmocka_unit_test(the_terminal_is_not_steered),
        cmocka_unit_test(places_are_copied),
        cmocka_unit_test(more_than_can_be_kept_are_counted),
        cmocka_unit_test(json),
        cmocka_unit_test(log_is_one_line_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
