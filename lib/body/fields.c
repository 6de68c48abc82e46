/* Fields of a form, whichever way they come, with the nesting that Stripe and Rails read. A field
 * is a path to a value; what can be read in two ways, by order, by index or by name, is put in
 * doubt. */
#include "body_internal.h"

#define SLOTS_MASK (BODY_MEMBER_SLOTS - 1)
#define SIZE_TEXT  20 /* digits of a size */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

void body_fields_begin(struct body_fields *f, struct body_reader *r)
{
    f->r = r;
    f->count = f->members = 0;
    f->slots_ready = false;
    f->seed = mix((uintptr_t)f ^ 0xa0761d6478bd642fu, (uintptr_t)r->body.p ^ 0xe7037ed1a0b428dbu);
}

static void put_in_doubt(struct body_fields *f, const struct body_node *n)
{
    body_state(f->r, n)->flags |= BODY_AGAIN;
    f->r->doubt = true;
}

/* ----------------------------------------------------------- counting members */

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
static uint16_t *find_slot(struct body_fields *f, const struct body_member *m)
{
    unsigned at = (unsigned)m->hash & SLOTS_MASK;

    for (; f->slots[at]; at = (at + 1) & SLOTS_MASK) {
        const struct body_member *have = &f->member[f->slots[at] - 1];
        if (have->hash == m->hash && have->of == m->of && span_eq(have->name, m->name))
            break;
    }
    return &f->slots[at];
}

static bool count_member(struct body_fields *f, const struct body_node *of, struct span name)
{
    struct body_member m = {of, name, member_hash(f->seed, of, name)};
    uint16_t *slot;

    if (!f->slots_ready)
        memset(f->slots, 0, sizeof(f->slots));
    f->slots_ready = true;
    slot = find_slot(f, &m);
    if (*slot)
        return true;
    if (f->members == BODY_MEMBERS_MAX)
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
static struct body_node *step_empty(struct body_fields *f, const struct body_node *n,
                                    struct span rest)
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
static struct body_node *step_index(struct body_fields *f, const struct body_node *n,
                                    struct body_step s)
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
static bool take_step(struct body_fields *f, const struct body_node *n, struct body_step s,
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

/* --------------------------------------------------------------------- values */

static struct body_value text_value(struct span raw, struct span text)
{
    return (struct body_value){.kind = BODY_STRING, .raw = raw, .text = text};
}

/* Room at the front of what is left of the scratch. */
static char *take_scratch(struct body_reader *r, size_t n, const char *at)
{
    char *p = r->scratch;

    if (n > (size_t)(r->scratch_end - p)) {
        body_fail(r, BODY_PROBLEM_SCRATCH, at);
        return NULL;
    }
    r->scratch += n;
    return p;
}

static bool size_text(struct body_reader *r, struct span content, struct span *text)
{
    char digits[SIZE_TEXT], *to;
    size_t n = SIZE_TEXT, left = content.n;

    do {
        digits[--n] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    to = take_scratch(r, SIZE_TEXT - n, content.p);
    if (to)
        memcpy(to, digits + n, SIZE_TEXT - n);
    *text = span_of(to, SIZE_TEXT - n);
    return to != NULL;
}

/* Case has no meaning in a media type, and conditions compare byte by byte. */
static bool type_text(struct body_reader *r, const struct body_field *f, struct span *text)
{
    size_t n = f->type.n + 1 + f->subtype.n;
    char *to = take_scratch(r, n, f->type.p);

    *text = span_of(to, n);
    if (!to)
        return false;
    for (size_t i = 0; i < f->type.n; i++)
        *to++ = ascii_lower(f->type.p[i]);
    *to++ = '/';
    for (size_t i = 0; i < f->subtype.n; i++)
        *to++ = ascii_lower(f->subtype.p[i]);
    return true;
}

/* The member of a file that is wanted under that key, or NULL. */
static struct body_value *file_member(struct body_fields *f, const struct body_node *file,
                                      struct span key)
{
    struct body_node *n = body_find_key(f->r, file, key);

    if (n)
        body_state(f->r, n)->flags |= BODY_SEEN;
    return body_value_at(f->r, n);
}

static bool put_file(struct body_fields *f, const struct body_node *n,
                     const struct body_field *field)
{
    struct body_value *v = body_value_at(f->r, n), *name = file_member(f, n, SPAN_LIT("name")),
                      *size = file_member(f, n, SPAN_LIT("size")), *type = NULL;

    if (field->type.n)
        type = file_member(f, n, SPAN_LIT("type"));
    if (v)
        *v = (struct body_value){.kind = BODY_OBJECT, .length = field->type.n ? 3 : 2};
    if (name)
        *name = field->odd_name ? (struct body_value){.kind = BODY_UNREADABLE, .duplicate = true}
                                : text_value(field->raw, field->raw);
    if (size)
        *size = (struct body_value){.kind = BODY_NUMBER};
    if (type)
        *type = (struct body_value){.kind = BODY_STRING};
    return (!size || size_text(f->r, field->text, &size->text)) &&
           (!type || type_text(f->r, field, &type->text));
}

static bool put_value(struct body_fields *f, const struct body_node *n,
                      const struct body_field *field)
{
    struct body_state *st = body_state(f->r, n);
    struct body_value *v = body_value_at(f->r, n);

    if ((st->flags & BODY_SEEN) || field->kind == BODY_FIELD_DOUBT)
        put_in_doubt(f, n);
    st->flags |= BODY_SEEN;
    f->keep = true;
    if (field->kind == BODY_FIELD_FILE)
        return put_file(f, n, field);
    if (v)
        *v = text_value(field->raw, field->text);
    if (v && field->kind == BODY_FIELD_TEXT && body_number_valid(field->text))
        v->kind = BODY_NUMBER;
    return true;
}

bool body_fields_take(struct body_fields *f, struct span key, const struct body_field *field)
{
    struct body_node *n = f->r->paths->root, *next;
    struct body_step s = body_first_step(&key);

    f->keep = false;
    if (s.kind == BODY_STEP_ODD) {
        n = body_find_key(f->r, n, s.name);
        if (n)
            put_in_doubt(f, n);
        return true;
    }
    for (;; s = body_next_step(&key)) {
        if (s.kind == BODY_STEP_END)
            return put_value(f, n, field);
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
