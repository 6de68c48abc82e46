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

json_t *ask(struct control *c, struct client *k, const json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));

    if (!what)
        return ask_failed(64, "a request says what to do in \"do\"");
    if (strcmp(what, "status") == 0)
        return ask_status(c);
    if (strcmp(what, "rules.reload") == 0)
        return ask_reload(c, k);
    if (strncmp(what, "holds.", 6) == 0)
        return ask_holds(c, k, what + 6, request);
    return ask_failed(64, "this appliance does not know how to do that");
}
