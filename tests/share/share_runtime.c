/* Who touches which cache line. The appliance is compiled with -fsanitize=thread, which puts a call
 * before every access to memory, and linked with this instead of libtsan: between SIGUSR1 and
 * SIGUSR2 it notes for each line which threads wrote and read it, and from where in the program.
 * Locks of pthread, in libraries too, are noted as writes to the lock. The file that TURNPIKE_SHARE
 * names, with ".on" added, says that it has begun; on SIGUSR2 every line that one thread wrote and
 * another touched goes to the file itself. test_share.py says what each is and whether it may be.
 *
 * What it cannot see: accesses within libraries that are not compiled so (OpenSSL, DPDK's drivers,
 * libc), locks of theirs that are not pthread's. */
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <rte_ring.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum {
    THREADS = 8, /* kinds of thread: workers by number, then all others */
    OTHER = THREADS - 1,
    SLOTS = 1 << 21, /* of the table of lines; a power of two */
    PROBES = 64,
    SEEN = 4096, /* lines that a thread remembers to have noted */
    LOCK_FRAMES = 12,
};

enum access { READ, WRITE };

struct line {
    _Atomic uintptr_t number;     /* address / 64; 0: free */
    _Atomic uint8_t did[THREADS]; /* 1: has read, 2: has written */
    _Atomic uintptr_t pc[THREADS][2];
    void *lock[LOCK_FRAMES]; /* a lock: who took it first, innermost first */
};

static struct line *lines;
static _Atomic bool recording;
static _Atomic uint64_t overflow, locks_taken;
static _Atomic unsigned round_number;
static const char *path;

static __thread struct {
    int kind; /* 0: not known yet; else one more than the kind */
    unsigned round;
    uintptr_t seen[SEEN];
} self __attribute__((tls_model("initial-exec")));

/* DPDK calls its threads rte-worker-1 and so on; worker i is on lcore i + 1. */
static int kind_of_thread(void)
{
    char name[16] = "";
    unsigned lcore;

    if (self.kind == 0) {
        prctl(PR_GET_NAME, name);
        self.kind = 1 + OTHER;
        if (sscanf(name, "rte-worker-%u", &lcore) == 1 && lcore >= 1 && lcore < OTHER)
            self.kind = (int)lcore;
        else if (strncmp(name, "turnpike", 8) == 0) /* before EAL has named it: ask again */
            self.kind = 0;
    }
    return self.kind ? self.kind - 1 : OTHER;
}

static struct line *slot_of(uintptr_t number)
{
    size_t at = (number * 0x9e3779b97f4a7c15u) >> 20;

    for (unsigned i = 0; i < PROBES; i++) {
        struct line *l = &lines[(at + i) % SLOTS];
        uintptr_t found = atomic_load_explicit(&l->number, memory_order_relaxed);

        if (found == number)
            return l;
        if (found == 0 && atomic_compare_exchange_strong(&l->number, &found, number))
            return l;
        if (found == number)
            return l;
    }
    return NULL;
}

static void note_line(uintptr_t number, enum access a, uintptr_t pc)
{
    uintptr_t key = number << 1 | a, *seen = &self.seen[(key * 0x9e3779b97f4a7c15u) >> 52];
    int kind = kind_of_thread();
    struct line *l;

    if (*seen == key)
        return;
    l = slot_of(number);
    if (!l) {
        atomic_fetch_add(&overflow, 1);
        return;
    }
    *seen = key;
    if (!(atomic_fetch_or(&l->did[kind], a == WRITE ? 2 : 1) & (a == WRITE ? 2 : 1)))
        atomic_store(&l->pc[kind][a], pc);
}

static void note(const volatile void *p, size_t n, enum access a, void *pc)
{
    uintptr_t first = (uintptr_t)p >> 6, last = ((uintptr_t)p + (n ? n : 1) - 1) >> 6;

    if (!atomic_load_explicit(&recording, memory_order_relaxed))
        return;
    if (self.round != atomic_load_explicit(&round_number, memory_order_relaxed)) {
        self.round = atomic_load(&round_number);
        memset(self.seen, 0, sizeof(self.seen));
    }
    for (; first <= last; first++)
        note_line(first, a, (uintptr_t)pc);
}

