/* The windows of a decision: whose they are, what the call adds, what the conditions see of them.
 */
#include "rules_internal.h"

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() __asm__ volatile("" ::: "memory")
#endif

/* A text that is written as a number is that number, so that one value has one window however it
 * is sent: 5, 5.0, "5", and amount=5 in a form. */
static bool hash_value(struct window_hash *h, const struct rules_value *v)
{
    switch (v->kind) {
    case VALUE_STRING:
        if (!body_number_valid(v->text)) {
            window_hash_put(h, "s", 1);
            window_hash_text(h, v->text);
            return true;
        }
        /* fallthrough */
    case VALUE_NUMBER:
    case VALUE_FORM:
        window_hash_put(h, "n", 1);
        rules_amount_hash(h, v->text);
        return true;
    default:
        return false;
    }
}

/* False: a key that cannot be read. */
static bool read_key(const struct rules_windows *w, const struct rules_window_use *use,
                     struct rules_run *r, struct window_key *key)
{
    struct window_hash h;

    window_hash_begin(&h, w->table);
    window_hash_text(&h, use->text);
    for (unsigned i = 0; i < use->nkeys; i++) {
        struct rules_value v = rules_eval(use->key[i], r);

        if (!hash_value(&h, &v))
            return false;
    }
    *key = window_hash_end(&h);
    return true;
}

static bool read_amount(const struct rules_window_use *use, const struct rules_run *r,
                        uint64_t *amount)
{
    struct rules_value v;

    if (use->kind == WINDOW_CALLS)
        return rules_amount_read(SPAN_LIT("1"), amount);
    rules_value_read(&r->doc[DOC_BODY].v[r->slots[DOC_BODY][use->amount]], r->form[DOC_BODY], &v);
    return (v.kind == VALUE_NUMBER || v.kind == VALUE_FORM) && rules_amount_read(v.text, amount);
}

void rules_windows_read(struct rules_windows *w, const struct rules_plan *p, struct rules_run *r)
{
    r->window = NULL;
    for (unsigned i = 0; i < p->nwindows; i++) {
        const struct rules_plan_window *from = &p->windows[i];
        struct rules_window_now *to = &w->now[i];

        for (unsigned d = 0; d < DOC_COUNT; d++)
            r->slots[d] = from->slots[d];
        to->readable = w->table && read_amount(from->use, r, &to->amount) &&
                       read_key(w, from->use, r, &to->key);
    }
}

bool rules_windows_reserve(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                           struct rules_verdict *v)
{
    bool contested = false;

    for (unsigned i = 0; i < p->nwindows; i++) {
        struct rules_window_now *to = &w->now[i];
        enum window_result r;

        to->reserved = false;
        if (!to->readable)
            continue;
        r = window_reserve(w->table, to->key, p->windows[i].use->length_ns, to->amount, now_ns,
                           &to->count, &to->least, &to->most);
        to->reserved = r == WINDOW_RESERVED;
        v->window_full = v->window_full || r == WINDOW_FULL;
        contested = contested || (to->reserved && to->least != to->most);
    }
    return contested;
}

void rules_windows_show(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                        bool most)
{
    for (unsigned i = 0; i < p->nwindows; i++) {
        struct rules_window_now *from = &w->now[i];
        struct rules_value *to = &w->value[i];

        *to = VALUE_OF(VALUE_UNKNOWN);
        if (!from->reserved || window_forgot(w->table, p->windows[i].use->length_ns, now_ns))
            continue;
        to->kind = VALUE_NUMBER;
        to->text = rules_amount_text(most ? from->most : from->least, from->text);
    }
}

const struct rules_value *rules_windows_of(struct rules_windows *w, const struct rules_candidate *c)
{
    for (unsigned i = 0; i < c->when->nwindows; i++)
        w->shown[i] = w->value[c->window[i]];
    return w->shown;
}

void rules_windows_withdraw(struct rules_windows *w, const struct rules_plan *p)
{
    for (unsigned i = 0; i < p->nwindows; i++)
        if (w->now[i].reserved)
            window_withdraw(w->table, &w->now[i].count);
}

void rules_windows_commit(struct rules_windows *w, const struct rules_plan *p, uint64_t now_ns,
                          struct rules_verdict *v)
{
    for (unsigned i = 0; i < p->nwindows; i++) {
        if (!w->now[i].reserved)
            continue;
        window_commit(w->table, &w->now[i].count, now_ns);
        if (w->now[i].amount)
            v->counted[v->ncounted++] = w->now[i].count;
    }
}

/* At random, so that two who were in each other's way are not again. */
void rules_windows_pause(struct rules_windows *w, unsigned tries)
{
    uint64_t spins;

    w->random = w->random * 6364136223846793005 + 1442695040888963407;
    spins = (w->random >> 33) % (16u << (tries < 5 ? tries : 5));
    while (spins--)
        RELAX();
}
