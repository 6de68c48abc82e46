/* What the codec understands and what would be sent on, for tests that hold other servers beside
 * it.
 *
 * stdin: inputs, each as four bytes of length (big endian) and the bytes; stdout: for each a line a
 * message that was found in it, and a line that begins with "end":
 *     msg METHOD PATH QUERY BODY SENT NAME VALUE NAME VALUE ...
 *     end CAUSE
 * All but METHOD and CAUSE are in hex, "-" where empty; QUERY is "." where there is no "?". SENT is
 * the message as it is written on: its body in one piece or, every second time, in chunks. CAUSE
 * is "none" at an input's end, "more" where the last message is not whole, "closed" where a message
 * is the connection's last one. */
#include <stdio.h>
#include <stdlib.h>

#include "http/http.h"

#define INPUT_MAX ((size_t)1 << 20)

static char input[INPUT_MAX], body[INPUT_MAX], sent[3 * INPUT_MAX];

static void hex(struct span s)
{
    putchar(' ');
    if (s.n == 0)
        putchar('-');
    for (size_t i = 0; i < s.n; i++)
        printf("%02x", (unsigned char)s.p[i]);
}

/* As lib/call/forward.c has it, without a credential. */
static bool is_sent(const struct http_field *f)
{
    return !f->hop && f->id != HTTP_F_HOST && f->id != HTTP_F_CONTENT_LENGTH &&
           f->id != HTTP_F_EXPECT;
}

static void write_body(struct outbuf *o, struct span s)
{
    while (s.n) {
        size_t n = s.n < 7 ? s.n : 7;

        http_write_chunk_start(o, n);
        outbuf_put(o, s.p, n);
        http_write_chunk_end(o);
        s = span_from(s, n);
    }
    http_write_last_chunk(o);
}

static struct span write_message(const struct http_head *h, struct span content, bool chunked)
{
    struct outbuf o = outbuf_on(sent, sizeof(sent));

    http_write_request_line(&o, h->method, h->path, h->has_query, h->query);
    outbuf_lit(&o, "Host: ");
    outbuf_span_put(&o, h->host);
    if (h->port)
        outbuf_printf(&o, ":%u", h->port);
    outbuf_lit(&o, "\r\n");
    for (unsigned i = 0; i < h->nfields; i++)
        if (is_sent(&h->fields[i]))
            http_write_field(&o, h->fields[i].name, h->fields[i].value);
    if (h->framing == HTTP_BODY_NONE)
        outbuf_lit(&o, "\r\n");
    else if (chunked)
        outbuf_lit(&o, "Transfer-Encoding: chunked\r\n\r\n");
    else
        outbuf_printf(&o, "Content-Length: %zu\r\n\r\n", content.n);
    if (h->framing != HTTP_BODY_NONE && chunked)
        write_body(&o, content);
    else
        outbuf_span_put(&o, content);
    if (o.full)
        exit(3);
    return outbuf_span(&o);
}

static void print_message(const struct http_head *h, struct span content, bool chunked)
{
    printf("msg %.*s", SPAN_ARG(h->method));
    hex(h->path);
    if (h->has_query)
        hex(h->query);
    else
        printf(" .");
    hex(content);
    hex(write_message(h, content, chunked));
    for (unsigned i = 0; i < h->nfields; i++)
        if (is_sent(&h->fields[i])) {
            hex(h->fields[i].name);
            hex(h->fields[i].value);
        }
    putchar('\n');
}

/* The body at the front of `*in`. */
static enum http_status take_body(const struct http_head *h, struct span *in, struct outbuf *o,
                                  enum http_error *why)
{
    struct http_body b;

    http_body_init(&b, h);
    while (!b.done) {
        struct span data;
        size_t used;

        if (http_body_next(&b, *in, &data, &used, why) == HTTP_BAD)
            return HTTP_BAD;
        if (used == 0)
            return HTTP_MORE;
        outbuf_span_put(o, data);
        *in = span_from(*in, used);
    }
    return HTTP_OK;
}

static const char *messages(struct span in, unsigned long *number)
{
    static struct http_head h;

    while (in.n) {
        struct outbuf o = outbuf_on(body, sizeof(body));
        enum http_status st;
        enum http_error why;
        size_t scanned = 0, used;

        st = http_parse_request(&h, in, &scanned, &used, &why);
        if (st == HTTP_OK) {
            in = span_from(in, used);
            st = take_body(&h, &in, &o, &why);
        }
        if (st != HTTP_OK)
            return st == HTTP_BAD ? http_error_name(why) : "more";
        print_message(&h, outbuf_span(&o), (*number)++ & 1);
        if (!h.keep_alive)
            return "closed";
    }
    return "none";
}

int main(void)
{
    unsigned char length[4];
    unsigned long number = 0;

    while (fread(length, 1, 4, stdin) == 4) {
        size_t n =
            (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];

        if (n > INPUT_MAX || fread(input, 1, n, stdin) != n)
            return 2;
        printf("end %s\n", messages(span_of(input, n), &number));
    }
    return 0;
}
