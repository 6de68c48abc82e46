/* Memory for credentials. */
#include "match_internal.h"

#include <sys/mman.h>
#include <unistd.h>

/* In front of what the caller sees. */
struct head {
    _Alignas(16) size_t bytes;
};

void *locked_new(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;
    struct head *h;

    if (n > SIZE_MAX / 2)
        return NULL;
    bytes = (n + sizeof(*h) + page - 1) / page * page;
    h = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h == MAP_FAILED)
        return NULL;
    if (mlock(h, bytes) || madvise(h, bytes, MADV_DONTDUMP)) {
        munmap(h, bytes);
        return NULL;
    }
    h->bytes = bytes;
    return h + 1;
}

void locked_free(void *p)
{
    struct head *h;
    size_t bytes;

    if (!p)
        return;
    h = (struct head *)p - 1;
    bytes = h->bytes;
    explicit_bzero(h, bytes);
    munmap(h, bytes);
}
