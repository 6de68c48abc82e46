/* A directory of YAML files -> a rule set, or everything that is wrong with it. */
#include "rules_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------- files */

static int by_file_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the rules files, sorted; false after a complaint. */
static bool list_files(struct rules_loader *l, struct rules_list *names)
{
    DIR *dir = opendir(l->directory);
    struct dirent *e;

    if (!dir) {
        diag_error(l->d, place_of_file(l->directory), "cannot be read: %s", strerror(errno));
        return false;
    }
    while ((e = readdir(dir))) {
        struct span name = span_cstr(e->d_name);

        if (name.p[0] == '.')
            continue;
        if (span_ends(name, SPAN_LIT(".yaml")))
            rules_list_add(names, &l->tmp, arena_strdup(&l->tmp, name));
        else if (span_ends(name, SPAN_LIT(".yml")))
            diag_warning(l->d, place_of_file(arena_printf(&l->tmp, "%s/%s", l->directory, name.p)),
                         "is not read: the name of a rules file ends in .yaml");
    }
    closedir(dir);
    if (names->n)
        qsort(names->at, names->n, sizeof(*names->at), by_file_name);
    if (names->n == 0 || names->n > RULES_FILES_MAX) {
        diag_error(l->d, place_of_file(l->directory),
                   names->n ? "there are more than %d rules files" : "there is no file *.yaml here",
                   RULES_FILES_MAX);
        return false;
    }
    return true;
}

static bool read_all(int fd, char *p, size_t room, size_t *n)
{
    ssize_t got;

    for (*n = 0; *n < room; *n += (size_t)got) {
        got = read(fd, p + *n, room - *n);
        if (got < 0 && errno == EINTR)
            got = 0;
        else if (got <= 0)
            return got == 0;
    }
    return true;
}

/* The whole file, in memory of the set: what is hashed is what is read, and what is kept.
 * p == NULL after a complaint. */
static struct span read_file(struct rules_loader *l, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not keep us waiting */
    const char *why = NULL;
    struct stat st;
    char *p = NULL;
    size_t n = 0;

    if (fd < 0 || fstat(fd, &st) != 0) {
        why = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        why = "it is no regular file";
    } else if (st.st_size > (off_t)YAML_FILE_MAX) {
        why = "it is over 16 MiB";
    } else {
        p = arena_alloc(&l->set->mem, (size_t)st.st_size + 1);
        if (!read_all(fd, p, (size_t)st.st_size + 1, &n))
            why = strerror(errno);
        else if (n > (size_t)st.st_size)
            why = "it grew while it was read";
    }
    if (fd >= 0)
        close(fd);
    if (why)
        diag_error(l->d, place_of_file(path), "cannot be read: %s", why);
    return why ? SPAN_NONE : span_of(p, n);
}

static bool hash_part(EVP_MD_CTX *hash, struct span part)
{
    uint64_t n = part.n;
    uint8_t length[8];

    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(n >> (56 - 8 * i));
    return EVP_DigestUpdate(hash, length, sizeof(length)) == 1 &&
           EVP_DigestUpdate(hash, part.p, part.n) == 1;
}

/* --------------------------------------------------------------- sections */

static void refuse_exceptions(struct rules_loader *l, const struct yaml_node *n)
{
    rules_refuse(l, n, "`exceptions` are not available in this version; narrow the mask's `on`");
}

static void check_sections(struct rules_loader *l, const struct yaml_node *root)
{
    static const char *const keys[] = {"packs", "connections", "rules",   "masks",      "detectors",
                                       "lists", "issuers",     "sources", "exceptions", NULL};

    if (rules_want_mapping(l, root, "a rules file"))
        yaml_only(root, keys, l->d);
}

static void read_sections(struct rules_loader *l, const struct yaml_node *root)
{
    static const struct {
        const char *key;
        void (*read)(struct rules_loader *l, const struct yaml_node *n);
    } sections[] = {
        {"connections", rules_read_connections},
        {"rules", rules_read_rules},
        {"masks", rules_read_masks},
        {"detectors", rules_read_detectors},
        {"lists", rules_read_lists},
        {"issuers", rules_read_issuers},
        {"sources", rules_read_sources},
        {"exceptions", refuse_exceptions},
    };

    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct yaml_node *n = yaml_get(root, sections[i].key);

        if (n)
            sections[i].read(l, n);
    }
}

/* False if the hash could not be taken: the files themselves complain in l->d. */
static bool load_file(struct rules_loader *l, const char *name, EVP_MD_CTX *hash)
{
    char *path = arena_printf(&l->tmp, "%s/%s", l->directory, name);
    struct span text = read_file(l, path);
    struct yaml_doc *doc;

    if (!text.p)
        return true;
    if (!hash_part(hash, span_cstr(name)) || !hash_part(hash, text))
        return false;
    l->set->files[l->set->nfiles++] =
        (struct rules_file){arena_span(&l->set->mem, span_cstr(name)), text};
    doc = yaml_parse(path, text, l->d);
    if (doc)
        rules_list_add(&l->docs, &l->tmp, doc);
    return true;
}

