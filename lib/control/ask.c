#include "control/control_internal.h"

json_t *ask_failed(int exit_code, const char *error)
{
    return json_pack("{s:b, s:i, s:s}", "ok", 0, "exit", exit_code, "error", error);
}

static json_t *ask_reload(struct control *c, struct client *k)
{
    if (k->peer.uid != 0)
        return ask_failed(3, "only root may reload the rules");
    if (!reload_start(c, k->peer.name))
        return ask_failed(1, "no thread could be started");
    k->waits_reload = true;
    return NULL;
}

/* {"do": "rules.rollback", "set": 12}; without `set` the one before that which runs. */
static json_t *ask_rollback(struct control *c, struct client *k, const json_t *request)
{
    const json_t *said = json_object_get(request, "set");
    uint64_t set = (uint64_t)json_integer_value(said);
    const char *why;

    if (k->peer.uid != 0)
        return ask_failed(3, "only root may roll the rules back");
    if (said && (!json_is_integer(said) || json_integer_value(said) < 1))
        return ask_failed(64, "`set` is a number, as rules.history shows it");
    if (!said)
        set = history_before(c->c.history, c->set ? c->set : UINT64_MAX);
    if (set == 0)
        return ask_failed(4, "there is no earlier set");
    why = reload_rollback(c, set, k->peer.name);
    if (why)
        return ask_failed(strcmp(why, "there is no such set") == 0 ? 4 : 1, why);
    k->waits_reload = true;
    return NULL;
}

json_t *ask(struct control *c, struct client *k, const json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));

    if (!what)
        return ask_failed(64, "a request says what to do in \"do\"");
    if (strcmp(what, "status") == 0)
        return ask_status(c);
    if (strcmp(what, "rules.reload") == 0)
        return ask_reload(c, k);
    if (strcmp(what, "rules.rollback") == 0)
        return ask_rollback(c, k, request);
    if (strcmp(what, "rules.history") == 0)
        return json_pack("{s:b, s:o}", "ok", 1, "sets", history_json(c->c.history, c->set));
    if (strcmp(what, "rules.hits") == 0)
        return ask_hits(c);
    if (strncmp(what, "holds.", 6) == 0)
        return ask_holds(c, k, what + 6, request);
    return ask_failed(64, "this appliance does not know how to do that");
}
