/* What the parts of the body library share with each other and with nobody else. */
#ifndef BODY_INTERNAL_H
#define BODY_INTERNAL_H

#include "body/body.h"

/* ------------------------------------------------------------------ the trie */

#define BODY_NO_PATH ((uint32_t)-1)

/* A place that some wanted path goes through: the document, a member by key or an element by index.
 * Nodes are numbered in the order of their making, so that a parent's number is the smaller one. */
struct body_node {
    struct body_node *parent;
    struct body_node *in_bucket; /* next one of the same bucket */
    struct body_node *next;      /* next by number */
    struct span key;             /* of a member */
    struct span folded;          /* the key as body_fold writes it */
    uint64_t hash;
    uint32_t index; /* of an element */
    bool is_index;
    uint32_t id;
    uint32_t path; /* index of the path that ends here, or BODY_NO_PATH */

    /* of the children */
    uint64_t first;    /* one bit for each first byte of a folded key, modulo 64 */
    uint32_t elements; /* highest index + 1 of the wanted elements */
};

struct body_paths {
    struct arena *mem;
    struct body_node *root, **last; /* where the next node is linked */
    struct body_node **buckets;
    uint32_t nbuckets; /* a power of two */
    uint32_t nodes, paths;
};

#define BODY_KEY_MAX   255  /* bytes of one key in a path */
#define BODY_NODES_MAX 8192 /* of one set: a reading keeps 16 bytes for each on its stack */

/* A key as a lenient reader may see it, for telling keys that some reader takes for one: letters in
 * lower case (with the two characters beyond ASCII that case folding maps to ASCII letters), "_",
 * "." and " " left out, and nothing after NUL. Returns the length, or SIZE_MAX if it is over `cap`.
 */
size_t body_fold(struct span key, char *out, size_t cap);
uint64_t body_key_hash(const struct body_node *parent, struct span folded);
uint64_t body_index_hash(const struct body_node *parent, uint32_t index);

struct body_node *body_find_index(const struct body_paths *p, const struct body_node *parent,
                                  uint32_t index);

/* What is known of a node while one document is read. Only flags are used for JSON. */
struct body_state {
    const char *rest; /* form: what follows the first "[]" in the key; it must stay the same */
    uint16_t rest_n;
    uint16_t members; /* form: of a container */
    uint16_t highest; /* form: index, or UINT16_MAX if larger */
    uint8_t flags;
};
_Static_assert(BODY_PAIRS_MAX < UINT16_MAX, "pairs and members are counted in 16 bits");
enum {
    BODY_SEEN = 1,    /* JSON: it was there. Form: as a value */
    BODY_AGAIN = 2,   /* it can be read in two ways */
    BODY_VARIANT = 4, /* a key was there that folds to the same */
    BODY_INNER = 8,   /* form: it was there as a container, */
    BODY_EMPTY = 16,  /* with "[]", */
    BODY_DIGIT = 32,  /* with an index, */
    BODY_NAME = 64,   /* with a name */
};

/* One reading. Everything that changes while a document is read is here, in the caller's memory. */
struct body_reader {
    const struct body_paths *paths;
    struct body_state *state; /* by node number */
    struct body_values *out;
    struct span body;
    char *scratch, *scratch_end;
    enum body_problem problem;
    const char *problem_at;
    bool doubt; /* some node has AGAIN or VARIANT */
};

static inline struct body_state *body_state(struct body_reader *r, const struct body_node *n)
{
    return &r->state[n->id];
}

/* The value of a node, or NULL when no path ends there. */
static inline struct body_value *body_value_at(struct body_reader *r, const struct body_node *n)
{
    return n && n->path < r->out->count ? &r->out->v[n->path] : NULL;
}

/* Notes the first problem; always false. */
bool body_fail(struct body_reader *r, enum body_problem why, const char *at);

/* The child of `parent` with that key, byte for byte, or NULL. Children whose keys fold to the same
 * are told that a variant of theirs was there, also where both are wanted: what one rule may read
 * must not depend on what another one names. */
struct body_node *body_find_key(struct body_reader *r, const struct body_node *parent,
                                struct span key);

/* ---------------------------------------------------------------- bytes */

int body_hex_value(char c); /* -1: no hex digit */

