/* What passes on a connection that OpenSSL has handed over: records read and written, alerts, key
 * updates (RFC 8446 4.6, 5, 6).
 *
 * A record that has come whole is taken into memory of the worker's and opened from there into the
 * reader's. One that has come in part waits in a block of its own, so that TCP's window does not
 * wait with it; so does one that is larger than what the reader asked for. */
#include "tls_internal.h"

#include <stdlib.h>

enum {
    QUIET_MOST = 32,         /* records that say nothing, one behind the other */
    UPDATE_AFTER = 1 << 23,  /* records under one key: a half of what AES-GCM bears (5.5) */
    HANDSHAKE_MOST = 1 << 18 /* bytes of tickets, in all */
};

enum { MSG_TICKET = 4, MSG_KEY_UPDATE = 24 };

/* ---- blocks */

/* The heap is asked only when more of them are in use than there are spare ones. Not inlined, so
 * that whoever looks for allocations on the road finds them here. */
__attribute__((noinline)) static uint8_t *block_take(struct tls *t)
{
    struct tls_block *b = t->spare;

    if (!b)
        return malloc(sizeof(*b));
    t->spare = b->next;
    t->nspare--;
    return (uint8_t *)b;
}

__attribute__((noinline)) static void block_give(struct tls *t, uint8_t *p)
{
    struct tls_block *b = (struct tls_block *)p;

    if (!b)
        return;
    OPENSSL_cleanse(b, sizeof(*b));
    if (t->nspare == TLS_SPARE_MAX) {
        free(b);
        return;
    }
    b->next = t->spare;
    t->spare = b;
    t->nspare++;
}

void tls_blocks_free(struct tls *t)
{
    while (t->spare) {
        struct tls_block *b = t->spare;

        t->spare = b->next;
        free(b);
    }
}

static void drop_read(struct tls_session *s)
{
    block_give(s->t, s->block);
    s->block = NULL;
    s->have = s->rest = s->rest_at = 0;
}

static void drop_write(struct tls_session *s)
{
    block_give(s->t, s->unsent);
    s->unsent = NULL;
    s->unsent_n = s->unsent_at = 0;
}

void tls_data_close(struct tls_session *s)
{
    drop_read(s);
    drop_write(s);
    tls_way_close(&s->in);
    tls_way_close(&s->out);
}

/* ---- sending */

static bool ended(struct tls_session *s)
{
    if (tcp_end_cause(s->conn) == TCP_END_NONE)
        return false;
    tls_fail(s, TLS_ERR_TCP_ENDED, "the TCP connection ended (%s)",
             tcp_end_name(tcp_end_cause(s->conn)));
    return true;
}

/* What is left of a record; false while some of it still is. */
static bool send_unsent(struct tls_session *s)
{
    if (!s->unsent)
        return true;
    s->unsent_at += (uint16_t)tcp_write(s->conn, s->unsent + s->unsent_at,
                                        (size_t)(s->unsent_n - s->unsent_at));
    if (s->unsent_at < s->unsent_n)
        return false;
    drop_write(s);
    return true;
}

/* Seals and sends; what TCP does not take waits in a block. False: out of memory, or OpenSSL
 * failed. */
static bool send_record(struct tls_session *s, uint8_t type, const void *p, size_t n)
{
    uint8_t *out = s->t->write;
    size_t all = tls_way_seal(&s->out, type, p, n, out), put;

    if (!all)
        return false;
    put = tcp_write(s->conn, out, all);
    if (put == all)
        return true;
    s->unsent = block_take(s->t);
    if (!s->unsent)
        return false;
    memcpy(s->unsent, out + put, all - put);
    s->unsent_n = (uint16_t)(all - put);
    s->unsent_at = 0;
    return true;
}

/* Our key changes when the peer has asked for it, before the next data of ours (4.6.3), and when it
 * has sealed enough. */
