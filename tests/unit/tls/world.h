/* One worker and the certificates around it, for a group of tests. */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include "peer.h"

struct world {
    struct pki ca;        /* the organisation's: callers trust it, leaves come from it */
    struct pki vendor_ca; /* what vendor_trust holds */
    struct tls_shared *shared;
    struct tls *t;
    SSL_CTX *caller; /* a client that trusts `ca` */
};

extern struct world w;

int world_open(void **state);
int world_close(void **state);

uint64_t count_errors(enum tls_error e);

#endif
