/* From libfyaml's events to our tree. libfyaml scans and parses; what a document may contain, how
 * deep and how large it may be, and what its keys are is decided here. */
#include "yaml_internal.h"

#include <libfyaml.h>
#include <stdlib.h>

struct frame {
    struct yaml_node *node;
    size_t first; /* its first child in build.kids */
};

struct build {
    struct yaml_doc *doc;
    struct diags *d;
    struct frame frames[YAML_DEPTH_MAX];
    size_t depth;
    struct yaml_node **kids; /* children of all open collections, in one stack */
    size_t kid_count, kid_room;
    size_t nodes, documents;
    size_t last; /* where the last token ended: the place of a value that is not written */
    bool bad, stop;
};

static void refuse(struct build *b, size_t at, const char *why)
{
    diag_error(b->d, yaml_place_at(b->doc, at), "%s", why);
    b->bad = true;
}

static void give_up(struct build *b, size_t at, const char *why)
{
    refuse(b, at, why);
    b->stop = true;
}

static void push_kid(struct build *b, struct yaml_node *n)
{
    if (b->kid_count == b->kid_room) {
        size_t room = b->kid_room ? 2 * b->kid_room : 256;
        struct yaml_node **kids = realloc(b->kids, room * sizeof(struct yaml_node *));

        if (!kids) {
            give_up(b, n->at, "out of memory");
            return;
        }
        b->kids = kids;
        b->kid_room = room;
    }
    b->kids[b->kid_count++] = n;
}

/* In a mapping, is the next child a key? */
static bool at_key(const struct build *b)
{
    const struct frame *f = b->depth ? &b->frames[b->depth - 1] : NULL;

    return f && f->node->kind == YAML_MAPPING && (b->kid_count - f->first) % 2 == 0;
}

static size_t clamp(const struct build *b, size_t at)
{
    return at < b->doc->text.n ? at : b->doc->text.n;
}

static void token_range(struct build *b, struct fy_token *t, size_t *at, size_t *end)
{
    const struct fy_mark *from = t ? fy_token_start_mark(t) : NULL;
    const struct fy_mark *to = t ? fy_token_end_mark(t) : NULL;

    *at = from ? clamp(b, from->input_pos) : b->last;
    *end = to ? clamp(b, to->input_pos) : *at;
    if (*end < *at)
        *end = *at;
    b->last = *end;
}

static struct yaml_node *new_node(struct build *b, enum yaml_kind kind, struct fy_token *t)
{
    struct yaml_node *n;
    size_t at, end;

    token_range(b, t, &at, &end);
    if (++b->nodes > YAML_NODES_MAX) {
        give_up(b, at, "the file has too many values");
        return NULL;
    }
    n = arena_new(&b->doc->mem, struct yaml_node);
    n->doc = b->doc;
    n->kind = kind;
    n->at = (uint32_t)at;
    n->end = (uint32_t)end;
    if (b->depth)
        push_kid(b, n);
    else
        b->doc->root = n;
    return n;
}

static void refuse_properties(struct build *b, struct fy_token *anchor, struct fy_token *tag)
{
    size_t at, end;

    if (anchor) {
        token_range(b, anchor, &at, &end);
        refuse(b, at, "anchors and aliases are not allowed: write the value out");
    }
    if (tag) {
        token_range(b, tag, &at, &end);
        refuse(b, at, "tags are not allowed");
    }
}

static enum yaml_style style_of(struct fy_token *t)
{
    switch (t ? fy_token_scalar_style(t) : FYSS_PLAIN) {
    case FYSS_SINGLE_QUOTED:
        return YAML_SINGLE_QUOTED;
    case FYSS_DOUBLE_QUOTED:
        return YAML_DOUBLE_QUOTED;
    case FYSS_LITERAL:
        return YAML_LITERAL;
    case FYSS_FOLDED:
        return YAML_FOLDED;
    default:
        return YAML_PLAIN;
    }
}

