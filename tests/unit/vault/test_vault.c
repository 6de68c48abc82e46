// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vault/vault_internal.h"

/* A directory with a key and an empty vault, new for every test. */
struct place_of_test {
    char dir[32];
    char vault[64], key[64], other[64];
    struct diags d;
};

static int set_up(void **state)
{
    struct place_of_test *t = calloc(1, sizeof(*t));

    strcpy(t->dir, "/tmp/vault.XXXXXX");
    if (!mkdtemp(t->dir))
        return -1;
    snprintf(t->vault, sizeof(t->vault), "%s/secrets.vault", t->dir);
    snprintf(t->key, sizeof(t->key), "%s/vault.key", t->dir);
    snprintf(t->other, sizeof(t->other), "%s/other.key", t->dir);
    diags_init(&t->d);
    *state = t;
    return vault_key_create(t->key, &t->d) && vault_create(t->vault, t->key, &t->d) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place_of_test *t = *state;
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", t->dir);
    diags_free(&t->d);
    free(t);
    return system(command);
}

static void complained(struct place_of_test *t, const char *want)
{
    assert_true(t->d.count > 0);
    if (!strstr(t->d.items[t->d.count - 1].message, want))
        fail_msg("expected a complaint with \"%s\", got \"%s\"", want,
                 t->d.items[t->d.count - 1].message);
}

static uint32_t set(struct place_of_test *t, const char *name, const char *connection,
                    const char *value)
{
    uint32_t version = 0;

    if (!vault_set(t->vault, t->key, span_cstr(name), span_cstr(connection), span_cstr(value), 77,
                   &version, &t->d))
        fail_msg("set of %s failed: %s", name, t->d.items[t->d.count - 1].message);
    return version;
}

static bool may_set(struct place_of_test *t, struct span name, struct span connection,
                    struct span value)
{
    uint32_t version;

    return vault_set(t->vault, t->key, name, connection, value, 77, &version, &t->d);
}

static struct vault *opened(struct place_of_test *t)
{
    struct vault *v = vault_open(t->vault, t->key, &t->d);

    if (!v)
        fail_msg("open failed: %s", t->d.items[t->d.count - 1].message);
    return v;
}

static size_t read_file(const char *file, char *buf, size_t room)
{
    FILE *f = fopen(file, "r");
    size_t n = fread(buf, 1, room, f);

    fclose(f);
    return n;
}

static void write_file(const char *file, const char *buf, size_t n)
{
    FILE *f = fopen(file, "w");

    assert_int_equal(fwrite(buf, 1, n, f), n);
    fclose(f);
}

static void value_is(const struct vault *v, const char *name, const char *connection,
                     const char *want, uint32_t version)
{
    const struct vault_secret *s = vault_find(v, span_cstr(name), span_cstr(connection));

    assert_non_null(s);
    assert_int_equal(s->value.n, strlen(want));
    assert_memory_equal(s->value.p, want, s->value.n);
    assert_int_equal(s->version, version);
    assert_int_equal(s->created_ns, 77);
}

static void gives_back_what_was_set(void **state)
{
    struct place_of_test *t = *state;
    char large[VAULT_VALUE_MAX + 1];
    struct vault *v;

    memset(large, 'x', VAULT_VALUE_MAX);
    large[VAULT_VALUE_MAX] = '\0';
    v = opened(t);
    assert_int_equal(vault_count(v), 0);
    assert_null(vault_find(v, SPAN_LIT("a"), SPAN_LIT("stripe")));
    vault_close(v);
    assert_int_equal(set(t, "m", "stripe", "middle"), 1);
    assert_int_equal(set(t, "z", "twilio", "last"), 1);
    assert_int_equal(set(t, "a", "stripe", large), 1);
    assert_int_equal(set(t, "m", "stripe", "second"), 2);
    v = opened(t);
    assert_int_equal(vault_count(v), 3);
    value_is(v, "a", "stripe", large, 1);
    value_is(v, "m", "stripe", "second", 2);
    value_is(v, "z", "twilio", "last", 1);
    for (unsigned i = 0; i < 3; i++)
        assert_memory_equal(vault_at(v, i)->name.p, i == 0 ? "a" : i == 1 ? "m" : "z", 1);
    assert_null(vault_at(v, 3));
    vault_close(v);
    vault_close(NULL);
}

