/* Values as people read them. */
#include "rules_internal.h"

#define SHOWN_MAX 80 /* bytes of a string */

static void show_text(const struct rules_value *v, struct outbuf *o)
{
    struct span s = v->text;
    bool cut = s.n > SHOWN_MAX;

    if (cut) {
        s.n = SHOWN_MAX;
        while (s.n && (s.p[s.n] & 0xc0) == 0x80) /* not within a character */
            s.n--;
    }
    outbuf_json(o, s);
    if (cut)
        outbuf_lit(o, "...");
}

static void show_number(const struct rules_value *v, struct outbuf *o)
{
    if (v->text.n > SHOWN_MAX) {
        outbuf_put(o, v->text.p, SHOWN_MAX);
        outbuf_lit(o, "...");
    } else {
        outbuf_span_put(o, v->text);
    }
}

static unsigned get(enum rules_get what, const struct rules_value *v)
{
    char room[64];
    struct rules_text t = {room, 0, sizeof(room)};
    struct rules_value n = rules_time_get(what, v, NULL, &t);
    uint64_t u = 0;

    return n.kind == VALUE_NUMBER && span_u64(n.text, &u) ? (unsigned)u : 0;
}

static void show_fraction(unsigned ns, struct outbuf *o)
{
    unsigned places = 9;

    if (ns == 0)
        return;
    for (; ns % 10 == 0; places--)
        ns /= 10;
    outbuf_printf(o, ".%0*u", (int)places, ns);
}

static void show_time(const struct rules_value *v, struct outbuf *o)
{
    outbuf_printf(o, "%04u-%02u-%02uT%02u:%02u:%02u", get(TIME_FULL_YEAR, v),
                  get(TIME_MONTH, v) + 1, get(TIME_DATE, v), get(TIME_HOURS, v),
                  get(TIME_MINUTES, v), get(TIME_SECONDS, v));
    show_fraction(v->n, o);
    outbuf_char(o, 'Z');
}

static void show_duration(const struct rules_value *v, struct outbuf *o)
{
    int64_t seconds = v->seconds;
    unsigned ns = v->n;

    if (seconds < 0 && ns) {
        seconds++;
        ns = (unsigned)RULES_SECOND - ns;
    }
    if (v->seconds < 0)
        outbuf_char(o, '-');
    outbuf_u64(o, (uint64_t)(seconds < 0 ? -seconds : seconds));
    show_fraction(ns, o);
    outbuf_char(o, 's');
}

static void show_count(unsigned n, const char *one, struct outbuf *o)
{
    outbuf_printf(o, "[%u %s%s]", n, one, n == 1 ? "" : "s");
}

void rules_value_show(const struct rules_value *v, struct outbuf *o)
{
    switch (v->kind) {
    case VALUE_UNKNOWN:
        outbuf_lit(o, "unknown");
        break;
    case VALUE_MISSING:
        outbuf_lit(o, "missing");
        break;
    case VALUE_NULL:
        outbuf_lit(o, "null");
        break;
    case VALUE_BOOL:
        outbuf_cstr(o, v->boolean ? "true" : "false");
        break;
    case VALUE_NUMBER:
        show_number(v, o);
        break;
    case VALUE_STRING:
    case VALUE_FORM:
        show_text(v, o);
        break;
    case VALUE_TIME:
        show_time(v, o);
        break;
    case VALUE_DURATION:
        show_duration(v, o);
        break;
    case VALUE_OBJECT:
        show_count(v->n, "member", o);
        break;
    default:
        show_count(v->n, "element", o);
        break;
    }
}
