#include "floor.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* ---- the BIO: one memcpy */

struct ends {
    struct floor_wire *read, *write;
};

static int wire_read(BIO *b, char *buf, size_t n, size_t *got)
{
    struct floor_wire *w = ((struct ends *)BIO_get_data(b))->read;

    BIO_clear_retry_flags(b);
    *got = w->to - w->from < n ? w->to - w->from : n;
    if (*got == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(buf, w->b + w->from, *got);
    w->from += *got;
    if (w->from == w->to)
        w->from = w->to = 0;
    return 1;
}

static int wire_write(BIO *b, const char *buf, size_t n, size_t *put)
{
    struct floor_wire *w = ((struct ends *)BIO_get_data(b))->write;

    BIO_clear_retry_flags(b);
    if (n > FLOOR_WIRE - w->to)
        floor_die("a wire is full");
    memcpy(w->b + w->to, buf, n);
    w->to += n;
    *put = n;
    return 1;
}

static long wire_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO *wire_bio(struct floor_wire *read, struct floor_wire *write)
{
    static BIO_METHOD *m;
    struct ends *e = malloc(sizeof(*e));
    BIO *b;

    if (!m) {
        m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
        BIO_meth_set_read_ex(m, wire_read);
        BIO_meth_set_write_ex(m, wire_write);
        BIO_meth_set_ctrl(m, wire_ctrl);
    }
    b = BIO_new(m);
    if (!b || !e)
        floor_die("out of memory");
    *e = (struct ends){read, write};
    BIO_set_data(b, e);
    BIO_set_init(b, 1);
    return b;
}

/* ---- sessions */

static SSL_CTX *context(const struct floor *f, const SSL_METHOD *method, int server)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(ctx, "X25519"))
        floor_die("no TLS context");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record in one read */
    if (server && (SSL_CTX_use_certificate_file(ctx, f->certificate, SSL_FILETYPE_PEM) != 1 ||
                   SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1))
        floor_die("%s, %s: no certificate and its key", f->certificate, f->key);
    return ctx;
}

static SSL *session(SSL_CTX *ctx, struct floor_wire *read, struct floor_wire *write)
{
    SSL *s = SSL_new(ctx);
    BIO *b = wire_bio(read, write);

    if (!s)
        floor_die("out of memory");
    SSL_set_bio(s, b, b);
    if (SSL_is_server(s))
        SSL_set_accept_state(s);
    else
        SSL_set_connect_state(s);
    return s;
}

static void shake_hands(struct floor_leg *l)
{
    for (int i = 0; i < 10; i++) {
        int a = SSL_do_handshake(l->own), b = SSL_do_handshake(l->peer);

        if (a == 1 && b == 1)
            return;
    }
    floor_die("the handshake fails: %s", ERR_reason_error_string(ERR_get_error()));
}

void floor_tls_start(struct floor *f)
{
    SSL_CTX *server = context(f, TLS_server_method(), 1);
    SSL_CTX *client = context(f, TLS_client_method(), 0);

    f->pair = calloc(f->pairs, sizeof(*f->pair));
    if (!f->pair)
        floor_die("out of memory");
    for (unsigned i = 0; i < f->pairs; i++) {
        struct floor_leg *c = &f->pair[i].caller, *v = &f->pair[i].vendor;

        c->own = session(server, &c->in, &c->out);
        c->peer = session(client, &c->out, &c->in);
        v->own = session(client, &v->in, &v->out);
        v->peer = session(server, &v->out, &v->in);
        shake_hands(c);
        shake_hands(v);
    }
}

/* ---- the four records */

static void put(SSL *s, const struct floor_text *t)
{
    size_t n;

    if (SSL_write_ex(s, t->p, t->n, &n) != 1 || n != t->n)
        floor_die("a record cannot be written");
}

static void get(struct floor *f, SSL *s, const struct floor_text *t)
{
    size_t n;

    if (SSL_read_ex(s, f->plain, sizeof(f->plain), &n) != 1 || n != t->n)
        floor_die("a record cannot be read");
}

void floor_tls(struct floor *f, struct floor_pair *p, uint64_t took[FLOOR_PARTS])
{
    uint64_t t[4];

    put(p->caller.peer, &f->request);
    t[0] = floor_now();
    get(f, p->caller.own, &f->request);
    t[1] = floor_now();
    put(p->vendor.own, &f->request);
    t[2] = floor_now();
    took[FLOOR_READ_REQUEST] += t[1] - t[0];
    took[FLOOR_WRITE_REQUEST] += t[2] - t[1];
    f->request_record = p->vendor.out.to;
    get(f, p->vendor.peer, &f->request);
    put(p->vendor.peer, &f->answer);
    t[0] = floor_now();
    get(f, p->vendor.own, &f->answer);
    t[1] = floor_now();
    put(p->caller.own, &f->answer);
    t[2] = floor_now();
    took[FLOOR_READ_ANSWER] += t[1] - t[0];
    took[FLOOR_WRITE_ANSWER] += t[2] - t[1];
    f->answer_record = p->caller.out.to;
    get(f, p->caller.peer, &f->answer);
}
