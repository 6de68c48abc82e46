#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "hold/hold_internal.h"

/* A record and its places: in `all` by id, in `open` while it has not ended. */
struct entry {
    struct hold_record r;
    bool ended;
    TAILQ_ENTRY(entry) all;
    LIST_ENTRY(entry) open;
    STAILQ_ENTRY(entry) by_end;
};

/* A message that a full ring did not take. */
struct queued {
    struct hold_message m;
    STAILQ_ENTRY(queued) next;
};

struct hold_table {
    struct hold_out out;
    TAILQ_HEAD(, entry) all;
    LIST_HEAD(, entry) open;
    STAILQ_HEAD(, entry) ended; /* oldest end first */
    STAILQ_HEAD(, queued) queue;
    unsigned nopen, nended;
    uint64_t next_id;
};

/* ----------------------------------------------------------------------- names */

const char *hold_state_name(enum hold_state s)
{
    static const char *const names[] = {"held",      "pending",   "approved", "forwarded",
                                        "granted",   "settled",   "denied",   "expired",
                                        "cancelled", "superseded"};

    return (unsigned)s < sizeof(names) / sizeof(*names) ? names[s] : "?";
}

const char *hold_result_text(enum hold_result r)
{
    switch (r) {
    case HOLD_DONE:
        return "done";
    case HOLD_COUNTED:
        return "your approval counts; others must approve too";
    case HOLD_NO_SUCH:
        return "there is no held call with that id";
    case HOLD_ENDED:
        return "it has been decided or has ended already";
    case HOLD_TWICE:
        return "you have approved it already";
    case HOLD_OWN_CALL:
        return "a caller may not decide on its own call";
    case HOLD_NOT_A_REVIEWER:
        return "you are in none of the groups that may decide";
    }
    return "?";
}

char *hold_id_text(uint64_t id, char out[HOLD_ID_TEXT])
{
    snprintf(out, HOLD_ID_TEXT, "h-%016lx", id);
    return out;
}

