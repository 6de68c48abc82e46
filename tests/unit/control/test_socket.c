/* The management socket with no worker behind it: what it answers, whom it knows, and what it does
 * with clients that misbehave. The rules are the lab's. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "world.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------- a client */

static int dial(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    strcpy(a.sun_path, w->socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void put(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

        if (k < 0)
            return; /* it has been hung up on: the test sees so when it reads */
        p += k;
        n -= (size_t)k;
    }
}

/* The next line, parsed. NULL: the appliance has ended the connection. */
static json_t *get(int fd)
{
    size_t n = 0, room = 1 << 16;
    char *text = malloc(room);
    json_t *o = NULL;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, 30000) != 1)
            fail_msg("no answer within 30 s");
        if (read(fd, text + n, 1) != 1)
            break;
        if (text[n++] == '\n') {
            o = json_loadb(text, n, 0, NULL);
            if (!o)
                fail_msg("an answer that is not JSON: %.*s", (int)n, text);
            break;
        }
        if (n == room)
            text = realloc(text, room *= 2);
    }
    free(text);
    return o;
}

static void fails(const struct world *w, const char *request, int exit_code)
{
    json_t *o = world_ask(w, request);

    if (!json_is_false(json_object_get(o, "ok")) ||
        json_integer_value(json_object_get(o, "exit")) != exit_code ||
        !json_string_length(json_object_get(o, "error")))
        fail_msg("%s: expected a failure with exit %d, got %s", request, exit_code,
                 json_dumps(o, 0));
    json_decref(o);
}

/* --------------------------------------------------------------------- the tests */

static void test_status(void **state)
{
    json_t *o = world_ask(*state, "{\"do\":\"status\"}");

    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_string_equal(json_string_value(json_object_get(o, "version")), "test");
    assert_int_equal(json_integer_value(json_object_get(o, "rules")), 8);
    assert_int_equal(json_integer_value(json_object_get(o, "retired")), 0);
    assert_int_equal(json_array_size(json_object_get(o, "workers")), 0);
    assert_int_equal(json_string_length(json_object_get(o, "rules_hash")), 64);
    assert_true(json_is_object(json_object_get(o, "audit")));
    json_decref(o);
}

static void test_what_is_refused(void **state)
{
    fails(*state, "{}", 64);
    fails(*state, "[]", 64);
    fails(*state, "", 64);
    fails(*state, "nonsense", 64);
    fails(*state, "{\"do\":\"status\"", 64);
    fails(*state, "{\"do\":\"status\",\"do\":\"status\"}", 64);
    fails(*state, "{\"do\":7}", 64);
    fails(*state, "{\"do\":\"stat\\u0000us\"}", 64);
    fails(*state, "{\"do\":\"shutdown\"}", 64);
    fails(*state, "{\"do\":\"holds.\"}", 64);
    fails(*state, "{\"do\":\"holds.show\"}", 64);
    fails(*state, "{\"do\":\"holds.show\",\"id\":\"h-1\"}", 64);
    fails(*state, "{\"do\":\"holds.show\",\"id\":\"h-0000000000000001\"}", 4);
    fails(*state, "{\"do\":\"holds.approve\",\"id\":\"h-0000000000000001\"}", 4);
    fails(*state, "{\"do\":\"holds.deny\",\"id\":\"h-0000000000000001\",\"reason\":7}", 4);
    fails(*state, "{\"do\":\"holds.burn\",\"id\":\"h-0000000000000001\"}", 64);
}

static void test_holds_list(void **state)
{
    json_t *o = world_ask(*state, "{\"do\":\"holds.list\",\"all\":true}");

    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_true(json_is_array(json_object_get(o, "holds")));
    json_decref(o);
}

static void test_requests_in_pieces_and_in_heaps(void **state)
{
    static const char one[] = "{\"do\":\"status\"}\n";
    int fd = dial(*state);
    char heap[8 * sizeof(one)] = "";

    for (size_t i = 0; i < sizeof(one) - 1; i++) {
        put(fd, one + i, 1);
        usleep(500);
    }
    json_decref(get(fd));
    for (unsigned i = 0; i < 8; i++)
        strcat(heap, one);
    put(fd, heap, strlen(heap));
    for (unsigned i = 0; i < 8; i++) {
        json_t *o = get(fd);

        assert_non_null(o);
        json_decref(o);
    }
    close(fd);
}

