/* An OpenAPI document, YAML or JSON, as one tree. base/yaml.h reads files that people write for us,
 * and is strict about it; a document that a vendor publishes may have tabs, anchors and aliases. */
#include "openapi.h"

#include <jansson.h>
#include <libfyaml.h>
#include <stdlib.h>

void oa_add(struct oa_list *l, struct arena *mem, void *item)
{
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 8;
        void **at = arena_array(mem, void *, room);

        if (l->n)
            memcpy(at, l->at, l->n * sizeof(*at));
        l->at = at;
        l->room = room;
    }
    l->at[l->n++] = item;
}

struct oa_node *oa_get(const struct oa_node *map, struct span key)
{
    size_t low = 0, high = map && map->kind == OA_MAP ? map->n : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = span_cmp(map->pairs[mid].key, key);

        if (c == 0)
            return map->pairs[mid].value;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

struct span oa_text(const struct oa_node *map, const char *key)
{
    const struct oa_node *n = oa_get(map, span_cstr(key));

    return n && n->kind == OA_TEXT ? n->text : SPAN_NONE;
}

static int by_key(const void *a, const void *b)
{
    return span_cmp(((const struct oa_pair *)a)->key, ((const struct oa_pair *)b)->key);
}

/* False if a key is there twice. */
static bool sort_pairs(struct oa_node *n, char why[256])
{
    if (n->n)
        qsort(n->pairs, n->n, sizeof(*n->pairs), by_key);
    for (size_t i = 1; i < n->n; i++)
        if (span_eq(n->pairs[i - 1].key, n->pairs[i].key)) {
            snprintf(why, 256, "a key is twice in one mapping");
            return false;
        }
    return true;
}

/* -------------------------------------------------------------------- JSON */

/* Depth and number of values before anything is built of them. */
static bool json_bounds(struct span s, char why[256])
{
    size_t values = 1, depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
            values++;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
        if (depth > OA_DEPTH_MAX || values > OA_NODES_MAX) {
            snprintf(why, 256, depth > OA_DEPTH_MAX ? "nested too deeply" : "too many values");
            return false;
        }
    }
    return true;
}

static struct oa_node *from_json(json_t *j, struct arena *mem)
{
    struct oa_node *n = arena_new(mem, struct oa_node);
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_object(j)) {
        n->kind = OA_MAP;
        n->pairs = arena_array(mem, struct oa_pair, json_object_size(j) + 1);
        json_object_foreach(j, key, v) n->pairs[n->n++] =
            (struct oa_pair){arena_span(mem, span_cstr(key)), from_json(v, mem)};
        qsort(n->pairs, n->n, sizeof(*n->pairs), by_key);
    } else if (json_is_array(j)) {
        n->kind = OA_LIST;
        n->items = arena_array(mem, struct oa_node *, json_array_size(j) + 1);
        json_array_foreach(j, i, v) n->items[n->n++] = from_json(v, mem);
    } else if (json_is_string(j)) {
        n->text = arena_span(mem, span_of(json_string_value(j), json_string_length(j)));
    }
    return n;
}

static struct oa_node *read_json(struct span s, struct arena *mem, char why[256])
{
    struct oa_node *n = NULL;
    json_error_t e;
    json_t *j;

    if (!json_bounds(s, why))
        return NULL;
    j = json_loadb(s.p, s.n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &e);
    if (j)
        n = from_json(j, mem);
    else
        snprintf(why, 256, "line %d, column %d: %.160s", e.line, e.column, e.text);
    json_decref(j);
    return n;
}

/* -------------------------------------------------------------------- YAML */

struct anchor {
    struct span name;
    struct oa_node *node;
};

struct frame {
    struct oa_node *node;
    struct span anchor;
    struct oa_list kids; /* struct oa_node *: of a mapping key, value, key, value ... */
};

struct yaml_read {
    struct arena *mem;
    const char *text; /* the document */
    size_t size;
    char *why;
    struct frame frames[OA_DEPTH_MAX];
    size_t depth, nodes, aliases, documents;
    struct anchor anchors[OA_ANCHORS_MAX];
    size_t nanchors;
    struct oa_node *root;
    bool bad;
};

static void refuse(struct yaml_read *y, const char *why)
{
    if (!y->bad)
        snprintf(y->why, 256, "%s", why);
    y->bad = true;
}