bool hold_id_parse(struct span text, uint64_t *id)
{
    uint64_t v = 0;

    if (text.n != 18 || memcmp(text.p, "h-", 2) != 0)
        return false;
    for (size_t i = 2; i < text.n; i++) {
        char c = text.p[i];

        if (c >= '0' && c <= '9')
            v = v * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *id = v;
    return true;
}

/* -------------------------------------------------------------------- messages */

static void flush_queue(struct hold_table *t)
{
    struct queued *q;

    while ((q = STAILQ_FIRST(&t->queue)) && t->out.send(t->out.ctx, q->m.worker, &q->m)) {
        STAILQ_REMOVE_HEAD(&t->queue, next);
        free(q);
    }
}

/* Order matters (OPENED before the verdict), so once one message waits all do. */
static void send(struct hold_table *t, const struct hold_message *m)
{
    struct queued *q;

    flush_queue(t);
    if (STAILQ_EMPTY(&t->queue) && t->out.send(t->out.ctx, m->worker, m))
        return;
    q = malloc(sizeof(*q));
    if (!q)
        return; /* the worker's own timer ends the call */
    q->m = *m;
    STAILQ_INSERT_TAIL(&t->queue, q, next);
}

static void put_text(char *to, size_t cap, struct span s)
{
    size_t n = s.n < cap - 1 ? s.n : cap - 1;

    if (n)
        memcpy(to, s.p, n);
    to[n] = 0;
}

/* A verdict for whoever waits on a record. */
static void tell(struct hold_table *t, struct entry *e, enum hold_message_type type,
                 struct span who, struct span reason)
{
    struct hold_message m = {
        .type = type, .worker = e->r.worker, .call = e->r.call, .hold = e->r.id};

    if (e->r.call == 0)
        return;
    put_text(m.who, sizeof(m.who), who);
    put_text(m.reason, sizeof(m.reason), reason);
    send(t, &m);
}

static void refuse(struct hold_table *t, const struct hold_message *open, const char *cause)
{
    struct hold_message m = {.type = HOLD_MSG_REFUSED, .worker = open->worker, .call = open->call};

    put_text(m.reason, sizeof(m.reason), span_cstr(cause));
    send(t, &m);
}

/* --------------------------------------------------------------------- records */

static void event(struct hold_table *t, enum audit_kind kind, const struct entry *e,
                  struct span who, struct span reason, uint64_t now_ns)
{
    hold_event(t->out.audit, kind, &e->r, who, reason, now_ns);
}

/* Oldest by its end, so that the one that ends now can still be shown. */
static void forget_oldest(struct hold_table *t)
{
    struct entry *e = STAILQ_FIRST(&t->ended);

    STAILQ_REMOVE_HEAD(&t->ended, by_end);
    TAILQ_REMOVE(&t->all, e, all);
    t->nended--;
    free(e);
}

static void end(struct hold_table *t, struct entry *e, enum hold_state state, uint64_t now_ns)
{
    e->r.state = state;
    e->r.ended_ns = now_ns;
    e->r.call = 0;
    e->ended = true;
    LIST_REMOVE(e, open);
    t->nopen--;
    STAILQ_INSERT_TAIL(&t->ended, e, by_end);
    if (++t->nended > HOLD_KEPT_MAX)
        forget_oldest(t);
}

static struct entry *find(const struct hold_table *t, uint64_t id)
{
    struct entry *e;

    TAILQ_FOREACH (e, &t->all, all) {
        if (e->r.id == id)
            return e;
    }
    return NULL;
}

static struct entry *find_waiting(const struct hold_table *t, const struct hold_message *m)
{
    struct entry *e;

    LIST_FOREACH (e, &t->open, open) {
        if (e->r.call == m->call && e->r.worker == m->worker && m->call != 0)
            return e;
    }
    return NULL;
}

/* ------------------------------------------------------------------------ opening */

/* An open record of the same call by the same caller. */
static struct entry *same_call(const struct hold_table *t, const struct hold_request *q)
{
    struct entry *e;

    LIST_FOREACH (e, &t->open, open) {
        if (memcmp(e->r.request.digest, q->digest, HOLD_DIGEST) == 0 &&
            strcmp(e->r.request.caller, q->caller) == 0)
            return e;
    }
    return NULL;
}

/* Why a new record may not be opened; NULL if it may. */
static const char *objection(const struct hold_table *t, const struct hold_request *q)
{
    unsigned own = 0;
    struct entry *e;

    /* More than can be counted would never be reached, or worse, be taken for reached. */
    if (q->quorum > HOLD_QUORUM_MAX)
        return "quorum_too_large";
    if (t->nopen >= HOLD_OPEN_MAX)
        return "too_many_holds";
    LIST_FOREACH (e, &t->open, open) {
        if (strcmp(e->r.request.caller, q->caller) != 0)
            continue;
        if (++own >= HOLD_CALLER_MAX)
            return "too_many_holds";
        if (q->idempotency_key[0] && strcmp(e->r.request.idempotency_key, q->idempotency_key) == 0)
            return "idempotency_conflict";
    }
    return NULL;
}

static struct entry *add(struct hold_table *t, const struct hold_message *m, uint64_t now_ns)
{
    struct entry *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->r.id = t->next_id++;
    e->r.state = HOLD_HELD;
    e->r.opened_ns = now_ns;
    e->r.request = *m->request;
    TAILQ_INSERT_TAIL(&t->all, e, all);
    LIST_INSERT_HEAD(&t->open, e, open);
    t->nopen++;
    return e;
}

static void wait_on(struct entry *e, const struct hold_message *m, uint64_t now_ns)
{
    e->r.worker = m->worker;
    e->r.call = m->call;
    e->r.attached++;
    e->r.deadline_ns = now_ns + m->request->wait_ns;
    memcpy(e->r.request.call, m->request->call, sizeof(e->r.request.call));
    e->r.request.generation = m->request->generation;
    memcpy(e->r.request.rules_hash, m->request->rules_hash, sizeof(e->r.request.rules_hash));
}

static void opened(struct hold_table *t, const struct hold_message *m, uint64_t id)
{
    struct hold_message back = {.type = HOLD_MSG_OPENED,
                                .worker = m->worker,
                                .call = m->call,
                                .hold = id,
                                .request = m->request};

    send(t, &back);
}

/* From here the worker says what becomes of it; the limit is for when nothing is heard any more. */
static void approved(struct entry *e, uint64_t now_ns)
{
    e->r.state = HOLD_APPROVED;
    e->r.grant_until_ns = now_ns + e->r.request.grant_ns;
}

/* The same call again: an SDK's retry, or the one after an approval. */
static void attach(struct hold_table *t, struct entry *e, const struct hold_message *m,
                   uint64_t now_ns)
{
    switch (e->r.state) {
    case HOLD_GRANTED:
        wait_on(e, m, now_ns);
        approved(e, now_ns);
        opened(t, m, e->r.id);
        event(t, AUDIT_HOLD_CONSUMED, e, span_cstr(e->r.who), SPAN_NONE, now_ns);
        tell(t, e, HOLD_MSG_APPROVED, span_cstr(e->r.who), SPAN_NONE);
        break;
    case HOLD_HELD:
    case HOLD_PENDING:
        tell(t, e, HOLD_MSG_REFUSED, SPAN_NONE, SPAN_LIT("replaced_by_retry"));
        wait_on(e, m, now_ns);
        e->r.state = HOLD_HELD;
        opened(t, m, e->r.id);
        event(t, AUDIT_HOLD_ATTACHED, e, SPAN_NONE, SPAN_NONE, now_ns);
        break;
    default: /* it is running at this moment: once is what was approved */
        opened(t, m, e->r.id);
        refuse(t, m, "approval_used");
        break;
    }
}

static void open_call(struct hold_table *t, const struct hold_message *m, uint64_t now_ns)
{
    struct entry *e = same_call(t, m->request);
    const char *why;

    if (e) {
        attach(t, e, m, now_ns);
        return;
    }
    why = objection(t, m->request);
    e = why ? NULL : add(t, m, now_ns);
    if (e) {
        wait_on(e, m, now_ns);
        event(t, AUDIT_HOLD_OPENED, e, SPAN_NONE, SPAN_NONE, now_ns);
        opened(t, m, e->r.id);
    } else {
        opened(t, m, 0);
        refuse(t, m, why ? why : "no_memory");
    }
}

/* ----------------------------------------------------------------- what workers say */

static void cancelled(struct hold_table *t, struct entry *e, uint64_t now_ns)
{
    if (e->r.state != HOLD_HELD && e->r.state != HOLD_APPROVED)
        return;
    put_text(e->r.reason, sizeof(e->r.reason), SPAN_LIT("the caller left"));
    event(t, AUDIT_HOLD_CANCELLED, e, SPAN_NONE, span_cstr(e->r.reason), now_ns);
    end(t, e, HOLD_CANCELLED, now_ns);
}

void hold_receive(struct hold_table *t, const struct hold_message *m, uint64_t now_ns)
{
    struct entry *e;

    if (m->type == HOLD_MSG_OPEN) {
        open_call(t, m, now_ns);
        return;
    }
    e = find_waiting(t, m);
    if (!e)
        return;
    switch (m->type) {
    case HOLD_MSG_CANCELLED:
        cancelled(t, e, now_ns);
        break;
    case HOLD_MSG_FORWARDED:
        if (e->r.state == HOLD_APPROVED)
            e->r.state = HOLD_FORWARDED;
        break;
    case HOLD_MSG_SETTLED:
        e->r.status = m->status;
        end(t, e, HOLD_SETTLED, now_ns);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------------- time */

static void wait_over(struct hold_table *t, struct entry *e, uint64_t now_ns)
{
    event(t, AUDIT_HOLD_PENDING, e, SPAN_NONE, SPAN_NONE, now_ns);
    tell(t, e, HOLD_MSG_PENDING, SPAN_NONE, SPAN_NONE);
    e->r.state = HOLD_PENDING;
    e->r.call = 0;
    e->r.grant_until_ns = now_ns + e->r.request.grant_ns;
}

/* A call that was sent and of which nothing more was heard has settled, nobody knows how. */
static void expire(struct hold_table *t, struct entry *e, uint64_t now_ns)
{
    if (e->r.state == HOLD_FORWARDED) {
        end(t, e, HOLD_SETTLED, now_ns);
        return;
    }
    event(t, AUDIT_HOLD_EXPIRED, e, SPAN_NONE, SPAN_NONE, now_ns);
    end(t, e, HOLD_EXPIRED, now_ns);
}

static uint64_t due(const struct entry *e)
{
    switch (e->r.state) {
    case HOLD_HELD:
        return e->r.deadline_ns;
    case HOLD_PENDING:
    case HOLD_GRANTED:
    case HOLD_APPROVED:
    case HOLD_FORWARDED:
        return e->r.grant_until_ns;
    default:
        return UINT64_MAX;
    }
}

void hold_tick(struct hold_table *t, uint64_t now_ns)
{
    struct entry *e, *next;

    flush_queue(t);
    for (e = LIST_FIRST(&t->open); e; e = next) {
        next = LIST_NEXT(e, open);
        if (due(e) > now_ns)
            continue;
        if (e->r.state == HOLD_HELD)
            wait_over(t, e, now_ns);
        else
            expire(t, e, now_ns);
    }
}

uint64_t hold_next(const struct hold_table *t)
{
    uint64_t first = STAILQ_EMPTY(&t->queue) ? UINT64_MAX : 0;
    struct entry *e;

    LIST_FOREACH (e, &t->open, open) {
        if (due(e) < first)
            first = due(e);
    }
    return first;
}

/* -------------------------------------------------------------------- reviewers */

/* Groups stand one a line, each line ended. */
static bool in_groups(const char *groups, const struct hold_reviewer *by)
{
    struct span left = span_cstr(groups);

    if (left.n == 0 || by->any_group)
        return true;
    while (left.p && left.n) {
        struct span one = span_cut(&left, '\n');

        for (unsigned i = 0; i < by->ngroups; i++)
            if (one.n && span_eq(one, by->groups[i]))
                return true;
    }
    return false;
}

static enum hold_result may_decide(const struct entry *e, const struct hold_reviewer *by)
{
    if (!e)
        return HOLD_NO_SUCH;
    if (e->r.state != HOLD_HELD && e->r.state != HOLD_PENDING)
        return HOLD_ENDED;
    if (span_eq(by->name, span_cstr(e->r.request.caller)))
        return HOLD_OWN_CALL;
    return in_groups(e->r.request.groups, by) ? HOLD_DONE : HOLD_NOT_A_REVIEWER;
}

static bool approved_before(const struct entry *e, struct span name)
{
    for (unsigned i = 0; i < e->r.approvals; i++)
        if (strncmp(e->r.approvers[i], name.p, name.n) == 0 && e->r.approvers[i][name.n] == 0)
            return true;
    return false;
}

enum hold_result hold_approve(struct hold_table *t, uint64_t id, const struct hold_reviewer *by,
                              struct span reason, uint64_t now_ns)
{
    struct entry *e = find(t, id);
    enum hold_result may = may_decide(e, by);

    if (may != HOLD_DONE)
        return may;
    if (by->name.n >= sizeof(e->r.approvers[0]))
        return HOLD_NOT_A_REVIEWER;
    if (approved_before(e, by->name))
        return HOLD_TWICE;
    put_text(e->r.approvers[e->r.approvals++], sizeof(e->r.approvers[0]), by->name);
    event(t, AUDIT_HOLD_APPROVED, e, by->name, reason, now_ns);
    if (e->r.approvals < e->r.request.quorum)
        return HOLD_COUNTED;
    put_text(e->r.who, sizeof(e->r.who), by->name);
    put_text(e->r.reason, sizeof(e->r.reason), reason);
    if (e->r.state == HOLD_HELD) {
        approved(e, now_ns);
        tell(t, e, HOLD_MSG_APPROVED, by->name, reason);
    } else {
        /* The limit counts from the approval, not from the call. */
        e->r.state = HOLD_GRANTED;
        e->r.grant_until_ns = now_ns + e->r.request.grant_ns;
    }
    return HOLD_DONE;
}

enum hold_result hold_deny(struct hold_table *t, uint64_t id, const struct hold_reviewer *by,
                           struct span reason, uint64_t now_ns)
{
    struct entry *e = find(t, id);
    enum hold_result may;

    /* Deny beats approve: a grant that has not run yet can be taken back. */
    if (e && e->r.state == HOLD_GRANTED)
        may = in_groups(e->r.request.groups, by) ? HOLD_DONE : HOLD_NOT_A_REVIEWER;
    else
        may = may_decide(e, by);
    if (may != HOLD_DONE)
        return may;
    put_text(e->r.who, sizeof(e->r.who), by->name);
    put_text(e->r.reason, sizeof(e->r.reason), reason);
    event(t, AUDIT_HOLD_DENIED, e, by->name, reason, now_ns);
    tell(t, e, HOLD_MSG_DENIED, by->name, reason);
    end(t, e, HOLD_DENIED, now_ns);
    return HOLD_DONE;
}

/* ---------------------------------------------------------------- the table itself */

const struct hold_record *hold_find(const struct hold_table *t, uint64_t id)
{
    struct entry *e = find(t, id);

    return e ? &e->r : NULL;
}

const struct hold_record *hold_next_record(const struct hold_table *t, bool all, uint64_t *at)
{
    struct entry *e = *at ? TAILQ_NEXT((struct entry *)(uintptr_t)*at, all) : TAILQ_FIRST(&t->all);

    while (e && e->ended && !all)
        e = TAILQ_NEXT(e, all);
    *at = (uint64_t)(uintptr_t)e;
    return e ? &e->r : NULL;
}

struct hold_table *hold_table_new(const struct hold_out *out)
{
    struct hold_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->out = *out;
    TAILQ_INIT(&t->all);
    LIST_INIT(&t->open);
    STAILQ_INIT(&t->ended);
    STAILQ_INIT(&t->queue);
    /* Seconds of the start in the upper part: ids go on growing over restarts. */
    t->next_id = ((uint64_t)time(NULL) << 24) + 1;
    return t;
}

void hold_table_free(struct hold_table *t)
{
    struct entry *e;
    struct queued *q;

    if (!t)
        return;
    while ((e = TAILQ_FIRST(&t->all))) {
        TAILQ_REMOVE(&t->all, e, all);
        free(e);
    }
    while ((q = STAILQ_FIRST(&t->queue))) {
        STAILQ_REMOVE_HEAD(&t->queue, next);
        free(q);
    }
    free(t);
}
