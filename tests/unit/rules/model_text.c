/* Texts: UTF-8, patterns as sets of positions, times and durations as written. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND ((model_ns)1000000000)

/* ------------------------------------------------------------------- UTF-8 */

/* Bytes of the character at `s`, 0 if it is none (RFC 3629). */
static unsigned decode(struct span s, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = s.n ? (unsigned char)s.p[0] : 0xff;
    unsigned n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;

    if (n == 0 || n > s.n)
        return 0;
    *cp = n == 1 ? c : c & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return 0;
        *cp = *cp << 6 | ((unsigned char)s.p[i] & 0x3f);
    }
    return *cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff) ? 0 : n;
}

bool model_utf8_valid(struct span s)
{
    uint32_t cp;

    while (s.n) {
        unsigned n = decode(s, &cp);

        if (n == 0)
            return false;
        s = span_from(s, n);
    }
    return true;
}

/* ---------------------------------------------------------------- patterns */

static struct model_re *re_new(struct arena *mem, enum model_re_kind kind)
{
    struct model_re *re = arena_new(mem, struct model_re);

    re->kind = kind;
    return re;
}

static struct model_re *re_set(struct arena *mem, uint64_t *seed)
{
    static const struct {
        const char *written;
        uint32_t from[4], to[4];
        unsigned n;
        bool negated;
    } sets[] = {
        {"\\d", {'0'}, {'9'}, 1, false},
        {"\\D", {'0'}, {'9'}, 1, true},
        {"\\w", {'0', 'A', '_', 'a'}, {'9', 'Z', '_', 'z'}, 4, false},
        {"[a-c5]", {'a', '5'}, {'c', '5'}, 2, false},
        {"[^ab]", {'a'}, {'b'}, 1, true},
        {"[x-z\\-.]", {'x', '-'}, {'z', '.'}, 2, false},
        {"[\xc3\xa0-\xc3\xaf]", {0xe0}, {0xef}, 1, false},
        {"[^\\n]", {'\n'}, {'\n'}, 1, true},
    };
    unsigned k = model_pick(seed, sizeof(sets) / sizeof(sets[0]));
    struct model_re *re = re_new(mem, RE_SET);

    memcpy(re->from, sets[k].from, sizeof(re->from));
    memcpy(re->to, sets[k].to, sizeof(re->to));
    re->nranges = sets[k].n;
    re->negated = sets[k].negated;
    re->written = sets[k].written;
    return re;
}

static struct model_re *re_leaf(struct arena *mem, uint64_t *seed)
{
    static const uint32_t chars[] = {'a', 'b', 'a', 'b', 'c', '5', '.', ' ', 'x', 0xeb, '\n', '+'};
    struct model_re *re;

    switch (model_pick(seed, 9)) {
    case 0:
    case 1:
        return re_set(mem, seed);
    case 2:
        return re_new(mem, RE_ANY);
    default:
        re = re_new(mem, RE_CHAR);
        re->from[0] = chars[model_pick(seed, sizeof(chars) / sizeof(chars[0]))];
        return re;
    }
}

static struct model_re *re_core(struct arena *mem, uint64_t *seed, unsigned depth)
{
    static const unsigned least[] = {0, 0, 1, 2, 1}, most[] = {1, 0, 0, 3, 2};
    unsigned k = depth ? model_pick(seed, 8) : 7, r;
    struct model_re *re;

    if (k >= 6)
        return re_leaf(mem, seed);
    re = re_new(mem, k < 3 ? RE_SEQ : k == 3 ? RE_ALT : RE_REPEAT);
    re->a = re_core(mem, seed, depth - 1);
    if (re->kind != RE_REPEAT) {
        re->b = re_core(mem, seed, depth - 1);
        return re;
    }
    if (re->a->kind == RE_REPEAT)
        return re->a; /* repeats of repeats are spelled with groups, and refused by some */
    r = model_pick(seed, 5);
    re->least = least[r];
    re->most = most[r];
    return re;
}

static struct model_re *re_pair(struct arena *mem, enum model_re_kind kind, struct model_re *a,
                                struct model_re *b)
{
    struct model_re *re = re_new(mem, kind);

    re->a = a;
    re->b = b;
    return re;
}

/* Hyperscan takes anchors only where a match begins or ends. */
struct model_re *model_re_random(struct arena *mem, uint64_t *seed, unsigned depth)
{
    struct model_re *re = re_core(mem, seed, depth);

    if (model_pick(seed, 4) == 0)
        re = re_pair(mem, RE_SEQ, re_new(mem, RE_BEGIN), re);
    if (model_pick(seed, 4) == 0)
        re = re_pair(mem, RE_SEQ, re, re_new(mem, RE_END));
    if (model_pick(seed, 12) == 0)
        re = re_pair(mem, RE_ALT, re, model_re_random(mem, seed, 1));
    return re;
}

