#include "hold/hold_internal.h"

static bool sound(enum body_type type, struct span body)
{
    struct arena mem = ARENA_INIT;
    struct body_paths *none = body_paths_new(&mem);
    struct body_values values = {0};

    body_read(none, type, body, SPAN_NONE, &values);
    arena_free(&mem);
    return values.problem == BODY_PROBLEM_NONE;
}

/* Part by part: the boundary is another each time the same call is sent. */
static bool feed_parts(EVP_MD_CTX *md, struct span body)
{
    struct body_parts it;
    struct body_part part;
    bool ok = body_parts_begin(&it, body);

    while (ok && body_parts_next(&it, &part))
        ok = hold_feed_span(md, part.head) && hold_feed_span(md, part.content);
    return ok && EVP_DigestUpdate(md, "E", 1) == 1;
}

static bool feed_coded(EVP_MD_CTX *md, const struct hold_subject *s)
{
    const struct http_field *f = s->head ? http_field(s->head, HTTP_F_CONTENT_ENCODING) : NULL;

    if (s->coded.n == 0)
        return true;
    return EVP_DigestUpdate(md, "C", 1) == 1 && hold_feed_span(md, f ? f->value : SPAN_NONE) &&
           hold_feed_span(md, s->coded);
}

static bool feed_body(EVP_MD_CTX *md, const struct hold_subject *s)
{
    if (!feed_coded(md, s))
        return false;
    if (s->body_type == BODY_JSON && sound(BODY_JSON, s->body))
        return EVP_DigestUpdate(md, "J", 1) == 1 && hold_feed_json(md, s->body);
    if (s->body_type == BODY_FORM)
        return EVP_DigestUpdate(md, "F", 1) == 1 && hold_feed_pairs(md, s->body, false);
    if (s->body_type == BODY_MULTIPART && sound(BODY_MULTIPART, s->body))
        return EVP_DigestUpdate(md, "M", 1) == 1 && feed_parts(md, s->body);
    return EVP_DigestUpdate(md, "R", 1) == 1 && hold_feed_span(md, s->body);
}

/* Fields that choose whose account is acted on: part of what was approved. */
static bool feed_accounts(EVP_MD_CTX *md, const struct hold_subject *s)
{
    const struct rules_connection *c = s->rules_connection;
    bool ok = true;

    for (unsigned i = 0; ok && c && i < c->naccount_headers; i++) {
        ok = hold_feed_span(md, c->account_headers[i]);
        for (unsigned k = 0; ok && k < s->head->nfields; k++)
            /* What Connection names is not sent on, so it chooses nothing. */
            if (!s->head->fields[k].hop && span_ieq(s->head->fields[k].name, c->account_headers[i]))
                ok = hold_feed_span(md, s->head->fields[k].value);
        ok = ok && EVP_DigestUpdate(md, "E", 1) == 1;
    }
    return ok;
}

/* The media type decides how the vendor reads the body; its parameters (a multipart boundary) do
 * not. */
static bool feed_media(EVP_MD_CTX *md, const struct hold_subject *s)
{
    const struct http_field *f = s->head ? http_field(s->head, HTTP_F_CONTENT_TYPE) : NULL;
    struct span type = f ? f->value : SPAN_NONE;
    char text[128];
    struct span media = span_trim(span_cut(&type, ';'));
    struct outbuf o = outbuf_on(text, sizeof(text));

    for (size_t i = 0; i < media.n; i++)
        outbuf_char(&o, ascii_lower(media.p[i]));
    return o.full ? hold_feed_span(md, media) : hold_feed_span(md, outbuf_span(&o));
}

bool hold_digest(const struct hold_subject *s, uint8_t out[HOLD_DIGEST])
{
    const uint64_t numbers[] = {s->secret_version, s->rule, s->rev};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              hold_feed_span(md, SPAN_LIT("turnpike hold 1")) && hold_feed_span(md, s->caller) &&
              hold_feed_span(md, s->connection) && hold_feed_span(md, s->function) &&
              hold_feed_span(md, s->method) && hold_feed_span(md, s->path) &&
              hold_feed_pairs(md, s->query, true) && feed_media(md, s) && feed_body(md, s) &&
              feed_accounts(md, s) && hold_feed_span(md, s->secret) &&
              hold_feed(md, numbers, sizeof(numbers)) && EVP_DigestFinal_ex(md, out, NULL) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}
