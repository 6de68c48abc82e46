/* Text of an expression -> tokens, in CEL's lexical grammar. */
#include "rules_internal.h"

#include <stdio.h>

void rules_expr_error(const struct rules_source_text *src, unsigned at, const char *fmt, ...)
{
    struct place where;
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (src->node)
        where = yaml_place_in(src->node, at);
    else
        where = (struct place){src->file, 1, at + 1, src->text};
    diag_error(src->d, where, "%s", text);
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int peek(const struct rules_lexer *l, size_t ahead)
{
    size_t i = l->pos + ahead;

    return i < l->src->text.n ? (unsigned char)l->src->text.p[i] : -1;
}

static struct rules_token bad(struct rules_lexer *l, size_t at, const char *why)
{
    rules_expr_error(l->src, (unsigned)at, "%s", why);
    return (struct rules_token){.kind = TOKEN_BAD, .at = (unsigned)at};
}

static void skip_space(struct rules_lexer *l)
{
    for (;;) {
        int c = peek(l, 0);

        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            l->pos++;
        } else if (c == '/' && peek(l, 1) == '/') {
            while (peek(l, 0) != -1 && peek(l, 0) != '\n')
                l->pos++;
        } else {
            return;
        }
    }
}

/* ----------------------------------------------------------------- numbers */

static void take_digits(struct rules_lexer *l)
{
    while (is_digit(peek(l, 0)))
        l->pos++;
}

static bool take_exponent(struct rules_lexer *l)
{
    if (peek(l, 0) != 'e' && peek(l, 0) != 'E')
        return true;
    l->pos++;
    if (peek(l, 0) == '+' || peek(l, 0) == '-')
        l->pos++;
    if (!is_digit(peek(l, 0)))
        return false;
    take_digits(l);
    return true;
}

