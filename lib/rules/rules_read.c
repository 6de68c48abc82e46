/* Keys and names, as every section of a rules file reads them. */
#include "rules_internal.h"

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool rules_is_name(struct span s, bool dots)
{
    bool start = true;

    if (s.n == 0 || s.n > RULES_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && dots && !start) {
            start = true;
            continue;
        }
        if (!word_char(s.p[i]) || (start && s.p[i] == '-'))
            return false;
        start = false;
    }
    return !start;
}

bool rules_glob_valid(struct span glob)
{
    if (glob.n == 0 || glob.n > RULES_NAME_MAX)
        return false;
    for (size_t i = 0; i < glob.n; i++)
        if (!word_char(glob.p[i]) && glob.p[i] != '.' && glob.p[i] != '*')
            return false;
    return true;
}

/* Greedy with one point of return: when the text after the last `*` fails, that `*` takes one more
 * character. Linear in practice, never worse than |glob| * |name|. */
bool rules_glob(struct span glob, struct span name)
{
    size_t g = 0, i = 0, star = SIZE_MAX, back = 0;

    if (glob.n == 1 && glob.p[0] == '*')
        return true; /* most globs of a large set */
    if (glob.n && name.n && glob.p[glob.n - 1] != '*' && glob.p[glob.n - 1] != name.p[name.n - 1])
        return false; /* most names */
    while (i < name.n) {
        if (g < glob.n && glob.p[g] == '*') {
            star = g++;
            back = i;
        } else if (g < glob.n && glob.p[g] == name.p[i]) {
            g++, i++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            i = ++back;
        } else {
            return false;
        }
    }
    while (g < glob.n && glob.p[g] == '*')
        g++;
    return g == glob.n;
}

bool rules_is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!word_char(s.p[i]) && (s.p[i] == 0 || !strchr("!#$%&'*+.^`|~", s.p[i])))
            return false;
    return s.n > 0;
}

bool rules_want_mapping(struct rules_loader *l, const struct yaml_node *n, const char *what)
{
    if (yaml_kind_of(n) == YAML_MAPPING)
        return true;
    diag_error(l->d, yaml_place(n), "%s must be a mapping (key: value)", what);
    return false;
}

bool rules_want_sequence(struct rules_loader *l, const struct yaml_node *n, const char *what)
{
    if (yaml_kind_of(n) == YAML_SEQUENCE)
        return true;
    diag_error(l->d, yaml_place(n), "%s must be a list (- ...)", what);
    return false;
}

struct place rules_keep_place(struct rules_set *s, struct place p)
{
    p.file = p.file ? arena_strdup(&s->mem, span_cstr(p.file)) : NULL;
    p.text = arena_span(&s->mem, p.text);
    return p;
}

struct place rules_key_place(const struct yaml_node *n, const char *key)
{
    for (size_t i = 0; i < yaml_count(n); i++)
        if (span_eq(yaml_text(yaml_key_at(n, i)), span_cstr(key)))
            return yaml_place(yaml_key_at(n, i));
    return yaml_place(n);
}

void rules_refuse(struct rules_loader *l, const struct yaml_node *n, const char *why)
{
    diag_error(l->d, yaml_place(n), "%s", why);
}

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

bool rules_read_line(struct rules_loader *l, const struct yaml_node *n, const char *key,
                     bool required, size_t most, struct span *out)
{
    struct span s;

    if (!yaml_read_text(n, key, required, &s, l->d))
        return false;
    if (s.n == 0 || s.n > most || has_control(s)) {
        diag_error(l->d, yaml_place(yaml_get(n, key)),
                   "`%s` must be one line of 1 to %zu bytes without control characters", key, most);
        return false;
    }
    *out = arena_span(&l->set->mem, s);
    return true;
}

static bool take_text(struct rules_loader *l, const struct yaml_node *n, const char *key,
                      struct span *out)
{
    if (yaml_kind_of(n) != YAML_SCALAR || yaml_text(n).n == 0 || has_control(yaml_text(n))) {
        diag_error(l->d, yaml_place(n), "`%s` must hold plain texts, none of them empty", key);
        return false;
    }
    *out = arena_span(&l->set->mem, yaml_text(n));
    return true;
}

bool rules_read_texts(struct rules_loader *l, const struct yaml_node *n, const char *key,
                      bool required, bool empty, struct span **out, const struct yaml_node ***nodes,
                      unsigned *count)
{
    const struct yaml_node *v = yaml_get(n, key);
    bool one = v && yaml_kind_of(v) == YAML_SCALAR, good = true;
    size_t many = v ? (one ? 1 : yaml_count(v)) : 0;

    *count = 0;
    if (!v) {
        if (required)
            diag_error(l->d, yaml_place(n), "`%s` is missing", key);
        return false;
    }
    if (yaml_kind_of(v) == YAML_MAPPING || (many == 0 && !empty)) {
        diag_error(l->d, yaml_place(v), "`%s` must be a text or a list of texts", key);
        return false;
    }
    *out = arena_array(&l->set->mem, struct span, many ? many : 1);
    *nodes = arena_array(&l->tmp, const struct yaml_node *, many ? many : 1);
    for (size_t i = 0; i < many; i++) {
        (*nodes)[i] = one ? v : yaml_at(v, i);
        good = take_text(l, (*nodes)[i], key, &(*out)[i]) && good;
    }
    *count = (unsigned)many;
    return good;
}
