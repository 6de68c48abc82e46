/* `errors`: the shape of our own answers. A template is compiled to a flat list of pieces, text
 * already escaped and places to be filled in, so that an answer is written without knowing YAML. */
#include "rules_internal.h"

#define DEPTH_MAX 16
#define TYPE_MAX  128
#define KIND_MAX  64
/* The most bytes of what is filled in: names are made of letters, digits and the like, which no
 * escaping makes longer. */
#define CAUSE_ROOM    64
#define REASON_ROOM   48
#define FUNCTION_ROOM (2 * RULES_NAME_MAX + 1)
#define OWN_ROOM      (192 + CAUSE_ROOM + FUNCTION_ROOM)

/* The shapes that have a name, as anybody could write them. */
static const char *const shape_names[] = {"problem",   "stripe", "openai",
                                          "anthropic", "twilio", NULL};
static const char shapes[] =
    "problem:\n" /* RFC 9457 */
    "  type: application/problem+json\n"
    "  body:\n"
    "    {type: 'about:blank', title: '{reason}', status: '{status}', detail: '{message}'}\n"
    "stripe:\n"
    "  request_id: Request-Id\n"
    "  kind: {4xx: invalid_request_error}\n"
    "  body: {error: {type: '{kind}', code: '{cause}', message: '{message}'}}\n"
    "openai:\n"
    "  request_id: x-request-id\n"
    "  kind: {4xx: invalid_request_error, 5xx: server_error}\n"
    "  body: {error: {message: '{message}', type: '{kind}', param: null, code: '{cause}'}}\n"
    "anthropic:\n"
    "  request_id: request-id\n"
    "  body:\n"
    "    type: error\n"
    "    error: {type: '{kind}', message: '{message}'}\n"
    "    message: '{message}'\n" /* the vendor has none; its Node SDK shows it before all else */
    "    request_id: '{call}'\n"
    "twilio:\n"
    "  request_id: Twilio-Request-Id\n"
    "  body:\n"
    "    code: '{status}'\n"
    "    message: '{message}'\n"
    "    more_info: ''\n"
    "    status: '{status}'\n"
    "    details: {call: '{call}', cause: '{cause}'}\n"; /* all else that its SDKs keep */

static const struct placeholder {
    const char *name;
    enum rules_piece_kind kind;
    size_t room;
} placeholders[] = {
    {"message", RULES_PIECE_MESSAGE, sizeof(RULES_MESSAGE_SHORT) - 1},
    {"cause", RULES_PIECE_CAUSE, CAUSE_ROOM},
    {"status", RULES_PIECE_STATUS, 3},
    {"reason", RULES_PIECE_REASON, REASON_ROOM},
    {"call", RULES_PIECE_CALL, 32},
    {"kind", RULES_PIECE_KIND, KIND_MAX},
    {"function", RULES_PIECE_FUNCTION, FUNCTION_ROOM},
    {"rule", RULES_PIECE_RULE, 20},
};
#define PLACEHOLDERS "{message}, {cause}, {status}, {reason}, {call}, {kind}, {function} and {rule}"

static const struct cause {
    const char *name;
    uint16_t status;
} causes[] = {
#define X(name, status, text) {#name, status},
    RULES_CAUSES(X)
#undef X
};

struct builder {
    struct rules_loader *l;
    struct rules_list pieces; /* struct rules_piece */
    struct outbuf text;       /* that has not become a piece yet */
    size_t room;              /* what the pieces may come to, with the short message */
    bool xml;
    char bytes[RULES_ANSWER_MAX];
};

/* ------------------------------------------------------------------- pieces */

static struct rules_piece *add_piece(struct builder *b, enum rules_piece_kind kind, size_t room)
{
    struct rules_piece *p = arena_new(&b->l->tmp, struct rules_piece);

    p->kind = kind;
    b->room += room;
    rules_list_add(&b->pieces, &b->l->tmp, p);
    return p;
}

static void end_text(struct builder *b)
{
    struct rules_piece *p;

    if (b->text.n == 0)
        return;
    p = add_piece(b, RULES_PIECE_TEXT, b->text.n);
    p->text = arena_span(&b->l->set->mem, outbuf_span(&b->text));
    b->text.n = 0;
}

static void add_placeholder(struct builder *b, const struct placeholder *which, bool number)
{
    end_text(b);
    add_piece(b, which->kind, which->room)->number = number;
}

static void add_text(struct builder *b, struct span s)
{
    if (b->xml)
        outbuf_span_put(&b->text, s); /* the template is XML already */
    else
        outbuf_json_text(&b->text, s);
}

static const struct placeholder *placeholder_named(struct span name)
{
    for (size_t i = 0; i < sizeof(placeholders) / sizeof(*placeholders); i++)
        if (span_eq(name, span_cstr(placeholders[i].name)))
            return &placeholders[i];
    return NULL;
}

