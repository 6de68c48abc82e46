/* A tree as somebody may write it: CEL's grammar, with the parentheses that it needs and now and
 * then some that it does not. */
#include "model.h"

#include <string.h>

struct printer {
    struct outbuf *o;
    uint64_t seed;
    const struct model_features *f;
    bool plain; /* one spelling, no spaces */
};

enum level { L_IF = 1, L_OR, L_AND, L_RELATION, L_ADD, L_MULTIPLY, L_UNARY, L_MEMBER };

static void print(struct printer *p, const struct model_node *n, enum level least);

static unsigned pick(struct printer *p, unsigned n)
{
    return model_pick(&p->seed, n);
}

static void say(struct printer *p, const char *s)
{
    outbuf_cstr(p->o, s);
}

static void space(struct printer *p)
{
    unsigned k = p->plain ? 39 : pick(p, 40);

    say(p, k == 0 ? "\n" : k == 1 ? "\t " : k == 2 ? " // why && not\n" : k < 20 ? " " : "");
}

/* ----------------------------------------------------------------- strings */

static void escape(struct printer *p, uint32_t c)
{
    static const char from[] = "\\\"'`?\a\b\f\n\r\t\v", to[] = "\\\"'`?abfnrtv";
    const char *known = c < 0x80 && c ? strchr(from, (int)c) : NULL;
    unsigned k = pick(p, 6);

    if (known && k < 4)
        outbuf_printf(p->o, "\\%c", to[known - from]);
    else if (c < 0x100 && k == 4)
        outbuf_printf(p->o, pick(p, 2) ? "\\x%02x" : "\\X%02X", c);
    else if (c < 0x100 && k == 5)
        outbuf_printf(p->o, "\\%03o", c);
    else if (c < 0x10000)
        outbuf_printf(p->o, "\\u%04x", c);
    else
        outbuf_printf(p->o, "\\U%08x", c);
}

static uint32_t next(struct span *s)
{
    unsigned char c = (unsigned char)s->p[0];
    unsigned n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t cp = n == 1 ? c : c & (0x7fu >> n);

    for (unsigned i = 1; i < n; i++)
        cp = cp << 6 | ((unsigned char)s->p[i] & 63u);
    *s = span_from(*s, n);
    return cp;
}

static bool fits_raw(struct span s, char quote, bool triple)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == quote || s.p[i] == '\r' || (s.p[i] == '\n' && !triple))
            return false;
    return true;
}

static void say_text(struct printer *p, struct span s)
{
    static const char *const quotes[2][2] = {{"'", "'''"}, {"\"", "\"\"\""}};
    unsigned which = pick(p, 2);
    bool triple = p->f->literals && pick(p, 6) == 0;
    const char *quote = quotes[which][triple];
    bool raw = pick(p, 4) == 0 && fits_raw(s, quote[0], triple);

    if (raw)
        say(p, pick(p, 2) ? "r" : "R");
    say(p, quote);
    while (raw && s.n) {
        outbuf_char(p->o, s.p[0]);
        s = span_from(s, 1);
    }
    while (s.n) {
        struct span rest = s;
        uint32_t c = next(&s);
        bool plain = c >= ' ' && c != 0x7f && c != '\\' && c != (uint32_t)quote[0];

        if ((plain && pick(p, 16)) || (c == '\n' && triple && pick(p, 2)))
            outbuf_put(p->o, rest.p, rest.n - s.n);
        else
            escape(p, c);
    }
    say(p, quote);
}

/* -------------------------------------------------------------- references */

static void say_steps(struct printer *p, const struct model_node *n)
{
    for (unsigned i = 0; i < n->nsteps; i++) {
        const struct model_step *s = &n->step[i];

        if (s->is_index) {
            outbuf_printf(p->o, "[%u]", s->index);
        } else if (!memchr(s->key.p, ' ', s->key.n) && !memchr(s->key.p, '-', s->key.n) &&
                   (p->plain || pick(p, 3))) {
            say(p, ".");
            outbuf_span_put(p->o, s->key);
        } else {
            say(p, "[");
            say_text(p, s->key);
            say(p, "]");
        }
    }
}

