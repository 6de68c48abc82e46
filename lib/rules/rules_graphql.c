#include "rules_graphql.h"

enum token { TOKEN_END, TOKEN_BAD, TOKEN_PUNCT, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING };

struct definition {
    bool fragment, seen;
    enum graphql_type type;
    struct span name; /* empty: an operation without one */
    const char *set;  /* its selection set */
};

struct parser {
    const char *at, *end;
    enum token kind;
    char punct;       /* of a TOKEN_PUNCT; `.` is the spread */
    struct span text; /* of a token */
    unsigned depth;
    struct definition definition[GRAPHQL_DEFINITIONS_MAX];
    unsigned ndefinitions;
    struct definition *waiting[GRAPHQL_DEFINITIONS_MAX]; /* fragments of the top level */
    unsigned nwaiting, nspreads;
    struct graphql_operation *out;
};

/* ------------------------------------------------------------------ tokens */

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t left(const struct parser *p)
{
    return (size_t)(p->end - p->at);
}

static bool starts(const struct parser *p, struct span s)
{
    return span_starts(span_of(p->at, left(p)), s);
}

/* 2.1.1: no control characters but these. */
static bool source_char(char c)
{
    return (unsigned char)c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
}

/* What some readers take for the end of a line, and GraphQL does not: NEL, LS, PS. */
static bool doubtful_line_end(const struct parser *p)
{
    return starts(p, SPAN_LIT("\xc2\x85")) || starts(p, SPAN_LIT("\xe2\x80\xa8")) ||
           starts(p, SPAN_LIT("\xe2\x80\xa9"));
}

static bool skip_comment(struct parser *p)
{
    for (; p->at < p->end && *p->at != '\n' && *p->at != '\r'; p->at++)
        if (!source_char(*p->at) || doubtful_line_end(p))
            return false;
    return true;
}

/* 2.1.7 */
static bool skip_ignored(struct parser *p)
{
    while (p->at < p->end) {
        char c = *p->at;

        if (c == '#') {
            if (!skip_comment(p))
                return false;
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
            p->at++;
        } else if (starts(p, SPAN_LIT("\xef\xbb\xbf"))) {
            p->at += 3;
        } else {
            break;
        }
    }
    return true;
}

static bool digits(struct parser *p)
{
    const char *start = p->at;

    while (p->at < p->end && digit(*p->at))
        p->at++;
    return p->at > start;
}

/* 2.9.1, 2.9.2 */
static bool lex_number(struct parser *p)
{
    const char *first;

    if (*p->at == '-')
        p->at++;
    first = p->at;
    if (!digits(p) || (*first == '0' && p->at - first > 1))
        return false;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!digits(p))
            return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!digits(p))
            return false;
    }
    return p->at == p->end || (*p->at != '.' && !name_start(*p->at));
}

/* 2.9.4: """ to the next one. Readers older than block strings see three strings there, and other
 * tokens than we do if a quote stands inside. */
static bool lex_block(struct parser *p)
{
    while (p->at < p->end && *p->at != '"') {
        if (!source_char(*p->at))
            return false;
        p->at++;
    }
    if (!starts(p, SPAN_LIT("\"\"\"")))
        return false;
    p->at += 3;
    return true;
}

static bool lex_escape(struct parser *p)
{
    if (left(p) < 2 || !p->at[1])
        return false;
    if (p->at[1] != 'u') {
        if (!strchr("\"\\/bfnrt", p->at[1]))
            return false;
        p->at += 2;
        return true;
    }
    if (left(p) < 6)
        return false;
    for (unsigned i = 2; i < 6; i++)
        if (!digit(p->at[i]) && !(ascii_lower(p->at[i]) >= 'a' && ascii_lower(p->at[i]) <= 'f'))
            return false;
    p->at += 6;
    return true;
}

static bool lex_string(struct parser *p)
{
    if (starts(p, SPAN_LIT("\"\"\""))) {
        p->at += 3;
        return lex_block(p);
    }
    for (p->at++; p->at < p->end && *p->at != '"';) {
        if (*p->at == '\\') {
            if (!lex_escape(p))
                return false;
        } else if (*p->at == '\n' || *p->at == '\r' || !source_char(*p->at)) {
            return false;
        } else {
            p->at++;
        }
    }
    if (p->at == p->end)
        return false;
    p->at++;
    return true;
}

static bool lex_punct(struct parser *p)
{
    p->punct = *p->at;
    if (starts(p, SPAN_LIT("..."))) {
        p->at += 3;
        return true;
    }
    return *p->at++ && strchr("!$&():=@[]{|}", p->punct);
}

