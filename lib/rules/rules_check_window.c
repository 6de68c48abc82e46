/* Windows in conditions: spent("body.amount", "24h", key...) and calls("1h", key...). */
#include "rules_check.h"

/* The path that spent() adds up: "body.amount" -> a slot. */
static void take_amount(struct checker *c, const struct rules_ast *n, struct rules_ast_window *w)
{
    struct span text = n->value.text, path;

    if (n->kind != AST_LITERAL || n->type != TYPE_STRING ||
        (!span_starts(text, SPAN_LIT("body.")) && !span_starts(text, SPAN_LIT("body[")))) {
        complain(c, n->from, "spent() adds up a number of the body, as in \"body.amount\"");
        return;
    }
    path = span_from(text, text.p[4] == '.' ? 5 : 4);
    if (path.n == 0 || body_paths_add(c->probe, path) < 0)
        complain(c, n->from, "this is no path that a body could have");
    else
        w->amount = rules_slot_for(c, DOC_BODY, path);
}

static void take_length(struct checker *c, const struct rules_ast *n, struct rules_ast_window *w)
{
    int64_t seconds = 0;
    uint32_t ns = 0;

    if (n->kind != AST_LITERAL || n->type != TYPE_STRING ||
        !rules_duration_parse(n->value.text, true, &seconds, &ns) || ns || seconds < 1 ||
        (uint64_t)seconds > RULES_WINDOW_LENGTH_MAX / RULES_SECOND)
        complain(c, n->from,
                 "a window's length is whole seconds from \"1s\" to \"31d\", as written");
    else
        w->length_ns = (uint64_t)seconds * RULES_SECOND;
}

static void take_key(struct checker *c, struct rules_ast *n)
{
    rules_visit(c, n);
    if (n->type != TYPE_STRING && n->type != TYPE_NUMBER && n->type != TYPE_DYN)
        complain(c, n->at, "a window's key must be a string or a number, not %s",
                 rules_type_name(n->type));
}

static bool is_word(const struct rules_token *t)
{
    return t->kind == TOKEN_NAME || t->kind == TOKEN_NUMBER;
}

static void put_token(struct outbuf *o, const struct rules_token *t)
{
    static const char alone[] = "&|ENLG";
    static const char *const two[] = {"&&", "||", "==", "!=", "<=", ">="};
    const char *at = t->kind == TOKEN_PUNCT ? strchr(alone, t->punct) : NULL;

    if (t->kind == TOKEN_STRING)
        outbuf_json(o, t->text);
    else if (at)
        outbuf_cstr(o, two[at - alone]);
    else if (t->kind == TOKEN_PUNCT)
        outbuf_char(o, t->punct);
    else
        outbuf_span_put(o, t->text);
}

/* The words of [from, to) as they are read, without what stands between them. */
static void put_source(struct checker *c, struct outbuf *o, unsigned from, unsigned to)
{
    struct rules_source_text src = *c->src;
    struct rules_lexer l = {.src = &src, .mem = c->mem, .pos = from};
    struct rules_token before = {.kind = TOKEN_PUNCT}, t;

    src.text.n = to;
    while ((t = rules_lex(&l)).kind != TOKEN_END) {
        if (is_word(&before) && is_word(&t))
            outbuf_char(o, ' ');
        put_token(o, &t);
        before = t;
    }
}

static struct span window_text(struct checker *c, const struct rules_ast *n,
                               const struct rules_ast_window *w)
{
    size_t room = 6 * c->src->text.n + 64; /* a byte of a string takes at most six in JSON */
    struct outbuf o = outbuf_on(arena_alloc(c->mem, room), room);
    unsigned first = n->nargs - w->nkeys;

    outbuf_span_put(&o, n->text);
    outbuf_char(&o, '(');
    if (w->kind == WINDOW_SPENT) {
        outbuf_json(&o, n->args[0]->value.text);
        outbuf_char(&o, ',');
    }
    outbuf_printf(&o, "\"%llus\"", (unsigned long long)(w->length_ns / RULES_SECOND));
    for (unsigned i = first; i < n->nargs; i++) {
        outbuf_char(&o, ',');
        put_source(c, &o, n->args[i]->from, n->args[i]->to);
    }
    outbuf_char(&o, ')');
    return outbuf_span(&o);
}

void rules_check_window(struct checker *c, struct rules_ast *n)
{
    struct rules_ast_window *w = arena_new(c->mem, struct rules_ast_window);
    unsigned first;

    w->kind = word_is(n->text, "spent") ? WINDOW_SPENT : WINDOW_CALLS;
    first = w->kind == WINDOW_SPENT ? 2 : 1;
    if (c->scope != SCOPE_CALL) {
        complain(c, n->at, "%.*s() counts calls; there is none here", SPAN_ARG(n->text));
        return;
    }
    if (c->window || c->nloops) {
        complain(c, n->at,
                 c->window ? "a window's key cannot hold another window"
                           : "a window counts calls, not elements: move it out of this");
        return;
    }
    c->around->names = true;
    if (n->nargs < first || n->nargs > first + RULES_WINDOW_KEYS_MAX) {
        complain(c, n->at, "write %s with up to %d keys",
                 w->kind == WINDOW_SPENT ? "spent(\"body.amount\", \"24h\", key, ...)"
                                         : "calls(\"1h\", key, ...)",
                 RULES_WINDOW_KEYS_MAX);
        return;
    }
    if (w->kind == WINDOW_SPENT)
        take_amount(c, n->args[0], w);
    take_length(c, n->args[first - 1], w);
    c->window = true;
    w->key = n->args + first;
    w->nkeys = n->nargs - first;
    for (unsigned i = 0; i < w->nkeys; i++)
        take_key(c, w->key[i]);
    c->window = false;
    if (!c->bad)
        w->text = window_text(c, n, w);
    n->kind = AST_WINDOW;
    n->type = TYPE_NUMBER;
    n->window = w;
}
