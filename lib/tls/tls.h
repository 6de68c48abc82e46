/* TLS over TCP connections: sessions towards callers with leaves minted from the organisation's CA,
 * sessions towards vendors with verification. OpenSSL over a BIO of our own that reads received
 * mbufs and writes send mbufs (tcp_read, tcp_write), one OSSL_LIB_CTX a worker. Once the handshake
 * of a TLS 1.3 connection is complete, OpenSSL hands over: its records are made and read here
 * (RFC 8446 5), with OpenSSL's ciphers.
 *
 * Everything but tls_shared_*: the worker that owns the `struct tls`. No function blocks. What
 * fails leaves nothing in OpenSSL's error queue. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/base.h"
#include "tcp/tcp.h"

/* ---- what the whole process shares: read once at start-up, immutable, read by workers ---- */

struct tls_shared;

struct tls_shared_config {
    const char *ca_certificate; /* PEM path; may hold a chain, the issuing CA first */
    const char *ca_key;         /* PEM path, unencrypted; refused if group or others can read it */
    const char *vendor_trust;   /* "system" or a PEM path */
};

/* NULL after complaints in `d`: unreadable, not a CA (basicConstraints), key does not match,
 * expired, permissions. Also makes the session ticket keys. */
struct tls_shared *tls_shared_load(const struct tls_shared_config *c, struct diags *d);
void tls_shared_free(struct tls_shared *s);

/* ---- a vendor that is not as all others: its own CAs, pinned keys, a certificate of ours ---- */

struct tls_vendor;

#define TLS_VENDOR_ID 32

struct tls_vendor_config {
    const char *trust; /* "system" or a PEM path; NULL: as all others (tls_shared_config) */
    struct place trust_place;
    /* SHA-256 of SubjectPublicKeyInfos, one of which must stand in the verified chain (RFC 7469);
     * beside chain and name, not instead of them. Copied. */
    const uint8_t (*pins)[32];
    unsigned npins;
    /* PEM: our certificate, what stands between it and its root, its key, unencrypted. Empty: none.
     * Not kept. */
    struct span certificate;
    struct place certificate_place;
};

/* Immutable; read by workers, which make objects of their own from it. NULL after complaints in
 * `d`, which never show what `certificate` holds. Any thread. */
struct tls_vendor *tls_vendor_load(const struct tls_vendor_config *c, struct diags *d);
void tls_vendor_free(struct tls_vendor *v); /* no session with it may be in its handshake */
/* TLS_VENDOR_ID bytes, equal exactly for what is equal in all parts: connections and sessions made
 * under one serve no other. All zero for NULL. */
const uint8_t *tls_vendor_id(const struct tls_vendor *v);

/* ---- a worker ---- */

struct tls;
struct tls_session;

struct tls_limits {
    unsigned leaf_cache;     /* minted leaves kept, least recently used goes */
    unsigned mints_a_second; /* token bucket; over it a handshake fails with TLS_ERR_MINT_LIMIT */
};

struct tls *tls_new(const struct tls_shared *s, const struct tls_limits *l);
void tls_delete(struct tls *t);
/* What sessions do from now on counts as STAGE_TLS in `s`, which outlives them. */
void tls_measure(struct tls *t, struct stages *s);
/* Called once a ClientHello's name is known: are callers asked for a certificate? They may answer
 * with none. Sessions made with and without being asked do not resume each other. */
typedef bool tls_ask_fn(void *arg, struct span name);
void tls_ask_certificates(struct tls *t, tls_ask_fn *ask, void *arg);
/* Forgets leaves and refills the mint bucket; about once a second. */
void tls_tick(struct tls *t, uint64_t now_us);

/* What a call on a session came to. */
enum tls_result {
    TLS_OK,
    TLS_AGAIN, /* wait for the connection: READABLE or WRITABLE, whichever comes, then call again */
    TLS_CLOSED, /* close_notify received: the peer has ended its side in order */
    TLS_FAILED, /* over; tls_error says why; an alert has been queued where TLS says so */
};

