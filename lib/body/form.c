/* application/x-www-form-urlencoded, with the nesting that Stripe and Rails read. A pair is a path
 * to a value; what can be read in two ways, by order, by index or by name, is put in doubt. */
#include "body_internal.h"

#define MEMBERS_MAX 2048 /* of all containers that must be counted */
#define SLOTS       4096 /* a power of two, and at most half of it used */

/* Distinct members of wanted containers. The hash is keyed, as the names are a stranger's. */
struct member {
    const struct body_node *of;
    struct span name;
    uint64_t hash;
};

struct form {
    struct body_reader *r;
    unsigned pairs;
    bool keep; /* the pair's decoded text is still needed */
    uint64_t seed;
    unsigned members;
    bool slots_ready;
    uint16_t slots[SLOTS]; /* place in `member` + 1 */
    struct member member[MEMBERS_MAX];
};

static void put_in_doubt(struct form *f, const struct body_node *n)
{
    body_state(f->r, n)->flags |= BODY_AGAIN;
    f->r->doubt = true;
}

/* ----------------------------------------------------------- counting members */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t member_hash(uint64_t seed, const struct body_node *of, struct span name)
{
    uint64_t h = mix(seed ^ of->id, 0x9e3779b97f4a7c15u ^ name.n), word;

    for (; name.n >= 8; name = span_from(name, 8)) {
        memcpy(&word, name.p, 8);
        h = mix(h ^ word, 0xe7037ed1a0b428dbu);
    }
    word = 0;
    memcpy(&word, name.p, name.n);
    return mix(h ^ word, 0x8ebc6af09c88c6e3u ^ seed);
}

/* The slot that holds the member, or the free one where it belongs. */
static uint16_t *find_slot(struct form *f, const struct member *m)
{
    unsigned at = (unsigned)m->hash & (SLOTS - 1);

    for (; f->slots[at]; at = (at + 1) & (SLOTS - 1)) {
        const struct member *have = &f->member[f->slots[at] - 1];
        if (have->hash == m->hash && have->of == m->of && span_eq(have->name, m->name))
            break;
    }
    return &f->slots[at];
}

static bool count_member(struct form *f, const struct body_node *of, struct span name)
{
    struct member m = {of, name, member_hash(f->seed, of, name)};
    uint16_t *slot;

    if (!f->slots_ready)
        memset(f->slots, 0, sizeof(f->slots));
    f->slots_ready = true;
    slot = find_slot(f, &m);
    if (*slot)
        return true;
    if (f->members == MEMBERS_MAX)
        return body_fail(f->r, BODY_PROBLEM_TOO_MANY, f->r->body.p);
    f->member[f->members++] = m;
    *slot = (uint16_t)f->members;
    body_state(f->r, of)->members++;
    f->keep = true;
    return true;
}

/* ---------------------------------------------------------------------- steps */

/* `x[]` and `x[][k]`: a new element each time. That holds for all readers only while the same
 * follows each time: with two keys, Rails joins them in one element and PHP does not. */
static struct body_node *step_empty(struct form *f, const struct body_node *n, struct span rest)
{
    struct body_state *st = body_state(f->r, n);

    st->flags |= BODY_EMPTY;
    if (rest.n >= UINT16_MAX || memmem(rest.p, rest.n, "[]", 2)) {
        put_in_doubt(f, n);
    } else if (st->members == 0) {
        st->rest = rest.p;
        st->rest_n = (uint16_t)rest.n;
        f->keep = true;
    } else if (!span_eq(span_of(st->rest, st->rest_n), rest)) {
        put_in_doubt(f, n);
    }
    return body_find_index(f->r->paths, n, st->members++);
}

/* A name that is an index may be either. Should both be wanted, the name is in doubt. */
static struct body_node *step_index(struct form *f, const struct body_node *n, struct body_step s)
{
    struct body_state *st = body_state(f->r, n);
    uint16_t index = s.index < UINT16_MAX ? (uint16_t)s.index : UINT16_MAX;
    struct body_node *element = body_find_index(f->r->paths, n, s.index);
    struct body_node *member = body_find_key(f->r, n, s.name);

    st->flags |= BODY_DIGIT;
    if (st->highest < index)
        st->highest = index;
    if (element && member)
        put_in_doubt(f, member);
    return element ? element : member;
}

/* From node `n` by one step; `rest` is what follows it in the key. *to is NULL when nothing that
 * lies there is wanted. */
static bool take_step(struct form *f, const struct body_node *n, struct body_step s,
                      struct span rest, struct body_node **to)
{
    struct body_state *st = body_state(f->r, n);
    bool counted = n->elements > 0 || n->path != BODY_NO_PATH;

