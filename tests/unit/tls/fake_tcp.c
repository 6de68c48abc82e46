#include "fake_tcp.h"

#include <stdlib.h>

void bytes_put(struct bytes *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->p = realloc(b->p, b->cap);
        if (!b->p)
            abort();
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

size_t bytes_count(const struct bytes *b)
{
    return b->n - b->at;
}

size_t bytes_take(struct bytes *b, void *p, size_t n)
{
    if (n > bytes_count(b))
        n = bytes_count(b);
    if (n)
        memcpy(p, b->p + b->at, n);
    b->at += n;
    if (b->at == b->n)
        b->at = b->n = 0;
    return n;
}

void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){NULL, 0, 0, 0};
}

void fake_open(struct tcp_conn *c)
{
    *c = (struct tcp_conn){.in_limit = SIZE_MAX, .room = SIZE_MAX};
}

void fake_close(struct tcp_conn *c)
{
    bytes_free(&c->in);
    bytes_free(&c->out);
}

static size_t cut(const struct tcp_conn *c, size_t n)
{
    return c->random && n ? 1 + (size_t)rand() % n : n;
}

size_t tcp_readable(const struct tcp_conn *c)
{
    size_t n = bytes_count(&c->in);

    return n < c->in_limit ? n : c->in_limit;
}

size_t tcp_read(struct tcp_conn *c, void *buf, size_t n)
{
    if (n > tcp_readable(c))
        n = tcp_readable(c);
    if (c->read_most && n > c->read_most)
        n = c->read_most;
    n = bytes_take(&c->in, buf, cut(c, n));
    if (c->in_limit != SIZE_MAX)
        c->in_limit -= n;
    return n;
}

size_t tcp_peek(const struct tcp_conn *c, void *buf, size_t n)
{
    if (n > tcp_readable(c))
        n = tcp_readable(c);
    if (n)
        memcpy(buf, c->in.p + c->in.at, n);
    return n;
}

bool tcp_eof(const struct tcp_conn *c)
{
    return c->fin && bytes_count(&c->in) == 0;
}

size_t tcp_write(struct tcp_conn *c, const void *buf, size_t n)
{
    size_t take = n < c->room ? n : c->room;

    take = cut(c, take);
    if (take < n)
        c->short_writes++;
    if (c->room != SIZE_MAX)
        c->room -= take;
    bytes_put(&c->out, buf, take);
    return take;
}

size_t tcp_write_room(const struct tcp_conn *c)
{
    return c->room;
}

enum tcp_end tcp_end_cause(const struct tcp_conn *c)
{
    return c->end;
}

const char *tcp_end_name(enum tcp_end e)
{
    return e == TCP_END_RESET ? "reset" : "ended";
}