/* Why a session failed: a stable name for counters and records (tls_error_name). */
/* clang-format off */
#define TLS_ERRORS(X)                                                                             \
    X(NONE) X(NOT_TLS) X(PLAIN_HTTP) X(NO_SNI) X(BAD_SNI) X(VERSION) X(NO_SHARED_CIPHER)          \
    X(MINT_LIMIT) X(MINT_FAILED) X(PEER_ALERT) X(PEER_REJECTED_CERTIFICATE) X(BAD_RECORD)         \
    X(TRUNCATED) X(TCP_ENDED) X(RENEGOTIATION) X(VERIFY_CHAIN) X(VERIFY_EXPIRED)                  \
    X(VERIFY_NAME) X(VERIFY_PIN) X(VERIFY_OTHER) X(NO_ALPN) X(PROTOCOL) X(INTERNAL)               \
    X(BAD_CERTIFICATE) X(HANDSHAKE_TOO_LARGE)
/* clang-format on */

enum tls_error {
#define X(name) TLS_ERR_##name,
    TLS_ERRORS(X)
#undef X
        TLS_ERR_COUNT
};
const char *tls_error_name(enum tls_error e); /* "verify_name" */

/* A server session on an accepted connection. The leaf is minted for the SNI, whatever it is, if it
 * is a well-formed DNS name (the layer above decides whether it knows the name and answers inside
 * TLS if not). TLS 1.2 and 1.3, ALPN http/1.1 (offers without it: no ALPN), tickets, no
 * renegotiation, no compression, no early data. At most TLS_HANDSHAKE_MAX bytes are taken from a
 * client before its handshake is complete. The session does not own the connection. NULL when
 * out of memory. */
#define TLS_HANDSHAKE_MAX (64u << 10)
struct tls_session *tls_server(struct tls *t, struct tcp_conn *c);

/* A client session. `host` is sent as SNI and verified against the certificate (RFC 9525, DNS-ID
 * only). `v`: what is particular to this vendor, or NULL; it must stay until the handshake is over.
 * Sessions are resumed per host and `v`'s id. */
struct tls_session *tls_client(struct tls *t, struct tcp_conn *c, struct span host,
                               const struct tls_vendor *v);

/* Frees the session; sends nothing. */
void tls_free(struct tls_session *s);

/* Drives the handshake. TLS_OK once it is complete and, for a client, the vendor verified; further
 * calls return TLS_OK at once. */
enum tls_result tls_handshake(struct tls_session *s);
/* Reads up to `n` bytes; on TLS_OK *got > 0. End of TCP without close_notify is TLS_FAILED with
 * TLS_ERR_TRUNCATED. Call until it stops saying TLS_OK: a record may be buffered inside. */
enum tls_result tls_read(struct tls_session *s, void *buf, size_t n, size_t *got);
/* Writes some of the bytes, as records of up to 16 KiB; on TLS_OK *put > 0, often less than n.
 * After TLS_AGAIN call again with the same bytes (the buffer may have moved). */
enum tls_result tls_write(struct tls_session *s, const void *buf, size_t n, size_t *put);
/* Queues close_notify. The TCP side is the caller's business. */
void tls_shutdown(struct tls_session *s);
bool tls_pending(const struct tls_session *s); /* decrypted bytes wait inside */

enum tls_error tls_error(const struct tls_session *s);
/* A sentence for records and logs: OpenSSL's reason, the verification's subject. "" if none. */
const char *tls_error_text(const struct tls_session *s);
/* The name that the caller asked for, lower case; empty span before the ClientHello or without. */
struct span tls_sni(const struct tls_session *s);
/* A server's: the certificates that the caller has shown, DER, one behind the other, its own first;
 * it has proved to hold that one's key, in this session or in the one that it resumes. Nothing else
 * about them has been verified. Empty: none shown. Valid as long as the session. */
struct span tls_peer_certificates(const struct tls_session *s);
bool tls_ech_offered(
    const struct tls_session *s); /* the ClientHello carried encrypted_client_hello */
const char *tls_version(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_cipher(const struct tls_session *s);
bool tls_resumed(const struct tls_session *s);

/* clang-format off */
#define TLS_COUNTERS(X)                                                                           \
    X(server_handshakes) X(server_resumed) X(server_failed) X(client_handshakes)                  \
    X(client_resumed) X(client_failed) X(leaves_minted) X(leaves_evicted) X(mints_limited)        \
    X(records_read) X(records_written) X(certificates_asked) X(certificates_shown)
/* clang-format on */

struct tls_counters {
#define X(name) counter name;
    TLS_COUNTERS(X)
#undef X
    counter errors[TLS_ERR_COUNT]; /* failed sessions by cause */
} __attribute__((aligned(64)));
const struct tls_counters *tls_counters(const struct tls *t);

#endif
