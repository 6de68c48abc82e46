#include "vault_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Stands right before the memory that was given out. The memory ends at the guard page behind it
 * (but for alignment), so that reading past a secret's end faults. */
struct mem_head {
    char *map;
    size_t map_len, n;
    uint64_t magic;
};

#define MEM_MAGIC 0x7661756c746d656du
#define MEM_ALIGN ((size_t)16)

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void lock_in_memory(void *p, size_t n)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;

    if (mlock(p, n) == 0)
        return;
    if (!atomic_flag_test_and_set(&warned))
        log_warn("vault", "secrets may be swapped to disk: mlock: %s (raise RLIMIT_MEMLOCK)",
                 strerrordesc_np(errno));
}

static void *map_guarded(size_t inner, size_t page)
{
    char *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return NULL;
    /* Without DONTDUMP a core dump would hold secrets: better none at all. */
    if (mprotect(map + page, inner, PROT_READ | PROT_WRITE) ||
        madvise(map + page, inner, MADV_DONTDUMP)) {
        munmap(map, inner + 2 * page);
        return NULL;
    }
    lock_in_memory(map + page, inner);
    return map;
}

void *vault_mem_alloc(size_t n)
{
    size_t page = page_size(), inner, size;
    struct mem_head *head;
    char *map, *p;

    if (n > SIZE_MAX / 2)
        return NULL;
    size = ((n ? n : 1) + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    inner = (sizeof(*head) + size + page - 1) / page * page;
    map = map_guarded(inner, page);
    if (!map)
        return NULL;
    p = map + page + inner - size;
    head = (struct mem_head *)(void *)(p - sizeof(*head));
    *head = (struct mem_head){map, inner + 2 * page, n, MEM_MAGIC};
    return p;
}

static struct mem_head *head_of(void *p)
{
    struct mem_head *head = (struct mem_head *)(void *)((char *)p - sizeof(*head));

    if (head->magic != MEM_MAGIC) /* not ours, or overwritten */
        abort();
    return head;
}

void vault_mem_seal(void *p)
{
    struct mem_head *head = head_of(p);
    size_t page = page_size();

    mprotect(head->map + page, head->map_len - 2 * page, PROT_READ);
}

void vault_mem_free(void *p)
{
    size_t page = page_size();
    struct mem_head head;

    if (!p)
        return;
    head = *head_of(p);
    /* If it cannot be wiped it is at least unmapped: the kernel zeroes pages that it gives on. */
    if (mprotect(head.map + page, head.map_len - 2 * page, PROT_READ | PROT_WRITE) == 0)
        OPENSSL_cleanse(head.map + page, head.map_len - 2 * page);
    munmap(head.map, head.map_len);
}