static bool update_key(struct tls_session *s)
{
    static const uint8_t message[] = {MSG_KEY_UPDATE, 0, 0, 1, 0 /* update_not_requested */};

    s->owes_update = false;
    return send_record(s, TLS_TYPE_HANDSHAKE, message, sizeof(message)) &&
           tls_way_update(s->t, s->suite, &s->out, true);
}

static enum tls_result no_memory(struct tls_session *s)
{
    tls_clean_queue();
    return tls_fail(s, TLS_ERR_INTERNAL, "a record could not be made");
}

enum tls_result tls_data_write(struct tls_session *s, const void *buf, size_t n, size_t *put)
{
    if (ended(s))
        return TLS_FAILED;
    if (!send_unsent(s))
        return TLS_AGAIN;
    if (s->retry) { /* that was the record of this very call */
        *put = s->retry;
        s->retry = 0;
        return TLS_OK;
    }
    if (tcp_write_room(s->conn) == 0) {
        tcp_write(s->conn, buf, n); /* takes nothing, but asks for WRITABLE */
        return TLS_AGAIN;
    }
    if ((s->owes_update || s->out.seq >= UPDATE_AFTER) && !update_key(s))
        return no_memory(s);
    if (!send_unsent(s))
        return TLS_AGAIN;
    n = n < TLS_RECORD_MAX ? n : TLS_RECORD_MAX;
    if (!send_record(s, TLS_TYPE_DATA, buf, n))
        return no_memory(s);
    counter_inc(&s->t->n.records_written);
    if (s->unsent) {
        s->retry = n;
        return TLS_AGAIN;
    }
    *put = n;
    return TLS_OK;
}

/* Behind half a record nothing can be said any more. */
static void send_alert(struct tls_session *s, uint8_t level, uint8_t alert)
{
    uint8_t message[] = {level, alert};

    if (!s->unsent && tcp_end_cause(s->conn) == TCP_END_NONE)
        send_record(s, TLS_TYPE_ALERT, message, sizeof(message));
}

void tls_data_shutdown(struct tls_session *s)
{
    if (!s->told_end)
        send_alert(s, SSL3_AL_WARNING, SSL3_AD_CLOSE_NOTIFY);
    s->told_end = true;
}

/* ---- receiving */

static enum tls_result refuse(struct tls_session *s, uint8_t alert, const char *why)
{
    tls_clean_queue();
    send_alert(s, SSL3_AL_FATAL, alert);
    return tls_fail(s, TLS_ERR_BAD_RECORD, "%s", why);
}

static enum tls_result more(struct tls_session *s)
{
    if (tcp_eof(s->conn))
        return tls_fail(s, TLS_ERR_TRUNCATED, "the TCP connection ended without close_notify");
    return ended(s) ? TLS_FAILED : TLS_AGAIN;
}

/* 5.1, 5.2: after the handshake every record is of type application_data on the outside. */
static enum tls_result check_header(struct tls_session *s, size_t *n)
{
    const uint8_t *h = s->header;

    *n = (size_t)h[3] << 8 | h[4];
    if (h[0] != TLS_TYPE_DATA)
        return refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "a record that is not encrypted");
    if (h[1] != 3 || h[2] != 3)
        return refuse(s, SSL_AD_DECODE_ERROR, "a record of another version");
    if (*n > TLS_CIPHERTEXT_MAX)
        return refuse(s, SSL_AD_RECORD_OVERFLOW, "a record is too long");
    if (*n < 1 + TLS_TAG)
        return refuse(s, SSL_AD_BAD_RECORD_MAC, "a record is too short");
    return TLS_OK;
}

/* The rest of a record into `to`, which holds s->have bytes of it. */
static bool take_body(struct tls_session *s, uint8_t *to, size_t n)
{
    while (s->have < n) {
        size_t got = tcp_read(s->conn, to + s->have, n - s->have);

        if (!got)
            return false;
        s->have = (uint16_t)(s->have + got);
    }
    return true;
}