static void say_ref(struct printer *p, const struct model_node *n)
{
    static const char *const names[] = {
        [R_BODY] = "body",
        [R_CLAIMS] = "caller.claims",
        [R_QUERY] = "request.query",
        [R_HEADER] = "request.headers",
        [R_PARAM] = "params",
        [R_CALLER_ID] = "caller.id",
        [R_ISSUER] = "caller.issuer",
        [R_METHOD] = "caller.method",
        [R_GROUPS] = "caller.groups",
        [R_GROUP] = "caller.groups",
        [R_CONNECTION] = "connection",
        [R_FUNCTION] = "function",
        [R_REQUEST_METHOD] = "request.method",
        [R_REQUEST_PATH] = "request.path",
        [R_REQUEST_SIZE] = "request.size",
        [R_NOW] = "now",
        [R_WORDS] = "lists.words",
        [R_NUMBERS] = "lists.numbers",
        [R_WORD] = "lists.words",
        [R_LIST_NUMBER] = "lists.numbers",
    };

    say(p, n->ref == R_VARIABLE ? model_names[n->variable] : names[n->ref]);
    say_steps(p, n);
}

/* ------------------------------------------------------------------- nodes */

static enum level level_of(const struct model_node *n)
{
    switch (n->kind) {
    case N_IF:
        return L_IF;
    case N_OR:
        return L_OR;
    case N_AND:
        return L_AND;
    case N_CMP:
    case N_IN:
        return L_RELATION;
    case N_MATH:
        return n->op == '+' || n->op == '-' ? L_ADD : L_MULTIPLY;
    case N_NOT:
    case N_NEGATE:
        return L_UNARY;
    case N_LITERAL:
        return n->value.text.n && n->value.kind == M_NUMBER && n->value.text.p[0] == '-' ? L_UNARY
                                                                                         : L_MEMBER;
    default:
        return L_MEMBER;
    }
}

static void say_literal(struct printer *p, const struct model_node *n)
{
    if (n->value.kind == M_NULL)
        say(p, "null");
    else if (n->value.kind == M_BOOL)
        say(p, n->value.boolean ? "true" : "false");
    else if (n->value.kind == M_STRING)
        say_text(p, n->value.text);
    else
        outbuf_span_put(p->o, n->value.text);
}

static void say_items(struct printer *p, const struct model_node *n)
{
    say(p, "[");
    for (unsigned i = 0; i < n->nargs; i++) {
        say(p, i ? "," : "");
        space(p);
        say_literal(p, n->args[i]);
    }
    space(p);
    say(p, "]");
}

static void say_two(struct printer *p, const struct model_node *n, enum level left, const char *op)
{
    print(p, n->a, left);
    space(p);
    say(p, op);
    space(p);
    print(p, n->b, left + 1);
}

static const char *relation(char op)
{
    return op == '='   ? "=="
           : op == '!' ? "!="
           : op == 'L' ? "<="
           : op == 'G' ? ">="
           : op == '<' ? "<"
                       : ">";
}

static void say_unary(struct printer *p, const struct model_node *n)
{
    bool again = n->a->kind == n->kind || level_of(n->a) == L_MEMBER ||
                 (n->kind == N_NEGATE && n->a->kind == N_LITERAL);

    say(p, n->kind == N_NOT ? "!" : "-");
    print(p, n->a, again ? L_UNARY : L_MEMBER);
}

static void say_if(struct printer *p, const struct model_node *n)
{
    print(p, n->c, L_OR);
    say(p, " ? ");
    print(p, n->a, L_OR);
    say(p, " : ");
    print(p, n->b, L_IF);
}

/* f(a) or a.f() */
static void say_of(struct printer *p, const struct model_node *n, const char *name)
{
    if (!n->plain_call) {
        print(p, n->a, L_MEMBER);
        say(p, ".");
    }
    say(p, name);
    say(p, "(");
    if (n->plain_call)
        print(p, n->a, L_IF);
}

static void say_pattern(struct printer *p, const struct model_node *n)
{
    char text[512];
    struct outbuf o = outbuf_on(text, sizeof(text));

    model_re_print(n->re, &o);
    say_of(p, n, "matches");
    if (n->plain_call) {
        say(p, ",");
        space(p);
    }
    say_text(p, outbuf_span(&o));
    say(p, ")");
}

