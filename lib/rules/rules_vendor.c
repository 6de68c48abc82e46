/* `trust`, `pins`, `client_certificate`: what a vendor must prove, and what we show it. The files
 * and secrets that are named here are read by those who know what stands in them. */
#include "rules_internal.h"

static struct span resolve(struct rules_loader *l, struct span file)
{
    if (file.n == 0 || file.p[0] == '/')
        return file;
    return span_cstr(arena_printf(&l->set->mem, "%s/%.*s", l->beside, SPAN_ARG(file)));
}

bool rules_read_file(struct rules_loader *l, const struct yaml_node *n, const char *key,
                     bool required, struct span *file, struct place *where)
{
    if (!rules_read_line(l, n, key, required, 1000, file))
        return false;
    *where = rules_keep_place(l->set, yaml_place(yaml_get(n, key)));
    *file = resolve(l, *file);
    return true;
}

static void read_trust(struct rules_loader *l, const struct yaml_node *n,
                       struct rules_connection *c)
{
    struct span which;

    if (!rules_read_line(l, n, "trust", false, 1000, &which))
        return;
    c->trust_place = rules_keep_place(l->set, yaml_place(yaml_get(n, "trust")));
    c->trust = span_eq(which, SPAN_LIT("system")) ? which : resolve(l, which);
}

/* -------------------------------------------------------------------- pins */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* "sha256/" and the base64 (RFC 4648 4) of 32 bytes: 43 characters and one `=`, the last two bits
 * zero. */
static bool read_pin(struct span text, uint8_t out[RULES_PIN])
{
    unsigned bits = 0, have = 0, at = 0;

    if (!span_starts(text, SPAN_LIT("sha256/")) || text.n != 7 + 44 || text.p[text.n - 1] != '=')
        return false;
    for (size_t i = 7; i < text.n - 1; i++) {
        int v = sextet(text.p[i]);

        if (v < 0)
            return false;
        bits = (bits << 6 | (unsigned)v) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[at++] = (uint8_t)(bits >> have);
        }
    }
    return (bits & ((1u << have) - 1)) == 0;
}

static void read_pins(struct rules_loader *l, const struct yaml_node *n, struct rules_connection *c)
{
    const struct yaml_node **nodes;
    struct span *texts;
    uint8_t(*pins)[RULES_PIN];
    unsigned count;

    if (!yaml_get(n, "pins") ||
        !rules_read_texts(l, n, "pins", true, false, &texts, &nodes, &count))
        return;
    if (count > RULES_PINS_MAX) {
        diag_error(l->d, yaml_place(yaml_get(n, "pins")), "at most %d pins a connection",
                   RULES_PINS_MAX);
        return;
    }
    pins = arena_alloc_array(&l->set->mem, count, sizeof(*pins));
    for (unsigned i = 0; i < count; i++)
        if (texts[i].n && !read_pin(texts[i], pins[i]))
            diag_error(l->d, yaml_place(nodes[i]),
                       "a pin is written as sha256/ and the base64 of the key's SHA-256, as in "
                       "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    c->pins = (const uint8_t(*)[RULES_PIN])pins;
    c->npins = count;
}

static void read_client_certificate(struct rules_loader *l, const struct yaml_node *n,
                                    struct rules_connection *c)
{
    if (rules_read_line(l, n, "client_certificate", false, RULES_NAME_MAX,
                        &c->client_certificate) &&
        !rules_is_name(c->client_certificate, true))
        diag_error(l->d, yaml_place(yaml_get(n, "client_certificate")),
                   "a secret's name is made of letters, digits, `_`, `-` and dots");
}

void rules_read_vendor_tls(struct rules_loader *l, const struct yaml_node *n,
                           struct rules_connection *c)
{
    read_trust(l, n, c);
    read_pins(l, n, c);
    read_client_certificate(l, n, c);
}