static void is_bound_to_its_connection(void **state)
{
    struct place_of_test *t = *state;
    struct vault *v;

    set(t, "a", "stripe", "x");
    v = opened(t);
    assert_null(vault_find(v, SPAN_LIT("a"), SPAN_LIT("twilio")));
    assert_null(vault_find(v, SPAN_LIT("a"), SPAN_LIT("strip")));
    assert_null(vault_find(v, SPAN_LIT("a"), SPAN_NONE));
    vault_close(v);
    assert_false(may_set(t, SPAN_LIT("a"), SPAN_LIT("twilio"), SPAN_LIT("y")));
    complained(t, "bound to the connection `stripe`");
}

static void removes(void **state)
{
    struct place_of_test *t = *state;
    struct vault *v;

    set(t, "a", "c", "1");
    set(t, "b", "c", "2");
    set(t, "d", "c", "3");
    assert_true(vault_remove(t->vault, t->key, SPAN_LIT("b"), &t->d));
    assert_false(vault_remove(t->vault, t->key, SPAN_LIT("b"), &t->d));
    complained(t, "no such secret");
    v = opened(t);
    assert_int_equal(vault_count(v), 2);
    value_is(v, "a", "c", "1", 1);
    value_is(v, "d", "c", "3", 1);
    vault_close(v);
}

/* The file that was open goes on being what it was; the new one is apart. */
static void rewriting_leaves_open_vaults_alone(void **state)
{
    struct place_of_test *t = *state;
    struct vault *old, *fresh;

    set(t, "a", "c", "before");
    old = opened(t);
    set(t, "a", "c", "after");
    fresh = opened(t);
    value_is(old, "a", "c", "before", 1);
    value_is(fresh, "a", "c", "after", 2);
    vault_close(old);
    vault_close(fresh);
}

static void no_value_stands_in_the_file(void **state)
{
    struct place_of_test *t = *state;
    char first[4096], second[4096];
    size_t n, m;

    set(t, "a", "c", "canary-4242424242424242");
    n = read_file(t->vault, first, sizeof(first));
    assert_null(memmem(first, n, "canary", 6));
    set(t, "b", "c", "x");
    m = read_file(t->vault, second, sizeof(second));
    /* Sealed anew under a new nonce: the sealed bytes of `a` must not be there again. */
    for (size_t i = 56; i + 24 < n - 28; i++)
        if (i > 56 + 19) /* behind the names and numbers of the entry */
            assert_null(memmem(second, m, first + i, 12));
}

static void every_flipped_bit_is_found(void **state)
{
    struct place_of_test *t = *state;
    char good[1024], bad[1024];
    size_t n;

    set(t, "name", "connection", "value");
    set(t, "other", "connection", "value");
    n = read_file(t->vault, good, sizeof(good));
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct vault *v;

        memcpy(bad, good, n);
        bad[bit / 8] = (char)(bad[bit / 8] ^ (1 << bit % 8));
        write_file(t->vault, bad, n);
        t->d.count = 0;
        v = vault_open(t->vault, t->key, &t->d);
        if (v)
            fail_msg("bit %zu of byte %zu was flipped and not found", bit % 8, bit / 8);
        assert_int_equal(t->d.count, 1);
    }
    write_file(t->vault, good, n);
    vault_close(opened(t));
}

static void cut_or_grown_files_are_found(void **state)
{
    struct place_of_test *t = *state;
    char good[1024];
    size_t n;

    set(t, "name", "connection", "value");
    n = read_file(t->vault, good, sizeof(good));
    for (size_t cut = 0; cut < n; cut++) {
        t->d.count = 0;
        write_file(t->vault, good, cut);
        assert_null(vault_open(t->vault, t->key, &t->d));
    }
    good[n] = 0;
    write_file(t->vault, good, n + 1);
    assert_null(vault_open(t->vault, t->key, &t->d));
}

