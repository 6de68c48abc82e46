/* From bytes to lines and columns, and from bytes of a scalar to bytes of the file. */
#include "base_internal.h"
#include "yaml_internal.h"

/* The break at `at` (YAML 1.2.2 section 5.4): its length, 0 if there is none. */
static size_t break_at(struct span text, size_t at)
{
    if (text.p[at] == '\n')
        return 1;
    if (text.p[at] != '\r')
        return 0;
    return at + 1 < text.n && text.p[at + 1] == '\n' ? 2 : 1;
}

/* `lines` may be NULL, to count only. */
static size_t scan_lines(struct span text, uint32_t *lines)
{
    size_t count = 0, start = 0, at = 0;

    while (at < text.n) {
        size_t n = break_at(text, at);

        at += n ? n : 1;
        if (!n)
            continue;
        if (lines)
            lines[count] = (uint32_t)start;
        count++;
        start = at;
    }
    if (lines)
        lines[count] = (uint32_t)start;
    return count + 1;
}

void yaml_index_lines(struct yaml_doc *doc)
{
    doc->line_count = scan_lines(doc->text, NULL);
    doc->lines = arena_array(&doc->mem, uint32_t, doc->line_count);
    scan_lines(doc->text, doc->lines);
}

size_t yaml_line_of(const struct yaml_doc *doc, size_t at)
{
    size_t low = 0, high = doc->line_count; /* lines[low] <= at < lines[high] */

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (doc->lines[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static struct span line_text(const struct yaml_doc *doc, size_t line)
{
    size_t start = doc->lines[line];
    size_t end = line + 1 < doc->line_count ? doc->lines[line + 1] : doc->text.n;

    while (end > start && (doc->text.p[end - 1] == '\n' || doc->text.p[end - 1] == '\r'))
        end--;
    return span_of(doc->text.p + start, end - start);
}

static unsigned characters(struct span s)
{
    unsigned count = 0;

    while (s.n) {
        uint32_t cp;
        size_t n = utf8_next(s, &cp);

        s = span_from(s, n ? n : 1);
        count++;
    }
    return count;
}

struct place yaml_place_at(const struct yaml_doc *doc, size_t at)
{
    size_t line = yaml_line_of(doc, at);
    struct span text = line_text(doc, line);
    size_t into = at - doc->lines[line];
    unsigned column = characters(span_of(text.p, into < text.n ? into : text.n)) + 1;

    return (struct place){doc->name, (unsigned)line + 1, column, text};
}

struct place yaml_place_line(const struct yaml_doc *doc, unsigned line, unsigned column)
{
    if (line == 0)
        return place_of_file(doc->name);
    if (line > doc->line_count)
        return yaml_place_at(doc, doc->text.n);
    return (struct place){doc->name, line, column, line_text(doc, line - 1)};
}

static bool is_quoted(const struct yaml_node *n)
{
    return n->style == YAML_SINGLE_QUOTED || n->style == YAML_DOUBLE_QUOTED;
}

static bool is_block(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && (n->style == YAML_LITERAL || n->style == YAML_FOLDED);
}

/* Where a reader would point: at the quote of a quoted scalar, at the first letter of a block. */
static size_t node_start(const struct yaml_node *n)
{
    struct span text = n->doc->text;
    size_t at = n->at;

    if (n->kind == YAML_SCALAR && is_quoted(n) && at > 0)
        return at - 1;
    while (is_block(n) && at < n->end && (text.p[at] == ' ' || break_at(text, at)))
        at++;
    return at;
}

struct place yaml_place(const struct yaml_node *n)
{
    return yaml_place_at(n->doc, node_start(n));
}

static size_t utf8_length(uint32_t cp)
{
    return cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
}

static uint32_t hex_value(struct span s)
{
    uint32_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return v;
}

/* One escape of a double-quoted scalar (YAML 1.2.2 section 5.7), already checked by the parser:
 * its length in the file; how many bytes it stands for to `*out`. */
static size_t escape(struct span s, size_t *out)
{
    size_t digits = 0;

    *out = 1;
    if (s.n < 2)
        return s.n;
    switch (s.p[1]) {
    case 'x':
        digits = 2;
        break;
    case 'u':
        digits = 4;
        break;
    case 'U':
        digits = 8;
        break;
    case 'N': /* U+0085 */
    case '_': /* U+00A0 */
        *out = 2;
        break;
    case 'L': /* U+2028 */
    case 'P': /* U+2029 */
        *out = 3;
        break;
    }
    if (digits && s.n >= 2 + digits)
        *out = utf8_length(hex_value(span_of(s.p + 2, digits)));
    return 2 + digits;
}

/* Walks a one-line scalar as it stands in the file until `offset` bytes of its text are behind. */
static size_t source_offset(const struct yaml_node *n, size_t offset)
{
    struct span s = span_of(n->doc->text.p + n->at, n->end - n->at);
    size_t behind = 0, at = 0;

    if (n->style == YAML_PLAIN)
        return offset < s.n ? offset : s.n;
    while (at < s.n && behind < offset) {
        size_t out = 1, len = 1;

        if (n->style == YAML_DOUBLE_QUOTED && s.p[at] == '\\')
            len = escape(span_from(s, at), &out);
        else if (n->style == YAML_SINGLE_QUOTED && s.p[at] == '\'')
            len = 2;
        if (behind + out > offset)
            break;
        behind += out;
        at += len;
    }
    return at < s.n ? at : s.n;
}

/* A literal block shows its text line by line, each behind the same indentation; the first line
 * that is not empty says how much. */
static size_t block_indent(const struct yaml_node *n)
{
    struct span text = n->scalar;
    size_t line = yaml_line_of(n->doc, n->at);

    while (text.p) {
        struct span first = span_cut(&text, '\n'), source;

        if (line >= n->doc->line_count)
            break;
        source = line_text(n->doc, line++);
        if (first.n && source.n >= first.n)
            return source.n - first.n;
    }
    return 0;
}

static struct place place_in_literal(const struct yaml_node *n, size_t offset)
{
    size_t line = yaml_line_of(n->doc, n->at), indent = block_indent(n), start = 0;
    struct span source;

    if (offset > n->scalar.n)
        offset = n->scalar.n;
    for (size_t i = 0; i < offset; i++)
        if (n->scalar.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    if (line >= n->doc->line_count)
        return yaml_place(n);
    source = line_text(n->doc, line);
    start = indent + (offset - start);
    return yaml_place_at(n->doc, n->doc->lines[line] + (start < source.n ? start : source.n));
}

struct place yaml_place_in(const struct yaml_node *n, size_t offset)
{
    if (n->kind != YAML_SCALAR || n->style == YAML_FOLDED)
        return yaml_place(n);
    if (n->style == YAML_LITERAL)
        return place_in_literal(n, offset);
    if (yaml_line_of(n->doc, n->at) != yaml_line_of(n->doc, n->end))
        return yaml_place(n);
    return yaml_place_at(n->doc, n->at + source_offset(n, offset));
}
