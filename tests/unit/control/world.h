/* An appliance's control plane with no worker behind it, for tests: rules, vault and store in a
 * directory of its own, and the control thread running. */
#ifndef CONTROL_WORLD_H
#define CONTROL_WORLD_H

#include "control/control.h"
#include "control/control_internal.h"

extern const char *world_rules; /* the lab's rules, set by main */

struct world {
    char dir[64], rules[96], socket[96], store[96], history[96], vault[96], key[96];
    struct audit *audit;
    struct window_table *windows;
    struct call_generation *generation;
    struct control *control;
    _Atomic bool alive, stop;
    pthread_t thread;
};

int world_setup(void **state);
int world_teardown(void **state);
struct control *world_control(struct world *w, struct diags *d);
void world_write(const char *path, const char *text);
json_t *world_ask(const struct world *w, const char *request);

#endif