static int hex_value(int c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct rules_token after_number(struct rules_lexer *l, struct rules_token t)
{
    int c = peek(l, 0);

    if ((c == 'u' || c == 'U') && !is_letter(peek(l, 1)) && !is_digit(peek(l, 1)))
        return bad(l, l->pos, "numbers have one type here; write this one without the u");
    return is_letter(c) ? bad(l, l->pos, "a letter stands right after a number") : t;
}

/* 0xff becomes 255. */
static struct rules_token lex_hex(struct rules_lexer *l)
{
    struct rules_token t = {.kind = TOKEN_NUMBER, .at = (unsigned)l->pos};
    uint64_t v = 0;
    unsigned digits = 0;

    for (l->pos += 2; hex_value(peek(l, 0)) >= 0; l->pos++, digits++)
        v = v << 4 | (uint64_t)hex_value(peek(l, 0));
    if (digits == 0 || digits > 16)
        return bad(l, t.at, "a hexadecimal number has 1 to 16 digits");
    t.text = span_cstr(arena_printf(l->mem, "%llu", (unsigned long long)v));
    return after_number(l, t);
}

static struct rules_token lex_number(struct rules_lexer *l)
{
    size_t at = l->pos;
    struct rules_token t = {.kind = TOKEN_NUMBER, .at = (unsigned)at};

    if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X'))
        return lex_hex(l);
    if (peek(l, 0) == '0' && is_digit(peek(l, 1)))
        return bad(l, at, "a number has no leading zeros");
    take_digits(l);
    if (peek(l, 0) == '.' && is_digit(peek(l, 1))) {
        l->pos++;
        take_digits(l);
    }
    if (!take_exponent(l))
        return bad(l, at, "a number's exponent needs digits");
    t.text = arena_span(l->mem, span_of(l->src->text.p + at, l->pos - at));
    if (t.text.p[0] == '.') /* CEL's .5 is 0.5 */
        t.text = span_cstr(arena_printf(l->mem, "0%.*s", SPAN_ARG(t.text)));
    return after_number(l, t);
}

/* ----------------------------------------------------------------- strings */

static bool read_base(struct rules_lexer *l, unsigned n, unsigned base, uint32_t *cp)
{
    *cp = 0;
    for (unsigned i = 0; i < n; i++) {
        int v = hex_value(peek(l, 0));

        if (v < 0 || (unsigned)v >= base)
            return false;
        *cp = *cp * base + (uint32_t)v;
        l->pos++;
    }
    return *cp <= 0x10ffff && (*cp < 0xd800 || *cp > 0xdfff);
}

static void put_utf8(struct outbuf *o, uint32_t cp)
{
    if (cp < 0x80) {
        outbuf_char(o, (char)cp);
    } else if (cp < 0x800) {
        outbuf_char(o, (char)(0xc0 | cp >> 6));
        outbuf_char(o, (char)(0x80 | (cp & 63)));
    } else if (cp < 0x10000) {
        outbuf_char(o, (char)(0xe0 | cp >> 12));
        outbuf_char(o, (char)(0x80 | (cp >> 6 & 63)));
        outbuf_char(o, (char)(0x80 | (cp & 63)));
    } else {
        outbuf_char(o, (char)(0xf0 | cp >> 18));
        outbuf_char(o, (char)(0x80 | (cp >> 12 & 63)));
        outbuf_char(o, (char)(0x80 | (cp >> 6 & 63)));
        outbuf_char(o, (char)(0x80 | (cp & 63)));
    }
}

/* After the backslash. CEL counts \x and octal escapes as code points. */
static bool lex_escape(struct rules_lexer *l, struct outbuf *o)
{
    static const char from[] = "\\\"'`?abfnrtv", to[] = "\\\"'`?\a\b\f\n\r\t\v";
    int c = peek(l, 0);
    const char *known = c > 0 ? memchr(from, c, sizeof(from) - 1) : NULL;
    uint32_t cp = 0;
    bool good;

    if (c >= '0' && c <= '3') {
        good = read_base(l, 3, 8, &cp);
    } else {
        l->pos++;
        if (known)
            cp = (unsigned char)to[known - from];
        good = known || ((c == 'x' || c == 'X') && read_base(l, 2, 16, &cp)) ||
               (c == 'u' && read_base(l, 4, 16, &cp)) || (c == 'U' && read_base(l, 8, 16, &cp));
    }
    if (good)
        put_utf8(o, cp);
    return good;
}

static bool at_quotes(const struct rules_lexer *l, int quote, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (peek(l, i) != quote)
            return false;
    return true;
}

/* In one quote up to the end of the line, in three over lines. */
static struct rules_token lex_string(struct rules_lexer *l, size_t at, bool raw)
{
    size_t escape;
    int quote = peek(l, 0), c;
    unsigned quotes = at_quotes(l, quote, 3) ? 3 : 1;
    struct rules_token t = {.kind = TOKEN_STRING, .at = (unsigned)at};
    size_t room = l->src->text.n * 2; /* \u0080 is shorter than its escape; nothing grows */
    struct outbuf o = outbuf_on(arena_alloc(l->mem, room), room);

    for (l->pos += quotes; !at_quotes(l, quote, quotes);) {
        c = peek(l, 0);
        if (c == -1)
            return bad(l, at, "this string does not end");
        if (quotes == 1 && (c == '\n' || c == '\r'))
            return bad(l, at, "this string does not end on its line");
        escape = l->pos++;
        if (c != '\\' || raw)
            outbuf_char(&o, (char)c);
        else if (!lex_escape(l, &o))
            return bad(l, escape, "this escape is not known");
    }
    l->pos += quotes;
    t.text = outbuf_span(&o);
    return t;
}

/* "..", r"..", b"..", br"..": how many letters come before the quote; 0 also if it is no string. */
static unsigned string_prefix(const struct rules_lexer *l, bool *raw, bool *bytes)
{
    unsigned n = 0;

    *raw = *bytes = false;
    for (; n < 2; n++) {
        int c = peek(l, n) | 0x20;

        if (c == 'r' && !*raw)
            *raw = true;
        else if (c == 'b' && !*bytes)
            *bytes = true;
        else
            break;
    }
    return peek(l, n) == '"' || peek(l, n) == '\'' ? n : 0;
}

static struct rules_token lex_name(struct rules_lexer *l, size_t at)
{
    while (is_letter(peek(l, 0)) || is_digit(peek(l, 0)))
        l->pos++;
    return (struct rules_token){.kind = TOKEN_NAME,
                                .at = (unsigned)at,
                                .text =
                                    arena_span(l->mem, span_of(l->src->text.p + at, l->pos - at))};
}

/* ------------------------------------------------------------- all the rest */

static struct rules_token lex_punct(struct rules_lexer *l)
{
    static const struct {
        char text[3], punct;
    } two[] = {{"&&", '&'}, {"||", '|'}, {"==", 'E'}, {"!=", 'N'}, {"<=", 'L'}, {">=", 'G'}};
    int c = peek(l, 0);
    struct rules_token t = {.kind = TOKEN_PUNCT, .punct = (char)c, .at = (unsigned)l->pos};

    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        if (two[i].text[0] == c && two[i].text[1] == peek(l, 1)) {
            t.punct = two[i].punct;
            l->pos += 2;
            return t;
        }
    }
    if (c == '&' || c == '|' || c == '=')
        return bad(l, l->pos,
                   c == '&'   ? "write && for \"and\""
                   : c == '|' ? "write || for \"or\""
                              : "write == to compare");
    if (!strchr("!<>()[]{}.,+-*/%?:", c))
        return bad(l, l->pos, "this character has no meaning here");
    l->pos++;
    return t;
}

static struct rules_token next_token(struct rules_lexer *l)
{
    struct rules_token t = {.kind = TOKEN_END};
    bool raw, bytes;
    unsigned prefix;
    size_t at;
    int c;

    skip_space(l);
    at = l->pos;
    c = peek(l, 0);
    t.at = (unsigned)at;
    if (c == -1)
        return t;
    if (c == 0)
        return bad(l, at, "this character has no meaning here");
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        return lex_number(l);
    prefix = string_prefix(l, &raw, &bytes);
    if (prefix && bytes)
        return bad(l, at, "there are no bytes here; write the string without the b");
    if (prefix || c == '"' || c == '\'') {
        l->pos += prefix;
        return lex_string(l, at, prefix && raw);
    }
    return is_letter(c) ? lex_name(l, at) : lex_punct(l);
}

struct rules_token rules_lex(struct rules_lexer *l)
{
    struct rules_token t = next_token(l);

    t.to = (unsigned)l->pos;
    return t;
}
