/* Runs the walk in a child: LMDB trusts its pages, and a damaged one can end the process that reads
 * it. Then that is the finding. */
#include "audit_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MIN_NS (NS_IN_MS / 4)
#define LOOK_MAX_NS (50 * NS_IN_MS)

/* Whoever forked us has handlers and threads of their own; none of that here, no core file with
 * evidence in it, and no life beyond the one who asked. */
static void child_main(struct walk *w, pid_t parent)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT};
    const struct rlimit none = {0, 0};
    sigset_t nothing;

    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        signal(deadly[i], SIG_DFL);
    sigemptyset(&nothing);
    sigprocmask(SIG_SETMASK, &nothing, NULL);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        walk_store(w);
    _exit(0);
}

static void tell(struct walk *w, void (*progress)(void *, uint64_t, uint64_t), void *ctx)
{
    if (progress)
        progress(ctx, atomic_load_explicit(&w->done, memory_order_relaxed),
                 atomic_load_explicit(&w->of, memory_order_relaxed));
}

static void wait_for(pid_t child, struct walk *w, void (*progress)(void *, uint64_t, uint64_t),
                     void *ctx)
{
    uint64_t ns = LOOK_MIN_NS;
    struct timespec ts = {0, 0};
    pid_t got;

    /* ECHILD: somebody else collects children here; `finished` tells how it ended. */
    while ((got = waitpid(child, NULL, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        tell(w, progress, ctx);
        ts.tv_nsec = (long)ns;
        nanosleep(&ts, NULL);
        ns = ns * 2 < LOOK_MAX_NS ? ns * 2 : LOOK_MAX_NS;
    }
    tell(w, progress, ctx);
}

static void not_checked(struct audit_report *report, uint64_t seq, const char *detail)
{
    report->fault = AUDIT_UNREADABLE;
    report->first_bad = seq;
    snprintf(report->detail, sizeof(report->detail), "%s", detail);
}

static void run(struct walk *w, void (*progress)(void *, uint64_t, uint64_t), void *ctx)
{
    pid_t parent = getpid(), child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        child_main(w, parent);
    if (child < 0) {
        not_checked(&w->report, 0, "not checked: no process could be started");
        return;
    }
    wait_for(child, w, progress, ctx);
    if (!atomic_load_explicit(&w->finished, memory_order_acquire))
        not_checked(&w->report, atomic_load_explicit(&w->at, memory_order_relaxed),
                    "the pages of a segment are damaged: reading this record ended the process "
                    "that checked");
}

bool audit_verify(const char *directory, uint64_t expect_seq, const uint8_t *expect_head,
                  void (*progress)(void *ctx, uint64_t done, uint64_t of), void *ctx,
                  struct audit_report *report)
{
    struct walk *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *report = (struct audit_report){.fault = AUDIT_SOUND};
    if (w == MAP_FAILED) {
        not_checked(report, 0, "not checked: no memory");
        return false;
    }
    w->directory = directory;
    w->expect_seq = expect_seq;
    w->has_head = expect_head != NULL;
    if (expect_head)
        memcpy(w->expect_head, expect_head, AUDIT_HASH);
    run(w, progress, ctx);
    *report = w->report;
    munmap(w, sizeof(*w));
    return report->fault == AUDIT_SOUND;
}