/* The length of the UTF-8 sequence at `p` that is not ASCII; 0 if it is none (RFC 3629). */
size_t body_utf8_len(const char *p, const char *end);
bool body_utf8_valid(struct span s);

/* The place after the number at `p` (RFC 8259 6), or NULL if there is none. */
const char *body_number_end(const char *p, const char *end);

/* From inside a JSON string to its closing quote. If the byte there is no quote, or it is `end`,
 * the string is malformed at that place, or not UTF-8 if that byte is not ASCII. `*escaped` is set
 * when there is an escape before it. */
const char *body_string_end(const char *p, const char *end, bool *escaped);

/* Takes the escapes out of what body_string_end has passed over. At most `s.n` bytes are written to
 * `out`, *n says how many. False when a surrogate stands alone: then it is no text. */
bool body_unescape(struct span s, char *out, size_t *n);

/* ------------------------------------------------------------- documents */

bool body_read_json(struct body_reader *r);
bool body_read_form(struct body_reader *r);
bool body_read_multipart(struct body_reader *r);
/* Of a form, once all pairs are read: kinds, lengths and doubts of containers. */
void body_settle_form(struct body_reader *r);

/* One step of a form key: `a[b][][0]` has four. */
enum body_step_kind {
    BODY_STEP_END,
    BODY_STEP_NAME,
    BODY_STEP_INDEX,
    BODY_STEP_EMPTY,
    BODY_STEP_ODD
};
struct body_step {
    enum body_step_kind kind;
    struct span name; /* also of an index */
    uint32_t index;
};
struct body_step body_first_step(struct span *key);
struct body_step body_next_step(struct span *rest);

/* Distinct members of containers that must be counted. The hash is keyed, as the names are a
 * stranger's. */
struct body_member {
    const struct body_node *of;
    struct span name;
    uint64_t hash;
};

#define BODY_MEMBERS_MAX  2048
#define BODY_MEMBER_SLOTS 4096 /* a power of two, and at most half of it used */

/* The fields of a form as they come, whatever the form is written in. */
struct body_fields {
    struct body_reader *r;
    unsigned count; /* for the reader of the form: how many have come */
    bool keep;      /* the text of the last one is still needed */
    uint64_t seed;
    unsigned members;
    bool slots_ready;
    uint16_t slots[BODY_MEMBER_SLOTS]; /* place in `member` + 1 */
    struct body_member member[BODY_MEMBERS_MAX];
};

enum body_field_kind {
    BODY_FIELD_TEXT,   /* a number if it is written as one */
    BODY_FIELD_STRING, /* never a number */
    BODY_FIELD_DOUBT,  /* it is there, and cannot be read in one way */
    BODY_FIELD_FILE,   /* `raw` is its name, `text` its bytes */
};
struct body_field {
    enum body_field_kind kind;
    struct span raw, text;
    bool odd_name;             /* of a file: it can be read in two ways */
    struct span type, subtype; /* of a file; empty if it has none */
};

void body_fields_begin(struct body_fields *f, struct body_reader *r);
/* False after body_fail. */
bool body_fields_take(struct body_fields *f, struct span key, const struct body_field *field);

/* ------------------------------------------------------------- media types */

bool body_boundary_valid(struct span s);
bool body_is_token(struct span s); /* RFC 9110 5.6.2 */
/* "utf-8" or "utf8", in whatever case. */
bool body_is_utf8_name(struct span s);
/* The type and subtype of a Content-Type value. False if it is none, or if its parameters say
 * something of the charset that is not utf-8, once. */
bool body_media(struct span value, struct span *type, struct span *subtype);
bool body_is_json_media(struct span type, struct span subtype);
/* "%" and two hex digits. */
bool body_has_escape(struct span s);

/* The head of a part of a multipart body. */
struct body_part_head {
    struct span name;
    bool file; /* there is a file name, */
    struct span file_name;
    struct span type, subtype; /* of Content-Type; empty if there is none */
    bool unreadable;           /* another charset, or parts within the part */
    /* When it is refused: */
    enum body_problem problem;
    const char *at;
};
/* `content_n`: bytes of the part, which its Content-Length must not contradict. */
bool body_part_head_read(struct span head, size_t content_n, struct body_part_head *out);

#endif
