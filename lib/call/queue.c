#include "call/call_internal.h"

bool outq_open(struct outq *q, struct buddy *memory, size_t cap)
{
    size_t n = q->end - q->start;
    char *p;

    if (q->p && q->cap >= cap)
        return true;
    p = buddy_alloc(memory, cap);
    if (!p)
        return false;
    if (q->p) { /* it had been shrunk */
        memcpy(p, q->p + q->start, n);
        buddy_free(memory, q->p);
    }
    *q = (struct outq){
        .p = p, .cap = cap, .ready = q->ready - q->start, .end = n, .flushed = q->flushed};
    return true;
}

void outq_close(struct outq *q, struct buddy *memory)
{
    if (q->p)
        buddy_free(memory, q->p);
    *q = (struct outq){.flushed = q->flushed};
}

void outq_shrink(struct outq *q, struct buddy *memory)
{
    size_t n = q->end - q->ready, cap = SMALL_BLOCK;
    char *p;

    if (!q->p || outq_pending(q))
        return;
    if (n == 0) {
        outq_close(q, memory);
        return;
    }
    while (cap < n)
        cap *= 2;
    if (cap >= q->cap || !(p = buddy_alloc(memory, cap)))
        return;
    memcpy(p, q->p + q->ready, n);
    buddy_free(memory, q->p);
    *q = (struct outq){.p = p, .cap = cap, .end = n, .flushed = q->flushed};
}

void outq_compact(struct outq *q, size_t want)
{
    if (q->start == q->end) {
        q->start = q->ready = q->end = 0;
        return;
    }
    if (q->start == 0 || outq_room(q) >= want)
        return;
    memmove(q->p, q->p + q->start, q->end - q->start);
    q->ready -= q->start;
    q->end -= q->start;
    q->start = 0;
}

enum tls_result outq_flush(struct outq *q, struct tls_session *s)
{
    while (outq_pending(q)) {
        size_t put;
        enum tls_result r = tls_write(s, q->p + q->start, outq_pending(q), &put);

        if (r != TLS_OK)
            return r;
        q->start += put;
        q->flushed += put;
    }
    if (q->start == q->end)
        q->start = q->ready = q->end = 0;
    return TLS_OK;
}
