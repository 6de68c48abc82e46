/* Files of calls: YAML that says who calls what, and what must be decided. */
#include "ctl.h"
#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define BODY_FILE_MAX ((size_t)32 << 20)
#define REPEAT_MAX    100000

struct reader {
    const char *path, *as;
    struct fixtures *f;
    struct diags *d;
    const struct yaml_node *callers;
    bool expect;
    size_t room; /* for anything of the file, however it must be escaped */
};

static bool want(struct reader *r, const struct yaml_node *n, enum yaml_kind kind, const char *what)
{
    if (n && yaml_kind_of(n) == kind)
        return true;
    diag_error(r->d, n ? yaml_place(n) : place_of_file(r->path), "%s must be a %s", what,
               kind == YAML_MAPPING ? "mapping (key: value)" : "list (- ...)");
    return false;
}

/* ------------------------------------------------------------------------ bodies */

/* YAML's plain true, false, null and numbers are JSON's; whatever is quoted is a string. */
static void put_scalar(const struct yaml_node *n, struct outbuf *o)
{
    struct span s = yaml_text(n);
    bool word = span_eq(s, SPAN_LIT("true")) || span_eq(s, SPAN_LIT("false")) ||
                span_eq(s, SPAN_LIT("null"));

    if (yaml_is_plain(n) && s.n == 0)
        outbuf_lit(o, "null");
    else if (yaml_is_plain(n) && (word || body_number_valid(s)))
        outbuf_span_put(o, s);
    else
        outbuf_json(o, s);
}

static void put_json(const struct yaml_node *n, struct outbuf *o)
{
    bool map = yaml_kind_of(n) == YAML_MAPPING;

    if (yaml_kind_of(n) == YAML_SCALAR) {
        put_scalar(n, o);
        return;
    }
    outbuf_char(o, map ? '{' : '[');
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (i)
            outbuf_char(o, ',');
        if (map) {
            outbuf_json(o, yaml_text(yaml_key_at(n, i)));
            outbuf_char(o, ':');
        }
        put_json(yaml_at(n, i), o);
    }
    outbuf_char(o, map ? '}' : ']');
}

static void put_percent(struct outbuf *o, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("-._~[]", c));

        if (plain)
            outbuf_char(o, (char)c);
        else
            outbuf_printf(o, "%%%02X", c);
    }
}

static void put_form(struct reader *r, const struct yaml_node *n, struct outbuf *o)
{
    if (!want(r, n, YAML_MAPPING, "`form`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (i)
            outbuf_char(o, '&');
        put_percent(o, yaml_text(yaml_key_at(n, i)));
        outbuf_char(o, '=');
        if (yaml_kind_of(yaml_at(n, i)) == YAML_SCALAR)
            put_percent(o, yaml_text(yaml_at(n, i)));
        else
            diag_error(r->d, yaml_place(yaml_at(n, i)),
                       "a form's value is a text; write nested keys as a[b]");
    }
}

/* Beside the file that names it. */
static struct span read_body_file(struct reader *r, const struct yaml_node *n)
{
    struct span name = yaml_text(n);
    const char *slash = strrchr(r->path, '/');
    char *path = name.n && name.p[0] == '/'
                     ? arena_strdup(&r->f->mem, name)
                     : arena_printf(&r->f->mem, "%.*s%.*s", slash ? (int)(slash - r->path) + 1 : 0,
                                    r->path, SPAN_ARG(name));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct span out = SPAN_NONE;
    struct stat st;
    char *p;
    ssize_t got;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        diag_error(r->d, yaml_place(n), "cannot be read: %s",
                   fd < 0 ? strerror(errno) : "it is no regular file");
    } else if ((size_t)st.st_size > BODY_FILE_MAX) {
        diag_error(r->d, yaml_place(n), "a body may have at most 32MiB");
    } else {
        p = arena_alloc(&r->f->mem, (size_t)st.st_size + 1);
        got = file_read_up_to(fd, p, (size_t)st.st_size);
        if (got < 0)
            diag_error(r->d, yaml_place(n), "cannot be read: %s", strerror(errno));
        else
            out = span_of(p, (size_t)got);
    }
    if (fd >= 0)
        close(fd);
    return out;
}

/* `json`, `form`, `body` or `body_file`: one of them at most. *type is what the first two mean. */
static struct span read_body(struct reader *r, const struct yaml_node *n, const char **type)
{
    static const char *const keys[] = {"json", "form", "body", "body_file"};
    const struct yaml_node *found = NULL;
    size_t which = 0;
    struct outbuf o;

    for (size_t i = 0; i < 4; i++) {
        const struct yaml_node *v = yaml_get(n, keys[i]);

        if (v && found)
            diag_error(r->d, yaml_place(v), "a call has one body: `%s` and `%s` are both there",
                       keys[which], keys[i]);
        if (v)
            found = v, which = i;
    }
    *type = NULL;
    if (!found)
        return SPAN_NONE;
    if (which == 2)
        return yaml_text(found);
    if (which == 3)
        return read_body_file(r, found);
    *type = which == 0 ? "application/json" : "application/x-www-form-urlencoded";
    o = outbuf_on(arena_alloc(&r->f->mem, r->room), r->room);
    if (which == 0)
        put_json(found, &o);
    else
        put_form(r, found, &o);
    return outbuf_span(&o);
}

