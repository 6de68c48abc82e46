/* What conditions are asked about: trees of values, and the bytes that say the same. Fields have a
 * type that they mostly keep to; what breaks it is what strangers do: other types, keys that are
 * there twice or almost twice, ends that come too early. */
#include "model.h"

#include <stdio.h>
#include <string.h>

const char *const model_words[MODEL_WORDS] = {"a", "ab", "5", "x y", "\xc3\xab"};
const char *const model_numbers[MODEL_NUMBERS] = {"1", "0.5", "5e0", "100", "-1", "1e400"};
const char *const model_detectors[3] = {"pci.card", "pii.email", "acme.id"};

struct maker {
    struct arena *mem;
    uint64_t *seed;
    bool form, parts; /* parts: a form in multipart/form-data */
};

/* splitmix64 */
unsigned model_pick(uint64_t *seed, unsigned n)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ z >> 31) % n);
}

/* ------------------------------------------------------------------ values */

static struct model_value *value_new(const struct maker *m, enum model_kind kind)
{
    struct model_value *v = arena_new(m->mem, struct model_value);

    v->kind = kind;
    return v;
}

/* Text of the call: in a form it is a number if it is written as one. */
static struct model_value *text_value(const struct maker *m, struct span text)
{
    struct model_value *v = value_new(m, M_STRING);

    v->text = text;
    if (m->form && model_num_read(m->mem, text, &v->num))
        v->kind = M_FORM;
    return v;
}

/* One number in some of the ways in which it may be written. */
static struct span number_text(const struct maker *m)
{
    static const int tenths[] = {0, 5, 10, 15, 20, 30, 50, 50, 70, 100, -5, -10, 33, 1000};
    static const char *const odd[] = {
        "1e400",  "-1e400", "1E-9",   "123456789012345678901234567890", "0.1e1",
        "-0",     "-0.0e5", "1e+2",   "99999999999999999999.99999999",  "5000000000000000000000",
        "9.0e15", "1e255",  "1e-255", "0.000000000000000000000000001",  "18446744073709551616"};
    unsigned way = model_pick(m->seed, 24);
    int t = tenths[model_pick(m->seed, sizeof(tenths) / sizeof(tenths[0]))], u = t < 0 ? -t : t;
    const char *sign = t < 0 ? "-" : "";
    char *p;

    if (way == 0)
        return span_cstr(odd[model_pick(m->seed, sizeof(odd) / sizeof(odd[0]))]);
    if (way == 1 && model_pick(m->seed, 4) == 0) { /* around the bound of arithmetic */
        unsigned n = 254 + model_pick(m->seed, 5);

        p = arena_alloc(m->mem, n + 1);
        for (unsigned i = 0; i < n; i++)
            p[i] = (char)('1' + model_pick(m->seed, 9));
        return span_of(p, n);
    }
    if (way < 4)
        p = arena_printf(m->mem, "%s%d.%d", sign, u / 10, u % 10);
    else if (way < 6)
        p = arena_printf(m->mem, "%s%de-1", sign, u);
    else if (way < 8)
        p = arena_printf(m->mem, "%s%d.%d00E0", sign, u / 10, u % 10);
    else if (way < 10)
        p = arena_printf(m->mem, "%s0.%03de2", sign, u);
    else
        p = arena_printf(m->mem, u % 10 ? "%s%d.%d" : "%s%d", sign, u / 10, u % 10);
    return span_cstr(p);
}

static struct model_value *number(const struct maker *m)
{
    struct span text = number_text(m);
    struct model_value *v;

    if (m->form)
        return text_value(m, text);
    v = value_new(m, M_NUMBER);
    model_num_read(m->mem, text, &v->num);
    v->text = text;
    return v;
}