/* `printf ... | socat - UNIX:...` ends its side at once. */
static void test_client_that_ends_its_side(void **state)
{
    int fd = dial(*state);
    json_t *o;

    put(fd, "{\"do\":\"status\"}\n{\"do\":\"status\"}\nhalf", 36);
    shutdown(fd, SHUT_WR);
    for (unsigned i = 0; i < 2; i++) {
        o = get(fd);
        assert_non_null(o);
        json_decref(o);
    }
    assert_null(get(fd));
    close(fd);
}

static void test_line_that_is_too_long(void **state)
{
    size_t n = REQUEST_MAX + 10;
    char *text = malloc(n);
    int fd = dial(*state);

    memset(text, ' ', n);
    put(fd, text, n);
    assert_null(get(fd));
    close(fd);
    free(text);
    json_decref(world_ask(*state, "{\"do\":\"status\"}"));
}

static void test_largest_line(void **state)
{
    char *text = malloc(REQUEST_MAX);
    int fd = dial(*state);
    json_t *o;

    memset(text, ' ', REQUEST_MAX);
    memcpy(text, "{\"do\":\"status\"}", 15);
    text[REQUEST_MAX - 1] = '\n';
    put(fd, text, REQUEST_MAX);
    o = get(fd);
    assert_non_null(o);
    json_decref(o);
    close(fd);
    free(text);
}

static size_t resident(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_int_equal(fscanf(f, "%*u %zu", &pages), 1);
    fclose(f);
    return pages * 4096;
}

/* Asks ever on and never reads: the appliance's memory must not grow with it. */
static void test_client_that_does_not_read(void **state)
{
    static const char one[] = "{\"do\":\"status\"}\n";
    int fd = dial(*state);
    size_t before = resident();

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (unsigned i = 0; i < 3000; i++) {
        for (unsigned k = 0; k < 100; k++)
            (void)!send(fd, one, sizeof(one) - 1, MSG_NOSIGNAL);
        usleep(300);
    }
    if (resident() > before + (16 << 20))
        fail_msg("%zu MiB more", (resident() - before) >> 20);
    json_decref(world_ask(*state, "{\"do\":\"status\"}")); /* others are served meanwhile */
    close(fd);
}

static void test_many_clients(void **state)
{
    int fds[CLIENTS_MAX + 8];

    for (unsigned i = 0; i < CLIENTS_MAX + 8; i++)
        fds[i] = dial(*state);
    usleep(200000);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        json_t *o;

        put(fds[i], "{\"do\":\"status\"}\n", 16);
        o = get(fds[i]);
        assert_non_null(o);
        json_decref(o);
    }
    assert_null(get(fds[CLIENTS_MAX])); /* one too many is turned away, not kept waiting */
    for (unsigned i = 0; i < CLIENTS_MAX + 8; i++)
        close(fds[i]);
    usleep(50000);
    json_decref(world_ask(*state, "{\"do\":\"status\"}"));
}

