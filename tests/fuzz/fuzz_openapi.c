/* Any bytes as an OpenAPI document: it is refused with a word, or becomes a rules file that loads,
 * with as many functions as were said. */
#include "../../tools/turnpikectl/openapi.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char directory[] = "/dev/shm/fuzz-openapi-XXXXXX";
static char path[sizeof(directory) + 8];

static void clean_up(void)
{
    unlink(path);
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (!mkdtemp(directory))
        abort();
    snprintf(path, sizeof(path), "%s/a.yaml", directory);
    atexit(clean_up);
    return 0;
}

static void must_load(struct span file, size_t functions)
{
    struct rules_set *s;
    struct diags d;
    FILE *f = fopen(path, "w");

    if (!f || fwrite(file.p, 1, file.n, f) != file.n || fclose(f))
        abort();
    diags_init(&d);
    s = rules_load(directory, 1, &d);
    if (!s)
        diags_print(&d, stderr, false);
    if (!s || rules_function_count(s) != functions + 1) /* and the unlisted */
        abort();
    rules_free(s);
    diags_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oa_import m = {
        .mem = ARENA_INIT, .connection = "x", .host = size % 2 ? "x.example" : NULL};
    char why[256] = "";
    struct span file;

    if (oa_plan(&m, span_of(data, size), why)) {
        file = oa_file(&m, "fuzz");
        if (!file.p)
            abort();
        must_load(file, m.functions);
    } else if (!why[0]) {
        abort();
    }
    arena_free(&m.mem);
    return 0;
}
