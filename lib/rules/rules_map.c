#include "rules_internal.h"

static struct rules_map_entry *slot_of(const struct rules_map *m, struct span key)
{
    size_t i = span_hash(key) & (m->room - 1);

    while (m->slot[i].value && !span_eq(m->slot[i].key, key))
        i = (i + 1) & (m->room - 1);
    return &m->slot[i];
}

static void grow(struct rules_map *m, struct arena *mem)
{
    struct rules_map old = *m;

    m->room = old.room ? old.room * 2 : 16;
    m->slot = arena_array(mem, struct rules_map_entry, m->room);
    for (size_t i = 0; i < old.room; i++)
        if (old.slot[i].value)
            *slot_of(m, old.slot[i].key) = old.slot[i];
}

void *rules_map_put(struct rules_map *m, struct arena *mem, struct span key, void *value)
{
    struct rules_map_entry *e;

    if (m->n * 2 >= m->room) /* at least half stays free: probes are short and end */
        grow(m, mem);
    e = slot_of(m, key);
    if (e->value)
        return e->value;
    *e = (struct rules_map_entry){key, value};
    m->n++;
    return NULL;
}

void *rules_map_get(const struct rules_map *m, struct span key)
{
    return m->room ? slot_of(m, key)->value : NULL;
}

void rules_list_add(struct rules_list *l, struct arena *mem, void *item)
{
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 16;
        void **at = arena_array(mem, void *, room);

        if (l->n)
            memcpy(at, l->at, l->n * sizeof(*at));
        l->at = at;
        l->room = room;
    }
    l->at[l->n++] = item;
}
