// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vault/vault.h"

/* The flags (VmFlags of proc(5)) of the mapping that holds `p`. */
static void flags_of(const void *p, char flags[512])
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512 + 8];
    bool here = false;

    flags[0] = '\0';
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, 512, "%s", line + 8);
    }
    fclose(f);
}

/* AddressSanitizer makes mlock do nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define MLOCK_WORKS 0
#elif defined(__has_feature)
#define MLOCK_WORKS (!__has_feature(address_sanitizer))
#else
#define MLOCK_WORKS 1
#endif

static void is_locked_and_not_dumped(void **state)
{
    char *p = vault_mem_alloc(5000), flags[512];

    (void)state;
    memset(p, 'x', 5000);
    flags_of(p, flags);
    assert_non_null(strstr(flags, " dd"));
    if (MLOCK_WORKS)
        assert_non_null(strstr(flags, " lo"));
    flags_of(p + 4999, flags);
    assert_non_null(strstr(flags, " dd"));
    vault_mem_free(p);
}

static void sizes(void **state)
{
    (void)state;
    for (size_t n = 0; n < 9000; n += 1 + n / 7) {
        unsigned char *p = vault_mem_alloc(n);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xee, n);
        vault_mem_free(p);
    }
    assert_null(vault_mem_alloc(SIZE_MAX));
    vault_mem_free(NULL);
}

/* Touches one byte in a child; the signal that ended it, 0 if none did. */
static int touch(char *p)
{
    struct rlimit none = {0, 0};
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)p = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void guard_pages_stand_on_both_sides(void **state)
{
    char *p = vault_mem_alloc(4096);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(touch(p + 4095), 0);
    assert_int_equal(touch(p + 4096), SIGSEGV);
    assert_int_equal(touch(p - ((uintptr_t)p % page) - page - 1), SIGSEGV);
    vault_mem_free(p);
}

static void freed_memory_is_gone(void **state)
{
    char *p = vault_mem_alloc(64);

    (void)state;
    vault_mem_free(p);
    assert_int_equal(touch(p), SIGSEGV);
}

static void overwritten_heads_abort(void **state)
{
    struct rlimit none = {0, 0};
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        char *p = vault_mem_alloc(16);

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        p[-1] = 'x';
        vault_mem_free(p);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_locked_and_not_dumped),        cmocka_unit_test(sizes),
        cmocka_unit_test(guard_pages_stand_on_both_sides), cmocka_unit_test(freed_memory_is_gone),
        cmocka_unit_test(overwritten_heads_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