static void print_char(uint32_t c, struct outbuf *o)
{
    if (c == '\n')
        outbuf_cstr(o, "\\n");
    else if (c == 0xeb)
        outbuf_cstr(o, "\xc3\xab");
    else
        outbuf_printf(o, c == '.' || c == '+' ? "\\%c" : "%c", (int)c);
}

void model_re_print(const struct model_re *re, struct outbuf *o)
{
    bool group = re->kind == RE_ALT || (re->kind == RE_REPEAT && re->a->kind != RE_CHAR &&
                                        re->a->kind != RE_ANY && re->a->kind != RE_SET);

    if (re->kind == RE_CHAR) {
        print_char(re->from[0], o);
    } else if (re->kind == RE_SET) {
        outbuf_cstr(o, re->written);
    } else if (re->kind == RE_ANY || re->kind == RE_BEGIN || re->kind == RE_END) {
        outbuf_char(o, re->kind == RE_ANY ? '.' : re->kind == RE_BEGIN ? '^' : '$');
    } else {
        outbuf_cstr(o, group ? "(" : "");
        model_re_print(re->a, o);
        outbuf_cstr(o, re->kind == RE_ALT ? "|" : "");
        if (re->b)
            model_re_print(re->b, o);
        outbuf_cstr(o, group ? ")" : "");
    }
    if (re->kind != RE_REPEAT)
        return;
    if (re->least <= 1 && re->most <= 1)
        outbuf_char(o, re->most ? '?' : re->least ? '+' : '*');
    else
        outbuf_printf(o, "{%u,%u}", re->least, re->most);
}

#define TEXT_MOST 400

struct places {
    bool at[TEXT_MOST + 1];
};

struct subject {
    uint32_t cp[TEXT_MOST];
    unsigned n;
};

static bool takes(const struct model_re *re, uint32_t c)
{
    bool in = false;

    if (re->kind == RE_CHAR)
        return c == re->from[0];
    if (re->kind == RE_ANY)
        return c != '\n';
    for (unsigned i = 0; i < re->nranges; i++)
        in = in || (c >= re->from[i] && c <= re->to[i]);
    return in != re->negated;
}

/* Where a match may end that begins at one of `in`. */
static struct places run(const struct model_re *re, const struct subject *s, struct places in)
{
    struct places out = {{false}}, more;
    unsigned most = re->most ? re->most : re->least + s->n + 1;

    switch (re->kind) {
    case RE_BEGIN:
        out.at[0] = in.at[0];
        return out;
    case RE_END: /* RE2's, without its (?m): not before a last newline */
        out.at[s->n] = in.at[s->n];
        return out;
    case RE_SEQ:
        return run(re->b, s, run(re->a, s, in));
    case RE_ALT:
        out = run(re->a, s, in);
        more = run(re->b, s, in);
        for (unsigned i = 0; i <= s->n; i++)
            out.at[i] = out.at[i] || more.at[i];
        return out;
    case RE_REPEAT:
        for (unsigned k = 0; k <= most; k++) {
            for (unsigned i = 0; k >= re->least && i <= s->n; i++)
                out.at[i] = out.at[i] || in.at[i];
            in = run(re->a, s, in);
        }
        return out;
    default:
        for (unsigned i = 0; i < s->n; i++)
            out.at[i + 1] = in.at[i] && takes(re, s->cp[i]);
        return out;
    }
}

bool model_re_found(const struct model_re *re, struct span text)
{
    struct subject s = {.n = 0};
    struct places p = {{false}};

    while (text.n) {
        text = span_from(text, decode(text, &s.cp[s.n]));
        if (++s.n == TEXT_MOST)
            abort();
    }
    memset(p.at, true, s.n + 1);
    p = run(re, &s, p);
    for (unsigned i = 0; i <= s.n; i++)
        if (p.at[i])
            return true;
    return false;
}

/* -------------------------------------------------------- times, durations */

static bool field(struct span *s, unsigned n, int least, int most, int *out)
{
    *out = 0;
    if (s->n < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    *s = span_from(*s, n);
    return *out >= least && *out <= most;
}

static bool mark(struct span *s, char c)
{
    bool good = s->n && s->p[0] == c;

    *s = span_from(*s, good);
    return good;
}

/* Digits after a point; what is beyond nanoseconds of `unit` is cut. */
static model_ns part_of(struct span *s, model_ns unit)
{
    model_ns sum = 0, scale = 1;

    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = span_from(*s, 1)) {
        if (scale > SECOND * SECOND)
            continue;
        sum = sum * 10 + (s->p[0] - '0');
        scale *= 10;
    }
    return sum * unit / scale;
}

