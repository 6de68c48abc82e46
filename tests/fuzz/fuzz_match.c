/* Random bytes, randomly cut: a stream must mask what a whole buffer does, and both what the slow
 * model says. The first bytes choose syntax, policy and cuts. */
#include "../unit/match/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "match/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
    struct model m;
    struct match_db *db;
    struct match_worker *w;
    struct match_policy policy;
};

static void rig_up(struct rig *r, int keep, bool patterns)
{
    struct match_builder *b = match_builder_new();
    char why[256];

    r->m = (struct model){.card = keep, .mail = keep, .pattern_keep = keep};
    r->m.secret[r->m.secrets++] = SPAN_LIT("sk_Live/0+%41\\n\"x");
    r->m.secret[r->m.secrets++] = SPAN_LIT("12345678");
    if (patterns) {
        r->m.pattern[r->m.patterns++] = (struct model_pattern){"E-[0-9]{3,7}\\b", true};
        r->m.pattern[r->m.patterns++] = (struct model_pattern){"(?:^|[ \"])[xyz]{3,12}$", false};
    }
    match_builder_add_known(b, SPAN_LIT("pci.card"));
    match_builder_add_known(b, SPAN_LIT("pii.email"));
    for (unsigned i = 0; i < r->m.patterns; i++)
        if (match_builder_add_pattern(b, i ? SPAN_LIT("two") : SPAN_LIT("one"),
                                      span_cstr(r->m.pattern[i].text),
                                      r->m.pattern[i].luhn ? SPAN_LIT("luhn") : SPAN_NONE, why) < 0)
            abort();
    for (unsigned i = 0; i < r->m.secrets; i++)
        if (!match_builder_add_secret(b, SPAN_LIT("s"), r->m.secret[i]))
            abort();
    r->db = match_builder_compile(b, why);
    match_builder_free(b);
    r->w = match_worker_new(1);
    if (!r->db || !r->w || !match_worker_adopt(r->w, r->db))
        abort();
    r->policy.detectors = match_db_glob(r->db, SPAN_LIT("*"));
    memset(r->policy.keep, keep, sizeof(r->policy.keep));
}

static void stream_all(struct rig *r, enum match_syntax syntax, char *buf, size_t n, unsigned cuts,
                       struct match_found *found)
{
    struct match_stream *s = match_stream_open(r->w, r->db, &r->policy, syntax);
    size_t start = 0, held = 0, at = 0;

    while (at < n || held || !at) {
        cuts = cuts * 1103515245u + 12345u;
        size_t add = cuts >> 16 & (cuts >> 12 & 1 ? 7 : 255), gone;
        if (add > n - at)
            add = n - at;
        at += add;
        char *window = malloc(held + add + 1);
        memcpy(window, buf + start, held + add);
        gone = match_stream_scan(s, window, held, add, at == n);
        if (gone > held + add || held + add - gone > MATCH_LOOKBACK)
            abort();
        memcpy(buf + start, window, gone);
        free(window);
        start += gone;
        held += add - gone;
        if (at == n)
            break;
    }
    if (held)
        abort();
    *found = *match_stream_found(s);
    match_stream_close(s);
}

static bool same_found(const struct match_found *a, const struct match_found *b)
{
    bool same = a->which == b->which && a->secrets == b->secrets;

    for (unsigned i = 0; same && i < MATCH_DETECTORS_MAX; i++)
        same = match_found_count(a, i) == match_found_count(b, i);
    return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig[6];
    struct match_found found = {0}, streamed = {0};
    struct model_found model;
    struct rig *r;
    enum match_syntax syntax;
    char *buf[3];
    size_t n;

    if (size < 5)
        return 0;
    r = &rig[data[0] % 6];
    if (!r->db)
        rig_up(r, data[0] % 3, data[0] % 6 > 2);
    syntax = (enum match_syntax)(data[1] % 3);
    n = size - 4;
    for (unsigned i = 0; i < 3; i++) {
        buf[i] = malloc(n);
        memcpy(buf[i], data + 4, n);
    }
    if (!match_buffer(r->w, r->db, &r->policy, syntax, buf[0], n, &found))
        abort();
    stream_all(r, syntax, buf[1], n, data[2] * 256u + data[3], &streamed);
    model_mask(&r->m, syntax, buf[2], n, &model);
    if (memcmp(buf[0], buf[1], n) != 0 || !same_found(&found, &streamed))
        abort();
    if (memcmp(buf[0], buf[2], n) != 0 || match_found_count(&found, 0) != model.cards ||
        match_found_count(&found, 1) != model.mails)
        abort();
    for (unsigned i = 0; i < 3; i++)
        free(buf[i]);
    return 0;
}
