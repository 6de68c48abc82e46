/* Any bytes as a rules file: it is refused with a place, or every node can be walked, has a place
 * inside the file, and is found under its key. */
#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_place(struct place p)
{
    if (p.line == 0 || p.column == 0 || p.column > p.text.n + 1)
        abort();
}

static void walk_scalar(const struct yaml_node *n)
{
    struct span s = yaml_text(n);

    if (s.p[s.n] != '\0' || strlen(s.p) != s.n)
        abort();
    for (size_t i = 0; i <= s.n && i < 64; i++)
        check_place(yaml_place_in(n, i));
}

/* Depth is bounded by the parser, so recursion is. */
static void walk(const struct yaml_node *n, unsigned depth)
{
    if (depth > 64)
        abort();
    check_place(yaml_place(n));
    if (yaml_kind_of(n) == YAML_SCALAR) {
        walk_scalar(n);
        return;
    }
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (yaml_kind_of(n) == YAML_MAPPING) {
            walk_scalar(yaml_key_at(n, i));
            if (yaml_get(n, yaml_text(yaml_key_at(n, i)).p) != yaml_at(n, i))
                abort();
        }
        walk(yaml_at(n, i), depth + 1);
    }
}

static void read_all(const struct yaml_node *n, struct diags *d)
{
    static const char *const names[] = {"a", "abc", "key", NULL};
    struct span text;
    uint64_t number;
    unsigned choice;
    bool flag;

    yaml_read_text(n, "a", true, &text, d);
    yaml_read_u64(n, "a", true, 1, 100, &number, d);
    yaml_read_bool(n, "a", true, &flag, d);
    yaml_read_duration(n, "a", true, &number, d);
    yaml_read_size(n, "a", true, &number, d);
    yaml_read_enum(n, "a", true, names, &choice, d);
    yaml_only(n, names, d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char json[1 << 20];
    struct outbuf o = outbuf_on(json, sizeof(json));
    struct yaml_doc *doc;
    struct diags d;
    FILE *null = fopen("/dev/null", "w");

    diags_init(&d);
    doc = yaml_parse("fuzz", span_of(data, size), &d);
    if ((doc == NULL) != (d.errors > 0))
        abort();
    if (doc) {
        walk(yaml_root(doc), 0);
        read_all(yaml_root(doc), &d);
    }
    diags_json(&d, &o);
    diags_print(&d, null, true);
    fclose(null);
    yaml_free(doc);
    diags_free(&d);
    return 0;
}
