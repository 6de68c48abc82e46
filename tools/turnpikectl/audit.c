#include "audit/audit.h"

#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_DEFAULT = 20, FOLLOW_MS = 200 };

/* -------------------------------------------------------------------- filters */

static bool parse_number(const char *text, uint64_t *v)
{
    return !text || span_u64(span_cstr(text), v);
}

/* False after a complaint. */
static bool make_filter(const struct ctl *c, struct audit_filter *f, uint64_t *limit)
{
    *f = (struct audit_filter){
        .kind = span_cstr(c->kind),
        .caller = span_cstr(c->caller),
        .function = span_cstr(c->function),
        .decision = span_cstr(c->decision),
        .cause = span_cstr(c->cause),
        .call = span_cstr(c->call),
        .text = span_cstr(c->text),
        .has_rule = c->rule != NULL,
        .has_status = c->status != NULL,
    };
    if ((c->since && !ctl_time(c->since, &f->from_ns)) ||
        (c->until && !ctl_time(c->until, &f->to_ns))) {
        ctl_usage("a time looks like 2026-11-23T10:00:00Z or 15m");
        return false;
    }
    if (parse_number(c->rule, &f->rule) && parse_number(c->status, &f->status) &&
        parse_number(c->from_seq, &f->from_seq) && parse_number(c->to_seq, &f->to_seq) &&
        parse_number(c->limit, limit))
        return true;
    ctl_usage("--rule, --status, --from-seq, --to-seq and --limit take numbers");
    return false;
}

/* ------------------------------------------------------------------- printing */

static void print_json(FILE *to, const struct audit_record *r, char *room)
{
    struct outbuf o = outbuf_on(room, AUDIT_JSON_MAX);

    audit_json(r, &o);
    fwrite(o.p, 1, o.n, to);
    putc('\n', to);
}

static void print_value(const struct audit_record *r, enum audit_field f, const char *before)
{
    struct audit_value v;

    if (!audit_get(r, f, &v))
        return;
    fputs(before, stdout);
    if (v.type == AUDIT_NUMBER) {
        printf("%lu", v.number);
        return;
    }
    for (size_t i = 0; i < v.text.n; i++)
        putchar((unsigned char)v.text.p[i] < 0x20 || v.text.p[i] == 0x7f ? '?' : v.text.p[i]);
}

/* One line for a person: who, what, when, outcome. */
static void print_line(const struct audit_record *r)
{
    char when[CLOCK_TEXT];
    const char *kind = audit_kind_name(r->kind);

    printf("%8lu %.19sZ %-18s", r->seq, clock_text(r->wall_ns, when), kind ? kind : "?");
    print_value(r, AUDIT_F_DECISION, " ");
    print_value(r, AUDIT_F_OUTCOME, " ");
    print_value(r, AUDIT_F_CALLER, " ");
    print_value(r, AUDIT_F_FUNCTION, " ");
    print_value(r, AUDIT_F_STATUS, " status ");
    print_value(r, AUDIT_F_RULE, " rule ");
    print_value(r, AUDIT_F_CAUSE, " ");
    print_value(r, AUDIT_F_REVIEWER, " by ");
    print_value(r, AUDIT_F_DETAIL, " ");
    putchar('\n');
}

/* --------------------------------------------------------------------- reading */

struct reading {
    const struct ctl *c;
    struct audit_filter filter;
    uint64_t limit, shown, at;
    bool json;
    FILE *to;
    char *room; /* AUDIT_JSON_MAX */
};

/* Shows what is there from r->at on. False if the output is gone. */
static bool read_on(struct reading *r, struct audit_store *s)
{
    struct audit_record rec;

    while (r->shown < r->limit && audit_read_from(s, r->at, &rec)) {
        r->at = rec.seq + 1;
        if (r->filter.to_seq && rec.seq > r->filter.to_seq)
            return true;
        if (!audit_matches(&rec, &r->filter))
            continue;
        r->shown++;
        if (r->json)
            print_json(r->to, &rec, r->room);
        else
            print_line(&rec);
        if (ferror(r->to))
            return false;
    }
    return fflush(r->to) == 0;
}

/* Where the last `n` matching records begin: counted backwards. */
static uint64_t tail_start(struct reading *r, struct audit_store *s, uint64_t n)
{
    uint64_t first = audit_first(s), seq = audit_last(s);
    struct audit_record rec;

    for (; seq > first && n; seq--)
        if (audit_read(s, seq, &rec) && audit_matches(&rec, &r->filter) && --n == 0)
            break;
    return seq ? seq : 1;
}

