/* What the parts of the TLS library share with each other (and their unit tests) and nobody else.
 */
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls/tls.h"

#define TLS_NAME_MAX   253   /* a DNS name in text, RFC 1035 2.3.4 less the root's label */
#define TLS_RECORD_MAX 16384 /* RFC 8446 5.1 */
#define TLS_TEXT_MAX   224

/* ---- record.c: TLS 1.3 records after the handshake (RFC 8446 5) */

#define TLS_HEADER         5
#define TLS_TAG            16
#define TLS_IV             12
#define TLS_SECRET_MAX     48
#define TLS_CIPHERTEXT_MAX (TLS_RECORD_MAX + 256)
#define TLS_SUITES         3

enum { TLS_TYPE_ALERT = 21, TLS_TYPE_HANDSHAKE = 22, TLS_TYPE_DATA = 23 };

struct tls_suite {
    uint16_t id; /* as in the handshake */
    uint8_t secret;
    const char *digest;
    EVP_CIPHER *cipher;
};
bool tls_suites_open(struct tls *t);
void tls_suites_close(struct tls *t);
const struct tls_suite *tls_suite(const struct tls *t, uint16_t id); /* NULL: not known */

/* One direction. During the handshake only the secret and how many records have passed under it. */
struct tls_way {
    EVP_CIPHER_CTX *ctx; /* keyed for sealing or for opening */
    uint64_t seq;        /* of the next record */
    uint8_t iv[TLS_IV];
    bool known; /* the secret is */
    uint8_t secret[TLS_SECRET_MAX];
};

/* From the secret; false: out of memory. `seals`: what we send. */
bool tls_way_open(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals);
void tls_way_close(struct tls_way *w);
/* Keys w->ctx from w->secret. */
bool tls_way_key(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals);
/* The next secret and its key (RFC 8446 7.2). */
bool tls_way_update(struct tls *t, const struct tls_suite *u, struct tls_way *w, bool seals);
/* A whole record of up to TLS_RECORD_MAX bytes of content into `out`; its length, 0 if OpenSSL
 * failed. */
size_t tls_way_seal(struct tls_way *w, uint8_t type, const void *p, size_t n, uint8_t *out);
/* The n bytes after a record's header, TLS_TAG and more, into n - TLS_TAG bytes at `out`, which may
 * be `in`. False: not authentic; `out` is wiped. */
bool tls_way_unseal(struct tls_way *w, const uint8_t header[TLS_HEADER], uint8_t *in, size_t n,
                    uint8_t *out);

/* ---- name.c */

/* A DNS name as TLS carries it: LDH labels and underscore, no trailing dot, no IP literal. Lower
 * case and NUL-terminated into `out`. False, and `out` empty, when it is anything else. */
bool tls_name_read(struct span in, char out[TLS_NAME_MAX + 1]);

/* ---- pem.c: files read at start-up */

struct tls_blob {
    unsigned char *p;
    size_t n;
};

/* The whole file. `secret`: refused when group or others have any right to it. False after a
 * complaint. */
bool tls_file_read(const char *path, bool secret, struct tls_blob *out, struct diags *d);
void tls_blob_wipe(struct tls_blob *b);
/* Every CERTIFICATE of a PEM file, at least one, appended to `to`. False after a complaint. */
bool tls_pem_certificates(const char *path, STACK_OF(X509) * to, struct diags *d);
/* The key of a PEM file; NULL after a complaint. */
EVP_PKEY *tls_pem_key(const char *path, struct diags *d);
/* The oldest reason in OpenSSL's queue, which is emptied. */
const char *tls_openssl_reason(void);

/* ---- trust.c */

/* The anchors of "system" or a bundle. NULL after complaints. */
STACK_OF(X509) * tls_trust_load(const char *which, struct diags *d);
/* Copies of them, as the only anchors of a store. */
bool tls_trust_add(struct tls *t, STACK_OF(X509) * from, X509_STORE *to);

/* ---- shared.c */

#define TLS_TICKET_SEED 32

struct tls_shared {
    X509 *ca; /* the issuer of leaves */
    EVP_PKEY *ca_key;
    STACK_OF(X509) * chain; /* what follows a leaf on the wire: issuer first, no root */
    STACK_OF(X509) * trust; /* anchors for vendors */
    BIO_METHOD *bio;        /* process-wide: OpenSSL has few BIO types to give away */
    uint8_t ticket_seed[TLS_TICKET_SEED];
};

