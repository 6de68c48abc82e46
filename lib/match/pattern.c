/* Detectors from rules files.
 *
 * The stream scan reports ends only, which is cheap, and is used as a hint that there is something.
 * Starts come from a second, block-mode database that runs over the window and enough text before
 * it, and only then. What counts as a match is what that one says of the whole text: for every end
 * the leftmost start. An end within the last two bytes is left for the next step, as `\b` and `$`
 * look at what follows. */
#include "match_internal.h"

#define LOOK_AHEAD 2u

void pattern_seen(struct match_stream *s, uint64_t end)
{
    if (end > s->pattern_seen)
        s->pattern_seen = end;
}

struct look {
    struct match_stream *s;
    const struct view *v;
    uint64_t start; /* absolute offset of the text scanned */
    uint64_t until; /* ends after this are not decided yet */
};

static uint32_t keep_bytes(const struct match_stream *s, unsigned id, uint32_t n)
{
    if (s->keep[id] == MATCH_KEEP_NONE)
        return 0;
    return n < 8 ? n / 2 : 4; /* a short match must not be kept whole */
}

/* `from`, or the first decoded byte that is within PATTERN_REACH raw bytes of `end`. */
static uint32_t reach_from(const struct view *v, uint32_t from, uint32_t end)
{
    uint32_t raw = view_raw(v, end), hi = end;

    if (raw - view_raw(v, from) <= PATTERN_REACH)
        return from;
    while (from < hi) {
        uint32_t mid = (from + hi) / 2;
        if (raw - view_raw(v, mid) <= PATTERN_REACH)
            hi = mid;
        else
            from = mid + 1;
    }
    return from;
}

static int pattern_match(unsigned id, unsigned long long from, unsigned long long to,
                         unsigned flags, void *arg)
{
    const struct look *l = arg;
    struct match_stream *s = l->s;
    uint64_t begin = l->start + from, end = l->start + to;
    const uint8_t *t = s->w->joined + from;
    uint32_t n = (uint32_t)(to - from), keep = keep_bytes(s, id, n), at, stop;

    (void)flags;
    if (!(s->patterns >> id & 1) || end <= s->pattern_done || end > l->until)
        return 0;
    if (s->db->det[id].luhn && !luhn_text(t, n))
        return 0;
    if (!(s->found.which >> id & 1))
        s->pattern_end[id] = 0;
    if (begin >= s->pattern_end[id])
        match_found_add(&s->found, id, 1);
    if (end > s->pattern_end[id])
        s->pattern_end[id] = end;
    stop = (uint32_t)(end - s->base);
    at = reach_from(l->v, begin > s->base ? (uint32_t)(begin - s->base) : 0, stop);
    if (at + keep < stop)
        plan_mark(s, l->v, at, stop - keep, plan_bits(s, t, n));
    return 0;
}

bool pattern_decide(struct match_stream *s, const struct view *v)
{
    struct match_worker *w = s->w;
    uint64_t end = s->base + v->n;
    struct look l = {s, v, s->base - s->history_n, v->last ? end : end - LOOK_AHEAD};
    hs_error_t rc = HS_SUCCESS;

    if (!v->last && end < LOOK_AHEAD)
        return true;
    if (s->pattern_seen > s->pattern_done) {
        memcpy(w->joined, s->history, s->history_n);
        memcpy(w->joined + s->history_n, v->t, v->n);
        rc = hs_scan(s->db->som, (const char *)w->joined, s->history_n + v->n, 0, w->scratch,
                     pattern_match, &l);
    }
    if (l.until > s->pattern_done)
        s->pattern_done = l.until;
    return rc == HS_SUCCESS;
}

/* Ends from pattern_done + 1 on are open: they reach back `reach` decoded bytes, but not further
 * than PATTERN_REACH raw ones. */
uint32_t pattern_tail(const struct match_stream *s, const struct view *v)
{
    uint32_t open = v->n > LOOK_AHEAD ? v->n - LOOK_AHEAD + 1 : 0;
    uint32_t from = open > s->reach ? open - s->reach : 0;

    return reach_from(v, from, open);
}

void pattern_remember(struct match_stream *s, const struct view *v, uint32_t gone)
{
    uint32_t want = s->reach + LOOK_AHEAD, keep;

    if (gone >= want) {
        memcpy(s->history, v->t + gone - want, want);
        s->history_n = want;
        return;
    }
    keep = s->history_n < want - gone ? s->history_n : want - gone;
    memmove(s->history, s->history + s->history_n - keep, keep);
    memcpy(s->history + keep, v->t, gone);
    s->history_n = keep + gone;
}
