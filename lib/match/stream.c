/* The road: a window goes through in steps of bounded size. */
#include "match_internal.h"

bool stream_start(struct match_stream *s, struct match_worker *w, const struct match_db *db,
                  const struct match_policy *p, enum match_syntax syntax, hs_stream_t *hs)
{
    match_set all = db->count == 64 ? UINT64_MAX : (1ull << db->count) - 1;

    memset(s, 0, offsetof(struct match_stream, found));
    match_found_clear(&s->found);
    s->w = w;
    s->db = db;
    s->hs = hs;
    s->set = p->detectors & all;
    s->keep = p->keep;
    s->syntax = syntax;
    s->card_open = s->mail_open = NOWHERE;
    s->patterns = s->set & db->patterns;
    s->idle = !s->set && !db->secrets;
    for (unsigned i = 0; i < db->count; i++) {
        if (!(s->set >> i & 1))
            continue;
        if (db->det[i].kind == KIND_CARD) {
            s->cards = true;
            s->card_id = i;
        } else if (db->det[i].kind == KIND_MAIL) {
            s->mail = true;
            s->mail_id = i;
        } else if (db->det[i].width > s->reach) {
            s->reach = db->det[i].width;
        }
    }
    return s->idle || !hs || hs_reset_stream(hs, 0, NULL, NULL, NULL) == HS_SUCCESS;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *arg)
{
    struct match_stream *s = arg;
    const struct view *v = &s->w->view;
    uint32_t end = (uint32_t)(to - s->base); /* not for patterns: they may end before the window */

    (void)from;
    (void)flags;
    if (id >= ID_TRIGGER)
        secret_seen(s, v, id - ID_TRIGGER, end);
    else if (!(s->set >> id & 1))
        return 0;
    else if (s->mail && id == s->mail_id)
        mail_seen(s, v, end);
    else
        pattern_seen(s, to);
    return 0;
}

static bool scan(struct match_stream *s, const struct view *v)
{
    hs_scratch_t *scratch = s->w->scratch;
    const char *p = (const char *)v->t + s->held_text;
    uint32_t n = v->n - s->held_text;

    if (s->cards)
        card_find(s, v);
    if (s->mail)
        mail_resume(s, v);
    if (s->whole) {
        if (n && s->db->whole && hs_scan(s->db->whole, p, n, 0, scratch, on_match, s) != HS_SUCCESS)
            return false;
    } else if (s->hs) {
        if (n && hs_scan_stream(s->hs, p, n, 0, scratch, on_match, s) != HS_SUCCESS)
            return false;
        if (v->last && hs_reset_stream(s->hs, 0, scratch, on_match, s) != HS_SUCCESS)
            return false;
    }
    if (s->patterns && !pattern_decide(s, v))
        return false;
    return !s->failed;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The first decoded byte that must wait. */
static uint32_t tail(struct match_stream *s, const struct view *v)
{
    uint32_t from = v->n;

    if (s->cards)
        from = least(from, card_tail(s, v));
    if (v->last)
        return v->n;
    if (s->mail)
        from = least(from, mail_tail(s, v));
    if (s->db->secrets)
        from = least(from, literals_tail(s->db->secrets, v->t, v->n));
    if (s->patterns)
        from = least(from, pattern_tail(s, v));
    return view_atom(v, from);
}

/* Offsets from the new start of the window. */
static void move_on(struct match_stream *s, const struct view *v, uint32_t gone)
{
    if (s->patterns)
        pattern_remember(s, v, gone);
    if (gone > 1)
        s->prev[1] = v->t[gone - 2];
    else if (gone == 1)
        s->prev[1] = s->prev[0];
    if (gone)
        s->prev[0] = v->t[gone - 1];
    s->base += gone;
    s->held_text = v->n - gone;
    s->card_done = s->card_done > gone ? s->card_done - gone : 0;
    if (s->card_open != NOWHERE)
        s->card_open -= gone;
    if (s->mail_open != NOWHERE)
        s->mail_open -= gone;
}

/* One step over raw[0..n), of which s->held are known; how many may leave. */
static uint32_t step(struct match_stream *s, uint8_t *raw, uint32_t n, bool last)
{
    struct match_worker *w = s->w;
    struct view *v = &w->view;
    uint32_t from, gone;

    view_build(v, s->syntax, raw, n, last, &w->room);
    plan_load(s);
    if (!scan(s, v))
        s->failed = true;
    from = tail(s, v);
    gone = view_raw(v, from);
    if (n - gone > MATCH_LOOKBACK)
        s->failed = true;
    if (s->failed) {
        plan_save(s, n, n);
        return 0;
    }
    move_on(s, v, from);
    plan_write(s, v, raw, gone);
    plan_save(s, gone, n);
    s->held = n - gone;
    return gone;
}

size_t match_stream_scan(struct match_stream *s, char *window, size_t held, size_t added, bool last)
{
    uint8_t *raw = (uint8_t *)window;
    size_t left = added, gone = 0;

    if (s->ended || held != s->held)
        s->failed = true; /* what was decided does not fit these bytes */
    if (s->failed)
        return SIZE_MAX;
    s->ended = last;
    if (s->idle)
        return added;
    do {
        uint32_t more = left > PIECE ? PIECE : (uint32_t)left;
        left -= more;
        gone += step(s, raw + gone, s->held + more, last && !left);
        if (s->failed)
            return SIZE_MAX;
    } while (left);
    return gone;
}

const struct match_found *match_stream_found(const struct match_stream *s)
{
    return &s->found;
}

bool match_buffer(struct match_worker *w, const struct match_db *db, const struct match_policy *p,
                  enum match_syntax syntax, char *buf, size_t n, struct match_found *found)
{
    struct slot *slot = slot_find(w, db);
    struct match_stream *s = &w->own;
    bool whole = n <= PIECE;

    if (!slot || !stream_start(s, w, db, p, syntax, whole ? NULL : slot->own))
        return false;
    s->whole = whole;
    if (match_stream_scan(s, buf, 0, n, true) != n)
        return false;
    match_found_join(found, &s->found);
    return true;
}
