#include "call/call_internal.h"

bool outq_open(struct outq *q, struct buddy *memory, size_t cap)
{
    if (q->p)
        return true;
    q->p = buddy_alloc(memory, cap);
    if (!q->p)
        return false;
    q->cap = cap;
    q->start = q->ready = q->end = 0;
    return true;
}

void outq_close(struct outq *q, struct buddy *memory)
{
    if (q->p)
        buddy_free(memory, q->p);
    *q = (struct outq){0};
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
    }
    if (q->start == q->end)
        q->start = q->ready = q->end = 0;
    return TLS_OK;
}