static void say_method(struct printer *p, const struct model_node *n)
{
    print(p, n->a, L_MEMBER);
    if (n->kind == N_MACRO) {
        say(p, n->op == 'a' ? ".all(" : n->op == 'e' ? ".exists(" : ".exists_one(");
        say(p, model_names[n->variable]);
        say(p, ",");
        space(p);
        print(p, n->b, L_IF);
    } else if (n->kind == N_GET) {
        say(p, ".");
        say(p, model_getters[n->get]);
        say(p, "(");
        if (n->zone[0])
            say_text(p, span_cstr(n->zone));
    } else {
        say(p, n->op == 's' ? ".startsWith(" : n->op == 'e' ? ".endsWith(" : ".contains(");
        print(p, n->b, L_IF);
    }
    say(p, ")");
}

static void say_call(struct printer *p, const struct model_node *n)
{
    say(p, n->kind == N_HAS         ? "has("
           : n->kind == N_TIMESTAMP ? "timestamp("
           : n->kind == N_FOUND     ? "found("
                                    : "duration(");
    if (n->kind == N_FOUND)
        say_text(p, span_cstr(n->zone));
    else if (n->kind == N_HAS)
        say_ref(p, n->a);
    else
        print(p, n->a, L_IF);
    say(p, ")");
}

/* The keys are part of what a window is, so they are spelled in one way. */
static void say_window(struct printer *p, const struct model_node *n)
{
    bool plain = p->plain;
    model_ns length = 0;
    struct span days = span_cstr(n->zone);

    say(p, n->op == 's' ? "spent(" : "calls(");
    space(p);
    if (n->op == 's') {
        say(p, "\"body");
        p->plain = true;
        say_steps(p, n->a);
        p->plain = plain;
        say(p, "\",");
        space(p);
    }
    if (!plain) {
        say_text(p, span_cstr(n->zone));
    } else {
        if (days.p[days.n - 1] == 'd')
            length = (model_ns)(days.p[0] - '0') * 86400000000000;
        else
            model_duration_read(days, &length);
        outbuf_printf(p->o, "\"%lds\"", (long)(length / 1000000000));
    }
    for (unsigned i = 0; i < n->nargs; i++) {
        space(p);
        say(p, ",");
        space(p);
        p->plain = true;
        say_ref(p, n->args[i]);
        p->plain = plain;
    }
    space(p);
    say(p, ")");
}

static void say_node(struct printer *p, const struct model_node *n)
{
    char op[2] = {n->op, 0};

    switch (n->kind) {
    case N_LITERAL:
        say_literal(p, n);
        break;
    case N_ITEMS:
        say_items(p, n);
        break;
    case N_REF:
        say_ref(p, n);
        break;
    case N_NOT:
    case N_NEGATE:
        say_unary(p, n);
        break;
    case N_AND:
        say_two(p, n, L_AND, "&&");
        break;
    case N_OR:
        say_two(p, n, L_OR, "||");
        break;
    case N_IF:
        say_if(p, n);
        break;
    case N_CMP:
        say_two(p, n, L_RELATION, relation(n->op));
        break;
    case N_IN:
        say_two(p, n, L_RELATION, " in ");
        break;
    case N_MATH:
        say_two(p, n, level_of(n), op);
        break;
    case N_SIZE:
        say_of(p, n, "size");
        say(p, ")");
        break;
    case N_MATCHES:
        say_pattern(p, n);
        break;
    case N_WINDOW:
        say_window(p, n);
        break;
    case N_TEST:
    case N_GET:
    case N_MACRO:
        say_method(p, n);
        break;
    default:
        say_call(p, n);
        break;
    }
}

static void print(struct printer *p, const struct model_node *n, enum level least)
{
    bool apart = level_of(n) < least || pick(p, 20) == 0;

    say(p, apart ? "(" : "");
    if (apart)
        space(p);
    say_node(p, n);
    if (apart)
        space(p);
    say(p, apart ? ")" : "");
}

void model_print(const struct model_node *n, uint64_t seed, const struct model_features *f,
                 struct outbuf *o)
{
    struct printer p = {o, seed, f, false};

    print(&p, n, L_IF);
}

struct span model_window_text(struct arena *mem, const struct model_node *n)
{
    struct outbuf o = outbuf_on(arena_alloc(mem, 512), 512);
    struct printer p = {&o, 0, NULL, true};

    say_window(&p, n);
    return outbuf_span(&o);
}