static struct span random_text(const struct maker *m)
{
    static const char *const some[] = {
        "",     "a",   "ab",       "b",     "5",  "x y", "\"q\\",     "abc5",  "5.0",
        "true", "b\n", "\xc3\xab", "a.b/c", "-1", "05",  "a\xc3\xab", "1h30m", "\xf0\x9f\x98\x80",
        "a\nb", "1e2", "abab",     "x.+"};
    static const char *const bits[] = {"a", "b", "c", "5", "x", ".", " ", "\xc3\xab", "\n", "ab"};
    struct outbuf o = outbuf_on(arena_alloc(m->mem, 32), 32);

    if (model_pick(m->seed, 3))
        return span_cstr(some[model_pick(m->seed, sizeof(some) / sizeof(some[0]))]);
    for (unsigned n = model_pick(m->seed, 10); n > 0; n--)
        outbuf_cstr(&o, bits[model_pick(m->seed, 10)]);
    return outbuf_span(&o);
}

/* Around changes of clocks and calendars. */
struct span model_time_text(struct arena *mem, uint64_t *seed)
{
    static const char *const dates[] = {
        "2026-09-21", "2027-03-28", "2026-10-25", "2026-11-01", "2027-03-14", "2024-02-29",
        "2024-12-31", "2000-02-29", "1970-01-01", "1969-12-31", "2038-01-19", "2100-03-01",
        "1900-02-28", "1893-04-01", "2027-04-04", "2099-10-04", "1972-06-15", "2026-01-01",
        "2500-07-31", "0001-01-03", "9999-12-29", "2028-03-05"};
    static const char *const parts[] = {"", "", "", ".5", ".999", ".123456789", ".000000001"};
    static const char *const zones[] = {"Z", "Z", "Z", "+01:00", "-08:00", "+14:00", "-00:30"};
    const char *date = dates[model_pick(seed, sizeof(dates) / sizeof(dates[0]))];
    unsigned hour = model_pick(seed, 3) ? model_pick(seed, 4) : model_pick(seed, 24);

    return span_cstr(arena_printf(mem, "%sT%02u:%02u:%02u%s%s", date, hour, model_pick(seed, 60),
                                  model_pick(seed, 60), parts[model_pick(seed, 7)],
                                  zones[model_pick(seed, 7)]));
}

struct span model_duration_text(struct arena *mem, uint64_t *seed)
{
    static const char *const some[] = {
        "1h30m",           "90m",      "24h",   "-1.5s", "100ms",  "2us",  "5ns",
        "1h1m1s1ms1us1ns", "0",        "8760h", "+.5m",  "-0.25s", "-1ns", "0.0000000019s",
        "1.00000000099h",  "87600000h"};
    static const char *const units[] = {"h", "m", "s", "ms"};

    if (model_pick(seed, 2))
        return span_cstr(some[model_pick(seed, sizeof(some) / sizeof(some[0]))]);
    return span_cstr(arena_printf(mem, "%s%u.%u%s%um", model_pick(seed, 2) ? "-" : "",
                                  model_pick(seed, 100), model_pick(seed, 10000),
                                  units[model_pick(seed, 4)], model_pick(seed, 1000)));
}

static struct span time_text(const struct maker *m)
{
    static const char *const none[] = {"2027-02-29T00:00:00Z",
                                       "2027-01-01",
                                       "2027-01-01T00:00:00",
                                       "2027-13-01T00:00:00Z",
                                       "yesterday",
                                       "2026-09-21T00:00:00Z ",
                                       "2027-01-01T24:00:00Z",
                                       "2027-01-01T00:00:00.Z",
                                       "0000-01-01T00:00:00Z",
                                       "0001-01-01T00:00:00+01:00",
                                       "9999-12-31T23:59:59-00:01"};

    if (model_pick(m->seed, 5) == 0)
        return span_cstr(none[model_pick(m->seed, sizeof(none) / sizeof(none[0]))]);
    return model_time_text(m->mem, m->seed);
}

static struct span duration_text(const struct maker *m)
{
    static const char *const none[] = {"1h-",  "5",      "",  "1d",          "h",    ".", "1 h",
                                       "--1h", "1h .5m", "-", "87660000.1h", "1e3s", "s1"};

