/* What detectors find in a request, for rules that ask for it: before the decision, over copies. */
#include "call/call_internal.h"

enum { WINDOW = CAPTURE_MAX, NEW_BYTES = WINDOW - MATCH_LOOKBACK };

/* A text that does not fit the window passes through it, with what may still be the start of a
 * match kept at its front. */
static bool scan_stream(struct exchange *x, enum match_syntax syntax, struct span in)
{
    struct call_worker *w = x->w;
    struct match_stream *s =
        match_stream_open(w->match, x->gen->match, &x->gen->everything, syntax);
    size_t held = 0, gone = 0;

    while (s && in.n && gone != SIZE_MAX) {
        size_t added = in.n < NEW_BYTES ? in.n : NEW_BYTES;

        memcpy(w->scratch + held, in.p, added);
        in = span_from(in, added);
        gone = match_stream_scan(s, w->scratch, held, added, in.n == 0);
        if (gone != SIZE_MAX) {
            held = held + added - gone;
            memmove(w->scratch, w->scratch + gone, held);
        }
    }
    if (!s)
        return false;
    match_found_join(&w->found, match_stream_found(s));
    match_stream_close(s);
    return gone != SIZE_MAX;
}

static bool scan(struct exchange *x, enum match_syntax syntax, struct span in)
{
    struct call_worker *w = x->w;

    if (in.n > WINDOW)
        return scan_stream(x, syntax, in);
    if (in.n == 0)
        return true;
    memcpy(w->scratch, in.p, in.n);
    return match_buffer(w->match, x->gen->match, &x->gen->everything, syntax, w->scratch, in.n,
                        &w->found);
}

/* What names the caller is no data of the call. */
static bool is_identity(const struct http_field *f)
{
    return f->id == HTTP_F_AUTHORIZATION || f->id == HTTP_F_TURNPIKE_TOKEN ||
           f->id == HTTP_F_X_API_KEY;
}

static bool scan_fields(struct exchange *x)
{
    const struct http_head *h = x->head;
    bool good = true;

    for (unsigned i = 0; good && i < h->nfields; i++)
        if (!h->fields[i].hop && !is_identity(&h->fields[i]))
            good = scan(x, MATCH_PLAIN, h->fields[i].value);
    return good;
}

const struct match_found *detect_request(struct exchange *x)
{
    STAGE_SCOPE(&x->w->stages, STAGE_MATCH);

    match_found_clear(&x->w->found);
    if (x->body_problem || !scan(x, MATCH_FORM, x->head->target) || !scan_fields(x) ||
        !scan(x, record_syntax(x->body_type), request_body_seen(x)))
        return NULL;
    return &x->w->found;
}
