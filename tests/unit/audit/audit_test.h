/* What the tests of the audit library share: a scratch store, events with a counter in them, copies
 * of a store. */
#ifndef AUDIT_TEST_H
#define AUDIT_TEST_H

/* cmocka.h wants the others before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/audit_internal.h"

#define MIB ((size_t)1 << 20)

struct scratch {
    char dir[64], store[96], copy[96];
};

static inline void scratch_make(struct scratch *s)
{
    snprintf(s->dir, sizeof(s->dir), "%s/audit-test-XXXXXX",
             access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->store, sizeof(s->store), "%s/store", s->dir);
    snprintf(s->copy, sizeof(s->copy), "%s/copy", s->dir);
}

static inline void remove_files(const char *dir)
{
    struct dirent *e;
    DIR *d = opendir(dir);

    while (d && (e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}

static inline void scratch_remove(struct scratch *s)
{
    remove_files(s->store);
    remove_files(s->copy);
    remove_files(s->dir);
}

static inline void copy_file(const char *from, const char *to)
{
    static char buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, buffer, sizeof(buffer))) > 0)
        assert_int_equal(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
}

/* The segments alone, as somebody would take them away. */
static inline void copy_store(const struct scratch *s)
{
    struct segment_list l;
    char from[PATH_MAX], to[PATH_MAX];

    remove_files(s->copy);
    assert_int_equal(mkdir(s->copy, 0700), 0);
    assert_int_equal(segments_list(s->store, &l), 0);
    for (size_t i = 0; i < l.count; i++) {
        assert_true(segment_path(from, s->store, l.first[i]));
        assert_true(segment_path(to, s->copy, l.first[i]));
        copy_file(from, to);
    }
    segments_free(&l);
}

static inline struct audit_config config_of(const char *dir)
{
    return (struct audit_config){
        .directory = dir,
        .appliance = "tp-1",
        .ring_bytes = MIB,
        .rings = 2,
        .segment_bytes = 256 * MIB,
    };
}

static inline struct audit *start_with(const struct audit_config *c)
{
    struct diags d;
    struct audit *a;

    diags_init(&d);
    a = audit_start(c, &d);
    diags_print(&d, stderr, false);
    diags_free(&d);
    return a;
}

static inline struct audit *start_on(const char *dir)
{
    struct audit_config c = config_of(dir);
    struct audit *a = start_with(&c);

    assert_non_null(a);
    return a;
}

static inline struct audit_store *open_on(const char *dir)
{
    struct diags d;
    struct audit_store *s;

    diags_init(&d);
    s = audit_open(dir, &d);
    diags_print(&d, stderr, false);
    diags_free(&d);
    return s;
}

/* An event with COUNT = n and about `size` bytes of fields, that a call waits for. */
static inline uint64_t put_event(struct audit_ring *r, enum audit_kind kind, uint64_t n,
                                 size_t size)
{
    static const char filler[AUDIT_EVENT_MAX] = {0};
    struct audit_event e;
    uint64_t ticket;

    audit_begin(&e, r, kind, size + 64, clock_wall_ns());
    audit_number(&e, AUDIT_F_COUNT, n);
    if (size > 16)
        audit_text(&e, AUDIT_F_BODY, span_of(filler, size - 16));
    ticket = audit_end(&e);
    if (ticket && r->bell) { /* it has a writer */
        audit_want(r, ticket);
        audit_nudge(r);
    }
    return ticket;
}

static inline void nap_ms(unsigned ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&ts, NULL);
}

/* True when it came to be within `ms`. */
static inline bool wait_durable(const struct audit_ring *r, uint64_t ticket, unsigned ms)
{
    uint64_t until = clock_mono_ns() + ms * NS_IN_MS;

    while (audit_durable(r) < ticket && clock_mono_ns() < until)
        nap_ms(1);
    return audit_durable(r) >= ticket;
}

static inline void put_many(struct audit_ring *r, uint64_t from, uint64_t count, size_t size)
{
    for (uint64_t n = from; n < from + count; n++) {
        uint64_t ticket;

        while ((ticket = put_event(r, AUDIT_CALL_SETTLED, n, size)) == 0)
            nap_ms(1);
        if (n == from + count - 1 || n % 64 == 0 || size > 8000) /* never a full ring */
            assert_true(wait_durable(r, ticket, 60000));
    }
}

/* Verifies and expects; says what came. */
static inline void expect_verdict(const char *dir, enum audit_fault fault, uint64_t first_bad)
{
    struct audit_report r;
    bool sound = audit_verify(dir, 0, NULL, NULL, NULL, &r);

    if (r.fault != fault || r.first_bad != first_bad)
        fail_msg("expected %s at %llu, came %s at %llu: %s", audit_fault_name(fault),
                 (unsigned long long)first_bad, audit_fault_name(r.fault),
                 (unsigned long long)r.first_bad, r.detail);
    assert_int_equal(sound, fault == AUDIT_SOUND);
}

#endif