    if (model_pick(m->seed, 5) == 0)
        return span_cstr(none[model_pick(m->seed, sizeof(none) / sizeof(none[0]))]);
    return model_duration_text(m->mem, m->seed);
}

enum want {
    W_NUMBER,
    W_STRING,
    W_BOOL,
    W_TIME,
    W_DURATION,
    W_ANY,
    W_LIST,
    W_TEXTS,
    W_ITEMS,
    W_OBJECT
};

static struct model_value *make(const struct maker *m, enum want want, unsigned depth);

static struct model_value *scalar(const struct maker *m)
{
    struct model_value *v;

    switch (model_pick(m->seed, m->form ? 2 : 4)) {
    case 0:
        return number(m);
    case 1:
        return text_value(m, random_text(m));
    case 2:
        return value_new(m, M_NULL);
    default:
        v = value_new(m, M_BOOL);
        v->boolean = model_pick(m->seed, 2);
        return v;
    }
}

static void add(const struct maker *m, struct model_value *v, struct span key,
                struct model_value *item)
{
    if (!v->item) {
        v->item = arena_array(m->mem, struct model_value *, 32);
        v->keys = arena_array(m->mem, struct span, 32);
    }
    v->keys[v->n] = key;
    v->item[v->n++] = item;
}

static struct model_value *list(const struct maker *m, enum want want, unsigned depth)
{
    struct model_value *v = value_new(m, M_LIST);
    static const enum want kinds[] = {W_NUMBER, W_NUMBER, W_STRING, W_BOOL, W_ANY};
    unsigned n = model_pick(m->seed, 5);

    if (want == W_LIST)
        want = kinds[model_pick(m->seed, 5)];
    v->apart = m->form;
    for (unsigned i = 0; i < n; i++)
        add(m, v, SPAN_NONE,
            model_pick(m->seed, 14) ? make(m, want, depth) : make(m, W_ANY, depth));
    if (m->form && n == 0) /* a form cannot say that */
        v->kind = M_MISSING;
    return v;
}

/* ------------------------------------------------------------- keys, twice */

/* What a lenient reader takes for the same key. */
static struct span alike(const struct maker *m, struct span key)
{
    static const char *const between[] = {"_", ".", " "};
    unsigned at = model_pick(m->seed, (unsigned)key.n + 1);
    struct outbuf o = outbuf_on(arena_alloc(m->mem, key.n + 8), key.n + 8);

    if (model_pick(m->seed, 3) == 0) {
        outbuf_span_put(&o, key);
        outbuf_put(&o, m->parts ? "_." : "\0z", model_pick(m->seed, 2) + 1);
        return outbuf_span(&o);
    }
    for (size_t i = 0; i <= key.n; i++) {
        bool change = i == at;

        if (change && (i == key.n || model_pick(m->seed, 2))) {
            outbuf_cstr(&o, between[model_pick(m->seed, 3)]);
            change = false;
        }
        if (i == key.n)
            break;
        if (change && key.p[i] == 's' && model_pick(m->seed, 2))
            outbuf_cstr(&o, "\xc5\xbf");
        else if (change && key.p[i] == 'k')
            outbuf_cstr(&o, "\xe2\x84\xaa");
        else
            outbuf_char(&o, change && key.p[i] != ' ' ? (char)(key.p[i] ^ 0x20) : key.p[i]);
    }
    return outbuf_span(&o);
}

static size_t folded(struct span key, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < key.n && key.p[i]; i++) {
        struct span rest = span_from(key, i);
        char c = key.p[i];

        if (span_starts(rest, SPAN_LIT("\xc5\xbf"))) {
            c = 's';
            i += 1;
        } else if (span_starts(rest, SPAN_LIT("\xe2\x84\xaa"))) {
            c = 'k';
            i += 2;
        }
        if (c != '_' && c != '.' && c != ' ')
            out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return n;
}