static void says_what_is_wrong(void **state)
{
    struct place_of_test *t = *state;
    char bytes[1024];
    size_t n = read_file(t->vault, bytes, sizeof(bytes));

    assert_true(vault_key_create(t->other, &t->d));
    assert_null(vault_open(t->vault, t->other, &t->d));
    complained(t, "the key is not this vault's");
    assert_null(vault_open(t->key, t->key, &t->d));
    complained(t, "not a vault");
    bytes[11]++;
    write_file(t->vault, bytes, n);
    assert_null(vault_open(t->vault, t->key, &t->d));
    complained(t, "its format is 2");
    unlink(t->vault);
    assert_null(vault_open(t->vault, t->key, &t->d));
    complained(t, "cannot be opened: No such file");
    write_file(t->other, "short", 5);
    assert_null(vault_open(t->vault, t->other, &t->d));
    complained(t, "it must hold 32 bytes");
    write_file(t->other, "0123456789012345678901234567890123456789", 33);
    assert_null(vault_open(t->vault, t->other, &t->d));
    complained(t, "too large");
}

static void refuses_to_overwrite(void **state)
{
    struct place_of_test *t = *state;

    set(t, "a", "c", "x");
    assert_false(vault_key_create(t->key, &t->d));
    complained(t, "File exists");
    assert_false(vault_create(t->vault, t->key, &t->d));
    complained(t, "File exists");
    vault_close(opened(t));
}

static void mode_is(const char *file, unsigned want)
{
    struct stat st;

    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, want);
}

static void modes_are_checked_and_kept(void **state)
{
    static const unsigned wrong[] = {0644, 0640, 0604, 0700, 0500, 0660, 0200, 04600, 0000};
    struct place_of_test *t = *state;

    mode_is(t->key, 0600);
    mode_is(t->vault, 0600);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(chmod(t->key, wrong[i]), 0);
        assert_null(vault_open(t->vault, t->key, &t->d));
        assert_int_equal(chmod(t->key, 0400), 0);
        assert_int_equal(chmod(t->vault, wrong[i]), 0);
        assert_null(vault_open(t->vault, t->key, &t->d));
        assert_int_equal(chmod(t->vault, 0400), 0);
        vault_close(opened(t));
    }
    set(t, "a", "c", "x");
    mode_is(t->vault, 0400);
}

static void owners_are_checked_and_kept(void **state)
{
    struct place_of_test *t = *state;
    struct stat st;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(t->key, 12345, 12345), 0);
    assert_null(vault_open(t->vault, t->key, &t->d));
    complained(t, "belongs to another user (12345)");
    assert_int_equal(chown(t->key, 0, 0), 0);
    assert_int_equal(chown(t->vault, 0, 54321), 0);
    set(t, "a", "c", "x");
    assert_int_equal(stat(t->vault, &st), 0);
    assert_int_equal(st.st_gid, 54321);
}

static void odd_files_are_refused(void **state)
{
    struct place_of_test *t = *state;

    assert_null(vault_open(t->dir, t->key, &t->d));
    complained(t, "not a regular file");
    unlink(t->vault);
    assert_int_equal(mkfifo(t->vault, 0600), 0);
    assert_null(vault_open(t->vault, t->key, &t->d)); /* and does not wait for a writer */
    complained(t, "not a regular file");
}

static void arguments_are_checked(void **state)
{
    static char long_connection[VAULT_CONNECTION_MAX + 1];
    static char long_name[VAULT_NAME_MAX + 1], long_value[VAULT_VALUE_MAX + 1];
    struct span good = SPAN_LIT("good");
    struct place_of_test *t = *state;

    memset(long_name, 'a', sizeof(long_name));
    memset(long_connection, 'a', sizeof(long_connection));
    memset(long_value, 'a', sizeof(long_value));
    assert_false(may_set(t, SPAN_NONE, good, good));
    assert_false(may_set(t, SPAN_LIT("Upper"), good, good));
    complained(t, "a-z 0-9 - _ .");
    assert_null(strstr(t->d.items[t->d.count - 1].message, "Upper"));
    assert_false(may_set(t, SPAN_LIT("a/b"), good, good));
    assert_false(may_set(t, SPAN_LIT("a\0"), good, good));
    assert_false(may_set(t, span_of(long_name, sizeof(long_name)), good, good));
    assert_false(may_set(t, good, SPAN_LIT("x y"), good));
    assert_false(may_set(t, good, good, SPAN_NONE));
    assert_false(may_set(t, good, good, SPAN_LIT("line\n")));
    assert_false(may_set(t, good, good, SPAN_LIT("a\r\nX-Evil: 1")));
    assert_false(may_set(t, good, good, SPAN_LIT("nul\0")));
    assert_false(may_set(t, good, good, span_of(long_value, sizeof(long_value))));
    complained(t, "without control characters");
    assert_true(
        may_set(t, span_of(long_name, VAULT_NAME_MAX), good, span_of(long_value, VAULT_VALUE_MAX)));
}

