#include "base/diag.h"

#include "base_internal.h"

#include <stdlib.h>

#define TEXT_MAX 1024 /* of a line that is kept for show */

void diags_init(struct diags *d)
{
    *d = (struct diags){.mem = ARENA_INIT};
}

void diags_free(struct diags *d)
{
    arena_free(&d->mem);
    diags_init(d);
}

/* Doubling: what is left behind in the arena is never more than what is in use. */
static struct diag_item *new_item(struct diags *d)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 8;
        struct diag_item *items = arena_array(&d->mem, struct diag_item, room);

        if (d->count)
            memcpy(items, d->items, d->count * sizeof(*items));
        d->items = items;
        d->room = room;
    }
    return &d->items[d->count++];
}

static struct place copy_place(struct diags *d, struct place where)
{
    struct span text = span_of(where.text.p, where.text.n < TEXT_MAX ? where.text.n : TEXT_MAX);

    where.file = arena_strdup(&d->mem, span_cstr(where.file));
    where.text = text.n ? arena_span(&d->mem, text) : SPAN_NONE;
    return where;
}

void diag_at(struct diags *d, enum diag_level level, struct place where, const char *fmt, ...)
{
    struct diag_item *item;
    va_list ap;

    if (level == DIAG_ERROR)
        d->errors++;
    if (d->count == DIAG_MAX) {
        d->dropped++;
        return;
    }
    item = new_item(d);
    item->level = level;
    item->where = copy_place(d, where);
    va_start(ap, fmt);
    item->message = arena_vprintf(&d->mem, fmt, ap);
    va_end(ap);
}

/* By place; complaints of one place stay in the order in which they came, as they lie in one
 * array. */
static int by_place(const void *x, const void *y)
{
    const struct diag_item *a = *(const struct diag_item *const *)x;
    const struct diag_item *b = *(const struct diag_item *const *)y;
    int c = strcmp(a->where.file, b->where.file);

    if (c)
        return c;
    if (a->where.line != b->where.line)
        return a->where.line < b->where.line ? -1 : 1;
    if (a->where.column != b->where.column)
        return a->where.column < b->where.column ? -1 : 1;
    return (a > b) - (a < b);
}

static void sorted(const struct diags *d, const struct diag_item *out[DIAG_MAX])
{
    for (size_t i = 0; i < d->count; i++)
        out[i] = &d->items[i];
    qsort(out, d->count, sizeof(out[0]), by_place);
}

static const char *level_name(enum diag_level level)
{
    return level == DIAG_ERROR ? "error" : "warning";
}

/* The file's bytes come from anybody: nothing of them may steer the terminal. Returns the bytes
 * that the character took. */
static size_t print_char(FILE *to, struct span s)
{
    uint32_t cp = 0;
    size_t n = utf8_next(s, &cp);

    if (n == 1 && cp == '\t')
        fputc('\t', to);
    else if (n == 0 || char_is_control(cp))
        fputc('?', to);
    else
        fwrite(s.p, 1, n, to);
    return n ? n : 1;
}

static void print_text(FILE *to, struct span s)
{
    while (s.n)
        s = span_from(s, print_char(to, s));
}

/* A tab stays a tab, so that the caret stands under its character whatever the tab stops are. */
static void print_caret(FILE *to, struct span text, unsigned column, const char *on,
                        const char *off)
{
    fputs("    ", to);
    for (unsigned i = 1; i < column && text.n; i++) {
        uint32_t cp = 0;
        size_t n = utf8_next(text, &cp);

        fputc(n && cp == '\t' ? '\t' : ' ', to);
        text = span_from(text, n ? n : 1);
    }
    fprintf(to, "%s^%s\n", on, off);
}

static void print_place(FILE *to, const struct place *where)
{
    print_text(to, span_cstr(where->file));
    if (where->line)
        fprintf(to, ":%u", where->line);
    if (where->line && where->column)
        fprintf(to, ":%u", where->column);
    fputs(": ", to);
}

static bool caret_fits(const struct place *where)
{
    return where->column && where->column <= where->text.n + 1;
}

static void print_item(FILE *to, const struct diag_item *item, bool colour)
{
    const char *on = !colour ? "" : item->level == DIAG_ERROR ? "\x1b[1;31m" : "\x1b[1;35m";
    const char *off = colour ? "\x1b[0m" : "";

    print_place(to, &item->where);
    fprintf(to, "%s%s:%s ", on, level_name(item->level), off);
    print_text(to, span_cstr(item->message));
    fputc('\n', to);
    if (!item->where.line || !item->where.text.n)
        return;
    fputs("    ", to);
    print_text(to, item->where.text);
    fputc('\n', to);
    if (caret_fits(&item->where))
        print_caret(to, item->where.text, item->where.column, on, off);
}

void diags_print(const struct diags *d, FILE *to, bool colour)
{
    const struct diag_item *items[DIAG_MAX];

    sorted(d, items);
    for (size_t i = 0; i < d->count; i++)
        print_item(to, items[i], colour);
    if (d->dropped)
        fprintf(to, "and %zu more\n", d->dropped);
}

static void json_item(const struct diag_item *item, struct outbuf *to)
{
    outbuf_printf(to, "{\"level\":\"%s\",\"file\":", level_name(item->level));
    outbuf_json(to, span_cstr(item->where.file));
    outbuf_printf(to, ",\"line\":%u,\"column\":%u,\"message\":", item->where.line,
                  item->where.column);
    outbuf_json(to, span_cstr(item->message));
    outbuf_char(to, '}');
}

void diags_json(const struct diags *d, struct outbuf *to)
{
    const struct diag_item *items[DIAG_MAX];

    sorted(d, items);
    outbuf_char(to, '[');
    for (size_t i = 0; i < d->count; i++) {
        if (i)
            outbuf_char(to, ',');
        json_item(items[i], to);
    }
    outbuf_char(to, ']');
}