/* ----------------------------------------------------------------------- callers */

static void read_groups(struct reader *r, const struct yaml_node *n, struct rules_caller *c)
{
    if (!n || !want(r, n, YAML_SEQUENCE, "`groups`"))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (c->ngroups == RULES_GROUPS_MAX) {
            diag_error(r->d, yaml_place(n), "a caller has at most %d groups", RULES_GROUPS_MAX);
            return;
        }
        c->groups[c->ngroups++] = arena_span(&r->f->mem, yaml_text(yaml_at(n, i)));
    }
}

static struct span keep(struct reader *r, struct span s)
{
    return arena_span(&r->f->mem, s);
}

static void read_caller(struct reader *r, const struct yaml_node *n, struct rules_caller *c)
{
    static const char *const keys[] = {"id",     "issuer",  "method", "groups",
                                       "claims", "address", NULL};
    static const char *const methods[] = {"oidc", "mtls", "source", "none", NULL};
    const struct yaml_node *claims = yaml_get(n, "claims");
    struct span address = SPAN_LIT("192.0.2.1");
    unsigned method = 0;
    struct outbuf o;

    if (!want(r, n, YAML_MAPPING, "a caller"))
        return;
    yaml_only(n, keys, r->d);
    yaml_read_text(n, "id", true, &c->id, r->d);
    yaml_read_text(n, "issuer", false, &c->issuer, r->d);
    yaml_read_enum(n, "method", false, methods, &method, r->d);
    c->id = keep(r, c->id);
    c->issuer = keep(r, c->issuer);
    c->method = span_cstr(methods[method]);
    read_groups(r, yaml_get(n, "groups"), c);
    if (claims && want(r, claims, YAML_MAPPING, "`claims`")) {
        o = outbuf_on(arena_alloc(&r->f->mem, r->room), r->room);
        put_json(claims, &o);
        c->claims = outbuf_span(&o);
    }
    yaml_read_text(n, "address", false, &address, r->d);
    if (!net_addr_parse(address, &c->address))
        diag_error(r->d, yaml_place(yaml_get(n, "address")), "this is no address");
}

/* The caller named on the command line, or in the call, or written there. */
static void find_caller(struct reader *r, const struct yaml_node *call, struct fixture *x)
{
    const struct yaml_node *as = yaml_get(call, "as"), *who = as;
    struct span name = r->as ? span_cstr(r->as) : yaml_text(as);

    if (r->as || (as && yaml_kind_of(as) == YAML_SCALAR)) {
        who = yaml_get(r->callers, arena_strdup(&r->f->mem, name));
        if (!who) {
            diag_error(r->d, yaml_place(as ? as : call), "there is no caller `%.*s` in `callers`",
                       SPAN_ARG(name));
            return;
        }
        x->as = keep(r, name);
    }
    if (who)
        read_caller(r, who, &x->call.caller);
    else
        diag_error(r->d, yaml_place(call), "`as` is missing: who calls? (a name of `callers`)");
}

/* ------------------------------------------------------------------------- calls */

/* POST https://api.stripe.com/v1/refunds */
static bool split_request(struct span text, struct span *method, struct span *host,
                          struct span *target)
{
    static const struct span scheme = {"https://", 8};
    const char *slash;

    *method = span_cut(&text, ' ');
    text = span_trim(text);
    if (method->n == 0 || !span_starts(text, scheme))
        return false;
    *host = span_from(text, scheme.n);
    slash = host->n ? memchr(host->p, '/', host->n) : NULL;
    *target = slash ? span_of(slash, (size_t)(host->p + host->n - slash)) : SPAN_LIT("/");
    host->n -= slash ? target->n : 0;
    return host->n > 0;
}

static void read_request(struct reader *r, const struct yaml_node *n, struct fixture *x)
{
    const struct yaml_node *headers = yaml_get(n, "headers");
    struct span text, method, host, target, body;
    const char *type;
    bool typed = false;
    struct outbuf o = outbuf_on(arena_alloc(&r->f->mem, r->room), r->room);

    if (!yaml_read_text(n, "request", true, &text, r->d))
        return;
    if (!split_request(text, &method, &host, &target)) {
        diag_error(r->d, yaml_place(yaml_get(n, "request")),
                   "a request is written as POST https://api.example.com/v1/things");
        return;
    }
    body = read_body(r, n, &type);
    outbuf_printf(&o, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n", SPAN_ARG(method), SPAN_ARG(target),
                  SPAN_ARG(host));
    if (headers && want(r, headers, YAML_MAPPING, "`headers`"))
        for (size_t i = 0; i < yaml_count(headers); i++) {
            struct span name = yaml_text(yaml_key_at(headers, i));

            typed = typed || span_ieq(name, SPAN_LIT("content-type"));
            http_write_field(&o, name, yaml_text(yaml_at(headers, i)));
        }
    if (type && !typed)
        http_write_field(&o, SPAN_LIT("Content-Type"), span_cstr(type));
    if (o.full)
        diag_error(r->d, yaml_place(n), "the header fields are malformed or too many");
    else
        ctl_call_set(&x->call, outbuf_span(&o), body);
}

