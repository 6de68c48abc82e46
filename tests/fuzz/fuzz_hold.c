/* The canonical digest over hostile bodies and queries: no byte is read or written that is not
 * there, two readings agree, and levelling white space or escapes never meets another document. */
#include <stdlib.h>

#include "hold/hold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void digest(enum body_type t, struct span query, struct span body, uint8_t out[HOLD_DIGEST])
{
    const struct hold_subject s = {.caller = SPAN_LIT("fuzz"),
                                   .method = SPAN_LIT("POST"),
                                   .query = query,
                                   .body_type = t,
                                   .body = body};

    if (!hold_digest(&s, out))
        abort();
}

static bool white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* White space outside strings twice over. Sound documents only keep their meaning by it, so for
 * others nothing is said. */
static size_t spread(struct span in, char *to)
{
    size_t n = 0;
    bool text = false;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];

        to[n++] = c;
        if (text && c == '\\' && i + 1 < in.n)
            to[n++] = in.p[++i];
        else if (c == '"')
            text = !text;
        if (!text && (white(c) || c == ',' || c == ':' || c == '[' || c == '{'))
            to[n++] = '\n';
    }
    return n;
}

static bool sound(struct span body)
{
    struct arena mem = ARENA_INIT;
    struct body_values values = {0};

    body_read(body_paths_new(&mem), BODY_JSON, body, SPAN_NONE, &values);
    arena_free(&mem);
    return values.problem == BODY_PROBLEM_NONE;
}

static void white_space_is_nothing(struct span body)
{
    uint8_t before[HOLD_DIGEST], after[HOLD_DIGEST];
    char *wide = malloc(body.n * 2 + 1);
    struct span other;

    if (!wide)
        abort();
    other = span_of(wide, spread(body, wide));
    if (sound(body) && sound(other)) {
        digest(BODY_JSON, SPAN_NONE, body, before);
        digest(BODY_JSON, SPAN_NONE, other, after);
        if (memcmp(before, after, HOLD_DIGEST) != 0)
            abort();
    }
    free(wide);
}

/* One digit changed to another is another document, wherever it stands. */
static void digits_count(struct span body, size_t where)
{
    uint8_t before[HOLD_DIGEST], after[HOLD_DIGEST];
    char *copy;

    if (body.n == 0 || body.p[where %= body.n] < '0' || body.p[where] > '8')
        return;
    copy = malloc(body.n);
    if (!copy)
        abort();
    memcpy(copy, body.p, body.n);
    copy[where]++;
    digest(BODY_JSON, SPAN_NONE, body, before);
    digest(BODY_JSON, SPAN_NONE, span_of(copy, body.n), after);
    if (memcmp(before, after, HOLD_DIGEST) == 0)
        abort();
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of((const char *)data, size), body, query;
    uint8_t one[HOLD_DIGEST], two[HOLD_DIGEST];
    size_t cut;

    if (size < 2)
        return 0;
    cut = 2 + data[0] % (size - 1);
    query = span_of(all.p + 2, cut < size ? cut - 2 : size - 2);
    body = span_from(all, cut < size ? cut : size);
    for (unsigned t = BODY_NONE; t <= BODY_OTHER; t++) {
        digest(t, query, body, one);
        digest(t, query, body, two);
        if (memcmp(one, two, HOLD_DIGEST) != 0)
            abort();
    }
    white_space_is_nothing(body);
    digits_count(body, data[1]);
    return 0;
}
