/* The other end of a session: OpenSSL itself over memory BIOs, and the fake TCP connection
 * between.*/
#ifndef TEST_PEER_H
#define TEST_PEER_H

#include "fake_tcp.h"
#include "pki.h"
#include "with_cmocka.h"

#include "tls/tls.h"

struct peer {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* A connection with a session of ours on one end and a peer on the other. */
struct link {
    struct tcp_conn tcp;
    struct tls_session *s;
    struct peer peer;
    bool peer_done;  /* the peer has completed its handshake */
    int peer_reason; /* why the peer has failed, OpenSSL's number; 0 if it has not */
};

/* A client or server context that trusts `ca` (or nothing). */
SSL_CTX *peer_client_ctx(const struct pki *ca);
SSL_CTX *peer_server_ctx(const struct pki *cert, const struct pki *const *chain);

/* Our server, their client. `sni` NULL: none is sent; it is also what the peer verifies. */
void link_server(struct link *l, struct tls *t, SSL_CTX *client, const char *sni);
/* Our client, their server. */
void link_client(struct link *l, struct tls *t, SSL_CTX *server, const char *host);
void link_vendor(struct link *l, struct tls *t, SSL_CTX *server, const char *host,
                 const struct tls_vendor *v);
void link_free(struct link *l);

/* Carries bytes both ways. True if any moved. */
bool link_carry(struct link *l);
/* Handshakes on both ends until neither gets further; returns what ours came to. */
enum tls_result link_handshake(struct link *l);
/* As link_handshake, and fails the test unless both ends completed it. */
void link_must_handshake(struct link *l);
/* Fails the test unless ours failed for `e`. */
void link_must_fail(struct link *l, enum tls_error e);
/* The alert that the peer has been sent, 0 if none. */
int link_alert(struct link *l);

/* What one end wrote is read at the other. */
void link_must_say(struct link *l, const char *from_peer, const char *from_us);
void must_queue_empty(void);
void must_error(const struct tls_session *s, enum tls_error e);

struct tls_shared *must_load(const struct tls_shared_config *c);

#endif