static void note_lock(void *l, void *pc)
{
    struct line *at;
    void *frames[LOCK_FRAMES];

    if (!atomic_load_explicit(&recording, memory_order_relaxed) || kind_of_thread() == OTHER)
        return;
    atomic_fetch_add(&locks_taken, 1);
    note(l, 1, WRITE, pc);
    at = slot_of((uintptr_t)l >> 6);
    if (!at || at->lock[0])
        return;
    backtrace(frames, LOCK_FRAMES);
    memcpy(at->lock, frames, sizeof(frames));
}

/* -------------------------------------------------------------------- the report */

struct region_search {
    uintptr_t address;
    char *name;
    size_t room;
};

static void look_in_chunk(struct rte_mempool *mp, void *arg, struct rte_mempool_memhdr *h,
                          unsigned i)
{
    struct region_search *s = arg;

    (void)i;
    if (s->address >= (uintptr_t)h->addr && s->address < (uintptr_t)h->addr + h->len)
        snprintf(s->name, s->room, "frames of %s", mp->name);
}

static void look_in_pool(struct rte_mempool *mp, void *arg)
{
    struct region_search *s = arg;
    uintptr_t at = (uintptr_t)mp;

    rte_mempool_mem_iter(mp, look_in_chunk, arg);
    if (s->address >= at && s->address < at + sizeof(*mp))
        snprintf(s->name, s->room, "pool %s", mp->name);
    if (mp->local_cache && s->address >= (uintptr_t)mp->local_cache &&
        s->address < (uintptr_t)(mp->local_cache + RTE_MAX_LCORE))
        snprintf(s->name, s->room, "pool cache %s", mp->name);
}

static void look_in_ring(const char *name, struct region_search *s)
{
    const struct rte_ring *r = rte_ring_lookup(name);
    uintptr_t at = r ? (uintptr_t)r->memzone->addr : 0;

    if (r && s->address >= at && s->address < at + r->memzone->len)
        snprintf(s->name, s->room, "ring %s", name);
}

/* What stands at an address, as far as it has a name. */
static const char *region(uintptr_t address, char *name, size_t room)
{
    struct region_search s = {address, name, room};
    char ring[32];

    snprintf(name, room, "memory");
    rte_mempool_walk(look_in_pool, &s);
    for (unsigned a = 0; a < OTHER; a++) {
        for (unsigned b = 0; b < OTHER; b++) {
            snprintf(ring, sizeof(ring), "mesh%u-%u", a, b);
            look_in_ring(ring, &s);
        }
        snprintf(ring, sizeof(ring), "to-control-%u", a);
        look_in_ring(ring, &s);
        snprintf(ring, sizeof(ring), "from-control-%u", a);
        look_in_ring(ring, &s);
    }
    return name;
}

static uintptr_t base_of_program(void)
{
    Dl_info info;

    return dladdr((void *)(uintptr_t)base_of_program, &info) ? (uintptr_t)info.dli_fbase : 0;
}

static bool shared(const struct line *l)
{
    unsigned writers = 0, users = 0;

    for (unsigned t = 0; t < THREADS; t++) {
        users += l->did[t] != 0;
        writers += (l->did[t] & 2) != 0;
    }
    return writers && users > 1;
}

static void print_line(FILE *f, const struct line *l, uintptr_t base)
{
    char name[64];

    fprintf(f, "{\"line\":\"%#lx\",\"in\":\"%s\",\"by\":{", l->number << 6,
            region(l->number << 6, name, sizeof(name)));
    for (unsigned t = 0, n = 0; t < THREADS; t++)
        if (l->did[t]) {
            fprintf(f, "%s\"%u\":{\"read\":\"%#lx\",\"wrote\":\"%#lx\"}", n++ ? "," : "", t,
                    l->pc[t][READ] ? l->pc[t][READ] - base : 0,
                    l->pc[t][WRITE] ? l->pc[t][WRITE] - base : 0);
        }
    fprintf(f, "},\"lock\":[");
    for (unsigned i = 0, n = 0; i < LOCK_FRAMES && l->lock[i]; i++) {
        Dl_info info = {0};

        if (dladdr(l->lock[i], &info) && info.dli_sname)
            fprintf(f, "%s\"%s\"", n++ ? "," : "", info.dli_sname);
    }
    fprintf(f, "]}\n");
}