/* The placeholder at the start of `s`, which begins with `{`; *n is its length. NULL: none. */
static const struct placeholder *placeholder_at(struct span s, size_t *n)
{
    const char *end = memchr(s.p, '}', s.n);

    if (!end)
        return NULL;
    *n = (size_t)(end - s.p) + 1;
    return placeholder_named(span_of(s.p + 1, *n - 2));
}

static void no_placeholder(struct builder *b, const struct yaml_node *n, size_t at, bool key)
{
    if (key)
        diag_error(b->l->d, yaml_place_in(n, at),
                   "placeholders stand in values, not in names; a `{` that is meant is written {{");
    else
        diag_error(b->l->d, yaml_place_in(n, at),
                   "this is no placeholder; there are " PLACEHOLDERS
                   ", and a `{` that is meant is written {{");
}

/* The text of a scalar, with its placeholders. */
static void add_scalar_text(struct builder *b, const struct yaml_node *n, bool key)
{
    struct span all = yaml_text(n), s = all;

    while (s.n) {
        const char *brace = memchr(s.p, '{', s.n);
        size_t plain = brace ? (size_t)(brace - s.p) : s.n, used = 0;
        const struct placeholder *which;

        add_text(b, span_of(s.p, plain));
        s = span_from(s, plain);
        if (!s.n)
            break;
        if (span_starts(s, SPAN_LIT("{{"))) {
            add_text(b, SPAN_LIT("{"));
            s = span_from(s, 2);
            continue;
        }
        which = key ? NULL : placeholder_at(s, &used);
        if (!which) {
            no_placeholder(b, n, all.n - s.n, key);
            return;
        }
        add_placeholder(b, which, false);
        s = span_from(s, used);
    }
}

/* -------------------------------------------------------------- JSON bodies */

static bool is_null(const struct yaml_node *n)
{
    struct span s = yaml_text(n);

    return yaml_kind_of(n) == YAML_SCALAR && yaml_is_plain(n) &&
           (s.n == 0 || span_eq(s, SPAN_LIT("null")) || span_eq(s, SPAN_LIT("~")));
}

static void add_scalar(struct builder *b, const struct yaml_node *n)
{
    struct span s = yaml_text(n);

    if (is_null(n)) {
        outbuf_lit(&b->text, "null");
    } else if (yaml_is_plain(n) && (span_eq(s, SPAN_LIT("true")) || span_eq(s, SPAN_LIT("false")) ||
                                    body_number_valid(s))) {
        outbuf_span_put(&b->text, s);
    } else if (span_eq(s, SPAN_LIT("{status}"))) {
        add_placeholder(b, placeholder_named(SPAN_LIT("status")), true);
    } else if (span_eq(s, SPAN_LIT("{rule}"))) {
        add_placeholder(b, placeholder_named(SPAN_LIT("rule")), true);
    } else {
        outbuf_char(&b->text, '"');
        add_scalar_text(b, n, false);
        outbuf_char(&b->text, '"');
    }
}

static void add_value(struct builder *b, const struct yaml_node *n, unsigned depth);

static void add_members(struct builder *b, const struct yaml_node *n, unsigned depth)
{
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (i)
            outbuf_char(&b->text, ',');
        outbuf_char(&b->text, '"');
        add_scalar_text(b, yaml_key_at(n, i), true);
        outbuf_lit(&b->text, "\":");
        add_value(b, yaml_at(n, i), depth);
    }
}

/* `message: {message}` without quotes. */
static bool unquoted(const struct yaml_node *n)
{
    return yaml_count(n) == 1 && is_null(yaml_at(n, 0)) &&
           placeholder_named(yaml_text(yaml_key_at(n, 0)));
}

static void add_mapping(struct builder *b, const struct yaml_node *n, unsigned depth)
{
    struct span key;

    if (unquoted(n)) {
        key = yaml_text(yaml_key_at(n, 0));
        diag_error(b->l->d, yaml_place(n), "a placeholder is written in quotes: \"{%.*s}\"",
                   SPAN_ARG(key));
        return;
    }
    outbuf_char(&b->text, '{');
    add_members(b, n, depth);
    outbuf_char(&b->text, '}');
}

static void add_sequence(struct builder *b, const struct yaml_node *n, unsigned depth)
{
    outbuf_char(&b->text, '[');
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (i)
            outbuf_char(&b->text, ',');
        add_value(b, yaml_at(n, i), depth);
    }
    outbuf_char(&b->text, ']');
}

static void add_value(struct builder *b, const struct yaml_node *n, unsigned depth)
{
    if (depth == DEPTH_MAX)
        diag_error(b->l->d, yaml_place(n), "a body has at most %d levels", DEPTH_MAX);
    else if (yaml_kind_of(n) == YAML_MAPPING)
        add_mapping(b, n, depth + 1);
    else if (yaml_kind_of(n) == YAML_SEQUENCE)
        add_sequence(b, n, depth + 1);
    else
        add_scalar(b, n);
}