static void check_key(struct build *b, const struct yaml_node *n)
{
    if (n->style == YAML_PLAIN && n->scalar.n == 0)
        refuse(b, n->at, "a key is missing");
    else if (n->style == YAML_PLAIN && span_eq(n->scalar, SPAN_LIT("<<")))
        refuse(b, n->at, "merge keys are not allowed: write the values out");
    else if (yaml_line_of(b->doc, n->at) != yaml_line_of(b->doc, n->end))
        refuse(b, n->at, "a key must stand on one line");
}

/* libfyaml 0.7.12 reads two escaped quotes one after the other as three, and then memory that is
 * not the text's. */
static void check_quotes(struct build *b, const struct yaml_node *n)
{
    if (n->style == YAML_SINGLE_QUOTED && memmem(b->doc->text.p + n->at, n->end - n->at, "''''", 4))
        refuse(b, n->at, "two quotes one after the other: write the text in double quotes");
}

static void on_scalar(struct build *b, const struct fy_event_scalar_data *e)
{
    bool key = at_key(b);
    struct yaml_node *n;
    const char *text = NULL;
    size_t len = 0;

    refuse_properties(b, e->anchor, e->tag);
    n = new_node(b, YAML_SCALAR, e->value);
    if (!n)
        return;
    if (e->value)
        text = fy_token_get_text(e->value, &len);
    n->style = style_of(e->value);
    check_quotes(b, n);
    n->scalar = arena_span(&b->doc->mem, span_of(text, text ? len : 0));
    if (memchr(n->scalar.p, 0, n->scalar.n))
        refuse(b, n->at, "a NUL byte is not allowed in a text");
    if (key)
        check_key(b, n);
}

static void on_start(struct build *b, enum yaml_kind kind, struct fy_token *t,
                     struct fy_token *anchor, struct fy_token *tag)
{
    bool key = at_key(b);
    struct yaml_node *n;

    refuse_properties(b, anchor, tag);
    n = new_node(b, kind, t);
    if (!n)
        return;
    if (key)
        refuse(b, n->at, "a key must be a text, not a list or a mapping");
    if (b->depth == YAML_DEPTH_MAX) {
        give_up(b, n->at, "nested too deeply");
        return;
    }
    b->frames[b->depth++] = (struct frame){n, b->kid_count};
}

/* Keys that are no scalars have been complained about and are not looked at. */
static void index_keys(struct build *b, struct yaml_node *n)
{
    if (n->count > YAML_LINEAR_MAX)
        yaml_make_slots(n);
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = n->items[2 * i];

        if (key->kind != YAML_SCALAR)
            continue;
        if (yaml_find(n, key->scalar, i)) {
            diag_error(b->d, yaml_place(key), "the key `%.*s` is already there",
                       SPAN_ARG(key->scalar));
            b->bad = true;
        } else if (n->slots) {
            yaml_add_slot(n, (uint32_t)i);
        }
    }
}

static void on_end(struct build *b, struct fy_token *t)
{
    struct frame *f = &b->frames[b->depth - 1];
    struct yaml_node *n = f->node;
    size_t kids = b->kid_count - f->first, at, end;

    token_range(b, t, &at, &end);
    n->end = (uint32_t)end;
    n->items = arena_array(&b->doc->mem, struct yaml_node *, kids);
    if (kids)
        memcpy(n->items, b->kids + f->first, kids * sizeof(struct yaml_node *));
    n->count = n->kind == YAML_MAPPING ? kids / 2 : kids;
    b->kid_count = f->first;
    b->depth--;
    if (n->kind == YAML_MAPPING)
        index_keys(b, n);
}

static void on_alias(struct build *b, struct fy_token *t)
{
    struct yaml_node *n = new_node(b, YAML_SCALAR, t);

    if (!n)
        return;
    n->scalar = arena_span(&b->doc->mem, SPAN_NONE);
    refuse(b, n->at, "anchors and aliases are not allowed: write the value out");
}

