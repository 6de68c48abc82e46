/* Names of functions. `createFineTuningJob` becomes fine-tuning-job.create, so that `*.create` and
 * `fine-tuning-job.*` say what they mean in rules; without operationId, method and path make
 * it: users.id.get. A name depends on nothing but its own operation unless two come out alike;
 * then both are made of their paths, so that no name ever passes to another operation unseen. */
#include "openapi.h"

#define NAME_ROOM 128

/* Words that say what is done; they go to the end, as in refund.create. */
static const char *const verbs[] = {
    "accept",     "activate", "add",    "approve", "archive",  "assign",   "attach", "authorize",
    "cancel",     "capture",  "check",  "close",   "complete", "confirm",  "copy",   "create",
    "deactivate", "delete",   "deny",   "detach",  "disable",  "download", "edit",   "enable",
    "execute",    "expire",   "export", "fetch",   "find",     "finalize", "get",    "import",
    "invite",     "join",     "leave",  "list",    "lock",     "merge",    "modify", "move",
    "patch",      "pause",    "post",   "publish", "put",      "query",    "read",   "refund",
    "reject",     "release",  "remove", "rename",  "replace",  "request",  "reset",  "restore",
    "resume",     "retrieve", "revoke", "rotate",  "run",      "search",   "send",   "set",
    "start",      "stop",     "submit", "suspend", "transfer", "unassign", "unlock", "update",
    "upload",     "validate", "verify", "void",    NULL};

/* `list-for-org` reads better as it stands. */
static const char *const links[] = {"for", "by",  "in", "to", "from", "with",
                                    "on",  "and", "of", "at", NULL};

static bool one_of(struct span s, const char *const *words)
{
    for (; *words; words++)
        if (span_eq(s, span_cstr(*words)))
            return true;
    return false;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_word(char c)
{
    return is_upper(c) || is_lower(c) || (c >= '0' && c <= '9');
}

static bool mixes_case(struct span s)
{
    for (size_t i = 1; i < s.n; i++)
        if (is_upper(s.p[i]) && is_lower(s.p[i - 1]))
            return true;
    return false;
}

/* Does a word begin at i inside of `listFineTuning`, `APIKey`? */
static bool word_begins(struct span s, size_t i)
{
    if (i == 0 || !is_upper(s.p[i]))
        return false;
    return !is_upper(s.p[i - 1]) || (i + 1 < s.n && is_lower(s.p[i + 1]));
}

/* Words in lower case with `-` between them, parts with `.`. */
static void split(struct outbuf *o, struct span s, bool underscore_parts)
{
    char sep = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!is_word(c)) {
            if (c == '.' || c == '/' || c == ':' || (c == '_' && underscore_parts))
                sep = '.';
            else
                sep = sep == '.' ? '.' : '-';
            continue;
        }
        if (!sep && word_begins(s, i))
            sep = '-';
        if (sep && o->n)
            outbuf_char(o, sep);
        outbuf_char(o, ascii_lower(c));
        sep = 0;
    }
}

/* create-payment-intent -> payment-intent.create */
static void verb_last(struct outbuf *o, size_t part)
{
    struct span s = span_of(o->p + part, o->n - part), rest = s, verb, next;
    char moved[NAME_ROOM];

    verb = span_cut(&rest, '-');
    next = rest;
    if (!rest.p || rest.n + verb.n + 1 > sizeof(moved))
        return;
    next = span_cut(&next, '-');
    if (one_of(verb, verbs) && !one_of(next, links)) {
        memcpy(moved, rest.p, rest.n);
        moved[rest.n] = '.';
        memcpy(moved + rest.n + 1, verb.p, verb.n);
        memcpy(o->p + part, moved, s.n);
        return;
    }
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '-') { /* admin-api-keys-list */
            if (one_of(span_from(s, i), verbs))
                o->p[part + i - 1] = '.';
            return;
        }
}

static struct span from_id(struct oa_import *m, const struct oa_operation *op, size_t room)
{
    struct outbuf o = outbuf_on(arena_alloc(&m->mem, NAME_ROOM), NAME_ROOM);
    size_t part = 0;

    split(&o, op->id, mixes_case(op->id));
    for (size_t i = o.n; i > 0 && !part; i--)
        if (o.p[i - 1] == '.')
            part = i;
    verb_last(&o, part);
    return o.full || o.n > room || span_eq(outbuf_span(&o), SPAN_LIT("unlisted")) ? SPAN_NONE
                                                                                  : outbuf_span(&o);
}

static void put_lower(struct outbuf *o, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        outbuf_char(o, ascii_lower(s.p[i]));
}

static struct span from_path(struct oa_import *m, const struct oa_operation *op, size_t room)
{
    struct outbuf o = outbuf_on(arena_alloc(&m->mem, OA_TEMPLATE_MAX), OA_TEMPLATE_MAX);
    char end[40];
    struct outbuf tail = outbuf_on(end, sizeof(end));
    struct span route = span_cstr(op->routes.at[0]);

    span_cut(&route, ' ');
    split(&o, route, false);
    if (o.n == 0)
        outbuf_lit(&o, "root");
    outbuf_char(&tail, '.');
    put_lower(&tail, op->method);
    if (o.n + tail.n > room) { /* a hash keeps it its own */
        tail = outbuf_on(end, sizeof(end));
        outbuf_printf(&tail, "-%08x.", (unsigned)(span_hash(route) & 0xffffffff));
        put_lower(&tail, op->method);
        o.n = room - tail.n;
    }
    while (o.n && (o.p[o.n - 1] == '.' || o.p[o.n - 1] == '-'))
        o.n--;
    outbuf_span_put(&o, outbuf_span(&tail));
    return outbuf_span(&o);
}

static struct span with_hash(struct oa_import *m, const struct oa_operation *op, size_t room)
{
    struct span name = from_path(m, op, room - 9);
    struct span route = span_cstr(op->routes.at[0]);

    return span_cstr(arena_printf(&m->mem, "%.*s-%08x", SPAN_ARG(name),
                                  (unsigned)(span_hash(route) & 0xffffffff)));
}

static bool has_function(const struct oa_operation *op)
{
    return op->routes.n > 0;
}

/* Names that more than one operation has are made again by `make`. */
static void make_unique(struct oa_import *m, size_t room,
                        struct span (*make)(struct oa_import *, const struct oa_operation *,
                                            size_t))
{
    struct oa_table seen = {0};
    struct oa_operation *op, *first;
    struct oa_list again = {0};

    for (size_t i = 0; i < m->operations.n; i++) {
        op = m->operations.at[i];
        if (!has_function(op))
            continue;
        first = oa_find(&seen, op->name);
        if (first) {
            oa_add(&again, &m->mem, first);
            oa_add(&again, &m->mem, op);
        } else {
            oa_put(&seen, &m->mem, op->name, op);
        }
    }
    for (size_t i = 0; i < again.n; i++) {
        op = again.at[i];
        op->name = make(m, op, room);
    }
}

void oa_name_all(struct oa_import *m)
{
    size_t room = NAME_ROOM - strlen(m->connection) - 1;
    struct oa_operation *op;

    for (size_t i = 0; i < m->operations.n; i++) {
        op = m->operations.at[i];
        if (!has_function(op))
            continue;
        op->name = from_id(m, op, room);
        if (op->name.n == 0)
            op->name = from_path(m, op, room);
    }
    make_unique(m, room, from_path);
    make_unique(m, room, with_hash);
}
