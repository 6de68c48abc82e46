/* E-mail addresses, as people and programs write them (a practical part of RFC 5321 section 4.1.2).
 *
 * Every '@' is decided by itself. Local part: the row of up to 64 of the characters below before
 * it, without leading dots, a letter or digit among them. Domain: labels of letters, digits and
 * inner hyphens of up to 63 (RFC 1035 section 2.3.4), the last of at least two beginning with two
 * letters or more and ending where neither letter nor digit follows; the longest that fits into 253
 * characters. */
#include "match_internal.h"

#define LOCAL_MAX  64u
#define LABEL_MAX  63u
#define DOMAIN_MAX 253u
/* With every character written as an escape the domain ends here: 64 * 6 + 6 + this is less than
 * MATCH_LOOKBACK. */
#define DOMAIN_RAW_MAX 600u

const char mail_expression[] = "[A-Za-z0-9._%+\\-]@[A-Za-z0-9]";

static bool is_alnum(uint8_t c)
{
    return is_digit(c) || is_letter(c);
}

static bool is_local(uint8_t c)
{
    return is_alnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}

/* Where the row of local characters before `end` starts. */
static uint32_t local_row(const struct view *v, uint32_t end)
{
    uint32_t i = end;

    while (i > 0 && end - i < LOCAL_MAX && is_local(v->t[i - 1]))
        i--;
    return i;
}

/* The local part's start, `at` if there is none. */
static uint32_t local_start(const struct view *v, uint32_t at)
{
    uint32_t i = local_row(v, at), k;

    while (i < at && v->t[i] == '.')
        i++;
    for (k = i; k < at && !is_alnum(v->t[k]); k++)
        ;
    return k < at ? i : at;
}

struct label {
    unsigned index, n;
    unsigned letters; /* at its start; the label may be the last while n == letters */
    bool hyphen;      /* its last character is one */
};

/* One character of a label; false: the domain ends before it. */
static bool label_add(struct label *l, uint8_t c)
{
    if (c == '.') {
        if (l->n == 0 || l->hyphen)
            return false;
        *l = (struct label){.index = l->index + 1};
        return true;
    }
    if (!(is_alnum(c) || (c == '-' && l->n > 0)) || l->n == LABEL_MAX)
        return false;
    l->letters += is_letter(c) && l->letters == l->n;
    l->hyphen = c == '-';
    l->n++;
    return true;
}

static bool label_may_end(const struct label *l)
{
    return l->index > 0 && l->letters >= 2 && l->letters == l->n;
}

/* The end of the domain that starts at `from`: NOWHERE if the window is too short to tell, `from`
 * if there is none. */
static uint32_t domain_end(const struct view *v, uint32_t from)
{
    uint32_t end = from, i = from, limit = view_raw(v, from) + DOMAIN_RAW_MAX;
    struct label l = {0};

    for (;; i++) {
        bool stop = i == v->n || i - from == DOMAIN_MAX || (v->escapes && view_raw(v, i) >= limit);
        if (i == v->n && !v->last)
            return NOWHERE;
        if (label_may_end(&l) && (i == v->n || !is_alnum(v->t[i])))
            end = i;
        if (stop || !label_add(&l, v->t[i]))
            return end;
    }
}

static void mail_at(struct match_stream *s, const struct view *v, uint32_t at)
{
    uint32_t start = local_start(v, at), end;
    unsigned bits;

    if (start == at)
        return;
    end = domain_end(v, at + 1);
    if (end == NOWHERE) {
        s->mail_open = at;
        return;
    }
    if (end == at + 1)
        return;
    bits = plan_bits(s, v->t + start, end - start);
    match_found_add(&s->found, s->mail_id, 1);
    if (s->keep[s->mail_id] != MATCH_KEEP_NONE)
        end -= 4; /* the shortest, a@b.co, keeps what follows the '@' */
    plan_mark(s, v, start, end, bits);
}

/* An '@' that is no longer in the window had no local part to wait for. */
void mail_seen(struct match_stream *s, const struct view *v, uint32_t end)
{
    if (end >= 2)
        mail_at(s, v, end - 2);
}

/* Only one '@' can be open: the domain behind it reaches the window's end. */
void mail_resume(struct match_stream *s, const struct view *v)
{
    uint32_t at = s->mail_open;

    s->mail_open = NOWHERE;
    if (at != NOWHERE)
        mail_at(s, v, at);
}

uint32_t mail_tail(const struct match_stream *s, const struct view *v)
{
    if (s->mail_open != NOWHERE)
        return local_start(v, s->mail_open);
    if (v->n && v->t[v->n - 1] == '@')
        return local_start(v, v->n - 1) == v->n - 1 ? v->n : local_row(v, v->n - 1);
    return local_row(v, v->n);
}