    st->flags |= BODY_INNER;
    if (s.kind == BODY_STEP_EMPTY) {
        *to = step_empty(f, n, rest);
        return true;
    }
    if (s.kind == BODY_STEP_INDEX) {
        *to = step_index(f, n, s);
    } else {
        st->flags |= BODY_NAME;
        *to = body_find_key(f->r, n, s.name);
    }
    return !counted || count_member(f, n, s.name);
}

static void put_value(struct form *f, const struct body_node *n, struct span raw, struct span text)
{
    struct body_state *st = body_state(f->r, n);
    struct body_value *v = body_value_at(f->r, n);

    if (st->flags & BODY_SEEN)
        put_in_doubt(f, n);
    st->flags |= BODY_SEEN;
    if (!v)
        return;
    f->keep = true;
    *v = (struct body_value){
        .kind = body_number_valid(text) ? BODY_NUMBER : BODY_STRING, .raw = raw, .text = text};
}

static bool take_pair(struct form *f, struct span key, struct span raw, struct span text)
{
    struct body_node *n = f->r->paths->root, *next;
    struct body_step s = body_first_step(&key);

    if (s.kind == BODY_STEP_ODD) {
        n = body_find_key(f->r, n, s.name);
        if (n)
            put_in_doubt(f, n);
        return true;
    }
    for (;; s = body_next_step(&key)) {
        if (s.kind == BODY_STEP_END) {
            put_value(f, n, raw, text);
            return true;
        }
        if (s.kind == BODY_STEP_ODD) {
            put_in_doubt(f, n);
            return true;
        }
        if (!take_step(f, n, s, key, &next))
            return false;
        if (!next)
            return true;
        n = next;
    }
}

/* ------------------------------------------------------------------- decoding */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte that `p` stands for, and how many bytes it takes; 0 if it is malformed. */
static size_t decode_byte(const char *p, const char *end, char *c)
{
    int high, low;

    *c = *p == '+' ? ' ' : *p;
    if (*p != '%')
        return 1;
    if (end - p < 3)
        return 0;
    high = hex_value(p[1]);
    low = hex_value(p[2]);
    if (high < 0 || low < 0)
        return 0;
    *c = (char)(high << 4 | low);
    return 3;
}

static size_t plain_length(struct span s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != '%' && s.p[n] != '+')
        n++;
    return n;
}

/* The text of a key or a value: itself if there is nothing to decode, else at the front of what is
 * left of the scratch, which is taken. */
static bool decode(struct body_reader *r, struct span s, struct span *text)
{
    size_t n = plain_length(s);
    const char *p = s.p + n, *end = s.p + s.n;
    char *to = r->scratch;

    *text = s;
    if (n < s.n) {
        if (n > (size_t)(r->scratch_end - to))
            return body_fail(r, BODY_PROBLEM_SCRATCH, s.p);
        if (n)
            memcpy(to, s.p, n);
        for (to += n; p < end; to++) {
            char c;
            size_t used = decode_byte(p, end, &c);

            if (used == 0)
                return body_fail(r, BODY_PROBLEM_MALFORMED, p);
            if (to == r->scratch_end)
                return body_fail(r, BODY_PROBLEM_SCRATCH, p);
            *to = c;
            p += used;
        }
        *text = span_of(r->scratch, (size_t)(to - r->scratch));
        r->scratch = to;
    }
    return body_utf8_valid(*text) || body_fail(r, BODY_PROBLEM_NOT_UTF8, s.p);
}

static bool read_pair(struct form *f, struct span pair)
{
    struct body_reader *r = f->r;
    struct span value = pair, raw_key = span_cut(&value, '='), key, text;
    char *mark = r->scratch;

    if (++f->pairs > BODY_PAIRS_MAX)
        return body_fail(r, BODY_PROBLEM_TOO_MANY, pair.p);
    if (!value.p)
        value = span_of(pair.p + pair.n, 0);
    if (!decode(r, raw_key, &key) || !decode(r, value, &text))
        return false;
    f->keep = false;
    if (!take_pair(f, key, value, text))
        return false;
    if (!f->keep)
        r->scratch = mark;
    return true;
}

bool body_read_form(struct body_reader *r)
{
    struct form f; /* `slots` and `member` are set as they are used */
    struct span rest = r->body;
    const char *semicolon = rest.n ? memchr(rest.p, ';', rest.n) : NULL;

    /* Some readers take ";" for "&", and no writer leaves it unescaped. */
    if (semicolon)
        return body_fail(r, BODY_PROBLEM_MALFORMED, semicolon);
    f.r = r;
    f.pairs = f.members = 0;
    f.slots_ready = false;
    f.seed = mix((uintptr_t)&f ^ 0xa0761d6478bd642fu, (uintptr_t)r->body.p ^ 0xe7037ed1a0b428dbu);
    while (rest.p) {
        struct span pair = span_cut(&rest, '&');
        if (pair.n && !read_pair(&f, pair))
            return false;
    }
    body_settle_form(r);
    return true;
}