static bool at_key(const struct yaml_read *y)
{
    const struct frame *f = y->depth ? &y->frames[y->depth - 1] : NULL;

    return f && f->node->kind == OA_MAP && f->kids.n % 2 == 0;
}

static void put(struct yaml_read *y, struct oa_node *n)
{
    if (at_key(y) && n->kind != OA_TEXT)
        refuse(y, "a key is no text");
    if (y->depth)
        oa_add(&y->frames[y->depth - 1].kids, y->mem, n);
    else
        y->root = n;
}

static struct oa_node *new_node(struct yaml_read *y, enum oa_kind kind)
{
    struct oa_node *n = arena_new(y->mem, struct oa_node);

    n->kind = kind;
    if (++y->nodes > OA_NODES_MAX)
        refuse(y, "too many values");
    return n;
}

static struct span token_text(struct yaml_read *y, struct fy_token *t)
{
    size_t n = 0;
    const char *p = t ? fy_token_get_text(t, &n) : NULL;

    return arena_span(y->mem, span_of(p, p ? n : 0));
}

static void name_anchor(struct yaml_read *y, struct span name, struct oa_node *n)
{
    if (!name.n)
        return;
    if (y->nanchors == OA_ANCHORS_MAX)
        refuse(y, "too many anchors");
    else
        y->anchors[y->nanchors++] = (struct anchor){name, n};
}

static struct span anchor_name(struct yaml_read *y, struct fy_token *t)
{
    return t ? token_text(y, t) : SPAN_NONE;
}

/* libfyaml 0.7.12 misreads two escaped quotes one after the other, and takes memory that is not the
 * text's. */
static void check_quotes(struct yaml_read *y, struct fy_token *t)
{
    const struct fy_mark *from = fy_token_start_mark(t), *to = fy_token_end_mark(t);

    if (fy_token_scalar_style(t) == FYSS_SINGLE_QUOTED && from && to &&
        from->input_pos <= to->input_pos && to->input_pos <= y->size &&
        memmem(y->text + from->input_pos, to->input_pos - from->input_pos, "''''", 4))
        refuse(y, "two quotes one after the other in a text in single quotes");
}

static void on_scalar(struct yaml_read *y, const struct fy_event_scalar_data *e)
{
    bool key = at_key(y);
    struct oa_node *n = new_node(y, OA_TEXT);

    if (e->value)
        check_quotes(y, e->value);
    n->text = token_text(y, e->value);
    n->merges = key && e->value && fy_token_scalar_style(e->value) == FYSS_PLAIN &&
                span_eq(n->text, SPAN_LIT("<<"));
    name_anchor(y, anchor_name(y, e->anchor), n);
    put(y, n);
}

/* An anchor is known when its value is whole: so no value can be inside itself. */
static void on_alias(struct yaml_read *y, struct fy_token *t)
{
    struct span name = token_text(y, t);

    if (++y->aliases > OA_ALIASES_MAX) {
        refuse(y, "too many aliases");
        return;
    }
    for (size_t i = y->nanchors; i > 0; i--)
        if (span_eq(y->anchors[i - 1].name, name)) {
            put(y, y->anchors[i - 1].node);
            return;
        }
    refuse(y, "an alias stands before its anchor, or inside of it");
}

static void on_start(struct yaml_read *y, enum oa_kind kind, struct fy_token *anchor)
{
    struct oa_node *n = new_node(y, kind);

    put(y, n);
    if (y->depth == OA_DEPTH_MAX)
        refuse(y, "nested too deeply");
    else
        y->frames[y->depth++] = (struct frame){n, anchor_name(y, anchor), {0}};
}

static void end_mapping(struct yaml_read *y, struct frame *f)
{
    struct oa_node *n = f->node, *key;

    n->pairs = arena_array(y->mem, struct oa_pair, f->kids.n / 2 + 1);
    for (size_t i = 0; i + 1 < f->kids.n; i += 2) {
        key = f->kids.at[i];
        if (key->merges)
            n->merges = true;
        else
            n->pairs[n->n++] = (struct oa_pair){key->text, f->kids.at[i + 1]};
    }
    if (!y->bad && !sort_pairs(n, y->why))
        y->bad = true;
}