/* The same certificate or key as objects of another library context. NULL when out of memory. */
X509 *tls_copy_x509(X509 *x, OSSL_LIB_CTX *lib);
EVP_PKEY *tls_copy_key(EVP_PKEY *k, OSSL_LIB_CTX *lib);
STACK_OF(X509) * tls_copy_chain(STACK_OF(X509) * from, OSSL_LIB_CTX *lib);
int64_t tls_asn1_seconds(const ASN1_TIME *t); /* since 1970; INT64_MIN when it cannot be read */

/* ---- lru.c: a bounded map from short byte strings to pointers; the least recently used goes */

#define LRU_KEY_MAX (TLS_NAME_MAX + 1 + TLS_VENDOR_ID)

struct lru;
typedef void lru_drop_fn(void *value);

/* All memory is taken here. `secret` keys the hash: the keys are chosen by strangers. NULL when out
 * of memory. */
struct lru *lru_new(unsigned max, const uint64_t secret[2], lru_drop_fn *drop);
void lru_delete(struct lru *l);
void *lru_get(struct lru *l, struct span key); /* and makes it the most recent */
/* Replaces (dropping the old value) or inserts; true if another key had to go. `value` not NULL,
 * key at most LRU_KEY_MAX bytes. */
bool lru_put(struct lru *l, struct span key, void *value);
void lru_remove(struct lru *l, struct span key);
void *lru_oldest(const struct lru *l); /* the next to go; NULL when empty */
void lru_remove_oldest(struct lru *l);
unsigned lru_count(const struct lru *l);

/* ---- peer.c: certificates that callers show */

/* All of them, and all of what a client may show: tickets carry it. */
#define TLS_PEER_MAX (16u << 10)

bool tls_peer_setup(SSL_CTX *ctx);
/* Once the ClientHello's name is known. */
void tls_peer_ask(struct tls_session *s);
/* Takes down what has been shown. False when out of memory. */
bool tls_peer_capture(struct tls_session *s);

/* ---- vendor.c */

struct tls_vendor {
    uint8_t id[TLS_VENDOR_ID];
    STACK_OF(X509) * trust; /* NULL: the shared anchors */
    X509 *leaf;             /* NULL: nothing is shown to the vendor */
    STACK_OF(X509) * chain; /* what follows the leaf */
    EVP_PKEY *key;
    unsigned npins;
    uint8_t pins[][32];
};

#define TLS_VENDORS_MAX 512 /* whose objects a worker keeps */

/* A worker's own objects for a vendor. */
struct tls_vendor_side {
    X509_STORE *store; /* NULL: that of the SSL_CTX */
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};
lru_drop_fn tls_vendor_side_drop;
/* Borrowed: valid until the next call. NULL when out of memory. */
const struct tls_vendor_side *tls_vendor_side_of(struct tls *t, const struct tls_vendor *v);
/* Is one of the pins the key of a certificate of the chain? True without pins. */
bool tls_vendor_pinned(const struct tls *t, const struct tls_vendor *v, STACK_OF(X509) * chain);

/* ---- mint.c: leaf certificates from the CA */

enum tls_leaf_type { TLS_LEAF_ECDSA, TLS_LEAF_RSA, TLS_LEAF_TYPES };

struct tls_mint {
    OSSL_LIB_CTX *lib; /* the worker's */
    const EVP_MD *sha256;
    X509 *ca;
    EVP_PKEY *ca_key;
    STACK_OF(X509) * chain;
    int64_t ca_from, ca_until; /* the CA's validity, seconds */
    EVP_PKEY *key[TLS_LEAF_TYPES];
    X509_EXTENSION *ski[TLS_LEAF_TYPES];
    X509_EXTENSION *constraints, *usage, *purpose, *aki; /* alike in all leaves; aki may be NULL */
};

bool tls_mint_init(struct tls_mint *m, const struct tls_shared *s, OSSL_LIB_CTX *lib,
                   const EVP_MD *sha256);
void tls_mint_free(struct tls_mint *m);
/* NULL when the CA is not valid at `now` or OpenSSL fails. */
X509 *tls_mint_leaf(const struct tls_mint *m, enum tls_leaf_type type, struct span name,
                    int64_t now, int64_t *until);

/* ---- leaf.c: minted leaves, kept; the mint's token bucket */

/* Borrowed: valid until the next call. NULL with the cause in `*why`. */
X509 *tls_leaf_for(struct tls *t, enum tls_leaf_type type, struct span name, enum tls_error *why);
void tls_leaf_tick(struct tls *t, uint64_t now_us);
lru_drop_fn tls_leaf_drop;

/* ---- hosts.c: sessions of vendors, to be resumed */

#define TLS_HOSTS_MAX 1024 /* vendors' names a worker remembers sessions for */

