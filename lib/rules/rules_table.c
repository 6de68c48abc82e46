/* Constant lists that are searched by hash: open addressing, at most half full. The entries come
 * from our own files, so that their hashes need no secret. */
#include "rules_internal.h"

struct rules_table {
    const struct rules_value *items;
    uint32_t *slot; /* index in items + 1; 0: free */
    unsigned n, mask;
    size_t longest; /* text of an item */
    bool numbers;
};

static uint64_t hash_of(bool number, struct span s)
{
    uint64_t h = number ? rules_decimal_hash(s) : span_hash(s);

    return h ^ h >> 32;
}

static bool same(bool number, struct span a, struct span b)
{
    int order;

    if (!number)
        return span_eq(a, b);
    return span_eq(a, b) || (body_number_cmp(a, b, &order) && order == 0);
}

struct rules_table *rules_table_new(struct arena *mem, const struct rules_value *items, unsigned n)
{
    struct rules_table *t = arena_new(mem, struct rules_table);
    unsigned room = 4;

    while (room < 2 * n)
        room *= 2;
    t->items = items;
    t->n = n;
    t->mask = room - 1;
    t->numbers = n && items[0].kind == VALUE_NUMBER;
    t->slot = arena_array(mem, uint32_t, room);
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = hash_of(t->numbers, items[i].text);

        if (rules_table_find(t, &items[i]) >= 0)
            continue;
        while (t->slot[at & t->mask])
            at++;
        t->slot[at & t->mask] = i + 1;
        t->longest = items[i].text.n > t->longest ? items[i].text.n : t->longest;
    }
    return t;
}

const struct rules_value *rules_table_items(const struct rules_table *t)
{
    return t->items;
}

int64_t rules_table_find(const struct rules_table *t, const struct rules_value *a)
{
    bool number = a->kind == VALUE_NUMBER || a->kind == VALUE_FORM;
    bool text = a->kind == VALUE_STRING || a->kind == VALUE_FORM;

    if (t->n == 0)
        return -1;
    if (t->numbers ? !number : !text)
        return -2;
    if (!t->numbers && a->text.n > t->longest)
        return -1;
    for (uint64_t at = hash_of(t->numbers, a->text);; at++) {
        uint32_t i = t->slot[at & t->mask];

        if (i == 0)
            return -1;
        if (same(t->numbers, t->items[i - 1].text, a->text))
            return i - 1;
    }
}
