#include "vault_internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static const char magic[8] = {'T', 'P', 'V', 'A', 'U', 'L', 'T', '\n'};

/* ------------------------------------------------------------------ reading */

struct reader {
    struct span left;
    bool bad; /* something was asked for that is not there */
};

static struct span take(struct reader *r, size_t n)
{
    struct span s = span_of(r->left.p, n);

    if (n > r->left.n) {
        r->bad = true;
        return SPAN_NONE;
    }
    r->left = span_from(r->left, n);
    return s;
}

static uint64_t take_number(struct reader *r, size_t n)
{
    struct span s = take(r, n);
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | (unsigned char)s.p[i];
    return v;
}

struct sealed {
    struct span before; /* its bytes before the nonce */
    struct span nonce, value, tag;
};

static void take_secret(struct reader *r, struct vault_secret *s, struct sealed *sealed)
{
    const char *start = r->left.p;
    size_t value;

    s->name = take(r, take_number(r, 1));
    s->connection = take(r, take_number(r, 1));
    s->version = (uint32_t)take_number(r, 4);
    s->created_ns = take_number(r, 8);
    value = take_number(r, 2);
    sealed->before = span_of(start, (size_t)(r->left.p - start));
    sealed->nonce = take(r, VAULT_NONCE);
    sealed->value = take(r, value);
    sealed->tag = take(r, VAULT_TAG);
    if (!vault_name_valid(s->name) || !vault_connection_valid(s->connection) || s->version == 0 ||
        value == 0 || value > VAULT_VALUE_MAX)
        r->bad = true;
}

static bool refuse(const char *file, struct diags *d, const char *why)
{
    diag_error(d, place_of_file(file), "%s", why);
    return false;
}

struct header {
    struct span bytes, id, key_check;
    uint64_t serial;
    uint32_t count;
};

static bool read_header(struct reader *r, struct header *h, const char *file, struct diags *d)
{
    struct reader all = *r;
    uint64_t format;

    if (!span_eq(take(r, sizeof(magic)), span_of(magic, sizeof(magic))))
        return refuse(file, d, "not a vault");
    format = take_number(r, 4);
    if (r->bad)
        return refuse(file, d, "damaged: it is cut short");
    if (format != VAULT_FORMAT) {
        diag_error(d, place_of_file(file), "its format is %llu: this program knows only %d",
                   (unsigned long long)format, VAULT_FORMAT);
        return false;
    }
    h->id = take(r, VAULT_ID);
    h->serial = take_number(r, 8);
    h->count = (uint32_t)take_number(r, 4);
    h->key_check = take(r, 16);
    h->bytes = take(&all, VAULT_HEADER);
    if (r->bad || r->left.n < VAULT_SEAL || h->count > VAULT_SECRETS_MAX)
        return refuse(file, d, "damaged: it is cut short or its header is wrong");
    return true;
}

static bool check_key(const struct header *h, const uint8_t *key, const char *file, struct diags *d)
{
    uint8_t want[16];

    if (!vault_key_check(key, (const uint8_t *)h->id.p, want))
        return refuse(file, d, "the cryptographic library failed");
    if (CRYPTO_memcmp(want, h->key_check.p, sizeof(want)) != 0)
        return refuse(file, d, "the key is not this vault's, or the vault's header is damaged");
    return true;
}

/* Everything before the seal is what was written. Cuts the seal off `r`. */
static bool check_seal(struct reader *r, struct span bytes, const uint8_t *key, const char *file,
                       struct diags *d)
{
    struct span all = span_of(bytes.p, bytes.n - VAULT_SEAL);
    struct span seal = span_from(bytes, all.n);
    struct vault_box box = {key, (const uint8_t *)seal.p, {all, SPAN_LIT("F")}};

    r->left.n -= VAULT_SEAL;
    if (!vault_box_open(&box, SPAN_NONE, (const uint8_t *)seal.p + VAULT_NONCE, NULL))
        return refuse(file, d, "damaged: its seal is broken");
    return true;
}

/* Reads all secrets but their values; how many bytes these take, or -1. */
static ssize_t read_secrets(struct vault *v, struct reader *r, struct sealed *sealed)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < v->count; i++) {
        struct vault_secret *s = &v->secrets[i];

        take_secret(r, s, &sealed[i]);
        if (r->bad || (i && span_cmp(s[-1].name, s->name) >= 0))
            return -1;
        s->name = arena_span(&v->mem, s->name);
        s->connection = arena_span(&v->mem, s->connection);
        bytes += sealed[i].value.n;
    }
    return r->left.n == 0 ? (ssize_t)bytes : -1;
}

