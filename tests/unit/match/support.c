#include "match_test.h"

#include <time.h>

void rig_up(struct rig *r, const struct model *m)
{
    struct match_builder *b = match_builder_new();
    char why[256] = "", name[16];
    int id;

    memset(r, 0, sizeof(*r));
    r->m = *m;
    id = match_builder_add_known(b, SPAN_LIT("pci.card"));
    if (m->card != MODEL_NONE) {
        r->policy.detectors |= 1ull << id;
        r->policy.keep[id] = (uint8_t)m->card;
    }
    id = match_builder_add_known(b, SPAN_LIT("pii.email"));
    if (m->mail != MODEL_NONE) {
        r->policy.detectors |= 1ull << id;
        r->policy.keep[id] = (uint8_t)m->mail;
    }
    for (unsigned i = 0; i < m->patterns; i++) {
        snprintf(name, sizeof(name), "test.%u", i);
        id = match_builder_add_pattern(b, span_cstr(name), span_cstr(m->pattern[i].text),
                                       span_cstr(m->pattern[i].luhn ? "luhn" : ""), why);
        if (id < 0)
            fail_msg("pattern %s: %s", m->pattern[i].text, why);
        r->policy.detectors |= 1ull << id;
        r->policy.keep[id] = (uint8_t)m->pattern_keep;
    }
    for (unsigned i = 0; i < m->secrets; i++)
        assert_true(match_builder_add_secret(b, SPAN_LIT("s"), m->secret[i]));
    r->db = match_builder_compile(b, why);
    if (!r->db)
        fail_msg("compile: %s", why);
    match_builder_free(b);
    r->w = match_worker_new(4);
    assert_non_null(r->w);
    assert_true(match_worker_adopt(r->w, r->db));
}

void rig_down(struct rig *r)
{
    match_worker_free(r->w);
    match_db_free(r->db);
}

uint64_t rnd(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned rnd_below(uint64_t *seed, unsigned n)
{
    return (unsigned)(rnd(seed) % n);
}

uint64_t rnd_seed(void)
{
    const char *s = getenv("MATCH_SEED");
    uint64_t seed = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL) * 1000003u;

    print_message("seed %#llx (set MATCH_SEED to repeat)\n", (unsigned long long)seed);
    return seed;
}

void stream_all(struct rig *r, enum match_syntax syntax, char *buf, size_t n, cut_fn *cut,
                uint64_t *seed, struct run *run)
{
    struct match_stream *s = match_stream_open(r->w, r->db, &r->policy, syntax);
    size_t start = 0, held = 0, at = 0;
    bool last = false;

    assert_non_null(s);
    memset(run, 0, sizeof(*run));
    while (!last) {
        size_t add = at < n ? cut(seed, n - at) : 0, gone;
        char *window;
        last = at + add == n && (at == n || rnd_below(seed, 2));
        if (last)
            run->held_end = held;
        window = malloc(held + add + 1); /* apart, so that sanitizers see every step outside */
        memcpy(window, buf + start, held + add);
        gone = match_stream_scan(s, window, held, add, last);
        assert_true(gone <= held + add);
        assert_memory_equal(window + gone, buf + start + gone, held + add - gone);
        memcpy(buf + start, window, gone);
        free(window);
        at += add;
        start += gone;
        held += add - gone;
        if (held > run->held_most)
            run->held_most = held;
        if (at == n)
            run->held_end = held;
    }
    assert_int_equal(held, 0);
    run->found = *match_stream_found(s);
    match_stream_close(s);
}

static char check_digit(const char *d, size_t n)
{
    int sum = 0;

    for (size_t i = 0; i < n; i++) {
        int v = d[n - 1 - i] - '0';
        sum += i % 2 ? v : v * 2 / 10 + v * 2 % 10;
    }
    return (char)('0' + (10 - sum % 10) % 10);
}

size_t random_card(uint64_t *seed, char out[40])
{
    static const struct {
        const char *head;
        unsigned lo, hi;
    } kind[] = {{"4", 13, 13},    {"4", 16, 16},    {"4", 19, 19},    {"51", 16, 16},
                {"2221", 16, 16}, {"2720", 16, 16}, {"34", 15, 15},   {"37", 15, 15},
                {"6011", 16, 19}, {"3095", 14, 19}, {"3528", 16, 19}, {"62", 16, 19},
                {"50", 13, 19},   {"6", 13, 19},    {"2204", 16, 19}, {"9792", 16, 16}};
    unsigned k = rnd_below(seed, sizeof(kind) / sizeof(*kind));
    size_t n = kind[k].lo + rnd_below(seed, kind[k].hi - kind[k].lo + 1), i = strlen(kind[k].head);

    memcpy(out, kind[k].head, i);
    for (; i < n - 1; i++)
        out[i] = (char)('0' + rnd_below(seed, 10));
    out[n - 1] = check_digit(out, n - 1);
    out[n] = 0;
    return n;
}

struct sink {
    char *p;
    size_t n, room;
    uint64_t *seed;
    enum match_syntax syntax;
    unsigned escapes; /* of a hundred characters */
};

static void put(struct sink *k, char c)
{
    unsigned char u = (unsigned char)c;
    bool escape = rnd_below(k->seed, 100) < k->escapes;

    if (k->n + 16 > k->room)
        return;
    if (escape && k->syntax == MATCH_JSON && u < 0x80)
        k->n += (size_t)sprintf(k->p + k->n, rnd_below(k->seed, 2) ? "\\u%04x" : "\\u%04X", u);
    else if (escape && k->syntax == MATCH_FORM)
        k->n += (size_t)sprintf(k->p + k->n, rnd_below(k->seed, 2) ? "%%%02x" : "%%%02X", u);
    else
        k->p[k->n++] = c;
}

