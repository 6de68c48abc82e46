/* Payment card numbers.
 *
 * What a card is: 13 to 19 digits, single spaces or dashes between them, made of whole *tokens* (a
 * token is a maximal row of digits), whose first digits and length belong to a brand and whose
 * check digit is right (ISO/IEC 7812-1). Letters may stand beside it (`pi_4242424242424242` is
 * one), digits may not. A token after `digit.` is a decimal fraction and starts no card; a `.`
 * behind a card is allowed. In a row of tokens the leftmost start wins, there the longest card, and
 * the search goes on behind it. A token of more than 19 digits belongs to no card. */
#include "match_internal.h"

#define CARD_MIN 13u
#define CARD_MAX 19u

#define LEN(n)     (1u << (n))
#define LENS(a, b) ((LEN((b) + 1) - 1) & ~(LEN(a) - 1))

/* By the first four digits. A number may fall under several brands: any will do. */
static const struct brand {
    uint16_t lo, hi;
    uint32_t lengths;
} brands[] = {
    {4000, 4999, LEN(13) | LEN(16) | LEN(19)}, /* Visa */
    {5100, 5599, LEN(16)},                     /* Mastercard */
    {2221, 2720, LEN(16)},
    {3400, 3499, LEN(15)}, /* American Express */
    {3700, 3799, LEN(15)},
    {6011, 6011, LENS(16, 19)}, /* Discover */
    {6440, 6599, LENS(16, 19)},
    {3000, 3059, LENS(14, 19)}, /* Diners Club */
    {3095, 3095, LENS(14, 19)},
    {3600, 3699, LENS(14, 19)},
    {3800, 3999, LENS(14, 19)},
    {3528, 3589, LENS(16, 19)}, /* JCB */
    {6200, 6299, LENS(16, 19)}, /* UnionPay */
    {8100, 8199, LENS(16, 19)},
    {5000, 5099, LENS(13, 19)}, /* Maestro */
    {5600, 5899, LENS(13, 19)},
    {6000, 6999, LENS(13, 19)},
    {2200, 2204, LENS(16, 19)}, /* Mir */
    {8200, 8299, LEN(16)},      /* RuPay */
    {9792, 9792, LEN(16)},      /* Troy */
};

bool luhn_digits(const uint8_t *digit, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned d = digit[n - 1 - i];
        if (i & 1)
            d = d > 4 ? 2 * d - 9 : 2 * d;
        sum += d;
    }
    return sum % 10 == 0;
}

bool luhn_text(const uint8_t *t, size_t n)
{
    unsigned sum = 0, seen = 0;

    for (size_t i = n; i-- > 0;) {
        if (!is_digit(t[i]))
            continue;
        unsigned d = t[i] - (unsigned)'0';
        if (seen++ & 1)
            d = d > 4 ? 2 * d - 9 : 2 * d;
        sum += d;
    }
    return seen > 1 && sum % 10 == 0;
}

bool card_number(const uint8_t *digit, unsigned n)
{
    unsigned head;

    if (n < CARD_MIN || n > CARD_MAX)
        return false;
    head = digit[0] * 1000u + digit[1] * 100u + digit[2] * 10u + digit[3];
    for (size_t i = 0; i < sizeof(brands) / sizeof(*brands); i++)
        if (head >= brands[i].lo && head <= brands[i].hi && (brands[i].lengths >> n & 1))
            return luhn_digits(digit, n);
    return false;
}

static bool is_separator(uint8_t c)
{
    return c == ' ' || c == '-';
}

/* The byte before `i`, looking past the window's start. `i` is at least -1. */
static uint8_t before(const struct match_stream *s, const struct view *v, uint32_t i, unsigned back)
{
    return i >= back ? v->t[i - back] : s->prev[back - 1 - i];
}

static bool may_start(const struct match_stream *s, const struct view *v, uint32_t i)
{
    uint8_t c = v->t[i];

    if (c < '2' || c == '7')
        return false;
    return !(before(s, v, i, 1) == '.' && is_digit(before(s, v, i, 2)));
}

struct card {
    uint8_t digit[CARD_MAX];
    unsigned n;   /* digits read */
    unsigned len; /* digits of the longest card so far; 0: none */
    uint32_t end; /* its end */
};

enum verdict { CARD_NO, CARD_YES, CARD_OPEN };