static int show(const struct ctl *c, struct reading *r, bool tail)
{
    struct diags d;
    struct audit_store *s;
    int code = CTL_OK;

    diags_init(&d);
    s = audit_open(c->directory, &d);
    if (!s) {
        code = ctl_diags(c, &d, false);
        diags_free(&d);
        return code;
    }
    r->at = r->filter.from_seq ? r->filter.from_seq : audit_first(s);
    if (tail)
        r->at = tail_start(r, s, c->limit ? r->limit : TAIL_DEFAULT);
    if (tail)
        r->limit = UINT64_MAX;
    while (read_on(r, s) && c->follow) {
        const struct timespec t = {.tv_nsec = FOLLOW_MS * 1000000L};

        nanosleep(&t, NULL);
    }
    if (ferror(r->to))
        code = CTL_FAILED;
    audit_close(s);
    diags_free(&d);
    return code;
}

static int read_store(const struct ctl *c, const char *what)
{
    struct reading r = {.c = c, .limit = UINT64_MAX, .to = stdout};
    int code;

    if (!make_filter(c, &r.filter, &r.limit))
        return CTL_USAGE;
    r.json = c->json || strcmp(what, "export") == 0;
    r.room = malloc(AUDIT_JSON_MAX);
    if (!r.room)
        return CTL_FAILED;
    if (c->output && !(r.to = fopen(c->output, "we"))) {
        fprintf(stderr, "turnpikectl: %s: %s\n", c->output, strerror(errno));
        free(r.room);
        return CTL_FAILED;
    }
    code = show(c, &r, strcmp(what, "tail") == 0);
    if (c->output && fclose(r.to) != 0)
        code = CTL_FAILED;
    if (strcmp(what, "export") == 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "%lu records\n", r.shown);
    free(r.room);
    return code;
}

/* ------------------------------------------------------------------------- verify */

static void progress(void *ctx, uint64_t done, uint64_t of)
{
    (void)ctx;
    fprintf(stderr, "\r%lu of %lu records", done, of);
    if (done >= of)
        fputc('\n', stderr);
}

/* "SEQ:HASH", as an earlier verify printed it and somebody noted it off the box. */
static bool parse_head(const char *text, uint64_t *seq, uint8_t hash[AUDIT_HASH])
{
    struct span hex = span_cstr(text), n = span_cut(&hex, ':');

    if (!span_u64(n, seq) || hex.n != 2 * AUDIT_HASH)
        return false;
    for (size_t i = 0; i < AUDIT_HASH; i++) {
        char pair[3] = {hex.p[2 * i], hex.p[2 * i + 1], 0}, *end;

        hash[i] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2)
            return false;
    }
    return true;
}

static void print_report(const struct ctl *c, const struct audit_report *r)
{
    char head[2 * AUDIT_HASH + 1];
    struct outbuf o = outbuf_on(head, sizeof(head) - 1);

    outbuf_hex(&o, r->head, AUDIT_HASH);
    head[o.n] = 0;
    if (c->json) {
        json_t *j = json_pack(
            "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "ok", r->fault == AUDIT_SOUND,
            "fault", audit_fault_name(r->fault), "first_bad", (json_int_t)r->first_bad, "records",
            (json_int_t)r->records, "from", (json_int_t)r->from, "to", (json_int_t)r->to, "gaps",
            (json_int_t)r->gaps, "lost", (json_int_t)r->lost, "head", head, "detail", r->detail);

        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
    } else if (r->fault == AUDIT_SOUND) {
        printf("sound: %lu records, %lu to %lu, %lu gaps with %lu events lost\nhead %lu:%s\n",
               r->records, r->from, r->to, r->gaps, r->lost, r->to, head);
    } else {
        printf("%s at record %lu: %s\n", audit_fault_name(r->fault), r->first_bad, r->detail);
    }
}

static int verify(const struct ctl *c)
{
    struct audit_report report = {0};
    uint8_t head[AUDIT_HASH];
    uint64_t seq = 0;
    bool show = !c->json && isatty(STDERR_FILENO);

    if (c->head && !parse_head(c->head, &seq, head))
        return ctl_usage("--head takes SEQ:HASH, as an earlier verify printed it");
    audit_verify(c->directory, seq, c->head ? head : NULL, show ? progress : NULL, NULL, &report);
    print_report(c, &report);
    return report.fault == AUDIT_SOUND ? CTL_OK : CTL_AUDIT_FAULT + (int)report.fault - 1;
}

int ctl_audit(const struct ctl *c)
{
    const char *what = c->nwords > 1 ? c->words[1] : "";

    if (c->nwords == 2 && strcmp(what, "verify") == 0)
        return verify(c);
    if (c->nwords == 2 &&
        (strcmp(what, "query") == 0 || strcmp(what, "tail") == 0 || strcmp(what, "export") == 0))
        return read_store(c, what);
    return ctl_usage("audit query, tail, export or verify");
}
