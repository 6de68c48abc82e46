#include "badwire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Pages are touched only when a frame first uses them; the free list is a stack for that reason. */
int pool_open(struct pool *p)
{
    size_t size = sizeof(struct frame) * WIRE_POOL;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    p->frames = map;
    p->free = NULL;
    for (uint32_t i = WIRE_POOL; i-- > 0;)
        pool_give(p, &p->frames[i]);
    return 0;
}

void pool_close(struct pool *p)
{
    if (p->frames)
        munmap(p->frames, sizeof(struct frame) * WIRE_POOL);
    p->frames = p->free = NULL;
}

struct frame *pool_take(struct pool *p)
{
    struct frame *f = p->free;
    if (f)
        p->free = f->next;
    return f;
}

void pool_give(struct pool *p, struct frame *f)
{
    f->next = p->free;
    p->free = f;
}

int queue_open(struct queue *q)
{
    q->count = 0;
    q->at = calloc(WIRE_POOL, sizeof(*q->at));
    return q->at ? 0 : -ENOMEM;
}

void queue_close(struct queue *q)
{
    free(q->at);
    q->at = NULL;
}

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

void queue_push(struct queue *q, struct frame *f)
{
    uint32_t i = q->count++;
    for (; i > 0 && before(f, q->at[(i - 1) / 2]); i = (i - 1) / 2)
        q->at[i] = q->at[(i - 1) / 2];
    q->at[i] = f;
}

struct frame *queue_first(const struct queue *q)
{
    return q->count ? q->at[0] : NULL;
}

void queue_pop(struct queue *q)
{
    struct frame *last = q->at[--q->count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < q->count; child = 2 * i + 1) {
        if (child + 1 < q->count && before(q->at[child + 1], q->at[child]))
            child++;
        if (!before(q->at[child], last))
            break;
        q->at[i] = q->at[child];
        i = child;
    }
    q->at[i] = last;
}