static void on_document(struct build *b, struct fy_token *t)
{
    size_t at, end;

    token_range(b, t, &at, &end);
    if (++b->documents > 1)
        give_up(b, at, "only one document a file is allowed");
}

static void on_event(struct build *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        on_document(b, e->document_start.document_start);
        break;
    case FYET_SCALAR:
        on_scalar(b, &e->scalar);
        break;
    case FYET_ALIAS:
        on_alias(b, e->alias.anchor);
        break;
    case FYET_SEQUENCE_START:
        on_start(b, YAML_SEQUENCE, e->sequence_start.sequence_start, e->sequence_start.anchor,
                 e->sequence_start.tag);
        break;
    case FYET_MAPPING_START:
        on_start(b, YAML_MAPPING, e->mapping_start.mapping_start, e->mapping_start.anchor,
                 e->mapping_start.tag);
        break;
    case FYET_SEQUENCE_END:
        on_end(b, e->sequence_end.sequence_end);
        break;
    case FYET_MAPPING_END:
        on_end(b, e->mapping_end.mapping_end);
        break;
    default: /* the stream's and the document's ends say nothing new */
        break;
    }
}

/* libfyaml would write to standard error; what it collects is all that we want. */
static void no_output(struct fy_diag *diag, void *user, const char *buf, size_t len)
{
    (void)diag;
    (void)user;
    (void)buf;
    (void)len;
}

static struct fy_diag *new_diag(void)
{
    struct fy_diag_cfg cfg;
    struct fy_diag *diag;

    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL;
    cfg.output_fn = no_output;
    cfg.colorize = false;
    diag = fy_diag_create(&cfg);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    return diag;
}

static unsigned positive(int v)
{
    return v > 0 ? (unsigned)v : 0;
}

static void take_errors(struct build *b, struct fy_diag *diag)
{
    const struct fy_diag_error *e;
    void *prev = NULL;

    while ((e = fy_diag_errors_iterate(diag, &prev)) != NULL) {
        struct place where = yaml_place_line(b->doc, positive(e->line), positive(e->column));

        if (e->type < FYET_ERROR)
            continue;
        diag_error(b->d, where, "%s", e->msg ? e->msg : "not YAML");
        b->bad = true;
    }
}

static void run(struct build *b, struct fy_parser *parser)
{
    struct fy_event *e;

    while (!b->stop && (e = fy_parser_parse(parser)) != NULL) {
        on_event(b, e);
        fy_parser_event_free(parser, e);
    }
    if (b->stop || !fy_parser_get_stream_error(parser))
        return;
    take_errors(b, fy_parser_get_cfg(parser)->diag);
    if (!b->bad)
        refuse(b, b->last, "not YAML");
}

static bool is_nothing(const struct yaml_node *n)
{
    return !n || (n->kind == YAML_SCALAR && n->style == YAML_PLAIN && n->scalar.n == 0);
}

static void finish(struct build *b)
{
    struct yaml_doc *doc = b->doc;

    if (is_nothing(doc->root)) {
        doc->root = arena_new(&doc->mem, struct yaml_node);
        doc->root->doc = doc;
        doc->root->kind = YAML_MAPPING;
    }
}

bool yaml_build(struct yaml_doc *doc, struct diags *d)
{
    struct build b = {.doc = doc, .d = d};
    struct fy_diag *diag = new_diag();
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    struct fy_parser *parser = diag ? fy_parser_create(&cfg) : NULL;

    /* An empty string is taken by libfyaml for one that ends at its NUL; it has no events. */
    if (!parser || (doc->text.n && fy_parser_set_string(parser, doc->text.p, doc->text.n)))
        refuse(&b, 0, "out of memory");
    else if (doc->text.n)
        run(&b, parser);
    if (!b.bad)
        finish(&b);
    free(b.kids);
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    return !b.bad;
}