static bool is_alike(struct span a, struct span b)
{
    char x[300], y[300];
    size_t n = folded(a, x), m = folded(b, y);

    return n == m && memcmp(x, y, n) == 0;
}

const struct model_value *model_at(const struct model_value *v, const struct model_step *step,
                                   unsigned n)
{
    static const struct model_value unknown = {.kind = M_UNKNOWN}, missing = {.kind = M_MISSING};
    const struct model_value *same = NULL;
    unsigned others = 0;

    if (n == 0 || v->kind == M_UNKNOWN)
        return v;
    if (step->is_index)
        return v->kind == M_LIST && step->index < v->n
                   ? model_at(v->item[step->index], step + 1, n - 1)
                   : &missing;
    if (v->kind != M_OBJECT)
        return &missing;
    for (unsigned i = 0; i < v->n; i++) {
        if (!same && span_eq(v->keys[i], step->key))
            same = v->item[i];
        else
            others += is_alike(v->keys[i], step->key);
    }
    if (!same)
        return &missing;
    return others ? &unknown : model_at(same, step + 1, n - 1);
}

static void member(const struct maker *m, struct model_value *to, const char *name, enum want want,
                   unsigned depth)
{
    struct span key = span_cstr(name);
    unsigned k = model_pick(m->seed, 40);
    struct model_value *v;

    if (k < 2)
        return;
    v = make(m, k == 2 ? W_ANY : want, depth);
    if (v->kind == M_MISSING)
        return;
    if (k == 3)
        key = alike(m, key);
    if (k == 4)
        add(m, to, alike(m, key), make(m, W_ANY, 0));
    add(m, to, key, v);
    if (k == 5)
        add(m, to, key, make(m, W_ANY, 0));
    if (k == 6)
        add(m, to, alike(m, key), make(m, W_ANY, 0));
}

static void swap(const struct maker *m, struct model_value *v)
{
    for (unsigned i = 0; i + 1 < v->n; i++) {
        unsigned j = i + model_pick(m->seed, v->n - i);
        struct span key = v->keys[i];
        struct model_value *item = v->item[i];

        v->keys[i] = v->keys[j];
        v->item[i] = v->item[j];
        v->keys[j] = key;
        v->item[j] = item;
    }
}

static struct model_value *object(const struct maker *m, unsigned depth)
{
    struct model_value *v = value_new(m, M_OBJECT);

    v->apart = m->form;
    member(m, v, "n", W_NUMBER, 0);
    member(m, v, "s", W_STRING, 0);
    if (!m->form) {
        member(m, v, "b", W_BOOL, 0);
        member(m, v, "q", W_ANY, 0);
        member(m, v, "tags", depth && model_pick(m->seed, 8) == 0 ? W_ITEMS : W_TEXTS,
               depth ? depth - 1 : 0);
    }
    swap(m, v);
    if (m->form && v->n == 0)
        v->kind = M_MISSING;
    return v;
}

static struct model_value *make(const struct maker *m, enum want want, unsigned depth)
{
    struct model_value *v;

    if (model_pick(m->seed, 20) == 0)
        want = W_ANY;
    switch (want) {
    case W_NUMBER:
        return number(m);
    case W_STRING:
        return text_value(m, random_text(m));
    case W_TIME:
        return text_value(m, time_text(m));
    case W_DURATION:
        return text_value(m, duration_text(m));
    case W_BOOL:
        v = value_new(m, m->form ? M_STRING : M_BOOL);
        v->boolean = model_pick(m->seed, 2);
        v->text = m->form ? SPAN_LIT("true") : SPAN_NONE;
        return v;
    case W_LIST:
        return list(m, W_LIST, depth);
    case W_TEXTS:
        return list(m, W_STRING, depth);
    case W_ITEMS:
        return m->form || !depth ? list(m, W_NUMBER, 0) : list(m, W_OBJECT, depth - 1);
    case W_OBJECT:
        return object(m, depth);
    case W_ANY:
        break;
    }
    if (!m->form && depth && model_pick(m->seed, 4) == 0)
        return make(m, model_pick(m->seed, 2) ? W_LIST : W_OBJECT, 0);
    return scalar(m);
}

