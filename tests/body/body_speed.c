/* How fast JSON is read with 20 paths wanted, beside jansson, which reads the same text into a
 * tree.
 *
 * usage: body_speed [FILE]
 *
 * FILE is a JSON document (default: ../shared/data/traffic/stripe-fixtures.json, from the
 * checkout); where it is absent a generated one of records stands for it. It is measured compact
 * and pretty printed. Both readers take turns in one run, so that other work of the machine meets
 * both; each figure is the best of the turns. For one core: taskset -c 1 body_speed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "body/body.h"

enum { TURNS = 40, GENERATED = 400 };

static const char *const wanted[] = {"resources.charge.object",
                                     "resources.charge.amount",
                                     "resources.charge.currency",
                                     "resources.charge.id",
                                     "resources.charge.paid",
                                     "resources.charge.billing_details.address.country",
                                     "resources.charge.payment_method_details.card.last4",
                                     "resources.charge.outcome.network_status",
                                     "resources.refund.amount",
                                     "resources.refund.charge",
                                     "resources.customer.email",
                                     "resources.customer.id",
                                     "resources.invoice.lines.data[0].amount",
                                     "resources.invoice.lines.data[0].quantity",
                                     "resources.invoice.total",
                                     "resources.payment_intent.amount",
                                     "resources.payment_intent.currency",
                                     "resources.subscription.items.data[0].price.id",
                                     "resources.transfer.amount",
                                     "resources.transfer.destination"};
#define WANTED (sizeof(wanted) / sizeof(*wanted))

struct bench {
    const struct body_paths *paths;
    struct body_value values[WANTED];
    char *scratch;
    unsigned found;
};

static void fail(const char *why)
{
    fprintf(stderr, "body_speed: %s\n", why);
    exit(1);
}

static double read_walker(struct bench *b, struct span text)
{
    struct body_values out = {.count = WANTED, .v = b->values};
    uint64_t began = clock_mono_ns();
    double seconds;

    body_read(b->paths, BODY_JSON, text, span_of(b->scratch, text.n), &out);
    seconds = (double)(clock_mono_ns() - began) / 1e9;
    if (out.problem)
        fail("the walker refuses the document");
    b->found = 0;
    for (unsigned i = 0; i < WANTED; i++)
        b->found += b->values[i].kind > BODY_UNREADABLE;
    return seconds;
}

static double read_jansson(struct span text)
{
    uint64_t began = clock_mono_ns();
    json_t *doc = json_loadb(text.p, text.n, 0, NULL);
    double seconds = (double)(clock_mono_ns() - began) / 1e9;

    if (!doc)
        fail("jansson refuses the document");
    json_decref(doc);
    return seconds;
}

static void measure(struct bench *b, const char *name, struct span text)
{
    double walker = 1e9, tree = 1e9;

    b->scratch = malloc(text.n);
    if (!b->scratch)
        fail("out of memory");
    for (unsigned i = 0; i < TURNS; i++) {
        for (unsigned k = 0; k < 4; k++) {
            double t = read_walker(b, text);
            walker = t < walker ? t : walker;
        }
        double t = read_jansson(text);
        tree = t < tree ? t : tree;
    }
    printf("%-8s %8zu bytes, %u of %zu paths found: %.2f GB/s; jansson %.3f GB/s; %.1f times\n",
           name, text.n, b->found, WANTED, (double)text.n / walker / 1e9,
           (double)text.n / tree / 1e9, tree / walker);
    free(b->scratch);
}

static json_t *generated(void)
{
    json_t *doc = json_object(), *list = json_array();

    for (int i = 0; i < GENERATED; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:s, s:b, s:n, s:f, s:{s:s, s:s, s:[i, i, i]}, s:s}", "id",
                            "ch_1PgafmB7WZ01zgkW6dKueIc5", "amount", 1000 + i, "currency", "usd",
                            "paid", 1, "description", "rate", 0.0625, "address", "country", "DE",
                            "line1", "Unter den Linden 77", "codes", i, i + 1, i + 2, "note",
                            "created by body_speed, for want of a document"));
    json_object_set_new(doc, "data", list);
    return doc;
}

static void want(struct body_paths *p, const char *path)
{
    if (body_paths_add(p, span_cstr(path)) < 0)
        fail("a path that is none");
}

/* The document, and the paths that are wanted of it. */
static json_t *load(const char *path, struct body_paths *p)
{
    json_error_t why;
    json_t *doc = json_load_file(path, 0, &why);
    char text[40];

    for (unsigned i = 0; doc && i < WANTED; i++)
        want(p, wanted[i]);
    if (doc)
        return doc;
    printf("%s is not there or no JSON: a generated document stands for it\n", path);
    for (unsigned i = 0; i < WANTED; i++) {
        snprintf(text, sizeof(text), "data[%u].amount", i * (GENERATED / (unsigned)WANTED));
        want(p, text);
    }
    return generated();
}

int main(int argc, char **argv)
{
    struct arena mem = ARENA_INIT;
    struct body_paths *paths = body_paths_new(&mem);
    struct bench b = {.paths = paths};
    json_t *doc = load(argc > 1 ? argv[1] : BODY_SPEED_FILE, paths);
    char *compact = json_dumps(doc, JSON_COMPACT), *pretty = json_dumps(doc, JSON_INDENT(2));

    if (!compact || !pretty)
        fail("out of memory");
    measure(&b, "compact", span_cstr(compact));
    measure(&b, "pretty", span_cstr(pretty));
    free(compact);
    free(pretty);
    json_decref(doc);
    arena_free(&mem);
    return 0;
}