static void add_body(struct builder *b, const struct yaml_node *n)
{
    if (yaml_kind_of(n) != YAML_MAPPING) {
        diag_error(b->l->d, yaml_place(n),
                   "`body` must be a mapping: the answer is an object, to which `turnpike` is "
                   "added");
        return;
    }
    if (yaml_get(n, "turnpike"))
        diag_error(b->l->d, rules_key_place(n, "turnpike"),
                   "`turnpike` is added to every answer: the call, the cause, the rule");
    outbuf_char(&b->text, '{');
    add_members(b, n, 1);
    if (yaml_count(n))
        outbuf_char(&b->text, ',');
    end_text(b);
    add_piece(b, RULES_PIECE_OWN, OWN_ROOM);
    outbuf_lit(&b->text, "}\n");
}

/* --------------------------------------------------------------- the shape */

/* application/json, application/x+json: `suffix` is "json". Parameters may follow. */
static bool media_is(struct span type, const char *suffix)
{
    struct span media = span_trim(span_cut(&type, ';')), name = span_cstr(suffix);
    char before;

    if (media.n <= name.n)
        return false;
    before = media.p[media.n - name.n - 1];
    return span_ieq(span_from(media, media.n - name.n), name) &&
           ((before == '+' && memchr(media.p, '/', media.n)) ||
            (before == '/' && (span_starts(media, SPAN_LIT("application/")) ||
                               span_starts(media, SPAN_LIT("text/")))));
}

static void read_type(struct rules_loader *l, const struct yaml_node *n, bool xml,
                      struct rules_errors *e)
{
    e->type = xml ? SPAN_LIT("application/xml") : SPAN_LIT("application/json");
    if (rules_read_line(l, n, "type", false, TYPE_MAX, &e->type) &&
        !media_is(e->type, xml ? "xml" : "json"))
        diag_error(l->d, yaml_place(yaml_get(n, "type")),
                   xml ? "with `text` the type is text/xml, application/xml or one that ends in "
                         "+xml"
                       : "with `body` the type is application/json or one that ends in +json");
}

static void read_request_id(struct rules_loader *l, const struct yaml_node *n,
                            struct rules_errors *e)
{
    static const char *const taken[] = {"content-encoding",
                                        "cache-control",
                                        "location",
                                        "set-cookie",
                                        "www-authenticate",
                                        "retry-after",
                                        "x-should-retry",
                                        "stripe-should-retry",
                                        "turnpike-call",
                                        "turnpike-decision",
                                        NULL};
    bool bad;

    if (!rules_read_line(l, n, "request_id", false, RULES_NAME_MAX, &e->request_id))
        return;
    bad = !rules_is_token(e->request_id) || rules_field_is_ours(e->request_id);
    for (unsigned i = 0; taken[i]; i++)
        bad = bad || span_ieq(e->request_id, span_cstr(taken[i]));
    if (bad)
        diag_error(l->d, yaml_place(yaml_get(n, "request_id")),
                   "`request_id` is the name of the field in which an SDK looks for the request's "
                   "id, as in x-request-id");
}

/* A status whose answer means nothing without a field that we do not send. */
static bool needs_a_field(uint64_t status)
{
    return status == 405 || status == 407 || status == 426;
}

static void read_status(struct rules_loader *l, const struct yaml_node *n, struct rules_errors *e)
{
    const char *known[RULES_CAUSE_COUNT];
    uint64_t said;

    for (unsigned i = 0; i < RULES_CAUSE_COUNT; i++)
        e->of[i].status = causes[i].status;
    if (!n || !rules_want_mapping(l, n, "`status`"))
        return;
    for (unsigned i = 1; i < RULES_CAUSE_COUNT; i++) /* the first is for none */
        known[i - 1] = causes[i].name;
    known[RULES_CAUSE_COUNT - 1] = NULL;
    yaml_only(n, known, l->d);
    for (unsigned i = 1; i < RULES_CAUSE_COUNT; i++) {
        if (!yaml_read_u64(n, causes[i].name, false, 400, 599, &said, l->d))
            continue;
        if (needs_a_field(said))
            diag_error(l->d, yaml_place(yaml_get(n, causes[i].name)),
                       "an answer with status %u needs a field that ours do not have",
                       (unsigned)said);
        e->of[i].status = (uint16_t)said;
    }
}

static struct span usual_kind(unsigned status)
{
    switch (status) {
    case 401:
        return SPAN_LIT("authentication_error");
    case 403:
        return SPAN_LIT("permission_error");
    case 404:
        return SPAN_LIT("not_found_error");
    case 429:
        return SPAN_LIT("rate_limit_error");
    default:
        return status < 500 ? SPAN_LIT("invalid_request_error") : SPAN_LIT("api_error");
    }
}