static struct model_value *document(const struct maker *m)
{
    struct model_value *v = value_new(m, M_OBJECT);

    v->apart = m->form;
    member(m, v, "n", W_NUMBER, 1);
    member(m, v, "m", W_NUMBER, 1);
    member(m, v, "s", W_STRING, 1);
    member(m, v, "u", W_STRING, 1);
    member(m, v, "b", W_BOOL, 1);
    member(m, v, "x", W_ANY, 1);
    member(m, v, "t", W_TIME, 1);
    member(m, v, "d", W_DURATION, 1);
    member(m, v, "l", W_LIST, 1);
    member(m, v, "items", W_ITEMS, 2);
    member(m, v, "o", W_OBJECT, 1);
    member(m, v, "odd key", W_ANY, 1);
    swap(m, v);
    return v;
}

/* ----------------------------------------------------------------- writing */

static void put_space(const struct maker *m, struct outbuf *o)
{
    static const char *const spaces[] = {" ", "\n", "\t", " \r\n  "};

    if (model_pick(m->seed, 6) == 0)
        outbuf_cstr(o, spaces[model_pick(m->seed, 4)]);
}

static void put_unit(struct outbuf *o, unsigned u)
{
    outbuf_printf(o, u & 1 ? "\\u%04x" : "\\u%04X", u);
}

/* Surrounding what must be escaped by some of what may be. */
static void put_string(const struct maker *m, struct span s, struct outbuf *o)
{
    outbuf_char(o, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool escape = model_pick(m->seed, 12) == 0;

        if (c == '"' || c == '\\')
            outbuf_printf(o, "\\%c", c);
        else if (c == '\n' && model_pick(m->seed, 2))
            outbuf_cstr(o, "\\n");
        else if (c == '/' && escape)
            outbuf_cstr(o, "\\/");
        else if (c < 0x20 || (c < 0x80 && escape))
            put_unit(o, c);
        else if (c >> 5 == 6 && escape)
            put_unit(o, (c & 31u) << 6 | ((unsigned char)s.p[++i] & 63u));
        else if (c == 0xf0 && escape) { /* the one that is used: U+1F600 */
            outbuf_cstr(o, "\\ud83d\\uDE00");
            i += 3;
        } else
            outbuf_char(o, (char)c);
    }
    outbuf_char(o, '"');
}

static void put_json(const struct maker *m, const struct model_value *v, struct outbuf *o)
{
    put_space(m, o);
    if (v->kind == M_NULL)
        outbuf_cstr(o, "null");
    else if (v->kind == M_BOOL)
        outbuf_cstr(o, v->boolean ? "true" : "false");
    else if (v->kind == M_NUMBER)
        outbuf_span_put(o, v->text);
    else if (v->kind == M_STRING)
        put_string(m, v->text, o);
    if (v->kind != M_LIST && v->kind != M_OBJECT)
        return;
    outbuf_char(o, v->kind == M_LIST ? '[' : '{');
    for (unsigned i = 0; i < v->n; i++) {
        outbuf_cstr(o, i ? "," : "");
        put_space(m, o);
        if (v->kind == M_OBJECT) {
            put_string(m, v->keys[i], o);
            put_space(m, o);
            outbuf_char(o, ':');
        }
        put_json(m, v->item[i], o);
        put_space(m, o);
    }
    if (v->n == 0)
        put_space(m, o);
    outbuf_char(o, v->kind == M_LIST ? ']' : '}');
}

