/* What lib/tls uses of lib/tcp, over two byte queues: a wire that a test can cut anywhere. Linked
 * in place of the real one. */
#ifndef FAKE_TCP_H
#define FAKE_TCP_H

#include "tcp/tcp.h"

struct bytes {
    unsigned char *p;
    size_t at, n, cap; /* p[at..n) waits */
};

void bytes_put(struct bytes *b, const void *p, size_t n);
size_t bytes_take(struct bytes *b, void *p, size_t n);
size_t bytes_count(const struct bytes *b);
void bytes_free(struct bytes *b);

struct tcp_conn {
    struct bytes in, out;
    size_t in_limit;  /* bytes of `in` that have arrived so far; SIZE_MAX = all */
    size_t read_most; /* bytes a tcp_read gives at the most; 0 = no bound */
    size_t room;      /* what tcp_write may still take; SIZE_MAX = no bound */
    bool random;      /* reads and writes are cut at random (rand()) */
    bool fin;         /* the peer's FIN stands after `in` */
    enum tcp_end end;
    size_t short_writes;
};

void fake_open(struct tcp_conn *c);
void fake_close(struct tcp_conn *c);

#endif
