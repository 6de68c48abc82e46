#include "ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/control.h"

static const char usage[] =
    "usage: turnpikectl COMMAND [OPTIONS]\n"
    "\n"
    "  status                        what the appliance is doing: generation, counters\n"
    "  top [--interval S] [--count N]  live: requests/s, cycles a request by stage, refusals\n"
    "  holds list [--all]            held calls that wait (or all that are remembered)\n"
    "  holds show ID                 one of them, with the masked request\n"
    "  holds approve ID [--reason T] let it run, once\n"
    "  holds deny ID [--reason T]    refuse it\n"
    "  rules check DIR               read and check a rules directory, change nothing\n"
    "  rules test DIR                judge the calls of DIR/tests/*.yaml; 1 if a decision is not\n"
    "                                the expected one\n"
    "  rules explain DIR --call C    why a call is decided so: every rule, every part of its\n"
    "                                condition. C: a file of calls (--as CALLER, --name NAME),\n"
    "                                or the id of a recorded call (--directory)\n"
    "  rules diff OLD NEW [--since T]  recorded calls that NEW decides otherwise than OLD; both\n"
    "                                are rules directories; 1 if there are any\n"
    "  rules reload                  take over the files; returns once every worker uses them\n"
    "  rules history                 the sets that have run, newest last\n"
    "  rules rollback [N]            go back to set N of the history (the one before); holds\n"
    "                                until the next reload, also after a restart\n"
    "  rules hits [--never]          what each rule has matched and decided (or has never)\n"
    "  rules import openapi SPEC --connection C [--host H] [--output FILE [--force]]\n"
    "                                functions of a vendor's OpenAPI 3 document, YAML or JSON\n"
    "  audit query [FILTERS]         records, a line each, newest last\n"
    "  audit tail [FILTERS]          the last records; --follow waits for more\n"
    "  audit export [FILTERS]        records as JSON lines, to standard output or --output\n"
    "  audit verify [--head SEQ:HASH]  check every record and the chain\n"
    "  secret init                   make a vault and its key file\n"
    "  secret set NAME --connection C  store a credential, read from standard input\n"
    "  secret remove NAME            forget a credential\n"
    "  secret list                   names, versions and ages; never values\n"
    "\n"
    "options\n"
    "      --json            answers for machines\n"
    "      --socket PATH     control socket (/run/turnpike/control.sock)\n"
    "      --directory DIR   audit store (/var/lib/turnpike/audit)\n"
    "      --vault FILE      vault (/etc/turnpike/secrets.vault)\n"
    "      --key-file FILE   vault key (/etc/turnpike/vault.key)\n"
    "      --connection C    the only connection that may use the secret\n"
    "      --reason TEXT     told to the caller and recorded\n"
    "      --as CALLER       judge a file's calls as this one of its callers\n"
    "      --name NAME       only the call of that name\n"
    "      --interval S      seconds between two views of top (1)\n"
    "      --count N         views of top before it ends (it goes on)\n"
    "  -h, --help            this text\n"
    "      --version         print the version\n"
    "\n"
    "audit filters (names may end in *)\n"
    "      --kind K --caller C --function F --decision D --cause C --call ID --text T\n"
    "      --rule N --status N --from-seq N --to-seq N --limit N\n"
    "      --since T --until T   2026-11-23T10:00:00Z, or 90s, 15m, 24h, 7d ago\n"
    "\n"
    "Exit codes: 0 done; 1 failed, or the appliance does not answer; 2 files have errors,\n"
    "each printed with file:line:column; 3 not allowed or decided already; 4 no such\n"
    "thing; 5 imported, but some operations have no function of their own; 10 altered,\n"
    "11 missing, 12 reordered, 13 broken chain, 14 truncated, 15\n"
    "unreadable (audit verify); 64 wrong arguments.\n";

int ctl_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("turnpikectl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("\nTry: turnpikectl --help\n", stderr);
    va_end(ap);
    return CTL_USAGE;
}

int ctl_diags(const struct ctl *c, const struct diags *d, bool ok)
{
    size_t cap = (size_t)1 << 20;
    char *text;

    if (c->json && (text = malloc(cap))) {
        struct outbuf o = outbuf_on(text, cap);

        diags_json(d, &o);
        printf("{\"ok\":%s,\"complaints\":%.*s}\n", ok ? "true" : "false", (int)o.n, o.p);
        free(text);
    } else {
        diags_print(d, stderr, isatty(STDERR_FILENO));
    }
    return ok ? CTL_OK : CTL_FILES;
}