static void test_reload(void **state)
{
    struct world *w = *state;
    json_t *o = world_ask(w, "{\"do\":\"rules.reload\"}");
    int64_t number = json_integer_value(json_object_get(o, "generation"));
    char path[160];

    assert_true(json_is_true(json_object_get(o, "ok")));
    json_decref(o);
    snprintf(path, sizeof(path), "%s/wrong.yaml", w->rules);
    world_write(path, "rules:\n  - id: 1\n    then: perhaps\n");
    o = world_ask(w, "{\"do\":\"rules.reload\"}");
    assert_true(json_is_false(json_object_get(o, "ok")));
    assert_int_equal(json_integer_value(json_object_get(o, "exit")), 2);
    assert_true(json_array_size(json_object_get(o, "complaints")) > 0);
    assert_non_null(strstr(json_string_value(json_object_get(o, "text")), "wrong.yaml"));
    json_decref(o);
    unlink(path);
    o = world_ask(w, "{\"do\":\"status\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "generation")), number);
    assert_int_equal(json_integer_value(json_object_get(o, "retired")), 0);
    json_decref(o);
}

/* A generation is not loaded with a credential missing; the complaint says what to type. */
static void test_reload_without_a_secret(void **state)
{
    struct world *w = *state;
    struct diags d;
    json_t *o;

    diags_init(&d);
    assert_true(vault_remove(w->vault, w->key, SPAN_LIT("special-live"), &d));
    o = world_ask(w, "{\"do\":\"rules.reload\"}");
    assert_true(json_is_false(json_object_get(o, "ok")));
    assert_non_null(strstr(json_string_value(json_object_get(o, "text")),
                           "turnpikectl secret set special-live --connection special"));
    json_decref(o);
    diags_free(&d);
}

/* Several reloads at once: everybody gets an answer. */
static void test_reloads_at_once(void **state)
{
    int fds[6];

    for (unsigned i = 0; i < 6; i++) {
        fds[i] = dial(*state);
        put(fds[i], "{\"do\":\"rules.reload\"}\n{\"do\":\"status\"}\n", 39);
    }
    close(fds[5]); /* and one does not wait for it */
    for (unsigned i = 0; i < 5; i++) {
        json_t *reload = get(fds[i]), *status = get(fds[i]);

        assert_non_null(json_object_get(reload, "generation"));
        assert_non_null(json_object_get(status, "workers")); /* in the order of the questions */
        json_decref(reload);
        json_decref(status);
        close(fds[i]);
    }
}

static void test_socket_is_taken(void **state)
{
    struct world *w = *state;
    struct stat st;
    struct diags d;

    diags_init(&d);
    assert_int_equal(stat(w->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_null(world_control(w, &d));
    assert_int_equal(d.errors, 1);
    assert_non_null(strstr(d.items[0].message, "another turnpike answers"));
    diags_free(&d);
    json_decref(world_ask(w, "{\"do\":\"status\"}")); /* and it still does */
}

/* Asks as another user; returns the answer's `exit`. */
static int ask_as(const struct world *w, const char *user, const char *request)
{
    const struct passwd *pw = getpwnam(user);
    int status;
    pid_t pid;

    assert_non_null(pw);
    assert_int_equal(chmod(w->dir, 0755), 0);
    assert_int_equal(chmod(w->socket, 0666), 0);
    pid = fork();
    if (pid == 0) {
        char why[256];
        char *text;
        json_t *o;

        if (setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
            _exit(99);
        text = control_ask(w->socket, request, why);
        o = text ? json_loads(text, 0, NULL) : NULL;
        _exit(o ? (int)json_integer_value(json_object_get(o, "exit")) : 98);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void test_who_asks(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(ask_as(*state, "nobody", "{\"do\":\"rules.reload\"}"), 3);
    assert_int_equal(ask_as(*state, "nobody", "{\"do\":\"status\"}"), 0);
}

static void test_client_without_an_appliance(void **state)
{
    char why[256], longest[200];

    (void)state;
    assert_null(control_ask("/nonexistent/control.sock", "{}", why));
    assert_non_null(strstr(why, "/nonexistent/control.sock"));
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    assert_null(control_ask(longest, "{}", why));
    assert_non_null(strstr(why, "too long"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_holds_list),
        cmocka_unit_test(test_requests_in_pieces_and_in_heaps),
        cmocka_unit_test(test_client_that_ends_its_side),
        cmocka_unit_test(test_line_that_is_too_long),
        cmocka_unit_test(test_largest_line),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reloads_at_once),
        cmocka_unit_test(test_socket_is_taken),
        cmocka_unit_test(test_who_asks),
        cmocka_unit_test(test_client_without_an_appliance),
        cmocka_unit_test(test_reload_without_a_secret),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_socket RULES_DIRECTORY\n");
        return 64;
    }
    world_rules = argv[1];
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