/* A record on its way to the reader. */
struct record {
    uint8_t *body; /* as it came: the worker's memory or the session's block */
    size_t all;    /* its length */
    uint8_t *text; /* opened: the reader's memory or where it was */
    size_t n;      /* of the content */
    uint8_t type;
};

/* Until a whole one is there. */
static enum tls_result next_record(struct tls_session *s, struct record *r)
{
    enum tls_result ok;

    while (s->header_n < TLS_HEADER) {
        size_t got = tcp_read(s->conn, s->header + s->header_n, (size_t)(TLS_HEADER - s->header_n));

        if (!got)
            return more(s);
        s->header_n = (uint8_t)(s->header_n + got);
    }
    ok = check_header(s, &r->all);
    if (ok != TLS_OK)
        return ok;
    r->body = s->block ? s->block : s->t->read;
    if (take_body(s, r->body, r->all))
        return TLS_OK;
    if (!s->block) {
        s->block = block_take(s->t);
        if (!s->block)
            return no_memory(s);
        memcpy(s->block, s->t->read, s->have);
    }
    return more(s);
}

static enum tls_result on_alert(struct tls_session *s, const uint8_t *p, size_t n)
{
    if (n != 2)
        return refuse(s, SSL_AD_DECODE_ERROR, "an alert of a wrong length");
    if (p[1] == SSL3_AD_CLOSE_NOTIFY) {
        s->closed = true;
        return TLS_CLOSED;
    }
    if (p[1] == SSL_AD_USER_CANCELLED)
        return TLS_OK;
    tls_blame_alert(s, p[1]);
    return tls_fail(s, TLS_ERR_PEER_ALERT, "the peer sent an alert");
}

/* Ends the record that it stands in: what follows is under another key. */
static enum tls_result on_key_update(struct tls_session *s, const uint8_t *p, size_t n)
{
    if (n != 5 || p[1] || p[2] || p[3] != 1 || p[4] > 1)
        return refuse(s, SSL_AD_DECODE_ERROR, "a malformed key update");
    s->owes_update |= p[4] == 1;
    s->in_updated = true;
    if (tls_way_update(s->t, s->suite, &s->in, false))
        return TLS_OK;
    return no_memory(s);
}

/* How many bytes of p[0..n) are tickets, whole or cut over records; *alert if what follows them is
 * neither the record's end nor a key update. */
static size_t tickets_in(struct tls_session *s, const uint8_t *p, size_t n, bool *alert)
{
    size_t at = 0;

    while (at < n) {
        size_t part;

        if (s->message_left == 0) {
            if (p[at] == MSG_KEY_UPDATE)
                return at;
            if (n - at < 4 || p[at] != MSG_TICKET) {
                *alert = true;
                return at;
            }
            s->message_left =
                4 + ((uint32_t)p[at + 1] << 16 | (uint32_t)p[at + 2] << 8 | p[at + 3]);
        }
        part = n - at < s->message_left ? n - at : s->message_left;
        s->message_left -= (uint32_t)part;
        at += part;
    }
    return at;
}

/* Tickets go to OpenSSL. */
static enum tls_result on_handshake(struct tls_session *s, const uint8_t *p, size_t n)
{
    bool alert = n == 0 || (s->server && p[0] != MSG_KEY_UPDATE);
    size_t tickets = alert ? 0 : tickets_in(s, p, n, &alert);

    s->tickets += (uint32_t)tickets;
    if (alert || s->tickets > HANDSHAKE_MOST)
        return refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected handshake message");
    if (tickets && !tls_feed_openssl(s, p, tickets))
        return refuse(s, SSL_AD_DECODE_ERROR, "a malformed session ticket");
    return tickets < n ? on_key_update(s, p + tickets, n - tickets) : TLS_OK;
}

