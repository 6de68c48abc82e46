/* Mappings by their keys: the table of a large one, and two made one. */
#include "yaml_internal.h"

void yaml_make_slots(struct yaml_node *n)
{
    uint32_t room = 2 * YAML_LINEAR_MAX;

    while (room < 2 * n->count)
        room *= 2;
    n->slots = arena_array(&n->doc->mem, uint32_t, room);
    n->slot_mask = room - 1;
}

void yaml_add_slot(struct yaml_node *n, uint32_t pair)
{
    uint64_t at = span_hash(n->items[2 * pair]->scalar);

    while (n->slots[at & n->slot_mask])
        at++;
    n->slots[at & n->slot_mask] = pair + 1;
}

static bool is_deep(struct span key, const char *const *deep)
{
    for (; *deep; deep++)
        if (span_eq(key, span_cstr(*deep)))
            return true;
    return false;
}

static struct yaml_node *join(const struct yaml_node *over, const struct yaml_node *under,
                              const char *const *deep)
{
    static const char *const none[] = {NULL};
    struct yaml_node *n = arena_new(&over->doc->mem, struct yaml_node), *other, **value;

    *n = *over;
    n->slots = NULL;
    n->items = arena_array(&over->doc->mem, struct yaml_node *, 2 * (over->count + under->count));
    for (size_t i = 0; i < over->count; i++) {
        n->items[2 * i] = over->items[2 * i];
        value = &n->items[2 * i + 1];
        *value = over->items[2 * i + 1];
        if (!is_deep(n->items[2 * i]->scalar, deep) || (*value)->kind != YAML_MAPPING)
            continue;
        other = yaml_find(under, n->items[2 * i]->scalar, under->count);
        if (other && other->kind == YAML_MAPPING)
            *value = join(*value, other, none);
    }
    for (size_t i = 0; i < under->count; i++) {
        if (yaml_find(over, under->items[2 * i]->scalar, over->count))
            continue;
        n->items[2 * n->count] = under->items[2 * i];
        n->items[2 * n->count++ + 1] = under->items[2 * i + 1];
    }
    if (n->count > YAML_LINEAR_MAX) {
        yaml_make_slots(n);
        for (size_t i = 0; i < n->count; i++)
            yaml_add_slot(n, (uint32_t)i);
    }
    return n;
}

const struct yaml_node *yaml_join(const struct yaml_node *over, const struct yaml_node *under,
                                  const char *const *deep)
{
    return join(over, under, deep);
}