const char *ctl_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

void ctl_print_clean(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void failed(const struct ctl *c, const json_t *answer)
{
    const char *text = ctl_text(answer, "text");

    if (c->json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    fprintf(stderr, "turnpikectl: %s\n", ctl_text(answer, "error"));
    if (*text)
        fputs(text, stderr);
}

json_t *ctl_ask(const struct ctl *c, json_t *request, int *exit)
{
    char why[256] = "";
    char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
    char *text = line ? control_ask(c->socket, line, why) : NULL;
    json_t *answer = text ? json_loads(text, 0, NULL) : NULL;

    json_decref(request);
    free(line);
    free(text);
    if (!answer) {
        fprintf(stderr, "turnpikectl: the appliance does not answer: %s\n", why);
        *exit = CTL_FAILED;
        return NULL;
    }
    if (json_is_true(json_object_get(answer, "ok")))
        return answer;
    *exit = (int)json_integer_value(json_object_get(answer, "exit"));
    if (*exit == 0)
        *exit = CTL_FAILED;
    failed(c, answer);
    json_decref(answer);
    return NULL;
}

/* Options with a value: the place in struct ctl where it goes. */
static const struct {
    const char *name;
    size_t at;
} texts[] = {
#define T(option, member)                                                                          \
    {                                                                                              \
        option, offsetof(struct ctl, member)                                                       \
    }
    T("socket", socket),
    T("directory", directory),
    T("vault", vault),
    T("key-file", key_file),
    T("connection", connection),
    T("reason", reason),
    T("output", output),
    T("host", host),
    T("interval", interval),
    T("count", count),
    T("kind", kind),
    T("caller", caller),
    T("function", function),
    T("decision", decision),
    T("cause", cause),
    T("call", call),
    T("text", text),
    T("since", since),
    T("until", until),
    T("head", head),
    T("rule", rule),
    T("status", status),
    T("from-seq", from_seq),
    T("to-seq", to_seq),
    T("limit", limit),
    T("as", as),
    T("name", name),
#undef T
};
enum {
    NTEXTS = sizeof(texts) / sizeof(*texts),
    FLAGS = 7,
    JSON = 256,
    ALL,
    FOLLOW,
    VERSION,
    NEVER,
    FORCE,
    FIRST_TEXT
};

static int parse(int argc, char **argv, struct ctl *c)
{
    struct option known[NTEXTS + FLAGS + 1] = {
        {"json", no_argument, NULL, JSON},     {"all", no_argument, NULL, ALL},
        {"follow", no_argument, NULL, FOLLOW}, {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, 'h'},      {"never", no_argument, NULL, NEVER},
        {"force", no_argument, NULL, FORCE},
    };
    int o;

    for (size_t i = 0; i < NTEXTS; i++)
        known[FLAGS + i] =
            (struct option){texts[i].name, required_argument, NULL, FIRST_TEXT + (int)i};
    while ((o = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (o == JSON)
            c->json = true;
        else if (o == ALL)
            c->all = true;
        else if (o == FOLLOW)
            c->follow = true;
        else if (o == NEVER)
            c->never = true;
        else if (o == FORCE)
            c->force = true;
        else if (o >= FIRST_TEXT)
            memcpy((char *)c + texts[o - FIRST_TEXT].at, &optarg, sizeof(optarg));
        else if (o == 'h' || o == VERSION) {
            fputs(o == 'h' ? usage : "turnpikectl 0.1.0\n", stdout);
            return CTL_OK;
        } else
            return CTL_USAGE;
    }
    for (; optind < argc && c->nwords < 8; optind++)
        c->words[c->nwords++] = argv[optind];
    return -1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct ctl *);
    } groups[] = {{"status", ctl_status}, {"top", ctl_top},     {"holds", ctl_holds},
                  {"rules", ctl_rules},   {"audit", ctl_audit}, {"secret", ctl_secret}};
    struct ctl c = {
        .socket = "/run/turnpike/control.sock",
        .directory = "/var/lib/turnpike/audit",
        .vault = "/etc/turnpike/secrets.vault",
        .key_file = "/etc/turnpike/vault.key",
    };
    int code = parse(argc, argv, &c);

    if (code >= 0)
        return code;
    if (c.nwords == 0) {
        fputs(usage, stderr);
        return CTL_USAGE;
    }
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        if (strcmp(c.words[0], groups[i].name) == 0)
            return groups[i].run(&c);
    return ctl_usage("there is no command \"%s\"", c.words[0]);
}