/* Where the content ends and its type stands: behind the last byte that is not zero (5.2). */
static bool content_of(const uint8_t *p, size_t *n, uint8_t *type)
{
    size_t end = *n;

    while (end > 0 && p[end - 1] == 0)
        end--;
    if (end == 0)
        return false;
    *type = p[end - 1];
    *n = end - 1;
    return true;
}

/* Opens the record into `to` if that has room for all of it, else where it stands. */
static enum tls_result open_record(struct tls_session *s, struct record *r, uint8_t *to,
                                   size_t room)
{
    r->n = r->all - TLS_TAG;
    r->text = r->n <= room ? to : r->body;
    if (!tls_way_unseal(&s->in, s->header, r->body, r->all, r->text))
        return refuse(s, SSL_AD_BAD_RECORD_MAC, "a record that does not decrypt");
    s->header_n = 0;
    s->have = 0;
    if (r->n > TLS_RECORD_MAX + 1)
        return refuse(s, SSL_AD_RECORD_OVERFLOW, "a record is too long");
    if (!content_of(r->text, &r->n, &r->type))
        return refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "a record without content");
    return TLS_OK;
}

static void give_rest(struct tls_session *s, uint8_t *to, size_t room, size_t *got)
{
    size_t n = s->rest < room ? s->rest : room;

    memcpy(to, s->block + s->rest_at, n);
    s->rest_at = (uint16_t)(s->rest_at + n);
    s->rest = (uint16_t)(s->rest - n);
    *got = n;
    if (s->rest == 0)
        drop_read(s);
}

/* Data that did not fit: the reader gets what it asked for, the rest waits. */
static enum tls_result keep_rest(struct tls_session *s, const uint8_t *text, size_t n, uint8_t *to,
                                 size_t room, size_t *got)
{
    if (!s->block) {
        s->block = block_take(s->t);
        if (!s->block)
            return no_memory(s);
        memcpy(s->block, text, n);
    }
    s->rest_at = 0;
    s->rest = (uint16_t)n;
    give_rest(s, to, room, got);
    return TLS_OK;
}

static enum tls_result deliver(struct tls_session *s, const struct record *r, uint8_t *to,
                               size_t room, size_t *got)
{
    if (s->message_left)
        return refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "data within a handshake message");
    s->quiet = 0;
    counter_inc(&s->t->n.records_read);
    if (r->text != to)
        return keep_rest(s, r->text, r->n, to, room, got);
    *got = r->n;
    drop_read(s);
    return TLS_OK;
}

static enum tls_result no_data(struct tls_session *s, const struct record *r)
{
    enum tls_result ok = TLS_OK;

    if (r->type == TLS_TYPE_ALERT)
        ok = on_alert(s, r->text, r->n);
    else if (r->type == TLS_TYPE_HANDSHAKE)
        ok = on_handshake(s, r->text, r->n);
    else if (r->type != TLS_TYPE_DATA)
        ok = refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "a record of an unknown type");
    OPENSSL_cleanse(r->text, r->n); /* it may stand in the reader's memory */
    drop_read(s);
    if (ok == TLS_OK && r->type != TLS_TYPE_HANDSHAKE && ++s->quiet > QUIET_MOST)
        ok = refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "too many records without data");
    return ok;
}

enum tls_result tls_data_read(struct tls_session *s, void *buf, size_t room, size_t *got)
{
    if (s->rest) {
        give_rest(s, buf, room, got);
        return TLS_OK;
    }
    if (s->closed)
        return TLS_CLOSED;
    for (;;) {
        struct record r = {0};
        enum tls_result ok = next_record(s, &r);

        if (ok == TLS_OK)
            ok = open_record(s, &r, buf, room);
        if (ok != TLS_OK)
            return ok;
        if (r.type == TLS_TYPE_DATA && r.n)
            return deliver(s, &r, buf, room, got);
        ok = no_data(s, &r);
        if (ok != TLS_OK)
            return ok;
    }
}