static void each_file(struct rules_loader *l,
                      void (*read)(struct rules_loader *l, const struct yaml_node *root))
{
    for (size_t i = 0; i < l->docs.n; i++)
        read(l, yaml_root(l->docs.at[i]));
}

/* What is in one file may be used in another, whatever they are called. */
static void read_files(struct rules_loader *l)
{
    each_file(l, check_sections);
    each_file(l, rules_read_packs);
    each_file(l, rules_count_packs);
    each_file(l, read_sections);
}

static bool load_files(struct rules_loader *l, const struct rules_list *names)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool good = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

    l->set->files = arena_array(&l->set->mem, struct rules_file, names->n);
    for (size_t i = 0; good && i < names->n; i++)
        good = load_file(l, names->at[i], hash);
    good = good && EVP_DigestFinal_ex(hash, l->set->hash, NULL) == 1;
    EVP_MD_CTX_free(hash);
    if (!good)
        diag_error(l->d, place_of_file(l->directory), "SHA-256 is not to be had");
    return good;
}

/* ------------------------------------------------------------------ the set */

static void finish(struct rules_loader *l)
{
    struct rules_set *s = l->set;

    rules_finish_packs(l);
    rules_finish_connections(l);
    rules_finish_masks(l);
    rules_finish_issuers(l);
    rules_finish_rules(l);
    rules_finish_lists(l);
    for (unsigned i = 0; i < s->nconnections; i++)
        if (s->connections[i].inspect_request > s->most_body)
            s->most_body = s->connections[i].inspect_request;
}

static struct rules_set *set_new(void)
{
    struct rules_set *s = calloc(1, sizeof(*s));

    if (s)
        s->mem = ARENA_INIT;
    return s;
}

struct rules_set *rules_load(const char *directory, uint64_t now_ns, struct diags *d)
{
    return rules_load_beside(directory, directory, now_ns, d);
}

struct rules_set *rules_load_beside(const char *directory, const char *files, uint64_t now_ns,
                                    struct diags *d)
{
    struct rules_loader l = {
        .tmp = ARENA_INIT, .d = d, .directory = directory, .beside = files, .now_ns = now_ns};
    struct rules_list names = {0};
    size_t errors = d->errors;

    l.set = set_new();
    if (!l.set) {
        diag_error(d, place_of_file(directory), "out of memory");
        return NULL;
    }
    rules_read_shapes(&l);
    if (list_files(&l, &names) && load_files(&l, &names)) {
        read_files(&l);
        finish(&l);
    }
    for (size_t i = 0; i < l.docs.n; i++)
        yaml_free(l.docs.at[i]);
    arena_free(&l.tmp);
    if (d->errors == errors)
        return l.set;
    rules_free(l.set);
    return NULL;
}

void rules_free(struct rules_set *s)
{
    if (!s)
        return;
    arena_free(&s->mem);
    free(s);
}

/* --------------------------------------------------------------- accessors */

const uint8_t *rules_hash(const struct rules_set *s)
{
    return s->hash;
}

unsigned rules_file_count(const struct rules_set *s)
{
    return s->nfiles;
}

void rules_file_at(const struct rules_set *s, unsigned i, struct span *name, struct span *text)
{
    *name = s->files[i].name;
    *text = s->files[i].text;
}

uint64_t rules_longest_window(const struct rules_set *s)
{
    return s->longest_window;
}

unsigned rules_count(const struct rules_set *s)
{
    return s->nrules;
}

const struct rules_rule *rules_at(const struct rules_set *s, unsigned i)
{
    return &s->rules[i];
}

unsigned rules_function_count(const struct rules_set *s)
{
    return s->nfunctions;
}

const struct rules_function *rules_function_at(const struct rules_set *s, unsigned i)
{
    return &s->functions[i];
}

unsigned rules_connection_count(const struct rules_set *s)
{
    return s->nconnections;
}

const struct rules_connection *rules_connection_at(const struct rules_set *s, unsigned i)
{
    return &s->connections[i];
}

unsigned rules_issuer_count(const struct rules_set *s)
{
    return s->nissuers;
}

const struct rules_issuer *rules_issuer_at(const struct rules_set *s, unsigned i)
{
    return &s->issuers[i];
}

const struct rules_connection *rules_connection_for(const struct rules_set *s, struct span host)
{
    return rules_map_get(&s->hosts, host);
}

const struct rules_function *rules_function_for(const struct rules_set *s,
                                                const struct rules_connection *c,
                                                struct span method, struct span path,
                                                struct rules_params *params)
{
    const struct rules_route *r = rules_index_find(s->index[c->index], method, path, params);

    params->told = r ? r->told : NULL;
    if (params->told)
        r = params->told->plain;
    return r ? r->function : c->unlisted;
}
