/* Readers of single values: each says what was expected and shows where. */
#include "yaml_internal.h"

#include "base/clock.h"

#define NAME_MAX_CLOSE 48 /* longer names are not compared when looking for a misspelt one */

static bool is_null(const struct yaml_node *n)
{
    struct span s = n->scalar;

    return n->style == YAML_PLAIN &&
           (s.n == 0 || span_eq(s, SPAN_LIT("~")) || span_eq(s, SPAN_LIT("null")));
}

/* The scalar under the key, with something in it; NULL after the complaint that is due. */
static const struct yaml_node *scalar_under(const struct yaml_node *n, const char *key,
                                            bool required, const char *expected, struct diags *d)
{
    const struct yaml_node *v = yaml_get(n, key);

    if (!v) {
        if (required && n)
            diag_error(d, yaml_place(n), "`%s` is missing: expected %s", key, expected);
        return NULL;
    }
    if (v->kind != YAML_SCALAR || is_null(v)) {
        diag_error(d, yaml_place(v), "`%s`: expected %s", key, expected);
        return NULL;
    }
    return v;
}

bool yaml_read_text(const struct yaml_node *n, const char *key, bool required, struct span *out,
                    struct diags *d)
{
    const struct yaml_node *v = scalar_under(n, key, required, "a text", d);

    if (!v)
        return false;
    *out = v->scalar;
    return true;
}

bool yaml_read_u64(const struct yaml_node *n, const char *key, bool required, uint64_t least,
                   uint64_t most, uint64_t *out, struct diags *d)
{
    const struct yaml_node *v = scalar_under(n, key, required, "a whole number", d);
    uint64_t value;

    if (!v)
        return false;
    if (!yaml_is_plain(v) || !span_u64(v->scalar, &value)) {
        diag_error(d, yaml_place(v), "`%s`: expected a whole number", key);
        return false;
    }
    if (value < least || value > most) {
        diag_error(d, yaml_place(v), "`%s`: expected a whole number from %llu to %llu", key,
                   (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *out = value;
    return true;
}

bool yaml_read_bool(const struct yaml_node *n, const char *key, bool required, bool *out,
                    struct diags *d)
{
    const struct yaml_node *v = scalar_under(n, key, required, "true or false", d);

    if (!v)
        return false;
    if (yaml_is_plain(v) && span_eq(v->scalar, SPAN_LIT("true"))) {
        *out = true;
    } else if (yaml_is_plain(v) && span_eq(v->scalar, SPAN_LIT("false"))) {
        *out = false;
    } else {
        diag_error(d, yaml_place(v), "`%s`: expected true or false", key);
        return false;
    }
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number with one of the units behind it, without a space; the units end with a NULL name. */
static bool with_unit(struct span s, const struct unit *units, uint64_t *out)
{
    size_t digits = 0;
    uint64_t value;

    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (!span_u64(span_of(s.p, digits), &value))
        return false;
    for (; units->name; units++)
        if (span_eq(span_from(s, digits), span_cstr(units->name)))
            return !__builtin_mul_overflow(value, units->factor, out);
    return false;
}

static bool read_with_unit(const struct yaml_node *n, const char *key, bool required,
                           const struct unit *units, const char *expected, uint64_t *out,
                           struct diags *d)
{
    const struct yaml_node *v = scalar_under(n, key, required, expected, d);
    uint64_t value;

    if (!v)
        return false;
    if (!yaml_is_plain(v) || !with_unit(v->scalar, units, &value)) {
        diag_error(d, yaml_place(v), "`%s`: expected %s", key, expected);
        return false;
    }
    *out = value;
    return true;
}

bool yaml_read_duration(const struct yaml_node *n, const char *key, bool required, uint64_t *ns,
                        struct diags *d)
{
    static const struct unit units[] = {
        {"us", 1000},          {"ms", NS_IN_MS},       {"s", NS_IN_S}, {"m", 60 * NS_IN_S},
        {"h", 3600 * NS_IN_S}, {"d", 86400 * NS_IN_S}, {NULL, 0},
    };

    return read_with_unit(n, key, required, units, "a time such as 50ms, 20s, 5m, 24h or 2d", ns,
                          d);
}

bool yaml_read_size(const struct yaml_node *n, const char *key, bool required, uint64_t *bytes,
                    struct diags *d)
{
    static const struct unit units[] = {
        {"", 1},
        {"KiB", (uint64_t)1 << 10},
        {"MiB", (uint64_t)1 << 20},
        {"GiB", (uint64_t)1 << 30},
        {"TiB", (uint64_t)1 << 40},
        {NULL, 0},
    };

    return read_with_unit(n, key, required, units, "a size such as 512, 16KiB, 1MiB or 2GiB", bytes,
                          d);
}

static unsigned least3(unsigned a, unsigned b, unsigned c)
{
    a = a < b ? a : b;
    return a < c ? a : c;
}

/* Letters to insert, drop or change to make one of the other (Levenshtein). Both are at most
 * NAME_MAX_CLOSE bytes. */
static unsigned distance(struct span a, struct span b)
{
    unsigned row[NAME_MAX_CLOSE + 1];

    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned above = row[j];

            row[j] = least3(above + 1, row[j - 1] + 1,
                            diagonal + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1])));
            diagonal = above;
        }
    }
    return row[b.n];
}