static void put_form_text(const struct maker *m, struct span s, struct outbuf *o)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._", c);

        if (c && plain && model_pick(m->seed, 9))
            outbuf_char(o, (char)c);
        else if (c == ' ' && model_pick(m->seed, 2))
            outbuf_char(o, '+');
        else
            outbuf_printf(o, "%%%02X", c);
    }
}

#define DELIMITER "--x.Y_z"

static void put_part(struct span key, const char *more, struct span value, struct outbuf *o)
{
    outbuf_cstr(o, DELIMITER "\r\nContent-Disposition: form-data; name=\"");
    outbuf_span_put(o, key);
    outbuf_cstr(o, more);
    outbuf_cstr(o, "\"\r\n\r\n");
    outbuf_span_put(o, value);
    outbuf_cstr(o, "\r\n");
}

static void put_pair(const struct maker *m, struct span key, const char *more, struct span value,
                     struct outbuf *o)
{
    if (m->parts) {
        put_part(key, more, value, o);
        return;
    }
    outbuf_cstr(o, o->n ? "&" : "");
    put_form_text(m, key, o);
    outbuf_cstr(o, more);
    outbuf_char(o, '=');
    put_form_text(m, value, o);
}

static void put_form(const struct maker *m, const struct model_value *v, struct outbuf *o)
{
    for (unsigned i = 0; i < v->n; i++) {
        const struct model_value *e = v->item[i];
        bool indexed = model_pick(m->seed, 2);
        char more[320];

        if (e->kind == M_STRING || e->kind == M_FORM)
            put_pair(m, v->keys[i], "", e->text, o);
        for (unsigned j = 0; e->kind == M_LIST && j < e->n; j++) {
            snprintf(more, sizeof(more), indexed ? "[%u]" : "[]", j);
            put_pair(m, v->keys[i], more, e->item[j]->text, o);
        }
        for (unsigned j = 0; e->kind == M_OBJECT && j < e->n; j++) {
            struct outbuf b = outbuf_on(more, sizeof(more) - 1);

            outbuf_char(&b, '[');
            if (m->parts)
                outbuf_span_put(&b, e->keys[j]);
            else
                put_form_text(m, e->keys[j], &b);
            outbuf_char(&b, ']');
            more[b.n] = 0;
            put_pair(m, v->keys[i], more, e->item[j]->text, o);
        }
    }
}

static struct span written(const struct maker *m, const struct model_value *v)
{
    static char room[64 << 10];
    struct outbuf o = outbuf_on(room, sizeof(room));

    if (m->form)
        put_form(m, v, &o);
    else
        put_json(m, v, &o);
    if (m->parts && o.n)
        outbuf_cstr(&o, DELIMITER "--\r\n");
    return arena_span(m->mem, outbuf_span(&o));
}

/* No reader may see anything in such a body. */
static struct span spoiled(const struct maker *m, struct span s)
{
    static const char *const behind[] = {"}", "x", ",", "{}", "\"", "\x01"};
    struct span head = span_of(s.p, 1 + model_pick(m->seed, (unsigned)s.n - 1));

    if (m->parts) /* the last line's end may be missing */
        return span_of(s.p, 1 + model_pick(m->seed, (unsigned)s.n - 4));
    if (m->form)
        return span_cstr(arena_printf(m->mem, "%.*s%s", SPAN_ARG(s),
                                      model_pick(m->seed, 2) ? "&z=%4" : "&z=%ff"));
    switch (model_pick(m->seed, 4)) {
    case 0:
        return span_cstr(
            arena_printf(m->mem, "%.*s%s", SPAN_ARG(s), behind[model_pick(m->seed, 6)]));
    case 1:
        return span_cstr(arena_printf(m->mem, "\xef\xbb\xbf%.*s", SPAN_ARG(s)));
    case 2:
        return span_cstr(arena_printf(m->mem, "{\"zz\":\"\xff\",\"yy\":%.*s}", SPAN_ARG(s)));
    default:
        return head;
    }
}

