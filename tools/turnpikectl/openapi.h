/* rules import openapi: what its parts share.
 *
 *   openapi_read.c    YAML or JSON -> one tree           openapi_paths.c  paths -> our templates
 *   openapi_names.c   names of functions, made unique    openapi_write.c  the rules file
 *   openapi_hosts.c   servers -> hosts and base paths    openapi.c        operations, the command
 *
 * A document comes from elsewhere and is not trusted: everything is bounded, and whatever of its
 * text goes into the rules file is made of known characters first. */
#ifndef OPENAPI_H
#define OPENAPI_H

#include "base/base.h"

#define OA_FILE_MAX       ((size_t)32 << 20)
#define OA_NODES_MAX      ((size_t)4 << 20)
#define OA_DEPTH_MAX      128
#define OA_ANCHORS_MAX    1000
#define OA_ALIASES_MAX    100000
#define OA_OPERATIONS_MAX 20000
#define OA_BASES_MAX      16 /* base paths of one operation: routes that a function may have */
#define OA_HOSTS_MAX      64
#define OA_NOTES_MAX      200 /* remarks of a kind that are printed; the rest is counted */
#define OA_TEMPLATE_MAX   2048

enum oa_kind { OA_TEXT, OA_LIST, OA_MAP }; /* numbers, true and null are texts as written, or "" */

struct oa_node {
    enum oa_kind kind;
    bool merges; /* a mapping with YAML's `<<`: not all that it has is here */
    struct span text;
    struct oa_pair *pairs;  /* sorted by key, each once */
    struct oa_node **items; /* of a list */
    size_t n;
};

struct oa_pair {
    struct span key;
    struct oa_node *value;
};

/* NULL with a word in `why`. The tree lives in `mem`. Values may be shared, never in a circle. */
struct oa_node *oa_read(struct span text, struct arena *mem, char why[256]);
struct oa_node *oa_get(const struct oa_node *map, struct span key); /* NULL-safe */
/* The text under a key; no bytes if it is none. */
struct span oa_text(const struct oa_node *map, const char *key);

struct oa_list {
    void **at;
    size_t n, room;
};
void oa_add(struct oa_list *l, struct arena *mem, void *item);

/* A map by text in which everything that is put stays. */
struct oa_table {
    struct oa_pair_of {
        struct span key;
        void *value;
    } * slot;
    size_t n, room;
};
void *oa_find(const struct oa_table *t, struct span key);
void oa_put(struct oa_table *t, struct arena *mem, struct span key, void *value);

struct oa_operation {
    struct span method, path, id;    /* as the document has them */
    struct span name;                /* of the function */
    struct oa_list routes;           /* char *: "METHOD /path", those that are its own */
    const struct oa_operation *same; /* another has its route */
    bool wider;                      /* the template takes more than the document says */
    const char *left_out;            /* why it has no function */
    const struct oa_node *servers;   /* that count for it; NULL: none are said */
};

struct oa_import {
    struct arena mem;
    struct oa_node *root;
    const char *connection, *host; /* host: instead of the servers'; may be NULL */
    struct oa_list operations;     /* sorted by path, then by method */
    struct oa_list hosts;          /* char * */
    struct oa_list notes;          /* char *: about servers and credentials */
    unsigned port;                 /* 0 until a server says one */
    size_t functions, shared, left_out, wider;
};

/* Notes for the reader of the file and of standard error: one line, no odd characters. */
void oa_note(struct oa_import *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text of the document as it may be shown: printable ASCII, cut at 120 bytes. */
const char *oa_show(struct oa_import *m, struct span s);

/* The base paths of an operation's servers ("" or "/v1"), and their hosts into m->hosts. False if
 * there are more than OA_BASES_MAX. */
bool oa_bases(struct oa_import *m, const struct oa_node *servers, struct oa_list *bases);
bool oa_host_good(struct span host);

/* `base` + `path` as a template of ours. NULL with a word in `*why`. `*wider` is set when a segment
 * with several parameters became one; `*shape` is the template without its parameters' names. */
char *oa_template(struct oa_import *m, struct span base, struct span path, bool *wider,
                  struct span *shape, const char **why);

void oa_name_all(struct oa_import *m); /* operations that have routes */

/* The rules file, in `mem`. */
struct span oa_file(struct oa_import *m, const char *source);

/* Reads what the document says; false with a word in `why`. */
bool oa_plan(struct oa_import *m, struct span text, char why[256]);

#endif