static void read_expected(struct reader *r, const struct yaml_node *call, struct fixture *x)
{
    static const char *const keys[] = {"decision", "rule", "function", "cause", "unknown", NULL};
    static const char *const decisions[] = {"allow", "hold", "block", NULL};
    const struct yaml_node *n = yaml_get(call, "expect");
    unsigned decision = 0;
    bool unknown;

    x->expect.decision = x->expect.unknown = -1;
    x->expect.place = yaml_place(n ? n : call);
    if (!n) {
        if (r->expect)
            diag_error(r->d, yaml_place(call), "`expect` is missing: allow, hold or block");
        return;
    }
    if (yaml_kind_of(n) == YAML_SCALAR) {
        if (yaml_read_enum(call, "expect", true, decisions, &decision, r->d))
            x->expect.decision = (int)decision;
        return;
    }
    if (!want(r, n, YAML_MAPPING, "`expect`"))
        return;
    yaml_only(n, keys, r->d);
    if (yaml_read_enum(n, "decision", false, decisions, &decision, r->d))
        x->expect.decision = (int)decision;
    x->expect.has_rule = yaml_read_u64(n, "rule", false, 1, 1000000000, &x->expect.rule, r->d);
    yaml_read_text(n, "function", false, &x->expect.function, r->d);
    yaml_read_text(n, "cause", false, &x->expect.cause, r->d);
    x->expect.function = keep(r, x->expect.function);
    x->expect.cause = keep(r, x->expect.cause);
    if (yaml_read_bool(n, "unknown", false, &unknown, r->d))
        x->expect.unknown = unknown;
}

static void read_time(struct reader *r, const struct yaml_node *n, struct fixture *x)
{
    struct span text;

    x->call.at_ns = clock_wall_ns();
    if (yaml_read_text(n, "at", false, &text, r->d) &&
        !ctl_time(arena_strdup(&r->f->mem, text), &x->call.at_ns))
        diag_error(r->d, yaml_place(yaml_get(n, "at")),
                   "`at` is a time as 2026-11-29T10:00:00Z (RFC 3339)");
}

static void read_call(struct reader *r, const struct yaml_node *n)
{
    static const char *const keys[] = {"name", "as",   "at",        "request", "headers", "json",
                                       "form", "body", "body_file", "repeat",  "expect",  NULL};
    struct fixture *x = &r->f->at[r->f->n++];
    uint64_t repeat = 1;

    x->name = SPAN_LIT("unnamed");
    if (!want(r, n, YAML_MAPPING, "a call"))
        return;
    yaml_only(n, keys, r->d);
    yaml_read_text(n, "name", r->expect, &x->name, r->d);
    x->name = keep(r, x->name);
    x->place = yaml_place(n);
    x->place.file = r->path;
    yaml_read_u64(n, "repeat", false, 1, REPEAT_MAX, &repeat, r->d);
    x->repeat = (unsigned)repeat;
    read_time(r, n, x);
    find_caller(r, n, x);
    read_request(r, n, x);
    read_expected(r, n, x);
    x->expect.place = (struct place){r->path, x->expect.place.line, x->expect.place.column,
                                     keep(r, x->expect.place.text)};
    x->place.text = keep(r, x->place.text);
}

static void read_all(struct reader *r, const struct yaml_node *root)
{
    static const char *const keys[] = {"callers", "calls", NULL};
    const struct yaml_node *calls = yaml_get(root, "calls");

    if (!want(r, root, YAML_MAPPING, "a file of calls"))
        return;
    yaml_only(root, keys, r->d);
    r->callers = yaml_get(root, "callers");
    if (r->callers && !want(r, r->callers, YAML_MAPPING, "`callers`"))
        return;
    if (!want(r, calls, YAML_SEQUENCE, "`calls`"))
        return;
    r->f->at = arena_array(&r->f->mem, struct fixture, yaml_count(calls) + 1);
    for (size_t i = 0; i < yaml_count(calls); i++)
        read_call(r, yaml_at(calls, i));
}

bool fixtures_read(const char *path, const char *as, bool expect, struct fixtures *f,
                   struct diags *d)
{
    struct reader r = {.path = path, .as = as, .f = f, .d = d, .expect = expect};
    size_t errors = d->errors;
    struct yaml_doc *doc;

    *f = (struct fixtures){.mem = ARENA_INIT};
    r.path = arena_strdup(&f->mem, span_cstr(path));
    doc = yaml_load(path, d);
    if (doc) {
        r.room = yaml_source(doc).n * 6 + 4096;
        read_all(&r, yaml_root(doc));
    }
    yaml_free(doc);
    if (d->errors == errors)
        return true;
    fixtures_free(f);
    return false;
}

void fixtures_free(struct fixtures *f)
{
    for (size_t i = 0; i < f->n; i++)
        ctl_call_free(&f->at[i].call);
    arena_free(&f->mem);
    *f = (struct fixtures){.mem = ARENA_INIT};
}