/* Does a key of `kind`, 403 or 4xx, speak of that status? 2: of it alone. */
static unsigned kind_fits(struct span key, unsigned status)
{
    const char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                            (char)('0' + status % 10)};

    if (key.n != 3 || key.p[0] != digits[0])
        return 0;
    if (key.p[1] == 'x' && key.p[2] == 'x')
        return 1;
    return key.p[1] == digits[1] && key.p[2] == digits[2] ? 2 : 0;
}

static void read_kind(struct rules_loader *l, const struct yaml_node *n, struct rules_errors *e)
{
    unsigned fits[RULES_CAUSE_COUNT] = {0};

    for (unsigned i = 0; i < RULES_CAUSE_COUNT; i++)
        e->of[i].kind = usual_kind(e->of[i].status);
    if (!n || !rules_want_mapping(l, n, "`kind`"))
        return;
    for (size_t k = 0; k < yaml_count(n); k++) {
        struct span key = yaml_text(yaml_key_at(n, k)), word = yaml_text(yaml_at(n, k));
        bool of_any = false;

        if (word.n > KIND_MAX || !rules_is_name(word, true))
            diag_error(l->d, yaml_place(yaml_at(n, k)),
                       "a kind is a word of letters, digits, `_`, `-` and dots, of at most %d "
                       "bytes",
                       KIND_MAX);
        word = arena_span(&l->set->mem, word);
        for (unsigned i = 1; i < RULES_CAUSE_COUNT; i++) {
            unsigned fit = kind_fits(key, e->of[i].status);

            of_any = of_any || fit;
            if (fit > fits[i]) {
                fits[i] = fit;
                e->of[i].kind = word;
            }
        }
        if (!of_any)
            diag_error(l->d, yaml_place(yaml_key_at(n, k)),
                       "no answer of ours has this status; write one that they have, or 4xx or "
                       "5xx");
    }
}

static void finish(struct builder *b, const struct yaml_node *n, struct rules_errors *e)
{
    struct rules_piece *pieces;

    end_text(b);
    if (b->text.full || b->room > RULES_ANSWER_MAX)
        diag_error(b->l->d, yaml_place(n),
                   "this answer may become too long: at most %d bytes, whatever is filled in",
                   RULES_ANSWER_MAX);
    pieces = arena_array(&b->l->set->mem, struct rules_piece, b->pieces.n + 1);
    for (size_t i = 0; i < b->pieces.n; i++)
        pieces[i] = *(struct rules_piece *)b->pieces.at[i];
    e->pieces = pieces;
    e->npieces = (unsigned)b->pieces.n;
}

static const struct rules_errors *compile(struct rules_loader *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"type", "request_id", "status", "kind",
                                       "body", "text",       NULL};
    struct rules_errors *e = arena_new(&l->set->mem, struct rules_errors);
    struct builder *b = arena_new(&l->tmp, struct builder);
    const struct yaml_node *body = yaml_get(n, "body"), *text = yaml_get(n, "text");

    b->l = l;
    b->text = outbuf_on(b->bytes, sizeof(b->bytes));
    b->xml = e->xml = text != NULL;
    yaml_only(n, keys, l->d);
    read_type(l, n, b->xml, e);
    read_request_id(l, n, e);
    read_status(l, yaml_get(n, "status"), e);
    read_kind(l, yaml_get(n, "kind"), e);
    if (!body == !text)
        diag_error(l->d, yaml_place(n),
                   "a shape has either `body`, for JSON, or `text`, for XML as it is written");
    else if (body)
        add_body(b, body);
    else if (yaml_kind_of(text) != YAML_SCALAR || !span_starts(yaml_text(text), SPAN_LIT("<")))
        diag_error(l->d, yaml_place(text), "`text` must be XML: it begins with `<`");
    else
        add_scalar_text(b, text, false);
    finish(b, n, e);
    return e;
}

void rules_read_shapes(struct rules_loader *l)
{
    struct yaml_doc *doc = yaml_parse("errors", span_cstr(shapes), l->d);

    for (unsigned i = 0; doc && i < RULES_SHAPES; i++)
        l->set->shapes[i] = compile(l, yaml_get(yaml_root(doc), shape_names[i]));
    yaml_free(doc);
}

void rules_read_errors(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c)
{
    const struct yaml_node *errors = yaml_get(n, "errors");
    unsigned which = 0;

    if (errors && yaml_kind_of(errors) == YAML_MAPPING) {
        c->errors = compile(l, errors);
        return;
    }
    yaml_read_enum(n, "errors", false, shape_names, &which, l->d);
    c->errors = l->set->shapes[which];
}

const struct rules_errors *rules_errors_usual(const struct rules_set *s)
{
    return s->shapes[0];
}