/* The name that was probably meant; NULL when none is close. */
static const char *nearest(struct span s, const char *const *names)
{
    const char *best = NULL;
    unsigned best_distance = 3;

    if (s.n > NAME_MAX_CLOSE)
        return NULL;
    for (; *names; names++) {
        struct span name = span_cstr(*names);
        unsigned away = name.n > NAME_MAX_CLOSE ? UINT32_MAX : distance(s, name);

        if (away < best_distance && 2 * away <= name.n) {
            best = *names;
            best_distance = away;
        }
    }
    return best;
}

static struct span all_names(const char *const *names, char *buf, size_t room)
{
    struct outbuf o = outbuf_on(buf, room);

    for (size_t i = 0; names[i]; i++) {
        if (i)
            outbuf_lit(&o, ", ");
        outbuf_cstr(&o, names[i]);
    }
    return outbuf_span(&o);
}

bool yaml_read_enum(const struct yaml_node *n, const char *key, bool required,
                    const char *const *names, unsigned *out, struct diags *d)
{
    char list[512];
    struct span all = all_names(names, list, sizeof(list) - 16);
    char expected[sizeof(list)];
    const struct yaml_node *v;
    const char *close;

    snprintf(expected, sizeof(expected), "one of %.*s", SPAN_ARG(all));
    v = scalar_under(n, key, required, expected, d);
    if (!v)
        return false;
    for (unsigned i = 0; names[i]; i++)
        if (span_eq(v->scalar, span_cstr(names[i]))) {
            *out = i;
            return true;
        }
    close = nearest(v->scalar, names);
    if (close)
        diag_error(d, yaml_place(v), "`%s`: expected %s; did you mean `%s`?", key, expected, close);
    else
        diag_error(d, yaml_place(v), "`%s`: expected %s", key, expected);
    return false;
}

static bool is_known(struct span key, const char *const *known)
{
    for (; *known; known++)
        if (span_eq(key, span_cstr(*known)))
            return true;
    return false;
}

void yaml_only(const struct yaml_node *n, const char *const *known, struct diags *d)
{
    char list[512];
    struct span all = all_names(known, list, sizeof(list));

    if (!n || n->kind != YAML_MAPPING)
        return;
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = n->items[2 * i];
        const char *close;

        if (is_known(key->scalar, known))
            continue;
        close = nearest(key->scalar, known);
        if (close)
            diag_error(d, yaml_place(key), "`%.*s` is not known here; did you mean `%s`?",
                       SPAN_ARG(key->scalar), close);
        else
            diag_error(d, yaml_place(key), "`%.*s` is not known here; known: %.*s",
                       SPAN_ARG(key->scalar), SPAN_ARG(all));
    }
}