lru_drop_fn tls_host_drop;
/* What a session of a client is kept under: the name and the vendor's id. */
struct tls_host_key {
    char p[LRU_KEY_MAX];
};
struct span tls_host_key(const struct tls_session *s, struct tls_host_key *room);
/* Takes over the reference. */
void tls_host_keep(struct tls *t, struct span key, SSL_SESSION *session);
/* A session to resume, the caller's reference, or NULL. */
SSL_SESSION *tls_host_take(struct tls *t, struct span key);

/* ---- ticket.c */

#define TLS_TICKET_EPOCH_S 21600 /* keys change this often; tickets live no longer than this */

struct tls_ticket_key {
    unsigned char name[16];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tls_tickets {
    int64_t epoch;
    struct tls_ticket_key current, previous;
};

/* Moves to the keys of the wall-clock time `now`. False when OpenSSL fails: keys unchanged. */
bool tls_tickets_turn(struct tls *t, int64_t now);
bool tls_tickets_setup(SSL_CTX *ctx);

/* ---- worker.c */

struct tls {
    const struct tls_shared *shared;
    OSSL_LIB_CTX *lib;
    OSSL_PROVIDER *provider;
    SSL_CTX *server, *client;
    EVP_MD *sha256;
    EVP_CIPHER *ticket_cipher;
    int64_t wall; /* seconds since 1970, as of the last tick */
    struct tls_mint mint;
    struct lru *leaves, *hosts, *vendors;
    tls_ask_fn *ask; /* NULL: nobody is asked for a certificate */
    void *ask_arg;
    uint64_t tokens, tokens_max; /* millionths of a mint */
    uint64_t mints_a_second;
    uint64_t tick_us; /* time of the last tick; 0 before the first */
    struct tls_tickets tickets;
    struct stages *stages;
    struct tls_suite suites[TLS_SUITES];
    EVP_MAC_CTX *hmac;
    EVP_CIPHER_CTX *feeder; /* see tls_feed_openssl */
    struct tls_block *spare;
    unsigned nspare;
    struct tls_counters n;
    uint8_t read[TLS_CIPHERTEXT_MAX];                         /* a record that came */
    uint8_t write[TLS_HEADER + TLS_RECORD_MAX + 1 + TLS_TAG]; /* one that goes, sealed */
};

#define TLS_SPARE_MAX 64

/* A record that waits, in part. */
struct tls_block {
    union {
        struct tls_block *next; /* while spare */
        uint8_t bytes[TLS_CIPHERTEXT_MAX];
    };
};

/* ---- bio.c */

BIO_METHOD *tls_bio_method(void);

/* ---- hello.c: what a ClientHello says that we care about */

struct tls_hello {
    bool seen;        /* one has been read: a second one follows a HelloRetryRequest */
    bool ech;         /* encrypted_client_hello offered */
    bool ecdsa_tls13; /* ecdsa_secp256r1_sha256 among the signature algorithms */
    bool ecdsa_tls12; /* an ECDSA suite and signature algorithm, and P-256 not excluded */
};

#define TLS_EXT_ECH 0xfe0d

/* The host_name of a server_name extension (RFC 6066 3): exactly one name, of that type. */
bool tls_sni_parse(const unsigned char *p, size_t n, struct span *name);
/* Fills in `h` and `name` (empty if there is none). TLS_ERR_NONE, NO_SNI or BAD_SNI, and then the
 * alert to send. */
enum tls_error tls_hello_read(SSL *ssl, struct tls_hello *h, char name[TLS_NAME_MAX + 1],
                              int *alert);

/* ---- sniff.c */

enum tls_sniff { SNIFF_MORE, SNIFF_TLS, SNIFF_HTTP, SNIFF_OTHER };
#define TLS_SNIFF_MAX 8
/* What protocol begins with these bytes. SNIFF_MORE only for fewer than TLS_SNIFF_MAX. */
enum tls_sniff tls_sniff(const unsigned char *p, size_t n);

/* ---- session.c */

enum tls_state {
    TLS_ST_SNIFF, /* a server's, before its first byte; no SSL yet */
    TLS_ST_HANDSHAKE,
    TLS_ST_OPEN,
    TLS_ST_FAILED,
};

struct tls_session {
    SSL *ssl; /* NULL while sniffing, and after a failure to make it */
    struct tls *t;
    struct tcp_conn *conn;
    enum tls_state state;
    bool server;
    bool eof;           /* the BIO has seen the end of TCP */
    bool ended;         /* the BIO has found the connection dead */
    bool renegotiation; /* a renegotiation has been asked for and refused */
    bool asked;         /* a server's: the client is asked for a certificate */
    bool buffers;       /* OpenSSL may hold buffers that it does not need */
    uint8_t sniffed;    /* bytes of head, taken while it is not known yet what they begin */
    uint32_t taken;     /* a server's: bytes read for the handshake */
    bool own;           /* OpenSSL has handed over: records are read and written by data.c */
    size_t retry;       /* bytes of a tls_write that are held half sent; 0 = none */

