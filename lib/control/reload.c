/* Reload: the compiler thread reads and checks, control publishes, workers take over one by one,
 * and the old generation goes once nobody uses it. */
#include <stdlib.h>
#include <urcu-qsbr.h>

#include "base/log.h"
#include "control/control_internal.h"

enum { SPREAD_PATIENCE_S = 15 };

/* What is to run is kept first. A history that cannot be written stops no reload: it is said. */
static void *compile(void *arg)
{
    struct reload *r = arg;
    const char *history = r->history;

    r->made = call_generation_load(&r->sources, r->number, clock_wall_ns(), &r->diags);
    r->unkept[0] = 0;
    if (r->made && r->from[0]) {
        control_history_pin(history, r->set, r->unkept);
    } else if (r->made) {
        control_history_pin(history, 0, r->unkept);
        r->set = control_history_keep(history, r->made->rules, r->who, clock_wall_ns(), r->unkept);
    }
    atomic_store_explicit(&r->done, true, memory_order_release);
    return NULL;
}

static bool start(struct control *c, const char *who)
{
    struct reload *r = &c->reload;

    r->sources = c->c.sources;
    if (r->from[0]) {
        r->sources.rules_directory = r->from;
        r->sources.rules_beside = c->c.sources.rules_directory;
    }
    r->history = c->c.history;
    r->number = (*c->c.generation)->number + 1;
    r->made = NULL;
    r->again = false;
    atomic_store(&r->done, false);
    diags_init(&r->diags);
    snprintf(r->who, sizeof(r->who), "%s", who);
    if (pthread_create(&r->thread, NULL, compile, r) != 0) {
        diags_free(&r->diags);
        return false;
    }
    r->state = RELOAD_COMPILING;
    return true;
}

bool reload_start(struct control *c, const char *who)
{
    struct reload *r = &c->reload;

    if (r->state != RELOAD_IDLE) {
        r->again = true; /* what is on disk now may not be what is being read */
        return true;
    }
    r->from[0] = 0;
    return start(c, who);
}

const char *reload_rollback(struct control *c, uint64_t set, const char *who)
{
    struct reload *r = &c->reload;

    if (r->state != RELOAD_IDLE)
        return "a reload is under way; try again";
    if (!control_history_path(c->c.history, set, r->from))
        return "there is no such set";
    r->set = set;
    return start(c, who) ? NULL : "no thread could be started";
}

static void record(struct control *c, enum audit_kind kind, const struct call_generation *g)
{
    const struct reload *r = &c->reload;
    struct audit_event e;
    char set[64];

    if (!audit_begin(&e, c->c.ring, kind, 4096, clock_wall_ns()))
        return;
    audit_text(&e, AUDIT_F_REVIEWER, span_cstr(r->who));
    if (g) {
        audit_number(&e, AUDIT_F_GENERATION, g->number);
        audit_bytes(&e, AUDIT_F_RULES_HASH, rules_hash(g->rules), RULES_HASH);
        snprintf(set, sizeof(set), r->from[0] ? "rolled back to set %llu" : "set %llu",
                 (unsigned long long)r->set);
        audit_text(&e, AUDIT_F_DETAIL, span_cstr(r->unkept[0] ? r->unkept : set));
    } else {
        audit_number(&e, AUDIT_F_COUNT, r->diags.errors);
        if (r->diags.count)
            audit_text(&e, AUDIT_F_DETAIL, span_cstr(r->diags.items[0].message));
    }
    audit_end(&e);
}

/* ------------------------------------------------------------------- the answer */

static json_t *complaints(const struct diags *d)
{
    size_t cap = (size_t)256 << 10;
    char *text = malloc(cap);
    struct outbuf o = outbuf_on(text, text ? cap : 0);
    json_t *list;

    diags_json(d, &o);
    list = o.full ? NULL : json_loadb(o.p, o.n, 0, NULL);
    free(text);
    return list ? list : json_array();
}

/* As diags_print shows them, for a person. */
static json_t *complaints_text(const struct diags *d)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    json_t *s;

    if (!f)
        return json_string("");
    diags_print(d, f, false);
    fclose(f);
    s = json_stringn(text, n);
    free(text);
    return s ? s : json_string("");
}

static void tell_waiting(struct control *c, json_t *answer)
{
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *k = &c->clients[i];

        if (k->fd >= 0 && k->waits_reload) {
            k->waits_reload = false;
            client_answer(k, json_incref(answer));
        }
    }
    json_decref(answer);
}