static bool read_zone(struct span *s, int *minutes)
{
    int sign, h, m;

    *minutes = 0;
    if (mark(s, 'Z'))
        return true;
    sign = mark(s, '-') ? -1 : mark(s, '+') ? 1 : 0;
    if (!sign || !field(s, 2, 0, 23, &h) || !mark(s, ':') || !field(s, 2, 0, 59, &m))
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

bool model_time_read(struct span s, model_ns *out)
{
    struct tm t = {0}, back;
    model_ns part = 0;
    time_t sec;
    int zone;

    if (!field(&s, 4, 1, 9999, &t.tm_year) || !mark(&s, '-') || !field(&s, 2, 1, 12, &t.tm_mon) ||
        !mark(&s, '-') || !field(&s, 2, 1, 31, &t.tm_mday) || !mark(&s, 'T') ||
        !field(&s, 2, 0, 23, &t.tm_hour) || !mark(&s, ':') || !field(&s, 2, 0, 59, &t.tm_min) ||
        !mark(&s, ':') || !field(&s, 2, 0, 59, &t.tm_sec))
        return false;
    if (mark(&s, '.')) {
        if (!s.n || s.p[0] < '0' || s.p[0] > '9')
            return false;
        part = part_of(&s, SECOND);
    }
    if (!read_zone(&s, &zone) || s.n)
        return false;
    t.tm_year -= 1900;
    t.tm_mon--;
    back = t;
    sec = timegm(&back); /* the 30th of February becomes March */
    if (back.tm_mday != t.tm_mday)
        return false;
    *out = (model_ns)(sec - zone * 60) * SECOND + part;
    return true;
}

static model_ns take_unit(struct span *s)
{
    static const struct {
        const char *name;
        model_ns ns;
    } units[] = {{"ns", 1},         {"us", 1000},       {"ms", 1000000},
                 {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (span_starts(*s, span_cstr(units[i].name))) {
            *s = span_from(*s, strlen(units[i].name));
            return units[i].ns;
        }
    return 0;
}

/* Go's syntax, which CEL takes over. */
bool model_duration_read(struct span s, model_ns *out)
{
    int sign = mark(&s, '-') ? -1 : 1;
    model_ns sum = 0;

    if (sign == 1)
        mark(&s, '+');
    *out = 0;
    if (span_eq(s, SPAN_LIT("0")))
        return true;
    if (!s.n)
        return false;
    while (s.n) {
        struct span start = s, rest = s;
        model_ns whole = 0, unit;
        bool point;

        for (; s.n && s.p[0] >= '0' && s.p[0] <= '9'; s = span_from(s, 1))
            whole = whole * 10 + (s.p[0] - '0');
        point = mark(&s, '.');
        rest = s;
        part_of(&s, 1);
        if (start.n - s.n - point == 0)
            return false;
        unit = take_unit(&s);
        if (!unit)
            return false;
        sum += whole * unit + (point ? part_of(&rest, unit) : 0);
    }
    *out = sign * sum;
    return true;
}

/* ----------------------------------------------------------------- getters */

const char *const model_getters[10] = {
    "getFullYear",  "getMonth", "getDate",    "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getHours", "getMinutes", "getSeconds",    "getMilliseconds"};

static struct tm local(time_t sec, const char *zone)
{
    static char set[64];
    char want[64];
    struct tm t;
    int sign = zone[0] == '-' ? -1 : 1;

    if (zone[0] == '+' || zone[0] == '-') {
        sec += sign * (atoi(zone + 1) * 3600 + atoi(zone + 4) * 60);
        gmtime_r(&sec, &t);
        return t;
    }
    snprintf(want, sizeof(want), "%s", zone[0] ? zone : "UTC");
    if (strcmp(want, set) != 0) {
        strcpy(set, want);
        setenv("TZ", set, 1);
        tzset();
    }
    localtime_r(&sec, &t);
    return t;
}

long model_time_get(model_ns t, enum model_getter g, const char *zone)
{
    model_ns sec = t / SECOND - (t % SECOND < 0);
    struct tm l = local((time_t)sec, zone);

    switch (g) {
    case G_YEAR:
        return l.tm_year + 1900;
    case G_MONTH:
        return l.tm_mon;
    case G_DATE:
        return l.tm_mday;
    case G_DAY_OF_MONTH:
        return l.tm_mday - 1;
    case G_DAY_OF_WEEK:
        return l.tm_wday;
    case G_DAY_OF_YEAR:
        return l.tm_yday;
    case G_HOURS:
        return l.tm_hour;
    case G_MINUTES:
        return l.tm_min;
    case G_SECONDS:
        return l.tm_sec;
    case G_MILLISECONDS:
        return (long)((t - sec * SECOND) / 1000000);
    }
    return 0;
}
