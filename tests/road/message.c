#include "road.h"

#include <stdlib.h>
#include <strings.h>

enum { HEAD_MAX = 64 << 10 };

/* Of the field Content-Length, 0 without one; SIZE_MAX: not a number. */
static size_t content_length(const char *p, const char *end)
{
    static const char name[] = "content-length:";

    while (p < end) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        const char *next = line ? line + 1 : end;

        if ((*p | 0x20) == 'c' && (size_t)(next - p) > sizeof(name) &&
            strncasecmp(p, name, sizeof(name) - 1) == 0) {
            struct span value =
                span_of(p + sizeof(name) - 1, (size_t)(next - p) - sizeof(name) + 1);
            uint64_t v;

            value.n -= 2; /* CRLF */
            return span_u64(span_trim(value), &v) ? (size_t)v : SIZE_MAX;
        }
        p = next;
    }
    return 0;
}

void road_message_reset(struct road_message *m)
{
    free(m->head);
    *m = (struct road_message){0};
}

static enum road_verdict body(struct road_message *m, size_t n)
{
    if (n > m->left)
        return ROAD_BAD;
    m->left -= n;
    if (m->left)
        return ROAD_MORE;
    m->inside = false;
    return ROAD_WHOLE;
}

/* A head that has not come in one piece: kept until it is complete. */
static enum road_verdict keep(struct road_message *m, const char *p, size_t n)
{
    if (!m->head && !(m->head = malloc(HEAD_MAX)))
        return ROAD_BAD;
    if (n > HEAD_MAX - m->kept)
        return ROAD_BAD;
    memcpy(m->head + m->kept, p, n);
    m->kept += n;
    return ROAD_MORE;
}

static enum road_verdict whole_head(struct road_message *m, const char *p, const char *end,
                                    size_t n, const char *start)
{
    if ((size_t)(end - p) < strlen(start) || memcmp(p, start, strlen(start)) != 0)
        return ROAD_BAD;
    m->left = content_length(p, end);
    if (m->left == SIZE_MAX)
        return ROAD_BAD;
    m->inside = true;
    return body(m, n - (size_t)(end - p));
}

enum road_verdict road_message_take(struct road_message *m, const char *p, size_t n,
                                    const char *start)
{
    enum road_verdict v;
    const char *end;

    if (m->inside)
        return body(m, n);
    if (m->head) {
        if (keep(m, p, n) == ROAD_BAD)
            return ROAD_BAD;
        p = m->head;
        n = m->kept;
    }
    end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return m->head ? ROAD_MORE : keep(m, p, n);
    v = whole_head(m, p, end + 4, n, start);
    free(m->head);
    m->head = NULL;
    m->kept = 0;
    return v;
}