static bool open_values(struct vault *v, const struct sealed *sealed, struct span header,
                        const uint8_t *key)
{
    char *at = v->values;

    for (unsigned i = 0; i < v->count; i++) {
        const struct sealed *s = &sealed[i];
        struct vault_box box = {
            key, (const uint8_t *)s->nonce.p, {header, s->before, SPAN_LIT("S")}};

        if (!vault_box_open(&box, s->value, (const uint8_t *)s->tag.p, (uint8_t *)at))
            return false;
        v->secrets[i].value = span_of(at, s->value.n);
        at += s->value.n;
    }
    return true;
}

static bool read_contents(struct vault *v, struct reader *r, const struct header *h,
                          const uint8_t *key, const char *file, struct diags *d)
{
    struct sealed *sealed = arena_array(&v->mem, struct sealed, h->count);
    ssize_t bytes;

    memcpy(v->id, h->id.p, VAULT_ID);
    v->serial = h->serial;
    v->count = h->count;
    v->secrets = arena_array(&v->mem, struct vault_secret, h->count);
    bytes = read_secrets(v, r, sealed);
    if (bytes < 0)
        return refuse(file, d, "damaged: a secret is malformed");
    if (v->count == 0)
        return true;
    v->values = vault_mem_alloc((size_t)bytes);
    if (!v->values)
        return refuse(file, d, "no memory for the secrets");
    if (!open_values(v, sealed, h->bytes, key))
        return refuse(file, d, "damaged: a secret cannot be opened");
    vault_mem_seal(v->values);
    return true;
}

struct vault *vault_decode(struct span bytes, const uint8_t key[VAULT_KEY], const char *file,
                           struct diags *d)
{
    struct reader r = {bytes, false};
    struct vault *v;
    struct header h = {0};

    if (!read_header(&r, &h, file, d) || !check_key(&h, key, file, d) ||
        !check_seal(&r, bytes, key, file, d))
        return NULL;
    v = calloc(1, sizeof(*v));
    if (!v) {
        refuse(file, d, "out of memory");
        return NULL;
    }
    if (read_contents(v, &r, &h, key, file, d))
        return v;
    vault_close(v);
    return NULL;
}

/* ------------------------------------------------------------------ writing */

static void put_number(struct outbuf *o, uint64_t v, unsigned n)
{
    while (n-- > 0)
        outbuf_char(o, (char)(v >> (8 * n) & 0xff));
}

/* Room for `n` bytes that are filled by somebody else. */
static uint8_t *reserve(struct outbuf *o, size_t n)
{
    uint8_t *at = (uint8_t *)o->p + o->n;

    if (o->full || n > o->cap - o->n) {
        o->full = true;
        return NULL;
    }
    o->n += n;
    return at;
}

static bool put_header(struct outbuf *o, const struct vault_contents *c, const uint8_t *key)
{
    uint8_t *check;

    outbuf_put(o, magic, sizeof(magic));
    put_number(o, VAULT_FORMAT, 4);
    outbuf_put(o, c->id, VAULT_ID);
    put_number(o, c->serial, 8);
    put_number(o, c->count, 4);
    check = reserve(o, 16);
    return check && vault_key_check(key, c->id, check);
}

static bool put_secret(struct outbuf *o, const struct vault_secret *s, struct span header,
                       const uint8_t *key)
{
    size_t start = o->n;
    struct vault_box box = {.key = key, .aad = {header, SPAN_NONE, SPAN_LIT("S")}};
    uint8_t *nonce, *sealed, *tag;

    put_number(o, s->name.n, 1);
    outbuf_span_put(o, s->name);
    put_number(o, s->connection.n, 1);
    outbuf_span_put(o, s->connection);
    put_number(o, s->version, 4);
    put_number(o, s->created_ns, 8);
    put_number(o, s->value.n, 2);
    box.aad[1] = span_of(o->p + start, o->n - start);
    nonce = reserve(o, VAULT_NONCE);
    sealed = reserve(o, s->value.n);
    tag = reserve(o, VAULT_TAG);
    box.nonce = nonce;
    return !o->full && vault_random(nonce, VAULT_NONCE) &&
           vault_box_seal(&box, s->value, sealed, tag);
}

static bool put_seal(struct outbuf *o, const uint8_t *key)
{
    struct vault_box box = {.key = key, .aad = {outbuf_span(o), SPAN_LIT("F")}};
    uint8_t *nonce = reserve(o, VAULT_NONCE), *tag = reserve(o, VAULT_TAG);

    box.nonce = nonce;
    return !o->full && vault_random(nonce, VAULT_NONCE) &&
           vault_box_seal(&box, SPAN_NONE, NULL, tag);
}

size_t vault_encode(const struct vault_contents *c, const uint8_t key[VAULT_KEY], uint8_t *to,
                    size_t room)
{
    struct outbuf o = outbuf_on(to, room);

    if (!put_header(&o, c, key))
        return 0;
    for (unsigned i = 0; i < c->count; i++)
        if (!put_secret(&o, &c->secrets[i], span_of(to, VAULT_HEADER), key))
            return 0;
    return put_seal(&o, key) ? o.n : 0;
}