/* Writes a vault with as many secrets as it holds, without a thousand rewrites. */
static void fill(struct place_of_test *t, unsigned count)
{
    static struct vault_secret secrets[VAULT_SECRETS_MAX];
    static char names[VAULT_SECRETS_MAX][8];
    struct vault_contents c = {.serial = 5, .secrets = secrets, .count = count};
    uint8_t *key = vault_key_read(t->key, &t->d), *bytes = malloc(VAULT_FILE_MAX);
    size_t n;

    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "s%04u", i);
        secrets[i] =
            (struct vault_secret){span_cstr(names[i]), SPAN_LIT("c"), 1, 77, span_cstr(names[i])};
    }
    n = vault_encode(&c, key, bytes, VAULT_FILE_MAX);
    assert_true(n > 0);
    write_file(t->vault, (char *)bytes, n);
    free(bytes);
    vault_mem_free(key);
}

static void the_vault_is_bounded(void **state)
{
    struct place_of_test *t = *state;
    char name[16];
    struct vault *v;

    fill(t, VAULT_SECRETS_MAX - 1);
    assert_int_equal(set(t, "s1023", "c", "s1023"), 1);
    assert_false(may_set(t, SPAN_LIT("more"), SPAN_LIT("c"), SPAN_LIT("x")));
    complained(t, "the vault is full");
    assert_int_equal(set(t, "s0007", "c", "s0007"), 2);
    v = opened(t);
    assert_int_equal(vault_count(v), VAULT_SECRETS_MAX);
    for (unsigned i = 0; i < VAULT_SECRETS_MAX; i++) {
        snprintf(name, sizeof(name), "s%04u", i);
        value_is(v, name, "c", name, i == 7 ? 2 : 1);
    }
    vault_close(v);
}

/* What a killed run leaves behind must not stop the next. */
static void leftovers_do_no_harm(void **state)
{
    struct place_of_test *t = *state;
    char name[80];

    snprintf(name, sizeof(name), "%s.new", t->vault);
    write_file(name, "half", 4);
    set(t, "a", "c", "x");
    assert_int_equal(access(name, F_OK), -1);
    vault_close(opened(t));
}

/* Many writers, and readers beside them: no version is lost, no reader sees half a file. */
static void writers_and_readers_at_once(void **state)
{
    enum { WRITERS = 4, TURNS = 25 };
    struct place_of_test *t = *state;
    struct vault *v;
    int status;

    for (unsigned w = 0; w < WRITERS; w++)
        if (fork() == 0) {
            for (unsigned i = 0; i < TURNS; i++) {
                if (!may_set(t, SPAN_LIT("shared"), SPAN_LIT("c"), SPAN_LIT("x")))
                    _exit(1);
                v = vault_open(t->vault, t->key, &t->d);
                if (!v || vault_count(v) != 1)
                    _exit(2);
                vault_close(v);
            }
            _exit(0);
        }
    for (unsigned w = 0; w < WRITERS; w++) {
        wait(&status);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    v = opened(t);
    value_is(v, "shared", "c", "x", WRITERS * TURNS);
    vault_close(v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_back_what_was_set),
        TEST(is_bound_to_its_connection),
        TEST(removes),
        TEST(rewriting_leaves_open_vaults_alone),
        TEST(no_value_stands_in_the_file),
        TEST(every_flipped_bit_is_found),
        TEST(cut_or_grown_files_are_found),
        TEST(says_what_is_wrong),
        TEST(refuses_to_overwrite),
        TEST(modes_are_checked_and_kept),
        TEST(owners_are_checked_and_kept),
        TEST(odd_files_are_refused),
        TEST(arguments_are_checked),
        TEST(the_vault_is_bounded),
        TEST(leftovers_do_no_harm),
        TEST(writers_and_readers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