static void put_text(struct sink *k, const char *s)
{
    while (*s)
        put(k, *s++);
}

static void put_card(struct sink *k)
{
    char d[40];
    size_t n = random_card(k->seed, d);
    unsigned style = rnd_below(k->seed, 5);
    char sep = rnd_below(k->seed, 2) ? ' ' : '-';

    if (rnd_below(k->seed, 8) == 0)
        d[rnd_below(k->seed, (unsigned)n)] = '7';
    for (size_t i = 0; i < n; i++) {
        if (i && ((style == 1 && i % 4 == 0) || (style == 2 && rnd_below(k->seed, 3) == 0) ||
                  style == 3))
            put(k, sep);
        put(k, d[i]);
    }
}

static void put_run(struct sink *k, const char *of, unsigned n)
{
    while (n--)
        put(k, of[rnd_below(k->seed, (unsigned)strlen(of))]);
}

static void put_mail(struct sink *k)
{
    static const char local[] = "abcXYZ019._%+-", label[] = "abcdefXYZ0189-";

    put_run(k, local, 1 + rnd_below(k->seed, rnd_below(k->seed, 6) ? 12 : 80));
    put(k, '@');
    for (unsigned n = 1 + rnd_below(k->seed, 4); n; n--) {
        put_run(k, label, 1 + rnd_below(k->seed, rnd_below(k->seed, 6) ? 8 : 66));
        put(k, '.');
    }
    put_run(k, "comnetORG", 1 + rnd_below(k->seed, 4));
}

static void put_secret(struct sink *k, const struct model *m)
{
    struct span form[16];
    unsigned n, pick;

    if (!m->secrets)
        return;
    n = model_forms(m->secret[rnd_below(k->seed, m->secrets)], form);
    pick = rnd_below(k->seed, n);
    size_t len = rnd_below(k->seed, 4) ? form[pick].n : rnd_below(k->seed, (unsigned)form[pick].n);
    for (size_t i = 0; i < len; i++)
        put(k, form[pick].p[i]);
    for (unsigned i = 0; i < n; i++)
        free((char *)(uintptr_t)form[i].p);
}

static void put_piece(struct sink *k, const struct model *m)
{
    static const char *const odd[] = {
        "\"",       "\\",     "\\\"",    "\\\\",    "\\n",     "\\u",     "\\u00",   "%",
        "%4",       "+",      "\n",      "\r\n",    "{\"a\":", "}",       "],[",     "@",
        ".",        "true",   "null",    "-",       "1e",      "\\ud83d", "\\ude00", "\\u00e9",
        "\xc3\xa9", "\xe2",   "0.",      "12",      "&x=",     "E-",      "xyz",     " ",
        "..",       "@b.co@", "john@x.", "\\u0040", "\\u0034", "\\/",     "%2B",     ": "};

    switch (rnd_below(k->seed, 9)) {
    case 0:
    case 1:
        put_card(k);
        break;
    case 2:
        put_mail(k);
        break;
    case 3:
        put_secret(k, m);
        break;
    case 4:
        put_run(k, "0123456789", rnd_below(k->seed, rnd_below(k->seed, 20) ? 24 : 400));
        break;
    case 5:
        put_run(k, "4 4-55xyzE", rnd_below(k->seed, 60));
        break;
    case 6:
        put_run(k, "E-0123456789xyz ", rnd_below(k->seed, 40));
        break;
    default:
        put_text(k, odd[rnd_below(k->seed, sizeof(odd) / sizeof(*odd))]);
    }
}

size_t random_text(uint64_t *seed, const struct model *m, enum match_syntax syntax, char *out,
                   size_t room)
{
    static const unsigned escapes[] = {0, 0, 2, 20, 100};
    struct sink k = {out, 0, room, seed, syntax, escapes[rnd_below(seed, 5)]};
    size_t want = 1 + rnd_below(seed, (unsigned)room - 16);

    for (unsigned i = 0; i < 10000 && k.n < want; i++)
        put_piece(&k, m);
    return k.n;
}

static void dump(const char *what, const char *p, size_t n, size_t at)
{
    size_t from = at > 60 ? at - 60 : 0, to = at + 100 < n ? at + 100 : n;

    print_error("%s at %zu: ", what, at);
    for (size_t i = from; i < to; i++)
        print_error(p[i] >= ' ' && p[i] < 127 ? "%c" : "<%02x>", (unsigned char)p[i]);
    print_error("\n");
}

void same_found(const struct match_found *a, const struct match_found *b)
{
    assert_int_equal(a->secrets, b->secrets);
    assert_int_equal(a->which, b->which);
    for (unsigned i = 0; i < MATCH_DETECTORS_MAX; i++)
        assert_int_equal(match_found_count(a, i), match_found_count(b, i));
}

void same_bytes(const char *what, uint64_t seed, const char *in, const char *want, const char *got,
                size_t n)
{
    size_t at = 0;

    while (at < n && want[at] == got[at])
        at++;
    if (at == n)
        return;
    dump("text    ", in, n, at);
    dump("expected", want, n, at);
    dump("got     ", got, n, at);
    fail_msg("%s differs (seed %#llx)", what, (unsigned long long)seed);
}