static bool lex(struct parser *p)
{
    char c = *p->at;

    if (name_start(c)) {
        p->kind = TOKEN_NAME;
        while (p->at < p->end && (name_start(*p->at) || digit(*p->at)))
            p->at++;
        return true;
    }
    if (c == '-' || digit(c)) {
        p->kind = TOKEN_NUMBER;
        return lex_number(p);
    }
    if (c == '"') {
        p->kind = TOKEN_STRING;
        return lex_string(p);
    }
    p->kind = TOKEN_PUNCT;
    return lex_punct(p);
}

/* The next token; whatever is no token is one that nothing takes. */
static void next(struct parser *p)
{
    bool good = skip_ignored(p);
    const char *start = p->at;

    if (!good || (p->at < p->end && !lex(p)))
        p->kind = TOKEN_BAD;
    else if (start == p->end)
        p->kind = TOKEN_END;
    p->text = span_of(start, (size_t)(p->at - start));
}

static bool is_punct(const struct parser *p, char c)
{
    return p->kind == TOKEN_PUNCT && p->punct == c;
}

static bool take(struct parser *p, char c)
{
    if (!is_punct(p, c))
        return false;
    next(p);
    return true;
}

static bool is_word(const struct parser *p, struct span word)
{
    return p->kind == TOKEN_NAME && span_eq(p->text, word);
}

static bool take_name(struct parser *p, struct span *name)
{
    if (p->kind != TOKEN_NAME)
        return false;
    *name = p->text;
    next(p);
    return true;
}

/* ------------------------------------------------------------------ values */

static bool descend(struct parser *p)
{
    return p->depth++ < GRAPHQL_DEPTH_MAX;
}

static bool read_value(struct parser *p, bool constant);

static bool read_list(struct parser *p, bool constant)
{
    while (!take(p, ']'))
        if (!read_value(p, constant))
            return false;
    return true;
}

static bool read_object(struct parser *p, bool constant)
{
    struct span name;

    while (!take(p, '}'))
        if (!take_name(p, &name) || !take(p, ':') || !read_value(p, constant))
            return false;
    return true;
}

/* 2.9 */
static bool read_value(struct parser *p, bool constant)
{
    struct span name;
    bool good;

    if (!descend(p))
        return false;
    if (p->kind == TOKEN_NUMBER || p->kind == TOKEN_STRING || p->kind == TOKEN_NAME) {
        next(p);
        good = true;
    } else if (take(p, '$')) {
        good = take_name(p, &name) && !constant;
    } else if (take(p, '[')) {
        good = read_list(p, constant);
    } else {
        good = take(p, '{') && read_object(p, constant);
    }
    p->depth--;
    return good;
}

/* 2.6: (name: value ...) */
static bool read_arguments(struct parser *p, bool constant)
{
    struct span name;

    if (!take(p, '('))
        return true;
    do {
        if (!take_name(p, &name) || !take(p, ':') || !read_value(p, constant))
            return false;
    } while (!take(p, ')'));
    return true;
}

/* 2.12 */
static bool read_directives(struct parser *p, bool constant)
{
    struct span name;

    while (take(p, '@'))
        if (!take_name(p, &name) || !read_arguments(p, constant))
            return false;
    return true;
}

/* 2.11 */
static bool read_type(struct parser *p)
{
    struct span name;
    bool good = descend(p) && (take(p, '[') ? read_type(p) && take(p, ']') : take_name(p, &name));

    p->depth--;
    take(p, '!');
    return good;
}

/* 2.10: ($name: Type = value @directives ...) */
static bool read_variables(struct parser *p)
{
    struct span name;

    if (!take(p, '('))
        return true;
    do {
        if (!take(p, '$') || !take_name(p, &name) || !take(p, ':') || !read_type(p) ||
            (take(p, '=') && !read_value(p, true)) || !read_directives(p, true))
            return false;
    } while (!take(p, ')'));
    return true;
}

/* -------------------------------------------------------------- selections */

static bool note_field(struct parser *p, struct span name)
{
    if (p->out->nfields == GRAPHQL_FIELDS_MAX)
        return false;
    p->out->field[p->out->nfields++] = name;
    return true;
}

static struct definition *find(struct parser *p, bool fragment, struct span name)
{
    for (unsigned i = 0; i < p->ndefinitions; i++)
        if (p->definition[i].fragment == fragment && span_eq(p->definition[i].name, name))
            return &p->definition[i];
    return NULL;
}

/* Fragments are gone through once each, so that a circle of them ends. */
static bool note_spread(struct parser *p, struct span name)
{
    struct definition *d;

    if (p->nspreads++ == GRAPHQL_FIELDS_MAX || !(d = find(p, true, name)))
        return false;
    if (!d->seen)
        p->waiting[p->nwaiting++] = d;
    d->seen = true;
    return true;
}