static void finish(struct control *c, json_t *answer)
{
    struct reload *r = &c->reload;

    diags_free(&r->diags);
    r->state = RELOAD_IDLE;
    if (r->again) {
        char who[sizeof(r->who)];

        memcpy(who, r->who, sizeof(who));
        if (reload_start(c, who)) {
            json_decref(answer); /* those who wait are answered by the next one */
            return;
        }
    }
    tell_waiting(c, answer);
}

static void refused(struct control *c)
{
    struct reload *r = &c->reload;
    json_t *answer = json_pack("{s:b, s:i, s:s, s:o, s:o}", "ok", 0, "exit", 2, "error",
                               "the files have errors; the running set stays", "complaints",
                               complaints(&r->diags), "text", complaints_text(&r->diags));

    record(c, AUDIT_RULES_REFUSED, NULL);
    log_warn("control", "reload refused: %zu errors; the running set stays", r->diags.errors);
    finish(c, answer);
}

/* -------------------------------------------------------------------- spreading */

static void publish(struct control *c, uint64_t now_ns)
{
    struct reload *r = &c->reload;
    struct retired *old = malloc(sizeof(*old));

    if (!old) {
        call_generation_free(r->made);
        finish(c, ask_failed(1, "out of memory"));
        return;
    }
    old->g = *c->c.generation;
    STAILQ_INSERT_TAIL(&c->retired, old, next);
    rcu_set_pointer(c->c.generation, r->made);
    c->set = r->set;
    c->rolled_back = r->from[0] != 0;
    if (r->unkept[0])
        log_warn("control", "the history of rules could not be written: %s", r->unkept);
    record(c, AUDIT_RULES_LOADED, r->made);
    r->state = RELOAD_SPREADING;
    r->since_ns = now_ns;
}

static bool all_use(const struct control *c, uint64_t number)
{
    for (unsigned i = 0; i < c->c.workers; i++)
        if (call_generation_seen(c->c.worker[i]) < number)
            return false;
    return true;
}

static void spreading(struct control *c, uint64_t now_ns)
{
    struct reload *r = &c->reload;
    char hash[2 * RULES_HASH + 1];
    struct outbuf o = outbuf_on(hash, sizeof(hash) - 1);

    if (!all_use(c, r->number)) {
        if (now_ns - r->since_ns > SPREAD_PATIENCE_S * NS_IN_S)
            finish(c, ask_failed(1, "not every worker has taken the new set over; see the log"));
        return;
    }
    outbuf_hex(&o, rules_hash((*c->c.generation)->rules), RULES_HASH);
    hash[o.n] = 0;
    log_info("control", "generation %lu in use by every worker", r->number);
    finish(c, json_pack("{s:b, s:I, s:I, s:s, s:s, s:o}", "ok", 1, "generation",
                        (json_int_t)r->number, "set", (json_int_t)r->set, "rules_hash", hash,
                        "history", r->unkept, "text", complaints_text(&r->diags)));
}

/* An old generation goes when every worker has a newer one and no call that began under it is left.
 */
static void free_retired(struct control *c)
{
    struct retired *old;

    while ((old = STAILQ_FIRST(&c->retired)) && all_use(c, old->g->number + 1) &&
           !call_generation_pinned(old->g)) {
        urcu_qsbr_synchronize_rcu();
        STAILQ_REMOVE_HEAD(&c->retired, next);
        hits_keep(c, old->g);
        call_generation_free(old->g);
        free(old);
    }
}

void reload_tick(struct control *c, uint64_t now_ns)
{
    struct reload *r = &c->reload;

    if (r->state == RELOAD_COMPILING && atomic_load_explicit(&r->done, memory_order_acquire)) {
        pthread_join(r->thread, NULL);
        if (r->made)
            publish(c, now_ns);
        else
            refused(c);
    } else if (r->state == RELOAD_SPREADING) {
        spreading(c, now_ns);
    }
    free_retired(c);
}

/* Workers have stopped. */
void reload_free(struct control *c)
{
    struct reload *r = &c->reload;
    struct retired *old;

    if (r->state == RELOAD_COMPILING) {
        pthread_join(r->thread, NULL);
        call_generation_free(r->made);
    }
    if (r->state != RELOAD_IDLE)
        diags_free(&r->diags);
    while ((old = STAILQ_FIRST(&c->retired))) {
        STAILQ_REMOVE_HEAD(&c->retired, next);
        call_generation_free(old->g);
        free(old);
    }
}
