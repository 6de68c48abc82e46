#include "base/yaml.h"

#include "base_internal.h"
#include "yaml_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* Characters that a file of rules may hold as they are: YAML's printable ones (section 5.1)
 * without those that make a line look different from what it is. Tabs are among these, and
 * libfyaml 0.7.12 frees a key twice where it complains about one. */
static bool may_stand(uint32_t cp)
{
    if (cp == '\n' || cp == '\r')
        return true;
    if (char_is_control(cp) || cp == 0xfeff || cp == 0xfffe || cp == 0xffff)
        return false;
    if (cp == 0x2028 || cp == 0x2029) /* line breaks to some, not to YAML */
        return false;
    /* Direction marks: what is shown would not be in the order of what is read. */
    return !(cp >= 0x202a && cp <= 0x202e) && !(cp >= 0x2066 && cp <= 0x2069);
}

static void refuse_character(struct place where, uint32_t cp, struct diags *d)
{
    if (cp == '\t')
        diag_error(d, where, "tabs are not allowed: use spaces, or \\t in double quotes");
    else
        diag_error(d, where, "the character U+%04X is not allowed here: write it as an escape", cp);
}

static bool check_text(const struct yaml_doc *doc, struct diags *d)
{
    struct span s = doc->text;

    while (s.n) {
        uint32_t cp;
        size_t n = utf8_next(s, &cp), at = (size_t)(s.p - doc->text.p);

        if (n == 0) {
            diag_error(d, yaml_place_at(doc, at), "not UTF-8");
            return false;
        }
        if (!may_stand(cp)) {
            refuse_character(yaml_place_at(doc, at), cp, d);
            return false;
        }
        s = span_from(s, n);
    }
    return true;
}

struct yaml_doc *yaml_parse(const char *name, struct span text, struct diags *d)
{
    struct yaml_doc *doc;

    if (text.n > YAML_FILE_MAX) {
        diag_error(d, place_of_file(name), "larger than %zu MiB", YAML_FILE_MAX >> 20);
        return NULL;
    }
    doc = calloc(1, sizeof(*doc));
    if (!doc) {
        diag_error(d, place_of_file(name), "out of memory");
        return NULL;
    }
    if (span_starts(text, SPAN_LIT("\xef\xbb\xbf"))) /* a byte order mark says nothing in UTF-8 */
        text = span_from(text, 3);
    doc->name = arena_strdup(&doc->mem, span_cstr(name));
    doc->text = arena_span(&doc->mem, text);
    yaml_index_lines(doc);
    if (!check_text(doc, d) || !yaml_build(doc, d)) {
        yaml_free(doc);
        return NULL;
    }
    return doc;
}

static struct yaml_doc *load_fd(int fd, const char *path, struct diags *d)
{
    struct yaml_doc *doc = NULL;
    struct stat st;
    char *buf = NULL;
    size_t room;
    ssize_t n;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        diag_error(d, place_of_file(path), "not a regular file");
        return NULL;
    }
    /* One byte more than is allowed, so that a file that grows meanwhile is seen as too large. */
    room = (st.st_size > (off_t)YAML_FILE_MAX ? YAML_FILE_MAX : (size_t)st.st_size) + 1;
    buf = malloc(room);
    n = buf ? file_read_up_to(fd, buf, room) : -1;
    if (!buf)
        diag_error(d, place_of_file(path), "out of memory");
    else if (n < 0)
        diag_error(d, place_of_file(path), "cannot be read: %s", strerrordesc_np(errno));
    else if ((size_t)n == room && room <= YAML_FILE_MAX)
        diag_error(d, place_of_file(path), "changed while it was read");
    else
        doc = yaml_parse(path, span_of(buf, (size_t)n), d);
    free(buf);
    return doc;
}

struct yaml_doc *yaml_load(const char *path, struct diags *d)
{
    /* Without O_NONBLOCK the opening of a FIFO would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct yaml_doc *doc;

    if (fd < 0) {
        diag_error(d, place_of_file(path), "cannot be opened: %s", strerrordesc_np(errno));
        return NULL;
    }
    doc = load_fd(fd, path, d);
    close(fd);
    return doc;
}

void yaml_free(struct yaml_doc *doc)
{
    if (!doc)
        return;
    arena_free(&doc->mem); /* the nodes live in it, the document does not */
    free(doc);
}

struct span yaml_source(const struct yaml_doc *doc)
{
    return doc->text;
}

const struct yaml_node *yaml_root(const struct yaml_doc *doc)
{
    return doc->root;
}

enum yaml_kind yaml_kind_of(const struct yaml_node *n)
{
    return n->kind;
}

struct span yaml_text(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR ? n->scalar : SPAN_NONE;
}

bool yaml_is_plain(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && n->style == YAML_PLAIN;
}

size_t yaml_count(const struct yaml_node *n)
{
    return n->count;
}

const struct yaml_node *yaml_at(const struct yaml_node *n, size_t i)
{
    if (i >= n->count)
        return NULL;
    return n->kind == YAML_MAPPING ? n->items[2 * i + 1] : n->items[i];
}

const struct yaml_node *yaml_key_at(const struct yaml_node *n, size_t i)
{
    return n->kind == YAML_MAPPING && i < n->count ? n->items[2 * i] : NULL;
}

static bool pair_has_key(const struct yaml_node *n, size_t pair, struct span key)
{
    const struct yaml_node *k = n->items[2 * pair];

    return k->kind == YAML_SCALAR && span_eq(k->scalar, key);
}

struct yaml_node *yaml_find(const struct yaml_node *n, struct span key, size_t pairs)
{
    if (!n->slots) {
        for (size_t i = 0; i < pairs; i++)
            if (pair_has_key(n, i, key))
                return n->items[2 * i + 1];
        return NULL;
    }
    for (uint64_t at = span_hash(key);; at++) {
        uint32_t slot = n->slots[at & n->slot_mask];

        if (slot == 0)
            return NULL;
        if (pair_has_key(n, slot - 1, key))
            return n->items[2 * (slot - 1) + 1];
    }
}

const struct yaml_node *yaml_get(const struct yaml_node *n, const char *key)
{
    if (!n || n->kind != YAML_MAPPING)
        return NULL;
    return yaml_find(n, span_cstr(key), n->count);
}