/* The longest card that starts with the token at `i`. */
static enum verdict card_at(const struct view *v, uint32_t i, struct card *c)
{
    c->n = c->len = 0;
    for (;;) {
        while (i < v->n && is_digit(v->t[i])) {
            if (c->n == CARD_MAX)
                return c->len ? CARD_YES : CARD_NO;
            c->digit[c->n++] = v->t[i++] - '0';
        }
        if (i == v->n && !v->last)
            return CARD_OPEN;
        if (card_number(c->digit, c->n)) {
            c->len = c->n;
            c->end = i;
        }
        if (i == v->n || !is_separator(v->t[i]) || c->n == CARD_MAX)
            break;
        if (++i == v->n && !v->last)
            return CARD_OPEN;
        if (i == v->n || !is_digit(v->t[i]))
            break;
    }
    return c->len ? CARD_YES : CARD_NO;
}

/* Outside JSON strings masked digits become 0, and with the first six kept the result could be a
 * card once more: one digit is then made 1, which breaks the check digit. */
static bool zeros_are_card(const struct card *c)
{
    uint8_t digit[CARD_MAX];

    memcpy(digit, c->digit, c->len);
    memset(digit + 6, 0, c->len - 10);
    return luhn_digits(digit, c->len);
}

static void card_mask(struct match_stream *s, const struct view *v, const struct card *c,
                      uint32_t i)
{
    unsigned keep = s->keep[s->card_id], at = 0;
    unsigned first = keep == MATCH_KEEP_BIN_LAST4 ? 6 : 0;
    unsigned last = keep == MATCH_KEEP_NONE ? c->len : c->len - 4;

    for (uint32_t end; at < last; i = end) {
        for (; !is_digit(v->t[i]) || at < first; i++)
            at += is_digit(v->t[i]);
        for (end = i; at < last && end < c->end && is_digit(v->t[end]); end++)
            at++;
        plan_mark(s, v, i, end, PLAN_MASK);
        if (first && zeros_are_card(c))
            plan_mark(s, v, i, i + 1, PLAN_ONE);
        first = 0;
    }
    match_found_add(&s->found, s->card_id, 1);
}

/* Decides all starts from `i` to the end of the row of tokens that `i` is in. */
static void card_row(struct match_stream *s, const struct view *v, uint32_t i)
{
    struct card c;

    s->card_open = NOWHERE;
    if (i < v->n && is_digit(before(s, v, i, 1)))
        while (i < v->n && is_digit(v->t[i]))
            i++; /* the rest of a token that starts no card */
    for (;; i++) {
        if (i < v->n && is_digit(v->t[i])) {
            enum verdict is = may_start(s, v, i) ? card_at(v, i, &c) : CARD_NO;
            if (is == CARD_OPEN) {
                s->card_open = i;
                break;
            }
            if (is == CARD_YES)
                card_mask(s, v, &c, i);
            if (is == CARD_YES)
                i = c.end;
            while (i < v->n && is_digit(v->t[i]))
                i++;
        }
        if (i + 1 >= v->n || !is_separator(v->t[i]) || !is_digit(v->t[i + 1]))
            break;
    }
    s->card_done = i;
}

/* The start of the row of tokens that ends at `end`, as far as it is not decided. */
static uint32_t row_start(const struct match_stream *s, const struct view *v, uint32_t end)
{
    uint32_t i = end;

    while (i > s->card_done &&
           (is_digit(v->t[i - 1]) || (is_separator(v->t[i - 1]) && i > s->card_done + 1 &&
                                      is_digit(v->t[i - 2]) && (i == end || is_digit(v->t[i])))))
        i--;
    return i;
}

/* Whether a card may lie over `i`. */
static bool in_row(const struct view *v, uint32_t i)
{
    if (is_digit(v->t[i]))
        return true;
    return is_separator(v->t[i]) && is_digit(v->t[i - 1]) && i + 1 < v->n && is_digit(v->t[i + 1]);
}

void card_find(struct match_stream *s, const struct view *v)
{
    uint32_t i;

    if (s->card_open != NOWHERE)
        card_row(s, v, s->card_open);
    for (i = s->card_done + CARD_MIN - 1; i < v->n && s->card_open == NOWHERE;) {
        if (in_row(v, i)) {
            card_row(s, v, row_start(s, v, i + 1));
            i = s->card_done + CARD_MIN - 1;
        } else {
            i += CARD_MIN; /* every card that starts before i would lie over it */
        }
    }
}

uint32_t card_tail(struct match_stream *s, const struct view *v)
{
    if (s->card_open == NOWHERE && s->card_done < v->n)
        card_row(s, v, row_start(s, v, v->n));
    return s->card_open == NOWHERE ? v->n : s->card_open;
}