    /* Of a connection that has been handed over. */
    struct tls_way in, out;
    const struct tls_suite *suite;
    uint8_t header[TLS_HEADER]; /* of the record that is coming */
    uint8_t header_n;           /* bytes of it */
    uint8_t quiet;              /* records without data since the last that had some */
    bool closed;                /* close_notify has come */
    bool told_end;              /* and has been sent */
    bool owes_update;           /* the peer wants our key changed */
    bool in_updated;            /* the peer has changed its own */
    uint16_t have;              /* bytes of the record's body: in `block`, if there is one */
    uint16_t rest, rest_at;     /* data in `block` that has not been asked for yet */
    uint16_t unsent_n, unsent_at;
    uint8_t *block, *unsent; /* NULL mostly */
    uint32_t message_left;   /* of a ticket that is cut over records */
    uint32_t tickets;        /* bytes of them, so far */
    uint64_t fed;            /* records that OpenSSL has read */
    struct span feed;        /* what its BIO reads next */
    const char *version, *cipher;
    bool resumed;
    /* Cold from here on. */
    const struct tls_vendor *vendor; /* a client's, until it is settled; NULL: nothing particular */
    uint8_t vendor_id[TLS_VENDOR_ID];
    unsigned char *peer; /* a server's: what the client has shown */
    size_t peer_len;
    unsigned char head[TLS_SNIFF_MAX];
    enum tls_error error; /* set before the state is FAILED by callbacks that know the cause */
    struct tls_hello hello;
    size_t name_len;
    char name[TLS_NAME_MAX + 1]; /* server: the SNI; client: the vendor's name; lower case */
    char text[TLS_TEXT_MAX];
};

/* Zeroed but for its worker and connection: a client's or server's by what is set next. NULL when
 * out of memory. */
struct tls_session *tls_session_new(struct tls *t, struct tcp_conn *c);
struct tls_session *tls_session_of(const SSL *ssl);
/* Notes why the session is about to fail; the first note stands. */
void tls_blame(struct tls_session *s, enum tls_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Notes the cause, counts it, ends the session. */
enum tls_result tls_fail(struct tls_session *s, enum tls_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline struct span tls_session_name(const struct tls_session *s)
{
    return span_of(s->name, s->name_len);
}

/* What a library on the same thread has left in OpenSSL's error queue must not be taken for a
 * session's: emptied before, and after whatever fails. */
static inline void tls_clean_queue(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* ---- handover.c */

void tls_handover_setup(SSL_CTX *ctx);
/* After the handshake. False: out of memory. */
bool tls_handover(struct tls_session *s);
/* Handshake messages of a vendor, decrypted. False: OpenSSL does not take them. */
bool tls_feed_openssl(struct tls_session *s, const uint8_t *p, size_t n);

/* ---- data.c: as tls_read, tls_write, tls_shutdown, tls_free, of what has been handed over */

enum tls_result tls_data_read(struct tls_session *s, void *buf, size_t n, size_t *got);
enum tls_result tls_data_write(struct tls_session *s, const void *buf, size_t n, size_t *put);
void tls_data_shutdown(struct tls_session *s);
void tls_data_close(struct tls_session *s);
void tls_blocks_free(struct tls *t);

/* ---- error.c */

void tls_blame_alert(struct tls_session *s, int alert); /* one that the peer has sent */

/* The cause and a sentence out of OpenSSL's error queue, which is emptied. */
void tls_blame_openssl(struct tls_session *s);

/* ---- verify.c */

int tls_verify_callback(int ok, X509_STORE_CTX *ctx);
/* All that a vendor must prove: chain and name as OpenSSL checks them, then the pins. */
int tls_verify_vendor(X509_STORE_CTX *ctx, void *arg);

/* ---- server.c, client.c */

/* What both roles have in common: versions, suites, groups, modes. */
bool tls_context_common(SSL_CTX *ctx);
SSL_CTX *tls_server_context(struct tls *t);
SSL_CTX *tls_client_context(struct tls *t);
/* An SSL over the session's connection. NULL when out of memory. */
SSL *tls_session_ssl(struct tls_session *s, SSL_CTX *ctx);
/* What remains to be checked once OpenSSL says that a client's handshake is complete. */
bool tls_client_settled(struct tls_session *s);

#define TLS_ALPN "\x08http/1.1"

#endif