static void report(void)
{
    uintptr_t base = base_of_program();
    char temporary[4096];
    uint64_t used = 0, by_workers = 0;
    FILE *f;

    snprintf(temporary, sizeof(temporary), "%s.part", path);
    f = fopen(temporary, "we");
    if (!f)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        if (!lines[i].number)
            continue;
        used++;
        for (unsigned t = 0; t < OTHER; t++)
            by_workers += lines[i].did[t] != 0;
        if (shared(&lines[i]))
            print_line(f, &lines[i], base);
    }
    fprintf(f, "{\"lines\":%lu,\"by_workers\":%lu,\"not_noted\":%lu,\"locks\":%lu}\n", used,
            by_workers, atomic_load(&overflow), atomic_load(&locks_taken));
    fclose(f);
    rename(temporary, path);
}

/* Whoever sent the signal waits for this. */
static void say_recording(void)
{
    char name[4096];
    FILE *f;

    snprintf(name, sizeof(name), "%s.on", path);
    f = fopen(name, "we");
    if (f)
        fclose(f);
}

static void *serve(void *arg)
{
    sigset_t set;
    int number;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    while (sigwait(&set, &number) == 0) {
        if (number == SIGUSR1) {
            madvise(lines, sizeof(*lines) * SLOTS, MADV_DONTNEED); /* zero again */
            atomic_fetch_add(&round_number, 1);
            atomic_store(&recording, true);
            say_recording();
        } else {
            atomic_store(&recording, false);
            report();
        }
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    sigset_t set;

    path = getenv("TURNPIKE_SHARE");
    if (!path)
        return;
    lines = mmap(NULL, sizeof(*lines) * SLOTS, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (lines == MAP_FAILED)
        abort();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by all threads that follow */
    if (pthread_create(&thread, NULL, serve, NULL) != 0)
        abort();
}

/* --------------------------------------------------------------- the compiler's calls */

#define PC   __builtin_return_address(0)
#define HOOK __attribute__((used, visibility("default")))

HOOK void __tsan_init(void);
HOOK void __tsan_init(void)
{
}
HOOK void __tsan_func_entry(void *caller);
HOOK void __tsan_func_entry(void *caller)
{
    (void)caller;
}
HOOK void __tsan_func_exit(void);
HOOK void __tsan_func_exit(void)
{
}

#define PLAIN(name, size, access)                                                                  \
    HOOK void __tsan_##name(void *p);                                                              \
    HOOK void __tsan_##name(void *p)                                                               \
    {                                                                                              \
        note(p, size, access, PC);                                                                 \
    }
#define PLAIN_ALL(size)                                                                            \
    PLAIN(read##size, size, READ)                                                                  \
    PLAIN(write##size, size, WRITE)                                                                \
    PLAIN(unaligned_read##size, size, READ)                                                        \
    PLAIN(unaligned_write##size, size, WRITE)
PLAIN_ALL(1)
PLAIN_ALL(2)
PLAIN_ALL(4)
PLAIN_ALL(8)
PLAIN_ALL(16)

HOOK void __tsan_read_range(void *p, unsigned long n);
HOOK void __tsan_read_range(void *p, unsigned long n)
{
    note(p, n, READ, PC);
}
HOOK void __tsan_write_range(void *p, unsigned long n);
HOOK void __tsan_write_range(void *p, unsigned long n)
{
    note(p, n, WRITE, PC);
}

#define ATOMIC_OP(bits, type, op)                                                                  \
    HOOK type __tsan_atomic##bits##_##op(volatile type *p, type v, int order);                     \
    HOOK type __tsan_atomic##bits##_##op(volatile type *p, type v, int order)                      \
    {                                                                                              \
        (void)order;                                                                               \
        note(p, sizeof(*p), WRITE, PC);                                                            \
        return __atomic_##op(p, v, __ATOMIC_SEQ_CST);                                              \
    }
#define ATOMIC_SWAP(bits, type, kind)                                                              \
    HOOK int __tsan_atomic##bits##_compare_exchange_##kind(volatile type *p, type *old, type v,    \
                                                           int order, int failed);                 \
    HOOK int __tsan_atomic##bits##_compare_exchange_##kind(volatile type *p, type *old, type v,    \
                                                           int order, int failed)                  \
    {                                                                                              \
        (void)order;                                                                               \
        (void)failed;                                                                              \
        note(p, sizeof(*p), WRITE, PC);                                                            \
        return __atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);  \
    }
#define ATOMIC(bits, type)                                                                         \
    HOOK type __tsan_atomic##bits##_load(const volatile type *p, int order);                       \
    HOOK type __tsan_atomic##bits##_load(const volatile type *p, int order)                        \
    {                                                                                              \
        (void)order;                                                                               \
        note(p, sizeof(*p), READ, PC);                                                             \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    HOOK void __tsan_atomic##bits##_store(volatile type *p, type v, int order);                    \
    HOOK void __tsan_atomic##bits##_store(volatile type *p, type v, int order)                     \
    {                                                                                              \
        (void)order;                                                                               \
        note(p, sizeof(*p), WRITE, PC);                                                            \
        __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                  \
    }                                                                                              \
    HOOK type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order);                 \
    HOOK type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order)                  \
    {                                                                                              \
        (void)order;                                                                               \
        note(p, sizeof(*p), WRITE, PC);                                                            \
        return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                        \
    }                                                                                              \
    ATOMIC_OP(bits, type, fetch_add)                                                               \
    ATOMIC_OP(bits, type, fetch_sub)                                                               \
    ATOMIC_OP(bits, type, fetch_and)                                                               \
    ATOMIC_OP(bits, type, fetch_or)                                                                \
    ATOMIC_OP(bits, type, fetch_xor)                                                               \
    ATOMIC_SWAP(bits, type, strong)                                                                \
    ATOMIC_SWAP(bits, type, weak)
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

/* Two words at once: what lib/window does. */
HOOK int __tsan_atomic128_compare_exchange_strong(volatile unsigned __int128 *p,
                                                  unsigned __int128 *old, unsigned __int128 v,
                                                  int order, int failed);
HOOK int __tsan_atomic128_compare_exchange_strong(volatile unsigned __int128 *p,
                                                  unsigned __int128 *old, unsigned __int128 v,
                                                  int order, int failed)
{
    unsigned __int128 was;
    bool done;

    (void)order;
    (void)failed;
    note(p, sizeof(*p), WRITE, PC);
    was = __sync_val_compare_and_swap(p, *old, v);
    done = was == *old;
    *old = was;
    return done;
}

HOOK void __tsan_atomic_thread_fence(int order);
HOOK void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
HOOK void __tsan_atomic_signal_fence(int order);
HOOK void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* ------------------------------------------------------------- copies (--wrap) and locks */

void *__real_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    if (n) {
        note(from, n, READ, PC);
        note(to, n, WRITE, PC);
    }
    return __real_memcpy(to, from, n);
}
void *__real_memmove(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n)
{
    if (n) {
        note(from, n, READ, PC);
        note(to, n, WRITE, PC);
    }
    return __real_memmove(to, from, n);
}
void *__real_memset(void *to, int c, size_t n);
void *__wrap_memset(void *to, int c, size_t n);
void *__wrap_memset(void *to, int c, size_t n)
{
    if (n)
        note(to, n, WRITE, PC);
    return __real_memset(to, c, n);
}

/* The program's symbols come before those of libc in every library's eyes. */
#define LOCK(function, type)                                                                       \
    HOOK int function(type *l)                                                                     \
    {                                                                                              \
        static int (*real)(type *);                                                                \
        if (!real)                                                                                 \
            real = (int (*)(type *))(uintptr_t)dlsym(RTLD_NEXT, #function);                        \
        note_lock(l, PC);                                                                          \
        return real(l);                                                                            \
    }
LOCK(pthread_mutex_lock, pthread_mutex_t)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