static bool read_set(struct parser *p, bool top);

/* 2.5: alias: name(arguments) @directives { ... } */
static bool read_field(struct parser *p, bool top)
{
    struct span name;

    if (!take_name(p, &name) || (take(p, ':') && !take_name(p, &name)))
        return false;
    if (top && !note_field(p, name))
        return false;
    return read_arguments(p, false) && read_directives(p, false) &&
           (!is_punct(p, '{') || read_set(p, false));
}

/* 2.8, behind the spread: a name, or a selection set with or without a type. */
static bool read_spread(struct parser *p, bool top)
{
    bool on = is_word(p, SPAN_LIT("on"));
    struct span name;

    if (p->kind == TOKEN_NAME && !on)
        return take_name(p, &name) && (!top || note_spread(p, name)) && read_directives(p, false);
    if (on) {
        next(p);
        if (!take_name(p, &name))
            return false;
    }
    return read_directives(p, false) && read_set(p, top);
}

/* 2.4: { ... }; `top`: its fields are the operation's. */
static bool read_set(struct parser *p, bool top)
{
    if (!descend(p) || !take(p, '{'))
        return false;
    do {
        if (!(take(p, '.') ? read_spread(p, top) : read_field(p, top)))
            return false;
    } while (!take(p, '}'));
    p->depth--;
    return true;
}

/* ------------------------------------------------------------- definitions */

bool graphql_type_of(struct span word, enum graphql_type *type)
{
    static const struct span words[GRAPHQL_TYPES] = {
        {"query", 5}, {"mutation", 8}, {"subscription", 12}};

    for (unsigned i = 0; i < GRAPHQL_TYPES; i++) {
        if (!span_eq(word, words[i]))
            continue;
        *type = (enum graphql_type)i;
        return true;
    }
    return false;
}

/* 2.8: fragment name on Type */
static bool begin_fragment(struct parser *p, struct definition *d)
{
    struct span type;

    next(p);
    d->fragment = true;
    if (is_word(p, SPAN_LIT("on")) || !take_name(p, &d->name) || !is_word(p, SPAN_LIT("on")))
        return false;
    next(p);
    return take_name(p, &type) && read_directives(p, false);
}

/* 2.3: type name($variables) @directives, or nothing at all. */
static bool begin_operation(struct parser *p, struct definition *d)
{
    if (is_punct(p, '{'))
        return true;
    if (p->kind != TOKEN_NAME || !graphql_type_of(p->text, &d->type))
        return false;
    next(p);
    if (p->kind == TOKEN_NAME)
        take_name(p, &d->name);
    return read_variables(p) && read_directives(p, false);
}

static bool read_definition(struct parser *p)
{
    struct definition d = {.type = GRAPHQL_QUERY};
    bool good = is_word(p, SPAN_LIT("fragment")) ? begin_fragment(p, &d) : begin_operation(p, &d);

    if (!good || p->ndefinitions == GRAPHQL_DEFINITIONS_MAX || find(p, d.fragment, d.name))
        return false;
    d.set = p->text.p;
    p->definition[p->ndefinitions++] = d;
    return read_set(p, false);
}

/* The operation that would run. One without a name stands alone (5.2.2.1). */
static const struct definition *choose(struct parser *p, struct span name)
{
    const struct definition *only = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < p->ndefinitions; i++) {
        if (p->definition[i].fragment)
            continue;
        only = &p->definition[i];
        n++;
    }
    if (n > 1 && find(p, false, SPAN_NONE))
        return NULL;
    if (name.n)
        return find(p, false, name);
    return n == 1 ? only : NULL;
}

static bool read_top(struct parser *p, const struct definition *d)
{
    p->at = d->set;
    next(p);
    return read_set(p, true);
}

bool graphql_read(struct span document, struct span name, struct graphql_operation *out)
{
    struct parser p;
    const struct definition *d;

    p.at = document.p;
    p.end = document.p + document.n;
    p.depth = p.ndefinitions = p.nwaiting = p.nspreads = 0; /* the tables are set as they fill */
    p.out = out;
    out->nfields = 0;
    next(&p);
    while (p.kind != TOKEN_END)
        if (!read_definition(&p))
            return false;
    d = choose(&p, name);
    if (!d || !read_top(&p, d))
        return false;
    out->type = d->type;
    for (unsigned i = 0; i < p.nwaiting; i++)
        if (!read_top(&p, p.waiting[i]))
            return false;
    return out->nfields > 0;
}