static void on_end(struct yaml_read *y)
{
    struct frame *f = &y->frames[--y->depth];

    if (f->node->kind == OA_MAP) {
        end_mapping(y, f);
    } else {
        f->node->items = (struct oa_node **)f->kids.at;
        f->node->n = f->kids.n;
    }
    name_anchor(y, f->anchor, f->node);
}

static void on_event(struct yaml_read *y, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (++y->documents > 1)
            refuse(y, "more than one document");
        break;
    case FYET_SCALAR:
        on_scalar(y, &e->scalar);
        break;
    case FYET_ALIAS:
        on_alias(y, e->alias.anchor);
        break;
    case FYET_SEQUENCE_START:
        on_start(y, OA_LIST, e->sequence_start.anchor);
        break;
    case FYET_MAPPING_START:
        on_start(y, OA_MAP, e->mapping_start.anchor);
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        on_end(y);
        break;
    default: /* the stream's and the document's ends say nothing new */
        break;
    }
}

static size_t sequence_length(unsigned char c)
{
    return c < 0x80                ? 1
           : c >= 0xc2 && c < 0xe0 ? 2
           : c >= 0xe0 && c < 0xf0 ? 3
           : c >= 0xf0 && c < 0xf5 ? 4
                                   : 0;
}

/* libfyaml 0.7.12 may free a key twice when it complains about a tab. Inside texts a tab means no
 * more to us than a space; in an indentation YAML allows none. */
static char *without_tabs(struct span s, struct arena *mem, char why[256])
{
    char *p = arena_alloc(mem, s.n + 1);

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c == '\t' && (i == 0 || s.p[i - 1] == '\n')) || c == 0x7f ||
            (c < 0x20 && c != '\t' && c != '\n' && c != '\r')) {
            snprintf(why, 256,
                     c == '\t' ? "a line begins with a tab" : "it has control characters");
            return NULL;
        }
        p[i] = c == '\t' ? ' ' : (char)c;
    }
    for (size_t i = 0, n; i < s.n; i += n) {
        n = sequence_length((unsigned char)p[i]);
        for (size_t k = 1; k < n; k++)
            if (i + k >= s.n || ((unsigned char)p[i + k] & 0xc0) != 0x80)
                n = 0;
        if (n == 0) {
            snprintf(why, 256, "not UTF-8");
            return NULL;
        }
    }
    return p;
}

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

static void syntax_error(struct yaml_read *y, struct fy_diag *diag)
{
    void *prev = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &prev);

    if (!y->bad && e)
        snprintf(y->why, 256, "line %d, column %d: %.160s", e->line, e->column,
                 e->msg ? e->msg : "not YAML");
    else
        refuse(y, "not YAML");
    y->bad = true;
}

static void run(struct yaml_read *y, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_event *e;

    while (!y->bad && (e = fy_parser_parse(parser)) != NULL) {
        on_event(y, e);
        fy_parser_event_free(parser, e);
    }
    if (!y->bad && fy_parser_get_stream_error(parser))
        syntax_error(y, diag);
}

static struct oa_node *read_yaml(struct span s, struct arena *mem, char why[256])
{
    struct yaml_read *y = arena_new(mem, struct yaml_read);
    char *text = without_tabs(s, mem, why);
    struct fy_diag *diag = text ? new_diag() : NULL;
    struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE, .diag = diag};
    struct fy_parser *parser = diag ? fy_parser_create(&cfg) : NULL;

    *y = (struct yaml_read){.mem = mem, .text = text, .size = s.n, .why = why};
    if (parser && fy_parser_set_string(parser, text, s.n) == 0)
        run(y, parser, diag);
    else if (text)
        refuse(y, "out of memory");
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    return text && !y->bad ? y->root : NULL;
}

struct oa_node *oa_read(struct span text, struct arena *mem, char why[256])
{
    size_t at = 0;

    snprintf(why, 256, "it is empty");
    if (text.n > OA_FILE_MAX) {
        snprintf(why, 256, "it is larger than %zu MiB", OA_FILE_MAX >> 20);
        return NULL;
    }
    if (span_starts(text, SPAN_LIT("\xef\xbb\xbf")))
        text = span_from(text, 3);
    while (at < text.n && strchr(" \t\r\n", text.p[at]) && text.p[at])
        at++;
    if (at == text.n)
        return NULL;
    return text.p[at] == '{' ? read_json(span_from(text, at), mem, why) : read_yaml(text, mem, why);
}
