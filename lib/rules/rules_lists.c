/* `lists`: constants with a name, for conditions. */
#include "rules_internal.h"

#define ENTRY_MAX 1000 /* bytes */

static bool read_entry(struct rules_loader *l, const struct yaml_node *n, struct rules_value *v)
{
    struct span text = yaml_text(n);

    if (yaml_kind_of(n) != YAML_SCALAR || text.n == 0 || text.n > ENTRY_MAX) {
        diag_error(l->d, yaml_place(n), "an entry is a string or a number, of 1 to %d bytes",
                   ENTRY_MAX);
        return false;
    }
    v->kind = yaml_is_plain(n) && body_number_valid(text) ? VALUE_NUMBER : VALUE_STRING;
    v->text = arena_span(&l->set->mem, text);
    return true;
}

/* The same kind as those before it, and none of them. */
static bool fits(struct rules_loader *l, const struct yaml_node *n, const struct rules_value *items,
                 unsigned i)
{
    if (items[i].kind == items[0].kind)
        return true;
    diag_error(l->d, yaml_place(n), "this list begins with %s; here is %s (in quotes it is text)",
               items[0].kind == VALUE_NUMBER ? "a number" : "a string",
               items[i].kind == VALUE_NUMBER ? "a number" : "a string");
    return false;
}

/* The table keeps the first of equal entries. */
static void find_twins(struct rules_loader *l, const struct yaml_node *n,
                       const struct rules_table *t, const struct rules_value *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int64_t first = rules_table_find(t, &items[i]);

        if (first >= 0 && (unsigned)first != i)
            diag_error(l->d, yaml_place(yaml_at(n, i)),
                       "`%.*s` is in this list already, in line %u", SPAN_ARG(items[i].text),
                       yaml_place(yaml_at(n, (size_t)first)).line);
    }
}

static void read_entries(struct rules_loader *l, const struct yaml_node *n,
                         struct rules_named_list *list)
{
    struct rules_value *items;
    unsigned count = (unsigned)yaml_count(n);
    bool good = true;

    if (yaml_kind_of(n) != YAML_SEQUENCE || count == 0 || yaml_count(n) > RULES_LIST_MAX) {
        diag_error(l->d, yaml_place(n), "a list has 1 to %d entries: [one, two]", RULES_LIST_MAX);
        return;
    }
    items = arena_array(&l->set->mem, struct rules_value, count);
    for (unsigned i = 0; i < count && good; i++)
        good = read_entry(l, yaml_at(n, i), &items[i]) && fits(l, yaml_at(n, i), items, i);
    if (!good)
        return;
    list->elem = items[0].kind == VALUE_NUMBER ? TYPE_NUMBER : TYPE_STRING;
    list->value = (struct rules_value){.kind = VALUE_TABLE, .n = count};
    list->value.table = rules_table_new(&l->set->mem, items, count);
    find_twins(l, n, list->value.table, items, count);
}

static void read_list(struct rules_loader *l, const struct yaml_node *key,
                      const struct yaml_node *n)
{
    struct rules_named_list *list = arena_new(&l->tmp, struct rules_named_list), *first;

    list->name = arena_span(&l->tmp, yaml_text(key));
    list->place = rules_keep_place(l->set, yaml_place(key));
    list->value = (struct rules_value){.kind = VALUE_ITEMS};
    if (!rules_is_name(list->name, false))
        diag_error(l->d, list->place, "a list's name is one word of letters, digits, _ and -");
    first = rules_map_put(&l->list_names, &l->tmp, list->name, list);
    if (first)
        diag_error(l->d, list->place, "the list `%.*s` is already in %s:%u", SPAN_ARG(list->name),
                   first->place.file, first->place.line);
    rules_list_add(&l->lists, &l->tmp, list);
    list->used = first != NULL;
    read_entries(l, n, list);
}

void rules_read_lists(struct rules_loader *l, const struct yaml_node *n)
{
    if (!rules_want_mapping(l, n, "`lists`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (l->lists.n == RULES_LISTS_MAX) {
            diag_error(l->d, yaml_place(yaml_key_at(n, i)), "a rule set has at most %d lists",
                       RULES_LISTS_MAX);
            return;
        }
        read_list(l, yaml_key_at(n, i), yaml_at(n, i));
    }
}

void rules_finish_lists(struct rules_loader *l)
{
    for (size_t i = 0; i < l->lists.n; i++) {
        const struct rules_named_list *list = l->lists.at[i];

        if (!list->used)
            diag_error(l->d, list->place, "no condition uses the list `%.*s`",
                       SPAN_ARG(list->name));
    }
}
