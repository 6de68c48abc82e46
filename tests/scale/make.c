/* Sets of rules as large organisations have them: connections of 40 functions, rules that are on
 * lists of functions and on globs, most with a condition; three rules for everybody. The functions
 * of the first resource are under the same rules in a set of any size. */
#include "scale.h"

#define RESOURCES 8                   /* a connection, of 5 functions each */
#define ALLOWED   (RESOURCES * 5 + 1) /* with the unlisted one */

static void write_functions(FILE *f, unsigned c)
{
    fprintf(f,
            "  c%u:\n    hosts: [c%u.example, eu.c%u.example]\n    errors: stripe\n"
            "    credential: {secret: c%u-live, as: bearer}\n    functions:\n",
            c, c, c, c);
    for (unsigned r = 0; r < RESOURCES; r++)
        fprintf(f,
                "      res%u.create: POST /v1/res%u\n"
                "      res%u.list: GET /v1/res%u\n"
                "      res%u.read: GET /v1/res%u/{id}\n"
                "      res%u.delete: DELETE /v1/res%u/{id}\n"
                "      res%u.capture: POST /v1/res%u/{id}/capture\n",
                r, r, r, r, r, r, r, r, r, r);
}

/* Of one resource: who may, what is too much, and robots. */
static void write_resource_rule(FILE *f, unsigned id, unsigned c, unsigned r, unsigned which)
{
    if (which == 0)
        fprintf(f,
                "    on: [c%u.res%u.create, c%u.res%u.capture]\n"
                "    when: body.amount <= %u && body.currency == \"usd\" && caller.claims.team == "
                "\"team-%u\"\n    then: allow\n",
                c, r, c, r, 1000 * r + c, c % 37);
    else if (which == 1)
        fprintf(f,
                "    on: c%u.res%u.create\n"
                "    when: has(body.metadata.order) && body.metadata.order.startsWith(\"o%u-\") && "
                "body.amount > %u\n    then: block\n",
                c, r, id, 1000000 + id);
    else
        fprintf(f,
                "    on: c%u.res%u.*\n    when: caller.id == \"robot-%u\" && "
                "request.query[\"mode\"] == "
                "\"live\"\n    then: block\n",
                c, r, id);
}

/* One of the 20 rules of a connection: three on all of it, then three on each resource. */
static void write_rule(FILE *f, unsigned id, unsigned c, unsigned k)
{
    fprintf(f, "  - id: %u\n    rev: %u\n    name: Rule %u of connection %u\n    owner: team-%u\n",
            id, 1 + id % 9, k, c, c % 37);
    if (k == 0)
        fprintf(f, "    on: [c%u.*.read, c%u.*.list]\n    then: allow\n", c, c);
    else if (k == 1)
        fprintf(f,
                "    on: c%u.*\n    when: request.size > %u && !(\"bulk\" in caller.groups)\n"
                "    then: block\n    message: Too large for connection %u.\n",
                c, 100000 + c, c);
    else if (k == 2)
        fprintf(f,
                "    on: c%u.*.delete\n    then: hold\n"
                "    hold: {groups: [team-%u, ops], quorum: 1, wait: 20s}\n",
                c, c % 37);
    else
        write_resource_rule(f, id, c, (k - 3) / 3, (k - 3) % 3);
}

static void write_global_rules(FILE *f)
{
    fprintf(f, "rules:\n"
               "  - {id: 1, name: Contractors do not read, on: '*.read', when: '\"contractors\" in "
               "caller.groups', then: block}\n"
               "  - {id: 2, name: Deleting is for people, on: '*.delete', when: 'caller.method == "
               "\"oidc\" && caller.claims.kind == \"robot\"', then: block}\n"
               "  - {id: 3, name: Nothing from the guests' network, on: '*', when: "
               "'caller.address.startsWith(\"192.168.\")', then: block}\n");
}

static FILE *open_file(const char *directory, const char *name, unsigned number)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s%03u.yaml", directory, name, number);
    f = fopen(path, "w");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

struct scale scale_make(const char *directory, unsigned rules)
{
    struct scale s = {.rules = rules, .connections = (rules + 19) / 20};
    unsigned left = rules - 3;
    FILE *f = open_file(directory, "global", 0);

    write_global_rules(f);
    fclose(f);
    for (unsigned c = 0; c < s.connections; c++) {
        f = open_file(directory, "c", c);
        fprintf(f, "connections:\n");
        write_functions(f, c);
        fprintf(f, left ? "rules:\n" : "");
        for (unsigned k = 0; k < 20 && left; k++, left--)
            write_rule(f, 1000 + 20 * c + k, c, k);
        fclose(f);
    }
    s.functions = s.connections * ALLOWED;
    return s;
}

void scale_remove(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *e;
    char path[600];

    while (dir && (e = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(directory);
}