static void make_body(struct model_world *w, struct maker *m)
{
    unsigned k = model_pick(m->seed, 24);

    w->kind = k < 15 ? MODEL_JSON : k < 20 ? MODEL_FORM : k < 23 ? MODEL_MULTIPART : MODEL_NO_BODY;
    m->form = w->kind == MODEL_FORM || w->kind == MODEL_MULTIPART;
    m->parts = w->kind == MODEL_MULTIPART;
    w->body = w->kind == MODEL_NO_BODY ? value_new(m, M_MISSING) : document(m);
    if (w->kind == MODEL_NO_BODY)
        return;
    if (!m->form && model_pick(m->seed, 30) == 0)
        w->body = make(m, W_LIST, 1);
    w->body_text = written(m, w->body);
    if (m->form && w->body_text.n == 0)
        w->kind = MODEL_NO_BODY;
    w->cut = model_pick(m->seed, 25) == 0 && w->body_text.n > 2 &&
             (w->body->kind == M_OBJECT || w->body->kind == M_LIST);
    if (w->cut)
        w->body_text = spoiled(m, w->body_text);
    if (w->cut || w->kind == MODEL_NO_BODY)
        w->body = value_new(m, w->cut ? M_UNKNOWN : M_MISSING);
}

/* ------------------------------------------------------ the rest of a call */

static void add_header(struct model_world *w, const char *name, struct span value, bool hop)
{
    w->header[w->nheaders].name = span_cstr(name);
    w->header[w->nheaders].value = value;
    w->header[w->nheaders++].hop = hop;
}

static void make_caller(struct model_world *w, const struct maker *m)
{
    static const char *const groups[] = {"finance", "staff", "a", "ab", "\xc3\xab"};

    w->id = model_pick(m->seed, 5) ? SPAN_LIT("alice") : SPAN_NONE;
    w->issuer = model_pick(m->seed, 5) ? SPAN_LIT("https://idp.example") : SPAN_NONE;
    w->method = model_pick(m->seed, 5) ? SPAN_LIT("oidc") : SPAN_LIT("none");
    for (unsigned i = 0; i < 5 && w->ngroups < MODEL_GROUPS; i++)
        if (model_pick(m->seed, 2))
            w->groups[w->ngroups++] = span_cstr(groups[i]);
}

void model_world_make(struct model_world *w, uint64_t seed)
{
    struct maker m = {.mem = &w->mem, .seed = &w->seed};

    arena_free(&w->mem);
    memset(w, 0, sizeof(*w));
    w->mem = ARENA_INIT;
    w->seed = seed;
    make_body(w, &m);
    m.form = m.parts = false;
    w->claims = document(&m);
    w->claims_text = written(&m, w->claims);
    m.form = true;
    w->query = document(&m);
    w->query_text = written(&m, w->query);
    m.form = false;
    if (w->query_text.n == 0)
        w->query = value_new(&m, M_MISSING);
    make_caller(w, &m);
    w->path = SPAN_LIT("/v1/transfers");
    w->has_param = model_pick(m.seed, 4);
    w->param = random_text(&m);
    if (model_pick(m.seed, 6))
        add_header(w, "X-A", random_text(&m), false);
    if (model_pick(m.seed, 6) == 0)
        add_header(w, "x-a", SPAN_LIT("again"), model_pick(m.seed, 2));
    if (model_pick(m.seed, 2))
        add_header(w, "X-B",
                   model_pick(m.seed, 4) ? random_text(&m)
                                         : SPAN_LIT("a\xff"
                                                    "b"),
                   false);
    w->size = model_pick(m.seed, 3) * 5;
    w->now_ns = (uint64_t)(1790000000 + (long)model_pick(m.seed, 40000000)) * 1000000000u +
                model_pick(m.seed, 1000000000);
    w->scanned = model_pick(m.seed, 5);
    for (unsigned i = 0; i < 3; i++)
        w->found[i] = model_pick(m.seed, 2) ? model_pick(m.seed, 4) : 0;
}
